"""How the torus is cut into one rectangle a node: a k-d cut by measured weight, and who needs what of whom. Pure.

A node computes what it owns and, over and over, the halo around it. So a good cut shares out the weight evenly and
keeps the rectangles compact: a thin one has much halo for the little it owns.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from umwelt.sandbox.errors import RunError
from umwelt.sandbox.region import Rectangle, Torus, images

BLOCK_CELLS = 8
"""Side of the square blocks that are weighed; cut lines are multiples of it, counted from the world's origin."""

NARROWEST_CELLS = 16
"""No rectangle is narrower, unless the world itself is."""

_BASE_WEIGHT = 1 / 1024
"""What an empty cell weighs, in mean cells. It shares out what nobody lives in, and settles ties between lines."""


def cut(torus: Torus, weights: np.ndarray, parts: int, halo_cells: int) -> list[Rectangle]:
    """Cut the torus into `parts` rectangles of about equal cost; neighbours in the list lie near each other.

    `weights`: int64[blocks_y, blocks_x], what each block of 8 x 8 cells costs in any unit; the last blocks of a size
    that is no multiple of 8 are smaller. The parts are halved again and again (as evenly as there is room for), each
    time along the line, in either direction, that makes the costlier side cheapest. Rectangles do not wrap: the
    torus' seams are always cut lines. The same arguments give the same rectangles.

    Raises `RunError` where the world has no room for so many parts.
    """
    blocks = (len(_edges(torus.height)) - 1, len(_edges(torus.width)) - 1)
    if weights.shape != blocks or weights.min() < 0:
        raise ValueError(f"weights of {torus} are {list(blocks)} numbers from 0 on, not {list(weights.shape)}")
    if parts < 1:
        raise RunError(f"a world is run by at least one node, not {parts}: use --nodes 1")
    room = max_parts(torus)
    if parts > room:
        raise RunError(
            f"a world of {torus.width} x {torus.height} cells has room for at most {room} "
            f"node{'s' if room > 1 else ''}, not {parts}: use --nodes {room}"
        )
    found: list[Rectangle] = []
    _divide(_Scales(torus, weights, halo_cells), Rectangle(0, 0, *torus), parts, found)
    return found


def max_parts(torus: Torus) -> int:
    """The largest number of parts that `cut` can make: as many squares of 16 x 16 cells as lie side by side."""
    return int(_room(torus.height) * _room(torus.width))


def overlaps(taker: Rectangle, giver: Rectangle, halo_cells: int, torus: Torus) -> list[tuple[Rectangle, int, int]]:
    """What the taker's halo shows of the giver: `(part, y, x)` for every image, in a fixed order.

    `part` is in the coordinates of the giver; `y, x` is where its corner comes to lie, counted from the corner of the
    taker's window. Left out is only what the taker owns itself: its own image at home.
    """
    home = (halo_cells, halo_cells)
    seen = images(taker.expand(halo_cells), giver, torus)
    return [image for image in seen if giver != taker or image[1:] != home]


def neighbours(rectangles: Sequence[Rectangle], which: int, halo_cells: int, torus: Torus) -> list[int]:
    """Indices of those whose cells the halo of rectangle `which` shows, in order; itself too, where the torus does."""
    taker = rectangles[which]
    return [i for i, giver in enumerate(rectangles) if overlaps(taker, giver, halo_cells, torus)]


def imbalance(loads: Sequence[float]) -> float:
    """The busiest load over the mean load: 1.0 is even (also where there is none), 2.0 makes half of all wait."""
    total = sum(loads)
    return max(loads) * len(loads) / total if total > 0 else 1.0


# --- the cut


class _Line(NamedTuple):
    """A way to cut a rectangle: what its costlier side costs a part, and what comes first."""

    cost: float
    low: Rectangle
    low_parts: int
    high: Rectangle


class _Scales:
    """Weighs rectangles: prefix sums over the blocks, on a plane that repeats the torus without end."""

    def __init__(self, torus: Torus, weights: np.ndarray, halo_cells: int):
        self.edges = (_edges(torus.height), _edges(torus.width))
        cells = np.outer(np.diff(self.edges[0]), np.diff(self.edges[1]))
        total = int(weights.sum())
        weighed = weights + cells * ((total or 1) * _BASE_WEIGHT / torus.cells)
        self.below = (_below(weighed), _below(weighed.T))
        # The exact part of the window shrinks from the whole halo to none between two exchanges.
        self.rim_cells = halo_cells // 2

    def strips(self, rectangle: Rectangle, axis: int, rim_cells: int) -> np.ndarray:
        """Weight per block along `axis` of the band that the rectangle and a rim cover in the other direction."""
        across = 1 - axis
        start = rectangle[across] - rim_cells
        end = rectangle[across] + rectangle[2 + across] + rim_cells
        below, edges = self.below[across], self.edges[across]
        return _up_to(below, edges, np.array(end)) - _up_to(below, edges, np.array(start))

    def costs(self, rectangle: Rectangle, axis: int, lines: np.ndarray, low_parts: int, parts: int) -> np.ndarray:
        """What the costlier side costs a part for each cut line across `axis`, `float64[lines]`."""
        rim, edges = self.rim_cells, self.edges[axis]
        inner, outer = (_below(self.strips(rectangle, axis, cells)) for cells in (0, rim))
        start, end = rectangle[axis], rectangle[axis] + rectangle[2 + axis]

        def side(low: np.ndarray, high: np.ndarray, count: int) -> np.ndarray:
            own = _up_to(inner, edges, high) - _up_to(inner, edges, low)
            grown = _up_to(outer, edges, high + rim) - _up_to(outer, edges, low - rim)
            # Cut into n alike pieces, each has an nth of the weight, but of the perimeter an nth's root.
            return own / count + (grown - own) / count**0.5

        starts, ends = np.full_like(lines, start), np.full_like(lines, end)
        return np.maximum(side(starts, lines, low_parts), side(lines, ends, parts - low_parts))


def _divide(scales: _Scales, rectangle: Rectangle, parts: int, found: list[Rectangle]) -> None:
    """Append the `parts` rectangles that a rectangle is cut into."""
    if parts == 1:
        found.append(rectangle)
        return
    # Nine parts fit a square of 48 cells, but no line leaves room for four and five: then three and six have to do.
    for fewer in range(parts // 2, 0, -1):
        best = _best_line(scales, rectangle, parts, fewer)
        if best is not None:
            _divide(scales, best.low, best.low_parts, found)
            _divide(scales, best.high, parts - best.low_parts, found)
            return
    raise AssertionError(f"{rectangle} has no room for {parts} parts")


def _best_line(scales: _Scales, rectangle: Rectangle, parts: int, fewer: int) -> _Line | None:
    """The cheapest line with `fewer` parts on one side, or None where no line leaves room for them."""
    best = None
    for axis in (0, 1):
        size, across = rectangle[2 + axis], _room(rectangle[3 - axis])
        offsets = np.arange(NARROWEST_CELLS, size - NARROWEST_CELLS + 1, BLOCK_CELLS)
        for low_parts in dict.fromkeys((fewer, parts - fewer)):
            fits = (_room(offsets) * across >= low_parts) & (_room(size - offsets) * across >= parts - low_parts)
            chosen = offsets[fits]
            if not len(chosen):
                continue
            costs = scales.costs(rectangle, axis, rectangle[axis] + chosen, low_parts, parts)
            at = int(np.argmin(costs))
            if best is None or costs[at] < best.cost:
                low, high = _sides(rectangle, axis, int(chosen[at]))
                best = _Line(float(costs[at]), low, low_parts, high)
    return best


def _sides(rectangle: Rectangle, axis: int, offset: int) -> tuple[Rectangle, Rectangle]:
    y, x, height, width = rectangle
    if axis == 0:
        return Rectangle(y, x, offset, width), Rectangle(y + offset, x, height - offset, width)
    return Rectangle(y, x, height, offset), Rectangle(y, x + offset, height, width - offset)


def _room(size):
    """How many parts fit side by side in a size; a world narrower than one part still holds one."""
    return np.maximum(1, size // NARROWEST_CELLS)


def _edges(size: int) -> np.ndarray:
    """Where the blocks of a size begin, and where the last one ends."""
    return np.append(np.arange(0, size, BLOCK_CELLS), size)


def _below(values: np.ndarray) -> np.ndarray:
    """Sums of the first 0, 1, 2 ... rows."""
    return np.concatenate([np.zeros_like(values[:1]), np.cumsum(values, axis=0)])


def _up_to(below: np.ndarray, edges: np.ndarray, at: np.ndarray) -> np.ndarray:
    """The sum from the origin up to the cells `at`, negative and beyond the seam too; blocks count as even inside."""
    turns, rest = np.divmod(at, edges[-1])
    block = rest // BLOCK_CELLS
    share = (rest - edges[block]) / (edges[block + 1] - edges[block])
    tail = (...,) + (None,) * (below.ndim - 1)
    return turns[tail] * below[-1] + below[block] + (below[block + 1] - below[block]) * share[tail]

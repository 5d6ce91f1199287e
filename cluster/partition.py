"""Cuts the torus into one rectangle for each node, by measured weight, and tells which node needs what of which.

The cut is a k-d tree: the torus is halved again and again. A node computes its rectangle and the halo around it, so a
good cut divides the weight evenly and keeps the rectangles compact, because a thin one has much halo for its area.
Pure functions.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from umwelt.sandbox.errors import RunError
from umwelt.sandbox.region import Rectangle, Torus, images

BLOCK_CELLS = 8
"""Side of the square blocks that have weights; cut lines are multiples of it, counted from the world's origin."""

MIN_SIDE_CELLS = 16
"""No rectangle has a shorter side, unless the world itself has."""

_BASE_WEIGHT = 1 / 1024
"""The weight of an empty cell, relative to the mean. It divides empty areas evenly and settles ties between lines."""


def cut(torus: Torus, weights: np.ndarray, parts: int, halo_cells: int) -> list[Rectangle]:
    """Cuts the torus into `parts` rectangles of about equal cost; those near each other in the list are neighbours.

    `weights`: int64[blocks_y, blocks_x], the cost of each block of 8 x 8 cells in any unit; the last blocks of a size
    that is not a multiple of 8 are smaller. The parts are halved repeatedly, as evenly as there is room for, each time
    along the line, in either direction, that makes the costlier side cheapest. Rectangles do not wrap: the seams of
    the torus are always cut lines. The same arguments give the same rectangles.

    Raises RunError if the world has no room for so many parts, ValueError if `weights` does not fit the torus.
    """
    blocks = (len(_edges(torus.height)) - 1, len(_edges(torus.width)) - 1)
    if weights.shape != blocks or weights.min() < 0:
        raise ValueError(f"weights of {torus} are {list(blocks)} numbers, none negative, not {list(weights.shape)}")
    if parts < 1:
        raise RunError(f"a world needs at least one node, not {parts}: use --nodes 1")
    room = max_parts(torus)
    if parts > room:
        raise RunError(
            f"a world of {torus.width} x {torus.height} cells has room for at most {room} "
            f"node{'s' if room > 1 else ''}, not {parts}: use --nodes {room}"
        )
    return _divide(_CostModel(torus, weights, halo_cells), Rectangle(0, 0, *torus), parts)


def max_parts(torus: Torus) -> int:
    """Returns the largest number of parts that `cut` can make: squares of 16 x 16 cells that fit side by side."""
    return int(_max_side_parts(torus.height) * _max_side_parts(torus.width))


def overlaps(taker: Rectangle, giver: Rectangle, halo_cells: int, torus: Torus) -> list[tuple[Rectangle, int, int]]:
    """Returns what the taker's halo shows of the giver: `(part, y, x)` for every image, in a fixed order.

    `part` is in the world's coordinates; `y, x` is where its corner lies, counted from the corner of the taker's
    window. A giver can appear several times, and a taker in its own halo; only the taker's rectangle itself is left
    out.
    """
    home = (halo_cells, halo_cells)
    every_image = images(taker.expand(halo_cells), giver, torus)
    return [image for image in every_image if giver != taker or image[1:] != home]


def neighbours(rectangles: Sequence[Rectangle], which: int, halo_cells: int, torus: Torus) -> list[int]:
    """Returns the indices of the rectangles that the halo of rectangle `which` shows, in order.

    `which` itself is one of them if the torus is so small that it appears in its own halo.
    """
    taker = rectangles[which]
    return [index for index, giver in enumerate(rectangles) if overlaps(taker, giver, halo_cells, torus)]


def imbalance(loads: Sequence[float]) -> float:
    """Returns the largest load over the mean load: 1.0 is even (as without any load), at 2.0 half the time is lost."""
    total = sum(loads)
    return max(loads) * len(loads) / total if total > 0 else 1.0


# --- the cut


class _Line(NamedTuple):
    """A line that cuts a rectangle in two. `low` is the side with the smaller coordinates."""

    cost: float
    """Per part, of the costlier side."""
    low: Rectangle
    low_parts: int
    high: Rectangle


class _CostModel:
    """Costs of rectangles, by prefix sums over the blocks, on a plane that repeats the torus endlessly."""

    def __init__(self, torus: Torus, weights: np.ndarray, halo_cells: int):
        self.edges = (_edges(torus.height), _edges(torus.width))
        cells = np.outer(np.diff(self.edges[0]), np.diff(self.edges[1]))
        total = int(weights.sum())
        padded = weights + cells * ((total or 1) * _BASE_WEIGHT / torus.cells)
        self.sums = (_prefix_sums(padded), _prefix_sums(padded.T))
        # between two exchanges the computed part of the halo shrinks from all of it to none: on average half
        self.rim_cells = halo_cells // 2

    def band(self, rectangle: Rectangle, axis: int, rim_cells: int) -> np.ndarray:
        """Returns the weight per block along `axis` of the band that the rectangle and a rim cover across it."""
        across = 1 - axis
        start = rectangle[across] - rim_cells
        end = rectangle[across] + rectangle[2 + across] + rim_cells
        sums, edges = self.sums[across], self.edges[across]
        return _sum_up_to(sums, edges, np.array(end)) - _sum_up_to(sums, edges, np.array(start))

    def costs(self, rectangle: Rectangle, axis: int, lines: np.ndarray, low_parts: int, parts: int) -> np.ndarray:
        """Returns the cost per part of the costlier side, for each cut line across `axis`: float64[lines]."""
        rim, edges = self.rim_cells, self.edges[axis]
        inner, outer = (_prefix_sums(self.band(rectangle, axis, cells)) for cells in (0, rim))
        start, end = rectangle[axis], rectangle[axis] + rectangle[2 + axis]

        def side(low: np.ndarray, high: np.ndarray, count: int) -> np.ndarray:
            own = _sum_up_to(inner, edges, high) - _sum_up_to(inner, edges, low)
            grown = _sum_up_to(outer, edges, high + rim) - _sum_up_to(outer, edges, low - rim)
            # each of n similar parts has 1/n of the weight, but 1/sqrt(n) of the halo
            return own / count + (grown - own) / count**0.5

        starts, ends = np.full_like(lines, start), np.full_like(lines, end)
        return np.maximum(side(starts, lines, low_parts), side(lines, ends, parts - low_parts))


def _divide(costs: _CostModel, rectangle: Rectangle, parts: int) -> list[Rectangle]:
    """Cuts a rectangle into `parts` rectangles."""
    if parts == 1:
        return [rectangle]
    # nine parts fit into a square of 48 cells, but no line leaves room for four and five: then it is three and six
    for fewer in range(parts // 2, 0, -1):
        best = _best_line(costs, rectangle, parts, fewer)
        if best is not None:
            low = _divide(costs, best.low, best.low_parts)
            return low + _divide(costs, best.high, parts - best.low_parts)
    raise AssertionError(f"{rectangle} has no room for {parts} parts")


def _best_line(model: _CostModel, rectangle: Rectangle, parts: int, fewer: int) -> _Line | None:
    """Returns the cheapest line with `fewer` parts on one side; None if no line leaves room for them."""
    best = None
    for axis in (0, 1):
        size, across = rectangle[2 + axis], _max_side_parts(rectangle[3 - axis])
        offsets = np.arange(MIN_SIDE_CELLS, size - MIN_SIDE_CELLS + 1, BLOCK_CELLS)
        for low_parts in dict.fromkeys((fewer, parts - fewer)):
            low_room, high_room = _max_side_parts(offsets) * across, _max_side_parts(size - offsets) * across
            fits = (low_room >= low_parts) & (high_room >= parts - low_parts)
            chosen = offsets[fits]
            if not len(chosen):
                continue
            costs = model.costs(rectangle, axis, rectangle[axis] + chosen, low_parts, parts)
            cheapest = int(np.argmin(costs))
            if best is None or costs[cheapest] < best.cost:
                low, high = _sides(rectangle, axis, int(chosen[cheapest]))
                best = _Line(float(costs[cheapest]), low, low_parts, high)
    return best


def _sides(rectangle: Rectangle, axis: int, offset: int) -> tuple[Rectangle, Rectangle]:
    y, x, height, width = rectangle
    if axis == 0:
        return Rectangle(y, x, offset, width), Rectangle(y + offset, x, height - offset, width)
    return Rectangle(y, x, height, offset), Rectangle(y, x + offset, height, width - offset)


def _max_side_parts(size: Any) -> Any:
    """Returns the number of parts that fit side by side into a size; at least one, however narrow the world is."""
    return np.maximum(1, size // MIN_SIDE_CELLS)


def _edges(size: int) -> np.ndarray:
    """Returns where the blocks of a size begin, and where the last one ends."""
    return np.append(np.arange(0, size, BLOCK_CELLS), size)


def _prefix_sums(values: np.ndarray) -> np.ndarray:
    """Returns the sums of the first 0, 1, 2 ... rows."""
    return np.concatenate([np.zeros_like(values[:1]), np.cumsum(values, axis=0)])


def _sum_up_to(sums: np.ndarray, edges: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Returns the sums from the origin up to some cells, which can be negative or beyond the seam.

    `sums` are prefix sums of the blocks. The weight of a block is spread evenly over its cells.
    """
    turns, rest = np.divmod(cells, edges[-1])
    block = rest // BLOCK_CELLS
    share = (rest - edges[block]) / (edges[block + 1] - edges[block])
    expand = (...,) + (None,) * (sums.ndim - 1)
    return turns[expand] * sums[-1] + sums[block] + (sums[block + 1] - sums[block]) * share[expand]

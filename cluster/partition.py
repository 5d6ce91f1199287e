"""Cuts the torus into one rectangle for each node, by cost, and computes which cells neighbours exchange.

The cut is a k-d tree: rectangles are cut in two repeatedly. A node computes its rectangle and the *halo* around it (the
nearest cells of its neighbours), so a good cut divides the cost evenly and keeps the rectangles compact: a thin
rectangle has a large halo for its area. All functions are pure.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from umwelt.sandbox.errors import RunError
from umwelt.sandbox.region import Rectangle, Torus, images

BLOCK_CELLS = 8
"""Side in cells of the square blocks that weights are given for. Cut lines lie at multiples of it from the origin."""

MIN_SIDE_CELLS = 16
"""Minimum side of a rectangle, in cells, unless the world itself is smaller."""

_BASE_WEIGHT = 1 / 1024
"""Weight added to every cell, relative to the mean weight of a cell.

It makes cuts of empty areas even, and decides between cut lines of equal cost.
"""


def cut(torus: Torus, weights: np.ndarray, parts: int, halo_cells: int) -> list[Rectangle]:
    """Cuts the torus into `parts` rectangles of about equal cost. Rectangles close together in the list are neighbours.

    `weights` (int64[blocks_y, blocks_x]) is the cost of each block of 8 x 8 cells, in any unit. The last block of a
    row or column is smaller if the size of the torus is not a multiple of 8. `halo_cells` is the width of the halo.

    Each step divides the number of parts as evenly as the space permits, and cuts along the horizontal or vertical line
    for which the cost per part of the costlier side is lowest. Rectangles do not wrap around the torus. The result is
    deterministic.

    Raises RunError if the world is too small for `parts` rectangles, ValueError if the shape of `weights` does not fit
    the torus or a weight is negative.
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
    """Returns the maximum number of parts of `cut`: how many squares of 16 x 16 cells fit into the torus."""
    return int(_max_side_parts(torus.height) * _max_side_parts(torus.width))


def overlaps(taker: Rectangle, giver: Rectangle, halo_cells: int, torus: Torus) -> list[tuple[Rectangle, int, int]]:
    """Returns the parts of rectangle `giver` that lie in the halo of rectangle `taker`, as `(part, y, x)`.

    `part` is in world coordinates; `y, x` is the position of its corner relative to the corner of the taker's window
    (its rectangle with the halo). On a small torus the halo can contain the same cells several times, and cells of the
    taker itself; each such copy is listed. The order is deterministic.
    """
    home = (halo_cells, halo_cells)
    every_image = images(taker.expand(halo_cells), giver, torus)
    return [image for image in every_image if giver != taker or image[1:] != home]


def neighbours(rectangles: Sequence[Rectangle], which: int, halo_cells: int, torus: Torus) -> list[int]:
    """Returns the indices of the rectangles that overlap the halo of rectangle `which`, in ascending order.

    They include `which` if the torus is so small that the halo of the rectangle contains cells of the rectangle itself.
    """
    taker = rectangles[which]
    return [index for index, giver in enumerate(rectangles) if overlaps(taker, giver, halo_cells, torus)]


def imbalance(loads: Sequence[float]) -> float:
    """Returns the largest load divided by the mean load: 1.0 if all loads are equal, or all are 0."""
    total = sum(loads)
    return max(loads) * len(loads) / total if total > 0 else 1.0


# --- the cut


class _Line(NamedTuple):
    """A line that cuts a rectangle in two. `low` is the side with the smaller coordinates."""

    cost: float
    """Cost per part of the costlier side."""
    low: Rectangle
    low_parts: int
    """Number of parts into which `low` is cut further; `high` gets the others."""
    high: Rectangle


class _CostModel:
    """Cost of any rectangle, computed from prefix sums over the blocks.

    Rectangles can extend beyond the edges of the torus; weights then repeat periodically.
    """

    def __init__(self, torus: Torus, weights: np.ndarray, halo_cells: int):
        self.edges = (_edges(torus.height), _edges(torus.width))
        cells = np.outer(np.diff(self.edges[0]), np.diff(self.edges[1]))
        total = int(weights.sum())
        padded = weights + cells * ((total or 1) * _BASE_WEIGHT / torus.cells)
        self.sums = (_prefix_sums(padded), _prefix_sums(padded.T))
        # between two exchanges the computed part of the halo shrinks from all of it to none: on average half
        self.rim_cells = halo_cells // 2

    def band(self, rectangle: Rectangle, axis: int, rim_cells: int) -> np.ndarray:
        """Returns the weight of each block row along `axis`, summed over the extent of the rectangle in the other axis.

        That extent is widened by `rim_cells` on both sides.
        """
        across = 1 - axis
        start = rectangle[across] - rim_cells
        end = rectangle[across] + rectangle[2 + across] + rim_cells
        sums, edges = self.sums[across], self.edges[across]
        return _sum_up_to(sums, edges, np.array(end)) - _sum_up_to(sums, edges, np.array(start))

    def costs(self, rectangle: Rectangle, axis: int, lines: np.ndarray, low_parts: int, parts: int) -> np.ndarray:
        """Returns the cost per part of the costlier side, for each cut line: float64[lines].

        `lines` are coordinates along `axis`; the side with the smaller coordinates gets `low_parts` of `parts`.
        """
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
    """Cuts `rectangle` recursively into `parts` rectangles."""
    if parts == 1:
        return [rectangle]
    # an even division can be impossible: a square of 48 cells has room for 9 parts as 3 + 6, but not as 4 + 5
    for fewer in range(parts // 2, 0, -1):
        best = _best_line(costs, rectangle, parts, fewer)
        if best is not None:
            low = _divide(costs, best.low, best.low_parts)
            return low + _divide(costs, best.high, parts - best.low_parts)
    raise AssertionError(f"{rectangle} has no room for {parts} parts")


def _best_line(model: _CostModel, rectangle: Rectangle, parts: int, fewer: int) -> _Line | None:
    """Returns the line of lowest cost that divides `parts` into `fewer` and the rest.

    Returns None if no line leaves enough space for them on both sides.
    """
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
    """Returns the two rectangles that result from a cut at `offset` cells from the start of `axis`; (low, high).

    Axis 0 is y, axis 1 is x.
    """
    y, x, height, width = rectangle
    if axis == 0:
        return Rectangle(y, x, offset, width), Rectangle(y + offset, x, height - offset, width)
    return Rectangle(y, x, height, offset), Rectangle(y, x + offset, height, width - offset)


def _max_side_parts(size: Any) -> Any:
    """Returns how many parts of the minimum side fit into `size` cells (an int or an array); at least 1."""
    return np.maximum(1, size // MIN_SIDE_CELLS)


def _edges(size: int) -> np.ndarray:
    """Returns the start of each block along an axis of `size` cells, followed by `size`."""
    return np.append(np.arange(0, size, BLOCK_CELLS), size)


def _prefix_sums(values: np.ndarray) -> np.ndarray:
    """Returns the sums of the first 0, 1, 2, ... rows of `values`: one row more than `values` has."""
    return np.concatenate([np.zeros_like(values[:1]), np.cumsum(values, axis=0)])


def _sum_up_to(sums: np.ndarray, edges: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Returns the weight between the origin and each coordinate in `cells`.

    `sums` are the prefix sums of the blocks that start at `edges`. The weight of a block is spread evenly over its
    cells. Coordinates can be negative or exceed the size of the torus; weights then repeat periodically.
    """
    turns, rest = np.divmod(cells, edges[-1])
    block = rest // BLOCK_CELLS
    share = (rest - edges[block]) / (edges[block + 1] - edges[block])
    expand = (...,) + (None,) * (sums.ndim - 1)
    return turns[expand] * sums[-1] + sums[block] + (sums[block + 1] - sums[block]) * share[expand]

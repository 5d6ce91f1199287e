"""Cells of a region's window that commands change: rectangles, discs, and matter poured into them."""

from typing import Any

import numpy as np

from umwelt.sandbox.region import Region, Torus

MAX_IN_CELL_COUNT = 1 << 24
"""Molecules of a substance beyond which commands add nothing to a cell, so that no counter of 32 bits can overflow."""


def rectangle_cells(region: Region, y: int, x: int, height: int = 1, width: int = 1) -> tuple[np.ndarray, ...]:
    """Return an index (as of `numpy.ix_`) of all window cells that are images of a rectangle of the world."""
    place = region.place()
    rows = np.flatnonzero((place.y_global - y) % place.world_height < height)
    columns = np.flatnonzero((place.x_global - x) % place.world_width < width)
    return np.ix_(rows, columns)


def disc_cells(region: Region, y: int, x: int, radius: int) -> np.ndarray:
    """Return the window cells within a radius of any image of a cell, `bool[height, width]`."""
    place = region.place()
    dy, dx = (place.y_global - y) % place.world_height, (place.x_global - x) % place.world_width
    dy, dx = np.minimum(dy, place.world_height - dy), np.minimum(dx, place.world_width - dx)
    return dy.astype(np.int64)[:, None] ** 2 + dx.astype(np.int64)[None, :] ** 2 <= radius * radius


def count_disc_cells(torus: Torus, radius: int) -> int:
    """Return how many cells of a world a disc covers, wherever it lies."""
    squares = []
    for size in torus:
        offset = np.arange(size)
        offset = np.minimum(offset, size - offset)
        squares.append(offset[offset <= radius] ** 2)
    return int(np.count_nonzero(squares[0][:, None] + squares[1][None, :] <= radius**2))


def pour(plane: np.ndarray, cells: Any, count: int) -> None:
    """Add `count` molecules to each of the indexed cells, or as many as fit below `MAX_IN_CELL_COUNT`."""
    present = plane[cells].astype(np.int64)
    plane[cells] = present + np.clip(MAX_IN_CELL_COUNT - present, 0, count)

"""Selects the cells that a command changes (rectangles and discs), and adds molecules to them.

A region's *window* is its owned rectangle with the halo. If it is wider or higher than the torus, it contains several
*images* of the same world cell; if it covers only a part of the world, it contains no image of many cells.
"""

from typing import Any

import numpy as np

from umwelt.sandbox.region import Region, Torus

MAX_IN_CELL_COUNT = 1 << 24
"""The maximum number of molecules of a substance in a cell that commands can produce.

It keeps 32-bit counts from overflowing.
"""


def rectangle_cells(region: Region, y: int, x: int, height: int = 1, width: int = 1) -> tuple[np.ndarray, ...]:
    """Returns an index for arrays over the window that selects all images of a rectangle's cells (see `numpy.ix_`).

    The rectangle has the top left cell `y, x` and can extend across the seams of the torus.
    """
    place = region.place()
    rows = np.flatnonzero((place.y_global - y) % place.world_height < height)
    columns = np.flatnonzero((place.x_global - x) % place.world_width < width)
    return np.ix_(rows, columns)


def disc_cells(region: Region, y: int, x: int, radius: int) -> np.ndarray:
    """Returns `bool[height, width]`: whether each window cell is within `radius` cells of an image of cell `y, x`."""
    place = region.place()
    dy, dx = (place.y_global - y) % place.world_height, (place.x_global - x) % place.world_width
    dy, dx = np.minimum(dy, place.world_height - dy), np.minimum(dx, place.world_width - dx)
    return dy.astype(np.int64)[:, None] ** 2 + dx.astype(np.int64)[None, :] ** 2 <= radius * radius


def count_disc_cells(torus: Torus, radius: int) -> int:
    """Returns the number of cells of a torus within `radius` cells of any given cell."""
    squares = []
    for size in torus:
        offset = np.arange(size)
        offset = np.minimum(offset, size - offset)
        squares.append(offset[offset <= radius] ** 2)
    return int(np.count_nonzero(squares[0][:, None] + squares[1][None, :] <= radius**2))


def pour(plane: np.ndarray, cells: Any, count: int) -> None:
    """Adds `count` molecules to each cell that `cells` selects in `plane`, the counts of a substance by cell.

    A cell is filled to at most `MAX_IN_CELL_COUNT`; a cell that already contains more is unchanged.
    """
    present = plane[cells].astype(np.int64)
    plane[cells] = present + np.clip(MAX_IN_CELL_COUNT - present, 0, count)

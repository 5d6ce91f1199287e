"""Geometry of the torus: shortest ways, places and cells, rectangles on a grid."""

import math
from typing import TypeVar

import numpy as np

from umwelt.sandbox.region import Rectangle, Torus

Way = TypeVar("Way", float, np.ndarray)


def shortest(way: Way, size: int | float) -> Way:
    """The shortest way along an axis of `size` cells that leads to the same place: from -size / 2 to size / 2."""
    return (way + size / 2) % size - size / 2


def inside(y: float, x: float, torus: Torus) -> tuple[float, float]:
    """The same place with both coordinates on the torus, below its height and width."""
    # in floating point, a tiny negative number modulo a size is that size itself
    y, x = y % torus.height, x % torus.width
    return (0.0 if y >= torus.height else y), (0.0 if x >= torus.width else x)


def cell_of(y: float, x: float, torus: Torus) -> tuple[int, int]:
    """The cell of a place."""
    y, x = inside(y, x, torus)
    return math.floor(y), math.floor(x)


def aligned(view: Rectangle, step_cells: int, torus: Torus) -> Rectangle:
    """The smallest rectangle on multiples of `step_cells` that holds a view; never more than a whole axis."""
    spans = []
    for first, count, size in ((view.y, view.height, torus.height), (view.x, view.width, torus.width)):
        low = first // step_cells * step_cells
        count = -(-(first + count - low) // step_cells) * step_cells
        spans.append((low, count) if count < size else (0, size))
    (y, height), (x, width) = spans
    return Rectangle(y, x, height, width)

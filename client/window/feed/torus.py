"""Geometry of the torus: shortest distances, wrapped coordinates, rectangles aligned to a grid."""

import math
from typing import TypeVar

import numpy as np

from umwelt.sandbox.region import Rectangle, Torus

Way = TypeVar("Way", float, np.ndarray)
"""A displacement in cells along one axis, or an array of them."""


def shortest(way: Way, size: int | float) -> Way:
    """Returns the shortest displacement that leads to the same place as `way` on a circular axis of `size` cells.

    It is from -size / 2 to size / 2.
    """
    return (way + size / 2) % size - size / 2


def inside(y: float, x: float, torus: Torus) -> tuple[float, float]:
    """Returns the position wrapped onto the torus: 0 <= y < height, 0 <= x < width."""
    # in floating point, a tiny negative number modulo a size is that size itself
    y, x = y % torus.height, x % torus.width
    return (0.0 if y >= torus.height else y), (0.0 if x >= torus.width else x)


def cell_of(y: float, x: float, torus: Torus) -> tuple[int, int]:
    """Returns the cell (y, x) that contains a position."""
    y, x = inside(y, x, torus)
    return math.floor(y), math.floor(x)


def aligned(view: Rectangle, step_cells: int, torus: Torus) -> Rectangle:
    """Returns the smallest rectangle with corners at multiples of `step_cells` that contains `view`.

    Along an axis on which that rectangle would be as long as the torus or longer, the result spans the torus from 0.
    """
    spans = []
    for first, count, size in ((view.y, view.height, torus.height), (view.x, view.width, torus.width)):
        low = first // step_cells * step_cells
        count = -(-(first + count - low) // step_cells) * step_cells
        spans.append((low, count) if count < size else (0, size))
    (y, height), (x, width) = spans
    return Rectangle(y, x, height, width)

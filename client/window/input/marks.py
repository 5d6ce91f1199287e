"""Marks that are drawn over the world: their types, and rectangles and long lines made of short ones. Pure."""

import math

Colour = tuple[float, float, float, float]
"""Red, green, blue, opacity, each 0 to 1."""
Ring = tuple[float, float, float, Colour]
"""y, x and radius in cells, colour."""
Line = tuple[float, float, float, float, Colour, float]
"""y and x of both ends in cells, colour, width in pixels."""

PIECE_CELLS = 16


def outline(rectangle: tuple[int, int, int, int], colour: Colour) -> list[Line]:
    """Return the four sides of a rectangle (y, x, height, width)."""
    y, x, height, width = rectangle
    lines: list[Line] = []
    for y0, x0, down, right in (
        (y, x, 0, width),
        (y + height, x, 0, width),
        (y, x, height, 0),
        (y, x + width, height, 0),
    ):
        lines += pieces(y0, x0, down, right, colour, 2.0)
    return lines


def pieces(y: float, x: float, down: float, right: float, colour: Colour, width_pixels: float) -> list[Line]:
    """Return a line in pieces so short that the shortest way between their ends on the torus is the line itself."""
    count = max(1, math.ceil(max(abs(down), abs(right)) / PIECE_CELLS))
    ends = [(y + down * index / count, x + right * index / count) for index in range(count + 1)]
    return [(*ends[index], *ends[index + 1], colour, width_pixels) for index in range(count)]

"""Marks that the window draws over the world: rings and lines, and rectangles made of lines."""

import math

Colour = tuple[float, float, float, float]
"""Red, green, blue, opacity, each 0 to 1."""
Ring = tuple[float, float, float, Colour]
"""A circle: y, x and radius in cells, colour."""
Line = tuple[float, float, float, float, Colour, float]
"""A straight line: y and x of one end, y and x of the other (in cells), colour, width in pixels.

It is drawn along the shortest way between its ends on the torus.
"""

PIECE_CELLS = 16
"""Maximum length of a piece of a line, in cells; see `pieces`."""


def outline(rectangle: tuple[int, int, int, int], colour: Colour) -> list[Line]:
    """Returns the lines of the four sides of a rectangle (y, x, height, width in cells)."""
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
    """Returns the line from (y, x) to (y + down, x + right), divided into pieces of at most `PIECE_CELLS` cells.

    As a single line, one that is longer than half of the torus would be drawn the other way round.
    """
    count = max(1, math.ceil(max(abs(down), abs(right)) / PIECE_CELLS))
    ends = [(y + down * index / count, x + right * index / count) for index in range(count + 1)]
    return [(*ends[index], *ends[index + 1], colour, width_pixels) for index in range(count)]

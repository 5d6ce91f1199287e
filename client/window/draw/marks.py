"""Types of marks over the world: rings and lines, which tools and senses create and `overlay.py` draws."""

Colour = tuple[float, float, float, float]
"""A colour: red, green, blue and opacity, each from 0 to 1."""
Ring = tuple[float, float, float, Colour]
"""A ring: y, x and radius in cells, colour."""
Line = tuple[float, float, float, float, Colour, float]
"""A line: y, x of the first end and of the second end in cells, colour, width in pixels.

The line takes the shortest way round the torus.
"""

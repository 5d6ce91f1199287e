"""Marks over the world, as the overlay draws them and as tools and senses make them."""

Colour = tuple[float, float, float, float]
"""Red, green, blue, opacity, each from 0 to 1."""
Ring = tuple[float, float, float, Colour]
"""y, x and radius in cells, colour."""
Line = tuple[float, float, float, float, Colour, float]
"""y, x of both ends in cells, colour, width in pixels. The line takes the shortest way round the torus."""

"""The tools there are, what they are set to, and the small geometry of their marks. Pure."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from umwelt.client.window.draw.marks import Colour, Line

CALM, WATERY, STONE = (0.86, 0.98, 1.0, 0.9), (0.35, 0.7, 1.0, 0.9), (0.8, 0.74, 0.65, 0.9)
LEAFY, RED, GOLDEN, LILAC = (0.5, 0.95, 0.5, 0.9), (1.0, 0.4, 0.35, 0.95), (0.98, 0.85, 0.4, 0.9), (0.8, 0.6, 1.0, 0.9)


class Tool(NamedTuple):
    """A tool: how it is used (`point`, `stroke`, `area`, `being`, `grab`) and what it marks with."""

    name: str
    words: str
    hint: str
    use: str
    colour: Colour


TOOLS = (
    Tool("look", "look", "click a being to select it; drag to look elsewhere", "point", CALM),
    Tool("drop", "drop", "pour a substance; held down it goes on along the way", "stroke", GOLDEN),
    Tool("feed", "feed", "give food to a being: it falls to its cell", "point", GOLDEN),
    Tool("water", "paint water", "set the water of cells; Shift: brush or rectangle", "area", WATERY),
    Tool("rock", "paint rock", "raise or lower the ground; Shift: brush or rectangle", "area", STONE),
    Tool("paint", "paint a field", "set any field; Shift: brush or rectangle", "area", LILAC),
    Tool("rain", "make rain", "water on each cell of a disc", "stroke", WATERY),
    Tool("seed", "plant a seed", "a plant begins here", "point", LEAFY),
    Tool("monster", "spawn a monster", "a founder, one with a copied genome, or a copy", "point", LEAFY),
    Tool("move", "move", "take a being, drag it, let it go", "grab", CALM),
    Tool("wound", "wound", "let tissue of a body fall", "being", RED),
    Tool("remove", "remove", "take a being out of the world", "being", RED),
)
BY_NAME = {tool.name: tool for tool in TOOLS}


@dataclass
class Settings:
    """What the tools are set to."""

    substance: str = "sugar"
    drop_count: int = 200
    food: str = "sugar"
    food_count: int = 400
    water_count: int = 1200
    rock_height: int = 1500
    part: str = "mineral"
    part_value: int = 100
    brush_cells: int = 3
    """The side of the square that a brush paints."""
    rectangle: bool = False
    """Whether areas are drawn as rectangles instead of by brush; Shift is the other way."""
    rain_radius_cells: int = 6
    rain_count: int = 200
    plant: str = ""
    plant_source: str = "founder"
    """What seeds are made from: "founder" or "genome"."""
    monster: str = ""
    source: str = "founder"
    """What monsters are made from: "founder", "genome", or "copy"."""
    wound_count: int = 10


@dataclass
class Done:
    """Something done to the world: when it takes effect, and what it was."""

    tick: int
    words: str


@dataclass
class Question:
    """Asked before something is done; `then` is called on yes."""

    title: str
    text: str
    yes: str
    no: str
    then: Callable[[], None]


# --- geometry


def outline(rectangle: tuple[int, int, int, int], colour: Colour) -> list[Line]:
    """The four sides of a rectangle."""
    y, x, height, width = rectangle
    found: list[Line] = []
    for y0, x0, down, right in (
        (y, x, 0, width),
        (y + height, x, 0, width),
        (y, x, height, 0),
        (y, x + width, height, 0),
    ):
        found += pieces(y0, x0, down, right, colour, 2.0)
    return found


def pieces(y: float, x: float, down: float, right: float, colour: Colour, width_pixels: float) -> list[Line]:
    """A line in parts short enough that the shortest way between their ends on the torus is the line's own."""
    count = max(1, math.ceil(max(abs(down), abs(right)) / 16))
    return [
        (
            y + down * at / count,
            x + right * at / count,
            y + down * (at + 1) / count,
            x + right * (at + 1) / count,
            colour,
            width_pixels,
        )
        for at in range(count)
    ]

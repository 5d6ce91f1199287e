"""The icons and colours of the tools with which the user changes the world, by the tool's name."""

from typing import NamedTuple

from imgui_bundle import icons_fontawesome_6 as icons

from umwelt.client.window.input.marks import Colour

PALE, BLUE, STONE = (0.86, 0.98, 1.0, 0.9), (0.35, 0.7, 1.0, 0.9), (0.8, 0.74, 0.65, 0.9)
GREEN, RED, GOLDEN, LILAC = (0.5, 0.95, 0.5, 0.9), (1.0, 0.4, 0.35, 0.95), (0.98, 0.85, 0.4, 0.9), (0.8, 0.6, 1.0, 0.9)


class Look(NamedTuple):
    """The appearance of a tool: a glyph of the icon font, and the colour of its marks on the world."""

    icon: str
    colour: Colour


LOOKS = {
    "look": Look(icons.ICON_FA_ARROW_POINTER, PALE),
    "drop": Look(icons.ICON_FA_FILL_DRIP, GOLDEN),
    "feed": Look(icons.ICON_FA_UTENSILS, GOLDEN),
    "water": Look(icons.ICON_FA_WATER, BLUE),
    "rock": Look(icons.ICON_FA_MOUNTAIN, STONE),
    "paint": Look(icons.ICON_FA_PAINTBRUSH, LILAC),
    "rain": Look(icons.ICON_FA_CLOUD_RAIN, BLUE),
    "seed": Look(icons.ICON_FA_SEEDLING, GREEN),
    "monster": Look(icons.ICON_FA_SPIDER, GREEN),
    "move": Look(icons.ICON_FA_UP_DOWN_LEFT_RIGHT, PALE),
    "wound": Look(icons.ICON_FA_BURST, RED),
    "remove": Look(icons.ICON_FA_TRASH_CAN, RED),
}
DEFAULT = Look(icons.ICON_FA_WAND_MAGIC_SPARKLES, PALE)


def look_of(tool: str) -> Look:
    """Returns the icon and colour of the tool named `tool`."""
    return LOOKS.get(tool, DEFAULT)

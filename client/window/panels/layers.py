"""The layers panel: switches for what is drawn, and the choice of a layer to draw as a colour map.

A layer is a quantity of each cell, such as a substance or the temperature.
"""

from typing import Any

from imgui_bundle import ImVec2, imgui

from umwelt.client.window.panels.hooks import Hooks
from umwelt.client.window.panels.reasons import in_words
from umwelt.client.window.panels.theme import ACCENT, DIM, FRAME, TEXT, Colour, packed, substance_colour
from umwelt.client.window.panels.widgets import flow, heading, text_px

CHIP_PX, DOT_PX = 20.0, 12.0
OTHER_COLOURS: dict[str, Colour] = {
    "elevation": (0.72, 0.66, 0.55, 1.0),
    "light": (0.98, 0.90, 0.55, 1.0),
    "temperature": (0.98, 0.55, 0.36, 1.0),
    "rain": (0.45, 0.72, 1.0, 1.0),
}
"""The colours of switches for layers that are not substances."""
TOGGLES = (
    ("scents", "scents", "aroma, musk and alarm in the air"),
    ("weather", "weather", "day and night, rain, wind"),
    ("lineages", "clades", "colour beings by clade (C)"),
    ("nodes", "nodes", "borders and loads of the nodes' shards (N)"),
    ("senses", "senses", "antennae and sight of the selected being"),
)
"""The switches: the attribute of the drawing options (`Looks`) that is switched, the label, and the tooltip."""


class Layers:
    """The content of the layers panel."""

    def draw(self, session: Any, hooks: Hooks) -> None:
        """Draws the panel's content; called in every frame in which the panel is visible."""
        looks, known = session.looks, session.known
        imgui.push_style_var(imgui.StyleVar_.item_spacing, ImVec2(8, 5))
        for at, (attribute, words, hint) in enumerate(TOGGLES):
            flow(_chip_px(words), at == 0)
            on = getattr(looks, attribute)
            if _switch(words, on, ACCENT, hint):
                setattr(looks, attribute, not on)
        half = (imgui.get_content_region_avail().x - 8) / 2
        imgui.push_style_var(imgui.StyleVar_.frame_padding, ImVec2(6, 1))
        imgui.set_next_item_width(half)
        _, looks.bloom = imgui.slider_float("##bloom", looks.bloom, 0.0, 2.0, "bloom %.1f")
        imgui.same_line()
        imgui.set_next_item_width(half)
        _, looks.layer_strength = imgui.slider_float("##layer", looks.layer_strength, 0.0, 1.0, "map %.2f")
        imgui.pop_style_var()
        heading("Show as a map")
        if imgui.begin_child("maps"):
            self._maps(looks, known)
        imgui.end_child()
        imgui.pop_style_var()

    def _maps(self, looks: Any, known: Any) -> None:
        """Draws a switch for each layer, with which it is drawn as a colour map; at most one is on."""
        if _switch("no map", not looks.layer, TEXT, "show the ground (L: next layer)"):
            looks.layer = ""
        for name in known.layers[1:]:
            words = in_words(name)
            flow(_chip_px(words), False)
            colour = OTHER_COLOURS.get(name) or substance_colour(name)
            if _switch(words, looks.layer == name, colour, known.units.get(name, "")):
                looks.layer = "" if looks.layer == name else name


def _chip_px(words: str) -> float:
    """Returns the width of a switch in logical pixels."""
    return text_px(words) + DOT_PX + 15


def _switch(words: str, on: bool, colour: Colour, hint: str) -> bool:
    """Draws a switch, a word with a dot that is filled while `on`; returns whether it was clicked."""
    corner, width = imgui.get_cursor_screen_pos(), _chip_px(words)
    clicked = imgui.invisible_button(words, ImVec2(width, CHIP_PX))
    if not imgui.is_item_visible():
        return clicked
    hovered = imgui.is_item_hovered()
    draw_list, end = imgui.get_window_draw_list(), ImVec2(corner.x + width, corner.y + CHIP_PX)
    ground = packed(colour, 0.3) if on else packed((0.16, 0.23, 0.25, 1.0) if hovered else FRAME)
    draw_list.add_rect_filled(corner, end, ground, CHIP_PX / 2)
    centre = ImVec2(corner.x + 11, corner.y + CHIP_PX / 2)
    if on:
        draw_list.add_circle_filled(centre, 4.0, packed(colour))
    else:
        draw_list.add_circle(centre, 3.5, packed(colour, 0.75), 0, 1.3)
    draw_list.add_text(ImVec2(corner.x + DOT_PX + 8, corner.y + 1), packed(TEXT if on or hovered else DIM), words)
    if hovered and hint:
        imgui.set_tooltip(hint)
    return clicked

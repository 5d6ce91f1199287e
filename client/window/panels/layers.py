"""The layers panel: what the ground shows."""

from typing import Any

from imgui_bundle import ImVec2, imgui

from umwelt.client.window.panels.reasons import in_words
from umwelt.client.window.panels.theme import DIM, packed, substance_colour
from umwelt.client.window.panels.widgets import heading, text_px

COLUMN_PX = 128.0
OTHER_COLOURS = {
    "elevation": (0.72, 0.66, 0.55, 1.0), "light": (0.98, 0.90, 0.55, 1.0), "temperature": (0.98, 0.55, 0.36, 1.0),
    "rain": (0.45, 0.72, 1.0, 1.0),
}  # fmt: skip
TOGGLES = (
    ("scents", "scents"), ("weather", "weather"), ("lineages", "clades"), ("nodes", "nodes"), ("senses", "senses"),
)  # fmt: skip


class Layers:
    """See the page's top."""

    def draw(self, session: Any, hooks: Any) -> None:
        """Draw the panel's inside."""
        looks, known = session.looks, session.known
        imgui.push_style_var(imgui.StyleVar_.frame_padding, ImVec2(5, 1))
        imgui.push_style_var(imgui.StyleVar_.item_spacing, ImVec2(8, 5))
        width = imgui.get_content_region_avail().x - 62
        imgui.set_next_item_width(width)
        _, looks.layer_strength = imgui.slider_float("layer", looks.layer_strength, 0.0, 1.0, "%.2f")
        imgui.set_next_item_width(width)
        _, looks.bloom = imgui.slider_float("bloom", looks.bloom, 0.0, 2.0, "%.2f")
        columns = max(1, int(imgui.get_content_region_avail().x // 92))
        if imgui.begin_table("toggles", columns, imgui.TableFlags_.no_pad_outer_x):
            for attribute, words in TOGGLES:
                imgui.table_next_column()
                _, value = imgui.checkbox(words, getattr(looks, attribute))
                setattr(looks, attribute, value)
            imgui.end_table()
        heading("Shown as a map")
        if imgui.begin_child("layers"):
            self._radio(session, looks, known)
        imgui.end_child()
        imgui.pop_style_var(2)

    def _radio(self, session: Any, looks: Any, known: Any) -> None:
        columns = max(1, int(imgui.get_content_region_avail().x // COLUMN_PX))
        if not imgui.begin_table(
            "maps", columns, imgui.TableFlags_.no_pad_outer_x | imgui.TableFlags_.sizing_stretch_same
        ):
            return
        imgui.table_next_column()
        if imgui.radio_button("the ground", not looks.layer):
            looks.layer = ""
        for name in known.layers[1:]:
            imgui.table_next_column()
            words = in_words(name)
            if imgui.radio_button(f"{words}##{name}", looks.layer == name):
                looks.layer = "" if looks.layer == name else name
            unit = known.units.get(name, "")
            if unit and imgui.is_item_hovered():
                imgui.set_tooltip(unit)
            corner, end = imgui.get_item_rect_min(), imgui.get_item_rect_max()
            colour = OTHER_COLOURS.get(name) or substance_colour(name)
            dot = ImVec2(corner.x + 34 + text_px(words), (corner.y + end.y) / 2)
            imgui.get_window_draw_list().add_circle_filled(dot, 3.2, packed(colour if colour else DIM))
        imgui.end_table()

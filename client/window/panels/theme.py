"""The theme of the panels: colours, rounding and spacing."""

from functools import lru_cache
from typing import Any

from imgui_bundle import ImVec2, ImVec4, imgui, implot

from umwelt.client.window.draw.colours import named_colour

Colour = tuple[float, float, float, float]
"""A colour: red, green, blue and opacity, each from 0 to 1."""

TEXT: Colour = (0.88, 0.94, 0.93, 1.0)
DIM: Colour = (0.53, 0.62, 0.63, 1.0)
ACCENT: Colour = (0.40, 0.85, 0.73, 1.0)
GOOD: Colour = (0.46, 0.84, 0.53, 1.0)
BAD: Colour = (0.95, 0.42, 0.45, 1.0)
WARN: Colour = (0.96, 0.75, 0.38, 1.0)
GROUND: Colour = (0.035, 0.055, 0.065, 0.86)
FRAME: Colour = (0.10, 0.145, 0.16, 0.92)
"""The background of input fields; `GROUND` is that of panels."""

FURTHER_COLOURS: tuple[Colour, ...] = (
    (0.42, 0.86, 0.49, 1.0),
    (0.50, 0.63, 1.00, 1.0),
    (1.00, 0.47, 0.50, 1.0),
    (0.97, 0.80, 0.42, 1.0),
    (0.36, 0.82, 0.86, 1.0),
    (0.86, 0.56, 0.95, 1.0),
    (0.98, 0.62, 0.38, 1.0),
    (0.66, 0.83, 0.32, 1.0),
    (0.96, 0.58, 0.76, 1.0),
    (0.62, 0.70, 0.78, 1.0),
)
"""Colours of substances that are not in `SUBSTANCE_COLOURS`; a checksum of the name selects one of them."""
SUBSTANCE_COLOURS: dict[str, Colour] = {
    "water": (0.34, 0.66, 0.98, 1.0),
    "vapour": (0.68, 0.83, 0.95, 1.0),
    "oxygen": (0.55, 0.92, 0.95, 1.0),
    "carbon_dioxide": (0.62, 0.65, 0.70, 1.0),
    "mineral": (0.83, 0.62, 0.95, 1.0),
    "sugar": (0.98, 0.85, 0.50, 1.0),
    "tissue": (0.96, 0.53, 0.50, 1.0),
    "detritus": (0.70, 0.52, 0.38, 1.0),
    "aroma": (0.66, 0.90, 0.40, 1.0),
    "musk": (0.90, 0.55, 0.80, 1.0),
    "alarm": (1.00, 0.42, 0.36, 1.0),
}


def species_colour(known: Any, name: str) -> Colour:
    """Returns the colour of a species, or of a table (kind of being) in a world without species, by its name.

    `known` is the description of the world that the window received from its server (`viewer_protocol.Welcome`).
    """
    return (*named_colour(known, name), 1.0)


def substance_colour(name: str) -> Colour:
    """Returns the colour of a substance."""
    return SUBSTANCE_COLOURS.get(name) or FURTHER_COLOURS[sum(name.encode()) % len(FURTHER_COLOURS)]


@lru_cache(maxsize=8192)
def packed(colour: Colour, alpha: float = 1.0) -> int:
    """Returns a colour as the integer that imgui's drawing functions take; `alpha` multiplies its opacity."""
    red, green, blue, own = colour
    return int(red * 255) | int(green * 255) << 8 | int(blue * 255) << 16 | int(min(1.0, own * alpha) * 255) << 24


@lru_cache(maxsize=1024)
def vector(colour: Colour, alpha: float = 1.0) -> ImVec4:
    """Returns a colour as the vector that imgui's styles take; `alpha` multiplies its opacity."""
    return ImVec4(colour[0], colour[1], colour[2], colour[3] * alpha)


def apply_style() -> None:
    """Sets the style of imgui and implot in their current contexts."""
    style = imgui.get_style()
    imgui.style_colors_dark()
    style.window_rounding, style.child_rounding, style.popup_rounding = 9.0, 6.0, 7.0
    style.frame_rounding, style.grab_rounding, style.tab_rounding, style.scrollbar_rounding = 5.0, 5.0, 6.0, 6.0
    style.window_padding, style.frame_padding = ImVec2(12, 10), ImVec2(8, 3)
    style.item_spacing, style.item_inner_spacing = ImVec2(8, 6), ImVec2(7, 4)
    style.cell_padding = ImVec2(6, 2)
    style.window_border_size, style.popup_border_size, style.frame_border_size = 1.0, 1.0, 0.0
    style.scrollbar_size, style.grab_min_size, style.indent_spacing = 9.0, 11.0, 14.0
    style.separator_text_border_size, style.separator_text_padding = 1.0, ImVec2(6, 2)
    style.window_title_align = ImVec2(0.0, 0.5)
    style.window_menu_button_position = imgui.Dir.none
    style.window_min_size = ImVec2(120, 60)
    style.hover_delay_short = 0.05
    teal, of = ACCENT, imgui.Col_
    for which, colour, alpha in (
        (of.text, TEXT, 1),
        (of.text_disabled, DIM, 1),
        (of.window_bg, GROUND, 1),
        (of.child_bg, FRAME, 0),
        (of.popup_bg, (0.05, 0.075, 0.085, 0.97), 1),
        (of.border, (0.45, 0.75, 0.72, 0.13), 1),
        (of.frame_bg, FRAME, 1),
        (of.frame_bg_hovered, (0.14, 0.21, 0.22, 1), 1),
        (of.frame_bg_active, (0.16, 0.26, 0.26, 1), 1),
        (of.title_bg, (0.035, 0.06, 0.07, 0.92), 1),
        (of.title_bg_active, (0.05, 0.10, 0.105, 0.95), 1),
        (of.title_bg_collapsed, (0.035, 0.06, 0.07, 0.8), 1),
        (of.menu_bar_bg, (0.03, 0.05, 0.06, 0.9), 1),
        (of.check_mark, teal, 1),
        (of.slider_grab, teal, 0.85),
        (of.slider_grab_active, teal, 1),
        (of.button, (0.11, 0.23, 0.23, 0.95), 1),
        (of.button_hovered, (0.16, 0.36, 0.34, 1), 1),
        (of.button_active, (0.21, 0.47, 0.43, 1), 1),
        (of.header, (0.13, 0.26, 0.26, 0.55), 1),
        (of.header_hovered, (0.17, 0.36, 0.35, 0.7), 1),
        (of.header_active, (0.2, 0.44, 0.41, 0.8), 1),
        (of.separator, (0.45, 0.75, 0.72, 0.22), 1),
        (of.separator_hovered, teal, 0.6),
        (of.separator_active, teal, 0.9),
        (of.resize_grip, teal, 0.08),
        (of.resize_grip_hovered, teal, 0.5),
        (of.resize_grip_active, teal, 0.8),
        (of.tab, FRAME, 1),
        (of.tab_hovered, (0.17, 0.36, 0.35, 1), 1),
        (of.tab_selected, (0.12, 0.27, 0.27, 1), 1),
        (of.tab_selected_overline, teal, 1),
        (of.tab_dimmed, FRAME, 1),
        (of.tab_dimmed_selected, FRAME, 1),
        (of.docking_preview, teal, 0.4),
        (of.scrollbar_bg, FRAME, 0),
        (of.scrollbar_grab, teal, 0.22),
        (of.scrollbar_grab_hovered, teal, 0.4),
        (of.scrollbar_grab_active, teal, 0.6),
        (of.plot_histogram, teal, 0.8),
        (of.plot_histogram_hovered, TEXT, 1),
        (of.plot_lines, teal, 1),
        (of.text_link, teal, 1),
        (of.nav_cursor, teal, 1),
        (of.text_selected_bg, teal, 0.3),
        (of.table_header_bg, (0.08, 0.13, 0.14, 0.9), 1),
        (of.table_border_light, (0.4, 0.7, 0.68, 0.08), 1),
        (of.table_border_strong, (0.4, 0.7, 0.68, 0.16), 1),
        (of.table_row_bg_alt, (1, 1, 1, 0.025), 1),
    ):
        style.set_color_(which, vector(colour, alpha))
    _apply_plot_style()


def _apply_plot_style() -> None:
    style, of = implot.get_style(), implot.Col_
    style.plot_padding, style.label_padding, style.legend_padding = ImVec2(6, 6), ImVec2(4, 3), ImVec2(6, 5)
    style.legend_inner_padding, style.plot_border_size = ImVec2(5, 3), 0.0
    style.plot_min_size = ImVec2(80, 50)
    style.major_tick_len, style.minor_tick_len = ImVec2(3, 3), ImVec2(0, 0)
    for which, colour in (
        (of.frame_bg, (0, 0, 0, 0)),
        (of.plot_bg, (0.06, 0.09, 0.10, 0.65)),
        (of.plot_border, (0, 0, 0, 0)),
        (of.legend_bg, (0.04, 0.065, 0.075, 0.75)),
        (of.legend_border, (0, 0, 0, 0)),
        (of.legend_text, TEXT),
        (of.axis_text, DIM),
        (of.axis_grid, (0.6, 0.8, 0.8, 0.10)),
        (of.inlay_text, DIM),
        (of.crosshairs, ACCENT),
        (of.title_text, TEXT),
        (of.selection, ACCENT),
        (of.axis_bg_hovered, (0.4, 0.8, 0.75, 0.12)),
        (of.axis_bg_active, (0.4, 0.8, 0.75, 0.2)),
    ):
        style.set_color_(which, vector(colour))

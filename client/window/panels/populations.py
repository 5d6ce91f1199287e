"""The populations panel: curves of populations, substances, births and deaths over the whole run."""

import math
from typing import Any

import numpy as np
from imgui_bundle import ImVec2, imgui, implot

from umwelt.client.window.draw.layers import ticks_between
from umwelt.client.window.panels.hooks import Hooks
from umwelt.client.window.panels.reasons import in_words
from umwelt.client.window.panels.theme import (
    BAD,
    DIM,
    GOOD,
    TEXT,
    Colour,
    packed,
    species_colour,
    substance_colour,
    vector,
)
from umwelt.client.window.panels.widgets import dim, flow, short, thin

MAX_DRAWN = 600
"""Maximum number of points that are drawn of a curve."""
TABS = ("Species", "Matter", "Births")
SMALL_PX = 13.0
PLOT_FLAGS = (
    implot.Flags_.no_title
    | implot.Flags_.no_menus
    | implot.Flags_.no_mouse_text
    | implot.Flags_.no_box_select
    | implot.Flags_.no_legend
)
AXIS_FLAGS = implot.AxisFlags_.auto_fit | implot.AxisFlags_.no_label | implot.AxisFlags_.no_highlight
MIN_LOGGED = 0.5
"""The value at which zero is drawn on a logarithmic axis."""

Curve = tuple[str, Colour, np.ndarray]
"""A curve: its name, its colour, and its values, one for each of the ticks that all curves share."""


class Populations:
    """The content of the populations panel. Curves are rebuilt only when measurements arrive or the tab changes."""

    def __init__(self) -> None:
        self.logged = False
        self._stamp: tuple = ()
        self._hidden: set[str] = set()
        """The names of curves that the user has hidden."""
        self._ticks = np.empty(0)
        self._curves: list[Curve] = []

    def draw(self, session: Any, hooks: Hooks) -> None:
        """Draws the panel's content; called in every frame in which the panel is visible."""
        chosen = 0
        if imgui.begin_tab_bar("of"):
            for number, name in enumerate(TABS):
                if imgui.begin_tab_item(name)[0]:
                    chosen = number
                    imgui.end_tab_item()
            imgui.end_tab_bar()
        imgui.same_line(imgui.get_window_width() - 66)
        imgui.push_style_var(imgui.StyleVar_.frame_padding, ImVec2(3, 1))
        _, self.logged = imgui.checkbox("log", self.logged)
        imgui.pop_style_var()
        self._rebuild(session, chosen)
        if len(self._ticks) < 2:
            dim("waiting for data ...")
            return
        self._legend()
        self._plot(TABS[chosen])

    def _rebuild(self, session: Any, chosen: int) -> None:
        """Computes the curves of the tab with the number `chosen`, if the tab or the measurements have changed."""
        series = session.series
        stamp = (chosen, len(series.ticks), series.ticks[-1] if series.ticks else -1)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        ticks = np.asarray(series.ticks, np.float64)
        at = thin(ticks, MAX_DRAWN)
        self._ticks = np.ascontiguousarray(ticks[at])
        if chosen == 0:
            self._curves = [
                (name, species_colour(session.known, name), _picked(curve, at))
                for name, curve in series.populations.items()
            ]
        elif chosen == 1:
            self._curves = [
                (name, substance_colour(name), _picked(curve, at)) for name, curve in series.substances.items()
            ]
        else:
            self._curves = [
                ("births per tick", GOOD, _rate(self._ticks, _picked(series.births, at))),
                ("deaths per tick", BAD, _rate(self._ticks, _picked(series.deaths, at))),
            ]

    def _shown(self) -> list[Curve]:
        """Returns the curves that are not hidden."""
        return [curve for curve in self._curves if curve[0] not in self._hidden]

    def _legend(self) -> None:
        """Draws the names of the curves above the plot; a click hides or displays a curve."""
        imgui.push_font(None, SMALL_PX)
        imgui.push_style_var(imgui.StyleVar_.item_spacing, ImVec2(8, 1))
        for number, (name, colour, _) in enumerate(self._curves):
            words = in_words(name)
            width = imgui.calc_text_size(words).x + 13
            flow(width, number == 0)
            corner = imgui.get_cursor_screen_pos()
            if imgui.invisible_button(name, ImVec2(width, 16)):
                self._hidden ^= {name}
            shown = name not in self._hidden
            draw_list = imgui.get_window_draw_list()
            draw_list.add_circle_filled(ImVec2(corner.x + 4, corner.y + 8), 3.5, packed(colour, 1.0 if shown else 0.25))
            draw_list.add_text(
                ImVec2(corner.x + 12, corner.y), packed(TEXT if shown else DIM, 1.0 if shown else 0.5), words
            )
        imgui.pop_style_var()
        imgui.pop_font()

    def _plot(self, title: str) -> None:
        """Draws the curves that are not hidden; `title` is the name of the tab."""
        size = imgui.get_content_region_avail()
        if not implot.begin_plot(f"##{title}{self.logged}", ImVec2(size.x, max(70.0, size.y)), PLOT_FLAGS):
            return
        implot.setup_axis(implot.ImAxis_.x1, None, AXIS_FLAGS)
        implot.setup_axis(implot.ImAxis_.y1, None, AXIS_FLAGS)
        implot.setup_axis_format(implot.ImAxis_.x1, "%.0f")
        self._label()
        if self.logged:
            implot.setup_axis_scale(implot.ImAxis_.y1, implot.Scale_.log10)
        spec = implot.Spec()
        spec.line_weight = 1.8
        for name, colour, values in self._shown():
            spec.line_color = vector(colour)
            implot.plot_line(
                in_words(name), self._ticks, np.maximum(values, MIN_LOGGED) if self.logged else values, spec
            )
        if implot.is_plot_hovered():
            self._tooltip()
        implot.end_plot()

    def _label(self) -> None:
        """Labels the vertical axis in short form: 12k instead of 1.2e+04."""
        highest = max((float(values.max()) for _, _, values in self._shown() if len(values)), default=1.0)
        at = round_steps(highest, self.logged)
        implot.setup_axis_ticks(implot.ImAxis_.y1, at, [short(value) for value in at], False)

    def _tooltip(self) -> None:
        """Draws a tooltip with the curves' values at the mouse."""
        mouse = implot.get_plot_mouse_pos()
        at = int(np.abs(self._ticks - mouse.x).argmin())
        spec = implot.Spec()
        spec.line_color = vector((0.8, 0.95, 0.93, 0.35))
        implot.plot_inf_lines("##here", self._ticks[at : at + 1], spec)
        if not imgui.begin_tooltip():
            return
        dim(f"tick {self._ticks[at]:,.0f}")
        for name, colour, values in sorted(self._shown(), key=lambda curve: -curve[2][at]):
            corner = imgui.get_cursor_screen_pos()
            box = ImVec2(corner.x + 9, corner.y + 13)
            imgui.get_window_draw_list().add_rect_filled(ImVec2(corner.x, corner.y + 4), box, packed(colour), 3.0)
            imgui.set_cursor_pos_x(imgui.get_cursor_pos_x() + 16)
            imgui.text(f"{in_words(name)}  {short(float(values[at]))}")
        imgui.end_tooltip()


def round_steps(highest: float, logged: bool) -> list[float]:
    """Returns about five round numbers from 0 to `highest`; powers of ten for a logarithmic axis."""
    if logged:
        powers = math.ceil(math.log10(max(highest, 10.0)))
        return [10.0**power for power in range(0, powers + 1, max(1, -(-powers // 5)))]
    return list(ticks_between(0.0, max(highest, 1.0), 4))


def _picked(curve: list[float], at: np.ndarray) -> np.ndarray:
    """Returns the values of a curve at the indices `at`, `float64[n]`."""
    return np.ascontiguousarray(np.asarray(curve, np.float64)[at])


def _rate(ticks: np.ndarray, totals: np.ndarray) -> np.ndarray:
    """Converts totals since tick 0 to counts per tick, `float64[n]`; 0 where a total decreases, since it was reset."""
    if len(ticks) < 2:
        return np.zeros(len(ticks))
    rates = np.maximum(np.diff(totals), 0) / np.maximum(np.diff(ticks), 1)
    return np.concatenate([rates[:1], rates])

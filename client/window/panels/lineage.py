"""The lineage panel: the tree of life, with a spindle for each clade.

A clade is a branch of the tree of life: beings that descend from one being and are similar (see `clades.py`). A spindle
is a shape along the time axis whose width follows the clade's number of births.

While the panel is open, or beings are coloured by clade, births are fetched page by page, from the first of the run;
the tree grows until all have arrived, and then with new births.
"""

import colorsys
from typing import Any

import numpy as np
from imgui_bundle import ImVec2, imgui, implot

from umwelt.client.lineage.clades import NO_BIRTHS, spindle_widths
from umwelt.client.window.panels.clades import BINS, Clades
from umwelt.client.window.panels.events import clade_name
from umwelt.client.window.panels.hooks import Hooks
from umwelt.client.window.panels.populations import PLOT_FLAGS
from umwelt.client.window.panels.theme import DIM, TEXT, Colour, vector
from umwelt.client.window.panels.widgets import dim, short

MAX_ROWS = 28
"""Maximum number of spindles."""
FETCH_PERIOD_S, HUES_PERIOD_S = 1.0, 0.5
"""Time in seconds between two fetches once all births have arrived, and between two updates of hues in `Looks`."""
ROW_PX = 15.0
"""Height of a row, in logical pixels, from which on the names of clades are drawn."""
_OF = implot.AxisFlags_
TIME_FLAGS = _OF.no_label | _OF.no_highlight | _OF.lock
ROW_FLAGS = TIME_FLAGS | _OF.invert | _OF.no_grid_lines | _OF.no_tick_marks
BARE_ROW_FLAGS = ROW_FLAGS | _OF.no_tick_labels
PAGE_SIZE = 4000
"""Number of births that are fetched at a time."""


class Lineage:
    """The content of the lineage panel, and the clades by which beings can be coloured in the world."""

    def __init__(self) -> None:
        self.clades = Clades()
        self.chosen = -1
        """The number of the clade that was clicked and is highlighted; -1 if there is none."""
        self._since, self._after = 0, 0
        self._asked_s = self._hues_s = -1e9
        self._pages: list[dict[str, Any]] = []
        self._waiting = False
        self._complete = False
        self._stamp: tuple = ()
        self._order: list[int] = []
        self._widths: np.ndarray = np.empty((0, BINS))
        self._ticks: np.ndarray = np.empty(0)
        self._row_of = np.empty(0, np.int32)
        self._lit = False
        """Whether beings of a chosen clade are highlighted in the world at present."""
        self._family: frozenset[int] = frozenset()
        """The numbers of the chosen clade and of all that descend from it; empty if none is chosen."""

    # --- loading

    def update(self, session: Any, wanted: bool) -> None:
        """Adds births that have arrived, and fetches more if `wanted`; called once a frame.

        Also updates the highlights and hues in the drawing options (`session.looks`).
        """
        if self._pages:
            self._take(self._pages.pop(0))
        if wanted:
            self._fetch(session)
        self._mark(session)

    def _take(self, page: dict[str, Any]) -> None:
        """Adds a page of births to the clades, and sets the tick and id after which the next page begins.

        `page` has arrays as for `Clades.add`, and "more": whether there are further births, "next" and "after".
        """
        added = self.clades.add(page)
        self._complete = not page.get("more")
        ticks = np.asarray(page["tick"])
        last = int(ticks.max()) if len(ticks) else self._since
        if page.get("next") is not None:
            self._since, self._after = int(page["next"]), int(page.get("after") or 0)
        else:
            # a page may end within a tick, so fetch the tick again, unless the page had no new births
            self._since = last if added or self._complete else last + 1

    def _fetch(self, session: Any) -> None:
        """Starts a fetch of the next page of births, unless one is in progress or none is due."""
        now_s = session.clock()
        if self._waiting or self._pages or session.reconnecting:
            return
        if self._complete and now_s - self._asked_s < FETCH_PERIOD_S:
            return
        self._waiting, self._asked_s = True, now_s

        def receive(page: dict[str, Any]) -> None:
            self._waiting = False
            self._pages.append(page)

        def failed(line: str) -> None:
            self._waiting, self._complete = False, True  # fetched again after FETCH_PERIOD_S

        promise = session.world.births(self._since, PAGE_SIZE, after=self._after)
        session.ask(promise, receive, failed)

    # --- marks and hues

    def _mark(self, session: Any) -> None:
        """Sets in the drawing options which beings in view are highlighted, and the hues of their clades."""
        looks, now_s = session.looks, session.clock()
        wanted = looks.lineages or self.chosen >= 0
        if now_s - self._hues_s < HUES_PERIOD_S or not (wanted or self._lit):
            return
        self._hues_s = now_s
        ids = np.concatenate([np.empty(0, np.int64), *(swarm.ids for swarm in session.feed.frame.swarms)])
        clades = self.clades.of(ids)
        if self.chosen >= 0 or self._lit:
            family = self._below(self.chosen) if self.chosen >= 0 else []
            marked = ids[np.isin(clades, family)] if family else ids[:0]
            looks.highlighted = frozenset(marked.tolist())
            self._lit = self.chosen >= 0
        if looks.lineages:
            known = clades >= 0
            hues = np.array([clade.hue for clade in self.clades.clades] or [0.0])
            known_hues = hues[np.maximum(clades[known], 0)]
            looks.clade_hues = dict(zip(ids[known].tolist(), known_hues.tolist(), strict=True))

    def _below(self, number: int) -> list[int]:
        """Returns the numbers of a clade and of all clades that descend from it, in ascending order."""
        numbers = {number}
        for at, clade in enumerate(self.clades.clades):
            if clade.parent in numbers:
                numbers.add(at)
        return sorted(numbers)

    def choose(self, number: int) -> None:
        """Highlights the clade with this number, or removes the highlight if it is already highlighted."""
        self.chosen = -1 if number == self.chosen else number
        self._hues_s = -1e9

    # --- drawing

    def draw(self, session: Any, hooks: Hooks) -> None:
        """Draws the panel's content; called in every frame in which the panel is visible."""
        _, session.looks.lineages = imgui.checkbox("colour beings by clade", session.looks.lineages)
        imgui.same_line(0, 14)
        count = len(self.clades)
        state = "" if self._complete else ", loading ..."
        dim(f"{short(count)} births, {len(self.clades.clades)} clades{state}")
        if not count:
            dim(NO_BIRTHS if self._complete else "loading births ...")
            return
        self._prepare()
        self._tree(session)

    def _prepare(self) -> None:
        """Computes the rows and widths of the spindles, if clades or the choice have changed."""
        stamp = (len(self.clades), len(self.clades.clades), self.chosen)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        self._family = frozenset(self._below(self.chosen) if self.chosen >= 0 else ())
        self._order, self._row_of = self.clades.rows(MAX_ROWS)
        self._widths = spindle_widths(self.clades.row_counts(self._order, self._row_of))
        self._ticks = self.clades.first_tick + self.clades.bin_ticks * (np.arange(BINS) + 0.5)

    def _tree(self, session: Any) -> None:
        """Draws the plot of the tree."""
        room = imgui.get_content_region_avail()
        height = max(room.y, 90.0)
        if not implot.begin_plot("##tree", ImVec2(room.x, height), PLOT_FLAGS):
            return
        rows = len(self._order)
        clades = self.clades
        span = max(1, clades.last_tick - clades.first_tick)
        named = rows * ROW_PX <= height - 30
        implot.setup_axis(implot.ImAxis_.x1, None, TIME_FLAGS)
        implot.setup_axis(implot.ImAxis_.y1, None, ROW_FLAGS if named else BARE_ROW_FLAGS)
        always = imgui.Cond_.always
        implot.setup_axis_limits(
            implot.ImAxis_.x1, clades.first_tick - span * 0.01, clades.last_tick + span * 0.02, always
        )
        implot.setup_axis_limits(implot.ImAxis_.y1, -0.6, rows - 0.4, always)
        implot.setup_axis_format(implot.ImAxis_.x1, "%.0f")
        if named:
            names = [clade_name(session, clades, number) for number in self._order]
            implot.setup_axis_ticks(implot.ImAxis_.y1, [float(row) for row in range(rows)], names, False)
        implot.setup_finish()
        self._branches()
        self._spindles()
        self._mouse(session)
        implot.end_plot()

    def _branches(self) -> None:
        """Draws a line from each clade to the clade from which it split off."""
        spec = implot.Spec()
        spec.line_color, spec.line_weight = vector(DIM, 0.45), 1.0
        for row, number in enumerate(self._order):
            clade = self.clades.clades[number]
            if clade.parent >= 0:
                above = float(self._row_of[clade.parent])
                implot.plot_line(
                    "##branch", np.array([clade.tick, clade.tick], np.float64), np.array([above, row]), spec
                )

    def _spindles(self) -> None:
        """Draws the spindles; if a clade is chosen, those of clades that do not descend from it are dimmed."""
        spec = implot.Spec()
        family = self._family if self.chosen >= 0 else None
        last = min(BINS, (self.clades.last_tick - self.clades.first_tick) // self.clades.bin_ticks + 1)
        for row, number in enumerate(self._order):
            lit = family is None or number in family
            spec.fill_color = vector(hue_colour(self.clades.clades[number].hue, 0.62 if lit else 0.4))
            spec.fill_alpha = 0.9 if lit else 0.35
            widths = self._widths[row]
            alive = np.flatnonzero(widths)
            if not len(alive):
                continue
            first, end = max(0, int(alive[0]) - 1), min(last, int(alive[-1]) + 2)
            part = slice(first, max(end, first + 2))
            implot.plot_shaded(f"##{number}", self._ticks[part], row - widths[part], row + widths[part], spec)

    def _mouse(self, session: Any) -> None:
        """Chooses the clade that was clicked, and draws a tooltip for the clade under the mouse."""
        if not implot.is_plot_hovered():
            return
        row = round(implot.get_plot_mouse_pos().y)
        if not 0 <= row < len(self._order):
            return
        number = self._order[row]
        if imgui.is_mouse_clicked(imgui.MouseButton_.left):
            self.choose(number)
        clade = self.clades.clades[number]
        if imgui.begin_tooltip():
            imgui.text_colored(vector(hue_colour(clade.hue, 0.7)), clade_name(session, self.clades, number))
            origin = (
                f"split off from {clade_name(session, self.clades, clade.parent)}" if clade.parent >= 0 else "founded"
            )
            dim(f"{origin} at tick {clade.tick:,}")
            imgui.text_colored(vector(TEXT), f"{clade.births:,} births, the last at tick {clade.last_tick:,}")
            dim("click to highlight its beings in view")
            imgui.end_tooltip()


def hue_colour(hue: float, strength: float) -> Colour:
    """Returns the colour of a clade in panels; `strength` is the brightness from 0 to 1."""
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.58, min(1.0, strength + 0.32))
    return red, green, blue, 1.0

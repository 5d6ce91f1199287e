"""The dock: which panels are open, where they lie, and what lies over the picture besides.

Panels stand in three columns at the window's edges, and share the height of theirs. One that was moved by hand stays
where it was put, until the window has another size that it does not fit.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from imgui_bundle import ImVec2, icons_fontawesome_6, imgui

from umwelt.client.window.panels import status
from umwelt.client.window.panels.brain import Brain
from umwelt.client.window.panels.events import Events
from umwelt.client.window.panels.help import Help
from umwelt.client.window.panels.inspector import Inspector
from umwelt.client.window.panels.layers import Layers
from umwelt.client.window.panels.layout import BAR_PX, Spot, places
from umwelt.client.window.panels.lineage import Lineage
from umwelt.client.window.panels.nodes import Nodes
from umwelt.client.window.panels.populations import Populations
from umwelt.client.window.panels.theme import ACCENT, DIM, packed
from umwelt.client.window.panels.widgets import text_px
from umwelt.client.window.panels.world import Clockwork, World

ICON = icons_fontawesome_6
WINDOW_FLAGS = imgui.WindowFlags_.no_collapse | imgui.WindowFlags_.no_focus_on_appearing
TIMELINE_PX = 50.0
"""Room for the timeline at the lower edge."""
BANNER_BELOW_PX, TOASTS_ABOVE_PX = 62.0, 30.0
"""Banners leave room for the palette of tools under the bar, toasts for what is said of a steered being."""


class Panel(NamedTuple):
    """A panel: title, icon, where it stands, whether it needs something selected, and whether it begins open."""

    title: str
    icon: str
    spot: Spot
    selected: bool = False
    opened: bool = False
    words: str = ""


PANELS = (
    Panel("World", ICON.ICON_FA_EARTH_EUROPE, Spot("left", 262, 246), False, True, "time, its pace and its past"),
    Panel("Layers", ICON.ICON_FA_LAYER_GROUP, Spot("left", 212, 120, 296), False, True, "what the ground shows"),
    Panel(
        "Populations",
        ICON.ICON_FA_CHART_LINE,
        Spot("left", 218, 150, 290),
        False,
        True,
        "populations and matter over time",
    ),
    Panel(
        "Inspector",
        ICON.ICON_FA_MAGNIFYING_GLASS,
        Spot("right", 560, 190, 990),
        True,
        True,
        "all of the selected being",
    ),
    Panel("Brain", ICON.ICON_FA_BRAIN, Spot("right", 400, 340, 480), True, True, "what goes on in it, and why"),
    Panel("Lineage", ICON.ICON_FA_SITEMAP, Spot("middle", 300, 140), False, False, "the tree of life"),
    Panel("Nodes", ICON.ICON_FA_SERVER, Spot("middle", 190, 110), False, False, "who computes what"),
    Panel("Events", ICON.ICON_FA_LIST_UL, Spot("middle", 200, 110), False, False, "what happened"),
    Panel("Help", ICON.ICON_FA_CIRCLE_QUESTION, Spot("over", 470, 300), False, False, "keys (H)"),
)


class Dock:
    """See the page's top. `hooks` is what panels may ask the window for, by name; what is missing is not offered.

    `insets` (left, top, right, bottom) is room that panels leave to others.
    """

    def __init__(self, hooks: Mapping[str, Any] | None = None) -> None:
        self.hooks: dict[str, Any] = dict(hooks or {})
        self.visible = True
        self.open: dict[str, bool] = {panel.title: panel.opened for panel in PANELS}
        self.insets = (0.0, 0.0, 0.0, TIMELINE_PX)
        self.recorders: Sequence[Any] = ()
        """Recordings that are still being written."""
        self.clockwork = Clockwork()
        self.lineage, self.events = Lineage(), Events()
        self._drawn: dict[str, Any] = {
            "World": World(self.clockwork),
            "Layers": Layers(),
            "Populations": Populations(),
            "Inspector": Inspector(),
            "Brain": Brain(),
            "Lineage": self.lineage,
            "Nodes": Nodes(),
            "Events": self.events,
            "Help": Help(),
        }
        self._placed: dict[str, tuple[float, float, float, float]] = {}
        self._free: set[str] = set()
        """Panels that were moved by hand."""
        self._due: set[str] = set()
        """Panels that are to be put to their places."""
        self._display = (0.0, 0.0)
        self._arranged: tuple = ()

    # --- a frame

    def draw(self, session: Any, hooks: Any = None) -> None:
        """Draw all that is open; between `Gui.begin` and `Gui.end`."""
        if isinstance(hooks, Mapping):
            self.hooks.update(hooks)
        self.clockwork.turn(session)
        self._finish_recordings(session)
        clades = self.lineage.clades if len(self.lineage.clades) else None
        self.events.note(session, clades)
        self.lineage.turn(session, self.open["Lineage"] or session.looks.lineages)
        if not self.visible:
            return
        display = imgui.get_io().display_size
        self._arrange(session, display)
        self._bar(session, display)
        for panel in PANELS:
            if self.open[panel.title] and not (panel.selected and session.selected is None):
                self._panel(session, panel)
        left, top, right, bottom = self.insets
        middle = (display.x + left - right) / 2
        status.toasts(session, middle, display.y - bottom - TOASTS_ABOVE_PX, min(560.0, display.x * 0.6))
        status.banner(session, middle, top + BAR_PX + BANNER_BELOW_PX)

    def _finish_recordings(self, session: Any) -> None:
        """Say of recordings that they are written, or why not."""
        for recorder in list(self.recorders):
            if recorder.done:
                self.recorders = [one for one in self.recorders if one is not recorder]
                session.say(recorder.error_line or f"{recorder.path}: written", bad=bool(recorder.error_line))

    def _arrange(self, session: Any, display: ImVec2) -> None:
        """Where panels stand that were not moved by hand."""
        shown = [
            panel for panel in PANELS if self.open[panel.title] and not (panel.selected and session.selected is None)
        ]
        size = (display.x, display.y)
        if size != self._display:
            self._display = size
            self._free.clear()
        stamp = (tuple(panel.title for panel in shown), size, self.insets)
        if stamp == self._arranged:
            return
        self._arranged = stamp
        wanted = places([(panel.title, panel.spot) for panel in shown], size, self.insets)
        for title, place in wanted.items():
            if title in self._free:
                continue
            if self._placed.get(title) != place:
                self._placed[title] = place
                self._due.add(title)

    def _panel(self, session: Any, panel: Panel) -> None:
        title = panel.title
        x, y, width, height = self._placed.get(title, (60.0, 60.0, 320.0, 240.0))
        due = title in self._due
        if panel.spot.column == "over":
            imgui.set_next_window_bg_alpha(0.97)
        if due:
            self._due.discard(title)
            imgui.set_next_window_pos(ImVec2(x, y), imgui.Cond_.always)
            imgui.set_next_window_size(ImVec2(width, height), imgui.Cond_.always)
        imgui.push_style_var(imgui.StyleVar_.frame_padding, ImVec2(8, 5))
        shown, still = imgui.begin(f"{panel.icon}  {title}###{title}", True, WINDOW_FLAGS)
        imgui.pop_style_var()
        if shown:
            self._drawn[title].draw(session, self.hooks)
        if not due:
            self._watch(title, (x, y, width, height))
        imgui.end()
        self.open[title] = bool(still)

    def _watch(self, title: str, place: tuple[float, float, float, float]) -> None:
        """Whether a panel was moved, sized or docked by hand."""
        at, size = imgui.get_window_pos(), imgui.get_window_size()
        now = at.x, at.y, size.x, size.y
        if any(abs(a - b) > 1.5 for a, b in zip(now, place, strict=True)):
            self._free.add(title)

    # --- the bar at the top

    def _bar(self, session: Any, display: ImVec2) -> None:
        """A slim bar: which panels are open, and to the right where the world is."""
        parts = status.parts(session, self.clockwork)
        told_px = sum(text_px(text) + status.PART_GAP for text, _, needed in parts if needed)
        names_px = sum(text_px(f"{panel.icon}  {panel.title}") + 18 for panel in PANELS)
        worded = names_px + told_px + 30 < display.x
        imgui.push_style_var(imgui.StyleVar_.frame_padding, ImVec2(8, 6))
        imgui.push_style_var(imgui.StyleVar_.item_spacing, ImVec2(2, 0))
        if imgui.begin_main_menu_bar():
            imgui.set_cursor_pos_x(8)
            for panel in PANELS:
                self._toggle(session, panel, worded)
            status.told(parts, imgui.get_cursor_screen_pos().x + 16, display.x)
            imgui.end_main_menu_bar()
        imgui.pop_style_var(2)

    def _toggle(self, session: Any, panel: Panel, worded: bool) -> None:
        lit = self.open[panel.title]
        text = f"{panel.icon}  {panel.title}" if worded else panel.icon
        width = text_px(text) + 16
        corner = imgui.get_cursor_screen_pos()
        if imgui.invisible_button(panel.title, ImVec2(width, BAR_PX)):
            self.open[panel.title] = not lit
        hovered = imgui.is_item_hovered()
        drawn = imgui.get_window_draw_list()
        if lit or hovered:
            low, high = ImVec2(corner.x, corner.y + 3), ImVec2(corner.x + width, corner.y + BAR_PX - 3)
            drawn.add_rect_filled(low, high, packed(ACCENT, 0.16 if lit else 0.08), 5.0)
        drawn.add_text(ImVec2(corner.x + 8, corner.y + (BAR_PX - 18) / 2), packed(ACCENT if lit else DIM), text)
        if hovered:
            needs = " (select one)" if panel.selected and session.selected is None else ""
            imgui.set_tooltip(f"{panel.title}: {panel.words}{needs}")

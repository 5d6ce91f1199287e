"""The dock: which panels are open and where they are placed, the top bar, and notices over the world.

Panels are placed in three columns along the window's edges and share the height of their column. A panel that the user
moved or resized keeps its place until the window's size changes.
"""

from typing import Any, NamedTuple

from imgui_bundle import ImVec2, icons_fontawesome_6, imgui

from umwelt.client.window.panels import status
from umwelt.client.window.panels.brain import Brain
from umwelt.client.window.panels.events import Events
from umwelt.client.window.panels.help import Help
from umwelt.client.window.panels.hooks import Hooks
from umwelt.client.window.panels.inspector import Inspector
from umwelt.client.window.panels.layers import Layers
from umwelt.client.window.panels.layout import BAR_PX, Spot, places
from umwelt.client.window.panels.lineage import Lineage
from umwelt.client.window.panels.nodes import Nodes
from umwelt.client.window.panels.populations import Populations
from umwelt.client.window.panels.theme import ACCENT, DIM, packed
from umwelt.client.window.panels.timeline import STRIP_PX
from umwelt.client.window.panels.widgets import text_px
from umwelt.client.window.panels.world import Rates, World

ICON = icons_fontawesome_6
WINDOW_FLAGS = imgui.WindowFlags_.no_collapse | imgui.WindowFlags_.no_focus_on_appearing
BANNER_BELOW_PX, TOASTS_ABOVE_PX = 62.0, 30.0
"""Vertical distances in logical pixels: of banners from the top bar, and of notices from the margin at the bottom.

They leave room for the toolbar, and for the keys that steer a being.
"""
MOVED_PX = 1.5
"""The distance in logical pixels from its assigned place beyond which a panel counts as moved by the user."""


class Panel(NamedTuple):
    """A panel: title, icon, column and height, whether it needs a selected being and is open at first, and tooltip."""

    title: str
    icon: str
    spot: Spot
    needs_selection: bool
    starts_open: bool
    hint: str


PANELS = (
    Panel("World", ICON.ICON_FA_EARTH_EUROPE, Spot("left", 262, 246), False, True, "pause, speed, past, populations"),
    Panel("Layers", ICON.ICON_FA_LAYER_GROUP, Spot("left", 212, 120, 296), False, True, "what is drawn, and maps"),
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
        "body, drives, senses and genome of the selected being",
    ),
    Panel(
        "Brain",
        ICON.ICON_FA_BRAIN,
        Spot("right", 400, 340, 480),
        True,
        True,
        "the selected monster's neural net, and reasons for its drives",
    ),
    Panel("Lineage", ICON.ICON_FA_SITEMAP, Spot("middle", 300, 140), False, False, "the tree of life by clades"),
    Panel("Nodes", ICON.ICON_FA_SERVER, Spot("middle", 190, 110), False, False, "the nodes and their shards"),
    Panel("Events", ICON.ICON_FA_LIST_UL, Spot("middle", 200, 110), False, False, "what happened, newest first"),
    Panel("Help", ICON.ICON_FA_CIRCLE_QUESTION, Spot("over", 500, 300), False, False, "keys (H)"),
)
"""All panels, in the order of the buttons in the top bar."""


class Dock:
    """All panels of one window. The window sets `hooks`, what panels can do to it, and calls `draw` once a frame.

    `insets` (left, top, right, bottom, in logical pixels) are margins that panels leave free.
    """

    def __init__(self) -> None:
        self.hooks = Hooks()
        self.visible = True
        self.open: dict[str, bool] = {panel.title: panel.starts_open for panel in PANELS}
        self.insets = (0.0, 0.0, 0.0, STRIP_PX + 8)
        self.rates = Rates()
        self.lineage, self.events = Lineage(), Events()
        self._contents: dict[str, Any] = {
            "World": World(self.rates),
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
        """The assigned place (x, y, width, height) of each panel."""
        self._moved: set[str] = set()
        """Titles of panels that the user moved or resized."""
        self._due: set[str] = set()
        """Titles of panels that are moved to their assigned places in the next frame."""
        self._display = (0.0, 0.0)
        self._arranged: tuple = ()

    # --- once a frame

    def draw(self, session: Any) -> None:
        """Draws the top bar and all open panels; call it between `Gui.begin` and `Gui.end`."""
        self.rates.update(session)
        clades = self.lineage.clades if len(self.lineage.clades) else None
        self.events.note(session, clades)
        self.lineage.update(session, self.open["Lineage"] or session.looks.lineages)
        if not self.visible:
            return
        display = imgui.get_io().display_size
        self._arrange(session, display)
        self._bar(session, display)
        for panel in self._shown(session):
            self._panel(session, panel)
        left, top, right, bottom = self.insets
        middle = (display.x + left - right) / 2
        status.draw_notices(session, middle, display.y - bottom - TOASTS_ABOVE_PX, min(560.0, display.x * 0.6))
        status.draw_banner(session, middle, top + BAR_PX + BANNER_BELOW_PX)

    def _shown(self, session: Any) -> list[Panel]:
        """Returns the panels that are open, without those that need a selected being if there is none."""
        return [
            panel
            for panel in PANELS
            if self.open[panel.title] and not (panel.needs_selection and session.selected is None)
        ]

    def _arrange(self, session: Any, display: ImVec2) -> None:
        """Assigns places in the columns to all panels that the user has not moved."""
        shown = self._shown(session)
        size = (display.x, display.y)
        if size != self._display:
            self._display = size
            self._moved.clear()
        stamp = (tuple(panel.title for panel in shown), size, self.insets)
        if stamp == self._arranged:
            return
        self._arranged = stamp
        for title, place in places([(panel.title, panel.spot) for panel in shown], size, self.insets).items():
            if title not in self._moved and self._placed.get(title) != place:
                self._placed[title] = place
                self._due.add(title)

    def _panel(self, session: Any, panel: Panel) -> None:
        """Draws one panel."""
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
        expanded, still_open = imgui.begin(f"{panel.icon}  {title}###{title}", True, WINDOW_FLAGS)
        imgui.pop_style_var()
        if expanded:
            self._contents[title].draw(session, self.hooks)
        if not due:
            self._note_moved(title, (x, y, width, height))
        imgui.end()
        self.open[title] = bool(still_open)

    def _note_moved(self, title: str, place: tuple[float, float, float, float]) -> None:
        """Records whether the user moved, resized or docked the panel."""
        position, size = imgui.get_window_pos(), imgui.get_window_size()
        actual = position.x, position.y, size.x, size.y
        if any(abs(a - b) > MOVED_PX for a, b in zip(actual, place, strict=True)):
            self._moved.add(title)

    # --- the bar at the top

    def _bar(self, session: Any, display: ImVec2) -> None:
        """Draws the top bar: buttons that open and close panels on the left, the state of the world on the right."""
        parts = status.bar_parts(session, self.rates)
        needed_px = sum(text_px(text) + status.PART_GAP for text, _, needed in parts if needed)
        titles_px = sum(text_px(f"{panel.icon}  {panel.title}") + 18 for panel in PANELS)
        with_titles = titles_px + needed_px + 30 < display.x
        imgui.push_style_var(imgui.StyleVar_.frame_padding, ImVec2(8, 6))
        imgui.push_style_var(imgui.StyleVar_.item_spacing, ImVec2(2, 0))
        if imgui.begin_main_menu_bar():
            imgui.set_cursor_pos_x(8)
            for panel in PANELS:
                self._toggle(session, panel, with_titles)
            status.draw_bar_parts(parts, imgui.get_cursor_screen_pos().x + 16, display.x)
            imgui.end_main_menu_bar()
        imgui.pop_style_var(2)

    def _toggle(self, session: Any, panel: Panel, with_title: bool) -> None:
        """Draws the button that opens and closes a panel."""
        is_open = self.open[panel.title]
        text = f"{panel.icon}  {panel.title}" if with_title else panel.icon
        width = text_px(text) + 16
        corner = imgui.get_cursor_screen_pos()
        if imgui.invisible_button(panel.title, ImVec2(width, BAR_PX)):
            self.open[panel.title] = not is_open
        hovered = imgui.is_item_hovered()
        draw_list = imgui.get_window_draw_list()
        if is_open or hovered:
            low, high = ImVec2(corner.x, corner.y + 3), ImVec2(corner.x + width, corner.y + BAR_PX - 3)
            draw_list.add_rect_filled(low, high, packed(ACCENT, 0.16 if is_open else 0.08), 5.0)
        text_corner = ImVec2(corner.x + 8, corner.y + (BAR_PX - 18) / 2)
        draw_list.add_text(text_corner, packed(ACCENT if is_open else DIM), text)
        if hovered:
            needs = " (select a being first)" if panel.needs_selection and session.selected is None else ""
            imgui.set_tooltip(f"{panel.title}: {panel.hint}{needs}")

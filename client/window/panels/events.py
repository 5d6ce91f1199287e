"""The events panel: events of the world and notices of this window, newest first."""

from typing import Any, NamedTuple

from imgui_bundle import icons_fontawesome_6, imgui

from umwelt.client.window.panels.hooks import Hooks
from umwelt.client.window.panels.theme import ACCENT, BAD, DIM, GOOD, TEXT, WARN, Colour, vector
from umwelt.client.window.panels.widgets import dim

MAX_KEPT = 400
MAX_CLADES_REPORTED = 60
MIN_CLADE_BIRTHS = 12
"""The number of births from which a clade (a branch of the tree of life) is reported; most soon die out."""

ICON = icons_fontawesome_6
KINDS: dict[str, tuple[str, Colour]] = {
    "world": (ICON.ICON_FA_SERVER, DIM),
    "clade": (ICON.ICON_FA_CODE_BRANCH, ACCENT),
    "here": (ICON.ICON_FA_USER, TEXT),
    "extinct": (ICON.ICON_FA_SKULL, BAD),
    "back": (ICON.ICON_FA_SEEDLING, GOOD),
    "bad": (ICON.ICON_FA_TRIANGLE_EXCLAMATION, WARN),
}
"""The icon and colour of each kind of entry.

"world" are events of the cluster, "clade" new clades, "here" and "bad" notices and errors of this window, "extinct" and
"back" species that died out or reappeared.
"""


FILTERS: dict[str, tuple[str, ...]] = {
    "all": tuple(KINDS),
    "life": ("clade", "extinct", "back"),
    "cluster": ("world",),
    "this window": ("here", "bad"),
}
"""The kinds of entries that each choice of the panel displays."""


class Event(NamedTuple):
    """An entry of the list; `kind` is a key of `KINDS`."""

    tick: int
    kind: str
    line: str


class Events:
    """The content of the events panel. `note` collects events even while the panel is closed."""

    def __init__(self) -> None:
        self.lines: list[Event] = []
        self._world: set[tuple[int, str]] = set()
        self._status: Any = None
        self._series_at = 0
        self._lived: dict[str, bool] = {}
        """Whether each species had living beings at the latest measurement, by its name."""
        self._notice_s = -1e9
        self._clades: set[int] = set()
        self._births = 0
        self._chosen = "all"

    def note(self, session: Any, clades: Any) -> None:
        """Collects new events; called once a frame. `clades` is a `Clades`, None before any births are known."""
        status, self._status = self._status, session.status
        for event in (session.status.get("events") or ()) if status is not session.status else ():
            key = (event["tick"], event["line"])
            if key not in self._world:
                self._world.add(key)
                self._add(Event(event["tick"], "world", event["line"]))
        self._note_species(session)
        for notice in session.notices:
            if notice.at_s > self._notice_s:
                self._add(Event(session.tick, "bad" if notice.bad else "here", notice.line))
        if session.notices:
            self._notice_s = max(self._notice_s, session.notices[-1].at_s)
        if clades is not None and len(clades) != self._births and len(self._clades) < MAX_CLADES_REPORTED:
            self._births = len(clades)
            self._note_clades(session, clades)

    def _add(self, event: Event) -> None:
        """Inserts an event in order of ticks; beyond `MAX_KEPT` events, the oldest is removed."""
        at = len(self.lines)
        while at and self.lines[at - 1].tick > event.tick:
            at -= 1
        self.lines.insert(at, event)
        if len(self.lines) > MAX_KEPT:
            del self.lines[0]

    def _note_species(self, session: Any) -> None:
        """Adds events for species that have died out or reappeared."""
        series = session.series
        if not series.ticks or series.ticks[-1] <= self._series_at:
            return
        tick = self._series_at = series.ticks[-1]
        for name, curve in series.populations.items():
            lives = curve[-1] > 0
            before = self._lived.get(name)
            if before and not lives:
                self._add(Event(tick, "extinct", f"{name} died out"))
            elif before is False and lives:
                self._add(Event(tick, "back", f"{name} reappeared"))
            self._lived[name] = lives

    def _note_clades(self, session: Any, clades: Any) -> None:
        """Adds events for clades that have reached `MIN_CLADE_BIRTHS` births."""
        for number, clade in enumerate(clades.clades):
            if clade.parent >= 0 and clade.births >= MIN_CLADE_BIRTHS and number not in self._clades:
                self._clades.add(number)
                name = clade_name(session, clades, number)
                self._add(Event(clade.tick, "clade", f"{name} split off; {clade.births} births since"))

    def draw(self, session: Any, hooks: Hooks) -> None:
        """Draws the panel's content; called in every frame in which the panel is visible."""
        for name in FILTERS:
            if imgui.radio_button(name, self._chosen == name):
                self._chosen = name
            imgui.same_line(0, 12)
        imgui.new_line()
        imgui.separator()
        if not imgui.begin_child("lines"):
            imgui.end_child()
            return
        kinds = FILTERS[self._chosen]
        shown = [event for event in reversed(self.lines) if event.kind in kinds]
        clipper = imgui.ListClipper()
        clipper.begin(len(shown))
        while clipper.step():
            for at in range(clipper.display_start, clipper.display_end):
                _draw_line(shown[at])
        clipper.end()
        if not shown:
            dim("nothing yet")
        imgui.end_child()


def _draw_line(event: Event) -> None:
    icon, colour = KINDS[event.kind]
    dim(f"{event.tick:,}")
    imgui.same_line(64)
    imgui.text_colored(vector(colour), icon)
    imgui.same_line(0, 8)
    imgui.text(event.line)
    if imgui.is_item_hovered() and imgui.calc_text_size(event.line).x > imgui.get_content_region_avail().x - 90:
        imgui.set_tooltip(event.line)


def clade_name(session: Any, clades: Any, number: int) -> str:
    """Returns the name of a clade by its number from 0: its species and the number, counted from 1."""
    species = clades.clades[number].species
    names = session.known.species
    if isinstance(species, int):
        species = names[species] if 0 <= species < len(names) else f"species {species}"
    return f"{species} {number + 1}"

"""The selected being and its data, which is fetched again several times a second."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from umwelt.client.window.feed.feed import place_of
from umwelt.client.window.feed.frame import Frame
from umwelt.client.window.feed.series import Being, fits
from umwelt.sandbox.errors import UmweltError
from umwelt.sandbox.region import Torus
from umwelt.sandbox.units import SUBCELL

FETCH_PERIOD_S = 0.2
"""The minimum time in seconds between two fetches of the being."""


@dataclass
class Selected:
    """A selected being: its id, its table (kind of being) and its data.

    `being` is the data that the latest fetch has returned (see `series.Being`); None before the first.
    """

    id: int
    table: str = ""
    being: dict[str, Any] | None = None
    gone: bool = False
    """Whether the being has died or was removed."""
    missed: int = 0
    """The number of consecutive fetches that did not find the being."""
    asked_s: float = -1e9
    waiting: bool = False
    """Whether a fetch is in progress; `asked_s` is the time at which the latest one began."""
    family: dict[str, Any] | None = None
    """The births of its ancestors and children, by "ancestors" and "children"; None before they have been fetched."""


class Selection:
    """The selected being, if there is one, and whether the camera follows it."""

    def __init__(self) -> None:
        self.selected: Selected | None = None
        self.following = False

    def select(self, being: int, table: str = "") -> None:
        """Selects the being with the id `being`; 0 clears the selection. `table` is its table, if known."""
        if self.selected is not None and self.selected.id == being:
            return
        self.selected = Selected(being, table) if being else None
        self.following = self.following and bool(being)

    def place(self, frame: Frame, torus: Torus) -> tuple[float, float, float] | None:
        """Returns where the selected being is drawn: y and x in cells, heading in radians.

        For a being that is not drawn, this is the position of its latest fetch, with heading 0. None if there is none,
        or if no being is selected.
        """
        if self.selected is None:
            return None
        drawn = place_of(frame, self.selected.id, torus)
        being = self.selected.being
        if drawn is None and being is not None and not self.selected.gone:
            return being["y_fixed"] / SUBCELL, being["x_fixed"] / SUBCELL, 0.0
        return drawn

    def refresh(self, source: Any, ask: Callable[..., None], tick: int, now_s: float) -> None:
        """Starts a fetch of the being's data, unless that is already of `tick` or was requested recently.

        `source` is the connection, or the past tick that is displayed; `ask` is `Session.ask`.
        """
        selected = self.selected
        if selected is None or selected.waiting or selected.gone or now_s - selected.asked_s < FETCH_PERIOD_S:
            return
        if selected.being is not None and selected.being["tick"] == tick:
            return
        selected.waiting, selected.asked_s = True, now_s

        def receive(being: dict[str, Any] | None) -> None:
            selected.waiting = False
            if being is None:
                selected.missed += 1  # a query can miss a being once while it crosses from one node to another
                selected.gone = selected.missed > 1
                return
            selected.missed = 0
            if not fits(being, Being):
                return
            selected.being = being
            selected.table = being["kind"]

        def failed(line: str) -> None:
            selected.waiting = False

        with suppress(UmweltError):
            ask(source.fetch(selected.id), receive, failed)

"""What the window knows and does, without a pixel: the world behind it, what is selected, what was asked.

Panels and tools act on a session alone. Nothing here waits: questions give promises, and their answers are handed over
in `turn`, in the window's own thread.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from umwelt.client.connection.promises import Promise
from umwelt.client.window.feed.camera import Camera
from umwelt.client.window.feed.feed import Feed, place_of
from umwelt.client.window.feed.looks import Looks
from umwelt.client.window.feed.series import Being, Series, Status, fits
from umwelt.cluster.wire import viewer_protocol
from umwelt.cluster.wire.keys import KEEPER, WORLD
from umwelt.cluster.wire.viewer_protocol import LIVE
from umwelt.sandbox.errors import UmweltError
from umwelt.sandbox.region import Torus
from umwelt.sandbox.units import SUBCELL

FETCH_EVERY_S = 0.2
NEAR_BYTES_A_S, FAR_BYTES_A_S = 2.8e6, 0.95e6
"""What the window takes of the line at most: near by, and from afar."""
NOTICE_S = 6.0
NOTICES_KEPT = 100
MISSHAPEN = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError)
"""What answers of another shape than was asked for lead to."""
STALE_S = 2.5
"""Without a word from the server for so long, the window says that it reconnects."""


@dataclass
class Notice:
    """A line for the person at the window."""

    line: str
    at_s: float
    bad: bool = False


@dataclass
class Selected:
    """The being that is looked at: all that the world tells of it (`api.fetch`), asked anew several times a second."""

    id: int
    table: str = ""
    being: dict[str, Any] | None = None
    gone: bool = False
    """Whether it has died, or was taken out."""
    missed: int = 0
    """How often in a row nobody knew it."""
    asked_s: float = -1e9
    waiting: bool = False
    family: dict[str, Any] | None = None
    drives_seen: list[tuple[int, dict[str, int]]] = field(default_factory=list)
    """The last drives by tick, for curves."""


class Session:
    """See the page's top.

    `world` is a `PromisedConnection`, or a recording that answers like one; what is looked at is `looking`: the running
    world, or a moment of its past.
    """

    def __init__(self, world: Any, camera: Camera, clock: Callable[[], float] = time.monotonic):
        self.world, self.camera, self.clock = world, camera, clock
        self.core = world.core
        self.looking: Any = world
        self.feed = Feed(self.core)
        self.looks = Looks()
        self.series = Series()
        self.status: dict[str, Any] = {}
        self.selected: Selected | None = None
        self.following = False
        self.notices: list[Notice] = []
        self.reconnecting = False
        self.quitting = False
        self.done: list[Any] = []
        """What was done to the world from here (`sending.Done`)."""
        self.at_close: list[Callable[[], None]] = []
        """Called before the line is closed: whoever holds something gives it back."""
        self.awaited = LIVE
        """What will be shown when it has been replayed; the same as `shown` when nothing is waited for."""
        self._heard: dict[str, Any] = {}
        self._promises: list[tuple[Promise, Callable[[Any], None] | None, Callable[[str], None] | None]] = []
        # what was before the window came; plots do without it where it is not told
        self.ask(world.metrics(), self.series.begin, lambda line: None)

    # --- what there is

    @property
    def known(self) -> viewer_protocol.Welcome:
        """What the server told of the world."""
        return self.core.known

    @property
    def torus(self) -> Torus:
        """The world's height and width."""
        return self.feed.torus

    @property
    def shown(self) -> int:
        """`LIVE`, or the tick of the past that is shown."""
        return self.feed.shown

    @property
    def tick(self) -> int:
        """The tick that is on the screen."""
        return self.feed.frame.tick

    @property
    def keeper(self) -> bool:
        """Whether the world may be touched from here."""
        return self.known.role in (KEEPER, WORLD)

    # --- asking

    def ask(
        self, promise: Promise, then: Callable[[Any], None] | None = None, failed: Callable[[str], None] | None = None
    ) -> None:
        """Hand over an answer when it comes; why there is none becomes a notice, or goes to `failed`."""
        self._promises.append((promise, then, failed))

    def command(
        self,
        name: str,
        *arguments: Any,
        done: str = "",
        then: Callable[[Any], None] | None = None,
        failed: Callable[[str], None] | None = None,
        **named: Any,
    ) -> None:
        """Do something to the running world (a method of `api.Connection` by name); `done` is said when it is done."""

        def settled(tick: Any) -> None:
            if done:
                self.say(f"{done} (tick {tick})" if isinstance(tick, int) else done)
            if then is not None:
                then(tick)

        self.ask(getattr(self.world, name)(*arguments, **named), settled, failed)

    def say(self, line: str, bad: bool = False) -> None:
        """Tell the person at the window."""
        self.notices = [*self.notices[1 - NOTICES_KEPT :], Notice(line, self.clock(), bad)]

    @property
    def fresh_notices(self) -> list[Notice]:
        """What was said lately."""
        return [notice for notice in self.notices if self.clock() - notice.at_s < NOTICE_S]

    # --- selecting

    def select(self, being: int, table: str = "") -> None:
        """Look at a being; 0: at none."""
        if self.selected is not None and self.selected.id == being:
            return
        self.selected = Selected(being, table) if being else None
        self.looks.selected = being
        self.following = self.following and bool(being)

    def selected_place(self) -> tuple[float, float, float] | None:
        """Where the selected being is (y, x, heading), if that is known."""
        if self.selected is None:
            return None
        seen = place_of(self.feed.frame, self.selected.id, self.torus)
        being = self.selected.being
        if seen is None and being is not None and not self.selected.gone:
            return being["y_fixed"] / SUBCELL, being["x_fixed"] / SUBCELL, 0.0
        return seen

    # --- the past

    def show(self, tick: int) -> None:
        """Show a tick of the past beside the running world; `LIVE`: the running world again.

        Whatever is asked for last counts; a replay under way is given up by setting `awaited` to `shown`.
        """
        self.awaited = tick
        if tick == LIVE:
            self.looking = self.world
            self.feed.show(LIVE)
            return

        def there(moment: Any) -> None:
            if self.awaited != tick:
                return
            self.looking = moment
            self.feed.show(tick)
            self.say(f"tick {tick} is shown; the world goes on beside it")

        def failed(line: str) -> None:
            if self.awaited == tick:
                self.awaited = self.shown
                self.say(line, bad=True)

        self.say(f"replaying to tick {tick} ...")
        self.ask(self.world.show(tick), there, failed)

    # --- turns

    def turn(self, seconds: float) -> None:
        """Let time pass: once a frame."""
        now_s = self.clock()
        self._hear()
        waiting, self._promises = self._promises, []
        for promise, then, failed in waiting:
            if not promise.done:
                self._promises.append((promise, then, failed))
                continue
            try:
                found = promise.result()
            except UmweltError as error:
                (failed or (lambda line: self.say(line, bad=True)))(str(error))
            else:
                if then is None:
                    continue
                try:
                    then(found)
                except MISSHAPEN as error:  # nothing that a server says may close the window
                    line = f"{promise.what}: an answer of another kind: {' '.join(repr(error).split())[:200]}"
                    self.say(line, bad=True)
        self._look_at_selected(now_s)
        if self.following and (place := self.selected_place()) is not None:
            self.camera.look(place[0], place[1])
        self.camera.turn(seconds)
        wished = FAR_BYTES_A_S if list(self.camera.levels()) == ["densities"] else NEAR_BYTES_A_S
        if self.world.bytes_per_s != wished:
            self.world.bytes_per_s = wished
        self.feed.turn(self.camera, self.looks, now_s)

    def _hear(self) -> None:
        status, age_s = self.core.latest()
        self.reconnecting = age_s > STALE_S
        if status and status is not self._heard:
            self._heard = status
            if fits(status, Status):
                self.status = status
                self.series.note(status)

    def _look_at_selected(self, now_s: float) -> None:
        selected = self.selected
        if selected is None or selected.waiting or selected.gone or now_s - selected.asked_s < FETCH_EVERY_S:
            return
        if self.reconnecting or (selected.being is not None and selected.being["tick"] == self.tick):
            return
        selected.waiting, selected.asked_s = True, now_s

        def came(being: dict[str, Any] | None) -> None:
            selected.waiting = False
            if being is None:
                selected.missed += 1  # who crosses from one node to another may be missed once
                selected.gone = selected.missed > 1
                return
            selected.missed = 0
            if not fits(being, Being):
                return
            selected.being = being
            selected.table = being["kind"]
            if "drives" in being:
                selected.drives_seen = [*selected.drives_seen[-199:], (being["tick"], being["drives"])]

        def failed(line: str) -> None:
            selected.waiting = False

        with suppress(UmweltError):
            self.ask(self.looking.fetch(selected.id), came, failed)

    def close(self) -> None:
        """Leave; the world goes on."""
        for leave in self.at_close:
            leave()
        with suppress(UmweltError):
            self.feed.close()
        self.world.close()

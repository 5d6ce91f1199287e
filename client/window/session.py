"""The window's state without drawing: the connection, the displayed tick, the selected being, and notices.

Panels and tools reach the world only by a `Session`. No method but `close` waits for the gateway, the server to which
the window is connected: requests return promises (answers that may not have arrived yet), and `update` passes answers
that have arrived to the functions that are waiting for them. It runs in the window's thread, once a frame.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from umwelt.client.connection.promises import Promise
from umwelt.client.window.answers import Answers
from umwelt.client.window.feed.camera import Camera
from umwelt.client.window.feed.feed import Feed
from umwelt.client.window.feed.looks import Looks
from umwelt.client.window.feed.series import Series, Status, fits
from umwelt.client.window.notices import Notice, Notices
from umwelt.client.window.selection import Selected, Selection
from umwelt.cluster import KEEPER, LIVE, viewer_protocol
from umwelt.cluster import WORLD_ROLE as WORLD
from umwelt.sandbox.errors import UmweltError
from umwelt.sandbox.region import Torus

NEAR_BYTES_PER_S, FAR_BYTES_PER_S = 2.8e6, 0.95e6
"""Limits of the bytes per second that the gateway sends: while beings are drawn singly, and otherwise."""
STALE_S = 2.5
"""The time in seconds without a message of the gateway after which the connection counts as lost."""


class Session:
    """One window's view of one world, running or in the past. Created by `app`, closed when the window closes.

    `world` is a `PromisedConnection`, or a recording with the same methods. `looking` answers questions
    about what is displayed: it is `world`, or the past tick that is displayed (a `PromisedMoment`). `core` is the link
    under `world`, which receives tiles (squares of the world) and statuses.
    """

    def __init__(self, world: Any, camera: Camera, clock: Callable[[], float] = time.monotonic):
        self.world, self.camera, self.clock = world, camera, clock
        self.core = world.core
        self.looking: Any = world
        self.feed = Feed(self.core)
        self.looks = Looks()
        self.series = Series()
        self.status: dict[str, Any] = {}
        self.notices = Notices(clock)
        self.selection = Selection()
        self.reconnecting = False
        self.quitting = False
        self.done: list[Any] = []
        """The commands issued in this window (`sending.Done`), oldest first."""
        self.at_close: list[Callable[[], None]] = []
        """Functions that `close` calls before it closes the connection, such as one that releases a steered being."""
        self.awaited = LIVE
        """The tick that will be displayed once the gateway has replayed it; equal to `shown` when none is awaited."""
        self._last_status: dict[str, Any] = {}
        self._answers = Answers()
        # measurements from before the window opened; if the gateway has none, the plots begin at the present tick
        self.ask(world.metrics(), self.series.begin, lambda line: None)

    # --- properties

    @property
    def known(self) -> viewer_protocol.Welcome:
        """The description of the world that the gateway sent at first."""
        return self.core.known

    @property
    def torus(self) -> Torus:
        """The world's height and width in cells."""
        return self.feed.torus

    @property
    def shown(self) -> int:
        """The displayed tick of the past, or `LIVE`."""
        return self.feed.shown

    @property
    def tick(self) -> int:
        """The tick of what is drawn at present."""
        return self.feed.frame.tick

    @property
    def keeper(self) -> bool:
        """Whether this viewer may change the world."""
        return self.known.role in (KEEPER, WORLD)

    # --- queries and commands

    def ask(
        self, promise: Promise, then: Callable[[Any], None] | None = None, failed: Callable[[str], None] | None = None
    ) -> None:
        """Registers functions for the answer to a request: `then` is called with it, `failed` with an error line.

        They are called in a later `update`. Without `failed`, an error line is displayed as a notice.
        """
        self._answers.expect(promise, then, failed or self._report_error)

    def command(
        self,
        name: str,
        *arguments: Any,
        done: str = "",
        then: Callable[[Any], None] | None = None,
        failed: Callable[[str], None] | None = None,
        **named: Any,
    ) -> None:
        """Issues a command: calls the method `name` of the connection (see `api.Connection`).

        `arguments` and `named` are the method's arguments. On success, displays `done` (if not empty) as a notice, with
        the answer if that is a tick, and calls `then` with the answer. On failure, calls `failed` with an error line,
        or displays it as a notice.
        """

        def report(tick: Any) -> None:
            if done:
                self.say(f"{done} (tick {tick})" if isinstance(tick, int) else done)
            if then is not None:
                then(tick)

        self.ask(getattr(self.world, name)(*arguments, **named), report, failed)

    def say(self, line: str, bad: bool = False) -> None:
        """Displays a notice; `bad` marks an error."""
        self.notices.add(line, bad)

    def _report_error(self, line: str) -> None:
        self.say(line, bad=True)

    @property
    def fresh_notices(self) -> list[Notice]:
        """The notices that are still displayed."""
        return self.notices.recent()

    # --- the selected being

    @property
    def selected(self) -> Selected | None:
        """The selected being, or None."""
        return self.selection.selected

    @property
    def following(self) -> bool:
        """Whether the camera follows the selected being."""
        return self.selection.following

    @following.setter
    def following(self, following: bool) -> None:
        self.selection.following = following

    def select(self, being: int, table: str = "") -> None:
        """Selects the being with the id `being`; 0 clears the selection. `table` is its table (kind), if known."""
        self.selection.select(being, table)
        self.looks.selected = being

    def selected_place(self) -> tuple[float, float, float] | None:
        """Returns y and x in cells and the heading in radians of the selected being as drawn; None if unknown."""
        return self.selection.place(self.feed.frame, self.torus)

    # --- displaying the past

    def show(self, tick: int) -> None:
        """Displays a tick of the past while the world keeps running; `LIVE` displays the running world again.

        The latest call takes effect, even if an earlier replay finishes after it. To cancel a replay in progress, set
        `awaited` to `shown`.
        """
        self.awaited = tick
        if tick == LIVE:
            self.looking = self.world
            self.feed.show(LIVE)
            return

        def show_moment(moment: Any) -> None:
            if self.awaited != tick:
                return
            self.looking = moment
            self.feed.show(tick)
            self.say(f"showing tick {tick}; the world keeps running")

        def failed(line: str) -> None:
            if self.awaited == tick:
                self.awaited = self.shown
                self.say(line, bad=True)

        self.say(f"replaying to tick {tick} ...")
        self.ask(self.world.show(tick), show_moment, failed)

    # --- once a frame

    def update(self, seconds: float) -> None:
        """Advances by one frame of `seconds`.

        Delivers answers, fetches the selected being again, moves the camera, and updates what is drawn.
        """
        now_s = self.clock()
        self._read_status()
        self._answers.deliver(self._report_error)
        if not self.reconnecting:
            self.selection.refresh(self.looking, self.ask, self.tick, now_s)
        if self.following and (place := self.selected_place()) is not None:
            self.camera.look(place[0], place[1])
        self.camera.update(seconds)
        bytes_per_s = FAR_BYTES_PER_S if list(self.camera.levels()) == ["densities"] else NEAR_BYTES_PER_S
        if self.world.bytes_per_s != bytes_per_s:
            self.world.bytes_per_s = bytes_per_s
        self.feed.update(self.camera, self.looks, now_s)

    def _read_status(self) -> None:
        """Takes over the newest status of the world; sets `reconnecting` while the gateway has been silent too long."""
        status, age_s = self.core.latest()
        self.reconnecting = age_s > STALE_S
        if status and status is not self._last_status:
            self._last_status = status
            if fits(status, Status):
                self.status = status
                self.series.note(status)

    def close(self) -> None:
        """Calls the functions in `at_close` and closes the connection; the world keeps running."""
        for release in self.at_close:
            release()
        with suppress(UmweltError):
            self.feed.close()
        self.world.close()

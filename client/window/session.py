"""The window's state without any drawing: the connection, what is shown, what is selected, what was reported.

Panels and tools act on a `Session` alone. Nothing in it waits: commands and queries return promises, whose answers are
delivered in `turn`, in the window's own thread.
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
"""The most that the window asks the gateway to send, in bytes a second: near by, and when it shows densities only."""
STALE_S = 2.5
"""The connection counts as lost when the gateway has sent nothing for this many seconds."""


class Session:
    """One window's view of one world, live or in the past. Created by `app`, closed when the window closes.

    `world` is a `PromisedConnection`, or a recording with the same methods. `looking` is what queries go to: `world`,
    or a moment of its past.
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
        """The commands that were given in this window (`sending.Done`), oldest first."""
        self.at_close: list[Callable[[], None]] = []
        """Called before the connection closes, so that what is held can be released."""
        self.awaited = LIVE
        """The tick that is being replayed and will be shown; equal to `shown` when no replay is awaited."""
        self._last_status: dict[str, Any] = {}
        self._answers = Answers()
        # the history before the window opened; the plots do without it if the server does not have it
        self.ask(world.metrics(), self.series.begin, lambda line: None)

    # --- what is known

    @property
    def known(self) -> viewer_protocol.Welcome:
        """The server's description of the world."""
        return self.core.known

    @property
    def torus(self) -> Torus:
        """The world's height and width in cells."""
        return self.feed.torus

    @property
    def shown(self) -> int:
        """`LIVE`, or the tick of the past that is shown."""
        return self.feed.shown

    @property
    def tick(self) -> int:
        """The tick on the screen."""
        return self.feed.frame.tick

    @property
    def keeper(self) -> bool:
        """Whether this viewer may change the world."""
        return self.known.role in (KEEPER, WORLD)

    # --- queries and commands

    def ask(
        self, promise: Promise, then: Callable[[Any], None] | None = None, failed: Callable[[str], None] | None = None
    ) -> None:
        """Call `then` with the answer when it arrives; an error line goes to `failed`, or else becomes a notice."""
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
        """Give a command, a method of `api.Connection` by name; `done` is the notice that follows its success."""

        def report(tick: Any) -> None:
            if done:
                self.say(f"{done} (tick {tick})" if isinstance(tick, int) else done)
            if then is not None:
                then(tick)

        self.ask(getattr(self.world, name)(*arguments, **named), report, failed)

    def say(self, line: str, bad: bool = False) -> None:
        """Show a notice; `bad` marks an error."""
        self.notices.add(line, bad)

    def _report_error(self, line: str) -> None:
        self.say(line, bad=True)

    @property
    def fresh_notices(self) -> list[Notice]:
        """The notices that are still on the screen."""
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
        """Select a being by its id; 0 selects nothing."""
        self.selection.select(being, table)
        self.looks.selected = being

    def selected_place(self) -> tuple[float, float, float] | None:
        """Where the selected being is drawn (y, x in cells, heading in radians), if that is known."""
        return self.selection.place(self.feed.frame, self.torus)

    # --- the past

    def show(self, tick: int) -> None:
        """Show a tick of the past while the world runs on; `LIVE` shows the running world again.

        The last call counts. To give up a replay that is under way, set `awaited` to `shown`.
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

    def turn(self, seconds: float) -> None:
        """Advance by one frame: deliver answers, refresh the selected being, move the camera, update the feed."""
        now_s = self.clock()
        self._read_status()
        self._answers.deliver(self._report_error)
        if not self.reconnecting:
            self.selection.refresh(self.looking, self.ask, self.tick, now_s)
        if self.following and (place := self.selected_place()) is not None:
            self.camera.look(place[0], place[1])
        self.camera.turn(seconds)
        bytes_per_s = FAR_BYTES_PER_S if list(self.camera.levels()) == ["densities"] else NEAR_BYTES_PER_S
        if self.world.bytes_per_s != bytes_per_s:
            self.world.bytes_per_s = bytes_per_s
        self.feed.turn(self.camera, self.looks, now_s)

    def _read_status(self) -> None:
        status, age_s = self.core.latest()
        self.reconnecting = age_s > STALE_S
        if status and status is not self._last_status:
            self._last_status = status
            if fits(status, Status):
                self.status = status
                self.series.note(status)

    def close(self) -> None:
        """Close the connection; the world runs on."""
        for release in self.at_close:
            release()
        with suppress(UmweltError):
            self.feed.close()
        self.world.close()

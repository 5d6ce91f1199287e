"""The timeline of the run: which tick is displayed, playing the past, and forking the run.

A tick of the past is recomputed ("replayed") from the latest snapshot before it, a stored state of the world, while the
world keeps running. Until the replay is complete, the window continues to display the previous tick. To play the past
is to let the replay continue. To fork is to start a new run from a tick. `panels.timeline` draws the strip at the
bottom of the window.
"""

from typing import Any, NamedTuple

from umwelt.client.window.input.fork_dialog import fork_run
from umwelt.client.window.session import Session
from umwelt.cluster import LIVE
from umwelt.sandbox.errors import UmweltError

LIST_PERIOD_S = 5.0
"""The time in seconds after which the list of snapshots is fetched again."""
NOW_SHARE = 0.995
"""The position on the strip, from 0 to 1, from which on the end of a drag displays the running world."""
MAX_MARKS_NEAR = 3
"""The maximum number of marks in a tooltip."""
DEFAULT_TICKS_PER_S, MIN_TICKS_PER_S = 20.0, 0.25
"""The speed of playback at first, and the minimum that can be set."""
SNAPSHOT, KEPT, COMMAND, EVENT = "snapshot", "kept snapshot", "command", "event"
"""The kinds of marks on the timeline. Kept snapshots are not deleted automatically."""


class Mark(NamedTuple):
    """A snapshot, a command or an event on the timeline; `kind` is `SNAPSHOT`, `KEPT`, `COMMAND` or `EVENT`."""

    tick: int
    kind: str
    words: str


class Timeline:
    """The timeline of one session. `update` is called once a frame.

    `held` is the tick under the mouse while the strip is dragged, else None; `playing` is whether a replay of the
    past continues by itself.
    """

    def __init__(self, session: Session):
        self.session = session
        self.snapshots: list[dict[str, Any]] = []
        self.held: int | None = None
        self.playing = False
        self.play_ticks_per_s = DEFAULT_TICKS_PER_S
        self._listed_s = -1e9
        self._listing = False
        self._waiting_since_s: float | None = None
        self._shown = LIVE
        self._connection_lost = False

    # --- positions

    @property
    def reached(self) -> int:
        """The tick that the running world has reached."""
        return max(0, int(self.session.status.get("tick", 0)), self.session.shown)

    @property
    def position(self) -> int:
        """The tick to mark on the strip: the tick under the mouse during a drag, else the displayed tick."""
        if self.held is not None:
            return self.held
        shown = self.session.shown
        return self.reached if shown == LIVE else max(shown, self.session.tick)

    def share_of(self, tick: int) -> float:
        """Returns the position of a tick on the strip, from 0 to 1."""
        return min(1.0, max(0.0, tick / max(1, self.reached)))

    def tick_at(self, share: float) -> int:
        """Returns the tick at a position on the strip, from 0 to 1."""
        return round(min(1.0, max(0.0, share)) * self.reached)

    def marks(self) -> list[Mark]:
        """Returns the run's snapshots and events and the commands issued in this window, ordered by tick."""
        marks = []
        for snapshot in self.snapshots:
            kind = KEPT if snapshot.get("kept") else SNAPSHOT
            marks.append(Mark(snapshot["tick"], kind, kind))
        events = self.session.status.get("events") or ()
        marks += [Mark(int(event["tick"]), EVENT, str(event["line"])) for event in events]
        marks += [Mark(done.tick, COMMAND, done.words) for done in self.session.done]
        return sorted(mark for mark in marks if mark.tick <= self.reached)

    def marks_near(self, share: float, within: float) -> list[Mark]:
        """Returns at most `MAX_MARKS_NEAR` marks whose distance from the position `share` is at most `within`.

        Both are shares of the strip's length. Commands and events come before snapshots, else nearer marks first.
        """
        near = [mark for mark in self.marks() if abs(self.share_of(mark.tick) - share) <= within]
        near.sort(key=lambda mark: (mark.kind in (SNAPSHOT, KEPT), abs(self.share_of(mark.tick) - share)))
        return near[:MAX_MARKS_NEAR]

    # --- displaying a tick

    def drag(self, share: float) -> None:
        """Updates the drag of the strip to the position `share`, from 0 to 1."""
        self.held = self.tick_at(share)

    def drop(self) -> None:
        """Ends the drag and displays the tick at its end."""
        tick, self.held = self.held, None
        if tick is None:
            return
        if self.share_of(tick) >= NOW_SHARE:
            self.back_to_now()
        else:
            self.show(tick)

    def show(self, tick: int) -> None:
        """Displays a tick of the past, clamped to the ticks of the run."""
        tick = max(0, min(tick, self.reached))
        if self.waiting and tick == self.session.awaited:
            return
        try:
            self.session.show(tick)
        except UmweltError as error:
            self.session.awaited = self.session.shown
            self.session.say(str(error), bad=True)

    def back_to_now(self) -> None:
        """Displays the running world again and cancels an awaited replay."""
        self.held, self.playing = None, False
        if self.session.shown != LIVE:
            self.session.show(LIVE)
        self.session.awaited = LIVE

    @property
    def waiting(self) -> bool:
        """Whether a replay is in progress."""
        return self.session.awaited != self.session.shown

    @property
    def waited_s(self) -> float:
        """The time in seconds since the replay in progress began; 0 if there is none."""
        return 0.0 if self._waiting_since_s is None else self.session.clock() - self._waiting_since_s

    def cancel(self) -> None:
        """Cancels the replay in progress; the displayed tick stays."""
        if self.waiting:
            self.session.awaited = self.session.shown
            self.session.say("replay cancelled")

    # --- playing and forking

    @property
    def can_play(self) -> bool:
        """Whether a tick of the past is displayed, from which playback can start."""
        return self.session.shown != LIVE

    def toggle(self) -> None:
        """Starts or pauses playback of the past from the displayed tick."""
        if not self.can_play:
            self.session.say("this is the present: show a tick of the past first", bad=True)
            return
        self._play(0.0 if self.playing else self.play_ticks_per_s)

    def set_speed(self, ticks_per_s: float) -> None:
        """Sets the speed of playback, in ticks per second."""
        self.play_ticks_per_s = max(MIN_TICKS_PER_S, ticks_per_s)
        if self.playing:
            self._play(self.play_ticks_per_s)

    def _play(self, ticks_per_s: float) -> None:
        """Lets the replay continue from the displayed tick, at this speed; 0 pauses it."""
        moment = self.session.looking
        before, self.playing = self.playing, ticks_per_s > 0

        def failed(line: str) -> None:
            self.playing = before
            self.session.say(line, bad=True)

        try:
            promise = moment.play(ticks_per_s) if ticks_per_s else moment.rest()
            self.session.ask(promise, None, failed)
        except UmweltError as error:
            failed(str(error))

    def fork(self) -> None:
        """Forks the run at the displayed tick."""
        fork_run(self.session, self.position)

    # --- once a frame

    def update(self, now_s: float) -> None:
        """Fetches the list of snapshots periodically, and requests the displayed tick again after a reconnection."""
        session = self.session
        if session.shown != self._shown:
            self._shown, self.playing = session.shown, False
        if not self.waiting:
            self._waiting_since_s = None
        elif self._waiting_since_s is None:
            self._waiting_since_s = now_s
        if session.reconnecting:
            self._connection_lost = True
            return
        if self._connection_lost:
            self._connection_lost = False
            if session.shown != LIVE and not self.waiting:
                self.show(session.shown)  # a restarted gateway has lost its replays
        if not self._listing and now_s - self._listed_s >= LIST_PERIOD_S:
            self._list_snapshots(now_s)

    def _list_snapshots(self, now_s: float) -> None:
        """Starts a fetch of the list of snapshots; when it has arrived, it replaces `snapshots`."""
        self._listed_s, self._listing = now_s, True

        def receive(snapshots: list[dict[str, Any]]) -> None:
            self._listing, self.snapshots = False, list(snapshots)

        def failed(line: str) -> None:
            self._listing = False  # a world without a run folder has no snapshots; other errors are reported on replay

        try:
            self.session.ask(self.session.world.snapshots(), receive, failed)
        except UmweltError:
            self._listing = False

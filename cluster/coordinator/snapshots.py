"""State of a run's snapshots: the last complete one, the one that is being taken, and when the next is due. No I/O.

A snapshot is taken of a tick that no node has passed. Every member writes its part; when all parts and the record of
that tick (digest and counts of the full world) are present, the manifest, which lists the parts, is written, and the
snapshot is complete. *Temporary* snapshots are frequent and soon deleted; *kept* snapshots are permanent.
"""

from dataclasses import dataclass, field

from umwelt.cluster.instructions import CompleteSnapshot
from umwelt.cluster.run.store import Entry
from umwelt.cluster.wire.protocol import SnapshotPart, SnapshotRequest

MAX_RECOVERY_COST = 1 / 16
"""Maximum share of the nodes' time for temporary snapshots: costly snapshots are taken less often."""
COST_DECAY = 0.8
COST_AFTER_FAILURE_S = 1.0
"""Minimum cost assumed for a failed snapshot, so that the next one is not tried immediately."""


@dataclass
class SnapshotRound:
    """A snapshot that is being taken.

    If `reason` is not empty, the torus is divided among the nodes again (the *map* changes) as soon as the snapshot is
    complete, for this reason.
    """

    tick: int
    kept: bool
    reason: str = ""
    parts: dict[str, SnapshotPart] = field(default_factory=dict)
    """Complete parts, by the node's key."""
    fetching: dict[str, SnapshotPart] = field(default_factory=dict)
    """Parts whose files are being fetched from another host, by the node's key."""
    completing: bool = False

    @property
    def request(self) -> SnapshotRequest:
        """The request for this snapshot, which is sent to the nodes with every grant of time until it is complete."""
        return SnapshotRequest(self.tick, self.kept)


class Snapshots:
    """State of a run's snapshots. Owned by `CoordinatorMachine`.

    `mark_s` is the interval of temporary snapshots, `kept_s` that of kept snapshots, in seconds. `round` is the
    snapshot that is being taken, or None.
    """

    def __init__(self, last: Entry, mark_s: float, kept_s: float):
        self.last = last
        """The last complete snapshot."""
        self.round: SnapshotRound | None = None
        self._mark_s, self._kept_s = mark_s, kept_s
        self._last_any_s = self._last_kept_s = 0.0
        self._cost_s = 0.0

    def start_clock(self, now_s: float) -> None:
        """Starts the intervals of all snapshots."""
        self._last_any_s = self._last_kept_s = now_s

    def restart_interval(self, now_s: float) -> None:
        """Restarts the interval of temporary snapshots, because the world has just been loaded from a snapshot."""
        self._last_any_s = now_s

    def due(self, now_s: float) -> bool | None:
        """Returns True if a kept snapshot is due, False if a temporary snapshot is due, None if no snapshot is due."""
        if now_s - self._last_kept_s >= self._kept_s:
            return True
        if now_s - self._last_any_s >= max(self._mark_s, self._cost_s / MAX_RECOVERY_COST):
            return False
        return None

    def covers(self, tick: int, kept: bool) -> bool:
        """Returns whether the last complete snapshot is of `tick`, and is a kept one if `kept` is true."""
        return tick == self.last.tick and (not kept or self.last.kept)

    def join_round(self, tick: int, kept: bool, reason: str) -> bool:
        """Returns whether the snapshot that is being taken is of `tick`, and is a kept one if `kept` is true.

        If so, a `reason` that is not empty replaces the round's `reason` (see `SnapshotRound`).
        """
        if self.round is None or self.round.tick != tick or (kept and not self.round.kept):
            return False
        self.round.reason = reason or self.round.reason
        return True

    def is_present(self, tick: int, kept: bool) -> bool:
        """Returns whether a snapshot of `tick` is being taken: a kept one if `kept` is true, else a temporary one.

        Both values are compared, because a kept snapshot can replace a temporary snapshot of the same tick.
        """
        return self.round is not None and (self.round.tick, self.round.kept) == (tick, kept)

    def add_cost(self, cost_s: float) -> None:
        """Updates the estimated cost of a snapshot by the processor time that a node spent on its part."""
        self._cost_s = max(COST_DECAY * self._cost_s, cost_s) if self._cost_s else cost_s

    def complete(self, epoch: int, keys: list[str], totals: tuple[int, int] | None) -> list[CompleteSnapshot]:
        """Returns a list with the instruction to complete the snapshot, once; empty while parts or totals are missing.

        `keys` are the members' keys in the order of the map. `totals` are births and deaths from the start of the run
        to the snapshot's tick; None while the record of that tick is incomplete.
        """
        current = self.round
        assert current is not None
        if len(current.parts) < len(keys) or current.completing or totals is None:
            return []
        current.completing = True
        parts = tuple(current.parts[key].part for key in keys)
        controls = current.parts[keys[0]].controls
        return [CompleteSnapshot(epoch, current.tick, current.kept, parts, controls, *totals)]

    def finish(self, now_s: float, failed: bool) -> SnapshotRound:
        """Ends the snapshot that is being taken and returns it. Unless it failed, it becomes the last complete one."""
        finished, self.round = self.round, None
        assert finished is not None
        self._last_any_s = now_s
        if finished.kept:
            self._last_kept_s = now_s
        if failed:
            self._cost_s = max(COST_AFTER_FAILURE_S, self._cost_s)
        else:
            self.last = Entry(finished.tick, finished.kept)
        return finished

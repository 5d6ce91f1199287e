"""Snapshots of the whole world: which is the last complete one, which is being taken, and when the next is due. No I/O.

A snapshot is taken of a tick that no node has passed. Every member writes its part; when all parts and the record of
that tick are there, the manifest is written, and the snapshot is complete. Recovery snapshots are frequent and soon
replaced; *kept* ones are permanent.
"""

from dataclasses import dataclass, field

from umwelt.cluster.instructions import CompleteSnapshot
from umwelt.cluster.run.store import Entry
from umwelt.cluster.wire.protocol import SnapshotPart, SnapshotRequest

MAX_RECOVERY_COST = 1 / 16
"""Share of the nodes' time that recovery snapshots may cost: a costly one is taken less often."""
COST_DECAY = 0.8
COST_AFTER_FAILURE_S = 1.0
"""A snapshot that failed counts as so costly, so that the next one is not tried at once."""


@dataclass
class SnapshotRound:
    """A snapshot that is being taken. `reason` is the change of the map that waits for it, or empty."""

    tick: int
    kept: bool
    reason: str = ""
    parts: dict[str, SnapshotPart] = field(default_factory=dict)
    """Parts that have arrived, by the node's key."""
    fetching: dict[str, SnapshotPart] = field(default_factory=dict)
    """Parts whose files are being fetched from another host."""
    completing: bool = False

    @property
    def request(self) -> SnapshotRequest:
        """What grants ask nodes for."""
        return SnapshotRequest(self.tick, self.kept)


class Snapshots:
    """The snapshots of a run. Owned by `CoordinatorMachine`."""

    def __init__(self, last: Entry, mark_s: float, kept_s: float):
        self.last = last
        """The last complete snapshot."""
        self.round: SnapshotRound | None = None
        self._mark_s, self._kept_s = mark_s, kept_s
        self._last_any_s = self._last_kept_s = 0.0
        self._cost_s = 0.0

    def start_clock(self, now_s: float) -> None:
        """The intervals of snapshots begin."""
        self._last_any_s = self._last_kept_s = now_s

    def restart_interval(self, now_s: float) -> None:
        """The interval of recovery snapshots begins again: the world has just been loaded from one."""
        self._last_any_s = now_s

    def due(self, now_s: float) -> bool | None:
        """Whether the snapshot that is due is a kept one; None if none is due."""
        if now_s - self._last_kept_s >= self._kept_s:
            return True
        if now_s - self._last_any_s >= max(self._mark_s, self._cost_s / MAX_RECOVERY_COST):
            return False
        return None

    def covers(self, tick: int, kept: bool) -> bool:
        """Whether the last complete snapshot is of this tick and good enough."""
        return tick == self.last.tick and (not kept or self.last.kept)

    def join_round(self, tick: int, kept: bool, reason: str) -> bool:
        """Whether the snapshot that is being taken is of this tick and good enough; `reason` then waits for it."""
        if self.round is None or self.round.tick != tick or (kept and not self.round.kept):
            return False
        self.round.reason = reason or self.round.reason
        return True

    def is_present(self, tick: int, kept: bool) -> bool:
        """Whether this is the snapshot that is being taken; a kept one can replace a recovery one of its tick."""
        return self.round is not None and (self.round.tick, self.round.kept) == (tick, kept)

    def add_cost(self, cost_s: float) -> None:
        """Takes in what a part cost its node."""
        self._cost_s = max(COST_DECAY * self._cost_s, cost_s) if self._cost_s else cost_s

    def complete(self, epoch: int, keys: list[str], totals: tuple[int, int] | None) -> list[CompleteSnapshot]:
        """Returns the instruction to complete the snapshot, once all parts and the tick's totals are there.

        `keys` are those of the members, `totals` births and deaths until the tick.
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
        """Ends the round. Without failure its snapshot is the last complete one from now on."""
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

"""Messages from a node to its coordinator, without I/O: heartbeats, and reports that are sent until acknowledged."""

from collections.abc import Sequence
from typing import Any

from umwelt.cluster.events import TickFinished
from umwelt.cluster.instructions import SendMessage
from umwelt.cluster.wire.protocol import Heartbeat, NumberedReport, ReportContent

RESEND_AFTER_S = 0.4
MAX_RESENDS = 8
"""Maximum number of reports that one call of `resend` sends."""
TICK_TIME_WEIGHT = 0.1
"""Weight of the newest tick in the moving average of the time of a tick."""
LONGEST_DECAY = 0.98
"""Factor by which the recorded longest interval between two heartbeats decays with each heartbeat."""


class Reporting:
    """Heartbeats and numbered reports of one node. Owned by `NodeMachine` for the lifetime of the node.

    A report is resent until a grant acknowledges its number. Numbers start at 1 with every map, that is whenever the
    torus is divided among the nodes (`begin`).
    """

    def __init__(self, coordinator: str):
        self._coordinator = coordinator
        self._key, self._epoch = "", -1
        self._unacknowledged: dict[int, tuple[NumberedReport, Sequence[Any], float]] = {}
        """Reports by number, with their raw frames and the time at which they were last sent."""
        self._last_number = 0
        self._heartbeat_s = float("-inf")
        self._longest_s = 0.0
        self._tick_s = 0.0
        self._entities = self._resident_bytes = 0

    def begin(self, key: str, epoch: int) -> None:
        """Starts the reports of a new map, and drops unacknowledged reports of the old map."""
        self._key, self._epoch = key, epoch
        self._unacknowledged.clear()
        self._last_number = 0
        self._tick_s = 0.0

    def report(self, content: ReportContent, now_s: float, raw: Sequence[Any] = ()) -> SendMessage:
        """Returns the message of a report, which is kept for resending until it is acknowledged."""
        self._last_number += 1
        message = NumberedReport(self._key, self._epoch, self._last_number, content)
        self._unacknowledged[self._last_number] = (message, raw, now_s)
        return SendMessage(self._coordinator, message, raw)

    def acknowledge(self, number: int) -> None:
        """Drops all reports up to `number`, which have arrived."""
        for old in [kept for kept in self._unacknowledged if kept <= number]:
            del self._unacknowledged[old]

    def resend(self, now_s: float) -> list[SendMessage]:
        """Returns the oldest reports that were not acknowledged within `RESEND_AFTER_S`, to be sent again."""
        sends = []
        for number, (message, raw, sent_s) in sorted(self._unacknowledged.items())[:MAX_RESENDS]:
            if now_s - sent_s >= RESEND_AFTER_S:
                self._unacknowledged[number] = (message, raw, now_s)
                sends.append(SendMessage(self._coordinator, message, raw))
        return sends

    def loaded(self, entities: int) -> None:
        """Sets the number of beings after the shard was loaded."""
        self._entities = entities

    def tick_finished(self, event: TickFinished) -> None:
        """Updates the values that the next heartbeats report: beings, memory, and the mean time of a tick."""
        self._entities, self._resident_bytes = event.entities, event.resident_bytes
        first = self._tick_s == 0
        self._tick_s = event.step_s if first else self._tick_s + TICK_TIME_WEIGHT * (event.step_s - self._tick_s)

    def heartbeat_due(self, now_s: float, interval_s: float) -> bool:
        """Returns whether the last heartbeat was sent at least `interval_s` ago."""
        return now_s - self._heartbeat_s >= interval_s

    def heartbeat(self, tick: int, waiting_share: float, round_trip_s: float, now_s: float) -> SendMessage:
        """Returns a heartbeat with the present values.

        `waiting_share` is the share of time spent waiting for messages of neighbours (0 to 1), `round_trip_s` the time
        for a message to a neighbour and back (0 if unknown).
        """
        if self._heartbeat_s > 0:
            self._longest_s = max(LONGEST_DECAY * self._longest_s, now_s - self._heartbeat_s)
        self._heartbeat_s = now_s
        heartbeat = Heartbeat(
            self._key,
            self._epoch,
            tick,
            self._entities,
            self._tick_s,
            waiting_share,
            self._resident_bytes,
            round_trip_s,
            self._longest_s,
        )
        return SendMessage(self._coordinator, heartbeat)

"""The exchange of halos between a node and its neighbours, without I/O.

Every `ticks_per_exchange` ticks the halo of a shard is used up. Then the node sends to each *taker* what the taker's
window shows of its shard, waits for the halo messages of all its *sources* at the same tick, and rebuilds its halo.
A halo message that does not come is requested again; what was sent stays at hand for that.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from umwelt.cluster.events import MessageReceived
from umwelt.cluster.instructions import CutHalo, PasteHalo, SendMessage
from umwelt.cluster.partition import neighbours
from umwelt.cluster.wire.protocol import Assignment, HaloMessage, HaloRequest, Ping, Pong
from umwelt.sandbox.region import Rectangle, Torus

REQUEST_AFTER_S = 0.25
"""A missing halo message is requested after this time, or three round trips if they take longer."""
EXCHANGES_KEPT = 2
"""A neighbour that misses a halo message of ours is at most one exchange behind."""
MAX_EARLY = 16
MAX_EARLY_BYTES = 64 << 20
"""The sender of an early halo message cannot be checked yet, so few are kept; the others can be requested."""
SLOW_ROUND_TRIP_S = 0.005
"""Halo messages are compressed on slower connections; on faster ones that takes longer than it saves."""
MIN_BYTES_PER_S = 4 << 20
"""The slowest connection that is reckoned with: until a halo message can have arrived, it is not sent again."""
PING_S, FIRST_PINGS_S = 1.0, 0.2
PINGS_KEPT, PINGS_NEEDED = 8, 4
WAIT_WINDOW_S = 2.0


@dataclass
class WaitMeter:
    """Measures the share of time that a node spends waiting for halo messages, over windows of two seconds."""

    window_start_s: float = 0.0
    since_s: float | None = None
    """When the present wait began; None while the node does not wait."""
    share: float = 0.0
    """Over the last complete window, 0 to 1."""
    _waited_s: float = 0.0

    def begin(self, now_s: float) -> None:
        """The node has nothing to do but wait."""
        if self.since_s is None:
            self.since_s = now_s

    def end(self, now_s: float) -> None:
        """All halo messages have arrived."""
        if self.since_s is not None:
            self._waited_s += now_s - self.since_s
            self.since_s = None
        if now_s - self.window_start_s > WAIT_WINDOW_S:
            self.share = min(1.0, self._waited_s / (now_s - self.window_start_s))
            self.window_start_s, self._waited_s = now_s, 0.0


class RoundTripMeter:
    """Measures how long a message to a neighbour and back takes. A busy neighbour answers late: the minimum counts."""

    def __init__(self) -> None:
        self.round_trip_s = 0.0
        """0 until it is known."""
        self.counts_from_s = float("inf")
        """Pings sent earlier do not count: they waited until the neighbour had loaded its shard."""
        self._pinged_s = float("-inf")
        self._samples_s: list[float] = []

    def begin(self, now_s: float, interval_s: float) -> bool:
        """Begins another measurement, if the last one was `interval_s` ago; returns whether pings are to be sent."""
        if now_s - self._pinged_s < (interval_s if len(self._samples_s) >= PINGS_KEPT else FIRST_PINGS_S):
            return False
        self._pinged_s = now_s
        return True

    def add(self, sent_s: float, now_s: float) -> None:
        """Takes in an answer to the ping that was sent at `sent_s`."""
        if sent_s < self.counts_from_s:
            return
        self._samples_s = [*self._samples_s[1 - PINGS_KEPT :], max(0.0, now_s - sent_s)]
        if len(self._samples_s) >= PINGS_NEEDED:  # a single one may have queued behind a halo message
            self.round_trip_s = min(self._samples_s)


class EarlyHaloMessages:
    """Halo messages of a map that has reached a neighbour before it reached this node: a bounded number of them."""

    def __init__(self) -> None:
        self._events: list[MessageReceived] = []

    def __len__(self) -> int:
        return len(self._events)

    def add(self, event: MessageReceived) -> None:
        """Keeps a halo message until its map arrives, if there is room."""
        size = sum(len(frame) for kept in [*self._events, event] for frame in kept.raw)
        if len(self._events) < MAX_EARLY and size <= MAX_EARLY_BYTES:
            self._events.append(event)

    def take(self) -> list[MessageReceived]:
        """Removes and returns all that are kept."""
        events, self._events = self._events, []
        return events

    def drop_before(self, epoch: int) -> None:
        """Drops those of older maps."""
        self._events = [
            event for event in self._events if isinstance(event.message, HaloMessage) and event.message.epoch >= epoch
        ]


class HaloExchange:
    """The halo exchange of one assignment. `NodeMachine` makes one for each map and drops it with the map.

    `sources` and `takers` are the neighbours' indices in the map. `exact_tick` is the tick at which the halo was
    last rebuilt.
    """

    def __init__(self, assignment: Assignment, torus: Torus, reach: int, now_s: float):
        self.assignment = assignment
        halo_cells, own = reach * assignment.ticks_per_exchange, assignment.which
        rectangles = [Rectangle(*member.rectangle) for member in assignment.members]
        others = [index for index in range(len(rectangles)) if index != own]
        self.sources = tuple(index for index in neighbours(rectangles, own, halo_cells, torus) if index != own)
        self.takers = tuple(index for index in others if own in neighbours(rectangles, index, halo_cells, torus))
        self.exact_tick = -1
        self.wait = WaitMeter(now_s)
        self.round_trip = RoundTripMeter()
        self._sent: dict[int, dict[int, list[Any]]] = {}
        """Contents of our halo messages of the last exchanges, by tick and taker."""
        self._received: dict[int, dict[int, list[Any]]] = {}
        """Contents of the neighbours' halo messages, by tick and source."""
        self._arrives_s: dict[tuple[int, int], float] = {}
        """When a halo message of ours can have arrived, by tick and taker."""
        self._requested_s = 0.0

    def is_due(self, tick: int) -> bool:
        """Whether the halo is used up at a tick."""
        return (tick - self.assignment.tick) % self.assignment.ticks_per_exchange == 0 and self.exact_tick != tick

    def next_action(self, tick: int, now_s: float) -> CutHalo | PasteHalo | None:
        """Returns the next action of the exchange that is due at `tick`; None while halo messages are missing."""
        if tick not in self._sent:
            return CutHalo(tick, self.takers, self.round_trip.round_trip_s > SLOW_ROUND_TRIP_S)
        if self._missing(tick):
            self.wait.begin(now_s)
            return None
        self.wait.end(now_s)
        return PasteHalo(tick, self._received.get(tick, {}))

    def send_cut(self, tick: int, contents: dict[int, list[Any]], now_s: float) -> list[SendMessage]:
        """Keeps what was cut for the takers at a tick, and sends it."""
        self._sent[tick] = contents
        return self._send(tick, self.takers, now_s)

    def mark_pasted(self, tick: int) -> None:
        """The halo is exact at `tick`; what no neighbour can need any more is dropped."""
        self.exact_tick = tick
        oldest = tick - EXCHANGES_KEPT * self.assignment.ticks_per_exchange
        for contents in (self._sent, self._received):
            for old in [kept for kept in contents if kept <= oldest]:
                del contents[old]
        self._arrives_s = {key: end_s for key, end_s in self._arrives_s.items() if key[0] > oldest}

    def discard(self, tick: int, source: int) -> None:
        """Drops a malformed halo message, so that another can take its place."""
        self._received.get(tick, {}).pop(source, None)

    def receive(self, message: HaloMessage, raw: Sequence[Any], tick: int) -> bool:
        """Keeps a neighbour's halo message. Returns False if it is not for this node, or too late, or too early."""
        if message.source not in self.sources or message.taker != self.assignment.which:
            return False
        interval = self.assignment.ticks_per_exchange
        late = message.tick < tick or message.tick == self.exact_tick
        if late or message.tick > tick + 2 * interval or (message.tick - self.assignment.tick) % interval:
            return False
        self._received.setdefault(message.tick, {}).setdefault(message.source, list(raw))
        return True

    def request_missing(self, tick: int, now_s: float) -> list[SendMessage]:
        """Requests the halo messages of `tick` that have not come, if the node has waited long enough."""
        since_s = self.wait.since_s
        patience_s = max(REQUEST_AFTER_S, 3 * self.round_trip.round_trip_s)
        if since_s is None or now_s - max(since_s, self._requested_s) < patience_s:
            return []
        self._requested_s = now_s
        own = self.assignment
        request = HaloRequest(own.epoch, own.pass_key, tick, own.which)
        return [SendMessage(own.members[source].address, request) for source in self._missing(tick)]

    def resend(self, request: HaloRequest, now_s: float) -> list[SendMessage]:
        """Answers a neighbour's request, unless the halo message can still be on its way."""
        if now_s < self._arrives_s.get((request.tick, request.source), 0.0):
            return []
        return self._send(request.tick, (request.source,), now_s)

    def mark_unsent(self, send: SendMessage) -> None:
        """A halo message could not be sent: a request for it is answer at once."""
        if isinstance(send.message, HaloMessage):
            self._arrives_s.pop((send.message.tick, send.message.taker), None)

    def ping(self, now_s: float, interval_s: float = PING_S) -> list[SendMessage]:
        """Pings the sources, if `interval_s` has passed. Best just after their halo messages: the line is free."""
        if not self.round_trip.begin(now_s, interval_s):
            return []
        own = self.assignment
        ping = Ping(own.epoch, own.pass_key, own.which, now_s)
        return [SendMessage(own.members[source].address, ping) for source in self.sources]

    def pong(self, ping: Ping) -> list[SendMessage]:
        """Answers a neighbour's ping."""
        own = self.assignment
        return [
            SendMessage(own.members[ping.source].address, Pong(own.epoch, own.pass_key, own.which, ping.sent_s)),
        ]

    def _missing(self, tick: int) -> list[int]:
        received = self._received.get(tick, {})
        return [source for source in self.sources if source not in received]

    def _send(self, tick: int, takers: Sequence[int], now_s: float) -> list[SendMessage]:
        own, contents = self.assignment, self._sent.get(tick, {})
        sends = []
        for taker in takers:
            size = sum(len(frame) for frame in contents.get(taker, ()))
            self._arrives_s[tick, taker] = now_s + self.round_trip.round_trip_s / 2 + size / MIN_BYTES_PER_S
            if taker in contents:
                message = HaloMessage(own.epoch, own.pass_key, tick, own.which, taker)
                sends.append(SendMessage(own.members[taker].address, message, contents[taker]))
        return sends

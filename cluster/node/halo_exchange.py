"""The exchange of halos between a node and its neighbours, without I/O.

When a halo is rebuilt, all its cells are *exact*: they equal the cells of the nodes that own them. The node computes
the halo along with its shard, but not the cells beyond it, so the exact part shrinks with every tick, until after
`ticks_per_exchange` ticks none of it is exact. Then the node sends a halo message to each *taker* (a neighbour whose
halo overlaps its shard), waits for the halo messages of all its *sources* (the neighbours that its own halo overlaps)
of the same tick, and rebuilds its halo. Missing halo messages are requested again; the sender keeps the contents of
recent halo messages for that purpose.

The *map* lists the nodes with their rectangles of the torus. When it changes, the coordinator sends an `Assignment`.
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
"""Time after which a missing halo message is requested, or three times the round-trip time if that is longer."""
EXCHANGES_KEPT = 2
"""Number of exchanges whose halo messages are kept for resending: a neighbour is at most one exchange behind."""
MAX_EARLY = 16
MAX_EARLY_BYTES = 64 << 20
"""Bounds on stored halo messages of maps that this node has not received yet.

Their senders cannot be authenticated yet, so few are kept; dropped messages are requested again.
"""
SLOW_ROUND_TRIP_S = 0.005
"""Round-trip time above which halo messages are compressed: on faster connections compression costs more time than
it saves."""
MIN_BYTES_PER_S = 4 << 20
"""Assumed minimum bandwidth: a halo message is not resent until it could have arrived at this rate."""
PING_S, FIRST_PINGS_S = 1.0, 0.2
"""Minimum interval of pings in seconds, and the interval until `PINGS_KEPT` pings were answered."""
PINGS_KEPT, PINGS_NEEDED = 8, 4
"""Number of recent measurements whose minimum is the round-trip time, and the number needed for a first result."""
WAIT_WINDOW_S = 2.0


@dataclass
class WaitMeter:
    """Measures the share of time that a node spends waiting for halo messages, over windows of two seconds."""

    window_start_s: float = 0.0
    since_s: float | None = None
    """Time at which the present wait began; None while the node does not wait."""
    share: float = 0.0
    """Share of the last complete window that was spent waiting, 0 to 1."""
    _waited_s: float = 0.0

    def begin(self, now_s: float) -> None:
        """Marks the start of a wait for halo messages; no effect if the node already waits."""
        if self.since_s is None:
            self.since_s = now_s

    def end(self, now_s: float) -> None:
        """Marks the end of a wait, because all halo messages have arrived; updates `share` after each window."""
        if self.since_s is not None:
            self._waited_s += now_s - self.since_s
            self.since_s = None
        if now_s - self.window_start_s > WAIT_WINDOW_S:
            self.share = min(1.0, self._waited_s / (now_s - self.window_start_s))
            self.window_start_s, self._waited_s = now_s, 0.0


class RoundTripMeter:
    """Measures the time for a message to a neighbour and back.

    It is the minimum over the recent pings, because busy neighbours answer late.
    """

    def __init__(self) -> None:
        self.round_trip_s = 0.0
        """Round-trip time in seconds; 0 until enough pings were answered."""
        self.counts_from_s = float("inf")
        """Time before which sent pings are ignored: they may have waited until the neighbour had loaded its shard."""
        self._pinged_s = float("-inf")
        self._samples_s: list[float] = []

    def begin(self, now_s: float, interval_s: float) -> bool:
        """Returns whether pings are to be sent now: the previous ones were sent at least `interval_s` ago.

        The interval is `FIRST_PINGS_S` until enough pings were answered. If the result is true, the caller must send
        the pings.
        """
        if now_s - self._pinged_s < (interval_s if len(self._samples_s) >= PINGS_KEPT else FIRST_PINGS_S):
            return False
        self._pinged_s = now_s
        return True

    def add(self, sent_s: float, now_s: float) -> None:
        """Adds the measurement of a ping that was sent at `sent_s` and answered at `now_s`."""
        if sent_s < self.counts_from_s:
            return
        self._samples_s = [*self._samples_s[1 - PINGS_KEPT :], max(0.0, now_s - sent_s)]
        if len(self._samples_s) >= PINGS_NEEDED:  # a single ping may have queued behind a halo message
            self.round_trip_s = min(self._samples_s)


class EarlyHaloMessages:
    """Stored halo messages of maps that this node has not received yet. Their number and size are bounded."""

    def __init__(self) -> None:
        self._events: list[MessageReceived] = []

    def __len__(self) -> int:
        return len(self._events)

    def add(self, event: MessageReceived) -> None:
        """Stores a halo message until its map arrives; drops it if the bounds would be exceeded."""
        size = sum(len(frame) for kept in [*self._events, event] for frame in kept.raw)
        if len(self._events) < MAX_EARLY and size <= MAX_EARLY_BYTES:
            self._events.append(event)

    def take(self) -> list[MessageReceived]:
        """Removes and returns all stored halo messages."""
        events, self._events = self._events, []
        return events

    def drop_before(self, epoch: int) -> None:
        """Drops the halo messages of maps older than `epoch`."""
        self._events = [
            event for event in self._events if isinstance(event.message, HaloMessage) and event.message.epoch >= epoch
        ]


class HaloExchange:
    """The halo exchange of one assignment. `NodeMachine` creates an instance for each map.

    `reach` is the number of cells that an effect can travel in one tick. `sources` and `takers` are the neighbours'
    indices in the map. `exact_tick` is the tick at which the halo was last rebuilt, -1 before the first exchange.
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
        """Contents of the halo messages sent in the last exchanges, by tick and taker."""
        self._received: dict[int, dict[int, list[Any]]] = {}
        """Contents of the received halo messages, by tick and source."""
        self._arrives_s: dict[tuple[int, int], float] = {}
        """Estimated arrival times of sent halo messages, by tick and taker."""
        self._requested_s = 0.0

    def is_due(self, tick: int) -> bool:
        """Returns whether the halo must be rebuilt before `tick` can be computed."""
        return (tick - self.assignment.tick) % self.assignment.ticks_per_exchange == 0 and self.exact_tick != tick

    def next_action(self, tick: int, now_s: float) -> CutHalo | PasteHalo | None:
        """Returns the next action of the exchange at `tick`; None while halo messages are missing.

        First, `CutHalo` copies the contents of the halo messages to be sent; later, `PasteHalo` rebuilds the halo from
        the received ones.
        """
        if tick not in self._sent:
            return CutHalo(tick, self.takers, self.round_trip.round_trip_s > SLOW_ROUND_TRIP_S)
        if self._missing(tick):
            self.wait.begin(now_s)
            return None
        self.wait.end(now_s)
        return PasteHalo(tick, self._received.get(tick, {}))

    def send_cut(self, tick: int, contents: dict[int, list[Any]], now_s: float) -> list[SendMessage]:
        """Returns the halo messages of `tick` to all takers, and keeps their `contents` for resending."""
        self._sent[tick] = contents
        return self._send(tick, self.takers, now_s)

    def mark_pasted(self, tick: int) -> None:
        """Marks the halo as exact at `tick`, and drops contents that no neighbour can request any more."""
        self.exact_tick = tick
        oldest = tick - EXCHANGES_KEPT * self.assignment.ticks_per_exchange
        for contents in (self._sent, self._received):
            for old in [kept for kept in contents if kept <= oldest]:
                del contents[old]
        self._arrives_s = {key: end_s for key, end_s in self._arrives_s.items() if key[0] > oldest}

    def discard(self, tick: int, source: int) -> None:
        """Drops a malformed halo message of `source`, so that it is requested again."""
        self._received.get(tick, {}).pop(source, None)

    def receive(self, message: HaloMessage, raw: Sequence[Any], tick: int) -> bool:
        """Stores a neighbour's halo message and returns True, or returns False if it is not accepted.

        `tick` is the present tick of the shard. Messages for other nodes, of past exchanges or too far in the future
        are not accepted.
        """
        if message.source not in self.sources or message.taker != self.assignment.which:
            return False
        interval = self.assignment.ticks_per_exchange
        late = message.tick < tick or message.tick == self.exact_tick
        if late or message.tick > tick + 2 * interval or (message.tick - self.assignment.tick) % interval:
            return False
        self._received.setdefault(message.tick, {}).setdefault(message.source, list(raw))
        return True

    def request_missing(self, tick: int, now_s: float) -> list[SendMessage]:
        """Returns requests for the missing halo messages of `tick`, if the node has waited long enough for them."""
        since_s = self.wait.since_s
        patience_s = max(REQUEST_AFTER_S, 3 * self.round_trip.round_trip_s)
        if since_s is None or now_s - max(since_s, self._requested_s) < patience_s:
            return []
        self._requested_s = now_s
        own = self.assignment
        request = HaloRequest(own.epoch, own.pass_key, tick, own.which)
        return [SendMessage(own.members[source].address, request) for source in self._missing(tick)]

    def resend(self, request: HaloRequest, now_s: float) -> list[SendMessage]:
        """Returns the requested halo message; nothing if the first one can still be in transit, or is not kept."""
        if now_s < self._arrives_s.get((request.tick, request.source), 0.0):
            return []
        return self._send(request.tick, (request.source,), now_s)

    def mark_unsent(self, send: SendMessage) -> None:
        """Records that a halo message could not be sent, so that a request for it is answered immediately."""
        if isinstance(send.message, HaloMessage):
            self._arrives_s.pop((send.message.tick, send.message.taker), None)

    def ping(self, now_s: float, interval_s: float = PING_S) -> list[SendMessage]:
        """Returns pings to all sources, if the previous ones were sent at least `interval_s` ago.

        Best called just after halo messages were received, when no other messages delay the pings.
        """
        if not self.round_trip.begin(now_s, interval_s):
            return []
        own = self.assignment
        ping = Ping(own.epoch, own.pass_key, own.which, now_s)
        return [SendMessage(own.members[source].address, ping) for source in self.sources]

    def pong(self, ping: Ping) -> list[SendMessage]:
        """Returns the answer to a neighbour's ping."""
        own = self.assignment
        return [
            SendMessage(own.members[ping.source].address, Pong(own.epoch, own.pass_key, own.which, ping.sent_s)),
        ]

    def _missing(self, tick: int) -> list[int]:
        """Returns the sources whose halo messages of `tick` have not arrived."""
        received = self._received.get(tick, {})
        return [source for source in self.sources if source not in received]

    def _send(self, tick: int, takers: Sequence[int], now_s: float) -> list[SendMessage]:
        """Returns the halo messages of `tick` to `takers`, and estimates when they arrive."""
        own, contents = self.assignment, self._sent.get(tick, {})
        sends = []
        for taker in takers:
            size = sum(len(frame) for frame in contents.get(taker, ()))
            self._arrives_s[tick, taker] = now_s + self.round_trip.round_trip_s / 2 + size / MIN_BYTES_PER_S
            if taker in contents:
                message = HaloMessage(own.epoch, own.pass_key, tick, own.which, taker)
                sends.append(SendMessage(own.members[taker].address, message, contents[taker]))
        return sends

"""A node without I/O: events in, instructions out. With `earth.py`, the page to read first.

A node's life: it asks to join, is assigned a rectangle and a snapshot, loads it, and then, over and over,

    cut the edges that the neighbours' windows show, and send them
    wait for theirs of the same tick; paste them
    step until the halo is used up, or until no more time is granted

Whatever is lost on the way is sent again: halo messages on request (`HaloRequest`), reports until they are
acknowledged (`NumberedReport`). A new map (`Assignment`) begins everything again from a snapshot; messages of older
maps are dropped. A node that was declared dead receives `Fenced`, drops its shard and may join as another.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from umwelt.cluster import events
from umwelt.cluster.partition import neighbours
from umwelt.cluster.wire import protocol as say
from umwelt.sandbox.region import Rectangle, Torus

BEAT_S = 0.1
BEAT_AFTER_STEP_S = 0.02
ASK_AGAIN_S = 0.5
NOTE_AGAIN_S = 0.4
WANT_AFTER_S = 0.25
PING_S, FIRST_PINGS_S = 1.0, 0.2
EXCHANGES_KEPT = 2
"""A neighbour that misses our strip of a tick is at most one exchange behind."""
EARLY_KEPT = 16
MAX_EARLY_BYTES = 64 << 20
"""Who sent an early strip cannot be known yet, so that not much is kept of them: they can be asked for."""
PINGS_KEPT, PINGS_NEEDED = 8, 4
SLOW_ROUND_TRIP_S = 0.005
"""Strips are compressed on slower lines; on faster ones that would take longer than it saves."""
SLOWEST_BYTES_PER_S = 4 << 20
"""A strip may be under way as long as this takes; before that, asking for it again would only add to a full line."""
FROM_DIRECTORY = (say.Welcome, say.Refused, say.Assignment, say.Grant, say.Fenced, say.Stop, say.FileChunk)
FROM_NEIGHBOURS = (say.HaloMessage, say.HaloRequest, say.Ping, say.Pong)


@dataclass
class WaitMeter:
    """How long a node has waited for strips, lately."""

    since_s: float | None = None
    share: float = 0.0
    from_s: float = 0.0
    waited_s: float = 0.0

    def begin(self, now_s: float) -> None:
        """Nothing to do but wait."""
        if self.since_s is None:
            self.since_s = now_s

    def end(self, now_s: float) -> None:
        """All are here."""
        if self.since_s is not None:
            self.waited_s += now_s - self.since_s
            self.since_s = None
        if now_s - self.from_s > 2.0:
            self.share = min(1.0, self.waited_s / (now_s - self.from_s))
            self.from_s, self.waited_s = now_s, 0.0


@dataclass
class ShardState:
    """What a node knows of the present map."""

    assign: say.Assignment
    torus: Torus
    halo_cells: int
    loaded: bool = False
    tick: int = 0
    granted: int = 0
    begun_s: float = math.inf
    """When the first grant came: by then all neighbours have loaded."""
    exact_at: int = -1
    """The tick of the last paste."""
    busy: bool = False
    commands: dict[int, dict[int, say.ScheduledCommand]] = field(default_factory=dict)
    snapshots: dict[int, bool] = field(default_factory=dict)
    """Those still to be taken, by tick: kept or passing."""
    taken: dict[int, bool] = field(default_factory=dict)
    recorded_at: int = -1
    sent: dict[int, dict[int, list[Any]]] = field(default_factory=dict)
    """Our strips of the last exchanges, by tick and neighbour, should somebody want them again."""
    here: dict[int, dict[int, list[Any]]] = field(default_factory=dict)
    """The neighbours' strips, by tick and source."""
    under_way: dict[tuple[int, int], float] = field(default_factory=dict)
    """Until when a strip that was sent may be on its way, by tick and neighbour."""
    notes: dict[int, tuple[say.NumberedReport, Sequence[Any], float]] = field(default_factory=dict)
    last_note: int = 0
    wanted_s: float = 0.0

    def __post_init__(self) -> None:
        a = self.assign
        self.tick = self.granted = a.tick
        rectangles = [Rectangle(*member.rectangle) for member in a.members]
        self.sources = tuple(n for n in neighbours(rectangles, a.which, self.halo_cells, self.torus) if n != a.which)
        self.takers = tuple(
            n
            for n in range(len(rectangles))
            if n != a.which and a.which in neighbours(rectangles, n, self.halo_cells, self.torus)
        )

    @property
    def at_exchange(self) -> bool:
        """Whether the halo is used up."""
        return (self.tick - self.assign.tick) % self.assign.ticks_per_exchange == 0 and self.exact_at != self.tick

    def forget_before(self, tick: int) -> None:
        """Let go of what nobody can want any more."""
        oldest = tick - EXCHANGES_KEPT * self.assign.ticks_per_exchange
        for kept in (self.sent, self.here):
            for old in [t for t in kept if t <= oldest]:
                del kept[old]
        self.under_way = {key: end_s for key, end_s in self.under_way.items() if key[0] > oldest}
        for old in [t for t in self.commands if t < tick]:
            del self.commands[old]


class NodeMachine:
    """See the page's top. `new_key` makes the key of a new life."""

    def __init__(
        self,
        directory: Any,
        address: str,
        tiles_address: str,
        host: str,
        pid: int,
        cores: int,
        protocol: str,
        new_key: Callable[[], str],
        torus_and_reach: Callable[[], tuple[Torus, int]],
        name: str = "",
    ):
        self.directory, self.address, self.tiles_address = directory, address, tiles_address
        self.host, self.pid, self.cores, self.protocol, self.name = host, pid, cores, protocol, name
        self._new_key, self._torus_and_reach = new_key, torus_and_reach
        self.key = new_key()
        self.welcome: say.Welcome | None = None
        self.prepared: events.WorldPrepared | None = None
        self.holding: ShardState | None = None
        self.early: list[events.MessageReceived] = []
        """Strips of a map that has not reached us yet."""
        self.waiting = WaitMeter()
        self.now_s = 0.0
        self.epoch = -1
        self.reached = 0
        self.entities = 0
        self.tick_s = 0.0
        self.resident_bytes = 0
        self.round_trip_s = 0.0
        self.leaving = False
        self.dropped = 0
        """Messages that were none of ours."""
        self._beat_s = self._asked_s = self._pinged_s = -1e9
        self._longest_s = 0.0
        self._round_trips_s: list[float] = []

    # --- events

    def handle(self, event: Any) -> list[Any]:
        """What is to be done because of an event."""
        return getattr(self, f"_on_{type(event).__name__.lower()}")(event)

    def _on_timer(self, event: events.Timer) -> list[Any]:
        self.now_s = event.now_s
        if self.holding is None:
            return self._knock()
        out: list[Any] = []
        if self.now_s - self._beat_s >= BEAT_S:
            out.append(self._beat())
        out += self._say_again()
        if self.waiting.since_s is not None:
            out += self._want()
        return out + self._ping(2 * PING_S)

    def _on_worldprepared(self, event: events.WorldPrepared) -> list[Any]:
        self.prepared = event
        self._asked_s = -1e9
        return self._knock()

    def _on_shardloaded(self, event: events.ShardLoaded) -> list[Any]:
        held = self.holding
        if held is None or event.epoch != held.assign.epoch:
            return []
        held.loaded, self.entities = True, event.entities
        early, self.early = self.early, []
        out = [self._note(say.Ready(held.tick)), self._beat()]
        for arrived in early:
            out += self._on_messagereceived(arrived)
        return out + self._go()

    def _on_halocut(self, event: events.HaloCut) -> list[Any]:
        held = self._held()
        held.busy = False
        held.sent[event.tick] = event.strips
        return [*self._strips(event.tick, held.takers), *self._go()]

    def _on_halopasted(self, event: events.HaloPasted) -> list[Any]:
        held = self._held()
        held.busy = False
        held.exact_at = held.tick
        held.forget_before(held.tick)
        return [*self._ping(), *self._go()]

    def _on_halomalformed(self, event: events.HaloMalformed) -> list[Any]:
        held = self._held()
        held.busy = False
        self.dropped += 1
        held.here.get(event.tick, {}).pop(event.source, None)
        return [*self._want(), *self._go()]

    def _on_tickfinished(self, event: events.TickFinished) -> list[Any]:
        held = self._held()
        held.busy = False
        held.tick, self.entities, self.resident_bytes = event.tick, event.entities, event.resident_bytes
        self.reached = max(self.reached, event.tick)
        self.tick_s = event.step_s if self.tick_s == 0 else 0.9 * self.tick_s + 0.1 * event.step_s
        out: list[Any] = []
        if held.tick % held.assign.record_every_ticks == 0:
            out += self._record()
        out += self._snapshot()
        starving = held.tick >= held.granted
        if starving or self.now_s - self._beat_s >= BEAT_AFTER_STEP_S:
            out.append(self._beat())
        return out + self._go()

    def _on_reportready(self, event: events.ReportReady) -> list[Any]:
        if self.holding is None or event.epoch != self.holding.assign.epoch:
            return []
        return [self._note(event.content, event.raw)]

    def heeds(self, event: events.MessageReceived) -> bool:
        """Whether a message comes from whom it should: the directory on our line to it, a neighbour with the key."""
        message = event.message
        if isinstance(message, FROM_DIRECTORY):
            return event.on_line and event.sender == self.directory.encode()
        if isinstance(message, say.HaloMessage) and message.epoch > self.epoch:
            return True
        return self._ours(message) if isinstance(message, FROM_NEIGHBOURS) else not event.raw

    def _on_messagereceived(self, event: events.MessageReceived) -> list[Any]:
        handler = getattr(self, f"_take_{type(event.message).__name__.lower()}", None)
        if handler is None or not self.heeds(event):
            self.dropped += 1
            return []
        return handler(event)

    # --- from the directory

    def _take_welcome(self, event: events.MessageReceived) -> list[Any]:
        if self.welcome is not None or self.holding is not None:
            return []
        self.welcome = event.message  # type: ignore[assignment]
        return [events.PrepareWorld(event.message)]  # type: ignore[arg-type]

    def _take_refused(self, event: events.MessageReceived) -> list[Any]:
        return [events.EndNode(event.message.line, refused=True)]  # type: ignore[attr-defined]

    def _take_assignment(self, event: events.MessageReceived) -> list[Any]:
        assign: say.Assignment = event.message  # type: ignore[assignment]
        mine = assign.members[assign.which].key if 0 <= assign.which < len(assign.members) else ""
        if assign.epoch <= self.epoch or mine != self.key:
            return []
        torus, reach = self._torus_and_reach()
        self.epoch, self.name = assign.epoch, assign.members[assign.which].name
        self.holding = ShardState(assign, torus, reach * assign.ticks_per_exchange)
        self.waiting = WaitMeter(from_s=self.now_s)
        self.tick_s = self.round_trip_s = 0.0
        self._round_trips_s = []
        self.early = [early for early in self.early if early.message.epoch >= assign.epoch]  # type: ignore[attr-defined]
        return [events.LoadShard(assign)]

    def _take_grant(self, event: events.MessageReceived) -> list[Any]:
        grant: say.Grant = event.message  # type: ignore[assignment]
        held = self.holding
        if held is None or grant.epoch != held.assign.epoch:
            self.dropped += 1
            return []
        for number in [n for n in held.notes if n <= grant.acknowledged]:
            del held.notes[number]
        for command in grant.commands:
            if command.tick >= held.tick:
                held.commands.setdefault(command.tick, {})[command.number] = command
        for snapshot in grant.snapshots:
            known = held.taken.get(snapshot.tick)
            if snapshot.tick >= held.tick and (known is None or (snapshot.kept and not known)):
                held.snapshots[snapshot.tick] = snapshot.kept
        held.granted = max(held.granted, grant.through)
        held.begun_s = min(held.begun_s, self.now_s)
        if not held.loaded or held.busy:
            return []
        return [*self._snapshot(), *self._go()]

    def _take_fenced(self, event: events.MessageReceived) -> list[Any]:
        if event.message.key != self.key:  # type: ignore[attr-defined]
            return []
        if self.leaving:
            return [events.EndNode("left the world, which goes on")]
        if self.prepared is None and self.welcome is None:
            return []
        self.key = self._new_key()
        self.holding, self.early = None, []
        self._asked_s = -1e9
        return [events.DropShard(), *self._knock()]

    def _take_stop(self, event: events.MessageReceived) -> list[Any]:
        return [events.EndNode(event.message.line)]  # type: ignore[attr-defined]

    def leave(self) -> list[Any]:
        """Ask to go; the world is taken over by others first."""
        self.leaving = True
        if self.holding is None:
            return [events.EndNode("left before joining")]
        return [events.SendMessage(self.directory, say.LeaveRequest(self.key))]

    # --- from neighbours

    def _ours(self, message: Any) -> bool:
        held = self.holding
        if held is None or message.epoch != held.assign.epoch or message.pass_key != held.assign.pass_key:
            return False
        return 0 <= message.source < len(held.assign.members)

    def _take_halomessage(self, event: events.MessageReceived) -> list[Any]:
        strip: say.HaloMessage = event.message  # type: ignore[assignment]
        held = self.holding
        if strip.epoch > self.epoch or (held is not None and strip.epoch == self.epoch and not held.loaded):
            # the map has reached a neighbour before it reached us; it cannot be more than one exchange ahead
            size = sum(len(frame) for early in [*self.early, event] for frame in early.raw)
            if len(self.early) < EARLY_KEPT and size <= MAX_EARLY_BYTES:
                self.early.append(event)
            return []
        if held is None or strip.source not in held.sources or strip.taker != held.assign.which:
            self.dropped += 1
            return []
        k = held.assign.ticks_per_exchange
        late = strip.tick < held.tick or strip.tick == held.exact_at
        if late or strip.tick > held.tick + 2 * k or (strip.tick - held.assign.tick) % k:
            self.dropped += 1
            return []
        held.here.setdefault(strip.tick, {}).setdefault(strip.source, list(event.raw))
        return self._go()

    def _take_halorequest(self, event: events.MessageReceived) -> list[Any]:
        want: say.HaloRequest = event.message  # type: ignore[assignment]
        if self.now_s < self._held().under_way.get((want.tick, want.source), 0.0):
            return []
        return self._strips(want.tick, (want.source,))

    def _take_ping(self, event: events.MessageReceived) -> list[Any]:
        ping: say.Ping = event.message  # type: ignore[assignment]
        a = self._held().assign
        return [events.SendMessage(a.members[ping.source].address, say.Pong(a.epoch, a.pass_key, a.which, ping.sent_s))]

    def _take_pong(self, event: events.MessageReceived) -> list[Any]:
        pong: say.Pong = event.message  # type: ignore[assignment]
        if pong.sent_s < self._held().begun_s:  # it waited until the neighbour had loaded
            return []
        # a busy neighbour answers late: the quickest of the last answers tells most of the way
        self._round_trips_s = [*self._round_trips_s[1 - PINGS_KEPT :], max(0.0, self.now_s - pong.sent_s)]
        if len(self._round_trips_s) >= PINGS_NEEDED:  # one alone may have waited behind a strip
            self.round_trip_s = min(self._round_trips_s)
        return []

    def unsent(self, send: events.SendMessage) -> None:
        """There was no connection: what somebody wants may be sent at once."""
        if self.holding is not None and isinstance(send.message, say.HaloMessage):
            for n, member in enumerate(self.holding.assign.members):
                if member.address == send.to:
                    self.holding.under_way.pop((send.message.tick, n), None)

    # --- what is to be done next

    def _held(self) -> ShardState:
        assert self.holding is not None
        return self.holding

    def _go(self) -> list[Any]:
        """The next thing to do, if there is one."""
        held = self._held()
        if held.busy or not held.loaded:
            return []
        if held.at_exchange:
            if held.tick not in held.sent:
                held.busy = True
                return [events.CutHalo(held.tick, held.takers, self.round_trip_s > SLOW_ROUND_TRIP_S)]
            here = held.here.get(held.tick, {})
            if all(source in here for source in held.sources):
                self.waiting.end(self.now_s)
                held.busy = True
                return [events.PasteHalo(held.tick, here)]
            self.waiting.begin(self.now_s)
            return []
        if held.tick < held.granted and held.tick not in held.snapshots:
            held.busy = True
            commands = held.commands.get(held.tick, {})
            return [events.RunTick(held.tick, tuple(commands[number] for number in sorted(commands)))]
        return []

    def _record(self) -> list[Any]:
        held = self._held()
        if held.recorded_at == held.tick:
            return []
        held.recorded_at = held.tick
        return [events.RecordTick(held.tick)]

    def _snapshot(self) -> list[Any]:
        """The snapshot of the present tick, if one is wished; its record goes before it."""
        held = self._held()
        if held.tick not in held.snapshots:
            return []
        kept = held.snapshots.pop(held.tick)
        held.taken[held.tick] = kept
        return [*self._record(), events.WriteSnapshotPart(held.tick, kept)]

    def _knock(self) -> list[Any]:
        """Ask to be let in, now and then."""
        if self.now_s - self._asked_s < ASK_AGAIN_S or self.leaving:
            return []
        self._asked_s = self.now_s
        if self.welcome is None:
            return [events.SendMessage(self.directory, say.Hello(self.key, self.protocol))]
        if self.prepared is None:
            return []
        join = say.Join(
            self.key,
            self.address,
            self.tiles_address,
            self.host,
            self.pid,
            self.cores,
            self.prepared.shares_folder,
            self.prepared.seals,
            self.reached,
            self.name,
        )
        return [events.SendMessage(self.directory, join)]

    def _beat(self) -> events.SendMessage:
        held = self._held()
        if self._beat_s > 0:
            self._longest_s = max(0.98 * self._longest_s, self.now_s - self._beat_s)
        self._beat_s = self.now_s
        beat = say.Heartbeat(
            self.key,
            held.assign.epoch,
            held.tick,
            self.entities,
            self.tick_s,
            self.waiting.share,
            self.resident_bytes,
            self.round_trip_s,
            self._longest_s,
        )
        return events.SendMessage(self.directory, beat)

    def _note(self, content: Any, raw: Sequence[Any] = ()) -> events.SendMessage:
        held = self._held()
        held.last_note += 1
        note = say.NumberedReport(self.key, held.assign.epoch, held.last_note, content)
        held.notes[held.last_note] = (note, raw, self.now_s)
        return events.SendMessage(self.directory, note, raw)

    def _ping(self, after_s: float = PING_S) -> list[Any]:
        """Measure the way to the neighbours: mostly just after their strips have come, when the line is free."""
        held = self._held()
        if self.now_s - self._pinged_s < (after_s if len(self._round_trips_s) >= PINGS_KEPT else FIRST_PINGS_S):
            return []
        self._pinged_s = self.now_s
        a = held.assign
        return [
            events.SendMessage(a.members[n].address, say.Ping(a.epoch, a.pass_key, a.which, self.now_s))
            for n in held.sources
        ]

    def _say_again(self) -> list[Any]:
        held = self._held()
        out = []
        for number, (note, raw, said_s) in sorted(held.notes.items())[:8]:
            if self.now_s - said_s >= NOTE_AGAIN_S:
                held.notes[number] = (note, raw, self.now_s)
                out.append(events.SendMessage(self.directory, note, raw))
        return out

    def _want(self) -> list[Any]:
        held = self._held()
        since_s = self.waiting.since_s
        again = max(WANT_AFTER_S, 3 * self.round_trip_s)
        if since_s is None or self.now_s - max(since_s, held.wanted_s) < again:
            return []
        held.wanted_s = self.now_s
        a, here = held.assign, held.here.get(held.tick, {})
        return [
            events.SendMessage(a.members[source].address, say.HaloRequest(a.epoch, a.pass_key, held.tick, a.which))
            for source in held.sources
            if source not in here
        ]

    def _strips(self, tick: int, takers: Sequence[int]) -> list[Any]:
        held = self._held()
        a, strips = held.assign, held.sent.get(tick, {})
        for n in takers:
            way_s = self.round_trip_s / 2 + sum(len(frame) for frame in strips.get(n, ())) / SLOWEST_BYTES_PER_S
            held.under_way[tick, n] = self.now_s + way_s
        return [
            events.SendMessage(a.members[n].address, say.HaloMessage(a.epoch, a.pass_key, tick, a.which, n), strips[n])
            for n in takers
            if n in strips
        ]

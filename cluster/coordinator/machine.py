"""Who holds what, and until when: membership and time, without I/O. Events in, instructions out.

Time is granted: every node gets the same grant, "run through tick T; these commands at these ticks". Commands are
journalled before they are granted, and take effect at the first tick after all that was granted so far.

Membership changes one way. A tick is chosen that is safe (the present one, with a snapshot taken there; or the last
complete snapshot, after a death), the torus is cut anew, every node loads its rectangle, commands are replayed, and the
world goes on. Each map has an epoch; what comes from an older one is dropped.

    gathering   waiting for nodes                        -> dividing
    dividing    the host cuts the torus by weight        -> assigning
    assigning   nodes load their rectangles              -> running
    running     grants go out                            -> settling, dividing (somebody died)
    settling    grants are held, a snapshot is taken     -> dividing, resting
    resting     all is saved; nodes are let go
"""

from collections.abc import Sequence
from typing import Any

from umwelt.cluster import events
from umwelt.cluster.coordinator.clock import TickRate, WorldClock, exchange_ticks, threads_each
from umwelt.cluster.coordinator.state import NodeRecord, RunOptions, RunState, SnapshotRound, merged, status
from umwelt.cluster.partition import imbalance
from umwelt.cluster.run.hash_chain import GRID_TICKS
from umwelt.cluster.wire import protocol as say
from umwelt.sandbox.errors import BusyError, CommandError, RunError, UmweltError

RECORD_EVERY_TICKS = GRID_TICKS
AHEAD_S = 0.1
"""How much time is granted at once, so that what people do is felt directly."""
GRANT_AGAIN_S = 0.1
ASSIGN_AGAIN_S = 0.5
REPORT_S = 0.2
LOADING_DEAD_AFTER_S = 30.0
MARK_COST = 16
"""A mark is taken at most so often that its cost is one part in so many."""
BUSIEST_OVER_MEAN = 1.25
BALANCE_AFTER_S = 20.0
JUDGE_S = 2.0
EVENTS_KEPT = 50
MAX_WAITING_NODES = 1000
MAX_ATTENDANTS = 256
MAX_TICKETS = 10_000
MAX_PENDING_COMMANDS = 10_000
FURTHEST_TICKS = 1_000_000
"""How far ahead a command may be wished, and how far beyond what we know a node may claim to have been."""
MAX_SPENT_KEYS = 10_000
SAY_AGAIN_S = 1.0


class CoordinatorMachine:
    """See the page's top."""

    def __init__(self, known: RunState, wishes: RunOptions, welcome: say.Welcome, seals: dict[str, str], protocol: str):
        self.known, self.wishes, self.welcome, self.seals, self.protocol = known, wishes, welcome, seals, protocol
        self.phase = "gathering"
        self.epoch = known.epoch
        self.pass_key = b""
        self.tick, self.snapshot = known.tick, known.snapshot
        """The last complete snapshot."""
        self.base = (known.births, known.deaths)
        """Births and deaths until the snapshot that the epoch began with."""
        self.at_snapshot = self.base
        self.granted = known.tick
        self.horizon = max(known.horizon, known.tick)
        self.number = known.next_number
        self.commands = list(known.commands)
        self.tickets = {ticket: (tick, number) for ticket, tick, number in known.tickets}
        self.tickets = dict(sorted(self.tickets.items(), key=lambda item: item[1][1])[-MAX_TICKETS:])
        self.nodes: dict[str, NodeRecord] = {}
        self.spent: dict[str, bool] = {}
        """Keys of nodes that are none any more, the latest of them, and whether they were let go."""
        self.map: list[say.Member] = []
        self.ticks_per_exchange = wishes.ticks_per_exchange or 1
        self.records: dict[int, dict[str, say.TickRecord]] = {}
        self.latest: say.TickRecord | None = None
        self.totals: dict[int, tuple[int, int]] = {}
        self.taking: SnapshotRound | None = None
        self.stopping = ""
        self.reason = "the world begins" if not known.epoch else "the world goes on"
        self.pace = WorldClock(last_tick=wishes.last_tick)
        self.stride = TickRate()
        self.attendants: dict[Any, float] = {}
        self.events: list[tuple[int, str]] = []
        self.names = 0
        self.now_s = 0.0
        self._gathering_s = -1.0
        self._marked_s = self._kept_s = self._judged_s = self._changed_s = self._reported_s = 0.0
        self._granted_s = -1e9
        self._mark_cost_s = 0.0
        self._refused_s = -1e9

    # --- events

    def handle(self, event: Any) -> list[Any]:
        """What is to be done because of an event."""
        return getattr(self, f"_on_{type(event).__name__.lower()}")(event)

    def _on_messagereceived(self, event: events.MessageReceived) -> list[Any]:
        handler = getattr(self, f"_take_{type(event.message).__name__.lower()}", None)
        return handler(event) if handler is not None else []

    def _on_timer(self, event: events.Timer) -> list[Any]:
        self.now_s = event.now_s
        if self._gathering_s < 0:
            self._gathering_s = self._marked_s = self._kept_s = self._judged_s = self._changed_s = self.now_s
        out = self._bury()
        if self.phase == "gathering":
            out += self._gather()
        if self.phase == "assigning":
            out += self._assign_again()
        if self.phase == "running":
            out += self._place("others came or go")
            out += self._judge() if self.granted >= self.pace.reached else []  # first catch up, then improve
            if self.stopping and self.granted >= self.pace.reached:  # what was once reached is reached again first
                out += self._settle(self.stopping)
        if self.phase in ("running", "settling"):
            out += self._snapshots()
            out += self._grant()
        if self.now_s - self._reported_s >= REPORT_S:
            out += self._report()
        return out

    # --- coming and going

    def _take_hello(self, event: events.MessageReceived) -> list[Any]:
        hello: say.Hello = event.message  # type: ignore[assignment]
        if hello.protocol != self.protocol:
            line = "this node speaks another version of Umwelt: install the same one"
            return [events.SendMessage(event.sender, say.Refused(line))]
        return [events.SendMessage(event.sender, self.welcome)]

    def _take_join(self, event: events.MessageReceived) -> list[Any]:
        join: say.Join = event.message  # type: ignore[assignment]
        if join.key in self.nodes:
            self._known_node(event)
            return []
        if join.key in self.spent:
            return [self._farewell(event.sender, join.key)]
        if self.phase == "resting" or len(self.nodes) - len(self.members) >= MAX_WAITING_NODES:
            return []
        for what in sorted({*join.seals, *self.seals}):
            if join.seals.get(what) != self.seals.get(what):
                line = f"the {what} of this node are not those of the world: install the same Umwelt and species"
                said_lately, self._refused_s = self.now_s - self._refused_s < SAY_AGAIN_S, self.now_s
                said = [] if said_lately else [self._say(f"{join.host[:80]}: refused: other {what[:80]}")]
                return [events.SendMessage(event.sender, say.Refused(line)), *said]
        before = [node for node in self.nodes.values() if node.join.address == join.address]
        gone = [instruction for node in before for instruction in self._died(node, "began anew")]
        name = self._name(join.name[:80])
        self.nodes[join.key] = NodeRecord(join.key, name, event.sender, join, self.now_s)
        self.horizon = max(self.horizon, min(join.reached, max(self.known.horizon, self.granted) + FURTHEST_TICKS))
        said = [self._say(f"{name} joined")] if self.epoch > self.known.epoch else []
        return gone + said + self._place(f"{name} joined")

    def _place(self, reason: str) -> list[Any]:
        """A new map for those who came or want to go, as soon as a world that fell back is where it was."""
        if self.phase != "running" or self.granted < self.pace.reached:
            return []
        unplaced = len(self.nodes) > len(self.map) and len(self.map) < self.wishes.max_parts
        return self._settle(reason) if unplaced or any(node.going for node in self.members) else []

    def _name(self, wished: str) -> str:
        taken = {node.name for node in self.nodes.values()}
        while not wished or wished in taken:
            self.names += 1
            wished = f"node-{self.names}"
        return wished

    def _take_leaverequest(self, event: events.MessageReceived) -> list[Any]:
        key = event.message.key  # type: ignore[attr-defined]
        node = self.nodes.get(key)
        if node is None:
            return [self._farewell(event.sender, key)]
        return self._let_go(node) if node.sender == event.sender else []

    def _let_go(self, node: NodeRecord) -> list[Any]:
        node.going = True
        if not self._member(node):
            return [self._forget(node)]
        return self._place(f"{node.name} leaves")

    def _forget(self, node: NodeRecord) -> events.SendMessage:
        """It is none of us any more."""
        del self.nodes[node.key]
        self.spent[node.key] = node.going
        if len(self.spent) > MAX_SPENT_KEYS:
            del self.spent[next(iter(self.spent))]
        return self._farewell(node.sender, node.key)

    def _farewell(self, sender: Any, key: str) -> events.SendMessage:
        """Who was let go ends; anybody else may come again under another key."""
        return events.SendMessage(
            sender, say.Stop("left the world, which goes on") if self.spent.get(key) else say.Fenced(key)
        )

    def _member(self, node: NodeRecord) -> bool:
        return any(member.key == node.key for member in self.map)

    @property
    def members(self) -> list[NodeRecord]:
        """The nodes of the present map that live."""
        return [self.nodes[member.key] for member in self.map if member.key in self.nodes]

    def _bury(self) -> list[Any]:
        """Nodes that have not been heard of for too long are dead."""
        dead = [node for node in self.nodes.values() if self.now_s - node.seen_s > self._patience_s(node)]
        return [instruction for node in dead for instruction in self._died(node, "was not heard of any more")]

    def _patience_s(self, node: NodeRecord) -> float:
        if not self._member(node) or not node.ready:
            return LOADING_DEAD_AFTER_S
        beat = node.beat
        return max(self.wishes.dead_after_s, max(3 * beat.longest_s, 2 * beat.tick_s) if beat is not None else 0.0)

    def heard(self, sender: Any) -> None:
        """A part of a snapshot is coming from a node: its beats wait behind it on a slow line."""
        for node in self.nodes.values():
            if node.sender == sender:
                node.seen_s = self.now_s

    def lost(self, pid: int, host: str) -> list[Any]:
        """The engine saw a process of this host end."""
        found = [node for node in self.nodes.values() if (node.join.pid, node.join.host) == (pid, host)]
        return [instruction for node in found for instruction in self._died(node, "died")]

    def _died(self, node: NodeRecord, how: str) -> list[Any]:
        if node.key not in self.nodes:
            return []
        was_member = self._member(node)
        out: list[Any] = [self._forget(node)]
        if not was_member or self.phase in ("gathering", "resting"):
            return out
        said = self._say(f"{node.name} {how}: back to tick {self.tick:,}, and on from there")
        return [*out, said, *self._divide(f"{node.name} {how}")]

    # --- a new map

    def _gather(self) -> list[Any]:
        enough = len(self.nodes) >= min(self.wishes.nodes, self.wishes.max_parts)
        patience_s = self.wishes.gather_s if self.epoch > 0 else LOADING_DEAD_AFTER_S
        late = self.now_s - self._gathering_s > patience_s
        return self._divide(self.reason) if self.nodes and (enough or late) else []

    def _settle(self, reason: str) -> list[Any]:
        """Hold time, take a snapshot of the present, and change the map there."""
        if self.phase != "running":
            return []
        self.phase, self.reason = "settling", reason
        return self._take_snapshot(self.granted, bool(self.stopping), reason)

    def _divide(self, reason: str) -> list[Any]:
        """Cut the torus anew for those who are here, at the last complete snapshot."""
        self.taking = None
        self.records.clear()
        self.epoch += 1
        self.map = []
        self.reason = reason
        staying = [node for node in self.nodes.values() if not node.going]
        if not staying:
            self.phase, self._gathering_s = "gathering", self.now_s
            return [self._forget(node) for node in list(self.nodes.values())]
        self.phase = "dividing"
        parts = min(len(staying), self.wishes.max_parts)
        return [events.DivideTorus(self.epoch, self.snapshot, parts, self.known.reach * self.ticks_per_exchange)]

    def _on_torusdivided(self, event: events.TorusDivided) -> list[Any]:
        if event.epoch != self.epoch or self.phase != "dividing":
            return []
        staying = [node for node in self.nodes.values() if not node.going][: len(event.rectangles)]
        if len(staying) < len(event.rectangles):
            return self._divide(self.reason)
        self.map = [
            say.Member(node.key, node.name, node.join.address, node.join.tiles_address, rectangle)
            for node, rectangle in zip(staying, event.rectangles, strict=True)
        ]
        gone = [node for node in self.nodes.values() if node.going]
        fences = [self._forget(node) for node in gone]
        self.phase = "assigning"
        self.pass_key = self.wishes.new_pass()
        self.granted = self.tick
        self.base = self.at_snapshot
        self._changed_s = self.now_s
        for node in staying:
            node.ready, node.tick, node.notes, node.beat, node.seen_s = False, self.tick, 0, None, self.now_s
        out: list[Any] = [events.JournalMap(self.epoch, self.tick, tuple(self.map), self.reason)]
        out += fences
        out += [self._say(f"{node.name} left") for node in gone]
        return out + [self._assign(node) for node in staying]

    def _assign(self, node: NodeRecord) -> events.SendMessage:
        which = next(i for i, member in enumerate(self.map) if member.key == node.key)
        node.assigned_s = self.now_s
        threads = threads_each(node.join.host, node.join.cores, [other.join.host for other in self.members])
        assign = say.Assignment(
            self.epoch,
            self.pass_key,
            self.tick,
            self.snapshot,
            self.map,
            which,
            self.ticks_per_exchange,
            threads,
            RECORD_EVERY_TICKS,
        )
        return events.SendMessage(node.sender, assign)

    def _assign_again(self) -> list[Any]:
        late = [n for n in self.members if not n.ready and self.now_s - n.assigned_s >= ASSIGN_AGAIN_S]
        return [self._assign(node) for node in late]

    # --- what nodes tell

    def _known_node(self, event: events.MessageReceived) -> NodeRecord | None:
        """Who says this; None for who is, or stands where, none of our nodes: a node calls from where it joined."""
        node = self.nodes.get(event.message.key)  # type: ignore[attr-defined]
        if node is None or node.sender != event.sender:
            return None
        node.seen_s = self.now_s
        return node

    def _take_heartbeat(self, event: events.MessageReceived) -> list[Any]:
        beat: say.Heartbeat = event.message  # type: ignore[assignment]
        node = self._known_node(event)
        if node is None:
            return [self._farewell(event.sender, event.message.key)]  # type: ignore[attr-defined]
        if beat.epoch != self.epoch:
            return []
        node.beat, node.tick = beat, max(node.tick, beat.tick)
        return self._grant() if self.phase == "running" and beat.tick >= self.granted else []

    def _take_numberedreport(self, event: events.MessageReceived) -> list[Any]:
        note: say.NumberedReport = event.message  # type: ignore[assignment]
        node = self._known_node(event)
        if node is None:
            return [self._farewell(event.sender, event.message.key)]  # type: ignore[attr-defined]
        if note.epoch != self.epoch or note.number != node.notes + 1 or self.phase == "dividing":
            return []
        node.notes += 1
        content = note.content
        if isinstance(content, say.Ready):
            return self._take_ready(node)
        if isinstance(content, say.TickRecord):
            return self._take_recorded(node, content, event.raw)
        if isinstance(content, say.SnapshotPart):
            return self._take_kept(node, content, event.sender)
        return self._take_failed(node, content)

    def _take_ready(self, node: NodeRecord) -> list[Any]:
        node.ready = True
        if self.phase != "assigning" or not all(other.ready for other in self.members):
            return []
        self.phase = "running"
        self._marked_s = self._judged_s = self._changed_s = self.now_s
        self.pace.begin(self.tick, self.now_s)
        self.stride.begin()
        out: list[Any] = [self._say(f"{self.reason}: {len(self.map)} node{'s' if len(self.map) > 1 else ''}")]
        return [*out, *self._grant()]

    def _take_failed(self, node: NodeRecord, failed: say.Failure) -> list[Any]:
        if failed.fatal:
            return self.broken(failed.line)
        return self._died(node, f"failed ({failed.line})")

    def broken(self, line: str) -> list[Any]:
        """The world cannot go on: nothing that was saved is touched."""
        return [self._say(line), *self._rest(line)]

    def _take_recorded(self, node: NodeRecord, recorded: say.TickRecord, raw: Sequence[Any]) -> list[Any]:
        out: list[Any] = [events.JournalBirths(raw)] if raw and len(raw[0]) else []
        if not self.tick <= recorded.tick <= self.granted:
            return out
        node.tick = max(node.tick, recorded.tick)
        node.living = sum(count for found in recorded.populations.values() for count in found.values())
        parts = self.records.setdefault(recorded.tick, {})
        parts[node.key] = recorded
        if len(parts) < len(self.map):
            return out
        del self.records[recorded.tick]
        whole = merged(list(parts.values()))
        births, deaths = self.base[0] + whole.births, self.base[1] + whole.deaths
        self.totals = {tick: found for tick, found in self.totals.items() if tick > recorded.tick - 4096}
        self.totals[recorded.tick] = (births, deaths)
        if self.latest is None or recorded.tick >= self.latest.tick:
            self.latest = say.TickRecord(
                whole.tick, whole.digest, 0, births, deaths, whole.populations, whole.substances
            )
        out.append(events.JournalTick(recorded.tick, whole.digest, births, deaths, whole.populations, whole.substances))
        return out

    # --- snapshots

    def _snapshots(self) -> list[Any]:
        if self.phase != "running" or self.taking is not None or self.granted <= self.tick:
            return []
        mark_s = max(self.wishes.mark_s, MARK_COST * self._mark_cost_s)
        if self.now_s - self._kept_s >= self.wishes.kept_s:
            return self._take_snapshot(self.granted, True)
        if self.now_s - self._marked_s >= mark_s:
            return self._take_snapshot(self.granted, False)
        return []

    def _take_snapshot(self, tick: int, kept: bool, reason: str = "") -> list[Any]:
        """Take a snapshot at a tick that no node has passed: all that was granted."""
        if self.taking is not None and self.taking.tick == tick and (self.taking.kept or not kept):
            self.taking.reason = reason or self.taking.reason
            return []
        if tick == self.tick and (not kept or self.snapshot.startswith("tick-")):
            return self._changed(reason) if reason else []
        self.taking = SnapshotRound(tick, kept, reason)
        return [events.BeginSnapshot(self.epoch, tick, kept), *self._grant(force=True)]

    def _take_kept(self, node: NodeRecord, kept: say.SnapshotPart, sender: Any) -> list[Any]:
        taking = self.taking
        if taking is None or (taking.tick, taking.kept) != (kept.tick, kept.kept):
            return []
        if kept.line:
            return self._on_snapshotcompleted(events.SnapshotCompleted(self.epoch, taking.tick, taking.kept, kept.line))
        held = next(member.rectangle for member in self.map if member.key == node.key)
        if kept.part.get("rectangle") != list(held):
            return self._died(node, "sent another part than its own")
        self._mark_cost_s = kept.cost_s if not self._mark_cost_s else max(0.8 * self._mark_cost_s, kept.cost_s)
        if kept.files:
            taking.coming[node.key] = kept
            return [events.FetchPart(self.epoch, kept.tick, kept.kept, node.key, sender, held, tuple(kept.files))]
        taking.parts[node.key] = kept
        return self._complete()

    def _on_partfetched(self, event: events.PartFetched) -> list[Any]:
        taking = self.taking
        if taking is None or not self._is_taken(event):
            return []
        taking.parts[event.key] = taking.coming[event.key]
        return self._complete()

    def _is_taken(self, event: events.PartFetched | events.SnapshotCompleted) -> bool:
        """Whether this is about the snapshot that is being taken: a mark may give way to a kept one of its tick."""
        taking = self.taking
        return taking is not None and (event.epoch, event.tick, event.kept) == (self.epoch, taking.tick, taking.kept)

    def _complete(self) -> list[Any]:
        taking = self.taking
        assert taking is not None
        if len(taking.parts) < len(self.map) or taking.completing or taking.tick not in self.totals:
            return []
        taking.completing = True
        parts = tuple(taking.parts[member.key].part for member in self.map)
        controls = taking.parts[self.map[0].key].controls
        births, deaths = self.totals[taking.tick]
        return [events.CompleteSnapshot(self.epoch, taking.tick, taking.kept, parts, controls, births, deaths)]

    def _on_snapshotcompleted(self, event: events.SnapshotCompleted) -> list[Any]:
        taking = self.taking
        if taking is None or not self._is_taken(event):
            return []
        self.taking = None
        self._marked_s = self.now_s
        if taking.kept:
            self._kept_s = self.now_s
        if event.line:  # without a snapshot nothing changes; the world goes on as it is, or ends with the one before
            out = [self._say(event.line)]
            self.phase, self._mark_cost_s = "running", max(1.0, self._mark_cost_s)  # do not try again at once
            return [*out, *self._rest(event.line)] if self.stopping else out
        self.tick = event.tick
        self.snapshot = ("tick-" if taking.kept else "mark-") + f"{event.tick:012d}"
        self.at_snapshot = self.totals[event.tick]
        self.commands = [command for command in self.commands if command.tick >= event.tick]
        return self._changed(taking.reason) if taking.reason else []

    def _changed(self, reason: str) -> list[Any]:
        """The present is safe: now the change that was waited for."""
        if not self.stopping or self.granted < self.pace.reached:
            return self._divide(reason)
        return self._rest() if self.snapshot.startswith("tick-") else self._take_snapshot(self.tick, True, reason)

    def _rest(self, line: str = "") -> list[Any]:
        self.phase = "resting"
        lets = [events.SendMessage(node.sender, say.Stop(line)) for node in self.nodes.values()]
        return [*lets, *self._report(), events.EndRun(line)]

    # --- time

    def _grant(self, force: bool = False) -> list[Any]:
        """Grant what may be granted; say it again now and then, since messages get lost."""
        if self.phase not in ("running", "settling") or not self.members:
            return []
        slowest = min(node.tick for node in self.members)
        if self.phase == "running":
            way_s = max((n.beat.round_trip_s for n in self.members if n.beat), default=0.0)
            tick_s = max((n.beat.tick_s for n in self.members if n.beat), default=0.0)
            self.stride.see(slowest, self.now_s)
            # what is known of a node is as old as the way is long, and so is the grant when it comes
            known = self.ticks_per_exchange + (self.stride.ahead(way_s, tick_s) if way_s > 0 else 0)
            ahead = max(known, self.stride.ahead(AHEAD_S + way_s, tick_s))
            wished = min(slowest + ahead, self.pace.reached) if self.stopping else slowest + ahead
            through = max(self.granted, self.pace.through(wished, self.now_s))
        else:
            through = self.granted
        if through == self.granted and not force and self.now_s - self._granted_s < GRANT_AGAIN_S:
            return []
        if through == slowest == self.wishes.last_tick and not self.stopping:
            self.stopping = "the last tick is reached"
        self.granted, self._granted_s = through, self.now_s
        self.horizon = max(self.horizon, through)
        out = []
        snapshots = [say.SnapshotRequest(self.taking.tick, self.taking.kept)] if self.taking is not None else []
        for node in self.members:
            commands = [command for command in self.commands if node.tick <= command.tick < through]
            out.append(events.SendMessage(node.sender, say.Grant(self.epoch, through, commands, snapshots, node.notes)))
        return out

    def _judge(self) -> list[Any]:
        """Whether another cut, or another number of ticks an exchange, would be better."""
        if self.now_s - self._judged_s < JUDGE_S or not all(node.beat for node in self.members):
            return []
        self._judged_s = self.now_s
        beats = [node.beat for node in self.members if node.beat is not None and node.beat.tick_s > 0]
        if len(beats) < len(self.map) or self.taking is not None:
            return []
        known = len(self.map) == 1 or all(beat.round_trip_s > 0 for beat in beats)
        if known and not self.wishes.ticks_per_exchange:
            best = exchange_ticks(self.ticks_per_exchange, beats, self.map, self.known.torus, self.known.reach)
            if best != self.ticks_per_exchange:
                self.ticks_per_exchange = best
                return self._settle(f"{best} tick{'s' if best > 1 else ''} an exchange")
        if self.now_s - self._changed_s > BALANCE_AFTER_S and len(self.map) > 1:
            loads = [beat.tick_s for beat in beats]
            if imbalance(loads) >= BUSIEST_OVER_MEAN:
                return self._settle(f"the busiest node has {imbalance(loads):.2f} times the mean load")
        return []

    # --- people

    def _take_submitcommands(self, event: events.MessageReceived) -> list[Any]:
        submit: say.SubmitCommands = event.message  # type: ignore[assignment]
        known = self.tickets.get(submit.ticket)
        if known is not None:
            return [events.SendMessage(event.sender, say.TicketResult(submit.ticket, *known))]
        if self.phase == "resting":
            return [
                events.SendMessage(
                    event.sender,
                    say.TicketResult(submit.ticket, -1, 0, "the world rests: umwelt resume wakes it", "run"),
                )
            ]
        tick, now = max(self.horizon, self.granted, submit.tick), max(self.horizon, self.granted)
        if tick > now + FURTHEST_TICKS or len(self.commands) + len(submit.commands) > MAX_PENDING_COMMANDS:
            refusal = (
                CommandError(f"tick {tick} is too far ahead of tick {now}: give an earlier one")
                if tick > now + FURTHEST_TICKS
                else BusyError("too much at once: try again later")
            )
            return [
                events.SendMessage(event.sender, say.TicketResult(submit.ticket, -1, 0, str(refusal), refusal.code))
            ]
        commands = tuple(
            say.ScheduledCommand(tick, self.number + i, content) for i, content in enumerate(submit.commands)
        )
        self.number += len(commands)
        self.commands += commands
        self.tickets[submit.ticket] = (tick, commands[0].number if commands else 0)
        if len(self.tickets) > MAX_TICKETS:
            del self.tickets[next(iter(self.tickets))]
        settled = say.TicketResult(submit.ticket, *self.tickets[submit.ticket])
        return [events.JournalCommands(submit.ticket, commands), events.SendMessage(event.sender, settled)]

    def _take_order(self, event: events.MessageReceived) -> list[Any]:
        order: say.Order = event.message  # type: ignore[assignment]
        error: UmweltError | None = None
        out: list[Any] = []
        if order.what == "leave":
            found = [node for node in self.nodes.values() if node.name == order.name]
            if not found:
                names = ", ".join(sorted(node.name for node in self.nodes.values()))
                error = RunError(f"{order.name}: no node of that name: there are {names or 'none'}")
            elif len(self.nodes) == 1:
                error = RunError(
                    f"{order.name} holds the whole world: stop the world with umwelt stop, or let another join first"
                )
            else:
                out = self._let_go(found[0])
        elif order.what == "stop":
            self.stopping = self.stopping or "stopped"
            if self.phase == "gathering":
                out = self._rest()
        elif order.what == "save":
            out = self._take_snapshot(self.granted, True) if self.phase == "running" and not self.taking else []
            error = None if out else BusyError("the world is busy saving or changing: try again")
        else:
            try:
                self.pace.order(order.what, order.value, self.granted, self.now_s)
            except CommandError as refusal:
                error = refusal
            self.stride.begin()
            out = self._grant()
        line, code = (str(error), error.code) if error is not None else ("", "")
        return [events.SendMessage(event.sender, say.TicketResult(order.ticket, self.granted, 0, line, code)), *out]

    def _take_statussubscription(self, event: events.MessageReceived) -> list[Any]:
        if event.sender not in self.attendants:
            if len(self.attendants) >= MAX_ATTENDANTS:
                return []
            self._reported_s = -1e9
        self.attendants[event.sender] = self.now_s
        return []

    def _report(self) -> list[Any]:
        self._reported_s = self.now_s
        self.attendants = {who: seen_s for who, seen_s in self.attendants.items() if self.now_s - seen_s < 10}
        if not self.attendants:
            return []
        report = say.StatusReport(status(self), self.epoch, self.pass_key, self.map)
        return [events.SendMessage(who, report) for who in self.attendants]

    def _say(self, line: str) -> events.Announce:
        self.events = [*self.events[1 - EVENTS_KEPT :], (self.granted, line)]
        return events.Announce(line)

"""The state machine of a node, without I/O: it takes events and returns instructions.

A world is a torus of cells, cut into one rectangle for each node. A node computes its rectangle, the *shard*, and the
*halo* around it: cells of the neighbours, as far as effects can travel in the ticks between two exchanges. Therefore a
node can compute these ticks from its shard, the halo and a *grant* of time alone, and the result equals, bit for bit,
that of one process that computes the full world.

    join        The node sends `Hello`, reads and compiles the world of the `Welcome`, and sends `Join`.
    load        The coordinator sends an `Assignment`: the *map* (which node has which rectangle) and a snapshot. The
                node loads its rectangle and reports `Ready`.
    exchange    When no part of the halo is exact any more, the node sends a `HaloMessage` to each neighbour, waits for
                the neighbours' halo messages of the same tick, and rebuilds its halo.
    tick        Up to the tick that a `Grant` permits, the node applies each tick's commands and runs the laws. Every
                few ticks it reports digest and metrics. If the grant requests a snapshot, it writes its part.
    leave       The node sends `LeaveRequest` and continues until it receives `Stop`. The coordinator can also send
                `Stop` without a request, or exclude a node by `Fenced`.

The steps load to tick are repeated with every new map: whenever a node joins, leaves or dies, all nodes load their
rectangles from a complete snapshot. Every map has an *epoch*; messages of an older epoch are dropped, so that a node
that was disconnected cannot interfere with its successor.

Messages can be lost, repeated, delayed and forged. Messages to neighbours are resent on request; reports to the
coordinator are resent until they are acknowledged. Messages of the coordinator are accepted only on the connection that
the node itself opened, messages of a neighbour only with the *pass key* of the map. All other messages are counted in
`dropped`.

This module decides the order of the steps. `membership.py` joins and leaves, `halo_exchange.py` exchanges halos,
`reporting.py` sends reports. `driver.py` carries out the instructions, and `process.py` runs machine and driver.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import assert_never

from umwelt.cluster.events import (
    HaloCut,
    HaloMalformed,
    HaloPasted,
    MessageReceived,
    NodeEvent,
    ReportReady,
    ShardLoaded,
    TickFinished,
    Timer,
    WorldPrepared,
)
from umwelt.cluster.instructions import (
    DropShard,
    EndNode,
    LoadShard,
    NodeInstruction,
    RecordTick,
    RunTick,
    SendMessage,
    WriteSnapshotPart,
)
from umwelt.cluster.node.halo_exchange import PING_S, EarlyHaloMessages, HaloExchange
from umwelt.cluster.node.membership import NodeMembership, NodeProfile
from umwelt.cluster.node.reporting import Reporting
from umwelt.cluster.wire.protocol import (
    Assignment,
    Fenced,
    FromCoordinator,
    FromNeighbour,
    Grant,
    HaloMessage,
    HaloRequest,
    Ping,
    Pong,
    Ready,
    Refused,
    ScheduledCommand,
    Stop,
    Welcome,
)
from umwelt.sandbox.region import Torus

HEARTBEAT_S = 0.1
HEARTBEAT_AFTER_TICK_S = 0.02
"""Interval of heartbeats in seconds: at any time, and the minimum interval of those that are sent after a tick."""


@dataclass
class AssignedShard:
    """The shard that the present map assigns to a node, and its progress. Created for each `Assignment`."""

    assignment: Assignment
    exchange: HaloExchange
    tick: int
    """The tick that the shard has reached."""
    granted: int
    """The tick until which the shard may be computed."""
    loaded: bool = False
    busy: bool = False
    """Whether an instruction on the shard has not been answered with its event yet."""
    commands: dict[int, dict[int, ScheduledCommand]] = field(default_factory=dict)
    """Commands by tick and journal number."""
    snapshots: dict[int, bool] = field(default_factory=dict)
    """Requested snapshots: for each tick whether the snapshot is a kept (permanent) one."""
    snapshots_taken: dict[int, bool] = field(default_factory=dict)
    """The same for snapshots of which this node has started to write its part."""
    recorded_tick: int = -1
    """Tick at which digest and metrics were last recorded; -1 if they were not."""

    def add_grant(self, grant: Grant) -> None:
        """Adds the commands and snapshots of a grant, and raises `granted`.

        Grants can arrive repeatedly and in any order. Entries for ticks that are already computed are ignored.
        """
        for command in grant.commands:
            if command.tick >= self.tick:
                self.commands.setdefault(command.tick, {})[command.number] = command
        for snapshot in grant.snapshots:
            taken = self.snapshots_taken.get(snapshot.tick)
            if snapshot.tick >= self.tick and (taken is None or (snapshot.kept and not taken)):
                self.snapshots[snapshot.tick] = snapshot.kept
        self.granted = max(self.granted, grant.through)

    def run_tick(self) -> RunTick:
        """Returns the instruction to run the present tick, with its commands in the order of the journal."""
        commands = self.commands.get(self.tick, {})
        return RunTick(self.tick, tuple(commands[number] for number in sorted(commands)))

    def finish_tick(self, tick: int) -> None:
        """Sets the present tick after an answer to `RunTick`, and drops the commands of earlier ticks."""
        self.busy, self.tick = False, tick
        for old in [kept for kept in self.commands if kept < tick]:
            del self.commands[old]


class NodeMachine:
    """The state machine of a node. Owned by a `NodeDriver`, which calls `handle` and carries out the instructions.

    `coordinator` is the coordinator's address, `profile` describes the node and its host, `new_key` returns a new
    random key that identifies the node, and `name` is the requested name. `torus_and_reach` returns the size of the
    prepared world, and how many cells an effect can travel in one tick. `assigned` is None while the node has no shard.
    """

    def __init__(
        self,
        coordinator: str,
        profile: NodeProfile,
        new_key: Callable[[], str],
        torus_and_reach: Callable[[], tuple[Torus, int]],
        name: str = "",
    ):
        self.membership = NodeMembership(coordinator, profile, new_key, name)
        self.assigned: AssignedShard | None = None
        self.epoch = -1
        """Epoch of the newest map that was received; -1 before the first one."""
        self.early = EarlyHaloMessages()
        self.dropped = 0
        """Number of messages that were unknown, malformed, outdated, or from a peer that may not send them."""
        self._coordinator, self._torus_and_reach = coordinator, torus_and_reach
        self._reporting = Reporting(coordinator)
        self._now_s = 0.0

    # --- events

    def handle(self, event: NodeEvent) -> list[NodeInstruction]:
        """Returns the instructions that follow from `event`."""
        match event:
            case Timer():
                return self._on_timer(event)
            case MessageReceived():
                return self._on_message(event)
            case WorldPrepared():
                return [*self.membership.world_prepared(event, self._now_s)]
            case ShardLoaded():
                return self._on_shard_loaded(event)
            case HaloCut():
                return self._on_halo_cut(event)
            case HaloPasted():
                return self._on_halo_pasted()
            case HaloMalformed():
                return self._on_halo_malformed(event)
            case TickFinished():
                return self._on_tick_finished(event)
            case ReportReady():
                return self._on_report_ready(event)
            case _:
                assert_never(event)

    def _on_timer(self, event: Timer) -> list[NodeInstruction]:
        """Returns the messages that are due: to join if the node has no shard, else heartbeats, resends and pings."""
        self._now_s = event.now_s
        shard = self.assigned
        if shard is None:
            return [*self.membership.ask(self._now_s)]
        instructions: list[NodeInstruction] = []
        if self._reporting.heartbeat_due(self._now_s, HEARTBEAT_S):
            instructions.append(self._heartbeat(shard))
        instructions += self._reporting.resend(self._now_s)
        instructions += shard.exchange.request_missing(shard.tick, self._now_s)
        # pings are normally sent after an exchange; this sends them while no ticks are computed, as in a paused world
        return [*instructions, *shard.exchange.ping(self._now_s, 2 * PING_S)]

    def _on_shard_loaded(self, event: ShardLoaded) -> list[NodeInstruction]:
        """Reports that the shard is loaded, and handles the halo messages that arrived too early."""
        shard = self.assigned
        if shard is None or event.epoch != shard.assignment.epoch:
            return []
        shard.loaded = True
        self._reporting.loaded(event.entities)
        instructions: list[NodeInstruction] = [
            self._reporting.report(Ready(shard.tick), self._now_s),
            self._heartbeat(shard),
        ]
        for early in self.early.take():
            instructions += self._on_message(early)
        return [*instructions, *self._advance(shard)]

    def _on_halo_cut(self, event: HaloCut) -> list[NodeInstruction]:
        """Sends the halo messages to the takers."""
        shard = self._shard()
        shard.busy = False
        return [*shard.exchange.send_cut(event.tick, event.contents, self._now_s), *self._advance(shard)]

    def _on_halo_pasted(self) -> list[NodeInstruction]:
        """Marks the halo as exact, sends pings if these are due, and starts the next tick."""
        shard = self._shard()
        shard.busy = False
        shard.exchange.mark_pasted(shard.tick)
        return [*shard.exchange.ping(self._now_s), *self._advance(shard)]

    def _on_halo_malformed(self, event: HaloMalformed) -> list[NodeInstruction]:
        """Drops a malformed halo message, so that it is requested again."""
        shard = self._shard()
        shard.busy = False
        self.dropped += 1
        shard.exchange.discard(event.tick, event.source)
        return [*shard.exchange.request_missing(shard.tick, self._now_s), *self._advance(shard)]

    def _on_tick_finished(self, event: TickFinished) -> list[NodeInstruction]:
        """Records the tick and writes a snapshot if these are due, and starts the next tick."""
        shard = self._shard()
        shard.finish_tick(event.tick)
        self.membership.reached = max(self.membership.reached, event.tick)
        self._reporting.tick_finished(event)
        instructions: list[NodeInstruction] = []
        if shard.tick % shard.assignment.record_every_ticks == 0:
            instructions += self._record(shard)
        instructions += self._write_snapshot(shard)
        needs_grant = shard.tick >= shard.granted
        if needs_grant or self._reporting.heartbeat_due(self._now_s, HEARTBEAT_AFTER_TICK_S):
            instructions.append(self._heartbeat(shard))
        return [*instructions, *self._advance(shard)]

    def _on_report_ready(self, event: ReportReady) -> list[NodeInstruction]:
        """Sends a report; drops a report of an older map."""
        if self.assigned is None or event.epoch != self.assigned.assignment.epoch:
            return []
        return [self._reporting.report(event.content, self._now_s, event.raw)]

    # --- messages

    def accepts(self, event: MessageReceived) -> bool:
        """Returns whether the message is from a peer that may send it.

        The coordinator is identified by the connection that this node opened to it, neighbours by the pass key of the
        map. A halo message of a newer map is accepted, and checked after that map has arrived.
        """
        message = event.message
        if isinstance(message, FromCoordinator):
            return event.on_own_connection and event.sender == self._coordinator.encode()
        if isinstance(message, HaloMessage) and message.epoch > self.epoch:
            return True
        return self._is_from_member(message) if isinstance(message, FromNeighbour) else not event.raw

    def _is_from_member(self, message: FromNeighbour) -> bool:
        """Returns whether the message has epoch and pass key of the present map, and a valid index of its sender."""
        shard = self.assigned
        if shard is None:
            return False
        present = shard.assignment
        if (message.epoch, message.pass_key) != (present.epoch, present.pass_key):
            return False
        return 0 <= message.source < len(present.members)

    def _on_message(self, event: MessageReceived) -> list[NodeInstruction]:
        """Handles a message; counts it in `dropped` if it is not accepted."""
        if not self.accepts(event):
            self.dropped += 1
            return []
        match event.message:
            case Welcome() as welcome:
                return [] if self.assigned is not None else [*self.membership.accept_welcome(welcome)]
            case Refused() as refused:
                return [EndNode(refused.line, refused=True)]
            case Assignment() as assignment:
                return self._on_assignment(assignment)
            case Grant() as grant:
                return self._on_grant(grant)
            case Fenced() as fenced:
                return self._on_fenced(fenced)
            case Stop() as stop:
                return [EndNode(stop.line)]
            case HaloMessage() as halo:
                return self._on_halo_message(halo, event)
            case HaloRequest() as request:
                return [*self._shard().exchange.resend(request, self._now_s)]
            case Ping() as ping:
                return [*self._shard().exchange.pong(ping)]
            case Pong() as pong:
                self._shard().exchange.round_trip.add(pong.sent_s, self._now_s)
                return []
            case _:
                self.dropped += 1
                return []

    def _on_assignment(self, assignment: Assignment) -> list[NodeInstruction]:
        """Loads the shard that a new map assigns to this node; ignores maps that are not newer than the present one."""
        if assignment.epoch <= self.epoch or not self.membership.is_assigned(assignment):
            return []
        torus, reach = self._torus_and_reach()
        self.epoch, self.membership.name = assignment.epoch, assignment.members[assignment.which].name
        exchange = HaloExchange(assignment, torus, reach, self._now_s)
        self.assigned = AssignedShard(assignment, exchange, assignment.tick, assignment.tick)
        self._reporting.begin(self.membership.key, assignment.epoch)
        self.early.drop_before(assignment.epoch)
        return [LoadShard(assignment)]

    def _on_grant(self, grant: Grant) -> list[NodeInstruction]:
        """Adds a grant, and continues if the shard is idle."""
        shard = self.assigned
        if shard is None or grant.epoch != shard.assignment.epoch:
            self.dropped += 1
            return []
        self._reporting.acknowledge(grant.acknowledged)
        shard.add_grant(grant)
        # the first grant arrives after all neighbours have loaded: round trips can be measured from then on
        round_trip = shard.exchange.round_trip
        round_trip.counts_from_s = min(round_trip.counts_from_s, self._now_s)
        if not shard.loaded or shard.busy:
            return []
        return [*self._write_snapshot(shard), *self._advance(shard)]

    def _on_fenced(self, fenced: Fenced) -> list[NodeInstruction]:
        """Drops the shard and joins again with a new key, or ends if the node is leaving."""
        if fenced.key != self.membership.key:
            return []
        if self.membership.leaving:
            return [EndNode("left the world, which goes on")]
        if self.membership.welcome is None:
            return []
        self.assigned = None
        self.early.take()
        return [DropShard(), *self.membership.join_again(self._now_s)]

    def _on_halo_message(self, halo: HaloMessage, event: MessageReceived) -> list[NodeInstruction]:
        """Stores a halo message; one of a map that is not loaded yet is stored in `early`."""
        shard = self.assigned
        if halo.epoch > self.epoch or (shard is not None and halo.epoch == self.epoch and not shard.loaded):
            self.early.add(event)
            return []
        if shard is None or not shard.exchange.receive(halo, event.raw, shard.tick):
            self.dropped += 1
            return []
        return self._advance(shard)

    # --- other calls of the driver

    def leave(self) -> list[NodeInstruction]:
        """Returns the request to leave, or the instruction to end if the node has no shard.

        After the request the node continues until other nodes have taken over its shard.
        """
        self.membership.leaving = True
        return [EndNode("left before joining")] if self.assigned is None else [self.membership.ask_to_leave()]

    def mark_unsent(self, send: SendMessage) -> None:
        """Records that a message could not be sent, because there was no connection."""
        if self.assigned is not None:
            self.assigned.exchange.mark_unsent(send)

    # --- the next step

    def _advance(self, shard: AssignedShard) -> list[NodeInstruction]:
        """Returns the next instruction on the shard: exchange halos or run a tick; nothing while it must wait."""
        if shard.busy or not shard.loaded:
            return []
        action: NodeInstruction | None = None
        if shard.exchange.is_due(shard.tick):
            action = shard.exchange.next_action(shard.tick, self._now_s)
        elif shard.tick < shard.granted and shard.tick not in shard.snapshots:
            action = shard.run_tick()
        if action is None:
            return []
        shard.busy = True
        return [action]

    def _record(self, shard: AssignedShard) -> list[NodeInstruction]:
        """Returns the instruction to record the present tick, unless it is recorded already."""
        if shard.recorded_tick == shard.tick:
            return []
        shard.recorded_tick = shard.tick
        return [RecordTick(shard.tick)]

    def _write_snapshot(self, shard: AssignedShard) -> list[NodeInstruction]:
        """Returns the instructions to record the present tick and write its snapshot, if a snapshot is requested."""
        if shard.tick not in shard.snapshots:
            return []
        kept = shard.snapshots.pop(shard.tick)
        shard.snapshots_taken[shard.tick] = kept
        return [*self._record(shard), WriteSnapshotPart(shard.tick, kept)]

    def _heartbeat(self, shard: AssignedShard) -> SendMessage:
        """Returns a heartbeat with the present tick and measurements."""
        exchange = shard.exchange
        return self._reporting.heartbeat(shard.tick, exchange.wait.share, exchange.round_trip.round_trip_s, self._now_s)

    def _shard(self) -> AssignedShard:
        """Returns the assigned shard, for events that refer to one."""
        assert self.assigned is not None, "the event belongs to a shard, and there is none"
        return self.assigned

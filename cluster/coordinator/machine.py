"""The state machine of a run's coordinator, without I/O: it takes events and returns instructions.

The coordinator grants time. All nodes get the same grants: the tick until which they may run, and the commands that
take effect until then. Commands are journalled before they are granted, and take effect at the first tick that was not
granted yet.

The *map* assigns a rectangle of the torus to each node. It always changes in the same way. First a complete snapshot is
needed: one of the present tick is taken, or, after a node has died, the last complete one is used. Then the torus is
divided again, every node loads its rectangle, and ticks and commands since the snapshot are granted again. The maps are
numbered: the number of a map is its *epoch*, and messages of an older epoch are dropped.

    gathering   waits for nodes                              -> dividing
    dividing    the torus is divided by load                 -> assigning
    assigning   nodes load their rectangles                  -> running
    running     time is granted                              -> settling (a node joins or leaves, another map is better,
                                                                the run ends), dividing (a node died)
    settling    no more time is granted; a snapshot is taken -> dividing, resting
    resting     everything is saved; nodes end

This module decides about phases and maps. `membership.py` keeps the nodes and the map, `snapshots.py` the state of
snapshots, `grants.py` grants time, `commands.py` schedules commands, `records.py` adds up digests and metrics,
`balance.py` decides whether another map would be faster, and `status.py` composes status reports. `driver.py` carries
out the instructions, and `process.py` runs machine and driver.

A *ticket* identifies an order, or the commands of one submission. Commands that are submitted again under the same
ticket are not executed again.
"""

from collections.abc import Sequence
from typing import Any, assert_never

from umwelt.cluster.coordinator.balance import LoadBalance
from umwelt.cluster.coordinator.commands import MAX_AHEAD_TICKS, PendingCommands
from umwelt.cluster.coordinator.grants import Grants
from umwelt.cluster.coordinator.membership import LOADING_DEAD_AFTER_S, Membership, NodeRecord
from umwelt.cluster.coordinator.records import WorldRecords
from umwelt.cluster.coordinator.snapshots import SnapshotRound, Snapshots
from umwelt.cluster.coordinator.state import Phase, RunOptions, RunState
from umwelt.cluster.coordinator.status import RunStatus, StatusReports, describe_metrics, describe_node
from umwelt.cluster.events import (
    CoordinatorEvent,
    MessageReceived,
    PartFetched,
    SnapshotCompleted,
    Timer,
    TorusDivided,
)
from umwelt.cluster.instructions import (
    Announce,
    BeginSnapshot,
    CoordinatorInstruction,
    DivideTorus,
    EndRun,
    FetchPart,
    JournalBirths,
    JournalCommands,
    JournalMap,
    SendMessage,
)
from umwelt.cluster.run.hash_chain import GRID_TICKS
from umwelt.cluster.wire.messages import version_mismatch
from umwelt.cluster.wire.protocol import (
    PROTOCOL_VERSION,
    Assignment,
    Failure,
    Grant,
    Heartbeat,
    Hello,
    Join,
    LeaveRequest,
    NumberedReport,
    Order,
    Ready,
    Refused,
    SnapshotPart,
    StatusReport,
    StatusSubscription,
    Stop,
    SubmitCommands,
    TicketResult,
    TickRecord,
    Welcome,
)
from umwelt.sandbox.errors import BusyError, RunError, UmweltError

RECORD_EVERY_TICKS = GRID_TICKS
ASSIGN_RETRY_S = 0.5
REFUSALS_QUIET_S = 1.0
"""Refusals of nodes are announced only if there was none for this time, so that repeated ones print no lines."""
MAX_ANNOUNCED_CHARACTERS = 80

Instructions = list[CoordinatorInstruction]


class CoordinatorMachine:
    """The state machine of a coordinator. Owned by a `CoordinatorDriver`, which calls `handle` and carries out the
    instructions.

    `state` is the run's state on disk, and `welcome` the message that answers a node's `Hello`. `seals` are four texts
    that must be equal on all nodes: hashes of the world's laws, species and tables, and the versions of libraries.
    `dropped` counts received messages of classes that a coordinator does not handle.
    """

    def __init__(self, state: RunState, options: RunOptions, welcome: Welcome, seals: dict[str, str]):
        self.phase = Phase.GATHERING
        self.epoch = state.epoch
        self.pass_key = b""
        """Random key of the present map, with which nodes and gateways authenticate their messages to nodes."""
        self.ticks_per_exchange = options.ticks_per_exchange or 1
        self.reason = "the world begins" if not state.epoch else "the world goes on"
        """Reason for the present or most recent change of the map, as text for the user."""
        self.stopping = ""
        """Reason why the run ends; empty while it does not end."""
        self.dropped = 0
        self.membership = Membership(options.max_parts, options.dead_after_s)
        self.snapshots = Snapshots(state.snapshot, options.mark_s, options.kept_s)
        self.grants = Grants(state.snapshot.tick, state.horizon, options.last_tick)
        self.commands = PendingCommands(state.commands, state.tickets, state.next_number)
        self.records = WorldRecords(state.births, state.deaths)
        self.balance = LoadBalance(state.torus, state.reach, options.ticks_per_exchange)
        self.reports = StatusReports()
        self._state, self._options, self._welcome, self._seals = state, options, welcome, seals
        self._totals_at_snapshot = state.births, state.deaths
        """Births and deaths from the start of the run to the last complete snapshot."""
        self._now_s = 0.0
        self._gathering_since_s: float | None = None
        self._refused_s = float("-inf")

    # --- events

    def handle(self, event: CoordinatorEvent) -> Instructions:
        """Returns the instructions that follow from `event`."""
        match event:
            case Timer():
                return self._on_timer(event)
            case MessageReceived():
                return self._on_message(event)
            case TorusDivided():
                return self._on_torus_divided(event)
            case PartFetched():
                return self._on_part_fetched(event)
            case SnapshotCompleted():
                return self._on_snapshot_completed(event)
            case _:
                assert_never(event)

    def _on_timer(self, event: Timer) -> Instructions:
        """Removes dead nodes, does what is due in the present phase, and reports the status."""
        self._now_s = event.now_s
        if self._gathering_since_s is None:
            self._gathering_since_s = self._now_s
            self.snapshots.start_clock(self._now_s)
            self.balance.restart(self._now_s)
        instructions = self._remove_dead()
        if self.phase == Phase.GATHERING:
            instructions += self._gather(self._gathering_since_s)
        if self.phase == Phase.ASSIGNING:
            instructions += self._assign_again()
        if self.phase == Phase.RUNNING:
            instructions += self._include_nodes("nodes joined or left")
            if self.grants.caught_up:  # first catch up, then improve
                instructions += self._improve_map()
                if self.stopping:
                    instructions += self._settle(self.stopping)
        if self.phase in (Phase.RUNNING, Phase.SETTLING):
            instructions += self._take_due_snapshot()
            instructions += self._grant()
        if self.reports.is_due(self._now_s):
            instructions += self._report_status()
        return instructions

    def _on_message(self, event: MessageReceived) -> Instructions:
        """Handles a message; counts it in `dropped` if its class is not handled here."""
        match event.message:
            case Hello() as hello:
                return [self._answer_hello(hello, event.sender)]
            case Join() as join:
                return self._on_join(join, event.sender)
            case LeaveRequest() as request:
                return self._on_leave_request(request, event.sender)
            case Heartbeat() as heartbeat:
                return self._on_heartbeat(heartbeat, event.sender)
            case NumberedReport() as report:
                return self._on_report(report, event)
            case SubmitCommands() as submit:
                return self._on_submit(submit, event.sender)
            case Order() as order:
                return self._on_order(order, event.sender)
            case StatusSubscription():
                self.reports.subscribe(event.sender, self._now_s)
                return []
            case _:
                self.dropped += 1
                return []

    # --- other calls of the driver

    def set_time(self, now_s: float) -> None:
        """Sets the present time without other effects, for messages that are handled before the next `Timer`."""
        self._now_s = now_s

    def mark_seen(self, sender: Any) -> None:
        """Records that a node is alive, because a chunk of a file has arrived from it."""
        self.membership.mark_seen(sender, self._now_s)

    def fail(self, line: str) -> Instructions:
        """Returns the instructions that end the run because of an error; snapshots and journal are not changed."""
        return [self._announce(line), *self._end(line)]

    # --- nodes join and leave

    def _answer_hello(self, hello: Hello, sender: Any) -> SendMessage:
        """Answers with the welcome, or with a refusal if the node has another protocol version."""
        if hello.protocol_version != PROTOCOL_VERSION:
            line = version_mismatch("this node", hello.protocol_version, "the coordinator", PROTOCOL_VERSION)
            return SendMessage(sender, Refused(line))
        return SendMessage(sender, self._welcome)

    def _on_join(self, join: Join, sender: Any) -> Instructions:
        """Adds a new node, or refuses it if one of its seals (see the class) differs; repeated messages have no effect.

        A node that joined before from the same address is removed: it was started again.
        """
        if join.key in self.membership.nodes:
            self.membership.find(join.key, sender, self._now_s)
            return []
        if self.membership.is_retired(join.key):
            return [self.membership.reject(sender, join.key)]
        if self.phase == Phase.RESTING or self.membership.is_full:
            return []
        for name in sorted({*join.seals, *self._seals}):
            if join.seals.get(name) != self._seals.get(name):
                return self._refuse(join, sender, name)
        address = join.address
        predecessors = [node for node in self.membership.nodes.values() if node.join.address == address]
        instructions = [instruction for node in predecessors for instruction in self._remove(node, "started again")]
        node = self.membership.add(join, sender, self._now_s)
        # the journal may have lost its last entries; then the ticks that nodes have computed show what was granted
        furthest = max(self._state.horizon, self.grants.granted) + MAX_AHEAD_TICKS
        self.grants.horizon = max(self.grants.horizon, min(join.reached, furthest))
        if self.epoch > self._state.epoch:
            instructions.append(self._announce(f"{node.name} joined"))
        return [*instructions, *self._include_nodes(f"{node.name} joined")]

    def _refuse(self, join: Join, sender: Any, name: str) -> Instructions:
        """Refuses a node whose seal `name` differs from the coordinator's."""
        line = f"the {name} of this node are not those of the world: install the same Umwelt and species"
        refusal = SendMessage(sender, Refused(line))
        quiet, self._refused_s = self._now_s - self._refused_s >= REFUSALS_QUIET_S, self._now_s
        host, name = join.host[:MAX_ANNOUNCED_CHARACTERS], name[:MAX_ANNOUNCED_CHARACTERS]
        return [refusal, self._announce(f"{host}: refused: its {name} differ")] if quiet else [refusal]

    def _include_nodes(self, reason: str) -> Instructions:
        """Starts a change of the map if nodes wait for a rectangle, or have requested to leave.

        Does nothing until all ticks that were granted before the last reload from a snapshot are granted again.
        """
        if self.phase != Phase.RUNNING or not self.grants.caught_up or not self.membership.is_outdated:
            return []
        return self._settle(reason)

    def _on_leave_request(self, request: LeaveRequest, sender: Any) -> Instructions:
        """Lets a node leave that has requested it."""
        node = self.membership.nodes.get(request.key)
        if node is None:
            return [self.membership.reject(sender, request.key)]
        return self._let_leave(node) if node.sender == sender else []

    def _let_leave(self, node: NodeRecord) -> Instructions:
        """Marks a node as leaving: removes it immediately if it has no rectangle, else with a change of the map."""
        node.leaving = True
        if not self.membership.is_member(node):
            return [self.membership.remove(node)]
        return self._include_nodes(f"{node.name} leaves")

    def _remove_dead(self) -> Instructions:
        """Removes all nodes that have sent no messages for too long."""
        dead = self.membership.dead(self._now_s)
        return [instruction for node in dead for instruction in self._remove(node, "is silent")]

    def _remove(self, node: NodeRecord, reason: str) -> Instructions:
        """Removes a node that died or failed; if it had a rectangle, all nodes reload the last complete snapshot."""
        if node.key not in self.membership.nodes:
            return []
        was_member = self.membership.is_member(node)
        removal = self.membership.remove(node)
        if not was_member or self.phase in (Phase.GATHERING, Phase.RESTING):
            return [removal]
        line = f"{node.name} {reason}: back to tick {self.snapshots.last.tick:,}, and on from there"
        return [removal, self._announce(line), *self._divide(f"{node.name} {reason}")]

    # --- a new map

    def _gather(self, since_s: float) -> Instructions:
        """Divides the torus when enough nodes have joined, or when one has joined and the waiting time is over.

        `since_s` is the time at which the waiting began.
        """
        enough = len(self.membership.nodes) >= min(self._options.nodes, self._options.max_parts)
        patience_s = self._options.gather_s if self.epoch > 0 else LOADING_DEAD_AFTER_S
        late = self._now_s - since_s > patience_s
        return self._divide(self.reason) if self.membership.nodes and (enough or late) else []

    def _settle(self, reason: str) -> Instructions:
        """Stops granting time and takes a snapshot of the last granted tick; when it is complete, the map changes."""
        if self.phase != Phase.RUNNING:
            return []
        self.phase, self.reason = Phase.SETTLING, reason
        return self._take_snapshot(self.grants.granted, bool(self.stopping), reason)

    def _divide(self, reason: str) -> Instructions:
        """Ends the present map and divides the torus again, at the last complete snapshot.

        If no nodes are left, waits for nodes instead.
        """
        self.snapshots.round = None
        self.records.drop_incomplete()
        self.membership.map = []
        self.epoch += 1
        self.reason = reason
        if not self.membership.staying:
            self.phase, self._gathering_since_s = Phase.GATHERING, self._now_s
            return [self.membership.remove(node) for node in self.membership.leaving]
        self.phase = Phase.DIVIDING
        parts = min(len(self.membership.staying), self._options.max_parts)
        halo_cells = self._state.reach * self.ticks_per_exchange
        return [DivideTorus(self.epoch, self.snapshots.last.name, parts, halo_cells)]

    def _on_torus_divided(self, event: TorusDivided) -> Instructions:
        """Assigns the rectangles of the new map to the nodes, and journals the map."""
        if event.epoch != self.epoch or self.phase != Phase.DIVIDING:
            return []
        if len(self.membership.staying) < len(event.rectangles):
            return self._divide(self.reason)
        tick = self.snapshots.last.tick
        self.membership.begin_map(event.rectangles, tick, self._now_s)
        left = self.membership.leaving
        self.phase = Phase.ASSIGNING
        self.pass_key = self._options.new_pass()
        self.grants.fall_back(tick)
        self.records.begin_epoch(self._totals_at_snapshot)
        self.balance.restart(self._now_s)
        instructions: Instructions = [JournalMap(self.epoch, tick, tuple(self.membership.map), self.reason)]
        instructions += [self.membership.remove(node) for node in left]
        instructions += [self._announce(f"{node.name} left") for node in left]
        return instructions + [self._assign(node) for node in self.membership.members]

    def _assign(self, node: NodeRecord) -> SendMessage:
        """Returns the message that assigns a node its rectangle in the present map."""
        node.assigned_s = self._now_s
        last, membership = self.snapshots.last, self.membership
        assignment = Assignment(
            self.epoch,
            self.pass_key,
            last.tick,
            last.name,
            membership.map,
            membership.index(node),
            self.ticks_per_exchange,
            membership.threads(node),
            RECORD_EVERY_TICKS,
        )
        return SendMessage(node.sender, assignment)

    def _assign_again(self) -> Instructions:
        """Resends assignments to nodes that have not reported that they are ready."""
        late_s = self._now_s - ASSIGN_RETRY_S
        return [self._assign(node) for node in self.membership.members if not node.ready and node.assigned_s <= late_s]

    def _improve_map(self) -> Instructions:
        """Starts a change of the map if another map is expected to be faster."""
        nodes, membership = self.membership.members, self.membership
        if not self.balance.is_due(nodes, self._now_s) or self.snapshots.round is not None:
            return []
        better = self.balance.improve(nodes, membership.map, self.ticks_per_exchange, self._now_s)
        if better is None:
            return []
        self.ticks_per_exchange = better.ticks_per_exchange
        return self._settle(better.reason)

    # --- reports of nodes

    def _on_heartbeat(self, heartbeat: Heartbeat, sender: Any) -> Instructions:
        """Stores a heartbeat, and grants more time if the node has reached the last granted tick."""
        node = self.membership.find(heartbeat.key, sender, self._now_s)
        if node is None:
            return [self.membership.reject(sender, heartbeat.key)]
        if heartbeat.epoch != self.epoch:
            return []
        node.heartbeat, node.tick = heartbeat, max(node.tick, heartbeat.tick)
        return self._grant() if self.phase == Phase.RUNNING and heartbeat.tick >= self.grants.granted else []

    def _on_report(self, report: NumberedReport, event: MessageReceived) -> Instructions:
        """Handles the next report of a node in sequence.

        Others are ignored, until the node has resent the missing one.
        """
        node = self.membership.find(report.key, event.sender, self._now_s)
        if node is None:
            return [self.membership.reject(event.sender, report.key)]
        if report.epoch != self.epoch or report.number != node.reports + 1 or self.phase == Phase.DIVIDING:
            return []
        node.reports += 1
        match report.content:
            case Ready():
                return self._on_ready(node)
            case TickRecord() as record:
                return self._on_record(node, record, event.raw)
            case SnapshotPart() as part:
                return self._on_snapshot_part(node, part)
            case Failure() as failure:
                line = failure.line
                return self.fail(line) if failure.fatal else self._remove(node, f"failed ({line})")
            case _:
                assert_never(report.content)

    def _on_ready(self, node: NodeRecord) -> Instructions:
        """Marks a node as ready; starts to grant time when all members are ready."""
        node.ready = True
        if self.phase != Phase.ASSIGNING or not self.membership.all_ready():
            return []
        self.phase = Phase.RUNNING
        self.snapshots.restart_interval(self._now_s)
        self.balance.restart(self._now_s)
        self.grants.start(self.snapshots.last.tick, self._now_s)
        count = len(self.membership.map)
        return [self._announce(f"{self.reason}: {count} node{'s' if count > 1 else ''}"), *self._grant()]

    def _on_record(self, node: NodeRecord, record: TickRecord, raw: Sequence[Any]) -> Instructions:
        """Journals births, and the tick if the records of all members are present."""
        instructions: Instructions = [JournalBirths(raw)] if raw and len(raw[0]) else []
        if not self.snapshots.last.tick <= record.tick <= self.grants.granted:
            return instructions
        node.tick = max(node.tick, record.tick)
        node.living = sum(count for counts in record.populations.values() for count in counts.values())
        return [*instructions, *self.records.add(node.key, record, len(self.membership.map))]

    # --- snapshots

    def _take_due_snapshot(self) -> Instructions:
        """Starts a periodic snapshot if one is due and none is being taken."""
        if self.phase != Phase.RUNNING or self.snapshots.round is not None:
            return []
        kept = self.snapshots.due(self._now_s)
        if kept is None or self.grants.granted <= self.snapshots.last.tick:
            return []
        return self._take_snapshot(self.grants.granted, kept)

    def _take_snapshot(self, tick: int, kept: bool, reason: str = "") -> Instructions:
        """Starts a snapshot of `tick`, the last granted tick, which no node has passed.

        If `reason` is not empty, it is the reason for a change of the map that follows when the snapshot is complete. A
        snapshot of that tick that is complete or being taken is used instead of a new one.
        """
        if self.snapshots.join_round(tick, kept, reason):
            return []
        if self.snapshots.covers(tick, kept):
            return self._change(reason) if reason else []
        self.snapshots.round = SnapshotRound(tick, kept, reason)
        return [BeginSnapshot(self.epoch, tick, kept), *self._grant(force=True)]

    def _on_snapshot_part(self, node: NodeRecord, part: SnapshotPart) -> Instructions:
        """Adds a part to the snapshot that is being taken, after fetching its files if needed."""
        current = self.snapshots.round
        if current is None or not self.snapshots.is_present(part.tick, part.kept):
            return []
        if part.line:
            return self._on_snapshot_completed(SnapshotCompleted(self.epoch, part.tick, part.kept, part.line))
        rectangle = self.membership.rectangle(node)
        if rectangle is None or part.part.get("rectangle") != list(rectangle):
            return self._remove(node, "sent another part than its own")
        self.snapshots.add_cost(part.cost_s)
        if part.files:
            current.fetching[node.key] = part
            files = tuple(part.files)
            return [FetchPart(self.epoch, part.tick, part.kept, node.key, node.sender, rectangle, files)]
        current.parts[node.key] = part
        return self._complete_snapshot()

    def _on_part_fetched(self, event: PartFetched) -> Instructions:
        """Adds a part whose files have been fetched to the snapshot that is being taken."""
        current = self.snapshots.round
        if current is None or event.epoch != self.epoch or not self.snapshots.is_present(event.tick, event.kept):
            return []
        current.parts[event.key] = current.fetching[event.key]
        return self._complete_snapshot()

    def _complete_snapshot(self) -> Instructions:
        """Returns the instruction to complete the snapshot that is being taken, once nothing of it is missing."""
        assert self.snapshots.round is not None
        keys = [member.key for member in self.membership.map]
        return [*self.snapshots.complete(self.epoch, keys, self.records.totals(self.snapshots.round.tick))]

    def _on_snapshot_completed(self, event: SnapshotCompleted) -> Instructions:
        """Ends a snapshot; if it is complete, starts the change of the map that waits for it."""
        if event.epoch != self.epoch or not self.snapshots.is_present(event.tick, event.kept):
            return []
        finished = self.snapshots.finish(self._now_s, failed=bool(event.line))
        if event.line:  # the map stays as it is; a run that is ending ends with the previous snapshot
            self.phase = Phase.RUNNING
            announcement = self._announce(event.line)
            return [announcement, *self._end(event.line)] if self.stopping else [announcement]
        totals = self.records.totals(event.tick)
        assert totals is not None, "a snapshot is complete only when its tick is recorded"
        self._totals_at_snapshot = totals
        self.commands.drop_before(event.tick)
        return self._change(finished.reason) if finished.reason else []

    def _change(self, reason: str) -> Instructions:
        """Changes the map, or ends the run if it is stopping.

        Called when a snapshot of the last granted tick is complete.
        """
        if not self.stopping or not self.grants.caught_up:
            return self._divide(reason)
        if self.snapshots.last.kept:
            return self._end()
        return self._take_snapshot(self.snapshots.last.tick, True, reason)

    def _end(self, line: str = "") -> Instructions:
        """Returns the instructions that end the run, with a `Stop` message to each node.

        `line` is empty, or the error because of which the run ends.
        """
        self.phase = Phase.RESTING
        stops = [SendMessage(node.sender, Stop(line)) for node in self.membership.nodes.values()]
        return [*stops, *self._report_status(), EndRun(line)]

    # --- time

    def _grant(self, force: bool = False) -> Instructions:
        """Returns grants to all members if more time can be granted, or the last grants are to be resent.

        With `force`, grants are returned in any case.
        """
        nodes = self.membership.members
        if self.phase not in (Phase.RUNNING, Phase.SETTLING) or not nodes:
            return []
        slowest = min(node.tick for node in nodes)
        through = self.grants.granted
        if self.phase == Phase.RUNNING:
            heartbeats = [node.heartbeat for node in nodes if node.heartbeat is not None]
            through = self.grants.next_tick(
                slowest, heartbeats, self.ticks_per_exchange, bool(self.stopping), self._now_s
            )
        if not force and not self.grants.is_due(through, self._now_s):
            return []
        if through == slowest == self._options.last_tick and not self.stopping:
            self.stopping = "the last tick is reached"
        self.grants.mark_sent(through, self._now_s)
        snapshots = [self.snapshots.round.request] if self.snapshots.round is not None else []
        return [
            SendMessage(
                node.sender,
                Grant(self.epoch, through, self.commands.between(node.tick, through), snapshots, node.reports),
            )
            for node in nodes
        ]

    # --- gateways and launchers

    def _on_submit(self, submit: SubmitCommands, sender: Any) -> Instructions:
        """Schedules and journals commands; answers a repeated ticket with its earlier result."""
        result = self.commands.result(submit.ticket)
        if result is not None:
            return [SendMessage(sender, result)]
        try:
            if self.phase == Phase.RESTING:
                raise RunError("the world has stopped: start it again with umwelt resume")
            commands = self.commands.add(submit, self.grants.first_free_tick)
        except UmweltError as error:
            return [SendMessage(sender, TicketResult(submit.ticket, -1, 0, str(error), error.code))]
        result = self.commands.result(submit.ticket)
        assert result is not None
        return [JournalCommands(submit.ticket, commands), SendMessage(sender, result)]

    def _on_order(self, order: Order, sender: Any) -> Instructions:
        """Carries out an order and answers it."""
        line = code = ""
        instructions: Instructions = []
        try:
            instructions = self._execute_order(order)
        except UmweltError as error:
            line, code = str(error), error.code
        return [SendMessage(sender, TicketResult(order.ticket, self.grants.granted, 0, line, code)), *instructions]

    def _execute_order(self, order: Order) -> Instructions:
        """Returns the instructions that follow from an order. Raises an UmweltError if it cannot be carried out.

        `protocol.Order` lists the orders.
        """
        match order.what:
            case "leave":
                return self._order_to_leave(order.name)
            case "stop":
                self.stopping = self.stopping or "stopped"
                return self._end() if self.phase == Phase.GATHERING else []
            case "save":
                if self.phase != Phase.RUNNING or self.snapshots.round is not None:
                    raise BusyError("the world is busy saving or changing: try again")
                return self._take_snapshot(self.grants.granted, True)
            case "lost":
                return self._process_ended(int(order.value), order.name)
            case _:
                self.grants.order(order.what, order.value, self._now_s)
                return self._grant()

    def _order_to_leave(self, name: str) -> Instructions:
        """Makes the node `name` leave. Raises RunError if there is no such node, or it is the only one."""
        nodes = self.membership.nodes.values()
        node = next((node for node in nodes if node.name == name), None)
        if node is None:
            names = ", ".join(sorted(node.name for node in nodes))
            raise RunError(f"{name}: no node of that name: there are {names or 'none'}")
        if len(nodes) == 1:
            raise RunError(f"{name} holds the whole world: stop the world with umwelt stop, or let another join first")
        return self._let_leave(node)

    def _process_ended(self, pid: int, host: str) -> Instructions:
        """Removes the node with that process id and host, whose process has ended as the launcher reports."""
        ended = [node for node in self.membership.nodes.values() if (node.join.pid, node.join.host) == (pid, host)]
        return [instruction for node in ended for instruction in self._remove(node, "died")]

    # --- status

    def status(self) -> RunStatus:
        """Returns the present state of the run."""
        clock, membership = self.grants.clock, self.membership
        return RunStatus(
            self._welcome.world_name,
            self._welcome.folder,
            self.phase.value,
            min((node.tick for node in membership.members), default=self.snapshots.last.tick),
            self.grants.granted,
            self.epoch,
            self.ticks_per_exchange,
            clock.paused,
            clock.speed,
            self.snapshots.last.tick,
            [describe_node(node, membership.rectangle(node)) for node in membership.nodes.values()],
            describe_metrics(self.records.latest),
            self.reports.events,
        )

    def _report_status(self) -> Instructions:
        """Returns status reports to all subscribers."""
        receivers = self.reports.receivers(self._now_s)
        if not receivers:
            return []
        report = StatusReport(self.status().encode(), self.epoch, self.pass_key, self.membership.map)
        return [SendMessage(receiver, report) for receiver in receivers]

    def _announce(self, line: str) -> Announce:
        """Returns the instruction to print `line`, and adds it to the events in status reports."""
        self.reports.add_event(self.grants.granted, line)
        return Announce(line)

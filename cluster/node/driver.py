"""Carries out the instructions of a node's state machine (`machine.py`): sends messages, computes ticks, reads and
writes snapshots.

The state machine gets *events* and returns *instructions*: messages to send, and *actions*, whose results are passed to
it as events. The *map* says which node has which rectangle of the torus, its *shard*; its *epoch* is its number.

The same driver runs in a node's process (`process.py`) and in simulations: transport, clock and storage are arguments.

The *halo* is a margin of the neighbours' cells around the shard, which the node computes as well; every few ticks it is
rebuilt from messages of the neighbours.
"""

import queue
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar, assert_never

import numpy as np

from umwelt.agents.world_file import WorldFile
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
    CutHalo,
    DropShard,
    EndNode,
    LoadShard,
    NodeAction,
    NodeInstruction,
    PasteHalo,
    PrepareWorld,
    RecordTick,
    RunTick,
    SendMessage,
    WriteSnapshotPart,
)
from umwelt.cluster.node.machine import NodeMachine
from umwelt.cluster.shard import MalformedHalo, Shard, pack_births
from umwelt.cluster.wire.messages import Message
from umwelt.cluster.wire.protocol import (
    Assignment,
    Failure,
    HaloRequest,
    Ping,
    Pong,
    SnapshotPart,
    Welcome,
    decode,
    encode,
)
from umwelt.cluster.wire.transport import Incoming, Transport
from umwelt.sandbox.controls import Controls
from umwelt.sandbox.errors import UmweltError
from umwelt.sandbox.region import Piece
from umwelt.sandbox.step import Law

MAX_MESSAGES_A_TURN = 256
"""Maximum number of messages that one call of `listen` receives, and that are deferred at a time."""
MAX_DEFERRED_BYTES = 256 << 20
LISTEN_S = 0.01
"""Interval at which messages are received during a tick, or while the node waits for messages of one class."""
MAX_LINE_CHARACTERS = 2000

M = TypeVar("M", bound=Message)


class Received(NamedTuple):
    """A decoded message with its raw frames; `incoming` holds its sender and connection."""

    incoming: Incoming
    message: Message
    raw: list[Any]

    @property
    def event(self) -> MessageReceived:
        """The message as an event for the state machine."""
        return MessageReceived(self.message, self.raw, self.incoming.sender, self.incoming.on_own_connection)


class ShardContents(NamedTuple):
    """The data from which a node creates its `Shard`, read from a snapshot."""

    pieces: list[Piece]
    """Cells and beings; together the pieces cover the node's rectangle."""
    constants: dict[str, np.ndarray]
    """The world's read-only arrays by name."""
    controls: Controls
    """The settings of the world that commands have changed: rates of reactions, and overrides of beings' drives."""


class NodeStorage(Protocol):
    """The interface through which a node reads and writes snapshots."""

    def load(self, world: WorldFile, assignment: Assignment, heartbeat: Callable[[], None]) -> ShardContents:
        """Returns the contents of the node's rectangle from the assigned snapshot.

        Calls `heartbeat` several times a second while it loads.
        """

    def write_part(self, epoch: int, tick: int, kept: bool, shard: Shard, done: Callable[[SnapshotPart], None]) -> None:
        """Writes the shard's part of the snapshot of `tick`, in the background.

        The state at the time of the call is written; `shard.digest` is the digest of that state. `kept` says whether
        the snapshot is a permanent one. `done` is called with the result, possibly after this method has returned and
        from another thread; it is not called if the snapshot was abandoned meanwhile.
        """


class NodeDriver:
    """Carries out the instructions of a `NodeMachine`. One thread owns the driver and calls `poll` in a loop.

    `prepare` reads the world and compiles its laws. Every message is first passed to `handle_other`, which returns
    whether it has handled the message (queries, file requests); the state machine gets all other messages. `world` and
    `shard` are None until they are loaded, `ended` is None until the process is to end.
    """

    def __init__(
        self,
        machine: NodeMachine,
        transport: Transport,
        storage: NodeStorage,
        clock: Callable[[], float],
        prepare: Callable[[Welcome], tuple[WorldFile, WorldPrepared]],
        resident_bytes: Callable[[], int] = lambda: 0,
        handle_other: Callable[[Incoming, Message, list[Any]], bool] = lambda incoming, message, raw: False,
    ):
        self.machine, self.transport, self.storage, self.clock = machine, transport, storage, clock
        self._prepare, self._resident_bytes, self._handle_other = prepare, resident_bytes, handle_other
        self.world: WorldFile | None = None
        self.shard: Shard | None = None
        self.ended: EndNode | None = None
        self.malformed = 0
        """Number of messages that could not be decoded."""
        self._actions: deque[NodeAction] = deque()
        self._deferred: deque[Received] = deque()
        """Messages that were received within a tick or within `wait_for`, to be handled afterwards."""
        self._reports: queue.SimpleQueue[ReportReady] = queue.SimpleQueue()
        """Reports that other threads have put here for the state machine."""
        self._listened_s = 0.0

    @property
    def busy(self) -> bool:
        """Whether actions are queued, so that the next `poll` should not wait for messages."""
        return bool(self._actions)

    # --- messages

    def poll(self, wait_s: float = 0.0) -> None:
        """Handles the received messages, then carries out queued actions until one tick is computed or none is left.

        If no actions are queued, waits up to `wait_s` seconds for a message.
        """
        self._handle(Timer(self.clock()))
        while not self._reports.empty():
            self._handle(self._reports.get())
        self.listen(0.0 if self._actions else wait_s)
        while self._actions:
            action = self._actions.popleft()
            self._carry_out(action)
            self._heartbeat()
            if isinstance(action, RunTick):
                break

    def listen(self, wait_s: float) -> None:
        """Handles deferred and received messages; waits up to `wait_s` seconds for the first message."""
        while self._deferred:
            self._take(self._deferred.popleft())
        for _ in range(MAX_MESSAGES_A_TURN):
            incoming = self.transport.receive(wait_s)
            if incoming is None:
                return
            wait_s = 0.0
            self.take(incoming)

    def take(self, incoming: Incoming) -> None:
        """Decodes and handles one message; counts it in `malformed` if it cannot be decoded."""
        received = self._decode(incoming)
        if received is not None:
            self._take(received)

    def leave(self) -> None:
        """Asks the coordinator to let the node leave; ends the node immediately if it has no shard."""
        self._schedule(self.machine.leave())

    def wait_for(self, kind: type[M], take: Callable[[M, list[Any]], None], max_count: int, within_s: float) -> None:
        """Receives messages for up to `within_s` seconds; passes those of class `kind` to `take`.

        Returns earlier after `max_count` messages of class `kind`. `take` gets the message and its raw frames. Other
        messages are deferred until the next `listen`.
        """
        end_s = self.clock() + within_s
        while max_count > 0 and (left_s := end_s - self.clock()) > 0:
            incoming = self.transport.receive(min(left_s, LISTEN_S))
            received = self._decode(incoming) if incoming is not None else None
            if received is None:
                self._heartbeat()
            elif isinstance(received.message, kind) and self.machine.accepts(received.event):
                take(received.message, received.raw)
                max_count -= 1
            else:
                self._defer(received)

    def _decode(self, incoming: Incoming) -> Received | None:
        """Returns the decoded message; None if it is malformed."""
        try:
            return Received(incoming, *decode(incoming.frames))
        except ValueError:
            self.malformed += 1
            return None

    def _take(self, received: Received) -> None:
        """Passes a message to `handle_other` and, if that has not handled it, to the state machine."""
        self._handle(Timer(self.clock()))
        if not self._handle_other(*received):
            self._handle(received.event)

    def _defer(self, received: Received) -> None:
        """Stores a message to be handled later, if its sender is accepted and the buffer is not full.

        Dropping a message is safe, because its sender repeats it.
        """
        size = sum(len(frame) for kept in [*self._deferred, received] for frame in kept.raw)
        room = len(self._deferred) < MAX_MESSAGES_A_TURN and size <= MAX_DEFERRED_BYTES
        if room and self.machine.accepts(received.event):
            self._deferred.append(received)

    def _handle(self, event: NodeEvent) -> None:
        """Passes an event to the state machine and schedules the instructions that follow."""
        self._schedule(self.machine.handle(event))

    def _heartbeat(self) -> None:
        """Passes the time to the state machine, so that it sends a heartbeat if one is due."""
        self._handle(Timer(self.clock()))

    # --- instructions

    def _schedule(self, instructions: Sequence[NodeInstruction]) -> None:
        """Sends messages immediately and queues all other instructions."""
        for instruction in instructions:
            if isinstance(instruction, SendMessage):
                if not self.transport.send(instruction.to, encode(instruction.message, instruction.raw)):
                    self.machine.mark_unsent(instruction)
                continue
            if isinstance(instruction, LoadShard | DropShard | EndNode):
                self._actions.clear()  # the queued actions belong to the old map
            self._actions.append(instruction)

    def _carry_out(self, action: NodeAction) -> None:
        """Executes an action and passes its event to the state machine; reports an error to the coordinator."""
        try:
            event = self._execute(action)
        except (UmweltError, MemoryError, OSError, ArithmeticError, LookupError, TypeError, ValueError) as error:
            self._fail(error, action)
            return
        if event is not None:
            self._handle(Timer(self.clock()))
            self._handle(event)

    def _execute(self, action: NodeAction) -> NodeEvent | None:
        """Carries out an action; returns its event, or None if it has none or its event follows later."""
        match action:
            case PrepareWorld():
                self.world, prepared = self._prepare(action.welcome)
                return prepared
            case LoadShard():
                return self._load(action.assignment)
            case CutHalo():
                return HaloCut(action.tick, self._shard().cut(action.takers, action.compressed))
            case PasteHalo():
                return self._paste(action)
            case RunTick():
                return self._run_tick(action)
            case RecordTick():
                return self._record(action)
            case WriteSnapshotPart():
                self._write_part(action)
            case DropShard():
                self.shard = None
            case EndNode():
                self.ended = action
            case _:
                assert_never(action)
        return None

    def _fail(self, error: Exception, action: NodeAction) -> None:
        """Reports to the coordinator that `action` raised `error`; ends the node if the action was `PrepareWorld`.

        An error in a tick is reported as fatal, because every other node would raise it as well, unless it is a
        MemoryError or OSError.
        """
        line = " ".join(str(error).split())[:MAX_LINE_CHARACTERS] or type(error).__name__
        if not isinstance(error, UmweltError):
            line = f"{type(error).__name__}: {line}"
        if isinstance(action, PrepareWorld):
            self.ended = EndNode(line, refused=True)
        elif self.machine.assigned is not None:
            fatal = isinstance(action, RunTick) and not isinstance(error, MemoryError | OSError)
            self._handle(ReportReady(self.machine.assigned.assignment.epoch, Failure(line, fatal)))

    def _load(self, assignment: Assignment) -> ShardLoaded:
        """Replaces the shard by the assigned one, loaded from its snapshot."""
        assert self.world is not None, "a shard is assigned after the world is prepared"
        self.shard = None  # releases its memory before the new one is loaded
        contents = self.storage.load(self.world, assignment, self._heartbeat)
        welcome = self.machine.membership.welcome
        checked = welcome is not None and welcome.checked
        self.shard = Shard(self.world, assignment, *contents, checked)
        return ShardLoaded(assignment.epoch, self.shard.living_count)

    def _paste(self, paste: PasteHalo) -> HaloPasted | HaloMalformed:
        """Rebuilds the shard's halo; the event says whether the contents were well-formed."""
        try:
            self._shard().paste(paste.contents)
        except MalformedHalo as error:
            return HaloMalformed(paste.tick, error.source)
        return HaloPasted()

    def _run_tick(self, run: RunTick) -> TickFinished:
        """Computes one tick; the event contains the time that this took."""
        shard, start_s = self._shard(), self.clock()
        shard.step(run.commands, self._between_laws)
        return TickFinished(shard.tick, shard.held_count, self.clock() - start_s, self._resident_bytes())

    def _record(self, record: RecordTick) -> ReportReady:
        """Returns the report of the shard's digest and metrics, with the births since the last record as raw frame."""
        content, births = self._shard().record()
        assert content.tick == record.tick
        return ReportReady(self.machine.epoch, content, [pack_births(births) if births else b""])

    def _write_part(self, write: WriteSnapshotPart) -> None:
        epoch = self.machine.epoch
        self.storage.write_part(
            epoch, write.tick, write.kept, self._shard(), lambda part: self._reports.put(ReportReady(epoch, part))
        )

    def _shard(self) -> Shard:
        """Returns the loaded shard, for actions that need one."""
        assert self.shard is not None, "the action belongs to a shard, and there is none"
        return self.shard

    def _between_laws(self, law: Law) -> None:
        """Sends heartbeats and answers neighbours between two laws; defers all other messages to the end of the tick.

        Does nothing if it was called less than `LISTEN_S` seconds ago.
        """
        now_s = self.clock()
        if now_s - self._listened_s < LISTEN_S:
            return
        self._listened_s = now_s
        self._heartbeat()
        for _ in range(MAX_MESSAGES_A_TURN):
            incoming = self.transport.receive(0.0) if len(self._deferred) < MAX_MESSAGES_A_TURN else None
            if incoming is None:
                return
            received = self._decode(incoming)
            if received is None:
                continue
            if isinstance(received.message, Ping | Pong | HaloRequest):
                self._handle(received.event)
            else:
                self._defer(received)

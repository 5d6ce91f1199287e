"""Carries out what a node's machine wants: messages, loading, ticks, records, parts of snapshots.

The same host lives in a node's process (`node.py`) and in simulations: transport, clock and shelf are handed in.
"""

import queue
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np

from umwelt.agents.world_file import WorldFile
from umwelt.cluster.events import (
    CutHalo,
    DropShard,
    EndNode,
    HaloCut,
    HaloMalformed,
    HaloPasted,
    LoadShard,
    MessageReceived,
    PasteHalo,
    PrepareWorld,
    RecordTick,
    ReportReady,
    RunTick,
    SendMessage,
    ShardLoaded,
    TickFinished,
    Timer,
    WorldPrepared,
    WriteSnapshotPart,
)
from umwelt.cluster.node.machine import NodeMachine
from umwelt.cluster.shard import MalformedHalo, Shard, pack_births
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

MESSAGES_A_TURN = 256
MAX_BACKLOG_BYTES = 256 << 20
LOOK_S = 0.01
"""How often a node looks at its door between laws."""


class ShardContents(NamedTuple):
    """A rectangle's contents, as a snapshot has them."""

    pieces: list[Piece]
    constants: dict[str, np.ndarray]
    controls: Controls


class NodeStorage(Protocol):
    """Where snapshots lie, as a node sees it."""

    def load(self, world: WorldFile, assign: Assignment, alive: Callable[[], None]) -> ShardContents:
        """What the node's rectangle is loaded from; calls `alive` now and then."""

    def keep(self, epoch: int, tick: int, kept: bool, portion: Shard, done: Callable[[SnapshotPart], None]) -> None:
        """Write the portion's part of a snapshot as it is now; `done` may be called later, from another thread.

        The portion has just been recorded.
        """


class NodeDriver:
    """See the page's top. `ended` holds the last line, once the node has left."""

    def __init__(
        self,
        machine: NodeMachine,
        transport: Transport,
        shelf: NodeStorage,
        clock: Callable[[], float],
        prepare: Callable[[Welcome], tuple[WorldFile, WorldPrepared]],
        resident_bytes: Callable[[], int] = lambda: 0,
        extra: Callable[[Incoming, Any, list[Any]], bool] = lambda incoming, message, raw: False,
    ):
        self.machine, self.transport, self.shelf, self.clock = machine, transport, shelf, clock
        self._prepared_from, self._resident_bytes, self._extra = prepare, resident_bytes, extra
        self.world: WorldFile | None = None
        self.portion: Shard | None = None
        self.ended: EndNode | None = None
        self.malformed = 0
        """Messages that were none."""
        self._queue: deque[Any] = deque()
        self._backlog: deque[tuple[Incoming, Any, list[Any]]] = deque()
        self._later: queue.SimpleQueue[tuple[int, SnapshotPart | Failure]] = queue.SimpleQueue()
        self._looked_s = 0.0

    @property
    def busy(self) -> bool:
        """Whether there is something to do at once."""
        return bool(self._queue)

    def turn(self, wait_s: float = 0.0) -> None:
        """Take in what came, then do what is to be done, up to the end of a tick."""
        self._do(self.machine.handle(Timer(self.clock())))
        while not self._later.empty():
            epoch, content = self._later.get()
            self._do(self.machine.handle(ReportReady(epoch, content)))
        self.listen(0.0 if self._queue else wait_s)
        while self._queue:
            instruction = self._queue.popleft()
            self._carry_out(instruction)
            self._alive()
            if isinstance(instruction, RunTick):
                break

    def listen(self, wait_s: float) -> None:
        """Take in what came."""
        while self._backlog:
            self._take(*self._backlog.popleft())
        for _ in range(MESSAGES_A_TURN):
            incoming = self.transport.receive(wait_s)
            if incoming is None:
                return
            wait_s = 0.0
            self.take(incoming)

    def take(self, incoming: Incoming) -> None:
        """Take in one message."""
        found = self._decoded(incoming)
        if found is not None:
            self._take(incoming, *found)

    def _decoded(self, incoming: Incoming) -> tuple[Any, list[Any]] | None:
        try:
            return decode(incoming.frames)
        except ValueError:
            self.malformed += 1
            return None

    def _take(self, incoming: Incoming, message: Any, raw: list[Any]) -> None:
        self._do(self.machine.handle(Timer(self.clock())))
        if not self._extra(incoming, message, raw):
            self._do(self.machine.handle(MessageReceived(message, raw, incoming.sender, incoming.on_line)))

    def leave(self) -> None:
        """Ask to be let go."""
        self._do(self.machine.leave())

    def wait_for(self, kind: type, take: Callable[[Any, list[Any]], None], most: int, within_s: float) -> None:
        """Hand over up to `most` messages of a kind that come within a time; others wait."""
        end_s = self.clock() + within_s
        while most > 0 and (left_s := end_s - self.clock()) > 0:
            incoming = self.transport.receive(min(left_s, LOOK_S))
            found = self._decoded(incoming) if incoming is not None else None
            if incoming is None or found is None:
                self._alive()
            elif isinstance(found[0], kind) and self._heeds(incoming, *found):
                take(*found)
                most -= 1
            else:
                self._put_off(incoming, *found)

    def _heeds(self, incoming: Incoming, message: Any, raw: list[Any]) -> bool:
        return self.machine.heeds(MessageReceived(message, raw, incoming.sender, incoming.on_line))

    def _put_off(self, incoming: Incoming, message: Any, raw: list[Any]) -> None:
        """Keep a message for later, if it is to be heeded at all; what is lost here is said again."""
        held = sum(len(frame) for _, _, frames in [*self._backlog, (incoming, message, raw)] for frame in frames)
        if len(self._backlog) < MESSAGES_A_TURN and held <= MAX_BACKLOG_BYTES and self._heeds(incoming, message, raw):
            self._backlog.append((incoming, message, raw))

    # --- instructions

    def _do(self, instructions: list[Any]) -> None:
        for instruction in instructions:
            if isinstance(instruction, SendMessage):
                if not self.transport.send(instruction.to, encode(instruction.message, instruction.raw)):
                    self.machine.unsent(instruction)
            elif isinstance(instruction, LoadShard | DropShard | EndNode):
                self._queue.clear()  # what was to be done with the old map
                self._queue.append(instruction)
            else:
                self._queue.append(instruction)

    def _carry_out(self, instruction: Any) -> None:
        try:
            event = getattr(self, f"_{type(instruction).__name__.lower()}")(instruction)
        except (UmweltError, MemoryError, OSError, ArithmeticError, LookupError, TypeError, ValueError) as error:
            self._fail(error, instruction)
            return
        if event is not None:
            self._do(self.machine.handle(Timer(self.clock())))
            self._do(self.machine.handle(event))

    def _fail(self, error: Exception, instruction: Any) -> None:
        """A law that raises would raise everywhere; what could not be loaded here may load elsewhere."""
        line = " ".join(str(error).split())[:2000] or type(error).__name__
        if not isinstance(error, UmweltError):
            line = f"{type(error).__name__}: {line}"
        if isinstance(instruction, PrepareWorld):
            self.ended = EndNode(line, refused=True)
        elif self.machine.holding is not None:
            failed = Failure(line, isinstance(instruction, RunTick) and not isinstance(error, MemoryError | OSError))
            self._do(self.machine.handle(ReportReady(self.machine.holding.assign.epoch, failed)))

    def _prepareworld(self, prepare: PrepareWorld) -> WorldPrepared:
        self.world, prepared = self._prepared_from(prepare.welcome)
        return prepared

    def _held(self) -> Shard:
        assert self.portion is not None
        return self.portion

    def _loadshard(self, load: LoadShard) -> ShardLoaded:
        assert self.world is not None
        self.portion = None
        opening = self.shelf.load(self.world, load.assign, self._alive)
        checked = self.machine.welcome is not None and self.machine.welcome.checked
        self.portion = Shard(self.world, load.assign, opening.pieces, opening.constants, opening.controls, checked)
        return ShardLoaded(load.assign.epoch, self.portion.living_count)

    def _cuthalo(self, cut: CutHalo) -> HaloCut:
        return HaloCut(cut.tick, self._held().cut(cut.takers, cut.compressed))

    def _pastehalo(self, paste: PasteHalo) -> HaloPasted | HaloMalformed:
        try:
            self._held().paste(paste.strips)
        except MalformedHalo as bad:
            return HaloMalformed(paste.tick, bad.source)
        return HaloPasted()

    def _runtick(self, step: RunTick) -> TickFinished:
        portion, began_s = self._held(), self.clock()
        portion.step(step.commands, self._between)
        return TickFinished(portion.tick, portion.held_count, self.clock() - began_s, self._resident_bytes())

    def _recordtick(self, record: RecordTick) -> ReportReady:
        recorded, newborn = self._held().record()
        assert recorded.tick == record.tick
        return ReportReady(self.machine.epoch, recorded, [pack_births(newborn) if newborn else b""])

    def _writesnapshotpart(self, keep: WriteSnapshotPart) -> None:
        epoch = self.machine.epoch
        self.shelf.keep(epoch, keep.tick, keep.kept, self._held(), lambda kept: self._later.put((epoch, kept)))

    def _dropshard(self, drop: DropShard) -> None:
        self.portion = None

    def _endnode(self, end: EndNode) -> None:
        self.ended = end

    # --- between laws

    def _between(self, law: Law) -> None:
        """Beat, and answer neighbours who measure the way; all else waits until the tick is done."""
        now_s = self.clock()
        if now_s - self._looked_s < LOOK_S:
            return
        self._looked_s = now_s
        self._alive()
        for _ in range(MESSAGES_A_TURN):
            incoming = self.transport.receive(0.0) if len(self._backlog) < MESSAGES_A_TURN else None
            if incoming is None:
                return
            found = self._decoded(incoming)
            if found is None:
                continue
            if isinstance(found[0], Ping | Pong | HaloRequest):
                self._do(self.machine.handle(MessageReceived(*found, incoming.sender, incoming.on_line)))
            else:
                self._put_off(incoming, *found)

    def _alive(self) -> None:
        self._do(self.machine.handle(Timer(self.clock())))

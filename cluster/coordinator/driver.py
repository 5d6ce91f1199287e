"""Carries out what the coordinator's machine decides: messages, the journal, snapshots.

The same driver runs in the coordinator's process (`process.py`) and in simulations: transport, clock and storage are
passed in.
"""

import queue
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Protocol, assert_never

from umwelt.cluster.coordinator.machine import CoordinatorMachine
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
    CompleteSnapshot,
    CoordinatorAction,
    CoordinatorInstruction,
    DivideTorus,
    EndRun,
    FetchPart,
    JournalBirths,
    JournalCommands,
    JournalMap,
    JournalTick,
    SendMessage,
)
from umwelt.cluster.wire.protocol import (
    FileChunk,
    FileRequest,
    Hello,
    Join,
    Order,
    StatusSubscription,
    SubmitCommands,
    TicketResult,
    decode,
    encode,
)
from umwelt.cluster.wire.transport import Incoming, Transport
from umwelt.sandbox.errors import CommandError, UmweltError

MAX_MESSAGES_A_TURN, MAX_TURN_S = 1024, 0.05
MAX_COMMANDS, MAX_COMMAND_BYTES = 1000, 1 << 20
"""Of one ticket."""
NODE_ROLES, KEEPER_ROLES = frozenset({"node", "world", "keeper"}), frozenset({"world", "keeper"})


class CoordinatorStorage(Protocol):
    """Journal and snapshots of a run, as a coordinator reads and writes them. Failures raise an `UmweltError`."""

    def check_command(self, content: bytes) -> None:
        """Raises an UmweltError if a command is not valid in this world."""

    def divide_torus(self, divide: DivideTorus) -> list[tuple[int, int, int, int]]:
        """Returns rectangles of about equal load."""

    def journal_map(self, opened: JournalMap) -> None:
        """Journals a map, durably."""

    def journal_commands(self, entered: JournalCommands) -> None:
        """Journals commands; they are durable after `commit`."""

    def journal_births(self, raw: Sequence[Any]) -> None:
        """Journals births (`shard.pack_births`)."""

    def journal_tick(self, record: JournalTick) -> None:
        """Journals digest and metrics of a tick."""

    def commit(self) -> None:
        """Makes everything that was journalled durable."""

    def begin_snapshot(self, begin: BeginSnapshot) -> None:
        """Makes the folder in which nodes write their parts of a snapshot."""

    def complete_snapshot(self, complete: CompleteSnapshot, done: Callable[[str], None]) -> None:
        """Makes the journal durable and writes the manifest. Calls `done`, perhaps from another thread, with an empty
        line, or with one that tells why it failed."""

    def fetch_part(self, fetch: FetchPart, request: Callable[[FileRequest], None], done: Callable[[], None]) -> None:
        """Fetches a part's files from another host, with requests that `take_chunk` gets the answers to."""

    def take_chunk(self, sender: Any, chunk: FileChunk, raw: Sequence[Any]) -> None:
        """Takes in a chunk of a file."""

    def read_chunk(self, request: FileRequest) -> tuple[FileChunk, list[Any]] | None:
        """Returns a chunk of a file of a complete snapshot, or the list of its files; None if there is none."""

    def turn(self, now_s: float) -> None:
        """Does what is due: commits, requests files again."""


class CoordinatorDriver:
    """Carries out the instructions of a `CoordinatorMachine`. One thread owns it and calls `turn` again and again.

    `announce` prints a line for people. `ended` is None until the run has ended; then it is empty, or the line of the
    error that ended it.
    """

    def __init__(
        self,
        machine: CoordinatorMachine,
        transport: Transport,
        storage: CoordinatorStorage,
        clock: Callable[[], float],
        announce: Callable[[str], None] = lambda line: None,
    ):
        self.machine, self.transport, self.storage, self.clock = machine, transport, storage, clock
        self.ended: str | None = None
        self.malformed = 0
        """Messages that did not decode, or came from a role that may not send them."""
        self._announce = announce
        self._events: queue.SimpleQueue[CoordinatorEvent] = queue.SimpleQueue()
        """Events from other threads."""
        self._held_back: list[SendMessage] | None = None
        """Messages that wait until journalled commands are durable; None while none has to wait."""

    # --- turns

    def turn(self, wait_s: float) -> None:
        """Handles the messages that have come, makes their commands durable all at once, then lets time pass.

        With nothing to do it waits up to `wait_s` seconds for a message.
        """
        end_s = self.clock() + wait_s + MAX_TURN_S
        for _ in range(MAX_MESSAGES_A_TURN):
            incoming = self.transport.receive(wait_s)
            if incoming is None:
                break
            wait_s = 0.0
            self.take(incoming)
            if self.clock() > end_s:
                break
        while not self._events.empty():
            self._handle(self._events.get())
        self._commit()
        now_s = self.clock()
        self._handle(Timer(now_s))
        self.storage.turn(now_s)

    def take(self, incoming: Incoming) -> None:
        """Handles one message, if the sender's role may send it."""
        try:
            message, raw = decode(incoming.frames)
        except ValueError:
            self.malformed += 1
            return
        allowed = KEEPER_ROLES if isinstance(message, SubmitCommands | Order | StatusSubscription) else NODE_ROLES
        if incoming.role not in allowed:
            self.malformed += 1
            return
        match message:
            case FileRequest():
                answer = self.storage.read_chunk(message)
                if answer is not None:
                    self.transport.send(incoming.sender, encode(*answer))
                return
            case FileChunk():
                self.machine.mark_seen(incoming.sender)
                self.storage.take_chunk(incoming.sender, message, raw)
                return
            case SubmitCommands():
                error = self._check(message)
                if error is not None:
                    result = TicketResult(message.ticket, -1, 0, str(error), error.code)
                    self.transport.send(incoming.sender, encode(result))
                    return
            case Hello() | Join():
                self.machine.set_time(self.clock())  # it can be old if the last turn took long
        self._handle(MessageReceived(message, raw, incoming.sender))

    def order(self, order: Order) -> None:
        """Carries out an order of this process itself."""
        self._handle(MessageReceived(order))

    def _check(self, submit: SubmitCommands) -> UmweltError | None:
        if len(submit.commands) > MAX_COMMANDS or sum(map(len, submit.commands)) > MAX_COMMAND_BYTES:
            return CommandError(
                f"too much at once: give at most {MAX_COMMANDS} commands and {MAX_COMMAND_BYTES:,} bytes"
            )
        try:
            for content in submit.commands:
                self.storage.check_command(content)
        except UmweltError as error:
            return error
        return None

    # --- instructions

    def _handle(self, event: CoordinatorEvent) -> None:
        self._carry_out(self.machine.handle(event))

    def _carry_out(self, instructions: Sequence[CoordinatorInstruction]) -> None:
        """Carries out instructions in order, each followed by what its event leads to after the ones before it."""
        waiting = deque(instructions)
        while waiting:
            instruction = waiting.popleft()
            if isinstance(instruction, SendMessage):
                self._send(instruction)
                continue
            try:
                event = self._execute(instruction)
            except UmweltError as error:
                waiting.clear()
                waiting.extend(self.machine.fail(str(error)))
                continue
            if event is not None:
                waiting.extend(self.machine.handle(event))

    def _send(self, instruction: SendMessage) -> None:
        if self._held_back is not None:
            self._held_back.append(instruction)
        else:
            self.transport.send(instruction.to, encode(instruction.message, instruction.raw))

    def _commit(self) -> None:
        """Makes journalled commands durable, then sends the messages that waited for that."""
        if self._held_back is None:
            return
        waiting: Sequence[CoordinatorInstruction] = self._held_back
        self._held_back = None
        try:
            self.storage.commit()
        except UmweltError as error:  # nobody may learn of commands that are not on the disk
            waiting = self.machine.fail(str(error))
        self._carry_out(waiting)

    def _execute(self, action: CoordinatorAction) -> CoordinatorEvent | None:
        """Carries out an action; returns the event that answers it, if there is one now."""
        match action:
            case DivideTorus():
                return TorusDivided(action.epoch, self.storage.divide_torus(action))
            case JournalMap():
                self.storage.journal_map(action)
            case JournalCommands():
                self.storage.journal_commands(action)
                self._held_back = self._held_back if self._held_back is not None else []
            case JournalBirths():
                self.storage.journal_births(action.raw)
            case JournalTick():
                self.storage.journal_tick(action)
            case BeginSnapshot():
                self.storage.begin_snapshot(action)
            case FetchPart():
                self._fetch_part(action)
            case CompleteSnapshot():
                self._complete_snapshot(action)
            case Announce():
                self._announce(action.line)
            case EndRun():
                self.ended = action.line
            case _:
                assert_never(action)
        return None

    def _fetch_part(self, fetch: FetchPart) -> None:
        fetched = PartFetched(fetch.epoch, fetch.tick, fetch.kept, fetch.key)
        self.storage.fetch_part(
            fetch,
            lambda request: self._send(SendMessage(fetch.sender, request)),
            lambda: self._events.put(fetched),
        )

    def _complete_snapshot(self, complete: CompleteSnapshot) -> None:
        epoch, tick, kept = complete.epoch, complete.tick, complete.kept
        self.storage.complete_snapshot(
            complete, lambda line: self._events.put(SnapshotCompleted(epoch, tick, kept, line))
        )

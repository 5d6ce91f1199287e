"""Carries out the instructions of the coordinator's state machine (`machine.py`): sends messages, writes journal and
snapshots.

The state machine gets *events* and returns *instructions*; the result of an instruction is passed to it as an event.
The same driver runs in the coordinator's process (`process.py`) and in simulations: transport, clock and storage are
arguments.

A *ticket* identifies an order, or the commands of one submission. Commands that are submitted again under the same
ticket are not executed again.
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
"""Limits of the messages that one call of `poll` handles: their number, and the time in seconds."""
MAX_COMMANDS, MAX_COMMAND_BYTES = 1000, 1 << 20
"""Maximum number and total size of the commands of one ticket."""
NODE_ROLES, KEEPER_ROLES = frozenset({"node", "world", "keeper"}), frozenset({"world", "keeper"})
"""Roles of keys whose owners may send the messages of nodes, and roles that may submit commands and orders."""


class CoordinatorStorage(Protocol):
    """The interface through which a coordinator reads and writes journal and snapshots of a run.

    Methods raise an `UmweltError` on failure.
    """

    def check_command(self, content: bytes) -> None:
        """Raises an UmweltError if `content`, a command as JSON, is not valid in this world."""

    def divide_torus(self, divide: DivideTorus) -> list[tuple[int, int, int, int]]:
        """Returns rectangles (y, x, height, width) of about equal cost that cover the torus."""

    def journal_map(self, opened: JournalMap) -> None:
        """Writes a map (which node has which rectangle) to the journal, durably."""

    def journal_commands(self, entered: JournalCommands) -> None:
        """Writes commands to the journal; they are durable after `commit`."""

    def journal_births(self, raw: Sequence[Any]) -> None:
        """Writes births to the journal; `raw` contains one item, the births as `shard.pack_births` encoded them."""

    def journal_tick(self, record: JournalTick) -> None:
        """Writes a tick to the journal: the digest of the world's state, and counts of beings and molecules."""

    def commit(self) -> None:
        """Makes all journal entries durable."""

    def begin_snapshot(self, begin: BeginSnapshot) -> None:
        """Creates the folder in which nodes write their parts of a snapshot."""

    def complete_snapshot(self, complete: CompleteSnapshot, done: Callable[[str], None]) -> None:
        """Makes the journal durable and writes the manifest, in the background.

        Calls `done`, possibly from another thread, with an empty line on success, else with the reason of the failure.
        """

    def fetch_part(self, fetch: FetchPart, request: Callable[[FileRequest], None], done: Callable[[], None]) -> None:
        """Fetches the files of a snapshot part from a node's host.

        Calls `request` with each request to be sent to the node, and `done` when all files have arrived. The answers
        must be passed to `take_chunk`.
        """

    def take_chunk(self, sender: Any, chunk: FileChunk, raw: Sequence[Any]) -> None:
        """Stores a received chunk of a file that is being fetched from `sender`."""

    def read_chunk(self, request: FileRequest) -> tuple[FileChunk, list[Any]] | None:
        """Returns the answer to a request for a file of a complete snapshot: the message, and its raw frames.

        The raw frame is the requested part of the file. If the request names no file, there is no raw frame, and the
        message lists the snapshot's files. Returns None if there is no such snapshot or file.
        """

    def poll(self, now_s: float) -> None:
        """Does periodic work: commits the journal, requests missing chunks again."""


class CoordinatorDriver:
    """Carries out the instructions of a `CoordinatorMachine`. One thread owns the driver and calls `poll` in a loop.

    `announce` prints a line for the user. `ended` is None until the run has ended; then it is an empty string, or the
    error that ended the run.
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
        """Number of messages that could not be decoded, or were sent by a role that may not send them."""
        self._announce = announce
        self._events: queue.SimpleQueue[CoordinatorEvent] = queue.SimpleQueue()
        """Events that other threads have put here for the state machine."""
        self._held_back: list[SendMessage] | None = None
        """Messages held back until journalled commands are durable; None while all commands are durable."""

    # --- messages

    def poll(self, wait_s: float) -> None:
        """Handles received messages and makes their commands durable in one commit.

        Then passes the present time to the state machine, and lets the storage do its periodic work. Waits up to
        `wait_s` seconds for the first message.
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
        self.storage.poll(now_s)

    def take(self, incoming: Incoming) -> None:
        """Decodes and handles one message.

        Counts it in `malformed` if it cannot be decoded, or if the sender's role may not send it.
        """
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
                self.machine.set_time(self.clock())  # its time is that of the last `Timer`, maybe long ago
        self._handle(MessageReceived(message, raw, incoming.sender))

    def order(self, order: Order) -> None:
        """Passes an order of this process to the state machine, such as to stop after a signal."""
        self._handle(MessageReceived(order))

    def _check(self, submit: SubmitCommands) -> UmweltError | None:
        """Returns the error for which submitted commands are rejected; None if they are valid."""
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
        """Passes an event to the state machine and carries out the instructions that follow."""
        self._carry_out(self.machine.handle(event))

    def _carry_out(self, instructions: Sequence[CoordinatorInstruction]) -> None:
        """Carries out instructions in order; instructions that follow from their events are appended to the queue.

        After an `UmweltError` the queue is replaced by the instructions that end the run.
        """
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
        """Sends a message, or holds it back while journalled commands are not durable."""
        if self._held_back is not None:
            self._held_back.append(instruction)
        else:
            self.transport.send(instruction.to, encode(instruction.message, instruction.raw))

    def _commit(self) -> None:
        """Makes journalled commands durable, then sends the messages that were held back."""
        if self._held_back is None:
            return
        waiting: Sequence[CoordinatorInstruction] = self._held_back
        self._held_back = None
        try:
            self.storage.commit()
        except UmweltError as error:  # messages about commands that are not on disk must not be sent
            waiting = self.machine.fail(str(error))
        self._carry_out(waiting)

    def _execute(self, action: CoordinatorAction) -> CoordinatorEvent | None:
        """Carries out an action; returns its event, or None if it has none or its event follows later."""
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

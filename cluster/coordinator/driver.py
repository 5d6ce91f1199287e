"""Carries out what the directory wants: messages, the journal, snapshots.

The same steward lives in the directory's process and in simulations: transport, clock and books are handed in.
"""

import queue
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from umwelt.cluster.coordinator.machine import CoordinatorMachine
from umwelt.cluster.events import (
    Announce,
    BeginSnapshot,
    CompleteSnapshot,
    DivideTorus,
    EndRun,
    FetchPart,
    JournalBirths,
    JournalCommands,
    JournalMap,
    JournalTick,
    MessageReceived,
    PartFetched,
    SendMessage,
    SnapshotCompleted,
    Timer,
    TorusDivided,
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

MESSAGES_A_TURN, MAX_TURN_S = 1024, 0.05
MAX_SUBMIT_COMMANDS, MAX_COMMAND_BYTES = 1000, 1 << 20
NODES_ROLE, KEEPERS_ROLE = frozenset({"node", "world", "keeper"}), frozenset({"world", "keeper"})


class CoordinatorStorage(Protocol):
    """The run's folder: journal and snapshots. What cannot be done raises an `UmweltError`."""

    def check(self, content: bytes) -> None:
        """Refuse a command that cannot be."""

    def divide(self, divide: DivideTorus) -> list[tuple[int, int, int, int]]:
        """Rectangles of about equal load."""

    def open(self, opened: JournalMap) -> None:
        """Journal a map, durably."""

    def enter_commands(self, entered: JournalCommands) -> None:
        """Journal commands; nobody hears of them before `commit`."""

    def commit(self) -> None:
        """Make all that was journalled durable."""

    def enter_births(self, raw: Sequence[Any]) -> None:
        """Journal births."""

    def enter(self, entered: JournalTick) -> None:
        """Journal a digest and metrics."""

    def begin_snapshot(self, begun: BeginSnapshot) -> None:
        """Make room for a snapshot."""

    def complete(self, complete: CompleteSnapshot, done: Callable[[str], None]) -> None:
        """Make the journal durable and write the manifest; `done`, perhaps from another thread, with a line if not."""

    def fetch(self, fetch: FetchPart, ask: Callable[[FileRequest], None], done: Callable[[], None]) -> None:
        """Fetch a part's files by asking for them."""

    def fetched(self, sender: Any, chunk: FileChunk, raw: Sequence[Any]) -> None:
        """A piece of a file came."""

    def answer(self, ask: FileRequest) -> tuple[FileChunk, list[Any]] | None:
        """A piece of a file of a snapshot."""

    def turn(self, now_s: float) -> None:
        """What has to be done now and then: commit, ask again."""


class CoordinatorDriver:
    """See the page's top. `rested` is the last line, once all is saved; None before."""

    def __init__(
        self,
        directory: CoordinatorMachine,
        transport: Transport,
        books: CoordinatorStorage,
        clock: Callable[[], float],
        say: Callable[[str], None] = lambda line: None,
    ):
        self.directory, self.transport, self.books, self.clock, self._tell = directory, transport, books, clock, say
        self.rested: str | None = None
        self.malformed = 0
        self._later: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._held_back: list[SendMessage] | None = None
        """What waits for the disk: from the first command that is not durable yet, nothing goes out before it is."""

    def turn(self, wait_s: float) -> None:
        """Take in what came, for a while; make its commands durable, all at once; then let time pass."""
        end_s = self.clock() + wait_s + MAX_TURN_S
        for _ in range(MESSAGES_A_TURN):
            incoming = self.transport.receive(wait_s)
            if incoming is None:
                break
            wait_s = 0.0
            self.take(incoming)
            if self.clock() > end_s:
                break
        while not self._later.empty():
            self._do(self.directory.handle(self._later.get()))
        self._let_out()
        now_s = self.clock()
        self._do(self.directory.handle(Timer(now_s)))
        self.books.turn(now_s)

    def take(self, incoming: Incoming) -> None:
        """Take in one message; who may say what is decided by role."""
        try:
            message, raw = decode(incoming.frames)
        except ValueError:
            self.malformed += 1
            return
        allowed = KEEPERS_ROLE if isinstance(message, SubmitCommands | Order | StatusSubscription) else NODES_ROLE
        if incoming.role not in allowed:
            self.malformed += 1
        elif isinstance(message, FileRequest):
            answer = self.books.answer(message)
            if answer is not None:
                self.transport.send(incoming.sender, encode(*answer))
        elif isinstance(message, FileChunk):
            self.directory.heard(incoming.sender)
            self.books.fetched(incoming.sender, message, raw)
        elif isinstance(message, Order) and message.what == "lost":
            self._do(self.directory.lost(int(message.value), message.name))
            self.transport.send(incoming.sender, encode(TicketResult(message.ticket, 0, 0)))
        elif isinstance(message, SubmitCommands) and (error := self._refused(message)) is not None:
            self.transport.send(incoming.sender, encode(TicketResult(message.ticket, -1, 0, str(error), error.code)))
        else:
            if isinstance(message, Hello | Join):  # the clock may be old where nothing went on
                self.directory.now_s = self.clock()
            self._do(self.directory.handle(MessageReceived(message, raw, incoming.sender)))

    def order(self, order: Order) -> None:
        """Somebody on this machine asks."""
        self._do(self.directory.handle(MessageReceived(order, (), b"")))

    def _refused(self, submit: SubmitCommands) -> UmweltError | None:
        if len(submit.commands) > MAX_SUBMIT_COMMANDS or sum(map(len, submit.commands)) > MAX_COMMAND_BYTES:
            return CommandError(
                f"too much at once: at most {MAX_SUBMIT_COMMANDS} commands and {MAX_COMMAND_BYTES:,} bytes"
            )
        try:
            for content in submit.commands:
                self.books.check(content)
        except UmweltError as error:
            return error
        return None

    def _do(self, instructions: Sequence[Any]) -> None:
        waiting = deque(instructions)
        while waiting:
            instruction = waiting.popleft()
            if isinstance(instruction, SendMessage):
                if self._held_back is not None:
                    self._held_back.append(instruction)
                else:
                    self.transport.send(instruction.to, encode(instruction.message, instruction.raw))
                continue
            try:
                event = getattr(self, f"_{type(instruction).__name__.lower()}")(instruction)
            except UmweltError as error:
                waiting.clear()
                waiting.extend(self.directory.broken(str(error)))
                continue
            if event is not None:
                waiting.extend(self.directory.handle(event))

    def _let_out(self) -> None:
        """Make commands durable, then send what waited for that."""
        if self._held_back is None:
            return
        held_back: list[Any] = self._held_back
        self._held_back = None
        try:
            self.books.commit()
        except UmweltError as error:  # nobody hears of what is not on the disk
            held_back = self.directory.broken(str(error))
        self._do(held_back)

    def _dividetorus(self, divide: DivideTorus) -> TorusDivided:
        return TorusDivided(divide.epoch, self.books.divide(divide))

    def _journalmap(self, opened: JournalMap) -> None:
        self.books.open(opened)

    def _journalcommands(self, entered: JournalCommands) -> None:
        self.books.enter_commands(entered)
        self._held_back = self._held_back if self._held_back is not None else []

    def _journalbirths(self, entered: JournalBirths) -> None:
        self.books.enter_births(entered.raw)

    def _journaltick(self, entered: JournalTick) -> None:
        self.books.enter(entered)

    def _beginsnapshot(self, begun: BeginSnapshot) -> None:
        self.books.begin_snapshot(begun)

    def _fetchpart(self, fetch: FetchPart) -> None:
        self.books.fetch(
            fetch,
            lambda ask: self._send(fetch.sender, ask),
            lambda: self._later.put(PartFetched(fetch.epoch, fetch.tick, fetch.kept, fetch.key)),
        )

    def _completesnapshot(self, complete: CompleteSnapshot) -> None:
        self.books.complete(
            complete,
            lambda line: self._later.put(SnapshotCompleted(complete.epoch, complete.tick, complete.kept, line)),
        )

    def _announce(self, say: Announce) -> None:
        self._tell(say.line)

    def _endrun(self, rest: EndRun) -> None:
        self.rested = rest.line

    def _send(self, to: Any, message: Any) -> None:
        self.transport.send(to, encode(message))

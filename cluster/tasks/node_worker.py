"""A node's bench: one process that does tasks, one after another. It begins with the first task.

Whatever a task does, the node's own ticks go on: a thread hands tasks over and waits for the process, and a task that
takes longer than it may is ended together with it. Another process does those that wait.
"""

import queue
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import NamedTuple

from umwelt.agents.world_file import available_memory_bytes
from umwelt.cluster.tasks.registry import MAX_RESULT_BYTES
from umwelt.cluster.tasks.worker import TaskCall, Worker, WorkerReport

NICE = 10
MEMORY_SHARE = 0.5
"""Of what the machine has left when the process begins: a task may take no more."""
STARTS_WITHIN_S, HALTS_WITHIN_S = 60.0, 0.5


class TaskOutcome(NamedTuple):
    """What became of a task; with `again`, it may do better elsewhere."""

    ticket: Hashable
    found: bytes
    line: str
    again: bool = False
    spent_s: float = 0.0


@dataclass
class _Waiting:
    errand: TaskCall
    within_s: float


@dataclass
class _Line:
    """A process, and what passes between the node's thread and the one that attends to it."""

    worker: Worker
    begun_s: float
    """When the process was begun, then when it was given what it is at."""
    at: Hashable = None
    """The ticket of that."""
    ready: bool = False
    working: bool = False
    ordered: "queue.SimpleQueue[tuple[Hashable, TaskCall] | None]" = field(default_factory=queue.SimpleQueue)
    heard: "queue.SimpleQueue[tuple[Hashable, WorkerReport | None]]" = field(default_factory=queue.SimpleQueue)


class NodeWorker:
    """See the page's top. Owned by the node's thread; `turn` gives what is done, `wake` is called when there is some.

    As long as more waits, nobody is woken: what is done is taken at the node's next turn.
    """

    def __init__(
        self, where: str = "", clock: Callable[[], float] = time.monotonic, wake: Callable[[], None] = lambda: None
    ):
        self.where, self._clock, self._wake = where, clock, wake
        self._waiting: OrderedDict[Hashable, _Waiting] = OrderedDict()
        self._line: _Line | None = None

    @property
    def busy(self) -> bool:
        """Whether anything is to be done."""
        return bool(self._waiting)

    def begin(self, ticket: Hashable, errand: TaskCall, within_s: float) -> None:
        """Do a task when those before it are done."""
        self._waiting[ticket] = _Waiting(errand, within_s)
        if self._line is None:
            self._open()
        else:
            self._line.ordered.put((ticket, errand))

    def halt(self, ticket: Hashable) -> None:
        """Nobody waits for a task any more. One under way has a moment left, so that its process may live on."""
        if self._line is not None and self._line.working and self._line.at == ticket and ticket in self._waiting:
            left_s = self._clock() - self._line.begun_s + HALTS_WITHIN_S
            self._waiting[ticket].within_s = min(self._waiting[ticket].within_s, left_s)
        else:
            self._waiting.pop(ticket, None)

    def turn(self) -> list[TaskOutcome]:
        """What has been done since."""
        found: list[TaskOutcome] = []
        line = self._line
        while line is not None and line is self._line and not line.heard.empty():
            ticket, heard = line.heard.get()
            if heard is None:
                line.worker.end()
                found += self._ended(f"ended its process (code {line.worker.code})", True)
            elif heard.done and (done := self._waiting.pop(ticket, None)) is not None:
                found.append(_outcome(ticket, done.errand, heard))
        if self._line is not None and (self._line.working or not self._line.ready):
            at = self._waiting.get(self._line.at)
            # what was let go just as it began is at work without waiting for anything
            within_s = at.within_s if at is not None else HALTS_WITHIN_S if self._line.ready else STARTS_WITHIN_S
            if self._clock() - self._line.begun_s > within_s:
                found += self._ended(f"was ended after {within_s:g} s: give it less to do, or more time", False)
        return found

    def _ended(self, what: str, again: bool) -> list[TaskOutcome]:
        """The process has ended, or must: what it was at is not done, and the others wait for another one."""
        line = self._line
        self._close_line()
        if line is None:
            return []
        # one that does not even begin would not the next time either
        ticket = line.at if line.ready else next(iter(self._waiting), None)
        gone = self._waiting.pop(ticket, None) if line.working or not line.ready else None
        if self._waiting:
            self._open()
        if gone is None:
            return []
        where = f" on {self.where}" if self.where else ""
        return [TaskOutcome(ticket, b"", f'task "{gone.errand.name}"{where} {what}', again)]

    def _open(self) -> None:
        line = self._line = _Line(Worker(NICE, int(MEMORY_SHARE * available_memory_bytes())), self._clock())
        for ticket, waiting in self._waiting.items():
            line.ordered.put((ticket, waiting.errand))
        threading.Thread(target=self._attend, args=(line,), name="umwelt-bench", daemon=True).start()

    def _close_line(self) -> None:
        if self._line is not None:
            self._line.ordered.put(None)
            self._line.worker.end()
            self._line = None

    def close(self) -> None:
        """End the process."""
        self._waiting.clear()
        self._close_line()

    def _attend(self, line: _Line) -> None:
        """In a thread: hand over one task after another and wait for each, until None is ordered or all has ended."""
        try:
            line.worker.hear()
            line.ready = True
            while (order := line.ordered.get()) is not None:
                ticket, errand = order
                if ticket not in self._waiting:
                    continue
                line.begun_s, line.at, line.working = self._clock(), ticket, True
                line.worker.begin(errand)
                while not (heard := line.worker.hear()).done:
                    pass
                line.working = False
                line.heard.put((ticket, heard))
                if line.ordered.empty():
                    self._wake()
        except (EOFError, OSError, ValueError, TypeError):
            line.heard.put((None, None))
            self._wake()


def _outcome(ticket: Hashable, errand: TaskCall, heard: WorkerReport) -> TaskOutcome:
    if len(heard.found) > MAX_RESULT_BYTES:
        size, most = len(heard.found) >> 10, MAX_RESULT_BYTES >> 10
        return TaskOutcome(
            ticket, b"", f'task "{errand.name}": its result has {size} KiB: give back {most} KiB at most'
        )
    return TaskOutcome(ticket, heard.found, heard.line, spent_s=heard.spent_s)

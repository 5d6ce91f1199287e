"""A node's worker: one process that executes tasks one after another, started when the first task arrives.

The node continues to compute ticks: a thread passes tasks to the process and waits for the results. If a task exceeds
its time limit, the process is killed, and a new process executes the waiting tasks. The reasons for not using an
existing pool are in worker.py.

A *ticket* is the id of one execution of a task.
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
from umwelt.sandbox.errors import RunError

NICE = 10
MEMORY_SHARE = 0.5
"""Share of the machine's available memory, when the process starts, that a task can use."""
STARTS_WITHIN_S, CANCELS_WITHIN_S = 60.0, 0.5
"""Time in seconds that the process has to start, and that a cancelled task has to complete before it is killed."""


class TaskOutcome(NamedTuple):
    """The outcome of a task: its encoded result, or the `line` and `code` of its error.

    `again` is true if the process died, so that the task could succeed elsewhere. `spent_s` is the duration in seconds.
    """

    ticket: Hashable
    result: bytes
    line: str = ""
    code: str = ""
    again: bool = False
    spent_s: float = 0.0


@dataclass
class _OpenTask:
    """A waiting or running task, and its time limit in seconds."""

    call: TaskCall
    within_s: float


@dataclass
class _Process:
    """A worker process, with the data that the node's thread and the thread of `_attend` share."""

    worker: Worker
    begun_s: float
    """Time at which the process was started or, later, at which its present task was sent to it."""
    ticket: Hashable = None
    """Ticket of the present task."""
    is_ready: bool = False
    is_working: bool = False
    calls: "queue.SimpleQueue[tuple[Hashable, TaskCall] | None]" = field(default_factory=queue.SimpleQueue)
    """Tasks to execute; None ends the thread that runs `_attend`."""
    reports: "queue.SimpleQueue[tuple[Hashable, WorkerReport | None]]" = field(default_factory=queue.SimpleQueue)
    """Messages of the process with the tickets of their tasks; (None, None) means that the process has ended."""


class NodeWorker:
    """The open tasks of a node. Used by the node's thread: `poll` returns outcomes, `close` ends the process.

    `wake` is called from another thread when no waiting task remains or the process has ended; other outcomes are
    collected by the node's next `poll`. `where` is the node's name in error messages.
    """

    def __init__(
        self, where: str = "", clock: Callable[[], float] = time.monotonic, wake: Callable[[], None] = lambda: None
    ):
        self.where, self._clock, self._wake = where, clock, wake
        self._open: OrderedDict[Hashable, _OpenTask] = OrderedDict()
        self._process: _Process | None = None

    @property
    def is_busy(self) -> bool:
        """Whether there are open tasks."""
        return bool(self._open)

    def begin(self, ticket: Hashable, call: TaskCall, within_s: float) -> None:
        """Queues a task, and starts the process if there is none."""
        self._open[ticket] = _OpenTask(call, within_s)
        if self._process is None:
            self._start_process()
        else:
            self._process.calls.put((ticket, call))

    def cancel(self, ticket: Hashable) -> None:
        """Drops a task. A running task gets `CANCELS_WITHIN_S` seconds to complete before its process is killed."""
        process = self._process
        if process is not None and process.is_working and process.ticket == ticket and ticket in self._open:
            left_s = self._clock() - process.begun_s + CANCELS_WITHIN_S
            self._open[ticket].within_s = min(self._open[ticket].within_s, left_s)
        else:
            self._open.pop(ticket, None)

    def poll(self) -> list[TaskOutcome]:
        """Returns the outcomes since the last call, and ends a task that exceeds its time limit."""
        outcomes: list[TaskOutcome] = []
        process = self._process
        while process is not None and process is self._process and not process.reports.empty():
            ticket, report = process.reports.get()
            if report is None:
                process.worker.end()
                outcomes += self._end_process(f"ended its process (code {process.worker.exit_code})", True)
            elif report.is_done and (task := self._open.pop(ticket, None)) is not None:
                outcomes.append(_outcome_of(ticket, task.call, report))
        if self._process is not None and (self._process.is_working or not self._process.is_ready):
            task = self._open.get(self._process.ticket)
            # a task that was cancelled when it began is no longer open, but the process still executes it
            within_s = task.within_s if task else CANCELS_WITHIN_S if self._process.is_ready else STARTS_WITHIN_S
            if self._clock() - self._process.begun_s > within_s:
                outcomes += self._end_process(
                    f"was ended after {within_s:g} s: give it less to do, or more time", False
                )
        return outcomes

    def _end_process(self, reason: str, again: bool) -> list[TaskOutcome]:
        """Ends the process and its present task; a new process gets the waiting tasks. Returns the task's outcome.

        `reason` completes the error message. `again` is as in `TaskOutcome`.
        """
        process = self._process
        self._close_process()
        if process is None:
            return []
        # if the process did not start, the first task fails, which prevents an endless loop of restarts
        ticket = process.ticket if process.is_ready else next(iter(self._open), None)
        task = self._open.pop(ticket, None) if process.is_working or not process.is_ready else None
        if self._open:
            self._start_process()
        if task is None:
            return []
        where = f" on {self.where}" if self.where else ""
        return [TaskOutcome(ticket, b"", f'task "{task.call.name}"{where} {reason}', RunError.code, again)]

    def _start_process(self) -> None:
        """Starts a process with a thread that serves it, and passes all open tasks to it."""
        process = self._process = _Process(Worker(NICE, int(MEMORY_SHARE * available_memory_bytes())), self._clock())
        for ticket, task in self._open.items():
            process.calls.put((ticket, task.call))
        threading.Thread(target=self._attend, args=(process,), name="umwelt-node-worker", daemon=True).start()

    def _close_process(self) -> None:
        """Ends the process, if there is one."""
        if self._process is not None:
            self._process.calls.put(None)
            self._process.worker.end()
            self._process = None

    def close(self) -> None:
        """Drops all tasks and ends the process."""
        self._open.clear()
        self._close_process()

    def _attend(self, process: _Process) -> None:
        """Sends tasks to the process, one after another, and waits for each, until the process is closed or has ended.

        Runs in a thread of its process.
        """
        try:
            process.worker.receive()
            process.is_ready = True
            while (order := process.calls.get()) is not None:
                ticket, call = order
                if ticket not in self._open:
                    continue
                process.begun_s, process.ticket, process.is_working = self._clock(), ticket, True
                process.worker.begin(call)
                while not (report := process.worker.receive()).is_done:
                    pass
                process.is_working = False
                process.reports.put((ticket, report))
                if process.calls.empty():
                    self._wake()
        except (EOFError, OSError, ValueError, TypeError):
            process.reports.put((None, None))
            self._wake()


def _outcome_of(ticket: Hashable, call: TaskCall, report: WorkerReport) -> TaskOutcome:
    """Returns the outcome that a worker has reported, or an error if the result is too large."""
    if len(report.result) > MAX_RESULT_BYTES:
        size, limit = len(report.result) >> 10, MAX_RESULT_BYTES >> 10
        line = f'task "{call.name}": its result has {size} KiB: return {limit} KiB at most'
        return TaskOutcome(ticket, b"", line, RunError.code)
    return TaskOutcome(ticket, report.result, report.line, report.code, spent_s=report.spent_s)

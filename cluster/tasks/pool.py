"""A pool of workers on this machine, or on the hosts of Ray, for workflows that need no world: experiments and duels.

To a workflow a pool is what the nodes of a world are to others: `post` has a task executed, `halt` ends tasks. A task
may take any time. One whose worker dies is given to another one, as often as its kind of worker allows. Own code for
the reasons given in worker.py.
"""

import asyncio
import math
import os
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Lock
from typing import Any, NamedTuple, Protocol, TypeVar

from umwelt.agents.world_file import WorldFile, available_memory_bytes, needed_memory_bytes
from umwelt.cluster.tasks.worker import TaskCall, Worker, WorkerReport
from umwelt.cluster.tasks.workflow import Flow, run_workflow
from umwelt.cluster.wire.viewer_protocol import Task
from umwelt.sandbox.errors import RunError, error_for

_T = TypeVar("_T")


class PoolWorker(Protocol):
    """What a pool needs of a worker."""

    kind: str
    """How it is called in error lines."""
    max_deaths: int
    """After so many workers died of a task, the task is given up."""

    def begin(self, call: TaskCall) -> None:
        """Sends a task; raises OSError or EOFError if the worker has ended."""

    def receive(self) -> WorkerReport:
        """Waits for the next message; raises OSError or EOFError if the worker has ended."""

    def end(self) -> None:
        """Ends the worker at once."""


class PoolResult(NamedTuple):
    """The packed result of a task. `tick` is 0: it is of no world."""

    tick: int
    raw: bytes


class WorkerPool:
    """Up to `count` workers, started as there is work for them. A context manager: all are ended at its exit.

    `start_worker` creates a worker. `on_tick(ticket, tick)` is called with the progress of a task, from the thread
    that receives it.
    """

    def __init__(
        self,
        count: int,
        start_worker: Callable[[], PoolWorker] = Worker,
        on_tick: Callable[[str, int], None] | None = None,
    ):
        self._start_worker, self._on_tick = start_worker, on_tick
        self._threads = ThreadPoolExecutor(count, "umwelt-pool")
        self._idle: SimpleQueue[PoolWorker] = SimpleQueue()
        self._lock = Lock()
        self._workers: list[PoolWorker] = []
        self._busy: dict[str, PoolWorker] = {}
        """By the ticket of the task under way."""
        self._is_closed = False

    def __enter__(self) -> "WorkerPool":
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._is_closed = True
            for worker in self._workers:
                worker.end()
        self._threads.shutdown(cancel_futures=True)

    def post(self, task: Task) -> "Future[PoolResult]":
        """Has a task executed; the future raises the task's UmweltError, or RunError if its worker died."""
        return self._threads.submit(self._execute, task)

    def halt(self, tickets: Sequence[str]) -> None:
        """Ends tasks under way together with their workers. Waiting ones are cancelled by their futures."""
        with self._lock:
            for ticket in tickets:
                if (worker := self._busy.pop(ticket, None)) is not None:
                    worker.end()

    def run_workflow(self, workflow: Callable[..., Awaitable[_T]], *given: Any) -> _T:
        """Runs a workflow to its end in the calling thread. It is given a flow, then these arguments."""
        return asyncio.run(run_workflow(_LocalFlow(self.post, self.halt), workflow, given, {}, math.inf))

    def _execute(self, task: Task) -> PoolResult:
        """In a thread: executes a task with an idle worker, or with a new one."""
        deaths = 0
        while True:
            worker = self._take_worker(task.ticket)
            try:
                worker.begin(TaskCall(task.name, task.arguments))
                while not (report := worker.receive()).is_done:
                    if self._on_tick is not None and report.tick >= 0:
                        self._on_tick(task.ticket, report.tick)
            except (EOFError, OSError) as error:
                deaths += 1
                self._remove_dead(task.ticket, worker, deaths, error)
                continue
            with self._lock:
                if self._busy.pop(task.ticket, None) is not None:  # else `halt` has just ended it
                    self._idle.put(worker)
            if report.line:
                raise error_for(report.code, report.line)
            return PoolResult(0, report.result)

    def _take_worker(self, ticket: str) -> PoolWorker:
        with self._lock:
            if self._is_closed:
                raise RunError("the pool of workers is closed")
            worker = None
            with suppress(Empty):
                worker = self._idle.get_nowait()
            if worker is None:
                worker = self._start_worker()
                self._workers.append(worker)
            self._busy[ticket] = worker
            return worker

    def _remove_dead(self, ticket: str, worker: PoolWorker, deaths: int, error: BaseException) -> None:
        """Removes a dead worker; raises RunError if its task was cancelled, or too many workers have died of it."""
        with self._lock:
            is_awaited = self._busy.pop(ticket, None) is not None and not self._is_closed
            self._workers.remove(worker)
        worker.end()
        if not is_awaited:
            raise RunError("this task was cancelled")
        if deaths >= worker.max_deaths:
            times = f", {deaths} times ({error})" if deaths > 1 else ""
            raise RunError(f"{worker.kind} ended before its run was done{times}: free some memory, and try again")


class _LocalFlow(Flow):
    max_argument_bytes = 1 << 31
    """A world with the genomes of all its founders may be an argument: it does not cross a network."""


def choose_process_count(worlds: Sequence[WorldFile], asked: int = 0) -> int:
    """Returns how many worlds to run side by side: `asked`, or one for each core as far as the memory suffices."""
    needed_bytes = max((needed_memory_bytes(world) for world in worlds), default=1)
    max_count = asked or min(len(os.sched_getaffinity(0)), available_memory_bytes() // needed_bytes)
    return max(1, min(max_count, len(worlds)))

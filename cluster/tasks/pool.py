"""A pool of workers, on this machine or on the hosts of Ray, for workflows without a running world: experiments, duels.

A pool offers a workflow the same two operations as the nodes of a world: `post` executes a task, and `halt` ends tasks.
The duration of a task is not limited. If a worker dies, its task is given to another one, up to `max_deaths` times. The
reasons for not using an existing pool are in worker.py.

A *ticket* is the id of one execution of a task.
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
    """Interface of the workers of a pool."""

    kind: str
    """Name of this kind of worker in error messages."""
    max_deaths: int
    """Number of workers that must die while executing a task before the task fails."""

    def begin(self, call: TaskCall) -> None:
        """Sends a task to the worker. Raises OSError or EOFError if the worker has ended."""

    def receive(self) -> WorkerReport:
        """Waits for the worker's next message. Raises OSError or EOFError if the worker has ended."""

    def end(self) -> None:
        """Ends the worker immediately, even while it executes a task."""


class PoolResult(NamedTuple):
    """The encoded result of a task. `tick` is always 0, since the task belongs to no world."""

    tick: int
    raw: bytes


class WorkerPool:
    """Up to `count` workers, started when they are needed. A context manager that ends all workers at its exit.

    `start_worker` creates a worker. `on_tick(ticket, tick)` is called with the progress of a task, from the thread that
    receives it.
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
        """Workers by the ticket of the task that they execute."""
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
        """Executes a task. The future raises the task's UmweltError, or RunError if its worker died."""
        return self._threads.submit(self._execute, task)

    def halt(self, tickets: Sequence[str]) -> None:
        """Ends running tasks together with their workers. To cancel waiting tasks, cancel their futures."""
        with self._lock:
            for ticket in tickets:
                if (worker := self._busy.pop(ticket, None)) is not None:
                    worker.end()

    def run_workflow(self, workflow: Callable[..., Awaitable[_T]], *given: Any) -> _T:
        """Runs a workflow to its end in the calling thread and returns its result.

        The workflow is called with a `Flow`, which executes its tasks, and then the arguments `given`.
        """
        return asyncio.run(run_workflow(_LocalFlow(self.post, self.halt), workflow, given, {}, math.inf))

    def _execute(self, task: Task) -> PoolResult:
        """Executes a task with an idle or a new worker. Runs in a thread of the pool."""
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
                if self._busy.pop(task.ticket, None) is not None:  # otherwise `halt` has ended the worker
                    self._idle.put(worker)
            if report.line:
                raise error_for(report.code, report.line)
            return PoolResult(0, report.result)

    def _take_worker(self, ticket: str) -> PoolWorker:
        """Returns an idle worker, or a new one, and registers it as the worker of the task `ticket`."""
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
        """Removes a dead worker.

        Raises RunError if its task was cancelled, or if `max_deaths` workers died executing it.
        """
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
    """A flow whose tasks are executed by a `WorkerPool`, so that arguments are not sent through a gateway."""

    max_argument_bytes = 1 << 31
    """Maximum size of arguments: large, because a world with the genomes of all founders can be an argument."""


def choose_process_count(worlds: Sequence[WorldFile], asked: int = 0) -> int:
    """Returns the number of worlds to run concurrently: `asked`, or else one per core as far as memory suffices."""
    needed_bytes = max((needed_memory_bytes(world) for world in worlds), default=1)
    max_count = asked or min(len(os.sched_getaffinity(0)), available_memory_bytes() // needed_bytes)
    return max(1, min(max_count, len(worlds)))

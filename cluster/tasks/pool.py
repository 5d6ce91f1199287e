"""A workshop: workers side by side that do tasks here, or on Ray's hosts, and end with it; none is left behind.

To a workflow it is what the nodes of a world are to others: `post` has a task done, `halt` lets tasks go. A task takes
as long as it takes. One whose worker dies is given to another as often as its kind of worker allows.
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
from umwelt.sandbox.errors import RunError

_T = TypeVar("_T")


class PoolWorker(Protocol):
    """Who does one task after another."""

    kind: str
    """What it is called where it dies."""
    lives: int
    """So many of its kind may die of one task."""

    def begin(self, errand: TaskCall) -> None:
        """Give it a task; `OSError` or `EOFError` where it has ended."""

    def hear(self) -> WorkerReport:
        """What it tells next, as soon as it does; `OSError` or `EOFError` where it has ended."""

    def end(self) -> None:
        """End it at once."""


class PoolResult(NamedTuple):
    """What came out of a task, packed; it is of no world's tick."""

    tick: int
    raw: bytes


class WorkerPool:
    """See the page's top. Up to `count` hands are hired, as there is work for them.

    `seen` is told the ticket of a task and the tick that it has come to, by the thread that hears of it.
    """

    def __init__(
        self, count: int, hire: Callable[[], PoolWorker] = Worker, seen: Callable[[str, int], None] | None = None
    ):
        self._hire, self._seen = hire, seen
        self._threads = ThreadPoolExecutor(count, "umwelt-workshop")
        self._idle: SimpleQueue[PoolWorker] = SimpleQueue()
        self._lock = Lock()
        self._hired: list[PoolWorker] = []
        self._at: dict[str, PoolWorker] = {}
        self._closed = False

    def __enter__(self) -> "WorkerPool":
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._closed = True
            for hand in self._hired:
                hand.end()
        self._threads.shutdown(cancel_futures=True)

    def post(self, task: Task) -> "Future[PoolResult]":
        """Have a task done; the future raises `RunError` where it cannot be."""
        return self._threads.submit(self._do, task)

    def halt(self, tickets: Sequence[str]) -> None:
        """Nobody waits for these any more: whoever is at one ends with it. Those that wait are cancelled already."""
        with self._lock:
            for ticket in tickets:
                if (hand := self._at.pop(ticket, None)) is not None:
                    hand.end()

    def carry_out(self, workflow: Callable[..., Awaitable[_T]], *given: Any) -> _T:
        """Await a workflow, which is given a flow and then these arguments, to its end, here in the main thread."""
        return asyncio.run(run_workflow(_LocalFlow(self.post, self.halt), workflow, given, {}, math.inf))

    def _do(self, task: Task) -> PoolResult:
        """In a thread: do a task with a hand that is idle, or with a new one."""
        died = 0
        while True:
            hand = self._taken_by(task.ticket)
            try:
                hand.begin(TaskCall(task.name, task.arguments))
                while not (heard := hand.hear()).done:
                    if self._seen is not None and heard.tick >= 0:
                        self._seen(task.ticket, heard.tick)
            except (EOFError, OSError) as error:
                died += 1
                self._died(task.ticket, hand, died, error)
                continue
            with self._lock:
                if self._at.pop(task.ticket, None) is not None:  # else it was ended just now
                    self._idle.put(hand)
            if heard.line:
                raise RunError(heard.line)
            return PoolResult(0, heard.found)

    def _taken_by(self, ticket: str) -> PoolWorker:
        with self._lock:
            if self._closed:
                raise RunError("the workshop is closed")
            hand = None
            with suppress(Empty):
                hand = self._idle.get_nowait()
            if hand is None:
                hand = self._hire()
                self._hired.append(hand)
            self._at[ticket] = hand
            return hand

    def _died(self, ticket: str, hand: PoolWorker, died: int, error: BaseException) -> None:
        """Whoever is awaited has another hand, unless too many have died of this task: then `RunError`."""
        with self._lock:
            awaited = self._at.pop(ticket, None) is not None and not self._closed
            self._hired.remove(hand)
        hand.end()
        if not awaited:
            raise RunError("nobody waits for this task")
        if died >= hand.lives:
            times = f", {died} times ({error})" if died > 1 else ""
            raise RunError(f"{hand.kind} ended before its run was done{times}: free some memory, and try again")


class _LocalFlow(Flow):
    max_argument_bytes = 1 << 31
    """Nothing travels far: a world with the genomes of all its founders may be an argument."""


def choose_process_count(worlds: Sequence[WorldFile], asked: int = 0) -> int:
    """How many worlds are run side by side: so many as were asked for, or one a core, as far as memory goes."""
    needed = max((needed_memory_bytes(world) for world in worlds), default=1)
    most = asked or min(len(os.sched_getaffinity(0)), available_memory_bytes() // needed)
    return max(1, min(most, len(worlds)))

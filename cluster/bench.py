"""A node's bench: one process that does tasks, one after another. It begins with the first task.

Whatever a task does, the node's own ticks go on: a thread waits for the process, and a task that takes longer than it
may is ended together with it. Another process does those that wait.
"""

import queue
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from umwelt.agents.description import memory_at_hand
from umwelt.cluster.tasks import MOST_RESULT_BYTES
from umwelt.cluster.workers import Errand, Heard, Worker

NICE = 10
MEMORY_SHARE = 0.5
"""Of what the machine has left when the process begins: a task may take no more."""
STARTS_WITHIN_S, HALTS_WITHIN_S = 60.0, 0.5


class Done(NamedTuple):
    """What became of a task; with `again`, it may do better elsewhere."""

    ticket: str
    found: bytes
    line: str
    again: bool = False
    spent_s: float = 0.0


@dataclass
class _Waiting:
    ticket: str
    errand: Errand
    within_s: float


class Bench:
    """See the page's top. Owned by the node's thread; `turn` gives what is done."""

    def __init__(self, where: str = "", clock: Callable[[], float] = time.monotonic):
        self.where, self.clock = where, clock
        self._waiting: OrderedDict[str, _Waiting] = OrderedDict()
        """The first one is under way."""
        self._worker: Worker | None = None
        self._begun_s = 0.0
        self._given = False
        self._ready = False
        self._orders: queue.SimpleQueue[Errand | None] = queue.SimpleQueue()
        self._heard: queue.SimpleQueue[Heard | None] = queue.SimpleQueue()

    @property
    def busy(self) -> bool:
        """Whether anything is to be done."""
        return bool(self._waiting)

    def begin(self, ticket: str, errand: Errand, within_s: float) -> None:
        """Do a task when those before it are done."""
        self._waiting[ticket] = _Waiting(ticket, errand, within_s)
        self._next()

    def halt(self, ticket: str) -> None:
        """Nobody waits for a task any more. One under way has a moment left, so that its process may live on."""
        if self._given and next(iter(self._waiting), None) == ticket:
            left_s = self.clock() - self._begun_s + HALTS_WITHIN_S
            self._waiting[ticket].within_s = min(self._waiting[ticket].within_s, left_s)
        else:
            self._waiting.pop(ticket, None)

    def turn(self) -> list[Done]:
        """What has been done since."""
        found: list[Done] = []
        while self._worker is not None and not self._heard.empty():
            heard = self._heard.get()
            if heard is None:
                self._worker.end()
                found += self._ended(f"ended its process (code {self._worker.code})", True)
            elif heard.done:
                self._given = False
                ticket, waiting = self._waiting.popitem(last=False)
                if len(heard.found) > MOST_RESULT_BYTES:
                    size, most = len(heard.found) >> 10, MOST_RESULT_BYTES >> 10
                    line = f'task "{waiting.errand.name}": its result has {size} KiB: give back {most} KiB at most'
                    found.append(Done(ticket, b"", line))
                else:
                    found.append(Done(ticket, heard.found, heard.line, spent_s=heard.spent_s))
                self._next()
            elif not self._ready:
                self._ready, self._begun_s = True, self.clock()
        if self._given:
            within_s = next(iter(self._waiting.values())).within_s if self._ready else STARTS_WITHIN_S
            if self.clock() - self._begun_s > within_s:
                found += self._ended(f"was ended after {within_s:g} s: give it less to do, or more time", False)
        return found

    def _ended(self, what: str, again: bool) -> list[Done]:
        """The process has ended, or must: the task under way is not done, and the others wait for another one."""
        was_given = self._given
        self._end()
        if not was_given:
            return []
        ticket, waiting = self._waiting.popitem(last=False)
        self._next()
        where = f" on {self.where}" if self.where else ""
        return [Done(ticket, b"", f'task "{waiting.errand.name}"{where} {what}', again)]

    def _next(self) -> None:
        if self._given or not self._waiting:
            return
        if self._worker is None:
            self._worker = Worker(NICE, int(MEMORY_SHARE * memory_at_hand()))
            self._ready, self._orders, self._heard = False, queue.SimpleQueue(), queue.SimpleQueue()
            arguments = self._worker, self._orders, self._heard
            threading.Thread(target=_attend, args=arguments, name="umwelt-bench", daemon=True).start()
        self._given, self._begun_s = True, self.clock()
        self._orders.put(next(iter(self._waiting.values())).errand)

    def _end(self) -> None:
        worker, self._worker, self._given = self._worker, None, False
        if worker is not None:
            self._orders.put(None)
            worker.end()

    def close(self) -> None:
        """End the process."""
        self._waiting.clear()
        self._end()


def _attend(
    worker: Worker, orders: "queue.SimpleQueue[Errand | None]", told: "queue.SimpleQueue[Heard | None]"
) -> None:  # fmt: skip
    """Hand over one task after another and wait for each; None where the process has ended, or None is ordered."""
    try:
        told.put(worker.hear())
        while (errand := orders.get()) is not None:
            worker.begin(errand)
            told.put(heard := worker.hear())
            while not heard.done:
                told.put(heard := worker.hear())
    except (EOFError, OSError, ValueError):
        told.put(None)

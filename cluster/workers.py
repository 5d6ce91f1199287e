"""Processes that do tasks, each on one thread, none of which is left behind: here side by side, and one in each node.

A task and its arguments go to a process over a pipe, as `tasks.py` packs them; what it says on the way, and what comes
out, come back the same way.
"""

import multiprocessing
import os
import resource
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from typing import Any

import msgspec

from umwelt.agents.description import WorldFile, memory_at_hand, memory_needed
from umwelt.cluster.questions import Part
from umwelt.cluster.tasks import packed, task_named
from umwelt.sandbox.errors import RunError, UmweltError
from umwelt.sandbox.kernel import crew

SAID_EVERY_S = 0.2

Seen = Callable[[int, int], None]


class Errand(msgspec.Struct, array_like=True):
    """A task on its way to a process: its packed arguments and, where it is one over data, a node's answers."""

    name: str
    arguments: bytes
    parts: list[Part] | None = None


class Heard(msgspec.Struct, array_like=True):
    """What a process tells: that it is `ready`; the tick that it has come to; or, `done`, what came out, or why not."""

    tick: int = -1
    done: bool = False
    found: bytes = b""
    line: str = ""
    spent_s: float = 0.0


_errands, _heard = msgspec.msgpack.Decoder(Errand), msgspec.msgpack.Decoder(Heard)
_encoder = msgspec.msgpack.Encoder()


class Worker:
    """A process that does one task after the other. `nice` and `most_bytes` of memory are for tasks of others."""

    def __init__(self, nice: int = 0, most_bytes: int = 0):
        fresh = multiprocessing.get_context("spawn")
        resource_tracker.ensure_running()
        self.line, there = fresh.Pipe()
        self._process = fresh.Process(target=_serve, args=(there, nice, most_bytes), daemon=True)
        # it keeps this mask: Ctrl-C is for the one who waits, who then ends it
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self._process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        there.close()

    def begin(self, errand: Errand) -> None:
        """Give it a task; `OSError` where it has ended."""
        self.line.send_bytes(_encoder.encode(errand))

    def hear(self) -> Heard:
        """What it tells next, as soon as it does; `EOFError` or `OSError` where it has ended."""
        return _heard.decode(self.line.recv_bytes())

    @property
    def code(self) -> int | None:
        """How it has ended, if it has."""
        return self._process.exitcode

    def end(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.join()


def _serve(line: Connection, nice: int, most_bytes: int) -> None:
    """Do the tasks that come over a line, until it is closed or nobody waits any more."""
    crew.resize(1)
    os.nice(nice)
    if most_bytes:
        with suppress(ValueError, OSError):  # a smaller bound holds already
            resource.setrlimit(resource.RLIMIT_DATA, (most_bytes, most_bytes))
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    said_s = 0.0

    def say(tick: int) -> None:
        nonlocal said_s
        if time.monotonic() - said_s >= SAID_EVERY_S:
            said_s = time.monotonic()
            line.send_bytes(_encoder.encode(Heard(tick)))

    try:
        line.send_bytes(_encoder.encode(Heard()))
        while True:
            errand = _errands.decode(line.recv_bytes())
            began_s = time.perf_counter()
            found, mistake = b"", ""
            try:
                found = task_named(errand.name).run(errand.arguments, errand.parts, say)
            except UmweltError as error:
                mistake = str(error)
            heard = Heard(done=True, found=found, line=mistake, spent_s=time.perf_counter() - began_s)
            line.send_bytes(_encoder.encode(heard))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return  # nobody waits any more


def _end_with_the_parent() -> None:
    """A task that never ends must not outlive whoever began it."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


# --- many tasks, side by side


def processes_for(worlds: Sequence[WorldFile], asked: int = 0) -> int:
    """How many worlds are run side by side: so many as were asked for, or one a core, as far as memory goes."""
    needed = max((memory_needed(world) for world in worlds), default=1)
    most = asked or min(len(os.sched_getaffinity(0)), memory_at_hand() // needed)
    return max(1, min(most, len(worlds)))


def run_tasks(name: str, jobs: Sequence[Any], processes: int, seen: Seen | None = None) -> Iterator[tuple[int, Any]]:
    """Do a task for each of many arguments; gives the number of each and what came out, as they are done.

    `seen` is told which job is at which tick. Raises what went wrong in any; whatever happens, no process is left.
    """
    done = task_named(name)
    waiting, under_way = deque(range(len(jobs))), dict[Connection, tuple[int, Worker]]()
    with _workers(min(processes, len(jobs))) as idle:
        while waiting or under_way:
            while waiting and idle:
                which, worker = waiting.popleft(), idle.pop()
                worker.begin(Errand(name, packed([[jobs[which]], {}])))
                under_way[worker.line] = which, worker
            ready = wait(list(under_way))
            for line in [one for one in under_way if one in ready]:
                which, worker = under_way[line]
                try:
                    heard = worker.hear()
                except (EOFError, OSError):
                    what = "a process ended before its run was done: free some memory, and try again"
                    raise RunError(what) from None
                if heard.line:
                    raise RunError(heard.line)
                if heard.done:
                    idle.append(worker)
                    del under_way[line]
                    yield which, done.result(heard.found)
                elif seen is not None and heard.tick >= 0:
                    seen(which, heard.tick)


@contextmanager
def _workers(count: int) -> Iterator[list[Worker]]:
    """Workers, which end with the block."""
    begun: list[Worker] = []
    try:
        for _ in range(count):
            begun.append(Worker())
        yield list(begun)
    finally:
        for worker in begun:
            worker.end()

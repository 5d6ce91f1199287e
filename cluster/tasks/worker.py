"""Processes that do tasks, each on one thread: side by side in a workshop, and one in each node.

A task and its arguments go to a process over a pipe, as `tasks.py` packs them; what it says on the way, and what comes
out, come back the same way.
"""

import multiprocessing
import os
import resource
import signal
import threading
import time
from contextlib import suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection

import msgspec

from umwelt.cluster.tasks.registry import find_task
from umwelt.cluster.view.queries import Part
from umwelt.sandbox.errors import UmweltError
from umwelt.sandbox.kernel import crew

SAID_EVERY_S = 0.2


class TaskCall(msgspec.Struct, array_like=True):
    """A task on its way to a process: its packed arguments and, where it is one over data, a node's answers."""

    name: str
    arguments: bytes
    parts: list[Part] | None = None


class WorkerReport(msgspec.Struct, array_like=True):
    """What a process tells: that it is `ready`; the tick that it has come to; or, `done`, what came out, or why not."""

    tick: int = -1
    done: bool = False
    found: bytes = b""
    line: str = ""
    spent_s: float = 0.0


_errands, _heard = msgspec.msgpack.Decoder(TaskCall), msgspec.msgpack.Decoder(WorkerReport)
_encoder = msgspec.msgpack.Encoder()


class Worker:
    """A process that does one task after the other. `nice` and `max_bytes` of memory are for tasks of others."""

    kind, lives = "a process", 1

    def __init__(self, nice: int = 0, max_bytes: int = 0):
        fresh = multiprocessing.get_context("spawn")
        resource_tracker.ensure_running()
        self.line, there = fresh.Pipe()
        self._process = fresh.Process(target=_serve, args=(there, nice, max_bytes), daemon=True)
        # it keeps this mask: Ctrl-C is for the one who waits, who then ends it
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self._process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        there.close()

    def begin(self, errand: TaskCall) -> None:
        """Give it a task; `OSError` where it has ended."""
        self.line.send_bytes(_encoder.encode(errand))

    def hear(self) -> WorkerReport:
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


def _serve(line: Connection, nice: int, max_bytes: int) -> None:
    """Do the tasks that come over a line, until it is closed or nobody waits any more."""
    crew.resize(1)
    os.nice(nice)
    if max_bytes:
        with suppress(ValueError, OSError):  # a smaller bound holds already
            resource.setrlimit(resource.RLIMIT_DATA, (max_bytes, max_bytes))
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    said_s = 0.0

    def say(tick: int) -> None:
        nonlocal said_s
        if time.monotonic() - said_s >= SAID_EVERY_S:
            said_s = time.monotonic()
            line.send_bytes(_encoder.encode(WorkerReport(tick)))

    try:
        line.send_bytes(_encoder.encode(WorkerReport()))
        while True:
            errand = _errands.decode(line.recv_bytes())
            began_s = time.perf_counter()
            found, mistake = b"", ""
            try:
                found = find_task(errand.name).run(errand.arguments, errand.parts, say)
            except UmweltError as error:
                mistake = str(error)
            heard = WorkerReport(done=True, found=found, line=mistake, spent_s=time.perf_counter() - began_s)
            line.send_bytes(_encoder.encode(heard))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return  # nobody waits any more


def _end_with_the_parent() -> None:
    """A task that never ends must not outlive whoever began it."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)

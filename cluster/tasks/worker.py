"""A worker process that executes tasks one after another. A pool has several, each node has one.

The pools of concurrent.futures and loky are not used: they pickle arguments and results, and cannot end a running task.
This worker has a memory limit and a nice level, receives tasks as msgpack, and can be killed to end its task. *Packed*
arguments and results are encoded by `registry.py`.
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

REPORT_EVERY_S = 0.2


class TaskCall(msgspec.Struct, array_like=True):
    """A task that is sent to a worker: its name, its packed arguments and, for a task over data, a node's answers."""

    name: str
    arguments: bytes
    parts: list[Part] | None = None


class WorkerReport(msgspec.Struct, array_like=True):
    """A message of a worker: that it is ready, the tick that a running task has reached, or the outcome of a task.

    If `is_done`, the task has ended: the message has its packed `result`, or the `line` and `code` of its error.
    `spent_s` is the duration of the task in seconds.
    """

    tick: int = -1
    is_done: bool = False
    result: bytes = b""
    line: str = ""
    code: str = ""
    spent_s: float = 0.0


_calls, _reports = msgspec.msgpack.Decoder(TaskCall), msgspec.msgpack.Decoder(WorkerReport)
_encoder = msgspec.msgpack.Encoder()


class Worker:
    """A worker process, which runs until `end` is called or the process of its creator ends.

    `nice` and `max_bytes` (of memory, 0: unlimited) protect the machine from the tasks of others.
    """

    kind, max_deaths = "a process", 1

    def __init__(self, nice: int = 0, max_bytes: int = 0):
        spawning = multiprocessing.get_context("spawn")
        resource_tracker.ensure_running()
        self._connection, child_connection = spawning.Pipe()
        self._process = spawning.Process(target=_serve, args=(child_connection, nice, max_bytes), daemon=True)
        # the process inherits this signal mask: only its creator handles Ctrl-C, and then ends the process
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self._process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        child_connection.close()

    def begin(self, call: TaskCall) -> None:
        """Sends a task. Raises OSError if the process has ended."""
        self._connection.send_bytes(_encoder.encode(call))

    def receive(self) -> WorkerReport:
        """Waits for the next message. Raises EOFError or OSError if the process has ended."""
        return _reports.decode(self._connection.recv_bytes())

    @property
    def exit_code(self) -> int | None:
        """The exit code of the process; None while it runs."""
        return self._process.exitcode

    def end(self) -> None:
        """Kills the process, and with it the running task."""
        self._process.kill()
        self._process.join()


def _serve(connection: Connection, nice: int, max_bytes: int) -> None:
    """Executes the tasks that arrive until the connection is closed. Runs in the worker process."""
    crew.resize(1)
    os.nice(nice)
    if max_bytes:
        with suppress(ValueError, OSError):  # a lower limit is in force already
            resource.setrlimit(resource.RLIMIT_DATA, (max_bytes, max_bytes))
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    reported_s = 0.0

    def report_tick(tick: int) -> None:
        nonlocal reported_s
        if time.monotonic() - reported_s >= REPORT_EVERY_S:
            reported_s = time.monotonic()
            connection.send_bytes(_encoder.encode(WorkerReport(tick)))

    try:
        connection.send_bytes(_encoder.encode(WorkerReport()))
        while True:
            call = _calls.decode(connection.recv_bytes())
            begun_s = time.perf_counter()
            report = WorkerReport(is_done=True)
            try:
                report.result = find_task(call.name).run(call.arguments, call.parts, report_tick)
            except UmweltError as error:
                report.line, report.code = str(error), error.code
            report.spent_s = time.perf_counter() - begun_s
            connection.send_bytes(_encoder.encode(report))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return


def _end_with_the_parent() -> None:
    """Ends this process when its parent process ends, even while a task is running."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)

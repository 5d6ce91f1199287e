"""Jobs that need no cluster, side by side: each in a process of one thread, none of which is left behind.

A job is what pickles as plain data; `work` names the function that does it, as `"package.module:function"`. It is given
the job and `say(tick)`, and gives what came out.
"""

import multiprocessing
import os
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from umwelt.agents.description import WorldFile, load_object, memory_at_hand, memory_needed
from umwelt.sandbox.errors import RunError, UmweltError
from umwelt.sandbox.kernel import crew

SAID_EVERY_S = 0.2

Seen = Callable[[int, int], None]


def processes_for(worlds: Sequence[WorldFile], asked: int = 0) -> int:
    """How many worlds are run side by side: so many as were asked for, or one a core, as far as memory goes."""
    needed = max((memory_needed(world) for world in worlds), default=1)
    most = asked or min(len(os.sched_getaffinity(0)), memory_at_hand() // needed)
    return max(1, min(most, len(worlds)))


def run_jobs(work: str, jobs: Sequence[Any], processes: int, seen: Seen | None = None) -> Iterator[tuple[int, Any]]:
    """Do all jobs; gives the number of each and what came out, as they are done.

    `seen` is told which job is at which tick. Raises what went wrong in any; whatever happens, no process is left.
    """
    waiting, under_way = deque(range(len(jobs))), dict[Connection, int]()
    with _workers(work, min(processes, len(jobs))) as lines:
        idle = list(lines)
        while waiting or under_way:
            while waiting and idle:
                which, line = waiting.popleft(), idle.pop()
                line.send(jobs[which])
                under_way[line] = which
            ready = wait(list(under_way))
            for line in [one for one in under_way if one in ready]:
                which = under_way[line]
                try:
                    tick, found, mistake = line.recv()
                except (EOFError, OSError):
                    what = "a process ended before its run was done: free some memory, and try again"
                    raise RunError(what) from None
                if mistake is not None:
                    raise mistake
                if tick is None:
                    idle.append(line)
                    del under_way[line]
                    yield which, found
                elif seen is not None:
                    seen(which, tick)


@contextmanager
def _workers(work: str, count: int) -> Iterator[list[Connection]]:
    """Processes that do jobs, each at the other end of a pipe."""
    fresh = multiprocessing.get_context("spawn")
    lines: list[Connection] = []
    begun: list[BaseProcess] = []
    resource_tracker.ensure_running()
    try:
        for _ in range(count):
            here, there = fresh.Pipe()
            lines.append(here)
            begun.append(fresh.Process(target=_serve, args=(there, work), daemon=True))
            # they keep this mask: Ctrl-C is for the one who waits, who then ends them
            before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
            try:
                begun[-1].start()
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
            there.close()
        yield lines
    finally:
        for process in begun:
            if process.pid is not None:
                process.kill()
                process.join()


def _serve(line: Connection, work: str) -> None:
    """Do the jobs that come over a line, until it is closed; says now and then at which tick it is."""
    crew.resize(1)
    said_s = 0.0

    def say(tick: int) -> None:
        nonlocal said_s
        if time.monotonic() - said_s >= SAID_EVERY_S:
            said_s = time.monotonic()
            line.send((tick, None, None))

    try:
        function = load_object(work, "work")
        while True:
            job = line.recv()
            try:
                line.send((None, function(job, say), None))
            except UmweltError as error:
                line.send((0, None, error))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return  # nobody waits any more

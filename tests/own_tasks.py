"""Tasks as a user might write them.

The folder `own_tasks-1.0.dist-info` registers them by entry points, wherever `tests` is on the import path.
"""

import os
import signal
import time
from pathlib import Path

import numpy as np

from umwelt.cluster.tasks.registry import task
from umwelt.sandbox.errors import RunError


@task("own.fail")
def fail(job: int):
    """Raises an exception."""
    raise RunError(f"{job}: cannot be")


@task("own.add")
def add(one: int, other: int = 0) -> int:
    """Returns the sum."""
    return one + other


@task("own.outer")
def outer(one: np.ndarray) -> np.ndarray:
    """Returns the outer product of an array with itself."""
    return np.multiply.outer(one, one)


@task("own.forever")
def forever():
    """Never ends."""
    while True:
        time.sleep(0.01)


@task("own.crash")
def crash(job: int = 0):
    """Kills its own process."""
    os.kill(os.getpid(), signal.SIGKILL)


@task("own.large")
def large(size: int) -> bytes:
    """Returns `size` bytes."""
    return bytes(size)


@task("own.slow")
def slow(seconds: float, number: int) -> int:
    """Sleeps for `seconds`, then returns `number`."""
    time.sleep(seconds)
    return number


@task("own.meet")
def meet(file: str, files: list[str], count: int):
    """Creates `file` and waits until `count` of `files` exist, which needs `count` tasks that run at the same time."""
    Path(file).touch()
    end_s = time.monotonic() + 60
    while sum(Path(other).exists() for other in files) < count:
        if time.monotonic() > end_s:
            raise RunError(f"{file}: the other tasks did not come")
        time.sleep(0.01)


@task("own.where")
def where() -> int:
    """Returns the id of the process that runs this task."""
    return os.getpid()


no_task = print

"""Tasks of somebody's own, known by the entry points in the folder beside: wherever `tests` is on the path."""

import os
import signal
import time

import numpy as np

from umwelt.cluster.tasks.registry import task
from umwelt.sandbox.errors import RunError


@task("own.fail")
def fail(job: int):
    """Ends as it should not."""
    raise RunError(f"{job}: cannot be")


@task("own.add")
def add(one: int, other: int = 0) -> int:
    """The sum."""
    return one + other


@task("own.outer")
def outer(one: np.ndarray) -> np.ndarray:
    """An array in, an array out."""
    return np.multiply.outer(one, one)


@task("own.forever")
def forever():
    """Never ends."""
    while True:
        time.sleep(0.01)


@task("own.crash")
def crash(job: int = 0):
    """Takes its process along."""
    os.kill(os.getpid(), signal.SIGKILL)


@task("own.large")
def large(size: int) -> bytes:
    """So many bytes."""
    return bytes(size)


@task("own.slow")
def slow(seconds: float, number: int) -> int:
    """Rests a little, and gives the number back."""
    time.sleep(seconds)
    return number


@task("own.where")
def where() -> int:
    """The process that does it."""
    return os.getpid()


no_task = print

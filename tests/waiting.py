"""Waiting with a time limit, for tests. The limit is generous: tests assert that something happens, not how soon."""

import time
from collections.abc import Callable
from typing import TypeVar

Value = TypeVar("Value")

WITHIN_S = 60.0
"""The default limit in seconds, long enough for a machine that runs other tests at the same time."""
POLL_S = 0.01


def wait_until(condition: Callable[[], Value], within_s: float = WITHIN_S, poll_s: float = POLL_S) -> Value:
    """Waits until `condition()` is true and returns its value; an AssertionError after `within_s`."""
    end_s = time.monotonic() + within_s
    while not (value := condition()):
        assert time.monotonic() < end_s, f"did not happen within {within_s:g} s"
        time.sleep(poll_s)
    return value

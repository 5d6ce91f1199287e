"""Measuring wall time and CPU time of repeated runs, and the figures and sections of the printed table."""

import resource
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Times(NamedTuple):
    """Seconds of wall time, and of CPU time: in user mode (`user_s`), and in user and kernel mode (`cpu_s`)."""

    wall_s: float
    user_s: float
    cpu_s: float

    def since(self, earlier: "Times") -> "Times":
        return Times(*[now - then for now, then in zip(self, earlier, strict=True)])


def now() -> Times:
    """Returns the present times of this process, over all its threads."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return Times(time.perf_counter(), used.ru_utime, used.ru_utime + used.ru_stime)


def timed(job: Callable[[], Any]) -> tuple[Times, Any]:
    """Calls a function; returns the time that it took, and its result."""
    start = now()
    result = job()
    return now().since(start), result


def median(values: Sequence[float]) -> float:
    """Returns the median, which a single disturbance of the machine changes less than the mean."""
    return statistics.median(values)


def spread(values: Sequence[float]) -> float:
    """Returns the ratio of the largest to the smallest value, a measure of how much repeats vary."""
    return max(values) / min(values) if min(values) > 0 else float("inf")


@dataclass
class Figure:
    """One row of the table: a measured value and its target.

    `what` names it; `target` is text, "" for none, and `reached` is whether it is met, None without a target.
    """

    what: str
    value: float
    unit: str
    target: str = ""
    reached: bool | None = None
    note: str = ""


@dataclass
class Section:
    """Figures that belong together, and the measurements from which they were computed (`raw`)."""

    title: str
    figures: list[Figure] = field(default_factory=list)
    raw: dict[str, Any] = field(default_factory=dict)

    def add(
        self,
        what: str,
        value: float,
        unit: str,
        at_least: float | None = None,
        at_most: float | None = None,
        note: str = "",
    ) -> None:
        """Adds a figure, and its target if there is one."""
        target, reached = "", None
        if at_least is not None:
            target, reached = f"at least {number(at_least)}", value >= at_least
        elif at_most is not None:
            target, reached = f"at most {number(at_most)}", value <= at_most
        self.figures.append(Figure(what, value, unit, target, reached, note))


def number(value: float) -> str:
    """Formats a number with three significant digits, in thousands, millions or billions if it is large."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            return f"{value / (1e3 if letter == 'k' else size):.3g} {letter}"
    return f"{value:.4g}" if abs(value) >= 1000 else f"{value:.3g}"


@dataclass(frozen=True)
class Effort:
    """How much is measured: the number of repeats, and how long each runs."""

    quick: bool = False

    @property
    def repeats(self) -> int:
        return 3 if self.quick else 5

    def short(self, full: int) -> int:
        """Returns `full`, or a quarter of it in a quick run."""
        return max(1, full // 4) if self.quick else full

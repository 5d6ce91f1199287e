"""How things are measured: wall and CPU time side by side, after a warm-up, and the median of several repeats."""

import resource
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Times(NamedTuple):
    """Seconds on the wall's clock, and of the processor on behalf of the program alone (`user`) and with the kernel."""

    wall_s: float
    user_s: float
    cpu_s: float

    def since(self, earlier: "Times") -> "Times":
        return Times(*[now - then for now, then in zip(self, earlier, strict=True)])


def now() -> Times:
    """The clocks of this process, all its threads together."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return Times(time.perf_counter(), used.ru_utime, used.ru_utime + used.ru_stime)


def timed(job: Callable[[], Any]) -> tuple[Times, Any]:
    """How long a job takes, and what it gives."""
    start = now()
    result = job()
    return now().since(start), result


def median(values: Sequence[float]) -> float:
    """The middle value; means are spoilt by one busy neighbour on the machine."""
    return statistics.median(values)


def spread(values: Sequence[float]) -> float:
    """Largest over smallest of the repeats: how far the machine can be trusted."""
    return max(values) / min(values) if min(values) > 0 else float("inf")


@dataclass
class Figure:
    """One line of the table."""

    what: str
    value: float
    unit: str
    target: str = ""
    reached: bool | None = None
    note: str = ""


@dataclass
class Section:
    """Figures that belong together, and all that was measured for them."""

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
        """Add a figure, with the target that it is held against if there is one."""
        target, reached = "", None
        if at_least is not None:
            target, reached = f"at least {number(at_least)}", value >= at_least
        elif at_most is not None:
            target, reached = f"at most {number(at_most)}", value <= at_most
        self.figures.append(Figure(what, value, unit, target, reached, note))


def number(value: float) -> str:
    """A number with three significant digits, in thousands and millions where it is large."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            return f"{value / (1e3 if letter == 'k' else size):.3g} {letter}"
    return f"{value:.4g}" if abs(value) >= 1000 else f"{value:.3g}"


@dataclass(frozen=True)
class Effort:
    """How much is measured: repeats and how long each runs."""

    quick: bool = False

    @property
    def repeats(self) -> int:
        return 3 if self.quick else 5

    def short(self, full: int) -> int:
        """How much of something to run."""
        return max(1, full // 4) if self.quick else full

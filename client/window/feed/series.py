"""How numbers of the world went, for plots: of all the run so far, thinned as it grows. And what fits such numbers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, TypedDict

import msgspec
import numpy as np

MAX_POINTS = 4000
Whole = Annotated[int, msgspec.Meta(ge=-(1 << 63), le=(1 << 63) - 1)]
Number = Annotated[float, msgspec.Meta(ge=-1e30, le=1e30)]


class Metrics(TypedDict):
    """The world's numbers at a tick, as a status tells them."""

    tick: Whole
    births: Number
    deaths: Number
    populations: dict[str, dict[str, Number]]
    substances: dict[str, Number]


class Past(TypedDict):
    """The world's numbers over ticks, as a journal tells them."""

    ticks: list[Whole]
    births: list[Number]
    deaths: list[Number]
    populations: dict[str, dict[str, list[Number]]]
    substances: dict[str, list[Number]]


class Node(TypedDict, total=False):
    """A node, as a status tells it."""

    name: str
    host: str
    pid: Whole
    rectangle: tuple[Whole, Whole, Whole, Whole] | None
    tick: Whole
    entities: Whole
    ticks_per_s: Number
    waiting_share: Number
    round_trip_s: Number
    resident_bytes: Whole
    state: str


class Event(TypedDict):
    """What happened, as a status tells it."""

    tick: Whole
    line: str


class Status(TypedDict, total=False):
    """Of a status what the window reads; there may be more."""

    world: str
    run: str
    phase: str
    tick: Whole
    granted: Whole
    epoch: Whole
    ticks_per_exchange: Whole
    paused: bool
    speed: Number
    snapshot_tick: Whole
    nodes: list[Node]
    metrics: Metrics | None
    events: list[Event]


class _Being(TypedDict):
    kind: str
    id: Whole
    y_fixed: Whole
    x_fixed: Whole
    tick: Whole
    columns: dict[str, Whole | list[Whole]]
    row: dict[str, Whole | list[Whole] | bytes]


class Being(_Being, total=False):
    """Of a fetched being what the window reads; there may be more."""

    species: str
    stimuli: dict[str, Whole]
    drives: dict[str, Whole]
    held: list[Whole] | None


def fits(told: Any, shape: Any) -> bool:
    """Whether what a server told has the shape that the window reads."""
    try:
        msgspec.convert(told, shape, strict=True)
    except (msgspec.ValidationError, RecursionError, OverflowError):
        return False
    return True


@dataclass
class Series:
    """Curves by name over ticks. Where there are too many points every other old one goes."""

    ticks: list[int] = field(default_factory=list)
    populations: dict[str, list[float]] = field(default_factory=dict)
    """By species (or table, where it has none)."""
    substances: dict[str, list[float]] = field(default_factory=dict)
    births: list[float] = field(default_factory=list)
    deaths: list[float] = field(default_factory=list)

    def note(self, status: Mapping[str, Any]) -> None:
        """Take in a status of the directory."""
        metrics = status.get("metrics")
        if not metrics or (self.ticks and metrics["tick"] <= self.ticks[-1]):
            return
        populations = {name: count for found in metrics["populations"].values() for name, count in found.items()}
        self._add(metrics["tick"], populations, metrics["substances"], metrics["births"], metrics["deaths"])
        if len(self.ticks) > MAX_POINTS:
            self._thin()

    def _add(
        self, tick: int, populations: Mapping[str, float], substances: Mapping[str, float], births: float, deaths: float
    ) -> None:
        for curves, values in ((self.populations, populations), (self.substances, substances)):
            for name in values:
                curves.setdefault(name, [0.0] * len(self.ticks))
            for name, curve in curves.items():
                curve.append(float(values.get(name, 0)))
        self.ticks.append(tick)
        self.births.append(float(births))
        self.deaths.append(float(deaths))

    def begin(self, past: Mapping[str, Any]) -> None:
        """Put what the journal tells of the time before (`api.Connection.metrics`) in front."""
        if not fits(past, Past) or len({len(past[name]) for name in ("ticks", "births", "deaths")}) > 1:
            return
        first = self.ticks[0] if self.ticks else float("inf")
        count = sum(tick < first for tick in past["ticks"])
        later, self.ticks = self, list(past["ticks"][:count]) + self.ticks
        own = len(self.ticks) - count
        told = {name: values for found in past["populations"].values() for name, values in found.items()}
        for curves, before in ((later.populations, told), (later.substances, past["substances"])):
            for name in {*curves, *before}:
                mine = curves.get(name, [0.0] * own)
                told_before = [float(value) for value in before.get(name, ())][:count]
                curves[name] = told_before + [0.0] * (count - len(told_before)) + mine
        self.births = [float(value) for value in past["births"][:count]] + self.births
        self.deaths = [float(value) for value in past["deaths"][:count]] + self.deaths

    def _thin(self) -> None:
        keep = np.r_[0 : len(self.ticks) // 2 : 2, len(self.ticks) // 2 : len(self.ticks)].tolist()
        for curves in (self.populations, self.substances):
            for name, curve in curves.items():
                curves[name] = [curve[at] for at in keep]
        self.ticks = [self.ticks[at] for at in keep]
        self.births, self.deaths = [self.births[at] for at in keep], [self.deaths[at] for at in keep]

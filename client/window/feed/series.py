"""Measurements of the world over time, for plots; and the types of the data that the window receives and reads.

The window is connected to the gateway, the server for viewers, which forwards the status of the world several times a
second. The journal is the record of the run on disk.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, TypedDict

import msgspec
import numpy as np

MAX_POINTS = 4000
"""The number of points beyond which points are removed from a series."""
Whole = Annotated[int, msgspec.Meta(ge=-(1 << 63), le=(1 << 63) - 1)]
"""An integer of 64 bits."""
Number = Annotated[float, msgspec.Meta(ge=-1e30, le=1e30)]
"""A finite number."""


class Metrics(TypedDict):
    """Measurements of the world at one tick, as contained in a status: births and deaths since tick 0, and counts.

    `populations` are numbers of beings by table (kind of being) and species; `substances` are amounts in the world.
    """

    tick: Whole
    births: Number
    deaths: Number
    populations: dict[str, dict[str, Number]]
    substances: dict[str, Number]


class Past(TypedDict):
    """Measurements of the world at several ticks, from the journal: as `Metrics`, but with lists of values."""

    ticks: list[Whole]
    births: list[Number]
    deaths: list[Number]
    populations: dict[str, dict[str, list[Number]]]
    substances: dict[str, list[Number]]


class Node(TypedDict, total=False):
    """The state of one node (a process that simulates the rectangle y, x, height, width), as contained in a status.

    `waiting_share` is the share of time that it waits for others; `rectangle` is None before it has one.
    """

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
    """One event of the run, such as that a node has joined, as contained in a status; `line` is its text."""

    tick: Whole
    line: str


class Status(TypedDict, total=False):
    """The fields of a status that the window reads; a status may contain more."""

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
    """The fields that the data of every being has, as the gateway sends it on request."""

    kind: str
    id: Whole
    y_fixed: Whole
    x_fixed: Whole
    tick: Whole
    columns: dict[str, Whole | list[Whole]]
    row: dict[str, Whole | list[Whole] | bytes]


class Being(_Being, total=False):
    """The fields of a being's data that the window reads; there may be more.

    `stimuli` is what it senses, `drives` are its decisions, both by name; `held` is not None while a viewer steers it.
    """

    species: str
    stimuli: dict[str, Whole]
    drives: dict[str, Whole]
    held: list[Whole] | None


def fits(answer: Any, shape: Any) -> bool:
    """Returns whether `answer`, as received from the gateway, is of the type `shape` (a TypedDict)."""
    try:
        msgspec.convert(answer, shape, strict=True)
    except (msgspec.ValidationError, RecursionError, OverflowError):
        return False
    return True


@dataclass
class Series:
    """Measurements over the run: curves with one value for each of `ticks`.

    Beyond `MAX_POINTS` points, every second point of the older half is removed.
    """

    ticks: list[int] = field(default_factory=list)
    populations: dict[str, list[float]] = field(default_factory=dict)
    """The numbers of beings by species, or by table for a table without species."""
    substances: dict[str, list[float]] = field(default_factory=dict)
    births: list[float] = field(default_factory=list)
    """The number of births since tick 0; `deaths` is the same for deaths."""
    deaths: list[float] = field(default_factory=list)

    def note(self, status: Mapping[str, Any]) -> None:
        """Appends the measurements of a status, if it contains any and they are newer than the latest point."""
        metrics = status.get("metrics")
        if not metrics or (self.ticks and metrics["tick"] <= self.ticks[-1]):
            return
        populations = {name: count for counts in metrics["populations"].values() for name, count in counts.items()}
        self._add(metrics["tick"], populations, metrics["substances"], metrics["births"], metrics["deaths"])
        if len(self.ticks) > MAX_POINTS:
            self._thin()

    def _add(
        self, tick: int, populations: Mapping[str, float], substances: Mapping[str, float], births: float, deaths: float
    ) -> None:
        """Appends a point. Curves that it has no value for get 0; curves that are new get 0 at all earlier points."""
        for curves, values in ((self.populations, populations), (self.substances, substances)):
            for name in values:
                curves.setdefault(name, [0.0] * len(self.ticks))
            for name, curve in curves.items():
                curve.append(float(values.get(name, 0)))
        self.ticks.append(tick)
        self.births.append(float(births))
        self.deaths.append(float(deaths))

    def begin(self, past: Mapping[str, Any]) -> None:
        """Prepends the measurements of earlier ticks from the journal (of type `Past`); ignores malformed ones."""
        if not fits(past, Past) or len({len(past[name]) for name in ("ticks", "births", "deaths")}) > 1:
            return
        first = self.ticks[0] if self.ticks else float("inf")
        count = sum(tick < first for tick in past["ticks"])
        later_count = len(self.ticks)
        self.ticks = list(past["ticks"][:count]) + self.ticks
        populations = {name: values for curves in past["populations"].values() for name, values in curves.items()}
        for curves, earlier in ((self.populations, populations), (self.substances, past["substances"])):
            for name in {*curves, *earlier}:
                later_values = curves.get(name, [0.0] * later_count)
                values = [float(value) for value in earlier.get(name, ())][:count]
                curves[name] = values + [0.0] * (count - len(values)) + later_values
        self.births = [float(value) for value in past["births"][:count]] + self.births
        self.deaths = [float(value) for value in past["deaths"][:count]] + self.deaths

    def _thin(self) -> None:
        """Removes every second point of the older half."""
        keep = np.r_[0 : len(self.ticks) // 2 : 2, len(self.ticks) // 2 : len(self.ticks)].tolist()
        for curves in (self.populations, self.substances):
            for name, curve in curves.items():
                curves[name] = [curve[at] for at in keep]
        self.ticks = [self.ticks[at] for at in keep]
        self.births, self.deaths = [self.births[at] for at in keep], [self.deaths[at] for at in keep]

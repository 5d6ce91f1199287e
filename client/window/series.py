"""How numbers of the world went, for plots: of all the run so far, thinned as it grows."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

MOST_POINTS = 4000


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
        if len(self.ticks) > MOST_POINTS:
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
        first = self.ticks[0] if self.ticks else float("inf")
        count = sum(tick < first for tick in past["ticks"])
        later, self.ticks = self, list(past["ticks"][:count]) + self.ticks
        own = len(self.ticks) - count
        told = {name: values for found in past["populations"].values() for name, values in found.items()}
        for curves, before in ((later.populations, told), (later.substances, past["substances"])):
            for name in {*curves, *before}:
                mine = curves.get(name, [0.0] * own)
                curves[name] = [float(value) for value in before.get(name, [0.0] * count)[:count]] + mine
        self.births = [float(value) for value in past["births"][:count]] + self.births
        self.deaths = [float(value) for value in past["deaths"][:count]] + self.deaths

    def _thin(self) -> None:
        keep = np.r_[0 : len(self.ticks) // 2 : 2, len(self.ticks) // 2 : len(self.ticks)].tolist()
        for curves in (self.populations, self.substances):
            for name, curve in curves.items():
                curves[name] = [curve[at] for at in keep]
        self.ticks = [self.ticks[at] for at in keep]
        self.births, self.deaths = [self.births[at] for at in keep], [self.deaths[at] for at in keep]

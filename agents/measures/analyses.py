"""Figures of a whole run, from what was measured along it: functions of its columns, `float[measurement]` by name.

Where something was not measured at a tick its column has NaN there.
"""

from collections.abc import Callable, Mapping

import numpy as np

from umwelt.agents.measures import plant_figures

Columns = Mapping[str, np.ndarray]
Figures = dict[str, float]

LONGEST_LAG_TICKS = 2000
"""Half a cycle of grazers and hunters: beyond it, the one before would be taken for the one behind."""


def hunters_lag(columns: Columns) -> Figures:
    """By how many ticks hunters follow grazers: where the cross-correlation of both logarithms is largest.

    Predators lag prey by about a quarter of a cycle: Lotka, "Elements of Physical Biology", 1925; Volterra,
    "Fluctuations in the Abundance of a Species Considered Mathematically", Nature 118, 1926.
    """
    ticks = columns["tick"]
    if len(ticks) < 16:
        return {}
    prey, predators = (_swings(columns[name]) for name in ("grazer", "hunter"))
    step = float(ticks[1] - ticks[0])
    most = min(len(ticks) // 4, int(LONGEST_LAG_TICKS / step))
    lags = np.arange(-most, most + 1)
    found = np.array([_correlation(prey, predators, int(lag)) for lag in lags])
    best = int(np.argmax(found))
    return {"hunters_lag.ticks": float(lags[best] * step), "hunters_lag.correlation": float(found[best])}


def _swings(counts: np.ndarray) -> np.ndarray:
    """The logarithm of a population about its own trend, a parabola."""
    logs, at = np.log(np.maximum(counts, 0) + 1.0), np.linspace(-1, 1, len(counts))
    return logs - np.polynomial.polynomial.polyval(at, np.polynomial.polynomial.polyfit(at, logs, 2))


def _correlation(first: np.ndarray, second: np.ndarray, lag: int) -> float:
    """How the second, so many measurements later, goes with the first."""
    a, b = (first[: len(first) - lag], second[lag:]) if lag >= 0 else (first[-lag:], second[:lag])
    spread = a.std() * b.std()
    return float(((a - a.mean()) * (b - b.mean())).mean() / spread) if spread > 0 else 0.0


def intake(columns: Columns) -> Figures:
    """Tissue that a monster eats in a tick, in the later half of a run, and the mean fodder to a cell in that time.

    It is what fodder has lost, so it is exact where plants neither grow nor wither.
    """
    late = _later_half(columns)
    ticks, fodder = columns["tick"][late], columns["fodder_count"][late]
    eaters = columns["monsters"][late].mean()
    if len(ticks) < 2 or not eaters:
        return {}
    return {
        "intake.per_tick": float((fodder[0] - fodder[-1]) / (ticks[-1] - ticks[0]) / eaters),
        "intake.fodder_count_per_cell": float(columns["fodder_count_per_cell"][late].mean()),
    }


def foragers(columns: Columns) -> Figures:
    """Of the grazers in two patches, the mean share in the eastern one, in the later half of a run."""
    share = columns["grazer.east_share"][_later_half(columns)]
    share = share[~np.isnan(share)]
    return {"foragers.east_share": float(share.mean())} if len(share) else {}


def _later_half(columns: Columns) -> np.ndarray:
    return columns["tick"] >= columns["tick"][-1] / 2


def peaks(columns: Columns) -> Figures:
    """At which tick each thing measured was first at its most."""
    ticks = columns["tick"]
    return {
        f"{name}.peak_tick": float(ticks[np.nanargmax(values)])
        for name, values in columns.items() if not np.isnan(values).all()
    }  # fmt: skip


ANALYSES: dict[str, Callable[[Columns], Figures]] = {
    "hunters_lag": hunters_lag,
    "intake": intake,
    "foragers": foragers,
    "peaks": peaks,
    "thinning": plant_figures.thinning,
    "species_area": plant_figures.species_area,
}

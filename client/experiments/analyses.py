"""Figures of a whole run, from what was measured along it: functions of its columns, `float[measurement]` by name.

Where something was not measured at a tick its column has NaN there. An analysis always tells the same figures, and NaN
where it finds nothing.
"""

from collections.abc import Callable, Mapping

import numpy as np

from umwelt.agents.measures import plant_figures

Columns = Mapping[str, np.ndarray]
Figures = dict[str, float]

LONGEST_LAG_TICKS = 2000
"""Cycles of grazers and hunters in a meadow last about 3,000 ticks: a lag of more than half of one is none."""
SETTLED_TICKS = 2000
"""Founders' boom, which hunters follow whatever comes later, is left out."""
LAG_FIGURES = tuple(f"hunters_lag.{name}" for name in ("ticks", "correlation", "chance", "cycle_ticks", "cycles"))


def hunters_lag(columns: Columns) -> Figures:
    """By how many ticks hunters follow grazers: where the cross-correlation of both logarithms is largest.

    Both swing about their own running means over twice the longest lag, so that slow trends do not tell. `cycle_ticks`
    is how long a cycle of grazers lasts, by their autocorrelation, and `cycles` the lag as a part of it: predators lag
    prey by about a quarter (Lotka, "Elements of Physical Biology", 1925; Volterra, "Fluctuations in the Abundance of a
    Species Considered Mathematically", Nature 118, 1926). `chance` is the share of shifts round the run, longer than
    any lag, after which hunters go as well with grazers as they do unshifted (real cycles are uneven; of a clock's it
    would say nothing). Nothing is found in a run that is too short, in which either dies out, or whose best lag is the
    longest that was tried.
    """
    ticks = columns["tick"]
    step = float(ticks[1] - ticks[0]) if len(ticks) > 1 else 0.0
    settled = ticks >= SETTLED_TICKS
    prey, predators = (columns[name][settled] for name in ("grazer", "hunter"))
    most = int(LONGEST_LAG_TICKS / step) if step else 0
    if most < 4 or len(prey) < 8 * most or not min(prey.min(), predators.min()) > 0:
        return dict.fromkeys(LAG_FIGURES, np.nan)
    prey, predators = _swings(prey, 2 * most), _swings(predators, 2 * most)
    found = _correlations(prey, predators, most)
    best = int(np.argmax(found))
    if best in (0, 2 * most):
        return dict.fromkeys(LAG_FIGURES, np.nan)
    shifts = range(2 * most + 1, len(prey) - 2 * most)
    shifted = [_correlations(prey, np.roll(predators, shift), most).max() for shift in shifts]
    own = np.array([_correlation(prey, prey, lag) for lag in range(2 * most + 1)])
    trough = int(np.argmin(own[: most + 1]))
    cycle_ticks = (trough + int(np.argmax(own[trough:]))) * step
    lag_ticks = (best - most) * step
    chance = float(np.mean(np.array(shifted) >= found[best]))
    figures = (lag_ticks, float(found[best]), chance, cycle_ticks, lag_ticks / cycle_ticks)
    return dict(zip(LAG_FIGURES, figures, strict=True))


def _swings(counts: np.ndarray, width: int) -> np.ndarray:
    """The logarithm of a population less its running mean over `width` and one measurements, where that is whole."""
    logs = np.log(counts)
    return logs[width // 2 : len(logs) - width // 2] - np.convolve(logs, np.full(width + 1, 1 / (width + 1)), "valid")


def _correlations(first: np.ndarray, second: np.ndarray, most: int) -> np.ndarray:
    """How the second goes with the first, at lags from `-most` to `most`."""
    return np.array([_correlation(first, second, lag) for lag in range(-most, most + 1)])


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
    eaten = float((fodder[0] - fodder[-1]) / (ticks[-1] - ticks[0]) / eaters) if len(ticks) > 1 and eaters else np.nan
    return {
        "intake.per_tick": eaten,
        "intake.fodder_count_per_cell": float(columns["fodder_count_per_cell"][late].mean()),
    }


def foragers(columns: Columns) -> Figures:
    """Of the grazers in two patches, the mean share in the eastern one, in the later half of a run."""
    share = columns["grazer.east_share"][_later_half(columns)]
    share = share[~np.isnan(share)]
    return {"foragers.east_share": float(share.mean()) if len(share) else np.nan}


def _later_half(columns: Columns) -> np.ndarray:
    return columns["tick"] >= columns["tick"][-1] / 2


def peaks(columns: Columns) -> Figures:
    """At which tick each thing measured was first at its most."""
    ticks = columns["tick"]
    return {
        f"{name}.peak_tick": np.nan if np.isnan(values).all() else float(ticks[np.nanargmax(values)])
        for name, values in columns.items()
    }


ANALYSES: dict[str, Callable[[Columns], Figures]] = {
    "hunters_lag": hunters_lag,
    "intake": intake,
    "foragers": foragers,
    "peaks": peaks,
    "thinning": plant_figures.thinning,
    "species_area": plant_figures.species_area,
}

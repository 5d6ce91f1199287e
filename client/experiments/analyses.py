"""Analyses of single runs: functions from the measured columns of a run to its figures (named numbers).

A column is `float[measurement]`, with NaN at ticks without a value. An analysis always returns the same names, with
NaN for figures that cannot be determined.
"""

from collections.abc import Callable, Mapping

import numpy as np

from umwelt.agents.measures import plant_figures

Columns = Mapping[str, np.ndarray]
"""The measured columns of a run: `float[measurement]` by name; `tick` has the ticks of the measurements."""
Figures = dict[str, float]
"""The results of an analysis: numbers by name."""

LONGEST_LAG_TICKS = 2000
"""Longest lag that `hunters_lag` tries.

Cycles of grazers and hunters in a meadow last about 3,000 ticks, and lags of more than half a cycle are meaningless.
"""
SETTLED_TICKS = 2000
"""First tick that `hunters_lag` uses, which excludes the initial growth of the founders' populations."""
MIN_LAG_ROWS, MIN_LAGS_IN_RUN = 4, 8
"""Minimum number of measurements in the longest lag, and minimum length of a run as a multiple of the longest lag."""
LAG_FIGURES = tuple(f"hunters_lag.{name}" for name in ("ticks", "correlation", "chance", "cycle_ticks", "cycles"))
"""The names of the figures that `hunters_lag` returns."""


def hunters_lag(columns: Columns) -> Figures:
    """Returns by how many ticks the population of hunters follows that of grazers, and how strong the relation is.

    `ticks` is the lag at which the logarithms of both populations have the highest `correlation`. Both are taken
    relative to their running means over twice the longest lag, which removes slow trends. `cycle_ticks` is the length
    of a cycle of grazers according to their autocorrelation, and `cycles` is the lag divided by it: predators lag prey
    by about a quarter (Lotka, "Elements of Physical Biology", 1925; Volterra, "Fluctuations in the Abundance of a
    Species Considered Mathematically", Nature 118, 1926). `chance` is the share of circular shifts of the hunters, by
    more than the longest lag, that correlate with grazers at least as well (a useful test because real cycles are
    uneven). All figures are NaN if the run is too short, if either species dies out, or if the best lag is the longest
    lag tried.
    """
    ticks = columns["tick"]
    step = float(ticks[1] - ticks[0]) if len(ticks) > 1 else 0.0
    settled = ticks >= SETTLED_TICKS
    prey, predators = (columns[name][settled] for name in ("grazer", "hunter"))
    max_lag = int(LONGEST_LAG_TICKS / step) if step else 0
    if max_lag < MIN_LAG_ROWS or len(prey) < MIN_LAGS_IN_RUN * max_lag or not min(prey.min(), predators.min()) > 0:
        return dict.fromkeys(LAG_FIGURES, np.nan)
    prey, predators = _relative_logs(prey, 2 * max_lag), _relative_logs(predators, 2 * max_lag)
    correlations = _correlations(prey, predators, max_lag)
    best = int(np.argmax(correlations))
    if best in (0, 2 * max_lag):
        return dict.fromkeys(LAG_FIGURES, np.nan)
    shifts = range(2 * max_lag + 1, len(prey) - 2 * max_lag)
    shifted = [_correlations(prey, np.roll(predators, shift), max_lag).max() for shift in shifts]
    autocorrelations = np.array([_correlation(prey, prey, lag) for lag in range(2 * max_lag + 1)])
    trough = int(np.argmin(autocorrelations[: max_lag + 1]))
    cycle_ticks = (trough + int(np.argmax(autocorrelations[trough:]))) * step
    lag_ticks = (best - max_lag) * step
    chance = float(np.mean(np.array(shifted) >= correlations[best]))
    figures = (lag_ticks, float(correlations[best]), chance, cycle_ticks, lag_ticks / cycle_ticks)
    return dict(zip(LAG_FIGURES, figures, strict=True))


def _relative_logs(counts: np.ndarray, width: int) -> np.ndarray:
    """Returns the logarithm of a population minus its running mean over `width + 1` measurements.

    The result omits the `width / 2` measurements at either end, which lack a complete mean.
    """
    logs = np.log(counts)
    return logs[width // 2 : len(logs) - width // 2] - np.convolve(logs, np.full(width + 1, 1 / (width + 1)), "valid")


def _correlations(first: np.ndarray, second: np.ndarray, max_lag: int) -> np.ndarray:
    """Returns the correlations at all lags from `-max_lag` to `max_lag`, in measurements."""
    return np.array([_correlation(first, second, lag) for lag in range(-max_lag, max_lag + 1)])


def _correlation(first: np.ndarray, second: np.ndarray, lag: int) -> float:
    """Returns the correlation of `first` with `second`, `lag` measurements later; 0 if either is constant."""
    a, b = (first[: len(first) - lag], second[lag:]) if lag >= 0 else (first[-lag:], second[:lag])
    spread = a.std() * b.std()
    return float(((a - a.mean()) * (b - b.mean())).mean() / spread) if spread > 0 else 0.0


def intake(columns: Columns) -> Figures:
    """Returns the tissue that a monster eats per tick, and the mean fodder per cell, in the second half of a run.

    Fodder is the food of the monsters. Intake is its decrease, which is exact if plants neither grow nor wither.
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
    """Returns the mean share of the grazers in two patches that are in the eastern one, in the second half of a run."""
    share = columns["grazer.east_share"][_later_half(columns)]
    share = share[~np.isnan(share)]
    return {"foragers.east_share": float(share.mean()) if len(share) else np.nan}


def _later_half(columns: Columns) -> np.ndarray:
    """Returns `bool[measurement]`: whether each measurement is in the second half of the run."""
    return columns["tick"] >= columns["tick"][-1] / 2


def peaks(columns: Columns) -> Figures:
    """Returns the tick at which each column first reached its maximum."""
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
"""The analyses of single runs, by name."""

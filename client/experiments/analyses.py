"""Analyses: functions of the measured columns of a run, `float[measurement]` by name, that return figures of the run.

A column has NaN at ticks where it was not measured. An analysis always returns the same names, with NaN for figures
that cannot be determined.
"""

from collections.abc import Callable, Mapping

import numpy as np

from umwelt.agents.measures import plant_figures

Columns = Mapping[str, np.ndarray]
Figures = dict[str, float]

LONGEST_LAG_TICKS = 2000
"""Cycles of grazers and hunters in a meadow last about 3,000 ticks; a lag of more than half a cycle means nothing."""
SETTLED_TICKS = 2000
"""The founders' boom, which hunters follow in any case, is left out."""
MIN_LAG_ROWS, MIN_LAGS_IN_RUN = 4, 8
"""Measurements in the longest lag, and longest lags in a run, below which nothing is determined."""
LAG_FIGURES = tuple(f"hunters_lag.{name}" for name in ("ticks", "correlation", "chance", "cycle_ticks", "cycles"))


def hunters_lag(columns: Columns) -> Figures:
    """Returns by how many ticks hunters follow grazers: the lag at which their logarithms correlate best.

    Both are taken relative to their running means over twice the longest lag, which removes slow trends. `cycle_ticks`
    is the length of a cycle of grazers by their autocorrelation, and `cycles` the lag as a share of it: predators lag
    prey by about a quarter (Lotka, "Elements of Physical Biology", 1925; Volterra, "Fluctuations in the Abundance of a
    Species Considered Mathematically", Nature 118, 1926). `chance` is the share of circular shifts of the run, longer
    than any lag, after which hunters correlate with grazers as well as unshifted (a useful test because real cycles are
    uneven). All figures are NaN for a run that is too short, in which either species dies out, or whose best lag is the
    longest one tried.
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
    """The logarithm of a population minus its running mean over `width + 1` measurements, where that is complete."""
    logs = np.log(counts)
    return logs[width // 2 : len(logs) - width // 2] - np.convolve(logs, np.full(width + 1, 1 / (width + 1)), "valid")


def _correlations(first: np.ndarray, second: np.ndarray, max_lag: int) -> np.ndarray:
    """The correlations at all lags from `-max_lag` to `max_lag`."""
    return np.array([_correlation(first, second, lag) for lag in range(-max_lag, max_lag + 1)])


def _correlation(first: np.ndarray, second: np.ndarray, lag: int) -> float:
    """The correlation of the first with the second, `lag` measurements later; 0 if either is constant."""
    a, b = (first[: len(first) - lag], second[lag:]) if lag >= 0 else (first[-lag:], second[:lag])
    spread = a.std() * b.std()
    return float(((a - a.mean()) * (b - b.mean())).mean() / spread) if spread > 0 else 0.0


def intake(columns: Columns) -> Figures:
    """Returns the tissue that a monster eats per tick in the later half of a run, and the mean fodder per cell then.

    Intake is what the fodder has lost, which is exact where plants neither grow nor wither.
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
    """Returns the mean share of grazers in the eastern one of two patches, in the later half of a run."""
    share = columns["grazer.east_share"][_later_half(columns)]
    share = share[~np.isnan(share)]
    return {"foragers.east_share": float(share.mean()) if len(share) else np.nan}


def _later_half(columns: Columns) -> np.ndarray:
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

"""Analyses across the runs of an experiment.

The runs of an experiment differ in some keys of their world files or commands, the *varied keys*, and in their seeds.
An analysis is a function of a list of rows, one for each run, and returns figures (named numbers). A row has the values
of the varied keys in the run, and the run's own figures. Like the analyses of single runs, an analysis always returns
the same names, with NaN for figures that cannot be determined.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from umwelt.agents.measures.lines import line_through

Rows = Sequence[Mapping[str, Any]]
Figures = dict[str, float]

SHAPES: dict[str, Callable[[np.ndarray, float], np.ndarray]] = {
    "second": lambda density, bend: density / (1 + bend * density),
    "third": lambda density, bend: density * density / (1 + bend * density * density),
    "plateau": lambda density, bend: np.minimum(density, 1 / bend),
}
"""Functional responses (intake as a function of food density) for an attack rate of 1.

The larger `bend`, the lower the density at which a response levels off.
"""
BENDS = 4000
"""Number of values of `bend` that a fit tries."""
MIN_PAIRS = 5
"""The minimum number of runs with a known density and intake for a fit."""
MIN_MISFIT = 1e-12
"""The misfit that replaces smaller ones, whose logarithm would be unbounded."""
HOLLING_FIGURES = tuple(
    f"holling.{name}" for name in ("attack_rate", "handling_ticks", "linear_worse", "third_worse", "plateau_worse")
)
MATCHING_FIGURES = ("matching.slope", "matching.slope_error")
"""The names of the figures that `holling` (above) and `matching` return."""


def holling(rows: Rows) -> Figures:
    """Fits functional responses to the intake of consumers over the density of their food, and compares the fits.

    The disc equation, a N / (1 + a h N), has the parameters `holling.attack_rate` a, in cells searched per tick, and
    `holling.handling_ticks` h, per molecule of tissue: Holling, "Some characteristics of simple types of predation
    and parasitism", Canadian Entomologist 91, 1959. `holling.linear_worse` is the amount by which Akaike's criterion is
    larger (worse) for a straight line than for the disc equation; `third_worse` and `plateau_worse` are the same for a
    response that starts with the square of the density and for a straight line up to a plateau. All responses are
    fitted to the logarithms of the intakes, because the scatter of intakes grows with their size.
    """
    pairs = [(row.get("intake.fodder_count_per_cell", 0), row.get("intake.per_tick", 0)) for row in rows]
    known = np.array([pair for pair in pairs if pair[0] > 0 and pair[1] > 0], np.float64).reshape(-1, 2)
    density, intake = known.T
    if len(known) < MIN_PAIRS or np.ptp(density) == 0:
        return dict.fromkeys(HOLLING_FIGURES, np.nan)
    line = _misfit(density, intake)
    fits = {name: _fit_bend(shape, density, intake) for name, shape in SHAPES.items()}
    best, bend = fits["second"]
    attack = float(np.exp(np.mean(np.log(intake / SHAPES["second"](density, bend)))))
    disc = _akaike(best, 2, len(known))
    linear = _akaike(line, 1, len(known)) - disc
    third, plateau = (_akaike(fits[name][0], 2, len(known)) - disc for name in ("third", "plateau"))
    return dict(zip(HOLLING_FIGURES, (attack, bend / attack, linear, third, plateau), strict=True))


def _fit_bend(
    shape: Callable[[np.ndarray, float], np.ndarray], density: np.ndarray, intake: np.ndarray
) -> tuple[float, float]:
    """Returns the smallest misfit of `shape` over `BENDS` values of `bend`, and the value that achieves it."""
    ladder = np.geomspace(1e-3 / density.max() ** 2, 1e3 / density.min(), BENDS)
    return min((_misfit(shape(density, bend), intake), float(bend)) for bend in ladder)


def _misfit(shape: np.ndarray, intake: np.ndarray) -> float:
    """Returns the variance of the logarithms of `intake / shape`.

    This is the mean squared residual of the logarithms of `intake` for the attack rate that fits best.
    """
    return float(np.var(np.log(intake / shape)))


def _akaike(misfit: float, parameters: int, count: int) -> float:
    """Returns Akaike's information criterion of a fit with a number of `parameters` to `count` points.

    `misfit` is the mean squared residual.
    """
    return count * float(np.log(max(misfit, MIN_MISFIT))) + 2 * parameters


def matching(rows: Rows) -> Figures:
    """Returns the slope of the share of foragers in the eastern of two patches over that patch's share of the food.

    The food supply is the `count` in the first (west) and the second (east) entry of the section [[commands]] of the
    experiment file, which must be varied keys. A slope of 1 is the ideal free distribution: Fretwell and Lucas, "On
    territorial behavior and other factors influencing habitat distribution in birds", Acta Biotheoretica 19, 1970.
    `matching.slope_error` is the standard error of the slope.
    """
    west, east = (np.array([row[f"commands.{number}.do.count"] for row in rows], np.float64) for number in (0, 1))
    share = np.array([row.get("foragers.east_share", np.nan) for row in rows])
    known = ~np.isnan(share)
    line = line_through((east / (east + west))[known], share[known])
    return dict(zip(MATCHING_FIGURES, (line.slope, line.error), strict=True))


ACROSS: dict[str, Callable[[Rows], Figures]] = {"holling": holling, "matching": matching}
"""The analyses across runs, by name."""

"""Analyses of a whole experiment: functions of all its runs, one row each with the values of its point and its figures.

As the analyses of single runs, they always return the same names, with NaN for what cannot be determined.
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
"""Functional responses for an attack rate of 1; `bend` sets how soon they level off."""
BENDS = 4000
"""Bends that are tried in a fit."""
MIN_PAIRS = 5
MIN_MISFIT = 1e-12
HOLLING_FIGURES = tuple(
    f"holling.{name}" for name in ("attack_rate", "handling_ticks", "linear_worse", "third_worse", "plateau_worse")
)
MATCHING_FIGURES = ("matching.slope", "matching.slope_error")


def holling(rows: Rows) -> Figures:
    """Returns which functional response the intake of consumers follows, over the density of their food.

    The disc equation, a N / (1 + a h N), has `holling.attack_rate` a, in cells searched per tick, and
    `holling.handling_ticks` h, per molecule of tissue: Holling, "Some characteristics of simple types of predation
    and parasitism", Canadian Entomologist 91, 1959. `holling.linear_worse` is by how much Akaike's criterion is larger
    (worse) for a straight line than for the disc equation, `third_worse` for a response that begins with the square of
    the density, and `plateau_worse` for a straight line up to a plateau. All are fitted to the logarithms of the
    intakes, because their scatter grows with their size.
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
    """Returns the smallest misfit of a shape, and its bend, of many that are tried."""
    ladder = np.geomspace(1e-3 / density.max() ** 2, 1e3 / density.min(), BENDS)
    return min((_misfit(shape(density, bend), intake), float(bend)) for bend in ladder)


def _misfit(shape: np.ndarray, intake: np.ndarray) -> float:
    """The mean square of the residuals of the logarithms, with the best attack rate."""
    return float(np.var(np.log(intake / shape)))


def _akaike(misfit: float, parameters: int, count: int) -> float:
    return count * float(np.log(max(misfit, MIN_MISFIT))) + 2 * parameters


def matching(rows: Rows) -> Figures:
    """Returns how foragers match the food of two patches: the slope of their share in one over its share of the food.

    The food is the counts of the first two treatments' commands, west and east. A slope of 1 is the ideal
    free distribution: Fretwell and Lucas, "On territorial behavior and other factors influencing habitat distribution
    in birds", Acta Biotheoretica 19, 1970. `matching.slope_error` is the slope's standard error.
    """
    west, east = (np.array([row[f"commands.{number}.do.count"] for row in rows], np.float64) for number in (0, 1))
    share = np.array([row.get("foragers.east_share", np.nan) for row in rows])
    known = ~np.isnan(share)
    line = line_through((east / (east + west))[known], share[known])
    return dict(zip(MATCHING_FIGURES, (line.slope, line.error), strict=True))


ACROSS: dict[str, Callable[[Rows], Figures]] = {"holling": holling, "matching": matching}

"""Analyses of the plants in a run: self-thinning, and the species-area relation.

An analysis is a function of the measured columns of a run, `float[measurement]` by name; it returns numbers by name,
NaN where they cannot be determined (see `client/experiments/analyses.py`).
"""

from collections.abc import Mapping

import numpy as np

from umwelt.agents.measures.lines import line_through
from umwelt.agents.measures.plants import SMALLEST_SIDE

CONSTANT_YIELD_SHARE = 0.9
"""Self-thinning begins when the yield reaches this share of its maximum and stays above it until the maximum."""
THINNING_FIGURES = tuple(f"thinning.{name}" for name in ("from_tick", "fall", "yield_moves", "slope", "error"))
AREA_FIGURES = tuple(f"species_area.{name}" for name in ("z", "error", "explained", "placed_z", "crowding"))


def thinning(columns: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Returns the slope of log mean mass over log density while yield is constant, with its standard error.

    `columns` are those of the measure `stand`: density is plants per cell, yield tissue per cell, mass tissue per
    plant.

    `from_tick` is the tick from which the yield stays at 0.9 of its maximum or above until it reaches the maximum;
    earlier peaks, as in a flush of young plants, are ignored. Over the ticks from there to the end of the run, `fall`
    is the first density divided by the last, and `yield_moves` the largest yield divided by the smallest.

    Mass is yield divided by density, so that random variation of density alone gives log mass over log density a slope
    of -1. Therefore the line is fitted to log yield, and 1 is subtracted from its slope (Weller, "A reevaluation of the
    -3/2 power rule of plant self-thinning", Ecological Monographs 57, 1987). For ordinary least squares, both methods
    give the same slope with the same error.
    """
    density, yield_count = columns["stand.density"], columns["stand.yield_count"]
    is_known = (density > 0) & (yield_count > 0)
    density, yield_count, ticks = density[is_known], yield_count[is_known], columns["tick"][is_known]
    if not len(density):
        return dict.fromkeys(THINNING_FIGURES, np.nan)
    lower = np.flatnonzero(yield_count[: np.argmax(yield_count)] < CONSTANT_YIELD_SHARE * yield_count.max())
    first = int(lower[-1]) + 1 if len(lower) else 0
    density, yield_count = density[first:], yield_count[first:]
    fall, yield_moves = float(density[0] / density[-1]), float(yield_count.max() / yield_count.min())
    line = line_through(np.log(density), np.log(yield_count))
    figures = (float(ticks[first]), fall, yield_moves, line.slope - 1, line.error)
    return dict(zip(THINNING_FIGURES, figures, strict=True))


def species_area(columns: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Returns the species-area relation S = c A^z at the last measurement, for kinds of plants in squares.

    `columns` are those of the measure `kinds`: the mean numbers of kinds in squares of several sizes, and the numbers
    expected if all modules (the parts of plants, one in a cell) were placed at random.

    `z` is the slope of the line of log kinds over log area (Arrhenius, "Species and area", Journal of Ecology 9, 1921),
    `error` its standard error and `explained` the share of variance explained. `placed_z` is the slope for these
    expected numbers. `crowding` is the expected number of kinds in a smallest square divided by the actual number.
    """
    sides = sorted(int(name.partition(".")[2]) for name in columns if name.startswith("kinds.")) or [SMALLEST_SIDE]
    kinds, placed = (np.array([columns[f"{name}.{side}"][-1] for side in sides]) for name in ("kinds", "placed"))
    if not (kinds.min() > 0 and placed.min() > 0):
        return dict.fromkeys(AREA_FIGURES, np.nan)
    line, placed_line = (line_through(2 * np.log(sides), np.log(counts)) for counts in (kinds, placed))
    figures = (*line, placed_line.slope, float(placed[0] / kinds[0]))
    return dict(zip(AREA_FIGURES, figures, strict=True))

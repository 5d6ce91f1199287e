"""Figures of plants' runs: how they thin, and how kinds go with area. See `analyses.py` for what they are given."""

from collections.abc import Mapping

import numpy as np

from umwelt.agents.measures.lines import line_through
from umwelt.agents.measures.plants import SMALLEST_SIDE

YIELD_KEPT = 0.9
"""Plants thin at constant yield from when their tissue rises for good to this share of the most it ever is."""
THINNING_FIGURES = tuple(f"thinning.{name}" for name in ("from_tick", "fall", "yield_moves", "slope", "error"))
AREA_FIGURES = tuple(f"species_area.{name}" for name in ("z", "error", "explained", "placed_z", "crowding"))


def thinning(columns: Mapping[str, np.ndarray]) -> dict[str, float]:
    """The slope of log mean mass over log density, from when yield has come within a tenth of its most to the end.

    Where it comes there more than once before its most, as in a flush of the young, the last time counts.
    Mass is yield by density, so a line of log mass over log density would find a slope of -1 in mere noise of density:
    the line is fitted to log yield, and 1 is taken from its slope (Weller, "A reevaluation of the -3/2 power rule of
    plant self-thinning", Ecological Monographs 57, 1987). For ordinary least squares both are the same number with the
    same error. `fall` is by which factor density falls meanwhile, `yield_moves` by which yield moves, most to least.
    """
    density, per_cell = columns["stand.density"], columns["stand.yield_count"]
    known = (density > 0) & (per_cell > 0)
    density, per_cell, ticks = density[known], per_cell[known], columns["tick"][known]
    if not len(density):
        return dict.fromkeys(THINNING_FIGURES, np.nan)
    lower = np.flatnonzero(per_cell[: np.argmax(per_cell)] < YIELD_KEPT * per_cell.max())
    first = int(lower[-1]) + 1 if len(lower) else 0
    density, per_cell = density[first:], per_cell[first:]
    fall, yield_moves = float(density[0] / density[-1]), float(per_cell.max() / per_cell.min())
    line = line_through(np.log(density), np.log(per_cell))
    figures = (float(ticks[first]), fall, yield_moves, line.slope - 1, line.error)
    return dict(zip(THINNING_FIGURES, figures, strict=True))


def species_area(columns: Mapping[str, np.ndarray]) -> dict[str, float]:
    """How kinds in squares go with area at the last measurement: S = c A^z.

    z is the slope of the line of log kinds over log area (Arrhenius, "Species and area", Journal of Ecology 9, 1921);
    `placed_z` is that of random placement, and `crowding` how many times fewer kinds a smallest square holds than by
    random placement.
    """
    sides = sorted(int(name.partition(".")[2]) for name in columns if name.startswith("kinds.")) or [SMALLEST_SIDE]
    kinds, placed = (np.array([columns[f"{name}.{side}"][-1] for side in sides]) for name in ("kinds", "placed"))
    if not (kinds.min() > 0 and placed.min() > 0):
        return dict.fromkeys(AREA_FIGURES, np.nan)
    line, by_chance = (line_through(2 * np.log(sides), np.log(counts)) for counts in (kinds, placed))
    figures = (*line, by_chance.slope, float(placed[0] / kinds[0]))
    return dict(zip(AREA_FIGURES, figures, strict=True))

"""The two halves of a world: left and right along x, bright and dark along y; who lives where, and how they differ."""

import numpy as np

from umwelt.agents.body.genome import MARKER_A, MARKER_C, P_MARKER_A, P_MARKER_C, PLANT_GENES
from umwelt.agents.body.interface import MODULE
from umwelt.agents.measures.census import species_rows
from umwelt.agents.world_file import WorldFile
from umwelt.sandbox.region import Region


def halves(world: WorldFile, region: Region) -> dict[str, float]:
    """Of each species the living in both halves, `.left` and `.right`, and `.apart`: how much their markers differ.

    `.apart` is the distance of both halves' means, over the three neutral markers, in genes' units; NaN where one half
    is empty.
    """
    found: dict[str, float] = {}
    for name, first, last in (("plants", P_MARKER_A, P_MARKER_C), ("monsters", MARKER_A, MARKER_C)):
        table = region.tables[name]
        columns = region.global_cells(name, np.arange(table.count)) % region.torus.width
        for species, rows in species_rows(world, region, name).items():
            is_left = columns[rows] < region.torus.width // 2
            markers = table["genome"][rows, first : last + 1].astype(np.float64)
            left, right = markers[is_left], markers[~is_left]
            apart = float(np.sqrt((_more_of(left, right) ** 2).sum()))
            found |= {f"{species}.left": len(left), f"{species}.right": len(right), f"{species}.apart": apart}
    return found


def latitudes(world: WorldFile, region: Region) -> dict[str, float]:
    """Of each plant species its modules in both halves, `.bright` and `.dark`, and of each gene `.darker`.

    Row 0 is the brightest and the row half-way round the darkest; the dark half is the middle one. `.darker` is the
    gene's mean over modules of the dark half less that of the bright; NaN where one half is empty.
    """
    table, found = region.tables["plants"], dict[str, float]()
    height = region.torus.height
    rows_down = region.global_cells("plants", np.arange(table.count)) // region.torus.width
    in_dark = (rows_down >= height // 4) & (rows_down < height - height // 4)
    for species, rows in species_rows(world, region, "plants").items():
        grown = rows[table["stage"][rows] == MODULE]
        dark, bright = (table["genome"][grown[in_dark[grown] == side]].astype(np.float64) for side in (True, False))
        found |= {f"{species}.bright": len(bright), f"{species}.dark": len(dark)}
        darker = _more_of(dark, bright)
        found |= {f"{species}.{name}.darker": float(darker[at]) for at, name in enumerate(PLANT_GENES)}
    return found


def _more_of(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """By how much genes' means are more of the first than of the second, `float64[gene]`; NaN if either is empty."""
    if not (len(first) and len(second)):
        return np.full(first.shape[1], np.nan)
    return first.mean(axis=0) - second.mean(axis=0)

"""Measures that compare the beings in two halves of a world: left and right along x, or bright and dark along y.

A plant consists of modules, one in each of its cells; each module, and each seed, is a being.
"""

import numpy as np

from umwelt.agents.body.genome import MARKER_A, MARKER_C, P_MARKER_A, P_MARKER_C, PLANT_GENES
from umwelt.agents.body.interface import MODULE
from umwelt.agents.measures.census import species_rows
from umwelt.agents.world_file import WorldFile
from umwelt.sandbox.region import Region


def halves(world: WorldFile, region: Region) -> dict[str, float]:
    """Returns for each species the number of beings in both halves, `.left` and `.right`, and their distance `.apart`.

    `.apart` is the Euclidean distance, in units of genes, between the halves' means of the three marker genes, which
    affect at most the kinship that monsters sense. It is NaN if either half is empty.
    """
    numbers: dict[str, float] = {}
    for name, first, last in (("plants", P_MARKER_A, P_MARKER_C), ("monsters", MARKER_A, MARKER_C)):
        table = region.tables[name]
        cell_x = region.global_cells(name, np.arange(table.count)) % region.torus.width
        for species, rows in species_rows(world, region, name).items():
            is_left = cell_x[rows] < region.torus.width // 2
            markers = table["genome"][rows, first : last + 1].astype(np.float64)
            left, right = markers[is_left], markers[~is_left]
            apart = float(np.sqrt((_mean_difference(left, right) ** 2).sum()))
            numbers |= {f"{species}.left": len(left), f"{species}.right": len(right), f"{species}.apart": apart}
    return numbers


def latitudes(world: WorldFile, region: Region) -> dict[str, float]:
    """Returns for each plant species the number of modules in both halves, and the difference of each gene.

    `.bright` and `.dark` are the numbers of modules. Row 0 is the brightest row and the row half-way round the torus
    the darkest; the dark half is the middle half of the rows. `.darker` of a gene is its mean over modules in the dark
    half minus that in the bright half; NaN if either half is empty.
    """
    table, numbers = region.tables["plants"], dict[str, float]()
    height = region.torus.height
    cell_y = region.global_cells("plants", np.arange(table.count)) // region.torus.width
    is_dark = (cell_y >= height // 4) & (cell_y < height - height // 4)
    for species, rows in species_rows(world, region, "plants").items():
        modules = rows[table["stage"][rows] == MODULE]
        dark, bright = (table["genome"][modules[is_dark[modules] == side]].astype(np.float64) for side in (True, False))
        numbers |= {f"{species}.bright": len(bright), f"{species}.dark": len(dark)}
        darker = _mean_difference(dark, bright)
        numbers |= {f"{species}.{name}.darker": float(darker[gene]) for gene, name in enumerate(PLANT_GENES)}
    return numbers


def _mean_difference(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Returns the mean genes of `first` minus those of `second`, `float64[genes]`; NaN if either is empty.

    `first` and `second` are `float64[beings, genes]`.
    """
    if not (len(first) and len(second)):
        return np.full(first.shape[1], np.nan)
    difference: np.ndarray = first.mean(axis=0) - second.mean(axis=0)
    return difference

"""Measures of foraging: the food in the world, and the monsters in two patches of food."""

import numpy as np

from umwelt.agents.body.interface import MODULE, TISSUE
from umwelt.agents.earth import parameters
from umwelt.agents.measures.census import species_rows
from umwelt.agents.world_file import WorldFile
from umwelt.sandbox.region import Region
from umwelt.sandbox.units import SUBCELL_BITS


def fodder(world: WorldFile, region: Region) -> dict[str, float]:
    """Returns the edible tissue of plant modules, in molecules: the total and the mean per cell.

    A module is the part of a plant in one cell. The tissue that grazers cannot eat (its stub) is not counted.
    """
    plants = region.tables["plants"]
    rows = np.flatnonzero(region.owned_rows("plants") & (plants["stage"] == MODULE))
    edible = np.maximum(0, plants["counts"][rows, TISSUE].astype(np.int64) - parameters.STUB_TISSUE_COUNT)
    total = int(edible.sum())
    return {"fodder_count": float(total), "fodder_count_per_cell": total / region.owned.cells}


def patches(world: WorldFile, region: Region) -> dict[str, float]:
    """Returns detritus (molecules) and the number of monsters of each species in two patches, west and east.

    The patches are squares in the middle of the western and eastern halves of the world; their sides are a quarter of
    its width. `.east_share` is the number of monsters in the east patch divided by the number in both patches.
    """
    monsters = region.tables["monsters"]
    numbers: dict[str, float] = {}
    y = (np.arange(region.window.height) + region.window.y) % region.torus.height
    x = (np.arange(region.window.width) + region.window.x) % region.torus.width
    side = region.torus.width // 4
    is_row = (y >= (region.torus.height - side) // 2) & (y < (region.torus.height + side) // 2)
    left_edges = {"west": side // 2, "east": side * 5 // 2}
    is_column = {name: (x >= left) & (x < left + side) for name, left in left_edges.items()}
    halo = region.halo_cells
    owned = np.ix_(range(halo, halo + region.owned.height), range(halo, halo + region.owned.width))
    for name, columns in is_column.items():
        is_inside = np.logical_and.outer(is_row, columns)[owned]
        numbers[f"{name}.detritus_count"] = float(region["detritus"][owned][is_inside].sum())
    for species, rows in species_rows(world, region, "monsters").items():
        is_in_rows = is_row[monsters["y_fixed"][rows] >> SUBCELL_BITS]
        cell_x = monsters["x_fixed"][rows] >> SUBCELL_BITS
        west, east = (float((is_in_rows & columns[cell_x]).sum()) for columns in is_column.values())
        share = east / (west + east) if west + east else np.nan
        numbers |= {f"{species}.west": west, f"{species}.east": east, f"{species}.east_share": share}
    return numbers

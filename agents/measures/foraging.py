"""What there is to eat, and where those are who look for it."""

import numpy as np

from umwelt.agents.body.interface import MODULE, TISSUE
from umwelt.agents.earth import parameters
from umwelt.agents.measures.census import species_rows
from umwelt.agents.world_file import WorldFile
from umwelt.sandbox.region import Region
from umwelt.sandbox.units import SUBCELL_BITS


def fodder(world: WorldFile, region: Region) -> dict[str, float]:
    """Tissue of modules that jaws can reach: molecules in all, and to a cell."""
    plants = region.tables["plants"]
    rows = np.flatnonzero(region.owned_rows("plants") & (plants["stage"] == MODULE))
    held = int(np.maximum(0, plants["counts"][rows, TISSUE].astype(np.int64) - parameters.STUB_TISSUE_COUNT).sum())
    return {"fodder_count": float(held), "fodder_count_per_cell": held / region.owned.cells}


def patches(world: WorldFile, region: Region) -> dict[str, float]:
    """What two patches hold, west and east: detritus, and the living of each monster species.

    They are squares in the middle of the two halves of the world, a quarter of its width wide. `.east_share` is the
    share of the east among all who are in one of them.
    """
    monsters = region.tables["monsters"]
    found: dict[str, float] = {}
    y = (np.arange(region.window.height) + region.window.y) % region.torus.height
    x = (np.arange(region.window.width) + region.window.x) % region.torus.width
    side = region.torus.width // 4
    across = (y >= (region.torus.height - side) // 2) & (y < (region.torus.height + side) // 2)
    inside = {name: (x >= left) & (x < left + side) for name, left in (("west", side // 2), ("east", side * 5 // 2))}
    rim = region.halo_cells
    owned = np.ix_(range(rim, rim + region.owned.height), range(rim, rim + region.owned.width))
    for name, columns in inside.items():
        of_it = np.logical_and.outer(across, columns)[owned]
        found[f"{name}.detritus_count"] = float(region["detritus"][owned][of_it].sum())
    for species, rows in species_rows(world, region, "monsters").items():
        in_line = across[monsters["y_fixed"][rows] >> SUBCELL_BITS]
        at = monsters["x_fixed"][rows] >> SUBCELL_BITS
        west, east = (float((in_line & columns[at]).sum()) for columns in inside.values())
        share = east / (west + east) if west + east else np.nan
        found |= {f"{species}.west": west, f"{species}.east": east, f"{species}.east_share": share}
    return found

"""Measures that count beings by species, and the matter of the world.

A plant consists of modules, one in each of its cells; each module, and each seed, is a being.
"""

import numpy as np

from umwelt.agents.body.interface import MODULE
from umwelt.agents.earth.genesis import template_kind
from umwelt.agents.world_file import WorldFile
from umwelt.sandbox import audit
from umwelt.sandbox.chemistry import CHARGE
from umwelt.sandbox.region import Region


def species_rows(world: WorldFile, region: Region, table: str) -> dict[str, np.ndarray]:
    """Returns the rows of the owned beings of a table, `int64[beings]`, by name of species.

    For a table without species, the dict has one entry with the name of the table. Groups of founders with the same
    name are one species.
    """
    rows = np.flatnonzero(region.owned_rows(table))
    if world.laws.species is None or "species" not in region.tables[table]:
        return {table: rows}
    names = list(world.laws.species(world))
    first_indices = [names.index(name) for name in names]
    species = np.array(first_indices, np.int64)[region.tables[table]["species"][rows]]
    founders = getattr(world.settings, "founders", None)
    return {
        name: rows[species == index]
        for index, name in enumerate(names)
        if first_indices[index] == index and (not founders or _is_in(world, index, table))
    }


def mean_of(values: np.ndarray) -> float:
    """Returns the mean of an array, NaN if it is empty."""
    return float(values.mean()) if len(values) else float("nan")


def _is_in(world: WorldFile, species: int, table: str) -> bool:
    """Returns whether the beings of the species with this index are rows of `table`."""
    return f"{template_kind(world.settings.founders[species], f'founders[{species}]')}s" == table


def populations(world: WorldFile, region: Region) -> dict[str, float]:
    """Returns the number of living beings of each species and of each table.

    For plants this is the number of modules; `NAME_seeds` is the number of seeds of the species NAME.
    """
    numbers: dict[str, float] = {}
    for name, table in region.tables.items():
        total = 0
        for species, rows in species_rows(world, region, name).items():
            if "stage" in table:
                count = int(np.count_nonzero(table["stage"][rows] == MODULE))
                numbers[species], numbers[f"{species}_seeds"] = count, len(rows) - count
            else:
                numbers[species] = count = len(rows)
            total += count
        numbers[name] = total
    return numbers


def descent(world: WorldFile, region: Region) -> dict[str, float]:
    """Returns the share of beings of each table that have a parent; founders and beings grown from spores have none."""
    return {
        f"{name}.born_share": mean_of(table["parent_id"][region.owned_rows(name)] != 0)
        for name, table in region.tables.items()
        if "parent_id" in table
    }


def matter(world: WorldFile, region: Region) -> dict[str, float]:
    """Returns the number of molecules of each substance, in cells and bodies together."""
    return dict(audit.substance_totals(region, world.chemistry)) if world.chemistry else {}


def elements(world: WorldFile, region: Region) -> dict[str, float]:
    """Returns the number of atoms of each element, and the charge if the chemistry has charged substances.

    These totals change only by commands.
    """
    if world.chemistry is None:
        return {}
    totals = audit.element_totals(audit.substance_totals(region, world.chemistry), world.chemistry)
    return {name if name == CHARGE else f"{name}_atoms": count for name, count in totals.items()}

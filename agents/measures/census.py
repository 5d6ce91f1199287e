"""Counts: the living by species, and the world's matter."""

import numpy as np

from umwelt.agents.body.interface import MODULE
from umwelt.agents.earth.genesis import template_kind
from umwelt.agents.world_file import WorldFile
from umwelt.sandbox import audit
from umwelt.sandbox.chemistry import CHARGE
from umwelt.sandbox.region import Region


def species_rows(world: WorldFile, region: Region, table: str) -> dict[str, np.ndarray]:
    """Returns the rows of a table's living (`int64[beings]`) by name of species.

    A table without species has one entry, by its own name. Groups of founders that share a name are one species.
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
    """Whether the beings of a species are rows of a table."""
    return f"{template_kind(world.settings.founders[species], f'founders[{species}]')}s" == table


def populations(world: WorldFile, region: Region) -> dict[str, float]:
    """The number of living of each species and of each table; of plants their modules, and `NAME_seeds` apart."""
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
    """The share of the living of each table that have a parent; founders and what grew from spores have none."""
    return {
        f"{name}.born_share": mean_of(table["parent_id"][region.owned_rows(name)] != 0)
        for name, table in region.tables.items()
        if "parent_id" in table
    }


def matter(world: WorldFile, region: Region) -> dict[str, float]:
    """The number of molecules of each substance, in cells and bodies together."""
    return dict(audit.substance_totals(region, world.chemistry)) if world.chemistry else {}


def elements(world: WorldFile, region: Region) -> dict[str, float]:
    """The number of atoms of each element, and the charge if there is any; constant unless commands add or take any."""
    if world.chemistry is None:
        return {}
    totals = audit.element_totals(audit.substance_totals(region, world.chemistry), world.chemistry)
    return {name if name == CHARGE else f"{name}_atoms": count for name, count in totals.items()}

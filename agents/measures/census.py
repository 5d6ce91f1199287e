"""Who lives, and what there is: counts."""

import numpy as np

from umwelt.agents.body.interface import MODULE
from umwelt.agents.world_file import WorldFile
from umwelt.sandbox import audit
from umwelt.sandbox.chemistry import CHARGE
from umwelt.sandbox.region import Region


def species_rows(world: WorldFile, region: Region, table: str) -> dict[str, np.ndarray]:
    """The rows of a table's living by the name of their species; of a table without species by the table's name."""
    rows = np.flatnonzero(region.owned_rows(table))
    if world.laws.species is None or "species" not in region.tables[table]:
        return {table: rows}
    names = list(world.laws.species(world))
    codes = [names.index(name) for name in names]  # groups of one name are one species
    group = np.array(codes, np.int64)[region.tables[table]["species"][rows]]
    kinds = getattr(world.settings, "founders", None)
    own = [at for at, name in enumerate(names) if names.index(name) == at and (not kinds or _is_of(world, at, table))]
    return {names[at]: rows[group == at] for at in own}


def mean_of(values: np.ndarray) -> float:
    """The mean, which is NaN of nothing."""
    return float(values.mean()) if len(values) else float("nan")


def _is_of(world: WorldFile, at: int, table: str) -> bool:
    from umwelt.agents.earth.genesis import template_kind

    return f"{template_kind(world.settings.founders[at], f'founders[{at}]')}s" == table


def populations(world: WorldFile, region: Region) -> dict[str, float]:
    """The living of each species and of each table; of plants their modules, and their seeds apart."""
    found: dict[str, float] = {}
    for name, table in region.tables.items():
        total = 0
        for species, rows in species_rows(world, region, name).items():
            if "stage" in table:
                grown = int(np.count_nonzero(table["stage"][rows] == MODULE))
                found[species], found[f"{species}_seeds"] = grown, len(rows) - grown
            else:
                found[species] = grown = len(rows)
            total += grown
        found[name] = total
    return found


def descent(world: WorldFile, region: Region) -> dict[str, float]:
    """The share of the living of each table that has a parent: founders have none, nor has what came of a spore."""
    return {
        f"{name}.born_share": mean_of(table["parent_id"][region.owned_rows(name)] != 0)
        for name, table in region.tables.items()
        if "parent_id" in table
    }


def matter(world: WorldFile, region: Region) -> dict[str, float]:
    """Molecules of each substance, in cells and bodies together."""
    return dict(audit.substance_totals(region, world.chemistry)) if world.chemistry else {}


def elements(world: WorldFile, region: Region) -> dict[str, float]:
    """Atoms of each element, and the charge where there is any: exact, as long as nobody adds any."""
    if world.chemistry is None:
        return {}
    totals = audit.element_totals(audit.substance_totals(region, world.chemistry), world.chemistry)
    return {one if one == CHARGE else f"{one}_atoms": count for one, count in totals.items()}

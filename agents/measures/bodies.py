"""How the living are, and what they have inherited."""

from collections.abc import Sequence

import numpy as np

from umwelt.agents.body.genome import FIRST_TRAIT, MONSTER_TRAITS, ORGAN_CODES, ORGAN_SLOTS, PLANT_GENES
from umwelt.agents.body.interface import MODULE, ORGANS, SUGAR, TISSUE
from umwelt.agents.measures.census import mean_of, species_rows
from umwelt.agents.world_file import WorldFile
from umwelt.sandbox.region import Region


def state(world: WorldFile, region: Region) -> dict[str, float]:
    """Means over each monster species: share asleep and with shut eyes, sugar, tissue, speed, age, generation."""
    monsters, found = region.tables["monsters"], dict[str, float]()
    for species, rows in species_rows(world, region, "monsters").items():
        found |= {
            f"{species}.asleep": mean_of(monsters["asleep"][rows]),
            f"{species}.eyes_shut": mean_of(monsters["eyes_shut"][rows]),
            f"{species}.sugar_count": mean_of(monsters["counts"][rows, SUGAR]),
            f"{species}.tissue_count": mean_of(monsters["counts"][rows, TISSUE]),
            f"{species}.speed_fixed": mean_of(monsters["speed_fixed"][rows]),
            f"{species}.age_ticks": mean_of(monsters["age_ticks"][rows]),
            f"{species}.generation": mean_of(monsters["generation"][rows]),
        }
    return found


def traits(world: WorldFile, region: Region) -> dict[str, float]:
    """Mean and standard deviation of each gene that has a name, over each species (of plants over their modules)."""
    plants, monsters, found = region.tables["plants"], region.tables["monsters"], dict[str, float]()
    for species, rows in species_rows(world, region, "plants").items():
        grown = rows[plants["stage"][rows] == MODULE]
        found |= _spread(species, PLANT_GENES, plants["genome"][grown])
    for species, rows in species_rows(world, region, "monsters").items():
        genes = monsters["genome"][rows, FIRST_TRAIT : FIRST_TRAIT + len(MONSTER_TRAITS)]
        found |= _spread(species, MONSTER_TRAITS, genes)
    return found


def organs(world: WorldFile, region: Region) -> dict[str, float]:
    """Mean number of organs of each sort over each monster species: `built`, and what its genome asks for in all."""
    monsters, found = region.tables["monsters"], dict[str, float]()
    for species, rows in species_rows(world, region, "monsters").items():
        codes = (monsters["genome"][rows, :ORGAN_SLOTS].astype(np.int64) + 128) % ORGAN_CODES
        for at, organ in enumerate(ORGANS):
            found[f"{species}.{organ}.built"] = mean_of(monsters["organs"][rows, at])
            found[f"{species}.{organ}.asked"] = mean_of((codes == at).sum(axis=1))
    return found


def _spread(species: str, names: Sequence[str], genes: np.ndarray) -> dict[str, float]:
    """Mean and standard deviation by name, `genes: int8[being, name]`."""
    means, deviations = (genes.mean(axis=0), genes.std(axis=0)) if len(genes) else np.full((2, len(names)), np.nan)
    found = {f"{species}.{name}.mean": float(means[at]) for at, name in enumerate(names)}
    return found | {f"{species}.{name}.deviation": float(deviations[at]) for at, name in enumerate(names)}

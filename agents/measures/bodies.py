"""Measures of bodies: the state and organs of monsters, and the genes of monsters and plants.

A plant consists of modules, one in each of its cells; each module is a being.
"""

from collections.abc import Sequence

import numpy as np

from umwelt.agents.body.genome import FIRST_TRAIT, MONSTER_TRAITS, PLANT_GENES, organs_in_slots
from umwelt.agents.body.interface import MODULE, ORGANS, SUGAR, TISSUE
from umwelt.agents.measures.census import mean_of, species_rows
from umwelt.agents.world_file import WorldFile
from umwelt.sandbox.region import Region


def state(world: WorldFile, region: Region) -> dict[str, float]:
    """Returns means over the monsters of each species, by keys such as `grazer.asleep`.

    `asleep` and `eyes_shut` are shares (0 to 1), `sugar_count` and `tissue_count` numbers of molecules, `speed_fixed`
    is in 1/1024 cell per tick; the others are `age_ticks` and `generation`.
    """
    monsters, numbers = region.tables["monsters"], dict[str, float]()
    for species, rows in species_rows(world, region, "monsters").items():
        numbers |= {
            f"{species}.asleep": mean_of(monsters["asleep"][rows]),
            f"{species}.eyes_shut": mean_of(monsters["eyes_shut"][rows]),
            f"{species}.sugar_count": mean_of(monsters["counts"][rows, SUGAR]),
            f"{species}.tissue_count": mean_of(monsters["counts"][rows, TISSUE]),
            f"{species}.speed_fixed": mean_of(monsters["speed_fixed"][rows]),
            f"{species}.age_ticks": mean_of(monsters["age_ticks"][rows]),
            f"{species}.generation": mean_of(monsters["generation"][rows]),
        }
    return numbers


def traits(world: WorldFile, region: Region) -> dict[str, float]:
    """Returns mean and standard deviation of each named gene, over the monsters or plant modules of each species."""
    plants, monsters, numbers = region.tables["plants"], region.tables["monsters"], dict[str, float]()
    for species, rows in species_rows(world, region, "plants").items():
        modules = rows[plants["stage"][rows] == MODULE]
        numbers |= _distribution(species, PLANT_GENES, plants["genome"][modules])
    for species, rows in species_rows(world, region, "monsters").items():
        genes = monsters["genome"][rows, FIRST_TRAIT : FIRST_TRAIT + len(MONSTER_TRAITS)]
        numbers |= _distribution(species, MONSTER_TRAITS, genes)
    return numbers


def organs(world: WorldFile, region: Region) -> dict[str, float]:
    """Returns the mean number of organs of each type over each monster species.

    `.built` counts the organs that a monster has, `.asked` those that its full genome encodes, built or not.
    """
    monsters, numbers = region.tables["monsters"], dict[str, float]()
    for species, rows in species_rows(world, region, "monsters").items():
        asked = organs_in_slots(monsters["genome"][rows])
        for index, organ in enumerate(ORGANS):
            numbers[f"{species}.{organ}.built"] = mean_of(monsters["organs"][rows, index])
            numbers[f"{species}.{organ}.asked"] = mean_of((asked == index).sum(axis=1))
    return numbers


def _distribution(species: str, names: Sequence[str], genes: np.ndarray) -> dict[str, float]:
    """Returns mean and standard deviation of each gene in `names`; `genes` is `int8[beings, names]`."""
    means, deviations = (genes.mean(axis=0), genes.std(axis=0)) if len(genes) else np.full((2, len(names)), np.nan)
    numbers = {f"{species}.{name}.mean": float(means[gene]) for gene, name in enumerate(names)}
    return numbers | {f"{species}.{name}.deviation": float(deviations[gene]) for gene, name in enumerate(names)}

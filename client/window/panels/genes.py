"""The names and effects of genes, and the division of a genome into traits, organs and weights.

A gene is a byte of the genome, from -128 to 127. Traits are genes with an effect of their own, as are all genes of a
plant; the other genes of a monster determine its organs and the weights of its neural net.
"""

from functools import cache

import numpy as np

from umwelt.agents.body.genome import (
    ADDED_ORGAN_GENES,
    DRIVE_GENES,
    FIRST_TRAIT,
    INPUT_GENES,
    MONSTER_GENES,
    MONSTER_LENGTHS,
    MONSTER_TRAITS,
    NO_ORGAN,
    ORGAN_SLOTS,
    PLANT_GENES,
    organs_in_slots,
)
from umwelt.agents.body.interface import DRIVES, FIRST_ORGANS, MEMORY, ORGANS, STIMULI

PLANT_WORDS = {
    "light_weight": "buds toward light (below 0: toward shade)",
    "water_weight": "buds toward water (below 0: away from it)",
    "room_weight": "buds toward free room (below 0: into the crowd)",
    "leaf": "leaf: catches more light, needs more upkeep",
    "root": "root: takes up more water and mineral, needs more upkeep",
    "height": "height: shades its neighbours, needs more upkeep",
    "thorn": "thorns: grazers get less of it",
    "scent": "scent: gives off aroma",
    "bud_size": "tissue at which it buds another module",
    "share": "share of its sugar that it passes along the stem",
    "seed_size": "tissue that each seed gets",
    "seed_reserve": "sugar kept before it flowers",
    "seed_lightness": "how far the wind carries its seeds",
    "seed_wait": "how long seeds wait in the ground",
    "longevity": "maximum age",
    "mutation": "mutation rate of its children's genes",
    "hue": "colour of the leaves",
    "flower_hue": "colour of the flowers",
    "shape": "shape of the leaves",
    "marker_a": "neutral marker: tells kinship, has no effect",
    "marker_b": "neutral marker: tells kinship, has no effect",
    "marker_c": "neutral marker: tells kinship, has no effect",
}
"""The effects of a plant's genes, for tooltips."""
SIGNED_GENES = frozenset({"light_weight", "water_weight", "room_weight"})
"""Genes of plants whose values count from 0 in both directions."""
MONSTER_WORDS = {
    "birth_organs": "organs that a child is born with",
    "breed_reserve": "sugar kept back when breeding",
    "longevity": "maximum age",
    "mutation": "mutation rate of its children's genes",
    "hue": "colour of the body",
    "shade": "how light the body is",
    "pattern": "pattern on its back",
    "marker_a": "neutral marker: tells kinship, has no effect",
    "marker_b": "neutral marker: tells kinship, has no effect",
    "marker_c": "neutral marker: tells kinship, has no effect",
    "fangs": "jaws that grind leaves (low) or tear flesh (high)",
    "glow": "how much it glows",
}
"""The effects of a monster's traits, for tooltips."""


def is_monster(genome: bytes) -> bool:
    """Returns whether a genome is a monster's, with organs and a neural net."""
    return len(genome) in MONSTER_LENGTHS


def trait_values(genome: bytes) -> list[tuple[str, int]]:
    """Returns the traits of a genome as (name, value), with values from 0 to 255.

    The values of a plant's traits in `SIGNED_GENES` are from -128 to 127.
    """
    names, first = (MONSTER_TRAITS, FIRST_TRAIT) if is_monster(genome) else (PLANT_GENES, 0)
    values = []
    for at, name in enumerate(names):
        if first + at < len(genome):
            gene = genome[first + at]
            signed = gene - 256 if gene > 127 else gene
            values.append((name, signed if name in SIGNED_GENES and not is_monster(genome) else signed + 128))
    return values


def organ_plan(genome: bytes) -> list[str]:
    """Returns the names of the organs that a monster's body grows, in order; "none" for an empty slot."""
    genes = np.zeros((1, MONSTER_GENES), np.int8)
    known = np.frombuffer(genome, np.int8)[:MONSTER_GENES]
    genes[0, : len(known)] = known
    return ["none" if organ == NO_ORGAN else ORGANS[organ] for organ in organs_in_slots(genes)[0].tolist()]


def gene_name(at: int, monster: bool) -> str:
    """Returns the name of a gene by its position `at` in the genome; `monster` is whether the genome is a monster's."""
    names = _monster_gene_names() if monster else PLANT_GENES
    return names[at] if at < len(names) else f"gene {at}"


@cache
def _monster_gene_names() -> tuple[str, ...]:
    """Returns the names of all genes of a monster, by position."""
    names = {slot: f"organ {slot + 1}" for slot in range(ORGAN_SLOTS)}
    names |= {FIRST_TRAIT + index: name for index, name in enumerate(MONSTER_TRAITS)}
    inputs = (*STIMULI, *(f"memory {unit + 1}" for unit in range(MEMORY)))
    for unit in range(MEMORY):
        names |= {
            int(first) + unit: f"{name} to unit {unit + 1}" for name, first in zip(inputs, INPUT_GENES, strict=True)
        }
        names |= {
            int(first) + unit: f"unit {unit + 1} to {name}" for name, first in zip(DRIVES, DRIVE_GENES, strict=True)
        }
    for name, first in zip(ORGANS[len(FIRST_ORGANS) :], ADDED_ORGAN_GENES, strict=True):
        names |= {int(first) + slot: f"{name} as organ {slot + 1}" for slot in range(ORGAN_SLOTS)}
    return tuple(names[gene] for gene in range(MONSTER_GENES))

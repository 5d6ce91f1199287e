"""What genes are called and what they do, in words; and how a genome is cut into its parts."""

from functools import cache

from umwelt.agents.body.genome import (
    FIRST_TRAIT,
    MONSTER_GENES,
    MONSTER_TRAITS,
    ORGAN_CODES,
    ORGAN_SLOTS,
    PLANT_GENES,
)
from umwelt.agents.body.interface import DRIVES, MEMORY, ORGANS, STIMULI

PLANT_WORDS = {
    "light_weight": "buds toward light (below 0: toward shade)",
    "water_weight": "buds toward water (below 0: away from it)",
    "room_weight": "buds toward free room (below 0: into the crowd)",
    "leaf": "leaf: more light is caught, more upkeep is paid",
    "root": "root: more water and mineral is drawn, more upkeep is paid",
    "height": "height: shades its neighbours, at a cost",
    "thorn": "thorns: grazers get less",
    "scent": "scent: aroma is given off",
    "bud_size": "tissue at which it buds another module",
    "share": "share of its sugar that it passes along the stem",
    "seed_size": "tissue that a seed is given",
    "seed_reserve": "sugar kept before it flowers",
    "seed_lightness": "how far the wind carries its seeds",
    "seed_wait": "how long seeds wait in the ground",
    "longevity": "how old it may become",
    "mutation": "how often its children's genes change",
    "hue": "looks: the leaves' hue",
    "flower_hue": "looks: the flowers' hue",
    "shape": "looks: the leaves' shape",
    "marker_a": "means nothing but kinship",
    "marker_b": "means nothing but kinship",
    "marker_c": "means nothing but kinship",
}
SIGNED_GENES = frozenset({"light_weight", "water_weight", "room_weight"})
MONSTER_WORDS = {
    "birth_organs": "organs that a child is born with",
    "breed_reserve": "sugar kept back when breeding",
    "longevity": "how old it may become",
    "mutation": "how often its children's genes change",
    "hue": "looks: the body's hue",
    "shade": "looks: how light the body is",
    "pattern": "looks: the pattern on its back",
    "marker_a": "means nothing but kinship",
    "marker_b": "means nothing but kinship",
    "marker_c": "means nothing but kinship",
    "fangs": "jaws that grind leaves (low) or tear flesh (high)",
    "glow": "looks: how much it glows",
}


def is_monster(genome: bytes) -> bool:
    """Whether a genome is one of those with organs and a net."""
    return len(genome) >= MONSTER_GENES


def trait_values(genome: bytes) -> list[tuple[str, int]]:
    """The traits by name, from 0 to 255; those that are weights from -128 to 127."""
    names, first = (MONSTER_TRAITS, FIRST_TRAIT) if is_monster(genome) else (PLANT_GENES, 0)
    found = []
    for at, name in enumerate(names):
        if first + at < len(genome):
            gene = genome[first + at]
            signed = gene - 256 if gene > 127 else gene
            found.append((name, signed if name in SIGNED_GENES and not is_monster(genome) else signed + 128))
    return found


def organ_plan(genome: bytes) -> list[str]:
    """The organs that a body builds, in order; "none" where a slot is left empty."""
    codes = [((gene ^ 128) & 255) % ORGAN_CODES for gene in genome[:ORGAN_SLOTS]]
    return [ORGANS[code] if code < len(ORGANS) else "none" for code in codes]


def gene_name(at: int, monster: bool) -> str:
    """What a gene is, by its place in the genome."""
    names = _monster_gene_names() if monster else PLANT_GENES
    return names[at] if at < len(names) else f"gene {at}"


@cache
def _monster_gene_names() -> tuple[str, ...]:
    units = range(1, MEMORY + 1)
    return (
        *(f"organ {slot + 1}" for slot in range(ORGAN_SLOTS)),
        *MONSTER_TRAITS,
        *(f"{name} to unit {unit}" for name in STIMULI for unit in units),
        *(f"memory {memory} to unit {unit}" for memory in units for unit in units),
        *(f"unit {unit} to {name}" for name in DRIVES for unit in units),
    )

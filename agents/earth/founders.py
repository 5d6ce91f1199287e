"""The founders: genomes that a new world begins with. Their nets have weak instincts, so that it is alive at once."""

from collections.abc import Mapping

import numpy as np

from umwelt.agents.body.genome import (
    FIRST_TRAIT,
    MONSTER_GENES,
    MONSTER_TRAITS,
    ORGAN_SLOTS,
    PLANT_GENES,
    organ_gene,
)
from umwelt.agents.body.interface import ORGANS
from umwelt.agents.earth.brain import wired
from umwelt.sandbox.errors import WorldFileError
from umwelt.sandbox.text import one_of

GENE_MIN, GENE_MAX = -128, 127

PLANTS: dict[str, dict[str, int]] = {
    "grass": {
        "light_weight": 30,
        "water_weight": 10,
        "room_weight": 50,
        "leaf": 0,
        "root": -20,
        "height": -90,
        "thorn": -120,
        "scent": -70,
        "bud_size": -90,
        "share": 0,
        "seed_size": -80,
        "seed_reserve": -90,
        "seed_lightness": 40,
        "seed_wait": -100,
        "longevity": -40,
        "mutation": -100,
        "hue": -20,
        "flower_hue": 60,
        "shape": -60,
        "marker_a": 20,
        "marker_b": -30,
        "marker_c": 0,
    },
    "shrub": {
        "light_weight": 60,
        "water_weight": 40,
        "room_weight": 20,
        "leaf": 40,
        "root": 40,
        "height": 90,
        "thorn": 40,
        "scent": -60,
        "bud_size": -30,
        "share": 80,
        "seed_size": 0,
        "seed_reserve": 20,
        "seed_lightness": -40,
        "seed_wait": -40,
        "longevity": 100,
        "mutation": -100,
        "hue": 40,
        "flower_hue": -60,
        "shape": 50,
        "marker_a": -60,
        "marker_b": 50,
        "marker_c": 30,
    },
    "reed": {
        "light_weight": 10,
        "water_weight": 110,
        "room_weight": 30,
        "leaf": 20,
        "root": -60,
        "height": 20,
        "thorn": -90,
        "scent": -100,
        "bud_size": 10,
        "share": 100,
        "seed_size": 0,
        "seed_reserve": 90,
        "seed_lightness": -40,
        "seed_wait": -80,
        "longevity": 0,
        "mutation": -100,
        "hue": -80,
        "flower_hue": 0,
        "shape": 110,
        "marker_a": 90,
        "marker_b": 90,
        "marker_c": -60,
    },
}

_BODY_HIDDEN = {
    "hunger": {"hunger": 110, "one": -50},
    "thirst": {"thirst": 120, "one": -20},
    "tired": {"fatigue": 127, "memory_4": 90, "one": -70, "pain": -100},
    "eyes": {"dry_eyes": 127, "one": -40},
    "ready": {"hunger": -110, "thirst": -50, "one": 70, "pain": -60},
}

_GRAZER = wired(
    hidden=[
        # 0: food to the right, less what is known of danger there
        {
            "plant_right": 50,
            "plant_left": -50,
            "aroma_right": 60,
            "aroma_left": -60,
            "carrion_right": 20,
            "carrion_left": -20,
            "water_right": 12,
            "water_left": -12,
            "memory_0": 10,
        },
        # 1, 2: a stranger to the left, to the right
        {"other_bearing": -120, "other_distance": -60, "other_kinship": -127, "other_size": 40, "one": 45},
        {"other_bearing": 120, "other_distance": -60, "other_kinship": -127, "other_size": 40, "one": 45},
        _BODY_HIDDEN["hunger"],
        _BODY_HIDDEN["tired"],
        _BODY_HIDDEN["thirst"],
        _BODY_HIDDEN["eyes"],
        _BODY_HIDDEN["ready"],
    ],
    drives={
        "turn": {0: 24, 1: 50, 2: -50},
        "thrust": {3: 22, 1: 40, 2: 40, 4: -60, 7: 14, 5: 18},
        "graze": {3: 40, 7: 24, 4: -30},
        "drink": {5: 64, 7: 24},
        "grow": {7: 60},
        "breed": {7: 60, 3: -20},
        "rest": {4: 100, 1: -40, 2: -40},
        "blink": {6: 110},
        "musk_drive": {7: 6, 3: 6},
        "alarm_drive": {1: 40, 2: 40},
    },
)

_HUNTER = wired(
    hidden=[
        # 0: a trail to the right, the dead among it, whose sugar may be licked; other hunters are kept at a distance
        {
            "musk_right": 70,
            "musk_left": -70,
            "carrion_right": 40,
            "carrion_left": -40,
            "alarm_right": 60,
            "alarm_left": -60,
            "other_bearing": -40,
            "memory_0": 10,
        },
        # 1, 2: a stranger to the right, to the left
        {"other_bearing": 120, "other_distance": -60, "other_kinship": -127, "one": 50},
        {"other_bearing": -120, "other_distance": -60, "other_kinship": -127, "one": 50},
        _BODY_HIDDEN["hunger"],
        _BODY_HIDDEN["tired"],
        _BODY_HIDDEN["thirst"],
        _BODY_HIDDEN["eyes"],
        _BODY_HIDDEN["ready"],
    ],
    drives={
        "turn": {0: 30, 1: 64, 2: -64},
        "thrust": {1: 50, 2: 50, 3: 50, 4: -60, 5: 18, 7: 20},
        "bite": {1: 70, 2: 70, 3: 10},
        "graze": {3: 40},
        "drink": {5: 64, 7: 24},
        "grow": {7: 60},
        "breed": {7: 60, 3: -20},
        "rest": {4: 100, 1: -40, 2: -40},
        "blink": {6: 110},
        "musk_drive": {7: 10},
    },
)

MONSTERS: dict[str, dict] = {
    "grazer": {
        "organs": ["jaw", "gut", "leg", "eye", "gut", "leg", "store", "eye", "armour", "gland", "jaw", "store"],
        "traits": {
            "birth_organs": -30,
            "breed_reserve": 50,
            "longevity": 0,
            "mutation": -70,
            "hue": 30,
            "shade": 0,
            "pattern": 10,
            "marker_a": 40,
            "marker_b": -40,
            "marker_c": 20,
            "fangs": -115,
            "glow": -60,
        },
        "weights": _GRAZER,
    },
    "hunter": {
        "organs": ["jaw", "leg", "gut", "leg", "eye", "jaw", "leg", "gut", "eye", "store", "spike", "leg"],
        "traits": {
            "birth_organs": 20,
            "breed_reserve": 40,
            "longevity": 60,
            "mutation": -70,
            "hue": -110,
            "shade": -40,
            "pattern": 80,
            "marker_a": -80,
            "marker_b": 60,
            "marker_c": -70,
            "fangs": 115,
            "glow": 20,
        },
        "weights": _HUNTER,
    },
    "blank": {"organs": ["jaw", "gut", "leg", "eye"], "traits": {}, "weights": wired([], {})},
}


def plant_genome(template: str, genes: Mapping[str, int], place: str) -> np.ndarray:
    """A plant's genome, `int8[genes]`: the template's with some genes set; `place` is named where one is wrong."""
    values = {**PLANTS[one_of(template, PLANTS, f"{place}.like")], **_checked(genes, PLANT_GENES, place)}
    return np.array([values[name] for name in PLANT_GENES], np.int8)


def monster_genome(template: str, organs: list[str] | None, genes: Mapping[str, int], place: str) -> np.ndarray:
    """A monster's genome, `int8[genes]`: the template's with its organs or some traits set anew."""
    source = MONSTERS[one_of(template, MONSTERS, f"{place}.like")]
    genome = source["weights"].copy()
    order = source["organs"] if organs is None else organs
    if len(order) > ORGAN_SLOTS:
        raise WorldFileError(f"{place}.organs: {len(order)} organs are listed: at most {ORGAN_SLOTS} fit a genome")
    for slot in range(ORGAN_SLOTS):
        name = order[slot] if slot < len(order) else "none"
        genome[slot] = organ_gene(one_of(name, (*ORGANS, "none"), f"{place}.organs"))
    traits = {**source["traits"], **_checked(genes, MONSTER_TRAITS, place)}
    for at, name in enumerate(MONSTER_TRAITS):
        genome[FIRST_TRAIT + at] = traits.get(name, 0)
    return genome


def given_genome(genes: list[int], kind: str, place: str) -> np.ndarray:
    """A genome written out gene by gene, `int8[genes]`."""
    wanted = len(PLANT_GENES) if kind == "plant" else MONSTER_GENES
    if len(genes) != wanted:
        raise WorldFileError(f"{place}.genome: {len(genes)} genes are listed: a {kind} has {wanted}")
    for at, value in enumerate(genes):
        if not GENE_MIN <= value <= GENE_MAX:
            raise WorldFileError(f"{place}.genome[{at}] = {value}: use {GENE_MIN} to {GENE_MAX}")
    return np.array(genes, np.int8)


def _checked(genes: Mapping[str, int], known: tuple[str, ...], place: str) -> Mapping[str, int]:
    for name, value in genes.items():
        one_of(name, known, f"{place}.genes")
        if not GENE_MIN <= value <= GENE_MAX:
            raise WorldFileError(f"{place}.genes.{name}: {value} is no gene: use {GENE_MIN} to {GENE_MAX}")
    return genes

"""The genomes of founders (the beings at tick 0): templates, and the changes that a world file makes to them.

The nets of the monster templates have weak instincts, with which founders can feed and breed from the first tick. A
world file can set single weights of a net:

    [founders.wires]
    0 = {plant_right = 50, plant_left = -50}    # hidden unit 0: food to the right
    turn = {0 = 40}                             # the drive that follows it
"""

from collections.abc import Mapping, Sequence

import numpy as np

from umwelt.agents.body.genome import (
    DRIVE_GENES,
    GENE_MAX,
    GENE_MIN,
    INPUT_GENES,
    INPUT_NAMES,
    MONSTER_LENGTHS,
    MONSTER_TRAITS,
    ORGAN_SLOTS,
    PLANT_GENES,
    PLANT_LENGTHS,
    TRAIT,
    set_organ,
)
from umwelt.agents.body.interface import DRIVES, MEMORY, ORGANS
from umwelt.agents.earth.brain import wire
from umwelt.sandbox.errors import WorldFileError
from umwelt.sandbox.text import one_of

UNITS = tuple(str(unit) for unit in range(MEMORY))
"""Names of the net's hidden units in world files: "0" to "7"."""

# templates of plants: the genes by name
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

# weights of the hidden units that the nets of grazers and hunters have in common: for each unit, weights by input
_BODY_HIDDEN = {
    "hunger": {"hunger": 110, "one": -50},
    "thirst": {"thirst": 120, "one": -20},
    "tired": {"fatigue": 127, "memory_4": 90, "one": -70, "pain": -100},
    "eyes": {"dry_eyes": 127, "one": -40},
    "ready": {"hunger": -110, "thirst": -50, "one": 70, "pain": -60},
}

_GRAZER = wire(
    hidden=[
        # 0: food is on the right
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
        # 1, 2: another monster, not kin, is on the left, on the right
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

_HUNTER = wire(
    hidden=[
        # 0: scents and carrion are on the right, or the nearest monster is on the left
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
        # 1, 2: another monster, not kin, is on the right, on the left
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

# templates of monsters: the organs by slot, the traits by name, and a genome that contains only the weights of the net
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
    "blank": {"organs": ["jaw", "gut", "leg", "eye"], "traits": {}, "weights": wire([], {})},
}


def plant_genome(template: str, genes: Mapping[str, int], place: str) -> np.ndarray:
    """Returns the genome of a plant template with the given genes replaced, `int8[gene]`.

    Raises WorldFileError, which names `place`, for an unknown template or gene, or a value outside -128 .. 127.
    """
    values = {**PLANTS[one_of(template, PLANTS, f"{place}.like")], **_checked_genes(genes, PLANT_GENES, place)}
    return np.array([values[name] for name in PLANT_GENES], np.int8)


def monster_genome(template: str, organs: list[str] | None, genes: Mapping[str, int], place: str) -> np.ndarray:
    """Returns the genome of a monster template with its organs and the given traits replaced, `int8[gene]`.

    `organs` lists the organs by slot; None keeps those of the template. `genes` gives new values of traits. Raises
    WorldFileError, which names `place`, for an unknown template, organ or trait, for too many organs, or for a value
    outside -128 .. 127.
    """
    source = MONSTERS[one_of(template, MONSTERS, f"{place}.like")]
    genome = source["weights"].copy()
    order = source["organs"] if organs is None else organs
    if len(order) > ORGAN_SLOTS:
        raise WorldFileError(f"{place}.organs: {len(order)} organs are listed: at most {ORGAN_SLOTS} fit a genome")
    for slot in range(ORGAN_SLOTS):
        name = order[slot] if slot < len(order) else "none"
        set_organ(genome, slot, one_of(name, (*ORGANS, "none"), f"{place}.organs"))
    traits = {**source["traits"], **_checked_genes(genes, MONSTER_TRAITS, place)}
    for name, gene in TRAIT.items():
        genome[gene] = traits.get(name, 0)
    return genome


def set_weights(genome: np.ndarray, wires: Mapping[str, Mapping[str, int]], place: str) -> None:
    """Sets weights of the net in a monster's `genome` (`int8[gene]`); a weight of 64 stands for 1.

    `wires` maps a hidden unit ("0" to "7") to weights by name of the input, or a drive to weights by hidden unit.
    Raises WorldFileError, which names `place`, for an unknown name or a weight outside -128 .. 127.
    """
    for target, sources in wires.items():
        one_of(target, (*UNITS, *DRIVES), place)
        for source, weight in sources.items():
            _check_gene(weight, f"{place}.{target}.{source}")
            if target in UNITS:
                name = one_of(source, INPUT_NAMES, f"{place}.{target}")
                genome[INPUT_GENES[INPUT_NAMES.index(name)] + int(target)] = weight
            else:
                unit = int(one_of(source, UNITS, f"{place}.{target}"))
                genome[DRIVE_GENES[DRIVES.index(target)] + unit] = weight


def given_genome(genes: Sequence[int], kind: str, place: str) -> np.ndarray:
    """Converts a complete genome of any version, given as a list of genes, to the present version, `int8[gene]`.

    Genes that its version lacks are set to 0. Raises WorldFileError, which names `place`, if no version has genomes of
    this length, or for a value outside -128 .. 127.
    """
    check_length(len(genes), kind, f"{place}.genome")
    for index, value in enumerate(genes):
        if not GENE_MIN <= value <= GENE_MAX:
            raise WorldFileError(f"{place}.genome[{index}] = {value}: use {GENE_MIN} to {GENE_MAX}")
    return lengthened(np.array(genes, np.int8), kind)


def given_genomes(genomes: Sequence[str], kind: str, place: str) -> np.ndarray:
    """Converts complete genomes, given with two hexadecimal digits for each gene, to `int8[genome, gene]`.

    Genes that their version lacks are set to 0. Raises WorldFileError, which names `place`, if the list is empty, an
    entry is not hexadecimal, or no version has genomes of its length.
    """
    if not genomes:
        raise WorldFileError(f"{place}.genomes: is empty: list at least one, or leave it out")
    rows = []
    for index, text in enumerate(genomes):
        try:
            genes = np.frombuffer(bytes.fromhex(text), np.int8)
        except ValueError:
            line = f"{place}.genomes[{index}]: is not written in hexadecimal digits: write two a gene, as in 0aff"
            raise WorldFileError(line) from None
        check_length(len(genes), kind, f"{place}.genomes[{index}]")
        rows.append(lengthened(genes, kind))
    return np.array(rows)


def check_length(genes_count: int, kind: str, place: str) -> None:
    """Raises WorldFileError, which names `place`, if no version has genomes of `genes_count` genes for this `kind`."""
    lengths = PLANT_LENGTHS if kind == "plant" else MONSTER_LENGTHS
    if genes_count not in lengths:
        raise WorldFileError(f"{place}: {genes_count} genes are listed: a {kind} has {lengths[-1]}")


def lengthened(genome: np.ndarray, kind: str) -> np.ndarray:
    """Returns a genome of any version, extended with zeros to the length of the present version, `int8[gene]`."""
    length = (PLANT_LENGTHS if kind == "plant" else MONSTER_LENGTHS)[-1]
    return np.concatenate([genome, np.zeros(length - len(genome), np.int8)])


def _checked_genes(genes: Mapping[str, int], known: tuple[str, ...], place: str) -> Mapping[str, int]:
    """Returns `genes` unchanged.

    Raises WorldFileError, which names `place`, for a name that is not in `known` or a value outside -128 .. 127.
    """
    for name, value in genes.items():
        one_of(name, known, f"{place}.genes")
        _check_gene(value, f"{place}.genes.{name}")
    return genes


def _check_gene(value: int, place: str) -> None:
    """Raises WorldFileError, which names `place`, if `value` is outside -128 .. 127."""
    if not GENE_MIN <= value <= GENE_MAX:
        raise WorldFileError(f"{place} = {value}: use {GENE_MIN} to {GENE_MAX}")

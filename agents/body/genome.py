"""The layout of genomes, and their mutation.

A genome is a row of `int8`. A plant's genome holds its traits, `PLANT_GENES`. A monster's genome holds, in this order:

    organ slots     one gene for each slot: the organ that is built in it
    traits          `MONSTER_TRAITS`
    net weights     for each stimulus of version 1, each memory unit, then each drive: `MEMORY` weights
    added genes     for each entry of `interface.ADDED`, in its order: `ORGAN_SLOTS` genes if it is an organ,
                    `MEMORY` weights if it is a stimulus

The net has `MEMORY` hidden units; the weights above are those between an input or drive and each hidden unit. A genome
of an older version is a prefix of the present layout. Its missing genes are read as 0, which builds no added organ and
ignores added stimuli. New plant traits are appended to `PLANT_GENES`. The gene of a trait is stored as -128 to 127 and
read as 0 to 255.
"""

import numpy as np

from umwelt.agents.body.interface import ADDED, DRIVES, FIRST_ORGANS, FIRST_STIMULI, MEMORY, ORGANS, STIMULI
from umwelt.sandbox.dice import below, bits, draw, purpose
from umwelt.sandbox.kernel import small

GENE_MIN, GENE_MAX = -128, 127
GENE_VALUES = 256

ORGAN_SLOTS = 12
MONSTER_TRAITS = (
    "birth_organs",
    "breed_reserve",
    "longevity",
    "mutation",
    "hue",
    "shade",
    "pattern",
    "marker_a",
    "marker_b",
    "marker_c",
    "fangs",
    "glow",
)
"""The traits of monsters, in the order of their genes.

`birth_organs` sets how many organs a child is born with, `breed_reserve` the sugar that a monster needs before it
breeds, `longevity` the age from which it may die, `mutation` the mutation rate of its children, and `fangs` the kind of
jaw: from 0 (grinds leaves) to 255 (tears flesh). `hue`, `shade`, `pattern` and `glow` affect only the appearance,
`marker_a` to `marker_c` only the kinship that monsters sense.
"""

INPUTS = len(STIMULI)
OUTPUTS = len(DRIVES)
FIRST_TRAIT = ORGAN_SLOTS
FIRST_WEIGHT = ORGAN_SLOTS + len(MONSTER_TRAITS)
FIRST_RECURRENT = FIRST_WEIGHT + len(FIRST_STIMULI) * MEMORY
FIRST_OUTPUT = FIRST_RECURRENT + MEMORY * MEMORY
FIRST_ADDED = FIRST_OUTPUT + OUTPUTS * MEMORY
"""Index of the first gene added after version 1; also the length of a monster's genome of version 1."""

_ADDED_GENES = {"organ": ORGAN_SLOTS, "stimulus": MEMORY}
MONSTER_LENGTHS = tuple(
    FIRST_ADDED + sum(_ADDED_GENES[kind] for kind, _ in ADDED[:count]) for count in range(len(ADDED) + 1)
)
"""Length of a monster's genome in each version, oldest first."""
PLANT_LENGTHS = (22,)
"""Length of a plant's genome in each version, oldest first."""
MONSTER_GENES = MONSTER_LENGTHS[-1]


def _added_genes(kind: str) -> list[int]:
    """Returns the index of the first gene of each added entry of a `kind`, "organ" or "stimulus"."""
    return [first for (of, _), first in zip(ADDED, MONSTER_LENGTHS, strict=False) if of == kind]


INPUT_NAMES = (*STIMULI, *(f"memory_{unit}" for unit in range(MEMORY)))
"""Names of the inputs of the hidden units: the stimuli, and the units' own activations in the previous tick."""
INPUT_GENES = np.array(
    [
        *range(FIRST_WEIGHT, FIRST_RECURRENT, MEMORY),
        *_added_genes("stimulus"),
        *range(FIRST_RECURRENT, FIRST_OUTPUT, MEMORY),
    ],
    np.int64,
)
"""Index of the first weight of each input, `int64[input]`; `MEMORY` weights follow, one for each hidden unit."""
DRIVE_GENES = np.arange(FIRST_OUTPUT, FIRST_ADDED, MEMORY)
"""Index of the first weight of each drive, `int64[drive]`; `MEMORY` weights follow, one for each hidden unit."""

TRAIT = {name: FIRST_TRAIT + index for index, name in enumerate(MONSTER_TRAITS)}
BIRTH_ORGANS, BREED_RESERVE, LONGEVITY, MUTATION = (TRAIT[name] for name in MONSTER_TRAITS[:4])
HUE, SHADE, PATTERN, MARKER_A, MARKER_B, MARKER_C, FANGS = (TRAIT[name] for name in MONSTER_TRAITS[4:11])

PLANT_GENES = (
    "light_weight",
    "water_weight",
    "room_weight",
    "leaf",
    "root",
    "height",
    "thorn",
    "scent",
    "bud_size",
    "share",
    "seed_size",
    "seed_reserve",
    "seed_lightness",
    "seed_wait",
    "longevity",
    "mutation",
    "hue",
    "flower_hue",
    "shape",
    "marker_a",
    "marker_b",
    "marker_c",
)
"""The traits of plants, in the order of their genes.

`light_weight`, `water_weight` and `room_weight` are the weights of light, water and free neighbours in the choice of a
cell for a bud. `leaf`, `root`, `height` and `thorn` set the area of the leaf, the uptake of water and mineral, the
height of the leaf and the defence against grazers; all four increase the upkeep. A module is the part of a plant in one
cell. `scent` is the aroma that a module emits, `bud_size` the tissue that it needs to bud, and `share` how fast matter
flows along stems. `seed_size` is the tissue of a seed, `seed_reserve` the sugar that a module needs to make one,
`seed_lightness` how far a seed flies, and `seed_wait` the age from which it can sprout. `longevity` is the age from
which a module may die, and `mutation` the mutation rate of its seeds. `hue`, `flower_hue` and `shape` affect only the
appearance, and `marker_a` to `marker_c` have no effect.
"""
(
    P_LIGHT_WEIGHT,
    P_WATER_WEIGHT,
    P_ROOM_WEIGHT,
    P_LEAF,
    P_ROOT,
    P_HEIGHT,
    P_THORN,
    P_SCENT,
    P_BUD_SIZE,
    P_SHARE,
    P_SEED_SIZE,
    P_SEED_RESERVE,
    P_SEED_LIGHTNESS,
    P_SEED_WAIT,
    P_LONGEVITY,
    P_MUTATION,
    P_HUE,
    P_FLOWER_HUE,
    P_SHAPE,
    P_MARKER_A,
    P_MARKER_B,
    P_MARKER_C,
) = range(len(PLANT_GENES))
assert PLANT_LENGTHS[-1] == len(PLANT_GENES)

MUTATE = purpose("genome.mutate")
ODDS_BITS = 16
"""Mutation rates are in units of 2^-16."""
TRAIT_RATE_FACTOR, TRAIT_STEP_FACTOR = 4, 2
"""Factors of the mutation rate and of the mutation step of genes that are traits."""
STEP_BITS = 4
STEP_MASK = (1 << STEP_BITS) - 1
STEPS = 1 << 2 * STEP_BITS
"""Number of pairs of two 4-bit random numbers. Their difference is the step of a mutation, -15 to 15."""
CHANGES = STEPS + STEPS // 16
"""Number of equally likely mutations: `STEPS` of them add a step, the others (1 in 17) set a uniformly random value."""
VALUE_SHIFT = 20
"""Right shift from a random number to the bits of a uniformly random value."""

NO_ORGAN = -1
FIRST_ORGANS_COUNT = len(FIRST_ORGANS)
ORGAN_CODES = FIRST_ORGANS_COUNT + 1
"""Modulus of slot genes: `(gene + 128) % ORGAN_CODES` is an organ of version 1, or `FIRST_ORGANS_COUNT` for none.

Organs added later leave the modulus unchanged, so that slot genes keep their meaning; they have separate genes.
"""
ADDED_ORGAN_GENES = np.array(_added_genes("organ"), np.int64)
"""Index of the first gene of each added organ, `int64[organ]`; `ORGAN_SLOTS` genes follow, one for each slot."""
ADDED_ORGAN_MIN = 64
"""Smallest value of an added organ's gene for a slot at which that organ is built in the slot."""


@small
def trait(genome, row, gene):
    """Returns `genome[row, gene]` (`genome: int8[row, gene]`), shifted from -128 .. 127 to 0 .. 255."""
    return np.int64(genome[row, gene]) - GENE_MIN


@small
def organ_in_slot(genome, row, slot):
    """Returns the organ that the genome in `row` builds in `slot`: an index of `ORGANS`, or `NO_ORGAN`."""
    for added in range(len(ADDED_ORGAN_GENES)):
        if genome[row, ADDED_ORGAN_GENES[added] + slot] >= ADDED_ORGAN_MIN:
            return np.int64(FIRST_ORGANS_COUNT + added)
    code = (np.int64(genome[row, slot]) - GENE_MIN) % ORGAN_CODES
    return code if code < FIRST_ORGANS_COUNT else np.int64(NO_ORGAN)


def organs_in_slots(genomes: np.ndarray) -> np.ndarray:
    """Returns `organ_in_slot` of all slots of `genomes` (`int8[n, gene]`), `int64[n, slot]`."""
    codes = (genomes[:, :ORGAN_SLOTS].astype(np.int64) - GENE_MIN) % ORGAN_CODES
    organs = np.where(codes < FIRST_ORGANS_COUNT, codes, NO_ORGAN)
    for added, first in reversed(list(enumerate(ADDED_ORGAN_GENES.tolist()))):
        asked = genomes[:, first : first + ORGAN_SLOTS] >= ADDED_ORGAN_MIN
        organs = np.where(asked, FIRST_ORGANS_COUNT + added, organs)
    return organs


def set_organ(genome: np.ndarray, slot: int, name: str) -> None:
    """Sets the genes of `slot` in a `genome` (`int8[gene]`) so that it builds organ `name`, or none for "none"."""
    index = ORGANS.index(name) if name in ORGANS else NO_ORGAN
    code = index if 0 <= index < FIRST_ORGANS_COUNT else FIRST_ORGANS_COUNT
    genome[slot] = code + GENE_MIN + ORGAN_CODES * (GENE_VALUES // ORGAN_CODES // 2)
    for added, first in enumerate(ADDED_ORGAN_GENES.tolist(), FIRST_ORGANS_COUNT):
        genome[first + slot] = GENE_MAX if added == index else 0


@small
def mutate(genome, row, rate_65536, first_trait, last_trait, seed, tick, key):
    """Mutates the genome of a newborn in place: each gene changes with probability `rate_65536` / 65536.

    Most changes are small steps. The genes `first_trait` to `last_trait - 1` are traits; because there are few of them,
    they change four times as often and by steps twice as large. `key`, the newborn's id, is the key of the random
    numbers.
    """
    for gene in range(genome.shape[1]):
        is_trait = first_trait <= gene < last_trait
        drawn = draw(seed, tick, key, MUTATE, gene)
        if bits(drawn, ODDS_BITS) < (rate_65536 * TRAIT_RATE_FACTOR if is_trait else rate_65536):
            change = below((drawn & 0x7FFFFFFF) << 32, CHANGES)
            value = np.int64(genome[row, gene])
            if change < STEPS:
                # the difference of two random numbers: small steps are more frequent than large ones
                step = (change & STEP_MASK) - (change >> STEP_BITS)
                value += step * TRAIT_STEP_FACTOR if is_trait else step
            else:
                value = ((drawn >> VALUE_SHIFT) & (GENE_VALUES - 1)) + GENE_MIN
            genome[row, gene] = min(max(value, GENE_MIN), GENE_MAX)

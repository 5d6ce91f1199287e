"""What the genes of a genome mean, and how they mutate.

A genome is a row of `int8`. A plant's genome holds its traits, `PLANT_GENES`. A monster's genome holds, in this order:

    organ slots     one gene a slot: the organ that is built in it
    traits          `MONSTER_TRAITS`
    net weights     of each stimulus of version 1, of each memory unit, then of each drive: `MEMORY` genes each
    added genes     of each entry of `interface.ADDED`, in its order: `ORGAN_SLOTS` genes for an organ,
                    `MEMORY` weights for a stimulus

So an older genome is a shorter one with the same meaning: genes that were added after it are 0, which asks for no added
organ and ignores added stimuli. New plant traits go to the end of `PLANT_GENES`. A trait's gene is read as 0 to 255.
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
"""`birth_organs`: organs that a child is born with; `breed_reserve`: sugar kept back when breeding; `fangs`: from jaws
that grind leaves to jaws that tear flesh; `hue`, `shade`, `pattern` and `glow`: appearance only; `marker_*`: kinship
only."""

INPUTS = len(STIMULI)
OUTPUTS = len(DRIVES)
FIRST_TRAIT = ORGAN_SLOTS
FIRST_WEIGHT = ORGAN_SLOTS + len(MONSTER_TRAITS)
FIRST_RECURRENT = FIRST_WEIGHT + len(FIRST_STIMULI) * MEMORY
FIRST_OUTPUT = FIRST_RECURRENT + MEMORY * MEMORY
FIRST_ADDED = FIRST_OUTPUT + OUTPUTS * MEMORY
"""The first gene of what was added after version 1; the length of a monster's genome of version 1."""

_ADDED_GENES = {"organ": ORGAN_SLOTS, "stimulus": MEMORY}
MONSTER_LENGTHS = tuple(
    FIRST_ADDED + sum(_ADDED_GENES[kind] for kind, _ in ADDED[:count]) for count in range(len(ADDED) + 1)
)
"""The lengths of monsters' genomes of all versions, the present one last."""
PLANT_LENGTHS = (22,)
"""The lengths of plants' genomes of all versions, the present one last."""
MONSTER_GENES = MONSTER_LENGTHS[-1]


def _added_genes(kind: str) -> list[int]:
    """The first gene of each added organ, or of each added stimulus."""
    return [first for (of, _), first in zip(ADDED, MONSTER_LENGTHS, strict=False) if of == kind]


INPUT_NAMES = (*STIMULI, *(f"memory_{unit}" for unit in range(MEMORY)))
"""The inputs of the hidden units: the stimuli, and the activations of the units in the tick before."""
INPUT_GENES = np.array(
    [
        *range(FIRST_WEIGHT, FIRST_RECURRENT, MEMORY),
        *_added_genes("stimulus"),
        *range(FIRST_RECURRENT, FIRST_OUTPUT, MEMORY),
    ],
    np.int64,
)
"""The first of the `MEMORY` weights of each input, one for every hidden unit: `int64[input]`."""
DRIVE_GENES = np.arange(FIRST_OUTPUT, FIRST_ADDED, MEMORY)
"""The first of the `MEMORY` weights of each drive, one for every hidden unit: `int64[drive]`."""

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
"""Mutation rates are in 1/65536."""
TRAIT_RATE_FACTOR, TRAIT_STEP_FACTOR = 4, 2
STEP_BITS = 4
STEP_MASK = (1 << STEP_BITS) - 1
STEPS = 1 << 2 * STEP_BITS
"""Pairs of two dice of 16 sides; their difference is the step of a mutation, -15 to 15."""
CHANGES = STEPS + STEPS // 16
"""The ways in which a gene changes: by a step, or (one in 17) to a value drawn evenly."""
VALUE_SHIFT = 20

NO_ORGAN = -1
FIRST_ORGANS_COUNT = len(FIRST_ORGANS)
ORGAN_CODES = FIRST_ORGANS_COUNT + 1
"""The gene of a slot modulo this is the organ of version 1 that it asks for, or `FIRST_ORGANS_COUNT` for none.

Added organs do not change it, so that the genes of slots keep their meaning: they have genes of their own.
"""
ADDED_ORGAN_GENES = np.array(_added_genes("organ"), np.int64)
"""The first of the `ORGAN_SLOTS` genes of each added organ: `int64[organ]`."""
ADDED_ORGAN_MIN = 64
"""A slot asks for an added organ where the organ's gene for this slot is at least this."""


@small
def trait(genome, row, gene):
    """A gene read as 0 to 255."""
    return np.int64(genome[row, gene]) - GENE_MIN


@small
def organ_in_slot(genome, row, slot):
    """The organ that a slot asks for: an index of `ORGANS`, or `NO_ORGAN`."""
    for added in range(len(ADDED_ORGAN_GENES)):
        if genome[row, ADDED_ORGAN_GENES[added] + slot] >= ADDED_ORGAN_MIN:
            return np.int64(FIRST_ORGANS_COUNT + added)
    code = (np.int64(genome[row, slot]) - GENE_MIN) % ORGAN_CODES
    return code if code < FIRST_ORGANS_COUNT else np.int64(NO_ORGAN)


def organs_in_slots(genomes: np.ndarray) -> np.ndarray:
    """The organs that the slots of genomes (`int8[n, gene]`) ask for, as `organ_in_slot`: `int64[n, slot]`."""
    codes = (genomes[:, :ORGAN_SLOTS].astype(np.int64) - GENE_MIN) % ORGAN_CODES
    organs = np.where(codes < FIRST_ORGANS_COUNT, codes, NO_ORGAN)
    for added, first in reversed(list(enumerate(ADDED_ORGAN_GENES.tolist()))):
        asked = genomes[:, first : first + ORGAN_SLOTS] >= ADDED_ORGAN_MIN
        organs = np.where(asked, FIRST_ORGANS_COUNT + added, organs)
    return organs


def set_organ(genome: np.ndarray, slot: int, name: str) -> None:
    """Let a slot of a genome (`int8[gene]`) ask for an organ, or for none if `name` is "none"."""
    index = ORGANS.index(name) if name in ORGANS else NO_ORGAN
    code = index if 0 <= index < FIRST_ORGANS_COUNT else FIRST_ORGANS_COUNT
    genome[slot] = code + GENE_MIN + ORGAN_CODES * (GENE_VALUES // ORGAN_CODES // 2)
    for added, first in enumerate(ADDED_ORGAN_GENES.tolist(), FIRST_ORGANS_COUNT):
        genome[first + slot] = GENE_MAX if added == index else 0


@small
def mutate(genome, row, rate_65536, first_trait, last_trait, seed, tick, key):
    """Change each gene of a newborn with odds `rate_65536 : 65536`; `key` is its id, the key of its dice.

    Most changes are small steps. The genes from `first_trait` up to but not including `last_trait` are traits: there
    are few of them, so they change four times as often and by steps twice as large.
    """
    for gene in range(genome.shape[1]):
        is_trait = first_trait <= gene < last_trait
        drawn = draw(seed, tick, key, MUTATE, gene)
        if bits(drawn, ODDS_BITS) < (rate_65536 * TRAIT_RATE_FACTOR if is_trait else rate_65536):
            change = below((drawn & 0x7FFFFFFF) << 32, CHANGES)
            value = np.int64(genome[row, gene])
            if change < STEPS:
                # the difference of two dice: small steps are more frequent than large ones
                step = (change & STEP_MASK) - (change >> STEP_BITS)
                value += step * TRAIT_STEP_FACTOR if is_trait else step
            else:
                value = ((drawn >> VALUE_SHIFT) & (GENE_VALUES - 1)) + GENE_MIN
            genome[row, gene] = min(max(value, GENE_MIN), GENE_MAX)

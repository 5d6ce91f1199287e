"""Genes: what the bytes of a genome mean, and how they mutate.

A genome is a row of `int8`. A monster's holds the order of its organs, then traits, then the weights of its net; a
plant's holds traits alone. A trait's gene is read as 0 to 255.
"""

import numpy as np

from umwelt.agents.body.interface import DRIVES, MEMORY, ORGANS, STIMULI
from umwelt.sandbox.dice import below, bits, draw, purpose
from umwelt.sandbox.kernel import small

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
"""birth_organs: organs a child is born with; breed_reserve: sugar kept back when breeding; fangs: whether its jaws
grind leaves or tear flesh; hue, shade, pattern and glow are looks; the markers mean nothing but kinship."""

INPUTS = len(STIMULI)
OUTPUTS = len(DRIVES)
FIRST_TRAIT = ORGAN_SLOTS
FIRST_WEIGHT = ORGAN_SLOTS + len(MONSTER_TRAITS)
FIRST_RECURRENT = FIRST_WEIGHT + MEMORY * INPUTS
FIRST_OUTPUT = FIRST_RECURRENT + MEMORY * MEMORY
MONSTER_GENES = FIRST_OUTPUT + OUTPUTS * MEMORY

TRAIT = {name: FIRST_TRAIT + at for at, name in enumerate(MONSTER_TRAITS)}
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

MUTATE = purpose("genome.mutate")
TRAITS_OFTENER, TRAITS_FURTHER = 4, 2
ORGAN_CODES = len(ORGANS) + 1


@small
def trait(genome, row, at):
    """A gene read as 0 to 255."""
    return np.int64(genome[row, at]) + 128


@small
def organ_code(genome, row, slot):
    """Which organ a slot asks for: an index of `ORGANS`, or 8 for none."""
    return (np.int64(genome[row, slot]) + 128) % ORGAN_CODES


@small
def mutate(genome, row, rate_65536, first_trait, last_trait, seed, tick, key):
    """Change each gene of a newborn with odds `rate_65536 : 65536` by a small step; one in sixteen is drawn anew.

    Traits, few as they are among the genes, change four times as often and twice as far.
    """
    for gene in range(genome.shape[1]):
        is_trait = first_trait <= gene < last_trait
        drawn = draw(seed, tick, key, MUTATE, gene)
        if bits(drawn, 16) < (rate_65536 * TRAITS_OFTENER if is_trait else rate_65536):
            change = below((drawn & 0x7FFFFFFF) << 32, 272)
            value = np.int64(genome[row, gene])
            if change < 256:
                # two dice of 16 give steps between -15 and 15, the small ones oftener
                step = (change & 15) - (change >> 4)
                value += step * TRAITS_FURTHER if is_trait else step
            else:
                value = ((drawn >> 20) & 255) - 128
            genome[row, gene] = min(max(value, -128), 127)


def organ_gene(name: str) -> int:
    """The gene that asks for an organ ("none" for an empty slot)."""
    code = ORGANS.index(name) if name in ORGANS else len(ORGANS)
    return code - 128 + ORGAN_CODES * 14

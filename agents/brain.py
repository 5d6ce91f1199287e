"""The default behaviour: a small recurrent net of integers, its weights in the genome.

    hidden = clamp((W_in . stimuli + W_rec . memory) / 64);  drives = clamp((W_out . hidden) / 64);  memory = hidden

Weights are int8 (64 stands for 1.0), stimuli, memory and drives are 1/1024. It is the net of Elman ("Finding structure
in time", Cognitive Science 14, 1990) with a piecewise linear squashing.
"""

import numpy as np

from umwelt.agents.contract import DRIVES, MEMORY, STIMULI
from umwelt.agents.genome import (
    FIRST_OUTPUT,
    FIRST_RECURRENT,
    FIRST_WEIGHT,
    INPUTS,
    MONSTER_GENES,
    OUTPUTS,
)
from umwelt.sandbox.kernel import kernel, small
from umwelt.sandbox.units import ONE

WEIGHT_BITS = 6


@small
def squash(total):
    """Clamp to -1 .. 1."""
    return min(max(total >> WEIGHT_BITS, -ONE), ONE)


@kernel
def think(y_low, y_high, place, index, species, has_net, genome, stimuli, memory, drives):
    """Run the net of every being whose species has one (`has_net: int8[species]`)."""
    hidden = np.zeros(MEMORY, np.int64)
    for y in range(y_low, y_high):
        first = index.start[y * place.width + place.x_low]
        last = index.start[y * place.width + place.x_high]
        for k in range(first, last):
            row = index.rows[k]
            if has_net[species[row]] == 0:
                continue
            for h in range(MEMORY):
                total = np.int64(0)
                weight = FIRST_WEIGHT + h * INPUTS
                for i in range(INPUTS):
                    total += np.int64(genome[row, weight + i]) * stimuli[row, i]
                weight = FIRST_RECURRENT + h * MEMORY
                for i in range(MEMORY):
                    total += np.int64(genome[row, weight + i]) * memory[row, i]
                hidden[h] = squash(total)
            for o in range(OUTPUTS):
                total = np.int64(0)
                weight = FIRST_OUTPUT + o * MEMORY
                for h in range(MEMORY):
                    total += np.int64(genome[row, weight + h]) * hidden[h]
                drives[row, o] = squash(total)
            for h in range(MEMORY):
                memory[row, h] = hidden[h]


def wired(hidden: list[dict[str, int]], drives: dict[str, dict[int, int]]) -> np.ndarray:
    """A genome's weights from a wiring plan, `int8[genes]` with zeros before the weights.

    `hidden[h]` gives the weights of unit h by stimulus name (or `"memory_3"`), `drives[name]` those of a drive by unit.
    """
    genome = np.zeros(MONSTER_GENES, np.int64)
    for h, weights in enumerate(hidden):
        for name, weight in weights.items():
            if name.startswith("memory_"):
                genome[FIRST_RECURRENT + h * MEMORY + int(name.removeprefix("memory_"))] = weight
            else:
                genome[FIRST_WEIGHT + h * INPUTS + STIMULI.index(name)] = weight
    for name, by_unit in drives.items():
        for h, weight in by_unit.items():
            genome[FIRST_OUTPUT + DRIVES.index(name) * MEMORY + h] = weight
    return genome.clip(-128, 127).astype(np.int8)

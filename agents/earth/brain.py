"""The default behaviour: a small recurrent net of integers, its weights in the genome (by input, then by unit; the
last part by drive, then by unit).

    hidden = clamp((W_in . stimuli + W_rec . memory) / 64);  drives = clamp((W_out . hidden) / 64);  memory = hidden

Weights are int8 (64 stands for 1.0), stimuli, memory and drives are 1/1024. It is the net of Elman ("Finding structure
in time", Cognitive Science 14, 1990) with a piecewise linear squashing.
"""

import numpy as np

from umwelt.agents.body.genome import (
    FIRST_OUTPUT,
    FIRST_RECURRENT,
    FIRST_WEIGHT,
    INPUTS,
    MONSTER_GENES,
    OUTPUTS,
)
from umwelt.agents.body.interface import DRIVES, MEMORY, STIMULI
from umwelt.sandbox.kernel import kernel, small
from umwelt.sandbox.units import ONE

WEIGHT_BITS = 6


@small
def squash(total):
    """Clamp to -1 .. 1."""
    return np.int32(min(max(total >> WEIGHT_BITS, -ONE), ONE))


@small
def add(total, weight, value):
    """One more product in 32 bits, which hold the sum: at most 64 products below 2^17 each."""
    return np.int32(total + np.int32(weight) * value)


@kernel(allocates=True)
def think(y_low, y_high, place, index, species, has_net, genome, stimuli, memory, drives):
    """Run the net of every being whose species has one (`has_net: int8[species]`).

    The eight units are summed side by side, in eight numbers that stay in one register of the processor.
    """
    for y in range(y_low, y_high):
        first = index.start[y * place.width + place.x_low]
        last = index.start[y * place.width + place.x_high]
        for k in range(first, last):
            row = index.rows[k]
            if has_net[species[row]] == 0:
                continue
            w = genome[row]
            a = b = c = d = e = f = g = h = np.int32(0)
            for i in range(INPUTS + MEMORY):
                value = np.int32(stimuli[row, i]) if i < INPUTS else np.int32(memory[row, i - INPUTS])
                at = FIRST_WEIGHT + i * MEMORY
                a, b = add(a, w[at], value), add(b, w[at + 1], value)
                c, d = add(c, w[at + 2], value), add(d, w[at + 3], value)
                e, f = add(e, w[at + 4], value), add(f, w[at + 5], value)
                g, h = add(g, w[at + 6], value), add(h, w[at + 7], value)
            a, b, c, d = squash(a), squash(b), squash(c), squash(d)
            e, f, g, h = squash(e), squash(f), squash(g), squash(h)
            for o in range(OUTPUTS):
                at = FIRST_OUTPUT + o * MEMORY
                total = add(add(np.int32(w[at] * a), w[at + 1], b), w[at + 2], c)
                total = add(add(add(total, w[at + 3], d), w[at + 4], e), w[at + 5], f)
                drives[row, o] = squash(add(add(total, w[at + 6], g), w[at + 7], h))
            memory[row, 0], memory[row, 1], memory[row, 2], memory[row, 3] = a, b, c, d
            memory[row, 4], memory[row, 5], memory[row, 6], memory[row, 7] = e, f, g, h


def wired(hidden: list[dict[str, int]], drives: dict[str, dict[int, int]]) -> np.ndarray:
    """A genome's weights from a wiring plan, `int8[genes]` with zeros before the weights.

    `hidden[h]` gives the weights of unit h by stimulus name (or `"memory_3"`), `drives[name]` those of a drive by unit.
    """
    genome = np.zeros(MONSTER_GENES, np.int64)
    for h, weights in enumerate(hidden):
        for name, weight in weights.items():
            if name.startswith("memory_"):
                genome[FIRST_RECURRENT + int(name.removeprefix("memory_")) * MEMORY + h] = weight
            else:
                genome[FIRST_WEIGHT + STIMULI.index(name) * MEMORY + h] = weight
    for name, by_unit in drives.items():
        for h, weight in by_unit.items():
            genome[FIRST_OUTPUT + DRIVES.index(name) * MEMORY + h] = weight
    return genome.clip(-128, 127).astype(np.int8)

"""The default behaviour of monsters: a small recurrent net of integers whose weights are genes.

    hidden = clamp((W_in . stimuli + W_rec . memory) / 64);  drives = clamp((W_out . hidden) / 64);  memory = hidden

Weights are int8 (64 stands for 1.0); stimuli, memory and drives are in 1/1024. The net is Elman's ("Finding structure
in time", Cognitive Science 14, 1990) with a piecewise linear activation function. `body/genome.py` defines where the
genome holds the weights of each input and each drive.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from umwelt.agents.body.genome import (
    DRIVE_GENES,
    GENE_MAX,
    GENE_MIN,
    INPUT_GENES,
    INPUT_NAMES,
    INPUTS,
    MONSTER_GENES,
    OUTPUTS,
)
from umwelt.agents.body.interface import DRIVES, MEMORY
from umwelt.sandbox.kernel import kernel, small
from umwelt.sandbox.units import ONE

WEIGHT_BITS = 6
"""Fraction bits of a weight: 2^6 stands for 1.0."""


@small
def squash(total):
    """Scales a sum of products of weights and values to 1/1024 and clamps it to -1024 .. 1024."""
    return np.int32(min(max(total >> WEIGHT_BITS, -ONE), ONE))


@small
def add(total, weight, value):
    """Returns `total + weight * value` in 32 bits.

    Products are at most 2^17, so the sum over all inputs cannot overflow.
    """
    return np.int32(total + np.int32(weight) * value)


@kernel(allocates=True)
def think(y_low, y_high, place, index, species, has_net, genome, stimuli, memory, drives):
    """Writes `drives` and `memory` of every monster whose species has a net (`has_net: int8[species]`).

    `place` is a `Place` (sandbox/region.py) and `index` the `CellIndex` (sandbox/columns.py) of the table of monsters;
    the other arrays are its columns. The sums of the eight hidden units are accumulated together, so that they stay in
    one vector register.
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
                at = INPUT_GENES[i]
                a, b = add(a, w[at], value), add(b, w[at + 1], value)
                c, d = add(c, w[at + 2], value), add(d, w[at + 3], value)
                e, f = add(e, w[at + 4], value), add(f, w[at + 5], value)
                g, h = add(g, w[at + 6], value), add(h, w[at + 7], value)
            a, b, c, d = squash(a), squash(b), squash(c), squash(d)
            e, f, g, h = squash(e), squash(f), squash(g), squash(h)
            for o in range(OUTPUTS):
                at = DRIVE_GENES[o]
                total = add(add(np.int32(w[at] * a), w[at + 1], b), w[at + 2], c)
                total = add(add(add(total, w[at + 3], d), w[at + 4], e), w[at + 5], f)
                drives[row, o] = squash(add(add(total, w[at + 6], g), w[at + 7], h))
            memory[row, 0], memory[row, 1], memory[row, 2], memory[row, 3] = a, b, c, d
            memory[row, 4], memory[row, 5], memory[row, 6], memory[row, 7] = e, f, g, h


def wire(hidden: Sequence[Mapping[str, int]], drives: Mapping[str, Mapping[int, int]]) -> np.ndarray:
    """Returns a monster's genome, `int8[gene]`, with the given weights of the net; all other genes are 0.

    `hidden[unit]` maps names of inputs (of `INPUT_NAMES`) to the weights of a hidden unit. `drives[name]` maps numbers
    of hidden units to the weights of a drive. Weights are clipped to the range of int8.
    """
    genome = np.zeros(MONSTER_GENES, np.int64)
    for unit, weights in enumerate(hidden):
        for name, weight in weights.items():
            genome[INPUT_GENES[INPUT_NAMES.index(name)] + unit] = weight
    for name, by_unit in drives.items():
        for unit, weight in by_unit.items():
            genome[DRIVE_GENES[DRIVES.index(name)] + unit] = weight
    return genome.clip(GENE_MIN, GENE_MAX).astype(np.int8)

"""The law `spore`: in worlds with spores, makes seeds without parents at random, where a cell has the matter. Reach 0.

The reach is 0: a spore depends only on its own cell. A spore is a seed in the ground that is made from detritus and
sugar of its cell, in the amounts that a bud (a new part of a plant) gets. The law runs after `live` and skips cells
that hold a plant or seed; so a spore never has the id of a bud or seed that was born in the same cell and tick.
Probabilities are per cell and tick, in units of 2^-24.

In kernels, `place` is a `Place` (sandbox/region.py), `index` the `CellIndex` of the table of plants
(sandbox/columns.py), and `plants` its record (a named tuple of columns).
"""

import numpy as np

from umwelt.agents.body import genome
from umwelt.agents.body.interface import DETRITUS, PLANT_KIND, SEED_IN_GROUND, SUGAR, TISSUE
from umwelt.agents.earth import parameters
from umwelt.sandbox.columns import birth_id
from umwelt.sandbox.dice import bits, draw, purpose
from umwelt.sandbox.kernel import call, kernel
from umwelt.sandbox.region import Region
from umwelt.sandbox.units import RATE_BITS, SUBCELL, SUBCELL_BITS

SPORE = purpose("spore.close")
SPORES = ("spore.species", "spore.odds_q24", "spore.genome")
"""Names of the region's constants that describe spores; each has an entry for each group of founders with spores.

They hold the species index and the probability in 2^-24, both `int64[group]`, and the genome, `int8[group, gene]`.
"""


@kernel
def decide_spores(y_low, y_high, place, index, odds_q24, substance, group_from_1):
    """Writes in which cells a spore appears, and of which group, to `group_from_1: int16[height, width]`.

    An entry is 1 + the index of the group; the entries of cells in which no spore appears are left unchanged.
    """
    for y in range(y_low, y_high):
        for x in range(place.x_low, place.x_high):
            cell = y * place.width + x
            if index.start[cell] != index.start[cell + 1]:
                continue
            if (
                substance[DETRITUS, y, x] < parameters.BUD_TISSUE_COUNT
                or substance[SUGAR, y, x] < parameters.BUD_SUGAR_COUNT
            ):
                continue
            key = np.int64(place.y_global[y]) * place.world_width + place.x_global[x]
            for group in range(len(odds_q24)):
                if bits(draw(place.seed, place.tick, key, SPORE, group), RATE_BITS) < odds_q24[group]:
                    group_from_1[y, x] = group + 1
                    break


@kernel
def make_spores(place, ys, xs, group_from_1, species, genomes, first, plants, substance):
    """Fills rows `first`, `first + 1`, ... of `plants` with spores in the cells `ys, xs`, made of the cells' matter.

    `group_from_1` is the array that `decide_spores` writes; `species` and `genomes` have an entry for each group.
    """
    for i in range(len(ys)):
        y, x, row = ys[i], xs[i], first + i
        group = group_from_1[y, x] - 1
        cell = np.int64(place.y_global[y]) * place.world_width + place.x_global[x]
        plants.id[row] = birth_id(PLANT_KIND, place.tick + 1, cell)
        plants.species[row] = species[group]
        for gene in range(genomes.shape[1]):
            plants.genome[row, gene] = genomes[group, gene]
        rate = genome.trait(plants.genome, row, genome.P_MUTATION) << parameters.MUTATION_SHIFT
        genome.mutate(plants.genome, row, rate, 0, genomes.shape[1], place.seed, place.tick, plants.id[row])
        plants.stage[row] = SEED_IN_GROUND
        plants.y_fixed[row] = (y << SUBCELL_BITS) + SUBCELL // 2
        plants.x_fixed[row] = (x << SUBCELL_BITS) + SUBCELL // 2
        plants.counts[row, TISSUE] = parameters.BUD_TISSUE_COUNT
        plants.counts[row, SUGAR] = parameters.BUD_SUGAR_COUNT
        substance[DETRITUS, y, x] -= parameters.BUD_TISSUE_COUNT
        substance[SUGAR, y, x] -= parameters.BUD_SUGAR_COUNT


def spore(region: Region) -> None:
    """Adds the spores of a tick to the table of plants; does nothing in a world without spores."""
    if SPORES[0] not in region.constants:
        return
    species, odds_q24, genomes = (region.constants[name] for name in SPORES)
    plants, substance = region.tables["plants"], region.fields["substance"]
    group_from_1 = np.zeros((region.window.height, region.window.width), np.int16)
    region.run(decide_spores, region.index("plants"), odds_q24, substance, group_from_1)
    ys, xs = np.nonzero(group_from_1)
    new = plants.append(len(ys))
    call(make_spores, region.place(), ys, xs, group_from_1, species, genomes, new.start, plants.record(), substance)
    region.record_births("plants", new)
    region.reindex("plants")

"""The law `spore`: in worlds with spores, seeds appear without a parent, by chance, where there is matter. Reach 0.

A spore is made of the detritus and sugar of its cell, as much as a bud gets: the reverse of death. The law follows
`live`, and a cell with any plant or seed in it makes no spore, so no spore gets the id of a bud or seed that is born in
the same cell and tick. The odds are per cell and tick, in 2^-24.
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
"""The constants of a world with spores, with an entry for each group of founders that has them: the species index and
the odds, `int64[group]`, and the genome, `int8[group, gene]`."""


@kernel
def decide_spores(y_low, y_high, place, index, odds_q24, substance, group_from_1):
    """Write the group whose spore appears in each cell, counted from 1, `group_from_1: int16[height, width]`."""
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
    """Fill the rows of new spores, from row `first` on; their matter comes from their cells `ys`, `xs`."""
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
    """Make spores where dice and matter allow, in a world with spores."""
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

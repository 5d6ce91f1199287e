"""Spores: in worlds that have them, a membrane closes by chance round matter that is there: a seed lies in the ground.

It is death run backwards: a spore is made of the detritus and sugar of its cell, as much as a bud gets, and nobody bore
it. Reach 0. This comes after `live`, and a cell with any plant or seed in it makes none: so a spore never has the id of
a bud or seed born in the same cell and tick.
"""

import numpy as np

from umwelt.agents.body import genome
from umwelt.agents.body.interface import DETRITUS, PLANT_KIND, SEED_IN_GROUND, SUGAR, TISSUE
from umwelt.agents.earth import parameters
from umwelt.sandbox.columns import birth_id
from umwelt.sandbox.dice import bits, draw, purpose
from umwelt.sandbox.kernel import call, kernel
from umwelt.sandbox.region import Region
from umwelt.sandbox.units import RATE_BITS

SPORE = purpose("spore.close")
SPORES = ("spore.species", "spore.odds_q24", "spore.genome")
"""The constants of a world with spores, an entry for each group of founders that has them: `int64[group]` twice, and
`int8[group, gene]`."""


@kernel
def decide_spores(y_low, y_high, place, index, odds_q24, substance, closing):
    """Write `closing: int16[height, width]`, the group whose spore comes to be in a cell, counted from 1."""
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
                    closing[y, x] = group + 1
                    break


@kernel
def close_membranes(place, ys, xs, closing, species, genomes, first, plants, substance):
    """Make the spores; their matter comes from their cells."""
    for i in range(len(ys)):
        y, x, row = ys[i], xs[i], first + i
        group = closing[y, x] - 1
        cell = np.int64(place.y_global[y]) * place.world_width + place.x_global[x]
        plants.id[row] = birth_id(PLANT_KIND, place.tick + 1, cell)
        plants.species[row] = species[group]
        for gene in range(genomes.shape[1]):
            plants.genome[row, gene] = genomes[group, gene]
        rate = genome.trait(plants.genome, row, genome.P_MUTATION) << 3
        genome.mutate(plants.genome, row, rate, 0, genomes.shape[1], place.seed, place.tick, plants.id[row])
        plants.stage[row] = SEED_IN_GROUND
        plants.y_fixed[row] = (y << 10) + 512
        plants.x_fixed[row] = (x << 10) + 512
        plants.counts[row, TISSUE] = parameters.BUD_TISSUE_COUNT
        plants.counts[row, SUGAR] = parameters.BUD_SUGAR_COUNT
        substance[DETRITUS, y, x] -= parameters.BUD_TISSUE_COUNT
        substance[SUGAR, y, x] -= parameters.BUD_SUGAR_COUNT


def spore(region: Region) -> None:
    """Close membranes where dice and matter allow, in a world that has spores."""
    if SPORES[0] not in region.constants:
        return
    species, odds_q24, genomes = (region.constants[name] for name in SPORES)
    plants, substance = region.tables["plants"], region.fields["substance"]
    closing = np.zeros((region.window.height, region.window.width), np.int16)
    region.run(decide_spores, region.index("plants"), odds_q24, substance, closing)
    ys, xs = np.nonzero(closing)
    new = plants.append(len(ys))
    call(close_membranes, region.place(), ys, xs, closing, species, genomes, new.start, plants.record(), substance)
    region.record_births("plants", new)
    region.reindex("plants")

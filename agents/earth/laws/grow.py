"""The law `grow`: modules exchange matter along stems, seeds sprout, monsters build or lose organs. Reach 1.

A module is the part of a plant in one cell. A stem connects a module to the module that budded from it; matter flows
along it in proportion to the difference between its ends, as in diffusion. The law also sets the catalysts of beings
for the reactions of the next tick, in 1/64 molecule a tick. The reach is the distance in cells up to which a result
depends on other cells and beings.

In kernels, `place` is a `Place` (sandbox/region.py), `plants` and `monsters` are the records (named tuples of columns)
of the tables, and `index` is the `CellIndex` of a table (sandbox/columns.py).
"""

import numpy as np

from umwelt.agents.body import genome
from umwelt.agents.body.interface import (
    BUILDER,
    GROW,
    GUT,
    GUT_CATALYST,
    HUNGER,
    LEAF,
    MINERAL,
    MODULE,
    MUSCLE,
    SEED_IN_GROUND,
    SUGAR,
    TISSUE,
    WATER,
)
from umwelt.agents.earth import parameters
from umwelt.agents.earth.laws.geometry import DIRECTIONS, opposite, step_x, step_y, within
from umwelt.sandbox.dice import bits, draw, purpose
from umwelt.sandbox.kernel import kernel, small
from umwelt.sandbox.laws.weather import ENVIRONMENT, WARMTH
from umwelt.sandbox.region import Region
from umwelt.sandbox.units import ONE_BITS, SUBCELL, SUBCELL_BITS

SPROUT = purpose("grow.sprout")

SHARED = (SUGAR, WATER, MINERAL)
"""The substances that flow along stems."""

CONDUCTANCE_BITS = 8
STEM_FLOW_SHIFT = 4 + CONDUCTANCE_BITS
"""Right shift from difference times conductance to the flow in a tick: 1/16 of the difference at conductance 256."""
SPROUT_FIRST, SPROUT_NOW = 0, 1
"""Indices of the random numbers of the purpose `SPROUT`: the priority of a seed, and whether it sprouts this tick."""


@small
def stem_flow(own, other, conductance):
    """Returns the molecules that a module with `own` molecules gains along a stem to one with `other`; negative: loses.

    The flow is 1/16 of the difference times `conductance` / 256. Swapping `own` and `other` negates it exactly, so both
    ends can compute it separately.
    """
    if other > own:
        return ((other - own) * conductance) >> STEM_FLOW_SHIFT
    return -(((own - other) * conductance) >> STEM_FLOW_SHIFT)


@small
def conductance_of(plants, child):
    """Returns the conductance of a stem, 1 to 256, from the gene `share` of the younger of its modules, row `child`."""
    return 1 + genome.trait(plants.genome, child, genome.P_SHARE)


@kernel
def find_stem_flows(y_low, y_high, place, index, plants, inflow):
    """Writes what each module gains along its stems (negative: loses) of each of `SHARED`, `inflow: int32[row, 3]`."""
    for y in range(y_low, y_high):
        first = index.start[y * place.width + place.x_low]
        last = index.start[y * place.width + place.x_high]
        for k in range(first, last):
            row = np.int64(index.rows[k])
            for i in range(len(SHARED)):
                inflow[row, i] = 0
            if plants.stage[row] != MODULE:
                continue
            x = plants.x_fixed[row] >> SUBCELL_BITS
            for direction in range(DIRECTIONS):
                ny, nx = y + step_y(direction), x + step_x(direction)
                if not within(place, ny, nx):
                    continue
                cell = ny * place.width + nx
                for j in range(index.start[cell], index.start[cell + 1]):
                    other = np.int64(index.rows[j])
                    if plants.stage[other] != MODULE:
                        continue
                    is_stem = plants.stem_direction[row] == direction + 1 and plants.stem_id[row] == plants.id[other]
                    # the neighbour budded from this module
                    is_child = (
                        plants.stem_direction[other] == opposite(direction) + 1
                        and plants.stem_id[other] == plants.id[row]
                    )
                    if not (is_stem or is_child):
                        continue
                    conductance = conductance_of(plants, row if is_stem else other)
                    for i in range(len(SHARED)):
                        s = SHARED[i]
                        inflow[row, i] += stem_flow(
                            np.int64(plants.counts[row, s]), np.int64(plants.counts[other, s]), conductance
                        )


@kernel
def grow_plants(y_low, y_high, place, index, plants, inflow, environment):
    """Adds `inflow` to the modules and sets their catalysts; sprouts seeds in cells without modules.

    `inflow` is the array that `find_stem_flows` writes, and `environment` that of the law `weather`.
    """
    for y in range(y_low, y_high):
        for x in range(place.x_low, place.x_high):
            cell = y * place.width + x
            first, last = index.start[cell], index.start[cell + 1]
            if first == last:
                continue
            modules = np.int64(0)
            for k in range(first, last):
                row = index.rows[k]
                if plants.stage[row] == MODULE:
                    modules += 1
                    for i in range(len(SHARED)):
                        plants.counts[row, SHARED[i]] += inflow[row, i]
                    set_plant_catalysts(plants, row, np.int64(environment[WARMTH, y, x]))
            if modules == 0:
                sprout(place, index, plants, cell)


@small
def set_plant_catalysts(plants, row, warmth):
    """Sets the catalysts of a module: photosynthesis, upkeep, growth and starvation. `warmth` is that of its cell."""
    tissue, sugar = np.int64(plants.counts[row, TISSUE]), np.int64(plants.counts[row, SUGAR])
    leaf_gene = parameters.LEAF_BASE + genome.trait(plants.genome, row, genome.P_LEAF)
    area = min(tissue, parameters.LEAF_FULL_COUNT) * parameters.LEAF_64_PER_TISSUE * leaf_gene
    leaf = ((area >> parameters.TRAIT_BITS) * plants.lit[row]) >> ONE_BITS
    if sugar >= parameters.PLANT_SUGAR_MAX_COUNT:
        leaf = np.int64(0)
    leaf = (leaf * min(warmth, parameters.LEAF_WARMTH_MAX)) >> ONE_BITS
    plants.catalysts[row, LEAF] = min(leaf, parameters.CATALYST_MAX_64)
    costs = (
        leaf_gene + genome.trait(plants.genome, row, genome.P_ROOT) + genome.trait(plants.genome, row, genome.P_THORN)
    )
    costs += genome.trait(plants.genome, row, genome.P_HEIGHT) >> 1
    costs = tissue * parameters.PLANT_UPKEEP_64_PER_TISSUE * costs
    upkeep = parameters.PLANT_UPKEEP_MIN_64 + (costs >> parameters.TRAIT_BITS)
    plants.catalysts[row, MUSCLE] = min(upkeep, parameters.CATALYST_MAX_64)
    plants.catalysts[row, BUILDER] = parameters.PLANT_BUILDER_64 if sugar > parameters.PLANT_SUGAR_KEPT_COUNT else 0
    plants.catalysts[row, HUNGER] = parameters.PLANT_STARVING_64 if sugar == 0 else 0


@small
def sprout(place, index, plants, cell):
    """Turns a seed of a cell without modules into a module, with probability 2^-`SPROUT_ODDS_BITS`.

    Seeds younger than their gene `seed_wait` are skipped. The others compete: the seed with the largest random number
    is selected, and the smallest id breaks ties.
    """
    best, best_draw = np.int64(-1), np.int64(-1)
    for k in range(index.start[cell], index.start[cell + 1]):
        row = np.int64(index.rows[k])
        if plants.stage[row] != SEED_IN_GROUND or plants.age_ticks[row] < genome.trait(
            plants.genome, row, genome.P_SEED_WAIT
        ):
            continue
        drawn = draw(place.seed, place.tick, plants.id[row], SPROUT, SPROUT_FIRST)
        if drawn > best_draw or (drawn == best_draw and plants.id[row] < plants.id[best]):
            best, best_draw = row, drawn
    if best < 0:
        return
    if bits(draw(place.seed, place.tick, plants.id[best], SPROUT, SPROUT_NOW), parameters.SPROUT_ODDS_BITS) == 0:
        plants.stage[best] = MODULE
        plants.y_fixed[best] = (plants.y_fixed[best] & ~(SUBCELL - 1)) + SUBCELL // 2
        plants.x_fixed[best] = (plants.x_fixed[best] & ~(SUBCELL - 1)) + SUBCELL // 2


@kernel
def grow_monsters(y_low, y_high, place, index, monsters):
    """Adds or removes at most one organ of each monster, as its tissue allows, and sets its catalysts."""
    for y in range(y_low, y_high):
        first = index.start[y * place.width + place.x_low]
        last = index.start[y * place.width + place.x_high]
        for k in range(first, last):
            row = index.rows[k]
            tissue, built = np.int64(monsters.counts[row, TISSUE]), np.int64(monsters.organs_built[row])
            if (
                tissue >= parameters.CORE_TISSUE_COUNT + (built + 1) * parameters.ORGAN_TISSUE_COUNT
                and built < genome.ORGAN_SLOTS
            ):
                organ = genome.organ_in_slot(monsters.genome, row, built)
                if organ != genome.NO_ORGAN:
                    monsters.organs[row, organ] += 1
                monsters.organs_built[row] = built + 1
            elif tissue < parameters.CORE_TISSUE_COUNT + (built - 1) * parameters.ORGAN_TISSUE_COUNT and built > 0:
                organ = genome.organ_in_slot(monsters.genome, row, built - 1)
                if organ != genome.NO_ORGAN:
                    monsters.organs[row, organ] -= 1
                monsters.organs_built[row] = built - 1
            sugar = np.int64(monsters.counts[row, SUGAR])
            grows = max(np.int64(0), np.int64(monsters.drives[row, GROW]))
            monsters.catalysts[row, BUILDER] = (grows * parameters.BUILDER_64) >> ONE_BITS
            monsters.catalysts[row, HUNGER] = parameters.STARVING_64 if sugar == 0 else 0
            fangs = genome.trait(monsters.genome, row, genome.FANGS)
            quick = (fangs * parameters.DIGEST_64_PER_8_FANGS) >> parameters.EIGHTH_SHIFT
            guts = np.int64(monsters.organs[row, GUT])
            monsters.catalysts[row, GUT_CATALYST] = (
                parameters.DIGEST_BASE_64 + parameters.DIGEST_64_PER_GUT * guts + quick
            )


def grow(region: Region) -> None:
    """Moves matter along stems, sprouts seeds, and builds organs."""
    plants, monsters = region.tables["plants"], region.tables["monsters"]
    inflow = np.empty((plants.count, len(SHARED)), np.int32)
    environment = region.scratch("environment", "int16", len(ENVIRONMENT))
    region.run(find_stem_flows, region.index("plants"), plants.record(), inflow)
    region.run(grow_plants, region.index("plants"), plants.record(), inflow, environment)
    region.run(grow_monsters, region.index("monsters"), monsters.record())

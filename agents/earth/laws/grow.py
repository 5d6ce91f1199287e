"""Grow: modules share along their stems, seeds sprout, monsters build organs.

Reach 1: a module reads its neighbours.
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
from umwelt.agents.earth.laws.geometry import step_x, step_y, within
from umwelt.sandbox.dice import bits, draw, purpose
from umwelt.sandbox.kernel import kernel, small
from umwelt.sandbox.laws.weather import WARMTH
from umwelt.sandbox.region import Region

SPROUT = purpose("grow.sprout")

SHARED = (SUGAR, WATER, MINERAL)
"""What flows along stems."""


@small
def stem_flow(mine, theirs, conductance):
    """What comes to me along a stem: a sixteenth of the difference, times the stem's conductance in 1/256."""
    if theirs > mine:
        return ((theirs - mine) * conductance) >> 12
    return -(((mine - theirs) * conductance) >> 12)


@small
def conductance_of(plants, child):
    """A stem conducts as its child's genes say, 1 to 256."""
    return 1 + genome.trait(plants.genome, child, genome.P_SHARE)


@kernel
def find_stem_flows(y_low, y_high, place, index, plants, inflow):
    """Write what each module gains or loses along its stems, `inflow: int32[row, 3]`."""
    for y in range(y_low, y_high):
        first = index.start[y * place.width + place.x_low]
        last = index.start[y * place.width + place.x_high]
        for k in range(first, last):
            row = np.int64(index.rows[k])
            for i in range(len(SHARED)):
                inflow[row, i] = 0
            if plants.stage[row] != MODULE:
                continue
            x = plants.x_fixed[row] >> 10
            for direction in range(8):
                ny, nx = y + step_y(direction), x + step_x(direction)
                if not within(place, ny, nx):
                    continue
                cell = ny * place.width + nx
                for j in range(index.start[cell], index.start[cell + 1]):
                    other = np.int64(index.rows[j])
                    if plants.stage[other] != MODULE:
                        continue
                    is_stem = plants.stem_direction[row] == direction + 1 and plants.stem_id[row] == plants.id[other]
                    # the neighbour's stem points back at me from the opposite side
                    is_child = (
                        plants.stem_direction[other] == ((direction + 4) & 7) + 1
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
    """Take in what the stems bring, sprout seeds, and set the body's catalysts for the next reactions."""
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
    """Leaf, upkeep, growth and starvation of a module."""
    tissue, sugar = np.int64(plants.counts[row, TISSUE]), np.int64(plants.counts[row, SUGAR])
    leaf_gene = 128 + genome.trait(plants.genome, row, genome.P_LEAF)
    leaf = min(tissue, parameters.LEAF_FULL_COUNT) * parameters.LEAF_64_PER_TISSUE * leaf_gene >> 8
    leaf = (leaf * plants.lit[row]) >> 10
    if sugar >= parameters.PLANT_SUGAR_MAX_COUNT:
        leaf = np.int64(0)
    plants.catalysts[row, LEAF] = min((leaf * min(warmth, 2048)) >> 10, 16384)
    costs = (
        leaf_gene + genome.trait(plants.genome, row, genome.P_ROOT) + genome.trait(plants.genome, row, genome.P_THORN)
    )
    costs += genome.trait(plants.genome, row, genome.P_HEIGHT) >> 1
    upkeep = parameters.PLANT_UPKEEP_MIN_64 + ((tissue * parameters.PLANT_UPKEEP_64_PER_TISSUE * costs) >> 8)
    plants.catalysts[row, MUSCLE] = min(upkeep, 16384)
    plants.catalysts[row, BUILDER] = parameters.PLANT_BUILDER_64 if sugar > parameters.PLANT_SUGAR_KEPT_COUNT else 0
    plants.catalysts[row, HUNGER] = parameters.PLANT_STARVING_64 if sugar == 0 else 0


@small
def sprout(place, index, plants, cell):
    """One seed of a cell without a module may sprout: the one with the largest draw, then the smaller id."""
    best, best_draw = np.int64(-1), np.int64(-1)
    for k in range(index.start[cell], index.start[cell + 1]):
        row = np.int64(index.rows[k])
        if plants.stage[row] != SEED_IN_GROUND or plants.age_ticks[row] < genome.trait(
            plants.genome, row, genome.P_SEED_WAIT
        ):
            continue
        drawn = draw(place.seed, place.tick, plants.id[row], SPROUT, 0)
        if drawn > best_draw or (drawn == best_draw and plants.id[row] < plants.id[best]):
            best, best_draw = row, drawn
    if best >= 0 and bits(draw(place.seed, place.tick, plants.id[best], SPROUT, 1), 4) == 0:
        plants.stage[best] = MODULE
        plants.y_fixed[best] = (plants.y_fixed[best] & ~1023) + 512
        plants.x_fixed[best] = (plants.x_fixed[best] & ~1023) + 512


@kernel
def grow_monsters(y_low, y_high, place, index, monsters, organ_counts):
    """Build or lose an organ as tissue allows, and set the catalysts for the next reactions."""
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
                code = genome.organ_code(monsters.genome, row, built)
                if code < organ_counts:
                    monsters.organs[row, code] += 1
                monsters.organs_built[row] = built + 1
            elif tissue < parameters.CORE_TISSUE_COUNT + (built - 1) * parameters.ORGAN_TISSUE_COUNT and built > 0:
                code = genome.organ_code(monsters.genome, row, built - 1)
                if code < organ_counts:
                    monsters.organs[row, code] -= 1
                monsters.organs_built[row] = built - 1
            sugar = np.int64(monsters.counts[row, SUGAR])
            grows = max(np.int64(0), np.int64(monsters.drives[row, GROW]))
            monsters.catalysts[row, BUILDER] = (grows * parameters.BUILDER_64) >> 10
            monsters.catalysts[row, HUNGER] = parameters.STARVING_64 if sugar == 0 else 0
            quick = (genome.trait(monsters.genome, row, genome.FANGS) * parameters.DIGEST_64_PER_8_FANGS) >> 3
            guts = np.int64(monsters.organs[row, GUT])
            monsters.catalysts[row, GUT_CATALYST] = (
                parameters.DIGEST_BASE_64 + parameters.DIGEST_64_PER_GUT * guts + quick
            )


def grow(region: Region) -> None:
    """Share, sprout and build."""
    plants, monsters = region.tables["plants"], region.tables["monsters"]
    inflow = np.empty((plants.count, len(SHARED)), np.int32)
    environment = region.scratch("environment", "int16", 4)
    region.run(find_stem_flows, region.index("plants"), plants.record(), inflow)
    region.run(grow_plants, region.index("plants"), plants.record(), inflow, environment)
    region.run(grow_monsters, region.index("monsters"), monsters.record(), monsters["organs"].shape[1])

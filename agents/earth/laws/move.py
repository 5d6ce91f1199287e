"""The law `move`: turns and moves monsters, and moves seeds with the wind, by at most one cell a tick. Reach 1.

Deep water is a barrier: a monster never moves into it from shallow water or land, nor from deep into deeper water, and
a seed over it lands soon. The reach is the distance in cells up to which a result depends on other cells and beings.
Positions are in 1/1024 cell, speeds in 1/1024 cell a tick, headings in 1/65536 turn, drives and fatigue in 1/1024.

In kernels, `place` is a `Place` (sandbox/region.py), `plants` and `monsters` are the records (named tuples of columns)
of the tables, and `index` is the `CellIndex` of a table (sandbox/columns.py).
"""

import numpy as np

from umwelt.agents.body import genome
from umwelt.agents.body.interface import (
    BLINK,
    LEG,
    MUSCLE,
    REST,
    SEED_ALOFT,
    SEED_IN_GROUND,
    THRUST,
    TISSUE,
    TURN_DRIVE,
)
from umwelt.agents.earth import parameters
from umwelt.agents.earth.laws.geometry import along, cosine, sine
from umwelt.sandbox.dice import bits, draw, purpose
from umwelt.sandbox.kernel import kernel, small
from umwelt.sandbox.laws.weather import DRYNESS, ENVIRONMENT, Sky
from umwelt.sandbox.region import Region
from umwelt.sandbox.units import ONE, ONE_BITS, SUBCELL, SUBCELL_BITS, TURN

STUMBLE = purpose("move.stumble")
DRIFT = purpose("move.drift")
LAND = purpose("move.land")

LAND_BITS, SINK_BITS = 4, 1
"""Probabilities that a seed aloft lands in a tick, as negative powers of 2.

They are 2^-`LAND_BITS` over ground after the minimum flight time, and 2^-`SINK_BITS` over deep water at any age.
"""
STAGGER_BITS = ONE_BITS + 1
"""Number of bits of the random number for the random part of a turn, -1 to 1 in units of 1/1024."""
GUST_BITS = 10
GUST_MASK = (1 << GUST_BITS) - 1
"""Mask of a gust. Two gusts, along y and x, are taken from one random number; each is -512 to 511 (1024: full wind)."""
FLIGHT_SHIFT = 18
"""Right shift that removes the scales of wind (1/1024) and lightness (1/256) from a product with a distance."""


@small
def organs_of(monsters, row):
    """Returns the number of organs of the monster in `row`."""
    total = np.int64(0)
    for organ in range(monsters.organs.shape[1]):
        total += monsters.organs[row, organ]
    return total


@small
def tire(monsters, row, tick, thrust, asleep):
    """Updates the fatigue of a monster: sleep lowers it; wakefulness raises it, faster with more `thrust`."""
    fatigue = np.int64(monsters.fatigue[row])
    if asleep:
        fatigue -= parameters.REST_RECOVERS
    else:
        fatigue += (thrust * parameters.TIRED_BY_THRUST + ONE // 2) >> ONE_BITS
        if tick % parameters.TIRED_AWAKE_EVERY == 0:
            fatigue += 1
    monsters.fatigue[row] = min(max(fatigue, 0), ONE)


@small
def dry_eyes(monsters, row, dryness, asleep):
    """Updates `eyes_shut` and the dryness of the eyes: shut eyes have dryness 0, open eyes dry faster in dry air."""
    shut = asleep or monsters.drives[row, BLINK] > 0
    monsters.eyes_shut[row] = 1 if shut else 0
    if shut:
        monsters.dryness[row] = 0
    else:
        monsters.dryness[row] = min(ONE, monsters.dryness[row] + 1 + ((dryness * parameters.EYE_DRIES) >> ONE_BITS))


@small
def is_deep(water, y, x):
    """Returns whether the cell `y, x` holds deep water: more than `DROWNING_COUNT` molecules."""
    return water[y, x] > parameters.DROWNING_COUNT


@kernel
def move_monsters(y_low, y_high, place, index, monsters, sine_table, environment, water):
    """Turns and moves every monster; updates its fatigue, its eyes and the catalyst of its muscles.

    A monster in deep water, for example after a flood, can move only into water that is not deeper.
    """
    for y in range(y_low, y_high):
        first = index.start[y * place.width + place.x_low]
        last = index.start[y * place.width + place.x_high]
        for k in range(first, last):
            row = index.rows[k]
            x = monsters.x_fixed[row] >> SUBCELL_BITS
            asleep = monsters.drives[row, REST] > parameters.REST_THRESHOLD
            monsters.asleep[row] = 1 if asleep else 0
            thrust = np.int64(0) if asleep else max(np.int64(0), np.int64(monsters.drives[row, THRUST]))
            fatigue = np.int64(monsters.fatigue[row])
            if not asleep:
                stagger = bits(draw(place.seed, place.tick, monsters.id[row], STUMBLE, 0), STAGGER_BITS) - ONE
                stagger = (stagger * (parameters.STAGGER_BASE + fatigue)) >> ONE_BITS
                turn = ((monsters.drives[row, TURN_DRIVE] + stagger) * parameters.TURN_MAX) >> ONE_BITS
                monsters.heading[row] = (monsters.heading[row] + turn) & (TURN - 1)
            tissue = np.int64(monsters.counts[row, TISSUE])
            legs = np.int64(monsters.organs[row, LEG])
            power = (parameters.SPEED_BASE_FIXED + parameters.SPEED_PER_LEG_FIXED * legs) * parameters.SPEED_FACTOR
            fastest = power // (parameters.SPEED_TISSUE_COUNT + tissue)
            vigour = ONE - (fatigue >> 1)
            speed = (min(fastest, parameters.SPEED_MAX_FIXED) * thrust * vigour) >> (2 * ONE_BITS)
            monsters.speed_fixed[row] = speed
            heading = np.int64(monsters.heading[row])
            y_fixed = monsters.y_fixed[row] + along(sine(sine_table, heading), speed)
            x_fixed = monsters.x_fixed[row] + along(cosine(sine_table, heading), speed)
            new_y, new_x = y_fixed >> SUBCELL_BITS, x_fixed >> SUBCELL_BITS
            if is_deep(water, new_y, new_x) and (not is_deep(water, y, x) or water[new_y, new_x] > water[y, x]):
                monsters.speed_fixed[row] = 0
            else:
                monsters.y_fixed[row] = y_fixed
                monsters.x_fixed[row] = x_fixed
            basal = (tissue * parameters.BASAL_64_PER_8_TISSUE) >> parameters.EIGHTH_SHIFT
            basal += parameters.ORGAN_64 * organs_of(monsters, row) + parameters.LEG_64 * legs
            if asleep:
                basal >>= 1
            muscle = basal + ((thrust * parameters.MOVE_64) >> ONE_BITS)
            monsters.catalysts[row, MUSCLE] = min(muscle, parameters.CATALYST_MAX_64)
            tire(monsters, row, place.tick, thrust, asleep)
            dry_eyes(monsters, row, np.int64(environment[DRYNESS, y, x]), asleep)


@kernel
def drift_seeds(y_low, y_high, place, index, plants, wind_x, wind_y, water):
    """Moves seeds aloft by wind and random gusts, and lands some of them."""
    for y in range(y_low, y_high):
        first = index.start[y * place.width + place.x_low]
        last = index.start[y * place.width + place.x_high]
        for k in range(first, last):
            row = index.rows[k]
            if plants.stage[row] != SEED_ALOFT:
                continue
            x = plants.x_fixed[row] >> SUBCELL_BITS
            light = parameters.SEED_LIGHTNESS_BASE + (genome.trait(plants.genome, row, genome.P_SEED_LIGHTNESS) >> 1)
            gust = draw(place.seed, place.tick, plants.id[row], DRIFT, 0)
            gust_y = (gust & GUST_MASK) - ONE // 2
            gust_x = ((gust >> GUST_BITS) & GUST_MASK) - ONE // 2
            dy = ((wind_y[x] + gust_y) * light * parameters.SEED_FLIGHT_FIXED) >> FLIGHT_SHIFT
            dx = ((wind_x[y] + gust_x) * light * parameters.SEED_FLIGHT_FIXED) >> FLIGHT_SHIFT
            plants.y_fixed[row] += min(max(dy, -SUBCELL), SUBCELL)
            plants.x_fixed[row] += min(max(dx, -SUBCELL), SUBCELL)
            sinks = is_deep(water, y, x)
            if sinks or plants.age_ticks[row] >= parameters.SEED_ALOFT_MIN_TICKS:
                if bits(draw(place.seed, place.tick, plants.id[row], LAND, 0), SINK_BITS if sinks else LAND_BITS) == 0:
                    plants.stage[row] = SEED_IN_GROUND


def move(region: Region) -> None:
    """Moves monsters and seeds, then rebuilds the indices of beings by cell."""
    sky: Sky = region.derived["sky"]  # type: ignore[assignment]
    plants, monsters = region.tables["plants"], region.tables["monsters"]
    environment = region.scratch("environment", "int16", len(ENVIRONMENT))
    sine_table, water = region.constants["sine"], region["water"]
    region.run(move_monsters, region.index("monsters"), monsters.record(), sine_table, environment, water, grown=1)
    region.run(
        drift_seeds,
        region.index("plants"),
        plants.record(),
        sky.wind_x,
        sky.wind_y,
        water,
        grown=1,
    )
    region.reindex("plants", "monsters")

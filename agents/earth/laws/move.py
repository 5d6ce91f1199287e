"""The law `move`: monsters turn and run, seeds drift with the wind. Nothing moves further than a cell: reach 1.

Deep water separates lands: no monster steps into it from land, nor into deeper water, and seeds over it come down soon.
Positions and speeds are in 1/1024 cell, headings in 1/65536 turn, drives and fatigue in 1/1024.
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
"""A seed past its least time aloft lands with odds 1 : 2^4 a tick, one over deep water with odds 1 : 2."""
STAGGER_BITS = ONE_BITS + 1
GUST_BITS = 10
GUST_MASK = (1 << GUST_BITS) - 1
"""Two gusts are taken from one draw; each is -512 to 511, where 1024 is a full wind."""
FLIGHT_SHIFT = 18
"""From wind (1/1024) times lightness (1/256) times distance to 1/1024 cell."""


@small
def organs_of(monsters, row):
    """The number of organs that a monster has built."""
    total = np.int64(0)
    for organ in range(monsters.organs.shape[1]):
        total += monsters.organs[row, organ]
    return total


@small
def tire(monsters, row, tick, thrust, asleep):
    """Raise the fatigue of a monster by its thrust and by being awake, or lower it by sleep."""
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
    """Dry open eyes, faster in drier air; shut eyes are moist at once."""
    shut = asleep or monsters.drives[row, BLINK] > 0
    monsters.eyes_shut[row] = 1 if shut else 0
    if shut:
        monsters.dryness[row] = 0
    else:
        monsters.dryness[row] = min(ONE, monsters.dryness[row] + 1 + ((dryness * parameters.EYE_DRIES) >> ONE_BITS))


@small
def is_deep(water, y, x):
    """Whether the water of a cell is too deep to stand in."""
    return water[y, x] > parameters.DROWNING_COUNT


@kernel
def move_monsters(y_low, y_high, place, index, monsters, sine_table, environment, water):
    """Turn and run; update fatigue, eyes and the catalyst of muscles.

    A monster in deep water, as after a flood, may move to less deep water only.
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
    """Move seeds aloft with the wind and with gusts, and let some of them land."""
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
    """Move monsters and seeds, and index the beings by cell again."""
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

"""Move: monsters turn and run, seeds drift with the wind. Nothing goes further than a cell: reach 1.

Deep water parts lands: no monster steps into it from where it can stand, nor deeper in, and still air over it drops the
seeds.
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
from umwelt.agents.earth.laws.geometry import cosine, sine
from umwelt.sandbox.dice import bits, draw, purpose
from umwelt.sandbox.kernel import kernel, small
from umwelt.sandbox.laws.weather import DRYNESS
from umwelt.sandbox.region import Region
from umwelt.sandbox.units import ONE, SUBCELL, TURN

STUMBLE = purpose("move.stumble")
DRIFT = purpose("move.drift")
LAND = purpose("move.land")

LAND_BITS, SINK_BITS = 4, 1
"""A seed whose time is up lands with odds 1 : 2^4 a tick, one over deep water with odds 1 : 2."""


@small
def organs_of(monsters, row):
    """How many organs a monster has that work."""
    total = np.int64(0)
    for organ in range(monsters.organs.shape[1]):
        total += monsters.organs[row, organ]
    return total


@small
def tire(monsters, row, tick, thrust, asleep):
    """Fatigue grows by what is done and shrinks by rest."""
    fatigue = np.int64(monsters.fatigue[row])
    if asleep:
        fatigue -= parameters.REST_RECOVERS
    else:
        fatigue += (thrust * parameters.TIRED_BY_THRUST + 512) >> 10
        if tick % parameters.TIRED_AWAKE_EVERY == 0:
            fatigue += 1
    monsters.fatigue[row] = min(max(fatigue, 0), ONE)


@small
def dry_eyes(monsters, row, dryness, asleep):
    """Open eyes dry, the faster the drier the air; shut ones are moist at once."""
    shut = asleep or monsters.drives[row, BLINK] > 0
    monsters.eyes_shut[row] = 1 if shut else 0
    if shut:
        monsters.dryness[row] = 0
    else:
        monsters.dryness[row] = min(ONE, monsters.dryness[row] + 1 + ((dryness * parameters.EYE_DRIES) >> 10))


@small
def is_deep(water, y, x):
    """Whether a cell's water is over one's head."""
    return water[y, x] > parameters.DROWNING_COUNT


@kernel
def move_monsters(y_low, y_high, place, index, monsters, sine_table, environment, water):
    """Turn, run, tire, and let the eyes dry. Who is caught by a flood may leave it by the way that it came."""
    for y in range(y_low, y_high):
        first = index.start[y * place.width + place.x_low]
        last = index.start[y * place.width + place.x_high]
        for k in range(first, last):
            row = index.rows[k]
            x = monsters.x_fixed[row] >> 10
            asleep = monsters.drives[row, REST] > parameters.REST_THRESHOLD
            monsters.asleep[row] = 1 if asleep else 0
            thrust = np.int64(0) if asleep else max(np.int64(0), np.int64(monsters.drives[row, THRUST]))
            fatigue = np.int64(monsters.fatigue[row])
            if not asleep:
                stagger = bits(draw(place.seed, place.tick, monsters.id[row], STUMBLE, 0), 11) - ONE
                turn = monsters.drives[row, TURN_DRIVE] + ((stagger * (128 + fatigue)) >> 10)
                monsters.heading[row] = (monsters.heading[row] + ((turn * parameters.TURN_MAX) >> 10)) & (TURN - 1)
            tissue = np.int64(monsters.counts[row, TISSUE])
            legs = np.int64(monsters.organs[row, LEG])
            fastest = (parameters.SPEED_BASE_FIXED + parameters.SPEED_PER_LEG_FIXED * legs) * 64 // (32 + tissue)
            speed = (min(fastest, parameters.SPEED_MAX_FIXED) * thrust * (ONE - (fatigue >> 1))) >> 20
            monsters.speed_fixed[row] = speed
            heading = np.int64(monsters.heading[row])
            y_fixed = monsters.y_fixed[row] + ((sine(sine_table, heading) * speed) >> 14)
            x_fixed = monsters.x_fixed[row] + ((cosine(sine_table, heading) * speed) >> 14)
            new_y, new_x = y_fixed >> 10, x_fixed >> 10
            if is_deep(water, new_y, new_x) and (not is_deep(water, y, x) or water[new_y, new_x] > water[y, x]):
                monsters.speed_fixed[row] = 0
            else:
                monsters.y_fixed[row] = y_fixed
                monsters.x_fixed[row] = x_fixed
            basal = (tissue * parameters.BASAL_64_PER_8_TISSUE) >> 3
            basal += parameters.ORGAN_64 * organs_of(monsters, row) + parameters.LEG_64 * legs
            if asleep:
                basal >>= 1
            monsters.catalysts[row, MUSCLE] = min(basal + ((thrust * parameters.MOVE_64) >> 10), 16384)
            tire(monsters, row, place.tick, thrust, asleep)
            dry_eyes(monsters, row, np.int64(environment[DRYNESS, y, x]), asleep)


@kernel
def drift_seeds(y_low, y_high, place, index, plants, wind_x, wind_y, water):
    """Seeds aloft fly with the wind and gusts, and land when their time is up; over deep water they come down soon."""
    for y in range(y_low, y_high):
        first = index.start[y * place.width + place.x_low]
        last = index.start[y * place.width + place.x_high]
        for k in range(first, last):
            row = index.rows[k]
            if plants.stage[row] != SEED_ALOFT:
                continue
            x = plants.x_fixed[row] >> 10
            light = 64 + (genome.trait(plants.genome, row, genome.P_SEED_LIGHTNESS) >> 1)
            gust = draw(place.seed, place.tick, plants.id[row], DRIFT, 0)
            gust_y, gust_x = (gust & 1023) - 512, ((gust >> 10) & 1023) - 512
            dy = ((wind_y[x] + gust_y) * light * parameters.SEED_FLIGHT_FIXED) >> 18
            dx = ((wind_x[y] + gust_x) * light * parameters.SEED_FLIGHT_FIXED) >> 18
            plants.y_fixed[row] += min(max(dy, -SUBCELL), SUBCELL)
            plants.x_fixed[row] += min(max(dx, -SUBCELL), SUBCELL)
            sinks = is_deep(water, y, x)
            if sinks or plants.age_ticks[row] >= parameters.SEED_ALOFT_MIN_TICKS:
                if bits(draw(place.seed, place.tick, plants.id[row], LAND, 0), SINK_BITS if sinks else LAND_BITS) == 0:
                    plants.stage[row] = SEED_IN_GROUND


def move(region: Region) -> None:
    """Move what can move, and sort the beings by cell again."""
    sky = region.derived["sky"]
    plants, monsters = region.tables["plants"], region.tables["monsters"]
    environment = region.scratch("environment", "int16", 4)
    sine_table, water = region.constants["sine"], region["water"]
    region.run(move_monsters, region.index("monsters"), monsters.record(), sine_table, environment, water, grown=1)
    region.run(
        drift_seeds,
        region.index("plants"),
        plants.record(),
        sky.wind_x,
        sky.wind_y,
        water,  # type: ignore[attr-defined]
        grown=1,
    )
    region.reindex("plants", "monsters")

"""Weather: light, temperature, wind and moisture of every cell, as functions of place, tick, ground and vapour.

Noon travels along x once a day, seasons oscillate along y once a year, and in a world with tides, high water travels
along x too. Nothing is stored between ticks. Reach 0: only the own cell matters.
"""

from collections import namedtuple

import numpy as np

from umwelt.sandbox.kernel import kernel
from umwelt.sandbox.region import Region
from umwelt.sandbox.units import ONE, ONE_BITS, SINE_ONE, SINE_STEPS, TURN, WARMTH_COLDEST_CELSIUS, WARMTH_STEPS

Climate = namedtuple(
    "Climate",
    [
        "day_ticks",
        "year_ticks",
        "light_q10",  # at noon on the brightest row
        "latitude_q10",  # how much darker the darkest row is
        "season_q10",  # amplitude of light in a year
        "temperature_centi",  # mean, in hundredths of a degree
        "latitude_centi",  # warmest row minus the mean
        "season_centi",
        "day_centi",
        "lapse_centi",  # how much colder it is for every 1024 of elevation
        "saturation_count",  # vapour that a cell's air holds at 20 degrees
        "cloud_q10",  # light lost under air with twice the vapour that it can hold
        "wind_q12",  # share of airborne matter that a full wind moves in a tick
        "capacity_count",  # water that soil holds; more runs downhill
        "tide_count",  # how high the pull of the tide raises free water
        "tide_ticks",  # from one high water to the next
    ],
    defaults=(0, 1),  # worlds without tides may leave them out
)
"""The climate as integers; one of a region's constants, `int64[16]`."""

LIGHT, WARMTH, DRYNESS, GLUT = 0, 1, 2, 3
ENVIRONMENT = ("light", "warmth", "dryness", "glut")
"""The catalysts of a cell, in units of 1/1024: light (1 at full sun), warmth (1 at 20 degrees Celsius), dryness (1 in
air without vapour) and glut (vapour beyond what the air can hold, in units of what it can hold)."""

Sky = namedtuple("Sky", ["row_light", "column_light", "row_centi", "column_centi", "wind_x", "wind_y", "column_pull"])
"""The sky of a tick, `int64` by row or column of the window: light in 1/1024, temperature in hundredths of a degree,
wind from -1024 to 1024 (a full wind; `wind_x` by row, `wind_y` by column), and by how much the tide raises free
water."""


def climate_of(region: Region) -> Climate:
    """Returns the region's climate, from its constants."""
    return Climate(*region.constants["climate"].tolist())


def sky_over(region: Region) -> Sky:
    """Computes light, temperature, wind and tide of this tick along the rows and columns of the window."""
    climate, sine = climate_of(region), region.constants["sine"].astype(np.int64)
    place = region.place()

    def wave(angle: np.ndarray | int) -> np.ndarray:
        """Returns the sine of an angle in 1/65536 turns, from -1024 to 1024."""
        return sine[(angle & (TURN - 1)) // (TURN // SINE_STEPS)] * ONE // SINE_ONE

    y_turn = place.y_global.astype(np.int64) * TURN // place.world_height
    x_turn = place.x_global.astype(np.int64) * TURN // place.world_width
    day = place.tick % climate.day_ticks * TURN // climate.day_ticks
    year = place.tick % climate.year_ticks * TURN // climate.year_ticks
    latitude = wave(y_turn + TURN // 4)  # 1024 on row 0, -1024 half-way round
    season = wave(year + y_turn)  # seasons travel along y: the two halves of the world have opposite seasons
    noon = wave(day + TURN // 4 - x_turn)
    shade = climate.latitude_q10 * (ONE - latitude) // (2 * ONE)
    row_light = climate.light_q10 * (ONE - shade) // ONE
    row_light = np.maximum(0, row_light + row_light * climate.season_q10 // ONE * season // ONE)
    column_light = np.maximum(0, (noon * 3 + ONE) // 4)
    row_centi = (
        climate.temperature_centi + climate.latitude_centi * latitude // ONE + climate.season_centi * season // ONE
    )
    column_centi = climate.day_centi * noon // ONE
    drift = place.tick * TURN // (climate.day_ticks * 5)
    wind_x = (wave(y_turn + drift) * 2 + wave(3 * y_turn - 2 * drift)) // 3
    wind_y = (wave(2 * x_turn - drift) + wave(x_turn + 3 * drift)) // 3
    tide = place.tick % climate.tide_ticks * TURN // climate.tide_ticks
    # two waves of high water travel along x, on opposite sides of the world, as the Moon raises them
    column_pull = climate.tide_count * wave(tide - 2 * x_turn) // ONE
    return Sky(row_light, column_light, row_centi, column_centi, wind_x, wind_y, column_pull)


@kernel
def make_weather(y_low, y_high, place, climate, sky, warmth_table, elevation, vapour, environment):
    """Write `environment: int16[4, height, width]` from the sky, the elevation and the vapour."""
    for y in range(y_low, y_high):
        for x in range(place.x_low, place.x_high):
            centi = sky.row_centi[y] + sky.column_centi[x] - ((elevation[y, x] * climate.lapse_centi) >> ONE_BITS)
            step = centi // 100 - WARMTH_COLDEST_CELSIUS
            warmth = np.int64(warmth_table[min(max(step, 0), WARMTH_STEPS - 1)])
            saturation = max(1, (climate.saturation_count * warmth) >> ONE_BITS)
            moisture = (np.int64(vapour[y, x]) << ONE_BITS) // saturation
            cloud = (min(moisture, 2 * ONE) * climate.cloud_q10) >> (ONE_BITS + 1)
            light = (sky.row_light[y] * sky.column_light[x]) >> ONE_BITS
            environment[LIGHT, y, x] = (light * (ONE - cloud)) >> ONE_BITS
            environment[WARMTH, y, x] = warmth
            environment[DRYNESS, y, x] = max(0, ONE - moisture)
            environment[GLUT, y, x] = min(max(0, moisture - ONE), 8 * ONE)


def weather(region: Region) -> None:
    """Computes the weather of the tick: `region.derived["sky"]` and the scratch planes `environment`."""
    sky = sky_over(region)
    region.derived["sky"] = sky
    environment = region.scratch("environment", "int16", len(ENVIRONMENT))
    region.run(
        make_weather,
        climate_of(region),
        sky,
        region.constants["warmth"],
        region["elevation"],
        region["vapour"],
        environment,
    )

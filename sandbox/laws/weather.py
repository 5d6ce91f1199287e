"""The law `weather`: computes light, warmth, dryness and glut of every cell, and the wind and tide of the tick.

Glut is the vapour that exceeds what the air can hold. The weather is a function of a cell's position, elevation and
vapour, and of the tick; nothing is stored between ticks. Noon travels along x once a day, seasons oscillate along y
once a year, and in a world with tides, high water also travels along x. The reach is 0: a cell's weather depends on
that cell alone. In kernels, `place` is a `Place` (sandbox/region.py).
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
        "light_q10",  # light at noon on the brightest row, in 1/1024 of full sun
        "latitude_q10",  # share of light, in 1/1024, by which the darkest row is darker
        "season_q10",  # amplitude of light in a year, in 1/1024
        "temperature_centi",  # mean temperature, in hundredths of a degree Celsius
        "latitude_centi",  # temperature of the warmest row minus the mean, in 1/100 degree
        "season_centi",  # amplitude of temperature in a year, in 1/100 degree
        "day_centi",  # amplitude of temperature in a day, in 1/100 degree
        "lapse_centi",  # decrease of temperature for every 1024 of elevation, in 1/100 degree
        "saturation_count",  # molecules of vapour that the air of a cell holds at 20 degrees
        "cloud_q10",  # share of light, in 1/1024, lost under air with twice the vapour that it can hold
        "wind_q12",  # share of airborne matter, in 1/4096, that a full wind moves in a tick
        "capacity_count",  # molecules of water that the soil of a cell holds; what exceeds them runs downhill
        "tide_count",  # height, in molecules of water, to which the tide raises surface water
        "tide_ticks",  # ticks from one high water to the next at a place
    ],
    defaults=(0, 1),  # the defaults describe a world without tides
)
"""The climate of a world as integers, stored as the region's constant `climate`, `int64[16]`."""

LIGHT, WARMTH, DRYNESS, GLUT = 0, 1, 2, 3
ENVIRONMENT = ("light", "warmth", "dryness", "glut")
"""The catalysts that `weather` computes for each cell, in units of 1/1024.

They are light (1 at full sun), warmth (how fast reactions run, 1 at 20 degrees Celsius), dryness (1 in air without
vapour) and glut (vapour that exceeds what the air can hold, as a multiple of what it can hold)."""

Sky = namedtuple("Sky", ["row_light", "column_light", "row_centi", "column_centi", "wind_x", "wind_y", "column_pull"])
"""The part of a tick's weather that does not depend on the state of cells: arrays of `int64`.

`row_light`, `row_centi` and `wind_x` have an entry for each row of the window, `column_light`, `column_centi`, `wind_y`
and `column_pull` for each column. Light is in 1/1024, temperature in 1/100 degree Celsius, wind from -1024 to 1024
(full wind), and `column_pull` is the height to which the tide raises surface water, in molecules."""


def climate_of(region: Region) -> Climate:
    """Returns the region's climate, read from its constant `climate`."""
    return Climate(*region.constants["climate"].tolist())


def sky_over(region: Region) -> Sky:
    """Returns light, temperature, wind and tide of the present tick along the rows and columns of the window."""
    climate, sine = climate_of(region), region.constants["sine"].astype(np.int64)
    place = region.place()

    def wave(angle: np.ndarray | int) -> np.ndarray:
        """Returns the sine of `angle` (in 1/65536 turn), scaled by 1024."""
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
    """Writes the catalysts of each cell, `environment: int16[4, height, width]`, in the order of `ENVIRONMENT`."""
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
    """Runs the law: writes `region.derived["sky"]`, a `Sky`, and the scratch array of catalysts, `environment`."""
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

"""The law `weather`: the periods and motion of sun, seasons and tides, and the bounds of clouds, vapour and warmth."""

from math import lcm

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from umwelt.sandbox.laws.weather import DRYNESS, GLUT, LIGHT, WARMTH, Climate, sky_over, weather
from umwelt.sandbox.region import Field, Rectangle, Region, Torus
from umwelt.sandbox.units import ONE, TURN, WARMTH_COLDEST_CELSIUS, sine_table, warmth_table

SIDE = 64
CLIMATE = Climate(
    day_ticks=2 * SIDE,
    year_ticks=8 * SIDE,
    light_q10=1024,
    latitude_q10=600,
    season_q10=300,
    temperature_centi=1500,
    latitude_centi=1000,
    season_centi=800,
    day_centi=500,
    lapse_centi=400,
    saturation_count=150,
    cloud_q10=500,
    wind_q12=400,
    capacity_count=600,
    tide_count=50,
    tide_ticks=3 * SIDE,
)


def region_at(tick: int, climate: Climate = CLIMATE, owned: Rectangle | None = None, halo_cells: int = 0) -> Region:
    fields = (Field("substance", "int32", parts=("vapour",)), Field("elevation", "int16"))
    rectangle = owned or Rectangle(0, 0, SIDE, SIDE)
    region = Region(Torus(SIDE, SIDE), rectangle, halo_cells, fields, [], 1, tick)
    region.constants = {"climate": np.array(climate, np.int64), "sine": sine_table(), "warmth": warmth_table()}
    region.margin_cells = halo_cells
    return region


def environment_of(region: Region) -> np.ndarray:
    """Runs `weather` on a region; returns the environment of each cell."""
    weather(region)
    return region.scratch("environment", "int16", 4).astype(np.int64)


ticks = st.integers(0, 1_000_000)
climates = st.builds(
    Climate,
    day_ticks=st.integers(1, 500),
    year_ticks=st.integers(1, 3000),
    light_q10=st.integers(0, 2048),
    latitude_q10=st.integers(0, 1024),
    season_q10=st.integers(0, 1024),
    temperature_centi=st.integers(-3000, 4000),
    latitude_centi=st.integers(0, 3000),
    season_centi=st.integers(0, 3000),
    day_centi=st.integers(0, 2000),
    lapse_centi=st.integers(0, 1000),
    saturation_count=st.integers(0, 1000),
    cloud_q10=st.integers(0, 1024),
    wind_q12=st.just(0),
    capacity_count=st.just(0),
    tide_count=st.integers(0, 2000),
    tide_ticks=st.integers(1, 2000),
)


@settings(max_examples=40)
@given(tick=st.integers(0, 5000), climate=climates)
def test_the_environment_repeats_after_days_years_and_tides(tick, climate):
    period = lcm(5 * climate.day_ticks, climate.year_ticks, climate.tide_ticks)
    assume(tick + period < 1 << 29)
    first, later = (sky_over(region_at(t, climate)) for t in (tick, tick + period))
    for name in first._fields:
        assert np.array_equal(getattr(first, name), getattr(later, name)), name


@settings(max_examples=40)
@given(tick=ticks, shift=st.integers(0, SIDE))
def test_noon_travels_along_x_and_seasons_along_y(tick, shift):
    now = sky_over(region_at(tick))
    later = sky_over(region_at(tick + shift * CLIMATE.day_ticks // SIDE))
    assert np.array_equal(later.column_light, np.roll(now.column_light, shift))
    assert np.array_equal(later.column_centi, np.roll(now.column_centi, shift))
    seasons = [
        sky_over(region_at(t, CLIMATE._replace(latitude_centi=0))).row_centi
        for t in (tick, tick + shift * CLIMATE.year_ticks // SIDE)
    ]
    assert np.array_equal(seasons[1], np.roll(seasons[0], -shift))


@settings(max_examples=40)
@given(tick=ticks, shift=st.integers(0, SIDE))
def test_two_waves_of_high_water_travel_along_x(tick, shift):
    now = sky_over(region_at(tick)).column_pull
    assert np.array_equal(now, np.roll(now, SIDE // 2))
    # in one period of the tide, a wave moves by half the world
    later = sky_over(region_at(tick + 2 * shift * CLIMATE.tide_ticks // SIDE)).column_pull
    assert np.array_equal(later, np.roll(now, shift))
    assert now.max() <= CLIMATE.tide_count and now.min() >= -CLIMATE.tide_count - 1


def test_light_and_warmth_of_a_day_and_a_year_have_the_means_of_their_waves():
    skies = [sky_over(region_at(tick)) for tick in range(0, CLIMATE.year_ticks, 3)]
    light = np.mean([sky.column_light for sky in skies])
    # the mean over one period of max(0, (1 + 3 cos t) / 4): the sun is up while cos t > -1/3
    dawn = np.arccos(-1 / 3)
    assert light / ONE == pytest.approx((dawn + 3 * np.sin(dawn)) / (4 * np.pi), rel=0.01)
    rows = np.array([sky.row_centi for sky in skies])
    latitude = np.cos(2 * np.pi * np.arange(SIDE) / SIDE)
    expected = CLIMATE.temperature_centi + CLIMATE.latitude_centi * latitude
    assert np.abs(rows.mean(axis=0) - expected).max() < 12
    # a wave of amplitude A has the variance A^2 / 2
    assert rows.var(axis=0) == pytest.approx(np.full(SIDE, CLIMATE.season_centi**2 / 2), rel=0.03)


@settings(max_examples=40)
@given(tick=ticks, climate=climates, seed=st.integers(0, 99), most=st.sampled_from([0, 10, 1000, 2_000_000_000]))
def test_the_environment_of_a_cell_stays_within_bounds(tick, climate, seed, most):
    region, random = region_at(tick, climate), np.random.default_rng(seed)
    region["elevation"][:] = random.integers(-2000, 30_000, (SIDE, SIDE))
    region["vapour"][:] = random.integers(0, most + 1, (SIDE, SIDE))
    environment = environment_of(region)
    brightest = climate.light_q10 * (ONE + climate.season_q10) // ONE
    assert environment[LIGHT].min() >= 0 and environment[LIGHT].max() <= brightest
    assert environment[WARMTH].min() >= warmth_table()[0] and environment[WARMTH].max() <= warmth_table()[-1]
    assert environment[DRYNESS].min() >= 0 and environment[DRYNESS].max() <= ONE
    assert environment[GLUT].min() >= 0 and environment[GLUT].max() <= 8 * ONE
    assert not ((environment[DRYNESS] > 0) & (environment[GLUT] > 0)).any()


@settings(max_examples=30)
@given(tick=ticks, seed=st.integers(0, 99), more=st.integers(0, 400))
def test_more_vapour_is_darker_and_wetter_and_higher_ground_is_colder(tick, seed, more):
    low, high = region_at(tick), region_at(tick)
    random = np.random.default_rng(seed)
    ground, vapour = random.integers(0, 3000, (SIDE, SIDE)), random.integers(0, 300, (SIDE, SIDE))
    for region, extra in ((low, 0), (high, more)):
        region["elevation"][:], region["vapour"][:] = ground, vapour + extra
    before, after = environment_of(low), environment_of(high)
    assert (after[LIGHT] <= before[LIGHT]).all() and (after[DRYNESS] <= before[DRYNESS]).all()
    assert (after[GLUT] >= before[GLUT]).all() and np.array_equal(after[WARMTH], before[WARMTH])
    high["elevation"][:], high["vapour"][:] = ground + more, vapour
    assert (environment_of(high)[WARMTH] <= before[WARMTH]).all()


def test_warmth_doubles_for_every_ten_degrees():
    table = warmth_table().astype(float)
    celsius = np.arange(len(table)) + WARMTH_COLDEST_CELSIUS
    assert table[celsius == 20] == [ONE]
    warm = celsius[:-10] >= 0
    assert table[10:][warm] / table[:-10][warm] == pytest.approx(2.0, rel=0.003)


@settings(max_examples=30)
@given(tick=ticks, y=st.integers(0, 63), x=st.integers(0, 63), height=st.integers(1, 64), width=st.integers(1, 64))
def test_a_part_has_the_weather_of_the_whole(tick, y, x, height, width):
    whole, part = region_at(tick), region_at(tick, owned=Rectangle(y, x, height, width), halo_cells=3)
    ground = (np.add.outer(np.arange(SIDE) * 37, np.arange(SIDE) * 91) % 2500).astype(np.int16)
    whole["elevation"][:], whole["vapour"][:] = ground, ground % 300
    rows, columns = (np.arange(-3, height + 3) + y) % SIDE, (np.arange(-3, width + 3) + x) % SIDE
    part["elevation"][:] = ground[np.ix_(rows, columns)]
    part["vapour"][:] = part["elevation"] % 300
    assert np.array_equal(environment_of(part), environment_of(whole)[:, rows][:, :, columns])


def test_a_turn_is_divided_evenly_by_the_sizes_used_here():
    assert TURN % SIDE == 0 and CLIMATE.day_ticks % SIDE == CLIMATE.year_ticks % SIDE == CLIMATE.tide_ticks % SIDE == 0

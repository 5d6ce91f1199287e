"""Sunlight in the window: tiles of light of different ticks are converted to the latest tick before drawing."""

import numpy as np
import pytest

from umwelt.agents.open_world import begin
from umwelt.agents.world_file import read_world
from umwelt.client.window.feed.sky import under_one_sun
from umwelt.cluster.view import tiles
from umwelt.cluster.view.tile_encoder import TileEncoder
from umwelt.sandbox.laws.weather import climate_of
from umwelt.sandbox.step import advance
from umwelt.sandbox.units import ONE

DAY_TICKS, STEP_TICKS = 64, 8
OFF = 0.03
"""The tolerance as a share of full sunlight; it covers the rounding, and bins that are means of eight columns."""


def a_day(cloud):
    """Returns pieces of light over a day by level and tick, the climate, and the torus."""
    over = {"width": 128, "height": 64, "climate.day_ticks": DAY_TICKS, "climate.cloud": cloud, "climate.latitude": 0.6}
    world = read_world("golden", over)
    region = begin(world)
    cutter, pieces = TileEncoder(world, region), {}
    layer = cutter.layers.index("light")
    for tick in range(0, DAY_TICKS, STEP_TICKS):
        advance(region, world.laws, tick - region.tick)
        for level in ("bodies", "densities"):
            cut = cutter.tiles(tiles.topics_over(None, level, [layer], region.torus), 1)
            pieces[level, tick] = [tiles.decode(content, region.torus) for _, content in cut]
    return pieces, climate_of(region)._asdict(), region.torus


@pytest.fixture(scope="module")
def clear():
    return a_day(0.0)


@pytest.mark.parametrize("level", ["bodies", "densities"])
def test_earlier_light_is_drawn_as_of_the_latest_tick(clear, level):
    pieces, climate, torus = clear
    for earlier in range(0, DAY_TICKS - STEP_TICKS, STEP_TICKS):
        old, new = pieces[level, earlier], pieces[level, DAY_TICKS - STEP_TICKS]
        shown = under_one_sun([*old, *new], climate, torus)
        for was, made, true in zip(old, shown, new, strict=False):
            assert np.abs(made.field - true.field).max() <= OFF * ONE
            assert np.abs(was.field - true.field).max() > 5 * OFF * ONE  # the sun had moved


def test_clouds_keep_their_shade():
    pieces, climate, torus = a_day(1.0)
    old, new = pieces["bodies", DAY_TICKS // 2], pieces["bodies", DAY_TICKS // 2 + STEP_TICKS]
    shown = under_one_sun([*old, *new], climate, torus)
    off = [np.abs(made.field - true.field).mean() for made, true in zip(shown, new, strict=False)]
    before = [np.abs(was.field - true.field).mean() for was, true in zip(old, new, strict=True)]
    assert sum(off) < sum(before) / 4


def test_a_world_without_a_climate_is_unchanged(clear):
    pieces, _, torus = clear
    both = [*pieces["bodies", 0], *pieces["bodies", STEP_TICKS]]
    assert under_one_sun(both, {}, torus) == both and under_one_sun([], {}, torus) == []

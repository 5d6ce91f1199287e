"""Every measure returns the same names at all ticks of a world, also if a species is extinct."""

import numpy as np
import pytest
from sharded_regions import bundled_world

from umwelt.agents.measures import MEASURES, measure_region
from umwelt.agents.open_world import begin
from umwelt.agents.world_file import read_world
from umwelt.sandbox.step import advance
from umwelt.worlds import market


@pytest.mark.parametrize("measure", MEASURES)
def test_a_measure_returns_the_same_names_whatever_lives(measure):
    world = bundled_world("meadow", 64, 64, 1)
    region = begin(world)
    first = measure_region(world, region, [measure])
    advance(region, world.laws, 20)
    assert first and measure_region(world, region, [measure]).keys() == first.keys()
    for table in region.tables.values():
        table.keep(np.zeros(table.count, bool))
    assert measure_region(world, region, [measure]).keys() == first.keys()


def test_prices_of_the_market_have_the_same_names_without_trade():
    world = read_world("market")
    region = begin(world)
    assert market.prices(world, region).keys() == {"exchanges", "log_price", "price_spread"}

"""Measures that compare the halves of a world, divided along x or y: counts and genes."""

import numpy as np
from sharded_regions import begin, golden_world

from umwelt.agents.body.genome import MARKER_A, P_HEIGHT, P_LEAF, P_MARKER_A
from umwelt.agents.measures.halves import halves, latitudes


def test_halves_are_counted_and_their_markers_compared():
    world = golden_world(40, 40)
    region = begin(world)
    plants, monsters = region.tables["plants"], region.tables["monsters"]
    for name, first in (("plants", P_MARKER_A), ("monsters", MARKER_A)):
        table = region.tables[name]
        is_left = (table["x_fixed"] >> 10) - region.halo_cells < 20
        table["genome"][:, first : first + 3] = 0
        table["genome"][is_left, first : first + 3] = (3, 4, 12)
    found = halves(world, region)
    assert found["grass.apart"] == found["grazer.apart"] == 13
    for name, count in (
        ("grass", np.count_nonzero(plants["species"] == 0)),
        ("grazer", np.count_nonzero(monsters["species"] == 3)),
    ):
        assert found[f"{name}.left"] + found[f"{name}.right"] == count and found[f"{name}.left"] > 0
    plants["x_fixed"][:] = (region.halo_cells + 3) << 10
    region._indices.clear()
    alone = halves(world, region)
    assert np.isnan(alone["grass.apart"]) and alone["grass.right"] == 0


def test_the_dark_half_is_the_middle_one_and_genes_of_both_are_compared():
    region = begin(world := golden_world(40, 40))
    plants = region.tables["plants"]
    down = (plants["y_fixed"] >> 10) - region.halo_cells
    is_dark = (down >= 10) & (down < 30)
    plants["genome"][:, P_LEAF], plants["genome"][:, P_HEIGHT] = 7, 0
    plants["genome"][is_dark, P_LEAF] = -3
    found = latitudes(world, region)
    assert found["grass.leaf.darker"] == -10 and found["grass.height.darker"] == 0
    grass = (plants["species"] == 0) & (plants["stage"] == 2)
    assert found["grass.dark"] == np.count_nonzero(grass & is_dark) > 0
    assert found["grass.bright"] == np.count_nonzero(grass & ~is_dark) > 0
    plants["y_fixed"][:] = (region.halo_cells + 20) << 10
    region._indices.clear()
    alone = latitudes(world, region)
    assert np.isnan(alone["grass.leaf.darker"]) and alone["grass.bright"] == 0

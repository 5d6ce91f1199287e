"""Deep water separates lands: the terrain has it where the world file says, and no being, bud or seed crosses it."""

import itertools

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sharded_regions import golden_world
from single_law import only, open_ground, put, run_law

from umwelt.agents.body.interface import MODULE, SEED_ALOFT
from umwelt.agents.earth import parameters
from umwelt.agents.earth.terrain import GroundSettings, elevation_of
from umwelt.agents.open_world import begin, generate_world
from umwelt.sandbox.errors import WorldFileError
from umwelt.sandbox.region import Torus
from umwelt.sandbox.step import advance

DEEP_COUNT = parameters.DROWNING_COUNT + 1


def lands(dry: np.ndarray) -> np.ndarray:
    """Returns the land of each cell, `int64[height, width]`: its largest cell number, or -1 in water."""
    land = np.where(dry, np.arange(dry.size).reshape(dry.shape), -1)
    while True:
        grown = land
        for axis in (0, 1):
            grown = np.maximum.reduce([grown, np.roll(grown, 1, axis), np.roll(grown, -1, axis)])
        grown = np.where(dry, grown, -1)
        if (grown == land).all():
            return land
        land = grown


def water_of(torus: Torus, seed: int, ground: GroundSettings) -> np.ndarray:
    """Returns the water of each cell at tick 0, as genesis sets it."""
    return ground.soil_water + np.maximum(0, ground.sea_level - elevation_of(torus, seed, ground))


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 999),
    channels=st.integers(2, 3),
    islands=st.integers(0, 5),
    torus=st.sampled_from([Torus(96, 160), Torus(120, 144)]),
)
def test_deep_water_separates_lands_by_at_least_the_requested_width(seed, channels, islands, torus):
    shape = {"shape": "islands", "islands": islands} if islands else {"channels": channels}
    ground = msgspec.convert({"channel_cells": 12, **shape}, GroundSettings)
    deep = water_of(torus, seed, ground) > parameters.DROWNING_COUNT
    land = lands(~deep)
    assert len(np.unique(land)) > 1 and 0.05 < (~deep).mean() < 0.9
    if not islands:
        for line in range(channels):
            for x in range(-5, 6):  # a channel of twelve cells, without its two edge columns
                assert deep[:, (line * torus.width // channels + x) % torus.width].all()
    names, sizes = np.unique(land, return_counts=True)
    land[np.isin(land, names[sizes < 200])] = -1  # a small rock off the coast is not counted as an island
    for y, x in itertools.product(range(11), range(-10, 11)):
        if y * y + x * x < 11**2:
            there = np.roll(land, (y, x), (0, 1))
            meets = (land >= 0) & (there >= 0) & (land != there)
            assert not meets.any(), (y, x)


def test_elevation_is_a_pure_function_of_seed_and_settings():
    ground = GroundSettings(shape="islands", islands=3, channels=1)
    first, again, other = (elevation_of(Torus(80, 96), seed, ground) for seed in (4, 4, 5))
    assert (first == again).all() and (first != other).any()
    with pytest.raises(WorldFileError, match=r'ground.shape: unknown "iland": did you mean "islands"\?'):
        generate_world(golden_world(**{"ground.shape": "iland", "ground.channels": 2}))


def half_drowned(kind: str, x: float):
    """Returns a region with one being of a kind at `x`, and deep water from x = 20 on; its table, and the world."""
    region, world = open_ground()
    only(region, kind, 1)
    put(region, kind, 20.5, x)
    region["water"][:] = 300
    region["water"][:, region.halo_cells + 20 :] = DEEP_COUNT
    return region, region.tables[kind], world


@pytest.mark.parametrize(("x", "goes"), [(19.9, False), (18.2, True), (23.1, True)])
def test_a_monster_does_not_move_into_deep_water_but_can_leave_it(x, goes):
    region, monsters, _ = half_drowned("monsters", x)
    for column, value in {"drives": 0, "thrust": 1024, "fatigue": 0, "heading": 0, "leg_organs": 4}.items():
        monsters[column][:] = value
    before = int(monsters["x_fixed"][0])
    run_law(region, "move")
    assert (monsters["x_fixed"][0] > before) == goes == (monsters["speed_fixed"][0] > 0)


def test_seeds_over_deep_water_land_early():
    region, plants, _ = half_drowned("plants", 25.5)
    plants["stage"][:], plants["age_ticks"][:] = SEED_ALOFT, 0
    for _ in range(9):
        run_law(region, "move")
        region.tick += 1
    assert plants["stage"][0] > SEED_ALOFT and plants["age_ticks"][0] < parameters.SEED_ALOFT_MIN_TICKS


@pytest.mark.parametrize(("water", "buds"), [(parameters.DROWNING_COUNT, True), (DEEP_COUNT, False)])
def test_no_module_buds_into_deep_water(water, buds):
    region, plants, _ = half_drowned("plants", 10.5)
    plants["stage"][:], plants["tissue_count"][:], plants["sugar_count"][:], plants["genome"][:] = MODULE, 90, 90, -128
    region["water"][:] = water
    run_law(region, "sense")
    assert (plants["bud_direction"][0] > 0) == buds


def test_beings_do_not_cross_deep_water_into_an_empty_half():
    world = golden_world(48, 96, **{"ground.channels": 2, "ground.channel_cells": 14})
    region = begin(world)
    for name, table in region.tables.items():
        table.keep(region.owned_rows(name) & (table["x_fixed"] >> 10 < region.halo_cells + 48))
    advance(region, world.laws, 250)
    assert region.counts["births"] > 100
    for name, table in region.tables.items():
        x = (table["x_fixed"][region.owned_rows(name)] >> 10) - region.halo_cells
        assert len(x) > 10 and (x < 48 + 4).all(), name

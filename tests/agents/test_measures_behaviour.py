"""Measures of behaviour, on constructed regions with known results, and against a log of every tick."""

import numpy as np
import pytest
from sharded_regions import bundled_world
from small_runs import small_world

from umwelt.agents.body.interface import STIMULI
from umwelt.agents.measures import without_nan
from umwelt.agents.measures.behaviour import behaviour
from umwelt.agents.measures.others import sensed_others
from umwelt.agents.open_world import begin
from umwelt.sandbox.laws.weather import DRYNESS
from umwelt.sandbox.step import advance
from umwelt.sandbox.units import ONE


def grazers_awake(count: int):
    """Returns a world, its region and its table of monsters: awake grazers, whose stimuli are all 0 except `one`."""
    world = small_world()
    region = begin(world)
    monsters = region.tables["monsters"]
    grazers = np.flatnonzero(region.owned_rows("monsters") & (monsters["species"] == 2))
    monsters.keep(np.isin(np.arange(monsters.count), grazers[:count]))
    region._indices.clear()
    monsters["stimuli"][:] = 0
    monsters["one"][:] = ONE
    monsters["drives"][:] = 0
    monsters["asleep"][:] = 0
    monsters["eyes_shut"][:] = 0
    return world, region, monsters


def test_turning_counts_only_awake_monsters_that_sense_a_difference():
    world, region, monsters = grazers_awake(7)
    monsters["plant_right"][:] = [80, 0, 10, 0, 0, 90, 90]
    monsters["plant_left"][:] = [0, 0, 0, 30, 0, 0, 0]
    monsters["aroma_right"][:] = [0, 40, 0, 0, 0, 0, 0]
    monsters["aroma_left"][:] = [0, 0, 30, 0, 0, 0, 0]
    monsters["turn"][:] = [5, 900, -1, 1, 500, -7, -7]
    monsters["asleep"][5] = 1
    monsters["one"][6] = 0  # born in this tick
    found = behaviour(world, region)
    assert found["grazer.toward_food.count"] == 4
    assert found["grazer.toward_food"] == 0.5  # three toward it, one away
    assert found["grazer.toward_food.errors"] == 1.0


def test_flight_from_strangers_is_negative_and_kin_do_not_count():
    world, region, monsters = grazers_awake(4)
    monsters["other_size"][:] = [500, 500, 500, 0]
    monsters["other_kinship"][:] = [0, 100, 1000, 0]
    monsters["other_bearing"][:] = [200, -200, 200, 200]
    monsters["turn"][:] = [-9, 9, 9, 9]
    found = behaviour(world, region)
    assert found["grazer.toward_strangers.count"] == 2
    assert found["grazer.toward_strangers"] == -1
    assert found["grazer.toward_strangers.errors"] == pytest.approx(-(2**0.5))


def test_the_sensed_other_is_the_nearest_before_all_moved():
    world = bundled_world("meadow", 64, 64, 1, **{"founders.3.count": 120, "founders.4.count": 30})
    region = begin(world)
    sides, seen, across_the_seam = np.array([64 * ONE, 64 * ONE]), 0, 0
    for _ in range(40):
        monsters = region.tables["monsters"]
        there = np.flatnonzero(region.owned_rows("monsters"))
        ids, kinds = monsters["id"][there].copy(), monsters["species"][there].copy()
        places = np.stack([monsters["y_fixed"][there], monsters["x_fixed"][there]], axis=1).astype(np.int64)
        advance(region, world.laws, 1)
        monsters = region.tables["monsters"]
        rows = np.flatnonzero(region.owned_rows("monsters") & (monsters["one"] == ONE))
        others = sensed_others(region, rows)
        for row, other in zip(rows.tolist(), others.tolist(), strict=True):
            (own,) = np.flatnonzero(ids == monsters["id"][row])
            away = (places - places[own] + sides // 2) % sides - sides // 2
            squares = (away**2).sum(axis=1)
            squares[own] = squares.max() + 1
            nearest = int(squares.argmin())
            if not monsters["other_size"][row]:
                assert other == -1
            elif ids[nearest] in monsters["id"][rows]:
                assert (monsters["id"][other], monsters["species"][other]) == (ids[nearest], kinds[nearest])
                seen += 1
                across_the_seam += int(np.abs(places[nearest] - places[own]).max() > 32 * ONE)
    assert seen > 200 and across_the_seam > 10


def test_grazers_turn_away_from_the_hunters_they_sense():
    world = bundled_world("meadow", 64, 64, 1, **{"founders.3.count": 200, "founders.4.count": 60})
    region = begin(world)
    counts, fled = np.zeros(2), 0.0
    for _ in range(20):
        advance(region, world.laws, 1)
        found = behaviour(world, region)
        counts += found["grazer.toward_hunter.count"], found["hunter.toward_grazer.count"]
        fled += found.get("grazer.toward_hunter", 0) * found["grazer.toward_hunter.count"]
    assert counts.min() > 40
    assert fled / counts[0] < -0.5


def test_blinking_is_compared_between_dry_and_moist_air():
    world, region, monsters = grazers_awake(4)
    environment = region.scratch("environment", "int16", 4)
    environment[DRYNESS] = 100
    for row, dryness in enumerate([900, 900, 200, 200]):
        monsters["y_fixed"][row] = (region.halo_cells + row) * 1024
        environment[DRYNESS, region.halo_cells + row, monsters["x_fixed"][row] >> 10] = dryness
    monsters["eyes_shut"][:] = [1, 0, 0, 0]
    found = behaviour(world, region)
    assert (found["grazer.blinking_dry"], found["grazer.blinking_moist"]) == (0.5, 0)
    assert found["grazer.blinking_more"] == 0.5
    assert found["grazer.blinking_more.errors"] == pytest.approx(0.5 / (0.25 * 0.75) ** 0.5)


def test_falling_asleep_is_distinguished_from_sleeping():
    world, region, monsters = grazers_awake(4)
    monsters["asleep"][:] = [1, 1, 0, 0]
    monsters["eyes_shut"][:] = [1, 1, 0, 0]
    monsters["dry_eyes"][:] = [300, 0, 10, 0]
    monsters["stimuli"][:, STIMULI.index("fatigue")] = [512, 8, 256, 0]
    found = behaviour(world, region)
    assert found["grazer.falling_asleep"] == 1
    assert found["grazer.fatigue_falling"] == 0.5 and found["grazer.fatigue_awake"] == 0.125
    assert found["grazer.fatigue_more"] == 0.375


def test_without_monsters_all_but_counts_is_nan():
    world, region, _ = grazers_awake(0)
    found = behaviour(world, region)
    assert set(found) == set(behaviour(*grazers_awake(1)[:2])), "the same names as of somebody"
    assert without_nan(found) == {
        f"{species}.{name}": 0
        for species, other in (("grazer", "hunter"), ("hunter", "grazer"))
        for name in ("toward_food.count", "toward_strangers.count", f"toward_{other}.count", "falling_asleep")
    }


def test_sleep_follows_exertion_and_one_tick_shows_which_monsters_fall_asleep():
    """In a log of all ticks, monsters that fall asleep had a higher thrust in the 50 ticks before than awake ones."""
    world = bundled_world("meadow", 64, 64, 1, **{"founders.3.count": 120})
    region = begin(world)
    thrusts: dict[int, list[int]] = {}
    before: dict[int, int] = {}
    falling, awake, told = [], [], 0
    for _ in range(400):
        advance(region, world.laws, 1)
        monsters = region.tables["monsters"]
        rows = np.flatnonzero(region.owned_rows("monsters") & (monsters["species"] == 3) & (monsters["one"] == ONE))
        now = dict(zip(monsters["id"][rows].tolist(), monsters["asleep"][rows].tolist(), strict=True))
        thrust = dict(zip(now, np.maximum(0, monsters["thrust"][rows]).tolist(), strict=True))
        eyes = dict(zip(now, monsters["dry_eyes"][rows].tolist(), strict=True))
        told += int(behaviour(world, region)["grazer.falling_asleep"])
        for being, asleep in now.items():
            log = thrusts.setdefault(being, [])
            if asleep and before.get(being) == 0:
                if len(log) >= 50:
                    falling.append(np.mean(log[-50:]))
                told -= eyes[being] > 0  # only of those whose eyes were dry
            elif not asleep:
                log.append(thrust[being])
                awake.append(thrust[being])
        before = now
    assert len(falling) > 20
    assert told == 0
    assert np.mean(falling) > np.mean(awake)

"""Earth's laws of living beings: unique ids, births into one cell, sharing of a victim's matter, eyes and fatigue."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sharded_regions import begin, golden_world
from single_law import only, open_ground, put, run_law

from umwelt.agents.body import genome
from umwelt.agents.body.interface import MODULE
from umwelt.agents.earth import parameters
from umwelt.agents.earth.laws.geometry import angle_to, cosine, sine
from umwelt.sandbox import audit
from umwelt.sandbox.region import Region
from umwelt.sandbox.step import advance
from umwelt.sandbox.units import arctangent_table, sine_table


def matter(region: Region, world) -> dict[str, int]:
    """Returns the number of atoms of each element in a region."""
    chemistry = world.chemistry
    return audit.element_totals(audit.substance_totals(region, chemistry), chemistry)


def ready_to_breed(region: Region) -> None:
    """Sets all monsters to a state in which they breed."""
    monsters = region.tables["monsters"]
    for column, value in {
        "breed": 1024,
        "tissue_count": 200,
        "sugar_count": 300,
        "water_count": 100,
        "oxygen_count": 40,
        "age_ticks": 100,
        "asleep": 0,
        "pain": 0,
    }.items():
        monsters[column][:] = value


def test_only_one_of_two_monsters_breeds_in_a_cell_and_the_other_is_unchanged():
    region, world = open_ground()
    only(region, "monsters", 2)
    put(region, "monsters", 20.3, 20.7)
    ready_to_breed(region)
    before = matter(region, world)
    run_law(region, "live")
    monsters = region.tables["monsters"]
    assert len(monsters) == 3 and len(set(monsters["id"].tolist())) == 3
    assert sorted(monsters["tissue_count"].tolist())[-1] == 200
    assert sorted(monsters["sugar_count"].tolist()) == [150, 150, 300]
    assert matter(region, world) == before
    child = int(np.flatnonzero(monsters["generation"] == 1)[0])
    assert monsters["age_ticks"][child] == 0 and monsters["parent_id"][child] in monsters["id"]


def test_only_one_of_two_modules_buds_into_a_cell_and_the_other_is_unchanged():
    region, world = open_ground()
    only(region, "plants", 2)
    plants = region.tables["plants"]
    put(region, "plants", 20.5, 20.5)
    plants["x_fixed"][1] += 2 * 1024
    for column, value in {"stage": MODULE, "tissue_count": 60, "sugar_count": 40, "age_ticks": 5}.items():
        plants[column][:] = value
    plants["bud_direction"][:] = [1, 5]  # east and west, into the cell between them
    before = matter(region, world)
    run_law(region, "live")
    assert len(plants) == 3 and sorted(plants["tissue_count"].tolist()) == [parameters.BUD_TISSUE_COUNT, 52, 60]
    child = int(np.flatnonzero(plants["generation"] == 1)[0])
    assert plants["x_fixed"][child] >> 10 == region.halo_cells + 21
    assert plants["stem_id"][child] == plants["parent_id"][child]
    assert matter(region, world) == before


def test_founders_crowded_into_one_cell_and_their_children_have_unique_ids():
    world = golden_world(32, 32, **{"founders.3.count": 1500, "founders.0.count": 1500})
    region = begin(world)
    for name in region.tables:
        put(region, name, 3.2, 4.1)
        region.tables[name]["tissue_count"][:], region.tables[name]["sugar_count"][:] = 200, 300
    seen: set[int] = set(np.concatenate([t["id"] for t in region.tables.values()]).tolist())
    assert len(seen) == sum(t.count for t in region.tables.values()) >= 3000
    before = matter(region, world)
    for _ in range(30):
        advance(region, world.laws, 1)
        ids = np.concatenate([t["id"][region.owned_rows(n)] for n, t in region.tables.items()])
        assert len(np.unique(ids)) == len(ids)
    assert matter(region, world) == before and region.counts["births"] > 0


def hungry_crowd(region: Region, count: int) -> None:
    """Keeps `count` monsters, puts them into one place, and makes them bite."""
    only(region, "monsters", count)
    put(region, "monsters", 20.5, 20.5)
    monsters = region.tables["monsters"]
    for column, value in {"drives": 0, "asleep": 0, "bite": 1024, "jaw_organs": 4, "detritus_count": 0}.items():
        monsters[column][:] = value
    monsters["genome"][:, genome.FANGS] = 127


@settings(max_examples=40)
@given(count=st.integers(2, 9), tissue=st.integers(0, 40), sugar=st.integers(0, 300), seed=st.integers(0, 99))
def test_biters_share_their_victim_to_the_last_molecule(count, tissue, sugar, seed):
    region, world = open_ground(seed=seed)
    hungry_crowd(region, count)
    monsters = region.tables["monsters"]
    monsters["tissue_count"][:] = tissue
    monsters["sugar_count"][:] = sugar
    monsters["x_fixed"][:] += np.arange(count, dtype=np.int32) * 9
    region._indices.clear()
    before, held = matter(region, world), monsters["tissue_count"].sum()
    run_law(region, "act")
    assert matter(region, world) == before
    eaten = held - monsters["tissue_count"].sum()
    assert monsters["detritus_count"].sum() >= eaten and (monsters["counts"] >= 0).all()
    if tissue:
        assert eaten > 0


def test_grazers_leave_the_stub_of_a_module():
    region, world = open_ground()
    plants, monsters = region.tables["plants"], region.tables["monsters"]
    plants.keep(np.arange(plants.count) == 0)
    monsters.keep(np.arange(monsters.count) < 5)
    put(region, "plants", 20.5, 20.5)
    put(region, "monsters", 20.5, 20.2)
    plants["stage"][:], plants["tissue_count"][:], plants["genome"][:] = MODULE, 30, -128
    for column, value in {
        "drives": 0,
        "asleep": 0,
        "graze": 1024,
        "jaw_organs": 6,
        "gut_organs": 3,
        "detritus_count": 0,
        "heading": 0,
    }.items():
        monsters[column][:] = value
    before = matter(region, world)
    run_law(region, "act")
    assert plants["tissue_count"][0] == parameters.STUB_TISSUE_COUNT
    assert matter(region, world) == before


def test_eyes_dry_blink_and_dry_again_and_bodies_tire_sleep_and_wake():
    world = golden_world(seed=5, **{f"founders.{at}.variation": 0 for at in (3, 4)})
    region = begin(world)
    shut, asleep, dry_when_shutting, tired_when_sleeping = [], [], [], []
    for _ in range(300):
        advance(region, world.laws, 1)
        monsters = region.tables["monsters"]
        owned = region.owned_rows("monsters")
        shut.append(monsters["eyes_shut"][owned].mean())
        asleep.append(monsters["asleep"][owned].mean())
        blinking = owned & (monsters["blink"] > 0)
        if blinking.any():
            dry_when_shutting.append(monsters["dry_eyes"][blinking].mean())
        resting = owned & (monsters["asleep"] > 0)
        if resting.any():
            tired_when_sleeping.append(monsters["fatigue"][resting].mean() - monsters["fatigue"][owned].mean())
    assert 0.005 < np.mean(shut) < 0.5 and 0 < np.mean(asleep) < 0.5
    assert np.mean(dry_when_shutting) > 150
    assert np.mean(tired_when_sleeping) > 0


def test_a_monster_sees_its_neighbour_only_with_open_eyes():
    region, _ = open_ground()
    only(region, "monsters", 2)
    put(region, "monsters", 20.5, 20.5)
    monsters = region.tables["monsters"]
    monsters["x_fixed"][1] += 1024
    monsters["heading"][:], monsters["dryness"][:], monsters["eyes_shut"][:] = 0, 0, [0, 1]
    region._indices.clear()
    run_law(region, "sense")
    assert monsters["other_distance"].tolist()[1] == 1024 and monsters["other_distance"][0] < 1024
    assert monsters["other_bearing"].tolist() == [0, 0] and monsters["other_size"][0] > 0


@pytest.mark.parametrize("degrees", range(0, 360, 15))
def test_angles_agree_with_sines(degrees):
    angle = degrees * 65536 // 360
    table = sine_table()
    found = angle_to(arctangent_table(), int(sine(table, angle)), int(cosine(table, angle)))
    assert abs((found - angle + 32768) % 65536 - 32768) <= 64


def test_a_net_of_zeros_does_nothing():
    blank = {f"founders.{at}.{key}": value for at in (3, 4) for key, value in (("like", "blank"), ("variation", 0))}
    world = golden_world(**blank)
    region = begin(world)
    advance(region, world.laws, 3)
    assert not region.tables["monsters"]["drives"].any()
    assert not region.tables["monsters"]["speed_fixed"].any()

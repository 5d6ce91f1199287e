"""Measures of food and foraging, on constructed regions and curves with known results."""

import numpy as np
import pytest
from small_runs import small_world

from umwelt.agents.body.interface import MODULE
from umwelt.agents.measures.foraging import fodder, patches
from umwelt.agents.open_world import begin
from umwelt.client.experiments.across_runs import HOLLING_FIGURES, MATCHING_FIGURES, SHAPES, holling, matching
from umwelt.client.experiments.analyses import foragers, intake


def test_fodder_is_the_tissue_of_owned_modules_that_jaws_reach():
    world = small_world()
    region = begin(world)
    region.wrap()  # ghosts in the halo do not count
    plants = region.tables["plants"]
    plants["tissue_count"][:] = 20
    plants["stage"][:] = MODULE
    small = np.flatnonzero(region.owned_rows("plants"))[:10]
    plants["tissue_count"][small] = 5
    plants["stage"][np.flatnonzero(region.owned_rows("plants"))[10:15]] = 1
    found = fodder(world, region)
    assert found["fodder_count"] == (230 - 15) * 14
    assert found["fodder_count_per_cell"] == pytest.approx(215 * 14 / (48 * 40))


def test_patches_are_squares_in_the_middle_of_both_halves():
    world = small_world()  # 40 high, 48 wide: squares of 12, from y = 14, from x = 6 and from x = 30
    region = begin(world)
    monsters, rim = region.tables["monsters"], region.halo_cells
    monsters.keep(np.arange(monsters.count) < 6)
    monsters["species"][:] = 2
    for row, (y, x) in enumerate([(14, 6), (25, 17), (14, 30), (26, 30), (20, 42), (20, 29)]):
        monsters["y_fixed"][row], monsters["x_fixed"][row] = (rim + y) * 1024 + 512, (rim + x) * 1024 + 512
    region["detritus"][:] = 1
    region["detritus"][rim + 20, rim + 35] = 101
    found = patches(world, region)
    assert (found["grazer.west"], found["grazer.east"]) == (2, 1)
    assert found["grazer.east_share"] == pytest.approx(1 / 3)
    assert (found["west.detritus_count"], found["east.detritus_count"]) == (144, 244)
    assert np.isnan(found["hunter.east_share"])


def test_intake_is_the_loss_of_fodder_in_the_later_half():
    ticks = np.arange(0, 101, 25.0)
    columns = {
        "tick": ticks,
        "fodder_count": np.array([1000, 700, 600, 550, 500.0]),
        "fodder_count_per_cell": np.array([10, 7, 6, 5.5, 5]),
        "monsters": np.full(5, 4.0),
    }
    assert intake(columns) == {"intake.per_tick": 100 / 50 / 4, "intake.fodder_count_per_cell": 5.5}
    assert np.isnan(intake({name: values[:1] for name, values in columns.items()})["intake.per_tick"])
    assert foragers({"tick": ticks, "grazer.east_share": np.array([0, 0, 0.5, np.nan, 0.7])}) == {
        "foragers.east_share": pytest.approx(0.6)
    }


def rows_of(intakes: np.ndarray, density: np.ndarray) -> list[dict]:
    """Returns rows of an experiment's table with these intakes and densities of fodder."""
    pairs = zip(density, intakes, strict=True)
    return [{"intake.fodder_count_per_cell": n, "intake.per_tick": eaten} for n, eaten in pairs]


@pytest.mark.parametrize("shape", ["second", "third", "plateau", "linear"])
def test_each_functional_response_is_recognised(shape):
    density = np.geomspace(0.2, 30, 12).repeat(3)
    scatter = np.random.default_rng(1).normal(0, 0.05, len(density))
    curve = density if shape == "linear" else SHAPES[shape](density, 0.25)
    found = holling(rows_of(0.5 * curve * np.exp(scatter), density))
    others = {name: found[f"holling.{name}_worse"] for name in ("linear", "third", "plateau")}
    if shape == "second":
        assert min(others.values()) > 10
        assert found["holling.attack_rate"] == pytest.approx(0.5, rel=0.1)
        assert found["holling.handling_ticks"] == pytest.approx(0.5, rel=0.1)  # 0.25 = attack rate * handling time
    elif shape == "linear":
        assert others["linear"] < 2
    else:
        assert min(others, key=lambda name: others[name]) == shape and others[shape] < -10


def test_uneaten_fodder_is_left_out_and_few_points_give_nan():
    density = np.geomspace(0.2, 30, 6)
    nothing = dict.fromkeys(HOLLING_FIGURES, np.nan)
    for rows in (rows_of(np.zeros(6), density), rows_of(density, np.ones(6)), rows_of(density * np.nan, density), [{}]):
        np.testing.assert_equal(holling(rows), nothing)


def test_the_slope_of_matching_and_its_error():
    food = [(12, 12), (8, 16), (6, 18), (5, 20)]
    rows = [
        {
            "commands.0.do.count": west,
            "commands.1.do.count": east,
            "foragers.east_share": 0.1 + 0.8 * east / (west + east),
        }
        for west, east in food
    ]
    found = matching(rows)
    assert found["matching.slope"] == pytest.approx(0.8)
    assert found["matching.slope_error"] == pytest.approx(0, abs=1e-9)
    rows[0]["foragers.east_share"] += 0.1
    assert matching(rows)["matching.slope_error"] > 0.05
    nowhere = matching([{name: value for name, value in row.items() if "share" not in name} for row in rows])
    np.testing.assert_equal(nowhere, dict.fromkeys(MATCHING_FIGURES, np.nan))

"""Measures of plants, on constructed stands of plants and columns with known results."""

import numpy as np
import pytest
from small_runs import small_world

from umwelt.agents.body.genome import P_MARKER_A, P_MARKER_C
from umwelt.agents.body.interface import MODULE, SEED_IN_GROUND, TISSUE
from umwelt.agents.measures import measure_region, without_nan
from umwelt.agents.measures.lines import line_through
from umwelt.agents.measures.plant_figures import species_area, thinning
from umwelt.agents.measures.plants import KIND_WIDTH, first_modules, square_sides
from umwelt.agents.open_world import begin

NOBODY = {f"founders.{at}.count": 0 for at in (1, 2, 3)}


def stood(count, width=48, height=32):
    """Returns a world, its region and its plants: `count` modules along row 0, without stems."""
    sizes = {"width": width, "height": height, "founders.0.count": count, "founders.0.variation": 0.0}
    world = small_world(**{**NOBODY, **sizes})
    region = begin(world)
    plants = region.tables["plants"]
    plants.keep(region.owned_rows("plants"))
    assert plants.count == count
    move(region, np.zeros(count, int), np.arange(count))
    return world, region, plants


def move(region, y, x):
    """Moves the modules to the middles of cells (y, x) of the owned rectangle."""
    plants, rim = region.tables["plants"], region.halo_cells
    plants["y_fixed"][:] = ((np.asarray(y) + rim) << 10) + 512
    plants["x_fixed"][:] = ((np.asarray(x) + rim) << 10) + 512
    region._indices.clear()


def test_a_plant_is_a_set_of_modules_joined_by_living_stems():
    # 10 - 20 - 30 are connected, 40 is separate, 50 is on the stem of a dead module, 60 on 50
    ids, stems = np.array([30, 10, 60, 20, 50, 40]), np.array([20, 0, 50, 10, 99, 0])
    assert first_modules(ids, stems).tolist() == [1, 1, 4, 1, 4, 5]
    assert first_modules(np.empty(0, np.int64), np.empty(0, np.int64)).tolist() == []


def test_long_chains_of_modules_are_one_plant_in_any_order():
    ids = np.random.default_rng(1).permutation(np.arange(1, 200))
    assert set(ids[first_modules(ids, ids - 1)].tolist()) == {1}


def test_a_stand_is_measured_by_plants_cells_and_tissue():
    world, region, plants = stood(6)
    plants["counts"][:, TISSUE] = [10, 20, 30, 40, 50, 60]
    plants["stem_id"][1], plants["stem_direction"][1] = plants["id"][0], 1
    plants["generation"][:] = [0, 1, 0, 0, 2, 0]
    plants["stage"][5] = SEED_IN_GROUND
    found = measure_region(world, region, ["stand"])
    assert found == {
        "stand.plants": 4,
        "stand.density": 4 / 1536,
        "stand.yield_count": 150 / 1536,
        "stand.cover": 5 / 1536,
        "stand.mass_count": 150 / 4,
        "stand.sprouted": 1 / 4,
    }


def test_a_bare_plot_has_no_mean_plant():
    world, region, _ = stood(0)
    found = measure_region(world, region, ["stand", "kinds"])
    assert found["stand.plants"] == found["stand.yield_count"] == found["kinds.8"] == found["placed.8"] == 0
    assert np.isnan(found["stand.mass_count"])


def test_kinds_are_counted_in_every_nested_square():
    world, region, plants = stood(4)
    plants["genome"][:, P_MARKER_A : P_MARKER_C + 1] = [[0, 0, 0], [0, 0, 0], [0, 0, 0], [0, 0, 127]]
    move(region, [0, 7, 8, 15], [0, 7, 8, 15])
    found = measure_region(world, region, ["kinds"])
    # of 24 squares of side 8, one holds two modules of one kind, one holds two modules of different kinds
    assert found["kinds.8"] == 3 / 24 and found["kinds.16"] == 2 / 6
    assert found["placed.8"] == pytest.approx(1 - (23 / 24) ** 3 + 1 / 24)
    assert "kinds.32" not in found


def test_a_kind_is_a_box_of_markers_in_which_all_are_kin():
    world, region, plants = stood(2)
    markers = slice(P_MARKER_A, P_MARKER_C + 1)
    plants["genome"][0, markers], plants["genome"][1, markers] = -128, KIND_WIDTH - 1 - 128
    assert measure_region(world, region, ["kinds"])["kinds.16"] == 1 / 6
    plants["genome"][1, P_MARKER_C] += 1
    assert measure_region(world, region, ["kinds"])["kinds.16"] == 2 / 6
    assert 3 * (KIND_WIDTH - 1) * 8 < 1024
    assert (plants["stage"] == MODULE).all()


def test_squares_fill_the_world_exactly():
    assert list(square_sides(256, 256)) == [8, 16, 32, 64, 128, 256]
    assert list(square_sides(48, 40)) == [8] and list(square_sides(30, 64)) == []


def test_a_line_is_found_with_its_error():
    x = np.array([0.0, 1.0, 2.0, 3.0])
    assert line_through(x, 2 * x + 1) == (2.0, 0.0, 1.0)
    # residuals 0.1, -0.3, 0.3, -0.1 from y = x: sum of squares 0.2, 2 degrees of freedom, sum of squares of x 5
    found = line_through(x, x + np.array([0.1, -0.3, 0.3, -0.1]))
    assert found is not None
    assert (found.slope, found.error) == (pytest.approx(1.0), pytest.approx((0.2 / 2 / 5) ** 0.5))
    assert found.explained == pytest.approx(1 - 0.2 / 5.2)
    assert np.isnan([line_through(x[:2], x[:2]), line_through(np.ones(4), x)]).all()


def thinned(density, yields):
    """Returns the columns of a stand of plants with these densities and yields."""
    return {"tick": np.arange(len(density)) * 100.0, "stand.density": density, "stand.yield_count": yields}


def test_constant_yield_thins_with_slope_minus_one_whatever_came_before():
    density = np.array([1.0, 1.0, 0.8, 0.4, 0.2, 0.1])
    # an early maximum of young plants ends before the stand is dense
    found = thinning(thinned(density, np.array([9.5, 5.0, 10.0, 10.0, 10.0, 10.0])))
    assert found["thinning.slope"] == pytest.approx(-1) and found["thinning.error"] == pytest.approx(0, abs=1e-9)
    assert (found["thinning.from_tick"], found["thinning.yield_moves"]) == (200, 1)
    assert found["thinning.fall"] == pytest.approx(8)


def test_a_yield_that_falls_off_at_the_end_counts_too():
    found = thinning(thinned(np.array([1.0, 0.5, 0.25]), np.array([8.0, 8.0, 2.0])))
    assert found["thinning.from_tick"] == 0 and found["thinning.yield_moves"] == 4
    assert found["thinning.slope"] == pytest.approx(0)


def test_yodas_stand_leaves_constant_yield_after_a_fall_of_less_than_a_quarter():
    density = np.geomspace(1, 0.01, 200)
    found = thinning(thinned(density, density**-0.5))
    assert found["thinning.slope"] == pytest.approx(-1.5)
    assert 1.1 < found["thinning.fall"] < 1 / 0.9**2


def test_an_extinct_or_empty_stand_has_the_same_figures():
    found = thinning(thinned(np.array([1.0, 0.5, 0.0]), np.array([4.0, 4.0, 0.0])))
    assert found["thinning.fall"] == 2 and np.isnan(found["thinning.slope"])
    assert without_nan(thinning(thinned(np.zeros(3), np.zeros(3)))) == {}


def areas(z, placed_z, first=3.0):
    """Returns columns in which kinds grow with the power `z` of the area, and placed kinds with `placed_z`."""
    sides = (8, 16, 32, 64)
    found = {f"kinds.{side}": np.array([1.0, first * (side / 8) ** (2 * z)]) for side in sides}
    return found | {f"placed.{side}": np.array([9.0, 2 * first * (side / 8) ** (2 * placed_z)]) for side in sides}


def test_z_is_the_power_of_area_at_the_end():
    found = species_area(areas(0.25, 0.1))
    assert found["species_area.z"] == pytest.approx(0.25) and found["species_area.placed_z"] == pytest.approx(0.1)
    assert found["species_area.error"] == pytest.approx(0, abs=1e-9)
    assert found["species_area.explained"] == pytest.approx(1) and found["species_area.crowding"] == pytest.approx(2)


def test_an_empty_world_has_no_z_and_a_missing_measure_is_named():
    assert without_nan(species_area({name: values * 0 for name, values in areas(0.25, 0.1).items()})) == {}
    with pytest.raises(KeyError, match=r"kinds\.8"):
        species_area({"tick": np.arange(3.0)})

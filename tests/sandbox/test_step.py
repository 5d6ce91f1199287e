"""Running laws (`step`, `advance`): their order and reach; the result is the same for any halo and any division."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from umwelt.sandbox.columns import Column, Schema
from umwelt.sandbox.errors import LawError
from umwelt.sandbox.region import Field, Rectangle, Region, Torus, exchange_halos
from umwelt.sandbox.step import Law, Laws, advance, step

FIELDS = (Field("heat", "int64"),)
THINGS = Schema("things", 1, (Column("moved", "int32"),))


def sums_within(reach: int):
    """Returns a law that sums `heat` over the square of this reach, modulo a prime; wrong near the array's edges."""

    def run(region: Region) -> None:
        heat = region.fields["heat"]
        total = np.zeros_like(heat)
        for y in range(-reach, reach + 1):
            for x in range(-reach, reach + 1):
                total += np.roll(heat, (y, x), (0, 1)) * (1 + (y + 3 * x) % 5)
        heat[:] = total % 99_991

    return run


def laws_of(*reaches: int) -> Laws:
    """Returns laws that each sum over a square of one of these reaches."""
    order = [Law(f"sum_{reach}", reach, sums_within(reach)) for reach in reaches]
    return Laws("sums", order, object, lambda world: (FIELDS, [THINGS]), lambda world, region: None)


def region_of(torus: Torus, owned: Rectangle, halo_cells: int, heat: np.ndarray) -> Region:
    region = Region(torus, owned, halo_cells, FIELDS, [THINGS], seed=1)
    rows = (np.arange(owned.height) + owned.y) % torus.height
    columns = (np.arange(owned.width) + owned.x) % torus.width
    region.owned_view("heat")[:] = heat[np.ix_(rows, columns)]
    return region


def random_heat(torus: Torus, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 1000, torus)


def expected_heat(heat: np.ndarray, laws: Laws, ticks: int) -> np.ndarray:
    """Returns the expected result: the same laws on the whole torus, by `np.roll`."""
    region = region_of(Torus(*heat.shape), Rectangle(0, 0, *heat.shape), 0, heat)
    for _ in range(ticks):
        for law in laws:
            law.run(region)
    return region.fields["heat"]


toruses = st.builds(Torus, st.integers(6, 20), st.integers(6, 20))
reach_lists = st.lists(st.integers(0, 2), min_size=1, max_size=3).filter(any)


@settings(max_examples=40)
@given(
    torus=toruses, reaches=reach_lists, exchanges=st.integers(1, 3), ticks=st.integers(1, 5), seed=st.integers(0, 99)
)
def test_a_halo_of_any_depth_gives_the_same_world(torus, reaches, exchanges, ticks, seed):
    laws, heat = laws_of(*reaches), random_heat(torus, seed)
    region = region_of(torus, Rectangle(0, 0, *torus), laws.light_speed * exchanges, heat)
    advance(region, laws, ticks)
    assert region.tick == ticks
    assert np.array_equal(region.owned_view("heat"), expected_heat(heat, laws, ticks))


@settings(max_examples=40)
@given(torus=toruses, reaches=reach_lists, data=st.data(), ticks_per_exchange=st.integers(1, 3))
def test_any_division_of_the_torus_gives_the_same_world(torus, reaches, data, ticks_per_exchange):
    laws, heat = laws_of(*reaches), random_heat(torus, 7)
    y_cut = data.draw(st.integers(1, torus.height - 1))
    x_cut = data.draw(st.integers(1, torus.width - 1))
    y0, x0 = data.draw(st.integers(0, torus.height - 1)), data.draw(st.integers(0, torus.width - 1))
    rectangles = [
        Rectangle(y0 + y, x0 + x, height, width)
        for y, height in ((0, y_cut), (y_cut, torus.height - y_cut))
        for x, width in ((0, x_cut), (x_cut, torus.width - x_cut))
    ]
    regions = [region_of(torus, one, laws.light_speed * ticks_per_exchange, heat) for one in rectangles]
    for tick in range(2 * ticks_per_exchange):
        if tick % ticks_per_exchange == 0:
            exchange_halos(regions)
        for region in regions:
            step(region, laws)
    expected = expected_heat(heat, laws, 2 * ticks_per_exchange)
    for region in regions:
        rows, columns = np.indices(region.owned[2:])
        y, x = (rows + region.owned.y) % torus.height, (columns + region.owned.x) % torus.width
        assert np.array_equal(region.owned_view("heat"), expected[y, x])


@settings(max_examples=40)
@given(reaches=reach_lists, ticks=st.integers(1, 3), y=st.integers(0, 30), x=st.integers(0, 30), seed=st.integers(0, 9))
def test_a_change_has_effects_within_the_light_cone_and_nowhere_else(reaches, ticks, y, x, seed):
    torus, laws = Torus(31, 31), laws_of(*reaches)
    heat = random_heat(torus, seed)
    changed = heat.copy()
    changed[y, x] += 1
    differs = expected_heat(heat, laws, ticks) != expected_heat(changed, laws, ticks)
    rows, columns = np.indices(torus)
    distance = np.maximum(
        np.minimum(abs(rows - y), 31 - abs(rows - y)), np.minimum(abs(columns - x), 31 - abs(columns - x))
    )
    assert differs.any() and distance[differs].max() <= laws.light_speed * ticks


def test_laws_run_in_order_and_each_uses_up_its_reach():
    margins = []

    def note(name: str):
        return lambda region: margins.append((name, region.margin_cells))

    order = [Law("far", 3, note("far")), Law("here", 0, note("here")), Law("near", 1, note("near"))]
    laws = Laws("noted", order, object, lambda world: (FIELDS, []), lambda world, region: None)
    region = region_of(Torus(12, 12), Rectangle(0, 0, 12, 12), 10, random_heat(Torus(12, 12), 1))
    region.wrap()
    ended = []
    step(region, laws, between=lambda law: ended.append(law.name))
    assert margins == [("far", 7), ("here", 7), ("near", 6)] and ended == ["far", "here", "near"]
    assert (region.tick, laws.light_speed, [law.name for law in laws]) == (1, 4, ended)


def test_a_tick_without_enough_halo_is_refused_and_changes_nothing():
    laws, heat = laws_of(2, 1), random_heat(Torus(12, 12), 1)
    region = region_of(Torus(12, 12), Rectangle(0, 0, 12, 12), 5, heat)
    region.wrap()
    step(region, laws)
    before = region.fields["heat"].copy()
    with pytest.raises(LawError, match="2 cells of halo are left at tick 1, 3 are needed"):
        step(region, laws)
    assert region.tick == 1 and np.array_equal(region.fields["heat"], before)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=8))
def test_reaches_that_add_up_to_more_than_light_speed_are_refused(reaches):
    if sum(reaches) <= 16:
        assert laws_of(*reaches).light_speed == sum(reaches)
    else:
        with pytest.raises(LawError, match=f"add up to {sum(reaches)} cells a tick; at most 16"):
            laws_of(*reaches)


def test_advancing_sorts_rows_by_cell_and_keeps_every_being():
    torus = Torus(16, 16)
    region = region_of(torus, Rectangle(0, 0, *torus), 2, random_heat(torus, 3))
    random = np.random.default_rng(5)
    positions = random.integers(0, 16 * 1024, (2, 50)) + 2 * 1024
    rows = {"id": np.arange(50), "moved": np.arange(50), "y_fixed": positions[0], "x_fixed": positions[1]}
    region.tables["things"].append(50, rows)
    advance(region, laws_of(2), 9)
    table, owned = region.tables["things"], region.owned_rows("things")
    assert sorted(table["id"][owned]) == list(range(50))
    assert np.array_equal(table["id"], table["moved"])

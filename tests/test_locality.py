"""Locality: a change outside the reach of a law, or of a whole tick, does not change the result inside.

Tests run a law on a region and on a disturbed copy of it, and compare one cell.
"""

import copy
import functools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sharded_regions import begin, golden_world

from umwelt.agents.earth.earth import laws
from umwelt.sandbox.region import Region
from umwelt.sandbox.step import advance, step

ROW_NUMBERS = {"graze_target", "bite_target", "claim_top"}
"""Columns that hold row numbers, which differ for the same beings after rows were reordered."""


def lived_in(ticks: int, seed: int = 1, **overrides) -> Region:
    """Returns a region of the golden world after some ticks, with a current halo."""
    world = golden_world(seed=seed, **overrides)
    region = begin(world)
    advance(region, world.laws, ticks)
    region.wrap()
    return region


@pytest.fixture(scope="module")
def aged() -> Region:
    return lived_in(40)


@pytest.fixture(scope="module")
def tidal() -> Region:
    """A region with strong tides and random water, deep in places."""
    region = lived_in(40, **{"climate.tide": 3000, "climate.tide_ticks": 90})
    region["water"][:] = np.random.default_rng(1).integers(300, 2500, region["water"].shape)
    region.margin_cells = 0
    region.wrap()
    return region


def cells_of(region: Region, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns the window rows and columns of the cells of all beings of a table."""
    table = region.tables[name]
    return table["y_fixed"] >> 10, table["x_fixed"] >> 10


def disturb_outside(region: Region, y: int, x: int, reach: int, seed: int) -> None:
    """Change everything further than `reach` from a window cell at random: matter, weather, beings.

    Beings outside are moved to a ring just beyond the reach, where an effect on the cell is most likely.
    """
    random = np.random.default_rng(seed)
    far = (
        np.maximum(
            np.abs(np.arange(region.window.height) - y)[:, None], np.abs(np.arange(region.window.width) - x)[None, :]
        )
        > reach
    )
    for array in [*region.fields.values(), *region._scratch.values()]:
        noise = random.integers(0, 900, array.shape).astype(array.dtype)
        array[..., far] = noise[..., far]
    for name, table in region.tables.items():
        ys, xs = cells_of(region, name)
        outside = far[ys, xs]
        table.keep(~outside | (random.random(table.count) < 0.6))
        ys, xs = cells_of(region, name)
        rows = np.flatnonzero(far[ys, xs])
        for column in table.schema.columns:
            if column.name in ("id", "y_fixed", "x_fixed", "species") or column.name in ROW_NUMBERS:
                continue
            values = table[column.name]
            low, high = (-128, 127) if column.name == "genome" else (0, 2) if column.name == "organs" else (0, 100)
            values[rows] = random.integers(low, high, values[rows].shape)
        if "stage" in table:
            table["stage"][rows] = random.integers(0, 3, len(rows))
            table["bud_direction"][rows] = random.integers(0, 9, len(rows))
        if "drives" in table:
            table["drives"][rows] = random.integers(-1024, 1025, table["drives"][rows].shape)
        table["id"][rows] += 1 << 40
        ring = np.argwhere(far & (np.maximum(*np.abs(np.indices(far.shape) - [[[y]], [[x]]])) <= reach + 2))
        if len(ring):
            chosen = ring[random.integers(0, len(ring), len(rows))]
            table["y_fixed"][rows] = chosen[:, 0] * 1024 + random.integers(0, 1024, len(rows))
            table["x_fixed"][rows] = chosen[:, 1] * 1024 + random.integers(0, 1024, len(rows))
    region._indices.clear()


def seen_at(region: Region, y: int, x: int) -> list:
    """Returns all values and beings of a window cell, in an order that does not depend on the order of rows."""
    found: list = [array[..., y, x].tolist() for array in region.fields.values()]
    for name, table in region.tables.items():
        ys, xs = cells_of(region, name)
        columns = [c.name for c in table.schema.columns if c.name not in ROW_NUMBERS]
        found.append(sorted([table[c][row].tolist() for c in columns] for row in np.flatnonzero((ys == y) & (xs == x))))
    return found


def crowded_cell(region: Region, pick: int, rim: int) -> tuple[int, int]:
    """Returns a window cell (y, x) with a being in it, at least `rim` cells from the edge of the window."""
    table = region.tables["monsters" if pick % 2 else "plants"]
    ys, xs = table["y_fixed"] >> 10, table["x_fixed"] >> 10
    inside = np.flatnonzero(
        (ys >= rim) & (ys < region.window.height - rim) & (xs >= rim) & (xs < region.window.width - rim)
    )
    row = inside[pick % len(inside)]
    return int(ys[row]), int(xs[row])


some_age = functools.cache(lived_in)


@settings(max_examples=60)
@given(
    ticks=st.sampled_from([1, 12, 60, 150]),
    world=st.integers(1, 3),
    pick=st.integers(0, 10_000),
    seed=st.integers(0, 1_000),
)
def test_a_change_outside_the_light_cone_of_a_tick_has_no_effect(ticks, world, pick, seed):
    aged = some_age(ticks, world)
    quiet, loud = copy.deepcopy(aged), copy.deepcopy(aged)
    y, x = crowded_cell(quiet, pick, laws.light_speed)
    disturb_outside(loud, y, x, laws.light_speed, seed)
    step(quiet, laws)
    step(loud, laws)
    assert seen_at(quiet, y, x) == seen_at(loud, y, x)


def test_a_change_inside_the_light_cone_has_an_effect(aged):
    """Shows that the disturbance of the other tests is strong enough to have an effect within the reach."""
    quiet, loud = copy.deepcopy(aged), copy.deepcopy(aged)
    y, x = crowded_cell(quiet, 1, laws.light_speed)
    disturb_outside(loud, y, x, 0, 1)
    step(quiet, laws)
    step(loud, laws)
    assert seen_at(quiet, y, x) != seen_at(loud, y, x)


@pytest.mark.parametrize("state", ["aged", "tidal"])
@pytest.mark.parametrize("number", range(len(laws.order)), ids=[law.name for law in laws])
@settings(max_examples=30)
@given(pick=st.integers(0, 10_000), seed=st.integers(0, 1_000))
def test_each_law_keeps_to_its_declared_reach(aged, tidal, state, number, pick, seed):
    quiet = copy.deepcopy(tidal if state == "tidal" else aged)
    for law in laws.order[:number]:
        quiet.margin_cells -= law.reach
        law.run(quiet)
    law = laws.order[number]
    loud = copy.deepcopy(quiet)
    y, x = crowded_cell(quiet, pick, quiet.halo_cells - quiet.margin_cells + law.reach)
    disturb_outside(loud, y, x, law.reach, seed)
    for region in (quiet, loud):
        region.margin_cells -= law.reach
        law.run(region)
    assert seen_at(quiet, y, x) == seen_at(loud, y, x)


def provoke(region: Region, name: str) -> None:
    """Prepare a region, before a law runs, so that effects over the law's whole reach are frequent."""
    random = np.random.default_rng(1)
    plants, monsters = region.tables["plants"], region.tables["monsters"]
    if name == "flow":  # water everywhere, on its way downhill
        region["water"][:] = random.integers(500, 1500, region["water"].shape)
    if name == "sense":  # few monsters with many eyes, so that the nearest other is far
        monsters.keep(np.arange(monsters.count) % 20 == 0)
        monsters["eye_organs"][:], monsters["dryness"][:], monsters["eyes_shut"][:] = 9, 0, 0
    if name == "act":  # rows of four: the third bites the fourth, or else shares the victim of the first
        monsters.keep(np.arange(monsters.count) < 80)
        group, member = np.arange(80) // 4, np.arange(80) % 4
        monsters["y_fixed"][:] = (34 + group // 4 * 5) * 1024 + 512
        monsters["x_fixed"][:] = (34 + group % 4 * 9) * 1024 + np.array([512, 1485, 2458, 3400])[member]
        state = {"bite": 1024, "jaw_organs": 3, "asleep": 0, "detritus_count": 0, "tissue_count": 7}
        for column, value in state.items():
            monsters[column][:] = value
    if name == "live":  # modules with free cells between them, all ready to bud
        plants.keep(random.random(plants.count) < 0.4)
        for column, value in {"stage": 2, "tissue_count": 70, "sugar_count": 70, "age_ticks": 9}.items():
            plants[column][:] = value
        plants["bud_direction"][:] = random.integers(1, 9, plants.count)
    region._indices.clear()


@pytest.mark.parametrize("state", ["aged", "tidal"])
@pytest.mark.parametrize(
    ("name", "least"), [("flow", 2), ("sense", 4), ("act", 3), ("move", 1), ("grow", 1), ("live", 2)]
)
def test_a_reach_declared_one_cell_too_short_is_found(aged, tidal, state, name, least):
    """Shows that the test above can fail: a change at the full reach has an effect in some cell."""
    number = [law.name for law in laws].index(name)
    start = copy.deepcopy(tidal if state == "tidal" else aged)
    for law in laws.order[:number]:
        start.margin_cells -= law.reach
        law.run(start)
    provoke(start, name)
    law = laws.order[number]
    assert law.reach == least
    for pick in range(400):
        quiet, loud = copy.deepcopy(start), copy.deepcopy(start)
        y, x = crowded_cell(quiet, pick * 7 + 1, quiet.halo_cells - quiet.margin_cells + law.reach)
        disturb_outside(loud, y, x, law.reach - 1, pick)
        for region in (quiet, loud):
            region.margin_cells -= law.reach
            law.run(region)
        if seen_at(quiet, y, x) != seen_at(loud, y, x):
            return
    pytest.fail(f"{name} never felt anything at its reach of {least} cells: it may be declared too wide")

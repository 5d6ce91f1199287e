"""The command `drop`: it adds a count of a substance to one cell, up to the maximum of a cell's counter."""

import numpy as np
import pytest
from command_world import apply, assert_halo_is_fresh, owned, ready, substance_change
from hypothesis import given, settings
from hypothesis import strategies as st
from sharded_regions import begin, whole_elements
from small_runs import small_world

from umwelt.agents import commands
from umwelt.agents.commands.cells import MAX_IN_CELL_COUNT
from umwelt.agents.commands.drop import Drop
from umwelt.agents.commands.rain import Rain
from umwelt.agents.measures.matter_budget import MatterBudget
from umwelt.agents.open_world import torus_of
from umwelt.sandbox.chemistry import parse_formula
from umwelt.sandbox.step import advance


def test_a_drop_adds_exactly_what_it_says():
    region, world = ready()
    before, elements = owned(region, "sugar"), whole_elements([region], world)
    apply(region, world, Drop(31, 0, "sugar", 77), 1)
    change = owned(region, "sugar") - before
    assert change[31, 0] == 77 and np.count_nonzero(change) == 1
    more = {element: 77 * count for element, count in parse_formula("sugar", "CH2O").items()}
    assert whole_elements([region], world) == {e: n + more.get(e, 0) for e, n in elements.items()}
    assert_halo_is_fresh(region)


def test_a_dropped_substance_reacts_in_its_cell_until_it_is_used_up():
    own = {
        "chemistry.substances": {"salt": "P", "acid": "S", "crystal": "PS"},
        "chemistry.initial": {"salt": 40},
        "chemistry.reactions": [{"name": "set", "equation": "salt + acid -> crystal", "rate": 0.5, "order": 0}],
    }
    world = small_world(**own)
    region = begin(world)
    region.wrap()
    advance(region, world.laws, 2)
    assert owned(region, "crystal").sum() == 0
    apply(region, world, Drop(5, 9, "acid", 25), 1)
    apply(region, world, Drop(7, 3, "acid", 55), 2)
    advance(region, world.laws, 150)
    crystal, salt, acid = (owned(region, name) for name in ("crystal", "salt", "acid"))
    assert (crystal[5, 9], salt[5, 9], acid[5, 9]) == (25, 15, 0)
    assert (crystal[7, 3], salt[7, 3], acid[7, 3]) == (40, 0, 15)
    assert crystal.sum() == 65 and acid.sum() == 15
    before = crystal
    advance(region, world.laws, 20)
    assert (owned(region, "crystal") == before).all()


def test_no_cell_is_filled_beyond_what_its_counter_holds():
    region, world = ready()
    for number in range(300):
        commands.apply(region, Drop(3, 4, "water", 1 << 24), number)
        commands.apply(region, Rain(3, 4, 1, 1 << 24), number)
    assert owned(region, "water")[3, 4] == commands.MAX_IN_CELL_COUNT == owned(region, "water").max()
    before = whole_elements([region], world)
    for _ in range(5):
        advance(region, world.laws, 1)
    assert whole_elements([region], world) == before and (region.fields["substance"] >= 0).all()


@pytest.fixture(scope="module")
def small():
    return ready()


@settings(max_examples=40, deadline=None)
@given(
    y=st.integers(0, 31),
    x=st.integers(0, 31),
    substance=st.sampled_from(["water", "sugar", "detritus", "musk"]),
    count=st.integers(1, MAX_IN_CELL_COUNT),
)
def test_a_drop_adds_its_count_or_fills_the_cell_and_the_budget_bounds_it(small, y, x, substance, count):
    region, world = small
    region.fields["substance"][:] //= 3
    before = int(owned(region, substance)[y, x])
    command = Drop(y, x, substance, count)
    budget = MatterBudget(world.chemistry, torus_of(world), whole_elements([region], world))
    least, most = command.matter_change(budget)[substance]
    change = substance_change(region, world, command)
    assert change.pop(substance) == min(count, MAX_IN_CELL_COUNT - before) and not any(change.values())
    assert least <= min(count, MAX_IN_CELL_COUNT - before) <= most

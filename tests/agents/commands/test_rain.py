"""The command `rain`: it adds water to each cell of a disc, also across the seams."""

import numpy as np
import pytest
from command_world import apply, assert_halo_is_fresh, owned, ready, substance_change
from hypothesis import given, settings
from hypothesis import strategies as st
from sharded_regions import whole_elements

from umwelt.agents.commands.cells import count_disc_cells
from umwelt.agents.commands.rain import Rain
from umwelt.agents.measures.matter_budget import MatterBudget
from umwelt.agents.open_world import torus_of


def test_rain_falls_on_a_disc_over_the_seams():
    region, world = ready()
    before = owned(region, "water")
    apply(region, world, Rain(0, 31, 2, 50), 1)
    change = owned(region, "water") - before
    wet = {(y, x) for y, x in np.argwhere(change).tolist()}
    near = [(dy, dx) for dy in range(-2, 3) for dx in range(-2, 3) if dy * dy + dx * dx <= 4]
    assert wet == {(dy % 32, (31 + dx) % 32) for dy, dx in near}
    assert set(change[change > 0].tolist()) == {50}
    assert_halo_is_fresh(region)


@pytest.fixture(scope="module")
def small():
    return ready()


@settings(max_examples=40, deadline=None)
@given(y=st.integers(0, 31), x=st.integers(0, 31), radius=st.integers(0, 128), count=st.integers(1, 500))
def test_rain_adds_its_count_to_as_many_cells_as_the_budget_says(small, y, x, radius, count):
    region, world = small
    command = Rain(y, x, radius, count)
    cells = count_disc_cells(torus_of(world), radius)
    budget = MatterBudget(world.chemistry, torus_of(world), whole_elements([region], world))
    least, most = command.matter_change(budget)["water"]
    change = substance_change(region, world, command)
    assert least <= change["water"] <= most == cells * count
    assert change.pop("water") == cells * count and not any(change.values())
    region.fields["substance"][:] //= 2

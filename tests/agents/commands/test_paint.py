"""The command `paint`: it sets a field on a rectangle of cells, also across the seams, and changes nothing else."""

import numpy as np
import pytest
from command_world import apply, assert_halo_is_fresh, owned, ready, substance_change
from hypothesis import given, settings
from hypothesis import strategies as st
from sharded_regions import whole_elements

from umwelt.agents.commands.paint import Paint
from umwelt.agents.measures.matter_budget import MatterBudget
from umwelt.agents.open_world import torus_of


@pytest.mark.parametrize(("part", "value"), [("water", 0), ("mineral", 55), ("elevation", 2100)])
def test_paint_sets_a_rectangle_and_nothing_else(part, value):
    region, world = ready()
    fields = {name: array.copy() for name, array in region.fields.items()}
    apply(region, world, Paint(30, 29, 4, 200 if value else 5, part, value), 1)
    plane = owned(region, part)
    rows, columns = [30, 31, 0, 1], (list(range(32)) if value else [29, 30, 31, 0, 1])
    assert (plane[np.ix_(rows, columns)] == value).all()
    plane = region[part]
    for name, array in fields.items():
        changed = np.argwhere((array != region.fields[name]).reshape(-1, *plane.shape))
        assert {(int(y) - region.halo_cells) % 32 for _, y, _ in changed} <= set(rows)
        assert len({int(plane_at) for plane_at, _, _ in changed}) <= 1
    assert_halo_is_fresh(region)


@pytest.fixture(scope="module")
def small():
    return ready()


@settings(max_examples=40, deadline=None)
@given(
    y=st.integers(0, 31),
    x=st.integers(0, 31),
    height=st.integers(1, 256),
    width=st.integers(1, 256),
    value=st.integers(0, 5000),
)
def test_paint_stays_within_the_bounds_of_the_matter_budget(small, y, x, height, width, value):
    region, world = small
    command = Paint(y, x, height, width, "mineral", value)
    budget = MatterBudget(world.chemistry, torus_of(world), whole_elements([region], world))
    least, most = command.matter_change(budget)["mineral"]
    change = substance_change(region, world, command)
    assert least <= change.pop("mineral") <= most and not any(change.values())
    cells = min(height, 32) * min(width, 32)
    assert np.count_nonzero(owned(region, "mineral") == value) >= cells
    once = owned(region, "mineral")
    apply(region, world, command)
    assert (owned(region, "mineral") == once).all()

"""The command `wound`: tissue of a being becomes detritus of its cell, and matter is conserved."""

import pytest
from command_world import apply, assert_halo_is_fresh, owned, ready
from commands_script import cast
from sharded_regions import whole_elements

from umwelt.agents import commands
from umwelt.agents.commands.cells import MAX_IN_CELL_COUNT
from umwelt.agents.commands.wound import Wound
from umwelt.agents.earth import parameters
from umwelt.sandbox.units import ONE


@pytest.mark.parametrize(("kind", "asked"), [("monsters", 5), ("monsters", 1 << 24), ("plants", 3)])
def test_a_wound_turns_tissue_into_detritus_and_conserves_matter(kind, asked):
    region, world = ready()
    found = cast(world)[0 if kind == "monsters" else 1][0]
    held = found["row"]["counts"][6]
    before, ground = whole_elements([region], world), owned(region, "detritus")
    apply(region, world, Wound(found["id"], asked), 1)
    now = commands.fetch(region, found["id"])["row"]
    lost = min(held, asked)
    assert held > 10 and now["counts"][6] == held - lost
    fell = owned(region, "detritus") - ground
    assert fell.sum() == lost == fell[found["y_fixed"] >> 10, found["x_fixed"] >> 10]
    assert whole_elements([region], world) == before
    if kind == "monsters":
        assert now["pain"] == min(ONE, lost * parameters.PAIN_PER_TISSUE)
    assert_halo_is_fresh(region)


def test_a_full_cell_takes_no_more_tissue():
    region, world = ready()
    being = cast(world)[0][0]
    region["detritus"][:] = MAX_IN_CELL_COUNT - 3
    before = whole_elements([region], world)
    apply(region, world, Wound(being["id"], 9))
    assert commands.fetch(region, being["id"])["row"]["counts"][6] == being["row"]["counts"][6] - 3
    assert whole_elements([region], world) == before and owned(region, "detritus").max() == MAX_IN_CELL_COUNT

"""The matter budget: it computes what commands add to a world from the commands alone, exactly or within bounds."""

import pytest
from commands_script import KINDS, LAST_TICK, commands_at, number_of
from sharded_regions import golden_world

from umwelt.agents import commands
from umwelt.agents.commands.drive import Drive
from umwelt.agents.commands.drop import Drop
from umwelt.agents.commands.move import Move
from umwelt.agents.commands.paint import Paint
from umwelt.agents.commands.rain import Rain
from umwelt.agents.commands.rate import Rate
from umwelt.agents.commands.remove import Remove
from umwelt.agents.commands.spawn import Spawn
from umwelt.agents.commands.wound import Wound
from umwelt.agents.measures.matter_budget import MatterBudget
from umwelt.agents.open_world import generate_world, torus_of
from umwelt.sandbox.audit import element_totals, substance_totals

EXACT = (Drop, Rain, Spawn, Wound, Drive, Rate)
WORLD = golden_world(48, 48)


def atoms(region) -> dict[str, int]:
    """Returns the number of atoms of each element in a region."""
    return element_totals(substance_totals(region, WORLD.chemistry), WORLD.chemistry)


def test_commands_of_every_kind_stay_within_the_budget():
    region = generate_world(WORLD)
    before, met, exact = atoms(region), set(), set()
    for tick in range(LAST_TICK + 1):
        for at, command in enumerate(commands_at(tick, WORLD)):
            budget = MatterBudget(WORLD.chemistry, torus_of(WORLD), before)
            budget.record(tick, command)
            commands.apply(region, command, number_of(tick, at))
            after = atoms(region)
            known = budget.min_atoms == budget.max_atoms
            if known:
                assert budget.max_atoms == after, command
                exact.add(type(command))
            assert budget.compare(after) is None, command
            assert (budget.touched_tick is None) <= (after == before), command
            before = after
            met.add(type(command))
    assert met == set(KINDS) and exact >= set(EXACT) and not exact & {Move, Remove}


def test_an_atom_out_of_bounds_is_named_and_one_that_commands_explain_is_not():
    held = atoms(generate_world(WORLD))
    budget = MatterBudget(WORLD.chemistry, torus_of(WORLD), held)
    assert budget.compare(held | {"N": held["N"] + 1}) == "N"
    budget.record(5, Drop(1, 2, "mineral", 7))
    assert budget.compare(held | {"N": held["N"] + 8}) == "N" and budget.touched_tick == 5
    assert budget.compare(held | {"N": held["N"] + 7}) is None and budget.open_tick is None
    budget.record(9, Paint(0, 0, 2, 3, "mineral", 4))
    assert budget.compare(held | {"C": held["C"] + 1}) == "C"
    assert budget.compare(held | {"N": held["N"] - 100}) is None and budget.open_tick == 9
    assert budget.compare(held | {"N": held["N"] - 101}) == "N"  # after a count, the amount is exact again


def test_a_full_cell_may_take_in_less_than_a_command_adds():
    held = atoms(generate_world(WORLD)) | {"H": 1 << 40, "O": 1 << 40}
    for command, most in ((Drop(1, 2, "water", 1 << 20), 1 << 20), (Rain(0, 0, 1, 1 << 20), 5 << 20)):
        budget = MatterBudget(WORLD.chemistry, torus_of(WORLD), held)
        budget.record(3, command)
        assert budget.min_atoms["O"] == held["O"] and budget.max_atoms["O"] == held["O"] + most
        assert budget.compare(held | {"O": held["O"] + 9, "H": held["H"] + 18}) is None and budget.open_tick == 3
        budget = MatterBudget(WORLD.chemistry, torus_of(WORLD), held)
        budget.record(3, command)
        all_of_it = held | {"O": held["O"] + most, "H": held["H"] + 2 * most}
        assert budget.compare(all_of_it) is None and budget.open_tick is None


@pytest.mark.parametrize("command", [Wound(77, 4), Drive(77), Rate("decay", 1), Paint(0, 0, 4, 4, "elevation", 9)])
def test_commands_without_matter_leave_the_budget_unchanged(command):
    held = atoms(generate_world(WORLD))
    budget = MatterBudget(WORLD.chemistry, torus_of(WORLD), held)
    budget.record(3, command)
    assert budget.min_atoms == budget.max_atoms == held and budget.touched_tick is None

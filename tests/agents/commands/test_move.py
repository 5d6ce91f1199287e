"""The command `move`: it puts a being at another place, and changes nothing else of it."""

import pytest
from command_world import apply, assert_halo_is_fresh, ready
from commands_script import cast
from sharded_regions import begin, golden_world, whole_elements

from umwelt.agents import commands
from umwelt.agents.commands.move import Move, MoveRequest
from umwelt.sandbox import audit
from umwelt.sandbox.errors import CommandError
from umwelt.sandbox.step import advance
from umwelt.sandbox.units import SUBCELL


def test_a_moved_being_keeps_all_columns_but_its_place():
    region, world = ready()
    region.index("monsters")
    before, counts = whole_elements([region], world), dict(region.counts)
    found = commands.fetch(region, cast(world)[0][0]["id"])
    moved = Move(**{**found, "y_fixed": 0, "x_fixed": 32 * SUBCELL - 1})
    apply(region, world, moved, 1)
    assert commands.fetch(region, found["id"]) == {**found, "y_fixed": 0, "x_fixed": 32 * SUBCELL - 1}
    assert whole_elements([region], world) == before and region.counts == counts
    rows = region.index("monsters").rows
    assert sorted(rows.tolist()) == list(range(region.tables["monsters"].count))
    assert_halo_is_fresh(region)


def test_every_being_of_a_running_world_can_be_moved():
    """The row of every being of a running world passes the check of a command's row."""
    world = golden_world(48, 48)
    region = begin(world)
    advance(region, world.laws, 400)
    assert region.counts["births"] > 50
    for name, table in region.tables.items():
        for being in table["id"][region.owned_rows(name)].tolist():
            commands.check(world, Move(**commands.fetch(region, being)))


def test_moving_back_restores_the_world():
    region, world = ready()
    being = commands.fetch(region, cast(world)[1][0]["id"])
    before = audit.digest(region)
    apply(region, world, Move(**{**being, "y_fixed": 5 * SUBCELL}))
    assert audit.digest(region) != before
    apply(region, world, Move(**being), 2)
    assert audit.digest(region) == before


def test_a_request_becomes_the_move_of_the_fetched_row():
    world = golden_world(32, 32)
    being = cast(world)[0][0]
    request = MoveRequest(being["id"], 1.5, 31.999)
    assert request.being_id() == being["id"]
    moved = {**being, "y_fixed": 1536, "x_fixed": 32 * SUBCELL - 1}
    assert commands.compose(world, request, being) == [Move(**moved)]
    with pytest.raises(CommandError, match="no such being lives"):
        commands.compose(world, request, None)

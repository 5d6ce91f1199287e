"""The command `drive`: it overrides a monster's drives until it is released or the override ends."""

import pytest
from command_world import apply, column_by_id, ready
from commands_script import cast, drives
from sharded_regions import begin, golden_world

from umwelt.agents import commands
from umwelt.agents.commands.drive import Drive, DriveRequest
from umwelt.sandbox.controls import Controls, Override
from umwelt.sandbox.errors import CommandError
from umwelt.sandbox.step import advance, step
from umwelt.sandbox.units import ONE


def test_an_override_sets_the_drives_until_it_is_released():
    region, world = ready(64)
    being = cast(world)[0][0]["id"]
    wanted = drives(turn=-ONE, thrust=ONE, drink=17)
    plain = begin(world)
    advance(plain, world.laws, 1)
    apply(region, world, Drive(being, wanted), 1)
    step(region, world.laws)
    driven, free = (column_by_id(r, "drives") for r in (region, plain))
    assert driven.pop(being) == list(wanted) != free.pop(being)
    assert driven == free and len(free) > 50
    # the net ran as well: its memory is the same as without the override
    memory = [column_by_id(r, "memory")[being] for r in (region, plain)]
    assert memory[0] == memory[1] != [0] * 8
    apply(region, world, Drive(being), 2)
    assert region.controls == Controls()
    advance(region, world.laws, 1)
    assert column_by_id(region, "drives")[being] != list(wanted)


def test_an_override_with_an_end_sets_only_its_drives_and_until_that_tick():
    region, world = ready(64)
    being = cast(world)[0][0]["id"]
    still = (0, 0, *[None] * 9)
    driven = drives(turn=-ONE, thrust=ONE, drink=17)
    apply(region, world, Drive(being, driven))
    region.controls.set_override(being, "drive", Override(driven))
    region.controls.set_override(being, "other", Override(still, region.tick + 2))
    seen = []
    for _ in range(3):
        step(region, world.laws)
        region.wrap()
        seen.append(column_by_id(region, "drives")[being])
    assert seen == [[0, 0, *driven[2:]]] * 2 + [list(driven)]
    assert region.controls.overrides == {being: {"drive": Override(driven)}}


def test_a_request_gives_drives_by_name_from_minus_one_to_one():
    world = golden_world(32, 32)
    being = cast(world)[0][0]["id"]
    request = DriveRequest(being, {"turn": -1, "thrust": 0.5})
    assert commands.compose(world, request) == [Drive(being, drives(turn=-ONE, thrust=ONE // 2))]
    assert commands.compose(world, DriveRequest(being)) == [Drive(being)]
    for shares, line in (({"fly": 1}, "fly"), ({"turn": 1.5}, "use -1 to 1"), ({"turn": float("nan")}, "use -1 to 1")):
        with pytest.raises(CommandError, match=line):
            commands.compose(world, DriveRequest(being, shares))

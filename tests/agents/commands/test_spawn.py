"""The command `spawn`: it adds one being, a founder or a copy, with a unique id."""

import numpy as np
import pytest
from command_world import apply, assert_halo_is_fresh, images, ready, substance_change
from commands_script import cast
from sharded_regions import golden_world

from umwelt.agents import commands
from umwelt.agents.commands.spawn import Spawn, SpawnRequest, compose_founder
from umwelt.agents.open_world import generate_world
from umwelt.sandbox.columns import identity
from umwelt.sandbox.errors import CommandError
from umwelt.sandbox.step import step


def test_a_spawn_appears_once_in_every_image_with_an_id_of_its_own():
    region, world = ready()
    command = compose_founder(world, "hunter", 31, 0)
    before = region.counts["births"]
    for number in (7, 8):
        apply(region, world, command, number)
    ids = [identity(2, region.tick + 1, number, by_hand=True) for number in (7, 8)]
    assert [images(region, "monsters", being) for being in ids] == [4, 4]  # window: twice the world's size
    assert region.counts["births"] == before + 2
    found = commands.fetch(region, ids[0])
    assert found == {"kind": "monsters", "id": ids[0], "y_fixed": 31 * 1024 + 512, "x_fixed": 512, "row": command.row}
    assert_halo_is_fresh(region)
    step(region, world.laws)
    assert commands.fetch(region, ids[0])["row"]["age_ticks"] == command.row["age_ticks"] + 1


@pytest.mark.parametrize("species", ["grass", "shrub", "grazer", "hunter"])
def test_a_spawned_founder_equals_one_of_genesis(species):
    world = golden_world(32, 32, **{f"founders.{at}.variation": 0 for at in range(5)})
    region = generate_world(world)
    command = compose_founder(world, species, 3, 4)
    at = [group.species for group in world.settings.founders].index(species)
    table = region.tables[command.kind]
    row = commands.fetch(region, int(table["id"][table["species"] == at][0]))["row"]
    by_dice = {"age_ticks", "heading", "fatigue", "counts"}
    assert row.keys() == command.row.keys()
    assert {n: v for n, v in row.items() if n not in by_dice} == {
        n: v for n, v in command.row.items() if n not in by_dice
    }
    assert [a == b for a, b in zip(row["counts"], command.row["counts"], strict=True)].count(False) <= 1  # sugar
    genes = np.frombuffer(row["genome"], np.int8)[::-1]
    for genome in (genes.tolist(), genes.tobytes()):
        other = commands.check(world, compose_founder(world, species, 3, 4, genome))
        assert other.row["genome"] == genes.tobytes()


def test_a_spawn_adds_the_matter_of_its_row():
    region, world = ready()
    for being in (*cast(world)[0][:2], cast(world)[1][0]):
        command = Spawn(being["kind"], 512, 512, being["row"])
        held = dict(zip(world.chemistry.names, being["row"]["counts"], strict=True))
        assert substance_change(region, world, command) == held


def test_a_request_becomes_a_founder_or_a_copy():
    world = golden_world(32, 32)
    being = cast(world)[0][0]
    founder = commands.compose(world, SpawnRequest(3.7, 4.2, "grazer"))
    assert founder == [compose_founder(world, "grazer", 3, 4)]
    copy = SpawnRequest(3.75, 4.25, like=being["id"])
    assert copy.being_id() == being["id"]
    assert commands.compose(world, copy, being) == [Spawn("monsters", 3840, 4352, being["row"])]
    for request, found, line in (
        (copy, None, "no such being lives"),
        (SpawnRequest(1, 1, "grazer", like=5), being, "has its own genome and species"),
        (SpawnRequest(1, 32, "grazer"), None, "spawn: x = 32: use 0 to 31 cells"),
        (SpawnRequest(float("nan"), 1, "grazer"), None, "spawn: y = nan"),
    ):
        with pytest.raises(CommandError, match=line):
            commands.compose(world, request, found)

"""Properties of all commands: encoding, worlds with other laws, the registry, and the refusal of invalid ones."""

import msgspec
import numpy as np
import pytest
from commands_script import LAST_TICK, cast, commands_at, drives
from sharded_regions import begin, golden_world

from umwelt.agents import World, commands
from umwelt.agents.commands import Command
from umwelt.agents.commands.drive import Drive
from umwelt.agents.commands.drop import Drop
from umwelt.agents.commands.move import Move
from umwelt.agents.commands.paint import Paint
from umwelt.agents.commands.rain import Rain
from umwelt.agents.commands.rate import Rate, compose_rate
from umwelt.agents.commands.remove import Remove
from umwelt.agents.commands.spawn import Spawn, compose_founder
from umwelt.agents.commands.wound import Wound
from umwelt.agents.open_world import generate_world, open_region
from umwelt.agents.world_file import read_world
from umwelt.sandbox import audit
from umwelt.sandbox.columns import identity
from umwelt.sandbox.controls import Controls, Override
from umwelt.sandbox.errors import CommandError
from umwelt.sandbox.step import advance

# --- in several worlds


def test_the_world_digest_includes_rates_changed_by_commands():
    world = World.load("golden", width=32, height=32)
    before = world.digest()
    assert before == audit.digest(world.region) == audit.world_digest(world.region)
    commands.apply(world.region, compose_rate(world.world_file, "decay", 0.1), 1)
    assert world.digest() != before and audit.digest(world.region) == before
    commands.apply(world.region, compose_rate(world.world_file, "decay", None), 2)
    assert world.digest() == before


def test_worlds_with_other_laws_accept_commands_on_their_tables_and_fields():
    world = read_world("wolf_sheep", {"width": 32, "height": 32})
    region = begin(world)
    wolf = commands.fetch(region, int(region.tables["wolves"]["id"][0]))
    sheep = commands.fetch(region, int(region.tables["sheep"]["id"][0]))
    todo: list[Command] = [
        Move(**{**wolf, "y_fixed": 5}),
        Spawn("sheep", 4, 4, sheep["row"]),
        Remove(sheep["id"]),
        Paint(0, 0, 9, 9, "ripe_tick", 1000),
    ]
    for number, command in enumerate(todo):
        commands.apply(region, commands.check(world, command), number)
    assert commands.fetch(region, wolf["id"])["y_fixed"] == 5 and commands.fetch(region, sheep["id"]) is None
    assert commands.fetch(region, identity(1, 1, 1, by_hand=True))["row"] == sheep["row"]
    advance(region, world.laws, 2)


# --- in the registry


MOUSE_FIELDS = {
    "point": {"y", "x"},
    "stroke": {"y", "x"},
    "area": {"y", "x", "height", "width"},
    "target": {"y", "x"},
    "being": {"id"},
    "grab": {"id", "y", "x"},
    "spawn": {"y", "x"},
}


@pytest.mark.parametrize("kind", commands.KINDS, ids=lambda kind: kind.name)
def test_tools_fill_the_fields_of_their_requests(kind):
    request = commands.REQUESTS[kind.name]
    for tool in kind.tools:
        names = {setting.name for setting in tool.settings}
        filled = MOUSE_FIELDS[tool.gesture] | names | tool.fixed.keys()
        if tool.gesture == "spawn":
            assert "source" in names and set(request.__struct_fields__) == filled - {"source"} | {"genome", "like"}
            continue
        assert set(request.__struct_fields__) == filled
        if tool.gesture in ("stroke", "area"):
            assert request is kind.command
        example = {name: 1 for name in filled} | {setting.name: setting.default for setting in tool.settings}
        assert tool.report.format_map(example) and (not tool.radius or tool.radius in names)


def test_names_of_commands_tools_and_requests_are_unique():
    tools = [tool.name for kind in commands.KINDS for tool in kind.tools]
    assert len(set(tools)) == len(tools)
    assert list(commands.COMMANDS) == [kind.name for kind in commands.KINDS]
    assert set(commands.REQUESTS) == {*commands.COMMANDS, commands.BATCH}


def test_a_batch_becomes_its_commands_and_their_number_is_limited():
    world, remove = golden_world(32, 32), b'{"command":"remove","id":5}'
    for count, line in ((0, "send 1 to 64"), (65, "send 1 to 64")):
        batch = commands.decode_request("batch", b'{"commands":[' + b",".join([remove] * count) + b"]}")
        with pytest.raises(CommandError, match=line):
            commands.compose(world, batch)
    batch = commands.decode_request("batch", b'{"commands":[' + remove + b"," + remove + b"]}")
    assert commands.compose(world, batch) == [Remove(5), Remove(5)] and batch.being_id() == 0
    bad = commands.decode_request("batch", b'{"commands":[{"command":"remove","id":0}]}')
    with pytest.raises(CommandError, match="remove: id = 0"):
        commands.compose(world, bad)


# --- as plain data


def test_commands_travel_as_json_and_msgpack():
    world = golden_world()
    kinds = set()
    for tick in range(LAST_TICK + 1):
        for command in commands_at(tick, world):
            kinds.add(type(command))
            assert commands.decode(commands.encode(command)) == command == commands.check(world, command)
            assert msgspec.msgpack.decode(msgspec.msgpack.encode(command), type=commands.UNION) == command
    assert len(kinds) == 9


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"[1]",
        b'{"command": "smite", "id": 1}',
        b'{"command": "remove", "id": "x"}',
        b'{"command": "remove"}',
        b'{"command": "remove", "id": 1.5}',
        b'{"command": "remove", "id": 1, "all": 1}',
        b"\xff\xfe",
        b"[" * 20_000,
        b'{"command": "remove", "id": ' + b"9" * 5000 + b"}",
    ],
)
def test_content_that_is_not_a_command_is_refused_in_one_line(content):
    with pytest.raises(CommandError) as caught:
        commands.decode(content)
    assert str(caught.value).startswith("command: ") and "\n" not in str(caught.value)


# --- what is refused


GOLDEN = golden_world(32, 32)
MONSTER, PLANT = cast(GOLDEN)[0][0], cast(GOLDEN)[1][0]


def spawn(kind: str = "monsters", **columns: object) -> Spawn:
    """Returns a `Spawn` of a fixed row, with some columns changed."""
    row = {**(MONSTER if kind == "monsters" else PLANT)["row"], **columns}
    return Spawn(kind, 0, 0, {name: value for name, value in row.items() if value is not None})


BAD: dict[str, tuple[Command, str]] = {
    "drop outside": (Drop(32, 0, "water", 1), "drop: y = 32: use a whole number from 0 to 31"),
    "drop left": (Drop(0, -1, "water", 1), "drop: x = -1"),
    "drop of nothing known": (Drop(0, 0, "watr", 1), 'unknown "watr": did you mean "water"'),
    "drop nothing": (Drop(0, 0, "water", 0), "drop: count = 0: use a whole number from 1"),
    "drop too much": (Drop(0, 0, "water", 1 << 25), "drop: count = 33554432"),
    "drop half": (Drop(0, 0, "water", 1.5), "drop: count = 1.5"),  # type: ignore[arg-type]
    "drop yes": (Drop(0, 0, "water", True), "drop: count = True"),
    "drop a mountain": (Drop(0, 0, "water", 10**5000), "drop: count = 0x"),
    "drop lines": (Drop(0, 0, "wa\nter", 1), 'unknown "wa ter"'),
    "rain wide": (Rain(0, 0, 129, 1), "rain: radius_cells = 129: use a whole number from 0 to 128"),
    "rain dry": (Rain(0, 0, 1, -1), "rain: count = -1"),
    "paint high": (Paint(0, 0, 257, 1, "water", 1), "paint: height = 257: use a whole number from 1 to 256"),
    "paint thin": (Paint(0, 0, 1, 0, "water", 1), "paint: width = 0"),
    "paint all": (Paint(0, 0, 1, 1, "substance", 1), 'paint: part: unknown "substance"'),
    "paint less than nothing": (Paint(0, 0, 1, 1, "water", -1), "paint: water = -1"),
    "paint the sky": (Paint(0, 0, 1, 1, "elevation", 30_001), "paint: elevation = 30001"),
    "spawn what": (Spawn("monster", 0, 0, {}), 'spawn: kind: unknown "monster": did you mean "monsters"'),
    "spawn where": (Spawn("monsters", 32 * 1024, 0, MONSTER["row"]), "spawn: y_fixed = 32768"),
    "spawn of parts": (spawn(colour=3), 'spawn: monsters: unknown "colour"'),
    "spawn without": (spawn(genome=None), 'spawn: monsters: missing column "genome": add it'),
    "spawn with few genes": (spawn(genome=[1, 2]), "spawn: monsters: genome: 2 numbers are given"),
    "spawn with odd bytes": (spawn(genome=b"abc"), "spawn: monsters: genome: 3 numbers are given"),
    "spawn with large genes": (spawn(genome=[128] * len(MONSTER["row"]["genome"])), "genome[0] = 128"),
    "spawn with one gene": (spawn(genome=7), "spawn: monsters: genome: write a list of"),
    "spawn with bytes": (spawn(counts=b"abcdefghijk"), "counts: only int8 columns are written as bytes"),
    "spawn in debt": (spawn(counts=[-1] * 11), "spawn: monsters: counts[0] = -1"),
    "spawn of lead": (spawn(counts=[1 << 21] * 11), "counts[0] = 2097152"),
    "spawn with a list": (spawn(fatigue=[1]), "spawn: monsters: fatigue = [1]"),
    "spawn of nobody": (spawn(species=5), "spawn: monsters: species = 5: use a whole number from 0 to 4"),
    "spawn of grass": (spawn(species=0), 'species = 0 ("grass") is a plant'),
    "spawn of a rootless": (spawn("plants", stage=3), "spawn: plants: stage = 3"),
    "spawn of a ruin": (spawn(organs=[0] * 8), "its genome has built"),
    "remove nobody": (Remove(0), "remove: id = 0"),
    "remove too much": (Remove(1 << 63), "remove: id = 9223372036854775808"),
    "move as another": (Move("plants", MONSTER["id"], 0, 0, PLANT["row"]), "is one of monsters, not of plants"),
    "move away": (Move(**{**MONSTER, "x_fixed": -1}), "move: x_fixed = -1"),
    "move nothing": (Move("monsters", MONSTER["id"], 0, 0, {}), "move: monsters: missing column"),
    "wound nothing": (Wound(MONSTER["id"], 0), "wound: tissue_count = 0"),
    "wound nobody": (Wound(-5, 1), "wound: id = -5"),
    "drive plants": (Drive(PLANT["id"], drives()), "is one of plants: only monsters have drives"),
    "drive nobody": (Drive(identity(5, 1, 1), drives()), "names no kind of being"),
    "drive little": (Drive(MONSTER["id"], (1, 2)), "drive: 2 drives are given: 11 are needed: turn, thrust"),
    "drive hard": (Drive(MONSTER["id"], drives(bite=1025)), "drive: bite = 1025: use a whole number from -1024"),
    "rate of nothing": (Rate("decai", 1), 'rate: reaction: unknown "decai": did you mean "decay"'),
    "rate beyond": (Rate("decay", (64 << 24) + 1), "rate: rate_q24 = 1073741825"),
    "rate below": (Rate("decay", -1), "rate: rate_q24 = -1"),
    "no command": (Controls(), "is not a command: use one of drop, paint"),  # type: ignore[dict-item]
}


@pytest.mark.parametrize("name", BAD)
def test_invalid_commands_are_refused_in_one_line_with_the_fix(name):
    command, line = BAD[name]
    with pytest.raises(CommandError) as caught:
        commands.check(GOLDEN, command)
    assert line in str(caught.value) and "\n" not in str(caught.value) and ": " in str(caught.value)


def test_valid_commands_of_the_same_kinds_pass():
    for kind in ("monsters", "plants"):
        assert commands.check(GOLDEN, spawn(kind)) == spawn(kind)
    listed = spawn(genome=np.frombuffer(MONSTER["row"]["genome"], np.int8).tolist())
    assert commands.check(GOLDEN, listed) == listed


@pytest.mark.parametrize("world", ["wolf_sheep", "flocking", "market"])
@pytest.mark.parametrize(
    ("command", "line"),
    [
        (Drop(0, 0, "water", 1), "have no substances"),
        (Rain(0, 0, 1, 1), "have no substances"),
        (Wound(1, 1), "have no substances"),
        (Rate("decay", 1), "have no reactions"),
        (Drive(1, drives()), "have no drives"),
        (Drive(1), "have no drives"),
        (Paint(0, 0, 1, 1, "water", 1), "paint: "),
        (Spawn("monsters", 0, 0, {}), 'spawn: kind: unknown "monsters"'),
    ],
    ids=lambda value: type(value).__name__,
)
def test_commands_that_the_laws_do_not_support_are_refused(world, command, line):
    with pytest.raises(CommandError, match=line):
        commands.check(read_world(world, {"width": 32, "height": 32}), command)


def test_arguments_of_composed_commands_are_checked():
    other = read_world("flocking", {"width": 32, "height": 32})
    genes = [0] * len(PLANT["row"]["genome"])
    for make, line in (
        (lambda: compose_rate(GOLDEN, "decay", 65.0), "rate: decay = 65.0: use 0 to 64"),
        (lambda: compose_rate(GOLDEN, "decay", float("nan")), "rate: decay = nan"),
        (lambda: compose_rate(GOLDEN, "decay", 1e-9), "below 2\\^-24"),
        (lambda: compose_rate(GOLDEN, "dekay", 0.5), 'unknown "dekay"'),
        (lambda: compose_founder(GOLDEN, "gras", 0, 0), 'unknown "gras"'),
        (lambda: compose_founder(GOLDEN, "grass", 32, 0), "spawn: y = 32"),
        (lambda: compose_founder(GOLDEN, "grass", 0, 0, [*genes, 1]), "23 genes are listed"),
        (lambda: compose_founder(GOLDEN, "grass", 0, 0, [*genes[1:], 128]), "genome\\[21\\] = 128"),
        (lambda: compose_founder(other, "grass", 0, 0), "flocking has no founders"),
    ):
        with pytest.raises(CommandError, match=line):
            make()


@pytest.mark.parametrize(
    "controls",
    [Controls({"decai": 1}), Controls({}, {MONSTER["id"]: {"drive": Override((1, 2))}}), Controls({"decay": -1})],
    ids=str,
)
def test_a_world_is_not_opened_with_invalid_controls(controls):
    region = generate_world(GOLDEN)
    with pytest.raises(CommandError):
        open_region(GOLDEN, [region.cut(region.owned)], region.constants, 0, controls=controls)

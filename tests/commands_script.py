"""A fixed list of commands of every kind by tick, at borders and corners of shards, on seams, and on beings there.

    for tick in range(LAST_TICK + 1):
        for command in commands_at(tick, world): ...

The commands are a function of world file and tick. If shards are cut along the middle lines and the seams of the world,
each of their edges has commands; with other cuts, some edges have.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from umwelt.agents import commands
from umwelt.agents.body.interface import DRIVES
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
from umwelt.agents.open_world import generate_world
from umwelt.agents.world_file import WorldFile
from umwelt.sandbox.region import Region, exchange_halos
from umwelt.sandbox.step import step
from umwelt.sandbox.units import ONE, SUBCELL

LAST_TICK = 14
KINDS = (Drop, Paint, Rain, Spawn, Remove, Move, Wound, Drive, Rate)

RUNNER, MARCHER, SLEEPER = range(3)
"""Indices in `cast(world)[0]` of monsters whose drives are overridden by `Drive` commands.

The first runs east over the middle column, the second south over the seam of rows, the third is put to sleep.
"""


def drives(**wanted: int) -> tuple[int, ...]:
    """Returns the values of all drives in the order of `DRIVES`, 0 for those that are not given."""
    return tuple(wanted.get(name, 0) for name in DRIVES)


_casts: dict[str, tuple[list[dict], list[dict]]] = {}


def cast(world: WorldFile) -> tuple[list[dict], list[dict]]:
    """Returns the founders that the script changes: up to 24 monsters and 24 plants, as `commands.fetch` returns them.

    Those nearest to the seams and to the middle lines of the world come first.
    """
    if world.text not in _casts:
        region = generate_world(world)
        half = np.array([region.torus.height, region.torus.width]) * SUBCELL // 2
        cast_lists: list[list[Any]] = []
        for name in ("monsters", "plants"):
            table = region.tables[name]
            place = np.stack([table["y_fixed"], table["x_fixed"]], 1) % half
            order = np.lexsort((table["id"], np.minimum(place, half - place).min(1)))[:24]
            cast_lists.append([commands.fetch(region, int(table["id"][row])) for row in order])
        _casts[world.text] = (cast_lists[0], cast_lists[1])
    return _casts[world.text]


def heading_to(found: dict, y_fixed: int, x_fixed: int, heading: int) -> Move:
    """Returns a command that moves a being and also sets its heading, and wakes it."""
    row = {**found["row"], "heading": heading, "fatigue": 0, "asleep": 0}
    return Move(found["kind"], found["id"], y_fixed, x_fixed, row)


def commands_at(tick: int, world: WorldFile) -> list[Command]:
    """Returns the commands of the script at the start of a tick, in order."""
    h, w = world.common.height, world.common.width
    monsters, plants = cast(world)
    random = np.random.default_rng(tick)
    found: list[Command] = [
        Drop(int(random.integers(h)), int(random.integers(w)), name, int(random.integers(1, 900)))
        for name in ("water", "mineral", "detritus", "aroma")
    ]
    middle_y, middle_x = (h // 2) * SUBCELL, (w // 2) * SUBCELL
    by_tick: dict[int, list[Command]] = {
        0: [
            heading_to(monsters[RUNNER], middle_y - 1500, middle_x - 800, 0),
            heading_to(monsters[MARCHER], h * SUBCELL - 400, 3, 16384),
            Drive(monsters[RUNNER]["id"], drives(thrust=ONE)),
            Drive(monsters[MARCHER]["id"], drives(thrust=ONE, bite=ONE, musk_drive=ONE)),
            Drop(0, 0, "sugar", 700),
            Drop(h - 1, w - 1, "sugar", 700),
            Drop(h // 2, w // 2 - 1, "detritus", 400),
        ],
        1: [Rain(0, 0, 5, 300), Rain(h // 2, w // 2, 3, 40), Paint(h - 3, w - 4, 7, 9, "water", 900)],
        2: [Paint(h // 2 - 2, w // 2 - 3, 5, 6, "elevation", 900), Paint(5, w - 2, 40, 4, "mineral", 70)],
        3: [
            compose_founder(world, "grazer", h - 1, 0),
            compose_founder(world, "hunter", h - 1, 0),
            compose_founder(world, "grass", 0, w // 2),
            compose_founder(world, "reed", h // 2 - 1, w - 1),
            Spawn("monsters", middle_y, middle_x - 1, monsters[3]["row"]),
            Spawn("plants", 1, w * SUBCELL - 1, plants[0]["row"]),
        ],
        4: [Wound(found["id"], 5 + at) for at, found in enumerate([*monsters[3:9], *plants[:5]])],
        5: [
            compose_rate(world, "decay", 0.9),
            compose_rate(world, "respiration", 0.5),
            Rate("photosynthesis", 0),
        ],
        6: [
            heading_to(monsters[4], 0, middle_x, 40000),
            heading_to(monsters[5], middle_y, w * SUBCELL - 1, 100),
            Move("plants", plants[5]["id"], 511, middle_x - 513, plants[5]["row"]),
            Drive(monsters[SLEEPER]["id"], drives(rest=ONE)),
        ],
        7: [Remove(found["id"]) for found in [monsters[6], monsters[7], plants[1], plants[2]]],
        8: [Wound(monsters[RUNNER]["id"], 1 << 24), Wound(monsters[MARCHER]["id"], 3), Remove(1)],
        9: [Drive(monsters[MARCHER]["id"]), Drive(monsters[SLEEPER]["id"], drives(turn=-ONE, thrust=ONE, bite=9))],
        10: [
            compose_rate(world, "decay", None),
            Rain(h - 1, w // 2, 9, 80),
            compose_founder(world, "hunter", h // 2, w // 2),
        ],
        11: [*[Drop(h // 2 - 1, 0, "water", 1 << 24)] * 2, Paint(0, 0, 256, 1, "oxygen", 9)],
        12: [heading_to(monsters[4], middle_y, 0, 30000), Remove(monsters[4]["id"]), Wound(monsters[8]["id"], 9)],
    }
    found += by_tick.get(tick, [])
    return found if tick <= LAST_TICK else []


def number_of(tick: int, at: int) -> int:
    """Returns the journal number of the command with index `at` in the list of a tick."""
    return 1 + tick * 100 + at


def run_with_commands(
    regions: Sequence[Region],
    world: WorldFile,
    ticks: int,
    k: int,
    shuffle_seed: int | None = None,
    before_exchange: bool = False,
    leave_out: type | None = None,
) -> None:
    """Run regions for `ticks`, exchanging halos every `k` ticks, with the script's commands at the start of each tick.

    Commands are applied after the exchange of their tick, or just before it; rows may be shuffled at each exchange.
    """
    order = np.random.default_rng(shuffle_seed)
    for passed in range(ticks):
        tick = regions[0].tick
        script = [(number_of(tick, at), command) for at, command in enumerate(commands_at(tick, world))]
        script = [(number, command) for number, command in script if type(command) is not leave_out]
        if before_exchange:
            apply_all(regions, script)
        if passed % k == 0:
            exchange_halos(regions)
            if shuffle_seed is not None:
                for region in regions:
                    for table in region.tables.values():
                        table.reorder(order.permutation(table.count))
        if not before_exchange:
            apply_all(regions, script)
        for region in regions:
            step(region, world.laws)


def apply_all(regions: Sequence[Region], script: Sequence[tuple[int, Command]]) -> None:
    """Apply all commands to each region, as each node does."""
    for region in regions:
        for number, command in script:
            commands.apply(region, command, number)

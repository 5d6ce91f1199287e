"""Commands: what people do to a running world.

Each command is one module: its journalled fields, its check, what it changes, how a request becomes it, and the
description of its tools in the window. A new command is such a module and its line in `registry.KINDS`.

A command is checked (`check`) before it is journalled; from then on every node applies it (`apply`) at the start of the
same tick, in the order of journal numbers, and it cannot fail. What adds matter is bounded: no command fills a cell
beyond `MAX_IN_CELL_COUNT` molecules of a substance.
"""

from umwelt.agents.commands.beings import Row, fetch
from umwelt.agents.commands.cells import MAX_IN_CELL_COUNT
from umwelt.agents.commands.command import Command, CommandKind, Request
from umwelt.agents.commands.drive import Drive, drives_from_shares
from umwelt.agents.commands.drop import Drop
from umwelt.agents.commands.move import Move
from umwelt.agents.commands.paint import Paint
from umwelt.agents.commands.rain import Rain
from umwelt.agents.commands.rate import Rate, compose_rate
from umwelt.agents.commands.registry import (
    BATCH,
    COMMANDS,
    KINDS,
    MAX_BATCH_COMMANDS,
    UNION,
    apply,
    check,
    check_controls,
    compose,
    decode,
    decode_request,
    encode,
)
from umwelt.agents.commands.remove import Remove
from umwelt.agents.commands.spawn import Spawn, compose_founder
from umwelt.agents.commands.wound import Wound

__all__ = [
    "BATCH",
    "COMMANDS",
    "KINDS",
    "MAX_BATCH_COMMANDS",
    "MAX_IN_CELL_COUNT",
    "UNION",
    "Command",
    "CommandKind",
    "Drive",
    "Drop",
    "Move",
    "Paint",
    "Rain",
    "Rate",
    "Remove",
    "Request",
    "Row",
    "Spawn",
    "Wound",
    "apply",
    "check",
    "check_controls",
    "compose",
    "compose_founder",
    "compose_rate",
    "decode",
    "decode_request",
    "drives_from_shares",
    "encode",
    "fetch",
]

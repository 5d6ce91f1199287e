"""Commands: what people do to a running world.

Each command is one module: its journalled fields, its check, what it changes, how a request becomes it, and the
description of its tools in the window. A new command is such a module and its line in `registry.KINDS`.

A command is checked (`check`) before it is journalled; from then on every node applies it (`apply`) at the start of the
same tick, in the order of journal numbers, and it cannot fail. What adds matter is bounded: no command fills a cell
beyond `cells.MAX_IN_CELL_COUNT` molecules of a substance.
"""

from umwelt.agents.commands.beings import Row, fetch
from umwelt.agents.commands.cells import MAX_IN_CELL_COUNT
from umwelt.agents.commands.command import Command, CommandKind, Request
from umwelt.agents.commands.registry import (
    BATCH,
    COMMANDS,
    KINDS,
    MAX_BATCH_COMMANDS,
    REQUESTS,
    UNION,
    apply,
    check,
    check_controls,
    compose,
    decode,
    decode_request,
    encode,
)

__all__ = [
    "BATCH",
    "COMMANDS",
    "KINDS",
    "MAX_BATCH_COMMANDS",
    "MAX_IN_CELL_COUNT",
    "REQUESTS",
    "UNION",
    "Command",
    "CommandKind",
    "Request",
    "Row",
    "apply",
    "check",
    "check_controls",
    "compose",
    "decode",
    "decode_request",
    "encode",
    "fetch",
]

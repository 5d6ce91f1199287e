"""Commands: changes of a running world from outside.

Each command is a module that defines its journalled fields, its check, its effect, the request from which it is made,
and its tools in the graphical window. A new command needs such a module and a line in `registry.KINDS`.

A command is checked (`check`) before it is written to the journal. Every node (process that computes a part of the
world) then applies it (`apply`) at the start of the same tick, in the order of the commands' numbers in the journal;
applying a checked command never fails. No command adds molecules of a substance to a cell beyond
`cells.MAX_IN_CELL_COUNT`.
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

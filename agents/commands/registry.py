"""The list of all commands, and functions that encode, check and apply commands and make them from requests."""

from collections.abc import Mapping
from typing import Any, Union

import msgspec

from umwelt.agents.commands.checks import check_override, check_rate
from umwelt.agents.commands.command import Being, Command, CommandKind, Request
from umwelt.agents.commands.drive import DRIVE
from umwelt.agents.commands.drop import DROP
from umwelt.agents.commands.move import MOVE
from umwelt.agents.commands.paint import PAINT
from umwelt.agents.commands.rain import RAIN
from umwelt.agents.commands.rate import RATE
from umwelt.agents.commands.remove import REMOVE
from umwelt.agents.commands.spawn import SPAWN
from umwelt.agents.commands.wound import WOUND
from umwelt.agents.world_file import WorldFile, one_line, one_of
from umwelt.sandbox.controls import Controls
from umwelt.sandbox.errors import CommandError, WorldFileError
from umwelt.sandbox.region import Region

KINDS: tuple[CommandKind, ...] = (
    DROP,
    PAINT,
    RAIN,
    SPAWN,
    MOVE,
    WOUND,
    REMOVE,
    DRIVE,
    RATE,
)
"""All commands, in the order of their tools in the graphical window."""

MAX_BATCH_COMMANDS = 64
BATCH = "batch"
"""The name of the request `Batch`."""

COMMANDS: Mapping[str, CommandKind] = {kind.name: kind for kind in KINDS}
"""All commands by name."""
UNION: Any = Union[tuple(kind.command for kind in KINDS)]  # noqa: UP007
"""The union of all command classes, from which msgspec decodes a command of any class."""

_decoder: msgspec.json.Decoder[Command] = msgspec.json.Decoder(UNION)


class Batch(Request, frozen=True):
    """A request for several commands, each as JSON, which are applied in order at the same tick."""

    commands: list[msgspec.Raw]

    def compose(self, world: WorldFile, being: Being | None) -> list[Command]:
        if not 1 <= len(self.commands) <= MAX_BATCH_COMMANDS:
            raise CommandError(f"batch: {len(self.commands)} commands: send 1 to {MAX_BATCH_COMMANDS} at once")
        return [decode(bytes(content)) for content in self.commands]


REQUESTS: Mapping[str, type[Request]] = {kind.name: kind.request or kind.command for kind in KINDS} | {BATCH: Batch}
"""The classes of all requests by name."""


def encode(command: Command) -> bytes:
    """Returns a command as JSON."""
    return msgspec.json.encode(command)


def decode(content: bytes) -> Command:
    """Returns the command that is encoded as JSON in `content`, not checked yet.

    Raises CommandError if the JSON is malformed.
    """
    try:
        return _decoder.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CommandError(one_line(f"command: {error}: see the fields in agents/commands")) from None


def check(world: WorldFile, command: Command) -> Command:
    """Returns the command if it is valid in this world; else raises CommandError, whose line names the fix."""
    if type(command) not in [kind.command for kind in KINDS]:
        shown = str(command)[:60]
        raise CommandError(one_line(f"{shown} is not a command: use one of {', '.join(COMMANDS)}"))
    try:
        command.check(world)
    except WorldFileError as error:
        raise CommandError(str(error)) from None
    return command


def check_controls(world: WorldFile, controls: Controls) -> Controls:
    """Returns the controls if commands in this world can have produced them; else raises CommandError.

    Controls are the reaction rates and drive overrides that commands have set.
    """
    try:
        for being_id, overrides in controls.overrides.items():
            for name, override in overrides.items():
                check_override(world, one_of(name, COMMANDS, "controls"), being_id, override)
        for reaction, rate_q24 in controls.rates.items():
            check_rate(world, reaction, rate_q24)
    except WorldFileError as error:
        raise CommandError(str(error)) from None
    return controls


def apply(region: Region, command: Command, number: int) -> None:
    """Applies a checked command to all copies of its cells or being in a region's window, at the start of a tick.

    `number` is the number of the command's entry in the journal, from which the id of a spawned being is computed.
    """
    command.apply(region, number)


def decode_request(name: str, arguments: bytes) -> Request:
    """Returns the request with the given name and fields; `arguments` are the fields as JSON.

    Raises CommandError if either is not valid.
    """
    try:
        request_type = REQUESTS[one_of(one_line(name[:40]), REQUESTS, "command")]
        return msgspec.json.decode(arguments, type=request_type)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CommandError(one_line(f"{name[:40]}: {error}")) from None
    except WorldFileError as error:
        raise CommandError(str(error)) from None


def compose(world: WorldFile, request: Request, being: Being | None = None) -> list[Command]:
    """Returns the checked commands that a request stands for.

    `being` is the being with the id `request.being_id()`, or None if it is dead or not needed. Raises CommandError,
    whose line names the fix, if the request is not valid in this world.
    """
    return [check(world, command) for command in request.compose(world, being)]

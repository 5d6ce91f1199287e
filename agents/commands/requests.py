"""From what people say to commands: commands in their terms (cells, names, shares of one) become what is journalled."""

from collections.abc import Mapping
from typing import Any

import msgspec

from umwelt.agents import commands
from umwelt.agents.body.interface import DRIVES
from umwelt.agents.commands import Command
from umwelt.agents.world_file import WorldFile
from umwelt.sandbox.errors import CommandError, WorldFileError
from umwelt.sandbox.text import one_line, one_of
from umwelt.sandbox.units import ONE, SUBCELL, fixed_from_cells


class _Spoken(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass


class Drop(_Spoken, frozen=True):
    """Matter into a cell."""

    y: int
    x: int
    substance: str
    count: int


class Paint(_Spoken, frozen=True):
    """A field's value for all cells of a rectangle."""

    y: int
    x: int
    height: int
    width: int
    part: str
    value: int


class Rain(_Spoken, frozen=True):
    """Water on each cell of a disc."""

    y: int
    x: int
    radius_cells: int
    count: int


class Spawn(_Spoken, frozen=True):
    """A founder of a species, perhaps with a genome of one's own; or a copy of a living being (`like`)."""

    y: float
    x: float
    species: str = ""
    genome: list[int] | None = None
    like: int = 0


class Remove(_Spoken, frozen=True):
    """A being out of the world."""

    id: int


class Move(_Spoken, frozen=True):
    """A being to another place, in cells."""

    id: int
    y: float
    x: float


class Wound(_Spoken, frozen=True):
    """Tissue of a body falls to the ground."""

    id: int
    tissue_count: int


class Drive(_Spoken, frozen=True):
    """Drives by name, -1 to 1, in the place of a body's own; none gives it back."""

    id: int
    drives: dict[str, float] | None = None


class Rate(_Spoken, frozen=True):
    """A reaction's rate a tick; none gives it back its own."""

    reaction: str
    rate: float | None = None


class Commands(_Spoken, frozen=True):
    """Commands as they are journalled, done together."""

    commands: list[commands.Command]


Spoken = Drop | Paint | Rain | Spawn | Remove | Move | Wound | Drive | Rate | Commands
COMMANDS: dict[str, type[_Spoken]] = {
    "drop": Drop,
    "paint": Paint,
    "rain": Rain,
    "spawn": Spawn,
    "remove": Remove,
    "move": Move,
    "wound": Wound,
    "drive": Drive,
    "rate": Rate,
    "commands": Commands,
}
MAX_BATCH_COMMANDS = 64


def spoken(what: str, arguments: bytes) -> Any:
    """A command from its name and its arguments as JSON; `CommandError` for what is none."""
    try:
        kind = COMMANDS[one_of(one_line(what[:40]), COMMANDS, "command")]
        return msgspec.json.decode(arguments, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CommandError(one_line(f"{what[:40]}: {error}")) from None
    except WorldFileError as error:
        raise CommandError(str(error)) from None


def needed(command: Any) -> int:
    """The id of the being that has to be fetched before the command can be composed; 0 if none."""
    if isinstance(command, Move):
        return command.id
    return command.like if isinstance(command, Spawn) else 0


def composed(world: WorldFile, command: Any, being: Mapping[str, Any] | None = None) -> list[Command]:
    """The checked commands of a command; `being` is what was fetched. `CommandError` names the fix."""
    found = _composed(world, command, being)
    if len(found) > MAX_BATCH_COMMANDS:
        raise CommandError(
            f"commands: {len(found)} at once: at most {MAX_BATCH_COMMANDS} fit one command: give several"
        )
    return [commands.check(world, command) for command in found]


def _composed(world: WorldFile, command: Any, being: Mapping[str, Any] | None) -> list[Command]:
    found: Command
    match command:
        case Drop():
            found = commands.Drop(command.y, command.x, command.substance, command.count)
        case Paint():
            rectangle = (command.y, command.x, command.height, command.width)
            found = commands.Paint(*rectangle, command.part, command.value)
        case Rain():
            found = commands.Rain(command.y, command.x, command.radius_cells, command.count)
        case Spawn():
            found = _spawned(world, command, being)
        case Remove():
            found = commands.Remove(command.id)
        case Move():
            if being is None:
                raise CommandError(f"move: id = {command.id}: no such being lives: look for another")
            found = commands.Move(being["kind"], being["id"], *_fixed(world, "move", command), being["row"])
        case Wound():
            found = commands.Wound(command.id, command.tissue_count)
        case Drive():
            found = commands.Drive(command.id, None if command.drives is None else drives_of(command.drives))
        case Rate():
            found = commands.compose_rate(world, command.reaction, command.rate)
        case _:
            return list(command.commands)
    return [found]


def _spawned(world: WorldFile, command: Spawn, being: Mapping[str, Any] | None) -> commands.Spawn:
    if not command.like:
        y_fixed, x_fixed = _fixed(world, "spawn", command)
        return commands.compose_founder(world, command.species, y_fixed // SUBCELL, x_fixed // SUBCELL, command.genome)
    if being is None:
        raise CommandError(f"spawn: like = {command.like}: no such being lives: look for another")
    if command.genome is not None or command.species:
        raise CommandError("spawn: a copy has its own genome and species: leave them out, or leave out like")
    return commands.Spawn(being["kind"], *_fixed(world, "spawn", command), being["row"])


def _fixed(world: WorldFile, what: str, place: Any) -> tuple[int, int]:
    """A place in cells as fixed point, in the world."""
    found = []
    for axis, size in (("y", world.common.height), ("x", world.common.width)):
        value = getattr(place, axis)
        if not 0 <= value < size:
            raise CommandError(f"{what}: {axis} = {value:g}: use 0 to {size - 1} cells")
        found.append(min(fixed_from_cells(value), size * SUBCELL - 1))
    return found[0], found[1]


def drives_of(named: Mapping[str, float]) -> tuple[int, ...]:
    """All drives in their order as integers, from some by name as -1 to 1; the others rest."""
    try:
        for name, value in named.items():
            one_of(one_line(name[:40]), DRIVES, "drive")
            if not -1 <= value <= 1:
                raise CommandError(f"drive: {name} = {value}: use -1 to 1")
    except WorldFileError as error:
        raise CommandError(str(error)) from None
    return tuple(round(named.get(name, 0.0) * ONE) for name in DRIVES)

"""Checks that several commands share. They raise CommandError with the line `place: what is wrong: how to fix it`.

An unknown name raises WorldFileError, as in world files; `registry.check` converts it to a CommandError. The argument
`what` or `place` is the beginning of the line.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from umwelt.agents.body.genome import ORGAN_SLOTS
from umwelt.agents.body.interface import DRIVES
from umwelt.agents.commands.beings import carried_columns, entries_of
from umwelt.agents.earth.genesis import organs_in, species_of
from umwelt.agents.earth.settings import EarthSettings
from umwelt.agents.world_file import WorldFile, one_line, one_of
from umwelt.sandbox.chemistry import Chemistry
from umwelt.sandbox.columns import KIND_BITS, PLACE_BITS, TICK_BITS, Schema
from umwelt.sandbox.controls import Override
from umwelt.sandbox.errors import CommandError
from umwelt.sandbox.units import ONE, RATE_BITS, SUBCELL, TURN, fixed_from_cells

MAX_IN_BODY_COUNT = 1 << 20
"""The maximum molecules of a substance in the body of a being that a command creates or moves."""
MAX_RATE_Q24 = 64 << RATE_BITS
"""The maximum rate of a reaction, in 2^-24 per tick."""
MAX_ORGANS = 100
"""The maximum number of organs of one type."""
MAX_ID = (1 << 63) - 1
MAX_TICK = (1 << TICK_BITS) - 1
SHOWN_BITS, SHOWN_CHARACTERS = 64, 40
"""The limits of numbers in error lines: bits beyond which they are hexadecimal, characters beyond which they are cut.

Python refuses to convert numbers of thousands of digits to decimal."""

LIMITS: dict[str, tuple[int, int]] = {
    "age_ticks": (0, MAX_TICK),
    "asleep": (0, 1),
    "catalysts": (0, 16384),
    "counts": (0, MAX_IN_BODY_COUNT),
    "dryness": (0, ONE),
    "eyes_shut": (0, 1),
    "fatigue": (0, ONE),
    "generation": (0, 32767),
    "heading": (0, TURN - 1),
    "memory": (-ONE, ONE),
    "organs": (0, MAX_ORGANS),
    "organs_built": (0, ORGAN_SLOTS),
    "pain": (0, ONE),
    "parent_id": (0, MAX_ID),
    "speed_fixed": (0, ONE),
    "stage": (0, 2),
    "stem_direction": (0, 8),
    "stem_id": (0, MAX_ID),
}
"""The bounds that the laws require, by column of a being; other columns are bounded by their dtype."""


def check_whole(place: str, value: Any, minimum: int, maximum: int) -> None:
    """Raises CommandError unless `value` is an int from `minimum` to `maximum`."""
    if type(value) is not int or not minimum <= value <= maximum:
        shown = hex(value) if isinstance(value, int) and value.bit_length() > SHOWN_BITS else str(value)
        shown = shown if len(shown) <= SHOWN_CHARACTERS else shown[: SHOWN_CHARACTERS - 3] + "..."
        raise CommandError(one_line(f"{place} = {shown}: use a whole number from {minimum} to {maximum}"))


def check_name(place: str, name: Any, known: Iterable[str]) -> str:
    """Returns `name` if it is in `known`; else raises CommandError (not text) or WorldFileError (unknown)."""
    if not isinstance(name, str):
        raise CommandError(one_line(f"{place} = {str(name)[:SHOWN_CHARACTERS]}: write a name"))
    return one_of(one_line(name[:80]), known, place)


def check_cell(world: WorldFile, what: str, y: Any, x: Any) -> None:
    """Raises CommandError unless `y`, `x` is a cell of the world."""
    check_whole(f"{what}: y", y, 0, world.common.height - 1)
    check_whole(f"{what}: x", x, 0, world.common.width - 1)


def check_fixed_place(world: WorldFile, what: str, y_fixed: Any, x_fixed: Any) -> None:
    """Raises CommandError unless `y_fixed`, `x_fixed` (1/1024 cell) is a position in the world."""
    check_whole(f"{what}: y_fixed", y_fixed, 0, world.common.height * SUBCELL - 1)
    check_whole(f"{what}: x_fixed", x_fixed, 0, world.common.width * SUBCELL - 1)


def fixed_place(world: WorldFile, what: str, y: float, x: float) -> tuple[int, int]:
    """Converts a position in cells to fixed point (1/1024 cell). Raises CommandError if it is outside the world."""
    fixed = []
    for axis, value, size in (("y", y, world.common.height), ("x", x, world.common.width)):
        if not 0 <= value < size:
            raise CommandError(f"{what}: {axis} = {value:g}: use 0 to {size - 1} cells")
        fixed.append(min(fixed_from_cells(value), size * SUBCELL - 1))
    return fixed[0], fixed[1]


def check_chemistry(world: WorldFile, what: str, *needed: str) -> Chemistry:
    """Returns the world's chemistry. Raises CommandError if there is none, or it lacks a substance in `needed`."""
    chemistry = world.chemistry
    if chemistry is None:
        raise CommandError(f"{what}: the laws of {world.laws.name} have no substances: choose another command")
    for name in needed:
        if name not in chemistry.names:
            raise CommandError(f'{what}: this world has no substance "{name}": choose another command')
    return chemistry


def check_rate(world: WorldFile, reaction: Any, rate_q24: Any) -> None:
    """Raises CommandError or WorldFileError for an unknown reaction, or a rate (2^-24 per tick) out of bounds.

    A rate of None stands for the rate in the world file.
    """
    if world.chemistry is None:
        raise CommandError(f"rate: the laws of {world.laws.name} have no reactions: choose another command")
    check_name("rate: reaction", reaction, [reaction.name for reaction in world.chemistry.reactions])
    if rate_q24 is not None:
        check_whole("rate: rate_q24", rate_q24, 0, MAX_RATE_Q24)


# --- beings


def check_id(what: str, being_id: Any) -> None:
    """Raises CommandError unless `being_id` is a number that can be an id."""
    check_whole(f"{what}: id", being_id, 1, MAX_ID)


def check_being(world: WorldFile, what: str, kind: Any, y_fixed: Any, x_fixed: Any, row: Any) -> None:
    """Raises CommandError or WorldFileError unless a being of this world can have this kind, position and row.

    `kind` is the name of a table, the position is in 1/1024 cell, and `row` holds the being's columns by name.
    """
    schemas = {schema.name: schema for schema in world.laws.layout(world)[1]}
    schema = schemas[check_name(f"{what}: kind", kind, schemas)]
    check_fixed_place(world, what, y_fixed, x_fixed)
    _check_row(world, f"{what}: {kind}", schema, row)


def kind_of_id(schemas: Iterable[Schema], being_id: int) -> Schema | None:
    """Returns the schema of the kind that is encoded in an id; None if no schema has that kind."""
    kind = being_id >> (TICK_BITS + PLACE_BITS) & ((1 << KIND_BITS) - 1)
    return next((schema for schema in schemas if schema.kind == kind), None)


def check_driven(world: WorldFile, what: str, being_id: Any) -> None:
    """Raises CommandError unless the id belongs to a kind of being that has drives."""
    check_id(what, being_id)
    schemas = world.laws.layout(world)[1]
    driven = [schema.name for schema in schemas if any(column.name == "drives" for column in schema.own)]
    if not driven:
        raise CommandError(f"{what}: the laws of {world.laws.name} have no drives: choose another command")
    schema = kind_of_id(schemas, being_id)
    if schema is None or schema.name not in driven:
        problem = f"is one of {schema.name}" if schema else "names no kind of being"
        raise CommandError(f"{what}: id = {being_id} {problem}: only {', '.join(driven)} have drives")


def check_override(world: WorldFile, what: str, being_id: Any, override: Override) -> None:
    """Raises CommandError unless the being with this id has drives, and those of `override` are valid."""
    check_driven(world, what, being_id)
    if not isinstance(override.drives, list | tuple):
        raise CommandError(f"{what}: drives: write {len(DRIVES)} numbers, or null to release the body")
    if len(override.drives) != len(DRIVES):
        given, names = len(override.drives), ", ".join(DRIVES)
        raise CommandError(f"{what}: {given} drives are given: {len(DRIVES)} are needed: {names}")
    for name, value in zip(DRIVES, override.drives, strict=True):
        if value is not None:
            check_whole(f"{what}: {name}", value, -ONE, ONE)
    if override.end_tick is not None:
        check_whole(f"{what}: end_tick", override.end_tick, 0, 2 * MAX_TICK)


def _check_row(world: WorldFile, place: str, schema: Schema, row: Any) -> None:
    """Raises CommandError or WorldFileError unless a row has all columns of `schema`, no others, and valid values."""
    if not isinstance(row, Mapping):
        raise CommandError(f"{place}: row: write its columns by name, as fetch returns them")
    columns = {column.name: column for column in carried_columns(schema)}
    for name in row:
        check_name(place, name, columns)
    for name, column in columns.items():
        if name not in row:
            raise CommandError(f'{place}: missing column "{name}": add it, as fetch returns it')
        limits = np.iinfo(column.dtype)
        minimum, maximum = LIMITS.get(name, (int(limits.min), int(limits.max)))
        if not column.entries:
            check_whole(f"{place}: {name}", row[name], minimum, maximum)
            continue
        if not isinstance(row[name], list | tuple | bytes):
            raise CommandError(f"{place}: {name}: write a list of {column.entries} numbers")
        if isinstance(row[name], bytes) and column.dtype != "int8":
            raise CommandError(f"{place}: {name}: only int8 columns are written as bytes: write a list of numbers")
        values = row[name] if not isinstance(row[name], bytes) else entries_of(row[name]).tolist()
        if len(values) != column.entries:
            raise CommandError(f"{place}: {name}: {len(values)} numbers are given: {column.entries} are needed")
        for index, value in enumerate(values):
            check_whole(f"{place}: {name}[{index}]", value, minimum, maximum)
    _check_species(world, place, schema, row)
    if {"organs", "organs_built", "genome"} <= columns.keys():
        genome = np.array(entries_of(row["genome"]), np.int8)
        built = organs_in(genome[None], np.array([row["organs_built"]]))[0].tolist()
        if any(count < minimum for count, minimum in zip(row["organs"], built, strict=True)):
            line = f"{place}: organs = {list(row['organs'])}: its genome has built {built}: have at least these"
            raise CommandError(line)


def _check_species(world: WorldFile, place: str, schema: Schema, row: Mapping[str, Any]) -> None:
    """Raises CommandError unless the row's species exists in the world and belongs to the table `schema`."""
    if "species" not in row or world.laws.species is None:
        return
    names = world.laws.species(world)
    check_whole(f"{place}: species", row["species"], 0, len(names) - 1)
    if isinstance(world.settings, EarthSettings):
        kind = species_of(world.settings)[row["species"]]["kind"]
        if f"{kind}s" != schema.name:
            name = names[row["species"]]
            raise CommandError(f'{place}: species = {row["species"]} ("{name}") is a {kind}: use another')

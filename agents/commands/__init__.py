"""Commands: what people do to a running world, as plain data.

Every command is journalled under a number and goes to every node; each applies it at the start of the same tick, in the
order of numbers, to whatever its window holds: ghosts too, and every image of a place or being where the window holds
several. A node may hold nothing of it. So a command carries all it needs, and does to a cell or being what depends on
that cell or being alone; then all copies come out alike, and the world is the same however it is cut.

Whatever is wrong with a command is said by `check`, before it is journalled; `apply` never refuses one afterwards.
Matter is bounded where it is added: a command fills no cell beyond `MAX_IN_CELL_COUNT` of a substance.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec
import numpy as np

from umwelt.agents.body.genome import ORGAN_SLOTS
from umwelt.agents.body.interface import DRIVES
from umwelt.agents.earth import parameters
from umwelt.agents.earth.founders import given_genome
from umwelt.agents.earth.genesis import founder_columns, organs_in, species_of
from umwelt.agents.earth.settings import EarthSettings
from umwelt.agents.species.behaviour import own_values
from umwelt.agents.world_file import WorldFile, one_line, one_of
from umwelt.sandbox.chemistry import Chemistry
from umwelt.sandbox.columns import KIND_BITS, PLACE_BITS, PLACE_COLUMNS, TICK_BITS, Column, Schema, Table, identity
from umwelt.sandbox.controls import Controls
from umwelt.sandbox.errors import CommandError, WorldFileError
from umwelt.sandbox.region import Region
from umwelt.sandbox.units import ONE, RATE_BITS, SUBCELL, SUBCELL_BITS, TURN, rate_from_float

MAX_IN_CELL_COUNT = 1 << 24
"""Molecules of a substance beyond which commands add nothing to a cell, so that no counter of 32 bits can overflow."""
MAX_IN_BODY_COUNT = 1 << 20
"""Molecules of a substance that a body put into the world may hold."""
MAX_SIDE_CELLS = 256
"""The longest side of what is painted."""
MAX_RADIUS_CELLS = 128
MAX_RATE_Q24 = 64 << RATE_BITS
MAX_ELEVATION = 30_000
MAX_ORGANS = 100
MAX_ID = (1 << 63) - 1
NUMBER_MASK = (1 << PLACE_BITS) - 1
_PLACES = tuple(column.name for column in PLACE_COLUMNS)

LIMITS: dict[str, tuple[int, int]] = {
    "age_ticks": (0, (1 << TICK_BITS) - 1),
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
"""What the laws rely on in columns of a body; other columns hold whatever fits them."""

Row = dict[str, int | list[int] | bytes]
"""A being's carried columns but for `id` and place, by name; a column of several entries is a list, or (int8) bytes."""


class Drop(msgspec.Struct, tag_field="command", tag="drop", frozen=True, forbid_unknown_fields=True):
    """Matter into a cell: `count` molecules, or as many of them as it holds."""

    y: int
    x: int
    substance: str
    count: int


class Paint(msgspec.Struct, tag_field="command", tag="paint", frozen=True, forbid_unknown_fields=True):
    """Set a field, or a part of one (a substance), of all cells of a rectangle that may reach over the seams."""

    y: int
    x: int
    height: int
    width: int
    part: str
    value: int


class Rain(msgspec.Struct, tag_field="command", tag="rain", frozen=True, forbid_unknown_fields=True):
    """`count` molecules of water on each cell of a disc, or as many of them as it holds."""

    y: int
    x: int
    radius_cells: int
    count: int


class Spawn(msgspec.Struct, tag_field="command", tag="spawn", frozen=True, forbid_unknown_fields=True):
    """A being of a kind (the name of its table) into the world; its id follows from tick and number."""

    kind: str
    y_fixed: int
    x_fixed: int
    row: Row


class Remove(msgspec.Struct, tag_field="command", tag="remove", frozen=True, forbid_unknown_fields=True):
    """A being out of the world, with all it holds."""

    id: int


class Move(msgspec.Struct, tag_field="command", tag="move", frozen=True, forbid_unknown_fields=True):
    """A being to another place, as the row that was fetched: what it has become since then is lost.

    Nobody can know everywhere whether it has died since: then it lives again.
    """

    kind: str
    id: int
    y_fixed: int
    x_fixed: int
    row: Row


class Wound(msgspec.Struct, tag_field="command", tag="wound", frozen=True, forbid_unknown_fields=True):
    """Tissue of a body falls to its cell as detritus, the same matter; no more than it holds. It feels the pain."""

    id: int
    tissue_count: int


class Drive(msgspec.Struct, tag_field="command", tag="drive", frozen=True, forbid_unknown_fields=True):
    """Hold a body: these drives (1/1024) stand in the place of its own until it is given back with none.

    It is held beyond its death: give it back, so that nobody is kept in the world's controls for nothing.
    """

    id: int
    drives: tuple[int, ...] | None = None


class Rate(msgspec.Struct, tag_field="command", tag="rate", frozen=True, forbid_unknown_fields=True):
    """Give a reaction another rate, in 2^-24 a tick; none gives it back its own."""

    reaction: str
    rate_q24: int | None = None


Command = Drop | Paint | Rain | Spawn | Remove | Move | Wound | Drive | Rate

_json = msgspec.json.Decoder(Command)


def encode(command: Command) -> bytes:
    """A command as JSON."""
    return msgspec.json.encode(command)


def decode(content: bytes) -> Command:
    """A command from JSON; `CommandError` for what is none. Whether the world can do it, `check` says."""
    try:
        return _json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CommandError(one_line(f"command: {error}: write it as agents/commands says")) from None


# --- apply


def apply(region: Region, command: Command, number: int) -> None:
    """Do a checked command to all that a region's window holds of it, at the start of tick `region.tick`.

    `number` is the command's place in the journal; a being that is spawned takes its id from it.
    """
    match command:
        case Drop():
            _pour(region[command.substance], _cells(region, command.y, command.x), command.count)
        case Rain():
            _pour(region["water"], _disc(region, command.y, command.x, command.radius_cells), command.count)
        case Paint():
            region[command.part][_cells(region, command.y, command.x, command.height, command.width)] = command.value
        case Spawn():
            kind = region.tables[command.kind].schema.kind
            being = identity(kind, region.tick + 1, number & NUMBER_MASK, by_hand=True)
            region.record_births(command.kind, _put(region, command, being))
            _moved(region, command.kind)
        case Remove():
            for name, table in region.tables.items():
                region.remove_dead(name, table["id"] == command.id)
        case Move():
            for name, table in region.tables.items():
                table.keep(table["id"] != command.id)
                _moved(region, name)
            _put(region, command, command.id)
        case Wound():
            _wound(region, command)
        case Drive():
            _set(region.controls.held, command.id, None if command.drives is None else tuple(command.drives))
        case Rate():
            _set(region.controls.rates, command.reaction, command.rate_q24)


def _set(table: dict[Any, Any], key: Any, value: Any) -> None:
    if value is None:
        table.pop(key, None)
    else:
        table[key] = value


def _moved(region: Region, name: str) -> None:
    """Rows were added or taken: the index by cell is stale, as after every burial."""
    region.remove_dead(name, np.zeros(region.tables[name].count, np.uint8))


def _cells(region: Region, y: int, x: int, height: int = 1, width: int = 1) -> tuple[np.ndarray, ...]:
    """The window cells that are images of a rectangle of the world, to index planes with."""
    place = region.place()
    rows = np.flatnonzero((place.y_global - y) % place.world_height < height)
    columns = np.flatnonzero((place.x_global - x) % place.world_width < width)
    return np.ix_(rows, columns)


def _disc(region: Region, y: int, x: int, radius: int) -> np.ndarray:
    """The window cells within a radius of any image of a cell, `bool[height, width]`."""
    place = region.place()
    dy, dx = (place.y_global - y) % place.world_height, (place.x_global - x) % place.world_width
    dy, dx = np.minimum(dy, place.world_height - dy), np.minimum(dx, place.world_width - dx)
    return dy.astype(np.int64)[:, None] ** 2 + dx.astype(np.int64)[None, :] ** 2 <= radius * radius


def _pour(plane: np.ndarray, where: Any, count: int) -> None:
    """Add molecules to cells, as many as they hold."""
    have = plane[where].astype(np.int64)
    plane[where] = have + np.clip(MAX_IN_CELL_COUNT - have, 0, count)


def _put(region: Region, command: Spawn | Move, being: int) -> slice:
    """Append a being once for each image of its place."""
    table = region.tables[command.kind]
    rows, columns = _cells(region, command.y_fixed >> SUBCELL_BITS, command.x_fixed >> SUBCELL_BITS)
    y, x = (axis.ravel() for axis in np.broadcast_arrays(rows, columns))
    values: dict[str, Any] = {
        "id": being,
        "y_fixed": (y << SUBCELL_BITS) + command.y_fixed % SUBCELL,
        "x_fixed": (x << SUBCELL_BITS) + command.x_fixed % SUBCELL,
    }
    values |= {column.name: _entries(command.row[column.name]) for column in _own(table.schema)}
    return table.append(len(y), values)


def _own(schema: Schema) -> list[Column]:
    """The columns that a full row gives."""
    return [column for column in schema.own if not column.derived]


def _entries(value: Any) -> Any:
    """A row's value as numbers."""
    return np.frombuffer(value, np.int8) if isinstance(value, bytes) else value


def _wound(region: Region, command: Wound) -> None:
    """Let tissue fall, in every image of a body; what its cell would not hold stays where it is."""
    ground = region["detritus"]
    for table in region.tables.values():
        if "tissue_count" not in table:
            continue
        for row in np.flatnonzero(table["id"] == command.id).tolist():
            y, x = int(table["y_fixed"][row]) >> SUBCELL_BITS, int(table["x_fixed"][row]) >> SUBCELL_BITS
            if not (0 <= y < region.window.height and 0 <= x < region.window.width):
                continue  # what has stepped out of the window is dropped at the next sorting
            room = MAX_IN_CELL_COUNT - int(ground[y, x])
            lost = max(0, min(command.tissue_count, int(table["tissue_count"][row]), room))
            table["tissue_count"][row] -= lost
            ground[y, x] += lost
            if "pain" in table:
                table["pain"][row] = min(ONE, int(table["pain"][row]) + lost * parameters.PAIN_PER_TISSUE)


# --- check


def check(world: WorldFile, command: Command) -> Command:
    """The command, if this world can do it; else `CommandError`, in one line: what is wrong, and the mend."""
    check = _CHECKS.get(type(command))
    if check is None:
        raise CommandError(one_line(f"{str(command)[:60]} is no command: use one of {', '.join(_NAMES.values())}"))
    try:
        check(world, command)
    except WorldFileError as error:  # names and genes are looked up as in world files
        raise CommandError(str(error)) from None
    return command


def check_controls(world: WorldFile, controls: Controls) -> Controls:
    """The controls, if commands in this world could have made them."""
    for identity_, drives in controls.held.items():
        check(world, Drive(identity_, drives))
    for reaction, rate_q24 in controls.rates.items():
        check(world, Rate(reaction, rate_q24))
    return controls


def _whole(place: str, value: Any, least: int, most: int) -> None:
    """Refuse what is no whole number between two others."""
    if type(value) is not int or not least <= value <= most:
        # Python writes out no number of thousands of digits
        shown = hex(value) if isinstance(value, int) and value.bit_length() > 64 else str(value)
        shown = shown if len(shown) <= 40 else shown[:37] + "..."
        raise CommandError(one_line(f"{place} = {shown}: use a whole number from {least} to {most}"))


def _name(place: str, name: Any, known: Iterable[str]) -> str:
    """The name, if it is known."""
    if not isinstance(name, str):
        raise CommandError(one_line(f"{place} = {str(name)[:40]}: write a name"))
    return one_of(one_line(name[:80]), known, place)


def _cell(world: WorldFile, command: Any, unit: int = 1, ends: str = "") -> None:
    for axis, size in (("y", world.common.height), ("x", world.common.width)):
        _whole(f"{_NAMES[type(command)]}: {axis}{ends}", getattr(command, axis + ends), 0, size * unit - 1)


def _chemistry(world: WorldFile, what: str, *needed: str) -> Chemistry:
    """The world's chemistry, with the substances that a command needs by name."""
    chemistry = world.chemistry
    if chemistry is None:
        raise CommandError(f"{what}: the laws of {world.laws.name} know no substances: choose another command")
    for name in needed:
        if name not in chemistry.names:
            raise CommandError(f'{what}: this world has no substance "{name}": choose another command')
    return chemistry


def _check_drop(world: WorldFile, command: Drop) -> None:
    _cell(world, command)
    _name("drop: substance", command.substance, _chemistry(world, "drop").names)
    _whole("drop: count", command.count, 1, MAX_IN_CELL_COUNT)


def _check_rain(world: WorldFile, command: Rain) -> None:
    _cell(world, command)
    _chemistry(world, "rain", "water")
    _whole("rain: radius_cells", command.radius_cells, 0, MAX_RADIUS_CELLS)
    _whole("rain: count", command.count, 1, MAX_IN_CELL_COUNT)


def _check_paint(world: WorldFile, command: Paint) -> None:
    _cell(world, command)
    for side in ("height", "width"):
        _whole(f"paint: {side}", getattr(command, side), 1, MAX_SIDE_CELLS)
    fields = {part: field for field in world.laws.layout(world)[0] for part in field.parts or (field.name,)}
    if not fields:
        raise CommandError(f"paint: the laws of {world.laws.name} know no fields of cells: choose another command")
    field = fields[_name("paint: part", command.part, fields)]
    if field.name == "substance":
        least, most = 0, MAX_IN_CELL_COUNT
    elif field.name == "elevation":
        least, most = 0, MAX_ELEVATION
    else:
        limits = np.iinfo(field.dtype)
        least, most = int(limits.min), int(limits.max)
    _whole(f"paint: {command.part}", command.value, least, most)


def _check_being(world: WorldFile, command: Spawn | Move) -> None:
    what = _NAMES[type(command)]
    schemas = {schema.name: schema for schema in world.laws.layout(world)[1]}
    schema = schemas[_name(f"{what}: kind", command.kind, schemas)]
    _cell(world, command, SUBCELL, "_fixed")
    _check_row(world, f"{what}: {command.kind}", schema, command.row)
    if isinstance(command, Move):
        _check_id(world, command)
        owner = _owner(schemas.values(), command.id)
        if owner is not None and owner.name != command.kind:
            raise CommandError(
                f"move: id = {command.id} is one of {owner.name}, not of {command.kind}: give its own kind"
            )


def _check_row(world: WorldFile, place: str, schema: Schema, row: Any) -> None:
    """Refuse a row that is not whole, or holds what the laws could not live with."""
    if not isinstance(row, Mapping):
        raise CommandError(f"{place}: row: write its columns by name, as fetched gives them")
    columns = {column.name: column for column in _own(schema)}
    for name in row:
        _name(place, name, columns)
    for name, column in columns.items():
        if name not in row:
            raise CommandError(f'{place}: missing column "{name}": add it, as fetched gives it')
        least, most = LIMITS.get(name, (int(np.iinfo(column.dtype).min), int(np.iinfo(column.dtype).max)))
        if not column.entries:
            _whole(f"{place}: {name}", row[name], least, most)
            continue
        if not isinstance(row[name], list | tuple | bytes):
            raise CommandError(f"{place}: {name}: write a list of {column.entries} numbers")
        if isinstance(row[name], bytes) and column.dtype != "int8":
            raise CommandError(f"{place}: {name}: only bytes are written as bytes: write a list of numbers")
        values = row[name] if not isinstance(row[name], bytes) else _entries(row[name]).tolist()
        if len(values) != column.entries:
            raise CommandError(f"{place}: {name}: {len(values)} numbers are given: {column.entries} are needed")
        for at, value in enumerate(values):
            _whole(f"{place}: {name}[{at}]", value, least, most)
    _check_species(world, place, schema, row)
    if {"organs", "organs_built", "genome"} <= columns.keys():
        genome = np.array(_entries(row["genome"]), np.int8)
        asked = organs_in(genome[None], np.array([row["organs_built"]]))[0].tolist()
        if any(have < least for have, least in zip(row["organs"], asked, strict=True)):
            line = f"{place}: organs = {list(row['organs'])}: its genome has built {asked}: have at least these"
            raise CommandError(line)


def _check_species(world: WorldFile, place: str, schema: Schema, row: Mapping[str, Any]) -> None:
    """Refuse a species that the world does not know, or that is of another kind."""
    if "species" not in row or world.laws.species is None:
        return
    names = world.laws.species(world)
    _whole(f"{place}: species", row["species"], 0, len(names) - 1)
    if isinstance(world.settings, EarthSettings):
        kind = species_of(world.settings)[row["species"]]["kind"]
        if f"{kind}s" != schema.name:
            raise CommandError(
                f'{place}: species = {row["species"]} ("{names[row["species"]]}") is a {kind}: use another'
            )


def _owner(schemas: Iterable[Schema], being: int) -> Schema | None:
    """The kind that an id says it is of; none where laws number litters by kinds of their own."""
    kind = being >> (TICK_BITS + PLACE_BITS) & ((1 << KIND_BITS) - 1)
    return next((schema for schema in schemas if schema.kind == kind), None)


def _check_id(world: WorldFile, command: Any) -> None:
    _whole(f"{_NAMES[type(command)]}: id", command.id, 1, MAX_ID)


def _check_wound(world: WorldFile, command: Wound) -> None:
    _check_id(world, command)
    chemistry = _chemistry(world, "wound", "tissue", "detritus")
    formulas = [chemistry.substances[name] for name in ("tissue", "detritus")]
    if formulas[0] != formulas[1]:
        raise CommandError(f"wound: tissue is {formulas[0]}, detritus {formulas[1]}: matter would be lost: use remove")
    _whole("wound: tissue_count", command.tissue_count, 1, MAX_IN_CELL_COUNT)


def _check_drive(world: WorldFile, command: Drive) -> None:
    _check_id(world, command)
    schemas = world.laws.layout(world)[1]
    driven = [schema.name for schema in schemas if any(column.name == "drives" for column in schema.own)]
    if not driven:
        raise CommandError(f"drive: the laws of {world.laws.name} know no drives: choose another command")
    owner = _owner(schemas, command.id)
    if owner is None or owner.name not in driven:
        what = f"is one of {owner.name}" if owner else "names no kind of being"
        raise CommandError(f"drive: id = {command.id} {what}: only {', '.join(driven)} have drives")
    if command.drives is None:
        return
    if not isinstance(command.drives, list | tuple):
        raise CommandError(f"drive: drives: write {len(DRIVES)} numbers, or none to give the body back")
    if len(command.drives) != len(DRIVES):
        raise CommandError(
            f"drive: {len(command.drives)} drives are given: {len(DRIVES)} are needed: {', '.join(DRIVES)}"
        )
    for name, value in zip(DRIVES, command.drives, strict=True):
        _whole(f"drive: {name}", value, -ONE, ONE)


def _check_rate(world: WorldFile, command: Rate) -> None:
    if world.chemistry is None:
        raise CommandError(f"rate: the laws of {world.laws.name} know no reactions: choose another command")
    _name("rate: reaction", command.reaction, [reaction.name for reaction in _chemistry(world, "rate").reactions])
    if command.rate_q24 is not None:
        _whole("rate: rate_q24", command.rate_q24, 0, MAX_RATE_Q24)


_CHECKS: dict[type, Callable[[WorldFile, Any], None]] = {
    Drop: _check_drop,
    Paint: _check_paint,
    Rain: _check_rain,
    Spawn: _check_being,
    Remove: _check_id,
    Move: _check_being,
    Wound: _check_wound,
    Drive: _check_drive,
    Rate: _check_rate,
}
_NAMES: dict[type, str] = {kind: kind.__struct_config__.tag for kind in _CHECKS}  # type: ignore[attr-defined]


# --- make


def compose_founder(world: WorldFile, species: str, y: int, x: int, genome: bytes | list[int] | None = None) -> Spawn:
    """A being as genesis makes the founders of a species, in the middle of a cell; a genome given replaces theirs.

    Where genesis throws dice with the founder's id, the cell's number stands for it.
    """
    settings = world.settings
    if not isinstance(settings, EarthSettings):
        raise CommandError(f"spawn: {world.laws.name} has no founders: write the being's row")
    for axis, value, size in (("y", y, world.common.height), ("x", x, world.common.width)):
        _whole(f"spawn: {axis}", value, 0, size - 1)
    try:
        at = (names := [group.species for group in settings.founders]).index(_name("spawn: species", species, names))
        found = species_of(settings)[at]
        if genome is not None:
            genes = np.frombuffer(genome, np.int8).tolist() if isinstance(genome, bytes) else list(genome)
            for number, gene in enumerate(genes):
                _whole(f"spawn: genome[{number}]", gene, -128, 127)
            found |= {"genomes": given_genome(genes, found["kind"], "spawn")[None], "variation": 0.0}
    except WorldFileError as error:
        raise CommandError(str(error)) from None
    kind = f"{found['kind']}s"
    table = Table(next(schema for schema in world.laws.layout(world)[1] if schema.name == kind))
    key = np.array([y * world.common.width + x])
    table.append(1, founder_columns(found, at, world.common.seed, key))
    return Spawn(kind, (y << SUBCELL_BITS) + SUBCELL // 2, (x << SUBCELL_BITS) + SUBCELL // 2, _plain(table, 0))


def compose_rate(world: WorldFile, reaction: str, rate: float | None) -> Rate:
    """A reaction's new rate a tick, as world files write it; none gives it back its own."""
    most = MAX_RATE_Q24 >> RATE_BITS
    if rate is not None and not 0 <= rate <= most:
        raise CommandError(f"rate: {one_line(reaction)} = {rate}: use 0 to {most} a tick")
    command = Rate(reaction, None if rate is None else rate_from_float(rate))
    if rate and not command.rate_q24:
        raise CommandError(
            f"rate: {one_line(reaction)} = {rate}: is below 2^-{RATE_BITS} a tick: use 0 or more than that"
        )
    check(world, command)
    return command


def fetch(region: Region, being: int) -> dict[str, Any] | None:
    """The being of an id as plain data, where the region owns it: `kind`, `id`, `y_fixed`, `x_fixed`, and its `row`.

    Positions are the world's. `Move(**fetched | {"x_fixed": ...})` puts it elsewhere; a `Spawn` of the row copies it.
    """
    for name, table in region.tables.items():
        found = np.flatnonzero((table["id"] == being) & region.owned_rows(name))
        if len(found):
            y, x = (int(own_values(region, table, axis, found[0])) for axis in ("y_fixed", "x_fixed"))
            return {"kind": name, "id": being, "y_fixed": y, "x_fixed": x, "row": _plain(table, int(found[0]))}
    return None


def _plain(table: Table, at: int) -> Row:
    """A row's own columns as plain data; a genome as bytes."""
    row = {column.name: table[column.name][at] for column in _own(table.schema)}
    return {name: value.tobytes() if name == "genome" else value.tolist() for name, value in row.items()}

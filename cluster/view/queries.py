"""Queries about a world and their answers: select beings, fetch a being, count beings, read a patch of a field.

A query is sent to all nodes that own queried cells. Each node answers for its shard (`answer`), and the answers are
merged (`merge`). Rows are in the order of ids, so the result does not depend on how the torus is divided. A query is
JSON; an answer is JSON (its *content*) with a raw frame of bytes.

A node's *shard* is its rectangle of the torus; its *region* holds the cells and beings of the shard, which it owns, and
of a halo around it.
"""

import base64
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np

from umwelt.agents import commands
from umwelt.agents.species.column_access import read_column
from umwelt.agents.world_file import WorldFile
from umwelt.cluster.view.tile_encoder import TileEncoder
from umwelt.cluster.view.tiles import layers_of, overlaps
from umwelt.sandbox.columns import Schema, Table
from umwelt.sandbox.errors import CommandError, WorldFileError
from umwelt.sandbox.region import Rectangle, Region, Torus, images
from umwelt.sandbox.text import one_line, one_of
from umwelt.sandbox.units import SUBCELL_BITS

MAX_ROWS = 100_000
MAX_BYTES = 2 << 20
"""Maximum size in bytes of the columns of an answer, which has fewer rows if they would exceed it."""
MAX_TASK_BYTES, MAX_TASK_ROWS = 64 << 20, 1_000_000
"""The limits of an answer that is passed to a task on the same node."""
MAX_CONDITIONS, MAX_ASKED = 16, 64
OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "==": np.equal,
    "!=": np.not_equal,
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
}
PLACES = ("y", "x", "y_fixed", "x_fixed")
"""Columns for the place of a being in the world: `y` and `x` in cells, `y_fixed` and `x_fixed` in subcells.

In tables, the columns of these names are relative to the corner of the region with its halo; answers hold world
coordinates.
"""
LAST = ("stimuli", "drives")
"""Columns that every tick computes anew and that can be queried: inputs and outputs of beings' behaviours."""

Four = tuple[int, int, int, int]
"""A rectangle: y, x, height, width in cells."""


class Select(msgspec.Struct, tag_field="ask", tag="select", frozen=True, forbid_unknown_fields=True):
    """Query for columns of the beings of a table that lie in a rectangle and meet all conditions.

    `rectangle` is y, x, height, width in cells, and can cross the edges of the torus. A condition in `where` is a
    column, an operator and an integer; a species can be given by name. `most` is the maximum number of rows.
    """

    table: str
    columns: list[str]
    where: list[tuple[str, str, int | str]] = []
    rectangle: Four | None = None
    most: int = MAX_ROWS


class Fetch(msgspec.Struct, tag_field="ask", tag="fetch", frozen=True, forbid_unknown_fields=True):
    """Query for one being by its id: its row in the form that commands use, its columns, stimuli and drives.

    In the answer, `held` are the drives after replacement by overrides (`sandbox.controls`); None without override.
    """

    id: int


class Count(msgspec.Struct, tag_field="ask", tag="count", frozen=True, forbid_unknown_fields=True):
    """Query for the number of living beings by table and species, in a rectangle or in the full world."""

    rectangle: Four | None = None


class Patch(msgspec.Struct, tag_field="ask", tag="patch", frozen=True, forbid_unknown_fields=True):
    """Query for the values of the layer `name` in each cell of a rectangle.

    A layer is a field, a component of a field, light, temperature or rain. The merged answer is `int32[height, width]`.
    """

    name: str
    rectangle: Four


Question = Select | Fetch | Count | Patch
_questions, _many = msgspec.json.Decoder(Question), msgspec.json.Decoder(list[Question])


class Part(NamedTuple):
    """The answer of one node for its shard, at the tick that the node has reached; or the merged answer of all."""

    tick: int
    answer: dict[str, Any]
    raw: bytes


def read(content: bytes) -> Question:
    """Decodes a query from JSON. Raises CommandError if it is malformed."""
    return _decode(_questions, content)


def read_many(content: bytes) -> list[Question]:
    """Decodes a list of queries from JSON. Raises CommandError if it is malformed."""
    return _decode(_many, content)


def _decode(decoder: Any, content: bytes) -> Any:
    """Returns the query or queries that `decoder` decodes from JSON. Raises CommandError if it is malformed."""
    try:
        return decoder.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CommandError(one_line(f"question: {error}: write it as cluster/view/queries.py says")) from None


def check(world: WorldFile, question: Question, for_task: bool = False) -> Question:
    """Checks that `world` can answer a query, and returns the query with names of species replaced by numbers.

    Raises CommandError, with a one-line message, if the query is not valid. With `for_task` the limits are larger,
    since the answers are not sent, but passed to a task on the same node.
    """
    max_rows = MAX_TASK_ROWS if for_task else MAX_ROWS
    max_cells = (MAX_TASK_BYTES if for_task else MAX_BYTES) // 4
    try:
        if isinstance(question, Select):
            return _check_select(world, question, max_rows)
        if isinstance(question, Patch):
            one_of(one_line(question.name[:80]), layers_of(world)[1:], "patch: name")
            _check_rectangle(world, question.rectangle)
            if question.rectangle[2] * question.rectangle[3] > max_cells:
                raise CommandError(f"patch: at most {max_cells} cells at once: ask for a smaller rectangle")
        elif isinstance(question, Count) and question.rectangle:
            _check_rectangle(world, question.rectangle)
    except WorldFileError as error:
        raise CommandError(str(error)) from None
    return question


def _check_select(world: WorldFile, question: Select, max_rows: int) -> Select:
    """Checks a `Select` (see `check`); returns it with species as numbers and without repeated columns."""
    schemas = {schema.name: schema for schema in world.laws.layout(world)[1]}
    schema = schemas[one_of(one_line(question.table[:80]), schemas, "query: table")]
    if question.rectangle:
        _check_rectangle(world, question.rectangle)
    if not 0 <= question.most <= max_rows:
        raise CommandError(f"query: most = {question.most}: use 0 to {max_rows} rows")
    if len(question.where) > MAX_CONDITIONS or len(question.columns) > MAX_ASKED:
        raise CommandError(f"query: at most {MAX_CONDITIONS} conditions and {MAX_ASKED} columns: ask for fewer")
    known = _columns_of(schema)
    where = []
    for name, operator, value in question.where:
        one_of(one_line(name[:80]), [column for column, entries in known.items() if not entries], "query: where")
        one_of(one_line(operator[:8]), OPERATORS, "query: where")
        if isinstance(value, str):
            names = list(world.laws.species(world)) if world.laws.species else []
            if name != "species" or not names:
                raise CommandError(one_line(f"query: {name} {operator} {value[:40]}: compare with a whole number"))
            value = names.index(one_of(one_line(value[:80]), names, "query: species"))
        if not -(1 << 63) <= value < 1 << 63:
            raise CommandError(f"query: {name} {operator}: use a number of 64 bits")
        where.append((name, operator, value))
    for name in question.columns:
        one_of(one_line(name[:80]), known, "query: columns")
    return msgspec.structs.replace(question, where=where, columns=list(dict.fromkeys(question.columns)))


def column_names(schema: Schema) -> list[str]:
    """Returns the names of the columns of a table that can be queried."""
    return list(_columns_of(schema))


def _columns_of(schema: Schema) -> dict[str, int]:
    """Returns the columns that can be queried, each with its number of entries per row (0 for a scalar)."""
    columns = dict.fromkeys(PLACES, 0) | {"id": 0}
    for column in schema.own:
        if not column.derived or column.name in LAST:
            columns[column.name] = column.entries
            columns |= {part: 0 for part in column.parts if part not in columns}
    return columns


def _check_rectangle(world: WorldFile, rectangle: Four) -> None:
    """Raises CommandError if a rectangle is empty, larger than the world, or more than 2^30 cells from its corner."""
    y, x, height, width = rectangle
    sizes = world.common.height, world.common.width
    if not (1 <= height <= sizes[0] and 1 <= width <= sizes[1] and abs(y) <= 1 << 30 and abs(x) <= 1 << 30):
        raise CommandError(
            f"rectangle = {list(rectangle)}: give y, x, height, width in cells; the world has {sizes[0]} x {sizes[1]}"
        )


# --- answering at a node


def answer(encoder: TileEncoder, question: Question, max_bytes: int = MAX_BYTES) -> Part:
    """Answers a checked query for the rectangle that the encoder's region owns.

    The answer to a `Select` has fewer rows if its columns would exceed `max_bytes`.
    """
    region = encoder.region
    match question:
        case Select():
            return Part(region.tick, *_select(region, question, max_bytes))
        case Count():
            return Part(region.tick, {"counts": _count(encoder.world, region, question)}, b"")
        case Patch():
            return Part(region.tick, *_patch(encoder, question))
        case Fetch():
            return Part(region.tick, {"being": _fetch(encoder.world, region, question.id)}, b"")


def _inside(region: Region, table: Table, rectangle: Four | None, rows: np.ndarray) -> np.ndarray:
    """Returns those of `rows` whose beings lie in `rectangle`; all of them for None."""
    if rectangle is None:
        return rows
    y, x, height, width = rectangle
    y_cell = read_column(region, table, "y_fixed", rows) >> SUBCELL_BITS
    x_cell = read_column(region, table, "x_fixed", rows) >> SUBCELL_BITS
    return rows[((y_cell - y) % region.torus.height < height) & ((x_cell - x) % region.torus.width < width)]


def _column(region: Region, table: Table, name: str, rows: np.ndarray) -> np.ndarray:
    """Returns a column at `rows`; the columns `PLACES` in world coordinates."""
    if name in PLACES:
        values = read_column(region, table, f"{name[0]}_fixed", rows)
        return (values if name.endswith("_fixed") else values >> SUBCELL_BITS).astype(np.int32)
    return table[name][rows]


def _select(region: Region, question: Select, max_bytes: int) -> tuple[dict[str, Any], bytes]:
    """Returns content and raw frame of the answer to a `Select`, in the form that `_pack_columns` describes."""
    table = region.tables[question.table]
    rows = np.flatnonzero(region.owned_rows(question.table))
    rows = _inside(region, table, question.rectangle, rows)
    for name, operator, value in question.where:
        rows = rows[OPERATORS[operator](_column(region, table, name, rows).astype(np.int64), value)]
    total = len(rows)
    rows = rows[np.argsort(table["id"][rows])][: question.most]
    columns = {name: _column(region, table, name, rows) for name in ("id", *question.columns)}
    return _pack_columns(columns, total, max_bytes)


def _pack_columns(
    columns: dict[str, np.ndarray], total: int, max_bytes: int = MAX_BYTES
) -> tuple[dict[str, Any], bytes]:
    """Encodes columns, `id` among them, as the content and raw frame of an answer, with as many rows as fit.

    `total` is the number of rows that match the query. The content has `total`, `count` (the number of encoded rows)
    and `columns` (name, dtype and entries per row of each, 0 for a scalar); the raw frame has the columns one after
    another.
    """
    row_bytes = sum(array[:1].nbytes or array.itemsize for array in columns.values())
    count = min(len(columns["id"]), max_bytes // row_bytes)
    described = [[name, array.dtype.name, array.shape[1] if array.ndim > 1 else 0] for name, array in columns.items()]
    raw = b"".join(np.ascontiguousarray(array[:count]).tobytes() for array in columns.values())
    return {"total": total, "count": count, "columns": described}, raw


def read_columns(content: dict[str, Any], raw: bytes) -> dict[str, np.ndarray]:
    """Returns the columns of an answer to `Select` by name: `dtype[row]`, or `dtype[row, entry]` unless scalar."""
    columns, offset = {}, 0
    for name, dtype, entries in content["columns"]:
        size = content["count"] * max(1, entries)
        array = np.frombuffer(raw, dtype, size, offset)
        offset += array.nbytes
        columns[name] = array.reshape(-1, entries) if entries else array
    return columns


def _count(world: WorldFile, region: Region, question: Count) -> dict[str, dict[str, int]]:
    """Returns the numbers of owned beings as {table: {species: number}}.

    In a table without species, all beings are counted under the table's name. Species without beings are omitted.
    """
    names = list(world.laws.species(world)) if world.laws.species else []
    counts: dict[str, dict[str, int]] = {}
    for name, table in region.tables.items():
        rows = _inside(region, table, question.rectangle, np.flatnonzero(region.owned_rows(name)))
        if "species" not in table:
            counts[name] = {name: len(rows)}
            continue
        by_species = np.bincount(table["species"][rows]).tolist()
        counts[name] = {_species_name(names, index): count for index, count in enumerate(by_species) if count}
    return counts


def _species_name(names: Sequence[str], index: int) -> str:
    """Returns the name of a species, or "species INDEX" if it has none."""
    return names[index] if 0 <= index < len(names) else f"species {index}"


def _patch(encoder: TileEncoder, question: Patch) -> tuple[dict[str, Any], bytes]:
    """Returns the content and the raw frame of the answer to a `Patch`.

    The content lists, as `parts`, the rectangles of the patch that the region owns, in world coordinates. The raw frame
    contains the values of the queried layer in these rectangles, one rectangle after the other, as int32.
    """
    region = encoder.region
    owned = dict.fromkeys(part for part, _, _ in images(region.owned, Rectangle(*question.rectangle), region.torus))
    parts, raw = [], []
    for part in owned:
        inside = Rectangle(part.y % region.torus.height, part.x % region.torus.width, part.height, part.width)
        parts.append(list(inside))
        raw.append(encoder.values(question.name, inside).astype(np.int32).tobytes())
    return {"parts": parts}, b"".join(raw)


def _fetch(world: WorldFile, region: Region, being: int) -> dict[str, Any] | None:
    """Returns the being with id `being` as plain data; None if the region does not own it.

    The keys are those of `commands.fetch` (`kind`, the being's table, `id`, place and `row`), and `columns`, `species`,
    `stimuli`, `drives` and `held` (see `Fetch`), as far as the table has them.
    """
    fetched = commands.fetch(region, being)
    if fetched is None:
        return None
    table = region.tables[fetched["kind"]]
    row = int(np.flatnonzero((table["id"] == being) & region.owned_rows(fetched["kind"]))[0])
    names = list(world.laws.species(world)) if world.laws.species else []
    columns: dict[str, Any] = {}
    for column in table.stored_columns():
        if column.name in ("genome", *PLACES):
            continue
        value = table[column.name][row].tolist()
        columns |= dict(zip(column.parts, value, strict=True)) if column.parts else {column.name: value}
    fetched["columns"] = columns
    if "species" in columns:
        fetched["species"] = _species_name(names, columns["species"])
    for column in table.schema.own:
        if column.name in LAST:
            fetched[column.name] = dict(zip(column.parts, table[column.name][row].tolist(), strict=True))
    held, own = region.controls.drives_of(being), table["drives"][row].tolist() if "drives" in table else []
    fetched["held"] = (
        None if held is None else [mine if new is None else new for mine, new in zip(own, held, strict=True)]
    )
    return fetched


# --- merging the answers of all nodes


def merge(question: Question, parts: Sequence[Part], torus: Torus) -> Part:
    """Merges the answers of all nodes to a query.

    The tick of the result is the latest one of the answers, and `ticks` in its content lists all of their ticks.
    """
    ticks = sorted({part.tick for part in parts})
    match question:
        case Select():
            content, raw = _merge_select(question, parts)
        case Fetch():
            content, raw = _merge_fetch(parts), b""
        case Count():
            content, raw = _merge_counts(parts), b""
        case Patch():
            content, raw = _merge_patch(question, parts, torus)
    return Part(ticks[-1], {**content, "ticks": ticks}, raw)


def _merge_select(question: Select, parts: Sequence[Part]) -> tuple[dict[str, Any], bytes]:
    """Returns content and raw frame of the merged answer, as `_pack_columns` does, with rows in the order of ids.

    A being in several answers is taken from the latest one. If an answer is incomplete, so is the result: it ends where
    the first incomplete answer ends.
    """
    ordered = sorted(parts, key=lambda part: -part.tick)
    tables = [read_columns(part.answer, part.raw) for part in ordered]
    columns = {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}
    ids, first = np.unique(columns["id"], return_index=True)
    twice = len(columns["id"]) - len(ids)  # beings that changed shards between the ticks of two answers
    # an incomplete answer ends at some id; beyond it, rows of that node would be missing in the result
    ends = [int(table["id"][-1]) for part, table in zip(ordered, tables, strict=True) if _is_cut(part, question)]
    first = first[ids <= min(ends)] if ends else first
    columns = {name: array[first[: question.most]] for name, array in columns.items()}
    return _pack_columns(columns, sum(part.answer["total"] for part in parts) - twice)


def _is_cut(part: Part, question: Select) -> bool:
    """Returns whether an answer lacks rows that match the query, because they would have made it too large."""
    count = part.answer["count"]
    return 0 < count < min(part.answer["total"], question.most)


def _merge_fetch(parts: Sequence[Part]) -> dict[str, Any]:
    """Returns {"being": BEING}, from the latest answer that has the being; None instead of BEING if none has it."""
    beings = [(part.tick, part.answer["being"]) for part in parts if part.answer["being"] is not None]
    return {"being": max(beings, key=lambda being: being[0])[1] if beings else None}


def _merge_counts(parts: Sequence[Part]) -> dict[str, Any]:
    """Returns {"counts": {table: {species: number}}}, the sums over all answers."""
    totals: dict[str, dict[str, int]] = {}
    for part in parts:
        for table, counts in part.answer["counts"].items():
            total = totals.setdefault(table, {})
            for name, count in counts.items():
                total[name] = total.get(name, 0) + count
    return {"counts": totals}


def _merge_patch(question: Patch, parts: Sequence[Part], torus: Torus) -> tuple[dict[str, Any], bytes]:
    """Returns the content (`height` and `width` of the patch) and the raw frame, `int32[height, width]`.

    The raw frame is assembled from the values of the rectangles that the nodes own; cells of no node are 0.
    """
    view = Rectangle(*question.rectangle)
    whole = np.zeros((view.height, view.width), np.int32)
    for part in parts:
        offset = 0
        for rectangle in part.answer["parts"]:
            owned = Rectangle(*rectangle)
            values = np.frombuffer(part.raw, np.int32, owned.cells, offset).reshape(owned.height, owned.width)
            offset += values.nbytes
            for rows, columns, view_rows, view_columns in overlaps(view, owned, torus):
                whole[view_rows, view_columns] = values[rows, columns]
    return {"height": view.height, "width": view.width}, whole.tobytes()


def read_being(content: dict[str, Any]) -> dict[str, Any] | None:
    """Returns the being of an answer to `Fetch` in the form that commands use; None if there is no such being.

    The keys are `kind` (the being's table), `id`, `y_fixed`, `x_fixed` and `row`, its attributes by name.
    """
    being = content.get("being")
    if being is None:
        return None
    row = {name: base64.b64decode(value) if isinstance(value, str) else value for name, value in being["row"].items()}
    return {**{name: being[name] for name in ("kind", "id", "y_fixed", "x_fixed")}, "row": row}

"""Questions to a world, and their answers: beings by place and condition, one being, counts, a patch of a field.

A question goes to every node; each answers for what it owns, and the answers are merged. Rows come in the order of ids,
so that the answer is the same however the world is cut. A question is JSON, an answer is JSON and one raw frame.
"""

import base64
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np

from umwelt.agents.commands import deeds
from umwelt.agents.species.behaviour import own_values
from umwelt.agents.world_file import WorldFile, one_line, one_of
from umwelt.cluster.view.tile_encoder import Cutter
from umwelt.cluster.view.tiles import layers_of, seen_at
from umwelt.sandbox.columns import Schema, Table
from umwelt.sandbox.errors import CommandError, WorldFileError
from umwelt.sandbox.region import Rectangle, Region, Torus, images
from umwelt.sandbox.units import SUBCELL_BITS

MAX_ROWS = 100_000
MAX_BYTES = 2 << 20
"""An answer's columns hold no more: fewer rows are given then."""
MAX_TASK_BYTES, MAX_TASK_ROWS = 64 << 20, 1_000_000
"""What one node hands to a task of its own."""
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
"""Columns that are the world's, not the window's; `y` and `x` are cells."""
LAST = ("stimuli", "drives")
"""Columns of the last tick, which are worth seeing though nothing carries them."""

Four = tuple[int, int, int, int]


class Select(msgspec.Struct, tag_field="ask", tag="select", frozen=True, forbid_unknown_fields=True):
    """Beings of a table in a rectangle (y, x, height, width; over the seams if need be) that meet all conditions.

    A condition is a column, an operator and a whole number; a species may be named.
    """

    table: str
    columns: list[str]
    where: list[tuple[str, str, int | str]] = []
    rectangle: Four | None = None
    most: int = MAX_ROWS


class Fetch(msgspec.Struct, tag_field="ask", tag="fetch", frozen=True, forbid_unknown_fields=True):
    """All of one being: its row as deeds want it, its columns, stimuli and drives."""

    id: int


class Count(msgspec.Struct, tag_field="ask", tag="count", frozen=True, forbid_unknown_fields=True):
    """How many of each species live, by table, in a rectangle or everywhere."""

    rectangle: Four | None = None


class Patch(msgspec.Struct, tag_field="ask", tag="patch", frozen=True, forbid_unknown_fields=True):
    """A field, a part of one, light or temperature over a rectangle, cell by cell."""

    name: str
    rectangle: Four


Question = Select | Fetch | Count | Patch
_questions, _many = msgspec.json.Decoder(Question), msgspec.json.Decoder(list[Question])


class Part(NamedTuple):
    """What one node says: of the rectangle it owns, as it is at a tick."""

    tick: int
    answer: dict[str, Any]
    raw: bytes


def read(content: bytes) -> Question:
    """A question from JSON; `CommandError` for what is none."""
    return _decoded(_questions, content)


def read_many(content: bytes) -> list[Question]:
    """Questions from JSON; `CommandError` for what is none."""
    return _decoded(_many, content)


def _decoded(decoder: Any, content: bytes) -> Any:
    try:
        return decoder.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CommandError(one_line(f"question: {error}: write it as cluster/view/queries.py says")) from None


def checked(world: WorldFile, question: Question, for_task: bool = False) -> Question:
    """The question, names of species replaced by numbers, if this world can answer it; else `CommandError`, one line.

    What is asked for a task stays on its node, and may be more.
    """
    max_rows = MAX_TASK_ROWS if for_task else MAX_ROWS
    max_cells = (MAX_TASK_BYTES if for_task else MAX_BYTES) // 4
    try:
        if isinstance(question, Select):
            return _checked_select(world, question, max_rows)
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


def _checked_select(world: WorldFile, question: Select, max_rows: int) -> Select:
    schemas = {schema.name: schema for schema in world.laws.layout(world)[1]}
    schema = schemas[one_of(one_line(question.table[:80]), schemas, "query: table")]
    if question.rectangle:
        _check_rectangle(world, question.rectangle)
    if not 0 <= question.most <= max_rows:
        raise CommandError(f"query: most = {question.most}: use 0 to {max_rows} rows")
    if len(question.where) > MAX_CONDITIONS or len(question.columns) > MAX_ASKED:
        raise CommandError(f"query: at most {MAX_CONDITIONS} conditions and {MAX_ASKED} columns: ask for fewer")
    known = _known(schema)
    where = []
    for name, operator, value in question.where:
        one_of(one_line(name[:80]), [one for one, entries in known.items() if not entries], "query: where")
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


def _known(schema: Schema) -> dict[str, int]:
    """The columns that may be asked for, and how many entries each has (0: one plain number)."""
    found = dict.fromkeys(PLACES, 0) | {"id": 0}
    for column in schema.own:
        if not column.derived or column.name in LAST:
            found[column.name] = column.entries
            found |= {part: 0 for part in column.parts if part not in found}
    return found


def _check_rectangle(world: WorldFile, rectangle: Four) -> None:
    y, x, height, width = rectangle
    sizes = world.common.height, world.common.width
    if not (1 <= height <= sizes[0] and 1 <= width <= sizes[1] and abs(y) <= 1 << 30 and abs(x) <= 1 << 30):
        raise CommandError(
            f"rectangle = {list(rectangle)}: give y, x, height, width in cells; the world has {sizes[0]} x {sizes[1]}"
        )


# --- one node's answer


def answered(cutter: Cutter, question: Question, max_bytes: int = MAX_BYTES) -> Part:
    """What a region says to a checked question."""
    region = cutter.region
    if isinstance(question, Select):
        return Part(region.tick, *_selected(region, question, max_bytes))
    if isinstance(question, Count):
        return Part(region.tick, {"counts": _counts(cutter.world, region, question)}, b"")
    if isinstance(question, Patch):
        return Part(region.tick, *_patch(cutter, question))
    return Part(region.tick, {"being": _fetched(cutter.world, region, question.id)}, b"")


def _inside(region: Region, table: Table, rectangle: Four | None, rows: np.ndarray) -> np.ndarray:
    if rectangle is None:
        return rows
    y, x, height, width = rectangle
    y_cell = own_values(region, table, "y_fixed", rows) >> SUBCELL_BITS
    x_cell = own_values(region, table, "x_fixed", rows) >> SUBCELL_BITS
    return rows[((y_cell - y) % region.torus.height < height) & ((x_cell - x) % region.torus.width < width)]


def _column(region: Region, table: Table, name: str, rows: np.ndarray) -> np.ndarray:
    if name in PLACES:
        values = own_values(region, table, f"{name[0]}_fixed", rows)
        return (values if name.endswith("_fixed") else values >> SUBCELL_BITS).astype(np.int32)
    return table[name][rows]


def _selected(region: Region, question: Select, max_bytes: int) -> tuple[dict[str, Any], bytes]:
    table = region.tables[question.table]
    rows = np.flatnonzero(region.owned_rows(question.table))
    rows = _inside(region, table, question.rectangle, rows)
    for name, operator, value in question.where:
        rows = rows[OPERATORS[operator](_column(region, table, name, rows).astype(np.int64), value)]
    total = len(rows)
    rows = rows[np.argsort(table["id"][rows])][: question.most]
    columns = {name: _column(region, table, name, rows) for name in ("id", *question.columns)}
    return _told(columns, total, max_bytes)


def _told(columns: dict[str, np.ndarray], total: int, max_bytes: int = MAX_BYTES) -> tuple[dict[str, Any], bytes]:
    """Columns as JSON and bytes; as many rows as an answer holds."""
    row_bytes = sum(array[:1].nbytes or array.itemsize for array in columns.values())
    count = min(len(columns["id"]), max_bytes // row_bytes)
    told = [[name, array.dtype.name, array.shape[1] if array.ndim > 1 else 0] for name, array in columns.items()]
    raw = b"".join(np.ascontiguousarray(array[:count]).tobytes() for array in columns.values())
    return {"total": total, "count": count, "columns": told}, raw


def columns_of(answer: dict[str, Any], raw: bytes) -> dict[str, np.ndarray]:
    """The columns of an answer to `Select`, by name."""
    found, at = {}, 0
    for name, dtype, entries in answer["columns"]:
        size = answer["count"] * max(1, entries)
        array = np.frombuffer(raw, dtype, size, at)
        at += array.nbytes
        found[name] = array.reshape(-1, entries) if entries else array
    return found


def _counts(world: WorldFile, region: Region, question: Count) -> dict[str, dict[str, int]]:
    names = list(world.laws.species(world)) if world.laws.species else []
    found: dict[str, dict[str, int]] = {}
    for name, table in region.tables.items():
        rows = _inside(region, table, question.rectangle, np.flatnonzero(region.owned_rows(name)))
        if "species" not in table:
            found[name] = {name: len(rows)}
            continue
        by_species = np.bincount(table["species"][rows]).tolist()
        found[name] = {
            names[at] if at < len(names) else f"species {at}": count for at, count in enumerate(by_species) if count
        }
    return found


def _patch(cutter: Cutter, question: Patch) -> tuple[dict[str, Any], bytes]:
    region = cutter.region
    seen = dict.fromkeys(part for part, _, _ in images(region.owned, Rectangle(*question.rectangle), region.torus))
    parts, raw = [], []
    for part in seen:
        inside = Rectangle(part.y % region.torus.height, part.x % region.torus.width, part.height, part.width)
        parts.append(list(inside))
        raw.append(cutter.values(question.name, inside).astype(np.int32).tobytes())
    return {"parts": parts}, b"".join(raw)


def _fetched(world: WorldFile, region: Region, being: int) -> dict[str, Any] | None:
    found = deeds.fetched(region, being)
    if found is None:
        return None
    table = region.tables[found["kind"]]
    at = int(np.flatnonzero((table["id"] == being) & region.owned_rows(found["kind"]))[0])
    names = list(world.laws.species(world)) if world.laws.species else []
    columns: dict[str, Any] = {}
    for column in table.stored_columns():
        if column.name in ("genome", *PLACES):
            continue
        value = table[column.name][at].tolist()
        columns |= dict(zip(column.parts, value, strict=True)) if column.parts else {column.name: value}
    found["columns"] = columns
    if "species" in columns:
        number = columns["species"]
        found["species"] = names[number] if 0 <= number < len(names) else f"species {number}"
    for name in LAST:
        for last in [one for one in table.schema.own if one.name == name]:
            found[name] = dict(zip(last.parts, table[name][at].tolist(), strict=True))
    held = region.controls.held.get(being)
    found["held"] = None if held is None else list(held)
    return found


# --- all nodes' answers


def merged(question: Question, parts: Sequence[Part], torus: Torus) -> Part:
    """The answer of the whole world from those of its parts; its tick is the latest of theirs, `ticks` are all."""
    ticks = sorted({part.tick for part in parts})
    answer, raw = _MERGES[type(question)](question, parts, torus)
    return Part(ticks[-1], {**answer, "ticks": ticks}, raw)


def _merged_select(question: Any, parts: Sequence[Part], torus: Torus) -> tuple[dict[str, Any], bytes]:
    ordered = sorted(parts, key=lambda part: -part.tick)
    told = [columns_of(part.answer, part.raw) for part in ordered]
    columns = {name: np.concatenate([one[name] for one in told]) for name in told[0]}
    ids, first = np.unique(columns["id"], return_index=True)
    twice = len(columns["id"]) - len(ids)  # one that crossed a border between two nodes' ticks
    # ids beyond the last one of a node that had to stop early would leave holes
    ends = [int(one["id"][-1]) for part, one in zip(ordered, told, strict=True) if _cut_short(part, question)]
    first = first[ids <= min(ends)] if ends else first
    columns = {name: array[first[: question.most]] for name, array in columns.items()}
    return _told(columns, sum(part.answer["total"] for part in parts) - twice)


def _cut_short(part: Part, question: Select) -> bool:
    count = part.answer["count"]
    return 0 < count < min(part.answer["total"], question.most)


def _merged_fetch(question: Any, parts: Sequence[Part], torus: Torus) -> tuple[dict[str, Any], bytes]:
    found = [(part.tick, part.answer["being"]) for part in parts if part.answer["being"] is not None]
    return {"being": max(found, key=lambda one: one[0])[1] if found else None}, b""


def _merged_count(question: Any, parts: Sequence[Part], torus: Torus) -> tuple[dict[str, Any], bytes]:
    counts: dict[str, dict[str, int]] = {}
    for part in parts:
        for table, found in part.answer["counts"].items():
            into = counts.setdefault(table, {})
            for name, count in found.items():
                into[name] = into.get(name, 0) + count
    return {"counts": counts}, b""


def _merged_patch(question: Any, parts: Sequence[Part], torus: Torus) -> tuple[dict[str, Any], bytes]:
    view = Rectangle(*question.rectangle)
    whole = np.zeros((view.height, view.width), np.int32)
    for part in parts:
        at = 0
        for rectangle in part.answer["parts"]:
            seen = Rectangle(*rectangle)
            values = np.frombuffer(part.raw, np.int32, seen.cells, at).reshape(seen.height, seen.width)
            at += values.nbytes
            for rows, columns, view_rows, view_columns in seen_at(view, seen, torus):
                whole[view_rows, view_columns] = values[rows, columns]
    return {"height": view.height, "width": view.width}, whole.tobytes()


_MERGES: dict[type, Callable[[Any, Sequence[Part], Torus], tuple[dict[str, Any], bytes]]] = {
    Select: _merged_select,
    Fetch: _merged_fetch,
    Count: _merged_count,
    Patch: _merged_patch,
}


def being_of(answer: dict[str, Any]) -> dict[str, Any] | None:
    """A fetched being from JSON, as `deeds.Move` and `deeds.Spawn` take it."""
    being = answer.get("being")
    if being is None:
        return None
    row = {name: base64.b64decode(value) if isinstance(value, str) else value for name, value in being["row"].items()}
    return {**{name: being[name] for name in ("kind", "id", "y_fixed", "x_fixed")}, "row": row}

"""How what an older version wrote opens with the present fields and schemas: columns may be added at the end.

A snapshot describes its fields and columns itself (`manifest.json`). It opens if its fields are those of the world, and
its columns those of the world's schemas or the first of their entries. What was added since gets its default.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from umwelt.sandbox.columns import Column, Schema
from umwelt.sandbox.region import Field, Piece


def check_layout(
    stored_fields: Sequence[Mapping[str, Any]],
    stored_tables: Mapping[str, Mapping[str, Any]],
    fields: Sequence[Field],
    schemas: Sequence[Schema],
) -> None:
    """Raise ValueError, with the name of what differs, if stored fields and tables do not open with these schemas.

    The stored ones are as in a snapshot's manifest. Fields must be the same. Columns may be missing, and may have fewer
    entries than in the schema if those that they have come first there.
    """
    before = {field["name"]: (field["dtype"], list(field["parts"])) for field in stored_fields}
    now = {field.name: (field.dtype, list(field.parts)) for field in fields}
    for name in [*before, *now]:
        if name not in before:
            raise ValueError(f"field {name!r} is missing in it")
        _check_known(f"field {name!r}", name in now, before.get(name) == now.get(name))
    if set(stored_tables) != {schema.name for schema in schemas}:
        raise ValueError(f"it holds the tables {', '.join(stored_tables)}")
    for schema in schemas:
        carried = {column.name: column for column in schema.columns if not column.derived}
        for stored in stored_tables[schema.name]["columns"]:
            column = carried.get(stored["name"])
            same = column is not None and has_grown(stored, column)
            _check_known(f"{schema.name}: column {stored['name']!r}", column is not None, same)


def _check_known(what: str, is_known: bool, is_same: bool) -> None:
    if not is_known:
        raise ValueError(f"{what} is unknown to this Umwelt")
    if not is_same:
        raise ValueError(f"{what} is different in this Umwelt")


def has_grown(stored: Mapping[str, Any], column: Column) -> bool:
    """Whether a column is as it was stored, or has more entries after those that were stored."""
    parts, width = stored["parts"], stored["width"]
    if stored["dtype"] != column.dtype or (bool(parts), bool(width)) != (bool(column.parts), bool(column.width)):
        return False
    return parts == list(column.parts[: len(parts)]) and width <= column.width


def widen(piece: Piece, schemas: Sequence[Schema]) -> Piece:
    """A piece with all carried columns of the schemas; those that it lacks, wholly or in part, have their default."""
    tables = {}
    for schema in schemas:
        stored = piece.tables[schema.name]
        columns = [column for column in schema.columns if not column.derived]
        tables[schema.name] = {
            column.name: widen_column(stored.get(column.name), column, len(stored["id"])) for column in columns
        }
    return Piece(piece.rectangle, piece.fields, tables)


def widen_column(stored: np.ndarray | None, column: Column, rows: int) -> np.ndarray:
    """The values of a column with all its entries: the stored ones (None: there are none), and defaults after them."""
    shape = column.shape(rows)
    if stored is not None and stored.shape == shape:
        return stored
    values = np.full(shape, column.default, column.dtype)
    if stored is not None:
        values[:, : stored.shape[1]] = stored
    return values

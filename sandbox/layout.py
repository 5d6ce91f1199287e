"""Compatibility of older snapshots with the present fields and schemas.

A field is a property of every cell, a column a property of every being in a table, and a schema lists the columns of a
table. A snapshot describes its fields and columns (`manifest.json`). It can be opened if its fields equal the world's
fields, and each of its columns exists in the world's schemas, with the same entries or with more entries at the end.
Columns and entries that the snapshot lacks get their default values.
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
    """Raises ValueError unless stored fields and tables can be opened with the present `fields` and `schemas`.

    `stored_fields` and `stored_tables` are those of a snapshot's manifest. Fields must be equal. Stored tables can lack
    columns, and stored columns can lack the last entries of the present ones. The error names the difference.
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
    """Raises ValueError, which names the stored field or column `what`, unless it exists now and is compatible."""
    if not is_known:
        raise ValueError(f"{what} is unknown to this Umwelt")
    if not is_same:
        raise ValueError(f"{what} is different in this Umwelt")


def has_grown(stored: Mapping[str, Any], column: Column) -> bool:
    """Returns whether `column` equals a stored column, except for entries added at the end.

    `stored` is the stored column's description in a manifest.
    """
    parts, width = stored["parts"], stored["width"]
    if stored["dtype"] != column.dtype or (bool(parts), bool(width)) != (bool(column.parts), bool(column.width)):
        return False
    return parts == list(column.parts[: len(parts)]) and width <= column.width


def widen(piece: Piece, schemas: Sequence[Schema]) -> Piece:
    """Returns a piece with all non-derived columns of the schemas; missing columns and entries get their defaults.

    `piece` is a copy of the cells and beings of a rectangle, as read from a snapshot.
    """
    tables = {}
    for schema in schemas:
        stored = piece.tables[schema.name]
        columns = [column for column in schema.columns if not column.derived]
        tables[schema.name] = {
            column.name: widen_column(stored.get(column.name), column, len(stored["id"])) for column in columns
        }
    return Piece(piece.rectangle, piece.fields, tables)


def widen_column(stored: np.ndarray | None, column: Column, rows: int) -> np.ndarray:
    """Returns the values of `column` for `rows` rows: the stored entries, and default values for the missing ones.

    `stored` is None if the column was not stored.
    """
    shape = column.shape(rows)
    if stored is not None and stored.shape == shape:
        return stored
    values = np.full(shape, column.default, column.dtype)
    if stored is not None:
        values[:, : stored.shape[1]] = stored
    return values

"""Beings as plain data: read a row out of a region, put one into it."""

from typing import Any

import numpy as np

from umwelt.agents.commands.cells import rectangle_cells
from umwelt.agents.species.column_access import read_column
from umwelt.sandbox.columns import PLACE_BITS, Column, Schema, Table
from umwelt.sandbox.region import Region
from umwelt.sandbox.units import SUBCELL, SUBCELL_BITS

NUMBER_MASK = (1 << PLACE_BITS) - 1
"""An id holds so much of a journal number."""

Row = dict[str, int | list[int] | bytes]
"""A being's carried columns by name, without `id` and place; a column of several entries is a list, or (int8) bytes."""


def carried_columns(schema: Schema) -> list[Column]:
    """Return the columns that a full row must give."""
    return [column for column in schema.own if not column.derived]


def entries_of(value: Any) -> Any:
    """Return a row's value as numbers."""
    return np.frombuffer(value, np.int8) if isinstance(value, bytes) else value


def row_of(table: Table, index: int) -> Row:
    """Return a row's carried columns as plain data, a genome as bytes."""
    values = {column.name: table[column.name][index] for column in carried_columns(table.schema)}
    return {name: value.tobytes() if name == "genome" else value.tolist() for name, value in values.items()}


def fetch(region: Region, being_id: int) -> dict[str, Any] | None:
    """Return a being as plain data: `kind`, `id`, `y_fixed`, `x_fixed` (of the world) and `row`.

    None if the region does not own a being of this id. `Move(**being | {"x_fixed": ...})` puts it elsewhere, a `Spawn`
    with its row copies it.
    """
    for name, table in region.tables.items():
        indices = np.flatnonzero((table["id"] == being_id) & region.owned_rows(name))
        if len(indices):
            y, x = (int(read_column(region, table, axis, indices[0])) for axis in ("y_fixed", "x_fixed"))
            return {"kind": name, "id": being_id, "y_fixed": y, "x_fixed": x, "row": row_of(table, int(indices[0]))}
    return None


def place_being(region: Region, kind: str, being_id: int, y_fixed: int, x_fixed: int, row: Row) -> slice:
    """Append a being once for each image of its place in the window; return the appended rows."""
    table = region.tables[kind]
    rows, columns = rectangle_cells(region, y_fixed >> SUBCELL_BITS, x_fixed >> SUBCELL_BITS)
    y, x = (axis.ravel() for axis in np.broadcast_arrays(rows, columns))
    values: dict[str, Any] = {
        "id": being_id,
        "y_fixed": (y << SUBCELL_BITS) + y_fixed % SUBCELL,
        "x_fixed": (x << SUBCELL_BITS) + x_fixed % SUBCELL,
    }
    values |= {column.name: entries_of(row[column.name]) for column in carried_columns(table.schema)}
    return table.append(len(y), values)


def discard_index(region: Region, kind: str) -> None:
    """Mark the index by cell of a table as stale, after rows were added or taken without a death."""
    region.remove_dead(kind, np.zeros(region.tables[kind].count, np.uint8))


def body_matter(row: Row, substances: Any) -> dict[str, int]:
    """Return the molecules of each substance that the body of a row holds."""
    counts = row.get("counts", ())
    return dict(zip(substances, counts, strict=True)) if isinstance(counts, list) and counts else {}

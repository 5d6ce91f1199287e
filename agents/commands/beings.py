"""Beings as plain data: reading them from a region and adding them to it.

A region's *window* is its rectangle of the world and the cells around it; a window that is larger than the world
contains several copies (*images*) of a cell.
"""

from typing import Any

import numpy as np

from umwelt.agents.commands.cells import rectangle_cells
from umwelt.agents.species.column_access import read_column
from umwelt.sandbox.columns import PLACE_BITS, Column, Schema, Table
from umwelt.sandbox.region import Region
from umwelt.sandbox.units import SUBCELL, SUBCELL_BITS

NUMBER_MASK = (1 << PLACE_BITS) - 1
"""Selects the bits of a command's number in the journal that become part of the id of the spawned being."""

Row = dict[str, int | list[int] | bytes]
"""A being's non-derived columns by name, without `id` and position.

The value of a column with several entries is a list, or bytes for a column of int8."""


def carried_columns(schema: Schema) -> list[Column]:
    """Returns the columns that a `Row` must contain: those of the schema except id, position and derived ones."""
    return [column for column in schema.own if not column.derived]


def entries_of(value: Any) -> Any:
    """Returns a value of a `Row` as numbers: bytes become an array of int8, other values are unchanged."""
    return np.frombuffer(value, np.int8) if isinstance(value, bytes) else value


def row_of(table: Table, index: int) -> Row:
    """Returns the row number `index` of a table as plain data, with the genome as bytes."""
    values = {column.name: table[column.name][index] for column in carried_columns(table.schema)}
    return {name: value.tobytes() if name == "genome" else value.tolist() for name, value in values.items()}


def fetch(region: Region, being_id: int) -> dict[str, Any] | None:
    """Returns a being as plain data: `kind` (its table), `id`, `y_fixed`, `x_fixed` and `row`.

    The position is that in the world, in 1/1024 cell. Returns None if the region does not own a being with this id.
    `Move(**being | {"x_fixed": ...})` is the command that moves the being, and a `Spawn` with its row copies it.
    """
    for name, table in region.tables.items():
        indices = np.flatnonzero((table["id"] == being_id) & region.owned_rows(name))
        if len(indices):
            y, x = (int(read_column(region, table, axis, indices[0])) for axis in ("y_fixed", "x_fixed"))
            return {"kind": name, "id": being_id, "y_fixed": y, "x_fixed": x, "row": row_of(table, int(indices[0]))}
    return None


def place_being(region: Region, kind: str, being_id: int, y_fixed: int, x_fixed: int, row: Row) -> slice:
    """Appends a being to its table, once for each image of its cell in the region's window.

    Returns the slice of new rows. A window that covers only a part of the world may contain no image of the cell.
    """
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
    """Invalidates a table's index by cell, which is then recomputed at the next access.

    Needed after rows were added, or removed without being counted as deaths.
    """
    region.remove_dead(kind, np.zeros(region.tables[kind].count, np.uint8))


def body_matter(row: Row, substances: Any) -> dict[str, int]:
    """Returns the molecules of each substance in the body of the being with this row; empty if it has none."""
    counts = row.get("counts", ())
    return dict(zip(substances, counts, strict=True)) if isinstance(counts, list) and counts else {}

"""Tables of beings, with one row for each being and one column for each property, and the ids of beings.

The order of rows has no meaning: tables reorder rows at any time, and the results of laws must not depend on it.
"""

import sys
from collections import namedtuple
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from umwelt.sandbox.errors import LawError
from umwelt.sandbox.kernel import call, kernel, small
from umwelt.sandbox.units import SUBCELL_BITS

GROWTH_PERCENT = 120
"""The capacity of a resized table, in percent of its rows."""
KIND_BITS, TICK_BITS, PLACE_BITS = 3, 29, 30
"""The numbers of bits of kind, tick and place in an id."""


def identity(kind: int, tick: int, place, by_hand: bool = False):
    """Returns the 63-bit id of a being; its bits, from high to low, are `by_hand` (1), kind (3), tick (29), place (30).

    For a being that a law creates, `place` is the index of its cell in the world, and `tick` the first tick of its
    life. For founders and for beings from commands, `by_hand` is True and `place` is a sequence number. If `place` is
    an array, so is the result (`int64`). Raises LawError if the kind or the tick does not fit.
    """
    if not (0 <= kind < 1 << KIND_BITS and 0 <= tick < 1 << TICK_BITS):
        raise LawError(f"no id for kind {kind} at tick {tick}: kinds end at 7, ticks at {(1 << TICK_BITS) - 1}")
    head = (int(by_hand) << KIND_BITS | kind) << TICK_BITS | tick
    return (np.asarray(place, np.int64) + (head << PLACE_BITS)) if np.ndim(place) else (head << PLACE_BITS) + int(place)


@small
def birth_id(kind, tick, place):
    """Returns the id of a being that a law creates; `place` is its cell's index in the world, `tick` its first tick."""
    return (np.int64(kind) << (TICK_BITS + PLACE_BITS)) | (np.int64(tick) << PLACE_BITS) | place


@dataclass(frozen=True)
class Column:
    """The declaration of one property of a kind of being.

    A column has one number for each row, or an array of entries: `width` entries without names, or one entry for each
    name in `parts`, which can be read like a column of that name. `derived` columns are recomputed in each tick before
    they are read; they are not part of snapshots, of digests, or of the messages by which nodes copy beings to each
    other (halo messages). `fixed` columns never change after birth. `inherited` columns are copied from parent to
    child.
    """

    name: str
    dtype: str
    parts: tuple[str, ...] = ()
    unit: str = ""
    width: int = 0
    default: int = 0
    derived: bool = False
    inherited: bool = False
    fixed: bool = False

    @property
    def entries(self) -> int:
        """The number of entries in each row; 0 for a column with one number for each row."""
        return len(self.parts) or self.width

    def shape(self, rows: int) -> tuple[int, ...]:
        """Returns the shape of the column's array for `rows` rows."""
        return (rows, self.entries) if self.entries else (rows,)

    @property
    def row_bytes(self) -> int:
        """The size of the column's values in bytes per row."""
        return np.dtype(self.dtype).itemsize * max(1, self.entries)


PLACE_COLUMNS = (
    Column("id", "int64", unit="identity", fixed=True),
    Column("y_fixed", "int32", unit="1/1024 cell from the window's edge"),
    Column("x_fixed", "int32", unit="1/1024 cell from the window's edge"),
)


@dataclass(frozen=True)
class Schema:
    """The columns of a kind of being: `id`, `y_fixed` and `x_fixed`, followed by `own`.

    `kind` is the number (0 to 7) by which the ids of these beings differ from those of other tables. `record` is the
    type of the named tuple of arrays that kernels (compiled functions) take. It does not contain columns that species
    add (`extend`), so that kernels need not be recompiled for them. The type becomes an attribute of `module`, which
    must be the `__name__` of the module that creates the schema: the cache of compiled kernels recognises only types
    that it can import by name. `places` maps the name of each part (named entry of a column) to its column and its
    index there.
    """

    name: str
    kind: int
    own: tuple[Column, ...]
    module: str = __name__
    record: type | None = None
    places: dict[str, tuple[str, int]] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        names = [column.name for column in self.columns]
        if self.record is None:
            record = namedtuple(f"{self.name.title()}Record", names, module=self.module)  # type: ignore[misc]
            object.__setattr__(self, "record", record)
            if self.module != __name__:
                setattr(sys.modules[self.module], record.__name__, record)
        for column in self.columns:
            for at, part in enumerate(column.parts):
                if part not in names:  # a column takes precedence over a part of the same name
                    self.places[part] = (column.name, at)
        duplicates = sorted({name for name in names if names.count(name) > 1})
        if duplicates:
            raise LawError(f"table {self.name}: column {duplicates[0]!r} is declared twice: rename one of them")

    @property
    def columns(self) -> tuple[Column, ...]:
        """All columns: `PLACE_COLUMNS`, then `own`."""
        return PLACE_COLUMNS + self.own

    def extend(self, more: Iterable[Column]) -> "Schema":
        """Returns the schema with the columns of `more` appended."""
        return Schema(self.name, self.kind, self.own + tuple(more), self.module, self.record)

    @property
    def row_bytes(self) -> int:
        """The size of all columns in bytes per row."""
        return sum(column.row_bytes for column in self.columns)


class Table:
    """The beings of one kind in a region's window: in its rectangle of the world and in the cells around it.

    `table["sugar_count"]` is a view of a column, with an entry for each being: writing to it changes the world. Views
    become invalid when rows are added, removed or reordered.
    """

    def __init__(self, schema: Schema, capacity: int = 0):
        self.schema = schema
        self.count = 0
        self.epoch = 0
        """A counter that increases whenever rows are added, removed or reordered, so that row numbers change."""
        self._arrays = {column.name: np.zeros(column.shape(capacity), column.dtype) for column in schema.columns}

    def __len__(self) -> int:
        return self.count

    def __contains__(self, name: str) -> bool:
        return name in self._arrays or name in self.schema.places

    def __getitem__(self, name: str) -> np.ndarray:
        if name in self._arrays:
            return self._arrays[name][: self.count]
        column, part = self.schema.places[name]
        return self._arrays[column][: self.count, part]

    @property
    def capacity(self) -> int:
        """The number of rows for which memory is allocated."""
        return len(self._arrays["id"])

    @property
    def resident_bytes(self) -> int:
        """The size of the allocated arrays in bytes."""
        return sum(array.nbytes for array in self._arrays.values())

    def record(self) -> Any:
        """Returns views of the columns as the named tuple that kernels take (`schema.record`)."""
        record = self.schema.record
        return record(**{name: self._arrays[name][: self.count] for name in record._fields})  # type: ignore

    def stored_columns(self) -> list[Column]:
        """Returns the columns that snapshots, digests and halo messages contain: all except derived ones."""
        return [column for column in self.schema.columns if not column.derived]

    def append(self, count: int, values: Mapping[str, np.ndarray] | None = None) -> slice:
        """Appends `count` rows and returns their slice.

        `values` are columns or parts by name; all others get their default values.
        """
        new = slice(self.count, self.count + count)
        if not count:
            return new
        if new.stop > self.capacity:
            self._resize(max(new.stop, new.stop * GROWTH_PERCENT // 100, 64))
        for column in self.schema.columns:
            self._arrays[column.name][new] = column.default
        self.count = new.stop
        self.epoch += 1
        for name, value in (values or {}).items():
            self[name][new] = value
        return new

    def keep(self, mask: np.ndarray) -> None:
        """Removes the rows where `mask` is false, and moves rows from the end of the table into the gaps."""
        kept = int(np.count_nonzero(mask))
        if kept == self.count:
            return
        holes = np.flatnonzero(~mask[:kept])
        movers = kept + np.flatnonzero(mask[kept:])
        for array in self._arrays.values():
            array[holes] = array[movers]
        self.count = kept
        self.epoch += 1
        if self.capacity > 1024 and self.count * 2 < self.capacity:
            self._resize(self.count * GROWTH_PERCENT // 100)

    def reorder(self, order: np.ndarray) -> None:
        """Reorders the rows: row `order[i]` becomes row `i`."""
        for name, old in self._arrays.items():
            new = np.empty_like(old)
            np.take(old[: self.count], order, axis=0, out=new[: self.count], mode="clip")  # other modes copy twice
            self._arrays[name] = new
        self.epoch += 1

    def rows(self, chosen: np.ndarray) -> dict[str, np.ndarray]:
        """Returns copies of the stored columns of the rows `chosen`, by column name."""
        return {column.name: self[column.name][chosen] for column in self.stored_columns()}

    def _resize(self, capacity: int) -> None:
        """Changes the number of rows for which memory is allocated."""
        for name, old in self._arrays.items():
            new = np.zeros((capacity, *old.shape[1:]), old.dtype)
            new[: self.count] = old[: self.count]
            self._arrays[name] = new


CellIndex = namedtuple("CellIndex", ["start", "rows"])
"""An index of a table's rows by cell, two `int32` arrays.

Cell `y, x` of a window has the number `c = y * width + x`, and the beings in it have the row numbers
`rows[start[c] : start[c + 1]]`.
"""


@kernel
def _fill_index(y_fixed, x_fixed, width, start, rows):
    """Fills `start` and `rows` of a `CellIndex` for beings at the given positions; `start` must contain zeros."""
    count = len(y_fixed)
    for row in range(count):
        cell = (y_fixed[row] >> SUBCELL_BITS) * width + (x_fixed[row] >> SUBCELL_BITS)
        start[cell + 1] += 1
    for cell in range(1, len(start)):
        start[cell] += start[cell - 1]
    for back in range(count):
        row = count - 1 - back
        cell = (y_fixed[row] >> SUBCELL_BITS) * width + (x_fixed[row] >> SUBCELL_BITS)
        # start[cell + 1] decreases from the end of the cell to its beginning; the loop below shifts it into place
        start[cell + 1] -= 1
        rows[start[cell + 1]] = row
    for cell in range(len(start) - 1):
        start[cell] = start[cell + 1]
    start[len(start) - 1] = count


def index_rows(table: Table, height: int, width: int) -> CellIndex:
    """Returns the index of a table's rows by cell; every row must lie in the window of `height` by `width` cells."""
    start = np.zeros(height * width + 1, np.int32)
    rows = np.empty(table.count, np.int32)
    call(_fill_index, table["y_fixed"], table["x_fixed"], width, start, rows)
    return CellIndex(start, rows)

"""Beings as arrays: a table holds one column a property, one row a being.

The order of rows means nothing: laws may not depend on it, and tables reorder rows as they like.
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
KIND_BITS, TICK_BITS, PLACE_BITS = 3, 29, 30


def identity(kind: int, tick: int, place, by_hand: bool = False):
    """The 63-bit id of a being: origin 1 bit, kind 3, tick 29, place 30; `place` may be an array.

    Born by a law: place is the global cell, tick the one at which it first lives. Placed by hand: place is its number.
    """
    if not (0 <= kind < 1 << KIND_BITS and 0 <= tick < 1 << TICK_BITS):
        raise LawError(f"no id for kind {kind} at tick {tick}: kinds end at 7, ticks at {(1 << TICK_BITS) - 1}")
    head = (int(by_hand) << KIND_BITS | kind) << TICK_BITS | tick
    return (np.asarray(place, np.int64) + (head << PLACE_BITS)) if np.ndim(place) else (head << PLACE_BITS) + int(place)


@small
def birth_id(kind, tick, place):
    """The id of a being born by a law in global cell `place`, alive from `tick` on."""
    return (np.int64(kind) << (TICK_BITS + PLACE_BITS)) | (np.int64(tick) << PLACE_BITS) | place


@dataclass(frozen=True)
class Column:
    """One property of a kind of being.

    `parts` names the entries of a column with several entries a row; each is a column to those who ask by name.
    `derived` columns are computed anew in each tick before they are read: no snapshot, halo or digest carries them.
    `fixed` columns never change after birth. `inherited` ones pass from parent to child.
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
        """Entries a row; 0 means a plain column of numbers."""
        return len(self.parts) or self.width

    def shape(self, rows: int) -> tuple[int, ...]:
        return (rows, self.entries) if self.entries else (rows,)

    @property
    def row_bytes(self) -> int:
        return np.dtype(self.dtype).itemsize * max(1, self.entries)


PLACE_COLUMNS = (
    Column("id", "int64", unit="identity", fixed=True),
    Column("y_fixed", "int32", unit="1/1024 cell from the window's edge"),
    Column("x_fixed", "int32", unit="1/1024 cell from the window's edge"),
)


@dataclass(frozen=True)
class Schema:
    """The columns of a kind of being; `id`, `y_fixed` and `x_fixed` come first by themselves.

    `record` is the named tuple of arrays that kernels take. Columns added by species (`extended`) stay out of it, so
    that kernels need not be compiled again for them. Its type is put into `module`, the one that makes the schema
    (`__name__`): only what can be found by its name is known again in the cache of compiled kernels.
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
                if part not in names:  # a column goes before a part of the same name
                    self.places[part] = (column.name, at)
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise LawError(f"table {self.name}: column {twice[0]!r} is declared twice")

    @property
    def columns(self) -> tuple[Column, ...]:
        return PLACE_COLUMNS + self.own

    def extend(self, more: Iterable[Column]) -> "Schema":
        """The same kind of being with the columns of species added."""
        return Schema(self.name, self.kind, self.own + tuple(more), self.module, self.record)

    @property
    def row_bytes(self) -> int:
        return sum(column.row_bytes for column in self.columns)


class Table:
    """The beings of one kind in a window: `table["sugar_count"]` is an array with an entry a being.

    What comes back is a view: writing into it writes into the world. Views die when rows are added or removed.
    """

    def __init__(self, schema: Schema, capacity: int = 0):
        self.schema = schema
        self.count = 0
        self.epoch = 0
        """Raised whenever rows move: row numbers remembered from before mean nothing after."""
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
        return len(self._arrays["id"])

    @property
    def resident_bytes(self) -> int:
        return sum(array.nbytes for array in self._arrays.values())

    def record(self) -> Any:
        """The columns as the named tuple that kernels take."""
        record = self.schema.record
        return record(**{name: self._arrays[name][: self.count] for name in record._fields})  # type: ignore

    def stored_columns(self) -> list[Column]:
        """The columns that travel and are kept: all but the derived ones."""
        return [column for column in self.schema.columns if not column.derived]

    def append(self, count: int, values: Mapping[str, np.ndarray] | None = None) -> slice:
        """Add rows, set from `values` (columns or parts by name) and else to their defaults; give their slice."""
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
        """Drop the rows where `mask` is false; the last rows move into the holes."""
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
        """Put the rows into the given order (a permutation)."""
        for name, old in self._arrays.items():
            new = np.empty_like(old)
            np.take(old[: self.count], order, axis=0, out=new[: self.count], mode="clip")  # the other modes copy twice
            self._arrays[name] = new
        self.epoch += 1

    def rows(self, chosen: np.ndarray) -> dict[str, np.ndarray]:
        """Copies of the carried columns of the chosen rows."""
        return {column.name: self[column.name][chosen] for column in self.stored_columns()}

    def _resize(self, capacity: int) -> None:
        for name, old in self._arrays.items():
            new = np.zeros((capacity, *old.shape[1:]), old.dtype)
            new[: self.count] = old[: self.count]
            self._arrays[name] = new


CellIndex = namedtuple("CellIndex", ["start", "rows"])
"""Rows by cell: the beings of window cell `c` are `rows[start[c] : start[c + 1]]`; both `int32`."""


@kernel
def _fill_index(y_fixed, x_fixed, width, start, rows):
    count = len(y_fixed)
    for row in range(count):
        cell = (y_fixed[row] >> SUBCELL_BITS) * width + (x_fixed[row] >> SUBCELL_BITS)
        start[cell + 1] += 1
    for cell in range(1, len(start)):
        start[cell] += start[cell - 1]
    for back in range(count):
        row = count - 1 - back
        cell = (y_fixed[row] >> SUBCELL_BITS) * width + (x_fixed[row] >> SUBCELL_BITS)
        # start[cell + 1] walks down from the end of the cell to its beginning, and is put right below
        start[cell + 1] -= 1
        rows[start[cell + 1]] = row
    for cell in range(len(start) - 1):
        start[cell] = start[cell + 1]
    start[len(start) - 1] = count


def index_rows(table: Table, height: int, width: int) -> CellIndex:
    """Sort the rows of a table by window cell; every row must lie inside the window."""
    start = np.zeros(height * width + 1, np.int32)
    rows = np.empty(table.count, np.int32)
    call(_fill_index, table["y_fixed"], table["x_fixed"], width, start, rows)
    return CellIndex(start, rows)

"""Rows of a world's tables by id, and their columns as Mesa's calls read and write them.

Only the rows that a region owns are visible, so every being is there once. Rows move whenever the world advances; ids
stay.
"""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from umwelt.agents.species.column_access import POSITIONS, read_column
from umwelt.sandbox.columns import PLACE_BITS, TICK_BITS, Table
from umwelt.sandbox.errors import UmweltError
from umwelt.sandbox.region import Region
from umwelt.sandbox.units import SUBCELL

BIRTH_MASK = (1 << (TICK_BITS + PLACE_BITS)) - 1
"""The bits of an id that hold when and where a being was born; founders come first in their order."""

MAX_SCANS = 4
"""So many searches for one id are cheaper than sorting all ids once."""

COLUMN_OF = {"unique_id": "id"}
"""Columns that Mesa knows by another name."""


class RowIndex:
    """The rows of one region's tables, by id and in order of birth; reads and writes their columns.

    A table's *code* is its position among the region's tables, from 0. What was computed for a table is cached until
    its rows move.
    """

    def __init__(self, region: Region):
        self.region = region
        self.names = list(region.tables)
        self.tables: list[Table] = list(region.tables.values())
        self._cache: list[dict[str, Any]] = [{} for _ in self.tables]

    # --- which rows

    @property
    def stamp(self) -> tuple[int, ...]:
        """A value that changes whenever numbers of rows may refer to other beings."""
        return (self.region.tick, *[table.epoch for table in self.tables])

    def table_stamp(self, code: int) -> tuple[int, int]:
        """A value that changes whenever numbers of rows of one table may refer to other beings."""
        return self.region.tick, self.tables[code].epoch

    def _cached(self, code: int) -> dict[str, Any]:
        cache = self._cache[code]
        stamp = self.table_stamp(code)
        if cache.get("stamp") != stamp:
            cache.clear()
            cache.update(stamp=stamp, scans=0)
        return cache

    def owned(self, code: int) -> np.ndarray:
        """Returns the visible rows of a table, `int64[beings]`, in the order of the table."""
        cache = self._cached(code)
        if "owned" not in cache:
            cache["owned"] = np.flatnonzero(self.region.owned_rows(self.names[code]))
        owned: np.ndarray = cache["owned"]
        return owned

    def in_order(self, code: int) -> np.ndarray:
        """Returns the visible rows of a table in the order of birth, which does not depend on where rows lie."""
        cache = self._cached(code)
        if "in_order" not in cache:
            rows = self.owned(code)
            ids = self.tables[code]["id"][rows]
            cache["in_order"] = rows[np.argsort(ids & BIRTH_MASK, kind="stable")]
        ordered: np.ndarray = cache["in_order"]
        return ordered

    def rows_of(self, code: int, ids: np.ndarray) -> np.ndarray:
        """Returns the rows of beings by id, `int64[ids]`; -1 for the dead."""
        cache = self._cached(code)
        if "sorted" not in cache:
            rows = self.owned(code)
            own = self.tables[code]["id"][rows]
            order = np.argsort(own)
            cache["sorted"] = own[order], rows[order]
        known, rows = cache["sorted"]
        if not len(known):
            return np.full(len(ids), -1, np.int64)
        places = np.minimum(np.searchsorted(known, ids), len(known) - 1)
        return np.where(known[places] == ids, rows[places], -1)

    def row_of(self, code: int, identity: int) -> int:
        """Returns the row of one being by id; -1 if it is dead."""
        cache = self._cached(code)
        if "sorted" in cache or cache["scans"] >= MAX_SCANS:
            return int(self.rows_of(code, np.array([identity]))[0])
        cache["scans"] += 1
        owned = self.owned(code)
        matches = owned[self.tables[code]["id"][owned] == identity]
        return int(matches[0]) if len(matches) else -1

    # --- columns

    def has(self, code: int, name: str) -> bool:
        """Whether a table has a column of that name."""
        return COLUMN_OF.get(name, name) in self.tables[code]

    def have_all(self, name: Any, codes: np.ndarray) -> bool:
        """Whether all tables that occur in `codes` have a column of that name."""
        return isinstance(name, str) and all(self.has(code, name) for code in codes_in(codes))

    def have_scalars(self, name: Any, codes: np.ndarray, max_bytes: int = 8) -> bool:
        """Whether all tables in `codes` have such a column, with one number of at most `max_bytes` for each row."""
        if not self.have_all(name, codes):
            return False
        samples = [self.tables[code][COLUMN_OF.get(name, name)][:0] for code in codes_in(codes)]
        return all(sample.ndim == 1 and sample.dtype.itemsize <= max_bytes for sample in samples)

    def read(self, code: int, name: str, rows: Any) -> np.ndarray:
        """Returns a column of rows of one table; positions in the world's coordinates."""
        values: np.ndarray = read_column(self.region, self.tables[code], COLUMN_OF.get(name, name), rows)
        return values

    def gather(self, name: str, codes: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Returns a column of rows of several tables, in order: `codes` and `rows` tell table and row of each being."""
        if int(np.count_nonzero(codes[1:] != codes[:-1])) < len(self.tables):
            parts = [self.read(code, name, rows[first:last]) for code, first, last in stretches(codes)]
            return parts[0] if len(parts) == 1 else concatenate(parts)
        # tables alternate, as after a shuffle
        present = codes_in(codes)
        parts = [self.read(code, name, rows[codes == code]) for code in present]
        result = np.empty((len(rows), *parts[0].shape[1:]), np.result_type(*parts))
        for code, values in zip(present, parts, strict=True):
            result[codes == code] = values
        return result

    def write(self, code: int, name: str, rows: Any, value: Any) -> None:
        """Sets a column of rows of one table, to one value or to one for each row.

        Raises AttributeError for a column that never changes after birth, TypeError or OverflowError for a value that
        the column cannot hold, and UmweltError for a negative count of molecules.
        """
        table = self.tables[code]
        place = table.schema.places[name][0] if name in table.schema.places else COLUMN_OF.get(name, name)
        column = next(column for column in table.schema.columns if column.name == place)
        if column.fixed:
            raise AttributeError(f"{self.names[code]}: {name} never changes after birth")
        integers = as_integers(value, np.dtype(column.dtype), name)
        if place == "counts" and (integers < 0).any():
            raise UmweltError(f"{self.names[code]}: {name} counts molecules: use 0 or more")
        if name in POSITIONS:
            first, edge, size = self._axis(name)
            integers = ((integers.astype(np.int64) - first) % size + edge).astype(column.dtype)
        table[name][rows] = integers
        if name in POSITIONS:
            self.region.reindex(self.names[code])

    def _axis(self, name: str) -> tuple[int, int, int]:
        """Returns where the owned rectangle begins in world and window, and the size of the world, in 1/1024 cell."""
        owned, torus = self.region.owned, self.region.torus
        first, size = (owned.y, torus.height) if name == "y_fixed" else (owned.x, torus.width)
        return first * SUBCELL, self.region.halo_cells * SUBCELL, size * SUBCELL


def stretches(codes: np.ndarray) -> list[tuple[int, int, int]]:
    """Returns the stretches of equal codes, as `(code, first, last)` with `last` exclusive."""
    if not len(codes):
        return []
    cuts = [0, *(np.flatnonzero(np.diff(codes)) + 1).tolist(), len(codes)]
    return [(int(codes[first]), first, last) for first, last in itertools.pairwise(cuts)]


def codes_in(codes: np.ndarray) -> list[int]:
    """Returns the codes that occur, in ascending order."""
    present: list[int] = np.flatnonzero(np.bincount(codes)).tolist()
    return present


def as_python(value: Any) -> Any:
    """Converts an entry of a column to a Python int, or to a read-only copy if it is an array."""
    if np.ndim(value) == 0:
        return int(value)
    value = np.array(value)
    value.flags.writeable = False
    return value


def as_integers(value: Any, dtype: np.dtype, name: str) -> np.ndarray:
    """Converts whole numbers to `dtype`. Raises TypeError if they are not whole, OverflowError if they do not fit."""
    array = np.asarray(value)
    if array.dtype.kind == "f" and (array == np.trunc(array)).all():
        array = array.astype(np.int64)
    if array.dtype.kind not in "iub":
        raise TypeError(f"{name} = {value!r}: the column holds whole numbers: round first")
    limits = np.iinfo(dtype)
    if array.size and not (limits.min <= int(array.min()) and int(array.max()) <= limits.max):
        raise OverflowError(f"{name} is {dtype}: use {limits.min} to {limits.max}")
    return array.astype(dtype)


def concatenate(parts: Sequence[np.ndarray], dtype: DTypeLike = "int64") -> np.ndarray:
    """Concatenates arrays; of none, the result is an empty array of `dtype`."""
    return np.concatenate(parts) if parts else np.empty(0, dtype)

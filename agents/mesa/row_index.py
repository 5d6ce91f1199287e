"""Access to the rows of a region's tables by id, and to their columns by name, for Mesa's interface.

Only rows that the region owns are visible, so every being occurs once. Row numbers change whenever the world advances;
ids do not.
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
"""The bits of an id that contain the tick and place of birth: the sort key of the order of birth."""

MAX_SCANS = 4
"""The number of linear searches for an id after which the ids of a table are sorted instead."""

COLUMN_OF = {"unique_id": "id"}
"""The names of columns, by the names that Mesa uses for them where these differ."""


class RowIndex:
    """The owned rows of a region's tables, by id and in order of birth, and access to their columns.

    A table's *code* is its position among the region's tables, from 0. Sorted rows and ids of a table are cached until
    its rows change.
    """

    def __init__(self, region: Region):
        self.region = region
        self.names = list(region.tables)
        self.tables: list[Table] = list(region.tables.values())
        self._cache: list[dict[str, Any]] = [{} for _ in self.tables]

    # --- which rows

    @property
    def stamp(self) -> tuple[int, ...]:
        """A value that changes whenever row numbers of any table become invalid.

        It consists of the region's tick and the counters of changes of the tables (`Table.epoch`).
        """
        return (self.region.tick, *[table.epoch for table in self.tables])

    def table_stamp(self, code: int) -> tuple[int, int]:
        """Returns a value that changes whenever row numbers of the table become invalid.

        It consists of the region's tick and the table's counter of changes (`Table.epoch`).
        """
        return self.region.tick, self.tables[code].epoch

    def _cached(self, code: int) -> dict[str, Any]:
        """Returns the dict of cached values of a table, emptied first if its rows have changed."""
        cache = self._cache[code]
        stamp = self.table_stamp(code)
        if cache.get("stamp") != stamp:
            cache.clear()
            cache.update(stamp=stamp, scans=0)
        return cache

    def owned(self, code: int) -> np.ndarray:
        """Returns the row numbers of the owned beings of a table, `int64[beings]`, ascending."""
        cache = self._cached(code)
        if "owned" not in cache:
            cache["owned"] = np.flatnonzero(self.region.owned_rows(self.names[code]))
        owned: np.ndarray = cache["owned"]
        return owned

    def in_order(self, code: int) -> np.ndarray:
        """Returns the row numbers of the owned beings of a table, `int64[beings]`, in order of birth."""
        cache = self._cached(code)
        if "in_order" not in cache:
            rows = self.owned(code)
            ids = self.tables[code]["id"][rows]
            cache["in_order"] = rows[np.argsort(ids & BIRTH_MASK, kind="stable")]
        ordered: np.ndarray = cache["in_order"]
        return ordered

    def rows_of(self, code: int, ids: np.ndarray) -> np.ndarray:
        """Returns the row number of each being in `ids`, `int64[ids]`; -1 for a dead being."""
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
        """Returns the row number of the being with the id `identity`; -1 if it is dead."""
        cache = self._cached(code)
        if "sorted" in cache or cache["scans"] >= MAX_SCANS:
            return int(self.rows_of(code, np.array([identity]))[0])
        cache["scans"] += 1
        owned = self.owned(code)
        matches = owned[self.tables[code]["id"][owned] == identity]
        return int(matches[0]) if len(matches) else -1

    # --- columns

    def has(self, code: int, name: str) -> bool:
        """Returns whether a table has a column `name`."""
        return COLUMN_OF.get(name, name) in self.tables[code]

    def have_all(self, name: Any, codes: np.ndarray) -> bool:
        """Returns whether all tables that occur in `codes` have a column `name`."""
        return isinstance(name, str) and all(self.has(code, name) for code in codes_in(codes))

    def have_scalars(self, name: Any, codes: np.ndarray, max_bytes: int = 8) -> bool:
        """Returns whether all tables in `codes` have a column `name` with one number of at most `max_bytes` a row."""
        if not self.have_all(name, codes):
            return False
        samples = [self.tables[code][COLUMN_OF.get(name, name)][:0] for code in codes_in(codes)]
        return all(sample.ndim == 1 and sample.dtype.itemsize <= max_bytes for sample in samples)

    def read(self, code: int, name: str, rows: Any) -> np.ndarray:
        """Returns the values of a column in the given rows of a table; positions are in the world's coordinates."""
        values: np.ndarray = read_column(self.region, self.tables[code], COLUMN_OF.get(name, name), rows)
        return values

    def gather(self, name: str, codes: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Returns the values of a column for beings of several tables, in the order given.

        `codes[i]` is the table and `rows[i]` the row number of a being.
        """
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
        """Sets a column in the given rows of a table to `value`, a number or an array with an entry for each row.

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
        """Returns three lengths along the axis of a position column, in 1/1024 cell.

        They are the start of the owned rectangle in the world, its start in the window, and the size of the world.
        """
        owned, torus = self.region.owned, self.region.torus
        first, size = (owned.y, torus.height) if name == "y_fixed" else (owned.x, torus.width)
        return first * SUBCELL, self.region.halo_cells * SUBCELL, size * SUBCELL


def stretches(codes: np.ndarray) -> list[tuple[int, int, int]]:
    """Returns the maximal stretches of equal codes, as `(code, first, last)` with `last` exclusive."""
    if not len(codes):
        return []
    cuts = [0, *(np.flatnonzero(np.diff(codes)) + 1).tolist(), len(codes)]
    return [(int(codes[first]), first, last) for first, last in itertools.pairwise(cuts)]


def codes_in(codes: np.ndarray) -> list[int]:
    """Returns the distinct values in `codes`, in ascending order."""
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
    """Converts whole numbers to `dtype`; `name` is the column, for error messages.

    Raises TypeError if they are not whole, OverflowError if they do not fit.
    """
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
    """Returns the concatenation of arrays; an empty array of `dtype` if `parts` is empty."""
    return np.concatenate(parts) if parts else np.empty(0, dtype)

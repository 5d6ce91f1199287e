"""Access of species code to the columns of its beings: one row for `respond`, many rows for `respond_all`.

These are the methods that a species defines in Python; they return drives, how strongly a being does things.

Positions are converted to world coordinates. Derived columns, which laws recompute in each tick, are not readable: they
may contain row numbers, which differ between the nodes (processes) that compute a being.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from umwelt.agents.species.answers import as_column_integers, undeclared_column_error
from umwelt.agents.species.species import Column, Dice, DiceColumns
from umwelt.sandbox.columns import Schema, Table
from umwelt.sandbox.errors import SpeciesError
from umwelt.sandbox.region import Region
from umwelt.sandbox.units import SUBCELL

POSITIONS = ("y_fixed", "x_fixed")


class WindowBounds(NamedTuple):
    """The corner (`y`, `x`) of a region's window and the size of the world, in 1/1024 cell."""

    y: int
    height: int
    x: int
    width: int


def window_bounds(region: Region) -> WindowBounds:
    """Returns the corner of the region's window and the size of its world, in 1/1024 cell."""
    window, torus = region.window, region.torus
    return WindowBounds(window.y * SUBCELL, torus.height * SUBCELL, window.x * SUBCELL, torus.width * SUBCELL)


def read_column(region: Region, table: Table, name: str, rows: Any) -> Any:
    """Returns column `name` at `rows` (an index array or one row number), with positions in world coordinates."""
    values = table[name][rows]
    if name in POSITIONS:
        bounds = window_bounds(region)
        first, size = (bounds.y, bounds.height) if name == "y_fixed" else (bounds.x, bounds.width)
        values = (np.asarray(values).astype(np.int64) + first) % size
    return values


def is_readable(table: Table, name: str) -> bool:
    """Returns whether species code can read the column `name`: it must exist and not be derived."""
    place = name if name not in table.schema.places else table.schema.places[name][0]
    return any(column.name == place and not column.derived for column in table.schema.columns)


def scalar_place(schema: Schema, name: str) -> tuple[str, int | None] | None:
    """Returns where the number that species code reads as `self.name` is stored: the column and the index of its entry.

    The index is None if the column holds a single number. Returns None if there is no readable number of this name.
    """
    for column in schema.columns:
        if column.derived:
            continue
        if column.name == name and not column.entries:
            return name, None
        if name in column.parts:
            return column.name, column.parts.index(name)
    return None


class RowAccess:
    """Base class of the object that a species' `respond` receives as `self`.

    Its attributes are the columns of one row of the monsters table.

    `bind_class` combines this class with the class of the species, so that the methods and constants of the species are
    available. `PlainBehaviour.respond` creates one instance with `begin` and sets its `_row` before it calls `respond`
    for each being. The instance refers to a row, not to an id, because a being can have several rows: a region whose
    halo wraps around the torus contains copies of the same being.
    """

    _species_name: ClassVar[str]
    _region: Region
    _table: Table
    _own: Mapping[str, Column[Any]]
    _row: int
    _arrays: dict[str, np.ndarray]
    dice: Dice

    @classmethod
    def begin(cls, region: Region, table: Table, dice: Dice, own: Mapping[str, Column[Any]]) -> Any:
        """Creates the instance for the beings of one call; `own` holds the columns that the species declares."""
        me = object.__new__(cls)
        me.__dict__.update(_region=region, _table=table, dice=dice, _own=own, _row=0, _arrays={})
        return me

    def _array(self, name: str) -> np.ndarray:
        """Returns the column `name` for all rows of the table. Raises SpeciesError if it is not readable."""
        if name not in self._arrays:
            if name.startswith("_") or name not in self._table or not is_readable(self._table, name):
                line = f"self.{name} is not a column that a being may read of itself"
                raise SpeciesError(f"species {self._species_name}: {line}")
            self._arrays[name] = self._table[name]
        return self._arrays[name]

    def _read(self, name: str) -> Any:
        """Returns the column `name` of the present row: an int, or a read-only array if it has several entries."""
        value = self._array(name)[self._row]
        if name in POSITIONS:
            return int(read_column(self._region, self._table, name, self._row))
        if value.ndim:
            value = value.astype(np.int64)
            value.flags.writeable = False  # a copy: writing into it would be lost
            return value
        return int(value)

    def _write(self, name: str, value: Any) -> None:
        """Assigns `value` to the column `name` of the present row. Raises SpeciesError if it does not fit."""
        array = self._array(name)
        if type(value) is not int or array.ndim != 1:
            value = as_column_integers(value, self._own[name].dtype, self._species_name, name)
        try:
            array[self._row] = value
        except (OverflowError, ValueError):
            line = f"{name} is {self._own[name].dtype} and cannot hold {value!r}"
            raise SpeciesError(f"species {self._species_name}: {line}") from None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return self._read(name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in self._own:
            raise undeclared_column_error(self._species_name, name)
        self._write(name, value)

    @property
    def unique_id(self) -> int:
        """The id of the being, unique in the world."""
        identity: int = self._read("id")
        return identity

    @property
    def model(self) -> Any:
        """Raises SpeciesError, because the world is not accessible within a tick.

        Outside of ticks, the attribute `model` of a `Monster` is the `World` in which it lives.
        """
        raise SpeciesError(
            f"species {self._species_name}: self.model is not available within a tick: "
            "an answer depends on stimuli, own columns and self.dice alone"
        )

    # these attributes of `Monster` raise the same error: their values do not follow from the being's columns alone
    random = rng = alive = species_name = remove = model


def bind_class(cls: type) -> Any:
    """Creates the class of `self` in `respond`, a subclass of `RowAccess` and of the species class `cls`."""
    return type(cls.__name__, (RowAccess, cls), {"_species_name": cls.__name__, "__module__": cls.__module__})


class BeingColumns:
    """Parameter `me` of `respond_all`: attributes are columns of many beings of a species, `int64[beings]`.

    Columns with several entries are `int64[beings, entries]`. The arrays are read-only copies. Columns that the species
    declares can be assigned: one number for all beings, or an array with one number for each. They are written to the
    table after `respond_all` returns. `me.dice()` returns a random number for each being, and `len(me)` is the number
    of beings. Raises SpeciesError for reading an attribute that is not a readable column, and for assigning to an
    attribute that the species does not declare.
    """

    def __init__(
        self, region: Region, rows: np.ndarray, species_name: str, own: Mapping[str, Column[Any]], dice: DiceColumns
    ) -> None:
        self.__dict__.update(_region=region, _rows=rows, _species_name=species_name, _own=own, _assigned={}, dice=dice)

    if TYPE_CHECKING:
        _region: Region
        _rows: np.ndarray
        _species_name: str
        _own: Mapping[str, Column[Any]]
        _assigned: dict[str, np.ndarray]
        dice: DiceColumns

    def __len__(self) -> int:
        return len(self._rows)

    def __getattr__(self, name: str) -> NDArray[np.int64]:
        if name in self._assigned:
            return self._assigned[name]
        table = self._region.tables["monsters"]
        if name.startswith("_") or name not in table or not is_readable(table, name):
            line = f"me.{name} is not a column that a being may read of itself"
            raise SpeciesError(f"species {self._species_name}: {line}")
        values: NDArray[np.int64] = read_column(self._region, table, name, self._rows).astype(np.int64)
        values.flags.writeable = False  # a copy: writing into it would be lost
        return values

    def __setattr__(self, name: str, values: Any) -> None:
        if name not in self._own:
            raise undeclared_column_error(self._species_name, name)
        column = self._own[name]
        shape = (len(self), column.width) if column.width else (len(self),)
        integers = as_column_integers(values, column.dtype, self._species_name, name).astype(np.int64)
        if integers.ndim and integers.shape != shape:
            line = f"me.{name} has shape {shape}: it cannot be set to an array of shape {integers.shape}"
            raise SpeciesError(f"species {self._species_name}: {line}")
        array = np.array(np.broadcast_to(integers, shape))
        array.flags.writeable = False
        self._assigned[name] = array


class LazyStimuli:
    """The stimuli of many beings, a sequence of read-only `int64[beings]` arrays.

    Each array is created on first access, because most species use only a few stimuli. `stimuli` is
    `int16[rows, stimuli]`, the column of the monsters table; `rows` is an index array or a slice.
    """

    def __init__(self, stimuli: np.ndarray, rows: np.ndarray | slice):
        self._stimuli, self._rows = stimuli, rows
        self._arrays: dict[int, np.ndarray] = {}

    def __len__(self) -> int:
        return self._stimuli.shape[1]

    def __getitem__(self, index: int) -> np.ndarray:
        if index not in self._arrays:
            if index >= len(self):  # ends iteration; NumPy then accepts the object as a sequence
                raise IndexError(index)
            self._arrays[index] = self._stimuli[self._rows, index].astype(np.int64)
            self._arrays[index].flags.writeable = False
        return self._arrays[index]


def as_slice(rows: np.ndarray) -> np.ndarray | slice:
    """Returns ascending `rows` as a slice if they are consecutive (indexing is four times faster), else unchanged."""
    if len(rows) and rows[-1] - rows[0] == len(rows) - 1 and bool((np.diff(rows) == 1).all()):
        return slice(int(rows[0]), int(rows[-1]) + 1)
    return rows

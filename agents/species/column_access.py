"""What the code of a species may read and write: the columns of its own beings, of one row or of many.

Positions are given in the world's coordinates, whichever window a region computes. Columns that are derived within a
tick cannot be read: they may hold numbers of rows, which differ from node to node.
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
    """Where a region's window begins in the world, and the size of the world, in 1/1024 cell."""

    y: int
    height: int
    x: int
    width: int


def window_bounds(region: Region) -> WindowBounds:
    """Returns where the region's window begins, and the size of its world."""
    window, torus = region.window, region.torus
    return WindowBounds(window.y * SUBCELL, torus.height * SUBCELL, window.x * SUBCELL, torus.width * SUBCELL)


def read_column(region: Region, table: Table, name: str, rows: Any) -> Any:
    """Returns column `name` of `rows` (an index array or one row); positions in the world's coordinates."""
    values = table[name][rows]
    if name in POSITIONS:
        bounds = window_bounds(region)
        first, size = (bounds.y, bounds.height) if name == "y_fixed" else (bounds.x, bounds.width)
        values = (np.asarray(values).astype(np.int64) + first) % size
    return values


def is_readable(table: Table, name: str) -> bool:
    """Whether a being may read the column `name` of its own row: derived columns are not readable."""
    place = name if name not in table.schema.places else table.schema.places[name][0]
    return any(column.name == place and not column.derived for column in table.schema.columns)


def scalar_place(schema: Schema, name: str) -> tuple[str, int | None] | None:
    """Returns the column, and the part of it, that holds the single number `name` of a being.

    The part is None if the column has no parts. Returns None if there is no such number that a being may read.
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
    """What `self` is in `respond`: reads and writes one row of the table of monsters within a tick.

    `bind_class` combines it with the class of the species, so that methods and constants of the species are there too.
    One instance serves all rows of a call: the caller sets `_row`. It is bound to a row, not to an id, because a window
    may hold several images of one being.
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
        """Returns a `self` for the beings of one call; `own` holds the columns that the species may write."""
        me = object.__new__(cls)
        me.__dict__.update(_region=region, _table=table, dice=dice, _own=own, _row=0, _arrays={})
        return me

    def _array(self, name: str) -> np.ndarray:
        if name not in self._arrays:
            if name.startswith("_") or name not in self._table or not is_readable(self._table, name):
                line = f"self.{name} is not a column that a being may read of itself"
                raise SpeciesError(f"species {self._species_name}: {line}")
            self._arrays[name] = self._table[name]
        return self._arrays[name]

    def _read(self, name: str) -> Any:
        value = self._array(name)[self._row]
        if name in POSITIONS:
            return int(read_column(self._region, self._table, name, self._row))
        if value.ndim:
            value = value.astype(np.int64)
            value.flags.writeable = False  # a copy: writing into it would be lost
            return value
        return int(value)

    def _write(self, name: str, value: Any) -> None:
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
        """The id of the being."""
        identity: int = self._read("id")
        return identity

    @property
    def model(self) -> Any:
        """Raises SpeciesError: the world cannot be reached within a tick."""
        raise SpeciesError(
            f"species {self._species_name}: self.model is out of reach within a tick: "
            "an answer depends on stimuli, own columns and self.dice alone"
        )

    random = rng = alive = species_name = remove = model  # all of these depend on more than the being


def bind_class(cls: type) -> Any:
    """Returns the class of `self` in `respond` of a species: RowAccess, then the class of the species."""
    return type(cls.__name__, (RowAccess, cls), {"_species_name": cls.__name__, "__module__": cls.__module__})


class BeingColumns:
    """What `me` is in `respond_all`: the columns of many beings of a species, `int64[beings]` each, as attributes.

    Columns that the species declares may be assigned, one number for all or an array with one for each; they are
    written when `respond_all` has returned. Columns with several entries are `int64[beings, entries]`. The arrays are
    read-only copies. `me.dice()` gives a random number for each being, and `len(me)` is the number of beings.
    Raises SpeciesError for a name that is not a column, or that the species does not declare.
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

    Most species use a few of the many stimuli, so an array is made when it is first asked for. `stimuli` is
    `int16[rows, stimuli]`, `rows` an index array or a slice.
    """

    def __init__(self, stimuli: np.ndarray, rows: np.ndarray | slice):
        self._stimuli, self._rows = stimuli, rows
        self._arrays: dict[int, np.ndarray] = {}

    def __len__(self) -> int:
        return self._stimuli.shape[1]

    def __getitem__(self, index: int) -> np.ndarray:
        if index not in self._arrays:
            if index >= len(self):  # ends iteration, so that NumPy takes it as a sequence
                raise IndexError(index)
            self._arrays[index] = self._stimuli[self._rows, index].astype(np.int64)
            self._arrays[index].flags.writeable = False
        return self._arrays[index]


def as_slice(rows: np.ndarray) -> np.ndarray | slice:
    """Returns ascending rows as a slice if they are consecutive, which is four times faster to gather, or unchanged."""
    if len(rows) and rows[-1] - rows[0] == len(rows) - 1 and bool((np.diff(rows) == 1).all()):
        return slice(int(rows[0]), int(rows[-1]) + 1)
    return rows

"""Beings as objects: `Plant`, `Monster` and other handles on rows of a table, and `Agent` for plain Mesa models.

A handle is made when somebody asks for one, and there is one handle a being: `w.agents[0] is w.agents[0]`. Its
attributes are the columns of its table. Handles know their being by id; rows move. After death the last values stay
readable.
"""

import itertools
from typing import Any, ClassVar

import mesa
import numpy as np

from umwelt.agents.species import species
from umwelt.agents.species.behaviour import may_read, own_values
from umwelt.sandbox.errors import SpeciesError
from umwelt.sandbox.region import Region
from umwelt.sandbox.units import cells_from_fixed


class _Counters:
    """Mesa's ids, counted within each model; Mesa's own count is a class attribute that keeps every model alive."""

    def __getitem__(self, model: Any) -> Any:
        return vars(model).setdefault("_agent_ids", itertools.count(1))


class Agent(mesa.Agent):
    """An agent of a plain Mesa model, with any attributes."""

    _ids = _Counters()


class Being(Agent):
    """A handle on a being of a world that lives by laws."""

    _roster: Any
    _code: int
    _id: int

    def __init__(self, *arguments: Any, **named: Any) -> None:
        raise TypeError(
            f"{type(self).__name__}: beings enter a world as its founders or are born in it; "
            "agents of a plain Mesa model are subclasses of umwelt.agents.Agent"
        )

    @property
    def model(self) -> Any:  # type: ignore[override]
        """The world it lives in."""
        return self._roster.world

    @property
    def unique_id(self) -> int:  # type: ignore[override]
        """Its id: place and moment of birth."""
        return self._id

    @property
    def alive(self) -> bool:
        """Whether it still lives."""
        return self._roster.row_of(self) >= 0

    @property
    def species_name(self) -> str:
        """The name of its species in the world file."""
        return self._roster.species_name(self)

    @property
    def position(self) -> tuple[float, float]:
        """Where it is: x and y in cells."""
        return cells_from_fixed(self.x_fixed), cells_from_fixed(self.y_fixed)

    pos = position  # type: ignore[assignment]

    def remove(self) -> None:
        """Take it out of the world; what its body holds goes to its cell, so that no matter is lost."""
        self._roster.remove(self)

    def _read(self, name: str) -> Any:
        return self._roster.read(self, name)

    def _write(self, name: str, value: Any) -> None:
        self._roster.write_one(self, name, value)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return self._read(name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("_") or hasattr(getattr(type(self), name, None), "__set__"):
            object.__setattr__(self, name, value)
        elif self._roster.has(self._code, name):
            self._write(name, value)
        else:
            object.__setattr__(self, name, value)
            self._roster.pin(self)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._id}>"

    def __copy__(self) -> "Being":
        return self

    def __deepcopy__(self, memo: dict) -> "Being":
        return self

    def __reduce__(self) -> Any:
        raise TypeError(f"{self!r} is a view into its world and cannot be pickled: take its values with agents.get")


class Plant(Being):
    """A module or a seed of a plant."""


class Monster(Being):
    """A monster. Subclass it, and write `respond`, for a species of your own."""


class _Bound:
    """What `self` is in `respond`: an instance of the species' class that reads and writes one row within a tick.

    Several images of one being may lie in a window, so it is bound to a row, not to an id.
    """

    _species_name: ClassVar[str]

    @classmethod
    def begin(cls, region: Region, table: Any, dice: species.Dice, own: dict[str, species.Column]) -> Any:
        """One `self` for all beings of a call."""
        me = object.__new__(cls)
        me.__dict__.update(_region=region, _table=table, dice=dice, _own=own, _row=0, _arrays={})
        return me

    def _array(self, name: str) -> np.ndarray:
        arrays = self._arrays  # type: ignore[attr-defined]
        if name not in arrays:
            table = self._table  # type: ignore[attr-defined]
            if name.startswith("_") or name not in table or not may_read(table, name):
                line = f"self.{name} is no column that a being may read of itself"
                raise SpeciesError(f"species {self._species_name}: {line}")
            arrays[name] = table[name]
        return arrays[name]

    def _read(self, name: str) -> Any:
        value = self._array(name)[self._row]  # type: ignore[attr-defined]
        if name in ("x_fixed", "y_fixed"):
            return int(own_values(self._region, self._table, name, self._row))  # type: ignore[attr-defined]
        if value.ndim:
            value = value.astype(np.int64)
            value.flags.writeable = False  # a copy: writing into it would be lost
            return value
        return int(value)

    def _write(self, name: str, value: Any) -> None:
        own = self._own  # type: ignore[attr-defined]
        array = self._array(name)
        if type(value) is not int or array.ndim != 1:
            value = species.whole_for(value, own[name].dtype, self._species_name, name)
        try:
            array[self._row] = value  # type: ignore[attr-defined]
        except (OverflowError, ValueError):
            line = f"{name} is {own[name].dtype} and cannot hold {value!r}"
            raise SpeciesError(f"species {self._species_name}: {line}") from None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return self._read(name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in self._own:  # type: ignore[attr-defined]
            raise species.undeclared(self._species_name, name)
        self._write(name, value)

    @property
    def unique_id(self) -> int:
        return self._read("id")

    @property
    def model(self) -> Any:
        raise SpeciesError(
            f"species {self._species_name}: self.model is out of reach within a tick: "
            "an answer depends on stimuli, own columns and self.dice alone"
        )

    random = rng = alive = species_name = remove = model  # all of them lead out of the being


def bound_class(cls: type) -> Any:
    """The class of `self` in `respond` of a species."""
    return type(cls.__name__, (_Bound, cls), {"_species_name": cls.__name__, "__module__": cls.__module__})

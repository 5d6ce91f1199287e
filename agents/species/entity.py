"""Beings as objects: `Plant`, `Monster` and other handles on table rows, and `Agent` for Mesa models without a world.

A handle is created on first access, and each being has only one: `world.agents[0] is world.agents[0]`. The attributes
of a handle are the columns of the being's table. A handle refers to its being by id, because rows move from tick to
tick. After the being's death, the last values of its columns remain readable.
"""

import itertools
from typing import TYPE_CHECKING, Any

from umwelt.agents.species.mesa_types import MesaAgent
from umwelt.sandbox.units import cells_from_fixed

if TYPE_CHECKING:
    from umwelt.agents.species.column_access import BeingColumns
    from umwelt.agents.species.species import Dice, Drives, Stimuli, StimulusColumns


class _IdCounters:
    """A mapping from model to id counter that stores each counter in its model.

    It replaces Mesa's `Agent._ids`, a class-level dict that prevents models from being garbage-collected.
    """

    def __getitem__(self, model: Any) -> Any:
        return vars(model).setdefault("_agent_ids", itertools.count(1))


class Agent(MesaAgent):
    """An agent of a Mesa model without a world: `mesa.Agent`, except that its model can be garbage-collected."""

    _ids = _IdCounters()


class Being(Agent):
    """A handle on a being of a world; the columns of its table are its attributes.

    `being.sugar_count` is a Python int, and a column with several entries is a read-only array. Assigning to a column
    changes the world; any other assigned attribute is stored in the handle, which then exists as long as the being
    lives. The constructor raises TypeError: beings enter a world as its founders, by birth, or by a command.

    Raises AttributeError for an attribute that is not a column, for an assignment to a column that never changes after
    birth, and for an assignment to a dead being; TypeError or OverflowError for a value that its column cannot hold.
    """

    _handles: Any
    """The `Handles` of the world (`agents/mesa/handles.py`), which read and write columns for all handles."""
    _code: int
    """The position of the being's table among the tables of the world."""
    _id: int

    def __init__(self, *arguments: Any, **named: Any) -> None:
        raise TypeError(
            f"{type(self).__name__}: beings enter a world as its founders or are born in it; "
            "agents of a plain Mesa model are subclasses of umwelt.agents.Agent"
        )

    @property
    def model(self) -> Any:  # type: ignore[override]
        """The `World` in which the being lives."""
        return self._handles.world

    @property
    def unique_id(self) -> int:  # type: ignore[override]
        """The id of the being: 63 bits, unique in the world, derived from the place and tick of its birth."""
        return self._id

    @property
    def alive(self) -> bool:
        """Whether the being is alive."""
        return bool(self._handles.row_of(self) >= 0)

    @property
    def species_name(self) -> str:
        """The name of the being's species in the world file."""
        name: str = self._handles.species_name(self)
        return name

    @property
    def position(self) -> tuple[float, float]:
        """The position (x, y) of the being, in cells."""
        return cells_from_fixed(self.x_fixed), cells_from_fixed(self.y_fixed)

    pos = position  # type: ignore[assignment]

    def remove(self) -> None:
        """Removes the being from the world and moves its body's matter to its cell, so that matter is conserved."""
        self._handles.remove(self)

    def _read(self, name: str) -> Any:
        """Returns the column `name` of the being. Raises AttributeError if there is none."""
        return self._handles.read(self, name)

    def _write(self, name: str, value: Any) -> None:
        """Assigns `value` to the column `name` of the being."""
        self._handles.write(self, name, value)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return self._read(name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("_") or hasattr(getattr(type(self), name, None), "__set__"):
            object.__setattr__(self, name, value)
        elif self._handles.has_column(self, name):
            self._write(name, value)
        else:
            object.__setattr__(self, name, value)
            self._handles.pin(self)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._id}>"

    def __copy__(self) -> "Being":
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> "Being":
        return self

    def __reduce__(self) -> Any:
        raise TypeError(f"{self!r} is a view into its world and cannot be pickled: take its values with agents.get")


class Plant(Being):
    """A handle on a seed or on a module (the part of a plant in one cell); the column `stage` distinguishes them."""


class Monster(Being):
    """A handle on a monster, and the base class of species written in Python.

    A species defines `respond` or `respond_all`:

        class Shy(Monster):
            def respond(self, see):
                return Drives(turn=-see.other_bearing, thrust=0.8)

        world = World.load("meadow", species={"grazer": Shy})

    `respond` is called once per being: `see` holds its stimuli (`Stimuli`) and `self.dice` its random numbers (`Dice`).
    The decorator `@compiled` compiles it. `respond_all` is a class method that is called once for all beings: `me`
    holds their columns (`BeingColumns`), `see` their stimuli as arrays (`StimulusColumns`). Both return `Drives`, or
    None if all drives are 0.

    The drives of a being must depend only on its own stimuli, columns and dice, so that every node computes the same
    result; `World.load(..., check=True)` checks this. `self.model` and other beings are not accessible within a tick.
    State is kept in attributes declared as `Column`; assigning any other attribute raises SpeciesError.
    """

    if TYPE_CHECKING:  # at run time a species has one of the two methods, and `dice` exists within a tick only
        dice: Dice

        def respond(self, see: Stimuli) -> Drives | None:
            """Returns the drives of one being for its stimuli `see`."""

        @classmethod
        def respond_all(cls, me: BeingColumns, see: StimulusColumns) -> Drives | None:
            """Returns the drives of many beings for their stimuli `see`."""

"""Beings as objects: `Plant`, `Monster` and other handles on rows of a table, and `Agent` for plain Mesa models.

A handle is made when it is first asked for, and a being has only one: `world.agents[0] is world.agents[0]`. Its
attributes are the columns of its table. A handle refers to its being by id, because rows move from tick to tick. After
the being's death its last values stay readable.
"""

import itertools
from typing import TYPE_CHECKING, Any

from umwelt.agents.species.mesa_types import MesaAgent
from umwelt.sandbox.units import cells_from_fixed

if TYPE_CHECKING:
    from umwelt.agents.species.column_access import BeingColumns
    from umwelt.agents.species.species import Dice, Drives, Stimuli, StimulusColumns


class _IdCounters:
    """Mesa's counters of ids, kept in each model; Mesa's own are kept in a class, and keep every model alive."""

    def __getitem__(self, model: Any) -> Any:
        return vars(model).setdefault("_agent_ids", itertools.count(1))


class Agent(MesaAgent):
    """An agent of a plain Mesa model, with any attributes: `mesa.Agent`, whose model can be garbage-collected."""

    _ids = _IdCounters()


class Being(Agent):
    """A handle on a being of a world from a file; the columns of its table are its attributes.

    `being.sugar_count` is a Python int, and a column with several entries is a read-only array. Assigning to a column
    writes into the world; any other attribute stays with the handle for as long as the being lives. Beings cannot be
    created: they enter a world as its founders, by birth, or by a command.

    Raises AttributeError for an attribute that is not a column, for an assignment to a column that never changes after
    birth, and for an assignment to a dead being; TypeError or OverflowError for a value that its column cannot hold.
    """

    _handles: Any
    _code: int
    _id: int

    def __init__(self, *arguments: Any, **named: Any) -> None:
        raise TypeError(
            f"{type(self).__name__}: beings enter a world as its founders or are born in it; "
            "agents of a plain Mesa model are subclasses of umwelt.agents.Agent"
        )

    @property
    def model(self) -> Any:  # type: ignore[override]
        """The World it lives in."""
        return self._handles.world

    @property
    def unique_id(self) -> int:  # type: ignore[override]
        """Its id, 63 bits that are unique in the world; made from the place and tick of its birth."""
        return self._id

    @property
    def alive(self) -> bool:
        """Whether it lives."""
        return bool(self._handles.row_of(self) >= 0)

    @property
    def species_name(self) -> str:
        """The name of its species in the world file."""
        name: str = self._handles.species_name(self)
        return name

    @property
    def position(self) -> tuple[float, float]:
        """Where it is: x and y in cells."""
        return cells_from_fixed(self.x_fixed), cells_from_fixed(self.y_fixed)

    pos = position  # type: ignore[assignment]

    def remove(self) -> None:
        """Takes it out of the world; what its body holds goes to its cell, so that matter is conserved."""
        self._handles.remove(self)

    def _read(self, name: str) -> Any:
        return self._handles.read(self, name)

    def _write(self, name: str, value: Any) -> None:
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
    """A module or a seed of a plant; `stage` tells which."""


class Monster(Being):
    """A monster. A species of your own is a subclass with `respond`, or with `respond_all`:

        class Shy(Monster):
            def respond(self, see):
                return Drives(turn=-see.other_bearing, thrust=0.8)

        world = World.load("meadow", species={"grazer": Shy})

    `respond` is called for one being at a time; `see` holds its stimuli (Stimuli) and `self.dice` its random numbers.
    Decorate it with `@compiled` and the same body is compiled. `respond_all` is a class method that answers for all
    beings at once: `me` holds their columns (BeingColumns), `see` their stimuli as arrays (StimulusColumns). Both
    return `Drives`, or None for no drive at all.

    An answer may depend on the stimuli, the columns and the dice of its own being only, so that it comes out the same
    on every node: `World.load(..., check=True)` tests that. `self.model` and other beings cannot be reached within a
    tick. What a species remembers is a `Column`; assigning any other attribute raises SpeciesError.
    """

    if TYPE_CHECKING:  # at run time a species has only one of them, and dice only within a tick
        dice: Dice

        def respond(self, see: Stimuli) -> Drives | None:
            """Returns what one being does about its stimuli."""

        @classmethod
        def respond_all(cls, me: BeingColumns, see: StimulusColumns) -> Drives | None:
            """Returns what many beings do about their stimuli."""

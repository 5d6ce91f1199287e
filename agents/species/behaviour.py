"""How a species behaves: by the default net, by a program (`mind.py`), or by a function of its own, at three speeds.

A species of one's own is a subclass of `Monster` with `respond` (plain Python, a being at a time), `@compiled respond`
(the same body, compiled) or `respond_all` (columns in, columns out). World files name it as `"package.module:Class"`.
"""

import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from umwelt.agents.body.interface import DRIVES
from umwelt.agents.hocl.parser import Program
from umwelt.agents.species.hocl_behaviour import Mind, is_mind, read_mind
from umwelt.sandbox.columns import Column, Table
from umwelt.sandbox.errors import SpeciesError, WorldFileError
from umwelt.sandbox.region import Region
from umwelt.sandbox.text import load_object, one_line
from umwelt.sandbox.units import SUBCELL

NET = "net"

_registered: "weakref.WeakValueDictionary[str, type]" = weakref.WeakValueDictionary()
"""Classes handed over in Python, by the reference that stands for them in a description."""


class Behaviour(Protocol):
    """Turns the stimuli of some monsters into drives, in place."""

    name: str
    columns: tuple[str, ...]

    def respond(self, region: Region, rows: np.ndarray) -> None:
        """Set `drives` of the given rows of the region's monsters."""


@dataclass
class Behaviours:
    """The behaviours of a world's species: `has_net: int8[species]`, and those that bring their own, by index."""

    has_net: np.ndarray
    own: dict[int, Behaviour] = field(default_factory=dict)

    @property
    def checked(self) -> bool:
        """Whether every answer is asked for several times over, and differences raise `SpeciesError`."""
        return any(isinstance(behaviour, Checked) for behaviour in self.own.values())

    @checked.setter
    def checked(self, wanted: bool) -> None:
        for at, behaviour in self.own.items():
            plain = behaviour.behaviour if isinstance(behaviour, Checked) else behaviour
            self.own[at] = Checked(plain) if wanted else plain


def behaviours_for(references: Sequence[str]) -> Behaviours:
    """The behaviours that world files name, by species index."""
    found = Behaviours(np.array([reference == NET for reference in references] or [True], np.int8))
    for at, program in minds_for(references).items():
        found.own[at] = Mind(program, references[at])
    for at, cls in _classes(references):
        from umwelt.agents.species.species import own_columns_of

        found.own[at] = WAYS[way_of(cls, at)](cls, own_columns_of(cls))
    return found


def columns_for(references: Sequence[str]) -> tuple[Column, ...]:
    """The columns that the named species declare for themselves; species may share one that they declare alike."""
    found: dict[str, tuple[Column, str]] = {}
    for at, cls in _classes(references):
        from umwelt.agents.body.schema import MONSTERS
        from umwelt.agents.species.species import own_columns_of

        for name, declared in own_columns_of(cls).items():
            column = declared.declared()
            if name in Table(MONSTERS):
                raise WorldFileError(f"{_key(at)}: {cls.__name__}.{name}: every monster has that: use another name")
            other, owner = found.setdefault(name, (column, cls.__name__))
            if other != column:
                line = f"{cls.__name__}.{name} is declared otherwise by {owner}: make them alike"
                raise WorldFileError(f"{_key(at)}: {line}")
    return tuple(column for column, _ in found.values())


def minds_for(references: Sequence[str]) -> dict[int, Program]:
    """The programs that the named species live by, by index."""
    return {at: read_mind(one, _key(at)) for at, one in enumerate(references) if is_mind(one)}


def classes_for(references: Sequence[str]) -> dict[int, type]:
    """The classes that the named species are, by index; those that live by the net or by a program are left out."""
    return dict(_classes(references))


def register(cls: type) -> str:
    """A reference for a class, to put into a description: `"module:Class"`, and a number where that is taken."""
    reference = f"{cls.__module__}:{cls.__qualname__}"
    number = 1
    while (known := _registered.get(reference)) is not None and known is not cls:
        number += 1
        reference = f"{cls.__module__}:{cls.__qualname__}#{number}"
    _registered[reference] = cls
    return reference


def _key(at: int) -> str:
    return f"founders[{at}].behaviour"


def _classes(references: Sequence[str]) -> Iterator[tuple[int, type]]:
    for at, reference in enumerate(references):
        if reference != NET and not is_mind(reference):
            yield at, species_class(reference, at)


def species_class(reference: str, at: int) -> type:
    """The class that a reference stands for; `WorldFileError` names the founders it was written for."""
    cls = _registered.get(reference)
    if cls is None:
        try:
            cls = load_object(reference, _key(at))
        except WorldFileError:
            raise
        except Exception as error:
            line = one_line(f"{type(error).__name__}: {error}")
            raise WorldFileError(f'{_key(at)} = "{reference}": cannot be imported: {line}') from None
    from umwelt.agents.species.entity import Monster

    if not (isinstance(cls, type) and issubclass(cls, Monster)):
        what = cls.__name__ if isinstance(cls, type) else f"a {type(cls).__name__}"
        raise WorldFileError(f'{_key(at)} = "{reference}": {what} is no Monster: write class Name(Monster)')
    way_of(cls, at)
    return cls


def way_of(cls: type, at: int) -> str:
    """At which speed a species responds: the way written nearest to the class itself counts."""
    for ancestor in cls.__mro__:
        written = [name for name in ("respond", "respond_all") if name in vars(ancestor)]
        if len(written) == 2:
            raise WorldFileError(f"{_key(at)}: {ancestor.__name__} has respond and respond_all: keep one of them")
        if written == ["respond_all"]:
            if not isinstance(vars(ancestor)["respond_all"], classmethod):
                raise WorldFileError(f"{_key(at)}: {ancestor.__name__}.respond_all: write @classmethod before it")
            return "columns"
        if written == ["respond"]:
            return "compiled" if getattr(vars(ancestor)["respond"], "umwelt_compiled", False) else "plain"
    raise WorldFileError(f"{_key(at)}: {cls.__name__} has no respond: write def respond(self, see) or respond_all")


# --- what a species may read and write


def edges_of(region: Region) -> tuple[int, int, int, int]:
    """Where the window begins and how large the world is, `(y, height, x, width)` in fixed point."""
    window, torus = region.window, region.torus
    return window.y * SUBCELL, torus.height * SUBCELL, window.x * SUBCELL, torus.width * SUBCELL


def own_values(region: Region, table: Table, name: str, rows: Any) -> Any:
    """A carried column of rows (or one row) as beings may read it, copied; positions in the world's coordinates."""
    values = table[name][rows]
    if name in ("y_fixed", "x_fixed"):
        y, height, x, width = edges_of(region)
        edge, size = (y, height) if name == "y_fixed" else (x, width)
        values = (np.asarray(values).astype(np.int64) + edge) % size
    return values


def may_read(table: Table, name: str) -> bool:
    """Whether a being may read a column of its own: derived ones hold numbers of rows and are gone between ticks."""
    place = name if name not in table.schema.places else table.schema.places[name][0]
    return any(column.name == place and not column.derived for column in table.schema.columns)


class _Species:
    """What the three speeds share."""

    def __init__(self, cls: type, own: Mapping[str, Any]):
        from umwelt.agents.species.species import dice_purpose

        self.cls, self.own, self.name = cls, dict(own), cls.__name__
        self.columns = tuple(own)
        self.purpose = dice_purpose(cls)


class OneByOne(_Species):
    """Plain Python: `respond` of one being after another."""

    def __init__(self, cls: type, own: Mapping[str, Any]):
        super().__init__(cls, own)
        from umwelt.agents.species.entity import bound_class

        self.bound = bound_class(cls)

    def respond(self, region: Region, rows: np.ndarray) -> None:
        from umwelt.agents.species.species import Dice, Drives, Sight, failed, to_border

        table = region.tables["monsters"]
        dice = Dice(region.seed, region.tick, self.purpose)
        me, see = self.bound.begin(region, table, dice, self.own), Sight()
        respond: Callable = self.cls.respond  # type: ignore[attr-defined]
        stimuli, ids = table["stimuli"][rows].tolist(), table["id"][rows].tolist()
        answers = []
        for row, values, identity in zip(rows.tolist(), stimuli, ids, strict=True):
            me.__dict__["_row"] = row
            dice.of(identity)
            see.raw.values = values
            try:
                answer = respond(me, see)
            except SpeciesError:
                raise
            except (Exception, SystemExit) as error:
                raise failed(self.name, error) from error
            if not isinstance(answer, Drives):
                if answer is not None:
                    raise SpeciesError(f"species {self.name}: respond gives Drives(...), not {type(answer).__name__}")
                answer = Drives()
            answers.append(answer)
        for at, values in enumerate(zip(*answers, strict=True)):
            table["drives"][rows, at] = to_border(values, self.name, at, len(rows))


class Compiled(_Species):
    """The body of `respond` as a compiled loop."""

    def __init__(self, cls: type, own: Mapping[str, Any]):
        super().__init__(cls, own)
        self._loops: dict[Any, Any] = {}

    def respond(self, region: Region, rows: np.ndarray) -> None:
        from umwelt.agents.species.compiler import Loop

        table = region.tables["monsters"]
        layout = table.schema.columns
        if layout not in self._loops:
            self._loops[layout] = Loop(self.cls, self.cls.respond, table.schema, self.own)  # type: ignore[attr-defined]
        self._loops[layout].run(table, rows, (region.seed, region.tick, self.purpose), edges_of(region))


class Beheld:
    """`me` of `respond_all`: columns of many beings, `int64[rows]` each; those the species declares may be set."""

    def __init__(self, region: Region, rows: np.ndarray, species: _Species, dice: Any):
        self.__dict__.update(_region=region, _rows=rows, _species=species, _set={}, dice=dice)

    if TYPE_CHECKING:
        _region: Region
        _rows: np.ndarray
        _species: "_Species"
        _set: dict[str, np.ndarray]

    def __len__(self) -> int:
        return len(self._rows)

    def __getattr__(self, name: str) -> np.ndarray:
        if name in self._set:
            return self._set[name]
        table = self._region.tables["monsters"]
        if name.startswith("_") or name not in table or not may_read(table, name):
            raise SpeciesError(f"species {self._species.name}: me.{name} is no column that a being may read of itself")
        values = own_values(self._region, table, name, self._rows).astype(np.int64)
        values.flags.writeable = False  # it is a copy: writing into it would be lost
        return values

    def __setattr__(self, name: str, values: Any) -> None:
        from umwelt.agents.species.species import undeclared, whole_for

        if name not in self._species.own:
            raise undeclared(self._species.name, name)
        column = self._species.own[name]
        shape = (len(self), column.width) if column.width else (len(self),)
        whole = whole_for(values, column.dtype, self._species.name, name).astype(np.int64)
        if whole.ndim and whole.shape != shape:
            raise SpeciesError(f"species {self._species.name}: me.{name} needs {shape} numbers, not {whole.shape}")
        values = np.array(np.broadcast_to(whole, shape))
        values.flags.writeable = False
        self._set[name] = values


class _Lazily:
    """Stimuli of many beings, each an `int64[rows]` made when it is asked for, and not to be written into."""

    def __init__(self, stimuli: np.ndarray, where: Any):
        self._stimuli, self._where = stimuli, where
        self._made: dict[int, np.ndarray] = {}

    def __len__(self) -> int:
        return self._stimuli.shape[1]

    def __getitem__(self, at: int) -> np.ndarray:
        if at not in self._made:
            if at >= len(self):  # so that it counts as a sequence
                raise IndexError(at)
            self._made[at] = self._stimuli[self._where, at].astype(np.int64)
            self._made[at].flags.writeable = False
        return self._made[at]


def _stretch(rows: np.ndarray) -> Any:
    """Rows as a slice, where they lie one behind the other: four times faster to gather."""
    if len(rows) and rows[-1] - rows[0] == len(rows) - 1 and bool((np.diff(rows) == 1).all()):
        return slice(int(rows[0]), int(rows[-1]) + 1)
    return rows


class AllAtOnce(_Species):
    """Columns in, columns out: `respond_all`."""

    def respond(self, region: Region, rows: np.ndarray) -> None:
        from umwelt.agents.species.species import Dice, Drives, Sight, failed, to_border

        if not len(rows):
            return
        table = region.tables["monsters"]
        dice = Dice(region.seed, region.tick, self.purpose)
        dice.of(table["id"][rows])
        see = Sight()
        # most species use a few of the many stimuli: a column is made when it is asked for
        where = _stretch(rows)
        see.raw.values = _Lazily(table["stimuli"], where)
        me = Beheld(region, rows, self, dice)
        try:
            answer = self.cls.respond_all(me, see)  # type: ignore[attr-defined]
        except SpeciesError:
            raise
        except (Exception, SystemExit) as error:
            raise failed(self.name, error) from error
        answer = Drives() if answer is None else answer
        if not isinstance(answer, Drives):
            raise SpeciesError(f"species {self.name}: respond_all gives Drives(...), not {type(answer).__name__}")
        drives = np.zeros((len(rows), len(DRIVES)), np.int16)
        for at, values in enumerate(answer):
            drives[:, at] = to_border(values, self.name, at, len(rows))
        table["drives"][where] = drives
        for name, values in me._set.items():
            table[name][rows] = values


WAYS: dict[str, Callable[[type, Mapping[str, Any]], Behaviour]] = {
    "plain": OneByOne,
    "compiled": Compiled,
    "columns": AllAtOnce,
}


# --- the check


class Checked:
    """A behaviour that is asked again, in another order, and in ever smaller batches, and must answer alike.

    All within one tick: what a species remembers outside its columns and changes only from tick to tick passes
    unnoticed. Such a memory shows when a run is resumed, or carried by several nodes.
    """

    def __init__(self, behaviour: Behaviour):
        self.behaviour, self.name, self.columns = behaviour, behaviour.name, behaviour.columns

    def respond(self, region: Region, rows: np.ndarray) -> None:
        table = region.tables["monsters"]
        before = {name: table[name][rows] for name in self.columns}

        def asked(batches: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
            for name, values in before.items():
                table[name][rows] = values
            table["drives"][rows] = 0
            for batch in batches:
                self.behaviour.respond(region, batch)
            return {name: table[name][rows] for name in (*self.columns, "drives")}

        first = asked([rows])
        shuffled = np.random.default_rng(region.tick).permutation(rows)
        for batches, why in self._ways(rows, shuffled):
            again = asked(batches)
            for name, values in first.items():
                different = np.flatnonzero((values != again[name]).reshape(len(rows), -1).any(axis=1))
                if len(different):
                    identity = int(table["id"][rows[different[0]]])
                    raise SpeciesError(
                        f"species {self.name}: at tick {region.tick} the {name} of {len(different)} of {len(rows)} "
                        f"beings (the first is {identity}) {why}"
                    )
        for name, values in first.items():
            table[name][rows] = values

    def _ways(self, rows: np.ndarray, shuffled: np.ndarray) -> Iterator[tuple[list[np.ndarray], str]]:
        yield [rows], "came out otherwise when asked again: it remembers outside its columns or throws dice not its own"
        yield [shuffled], "came out otherwise in another order: an answer may depend on its own being alone"
        alone = "came out otherwise {}: an answer may not depend on the others of its batch"
        if isinstance(self.behaviour, AllAtOnce):
            # twice the same beings: finds what depends on the batch even where only one being is left
            yield [np.concatenate([rows, rows])], alone.format("in a batch twice as large")
        parts = 2
        while parts < len(rows):
            yield np.array_split(shuffled, parts), alone.format(f"in {parts} batches")
            parts *= 8
        yield [rows[at : at + 1] for at in range(len(rows))], alone.format("one at a time")


def check(region: Region, wanted: bool = True) -> None:
    """Check every answer of a region's species from now on (slow), or cease to."""
    behaviours = region.derived.get("behaviours")
    if isinstance(behaviours, Behaviours):
        behaviours.checked = wanted

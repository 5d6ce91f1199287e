"""What a species of one's own is written with: `Drives`, `Column`, `compiled`, `dot`, and how it sees and throws dice.

    class Shy(Monster):
        fear = Column("int16", inherited=True)

        def respond(self, see):
            return Drives(turn=-see.other_bearing, thrust=0.8)

`see.other_bearing` is a float from -1 to 1, `see.raw.other_bearing` the integer of 1/1024 behind it. `see.dot(weights)`
adds up integers exactly. `self` reads the columns of its being and writes those that its class declares; `self.dice()`
is a number from 0 up to 1, `self.dice.integer(6)` one of 0 to 5, the same wherever this being is computed.
"""

import difflib
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from umwelt.agents.body.interface import DRIVES, STIMULI
from umwelt.sandbox import columns
from umwelt.sandbox.dice import below, draw, purpose
from umwelt.sandbox.errors import SpeciesError
from umwelt.sandbox.kernel import call, kernel
from umwelt.sandbox.text import one_line
from umwelt.sandbox.units import ONE

COLUMN_DTYPES = ("int8", "int16", "int32")
WIDEST_COLUMN = 1 << 16
FLOAT_BITS = 53
_UNIT = 2.0**-FLOAT_BITS


class Column:
    """An integer that every being of a species carries: declared in its class, kept by halos, snapshots and digests.

    An inherited column passes from parent to child; any other begins at its default. With `width` it holds several.
    """

    def __init__(
        self, dtype: str = "int16", *, default: int = 0, inherited: bool = False, width: int = 0, unit: str = ""
    ):
        if dtype not in COLUMN_DTYPES:
            raise SpeciesError(f"Column({dtype!r}): columns hold integers: use one of {', '.join(COLUMN_DTYPES)}")
        limits = np.iinfo(dtype)
        try:
            is_whole = int(default) == default and limits.min <= default <= limits.max
        except (TypeError, ValueError, OverflowError):
            is_whole = False
        if not is_whole:
            line = f"Column({dtype!r}, default={default!r}): use a whole number from {limits.min} to {limits.max}"
            raise SpeciesError(one_line(line))
        if not isinstance(width, int) or not 0 <= width <= WIDEST_COLUMN:
            raise SpeciesError(one_line(f"Column({dtype!r}, width={width!r}): use 0 to {WIDEST_COLUMN} entries"))
        self.dtype, self.default, self.inherited, self.width, self.unit = dtype, int(default), inherited, width, unit
        self.name = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, being: Any, owner: type | None = None) -> Any:
        return self if being is None else being._read(self.name)

    def __set__(self, being: Any, value: Any) -> None:
        being._write(self.name, value)

    def declared(self) -> columns.Column:
        """The column as tables know it."""
        return columns.Column(
            self.name, self.dtype, unit=self.unit, width=self.width, default=self.default, inherited=self.inherited
        )


class _Drives(NamedTuple):
    turn: Any = 0.0
    thrust: Any = 0.0
    bite: Any = 0.0
    graze: Any = 0.0
    drink: Any = 0.0
    grow: Any = 0.0
    breed: Any = 0.0
    rest: Any = 0.0
    blink: Any = 0.0
    musk_drive: Any = 0.0
    alarm_drive: Any = 0.0


class Drives(_Drives):
    """What a being wants to do, each from -1 to 1; what is not named is 0. Rounded to 1/1024, and clamped."""

    __slots__ = ()

    @classmethod
    def raw(cls, **drives: Any) -> "Drives":
        """Drives as integers of 1/1024, for those who keep to integers."""
        return cls(**{name: value / ONE for name, value in drives.items()})


assert Drives._fields == DRIVES, "species' drives and the contract's are the same, in the same order"


def compiled(function: Callable) -> Callable:
    """Mark a `respond` to be compiled: the same body, some hundred times faster. It must be pure."""
    if getattr(function, "__name__", "") != "respond":
        raise SpeciesError("@compiled goes before def respond(self, see); respond_all is as fast by itself")
    function.umwelt_compiled = True  # type: ignore[attr-defined]
    return function


def dot(weights: Any, values: Any) -> Any:
    """The exact dot product of integers along the last axis, `int64`: the same in any batch, unlike that of floats."""
    first, second = np.asarray(weights), np.asarray(values)
    for operand in (first, second):
        if operand.dtype.kind not in "iub":
            raise SpeciesError(f"dot: {operand.dtype} is no integer: use see.raw, and whole weights")
    total = (first.astype(np.int64) * second.astype(np.int64)).sum(axis=-1)
    return int(total) if np.ndim(total) == 0 else total


def weighed(weights: Mapping[str, int] | Sequence[int]) -> list[tuple[int, int]]:
    """Weights by name, or one a stimulus, as `(index, weight)` of those that are not 0."""
    if isinstance(weights, Mapping):
        unknown = sorted(set(weights) - set(STIMULI))
        if unknown:
            raise no_stimulus(unknown[0])
        pairs = [(STIMULI.index(name), weight) for name, weight in weights.items()]
    else:
        if len(weights) != len(STIMULI):
            raise SpeciesError(f"dot: {len(weights)} weights for {len(STIMULI)} stimuli: give one each, or name them")
        pairs = list(enumerate(weights))
    if any(int(weight) != weight for _, weight in pairs):
        raise SpeciesError("dot: weights are whole numbers; 1024 may stand for 1")
    return [(at, int(weight)) for at, weight in pairs if weight]


def no_stimulus(name: str) -> SpeciesError:
    """The error of a species that looks for what nobody senses, with the nearest name."""
    near = difflib.get_close_matches(name, STIMULI, 1)
    hint = f'did you mean "{near[0]}"?' if near else f"use one of {', '.join(STIMULI)}"
    return SpeciesError(f'"{name}" is no stimulus: {hint}')


class Raw:
    """Stimuli as integers of 1/1024: a number each for one being, or `int64[rows]` each for many."""

    __slots__ = ("values",)

    def __init__(self) -> None:
        self.values: Any = None

    @property
    def all(self) -> np.ndarray:
        """All stimuli in order: `int64[41]`, or `int64[rows, 41]`."""
        return np.array(self.values, np.int64).T

    def __call__(self, name: str) -> Any:
        return getattr(self, name)

    def __getattr__(self, name: str) -> Any:
        raise no_stimulus(name)


class Sight:
    """Stimuli as floats from -1 to 1."""

    __slots__ = ("raw",)

    def __init__(self) -> None:
        self.raw = Raw()

    def dot(self, weights: Mapping[str, int] | Sequence[int]) -> Any:
        """The exact sum of integer weights times the integer stimuli, by name or one each."""
        pairs, values = weighed(weights), self.raw.values
        nothing = values[0] * 0  # a number or an array, as the stimuli are
        return sum((weight * values[at] for at, weight in pairs), nothing)

    def __getattr__(self, name: str) -> Any:
        raise no_stimulus(name)


for _at, _name in enumerate(STIMULI):
    setattr(Raw, _name, property(lambda raw, at=_at: raw.values[at]))  # type: ignore[misc]
    setattr(Sight, _name, property(lambda see, at=_at: see.raw.values[at] / ONE))  # type: ignore[misc]


@kernel
def draw_rows(ids, seed, tick, what, index, result):
    """One draw for each being."""
    for row in range(len(ids)):
        result[row] = draw(seed, tick, ids[row], what, index)


def dice_purpose(cls: type) -> int:
    """What the dice of a species are keyed by, beside seed, tick and being: its name."""
    return purpose(f"species.{cls.__name__}")


class Dice:
    """The dice of one being, or of many, in one tick: each throw counts on."""

    __slots__ = ("ids", "index", "purpose", "seed", "tick")

    def __init__(self, seed: int, tick: int, purpose: int):
        self.seed, self.tick, self.purpose = seed, tick, purpose
        self.ids: Any = 0
        self.index = 0

    def of(self, ids: Any) -> None:
        """Begin anew, for a being (`int`) or many (`int64[rows]`)."""
        self.ids, self.index = ids, 0

    def _drawn(self) -> Any:
        index, self.index = self.index, self.index + 1
        if isinstance(self.ids, int):
            with np.errstate(over="ignore"):
                return int(draw(self.seed, self.tick, self.ids, self.purpose, index))
        result = np.empty(len(self.ids), np.int64)
        call(draw_rows, self.ids, self.seed, self.tick, self.purpose, index, result)
        return result

    def __call__(self) -> Any:
        """A number from 0 up to, but not, 1."""
        return (self._drawn() >> (63 - FLOAT_BITS)) * _UNIT

    def integer(self, limit: int) -> Any:
        """A whole number from 0 to `limit - 1`."""
        return below(self._drawn(), checked_limit(limit))


def checked_limit(limit: int) -> int:
    """The number of sides of a die."""
    if not 1 <= limit <= 1 << 31:
        raise SpeciesError(f"dice.integer({limit}): use 1 to 2^31")
    return limit


def to_border(answers: Any, name: str, drive: int, beings: int) -> np.ndarray:
    """A drive of many beings as the laws take it, `int16[beings]`: rounded to 1/1024 and clamped to -1 .. 1.

    One number may stand for all of them; `int16[]` then.
    """
    try:
        values = np.asarray(answers)
    except (TypeError, ValueError):  # lists of different lengths
        values = np.empty(0, object)
    if values.dtype.kind not in "iubf":
        raise SpeciesError(f"species {name}: its drive {DRIVES[drive]} is one number from -1 to 1 a being")
    if values.shape not in ((), (beings,)):
        line = f"its drive {DRIVES[drive]} has {values.shape} numbers for {beings} beings: give each one number"
        raise SpeciesError(f"species {name}: {line}")
    values = values.astype(np.float64)
    if np.isnan(values).any():
        raise no_number(name, drive)
    return np.rint(np.clip(values, -1.0, 1.0) * ONE).astype(np.int16)


def no_number(name: str, drive: int) -> SpeciesError:
    """The error of a species that answers with what is not a number."""
    return SpeciesError(f"species {name}: its drive {DRIVES[drive]} is not a number: it divides by nothing somewhere")


def failed(name: str, error: BaseException) -> SpeciesError:
    """The error of a species whose own code raised one, with the line where it did so."""
    ours = Path(__file__).parent
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename).parent != ours]
    its = [frame for frame in frames if frame.name in ("respond", "respond_all")]
    where = f" at {its[-1].filename}:{its[-1].lineno}" if its else ""
    return SpeciesError(one_line(f"species {name}: its answer failed{where}: {type(error).__name__}: {error}"))


def whole_for(value: Any, dtype: Any, name: str, attribute: str) -> np.ndarray:
    """A value as a species' column takes it: floats are cut to whole numbers as `int()` does; it must fit."""
    limits = np.iinfo(dtype)
    array = np.asarray(value)
    if array.dtype.kind not in "iubf":
        raise SpeciesError(f"species {name}: {attribute} is an integer column and cannot hold {one_line(repr(value))}")
    if array.dtype.kind == "f":
        array = np.trunc(array)
    # written so that what is not a number fails too
    if not ((array >= limits.min) & (array <= limits.max)).all():
        line = f"species {name}: {attribute} holds {limits.min} to {limits.max}, not {value!r}"
        raise SpeciesError(one_line(line))
    return array.astype(dtype)


def own_columns_of(cls: type) -> dict[str, Column]:
    """The columns that a species and its ancestors declare, by name."""
    found = {}
    for ancestor in reversed(cls.__mro__):
        found.update({name: value for name, value in vars(ancestor).items() if isinstance(value, Column)})
    return found


def undeclared(name: str, attribute: str) -> SpeciesError:
    """The error of a species that remembers what no column holds."""
    return SpeciesError(
        f"species {name}: sets {attribute} within a tick, which is no column of its own and would be lost: "
        f'declare {attribute} = Column("int16") in the class'
    )

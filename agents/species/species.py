"""The API for species written in Python: `Drives`, `Column`, `compiled`, `dot`, stimuli and dice.

    class Shy(Monster):
        fear = Column("int16", inherited=True)

        def respond(self, see):
            self.fear = 100 if see.touch > 0 else self.fear // 2
            return Drives(turn=-see.other_bearing, thrust=0.8)

`see.other_bearing` is a float from -1 to 1, and `see.raw.other_bearing` the same stimulus as an integer in 1/1024.
`see.dot(weights)` is an exact sum of products of integers. Attributes of `self` are the columns of the being; those
that the class declares can be assigned. `self.dice()` is a random float in [0, 1) and `self.dice.integer(6)` a random
integer in 0 .. 5; both have the same value on every node that computes this being.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypedDict, TypeVar, Unpack, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from umwelt.agents.body.interface import DRIVES, STIMULI
from umwelt.sandbox import columns
from umwelt.sandbox.dice import DRAW_BITS, below, draw, purpose
from umwelt.sandbox.errors import SpeciesError
from umwelt.sandbox.kernel import call, kernel
from umwelt.sandbox.text import one_line, suggest
from umwelt.sandbox.units import ONE

COLUMN_DTYPES = ("int8", "int16", "int32")
MAX_COLUMN_WIDTH = 1 << 16
FLOAT_BITS = 53
"""The number of bits of the significand of a float."""
CHANCE_SHIFT = DRAW_BITS - FLOAT_BITS
"""The number of low bits dropped from a random integer, so that a float represents the others exactly."""
CHANCE_UNIT = 2.0**-FLOAT_BITS
"""The factor that converts the other bits to a float in [0, 1)."""
MAX_DICE_SIDES = 1 << 31

IntegerArray = NDArray[np.integer[Any]]
DriveValue = float | NDArray[Any]
"""A drive: one number, or (from `respond_all`) an array with one number for each being."""
Value = TypeVar("Value")
Float = TypeVar("Float")
Integer = TypeVar("Integer")
Function = TypeVar("Function", bound=Callable[..., Any])


class Column(Generic[Value]):
    """A species-defined column: an integer, or an array of integers, that every being of a species stores.

    It is declared in the body of the class of the species:

        class Shy(Monster):
            fear = Column("int16", inherited=True)      # self.fear is an int
            path = Column("int32", width=8)             # self.path is an int64[8] array

    `dtype` is "int8", "int16" or "int32". With `width` 0 (the default) the column holds one number, otherwise an array
    of `width` numbers. A founder begins with `default`; a newborn begins with the value of its parent if the column is
    `inherited`, otherwise with `default`. `unit` is descriptive text. Columns are part of snapshots, of digests and of
    the messages by which nodes copy beings to each other; a species can keep no other state from tick to tick.

    Assigned floats are truncated. Raises SpeciesError if an argument is not valid, and on assignment of a value that
    does not fit the dtype.
    """

    @overload
    def __init__(
        self: "Column[int]", dtype: str = "int16", *, default: int = 0, inherited: bool = False, unit: str = ""
    ) -> None: ...

    @overload
    def __init__(
        self: "Column[IntegerArray]",
        dtype: str = "int16",
        *,
        width: int,
        default: int = 0,
        inherited: bool = False,
        unit: str = "",
    ) -> None: ...

    def __init__(
        self, dtype: str = "int16", *, default: int = 0, inherited: bool = False, width: int = 0, unit: str = ""
    ) -> None:
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
        if not isinstance(width, int) or not 0 <= width <= MAX_COLUMN_WIDTH:
            raise SpeciesError(one_line(f"Column({dtype!r}, width={width!r}): use a width of 0 to {MAX_COLUMN_WIDTH}"))
        self.dtype, self.default, self.inherited, self.width, self.unit = dtype, int(default), inherited, width, unit
        self.name = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, being: None, owner: type | None = None) -> "Column[Value]": ...

    @overload
    def __get__(self, being: object, owner: type | None = None) -> Value: ...

    def __get__(self, being: Any, owner: type | None = None) -> Any:
        return self if being is None else being._read(self.name)

    @overload
    def __set__(self: "Column[int]", being: object, value: float) -> None: ...

    @overload
    def __set__(self: "Column[IntegerArray]", being: object, value: ArrayLike) -> None: ...

    def __set__(self, being: Any, value: Any) -> None:
        being._write(self.name, value)

    def table_column(self) -> columns.Column:
        """Returns this declaration as a `columns.Column`, which describes a column of the monsters table."""
        return columns.Column(
            self.name, self.dtype, unit=self.unit, width=self.width, default=self.default, inherited=self.inherited
        )


class _Drives(NamedTuple):
    """The fields of `Drives`, in the order of the laws' drives."""

    turn: DriveValue = 0.0
    thrust: DriveValue = 0.0
    bite: DriveValue = 0.0
    graze: DriveValue = 0.0
    drink: DriveValue = 0.0
    grow: DriveValue = 0.0
    breed: DriveValue = 0.0
    rest: DriveValue = 0.0
    blink: DriveValue = 0.0
    musk_drive: DriveValue = 0.0
    alarm_drive: DriveValue = 0.0


class _RawDrives(TypedDict, total=False):
    """The keyword arguments of `Drives.raw`, for type checkers."""

    turn: DriveValue
    thrust: DriveValue
    bite: DriveValue
    graze: DriveValue
    drink: DriveValue
    grow: DriveValue
    breed: DriveValue
    rest: DriveValue
    blink: DriveValue
    musk_drive: DriveValue
    alarm_drive: DriveValue


class Drives(_Drives):
    """The drives of one being or of many in one tick; the return value of `respond` and `respond_all`.

        Drives(turn=-see.other_bearing, thrust=0.8)

    Each drive is a number from -1 to 1, or (from `respond_all`) an array `float[beings]`; omitted drives are 0. Values
    are rounded to 1/1024 and clamped. `turn` is 1 for an eighth turn to the right and negative to the left; a negative
    value of any other drive counts as 0.
    """

    __slots__ = ()

    @classmethod
    def raw(cls, **drives: Unpack[_RawDrives]) -> "Drives":
        """Creates drives from integers in units of 1/1024: `Drives.raw(thrust=512)` is `Drives(thrust=0.5)`."""
        return cls(**{name: value / ONE for name, value in drives.items()})  # type: ignore[operator]


assert Drives._fields == DRIVES, "the drives of a species and those of the laws are the same, in the same order"


def compiled(function: Function) -> Function:
    """Decorates a `respond` method, which numba then compiles; this makes it about a hundred times faster.

        @compiled
        def respond(self, see):
            return Drives(turn=-see.other_bearing, thrust=0.8)

    The body may use arithmetic, conditions, loops, `self.name` for columns that hold one number, `see.name`,
    `see.raw.name`, `see.dot(WEIGHTS)` with weights defined outside the body, `self.dice` and functions that numba can
    compile. Raises SpeciesError if the function is not called `respond`.
    """
    if getattr(function, "__name__", "") != "respond":
        raise SpeciesError("@compiled: write it before def respond(self, see); respond_all needs no compilation")
    function.umwelt_compiled = True  # type: ignore[attr-defined]
    return function


@overload
def dot(weights: Sequence[int], values: Sequence[int]) -> int:
    """Returns the dot product of two one-dimensional sequences of integers."""


@overload
def dot(weights: ArrayLike, values: ArrayLike) -> Any:
    """Returns an int for one-dimensional arguments, otherwise an `int64` array of dot products along the last axis."""


def dot(weights: Any, values: Any) -> Any:
    """Returns the exact dot product of integers along the last axis: an `int` or an `int64` array.

    Unlike a dot product of floats, the result does not depend on the order of summation, and therefore not on how many
    beings are computed in one call. Raises SpeciesError for floats.
    """
    first, second = np.asarray(weights), np.asarray(values)
    for operand in (first, second):
        if operand.dtype.kind not in "iub":
            raise SpeciesError(f"dot: {operand.dtype} is not an integer type: use see.raw, and whole weights")
    total = (first.astype(np.int64) * second.astype(np.int64)).sum(axis=-1)
    return int(total) if np.ndim(total) == 0 else total


def nonzero_weights(weights: Mapping[str, int] | Sequence[int]) -> list[tuple[int, int]]:
    """Returns the nonzero weights as pairs (index of the stimulus in `STIMULI`, weight).

    `weights` maps names of stimuli to whole numbers, or is a sequence with one whole number for each stimulus in the
    order of `STIMULI`. Raises SpeciesError for an unknown name, a sequence of another length, or a weight that is not
    whole.
    """
    if isinstance(weights, Mapping):
        unknown = sorted(set(weights) - set(STIMULI))
        if unknown:
            raise unknown_stimulus_error(unknown[0])
        pairs = [(STIMULI.index(name), weight) for name, weight in weights.items()]
    else:
        if len(weights) != len(STIMULI):
            raise SpeciesError(f"dot: {len(weights)} weights for {len(STIMULI)} stimuli: give one each, or name them")
        pairs = list(enumerate(weights))
    if any(int(weight) != weight for _, weight in pairs):
        raise SpeciesError("dot: weights must be whole numbers: scale them, as in 1024 for 1.0")
    return [(index, int(weight)) for index, weight in pairs if weight]


def unknown_stimulus_error(name: str) -> SpeciesError:
    """Returns the error for a stimulus `name` that does not exist; its message suggests the most similar name."""
    hint = suggest(name, STIMULI, f"use one of {', '.join(STIMULI)}")
    return SpeciesError(f'"{name}" is not a stimulus: {hint}')


class StimulusValues(Generic[Value]):
    """Attributes with the value of each stimulus; `STIMULI` in `body/interface.py` describes the stimuli."""

    __slots__ = ()

    light_left: Value
    water_left: Value
    plant_left: Value
    carrion_left: Value
    aroma_left: Value
    musk_left: Value
    alarm_left: Value
    heat_left: Value
    body_left: Value
    light_ahead: Value
    water_ahead: Value
    plant_ahead: Value
    carrion_ahead: Value
    aroma_ahead: Value
    musk_ahead: Value
    alarm_ahead: Value
    heat_ahead: Value
    body_ahead: Value
    light_right: Value
    water_right: Value
    plant_right: Value
    carrion_right: Value
    aroma_right: Value
    musk_right: Value
    alarm_right: Value
    heat_right: Value
    body_right: Value
    touch: Value
    other_bearing: Value
    other_distance: Value
    other_size: Value
    other_kinship: Value
    hunger: Value
    thirst: Value
    breath: Value
    fatigue: Value
    dry_eyes: Value
    pain: Value
    warmth: Value
    age: Value
    one: Value

    if not TYPE_CHECKING:  # type checkers report unknown names without it

        def __getattr__(self, name: str) -> Any:
            raise unknown_stimulus_error(name)


class RawStimuli(StimulusValues[Integer]):
    """Stimuli as integers in units of 1/1024: each is an `int` for one being, `int64[beings]` for many."""

    __slots__ = ("values",)

    values: Any
    """The numbers or arrays of all stimuli, in the order of `STIMULI`."""

    def __init__(self) -> None:
        self.values = None

    @property
    def all(self) -> NDArray[np.int64]:
        """All stimuli in the order of `STIMULI`: `int64[stimuli]` for one being, `int64[beings, stimuli]` for many."""
        return np.array(self.values, np.int64).T

    def __call__(self, name: str) -> Integer:
        """Returns the stimulus called `name`, in units of 1/1024."""
        value: Integer = getattr(self, name)
        return value


class _AnyStimuli(StimulusValues[Float], Generic[Float, Integer]):
    """Stimuli as floats from -1 to 1; `raw` holds the same stimuli as integers in units of 1/1024."""

    __slots__ = ("raw",)

    raw: RawStimuli[Integer]

    def __init__(self) -> None:
        self.raw = RawStimuli()

    def dot(self, weights: Mapping[str, int] | Sequence[int]) -> Integer:
        """Returns the exact sum of `weights` times raw stimuli (integers in units of 1/1024).

        `weights` maps names of stimuli to whole numbers, or holds one whole number for each stimulus in the order of
        `STIMULI`. Raises SpeciesError if `weights` are not valid.
        """
        pairs, values = nonzero_weights(weights), self.raw.values
        zero = values[0] * 0  # an int or an array of the stimuli's shape
        return sum((weight * values[index] for index, weight in pairs), zero)


class Stimuli(_AnyStimuli[float, int]):
    """The stimuli of one being, parameter `see` of `respond`: `see.hunger` is a float, `see.raw.hunger` an int."""

    __slots__ = ()


class StimulusColumns(_AnyStimuli[NDArray[np.float64], NDArray[np.int64]]):
    """The stimuli of many beings, parameter `see` of `respond_all`: `see.hunger` is `float64[beings]`.

    `see.raw.hunger` is `int64[beings]`. The arrays are read-only.
    """

    __slots__ = ()


for _index, _name in enumerate(STIMULI):
    setattr(RawStimuli, _name, property(lambda raw, index=_index: raw.values[index]))  # type: ignore[misc]
    setattr(_AnyStimuli, _name, property(lambda see, index=_index: see.raw.values[index] / ONE))  # type: ignore[misc]


@kernel
def draw_rows(ids, seed, tick, what, index, result):
    """Fills `result: int64[beings]` with the random number of each being for purpose `what` and `index`."""
    for row in range(len(ids)):
        result[row] = draw(seed, tick, ids[row], what, index)


def dice_purpose(cls: type) -> int:
    """Returns the purpose, an int derived from the name of `cls`, which distinguishes this species' random numbers."""
    return purpose(f"species.{cls.__name__}")


class _AnyDice(Generic[Float, Integer]):
    """Random numbers, each computed from seed, tick, the being's id, purpose and `index` alone.

    `index` is the number of calls since `reset`.
    """

    __slots__ = ("ids", "index", "purpose", "seed", "tick")

    def __init__(self, seed: int, tick: int, purpose: int):
        self.seed, self.tick, self.purpose = seed, tick, purpose
        self.ids: Any = 0
        self.index = 0

    def reset(self, ids: Any) -> None:
        """Sets `index` to 0, for the being or beings whose ids are `ids`: an `int` or `int64[beings]`."""
        self.ids, self.index = ids, 0

    def _draw(self) -> Any:
        """Returns the next random number, 0 to 2^63 - 1: an `int` or `int64[beings]`. Increments `index`."""
        index, self.index = self.index, self.index + 1
        if isinstance(self.ids, int):
            with np.errstate(over="ignore"):
                return int(draw(self.seed, self.tick, self.ids, self.purpose, index))
        result = np.empty(len(self.ids), np.int64)
        call(draw_rows, self.ids, self.seed, self.tick, self.purpose, index, result)
        return result

    def __call__(self) -> Float:
        """Returns a random float in [0, 1), or an array with one for each being."""
        value: Float = (self._draw() >> CHANCE_SHIFT) * CHANCE_UNIT
        return value

    def integer(self, limit: int) -> Integer:
        """Returns a random integer from 0 to `limit` - 1, or an array with one for each being.

        Raises SpeciesError unless `limit` is 1 to 2^31.
        """
        if not 1 <= limit <= MAX_DICE_SIDES:
            raise SpeciesError(f"dice.integer({limit}): use 1 to 2^31")
        value: Integer = below(self._draw(), limit)
        return value


class Dice(_AnyDice[float, int]):
    """Random numbers of one being in one tick; `self.dice` in `respond`."""

    __slots__ = ()


class DiceColumns(_AnyDice[NDArray[np.float64], NDArray[np.int64]]):
    """Random numbers of many beings in one tick, arrays with one number for each being; `me.dice` in `respond_all`."""

    __slots__ = ()


def declared_columns(cls: type) -> dict[str, Column[Any]]:
    """Returns the `Column` declarations of a species class and its base classes, by name."""
    declared: dict[str, Column[Any]] = {}
    for base in reversed(cls.__mro__):
        declared.update({name: value for name, value in vars(base).items() if isinstance(value, Column)})
    return declared

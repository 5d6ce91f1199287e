"""The types of what a connection returns.

Answers that arrive as JSON are dictionaries with known keys (`TypedDict`); beings by column are `Rows`. Every answer is
checked against its type when it arrives: a gateway that sends something else is a `RunError`, never a wrong value.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NotRequired, TypedDict, TypeVar, cast

import msgspec
import numpy as np

T = TypeVar("T")

Cells = Sequence[int]
"""A rectangle of cells: y, x, height, width. It may reach over the seams of the torus."""

Counts = dict[str, dict[str, int]]
"""How many beings live: by table ("plants", "monsters"), then by species."""


def check_shape(value: object, shape: type[T]) -> T:
    """Returns `value` unchanged. Raises msgspec.ValidationError if it does not have this shape, mostly a TypedDict."""
    msgspec.convert(value, shape, strict=True)
    return cast(T, value)


@dataclass(frozen=True, eq=False)
class Rows(Mapping[str, np.ndarray]):
    """Beings as columns: `rows["sugar_count"]` is an array with one entry a being, in ascending order of `id`.

    A mapping of column names to arrays, so `pandas.DataFrame(dict(rows))` works where no column has several entries a
    being. `tick` is when the answer was true; `total` counts the beings that meet the conditions, which can be more
    than the rows that were asked for.
    """

    tick: int
    total: int
    columns: Mapping[str, np.ndarray]

    def __getitem__(self, name: str) -> np.ndarray:
        return self.columns[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns)

    def __len__(self) -> int:
        """The number of columns; `count` is the number of rows."""
        return len(self.columns)

    @property
    def count(self) -> int:
        """The number of rows."""
        return len(self.columns["id"])


class FetchedBeing(TypedDict):
    """All that the world holds of one being."""

    kind: str
    """The table that it is in: "plants", "monsters" or another of the world's."""
    id: int
    tick: int
    y_fixed: int
    """In 1/1024 of a cell, as `x_fixed`."""
    x_fixed: int
    row: dict[str, int | list[int] | bytes]
    """The columns that a copy needs, as the commands `spawn` and `move` take them."""
    columns: dict[str, int | list[int]]
    """All columns that are carried from tick to tick, by name; a column of several parts under its parts' names."""
    held: list[int] | None
    """The drives that a person has set for the body (`drive`); None for a body that acts by its own."""
    species: NotRequired[str]
    stimuli: NotRequired[dict[str, int]]
    """What it sensed in its last tick; 1024 is 1."""
    drives: NotRequired[dict[str, int]]
    """What it did in its last tick; 1024 is 1."""


class NodeStatus(TypedDict):
    """One node of a running world."""

    name: str
    pid: int
    host: str
    rectangle: list[int] | None
    """The cells that it owns (y, x, height, width); None as long as it owns none."""
    tick: int
    entities: int
    ticks_per_s: float
    waiting_share: float
    """The share of its time that it waits for neighbours, 0 to 1."""
    round_trip_s: float
    resident_bytes: int
    state: str
    """"ready" or "loading"."""


class MetricsStatus(TypedDict):
    """The world's numbers at its last recorded tick."""

    tick: int
    digest: str
    births: int
    """Since tick 0, as `deaths`."""
    deaths: int
    populations: Counts
    substances: dict[str, int]
    """Molecules by substance."""


class Event(TypedDict):
    """Something that happened to the cluster: a node that joined or left, a snapshot that failed."""

    tick: int
    line: str


class Status(TypedDict):
    """The state of a running world; `umwelt status --json` prints the same."""

    world: str
    run: str
    """The run's folder on the coordinator's machine."""
    phase: str
    tick: int
    granted: int
    """The tick through which nodes may run."""
    epoch: int
    """How often the map of nodes has changed."""
    ticks_per_exchange: int
    paused: bool
    speed: float
    """The limit in ticks a second; 0 for none."""
    snapshot_tick: int
    nodes: list[NodeStatus]
    metrics: MetricsStatus | None
    events: list[Event]


class Snapshot(TypedDict):
    """A snapshot of a run."""

    tick: int
    kept: bool
    """True if it was asked for, and so is never removed."""


class Metrics(TypedDict):
    """The journalled numbers of a run over time; all lists have an entry a tick of `ticks`."""

    ticks: list[int]
    births: list[int]
    """Since tick 0, as `deaths`."""
    deaths: list[int]
    populations: dict[str, dict[str, list[int]]]
    """By table, then by species."""
    substances: dict[str, list[int]]


class Births(TypedDict):
    """A page of births, in order of their ticks; all arrays have an entry a birth.

    `next` and `after` are the arguments `since` and `after` for the page that follows.
    """

    id: np.ndarray
    parent_id: np.ndarray
    tick: np.ndarray
    y: np.ndarray
    x: np.ndarray
    species: np.ndarray
    """Index into `Connection.species`; -1 if it is unknown."""
    marker_a: np.ndarray
    """Three genes that no law looks at, as `marker_b` and `marker_c`; 0 where genomes have none."""
    marker_b: np.ndarray
    marker_c: np.ndarray
    more: bool
    """Whether births follow that the page had no room for."""
    next: int
    after: int


class Relative(TypedDict):
    """The birth of an ancestor or a child; `y` and `x` in cells, `species` by name."""

    id: int
    parent_id: int
    tick: int
    species: str
    y: int
    x: int


class Family(TypedDict):
    """The journalled relatives of a being: ancestors from its parent upwards, children from the eldest on."""

    ancestors: list[Relative]
    children: list[Relative]


class SpeciesCensus(TypedDict):
    """The living of one species: how many, and means of their columns."""

    table: str
    count: int
    means: dict[str, float]


class Census(TypedDict):
    """The living of all species at a tick."""

    tick: int
    species: dict[str, SpeciesCensus]
    whole: bool
    """False where a node holds more beings than it can count at once: counts and means are of a part of them then."""


class Heatmap(TypedDict):
    """Sums over squares of cells at a tick."""

    tick: int
    of: str
    """A species, a table or a layer."""
    cell: int
    """The side of a square in cells."""
    rectangle: list[int]
    """y, x, height, width."""
    values: np.ndarray
    """`int64[rows, columns]`: beings counted, or a layer summed up."""


class NearestBeing(TypedDict):
    """The being that `nearest` found; places and the distance `cells` in cells."""

    id: int
    y: float
    x: float
    cells: float


class Nearest(TypedDict):
    """The nearest being of a species at a tick; `being` is None if none lives."""

    tick: int
    species: str
    being: NearestBeing | None


class LivingRelative(Relative):
    """An ancestor or a child, and whether it lives."""

    lives: bool


class Lineage(TypedDict):
    """The relatives of a being, and which of them live at a tick."""

    tick: int
    being: int
    lives: bool
    ancestors: list[LivingRelative]
    children: list[LivingRelative]

"""The types of the values that a connection returns.

Answers that arrive as JSON are dictionaries with known keys (`TypedDict`); beings by column are `Rows`. Every answer is
checked against its type when it arrives; a malformed answer raises `RunError`.

Words in this file: a *table* contains the beings of one kind ("plants", "monsters"); a *node* is a process that
computes a rectangle of the world, and its *halo* the copy of its neighbours' cells around that rectangle; the *journal*
is the run's record of births and measurements. *Stimuli* are the inputs of a being's behaviour, *drives* the outputs.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NotRequired, TypedDict, TypeVar, cast

import msgspec
import numpy as np

T = TypeVar("T")

Cells = Sequence[int]
"""A rectangle of cells: y, x, height, width. It can extend across the edges of the torus."""

Counts = dict[str, dict[str, int]]
"""Numbers of living beings by table ("plants", "monsters"), then by species."""


def check_shape(value: object, shape: type[T]) -> T:
    """Returns `value`, typed as `shape` (such as a TypedDict). Raises msgspec.ValidationError if it does not match."""
    msgspec.convert(value, shape, strict=True)
    return cast(T, value)


@dataclass(frozen=True, eq=False)
class Rows(Mapping[str, np.ndarray]):
    """Beings as a mapping of columns: `rows["sugar_count"]` is an array with one entry per being, ordered by `id`.

    `pandas.DataFrame(dict(rows))` works if no column has several entries per being. `tick` is the tick of the world
    state; `total` is the number of beings that meet the conditions, which can exceed the number of rows returned.
    """

    tick: int
    total: int
    columns: Mapping[str, np.ndarray]

    def __getitem__(self, name: str) -> np.ndarray:
        return self.columns[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns)

    def __len__(self) -> int:
        """Returns the number of columns; `count` is the number of rows."""
        return len(self.columns)

    @property
    def count(self) -> int:
        """The number of rows."""
        return len(self.columns["id"])


class FetchedBeing(TypedDict):
    """All data of one being at a tick."""

    kind: str
    """Table that contains the being: "plants", "monsters" or another table of the world."""
    id: int
    tick: int
    y_fixed: int
    """Position in 1/1024 of a cell, as is `x_fixed`."""
    x_fixed: int
    row: dict[str, int | list[int] | bytes]
    """The columns that the commands `spawn` and `move` need in order to create a copy of the being."""
    columns: dict[str, int | list[int]]
    """All columns that persist from tick to tick, by name; the parts of a multi-part column have separate names."""
    held: list[int] | None
    """The drives that apply because of the command `drive`, in 1/1024: one per drive; None without such a command."""
    species: NotRequired[str]
    stimuli: NotRequired[dict[str, int]]
    """Stimuli of the last tick, in 1/1024."""
    drives: NotRequired[dict[str, int]]
    """Drives of the last tick, in 1/1024."""


class NodeStatus(TypedDict):
    """The status of one node of a running world."""

    name: str
    pid: int
    host: str
    rectangle: list[int] | None
    """The cells that the node owns (y, x, height, width); None while it owns no cells."""
    tick: int
    entities: int
    """Number of the node's beings, including those in its halo."""
    ticks_per_s: float
    waiting_share: float
    """Share of time that the node spends waiting for messages from neighbours, 0 to 1."""
    round_trip_s: float
    """Round-trip time of messages to neighbouring nodes; 0 if unknown."""
    resident_bytes: int
    """Resident memory of the node's process."""
    state: str
    """"ready" or "loading"."""


class MetricsStatus(TypedDict):
    """The measurements of the world at its last recorded tick."""

    tick: int
    digest: str
    """Digest of the world's state, as 16 hexadecimal digits."""
    births: int
    """Total since tick 0, as is `deaths`."""
    deaths: int
    populations: Counts
    substances: dict[str, int]
    """Numbers of molecules by substance."""


class Event(TypedDict):
    """An event of the cluster, such as a node that joined or left or a snapshot that failed; `line` describes it."""

    tick: int
    line: str


class Status(TypedDict):
    """The status of a running world; `umwelt status --json` prints the same content.

    The coordinator is the process that divides the world among the nodes; `ticks_per_exchange` is the number of ticks
    that nodes compute between two exchanges of halos.
    """

    world: str
    run: str
    """The run's folder on the coordinator's machine."""
    phase: str
    """"gathering", "dividing", "assigning", "running", "settling" or "resting"; nodes compute only while "running"."""
    tick: int
    granted: int
    """The tick through which nodes are permitted to run."""
    epoch: int
    """Number of the present division of the world among the nodes."""
    ticks_per_exchange: int
    paused: bool
    speed: float
    """Speed limit in ticks per second; 0 for no limit."""
    snapshot_tick: int
    """Tick of the newest complete snapshot."""
    nodes: list[NodeStatus]
    metrics: MetricsStatus | None
    events: list[Event]


class Snapshot(TypedDict):
    """A snapshot of a run: the complete state of the world at `tick`, saved on disk."""

    tick: int
    kept: bool
    """Whether the snapshot was requested by `save`; such snapshots are never removed."""


class Metrics(TypedDict):
    """Measurements of a run over time, from the journal; all lists have one entry per entry of `ticks`."""

    ticks: list[int]
    births: list[int]
    """Totals since tick 0, as are `deaths`."""
    deaths: list[int]
    populations: dict[str, dict[str, list[int]]]
    """Numbers of living beings by table, then by species."""
    substances: dict[str, list[int]]


class Births(TypedDict):
    """A page of births, ordered by tick; all arrays have one entry per birth; `y` and `x` are in cells.

    `next` and `after` are the arguments `since` and `after` for the next page.
    """

    id: np.ndarray
    parent_id: np.ndarray
    tick: np.ndarray
    y: np.ndarray
    x: np.ndarray
    species: np.ndarray
    """Index into `Connection.species`; -1 if unknown."""
    marker_a: np.ndarray
    """The first of three marker genes, which have no effect on the being; 0 if the genome has no markers."""
    marker_b: np.ndarray
    marker_c: np.ndarray
    more: bool
    """Whether more births are already available, which did not fit into this page."""
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
    """The relatives of a being in the journal: ancestors, parent first, and children, eldest first."""

    ancestors: list[Relative]
    children: list[Relative]


class SpeciesCensus(TypedDict):
    """The number of living beings of one species, and means of their columns."""

    table: str
    count: int
    means: dict[str, float]


class Census(TypedDict):
    """Counts and means of the living beings of all species at a tick."""

    tick: int
    species: dict[str, SpeciesCensus]
    whole: bool
    """False if a node has more beings than one task can process; counts and means then cover only some of them."""


class Heatmap(TypedDict):
    """Numbers of beings, or sums of a layer (a quantity with one value per cell), in squares of cells at a tick."""

    tick: int
    of: str
    """Name of the species, table or layer that was counted or summed."""
    cell: int
    """Side length of a square in cells."""
    rectangle: list[int]
    """Mapped rectangle in cells: y, x, height, width."""
    values: np.ndarray
    """Number of beings, or sum of the layer, in each square: `int64[rows, columns]`."""


class NearestBeing(TypedDict):
    """The result of `nearest`: a being's id, its position, and its distance `cells`; all in cells."""

    id: int
    y: float
    x: float
    cells: float


class Nearest(TypedDict):
    """The nearest being of a species at a tick; `being` is None if the species has no living beings."""

    tick: int
    species: str
    being: NearestBeing | None


class LivingRelative(Relative):
    """The birth of an ancestor or a child, and whether that being is alive."""

    lives: bool


class Lineage(TypedDict):
    """The relatives of a being, and which of them are alive at `tick`.

    `lives` states whether the being itself is alive.
    """

    tick: int
    being: int
    lives: bool
    ancestors: list[LivingRelative]
    children: list[LivingRelative]

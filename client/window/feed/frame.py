"""The content of one drawn frame: filled by the feed (`feed.py`), read by the stage (`draw/stage.py`).

A table holds all beings of one kind, such as plants. A layer is a quantity of each cell, such as water. The `number` of
a part changes whenever its content changes. Arrays are float32 unless documented otherwise.
"""

from dataclasses import dataclass, field

import numpy as np

from umwelt.sandbox.region import Rectangle


@dataclass
class Swarm:
    """The beings of one table that are drawn as bodies, ordered by id; all arrays have one entry per being.

    `y` and `x` are in cells from the corner of `Frame.rectangle`, toward larger coordinates round the torus, so they
    are never negative. A being is drawn as moving from (`y_before`, `x_before`) to (`y`, `x`) within `Frame.glide_s`
    seconds from the time `since_s`.
    """

    table: str
    plant: bool
    """Whether the beings are plants, which do not move."""
    ids: np.ndarray
    """The beings' ids, `int64[n]`."""
    y: np.ndarray
    x: np.ndarray
    y_before: np.ndarray
    x_before: np.ndarray
    heading: np.ndarray
    """Heading in radians, from the x axis toward the y axis; `heading_before` is within half a turn of it."""
    heading_before: np.ndarray
    since_s: np.ndarray
    """The time at which each being's present movement began, on the clock of `Frame.now_s`."""
    columns: dict[str, np.ndarray] = field(default_factory=dict)
    """All further columns that the world sends of bodies, in its integer units: species, organs, genes, states."""
    corner: tuple[int, int] = (0, 0)
    """The cell (y, x) from which `y` and `x` count: the corner of `Frame.rectangle` when the swarm was built."""
    number: int = 0
    """A number that changes whenever the content changes."""

    def __len__(self) -> int:
        return len(self.ids)

    def column(self, name: str, default: float = 0.0) -> np.ndarray:
        """Returns a column as `float32[n]`, filled with `default` if the table does not have it."""
        if name not in self.columns:
            return np.full(len(self), default, np.float32)
        return self.columns[name].astype(np.float32)


@dataclass
class Dots:
    """The beings of all tables that are drawn as dots, one entry per being; `y` and `x` are as in `Swarm`."""

    y: np.ndarray
    x: np.ndarray
    species: np.ndarray
    """The number of the species, `uint8[n]`."""
    size: np.ndarray
    """The amount of tissue, `uint8[n]`."""
    table: np.ndarray
    """The index of the table in `Frame.tables`, `uint8[n]`."""
    number: int = 0


@dataclass
class Densities:
    """The number of beings of each species in each bin of 8 x 8 cells; `rectangle` lies on multiples of 8 cells."""

    rectangle: Rectangle
    counts: dict[tuple[str, int], np.ndarray] = field(default_factory=dict)
    """The counts, `int32[row of bins, column of bins]`, by (table, number of the species).

    The number is -1 for all beings of a table, in a world without species.
    """
    number: int = 0


@dataclass
class Plane:
    """The values of a layer: one for each `step` x `step` cells of `rectangle`; `step` is 8 when zoomed out, else 1."""

    rectangle: Rectangle
    step: int
    values: np.ndarray
    """The values, `int32[rows, columns]`."""
    number: int = 0


@dataclass
class Frame:
    """Everything that is drawn of the world.

    `rectangle` is the region that the feed subscribes to: slightly more than is in view. It may cross the seams of the
    torus.
    """

    rectangle: Rectangle
    tick: int = 0
    now_s: float = 0.0
    """The present time in seconds, on the same clock as `Swarm.since_s`."""
    glide_s: float = 0.05
    """The time in seconds in which beings move to new positions: the mean interval in which these arrive."""
    tables: list[str] = field(default_factory=list)
    """The names of the world's tables; `Dots.table` has indices into this list."""
    swarms: list[Swarm] = field(default_factory=list)
    dots: Dots | None = None
    densities: Densities | None = None
    planes: dict[str, Plane] = field(default_factory=dict)
    """By layer: the values of the layers that are drawn, as far as they have arrived."""

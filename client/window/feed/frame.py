"""What is drawn: filled by the feed, read by the stage. Arrays are float32 unless documented otherwise."""

from dataclasses import dataclass, field

import numpy as np

from umwelt.sandbox.region import Rectangle


@dataclass
class Swarm:
    """The beings of one table that are drawn as bodies, ordered by id.

    Places are in cells from the corner of `Frame.rectangle`, not wrapped: `y` goes from 0 to its height. A being glides
    from (`y_before`, `x_before`) to (`y`, `x`), from `since_s` on, for `Frame.glide_s` seconds.
    """

    table: str
    plant: bool
    ids: np.ndarray
    """`int64[n]`"""
    y: np.ndarray
    x: np.ndarray
    y_before: np.ndarray
    x_before: np.ndarray
    heading: np.ndarray
    """Radians, clockwise from the x axis; `heading_before` is within half a turn of it."""
    heading_before: np.ndarray
    since_s: np.ndarray
    columns: dict[str, np.ndarray] = field(default_factory=dict)
    """The other columns of body tiles, in the world's own units: species, organs, genes, states."""
    corner: tuple[int, int] = (0, 0)
    """The cell of the world that places are counted from: the corner of `Frame.rectangle` when this was made."""
    number: int = 0
    """Changes whenever the content changes."""

    def __len__(self) -> int:
        return len(self.ids)

    def column(self, name: str, default: float = 0.0) -> np.ndarray:
        """A column as `float32[n]`, or the default where the table has none."""
        if name not in self.columns:
            return np.full(len(self), default, np.float32)
        return self.columns[name].astype(np.float32)


@dataclass
class Dots:
    """The beings of all tables that are drawn as dots; places as in `Swarm`."""

    y: np.ndarray
    x: np.ndarray
    species: np.ndarray
    """`uint8[n]`"""
    size: np.ndarray
    """`uint8[n]`: the amount of tissue."""
    table: np.ndarray
    """`uint8[n]`: the index of the table in `Frame.tables`."""
    number: int = 0


@dataclass
class Densities:
    """How many beings of each species each bin of 8 x 8 cells holds; `rectangle` lies on multiples of 8 cells."""

    rectangle: Rectangle
    counts: dict[tuple[str, int], np.ndarray] = field(default_factory=dict)
    """`int32[bin, bin]` by table and species; species -1 is the whole table."""
    number: int = 0


@dataclass
class Plane:
    """A field: one value for each `step` x `step` cells of `rectangle`; `step` is 8 from far away, else 1."""

    rectangle: Rectangle
    step: int
    values: np.ndarray
    """`int32[rows, columns]`"""
    number: int = 0


@dataclass
class Frame:
    """Everything that is drawn of the world.

    `rectangle` is what the feed subscribes to: a little more than is in view. It may cross the seams of the torus.
    """

    rectangle: Rectangle
    tick: int = 0
    now_s: float = 0.0
    """The present, on the same clock as `Swarm.since_s`."""
    glide_s: float = 0.05
    tables: list[str] = field(default_factory=list)
    swarms: list[Swarm] = field(default_factory=list)
    dots: Dots | None = None
    densities: Densities | None = None
    planes: dict[str, Plane] = field(default_factory=dict)
    """By layer (elevation, water, detritus, scents ...): those that are subscribed to and have arrived."""

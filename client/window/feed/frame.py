"""What there is to draw: filled by the feed, read by the stage. Arrays are float32 unless said otherwise."""

from dataclasses import dataclass, field

import numpy as np

from umwelt.sandbox.region import Rectangle


@dataclass
class Swarm:
    """The beings of one table that are seen one by one, ordered by id.

    Places are in cells from the corner of `Frame.rectangle`, not wrapped: `y` from 0 to its height. A being glides from
    its place before to the present one, beginning at `since_s`, for `Frame.glide_s`.
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
    """Radians, clockwise from x (rows grow downward); `heading_before` is within half a turn of it."""
    heading_before: np.ndarray
    since_s: np.ndarray
    columns: dict[str, np.ndarray] = field(default_factory=dict)
    """All else that tiles of bodies tell, in the world's own units (`tiles.LOOKS`): species, organs, genes, states."""
    corner: tuple[int, int] = (0, 0)
    """The cell of the world that places are counted from: that of `Frame.rectangle` when it was made."""
    number: int = 0
    """Another one whenever anything of it is another."""

    def __len__(self) -> int:
        return len(self.ids)

    def column(self, name: str, default: float = 0.0) -> np.ndarray:
        """A column as `float32[n]`, or the default where the table has none."""
        if name not in self.columns:
            return np.full(len(self), default, np.float32)
        return self.columns[name].astype(np.float32)


@dataclass
class Dots:
    """Beings as dots, of all tables: places as in `Swarm`."""

    y: np.ndarray
    x: np.ndarray
    species: np.ndarray
    """`uint8[n]`"""
    size: np.ndarray
    """`uint8[n]`: tissue."""
    table: np.ndarray
    """`uint8[n]`: the number of the table in `Frame.tables`."""
    number: int = 0


@dataclass
class Densities:
    """How many of each species each bin of 8 x 8 cells holds, over `rectangle` (on multiples of 8 cells)."""

    rectangle: Rectangle
    counts: dict[tuple[str, int], np.ndarray] = field(default_factory=dict)
    """By table and species (-1: all of a table), `int32[bin, bin]`."""
    number: int = 0


@dataclass
class Plane:
    """A field: over `rectangle`, one value for each `step` x `step` cells (1, or 8 from far away)."""

    rectangle: Rectangle
    step: int
    values: np.ndarray
    """`int32[rows, columns]`"""
    number: int = 0


@dataclass
class Frame:
    """All of it. `rectangle` is what the feed watches: more than is in view; it may reach over the seams."""

    rectangle: Rectangle
    tick: int = 0
    now_s: float = 0.0
    """The clock of `Swarm.since_s`."""
    glide_s: float = 0.05
    tables: list[str] = field(default_factory=list)
    swarms: list[Swarm] = field(default_factory=list)
    dots: Dots | None = None
    densities: Densities | None = None
    planes: dict[str, Plane] = field(default_factory=dict)
    """By layer: elevation, water, detritus, scents ... as far as they are watched and have come."""

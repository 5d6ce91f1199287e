"""The runner of laws: one tick over one region, and many ticks of a world of one."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from umwelt.sandbox.chemistry import Chemistry
from umwelt.sandbox.columns import Schema
from umwelt.sandbox.errors import LawError
from umwelt.sandbox.region import SORT_EVERY_TICKS, Field, Region
from umwelt.sandbox.units import LIGHT_SPEED_CELLS


@dataclass(frozen=True)
class Law:
    """A rule of nature: a function on a region, and how many cells far its outcome depends on."""

    name: str
    reach: int
    run: Callable[[Region], None]


@dataclass(frozen=True)
class Laws:
    """A world's physics: its laws in order, what its cells and beings hold, and how its world files are read.

    `settings` is a msgspec Struct: the sections of the world file that these laws read. `layout(world)` gives the
    fields and the tables' schemas, `genesis(world, region)` fills an empty region that owns the torus and has no halo,
    and `prepare(world, region)` sets up, before the first tick in a process, what no snapshot carries (behaviours).
    `chemistry(world)` gives substances and elements where the world has such (a field `substance`, columns `counts`);
    `species(world)` names the species by their index.
    """

    name: str
    order: Sequence[Law]
    settings: type
    layout: Callable[[Any], tuple[Sequence[Field], Sequence[Schema]]]
    genesis: Callable[[Any, Region], None]
    prepare: Callable[[Any, Region], None] | None = None
    chemistry: Callable[[Any], Chemistry] | None = None
    species: Callable[[Any], Sequence[str]] | None = None

    def __post_init__(self) -> None:
        if self.light_speed > LIGHT_SPEED_CELLS:
            raise LawError(
                f"laws {self.name}: their reaches add up to {self.light_speed} cells a tick; at most "
                f"{LIGHT_SPEED_CELLS} are allowed: shorten one of {[(law.name, law.reach) for law in self.order]}"
            )

    def __iter__(self) -> Iterator[Law]:
        return iter(self.order)

    @property
    def light_speed(self) -> int:
        """How far one tick looks: the sum of the laws' reaches."""
        return sum(law.reach for law in self.order)


def step(region: Region, laws: Laws, between: Callable[[Law], None] | None = None) -> None:
    """Run one tick; the part of the window that is exact shrinks by each law's reach. `between` sees each law's end."""
    if region.margin_cells < laws.light_speed:
        raise LawError(
            f"{region.margin_cells} cells of halo are left at tick {region.tick}, {laws.light_speed} are needed"
        )
    for law in laws:
        region.margin_cells -= law.reach
        law.run(region)
        if between is not None:
            between(law)
    region.tick += 1
    region.controls.expire(region.tick)


def advance(region: Region, laws: Laws, ticks: int) -> None:
    """Carry on a region that owns the whole torus by `ticks`, pasting its own edges whenever its halo is used up."""
    for _ in range(ticks):
        if region.margin_cells < laws.light_speed:
            if region.tick % SORT_EVERY_TICKS == 0:
                region.sort()
            region.wrap()
        step(region, laws)

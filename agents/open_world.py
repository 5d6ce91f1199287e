"""Creates regions from a checked world file: generated at tick 0, or loaded from the state of a later tick.

A region (`sandbox.region.Region`) stores the cells and beings of a rectangle of the world, and the halo around it
(copies of the cells and beings there); laws run on regions. A piece (`sandbox.region.Piece`) is a copy of the cells and
beings of a rectangle.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np

from umwelt.agents import commands
from umwelt.agents.world_file import WorldFile
from umwelt.sandbox.controls import Controls
from umwelt.sandbox.region import Piece, Rectangle, Region, Torus
from umwelt.sandbox.step import advance
from umwelt.sandbox.text import prefix_errors

SMALL_SIDE_CELLS, SMALL_FOUNDER_COUNT = 64, 256
"""Upper bounds of the sides, and of the founders in each group, of the small copy that `try_small_world` makes."""


def torus_of(world: WorldFile) -> Torus:
    """Returns the size of the torus of a world, in cells."""
    return Torus(world.common.height, world.common.width)


def empty_region(world: WorldFile, owned: Rectangle, halo_cells: int, tick: int = 0) -> Region:
    """Returns a region with the fields and tables of a world, all empty, at the tick `tick`.

    The region owns the rectangle `owned`, with a halo of `halo_cells` on each side.
    """
    fields, schemas = world.laws.layout(world)
    region = Region(torus_of(world), owned, halo_cells, fields, schemas, world.common.seed, tick)
    if world.common.births:
        region.births = []
        if isinstance(world.common.births, str):
            region.births_of = frozenset((world.common.births,))
    return region


def generate_world(world: WorldFile) -> Region:
    """Returns a region with the full world at tick 0, filled by the genesis of its laws.

    The region has no halo, so it cannot run; pass its pieces to `open_region`.
    """
    region = empty_region(world, Rectangle(0, 0, *torus_of(world)), 0)
    with prefix_errors(world.source):
        world.laws.genesis(world, region)
    return region


def open_region(
    world: WorldFile,
    pieces: Iterable[Piece],
    constants: Mapping[str, np.ndarray],
    tick: int,
    ticks_per_exchange: int = 1,
    owned: Rectangle | None = None,
    controls: Controls | None = None,
) -> Region:
    """Returns a region that is ready to run from `tick`, loaded from pieces of the world at that tick.

    `owned` is the rectangle that the region owns, by default the full torus. `ticks_per_exchange` is the number of
    ticks between two exchanges of halos. `constants` are the integer tables that genesis computed, by name. `controls`
    are the reaction rates and drive overrides that commands have set before `tick`; None if there are none.
    """
    halo_cells = world.laws.light_speed * ticks_per_exchange
    region = empty_region(world, owned or Rectangle(0, 0, *torus_of(world)), halo_cells, tick)
    region.constants = dict(constants)
    if controls is not None:
        region.controls = commands.check_controls(world, controls).copy()
    region.load(pieces)
    if world.laws.prepare is not None:
        world.laws.prepare(world, region)
    return region


def begin(world: WorldFile, ticks_per_exchange: int = 1, owned: Rectangle | None = None) -> Region:
    """Generates a world and returns a region that is ready to run from tick 0.

    `ticks_per_exchange` and `owned` are those of `open_region`.
    """
    source = generate_world(world)
    return open_region(world, [source.cut(source.owned)], source.constants, 0, ticks_per_exchange, owned)


def try_small_world(world: WorldFile, ticks: int = 0) -> Region:
    """Makes a small copy of a world and runs it for `ticks` ticks, to find errors before the full world is allocated.

    Raises the errors of genesis and of the world's species. Running at least one tick compiles all kernels of the
    world, or loads them from the cache.
    """
    common = world.common
    small = msgspec.structs.replace(
        common, width=min(SMALL_SIDE_CELLS, common.width), height=min(SMALL_SIDE_CELLS, common.height)
    )
    region = begin(replace(world, common=small, settings=_reduce_founders(world.settings)))
    advance(region, world.laws, ticks)
    return region


def _reduce_founders(settings: Any) -> Any:
    """Returns `settings` with at most SMALL_FOUNDER_COUNT founders in each group; unchanged if it has no founders."""
    founders = getattr(settings, "founders", None)
    if not founders or not all(hasattr(group, "count") for group in founders):
        return settings
    reduced = [msgspec.structs.replace(group, count=min(group.count, SMALL_FOUNDER_COUNT)) for group in founders]
    return msgspec.structs.replace(settings, founders=reduced)

"""From a checked world file to a region that can run: for every world, at tick 0 or from pieces of a later one."""

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

SMALL_SIDE_CELLS, SMALL_FOUNDERS_COUNT = 64, 256
"""How large a world is tried before it is begun in full."""


def torus_of(world: WorldFile) -> Torus:
    """The world's size."""
    return Torus(world.common.height, world.common.width)


def empty_region(world: WorldFile, owned: Rectangle, halo_cells: int, tick: int = 0) -> Region:
    """A region with the world's fields and tables and nothing in them."""
    fields, schemas = world.laws.layout(world)
    region = Region(torus_of(world), owned, halo_cells, fields, schemas, world.common.seed, tick)
    if world.common.births:
        region.births = []
        if isinstance(world.common.births, str):
            region.births_of = frozenset((world.common.births,))
    return region


def generate_world(world: WorldFile) -> Region:
    """The whole world at tick 0, without a halo: what every run of it begins with."""
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
    """A region ready to run, loaded from pieces of the world at a tick; it owns the torus unless told otherwise.

    `controls` is what people had changed until then.
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
    """A region ready to run from tick 0."""
    source = generate_world(world)
    return open_region(world, [source.cut(source.owned)], source.constants, 0, ticks_per_exchange, owned)


def try_small_world(world: WorldFile, ticks: int = 0) -> Region:
    """Make the world in small and run it a little, so that genesis and species have said what is wrong with the file.

    A tick of it compiles, or loads, all that ticks of the whole world need.
    """
    common = world.common
    small = msgspec.structs.replace(
        common, width=min(SMALL_SIDE_CELLS, common.width), height=min(SMALL_SIDE_CELLS, common.height)
    )
    region = begin(replace(world, common=small, settings=_few(world.settings)))
    advance(region, world.laws, ticks)
    return region


def _few(settings: Any) -> Any:
    """The same with few founders, where the laws of a world know founders."""
    founders = getattr(settings, "founders", None)
    if not founders or not all(hasattr(group, "count") for group in founders):
        return settings
    few = [msgspec.structs.replace(group, count=min(group.count, SMALL_FOUNDERS_COUNT)) for group in founders]
    return msgspec.structs.replace(settings, founders=few)

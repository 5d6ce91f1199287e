"""Helpers for tests of single laws: they set up a small region with chosen beings and run one law on it."""

import numpy as np
from sharded_regions import begin, golden_world

from umwelt.agents.earth.earth import laws
from umwelt.sandbox.laws.weather import weather
from umwelt.sandbox.region import Region


def open_ground(**overrides) -> tuple[Region, object]:
    """Returns the region of a small world with a current halo, after the law `weather`, and its world file."""
    world = golden_world(40, 40, **overrides)
    region = begin(world)
    region.wrap()
    weather(region)
    return region, world


def run_law(region: Region, name: str) -> None:
    """Run one of Earth's laws on the window of a region, except for a margin as wide as the law's reach."""
    law = next(law for law in laws if law.name == name)
    region.margin_cells = region.halo_cells - law.reach
    law.run(region)


def only(region: Region, kind: str, count: int) -> None:
    """Keep the first `count` owned beings of the table `kind`, and remove all others, also from the other tables."""
    for name, table in region.tables.items():
        rows = np.flatnonzero(region.owned_rows(name))
        keep = np.zeros(table.count, bool)
        if name == kind:
            keep[rows[:count]] = True
        table.keep(keep)
    region._indices.clear()


def put(region: Region, kind: str, y: float, x: float) -> None:
    """Move all beings of the table `kind` to one place, in cells from the corner of the owned rectangle."""
    table = region.tables[kind]
    table["y_fixed"][:] = int((region.halo_cells + y) * 1024)
    table["x_fixed"][:] = int((region.halo_cells + x) * 1024)
    region._indices.clear()

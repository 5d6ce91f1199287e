"""Earth at three sizes with the same density: entity-ticks per second, the share of each law, and bytes.

An entity-tick is one being that is computed for one tick. Earth is the standard kind of world, of plants and monsters;
a law is one of the functions that compute a tick. A region holds the world's cells and beings in memory; around its
edges is a halo, with copies of the cells and beings (ghosts) from the opposite edges of the torus.
"""

from collections import defaultdict
from pathlib import Path
from typing import Any

from benchmarks.measure import Effort, median, now, spread, timed
from umwelt.agents.open_world import begin
from umwelt.agents.world_file import WorldFile, read_world
from umwelt.sandbox.kernel import crew
from umwelt.sandbox.region import Region
from umwelt.sandbox.step import Law, advance, step

SIZES = {10_000: 1, 100_000: 10**0.5, 1_000_000: 10}
"""The number of founders (beings at tick 0), and the factor by which both sides of the world grow with it."""
WARM_UP_TICKS = 16
TICKS_A_REPEAT = 4
COPIES_HOLD = 100_000
"""How many founders all copies of a small world have together, so that a repeat takes long enough to be measured."""


def earth_world(founders: int, **more: Any) -> WorldFile:
    """Returns the world of benchmarks/earth.toml with this number of founders, at the same density.

    `more` are further keys of the world file and their values.
    """
    path = str(Path(__file__).with_name("earth.toml"))
    plain = read_world(path)
    factor = founders / sum(founder.count for founder in plain.settings.founders)
    overrides: dict[str, Any] = {
        "width": round(plain.common.width * factor**0.5),
        "height": round(plain.common.height * factor**0.5),
    }
    for at, founder in enumerate(plain.settings.founders):
        overrides[f"founders.{at}.count"] = round(founder.count * factor)
    return read_world(path, {**overrides, **more})


def living(region: Region) -> int:
    """Returns the number of beings that the region owns, without ghosts."""
    return sum(int(region.owned_rows(name).sum()) for name in region.tables)


def law_seconds(region: Region, laws, ticks: int) -> dict[str, float]:
    """Returns the wall seconds per tick of each law, and of `edges`, the copying of a region's own halo."""
    seconds: dict[str, float] = defaultdict(float)
    last = now().wall_s

    def lap(name: str) -> None:
        nonlocal last
        at = now().wall_s
        seconds[name] += (at - last) / ticks
        last = at

    def between(law: Law) -> None:
        lap(law.name)

    for _ in range(ticks):
        last = now().wall_s
        if region.margin_cells < laws.light_speed:
            region.wrap()
        lap("edges")
        step(region, laws, between)
    return dict(seconds)


def measure_size(founders: int, effort: Effort) -> dict[str, Any]:
    """Measures one size, over the same ticks for every size; of a small world, several copies run one after another.

    Returns the measurements by name: speeds are medians over all copies together, sizes and `beings` those of the first
    copy at the end; `laws_ms` is milliseconds per tick.
    """
    copies = max(1, COPIES_HOLD // founders)
    worlds = [earth_world(founders, seed=11 + copy) for copy in range(copies)]
    laws = worlds[0].laws
    regions = [begin(world) for world in worlds]

    def run(ticks: int) -> None:
        for region in regions:
            advance(region, laws, ticks)

    warming, _ = timed(lambda: run(effort.short(WARM_UP_TICKS)))
    rates, per_cpu = [], []
    for _ in range(effort.repeats):
        before = sum(living(region) for region in regions)
        spent, _ = timed(lambda: run(TICKS_A_REPEAT))
        work = TICKS_A_REPEAT * (before + sum(living(region) for region in regions)) / 2
        rates.append(work / spent.wall_s)
        per_cpu.append(work / spent.cpu_s)
    region = regions[0]
    laws_s = law_seconds(region, laws, TICKS_A_REPEAT)
    beings = living(region)
    return {
        "founders": founders,
        "cells": region.torus.cells,
        "beings": beings,
        "beings_by_kind": {name: int(region.owned_rows(name).sum()) for name in region.tables},
        "ghost_share": 1 - beings / max(1, sum(table.count for table in region.tables.values())),
        "copies": copies,
        "threads": crew.count,
        "warm_up_s": warming.wall_s,
        "entity_ticks_per_s": median(rates),
        "spread": spread(rates),
        "entity_ticks_per_cpu_s": median(per_cpu),
        "laws_ms": {name: s * 1e3 for name, s in laws_s.items()},
        "resident_bytes": region.resident_bytes,
        "row_bytes": {name: table.schema.row_bytes for name, table in region.tables.items()},
        "cell_bytes": sum(field.cell_bytes for field in region.field_list),
        "scratch_bytes": sum(a.nbytes for a in region._scratch.values()) / region.window.cells,
    }

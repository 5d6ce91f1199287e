"""Helpers for tests that divide a world into several regions in this process and let them exchange halos."""

from collections.abc import Sequence

import numpy as np

from umwelt.agents.open_world import begin, open_region, torus_of
from umwelt.agents.world_file import WorldFile, bundled_worlds, parse_world
from umwelt.sandbox import audit
from umwelt.sandbox.region import Rectangle, Region, Torus, exchange_halos
from umwelt.sandbox.step import step


def golden_world(height: int = 64, width: int = 64, seed: int = 1, **overrides) -> WorldFile:
    """Returns the golden world at another size, with founders in proportion to the area.

    `overrides` are values by dotted key, as in `parse_world`.
    """
    return bundled_world("golden", height, width, seed, **overrides)


def bundled_world(name: str, height: int, width: int, seed: int, **overrides) -> WorldFile:
    """Returns the world file of a bundled world at another size, with founders in proportion to the area."""
    text = bundled_worlds()[name].read_text("utf-8")
    world = parse_world(text, name, name)
    shrink = height * width / (world.common.height * world.common.width)
    counts = {f"founders.{i}.count": max(2, int(f.count * shrink)) for i, f in enumerate(world.settings.founders)}
    size = {"height": height, "width": width, "seed": seed}
    return parse_world(text, name, name, {**counts, **size, **overrides})


def cut_rectangles(torus: Torus, rows: Sequence[int], columns: Sequence[Sequence[int]]) -> list[Rectangle]:
    """Returns the rectangles that cut lines make on the torus.

    `rows` are the first rows of horizontal bands; `columns[i]` are the first columns of the rectangles in band `i`. The
    last band and the last rectangle of a band extend over the seam to the first.
    """
    found = []
    for i, top in enumerate(rows):
        height = (rows[(i + 1) % len(rows)] - top) % torus.height or torus.height
        lines = columns[i]
        for j, left in enumerate(lines):
            width = (lines[(j + 1) % len(lines)] - left) % torus.width or torus.width
            found.append(Rectangle(top, left, height, width))
    return found


def open_shards(source: Region, world: WorldFile, parts: Sequence[Rectangle], ticks_per_exchange: int) -> list[Region]:
    """Returns a region for each rectangle of `parts`, loaded from `source`, which owns the whole torus."""
    piece = source.cut(source.owned)
    return [open_region(world, [piece], source.constants, source.tick, ticks_per_exchange, part) for part in parts]


def reshard(regions: Sequence[Region], world: WorldFile, parts: Sequence[Rectangle], k: int) -> list[Region]:
    """Returns the world of `regions` in new regions, one for each rectangle of `parts`; `k` is in ticks an exchange."""
    pieces = [region.cut(region.owned) for region in regions]
    first = regions[0]
    return [open_region(world, pieces, first.constants, first.tick, k, part) for part in parts]


def run_together(
    regions: Sequence[Region], world: WorldFile, ticks: int, k: int, shuffle_seed: int | None = None
) -> None:
    """Advance regions by `ticks`, exchanging halos every `k` ticks.

    With `shuffle_seed`, the rows of all tables are shuffled at each exchange.
    """
    order = np.random.default_rng(shuffle_seed)
    for tick in range(ticks):
        if tick % k == 0:
            exchange_halos(regions)
            if shuffle_seed is not None:
                for region in regions:
                    for table in region.tables.values():
                        table.reorder(order.permutation(table.count))
        for region in regions:
            step(region, world.laws)


def whole_digest(regions: Sequence[Region]) -> int:
    """Returns the digest of the world that `regions` make up together."""
    return sum(audit.digest(region) for region in regions) & audit.DIGEST_MASK


def whole_elements(regions: Sequence[Region], world: WorldFile) -> dict[str, int]:
    """Returns the number of atoms of each element in the world that `regions` make up together."""
    chemistry = world.chemistry
    assert chemistry is not None
    totals = [audit.element_totals(audit.substance_totals(r, chemistry), chemistry) for r in regions]
    return {element: sum(t[element] for t in totals) for element in totals[0]}


def assert_unique_ids(regions: Sequence[Region]) -> None:
    """Assert that no two owned beings of the world share an id."""
    ids = np.concatenate([t["id"][r.owned_rows(n)] for r in regions for n, t in r.tables.items()])
    assert len(np.unique(ids)) == len(ids)


def whole(world: WorldFile, k: int = 1) -> list[Region]:
    """Returns a list with one region that owns the whole world at tick 0; `k` is in ticks an exchange."""
    return [begin(world, k)]


def quarters(torus: Torus) -> list[Rectangle]:
    """Returns four rectangles of equal size."""
    h, w = torus
    return cut_rectangles(torus, [0, h // 2], [[0, w // 2]] * 2)


def halves(torus: Torus) -> list[Rectangle]:
    """Returns two rectangles of half the height, whose cut lines are not on the seams."""
    return cut_rectangles(torus, [torus.height // 4, torus.height * 3 // 4], [[5], [5]])


def ninths(torus: Torus) -> list[Rectangle]:
    """Returns nine rectangles of unequal size in three bands, whose vertical cut lines do not continue each other."""
    h, w = torus
    return cut_rectangles(
        torus, [1, h // 3 + 3, 2 * h // 3 - 2], [[0, w // 3, w // 2], [7, w // 3 + 9, w - 5], [2, w // 4, 2 * w // 3]]
    )


__all__ = [
    "assert_unique_ids",
    "begin",
    "bundled_world",
    "cut_rectangles",
    "golden_world",
    "halves",
    "ninths",
    "open_shards",
    "quarters",
    "reshard",
    "run_together",
    "torus_of",
    "whole",
    "whole_digest",
    "whole_elements",
]


def assert_resharding_changes_nothing(world: WorldFile, again: Sequence[Rectangle]) -> None:
    """Assert that a world comes out the same if it is divided again in the middle of a run.

    Four ticks run in quarters with two ticks an exchange, then four in the rectangles `again` with one.
    """
    alone, torus = whole(world), torus_of(world)
    parts = open_shards(begin(world), world, quarters(torus), 2)
    run_together(parts, world, 4, 2)
    parts = reshard(parts, world, again, 1)
    run_together(parts, world, 4, 1)
    run_together(alone, world, 8, 1)
    assert whole_digest(parts) == whole_digest(alone)


def assert_several_images_change_nothing(world: WorldFile, halo_cells: int) -> None:
    """Assert that a small world comes out the same if its halo, at four ticks an exchange, is wider than the world.

    `halo_cells` is the expected width of the halo. The window then contains several images of each cell.
    """
    alone, deep = whole(world), whole(world, 4)
    run_together(alone, world, 8, 1)
    run_together(deep, world, 8, 4, shuffle_seed=3)
    assert deep[0].halo_cells == halo_cells >= max(torus_of(world))
    assert whole_digest(deep) == whole_digest(alone)


def assert_thin_shards_agree(world: WorldFile, upright: bool, ticks: int) -> None:
    """Assert that a world comes out the same in strips of 1, 2, 3 and more cells in width, `upright` or horizontal.

    A law that reads further than the reach it declares gives a different result in a narrow shard.
    """
    torus, lines = torus_of(world), [0, 1, 2, 4, 7, 12, 20]
    thin = cut_rectangles(torus, [0], [lines]) if upright else cut_rectangles(torus, lines, [[3]] * len(lines))
    alone, parts = whole(world), open_shards(begin(world), world, thin, 1)
    for seed in range(ticks):
        run_together(alone, world, 1, 1)
        run_together(parts, world, 1, 1, shuffle_seed=seed)
        assert whole_digest(parts) == whole_digest(alone)

"""Helpers for tests of single commands: a small world, applying a command to it, and reading it."""

import numpy as np
from sharded_regions import begin, golden_world

from umwelt.agents import commands
from umwelt.agents.commands import Command
from umwelt.agents.world_file import WorldFile
from umwelt.sandbox.region import Region


def ready(size: int = 32, k: int = 1) -> tuple[Region, WorldFile]:
    """Returns the region of a small world with a current halo, and its world file.

    With 32 cells a side, the window contains at least nine images of every cell.
    """
    world = golden_world(size, size)
    region = begin(world, k)
    region.wrap()
    return region, world


def apply(region: Region, world: WorldFile, command: Command, number: int = 1) -> None:
    """Check a command, encode and decode it as the journal does, and apply it."""
    commands.apply(region, commands.decode(commands.encode(commands.check(world, command))), number)


def owned(region: Region, name: str) -> np.ndarray:
    """Returns a field on the owned rectangle, `int64[height, width]`."""
    return region.owned_view(name).astype(np.int64)


def images(region: Region, name: str, being: int) -> int:
    """Returns how many rows of a table, ghosts included, have the id `being`."""
    return int(np.count_nonzero(region.tables[name]["id"] == being))


def column_by_id(region: Region, name: str) -> dict[int, list[int]]:
    """Returns the values of one column of the monsters that the region owns, by id."""
    table, mine = region.tables["monsters"], region.owned_rows("monsters")
    return dict(zip(table["id"][mine].tolist(), table[name][mine].tolist(), strict=True))


def assert_halo_is_fresh(region: Region) -> None:
    """Assert that the halo of a region is current: copying the owned rectangle into it changes nothing."""

    def content() -> tuple:
        rows = {}
        for name, table in region.tables.items():
            columns = [column.name for column in table.stored_columns()]
            order = np.lexsort((table["x_fixed"], table["y_fixed"], table["id"]))
            rows[name] = [table[column][order].tolist() for column in columns]
        return {name: array.tolist() for name, array in region.fields.items()}, rows

    before = content()
    region.wrap()
    assert content() == before


def substance_change(region: Region, world: WorldFile, command: Command) -> dict[str, int]:
    """Apply a command; returns the change of each substance in molecules, over all cells and bodies."""
    from umwelt.sandbox import audit

    before = audit.substance_totals(region, world.chemistry)
    apply(region, world, command)
    after = audit.substance_totals(region, world.chemistry)
    return {name: after[name] - before[name] for name in after}

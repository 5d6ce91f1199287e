"""Digests of regions, and exact counts of the matter in them.

A region consists of a rectangle of the world, which it *owns*, and copies of the cells and beings around that
rectangle. Its digest is the sum, modulo 2^64, of a hash of every owned being, which includes its id, and of every owned
cell, which includes its index in the world. The digests of regions that together own the torus therefore add up to the
same sum however the torus is divided. The world's digest is this sum plus the digest of the controls (the settings that
commands have changed, equal in all regions), added once. A digest detects divergence, but does not prevent forgery.
"""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np

from umwelt.sandbox.chemistry import Chemistry
from umwelt.sandbox.dice import mix, purpose
from umwelt.sandbox.kernel import call, crew, kernel
from umwelt.sandbox.region import Region
from umwelt.sandbox.units import SUBCELL_BITS

DIGEST_MASK = (1 << 64) - 1
_SEED = np.uint64(0x5851F42D4C957F2D)
_ODD = np.uint64(0xDA942042E4DD58B5)
_ONE = np.uint64(1)
ROWS_PER_BAND = 65_536
"""The approximate number of beings or cells whose digest one job of a thread computes."""
CELLS = "cells"
"""The key in the result of `matter_of` for molecules in cells rather than in bodies."""


def _salt(name: str) -> np.uint64:
    """Returns the odd number that distinguishes the column or field `name` from others in digests."""
    return np.uint64(purpose("digest." + name) * 2 + 1)


@kernel
def _add_column(values, salt, total):
    """Adds the entries of a column, `values[row, entry]`, to each row's sum `total[row]`.

    Entries are unsigned; each is multiplied by a different odd factor derived from `salt`.
    """
    rows, entries = values.shape
    for row in range(rows):
        factor = mix(salt) | _ONE
        part = np.uint64(0)
        for i in range(entries):
            part += np.uint64(values[row, i]) * factor
            factor = factor * _ODD
        total[row] += part


@kernel
def _finish(keys, chosen, total):
    """Returns the sum, modulo 2^64, of the hashes of the rows where `chosen` is true.

    The hash of a row is computed from `keys[row]` and `total[row]`, the sum that `_add_column` has computed.
    """
    digest = np.uint64(0)
    for row in range(len(total)):
        if chosen[row]:
            digest += mix(mix(np.uint64(keys[row]) + _SEED) + total[row])
    return digest


def table_digest(region: Region, name: str) -> int:
    """Returns the digest of the owned beings in the table `name`."""
    table = region.tables[name]
    owned = region.owned_rows(name)
    total = np.zeros(table.count, np.uint64)
    for column in table.stored_columns():
        values = table[column.name]
        if column.name in ("y_fixed", "x_fixed"):
            continue
        _add_column_in_bands(as_words(values), _salt(column.name), total)
    for position, edge, size in (
        ("y_fixed", region.window.y, region.torus.height),
        ("x_fixed", region.window.x, region.torus.width),
    ):
        # % in Python and numpy is never negative here, so positions become positions in the world
        values = (table[position].astype(np.int64) + (edge << SUBCELL_BITS)) % (size << SUBCELL_BITS)
        _add_column_in_bands(as_words(values), _salt(position), total)
    return int(call(_finish, table["id"], owned, total)) & DIGEST_MASK


def as_words(values: np.ndarray) -> np.ndarray:
    """Returns the bits of each row of an array as unsigned integers, `[row, word]`.

    The words have 8 bytes if the length of a row is a multiple of 8 bytes, else the size of the dtype.
    """
    rows = np.ascontiguousarray(values).reshape(len(values), int(np.prod(values.shape[1:])))
    row_bytes = rows.shape[1] * rows.itemsize
    return rows.view("<u8" if row_bytes % 8 == 0 else f"<u{rows.itemsize}")


def _add_column_in_bands(values: np.ndarray, salt: np.uint64, total: np.ndarray) -> None:
    """Runs `_add_column` on bands of rows, in threads."""

    def band(at: int) -> None:
        part = slice(at, at + ROWS_PER_BAND)
        call(_add_column, values[part], salt, total[part])

    jobs: list[Callable[[], None]] = [partial(band, at) for at in range(0, len(total), ROWS_PER_BAND)]
    crew.together(*jobs or [lambda: None])


def cells_digest(region: Region) -> int:
    """Returns the digest of all fields of the owned cells."""
    rim, owned = region.halo_cells, region.owned
    rows = np.arange(owned.height)

    def band(first: int, last: int) -> int:
        total = np.zeros((last - first) * owned.width, np.uint64)
        for field in region.field_list:
            planes = region.fields[field.name]
            planes = planes if field.parts else planes[None]
            for plane, part in zip(planes, field.parts or (field.name,), strict=True):
                values = plane[rim + first : rim + last, rim : rim + owned.width]
                call(_add_column, as_words(values.reshape(-1)), _salt(part), total)
        y = (owned.y + rows[first:last]) % region.torus.height
        x = (owned.x + np.arange(owned.width)) % region.torus.width
        keys = (y[:, None] * region.torus.width + x[None, :]).astype(np.int64).ravel()
        return int(call(_finish, keys, np.ones(len(keys), bool), total))

    height = max(1, ROWS_PER_BAND // owned.width)
    bands = [(a, min(a + height, owned.height)) for a in range(0, owned.height, height)]
    digests = crew.together(*[lambda a=a, b=b: band(a, b) for a, b in bands])  # type: ignore[misc]
    return sum(digests) & DIGEST_MASK


def digest(region: Region) -> int:
    """Returns the digest of the cells and beings that a region owns, without the controls.

    The digests of regions that together own the torus and the digest of the controls add up, modulo 2^64, to the
    world's digest.
    """
    parts = [cells_digest(region), *[table_digest(region, name) for name in region.tables]]
    return sum(parts) & DIGEST_MASK


def world_digest(region: Region) -> int:
    """Returns the digest of a world, including its controls; `region` must own the whole torus."""
    return (digest(region) + region.controls.digest()) & DIGEST_MASK


def matter_of(region: Region) -> dict[str, np.ndarray]:
    """Returns the molecules of each substance in the owned cells and in the owned beings of each table.

    The values are `int64[substance]`; the keys are `CELLS` and the names of the tables whose beings contain molecules.
    """
    counts = {CELLS: region.owned_view("substance").sum(axis=(1, 2), dtype=np.int64)}
    for name, table in region.tables.items():
        if "counts" in table:
            counts[name] = region.owned_rows(name).astype(np.int64) @ table["counts"]
    return counts


def substance_totals(region: Region, chemistry: Chemistry) -> dict[str, int]:
    """Returns the total molecules of each substance, by name, in the owned cells and beings of a region."""
    return dict(zip(chemistry.names, sum(matter_of(region).values()).tolist(), strict=True))  # type: ignore[union-attr]


def element_totals(substances: Mapping[str, int], chemistry: Chemistry) -> dict[str, int]:
    """Returns the atoms of each element in the amounts of `substances`, and their charge if the world has charges."""
    amounts = np.array([substances[name] for name in chemistry.names], np.int64)
    return dict(zip(chemistry.conserved, (chemistry.composition() @ amounts).tolist(), strict=True))

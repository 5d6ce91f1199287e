"""Reads snapshots and checks them against their manifests."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from umwelt.sandbox import audit
from umwelt.sandbox.columns import PLACE_COLUMNS, Column, Schema
from umwelt.sandbox.controls import Controls
from umwelt.sandbox.errors import SnapshotError
from umwelt.sandbox.layout import check_layout, widen
from umwelt.sandbox.region import Field, Piece, Rectangle, Region, Torus
from umwelt.sandbox.snapshot.manifest import (
    CONSTANTS,
    Layout,
    Manifest,
    error_line,
    hash_array,
    read_manifest,
    select_parts,
)
from umwelt.sandbox.units import SUBCELL, SUBCELL_BITS


@dataclass(frozen=True)
class Snapshot:
    """A loaded snapshot: the state of a world at `manifest.tick`.

    `pieces`, each the cells and beings of a rectangle, together cover the world; `Region.load` copies them into a
    region. `constants` are the world's integer tables by name.
    """

    manifest: Manifest
    pieces: list[Piece]
    constants: dict[str, np.ndarray]
    controls: Controls


def load(path: Path, layout: Layout | None = None) -> Snapshot:
    """Returns the snapshot in the folder `path`, after checking its format and digests.

    With a `layout` (fields and schemas of the world), the pieces have all columns of the layout, including columns
    added after the snapshot was written. Raises `SnapshotError` if the snapshot is damaged, of another format version,
    or not compatible with the layout.
    """
    path = Path(path)
    manifest = read_manifest(path)
    constants = load_constants(path, manifest)
    pieces = load_parts(path, manifest, Rectangle(0, 0, *manifest.torus), Torus(*manifest.torus), layout)
    return Snapshot(manifest, pieces, constants, Controls.from_json(manifest.controls))


def load_constants(path: Path, manifest: Manifest) -> dict[str, np.ndarray]:
    """Returns the world's constants (integer tables) of a snapshot, each checked against its hash in the manifest."""
    with _report_damage(path):
        constants = {name: read_array(path / CONSTANTS / name) for name in manifest.constants}
    if unknown := {folder.name for folder in (path / CONSTANTS).glob("*/")} - set(manifest.constants):
        raise SnapshotError(f"{path}: damaged: the table {min(unknown)!r} is not in the manifest")
    for name, expected in manifest.constants.items():
        if hash_array(constants[name]) != expected:
            raise SnapshotError(f"{path}: damaged: the table {name!r} is not what was written")
    return constants


def load_parts(
    path: Path, manifest: Manifest, rectangle: Rectangle, torus: Torus, layout: Layout | None = None
) -> list[Piece]:
    """Returns the parts of a snapshot that overlap `rectangle`, with checked digests: the input of `Region.load`.

    Other parts are not read and need not exist. With a `layout` (fields and schemas) the pieces have all columns of the
    layout, including columns added after the snapshot was written. Raises `SnapshotError` if the snapshot is damaged,
    or does not open with the layout.
    """
    if tuple(torus) != tuple(manifest.torus):
        raise SnapshotError(
            f"{path}: is of a world of {manifest.torus} cells, not of {tuple(torus)}: use its own world"
        )
    with _report_damage(path):
        if layout is not None:
            _check_layout(path, manifest, *layout)
        pieces = [_load_part(path, manifest, part) for part in select_parts(manifest, rectangle)]
        return pieces if layout is None else [widen(piece, layout[1]) for piece in pieces]


def count_beings(path: Path, manifest: Manifest, block_cells: int) -> np.ndarray:
    """Returns the number of beings in each square block of cells, for dividing a world among nodes by load.

    A block has `block_cells` cells a side. The result has the shape `[ceil(height / block_cells), ceil(width /
    block_cells)]`. Reads only positions and checks no digests.
    """
    height, width = (-(-size // block_cells) for size in manifest.torus)
    counts = np.zeros(height * width, np.int64)
    with _report_damage(path):
        for part in manifest.parts:
            for name in manifest.tables:
                columns = path / part["folder"] / name
                y = (read_array(columns / "y_fixed") >> SUBCELL_BITS) // block_cells
                x = (read_array(columns / "x_fixed") >> SUBCELL_BITS) // block_cells
                if len(y) and (min(y.min(), x.min()) < 0 or y.max() >= height or x.max() >= width):
                    raise ValueError(f"{part['folder']}: {name} lie outside the world")
                counts += np.bincount(y.astype(np.int64) * width + x, minlength=len(counts))
    return counts.reshape(height, width)


def read_array(path: Path) -> np.ndarray:
    """Returns the Zarr array in the folder `path`."""
    import zarr

    return np.asarray(zarr.open_array(store=str(path), mode="r", zarr_format=3)[...])


@contextmanager
def _report_damage(path: Path) -> Iterator[None]:
    """Converts any exception raised inside to a `SnapshotError` of one line.

    It catches all exceptions, because each codec of Zarr raises its own for damaged data.
    """
    try:
        yield
    except SnapshotError:
        raise
    except Exception as error:
        raise SnapshotError(f"{path}: damaged: {error_line(error)}") from None


def _load_part(path: Path, manifest: Manifest, part: Mapping[str, Any]) -> Piece:
    """Returns a part of a snapshot as a piece; `part` is its entry in the manifest.

    Raises `SnapshotError` if the digest of what was read differs from the digest in that entry.
    """
    region = _read_part(path, manifest, part)
    digest = f"{audit.digest(region):016x}"
    if digest != part["digest"]:
        raise SnapshotError(f"{path}: damaged: the digest of {part['folder']} is {digest}, was {part['digest']}")
    return _as_piece(region)


def _read_part(path: Path, manifest: Manifest, part: Mapping[str, Any]) -> Region:
    """Returns a part of a snapshot as a region without a halo; `part` is its entry in the manifest.

    The region has the fields and columns that the manifest lists.
    """
    rectangle, torus = Rectangle(*part["rectangle"]), Torus(*manifest.torus)
    fields = [Field(f["name"], f["dtype"], tuple(f["parts"]), f["unit"]) for f in manifest.fields]
    schemas = [
        Schema(name, table["kind"], tuple(_columns(table["columns"][len(PLACE_COLUMNS) :])))
        for name, table in manifest.tables.items()
    ]
    region = Region(torus, rectangle, 0, fields, schemas, manifest.seed, manifest.tick)
    folder = path / part["folder"]
    for field in fields:
        region.fields[field.name][...] = read_array(folder / "cells" / field.name)
    corners = {"y_fixed": (rectangle.y, torus.height), "x_fixed": (rectangle.x, torus.width)}
    for name, table in region.tables.items():
        table.append(part["beings"][name])
        for column in table.schema.columns:
            values = read_array(folder / name / column.name)
            if column.name in corners:
                corner, size = corners[column.name]
                values = (values.astype(np.int64) - corner * SUBCELL) % (size * SUBCELL)
            table[column.name][...] = values
    return region


def _columns(entries: Iterable[Mapping[str, Any]]) -> Iterable[Column]:
    """Yields the columns that `entries` of the manifest describe."""
    for entry in entries:
        yield Column(entry["name"], entry["dtype"], tuple(entry["parts"]), entry["unit"], entry["width"])


def _as_piece(region: Region) -> Piece:
    """Returns all cells and beings of a region without a halo as a piece that shares its arrays."""
    tables = {
        name: {column.name: table[column.name] for column in table.schema.columns}
        for name, table in region.tables.items()
    }
    return Piece(region.owned, dict(region.fields), tables)


def _check_layout(path: Path, manifest: Manifest, fields: Sequence[Field], schemas: Sequence[Schema]) -> None:
    """Raises `SnapshotError` unless the snapshot can be opened with `fields` and `schemas`."""
    try:
        check_layout(manifest.fields, manifest.tables, fields, schemas)
    except ValueError as error:
        raise SnapshotError(f"{path}: another layout: {error}: use the Umwelt that wrote it") from None

"""Writes snapshots: parts and constants as Zarr arrays into an unfinished folder, then the manifest.

A part is the cells and beings of one rectangle of the world.
"""

import json
import os
import shutil
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from umwelt.sandbox import audit
from umwelt.sandbox.errors import SnapshotError
from umwelt.sandbox.region import Piece, Rectangle, Region, Torus
from umwelt.sandbox.snapshot.manifest import (
    CONSTANTS,
    GROUP,
    GROUP_FILE,
    MANIFEST,
    UNFINISHED,
    Manifest,
    hash_constants,
    hash_files,
    make_manifest,
    manifest_text,
)
from umwelt.sandbox.units import SUBCELL

CHUNK_BYTES = 8 << 20
"""The approximate maximum size of a chunk of a compressed Zarr array, before compression."""
CONCURRENT_SYNCS = 16
"""The number of files that are flushed to disk at the same time."""


def save(path: Path, region: Region, world_text: str, name: str = "") -> Manifest:
    """Saves a region that owns the whole torus as a snapshot in the folder `path`, which must not exist.

    `world_text` is the complete text of the world file. Returns the manifest. Raises `OSError` if writing fails; the
    unfinished folder is then removed.
    """
    path = Path(path)
    unfinished = path.parent / f"{UNFINISHED}{path.name}-{os.getpid()}"
    try:
        manifest = _write(unfinished, region, world_text, name)
        finish(unfinished, path, manifest, durable=True)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    return manifest


def _write(folder: Path, region: Region, world_text: str, name: str) -> Manifest:
    """Writes a snapshot whose only part is the whole region into the new folder `folder`.

    Returns the manifest, which is not written yet (see `finish`).
    """
    shutil.rmtree(folder, ignore_errors=True)  # a folder left by a process with the same id
    folder.mkdir(parents=True)
    constants = write_constants(folder, region.constants)
    piece = region.cut(region.owned)
    part = write_part(folder, piece, region.torus, audit.digest(region), compressed=True)
    layout = (region.field_list, [table.schema for table in region.tables.values()])
    counts, controls = region.counts, region.controls
    return make_manifest(
        name, world_text, layout, region.torus, region.seed, region.tick, constants, [part], counts, controls
    )


def write_part(folder: Path, piece: Piece, torus: Torus, digest: int, compressed: bool) -> dict[str, Any]:
    """Writes one part of a snapshot into the unfinished folder `folder`. Returns the part's entry for the manifest.

    `piece` is `region.cut(region.owned)` and `digest` is `audit.digest(region)`, both of the same tick; the region can
    continue to run during the writing. The entry has the keys `folder`, `rectangle` (`[y, x, height, width]`),
    `digest`, `beings` (their number by table) and, for a compressed part, `hash` (of its files). Raises `OSError` if
    writing fails, the folder no longer exists (the snapshot was cancelled), or the part exists already; files written
    by this call are then removed.
    """
    y, x = piece.rectangle.y % torus.height, piece.rectangle.x % torus.width
    entry = {
        "folder": f"part-{y}-{x}",
        "rectangle": [y, x, piece.rectangle.height, piece.rectangle.width],
        "digest": f"{digest:016x}",
        "beings": {name: len(columns["id"]) for name, columns in piece.tables.items()},
    }
    part = folder / f"part-{y}-{x}"
    part.mkdir()
    write_array = write_compressed_array if compressed else write_plain_array
    try:
        _write_groups(part, "cells", *piece.tables)
        for name, values in piece.fields.items():
            write_array(part / "cells" / name, values)
        for table, columns in piece.tables.items():
            for name, values in columns.items():
                write_array(part / table / name, _to_global(piece.rectangle, torus, name, values))
        if compressed:
            entry["hash"] = hash_files(part)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    return entry


def write_constants(folder: Path, constants: Mapping[str, np.ndarray]) -> dict[str, str]:
    """Writes the world's constants (integer tables) into a snapshot's unfinished folder. Returns a hash of each."""
    _write_groups(folder, CONSTANTS)
    for name, array in constants.items():
        write_plain_array(folder / CONSTANTS / name, array)
    return hash_constants(constants)


def finish(folder: Path, path: Path, manifest: Manifest, durable: bool) -> None:
    """Completes a snapshot: writes the manifest into the unfinished folder `folder` and renames the folder to `path`.

    With `durable`, all files are flushed to disk before the folder is renamed, so that the snapshot survives a power
    cut. Raises `SnapshotError` if parts are missing or do not cover the world exactly once, and `OSError` if writing
    fails or `path` exists; `path` is not created then.
    """
    text = manifest_text(manifest)
    for name in [CONSTANTS, *[part["folder"] for part in manifest.parts]]:
        if not (folder / name).is_dir():
            raise SnapshotError(f"{folder}: cannot be finished: {name} is missing: take the snapshot again")
    _write_groups(folder)
    (folder / MANIFEST).write_text(text, "utf-8")
    if durable:
        _make_durable(folder)
    os.rename(folder, path)
    if durable:
        _sync(path.parent)


def write_compressed_array(folder: Path, values: np.ndarray) -> None:
    """Writes `values` as a compressed, chunked Zarr array in the folder `folder`."""
    import zarr
    from zarr.codecs import ZstdCodec

    array = zarr.create_array(
        str(folder),
        shape=values.shape,
        chunks=_chunk_shape(values),
        dtype=values.dtype,
        compressors=[ZstdCodec(level=1, checksum=True)],
        fill_value=0,
        zarr_format=3,
    )
    if values.size:
        array[...] = values


def write_plain_array(folder: Path, values: np.ndarray) -> None:
    """Writes `values` as an uncompressed Zarr array of one chunk in the folder `folder`.

    The files are written directly, which takes a quarter of the 3 ms that the Zarr library needs for an array; a
    temporary snapshot of a hundred arrays would otherwise delay the tick. The content of `zarr.json` follows version 3
    of the Zarr specification.
    """
    values = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
    codec: dict[str, Any] = {"name": "bytes"}
    if values.dtype.itemsize > 1:
        codec["configuration"] = {"endian": "little"}
    shape = [max(1, size) for size in values.shape]
    metadata = {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(values.shape),
        "data_type": values.dtype.name,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": shape}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": False if values.dtype == bool else 0,
        "codecs": [codec],
        "attributes": {},
        "storage_transformers": [],
    }
    folder.mkdir()
    (folder / "zarr.json").write_text(json.dumps(metadata), "utf-8")
    if values.size:
        chunk = folder.joinpath("c", *["0"] * values.ndim)
        chunk.parent.mkdir(parents=True)
        with open(chunk, "wb") as file:
            file.write(values.data)


def _to_global(rectangle: Rectangle, torus: Torus, name: str, values: np.ndarray) -> np.ndarray:
    """Returns the values of the column `name`; positions are converted from the piece's to the world's coordinates."""
    edges = {"y_fixed": (rectangle.y, torus.height), "x_fixed": (rectangle.x, torus.width)}
    if name not in edges:
        return values
    edge, size = edges[name]
    return ((values.astype(np.int64) + edge * SUBCELL) % (size * SUBCELL)).astype(values.dtype)


def _write_groups(folder: Path, *names: str) -> None:
    """Creates `folder` and subfolders with the given names, and makes each a Zarr group."""
    for group in (folder, *[folder / name for name in names]):
        group.mkdir(exist_ok=True)
        (group / GROUP_FILE).write_text(GROUP, "utf-8")


def _chunk_shape(values: np.ndarray) -> tuple[int, ...]:
    """Returns the shape of the chunks of a Zarr array of at most about `CHUNK_BYTES` each.

    A chunk has whole rows, as many as fit; of a three-dimensional array (a field with parts) it holds one plane.
    """
    shape = [max(1, size) for size in values.shape]
    if len(shape) == 3:
        shape[0] = 1
    axis = len(shape) - 2 if len(shape) > 1 else 0
    other_bytes = int(np.prod(shape, dtype=np.int64)) // shape[axis] * values.dtype.itemsize
    shape[axis] = min(shape[axis], max(1, CHUNK_BYTES // other_bytes))
    return tuple(shape)


def _make_durable(folder: Path) -> None:
    """Flushes all files in a folder to disk, in parallel: one after another takes ten times as long."""
    paths = [Path(parent, name) for parent, _, files in os.walk(folder) for name in (*files, "")]
    with ThreadPoolExecutor(CONCURRENT_SYNCS) as pool:
        for _ in pool.map(_sync, paths):
            pass


def _sync(path: Path) -> None:
    """Flushes a file or folder to disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

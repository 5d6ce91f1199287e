"""A region to disk and back, as Zarr arrays by named column: the one file of the sandbox that touches disks.

A snapshot is a folder:

    manifest.json            schema, tick, seed, digest, counts, frozen world text, what is stored, in which parts
    constants/NAME           the world's integer tables, from genesis on
    part-Y-X/cells/NAME      the fields of a rectangle, `dtype[height, width]` or `dtype[part, height, width]`
    part-Y-X/TABLE/NAME      the columns of its beings, positions counted from the world's corner; no derived columns

It is written aside, made durable and then renamed, so that a folder with its proper name is whole. Loading computes the
digest anew: what does not hash to the digest in the manifest is refused.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from umwelt.sandbox import audit
from umwelt.sandbox.columns import PLACE_COLUMNS, TICK_BITS, Column, Schema
from umwelt.sandbox.errors import SnapshotError
from umwelt.sandbox.region import Field, Piece, Rectangle, Region, Torus
from umwelt.sandbox.units import SUBCELL

SCHEMA_VERSION = 1
MANIFEST = "manifest.json"
ASIDE = ".writing-"
"""Folders that begin so are half written; nobody reads them."""
CHUNK_BYTES = 8 << 20


@dataclass(frozen=True)
class Manifest:
    """What a snapshot holds, without its arrays."""

    schema: int
    name: str
    tick: int
    seed: int
    digest: str
    torus: tuple[int, int]
    counts: dict[str, int]
    world: str
    fields: list[dict[str, Any]]
    tables: dict[str, dict[str, Any]]
    constants: dict[str, str]
    parts: list[dict[str, Any]]


@dataclass(frozen=True)
class Snapshot:
    """A loaded snapshot: its pieces cover the world, and open as a region at `manifest.tick`."""

    manifest: Manifest
    pieces: list[Piece]
    constants: dict[str, np.ndarray]


def save(path: Path, region: Region, world_text: str, name: str = "") -> Manifest:
    """Write what a region owns under `path`, which must not exist yet; whole or not at all.

    `world_text` is the frozen world file. Raises `OSError` where the disk refuses, and leaves nothing behind then.
    """
    path = Path(path)
    aside = path.parent / f"{ASIDE}{path.name}-{os.getpid()}"
    try:
        manifest = _write(aside, region, world_text, name)
        _make_durable(aside)
        os.rename(aside, path)
        _sync(path.parent)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    return manifest


def read_manifest(path: Path) -> Manifest:
    """The manifest of a snapshot, its schema version checked."""
    try:
        content = json.loads((path / MANIFEST).read_text("utf-8"))
        version = content["schema"]
        if version == SCHEMA_VERSION:
            return _checked(content)
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise SnapshotError(f"{path}: damaged or half written: {MANIFEST}: {error}") from None
    raise SnapshotError(
        f"{path}: schema {version} is not the schema {SCHEMA_VERSION} of this Umwelt: use the one that wrote it"
    )


def load(path: Path, layout: tuple[Sequence[Field], Sequence[Schema]] | None = None) -> Snapshot:
    """Read a snapshot and check it: schema, digest, and the world's `layout` (fields and schemas) if it is given."""
    path = Path(path)
    manifest = read_manifest(path)
    try:
        if layout is not None:
            _check_layout(path, manifest, *layout)
        constants = {name: _read(path / "constants" / name) for name in manifest.constants}
        regions = [_read_part(path, manifest, part) for part in manifest.parts]
    except SnapshotError:
        raise
    except Exception as error:  # a damaged array fails in as many ways as there are codecs
        what = f"{type(error).__name__}: {error}".replace("\n", " ")
        raise SnapshotError(f"{path}: damaged: {what}") from None
    if unknown := {folder.name for folder in (path / "constants").glob("*/")} - set(manifest.constants):
        raise SnapshotError(f"{path}: damaged: the manifest does not know the table {min(unknown)!r}")
    for name, seal in manifest.constants.items():
        if _seal(constants[name]) != seal:
            raise SnapshotError(f"{path}: damaged: the table {name!r} is not what was written")
    found = sum(audit.digest(region) for region in regions) & audit.DIGEST_MASK
    if f"{found:016x}" != manifest.digest:
        raise SnapshotError(f"{path}: damaged: its digest is {found:016x}, the manifest says {manifest.digest}")
    pieces = [_as_piece(region) for region in regions]
    return Snapshot(manifest, pieces, constants)


# --- writing


def _write(folder: Path, region: Region, world_text: str, name: str) -> Manifest:
    owned = Rectangle(region.owned.y % region.torus.height, region.owned.x % region.torus.width, *region.owned[2:])
    part = f"part-{owned.y}-{owned.x}"
    stored = {at: table.carried() for at, table in region.tables.items()}
    manifest = Manifest(
        SCHEMA_VERSION, name, region.tick, region.seed, f"{audit.digest(region):016x}",
        (region.torus.height, region.torus.width), dict(region.counts), world_text,
        [_described(field) for field in region.field_list],
        {
            at: {"kind": region.tables[at].schema.kind, "columns": [_described(column) for column in columns]}
            for at, columns in stored.items()
        },
        {at: _seal(array) for at, array in region.constants.items()},
        [{"folder": part, "rectangle": list(owned)}],
    )  # fmt: skip
    put = _writer(folder)
    for at, array in region.constants.items():
        put(f"constants/{at}", array)
    for field in region.field_list:
        put(f"{part}/cells/{field.name}", region.owned_view(field.name))
    for at, columns in stored.items():
        rows = np.flatnonzero(region.owned_rows(at))
        for column in columns:
            put(f"{part}/{at}/{column.name}", _to_global(region, column.name, region.tables[at][column.name][rows]))
    (folder / MANIFEST).write_text(json.dumps(asdict(manifest), indent=1), "utf-8")
    return manifest


def _to_global(region: Region, name: str, values: np.ndarray) -> np.ndarray:
    """Positions in the window become positions in the world; other columns stay as they are."""
    edges = {"y_fixed": (region.window.y, region.torus.height), "x_fixed": (region.window.x, region.torus.width)}
    if name not in edges:
        return values
    edge, size = edges[name]
    return ((values.astype(np.int64) + edge * SUBCELL) % (size * SUBCELL)).astype(values.dtype)


def _writer(folder: Path) -> Callable[[str, np.ndarray], None]:
    import zarr
    from zarr.codecs import ZstdCodec

    group = zarr.create_group(store=str(folder), zarr_format=3)
    codec = ZstdCodec(level=1, checksum=True)

    def put(name: str, values: np.ndarray) -> None:
        array = group.create_array(
            name, shape=values.shape, chunks=_chunks(values), dtype=values.dtype, compressors=[codec], fill_value=0
        )
        if values.size:
            array[...] = values

    return put


def _chunks(values: np.ndarray) -> tuple[int, ...]:
    """Whole trailing axes, as many leading entries as fit a chunk; one plane of a field with parts at a time."""
    shape = [max(1, size) for size in values.shape]
    if len(shape) == 3:
        shape[0] = 1
    axis = len(shape) - 2 if len(shape) > 1 else 0
    others = int(np.prod(shape, dtype=np.int64)) // shape[axis] * values.dtype.itemsize
    shape[axis] = min(shape[axis], max(1, CHUNK_BYTES // others))
    return tuple(shape)


def _described(what: Field | Column) -> dict[str, Any]:
    described: dict[str, Any] = {"name": what.name, "dtype": what.dtype, "parts": list(what.parts), "unit": what.unit}
    if isinstance(what, Column):
        described["width"] = what.width
    return described


def _seal(array: np.ndarray) -> str:
    return hashlib.blake2b(np.ascontiguousarray(array).tobytes(), digest_size=16).hexdigest()


def _make_durable(folder: Path) -> None:
    for parent, _, files in os.walk(folder, topdown=False):
        for file in files:
            _sync(Path(parent, file))
        _sync(Path(parent))


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


# --- reading


_KINDS = {
    "name": str, "tick": int, "seed": int, "digest": str, "torus": list, "counts": dict, "world": str, "fields": list,
    "tables": dict, "constants": dict, "parts": list,
}  # fmt: skip


def _checked(content: Mapping[str, Any]) -> Manifest:
    """The manifest, if every value is of its kind; else `ValueError` or `TypeError` with the key that is not."""
    manifest = Manifest(**content)
    for key, kind in _KINDS.items():
        if type(content[key]) is not kind:
            raise TypeError(f'"{key}" is no {kind.__name__}')
    if not 0 <= manifest.tick < 1 << TICK_BITS:
        raise ValueError(f'"tick" is {manifest.tick}')
    if not 0 <= manifest.seed < 1 << 63:
        raise ValueError(f'"seed" is {manifest.seed}')
    if [type(size) for size in manifest.torus] != [int, int] or min(manifest.torus) < 1:
        raise ValueError(f'"torus" is {manifest.torus}')
    for event in ("births", "deaths"):
        if type(manifest.counts[event]) is not int or manifest.counts[event] < 0:
            raise ValueError(f'"counts": "{event}" is {manifest.counts[event]!r}')
    if manifest.counts.keys() != {"births", "deaths"}:
        raise ValueError(f'"counts" are {", ".join(manifest.counts)}')
    return manifest


def _read(path: Path) -> np.ndarray:
    import zarr

    return np.asarray(zarr.open_array(store=str(path), mode="r", zarr_format=3)[...])


def _read_part(path: Path, manifest: Manifest, part: Mapping[str, Any]) -> Region:
    """A part of the world as a region without a halo, described by the manifest alone."""
    rectangle, torus = Rectangle(*part["rectangle"]), Torus(*manifest.torus)
    fields = [Field(f["name"], f["dtype"], tuple(f["parts"]), f["unit"]) for f in manifest.fields]
    schemas = [
        Schema(name, table["kind"], tuple(_columns(table["columns"][len(PLACE_COLUMNS) :])))
        for name, table in manifest.tables.items()
    ]
    region = Region(torus, rectangle, 0, fields, schemas, manifest.seed, manifest.tick)
    folder = path / part["folder"]
    for field in fields:
        region.fields[field.name][...] = _read(folder / "cells" / field.name)
    corners = {"y_fixed": (rectangle.y, torus.height), "x_fixed": (rectangle.x, torus.width)}
    for name, table in region.tables.items():
        table.append(len(_read(folder / name / "id")))
        for column in table.schema.columns:
            values = _read(folder / name / column.name)
            if column.name in corners:
                corner, size = corners[column.name]
                values = (values.astype(np.int64) - corner * SUBCELL) % (size * SUBCELL)
            table[column.name][...] = values
    return region


def _columns(described: Iterable[Mapping[str, Any]]) -> Iterable[Column]:
    for one in described:
        yield Column(one["name"], one["dtype"], tuple(one["parts"]), one["unit"], one["width"])


def _as_piece(region: Region) -> Piece:
    """The whole region as a piece, without copying."""
    tables = {
        name: {column.name: table[column.name] for column in table.schema.columns}
        for name, table in region.tables.items()
    }
    return Piece(region.owned, dict(region.fields), tables)


def _check_layout(path: Path, manifest: Manifest, fields: Sequence[Field], schemas: Sequence[Schema]) -> None:
    """Refuse a snapshot whose fields or columns are not those of the world that is to be opened from it."""

    def compare(place: str, stored: Sequence[Mapping[str, Any]], wanted: Sequence[Field | Column]) -> None:
        before = {one["name"]: (one["dtype"], list(one["parts"]), one.get("width", 0)) for one in stored}
        now = {one.name: (one.dtype, list(one.parts), getattr(one, "width", 0)) for one in wanted}
        for name in [*before, *now]:
            if before.get(name) != now.get(name):
                what = (
                    "is missing in" if name not in before else "is unknown to" if name not in now else "is different in"
                )
                where = "it" if name not in before else "this Umwelt"
                raise SnapshotError(
                    f"{path}: another schema: {place} {name!r} {what} {where}: use the one that wrote it"
                )

    compare("field", manifest.fields, fields)
    if set(manifest.tables) != {schema.name for schema in schemas}:
        raise SnapshotError(
            f"{path}: another schema: it holds the tables {', '.join(manifest.tables)}: use the one that wrote it"
        )
    for schema in schemas:
        carried = [column for column in schema.columns if not column.derived]
        compare(f"{schema.name}: column", manifest.tables[schema.name]["columns"], carried)

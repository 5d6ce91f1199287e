"""A region to disk and back, as Zarr arrays by named column: the one file of the sandbox that touches disks.

A snapshot is a folder:

    manifest.json            schema, tick, seed, digest, counts, controls, frozen world text, what is stored, the parts
    constants/NAME           the world's integer tables, from genesis on
    part-Y-X/cells/NAME      the fields of a rectangle, `dtype[height, width]` or `dtype[part, height, width]`
    part-Y-X/TABLE/NAME      the columns of its beings, positions counted from the world's corner; no derived columns

Its parts are written aside, each by whoever owns the rectangle; then the manifest is, and the folder gets its proper
name: a folder with that name and a manifest is whole. A kept snapshot is compressed and made durable first; a passing
mark is neither, so it outlives a process that is killed, but not the machine. Loading computes the digest of each part
anew: what does not hash to what the manifest says is refused. The digest finds damage; the parts of a kept snapshot
carry a BLAKE2b hash of their files besides, which also finds forgery (`files_hash`).
"""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from umwelt.sandbox import audit
from umwelt.sandbox.columns import PLACE_COLUMNS, TICK_BITS, Column, Schema
from umwelt.sandbox.controls import Controls
from umwelt.sandbox.errors import SnapshotError
from umwelt.sandbox.layout import check_layout, widen
from umwelt.sandbox.region import Field, Piece, Rectangle, Region, Torus, images
from umwelt.sandbox.units import SUBCELL, SUBCELL_BITS

SCHEMA_VERSION = 2
MANIFEST = "manifest.json"
CONSTANTS = "constants"
GROUP_FILE, GROUP = "zarr.json", json.dumps({"zarr_format": 3, "node_type": "group", "attributes": {}})
"""The file that makes a folder one of Zarr's groups, and what stands in it."""
ASIDE = ".writing-"
"""Folders that begin so are half written; nobody reads them."""
CHUNK_BYTES = 8 << 20
SYNCS_AT_ONCE = 16
Layout = tuple[Sequence[Field], Sequence[Schema]]


@dataclass(frozen=True)
class Manifest:
    """What a snapshot holds, without its arrays.

    `parts` are what `write_part` gave. `digest` is the sum of theirs and of the controls', modulo 2^64. `counts` are
    the world's births and deaths. `epoch` is that of the map under which the parts were written.
    """

    schema: int
    name: str
    tick: int
    epoch: int
    kept: bool
    seed: int
    digest: str
    torus: tuple[int, int]
    counts: dict[str, int]
    controls: dict[str, Any]
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
    controls: Controls


def save(path: Path, region: Region, world_text: str, name: str = "") -> Manifest:
    """Write a region that owns the whole torus under `path`, which must not exist yet; whole or not at all.

    `world_text` is the frozen world file. Raises `OSError` where the disk refuses, and leaves nothing behind then.
    """
    path = Path(path)
    aside = path.parent / f"{ASIDE}{path.name}-{os.getpid()}"
    try:
        manifest = _write(aside, region, world_text, name)
        finish(aside, path, manifest, durable=True)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    return manifest


def _write(aside: Path, region: Region, world_text: str, name: str) -> Manifest:
    shutil.rmtree(aside, ignore_errors=True)  # of a process that had the same number once
    aside.mkdir(parents=True)
    seals = write_constants(aside, region.constants)
    piece = region.cut(region.owned)
    part = write_part(aside, piece, region.torus, audit.digest(region), compressed=True)
    layout = (region.field_list, [table.schema for table in region.tables.values()])
    return describe(
        name, world_text, layout, region.torus, region.seed, region.tick, seals, [part], region.counts, region.controls
    )


def write_part(folder: Path, piece: Piece, torus: Torus, digest: int, compressed: bool) -> dict[str, Any]:
    """Write one part of a snapshot into the folder that is its aside; gives its entry in the manifest.

    `piece` is what `region.cut(region.owned)` gave and `digest` its `audit.digest`, both from one moment, so that the
    region may run on while this writes. A compressed part gets a hash of its files. Raises `OSError`, also where the
    folder is gone (nobody wants the part any more) or the part is there already; then nothing of this call is left.
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
    put = _put_compressed if compressed else _put_plain
    try:
        _put_groups(part, "cells", *piece.tables)
        for name, values in piece.fields.items():
            put(part / "cells" / name, values)
        for table, columns in piece.tables.items():
            for name, values in columns.items():
                put(part / table / name, _to_global(piece.rectangle, torus, name, values))
        if compressed:
            entry["hash"] = files_hash(part)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    return entry


def files_hash(folder: Path) -> str:
    """BLAKE2b over the files of a folder, in order of their names: names from there, sizes, and what is in them."""
    found = hashlib.blake2b(digest_size=32)
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder).as_posix().encode("utf-8", "surrogateescape")
        found.update(b"%d %d\n%b\n" % (len(name), path.stat().st_size, name))
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                found.update(block)
    return found.hexdigest()


def write_constants(folder: Path, constants: Mapping[str, np.ndarray]) -> dict[str, str]:
    """Write the world's integer tables into the folder that is a snapshot's aside; gives their seals."""
    _put_groups(folder, CONSTANTS)
    for name, array in constants.items():
        _put_plain(folder / CONSTANTS / name, array)
    return seals_of(constants)


def seals_of(constants: Mapping[str, np.ndarray]) -> dict[str, str]:
    """What the manifest says of the world's integer tables: a hash of each."""
    return {name: _seal(array) for name, array in constants.items()}


def describe(
    name: str,
    world_text: str,
    layout: Layout,
    torus: Torus,
    seed: int,
    tick: int,
    seals: Mapping[str, str],
    parts: Iterable[Mapping[str, Any]],
    counts: Mapping[str, int],
    controls: Controls,
    kept: bool = True,
    epoch: int = 0,
) -> Manifest:
    """The manifest of a snapshot whose parts were written; `seals` are those of its constants."""
    entries = sorted((dict(part) for part in parts), key=lambda part: part["rectangle"][:2])
    fields, schemas = layout
    tables = {
        schema.name: {
            "kind": schema.kind,
            "columns": [_described(column) for column in schema.columns if not column.derived],
        }
        for schema in schemas
    }
    digest = (sum(int(part["digest"], 16) for part in entries) + controls.digest()) & audit.DIGEST_MASK
    return Manifest(
        SCHEMA_VERSION,
        name,
        tick,
        epoch,
        kept,
        seed,
        f"{digest:016x}",
        (torus.height, torus.width),
        dict(counts),
        controls.written(),
        world_text,
        [_described(field) for field in fields],
        tables,
        dict(seals),
        entries,
    )


def finish(aside: Path, path: Path, manifest: Manifest, durable: bool) -> None:
    """Give a snapshot whose parts were all written aside its manifest, and then its proper name.

    `durable` makes all of it outlive a power cut. Raises `SnapshotError` where parts are missing or do not cover the
    world exactly once, and `OSError` where the disk refuses or `path` exists; nothing has its name then.
    """
    text = text_of(manifest)
    for name in [CONSTANTS, *[part["folder"] for part in manifest.parts]]:
        if not (aside / name).is_dir():
            raise SnapshotError(f"{aside}: is not to be finished: {name} is missing")
    _put_groups(aside)
    (aside / MANIFEST).write_text(text, "utf-8")
    if durable:
        _make_durable(aside)
    os.rename(aside, path)
    if durable:
        _sync(path.parent)


def text_of(manifest: Manifest) -> str:
    """The manifest as it is written; `SnapshotError` if it would not be read again, as when its parts leave gaps."""
    text = json.dumps(asdict(manifest), indent=1)
    try:
        _checked(json.loads(text))
    except _NOT_AS_WRITTEN as error:
        raise SnapshotError(f"tick {manifest.tick}: is not to be finished: {_line(error)}") from None
    return text


def read_manifest(path: Path) -> Manifest:
    """The manifest of a snapshot, its schema version checked, and that its parts cover the world exactly once."""
    try:
        content = json.loads((path / MANIFEST).read_text("utf-8"))
        version = content["schema"]
        if version == SCHEMA_VERSION:
            return _checked(content)
    except _NOT_AS_WRITTEN as error:
        raise SnapshotError(f"{path}: damaged or half written: {MANIFEST}: {_line(error)}") from None
    raise SnapshotError(
        f"{path}: schema {version} is not the schema {SCHEMA_VERSION} of this Umwelt: use the one that wrote it"
    )


def load(path: Path, layout: Layout | None = None) -> Snapshot:
    """Read a snapshot and check it: schema, digests, and the world's `layout` (fields and schemas) if it is given."""
    path = Path(path)
    manifest = read_manifest(path)
    constants = load_constants(path, manifest)
    pieces = load_parts(path, manifest, Rectangle(0, 0, *manifest.torus), Torus(*manifest.torus), layout)
    return Snapshot(manifest, pieces, constants, Controls.read(manifest.controls))


def load_constants(path: Path, manifest: Manifest) -> dict[str, np.ndarray]:
    """The world's integer tables out of a snapshot, each checked against its seal."""
    with _damage_named(path):
        constants = {name: _read(path / CONSTANTS / name) for name in manifest.constants}
    if unknown := {folder.name for folder in (path / CONSTANTS).glob("*/")} - set(manifest.constants):
        raise SnapshotError(f"{path}: damaged: the manifest does not know the table {min(unknown)!r}")
    for name, seal in manifest.constants.items():
        if _seal(constants[name]) != seal:
            raise SnapshotError(f"{path}: damaged: the table {name!r} is not what was written")
    return constants


def parts_for(manifest: Manifest, rectangle: Rectangle) -> list[dict[str, Any]]:
    """The entries of the parts that a rectangle overlaps."""
    torus = Torus(*manifest.torus)
    return [
        part for part in manifest.parts if any(True for _ in images(rectangle, Rectangle(*part["rectangle"]), torus))
    ]


def load_parts(
    path: Path, manifest: Manifest, rectangle: Rectangle, torus: Torus, layout: Layout | None = None
) -> list[Piece]:
    """The parts of a snapshot that a rectangle overlaps, each checked alone: what `region.load` needs to own it.

    Nothing else needs to be there, and no other part is looked at. With a `layout` (fields and schemas) the pieces have
    all of its columns, also those that were added since. Raises `SnapshotError` for any damage or another layout.
    """
    if tuple(torus) != tuple(manifest.torus):
        raise SnapshotError(f"{path}: is of a world of {manifest.torus} cells, not of {tuple(torus)}")
    with _damage_named(path):
        if layout is not None:
            _check_layout(path, manifest, *layout)
        pieces = [_checked_piece(path, manifest, part) for part in parts_for(manifest, rectangle)]
        return pieces if layout is None else [widen(piece, layout[1]) for piece in pieces]


def density(path: Path, manifest: Manifest, block_cells: int) -> np.ndarray:
    """Beings in each block of `block_cells` by `block_cells`, `int64[ceil(height/block), ceil(width/block)]`.

    Reads positions alone and checks no digest: to cut a world by its weight, not to live in.
    """
    height, width = (-(-size // block_cells) for size in manifest.torus)
    found = np.zeros(height * width, np.int64)
    with _damage_named(path):
        for part in manifest.parts:
            for name in manifest.tables:
                columns = path / part["folder"] / name
                y = (_read(columns / "y_fixed") >> SUBCELL_BITS) // block_cells
                x = (_read(columns / "x_fixed") >> SUBCELL_BITS) // block_cells
                if len(y) and (min(y.min(), x.min()) < 0 or y.max() >= height or x.max() >= width):
                    raise ValueError(f"{part['folder']}: {name} lie outside the world")
                found += np.bincount(y.astype(np.int64) * width + x, minlength=len(found))
    return found.reshape(height, width)


# --- writing


def _to_global(rectangle: Rectangle, torus: Torus, name: str, values: np.ndarray) -> np.ndarray:
    """Positions in a piece become positions in the world; other columns stay as they are."""
    edges = {"y_fixed": (rectangle.y, torus.height), "x_fixed": (rectangle.x, torus.width)}
    if name not in edges:
        return values
    edge, size = edges[name]
    return ((values.astype(np.int64) + edge * SUBCELL) % (size * SUBCELL)).astype(values.dtype)


def _put_groups(folder: Path, *names: str) -> None:
    """Make a folder and some in it what Zarr knows as groups."""
    for group in (folder, *[folder / name for name in names]):
        group.mkdir(exist_ok=True)
        (group / GROUP_FILE).write_text(GROUP, "utf-8")


def _put_compressed(folder: Path, values: np.ndarray) -> None:
    import zarr
    from zarr.codecs import ZstdCodec

    array = zarr.create_array(
        str(folder),
        shape=values.shape,
        chunks=_chunks(values),
        dtype=values.dtype,
        compressors=[ZstdCodec(level=1, checksum=True)],
        fill_value=0,
        zarr_format=3,
    )
    if values.size:
        array[...] = values


def _put_plain(folder: Path, values: np.ndarray) -> None:
    """Write an uncompressed Zarr array of one chunk by hand.

    Zarr takes 3 ms to make an array, this takes a quarter: a mark of a hundred arrays would be felt otherwise. What
    stands in `zarr.json` is that of the Zarr specification, version 3.
    """
    values = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
    codec: dict[str, Any] = {"name": "bytes"}
    if values.dtype.itemsize > 1:
        codec["configuration"] = {"endian": "little"}
    shape = [max(1, size) for size in values.shape]
    about = {
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
    (folder / "zarr.json").write_text(json.dumps(about), "utf-8")
    if values.size:
        chunk = folder.joinpath("c", *["0"] * values.ndim)
        chunk.parent.mkdir(parents=True)
        with open(chunk, "wb") as file:
            file.write(values.data)


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
    """Sync all that is in a folder. A disk takes many at once: one after another they take ten times as long."""
    paths = [Path(parent, name) for parent, _, files in os.walk(folder) for name in (*files, "")]
    with ThreadPoolExecutor(SYNCS_AT_ONCE) as pool:
        for _ in pool.map(_sync, paths):
            pass


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


# --- reading


_NOT_AS_WRITTEN = (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError)
"""How a manifest that was tampered with or cut shows itself."""
_KINDS = {
    "name": str,
    "tick": int,
    "epoch": int,
    "kept": bool,
    "seed": int,
    "digest": str,
    "torus": list,
    "counts": dict,
    "controls": dict,
    "world": str,
    "fields": list,
    "tables": dict,
    "constants": dict,
    "parts": list,
}
_PLAIN_NAME = re.compile(r"\w[\w.-]*")
_ENTRY = ("folder", "rectangle", "digest", "beings")
_HASH = re.compile(r"[0-9a-f]{16}")
_FILES_HASH = re.compile(r"[0-9a-f]{64}")


def _line(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".replace("\n", " ")


@contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    """Turns whatever a damaged array fails with (there are as many ways as codecs) into one line with the snapshot."""
    try:
        yield
    except SnapshotError:
        raise
    except Exception as error:
        raise SnapshotError(f"{path}: damaged: {_line(error)}") from None


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
    columns = [one for table in manifest.tables.values() for one in table["columns"]]
    names = [*manifest.constants, *manifest.tables, *[one["name"] for one in [*manifest.fields, *columns]]]
    for name in names:  # they become paths
        if not _PLAIN_NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name")
    _check_parts(manifest.parts, Torus(*manifest.torus), manifest.tables.keys())
    total = sum(int(part["digest"], 16) for part in manifest.parts) + Controls.read(manifest.controls).digest()
    if manifest.digest != f"{total & audit.DIGEST_MASK:016x}":
        raise ValueError(f'"digest" is {manifest.digest}, those of parts and controls add up to another')
    return manifest


def _check_parts(parts: Sequence[Mapping[str, Any]], torus: Torus, tables: Iterable[str]) -> None:
    """Refuse parts that are not as `write_part` gives them, or do not cover the torus exactly once."""
    boxes = []
    for part in parts:
        y, x, height, width = part["rectangle"]
        if any(type(value) is not int for value in part["rectangle"]) or not (
            0 <= y < torus.height and 0 <= x < torus.width and 0 < height <= torus.height and 0 < width <= torus.width
        ):
            raise ValueError(f'"parts": the rectangle {part["rectangle"]} is not of this world')
        if part["folder"] != f"part-{y}-{x}" or not _HASH.fullmatch(part["digest"]):
            raise ValueError(f'"parts": {part["folder"]!r} is not as it was written')
        counts = [part["beings"][name] for name in tables]
        if "hash" in part and not _FILES_HASH.fullmatch(part["hash"]):
            raise ValueError(f'"parts": the hash of {part["folder"]!r} is none')
        if part.keys() - {"hash"} != set(_ENTRY) or any(type(count) is not int or count < 0 for count in counts):
            raise ValueError(f'"parts": {part["folder"]!r} is not as it was written')
        rows = [(y, min(y + height, torus.height)), (0, y + height - torus.height)]
        columns = [(x, min(x + width, torus.width)), (0, x + width - torus.width)]
        boxes += [(top, left, bottom, right) for top, bottom in rows for left, right in columns]
    found = np.array([box for box in boxes if box[0] < box[2] and box[1] < box[3]], np.int64).reshape(-1, 4)
    top, left, bottom, right = found.T
    meet = (top[:, None] < bottom) & (top < bottom[:, None]) & (left[:, None] < right) & (left < right[:, None])
    if int(((bottom - top) * (right - left)).sum()) != torus.cells or np.count_nonzero(meet) != len(found):
        raise ValueError('"parts": they do not cover the world exactly once')


def _read(path: Path) -> np.ndarray:
    import zarr

    return np.asarray(zarr.open_array(store=str(path), mode="r", zarr_format=3)[...])


def _checked_piece(path: Path, manifest: Manifest, part: Mapping[str, Any]) -> Piece:
    """A part of a snapshot, if it still hashes to what was written."""
    region = _read_part(path, manifest, part)
    found = f"{audit.digest(region):016x}"
    if found != part["digest"]:
        raise SnapshotError(f"{path}: damaged: the digest of {part['folder']} is {found}, was {part['digest']}")
    return _as_piece(region)


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
        table.append(part["beings"][name])
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
    """Raise SnapshotError for a snapshot that does not open with these fields and schemas."""
    try:
        check_layout(manifest.fields, manifest.tables, fields, schemas)
    except ValueError as error:
        raise SnapshotError(f"{path}: another schema: {error}: use the Umwelt that wrote it") from None

"""The file of a recorded world: what its beings and fields were at each moment, small enough to come with Umwelt.

A recording has three clocks. Its moments lie `moment_ticks` apart: then monsters have moved. After `slow` moments all
else of beings is told anew, and after `field` moments what cells hold; in between, fields are mixed from both sides.

Beings are kept as tracks: a being's samples lie side by side, ordered by id, so that a column's steps are small. Each
block of the file is an array: differences along its first axis, their bytes sorted by significance, zstd.
"""

import hashlib
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, TypedDict

import msgspec
import numpy as np
from numcodecs import zstd

from umwelt.client.window.feed.series import Metrics, fits
from umwelt.cluster.run.store import replace_file
from umwelt.sandbox.columns import PLACE_BITS
from umwelt.sandbox.errors import UmweltError
from umwelt.sandbox.units import SUBCELL, SUBCELL_BITS

MAGIC = b"umwelt recording 1\n"
ZSTD_LEVEL = 22
MAX_FILE_BYTES, MAX_HEAD_BYTES = 64 << 20, 1 << 20
MAX_RAW_BYTES, MAX_BLOCKS, MAX_MOMENTS = 512 << 20, 500, 100_000
SEAL_BYTES = 16
MEND = "make one with: python -m umwelt.client.window.recording.make_demo FILE"
_SIZES = struct.Struct("<II")
_DTYPES = {name: np.dtype(name) for name in ("int8", "uint8", "int16", "uint16", "int32", "int64")}


class Block(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """An array of the file; `differences` says whether each entry is told by how far it is from the one before."""

    name: str
    dtype: str
    shape: list[int]
    differences: bool
    size_bytes: int


class Head(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What stands before the blocks; `told` is what a recording says of itself."""

    told: dict[str, Any]
    blocks: list[Block]


@dataclass
class Tracks:
    """Beings of one table over time. A track has `counts[i]` samples from sample `firsts[i]` on, from row `starts[i]`.

    `fixed[column]` has a row a track, `moving[column]` a row a sample: `int[row]` or `int[row, entry]`. Places are
    counted from `birthplaces`, genomes as they differ from parents', and `born_tick` stands for ages.
    """

    ids: np.ndarray
    firsts: np.ndarray
    counts: np.ndarray
    fixed: dict[str, np.ndarray] = field(default_factory=dict)
    moving: dict[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.starts = np.cumsum(self.counts, dtype=np.int64) - self.counts

    def living(self, sample: int) -> np.ndarray:
        """The tracks that have a sample."""
        return np.flatnonzero((self.firsts <= sample) & (sample < self.firsts.astype(np.int64) + self.counts))

    def rows(self, tracks: np.ndarray, sample: int) -> np.ndarray:
        """Where the samples of some tracks are: their first or last one where they have not that one."""
        return self.starts[tracks] + np.clip(sample - self.firsts[tracks].astype(np.int64), 0, self.counts[tracks] - 1)


@dataclass
class Recording:
    """See the page's top. `text` is the frozen world file.

    `tracks` are the tables' slow ones, and `<table>.moves` those of every moment. `fields[layer]`: `int32[sample, y,
    x]`. `statuses`: for each slow sample what `Status` tells of the world's numbers.
    """

    name: str
    text: str
    first_tick: int
    ticks_per_s: float
    moment_ticks: int
    moments: int
    slow: int
    field: int
    steps: dict[str, int]
    """Columns, and layers as `fields/<layer>`, are told in steps of so many units."""
    levels: dict[str, list[int]]
    """Columns that are told as numbers of levels."""
    statuses: list[dict[str, Any]]
    tracks: dict[str, Tracks]
    fields: dict[str, np.ndarray]


class _Told(TypedDict):
    """What a recording says of itself."""

    name: str
    text: str
    first_tick: int
    ticks_per_s: float
    moment_ticks: int
    moments: int
    slow: int
    field: int
    steps: dict[str, Annotated[int, msgspec.Meta(ge=1, le=1 << 20)]]
    levels: dict[str, Annotated[list[Annotated[int, msgspec.Meta(ge=0, le=1 << 15)]], msgspec.Meta(min_length=1)]]
    statuses: list[Metrics]


_ORDERS = ("ids", "firsts", "counts")
TOLD = tuple(_Told.__annotations__)


# --- what is told by what else is known


def birthplaces(ids: np.ndarray, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """The middles of the cells that ids were born in, `int64[being]` twice: most plants never leave it."""
    place = (ids & ((1 << PLACE_BITS) - 1)) % (height * width)
    return (place // width << SUBCELL_BITS) + SUBCELL // 2, (place % width << SUBCELL_BITS) + SUBCELL // 2


def _parents(ids: np.ndarray, parent_ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The row of each being's parent, and whether it is among those before it."""
    at = np.minimum(np.searchsorted(ids, parent_ids), max(0, len(ids) - 1))
    return at, (ids[at] == parent_ids) & (at < np.arange(len(ids)))


def against_parents(ids: np.ndarray, parent_ids: np.ndarray, genomes: np.ndarray) -> np.ndarray:
    """Genomes as they differ from the parents' (where those are among them), `int8[being, gene]`; ids are ordered."""
    at, known = _parents(ids, parent_ids)
    return np.where(known[:, None], genomes - genomes[at], genomes)


def from_parents(ids: np.ndarray, parent_ids: np.ndarray, told: np.ndarray) -> np.ndarray:
    """The inverse of `against_parents`."""
    at, known = _parents(ids, parent_ids)
    depths = [0] * len(ids)
    for row, (parent, has_one) in enumerate(zip(at.tolist(), known.tolist(), strict=True)):
        if has_one:
            depths[row] = depths[parent] + 1
    depth, genomes = np.array(depths, np.int64), told.copy()
    for one in range(1, int(depth.max(initial=0)) + 1):
        rows = np.flatnonzero(depth == one)
        genomes[rows] += genomes[at[rows]]
    return genomes


# --- arrays and bytes


def _packed(name: str, array: np.ndarray, differences: bool) -> tuple[Block, bytes]:
    values = np.ascontiguousarray(array)
    block = Block(name, values.dtype.name, list(values.shape), differences, 0)
    if differences:
        steps = np.diff(values, axis=0, prepend=np.zeros((1, *values.shape[1:]), values.dtype))
        if values.ndim == 3:  # the first plane of a field is told along its rows
            steps[:1] = np.diff(values[:1], axis=2, prepend=values.dtype.type(0))
        values = steps
    values = values.reshape(len(values), math.prod(values.shape[1:])).T  # entries of one kind side by side
    signed = np.ascontiguousarray(values).view(f"i{values.dtype.itemsize}")
    folded = (signed << 1) ^ (signed >> (8 * signed.itemsize - 1))  # small steps either way become small numbers
    planes = np.ascontiguousarray(folded).reshape(-1, 1).view(np.uint8).T
    content = zstd.compress(np.ascontiguousarray(planes), ZSTD_LEVEL)
    return msgspec.structs.replace(block, size_bytes=len(content)), content


def _unpacked(block: Block, content: bytes) -> np.ndarray:
    dtype = _DTYPES[block.dtype]
    count = math.prod(block.shape)
    raw = _expanded(content, count * dtype.itemsize)
    folded = np.ascontiguousarray(raw.reshape(dtype.itemsize, -1).T).view(f"u{dtype.itemsize}").reshape(-1)
    one = folded.dtype.type(1)
    signed = ((folded >> one) ^ (np.zeros_like(folded) - (folded & one))).view(dtype)
    if not count:
        return np.zeros(block.shape, dtype)
    values = np.ascontiguousarray(signed.reshape(-1, block.shape[0]).T).reshape(block.shape)
    if block.differences:
        if values.ndim == 3:
            values[0] = np.cumsum(values[0], axis=1, dtype=dtype)
        values = np.cumsum(values, axis=0, dtype=dtype)
    return values


def packed(told: Mapping[str, Any], arrays: Mapping[str, tuple[np.ndarray, bool]]) -> bytes:
    """A file's bytes: what it says of itself, and arrays by name, each with whether its differences are told."""
    found = [_packed(name, array, differences) for name, (array, differences) in arrays.items()]
    head = msgspec.msgpack.encode(Head(dict(told), [block for block, _ in found]))
    small = zstd.compress(head, ZSTD_LEVEL)
    rest = _SIZES.pack(len(small), len(head)) + small + b"".join(content for _, content in found)
    return MAGIC + _seal(rest) + rest


def _seal(rest: bytes) -> bytes:
    return hashlib.blake2b(rest, digest_size=SEAL_BYTES).digest()


def unpacked(content: bytes) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """What `packed` was given; `ValueError` for whatever is no such file."""
    if content[: len(MAGIC)] != MAGIC:
        raise ValueError("no recording of this version of Umwelt")
    rest = content[len(MAGIC) + SEAL_BYTES :]
    if len(rest) < _SIZES.size or _seal(rest) != content[len(MAGIC) : len(MAGIC) + SEAL_BYTES]:
        raise ValueError("it is cut short or damaged")
    small_bytes, head_bytes = _SIZES.unpack_from(rest)
    if max(small_bytes, head_bytes) > MAX_HEAD_BYTES:
        raise ValueError("its head is too large")
    begin = _SIZES.size + small_bytes
    arrays: dict[str, np.ndarray] = {}
    try:
        head = msgspec.msgpack.decode(_expanded(rest[_SIZES.size : begin], head_bytes).tobytes(), type=Head)
        _check(head)
        for block in head.blocks:
            arrays[block.name] = _unpacked(block, rest[begin : begin + block.size_bytes])
            begin += block.size_bytes
    except (RuntimeError, TypeError, RecursionError, MemoryError) as error:
        raise ValueError(f"it is damaged: {error}") from None
    return head.told, arrays


def _check(head: Head) -> None:
    raw_bytes = 0
    for block in head.blocks:
        if block.dtype not in _DTYPES or not 1 <= len(block.shape) <= 3 or min(block.shape) < 0 or block.size_bytes < 0:
            raise ValueError(f"{block.name} is no array")
        raw_bytes += math.prod(block.shape) * _DTYPES[block.dtype].itemsize
    if len(head.blocks) > MAX_BLOCKS or raw_bytes > MAX_RAW_BYTES:
        raise ValueError("it is too large")


def _expanded(content: bytes, size_bytes: int) -> np.ndarray:
    raw = np.zeros(max(1, size_bytes), np.uint8)
    if size_bytes:
        zstd.decompress(content, raw)
    return raw[:size_bytes]


# --- recordings


def encoded(recording: Recording) -> bytes:
    """A recording's file."""
    arrays: dict[str, tuple[np.ndarray, bool]] = {}
    for table, tracks in recording.tracks.items():
        arrays |= {f"{table}/{name}": (getattr(tracks, name), True) for name in _ORDERS}
        for kind in ("fixed", "moving"):
            for column, values in getattr(tracks, kind).items():
                arrays[f"{table}/{kind}/{column}"] = (values, kind == "moving" or values.ndim == 1)
    arrays |= {f"fields/{layer}": (values, True) for layer, values in recording.fields.items()}
    return packed({name: getattr(recording, name) for name in TOLD}, arrays)


def write(recording: Recording, path: Path) -> None:
    """Write a recording's file."""
    try:
        with replace_file(path) as half:
            half.write_bytes(encoded(recording))
    except OSError as error:
        raise UmweltError(f"{path}: cannot be written: {error.strerror or error}: choose another place") from None


def read(path: Path) -> Recording:
    """A recording from its file; `UmweltError`, one line, for whatever is none."""

    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ValueError("it is too large")
        return decoded(path.read_bytes())
    except OSError as error:
        raise UmweltError(f"{path}: cannot be read: {error.strerror or error}: {MEND}") from None
    except (ValueError, LookupError, TypeError, msgspec.MsgspecError) as error:
        raise UmweltError(f"{path}: no recording that can be shown: {' '.join(str(error).split())}: {MEND}") from None


def decoded(content: bytes) -> Recording:
    """A recording from its file's bytes; `ValueError`, `LookupError` or `TypeError` for whatever is none."""
    told, arrays = unpacked(content)
    parts: dict[str, dict[str, Any]] = {}
    fields = {}
    for name, array in arrays.items():
        table, *rest = name.split("/")
        if table == "fields":
            fields[rest[0]] = array
        elif len(rest) == 1:
            parts.setdefault(table, {})[rest[0]] = array
        else:
            parts.setdefault(table, {}).setdefault(rest[0], {})[rest[1]] = array
    tracks = {table: Tracks(**found) for table, found in parts.items()}
    recording = Recording(**told, tracks=tracks, fields=fields)
    _check_recording(recording)
    return recording


def _check_recording(recording: Recording) -> None:
    if not fits({name: getattr(recording, name) for name in TOLD}, _Told):
        raise ValueError("it tells something else of itself than recordings do")
    clocks = recording.moment_ticks, recording.moments, recording.slow, recording.field
    if not all(isinstance(count, int) and 1 <= count <= MAX_MOMENTS for count in clocks):
        raise ValueError("its clocks do not run")
    if not 0 < recording.ticks_per_s < 1e4 or not 0 <= recording.first_tick < 1 << 28:
        raise ValueError("its clocks do not run")
    if len(recording.statuses) < -(-recording.moments // recording.slow):
        raise ValueError("it does not tell how its world went")
    for table, tracks in recording.tracks.items():
        beings, samples = len(tracks.ids), int(tracks.counts.sum(dtype=np.int64))
        if {tracks.ids.ndim, tracks.firsts.ndim, tracks.counts.ndim} != {1} or (np.diff(tracks.ids) <= 0).any():
            raise ValueError(f"{table}: beings are out of order")
        if len(tracks.firsts) != beings or len(tracks.counts) != beings or (beings and int(tracks.counts.min()) < 1):
            raise ValueError(f"{table}: tracks do not fit")
        lengths = {len(values) for values in tracks.fixed.values()} - {beings}
        if lengths or {len(values) for values in tracks.moving.values()} - {samples}:
            raise ValueError(f"{table}: columns do not fit")
    for layer, values in recording.fields.items():
        if values.ndim != 3 or len(values) not in (1, 1 + -(-recording.moments // recording.field)):
            raise ValueError(f"{layer}: planes are missing")

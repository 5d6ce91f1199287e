"""The file format of recordings: the beings and fields of a world over time, small enough to be bundled with Umwelt.

A layer is a quantity of each cell, such as water; its values are a field. A table holds all beings of one kind, with a
column for each of their properties; a column can have several entries per being, such as one for each organ. A
recording is a sequence of *moments*, `moment_ticks` ticks apart. The positions and other fast columns of monsters are
sampled at each moment, all other columns of beings every `slow` moments, and fields every `field` moments. Fields are
interpolated between their samples.

Beings are stored as tracks: all samples of a being are adjacent rows, and tracks are ordered by id, so that successive
values of a column differ little. Each array is stored as one block, most of them as differences along the first axis,
with their bytes grouped by significance, compressed by zstd.

The file consists of its version (`MAGIC`), a hash of all that follows, the sizes of the head, the head, and the blocks.
The head has all that is not an array, and descriptions of the blocks. It includes the names of the entries of columns
(`Recording.entries`), so a file can still be read after entries, such as organs, were added to Umwelt; these have
default values (`match_entries`).
"""

import hashlib
import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, TypedDict

import msgspec
import numpy as np
from numcodecs import zstd

from umwelt.client.window.feed.series import Metrics, fits
from umwelt.cluster import replace_file
from umwelt.sandbox.columns import PLACE_BITS, Column
from umwelt.sandbox.errors import UmweltError
from umwelt.sandbox.units import SUBCELL, SUBCELL_BITS

MAGIC = b"umwelt recording 2\n"
ZSTD_LEVEL = 22
MAX_FILE_BYTES, MAX_HEAD_BYTES = 64 << 20, 1 << 20
MAX_RAW_BYTES, MAX_BLOCKS, MAX_MOMENTS = 512 << 20, 500, 100_000
"""Limits of a file: sizes of the file, of the head and of all decoded arrays, numbers of arrays and of moments."""
SEAL_BYTES = 16
"""Length in bytes of the BLAKE2b hash of all that follows it in the file, by which damage is detected."""
MEND = "make one with: python -m umwelt.client.window.recording.make_demo FILE"
"""The fix in error messages about invalid files."""
_SIZES = struct.Struct("<II")
"""The compressed and the uncompressed size of the head, in bytes."""
_DTYPES = {name: np.dtype(name) for name in ("int8", "uint8", "int16", "uint16", "int32", "int64")}
"""The dtypes that arrays of a file may have."""


class Block(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """The description of an array in the file.

    `differences` is whether each row is stored as its difference from the previous row; `size_bytes` is the size of the
    compressed array.
    """

    name: str
    dtype: str
    shape: list[int]
    differences: bool
    size_bytes: int


class Head(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The head of a file; `values` has the keys of `_HeadValues`, `blocks` describe the arrays in their order."""

    values: dict[str, Any]
    blocks: list[Block]


@dataclass
class Tracks:
    """The samples of the beings of one table. A track is all samples of one being; tracks are sorted by id.

    Track `i` is that of the being `ids[i]`. It has `counts[i]` samples, numbered from `firsts[i]`, which begin at row
    `starts[i]`.

    `fixed[column]` has one row per track, `moving[column]` one row per sample: `int[row]` or `int[row, entry]`.
    `fixed` are the columns that never change. Positions are relative to the place of birth (`birthplaces`), genomes are
    differences from the parents' genomes (`against_parents`), and `born_tick`, the tick of birth, replaces ages.
    """

    ids: np.ndarray
    firsts: np.ndarray
    counts: np.ndarray
    fixed: dict[str, np.ndarray] = field(default_factory=dict)
    moving: dict[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.starts = np.cumsum(self.counts, dtype=np.int64) - self.counts

    def living(self, sample: int) -> np.ndarray:
        """Returns the indices of the tracks that have a sample with this number, `int64[n]`, ascending."""
        return np.flatnonzero((self.firsts <= sample) & (sample < self.firsts.astype(np.int64) + self.counts))

    def rows(self, tracks: np.ndarray, sample: int) -> np.ndarray:
        """Returns the row in `moving` of the sample with this number, for each track whose index is in `tracks`.

        For a track without that sample, it is the row of its first or last sample, whichever is nearer.
        """
        return self.starts[tracks] + np.clip(sample - self.firsts[tracks].astype(np.int64), 0, self.counts[tracks] - 1)


@dataclass
class Recording:
    """A recorded world; `make_demo` records it, `demo.Playback` plays it.

    `text` is the text of the world file. `moments` is the number of moments; `moment_ticks`, `slow` and `field` are the
    intervals of samples (see the module's docstring). `tracks["<table>"]` has the samples of every `slow` moments,
    `tracks["<table>.moves"]` those of each moment. `fields[layer]` is `int[sample, y, x]`, with a single sample if the
    layer never changes. `statuses` has measurements of the world (populations and so on) every `slow` moments.
    """

    name: str
    text: str
    first_tick: int
    ticks_per_s: float
    moment_ticks: int
    moments: int
    slow: int
    field: int
    entries: dict[str, dict[str, list[str]]]
    """The names of the entries of columns with several, in the order of the arrays: table -> column -> names."""
    steps: dict[str, int]
    """The factor by which stored values are multiplied, for columns and layers (keyed "fields/<layer>"); default 1."""
    levels: dict[str, list[int]]
    """By column: the values that are meant by the stored numbers, which are indices into this list."""
    statuses: list[dict[str, Any]]
    tracks: dict[str, Tracks]
    fields: dict[str, np.ndarray]


class _HeadValues(TypedDict):
    """The values in the head of a file: the fields of `Recording` that are not arrays."""

    name: str
    text: str
    first_tick: int
    ticks_per_s: float
    moment_ticks: int
    moments: int
    slow: int
    field: int
    entries: dict[str, dict[str, list[str]]]
    steps: dict[str, Annotated[int, msgspec.Meta(ge=1, le=1 << 20)]]
    levels: dict[str, Annotated[list[Annotated[int, msgspec.Meta(ge=0, le=1 << 15)]], msgspec.Meta(min_length=1)]]
    statuses: list[Metrics]


_ORDERS = ("ids", "firsts", "counts")
"""The names of the arrays of `Tracks` that are not columns of beings."""
HEAD_VALUES = tuple(_HeadValues.__annotations__)
"""The names of the fields of `Recording` that are not arrays."""


# --- columns that are stored relative to others


def birthplaces(ids: np.ndarray, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the centres of the cells in which beings were born, which their ids encode.

    The result is `y` and `x`, `int64[being]`, in 1/`SUBCELL` of a cell; `height` and `width` are the world's, in cells.
    """
    place = (ids & ((1 << PLACE_BITS) - 1)) % (height * width)
    return (place // width << SUBCELL_BITS) + SUBCELL // 2, (place % width << SUBCELL_BITS) + SUBCELL // 2


def _parents(ids: np.ndarray, parent_ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the row of each being's parent, `int64[being]`, and whether there is one, `bool[being]`.

    There is one if the parent's id is in `ids`, which are sorted, in an earlier row; else the row has no meaning.
    """
    at = np.minimum(np.searchsorted(ids, parent_ids), max(0, len(ids) - 1))
    return at, (ids[at] == parent_ids) & (at < np.arange(len(ids)))


def against_parents(ids: np.ndarray, parent_ids: np.ndarray, genomes: np.ndarray) -> np.ndarray:
    """Returns each genome minus its parent's genome, or unchanged if the parent is absent: `int8[being, gene]`.

    `ids` are sorted. The inverse is `from_parents`.
    """
    at, known = _parents(ids, parent_ids)
    return np.where(known[:, None], genomes - genomes[at], genomes)


def from_parents(ids: np.ndarray, parent_ids: np.ndarray, differences: np.ndarray) -> np.ndarray:
    """Returns the genomes, `int8[being, gene]`, from the differences that `against_parents` computed."""
    at, known = _parents(ids, parent_ids)
    depths = [0] * len(ids)
    for row, (parent, has_one) in enumerate(zip(at.tolist(), known.tolist(), strict=True)):
        if has_one:
            depths[row] = depths[parent] + 1
    depth, genomes = np.array(depths, np.int64), differences.copy()
    for generation in range(1, int(depth.max(initial=0)) + 1):
        rows = np.flatnonzero(depth == generation)
        genomes[rows] += genomes[at[rows]]
    return genomes


def match_entries(values: np.ndarray, names: Sequence[str], column: Column) -> np.ndarray:
    """Converts a recorded column, `int[row, entry]`, to the entries that `column` has in this version of Umwelt.

    `names` are the recorded entries' names. Named entries are matched by name; in a column without names, by position.
    Entries that were not recorded have the column's default value; recorded entries that no longer exist are dropped.
    Raises ValueError if the array's shape does not match `names`, or an unnamed column was recorded with more entries.
    """
    if values.ndim != 2 or (column.parts and len(names) != values.shape[1]):
        raise ValueError(f"{column.name}: entries do not fit")
    if column.parts == tuple(names) and values.shape[1] == column.entries:
        return values
    matched = np.full((len(values), column.entries), column.default, values.dtype)
    if column.parts:
        for index, name in enumerate(column.parts):
            if name in names:
                matched[:, index] = values[:, names.index(name)]
    elif values.shape[1] < column.width:
        matched[:, : values.shape[1]] = values
    else:
        raise ValueError(f"{column.name}: {values.shape[1]} entries, this Umwelt knows {column.width}")
    return matched


# --- arrays and bytes


def _pack_array(name: str, array: np.ndarray, differences: bool) -> tuple[Block, bytes]:
    """Returns the description of an array and its encoded, compressed bytes. The inverse is `_unpack_array`."""
    values = np.ascontiguousarray(array)
    block = Block(name, values.dtype.name, list(values.shape), differences, 0)
    if differences:
        steps = np.diff(values, axis=0, prepend=np.zeros((1, *values.shape[1:]), values.dtype))
        if values.ndim == 3:  # the first sample of a field is stored as differences along x
            steps[:1] = np.diff(values[:1], axis=2, prepend=values.dtype.type(0))
        values = steps
    values = values.reshape(len(values), math.prod(values.shape[1:])).T  # makes the values of each entry contiguous
    signed = np.ascontiguousarray(values).view(f"i{values.dtype.itemsize}")
    folded = (signed << 1) ^ (signed >> (8 * signed.itemsize - 1))  # zigzag: small numbers for either sign
    planes = np.ascontiguousarray(folded).reshape(-1, 1).view(np.uint8).T
    content = zstd.compress(np.ascontiguousarray(planes), ZSTD_LEVEL)
    return msgspec.structs.replace(block, size_bytes=len(content)), content


def _unpack_array(block: Block, content: bytes) -> np.ndarray:
    """Returns the array with the given description, decoded from its compressed bytes `content`."""
    dtype = _DTYPES[block.dtype]
    count = math.prod(block.shape)
    raw = _decompress(content, count * dtype.itemsize)
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


def pack(values: Mapping[str, Any], arrays: Mapping[str, tuple[np.ndarray, bool]]) -> bytes:
    """Returns the content of a file with these values in its head and these arrays; the inverse is `unpack`.

    `arrays[name]` is an array, and whether its rows are stored as differences.
    """
    blocks = [_pack_array(name, array, differences) for name, (array, differences) in arrays.items()]
    head = msgspec.msgpack.encode(Head(dict(values), [block for block, _ in blocks]))
    small = zstd.compress(head, ZSTD_LEVEL)
    rest = _SIZES.pack(len(small), len(head)) + small + b"".join(content for _, content in blocks)
    return MAGIC + _seal(rest) + rest


def _seal(rest: bytes) -> bytes:
    """Returns the hash of `rest`, the part of the file that follows the hash."""
    return hashlib.blake2b(rest, digest_size=SEAL_BYTES).digest()


def unpack(content: bytes) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Decodes a file: returns the values of its head, and its arrays by name. Raises ValueError if it is malformed."""
    if content[: len(MAGIC)] != MAGIC:
        raise ValueError(f"it is not a recording of version {MAGIC.split()[-1].decode()}")
    rest = content[len(MAGIC) + SEAL_BYTES :]
    if len(rest) < _SIZES.size or _seal(rest) != content[len(MAGIC) : len(MAGIC) + SEAL_BYTES]:
        raise ValueError("it is cut short or damaged")
    small_bytes, head_bytes = _SIZES.unpack_from(rest)
    if max(small_bytes, head_bytes) > MAX_HEAD_BYTES:
        raise ValueError("its head is too large")
    begin = _SIZES.size + small_bytes
    arrays: dict[str, np.ndarray] = {}
    try:
        head = msgspec.msgpack.decode(_decompress(rest[_SIZES.size : begin], head_bytes).tobytes(), type=Head)
        _check_head(head)
        for block in head.blocks:
            arrays[block.name] = _unpack_array(block, rest[begin : begin + block.size_bytes])
            begin += block.size_bytes
    except (RuntimeError, TypeError, RecursionError, MemoryError) as error:
        raise ValueError(f"it is damaged: {error}") from None
    return head.values, arrays


def _check_head(head: Head) -> None:
    """Raises ValueError if the description of an array is invalid, or if there are too many or too large ones."""
    raw_bytes = 0
    for block in head.blocks:
        if block.dtype not in _DTYPES or not 1 <= len(block.shape) <= 3 or min(block.shape) < 0 or block.size_bytes < 0:
            raise ValueError(f"{block.name} is not an array")
        raw_bytes += math.prod(block.shape) * _DTYPES[block.dtype].itemsize
    if len(head.blocks) > MAX_BLOCKS or raw_bytes > MAX_RAW_BYTES:
        raise ValueError("it is too large")


def _decompress(content: bytes, size_bytes: int) -> np.ndarray:
    """Decompresses `content` to `size_bytes` bytes, `uint8[size_bytes]`."""
    raw = np.zeros(max(1, size_bytes), np.uint8)
    if size_bytes:
        zstd.decompress(content, raw)
    return raw[:size_bytes]


# --- recordings


def encode(recording: Recording) -> bytes:
    """Returns the content of a recording's file."""
    arrays: dict[str, tuple[np.ndarray, bool]] = {}
    for table, tracks in recording.tracks.items():
        arrays |= {f"{table}/{name}": (getattr(tracks, name), True) for name in _ORDERS}
        for kind in ("fixed", "moving"):
            for column, values in getattr(tracks, kind).items():
                arrays[f"{table}/{kind}/{column}"] = (values, kind == "moving" or values.ndim == 1)
    arrays |= {f"fields/{layer}": (values, True) for layer, values in recording.fields.items()}
    return pack({name: getattr(recording, name) for name in HEAD_VALUES}, arrays)


def write(recording: Recording, path: Path) -> None:
    """Writes a recording to a file. Raises UmweltError if the file cannot be written."""
    try:
        with replace_file(path) as half:
            half.write_bytes(encode(recording))
    except OSError as error:
        raise UmweltError(f"{path}: cannot be written: {error.strerror or error}: choose another place") from None


def read(path: Path) -> Recording:
    """Reads a recording from a file. Raises UmweltError if the file cannot be read or is not a valid recording."""
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ValueError("it is too large")
        return decode(path.read_bytes())
    except OSError as error:
        raise UmweltError(f"{path}: cannot be read: {error.strerror or error}: {MEND}") from None
    except (ValueError, LookupError, TypeError, msgspec.MsgspecError) as error:
        raise UmweltError(f"{path}: not a valid recording: {' '.join(str(error).split())}: {MEND}") from None


def decode(content: bytes) -> Recording:
    """Decodes the content of a recording's file. Raises ValueError, LookupError or TypeError if it is malformed."""
    values, arrays = unpack(content)
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
    tracks = {table: Tracks(**columns) for table, columns in parts.items()}
    recording = Recording(**values, tracks=tracks, fields=fields)
    _check_recording(recording)
    return recording


def _check_recording(recording: Recording) -> None:
    """Raises ValueError if the parts of a recording have invalid values or do not fit together."""
    if not fits({name: getattr(recording, name) for name in HEAD_VALUES}, _HeadValues):
        raise ValueError("the values in its head are not those of a recording")
    clocks = recording.moment_ticks, recording.moments, recording.slow, recording.field
    if not all(isinstance(count, int) and 1 <= count <= MAX_MOMENTS for count in clocks):
        raise ValueError("its clocks are out of range")
    if not 0 < recording.ticks_per_s < 1e4 or not 0 <= recording.first_tick < 1 << 28:
        raise ValueError("its clocks are out of range")
    if len(recording.statuses) < -(-recording.moments // recording.slow):
        raise ValueError("statuses are missing")
    for table, tracks in recording.tracks.items():
        beings, samples = len(tracks.ids), int(tracks.counts.sum(dtype=np.int64))
        if {tracks.ids.ndim, tracks.firsts.ndim, tracks.counts.ndim} != {1} or (np.diff(tracks.ids) <= 0).any():
            raise ValueError(f"{table}: beings are not sorted by id")
        if len(tracks.firsts) != beings or len(tracks.counts) != beings or (beings and int(tracks.counts.min()) < 1):
            raise ValueError(f"{table}: tracks do not fit")
        lengths = {len(values) for values in tracks.fixed.values()} - {beings}
        if lengths or {len(values) for values in tracks.moving.values()} - {samples}:
            raise ValueError(f"{table}: columns do not fit")
    for layer, values in recording.fields.items():
        if values.ndim != 3 or len(values) not in (1, 1 + -(-recording.moments // recording.field)):
            raise ValueError(f"{layer}: planes are missing")

"""Tiles, the format in which viewers receive the world: encoder and decoder, as pure functions of arrays and bytes.

The world is divided into squares: of 64 cells a side for single beings and cells, and of 512 cells for densities, which
are counted in bins of 8 x 8 cells. A topic names a tile: the level of detail, the layer, and the square.

    level       layer       content
    bodies      0           beings with all their visible properties (`Laws.appearance`)
    dots        0           beings as place, species and size
    densities   0           the number of beings of each species in each bin
    bodies      1, 2, ...   a field, cell by cell (`layers_of`)
    densities   1, 2, ...   the mean of a field over each bin

A tile whose square lies on several nodes is sent in pieces: each node sends the piece that it owns, with its rectangle
and tick. A piece is one frame: the length of its head (uint32), its head (msgpack of `Head`), and its contents (zstd).
The head names every column with its type, so a piece can be decoded without knowing the tables of the world.

`tile_encoder.py` creates pieces from a region; viewers decode and join them.
"""

import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from numcodecs import zstd

from umwelt.agents.world_file import WorldFile
from umwelt.sandbox.region import Rectangle, Torus, images
from umwelt.sandbox.step import Appearance, Look

VERSION = 1
LEVELS = ("bodies", "dots", "densities")
BODIES, DOTS, DENSITIES = range(3)
BEINGS = 0
"""The number of the layer of beings; fields have higher numbers."""
TILE_CELLS = (64, 64, 512)
"""Side of a tile's square in cells, by level."""
BIN_CELLS = 8
"""Side of a bin of densities in cells."""
PLACE_STEPS = (256, 4)
"""Steps per cell in which the places of bodies and of dots are given, from the corner of the square."""
SKY_UNITS = {"light": "1/1024", "temperature": "1/100 degree Celsius", "rain": "1/1024 of what the air holds"}
SKY = tuple(SKY_UNITS)
"""Additional layers of worlds with a climate. Rain is the vapour beyond what the air can hold."""

MAX_HEAD_BYTES = 1 << 16
MAX_BYTES = 16 << 20
MAX_BEINGS = 1 << 20
MAX_TABLES, MAX_COLUMNS, MAX_PLANES, MAX_SHIFT, MAX_LAYERS = 16, 256, 1024, 32, 256
MAX_COUNT = 65535
"""Maximum number of beings of a species in a bin; larger numbers are clipped to it."""
VALUE_BITS = 15
"""Number of bits, without the sign, that values of fields keep."""
_LENGTH_BYTES = 4
_TOPIC = struct.Struct(">BBHH")
TOPIC_BYTES = _TOPIC.size
_DTYPES = {name: np.dtype(name) for name in ("int8", "uint8", "int16", "uint16", "int32", "int64")}
DOT_LOOKS = (Look("species", "uint8"), Look("size", "uint8"))
DEFAULT_DOT_SIZE = 30
"""Size of the dots of beings whose appearance has no size."""


class Topic(NamedTuple):
    """Names a tile: level, layer, and the square whose corner is the cell `y * side_cells, x * side_cells`."""

    level: int
    layer: int
    y: int
    x: int

    @property
    def side_cells(self) -> int:
        """The side of the square in cells."""
        return TILE_CELLS[self.level]

    def packed(self) -> bytes:
        """Encodes the topic as the 6 bytes that subscriptions use."""
        return _TOPIC.pack(*self)

    @classmethod
    def read(cls, packed: bytes) -> "Topic":
        """Decodes a topic from its 6 bytes. Raises ValueError if they are not a valid topic."""
        if len(packed) != TOPIC_BYTES:
            raise ValueError(f"a topic has {TOPIC_BYTES} bytes")
        topic = cls(*_TOPIC.unpack(packed))
        if topic.level >= len(LEVELS) or (topic.level == DOTS and topic.layer != BEINGS):
            raise ValueError(f"{topic} is not a valid topic")
        return topic

    def cells(self, torus: Torus) -> Rectangle | None:
        """Returns the rectangle of the square's cells that exist in the world; None if the square lies outside."""
        side = self.side_cells
        y, x = self.y * side, self.x * side
        if y >= torus.height or x >= torus.width:
            return None
        return Rectangle(y, x, min(side, torus.height - y), min(side, torus.width - x))


def appearances_of(world: WorldFile) -> dict[str, Appearance]:
    """Returns the visible properties (`Look`s) of the beings of each table, limited to supported dtypes.

    Tiles of bodies have these columns besides `id`, `y` and `x`.
    """
    return {
        name: Appearance([look for look in appearance.looks if look.dtype in _DTYPES], appearance.size)
        for name, appearance in world.laws.appearance(world).items()
    }


def layers_of(world: WorldFile) -> list[str]:
    """Returns the names of a world's layers by number: beings, then fields or their components, then `SKY`.

    The layers of `SKY` exist only in a world with a climate.
    """
    fields = world.laws.layout(world)[0]
    names = [part for field in fields for part in field.parts or (field.name,)]
    has_sky = bool(world.laws.climate(world))
    return ["beings", *names, *(SKY if has_sky else ())][:MAX_LAYERS]


# --- the format


class Head(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """The head of a piece.

    `epoch` is the number of the division of the torus among the nodes, `rectangle` the cells of the piece (y, x,
    height, width). `tables` has for each table its name, number of beings, and columns (name, dtype, shift). `planes`
    has the table and species of each plane of counts (species -1: all beings of the table). The values of a field are
    stored as `value >> shift`.
    """

    version: int
    epoch: int
    tick: int
    topic: tuple[int, int, int, int]
    rectangle: tuple[int, int, int, int]
    tables: list[tuple[str, int, list[tuple[str, str, int]]]] = []
    planes: list[tuple[str, int]] = []
    shift: int = 0


class Piece(NamedTuple):
    """A decoded piece: either beings by table and column, or counts, or a field.

    Columns of beings hold `value >> shift`, with the shift in the head; the function `whole` returns the values.
    """

    head: Head
    topic: Topic
    rectangle: Rectangle
    beings: dict[str, dict[str, np.ndarray]]
    counts: np.ndarray | None = None
    """Beings per bin, `uint16[plane, bin, bin]`; None for other pieces."""
    field: np.ndarray | None = None
    """Values of cells or means of bins, `int32[row, column]`; None for other pieces."""


class ShownTable(NamedTuple):
    """The beings of a table in a piece: `looks` describe the columns, `columns` are their values by name.

    The columns have the dtypes of the looks (see `narrow`); `y` and `x` are among them.
    """

    name: str
    looks: Sequence[Look]
    columns: Mapping[str, np.ndarray]


_head_encoder = msgspec.msgpack.Encoder()
_head_decoder = msgspec.msgpack.Decoder(Head)


def bins(rectangle: Rectangle) -> tuple[slice, slice]:
    """Returns the rows and the columns of the bins that a rectangle touches, numbered from the world's corner."""
    y, x, height, width = rectangle
    return slice(y // BIN_CELLS, -(-(y + height) // BIN_CELLS)), slice(x // BIN_CELLS, -(-(x + width) // BIN_CELLS))


def _shape(topic: Topic, rectangle: Rectangle) -> tuple[int, int]:
    """Returns the number of rows and columns of a field or of counts in a piece."""
    if topic.level != DENSITIES:
        return rectangle.height, rectangle.width
    rows, columns = bins(rectangle)
    return rows.stop - rows.start, columns.stop - columns.start


def narrow(values: np.ndarray, look: Look) -> np.ndarray:
    """Returns a column in the form that tiles use: shifted, and clipped to the range of the look's dtype."""
    values = values >> look.shift if look.shift else values
    if values.dtype == look.dtype:
        return values
    shown, held = np.iinfo(look.dtype), np.iinfo(values.dtype)
    if shown.min > held.min:
        values = np.maximum(values, shown.min)
    if shown.max < held.max:
        values = np.minimum(values, shown.max)
    return values.astype(look.dtype)


def whole(piece: Piece, table: str, name: str) -> np.ndarray:
    """Returns a column of a decoded piece in the world's units. Inverts `narrow`, except for lost bits and clipping."""
    shown = piece.beings[table][name]
    shift = next(s for t, _, columns in piece.head.tables if t == table for n, _, s in columns if n == name)
    return shown.astype(np.int64) << shift if shift else shown


# --- encode


def encode(
    topic: Topic,
    rectangle: Rectangle,
    epoch: int,
    tick: int,
    *,
    tables: Sequence[ShownTable] = (),
    counts: tuple[Sequence[tuple[str, int]], np.ndarray] | None = None,
    field: np.ndarray | None = None,
) -> bytes:
    """Encodes a piece with either single beings (`tables`), `counts`, or a `field`; `decode` is the inverse.

    `counts` are the planes, each a (table, species), and `int[plane, bin, bin]`. The values of a field, `int[row,
    column]`, keep 16 bits: large values lose their lowest bits.
    """
    described: list[tuple[str, int, list[tuple[str, str, int]]]] = []
    planes: list[tuple[str, int]] = []
    shift, contents = 0, b""
    if field is not None:
        shift, contents = _encode_field(field)
    elif counts is not None:
        planes, contents = list(counts[0]), np.minimum(counts[1], MAX_COUNT).astype(np.uint16).tobytes()
    else:
        described = [
            (name, len(columns["y"]), [(look.name, look.dtype, look.shift) for look in looks])
            for name, looks, columns in tables
        ]
        contents = b"".join(table.columns[look.name].tobytes() for table in tables for look in table.looks)
    head = Head(VERSION, epoch, tick, tuple(topic), tuple(rectangle), described, planes, shift)  # type: ignore[arg-type]
    return pack(head, contents)


def pack(head: Head, contents: bytes) -> bytes:
    """Returns the frame of a head and contents, after compressing the contents."""
    encoded = _head_encoder.encode(head)
    return len(encoded).to_bytes(_LENGTH_BYTES, "little") + encoded + zstd.compress(contents, 1)


def _encode_field(values: np.ndarray) -> tuple[int, bytes]:
    """Returns a field, `int[row, column]`, as (shift, bytes).

    The bytes are those of `value >> shift` with 16 bits, minus the value on its left: all low bytes, then all high
    ones.
    """
    values = values.astype(np.int32)
    low, high = int(values.min(initial=0)), int(values.max(initial=0))
    shift = max(0, max(high, ~low).bit_length() - VALUE_BITS)
    steps = np.diff((values >> shift).astype(np.int16), axis=1, prepend=np.int16(0))
    planes = steps.reshape(-1, 1).view(np.uint8).T  # the high bytes are mostly equal, so they compress well
    return shift, planes.tobytes()


# --- decode


def read_head(frame: bytes) -> tuple[Head, int]:
    """Returns the head of a frame and the offset of its contents. Raises ValueError if the frame is malformed."""
    size = int.from_bytes(frame[:_LENGTH_BYTES], "little")
    begin = _LENGTH_BYTES + size
    if not 0 < size <= MAX_HEAD_BYTES or len(frame) < begin or len(frame) > MAX_BYTES:
        raise ValueError("the frame is not a tile")
    try:
        head = _head_decoder.decode(frame[_LENGTH_BYTES:begin])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(str(error)) from None
    if head.version != VERSION:
        raise ValueError(f"a tile of version {head.version}, not {VERSION}")
    return head, begin


def decode(frame: bytes, torus: Torus) -> Piece:
    """Decodes a piece from a frame, which need not be trusted. Raises ValueError if the frame is malformed."""
    head, begin = read_head(frame)
    if min(head.topic) < 0 or max(head.topic[:2]) > 255 or max(head.topic[2:]) > 65535:
        raise ValueError("the numbers of the topic are out of range")
    topic = Topic.read(_TOPIC.pack(*head.topic))
    cells, rectangle = topic.cells(torus), Rectangle(*head.rectangle)
    if cells is None or min(rectangle) < 0 or rectangle.cells < 1 or cells.intersect(rectangle) != rectangle:
        raise ValueError("the piece lies outside its tile")
    if topic.layer == BEINGS and topic.level != DENSITIES:
        return Piece(head, topic, rectangle, _decode_beings(head, topic, frame, begin))
    shape = _shape(topic, rectangle)
    if topic.layer == BEINGS:
        return Piece(head, topic, rectangle, {}, counts=_decode_counts(head, shape, frame, begin))
    return Piece(head, topic, rectangle, {}, field=_decode_field(head, shape, frame, begin))


def _decode_counts(head: Head, shape: tuple[int, int], frame: bytes, begin: int) -> np.ndarray:
    """Decodes the counts that begin at byte `begin` of a frame: `uint16[plane, bin, bin]`."""
    if len(head.planes) > MAX_PLANES:
        raise ValueError("too many planes")
    raw = _decompress(frame, begin, len(head.planes) * shape[0] * shape[1] * 2)
    return raw.view("<u2").reshape(-1, *shape)


def _decode_field(head: Head, shape: tuple[int, int], frame: bytes, begin: int) -> np.ndarray:
    """Decodes the field that begins at byte `begin` of a frame; the inverse of `_encode_field`."""
    if not 0 <= head.shift <= MAX_SHIFT:
        raise ValueError("the shift is out of range")
    raw = _decompress(frame, begin, shape[0] * shape[1] * 2).reshape(2, -1)
    steps = np.ascontiguousarray(raw.T).view("<i2").reshape(shape)
    values = np.cumsum(steps, axis=1, dtype=np.int16).astype(np.int64) << head.shift
    return values.clip(-(1 << 31), (1 << 31) - 1).astype(np.int32)


def _decode_beings(head: Head, topic: Topic, frame: bytes, begin: int) -> dict[str, dict[str, np.ndarray]]:
    """Decodes the beings that begin at byte `begin` of a frame; returns the columns by table and name."""
    if len(head.tables) > MAX_TABLES:
        raise ValueError("too many tables")
    size = 0
    for _, count, columns in head.tables:
        if not 0 <= count <= MAX_BEINGS or len(columns) > MAX_COLUMNS:
            raise ValueError("too many beings or columns")
        if not all(dtype in _DTYPES and 0 <= shift <= MAX_SHIFT for _, dtype, shift in columns):
            raise ValueError("a column of an unknown type")
        size += count * sum(_DTYPES[dtype].itemsize for _, dtype, _ in columns)
    raw, start = _decompress(frame, begin, size), 0
    beings: dict[str, dict[str, np.ndarray]] = {}
    for table, count, columns in head.tables:
        arrays = beings[table] = {}
        for name, dtype, _ in columns:
            end = start + count * _DTYPES[dtype].itemsize
            arrays[name] = raw[start:end].view(_DTYPES[dtype])
            start = end
        if not {"y", "x"} <= arrays.keys():
            raise ValueError("beings without places")
        end_steps = topic.side_cells * PLACE_STEPS[topic.level]
        if count and max(int(arrays["y"].max()), int(arrays["x"].max())) >= end_steps:
            raise ValueError("a being outside its tile")
    return beings


def _decompress(frame: bytes, begin: int, size: int) -> np.ndarray:
    """Returns the decompressed contents of a frame, `uint8[size]`."""
    if size > MAX_BYTES:
        raise ValueError("the contents are too large")
    contents = np.zeros(max(1, size), np.uint8)
    try:
        zstd.decompress(frame[begin:], contents)
    except (RuntimeError, ValueError, TypeError, MemoryError) as error:
        raise ValueError(str(error)) from None
    return contents[:size]


# --- join decoded pieces


def join_beings(pieces: Iterable[Piece]) -> dict[str, dict[str, np.ndarray]]:
    """Joins the beings of pieces by table and column; `y` and `x` are places in the world, in cells (`float64`).

    If pieces of different ticks contain the same being, its values are those of the latest piece.
    """
    gathered: dict[str, dict[str, list[np.ndarray]]] = {}
    for piece in sorted(pieces, key=lambda piece: -piece.head.tick):
        steps, side = PLACE_STEPS[piece.topic.level], piece.topic.side_cells
        for table, columns in piece.beings.items():
            into = gathered.setdefault(table, {})
            for name in columns:
                into.setdefault(name, []).append(whole(piece, table, name))
            for axis, corner in (("y", piece.topic.y * side), ("x", piece.topic.x * side)):
                into[axis][-1] = corner + (columns[axis] + 0.5) / steps
    beings = {}
    for table, by_name in gathered.items():
        columns = {name: np.concatenate(arrays) for name, arrays in by_name.items()}
        if "id" in columns:
            _, first = np.unique(columns["id"], return_index=True)
            columns = {name: array[first] for name, array in columns.items()}
        beings[table] = columns
    return beings


def overlaps(view: Rectangle, part: Rectangle, torus: Torus) -> list[tuple[slice, slice, slice, slice]]:
    """Returns the overlaps of the rectangle `part` with `view`, which can cross the edges of the torus.

    Each overlap is four slices: rows and columns of `part`, then rows and columns of `view`.
    """
    return [
        (
            slice(seen.y - part.y, seen.y - part.y + seen.height),
            slice(seen.x - part.x, seen.x - part.x + seen.width),
            slice(y, y + seen.height),
            slice(x, x + seen.width),
        )
        for seen, y, x in images(view, part, torus)
    ]


def join_field(pieces: Iterable[Piece], view: Rectangle, torus: Torus) -> np.ndarray:
    """Joins the pieces of a field into one array of the size of `view`: `int32[height, width]`.

    With pieces of densities, each cell has the mean of its bin. Cells without a piece are 0.
    """
    joined = np.zeros((view.height, view.width), np.int32)
    for piece in sorted(pieces, key=lambda piece: piece.head.tick):
        if piece.field is None:
            continue
        values = piece.field
        if piece.topic.level == DENSITIES:
            values = _by_cell(values, piece.rectangle)
        for rows, columns, view_rows, view_columns in overlaps(view, piece.rectangle, torus):
            joined[view_rows, view_columns] = values[rows, columns]
    return joined


def _by_cell(values: np.ndarray, rectangle: Rectangle) -> np.ndarray:
    """Expands values of the bins that `rectangle` touches to its cells: returns an array of the rectangle's size."""
    rows, columns = bins(rectangle)
    y = np.arange(rectangle.y, rectangle.y + rectangle.height) // BIN_CELLS - rows.start
    x = np.arange(rectangle.x, rectangle.x + rectangle.width) // BIN_CELLS - columns.start
    return values[np.ix_(y, x)]


def join_counts(pieces: Iterable[Piece], view: Rectangle, torus: Torus) -> dict[str, dict[int, np.ndarray]]:
    """Returns the number of beings in each bin that `view` touches, by table and species: `int32[bin, bin]`.

    Adds up the counts of `pieces`. Species -1 means all beings of a table. Bins are in the order of `view`, which can
    cross the edges of the torus.
    """
    view_rows = _bins_along(view.y, view.height, torus.height)
    view_columns = _bins_along(view.x, view.width, torus.width)
    joined: dict[str, dict[int, np.ndarray]] = {}
    for piece in pieces:
        if piece.counts is None:
            continue
        rows, columns = bins(piece.rectangle)
        into_y, from_y = np.nonzero(view_rows[:, None] == np.arange(rows.start, rows.stop))
        into_x, from_x = np.nonzero(view_columns[:, None] == np.arange(columns.start, columns.stop))
        for (table, species), counts in zip(piece.head.planes, piece.counts, strict=True):
            shape = (len(view_rows), len(view_columns))
            plane = joined.setdefault(table, {}).setdefault(species, np.zeros(shape, np.int32))
            plane[np.ix_(into_y, into_x)] += counts[np.ix_(from_y, from_x)]  # a bin on a border is in several pieces
    return joined


def _bins_along(first: int, count: int, size: int) -> np.ndarray:
    """Returns the numbers of the bins of `count` cells from `first` on, along an axis of `size` cells: `int[bin]`.

    The axis wraps around. The bins are in the order of the cells.
    """
    along = np.arange(first, first + min(count, size)) % size // BIN_CELLS
    return np.array(list(dict.fromkeys(along.tolist())))


def topics_over(view: Rectangle | None, level: str, layers: Iterable[int], torus: Torus) -> list[Topic]:
    """Returns the topics of the tiles that cover `view` (None: the full world) for each of `layers`.

    `level` is one of `LEVELS`. The view can cross the edges of the torus. Fields have no dots; bodies are used instead.
    """
    number = LEVELS.index(level)
    view = view or Rectangle(0, 0, *torus)
    topics: dict[Topic, None] = {}
    for layer in layers:
        shown = BODIES if number == DOTS and layer != BEINGS else number
        side = TILE_CELLS[shown]
        for y in _squares(view.y, min(view.height, torus.height), torus.height, side):
            for x in _squares(view.x, min(view.width, torus.width), torus.width, side):
                topics[Topic(shown, layer, y, x)] = None
    return list(topics)


def _squares(first: int, count: int, size: int, side: int) -> list[int]:
    """Returns the numbers of the squares that contain `count` cells from `first` on, along an axis of `size` cells.

    The axis wraps around. `side` is the side of the squares in cells.
    """
    return np.unique(np.arange(first, first + count) % size // side).tolist()


def layer_numbers(names: Iterable[str], known: Sequence[str] | Mapping[str, int]) -> list[int]:
    """Returns the numbers of the layers `names`; `known` are the names of all layers in the order of their numbers.

    Raises ValueError, with the name in its message, for an unknown layer.
    """
    order = {name: number for number, name in enumerate(known)}
    unknown = [name for name in names if name not in order]
    if unknown:
        raise ValueError(f'unknown layer "{unknown[0]}": use some of {", ".join(order)}')
    return [order[name] for name in names]

"""Tiles: pieces of the world as those who watch it get them. Pure: bytes in, arrays out, and the other way round.

The world is cut into squares: of 64 cells for single beings and cells, of 512 cells for densities, which count in bins
of 8 x 8 cells. What is shown of a square is told by its topic: the level of detail, the layer, and where it lies.

    bodies      beings with all that shows of them          layer 0
    dots        beings as place, species and size           layer 0
    densities   how many of each species a bin holds        layer 0
    bodies      a field, cell by cell                       layer 1, 2, ... (`layers_of`)
    densities   a field, its mean over each bin             layer 1, 2, ...

A square that lies on several nodes comes in pieces: each node sends what it owns, with its rectangle and its tick. A
piece is one frame: the length of its head (uint32), its head (msgpack of `Head`), and its contents (zstd).
"""

import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numcodecs import zstd

from umwelt.agents.body.genome import MONSTER_GENES, TRAIT
from umwelt.agents.world_file import WorldFile
from umwelt.sandbox.columns import Schema
from umwelt.sandbox.region import Rectangle, Torus, images

VERSION = 1
LEVELS = ("bodies", "dots", "densities")
BODIES, DOTS, DENSITIES = range(3)
BEINGS = 0
"""The layer of beings; fields follow."""
TILE_CELLS = (64, 64, 512)
BIN_CELLS = 8
PLACE_STEPS = (256, 4)
"""Places of bodies and of dots are counted in this part of a cell from the square's corner."""
SKY_UNITS = {"light": "1/1024", "temperature": "1/100 degree Celsius", "rain": "1/1024 of what the air holds"}
SKY = tuple(SKY_UNITS)
"""Layers that are no fields, where there is a climate. Rain is the vapour beyond what the air holds."""

MAX_HEAD_BYTES = 1 << 16
MAX_BYTES = 16 << 20
MAX_BEINGS = 1 << 20
MAX_TABLES, MAX_COLUMNS, MAX_PLANES, MAX_SHIFT = 16, 256, 1024, 32
_TOPIC = struct.Struct(">BBHH")
TOPIC_BYTES = _TOPIC.size
_DTYPES = {name: np.dtype(name) for name in ("int8", "uint8", "int16", "uint16", "int32", "int64")}


class Topic(NamedTuple):
    """What is shown, and where: the square whose corner is the cell `y * side, x * side`."""

    level: int
    layer: int
    y: int
    x: int

    @property
    def side_cells(self) -> int:
        return TILE_CELLS[self.level]

    def packed(self) -> bytes:
        """As subscriptions have it."""
        return _TOPIC.pack(*self)

    @classmethod
    def read(cls, packed: bytes) -> "Topic":
        """A topic from its bytes; `ValueError` for what is none."""
        if len(packed) != TOPIC_BYTES:
            raise ValueError(f"a topic has {TOPIC_BYTES} bytes")
        topic = cls(*_TOPIC.unpack(packed))
        if topic.level >= len(LEVELS) or (topic.level == DOTS and topic.layer != BEINGS):
            raise ValueError(f"{topic} is no topic")
        return topic

    def cells(self, torus: Torus) -> Rectangle | None:
        """The cells of the square that the world has; None if it lies outside."""
        side = self.side_cells
        y, x = self.y * side, self.x * side
        if y >= torus.height or x >= torus.width:
            return None
        return Rectangle(y, x, min(side, torus.height - y), min(side, torus.width - x))


class Look(NamedTuple):
    """A column of `bodies`: what is shown is `value >> shift`, held to what the dtype holds."""

    name: str
    dtype: str
    shift: int = 0


_GENES = ("hue", "flower_hue", "leaf", "shape", "height", "thorn", "shade", "pattern", "fangs", "glow")
LOOKS = (
    Look("species", "int16"),
    Look("generation", "int16"),
    Look("age_ticks", "uint16", 4),
    Look("stage", "uint8"),
    Look("stem_direction", "uint8"),
    Look("stem_id", "int64"),
    Look("heading", "uint8", 8),
    Look("speed_fixed", "uint8", 2),
    Look("tissue_count", "uint16"),
    Look("sugar_count", "uint16"),
    Look("water_count", "uint16"),
    *(Look(f"{organ}_organs", "uint8") for organ in ("jaw", "gut", "leg", "eye", "armour", "spike", "store", "gland")),
    Look("asleep", "uint8"),
    Look("eyes_shut", "uint8"),
    Look("fatigue", "uint8", 2),
    Look("pain", "uint8", 2),
    *(Look(f"gene_{name}", "int8") for name in (*_GENES, "marker_a", "marker_b", "marker_c")),
)
"""What shows of Earth's bodies, of the columns that a table has. Tables without a genome show all they carry."""
DOT_LOOKS = (Look("species", "uint8"), Look("size", "uint8"))
"""The size of a dot is its tissue; 30 where bodies have none."""
DOT_SIZE_WITHOUT_TISSUE = 30


def looks_of(schema: Schema) -> list[Look]:
    """What `bodies` shows of a table's beings, besides `id`, `y` and `x`."""
    names = {column.name: column for column in schema.own if not column.derived}
    parts = {part for part, (column, _) in schema.places.items() if column in names}
    genes = {f"gene_{name}" for name in TRAIT} if has_traits(schema) else set()
    found = [look for look in LOOKS if look.name in names or look.name in parts or look.name in genes]
    if "genome" not in names:
        known = {look.name for look in found} | {"parent_id"}
        plain = [column for column in names.values() if not column.entries and column.name not in known]
        found += [Look(column.name, column.dtype) for column in plain if column.dtype in _DTYPES]
    return found


def has_traits(schema: Schema) -> bool:
    """Whether genomes of this table are those of Earth's monsters, whose traits have places but no names."""
    return any(c.name == "genome" and not c.parts and c.width == MONSTER_GENES for c in schema.own)


def layers_of(world: WorldFile) -> list[str]:
    """The layers of a world by their number: its beings, its fields or their parts, and the sky."""
    fields = world.laws.layout(world)[0]
    names = [part for field in fields for part in field.parts or (field.name,)]
    earthly = hasattr(world.settings, "climate") and {"elevation", "vapour"} <= set(names)
    return ["beings", *names, *(SKY if earthly else ())][:256]


# --- a piece of a tile


class Head(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """What a piece is. `tables`: name, count, columns (name, dtype, shift); `planes`: table and species (-1: all)."""

    version: int
    epoch: int
    tick: int
    topic: tuple[int, int, int, int]
    rectangle: tuple[int, int, int, int]
    tables: list[tuple[str, int, list[tuple[str, str, int]]]] = []
    planes: list[tuple[str, int]] = []
    shift: int = 0


class Piece(NamedTuple):
    """A decoded piece: beings by table and column (as shown: see `whole`), counts by bin, or a field."""

    head: Head
    topic: Topic
    rectangle: Rectangle
    beings: dict[str, dict[str, np.ndarray]]
    counts: np.ndarray | None = None
    """`uint16[plane, bin, bin]`"""
    field: np.ndarray | None = None
    """`int32`: cells, or bins"""


_head_encoder = msgspec.msgpack.Encoder()
_head_decoder = msgspec.msgpack.Decoder(Head)


def bins(rectangle: Rectangle) -> tuple[slice, slice]:
    """The bins (numbered over the world) that a rectangle touches, by rows and columns."""
    y, x, height, width = rectangle
    return slice(y // BIN_CELLS, -(-(y + height) // BIN_CELLS)), slice(x // BIN_CELLS, -(-(x + width) // BIN_CELLS))


def _extent(topic: Topic, rectangle: Rectangle) -> tuple[int, int]:
    """Rows and columns of what is told of cells."""
    if topic.level != DENSITIES:
        return rectangle.height, rectangle.width
    rows, columns = bins(rectangle)
    return rows.stop - rows.start, columns.stop - columns.start


def _packed(head: Head, contents: Any) -> bytes:
    encoded = _head_encoder.encode(head)
    return len(encoded).to_bytes(4, "little") + encoded + zstd.compress(contents, 1)


def encode_beings(
    topic: Topic, rectangle: Rectangle, epoch: int, tick: int, tables: Sequence[tuple[str, list[Look], dict]]
) -> bytes:
    """A piece with beings: for each table its name, looks, and columns as shown; `y` and `x` among them."""
    told, contents = [], []
    for name, looks, columns in tables:
        told.append((name, len(columns["y"]), [tuple(look) for look in looks]))
        contents += [columns[look.name].tobytes() for look in looks]
    head = Head(VERSION, epoch, tick, topic, rectangle, tables=told)  # type: ignore[arg-type]
    return _packed(head, b"".join(contents))


def encode_counts(
    topic: Topic, rectangle: Rectangle, epoch: int, tick: int, planes: list[tuple[str, int]], counts: np.ndarray
) -> bytes:
    """A piece with how many of each species its bins hold, `counts: int[plane, bin, bin]`."""
    held = np.minimum(counts, 65535).astype(np.uint16)
    return _packed(Head(VERSION, epoch, tick, topic, rectangle, planes=planes), held.tobytes())


def encode_field(topic: Topic, rectangle: Rectangle, epoch: int, tick: int, values: np.ndarray) -> bytes:
    """A piece of a field, `values: int[rows, columns]`; kept to 16 bits, so large values lose their lowest bits."""
    values = values.astype(np.int32)
    low, high = int(values.min(initial=0)), int(values.max(initial=0))
    shift = max(0, max(high, ~low).bit_length() - 15)
    steps = np.diff((values >> shift).astype(np.int16), axis=1, prepend=np.int16(0))
    planes = steps.reshape(-1, 1).view(np.uint8).T  # low bytes, then high ones: these are mostly alike
    return _packed(Head(VERSION, epoch, tick, topic, rectangle, shift=shift), np.ascontiguousarray(planes))


def read_head(frame: bytes) -> tuple[Head, int]:
    """A piece's head, and where its contents begin; `ValueError` for anything else."""
    size = int.from_bytes(frame[:4], "little")
    if not 0 < size <= MAX_HEAD_BYTES or len(frame) < 4 + size or len(frame) > MAX_BYTES:
        raise ValueError("no tile")
    try:
        head = _head_decoder.decode(frame[4 : 4 + size])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(str(error)) from None
    if head.version != VERSION:
        raise ValueError(f"a tile of version {head.version}, not {VERSION}")
    return head, 4 + size


def decode(frame: bytes, torus: Torus) -> Piece:
    """A piece from its frame; `ValueError` for whatever is none, however it was made."""
    head, at = read_head(frame)
    if min(head.topic) < 0 or max(head.topic[:2]) > 255 or max(head.topic[2:]) > 65535:
        raise ValueError("no topic")
    topic = Topic.read(_TOPIC.pack(*head.topic))
    cells, rectangle = topic.cells(torus), Rectangle(*head.rectangle)
    if cells is None or min(rectangle) < 0 or rectangle.cells < 1 or cells.intersect(rectangle) != rectangle:
        raise ValueError("a piece outside of its tile")
    if topic.layer == BEINGS and topic.level != DENSITIES:
        return Piece(head, topic, rectangle, _read_beings(head, topic, frame, at))
    rows, columns = _extent(topic, rectangle)
    if topic.layer == BEINGS:
        if len(head.planes) > MAX_PLANES:
            raise ValueError("too many planes")
        raw = _unpacked(frame, at, len(head.planes) * rows * columns * 2)
        return Piece(head, topic, rectangle, {}, counts=raw.view("<u2").reshape(-1, rows, columns))
    if not 0 <= head.shift <= MAX_SHIFT:
        raise ValueError("no scale")
    raw = _unpacked(frame, at, rows * columns * 2).reshape(2, -1)
    steps = np.ascontiguousarray(raw.T).view("<i2").reshape(rows, columns)
    values = np.cumsum(steps, axis=1, dtype=np.int16).astype(np.int64) << head.shift
    return Piece(head, topic, rectangle, {}, field=values.clip(-(1 << 31), (1 << 31) - 1).astype(np.int32))


def _read_beings(head: Head, topic: Topic, frame: bytes, at: int) -> dict[str, dict[str, np.ndarray]]:
    if len(head.tables) > MAX_TABLES:
        raise ValueError("too many tables")
    size = 0
    for _, count, columns in head.tables:
        if not 0 <= count <= MAX_BEINGS or len(columns) > MAX_COLUMNS:
            raise ValueError("too many beings or columns")
        if not all(dtype in _DTYPES and 0 <= shift <= MAX_SHIFT for _, dtype, shift in columns):
            raise ValueError("a column of an unknown kind")
        size += count * sum(_DTYPES[dtype].itemsize for _, dtype, _ in columns)
    raw, begin = _unpacked(frame, at, size), 0
    found: dict[str, dict[str, np.ndarray]] = {}
    for table, count, columns in head.tables:
        read = found[table] = {}
        for name, dtype, _ in columns:
            end = begin + count * _DTYPES[dtype].itemsize
            read[name] = raw[begin:end].view(_DTYPES[dtype])
            begin = end
        if not {"y", "x"} <= read.keys():
            raise ValueError("beings without places")
        most = topic.side_cells * PLACE_STEPS[topic.level]
        if count and max(int(read["y"].max()), int(read["x"].max())) >= most:
            raise ValueError("a being outside of its tile")
    return found


def _unpacked(frame: bytes, at: int, size: int) -> np.ndarray:
    """The contents, `uint8[size]`."""
    if size > MAX_BYTES:
        raise ValueError("too large a tile")
    contents = np.zeros(max(1, size), np.uint8)
    try:
        zstd.decompress(frame[at:], contents)
    except (RuntimeError, ValueError, TypeError, MemoryError) as error:
        raise ValueError(str(error)) from None
    return contents[:size]


# --- joining pieces


def whole(piece: Piece, table: str, name: str) -> np.ndarray:
    """A column in the world's own units, as far as it was told."""
    shown = piece.beings[table][name]
    shift = next(s for t, _, columns in piece.head.tables if t == table for n, _, s in columns if n == name)
    return shown.astype(np.int64) << shift if shift else shown


def joined_beings(pieces: Iterable[Piece]) -> dict[str, dict[str, np.ndarray]]:
    """The beings of many pieces by table and column; `y` and `x` are the world's, in cells (`float64`).

    Where pieces of different ticks hold the same being, the later one counts.
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
    found = {}
    for table, by_name in gathered.items():
        columns = {name: np.concatenate(arrays) for name, arrays in by_name.items()}
        if "id" in columns:
            _, first = np.unique(columns["id"], return_index=True)
            columns = {name: array[first] for name, array in columns.items()}
        found[table] = columns
    return found


def seen_at(view: Rectangle, part: Rectangle, torus: Torus) -> list[tuple[slice, slice, slice, slice]]:
    """Where a part shows in a view that may reach over the seams: its rows and columns, and the view's."""
    return [
        (
            slice(seen.y - part.y, seen.y - part.y + seen.height),
            slice(seen.x - part.x, seen.x - part.x + seen.width),
            slice(y, y + seen.height),
            slice(x, x + seen.width),
        )
        for seen, y, x in images(view, part, torus)
    ]


def joined_field(pieces: Iterable[Piece], view: Rectangle, torus: Torus) -> np.ndarray:
    """A field over a view, `int32[height, width]`: by cells, or (from densities) each cell its bin's mean."""
    found = np.zeros((view.height, view.width), np.int32)
    for piece in sorted(pieces, key=lambda piece: piece.head.tick):
        if piece.field is None:
            continue
        values = piece.field
        if piece.topic.level == DENSITIES:
            values = _by_cell(values, piece.rectangle)
        for rows, columns, view_rows, view_columns in seen_at(view, piece.rectangle, torus):
            found[view_rows, view_columns] = values[rows, columns]
    return found


def _by_cell(values: np.ndarray, rectangle: Rectangle) -> np.ndarray:
    rows, columns = bins(rectangle)
    y = np.arange(rectangle.y, rectangle.y + rectangle.height) // BIN_CELLS - rows.start
    x = np.arange(rectangle.x, rectangle.x + rectangle.width) // BIN_CELLS - columns.start
    return values[np.ix_(y, x)]


def joined_counts(pieces: Iterable[Piece], view: Rectangle, torus: Torus) -> dict[str, dict[int, np.ndarray]]:
    """How many beings each bin that a view touches holds, by table and species, `int32[bin, bin]`; -1: all of a table.

    Rows and columns of bins are in the view's order, which may go over the seams.
    """
    view_rows = _bins_along(view.y, view.height, torus.height)
    view_columns = _bins_along(view.x, view.width, torus.width)
    found: dict[str, dict[int, np.ndarray]] = {}
    for piece in pieces:
        if piece.counts is None:
            continue
        rows, columns = bins(piece.rectangle)
        into_y, from_y = np.nonzero(view_rows[:, None] == np.arange(rows.start, rows.stop))
        into_x, from_x = np.nonzero(view_columns[:, None] == np.arange(columns.start, columns.stop))
        for (table, species), counts in zip(piece.head.planes, piece.counts, strict=True):
            shape = (len(view_rows), len(view_columns))
            plane = found.setdefault(table, {}).setdefault(species, np.zeros(shape, np.int32))
            plane[np.ix_(into_y, into_x)] += counts[np.ix_(from_y, from_x)]  # bins on borders are counted in parts
    return found


def _bins_along(first: int, count: int, size: int) -> np.ndarray:
    along = np.arange(first, first + min(count, size)) % size // BIN_CELLS
    return np.array(list(dict.fromkeys(along.tolist())))


def topics_over(view: Rectangle | None, level: str, layers: Iterable[int], torus: Torus) -> list[Topic]:
    """The topics that show layers of a view (None: the whole world), which may reach over the seams."""
    at = LEVELS.index(level)
    view = view or Rectangle(0, 0, *torus)
    found: dict[Topic, None] = {}
    for layer in layers:
        told = BODIES if at == DOTS and layer != BEINGS else at
        side = TILE_CELLS[told]
        for y in _squares(view.y, min(view.height, torus.height), torus.height, side):
            for x in _squares(view.x, min(view.width, torus.width), torus.width, side):
                found[Topic(told, layer, y, x)] = None
    return list(found)


def _squares(first: int, count: int, size: int, side: int) -> list[int]:
    return np.unique(np.arange(first, first + count) % size // side).tolist()


def layer_numbers(names: Iterable[str], known: Sequence[str] | Mapping[str, int]) -> list[int]:
    """The numbers of layers by name; `ValueError` names the one that is unknown."""
    order = {name: at for at, name in enumerate(known)}
    unknown = [name for name in names if name not in order]
    if unknown:
        raise ValueError(f'unknown layer "{unknown[0]}": use some of {", ".join(order)}')
    return [order[name] for name in names]

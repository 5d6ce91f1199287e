"""A shard: the rectangle of the world that a node computes, with the halo around it.

Neighbours exchange *halo contents*: the cells and beings of one rectangle that lie in the halo of another
(`partition.overlaps`). Both nodes derive the same list of overlapping parts from the *map*, the list of all nodes with
their rectangles, so that only the contents are sent, as raw frames of a `HaloMessage`:

    int32[part, table]      number of beings of each table in each part
    bytes                   for each part: the fields in their order, then the stored columns of each table
    b"zstd"                 only if the bytes are compressed

A *piece* (`sandbox.region.Piece`) holds the cells and beings of one rectangle. A *digest* is a 64-bit sum over cells
and beings; equal digests mean equal states.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

import msgspec
import numpy as np
from numcodecs import zstd

from umwelt.agents import commands
from umwelt.agents.open_world import open_region
from umwelt.agents.species.behaviour import Behaviours, set_checking
from umwelt.agents.world_file import WorldFile
from umwelt.cluster.partition import overlaps
from umwelt.cluster.wire.protocol import Assignment, ScheduledCommand, TickRecord
from umwelt.sandbox import audit
from umwelt.sandbox.controls import Controls
from umwelt.sandbox.errors import SpeciesError
from umwelt.sandbox.region import SORT_EVERY_TICKS, Piece, Rectangle, Region
from umwelt.sandbox.step import Law, step
from umwelt.sandbox.units import SUBCELL

ZSTD = b"zstd"
ZSTD_LEVEL = 1
MAX_CONTENT_BYTES = 1 << 30
"""Maximum size of compressed halo contents after decompression."""


class MalformedHalo(ValueError):
    """Error: halo contents have the wrong sizes or positions. `source` is the sender's index in the map."""

    def __init__(self, source: int, reason: str):
        super().__init__(reason)
        self.source = source


class ShardView(Protocol):
    """The interface from which tiles and answers to queries are computed: a node's `Shard`, or a replayed tick."""

    @property
    def world(self) -> WorldFile:
        """The world that the shard belongs to."""

    @property
    def region(self) -> Region:
        """The cells and beings of the shard."""

    @property
    def which(self) -> int:
        """The index of the shard's rectangle in the map."""

    @property
    def tick(self) -> int:
        """The present tick of the shard."""


class Shard:
    """A rectangle of the world, loaded from a snapshot and ready to run. Used only by the thread that steps it.

    `assign` is the coordinator's message that assigns the rectangle: it contains the map, the index `which` of this
    rectangle in it, and the tick. `pieces` are the cells and beings of the rectangle, `constants` the read-only arrays
    of the world, and `controls` the settings of the world that commands have changed. With `checked`, the behaviours of
    species are checked in every tick (`check_species`). `digest` is the digest of the owned cells at the last call of
    `record`, 0 before it.
    """

    def __init__(
        self,
        world: WorldFile,
        assign: Assignment,
        pieces: Iterable[Piece],
        constants: Mapping[str, np.ndarray],
        controls: Controls,
        checked: bool = False,
    ):
        self.world = world
        self.which = assign.which
        self.rectangles = [Rectangle(*member.rectangle) for member in assign.members]
        k, owned = assign.ticks_per_exchange, self.rectangles[assign.which]
        self.region = open_region(world, pieces, constants, assign.tick, k, owned, controls)
        if checked:
            check_species(world, self.region)
        self._species = list(world.laws.species(world)) if world.laws.species else []
        self.region.sort()
        self._sorted_at = assign.tick
        self.digest = 0

    @property
    def tick(self) -> int:
        """The present tick of the shard."""
        return self.region.tick

    # --- halo

    def cut(self, takers: Sequence[int], compressed: bool = False) -> dict[int, list[Any]]:
        """Returns the halo contents for some neighbours, as raw frames by the neighbour's index in the map.

        `takers` are the indices of these neighbours.
        """
        return {taker: pack_halo(self.region, self._parts(taker, self.which), compressed) for taker in takers}

    def paste(self, contents: Mapping[int, Sequence[Any]]) -> None:
        """Rebuilds the halo from the halo contents of the neighbours, by their index in the map.

        On a small torus the halo also contains cells of the shard itself; these are copied as well. Raises
        MalformedHalo if contents have the wrong sizes or positions; the halo is then unchanged.
        """
        region = self.region
        if region.tick - self._sorted_at >= SORT_EVERY_TICKS:
            region.sort()
            self._sorted_at = region.tick
        placed = []
        for source, frames in contents.items():
            places = self._parts(self.which, source)
            try:
                pieces = unpack_halo(region, [part for part, _, _ in places], frames)
            except ValueError as error:
                raise MalformedHalo(source, str(error)) from None
            placed += [(piece, y, x) for piece, (_, y, x) in zip(pieces, places, strict=True)]
        placed += [(region.cut(part), y, x) for part, y, x in self._parts(self.which, self.which)]
        region.paste(placed)

    def _parts(self, taker: int, giver: int) -> list[tuple[Rectangle, int, int]]:
        """Returns the parts of the giver's rectangle that lie in the halo of the taker's, as (part, y, x).

        `taker` and `giver` are indices in the map. `part` is in world coordinates; `y, x` is the position of its corner
        relative to that of the taker's rectangle with the halo.
        """
        rectangles = self.rectangles
        return overlaps(rectangles[taker], rectangles[giver], self.region.halo_cells, self.region.torus)

    # --- time

    def step(self, due: Sequence[ScheduledCommand], between: Callable[[Law], None] | None = None) -> None:
        """Applies the commands `due` in this tick, then runs the laws; calls `between` after each law."""
        for command in due:
            commands.apply(self.region, commands.decode(command.content), command.number)
        step(self.region, self.world.laws, between)

    def record(self) -> tuple[TickRecord, list[dict[str, np.ndarray]]]:
        """Computes digest and metrics of the owned cells; returns them with the births since the last record.

        The births are one dict of columns for each law and tick with births; empty if the region records none.
        """
        region = self.region
        births, deaths = region.counts["births"], region.counts["deaths"]
        populations, substances = measure_populations(self.world, region, self._species)
        births_since = region.births or []
        if region.births is not None:
            region.births = []
        self.digest = audit.digest(region)
        recorded = TickRecord(
            region.tick, self.digest, region.controls.digest(), births, deaths, populations, substances
        )
        return recorded, births_since

    @property
    def living_count(self) -> int:
        """The number of beings in the owned rectangle, counted at each access."""
        return sum(int(np.count_nonzero(self.region.owned_rows(name))) for name in self.region.tables)

    @property
    def held_count(self) -> int:
        """The number of beings including those in the halo; cheaper to compute than `living_count`."""
        return sum(table.count for table in self.region.tables.values())


def check_species(world: WorldFile, region: Region) -> None:
    """Enables checks that a behaviour's drives for a being depend only on that being's stimuli.

    Each call of a behaviour is repeated, with the rows permuted, and with the batch of beings split, and the results
    are compared. Raises SpeciesError if the world's laws have no species.
    """
    if not isinstance(region.derived.get("behaviours"), Behaviours):
        raise SpeciesError(
            f"{world.source}: --check: the laws of this world have no species to check: leave --check out"
        )
    set_checking(region)


def measure_populations(
    world: WorldFile, region: Region, species: Sequence[str]
) -> tuple[dict[str, dict[str, int]], dict[str, int]]:
    """Counts the beings by table and species, and the molecules by substance, in the owned cells of a region.

    `species` are the names of the species by their number. Returns both counts as dictionaries.
    """
    populations: dict[str, dict[str, int]] = {}
    for table_name, table in region.tables.items():
        owned = region.owned_rows(table_name)
        if "species" not in table:
            populations[table_name] = {table_name: int(np.count_nonzero(owned))}
            continue
        by_name: dict[str, int] = {}
        for index, count in enumerate(np.bincount(table["species"][owned]).tolist()):
            if count:
                name = species[index] if index < len(species) else f"species {index}"
                by_name[name] = by_name.get(name, 0) + count
        populations[table_name] = by_name
    substances = audit.substance_totals(region, world.chemistry) if world.chemistry else {}
    return populations, substances


# --- halo contents as frames


def pack_halo(region: Region, places: Sequence[tuple[Rectangle, int, int]], compressed: bool = False) -> list[Any]:
    """Encodes the cells and beings of parts of the owned rectangle as raw frames (see the module's docstring).

    `places` are (part, y, x) as `partition.overlaps` returns them; only the parts are used. With `compressed`, the
    frames are compressed by zstd.
    """
    counts = np.zeros((len(places), len(region.tables)), np.int32)
    contents: list[Any] = []
    for index, (part, _, _) in enumerate(places):
        piece = region.cut(part)
        contents += [np.ascontiguousarray(array).data.cast("B") for array in piece.fields.values()]
        for table_index, rows in enumerate(piece.tables.values()):
            counts[index, table_index] = len(rows["id"])
            contents += [array.data.cast("B") for array in rows.values() if array.size]
    whole = b"".join(contents)
    return [counts.tobytes(), zstd.compress(whole, ZSTD_LEVEL), ZSTD] if compressed else [counts.tobytes(), whole]


def unpack_halo(region: Region, parts: Sequence[Rectangle], frames: Sequence[Any]) -> list[Piece]:
    """Decodes raw frames of `pack_halo`; returns a piece for each rectangle in `parts`.

    Raises ValueError if sizes do not match the parts, or beings lie outside their part.
    """
    tables = region.tables
    if len(frames) not in (2, 3) or len(frames[0]) != 4 * len(parts) * len(tables):
        raise ValueError("the number of parts is wrong")
    counts = np.frombuffer(frames[0], np.int32).reshape(len(parts), len(tables))
    cells = sum(field.cell_bytes for field in region.field_list) * sum(part.cells for part in parts)
    row_bytes = [sum(column.row_bytes for column in table.stored_columns()) for table in tables.values()]
    expected = cells + int(np.dot(counts.sum(axis=0, dtype=np.int64), np.array(row_bytes, np.int64)))
    whole = frames[1] if len(frames) == 2 else _decompress(frames, expected)
    if (counts < 0).any() or len(whole) != expected:
        raise ValueError(f"{len(whole)} bytes, not {expected}")
    offset = 0

    def read(dtype: str, shape: tuple[int, ...]) -> np.ndarray:
        nonlocal offset
        array = np.frombuffer(whole, dtype, int(np.prod(shape)), offset).reshape(shape)
        offset += array.nbytes
        return array

    pieces = []
    for part, rows in zip(parts, counts.tolist(), strict=True):
        fields = {field.name: read(field.dtype, field.shape(part.height, part.width)) for field in region.field_list}
        beings = {}
        for (name, table), count in zip(tables.items(), rows, strict=True):
            columns = {c.name: read(c.dtype, c.shape(count)) for c in table.stored_columns()}
            for axis, size in (("y_fixed", part.height), ("x_fixed", part.width)):
                if count and not 0 <= columns[axis].min() <= columns[axis].max() < size * SUBCELL:
                    raise ValueError(f"{name}: {axis} lies outside the part")
            beings[name] = columns
        pieces.append(Piece(part, fields, beings))
    return pieces


def _decompress(frames: Sequence[Any], size: int) -> np.ndarray:
    """Returns the decompressed second frame, as a read-only `uint8[size]`.

    Raises ValueError if the frame does not decompress to `size` bytes.
    """
    if bytes(frames[2]) != ZSTD or not 0 < size <= MAX_CONTENT_BYTES:
        raise ValueError(f"not {size} bytes in zstd")
    whole = np.zeros(size, np.uint8)
    try:
        zstd.decompress(bytes(frames[1]), whole)
    except (RuntimeError, ValueError, TypeError) as error:
        raise ValueError(str(error)) from None
    whole.flags.writeable = False
    return whole


# --- births as bytes


def pack_births(births: Sequence[Mapping[str, np.ndarray]]) -> bytes:
    """Encodes births for the journal: for each law and tick, a dict with the columns of the born beings by name."""
    records = [
        {name: (array.dtype.str, list(array.shape), np.ascontiguousarray(array).tobytes()) for name, array in r.items()}
        for r in births
    ]
    return msgspec.msgpack.encode(records)


def unpack_births(content: Any) -> list[dict[str, np.ndarray]]:
    """Returns the births that `pack_births` encoded, as dicts of columns. Raises ValueError if they are malformed."""
    kind = list[dict[str, tuple[str, list[int], bytes]]]
    try:
        records = msgspec.msgpack.decode(content, type=kind)
        return [
            {
                name: np.frombuffer(data, _integer_dtype(dtype)).reshape(shape)
                for name, (dtype, shape, data) in record.items()
            }
            for record in records
        ]
    except (msgspec.DecodeError, TypeError) as error:
        raise ValueError(str(error)) from None


def _integer_dtype(name: str) -> np.dtype:
    """Returns the dtype of that name. Raises ValueError unless it is an integer type."""
    dtype = np.dtype(name)
    if dtype.kind not in "iu":
        raise ValueError(f"{name} is not an integer type")
    return dtype

"""What a node holds of the world: a rectangle that runs, the strips it gives to neighbours and takes from them.

A strip holds all that one neighbour's window shows of our rectangle, every image of it (`partition.overlaps`): both
sides work out the same list of parts, so that only contents travel. Raw frames of a strip:

    int32[part, table]      how many beings each part holds
    bytes                   part by part: fields in their order, then the carried columns of each table
    b"zstd"                 only where the bytes are compressed
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from numcodecs import zstd

from umwelt.agents import commands
from umwelt.agents.open_world import open_region
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
MAX_STRIP_BYTES = 1 << 30


class MalformedHalo(ValueError):
    """What came as a strip is none."""

    def __init__(self, source: int, what: str):
        super().__init__(what)
        self.source = source


class Shard:
    """A rectangle of the world, ready to run."""

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
        """Of the owned part, when it was last recorded."""

    @property
    def tick(self) -> int:
        return self.region.tick

    # --- strips

    def cut(self, takers: Sequence[int], compressed: bool = False) -> dict[int, list[Any]]:
        """The strips for these neighbours."""
        return {taker: packed(self.region, self._parts(taker, self.which), compressed) for taker in takers}

    def paste(self, strips: Mapping[int, Sequence[Any]]) -> None:
        """Rebuild the halo from the neighbours' strips and from our own far side.

        Raises `MalformedHalo` where a strip does not hold what it should; the region is then as before.
        """
        region = self.region
        if region.tick - self._sorted_at >= SORT_EVERY_TICKS:
            region.sort()
            self._sorted_at = region.tick
        placed = []
        for source, frames in strips.items():
            places = self._parts(self.which, source)
            try:
                pieces = unpacked(region, [part for part, _, _ in places], frames)
            except ValueError as error:
                raise MalformedHalo(source, str(error)) from None
            placed += [(piece, y, x) for piece, (_, y, x) in zip(pieces, places, strict=True)]
        placed += [(region.cut(part), y, x) for part, y, x in self._parts(self.which, self.which)]
        region.paste(placed)

    def _parts(self, taker: int, giver: int) -> list[tuple[Rectangle, int, int]]:
        rectangles = self.rectangles
        return overlaps(rectangles[taker], rectangles[giver], self.region.halo_cells, self.region.torus)

    # --- time

    def step(self, due: Sequence[ScheduledCommand], between: Callable[[Law], None] | None = None) -> None:
        """Apply the commands of this tick, then run it."""
        for command in due:
            commands.apply(self.region, commands.decode(command.content), command.number)
        step(self.region, self.world.laws, between)

    def record(self) -> tuple[TickRecord, list[dict[str, np.ndarray]]]:
        """The owned part in numbers, and the births since the last record."""
        region = self.region
        births, deaths = region.counts["births"], region.counts["deaths"]
        populations, substances = measure_populations(self.world, region, self._species)
        newborn = region.births or []
        if region.births is not None:
            region.births = []
        self.digest = audit.digest(region)
        recorded = TickRecord(
            region.tick, self.digest, region.controls.digest(), births, deaths, populations, substances
        )
        return recorded, newborn

    @property
    def living_count(self) -> int:
        """Beings in the owned rectangle."""
        return sum(int(np.count_nonzero(self.region.owned_rows(name))) for name in self.region.tables)

    @property
    def held_count(self) -> int:
        """Beings in the window, ghosts too; costs nothing to know."""
        return sum(table.count for table in self.region.tables.values())


def check_species(world: WorldFile, region: Region) -> None:
    """Turn on the check of species: rows permuted, batches split, called twice."""
    behaviours = region.derived.get("behaviours")
    if not hasattr(behaviours, "checked"):
        raise SpeciesError(f"{world.source}: --check: the laws of this world have no species to check: leave it out")
    behaviours.checked = True  # type: ignore[union-attr]


def measure_populations(
    world: WorldFile, region: Region, species: Sequence[str]
) -> tuple[dict[str, dict[str, int]], dict[str, int]]:
    """Beings by table and species, and molecules by substance, in what a region owns."""
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


# --- strips as bytes


def packed(region: Region, places: Sequence[tuple[Rectangle, int, int]], compressed: bool = False) -> list[Any]:
    """Cells and beings of parts of the owned rectangle as raw frames."""
    counts = np.zeros((len(places), len(region.tables)), np.int32)
    contents: list[Any] = []
    for at, (part, _, _) in enumerate(places):
        piece = region.cut(part)
        contents += [np.ascontiguousarray(array).data.cast("B") for array in piece.fields.values()]
        for which, rows in enumerate(piece.tables.values()):
            counts[at, which] = len(rows["id"])
            contents += [array.data.cast("B") for array in rows.values() if array.size]
    whole = b"".join(contents)
    return [counts.tobytes(), zstd.compress(whole, 1), ZSTD] if compressed else [counts.tobytes(), whole]


def unpacked(region: Region, parts: Sequence[Rectangle], frames: Sequence[Any]) -> list[Piece]:
    """The pieces of a strip; `ValueError` where sizes or positions cannot be."""
    tables = region.tables
    if len(frames) not in (2, 3) or len(frames[0]) != 4 * len(parts) * len(tables):
        raise ValueError("not as many parts as were to come")
    counts = np.frombuffer(frames[0], np.int32).reshape(len(parts), len(tables))
    cells = sum(field.cell_bytes for field in region.field_list) * sum(part.cells for part in parts)
    row_bytes = [sum(column.row_bytes for column in table.stored_columns()) for table in tables.values()]
    expected = cells + int(np.dot(counts.sum(axis=0, dtype=np.int64), np.array(row_bytes, np.int64)))
    whole = frames[1] if len(frames) == 2 else _decompressed(frames, expected)
    if (counts < 0).any() or len(whole) != expected:
        raise ValueError(f"{len(whole)} bytes, not {expected}")
    at = 0

    def taken(dtype: str, shape: tuple[int, ...]) -> np.ndarray:
        nonlocal at
        array = np.frombuffer(whole, dtype, int(np.prod(shape)), at).reshape(shape)
        at += array.nbytes
        return array

    pieces = []
    for part, rows in zip(parts, counts.tolist(), strict=True):
        fields = {field.name: taken(field.dtype, field.shape(part.height, part.width)) for field in region.field_list}
        beings = {}
        for (name, table), count in zip(tables.items(), rows, strict=True):
            columns = {c.name: taken(c.dtype, c.shape(count)) for c in table.stored_columns()}
            for axis, size in (("y_fixed", part.height), ("x_fixed", part.width)):
                if count and not 0 <= columns[axis].min() <= columns[axis].max() < size * SUBCELL:
                    raise ValueError(f"{name}: {axis} lies outside of the part")
            beings[name] = columns
        pieces.append(Piece(part, fields, beings))
    return pieces


def _decompressed(frames: Sequence[Any], size: int) -> np.ndarray:
    """`uint8[size]`, read only, as what was not compressed is."""
    if bytes(frames[2]) != ZSTD or not 0 < size <= MAX_STRIP_BYTES:
        raise ValueError(f"{size} bytes cannot be in it")
    whole = np.zeros(size, np.uint8)
    try:
        zstd.decompress(bytes(frames[1]), whole)
    except (RuntimeError, ValueError, TypeError) as error:
        raise ValueError(str(error)) from None
    whole.flags.writeable = False
    return whole


# --- births as bytes


def pack_births(newborn: Sequence[Mapping[str, np.ndarray]]) -> bytes:
    """Births as `Region.record_births` remembers them, for the journal."""
    records = [
        {name: (array.dtype.str, list(array.shape), np.ascontiguousarray(array).tobytes()) for name, array in r.items()}
        for r in newborn
    ]
    return msgspec.msgpack.encode(records)


def unpack_births(content: Any) -> list[dict[str, np.ndarray]]:
    """What `pack_births` packed; `ValueError` for anything else."""
    kind = list[dict[str, tuple[str, list[int], bytes]]]
    try:
        records = msgspec.msgpack.decode(content, type=kind)
        return [
            {name: np.frombuffer(data, _plain(dtype)).reshape(shape) for name, (dtype, shape, data) in record.items()}
            for record in records
        ]
    except (msgspec.DecodeError, TypeError) as error:
        raise ValueError(str(error)) from None


def _plain(dtype: str) -> np.dtype:
    found = np.dtype(dtype)
    if found.kind not in "iu":
        raise ValueError(f"{dtype} is no integer")
    return found

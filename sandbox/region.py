"""Regions: rectangles of the torus with halos, their fields and beings, and the copying of halos between them.

A region owns a rectangle and stores a *window*: the rectangle and `halo_cells` more cells on every side. Cells and
beings in the halo are copies (ghosts). The same laws compute them; every tick makes the outer cells of the halo
inexact, up to the sum of the laws' reaches, until the halo is replaced. A window that is wider or higher than the torus
contains the same cells and beings several times; these copies are called *images*.

Positions in a window are relative to the window's upper left corner, positions in a `Piece` to the piece's.
"""

from collections import namedtuple
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from umwelt.sandbox.columns import CellIndex, Schema, Table, index_rows
from umwelt.sandbox.controls import Controls
from umwelt.sandbox.errors import LawError
from umwelt.sandbox.kernel import crew
from umwelt.sandbox.units import SUBCELL, SUBCELL_BITS

SORT_EVERY_TICKS = 4
"""The interval in ticks at which rows are sorted by cell, so that neighbours are close to each other in memory."""


class Torus(NamedTuple):
    """The world's size in cells."""

    height: int
    width: int

    @property
    def cells(self) -> int:
        """The number of cells."""
        return self.height * self.width


class Rectangle(NamedTuple):
    """The cells `y .. y + height - 1`, `x .. x + width - 1`.

    Coordinates are not wrapped, so a rectangle can extend across the seam of the torus.
    """

    y: int
    x: int
    height: int
    width: int

    @property
    def cells(self) -> int:
        """The number of cells."""
        return self.height * self.width

    def expand(self, cells: int) -> "Rectangle":
        """Returns the rectangle enlarged by `cells` cells on every side."""
        return Rectangle(self.y - cells, self.x - cells, self.height + 2 * cells, self.width + 2 * cells)

    def intersect(self, other: "Rectangle") -> "Rectangle | None":
        """Returns the intersection with `other`, or None if it is empty."""
        y, x = max(self.y, other.y), max(self.x, other.x)
        height = min(self.y + self.height, other.y + other.height) - y
        width = min(self.x + self.width, other.x + other.width) - x
        return Rectangle(y, x, height, width) if height > 0 and width > 0 else None


def images(window: Rectangle, source: Rectangle, torus: Torus) -> Iterator[tuple[Rectangle, int, int]]:
    """Yields every image (copy) of `source` on the torus that overlaps `window`, as `(part, y, x)`.

    `part` is the overlapping part, in the coordinates of `source`; `y, x` is the position of its corner relative to the
    window's corner. A window that is wider than the torus contains several images of a source.
    """
    first_y, last_y = window.y - source.y - source.height, window.y + window.height
    first_x, last_x = window.x - source.x - source.width, window.x + window.width
    for i in range(first_y // torus.height, 2 + last_y // torus.height):
        for j in range(first_x // torus.width, 2 + last_x // torus.width):
            shifted = Rectangle(source.y + i * torus.height, source.x + j * torus.width, source.height, source.width)
            seen = window.intersect(shifted)
            if seen is not None:
                part = Rectangle(seen.y - i * torus.height, seen.x - j * torus.width, seen.height, seen.width)
                yield part, seen.y - window.y, seen.x - window.x


@dataclass(frozen=True)
class Field:
    """A property of every cell, stored as `dtype[height, width]`, or as `dtype[part, height, width]` with `parts`.

    The values of a `fixed` field never change after genesis, except by commands.
    """

    name: str
    dtype: str
    parts: tuple[str, ...] = ()
    unit: str = ""
    fixed: bool = False

    def shape(self, height: int, width: int) -> tuple[int, ...]:
        """Returns the shape of the field's array in a window of the given size."""
        return (len(self.parts), height, width) if self.parts else (height, width)

    @property
    def cell_bytes(self) -> int:
        """The size of the field's values in bytes per cell."""
        return np.dtype(self.dtype).itemsize * max(1, len(self.parts))


@dataclass
class Piece:
    """A copy of the cells and beings in a rectangle of a region.

    `fields` has arrays by name, `tables` has columns by name for each table. Positions of beings are relative to the
    rectangle's corner.
    """

    rectangle: Rectangle
    fields: dict[str, np.ndarray]
    tables: dict[str, dict[str, np.ndarray]]

    def part(self, inner: Rectangle) -> "Piece":
        """Returns the part of the piece in `inner`, a rectangle inside the piece's."""
        y, x = inner.y - self.rectangle.y, inner.x - self.rectangle.x
        fields = {name: a[..., y : y + inner.height, x : x + inner.width] for name, a in self.fields.items()}
        tables = {}
        for name, rows in self.tables.items():
            inside = _inside(rows["y_fixed"], rows["x_fixed"], y, x, inner.height, inner.width)
            chosen = {column: array[inside] for column, array in rows.items()}
            chosen["y_fixed"] = chosen["y_fixed"] - np.int32(y * SUBCELL)
            chosen["x_fixed"] = chosen["x_fixed"] - np.int32(x * SUBCELL)
            tables[name] = chosen
        return Piece(inner, fields, tables)


Place = namedtuple(
    "Place",
    ["seed", "tick", "height", "width", "x_low", "x_high", "world_height", "world_width", "y_global", "x_global"],
)
"""An argument of every kernel: the position and time at which it computes.

The entries are the seed and tick for random numbers, the window's size, the columns of cells to compute (`x_low` to
`x_high - 1`; the rows are the kernel's band), the world's size, and the world's row (`y_global`) and column
(`x_global`) of each row and column of the window."""


class Region:
    """A rectangle of the world with its halo, on which laws run: the part of a node (process), or the whole world.

    `fields[name]` is an array over the window and `tables[name]` the table of the window's beings. `constants` are
    integer tables that never change, such as sines. `controls` are the settings of the whole world that commands have
    changed. `derived` contains Python objects that laws compute in every tick or that `Laws.prepare` creates; snapshots
    do not contain them. `births` is a list to which records of births are appended (see `record_births`), or None to
    record none. `counts` are the births and deaths in the owned rectangle. `margin_cells` is the width of the part of
    the halo that is still exact.
    """

    def __init__(
        self,
        torus: Torus,
        owned: Rectangle,
        halo_cells: int,
        fields: Sequence[Field],
        schemas: Sequence[Schema],
        seed: int,
        tick: int = 0,
    ):
        self.torus, self.owned, self.halo_cells, self.seed, self.tick = torus, owned, halo_cells, seed, tick
        self.window = owned.expand(halo_cells)
        self.field_list = tuple(fields)
        height, width = self.window.height, self.window.width
        self.fields = {field.name: np.zeros(field.shape(height, width), field.dtype) for field in fields}
        self._parts = {part: (f.name, at) for f in fields for at, part in enumerate(f.parts)}
        self.tables = {schema.name: Table(schema) for schema in schemas}
        self.constants: dict[str, np.ndarray] = {}
        self.controls = Controls()
        self.derived: dict[str, object] = {}
        self.births: list[dict[str, np.ndarray]] | None = None
        self.births_of = frozenset(self.tables)
        """The names of the tables whose births are recorded."""
        self.counts = {"births": 0, "deaths": 0}
        self.margin_cells = 0
        self._scratch: dict[str, np.ndarray] = {}
        self._indices: dict[str, CellIndex] = {}
        self._y_global = ((np.arange(height) + self.window.y) % torus.height).astype(np.int32)
        self._x_global = ((np.arange(width) + self.window.x) % torus.width).astype(np.int32)

    def __getitem__(self, name: str) -> np.ndarray:
        """Returns a view of a field, or of one part of a field, over the full window."""
        if name in self.fields:
            return self.fields[name]
        field_name, part = self._parts[name]
        return self.fields[field_name][part]

    def owned_view(self, name: str) -> np.ndarray:
        """Returns a view of a field, or of one part of a field, over the owned rectangle."""
        rim = self.halo_cells
        return self[name][..., rim : rim + self.owned.height, rim : rim + self.owned.width]

    # --- for laws

    def place(self, grown: int = 0) -> Place:
        """Returns the `Place` for kernels that compute the exact part of the window, enlarged by `grown` cells."""
        rim = self.halo_cells - self.margin_cells - grown
        return Place(
            self.seed,
            self.tick,
            self.window.height,
            self.window.width,
            rim,
            self.window.width - rim,
            self.torus.height,
            self.torus.width,
            self._y_global,
            self._x_global,
        )

    def run(self, kernel: Callable, *arguments, grown: int = 0) -> None:
        """Runs `kernel(y_low, y_high, place, *arguments)`, in bands of rows, over the part of the window that stays
        exact.

        With `grown`, the kernel also computes that many cells more on every side; a law uses this in its first phases
        if later phases read their results in neighbouring cells. Raises `LawError` if that exceeds the window.
        """
        rim = self.halo_cells - self.margin_cells - grown
        if rim < 0:
            raise LawError(
                f"{kernel.__name__} reads {-rim} cells beyond the window's edge: declare a larger reach for its law"
            )
        crew.bands(kernel, rim, self.window.height - rim, self.window.width, self.place(grown), *arguments)

    def scratch(self, name: str, dtype: str = "int32", planes: int = 0) -> np.ndarray:
        """Returns a reusable array over the window, `dtype[height, width]` or `dtype[planes, height, width]`.

        Snapshots and messages between nodes do not contain it. Its content is undefined until it is written in the same
        tick.
        """
        if name not in self._scratch:
            shape = (self.window.height, self.window.width)
            self._scratch[name] = np.zeros((planes, *shape) if planes else shape, dtype)
        return self._scratch[name]

    def index(self, name: str) -> CellIndex:
        """Returns the `CellIndex` of a table, its rows by window cell, as computed by the last `reindex`.

        Computes the index if there is none.
        """
        if name not in self._indices:
            self.reindex(name)
        return self._indices[name]

    def reindex(self, *names: str) -> None:
        """Recomputes the indices by cell of the given tables, after their beings moved."""
        for name in names:
            self._drop_strays(name)

        def make_index(name: str) -> CellIndex:
            return index_rows(self.tables[name], self.window.height, self.window.width)

        indices = crew.together(*[lambda n=n: make_index(n) for n in names])  # type: ignore[misc]
        self._indices.update(zip(names, indices, strict=True))

    def _drop_strays(self, name: str) -> None:
        """Removes the rows of beings that have left the window; other regions compute these beings."""
        table = self.tables[name]
        inside = _inside(table["y_fixed"], table["x_fixed"], 0, 0, self.window.height, self.window.width)
        table.keep(inside)

    # --- births and deaths

    def record_births(self, name: str, rows: slice) -> None:
        """Counts the newborn beings `rows` that are owned, and appends a record to `births` unless that is None.

        The record is a dict of arrays with an entry for each owned newborn: `id`, `parent_id`, `species` and `genome`
        (if the table has them), and `cell`, the index of its cell in the world. Only tables in `births_of` are
        recorded.
        """
        owned = self.owned_rows(name)[rows]
        self.counts["births"] += int(np.count_nonzero(owned))
        if self.births is not None and name in self.births_of and owned.any():
            table, chosen = self.tables[name], np.flatnonzero(owned) + rows.start
            names = [n for n in ("id", "parent_id", "species", "genome") if n in table]
            record = {n: table[n][chosen].copy() for n in names}
            self.births.append({**record, "cell": self.global_cells(name, chosen)})

    def remove_dead(self, name: str, dead: np.ndarray) -> None:
        """Removes the rows of a table where `dead` (`uint8[rows]`) is not 0, and counts the owned ones as deaths."""
        gone = dead != 0
        if gone.any():
            self.counts["deaths"] += int(np.count_nonzero(gone & self.owned_rows(name)))
            self.tables[name].keep(~gone)
        self._indices.pop(name, None)

    # --- cut and paste

    def owned_rows(self, name: str) -> np.ndarray:
        """Returns `bool[rows]`: whether each row of a table lies in the owned rectangle."""
        table, rim = self.tables[name], self.halo_cells
        return _inside(table["y_fixed"], table["x_fixed"], rim, rim, self.owned.height, self.owned.width)

    def cut(self, rectangle: Rectangle) -> Piece:
        """Returns a copy of the cells and beings in `rectangle`, which is given in the same coordinates as `owned`.

        Raises `LawError` if `rectangle` is not inside the owned rectangle.
        """
        if self.owned.intersect(rectangle) != rectangle:
            raise LawError(f"{rectangle} is not inside {self.owned}: only the owned rectangle can be cut")
        y, x = rectangle.y - self.window.y, rectangle.x - self.window.x
        rows = slice(y, y + rectangle.height)
        columns = slice(x, x + rectangle.width)
        fields = {name: array[..., rows, columns].copy() for name, array in self.fields.items()}
        tables = {}
        for name, table in self.tables.items():
            chosen = np.flatnonzero(
                _inside(table["y_fixed"], table["x_fixed"], y, x, rectangle.height, rectangle.width)
            )
            tables[name] = table.rows(chosen)
            tables[name]["y_fixed"] -= np.int32(y * SUBCELL)
            tables[name]["x_fixed"] -= np.int32(x * SUBCELL)
        return Piece(rectangle, fields, tables)

    def paste(self, pieces: Iterable[tuple[Piece, int, int]]) -> None:
        """Replaces the halo by pieces, given as `(piece, y, x)` with the position of the piece's corner in the window.

        Beings outside the owned rectangle are removed first. Afterwards the full window is exact. Raises `LawError`
        unless the pieces cover every cell of the halo exactly once.
        """
        rim = self.halo_cells
        for name in self.tables:
            self.tables[name].keep(self.owned_rows(name))
        covered = self.owned.cells
        cover = np.zeros((self.window.height, self.window.width), np.uint8)
        cover[rim : rim + self.owned.height, rim : rim + self.owned.width] = 1
        for piece, y, x in pieces:
            rows, columns = slice(y, y + piece.rectangle.height), slice(x, x + piece.rectangle.width)
            cover[rows, columns] += 1
            covered += piece.rectangle.cells
            for name, array in piece.fields.items():
                self.fields[name][..., rows, columns] = array
            for name, values in piece.tables.items():
                new = self.tables[name].append(len(values["id"]), values)
                self.tables[name]["y_fixed"][new] += np.int32(y * SUBCELL)
                self.tables[name]["x_fixed"][new] += np.int32(x * SUBCELL)
        if covered != self.window.cells or not cover.all():
            raise LawError(
                f"the halo of {self.owned} at tick {self.tick} is not covered exactly once by its neighbours"
            )
        self.margin_cells = rim
        self._indices.clear()

    def wrap(self) -> None:
        """Replaces the halo of a region that owns the whole torus by copies of its opposite edges.

        Raises `LawError` if the region does not own the whole torus.
        """
        if (self.owned.height, self.owned.width) != self.torus:
            raise LawError("only a region that owns the whole torus has itself as its neighbour")
        home = (self.halo_cells, self.halo_cells)
        parts = [part for part in images(self.window, self.owned, self.torus) if part[1:] != home]
        self.paste([(self.cut(part), y, x) for part, y, x in parts])

    def load(self, pieces: Iterable[Piece]) -> None:
        """Replaces the content of the owned rectangle by the parts of `pieces` that overlap it.

        The halo must be filled afterwards, before laws run. Raises `LawError` unless the pieces cover every owned cell
        exactly once.
        """
        for name in self.tables:
            self.tables[name].keep(np.zeros(self.tables[name].count, bool))
        covered = 0
        for piece in pieces:
            for part, y, x in images(self.owned, piece.rectangle, self.torus):
                inner = piece.part(part)
                covered += part.cells
                rows = slice(self.halo_cells + y, self.halo_cells + y + part.height)
                columns = slice(self.halo_cells + x, self.halo_cells + x + part.width)
                for name, array in inner.fields.items():
                    self.fields[name][..., rows, columns] = array
                for name, values in inner.tables.items():
                    new = self.tables[name].append(len(values["id"]), values)
                    self.tables[name]["y_fixed"][new] += np.int32(rows.start * SUBCELL)
                    self.tables[name]["x_fixed"][new] += np.int32(columns.start * SUBCELL)
        if covered != self.owned.cells:
            raise LawError(f"{self.owned} is not covered exactly once by the pieces it is loaded from")
        self.margin_cells = 0
        self._indices.clear()

    def sort(self) -> None:
        """Sorts the rows of all tables by cell. This affects only speed."""
        for table in self.tables.values():
            cell = (table["y_fixed"] >> SUBCELL_BITS).astype(np.int64) * self.window.width
            cell += table["x_fixed"] >> SUBCELL_BITS
            table.reorder(np.argsort(cell, kind="stable"))
        self._indices.clear()

    def global_cells(self, name: str, rows: np.ndarray | slice = slice(None)) -> np.ndarray:
        """Returns the cell of each being as an index in the world, `y * width + x`, `int64[rows]`."""
        table = self.tables[name]
        y = self._y_global[table["y_fixed"][rows] >> SUBCELL_BITS].astype(np.int64)
        return y * self.torus.width + self._x_global[table["x_fixed"][rows] >> SUBCELL_BITS]

    @property
    def resident_bytes(self) -> int:
        """The memory of fields, tables and scratch arrays in bytes."""
        arrays: list[np.ndarray] = [*self.fields.values(), *self._scratch.values()]
        return sum(a.nbytes for a in arrays) + sum(table.resident_bytes for table in self.tables.values())


def _inside(y_fixed, x_fixed, y: int, x: int, height: int, width: int) -> np.ndarray:
    """Returns whether each position (1/1024 cell) is in the cells `y .. y + height - 1`, `x .. x + width - 1`."""
    return (
        (y_fixed >= y * SUBCELL)
        & (y_fixed < (y + height) * SUBCELL)
        & (x_fixed >= x * SUBCELL)
        & (x_fixed < (x + width) * SUBCELL)
    )


def exchange_halos(regions: Sequence[Region]) -> None:
    """Replaces the halos of regions that together own the torus by copies of each other's cells and beings."""
    plans = []
    for taker in regions:
        own = (taker.halo_cells, taker.halo_cells)
        pieces = []
        for giver in regions:
            for part, y, x in images(taker.window, giver.owned, taker.torus):
                if giver is taker and (y, x) == own and part == taker.owned:
                    continue
                pieces.append((giver.cut(part), y, x))
        plans.append(pieces)
    for taker, pieces in zip(regions, plans, strict=True):
        taker.paste(pieces)

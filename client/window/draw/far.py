"""Drawing of beings at small scales: one dot per being, or densities, drawn as randomly scattered specks.

Densities are numbers of beings in bins of 8 x 8 cells. A table holds all beings of one kind, such as plants. `ctx` is
the `arcade.gl.Context` of the window, `quad` a geometry that covers it, and `known` the description of the world that
the window received from its server (`viewer_protocol.Welcome`).
"""

import math
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np

from umwelt.client.window.draw.colours import plant_tables, species_colour
from umwelt.client.window.draw.ground import GRAIN_UNIT, Spread, half_view, set_wrap
from umwelt.client.window.draw.programs import CLOCK_WRAP_S, give, lay_over, place, program
from umwelt.client.window.feed.camera import Camera
from umwelt.client.window.feed.frame import Densities, Dots, Frame
from umwelt.cluster import BIN_CELLS

KINDS = 4
"""The number of species that have colours of their own in densities, among plants and among other beings each.

These are the most frequent species. All further species have the colour of the last one of them.
"""
MAX_TABLES, MAX_SPECIES = 16, 256
"""The size of the texture with the colours of dots: one row per table, one column per species."""
MIN_GRID_PIXELS = 1.7
"""The maximum width in pixels of a square of the grid in which specks are drawn, at most one in each square.

Specks are drawn in this grid and in a coarser one, with squares of twice the width; the two pictures are blended.
"""
POINT_SIZES = 0x8642
"""OpenGL's constant `GL_PROGRAM_POINT_SIZE`: while it is enabled, shaders set the size of points."""


def find_runs(table: np.ndarray) -> list[tuple[int, int, int]]:
    """Returns the runs of equal numbers in `table`, which has the index of the table of each row.

    A run is (index of the table, first row, number of rows).
    """
    if not len(table):
        return []
    edges = np.concatenate([[0], np.flatnonzero(table[1:] != table[:-1]) + 1, [len(table)]]).tolist()
    return [(int(table[first]), first, end - first) for first, end in pairwise(edges)]


def grid_of(scale: float) -> tuple[float, float]:
    """Returns the width of a square of the finer grid of specks, and the share of the coarser grid in the blend.

    The width is in cells of the world and a power of two; the share is from 0 to 1. `scale` is in pixels per cell.
    """
    exact = math.log2(MIN_GRID_PIXELS / scale)
    low = math.floor(exact)
    return 2.0**low, exact - low


def by_kind(
    counts: Mapping[tuple[str, int], np.ndarray], shape: tuple[int, int]
) -> tuple[np.ndarray, list[tuple[str, int]]]:
    """Returns the number of beings per cell, `float32[*shape, KINDS]`, and the list of at most `KINDS` kinds it is for.

    `counts[kind]` are the numbers of beings in bins, an array of the shape `shape`. A kind is (table, number of the
    species); the most frequent kinds come first. Rarer kinds are added to the last one.
    """
    totals = {kind: int(plane.sum()) for kind, plane in counts.items()}
    order = sorted((kind for kind in counts if totals[kind]), key=lambda kind: (-totals[kind], kind))
    beings = np.zeros((*shape, KINDS), np.float32)
    for rank, kind in enumerate(order):
        beings[..., min(rank, KINDS - 1)] += counts[kind]
    return beings / BIN_CELLS**2, order[:KINDS]


class DotsDrawer:
    """Draws beings (`frame.Dots`) as points; copies their columns to the GPU when they have changed."""

    COLUMNS = ("x", "y", "species", "size", "table")
    """The columns of `Dots` that are uploaded, each into a buffer."""

    def __init__(self, ctx: Any, known: Any):
        self.ctx, self.known, self.plant_tables = ctx, known, plant_tables(known)
        self.program = program(ctx, "dot_vertex.glsl", "dot_fragment.glsl")
        give(self.program, palette=0)
        self.palette = ctx.texture((MAX_SPECIES, MAX_TABLES), components=4, dtype="f1", filter=(ctx.NEAREST,) * 2)
        self._tables: list[str] | None = None
        self._number: int | None = None
        self._count = self._capacity = 0
        self._buffers: list[Any] = []
        self._runs: list[tuple[int, int, int]] = []
        """The runs of dots of one table (see `find_runs`), in the order in which they are drawn."""
        self._geometry: Any = None

    def _paint(self, tables: list[str]) -> None:
        """Writes the colours of all species into the palette texture; alpha is 255 for plants, else 0."""
        colours = np.zeros((MAX_TABLES, MAX_SPECIES, 4), np.uint8)
        for row, name in enumerate(tables[:MAX_TABLES]):
            plant = name in self.plant_tables
            for species in range(MAX_SPECIES):
                red, green, blue = species_colour(self.known, name, species)
                colours[row, species] = (red * 255, green * 255, blue * 255, 255 * plant)
        self.palette.write(colours)
        self._tables = list(tables)

    def _allocate(self, count: int) -> None:
        """Replaces the GPU buffers by ones with room for at least `count` dots."""
        # imported here, so that the functions of this module can be used without OpenGL
        from arcade.gl import BufferDescription

        self.release_buffers()
        self._capacity = max(1024, count + count // 4)
        for name in self.COLUMNS:
            self._buffers.append(self.ctx.buffer(reserve=self._capacity * (4 if name in "xy" else 1), usage="stream"))
        descriptions = [
            BufferDescription(buffer, "1f", [f"in_{name}"])
            if name in "xy"
            else BufferDescription(buffer, "1f1", [f"in_{name}"], normalized=[f"in_{name}"])
            for name, buffer in zip(self.COLUMNS, self._buffers, strict=True)
        ]
        self._geometry = self.ctx.geometry(descriptions, mode=self.ctx.POINTS)

    def upload(self, dots: Dots, tables: list[str]) -> None:
        """Copies the dots to the GPU if they have changed; `tables` are the names of the tables, by index."""
        if tables != self._tables:
            self._paint(tables)
        if dots.number == self._number:
            return
        self._number, self._count = dots.number, len(dots.x)
        if self._count > self._capacity or self._geometry is None:
            self._allocate(self._count)
        runs, order = find_runs(dots.table), None
        if len(runs) > MAX_TABLES:
            order = np.argsort(dots.table, kind="stable")
            runs = find_runs(dots.table[order])
        # plants first: other beings are drawn over them
        self._runs = sorted(runs, key=lambda run: (tables[run[0]] not in self.plant_tables, run[1]))
        for name, buffer in zip(self.COLUMNS, self._buffers, strict=True):
            column = np.ascontiguousarray(getattr(dots, name), np.float32 if name in "xy" else np.uint8)
            column = column if order is None else column[order]
            if not self._count:
                continue
            buffer.orphan()
            buffer.write(column if column.flags.writeable else column.tobytes())

    def draw(self, frame: Frame, camera: Camera, strength: float) -> None:
        """Draws all dots, plants first; `strength` is their opacity, from 0 to 1."""
        if frame.dots is None:
            return
        self.upload(frame.dots, frame.tables)
        if not self._count:
            return
        ctx = self.ctx
        lay_over(ctx)
        ctx.enable(POINT_SIZES)
        self.palette.use(0)
        give(
            self.program,
            strength=strength,
            world=(float(camera.width), float(camera.height)),
            corner_cell=(float(frame.rectangle.x), float(frame.rectangle.y)),
        )
        images = camera.images(frame.rectangle)
        for table, first, count in self._runs:
            give(self.program, plants=float(frame.tables[table] in self.plant_tables))
            for image in images:
                place(self.program, camera, frame, image)
                self._geometry.render(self.program, first=first, vertices=count)
        ctx.disable(POINT_SIZES)

    def release_buffers(self) -> None:
        """Deletes the buffers."""
        for buffer in self._buffers:
            buffer.delete()
        self._buffers, self._geometry, self._capacity = [], None, 0

    def release(self) -> None:
        """Deletes all GPU resources."""
        self.release_buffers()
        self.palette.delete()


class DensitiesDrawer:
    """Draws the densities of a frame over the full window, from one texture for plants and one for other beings."""

    def __init__(self, ctx: Any, known: Any, quad: Any):
        self.ctx, self.quad, self.known, self.plant_tables = ctx, quad, known, plant_tables(known)
        self.program = program(ctx, "ground_vertex.glsl", "density_fragment.glsl")
        give(
            self.program,
            plant_counts=0,
            monster_counts=1,
            world=(float(known.width), float(known.height)),
            grains=GRAIN_UNIT,
        )
        self._number: int | None = None
        self._textures: list[Any] = []
        self._spread: Spread | None = None

    def upload(self, densities: Densities) -> None:
        """Copies the densities to the GPU if they have changed: one texture for plants, one for other beings."""
        if densities.number == self._number or not densities.counts:
            return
        self._number = densities.number
        rows, columns = next(iter(densities.counts.values())).shape
        self._spread = Spread.of(densities, rows, columns, BIN_CELLS, self.known.height, self.known.width)
        for texture in self._textures:
            texture.delete()
        self._textures = []
        for plant, word in ((True, "plant"), (False, "monster")):
            counts = {
                kind: plane for kind, plane in densities.counts.items() if (kind[0] in self.plant_tables) == plant
            }
            values, kinds = by_kind(counts, (rows, columns))
            texture = self.ctx.texture((columns, rows), components=4, dtype="f4")
            texture.write(values)
            set_wrap(self.ctx, texture, self._spread)
            self._textures.append(texture)
            colours = [species_colour(self.known, *kind) for kind in kinds] + [(0.5, 0.5, 0.5)] * KINDS
            give(self.program, **{f"{word}_{letter}": colours[at] for at, letter in enumerate("abcd")})

    def draw(self, frame: Frame, camera: Camera, strength: float) -> None:
        """Draws the densities of a frame, if it has any, with an opacity `strength` from 0 to 1."""
        if frame.densities is None:
            return
        self.upload(frame.densities)
        if self._spread is None:
            return
        for at, texture in enumerate(self._textures):
            texture.use(at)
        lay_over(self.ctx)
        cells, blend = grid_of(camera.scale)
        give(
            self.program,
            half_view=half_view(camera),
            middle=(camera.x, camera.y),
            density_place=self._spread.place(camera),
            density_wraps=self._spread.wraps,
            seconds=frame.now_s % CLOCK_WRAP_S,
            strength=strength,
            grid_cells=cells,
            blend=blend,
        )
        self.quad.render(self.program)

    def release(self) -> None:
        """Deletes the textures."""
        for texture in self._textures:
            texture.delete()
        self._textures = []

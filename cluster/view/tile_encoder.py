"""Encodes tiles, the format in which viewers receive the world, from a region. Only reads the region.

A region holds the cells and beings of the rectangle that it owns, and of a halo around it. `tiles.py` describes the
format, and defines topics, levels, layers, pieces and bins.
"""

from collections.abc import Iterable, Sequence

import numpy as np

from umwelt.agents.world_file import WorldFile
from umwelt.cluster.view.tiles import (
    BEINGS,
    BIN_CELLS,
    BODIES,
    DEFAULT_DOT_SIZE,
    DENSITIES,
    DOT_LOOKS,
    PLACE_STEPS,
    SKY,
    TILE_CELLS,
    ShownTable,
    Topic,
    appearances_of,
    bins,
    encode,
    layers_of,
    narrow,
)
from umwelt.sandbox.columns import Table
from umwelt.sandbox.laws.weather import Sky, climate_of, sky_over
from umwelt.sandbox.region import Rectangle, Region, images
from umwelt.sandbox.step import Look
from umwelt.sandbox.units import ONE, ONE_BITS, SUBCELL_BITS, WARMTH_COLDEST_CELSIUS, WARMTH_STEPS

MAX_SPECIES = 256
"""Maximum number of species of a table that the densities of a piece distinguish."""
_PLACE = (Look("y", "uint16"), Look("x", "uint16"))
_DOT_PLACE = (Look("y", "uint8"), Look("x", "uint8"))
CENTI = 100
"""Units per degree: temperatures are in hundredths of a degree Celsius."""
MAX_RAIN = 8 * ONE
"""Maximum value of the layer of rain; larger values are clipped to it."""


class TileEncoder:
    """Encodes tiles of one region. Data that several tiles of a tick share are computed once.

    Created for each region by the owner of the region: a node's publisher, a replay or a recording. The region can be
    advanced between two calls.
    """

    def __init__(self, world: WorldFile, region: Region):
        self.world, self.region = world, region
        self.layers = layers_of(world)
        self._appearances = appearances_of(world)
        self._sky: tuple[int, Sky] | None = None
        cells = region.owned
        self._y_global = (cells.y + np.arange(cells.height)) % region.torus.height
        self._x_global = (cells.x + np.arange(cells.width)) % region.torus.width

    def parts(self, topic: Topic) -> list[Rectangle]:
        """Returns the rectangles of a tile's cells that the region owns (usually one), in world coordinates."""
        cells = topic.cells(self.region.torus)
        if cells is None or topic.layer >= len(self.layers):
            return []
        return list(dict.fromkeys(part for part, _, _ in images(self.region.owned, cells, self.region.torus)))

    def tiles(self, topics: Iterable[Topic], epoch: int) -> list[tuple[Topic, bytes]]:
        """Returns (topic, encoded piece) for every piece of the tiles `topics` that the region owns."""
        pieces = []
        by_level: dict[int, list[Topic]] = {}
        for topic in topics:
            if topic.layer == BEINGS:
                by_level.setdefault(topic.level, []).append(topic)
                continue
            for part in self.parts(topic):
                values = self.values(self.layers[topic.layer], part)
                if topic.level == DENSITIES:
                    values = means(values, part)
                pieces.append((topic, encode(topic, part, epoch, self.region.tick, field=values)))
        for level, wanted in by_level.items():
            pieces += self._densities(wanted, epoch) if level == DENSITIES else self._beings(level, wanted, epoch)
        return pieces

    # --- fields

    def values(self, name: str, part: Rectangle) -> np.ndarray:
        """Returns the values of the layer `name` in `part`, a rectangle in world coordinates: `int[height, width]`.

        `part` must lie in the owned rectangle.
        """
        region = self.region
        y = (part.y - region.owned.y) % region.torus.height + region.halo_cells
        x = (part.x - region.owned.x) % region.torus.width + region.halo_cells
        rows, columns = slice(y, y + part.height), slice(x, x + part.width)
        if name not in SKY or name in {field.name for field in region.field_list}:
            return region[name][rows, columns]
        return self._weather(name, rows, columns)

    def _weather(self, name: str, rows: slice, columns: slice) -> np.ndarray:
        """Returns light, temperature or rain at the present tick, computed as in `weather.make_weather`.

        `rows` and `columns` are slices of the region's arrays, which include the halo.
        """
        region = self.region
        if self._sky is None or self._sky[0] != region.tick:
            self._sky = region.tick, sky_over(region)
        sky, climate = self._sky[1], climate_of(region)
        lapse = (region["elevation"][rows, columns].astype(np.int64) * climate.lapse_centi) >> ONE_BITS
        centi = sky.row_centi[rows, None] + sky.column_centi[columns] - lapse
        if name == "temperature":
            return centi
        step = (centi // CENTI - WARMTH_COLDEST_CELSIUS).clip(0, WARMTH_STEPS - 1)
        holds = np.maximum(
            1, (climate.saturation_count * region.constants["warmth"].astype(np.int64)[step]) >> ONE_BITS
        )
        moisture = (region["vapour"][rows, columns].astype(np.int64) << ONE_BITS) // holds
        if name == "rain":
            return (moisture - ONE).clip(0, MAX_RAIN)
        cloud = (np.minimum(moisture, 2 * ONE) * climate.cloud_q10) >> (ONE_BITS + 1)
        light = (sky.row_light[rows, None] * sky.column_light[columns]) >> ONE_BITS
        return (light * (ONE - cloud)) >> ONE_BITS

    # --- beings

    def _beings(self, level: int, topics: Sequence[Topic], epoch: int) -> list[tuple[Topic, bytes]]:
        """Returns (topic, encoded piece) for every piece of `topics`, which are of beings at one `level`.

        Columns are read once for all pieces, then split by piece.
        """
        places = [(topic, part) for topic in topics for part in self.parts(topic)]
        tables: list[list[ShownTable]] = [[] for _ in places]
        for name, table in self.region.tables.items():
            rows, y, x, starts = self._rows(table, [part for _, part in places])
            step = SUBCELL_BITS - (PLACE_STEPS[level].bit_length() - 1)
            mask, dtype = (TILE_CELLS[level] << SUBCELL_BITS) - 1, "uint16" if level == BODIES else "uint8"
            columns = {"y": ((y & mask) >> step).astype(dtype), "x": ((x & mask) >> step).astype(dtype)}
            own_looks, size = self._appearances[name]
            if level == BODIES:
                looks = [Look("id", "int64"), *_PLACE, *own_looks]
                columns["id"] = table["id"][rows]
                columns |= {look.name: narrow(_values(table, look, rows), look) for look in own_looks}
            else:
                looks = [*_DOT_PLACE, *DOT_LOOKS]
                columns |= _dots(table, size, rows)
            for number, shown in enumerate(tables):
                own = slice(starts[number], starts[number + 1])
                shown.append(ShownTable(name, looks, {column: array[own] for column, array in columns.items()}))
        tick = self.region.tick
        return [
            (topic, encode(topic, part, epoch, tick, tables=shown))
            for (topic, part), shown in zip(places, tables, strict=True)
        ]

    def _rows(self, table: Table, parts: Sequence[Rectangle]) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[int]]:
        """Returns the rows of the beings that lie in the rectangles `parts`, sorted by rectangle.

        Returns (rows, y, x, starts): `y` and `x` are the places of the beings in the world, in subcells. The beings of
        `parts[n]` are those from index `starts[n]` to `starts[n + 1]`. `parts` must come from tiles of one level, which
        do not overlap, so that the rectangle of a being can be looked up by its row and column of tiles.
        """
        region, rim = self.region, self.region.halo_cells
        y_cell = (table["y_fixed"] >> SUBCELL_BITS) - rim
        x_cell = (table["x_fixed"] >> SUBCELL_BITS) - rim
        inside = (y_cell >= 0) & (y_cell < region.owned.height) & (x_cell >= 0) & (x_cell < region.owned.width)
        y_of, y_bands = self._bands(self._y_global, [(part.y, part.height) for part in parts])
        x_of, x_bands = self._bands(self._x_global, [(part.x, part.width) for part in parts])
        which = np.full((len(y_bands) + 1, len(x_bands) + 1), -1, np.int16)
        for number, part in enumerate(parts):
            which[y_bands[part.y, part.height], x_bands[part.x, part.width]] = number
        rows = np.flatnonzero(inside)
        part_of = which[y_of[y_cell[rows]], x_of[x_cell[rows]]]
        chosen = part_of >= 0
        rows, part_of = rows[chosen], part_of[chosen]
        order = np.argsort(part_of, kind="stable")
        rows = rows[order]
        starts = np.concatenate([[0], np.cumsum(np.bincount(part_of, minlength=len(parts)))]).tolist()
        y = (table["y_fixed"][rows].astype(np.int64) + (region.window.y << SUBCELL_BITS)) % (
            region.torus.height << SUBCELL_BITS
        )
        x = (table["x_fixed"][rows].astype(np.int64) + (region.window.x << SUBCELL_BITS)) % (
            region.torus.width << SUBCELL_BITS
        )
        return rows, y, x, starts

    @staticmethod
    def _bands(cells: np.ndarray, spans: Sequence[tuple[int, int]]) -> tuple[np.ndarray, dict[tuple[int, int], int]]:
        """Numbers the distinct `spans`; returns the number for each cell coordinate in `cells`, and the number by span.

        A span is (first coordinate, count). Coordinates in no span get the number of spans.
        """
        bands = {span: number for number, span in enumerate(dict.fromkeys(spans))}
        band_of = np.full(len(cells), len(bands), np.int32)
        for (first, count), number in bands.items():
            band_of[(cells >= first) & (cells < first + count)] = number
        return band_of, bands

    # --- densities

    def _densities(self, topics: Sequence[Topic], epoch: int) -> list[tuple[Topic, bytes]]:
        """Returns (topic, encoded piece) for every piece, with the number of beings of each species in each bin."""
        tick = self.region.tick
        return [
            (topic, encode(topic, part, epoch, tick, counts=self._counts(part)))
            for topic in topics
            for part in self.parts(topic)
        ]

    def _counts(self, part: Rectangle) -> tuple[list[tuple[str, int]], np.ndarray]:
        """Returns the number of beings of each species in each bin that `part` touches.

        Returns the planes, each a (table, species), and the counts, `int[plane, bin, bin]`. Species without beings in
        `part` are omitted; in a table without species, the species is -1.
        """
        bin_rows, bin_columns = bins(part)
        shape = (bin_rows.stop - bin_rows.start, bin_columns.stop - bin_columns.start)
        planes: list[tuple[str, int]] = []
        counts = []
        for name, table in self.region.tables.items():
            rows, y, x, _ = self._rows(table, [part])
            bin_of = ((y >> SUBCELL_BITS) // BIN_CELLS - bin_rows.start) * shape[1]
            bin_of += (x >> SUBCELL_BITS) // BIN_CELLS - bin_columns.start
            species = table["species"][rows].astype(np.int64) if "species" in table else np.full(len(rows), -1)
            for number in np.unique(species)[:MAX_SPECIES].tolist():
                planes.append((name, number))
                counts.append(np.bincount(bin_of[species == number], minlength=shape[0] * shape[1]).reshape(shape))
        return planes, np.array(counts).reshape(-1, *shape)


def _values(table: Table, look: Look, rows: np.ndarray) -> np.ndarray:
    """Returns the values of a visible property (see `Look`) of the beings at `rows`."""
    return table[look.column][rows, look.entry] if look.column else table[look.name][rows]


def _dots(table: Table, size: str, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Returns the columns `species` and `size` of dots; `size` is the name of the table's column that holds sizes."""
    zeros = np.zeros(len(rows), np.uint8)
    species, sizes = DOT_LOOKS
    return {
        "species": narrow(table["species"][rows], species) if "species" in table else zeros,
        "size": narrow(table[size][rows], sizes) if size else zeros + np.uint8(DEFAULT_DOT_SIZE),
    }


def means(values: np.ndarray, part: Rectangle) -> np.ndarray:
    """Returns the mean over each bin that the rectangle `part` touches, rounded down: `int64[bin, bin]`.

    `values` (`int[height, width]`) are those of the cells of `part`; only these cells of a bin count.
    """
    rows, columns = bins(part)
    y = np.maximum(0, np.arange(rows.start, rows.stop) * BIN_CELLS - part.y)
    x = np.maximum(0, np.arange(columns.start, columns.stop) * BIN_CELLS - part.x)
    totals = np.add.reduceat(np.add.reduceat(values.astype(np.int64), y, axis=0), x, axis=1)
    heights = np.diff(np.append(y, part.height))
    widths = np.diff(np.append(x, part.width))
    return totals // (heights[:, None] * widths)

"""From a region to tiles: what a node, or a moment of the past, shows of the rectangle it owns. Reads, never writes."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from umwelt.agents.body.genome import TRAIT
from umwelt.agents.world_file import WorldFile
from umwelt.cluster.view.tiles import (
    BEINGS,
    BIN_CELLS,
    BODIES,
    DENSITIES,
    DOT_LOOKS,
    DOT_SIZE_WITHOUT_TISSUE,
    PLACE_STEPS,
    SKY,
    TILE_CELLS,
    Look,
    Topic,
    bins,
    encode_beings,
    encode_counts,
    encode_field,
    has_traits,
    layers_of,
    looks_of,
)
from umwelt.sandbox.columns import Table
from umwelt.sandbox.laws.weather import Sky, climate_of, sky_over
from umwelt.sandbox.region import Rectangle, Region, images
from umwelt.sandbox.units import ONE, SUBCELL_BITS, WARMTH_COLDEST_CELSIUS, WARMTH_STEPS

MAX_SPECIES = 256
"""Densities tell so many species of a table apart, in all its squares."""
_PLACE = (Look("y", "uint16"), Look("x", "uint16"))
_DOT_PLACE = (Look("y", "uint8"), Look("x", "uint8"))


class Cutter:
    """Cuts tiles out of a region; what many tiles of one tick share is worked out once."""

    def __init__(self, world: WorldFile, region: Region):
        self.world, self.region = world, region
        self.layers = layers_of(world)
        self._looks = {name: looks_of(table.schema) for name, table in region.tables.items()}
        self._sky: tuple[int, Sky] | None = None
        cells = region.owned
        self._y_global = (cells.y + np.arange(cells.height)) % region.torus.height
        self._x_global = (cells.x + np.arange(cells.width)) % region.torus.width

    def parts(self, topic: Topic) -> list[Rectangle]:
        """What the region owns of a tile: mostly one rectangle, in the world's coordinates; none if nothing."""
        cells = topic.cells(self.region.torus)
        if cells is None or topic.layer >= len(self.layers):
            return []
        return list(dict.fromkeys(part for part, _, _ in images(self.region.owned, cells, self.region.torus)))

    def tiles(self, topics: Iterable[Topic], epoch: int) -> list[tuple[Topic, bytes]]:
        """The pieces that the region owns of some tiles, encoded."""
        found = []
        by_level: dict[int, list[Topic]] = {}
        for topic in topics:
            if topic.layer == BEINGS:
                by_level.setdefault(topic.level, []).append(topic)
                continue
            for part in self.parts(topic):
                values = self.values(self.layers[topic.layer], part)
                if topic.level == DENSITIES:
                    values = means(values, part)
                found.append((topic, encode_field(topic, part, epoch, self.region.tick, values)))
        for level, wanted in by_level.items():
            found += self._densities(wanted, epoch) if level == DENSITIES else self._beings(level, wanted, epoch)
        return found

    # --- fields

    def values(self, name: str, part: Rectangle) -> np.ndarray:
        """A layer's cells in a part of what is owned (the world's coordinates), `int[height, width]`."""
        region = self.region
        y = (part.y - region.owned.y) % region.torus.height + region.halo_cells
        x = (part.x - region.owned.x) % region.torus.width + region.halo_cells
        rows, columns = slice(y, y + part.height), slice(x, x + part.width)
        if name not in SKY or name in {field.name for field in region.field_list}:
            return region[name][rows, columns]
        return self._weather(name, rows, columns)

    def _weather(self, name: str, rows: slice, columns: slice) -> np.ndarray:
        """Light, temperature or rain (glut) as `weather.make_weather` has them at this tick."""
        region = self.region
        if self._sky is None or self._sky[0] != region.tick:
            self._sky = region.tick, sky_over(region)
        sky, climate = self._sky[1], climate_of(region)
        lapse = (region["elevation"][rows, columns].astype(np.int64) * climate.lapse_centi) >> 10
        centi = sky.row_centi[rows, None] + sky.column_centi[columns] - lapse
        if name == "temperature":
            return centi
        step = (centi // 100 - WARMTH_COLDEST_CELSIUS).clip(0, WARMTH_STEPS - 1)
        holds = np.maximum(1, (climate.saturation_count * region.constants["warmth"].astype(np.int64)[step]) >> 10)
        moisture = (region["vapour"][rows, columns].astype(np.int64) << 10) // holds
        if name == "rain":
            return (moisture - ONE).clip(0, 8 * ONE)
        cloud = (np.minimum(moisture, 2 * ONE) * climate.cloud_q10) >> 11
        light = (sky.row_light[rows, None] * sky.column_light[columns]) >> 10
        return (light * (ONE - cloud)) >> 10

    # --- beings

    def _beings(self, level: int, topics: Sequence[Topic], epoch: int) -> list[tuple[Topic, bytes]]:
        """Pieces with single beings: the columns of all of them are taken at once, then told apart by tile."""
        places = [(topic, part) for topic in topics for part in self.parts(topic)]
        tables: list[list[Any]] = [[] for _ in places]
        for name, table in self.region.tables.items():
            rows, y, x, starts = self._rows(table, [part for _, part in places])
            step = SUBCELL_BITS - (PLACE_STEPS[level].bit_length() - 1)
            mask, dtype = (TILE_CELLS[level] << SUBCELL_BITS) - 1, "uint16" if level == BODIES else "uint8"
            columns = {"y": ((y & mask) >> step).astype(dtype), "x": ((x & mask) >> step).astype(dtype)}
            if level == BODIES:
                looks = [Look("id", "int64"), *_PLACE, *self._looks[name]]
                columns["id"] = table["id"][rows]
                columns |= self._shown(table, self._looks[name], rows)
            else:
                looks = [*_DOT_PLACE, *DOT_LOOKS]
                columns |= _dots(table, rows)
            for at in range(len(places)):
                own = slice(starts[at], starts[at + 1])
                tables[at].append((name, looks, {column: array[own] for column, array in columns.items()}))
        tick = self.region.tick
        return [
            (topic, encode_beings(topic, part, epoch, tick, told))
            for (topic, part), told in zip(places, tables, strict=True)
        ]

    def _rows(self, table: Table, parts: Sequence[Rectangle]) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[int]]:
        """The rows in each of some parts of what is owned, part by part; their places in the world; where each begins.

        Parts of equal tiles do not overlap, so a table of rows and columns of tiles tells which part a being is in.
        """
        region, rim = self.region, self.region.halo_cells
        y_cell = (table["y_fixed"] >> SUBCELL_BITS) - rim
        x_cell = (table["x_fixed"] >> SUBCELL_BITS) - rim
        inside = (y_cell >= 0) & (y_cell < region.owned.height) & (x_cell >= 0) & (x_cell < region.owned.width)
        y_of, y_bands = self._bands(self._y_global, [(part.y, part.height) for part in parts])
        x_of, x_bands = self._bands(self._x_global, [(part.x, part.width) for part in parts])
        which = np.full((len(y_bands) + 1, len(x_bands) + 1), -1, np.int16)
        for at, part in enumerate(parts):
            which[y_bands[part.y, part.height], x_bands[part.x, part.width]] = at
        rows = np.flatnonzero(inside)
        found = which[y_of[y_cell[rows]], x_of[x_cell[rows]]]
        chosen = found >= 0
        rows, found = rows[chosen], found[chosen]
        order = np.argsort(found, kind="stable")
        rows = rows[order]
        starts = np.concatenate([[0], np.cumsum(np.bincount(found, minlength=len(parts)))]).tolist()
        y = (table["y_fixed"][rows].astype(np.int64) + (region.window.y << SUBCELL_BITS)) % (
            region.torus.height << SUBCELL_BITS
        )
        x = (table["x_fixed"][rows].astype(np.int64) + (region.window.x << SUBCELL_BITS)) % (
            region.torus.width << SUBCELL_BITS
        )
        return rows, y, x, starts

    @staticmethod
    def _bands(cells: np.ndarray, spans: Sequence[tuple[int, int]]) -> tuple[np.ndarray, dict[tuple[int, int], int]]:
        """For each owned row (or column) the number of the span it lies in; the last number stands for none."""
        bands = {span: at for at, span in enumerate(dict.fromkeys(spans))}
        found = np.full(len(cells), len(bands), np.int32)
        for (first, count), at in bands.items():
            found[(cells >= first) & (cells < first + count)] = at
        return found, bands

    def _shown(self, table: Table, looks: Sequence[Look], rows: np.ndarray) -> dict[str, np.ndarray]:
        found = {}
        traits = has_traits(table.schema)
        for look in looks:
            if traits and look.name.startswith("gene_") and look.name not in table:
                values = table["genome"][rows, TRAIT[look.name.removeprefix("gene_")]]
            else:
                values = table[look.name][rows]
            found[look.name] = shown(values, look)
        return found

    # --- densities

    def _densities(self, topics: Sequence[Topic], epoch: int) -> list[tuple[Topic, bytes]]:
        found = []
        for topic in topics:
            for part in self.parts(topic):
                planes, counts = self._counted(part)
                found.append((topic, encode_counts(topic, part, epoch, self.region.tick, planes, counts)))
        return found

    def _counted(self, part: Rectangle) -> tuple[list[tuple[str, int]], np.ndarray]:
        """Beings of each species in each bin of a part; species that are not there are left out."""
        rows_, columns_ = bins(part)
        shape = (rows_.stop - rows_.start, columns_.stop - columns_.start)
        planes: list[tuple[str, int]] = []
        counts = []
        for name, table in self.region.tables.items():
            rows, y, x, _ = self._rows(table, [part])
            at = ((y >> SUBCELL_BITS) // BIN_CELLS - rows_.start) * shape[1]
            at += (x >> SUBCELL_BITS) // BIN_CELLS - columns_.start
            species = table["species"][rows].astype(np.int64) if "species" in table else np.full(len(rows), -1)
            known = np.unique(species)[:MAX_SPECIES]
            for one in known.tolist():
                planes.append((name, one))
                counts.append(np.bincount(at[species == one], minlength=shape[0] * shape[1]).reshape(shape))
        return planes, np.array(counts).reshape(-1, *shape)


def shown(values: np.ndarray, look: Look) -> np.ndarray:
    """A column as a tile tells it."""
    values = values >> look.shift if look.shift else values
    if values.dtype == look.dtype:
        return values
    told, held = np.iinfo(look.dtype), np.iinfo(values.dtype)
    if told.min > held.min:
        values = np.maximum(values, told.min)
    if told.max < held.max:
        values = np.minimum(values, told.max)
    return values.astype(look.dtype)


def _dots(table: Table, rows: np.ndarray) -> dict[str, np.ndarray]:
    none = np.zeros(len(rows), np.uint8)
    species = shown(table["species"][rows], DOT_LOOKS[0]) if "species" in table else none
    if "tissue_count" not in table:
        return {"species": species, "size": none + np.uint8(DOT_SIZE_WITHOUT_TISSUE)}
    return {"species": species, "size": shown(table["tissue_count"][rows], DOT_LOOKS[1])}


def means(values: np.ndarray, part: Rectangle) -> np.ndarray:
    """The mean of a part's cells over each bin it touches, rounded down."""
    rows, columns = bins(part)
    y = np.maximum(0, np.arange(rows.start, rows.stop) * BIN_CELLS - part.y)
    x = np.maximum(0, np.arange(columns.start, columns.stop) * BIN_CELLS - part.x)
    totals = np.add.reduceat(np.add.reduceat(values.astype(np.int64), y, axis=0), x, axis=1)
    heights = np.diff(np.append(y, part.height))
    widths = np.diff(np.append(x, part.width))
    return totals // (heights[:, None] * widths)

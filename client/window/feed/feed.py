"""The feed: subscribes to the tiles in view and builds the frame that the stage draws.

A tile is a square of the world, either with its beings at one level of detail (bodies, dots or densities) or with the
values of one layer, called a field. A topic identifies a tile. The processes that simulate the world, the nodes, have a
rectangle of it each, their shard; a tile consists of the pieces that lie in these shards. A frame (`frame.Frame`) is
the content of one drawing. A table holds all beings of one kind, such as plants.

Tiles of beings stay subscribed. Fields change slowly: their tiles are subscribed to in turn and unsubscribed when they
have arrived, so that most of the bandwidth is left for moving beings.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from umwelt.client.window.feed.camera import Camera
from umwelt.client.window.feed.frame import Densities, Dots, Frame, Plane, Swarm
from umwelt.client.window.feed.gathering import TileBeings, cells_of, dots_of, merge_pieces, plane_of, swarm_of
from umwelt.client.window.feed.looks import GROUND_LAYERS, Looks
from umwelt.client.window.feed.sky import under_one_sun
from umwelt.client.window.feed.torus import aligned, shortest
from umwelt.cluster import (
    BEINGS,
    BIN_CELLS,
    BODIES,
    DENSITIES,
    DOTS,
    LIVE,
    Piece,
    Topic,
    Welcome,
    join_counts,
    topics_over,
)
from umwelt.cluster import decode_tile as decode
from umwelt.sandbox.region import Rectangle, Torus

MARGIN_SHARE = 0.12
"""The margin around the view that is also subscribed to, as a share of the window's shorter side.

With it, panning does not expose missing tiles.
"""
ALIGNED_CELLS = 64
"""The sides of the subscribed rectangle lie on multiples of this number of cells."""
CELLS_FROM = 3.0
"""The scale in pixels per cell from which fields have a value per cell; below it, one per bin of 8 x 8 cells."""
SUBSCRIBE_PERIOD_S = 0.2
"""The time in seconds after which subscriptions are updated even if the view has not moved."""
MAX_FIELD_TILES = 48
"""The maximum number of field tiles that are subscribed to at a time."""
FIELD_PERIOD_S, STILL_PERIOD_S = 0.5, 8.0
"""The time in seconds after which a tile of a field is fetched again: for most layers, and for those in `STILL`."""
STILL = ("elevation",)
"""Layers that hardly change."""
DECODED_PER_FRAME = 12
"""The maximum number of tiles that are decoded per frame; without a limit while tiles in view are missing."""
DOTS_PERIOD_S = 0.045
"""The shortest time in seconds between two rebuilds of the dots, which are not animated between ticks."""
MAX_TICK = 1 << 53
"""Pieces with this or a higher tick are ignored."""
MIN_GLIDE_S, MAX_GLIDE_S, GLIDE_SMOOTHING = 0.02, 0.6, 0.1
"""Bounds in seconds of the time in which a being moves to a new position, and a weight.

The time is a moving average of the intervals between tiles; the weight is that of a new interval.
"""
PLANT_DISTANCE_FACTOR, PLANT_DISTANCE_CELLS = 1.8, 0.2
"""In `nearest`, the distance of a plant is multiplied by the first number and increased by the second.

So a click on a monster that stands on a plant selects the monster.
"""


class Source(Protocol):
    """A source of tiles: the connection to a gateway, or a recording."""

    @property
    def known(self) -> Welcome:
        """The description of the world that the gateway, the server for viewers, sends at first."""

    def watch(self, shown: int, topics: Sequence[Topic]) -> None:
        """Subscribes to tiles; `shown` is a tick of the past, or `LIVE` for the running world."""

    def unwatch(self, shown: int, topics: Sequence[Topic]) -> None:
        """Cancels subscriptions to tiles; `shown` is as in `watch`."""

    def tile(self, shown: int, topic: Topic) -> tuple[int, list[bytes]] | None:
        """Returns a number that grows with each arrival, and the tile's encoded pieces; None if it has not arrived."""


@dataclass
class _Kept:
    """The newest content of a tile; `arrival` is the number of its arrival (see `Source.tile`), -1 before the first."""

    arrival: int = -1
    pieces: list[Piece] = field(default_factory=list)
    whole: bool = False
    """Whether the pieces cover the whole tile, so that none is missing."""
    gathered: dict[str, TileBeings | None] = field(default_factory=dict)
    """The beings of the tile by table, None for a table without beings; filled when first used."""
    arrived_s: float = -1e9
    due_s: float = 0.0
    """For a tile of a field: the time from which it is subscribed to again."""


class Feed:
    """The subscriptions of one session, and the frame that is built from their tiles.

    `shown` is `LIVE` for the running world, or a tick of its past. The owner calls `update` once per drawn frame.
    """

    def __init__(self, source: Source):
        self.source, self.shown = source, LIVE
        known = source.known
        self.torus = Torus(known.height, known.width)
        self.frame = Frame(Rectangle(0, 0, known.height, known.width), tables=list(known.looks))
        self.number = 0
        """A counter that grows with every change; a changed part of the frame gets its value as its `number`."""
        self.behind = 0
        """The number of tiles that have arrived and are not decoded yet."""
        self._watched: dict[Topic, None] = {}
        """The topics of the tiles that are subscribed to at present (an ordered set)."""
        self._wanted: dict[Topic, None] = {}
        self._kept: dict[Topic, _Kept] = {}
        self._turned_s = self._dotted_s = -1e9
        self._dots_due = False
        self._levels: tuple[str, ...] = ()

    def show(self, shown: int) -> None:
        """Switches to the running world (`LIVE`) or to a tick of the past; drops all tiles."""
        self.source.unwatch(self.shown, list(self._watched))
        self.shown = shown
        self._watched, self._wanted, self._kept = {}, {}, {}
        self._turned_s = -1e9
        self.frame = Frame(self.frame.rectangle, tables=self.frame.tables)

    def update(self, camera: Camera, looks: Looks, now_s: float) -> Frame:
        """Advances by one frame: subscribes to tiles in view, decodes arrived tiles, and returns the updated frame."""
        frame = self.frame
        frame.now_s = now_s
        view = self._view(camera)
        levels = tuple(camera.levels())
        cells = camera.scale >= CELLS_FROM
        moved = view != frame.rectangle or levels != self._levels
        if moved or now_s - self._turned_s >= SUBSCRIBE_PERIOD_S:
            self._turned_s, self._levels, frame.rectangle = now_s, levels, view
            self._want(levels, self._field_names(looks), cells)
            self._watch(now_s)
        news = self._take(now_s)
        self._fill(news, moved, levels, cells, now_s)
        return frame

    @property
    def complete(self) -> bool:
        """Whether all tiles in view have arrived at least once."""
        return bool(self._wanted) and all(topic in self._kept and self._kept[topic].whole for topic in self._wanted)

    def close(self) -> None:
        """Cancels all subscriptions."""
        self.source.unwatch(self.shown, list(self._watched))
        self._watched = {}

    # --- subscriptions

    def _view(self, camera: Camera) -> Rectangle:
        """Returns the cells in view with a margin, aligned to `ALIGNED_CELLS` so that the rectangle rarely changes."""
        rectangle = camera.rectangle(MARGIN_SHARE * min(camera.view) / camera.scale)
        return aligned(rectangle, ALIGNED_CELLS, self.torus)

    def _field_names(self, looks: Looks) -> list[str]:
        """Returns the names of the layers to subscribe to: those of the ground, and the one drawn as a colour map."""
        layers = self.source.known.layers[1:]
        names = [name for name in GROUND_LAYERS if name in layers] or layers[:1]
        return list(dict.fromkeys([*names, *([looks.layer] if looks.layer in layers else [])]))

    def _want(self, levels: Iterable[str], names: Iterable[str], cells: bool) -> None:
        """Determines the tiles in view (`_wanted`), and drops the content of all others.

        `levels` are the levels of detail of beings, `names` the layers to draw. `cells` selects fields with a value for
        each cell, instead of one for each bin.
        """
        layers = self.source.known.layers
        numbers = [layers.index(name) for name in names]
        topics = [topic for level in levels for topic in topics_over(self.frame.rectangle, level, [BEINGS], self.torus)]
        topics += topics_over(self.frame.rectangle, "bodies" if cells else "densities", numbers, self.torus)
        self._wanted = dict.fromkeys(topics)
        for topic in [topic for topic in self._kept if topic not in self._wanted]:
            del self._kept[topic]

    def _watch(self, now_s: float) -> None:
        """Subscribes to all tiles of beings, and to the field tiles that have been due longest."""
        beings = [topic for topic in self._wanted if topic.layer == BEINGS]
        fields = [topic for topic in self._wanted if topic.layer != BEINGS]
        due = sorted((self._kept[t].due_s if t in self._kept else -1.0, t) for t in fields)
        room = max(1, min(MAX_FIELD_TILES, self.source.known.max_tiles - len(beings)))
        chosen = dict.fromkeys(
            [*beings[: self.source.known.max_tiles - 1], *(t for at_s, t in due[:room] if at_s <= now_s)]
        )
        added = [topic for topic in chosen if topic not in self._watched]
        dropped = [topic for topic in self._watched if topic not in chosen]
        if added:
            self.source.watch(self.shown, added)
        if dropped:
            self.source.unwatch(self.shown, dropped)
        self._watched = chosen

    # --- arrivals

    def _take(self, now_s: float) -> set[Topic]:
        """Decodes tiles that have arrived, in order of arrival, and returns their topics.

        Once all tiles in view have arrived, at most `DECODED_PER_FRAME` are decoded; the others have to wait.
        """
        new = []
        for topic in self._watched:
            tile = self.source.tile(self.shown, topic)
            kept = self._kept.get(topic)
            if tile is not None and (kept is None or kept.arrival != tile[0]):
                new.append((tile[0], topic, tile[1]))
        new.sort(key=lambda arrived: arrived[0])
        taken = new if not self.complete else new[:DECODED_PER_FRAME]
        self.behind = len(new) - len(taken)
        for arrival, topic, frames in taken:
            self._keep(topic, arrival, frames, now_s)
        return {topic for _, topic, _ in taken}

    def _keep(self, topic: Topic, arrival: int, frames: Sequence[bytes], now_s: float) -> None:
        """Decodes a tile's pieces, which are encoded in `frames`, and stores them; ignores malformed ones.

        `arrival` is the number of the arrival (see `Source.tile`).
        """
        kept = self._kept.setdefault(topic, _Kept())
        pieces = []
        for content in frames:
            try:
                piece = decode(content, self.torus)
            except ValueError:
                continue  # malformed content must not end the program
            if piece.topic == topic and 0 <= piece.head.tick < MAX_TICK:
                pieces.append(piece)
        if topic.level == BODIES and topic.layer == BEINGS and kept.arrival >= 0:
            interval_s = min(MAX_GLIDE_S, max(MIN_GLIDE_S, now_s - kept.arrived_s))
            self.frame.glide_s += GLIDE_SMOOTHING * (interval_s - self.frame.glide_s)
        tile = topic.cells(self.torus)
        cells = tile.cells if tile is not None else 0
        if topic.layer != BEINGS:
            pieces = merge_pieces(kept.pieces, pieces, cells)
        kept.arrival, kept.pieces, kept.arrived_s, kept.gathered = arrival, pieces, now_s, {}
        kept.whole = cells_of(pieces) >= cells
        still = self.source.known.layers[topic.layer] in STILL
        if kept.whole:  # else it stays subscribed until the other nodes' pieces have arrived
            kept.due_s = now_s + (STILL_PERIOD_S if still else FIELD_PERIOD_S)
        self.frame.tick = max([piece.head.tick for piece in pieces], default=self.frame.tick)

    # --- the frame

    def _fill(self, news: set[Topic], moved: bool, levels: Sequence[str], cells: bool, now_s: float) -> None:
        """Rebuilds the parts of the frame for which tiles have arrived; all parts if the view has `moved`.

        `news` are the topics of the tiles decoded for this frame; `levels` and `cells` are as in `_want`.
        """
        frame = self.frame
        kinds = {(topic.level, topic.layer) for topic in news}
        self.number += len(kinds)
        if moved or (BODIES, BEINGS) in kinds:
            self._swarms("bodies" in levels, news, now_s)
        self._dots_due |= (DOTS, BEINGS) in kinds
        if moved or (self._dots_due and now_s - self._dotted_s >= DOTS_PERIOD_S):
            self._dots_due, self._dotted_s = False, now_s
            frame.dots = self._dots() if "dots" in levels else None
        if moved or (DENSITIES, BEINGS) in kinds:
            frame.densities = self._densities() if "densities" in levels else None
        level = BODIES if cells else DENSITIES
        names = self.source.known.layers
        shown = {topic.layer for topic in self._wanted if topic.layer != BEINGS}
        for layer in shown:
            if moved or (level, layer) in kinds:
                self._plane(names[layer], level, layer)
        for name in [name for name in frame.planes if names.index(name) not in shown]:
            del frame.planes[name]

    def _of(self, level: int, layer: int) -> list[tuple[Topic, _Kept]]:
        """Returns the tiles in view of one level of detail and one layer that have arrived, with their topics."""
        return [
            (topic, self._kept[topic])
            for topic in self._wanted
            if topic.level == level and topic.layer == layer and topic in self._kept
        ]

    def _swarms(self, seen: bool, news: set[Topic], now_s: float) -> None:
        """Rebuilds `frame.swarms`, the beings drawn as bodies by table; empty unless bodies are `seen` at this scale.

        `news` is as in `_fill`.
        """
        frame = self.frame
        kept = self._of(BODIES, BEINGS) if seen else []
        before = {swarm.table: swarm for swarm in frame.swarms}
        frame.swarms = []
        for table in frame.tables:
            parts = []
            for topic, tile in kept:
                if table not in tile.gathered:
                    tile.gathered[table] = TileBeings.of(tile.pieces, table)
                parts.append((tile.gathered[table], topic in news))
            swarm = swarm_of(table, parts, before.get(table), frame, self.torus, now_s)
            if swarm is not None:
                self.number += 1
                swarm.number = self.number
                frame.swarms.append(swarm)

    def _dots(self) -> Dots:
        """Returns the beings drawn as dots, from all tiles of dots in view that have arrived."""
        pieces = [piece for _, kept in self._of(DOTS, BEINGS) for piece in kept.pieces]
        dots = dots_of(pieces, self.frame, self.torus)
        dots.number = self.number
        return dots

    def _densities(self) -> Densities:
        """Returns the numbers of beings in bins, from all tiles of densities in view that have arrived."""
        view = aligned(self.frame.rectangle, BIN_CELLS, self.torus)
        pieces = [piece for _, kept in self._of(DENSITIES, BEINGS) for piece in kept.pieces]
        counts = join_counts(pieces, view, self.torus)
        flat = {(table, species): plane for table, planes in counts.items() for species, plane in planes.items()}
        return Densities(view, flat, self.number)

    def _plane(self, name: str, level: int, layer: int) -> None:
        """Rebuilds the values of one layer over the view; after a move, only when all of its tiles have arrived.

        `name` is the layer's name, `layer` its number; `level` is `BODIES` for a value per cell, else `DENSITIES`.
        """
        step = BIN_CELLS if level == DENSITIES else 1
        pieces = [piece for _, kept in self._of(level, layer) for piece in kept.pieces]
        known = self.frame.planes.get(name)
        if not pieces:
            return  # the old plane stays until the new one arrives
        view = aligned(self.frame.rectangle, BIN_CELLS, self.torus) if step > 1 else self.frame.rectangle
        if known is not None and known.rectangle != view and not self._covered(level, layer):
            return
        if name == "light":
            pieces = under_one_sun(pieces, self.source.known.climate, self.torus)
        self.number += 1
        self.frame.planes[name] = Plane(view, step, plane_of(pieces, view, step, self.torus), self.number)

    def _covered(self, level: int, layer: int) -> bool:
        """Returns whether all tiles in view of one level and layer have arrived."""
        return all(topic in self._kept for topic in self._wanted if (topic.level, topic.layer) == (level, layer))


def nearest(frame: Frame, y: float, x: float, torus: Torus, max_cells: float) -> tuple[int, str]:
    """Returns the id and table of the body drawn nearest to a position, less than `max_cells` away; else 0 and "".

    Monsters are preferred to plants.
    """
    best: tuple[float, int, str] = (max_cells, 0, "")
    for swarm in frame.swarms:
        if not len(swarm):
            continue
        from_y, from_x = drawn_places(swarm, frame)
        dy = shortest(from_y + frame.rectangle.y - y, torus.height)
        dx = shortest(from_x + frame.rectangle.x - x, torus.width)
        distance = np.hypot(dy, dx)
        if swarm.plant:
            distance = distance * PLANT_DISTANCE_FACTOR + PLANT_DISTANCE_CELLS
        row = int(np.argmin(distance))
        if distance[row] < best[0]:
            best = (float(distance[row]), int(swarm.ids[row]), swarm.table)
    return best[1], best[2]


def row_of(frame: Frame, being: int) -> tuple[Swarm, int] | None:
    """Returns the swarm that contains the being with the id `being`, and its row; None if it is not drawn as a body."""
    for swarm in frame.swarms:
        row = int(np.searchsorted(swarm.ids, being))
        if row < len(swarm) and swarm.ids[row] == being:
            return swarm, row
    return None


def place_of(frame: Frame, being: int, torus: Torus) -> tuple[float, float, float] | None:
    """Returns where a being is drawn (y, x in cells of the world) and its heading (radians).

    None if it is not drawn as a body. `being` is its id.
    """
    location = row_of(frame, being)
    if location is None:
        return None
    swarm, row = location
    y, x = drawn_places(swarm, frame, slice(row, row + 1))
    return (
        float(y[0] + frame.rectangle.y) % torus.height,
        float(x[0] + frame.rectangle.x) % torus.width,
        float(swarm.heading[row]),
    )


def drawn_places(swarm: Swarm, frame: Frame, rows: slice = slice(None)) -> tuple[np.ndarray, np.ndarray]:
    """Returns where beings are drawn at present, on the way to their new positions.

    The two arrays are y and x in cells from the corner of the frame's rectangle, for the given rows of the swarm.
    """
    share = np.clip((frame.now_s - swarm.since_s[rows]) / max(1e-3, frame.glide_s), 0, 1)
    return (
        swarm.y_before[rows] + (swarm.y[rows] - swarm.y_before[rows]) * share,
        swarm.x_before[rows] + (swarm.x[rows] - swarm.x_before[rows]) * share,
    )

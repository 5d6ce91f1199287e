"""Tiles in, newest wins: watches what the camera sees, and makes the frame of it that the stage draws.

Beings are watched all the time; fields, which change slowly, are looked at in turn and left alone in between, so that
the line is kept for what moves.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from umwelt.client.window.feed.camera import Camera
from umwelt.client.window.feed.frame import Densities, Dots, Frame, Plane, Swarm
from umwelt.client.window.feed.gathering import Gathered, cells_of, dots_of, plane_of, renewed, swarm_of
from umwelt.client.window.feed.looks import GROUND_LAYERS, Looks
from umwelt.client.window.feed.sky import under_one_sun
from umwelt.client.window.feed.torus import aligned, shortest
from umwelt.cluster.view.tiles import (
    BEINGS,
    BIN_CELLS,
    BODIES,
    DENSITIES,
    DOTS,
    Piece,
    Topic,
    decode,
    join_counts,
    topics_over,
)
from umwelt.cluster.wire.viewer_protocol import LIVE, Welcome
from umwelt.sandbox.region import Rectangle, Torus

MARGIN_SHARE = 0.12
"""More than what is in view is watched, so that a pan does not show the edge."""
ALIGNED_CELLS = 64
CELLS_FROM = 3.0
"""From so many pixels a cell on, fields are watched cell by cell; below, in bins of 8 x 8."""
TURN_EVERY_S = 0.2
AT_ONCE = 48
FIELD_EVERY_S, STILL_EVERY_S = 0.5, 8.0
STILL = ("elevation",)
DECODED_A_TURN = 12
DOTS_EVERY_S = 0.045
"""Dots do not glide: more often than ticks come they need not be joined."""
MAX_TICK = 1 << 53
MIN_GLIDE_S, MAX_GLIDE_S = 0.02, 0.6


class Source(Protocol):
    """Where tiles come from: `client.connection.Core`, or a recording."""

    @property
    def known(self) -> Welcome:
        """What there is to see."""

    def watch(self, shown: int, topics: Sequence[Topic]) -> None:
        """Watch these tiles too."""

    def unwatch(self, shown: int, topics: Sequence[Topic]) -> None:
        """Watch these tiles no more."""

    def tile(self, shown: int, topic: Topic) -> tuple[int, list[bytes]] | None:
        """The newest pieces of a tile, and the number of their arrival."""


@dataclass
class _Kept:
    """What came of a tile."""

    arrival: int = -1
    pieces: list[Piece] = field(default_factory=list)
    whole: bool = False
    """Whether its pieces cover it: each node sends its own."""
    gathered: dict[str, Gathered | None] = field(default_factory=dict)
    came_s: float = -1e9
    due_s: float = 0.0
    """When a field is looked at again."""


class Feed:
    """See the page's top. `frame` is what there is to draw; `shown` the running world, or a tick of the past."""

    def __init__(self, source: Source):
        self.source, self.shown = source, LIVE
        known = source.known
        self.torus = Torus(known.height, known.width)
        self.frame = Frame(Rectangle(0, 0, known.height, known.width), tables=list(known.looks))
        self.number = 0
        """Grows with all that is new."""
        self.behind = 0
        """Tiles that have come and are not decoded yet."""
        self._watched: dict[Topic, None] = {}
        self._wanted: dict[Topic, None] = {}
        self._kept: dict[Topic, _Kept] = {}
        self._turned_s = self._dotted_s = -1e9
        self._dots_due = False
        self._levels: tuple[str, ...] = ()

    def show(self, shown: int) -> None:
        """Another source: the running world, or a moment of the past."""
        self.source.unwatch(self.shown, list(self._watched))
        self.shown = shown
        self._watched, self._wanted, self._kept = {}, {}, {}
        self._turned_s = -1e9
        self.frame = Frame(self.frame.rectangle, tables=self.frame.tables)

    def turn(self, camera: Camera, looks: Looks, now_s: float) -> Frame:
        """Take in what came, and watch what is to be seen from now on."""
        frame = self.frame
        frame.now_s = now_s
        wanted = self._view(camera)
        levels = tuple(camera.levels())
        cells = camera.scale >= CELLS_FROM
        moved = wanted != frame.rectangle or levels != self._levels
        if moved or now_s - self._turned_s >= TURN_EVERY_S:
            self._turned_s, self._levels, frame.rectangle = now_s, levels, wanted
            self._want(levels, self._field_names(looks), cells)
            self._watch(now_s)
        news = self._take(now_s)
        self._fill(news, moved, levels, cells, now_s)
        return frame

    @property
    def complete(self) -> bool:
        """Whether all that is wanted has come, if only once."""
        return bool(self._wanted) and all(topic in self._kept and self._kept[topic].whole for topic in self._wanted)

    def close(self) -> None:
        """Watch no more."""
        self.source.unwatch(self.shown, list(self._watched))
        self._watched = {}

    # --- what is watched

    def _view(self, camera: Camera) -> Rectangle:
        """What is in view and a little more, on multiples of tiles, so that it rarely changes."""
        near = camera.rectangle(MARGIN_SHARE * min(camera.view) / camera.scale)
        return aligned(near, ALIGNED_CELLS, self.torus)

    def _field_names(self, looks: Looks) -> list[str]:
        layers = self.source.known.layers[1:]
        names = [name for name in GROUND_LAYERS if name in layers] or layers[:1]
        return list(dict.fromkeys([*names, *([looks.layer] if looks.layer in layers else [])]))

    def _want(self, levels: Iterable[str], names: Iterable[str], cells: bool) -> None:
        layers = self.source.known.layers
        numbers = [layers.index(name) for name in names]
        found = [topic for level in levels for topic in topics_over(self.frame.rectangle, level, [BEINGS], self.torus)]
        found += topics_over(self.frame.rectangle, "bodies" if cells else "densities", numbers, self.torus)
        self._wanted = dict.fromkeys(found)
        for topic in [topic for topic in self._kept if topic not in self._wanted]:
            del self._kept[topic]

    def _watch(self, now_s: float) -> None:
        """Beings always; of the fields those that were not looked at for longest."""
        beings = [topic for topic in self._wanted if topic.layer == BEINGS]
        fields = [topic for topic in self._wanted if topic.layer != BEINGS]
        due = sorted((self._kept[t].due_s if t in self._kept else -1.0, t) for t in fields)
        room = max(1, min(AT_ONCE, self.source.known.max_tiles - len(beings)))
        chosen = dict.fromkeys(
            [*beings[: self.source.known.max_tiles - 1], *(t for at_s, t in due[:room] if at_s <= now_s)]
        )
        more = [topic for topic in chosen if topic not in self._watched]
        less = [topic for topic in self._watched if topic not in chosen]
        if more:
            self.source.watch(self.shown, more)
        if less:
            self.source.unwatch(self.shown, less)
        self._watched = chosen

    # --- what came

    def _take(self, now_s: float) -> set[Topic]:
        """Decode what is new, the oldest first, a few tiles a turn."""
        new = []
        for topic in self._watched:
            found = self.source.tile(self.shown, topic)
            kept = self._kept.get(topic)
            if found is not None and (kept is None or kept.arrival != found[0]):
                new.append((found[0], topic, found[1]))
        new.sort(key=lambda one: one[0])
        first = not self.complete
        taken = new if first else new[:DECODED_A_TURN]
        self.behind = len(new) - len(taken)
        for arrival, topic, frames in taken:
            self._keep(topic, arrival, frames, now_s)
        return {topic for _, topic, _ in taken}

    def _keep(self, topic: Topic, arrival: int, frames: Sequence[bytes], now_s: float) -> None:
        kept = self._kept.setdefault(topic, _Kept())
        pieces = []
        for content in frames:
            try:
                piece = decode(content, self.torus)
            except ValueError:
                continue  # nothing that a server sends may stop the window
            if piece.topic == topic and 0 <= piece.head.tick < MAX_TICK:
                pieces.append(piece)
        if topic.level == BODIES and topic.layer == BEINGS and kept.arrival >= 0:
            interval_s = min(MAX_GLIDE_S, max(MIN_GLIDE_S, now_s - kept.came_s))
            self.frame.glide_s += 0.1 * (interval_s - self.frame.glide_s)
        tile = topic.cells(self.torus)
        cells = tile.cells if tile is not None else 0
        if topic.layer != BEINGS:
            pieces = renewed(kept.pieces, pieces, cells)
        kept.arrival, kept.pieces, kept.came_s, kept.gathered = arrival, pieces, now_s, {}
        kept.whole = cells_of(pieces) >= cells
        still = self.source.known.layers[topic.layer] in STILL
        if kept.whole:  # else it is watched until the other nodes' have come
            kept.due_s = now_s + (STILL_EVERY_S if still else FIELD_EVERY_S)
        self.frame.tick = max([piece.head.tick for piece in pieces], default=self.frame.tick)

    # --- the frame

    def _fill(self, news: set[Topic], moved: bool, levels: Sequence[str], cells: bool, now_s: float) -> None:
        frame = self.frame
        kinds = {(topic.level, topic.layer) for topic in news}
        self.number += len(kinds)
        if moved or (BODIES, BEINGS) in kinds:
            self._swarms("bodies" in levels, news, now_s)
        self._dots_due |= (DOTS, BEINGS) in kinds
        if moved or (self._dots_due and now_s - self._dotted_s >= DOTS_EVERY_S):
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
        return [
            (topic, self._kept[topic])
            for topic in self._wanted
            if topic.level == level and topic.layer == layer and topic in self._kept
        ]

    def _swarms(self, seen: bool, news: set[Topic], now_s: float) -> None:
        frame = self.frame
        kept = self._of(BODIES, BEINGS) if seen else []
        before = {swarm.table: swarm for swarm in frame.swarms}
        frame.swarms = []
        for table in frame.tables:
            parts = []
            for topic, one in kept:
                if table not in one.gathered:
                    one.gathered[table] = Gathered.of(one.pieces, table)
                parts.append((one.gathered[table], topic in news))
            swarm = swarm_of(table, parts, before.get(table), frame, self.torus, now_s)
            if swarm is not None:
                self.number += 1
                swarm.number = self.number
                frame.swarms.append(swarm)

    def _dots(self) -> Dots:
        pieces = [piece for _, kept in self._of(DOTS, BEINGS) for piece in kept.pieces]
        dots = dots_of(pieces, self.frame, self.torus)
        dots.number = self.number
        return dots

    def _densities(self) -> Densities:
        view = aligned(self.frame.rectangle, BIN_CELLS, self.torus)
        pieces = [piece for _, kept in self._of(DENSITIES, BEINGS) for piece in kept.pieces]
        counts = join_counts(pieces, view, self.torus)
        flat = {(table, species): plane for table, found in counts.items() for species, plane in found.items()}
        return Densities(view, flat, self.number)

    def _plane(self, name: str, level: int, layer: int) -> None:
        step = BIN_CELLS if level == DENSITIES else 1
        pieces = [piece for _, kept in self._of(level, layer) for piece in kept.pieces]
        known = self.frame.planes.get(name)
        if not pieces:
            return  # what there was is better than nothing until it comes
        view = aligned(self.frame.rectangle, BIN_CELLS, self.torus) if step > 1 else self.frame.rectangle
        if known is not None and known.rectangle != view and not self._covered(level, layer):
            return
        if name == "light":
            pieces = under_one_sun(pieces, self.source.known.climate, self.torus)
        self.number += 1
        self.frame.planes[name] = Plane(view, step, plane_of(pieces, view, step, self.torus), self.number)

    def _covered(self, level: int, layer: int) -> bool:
        return all(topic in self._kept for topic in self._wanted if (topic.level, topic.layer) == (level, layer))


def nearest(frame: Frame, y: float, x: float, torus: Torus, max_cells: float) -> tuple[int, str]:
    """The id and table of the being that is drawn next to a place (cells), monsters before plants; 0 if none is."""
    best: tuple[float, int, str] = (max_cells, 0, "")
    for swarm in frame.swarms:
        if not len(swarm):
            continue
        from_y, from_x = placed(swarm, frame)
        dy = shortest(from_y + frame.rectangle.y - y, torus.height)
        dx = shortest(from_x + frame.rectangle.x - x, torus.width)
        away = np.hypot(dy, dx)
        if swarm.plant:
            away = away * 1.8 + 0.2  # a monster on a leaf is meant before the leaf
        at = int(np.argmin(away))
        if away[at] < best[0]:
            best = (float(away[at]), int(swarm.ids[at]), swarm.table)
    return best[1], best[2]


def row_of(frame: Frame, being: int) -> tuple[Swarm, int] | None:
    """The swarm and the row of a being, if it is in the frame."""
    for swarm in frame.swarms:
        at = int(np.searchsorted(swarm.ids, being))
        if at < len(swarm) and swarm.ids[at] == being:
            return swarm, at
    return None


def place_of(frame: Frame, being: int, torus: Torus) -> tuple[float, float, float] | None:
    """Where a being is drawn (y, x in cells of the world) and its heading, if it is in the frame."""
    seen = row_of(frame, being)
    if seen is None:
        return None
    swarm, at = seen
    y, x = placed(swarm, frame, slice(at, at + 1))
    return (
        float(y[0] + frame.rectangle.y) % torus.height,
        float(x[0] + frame.rectangle.x) % torus.width,
        float(swarm.heading[at]),
    )


def placed(swarm: Swarm, frame: Frame, rows: slice = slice(None)) -> tuple[np.ndarray, np.ndarray]:
    """Where beings are on their way from the place before to the present one, from the frame's corner."""
    share = np.clip((frame.now_s - swarm.since_s[rows]) / max(1e-3, frame.glide_s), 0, 1)
    return (
        swarm.y_before[rows] + (swarm.y[rows] - swarm.y_before[rows]) * share,
        swarm.x_before[rows] + (swarm.x[rows] - swarm.x_before[rows]) * share,
    )

"""Views of a rectangle: selects the tiles that cover it, and joins their pieces into arrays.

A *tile* is the visible content of a square of the world: its beings, or the values of one layer. A *topic* names a
tile. A tile arrives as one or more *pieces*, each of which contains the data of a rectangle at one tick.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np

from umwelt.client.connection.answers import Cells
from umwelt.client.connection.connection import GatewayLink
from umwelt.cluster import (
    BEINGS,
    Piece,
    Topic,
    decode_tile,
    join_beings,
    join_counts,
    join_field,
    layer_numbers,
    topics_over,
)
from umwelt.sandbox.errors import RunError
from umwelt.sandbox.region import Rectangle, Torus

FIRST_VIEW_S = 2.0
"""Maximum seconds that the first view waits for all of its tiles."""
SETTLE_S = 0.05
"""Maximum seconds that a view waits for the other tiles after the first new tile."""


@dataclass
class View:
    """The visible content of a rectangle of the world: beings or densities, and layers."""

    tick: int
    """Tick of the newest tile; `oldest_tick` is that of the oldest."""
    oldest_tick: int
    rectangle: Rectangle
    level: str
    """"bodies", "dots" or "densities"."""
    beings: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)
    """Columns of beings, by table, then by column name; `y` and `x` in cells. Empty at the level "densities"."""
    counts: dict[str, dict[int, np.ndarray]] = field(default_factory=dict)
    """Numbers of beings per bin of 8 x 8 cells, by table, then by species. Empty except at the level "densities"."""
    fields: dict[str, np.ndarray] = field(default_factory=dict)
    """Values of each cell by layer name: `int32[height, width]`."""
    complete: bool = True
    """Whether tiles for all of the rectangle have arrived."""


class Watcher:
    """A subscription to the tiles of a rectangle; each call of `next_view` returns a newer view.

    The first call of `next_view` subscribes; `close` ends the subscription. `shown` is `LIVE` or a past tick; the other
    arguments are those of `Connection.watch`. The constructor raises RunError if the world does not have this
    rectangle, level or layer, or if the view would need too many tiles.
    """

    def __init__(
        self,
        link: GatewayLink,
        shown: int,
        rectangle: Cells | None = None,
        level: str = "bodies",
        layers: Iterable[str] = (),
        beings: bool = True,
    ):
        self._link, self._shown, self._level = link, shown, level
        known = link.known
        self._torus = torus = Torus(known.height, known.width)
        self._view = view = Rectangle(0, 0, *torus) if rectangle is None else Rectangle(*rectangle)
        if level not in known.levels:
            raise RunError(f'level "{level}": use one of {", ".join(known.levels)}')
        if not (1 <= view.height <= torus.height and 1 <= view.width <= torus.width):
            raise RunError(f"rectangle = {list(view)}: give y, x, height, width in cells of a world of {list(torus)}")
        names = list(layers)
        try:
            numbers = layer_numbers(names, known.layers)
        except ValueError as error:
            raise RunError(str(error)) from None
        self._layers = dict(zip(names, numbers, strict=True))
        self._topics = topics_over(view, level, [*([BEINGS] if beings else []), *numbers], torus)
        if not self._topics or len(self._topics) > known.max_tiles:
            fix = f"watch 1 to {known.max_tiles} at once: give another rectangle or level"
            raise RunError(f"{len(self._topics)} tiles: {fix}")
        self._decoded: dict[Topic, tuple[int, list[Piece]]] = {}
        """Arrival number and decoded pieces (rectangles of data) of each tile, by topic."""
        self._arrival = 0
        self._is_subscribed = self._is_closed = False

    def next_view(self, timeout_s: float | None = None) -> View:
        """Waits for a change in the rectangle and returns the newest view.

        Raises RunError after `timeout_s`, and when the watcher or the connection is closed.
        """
        if self._is_subscribed:
            self._wait(timeout_s)
            return self._join()
        self._is_subscribed = True
        self._link.watch(self._shown, self._topics)
        self._wait(timeout_s)
        view = self._join()
        end_s = time.monotonic() + FIRST_VIEW_S
        while not view.complete and (left_s := end_s - time.monotonic()) > 0:
            with suppress(RunError):  # missing tiles may never arrive: the first view is then returned without them
                self._wait(left_s)
            view = self._join()
        return view

    def close(self) -> None:
        """Ends the subscription; a call of `next_view` that waits in another thread raises RunError."""
        if self._is_closed:
            return
        self._is_closed = True
        if self._is_subscribed:
            self._link.unwatch(self._shown, self._topics)
            self._link.wake()

    def _wait(self, timeout_s: float | None) -> None:
        """Waits for new tiles, as `next_view` specifies."""
        self._arrival = self._link.wait_for_tiles(
            self._shown, self._topics, self._arrival, timeout_s, SETTLE_S, lambda: self._is_closed
        )

    def _join(self) -> View:
        """Decodes the tiles that have arrived since the last view, and returns a view joined from all pieces."""
        for topic in self._topics:
            tile = self._link.tile(self._shown, topic)
            if tile is not None and self._decoded.get(topic, (0, []))[0] != tile[0]:
                self._decoded[topic] = (tile[0], _decode(tile[1], self._torus))
        return _join(self._decoded, self._topics, self._view, self._level, self._layers, self._torus)


def _decode(frames: Sequence[bytes], torus: Torus) -> list[Piece]:
    """Returns the decoded pieces of a tile, given its encoded ones; skips malformed ones."""
    pieces = []
    for frame in frames:
        with suppress(ValueError):  # a malformed piece leaves its cells empty
            pieces.append(decode_tile(frame, torus))
    return pieces


def _join(
    decoded: Mapping[Topic, tuple[int, list[Piece]]],
    topics: Sequence[Topic],
    rectangle: Rectangle,
    level: str,
    layers: Mapping[str, int],
    torus: Torus,
) -> View:
    """Returns a view of `rectangle`, joined from the decoded pieces of the tiles `topics`.

    `layers` are the layers to include: their numbers in topics, by name.
    """
    pieces = [piece for topic in topics for piece in decoded.get(topic, (0, []))[1]]
    ticks = [piece.head.tick for piece in pieces]
    covered = sum(piece.rectangle.cells for piece in pieces)
    wanted = sum(cells.cells for topic in topics if (cells := topic.cells(torus)) is not None)
    view = View(max(ticks, default=0), min(ticks, default=0), rectangle, level, complete=covered == wanted)
    beings = [piece for piece in pieces if piece.topic.layer == BEINGS]
    if level == "densities":
        view.counts = join_counts(beings, rectangle, torus)
    else:
        for table, columns in join_beings(beings).items():
            inside = ((columns["y"] - rectangle.y) % torus.height < rectangle.height) & (
                (columns["x"] - rectangle.x) % torus.width < rectangle.width
            )
            view.beings[table] = {name: array[inside] for name, array in columns.items()}
    for name, number in layers.items():
        view.fields[name] = join_field([piece for piece in pieces if piece.topic.layer == number], rectangle, torus)
    return view

"""Joins the decoded pieces of tiles into the arrays of a frame.

A tile is a square of the world, with beings or with the values of one layer (a field). It arrives in pieces: one from
each of the processes that simulate the world (nodes), for the part of the tile that lies in the node's shard. The
epoch of a piece is the number of the division of the world into shards. A table holds all beings of one kind.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from umwelt.client.window.feed.frame import Dots, Frame, Swarm
from umwelt.client.window.feed.torus import shortest
from umwelt.cluster import BIN_CELLS, DENSITIES, MAX_PIECES, PLACE_STEPS, Piece, join_field
from umwelt.cluster import full_column as whole
from umwelt.cluster import tile_bins as bins
from umwelt.sandbox.region import Rectangle, Torus
from umwelt.sandbox.units import TURN

MAX_GLIDE_CELLS = 12.0
"""The largest distance in cells over which a movement is animated; a being that moves farther is drawn to jump."""


def merge_pieces(held: Sequence[Piece], arrived: Sequence[Piece], cells: int) -> list[Piece]:
    """Returns the pieces of a tile of a field after new ones have arrived, possibly from only some of its nodes.

    `held` are the earlier pieces, `arrived` the new ones; the tile has `cells` cells. The newest piece of each
    rectangle is kept. Pieces of an older epoch are kept until pieces of the newest epoch cover the tile.
    """
    by_rectangle = {piece.rectangle: piece for piece in arrived}
    for piece in held:
        by_rectangle.setdefault(piece.rectangle, piece)
    newest = list(by_rectangle.values())[:MAX_PIECES]
    epoch = max((piece.head.epoch for piece in newest), default=0)
    current = [piece for piece in newest if piece.head.epoch == epoch]
    return current if cells_of(current) >= cells else newest


def cells_of(pieces: Sequence[Piece]) -> int:
    """Returns the sum of the numbers of cells of the pieces."""
    return sum(piece.rectangle.cells for piece in pieces)


@dataclass
class TileBeings:
    """The beings of one table in one tile, ordered by id; `y` and `x` are in cells of the world.

    `columns` are all further columns, one row per being.
    """

    ids: np.ndarray
    y: np.ndarray
    x: np.ndarray
    columns: dict[str, np.ndarray]

    @classmethod
    def of(cls, pieces: Sequence[Piece], table: str) -> "TileBeings | None":
        """Joins the pieces of a tile; returns None if there are no beings of the table.

        If several pieces contain the same being, the piece of the latest tick takes precedence.
        """
        parts = []
        for piece in sorted(pieces, key=lambda piece: -piece.head.tick):
            columns = piece.beings.get(table)
            if columns is None or "id" not in columns:
                continue
            steps, side = PLACE_STEPS[piece.topic.level], piece.topic.side_cells
            part = {name: whole(piece, table, name) for name in columns if name not in ("y", "x")}
            part["y"] = piece.topic.y * side + (columns["y"] + np.float32(0.5)) / np.float32(steps)
            part["x"] = piece.topic.x * side + (columns["x"] + np.float32(0.5)) / np.float32(steps)
            parts.append(part)
        if not parts:
            return None
        names = [name for name in parts[0] if all(name in part for part in parts)]
        if len(parts) == 1:
            joined = parts[0]
        else:
            joined = {name: np.concatenate([part[name] for part in parts]) for name in names}
        _, first = np.unique(joined["id"], return_index=True)
        ordered = {name: joined[name][first] for name in names}
        return cls(ordered.pop("id"), ordered.pop("y"), ordered.pop("x"), ordered)


def swarm_of(
    table: str,
    parts: Sequence[tuple[TileBeings | None, bool]],
    before: Swarm | None,
    frame: Frame,
    torus: Torus,
    now_s: float,
) -> Swarm | None:
    """Returns the beings of a table from all tiles in view, as bodies that move from where they are drawn at present.

    Each element of `parts` holds the beings of one tile, and whether the tile has arrived since the previous frame.
    `before` is the table's swarm in the previous frame. Returns None if there are no beings.
    """
    tiles = [(gathered, new) for gathered, new in parts if gathered is not None]
    if not tiles:
        return None
    names = [name for name in tiles[0][0].columns if all(name in gathered.columns for gathered, _ in tiles)]
    ids = np.concatenate([gathered.ids for gathered, _ in tiles])
    ids, order = np.unique(ids, return_index=True)
    new = np.concatenate([np.full(len(gathered.ids), is_new) for gathered, is_new in tiles])[order]
    y = np.concatenate([gathered.y for gathered, _ in tiles])[order]
    x = np.concatenate([gathered.x for gathered, _ in tiles])[order]
    columns = {name: np.concatenate([gathered.columns[name] for gathered, _ in tiles])[order] for name in names}
    corner = frame.rectangle
    y = ((y - corner.y) % torus.height).astype(np.float32)
    x = ((x - corner.x) % torus.width).astype(np.float32)
    heading = np.zeros(len(ids), np.float32)
    if "heading" in columns:
        heading = columns.pop("heading").astype(np.float32) * np.float32(2 * np.pi / TURN)
    plant = "stage" in columns
    swarm = Swarm(
        table,
        plant,
        ids,
        y,
        x,
        y.copy(),
        x.copy(),
        heading,
        heading.copy(),
        np.full(len(ids), -1e6),
        columns,
        corner=(corner.y, corner.x),
    )
    if before is not None and len(before) and not plant:
        _glide(swarm, before, new, frame, torus, now_s)
    return swarm


def _glide(swarm: Swarm, before: Swarm, new: np.ndarray, frame: Frame, torus: Torus, now_s: float) -> None:
    """Sets the movements of `swarm`, for the beings that `before`, the table's swarm in the previous frame, has too.

    A being whose tile has arrived since (`new`, `bool[n]`) starts a movement from where it is drawn at present. All
    others continue the movement in `before`.
    """
    at = np.minimum(np.searchsorted(before.ids, swarm.ids), len(before) - 1)
    rows = np.flatnonzero(before.ids[at] == swarm.ids)
    at, new = at[rows], new[rows]
    share = np.clip((now_s - before.since_s[at]) / max(1e-3, frame.glide_s), 0, 1).astype(np.float32)
    since = np.where(new, now_s, before.since_s[at])
    swarm.since_s[rows] = since
    for axis, size, moved in (
        ("y", torus.height, before.corner[0] - swarm.corner[0]),
        ("x", torus.width, before.corner[1] - swarm.corner[1]),
    ):
        old, old_before = getattr(before, axis)[at], getattr(before, f"{axis}_before")[at]
        present = getattr(swarm, axis)[rows]
        drawn = np.where(new, old_before + (old - old_before) * share, old_before) + np.where(new, moved, 0)
        way = shortest(np.where(new, present - drawn, old - old_before), size)
        getattr(swarm, f"{axis}_before")[rows] = present - np.where(np.abs(way) > MAX_GLIDE_CELLS, 0, way)
    turn = swarm.heading[rows]
    old_turn = before.heading_before[at] + (before.heading[at] - before.heading_before[at]) * share
    drawn = np.where(new, old_turn, before.heading_before[at])
    swarm.heading_before[rows] = turn - ((turn - drawn + np.pi) % (2 * np.pi) - np.pi)


def dots_of(pieces: Sequence[Piece], frame: Frame, torus: Torus) -> Dots:
    """Returns the dots of all tables in the given pieces."""
    ys, xs, species, sizes, tables = [], [], [], [], []
    for piece in pieces:
        steps, side = np.float32(PLACE_STEPS[piece.topic.level]), piece.topic.side_cells
        from_y = (piece.topic.y * side - frame.rectangle.y) % torus.height
        from_x = (piece.topic.x * side - frame.rectangle.x) % torus.width
        for table, columns in piece.beings.items():
            if table not in frame.tables or not len(columns["y"]) or not {"species", "size"} <= columns.keys():
                continue
            ys.append(from_y + (columns["y"] + np.float32(0.5)) / steps)
            xs.append(from_x + (columns["x"] + np.float32(0.5)) / steps)
            species.append(columns["species"])
            sizes.append(columns["size"])
            tables.append(np.full(len(columns["y"]), frame.tables.index(table), np.uint8))
    if not ys:
        no_places, no_bytes = np.zeros(0, np.float32), np.zeros(0, np.uint8)
        return Dots(no_places, no_places, no_bytes, no_bytes, no_bytes)
    return Dots(
        np.concatenate(ys).astype(np.float32),
        np.concatenate(xs).astype(np.float32),
        np.concatenate(species).astype(np.uint8),
        np.concatenate(sizes).astype(np.uint8),
        np.concatenate(tables),
    )


def plane_of(pieces: Sequence[Piece], view: Rectangle, step: int, torus: Torus) -> np.ndarray:
    """Returns the values of a field over the rectangle `view`, `int32[rows, columns]`; 0 where pieces are missing.

    There is one value for each cell if `step` is 1, else for each bin of `step` x `step` cells.
    """
    if step == 1:
        return join_field(pieces, view, torus)
    rows, columns = -(-view.height // step), -(-view.width // step)
    values = np.zeros((rows, columns), np.int32)
    high, wide = -(-torus.height // BIN_CELLS), -(-torus.width // BIN_CELLS)
    for piece in sorted(pieces, key=lambda piece: piece.head.tick):
        if piece.field is None or piece.topic.level != DENSITIES:
            continue
        part_rows, part_columns = bins(piece.rectangle)
        y = (np.arange(part_rows.start, part_rows.stop) - view.y // step) % high
        x = (np.arange(part_columns.start, part_columns.stop) - view.x // step) % wide
        in_y, in_x = np.flatnonzero(y < rows), np.flatnonzero(x < columns)
        values[np.ix_(y[in_y], x[in_x])] = piece.field[np.ix_(in_y, in_x)]
    return values

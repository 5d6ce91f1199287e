"""Wind and sunlight for drawing: the formulas of `sandbox/laws/weather.py`, in floating point.

`climate` has the fields of `weather.Climate` by name, and is empty in a world without weather. Light is an integer in
units of 1/`ONE` (1/1024) of full sunlight. A piece is the part of a tile (a square of the world, here with the values
of the layer "light") that one of the processes which simulate the world has sent, as of the tick in its head.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from umwelt.cluster import BIN_CELLS, DENSITIES, Piece
from umwelt.cluster import tile_bins as bins
from umwelt.sandbox.region import Torus
from umwelt.sandbox.units import ONE

DRIFT_DAYS = 5
"""The number of days in which the pattern of wind moves once around the world."""
CELLS_PER_S = 2.2
"""The drawn speed of the strongest wind, in cells per second."""
MIN_SUN = 0.1
"""The sunlight, as a share of full sunlight, above which the shade of clouds is derived from a piece's light."""
MAX_LIGHT = 32
"""The upper limit of the computed light, as a multiple of full sunlight; higher than in any climate."""
ASSUMED_CLOUDS = 0.4
"""The share of the maximum shade of clouds that is assumed where there was too little sunlight to derive it."""


def wind_at(climate: Mapping[str, int], tick: float, y_share: float, x_share: float) -> tuple[float, float]:
    """Returns the wind (right, down) in cells per second at a position.

    `y_share` and `x_share` are the position's coordinates as shares of the world's height and width.
    """
    day_ticks = climate.get("day_ticks", 0)
    if not day_ticks:
        return 0.0, 0.0
    drift = tick / (day_ticks * DRIFT_DAYS)

    def wave(turns: float) -> float:
        return math.sin(2 * math.pi * turns)

    right = (2 * wave(y_share + drift) + wave(3 * y_share - 2 * drift)) / 3
    down = (wave(2 * x_share - drift) + wave(x_share + 3 * drift)) / 3
    return right * CELLS_PER_S, down * CELLS_PER_S


def under_one_sun(pieces: Sequence[Piece], climate: Mapping[str, int], torus: Torus) -> list[Piece]:
    """Returns the pieces of the light layer, recomputed for the sun of the latest tick; the shade of clouds stays.

    Tiles arrive one after another; without this, the edges between tiles of different ticks would be visible.
    """
    tick = max((piece.head.tick for piece in pieces), default=0)
    if min(climate.get(name, 0) for name in ("day_ticks", "year_ticks")) < 1:
        return list(pieces)
    return [
        piece if piece.head.tick == tick or piece.field is None else _lit(piece, tick, climate, torus)
        for piece in pieces
    ]


def _lit(piece: Piece, tick: int, climate: Mapping[str, int], torus: Torus) -> Piece:
    """Returns a piece of the light layer recomputed for the sun of the tick `tick`, with the same shade of clouds."""
    rows, columns = _middles(piece)
    x_share, y_share = columns / torus.width, rows / torus.height
    sun_then, sun_now = (
        _by_row(at, climate, y_share)[:, None] * _by_column(at, climate, x_share) for at in (piece.head.tick, tick)
    )
    transmitted = piece.field / np.maximum(sun_then, 1.0)
    transmitted[sun_then <= MIN_SUN * ONE] = 1 - ASSUMED_CLOUDS * climate.get("cloud_q10", 0) / ONE
    return piece._replace(field=np.clip(transmitted * sun_now, 0, MAX_LIGHT * ONE).astype(np.int32))


def _middles(piece: Piece) -> tuple[np.ndarray, np.ndarray]:
    """Returns the y and x coordinates, in cells, of a piece's values: of cells, or of the middles of bins.

    The results have one entry per row and one per column of the piece.
    """
    y, x, height, width = piece.rectangle
    if piece.topic.level != DENSITIES:
        return np.arange(y, y + height), np.arange(x, x + width)
    rows, columns = bins(piece.rectangle)
    half = (BIN_CELLS - 1) / 2
    return (
        np.arange(rows.start, rows.stop) * BIN_CELLS + half,
        np.arange(columns.start, columns.stop) * BIN_CELLS + half,
    )


def _by_column(tick: int, climate: Mapping[str, int], x_share: np.ndarray) -> np.ndarray:
    """Returns the light at positions along x (shares of the world's width), as a share of the light at noon."""
    noon = np.cos(2 * np.pi * (tick / climate["day_ticks"] - x_share))
    return np.maximum(0.0, (3 * noon + 1) / 4)


def _by_row(tick: int, climate: Mapping[str, int], y_share: np.ndarray) -> np.ndarray:
    """Returns the light at noon at positions along y (shares of the world's height), in 1/1024 of full sunlight."""
    shade = climate.get("latitude_q10", 0) / ONE * (1 - np.cos(2 * np.pi * y_share)) / 2
    light = climate.get("light_q10", ONE) * (1 - shade)
    season = climate.get("season_q10", 0) / ONE * np.sin(2 * np.pi * (tick / climate["year_ticks"] + y_share))
    return np.maximum(0.0, light * (1 + season))

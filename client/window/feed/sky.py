"""Wind and sun over the window, for the eye: the same waves as in `sandbox/laws/weather.py`, in floats."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from umwelt.cluster.view.tiles import BIN_CELLS, DENSITIES, Piece, bins
from umwelt.sandbox.region import Torus
from umwelt.sandbox.units import ONE

DRIFT_DAYS = 5
CELLS_A_S = 2.2
"""How fast a full wind is shown to go."""
SHINES = 0.1
"""From this share of a full sun on, what comes through the clouds can be told."""
BRIGHTEST = 32
"""Of full suns: more than any climate has."""
FAIR = 0.4
"""Where it cannot: the share of what clouds can take that they do take."""


def wind_at(climate: Mapping[str, int], tick: float, y_share: float, x_share: float) -> tuple[float, float]:
    """The wind at a place (shares of the world's height and width): to the right and down, in cells a second."""
    day_ticks = climate.get("day_ticks", 0)
    if not day_ticks:
        return 0.0, 0.0
    drift = tick / (day_ticks * DRIFT_DAYS)

    def wave(turns: float) -> float:
        return math.sin(2 * math.pi * turns)

    right = (2 * wave(y_share + drift) + wave(3 * y_share - 2 * drift)) / 3
    down = (wave(2 * x_share - drift) + wave(x_share + 3 * drift)) / 3
    return right * CELLS_A_S, down * CELLS_A_S


def under_one_sun(pieces: Sequence[Piece], climate: Mapping[str, int], torus: Torus) -> list[Piece]:
    """Pieces of the layer of light, all as at the latest of their ticks: their clouds stay, the sun goes on.

    Tiles come one after another; beside each other, those of two ticks would show where one ends.
    """
    tick = max((piece.head.tick for piece in pieces), default=0)
    if min(climate.get(name, 0) for name in ("day_ticks", "year_ticks")) < 1:
        return list(pieces)
    return [
        piece if piece.head.tick == tick or piece.field is None else _lit(piece, tick, climate, torus)
        for piece in pieces
    ]


def _lit(piece: Piece, tick: int, climate: Mapping[str, int], torus: Torus) -> Piece:
    rows, columns = _middles(piece)
    x_share, y_share = columns / torus.width, rows / torus.height
    was, now = (
        _by_row(at, climate, y_share)[:, None] * _by_column(at, climate, x_share) for at in (piece.head.tick, tick)
    )
    through = piece.field / np.maximum(was, 1.0)
    through[was <= SHINES * ONE] = 1 - FAIR * climate.get("cloud_q10", 0) / ONE
    return piece._replace(field=np.clip(through * now, 0, BRIGHTEST * ONE).astype(np.int32))


def _middles(piece: Piece) -> tuple[np.ndarray, np.ndarray]:
    """The rows and columns (cells) of a piece's values."""
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
    """The share of noon's light by column."""
    noon = np.cos(2 * np.pi * (tick / climate["day_ticks"] - x_share))
    return np.maximum(0.0, (3 * noon + 1) / 4)


def _by_row(tick: int, climate: Mapping[str, int], y_share: np.ndarray) -> np.ndarray:
    """Light at noon by row, in 1/1024."""
    shade = climate.get("latitude_q10", 0) / ONE * (1 - np.cos(2 * np.pi * y_share)) / 2
    light = climate.get("light_q10", ONE) * (1 - shade)
    season = climate.get("season_q10", 0) / ONE * np.sin(2 * np.pi * (tick / climate["year_ticks"] + y_share))
    return np.maximum(0.0, light * (1 + season))

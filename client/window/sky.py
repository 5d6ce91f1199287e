"""The wind over the window, for the eye: the same waves as in `sandbox/laws/weather.py`, in floats."""

import math
from collections.abc import Mapping

DRIFT_DAYS = 5
CELLS_A_S = 2.2
"""How fast a full wind is shown to go."""


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

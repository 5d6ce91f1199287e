"""Straight lines through points."""

from typing import NamedTuple

import numpy as np


class Line(NamedTuple):
    """An ordinary least-squares line: its slope, the standard error of that, and the share of variance it explains."""

    slope: float
    error: float
    explained: float


def line_through(x: np.ndarray, y: np.ndarray) -> Line:
    """The line of `y` over `x`, `float[point]`; NaN for fewer than three points, or where `x` is all the same."""
    across, up = x - x.mean() if len(x) else x, y - y.mean() if len(y) else y
    spread = float((across**2).sum())
    if len(x) < 3 or spread == 0:
        return Line(np.nan, np.nan, np.nan)
    slope = float((across * up).sum()) / spread
    left, whole = float(((up - slope * across) ** 2).sum()), float((up**2).sum())
    return Line(slope, float(np.sqrt(left / (len(x) - 2) / spread)), 1 - left / whole if whole > 0 else 1.0)

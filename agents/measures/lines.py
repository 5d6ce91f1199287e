"""Fits lines by ordinary least squares."""

from typing import NamedTuple

import numpy as np

MIN_POINTS = 3
"""The minimum number of points through which a line is fitted."""


class Line(NamedTuple):
    """A least-squares line: its slope, the standard error of the slope, and the share of variance explained (R^2)."""

    slope: float
    error: float
    explained: float


def line_through(x: np.ndarray, y: np.ndarray) -> Line:
    """Fits a line to `y` as a function of `x`; both are `float[points]`.

    All figures are NaN for fewer than three points, or if all `x` are equal.
    """
    x_centred, y_centred = x - x.mean() if len(x) else x, y - y.mean() if len(y) else y
    x_squares = float((x_centred**2).sum())
    if len(x) < MIN_POINTS or x_squares == 0:
        return Line(np.nan, np.nan, np.nan)
    slope = float((x_centred * y_centred).sum()) / x_squares
    residual, total = float(((y_centred - slope * x_centred) ** 2).sum()), float((y_centred**2).sum())
    error = float(np.sqrt(residual / (len(x) - 2) / x_squares))
    return Line(slope, error, 1 - residual / total if total > 0 else 1.0)

"""Units of the world's integers, and the conversions between them and floats.

Tables that need floats are computed here once, at genesis, and stored with the run as integers.
"""

import numpy as np

LIGHT_SPEED_CELLS = 16
"""The limit of the sum of all laws' reaches: in one tick nothing depends on anything further away."""

SUBCELL = 1024
"""Fixed-point units per cell: `x_fixed = 1024 * x`."""
SUBCELL_BITS = 10

TURN = 65536
"""Angle units in a full turn; 0 looks along x, a quarter turn along y (south on a map)."""

ONE = 1024
"""The integer that stands for 1.0 in stimuli, drives, factors and states."""
ONE_BITS = 10

SINE_STEPS = 1024
SINE_ONE = 16384
SINE_ONE_BITS = 14
RATE_BITS = 24
"""Rates per tick are stored in units of 2^-24."""

WARMTH_COLDEST_CELSIUS = -64
WARMTH_STEPS = 128


def sine_table() -> np.ndarray:
    """Returns one turn of the sine, `int32[1024]`, scaled by 16384."""
    return np.rint(np.sin(np.arange(SINE_STEPS) * (2 * np.pi / SINE_STEPS)) * SINE_ONE).astype(np.int32)


def arctangent_table() -> np.ndarray:
    """Returns the angle of slope `i / 1024` for `i` in 0..1024, `int32[1025]`, in 1/65536 turns."""
    return np.rint(np.arctan(np.arange(ONE + 1) / ONE) * (TURN / (2 * np.pi))).astype(np.int32)


def warmth_table(doubling_celsius: float = 10.0) -> np.ndarray:
    """Returns how fast reactions run compared to 20 degrees Celsius, `int32[128]` for -64..63 degrees, scaled by 1024.

    Van 't Hoff's rule: twice as fast for every ten degrees.
    """
    celsius = np.arange(WARMTH_STEPS) + WARMTH_COLDEST_CELSIUS
    return np.rint(ONE * 2.0 ** ((celsius - 20) / doubling_celsius)).astype(np.int32)


def rate_from_float(rate: float) -> int:
    """Returns a rate per tick (0.25: a quarter of the amount) in units of 2^-24."""
    return round(rate * (1 << RATE_BITS))


def fraction_from_float(value: float) -> int:
    """Returns a share between -1 and 1, or a factor, in units of 1/1024."""
    return round(value * ONE)


def fixed_from_cells(cells: float) -> int:
    """Returns a length in cells as fixed point."""
    return round(cells * SUBCELL)


def cells_from_fixed(fixed):
    """Returns fixed point as cells; for numbers and arrays."""
    return fixed / SUBCELL


def centidegrees_from_celsius(celsius: float) -> int:
    """Returns degrees Celsius as hundredths of a degree."""
    return round(celsius * 100)

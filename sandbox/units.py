"""Units of the world's integers, conversions between them and floats, and tables of functions.

The tables are computed with floats once, at genesis, and stored with the run as integers.
"""

import numpy as np

LIGHT_SPEED_CELLS = 16
"""The maximum of the sum of all laws' reaches, which is how many cells an effect travels in one tick."""

SUBCELL = 1024
"""Units of fixed-point lengths per cell: `x_fixed = 1024 * x`."""
SUBCELL_BITS = 10

TURN = 65536
"""Units of angles in a full turn; angle 0 points along x, a quarter turn along y (south on a map)."""

ONE = 1024
"""The integer that stands for 1.0 in stimuli, drives, factors and states."""
ONE_BITS = 10

SINE_STEPS = 1024
"""The number of entries of the sine table, for one full turn."""
SINE_ONE = 16384
"""The integer that stands for 1.0 in the sine table."""
SINE_ONE_BITS = 14
RATE_BITS = 24
"""Rates per tick are stored in units of 2^-24."""

WARMTH_COLDEST_CELSIUS = -64
WARMTH_STEPS = 128
"""The first temperature of the warmth table, and the number of its entries, one for each degree Celsius."""


def sine_table() -> np.ndarray:
    """Returns the sines of the angles `i / 1024` turn for `i` in 0..1023, `int32[1024]`, scaled by 16384."""
    return np.rint(np.sin(np.arange(SINE_STEPS) * (2 * np.pi / SINE_STEPS)) * SINE_ONE).astype(np.int32)


def arctangent_table() -> np.ndarray:
    """Returns the angles of the slopes `i / 1024` for `i` in 0..1024, `int32[1025]`, in 1/65536 turn."""
    return np.rint(np.arctan(np.arange(ONE + 1) / ONE) * (TURN / (2 * np.pi))).astype(np.int32)


def warmth_table(doubling_celsius: float = 10.0) -> np.ndarray:
    """Returns the speed of reactions relative to 20 degrees Celsius, `int32[128]` for -64..63 degrees, scaled by 1024.

    The speed doubles for every `doubling_celsius` degrees (van 't Hoff's rule).
    """
    celsius = np.arange(WARMTH_STEPS) + WARMTH_COLDEST_CELSIUS
    return np.rint(ONE * 2.0 ** ((celsius - 20) / doubling_celsius)).astype(np.int32)


def rate_from_float(rate: float) -> int:
    """Converts a rate per tick (0.25: a quarter of the amount) to units of 2^-24."""
    return round(rate * (1 << RATE_BITS))


def fraction_from_float(value: float) -> int:
    """Converts a share from -1 to 1, or a factor, to units of 1/1024."""
    return round(value * ONE)


def fixed_from_cells(cells: float) -> int:
    """Converts a length in cells to fixed point (1/1024 cell)."""
    return round(cells * SUBCELL)


def cells_from_fixed(fixed):
    """Converts a fixed-point length (1/1024 cell), a number or an array, to cells."""
    return fixed / SUBCELL


def centidegrees_from_celsius(celsius: float) -> int:
    """Converts degrees Celsius to hundredths of a degree."""
    return round(celsius * 100)

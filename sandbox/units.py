"""Scales and widths, and the only border between the numbers of people (floats) and of the world (integers).

Whatever needs floats to make is made here once, at genesis, and kept with the run as integers.
"""

import numpy as np

LIGHT_SPEED_CELLS = 16
"""No law, nor all laws of a tick together, may look further than this."""

SUBCELL = 1024
"""Fixed-point units a cell: `x_fixed = 1024 * x`."""
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
"""Rates a tick are held in units of 2^-24."""

WARMTH_COLDEST_CELSIUS = -64
WARMTH_STEPS = 128


def sine_table() -> np.ndarray:
    """One turn of the sine, `int32[1024]`, scaled by 16384."""
    return np.rint(np.sin(np.arange(SINE_STEPS) * (2 * np.pi / SINE_STEPS)) * SINE_ONE).astype(np.int32)


def arctangent_table() -> np.ndarray:
    """Angle of slope `i / 1024` for `i` in 0..1024, `int32[1025]`, in 1/65536 turns (an eighth turn at the end)."""
    return np.rint(np.arctan(np.arange(ONE + 1) / ONE) * (TURN / (2 * np.pi))).astype(np.int32)


def warmth_table(doubling_celsius: float = 10.0) -> np.ndarray:
    """How much faster reactions run than at 20 degrees Celsius, `int32[128]` for -64..63 degrees, scaled by 1024.

    The rule of van 't Hoff: a factor of two for every ten degrees.
    """
    celsius = np.arange(WARMTH_STEPS) + WARMTH_COLDEST_CELSIUS
    return np.rint(ONE * 2.0 ** ((celsius - 20) / doubling_celsius)).astype(np.int32)


def rate_from_float(rate: float) -> int:
    """A rate a tick (0.25 = a quarter of what there is) as an integer of 2^-24."""
    return round(rate * (1 << RATE_BITS))


def fraction_from_float(value: float) -> int:
    """A share between -1 and 1 (or a factor) as an integer of 1/1024."""
    return round(value * ONE)


def fixed_from_cells(cells: float) -> int:
    """A length in cells as fixed point."""
    return round(cells * SUBCELL)


def cells_from_fixed(fixed):
    """Fixed point as cells; numbers or arrays."""
    return fixed / SUBCELL


def centidegrees_from_celsius(celsius: float) -> int:
    """Degrees Celsius as hundredths of a degree."""
    return round(celsius * 100)

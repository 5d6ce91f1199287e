"""Integer geometry shared by laws: sines, vectors, and the directions to the eight neighbours of a cell."""

import numpy as np

from umwelt.sandbox.kernel import small
from umwelt.sandbox.units import ONE, SINE_ONE_BITS, SINE_STEPS, TURN

SINE_SHIFT = 6
"""Right shift from an angle in 1/65536 turn to an index of the sine table, which has 1024 entries for a turn."""
QUARTER = TURN // 4
DIRECTIONS = 8
"""Number of directions to the neighbours of a cell: 0 is east (positive x), the others follow clockwise."""


@small
def sine(table, angle):
    """Returns the sine of `angle` (in 1/65536 turn), scaled by 16384; `table` is the constant "sine"."""
    return np.int64(table[(angle & (TURN - 1)) >> SINE_SHIFT])


@small
def cosine(table, angle):
    """Returns the cosine of `angle` (in 1/65536 turn), scaled by 16384; `table` is the constant "sine"."""
    return np.int64(table[((angle + QUARTER) & (TURN - 1)) >> SINE_SHIFT])


@small
def along(component, length):
    """Returns the part of `length` along an axis; `component` is the direction's sine or cosine, scaled by 16384."""
    return (component * length) >> SINE_ONE_BITS


@small
def angle_to(table, dy, dx):
    """Returns the direction of the vector `dy, dx` in 1/65536 turn: 0 along x, a quarter turn along y.

    `table` is the constant "arctangent". The direction of the zero vector is 0.
    """
    ay, ax = abs(dy), abs(dx)
    if ay == 0 and ax == 0:
        return np.int64(0)
    if ax >= ay:
        angle = np.int64(table[(ay * ONE) // ax])
    else:
        angle = QUARTER - np.int64(table[(ax * ONE) // ay])
    if dx < 0:
        angle = 2 * QUARTER - angle
    if dy < 0:
        angle = TURN - angle
    return angle & (TURN - 1)


@small
def step_y(direction):
    """Returns the y offset (-1, 0 or 1) of the neighbouring cell in `direction`, 0 to 7."""
    if direction == 0 or direction == 4:  # noqa: PLR1714
        return 0
    return 1 if direction < 4 else -1


@small
def step_x(direction):
    """Returns the x offset (-1, 0 or 1) of the neighbouring cell in `direction`, 0 to 7."""
    if direction == 2 or direction == 6:  # noqa: PLR1714
        return 0
    return -1 if 2 < direction < 6 else 1


@small
def opposite(direction):
    """Returns the direction opposite to `direction`, 0 to 7."""
    return (direction + DIRECTIONS // 2) & (DIRECTIONS - 1)


@small
def within(place, y, x):
    """Returns whether the cell `y, x`, relative to the corner of the region's window, lies inside the window."""
    return 0 <= y < place.height and 0 <= x < place.width


assert SINE_STEPS << SINE_SHIFT == TURN

"""Integer geometry that several laws share: sines, directions to the eight neighbours of a cell, and vectors."""

import numpy as np

from umwelt.sandbox.kernel import small
from umwelt.sandbox.units import ONE, SINE_ONE_BITS, SINE_STEPS, TURN

SINE_SHIFT = 6
"""From angles (65536 a turn) to steps of the sine table (1024 a turn)."""
QUARTER = TURN // 4
DIRECTIONS = 8
"""Directions to the neighbours of a cell: 0 is east (along x), then clockwise."""


@small
def sine(table, angle):
    """Sine of an angle in 1/65536 turns, scaled by 16384."""
    return np.int64(table[(angle & (TURN - 1)) >> SINE_SHIFT])


@small
def cosine(table, angle):
    """Cosine of an angle in 1/65536 turns, scaled by 16384."""
    return np.int64(table[((angle + QUARTER) & (TURN - 1)) >> SINE_SHIFT])


@small
def along(component, length):
    """A length along one axis: `component` is the sine or cosine of the direction, scaled by 16384."""
    return (component * length) >> SINE_ONE_BITS


@small
def angle_to(table, dy, dx):
    """Direction of a vector in 1/65536 turns (0 along x, a quarter turn along y); `table` is the arctangent's."""
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
    """Rows to the neighbour in one of eight directions."""
    if direction == 0 or direction == 4:  # noqa: PLR1714
        return 0
    return 1 if direction < 4 else -1


@small
def step_x(direction):
    """Columns to the neighbour in one of eight directions."""
    if direction == 2 or direction == 6:  # noqa: PLR1714
        return 0
    return -1 if 2 < direction < 6 else 1


@small
def opposite(direction):
    """The direction from the neighbour back."""
    return (direction + DIRECTIONS // 2) & (DIRECTIONS - 1)


@small
def within(place, y, x):
    """Whether a cell of the window exists."""
    return 0 <= y < place.height and 0 <= x < place.width


assert SINE_STEPS << SINE_SHIFT == TURN

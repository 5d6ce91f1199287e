"""Determines which other monster each monster sensed in the last tick, by repeating `look` of `laws/sense.py`.

`look` selects the nearest other monster in sight, and writes stimuli such as its kinship (similarity of marker genes).

Since then, each monster has moved by one step, which is undone here, and some monsters have died.
"""

import numpy as np

from umwelt.agents.body import genome as genes
from umwelt.agents.body.interface import OTHER_KINSHIP, OTHER_SIZE
from umwelt.agents.earth.laws.geometry import SINE_SHIFT
from umwelt.agents.earth.parameters import SIGHT_MAX_FIXED
from umwelt.sandbox.region import Region
from umwelt.sandbox.units import ONE, SUBCELL, TURN

MONSTERS_AT_ONCE = 256
"""The number of monsters whose distances to others are computed together, which limits memory."""
MARKERS = slice(genes.MARKER_A, genes.MARKER_C + 1)
"""The positions of the marker genes in a genome."""
STEP_SHIFT = 14
"""The right shift after a product with a sine, because sines are scaled by 2^14."""
KINSHIP_PER_GENE = 8
"""The decrease of kinship, in 1/1024, for each unit of the sum of differences between marker genes."""


def sensed_others(region: Region, rows: np.ndarray) -> np.ndarray:
    """Returns the row of the other monster that each monster in `rows` sensed, `int64[rows]`; -1 if none, or it died.

    The result is the nearest other monster if its kinship equals the sensed kinship, otherwise -1. If the sensed
    monster has died, the nearest one can have the same kinship, so that the result is wrong; for grazers that sensed a
    hunter this happens in one of 3,000 cases.
    """
    monsters, torus = region.tables["monsters"], region.torus
    others = np.full(len(rows), -1)
    present = np.flatnonzero(region.owned_rows("monsters") & (monsters["one"] == ONE))
    y, x = _positions_before_step(region, present)
    order = np.argsort(y, kind="stable")
    present, y, x = present[order], y[order], x[order]
    place_of = np.full(monsters.count, -1)
    place_of[present] = np.arange(len(present))
    # copies of all monsters above and below the world, so that neighbours across the seam are near in y order too
    height, width = torus.height * SUBCELL, torus.width * SUBCELL
    tiled, tiled_y = np.tile(present, 3), np.concatenate([y - height, y, y + height])
    tiled_x = np.tile(x, 3)
    seeing = np.flatnonzero(monsters["stimuli"][rows, OTHER_SIZE] > 0)
    seeing = seeing[np.argsort(y[place_of[rows[seeing]]], kind="stable")]
    for first in range(0, len(seeing), MONSTERS_AT_ONCE):
        some = seeing[first : first + MONSTERS_AT_ONCE]
        own = place_of[rows[some]]
        low, high = y[own[0]] - SIGHT_MAX_FIXED, y[own[-1]] + SIGHT_MAX_FIXED
        near = slice(*np.searchsorted(tiled_y, [low, high + 1]))
        x_distance = (tiled_x[near] - x[own, None] + width // 2) % width - width // 2
        squares = (tiled_y[near] - y[own, None]) ** 2 + x_distance**2
        squares[tiled[near] == rows[some][:, None]] = np.iinfo(np.int64).max
        nearest = tiled[near][squares.argmin(axis=1)]
        is_sensed = _kinship(monsters["genome"], rows[some], nearest) == monsters["stimuli"][rows[some], OTHER_KINSHIP]
        others[some] = np.where(is_sensed, nearest, -1)
    return others


def _positions_before_step(region: Region, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the positions (y, x) of monsters before their last step, in 1/1024 cell, not wrapped to the torus."""
    monsters = region.tables["monsters"]
    sine, heading = region.constants["sine"].astype(np.int64), monsters["heading"][rows].astype(np.int64)
    speed = monsters["speed_fixed"][rows].astype(np.int64)
    y_step, x_step = (
        (sine[((heading + turned) & (TURN - 1)) >> SINE_SHIFT] * speed) >> STEP_SHIFT for turned in (0, TURN // 4)
    )
    return (
        monsters["y_fixed"][rows].astype(np.int64) - y_step,
        monsters["x_fixed"][rows].astype(np.int64) - x_step,
    )


def _kinship(genome: np.ndarray, rows: np.ndarray, other_rows: np.ndarray) -> np.ndarray:
    """Returns the kinship in 1/1024 between the monsters in `rows` and those in `other_rows`, from marker genes."""
    difference = np.abs(genome[rows, MARKERS].astype(np.int64) - genome[other_rows, MARKERS]).sum(axis=1)
    return np.maximum(0, ONE - KINSHIP_PER_GENE * difference)

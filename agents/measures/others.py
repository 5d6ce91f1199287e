"""Which other being each monster sensed in the last tick: `look` of `laws/sense.py`, computed again.

Between sensing and measuring monsters have moved by one step each, which can be undone, and some have died.
"""

import numpy as np

from umwelt.agents.body import genome as genes
from umwelt.agents.body.interface import OTHER_KINSHIP, OTHER_SIZE
from umwelt.agents.earth.laws.geometry import SINE_SHIFT
from umwelt.agents.earth.parameters import SIGHT_MAX_FIXED
from umwelt.sandbox.region import Region
from umwelt.sandbox.units import ONE, SUBCELL, TURN

MONSTERS_AT_ONCE = 256
MARKERS = slice(genes.MARKER_A, genes.MARKER_C + 1)
STEP_SHIFT = 14
"""Sines are scaled by 2^14."""
KINSHIP_PER_GENE = 8
"""Kinship falls by this much, in 1/1024, for each unit that markers differ in sum."""


def sensed_others(region: Region, rows: np.ndarray) -> np.ndarray:
    """Returns the row of the other being that each monster sensed, `int64[rows]`; -1 if there is none, or it has died.

    The other is the nearest one, if its kinship is the one that was sensed. If the sensed one has died, another of the
    same kinship may be taken for it: for grazers that saw a hunter this happens in one of 3,000 cases.
    """
    monsters, torus = region.tables["monsters"], region.torus
    others = np.full(len(rows), -1)
    present = np.flatnonzero(region.owned_rows("monsters") & (monsters["one"] == ONE))
    y, x = _positions_before_step(region, present)
    order = np.argsort(y, kind="stable")
    present, y, x = present[order], y[order], x[order]
    place_of = np.full(monsters.count, -1)
    place_of[present] = np.arange(len(present))
    # the same beings above and below, so that neighbours across the seam are near in the order of y, too
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
    """Returns where monsters were before their last step, y and x in 1/1024 cell of the world."""
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
    """Returns the kinship of pairs of monsters, in 1/1024, from their markers."""
    difference = np.abs(genome[rows, MARKERS].astype(np.int64) - genome[other_rows, MARKERS]).sum(axis=1)
    return np.maximum(0, ONE - KINSHIP_PER_GENE * difference)

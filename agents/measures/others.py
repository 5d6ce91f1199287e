"""Whom monsters saw in the tick that has just been: `look` of `laws/sense.py`, again, from where they stood then.

Between sensing and measuring they have taken one step each, which can be taken back, and some have died.
"""

import numpy as np

from umwelt.agents.body import genome as genes
from umwelt.agents.body.interface import OTHER_KINSHIP, OTHER_SIZE
from umwelt.agents.earth.laws.geometry import SINE_SHIFT
from umwelt.agents.earth.parameters import SIGHT_MAX_FIXED
from umwelt.sandbox.region import Region
from umwelt.sandbox.units import ONE, SUBCELL, TURN

AT_ONCE = 256
MARKERS = slice(genes.MARKER_A, genes.MARKER_C + 1)


def seen_by(region: Region, rows: np.ndarray) -> np.ndarray:
    """The row of the other that each of some monsters sensed, `int64[rows]`; -1 where there is none, or it has died.

    The other is the nearest one, where it is as akin as was sensed. Where the one that was seen has died since, another
    as akin may be taken for it: of grazers who saw a hunter, one in 3,000.
    """
    monsters, torus = region.tables["monsters"], region.torus
    found = np.full(len(rows), -1)
    there = np.flatnonzero(region.owned_rows("monsters") & (monsters["one"] == ONE))
    y, x = _before(region, there)
    order = np.argsort(y, kind="stable")
    there, y, x = there[order], y[order], x[order]
    place_of = np.full(monsters.count, -1)
    place_of[there] = np.arange(len(there))
    # the same world above and below, so that those across the seam are neighbours in the order of y, too
    height, width = torus.height * SUBCELL, torus.width * SUBCELL
    others, other_y = np.tile(there, 3), np.concatenate([y - height, y, y + height])
    other_x = np.tile(x, 3)
    looking = np.flatnonzero(monsters["stimuli"][rows, OTHER_SIZE] > 0)
    looking = looking[np.argsort(y[place_of[rows[looking]]], kind="stable")]
    for first in range(0, len(looking), AT_ONCE):
        some = looking[first : first + AT_ONCE]
        own = place_of[rows[some]]
        low, high = y[own[0]] - SIGHT_MAX_FIXED, y[own[-1]] + SIGHT_MAX_FIXED
        near = slice(*np.searchsorted(other_y, [low, high + 1]))
        across = (other_x[near] - x[own, None] + width // 2) % width - width // 2
        squares = (other_y[near] - y[own, None]) ** 2 + across**2
        squares[others[near] == rows[some][:, None]] = np.iinfo(np.int64).max
        nearest = others[near][squares.argmin(axis=1)]
        akin = _kinship(monsters["genome"], rows[some], nearest) == monsters["stimuli"][rows[some], OTHER_KINSHIP]
        found[some] = np.where(akin, nearest, -1)
    return found


def _before(region: Region, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where monsters stood before their step, y and x in 1/1024 cell of the world."""
    monsters = region.tables["monsters"]
    sine, heading = region.constants["sine"].astype(np.int64), monsters["heading"][rows].astype(np.int64)
    speed = monsters["speed_fixed"][rows].astype(np.int64)
    y_step, x_step = (
        (sine[((heading + turned) & (TURN - 1)) >> SINE_SHIFT] * speed) >> 14 for turned in (0, TURN // 4)
    )
    return (
        monsters["y_fixed"][rows].astype(np.int64) - y_step,
        monsters["x_fixed"][rows].astype(np.int64) - x_step,
    )


def _kinship(genome: np.ndarray, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    apart = np.abs(genome[one, MARKERS].astype(np.int64) - genome[other, MARKERS]).sum(axis=1)
    return np.maximum(0, ONE - 8 * apart)

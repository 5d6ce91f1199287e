"""Computes the elevation of the ground at tick 0: hills, and optionally islands and channels of deep water.

Elevations are integers in units of the height of one molecule of water, and depend only on the seed, the settings and
the size of the torus. Distances are in 1/16 cell.

The shapes of hills and bays follow *noise*, a smooth random function of the cell. It is a weighted sum of *octaves*:
random values at the points of a regular lattice, interpolated between them. The lattice of each octave is twice as fine
as that of the octave before, and its weight half as large.
"""

from math import isqrt
from typing import Annotated

import msgspec
import numpy as np

from umwelt.agents.world_file import Count
from umwelt.sandbox.dice import draw, purpose
from umwelt.sandbox.kernel import call, kernel
from umwelt.sandbox.region import Torus
from umwelt.sandbox.text import one_of

GROUND = purpose("genesis.ground")
COAST = purpose("genesis.coast")
ISLAND = purpose("genesis.island")
WIDEST_HILLS, WIDEST_BAYS = 64, 32
"""Largest distance of the lattice points of the noise for hills, and of the noise for bays, in cells."""
SIXTEENTHS = 16
NOISE_ONE, NOISE_BITS = 1024, 10
"""Fixed-point 1.0 of the noise, of positions between its lattice points, and of the slope of the shore (1/1024)."""
DRAW_SHIFT = 63 - NOISE_BITS
"""Right shift from a 63-bit random number to the value of a lattice point of the noise, 0 to 1023."""
MIN_OCTAVE_CELLS, MIN_STRENGTH = 4, 64
"""Smallest distance of lattice points, and smallest weight in 1/1024, of an octave of the noise."""
SHORE_CELLS = 6
"""Width of the slope from the sea floor to the full height of the hills, in cells."""
BAY_CELLS = 12
"""How far a bay extends inland, in cells, where the coast noise is twice `BAY_MIN`; linear in the excess."""
BAY_MIN = 320
"""Coast noise (0 to 1023) above which the coast recedes to form a bay."""
CANDIDATES = 12
"""Random candidate places for each island; the one farthest from the earlier islands is chosen."""
SHAPES = ("hills", "islands")

Height = Annotated[int, msgspec.Meta(ge=0, le=30_000)]


class GroundSettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The section `[ground]` of a world file: the shape of the ground, and the matter of each cell at tick 0.

    Elevations (`hills`, `sea_level`) are in heights of one molecule of water, matter is in molecules. `soil_water` is
    the water in each cell besides the sea, and `soil_holds` the water that soil holds before the excess runs downhill.
    """

    hills: Height = 1600
    sea_level: Height = 620
    shape: str = "hills"
    """One of `SHAPES`."""
    islands: Annotated[int, msgspec.Meta(ge=1, le=16)] = 5
    """Number of islands; used only if `shape` is "islands"."""
    channels: Annotated[int, msgspec.Meta(ge=0, le=64)] = 0
    """Number of channels of deep water along y. The world is a torus, so that two channels divide it into halves."""
    channel_cells: Annotated[int, msgspec.Meta(ge=0, le=4096)] = 16
    """Minimum width of deep water between islands and in channels, in cells."""
    sea_depth: Height = 2000
    """Depth of the sea floor below `sea_level`. The floor can have a negative elevation; hills begin at 0."""
    soil_water: Count = 420
    soil_holds: Count = 600
    vapour: Count = 60
    oxygen: Count = 3000
    carbon_dioxide: Count = 500
    mineral: Count = 40
    detritus: Count = 6


@kernel
def draw_many(keys, seed, what, index, result):
    """Writes a random number of tick 0 for each key, `result: int64[key]`; `what` is the purpose."""
    for i in range(len(keys)):
        result[i] = draw(seed, 0, keys[i], what, index)


def draws(keys: np.ndarray, seed: int, what: int, index: int = 0) -> np.ndarray:
    """Returns a random number (0 to 2^63 - 1) of tick 0 for each key, `int64[key]`.

    `what` is the purpose and `index` the number of the random number within it; see `sandbox.dice.draw`.
    """
    result = np.empty(len(keys), np.int64)
    call(draw_many, np.asarray(keys, np.int64), seed, what, index, result)
    return result


def elevation_of(torus: Torus, seed: int, ground: GroundSettings) -> np.ndarray:
    """Returns the elevation of every cell, `int64[height, width]`.

    Hills rise from 0 to about `ground.hills`; the sea floor is at `ground.sea_level - ground.sea_depth`.
    Raises WorldFileError if `ground.shape` is unknown.
    """
    one_of(ground.shape, SHAPES, "ground.shape")
    land = _noise(torus, seed, GROUND, ground.hills, WIDEST_HILLS)
    distance = sea_distance(torus, seed, ground)
    if distance is None:
        return land
    bays = np.maximum(0, _noise(torus, seed, COAST, NOISE_ONE, WIDEST_BAYS) - BAY_MIN)
    coast = distance - ground.channel_cells * SIXTEENTHS // 2 - bays * (BAY_CELLS * SIXTEENTHS) // BAY_MIN
    rise = _smooth(np.clip(coast * NOISE_ONE // (SHORE_CELLS * SIXTEENTHS), 0, NOISE_ONE))
    floor = ground.sea_level - ground.sea_depth
    return floor + ((land - floor) * rise >> NOISE_BITS)


def sea_distance(torus: Torus, seed: int, ground: GroundSettings) -> np.ndarray | None:
    """Returns the distance of each cell from the middle line of the nearest sea, in 1/16 cell, `int64[height, width]`.

    Seas are the channels and the water between islands. Returns None if the world has neither.
    """
    distances = []
    if ground.channels:
        x = np.arange(torus.width, dtype=np.int64)
        lines = np.arange(ground.channels, dtype=np.int64) * torus.width // ground.channels
        apart = np.abs(x[None, :] - lines[:, None])
        nearest = np.minimum(apart, torus.width - apart).min(axis=0) * SIXTEENTHS
        distances.append(np.broadcast_to(nearest, torus))
    if ground.shape == "islands":
        distances.append(_island_borders(torus, _island_middles(torus, seed, ground.islands)))
    return np.minimum.reduce(distances) if distances else None


def _island_middles(torus: Torus, seed: int, count: int) -> list[tuple[int, int]]:
    """Returns the cells (y, x) at the middles of `count` islands.

    Each is the one of `CANDIDATES` random cells that is farthest from the islands before it.
    """
    middles: list[tuple[int, int]] = []
    drawn = draws(np.arange(count * CANDIDATES, dtype=np.int64), seed, ISLAND) % torus.cells
    for island in range(count):
        cells = drawn[island * CANDIDATES : (island + 1) * CANDIDATES].tolist()
        candidates = [divmod(cell, torus.width) for cell in cells]
        middles.append(
            max(candidates, key=lambda place: min((_square(torus, place, other) for other in middles), default=0))
        )
    return middles


def _square(torus: Torus, one: tuple[int, int], other: tuple[int, int]) -> int:
    """Returns the squared distance between two cells (y, x) on the torus, in cells."""
    return sum(min(abs(a - b), side - abs(a - b)) ** 2 for a, b, side in zip(one, other, torus, strict=True))


def _island_borders(torus: Torus, middles: list[tuple[int, int]]) -> np.ndarray:
    """Returns the distance of every cell from the border of its island's area, in 1/16 cell, `int64[height, width]`.

    The area of an island consists of the cells nearer to its middle than to any other middle. As the torus is periodic,
    each middle also counts at the places one world's height or width away, even that of the island itself.
    """
    best = np.full(torus, -(1 << 40), np.int64)
    for y, x in middles:
        dy, dx = (
            (np.arange(side, dtype=np.int64) - middle + side // 2) % side - side // 2
            for side, middle in zip(torus, (y, x), strict=True)
        )
        border = np.full(torus, 1 << 40, np.int64)
        for other in middles:
            for image in np.ndindex(3, 3):  # the nearest can be the same island, one world's size away
                vy, vx = (
                    b - a + (turn - 1) * side for a, b, turn, side in zip((y, x), other, image, torus, strict=True)
                )
                square = vy * vy + vx * vx
                if square:
                    along = square - 2 * (dy[:, None] * vy + dx[None, :] * vx)
                    border = np.minimum(border, along * SIXTEENTHS // (2 * isqrt(square)))
        best = np.maximum(best, border)
    return best


def _noise(torus: Torus, seed: int, what: int, amplitude: int, widest: int) -> np.ndarray:
    """Returns periodic value noise of several octaves, `int64[height, width]`, from 0 to about `amplitude`.

    `what` is the purpose of the random numbers, and `widest` the largest distance of lattice points, in cells.
    """
    total = np.zeros(torus, np.int64)
    octave, strength, strengths = min(widest, min(torus) // 2), NOISE_ONE, 0
    while octave >= MIN_OCTAVE_CELLS and strength >= MIN_STRENGTH:
        rows, columns = max(1, torus.height // octave), max(1, torus.width // octave)
        keys = np.arange(rows * columns, dtype=np.int64) + octave * (1 << 32)
        corners = (draws(keys, seed, what, octave) >> DRAW_SHIFT).reshape(rows, columns)
        y = np.arange(torus.height, dtype=np.int64) * rows * NOISE_ONE // torus.height
        x = np.arange(torus.width, dtype=np.int64) * columns * NOISE_ONE // torus.width
        fy, fx = _smooth(y & (NOISE_ONE - 1))[:, None], _smooth(x & (NOISE_ONE - 1))[None, :]
        y0, x0 = y >> NOISE_BITS, x >> NOISE_BITS
        y1, x1 = (y0 + 1) % rows, (x0 + 1) % columns
        top = corners[np.ix_(y0, x0)] * (NOISE_ONE - fx) + corners[np.ix_(y0, x1)] * fx
        bottom = corners[np.ix_(y1, x0)] * (NOISE_ONE - fx) + corners[np.ix_(y1, x1)] * fx
        total += ((top * (NOISE_ONE - fy) + bottom * fy) >> 2 * NOISE_BITS) * strength
        strengths += strength
        octave, strength = octave // 2, strength // 2
    return total * amplitude // max(1, strengths * NOISE_ONE)


def _smooth(t: np.ndarray) -> np.ndarray:
    """Returns the smooth step 3 t^2 - 2 t^3; `t` and the result are in 1/1024."""
    return (t * t * (3 * NOISE_ONE - 2 * t)) >> 2 * NOISE_BITS

"""The lie of the land at tick 0: hills, and where a world wants them islands and channels of deep water.

All of it is integer, and a pure function of seed and global place. Lengths are in sixteenths of a cell.
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
SIXTEENTHS = 16
SHORE_CELLS = 6
"""How far from the sea's floor the land lies as high as its hills are."""
BAY_CELLS = 12
"""How far coasts wind inland, where their noise is twice the least that makes a bay."""
BAY_MIN = 320
CANDIDATES = 12
SHAPES = ("hills", "islands")

Height = Annotated[int, msgspec.Meta(ge=0, le=30_000)]


class GroundSettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What lies on a cell at tick 0, in molecules; elevations in the height of one molecule of water."""

    hills: Height = 1600
    sea_level: Height = 620
    shape: str = "hills"
    """One of `SHAPES`."""
    islands: Annotated[int, msgspec.Meta(ge=1, le=16)] = 5
    """How many, where the shape is islands."""
    channels: Annotated[int, msgspec.Meta(ge=0, le=64)] = 0
    """Channels of deep water along y. The world is a torus: two of them part it in two halves."""
    channel_cells: Annotated[int, msgspec.Meta(ge=0, le=4096)] = 16
    """How wide deep water lies at least, between islands and in channels."""
    sea_depth: Height = 2000
    """How deep its floor lies below the sea's level; it may lie below 0, where the lowest hills end."""
    soil_water: Count = 420
    soil_holds: Count = 600
    vapour: Count = 60
    oxygen: Count = 3000
    carbon_dioxide: Count = 500
    mineral: Count = 40
    detritus: Count = 6


@kernel
def draw_many(keys, seed, what, index, result):
    """One draw for each key."""
    for i in range(len(keys)):
        result[i] = draw(seed, 0, keys[i], what, index)


def draws(keys: np.ndarray, seed: int, what: int, index: int = 0) -> np.ndarray:
    """Draws of tick 0 for many keys, `int64`."""
    result = np.empty(len(keys), np.int64)
    call(draw_many, np.asarray(keys, np.int64), seed, what, index, result)
    return result


def elevation_of(torus: Torus, seed: int, ground: GroundSettings) -> np.ndarray:
    """The height of the ground, `int64[height, width]`: hills from 0 to about `hills`, and the floor of the sea."""
    one_of(ground.shape, SHAPES, "ground.shape")
    land = _noise(torus, seed, GROUND, ground.hills, WIDEST_HILLS)
    middle = sea_distance(torus, seed, ground)
    if middle is None:
        return land
    bays = np.maximum(0, _noise(torus, seed, COAST, 1024, WIDEST_BAYS) - BAY_MIN)
    coast = middle - ground.channel_cells * SIXTEENTHS // 2 - bays * (BAY_CELLS * SIXTEENTHS) // BAY_MIN
    rise = _smooth(np.clip(coast * 1024 // (SHORE_CELLS * SIXTEENTHS), 0, 1024))
    floor = ground.sea_level - ground.sea_depth
    return floor + ((land - floor) * rise >> 10)


def sea_distance(torus: Torus, seed: int, ground: GroundSettings) -> np.ndarray | None:
    """How far each cell is from the middle line of the nearest sea, `int64[height, width]`; nothing without a sea."""
    found = []
    if ground.channels:
        x = np.arange(torus.width, dtype=np.int64)
        lines = np.arange(ground.channels, dtype=np.int64) * torus.width // ground.channels
        apart = np.abs(x[None, :] - lines[:, None])
        nearest = np.minimum(apart, torus.width - apart).min(axis=0) * SIXTEENTHS
        found.append(np.broadcast_to(nearest, torus))
    if ground.shape == "islands":
        found.append(_island_borders(torus, _island_middles(torus, seed, ground.islands)))
    return np.minimum.reduce(found) if found else None


def _island_middles(torus: Torus, seed: int, count: int) -> list[tuple[int, int]]:
    """Places far from each other: each is, of some candidates drawn by dice, the furthest from those before it."""
    middles: list[tuple[int, int]] = []
    drawn = draws(np.arange(count * CANDIDATES, dtype=np.int64), seed, ISLAND) % torus.cells
    for at in range(count):
        candidates = [divmod(cell, torus.width) for cell in drawn[at * CANDIDATES : (at + 1) * CANDIDATES].tolist()]
        middles.append(
            max(candidates, key=lambda one: min((_square(torus, one, other) for other in middles), default=0))
        )
    return middles


def _square(torus: Torus, one: tuple[int, int], other: tuple[int, int]) -> int:
    """The square of how far two places on the torus are apart."""
    return sum(min(abs(a - b), side - abs(a - b)) ** 2 for a, b, side in zip(one, other, torus, strict=True))


def _island_borders(torus: Torus, middles: list[tuple[int, int]]) -> np.ndarray:
    """How far each cell is from the line between its island's middle and the next, `int64[height, width]`."""
    best = np.full(torus, -(1 << 40), np.int64)
    for y, x in middles:
        dy, dx = (
            (np.arange(side, dtype=np.int64) - at + side // 2) % side - side // 2
            for side, at in zip(torus, (y, x), strict=True)
        )
        border = np.full(torus, 1 << 40, np.int64)
        for other in middles:
            for image in np.ndindex(3, 3):  # the next island may be an image of the same one
                vy, vx = (
                    b - a + (turn - 1) * side for a, b, turn, side in zip((y, x), other, image, torus, strict=True)
                )
                square = vy * vy + vx * vx
                if square:
                    along = square - 2 * (dy[:, None] * vy + dx[None, :] * vx)
                    border = np.minimum(border, along * SIXTEENTHS // (2 * isqrt(square)))
        best = np.maximum(best, border)
    return best


def _noise(torus: Torus, seed: int, what: int, most: int, widest: int) -> np.ndarray:
    """Value noise in integers, four octaves on the torus, `int64[height, width]` from 0 to about `most`."""
    total = np.zeros(torus, np.int64)
    octave, strength, strengths = min(widest, min(torus) // 2), 1024, 0
    while octave >= 4 and strength >= 64:
        rows, columns = max(1, torus.height // octave), max(1, torus.width // octave)
        keys = np.arange(rows * columns, dtype=np.int64) + octave * (1 << 32)
        corners = (draws(keys, seed, what, octave) >> 53).reshape(rows, columns)
        y = np.arange(torus.height, dtype=np.int64) * rows * 1024 // torus.height
        x = np.arange(torus.width, dtype=np.int64) * columns * 1024 // torus.width
        fy, fx = _smooth(y & 1023)[:, None], _smooth(x & 1023)[None, :]
        y0, x0 = y >> 10, x >> 10
        y1, x1 = (y0 + 1) % rows, (x0 + 1) % columns
        top = corners[np.ix_(y0, x0)] * (1024 - fx) + corners[np.ix_(y0, x1)] * fx
        bottom = corners[np.ix_(y1, x0)] * (1024 - fx) + corners[np.ix_(y1, x1)] * fx
        total += ((top * (1024 - fy) + bottom * fy) >> 20) * strength
        strengths += strength
        octave, strength = octave // 2, strength // 2
    return total * most // max(1, strengths * 1024)


def _smooth(t: np.ndarray) -> np.ndarray:
    return (t * t * (3072 - 2 * t)) >> 20

"""The law `flow`: mobile substances diffuse and drift with the wind, and surface water runs downhill.

Surface water is what exceeds the capacity of the soil. In a world with tides, the pull of the tide counts as height:
high water travels round the world, and shores fall dry.

Diffusion is a random walk of molecules from cell to cell, in integers: of `count` molecules in a cell, a share leaves,
randomly rounded to an integer. The leaving molecules are distributed evenly over the four neighbours; the remainder of
the division by four goes to consecutive neighbours, beginning at a random one. The mean therefore follows Fick's law
with `D = share / 4` cells^2 per tick, and the variance grows as `2 D t` along each axis.

The reach, the distance in cells up to which a result depends on other cells, is 1 for diffusion and 2 for water, whose
movement depends on the levels of the neighbouring cells. In kernels, `place` is a `Place` (sandbox/region.py): seed,
tick, and the size and position of the region's window.
"""

from itertools import pairwise

import numpy as np

from umwelt.sandbox.dice import bits, draw, purpose
from umwelt.sandbox.kernel import call, crew, kernel, small
from umwelt.sandbox.laws.weather import climate_of
from umwelt.sandbox.region import Region
from umwelt.sandbox.units import ONE, ONE_BITS

DIFFUSE = purpose("flow.diffuse")
DOWNHILL = purpose("flow.downhill")

SHARE_BITS = 12
"""Shares per tick are stored in units of 2^-12. The shares that diffuse and that drift add up to at most 1."""
SHARE_ONE = 1 << SHARE_BITS
SUBSTANCES_PER_DRAW = 3
"""The number of substances whose random bits are taken from one 63-bit random number."""
DICE_BITS_EACH = 21
"""The number of random bits that a substance needs in a cell and tick.

12 bits round the count of leaving molecules, 2 select the neighbour that gets the first molecule of the remainder, and
7 select the axis of the drift with the wind."""
DIRECTION_BITS, GUST_BITS = 2, 7

EAST, SOUTH, WEST, NORTH = 0, 1, 2, 3
"""The directions to the neighbours of a cell: x increases to the east, y to the south."""


@small
def drift_direction(drawn_7, wind_x, wind_y):
    """Returns the direction (`EAST` to `NORTH`) in which the wind moves matter from a cell in this tick.

    The direction is along x or y, with probabilities proportional to the magnitudes of `wind_x` and `wind_y`. `drawn_7`
    is a random number of 7 bits.
    """
    strength = abs(wind_x) + abs(wind_y)
    if drawn_7 * strength < abs(wind_x) << GUST_BITS:
        return EAST if wind_x > 0 else WEST
    return SOUTH if wind_y > 0 else NORTH


@small
def leave(leaves, x, count, dice, share, gust, wind_x, wind_y):
    """Writes to `leaves[direction, x]` how many of the `count` molecules of a substance leave a cell in each direction.

    `share` is the fraction of the molecules that diffuses, in all four directions. `gust` is the fraction that a full
    wind carries, in one direction. Both are in 1/4096. `wind_x` and `wind_y` are in 1/1024 of a full wind, and `dice`
    is a random number of `DICE_BITS_EACH` bits.
    """
    rounding = dice & (SHARE_ONE - 1)
    spread = (count * share + rounding) >> SHARE_BITS
    first = (dice >> SHARE_BITS) & 3
    each, rest = spread >> 2, spread & 3
    leaves[EAST, x] = each + (1 if ((EAST - first) & 3) < rest else 0)
    leaves[SOUTH, x] = each + (1 if ((SOUTH - first) & 3) < rest else 0)
    leaves[WEST, x] = each + (1 if ((WEST - first) & 3) < rest else 0)
    leaves[NORTH, x] = each + (1 if ((NORTH - first) & 3) < rest else 0)
    if gust > 0 and count > 0:
        strength = min(abs(wind_x) + abs(wind_y), ONE)
        # rounded by the complement of the same dice, so that both together never exceed the count
        carried = (count * ((gust * strength) >> ONE_BITS) + (SHARE_ONE - 1 - rounding)) >> SHARE_BITS
        if carried > 0:
            leaves[drift_direction(dice >> (SHARE_BITS + DIRECTION_BITS), wind_x, wind_y), x] += carried


@kernel(allocates=True)
def spread_band(y_low, y_high, place, above, below, substance, mobile, share, gust, wind_x, wind_y):
    """Moves the mobile substances in the rows `y_low` to `y_high - 1` of `substance`, by diffusion and wind.

    `mobile`, `share`, `gust`, `wind_x` and `wind_y` are those of `spread`. `above` and `below`, `int32[mobile, width]`,
    are copies of the rows next to the band, made before any band ran. The local array `leaves[substance, row % 3,
    direction, x]` contains how many molecules leave each cell, for the three most recent rows. Substances are processed
    in groups of three, which share a random number for each cell.
    """
    dice = np.zeros(place.width, np.int64)
    leaves = np.zeros((SUBSTANCES_PER_DRAW, 3, 4, place.width), np.int64)
    x_low, x_high = place.x_low, place.x_high
    for group in range(0, len(mobile), SUBSTANCES_PER_DRAW):
        members = min(SUBSTANCES_PER_DRAW, len(mobile) - group)
        for y in range(y_low - 1, y_high + 1):
            key = np.int64(place.y_global[y]) * place.world_width
            for x in range(x_low - 1, x_high + 1):
                dice[x] = draw(place.seed, place.tick, key + place.x_global[x], DIFFUSE, group)
            for i in range(members):
                m = group + i
                if y < y_low:
                    counts = above[m]
                elif y >= y_high:
                    counts = below[m]
                else:
                    counts = substance[mobile[m], y]
                shift = DICE_BITS_EACH * i
                row_leaves = leaves[i, y % 3]
                for x in range(x_low - 1, x_high + 1):
                    part = (dice[x] >> shift) & ((1 << DICE_BITS_EACH) - 1)
                    leave(row_leaves, x, np.int64(counts[x]), part, share[m], gust[m], wind_x[y], wind_y[x])
                if y > y_low:
                    target = substance[mobile[m], y - 1]
                    here, north, south = leaves[i, (y - 1) % 3], leaves[i, (y - 2) % 3], leaves[i, y % 3]
                    for x in range(x_low, x_high):
                        arrives = here[EAST, x - 1] + here[WEST, x + 1] + north[SOUTH, x] + south[NORTH, x]
                        target[x] += arrives - here[EAST, x] - here[SOUTH, x] - here[WEST, x] - here[NORTH, x]


@kernel
def choose_downhill(y_low, y_high, place, capacity, column_pull, elevation, water, outflow):
    """Writes how much water leaves each cell and in which direction: `outflow[y, x] = 4 * count + direction`.

    The water runs to the neighbour with the lowest level. Its amount is a quarter of the difference between the two
    levels, but at most the water that exceeds the soil's `capacity`. The pull of the tide, `column_pull: int64[width]`,
    acts as if the ground were lower by that many molecules of water.
    """
    for y in range(y_low - 1, y_high + 1):
        key = np.int64(place.y_global[y]) * place.world_width
        for x in range(place.x_low - 1, place.x_high + 1):
            free = np.int64(water[y, x]) - capacity
            outflow[y, x] = 0
            if free <= 0:
                continue
            level = np.int64(elevation[y, x]) + water[y, x] - column_pull[x]
            first = bits(draw(place.seed, place.tick, key + place.x_global[x], DOWNHILL, 0), 2)
            best_drop, best = np.int64(0), np.int64(0)
            for turn in range(4):
                direction = (first + turn) & 3
                ny = y + (1 if direction == SOUTH else 0) - (1 if direction == NORTH else 0)
                nx = x + (1 if direction == EAST else 0) - (1 if direction == WEST else 0)
                drop = level - elevation[ny, nx] - water[ny, nx] + column_pull[nx]
                if drop > best_drop:
                    best_drop, best = drop, direction
            outflow[y, x] = (min(free, (best_drop + 3) >> 2) << 2) | best


@small
def runs(outflow, direction):
    """Returns how many molecules of water leave a cell in `direction`.

    `outflow` is the cell's entry in the array that `choose_downhill` writes.
    """
    return outflow >> 2 if outflow & 3 == direction else np.int64(0)


@kernel
def run_downhill(y_low, y_high, place, water, outflow):
    """Moves the water by the amounts and directions in `outflow`, which `choose_downhill` has written."""
    for y in range(y_low, y_high):
        for x in range(place.x_low, place.x_high):
            arrives = (
                runs(np.int64(outflow[y, x - 1]), EAST)
                + runs(np.int64(outflow[y, x + 1]), WEST)
                + runs(np.int64(outflow[y - 1, x]), SOUTH)
                + runs(np.int64(outflow[y + 1, x]), NORTH)
            )
            water[y, x] += arrives - (np.int64(outflow[y, x]) >> 2)


def spread(region: Region, wind_x: np.ndarray, wind_y: np.ndarray) -> None:
    """Moves the mobile substances by diffusion and by the wind, in threads.

    `wind_x: int64[height]` and `wind_y: int64[width]` are the wind along the rows and columns of the window, in 1/1024
    of a full wind. Reads the region's constants `mobile` (indices of substances), `share_q12` and `gust_q12` (shares
    per tick that diffuse and that drift in a full wind, in 1/4096), each `int64[mobile]`.
    """
    mobile, share, gust = (region.constants[name] for name in ("mobile", "share_q12", "gust_q12"))
    substance, place = region.fields["substance"], region.place()
    rim = region.halo_cells - region.margin_cells
    low, high = rim, region.window.height - rim
    count = min(high - low, crew.count * 2) if (high - low) * region.window.width > 16_384 else 1
    cuts = [low + (high - low) * i // count for i in range(count + 1)]
    edges = [(substance[mobile, a - 1].copy(), substance[mobile, b].copy()) for a, b in pairwise(cuts)]

    def band(i: int) -> None:
        call(spread_band, cuts[i], cuts[i + 1], place, *edges[i], substance, mobile, share, gust, wind_x, wind_y)

    crew.together(*[lambda i=i: band(i) for i in range(count)])  # type: ignore[misc]


def flow(region: Region) -> None:
    """Runs the law: moves surface water downhill, then mobile substances by diffusion and wind.

    Reads the wind and the tide of the tick from `region.derived["sky"]`, which the law `weather` writes.
    """
    sky = region.derived["sky"]
    outflow = region.scratch("outflow")
    water, capacity = region["water"], climate_of(region).capacity_count
    pull = sky.column_pull  # type: ignore[attr-defined]
    region.run(choose_downhill, capacity, pull, region["elevation"], water, outflow)
    region.run(run_downhill, water, outflow)
    spread(region, sky.wind_x, sky.wind_y)  # type: ignore[attr-defined]

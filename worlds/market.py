"""The world `market`: Sugarscape with spice and trade as an integer law. Prices emerge from bilateral barter.

The model is Epstein and Axtell's ("Growing Artificial Societies", 1996, chapter IV). Sugar and spice grow back in
cells. A trader sees the free cells within its vision along the four directions, and moves to the cell where its welfare
would be greatest, the nearest of several. It gathers all sugar and spice there, burns some of both, and dies when
either is exhausted. Neighbouring traders barter, one pair after another, while both gain: sugar for spice at the
geometric mean of their marginal rates of substitution. There is no auctioneer, no order book and no money.

In the book traders act one after another, in a random order. Here all act at the same time:

- **Pairs.** In each tick random numbers order the pairs of neighbours. A pair trades in the first of `ROUNDS` rounds in
  which all pairs that share a trader with it and precede it have traded. The result is as if pairs traded in sequence,
  except that a pair that still waits after `ROUNDS` rounds does not trade in this tick.
- **Places.** All traders list the free cells that they prefer to their own. Each cell accepts one of the traders that
  rank it highest, chosen at random. A trader moves to the best cell that accepts it, or stays if none does. Two traders
  are thus never in the same cell. A trader that is rejected by its first choice because of its random number is likely
  to be accepted by its second, where the order of the random numbers is reversed.

A tick begins with trade, whereas in the book trade ends it. Barter changes the holdings of traders but no cells, and a
trader that lists places reads cells and only its own holding. After `ROUNDS` rounds a trader's holding depends on the
state within `ROUNDS + 1` cells, and its list of places on the state within `MAX_VISION_CELLS`; both are 5 cells. The
place that a trader gets depends on the lists of rivals up to twice its vision away. The reach, the distance in cells up
to which a result depends on other cells, is therefore 5 + 10.

In kernels, `place` is a `Place` (sandbox/region.py), `traders` is the record (a named tuple of columns) of the table of
traders, and window cells (the cells of a region and of the halo around it) are given by their index `y * width + x`.
"""

from collections import namedtuple
from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta

from umwelt.agents.earth.terrain import draws
from umwelt.agents.world_file import WorldFile
from umwelt.sandbox.columns import Column, Schema, identity
from umwelt.sandbox.dice import draw, purpose
from umwelt.sandbox.errors import WorldFileError
from umwelt.sandbox.kernel import call, kernel, small
from umwelt.sandbox.region import Field, Region
from umwelt.sandbox.step import Law, Laws
from umwelt.sandbox.units import ONE, SUBCELL, SUBCELL_BITS
from umwelt.worlds.bargain import (
    DIRECTIONS,
    EAST,
    LIMBS,
    MAX_COUNT,
    MAX_METABOLISM,
    NONE,
    barter,
    between,
    call_pairs,
    cell_of,
    compare,
    needs,
    pair_up,
)

MAX_VISION_CELLS = 5
ROUNDS = 4
"""The number of rounds of trade in a tick."""
REACH = max(MAX_VISION_CELLS, ROUNDS + 1) + 2 * MAX_VISION_CELLS

TRADER = 1
CHOICES = 4
"""The maximum number of cells that a trader lists, in order of preference."""
WISH_ENTRIES = 5
CELL, SUGAR, SPICE, DISTANCE, DRAWN = range(WISH_ENTRIES)
"""The entries of a *wish*, a cell that a trader considers.

They are the cell, the sugar and spice that the trader would have after gathering there, the distance in cells, and a
random number that decides between equally good cells."""
DRAWN_MAX = (1 << 63) - 1

SCATTER = purpose("market.scatter")
BODY = purpose("market.body")
STEER = purpose("market.steer")
CLAIM = purpose("market.claim")

TERRACES_PERMILLE = (363, 314, 222, 120)
"""The distances from a peak, in 1/1000 of a map's side, within which the capacity is 1/4, 2/4, 3/4 and all of `peak`.

The terraces have the same areas as in the book."""
UNIT_BITS = 12
"""The fractional bits of lengths on a map, whose unit is the map's side."""


class LandSettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Settings of the land.

    `peak` is the maximum of sugar or spice in a cell, and `repeat` the number of copies of the map (the pattern of
    capacities, with two peaks each of sugar and of spice) along each axis.
    """

    peak: Annotated[int, Meta(ge=1, le=1000)] = 4
    repeat: Annotated[int, Meta(ge=1, le=1024)] = 1


Metabolism = Annotated[int, Meta(ge=1, le=MAX_METABOLISM)]
Vision = Annotated[int, Meta(ge=1, le=MAX_VISION_CELLS)]
Endowment = Annotated[int, Meta(ge=1, le=1_000_000)]


class TraderSettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Settings of the traders: their number, limited to the number of cells, and the bounds of their random properties.

    Each trader gets a random metabolism (units burned per tick) and endowment (units at the start) of sugar and of
    spice, and a random vision in cells.
    """

    count: Annotated[int, Meta(ge=0, lt=1 << 30)]
    metabolism: tuple[Metabolism, Metabolism] = (1, 5)
    vision: tuple[Vision, Vision] = (1, 5)
    endowment: tuple[Endowment, Endowment] = (25, 50)


class TradeSettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Settings of trade: whether traders barter, and the ticks in which a cell's price decays to about a third."""

    enabled: bool = True
    fade_ticks: Annotated[int, Meta(ge=1, le=1000)] = 32


class Settings(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The sections of a world file that these laws read."""

    traders: TraderSettings
    land: LandSettings = LandSettings()
    trade: TradeSettings = TradeSettings()


Rules = namedtuple("Rules", ["enabled", "fade_ticks"])
"""The settings of trade as integers, one of the region's constants."""

TRADERS = Schema(
    "traders",
    TRADER,
    (
        Column("species", "int16", unit="index among the world's species", inherited=True, fixed=True),
        Column("sugar_metabolism", "int16", unit="burned a tick", fixed=True),
        Column("spice_metabolism", "int16", unit="burned a tick", fixed=True),
        Column("vision_cells", "int16", unit="cells", fixed=True),
        Column("sugar_count", "int32", unit="units"),
        Column("spice_count", "int32", unit="units"),
        Column("traded_tick", "int32", unit="tick of the last exchange", default=NONE),
        Column("price", "int32", unit="of the last exchange: spice for a sugar, 1/1024 of a doubling"),
        Column("exchange_count", "int32", unit="exchanges in that tick"),
        Column("price_total", "int64", unit="sum of their prices"),
        Column("price_square_total", "int64", unit="sum of the squares of their prices"),
    ),
    __name__,
)

FIELDS = (
    Field("price", "int16", unit="spice for a sugar, 1/1024 of a doubling; 0 where none was paid lately"),
    Field("sugar", "int16", unit="units"),
    Field("spice", "int16", unit="units"),
    Field("sugar_capacity", "int16", unit="units", fixed=True),
    Field("spice_capacity", "int16", unit="units", fixed=True),
)


# --- cells and their traders


@kernel
def settle(place, traders, holder):
    """Writes to `holder[cell]` the row of the trader in each cell.

    If commands have placed several traders in a cell, the trader with the smallest id holds it.
    """
    for row in range(len(traders.id)):
        cell = cell_of(place, traders, row)
        if holder[cell] < 0 or traders.id[row] < traders.id[holder[cell]]:
            holder[cell] = row


@kernel
def spread(place, traders, total, count):
    """Adds each trader's last price in this tick to `total`, and 1 to `count`, in its cell and the four neighbours."""
    for row in range(len(traders.id)):
        if traders.traded_tick[row] == place.tick:
            y, x = traders.y_fixed[row] >> SUBCELL_BITS, traders.x_fixed[row] >> SUBCELL_BITS
            for dy, dx in ((0, 0), (0, 1), (1, 0), (0, -1), (-1, 0)):
                if 0 <= y + dy < place.height and 0 <= x + dx < place.width:
                    total[y + dy, x + dx] += traders.price[row]
                    count[y + dy, x + dx] += 1


# --- places


@small
def cell_towards(place, here, direction, distance):
    """Returns the window cell `distance` cells from `here` in a direction; `NONE` if it is outside the window."""
    y, x = here // place.width, here % place.width
    step = distance if direction < 2 else -distance
    if direction & 1 == EAST:
        return here + step if 0 <= x + step < place.width else np.int64(NONE)
    return here + step * place.width if 0 <= y + step < place.height else np.int64(NONE)


@small
def after_gathering(have, lies):
    """Returns a trader's amount of sugar or spice after gathering, limited to 1..`MAX_COUNT`.

    `have` is the amount before, and `lies` the amount in the cell.
    """
    return between(have + lies, 1, MAX_COUNT)


@small
def is_preferred(limbs, wishes, one, other, sugar_metabolism, spice_metabolism):
    """Returns whether `wishes[one]` is preferred to `wishes[other]`: by welfare, then distance, then random number."""
    better = compare(
        limbs,
        wishes[one, SUGAR],
        wishes[one, SPICE],
        wishes[other, SUGAR],
        wishes[other, SPICE],
        sugar_metabolism,
        spice_metabolism,
    )
    if better != 0:
        return better > 0
    if wishes[one, DISTANCE] != wishes[other, DISTANCE]:
        return wishes[one, DISTANCE] < wishes[other, DISTANCE]
    return wishes[one, DRAWN] > wishes[other, DRAWN]


@small
def copy_wish(wishes, source, into):
    """Copies `wishes[source]` to `wishes[into]`."""
    for entry in range(WISH_ENTRIES):
        wishes[into, entry] = wishes[source, entry]


@kernel
def choose(place, traders, holder, sugar, spice, limbs, wishes, target):
    """Lists for each trader the best free cells within its vision that it prefers to its own, up to `CHOICES`.

    Writes the lists to `target: int32[CHOICES, rows]`, filled up with -1. `wishes: int64[CHOICES + 2, WISH_ENTRIES]` is
    working memory: the trader's own cell, the list, and the cell that is being considered.
    """
    new = CHOICES + 1
    for row in range(len(traders.id)):
        here = cell_of(place, traders, row)
        own_sugar, own_spice = np.int64(traders.sugar_count[row]), np.int64(traders.spice_count[row])
        sugar_metabolism, spice_metabolism = needs(traders, row)
        wishes[0, DISTANCE] = 0
        wishes[0, SUGAR], wishes[0, SPICE] = 0, 0  # a trader that shares another's cell moves to any free cell
        if holder[here] == row:
            wishes[0, SUGAR], wishes[0, SPICE] = (
                after_gathering(own_sugar, sugar[here]),
                after_gathering(own_spice, spice[here]),
            )
        listed = 0
        for distance in range(1, between(traders.vision_cells[row], 1, MAX_VISION_CELLS) + 1):
            for direction in range(DIRECTIONS):
                cell = cell_towards(place, here, direction, distance)
                if cell < 0 or holder[cell] >= 0:
                    continue
                wishes[new, CELL], wishes[new, DISTANCE] = cell, distance
                wishes[new, DRAWN] = draw(place.seed, place.tick, traders.id[row], STEER, direction)
                wishes[new, SUGAR] = after_gathering(own_sugar, sugar[cell])
                wishes[new, SPICE] = after_gathering(own_spice, spice[cell])
                if not is_preferred(limbs, wishes, new, 0, sugar_metabolism, spice_metabolism):
                    continue
                at = listed + 1
                while at > 1 and is_preferred(limbs, wishes, new, at - 1, sugar_metabolism, spice_metabolism):
                    at -= 1
                if at <= CHOICES:
                    listed = min(listed + 1, CHOICES)
                    for back in range(listed - at):
                        copy_wish(wishes, listed - back - 1, listed - back)
                    copy_wish(wishes, new, at)
        for rank in range(CHOICES):
            target[rank, row] = wishes[rank + 1, CELL] if rank < listed else NONE


@small
def draw_at_rank(drawn, rank):
    """Returns the random number with which a trader competes for its choice number `rank` (0 is the best).

    It is `drawn` if `rank` is even, and otherwise `DRAWN_MAX - drawn`, which reverses the order of the traders.
    """
    return drawn if rank & 1 == 0 else DRAWN_MAX - drawn


@kernel
def claim(place, traders, target, drawn, first, first_rank):
    """Writes to `first[cell]` the row of the trader that each cell accepts: a random one of those that rank it highest.

    `target` are the lists that `choose` writes. Also writes the accepted trader's rank of the cell to
    `first_rank[cell]` and each trader's random number to `drawn[row]`.
    """
    for row in range(len(traders.id)):
        for rank in range(CHOICES):
            cell = np.int64(target[rank, row])
            if cell < 0:
                break
            drawn[row] = draw(place.seed, place.tick, traders.id[row], CLAIM, 0)
            rival = np.int64(first[cell])
            wins = rival < 0 or rank < first_rank[cell]
            if not wins and rank == first_rank[cell]:
                own, its = draw_at_rank(drawn[row], rank), draw_at_rank(drawn[rival], rank)
                wins = own > its or (own == its and traders.id[row] < traders.id[rival])
            if wins:
                first[cell], first_rank[cell] = row, rank


@kernel
def go(place, traders, target, first):
    """Moves each trader to the best cell that accepts it; the others stay."""
    for row in range(len(traders.id)):
        for rank in range(CHOICES):
            cell = np.int64(target[rank, row])
            if cell < 0:
                break
            if first[cell] == row:
                traders.y_fixed[row] = ((cell // place.width) << SUBCELL_BITS) + SUBCELL // 2
                traders.x_fixed[row] = ((cell % place.width) << SUBCELL_BITS) + SUBCELL // 2
                break


@kernel
def gather_and_burn(place, traders, holder, sugar, spice, dead):
    """Lets traders gather the sugar and spice in their cells and burn the amounts of their metabolisms.

    Sets `dead[row]` to 1 for traders whose sugar or spice is exhausted.
    """
    for row in range(len(traders.id)):
        cell = cell_of(place, traders, row)
        if holder[cell] == row:
            for_sugar = between(np.int64(sugar[cell]), 0, MAX_COUNT - between(traders.sugar_count[row], 0, MAX_COUNT))
            for_spice = between(np.int64(spice[cell]), 0, MAX_COUNT - between(traders.spice_count[row], 0, MAX_COUNT))
            traders.sugar_count[row] += for_sugar
            traders.spice_count[row] += for_spice
            sugar[cell] -= for_sugar
            spice[cell] -= for_spice
        sugar_metabolism, spice_metabolism = needs(traders, row)
        traders.sugar_count[row] -= sugar_metabolism
        traders.spice_count[row] -= spice_metabolism
        if min(traders.sugar_count[row], traders.spice_count[row]) < 1:
            dead[row] = 1


# --- the law


def rules_of(region: Region) -> Rules:
    """Returns the settings of trade as integers, read from the region's constant `rules`."""
    return Rules(*region.constants["rules"].tolist())


def holders(region: Region) -> np.ndarray:
    """Returns the row of the trader in each window cell, -1 if there is none, `int32[cells]`.

    If a cell contains several traders, it is the row of the one with the smallest id. The result is a scratch array
    that the next call overwrites.
    """
    holder = region.scratch("holder").reshape(-1)
    holder.fill(NONE)
    call(settle, region.place(), region.tables["traders"].record(), holder)
    return holder


def trade(region: Region) -> int:
    """Lets neighbours barter. Returns the number of pairs in the window that still wait after `ROUNDS` rounds."""
    place, table, holder = region.place(), region.tables["traders"], holders(region)
    traders, limbs = table.record(), np.zeros((2, LIMBS + 1), np.int64)
    waiting, called = np.empty((2, table.count), np.uint8), np.empty((2, table.count), np.uint8)
    drawn = np.zeros((2, table.count), np.int64)
    call(pair_up, place, traders, holder, waiting, drawn)
    for _ in range(ROUNDS):
        if call(call_pairs, place, traders, holder, waiting, drawn, called):
            call(barter, place, traders, holder, waiting, called, limbs)
    return int(waiting.sum())


def update_prices(region: Region) -> None:
    """Sets each cell's price to the mean of the prices in this tick in it and its four neighbours.

    The prices of cells without trade decay towards 0.
    """
    total, count = region.scratch("price_total"), region.scratch("price_count")
    total.fill(0)
    count.fill(0)
    call(spread, region.place(), region.tables["traders"].record(), total, count)
    price, fade_ticks = region["price"], rules_of(region).fade_ticks
    old = price.astype(np.int32)
    decay = np.sign(old) * ((np.abs(old) + fade_ticks - 1) // fade_ticks)
    price[:] = np.where(count > 0, total // np.maximum(count, 1), old - decay)


def grow_back(region: Region) -> None:
    """Adds one unit of sugar and of spice to each cell below its capacity."""
    for name in ("sugar", "spice"):
        field = region[name]
        field += field < region[f"{name}_capacity"]


def travel(region: Region) -> None:
    """Lets traders choose cells and move, gather and burn sugar and spice, and die if either is exhausted."""
    place, table, holder = region.place(), region.tables["traders"], holders(region)
    traders, limbs = table.record(), np.zeros((2, LIMBS + 1), np.int64)
    sugar, spice = region["sugar"].reshape(-1), region["spice"].reshape(-1)
    target, drawn = np.empty((CHOICES, table.count), np.int32), np.empty(table.count, np.int64)
    wishes = np.zeros((CHOICES + 2, WISH_ENTRIES), np.int64)
    first, first_rank = region.scratch("first").reshape(-1), region.scratch("first_rank").reshape(-1)
    first.fill(NONE)
    call(choose, place, traders, holder, sugar, spice, limbs, wishes, target)
    call(claim, place, traders, target, drawn, first, first_rank)
    call(go, place, traders, target, first)
    dead = np.zeros(table.count, np.uint8)
    call(gather_and_burn, place, traders, holders(region), sugar, spice, dead)
    region.remove_dead("traders", dead)


def live(region: Region) -> None:
    """Runs the law: barter, then growth, movement, consumption and death."""
    if rules_of(region).enabled:
        trade(region)
    update_prices(region)
    grow_back(region)
    travel(region)


# --- tick 0


def capacities(region: Region, peak: int, repeat: int, mirrored: bool) -> np.ndarray:
    """Returns the capacity of each cell for sugar or spice, `int64[height, width]`.

    Each map has four terraces around each of two peaks: for sugar in the north-east and the south-west, for spice
    (`mirrored`) in the north-west and the south-east.
    """
    side = 1 << UNIT_BITS
    y, x = (np.arange(size, dtype=np.int64) * side * repeat // size % side for size in region.torus)
    terraces = np.zeros(region.torus, np.int64)
    for north in (True, False):
        east = north != mirrored
        dy, dx = (np.abs(at - (side // 4 if low else side * 3 // 4)) for at, low in ((y, north), (x, not east)))
        dy, dx = np.minimum(dy, side - dy), np.minimum(dx, side - dx)
        square = dy[:, None] ** 2 + dx[None, :] ** 2
        height = sum((square < (permille * side // 1000) ** 2).astype(np.int64) for permille in TERRACES_PERMILLE)
        terraces = np.maximum(terraces, height)
    return terraces * peak // len(TERRACES_PERMILLE)


def layout(world: WorldFile) -> tuple[tuple[Field, ...], list[Schema]]:
    """Returns the fields (sugar, spice, capacities, price) and the table of traders."""
    return FIELDS, [TRADERS]


def draw_between(ids: np.ndarray, seed: int, bounds: tuple[int, int], index: int, key: str) -> np.ndarray:
    """Returns a uniform random number for each trader, between the `bounds` (inclusive).

    `index` distinguishes the random numbers of a trader. Raises WorldFileError, which names the setting `key`, if the
    bounds are in the wrong order.
    """
    low, high = bounds
    if low > high:
        raise WorldFileError(f"traders.{key} = [{low}, {high}]: put the smaller number first")
    return low + draws(ids, seed, BODY, index) % (high - low + 1)


def genesis(world: WorldFile, region: Region) -> None:
    """Fills all cells to their capacities, and places traders at random, at most one in a cell."""
    land, traders, rules = world.settings.land, world.settings.traders, world.settings.trade
    region.constants = {"rules": np.array(Rules(int(rules.enabled), rules.fade_ticks), np.int64)}
    for name, mirrored in (("sugar", False), ("spice", True)):
        capacity = capacities(region, land.peak, land.repeat, mirrored)
        region[name][:] = capacity
        region[f"{name}_capacity"][:] = capacity
    cells = np.arange(region.torus.cells, dtype=np.int64)
    home = np.lexsort((cells, draws(cells, region.seed, SCATTER)))[: traders.count]
    ids = identity(TRADER, 0, np.arange(len(home)), by_hand=True)
    region.tables["traders"].append(
        len(home),
        {
            "id": ids,
            "y_fixed": home // region.torus.width * SUBCELL + SUBCELL // 2,
            "x_fixed": home % region.torus.width * SUBCELL + SUBCELL // 2,
            "sugar_metabolism": draw_between(ids, region.seed, traders.metabolism, 0, "metabolism"),
            "spice_metabolism": draw_between(ids, region.seed, traders.metabolism, 1, "metabolism"),
            "vision_cells": draw_between(ids, region.seed, traders.vision, 2, "vision"),
            "sugar_count": draw_between(ids, region.seed, traders.endowment, 3, "endowment"),
            "spice_count": draw_between(ids, region.seed, traders.endowment, 4, "endowment"),
        },
    )


def species(world: WorldFile) -> list[str]:
    """Returns the names of the species in order of their index."""
    return ["trader"]


def prices(world: WorldFile, region: Region) -> dict[str, float]:
    """Returns the measure `prices` of the last tick.

    `exchanges` is the number of exchanges, and `log_price` and `price_spread` are the mean and the standard deviation
    of the natural logarithms of their prices (spice for one sugar). Each exchange is counted from the columns of its
    two traders, one half for each; traders that died in the tick are not counted. `log_price` is NaN if `exchanges` is
    0, and `price_spread` if it is 1 or less.
    """
    table = region.tables["traders"]
    rows = region.owned_rows("traders") & (table["traded_tick"] == region.tick - 1)
    count, total, squares = (
        int(table[name][rows].sum()) for name in ("exchange_count", "price_total", "price_square_total")
    )
    unit = np.log(2) / ONE
    return {
        "exchanges": count / 2,
        "log_price": total / count * unit if count else np.nan,
        "price_spread": max(0.0, squares / count - (total / count) ** 2) ** 0.5 * unit if count > 2 else np.nan,
    }


laws = Laws(
    name="market",
    order=(Law("live", REACH, live),),  # barter, then growth, movement, consumption and death
    settings=Settings,
    layout=layout,
    genesis=genesis,
    species=species,
)

"""Sugarscape with spice and trade, as laws of Umwelt in integers: prices that nobody sets.

The model is Epstein and Axtell's ("Growing Artificial Societies", 1996, chapter IV). Sugar and spice grow back in
cells. A trader goes where its welfare would be greatest of all free cells that it sees along the four directions, to
the nearest of equals; it gathers all that lies there, burns some of both, and dies when either is spent. Traders side
by side barter, one pair after the other, for as long as both gain: sugar for spice at the geometric mean of what a
sugar is worth to each. There is no auctioneer, no order book and no money.

In the book traders act one after another, in an order drawn anew in each tick. Here all act at the same time:

- **Pairs.** In each tick dice give the pairs of neighbours an order. A pair meets in the first of `ROUNDS` in which all
  pairs that share a trader with it and come before it have met. So it is as if pairs met one by one; but a pair that
  would still wait after `ROUNDS` does not meet in this tick.
- **Places.** All list at the same time which of the free cells they would rather be in. Each cell takes one of those
  who list it highest, by dice; a trader goes to the best cell that takes it, and else stays. So two traders are never
  in one cell. Who is refused by the first has a good chance of the second, since the order is turned round there.

A tick begins with the trade, which in the book ends it. The reach is that of one law, not a sum: barter changes pockets
and no cell, and whoever looks for a place looks at cells, and into no pocket but its own. After `ROUNDS` a pocket
depends on what was within `ROUNDS + 1` cells, and a list of places on `MAX_VISION_CELLS`; 5 both. Which of the places
one gets depends on the lists of rivals up to twice as far away as one sees: 5 + 10.
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
from umwelt.sandbox.units import ONE, SUBCELL
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
    compared,
    needs,
    pair_up,
)

MAX_VISION_CELLS = 5
ROUNDS = 4
REACH = max(MAX_VISION_CELLS, ROUNDS + 1) + 2 * MAX_VISION_CELLS

TRADER = 1
CHOICES = 4
"""So many cells one lists, the best first."""
WISH_ENTRIES = 5
CELL, SUGAR, SPICE, DISTANCE, DRAWN = range(WISH_ENTRIES)
DRAWN_MAX = (1 << 63) - 1

SCATTER = purpose("market.scatter")
BODY = purpose("market.body")
STEER = purpose("market.steer")
CLAIM = purpose("market.claim")

TERRACES_PERMILLE = (363, 314, 222, 120)
"""How far from a peak the land bears 1/4, 2/4, 3/4 and all of what it can: as many cells as on the book's map."""
UNIT_BITS = 12
"""Lengths on the map are counted in 1/4096 of its side."""


class LandSettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What the cells bear: `peak` of sugar or spice at most, on `repeat` x `repeat` maps of the book side by side."""

    peak: Annotated[int, Meta(ge=1, le=1000)] = 4
    repeat: Annotated[int, Meta(ge=1, le=1024)] = 1


Metabolism = Annotated[int, Meta(ge=1, le=MAX_METABOLISM)]
Vision = Annotated[int, Meta(ge=1, le=MAX_VISION_CELLS)]
Endowment = Annotated[int, Meta(ge=1, le=1_000_000)]


class TraderSettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """How many traders there are, at most one a cell, and between which bounds dice draw what they are."""

    count: Annotated[int, Meta(ge=0, lt=1 << 30)]
    metabolism: tuple[Metabolism, Metabolism] = (1, 5)
    vision: tuple[Vision, Vision] = (1, 5)
    endowment: tuple[Endowment, Endowment] = (25, 50)


class TradeSettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Whether there is trade, and in how many ticks the price that cells remember falls to a third of itself."""

    enabled: bool = True
    fade_ticks: Annotated[int, Meta(ge=1, le=1000)] = 32


class Settings(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The sections of a world file that these laws read."""

    traders: TraderSettings
    land: LandSettings = LandSettings()
    trade: TradeSettings = TradeSettings()


Rules = namedtuple("Rules", ["enabled", "fade_ticks"])

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


# --- who is where, and what is known


@kernel
def settle(place, traders, holder):
    """Write who holds each cell: its trader, or the one with the smallest id where people put several into it."""
    for row in range(len(traders.id)):
        cell = cell_of(place, traders, row)
        if holder[cell] < 0 or traders.id[row] < traders.id[holder[cell]]:
            holder[cell] = row


@kernel
def spread(place, traders, total, count):
    """Tell the prices that were paid just now to the traders' cells and the four around them."""
    for row in range(len(traders.id)):
        if traders.traded_tick[row] == place.tick:
            y, x = traders.y_fixed[row] >> 10, traders.x_fixed[row] >> 10
            for dy, dx in ((0, 0), (0, 1), (1, 0), (0, -1), (-1, 0)):
                if 0 <= y + dy < place.height and 0 <= x + dx < place.width:
                    total[y + dy, x + dx] += traders.price[row]
                    count[y + dy, x + dx] += 1


# --- places


@small
def seen(place, here, direction, distance):
    """The window cell so far east, south, west or north, or none where the window ends."""
    y, x = here // place.width, here % place.width
    step = distance if direction < 2 else -distance
    if direction & 1 == EAST:
        return here + step if 0 <= x + step < place.width else np.int64(NONE)
    return here + step * place.width if 0 <= y + step < place.height else np.int64(NONE)


@small
def pocketed(have, lies):
    """What one has after gathering what lies there, as much as a pocket holds."""
    return between(have + lies, 1, MAX_COUNT)


@small
def preferred(limbs, wishes, one, other, sugar_metabolism, spice_metabolism):
    """Whether one wish goes before another: by welfare, then the shorter way, then dice."""
    better = compared(
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
def moved(wishes, source, into):
    """Copy a wish."""
    for entry in range(WISH_ENTRIES):
        wishes[into, entry] = wishes[source, entry]


@kernel
def choose(place, traders, holder, sugar, spice, limbs, wishes, target):
    """Each trader lists the best of the free cells in sight, up to `CHOICES`, that are better than to stay.

    `target: int32[CHOICES, rows]`, -1 where nothing is listed. `wishes: int64[CHOICES + 2, WISH_ENTRIES]` is to work
    in: first to stay, then the list, and last the cell that is looked at.
    """
    new = CHOICES + 1
    for row in range(len(traders.id)):
        here = cell_of(place, traders, row)
        own_sugar, own_spice = np.int64(traders.sugar_count[row]), np.int64(traders.spice_count[row])
        sugar_metabolism, spice_metabolism = needs(traders, row)
        wishes[0, DISTANCE] = 0
        wishes[0, SUGAR], wishes[0, SPICE] = 0, 0  # who was put into a cell of another goes anywhere rather than stay
        if holder[here] == row:
            wishes[0, SUGAR], wishes[0, SPICE] = pocketed(own_sugar, sugar[here]), pocketed(own_spice, spice[here])
        listed = 0
        for distance in range(1, between(traders.vision_cells[row], 1, MAX_VISION_CELLS) + 1):
            for direction in range(DIRECTIONS):
                cell = seen(place, here, direction, distance)
                if cell < 0 or holder[cell] >= 0:
                    continue
                wishes[new, CELL], wishes[new, DISTANCE] = cell, distance
                wishes[new, DRAWN] = draw(place.seed, place.tick, traders.id[row], STEER, direction)
                wishes[new, SUGAR] = pocketed(own_sugar, sugar[cell])
                wishes[new, SPICE] = pocketed(own_spice, spice[cell])
                if not preferred(limbs, wishes, new, 0, sugar_metabolism, spice_metabolism):
                    continue
                at = listed + 1
                while at > 1 and preferred(limbs, wishes, new, at - 1, sugar_metabolism, spice_metabolism):
                    at -= 1
                if at <= CHOICES:
                    listed = min(listed + 1, CHOICES)
                    for back in range(listed - at):
                        moved(wishes, listed - back - 1, listed - back)
                    moved(wishes, new, at)
        for rank in range(CHOICES):
            target[rank, row] = wishes[rank + 1, CELL] if rank < listed else NONE


@small
def turn_of(drawn, rank):
    """A trader's draw where it lists its first, second and further choices: who is last there is first in the next."""
    return drawn if rank & 1 == 0 else DRAWN_MAX - drawn


@kernel
def claim(place, traders, target, drawn, first, first_rank):
    """Each cell takes, of those who list it, one who lists it highest; of these, dice say which."""
    for row in range(len(traders.id)):
        for rank in range(CHOICES):
            cell = np.int64(target[rank, row])
            if cell < 0:
                break
            drawn[row] = draw(place.seed, place.tick, traders.id[row], CLAIM, 0)
            rival = np.int64(first[cell])
            wins = rival < 0 or rank < first_rank[cell]
            if not wins and rank == first_rank[cell]:
                own, its = turn_of(drawn[row], rank), turn_of(drawn[rival], rank)
                wins = own > its or (own == its and traders.id[row] < traders.id[rival])
            if wins:
                first[cell], first_rank[cell] = row, rank


@kernel
def go(place, traders, target, first):
    """Go to the best cell that takes one, or stay."""
    for row in range(len(traders.id)):
        for rank in range(CHOICES):
            cell = np.int64(target[rank, row])
            if cell < 0:
                break
            if first[cell] == row:
                traders.y_fixed[row] = ((cell // place.width) << 10) + 512
                traders.x_fixed[row] = ((cell % place.width) << 10) + 512
                break


@kernel
def gather_and_burn(place, traders, holder, sugar, spice, dead):
    """Take all that lies in one's cell, burn what one needs, and die when either is spent."""
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
    """The rules that a region keeps from genesis on."""
    return Rules(*region.constants["rules"].tolist())


def holders(region: Region) -> np.ndarray:
    """Whose each window cell is, `int32[cells]`: a row, or -1; scratch."""
    holder = region.scratch("holder").reshape(-1)
    holder.fill(NONE)
    call(settle, region.place(), region.tables["traders"].record(), holder)
    return holder


def trade(region: Region) -> int:
    """Let neighbours barter. Gives how many pairs of the window still wait and do not meet in this tick."""
    place, table, holder = region.place(), region.tables["traders"], holders(region)
    traders, limbs = table.record(), np.zeros((2, LIMBS + 1), np.int64)
    waiting, called = np.empty((2, table.count), np.uint8), np.empty((2, table.count), np.uint8)
    drawn = np.zeros((2, table.count), np.int64)
    call(pair_up, place, traders, holder, waiting, drawn)
    for _ in range(ROUNDS):
        if call(call_pairs, place, traders, holder, waiting, drawn, called):
            call(barter, place, traders, holder, waiting, called, limbs)
    return int(waiting.sum())


def remember(region: Region) -> None:
    """Cells take the mean of the last prices paid in them or beside them in this tick; others slowly forget theirs."""
    total, count = region.scratch("price_total"), region.scratch("price_count")
    total.fill(0)
    count.fill(0)
    call(spread, region.place(), region.tables["traders"].record(), total, count)
    price, fade_ticks = region["price"], rules_of(region).fade_ticks
    known = price.astype(np.int32)
    forgotten = np.sign(known) * ((np.abs(known) + fade_ticks - 1) // fade_ticks)
    price[:] = np.where(count > 0, total // np.maximum(count, 1), known - forgotten)


def grow_back(region: Region) -> None:
    """One unit a tick of each substance, up to what the cell bears."""
    for name in ("sugar", "spice"):
        field = region[name]
        field += field < region[f"{name}_capacity"]


def travel(region: Region) -> None:
    """All choose places, those who get them go there; all gather, burn, and live or die."""
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
    """A tick: barter, and then growth, travel, meals and death."""
    if rules_of(region).enabled:
        trade(region)
    remember(region)
    grow_back(region)
    travel(region)


# --- tick 0


def capacities(region: Region, peak: int, repeat: int, mirrored: bool) -> np.ndarray:
    """What the land bears of one substance, `int64[height, width]`: four terraces round peaks in two opposite corners.

    Sugar has its peaks in the north-east and the south-west, spice where the map is mirrored.
    """
    side = 1 << UNIT_BITS
    y, x = (np.arange(size, dtype=np.int64) * side * repeat // size % side for size in region.torus)
    found = np.zeros(region.torus, np.int64)
    for north in (True, False):
        east = north != mirrored
        dy, dx = (np.abs(at - (side // 4 if low else side * 3 // 4)) for at, low in ((y, north), (x, not east)))
        dy, dx = np.minimum(dy, side - dy), np.minimum(dx, side - dx)
        square = dy[:, None] ** 2 + dx[None, :] ** 2
        height = sum((square < (permille * side // 1000) ** 2).astype(np.int64) for permille in TERRACES_PERMILLE)
        found = np.maximum(found, height)
    return found * peak // len(TERRACES_PERMILLE)


def layout(world: WorldFile) -> tuple[tuple[Field, ...], list[Schema]]:
    """Land with sugar and spice, and traders."""
    return FIELDS, [TRADERS]


def drawn_between(ids: np.ndarray, seed: int, bounds: tuple[int, int], index: int, key: str) -> np.ndarray:
    """A number between two bounds for each trader, all as likely."""
    least, most = bounds
    if least > most:
        raise WorldFileError(f"traders.{key} = [{least}, {most}]: put the smaller number first")
    return least + draws(ids, seed, BODY, index) % (most - least + 1)


def genesis(world: WorldFile, region: Region) -> None:
    """Land that bears all it can, and traders anywhere, at most one in a cell."""
    land, traders, rules = world.settings.land, world.settings.traders, world.settings.trade
    region.constants = {"rules": np.array(Rules(int(rules.enabled), rules.fade_ticks), np.int64)}
    for name, mirrored in (("sugar", False), ("spice", True)):
        bears = capacities(region, land.peak, land.repeat, mirrored)
        region[name][:] = bears
        region[f"{name}_capacity"][:] = bears
    cells = np.arange(region.torus.cells, dtype=np.int64)
    home = np.lexsort((cells, draws(cells, region.seed, SCATTER)))[: traders.count]
    ids = identity(TRADER, 0, np.arange(len(home)), by_hand=True)
    region.tables["traders"].append(
        len(home),
        {
            "id": ids,
            "y_fixed": home // region.torus.width * SUBCELL + SUBCELL // 2,
            "x_fixed": home % region.torus.width * SUBCELL + SUBCELL // 2,
            "sugar_metabolism": drawn_between(ids, region.seed, traders.metabolism, 0, "metabolism"),
            "spice_metabolism": drawn_between(ids, region.seed, traders.metabolism, 1, "metabolism"),
            "vision_cells": drawn_between(ids, region.seed, traders.vision, 2, "vision"),
            "sugar_count": drawn_between(ids, region.seed, traders.endowment, 3, "endowment"),
            "spice_count": drawn_between(ids, region.seed, traders.endowment, 4, "endowment"),
        },
    )


def species(world: WorldFile) -> list[str]:
    """The names of the species by their index."""
    return ["trader"]


def prices(world: WorldFile, region: Region) -> dict[str, float]:
    """For experiments: the exchanges of the last tick, and mean and spread of the natural logarithms of their prices.

    An exchange is known to both who made it, and counted once; what only the dead knew is lost. There is no mean of no
    price, and no spread of a single one.
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
    order=(Law("live", REACH, live),),  # barter, and then growth, travel, meals and death
    settings=Settings,
    layout=layout,
    genesis=genesis,
    species=species,
)

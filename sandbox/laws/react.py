"""Chemical reactions in cells and in bodies, with the same arithmetic. Reach 0: only the own cell or body matters."""

import numpy as np

from umwelt.sandbox.chemistry import ReactionTable
from umwelt.sandbox.dice import bits, draw, purpose
from umwelt.sandbox.kernel import kernel, small
from umwelt.sandbox.region import Region
from umwelt.sandbox.units import RATE_BITS

REACT_IN_CELL = purpose("react.cell")
REACT_IN_BODY = purpose("react.body")

MAX_COUNT = 1 << 20
"""Larger counts react as if they were this many, which keeps every product within 63 bits."""
MAX_AMOUNT_Q10 = 1 << 30
"""The limit of products of counts, for the same reason."""
MAX_HELD = (1 << 31) - 1
"""The largest count of a substance; a reaction that would exceed it happens later."""
UNIT_BITS = 10
"""1024 molecules, or a catalyst of 1024, are the unit of concentration."""
EXTENT_BITS = RATE_BITS + UNIT_BITS
"""Binary places of a rate times an amount; what is below one is rounded by dice."""


@small
def times(amount_q10, count):
    """Returns an amount times `count / 1024`, bounded."""
    return min((amount_q10 * min(count, MAX_COUNT)) >> UNIT_BITS, MAX_AMOUNT_Q10)


@small
def plane(array, which, y):
    """Returns one substance or catalyst along row `y`; for index -1 any row, which callers do not read."""
    return array[max(which, 0), y]


@small
def allows(have, taken):
    """Returns how often a reactant suffices."""
    return have if taken == 1 else have // taken


@small
def with_room(extent, product, made, have):
    """Returns the extent, reduced if a product (index -1: none) would exceed `MAX_HELD`."""
    return extent if product < 0 or have + extent * made <= MAX_HELD else (MAX_HELD - have) // made


@small
def powered(amount_q10, count, order):
    """Returns an amount times `(count / 1024) ^ order`, bounded."""
    for _ in range(order):
        amount_q10 = times(amount_q10, count)
    return amount_q10


@small
def react_along(reactions, r, y, substance, catalyst, cells, keys, first, last, seed, tick, where):
    """Let reaction `r` happen at `substance[:, y, cells[i]]` for `i` from `first` to `last - 1`, with `keys[i]` for
    dice.

    Whatever is the same along the row is read before the loop, for speed.
    """
    rate, index = reactions.rate_q24[r], reactions.dice_index[r]
    s1, s2, s3 = reactions.reactant[r, 1], reactions.reactant[r, 2], reactions.reactant[r, 3]
    n0, n1, n2, n3 = reactions.taken[r, 0], reactions.taken[r, 1], reactions.taken[r, 2], reactions.taken[r, 3]
    o0, o1, o2, o3 = reactions.order[r, 0], reactions.order[r, 1], reactions.order[r, 2], reactions.order[r, 3]
    p0, p1, p2, p3 = reactions.product[r, 0], reactions.product[r, 1], reactions.product[r, 2], reactions.product[r, 3]
    m0, m1, m2, m3 = reactions.made[r, 0], reactions.made[r, 1], reactions.made[r, 2], reactions.made[r, 3]
    c0, c1 = reactions.catalyst[r, 0], reactions.catalyst[r, 1]
    by0, by1 = reactions.by_substance[r, 0] == 1, reactions.by_substance[r, 1] == 1
    taken0, taken1 = plane(substance, reactions.reactant[r, 0], y), plane(substance, s1, y)
    taken2, taken3 = plane(substance, s2, y), plane(substance, s3, y)
    made0, made1 = plane(substance, p0, y), plane(substance, p1, y)
    made2, made3 = plane(substance, p2, y), plane(substance, p3, y)
    help0, help1 = plane(catalyst, 0 if by0 else c0, y), plane(catalyst, 0 if by1 else c1, y)
    mate0, mate1 = plane(substance, c0 if by0 else 0, y), plane(substance, c1 if by1 else 0, y)
    for i in range(first, last):
        x = cells[i]
        count = np.int64(taken0[x])
        if count < n0:
            continue
        amount_q10 = np.int64(1 << (2 * UNIT_BITS))
        if c0 >= 0:
            amount_q10 = times(amount_q10, np.int64(mate0[x]) if by0 else np.int64(help0[x]))
        if c1 >= 0:
            amount_q10 = times(amount_q10, np.int64(mate1[x]) if by1 else np.int64(help1[x]))
        if amount_q10 <= 0:
            continue
        limit = allows(count, n0)
        amount_q10 = powered(amount_q10, count, o0)
        if s1 >= 0:
            count = np.int64(taken1[x])
            limit = min(limit, allows(count, n1))
            amount_q10 = powered(amount_q10, count, o1)
        if s2 >= 0:
            count = np.int64(taken2[x])
            limit = min(limit, allows(count, n2))
            amount_q10 = powered(amount_q10, count, o2)
        if s3 >= 0:
            count = np.int64(taken3[x])
            limit = min(limit, allows(count, n3))
            amount_q10 = powered(amount_q10, count, o3)
        drawn = bits(draw(seed, tick, keys[i], where, index), EXTENT_BITS)
        extent = min((rate * amount_q10 + drawn) >> EXTENT_BITS, limit)
        extent = with_room(extent, p0, m0, made0[x])
        extent = with_room(extent, p1, m1, made1[x])
        extent = with_room(extent, p2, m2, made2[x])
        extent = with_room(extent, p3, m3, made3[x])
        if extent <= 0:
            continue
        taken0[x] -= extent * n0
        if s1 >= 0:
            taken1[x] -= extent * n1
        if s2 >= 0:
            taken2[x] -= extent * n2
        if s3 >= 0:
            taken3[x] -= extent * n3
        if p0 >= 0:
            made0[x] += extent * m0
        if p1 >= 0:
            made1[x] += extent * m1
        if p2 >= 0:
            made2[x] += extent * m2
        if p3 >= 0:
            made3[x] += extent * m3


@kernel(allocates=True)
def react_in_cells(y_low, y_high, place, reactions, substance, catalyst):
    """Run the reactions of cells, one after another, over the rows `y_low` to `y_high - 1`."""
    cells = np.arange(place.width)
    keys = np.empty(place.width, np.int64)
    for y in range(y_low, y_high):
        for x in range(place.x_low, place.x_high):
            keys[x] = np.int64(place.y_global[y]) * place.world_width + place.x_global[x]
        for r in range(len(reactions.rate_q24)):
            react_along(
                reactions,
                r,
                y,
                substance,
                catalyst,
                cells,
                keys,
                place.x_low,
                place.x_high,
                place.seed,
                place.tick,
                REACT_IN_CELL,
            )


@kernel(allocates=True)
def react_in_bodies(y_low, y_high, place, reactions, index, ids, substance, catalyst):
    """Run the reactions of bodies, one after another; `substance` and `catalyst` are views shaped `[.., 1, row]`."""
    keys = np.empty(len(index.rows), np.int64)
    for y in range(y_low, y_high):
        first = index.start[y * place.width + place.x_low]
        last = index.start[y * place.width + place.x_high]
        for i in range(first, last):
            keys[i] = ids[index.rows[i]]
        for r in range(len(reactions.rate_q24)):
            react_along(
                reactions,
                r,
                0,
                substance,
                catalyst,
                index.rows,
                keys,
                first,
                last,
                place.seed,
                place.tick,
                REACT_IN_BODY,
            )


def react_table(region: Region, name: str, reactions: ReactionTable) -> None:
    """Run the reactions of the bodies in a table, which has columns `counts` and `catalysts`."""
    table = region.tables[name]
    if table.count and len(reactions.rate_q24):
        counts, catalysts = table["counts"].T[:, None, :], table["catalysts"].T[:, None, :]
        region.run(react_in_bodies, reactions, region.index(name), table["id"], counts, catalysts)

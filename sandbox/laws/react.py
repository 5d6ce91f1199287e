"""The law of chemical reactions, with the same arithmetic in cells and in bodies.

The reach is 0: a reaction depends only on the cell or body in which it happens. The *extent* of a reaction is how many
times it happens in a tick. A *site* is where reactions run: all cells, or the bodies of a table; its catalysts are
properties of the cells or bodies, such as light. In kernels, `place` is a `Place` (sandbox/region.py).
"""

import numpy as np

from umwelt.sandbox.chemistry import ReactionTable
from umwelt.sandbox.dice import bits, draw, purpose
from umwelt.sandbox.kernel import kernel, small
from umwelt.sandbox.region import Region
from umwelt.sandbox.units import RATE_BITS

REACT_IN_CELL = purpose("react.cell")
REACT_IN_BODY = purpose("react.body")

MAX_COUNT = 1 << 20
"""The largest count of a reactant in the computation of a rate; larger counts are replaced by it.

It limits the products in that computation to 63 bits."""
MAX_AMOUNT_Q10 = 1 << 30
"""The largest product of counts in the computation of a rate; it also limits further products to 63 bits."""
MAX_HELD = (1 << 31) - 1
"""The largest count of a substance in a cell or body; reactions are reduced so that no product exceeds it."""
UNIT_BITS = 10
"""The binary logarithm of the unit of concentration: 1024 molecules, or a catalyst of 1024."""
EXTENT_BITS = RATE_BITS + UNIT_BITS
"""Fractional bits of a rate times an amount; the fraction is rounded up or down at random."""


@small
def times(amount_q10, count):
    """Returns `amount_q10 * count / 1024`, at most `MAX_AMOUNT_Q10`."""
    return min((amount_q10 * min(count, MAX_COUNT)) >> UNIT_BITS, MAX_AMOUNT_Q10)


@small
def plane(array, which, y):
    """Returns `array[which, y]`: the values of a substance or catalyst along row `y`.

    If `which` is -1 (no substance or catalyst), returns `array[0, y]`, which the caller does not use.
    """
    return array[max(which, 0), y]


@small
def allows(have, taken):
    """Returns for how many reactions `have` molecules of a reactant suffice, at `taken` molecules for each."""
    return have if taken == 1 else have // taken


@small
def with_room(extent, product, made, have):
    """Returns `extent`, reduced so that the product's count does not exceed `MAX_HELD`.

    `product` is the index of its substance (-1: no product), `made` the molecules for each reaction, and `have` the
    present count.
    """
    return extent if product < 0 or have + extent * made <= MAX_HELD else (MAX_HELD - have) // made


@small
def powered(amount_q10, count, order):
    """Returns `amount_q10 * (count / 1024) ^ order`, at most `MAX_AMOUNT_Q10`."""
    for _ in range(order):
        amount_q10 = times(amount_q10, count)
    return amount_q10


@small
def react_along(reactions, r, y, substance, catalyst, cells, keys, first, last, seed, tick, where):
    """Runs reaction `r` on `substance[:, y, cells[i]]` for `i` from `first` to `last - 1`.

    `reactions` is a `ReactionTable`, and `catalyst[:, y, cells[i]]` are the site's catalysts. `keys[i]` is the key of
    the random number for entry `i`, and `where` its purpose. Values that are constant along the row are read before the
    loop, for speed.
    """
    # s, n, o: substance, coefficient and order of a reactant; p, m: substance and coefficient of a product; c: catalyst
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
    # a catalyst is one of the site's catalysts (`help`) or a substance (`mate`)
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
    """Runs the reactions of cells, in the order of their table, over the rows `y_low` to `y_high - 1`.

    `substance` and `catalyst` have the shape `[substance or catalyst, height, width]`.
    """
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
    """Runs the reactions of bodies, in the order of their table, on the beings in rows `y_low` to `y_high - 1`.

    `index` is the `CellIndex` of the table and `ids` its column of ids. `substance` and `catalyst` are views of the
    table's columns with the shape `[substance or catalyst, 1, row]`.
    """
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
    """Runs `reactions` in the bodies of the table `name`, which needs the columns `counts` and `catalysts`."""
    table = region.tables[name]
    if table.count and len(reactions.rate_q24):
        counts, catalysts = table["counts"].T[:, None, :], table["catalysts"].T[:, None, :]
        region.run(react_in_bodies, reactions, region.index(name), table["id"], counts, catalysts)

"""Reactions, in cells and in bodies: the same arithmetic in both.

Reach 0: a reaction sees its own cell, or its own body.
"""

import numpy as np

from umwelt.sandbox.chemistry import MOST_CATALYSTS, MOST_REACTANTS, ReactionTable
from umwelt.sandbox.dice import bits, draw, purpose
from umwelt.sandbox.kernel import kernel, small
from umwelt.sandbox.region import Region
from umwelt.sandbox.units import RATE_BITS

REACT_IN_CELL = purpose("react.cell")
REACT_IN_BODY = purpose("react.body")

MOST_COUNT = 1 << 20
"""Larger counts react as this many, which keeps every product within 63 bits."""
MOST_AMOUNT_Q10 = 1 << 30
UNIT_BITS = 10
EXTENT_BITS = RATE_BITS + UNIT_BITS


@small
def times(amount_q10, count):
    """Multiply an amount by `count / 1024`, bounded."""
    return min((amount_q10 * min(count, MOST_COUNT)) >> UNIT_BITS, MOST_AMOUNT_Q10)


@small
def react_one(reactions, r, substance, catalyst, y, x, seed, tick, key, where):
    """Let reaction `r` happen in `substance[:, y, x]`, with `catalyst[:, y, x]` (1024 for one)."""
    limit = np.int64(MOST_COUNT)
    for i in range(MOST_REACTANTS):
        s = reactions.reactant[r, i]
        if s < 0:
            break
        taken = reactions.taken[r, i]
        have = np.int64(substance[s, y, x])
        limit = min(limit, have if taken == 1 else have // taken)
    if limit <= 0:
        return
    amount_q10 = np.int64(1 << (2 * UNIT_BITS))
    for i in range(MOST_CATALYSTS):
        c = reactions.catalyst[r, i]
        if c >= 0:
            by_substance = reactions.by_substance[r, i] == 1
            amount_q10 = times(amount_q10, np.int64(substance[c, y, x]) if by_substance else np.int64(catalyst[c, y, x]))
    if amount_q10 <= 0:
        return
    for i in range(MOST_REACTANTS):
        s = reactions.reactant[r, i]
        if s < 0:
            break
        for _ in range(reactions.order[r, i]):
            amount_q10 = times(amount_q10, np.int64(substance[s, y, x]))
    drawn = draw(seed, tick, key, where, reactions.dice_index[r])
    extent = (reactions.rate_q24[r] * amount_q10 + bits(drawn, EXTENT_BITS)) >> EXTENT_BITS
    extent = min(extent, limit)
    if extent == 0:
        return
    for i in range(MOST_REACTANTS):
        s = reactions.reactant[r, i]
        if s >= 0:
            substance[s, y, x] -= extent * reactions.taken[r, i]
        s = reactions.product[r, i]
        if s >= 0:
            substance[s, y, x] += extent * reactions.made[r, i]


@kernel
def react_in_cells(y_low, y_high, place, reactions, substance, catalyst):
    """Each reaction over each cell of a row, one after another."""
    for y in range(y_low, y_high):
        key = np.int64(place.y_global[y]) * place.world_width
        for r in range(len(reactions.rate_q24)):
            for x in range(place.x_low, place.x_high):
                cell = key + place.x_global[x]
                react_one(reactions, r, substance, catalyst, y, x, place.seed, place.tick, cell, REACT_IN_CELL)


@kernel
def react_in_bodies(y_low, y_high, place, reactions, index, ids, substance, catalyst):
    """Each reaction over each body; `substance` and `catalyst` are views shaped `[.., 1, row]`."""
    for y in range(y_low, y_high):
        first = index.start[y * place.width + place.x_low]
        last = index.start[y * place.width + place.x_high]
        for k in range(first, last):
            row = index.rows[k]
            key = ids[row]
            for r in range(len(reactions.rate_q24)):
                react_one(reactions, r, substance, catalyst, 0, row, place.seed, place.tick, key, REACT_IN_BODY)


def react_table(region: Region, name: str, reactions: ReactionTable) -> None:
    """Run the reactions of a kind of body; its table has columns `counts` and `catalysts`."""
    table = region.tables[name]
    if table.count and len(reactions.rate_q24):
        counts, catalysts = table["counts"].T[:, None, :], table["catalysts"].T[:, None, :]
        region.run(react_in_bodies, reactions, region.index(name), table["id"], counts, catalysts)

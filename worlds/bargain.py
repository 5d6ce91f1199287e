"""Barter between neighbouring traders of the world `market`, computed in exact integers.

The rules are those of Sugarscape (Epstein and Axtell, "Growing Artificial Societies", 1996, chapter IV). A trader with
`w1` sugar and `w2` spice that burns `m1` and `m2` of them per tick has the welfare `w1^(m1/mT) * w2^(m2/mT)`, `mT = m1
+ m2`. Its marginal rate of substitution (MRS) is the value of one sugar in spice, `(w2/m2) / (w1/m1)`.

Two welfares of the same trader are compared by `w1^m1 * w2^m2`, computed exactly as integers of up to `LIMBS` limbs of
30 bits. An MRS is a fraction of two integers below 2^30, so the products of two MRS fit 64 bits, and the price, their
geometric mean, is truncated to whole units exactly. Only the logarithm of the price, which is stored for display and
measures and has no effect on the world, is rounded: it is correct to 1/1024 of a doubling.

In kernels, `place` is a `Place` (sandbox/region.py), `traders` is the record (a named tuple of columns) of the table of
traders, and traders are given by their rows. A window cell is a cell of a region or of the halo around it, given by its
index `y * width + x`.
"""

import numpy as np

from umwelt.sandbox.dice import draw, pair, purpose
from umwelt.sandbox.kernel import kernel, small
from umwelt.sandbox.units import SUBCELL_BITS

MEET = purpose("market.meet")
NONE = -1
"""The value that stands for the absence of a row, cell or tick."""
EAST, SOUTH = 0, 1
"""The values of `side`. A pair of neighbours is identified by the row of its left or upper trader and by the `side`
(east or south) on which the other trader is."""
DIRECTIONS = 4

MAX_COUNT = 1 << 27
"""The maximum amount of sugar, and of spice, that a trader can hold."""
MAX_METABOLISM = 8
"""The maximum metabolism; `MAX_COUNT * MAX_METABOLISM` is 2^30."""
LIMB_BITS = 30
LIMB_MASK = (1 << LIMB_BITS) - 1
LIMBS = 16
"""The number of limbs that suffices for the product of sixteen factors below 2^28."""
LOG_BITS = 13
"""The fractional bits of computed logarithms; stored prices have three bits less."""


@small
def between(value, low, high):
    """Returns `value` limited to `low..high`.

    Values read from columns must be limited, because commands can create beings with any values.
    """
    return min(max(value, low), high)


@small
def square_root(value):
    """Returns the integer part of the square root of `value`, 0 to 2^62, computed bit by bit."""
    root = 0
    for bit in range(31):
        candidate = root | 1 << (30 - bit)
        if candidate * candidate <= value:
            root = candidate
    return root


@small
def logarithm(value):
    """Returns the binary logarithm of `value`, 1 to 2^62, in 1/8192, with an error from -2/8192 (exclusive) to 0.

    Squaring a number doubles its logarithm, which yields the bits of the logarithm in turn (Knuth, "The Art of Computer
    Programming", volume 1, section 1.2.2).
    """
    whole = 0
    for bit in range(6):
        if value >> whole >= 1 << (32 >> bit):
            whole += 32 >> bit
    result = whole
    part = value >> (whole - LIMB_BITS) if whole > LIMB_BITS else value << (LIMB_BITS - whole)
    for _ in range(LOG_BITS):
        part = part * part >> LIMB_BITS
        result <<= 1
        if part >> (LIMB_BITS + 1):
            result += 1
            part >>= 1
    return result


@small
def log_price(above, below):
    """Returns the binary logarithm of the price `sqrt(above / below)`, in 1/1024, rounded."""
    return (logarithm(above) - logarithm(below) + 8) >> 4


# --- welfare


@small
def multiply(limbs, side, sugar, spice, sugar_power, spice_power):
    """Writes `sugar^sugar_power * spice^spice_power` to `limbs[side]`, lowest limb first. Returns their number."""
    limbs[side, 0] = 1
    count = 1
    for turn in range(sugar_power + spice_power):
        factor = sugar if turn < sugar_power else spice
        carry = 0
        for i in range(count):
            value = limbs[side, i] * factor + carry
            limbs[side, i] = value & LIMB_MASK
            carry = value >> LIMB_BITS
        if carry > 0:
            limbs[side, count] = carry
            count += 1
    return count


@small
def compare(limbs, sugar, spice, other_sugar, other_spice, sugar_metabolism, spice_metabolism):
    """Compares the welfare of two holdings for one trader; amounts and metabolisms must be at least 1.

    Returns 1, 0 or -1 if `sugar`, `spice` give more, equal or less welfare than `other_sugar`, `other_spice`. `limbs`,
    `int64[2, LIMBS + 1]`, is working memory.
    """
    if sugar >= other_sugar and spice >= other_spice:
        return 1 if sugar > other_sugar or spice > other_spice else 0
    if sugar <= other_sugar and spice <= other_spice:
        return -1
    count = multiply(limbs, 0, sugar, spice, sugar_metabolism, spice_metabolism)
    other_count = multiply(limbs, 1, other_sugar, other_spice, sugar_metabolism, spice_metabolism)
    if count != other_count:
        return 1 if count > other_count else -1
    for back in range(count):
        limb, other_limb = limbs[0, count - 1 - back], limbs[1, count - 1 - back]
        if limb != other_limb:
            return 1 if limb > other_limb else -1
    return 0


# --- price


@small
def rate_of_substitution(sugar, spice, sugar_metabolism, spice_metabolism):
    """Returns the MRS of a trader with the given holding as a fraction, `(numerator, denominator)`."""
    return spice * sugar_metabolism, sugar * spice_metabolism


@small
def whole_price(above, below):
    """Returns the amounts `(sugar, spice)` that are exchanged at the price `sqrt(above / below)`, truncated to
    integers.

    At a price of 1 or more, 1 sugar is exchanged for the price in spice; at a lower price, 1 spice is exchanged for the
    inverse of the price in sugar (trade rule T of the book).
    """
    if above >= below:
        return 1, square_root(above // below)
    return square_root(below // above), 1


# --- pairs


@small
def cell_of(place, traders, row):
    """Returns the index of the window cell in which a trader is."""
    return np.int64(traders.y_fixed[row] >> SUBCELL_BITS) * place.width + (traders.x_fixed[row] >> SUBCELL_BITS)


@small
def precedes(traders, drawn, row, side, other, other_side):
    """Returns whether the pair `row, side` precedes the pair `other, other_side` in the order of the tick.

    Pairs are ordered by descending random numbers `drawn[side, row]`, then by the ids of the traders in rows `row` and
    `other`, then by side.
    """
    if drawn[side, row] != drawn[other_side, other]:
        return drawn[side, row] > drawn[other_side, other]
    if row != other:
        return traders.id[row] < traders.id[other]
    return side < other_side


@small
def must_wait(place, traders, holder, waiting, drawn, row, side, end):
    """Returns whether the trader in cell `end` belongs to another waiting pair that precedes the pair `row, side`.

    A waiting pair is one that has not yet traded in this tick (`waiting[side, row]` is 1). `holder[cell]` is the row of
    the trader in a window cell.
    """
    y, x = end // place.width, end % place.width
    for which in range(DIRECTIONS):
        its = which & 1
        cell = end
        if which == 2:
            cell = end - 1 if x > 0 else np.int64(NONE)
        elif which == 3:
            cell = end - place.width if y > 0 else np.int64(NONE)
        other = np.int64(holder[cell]) if cell >= 0 else np.int64(NONE)
        if other >= 0 and waiting[its, other] and not (other == row and its == side):
            if precedes(traders, drawn, other, its, row, side):
                return True
    return False


@kernel
def pair_up(place, traders, holder, waiting, drawn):
    """Marks each trader and its neighbours to the east and south as waiting pairs, and draws their random numbers.

    Writes `waiting[side, row]`, 1 for a pair that has not yet traded in this tick, and `drawn[side, row]`, by which the
    pairs are ordered. `holder[cell]` is the row of the trader in a window cell, -1 if there is none.
    """
    for row in range(len(traders.id)):
        here = cell_of(place, traders, row)
        for side in range(2):
            waiting[side, row] = 0
            there = here + 1 if side == EAST else here + place.width
            within = here % place.width + 1 < place.width if side == EAST else there < len(holder)
            if within and holder[here] == row and holder[there] >= 0:
                waiting[side, row] = 1
                key = pair(traders.id[row], traders.id[holder[there]])
                drawn[side, row] = draw(place.seed, place.tick, key, MEET, side)


@kernel
def call_pairs(place, traders, holder, waiting, drawn, called):
    """Selects the waiting pairs that trade next: those that precede all other waiting pairs of their two traders.

    Sets `called[side, row]` to 1 for these pairs, of which no two share a trader. Returns their number.
    """
    count = 0
    for row in range(len(traders.id)):
        here = cell_of(place, traders, row)
        for side in range(2):
            called[side, row] = 0
            if waiting[side, row]:
                there = here + 1 if side == EAST else here + place.width
                if not must_wait(place, traders, holder, waiting, drawn, row, side, here):
                    if not must_wait(place, traders, holder, waiting, drawn, row, side, there):
                        called[side, row] = 1
                        count += 1
    return count


# --- barter


@small
def enter(place, traders, row, price):
    """Adds an exchange at `price` (a result of `log_price`) to the columns of the trader `row`."""
    if traders.traded_tick[row] != place.tick:
        traders.traded_tick[row] = place.tick
        traders.exchange_count[row], traders.price_total[row], traders.price_square_total[row] = 0, 0, 0
    traders.price[row] = price
    traders.exchange_count[row] += 1
    traders.price_total[row] += price
    traders.price_square_total[row] += price * price


@small
def needs(traders, row):
    """Returns the sugar and spice that a trader burns per tick, limited to valid metabolisms."""
    return (
        between(np.int64(traders.sugar_metabolism[row]), 1, MAX_METABOLISM),
        between(np.int64(traders.spice_metabolism[row]), 1, MAX_METABOLISM),
    )


@small
def gains(traders, limbs, row, sugar, spice):
    """Returns whether adding `sugar` and `spice` (which can be negative) increases a trader's welfare.

    Returns False if the new holding would be below 1 or above `MAX_COUNT`.
    """
    sugar_metabolism, spice_metabolism = needs(traders, row)
    old_sugar, old_spice = np.int64(traders.sugar_count[row]), np.int64(traders.spice_count[row])
    new_sugar, new_spice = old_sugar + sugar, old_spice + spice
    if min(new_sugar, new_spice) < 1 or max(new_sugar, new_spice) > MAX_COUNT:
        return False
    return compare(limbs, new_sugar, new_spice, old_sugar, old_spice, sugar_metabolism, spice_metabolism) > 0


@small
def mrs(traders, row, sugar, spice):
    """Returns the MRS of a trader after adding `sugar` and `spice` (which can be negative), as a fraction."""
    sugar_metabolism, spice_metabolism = needs(traders, row)
    return rate_of_substitution(
        traders.sugar_count[row] + sugar, traders.spice_count[row] + spice, sugar_metabolism, spice_metabolism
    )


@small
def has_both(traders, row):
    """Returns whether a trader's sugar and spice are from 1 to `MAX_COUNT`; commands can create others."""
    sugar, spice = traders.sugar_count[row], traders.spice_count[row]
    return min(sugar, spice) >= 1 and max(sugar, spice) <= MAX_COUNT


@small
def exchange(place, traders, limbs, one, other):
    """Exchanges sugar for spice between two traders, if both gain and their MRS do not cross.

    Returns whether the exchange took place. `one` and `other` are rows.
    """
    one_above, one_below = mrs(traders, one, 0, 0)
    other_above, other_below = mrs(traders, other, 0, 0)
    if one_above * other_below == other_above * one_below:
        return False
    buyer, seller = one, other
    if one_above * other_below < other_above * one_below:
        buyer, seller = other, one
    above, below = one_above * other_above, one_below * other_below
    sugar, spice = whole_price(above, below)
    if not gains(traders, limbs, buyer, sugar, -spice) or not gains(traders, limbs, seller, -sugar, spice):
        return False
    buyer_above, buyer_below = mrs(traders, buyer, sugar, -spice)
    seller_above, seller_below = mrs(traders, seller, -sugar, spice)
    if buyer_above * seller_below < seller_above * buyer_below:
        return False
    traders.sugar_count[buyer] += sugar
    traders.sugar_count[seller] -= sugar
    traders.spice_count[buyer] -= spice
    traders.spice_count[seller] += spice
    price = log_price(above, below)
    enter(place, traders, one, price)
    enter(place, traders, other, price)
    return True


@kernel
def barter(place, traders, holder, waiting, called, limbs):
    """Lets each called pair exchange repeatedly while both traders gain; then marks the pair as no longer waiting."""
    for row in range(len(traders.id)):
        here = cell_of(place, traders, row)
        for side in range(2):
            if called[side, row]:
                waiting[side, row] = 0
                other = np.int64(holder[here + 1 if side == EAST else here + place.width])
                can_trade = has_both(traders, row) and has_both(traders, other)
                while can_trade:
                    can_trade = exchange(place, traders, limbs, row, other)

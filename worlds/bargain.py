"""The trade of Sugarscape in exact integers: which neighbours barter, and at what price.

The rules are those of Epstein and Axtell, "Growing Artificial Societies", 1996, chapter IV. A trader with `w1` sugar
and `w2` spice that burns `m1` and `m2` of them per tick has the welfare `w1^(m1/mT) * w2^(m2/mT)`, `mT = m1 + m2`. Its
marginal rate of substitution (MRS) is the value of one sugar in spice, `(w2/m2) / (w1/m1)`.

Two welfares of one trader compare as `w1^m1 * w2^m2`, integers of up to `LIMBS` limbs of 30 bits, which are computed in
full, so that the comparison is exact. An MRS is a fraction of two integers below 2^30, so products of two fit 64 bits,
and the price, the geometric mean of two MRS, is truncated to whole units exactly. Only its logarithm, which is stored
for people and affects nothing, is rounded: it is correct to 1/1024 of a doubling.
"""

import numpy as np

from umwelt.sandbox.dice import draw, pair, purpose
from umwelt.sandbox.kernel import kernel, small
from umwelt.sandbox.units import SUBCELL_BITS

MEET = purpose("market.meet")
NONE = -1
EAST, SOUTH = 0, 1
"""A pair is stored with its left or upper trader, under the direction of the other one."""
DIRECTIONS = 4

MAX_COUNT = 1 << 27
"""The most sugar, or spice, that a trader can hold."""
MAX_METABOLISM = 8
"""`MAX_COUNT * MAX_METABOLISM` is 2^30."""
LIMB_BITS = 30
LIMB_MASK = (1 << LIMB_BITS) - 1
LIMBS = 16
"""Enough for sixteen factors below 2^28."""
LOG_BITS = 13
"""Logarithms are computed in 1/8192 of a doubling, eight times as fine as prices are stored."""


@small
def between(value, low, high):
    """Returns a number limited to `low..high`: commands may place beings with any values."""
    return min(max(value, low), high)


@small
def square_root(value):
    """Returns the integer part of the square root of 0 to 2^62, computed bit by bit."""
    root = 0
    for bit in range(31):
        candidate = root | 1 << (30 - bit)
        if candidate * candidate <= value:
            root = candidate
    return root


@small
def logarithm(value):
    """Returns the binary logarithm of 1 to 2^62 in 1/8192: never too high, and less than two too low.

    Squaring a number doubles its logarithm, which yields the bits one by one (Knuth, "The Art of Computer Programming",
    volume 1, section 1.2.2).
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
    """Returns the binary logarithm of the square root of a fraction, in 1/1024 of a doubling, rounded."""
    return (logarithm(above) - logarithm(below) + 8) >> 4


# --- welfare


@small
def multiply(limbs, side, sugar, spice, sugar_power, spice_power):
    """Write `sugar^sugar_power * spice^spice_power` into `limbs[side]`, lowest first. Returns the number of limbs."""
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
    """Returns 1, 0 or -1 if `sugar, spice` give more, equal or less welfare than the others. All are at least 1."""
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
    """Returns a trader's MRS as a fraction, `(numerator, denominator)`."""
    return spice * sugar_metabolism, sugar * spice_metabolism


@small
def whole_price(above, below):
    """Returns the amounts `(sugar, spice)` exchanged at the price `sqrt(above / below)`, one of them 1.

    At a price of 1 or more, the price in spice for 1 sugar; below, 1 spice for its inverse in sugar (trade rule T).
    """
    if above >= below:
        return 1, square_root(above // below)
    return square_root(below // above), 1


# --- pairs


@small
def cell_of(place, traders, row):
    """Returns the window cell of a trader."""
    return np.int64(traders.y_fixed[row] >> SUBCELL_BITS) * place.width + (traders.x_fixed[row] >> SUBCELL_BITS)


@small
def precedes(traders, drawn, row, side, other, other_side):
    """Whether one pair precedes another: by the larger draw, then the smaller id, then the direction."""
    if drawn[side, row] != drawn[other_side, other]:
        return drawn[side, row] > drawn[other_side, other]
    if row != other:
        return traders.id[row] < traders.id[other]
    return side < other_side


@small
def must_wait(place, traders, holder, waiting, drawn, row, side, end):
    """Whether the trader in cell `end` has another waiting pair that precedes pair `row, side`."""
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
    """Mark each trader and its neighbours to the east and south as waiting pairs, and draw their order."""
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
    """Mark the pairs that no waiting pair precedes; no two of them share a trader. Returns how many."""
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
    """Store the price of an exchange with a trader."""
    if traders.traded_tick[row] != place.tick:
        traders.traded_tick[row] = place.tick
        traders.exchange_count[row], traders.price_total[row], traders.price_square_total[row] = 0, 0, 0
    traders.price[row] = price
    traders.exchange_count[row] += 1
    traders.price_total[row] += price
    traders.price_square_total[row] += price * price


@small
def needs(traders, row):
    """Returns how much sugar and spice a trader burns per tick."""
    return (
        between(np.int64(traders.sugar_metabolism[row]), 1, MAX_METABOLISM),
        between(np.int64(traders.spice_metabolism[row]), 1, MAX_METABOLISM),
    )


@small
def gains(traders, limbs, row, sugar, spice):
    """Whether `sugar` and `spice` more would increase a trader's welfare."""
    sugar_metabolism, spice_metabolism = needs(traders, row)
    old_sugar, old_spice = np.int64(traders.sugar_count[row]), np.int64(traders.spice_count[row])
    new_sugar, new_spice = old_sugar + sugar, old_spice + spice
    if min(new_sugar, new_spice) < 1 or max(new_sugar, new_spice) > MAX_COUNT:
        return False
    return compare(limbs, new_sugar, new_spice, old_sugar, old_spice, sugar_metabolism, spice_metabolism) > 0


@small
def mrs(traders, row, sugar, spice):
    """Returns the MRS of a trader with `sugar` and `spice` more than it has, as a fraction."""
    sugar_metabolism, spice_metabolism = needs(traders, row)
    return rate_of_substitution(
        traders.sugar_count[row] + sugar, traders.spice_count[row] + spice, sugar_metabolism, spice_metabolism
    )


@small
def has_both(traders, row):
    """Whether a trader has sugar and spice within the bounds: commands may place beings with any values."""
    sugar, spice = traders.sugar_count[row], traders.spice_count[row]
    return min(sugar, spice) >= 1 and max(sugar, spice) <= MAX_COUNT


@small
def exchange(place, traders, limbs, one, other):
    """Let two traders exchange once, if both gain by it and their MRS do not cross. Returns whether they did."""
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
    """Let each called pair trade for as long as both gain; then it no longer waits."""
    for row in range(len(traders.id)):
        here = cell_of(place, traders, row)
        for side in range(2):
            if called[side, row]:
                waiting[side, row] = 0
                other = np.int64(holder[here + 1 if side == EAST else here + place.width])
                can_trade = has_both(traders, row) and has_both(traders, other)
                while can_trade:
                    can_trade = exchange(place, traders, limbs, row, other)

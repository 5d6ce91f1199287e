"""What a bargain is worth: welfare and prices of Sugarscape's trade, exact and in integers.

The rules are those of Epstein and Axtell, "Growing Artificial Societies", 1996, chapter IV. A trader with `w1` sugar
and `w2` spice that burns `m1` and `m2` of them a tick has the welfare `w1^(m1/mT) * w2^(m2/mT)`, `mT = m1 + m2`. Its
marginal rate of substitution (MRS) is what a sugar is worth to it in spice, `(w2/m2) / (w1/m1)`.

Which of two welfares of one trader is greater follows from `w1^m1 * w2^m2`, whole numbers of up to `LIMBS` limbs of 30
bits: they are multiplied out, so equal is equal and greater is greater. An MRS is a fraction of two whole numbers below
2^30, so products of two fit 64 bits, and the price, the geometric mean of two MRS, is cut to whole units exactly. Only
its logarithm, which is kept for people and steers nothing, is rounded: it is right to 1/1024 of a doubling.
"""

from umwelt.sandbox.kernel import small

MOST_COUNT = 1 << 27
"""A pocket holds no more of sugar or of spice."""
MOST_METABOLISM = 8
"""Times `MOST_COUNT` it is 2^30."""
LIMB_BITS = 30
LIMB_MASK = (1 << LIMB_BITS) - 1
LIMBS = 16
"""Enough for sixteen factors below 2^28."""
LOG_BITS = 13
"""Logarithms are made in 1/8192 of a doubling; half of one is an eighth of that of a price."""


@small
def between(value, least, most):
    """A number held within bounds: people may put beings with any numbers into a world."""
    return min(max(value, least), most)


@small
def square_root(value):
    """The whole part of a square root, for 0 to 2^62: one bit after the other."""
    root = 0
    for bit in range(31):
        more = root | 1 << (30 - bit)
        if more * more <= value:
            root = more
    return root


@small
def logarithm(value):
    """The binary logarithm of 1 to 2^62 in 1/8192, never too high and less than two too low.

    Squaring doubles a logarithm, so its bits come out one after the other (Knuth, "The Art of Computer Programming",
    volume 1, section 1.2.2).
    """
    whole = 0
    for bit in range(6):
        if value >> whole >= 1 << (32 >> bit):
            whole += 32 >> bit
    found = whole
    part = value >> (whole - LIMB_BITS) if whole > LIMB_BITS else value << (LIMB_BITS - whole)
    for _ in range(LOG_BITS):
        part = part * part >> LIMB_BITS
        found <<= 1
        if part >> (LIMB_BITS + 1):
            found += 1
            part >>= 1
    return found


@small
def log_price(above, below):
    """The binary logarithm of the square root of a fraction, in 1/1024 of a doubling, to the nearest."""
    return (logarithm(above) - logarithm(below) + 8) >> 4


# --- welfare


@small
def multiplied(limbs, side, sugar, spice, sugar_power, spice_power):
    """Write `sugar^sugar_power * spice^spice_power` into `limbs[side]`, lowest first, and give how many there are."""
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
def compared(limbs, sugar, spice, other_sugar, other_spice, sugar_metabolism, spice_metabolism):
    """1, 0 or -1: whether the first two give more, as much or less welfare than the other two. All are at least 1."""
    if sugar >= other_sugar and spice >= other_spice:
        return 1 if sugar > other_sugar or spice > other_spice else 0
    if sugar <= other_sugar and spice <= other_spice:
        return -1
    count = multiplied(limbs, 0, sugar, spice, sugar_metabolism, spice_metabolism)
    other_count = multiplied(limbs, 1, other_sugar, other_spice, sugar_metabolism, spice_metabolism)
    if count != other_count:
        return 1 if count > other_count else -1
    for back in range(count):
        limb, other_limb = limbs[0, count - 1 - back], limbs[1, count - 1 - back]
        if limb != other_limb:
            return 1 if limb > other_limb else -1
    return 0


# --- price


@small
def worth(sugar, spice, sugar_metabolism, spice_metabolism):
    """A trader's MRS as a fraction: `(above, below)`."""
    return spice * sugar_metabolism, sugar * spice_metabolism


@small
def whole_price(above, below):
    """What changes hands at the price `sqrt(above / below)`, cut to whole units: `(sugar, spice)`, one of them 1.

    Above a price of 1, so many spice for 1 sugar; below it, so many sugar for 1 spice (trade rule T).
    """
    if above >= below:
        return 1, square_root(above // below)
    return square_root(below // above), 1

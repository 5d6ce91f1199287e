"""Counter-based random numbers ("dice"): a function of its arguments, without a generator that holds state.

`draw(seed, tick, key, purpose, index)` depends on its five arguments alone. The key is the id of a being or the index
of a cell in the world, `y * width + x`, the purpose a constant made by `purpose("folder.what")`, and the index
distinguishes several random numbers with the same key and purpose in a tick. Adding a call of `draw` to a law changes
no other random number.

The mixing function is the finaliser of SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number
generators", OOPSLA 2014), applied once for seed and tick, once for the key, once for purpose and index.
"""

import hashlib
import os

import numpy as np

from umwelt.sandbox.kernel import small

DRAW_BITS = 63
"""The number of random bits that `draw` returns."""
_KEPT_BITS = int(os.environ.get("UMWELT_DICE_BITS", "0")) or DRAW_BITS
"""The number of high bits of each random number that are kept; tests keep only a few, so that ties occur."""

_MASK = np.uint64(((1 << _KEPT_BITS) - 1) << (64 - _KEPT_BITS))
# an arbitrary start value, odd factors of tick, key, purpose and index, and constants of the SplitMix64 finaliser
_START = np.uint64(0x6A09E667F3BCC909)
_TICK = np.uint64(0x9E3779B97F4A7C15)
_KEY = np.uint64(0xD1B54A32D192ED03)
_PURPOSE = np.uint64(0xABC98388FB8FAC03)
_INDEX = np.uint64(0x8CB92BA72F3D8DD7)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)
_S30 = np.uint64(30)
_S27 = np.uint64(27)
_S31 = np.uint64(31)
_S1 = np.uint64(1)


def purpose(name: str) -> int:
    """Returns the constant that stands for a purpose in `draw`: a 31-bit hash of its name."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=4).digest(), "little") >> 1


@small
def mix(value):
    """Returns the SplitMix64 finaliser of `value`: a bijection of `uint64` that mixes all bits."""
    value = (value ^ (value >> _S30)) * _FIRST
    value = (value ^ (value >> _S27)) * _SECOND
    return value ^ (value >> _S31)


@small
def draw(seed, tick, key, purpose, index):
    """Returns a random `int64` from 0 to 2^63 - 1, determined by the arguments, which are non-negative integers."""
    value = mix(mix(np.uint64(seed) + np.uint64(tick) * _TICK + _START) + np.uint64(key) * _KEY)
    value = mix(value + np.uint64(purpose) * _PURPOSE + np.uint64(index) * _INDEX)
    return np.int64((value & _MASK) >> _S1)


@small
def pair(first, second):
    """Returns a key (for `draw`) for an ordered pair of keys: `pair(a, b)` differs from `pair(b, a)`."""
    return np.int64(mix(np.uint64(first) * _KEY + mix(np.uint64(second))) >> _S1)


@small
def bits(drawn, count):
    """Returns the top `count` bits of `drawn`, a result of `draw`: uniform over 0 .. 2^count - 1."""
    return drawn >> (63 - count)


@small
def below(drawn, limit):
    """Returns a number from 0 to `limit - 1`, computed from `drawn`, a result of `draw`; `limit` is at most 2^31."""
    return ((drawn >> 32) * limit) >> 31

"""The dice: their values are fixed, uniform, and independent in each argument."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from umwelt.sandbox.dice import below, bits, draw, pair, purpose

natural = st.integers(0, (1 << 62) - 1)

VECTORS = {
    (0, 0, 0, 0, 0): 1360640384573573126,
    (1, 2, 3, 4, 5): 6271141117835631902,
    (7, 268435456, 1152921504606846976, 123456, 9): 3165117635754090450,
}


def test_draws_have_their_fixed_values():
    assert {key: draw(*key) for key in VECTORS} == VECTORS


@given(natural, st.integers(0, 1 << 29), natural, st.integers(0, 1 << 31), st.integers(0, 1 << 31))
def test_draws_are_63_bits_and_do_not_depend_on_an_order(seed, tick, key, what, index):
    first = draw(seed, tick, key, what, index)
    assert 0 <= first < 1 << 63
    draw(seed, tick, key, what, index + 1)
    assert draw(seed, tick, key, what, index) == first


def test_every_argument_matters_and_neighbouring_draws_are_even_and_uncorrelated():
    base = np.array([[draw(1, t, k, 5, 0) for k in range(200)] for t in range(50)], np.float64) / 2.0**63
    other_index = np.array([[draw(1, t, k, 5, 1) for k in range(200)] for t in range(50)], np.float64) / 2.0**63
    other_purpose = np.array([[draw(1, t, k, 6, 0) for k in range(200)] for t in range(50)], np.float64) / 2.0**63
    other_seed = np.array([[draw(2, t, k, 5, 0) for k in range(200)] for t in range(50)], np.float64) / 2.0**63
    n = base.size
    assert abs(base.mean() - 0.5) < 4 * np.sqrt(1 / 12 / n)
    assert abs(base.var() - 1 / 12) < 4 * np.sqrt(1 / 180 / n)
    for other in (other_index, other_purpose, other_seed, np.roll(base, 1, 0), np.roll(base, 1, 1)):
        assert abs(np.corrcoef(base.ravel(), other.ravel())[0, 1]) < 4 / np.sqrt(n)
    octiles = np.bincount((base.ravel() * 8).astype(int), minlength=8)
    assert ((octiles - n / 8) ** 2 / (n / 8)).sum() < 30  # chi squared with 7 degrees of freedom, p < 0.0001


@given(natural, natural)
def test_pairs_are_ordered(a, b):
    assert (pair(a, b) == pair(b, a)) == (a == b)


@given(natural, st.integers(1, 1 << 31))
def test_below_stays_below(drawn, limit):
    assert 0 <= below(drawn, limit) < limit


def test_bits_are_the_topmost():
    assert bits((1 << 63) - 1, 4) == 15 and bits(1 << 62, 1) == 1 and bits((1 << 62) - 1, 1) == 0


def test_purposes_differ_by_name():
    assert purpose("a.b") != purpose("a.c") and 0 <= purpose("a.b") < 1 << 31

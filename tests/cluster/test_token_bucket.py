"""The token bucket: it limits rate and burst, may go into debt, and ignores a clock that runs backwards."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from umwelt.cluster.token_bucket import TokenBucket


def test_it_starts_full_and_refills_with_time():
    bucket = TokenBucket(rate_per_s=10, capacity=5)
    assert [bucket.try_take(1.0) for _ in range(7)] == [True] * 5 + [False] * 2
    assert [bucket.try_take(1.25) for _ in range(4)] == [True, True, False, False]


def test_a_refused_take_costs_nothing():
    bucket = TokenBucket(rate_per_s=1, capacity=10)
    assert not bucket.try_take(0.0, 11) and bucket.try_take(0.0, 10)


def test_it_never_holds_more_than_its_capacity():
    bucket = TokenBucket(rate_per_s=1, capacity=3)
    bucket.refill(0.0)
    assert bucket.refill(1e6) == 3
    bucket.capacity = 2
    assert bucket.refill(1e6) == 2


def test_time_before_the_first_call_is_not_counted():
    bucket = TokenBucket(rate_per_s=1, capacity=100)
    bucket.spend(100)
    assert bucket.refill(5000.0) == 0 and bucket.refill(5001.0) == 1


def test_time_that_runs_backwards_adds_nothing_now_or_later():
    bucket = TokenBucket(rate_per_s=1, capacity=100)
    assert bucket.try_take(50.0, 100)
    assert bucket.refill(10.0) == 0 and bucket.refill(50.0) == 0 and bucket.refill(51.0) == 1


def test_a_debt_is_paid_back_before_anything_can_be_taken_and_has_a_bound():
    bucket = TokenBucket(rate_per_s=2, capacity=4)
    bucket.refill(0.0)
    bucket.spend(10)
    assert bucket.tokens == -6 and not bucket.try_take(3.0) and bucket.try_take(3.5)
    bounded = TokenBucket(rate_per_s=2, capacity=4, max_debt=1)
    bounded.spend(1e9)
    assert bounded.tokens == -1


def test_a_new_rate_holds_from_the_next_refill():
    bucket = TokenBucket(rate_per_s=1, capacity=100)
    bucket.refill(0.0)
    bucket.spend(100)
    bucket.rate_per_s = 10
    assert bucket.refill(1.0) == 10


@given(st.lists(st.tuples(st.floats(0, 2), st.floats(0, 20)), max_size=60))
def test_in_any_time_at_most_the_capacity_and_the_refill_are_taken(steps):
    bucket, now_s, taken = TokenBucket(rate_per_s=3, capacity=10), 0.0, 0.0
    for passed_s, tokens in steps:
        now_s += passed_s
        if bucket.try_take(now_s, tokens):
            taken += tokens
        assert 0 <= bucket.tokens <= 10
    assert taken <= 10 + 3 * now_s + 1e-6


@given(st.lists(st.floats(0, 1), min_size=1, max_size=50))
def test_how_often_it_is_refilled_does_not_matter(gaps):
    often, seldom = (TokenBucket(rate_per_s=1, capacity=1000) for _ in range(2))
    for bucket in (often, seldom):
        bucket.refill(0.0)
        bucket.spend(1000)
    now_s = 0.0
    for gap in gaps:
        now_s += gap
        often.refill(now_s)
    assert often.tokens == pytest.approx(seldom.refill(now_s))

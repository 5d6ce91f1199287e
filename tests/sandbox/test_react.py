"""The law `react`: extents have the mean and variance of stochastic rounding, and counts stay within bounds.

The extent of a reaction is how many times it happens in a cell or body in one tick.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from umwelt.sandbox.chemistry import Chemistry, Reaction
from umwelt.sandbox.columns import Column, Schema
from umwelt.sandbox.kernel import call
from umwelt.sandbox.laws.react import (
    MAX_COUNT,
    MAX_HELD,
    allows,
    powered,
    react_in_cells,
    react_table,
    times,
    with_room,
)
from umwelt.sandbox.region import Place, Rectangle, Region, Torus

SIDE = 64
CELLS = SIDE * SIDE
SUBSTANCES = {"a": "A", "b": "A", "c": "AB", "d": "B", "e": "A2"}
NAMES = tuple(SUBSTANCES)


def place_at(tick: int = 0, seed: int = 11) -> Place:
    line = np.arange(SIDE, dtype=np.int32)
    return Place(seed, tick, SIDE, SIDE, 0, SIDE, SIDE, SIDE, line, line)


def react(counts: np.ndarray, *reactions: Reaction, catalyst: int = 1024, bands: int = 1, seed: int = 11) -> np.ndarray:
    """Returns counts after one tick, `int64[substance, y, x]`, computed in `bands` bands of rows."""
    table = Chemistry(SUBSTANCES, reactions).compile("cell", ["heat"])
    substance = counts.astype(np.int32)
    environment = np.full((1, SIDE, SIDE), catalyst, np.int16)
    for band in range(bands):
        low, high = SIDE * band // bands, SIDE * (band + 1) // bands
        call(react_in_cells, low, high, place_at(seed=seed), table, substance, environment)
    return substance.astype(np.int64)


def equal_cells(**counts: int) -> np.ndarray:
    substance = np.zeros((len(NAMES), SIDE, SIDE), np.int64)
    for name, count in counts.items():
        substance[NAMES.index(name)] = count
    return substance


def check_rounding(extents: np.ndarray, expected: float) -> None:
    """Asserts that `expected` is rounded up with the probability of its fraction f: the variance is f (1 - f)."""
    fraction = expected % 1
    variance = fraction * (1 - fraction)
    assert set(np.unique(extents)) <= {int(expected), int(expected) + 1}
    assert abs(extents.mean() - expected) < 5 * np.sqrt(variance / CELLS) + 1e-6
    # the variance of a Bernoulli sample has the standard error |1 - 2 f| sqrt(f (1 - f) / n), plus a term of 1 / n
    error = abs(1 - 2 * fraction) * np.sqrt(variance / CELLS) + 5 / CELLS
    assert abs(extents.var() - variance) < 5 * error


@settings(max_examples=50)
@given(rate_q24=st.integers(1, 1 << 23), count=st.integers(1, 100_000), seed=st.integers(0, 999))
def test_a_first_order_extent_is_rate_times_count(rate_q24, count, seed):
    rate = rate_q24 / (1 << 24)
    after = react(equal_cells(a=count), Reaction("decay", "a -> b", rate), seed=seed)
    check_rounding(after[NAMES.index("b")], rate * count)


@settings(max_examples=50)
@given(a=st.integers(1, 3000), d=st.integers(1, 3000), rate=st.floats(1e-4, 0.05), heat=st.integers(1, 4096))
def test_a_second_order_extent_is_rate_times_both_counts_and_the_catalyst(a, d, rate, heat):
    reaction = Reaction("join", "a + d -> c", rate, catalysts=("heat",))
    after = react(equal_cells(a=a, d=d), reaction, catalyst=heat)
    # amounts are truncated to 1/1024 after each factor, catalyst first
    amount_q10 = ((((1 << 20) * heat >> 10) * a) >> 10) * d >> 10
    expected = round(rate * (1 << 24)) * amount_q10 / (1 << 34)
    assert amount_q10 == pytest.approx(1024 * (heat / 1024) * a * d / 1024, abs=d + 2)
    if expected + 1 < min(a, d):
        check_rounding(after[NAMES.index("c")], expected)


REACTIONS = (
    Reaction("join", "a + d -> c", 2.5),
    Reaction("part", "c -> b + d", 0.7),
    Reaction("pair", "2 b -> e", 1.3),
    Reaction("split", "e -> 2 a", 0.9, order=0, catalysts=("heat",)),
)


@settings(max_examples=50)
@given(seed=st.integers(0, 9999), largest=st.sampled_from([1, 5, 1000, 1_000_000, MAX_HELD]))
def test_counts_stay_within_bounds_and_elements_are_conserved(seed, largest):
    counts = np.random.default_rng(seed).integers(0, largest + 1, (len(NAMES), SIDE, SIDE))
    after = react(counts, *REACTIONS, seed=seed)
    assert after.min() >= 0 and after.max() <= MAX_HELD
    composition = Chemistry(SUBSTANCES, REACTIONS).composition()
    assert np.array_equal(np.tensordot(composition, after, 1), np.tensordot(composition, counts, 1))


@settings(max_examples=20)
@given(seed=st.integers(0, 9999), bands=st.integers(2, 64))
def test_bands_of_rows_make_no_difference(seed, bands):
    counts = np.random.default_rng(seed).integers(0, 500, (len(NAMES), SIDE, SIDE))
    assert np.array_equal(react(counts, *REACTIONS, bands=bands), react(counts, *REACTIONS))


def test_dice_of_cells_are_independent_of_each_other():
    after = react(equal_cells(a=100), Reaction("decay", "a -> b", 0.005))[NAMES.index("b")]
    for axis in (0, 1):
        neighbours = np.corrcoef(after.ravel(), np.roll(after, 1, axis).ravel())[0, 1]
        assert abs(neighbours) < 5 / np.sqrt(CELLS)


@given(
    extent=st.integers(0, MAX_HELD),
    product=st.integers(-1, 3),
    made=st.integers(1, 1000),
    held=st.integers(0, MAX_HELD),
)
def test_a_product_never_exceeds_what_a_counter_holds(extent, product, made, held):
    limited = with_room(extent, product, made, held)
    if product < 0:
        assert limited == extent
    else:
        assert 0 <= limited <= extent and held + limited * made <= MAX_HELD
        assert limited == extent or held + (limited + 1) * made > MAX_HELD


@given(amount=st.integers(0, 1 << 30), count=st.integers(0, MAX_HELD), order=st.integers(0, 3))
def test_powers_are_repeated_products_and_bounded(amount, count, order):
    expected = amount
    for _ in range(order):
        expected = min(expected * min(count, MAX_COUNT) >> 10, 1 << 30)
    assert powered(amount, count, order) == expected
    assert times(amount, count) == powered(amount, count, 1)


@given(have=st.integers(0, MAX_HELD), taken=st.integers(1, 1000))
def test_a_reactant_allows_as_many_as_it_suffices_for(have, taken):
    assert taken * allows(have, taken) <= have < taken * (allows(have, taken) + 1)


def bodies_with(counts: dict[str, int], catalyst: int, rows: int) -> Region:
    schema = Schema(
        "bodies", 1, (Column("counts", "int32", parts=NAMES), Column("catalysts", "int16", parts=("heat",)))
    )
    region = Region(Torus(SIDE, SIDE), Rectangle(0, 0, SIDE, SIDE), 0, (), [schema], seed=3)
    positions = np.random.default_rng(1).integers(0, SIDE * 1024, (2, rows))
    table = region.tables["bodies"]
    table.append(rows, {"id": np.arange(rows) + 5, "y_fixed": positions[0], "x_fixed": positions[1], **counts})
    table["catalysts"][:] = catalyst
    return region


def test_bodies_react_as_cells_do_each_by_its_own_id():
    chemistry = Chemistry(SUBSTANCES, (Reaction("decay", "a -> b", 0.0123, "bodies", ("heat",)),))
    reactions = chemistry.compile("bodies", ["heat"])
    region = bodies_with({"a": 700}, 512, CELLS)
    react_table(region, "bodies", reactions)
    table = region.tables["bodies"]
    check_rounding(table["b"].astype(np.int64), round(0.0123 * (1 << 24)) / (1 << 24) * 0.5 * 700)
    assert (table["a"] + table["b"] == 700).all()
    other = bodies_with({"a": 700}, 512, CELLS)
    other.tables["bodies"].reorder(np.random.default_rng(2).permutation(CELLS))
    react_table(other, "bodies", reactions)
    assert dict(zip(table["id"].tolist(), table["b"].tolist(), strict=True)) == dict(
        zip(other.tables["bodies"]["id"].tolist(), other.tables["bodies"]["b"].tolist(), strict=True)
    )

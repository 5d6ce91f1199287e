"""The world `market` (Sugarscape): its rules; the result does not depend on sharding or row order; its reach."""

import math
import os
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sharded_regions import (
    assert_resharding_changes_nothing,
    assert_several_images_change_nothing,
    assert_thin_shards_agree,
    assert_unique_ids,
    cut_rectangles,
    halves,
    ninths,
    open_shards,
    quarters,
    run_together,
    torus_of,
    whole,
    whole_digest,
)

from umwelt.agents.measures import without_nan
from umwelt.agents.open_world import begin, generate_world, open_region
from umwelt.agents.world_file import read_world
from umwelt.sandbox.dice import draw, pair
from umwelt.sandbox.errors import WorldFileError
from umwelt.sandbox.step import advance, step
from umwelt.worlds import market
from umwelt.worlds.bargain import LIMBS, MAX_COUNT, MAX_METABOLISM, MEET, compare, logarithm, square_root

TICKS = 16


def world(height=48, width=64, count=700, **more):
    """Returns a small world with many traders."""
    return read_world("market", {"height": height, "width": width, "traders.count": count, "land.repeat": 1, **more})


def sixths(torus):
    """Returns six rectangles in two bands, whose vertical cut lines do not continue each other."""
    h, w = torus
    return cut_rectangles(torus, [3, h // 2], [[0, w // 3, 2 * w // 3], [5, w // 4, w // 2]])


def cells(regions):
    """Returns the global cell numbers of all traders."""
    return np.concatenate([r.global_cells("traders", np.flatnonzero(r.owned_rows("traders"))) for r in regions])


def pockets(region):
    """Returns (sugar, spice) of the owned traders by id."""
    table, rows = region.tables["traders"], region.owned_rows("traders")
    columns = [table[name][rows].tolist() for name in ("id", "sugar_count", "spice_count")]
    return {being: (sugar, spice) for being, sugar, spice in zip(*columns, strict=True)}


def places(region):
    """Returns the global cell numbers of the owned traders by id."""
    rows = np.flatnonzero(region.owned_rows("traders"))
    ids = region.tables["traders"]["id"][rows].tolist()
    return dict(zip(ids, region.global_cells("traders", rows).tolist(), strict=True))


def placed(traders, described=None, **fields):
    """Returns a region with only these traders (dicts of `y`, `x` and columns), and with uniform fields."""
    described = described or world(32, 32)
    source = generate_world(described)
    table = source.tables["traders"]
    table.keep(np.zeros(table.count, bool))
    for number, trader in enumerate(traders):
        told = {"sugar_metabolism": 1, "spice_metabolism": 1, "vision_cells": 1, "sugar_count": 30, "spice_count": 30}
        told |= {"id": number + 1, **trader}
        y, x = told.pop("y"), told.pop("x")
        table.append(1, {"y_fixed": y * 1024 + 512, "x_fixed": x * 1024 + 512, **told})
    for name in ("sugar", "spice", "sugar_capacity", "spice_capacity"):
        source[name][:] = 0
    for name, value in fields.items():
        source[name][:] = value
    return open_region(described, [source.cut(source.owned)], source.constants, 0)


def traded(region):
    """Runs only barter on a region; returns the region."""
    region.wrap()
    market.trade(region)
    return region


def travelled(region):
    """Runs only the growth of land and the movement of traders on a region; returns the region."""
    region.wrap()
    market.grow_back(region)
    market.travel(region)
    return region


# --- a pure function of the neighbourhood


@pytest.mark.parametrize("k", [1, 2])
@pytest.mark.parametrize("cut", [halves, quarters, sixths, ninths])
def test_the_digest_does_not_depend_on_the_cut_or_on_the_order_of_rows(cut, k):
    described = world()
    alone, exchanges = whole(described), 0
    parts = open_shards(begin(described), described, cut(torus_of(described)), k)
    for seed in range(TICKS // 4):
        run_together(alone, described, 4, 1)
        run_together(parts, described, 4, k, shuffle_seed=seed)
        assert whole_digest(parts) == whole_digest(alone)
        assert_unique_ids(parts)
        assert len(np.unique(cells(parts))) == len(cells(parts)) > 100
        exchanges += market.prices(described, alone[0])["exchanges"]
    assert exchanges > 100


def test_the_digest_survives_a_new_cut():
    described = world()
    assert_resharding_changes_nothing(described, sixths(torus_of(described)))


def test_a_small_world_that_sees_itself_several_times():
    assert_several_images_change_nothing(world(32, 32, 300), 60)


@pytest.mark.parametrize("upright", [False, True])
def test_thin_rectangles_in_a_crowd_agree_tick_by_tick(upright):
    described = world(32, 32, 600, **{"traders.vision": [4, 5]})
    assert_thin_shards_agree(described, upright, 8)


def test_several_traders_in_one_cell_separate_and_have_the_same_result_for_any_cut():
    """Commands may put several traders into one cell, with any values."""
    described = world(48, 64, 100)
    source = generate_world(described)
    table = source.tables["traders"]
    more = table.rows(np.repeat(np.arange(50), 3))
    more["id"] = more["id"] + (1 << 40) * (1 + np.arange(150) % 3)
    more["sugar_count"][:20], more["spice_count"][20:40] = (1 << 31) - 1, -5
    more["sugar_metabolism"][:40], more["vision_cells"][:60] = np.arange(40) * 700 - 14_000, np.arange(60) - 30
    table.append(150, more)
    alone = [open_region(described, [source.cut(source.owned)], source.constants, 0)]
    parts = open_shards(source, described, sixths(torus_of(described)), 1)
    for seed in range(12):
        run_together(alone, described, 1, 1)
        run_together(parts, described, 1, 1, shuffle_seed=seed)
        assert whole_digest(parts) == whole_digest(alone)
    assert len(np.unique(cells(parts))) == len(cells(parts))


SCRIPT = """
    import sys
    sys.path.insert(0, sys.argv[1])
    from sharded_regions import *
    from umwelt.agents.world_file import read_world
    described = read_world("market", {"height": 32, "width": 32, "traders.count": 80, "land.repeat": 1})
    for cut in (lambda torus: cut_rectangles(torus, [0], [[0]]), quarters):
        regions = open_shards(begin(described), described, cut(torus_of(described)), 1)
        run_together(regions, described, 3, 1, shuffle_seed=2)
        print(whole_digest(regions))
"""


def script_digests(**environment):
    """Runs `SCRIPT` in another process; returns the digests that it prints."""
    command = [sys.executable, "-c", textwrap.dedent(SCRIPT), str(Path(__file__).parent.parent)]
    surroundings = {**os.environ, **environment}
    done = subprocess.run(command, env=surroundings, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.split()


def test_plain_python_agrees_and_ties_are_settled_without_rows():
    surroundings = {}, {"NUMBA_DISABLE_JIT": "1"}, {"NUMBA_DISABLE_JIT": "1", "UMWELT_DICE_BITS": "2"}
    with ThreadPoolExecutor() as side_by_side:
        compiled, plain, tied = side_by_side.map(lambda one: script_digests(**one), surroundings)
    assert plain == compiled
    assert len(set(plain)) == len(set(tied)) == 1 and plain != tied


# --- reach


def lived_in(seed):
    """Returns a crowded market and its region after some ticks, with a current halo."""
    described = world(32, 32, 400, seed=seed, **{"traders.vision": [3, 5]})
    region = begin(described)
    advance(region, described.laws, 6)
    region.wrap()
    return described, region


def disturbed(described, region, y, x, reach, seed):
    """Returns a copy of a region in which everything further than `reach` from a window cell is changed at random."""
    random = np.random.default_rng(seed)
    loud = open_region(described, [region.cut(region.owned)], region.constants, region.tick)
    loud.wrap()
    height, width = loud.window.height, loud.window.width
    far = np.maximum(np.abs(np.arange(height) - y)[:, None], np.abs(np.arange(width) - x)[None, :]) > reach
    for name in ("price", "sugar", "spice"):
        loud[name][far] = random.integers(0, 5, far.sum())
    table = loud.tables["traders"]
    table.keep(~far[table["y_fixed"] >> 10, table["x_fixed"] >> 10] | (random.random(table.count) < 0.5))
    rows = np.flatnonzero(far[table["y_fixed"] >> 10, table["x_fixed"] >> 10])
    table["id"][rows] += 1 << 40
    for name, most in (("sugar_count", 90), ("spice_count", 90), ("vision_cells", 6), ("sugar_metabolism", 6)):
        table[name][rows] = random.integers(1, most, len(rows))
    return loud


def seen_at(region, y, x):
    """Returns all values and traders of a window cell."""
    table = region.tables["traders"]
    rows = np.flatnonzero((table["y_fixed"] >> 10 == y) & (table["x_fixed"] >> 10 == x))
    beings = sorted([table[column.name][row].tolist() for column in table.schema.columns] for row in rows)
    return [array[..., y, x].tolist() for array in region.fields.values()], beings


def beside_someone(region, pick):
    """Returns a cell (y, x) of the window with an owned trader in it or beside it."""
    table, rows = region.tables["traders"], np.flatnonzero(region.owned_rows("traders"))
    row = rows[pick % len(rows)]
    return int(table["y_fixed"][row] >> 10) + pick % 3 - 1, int(table["x_fixed"][row] >> 10)


@settings(max_examples=60)
@given(seed=st.integers(1, 4), pick=st.integers(0, 1000), noise=st.integers(0, 1000))
def test_a_change_beyond_the_reach_of_a_tick_has_no_effect(seed, pick, noise):
    described, quiet = lived_in(seed)
    y, x = beside_someone(quiet, pick)
    loud = disturbed(described, quiet, y, x, market.REACH, noise)
    for region in (quiet, loud):
        step(region, described.laws)
    assert seen_at(loud, y, x) == seen_at(quiet, y, x)


@pytest.mark.parametrize("reach", [2, 5])
def test_the_same_change_within_the_reach_has_an_effect(reach):
    felt = 0
    for pick in range(30):
        described, quiet = lived_in(1)
        y, x = beside_someone(quiet, pick)
        loud = disturbed(described, quiet, y, x, reach, pick)
        for region in (quiet, loud):
            step(region, described.laws)
        felt += seen_at(loud, y, x) != seen_at(quiet, y, x)
    assert felt > 2


def test_a_change_exactly_at_the_reach_has_an_effect():
    """A place at 5 cells has a rival at 10 cells, which may leave for a better place at 15: the reach must be 15."""
    sharp = {"vision_cells": 5, "sugar_count": 9, "spice_count": 9}

    def ends(lies, seed):
        region = placed([{"y": 8, "x": 2, **sharp}, {"y": 8, "x": 12, **sharp}])
        region.seed = seed
        region.owned_view("sugar")[8, 7], region.owned_view("sugar")[8, 2 + market.REACH] = 20, lies
        return tuple(cell == 8 * 32 + 7 for cell in places(travelled(region)).values())

    assert market.REACH == 15
    assert {ends(0, seed) for seed in range(12)} == {(True, False), (False, True)}
    assert {ends(50, seed) for seed in range(12)} == {(True, False)}


# --- barter


def lines_of(region):
    """Yields pairs of adjacent traders: id of the left or upper one, id of the other, direction (0: x, 1: y)."""
    at = {cell: being for being, cell in places(region).items()}
    width, cells_count = region.torus.width, region.torus.cells
    for cell, being in at.items():
        for side, there in ((0, cell // width * width + (cell + 1) % width), (1, (cell + width) % cells_count)):
            if there in at:
                yield being, at[there], side


def bartered(one, other, needs_one, needs_other):
    """Trades by the rule of the book with exact numbers.

    `one` and `other` are (sugar, spice) of two traders, `needs_*` their metabolisms. Returns both after the trade, and
    the squares of the prices paid, as fractions.
    """
    paid = []

    def welfare(pocket, needs):
        return pocket[0] ** needs[0] * pocket[1] ** needs[1]

    while True:
        worth = [Fraction(p[1] * n[0], p[0] * n[1]) for p, n in ((one, needs_one), (other, needs_other))]
        if worth[0] == worth[1]:
            return one, other, paid
        square = worth[0] * worth[1]
        sugar, spice = (1, isqrt(square)) if square >= 1 else (isqrt(1 / square), 1)
        way = 1 if worth[0] > worth[1] else -1
        new_one = (one[0] + way * sugar, one[1] - way * spice)
        new_other = (other[0] - way * sugar, other[1] + way * spice)
        if min(new_one + new_other) < 1 or max(new_one + new_other) > MAX_COUNT:
            return one, other, paid
        if welfare(new_one, needs_one) <= welfare(one, needs_one):
            return one, other, paid
        if welfare(new_other, needs_other) <= welfare(other, needs_other):
            return one, other, paid
        worth = [Fraction(p[1] * n[0], p[0] * n[1]) for p, n in ((new_one, needs_one), (new_other, needs_other))]
        if way * (worth[0] - worth[1]) < 0:
            return one, other, paid
        one, other = new_one, new_other
        paid.append(square)


def isqrt(fraction):
    """Returns the integer part of the square root of a fraction."""
    return math.isqrt(math.floor(fraction))


counts, metabolisms = st.integers(1, 2000), st.integers(1, MAX_METABOLISM)
bodies = st.fixed_dictionaries(
    {"sugar_count": counts, "spice_count": counts, "sugar_metabolism": metabolisms, "spice_metabolism": metabolisms}
)


def check_barter(one, other, upright):
    """Lets two neighbours trade and asserts that all numbers follow the rule; returns the number of exchanges."""
    region = traded(placed([{"y": 9, "x": 9, **one}, {"y": 9 + upright, "x": 10 - upright, **other}]))
    found = pockets(region)
    needs = [(body["sugar_metabolism"], body["spice_metabolism"]) for body in (one, other)]
    before = [(body["sugar_count"], body["spice_count"]) for body in (one, other)]
    *after, paid = bartered(*before, *needs)
    assert list(found.values()) == after
    assert [sum(p[i] for p in after) for i in (0, 1)] == [sum(p[i] for p in before) for i in (0, 1)]
    for old, new, (sugar, spice) in zip(before, found.values(), needs, strict=True):
        assert new[0] ** sugar * new[1] ** spice >= old[0] ** sugar * old[1] ** spice
    table = region.tables["traders"]
    rows = region.owned_rows("traders")
    assert table["exchange_count"][rows].tolist() == [len(paid)] * 2
    if paid:
        told = [math.log2(square.numerator) / 2 - math.log2(square.denominator) / 2 for square in paid]
        assert table["price"][rows] / 1024 == pytest.approx([told[-1]] * 2, abs=1 / 1024)
        assert table["price_total"][rows] / 1024 == pytest.approx([sum(told)] * 2, abs=len(paid) / 1024)
        assert (table["traded_tick"][rows] == region.tick).all()
    return len(paid)


@settings(max_examples=200)
@given(one=bodies, other=bodies, upright=st.booleans())
def test_barter_follows_the_rule_and_nobody_is_worse_off(one, other, upright):
    check_barter(one, other, upright)


@settings(max_examples=40)
@given(
    pockets=st.tuples(*[st.integers(MAX_COUNT - 500, MAX_COUNT)] * 4),
    needs=st.tuples(metabolisms, metabolisms),
)
def test_barter_is_exact_in_the_fullest_pockets(pockets, needs):
    """Nothing overflows, and no count exceeds its maximum."""
    common = dict(zip(("sugar_metabolism", "spice_metabolism"), needs, strict=True))
    one = {"sugar_count": pockets[0], "spice_count": pockets[1], **common}
    other = {"sugar_count": pockets[2], "spice_count": pockets[3], **common}
    check_barter(one, other, False)


def test_a_sugar_is_sold_for_the_spice_that_the_book_says():
    """Marginal rates of substitution are 8 and 1/2: the price is 2, and the first exchange leaves 40/6 and 7/9."""
    one = {"sugar_count": 5, "spice_count": 40, "sugar_metabolism": 1, "spice_metabolism": 1}
    other = {"sugar_count": 10, "spice_count": 5, "sugar_metabolism": 1, "spice_metabolism": 1}
    assert check_barter(one, other, True) > 1
    assert bartered((5, 40), (10, 5), (1, 1), (1, 1))[2][0] == 4


@pytest.mark.parametrize("count", [100, 300, 700])
def test_pairs_meet_as_if_one_by_one_in_the_order_of_dice_and_nothing_is_lost(count, monkeypatch):
    monkeypatch.setattr(market, "ROUNDS", 50)  # enough rounds for all pairs, with a window wide enough for them
    described = world(32, 32, count)
    region = begin(described, 4)
    table = region.tables["traders"]
    rows = np.flatnonzero(region.owned_rows("traders"))
    needs = {
        being: (sugar, spice)
        for being, sugar, spice in zip(
            *(table[name][rows].tolist() for name in ("id", "sugar_metabolism", "spice_metabolism")), strict=True
        )
    }
    expected = pockets(region)
    order = []
    for left, right, side in lines_of(region):
        order.append((-draw(region.seed, region.tick, pair(left, right), MEET, side), left, side, right))
    for _, left, _, right in sorted(order):
        expected[left], expected[right], _ = bartered(expected[left], expected[right], needs[left], needs[right])
    before = pockets(region)
    alike = pockets(traded(region))
    assert alike == expected != before
    assert [sum(p[i] for p in alike.values()) for i in (0, 1)] == [sum(p[i] for p in before.values()) for i in (0, 1)]


numbers = st.integers(1, MAX_COUNT)


@settings(max_examples=300)
@given(a=numbers, b=numbers, c=numbers, d=numbers, m=metabolisms, n=metabolisms)
def test_welfares_are_compared_exactly(a, b, c, d, m, n):
    limbs = np.zeros((2, LIMBS + 1), np.int64)
    for other in ((c, d), (a, b), (b, a), (a + 1, max(1, b - 1)), (max(1, a - m), min(MAX_COUNT, b + n))):
        first, second = a**m * b**n, other[0] ** m * other[1] ** n
        assert compare(limbs, a, b, *other, m, n) == (first > second) - (first < second)


def test_unlike_pockets_of_the_same_welfare_are_equal():
    assert compare(np.zeros((2, LIMBS + 1), np.int64), 4, 9, 6, 4, 2, 1) == 0  # 4^2 * 9 = 6^2 * 4


@settings(max_examples=300)
@given(value=st.integers(0, (1 << 62) - 1) | st.integers(0, 1 << 20))
def test_roots_are_exact_and_logarithms_nearly(value):
    assert square_root(value) == math.isqrt(value)
    if value:
        assert -2 < logarithm(value) - 8192 * math.log2(value) < 0.01


# --- places


def best_of(region, trader):
    """Returns the cells that a single trader may go to by the book: of greatest welfare, and nearest among these."""
    needs = trader["sugar_metabolism"], trader["spice_metabolism"]
    options = []
    for distance in range(trader["vision_cells"] + 1):
        for dy, dx in ((0, 1), (1, 0), (0, -1), (-1, 0)):
            y, x = (trader["y"] + dy * distance) % 32, (trader["x"] + dx * distance) % 32
            lies = int(region.owned_view("sugar")[y, x]), int(region.owned_view("spice")[y, x])
            have = trader["sugar_count"] + lies[0], trader["spice_count"] + lies[1]
            options.append((-(have[0] ** needs[0] * have[1] ** needs[1]), distance, y * 32 + x))
    return {cell for welfare, distance, cell in options if (welfare, distance) == min(options)[:2]}


@settings(max_examples=150)
@given(
    body=bodies,
    y=st.integers(0, 31),
    x=st.integers(0, 31),
    vision=st.integers(1, 5),
    most=st.integers(1, 5),
    seed=st.integers(0, 99),
)
def test_a_trader_goes_to_the_best_place_in_sight_and_to_the_nearest_of_equals(body, y, x, vision, most, seed):
    trader = {"y": y, "x": x, "vision_cells": vision, **body}
    land = np.random.default_rng(seed).integers(0, most, (2, 32, 32))
    region = placed([trader], sugar=land[0], spice=land[1])
    allowed = best_of(region, trader)
    table, here = travelled(region).tables["traders"], places(region)
    needs = body["sugar_metabolism"], body["spice_metabolism"]
    if not here:  # it moved, gathered and died
        return
    (cell,) = here.values()
    assert cell in allowed
    row = np.flatnonzero(region.owned_rows("traders"))[0]
    for what, name, need in ((0, "sugar", needs[0]), (1, "spice", needs[1])):
        assert table[f"{name}_count"][row] == body[f"{name}_count"] + land[what].flat[cell] - need
        assert region.owned_view(name).flat[cell] == 0
        assert region.owned_view(name).sum() == land[what].sum() - land[what].flat[cell]


def test_a_trader_that_is_refused_at_the_best_place_gets_the_next_best():
    ways = set()
    for seed in range(8):
        region = placed([{"y": 8, "x": 5, "vision_cells": 3}, {"y": 8, "x": 9, "vision_cells": 3}])
        region.seed = seed
        region.owned_view("sugar")[8, 7], region.owned_view("sugar")[6, [5, 9]] = 30, 20
        ways.add(tuple(divmod(cell, 32) for cell in places(travelled(region)).values()))
    assert ways == {((8, 7), (6, 9)), ((6, 5), (8, 7))}


@pytest.mark.parametrize("name", ["sugar", "spice"])
def test_a_trader_without_sugar_or_without_spice_dies(name):
    region = placed([{"y": 8, "x": 5, f"{name}_count": 3, f"{name}_metabolism": 2}])
    assert len(places(travelled(region))) == 1
    assert len(places(travelled(region))) == 0 and region.counts["deaths"] == 1


def test_land_grows_back_by_one_up_to_its_capacity():
    region = generate_world(world())
    for name in ("sugar", "spice"):
        assert (region[name] == region[f"{name}_capacity"]).all()
        assert np.bincount(region[name].ravel()).argmax() == 2 and set(np.unique(region[name])) == set(range(5))
    assert (region["spice"] == region["sugar"][:, ::-1].take(np.arange(-1, 63), 1)).mean() > 0.95  # all but a column
    region["sugar"][:] = 0
    for tick in range(6):
        assert (region["sugar"] == np.minimum(region["sugar_capacity"], tick)).all()
        market.grow_back(region)


# --- prices


def test_cells_remember_prices_and_forget_them():
    pair_of = [
        {"y": 8, "x": 8, "sugar_count": 60, "spice_count": 400, "sugar_metabolism": 3, "spice_metabolism": 3},
        {"y": 8, "x": 9, "sugar_count": 60, "spice_count": 100, "sugar_metabolism": 3, "spice_metabolism": 3},
    ]
    region = traded(placed(pair_of))
    market.update_prices(region)
    paid = int(region.tables["traders"]["price"][0])
    told = {tuple(at) for at in np.argwhere(region.owned_view("price")).tolist()}
    assert told == {(8, 7), (8, 8), (8, 9), (8, 10), (7, 8), (9, 8), (7, 9), (9, 9)}
    assert paid > 1024 and {int(region.owned_view("price")[at]) for at in told} == {paid}
    assert without_nan(market.prices(None, region)) == {"exchanges": 0}
    region.tick += 1
    seen = market.prices(None, region)
    assert seen["exchanges"] > 1 and seen["log_price"] == pytest.approx(math.log(2) * paid / 1024, rel=0.2)
    assert 0 <= seen["price_spread"] < 0.2
    for _ in range(market.rules_of(region).fade_ticks):
        market.update_prices(region)
        assert market.prices(None, region)["exchanges"] > 0
    assert 0.3 < region.owned_view("price")[8, 8] / paid < 0.4
    for _ in range(400):
        market.update_prices(region)
    assert not region.owned_view("price").any()


def test_without_trade_there_are_no_prices_and_fewer_live():
    counts = {}
    for enabled in (True, False):
        living = 0
        for seed in range(1, 6):
            described = world(50, 50, 200, seed=seed, **{"trade.enabled": enabled})
            region = begin(described)
            advance(region, described.laws, 150)
            living += len(places(region))
            assert region.owned_view("price").any() == enabled
            assert (region.tables["traders"]["traded_tick"] >= 0).any() == enabled
        counts[enabled] = living
    assert counts[True] > counts[False] > 0


@pytest.mark.parametrize(
    ("key", "value", "line"),
    [
        ("traders.vision", [1, 6], "traders.vision"),
        ("traders.metabolism", [0, 5], "traders.metabolism"),
        ("traders.endowment", [50, 25], "put the smaller number first"),
        ("traders.count", -1, "traders.count"),
        ("land.peak", 0, "land.peak"),
        ("trade.fade_ticks", 0, "trade.fade_ticks"),
    ],
)
def test_wrong_settings_are_named(key, value, line):
    with pytest.raises(WorldFileError, match=line):
        generate_world(world(**{key: value}))

"""The market beside Mesa's own Sugarscape with trade: another program, and another order of action.

In Mesa's one trader acts after another: it moves on before the next one looks, and each meets every neighbour, so that
a pair meets twice in a step. Here all choose at once and a pair meets once in a tick. That shows in the number of
exchanges, which is not compared, and must not show in prices, nor in how many live.
"""

import csv
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from umwelt.agents.open_world import begin
from umwelt.agents.world_file import read_world
from umwelt.sandbox.step import advance
from umwelt.worlds import market

REFERENCE = Path(__file__).with_name("market_mesa.csv")
"""Ten seeds of both forms; made by `python -m benchmarks.market_reference`, which says what they are."""
SEEDS, TICKS, WINDOW_TICKS = 10, 500, 50
EARLY, LATE = slice(0, 1), slice(5, 10)
COMPARED = ("traders", "log_price", "price_spread")


def mesas_runs(form):
    """`float[seed, window, series]`: over windows of 50 steps; NaN where nothing was traded in one."""
    runs = defaultdict(list)
    with REFERENCE.open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["form"] == form:
                runs[row["seed"]].append([float(row[name] or "nan") for name in COMPARED])
    return np.array(list(runs.values()))[:, : TICKS // WINDOW_TICKS]


@pytest.fixture(scope="module")
def ours():
    """The same of the market."""
    runs = []
    for seed in range(1, SEEDS + 1):
        size = {"width": 50, "height": 50, "land.repeat": 1, "traders.count": 200, "seed": seed}
        described = read_world("market", size)
        region, windows = begin(described), []
        for _ in range(TICKS // WINDOW_TICKS):
            ticks = []
            for _ in range(WINDOW_TICKS):
                advance(region, described.laws, 1)
                seen = market.prices(described, region)
                ticks.append([seen.get(name, np.nan) for name in COMPARED[1:]])
            windows.append([region.owned_rows("traders").sum(), *np.nanmean(ticks, axis=0)])
        runs.append(windows)
    return np.array(runs)


def apart(first, second, windows):
    """How far apart the means over seeds are, `float[series]`, in standard deviations over seeds."""
    one, other = (np.nanmean(runs[:, windows], axis=1) for runs in (first, second))
    spread = np.sqrt((one.var(0, ddof=1) + other.var(0, ddof=1)) / 2)
    return np.abs(one.mean(0) - other.mean(0)) / spread


def test_prices_and_the_living_are_those_of_mesas_code_with_the_books_neighbourhoods(ours):
    mesa = mesas_runs("book")
    assert mesa.shape == ours.shape == (SEEDS, TICKS // WINDOW_TICKS, len(COMPARED))
    for windows in (EARLY, slice(1, 2), slice(2, 5), LATE):
        assert (apart(ours, mesa, windows) < 1).all()


def test_the_comparison_tells_mesas_two_forms_apart():
    """On another map, with a wider sight and trade over all that is seen, prices differ more and more live."""
    traders, log_price, price_spread = apart(mesas_runs("shipped"), mesas_runs("book"), LATE)
    assert traders > 1.5 and price_spread > 1.5 and log_price < 1


def test_spread_falls_and_the_mean_stays_near_nothing(ours):
    late = np.nanmean(ours[:, LATE], axis=1)
    assert (late[:, 2] < ours[:, 0, 2] / 2).all()
    assert (np.abs(late[:, 1]) < 0.2).all() and abs(late[:, 1].mean()) < 0.08

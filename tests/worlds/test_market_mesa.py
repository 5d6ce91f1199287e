"""Compares the world `market` with Mesa's own Sugarscape with trade.

In Mesa's model, traders act one after another: each moves before the next one looks, and trades with every neighbour,
so that a pair meets twice in a step. Here all act at once, and a pair meets once in a tick. The number of exchanges
therefore differs and is not compared; prices and the number of living traders must agree.
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
"""Results of ten seeds in both forms of Mesa's model, which `benchmarks/market_reference.py` describes and makes."""
SEEDS, TICKS, WINDOW_TICKS = 10, 500, 50
EARLY, LATE = slice(0, 1), slice(5, 10)
COMPARED = ("traders", "log_price", "price_spread")


def mesas_runs(form):
    """Returns Mesa's results as means over windows of 50 steps, `float[seed, window, series]`.

    The series are those of `COMPARED`; a value is NaN if nothing was traded in a window.
    """
    runs = defaultdict(list)
    with REFERENCE.open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["form"] == form:
                runs[row["seed"]].append([float(row[name] or "nan") for name in COMPARED])
    return np.array(list(runs.values()))[:, : TICKS // WINDOW_TICKS]


@pytest.fixture(scope="module")
def ours():
    """Results of Umwelt's market, in the shape of `mesas_runs`."""
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
    """Returns the differences of the means over seeds, `float[series]`, in standard deviations over seeds."""
    one, other = (np.nanmean(runs[:, windows], axis=1) for runs in (first, second))
    spread = np.sqrt((one.var(0, ddof=1) + other.var(0, ddof=1)) / 2)
    return np.abs(one.mean(0) - other.mean(0)) / spread


@pytest.mark.slow
def test_prices_and_numbers_of_traders_agree_with_mesas_model_in_the_book_form(ours):
    mesa = mesas_runs("book")
    assert mesa.shape == ours.shape == (SEEDS, TICKS // WINDOW_TICKS, len(COMPARED))
    for windows in (EARLY, slice(1, 2), slice(2, 5), LATE):
        assert (apart(ours, mesa, windows) < 1).all()


def test_the_comparison_tells_mesas_two_forms_apart():
    """With another map, wider vision and trade over its whole range, prices spread more and more traders live."""
    traders, log_price, price_spread = apart(mesas_runs("shipped"), mesas_runs("book"), LATE)
    assert traders > 1.5 and price_spread > 1.5 and log_price < 1


def test_the_spread_of_prices_falls_and_their_mean_stays_near_one(ours):
    late = np.nanmean(ours[:, LATE], axis=1)
    assert (late[:, 2] < ours[:, 0, 2] / 2).all()
    assert (np.abs(late[:, 1]) < 0.2).all() and abs(late[:, 1].mean()) < 0.08

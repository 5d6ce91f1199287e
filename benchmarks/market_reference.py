"""Writes results of Mesa's own Sugarscape with trade; a test compares Umwelt's market with them.

    python -m benchmarks.market_reference tests/worlds/market_mesa.csv

The command takes some minutes. It runs ten seeds of 1,000 steps on 50 x 50 cells with 200 traders, in two forms.
`shipped` is Mesa's example unchanged: a map with borders, on which a trader sees all cells within a number of steps,
and trades with all traders that it sees. `book` is the same code on a torus with the map of `worlds/market.py`: traders
see along the four directions, may stay where they are, and trade with neighbours, as Epstein and Axtell describe.
"""

import csv
import sys
from collections.abc import Iterator
from math import dist, log
from typing import Any
from unittest.mock import patch

import numpy as np

from benchmarks.peers import mesa_example
from umwelt.agents.open_world import generate_world
from umwelt.agents.world_file import read_world

SIDE, COUNT, SEEDS, STEPS, EVERY_STEPS = 50, 200, 10, 1000, 50
FORMS = ("shipped", "book")
"""The forms in the order of their runs: `book` must be last, because it changes Mesa's modules."""


def book_form(seed: int) -> Any:
    """Returns Mesa's model with the changes of the form `book` (see the module docstring). Changes Mesa's modules."""
    from mesa.discrete_space import Cell, CellCollection

    model_file, agents_file = (mesa_example(f"advanced.sugarscape_g1mt.{name}") for name in ("model", "agents"))
    grid, trader = model_file.OrthogonalVonNeumannGrid, agents_file.Trader

    class Crossing(Cell):
        """A cell whose neighbourhood consists of the cells along the four directions.

        With `include_center` (the cells that a trader sees), these are the cell itself and those up to `radius` away;
        otherwise (the neighbours with whom it trades), those one step away.
        """

        left = False

        @property
        def is_empty(self) -> bool:
            return self.left or super().is_empty

        def get_neighborhood(self, radius: int = 1, include_center: bool = False) -> Any:
            cells = [self] if include_center else []
            for way in ((1, 0), (0, 1), (-1, 0), (0, -1)):
                cell = self
                for _ in range(radius if include_center else 1):
                    cell = cell.connections[way]
                    cells.append(cell)
            return CellCollection(cells, random=self.random)

    class Staying(trader):  # type: ignore[misc,valid-type]
        """A trader that may stay where it is; Mesa's own trader counts its own cell as occupied."""

        def move(self) -> None:
            here = self.cell
            here.left = True
            super().move()
            here.left = False

    def torus_distance(one: Any, other: Any) -> float:
        apart = [abs(a - b) for a, b in zip(one.coordinate, other.coordinate, strict=True)]
        return dist([0, 0], [min(way, SIDE - way) for way in apart])

    def crossings(size: tuple[int, int], torus: bool, random: Any) -> Any:
        return grid(size, torus=True, random=random, cell_klass=Crossing)

    agents_file.get_distance, model_file.Trader = torus_distance, Staying
    with patch.object(model_file, "OrthogonalVonNeumannGrid", crossings):
        model = model_file.SugarscapeG1mt(width=SIDE, height=SIDE, initial_population=COUNT, seed=seed)
    land = generate_world(read_world("market", {"width": SIDE, "height": SIDE, "land.repeat": 1}))
    for name in ("sugar", "spice"):
        setattr(model, f"{name}_distribution", land[name].astype(float))
        getattr(model.grid, name).data = land[name].astype(float)
    return model


def shipped_form(seed: int) -> Any:
    """Returns Mesa's model, unchanged."""
    model = mesa_example("advanced.sugarscape_g1mt.model").SugarscapeG1mt
    return model(width=SIDE, height=SIDE, initial_population=COUNT, seed=seed)


def run(form: str, seed: int) -> Iterator[list[Any]]:
    """Yields rows `form, seed, step, traders, exchanges, log_price, price_spread` of one run.

    `traders` is the number of living traders. Exchanges are summed over the steps since the last row. The mean
    (`log_price`) and the standard deviation (`price_spread`) of the natural logarithms of prices are taken per step,
    then averaged over the steps with at least one exchange, for the spread with at least two; "" without such steps.
    """
    model = book_form(seed) if form == "book" else shipped_form(seed)
    exchanges, means, spreads = 0, [], []
    for step in range(1, STEPS + 1):
        model.step()
        prices = [log(price) for trader in model.agents for price in trader.prices]
        exchanges += len(prices)
        means += [np.mean(prices)] if prices else []
        spreads += [np.std(prices)] if len(prices) > 1 else []
        if step % EVERY_STEPS == 0:
            averages = [f"{np.mean(values):.4f}" if values else "" for values in (means, spreads)]
            yield [form, seed, step, len(model.agents), exchanges, *averages]
            exchanges, means, spreads = 0, [], []


def main() -> None:
    with open(sys.argv[1], "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["form", "seed", "step", "traders", "exchanges", "log_price", "price_spread"])
        for form in FORMS:
            for seed in range(1, SEEDS + 1):
                table.writerows(run(form, seed))
                file.flush()


if __name__ == "__main__":
    main()

"""Writes results of Mesa's own Wolf-Sheep model; a test compares Umwelt's model with them.

    python -m benchmarks.wolf_sheep_reference tests/worlds/wolf_sheep_mesa.csv

The command takes some minutes. It runs 20 seeds of 200 steps on 100 x 100 cells and writes every tenth step.
"""

import csv
import sys
from collections.abc import Iterator

from benchmarks.peers import wolf_sheep

SIDE, SEEDS, STEPS, EVERY_STEPS = 100, 20, 200, 10


def run(seed: int) -> Iterator[tuple[int, int, int, int, int]]:
    """Yields rows `seed, step, sheep, wolves, grass` of one run."""
    model = wolf_sheep(SIDE, seed)
    for step in range(0, STEPS + 1, EVERY_STEPS):
        if step:
            model.simulator.run_for(EVERY_STEPS)
        last = {name: values[-1] for name, values in model.datacollector.model_vars.items()}
        yield seed, step, last["Sheep"], last["Wolves"], last["Grass"]


def main() -> None:
    with open(sys.argv[1], "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["seed", "step", "sheep", "wolves", "grass"])
        for seed in range(1, SEEDS + 1):
            table.writerows(run(seed))
            file.flush()


if __name__ == "__main__":
    main()

"""A small crowded world for tests, and runs of it."""

from pathlib import Path

from umwelt.agents.description import WorldFile, parse_world
from umwelt.cluster.engine import Run

TEXT = """
width = 48
height = 40
seed = 5
births = true

[climate]
day_ticks = 60

[[founders]]
species = "grass"
count = 200

[[founders]]
species = "reed"
count = 30

[[founders]]
species = "grazer"
count = 60

[[founders]]
species = "hunter"
count = 20
"""


def small_world(**overrides: object) -> WorldFile:
    """The small world, with values by dotted key (`__` for the dot) set anew."""
    return parse_world(TEXT, "small.toml", "small", {key.replace("__", "."): value for key, value in overrides.items()})


def small_run(folder: Path, ticks: int = 0, **overrides: object) -> Run:
    """A run of the small world, carried on by some ticks."""
    run = Run.begin(small_world(**overrides), folder)
    for _ in run.ticks(ticks):
        pass
    return run

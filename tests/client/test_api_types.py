"""Types of a connection: `mypy --strict` on a user's script has the right types, and finds each wrong line."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

SCRIPT = """
from collections.abc import AsyncIterator, Iterator
from typing import Any, assert_type

import numpy as np

from umwelt import connect
from umwelt.client.connection.answers import (
    Births, Census, Counts, Family, FetchedBeing, Heatmap, Lineage, Metrics, Nearest, Rows, Snapshot, Status,
)
from umwelt.client.connection.api import AsyncConnection, AsyncMoment, Connection, Moment, connect_async
from umwelt.client.connection.promises import Promise, PromisedConnection, PromisedMoment
from umwelt.client.connection.views import View
from umwelt.client.connection.workflows import WorldFlow


async def double(flow: WorldFlow, number: int) -> list[int]:
    return [2 * number]


def wait_for_answers(world: Connection) -> None:
    assert_type(world.query(where=[("sugar_count", "<", 20)], columns=["y", "x"]), Rows)
    assert_type(world.query()["y"], np.ndarray)
    assert_type(world.count((0, 0, 8, 8)), Counts)
    assert_type(world.fetch(5), FetchedBeing | None)
    assert_type(world.field("water"), np.ndarray)
    assert_type(world.watch((0, 0, 8, 8), layers=["water"]), Iterator[View])
    assert_type(world.status(), Status)
    assert_type(world.status()["nodes"][0]["ticks_per_s"], float)
    assert_type(world.wait(7), int)
    assert_type(world.command("drop", y=1, x=2, substance="water", count=3), int)
    assert_type(world.rain(1, 2, radius_cells=3), int)
    assert_type(world.drive(5, turn=0.5), int)
    assert_type(world.pause(), int)
    assert_type(world.snapshots(), list[Snapshot])
    assert_type(world.fork(7), str)
    assert_type(world.metrics(), Metrics)
    assert_type(world.births(since=3), Births)
    assert_type(world.family(5), Family)
    assert_type(world.census(), Census)
    assert_type(world.census()["species"]["grazer"]["means"], dict[str, float])
    assert_type(world.heatmap("water", cell=8), Heatmap)
    assert_type(world.nearest("grazer", 1, 2), Nearest)
    assert_type(world.lineage(5), Lineage)
    assert_type(world.workflow(double, 4), list[int])
    assert_type(world.show(7), Moment)
    assert_type(world.show(7).query(), Rows)
    assert_type(world.show(7).play(20.0), int)


async def await_answers() -> None:
    world = await connect_async("runs/meadow-1")
    assert_type(world, AsyncConnection)
    assert_type(await world.query(), Rows)
    assert_type(await world.status(), Status)
    assert_type(await world.drop(1, 2, "water", 3), int)
    assert_type(await world.census(), Census)
    assert_type(await world.workflow(double, 4), list[int])
    assert_type(world.watch(), AsyncIterator[View])
    moment = await world.show(7)
    assert_type(moment, AsyncMoment)
    assert_type(await moment.count(), Counts)


def collect_promises(world: PromisedConnection) -> None:
    assert_type(world.query(), Promise[Rows])
    assert_type(world.query().result(), Rows)
    assert_type(world.rain(1, 2), Promise[int])
    assert_type(world.show(7).result(), PromisedMoment)


with connect("runs/meadow-1", timeout_s=5.0) as world:
    assert_type(world, Connection)
"""
MISTAKES = {
    "an argument of another type": ('world.drop(1, 2, "water", "many")', "arg-type"),
    "a misspelt argument": ("world.rain(1, 2, radius=3)", "call-arg"),
    "a missing argument": ("world.move(5, 1.0)", "call-arg"),
    "a misspelt key": ('world.status()["phas"]', "typeddict-item"),
    "an answer that may be None": ('world.fetch(5)["columns"]', "index"),
    "an answer that was not awaited": ('(await connect_async("runs/r")).count()["plants"]', "index"),
}


@pytest.fixture(scope="module")
def check(tmp_path_factory):
    """A function that runs mypy in strict mode on a script and returns its output."""
    folder = tmp_path_factory.mktemp("typed")
    packages = folder / "links" / "umwelt"
    packages.mkdir(parents=True)
    for room in ("agents", "client", "cluster", "sandbox", "worlds"):
        (packages / room).symlink_to(ROOT / room)
    for name in ("__init__.py", "py.typed"):
        (packages / name).symlink_to(ROOT / "umwelt" / name)

    def run(script: str) -> str:
        (folder / "script.py").write_text(script, "utf-8")
        options = ["--strict", "--follow-imports=silent", "--no-error-summary", "--config-file="]
        found = subprocess.run(
            [sys.executable, "-m", "mypy", *options, "--cache-dir", str(folder / "cache"), str(folder / "script.py")],
            env={**os.environ, "MYPYPATH": str(folder / "links")},
            capture_output=True,
            text=True,
            check=False,
        )
        assert found.returncode in (0, 1), found.stderr
        return found.stdout

    return run


def test_all_results_have_their_types(check):
    assert check(SCRIPT) == ""


def test_mistakes_are_found_each_in_its_line(check):
    lines = SCRIPT.rstrip().splitlines()
    calls = [f"    {call}" for call, _ in MISTAKES.values()]
    printed = check("\n".join([*lines, "", "", "async def mistaken(world: Connection) -> None:", *calls, ""]))
    first = len(lines) + 4
    for number, (name, (call, code)) in enumerate(MISTAKES.items()):
        said = [line for line in printed.splitlines() if f":{first + number}: error" in line]
        assert said and f"[{code}]" in said[0], (name, call, printed)
    assert len({line.split(": ")[0] for line in printed.splitlines() if ": error" in line}) == len(MISTAKES)

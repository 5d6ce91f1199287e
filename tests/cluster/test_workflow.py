"""Workflows on a running world: tasks, queries of which all parts are of one tick, and limits."""

import asyncio
import os
import signal
import threading
from pathlib import Path

import msgspec
import numpy as np
import pytest
from local_cluster import LocalCluster, process_cluster_run
from process_cluster import have_ended
from sharded_regions import golden_world
from simulation import run_undisturbed
from waiting import WITHIN_S, wait_until

from umwelt.agents.species.column_access import read_column
from umwelt.client.connection.api import connect, connect_async
from umwelt.client.connection.workflows import WorldFlow
from umwelt.cluster.gateway.task_requests import MAX_TASKS_OF_ONE
from umwelt.cluster.tasks.registry import pack_arguments
from umwelt.cluster.view.queries import Count
from umwelt.cluster.wire.keys import Keys, make_keys
from umwelt.cluster.wire.viewer_protocol import Query, Task
from umwelt.sandbox.errors import RunError

HEIGHT, WIDTH = 96, 80  # the size of the world in conftest.py


def test_results_decide_what_a_workflow_does_next(world):
    async def collatz(flow: WorldFlow, value: int) -> list[int]:
        found = [value]
        while found[-1] != 1:
            odd = found[-1] % 2
            then = await flow.run("arithmetic", *(("multiply", 3, found[-1]) if odd else ("divide", found[-1], 2)))
            found.append(await flow.run("own.add", then, 1) if odd else then)
        return found

    assert world.workflow(collatz, 6) == [6, 3, 10, 5, 16, 8, 4, 2, 1]


def test_tasks_run_side_by_side_on_all_nodes(world, tmp_path):
    async def places(flow: WorldFlow) -> set[int]:
        # each task waits for the others: one after another, they would never end
        files = [str(tmp_path / f"{number}") for number in range(3)]
        await flow.gather(flow.run("own.meet", file, files, 2, within_s=2 * WITHIN_S) for file in files)
        grid = [(HEIGHT // 4 * row, WIDTH // 4 * column) for row in range(4) for column in range(4)]
        return set(await flow.gather(flow.run("own.where", near=place) for place in grid))

    processes = world.workflow(places)
    assert 2 <= len(processes) <= 3 and os.getpid() not in processes


def test_results_come_in_the_order_of_the_calls_or_of_completion(world):
    async def both(flow: WorldFlow) -> tuple[list[int], list[int]]:
        seconds = [0.4, 0.0, 0.2]
        in_order = await flow.gather(flow.run("own.slow", s, n) for n, s in enumerate(seconds))
        as_done = [one async for one in flow.as_done(flow.run("own.slow", s, n) for n, s in enumerate(seconds))]
        return in_order, as_done

    in_order, as_done = world.workflow(both)
    assert in_order == [0, 1, 2] and as_done[-1] == 0


def test_arrays_are_arguments_and_results_of_tasks(world):
    found = world.task("own.outer", np.array([1, 2, 3], np.int16))
    assert found.dtype == np.int16 and found.tolist() == [[1, 2, 3], [2, 4, 6], [3, 6, 9]]


# --- one tick


def test_all_parts_of_an_answer_are_of_one_tick_while_the_world_runs(cluster, world):
    for _ in range(5):
        counted = world.link.ask(lambda ticket: Query(ticket, msgspec.json.encode(Count()))).result(20)
        assert counted.content["ticks"] == [counted.tick]
    assert cluster.tick() > 5


def test_counts_at_a_tick_are_those_of_that_tick(resting):
    census = resting.census()
    counts = {name: count for table in resting.count().values() for name, count in table.items()}
    assert {name: one["count"] for name, one in census["species"].items()} == counts and census["whole"]
    assert census["tick"] == resting.status()["tick"]


@pytest.mark.slow
def test_an_answer_of_several_running_nodes_equals_that_of_an_undivided_world():
    with LocalCluster(golden_world(64, 64), 3) as cluster, connect(cluster.address) as world:  # at full speed
        world.wait(3, 60)
        found = [world.census(), world.heatmap("grazer", 8), world.census()]
    for one in found:
        _, region = run_undisturbed(cluster.world, one["tick"], [])
        beings = region.tables["monsters"]
        rows = np.flatnonzero(region.owned_rows("monsters"))
        if "values" in one:
            grazers = rows[beings["species"][rows] == world.species.index("grazer")]
            bins = np.zeros((8, 8), np.int64)
            np.add.at(bins, tuple(read_column(region, beings, f"{axis}_fixed", grazers) >> 13 for axis in "yx"), 1)
            assert np.array_equal(one["values"], bins)
            continue
        counts = np.bincount(beings["species"][rows], minlength=len(world.species))
        told = {name: entry["count"] for name, entry in one["species"].items() if entry["table"] == "monsters"}
        assert told == {world.species[at]: count for at, count in enumerate(counts.tolist()) if count}


def test_a_tick_that_does_not_come_because_the_world_rests_is_not_waited_for(resting):
    tick = resting.status()["tick"]
    assert resting.census()["tick"] == tick and resting.task("own.add", 1) == 1


# --- queries


def test_means_of_a_census_are_those_of_the_columns(resting):
    columns = resting.query(columns=["species", "age_ticks"])
    told = resting.census()["species"]
    for at, name in enumerate(resting.species):
        mine = columns["age_ticks"][columns["species"] == at]
        if len(mine):
            assert told[name]["means"]["age_ticks"] == pytest.approx(mine.mean())
    part = resting.census((0, 0, 20, WIDTH))["species"]
    inside = resting.count((0, 0, 20, WIDTH))["monsters"]
    assert {name: one["count"] for name, one in part.items() if one["table"] == "monsters"} == {
        name: count for name, count in inside.items() if count
    }


@pytest.mark.parametrize("rectangle", [None, (90, 70, 17, 33)])
def test_a_heat_map_has_the_sums_over_its_squares(resting, rectangle):
    y, x, height, width = rectangle or (0, 0, HEIGHT, WIDTH)
    water = resting.field("water", (y, x, height, width))
    padded = np.zeros((-(-height // 8) * 8, -(-width // 8) * 8), np.int64)
    padded[:height, :width] = water
    squares = padded.reshape(padded.shape[0] // 8, 8, -1, 8).sum(axis=(1, 3))
    assert np.array_equal(resting.heatmap("water", 8, rectangle)["values"], squares)
    grazers = resting.query(rectangle, where=[("species", "==", "grazer")], columns=["y", "x"])
    bins = np.zeros_like(squares)
    np.add.at(bins, ((grazers["y"] - y) % HEIGHT // 8, (grazers["x"] - x) % WIDTH // 8), 1)
    found = resting.heatmap("grazer", 8, rectangle)
    assert np.array_equal(found["values"], bins) and bins.sum() > 0 and found["tick"] == resting.status()["tick"]


def test_the_nearest_being_is_found_over_the_seams_too(resting):
    hunters = resting.query(where=[("species", "==", "hunter")], columns=["y_fixed", "x_fixed"])
    for y, x in ((0, 0), (95.5, 0.2), (40.25, 79), (33, 33)):
        sides = (np.abs(hunters["y_fixed"] / 1024 - y), HEIGHT), (np.abs(hunters["x_fixed"] / 1024 - x), WIDTH)
        cells = np.hypot(*(np.minimum(away, size - away) for away, size in sides))
        found = resting.nearest("hunter", y, x)["being"]
        assert found["id"] == hunters["id"][cells.argmin()]
        assert found["cells"] == pytest.approx(cells.min(), abs=0.002)  # positions are rounded to 1/1024 of a cell
    assert resting.nearest("grazer", 1, 1)["being"] is not None


def test_invalid_queries_are_refused_with_one_line(world):
    for wrong, line in (
        (lambda: world.nearest("wolf", 1, 1), 'unknown "wolf"'),
        (lambda: world.nearest("grazer", 96, 1), "0 to 95"),
        (lambda: world.heatmap("gold"), 'unknown "gold"'),
        (lambda: world.heatmap("water", 500), "use 1 to 96"),
        (lambda: world.census((0, 0, 0, 5)), "rectangle"),
    ):
        with pytest.raises(Exception, match=line) as refused:
            wrong()
        assert "\n" not in str(refused.value)


def test_queries_can_be_awaited_side_by_side(cluster):
    async def ask() -> list:
        async with await connect_async(cluster.address) as world:
            return await asyncio.gather(world.census(), world.heatmap("grazer"), world.task("own.add", 2, 3))

    census, heatmap, five = asyncio.run(ask())
    assert census["species"] and heatmap["values"].sum() > 0 and five == 5


# --- bounds

WRONG = [
    (("own.nothing",), {}, "no task"),
    (("os:system", "true"), {}, "no task"),
    (("own.none",), {}, "is not a task"),
    (("own.fail", 3), {}, "3: cannot be"),
    (("own.add", "x"), {}, "Expected `int`"),
    (("own.large", 2 << 20), {}, "1024 KiB at most"),
    (("own.outer", np.zeros(1 << 18)), {}, "256 KiB at most"),
    (("experiment.run", {}), {}, "use umwelt experiment"),
    (("duel.run", []), {}, "does not run on a remote world"),
    (("own.add", 1), {"within_s": 1e9}, "up to 600 s"),
    (("own.add", 1), {"near": (1,)}, "give y and x"),
    (("census",), {}, "needs data"),
    (("own.add", print), {}, "cannot be sent"),
]


@pytest.mark.parametrize(("given", "named", "line"), WRONG, ids=lambda one: str(one)[:30])
def test_invalid_tasks_are_refused_with_one_line(world, given, named, line):
    with pytest.raises(RunError, match=line) as refused:
        world.task(*given, **named)
    assert "\n" not in str(refused.value)


def test_a_task_without_end_is_ended_and_the_world_and_its_node_go_on(cluster, world):
    tick = cluster.tick()
    with pytest.raises(RunError, match=r"was ended after 0\.5 s"):
        world.task("own.forever", within_s=0.5)
    wait_until(lambda: cluster.tick() > tick)
    assert world.workflow(lambda flow: flow.map("own.add", range(6))) == list(range(6))


def test_a_task_that_kills_its_process_is_given_up_after_some_tries(world):
    with pytest.raises(RunError, match=r"ended its process .* 3 times"):
        world.task("own.crash")
    assert world.task("own.add", 4, 5) == 9


def test_a_workflow_with_too_many_tasks_or_too_little_time_is_ended(cluster, world):
    async def endless(flow: WorldFlow, name: str, *given: object) -> None:
        while True:
            await flow.run(name, *given)

    with pytest.raises(RunError, match="more than 20 tasks"):
        world.workflow(endless, "own.add", 1, max_tasks=20)
    with pytest.raises(RunError, match=r"longer than 0\.5 s"):
        world.workflow(endless, "own.slow", 0.2, 1, within_s=0.5)
    world.wait(cluster.tick() + 3, WITHIN_S)


def test_the_open_tasks_of_a_failed_workflow_are_cancelled(cluster, world):
    async def failing(flow: WorldFlow) -> None:
        await flow.gather([flow.run("own.fail", 1), *(flow.run("own.slow", 60.0, n, within_s=90) for n in range(40))])

    with pytest.raises(RunError, match="1: cannot be"):
        world.workflow(failing)
    wait_until(lambda: open_tasks(cluster) == 0)
    assert world.task("own.add", 1, 1) == 2  # the worker processes are free again


def test_the_tasks_of_a_viewer_that_leaves_are_cancelled(cluster, world):
    with connect(cluster.address) as other:
        for number in range(30):
            other.link.do(_slow_task(number))
        wait_until(lambda: open_tasks(cluster) > 0)
    wait_until(lambda: open_tasks(cluster) == 0)


def open_tasks(cluster: LocalCluster) -> int:
    """Returns how many tasks the gateway has not finished."""
    return cluster.do(lambda: len(cluster.gateway.tasks.scheduler))


def _slow_task(number: int) -> Task:
    return Task(f"slow-{number}", "own.slow", pack_arguments("own.slow", [30.0, number], {}), within_s=60.0)


def test_a_viewer_s_tasks_are_bounded(cluster, world):
    with connect(cluster.address) as other:
        asked = [other.link.do(_slow_task(number)) for number in range(MAX_TASKS_OF_ONE + 20)]
        with pytest.raises(RunError, match="too many tasks at once"):
            asked[-1].result(WITHIN_S)
        wait_until(lambda: sum(one.done() for one in asked) == 20)


def test_tasks_that_a_busy_gateway_refused_are_sent_again(cluster):
    async def ask() -> list[list[int]]:
        async with await connect_async(cluster.address) as world:
            return await asyncio.gather(*(world.workflow(numbered, 150) for _ in range(3)))

    assert asyncio.run(ask()) == [list(range(150))] * 3


def test_spectators_may_run_the_tasks_of_queries_and_no_others(tmp_path):
    make_keys(tmp_path / "keys")
    spectator = Keys.load(tmp_path / "keys", "spectator")
    cluster = LocalCluster(golden_world(64, 64), 2, tmp_path / "keys", tick_s=0.04)
    with cluster, connect(cluster.address, spectator) as world:
        assert world.role == "spectator"
        assert world.census()["species"] and world.heatmap()["values"].sum() > 0
        with pytest.raises(RunError, match=r"a spectator may ask for census.* only"):
            world.task("spin", 5)


# --- real processes


async def numbered(flow: WorldFlow, tasks: int) -> list[int]:
    """Runs many tasks of a few milliseconds each."""
    return await flow.gather(flow.run("own.slow", 0.01, n) for n in range(tasks))


@pytest.mark.slow
def test_a_node_killed_in_the_middle_changes_nothing_but_the_time(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[1]))
    with process_cluster_run(tmp_path / "run", 3) as engine, connect(tmp_path / "run") as world:
        world.wait(2, 60)
        world.pause()
        assert world.workflow(numbered, 30) == list(range(30))  # each node has started its worker process
        node = engine.children["node-1"].process.pid
        its_own = children_of(node)
        timer = threading.Timer(0.5, os.kill, (node, signal.SIGKILL))
        timer.start()
        assert world.workflow(numbered, 400) == list(range(400))
        timer.join()
        assert its_own and have_ended([node, *its_own], WITHIN_S)  # the children of a killed node end as well
        assert world.census()["species"]


def children_of(pid: int) -> list[int]:
    """Returns the ids of the child processes of a process."""
    return [int(one) for path in Path(f"/proc/{pid}/task").glob("*/children") for one in path.read_text().split()]

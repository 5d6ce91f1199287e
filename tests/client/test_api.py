"""`connect()`: answers equal those of an undivided world, commands take effect once, lost gateways are reconnected."""

import asyncio
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from local_cluster import process_cluster_run
from waiting import WITHIN_S, wait_until

from umwelt.agents import commands
from umwelt.agents.commands.drop import Drop
from umwelt.client.connection.api import Connection, connect, connect_async
from umwelt.cluster.process import announce
from umwelt.cluster.run.replay import restore_region
from umwelt.cluster.run.store import Store
from umwelt.cluster.wire.keys import make_keys
from umwelt.sandbox.errors import CommandError, RunError, UmweltError

HEIGHT, WIDTH = 96, 80  # the size of the world in conftest.py


def some(world: Connection, table: str = "monsters") -> list[int]:
    return world.query(table=table, columns=[])["id"].tolist()


# --- views and queries


def test_answers_equal_those_of_an_undivided_world(resting, cluster):
    status = resting.status()
    region = cluster.undivided_region(status["tick"])
    table, own = region.tables["monsters"], region.owned_rows("monsters")
    wanted = own & (table["sugar_count"] > 60)
    found = resting.query(where=[("sugar_count", ">", 60)], columns=["y", "x", "sugar_count", "organs"])
    order = np.flatnonzero(wanted)[np.argsort(table["id"][wanted])]
    assert found["id"].tolist() == table["id"][order].tolist() and 0 < found.total < own.sum()
    assert found.tick == status["tick"] == region.tick
    assert (found["organs"] == table["organs"][order]).all()
    rim = region.halo_cells
    assert found["y"].tolist() == ((table["y_fixed"][order] >> 10) - rim).tolist()
    assert (resting.field("water") == region.owned_view("water")).all()
    counts = resting.count()
    assert sum(counts["plants"].values()) == np.count_nonzero(region.owned_rows("plants"))
    being = resting.fetch(found["id"][0])
    assert being["row"] == commands.fetch(region, int(found["id"][0]))["row"] and resting.fetch(1) is None


def test_a_view_joins_the_tiles_of_several_nodes(resting):
    view = next(resting.watch((-20, -30, 60, 70), layers=["water", "elevation"]))
    assert view.complete and view.tick == view.oldest_tick == resting.status()["tick"]
    found = resting.query((-20, -30, 60, 70), columns=["y", "x", "tissue_count"])
    seen = view.beings["monsters"]
    assert seen["id"].tolist() == found["id"].tolist() and len(seen["id"]) > 10
    assert np.floor(seen["y"]).astype(int).tolist() == found["y"].tolist()
    assert seen["tissue_count"].tolist() == found["tissue_count"].tolist()
    assert (view.fields["elevation"] == resting.field("elevation", (-20, -30, 60, 70))).all()
    dots = next(resting.watch((-20, -30, 60, 70), "dots"))
    assert len(dots.beings["monsters"]["y"]) == len(found["id"])
    far = next(resting.watch(level="densities"))
    counted = {table: sum(int(plane.sum()) for plane in planes.values()) for table, planes in far.counts.items()}
    assert counted == {table: sum(found.values()) for table, found in resting.count().items()}


def test_views_arrive_continuously_and_are_the_newest(world):
    views = world.watch((0, 0, 40, 40), timeout_s=WITHIN_S)
    ticks = [next(views).tick]
    while ticks[-1] <= ticks[0] + 3:
        ticks.append(next(views).tick)
    assert ticks == sorted(ticks)
    rest = world.pause()  # views that were not read are not queued: one of the next views is of the last tick
    world.wait(rest, WITHIN_S)
    try:
        for _ in range(30):
            if (view := next(views)).complete and view.oldest_tick == rest:
                break
        assert view.tick == view.oldest_tick == rest
    finally:
        world.go()


def test_a_paused_world_sends_no_views(resting):
    views = resting.watch((0, 0, 40, 40), timeout_s=1.0)
    while not next(views).complete:
        pass
    with pytest.raises(RunError, match="nothing new to see within 1 s"):
        for _ in range(5):
            next(views)


def test_mistakes_are_one_line(world):
    for wrong, said in (
        (lambda: next(world.watch(level="close")), "bodies, dots, densities"),
        (lambda: next(world.watch(layers=["gold"])), 'unknown layer "gold"'),
        (lambda: next(world.watch((0, 0, 500, 5))), "rectangle"),
        (lambda: world.query(columns=["gold"]), 'unknown "gold"'),
        (lambda: world.query(where=[("species", "==", "wolf")]), 'unknown "wolf"'),
        (lambda: world.drop(1, 1, "gold", 4), 'unknown "gold"'),
        (lambda: world.drop(1, 1.5, "water", 4), "int"),
        (lambda: world.move(1, 5, 5), "no such being"),
        (lambda: world.leave("nobody"), "no node of that name"),
        (lambda: world.step(0), "step 0"),
        (lambda: world.show(1 << 40), "has reached tick|has no run folder"),
        (lambda: world.wait(1 << 40, 0.3), "see whether the world is paused"),
    ):
        with pytest.raises(UmweltError, match=said) as refused:
            wrong()
        assert "\n" not in str(refused.value)


# --- commands


def test_every_command_changes_the_world_as_journalled_and_returns_its_tick(world, cluster):
    monsters, plants = some(world), some(world, "plants")
    genome = world.fetch(monsters[0])["row"]["genome"]
    hunter_genome = np.frombuffer(genome, np.int8)
    before = len(cluster.disk.commands)
    said = [
        world.drop(3, 4, "water", 500),
        world.paint(10, 70, 20, 20, "mineral", 77),
        world.rain(0, 0, 5, 200),
        world.spawn("grazer", 5, 6),
        world.spawn("hunter", 7, 8, genome=hunter_genome),
        world.spawn(like=monsters[0], y=50.5, x=60.25),
        world.remove(plants[0]),
        world.move(monsters[1], 30.5, 2),
        world.wound(monsters[2], 9),
        world.drive(monsters[3], thrust=1.0, turn=-0.5),
        world.set_rate("decay", 0.5),
        world.do(Drop(1, 1, "sugar", 5), Drop(1, 2, "sugar", 6)),
        world.release(monsters[3]),
        world.set_rate("decay", None),
    ]
    journalled = [command for _, command in cluster.disk.commands][before:]
    assert [command.tick for command in journalled] == sorted([*said, said[11]])
    kinds = [type(commands.decode(command.content)).__name__ for command in journalled]
    assert kinds == [
        "Drop",
        "Paint",
        "Rain",
        "Spawn",
        "Spawn",
        "Spawn",
        "Remove",
        "Move",
        "Wound",
        "Drive",
        "Rate",
        "Drop",
        "Drop",
        "Drive",
        "Rate",
    ]
    world.wait(max(said) + 12, WITHIN_S)
    moved = world.query(where=[("id", "==", monsters[1])], columns=["y"])
    assert world.fetch(plants[0]) is None and len(moved["id"]) <= 1
    cluster.assert_undisturbed()


def test_a_drive_takes_effect_and_is_released(world):
    being = some(world)[5]
    at = world.drive(being, thrust=1.0)
    world.wait(at + 1, WITHIN_S)
    found = world.fetch(being)
    assert found is None or (found["held"][1] == 1024 and found["drives"]["thrust"] == 1024)
    world.wait(world.release(being) + 1, WITHIN_S)
    found = world.fetch(being)
    assert found is None or found["held"] is None


def test_pause_step_speed_and_go(world):
    at = world.pause()
    assert world.wait(at, WITHIN_S) == at
    assert world.step(3) == at + 3 or world.wait(at + 3, WITHIN_S) == at + 3
    time.sleep(0.5)
    assert world.status()["tick"] == at + 3 and world.status()["paused"]
    world.speed(5)
    world.go()
    began, began_s = world.status()["tick"], time.monotonic()
    reached = world.wait(began + 4, WITHIN_S)
    passed_s = time.monotonic() - began_s
    assert reached - began < 5 * passed_s + 5  # not faster than the set speed
    world.speed()
    assert world.wait(reached + 1, WITHIN_S) > reached


def test_nodes_may_leave_and_the_world_goes_on(cluster, world):
    cluster.do(cluster.add_node)
    wait_until(lambda: [node["state"] for node in world.status()["nodes"]] == ["ready"] * 4)
    views = world.watch((0, 0, HEIGHT, WIDTH), timeout_s=WITHIN_S)
    assert next(views) and sum(world.count()["monsters"].values()) > 0
    world.leave(world.status()["nodes"][0]["name"])
    wait_until(lambda: len(world.status()["nodes"]) == 3)
    at = world.status()["tick"]
    world.wait(at + 5, WITHIN_S)
    for view in views:  # pieces of the new epoch replace those of the old one
        if view.complete and view.oldest_tick > at:
            break
    assert sum(world.count()["monsters"].values()) > 0
    cluster.assert_undisturbed()


# --- reconnecting


def test_a_connection_finds_a_restarted_gateway(cluster, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    announce(folder / "gateway.json", {"address": cluster.address, "keys": False})
    with connect(folder) as world:
        views = world.watch((0, 0, 40, 40), timeout_s=WITHIN_S)
        assert next(views).complete
        cluster.do(cluster.end_gateway)
        waiting: list = []
        asked = threading.Thread(target=lambda: waiting.append(world.drop(1, 1, "water", 9)))
        asked.start()
        time.sleep(0.5)
        cluster.bind = cluster.bind + "-2"  # another address
        cluster.do(cluster.begin_gateway)
        announce(folder / "gateway.json", {"address": cluster.address, "keys": False})
        asked.join(WITHIN_S)
        assert waiting and waiting[0] > 0
        at = world.status()["tick"]
        assert any(view.tick > at for view in views)
        assert sum(world.count()["plants"].values()) > 0


def test_a_connection_finds_a_restarted_coordinator(cluster):
    with connect(cluster.address) as world:
        before = world.drop(1, 1, "water", 9)
        cluster.do(cluster.restart_coordinator)
        after = world.drop(1, 1, "water", 9)
        assert after >= before
        world.wait(after + 2, WITHIN_S)
        assert len(world.status()["nodes"]) >= 3
        cluster.assert_undisturbed()


def test_a_missing_gateway_is_an_error_of_one_line(tmp_path, monkeypatch):
    make_keys(tmp_path / "keys")
    announce(tmp_path / "gateway.json", {"address": f"ipc://{tmp_path}/door", "keys": True})
    for place, keys, said in (
        (f"ipc://{tmp_path}/nobody", None, "no gateway answers: see that the world runs there"),
        (f"ipc://{tmp_path}/nobody", tmp_path / "keys", "keys are its own"),
        (tmp_path / "nothing", None, "no world runs there"),
        (tmp_path, None, "asks for keys"),
        ("tcp://nowhere", None, "is not an address"),
        (tmp_path, tmp_path / "none", "not a folder with keys"),
    ):
        with pytest.raises(RunError, match=said) as refused:
            connect(place, keys, 0.5)
        assert "\n" not in str(refused.value)


def test_a_closed_connection_raises_an_error_that_says_so(cluster):
    world = connect(cluster.address)
    world.close()
    for call in (world.count, world.status, lambda: next(world.watch((0, 0, 9, 9)))):
        with pytest.raises(RunError, match="the connection is closed"):
            call()


def test_a_missing_answer_is_an_error_of_one_line(cluster):
    with connect(cluster.address, timeout_s=WITHIN_S) as world:
        world.timeout_s = 0.5
        link = cluster.gateway.coordinator
        cluster.do(lambda: setattr(link, "node_map", None) or setattr(link, "take_report", lambda report, now_s: None))
        with pytest.raises(RunError, match=r"no answer to a question within 0\.5 s"):
            world.count()
        cluster.do(lambda: delattr(link, "take_report"))


# --- asynchronous


def test_the_methods_of_the_asynchronous_connection_can_be_awaited(cluster):
    async def life() -> None:
        async with await connect_async(cluster.address) as world:
            counts, found, at = await asyncio.gather(
                world.count(), world.query(columns=["species"]), world.rain(9, 9, 3, 50)
            )
            assert sum(counts["monsters"].values()) > 0 and len(found["species"]) > 0
            assert await world.wait(at + 1, WITHIN_S) > at
            seen = 0
            async for view in world.watch((0, 0, 30, 30), timeout_s=WITHIN_S):
                seen += 1
                assert view.tick >= 0
                if seen == 3:
                    break
            with pytest.raises(CommandError, match="gold"):
                await world.drop(1, 1, "gold", 2)

    asyncio.run(life())


# --- the past, and real processes


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder and the engine of a run of real processes."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    with process_cluster_run(folder, 2) as engine:
        yield folder, engine


@pytest.mark.slow
def test_a_moment_of_the_past_is_shown_beside_the_running_world(run):
    folder, _ = run
    with connect(folder) as world:
        world.speed(20)
        tick = world.drop(5, 5, "sugar", 4000)
        reached = world.wait(tick + 6, WITHIN_S)
        assert 0 in [one["tick"] for one in world.snapshots()]
        for at in (tick, tick + 1):
            moment = world.show(at)
            _, region, _ = restore_region(Store(folder), at)
            found = moment.query(columns=["sugar_count"])
            table, own = region.tables["monsters"], region.owned_rows("monsters")
            assert found.tick == at and sorted(table["id"][own].tolist()) == found["id"].tolist()
            assert (moment.field("sugar") == region.owned_view("sugar")).all()
            view = next(moment.watch((0, 0, 64, 64), layers=["sugar"]))
            assert view.tick == at and view.complete
            assert len(view.beings["monsters"]["id"]) == own.sum()
        assert moment.field("sugar")[5, 5] > 2000  # a command added sugar in `tick`
        assert world.show(tick).field("sugar")[5, 5] < 2000
        assert world.wait(reached + 1, WITHIN_S) > reached  # the world runs on meanwhile
        with pytest.raises(RunError, match="has reached tick"):
            world.show(reached + 100_000)
        made = Path(world.fork(tick))
        assert restore_region(Store(made), None)[1].tick == tick
        for path in sorted(made.rglob("*"), reverse=True):
            path.unlink() if path.is_file() else path.rmdir()
        made.rmdir()


def test_a_killed_gateway_of_a_real_run_is_found_again(run):
    folder, engine = run
    with connect(folder) as world:
        world.count()
        engine.children["gateway"].process.kill()
        at = world.drop(1, 1, "water", 5)
        world.wait(at + 1, WITHIN_S)
        assert sum(world.count()["plants"].values()) > 0


def test_a_run_can_be_saved_and_stopped(run):
    folder, engine = run
    with connect(folder) as world:
        world.save()
        world.stop()
    wait_until(lambda: engine.finished)

"""Clusters of real processes: a world is the same for any number of nodes, any transport, and any failures of nodes.

By default a sample of the combinations of world, nodes, ticks an exchange, transport and failure runs, which covers
as many pairs of values as possible; with UMWELT_LONG=1 (make test-long) all combinations run.
"""

import itertools
import os
import signal
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest
from commands_script import LAST_TICK as LAST_SCRIPTED
from commands_script import commands_at
from process_cluster import TCP, ProcessCluster, have_ended, read_journal, undisturbed_digests
from simulation import Simulation
from test_golden import GOLDEN_DIGESTS

from umwelt.agents.commands.rate import Rate, compose_rate
from umwelt.agents.world_file import read_world
from umwelt.cluster.launch.coordinator_client import CoordinatorClient
from umwelt.cluster.process import read_announcement
from umwelt.cluster.run.replay import verify
from umwelt.cluster.run.store import Store
from umwelt.cluster.settings import CLUSTER_FILE, COORDINATOR_FILE

LONG = os.environ.get("UMWELT_LONG") == "1"
LAST_TICK = 500 if LONG else 250
NODES, EXCHANGES, NETWORKS = (1, 2, 3, 4, 6, 9), (1, 2, 4), ("loopback", "ipc", "tcp")
FAILURES = ("none", "join", "leave", "kill", "all")
SAMPLE = [
    ("golden", 1, 1, "ipc", "none"),
    ("golden", 2, 4, "tcp", "join"),
    ("golden", 3, 2, "ipc", "all"),
    ("golden", 2, 1, "tcp", "kill"),
    ("golden", 9, 2, "loopback", "leave"),
    ("golden", 6, 4, "loopback", "all"),
    ("golden", 3, 2, "tcp", "none"),
    ("golden", 9, 1, "ipc", "kill"),
    ("pond", 2, 1, "tcp", "all"),
]
EVERYTHING = list(itertools.product(("golden", "pond"), NODES, EXCHANGES, NETWORKS, FAILURES))
SPEED = LAST_TICK / 4
HOLD_AT = LAST_TICK - 50
"""The tick at which the world is paused if a failure that the test waits for has not had its effect yet."""


def fate(case: tuple) -> Random:
    """Returns the random generator of a case."""
    return Random(str(case))


@pytest.mark.parametrize("case", EVERYTHING if LONG else SAMPLE, ids=lambda case: "-".join(map(str, case)))
@pytest.mark.slow
def test_the_world_is_the_same_for_any_nodes_transport_and_failures(case, tmp_path):
    name, nodes, k, network, failure = case
    world = read_world(name)
    run = in_one_process if network == "loopback" else in_processes
    digests, due, alone = run(world, nodes, k, network, failure, fate(case), tmp_path / "run")
    assert digests[LAST_TICK] == alone[LAST_TICK]
    assert bool(due) == (failure != "none")
    if name == "golden" and not due:
        assert hex(digests[LAST_TICK]) == hex(GOLDEN_DIGESTS[LAST_TICK])


def in_processes(world, nodes, k, network, failure, chance, folder):
    """Runs a world in real processes, with failures; returns digests, commands, and the expected digests."""
    bind = TCP if network == "tcp" else ""
    with ProcessCluster(world, folder, nodes, bind=bind, ticks_per_exchange=k, last_tick=LAST_TICK, mark_s=0.3) as run:
        if failure != "none":
            disturb(run, failure, chance)
        run.rest()
        alone = run.assert_undisturbed(LAST_TICK)
    digests, due = read_journal(run.store)
    return digests, due, alone


def disturb(run, failure, chance):
    """Send the script's commands while nodes join, leave or are killed.

    A reaction's rate is changed before the snapshot from which the world recovers, so that the snapshot must hold it.
    """
    what = ["join", "leave", "kill"] if failure == "all" else [failure]
    chance.shuffle(what)
    run.line.order("speed", SPEED)
    script = iter(range(LAST_SCRIPTED + 1))

    def do_something(most: int) -> None:
        for at in itertools.islice(script, most):
            run.submit(f"script-{at}", scripted(at, run.world))

    run.submit("rate", [compose_rate(run.world, "decay", 0.9)])
    do_something(5)
    run.until(lambda: "rate" in run.sender.settled)
    run.until(lambda: run.status.get("snapshot_tick", 0) > run.sender.settled["rate"].tick)
    for one in what:
        run.wait_for_tick(min(HOLD_AT - 20, run.tick + chance.randint(5, 60)))
        do_something(3)
        befall(run, one, chance)
    do_something(LAST_SCRIPTED)
    run.until(lambda: run.sender.answered, HOLD_AT)
    run.line.order("speed", 0)


def scripted(at, world):
    """Returns the script's commands of a tick except for `Rate` commands that stop a reaction.

    Without that reaction, few beings would be left to compare after hundreds of ticks.
    """
    return [command for command in commands_at(at, world) if not (isinstance(command, Rate) and command.rate_q24 == 0)]


def befall(run, what, chance):
    """Cause one failure ("join", "leave" or "kill"), and wait for the new epoch."""
    epoch, members = run.status["epoch"], run.members
    if what == "join":
        name = run.join()
        run.until(lambda: name in run.members and run.running, HOLD_AT)
        return
    name = chance.choice(sorted(members))
    if what == "kill":
        run.kill(name)
        run.until(lambda: run.status["epoch"] > epoch and run.running, HOLD_AT)
        assert name not in run.members
    elif len(members) > 1:  # the last node must stay
        run.leave(name)
        run.until(lambda: name not in run.members and run.running, HOLD_AT)
        run.until(lambda: name not in run.engine.children, HOLD_AT)


def in_one_process(world, nodes, k, network, failure, chance, folder):
    """Runs a world in a `Simulation`, with failures; returns the same as `in_processes`."""
    run = Simulation(world, nodes, chance.randint(0, 999), last_tick=LAST_TICK, ticks_per_exchange=k)
    if failure != "none":
        script = [("rate", [compose_rate(world, "decay", 0.9)])]
        script += [(f"script-{at}", found) for at in range(LAST_SCRIPTED + 1) if (found := scripted(at, world))]
        at_ticks = sorted(chance.sample(range(60, HOLD_AT), 3))
        what = ["join", "leave", "kill"] if failure == "all" else [failure]
        for tick, one in zip(at_ticks, what, strict=False):
            for ticket, found in script[:6]:
                run.submit(ticket, found)
            run.run(until=lambda tick=tick: run.tick() >= tick)
            del script[:6]
            living = sorted(run.nodes)
            if one == "join":
                run.join()
            elif one == "kill":
                assert run.machine.snapshots.last.tick > run.answers["rate"].tick  # the rate is in the snapshot
                run.kill(chance.choice(living))
                if not run.nodes:
                    run.join()
            elif len(living) > 1:
                run.nodes[chance.choice(living)].leave()
    run.run(max_s=600)
    due = tuple(command for _, command in run.disk.commands)
    alone = undisturbed_digests(world, LAST_TICK, due)
    assert {tick: found for tick, found in run.disk.digests.items() if alone[tick] != found} == {}
    return run.disk.digests, due, alone


@pytest.mark.slow
def test_a_frozen_node_is_declared_dead_and_joins_again_when_it_thaws(tmp_path):
    with ProcessCluster(read_world("golden"), tmp_path / "run", 3, last_tick=LAST_TICK, mark_s=0.3) as run:
        run.line.order("speed", SPEED)
        run.submit("rain", scripted(1, run.world))
        run.wait_for_tick(60)
        epoch, frozen = run.status["epoch"], "node-2"
        pid = run.members[frozen]
        run.freeze(frozen)
        run.until(lambda: run.running and run.status["epoch"] > epoch and frozen not in run.members)
        reached = run.tick
        run.until(lambda: run.tick > reached + 20)  # the other nodes continue
        run.thaw(frozen)
        run.until(lambda: pid in run.members.values() and run.running, HOLD_AT)  # the same process joins again
        run.line.order("speed", 0)
        run.rest()
        run.assert_undisturbed(LAST_TICK)


@pytest.mark.slow
def test_a_killed_coordinator_comes_back_and_nodes_rejoin_by_themselves(tmp_path):
    world = read_world("golden")
    with ProcessCluster(world, tmp_path / "run", 3, bind=TCP, last_tick=LAST_TICK, mark_s=0.3) as run:
        run.line.order("speed", SPEED)
        run.submit("script", [command for at in (0, 3, 5) for command in scripted(at, world)])
        run.wait_for_tick(60)
        run.until(lambda: run.sender.answered)
        nodes, pid = set(run.members.values()), read_announcement(run.store.folder / COORDINATOR_FILE)["pid"]
        reached = run.tick
        run.kill("coordinator")
        run.until(lambda: (read_announcement(run.store.folder / COORDINATOR_FILE) or {}).get("pid", pid) != pid)
        run.line.order("speed", SPEED)  # the new coordinator does not know the speed
        run.until(lambda: run.running and set(run.members.values()) == nodes and run.tick > reached)
        run.submit("after", scripted(1, world))
        run.until(lambda: run.sender.answered)
        run.line.order("speed", 0)
        run.rest()
        assert run.sender.settled["script"].tick <= run.sender.settled["after"].tick
        run.assert_undisturbed(LAST_TICK)


@pytest.mark.slow
def test_a_killed_engine_leaves_nothing_behind_and_the_run_goes_on_where_it_was_saved(tmp_path):
    folder, world = tmp_path / "run", read_world("golden")
    with ProcessCluster(world, folder, 2, last_tick=40) as run:
        run.rest()
    with (tmp_path / "log").open("wb") as log:
        command = [sys.executable, str(Path(__file__).with_name("process_cluster.py")), str(folder), "2"]
        engine = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}, stderr=log)
    try:
        store, line = Store.open(folder), None
        while line is None:
            found = read_announcement(folder / COORDINATOR_FILE)
            line = CoordinatorClient(found["address"]) if found and read_announcement(folder / CLUSTER_FILE) else None
            assert engine.poll() is None, (tmp_path / "log").read_text()
        while line.status.get("tick", 0) < 120:
            line.poll(0.05)
        reached = line.status["tick"]
        pids = [read_announcement(folder / COORDINATOR_FILE)["pid"], *(node["pid"] for node in line.status["nodes"])]
        line.close()
    finally:
        engine.send_signal(signal.SIGKILL)
        engine.wait()
    assert have_ended(pids, 120)
    assert store.ticks()[-1] >= reached  # the newest state was saved
    with ProcessCluster(world, folder, 3, last_tick=store.ticks()[-1] + 60) as run:
        run.rest()
        run.assert_undisturbed(run.engine.plan.last_tick)
    verdict = verify(folder, nodes=2)
    assert verdict.first_difference is None and verdict.compared > 10

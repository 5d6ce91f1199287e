"""A world on hosts without a shared folder, over a slow and lossy network: its history must be unchanged.

Coordinator and nodes are real processes with keys, in a `VirtualNetwork`. UMWELT_LONG=1 adds longer runs.
"""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from virtual_network import NetworkRun, VirtualNetwork, why_not

from umwelt.agents.world_file import read_world
from umwelt.cluster.run.journal import Journal
from umwelt.cluster.run.replay import verify

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(why_not()), reason=f"no virtual network: {why_not()}"),
]
long = pytest.mark.skipif(not os.environ.get("UMWELT_LONG"), reason="takes long: run it with UMWELT_LONG=1")
ONE_THREAD = {"UMWELT_THREADS": "1"}


def begun(
    network: VirtualNetwork, folder: Path, last_tick: int | None, nodes: int, hidden: bool = False, **settings: object
) -> NetworkRun:
    """Starts the golden world, with the coordinator and each node on a host of its own."""
    network.host("coordinator")
    run = NetworkRun(network, read_world("golden"), folder, "coordinator", ONE_THREAD)
    run.start_coordinator(nodes=nodes, last_tick=last_tick, **settings)
    for number in range(1, nodes + 1):
        network.host(f"host-{number}")
        run.start_node(f"host-{number}", hidden=hidden)
    return run


def rested(run: NetworkRun, within_s: float = 60.0) -> None:
    """Wait until the run has ended; assert that every journalled digest equals that of an undisturbed replay."""
    run.until(lambda: run.resting, within_s, "rest")
    assert run.coordinator is not None and run.coordinator.returncode == 0, run.logs()
    run.close()
    verdict = verify(run.store.folder)
    assert verdict.first_difference is None, verdict.line
    journal = Journal.reading(run.store.journal)
    try:
        ticks = sorted(journal.history.digests())
    finally:
        journal.close()
    assert ticks[0] == 0 and ticks[-1] == verdict.last_tick and verdict.compared == len(ticks) > 3


@pytest.fixture
def network() -> Iterator[VirtualNetwork]:
    with VirtualNetwork() as made:
        yield made
        assert made.failed is None
    assert not [thread for thread in threading.enumerate() if thread.name == "lan-switch"]
    assert not [host.namespace for host in made.hosts.values() if Path("/run/netns", host.namespace).exists()]


def test_frames_are_delayed_lost_and_cut_off(network):
    import socket
    import time

    a, b = network.host("a"), network.host("b")
    with a.inside():
        here = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with b.inside():
        there = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with here, there:
        there.bind((b.address, 5000))
        there.settimeout(1.0)

        def sent(count: int) -> int:
            came = 0
            for _ in range(count):
                here.sendto(b"?", (b.address, 5000))
            while came < count:
                try:
                    there.recv(9)
                except TimeoutError:
                    break
                came += 1
            return came

        assert sent(20) == 20
        network.delay_s = 0.05
        began_s = time.monotonic()
        assert sent(1) == 1 and time.monotonic() - began_s >= 0.05
        network.loss = 0.3
        assert 100 < sent(200) < 180
        network.loss = 0.0
        network.cut("b")
        assert sent(5) == 0
        network.heal("b")
        assert sent(20) == 20


def test_a_slow_network_that_loses_frames_changes_no_digest_and_parts_are_transferred(network, tmp_path):
    network.delay_s, network.loss = 0.025, 0.01
    run = begun(network, tmp_path, 60, 3, hidden=True, mark_s=0.5)
    held: dict[str, set[str]] = {name: set() for name in run.nodes}

    def done() -> bool:
        for name, found in held.items():
            now = {path.name for path in run.temporary(name).glob("umwelt-node-*/*")}
            assert len(now) <= 3, f"{name} keeps old snapshots: {now}"
            found |= now
        return run.resting

    run.until(done, 60.0, "rest")
    rested(run)
    assert network.counts["lost"] > 0
    for (
        name,
        found,
    ) in held.items():  # each node has loaded and written snapshots in its own folder
        assert "tick-000000000000" in found, name
        assert len(found) > 1, name
    assert len(run.store.ticks()) > 1  # and the coordinator has received the parts


def test_a_node_that_was_cut_off_is_fenced_and_joins_again(network, tmp_path):
    network.delay_s = 0.002
    run = begun(network, tmp_path, None, 3)
    run.until(lambda: run.tick >= 16, 90.0, "begin")
    network.cut("host-2")
    cut_at = run.tick
    run.until(lambda: any("node-2 is silent" in line for line in run.said), 60.0, "death")
    run.until(lambda: run.tick > cut_at + 16, 60.0, "the rest go on")
    assert len(run.status["nodes"]) == 2
    network.heal("host-2")
    run.until(lambda: sum("node-2 joined" in line for line in run.said) == 1, 60.0, "join again")
    run.until(lambda: [n["state"] for n in run.status["nodes"]] == ["ready"] * 3, 60.0, "three nodes")
    joined_at = run.tick
    run.until(lambda: run.tick >= joined_at + 16, 60.0, "go on")
    run.line.order("stop")
    rested(run)
    assert all(process.wait(60) == 0 for process in run.nodes.values()), run.logs()


@pytest.mark.parametrize("seconds", [0.3, 4.0])  # TCP retransmits after a delay that grows with the length of the cut
def test_a_coordinator_that_was_cut_off_comes_back(network, tmp_path, seconds):
    network.delay_s = 0.002
    run = begun(network, tmp_path, None, 2)
    run.until(lambda: run.tick >= 16, 90.0, "begin")
    epoch = run.status["epoch"]
    network.cut("coordinator")
    run.wait(seconds)
    network.heal("coordinator")
    healed_at = run.tick
    run.until(lambda: run.tick >= healed_at + 32, 60.0, "go on")
    if seconds < 1:
        assert run.status["epoch"] == epoch and not any("is silent" in line for line in run.said)
    else:
        assert run.status["epoch"] > epoch and sum("is silent" in line for line in run.said) == 2
    run.line.order("stop")
    rested(run)


@long
@pytest.mark.parametrize("seed", range(4))
def test_a_bad_network_for_long(network, tmp_path, seed):
    import random

    dice = random.Random(seed)
    network.delay_s, network.loss = dice.choice([0.005, 0.025, 0.05]), dice.choice([0.005, 0.01, 0.03])
    run = begun(network, tmp_path, None, 4)
    run.until(lambda: run.tick >= 8, 60.0, "begin")
    for _ in range(6):
        name = dice.choice(sorted(network.hosts))
        network.cut(name)
        run.wait(dice.uniform(0.2, 4.0))
        network.heal(name)
        reached = run.tick
        run.until(lambda reached=reached: run.tick >= reached + 8, 90.0, "go on")
        run.wait(dice.uniform(0.0, 3.0))
    run.line.order("stop")
    rested(run, 120.0)

"""Fixtures and settings for all tests: makes the helper modules importable, and sets hypothesis to no deadlines."""

import os
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

TESTS = Path(__file__).parent
sys.path[:0] = [str(TESTS), str(TESTS / "cluster")]
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # so that processes of tests reuse bytecode files

settings.register_profile(
    "umwelt",
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("umwelt")


@pytest.fixture(scope="session")
def shared_cluster():
    """A suspended `LocalCluster`: the golden world of 96 x 80 cells, three nodes, at most 25 ticks a second.

    Tests use the fixture `cluster`, which resumes it.
    """
    from local_cluster import LocalCluster
    from sharded_regions import golden_world

    with LocalCluster(golden_world(96, 80), 3, tick_s=0.04) as cluster:
        cluster.suspend()
        yield cluster


@pytest.fixture(scope="module")
def cluster(shared_cluster):
    """The running cluster that all test modules of this process share, with a gateway and three nodes.

    At the end of a module, it must again have its three nodes, a gateway and no error. A module may define a fixture
    `cluster` of its own.
    """
    shared_cluster.resume()
    yield shared_cluster
    nodes, gateway = shared_cluster.do(lambda: (len(shared_cluster.nodes), shared_cluster.gateway))
    shared_cluster.suspend()
    assert shared_cluster.failed is None and nodes == 3 and gateway is not None
    assert not shared_cluster.coordinator.machine.stopping


@pytest.fixture(scope="module")
def world(cluster):
    """A connection (`connect`) to the fixture `cluster`; the world runs without a limit on its speed."""
    from umwelt.client.connection.api import connect

    with connect(cluster.address) as connection:
        connection.speed()
        connection.go()
        connection.wait(3, 60)
        yield connection


@pytest.fixture
def resting(world):
    """The connection `world`, with the world paused at a tick that all nodes have reached; it runs again afterwards."""
    tick = world.pause()
    world.wait(tick, 60)
    try:
        yield world
    finally:
        world.go()

"""What all tests share: the tests' own helpers are importable, and hypothesis takes its time on slow machines."""

import os
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

TESTS = Path(__file__).parent
sys.path[:0] = [str(TESTS), str(TESTS / "cluster")]
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # or each process that a test starts compiles all modules of ours anew

settings.register_profile(
    "umwelt",
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("umwelt")


@pytest.fixture(scope="module")
def cluster():
    """A golden world of 96 x 80 cells on three nodes, 50 ticks a second at most."""
    from local_cluster import LocalCluster
    from sharded_regions import golden_world

    with LocalCluster(golden_world(96, 80), 3, tick_s=0.02) as found:
        yield found


@pytest.fixture(scope="module")
def world(cluster):
    """A connection to the town."""
    from umwelt.client.connection.api import connect

    with connect(cluster.address) as found:
        found.wait(3, 60)
        yield found


@pytest.fixture
def resting(world):
    """The world held at a tick, which all nodes have reached."""
    at = world.pause()
    world.wait(at, 20)
    yield world
    world.go()

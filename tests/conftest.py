"""Fixtures and settings for all tests: makes the helper modules importable, and sets hypothesis to no deadlines."""

import os
import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadScopeScheduling

TESTS = Path(__file__).parent
INDEPENDENT = (
    "tests/client/test_cli.py",
    "tests/cluster/test_cluster.py",
    "tests/cluster/test_lan.py",
    "tests/test_golden.py",
    "tests/test_pages.py",
)
"""Files of slow tests that share no fixture: their tests need not run in the same process."""
sys.path[:0] = [str(TESTS), str(TESTS / "cluster")]
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # so that processes of tests reuse bytecode files

os.environ.setdefault("UMWELT_THREADS", "1")  # tests share the cores already

settings.register_profile(
    "umwelt",
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("umwelt")


class FileScheduling(LoadScopeScheduling):
    """Gives each process whole files, because tests of a file share costly fixtures, and single `INDEPENDENT` tests.

    pytest-xdist calls `_split_scope` with a test's id; tests for which it returns the same name stay together.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.split("::", 1)[0]
        return nodeid if file in INDEPENDENT else file


def pytest_xdist_make_scheduler(config, log):
    """Distributes tests by `FileScheduling`, in the order of `pytest_collection_modifyitems`."""
    config.option.loadscopereorder = False  # it would begin with the files that have the most tests
    return FileScheduling(config, log)


def pytest_collection_modifyitems(items):
    """Files with slow tests first, so that at the end no process has much left to do while the others are idle."""
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: -slow[item.path])


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

"""The digest of the golden world, a small world that uses every law. It changes only on purpose."""

import pytest
from sharded_regions import whole_elements

from umwelt.agents.open_world import begin
from umwelt.agents.world_file import read_world
from umwelt.sandbox import audit
from umwelt.sandbox.step import advance

GOLDEN_DIGESTS = {250: 0xF71E5D292750480D, 500: 0x973FD7FDE6722CBF}


@pytest.mark.slow
def test_the_golden_world_has_its_fixed_digests():
    world = read_world("golden")
    region = begin(world)
    for tick, digest in GOLDEN_DIGESTS.items():
        advance(region, world.laws, tick - region.tick)
        assert hex(audit.digest(region)) == hex(digest)


@pytest.mark.parametrize(("name", "ticks"), [("golden", 1000), ("pond", 400), ("desert", 400), ("meadow", 100)])
@pytest.mark.slow
def test_elements_are_conserved_exactly(name, ticks):
    world = read_world(name)
    region = begin(world)
    before = whole_elements([region], world)
    for _ in range(ticks // 50):
        advance(region, world.laws, 50)
        assert whole_elements([region], world) == before
    assert region.counts["births"] > 0 and region.counts["deaths"] > 0

"""The command `remove`: it removes a being and all matter in its body."""

from command_world import apply, assert_halo_is_fresh, images, ready
from commands_script import cast
from sharded_regions import whole_elements

from umwelt.agents import commands
from umwelt.agents.commands.remove import Remove
from umwelt.sandbox import audit


def test_a_removed_being_is_gone_with_its_matter():
    region, world = ready()
    found = cast(world)[0][0]
    before, elements = whole_elements([region], world), {}
    chemistry = world.chemistry
    elements = audit.element_totals(dict(zip(chemistry.names, found["row"]["counts"], strict=True)), chemistry)
    apply(region, world, Remove(found["id"]), 1)
    assert commands.fetch(region, found["id"]) is None and images(region, "monsters", found["id"]) == 0
    assert whole_elements([region], world) == {e: n - elements[e] for e, n in before.items()}
    assert region.counts["deaths"] == 1
    assert_halo_is_fresh(region)


def test_removing_twice_is_removing_once():
    region, world = ready()
    being = cast(world)[1][0]["id"]
    apply(region, world, Remove(being))
    before, counts = audit.digest(region), dict(region.counts)
    apply(region, world, Remove(being), 2)
    assert audit.digest(region) == before and region.counts == counts

"""The command `rate`: it changes the rate of a reaction, and restores the rate of the world file."""

from command_world import apply, ready
from sharded_regions import begin, golden_world

from umwelt.agents import commands
from umwelt.agents.commands.rate import Rate, RateRequest, compose_rate
from umwelt.agents.earth.laws.metabolism import reactions_of
from umwelt.agents.open_world import open_region
from umwelt.sandbox import audit
from umwelt.sandbox.controls import Controls
from umwelt.sandbox.step import advance


def test_a_rate_is_changed_in_one_region_and_restored():
    region, world = ready()
    other = open_region(world, [region.cut(region.owned)], region.constants, 0)
    before = {site: reactions_of(region, site).rate_q24.tolist() for site in ("cell", "plants", "monsters")}
    apply(region, world, compose_rate(world, "respiration", 0.25), 1)
    names = [r.name for r in world.chemistry.reactions if r.site == "monsters"]
    expected = list(before["monsters"])
    expected[names.index("respiration")] = 1 << 22
    assert reactions_of(region, "monsters").rate_q24.tolist() == expected != before["monsters"]
    assert reactions_of(region, "plants").rate_q24.tolist() == before["plants"]
    assert reactions_of(other, "monsters").rate_q24.tolist() == before["monsters"]
    commands.apply(region, compose_rate(world, "respiration", None), 2)
    assert reactions_of(region, "monsters").rate_q24.tolist() == before["monsters"] and region.controls == Controls()


def test_a_reaction_without_a_rate_does_not_happen():
    worlds = []
    for stopped in (False, True):
        world = golden_world(32, 32)
        region = begin(world)
        if stopped:
            for name in ("decay", "digestion"):
                commands.apply(region, compose_rate(world, name, 0), 1)
        advance(region, world.laws, 30)
        chemistry = world.chemistry
        worlds.append(audit.substance_totals(region, chemistry)["mineral"])
    assert worlds[1] < worlds[0]


def test_a_request_gives_the_rate_a_tick():
    world = golden_world(32, 32)
    assert commands.compose(world, RateRequest("decay", 0.25)) == [Rate("decay", 1 << 22)]
    assert commands.compose(world, RateRequest("decay")) == [Rate("decay")]

"""Flows of matter between pools (`CycleMeter`): sums are exact, and measuring does not change the world."""

from functools import cache

import pytest
from small_runs import small_world

from umwelt.agents.measures.cycles import SCENTED, Cycle, CycleMeter
from umwelt.agents.open_world import begin
from umwelt.agents.world_file import read_world
from umwelt.sandbox.audit import world_digest
from umwelt.sandbox.step import advance

WARM_TICKS, TICKS = 40, 120
OWN = {
    "chemistry.substances": {"phosphate": "P", "resin": "C2H4O2P"},
    "chemistry.initial": {"phosphate": 50},
    "chemistry.reactions": [
        {
            "name": "resin sets",
            "equation": "2 sugar + phosphate -> resin",
            "rate": 0.2,
            "site": "cell",
            "order": {"sugar": 1, "phosphate": 0},
        },
        {"name": "plants bind", "equation": "2 sugar -> aroma + sugar", "rate": 0.001, "site": "plants", "order": 1},
    ],
}


def plain_and_measured(world) -> tuple[int, int, list[Cycle]]:
    """Runs a world without and with a `CycleMeter`; returns both digests, and the measured cycles."""
    plain = begin(world)
    advance(plain, world.laws, WARM_TICKS + TICKS)
    region = begin(world)
    advance(region, world.laws, WARM_TICKS)
    meter = CycleMeter(world, region)
    advance(region, meter.world.laws, TICKS)
    return world_digest(plain), world_digest(region), meter.cycles()


@cache
def run_of(name: str) -> tuple[int, int, list[Cycle]]:
    """Returns the result of `plain_and_measured` for one of two worlds; cached."""
    if name == "pond":
        return plain_and_measured(read_world("pond", {"seed": 1, "width": 64, "height": 64}))
    return plain_and_measured(small_world(**OWN))


@pytest.fixture(params=["pond", "own chemistry"])
def run(request):
    return run_of(request.param)


@pytest.fixture
def cycles(run) -> dict[str, Cycle]:
    return {cycle.name: cycle for cycle in run[2]}


@pytest.mark.slow
def test_a_measured_world_comes_out_the_same_bit_for_bit(run):
    assert run[0] == run[1]


def test_inflow_minus_outflow_is_the_change_of_every_pool(cycles):
    assert {"water", "oxygen gas", "carbon", "hydrogen", "nitrogen", "oxygen"} <= set(cycles)
    for cycle in cycles.values():
        for pool in cycle.pools:
            assert pool.inflow - pool.outflow == pool.stock_last - pool.stock_first, (cycle.name, pool)
            mine = [flow for flow in cycle.flows if flow.pool == pool.pool]
            assert sum(flow.inflow for flow in mine) == pool.inflow
            assert sum(flow.outflow for flow in mine) == pool.outflow


def test_no_process_makes_or_loses_an_atom(cycles):
    for name in ("carbon", "hydrogen", "nitrogen", "oxygen"):
        flows = cycles[name].flows
        for process in {flow.process for flow in flows}:
            mine = [flow for flow in flows if flow.process == process]
            assert sum(flow.inflow for flow in mine) == sum(flow.outflow for flow in mine) > 0, process


def test_matter_circulates_through_all_pools(cycles):
    for name in ("water", "oxygen gas", "carbon", "nitrogen"):
        for pool in cycles[name].pools:
            if pool.stock_sum and pool.pool not in ("phosphate", "resin"):
                assert pool.residence_ticks is not None and pool.residence_ticks > 0, (name, pool)
    assert {pool.pool for pool in cycles["carbon"].pools} >= {
        "carbon dioxide in air",
        SCENTED,
        "detritus",
        "plants",
        "monsters",
    }


def test_flows_in_opposite_directions_do_not_cancel(cycles):
    water = {(flow.process, flow.pool): flow for flow in cycles["water"].flows}
    rain, evaporation = water["rain", "vapour"], water["evaporation", "vapour"]
    assert rain.outflow > 0 and evaporation.inflow > 0
    assert {(flow.inflow > 0) + (flow.outflow > 0) for cycle in cycles.values() for flow in cycle.flows} == {1}


def test_bodies_exchange_matter_by_the_processes_of_the_laws(cycles):
    touched = {(flow.process, flow.pool) for flow in cycles["carbon"].flows}
    assert {pool for process, pool in touched if process == "grazing"} == {"plants", "monsters"}
    assert {pool for process, pool in touched if process == "uptake by plants"} == {"plants", "carbon dioxide in air"}
    assert ("scents by plants", SCENTED) in touched and ("giving off by monsters", "carbon dioxide in air") in touched
    assert ("sweat and death", "detritus") in touched
    laws = {flow.process for cycle in cycles.values() for flow in cycle.flows}
    assert not laws & {"weather", "flow", "sense", "respond", "move", "grow"}


def test_substances_of_a_world_file_are_pools_of_their_own():
    _, _, found = run_of("own chemistry")
    phosphorus = next(cycle for cycle in found if cycle.name == "P")
    by_name = {pool.pool: pool for pool in phosphorus.pools}
    assert set(by_name) == {"phosphate", "resin"} and phosphorus.unit == "atoms"
    assert by_name["phosphate"].outflow == by_name["resin"].inflow > 0
    assert by_name["resin"].stock_last > 0 and by_name["resin"].residence_ticks is None

"""The world `particles`: conservation of elements and charge, spores of matter of their cell, and sharding."""

import json
import sqlite3

import numpy as np
import pytest
from sharded_regions import (
    assert_thin_shards_agree,
    assert_unique_ids,
    begin,
    halves,
    ninths,
    open_shards,
    run_together,
    torus_of,
    whole_digest,
    whole_elements,
)
from small_runs import open_run

from umwelt.agents.body.interface import SEED_IN_GROUND, SUBSTANCES
from umwelt.agents.commands.drop import Drop
from umwelt.agents.commands.paint import Paint
from umwelt.agents.earth.parameters import BUD_SUGAR_COUNT, BUD_TISSUE_COUNT
from umwelt.agents.measures import measure_region, without_nan
from umwelt.agents.measures.matter_budget import MatterBudget
from umwelt.agents.open_world import generate_world
from umwelt.agents.world_file import read_world
from umwelt.client.commands.cli import main
from umwelt.cluster.launch.local import begin_run
from umwelt.cluster.run.store import Store
from umwelt.sandbox import audit
from umwelt.sandbox.errors import UmweltError
from umwelt.sandbox.step import advance

FOOD = {"water": 400, "oxygen": 300, "carbon_dioxide": 200, "mineral": 40, "detritus": 16, "sugar": 30}
THIRDS = {"U": 2, "D": -1, "E": -3}


def particles(height=48, width=40, **more):
    return read_world("particles", {"height": height, "width": width, **more})


def fertile(height=48, width=40, **more):
    """Returns a world that begins with molecules and food in every cell, so that spores form at once."""
    food = {f"chemistry.initial.{name}": count for name, count in FOOD.items()}
    return particles(height, width, **{"founders.0.spores": 0.02, **food, **more})


def test_at_the_start_there_are_quarks_and_electrons_and_nothing_else():
    world = particles()
    region = generate_world(world)
    totals = audit.substance_totals(region, world.chemistry)
    assert {name for name, count in totals.items() if count} == {"up", "down", "electron"}
    assert all(table.count == 0 for table in region.tables.values())


def test_all_substances_are_made_of_the_same_parts_and_their_charge_is_that_of_their_parts():
    chemistry = particles().chemistry
    assert chemistry.elements == ("D", "E", "U") and set(SUBSTANCES) < set(chemistry.names)
    assert chemistry.content["water"] == {"U": 28, "D": 26, "E": 10}
    for held in chemistry.content.values():
        assert held.get("charge", 0) == sum(third * held.get(element, 0) for element, third in THIRDS.items())


def test_elements_and_charge_are_conserved_exactly_while_plants_form():
    world = fertile(**{"chemistry.initial.electron": 12_000})
    region = begin(world)
    before = whole_elements([region], world)
    assert before["charge"] == 48 * 40 * 3 * 532 and before.keys() == {"U", "D", "E", "charge"}
    for _ in range(4):
        advance(region, world.laws, 20)
        assert whole_elements([region], world) == before
        assert measure_region(world, region, ["elements"])["charge"] == before["charge"]
    assert region.counts["births"] > 100


def test_the_matter_budget_includes_charge_added_by_commands():
    world = particles(**{f"chemistry.initial.{name}": 0 for name in ("up", "down", "electron")})
    budget = MatterBudget(world.chemistry, torus_of(world), whole_elements([begin(world)], world))
    budget.record(3, Drop(1, 2, "electron", 5))
    assert budget.min_atoms["charge"] == budget.max_atoms["charge"] == -15
    held = dict(budget.max_atoms)
    assert budget.compare(held | {"charge": 0}) == "charge"
    budget.record(4, Paint(0, 0, 2, 2, "electron", 7))
    assert budget.min_atoms["charge"] == -15 - 3 * 28 and budget.max_atoms["charge"] > 1 << 80


def test_a_spore_is_made_of_the_detritus_and_sugar_of_its_cell():
    world = fertile(**{"founders.0.spores": 1})
    region = begin(world)
    region.wrap()
    *before, last = world.laws.order
    for law in before:
        region.margin_cells -= law.reach
        law.run(region)
    food = [region.owned_view(name).copy() for name in ("detritus", "sugar")]
    food[0][3, 4] = region.owned_view("detritus")[3, 4] = BUD_TISSUE_COUNT - 1
    last.run(region)
    plants = region.tables["plants"]
    assert region.owned_rows("plants").sum() == region.torus.cells - 1, "one in every cell that has enough"
    assert (plants["stage"] == SEED_IN_GROUND).all() and (plants["parent_id"] == 0).all()
    assert without_nan(measure_region(world, region, ["descent"])) == {"plants.born_share": 0}
    for name, had, count in zip(("detritus", "sugar"), food, (BUD_TISSUE_COUNT, BUD_SUGAR_COUNT), strict=True):
        took = had - region.owned_view(name)
        assert took[3, 4] == 0 and (np.delete(took, 3 * 40 + 4) == count).all()
    last.run(region)
    assert region.owned_rows("plants").sum() == region.torus.cells - 1, "none comes where one is"


@pytest.mark.parametrize(("cut", "k"), [(halves, 4), (ninths, 1), (ninths, 2)])
def test_cuts_and_the_order_of_rows_change_nothing(cut, k):
    world = fertile(80, 48)
    alone = begin(world)
    advance(alone, world.laws, 24)
    assert alone.counts["births"] > 200
    regions = open_shards(generate_world(world), world, cut(torus_of(world)), k)
    run_together(regions, world, 24, k, shuffle_seed=k)
    assert_unique_ids(regions)
    assert whole_digest(regions) == audit.digest(alone)
    assert whole_elements(regions, world) == whole_elements([alone], world)


def test_thin_strips_agree_tick_by_tick():
    assert_thin_shards_agree(fertile(40, 40), True, 6)


def test_a_run_is_audited_and_its_spores_are_journalled_without_a_parent(tmp_path, capsys):
    folder = tmp_path / "run"
    begin_run(fertile(births=True), folder)
    with open_run(folder) as runner:
        runner.go(40)
        runner.save()
    with sqlite3.connect(Store.open(folder).journal) as journal:
        parents = [parent for (parent,) in journal.execute("SELECT parent_id FROM births")]
    assert len(parents) > 200 and set(parents) == {0}
    for command in (
        ["audit", str(folder), "--ticks", "3"],
        ["audit", str(folder), "--ticks", "3", "--json"],
        ["lineage", str(folder), "--to", str(tmp_path / "tree")],
    ):
        with pytest.raises(SystemExit) as left:
            main(command)
        assert not left.value.code
    told = capsys.readouterr().out
    assert "closed: no atom was gained or lost from tick 0 to 40" in told and "\ncharge: 0\n" in told
    found = next(json.loads(line) for line in told.splitlines() if line.startswith("{"))
    assert found["charge"] == 0 and set(found["elements"]) == {"U", "D", "E"}
    assert {flow["process"] for flow in found["cycles"]["U"]["flows"]} >= {"spore", "proton forms"}


@pytest.mark.parametrize(
    ("key", "value", "line"),
    [
        ("chemistry.charges.proton", 4, 'reaction "proton forms": charge 3 on the left, 4 on the right: balance it'),
        ("chemistry.charges.proto", 3, 'charge of "proto": unknown substance: known are water'),
        ("chemistry.charges.up", 4000, 'charge of "up": 4000: use -1000 to 1000'),
        ("chemistry.symbols.h", "PE", 'symbol "h": write it as an element, like "C" or "Cl"'),
        ("chemistry.symbols.He", "p2", 'symbol "He": cannot read the formula "p2"'),
        ("chemistry.symbols.E", "U", 'symbol "E": is used by a symbol above it: define it before that one'),
        ("founders.0.spores", 1.5, "founders[0].spores = 1.5: use 0, or 2^-24 to 1"),
        ("founders.0.spores", 1e-9, "founders[0].spores = 1e-09: use 0, or 2^-24 to 1"),
        ("founders.0.like", "grazer", "founders[0].spores: only plants grow from spores: leave it out"),
    ],
)
def test_invalid_settings_of_particles_are_refused_in_one_line(key, value, line):
    with pytest.raises(UmweltError) as caught:
        particles(**{key: value})
    assert line in str(caught.value) and "particles.toml: " in str(caught.value) and "\n" not in str(caught.value)

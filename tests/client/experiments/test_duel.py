"""Duels: two groups of one species in a fresh world. No side has an advantage, and all births are counted."""

import multiprocessing
from dataclasses import replace

import numpy as np
import pytest
from small_runs import small_run, small_world

from umwelt.agents.body.genome import FIRST_WEIGHT
from umwelt.agents.earth.genesis import species_of
from umwelt.agents.open_world import begin, generate_world
from umwelt.agents.world_file import parse_world, read_world
from umwelt.client.experiments.duel import (
    Duel,
    Genomes,
    count_founders,
    find_duelling_species,
    load_moment,
    make_duel_world,
    run_duel,
    run_duels,
    sample_founder_genomes,
    sample_living_genomes,
    sign_test_chance,
    summarize_side,
)
from umwelt.cluster.launch.local import begin_run
from umwelt.cluster.run.replay import digest_shards, load_shards, step_shards
from umwelt.cluster.run.store import Entry
from umwelt.sandbox import audit
from umwelt.sandbox.errors import RunError, WorldFileError
from umwelt.sandbox.step import advance

EACH, TICKS = 40, 200
SEEDS = range(1, 9)
POND = read_world("pond", {"width": 48, "height": 48, "founders.0.count": 500, "founders.5.count": 0})
GRAZER = [species_of(POND.settings)[3]["genome"].tobytes()]


def crippled() -> list[bytes]:
    """Returns a grazer's genome whose net has only zeros, as a list of one."""
    genome = np.frombuffer(GRAZER[0], np.int8).copy()
    genome[FIRST_WEIGHT:] = 0
    return [genome.tobytes()]


def births(first: list[bytes], second: list[bytes], seed: int) -> tuple[int, int]:
    """Runs a duel between founders with these genomes; returns the births of both sides."""
    world = make_duel_world(POND, "grazer", Genomes("first", first), Genomes("second", second), EACH, seed)
    rows = run_duel(world, TICKS, TICKS)
    return summarize_side(rows, "first")["births"], summarize_side(rows, "second")["births"]


@pytest.mark.slow
def test_a_duel_of_founders_with_founders_has_no_significant_winner():
    found = np.array([births(GRAZER, GRAZER, seed) for seed in SEEDS])
    first, second = (int(total) for total in found.sum(axis=0))
    assert min(first, second) > 20 * len(SEEDS) // 4
    more, fewer = (int((found[:, at] > found[:, 1 - at]).sum()) for at in (0, 1))
    assert sign_test_chance(more, fewer) > 0.01
    # four standard deviations of fair coins, because births in a family are not independent
    assert abs(first - second) < 4 * (first + second) ** 0.5


@pytest.mark.parametrize("crippled_first", [False, True])
def test_monsters_with_an_empty_net_lose_in_every_world_in_either_order(crippled_first):
    for seed in SEEDS[:3]:
        sides = (crippled(), GRAZER) if crippled_first else (GRAZER, crippled())
        found = births(*sides, seed)
        fit, unfit = reversed(found) if crippled_first else found
        assert unfit == 0 and fit > 5, seed


def test_exchanging_sides_with_equal_genomes_exchanges_only_their_names():
    def rows(first: str, second: str) -> list[tuple]:
        world = make_duel_world(POND, "grazer", Genomes(first, GRAZER), Genomes(second, GRAZER), EACH, 4)
        return [(row["tick"], row["group"], row["living"], row["births"]) for row in run_duel(world, 60, 30)]

    names = {"a": "b", "b": "a"}
    assert rows("b", "a") == [(tick, names.get(group, group), *rest) for tick, group, *rest in rows("a", "b")]


def test_every_birth_is_counted_in_its_group():
    world = make_duel_world(POND, "grazer", Genomes("a", GRAZER), Genomes("b", crippled()), EACH, 2)
    rows, ticks = run_duel(world, 90, 25), [0, 25, 50, 75, 90]
    groups = ["grass", "shrub", "reed", "a", "hunter", "snail", "b"]
    assert [(row["tick"], row["group"]) for row in rows] == [(tick, group) for tick in ticks for group in groups]
    region = begin(world)
    seen: dict[str, set[int]] = {group: set() for group in groups}
    for tick in range(91):
        for table in region.tables.values():
            young = region.owned_rows(table.schema.name) & (table["generation"] > 0)
            for species, being in zip(table["species"][young].tolist(), table["id"][young].tolist(), strict=True):
                seen[groups[species]].add(being)
        if tick < 90:
            advance(region, world.laws, 1)
    last = {row["group"]: row for row in rows[-len(groups) :]}
    assert {group: row["births"] for group, row in last.items()} == {group: len(ids) for group, ids in seen.items()}
    assert sum(row["births"] for row in last.values()) == region.counts["births"] > 0
    for at, group in enumerate(groups):
        table = region.tables["monsters" if group in ("a", "hunter", "snail", "b") else "plants"]
        its = region.owned_rows(table.schema.name) & (table["species"] == at)
        assert last[group]["living"] == its.sum()
        assert last[group]["generation"] == table["generation"][its].max(initial=0)


def test_the_summary_of_a_side_is_computed_from_its_rows():
    rows = [
        {"tick": tick, "group": group, "living": 9 - tick, "births": tick * 2, "generation": 3 - tick}
        for tick in (0, 1, 2)
        for group in ("a", "b")
    ]
    assert summarize_side(rows, "a") == {"living": 7, "births": 4, "generation": 3}


@pytest.mark.parametrize(
    ("more", "fewer", "odds"), [(0, 0, 1), (5, 0, 1 / 16), (0, 5, 1 / 16), (3, 3, 1), (4, 1, 3 / 8)]
)
def test_the_sign_test_has_the_textbook_probabilities(more, fewer, odds):
    assert sign_test_chance(more, fewer) == pytest.approx(odds)


# --- worlds


def test_a_duel_is_the_same_world_but_for_the_species_and_the_seed():
    duel = make_duel_world(POND, "grazer", Genomes("a", GRAZER), Genomes("b", crippled()), 7, 9)
    assert duel.common == read_world("pond", {"width": 48, "height": 48, "seed": 9}).common
    before, after = POND.settings, duel.settings
    assert after.climate == before.climate and after.ground == before.ground
    assert [at for at, group in enumerate(before.founders) if after.founders[at] != group] == [3]
    assert [(group.species, group.count) for group in after.founders[3::3]] == [("a", 7), ("b", 7)]
    assert parse_world(duel.text, "again.toml", duel.name).settings == after
    table = generate_world(duel).tables["monsters"]
    for at, genome in ((3, GRAZER[0]), (6, crippled()[0])):
        own = table["genome"][table["species"] == at]
        assert len(own) == 7 and all(row.tobytes() == genome for row in own)


def test_the_digest_of_a_duel_does_not_depend_on_the_number_of_shards(tmp_path):
    world = make_duel_world(POND, "grazer", Genomes("a", GRAZER), Genomes("b", crippled()), EACH, 3)
    first = begin_run(world, tmp_path / "run").load(Entry(0, True), world.laws.layout(world))
    one, three = load_shards(world, first, 1), load_shards(world, first, 3)
    assert len(three) == 3
    for _ in range(12):
        for portions in (one, three):
            step_shards(portions, [])
        assert digest_shards(one) == digest_shards(three)
    straight = begin(world)
    advance(straight, world.laws, 12)
    assert audit.digest(straight) + straight.controls.digest() & audit.DIGEST_MASK == digest_shards(one)


def test_the_world_of_a_duel_can_be_used_for_another_duel():
    duel = make_duel_world(POND, "grazer", Genomes("a", GRAZER), Genomes("b", crippled()), 20, 3)
    again = make_duel_world(duel, "b", Genomes("c", GRAZER), Genomes("d", GRAZER), 5, 4)
    assert [(group.species, group.among) for group in again.settings.founders[6:]] == [("c", "a"), ("d", "a")]
    other = make_duel_world(duel, "a", Genomes("c", GRAZER), Genomes("d", GRAZER), 5, 4)
    assert [(group.species, group.among) for group in other.settings.founders[6:]] == [("b", "c"), ("d", "c")]
    others = sum(group.count for group in POND.settings.founders[4:])
    assert len(generate_world(again).tables["monsters"]["id"]) == others + 20 + 10
    twice = read_world("pond", {"width": 48, "height": 48, "founders.4.species": "grazer"})
    both = make_duel_world(twice, "grazer", Genomes("a", GRAZER), Genomes("b", GRAZER), 5, 4)
    assert [group.count for group in both.settings.founders[3:]] == [5, 0, 20, 5]
    assert count_founders(twice, "grazer") == sum(group.count for group in POND.settings.founders[3:5])


def test_sides_need_names_of_their_own():
    with pytest.raises(WorldFileError, match='both sides are called "a": give them different names'):
        make_duel_world(POND, "grazer", Genomes("a", GRAZER), Genomes("a", GRAZER), 7, 9)


# --- genomes


@pytest.fixture(scope="module")
def moment(tmp_path_factory):
    """A small run at tick 24: its folder, its world, and its region."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    small_run(folder, 24, births=False)
    return folder, *load_moment(folder, None, "--tick")


def test_sampled_genomes_are_a_uniform_sample_of_the_living(moment):
    _, world, region = moment
    table = region.tables["monsters"]
    rows = np.flatnonzero(region.owned_rows("monsters") & (table["species"] == 2))
    table["genome"][rows, 30] = np.arange(len(rows)) - 64  # so that all genomes differ
    own = [genome.tobytes() for genome in table["genome"][rows]]
    assert sorted(sample_living_genomes(world, region, "grazer", 10_000, 1)) == sorted(own)
    drawn = [sample_living_genomes(world, region, "grazer", 5, seed) for seed in range(200)]
    assert all(len(set(one)) == 5 and set(one) <= set(own) for one in drawn)
    assert drawn[7] == sample_living_genomes(world, region, "grazer", 5, 7) and drawn[7] != drawn[8]
    often = np.bincount([own.index(genome) for one in drawn for genome in one], minlength=len(own))
    mean = 1000 / len(own)
    assert often.min() > 0 and often.max() < mean + 5 * mean**0.5
    before = drawn[3]
    region.sort()
    order = np.random.default_rng(1).permutation(table.count)
    table.reorder(order)
    assert sample_living_genomes(world, region, "grazer", 5, 3) == before


def test_plants_have_each_different_genome_once(moment):
    _, world, region = moment
    plants = region.tables["plants"]
    rows = np.flatnonzero(region.owned_rows("plants") & (plants["species"] == 0) & (plants["stage"] == 2))
    kinds = {genome.tobytes() for genome in plants["genome"][rows]}
    found = sample_living_genomes(world, region, "grass", 10_000, 1)
    assert sorted(found) == sorted(kinds) and len(found) < len(rows)


def test_founders_genomes_are_those_of_tick_zero(moment):
    _, world, _ = moment
    table = generate_world(world).tables["monsters"]
    own = [genome.tobytes() for genome in table["genome"][table["species"] == 2]]
    found = sample_founder_genomes(world, "grazer", 10_000, 1)
    assert sorted(found) == sorted(own) and len(set(found)) > 1
    assert sample_founder_genomes(world, "grazer", 5, 1) == found[:5] != sample_founder_genomes(world, "grazer", 5, 2)
    assert sample_founder_genomes(small_world(founders__2__variation=0), "grazer", 30, 1) == [GRAZER[0]]


def test_species_that_duel_are_monsters_that_live_and_had_founders(moment):
    _, world, region = moment
    assert find_duelling_species(world, region) == ["grazer", "hunter"]
    assert find_duelling_species(small_world(founders__3__count=0), region) == ["grazer"]
    gone = generate_world(small_world(founders__2__count=0))
    assert find_duelling_species(world, gone) == ["hunter"]


def test_a_tick_that_was_not_reached_is_refused_in_one_line(moment):
    folder, *_ = moment
    assert load_moment(folder, 10, "--tick 10")[1].tick == 10
    with pytest.raises(RunError, match=r"--tick 25: .*has reached tick 24: give an earlier one, or resume it first"):
        load_moment(folder, 25, "--tick 25")


# --- many at once


def some_duels(count: int) -> list[Duel]:
    sides = Genomes("a", GRAZER), Genomes("b", crippled())
    return [
        Duel("grazer", make_duel_world(POND, "grazer", *sides, 10, seed), ("a", "b")) for seed in range(1, count + 1)
    ]


def test_parallel_duels_have_the_results_of_single_duels():
    duels, told = some_duels(3), set()
    found = run_duels(duels, 40, 10, processes=2, on_tick=lambda which, tick: told.add((which, tick)))
    assert found == [run_duel(duel.world, 40, 10) for duel in duels]
    assert told and told <= {(which, tick) for which in range(3) for tick in range(41)}


def test_an_invalid_world_and_a_killed_process_are_errors_of_one_line():
    world = some_duels(1)[0].world
    world = replace(world, text=world.text.replace("width = 48", "width = 8"))
    with pytest.raises(WorldFileError, match=r"pond\.toml: width = 8: use at least 32 cells"):
        run_duels([Duel("grazer", world, ("a", "b"))], 10, 10)

    others = set(multiprocessing.active_children())  # processes of clusters that other tests use

    def kill(which: int, tick: int) -> None:
        for child in set(multiprocessing.active_children()) - others:
            child.kill()

    with pytest.raises(RunError, match="a process ended before its run was done: free some memory, and try again"):
        run_duels(some_duels(1), 5000, 5000, on_tick=kill)
    assert set(multiprocessing.active_children()) <= others

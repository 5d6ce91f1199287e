"""The world `wolf_sheep`: statistically equal to Mesa's model; sharding and row order do not matter; exact accounts."""

import csv
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sharded_regions import (
    assert_resharding_changes_nothing,
    assert_several_images_change_nothing,
    assert_thin_shards_agree,
    assert_unique_ids,
    halves,
    ninths,
    open_shards,
    quarters,
    run_together,
    torus_of,
    whole,
    whole_digest,
)

from umwelt.agents.open_world import begin
from umwelt.agents.world_file import read_world
from umwelt.sandbox.errors import WorldFileError
from umwelt.sandbox.step import advance, step
from umwelt.sandbox.units import ONE
from umwelt.worlds import wolf_sheep

REFERENCE = Path(__file__).with_name("wolf_sheep_mesa.csv")
"""Results of Mesa's own example for 20 seeds, made by `python -m benchmarks.wolf_sheep_reference`."""
SIDE, STEPS, SEEDS = 100, 200, 20
SHUFFLES = 999


def world(height=48, width=64, **more):
    """Returns a small world with many animals."""
    counts = {"sheep.count": height * width // 3, "wolves.count": height * width // 6}
    return read_world("wolf_sheep", {"height": height, "width": width, **counts, **more})


def owned(region, name):
    """Returns the number of owned beings of a table."""
    return int(region.owned_rows(name).sum())


# --- the same as Mesa's


def reference():
    """Returns Mesa's results, `float[seed, series]`: sheep, wolves, grown grass at every tenth step except step 0."""
    runs: dict[int, list[int]] = defaultdict(list)
    with REFERENCE.open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if int(row["step"]):
                runs[int(row["seed"])] += [int(row[name]) for name in ("sheep", "wolves", "grass")]
    return np.array(list(runs.values()), float)


def umwelts_runs():
    """Returns results of Umwelt in the same form as `reference`."""
    runs = []
    for seed in range(1, SEEDS + 1):
        counts = {"sheep.count": 900, "wolves.count": 300}
        described = read_world("wolf_sheep", {"height": SIDE, "width": SIDE, "seed": seed, **counts})
        region, series = begin(described), []
        for _ in range(10, STEPS + 1, 10):
            advance(region, described.laws, 10)
            # Mesa counts within a step, before the patches that are due in it grow again
            grown = region.owned_view("ripe_tick") <= region.tick - 1
            series += [owned(region, "sheep"), owned(region, "wolves"), int(grown.sum())]
        runs.append(series)
    return np.array(runs, float)


def largest_difference(first, second):
    """Returns the largest difference of means over all series, in standard errors."""
    error = np.sqrt(first.var(0, ddof=1) / len(first) + second.var(0, ddof=1) / len(second))
    return np.abs((first.mean(0) - second.mean(0)) / error).max()


def odds_of_difference(first, second):
    """Returns the probability that two sets of runs of one model differ at least as much, by a permutation test."""
    both, order = np.concatenate([first, second]), np.random.default_rng(5)
    seen, as_far = largest_difference(first, second), 0
    for _ in range(SHUFFLES):
        mixed = both[order.permutation(len(both))]
        as_far += largest_difference(mixed[: len(first)], mixed[len(first) :]) >= seen
    return (as_far + 1) / (SHUFFLES + 1)


@pytest.mark.slow
def test_populations_do_not_differ_significantly_from_mesas():
    mesa, ours = reference(), umwelts_runs()
    assert mesa.shape == ours.shape == (SEEDS, 3 * STEPS // 10)
    assert odds_of_difference(mesa, ours) > 0.05
    # variances are similar too: 95% of the ratios for 20 runs are within 0.4 to 2.5, and their median varies less
    assert 0.6 < np.median(ours.var(0, ddof=1) / mesa.var(0, ddof=1)) < 1.6


@pytest.mark.slow
def test_the_comparison_finds_a_model_without_second_choice(monkeypatch):
    monkeypatch.setattr(wolf_sheep, "ROUNDS", 1)
    assert odds_of_difference(reference(), umwelts_runs()) < 0.005


# --- a pure function of the neighbourhood


@pytest.mark.parametrize("k", [1, 2])
@pytest.mark.parametrize("cut", [halves, quarters, ninths])
def test_the_digest_does_not_depend_on_the_cut_or_on_the_order_of_rows(cut, k):
    described, ticks = world(), 12
    alone = whole(described)
    parts = open_shards(begin(described), described, cut(torus_of(described)), k)
    for seed in range(ticks // 4):
        run_together(alone, described, 4, 1)
        run_together(parts, described, 4, k, shuffle_seed=seed)
        assert whole_digest(parts) == whole_digest(alone)
        assert_unique_ids(parts)
    assert sum(owned(part, "wolves") for part in parts) == owned(alone[0], "wolves") > 0


def test_the_digest_survives_a_new_cut():
    described = world()
    assert_resharding_changes_nothing(described, ninths(torus_of(described)))


def test_a_small_world_that_sees_itself_several_times():
    assert_several_images_change_nothing(world(32, 32), 32)


@pytest.mark.parametrize("laws", ["graze", "hunt", "graze hunt"])
@pytest.mark.parametrize("upright", [False, True])
def test_each_law_reaches_no_further_than_it_says(laws, upright):
    described = world(32, 32, **{"sheep.count": 1000, "wolves.count": 700, "sheep.reproduce": 0.3})
    order = tuple(law for law in described.laws if law.name in laws.split())
    described = replace(described, laws=replace(described.laws, order=order))
    assert_thin_shards_agree(described, upright, 6)


# --- exact accounts


def energies(region, name):
    """Returns the energies of the owned beings of a table, by id."""
    table, rows = region.tables[name], region.owned_rows(name)
    return dict(zip(table["id"][rows].tolist(), table["energy"][rows].tolist(), strict=True))


def meals_of(region, name, before, gain):
    """Returns the number of meals of the survivors, from their energies before and after a law.

    Also checks that a child has half of the energy that its parent had.
    """
    table, rows = region.tables[name], region.owned_rows(name)
    after = energies(region, name)
    given = {}
    for child, parent in zip(table["id"][rows].tolist(), table["parent_id"][rows].tolist(), strict=True):
        if child not in before:
            given[parent] = after[child]
            assert parent not in after or 0 <= after[parent] - after[child] <= 1
    meals = 0
    for being, energy in after.items():
        if being in before:
            gained = energy + given.get(being, 0) - before[being] + ONE
            assert gained in (0, gain)
            meals += gained == gain
    return meals


def test_every_meal_birth_and_death_is_accounted_for():
    described = world()
    region = begin(described)
    for _ in range(25):
        region.wrap()
        ripe = region.owned_view("ripe_tick").copy()
        state = {name: energies(region, name) for name in ("sheep", "wolves")}
        counts = dict(region.counts)
        meals: dict[str, int] = {}

        def check(law, state=state, counts=counts, meals=meals, ripe=ripe):
            name = "sheep" if law.name == "graze" else "wolves"
            before, after = state[name], energies(region, name)
            meals[name] = meals_of(region, name, before, (4 if name == "sheep" else 20) * ONE)
            assert all(before[being] < ONE for being in before.keys() - after.keys())
            born, died = (region.counts[what] - counts[what] for what in ("births", "deaths"))
            eaten = 0
            if name == "sheep":
                eaten_patches = region.owned_view("ripe_tick") != ripe
                assert (ripe[eaten_patches] <= region.tick).all()
                assert (region.owned_view("ripe_tick")[eaten_patches] == region.tick + 31).all()
                assert eaten_patches.sum() == meals["sheep"]
            else:
                eaten = len(state["sheep"]) - owned(region, "sheep")
                assert eaten == meals["wolves"]
            assert len(after) == len(before) + born - (died - eaten)
            state[name] = after
            counts.update(region.counts)

        step(region, described.laws, check)
    assert region.counts["deaths"] > 500


def alone_in(described, sheep_cells, wolf_cells, energy):
    """Returns a region with only sheep and wolves in the given cells, each with this energy, and no grass."""
    region = begin(described)
    region.fields["ripe_tick"][:] = 1 << 20
    for name, kind, cells in (("sheep", 1, sheep_cells), ("wolves", 2, wolf_cells)):
        table = region.tables[name]
        table.keep(np.zeros(table.count, bool))
        y, x = (np.array([cell[axis] for cell in cells], np.int32) for axis in (0, 1))
        edge = region.halo_cells
        table.append(
            len(cells),
            {
                "id": np.arange(len(cells)) + (kind << 40),
                "energy": energy,
                "y_fixed": (y + edge) * 1024 + 512,
                "x_fixed": (x + edge) * 1024 + 512,
            },
        )
    return region


@pytest.mark.parametrize(("sheep", "wolves"), [(1, 4), (3, 7), (5, 5), (7, 3), (1, 1)])
def test_each_wolf_eats_one_sheep_and_each_sheep_is_eaten_once(sheep, wolves):
    described = world(**{"sheep.reproduce": 0.0, "wolves.reproduce": 0.0})
    # the wolves stand in all four cells beside the cell of the sheep, so that the sheep do not move
    ring = [(9, 10), (11, 10), (10, 9), (10, 11)]
    region = alone_in(described, [(10, 10)] * sheep, (ring * 2)[:wolves], 5 * ONE)
    region.wrap()
    hunt = next(law for law in described.laws if law.name == "hunt")
    region.margin_cells -= hunt.reach
    hunt.run(region)
    fed = (region.tables["wolves"]["energy"][region.owned_rows("wolves")] == 24 * ONE).sum()
    assert fed == min(sheep, wolves) == sheep - owned(region, "sheep")


def test_a_birth_that_finds_the_litter_full_leaves_the_parent_as_it_was():
    described = world(**{"sheep.reproduce": 1.0})
    ring = [(9, 10), (11, 10), (10, 9), (10, 11)]
    region = alone_in(described, [(10, 10)] * 7, ring, 9 * ONE)
    region.wrap()
    graze = next(law for law in described.laws if law.name == "graze")
    region.margin_cells -= graze.reach
    graze.run(region)
    rows = region.owned_rows("sheep")
    energy = sorted(region.tables["sheep"]["energy"][rows].tolist())
    assert energy == [4 * ONE] * 2 * wolf_sheep.LITTER + [8 * ONE] * (7 - wolf_sheep.LITTER)
    assert_unique_ids([region])


@pytest.mark.parametrize(
    ("key", "value", "line"),
    [
        ("sheep.reproduce", 1.5, "sheep.reproduce"),
        ("wolves.count", -1, "wolves.count"),
        ("grass.regrowth_ticks", 0, "grass.regrowth_ticks"),
        ("wolves.gain", "much", "wolves.gain"),
    ],
)
def test_wrong_settings_are_named(key, value, line):
    with pytest.raises(WorldFileError, match=line):
        world(**{key: value})

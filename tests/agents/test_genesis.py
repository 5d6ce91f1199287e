"""Genesis: numbers, places and genes of founders, and the ground, are as the world file says."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sharded_regions import golden_world, whole_elements

from umwelt.agents.earth import parameters
from umwelt.agents.earth.genesis import middles
from umwelt.agents.open_world import begin, generate_world
from umwelt.agents.world_file import parse_world
from umwelt.sandbox import audit
from umwelt.sandbox.columns import KIND_BITS, PLACE_BITS, TICK_BITS
from umwelt.sandbox.region import Region, Torus

SIDE = 64
FLAT = f"""
width = {SIDE}
height = {SIDE}
[ground]
hills = 0
sea_level = 0
"""


def world_with(*founders: str, text: str = FLAT, seed: int = 1):
    """Returns a flat world with these groups of founders, each a TOML table without its header."""
    tables = "".join(f"[[founders]]\n{founder}\n" for founder in founders)
    return parse_world(f"seed = {seed}\n{text}\n{tables}", "here", "here")


def cells_of(region: Region, table: str, species: int = 0) -> np.ndarray:
    """Returns the cell numbers of the beings of one species in a table."""
    rows = region.tables[table]["species"] == species
    return region.global_cells(table, np.flatnonzero(rows))


@settings(max_examples=25)
@given(
    seed=st.integers(0, 9999),
    plants=st.integers(0, 300),
    monsters=st.integers(0, 200),
    clumps=st.integers(0, 5),
    hills=st.integers(0, 3000),
)
def test_founders_are_as_many_as_asked_with_ids_and_cells_of_their_own(seed, plants, monsters, clumps, hills):
    text = f"width = 40\nheight = 40\n[ground]\nhills = {hills}\nsea_level = {hills // 3}\n"
    founders = (
        f'species = "grass"\ncount = {plants}\nclumps = {clumps}',
        f'species = "reed"\ncount = {plants // 2}',
        f'species = "grazer"\ncount = {monsters}',
    )
    world = world_with(*founders, text=text, seed=seed)
    region = generate_world(world)
    species = region.tables["plants"]["species"].tolist()
    assert (species.count(0), species.count(1), region.tables["monsters"].count) == (plants, plants // 2, monsters)
    ids = np.concatenate([table["id"] for table in region.tables.values()])
    assert len(set(ids.tolist())) == len(ids) and (ids > 0).all()
    assert (ids >> (KIND_BITS + TICK_BITS + PLACE_BITS) == 1).all() and (
        (ids >> PLACE_BITS) % (1 << TICK_BITS) == 0
    ).all()
    dry = region["water"].ravel() <= parameters.DROWNING_COUNT
    for name, index, count in (("plants", 0, plants), ("plants", 1, plants // 2), ("monsters", 2, monsters)):
        cells = cells_of(region, name, index)
        assert len(set(cells.tolist())) == count, "two founders of a species on one cell"
        assert dry[cells].all() or dry.sum() < count
    for table in region.tables.values():
        assert (table["y_fixed"] % 1024 == 512).all() and (table["x_fixed"] % 1024 == 512).all()


@settings(max_examples=10)
@given(seed=st.integers(0, 9999))
def test_a_seed_makes_one_world_and_another_seed_another(seed):
    founders = ('species = "grass"\ncount = 50', 'species = "grazer"\ncount = 20\nvariation = 0.1')
    first, again, other = (
        audit.world_digest(generate_world(world_with(*founders, text="width = 40\nheight = 40", seed=s)))
        for s in (seed, seed, seed + 1)
    )
    assert first == again != other


def test_scattered_founders_are_a_sample_without_replacement():
    count, block, seeds = 1000, 8, 40
    blocks = (SIDE // block) ** 2
    counts = []
    for seed in range(seeds):
        cells = cells_of(generate_world(world_with(f'species = "grass"\ncount = {count}', seed=seed)), "plants")
        rows, columns = cells // SIDE // block, cells % SIDE // block
        counts.append(np.bincount(rows * (SIDE // block) + columns, minlength=blocks))
    found, total = np.array(counts), SIDE * SIDE
    share = block * block / total
    # hypergeometric distribution: mean n p, variance n p (1 - p) (N - n) / (N - 1)
    variance = count * share * (1 - share) * (total - count) / (total - 1)
    assert found.mean() == pytest.approx(count * share)
    assert np.abs(found.mean(axis=0) - count * share).max() < 5 * np.sqrt(variance / seeds)
    assert found.var(axis=1, ddof=1).mean() == pytest.approx(
        variance * blocks / (blocks - 1), rel=5 * np.sqrt(2 / (blocks * seeds))
    )


def nearest_distances(cells: np.ndarray) -> np.ndarray:
    """Returns the distance of each cell to the nearest other one of `cells`, on the torus."""
    y, x = cells // SIDE, cells % SIDE
    dy, dx = np.abs(y[:, None] - y), np.abs(x[:, None] - x)
    squared = np.minimum(dy, SIDE - dy) ** 2 + np.minimum(dx, SIDE - dx) ** 2
    np.fill_diagonal(squared, SIDE * SIDE)
    return np.sqrt(squared.min(axis=1))


def test_scattered_founders_stand_as_far_apart_as_random_points_and_clumped_ones_closer():
    count = 100
    apart, clumped = [], []
    for seed in range(30):
        for clumps, distances in ((0, apart), (3, clumped)):
            world = world_with(f'species = "grass"\ncount = {count}\nclumps = {clumps}', seed=seed)
            distances.append(nearest_distances(cells_of(generate_world(world), "plants")).mean())
    # Clark and Evans (1954): for random points of density d, the mean distance to the nearest is 1 / (2 sqrt d)
    expected = 1 / (2 * np.sqrt(count / SIDE**2))
    assert np.mean(apart) == pytest.approx(expected, rel=0.08)
    assert np.mean(clumped) < expected / 2


@settings(max_examples=15)
@given(seed=st.integers(0, 999), first=st.integers(1, 90), second=st.integers(1, 90))
def test_mixed_groups_are_mixed_evenly_in_proportion_to_their_sizes(seed, first, second):
    founders = (
        f'species = "grazer"\ncount = {first}',
        f'species = "sheep"\nlike = "grazer"\namong = "grazer"\ncount = {second}',
    )
    table = generate_world(world_with(*founders, seed=seed)).tables["monsters"]
    order = np.argsort(table["id"])
    so_far = np.cumsum(table["species"][order] == 0)
    places = np.arange(1, first + second + 1)
    assert so_far[-1] == first
    assert np.abs(so_far - places * first / (first + second)).max() <= 2


@pytest.mark.parametrize("variation", [0.0, 0.02, 0.1])
def test_genes_of_founders_vary_with_the_odds_that_the_world_file_gives(variation):
    count = 2000
    world = world_with(f'species = "grass"\ncount = {count}\nvariation = {variation}')
    genomes = generate_world(world).tables["plants"]["genome"].astype(np.int64)
    given_genome = (
        generate_world(world_with('species = "grass"\ncount = 1')).tables["plants"]["genome"][0].astype(np.int64)
    )
    middle = np.abs(given_genome) < 90  # steps from these values are never clamped at the end of the range
    changed = genomes[:, middle] != given_genome[middle]
    if not variation:
        assert not changed.any()
        return
    # plants' genes are traits, which mutate four times as often; of 272 outcomes, 16 change nothing, 16 draw a new gene
    rate = round(4 * variation * 65536) / 65536
    odds = rate * (1 - 16 / 272 - 16 / 272 / 256)
    error = np.sqrt(odds * (1 - odds) / changed.size)
    assert abs(changed.mean() - odds) < 5 * error
    per_founder = changed.sum(axis=1)
    variance = middle.sum() * odds * (1 - odds)
    assert per_founder.var() == pytest.approx(variance, rel=5 * np.sqrt(2 / count) + 0.02)
    steps = (genomes[:, middle] - given_genome[middle])[changed]
    # a step is twice the difference of two draws below 16, and not 0; few newly drawn genes are that close
    small = steps[(np.abs(steps) <= 30) & (steps % 2 == 0)]
    variance = 4 * 2 * (16**2 - 1) / 12 / (1 - 1 / 16)
    assert len(small) / len(steps) == pytest.approx(256 / 272, abs=0.02)
    assert abs(small.mean()) < 5 * np.sqrt(variance / len(small)) + 0.3
    assert small.var() == pytest.approx(variance, rel=0.06)


@settings(max_examples=15)
@given(
    seed=st.integers(0, 999),
    hills=st.integers(0, 5000),
    sea_level=st.integers(0, 3000),
    soil_water=st.integers(0, 900),
    mineral=st.integers(0, 500),
)
def test_ground_water_and_air_are_what_the_world_file_says(seed, hills, sea_level, soil_water, mineral):
    ground = f"hills = {hills}\nsea_level = {sea_level}\nsoil_water = {soil_water}\nmineral = {mineral}\n"
    region = generate_world(world_with(text=f"width = 40\nheight = 32\n[ground]\n{ground}", seed=seed))
    elevation = region["elevation"].astype(np.int64)
    assert elevation.min() >= 0 and elevation.max() <= hills
    assert np.array_equal(region["water"], soil_water + np.maximum(0, sea_level - elevation))
    assert (region["mineral"] == mineral).all() and (region["oxygen"] == 3000).all()


def test_a_world_opened_for_running_equals_the_generated_one():
    world = golden_world(48, 48)
    source, region = generate_world(world), begin(world)
    assert audit.world_digest(source) == audit.world_digest(region)
    assert whole_elements([source], world) == whole_elements([region], world)


@given(st.integers(1, 50), st.integers(1, 50), st.data())
def test_middles_of_cells_lie_half_a_cell_from_their_corner(height, width, data):
    cells = np.array(data.draw(st.lists(st.integers(0, height * width - 1), max_size=20)), np.int64)
    columns = middles(Torus(height, width), cells)
    y, x = columns["y_fixed"].astype(np.int64), columns["x_fixed"].astype(np.int64)
    assert np.array_equal((y // 1024) * width + x // 1024, cells)
    assert (y % 1024 == 512).all() and (x % 1024 == 512).all()

"""Founders with several genomes, and groups of founders that are mixed (`among`) without a bias to either."""

from collections.abc import Callable

import numpy as np
import pytest
from small_runs import TEXT

from umwelt.agents.body.genome import BIRTH_ORGANS, MONSTER_GENES, PLANT_GENES
from umwelt.agents.earth.genesis import organs_in, species_of
from umwelt.agents.open_world import generate_world
from umwelt.agents.world_file import WorldFile, parse_world
from umwelt.sandbox.columns import Table

GRAZER, HUNTER = 'species = "grazer"\ncount = 60', 'species = "hunter"\ncount = 20'
DRAWN = ("sugar_count", "heading", "age_ticks", "fatigue", "water_count", "y_fixed", "x_fixed")


def world(before: str, after: str, seed: int = 5) -> WorldFile:
    """Returns the small world with the text `before` of its world file replaced by `after`."""
    assert before in TEXT
    return parse_world(TEXT.replace(before, after, 1), "small.toml", "small", {"seed": seed})


def monsters(world: WorldFile) -> Table:
    """Returns the table of monsters of a world at tick 0."""
    return generate_world(world).tables["monsters"]


def genomes(count: int) -> list[np.ndarray]:
    """Returns genomes of monsters that differ in the number of organs at birth."""
    found = []
    for number in range(count):
        genome = np.arange(MONSTER_GENES, dtype=np.int64) * (number + 3) % 256 - 128
        genome[BIRTH_ORGANS] = -128 + 40 * number
        found.append(genome.astype(np.int8))
    return found


def test_founders_get_the_listed_genomes_in_turn_and_the_bodies_of_these():
    given = genomes(7)
    listed = [genome.tobytes().hex() for genome in given]
    table = monsters(world(GRAZER, f'species = "mixed"\nkind = "monster"\ncount = 60\ngenomes = {listed}'))
    rows = np.flatnonzero(table["species"] == 2)
    assert len(rows) == 60 and len(set(table["organs_built"][rows].tolist())) > 3
    for turn, row in enumerate(rows[np.argsort(table["id"][rows])]):
        genome, built = given[turn % 7], int(table["organs_built"][row])
        assert (table["genome"][row] == genome).all()
        assert (table["organs"][row] == organs_in(genome[None], np.array([built]))[0]).all()
        one_alone = f'species = "one"\nkind = "monster"\ncount = 1\nvariation = 0\ngenome = {genome.tolist()}'
        alone = monsters(world(GRAZER, one_alone))
        one = int(np.flatnonzero(alone["species"] == 2)[0])
        for column in ("organs", "organs_built", "tissue_count"):
            assert (table[column][row] == alone[column][one]).all(), column


def test_one_genome_in_a_list_is_the_genome():
    own = species_of(world(GRAZER, GRAZER).settings)[2]["genome"].tobytes().hex()
    table = monsters(world(GRAZER, f'species = "grazer"\ncount = 60\nkind = "monster"\ngenomes = ["{own}"]'))
    plain = monsters(world(GRAZER, f"{GRAZER}\nvariation = 0"))
    assert all((table[column.name] == plain[column.name]).all() for column in plain.schema.columns)


def test_plants_have_genomes_too():
    listed = [bytes([number] * len(PLANT_GENES)).hex() for number in (1, 2, 3)]
    line = f'species = "weed"\nkind = "plant"\ncount = 30\ngenomes = {listed}'
    plants = generate_world(world('species = "reed"\ncount = 30', line)).tables["plants"]
    genes, counts = np.unique(plants["genome"][plants["species"] == 1], return_counts=True)
    assert genes.tolist() == [1, 2, 3] and counts.tolist() == [10 * len(PLANT_GENES)] * 3


def pair(count: int, other: int, seed: int = 5, more: str = "") -> Table:
    """Returns the monsters of a world in which a last group of founders, "other", is mixed among the grazers.

    `count` and `other` are the sizes of both groups, `more` further lines of the grazers' group.
    """
    among = f'\n[[founders]]\nspecies = "other"\nlike = "grazer"\namong = "grazer"\ncount = {other}'
    return monsters(
        world(
            f"{GRAZER}\n\n[[founders]]\n{HUNTER}",
            f'species = "grazer"\ncount = {count}\n{more}\n[[founders]]\n{HUNTER}{among}',
            seed,
        )
    )


@pytest.mark.parametrize("more", ["", "clumps = 3"])
@pytest.mark.parametrize(("count", "other"), [(30, 30), (45, 15), (60, 0), (0, 60)])
def test_mixed_groups_have_the_places_and_columns_of_one_group_of_both_sizes(count, other, more):
    mixed = pair(count, other, more=more)
    one = monsters(world(GRAZER, f"{GRAZER}\n{more}"))
    order, plain = np.argsort(mixed["id"]), np.argsort(one["id"])
    for column in ("id", *DRAWN):
        assert (mixed[column][order] == one[column][plain]).all(), column
    assert np.bincount(mixed["species"], minlength=5)[2:].tolist() == [count, 20, other]


def test_dice_assign_each_pair_of_founders_to_the_two_groups_without_bias():
    firsts = 0
    for seed in range(40):
        mixed = pair(30, 30, seed)
        order = np.argsort(mixed["id"])
        species = mixed["species"][order]
        pairs = species[np.isin(species, (2, 4))].reshape(30, 2)
        assert (np.sort(pairs, axis=1) == [2, 4]).all()
        firsts += np.count_nonzero(pairs[:, 0] == 2)
    assert abs(firsts - 600) < 3 * 1200**0.5 / 2  # three standard deviations of 1200 fair coins


def test_groups_of_unequal_size_are_mixed_evenly_over_all_ids():
    mixed = pair(45, 15)
    species = mixed["species"][np.argsort(mixed["id"])]
    stretches = species[np.isin(species, (2, 4))].reshape(5, 12)
    counts = (stretches == 4).sum(axis=1)
    assert counts.sum() == 15 and counts.min() >= 2 and counts.max() <= 4


@pytest.mark.parametrize("column", DRAWN)
def test_columns_of_founders_have_equal_means_in_both_groups(column):
    def mean(found: Callable[[Table], np.ndarray]) -> np.ndarray:
        return np.array([table[column][found(table)].mean() for table in tables])

    tables = [pair(30, 30, seed) for seed in range(20)]
    apart = mean(lambda table: table["species"] == 2) - mean(lambda table: table["species"] == 4)
    assert abs(apart.mean()) <= 3 * apart.std() / len(apart) ** 0.5

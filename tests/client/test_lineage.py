"""Lineage of a run: parents, nested clades, trees in Newick format, tables, and the picture."""

import csv
import json
import re
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pyarrow import parquet
from small_runs import open_run, small_run, small_world

from umwelt.agents.body.genome import MARKER_A, MONSTER_GENES
from umwelt.agents.earth.genesis import species_of
from umwelt.agents.world_file import read_world
from umwelt.client.commands.cli import main
from umwelt.client.lineage import ancestry
from umwelt.client.lineage.ancestry import Descent, DescentBuilder, read_descent
from umwelt.client.lineage.clades import GENE_RANGE, GenomeClades, genetic_distance, lay_out_rows, merge_small_clades
from umwelt.client.lineage.lineage import clade_names, make_beings_tree, make_clades_tree, sample_tips, write_lineage
from umwelt.client.lineage.newick import Tree, format_newick
from umwelt.client.lineage.picture import make_chart
from umwelt.cluster.launch.local import begin_run
from umwelt.cluster.run.journal import Journal
from umwelt.cluster.run.remote_store import open_store
from umwelt.cluster.run.replay import read_run_world, restore_region
from umwelt.cluster.run.store import Store
from umwelt.sandbox.columns import identity
from umwelt.sandbox.errors import WorldFileError

FINE = 0.0001
TICKS = 240
WILD: dict = {
    "width": 64,
    "height": 64,
    "founders__0__genes__mutation": 127,
    "founders__2__genes__mutation": 127,
    **{f"founders__{at}__variation": 0 for at in range(4)},
}
"""Values for a world whose grass and grazers mutate often."""
FILES = ["clades.nwk", "clades.parquet", "lineage.parquet", "lineage.png", "phylogeny.csv", "tree.nwk"]


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Store:
    return small_run(tmp_path_factory.mktemp("runs") / "small-1", TICKS // 2, TICKS, **WILD)


@pytest.fixture(scope="module")
def descent(store) -> Descent:
    return read_descent(store, read_run_world(store), drift=FINE, min_beings=2)


@pytest.fixture(scope="module")
def living(store) -> set[int]:
    _, region, _ = restore_region(store)
    return {int(one) for name in region.tables for one in region.tables[name]["id"][region.owned_rows(name)]}


class Read:
    """A node of a tree that is parsed from Newick format, with its name, the length of its branch, and its children."""

    def __init__(self) -> None:
        self.name, self.length = "", 0
        self.children: list[Read] = []

    @classmethod
    def of(cls, text: str) -> "Read":
        tokens = re.findall(r"'(?:[^']|'')*'|[(),:;]|[^\s(),:;']+", text)
        root = node = cls()
        stack: list[Read] = []
        after_colon = False
        for token in tokens:
            if token == "(":
                stack.append(node)
                node = cls()
                stack[-1].children.append(node)
            elif token == ",":
                node = cls()
                stack[-1].children.append(node)
            elif token == ")":
                node = stack.pop()
            elif token == ":":
                after_colon = True
                continue
            elif token != ";":
                if after_colon:
                    node.length = int(token)
                else:
                    node.name = token[1:-1].replace("''", "'") if token[0] == "'" else token.replace("_", " ")
            after_colon = False
        assert tokens[-1] == ";" and not stack and node is root
        return root

    def flat(self) -> list[tuple[str, int, int, int]]:
        """Returns (name, tick, number of children, index of the parent) of each node, depth first."""
        found: list[tuple[str, int, int, int]] = []
        waiting = [(self, 0, -1)]
        while waiting:
            node, tick, above = waiting.pop()
            found.append((node.name, tick + node.length, len(node.children), above))
            waiting += [(child, tick + node.length, len(found) - 1) for child in node.children[::-1]]
        return found


def flat(tree: Tree) -> list[tuple[str, int, int, int]]:
    """Returns a `Tree` in the form of `Read.flat`."""
    found: list[tuple[str, int, int, int]] = []
    waiting = [(len(tree.names) - 1, -1)]
    while waiting:
        number, above = waiting.pop()
        found.append((tree.names[number], tree.ticks[number], len(tree.children[number]), above))
        waiting += [(child, len(found) - 1) for child in tree.children[number][::-1]]
    return found


# --- descent


def test_every_chain_of_parents_ends_in_a_founder(descent, store, living):
    journal = Journal.reading(store.journal)
    born = {row[0]: row for row in journal.lineage.births()}
    journal.close()
    founders = set(descent.ids[~descent.born].tolist())
    assert len(born) > 1000 and len(founders) == 310 and len(descent) == len(born) + len(founders)
    for at, being in enumerate(descent.ids.tolist()):
        if being in founders:
            assert descent.parents[at] == -1 and descent.generations[at] == 0 == descent.ticks[at]
            continue
        _, parent, tick, y, x, species, _ = born[being]
        assert (descent.ticks[at], descent.y[at], descent.x[at]) == (tick, y, x)
        assert descent.species_names[descent.species[at]] == species
        assert descent.ids[descent.parents[at]] == parent
        steps = 0
        while parent in born:
            parent, steps = born[parent][1], steps + 1
        assert parent in founders and descent.generations[at] == steps + 1
    assert set(descent.ids[descent.living].tolist()) == living and descent.unknown_count == 0
    assert descent.children_counts.sum() == len(born)


def test_clades_nest_and_begin_where_a_genome_drifted(descent, store):
    table = descent.clade_table
    roots = np.flatnonzero(table.parents < 0)
    assert len(table) >= len(roots) + 3 and len(roots) == 4
    founder = {being: clade for clade, being in enumerate(table.founders.tolist())}
    for at, being in enumerate(descent.ids.tolist()):
        parent = descent.parents[at]
        if parent < 0:
            assert descent.clades[at] in roots
        elif descent.clades[at] != descent.clades[parent]:  # a clade begins with its founder, and nowhere else
            assert founder[being] == descent.clades[at] and table.parents[descent.clades[at]] == descent.clades[parent]
    journal = Journal.reading(store.journal)
    genomes = {row[0]: np.frombuffer(row[6], np.int8) for row in journal.lineage.births()}
    journal.close()
    founded = [genomes.get(one) for one in table.founders.tolist()]
    for root in roots.tolist():
        founded[root] = species_of(descent.world.settings)[table.species[root]]["genome"]
    for clade, above in enumerate(table.parents.tolist()):
        if above >= 0:
            assert genetic_distance(founded[clade], founded[above]) == pytest.approx(table.distances[clade])
            assert table.distances[clade] > FINE
    strayed = [  # beings of small clades, which were merged into their parents' clades
        genetic_distance(genomes[being], founded[clade]) > FINE
        for being, clade in zip(descent.ids.tolist(), descent.clades.tolist(), strict=True)
        if being in genomes
    ]
    assert np.mean(strayed) < 0.2
    assert table.births.sum() == descent.born.sum() and table.living.sum() == descent.living.sum()
    assert (table.first_ticks[1:] >= table.first_ticks[:-1]).all()


@pytest.mark.parametrize("rows", [7, 500])
def test_the_size_of_pages_does_not_change_the_lineage(descent, store, monkeypatch, rows):
    monkeypatch.setattr(ancestry, "PAGE_ROWS", rows)
    again = read_descent(store, read_run_world(store), drift=FINE, min_beings=2)
    for name in ("ids", "parents", "clades", "generations", "living"):
        np.testing.assert_array_equal(getattr(again, name), getattr(descent, name))
    np.testing.assert_array_equal(again.clade_table.founders, descent.clade_table.founders)


def test_a_child_stays_until_it_is_further_from_the_founder_than_the_threshold():
    clades = GenomeClades(0.1)
    genome = np.zeros((1, 10), np.int8)
    far = genome.copy()
    near = genome.copy()
    near[0, :3], far[0, :3] = 85, (85, 85, 86)  # 255 and 256 of 2550
    ids, species = np.array([5]), np.array([0])
    none = np.array([-1])
    ticks = np.array([0])
    root = clades.place(none, ids, ticks, species, genome)
    assert clades.place(root, ids + 1, ticks, species, near) == root
    assert clades.place(root, ids + 2, ticks, species, far) == 1
    assert clades.parents.tolist() == [-1, 0] and clades.founders.tolist() == [5, 7]
    assert clades.place(none, ids + 3, ticks, species, near) == root
    assert clades.place(none, ids + 3, ticks, species + 1, near) == 2
    assert genetic_distance(genome[0], far[0]) == pytest.approx(256 / (10 * GENE_RANGE))


def test_different_founders_are_in_one_tree_with_the_most_common_genome_as_root():
    clades = GenomeClades(0.1)
    genomes = np.zeros((6, 10), np.int8)
    genomes[0, :5], genomes[3, 5:], genomes[4, 5:] = 100, 100, 99
    strangers = np.full(6, -1), np.arange(6)
    placed = clades.place(*strangers, np.zeros(6), np.array([0, 0, 0, 0, 0, 1]), genomes)
    assert placed.tolist() == [1, 0, 0, 2, 2, 3] and clades.parents.tolist() == [-1, 0, 0, -1]
    clades = GenomeClades(0.1)
    placed = clades.place(*strangers, np.array([7, 8, 8, 9, 9, 9]), np.zeros(6), genomes)
    assert placed.tolist() == [0, 1, 1, 2, 2, 1] and clades.parents.tolist() == [-1, 0, 0], "the first begin the tree"


def test_the_commonest_founders_need_not_have_the_lowest_ids():
    """The root of the tree has the most common genome; founders listed before it still count as split off from it."""
    gathering = DescentBuilder(["grazer"], ["monsters"], 0.1)
    genomes = np.zeros((4, 10), np.int8)
    genomes[0] = 100
    founders = {"id": np.arange(1, 5), "species": np.zeros(4, np.int64), "genome": genomes}
    gathering.add_founders("monsters", founders | {"y": np.zeros(4), "x": np.zeros(4)}, "grazer")
    descent = gathering.build(small_world(), 10, np.arange(1, 5), min_beings=1)
    assert descent.clade_table.parents.tolist() == [-1, 0] and descent.clade_table.founders.tolist() == [2, 1]
    assert format_newick(make_clades_tree(descent)).startswith("(")


def test_small_clades_are_merged_into_those_they_split_off_from():
    parents = np.array([-1, 0, 1, 0, 3, -1])
    assert merge_small_clades(parents, np.array([50, 2, 3, 1, 9, 1]), 10).tolist() == [0, 0, 0, 3, 3, 5]
    order, row_of = lay_out_rows([-1, 0, 0, 1], ["b", "b", "b", "b"], {0, 1, 2})
    assert order == [0, 2, 1] and row_of.tolist() == [0, 2, 1, 2]


def test_spawned_beings_are_roots_and_cycles_are_cut(store):
    gathering = ancestry.DescentBuilder(["grazer"], ["monsters"], FINE)
    hand, born = identity(2, 9, 1, by_hand=True), identity(2, 5, np.array([3, 4, 5]))
    genes = np.zeros(MONSTER_GENES, np.int8)
    genes[MARKER_A] = 7
    row = (0, 0, "grazer", genes.tobytes())
    gathering.add_births([(hand, int(born[0]), 9, *row)])
    one, two, three = born.tolist()
    later = identity(2, 12, 3)
    circle = [(one, two, 5, *row), (two, one, 5, *row), (three, 99, 5, *row)]
    gathering.add_births([(later, hand, 12, *row), *circle])
    found = gathering.build(read_run_world(store), 20, np.array([later, 1 << 40]))
    assert found.ids.tolist() == [one, two, three, hand, later] and found.parents.tolist() == [-1, -1, -1, -1, 3]
    assert found.unknown_count == 1 and found.clade_table.markers.tolist() == [[7, 0, 0]]


# --- trees


@pytest.mark.parametrize(("most", "all_beings"), [(2000, False), (40, False), (5000, True), (100, True)])
def test_newick_is_read_back_as_the_same_tree(descent, most, all_beings):
    tips = sample_tips(descent, most, all_beings)
    tree = make_beings_tree(descent, tips)
    whole = len(descent) if all_beings else int(descent.living.sum())
    read = Read.of(format_newick(tree)).flat()
    assert read == flat(tree) and len(tips) == min(most, whole) == sum(not below for below in tree.children)
    ends = {name: tick for name, tick, below, _ in read if not below}
    for row in tips.tolist():
        name = f"{descent.species_names[descent.species[row]]} {descent.ids[row]}"
        assert ends[name] == (TICKS if descent.living[row] else descent.ticks[row])
    assert all(below != 1 for _, _, below, _ in read)


def test_two_branches_part_at_the_first_birth_that_is_not_common_to_both(descent):
    tips = sample_tips(descent, 60, False)
    read = Read.of(format_newick(make_beings_tree(descent, tips))).flat()
    node = {name: at for at, (name, _, below, _) in enumerate(read) if not below}

    def line(row: int) -> list[int]:
        found = [row]
        while descent.parents[found[-1]] >= 0:
            found.append(int(descent.parents[found[-1]]))
        return found[::-1]

    compared = defaultdict(int)
    for one in tips.tolist():
        for other in tips.tolist():
            first, second = line(one), line(other)
            if one >= other or first[0] != second[0]:
                continue
            shared = sum(a == b for a, b in zip(first, second, strict=False))
            apart_at = min(int(descent.ticks[way[shared]]) for way in (first, second) if len(way) > shared)
            above = []
            for row in (one, other):
                at, path = node[f"{descent.species_names[descent.species[row]]} {descent.ids[row]}"], []
                while at >= 0:
                    path.append(at)
                    at = read[at][3]
                above.append(path)
            fork = next(at for at in above[0] if at in above[1])
            assert read[fork][1] == apart_at
            compared[len(first) == shared or len(second) == shared] += 1
    assert compared[False] > 5


def test_the_tree_of_clades_has_all_of_them(descent):
    read = Read.of(format_newick(make_clades_tree(descent))).flat()
    ends = {name: tick for name, tick, below, _ in read if not below}
    table = descent.clade_table
    assert ends == dict(
        zip(clade_names(descent), np.where(table.living > 0, TICKS, table.last_ticks).tolist(), strict=True)
    )


def test_names_and_lengths_are_written_in_newick_format():
    tree = Tree()
    tips = [tree.add(name, tick) for name, tick in (("a b", 9), ("it's", 7), ("plain-1.x", 5), ("under_score", 5))]
    fork = tree.add("", 4, tips[:2])
    tree.add("all", 2, [fork, *tips[2:]])
    assert format_newick(tree) == "(('a b':5,'it''s':3):2,plain-1.x:3,'under_score':3)all:2;\n"


# --- the command


def umwelt(capsys, *arguments: str) -> str:
    """Runs a command that must succeed; returns its standard output."""
    with pytest.raises(SystemExit) as ended:
        main([*arguments])
    assert not ended.value.code
    return capsys.readouterr().out


def refused(capsys, *arguments: str) -> str:
    """Runs `umwelt lineage` with arguments that must be refused; returns the error line."""
    with pytest.raises(SystemExit) as ended:
        main(["lineage", *arguments])
    said = capsys.readouterr()
    assert ended.value.code == 2 and said.out == "" and said.err.count("\n") == 1
    return said.err


def test_tables_trees_and_a_picture_are_written_to_the_working_directory(store, descent, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    before = sorted(store.folder.rglob("*"))
    said = umwelt(capsys, "lineage", str(store.folder), "--drift", str(FINE), "--most", "50")
    folder = tmp_path / "lineage-small-1"
    assert sorted(path.name for path in folder.iterdir()) == FILES and said.count("\n") == len(FILES)
    assert [path for path in sorted(store.folder.rglob("*")) if not path.name.endswith(("-shm", "-wal"))] == [
        path for path in before if not path.name.endswith(("-shm", "-wal"))
    ]
    beings, clades = (parquet.read_table(folder / f"{name}.parquet").to_pydict() for name in ("lineage", "clades"))
    assert beings["id"] == descent.ids.tolist() and beings["living"] == descent.living.tolist()
    known = dict(zip(beings["id"], beings["generation"], strict=True))
    for at, parent in enumerate(beings["parent_id"]):
        assert beings["generation"][at] == (0 if parent is None else known[parent] + 1)
    assert set(beings["clade"]) == set(clades["clade"]) == set(range(1, len(clades["clade"]) + 1))
    assert sum(clades["births"]) == len(beings["id"]) - beings["parent_id"].count(None)
    grazer = clades["species"].index("grazer")
    assert [clades[f"marker_{one}"][grazer] for one in "abc"] == [40, -40, 20] and clades["parent_clade"][
        grazer
    ] is None
    assert f"50 of {sum(beings['living']):,} living beings" in said
    with Image.open(folder / "lineage.png") as picture:
        assert picture.size[0] > 1200 and len(set(picture.convert("RGB").getdata())) > 100
    check_phylogeny(folder / "phylogeny.csv", beings)


def check_phylogeny(path: Path, beings: dict) -> None:
    """Asserts that a phylogeny in the ALife data standard agrees with the table of beings."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["id"]) for row in rows] == beings["id"]
    parents = [json.loads(row["ancestor_list"].replace("none", "null")) for row in rows]
    assert parents == [[parent] for parent in beings["parent_id"]] and [None] in parents
    assert [int(row["origin_time"]) for row in rows] == beings["birth_tick"]
    assert [row["destruction_time"] for row in rows] == ["inf" if living else "" for living in beings["living"]]
    assert [row["taxon_label"] for row in rows] == beings["species"] and "inf" in rows[-1]["destruction_time"]


def test_a_lineage_can_have_one_species_and_all_its_beings(store, descent, tmp_path, capsys):
    said = umwelt(
        capsys, "lineage", str(store.folder), "--to", str(tmp_path / "out"), "--species", "grazer", "--beings"
    )
    grazers = int((descent.species == descent.species_names.index("grazer")).sum())
    assert f"tree.nwk: {grazers} beings" in said
    tree = Read.of((tmp_path / "out" / "tree.nwk").read_text())
    assert tree.name == "grazer" and sum(not below for _, _, below, _ in tree.flat()) == grazers
    assert set(parquet.read_table(tmp_path / "out" / "lineage.parquet")["species"].to_pylist()) == {"grazer"}


def test_a_run_that_was_killed_and_replayed_has_the_same_tree(store, tmp_path):
    other = small_run(tmp_path / "small-2", 80, **WILD)
    with open_run(other.folder) as runner:
        runner.go(130)
        runner.journal.commit()  # the journal has births after the last snapshot when the process is killed
    with open_run(other.folder) as runner:
        assert runner.tick == 80
        runner.go(TICKS)
        runner.save()
    written = [
        dict(sorted((path.name, path.read_bytes()) for path, _ in write_lineage(folder, to, "", FINE, 100, False)))
        for folder, to in ((store.folder, tmp_path / "one"), (other.folder, tmp_path / "other"))
    ]
    assert list(written[0]) == FILES and written[0] == written[1]


def test_births_after_the_last_snapshot_are_left_out(tmp_path):
    folder = small_run(tmp_path / "small-1", 60).folder
    with open_run(folder) as runner:
        runner.go(100)
        runner.record()
        runner.journal.commit()
    found = read_descent(open_store(folder), small_world())
    assert found.last_tick == 60 and found.ticks.max() == 60 and found.unknown_count == 0


def test_the_picture_counts_the_living_as_the_journal_does(store, descent):
    journal = Journal.reading(store.journal)
    chart = make_chart(descent, journal)
    last = list(journal.history.metrics())[-1]
    journal.close()
    for number, name in enumerate(descent.species_names):
        mine = [at for at, row in enumerate(chart.rows) if row.species == number]
        table = chart.rows[mine[0]].table
        assert chart.living[mine, -1].sum() == pytest.approx(last.populations[table][name])
        assert sum(chart.rows[at].living for at in mine) == last.populations[table][name]
    assert chart.counts.sum() == descent.born.sum()
    assert all(chart.rows[row.parent].middle < row.middle for row in chart.rows if row.parent >= 0)


def test_runs_without_births_and_other_mistakes_are_one_line(store, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    silent = small_run(tmp_path / "silent", births=False)
    assert "umwelt launch ... --set births=true" in refused(capsys, str(silent.folder))
    assert 'did you mean "grazer"?' in refused(capsys, str(store.folder), "--species", "graser")
    assert "is not a run" in refused(capsys, "nowhere")
    assert "--most" in refused(capsys, str(store.folder), "--most", "0")
    assert "--drift" in refused(capsys, str(store.folder), "--drift", "2")
    (tmp_path / "file").write_text("mine")
    assert "choose another folder with --to" in refused(capsys, str(store.folder), "--to", "file")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "silent"]


def test_a_damaged_journal_is_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    folder = small_run(tmp_path / "small-1", 20).folder
    journal = Journal(open_store(folder).journal)
    journal.database.connection.execute("UPDATE births SET genome = 5 WHERE id = (SELECT max(id) FROM births)")
    journal.close()
    assert "journal.sqlite: damaged: " in refused(capsys, "small-1")
    assert [path.name for path in tmp_path.iterdir()] == ["small-1"]


def test_ctrl_c_leaves_an_older_lineage_as_it_was(store, tmp_path, monkeypatch, capsys):
    umwelt(capsys, "lineage", str(store.folder), "--to", str(tmp_path))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def stopped(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("umwelt.client.lineage.lineage.draw_lineage", stopped)
    with pytest.raises(SystemExit) as ended:
        main(["lineage", str(store.folder), "--to", str(tmp_path), "--drift", str(FINE)])
    assert ended.value.code == 130
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_the_births_of_monsters_alone_can_be_kept(tmp_path, capsys):
    store = small_run(tmp_path / "small-1", TICKS, births="monsters")
    found = read_descent(store, read_run_world(store))
    assert {found.species_names[species] for species in found.species.tolist()} == {"grazer", "hunter"}
    assert found.born.sum() > 0 and found.unknown_count == 0
    assert 'no birth of "grass" is journalled' in refused(capsys, str(store.folder), "--species", "grass")
    with pytest.raises(WorldFileError, match='births: unknown "monster": did you mean "monsters"'):
        small_world(births="monster")


def test_worlds_of_other_laws_have_trees_too(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    begin_run(read_world("wolf_sheep", {"births": True, "width": 64, "height": 64}), Path("ws"))
    with open_run(Path("ws")) as runner:
        runner.go(20)
        runner.save()
    said = umwelt(capsys, "lineage", "ws")
    assert "2 clades" in said
    table = parquet.read_table(Path("lineage-ws") / "clades.parquet").to_pydict()
    assert sorted(table["species"]) == ["sheep", "wolf"] and table["marker_a"] == [None, None]

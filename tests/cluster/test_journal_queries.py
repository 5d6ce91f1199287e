"""Queries to a journal: pages of births, ancestors and children, and thinned metrics."""

import time

import msgspec
import numpy as np
import pytest
from sharded_regions import golden_world
from small_runs import small_run, small_world

from umwelt.agents.body.genome import MONSTER_GENES, PLANT_GENES, TRAIT
from umwelt.agents.world_file import bundled_worlds, read_world
from umwelt.cluster.gateway import journal_queries
from umwelt.cluster.gateway.journal_queries import JournalQueries
from umwelt.cluster.run.journal import Journal, Metrics
from umwelt.cluster.view.queries import read_columns
from umwelt.cluster.wire.viewer_protocol import History
from umwelt.sandbox.columns import identity
from umwelt.sandbox.errors import BusyError, RunError, UmweltError

MARKERS = ("marker_a", "marker_b", "marker_c")
GENES = {1: [PLANT_GENES.index(name) for name in MARKERS], 2: [TRAIT[name] for name in MARKERS]}


def moment(tick: int, **substances: int) -> Metrics:
    return Metrics(tick, 3 * tick, tick, {"plants": {"grass": 10 + tick}}, substances or {"water": 7})


def entered(journal: Journal, tick: int, cells: list[int], kind: int = 2, parent: int = 5, by_hand=False) -> list[int]:
    """Enters births of a tick whose marker genes hold their cells; returns their ids."""
    ids = identity(kind, tick, np.array(cells), by_hand)
    genome = np.zeros((len(cells), MONSTER_GENES if kind == 2 else 22), np.int8)
    genome[:, TRAIT["marker_a"] : TRAIT["marker_a"] + 3] = np.array(cells)[:, None] % 100 - [0, 1, 2]
    record = {
        "id": ids,
        "parent_id": np.full(len(cells), parent),
        "species": np.full(len(cells), kind - 1, np.int16),
        "genome": genome,
        "cell": np.array(cells),
    }
    journal.enter_births(record, ["grass", "grazer"], 50)
    return ids.tolist()


@pytest.fixture
def journal(tmp_path):
    opened = Journal(tmp_path / "journal.sqlite")
    yield opened
    opened.close()


def asked(world, path, *arguments, **more) -> tuple[dict, bytes]:
    """Runs a query and returns its answer."""
    queries, outcomes = JournalQueries(world, path), []
    queries.begin(History("ticket", *arguments, **more), outcomes.append)
    while not outcomes:
        queries.poll()
        time.sleep(0.001)
    queries.close()
    if isinstance(outcomes[0], UmweltError):
        raise outcomes[0]
    return outcomes[0]


def test_pages_of_births_are_in_order_and_hold_each_birth_once(journal):
    rng, ids = np.random.default_rng(3), []
    for tick in range(0, 60, 2):
        for kind, by_hand in ((1, False), (2, False), (2, True)):
            cells = sorted(rng.choice(900, rng.integers(1, 12), False).tolist())
            ids += entered(journal, tick, cells, kind, 5, by_hand)
    journal.enter(moment(50), 1)
    whole = {one for one in ids if (one >> 30) % (1 << 29) < 50}
    for most in (1, 3, 10, 47, 1000):
        told, since, after, ticks = [], 0, -1, []
        for _ in range(2000):
            page = journal.lineage.births_from(since, after, most, None, GENES)
            assert len(page.rows) <= most
            told += [row[0] for row in page.rows]
            ticks += [row[2] for row in page.rows]
            since, after = page.tick, page.after
            if not page.more:
                break
        assert len(told) == len(set(told)) and set(told) == whole and ticks == sorted(ticks)
        assert (since, after) == (50, -1)


def test_births_of_an_incomplete_tick_are_not_in_a_page(journal):
    early, late = entered(journal, 7, [1, 2]), entered(journal, 8, [4])
    journal.enter(moment(8), 1)
    page = journal.lineage.births_from(0, -1, 100, None, GENES)
    assert [row[0] for row in page.rows] == early and not page.more and page.tick == 8
    late = sorted(late + entered(journal, 8, [3]))  # births of the same tick from another node
    journal.enter(moment(16), 2)
    again = journal.lineage.births_from(page.tick, page.after, 100, None, GENES)
    assert [row[0] for row in again.rows] == late and again.tick == 16


def test_births_are_columns_with_species_by_index_and_kinship_markers(journal):
    entered(journal, 3, [60, 75], 2, 9)
    entered(journal, 3, [51], 1)
    journal.enter_births({"id": identity(1, 4, np.array([8])), "cell": np.array([8])}, [], 50)
    journal.enter(moment(9), 1)
    journal.commit()
    world = golden_world(64, 64, **{"founders.1.species": "grazer", "founders.1.like": "shrub"})  # grass is 0, grazer 3
    content, raw = asked(world, journal.path, "births", 0)
    found = read_columns(content, raw)
    assert found["tick"].tolist() == [3, 3, 3, 4] and found["parent_id"].tolist() == [5, 9, 9, 0]
    assert (found["y"].tolist(), found["x"].tolist()) == ([1, 1, 1, 0], [1, 10, 25, 8])
    assert found["species"].tolist() == [0, 3, 3, -1] and found["species"].dtype == np.int16
    assert found["marker_a"].tolist() == [51, 60, 75, 0] and found["marker_c"].tolist() == [49, 58, 73, 0]
    assert (content["more"], content["next"], content["after"]) == (False, 9, 0)
    plants = read_columns(*asked(world, journal.path, "births", 0, table="plants"))
    monsters = read_columns(*asked(world, journal.path, "births", 0, table="monsters", most=1))
    assert plants["x"].tolist() == [1, 8] and monsters["x"].tolist() == [10]
    assert monsters.keys() == found.keys()
    nothing = read_columns(*asked(world, journal.path, "births", 9))
    assert all(len(column) == 0 for column in nothing.values()) and nothing.keys() == found.keys()


def test_a_page_has_a_maximum_of_births(journal, monkeypatch):
    monkeypatch.setattr(journal_queries, "MAX_BIRTHS", 30)
    entered(journal, 3, list(range(100)))
    journal.enter(moment(9), 1)
    journal.commit()
    for most in (0, -4, 31, 1 << 40):
        content, _ = asked(small_world(), journal.path, "births", 0, most=most)
        assert (content["count"], content["more"], content["next"]) == (30, True, 3) and content["after"] > 0


def test_the_cost_of_a_page_does_not_depend_on_the_size_of_the_journal(journal):
    count = 300_000
    for tick in range(0, count // 1000):
        ids = identity(1 + tick % 2, tick, np.arange(1000))
        rows = [(one, 5, tick, 0, 0, "grass", bytes(100)) for one in ids.tolist()]
        journal.database.begin()
        journal.database.connection.executemany("INSERT INTO births VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
    journal.enter(moment(count), 1)
    journal.commit()
    steps = 0

    def step() -> int:
        nonlocal steps
        steps += 1
        return 0

    journal.database.connection.set_progress_handler(step, 100)
    page = journal.lineage.births_from(250, -1, 1000, None, GENES)
    assert page.more and len(page.rows) == 1000 and page.rows[0][2] == 250
    assert steps * 100 < 100_000, "it reads rows outside the page"
    steps = 0
    ancestors, children = journal.lineage.family(5)
    assert (len(ancestors), len(children)) == (0, 256) and steps * 100 < 20_000, "children are not found by an index"


def test_a_family_is_the_ancestors_and_the_children(journal):
    founder = int(identity(2, 0, 3, by_hand=True))
    line = [founder]
    for tick in range(1, 81):
        line += entered(journal, tick, [tick], 2, line[-1])
    others = entered(journal, 81, list(range(100, 400)), 2, line[40])
    journal.commit()
    content, _ = asked(small_world(), journal.path, "family", being=line[40])
    assert [one["id"] for one in content["ancestors"]] == line[39:0:-1]  # the founder is not in the list
    assert [one["id"] for one in content["children"]] == [line[41], *others][:256]
    assert content["children"][0] == {
        "id": line[41],
        "parent_id": line[40],
        "tick": 41,
        "species": "grazer",
        "y": 0,
        "x": 41,
    }
    far, _ = asked(small_world(), journal.path, "family", being=line[80])
    assert [one["id"] for one in far["ancestors"]] == line[79:15:-1] and far["children"] == []
    assert asked(small_world(), journal.path, "family", being=founder)[0]["children"][0]["id"] == line[1]
    assert asked(small_world(), journal.path, "family", being=12)[0] == {"ancestors": [], "children": []}


def test_metrics_are_thinned_evenly_with_the_first_and_the_last(journal, monkeypatch):
    for tick in range(0, 1000, 4):
        journal.enter(moment(tick) if tick < 500 else moment(tick, water=8, gold=1), tick)
    journal.commit()
    every = msgspec.json.decode(asked(small_world(), journal.path, "metrics", 2)[1])
    assert every["ticks"] == list(range(4, 1000, 4)) and every["births"] == [3 * tick for tick in every["ticks"]]
    assert every["deaths"] == every["ticks"]
    assert every["populations"] == {"plants": {"grass": [10 + tick for tick in every["ticks"]]}}
    assert every["substances"]["gold"] == [int(tick >= 500) for tick in every["ticks"]]
    monkeypatch.setattr(journal_queries, "MAX_POINTS", 60)
    few = msgspec.json.decode(asked(small_world(), journal.path, "metrics", 0)[1])
    gaps = np.diff(few["ticks"])
    assert len(few["ticks"]) == 60 and (few["ticks"][0], few["ticks"][-1]) == (0, 996) and gaps.max() - gaps.min() <= 4
    assert all(len(one) == 60 for one in few["substances"].values())
    monkeypatch.setattr(journal_queries, "MAX_NUMBERS", 100)
    assert len(msgspec.json.decode(asked(small_world(), journal.path, "metrics", 0)[1])["ticks"]) <= 25
    nothing = msgspec.json.decode(asked(small_world(), journal.path, "metrics", 5000)[1])
    assert nothing == {"ticks": [], "births": [], "deaths": [], "populations": {}, "substances": {}}


def test_births_are_those_that_the_run_journalled(tmp_path):
    store = small_run(tmp_path / "run", 96)
    world = small_world()
    content, raw = asked(world, store.journal, "births", 0)
    found = read_columns(content, raw)
    reading = Journal.reading(store.journal)
    true = [row for row in reading.lineage.births() if row[2] < 96]
    reading.close()
    assert found["id"].tolist() == [row[0] for row in true] and len(true) > 50
    born = [row for row in true if row[5] in ("grazer", "hunter")]
    assert len(born) > 5
    for row in born:
        genome, at = np.frombuffer(row[6], np.int8), found["id"].tolist().index(row[0])
        markers = [found[name][at] for name in ("marker_a", "marker_b", "marker_c")]
        assert markers == [genome[TRAIT[name]] for name in ("marker_a", "marker_b", "marker_c")]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("births", -1), "tick -1"),
        (("metrics", 1 << 62), "give numbers"),
        (("births", 0, 0.0, 0, "stones"), "stones"),
        (("family", 0, 0.0, -1 << 63), "give numbers"),
        (("births", 0, 0.0, 0, "x" * 5000), "unknown"),
    ],
)
def test_an_invalid_query_is_refused_with_one_line(journal, arguments, said):
    with pytest.raises(Exception, match=said) as refused:
        asked(small_world(), journal.path, *arguments)
    assert "\n" not in str(refused.value) and len(str(refused.value)) < 400


def test_worlds_whose_ids_do_not_name_tables_answer_for_all_or_for_their_only_table(journal):
    wolves, boids = (read_world(bundled_worlds()[name]) for name in ("wolf_sheep", "flocking"))
    entered(journal, 3, [60, 75], 3)
    journal.enter(moment(9), 1)
    journal.commit()
    with pytest.raises(RunError, match="request the births of all tables"):
        asked(wolves, journal.path, "births", 0, table="sheep")
    assert asked(wolves, journal.path, "births", 0)[0]["count"] == 2
    assert read_columns(*asked(wolves, journal.path, "births", 0))["marker_a"].tolist() == [0, 0]
    (table,) = (schema.name for schema in boids.laws.layout(boids)[1])
    assert asked(boids, journal.path, "births", 0, table=table)[0]["count"] == 2


def test_a_damaged_or_missing_journal_is_one_line(tmp_path):
    with pytest.raises(RunError, match="is missing"):
        asked(small_world(), tmp_path / "journal.sqlite", "metrics", 0)
    (tmp_path / "journal.sqlite").write_bytes(b"nothing that a database would hold" * 100)
    with pytest.raises(RunError, match="damaged"):
        asked(small_world(), tmp_path / "journal.sqlite", "births", 0)


def test_an_older_journal_gets_the_index_when_it_is_opened(journal):
    journal.database.connection.execute("DROP INDEX births_by_parent")
    again = Journal(journal.path)
    names = [row[0] for row in again.database.connection.execute("SELECT name FROM sqlite_master WHERE type = 'index'")]
    again.close()
    assert "births_by_parent" in names


def test_open_queries_are_bounded(journal, monkeypatch):
    monkeypatch.setattr(journal_queries, "MAX_UNDER_WAY", 2)
    queries = JournalQueries(small_world(), journal.path)
    outcomes: list = []
    for _ in range(2):
        queries.begin(History("a", "metrics"), outcomes.append)
    with pytest.raises(BusyError, match="too many questions"):
        queries.begin(History("a", "metrics"), outcomes.append)
    while len(outcomes) < 2:
        queries.poll()
    queries.begin(History("a", "metrics"), outcomes.append)
    queries.close()
    assert len(outcomes) == 2 and not any(isinstance(one, UmweltError) for one in outcomes)

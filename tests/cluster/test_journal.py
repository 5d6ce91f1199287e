"""The journal: a replay of the same history changes nothing, a different one is refused; errors are one line."""

import sqlite3

import numpy as np
import pytest

from umwelt.cluster.run.journal import Journal, Metrics
from umwelt.sandbox.columns import identity
from umwelt.sandbox.errors import RunError


def moment(tick: int) -> Metrics:
    return Metrics(tick, 3 * tick, tick, {"plants": {"grass": 10 + tick}}, {"water": 7})


def newborn(tick: int, cells: list[int]) -> dict[str, np.ndarray]:
    """Returns a record of births in these cells, as a node reports it."""
    return {
        "id": identity(2, tick, np.array(cells)),
        "parent_id": np.array([5] * len(cells)),
        "species": np.zeros(len(cells), np.int16),
        "genome": np.arange(4 * len(cells), dtype=np.int8).reshape(-1, 4),
        "cell": np.array(cells),
    }


@pytest.fixture
def journal(tmp_path):
    opened = Journal(tmp_path / "journal.sqlite")
    yield opened
    opened.close()


def test_entries_are_read_back_in_order(journal):
    for tick in (0, 8, 16):
        journal.enter(moment(tick), 2**64 - 1 - tick)
    journal.commit()
    assert list(journal.history.metrics()) == [moment(tick) for tick in (0, 8, 16)]
    assert journal.history.digests() == {tick: 2**64 - 1 - tick for tick in (0, 8, 16)}
    assert journal.history.last_tick() == 16


def test_births_are_entered_by_id_with_tick_place_and_genome(journal):
    journal.enter_births(newborn(9, [105, 7]), ["grazer"], 50)
    assert [row[1:] for row in journal.lineage.births()] == [
        (5, 9, 0, 7, "grazer", bytes([4, 5, 6, 7])),
        (5, 9, 2, 5, "grazer", bytes([0, 1, 2, 3])),
    ]


@pytest.mark.parametrize("most", [1, 3, 1000])
def test_births_come_by_ticks_with_all_of_a_tick_at_once(journal, most):
    for tick in (2, 3, 40, 41, 900):
        journal.enter_births(newborn(tick, [3, 1]), ["grazer"], 50)
        plants = {**newborn(tick, [9]), "id": identity(1, tick, np.array([9])), "species": np.array([1])}
        journal.enter_births(plants, ["grazer", "grass"], 50)
    pages = [{row[2] for row in rows} for rows in journal.lineage.births_by_ticks(most, 41)]
    assert [min(page) for page in pages] == sorted(min(page) for page in pages)
    assert sum(map(len, pages)) == 4  # a tick is never divided between pages
    told = [row for rows in journal.lineage.births_by_ticks(most, 900) for row in rows]
    assert sorted(told) == sorted(journal.lineage.births()) and journal.lineage.birth_count() == len(told) == 15
    grass = [row for rows in journal.lineage.births_by_ticks(most, 900, "grass") for row in rows]
    assert len(grass) == journal.lineage.birth_count("grass") == 5 and {row[5] for row in grass} == {"grass"}


def test_replaying_twice_changes_nothing(journal):
    for _ in range(2):
        journal.enter(moment(8), 77)
        journal.enter_births(newborn(9, [1, 2, 3]), ["grazer"], 50)
        journal.commit()
    assert len(list(journal.lineage.births())) == 3
    assert list(journal.history.metrics()) == [moment(8)]


def test_a_replay_with_another_digest_is_refused_with_its_tick(journal):
    journal.enter(moment(8), 77)
    with pytest.raises(RunError, match="tick 8 has digest 000000000000004e"):
        journal.enter(moment(8), 78)


def test_only_committed_entries_survive(tmp_path, journal):
    journal.enter(moment(8), 1)
    journal.commit()
    journal.enter(moment(16), 2)
    other = Journal.reading(journal.path)
    assert other.history.last_tick() == 8
    other.close()


def test_a_file_that_is_no_journal_is_named(tmp_path):
    path = tmp_path / "journal.sqlite"
    path.write_bytes(b"not a database at all, but long enough to be one" * 100)
    with pytest.raises(RunError, match=str(path)):
        Journal(path)


def test_a_full_disk_is_an_error_of_one_line(journal):
    page_count = journal.database.connection.execute("PRAGMA page_count").fetchone()[0]
    journal.database.connection.execute(f"PRAGMA max_page_count = {page_count + 1}")
    with pytest.raises(RunError, match="the disk is full: make room"):
        for tick in range(10_000):
            journal.enter(moment(tick), tick)
            journal.commit()


def test_the_journal_is_in_wal_mode_and_syncs_fully(journal):
    database: sqlite3.Connection = journal.database.connection
    assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert database.execute("PRAGMA synchronous").fetchone() == (2,)

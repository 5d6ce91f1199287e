"""Failures around runs: edited or damaged files, failed launches, and killed processes.

An error is one line and leaves no files behind; after a process is killed, the history of the world is unchanged.
"""

import errno
import json
import os
import shutil
import signal
import sqlite3
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

import pytest
from small_runs import TEXT, open_run, small_run, small_world
from waiting import wait_until

from umwelt.client.commands.export import export_run
from umwelt.client.commands.running import find_newest
from umwelt.cluster.launch.local import Engine, Plan, begin_run, check_not_running
from umwelt.cluster.run.journal import Journal
from umwelt.cluster.run.replay import read_run_world, restore_region, verify
from umwelt.cluster.run.store import Store, replace_file
from umwelt.cluster.run.verify import compare
from umwelt.sandbox import audit, snapshot
from umwelt.sandbox.errors import RunError, SnapshotError


@pytest.fixture(scope="module")
def kept(tmp_path_factory) -> Path:
    """A run with snapshots at ticks 0 and 8."""
    return small_run(tmp_path_factory.mktemp("runs") / "small-1", 8).folder


@pytest.fixture
def folder(kept, tmp_path) -> Path:
    return Path(shutil.copytree(kept, tmp_path / "small-1"))


# --- the world file


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("seed = 5", "seed = 6", "seed 6, was 5"),
        ("width = 48", "width = 64", "width 64, was 48"),
        ("day_ticks = 60", "day_ticks = 61", "climate.day_ticks 61, was 60"),
        ("count = 30", "count = 31", "founders.1.count 31, was 30"),
    ],
)
def test_a_world_file_that_was_changed_after_launch_is_refused(folder, before, after, said):
    world = folder / "world.toml"
    text = world.read_text()
    assert before in text
    world.write_text(text.replace(before, after))
    with pytest.raises(RunError, match=rf"world\.toml: is not the world the run began with \({said}\): restore it"):
        read_run_world(Store.open(folder))
    world.write_text("# put back, in other words\n" + TEXT)
    assert restore_region(Store.open(folder))[1].tick == 8


# --- manifests


DAMAGED = {
    "tick a string": {"tick": "x"},
    "tick negative": {"tick": -5},
    "tick true": {"tick": True},
    "tick of another folder": {"tick": 7},
    "counts null": {"counts": None},
    "counts of words": {"counts": {"births": "x"}},
    "counts without deaths": {"counts": {"births": 1}},
    "fields null": {"fields": None},
    "fields of null": {"fields": [None]},
    "tables null": {"tables": None},
    "tables of null": {"tables": {"plants": None, "monsters": None}},
    "no constants": {"constants": {}},
    "constants null": {"constants": None},
    "parts null": {"parts": None},
    "parts of null": {"parts": [None]},
    "no parts": {"parts": []},
    "torus null": {"torus": None},
    "torus of words": {"torus": ["a", 3]},
    "world null": {"world": None},
    "name a number": {"name": 3},
    "seed a string": {"seed": "5"},
    "digest null": {"digest": None},
    "unknown key": {"more": 1},
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_snapshot_with_a_damaged_manifest_is_skipped(folder, damage):
    manifest = Store(folder).path(8) / snapshot.MANIFEST
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | DAMAGED[damage]))
    _, region, passed_over = restore_region(Store.open(folder))
    assert region.tick == 0
    assert len(passed_over) == 1 and "tick-000000000008: " in passed_over[0] and "\n" not in passed_over[0]


@pytest.mark.parametrize("text", ["[]", "null", "[" * 100_000, '{"schema": 2}', ""])
def test_a_manifest_that_is_no_object_is_refused(folder, text):
    path = Store(folder).path(8)
    (path / snapshot.MANIFEST).write_text(text)
    with pytest.raises(SnapshotError, match="damaged or unfinished"):
        snapshot.load(path)


# --- the journal


SPOILT = {
    "populations cut": "UPDATE metrics SET populations = '{'",
    "populations a list": "UPDATE metrics SET populations = '[1]'",
    "populations of lists": "UPDATE metrics SET populations = '{\"plants\": [1]}'",
    "counts of words": 'UPDATE metrics SET substances = \'{"water": "much"}\'',
    "deaths a word": "UPDATE metrics SET deaths = 'abc'",
    "another table": "ALTER TABLE metrics ADD COLUMN more TEXT",
    "no table": "DROP TABLE births",
    "place a word": "UPDATE births SET x = 'abc'",
    "place too far": "UPDATE births SET y = 99999999999",
    "species a blob": "UPDATE births SET species = x'ff'",
}


@pytest.mark.parametrize("how", SPOILT)
def test_damaged_contents_of_the_journal_are_one_line_with_the_fix(folder, how):
    database = sqlite3.connect(folder / "journal.sqlite")
    database.execute("INSERT INTO births VALUES (1, 2, 3, 4, 5, 'grass', x'00')")
    database.execute(SPOILT[how])
    database.commit()
    database.close()
    out = folder.parent / "out"
    with pytest.raises(
        RunError, match=r"journal\.sqlite: damaged: .*: move it to another folder and resume the run"
    ) as refused:
        export_run(folder, out)
    assert "\n" not in str(refused.value)
    assert list(out.iterdir()) == []
    if "births" not in SPOILT[how]:
        with pytest.raises(RunError, match="move it to another folder and resume the run"):
            find_newest(Store.open(folder))


def test_a_journal_that_was_moved_away_is_begun_again(folder):
    (folder / "journal.sqlite").rename(folder / "journal.damaged")
    with pytest.raises(RunError, match="is missing: resume the run first"):
        export_run(folder, folder.parent / "out")
    assert find_newest(Store.open(folder))[0].tick == 8
    with open_run(folder) as runner:
        assert runner.tick == 8
        runner.save()
    assert dict(export_run(folder, folder.parent / "out"))[folder.parent / "out" / "life.parquet"] == 1


# --- launches

BRITTLE = """
from umwelt.agents import Monster


class Brittle(Monster):
    def respond(self, see):
        raise ValueError("glass breaks")
"""


def stopped(*arguments: object) -> None:
    """Stands in for a function during which the user presses Ctrl-C."""
    raise KeyboardInterrupt


def full(*arguments: object) -> None:
    """Stands in for a function that writes to a full disk."""
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("mishap", [stopped, full])
@pytest.mark.parametrize("place", ["audit", "snapshot", "world"])
@pytest.mark.parametrize("given", [None, Path("deep/er/run"), Path("there")])
def test_a_launch_that_fails_before_its_first_snapshot_leaves_nothing(tmp_path, monkeypatch, mishap, place, given):
    monkeypatch.chdir(tmp_path)
    Path("there").mkdir()
    target, name = {"audit": (audit, "digest"), "snapshot": (os, "fsync"), "world": (Path, "write_text")}[place]
    monkeypatch.setattr(target, name, mishap)
    with pytest.raises((KeyboardInterrupt, RunError, OSError)) as raised:
        begin_run(small_world(), given)
    assert "last snapshot" not in str(raised.value) and "resume" not in str(raised.value)
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")] == ["there"]


def test_a_failed_launch_changes_no_other_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small_run(Path("runs/small-1"))
    before = sorted(Path().rglob("*"))
    with pytest.raises(RunError, match="is not empty"):
        begin_run(small_world(), Path("runs/small-1"))
    monkeypatch.setattr(audit, "digest", stopped)
    with pytest.raises(KeyboardInterrupt):
        begin_run(small_world())
    assert sorted(Path().rglob("*")) == before


def test_a_failed_write_keeps_the_older_file(tmp_path, monkeypatch):
    old = tmp_path / "old.txt"
    old.write_text("precious")
    with pytest.raises(OSError, match="No space"), replace_file(old) as half:
        half.write_text("ha")
        full()
    assert [path.name for path in tmp_path.iterdir()] == ["old.txt"] and old.read_text() == "precious"
    with replace_file(old) as half:
        half.write_text("new")
    assert [path.name for path in tmp_path.iterdir()] == ["old.txt"] and old.read_text() == "new"


def test_an_export_replaces_an_older_one_as_a_whole(folder, monkeypatch):
    from pyarrow import parquet

    out = folder.parent / "out"
    export_run(folder, out)
    before = {path: path.read_bytes() for path in out.iterdir()}
    with open_run(folder) as runner:
        runner.go(16)
    writer, wrote = parquet.ParquetWriter.write_table, []

    def fills_up(self, table):
        wrote.append(table)
        return full() if len(wrote) == 3 else writer(self, table)

    monkeypatch.setattr(parquet.ParquetWriter, "write_table", fills_up)
    with pytest.raises(RunError, match="the disk is full: make room, then try again"):
        export_run(folder, out)
    assert {path: path.read_bytes() for path in out.iterdir()} == before


# --- processes that are killed


SPEED = 40.0
"""Ticks a second; a limit, because the test runs all ticks twice more for comparison."""


def carried(engine: Engine, until: Callable[[dict], bool], within_s: float = 240.0) -> dict:
    """Poll an engine until the status of its coordinator meets a condition; returns the status."""
    end_s = time.monotonic() + within_s
    while time.monotonic() < end_s:
        if engine.poll(0.05) and until(engine.coordinator.status):
            return engine.coordinator.status
    raise AssertionError(f"not within {within_s} s: {engine.coordinator.status}")


def poll_until_finished(engine: Engine) -> None:
    wait_until(lambda: engine.finished or (engine.poll(0.05) and engine.finished), 240.0, poll_s=0.0)


def killed(engine: Engine, name: str) -> None:
    os.kill(engine.children[name].process.pid, signal.SIGKILL)


@pytest.mark.slow
def test_a_world_whose_processes_are_killed_is_the_same_world(tmp_path):
    store = begin_run(small_world(), tmp_path / "small-1")
    engine = Engine(store, Plan(nodes=2, gateway=False, mark_s=0.3))
    try:
        engine.start()
        engine.coordinator.order("speed", SPEED)
        began = carried(engine, lambda now: now["tick"] >= 40)
        killed(engine, "node-1")
        after = carried(engine, lambda now: now["epoch"] > began["epoch"] and now["tick"] > began["tick"])
        assert any(event["line"].startswith("node-1 died: back to tick ") for event in after["events"])
        both = carried(engine, lambda now: len([node for node in now["nodes"] if node["rectangle"]]) == 2)
        killed(engine, "coordinator")
        engine.coordinator.order("speed", SPEED)
        carried(engine, lambda now: now["epoch"] > both["epoch"] and now["tick"] > both["tick"])
        assert [line.split(" (")[0] for line in engine.messages] == ["node-1 died", "coordinator died"]
        engine.stop()
        poll_until_finished(engine)
    finally:
        engine.close()
    assert not engine.children and not (store.folder / "coordinator.json").exists()
    last = find_newest(store)[0]
    found = verify(store.folder)
    assert found.first_difference is None and found.compared > last.tick // 8 and found.last_tick == last.tick
    straight = small_run(tmp_path / "straight", last.tick)
    assert compare(store.folder, straight.folder)[0].relation == "same"
    journals = [Journal.reading(one.journal) for one in (store, straight)]
    assert list(journals[0].lineage.births()) == list(journals[1].lineage.births())
    assert list(deque(journals[0].history.metrics(), 1)) == list(deque(journals[1].history.metrics(), 1))


def test_a_run_cannot_run_twice_at_the_same_time(folder):
    (folder / "cluster.json").write_text(json.dumps({"pid": os.getppid()}))
    for begin in (check_not_running, lambda store: Engine(store, Plan())):
        with pytest.raises(RunError, match=r"small-1: is running already \(process \d+\): umwelt stop"):
            begin(Store.open(folder))


def test_a_species_that_fails_ends_the_world_with_its_line(tmp_path, monkeypatch):
    (tmp_path / "brittle.py").write_text(BRITTLE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    world = small_world(founders__3__behaviour="brittle:Brittle")
    engine = Engine(begin_run(world, tmp_path / "run"), Plan(nodes=1, gateway=False))
    try:
        engine.start()
        with pytest.raises(RunError, match=r"Brittle.*glass") as failed:
            poll_until_finished(engine)
    finally:
        engine.close()
    assert "\n" not in str(failed.value)
    assert restore_region(Store.open(tmp_path / "run"))[1].tick == 0

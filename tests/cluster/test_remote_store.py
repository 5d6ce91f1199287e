"""A run whose snapshots are at a URL behaves as one on a local disk."""

from pathlib import Path

import pytest
from sharded_regions import golden_world

from umwelt.cluster.launch.local import begin_run
from umwelt.cluster.run.remote_store import RemoteStore, create_store, open_store
from umwelt.cluster.run.replay import fork, replay, restore_region
from umwelt.cluster.run.store import Entry, choose_kept_ticks
from umwelt.sandbox import audit
from umwelt.sandbox.errors import RunError


@pytest.fixture
def far(tmp_path: Path) -> RemoteStore:
    """A run of golden with snapshots at ticks 0, 4 and 8, at a URL."""
    store = begin_run(golden_world(), tmp_path / "run", url=f"file://{tmp_path}/far")
    assert isinstance(store, RemoteStore)
    world, region, _ = restore_region(store)
    for tick in (4, 8):
        replay(world, region, tick, ())
        store.save(region, world.text, world.name)
    return store


def test_snapshots_at_the_url_are_downloaded_when_they_are_read(far, tmp_path):
    assert far.ticks() == [0, 4, 8]
    assert sorted(path.name for path in (tmp_path / "far" / "run").iterdir()) == [
        f"tick-{tick:012d}" for tick in (0, 4, 8)
    ]
    for path in list(far.snapshots.iterdir()):
        path.rename(tmp_path / f"gone-{path.name}")
    again = open_store(far.folder)
    _, region, passed = restore_region(again, 6)
    assert (region.tick, passed) == (6, [])
    plain = begin_run(golden_world(), tmp_path / "plain")
    assert audit.digest(region) == audit.digest(restore_region(plain, 6)[1])


def test_a_damaged_snapshot_at_the_url_is_skipped(far, tmp_path):
    for path in far.snapshots.glob("tick-000000000008"):
        path.rename(tmp_path / "gone")
    there = tmp_path / "far" / "run" / Entry(8, True).name
    chunks = [path for path in there.rglob("*") if path.is_file() and path.suffix != ".json"]
    largest = max(chunks, key=lambda path: path.stat().st_size)
    largest.write_bytes(largest.read_bytes()[:-9])
    _, region, passed = restore_region(open_store(far.folder))
    assert region.tick == 4
    assert len(passed) == 1 and "skipped" in passed[0]


def test_forks_of_it_lie_in_folders(far, tmp_path):
    made = fork(far.folder, 5, tmp_path / "fork")
    assert not isinstance(open_store(made), RemoteStore)
    assert open_store(made).ticks() == [0, 4, 5]


def test_snapshots_at_the_url_are_thinned_as_in_a_folder(far):
    world, region, _ = restore_region(far, 8)
    for tick in range(9, 15):
        replay(world, region, tick, ())
        far.save(region, world.text, world.name)
    assert far.ticks() == sorted(choose_kept_ticks(far.ticks())) != list(range(15))
    assert {0, 13, 14} <= set(far.ticks())
    far.abandon(far.begin_snapshot(15, 3, False))
    far.discard_marks()
    assert {0, 13, 14} <= set(far.ticks())


def test_an_invalid_or_used_url_is_an_error_of_one_line(far, tmp_path):
    with pytest.raises(RunError, match=r"nothing://there/x: cannot be opened: .*give another"):
        create_store("golden", "", tmp_path / "x", "nothing://there")
    assert not (tmp_path / "x").exists()
    with pytest.raises(RunError, match="holds the snapshots of another run"):
        (tmp_path / "other").mkdir()
        create_store("golden", "", tmp_path / "other" / "run", f"file://{tmp_path}/far")

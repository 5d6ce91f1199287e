"""Run folders: which snapshots are kept, damaged snapshots, full disks, and continuing a stopped run."""

import errno
import os
import shutil
from itertools import pairwise
from pathlib import Path

import pytest
from small_runs import InProcessRunner, open_run, small_run, small_world

from umwelt.cluster.coordinator.storage import newest_good
from umwelt.cluster.launch.local import begin_run
from umwelt.cluster.run.journal import Journal
from umwelt.cluster.run.replay import read_run_world, restore_region
from umwelt.cluster.run.store import Entry, Store, choose_kept_ticks
from umwelt.sandbox import audit, snapshot
from umwelt.sandbox.controls import Controls
from umwelt.sandbox.errors import RunError, SnapshotError


@pytest.fixture(scope="module")
def kept(tmp_path_factory) -> Path:
    """A run with snapshots at ticks 0, 8, 16 and 20."""
    return small_run(tmp_path_factory.mktemp("runs") / "small-1", 8, 16, 20).folder


@pytest.fixture
def folder(kept, tmp_path) -> Path:
    return Path(shutil.copytree(kept, tmp_path / "small-1"))


def damage(folder: Path, tick: int) -> None:
    """Damages the part of a snapshot."""
    cells = Store(folder).path(tick) / "part-0-0" / "cells" / "substance" / "c"
    chunk = next(file for file in cells.rglob("*") if file.is_file())
    chunk.write_bytes(chunk.read_bytes()[:-9])


def test_kept_snapshots_are_the_first_the_newest_and_fewer_with_age():
    kept: set[int] = set()
    for tick in range(0, 100_000, 50):
        kept = choose_kept_ticks(kept | {tick})
        assert 0 in kept and tick in kept
    assert {99_950, 99_900} <= kept
    assert len(kept) < 20
    ages = sorted(99_950 - tick for tick in kept)
    assert all(after <= 4 * before + 200 for before, after in pairwise(ages[1:]))


def test_only_thinned_snapshots_are_deleted(tmp_path):
    store = small_run(tmp_path / "small-1")
    (store.snapshots / "notes.txt").write_text("mine")
    with open_run(store.folder) as runner:
        for tick in range(1, 14):
            runner.go(tick)
            runner.save()
    assert set(store.ticks()) == choose_kept_ticks(store.ticks()) and len(store.ticks()) < 10
    assert (store.snapshots / "notes.txt").exists()
    assert not list(store.snapshots.glob(".dropping-*"))


def test_runs_are_numbered_and_never_overwritten(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first, second = Store.create("small", "x = 1"), Store.create("small", "x = 2")
    assert [str(first.folder), str(second.folder)] == ["runs/small-1", "runs/small-2"]
    with pytest.raises(RunError, match="is not empty"):
        Store.create("small", "x = 3", first.folder)
    assert first.world_text() == "x = 1"


def births(store: Store) -> list[tuple]:
    journal = Journal.reading(store.journal)
    found = list(journal.lineage.births())
    journal.close()
    return found


def test_a_run_that_is_opened_again_continues_as_if_it_had_not_stopped(folder):
    with open_run(folder) as runner:
        assert runner.tick == 20 and runner.passed_over == []
        runner.go(30)
        runner.save()
    straight = small_run(folder.parent / "other", 30)
    ended, other = (snapshot.read_manifest(store.path(30)) for store in (runner.store, straight))
    assert (ended.digest, ended.counts) == (other.digest, other.counts)
    assert births(runner.store) == births(straight) and len(births(straight)) > 0


@pytest.mark.parametrize("broken", [[20], [20, 16]])
def test_a_damaged_snapshot_is_named_passed_over_and_the_one_before_used(folder, broken):
    for tick in broken:
        damage(folder, tick)
    before = {1: 16, 2: 8}[len(broken)]
    store = Store.open(folder)
    entry, _, told = newest_good(store, read_run_world(store))
    with open_run(folder) as runner:
        for tick, passed_over in ((entry.tick, told), (runner.tick, runner.passed_over)):
            assert tick == before
            assert [f"tick-{one:012d}" in line for one, line in zip(broken, passed_over, strict=True)] == [True] * len(
                broken
            )
        runner.go(24)
        runner.save()
    assert restore_region(store)[1].tick == 24


def test_a_damaged_snapshot_of_the_same_tick_is_put_aside_and_written_again(folder):
    damage(folder, 20)
    with open_run(folder) as runner:
        runner.go(20)
        runner.save()
    assert snapshot.load(runner.store.path(20)).manifest.tick == 20
    assert (runner.store.snapshots / "tick-000000000020.damaged").is_dir()


def test_a_half_written_snapshot_is_named_and_never_read(folder):
    half = folder / "snapshots" / f"{snapshot.UNFINISHED}tick-000000000024-1"
    shutil.copytree(Store(folder).path(20), half)
    store = Store.open(folder)
    assert str(half) in newest_good(store, read_run_world(store))[2][0]
    with open_run(folder) as runner:
        assert runner.tick == 20 and str(half) in runner.passed_over[0]
    assert not half.exists(), "the run was opened for writing"


def test_looking_at_a_run_leaves_half_written_snapshots_to_their_writer(folder):
    half = Store(folder).begin_snapshot(24, 1, True)
    (folder / "snapshots" / ".dropping-tick-000000000004").mkdir()
    restore_region(Store.open(folder), 8)
    assert half.exists()
    Store(folder).remove_unfinished()
    assert [path.name[:4] for path in (folder / "snapshots").iterdir()] == ["tick"] * 4


def test_a_run_without_any_valid_snapshot_says_how_to_begin_again(folder):
    for tick in Store(folder).ticks():
        (Store(folder).path(tick) / snapshot.MANIFEST).unlink()
    store = Store.open(folder)
    for read in (lambda: restore_region(store), lambda: newest_good(store, read_run_world(store))):
        with pytest.raises(RunError, match=r"umwelt launch .*world\.toml"):
            read()


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(RunError, match="is not a run"):
        Store.open(tmp_path)


def test_a_full_disk_is_one_line_and_the_last_snapshot_stays_whole(folder, monkeypatch):
    def full(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    with open_run(folder) as runner:
        runner.go(24)
        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(RunError, match=r"the disk is full: make room, then go on .* umwelt resume"):
            runner.save()
        monkeypatch.undo()
    assert restore_region(Store.open(folder))[1].tick == 20


def test_any_tick_that_was_reached_can_be_reached_again(folder):
    journal = Journal.reading(Store.open(folder).journal)
    digests = journal.history.digests()
    journal.close()
    for tick in (0, 8, 16, 20):
        _, region, _ = restore_region(Store.open(folder), tick)
        assert audit.digest(region) == digests[tick]


def test_nothing_is_written_when_genesis_fails(tmp_path):
    with pytest.raises(Exception, match="mobility"):
        begin_run(small_world(chemistry={"mobility": {"oxygen": [0.9, 0.9]}}), tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


# --- parts, temporary snapshots (marks) and epochs


def take(store: Store, runner: InProcessRunner, kept: bool, epoch: int = 1, controls: Controls | None = None) -> Path:
    """Takes a snapshot as a cluster does, with a part in a folder and a manifest; returns its folder."""
    aside = store.begin_snapshot(runner.tick, epoch, kept)
    return store.complete(aside, fill(aside, runner, kept, epoch, controls))


def fill(
    aside: Path, runner: InProcessRunner, kept: bool, epoch: int, controls: Controls | None = None
) -> snapshot.Manifest:
    """Writes the part and constants of a snapshot to the folder `aside`; returns its manifest."""
    region, world = runner.region, runner.world
    part = snapshot.write_part(aside, region.cut(region.owned), region.torus, audit.digest(region), kept)
    seals, layout = snapshot.write_constants(aside, region.constants), world.laws.layout(world)
    return snapshot.make_manifest(
        world.name,
        world.text,
        layout,
        region.torus,
        region.seed,
        region.tick,
        seals,
        [part],
        region.counts,
        controls or Controls(),
        kept,
        epoch,
    )


def names(store: Store) -> list[str]:
    return sorted(path.name for path in store.snapshots.iterdir())


def test_the_newest_two_marks_stay_and_runs_go_on_from_them(folder):
    with open_run(folder) as runner:
        for tick in (22, 24, 25):
            runner.go(tick)
            take(runner.store, runner, False)
    assert [entry.name for entry in runner.store.entries()][:3] == [
        "mark-000000000025",
        "mark-000000000024",
        "tick-000000000020",
    ]
    assert runner.store.ticks() == [0, 8, 16, 20]
    with open_run(folder) as again:
        assert again.tick == 25 and again.digest() == runner.digest()
        again.store.discard_marks()
    assert names(again.store) == [f"tick-{tick:012d}" for tick in (0, 8, 16, 20)]
    assert restore_region(runner.store)[1].tick == 20


def test_a_damaged_temporary_snapshot_is_skipped_for_an_older_one(folder):
    with open_run(folder) as runner:
        for tick in (21, 22):
            runner.go(tick)
            path = take(runner.store, runner, False)
        chunk = path / "part-0-0" / "cells" / "substance" / "c" / "0" / "0" / "0"
        chunk.write_bytes(chunk.read_bytes()[:-4096])
        with open_run(folder) as again:
            assert again.tick == 21 and "mark-000000000022: damaged" in again.passed_over[0]
        take(runner.store, runner, False)
    assert restore_region(runner.store)[1].tick == 22
    assert not [name for name in names(runner.store) if "damaged" in name]


def test_a_temporary_snapshot_under_the_name_of_a_kept_one_is_refused(folder):
    with open_run(folder) as runner:
        runner.go(21)
        take(runner.store, runner, False).rename(runner.store.path(21))
    with open_run(folder) as again:
        assert again.tick == 20 and "is that of a passing mark of tick 21" in again.passed_over[0]


def test_late_parts_of_an_older_epoch_never_mix_in(folder):
    with open_run(folder) as runner:
        store = runner.store
        runner.go(22)
    old, new = store.begin_snapshot(22, 4, True), store.begin_snapshot(22, 5, True)
    assert old != new
    manifest = fill(new, runner, True, 5)
    other = fill(old, runner, True, 4)
    for aside, wrong in ((old, manifest), (new, other)):
        with pytest.raises(SnapshotError, match="is not where"):
            store.complete(aside, wrong)
    store.abandon(old)
    with pytest.raises(FileNotFoundError):
        fill(old, runner, True, 4)
    path = store.complete(new, manifest)
    with pytest.raises(FileNotFoundError):
        fill(new, runner, True, 5)
    assert snapshot.load(path).manifest.epoch == 5
    assert names(store)[0] == "tick-000000000000"


def test_a_snapshot_begun_again_begins_empty_and_parts_missing_are_named(folder):
    with open_run(folder) as runner:
        store = runner.store
        runner.go(22)
    fill(store.begin_snapshot(22, 4, False), runner, False, 4)
    aside = store.begin_snapshot(22, 4, False)
    assert list(aside.iterdir()) == []
    manifest = fill(aside, runner, False, 4)
    shutil.rmtree(aside / "part-0-0")
    with pytest.raises(SnapshotError, match="part-0-0 is missing"):
        store.complete(aside, manifest)
    assert restore_region(store)[1].tick == 20


def test_a_tick_reached_again_with_other_commands_has_another_snapshot(folder):
    with open_run(folder) as runner:
        before = snapshot.read_manifest(runner.store.path(20))
        take(runner.store, runner, True, 3)
        assert snapshot.read_manifest(runner.store.path(20)) == before, "the same is not written twice"
        changed = Controls({"rot": 3})
        take(runner.store, runner, True, 3, changed)
    assert (folder / "snapshots" / "tick-000000000020.other").is_dir()
    _, region, _ = restore_region(runner.store)
    assert region.tick == 20 and region.controls == changed


def test_names_of_snapshots_are_read_as_they_are_written():
    for entry in (Entry(0, True), Entry(123, False), Entry((1 << 29) - 1, True)):
        assert Entry.parse(entry.name) == entry
        assert Entry.parse_unfinished(entry.unfinished_name(17)) == (entry, 17)
    for name in (
        "tick-12",
        "mark-00000000000x",
        "tick-0000000000001",
        "tick-000000000001.damaged",
        "tick-٠٠٠٠٠٠٠٠٠٠٠٠",
    ):
        assert Entry.parse(name) is None and Entry.parse_unfinished(f"{snapshot.UNFINISHED}{name}-e1") is None
    for name in (".writing-tick-000000000001", ".writing-tick-000000000001-e", ".writing-tick-000000000001-e-1"):
        assert Entry.parse_unfinished(name) is None
    assert max(Entry(5, True), Entry(5, False), Entry(4, True)) == Entry(5, True)

"""Run folders: the ladder of snapshots, damaged ones passed over, full disks, and going on where a run stopped."""

import errno
import os
import shutil
from itertools import pairwise
from pathlib import Path

import pytest
from small import small_run, small_world

from umwelt.cluster.engine import Run, region_at
from umwelt.cluster.store import Entry, Store, ladder
from umwelt.sandbox import audit, snapshot
from umwelt.sandbox.controls import Controls
from umwelt.sandbox.errors import RunError, SnapshotError


@pytest.fixture(scope="module")
def kept(tmp_path_factory) -> Path:
    """A run with snapshots at ticks 0, 8, 16 and 20."""
    folder = tmp_path_factory.mktemp("runs") / "small-1"
    run = small_run(folder)
    for tick in (8, 16, 20):
        for _ in run.ticks(tick):
            pass
        run.save()
    run.close()
    return folder


@pytest.fixture
def folder(kept, tmp_path) -> Path:
    return Path(shutil.copytree(kept, tmp_path / "small-1"))


def damage(folder: Path, tick: int) -> None:
    cells = Store(folder).path(tick) / "part-0-0" / "cells" / "substance" / "c"
    chunk = next(file for file in cells.rglob("*") if file.is_file())
    chunk.write_bytes(chunk.read_bytes()[:-9])


def test_the_ladder_keeps_genesis_the_newest_and_ever_sparser_ones():
    kept: set[int] = set()
    for tick in range(0, 100_000, 50):
        kept = ladder(kept | {tick})
        assert 0 in kept and tick in kept
    assert {99_950, 99_900} <= kept
    assert len(kept) < 20
    ages = sorted(99_950 - tick for tick in kept)
    assert all(after <= 4 * before + 200 for before, after in pairwise(ages[1:]))


def test_snapshots_that_fall_off_the_ladder_go_and_nothing_else(tmp_path):
    run = small_run(tmp_path / "small-1")
    (run.store.snapshots / "notes.txt").write_text("mine")
    for tick in range(1, 14):
        for _ in run.ticks(tick):
            pass
        run.save()
    run.close()
    assert set(run.store.ticks()) == ladder(run.store.ticks()) and len(run.store.ticks()) < 10
    assert (run.store.snapshots / "notes.txt").exists()
    assert not list(run.store.snapshots.glob(".dropping-*"))


def test_runs_are_numbered_and_never_overwritten(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first, second = Store.create("small", "x = 1"), Store.create("small", "x = 2")
    assert [str(first.folder), str(second.folder)] == ["runs/small-1", "runs/small-2"]
    with pytest.raises(RunError, match="is not empty"):
        Store.create("small", "x = 3", first.folder)
    assert first.world_text() == "x = 1"


def test_resumed_runs_go_on_as_if_they_had_never_stopped(folder):
    run = Run.resume(folder)
    assert run.tick == 20 and run.passed_over == []
    for _ in run.ticks(30):
        pass
    straight = small_run(folder.parent / "other", 30)
    assert run.summary()["digest"] == straight.summary()["digest"]
    assert {k: run.summary()[k] for k in ("births", "deaths")} == {
        k: straight.summary()[k] for k in ("births", "deaths")
    }
    births = [[row[0] for row in one.journal.births()] for one in (run, straight)]
    assert births[0] == births[1] and len(births[0]) > 0


@pytest.mark.parametrize("broken", [[20], [20, 16]])
def test_a_damaged_snapshot_is_named_passed_over_and_the_one_before_used(folder, broken):
    for tick in broken:
        damage(folder, tick)
    run = Run.resume(folder)
    assert run.tick == {1: 16, 2: 8}[len(broken)]
    assert [f"tick-{tick:012d}" in line for tick, line in zip(broken, run.passed_over, strict=True)] == [True] * len(
        broken
    )
    for _ in run.ticks(24):
        pass
    run.save()
    run.close()
    assert Run.resume(folder).tick == 24


def test_a_damaged_snapshot_of_the_same_tick_is_put_aside_and_written_again(folder):
    damage(folder, 20)
    run = Run.resume(folder)
    for _ in run.ticks(20):
        pass
    run.save()
    assert snapshot.load(run.store.path(20)).manifest.tick == 20
    assert (run.store.snapshots / "tick-000000000020.damaged").is_dir()


def test_a_half_written_snapshot_is_named_and_never_read(folder):
    half = folder / "snapshots" / f"{snapshot.ASIDE}tick-000000000024-1"
    shutil.copytree(Store(folder).path(20), half)
    run = Run.resume(folder)
    assert run.tick == 20 and str(half) in run.passed_over[0]
    assert not half.exists(), "the run was opened for writing"


def test_looking_at_a_run_leaves_half_written_snapshots_to_their_writer(folder):
    half = Store(folder).begin_snapshot(24, 1, True)
    (folder / "snapshots" / ".dropping-tick-000000000004").mkdir()
    region_at(Store.open(folder), 8)
    assert half.exists()
    Store(folder).tidy()
    assert [path.name[:4] for path in (folder / "snapshots").iterdir()] == ["tick"] * 4


def test_a_run_without_any_good_snapshot_says_how_to_begin_anew(folder):
    for tick in Store(folder).ticks():
        (Store(folder).path(tick) / snapshot.MANIFEST).unlink()
    with pytest.raises(RunError, match=r"umwelt launch .*world\.toml"):
        Run.resume(folder)


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(RunError, match="is no run"):
        Run.resume(tmp_path)


def test_a_full_disk_is_one_line_and_the_last_snapshot_stays_whole(folder, monkeypatch):
    run = Run.resume(folder)
    for _ in run.ticks(24):
        pass

    def full(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunError, match=r"the disk is full: make room, then go on .* umwelt resume"):
        run.save()
    monkeypatch.undo()
    assert Run.resume(folder).tick == 20


def test_any_tick_that_was_reached_can_be_reached_again(folder):
    digests = Run.resume(folder).journal.digests()
    for tick in (0, 8, 16, 20):
        _, region, _ = region_at(Store.open(folder), tick)
        assert audit.digest(region) == digests[tick]


def test_nothing_is_written_when_genesis_fails(tmp_path):
    with pytest.raises(Exception, match="mobility"):
        Run.begin(small_world(chemistry={"mobility": {"oxygen": [0.9, 0.9]}}), tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


# --- parts, marks and epochs


def take(store: Store, run: Run, kept: bool, epoch: int = 1, controls: Controls | None = None) -> Path:
    """A snapshot taken as a cluster does it."""
    aside = store.begin_snapshot(run.tick, epoch, kept)
    return store.complete(aside, fill(aside, run, kept, epoch, controls))


def fill(aside: Path, run: Run, kept: bool, epoch: int, controls: Controls | None = None) -> snapshot.Manifest:
    region, world = run.region, run.world
    part = snapshot.write_part(aside, region.cut(region.owned), region.torus, audit.digest(region), kept)
    seals, layout = snapshot.write_constants(aside, region.constants), world.laws.layout(world)
    return snapshot.describe(
        world.name, world.text, layout, region.torus, region.seed, region.tick, seals, [part], region.counts,
        controls or Controls(), kept, epoch,
    )  # fmt: skip


def names(store: Store) -> list[str]:
    return sorted(path.name for path in store.snapshots.iterdir())


def test_the_newest_two_marks_stay_and_runs_go_on_from_them(folder):
    run = Run.resume(folder)
    for tick in (22, 24, 25):
        for _ in run.ticks(tick):
            pass
        take(run.store, run, False)
    run.close()
    assert [entry.name for entry in run.store.entries()][:3] == [
        "mark-000000000025", "mark-000000000024", "tick-000000000020",
    ]  # fmt: skip
    assert run.store.ticks() == [0, 8, 16, 20]
    again = Run.resume(folder)
    assert again.tick == 25 and audit.digest(again.region) == audit.digest(run.region)
    again.store.discard_marks()
    assert names(again.store) == [f"tick-{tick:012d}" for tick in (0, 8, 16, 20)]
    assert Run.resume(folder).tick == 20


def test_a_damaged_mark_is_passed_over_for_what_is_older(folder):
    run = Run.resume(folder)
    for tick in (21, 22):
        for _ in run.ticks(tick):
            pass
        path = take(run.store, run, False)
    chunk = path / "part-0-0" / "cells" / "substance" / "c" / "0" / "0" / "0"
    chunk.write_bytes(chunk.read_bytes()[:-4096])
    again = Run.resume(folder)
    assert again.tick == 21 and "mark-000000000022: damaged" in again.passed_over[0]
    take(again.store, run, False)
    assert Run.resume(folder).tick == 22 and not [name for name in names(run.store) if "damaged" in name]


def test_a_mark_under_the_name_of_a_kept_snapshot_is_not_believed(folder):
    run = Run.resume(folder)
    for _ in run.ticks(21):
        pass
    take(run.store, run, False).rename(run.store.path(21))
    again = Run.resume(folder)
    assert again.tick == 20 and "is that of a passing mark of tick 21" in again.passed_over[0]


def test_late_parts_of_an_older_epoch_never_mix_in(folder):
    run, store = Run.resume(folder), Store(folder)
    for _ in run.ticks(22):
        pass
    old, new = store.begin_snapshot(22, 4, True), store.begin_snapshot(22, 5, True)
    assert old != new
    manifest = fill(new, run, True, 5)
    other = fill(old, run, True, 4)
    for aside, wrong in ((old, manifest), (new, other)):
        with pytest.raises(SnapshotError, match="is not where"):
            store.complete(aside, wrong)
    store.abandon(old)
    with pytest.raises(FileNotFoundError):
        fill(old, run, True, 4)
    path = store.complete(new, manifest)
    with pytest.raises(FileNotFoundError):
        fill(new, run, True, 5)
    assert snapshot.load(path).manifest.epoch == 5
    assert names(store)[0] == "tick-000000000000"


def test_a_snapshot_begun_again_begins_empty_and_parts_missing_are_named(folder):
    run, store = Run.resume(folder), Store(folder)
    for _ in run.ticks(22):
        pass
    fill(store.begin_snapshot(22, 4, False), run, False, 4)
    aside = store.begin_snapshot(22, 4, False)
    assert list(aside.iterdir()) == []
    manifest = fill(aside, run, False, 4)
    shutil.rmtree(aside / "part-0-0")
    with pytest.raises(SnapshotError, match="part-0-0 is missing"):
        store.complete(aside, manifest)
    assert Run.resume(folder).tick == 20


def test_a_tick_reached_again_with_other_commands_has_another_snapshot(folder):
    run = Run.resume(folder)
    before = snapshot.read_manifest(run.store.path(20))
    take(run.store, run, True, 3)
    assert snapshot.read_manifest(run.store.path(20)) == before, "the same is not written twice"
    changed = Controls({"rot": 3})
    take(run.store, run, True, 3, changed)
    assert (folder / "snapshots" / "tick-000000000020.other").is_dir()
    run = Run.resume(folder)
    assert run.tick == 20 and run.region.controls == changed


def test_names_of_snapshots_are_read_as_they_are_written():
    for entry in (Entry(0, True), Entry(123, False), Entry((1 << 29) - 1, True)):
        assert Entry.named(entry.name) == entry
        assert Entry.begun(entry.aside(17)) == (entry, 17)
    for name in (
        "tick-12",
        "mark-00000000000x",
        "tick-0000000000001",
        "tick-000000000001.damaged",
        "tick-٠٠٠٠٠٠٠٠٠٠٠٠",
    ):
        assert Entry.named(name) is None and Entry.begun(f"{snapshot.ASIDE}{name}-e1") is None
    for name in (".writing-tick-000000000001", ".writing-tick-000000000001-e", ".writing-tick-000000000001-e-1"):
        assert Entry.begun(name) is None
    assert max(Entry(5, True), Entry(5, False), Entry(4, True)) == Entry(5, True)

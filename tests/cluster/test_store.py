"""Run folders: the ladder of snapshots, damaged ones passed over, full disks, and going on where a run stopped."""

import errno
import os
import shutil
from itertools import pairwise
from pathlib import Path

import pytest
from small import small_run, small_world

from umwelt.cluster.engine import Run, region_at
from umwelt.cluster.store import Store, ladder
from umwelt.sandbox import audit, snapshot
from umwelt.sandbox.errors import RunError


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

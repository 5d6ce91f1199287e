"""Snapshots: what is saved and loaded goes on as if it had never stopped, and what is damaged is refused by name."""

import errno
import json
import os
from pathlib import Path

import numpy as np
import pytest
from small import small_world

from umwelt.agents.opening import begin, opened
from umwelt.sandbox import audit, snapshot
from umwelt.sandbox.errors import SnapshotError
from umwelt.sandbox.region import Rectangle, Region
from umwelt.sandbox.step import advance


@pytest.fixture(scope="module")
def world():
    return small_world()


@pytest.fixture
def region(world):
    made = begin(world)
    advance(made, world.laws, 12)
    return made


def saved(path: Path, region: Region, world) -> Path:
    snapshot.save(path, region, world.text, world.name)
    return path


@pytest.mark.parametrize("tick", [0, 1, 7, 70])
def test_save_load_continue_gives_the_digest_of_the_run_that_never_stopped(tmp_path, world, tick):
    straight = begin(world)
    advance(straight, world.laws, tick)
    kept = snapshot.load(saved(tmp_path / "s", straight, world), world.laws.layout(world))
    again = opened(world, kept.pieces, kept.constants, kept.manifest.tick)
    assert audit.digest(again) == audit.digest(straight)
    for _ in range(4):
        advance(straight, world.laws, 5)
        advance(again, world.laws, 5)
        assert audit.digest(again) == audit.digest(straight)


def test_manifest_says_tick_seed_digest_counts_and_the_frozen_world(tmp_path, world, region):
    path = saved(tmp_path / "s", region, world)
    manifest = snapshot.read_manifest(path)
    assert (manifest.tick, manifest.seed, manifest.world, manifest.name) == (12, 5, world.text, "small")
    assert manifest.digest == f"{audit.digest(region):016x}"
    assert manifest.counts == region.counts


def test_derived_columns_are_left_out_and_constants_kept(tmp_path, world, region):
    path = saved(tmp_path / "s", region, world)
    kept = snapshot.load(path)
    stored = kept.pieces[0].tables["monsters"]
    assert "stimuli" not in stored and "drives" not in stored and "memory" in stored
    assert kept.constants.keys() == region.constants.keys()
    assert all(np.array_equal(kept.constants[name], region.constants[name]) for name in region.constants)


def test_positions_are_the_worlds_own_wherever_the_region_lies(tmp_path, world, region):
    whole = begin(world)
    shifted = opened(world, [whole.cut(whole.owned)], whole.constants, 0, owned=Rectangle(-7, 30, 40, 48))
    kept = snapshot.load(saved(tmp_path / "s", shifted, world), world.laws.layout(world))
    assert kept.manifest.parts[0]["rectangle"] == [33, 30, 40, 48]
    again = opened(world, kept.pieces, kept.constants, 0)
    assert audit.digest(again) == audit.digest(whole)


def test_a_world_without_any_beings_is_saved_too(tmp_path):
    world = small_world(founders=[])
    region = begin(world)
    kept = snapshot.load(saved(tmp_path / "s", region, world), world.laws.layout(world))
    assert all(len(rows["id"]) == 0 for rows in kept.pieces[0].tables.values())
    advance(opened(world, kept.pieces, kept.constants, 0), world.laws, 2)


def biggest_chunk(path: Path, under: str) -> Path:
    chunks = [file for file in (path / under).rglob("*") if file.is_file() and file.name != "zarr.json"]
    return max(chunks, key=lambda file: file.stat().st_size)


@pytest.mark.parametrize("under", ["part-0-0/cells", "part-0-0/monsters", "constants"])
@pytest.mark.parametrize("how", ["flip", "cut", "remove"])
def test_a_damaged_snapshot_is_refused_by_name(tmp_path, world, region, under, how):
    path = saved(tmp_path / "s", region, world)
    chunk = biggest_chunk(path, under)
    content = bytearray(chunk.read_bytes())
    if how == "remove":
        chunk.unlink()
    else:
        content[len(content) // 2] ^= 0x55
        chunk.write_bytes(content if how == "flip" else content[: len(content) // 2])
    with pytest.raises(SnapshotError, match=str(path)):
        snapshot.load(path)


def test_a_manifest_that_is_missing_cut_or_of_another_schema_is_refused(tmp_path, world, region):
    path = saved(tmp_path / "s", region, world)
    manifest = path / snapshot.MANIFEST
    whole = manifest.read_text("utf-8")
    manifest.write_text(whole[: len(whole) // 2], "utf-8")
    with pytest.raises(SnapshotError, match="half written"):
        snapshot.load(path)
    manifest.write_text(json.dumps(json.loads(whole) | {"schema": 99}), "utf-8")
    with pytest.raises(SnapshotError, match="schema 99"):
        snapshot.load(path)
    manifest.unlink()
    with pytest.raises(SnapshotError, match=str(path)):
        snapshot.load(path)


def test_another_layout_is_refused_by_the_name_of_its_column_or_field(tmp_path, world, region):
    path = saved(tmp_path / "s", region, world)
    fields, schemas = world.laws.layout(world)
    with pytest.raises(SnapshotError, match="field 'elevation' is unknown"):
        snapshot.load(path, ([field for field in fields if field.name != "elevation"], schemas))
    with pytest.raises(SnapshotError, match="holds the tables"):
        snapshot.load(path, (fields, schemas[:1]))


def test_a_disk_that_fills_up_leaves_nothing_behind(tmp_path, world, region, monkeypatch):
    def full(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        saved(tmp_path / "s", region, world)
    assert list(tmp_path.iterdir()) == []

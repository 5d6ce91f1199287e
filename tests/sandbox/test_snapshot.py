"""Snapshots: a loaded world continues exactly as without saving, and a damaged snapshot is refused by name."""

import errno
import json
import os
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
import zarr
from sharded_regions import golden_world, ninths, open_shards, quarters, reshard, torus_of, whole, whole_digest
from small_runs import small_world

from umwelt.agents.open_world import begin, open_region
from umwelt.sandbox import audit, snapshot
from umwelt.sandbox.controls import Controls, Override
from umwelt.sandbox.errors import SnapshotError
from umwelt.sandbox.region import Rectangle, Region, Torus
from umwelt.sandbox.snapshot import reader, writer
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
    again = open_region(world, kept.pieces, kept.constants, kept.manifest.tick)
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
    shifted = open_region(world, [whole.cut(whole.owned)], whole.constants, 0, owned=Rectangle(-7, 30, 40, 48))
    kept = snapshot.load(saved(tmp_path / "s", shifted, world), world.laws.layout(world))
    assert kept.manifest.parts[0]["rectangle"] == [33, 30, 40, 48]
    again = open_region(world, kept.pieces, kept.constants, 0)
    assert audit.digest(again) == audit.digest(whole)


def test_a_world_without_any_beings_is_saved_too(tmp_path):
    world = small_world(founders=[])
    region = begin(world)
    kept = snapshot.load(saved(tmp_path / "s", region, world), world.laws.layout(world))
    assert all(len(rows["id"]) == 0 for rows in kept.pieces[0].tables.values())
    advance(open_region(world, kept.pieces, kept.constants, 0), world.laws, 2)


def biggest_chunk(path: Path, under: str) -> Path:
    """Returns the largest file of an array below a folder of a snapshot."""
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
    with pytest.raises(SnapshotError, match="unfinished"):
        snapshot.load(path)
    manifest.write_text(json.dumps(json.loads(whole) | {"format": 99}), "utf-8")
    with pytest.raises(
        SnapshotError, match=f"snapshot format 99, this Umwelt reads format {snapshot.FORMAT_VERSION}: use the Umwelt"
    ):
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


# --- part by part


@pytest.fixture(scope="module")
def world_in_parts():
    return golden_world()


@pytest.fixture(scope="module")
def regions(world_in_parts):
    """The golden world at tick 3, in four regions, with a changed rate and an override of drives."""
    source = whole(world_in_parts)[0]
    advance(source, world_in_parts.laws, 3)
    made = open_shards(source, world_in_parts, quarters(torus_of(world_in_parts)), 1)
    for region in made:
        region.controls = Controls({"rot": 7}, {12: {"drive": Override((1, -2))}})
    return made


def part_of(aside: Path, region: Region, compressed: bool) -> dict:
    """Writes the part of a region to a folder; returns its description."""
    return snapshot.write_part(aside, region.cut(region.owned), region.torus, audit.digest(region), compressed)


def described(world, regions, parts, kept: bool) -> snapshot.Manifest:
    """Returns the manifest of a snapshot with these parts."""
    first = regions[0]
    return snapshot.make_manifest(
        "golden",
        world.text,
        world.laws.layout(world),
        first.torus,
        first.seed,
        first.tick,
        snapshot.hash_constants(first.constants),
        parts,
        {"births": 5, "deaths": 2},
        first.controls,
        kept,
        9,
    )


def written(folder: Path, world, regions, kept: bool) -> Path:
    """Returns the path of a snapshot of these regions, each of which wrote its part."""
    aside, path = folder / f"{snapshot.UNFINISHED}x", folder / "snapshot"
    aside.mkdir()
    snapshot.write_constants(aside, regions[0].constants)
    parts = [part_of(aside, region, kept) for region in reversed(regions)]
    snapshot.finish(aside, path, described(world, regions, parts, kept), durable=kept)
    assert [one.name for one in folder.iterdir()] == ["snapshot"]
    return path


@pytest.fixture(params=[True, False], ids=["kept", "mark"])
def path(request, tmp_path, world_in_parts, regions) -> Path:
    return written(tmp_path, world_in_parts, regions, request.param)


def test_parts_written_apart_are_loaded_as_one_world(path, world_in_parts, regions):
    kept = snapshot.load(path, world_in_parts.laws.layout(world_in_parts))
    assert len(kept.pieces) == 4 and kept.controls == regions[0].controls
    assert (kept.manifest.tick, kept.manifest.epoch, kept.manifest.counts) == (3, 9, {"births": 5, "deaths": 2})
    again = open_region(world_in_parts, kept.pieces, kept.constants, 3)
    assert audit.digest(again) == whole_digest(regions)
    total = (whole_digest(regions) + regions[0].controls.digest()) & audit.DIGEST_MASK
    assert kept.manifest.digest == f"{total:016x}" != f"{whole_digest(regions):016x}"
    advance(again, world_in_parts.laws, 3)
    straight = whole(world_in_parts)[0]
    advance(straight, world_in_parts.laws, 6)
    assert audit.digest(again) == audit.digest(straight)


def test_every_part_of_another_cut_is_loaded_from_the_parts_it_overlaps(path, world_in_parts, regions):
    manifest, torus = snapshot.read_manifest(path), torus_of(world_in_parts)
    constants = snapshot.load_constants(path, manifest)
    parts = ninths(torus)
    expected = reshard(regions, world_in_parts, parts, 1)
    read = []
    for region, rectangle in zip(expected, parts, strict=True):
        pieces = snapshot.load_parts(path, manifest, rectangle, torus, world_in_parts.laws.layout(world_in_parts))
        again = open_region(world_in_parts, pieces, constants, 3, owned=rectangle)
        assert audit.digest(again) == audit.digest(region)
        read.append(len(pieces))
    assert min(read) < 4
    with pytest.raises(SnapshotError, match="is of a world of"):
        snapshot.load_parts(path, manifest, parts[0], Torus(64, 63))


def test_only_the_parts_that_are_needed_have_to_be_there_and_whole(path, world_in_parts):
    manifest, torus = snapshot.read_manifest(path), torus_of(world_in_parts)
    shutil.rmtree(path / "part-32-32")
    mine, lost = Rectangle(0, 0, 32, 64), Rectangle(16, 32, 32, 32)
    assert {piece.rectangle for piece in snapshot.load_parts(path, manifest, mine, torus)} == {
        Rectangle(0, 0, 32, 32),
        Rectangle(0, 32, 32, 32),
    }
    with pytest.raises(SnapshotError, match=str(path)):
        snapshot.load_parts(path, manifest, lost, torus)


@pytest.mark.parametrize("under", ["part-0-32/cells", "part-32-0/plants", "constants"])
@pytest.mark.parametrize("how", ["flip", "cut", "remove", "folder"])
def test_torn_parts_are_never_taken_for_whole(path, under, how):
    chunk = biggest_chunk(path, under)
    content = bytearray(chunk.read_bytes())
    if how == "remove":
        chunk.unlink()
    elif how == "folder":
        shutil.rmtree(path / under)
    else:
        content[len(content) // 2] ^= 0x55
        chunk.write_bytes(content if how == "flip" else content[:-3])
    with pytest.raises(SnapshotError, match=str(path)):
        snapshot.load(path)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        (
            "controls",
            {"rates": {"rot": 8}, "overrides": {"12": {"drive": {"drives": [1, -2], "end_tick": None}}}},
            "not the sum",
        ),
        ("controls", {"rates": [], "overrides": {}}, "unfinished"),
        ("kept", 1, "kept"),
        ("epoch", None, "epoch"),
        ("constants", {"../x": "00"}, "is not a valid name"),
        ("counts", {"births": 1, "deaths": -1}, "deaths"),
    ],
)
def test_an_edited_manifest_is_refused(path, key, value, said):
    manifest = path / snapshot.MANIFEST
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {key: value}))
    with pytest.raises(SnapshotError, match=said):
        snapshot.load(path)


@pytest.mark.parametrize(
    "change",
    [
        {"folder": "../../x"},
        {"folder": "part-0-1"},
        {"rectangle": [0, 0, 32, 33]},
        {"rectangle": [0, 0, 32, 31]},
        {"rectangle": [-32, 0, 32, 32]},
        {"rectangle": [0, 0, 32, 32.0]},
        {"digest": "0"},
        {"digest": "00000000000000zz"},
        {"digest": "0123456789abcdef"},
        {"beings": {}},
        {"beings": {"plants": -1, "monsters": 1}},
        {"more": 1},
    ],
)
def test_parts_that_cannot_be_are_refused(path, change):
    manifest = path / snapshot.MANIFEST
    content = json.loads(manifest.read_text())
    content["parts"][0] |= change
    manifest.write_text(json.dumps(content))
    with pytest.raises(SnapshotError, match="unfinished"):
        snapshot.read_manifest(path)


def test_a_snapshot_with_a_part_missing_or_twice_is_not_finished(tmp_path, world_in_parts, regions):
    snapshot.write_constants(tmp_path, regions[0].constants)
    parts = [part_of(tmp_path, region, False) for region in regions]
    moved = parts[3] | {"rectangle": [32, 0, 32, 32], "folder": "part-32-0"}
    for some in (parts[:3], [*parts, parts[0]], [*parts[:3], moved]):
        with pytest.raises(SnapshotError, match="exactly once"):
            snapshot.finish(tmp_path, tmp_path / "s", described(world_in_parts, regions, some, True), True)
    shutil.rmtree(tmp_path / "part-32-32")
    with pytest.raises(SnapshotError, match="part-32-32 is missing"):
        snapshot.finish(tmp_path, tmp_path / "s", described(world_in_parts, regions, parts, True), True)
    assert not (tmp_path / "s").exists() and not (tmp_path / snapshot.MANIFEST).exists()


def test_a_part_needs_an_existing_folder_without_that_part(tmp_path, regions, monkeypatch):
    with pytest.raises(FileNotFoundError):
        part_of(tmp_path / "gone", regions[0], False)
    part_of(tmp_path, regions[0], False)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(FileExistsError):
        part_of(tmp_path, regions[0], True)

    def full(folder, values):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(writer, "write_plain_array", full)
    with pytest.raises(OSError, match="No space left"):
        part_of(tmp_path, regions[1], False)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_part_is_written_in_the_background_while_the_region_runs_on(tmp_path, world):
    region = begin(world)
    piece, digest, entries = region.cut(region.owned), audit.digest(region), []
    writer = threading.Thread(
        target=lambda: entries.append(snapshot.write_part(tmp_path, piece, region.torus, digest, False))
    )
    writer.start()
    advance(region, world.laws, 5)
    writer.join()
    seals = snapshot.write_constants(tmp_path, region.constants)
    layout, counts = world.laws.layout(world), {"births": 0, "deaths": 0}
    manifest = snapshot.make_manifest("", world.text, layout, region.torus, 5, 0, seals, entries, counts, Controls())
    snapshot.finish(tmp_path, tmp_path.parent / "done", manifest, durable=False)
    assert f"{digest:016x}" == snapshot.load(tmp_path.parent / "done").manifest.digest


def test_every_array_is_one_that_zarr_opens(path, regions):
    group = zarr.open_group(str(path), mode="r")
    assert set(group.group_keys()) == {"constants", *(f"part-{y}-{x}" for y in (0, 32) for x in (0, 32))}
    for region in regions:
        part = group[f"part-{region.owned.y}-{region.owned.x}"]
        assert np.array_equal(part["cells/substance"][...], region.owned_view("substance"))
        assert part["plants/id"].dtype == np.int64 and part["monsters/genome"].ndim == 2
    for dtype, shape in (("bool", (3,)), ("uint8", (2, 3)), ("int64", (0, 4)), ("uint64", (0,)), (">i4", (3,))):
        values = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
        writer.write_plain_array(path / "more", values)
        again = reader.read_array(path / "more")
        assert np.array_equal(again, values) and again.dtype == values.dtype.newbyteorder("=")
        shutil.rmtree(path / "more")


@pytest.mark.parametrize("block_cells", [1, 10, 32, 100])
def test_density_counts_the_beings_of_each_block(path, regions, block_cells):
    found = snapshot.count_beings(path, snapshot.read_manifest(path), block_cells)
    expected = np.zeros_like(found)
    for region in regions:
        for name in region.tables:
            cells = region.global_cells(name, np.flatnonzero(region.owned_rows(name)))
            np.add.at(expected, (cells // 64 // block_cells, cells % 64 // block_cells), 1)
    assert found.shape == (-(-64 // block_cells),) * 2 and found.dtype == np.int64
    assert np.array_equal(found, expected) and found.sum() > 100
    shutil.rmtree(path / "part-0-0" / "plants" / "x_fixed")
    with pytest.raises(SnapshotError, match="damaged"):
        snapshot.count_beings(path, snapshot.read_manifest(path), block_cells)

"""Transfer of parts of snapshots: in a shared folder, in chunks (which are not trusted), and by URLs."""

import os
import random
import shutil
from itertools import count
from pathlib import Path

import pytest
from sharded_regions import golden_world, open_shards, quarters, torus_of, whole

from umwelt.agents.open_world import open_region
from umwelt.cluster.run import snapshot_transfer
from umwelt.cluster.run.snapshot_transfer import (
    CHUNK_BYTES,
    Chunk,
    MessageTransfer,
    Receiver,
    SharedFolderTransfer,
    UrlTransfer,
)
from umwelt.cluster.run.store import Entry, Store
from umwelt.sandbox import audit, snapshot
from umwelt.sandbox.controls import Controls
from umwelt.sandbox.errors import SnapshotError
from umwelt.sandbox.region import Rectangle
from umwelt.sandbox.step import advance

LEFT, ENTRY, EPOCH = Rectangle(0, 0, 64, 20), Entry(3, True), 5
_memories = count()


@pytest.fixture(scope="module")
def world():
    return golden_world()


@pytest.fixture(scope="module")
def regions(world):
    source = whole(world)[0]
    advance(source, world.laws, 3)
    return open_shards(source, world, quarters(torus_of(world)), 1)


@pytest.fixture
def store(tmp_path, world) -> Store:
    return Store.create("golden", world.text, tmp_path / "run")


def manifest_of(world, regions, parts) -> snapshot.Manifest:
    first, seals = regions[0], snapshot.hash_constants(regions[0].constants)
    return snapshot.make_manifest(
        "golden",
        world.text,
        world.laws.layout(world),
        first.torus,
        first.seed,
        3,
        seals,
        parts,
        {"births": 0, "deaths": 0},
        Controls(),
        ENTRY.kept,
        EPOCH,
    )


def loaded_digests(world, folder: Path, constants) -> int:
    """Returns the digest of the left half of the world, loaded from a folder."""
    manifest, layout = snapshot.read_manifest(folder), world.laws.layout(world)
    pieces = snapshot.load_parts(folder, manifest, LEFT, torus_of(world), layout)
    assert snapshot.load_constants(folder, manifest).keys() == constants.keys()
    return audit.digest(open_region(world, pieces, constants, 3, owned=LEFT))


def left_digest(world, regions) -> int:
    """Returns the digest of the left half of the world in `regions`."""
    pieces = [region.cut(region.owned) for region in regions]
    return audit.digest(open_region(world, pieces, regions[0].constants, 3, owned=LEFT))


def write(place: Path, region) -> dict:
    return snapshot.write_part(place, region.cut(region.owned), region.torus, audit.digest(region), ENTRY.kept)


# --- the three forms


def test_a_shared_folder_is_known_by_its_token(tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir(), other.mkdir()
    first = snapshot_transfer.write_token(one)
    assert (
        snapshot_transfer.has_token(one, first)
        and not snapshot_transfer.has_token(other, first)
        and not snapshot_transfer.has_token(tmp_path / "none", first)
    )
    second = snapshot_transfer.write_token(one)
    assert snapshot_transfer.has_token(one, second) and not snapshot_transfer.has_token(one, first)
    snapshot_transfer.remove_tokens(one)
    assert not snapshot_transfer.has_token(one, second) and list(one.iterdir()) == []
    (one / ".token-..").write_text("..")
    assert not snapshot_transfer.has_token(one, "..")


def test_parts_written_into_a_shared_folder_are_read_in_place(store, world, regions):
    shared, aside = SharedFolderTransfer(store.folder), store.begin_snapshot(*ENTRY[:1], EPOCH, ENTRY.kept)
    parts = [write(shared.part_folder(aside.name), region) for region in regions]
    assert [shared.submit_part(aside.name, part["folder"]) for part in parts] == [[]] * 4
    snapshot.write_constants(aside, regions[0].constants)
    store.complete(aside, manifest_of(world, regions, parts))
    there = shared.fetch(ENTRY.name, LEFT)
    assert loaded_digests(world, there, regions[0].constants) == left_digest(world, regions)


def test_parts_are_transferred_in_chunks_of_any_order_in_both_directions(tmp_path, store, world, regions):
    dice, aside = random.Random(7), store.begin_snapshot(3, EPOCH, True)
    parts = []
    for at, region in enumerate(regions):
        node = MessageTransfer(tmp_path / f"node-{at}")
        part = write(node.part_folder(aside.name), region)
        receiver = Receiver(aside / part["folder"], node.submit_part(aside.name, part["folder"]))
        carry(node.part_folder(aside.name) / part["folder"], receiver, dice)
        node.discard(aside.name)
        assert list(node.temporary.iterdir()) == []
        parts.append(part)
    snapshot.write_constants(aside, regions[0].constants)
    path = store.complete(aside, manifest_of(world, regions, parts))
    assert sum(audit.digest(region) for region in regions) & audit.DIGEST_MASK == int(
        snapshot.load(path).manifest.digest, 16
    )
    node = MessageTransfer(tmp_path / "node")
    wanted = snapshot_transfer.needed_names(store.manifest(ENTRY), LEFT)
    assert wanted == ["manifest.json", "constants", "part-0-0", "part-32-0"]
    files = snapshot_transfer.list_files(path, wanted)
    assert all("-32/" not in name for name, _ in files)
    receiver = Receiver(node.receive_folder(ENTRY.name), files)
    while not receiver.complete:
        assert receiver.take(snapshot_transfer.read_chunk(path, *next(receiver.missing()))) == receiver.complete
    assert loaded_digests(world, node.fetch(ENTRY.name, LEFT), regions[0].constants) == left_digest(world, regions)


def carry(folder: Path, receiver: Receiver, dice: random.Random) -> None:
    """Give a receiver all chunks of a folder in random order, some twice."""
    sent = list(snapshot_transfer.read_chunks(folder))
    sent += dice.sample(sent, len(sent) // 2)
    dice.shuffle(sent)
    for chunk in sent:
        receiver.take(chunk)
    assert receiver.complete and list(receiver.missing()) == []
    assert snapshot_transfer.list_files(receiver.folder) == snapshot_transfer.list_files(folder)


@pytest.fixture(params=["file", "memory"])
def url(request, tmp_path) -> str:
    return f"file://{tmp_path}/bucket" if request.param == "file" else f"memory://bucket-{next(_memories)}/runs"


def put_at(url: str, tmp_path: Path, world, regions, epoch: int = EPOCH, late: bool = False) -> UrlTransfer:
    """Writes the parts of a snapshot to a URL, as nodes and a coordinator do."""
    node = UrlTransfer(url, tmp_path / "node")
    aside = ENTRY.unfinished_name(epoch)
    parts = [write(node.part_folder(aside), region) for region in regions]
    snapshot.write_constants(node.part_folder(aside), regions[0].constants)
    for part in parts:
        assert node.submit_part(aside, part["folder"]) == []
    if not late:
        assert node.entries() == []
        node.complete(node.part_folder(aside), manifest_of(world, regions, parts))
    node.discard(aside)
    return node


def test_snapshots_lie_at_urls_under_the_same_names(url, tmp_path, world, regions):
    node = put_at(url, tmp_path, world, regions)
    assert [entry.name for entry in node.entries()] == ["tick-000000000003"]
    there = node.fetch(ENTRY.name, LEFT)
    assert sorted(path.name for path in there.iterdir()) == ["constants", "manifest.json", "part-0-0", "part-32-0"]
    assert loaded_digests(world, there, regions[0].constants) == left_digest(world, regions)
    assert len(snapshot.load(node.fetch(ENTRY.name, Rectangle(0, 0, 64, 64))).pieces) == 4
    node.remove(ENTRY.name)
    node.remove(ENTRY.name)
    assert node.entries() == []
    with pytest.raises(SnapshotError, match="cannot be read"):
        node.fetch(ENTRY.name, LEFT)


def test_late_parts_of_an_older_epoch_never_mix_in_at_urls(url, tmp_path, world, regions):
    node = put_at(url, tmp_path, world, regions)
    other = golden_world(seed=2)
    shards = open_shards(whole(other)[0], other, quarters(torus_of(other)), 1)
    put_at(url, tmp_path, other, shards, EPOCH - 1, late=True)
    there = node.fetch(ENTRY.name, LEFT)
    assert loaded_digests(world, there, regions[0].constants) == left_digest(world, regions)


def test_a_file_that_is_lost_or_cut_at_a_url_is_seen(tmp_path, world, regions):
    node = put_at(f"file://{tmp_path}/bucket", tmp_path, world, regions)
    part = tmp_path / "bucket" / ENTRY.name / f"e{EPOCH}" / "part-0-0"
    big = max(part.rglob("c/**/*"), key=lambda path: path.stat().st_size if path.is_file() else 0)
    big.write_bytes(big.read_bytes()[:-5])
    with pytest.raises(SnapshotError, match="damaged"):
        loaded_digests(world, node.fetch(ENTRY.name, LEFT), regions[0].constants)
    shutil.rmtree(part)
    with pytest.raises(SnapshotError):
        loaded_digests(world, node.fetch(ENTRY.name, LEFT), regions[0].constants)


# --- malicious chunks

BAD_NAMES = [
    "",
    "/etc/passwd",
    "..",
    "../x",
    "a/../../x",
    "a//b",
    "./a",
    "a/.",
    ".hidden",
    "a/.hidden",
    "a\\b",
    "a\0b",
    "a\n",
    "C:x",
    "a b",
    "~",
    "a/",
    "-rf",
    "x" * 500,
]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_names_that_leave_the_folder_are_refused_everywhere(tmp_path, name):
    (tmp_path / "x").write_text("secret")
    (tmp_path / "folder").mkdir()
    with pytest.raises(ValueError, match="is not the name of a file"):
        Receiver(tmp_path / "new", [("good", 1), (name, 1)])
    with pytest.raises(ValueError):
        snapshot_transfer.read_chunk(tmp_path / "folder", name, 0)
    with pytest.raises(ValueError):
        snapshot_transfer.list_files(tmp_path / "folder", [name])
    with pytest.raises(ValueError, match="is not in the list of files"):
        Receiver(tmp_path / "new", [("good", 1)]).take(Chunk(name, 0, b"x", True))
    for place in (SharedFolderTransfer(tmp_path), MessageTransfer(tmp_path / "own")):
        for ask in (place.part_folder, lambda name, place=place: place.fetch(name, LEFT)):
            with pytest.raises(ValueError):
                ask(name)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["folder", "new", "x"]


@pytest.mark.parametrize(
    "promised",
    [
        [("a", -1)],
        [("a", 1), ("a", 1)],
        [("a", 1), ("a/b", 1)],
        [("a", 600), ("b", 401)],
        [(f"f{at}", 0) for at in range(snapshot_transfer.MAX_FILES + 1)],
    ],
)
def test_invalid_lists_of_files_are_refused(tmp_path, promised):
    with pytest.raises(ValueError):
        Receiver(tmp_path / "new", promised, max_bytes=1000)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "chunk",
    [
        Chunk("a", 1, b"x" * 9, True),
        Chunk("a", -CHUNK_BYTES, b"x" * 10, True),
        Chunk("a", 0, b"x" * 9, True),
        Chunk("a", 0, b"x" * 11, True),
        Chunk("a", CHUNK_BYTES, b"x" * 10, True),
        Chunk("b", 0, b"", True),
        Chunk("a", 0, b"", False),
    ],
)
def test_chunks_out_of_range_are_refused_and_write_nothing(tmp_path, chunk):
    receiver = Receiver(tmp_path / "new", [("a", 10)])
    with pytest.raises(ValueError):
        receiver.take(chunk)
    assert list((tmp_path / "new").iterdir()) == [] and not receiver.complete


@pytest.mark.parametrize("which", ["file", "folder"])
def test_symbolic_links_out_of_the_folder_are_refused(tmp_path, which):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "a").write_text("precious")
    receiver = Receiver(tmp_path / "new", [("in/a", 3)])
    if which == "file":
        os.symlink(tmp_path / "outside" / "a", tmp_path / "new" / "in" / "a")
    else:
        (tmp_path / "new" / "in").rmdir()
        os.symlink(tmp_path / "outside", tmp_path / "new" / "in")
    with pytest.raises(ValueError, match="a link leads out of the folder"):
        receiver.take(Chunk("in/a", 0, b"bad", True))
    with pytest.raises(ValueError, match="is not a file here"):
        snapshot_transfer.read_chunk(tmp_path / "new", "in/a", 0)
    assert (tmp_path / "outside" / "a").read_text() == "precious"


def test_large_and_empty_files_arrive_in_any_order(tmp_path):
    source = tmp_path / "source"
    (source / "deep").mkdir(parents=True)
    content = random.Random(1).randbytes(2 * CHUNK_BYTES + 17)
    (source / "deep" / "large").write_bytes(content)
    (source / "empty").write_bytes(b"")
    (source / "exact").write_bytes(content[:CHUNK_BYTES])
    sent = list(snapshot_transfer.read_chunks(source))
    assert [(c.name, c.offset // CHUNK_BYTES, c.last) for c in sent] == [
        ("deep/large", 0, False),
        ("deep/large", 1, False),
        ("deep/large", 2, True),
        ("empty", 0, True),
        ("exact", 0, True),
    ]
    receiver = Receiver(tmp_path / "new", snapshot_transfer.list_files(source))
    done = [receiver.take(chunk) for chunk in [*sent[:0:-1], sent[-1], sent[0]]]
    assert done == [False] * 5 + [True]
    assert all(
        (tmp_path / "new" / n).read_bytes() == (source / n).read_bytes()
        for n, _ in snapshot_transfer.list_files(source)
    )


def test_chunks_for_a_deleted_folder_create_nothing(tmp_path):
    aside = tmp_path / "aside"
    with pytest.raises(FileNotFoundError):
        Receiver(aside / "part-0-0", [("a", 1)])
    aside.mkdir()
    receiver = Receiver(aside / "part-0-0", [("in/a", 1), ("b", 1)])
    receiver.take(Chunk("b", 0, b"x", True))
    aside.rename(tmp_path / "finished")
    with pytest.raises((FileNotFoundError, ValueError)):
        receiver.take(Chunk("in/a", 0, b"x", True))
    assert [path.name for path in tmp_path.iterdir()] == ["finished"]

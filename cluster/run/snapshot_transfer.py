"""Transfers parts of snapshots between a node and the store of the run, which is its folder or a URL.

    SharedFolderTransfer    node and coordinator share a folder: parts are written and read in place
    MessageTransfer         hosts without a shared folder: files are sent in chunks, as messages by the caller
    UrlTransfer             object storage, or any other storage that fsspec can open

A snapshot consists of a *part* from each node, the constants of the world, and a manifest that describes them. A node
uses all classes in the same way. To save, it writes its part into `part_folder(name)` and calls `submit_part`. To load,
it calls `fetch` and reads from the folder that this returns. `discard` deletes local files.

An *epoch* is the number of a division of the torus among the nodes. The parts of an unfinished snapshot are all of one
epoch, which its name contains.
"""

import os
import re
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import NamedTuple, Protocol

from umwelt.cluster.run.store import SNAPSHOTS, TOKEN, Entry
from umwelt.sandbox import snapshot
from umwelt.sandbox.errors import RunError, SnapshotError
from umwelt.sandbox.region import Rectangle

CHUNK_BYTES = 1 << 18
BATCH_BYTES, BATCH_FILES = 2 << 20, 64
"""Maximum size of a batch of chunks requested together, in bytes and in chunks.

2 MiB is what a connection of 20 MB/s transfers in a round trip of 0.1 s. Larger batches would delay other messages.
"""
MAX_FILES, MAX_BYTES = 100_000, 1 << 40
"""Maximum number and total size of the files of one part: a thousand times the largest measured part."""
MAX_NAME_CHARACTERS = 400
_WORD = re.compile(r"\w[\w.-]*")
_TOKEN = re.compile(r"[0-9a-f]{32}")


class SnapshotTransfer(Protocol):
    """Interface that transfers parts between a node and the store of the run.

    An `unfinished` parameter is the name of an unfinished snapshot, from `Entry.unfinished_name`.
    """

    def part_folder(self, unfinished: str) -> Path:
        """Returns the local folder in which the node writes its part of an unfinished snapshot."""

    def submit_part(self, unfinished: str, part: str) -> list[tuple[str, int]]:
        """Submits a written part to the store. Returns (name, size) of each file that the store has to request."""

    def fetch(self, name: str, rectangle: Rectangle) -> Path:
        """Returns a folder with the manifest, the constants, and all parts that overlap `rectangle`, of a snapshot."""

    def discard(self, name: str) -> None:
        """Deletes the node's local files of a snapshot, finished or not. Files in the store remain."""


# --- through a shared folder


def write_token(folder: Path) -> str:
    """Replaces the tokens in the run's folder by a new one, and returns it.

    A node that finds the token in a folder knows that the folder is the run's (`has_token`).
    """
    remove_tokens(folder)
    token = secrets.token_hex(16)
    (folder / f"{TOKEN}{token}").write_text(token, "utf-8")
    return token


def remove_tokens(folder: Path) -> None:
    """Deletes all tokens in the run's folder."""
    for path in folder.glob(f"{TOKEN}*"):
        path.unlink(missing_ok=True)


def has_token(folder: Path, token: str) -> bool:
    """Returns whether `folder` on this host contains `token`, which shows that it is the run's folder."""
    try:
        return bool(_TOKEN.fullmatch(token)) and (folder / f"{TOKEN}{token}").read_text("utf-8") == token
    except (OSError, UnicodeDecodeError):
        return False


class SharedFolderTransfer:
    """A `SnapshotTransfer` through the run's folder, which node and coordinator share."""

    def __init__(self, folder: Path):
        self.snapshots = folder / SNAPSHOTS

    def part_folder(self, unfinished: str) -> Path:
        """Returns the folder that the coordinator created; it does not exist if the part is no longer needed."""
        parse_unfinished(unfinished)
        return self.snapshots / unfinished

    def submit_part(self, unfinished: str, part: str) -> list[tuple[str, int]]:
        """Returns an empty list: the part was written in the store."""
        return []

    def fetch(self, name: str, rectangle: Rectangle) -> Path:
        """Returns the snapshot's folder in the store."""
        return self.snapshots / _parse_finished(name).name

    def discard(self, name: str) -> None:
        """Does nothing, since the node has no local copy."""


# --- through messages


class Chunk(NamedTuple):
    """A piece of a file.

    `offset` is in bytes, a multiple of `CHUNK_BYTES`. `last` is true for the final chunk of the file.
    """

    name: str
    offset: int
    data: bytes
    last: bool


def needed_names(manifest: snapshot.Manifest, rectangle: Rectangle | None) -> list[str]:
    """Returns the names of the files and folders in a snapshot's folder that are needed to load `rectangle`.

    None stands for the full world. The first name is that of the manifest.
    """
    parts = manifest.parts if rectangle is None else snapshot.select_parts(manifest, rectangle)
    return [snapshot.MANIFEST, snapshot.CONSTANTS, *(part["folder"] for part in parts)]


def list_files(folder: Path, under: Sequence[str] | None = None) -> list[tuple[str, int]]:
    """Returns (name, size) of every file in `folder`, sorted; with `under`, only of the named files and folders."""
    tops = [folder] if under is None else [folder / check_name(name) for name in under]
    files = [top for top in tops if top.is_file()]
    files += [path for top in tops for path in top.rglob("*") if path.is_file()]
    return sorted((path.relative_to(folder).as_posix(), path.stat().st_size) for path in files)


def read_chunk(folder: Path, name: str, offset: int) -> Chunk:
    """Returns the chunk of a file in `folder` that starts at byte `offset`.

    Raises ValueError if the folder has no such file, or if no chunk starts at `offset`.
    """
    path = folder / check_name(name)
    if os.path.realpath(path) != os.path.join(os.path.realpath(folder), name) or not path.is_file():
        raise ValueError(f"{name[:99]!r} is not a file here")
    size = path.stat().st_size
    if offset not in _offsets(size):
        raise ValueError(f"{name}: no chunk begins at {offset}")
    with open(path, "rb") as file:
        file.seek(offset)
        return Chunk(name, offset, file.read(CHUNK_BYTES), offset + CHUNK_BYTES >= size)


def read_chunks(folder: Path, under: Sequence[str] | None = None) -> Iterator[Chunk]:
    """Yields all chunks of the files in `folder`; with `under`, only of the named files and folders."""
    for name, size in list_files(folder, under):
        for offset in _offsets(size):
            yield read_chunk(folder, name, offset)


def check_name(name: str) -> str:
    """Returns `name` if it is a relative path that stays within its folder; otherwise raises ValueError."""
    if len(name) > MAX_NAME_CHARACTERS or not all(_WORD.fullmatch(word) for word in name.split("/")):
        raise ValueError(f"{name[:99]!r} is not the name of a file in a snapshot")
    return name


def _offsets(size: int) -> range:
    """Returns the offsets of the chunks of a file of `size` bytes; an empty file has one chunk."""
    return range(0, max(size, 1), CHUNK_BYTES)


class Receiver:
    """Writes a list of files into a new folder from chunks, which can arrive in any order and need not be trusted.

    Raises ValueError for a chunk that does not belong to the list, FileExistsError if the folder exists already, and
    FileNotFoundError if the folder or its parent was deleted because the files are no longer needed.
    """

    def __init__(self, folder: Path, files: Sequence[tuple[str, int]], max_bytes: int = MAX_BYTES):
        sizes = {check_name(name): size for name, size in files}
        folders = {parent.as_posix() for name in sizes for parent in PurePosixPath(name).parents} - {"."}
        if len(sizes) != len(files) or folders & sizes.keys():
            raise ValueError("two files of the list have the same name")
        if len(sizes) > MAX_FILES or min(sizes.values(), default=0) < 0 or sum(sizes.values()) > max_bytes:
            raise ValueError(f"{len(sizes)} files of {sum(sizes.values())} bytes are too many")
        self.folder, self.sizes = folder, sizes
        self._missing = {name: set(_offsets(size)) for name, size in sizes.items()}
        folder.mkdir()
        # subfolders are created here, so that a late chunk cannot create them again after the folder was deleted
        for parent in sorted(folders):
            (folder / parent).mkdir()
        self._root = os.path.realpath(folder)

    @property
    def complete(self) -> bool:
        """Whether all files are complete."""
        return not self._missing

    def batch(self) -> list[tuple[str, int]]:
        """Returns (name, offset) of the first missing chunks, as many as are requested together."""
        chunks, size = [], 0
        for name, offset in self.missing():
            chunks.append((name, offset))
            size += min(CHUNK_BYTES, self.sizes[name] - offset)
            if size >= BATCH_BYTES or len(chunks) >= BATCH_FILES:
                break
        return chunks

    def missing(self) -> Iterator[tuple[str, int]]:
        """Yields (name, offset) of each missing chunk."""
        for name, offsets in self._missing.items():
            for offset in sorted(offsets):
                yield name, offset

    def take(self, chunk: Chunk) -> bool:
        """Writes a chunk, unless it was written before. Returns whether all files are complete."""
        size = self.sizes.get(chunk.name)
        if size is None:
            raise ValueError(f"{chunk.name[:99]!r} is not in the list of files")
        if chunk.offset not in _offsets(size) or len(chunk.data) != min(CHUNK_BYTES, size - chunk.offset):
            raise ValueError(f"{chunk.name}: {len(chunk.data)} bytes at {chunk.offset} are not a chunk of {size}")
        if chunk.offset in self._missing.get(chunk.name, ()):
            self._write(chunk)
            self._missing[chunk.name].remove(chunk.offset)
            if not self._missing[chunk.name]:
                del self._missing[chunk.name]
        return self.complete

    def _write(self, chunk: Chunk) -> None:
        """Writes a chunk to its file. Raises ValueError if a symbolic link leads out of the folder."""
        path = os.path.join(self._root, chunk.name)
        if os.path.exists(os.path.dirname(path)) and os.path.realpath(path) != path:
            raise ValueError(f"{chunk.name}: a link leads out of the folder")
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o644)
        with open(handle, "wb") as file:
            file.seek(chunk.offset)
            file.write(chunk.data)


class MessageTransfer:
    """A `SnapshotTransfer` through a local folder of the node, whose files the caller sends and receives as messages.

    To upload, the store requests the files that `submit_part` lists; the node answers with
    `read_chunk(part_folder(name) / part, ...)`. To download, the node receives the files that `list_files(folder,
    needed_names(...))` returns at the store, into `receive_folder(name)`.
    """

    def __init__(self, temporary: Path):
        self.temporary = temporary

    def part_folder(self, unfinished: str) -> Path:
        """Returns a local folder, which is created if needed."""
        parse_unfinished(unfinished)
        (self.temporary / unfinished).mkdir(parents=True, exist_ok=True)
        return self.temporary / unfinished

    def submit_part(self, unfinished: str, part: str) -> list[tuple[str, int]]:
        """Returns (name, size) of every file of the part; the store requests them."""
        return list_files(self.part_folder(unfinished) / check_name(part))

    def receive_folder(self, name: str) -> Path:
        """Returns the path of the folder that a `Receiver` is to create for a snapshot's files.

        Deletes older files there.
        """
        self.discard(name)
        self.temporary.mkdir(parents=True, exist_ok=True)
        return self.temporary / name

    def fetch(self, name: str, rectangle: Rectangle) -> Path:
        """Returns the folder into which the snapshot's files were received."""
        return self.temporary / _parse_finished(name).name

    def discard(self, name: str) -> None:
        """Deletes the local files of a snapshot, finished or not."""
        shutil.rmtree(self.temporary / _check_either(name), ignore_errors=True)


# --- through object storage


class UrlTransfer:
    """A `SnapshotTransfer` through a URL that fsspec can open, with a local folder for temporary files.

    Object storage cannot rename files. So parts and constants are stored under `NAME/eEPOCH/`, and
    `NAME/manifest.json`, which holds the epoch, is written last. A snapshot without a manifest does not exist for
    readers, and parts of older epochs that arrive late are never read.
    """

    def __init__(self, url: str, temporary: Path):
        from fsspec.core import url_to_fs

        try:
            self.files, root = url_to_fs(url)
        except (ImportError, ValueError) as error:
            raise RunError(f"{url}: cannot be opened: {error}: give another URL, or install what it needs") from None
        self.url, self.root, self.local = url, str(root).rstrip("/"), MessageTransfer(temporary)

    # --- called by nodes

    def part_folder(self, unfinished: str) -> Path:
        """Returns a local folder, which is created if needed."""
        return self.local.part_folder(unfinished)

    def submit_part(self, unfinished: str, part: str) -> list[tuple[str, int]]:
        """Uploads the part. Returns an empty list, since the store has no files to request."""
        entry, epoch = parse_unfinished(unfinished)
        self.put_part(self.part_folder(unfinished) / check_name(part), f"{entry.name}/e{epoch}/{part}")
        return []

    def fetch(self, name: str, rectangle: Rectangle | None = None) -> Path:
        """Downloads the files needed to load `rectangle` (None: the full world). Returns their local folder.

        Raises SnapshotError if they cannot be read.
        """
        folder = self.local.receive_folder(_parse_finished(name).name)
        try:
            folder.mkdir()
            self.files.get_file(f"{self.root}/{name}/{snapshot.MANIFEST}", str(folder / snapshot.MANIFEST))
            manifest = snapshot.read_manifest(folder)
            for part in needed_names(manifest, rectangle)[1:]:
                self.get_part(f"{name}/e{manifest.epoch}/{part}", folder / part)
        except (OSError, ValueError) as error:
            raise SnapshotError(f"{self.url}/{name}: cannot be read: {error}: use an older snapshot") from None
        return folder

    def discard(self, name: str) -> None:
        """Deletes the local files of a snapshot. Files at the URL remain."""
        self.local.discard(name)

    # --- called by the store

    def put_part(self, folder: Path, name: str) -> None:
        """Uploads all files in `folder` to the folder `name` at the URL."""
        for file, _ in list_files(folder):
            target = f"{self.root}/{name}/{file}"
            self.files.makedirs(target.rpartition("/")[0], exist_ok=True)
            self.files.put_file(str(folder / file), target)

    def get_part(self, name: str, folder: Path) -> None:
        """Downloads all files in the folder `name` at the URL into `folder`, which must not exist."""
        folder.mkdir()
        prefix = self.files._strip_protocol(f"{self.root}/{name}")
        for source in self.files.find(prefix):
            file = check_name(source.removeprefix(prefix).lstrip("/"))
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            self.files.get_file(source, str(folder / file))

    def complete(self, folder: Path, manifest: snapshot.Manifest) -> None:
        """Uploads the constants in `folder` and then the manifest. All parts must be at the URL already."""
        name = Entry(manifest.tick, manifest.kept).name
        self.put_part(folder / snapshot.CONSTANTS, f"{name}/e{manifest.epoch}/{snapshot.CONSTANTS}")
        self.put_manifest(name, manifest)

    def put_manifest(self, name: str, manifest: snapshot.Manifest) -> None:
        """Uploads the manifest, which makes the uploaded parts a finished snapshot."""
        text = snapshot.manifest_text(manifest)
        self.files.makedirs(f"{self.root}/{name}", exist_ok=True)
        self.files.pipe_file(f"{self.root}/{name}/{snapshot.MANIFEST}", text.encode())

    def entries(self) -> list[Entry]:
        """Returns the finished snapshots at the URL (those with a manifest), newest first."""
        try:
            self.files.invalidate_cache()
            paths = self.files.ls(self.root, detail=False)
        except FileNotFoundError:
            return []
        entries = [(path, Entry.parse(path.rstrip("/").rpartition("/")[2])) for path in paths]
        whole = [entry for path, entry in entries if entry and self.files.exists(f"{path}/{snapshot.MANIFEST}")]
        return sorted(whole, reverse=True)

    def remove(self, name: str) -> None:
        """Deletes a snapshot at the URL, its manifest first: an interrupted deletion leaves no damaged snapshot."""
        with suppress(FileNotFoundError):
            self.files.rm_file(f"{self.root}/{_parse_finished(name).name}/{snapshot.MANIFEST}")
        with suppress(FileNotFoundError):
            self.files.rm(f"{self.root}/{name}", recursive=True)


# --- names of snapshots in messages


def parse_unfinished(name: str) -> tuple[Entry, int]:
    """Returns the snapshot and epoch that the name of an unfinished snapshot denotes; else raises ValueError."""
    parsed = Entry.parse_unfinished(name)
    if parsed is None:
        raise ValueError(f"{name[:99]!r} is not the name of an unfinished snapshot")
    return parsed


def _parse_finished(name: str) -> Entry:
    """Returns the snapshot that the name of a finished snapshot denotes; else raises ValueError."""
    entry = Entry.parse(name)
    if entry is None:
        raise ValueError(f"{name[:99]!r} is not the name of a snapshot")
    return entry


def _check_either(name: str) -> str:
    """Returns `name` if it is the name of a snapshot, finished or not; else raises ValueError."""
    if Entry.parse(name) is None:
        parse_unfinished(name)
    return name

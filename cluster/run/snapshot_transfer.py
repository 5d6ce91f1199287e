"""How parts of snapshots travel between a node and the run's store.

    SharedFolderTransfer    node and directory see the same folder: parts are written and read in place
    Carried         hosts that share nothing: files travel in chunks as messages (who sends them is none of this page)
    UrlTransfer             a bucket, or whatever else fsspec opens

A node does the same with each: it writes its part into `place(aside)`, says that it has with `submit_part`, and later reads
what it needs from the folder that `bring` gives. What is no longer needed goes with `let_go`.
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
"""Asked for at once: what a line of 20 MB/s and 0.1 s there and back holds. More would make other messages late."""
MAX_FILES, MAX_BYTES = 100_000, 1 << 40
"""What a part may come to: a thousand times what any has been seen to."""
MAX_NAME_CHARACTERS = 400
_WORD = re.compile(r"\w[\w.-]*")
_TOKEN = re.compile(r"[0-9a-f]{32}")


class SnapshotTransfer(Protocol):
    """What a node asks of the place where snapshots lie."""

    def place(self, aside: str) -> Path:
        """The folder in which to write a part of the snapshot that is begun under this name (`Entry.aside`)."""

    def submit_part(self, aside: str, part: str) -> list[tuple[str, int]]:
        """A part was written in that place: bring it to the store; gives the files that the store must fetch itself."""

    def bring(self, name: str, rectangle: Rectangle) -> Path:
        """A folder with the manifest, the constants and all parts of a snapshot that a rectangle overlaps."""

    def let_go(self, name: str) -> None:
        """Forget what lies here under a name, be it of a snapshot or of one that was begun; the store keeps its own."""


# --- a folder that both see


def offer(folder: Path) -> str:
    """Put a token into the run's folder, by which nodes see that it is theirs too; those of before are withdrawn."""
    withdraw(folder)
    token = secrets.token_hex(16)
    (folder / f"{TOKEN}{token}").write_text(token, "utf-8")
    return token


def withdraw(folder: Path) -> None:
    """Take the tokens out of the run's folder."""
    for path in folder.glob(f"{TOKEN}*"):
        path.unlink(missing_ok=True)


def shares(folder: Path, token: str) -> bool:
    """Whether the folder of this name is, on this host, the one into which the token was put."""
    try:
        return bool(_TOKEN.fullmatch(token)) and (folder / f"{TOKEN}{token}").read_text("utf-8") == token
    except (OSError, UnicodeDecodeError):
        return False


class SharedFolderTransfer:
    """The run's folder, seen by node and directory alike."""

    def __init__(self, folder: Path):
        self.snapshots = folder / SNAPSHOTS

    def place(self, aside: str) -> Path:
        """Where the directory has made the folder; there is none (any more) if nobody wants the part."""
        begun(aside)
        return self.snapshots / aside

    def submit_part(self, aside: str, part: str) -> list[tuple[str, int]]:
        """It is there already."""
        return []

    def bring(self, name: str, rectangle: Rectangle) -> Path:
        """It is there already."""
        return self.snapshots / _named(name).name

    def let_go(self, name: str) -> None:
        """Nothing was copied."""


# --- hosts that share nothing


class Chunk(NamedTuple):
    """A piece of a file: `offset` is a multiple of `CHUNK_BYTES`, `last` says that the file ends with it."""

    name: str
    offset: int
    data: bytes
    last: bool


def needed(manifest: snapshot.Manifest, rectangle: Rectangle | None) -> list[str]:
    """What of a snapshot's folder has to travel, for a rectangle (or the whole world) to be loaded."""
    overlapped = manifest.parts if rectangle is None else snapshot.select_parts(manifest, rectangle)
    parts = [part["folder"] for part in overlapped]
    return [snapshot.MANIFEST, snapshot.CONSTANTS, *parts]


def list_files(folder: Path, under: Sequence[str] | None = None) -> list[tuple[str, int]]:
    """The files in a folder (or only in some `under` it) with their sizes, named from there, in order."""
    tops = [folder] if under is None else [folder / plain(name) for name in under]
    found = [top for top in tops if top.is_file()]
    found += [path for top in tops for path in top.rglob("*") if path.is_file()]
    return sorted((path.relative_to(folder).as_posix(), path.stat().st_size) for path in found)


def read_chunk(folder: Path, name: str, offset: int) -> Chunk:
    """A chunk of a file in a folder; `ValueError` for what is not in it, as somebody else may have asked."""
    path = folder / plain(name)
    if os.path.realpath(path) != os.path.join(os.path.realpath(folder), name) or not path.is_file():
        raise ValueError(f"{name[:99]!r} is no file here")
    size = path.stat().st_size
    if offset not in _offsets(size):
        raise ValueError(f"{name}: no chunk begins at {offset}")
    with open(path, "rb") as file:
        file.seek(offset)
        return Chunk(name, offset, file.read(CHUNK_BYTES), offset + CHUNK_BYTES >= size)


def chunks(folder: Path, under: Sequence[str] | None = None) -> Iterator[Chunk]:
    """All chunks of the files in a folder."""
    for name, size in list_files(folder, under):
        for offset in _offsets(size):
            yield read_chunk(folder, name, offset)


def plain(name: str) -> str:
    """The name, if it is that of a file inside a folder and nowhere else; else `ValueError`."""
    if len(name) > MAX_NAME_CHARACTERS or not all(_WORD.fullmatch(word) for word in name.split("/")):
        raise ValueError(f"{name[:99]!r} is no name of a file in a snapshot")
    return name


def _offsets(size: int) -> range:
    return range(0, max(size, 1), CHUNK_BYTES)


class Receiver:
    """Writes promised files into a new folder, chunk by chunk, in any order.

    Raises `ValueError` for anything that was not promised or lies elsewhere, `FileExistsError` if the folder is there
    already, and `FileNotFoundError` if it (or the one that it is to lie in) is gone: nobody wants the files any more.
    """

    def __init__(self, folder: Path, promised: Sequence[tuple[str, int]], max_bytes: int = MAX_BYTES):
        sizes = {plain(name): size for name, size in promised}
        inner = {parent.as_posix() for name in sizes for parent in PurePosixPath(name).parents} - {"."}
        if len(sizes) != len(promised) or inner & sizes.keys():
            raise ValueError("two of the promised files have one name")
        if len(sizes) > MAX_FILES or min(sizes.values(), default=0) < 0 or sum(sizes.values()) > max_bytes:
            raise ValueError(f"{len(sizes)} files of {sum(sizes.values())} bytes are too much")
        self.folder, self.sizes = folder, sizes
        self._missing = {name: set(_offsets(size)) for name, size in sizes.items()}
        folder.mkdir()
        # made now: a chunk that comes after the folder was given up must not make it again
        for parent in sorted(inner):
            (folder / parent).mkdir()
        self._root = os.path.realpath(folder)

    @property
    def complete(self) -> bool:
        """Whether all that was promised is there."""
        return not self._missing

    def batch(self) -> list[tuple[str, int]]:
        """The first of what is missing: as much as may be under way at once."""
        found, size = [], 0
        for name, offset in self.missing():
            found.append((name, offset))
            size += min(CHUNK_BYTES, self.sizes[name] - offset)
            if size >= BATCH_BYTES or len(found) >= BATCH_FILES:
                break
        return found

    def missing(self) -> Iterator[tuple[str, int]]:
        """Name and offset of each chunk that has not come."""
        for name, offsets in self._missing.items():
            for offset in sorted(offsets):
                yield name, offset

    def take(self, chunk: Chunk) -> bool:
        """Write a chunk; one that is there already is passed over. Gives whether all is complete now."""
        size = self.sizes.get(chunk.name)
        if size is None:
            raise ValueError(f"{chunk.name[:99]!r} was not promised")
        if chunk.offset not in _offsets(size) or len(chunk.data) != min(CHUNK_BYTES, size - chunk.offset):
            raise ValueError(f"{chunk.name}: {len(chunk.data)} bytes at {chunk.offset} are no chunk of {size}")
        if chunk.offset in self._missing.get(chunk.name, ()):
            self._write(chunk)
            self._missing[chunk.name].remove(chunk.offset)
            if not self._missing[chunk.name]:
                del self._missing[chunk.name]
        return self.complete

    def _write(self, chunk: Chunk) -> None:
        path = os.path.join(self._root, chunk.name)
        if os.path.exists(os.path.dirname(path)) and os.path.realpath(path) != path:
            raise ValueError(f"{chunk.name}: a link leads elsewhere")
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o644)
        with open(handle, "wb") as file:
            file.seek(chunk.offset)
            file.write(chunk.data)


class MessageTransfer:
    """A folder of the node's own, from which and to which files travel by messages.

    The store fetches what `submit_part` names: `read_chunk(depot.part_folder(aside) / part, name, offset)` answers it. The other
    way round, the node receives `list_files(folder, needed(...))` of the store into `room(name)`.
    """

    def __init__(self, temporary: Path):
        self.temporary = temporary

    def place(self, aside: str) -> Path:
        """A folder here."""
        begun(aside)
        (self.temporary / aside).mkdir(parents=True, exist_ok=True)
        return self.temporary / aside

    def submit_part(self, aside: str, part: str) -> list[tuple[str, int]]:
        """The files of the part, named from its folder."""
        return list_files(self.part_folder(aside) / plain(part))

    def room(self, name: str) -> Path:
        """Where to receive a snapshot's files: a folder that is not there yet, in one that is."""
        self.discard(name)
        self.temporary.mkdir(parents=True, exist_ok=True)
        return self.temporary / name

    def bring(self, name: str, rectangle: Rectangle) -> Path:
        """Where they were received."""
        return self.temporary / _named(name).name

    def let_go(self, name: str) -> None:
        """Remove what was written or received under a name."""
        shutil.rmtree(self.temporary / _either(name), ignore_errors=True)


# --- a bucket


class UrlTransfer:
    """Snapshots at any URL that fsspec opens; parts pass through a folder of the node's own.

    A bucket cannot rename, so parts and constants lie under `NAME/eEPOCH/`, and `NAME/manifest.json`, which says the
    epoch, comes last: without it there is no snapshot, and what comes late from an older map is never looked at.
    """

    def __init__(self, url: str, temporary: Path):
        from fsspec.core import url_to_fs

        try:
            self.files, root = url_to_fs(url)
        except (ImportError, ValueError) as error:
            raise RunError(f"{url}: cannot be opened: {error}: give another, or install what it needs") from None
        self.url, self.root, self.own = url, str(root).rstrip("/"), MessageTransfer(temporary)

    # what nodes ask

    def place(self, aside: str) -> Path:
        """A folder here."""
        return self.own.part_folder(aside)

    def submit_part(self, aside: str, part: str) -> list[tuple[str, int]]:
        """Upload the part."""
        entry, epoch = begun(aside)
        self.put_part(self.part_folder(aside) / plain(part), f"{entry.name}/e{epoch}/{part}")
        return []

    def bring(self, name: str, rectangle: Rectangle | None = None) -> Path:
        """Download what the rectangle (or the whole world) needs; `SnapshotError` if it is not there."""
        to = self.own.receive_folder(_named(name).name)
        try:
            to.mkdir()
            self.files.get_file(f"{self.root}/{name}/{snapshot.MANIFEST}", str(to / snapshot.MANIFEST))
            manifest = snapshot.read_manifest(to)
            for part in needed(manifest, rectangle)[1:]:
                self.get_part(f"{name}/e{manifest.epoch}/{part}", to / part)
        except (OSError, ValueError) as error:
            raise SnapshotError(f"{self.url}/{name}: cannot be read: {error}") from None
        return to

    def let_go(self, name: str) -> None:
        """Remove what lies here under a name, not at the URL."""
        self.own.discard(name)

    # what it is made of, and what the directory asks

    def put_part(self, folder: Path, name: str) -> None:
        """Upload a folder's files under a name."""
        for file, _ in list_files(folder):
            to = f"{self.root}/{name}/{file}"
            self.files.makedirs(to.rpartition("/")[0], exist_ok=True)
            self.files.put_file(str(folder / file), to)

    def get_part(self, name: str, to: Path) -> None:
        """Download the files under a name into a folder that is not there yet."""
        to.mkdir()
        under = self.files._strip_protocol(f"{self.root}/{name}")
        for found in self.files.find(under):
            file = plain(found.removeprefix(under).lstrip("/"))
            (to / file).parent.mkdir(parents=True, exist_ok=True)
            self.files.get_file(found, str(to / file))

    def complete(self, aside: Path, manifest: snapshot.Manifest) -> None:
        """Upload the constants that lie in the folder aside, and last the manifest; all parts must be there by now."""
        name = Entry(manifest.tick, manifest.kept).name
        self.put_part(aside / snapshot.CONSTANTS, f"{name}/e{manifest.epoch}/{snapshot.CONSTANTS}")
        self.put_manifest(name, manifest)

    def put_manifest(self, name: str, manifest: snapshot.Manifest) -> None:
        """Make what was uploaded under a name a snapshot."""
        text = snapshot.text_of(manifest)
        self.files.makedirs(f"{self.root}/{name}", exist_ok=True)
        self.files.pipe_file(f"{self.root}/{name}/{snapshot.MANIFEST}", text.encode())

    def entries(self) -> list[Entry]:
        """The snapshots that have a manifest, newest first."""
        try:
            self.files.invalidate_cache()
            paths = self.files.ls(self.root, detail=False)
        except FileNotFoundError:
            return []
        found = [(path, Entry.parse(path.rstrip("/").rpartition("/")[2])) for path in paths]
        whole = [one for path, one in found if one and self.files.exists(f"{path}/{snapshot.MANIFEST}")]
        return sorted(whole, reverse=True)

    def remove(self, name: str) -> None:
        """Remove a snapshot, its manifest first: what is left if that is interrupted is none."""
        with suppress(FileNotFoundError):
            self.files.rm_file(f"{self.root}/{_named(name).name}/{snapshot.MANIFEST}")
        with suppress(FileNotFoundError):
            self.files.rm(f"{self.root}/{name}", recursive=True)


# --- names that come from elsewhere


def begun(aside: str) -> tuple[Entry, int]:
    """Which snapshot is begun under this name, and the epoch; `ValueError` for any other name."""
    found = Entry.parse_unfinished(aside)
    if found is None:
        raise ValueError(f"{aside[:99]!r} is no name of a snapshot that is being written")
    return found


def _named(name: str) -> Entry:
    found = Entry.parse(name)
    if found is None:
        raise ValueError(f"{name[:99]!r} is no name of a snapshot")
    return found


def _either(name: str) -> str:
    if Entry.parse(name) is None:
        begun(name)
    return name

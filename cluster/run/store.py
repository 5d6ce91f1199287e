"""The folder of a run on disk.

    runs/meadow-1/
        run.json          the format version of the folder, and where its snapshots are if they are at a URL
        world.toml        the frozen world file, overrides included
        journal.sqlite    see journal.py
        snapshots/        one folder for each snapshot, named by its tick
            tick-000000000120    kept: compressed and durable; genesis and a thinning series of older ones remain
            mark-000000000123    passing: neither; the newest two remain, to resume from when a process was killed
            .writing-...-e7      being written under the map of epoch 7

Only snapshots that thinning drops, older marks and unfinished snapshots are ever deleted. Damaged ones are reported,
skipped, and left in place.
"""

import errno
import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from umwelt.cluster.formats import RUN_FORMAT, unreadable_format
from umwelt.sandbox import audit, snapshot
from umwelt.sandbox.errors import RunError, SnapshotError
from umwelt.sandbox.region import Region

RUNS = Path("runs")
RUN_FILE, WORLD, JOURNAL, SNAPSHOTS = "run.json", "world.toml", "journal.sqlite", "snapshots"
NEWEST_KEPT = NEWEST_MARKS = 2
DROPPING, TOKEN = ".dropping-", ".token-"
_NAME = re.compile(r"(tick|mark)-([0-9]{12})")
_UNFINISHED_NAME = re.compile(re.escape(snapshot.UNFINISHED) + r"(.+)-e([0-9]{1,18})")


class Entry(NamedTuple):
    """Identifies a snapshot of a run, whole or damaged. Later ticks are larger, and kept ones larger than marks."""

    tick: int
    kept: bool

    @property
    def name(self) -> str:
        """The name of its folder."""
        return f"{'tick' if self.kept else 'mark'}-{self.tick:012d}"

    def unfinished_name(self, epoch: int) -> str:
        """Returns the name of the folder in which it is written; parts of an older map have another folder."""
        return f"{snapshot.UNFINISHED}{self.name}-e{epoch}"

    @classmethod
    def parse(cls, name: str) -> "Entry | None":
        """Returns the snapshot that has this name, or None."""
        match = _NAME.fullmatch(name)
        return cls(int(match[2]), match[1] == "tick") if match else None

    @classmethod
    def parse_unfinished(cls, name: str) -> "tuple[Entry, int] | None":
        """Returns the snapshot that is written in a folder of this name, and its epoch; or None."""
        match = _UNFINISHED_NAME.fullmatch(name)
        entry = cls.parse(match[1]) if match else None
        return (entry, int(match[2])) if match and entry else None


def choose_kept_ticks(ticks: Iterable[int], newest_kept: int = NEWEST_KEPT) -> set[int]:
    """Returns which snapshots remain: tick 0, the newest few, and the oldest of each age from 2^n to 2^(n+1) ticks."""
    ordered = sorted(ticks)
    kept = {0, *ordered[-newest_kept:]} & set(ordered)
    oldest_by_age: dict[int, int] = {}
    for tick in ordered:
        oldest_by_age.setdefault((ordered[-1] - tick).bit_length(), tick)
    return kept | set(oldest_by_age.values())


@contextmanager
def report_disk_errors(folder: Path, option: str = "--run") -> Iterator[None]:
    """Raises `RunError`, one line, for an `OSError` while writing to a folder that was chosen by an option."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            has_snapshots = option == "--run" and any((folder / SNAPSHOTS).glob("tick-*"))
            fix = f"go on from the last snapshot with: umwelt resume {folder}" if has_snapshots else "try again"
            raise RunError(f"{folder}: the disk is full: make room, then {fix}") from None
        raise RunError(
            f"{folder}: cannot be written: {error.strerror or error}: choose another folder with {option}"
        ) from None


@contextmanager
def replace_file(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside `path` to write to; replaces `path` with it on success, else deletes it."""
    path = Path(os.path.realpath(path))
    temporary = path.with_name(f"{snapshot.UNFINISHED}{os.getpid()}-{path.name}")
    try:
        yield temporary
        handle = os.open(temporary, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise


def read_run_file(folder: Path) -> dict[str, Any]:
    """Returns what `run.json` says. Raises `RunError` if it is missing, damaged or of another format version."""
    path = folder / RUN_FILE
    try:
        settings = json.loads(path.read_text("utf-8"))
        version = settings["format"]
    except FileNotFoundError:
        fix = "give a folder that umwelt launch made"
        raise RunError(f"{folder}: is not a run: there is no {RUN_FILE} in it: {fix}") from None
    except (OSError, ValueError, LookupError, TypeError) as error:
        reason = " ".join(str(error).split())
        fix = f'restore it from a copy, or write {{"format": {RUN_FORMAT}}}'
        raise RunError(f"{path}: cannot be read: {reason}: {fix}") from None
    if version != RUN_FORMAT:
        raise unreadable_format(path, "run", version, RUN_FORMAT)
    return settings


def write_run_file(folder: Path, **settings: Any) -> None:
    """Write `run.json` with the format version and further settings."""
    (folder / RUN_FILE).write_text(json.dumps({"format": RUN_FORMAT, **settings}) + "\n", "utf-8")


class Store:
    """Reads and writes the folder of one run, whose snapshots are in it."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._created_folders: list[Path] = []
        """Folders that `create` made, the innermost first."""
        self._is_new = False

    @classmethod
    def create(cls, name: str, world_text: str, folder: Path | None = None) -> "Store":
        """Creates a run in `folder`, which must be empty or not exist, or in the next free `runs/NAME-NUMBER`."""
        store = cls(folder or RUNS)
        try:
            with report_disk_errors(folder or RUNS):
                store._created_folders = [path for path in (store.folder, *store.folder.parents) if not path.exists()]
                if folder is None:
                    store.folder = _next_free(name)
                    store._created_folders.insert(0, store.folder)
                chosen = store.folder
                chosen.mkdir(parents=True, exist_ok=True)
                if any(chosen.iterdir()):
                    raise RunError(
                        f"{chosen}: is not empty: choose another folder, or go on with: umwelt resume {chosen}"
                    )
                store.snapshots.mkdir()
                store._is_new = True
                write_run_file(chosen)
                (chosen / WORLD).write_text(world_text, "utf-8")
        except BaseException:
            store.discard()
            raise
        return store

    def discard(self) -> None:
        """Delete what `create` made, and the journal and snapshots in it, of a run that failed to start."""
        if self._is_new:
            shutil.rmtree(self.snapshots, ignore_errors=True)
            names = (RUN_FILE, WORLD, JOURNAL, f"{JOURNAL}-wal", f"{JOURNAL}-shm", f"{JOURNAL}-journal")
            for path in [*(self.folder / name for name in names), *self.folder.glob(f"{TOKEN}*")]:
                with suppress(OSError):
                    path.unlink()
        for folder in self._created_folders:
            with suppress(OSError):  # it is not empty if other programs wrote to it
                folder.rmdir()

    @classmethod
    def open(cls, folder: Path) -> "Store":
        """Opens the folder of an existing run. Raises `RunError` if it is not one, or of another format version."""
        read_run_file(folder)
        if not os.path.isfile(folder / WORLD):
            raise RunError(f"{folder}: is not a run: there is no {WORLD} in it: give a folder that umwelt launch made")
        return cls(folder)

    @property
    def snapshots(self) -> Path:
        """The folder of the snapshots."""
        return self.folder / SNAPSHOTS

    @property
    def journal(self) -> Path:
        """The journal's file."""
        return self.folder / JOURNAL

    def world_text(self) -> str:
        """Returns the frozen world file."""
        try:
            return (self.folder / WORLD).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise RunError(f"{self.folder / WORLD}: cannot be read: {error}: restore it from a copy") from None

    def world_bytes(self) -> bytes:
        """Returns the frozen world file, byte for byte."""
        try:
            return (self.folder / WORLD).read_bytes()
        except OSError as error:
            raise RunError(f"{self.folder / WORLD}: cannot be read: {error}: restore it from a copy") from None

    def entries(self, last_tick: int | None = None) -> list[Entry]:
        """Returns all finished snapshots (not after `last_tick`), whole or damaged, newest first."""
        if not self.snapshots.is_dir():
            return []
        entries = (Entry.parse(path.name) for path in self.snapshots.iterdir())
        return sorted((e for e in entries if e and (last_tick is None or e.tick <= last_tick)), reverse=True)

    def ticks(self) -> list[int]:
        """Returns the ticks of the kept snapshots, whole or damaged, in order."""
        return sorted(entry.tick for entry in self.entries() if entry.kept)

    def path(self, tick: int, kept: bool = True) -> Path:
        """Returns the folder of the snapshot of a tick, whether it exists or not."""
        return self.snapshots / Entry(tick, kept).name

    def unfinished(self) -> list[Path]:
        """Returns the folders of snapshots that were never finished."""
        return sorted(self.snapshots.glob(f"{snapshot.UNFINISHED}*")) if self.snapshots.is_dir() else []

    # --- writing

    def remove_unfinished(self) -> None:
        """Delete unfinished and half deleted snapshots. Only for the process that opens the run for writing."""
        with report_disk_errors(self.folder):
            for path in [*self.unfinished(), *self.snapshots.glob(f"{DROPPING}*")]:
                shutil.rmtree(path)

    def save(self, region: Region, world_text: str, name: str) -> None:
        """Save a kept snapshot of a region that owns the torus, then delete those that thinning drops.

        An existing snapshot of the tick is left if it is good; a damaged one is renamed, not overwritten.
        """
        entry = Entry(region.tick, True)
        with report_disk_errors(self.folder):
            if not self._has_snapshot(entry, f"{audit.world_digest(region):016x}"):
                snapshot.save(self.path(region.tick), region, world_text, name)
                self._prune(region.tick)

    def begin_snapshot(self, tick: int, epoch: int, kept: bool) -> Path:
        """Create the empty folder in which parts and constants of a snapshot are written, and return it.

        Its name holds the epoch of the map, so that a late part of an older map never becomes part of the snapshot.
        """
        folder = self.snapshots / Entry(tick, kept).unfinished_name(epoch)
        with report_disk_errors(self.folder):
            if folder.exists():
                self._drop(folder)
            folder.mkdir()
        return folder

    def complete(self, folder: Path, manifest: snapshot.Manifest) -> Path:
        """Finish a snapshot whose parts are all in the folder from `begin_snapshot`; then thin. Returns its path.

        The journal must be durable through its tick. A kept snapshot is made durable. Raises `SnapshotError` if parts
        are missing, or if the folder is that of another tick, kind or epoch.
        """
        entry = Entry(manifest.tick, manifest.kept)
        if folder.name != entry.unfinished_name(manifest.epoch):
            raise SnapshotError(f"{folder}: is not where {entry.name} of epoch {manifest.epoch} was written")
        path = self.snapshots / entry.name
        with report_disk_errors(self.folder):
            if self._has_snapshot(entry, manifest.digest):
                self._drop(folder)
            else:
                snapshot.finish(folder, path, manifest, durable=manifest.kept)
            self._prune(manifest.tick)
        return path

    def abandon(self, folder: Path) -> None:
        """Delete the folder of an unfinished snapshot; writing further parts to it fails."""
        with report_disk_errors(self.folder):
            if folder.exists():
                self._drop(folder)

    def discard_marks(self) -> None:
        """Delete all passing marks, as when the run continues from an earlier tick with other commands."""
        with report_disk_errors(self.folder):
            for entry in self.entries():
                if not entry.kept:
                    self._drop(self.snapshots / entry.name)

    def _has_snapshot(self, entry: Entry, digest: str) -> bool:
        """Whether a good snapshot with this digest exists. Any other one makes room: marks go, kept ones are renamed.

        One with another digest is of another history, from before the run was taken back to an earlier tick.
        """
        path = self.snapshots / entry.name
        if not path.exists():
            return False
        try:
            if self.load(entry).manifest.digest == digest:
                return True
            suffix = "other"
        except SnapshotError:
            suffix = "damaged"
        if entry.kept:
            os.rename(path, _free(path.with_name(f"{path.name}.{suffix}")))
        else:
            self._drop(path)
        return False

    def _prune(self, newest_tick: int) -> None:
        for entry in snapshots_to_drop(self.entries(newest_tick)):
            self._drop(self.snapshots / entry.name)

    def _drop(self, path: Path) -> None:
        # renamed first: a folder with a snapshot's name is whole, even if deleting it is interrupted
        dropping = _free(self.snapshots / f"{DROPPING}{path.name}")
        os.rename(path, dropping)
        shutil.rmtree(dropping)

    # --- reading

    def newest(self, layout: snapshot.Layout, last_tick: int | None = None) -> tuple[snapshot.Snapshot, list[str]]:
        """Returns the newest good snapshot (not after `last_tick`), and a line for each one that was skipped."""
        skipped = [f"{path}: unfinished: skipped" for path in self.unfinished()]
        for entry in self.entries(last_tick):
            try:
                return self.load(entry, layout), skipped
            except SnapshotError as error:
                skipped.append(f"{error}: skipped")
        raise self.no_snapshot_error(skipped)

    def no_snapshot_error(self, skipped: Iterable[str]) -> RunError:
        """Returns the error for a run of which no snapshot can be used; `skipped` are the reasons."""
        reasons = "; ".join(skipped) or "there is none"
        fix = f"start a new run with: umwelt launch {self.folder / WORLD}"
        return RunError(f"{self.folder}: no snapshot can be used: {reasons}: {fix}")

    def load(self, entry: Entry, layout: snapshot.Layout | None = None) -> snapshot.Snapshot:
        """Returns a whole snapshot, checked. Raises `SnapshotError` if it is damaged or does not match its name."""
        self.manifest(entry)
        return snapshot.load(self.snapshots / entry.name, layout)

    def manifest(self, entry: Entry) -> snapshot.Manifest:
        """Returns the manifest of a snapshot. Raises `SnapshotError` if it is damaged or does not match its name."""
        path = self.snapshots / entry.name
        manifest = snapshot.read_manifest(path)
        if (manifest.tick, manifest.kept) != entry:
            kind = "a kept snapshot" if manifest.kept else "a passing mark"
            raise SnapshotError(f"{path}: damaged: its manifest is that of {kind} of tick {manifest.tick}")
        return manifest

    def newest_manifest(self) -> snapshot.Manifest | None:
        """Returns the newest manifest that can be read, whether its snapshot is whole or not."""
        for entry in self.entries():
            with suppress(SnapshotError):
                return self.manifest(entry)
        return None


def snapshots_to_drop(entries: list[Entry]) -> list[Entry]:
    """Returns which of the snapshots up to the present tick, newest first, are deleted.

    Later snapshots were skipped as damaged, and stay for people to look at: do not include them.
    """
    kept_ticks = [entry.tick for entry in entries if entry.kept]
    marks = [entry for entry in entries if not entry.kept]
    thinned = set(kept_ticks) - choose_kept_ticks(kept_ticks)
    return [*(Entry(tick, True) for tick in thinned), *marks[NEWEST_MARKS:]]


def _next_free(name: str) -> Path:
    """Creates and returns the next unused `runs/NAME-NUMBER`."""
    RUNS.mkdir(exist_ok=True)
    matches = [re.fullmatch(re.escape(name) + r"-(\d+)", path.name) for path in RUNS.iterdir()]
    number = 1 + max((int(match[1]) for match in matches if match), default=0)
    while True:
        try:
            (RUNS / f"{name}-{number}").mkdir()
            return RUNS / f"{name}-{number}"
        except FileExistsError:
            number += 1


def _free(path: Path) -> Path:
    """Returns the path, or the first with a number appended that does not exist."""
    number, free = 1, path
    while free.exists():
        number, free = number + 1, path.with_name(f"{path.name}-{number}")
    return free

"""The folder of a run on disk.

    runs/meadow-1/
        run.json          the format version of the folder, and the URL of its snapshots if they are not in it
        world.toml        the run's world file, overrides included; never changed
        journal.sqlite    the journal, see journal.py
        snapshots/        one folder for each snapshot, named by its tick: it has a *part* from each node, the constants
                          of the world, and a manifest that describes them
            tick-000000000120    a kept snapshot: compressed and durable; older ones are thinned
            mark-000000000123    a temporary snapshot (a *mark*, in messages "passing mark"): neither compressed nor
                                 durable, used to continue after a crash
            .writing-...-e7      an unfinished snapshot, being written in epoch 7

An epoch is the number of a division of the torus among nodes. Kept snapshots are thinned: those that
`choose_kept_ticks` does not return are deleted. Of the marks only the newest two remain. Other than these, only
unfinished snapshots are deleted. Damaged snapshots are reported, skipped, and left in place.

A *digest* is a 64-bit sum over the state of the world at a tick; equal digests mean equal states.
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
"""Number of the newest kept snapshots, and of the newest marks, that are not deleted."""
DROPPING, TOKEN = ".dropping-", ".token-"
"""Prefixes of the names of folders that are being deleted, and of token files (`snapshot_transfer.write_token`)."""
_NAME = re.compile(r"(tick|mark)-([0-9]{12})")
_UNFINISHED_NAME = re.compile(re.escape(snapshot.UNFINISHED) + r"(.+)-e([0-9]{1,18})")


class Entry(NamedTuple):
    """Identifies a snapshot of a run by its tick and kind; the snapshot can be damaged.

    `kept` is false for a temporary snapshot (a mark). Entries are ordered by tick; at the same tick, a kept snapshot is
    greater than a mark.
    """

    tick: int
    kept: bool

    @property
    def name(self) -> str:
        """The name of the snapshot's folder."""
        return f"{'tick' if self.kept else 'mark'}-{self.tick:012d}"

    def unfinished_name(self, epoch: int) -> str:
        """Returns the name of the folder in which the snapshot is written; it contains the epoch."""
        return f"{snapshot.UNFINISHED}{self.name}-e{epoch}"

    @classmethod
    def parse(cls, name: str) -> "Entry | None":
        """Returns the snapshot whose folder is called `name`; None if `name` is not the name of a snapshot."""
        match = _NAME.fullmatch(name)
        return cls(int(match[2]), match[1] == "tick") if match else None

    @classmethod
    def parse_unfinished(cls, name: str) -> "tuple[Entry, int] | None":
        """Returns the snapshot that is written in the folder called `name`, and its epoch.

        Returns None if `name` is not the name of an unfinished snapshot.
        """
        match = _UNFINISHED_NAME.fullmatch(name)
        entry = cls.parse(match[1]) if match else None
        return (entry, int(match[2])) if match and entry else None


def choose_kept_ticks(ticks: Iterable[int], newest_kept: int = NEWEST_KEPT) -> set[int]:
    """Returns which of the kept snapshots thinning retains.

    These are the one of tick 0, the newest `newest_kept`, and the oldest of each age from 2^n to 2^(n+1) - 1 ticks
    before the newest.
    """
    ordered = sorted(ticks)
    kept = {0, *ordered[-newest_kept:]} & set(ordered)
    oldest_by_age: dict[int, int] = {}
    for tick in ordered:
        oldest_by_age.setdefault((ordered[-1] - tick).bit_length(), tick)
    return kept | set(oldest_by_age.values())


@contextmanager
def report_disk_errors(folder: Path, option: str = "--run") -> Iterator[None]:
    """Context manager that converts an `OSError` into a `RunError` with a one-line message.

    `option` is the command-line option by which the user chose `folder`.
    """
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
    """Context manager that replaces the file `path` atomically.

    Yields a temporary path in the same folder to write to. On success it is renamed to `path`, otherwise deleted.
    """
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
    """Returns the content of `run.json`. Raises `RunError` if it is missing, damaged or of another format version."""
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
    """Writes `run.json` with the format version and `settings`."""
    (folder / RUN_FILE).write_text(json.dumps({"format": RUN_FORMAT, **settings}) + "\n", "utf-8")


class Store:
    """The folder of one run, with its snapshots in it."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._created_folders: list[Path] = []
        """Folders that `create` created, the innermost first."""
        self._is_new = False

    @classmethod
    def create(cls, name: str, world_text: str, folder: Path | None = None) -> "Store":
        """Creates a run in `folder`, which must be empty or missing; by default in the next free `runs/NAME-NUMBER`."""
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
        """Deletes what `create` created, and the journal and snapshots, after the run failed to start."""
        if self._is_new:
            shutil.rmtree(self.snapshots, ignore_errors=True)
            names = (RUN_FILE, WORLD, JOURNAL, f"{JOURNAL}-wal", f"{JOURNAL}-shm", f"{JOURNAL}-journal")
            for path in [*(self.folder / name for name in names), *self.folder.glob(f"{TOKEN}*")]:
                with suppress(OSError):
                    path.unlink()
        for folder in self._created_folders:
            with suppress(OSError):  # the folder is not empty if other programs wrote to it
                folder.rmdir()

    @classmethod
    def open(cls, folder: Path) -> "Store":
        """Opens the folder of an existing run. Raises `RunError` if it is not a run, or of another format version."""
        read_run_file(folder)
        if not os.path.isfile(folder / WORLD):
            raise RunError(f"{folder}: is not a run: there is no {WORLD} in it: give a folder that umwelt launch made")
        return cls(folder)

    @property
    def snapshots(self) -> Path:
        """The path of the folder of the snapshots."""
        return self.folder / SNAPSHOTS

    @property
    def journal(self) -> Path:
        """The path of the journal's file."""
        return self.folder / JOURNAL

    def world_text(self) -> str:
        """Returns the text of the run's world file."""
        try:
            return (self.folder / WORLD).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise RunError(f"{self.folder / WORLD}: cannot be read: {error}: restore it from a copy") from None

    def world_bytes(self) -> bytes:
        """Returns the bytes of the run's world file."""
        try:
            return (self.folder / WORLD).read_bytes()
        except OSError as error:
            raise RunError(f"{self.folder / WORLD}: cannot be read: {error}: restore it from a copy") from None

    def entries(self, last_tick: int | None = None) -> list[Entry]:
        """Returns all finished snapshots, also damaged ones, newest first; with `last_tick`, only up to that tick."""
        if not self.snapshots.is_dir():
            return []
        entries = (Entry.parse(path.name) for path in self.snapshots.iterdir())
        return sorted((e for e in entries if e and (last_tick is None or e.tick <= last_tick)), reverse=True)

    def ticks(self) -> list[int]:
        """Returns the ticks of the kept snapshots, also of damaged ones, in ascending order."""
        return sorted(entry.tick for entry in self.entries() if entry.kept)

    def path(self, tick: int, kept: bool = True) -> Path:
        """Returns the folder of a snapshot, whether it exists or not."""
        return self.snapshots / Entry(tick, kept).name

    def unfinished(self) -> list[Path]:
        """Returns the folders of unfinished snapshots."""
        return sorted(self.snapshots.glob(f"{snapshot.UNFINISHED}*")) if self.snapshots.is_dir() else []

    # --- writing

    def remove_unfinished(self) -> None:
        """Deletes unfinished and partly deleted snapshots.

        To be called only by the process that opens the run for writing.
        """
        with report_disk_errors(self.folder):
            for path in [*self.unfinished(), *self.snapshots.glob(f"{DROPPING}*")]:
                shutil.rmtree(path)

    def save(self, region: Region, world_text: str, name: str) -> None:
        """Saves a kept snapshot of `region`, which covers the torus, then deletes the snapshots that thinning drops.

        No effect if there is an undamaged snapshot of this tick with the same digest. Any other one of this tick is
        renamed, not overwritten.
        """
        entry = Entry(region.tick, True)
        with report_disk_errors(self.folder):
            if not self._has_snapshot(entry, f"{audit.world_digest(region):016x}"):
                snapshot.save(self.path(region.tick), region, world_text, name)
                self._prune(region.tick)

    def begin_snapshot(self, tick: int, epoch: int, kept: bool) -> Path:
        """Creates and returns the empty folder in which the parts and constants of a snapshot are written.

        Its name holds the epoch, so that a part of an older epoch that arrives late never becomes part of the snapshot.
        """
        folder = self.snapshots / Entry(tick, kept).unfinished_name(epoch)
        with report_disk_errors(self.folder):
            if folder.exists():
                self._drop(folder)
            folder.mkdir()
        return folder

    def complete(self, folder: Path, manifest: snapshot.Manifest) -> Path:
        """Completes a snapshot whose parts are all in `folder` (from `begin_snapshot`); deletes superseded snapshots.

        Returns the snapshot's path. The caller must have made the journal durable through the snapshot's tick. A kept
        snapshot is made durable. Raises `SnapshotError` if parts are missing, or if `folder` is that of another
        snapshot or epoch.
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
        """Deletes the folder of an unfinished snapshot; later writes to it fail."""
        with report_disk_errors(self.folder):
            if folder.exists():
                self._drop(folder)

    def discard_marks(self) -> None:
        """Deletes all marks: needed when the run continues from an earlier tick with other commands."""
        with report_disk_errors(self.folder):
            for entry in self.entries():
                if not entry.kept:
                    self._drop(self.snapshots / entry.name)

    def _has_snapshot(self, entry: Entry, digest: str) -> bool:
        """Returns whether an undamaged snapshot with this digest exists.

        Any other snapshot at its path is removed: a mark is deleted, a kept snapshot is renamed. A different digest
        means that the snapshot is of a discarded history, from before the run was resumed at an earlier tick.
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
        """Deletes superseded snapshots (`snapshots_to_drop`) of ticks up to `newest_tick`."""
        for entry in snapshots_to_drop(self.entries(newest_tick)):
            self._drop(self.snapshots / entry.name)

    def _drop(self, path: Path) -> None:
        """Deletes the folder of a snapshot."""
        # renamed first, so that an interrupted deletion never leaves an incomplete snapshot under its name
        dropping = _free(self.snapshots / f"{DROPPING}{path.name}")
        os.rename(path, dropping)
        shutil.rmtree(dropping)

    # --- reading

    def newest(self, layout: snapshot.Layout, last_tick: int | None = None) -> tuple[snapshot.Snapshot, list[str]]:
        """Returns the newest undamaged snapshot, and one message for each snapshot that was skipped as unusable.

        With `last_tick`, only snapshots up to that tick are considered.
        """
        skipped = [f"{path}: unfinished: skipped" for path in self.unfinished()]
        for entry in self.entries(last_tick):
            try:
                return self.load(entry, layout), skipped
            except SnapshotError as error:
                skipped.append(f"{error}: skipped")
        raise self.no_snapshot_error(skipped)

    def no_snapshot_error(self, skipped: Iterable[str]) -> RunError:
        """Returns the error for a run without a usable snapshot; `skipped` holds the reasons."""
        reasons = "; ".join(skipped) or "there is none"
        fix = f"start a new run with: umwelt launch {self.folder / WORLD}"
        return RunError(f"{self.folder}: no snapshot can be used: {reasons}: {fix}")

    def load(self, entry: Entry, layout: snapshot.Layout | None = None) -> snapshot.Snapshot:
        """Loads and checks a complete snapshot. Raises `SnapshotError` if it is damaged or does not match its name.

        With a `layout` (fields and schemas of the world), also checks that the snapshot fits it.
        """
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
        """Returns the newest manifest that can be read, even if its snapshot is damaged; None if there is none."""
        for entry in self.entries():
            with suppress(SnapshotError):
                return self.manifest(entry)
        return None


def snapshots_to_drop(entries: list[Entry]) -> list[Entry]:
    """Returns the snapshots in `entries` that are to be deleted: thinned kept snapshots and all but the newest marks.

    `entries` must be in order, newest first, and end at the present tick: later snapshots were skipped as damaged and
    are kept for inspection.
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
    """Returns `path`, or the first path with a number appended to it that does not exist."""
    number, free = 1, path
    while free.exists():
        number, free = number + 1, path.with_name(f"{path.name}-{number}")
    return free

"""Where a run lies on disk.

    runs/meadow-1/
        world.toml        the frozen world file, overrides included
        journal.sqlite    see journal.py
        snapshots/        one folder a snapshot, named by its tick
            tick-000000000120    kept: compressed and durable; genesis and a ladder of ever sparser ones stay
            mark-000000000123    passing: neither; the newest two stay, to go on from when a process was killed
            .writing-...-e7      being written under the map of epoch 7

Nothing but what fell off the ladder, older marks and half-written snapshots is ever deleted; damaged ones are named,
passed over, and left there.
"""

import errno
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from umwelt.sandbox import audit, snapshot
from umwelt.sandbox.errors import RunError, SnapshotError
from umwelt.sandbox.region import Region

RUNS = Path("runs")
WORLD, JOURNAL, SNAPSHOTS = "world.toml", "journal.sqlite", "snapshots"
NEWEST_KEPT = NEWEST_MARKS = 2
DROPPING, TOKEN = ".dropping-", ".token-"
_NAME = re.compile(r"(tick|mark)-([0-9]{12})")
_ASIDE = re.compile(re.escape(snapshot.ASIDE) + r"(.+)-e([0-9]{1,18})")


class Entry(NamedTuple):
    """A snapshot by its proper name, whole or damaged; those of later ticks are larger, kept ones before marks."""

    tick: int
    kept: bool

    @property
    def name(self) -> str:
        """The name of its folder."""
        return f"{'tick' if self.kept else 'mark'}-{self.tick:012d}"

    def replace_file(self, epoch: int) -> str:
        """The name of the folder in which it is written: what comes late from an older map has another."""
        return f"{snapshot.ASIDE}{self.name}-e{epoch}"

    @classmethod
    def named(cls, name: str) -> "Entry | None":
        """The snapshot that has this name, or None."""
        match = _NAME.fullmatch(name)
        return cls(int(match[2]), match[1] == "tick") if match else None

    @classmethod
    def begun(cls, aside: str) -> "tuple[Entry, int] | None":
        """The snapshot that is written in a folder of this name, and the epoch; or None."""
        match = _ASIDE.fullmatch(aside)
        entry = cls.named(match[1]) if match else None
        return (entry, int(match[2])) if match and entry else None


def choose_kept_ticks(ticks: Iterable[int], newest_kept: int = NEWEST_KEPT) -> set[int]:
    """Which snapshots are kept: tick 0, the newest few, and the oldest of each age from 2^n to 2^(n+1) ticks."""
    ordered = sorted(ticks)
    kept = {0, *ordered[-newest_kept:]} & set(ordered)
    rungs: dict[int, int] = {}
    for tick in ordered:
        rungs.setdefault((ordered[-1] - tick).bit_length(), tick)
    return kept | set(rungs.values())


@contextmanager
def report_disk_errors(folder: Path, option: str = "--run") -> Iterator[None]:
    """Turns what the disk reports while something is written under a folder, chosen by an option, into one line."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            begun = option == "--run" and any((folder / SNAPSHOTS).glob("tick-*"))
            again = f"go on from the last snapshot with: umwelt resume {folder}" if begun else "try again"
            raise RunError(f"{folder}: the disk is full: make room, then {again}") from None
        raise RunError(
            f"{folder}: cannot be written: {error.strerror or error}: choose another folder with {option}"
        ) from None


@contextmanager
def replace_file(path: Path) -> Iterator[Path]:
    """A name beside `path` to write to: what was written takes the place of `path` if all went well, else it goes."""
    path = Path(os.path.realpath(path))
    half = path.with_name(f"{snapshot.ASIDE}{os.getpid()}-{path.name}")
    try:
        yield half
        handle = os.open(half, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
        os.replace(half, path)
    except BaseException:
        with suppress(OSError):
            half.unlink()
        raise


class Store:
    """The folder of one run."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._made: list[Path] = []
        """Folders that `create` made, the innermost first."""
        self._claimed = False

    @classmethod
    def create(cls, name: str, world_text: str, folder: Path | None = None) -> "Store":
        """A new run folder: the one given, which must be empty or not exist, or the next free number under `runs/`."""
        store = cls(folder or RUNS)
        try:
            with report_disk_errors(folder or RUNS):
                store._made = [one for one in (store.folder, *store.folder.parents) if not one.exists()]
                if folder is None:
                    store.folder = _next_free(name)
                    store._made.insert(0, store.folder)
                chosen = store.folder
                chosen.mkdir(parents=True, exist_ok=True)
                if any(chosen.iterdir()):
                    raise RunError(
                        f"{chosen}: is not empty: choose another folder, or go on with: umwelt resume {chosen}"
                    )
                store.snapshots.mkdir()
                store._claimed = True
                (chosen / WORLD).write_text(world_text, "utf-8")
        except BaseException:
            store.discard()
            raise
        return store

    def discard(self) -> None:
        """Remove what `create` made, and the journal and snapshots in it: a run that was stopped before it began."""
        if self._claimed:
            shutil.rmtree(self.snapshots, ignore_errors=True)
            names = (WORLD, JOURNAL, f"{JOURNAL}-wal", f"{JOURNAL}-shm", f"{JOURNAL}-journal")
            for path in [*(self.folder / name for name in names), *self.folder.glob(f"{TOKEN}*")]:
                with suppress(OSError):
                    path.unlink()
        for folder in self._made:
            with suppress(OSError):  # what others have put there stays
                folder.rmdir()

    @classmethod
    def open(cls, folder: Path) -> "Store":
        """The folder of a run that was begun before."""
        if not os.path.isfile(folder / WORLD):
            raise RunError(f"{folder}: is no run: there is no {WORLD} in it: give a folder that umwelt launch made")
        return cls(folder)

    @property
    def snapshots(self) -> Path:
        return self.folder / SNAPSHOTS

    @property
    def journal(self) -> Path:
        return self.folder / JOURNAL

    def world_text(self) -> str:
        """The frozen world file."""
        try:
            return (self.folder / WORLD).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise RunError(f"{self.folder / WORLD}: cannot be read: {error}") from None

    def world_bytes(self) -> bytes:
        """The frozen world file, byte for byte."""
        try:
            return (self.folder / WORLD).read_bytes()
        except OSError as error:
            raise RunError(f"{self.folder / WORLD}: cannot be read: {error}") from None

    def entries(self, last_tick: int | None = None) -> list[Entry]:
        """All snapshots (not after `last_tick`), whole or damaged, newest first; half-written ones have no name yet."""
        if not self.snapshots.is_dir():
            return []
        found = (Entry.parse(path.name) for path in self.snapshots.iterdir())
        return sorted((one for one in found if one and (last_tick is None or one.tick <= last_tick)), reverse=True)

    def ticks(self) -> list[int]:
        """The ticks of the kept snapshots, whole or damaged, in order."""
        return sorted(one.tick for one in self.entries() if one.kept)

    def path(self, tick: int, kept: bool = True) -> Path:
        """Where the snapshot of a tick lies."""
        return self.snapshots / Entry(tick, kept).name

    def unfinished(self) -> list[Path]:
        """Snapshots that were never finished."""
        return sorted(self.snapshots.glob(f"{snapshot.ASIDE}*")) if self.snapshots.is_dir() else []

    # --- writing

    def tidy(self) -> None:
        """Remove what was half written or half deleted: for the one that opens the run to write to it."""
        with report_disk_errors(self.folder):
            for path in [*self.unfinished(), *self.snapshots.glob(f"{DROPPING}*")]:
                shutil.rmtree(path)

    def save(self, region: Region, world_text: str, name: str) -> None:
        """Take a kept snapshot of the region's tick, then let those go that fell off the ladder.

        One that is there already stays if it is good; a damaged one is put aside, not overwritten.
        """
        entry = Entry(region.tick, True)
        with report_disk_errors(self.folder):
            digest = (audit.digest(region) + region.controls.digest()) & audit.DIGEST_MASK
            if not self._is_there(entry, f"{digest:016x}"):
                snapshot.save(self.path(region.tick), region, world_text, name)
                self._prune(region.tick)

    def begin_snapshot(self, tick: int, epoch: int, kept: bool) -> Path:
        """Make the folder aside in which parts and constants of a snapshot are written, and empty it; gives it.

        Its name carries the epoch of the map, so that a part that comes late from an older one never mixes in.
        """
        folder = self.snapshots / Entry(tick, kept).unfinished_name(epoch)
        with report_disk_errors(self.folder):
            if folder.exists():
                self._drop(folder)
            folder.mkdir()
        return folder

    def complete(self, aside: Path, manifest: snapshot.Manifest) -> Path:
        """Finish a snapshot whose parts all lie in the folder that `begin_snapshot` gave; then let others go.

        The journal must be durable through its tick by now. A kept one waits for the disk. Gives where it lies. Raises
        `SnapshotError` if parts are missing, or if the folder is that of another tick, kind or epoch.
        """
        entry = Entry(manifest.tick, manifest.kept)
        if aside.name != entry.unfinished_name(manifest.epoch):
            raise SnapshotError(f"{aside}: is not where {entry.name} of epoch {manifest.epoch} was written")
        path = self.snapshots / entry.name
        with report_disk_errors(self.folder):
            if self._is_there(entry, manifest.digest):
                self._drop(aside)
            else:
                snapshot.finish(aside, path, manifest, durable=manifest.kept)
            self._prune(manifest.tick)
        return path

    def abandon(self, aside: Path) -> None:
        """Give up a snapshot that was begun; parts that still come find no place."""
        with report_disk_errors(self.folder):
            if aside.exists():
                self._drop(aside)

    def discard_marks(self) -> None:
        """Remove all passing marks, as when the run goes on from an earlier tick with other commands."""
        with report_disk_errors(self.folder):
            for entry in self.entries():
                if not entry.kept:
                    self._drop(self.snapshots / entry.name)

    def _is_there(self, entry: Entry, digest: str) -> bool:
        """Whether the very snapshot is there and good. Another one makes room: a mark goes, a kept one is put aside.

        One with another digest is of another history, from before the run was taken back to an earlier tick.
        """
        path = self.snapshots / entry.name
        if not path.exists():
            return False
        try:
            if self.load(entry).manifest.digest == digest:
                return True
            what = "other"
        except SnapshotError:
            what = "damaged"
        if entry.kept:
            os.rename(path, _free(path.with_name(f"{path.name}.{what}")))
        else:
            self._drop(path)
        return False

    def _prune(self, newest: int) -> None:
        # what lies after the present was passed over as damaged, and is left for people to look at
        entries = self.entries(newest)
        ticks = [one.tick for one in entries if one.kept]
        going = [Entry(tick, True) for tick in set(ticks) - choose_kept_ticks(ticks)]
        going += [one for one in entries if not one.kept][NEWEST_MARKS:]
        for entry in going:
            self._drop(self.snapshots / entry.name)

    def _drop(self, path: Path) -> None:
        # renamed first: a folder with its proper name is whole, even if deleting it is interrupted
        going = _free(self.snapshots / f"{DROPPING}{path.name}")
        os.rename(path, going)
        shutil.rmtree(going)

    # --- reading

    def newest(self, layout: snapshot.Layout, last_tick: int | None = None) -> tuple[snapshot.Snapshot, list[str]]:
        """The newest good snapshot (not after `last_tick`), and a line for each one that was passed over."""
        passed = [f"{path}: half written: passed over" for path in self.unfinished()]
        for entry in self.entries(last_tick):
            try:
                return self.load(entry, layout), passed
            except SnapshotError as error:
                passed.append(f"{error}: passed over")
        raise self.no_snapshot_error(passed)

    def no_snapshot_error(self, passed: Iterable[str]) -> RunError:
        """What to say when no snapshot can be used; `passed` are the reasons."""
        reasons = "; ".join(passed) or "there is none"
        mend = f"begin a new run with: umwelt launch {self.folder / WORLD}"
        return RunError(f"{self.folder}: no snapshot can be used: {reasons}: {mend}")

    def load(self, entry: Entry, layout: snapshot.Layout | None = None) -> snapshot.Snapshot:
        """A whole snapshot, checked; `SnapshotError` if it is damaged or not what its name says."""
        self.manifest(entry)
        return snapshot.load(self.snapshots / entry.name, layout)

    def manifest(self, entry: Entry) -> snapshot.Manifest:
        """The manifest of a snapshot; `SnapshotError` if it is damaged or not what its name says."""
        path = self.snapshots / entry.name
        found = snapshot.read_manifest(path)
        if (found.tick, found.kept) != entry:
            kind = "a kept snapshot" if found.kept else "a passing mark"
            raise SnapshotError(f"{path}: damaged: its manifest is that of {kind} of tick {found.tick}")
        return found

    def newest_manifest(self) -> snapshot.Manifest | None:
        """The newest manifest that can be read, its snapshot whole or not."""
        for entry in self.entries():
            with suppress(SnapshotError):
                return self.manifest(entry)
        return None


def _next_free(name: str) -> Path:
    """The next unused `runs/NAME-NUMBER`, made."""
    RUNS.mkdir(exist_ok=True)
    taken = [re.fullmatch(re.escape(name) + r"-(\d+)", path.name) for path in RUNS.iterdir()]
    number = 1 + max((int(match[1]) for match in taken if match), default=0)
    while True:
        try:
            (RUNS / f"{name}-{number}").mkdir()
            return RUNS / f"{name}-{number}"
        except FileExistsError:
            number += 1


def _free(path: Path) -> Path:
    """The path, or the first with a number behind it that is not taken."""
    number, free = 1, path
    while free.exists():
        number, free = number + 1, path.with_name(f"{path.name}-{number}")
    return free

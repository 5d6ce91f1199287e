"""Where a run lies on disk.

    runs/meadow-1/
        world.toml        the frozen world file, overrides included
        journal.sqlite    see journal.py
        snapshots/        one folder a snapshot, named by its tick; genesis and a ladder of ever sparser ones are kept

Nothing but snapshots that fell off the ladder is ever deleted; damaged ones are named, passed over, and left there.
"""

import errno
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from umwelt.sandbox import snapshot
from umwelt.sandbox.columns import Schema
from umwelt.sandbox.errors import RunError, SnapshotError
from umwelt.sandbox.region import Field, Region

RUNS = Path("runs")
WORLD, JOURNAL, SNAPSHOTS = "world.toml", "journal.sqlite", "snapshots"
NEWEST_KEPT = 2
_NAME = re.compile(r"^tick-(\d{12})$")


def ladder(ticks: Iterable[int], newest_kept: int = NEWEST_KEPT) -> set[int]:
    """Which snapshots are kept: tick 0, the newest few, and the oldest of each age from 2^n to 2^(n+1) ticks."""
    ordered = sorted(ticks)
    kept = {0, *ordered[-newest_kept:]} & set(ordered)
    rungs: dict[int, int] = {}
    for tick in ordered:
        rungs.setdefault((ordered[-1] - tick).bit_length(), tick)
    return kept | set(rungs.values())


@contextmanager
def writing(folder: Path, option: str = "--run") -> Iterator[None]:
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
def aside(path: Path) -> Iterator[Path]:
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
            with writing(folder or RUNS):
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
            for name in (WORLD, JOURNAL, f"{JOURNAL}-wal", f"{JOURNAL}-shm", f"{JOURNAL}-journal"):
                with suppress(OSError):
                    (self.folder / name).unlink()
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

    def ticks(self) -> list[int]:
        """The ticks of all snapshots, whole or damaged, in order; half-written ones have no proper name yet."""
        if not self.snapshots.is_dir():
            return []
        found = (_NAME.match(path.name) for path in self.snapshots.iterdir())
        return sorted(int(match[1]) for match in found if match)

    def path(self, tick: int) -> Path:
        """Where the snapshot of a tick lies."""
        return self.snapshots / f"tick-{tick:012d}"

    def half_written(self) -> list[Path]:
        """Snapshots that were never finished."""
        return sorted(self.snapshots.glob(f"{snapshot.ASIDE}*")) if self.snapshots.is_dir() else []

    def save(self, region: Region, world_text: str, name: str) -> None:
        """Take a snapshot of the region's tick, then let those go that fell off the ladder.

        A tick that has a snapshot already has the same one; a damaged one is put aside, not overwritten.
        """
        path = self.path(region.tick)
        with writing(self.folder):
            if path.exists():
                try:
                    self._load(region.tick)
                    return
                except SnapshotError:
                    os.rename(path, _free(path.with_name(f"{path.name}.damaged")))
            snapshot.save(path, region, world_text, name)
            self._prune(region.tick)

    def _prune(self, newest: int) -> None:
        # what lies after the present was passed over as damaged, and is left for people to look at
        ticks = [tick for tick in self.ticks() if tick <= newest]
        for tick in set(ticks) - ladder(ticks):
            # renamed first: a folder with its proper name is whole, even if deleting it is interrupted
            going = self.snapshots / f".dropping-{tick}"
            os.rename(self.path(tick), going)
            shutil.rmtree(going)

    def load(
        self, layout: tuple[Sequence[Field], Sequence[Schema]], last_tick: int | None = None
    ) -> tuple[snapshot.Snapshot, list[str]]:
        """The newest good snapshot (not after `last_tick`), and a line for each one that was passed over."""
        passed = [f"{path}: half written: passed over" for path in self.half_written()]
        for tick in reversed(self.ticks()):
            if last_tick is not None and tick > last_tick:
                continue
            try:
                return self._load(tick, layout), passed
            except SnapshotError as error:
                passed.append(f"{error}: passed over")
        reasons = "; ".join(passed) or "there is none"
        mend = f"begin a new run with: umwelt launch {self.folder / WORLD}"
        raise RunError(f"{self.folder}: no snapshot can be used: {reasons}: {mend}")

    def _load(self, tick: int, layout: tuple[Sequence[Field], Sequence[Schema]] | None = None) -> snapshot.Snapshot:
        kept = snapshot.load(self.path(tick), layout)
        if kept.manifest.tick != tick:
            raise SnapshotError(f"{self.path(tick)}: damaged: its manifest says tick {kept.manifest.tick}")
        return kept

    def newest_manifest(self) -> snapshot.Manifest | None:
        """The newest manifest that can be read, its snapshot whole or not."""
        for tick in reversed(self.ticks()):
            with suppress(SnapshotError):
                return snapshot.read_manifest(self.path(tick))
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

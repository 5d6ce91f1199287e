"""A run whose snapshots lie at a URL: journal and world file are in its folder, and what is read is brought there."""

import shutil
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from umwelt.cluster.run.snapshot_transfer import UrlTransfer
from umwelt.cluster.run.store import NEWEST_MARKS, Entry, Store, choose_kept_ticks, report_disk_errors
from umwelt.sandbox import audit, snapshot
from umwelt.sandbox.errors import RunError, SnapshotError
from umwelt.sandbox.region import Region
from umwelt.sandbox.snapshot import Manifest

URL = "snapshots.url"
"""The file of a run's folder that says where its snapshots are."""


class RemoteStore(Store):
    """The folder of a run whose snapshots lie at a URL that fsspec opens."""

    def __init__(self, folder: Path, url: str):
        super().__init__(folder)
        self.url = url
        self._temporary = tempfile.TemporaryDirectory(prefix="umwelt-store-")
        self.far = UrlTransfer(url, Path(self._temporary.name))

    def entries(self, last_tick: int | None = None) -> list[Entry]:
        """All snapshots at the URL (not after `last_tick`), newest first."""
        try:
            found = self.far.entries()
        except Exception as error:  # every kind of store has its own
            raise RunError(f"{self.url}: cannot be read: {error}: see that it can be reached") from None
        return [one for one in found if last_tick is None or one.tick <= last_tick]

    def path(self, tick: int, kept: bool = True) -> Path:
        """Where a snapshot lies, brought here if it is not yet; where it would lie, if there is none."""
        entry = Entry(tick, kept)
        here = self.snapshots / entry.name
        if not here.exists() and entry in self.entries():
            with report_disk_errors(self.folder):
                brought = self.far.fetch(entry.name)
                shutil.move(brought, here)
            for old in super().entries()[2 * NEWEST_MARKS :]:
                if old != entry:
                    shutil.rmtree(self.snapshots / old.name, ignore_errors=True)
        return here

    def manifest(self, entry: Entry) -> Manifest:
        """The manifest of a snapshot."""
        self.path(*entry)
        return super().manifest(entry)

    def save(self, region: Region, world_text: str, name: str) -> None:
        """Write a kept snapshot of a whole region, and upload it."""
        entry = Entry(region.tick, True)
        here = self.snapshots / entry.name
        digest = (audit.digest(region) + region.controls.digest()) & audit.DIGEST_MASK
        with report_disk_errors(self.folder):
            if entry in self.entries():
                with suppress(SnapshotError):
                    if self.manifest(entry).digest == f"{digest:016x}":
                        return
                self.far.remove(entry.name)
            shutil.rmtree(here, ignore_errors=True)
            manifest = snapshot.save(here, region, world_text, name)
            for part in manifest.parts:
                self.far.put_part(here / part["folder"], f"{entry.name}/e{manifest.epoch}/{part['folder']}")
            self.far.complete(here, manifest)
            self._prune(region.tick)

    def complete(self, aside: Path, manifest: Manifest) -> Path:
        """Upload constants and manifest of a snapshot whose parts are there; then let others go."""
        entry = Entry(manifest.tick, manifest.kept)
        with report_disk_errors(self.folder):
            self.far.complete(aside, manifest)
            self._drop(aside)
            self._prune(manifest.tick)
        return self.snapshots / entry.name

    def discard_marks(self) -> None:
        """Remove all passing marks."""
        self._remove(one for one in self.entries() if not one.kept)

    def _prune(self, newest: int) -> None:
        entries = self.entries(newest)
        ticks = [one.tick for one in entries if one.kept]
        self._remove(Entry(tick, True) for tick in set(ticks) - choose_kept_ticks(ticks))
        self._remove([one for one in entries if not one.kept][NEWEST_MARKS:])

    def _remove(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            self.far.remove(entry.name)
            shutil.rmtree(self.snapshots / entry.name, ignore_errors=True)


def open_store(folder: Path) -> Store:
    """The folder of a run that was begun before, its snapshots here or afar."""
    store = Store.open(folder)
    try:
        return RemoteStore(folder, (folder / URL).read_text("utf-8").strip())
    except FileNotFoundError:
        return store


def create_store(name: str, world_text: str, folder: Path | None, url: str = "") -> Store:
    """A new run folder; its snapshots go to a URL if one is given, in a folder there of the run's own name."""
    store = Store.create(name, world_text, folder)
    if not url:
        return store
    try:
        far = RemoteStore(store.folder, f"{url.rstrip('/')}/{store.folder.resolve().name}")
        if far.entries():
            raise RunError(f"{far.url}: holds the snapshots of another run: choose another URL or --run")
        (store.folder / URL).write_text(far.url, "utf-8")
    except BaseException:
        (store.folder / URL).unlink(missing_ok=True)
        store.discard()
        raise
    return far

"""A run whose snapshots are stored at a URL. Its journal and world file are in a local folder.

Snapshots are downloaded to that folder when they are read. *Superseded* snapshots, which newer ones make unnecessary,
are deleted (`store.snapshots_to_drop`).

The *manifest* of a snapshot describes its parts; a snapshot without a manifest is not finished.
"""

import shutil
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from umwelt.cluster.run.snapshot_transfer import UrlTransfer
from umwelt.cluster.run.store import (
    NEWEST_MARKS,
    RUN_FILE,
    Entry,
    Store,
    read_run_file,
    report_disk_errors,
    snapshots_to_drop,
    write_run_file,
)
from umwelt.sandbox import audit, snapshot
from umwelt.sandbox.errors import RunError, SnapshotError
from umwelt.sandbox.region import Region
from umwelt.sandbox.snapshot import Manifest

URL_SETTING = "snapshots"
"""Key of `run.json` that holds the URL of the snapshots."""


class RemoteStore(Store):
    """The folder of a run whose snapshots are stored at a URL that fsspec can open."""

    def __init__(self, folder: Path, url: str):
        super().__init__(folder)
        self.url = url
        self._temporary = tempfile.TemporaryDirectory(prefix="umwelt-store-")
        self.remote = UrlTransfer(url, Path(self._temporary.name))

    def entries(self, last_tick: int | None = None) -> list[Entry]:
        """Returns all snapshots at the URL, newest first; with `last_tick`, only those up to that tick."""
        try:
            entries = self.remote.entries()
        except Exception as error:  # each kind of storage raises its own exceptions
            raise RunError(f"{self.url}: cannot be read: {error}: check that it can be reached") from None
        return [entry for entry in entries if last_tick is None or entry.tick <= last_tick]

    def path(self, tick: int, kept: bool = True) -> Path:
        """Returns the local folder of a snapshot, after downloading the snapshot if needed.

        The folder does not exist if the URL does not have the snapshot.
        """
        entry = Entry(tick, kept)
        local = self.snapshots / entry.name
        if not local.exists() and entry in self.entries():
            with report_disk_errors(self.folder):
                downloaded = self.remote.fetch(entry.name)
                shutil.move(downloaded, local)
            for old in super().entries()[2 * NEWEST_MARKS :]:
                if old != entry:
                    shutil.rmtree(self.snapshots / old.name, ignore_errors=True)
        return local

    def manifest(self, entry: Entry) -> Manifest:
        """Returns the manifest of a snapshot, after downloading the snapshot if needed."""
        self.path(*entry)
        return super().manifest(entry)

    def save(self, region: Region, world_text: str, name: str) -> None:
        """Saves and uploads a kept snapshot of `region`, which covers the torus, then deletes superseded snapshots.

        No effect if the URL already has a snapshot of this tick with the same digest; one with another digest is
        replaced.
        """
        entry = Entry(region.tick, True)
        local = self.snapshots / entry.name
        with report_disk_errors(self.folder):
            if entry in self.entries():
                with suppress(SnapshotError):
                    if self.manifest(entry).digest == f"{audit.world_digest(region):016x}":
                        return
                self.remote.remove(entry.name)
            shutil.rmtree(local, ignore_errors=True)
            manifest = snapshot.save(local, region, world_text, name)
            for part in manifest.parts:
                self.remote.put_part(local / part["folder"], f"{entry.name}/e{manifest.epoch}/{part['folder']}")
            self.remote.complete(local, manifest)
            self._prune(region.tick)

    def complete(self, folder: Path, manifest: Manifest) -> Path:
        """Completes a snapshot whose parts are at the URL: uploads the constants in `folder`, then the manifest.

        Deletes superseded snapshots. Returns the local path of the snapshot, to which it is not downloaded yet.
        """
        entry = Entry(manifest.tick, manifest.kept)
        with report_disk_errors(self.folder):
            self.remote.complete(folder, manifest)
            self._drop(folder)
            self._prune(manifest.tick)
        return self.snapshots / entry.name

    def discard_marks(self) -> None:
        """Deletes all temporary snapshots (marks), both at the URL and in the local folder."""
        self._remove(entry for entry in self.entries() if not entry.kept)

    def _prune(self, newest_tick: int) -> None:
        """Deletes superseded snapshots (`snapshots_to_drop`) of ticks up to `newest_tick`."""
        self._remove(snapshots_to_drop(self.entries(newest_tick)))

    def _remove(self, entries: Iterable[Entry]) -> None:
        """Deletes snapshots at the URL and their local copies."""
        for entry in entries:
            self.remote.remove(entry.name)
            shutil.rmtree(self.snapshots / entry.name, ignore_errors=True)


def open_store(folder: Path) -> Store:
    """Opens the run in `folder`, whether its snapshots are stored there or at a URL."""
    store = Store.open(folder)
    url = read_run_file(folder).get(URL_SETTING, "")
    if not isinstance(url, str):
        raise RunError(f'{folder / RUN_FILE}: "{URL_SETTING}" is not a URL: restore the file from a copy')
    return RemoteStore(folder, url) if url else store


def create_store(name: str, world_text: str, folder: Path | None, url: str = "") -> Store:
    """Creates a run in `folder`, by default in the next free folder under `runs/`.

    With `url`, snapshots are stored in a folder at that URL, which gets the name of the run's folder.
    """
    store = Store.create(name, world_text, folder)
    if not url:
        return store
    try:
        remote = RemoteStore(store.folder, f"{url.rstrip('/')}/{store.folder.resolve().name}")
        if remote.entries():
            raise RunError(f"{remote.url}: holds the snapshots of another run: choose another URL or --run")
        write_run_file(store.folder, **{URL_SETTING: remote.url})
    except BaseException:
        store.discard()
        raise
    return remote

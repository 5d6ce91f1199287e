"""Storage of a coordinator: writes journal and snapshots in the run's folder.

A snapshot consists of a *part* from each node, the *constants* (read-only arrays of the world), and the *manifest*,
which describes them and is written last. The *hash chain* is a sequence of hashes in the journal, by which later
changes of journal and snapshots are detected.
"""

import queue
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from umwelt.agents import commands
from umwelt.agents.open_world import torus_of
from umwelt.agents.world_file import WorldFile
from umwelt.cluster.instructions import (
    BeginSnapshot,
    CompleteSnapshot,
    DivideTorus,
    FetchPart,
    JournalCommands,
    JournalMap,
    JournalTick,
)
from umwelt.cluster.partition import BLOCK_CELLS, cut
from umwelt.cluster.run import snapshot_transfer
from umwelt.cluster.run.journal import Journal, Metrics
from umwelt.cluster.run.store import Entry, Store
from umwelt.cluster.run.verify import snapshot_record
from umwelt.cluster.settings import FILE_REQUEST_RETRY_S
from umwelt.cluster.shard import unpack_births
from umwelt.cluster.wire.protocol import FileChunk, FileRequest
from umwelt.sandbox import snapshot
from umwelt.sandbox.controls import Controls
from umwelt.sandbox.errors import SnapshotError, UmweltError
from umwelt.sandbox.region import Rectangle

COMMIT_INTERVAL_S = 1.0
CELL_WEIGHT, BEING_WEIGHT = 1, 6
"""The cost of a tick for a cell and for a being, relative to each other (benchmarks/scale.py)."""


@dataclass
class _Fetch:
    """A snapshot part whose files are being fetched from another host.

    `snapshot` is the name of the part in requests, `request` sends a request to the host, and `done` is called when all
    files have arrived.
    """

    receiver: snapshot_transfer.Receiver
    snapshot: str
    sender: Any
    request: Callable[[FileRequest], None]
    done: Callable[[], None]
    active_s: float = float("-inf")
    """Time of the last request or received chunk."""
    awaited: set[tuple[str, int]] = field(default_factory=set)
    """Chunks that were requested and have not arrived, as (file name, offset)."""


class RunStorage:
    """Journal and snapshots of a run; implements `CoordinatorStorage`. Owned by the coordinator's process.

    `constants` are the read-only arrays of the world. `secret` is the key that signs the journal's hash chain, or None.
    """

    def __init__(
        self,
        world: WorldFile,
        store: Store,
        journal: Journal,
        constants: dict[str, np.ndarray],
        secret: bytes | None = None,
    ):
        self.world, self.store, self.journal, self.constants = world, store, journal, constants
        self._layout = world.laws.layout(world)
        self._species = list(world.laws.species(world)) if world.laws.species else []
        first = next(journal.history.metrics(), None)
        self._first_populations = first.populations if first is not None else {}
        self._secret = secret
        self._completed: queue.SimpleQueue[tuple[int, str]] = queue.SimpleQueue()
        """Kept snapshots that are to be added to the journal's hash chain, as (tick, text with hashes of its files)."""
        self._folder: Path | None = None
        """Folder of the snapshot that is being written, or None."""
        self._fetches: dict[str, _Fetch] = {}
        """Parts that are being fetched, by their name in requests."""
        self._committed_s = self._now_s = 0.0
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="umwelt-store")

    def check_command(self, content: bytes) -> None:
        """Raises an UmweltError if `content`, a command as JSON, is not valid in this world."""
        commands.check(self.world, commands.decode(content))

    def divide_torus(self, divide: DivideTorus) -> list[tuple[int, int, int, int]]:
        """Returns rectangles (y, x, height, width) of about equal cost, computed from the beings in the snapshot."""
        entry = Entry.parse(divide.snapshot)
        assert entry is not None, f"{divide.snapshot!r} is not the name of a snapshot"
        torus = torus_of(self.world)
        beings = snapshot.count_beings(self.store.path(*entry), self.store.manifest(entry), BLOCK_CELLS)
        weights = beings * BEING_WEIGHT + BLOCK_CELLS * BLOCK_CELLS * CELL_WEIGHT
        return [(y, x, height, width) for y, x, height, width in cut(torus, weights, divide.parts, divide.halo_cells)]

    def journal_map(self, opened: JournalMap) -> None:
        """Writes a new division of the torus to the journal.

        Discards a snapshot that is being written for an older division.
        """
        self._abandon_snapshot()
        self.journal.enter_map(opened.epoch, opened.tick, opened.reason, opened.members)

    def journal_commands(self, entered: JournalCommands) -> None:
        """Writes commands to the journal; they are durable after `commit`."""
        self.journal.enter_commands(entered.ticket, entered.commands)

    def commit(self) -> None:
        """Makes all journal entries durable."""
        self.journal.commit()

    def journal_births(self, raw: Sequence[Any]) -> None:
        """Writes births to the journal; malformed births are ignored, because no other data depends on them."""
        with suppress(ValueError, LookupError, TypeError, OverflowError):
            for record in unpack_births(raw[0]):
                self.journal.enter_births(record, self._species, torus_of(self.world).width)

    def journal_tick(self, record: JournalTick) -> None:
        """Writes digest and metrics to the journal.

        Species that have died out are entered with 0 if they occur in the first metrics of the journal.
        """
        populations = {
            table: {**dict.fromkeys(self._first_populations.get(table, {}), 0), **counts}
            for table, counts in record.populations.items()
        }
        metrics = Metrics(record.tick, record.births, record.deaths, populations, record.substances)
        self.journal.enter(metrics, record.digest)

    # --- snapshots

    def begin_snapshot(self, begin: BeginSnapshot) -> None:
        """Creates the folder in which nodes write their parts, and discards an incomplete snapshot."""
        self._abandon_snapshot()
        self._folder = self.store.begin_snapshot(begin.tick, begin.epoch, begin.kept)

    def complete_snapshot(self, complete: CompleteSnapshot, done: Callable[[str], None]) -> None:
        """Makes the journal durable, then writes constants and manifest in another thread.

        That thread calls `done` with an empty line on success, else with the reason of the failure.
        """
        self.journal.commit()
        folder, self._folder = self._folder, None
        assert folder is not None, "a snapshot is begun before it is completed"

        def finish() -> None:
            line = ""
            try:
                snapshot.write_constants(folder, self.constants)
                manifest = self._manifest(complete)
                papers = snapshot_record(manifest, folder) if complete.kept else ""
                self.store.complete(folder, manifest)
                if papers:
                    self._completed.put((complete.tick, papers))
            except UmweltError as error:
                line = str(error)
            except OSError as error:
                line = f"{folder}: {error.strerror or error}"
            if line:
                with suppress(UmweltError, OSError):
                    self.store.abandon(folder)
            done(line)

        self._writer.submit(finish)

    def _abandon_snapshot(self) -> None:
        """Discards the snapshot that is being written, and stops fetching its files."""
        self._fetches.clear()
        if self._folder is not None:
            self.store.abandon(self._folder)
            self._folder = None

    def _manifest(self, complete: CompleteSnapshot) -> snapshot.Manifest:
        """Returns the manifest of the snapshot that `complete` describes."""
        common = self.world.common
        return snapshot.make_manifest(
            self.world.name,
            self.world.text,
            self._layout,
            torus_of(self.world),
            common.seed,
            complete.tick,
            snapshot.hash_constants(self.constants),
            complete.parts,
            {"births": complete.births, "deaths": complete.deaths},
            Controls.from_json(complete.controls),
            complete.kept,
            complete.epoch,
        )

    # --- files to and from hosts that do not share the folder

    def fetch_part(self, fetch: FetchPart, request: Callable[[FileRequest], None], done: Callable[[], None]) -> None:
        """Starts to fetch the files of a part into the snapshot that is being written.

        Requests are sent by `poll` and `take_chunk`.
        """
        if self._folder is None:
            return
        part = f"part-{fetch.rectangle[0]}-{fetch.rectangle[1]}"
        try:
            receiver = snapshot_transfer.Receiver(self._folder / part, list(fetch.files))
        except (ValueError, OSError):
            return
        name = f"{self._folder.name}/{part}"
        self._fetches[name] = _Fetch(receiver, name, fetch.sender, request, done)

    def take_chunk(self, sender: Any, chunk: FileChunk, raw: Sequence[Any]) -> None:
        """Stores a chunk of a file that is being fetched from `sender`, and requests the next chunks.

        Other chunks are ignored.
        """
        fetch = self._fetches.get(chunk.snapshot)
        if fetch is None or sender != fetch.sender or len(raw) != 1:
            return
        with suppress(ValueError, OSError):
            if fetch.receiver.take(snapshot_transfer.Chunk(chunk.name, chunk.offset, bytes(raw[0]), False)):
                del self._fetches[chunk.snapshot]
                fetch.done()
                return
            fetch.active_s = self._now_s
            fetch.awaited.discard((chunk.name, chunk.offset))
            if not fetch.awaited:
                self._request_batch(fetch)

    def read_chunk(self, request: FileRequest) -> tuple[FileChunk, list[Any]] | None:
        """Returns the answer to a request for a file of a complete snapshot: the message, and its raw frames.

        The raw frame is the requested part of the file. If the request names no file, there is no raw frame, and the
        message lists the snapshot's files. Returns None if there is no such snapshot or file.
        """
        entry = Entry.parse(request.snapshot)
        if entry is None:
            return None
        folder = self.store.path(*entry)
        try:
            if not request.name:
                return FileChunk(request.snapshot, "", 0, snapshot_transfer.list_files(folder)), []
            chunk = snapshot_transfer.read_chunk(folder, request.name, request.offset)
            return FileChunk(request.snapshot, request.name, request.offset), [chunk.data]
        except (ValueError, OSError):
            return None

    def poll(self, now_s: float) -> None:
        """Commits the journal every second, adds complete snapshots to the hash chain, and requests missing chunks."""
        self._enter_snapshots()
        if now_s - self._committed_s > COMMIT_INTERVAL_S:
            self._committed_s = now_s
            self.journal.commit()
        self._now_s = now_s
        for fetch in self._fetches.values():
            # nothing is requested again while chunks arrive: on a slow connection the others are still in transit
            if now_s - fetch.active_s > FILE_REQUEST_RETRY_S:
                self._request_batch(fetch)

    def close(self) -> None:
        """Finishes writing snapshots, signs the hash chain and closes the journal."""
        self._writer.shutdown()
        try:
            self._enter_snapshots()
            self.journal.chain.enter_head(self._secret)
        finally:
            self.journal.close()

    def _request_batch(self, fetch: _Fetch) -> None:
        """Requests the next batch of missing chunks of a part."""
        fetch.active_s = self._now_s
        fetch.awaited = set(fetch.receiver.batch())
        for name, offset in sorted(fetch.awaited):
            fetch.request(FileRequest(fetch.snapshot, name, offset))

    def _enter_snapshots(self) -> None:
        """Adds complete kept snapshots to the hash chain and signs it."""
        if self._completed.empty():
            return
        while not self._completed.empty():
            self.journal.chain.enter_snapshot(*self._completed.get())
        self.journal.chain.enter_head(self._secret)


def newest_good(
    store: Store, world: WorldFile, last_tick: int | None = None
) -> tuple[Entry, snapshot.Manifest, list[str]]:
    """Returns the newest undamaged snapshot, its manifest, and a line for each damaged or unfinished snapshot skipped.

    All parts of a snapshot are read and checked. Snapshots after `last_tick` are ignored. Raises RunError if there is
    no undamaged snapshot.
    """
    lines = [f"{path}: unfinished: skipped" for path in store.unfinished()]
    layout = world.laws.layout(world)
    for entry in store.entries(last_tick):
        path = store.path(*entry)
        try:
            manifest = store.manifest(entry)
            snapshot.load_constants(path, manifest)
            for part in manifest.parts:
                snapshot.load_parts(path, manifest, Rectangle(*part["rectangle"]), torus_of(world), layout)
            return entry, manifest, lines
        except SnapshotError as error:
            lines.append(f"{error}: skipped")
    raise store.no_snapshot_error(lines)

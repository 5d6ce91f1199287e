"""A coordinator's storage: the journal and the snapshots of a run, in the run's folder."""

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
    """A part whose files are being fetched from another host."""

    receiver: snapshot_transfer.Receiver
    snapshot: str
    sender: Any
    request: Callable[[FileRequest], None]
    done: Callable[[], None]
    active_s: float = float("-inf")
    """When something was requested or came last."""
    awaited: set[tuple[str, int]] = field(default_factory=set)
    """Chunks that were requested and have not come, by file and offset."""


class RunStorage:
    """A run's folder; implements `CoordinatorStorage`. Owned by the coordinator's process, which closes it.

    `constants` are the world's frozen tables. `secret` signs the hash chain, if there is one.
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
        """Kept snapshots that are to be entered in the hash chain: tick and papers."""
        self._folder: Path | None = None
        """The folder of the snapshot that is being written."""
        self._fetches: dict[str, _Fetch] = {}
        self._committed_s = self._now_s = 0.0
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="umwelt-store")

    def check_command(self, content: bytes) -> None:
        """Raises an UmweltError if a command is not valid in this world."""
        commands.check(self.world, commands.decode(content))

    def divide_torus(self, divide: DivideTorus) -> list[tuple[int, int, int, int]]:
        """Returns rectangles of about equal cost, by where beings are in the snapshot."""
        entry = Entry.parse(divide.snapshot)
        assert entry is not None, f"{divide.snapshot!r} is not the name of a snapshot"
        torus = torus_of(self.world)
        beings = snapshot.count_beings(self.store.path(*entry), self.store.manifest(entry), BLOCK_CELLS)
        weights = beings * BEING_WEIGHT + BLOCK_CELLS * BLOCK_CELLS * CELL_WEIGHT
        return [(y, x, height, width) for y, x, height, width in cut(torus, weights, divide.parts, divide.halo_cells)]

    def journal_map(self, opened: JournalMap) -> None:
        """Journals a map; a snapshot that was being written for an older one is given up."""
        self._abandon_snapshot()
        self.journal.enter_map(opened.epoch, opened.tick, opened.reason, opened.members)

    def journal_commands(self, entered: JournalCommands) -> None:
        """Journals commands; they are durable after `commit`."""
        self.journal.enter_commands(entered.ticket, entered.commands)

    def commit(self) -> None:
        """Makes everything that was journalled durable."""
        self.journal.commit()

    def journal_births(self, raw: Sequence[Any]) -> None:
        """Journals births; malformed ones are left out, because nothing depends on them."""
        with suppress(ValueError, LookupError, TypeError, OverflowError):
            for record in unpack_births(raw[0]):
                self.journal.enter_births(record, self._species, torus_of(self.world).width)

    def journal_tick(self, record: JournalTick) -> None:
        """Journals digest and metrics; species of tick 0 that have died out are entered with 0."""
        populations = {
            table: {**dict.fromkeys(self._first_populations.get(table, {}), 0), **counts}
            for table, counts in record.populations.items()
        }
        metrics = Metrics(record.tick, record.births, record.deaths, populations, record.substances)
        self.journal.enter(metrics, record.digest)

    # --- snapshots

    def begin_snapshot(self, begin: BeginSnapshot) -> None:
        """Makes the folder in which nodes write their parts; a snapshot that is not complete is given up."""
        self._abandon_snapshot()
        self._folder = self.store.begin_snapshot(begin.tick, begin.epoch, begin.kept)

    def complete_snapshot(self, complete: CompleteSnapshot, done: Callable[[str], None]) -> None:
        """Makes the journal durable, then writes constants and manifest in a thread, which calls `done`."""
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
        self._fetches.clear()
        if self._folder is not None:
            self.store.abandon(self._folder)
            self._folder = None

    def _manifest(self, complete: CompleteSnapshot) -> snapshot.Manifest:
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
        """Fetches a part's files into the snapshot that is being written."""
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
        """Takes in a chunk of a file that is being fetched from this sender; others are ignored."""
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
        """Returns a chunk of a file of a complete snapshot, or the list of its files; None if there is none."""
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

    def turn(self, now_s: float) -> None:
        """Commits every second, enters completed snapshots in the hash chain, requests chunks that have not come."""
        self._enter_snapshots()
        if now_s - self._committed_s > COMMIT_INTERVAL_S:
            self._committed_s = now_s
            self.journal.commit()
        self._now_s = now_s
        for fetch in self._fetches.values():
            # while chunks come nothing is requested again: on a slow connection the others are on their way
            if now_s - fetch.active_s > FILE_REQUEST_RETRY_S:
                self._request_batch(fetch)

    def close(self) -> None:
        """Makes everything durable, signs the hash chain and closes the journal."""
        self._writer.shutdown()
        try:
            self._enter_snapshots()
            self.journal.chain.enter_head(self._secret)
        finally:
            self.journal.close()

    def _request_batch(self, fetch: _Fetch) -> None:
        fetch.active_s = self._now_s
        fetch.awaited = set(fetch.receiver.batch())
        for name, offset in sorted(fetch.awaited):
            fetch.request(FileRequest(fetch.snapshot, name, offset))

    def _enter_snapshots(self) -> None:
        if self._completed.empty():
            return
        while not self._completed.empty():
            self.journal.chain.enter_snapshot(*self._completed.get())
        self.journal.chain.enter_head(self._secret)


def newest_good(
    store: Store, world: WorldFile, last_tick: int | None = None
) -> tuple[Entry, snapshot.Manifest, list[str]]:
    """Returns the newest snapshot that is whole, its manifest, and a line for each damaged one that is skipped.

    Every part is read and checked. `last_tick` bounds the search. Raises RunError if no snapshot is whole.
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

"""The directory's hands: the journal and the snapshots of a run, on the disk where the run lies."""

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
from umwelt.cluster.events import (
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
from umwelt.cluster.shard import unpack_births
from umwelt.cluster.wire.protocol import FileChunk, FileRequest
from umwelt.sandbox import snapshot
from umwelt.sandbox.controls import Controls
from umwelt.sandbox.errors import SnapshotError, UmweltError
from umwelt.sandbox.region import Rectangle

COMMIT_EVERY_S = 1.0
CELL_WEIGHT, BEING_WEIGHT = 1, 6
"""What a tick costs for a cell and for a being, as they stand to each other (benchmarks/scale.py)."""
ASK_AGAIN_S = 1.0


@dataclass
class Fetching:
    """A part whose files come from another host."""

    receiver: snapshot_transfer.Receiver
    snapshot: str
    sender: Any
    ask: Callable[[FileRequest], None]
    done: Callable[[], None]
    heard_s: float = -1e9
    """When something was asked for or came, the last time."""
    awaited: set[tuple[str, int]] = field(default_factory=set)


class RunStorage:
    """See `CoordinatorStorage`. `constants` are the world's tables; `secret` signs the ledger."""

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
        self._seen = first.populations if first is not None else {}
        self._secret = secret
        self._finished: queue.SimpleQueue[tuple[int, str]] = queue.SimpleQueue()
        """Kept snapshots that the ledger has to be told of, and their papers."""
        self._aside: Path | None = None
        self._fetching: dict[str, Fetching] = {}
        self._committed_s = self._now_s = 0.0
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="umwelt-store")

    def check(self, content: bytes) -> None:
        """Refuse a command that cannot be."""
        commands.check(self.world, commands.decode(content))

    def divide(self, divide: DivideTorus) -> list[tuple[int, int, int, int]]:
        """Rectangles of about equal cost, by where beings are in the snapshot."""
        entry = Entry.parse(divide.snapshot)
        assert entry is not None
        torus = torus_of(self.world)
        beings = snapshot.count_beings(self.store.path(*entry), self.store.manifest(entry), BLOCK_CELLS)
        weights = beings * BEING_WEIGHT + BLOCK_CELLS * BLOCK_CELLS * CELL_WEIGHT
        return [tuple(rectangle) for rectangle in cut(torus, weights, divide.parts, divide.halo_cells)]  # type: ignore[misc]

    def open(self, opened: JournalMap) -> None:
        """Journal a map; what was being written for an older one is given up."""
        self._fetching.clear()
        if self._aside is not None:
            self.store.abandon(self._aside)
            self._aside = None
        self.journal.enter_map(opened.epoch, opened.tick, opened.reason, opened.members)

    def enter_commands(self, entered: JournalCommands) -> None:
        """Journal commands; they are durable after `commit`."""
        self.journal.enter_commands(entered.ticket, entered.commands)

    def commit(self) -> None:
        """Make all that was journalled durable."""
        self.journal.commit()

    def enter_births(self, raw: Sequence[Any]) -> None:
        """Journal births."""
        with suppress(ValueError, LookupError, TypeError, OverflowError):  # births are told for people: none is missed
            for record in unpack_births(raw[0]):
                self.journal.enter_births(record, self._species, torus_of(self.world).width)

    def enter(self, entered: JournalTick) -> None:
        """Journal a digest and metrics; species of tick 0 that died out are named with 0."""
        populations = {
            table: {**dict.fromkeys(self._seen.get(table, {}), 0), **found}
            for table, found in entered.populations.items()
        }
        metrics = Metrics(entered.tick, entered.births, entered.deaths, populations, entered.substances)
        self.journal.enter(metrics, entered.digest)

    # --- snapshots

    def begin_snapshot(self, begun: BeginSnapshot) -> None:
        """Make room for a snapshot; one that was not completed gives way."""
        self._fetching.clear()
        if self._aside is not None:
            self.store.abandon(self._aside)
        self._aside = self.store.begin_snapshot(begun.tick, begun.epoch, begun.kept)

    def complete(self, complete: CompleteSnapshot, done: Callable[[str], None]) -> None:
        """Make the journal durable, then write constants and manifest beside the work of the directory."""
        self.journal.commit()
        aside, self._aside = self._aside, None
        assert aside is not None

        def finish() -> None:
            line = ""
            try:
                snapshot.write_constants(aside, self.constants)
                manifest = self._manifest(complete)
                papers = snapshot_record(manifest, aside) if complete.kept else ""
                self.store.complete(aside, manifest)
                if papers:
                    self._finished.put((complete.tick, papers))
            except UmweltError as error:
                line = str(error)
            except OSError as error:
                line = f"{aside}: {error.strerror or error}"
            if line:
                with suppress(UmweltError, OSError):
                    self.store.abandon(aside)
            done(line)

        self._writer.submit(finish)

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

    def fetch(self, fetch: FetchPart, ask: Callable[[FileRequest], None], done: Callable[[], None]) -> None:
        """Fetch a part's files into the snapshot that is being written."""
        if self._aside is None:
            return
        part = f"part-{fetch.rectangle[0]}-{fetch.rectangle[1]}"
        try:
            receiver = snapshot_transfer.Receiver(self._aside / part, list(fetch.files))
        except (ValueError, OSError):
            return
        name = f"{self._aside.name}/{part}"
        self._fetching[name] = Fetching(receiver, name, fetch.sender, ask, done)

    def fetched(self, sender: Any, chunk: FileChunk, raw: Sequence[Any]) -> None:
        """A piece of a file came."""
        fetching = self._fetching.get(chunk.snapshot)
        if fetching is None or sender != fetching.sender or len(raw) != 1:
            return
        with suppress(ValueError, OSError):
            if fetching.receiver.take(snapshot_transfer.Chunk(chunk.name, chunk.offset, bytes(raw[0]), False)):
                del self._fetching[chunk.snapshot]
                fetching.done()
                return
            fetching.heard_s = self._now_s
            fetching.awaited.discard((chunk.name, chunk.offset))
            if not fetching.awaited:
                self._ask(fetching)

    def answer(self, ask: FileRequest) -> tuple[FileChunk, list[Any]] | None:
        """A piece of a file of a complete snapshot, or the list of its files."""
        entry = Entry.parse(ask.snapshot)
        if entry is None:
            return None
        folder = self.store.path(*entry)
        try:
            if not ask.name:
                return FileChunk(ask.snapshot, "", 0, snapshot_transfer.list_files(folder)), []
            chunk = snapshot_transfer.read_chunk(folder, ask.name, ask.offset)
            return FileChunk(ask.snapshot, ask.name, ask.offset), [chunk.data]
        except (ValueError, OSError):
            return None

    def turn(self, now_s: float) -> None:
        """Commit now and then; tell the ledger of snapshots; ask for what has not come."""
        self._enter_snapshots()
        if now_s - self._committed_s > COMMIT_EVERY_S:
            self._committed_s = now_s
            self.journal.commit()
        self._now_s = now_s
        for fetching in self._fetching.values():
            # as long as something comes nothing is asked for again: on a slow line it is under way
            if now_s - fetching.heard_s > ASK_AGAIN_S:
                self._ask(fetching)

    def _ask(self, fetching: Fetching) -> None:
        fetching.heard_s = self._now_s
        fetching.awaited = set(fetching.receiver.batch())
        for name, offset in sorted(fetching.awaited):
            fetching.ask(FileRequest(fetching.snapshot, name, offset))

    def _enter_snapshots(self) -> None:
        if self._finished.empty():
            return
        while not self._finished.empty():
            self.journal.chain.enter_snapshot(*self._finished.get())
        self.journal.chain.enter_head(self._secret)

    def close(self) -> None:
        """End: what was entered is durable, and signed."""
        self._writer.shutdown()
        try:
            self._enter_snapshots()
            self.journal.chain.enter_head(self._secret)
        finally:
            self.journal.close()


def newest_good(
    store: Store, world: WorldFile, last_tick: int | None = None
) -> tuple[Entry, snapshot.Manifest, list[str]]:
    """The newest snapshot that is whole, read part by part; and a line for each one passed over."""
    passed = [f"{path}: unfinished: skipped" for path in store.unfinished()]
    layout = world.laws.layout(world)
    for entry in store.entries(last_tick):
        path = store.path(*entry)
        try:
            manifest = store.manifest(entry)
            snapshot.load_constants(path, manifest)
            for part in manifest.parts:
                snapshot.load_parts(path, manifest, Rectangle(*part["rectangle"]), torus_of(world), layout)
            return entry, manifest, passed
        except SnapshotError as error:
            passed.append(f"{error}: skipped")
    raise store.no_snapshot_error(passed)

"""Snapshots as a node sees them: its rectangle is loaded from parts, and its own part is written beside the work."""

import errno
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from umwelt.agents.open_world import torus_of
from umwelt.agents.world_file import WorldFile
from umwelt.cluster.node.driver import ShardContents
from umwelt.cluster.run import snapshot_transfer
from umwelt.cluster.run.store import Entry
from umwelt.cluster.shard import Shard
from umwelt.cluster.wire.protocol import Assignment, FileChunk, FileRequest, SnapshotPart
from umwelt.sandbox import snapshot
from umwelt.sandbox.controls import Controls
from umwelt.sandbox.errors import SnapshotError
from umwelt.sandbox.region import Rectangle

FULL = (errno.ENOSPC, errno.EDQUOT)
ASK_AGAIN_S = 1.0
GIVE_UP_S = 20.0

Carry = Callable[[Sequence[FileRequest], Callable[[FileChunk, list[Any]], None], int, float], None]
"""Send questions for files, and hand over so many answers that come within a time; other messages wait meanwhile."""


class SnapshotFolder:
    """See `host.NodeStorage`. `carry` is how files come from a directory on another host."""

    def __init__(self, where: snapshot_transfer.SnapshotTransfer, carry: Carry | None = None):
        self.depot, self._carry = where, carry
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="umwelt-part")
        self._written = ""
        """What was written last: the directory takes one snapshot at a time, so what is older is fetched no more."""

    def load(self, world: WorldFile, assign: Assignment, alive: Callable[[], None]) -> ShardContents:
        """The parts of a snapshot that the node's rectangle touches."""
        rectangle = Rectangle(*assign.members[assign.which].rectangle)
        if isinstance(self.depot, snapshot_transfer.MessageTransfer):
            self._receive(self.depot, assign.snapshot, rectangle, alive)
        path = self.depot.fetch(assign.snapshot, rectangle)
        manifest = snapshot.read_manifest(path)
        if manifest.tick != assign.tick:
            raise SnapshotError(f"{path}: its manifest says tick {manifest.tick}, not {assign.tick}")
        alive()
        constants = snapshot.load_constants(path, manifest)
        pieces = snapshot.load_parts(path, manifest, rectangle, torus_of(world), world.laws.layout(world))
        alive()
        self.depot.discard(assign.snapshot)
        return ShardContents(pieces, constants, Controls.from_json(manifest.controls))

    def keep(self, epoch: int, tick: int, kept: bool, portion: Shard, done: Callable[[SnapshotPart], None]) -> None:
        """Copy the portion, and write the copy in a thread of its own."""
        began_s = time.thread_time()
        region, entry = portion.region, Entry(tick, kept)
        piece, digest, controls = region.cut(region.owned), portion.digest, region.controls.to_json()
        cost_s = time.thread_time() - began_s

        def write() -> None:
            # a folder that is gone means that nobody wants the part any more; a part that is there was wanted twice
            try:
                began_s = time.thread_time()
                if self._written not in ("", entry.unfinished_name(epoch)):
                    self.depot.discard(self._written)
                self._written = entry.unfinished_name(epoch)
                folder = self.depot.part_folder(self._written)
                part = snapshot.write_part(folder, piece, region.torus, digest, compressed=kept)
                files = self.depot.submit_part(entry.unfinished_name(epoch), part["folder"])
                done(SnapshotPart(tick, kept, part, controls, cost_s + time.thread_time() - began_s, files))
            except (FileNotFoundError, FileExistsError, SnapshotError):
                return
            except OSError as error:
                why = "the disk is full: make room" if error.errno in FULL else str(error.strerror or error)
                done(
                    SnapshotPart(
                        tick, kept, {}, {}, cost_s, [], f"the snapshot of tick {tick:,} cannot be written: {why}"
                    )
                )

        self._writer.submit(write)

    def answer(self, ask: FileRequest) -> tuple[FileChunk, list[Any]] | None:
        """A piece of a file that we have written and the directory fetches."""
        aside, _, part = ask.snapshot.partition("/")
        try:
            chunk = snapshot_transfer.read_chunk(
                self.depot.part_folder(aside) / snapshot_transfer.check_name(part), ask.name, ask.offset
            )
            return FileChunk(ask.snapshot, ask.name, ask.offset), [chunk.data]
        except (ValueError, OSError):
            return None

    def _receive(
        self, carried: snapshot_transfer.MessageTransfer, name: str, rectangle: Rectangle, alive: Callable[[], None]
    ) -> None:
        """Ask the directory for the files of a snapshot: its list first, then its manifest, then what we need of it."""
        assert self._carry is not None
        listed: dict[str, int] = {}

        def take_list(chunk: FileChunk, raw: list[Any]) -> None:
            if chunk.snapshot == name and not chunk.name:
                listed.update(chunk.files)

        self._until(lambda: bool(listed), lambda: [FileRequest(name, "", 0)], take_list, alive)
        room = carried.receive_folder(name)
        room.mkdir()
        head = {file: listed[file] for file in (snapshot.MANIFEST,) if file in listed}
        self._files(snapshot_transfer.Receiver(room / "head", list(head.items())), name, alive)
        manifest = snapshot.read_manifest(room / "head")
        wanted = snapshot_transfer.needed_names(manifest, rectangle)
        inside = [(f, size) for f, size in listed.items() if any(f == w or f.startswith(f"{w}/") for w in wanted)]
        (room / "head" / snapshot.MANIFEST).unlink()
        (room / "head").rmdir()
        room.rmdir()
        self._files(snapshot_transfer.Receiver(carried.receive_folder(name), inside), name, alive)

    def _files(self, receiver: snapshot_transfer.Receiver, name: str, alive: Callable[[], None]) -> None:
        def take(chunk: FileChunk, raw: list[Any]) -> None:
            if chunk.snapshot == name and chunk.name and len(raw) == 1:
                with suppress(ValueError):
                    receiver.take(snapshot_transfer.Chunk(chunk.name, chunk.offset, bytes(raw[0]), False))

        def missing() -> list[FileRequest]:
            return [FileRequest(name, file, offset) for file, offset in receiver.batch()]

        self._until(lambda: receiver.complete, missing, take, alive)

    def _until(
        self,
        complete: Callable[[], bool],
        missing: Callable[[], list[FileRequest]],
        take: Callable[[FileChunk, list[Any]], None],
        alive: Callable[[], None],
    ) -> None:
        assert self._carry is not None
        last_s = time.monotonic()
        came = 0

        def counted(chunk: FileChunk, raw: list[Any]) -> None:
            nonlocal came
            take(chunk, raw)
            came += 1

        while not complete():
            asks, came, before = missing(), 0, -1
            # as long as something comes nothing is asked for again: on a slow line it is under way
            while before < came < len(asks):
                before = came
                self._carry(asks if came == 0 else [], counted, len(asks) - came, ASK_AGAIN_S)
                alive()
            if came:
                last_s = time.monotonic()
            if time.monotonic() - last_s > GIVE_UP_S:
                raise SnapshotError("the snapshot's files do not come from the directory's host")

"""Storage of a node: loads its rectangle from a snapshot, and writes its part of new snapshots in the background.

A snapshot consists of a *part* from each node, the *constants* (read-only arrays of the world), and the *manifest*,
which describes them. The parts need not be of the rectangles into which the torus is divided when they are loaded.

A *shard* is the rectangle of the torus that a node computes.
"""

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
from umwelt.cluster.settings import FILE_REQUEST_RETRY_S
from umwelt.cluster.shard import Shard
from umwelt.cluster.wire.protocol import Assignment, FileChunk, FileRequest, SnapshotPart
from umwelt.sandbox import snapshot
from umwelt.sandbox.controls import Controls
from umwelt.sandbox.errors import SnapshotError
from umwelt.sandbox.region import Rectangle

DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
GIVE_UP_S = 20.0
"""Time without any received chunk after which loading a snapshot fails."""

RequestFiles = Callable[[Sequence[FileRequest], Callable[[FileChunk, list[Any]], None], int, float], None]
"""Type of `request_files(requests, take, max_count, within_s)`.

The function sends `requests` to the coordinator and passes up to `max_count` chunks, received within `within_s`
seconds, to `take`. Other messages are deferred meanwhile.
"""


class SnapshotFolder:
    """Access to the snapshots of a run from a node; implements `NodeStorage`. Owned by the node's process.

    `depot` transfers the files: through the run's folder, a remote store, or messages to and from the coordinator. Only
    the last of these (`MessageTransfer`) needs `request_files`.
    """

    def __init__(self, depot: snapshot_transfer.SnapshotTransfer, request_files: RequestFiles | None = None):
        self.depot, self._request_files = depot, request_files
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="umwelt-part")
        self._last_written = ""
        """Name of the snapshot that was last written to.

        Snapshots are taken one at a time, so the files of an older snapshot are not needed any more.
        """

    def load(self, world: WorldFile, assignment: Assignment, heartbeat: Callable[[], None]) -> ShardContents:
        """Returns the contents of the node's rectangle, read from the parts of the snapshot that overlap it.

        Calls `heartbeat` repeatedly. Raises SnapshotError if the snapshot is damaged, does not arrive, or is of another
        tick than the assignment says.
        """
        rectangle = Rectangle(*assignment.members[assignment.which].rectangle)
        if isinstance(self.depot, snapshot_transfer.MessageTransfer):
            self._receive(self.depot, assignment.snapshot, rectangle, heartbeat)
        path = self.depot.fetch(assignment.snapshot, rectangle)
        manifest = snapshot.read_manifest(path)
        if manifest.tick != assignment.tick:
            raise SnapshotError(
                f"{path}: its manifest says tick {manifest.tick}, not {assignment.tick}: remove this damaged snapshot "
                "and resume the run"
            )
        heartbeat()
        constants = snapshot.load_constants(path, manifest)
        pieces = snapshot.load_parts(path, manifest, rectangle, torus_of(world), world.laws.layout(world))
        heartbeat()
        self.depot.discard(assignment.snapshot)
        return ShardContents(pieces, constants, Controls.from_json(manifest.controls))

    def write_part(self, epoch: int, tick: int, kept: bool, shard: Shard, done: Callable[[SnapshotPart], None]) -> None:
        """Copies the shard's owned cells and beings, and writes the copy in another thread.

        That thread calls `done` with the report for the coordinator, which says whether the part was written. It does
        not call `done` if the snapshot was abandoned meanwhile, or the part exists already.
        """
        start_s = time.thread_time()
        region, entry = shard.region, Entry(tick, kept)
        piece, digest, controls = region.cut(region.owned), shard.digest, region.controls.to_json()
        copy_s = time.thread_time() - start_s

        def write() -> None:
            # a missing folder means that the snapshot was abandoned; an existing part, that it was requested twice
            try:
                start_s = time.thread_time()
                name = entry.unfinished_name(epoch)
                if self._last_written not in ("", name):
                    self.depot.discard(self._last_written)
                self._last_written = name
                part = snapshot.write_part(self.depot.part_folder(name), piece, region.torus, digest, compressed=kept)
                files = self.depot.submit_part(name, part["folder"])
                done(SnapshotPart(tick, kept, part, controls, copy_s + time.thread_time() - start_s, files))
            except (FileNotFoundError, FileExistsError, SnapshotError):
                return
            except OSError as error:
                why = "the disk is full: make room" if error.errno in DISK_FULL else str(error.strerror or error)
                line = f"the snapshot of tick {tick:,} cannot be written: {why}"
                done(SnapshotPart(tick, kept, {}, {}, copy_s, [], line))

        self._writer.submit(write)

    def read_chunk(self, request: FileRequest) -> tuple[FileChunk, list[Any]] | None:
        """Returns a chunk of a file of a snapshot part that this node has written: a message, and the data as raw
        frame.

        Returns None if there is no such file.
        """
        aside, _, part = request.snapshot.partition("/")
        try:
            folder = self.depot.part_folder(aside) / snapshot_transfer.check_name(part)
            chunk = snapshot_transfer.read_chunk(folder, request.name, request.offset)
            return FileChunk(request.snapshot, request.name, request.offset), [chunk.data]
        except (ValueError, OSError):
            return None

    # --- receiving files in messages

    def _receive(
        self, carried: snapshot_transfer.MessageTransfer, name: str, rectangle: Rectangle, heartbeat: Callable[[], None]
    ) -> None:
        """Receives the files of snapshot `name` that are needed to load `rectangle` from the coordinator.

        The files are stored in the receive folder of `carried`. Requests the list of files first, then the manifest,
        then the parts that overlap the rectangle.
        """
        sizes: dict[str, int] = {}

        def take_list(chunk: FileChunk, raw: list[Any]) -> None:
            if chunk.snapshot == name and not chunk.name:
                sizes.update(chunk.files)

        self._receive_until(lambda: bool(sizes), lambda: [FileRequest(name, "", 0)], take_list, heartbeat)
        room = carried.receive_folder(name)
        room.mkdir()
        head = {file: sizes[file] for file in (snapshot.MANIFEST,) if file in sizes}
        self._receive_files(snapshot_transfer.Receiver(room / "head", list(head.items())), name, heartbeat)
        manifest = snapshot.read_manifest(room / "head")
        needed = snapshot_transfer.needed_names(manifest, rectangle)
        files = [(f, size) for f, size in sizes.items() if any(f == n or f.startswith(f"{n}/") for n in needed)]
        (room / "head" / snapshot.MANIFEST).unlink()
        (room / "head").rmdir()
        room.rmdir()
        self._receive_files(snapshot_transfer.Receiver(carried.receive_folder(name), files), name, heartbeat)

    def _receive_files(self, receiver: snapshot_transfer.Receiver, name: str, heartbeat: Callable[[], None]) -> None:
        """Requests chunks of snapshot `name` from the coordinator until `receiver` has all its files."""

        def take(chunk: FileChunk, raw: list[Any]) -> None:
            if chunk.snapshot == name and chunk.name and len(raw) == 1:
                with suppress(ValueError):
                    receiver.take(snapshot_transfer.Chunk(chunk.name, chunk.offset, bytes(raw[0]), False))

        def missing() -> list[FileRequest]:
            return [FileRequest(name, file, offset) for file, offset in receiver.batch()]

        self._receive_until(lambda: receiver.complete, missing, take, heartbeat)

    def _receive_until(
        self,
        complete: Callable[[], bool],
        missing: Callable[[], list[FileRequest]],
        take: Callable[[FileChunk, list[Any]], None],
        heartbeat: Callable[[], None],
    ) -> None:
        """Sends the requests that `missing` returns and passes received chunks to `take`, until `complete()` is true.

        Raises SnapshotError if no chunk is received for `GIVE_UP_S` seconds.
        """
        assert self._request_files is not None
        last_s = time.monotonic()
        count = 0

        def take_and_count(chunk: FileChunk, raw: list[Any]) -> None:
            nonlocal count
            take(chunk, raw)
            count += 1

        while not complete():
            requests, count, before = missing(), 0, -1
            # nothing is requested again while chunks arrive: on a slow connection the others are still in transit
            while before < count < len(requests):
                before = count
                self._request_files(
                    requests if count == 0 else [], take_and_count, len(requests) - count, FILE_REQUEST_RETRY_S
                )
                heartbeat()
            if count:
                last_s = time.monotonic()
            if time.monotonic() - last_s > GIVE_UP_S:
                raise SnapshotError(
                    "the snapshot's files do not arrive from the coordinator's host: see that it can be reached"
                )

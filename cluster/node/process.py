"""The process of a node: machine, portion of the world and transport.

python -m umwelt.cluster.node.process SETTINGS      (umwelt launch and umwelt join start it)
"""

import os
import secrets
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from umwelt.agents.open_world import torus_of, try_small_world
from umwelt.agents.world_file import WorldFile, parse_world
from umwelt.cluster.events import WorldPrepared
from umwelt.cluster.fingerprint import seals_of
from umwelt.cluster.node.driver import NodeDriver
from umwelt.cluster.node.machine import NodeMachine
from umwelt.cluster.node.queries import QueryServer
from umwelt.cluster.node.snapshots import SnapshotFolder
from umwelt.cluster.node.tile_publisher import TilePublisher
from umwelt.cluster.process import StopSignal, read_settings, report_errors, resident_bytes
from umwelt.cluster.run import snapshot_transfer
from umwelt.cluster.tasks.node_worker import NodeWorker
from umwelt.cluster.wire.keys import Keys
from umwelt.cluster.wire.protocol import (
    PROTOCOL_VERSION,
    CancelTasks,
    FileChunk,
    FileRequest,
    QueryRequest,
    Welcome,
    encode,
)
from umwelt.cluster.wire.transport import Incoming, ZmqTransport
from umwelt.sandbox import audit
from umwelt.sandbox.kernel import crew
from umwelt.sandbox.region import Torus

IDLE_S = 0.02
ORPHAN_S = 25.0
"""How long an orphaned node waits for the directory to save; longer than that takes (seat.py)."""


class NodeSettings(msgspec.Struct):
    """What a node is started with. `bind` is where its doors open, with `*` for any free port or name."""

    directory: str
    bind: str
    name: str = ""
    keys: str = ""
    follow_parent: bool = True
    shares_nothing: bool = False
    """Pretend that the run's folder cannot be seen from here."""


class NodeProcess:
    """A node that lives in this process until it is let go."""

    def __init__(self, settings: NodeSettings):
        self.settings = settings
        keys = Keys.load(Path(settings.keys), "node") if settings.keys else None
        self.transport = ZmqTransport(b"", bind=place_for(settings.bind, "door"), keys=keys, role="node")
        self.publisher = TilePublisher(place_for(settings.bind, "tiles"), keys)
        self.answers = QueryServer(self.publisher, self.transport.send, NodeWorker(wake=self.transport.wake))
        self._world: WorldFile | None = None
        self._temporary = tempfile.TemporaryDirectory(prefix="umwelt-node-")
        self.machine = NodeMachine(
            settings.directory,
            self.transport.address,
            self.publisher.address,
            socket.gethostname(),
            os.getpid(),
            crew.count,
            PROTOCOL_VERSION,
            lambda: secrets.token_hex(16),
            self._torus_and_reach,
            settings.name,
        )
        self.shelf = SnapshotFolder(snapshot_transfer.MessageTransfer(Path(self._temporary.name)), self._carry)
        self.host = NodeDriver(
            self.machine, self.transport, self.shelf, time.monotonic, self._prepare, resident_bytes, self._extra
        )

    def _torus_and_reach(self) -> tuple[Torus, int]:
        assert self._world is not None
        return torus_of(self._world), self._world.laws.light_speed

    def _prepare(self, welcome: Welcome) -> tuple[WorldFile, WorldPrepared]:
        """Read the world, compile its laws on a small piece of it, and see whether we share the run's folder."""
        self._world = world = parse_world(welcome.world_text, welcome.world_name, welcome.world_name)
        audit.digest(try_small_world(world, ticks=1))
        folder = Path(welcome.folder)
        shares = not self.settings.shares_nothing and snapshot_transfer.has_token(folder, welcome.token)
        if welcome.url:
            self.shelf.depot = snapshot_transfer.UrlTransfer(welcome.url, Path(self._temporary.name))
        elif shares:
            self.shelf.depot = snapshot_transfer.SharedFolderTransfer(folder)
        return world, WorldPrepared(seals_of(world), shares)

    def _extra(self, incoming: Incoming, message: Any, raw: list[Any]) -> bool:
        """What is neither of the directory nor of a neighbour: questions for files, and for what lives here."""
        if isinstance(message, FileRequest):
            # files are the directory's to ask for, on our line to it
            known = incoming.on_line and incoming.sender == self.settings.directory.encode()
            answer = self.shelf.answer(message) if known else None
            if answer is not None:
                self.transport.send(self.settings.directory, encode(*answer))
            return True
        if isinstance(message, QueryRequest | CancelTasks):
            self.answers.hear(incoming.sender, message, self.machine, self.host.portion)
            return True
        return isinstance(message, FileChunk)

    def _carry(
        self, asks: Sequence[FileRequest], take: Callable[[FileChunk, list[Any]], None], most: int, within_s: float
    ) -> None:
        """Ask the directory for pieces of files, and wait for them a little."""
        for ask in asks:
            self.transport.send(self.settings.directory, encode(ask))
        self.host.wait_for(FileChunk, take, most, within_s)

    def live(self) -> int:
        """Until the node is let go; gives the exit code."""
        ending = StopSignal(self.settings.follow_parent)
        left = False
        orphaned_s = 0.0
        threads = 0
        while self.host.ended is None:
            self.host.turn(IDLE_S)
            held = self.machine.holding
            if held is not None and held.assign.threads != threads:
                threads = held.assign.threads
                crew.resize(threads)
            if self.host.portion is not None and held is not None and held.loaded:
                self.publisher.turn(self.host.portion, held.assign.epoch)
                self.answers.turn(self.host.portion, held.assign.epoch)
            else:
                self.answers.turn(None, -1)
            if ending.orphaned:  # the directory, an orphan like us, saves the world and lets us go
                orphaned_s = orphaned_s or time.monotonic()
                if time.monotonic() - orphaned_s > ORPHAN_S:
                    self.answers.close()
                    return 0
            if ending.asked and not left:
                left = True
                self.host.leave()
        end = self.host.ended
        self.answers.close()
        self.publisher.close()
        self.transport.close()
        self._temporary.cleanup()
        if end.line:
            print(f"umwelt: {end.line}", file=sys.stderr, flush=True)
        return 2 if end.refused else 0


def place_for(bind: str, what: str) -> str:
    """A free endpoint for one of our doors: any port, or a name of its own in a folder."""
    return bind.replace("*", f"{what}-{secrets.token_hex(4)}") if bind.startswith("ipc://") else bind


def main() -> None:
    """The process' entry."""
    with report_errors("node"):
        process = NodeProcess(read_settings(NodeSettings))
        sys.exit(process.live())


if __name__ == "__main__":
    main()

"""The process of a node: runs its state machine and driver, publishes tiles, answers queries and runs tasks.

python -m umwelt.cluster.node.process SETTINGS      (started by umwelt launch and umwelt join)

A *shard* is the rectangle of the torus that a node computes; an *epoch* is the number of a division of the torus among
the nodes.
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

from umwelt.agents.open_world import torus_of, try_small_world
from umwelt.agents.world_file import WorldFile, parse_world
from umwelt.cluster.events import WorldPrepared
from umwelt.cluster.fingerprint import seals_of
from umwelt.cluster.node.driver import NodeDriver
from umwelt.cluster.node.machine import NodeMachine
from umwelt.cluster.node.membership import NodeProfile
from umwelt.cluster.node.queries import QueryServer
from umwelt.cluster.node.snapshots import SnapshotFolder
from umwelt.cluster.node.tile_publisher import TilePublisher
from umwelt.cluster.process import StopSignal, read_settings, report_errors, resident_bytes
from umwelt.cluster.run import snapshot_transfer
from umwelt.cluster.settings import NODE_ORPHAN_S, NodeSettings
from umwelt.cluster.tasks.node_worker import NodeWorker
from umwelt.cluster.wire.keys import Keys
from umwelt.cluster.wire.messages import Message
from umwelt.cluster.wire.protocol import CancelTasks, FileChunk, FileRequest, QueryRequest, Welcome, encode
from umwelt.cluster.wire.transport import Incoming, ZmqTransport
from umwelt.sandbox import audit
from umwelt.sandbox.kernel import crew
from umwelt.sandbox.region import Torus

IDLE_S = 0.02
NO_SHARD = (-1, False)
"""State (epoch, loaded) of a node without a shard."""


class NodeProcess:
    """A node that runs in this process. Created by `main` or by `umwelt join`; `run` returns when the node has left.

    `report` is called with a line of text for the user at every change of the node's state.
    """

    def __init__(self, settings: NodeSettings, report: Callable[[str], None] = lambda line: None):
        self.settings = settings
        self._report = report
        self._reported: tuple[int, bool] = NO_SHARD
        keys = Keys.load(Path(settings.keys), "node") if settings.keys else None
        self.transport = ZmqTransport(b"", bind=unique_endpoint(settings.bind, "node"), keys=keys, role="node")
        self.publisher = TilePublisher(unique_endpoint(settings.bind, "tiles"), keys)
        self.queries = QueryServer(self.publisher, self.transport.send, NodeWorker(wake=self.transport.wake))
        self._world: WorldFile | None = None
        self._temporary = tempfile.TemporaryDirectory(prefix="umwelt-node-")
        address, tiles_address = self.transport.address, self.publisher.address
        profile = NodeProfile(address, tiles_address, socket.gethostname(), os.getpid(), crew.count)
        self.machine = NodeMachine(
            settings.coordinator, profile, lambda: secrets.token_hex(16), self._torus_and_reach, settings.name
        )
        self.storage = SnapshotFolder(
            snapshot_transfer.MessageTransfer(Path(self._temporary.name)), self._request_files
        )
        self.driver = NodeDriver(
            self.machine,
            self.transport,
            self.storage,
            time.monotonic,
            self._prepare,
            resident_bytes,
            self._handle_other,
        )

    def run(self) -> int:
        """Runs until the node has left; returns the exit status."""
        signal = StopSignal(self.settings.follow_parent)
        leaving = False
        orphaned_s: float | None = None
        while self.driver.ended is None:
            self.driver.poll(IDLE_S)
            self._report_changes()
            self._serve()
            if signal.orphaned:  # the coordinator's launcher has ended too: it saves the world, then sends `Stop`
                orphaned_s = orphaned_s or time.monotonic()
                if time.monotonic() - orphaned_s > NODE_ORPHAN_S:
                    break
            if signal.asked and not leaving:
                leaving = True
                self.driver.leave()
        self.close()
        end = self.driver.ended
        if end is not None and not end.line:
            self._report("left; the world runs on without this node, or has stopped")
        elif end is not None:
            print(f"umwelt: {end.line}", file=sys.stderr, flush=True)
        return 2 if end is not None and end.refused else 0

    def close(self) -> None:
        """Ends running tasks, closes the sockets and removes temporary files."""
        self.queries.close()
        self.publisher.close()
        self.transport.close()
        self._temporary.cleanup()

    def _report_changes(self) -> None:
        """Calls `report` if the node was assigned a shard, has loaded it, or has lost it since the last call."""
        assigned = self.machine.assigned
        state = NO_SHARD if assigned is None else (assigned.assignment.epoch, assigned.loaded)
        if state == self._reported:
            return
        epoch_before, self._reported = self._reported[0], state
        if assigned is None:
            self._report("its cells were given to other nodes")
            return
        assignment = assigned.assignment
        if assigned.loaded:
            member, others = assignment.members[assignment.which], len(assignment.members) - 1
            y, x, height, width = member.rectangle
            self._report(
                f"{member.name}: holds {width} × {height} cells at {x},{y} since tick {assignment.tick:,}, "
                f"beside {others} other{'s' if others != 1 else ''}"
            )
        elif epoch_before != state[0]:
            self._report(f"loading its part from the snapshot of tick {assignment.tick:,}")

    def _serve(self) -> None:
        """Publishes tiles and answers queries. Called between two ticks."""
        assigned = self.machine.assigned
        if assigned is not None and assigned.assignment.threads != crew.count:
            crew.resize(assigned.assignment.threads)
        if self.driver.shard is not None and assigned is not None and assigned.loaded:
            self.publisher.poll(self.driver.shard, assigned.assignment.epoch)
            self.queries.poll(self.driver.shard, assigned.assignment.epoch)
        else:
            self.queries.poll(None, -1)

    def _torus_and_reach(self) -> tuple[Torus, int]:
        """Returns the size of the prepared world, and how many cells an effect of its laws can travel in one tick."""
        assert self._world is not None, "a shard is assigned after the world is prepared"
        return torus_of(self._world), self._world.laws.light_speed

    def _prepare(self, welcome: Welcome) -> tuple[WorldFile, WorldPrepared]:
        """Reads the world, compiles its laws by running a small world, and selects how snapshots are transferred.

        Returns the world, and the event for the state machine, with the hashes that the coordinator compares.
        """
        self._report(f"{welcome.world_name}: reading the world and compiling its laws")
        self._world = world = parse_world(welcome.world_text, welcome.world_name, welcome.world_name)
        audit.digest(try_small_world(world, ticks=1))
        folder = Path(welcome.folder)
        shares_folder = not self.settings.shares_nothing and snapshot_transfer.has_token(folder, welcome.token)
        if welcome.url:
            self.storage.depot = snapshot_transfer.UrlTransfer(welcome.url, Path(self._temporary.name))
        elif shares_folder:
            self.storage.depot = snapshot_transfer.SharedFolderTransfer(folder)
        prepared = WorldPrepared(seals_of(world), shares_folder)
        self._report("ready; waiting for a part of the world")
        return world, prepared

    def _handle_other(self, incoming: Incoming, message: Message, raw: list[Any]) -> bool:
        """Handles messages that the state machine does not: file requests, queries and tasks.

        Returns False for all other messages.
        """
        match message:
            case FileRequest():
                # only the coordinator may read files, and only on the connection that this node opened to it
                trusted = incoming.on_own_connection and incoming.sender == self.settings.coordinator.encode()
                answer = self.storage.read_chunk(message) if trusted else None
                if answer is not None:
                    self.transport.send(self.settings.coordinator, encode(*answer))
            case QueryRequest() | CancelTasks():
                self.queries.receive(incoming.sender, message, self.machine, self.driver.shard)
            case FileChunk():
                pass  # arrived too late: `_request_files` receives the chunks that are still needed
            case _:
                return False
        return True

    def _request_files(
        self,
        requests: Sequence[FileRequest],
        take: Callable[[FileChunk, list[Any]], None],
        max_count: int,
        within_s: float,
    ) -> None:
        """Requests chunks of files from the coordinator and passes those received within `within_s` seconds to `take`.

        Returns after at most `max_count` chunks.
        """
        for request in requests:
            self.transport.send(self.settings.coordinator, encode(request))
        self.driver.wait_for(FileChunk, take, max_count, within_s)


def unique_endpoint(bind: str, name: str) -> str:
    """Returns the address that one of a node's sockets binds.

    In an `ipc://` address, the `*` is replaced by `name` and a random suffix; other addresses are returned unchanged.
    """
    return bind.replace("*", f"{name}-{secrets.token_hex(4)}") if bind.startswith("ipc://") else bind


def main() -> None:
    """Runs a node with the settings on the command line; exits with its status."""
    with report_errors("node"):
        sys.exit(NodeProcess(read_settings(NodeSettings)).run())


if __name__ == "__main__":
    main()

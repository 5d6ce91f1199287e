"""A whole cluster in one thread, for tests: coordinator, nodes, tile publishers and gateway over real sockets.

    with LocalCluster(world, nodes=3) as cluster, connect(cluster.address) as world:
        ...

Journal and snapshots are in memory, as in `simulation.py`; messages go over ZeroMQ sockets as between real processes.
"""

import itertools
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from sharded_regions import golden_world
from simulation import Disk, MemorySnapshots, MemoryStorage, UndividedWorld
from waiting import WITHIN_S, wait_until

from umwelt.agents.open_world import begin, generate_world, torus_of
from umwelt.agents.world_file import WorldFile
from umwelt.cluster.coordinator.driver import CoordinatorDriver
from umwelt.cluster.coordinator.machine import CoordinatorMachine
from umwelt.cluster.coordinator.state import RunOptions, RunState
from umwelt.cluster.events import WorldPrepared
from umwelt.cluster.gateway.process import DOOR_LIMITS
from umwelt.cluster.gateway.server import Gateway
from umwelt.cluster.launch.local import Engine, Plan
from umwelt.cluster.node.driver import NodeDriver
from umwelt.cluster.node.machine import NodeMachine
from umwelt.cluster.node.membership import NodeProfile
from umwelt.cluster.node.queries import QueryServer
from umwelt.cluster.node.tile_publisher import TilePublisher
from umwelt.cluster.partition import max_parts
from umwelt.cluster.run.store import Entry, Store
from umwelt.cluster.tasks.node_worker import NodeWorker
from umwelt.cluster.wire.keys import KEEPER, SPECTATOR, WORLD, Keys
from umwelt.cluster.wire.protocol import CancelTasks, QueryRequest, ScheduledCommand, Welcome
from umwelt.cluster.wire.transport import ZmqTransport
from umwelt.sandbox.controls import Controls
from umwelt.sandbox.region import Region

DEAD_AFTER_S = 1e9
"""Practically never: nodes must not count as dead while the cluster's thread is suspended or gets no processor time."""

TURN_S = 0.004
"""How long a pass of the thread waits for messages of viewers; the thread would otherwise keep a core busy."""

COMPILED_WITHIN_S = 300.0
"""The time limit for the first tick, in seconds; kernels may have to be compiled before it."""


class LocalCluster:
    """A cluster and the thread that runs it; `with` starts the thread and closes everything at its end.

    `keys` is a folder of keys (None: without encryption), `tick_s` the least time between two ticks, and `run` the
    folder of a run from which the gateway answers queries about the past. Only the cluster's thread may use the nodes,
    the coordinator and the gateway; `do` runs a function in that thread.
    """

    def __init__(
        self,
        world: WorldFile,
        nodes: int = 2,
        keys: Path | None = None,
        last_tick: int | None = None,
        tick_s: float = 0.0,
        bind: str = "",
        run: Path | None = None,
    ):
        self.world, self.tick_s, self.run_folder = world, tick_s, run
        self.folder = Path(tempfile.mkdtemp(prefix="umwelt-cluster-"))
        self.keys = {role: Keys.load(keys, role) if keys else None for role in ("world", "node")}
        self.bind = bind or f"ipc://{self.folder}/gateway"
        self.disk = Disk()
        zero = generate_world(world)
        self.disk.constants = zero.constants
        self.disk.snapshots[Entry(0, True).name] = {
            "entry": Entry(0, True),
            "pieces": [zero.cut(zero.owned)],
            "controls": Controls(),
            "births": 0,
            "deaths": 0,
        }
        self._numbers = itertools.count(1)
        self.options = RunOptions(
            nodes=nodes,
            last_tick=last_tick,
            ticks_per_exchange=1,
            max_parts=max_parts(torus_of(world)),
            mark_s=0.5,
            kept_s=1e9,
            new_pass=lambda: next(self._numbers).to_bytes(16, "big"),
            dead_after_s=DEAD_AFTER_S,
        )
        self.nodes: list[NodeDriver] = []
        self.publishers: dict[int, TilePublisher] = {}
        self.query_servers: dict[int, QueryServer] = {}
        self.open: list[Any] = []
        self.begin_coordinator()
        for _ in range(nodes):
            self.add_node()
        self.gateway: Gateway | None = None
        self.begin_gateway()
        self._resumed = threading.Event()
        self._resumed.set()
        self._undivided: UndividedWorld | None = None
        self._jobs: list[tuple[Callable[[], Any], list[Any], threading.Event]] = []
        self._ending = False
        self.failed: BaseException | None = None
        self._ticked_s = 0.0
        self._thread = threading.Thread(target=self._run, daemon=True)

    # --- coordinator, nodes and gateway

    def _transport(self, name: str, role: str, bind: str = "", **more: Any) -> ZmqTransport:
        """Opens a transport at the IPC socket `name`, or at `bind`, with the keys of a role; `close` closes it."""
        transport = ZmqTransport(b"", bind or f"ipc://{self.folder}/{name}", self.keys[role], role, **more)
        self.open.append(transport)
        return transport

    def begin_coordinator(self) -> None:
        """Start the coordinator with the state that `disk` holds; also used to start it again after it was killed."""
        torus, reach = torus_of(self.world), self.world.laws.light_speed
        newest, journalled = max(self.disk.snapshots.values(), key=lambda found: found["entry"]), self.disk.commands
        state = RunState(
            torus,
            reach,
            newest["entry"],
            newest["births"],
            newest["deaths"],
            self.disk.epoch,
            1 + max((command.number for _, command in journalled), default=0),
            max([1 + max(self.disk.digests, default=-1), *(command.tick for _, command in journalled)]),
            tuple(command for _, command in journalled if command.tick >= newest["entry"].tick),
            tuple((ticket, command.tick, command.number) for ticket, command in reversed(journalled)),
        )
        machine = CoordinatorMachine(state, self.options, Welcome("", self.world.name, "", ""), {"laws": "same"})
        self.coordinator_transport = self._transport("coordinator", "world")
        storage = MemoryStorage(self.world, self.disk)
        self.coordinator = CoordinatorDriver(machine, self.coordinator_transport, storage, time.monotonic)

    def restart_coordinator(self) -> None:
        """Kill the coordinator and start another one in its place."""
        self.coordinator_transport.close()
        self.open.remove(self.coordinator_transport)
        self.begin_coordinator()

    def add_node(self) -> None:
        """Start a node, which joins by itself."""
        number = next(self._numbers)
        transport = self._transport(f"node-{number}", "node")
        publisher = TilePublisher(f"ipc://{self.folder}/tiles-{number}", self.keys["node"])
        keys = itertools.count()
        machine = NodeMachine(
            f"ipc://{self.folder}/coordinator",
            NodeProfile(transport.address, publisher.address, "host", number, 1),
            lambda: f"key-{number}-{next(keys)}",
            lambda: (torus_of(self.world), self.world.laws.light_speed),
        )
        prepared = (self.world, WorldPrepared({"laws": "same"}, True))
        node: Any = NodeDriver(
            machine,
            transport,
            MemorySnapshots(self.disk),
            time.monotonic,
            lambda welcome: prepared,
            handle_other=lambda incoming, message, raw: self._handle_query(node, incoming, message),
        )
        self.nodes.append(node)
        self.publishers[id(node)] = publisher
        self.query_servers[id(node)] = QueryServer(publisher, transport.send, NodeWorker(f"node-{number}"))

    def _handle_query(self, node: NodeDriver, incoming: Any, message: Any) -> bool:
        """Passes queries and cancellations of tasks to the node's query server; returns False for other messages."""
        if not isinstance(message, QueryRequest | CancelTasks):
            return False
        if incoming.role in ("world", "keeper"):
            self.query_servers[id(node)].receive(incoming.sender, message, node.machine, node.shard)
        return True

    def begin_gateway(self) -> None:
        """Open the gateway."""
        self.lines = ZmqTransport(b"", None, self.keys["world"], WORLD)
        admitted = frozenset({KEEPER, SPECTATOR, WORLD})
        self.door = ZmqTransport(b"", self.bind, self.keys["world"], WORLD, admitted, DOOR_LIMITS)
        self.gateway = Gateway(
            self.world, self.door, self.lines, f"ipc://{self.folder}/coordinator", self.run_folder, self.keys["world"]
        )

    def end_gateway(self) -> None:
        """Kill the gateway."""
        assert self.gateway is not None
        self.gateway.close()
        self.lines.close()
        self.door.close()
        self.gateway = None

    @property
    def address(self) -> str:
        return self.door.address

    # --- the thread

    def _run(self) -> None:
        try:
            while not self._ending:
                self._resumed.wait()
                self.poll()
                while self._jobs:
                    job, result, done = self._jobs.pop(0)
                    try:
                        result.append(job())
                    except BaseException as error:
                        result.append(error)
                    done.set()
        except BaseException as error:
            self.failed = error

    def poll(self) -> None:
        """Give the coordinator, each node with its publisher and query server, and the gateway one turn."""
        self.coordinator.poll(0.0)
        now_s = time.monotonic()
        for node in list(self.nodes):
            before = node.shard.tick if node.shard is not None else -1
            if not self.tick_s or now_s - self._ticked_s >= self.tick_s:
                node.poll()
            else:
                node.listen(0.0)
            if node.shard is not None and node.shard.tick != before:
                self._stepped = True
            held = node.machine.assigned
            if node.shard is not None and held is not None and held.loaded:
                self.publishers[id(node)].poll(node.shard)
                self.query_servers[id(node)].poll(node.shard, held.assignment.epoch)
            if node.ended is not None:
                self.nodes.remove(node)
        if self.tick_s and now_s - self._ticked_s >= self.tick_s:
            self._ticked_s = now_s
        if self.gateway is not None:
            self.gateway.poll(TURN_S if self.tick_s else 0.001)

    def do(self, job: Callable[[], Any]) -> Any:
        """Run a function in the cluster's thread, between two turns; returns its result or raises its error."""
        if not self._thread.is_alive():
            return job()
        result: list[Any] = []
        done = threading.Event()
        self._jobs.append((job, result, done))
        assert self._resumed.is_set(), "the cluster is suspended"
        assert done.wait(2 * WITHIN_S), self.failed
        if isinstance(result[0], BaseException):
            raise result[0]
        return result[0]

    def __enter__(self) -> "LocalCluster":
        self._thread.start()
        wait_until(lambda: self.failed or self.tick() > 0, COMPILED_WITHIN_S)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        if kind is None and self.failed is not None:
            raise self.failed

    def close(self) -> None:
        """End the thread, and close all sockets."""
        self._ending = True
        self._resumed.set()
        if self._thread.is_alive():
            self._thread.join()
        if self.gateway is not None:
            self.end_gateway()
        for part in [*self.open, *self.publishers.values(), *self.query_servers.values()]:
            part.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def suspend(self) -> None:
        """Pause the thread, so that an unused cluster takes no processor time. Connections to the gateway are lost."""
        self._resumed.clear()

    def resume(self) -> None:
        """Continue the thread after `suspend`."""
        self._resumed.set()

    # --- results

    def tick(self) -> int:
        """Returns the tick that all nodes have reached."""
        return min((node.shard.tick for node in self.nodes if node.shard is not None), default=0)

    def undivided_region(self, tick: int) -> Region:
        """Returns the region of an undivided world at a tick, with the journalled commands applied.

        The next call may advance the same region.
        """
        return self._run_undivided(tick, list(self.disk.commands)).region

    def assert_undisturbed(self) -> None:
        """Assert that every journalled digest equals that of an undivided world with the same commands."""
        digests, journalled = self.do(lambda: (dict(self.disk.digests), list(self.disk.commands)))
        expected = self._run_undivided(max(digests), journalled).digests
        assert digests == {tick: expected[tick] for tick in digests} and max(digests) > 8

    def _run_undivided(self, tick: int, journalled: list[tuple[str, ScheduledCommand]]) -> UndividedWorld:
        due = [command for _, command in journalled]
        known = self._undivided
        # an earlier comparison can only be continued if all commands of its ticks were already journalled then
        if known is None or known.tick > tick or known.command_count != sum(one.tick < known.tick for one in due):
            known = self._undivided = UndividedWorld(self.world)
        known.run_to(tick, due)
        return known


@contextmanager
def process_cluster_run(folder: Path, nodes: int) -> Iterator[Engine]:
    """Starts a run of a small world in real processes; yields its engine, which a thread polls until the end."""
    source = golden_world(64, 64)
    store = Store.create("golden", source.text, folder)
    store.save(begin(source), source.text, "golden")
    engine, ending = Engine(store, Plan(nodes=nodes)), threading.Event()
    engine.start()

    def poll() -> None:
        while not ending.is_set() and not engine.finished:
            engine.poll(0.05)

    poller = threading.Thread(target=poll)
    poller.start()
    try:
        wait_until((folder / "gateway.json").exists, 2 * WITHIN_S)
        yield engine
    finally:
        ending.set()
        poller.join()
        engine.close()

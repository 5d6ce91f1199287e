"""Starts a world's processes on this machine, watches them, and starts those again that die.

    engine (in umwelt launch)  ->  seat (directory), gateway, nodes

`Line` is a plain line to the directory: reports come in, orders go out.
"""

import os
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from umwelt.agents.open_world import opened, tick_zero, torus_of
from umwelt.agents.world_file import WorldFile, parse_world
from umwelt.cluster.partition import max_parts
from umwelt.cluster.process import KEEP_MEMORY, announce, is_alive, read_announcement
from umwelt.cluster.run.journal import Journal, Metrics
from umwelt.cluster.run.remote_store import created_store
from umwelt.cluster.run.store import Store
from umwelt.cluster.run.verify import keep_ledger
from umwelt.cluster.settings import (
    CLUSTER_FILE,
    COORDINATOR_FILE,
    COORDINATOR_ORPHAN_S,
    GATEWAY_FILE,
    STATUS_SUBSCRIPTION_S,
    CoordinatorSettings,
    NodeSettings,
)
from umwelt.cluster.shard import check_species, measure_populations
from umwelt.cluster.wire.keys import WORLD, Keys
from umwelt.cluster.wire.protocol import Order, StatusReport, StatusSubscription, TicketResult, decode, encode
from umwelt.cluster.wire.transport import ZmqTransport, check_bind_address
from umwelt.sandbox import audit
from umwelt.sandbox.errors import RunError
from umwelt.sandbox.kernel import crew

LOGS = "logs"
START_S, CLOSE_S = 60.0, 5.0
GATHER_S = 30.0
"""How long nodes that we start may take to load and compile."""
REPLACE_AFTER_S = 3.0
"""A node that starts takes a core for seconds; those that are left need it first, to catch up."""
MAX_RESTARTS, RESTARTS_WITHIN_S, SHORT_LIFE_S = 5, 30.0, 4.0


def begin_run(world: WorldFile, folder: Path | None = None, checked: bool = False, url: str = "") -> Store:
    """A new run at tick 0: genesis, its snapshot, and the journal's first entry.

    Nothing is written before genesis has succeeded; failing later, it leaves nothing behind.
    """
    zero = tick_zero(world)
    if checked:
        check_species(world, opened(world, [zero.cut(zero.owned)], zero.constants, 0))
    store = created_store(world.name, world.text, folder, url)
    try:
        populations, substances = measure_populations(
            world, zero, list(world.laws.species(world)) if world.laws.species else []
        )
        journal = Journal(store.journal)
        try:
            journal.enter(Metrics(0, 0, 0, populations, substances), audit.digest(zero))
            journal.commit()
            store.save(zero, world.text, world.name)
            keep_ledger(store, journal)
        finally:
            journal.close()
    except BaseException:
        store.discard()
        raise
    return store


class Line:
    """To a directory: its reports, and orders to it. One thread's."""

    def __init__(self, address: str, keys: Keys | None = None):
        self.address = address
        self.report: StatusReport | None = None
        self.status: dict[str, Any] = {}
        self.settled: dict[str, TicketResult] = {}
        self._transport = ZmqTransport(b"", keys=keys, role=WORLD)
        self._attended_s = -1e9
        self._orders: dict[str, Order] = {}
        self._said_s = 0.0
        self._tickets = 0

    def turn(self, wait_s: float) -> bool:
        """Take in what came; gives whether there was a report."""
        now_s = time.monotonic()
        if now_s - self._attended_s > (STATUS_SUBSCRIPTION_S if self.report is not None else 0.1):
            self._attended_s = now_s
            self._transport.send(self.address, encode(StatusSubscription("engine")))
        if self._orders and now_s - self._said_s > 0.2:
            self._said_s = now_s
            for order in self._orders.values():
                self._transport.send(self.address, encode(order))
        news = False
        while (incoming := self._transport.receive(wait_s)) is not None:
            wait_s = 0.0
            with suppress(ValueError):
                message, _ = decode(incoming.frames)
                if isinstance(message, StatusReport):
                    self.report, self.status, news = message, msgspec.json.decode(message.status), True
                elif isinstance(message, TicketResult):
                    self._orders.pop(message.ticket, None)
                    self.settled[message.ticket] = message
        return news

    def order(self, what: str, value: float = 0.0, name: str = "") -> str:
        """Ask for something until it is answered; gives the ticket."""
        self._tickets += 1
        ticket = f"engine-{os.getpid()}-{self._tickets}"
        self._orders[ticket] = Order(ticket, what, value, name)
        self._said_s = 0.0
        return ticket

    def close(self) -> None:
        """End the line."""
        self._transport.close()


@dataclass
class Child:
    """A process that we started."""

    name: str
    process: subprocess.Popen
    log: Path
    command: list[str]
    started_s: float = field(default_factory=time.monotonic)

    def last_words(self) -> str:
        """The last line it said."""
        try:
            lines = self.log.read_text("utf-8", "replace").strip().splitlines()
        except OSError:
            return ""
        line = lines[-1].removeprefix("umwelt: ") if lines else ""
        return line.split(": ", 1)[-1] if line.startswith("umwelt ") else line


@dataclass(frozen=True)
class Plan:
    """How a run is to be carried."""

    nodes: int = 0
    """0: one a core."""
    bind: str = ""
    """Where the world is open to others; empty: to this machine's own user only."""
    keys: str = ""
    ticks_per_exchange: int = 0
    last_tick: int | None = None
    checked: bool = False
    gateway: bool = True
    mark_s: float = 0.0
    dead_after_s: float = 0.0


def nodes_for(world: WorldFile, plan: Plan) -> int:
    """How many nodes a plan means for a world: one a core unless it says so, and no more than there is room for.

    Raises `RunError` for a plan that cannot be: its keys, its door, its number of nodes.
    """
    keys = Keys.load(Path(plan.keys), WORLD) if plan.keys else None
    if plan.bind:
        check_bind_address(plan.bind, keys)
    torus = torus_of(world)
    room = max_parts(torus)
    if plan.nodes > room:
        raise RunError(
            f"--nodes {plan.nodes}: a world of {torus.width} x {torus.height} cells has room for at most {room}: "
            f"use --nodes {room}"
        )
    return plan.nodes or min(crew.count, room)


def refuse_running(store: Store) -> None:
    """Refuse a run that is running already; one whose engine was killed saves itself, which is waited for."""
    known = read_announcement(store.folder / CLUSTER_FILE) or {}
    if is_alive(known.get("pid")) and known.get("pid") != os.getpid():
        raise RunError(f"{store.folder}: is running already (process {known['pid']}): umwelt stop {store.folder}")
    end_s = time.monotonic() + COORDINATOR_ORPHAN_S + 5.0
    while is_alive((read_announcement(store.folder / COORDINATOR_FILE) or {}).get("pid")) and time.monotonic() < end_s:
        time.sleep(0.05)


class Engine:
    """The processes of one run on this machine."""

    def __init__(self, store: Store, plan: Plan):
        nodes_count = nodes_for(parse_world(store.world_text(), str(store.folder), store.folder.name), plan)
        refuse_running(store)
        self.store, self.plan = store, plan
        self.nodes_count = nodes_count
        self.children: dict[str, Child] = {}
        self.said: list[str] = []
        """What happened to processes, for people."""
        self.keys = Keys.load(Path(plan.keys), WORLD) if plan.keys else None
        self.line: Line | None = None
        self._private = tempfile.TemporaryDirectory(prefix="umwelt-")
        self._names = 0
        self._restarts: list[float] = []
        self._due_s: list[float] = []
        """When nodes are to be started in place of those that died."""
        self._stopping = False
        (store.folder / LOGS).mkdir(exist_ok=True)

    # --- beginning

    def start(self) -> None:
        """Start directory, gateway and nodes."""
        for name in (COORDINATOR_FILE, GATEWAY_FILE):
            (self.store.folder / name).unlink(missing_ok=True)
        announce(
            self.store.folder / CLUSTER_FILE, {"pid": os.getpid(), "nodes": self.nodes_count, "bind": self.plan.bind}
        )
        self._start_directory(self._bind("directory"))
        for _ in range(self.nodes_count):
            self.add_node()
        address = self._wait_for(COORDINATOR_FILE, "directory")["address"]
        self.line = Line(address, self.keys)
        if self.plan.gateway:
            self._start_gateway()

    def _bind(self, what: str) -> str:
        """Where a door opens: in a folder of our own, or at any port of the interface that the world is open at."""
        if not self.plan.bind or self.plan.bind.startswith("ipc://"):
            return f"ipc://{self._private.name}/{what}"
        return self.plan.bind.rpartition(":")[0] + ":*"

    def _start_directory(self, bind: str) -> None:
        plan = self.plan
        settings = CoordinatorSettings(
            str(self.store.folder.resolve()),
            bind,
            plan.keys,
            self.nodes_count,
            plan.ticks_per_exchange,
            plan.last_tick,
            plan.checked,
            mark_s=plan.mark_s,
            dead_after_s=plan.dead_after_s,
            gather_s=GATHER_S,
        )
        self._start("directory", "umwelt.cluster.coordinator.process", settings)

    def _start_gateway(self) -> None:
        from umwelt.cluster.gateway.server import GatewaySettings

        assert self.line is not None
        bind = self.plan.bind or f"ipc://{self._private.name}/gateway"
        known = read_announcement(self.store.folder / GATEWAY_FILE)
        if known is not None and not self.plan.bind.endswith(":*"):
            bind = self.plan.bind or bind
        settings = GatewaySettings(
            bind=bind, directory=self.line.address, run=str(self.store.folder.resolve()), keys=self.plan.keys
        )
        self._start("gateway", "umwelt.cluster.gateway.server", settings)

    def add_node(self) -> str:
        """Start another node; gives its name."""
        self._names += 1
        name = f"node-{self._names}"
        directory = self.line.address if self.line is not None else self._bind("directory")
        if self.line is None and self.plan.bind and not self.plan.bind.startswith("ipc://"):
            directory = self._wait_for(COORDINATOR_FILE, "directory")["address"]
        bind = f"ipc://{self._private.name}/*" if directory.startswith("ipc://") else self._bind("node")
        settings = NodeSettings(directory, bind, name, self.plan.keys)
        self._start(name, "umwelt.cluster.node.process", settings)
        return name

    def _start(self, name: str, module: str, settings: Any) -> None:
        log = self.store.folder / LOGS / f"{name}.log"
        command = [sys.executable, "-m", module, msgspec.json.encode(settings).decode()]
        with log.open("ab") as out:
            # a group of its own: Ctrl-C in the terminal is ours to handle
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
                env={**KEEP_MEMORY, **os.environ},
            )
        self.children[name] = Child(name, process, log, command)

    def _wait_for(self, file: str, name: str) -> dict[str, Any]:
        """What a child announces; `RunError` with its last words if it ends first."""
        end_s = time.monotonic() + START_S
        while time.monotonic() < end_s:
            found = read_announcement(self.store.folder / file)
            if found is not None and found.get("pid") == self.children[name].process.pid:
                return found
            if self.children[name].process.poll() is not None:
                raise RunError(self.children[name].last_words() or f"the {name} ended at once")
            time.sleep(0.01)
        raise RunError(f"the {name} did not start within {START_S:.0f} s: see {self.children[name].log}")

    # --- watching

    def turn(self, wait_s: float) -> bool:
        """Look after the processes and listen to the directory; gives whether there was a report.

        Raises `RunError` where the world cannot go on.
        """
        assert self.line is not None
        news = self.line.turn(wait_s)
        for child in list(self.children.values()):
            code = child.process.poll()
            if code is not None:
                self._ended(child, code)
        while self._due_s and self._due_s[0] <= time.monotonic() and not self._stopping:
            self._due_s.pop(0)
            self.add_node()
        return news

    @property
    def resting(self) -> bool:
        """Whether the directory has saved all and ended."""
        return "directory" not in self.children

    def _ended(self, child: Child, code: int) -> None:
        del self.children[child.name]
        words = child.last_words()
        if child.name == "directory":
            if code == 0:
                return
            if code == 2:
                raise RunError(words or "the directory ended")
            self._restarted(child, "directory")
            assert self.line is not None
            self._start_again(child)
        elif child.name == "gateway":
            if not self._stopping and code != 0:
                self._restarted(child, "gateway")
                self._start_again(child)
        elif code == 2 and not self._stopping:
            if time.monotonic() - child.started_s < START_S and not self.line_ready:
                raise RunError(words or f"{child.name} ended at once")
            self.said.append(f"{child.name}: {words}")
        elif code != 0 and not self._stopping:
            assert self.line is not None
            self.line.order("lost", float(child.process.pid), os.uname().nodename)
            self._restarted(child, child.name)
            others = any(name.startswith("node-") for name in self.children)
            self._due_s.append(time.monotonic() + (REPLACE_AFTER_S if others else 0.0))

    @property
    def line_ready(self) -> bool:
        """Whether the world has begun."""
        return self.line is not None and self.line.status.get("phase") not in (None, "gathering")

    def _restarted(self, child: Child, what: str) -> None:
        now_s = time.monotonic()
        if now_s - child.started_s < SHORT_LIFE_S:  # what dies at once will die again; what has lived was killed
            self._restarts = [s for s in self._restarts if now_s - s < RESTARTS_WITHIN_S] + [now_s]
        if len(self._restarts) > MAX_RESTARTS:
            raise RunError(f"the {what} dies again and again: see {child.log}")
        self.said.append(f"{what} died (process {child.process.pid}); another one takes its place")

    def _start_again(self, child: Child) -> None:
        """The same process once more, at the same address."""
        known = (
            read_announcement(self.store.folder / (COORDINATOR_FILE if child.name == "directory" else GATEWAY_FILE))
            or {}
        )
        settings = msgspec.json.decode(child.command[-1])
        settings.pop("gather_s", None)  # the nodes are there already
        if settings["bind"].startswith("tcp://") and known.get("address"):
            port = known["address"].partition("#")[0].rpartition(":")[2]
            settings["bind"] = settings["bind"].rpartition(":")[0] + f":{port}"
        self._start(child.name, child.command[2], settings)

    # --- ending

    def stop(self) -> None:
        """Ask for the world to be saved and to rest; go on with `turn` until `resting`."""
        if not self._stopping and self.line is not None:
            self._stopping = True
            self.line.order("stop")

    def close(self, within_s: float = CLOSE_S) -> None:
        """End what still runs, politely for so long."""
        self._stopping = True
        for child in self.children.values():
            with suppress(OSError):
                child.process.terminate()
        end_s = time.monotonic() + within_s
        for child in self.children.values():
            try:
                child.process.wait(max(0.1, end_s - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.process.kill()
                child.process.wait()
        self.children.clear()
        if self.line is not None:
            self.line.close()
        for name in (CLUSTER_FILE, GATEWAY_FILE, COORDINATOR_FILE):
            (self.store.folder / name).unlink(missing_ok=True)
        self._private.cleanup()

"""Starts the processes of a world on this machine, monitors them, and restarts those that die.

    engine (in umwelt launch)  ->  coordinator, gateway, nodes

The *engine* is the part of `umwelt launch` that manages the other processes (class `Engine`). They are started with the
standard library's `subprocess.Popen`. The engine itself decides what to restart, when and how often, because restarts
depend on the coordinator: a message must report a lost node to it before the node is replaced.
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

from umwelt.agents.open_world import generate_world, open_region, torus_of
from umwelt.agents.world_file import WorldFile, parse_world
from umwelt.cluster.launch.coordinator_client import CoordinatorClient
from umwelt.cluster.partition import max_parts
from umwelt.cluster.process import KEEP_MEMORY, announce, is_alive, read_announcement
from umwelt.cluster.run.journal import Journal, Metrics
from umwelt.cluster.run.remote_store import create_store
from umwelt.cluster.run.store import Store
from umwelt.cluster.run.verify import update_chain
from umwelt.cluster.settings import (
    CLUSTER_FILE,
    COORDINATOR_FILE,
    COORDINATOR_ORPHAN_S,
    CoordinatorSettings,
    NodeSettings,
)
from umwelt.cluster.shard import check_species, measure_populations
from umwelt.cluster.wire.keys import WORLD, Keys
from umwelt.cluster.wire.transport import check_bind_address
from umwelt.cluster.wire.viewer_protocol import GATEWAY_FILE
from umwelt.sandbox import audit
from umwelt.sandbox.errors import RunError
from umwelt.sandbox.kernel import crew

LOGS = "logs"
COORDINATOR_NAME, GATEWAY_NAME, NODE_PREFIX = "coordinator", "gateway", "node-"
START_S, CLOSE_S = 60.0, 5.0
"""Time in seconds that a process has to start, and to end after SIGTERM before it is killed."""
GATHER_S = 30.0
"""Time in seconds that the coordinator waits for the nodes to load and compile."""
REPLACE_AFTER_S = 3.0
"""Delay in seconds before a dead node is replaced.

A starting node uses a core for seconds, which the others need first.
"""
MAX_RESTARTS, RESTARTS_WITHIN_S, SHORT_LIFE_S = 5, 30.0, 4.0
"""The engine gives up if more than `MAX_RESTARTS` processes end within `RESTARTS_WITHIN_S` seconds.

Only processes that ran for less than `SHORT_LIFE_S` seconds are counted.
"""
USAGE_EXIT_CODE = 2
"""Exit code of a process after an error that a restart would repeat; the last line of its log is the error message."""


def begin_run(world: WorldFile, folder: Path | None = None, checked: bool = False, url: str = "") -> Store:
    """Creates a run at tick 0: generates the world, saves its snapshot, and enters the first row of the journal.

    `folder` is the run's folder; None stands for the next free one under `runs/`. With `checked`, checks first that
    what the species do is a function of each being's own stimuli (`shard.check_species`). If `url` is not empty,
    snapshots are stored at that URL. The folder is created after the world has been generated, and removed if a later
    step fails.
    """
    region = generate_world(world)
    if checked:
        check_species(world, open_region(world, [region.cut(region.owned)], region.constants, 0))
    store = create_store(world.name, world.text, folder, url)
    try:
        species = list(world.laws.species(world)) if world.laws.species else []
        populations, substances = measure_populations(world, region, species)
        journal = Journal(store.journal)
        try:
            journal.enter(Metrics(0, 0, 0, populations, substances), audit.digest(region))
            journal.commit()
            store.save(region, world.text, world.name)
            update_chain(store, journal)
        finally:
            journal.close()
    except BaseException:
        store.discard()
        raise
    return store


@dataclass
class ManagedProcess:
    """A process that the engine has started."""

    name: str
    process: subprocess.Popen
    log: Path
    command: list[str]
    started_s: float = field(default_factory=time.monotonic)

    def last_line(self) -> str:
        """Returns the last line of its log, without the name of the process; empty if there is none."""
        try:
            lines = self.log.read_text("utf-8", "replace").strip().splitlines()
        except OSError:
            return ""
        return strip_process_name(lines[-1]) if lines else ""


def strip_process_name(line: str) -> str:
    """Returns an error message without its prefix "umwelt NAME: "."""
    line = line.removeprefix("umwelt: ")
    return line.split(": ", 1)[-1] if line.startswith("umwelt ") else line


@dataclass(frozen=True)
class Plan:
    """The options with which a run is launched.

    `ticks_per_exchange` is the number of ticks after which neighbouring nodes exchange the cells near their borders (0:
    chosen by measurements), `last_tick` the tick at which the run ends (None: it has no end), `mark_s` the interval of
    temporary snapshots, and `dead_after_s` the time without a message after which a node is considered dead, in seconds
    (0: a default). With `checked`, the nodes check the behaviours of species (`shard.check_species`).
    """

    nodes: int = 0
    """Number of nodes; 0: one for each core."""
    bind: str = ""
    """The address at which other machines can reach the world; empty: only this user on this machine can."""
    keys: str = ""
    """Folder of keys; empty: connections are not authenticated."""
    ticks_per_exchange: int = 0
    last_tick: int | None = None
    checked: bool = False
    gateway: bool = True
    """Whether to start a gateway, which viewers need."""
    mark_s: float = 0.0
    dead_after_s: float = 0.0


def nodes_for(world: WorldFile, plan: Plan) -> int:
    """Returns the number of nodes for a plan: `plan.nodes`, or one for each core if that is 0.

    One for each core is limited to the maximum for the size of the world. Raises `RunError` if the keys or the address
    of the plan cannot be used, or if `plan.nodes` is more than that maximum.
    """
    keys = Keys.load(Path(plan.keys), WORLD) if plan.keys else None
    if plan.bind:
        check_bind_address(plan.bind, keys)
    torus = torus_of(world)
    max_nodes = max_parts(torus)
    if plan.nodes > max_nodes:
        raise RunError(
            f"--nodes {plan.nodes}: a world of {torus.width} x {torus.height} cells has room for at most {max_nodes}: "
            f"use --nodes {max_nodes}"
        )
    return plan.nodes or min(crew.count, max_nodes)


def check_not_running(store: Store) -> None:
    """Raises `RunError` if the run is in progress.

    If the engine has died and the coordinator is still saving the world, first waits until the coordinator has ended.
    """
    announcement = read_announcement(store.folder / CLUSTER_FILE) or {}
    pid = announcement.get("pid")
    if is_alive(pid) and pid != os.getpid():
        raise RunError(f"{store.folder}: is running already (process {pid}): umwelt stop {store.folder}")
    end_s = time.monotonic() + COORDINATOR_ORPHAN_S + 5.0
    while is_alive((read_announcement(store.folder / COORDINATOR_FILE) or {}).get("pid")) and time.monotonic() < end_s:
        time.sleep(0.05)


class Engine:
    """The processes of one run on this machine. Call `start` once, `poll` until `finished`, then `close`."""

    def __init__(self, store: Store, plan: Plan):
        nodes_count = nodes_for(parse_world(store.world_text(), str(store.folder), store.folder.name), plan)
        check_not_running(store)
        self.store, self.plan = store, plan
        self.nodes_count = nodes_count
        self.children: dict[str, ManagedProcess] = {}
        """The running processes by name."""
        self.messages: list[str] = []
        """Messages about processes that died or were restarted, to be displayed."""
        self.keys = Keys.load(Path(plan.keys), WORLD) if plan.keys else None
        self.coordinator: CoordinatorClient | None = None
        """The connection to the coordinator; None before `start`."""
        self._private = tempfile.TemporaryDirectory(prefix="umwelt-")
        self._node_number = 0
        self._restarts_s: list[float] = []
        """Times at which processes that had run for less than `SHORT_LIFE_S` were found dead."""
        self._replacements_s: list[float] = []
        """Times at which nodes are to be started to replace dead ones."""
        self._stopping = False
        (store.folder / LOGS).mkdir(exist_ok=True)

    # --- starting

    def start(self) -> None:
        """Starts the coordinator, the gateway and the nodes."""
        for name in (COORDINATOR_FILE, GATEWAY_FILE):
            (self.store.folder / name).unlink(missing_ok=True)
        announce(
            self.store.folder / CLUSTER_FILE, {"pid": os.getpid(), "nodes": self.nodes_count, "bind": self.plan.bind}
        )
        self._start_coordinator(self._bind("coordinator"))
        for _ in range(self.nodes_count):
            self.add_node()
        address = self._wait_for(COORDINATOR_FILE, COORDINATOR_NAME)["address"]
        self.coordinator = CoordinatorClient(address, self.keys)
        if self.plan.gateway:
            self._start_gateway()

    def _bind(self, name: str) -> str:
        """Returns the address that the process `name` binds.

        This is a socket in a private folder, or any free port of the network interface in `plan.bind`.
        """
        if not self.plan.bind or self.plan.bind.startswith("ipc://"):
            return f"ipc://{self._private.name}/{name}"
        return self.plan.bind.rpartition(":")[0] + ":*"

    def _start_coordinator(self, bind: str) -> None:
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
        self._start(COORDINATOR_NAME, "umwelt.cluster.coordinator.process", settings)

    def _start_gateway(self) -> None:
        from umwelt.cluster.gateway.process import GatewaySettings

        assert self.coordinator is not None
        bind = self.plan.bind or f"ipc://{self._private.name}/gateway"
        settings = GatewaySettings(
            bind=bind, coordinator=self.coordinator.address, run=str(self.store.folder.resolve()), keys=self.plan.keys
        )
        self._start(GATEWAY_NAME, "umwelt.cluster.gateway.process", settings)

    def add_node(self) -> str:
        """Starts another node. Returns its name."""
        self._node_number += 1
        name = f"{NODE_PREFIX}{self._node_number}"
        address = self.coordinator.address if self.coordinator is not None else self._bind("coordinator")
        if self.coordinator is None and self.plan.bind and not self.plan.bind.startswith("ipc://"):
            address = self._wait_for(COORDINATOR_FILE, COORDINATOR_NAME)["address"]
        bind = f"ipc://{self._private.name}/*" if address.startswith("ipc://") else self._bind("node")
        self._start(name, "umwelt.cluster.node.process", NodeSettings(address, bind, name, self.plan.keys))
        return name

    def _start(self, name: str, module: str, settings: Any) -> None:
        """Starts `python -m module` with `settings` as a JSON argument, and adds the process to `children`.

        The output is appended to the log file of `name`.
        """
        log = self.store.folder / LOGS / f"{name}.log"
        command = [sys.executable, "-m", module, msgspec.json.encode(settings).decode()]
        with log.open("ab") as output:
            # in a new session, so that Ctrl-C in the terminal reaches only the engine
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                env={**KEEP_MEMORY, **os.environ},
            )
        self.children[name] = ManagedProcess(name, process, log, command)

    def _wait_for(self, file: str, name: str) -> dict[str, Any]:
        """Waits until the process `name` has announced itself in `file`; returns the announcement.

        Raises `RunError`, with the last line of the process's log, if the process ends first.
        """
        child = self.children[name]
        end_s = time.monotonic() + START_S
        while time.monotonic() < end_s:
            announcement = read_announcement(self.store.folder / file)
            if announcement is not None and announcement.get("pid") == child.process.pid:
                return announcement
            if child.process.poll() is not None:
                raise RunError(child.last_line() or f"the {name} ended at once: see {child.log}")
            time.sleep(0.01)
        raise RunError(f"the {name} did not start within {START_S:.0f} s: see {child.log}")

    # --- monitoring

    def poll(self, wait_s: float) -> bool:
        """Restarts processes that have died, and receives from the coordinator for up to `wait_s` seconds.

        Returns whether a report arrived. Raises `RunError` if the world cannot continue.
        """
        assert self.coordinator is not None
        has_report = self.coordinator.poll(wait_s)
        for child in list(self.children.values()):
            code = child.process.poll()
            if code is not None:
                self._handle_exit(child, code)
        while self._replacements_s and self._replacements_s[0] <= time.monotonic() and not self._stopping:
            self._replacements_s.pop(0)
            self.add_node()
        return has_report

    @property
    def finished(self) -> bool:
        """Whether the coordinator has saved the world and ended."""
        return COORDINATOR_NAME not in self.children

    def _handle_exit(self, child: ManagedProcess, code: int) -> None:
        """Removes a process that has ended with exit code `code`, and starts it again unless it was to end.

        A node is not started again under its name: the coordinator is informed, and a new node replaces it later.
        Raises `RunError` if the world cannot continue.
        """
        del self.children[child.name]
        line = child.last_line()
        if child.name == COORDINATOR_NAME:
            if code == 0:
                return
            if code == USAGE_EXIT_CODE:
                raise RunError(line or f"the coordinator ended: see {child.log}")
            self._note_restart(child)
            self._start_again(child)
        elif child.name == GATEWAY_NAME:
            if not self._stopping and code != 0:
                self._note_restart(child)
                self._start_again(child)
        elif code == USAGE_EXIT_CODE and not self._stopping:
            if time.monotonic() - child.started_s < START_S and not self.is_running:
                raise RunError(line or f"{child.name} ended at once: see {child.log}")
            self.messages.append(f"{child.name}: {line}")
        elif code != 0 and not self._stopping:
            assert self.coordinator is not None
            self.coordinator.order("lost", float(child.process.pid), os.uname().nodename)
            self._note_restart(child)
            has_nodes = any(name.startswith(NODE_PREFIX) for name in self.children)
            self._replacements_s.append(time.monotonic() + (REPLACE_AFTER_S if has_nodes else 0.0))

    @property
    def is_running(self) -> bool:
        """Whether the coordinator has reported that it no longer waits for nodes to join."""
        return self.coordinator is not None and self.coordinator.status.get("phase") not in (None, "gathering")

    def _note_restart(self, child: ManagedProcess) -> None:
        """Adds a message about the restart of `child`.

        Raises `RunError` if too many processes have died soon after their start (see `MAX_RESTARTS`).
        """
        now_s = time.monotonic()
        if now_s - child.started_s < SHORT_LIFE_S:  # a process that has run longer is always restarted
            recent_s = [time_s for time_s in self._restarts_s if now_s - time_s < RESTARTS_WITHIN_S]
            self._restarts_s = [*recent_s, now_s]
        if len(self._restarts_s) > MAX_RESTARTS:
            raise RunError(f"the {child.name} dies again and again: see {child.log}")
        self.messages.append(f"{child.name} died (process {child.process.pid}); a new one is started")

    def _start_again(self, child: ManagedProcess) -> None:
        """Starts a coordinator or gateway again, at the same address."""
        file = COORDINATOR_FILE if child.name == COORDINATOR_NAME else GATEWAY_FILE
        announcement = read_announcement(self.store.folder / file) or {}
        settings = msgspec.json.decode(child.command[-1])
        settings.pop("gather_s", None)  # the nodes are running already
        if settings["bind"].startswith("tcp://") and announcement.get("address"):
            port = announcement["address"].partition("#")[0].rpartition(":")[2]
            settings["bind"] = settings["bind"].rpartition(":")[0] + f":{port}"
        self._start(child.name, child.command[2], settings)

    # --- stopping

    def stop(self) -> None:
        """Orders the coordinator to save the world and end. The caller must call `poll` until `finished`."""
        if not self._stopping and self.coordinator is not None:
            self._stopping = True
            self.coordinator.order("stop")

    def close(self, within_s: float = CLOSE_S) -> None:
        """Terminates the remaining processes, and kills those that have not ended after `within_s` seconds."""
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
        if self.coordinator is not None:
            self.coordinator.close()
        for name in (CLUSTER_FILE, GATEWAY_FILE, COORDINATOR_FILE):
            (self.store.folder / name).unlink(missing_ok=True)
        self._private.cleanup()

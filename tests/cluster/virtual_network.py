"""A virtual network for tests: hosts are network namespaces, and a switch in this process passes frames between them.

    with VirtualNetwork(delay_s=0.025, loss=0.01) as network:
        network.host("a"), network.host("b")
        network.hosts["a"].start([...], log)
        network.cut("b"); network.heal("b")

The switch is a thread with a TAP device for each host, so the kernel's netem is not needed. It delays frames, drops a
random share of them (by a seed), and passes none to or from a host that is cut off. This needs Linux and root;
`why_not` returns what is missing.
`NetworkRun` runs a world on it: the coordinator on one host and nodes on others, each with its own keys and files.
"""

import ctypes
import fcntl
import heapq
import os
import random
import select
import shutil
import struct
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from umwelt.agents.world_file import WorldFile
from umwelt.cluster.launch.coordinator_client import CoordinatorClient
from umwelt.cluster.launch.local import begin_run
from umwelt.cluster.process import is_alive, read_announcement
from umwelt.cluster.settings import COORDINATOR_FILE, CoordinatorSettings, NodeSettings
from umwelt.cluster.wire.keys import WORLD, Keys, make_keys

TUN, TUNSETIFF, IFF_TAP, IFF_NO_PI = "/dev/net/tun", 0x400454CA, 0x2, 0x1000
CLONE_NEWNET = 0x40000000
PREFIX = "umwelt-lan"
MAX_HOSTS = 8
MAX_WAITING = 200_000
"""The maximum of frames in flight; further frames are dropped, as by a router whose queue is full."""
COMMAND_S, START_S = 10.0, 60.0
ROOT = Path(__file__).resolve().parents[2]


def _ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, timeout=COMMAND_S, check=False)
    if done.returncode:
        raise OSError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")


@cache
def why_not() -> str:
    """Returns why no virtual network can be made on this machine, or "" if one can."""
    if not sys.platform.startswith("linux"):
        return "network namespaces need Linux"
    if os.geteuid() != 0:
        return "only root can make network namespaces"
    missing = [name for name in ("ip", "nsenter", "unshare", "mount") if shutil.which(name) is None]
    if missing:
        return f"the command {missing[0]} is missing"
    if not os.access(TUN, os.R_OK | os.W_OK):
        return f"{TUN} cannot be opened"
    try:
        with VirtualNetwork() as network:
            network.host("trial")
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"no namespace or no TAP device can be made here: {error}"
    return ""


class Host:
    """A host of a virtual network: a network namespace with one address. The network closes it."""

    def __init__(self, name: str, number: int, mtu_bytes: int):
        self.name, self.address = name, f"10.77.0.{number}"
        self.namespace = f"{PREFIX}-{os.getpid()}-{number}"
        self.hardware = bytes([2, 0, 0, 0, 0, number])
        self.processes: list[subprocess.Popen] = []
        outside = f"um{os.getpid()}x{number}"
        self.tap = os.open(TUN, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            fcntl.ioctl(self.tap, TUNSETIFF, struct.pack("16sH22x", outside.encode(), IFF_TAP | IFF_NO_PI))
            _ip("netns", "add", self.namespace)
            hardware = ":".join(f"{byte:02x}" for byte in self.hardware)
            _ip("link", "set", outside, "netns", self.namespace, "address", hardware, "txqueuelen", "10000")
            inside = ("-n", self.namespace)
            _ip(*inside, "link", "set", outside, "name", "lan0", "mtu", str(mtu_bytes))
            _ip(*inside, "address", "add", f"{self.address}/24", "dev", "lan0")
            _ip(*inside, "link", "set", "lo", "up")
            _ip(*inside, "link", "set", "lan0", "up")
        except BaseException:
            self.close()
            raise

    def start(
        self, command: Sequence[str], log: Path, environment: dict[str, str] | None = None, hidden: Path | None = None
    ) -> subprocess.Popen:
        """Start a process on this host. For this process, the folder `hidden` is empty."""
        prefix = ["nsenter", f"--net=/run/netns/{self.namespace}"]
        if hidden is not None:
            prefix += ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none "$0" && exec "$@"', str(hidden)]
        with log.open("ab") as out:
            process = subprocess.Popen(
                [*prefix, *command],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
                cwd=ROOT,
                env={**os.environ, **(environment or {})},
            )
        self.processes.append(process)
        return process

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Within this context, sockets that this thread opens and threads that it starts are on this host."""
        with open("/proc/thread-self/ns/net", "rb") as outer, open(f"/run/netns/{self.namespace}", "rb") as own:
            _enter(own.fileno())
            try:
                yield
            finally:
                _enter(outer.fileno())

    def close(self) -> None:
        """Kill the processes that still run on this host, and remove the namespace."""
        for process in self.processes:
            with suppress(OSError):
                process.kill()
            process.wait()
        self.processes.clear()
        with suppress(OSError):
            os.close(self.tap)
        with suppress(OSError, subprocess.TimeoutExpired):
            _ip("netns", "delete", self.namespace)


def _enter(namespace: int) -> None:
    """Moves this thread into the network namespace with this file descriptor."""
    if ctypes.CDLL(None, use_errno=True).setns(namespace, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


class VirtualNetwork:
    """Up to `MAX_HOSTS` hosts on one switch.

    `delay_s` is the delay in each direction, `loss` the share of frames that are lost; both may be changed at any time.
    """

    def __init__(self, delay_s: float = 0.0, loss: float = 0.0, seed: int = 0, mtu_bytes: int = 1500):
        self.delay_s, self.loss, self.mtu_bytes = delay_s, loss, mtu_bytes
        self.hosts: dict[str, Host] = {}
        self.counts: Counter[str] = Counter()
        """Numbers of frames that `passed`, were `lost`, or were `cut` (host disconnected); and of `bytes` passed."""
        self.failed: Exception | None = None
        self._away: frozenset[str] = frozenset()
        self._dice = random.Random(seed)
        self._waiting: list[tuple[float, int, Host, Host, bytes]] = []
        self._number = 0
        self._ending = False
        self._wake = os.pipe()
        self._thread = threading.Thread(target=self._run, name="lan-switch", daemon=True)

    def __enter__(self) -> "VirtualNetwork":
        for path in Path("/run/netns").glob(f"{PREFIX}-*-*"):  # namespaces that killed tests left behind
            if not is_alive(int(path.name.split("-")[2])):
                with suppress(OSError, subprocess.TimeoutExpired):
                    _ip("netns", "delete", path.name)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending = True
        self._wake_switch()
        self._thread.join()
        for host in self.hosts.values():
            host.close()
        for end in self._wake:
            os.close(end)

    def host(self, name: str) -> Host:
        """Add a host."""
        assert name not in self.hosts and len(self.hosts) < MAX_HOSTS
        made = Host(name, len(self.hosts) + 1, self.mtu_bytes)
        self.hosts = {**self.hosts, name: made}
        self._wake_switch()
        return made

    def cut(self, name: str) -> None:
        """Disconnect a host; frames in flight to and from it are dropped as well."""
        self._away |= {name}

    def heal(self, name: str) -> None:
        """Connect a host again."""
        self._away -= {name}

    # --- the switch

    def _wake_switch(self) -> None:
        os.write(self._wake[1], b".")

    def _run(self) -> None:
        try:
            while not self._ending:
                hosts = {host.tap: host for host in self.hosts.values()}
                wait_s = max(0.0, self._waiting[0][0] - time.monotonic()) if self._waiting else 1.0
                for ready in select.select([self._wake[0], *hosts], [], [], wait_s)[0]:
                    if ready == self._wake[0]:
                        os.read(ready, 4096)
                    else:
                        self._take(hosts[ready])
                self._deliver()
        except Exception as error:
            self.failed = error

    def _take(self, source: Host) -> None:
        """Reads up to 64 frames of a host and queues them for their receivers."""
        for _ in range(64):
            try:
                frame = os.read(source.tap, 66_000)
            except BlockingIOError:
                return
            due_s = time.monotonic() + self.delay_s
            for to in list(self.hosts.values()):
                # if the lowest bit of a hardware address is set, the frame is for all hosts
                if to is source or not (frame[0] & 1 or frame[:6] == to.hardware):
                    continue
                if self._dice.random() < self.loss or len(self._waiting) >= MAX_WAITING:
                    self.counts["lost"] += 1
                    continue
                self._number += 1
                heapq.heappush(self._waiting, (due_s, self._number, source, to, frame))

    def _deliver(self) -> None:
        """Writes the queued frames that are due to their receivers."""
        now_s = time.monotonic()
        while self._waiting and self._waiting[0][0] <= now_s:
            _, _, source, to, frame = heapq.heappop(self._waiting)
            if {source.name, to.name} & self._away:
                self.counts["cut"] += 1
                continue
            try:
                os.write(to.tap, frame)
                self.counts["passed"] += 1
                self.counts["bytes"] += len(frame)
            except OSError:
                self.counts["lost"] += 1


class NetworkRun:
    """A run on a virtual network. The coordinator and each node have keys and temporary folders of their own."""

    def __init__(
        self,
        network: VirtualNetwork,
        world: WorldFile,
        folder: Path,
        coordinator_host: str,
        environment: dict[str, str] | None = None,
    ):
        self.network, self.folder, self.coordinator_host = network, folder, coordinator_host
        self.environment = environment or {}
        self.folder.mkdir(parents=True, exist_ok=True)
        self.store = begin_run(world, folder / "run")
        self.keys = folder / "keys"
        make_keys(self.keys)
        self.line: CoordinatorClient | None = None
        self.coordinator: subprocess.Popen | None = None
        self.nodes: dict[str, subprocess.Popen] = {}
        self.address = ""

    def start_coordinator(self, **settings: Any) -> None:
        """Start the coordinator, and wait until it has announced its address."""
        host = self.network.hosts[self.coordinator_host]
        chosen = CoordinatorSettings(
            str(self.store.folder.resolve()), f"tcp://{host.address}:*", str(self.keys), **settings
        )
        self.coordinator = self._start(host, "coordinator", "umwelt.cluster.coordinator.process", chosen, None)
        end_s = time.monotonic() + START_S
        while (found := read_announcement(self.store.folder / COORDINATOR_FILE)) is None:
            assert self.coordinator.poll() is None and time.monotonic() < end_s, self.log("coordinator")
            time.sleep(0.02)
        self.address = found["address"]
        self.line = CoordinatorClient(self.address, Keys.load(self.keys, WORLD))
        with host.inside():
            self.line.poll(0.0)  # opens the sockets

    def start_node(self, on: str, name: str = "", hidden: bool = False) -> str:
        """Start a node on a host, with a copy of its own keys and of the world's public key; returns its name.

        With `hidden`, the node looks for the run's folder and finds it empty, as on another machine; without, its
        settings say that it shares no folder with the coordinator.
        """
        name = name or f"node-{len(self.nodes) + 1}"
        keys, temporary = self.folder / f"{name}-keys", self.temporary(name)
        keys.mkdir(mode=0o700)
        temporary.mkdir()
        for file in ("world.public", "node.public", "node.secret"):
            shutil.copy2(self.keys / file, keys / file)
        host = self.network.hosts[on]
        settings = NodeSettings(self.address, f"tcp://{host.address}:*", name, str(keys), shares_nothing=not hidden)
        self.nodes[name] = self._start(
            host,
            name,
            "umwelt.cluster.node.process",
            settings,
            self.store.folder if hidden else None,
            TMPDIR=str(temporary),
        )
        return name

    def temporary(self, name: str) -> Path:
        """Returns the folder of a node's temporary files."""
        return self.folder / f"{name}-tmp"

    def _start(
        self, host: Host, name: str, module: str, settings: Any, hidden: Path | None, **environment: str
    ) -> subprocess.Popen:
        command = [sys.executable, "-m", module, msgspec.json.encode(settings).decode()]
        return host.start(command, self.folder / f"{name}.log", {**self.environment, **environment}, hidden)

    def log(self, name: str) -> str:
        """Returns the log of a process."""
        path = self.folder / f"{name}.log"
        return path.read_text("utf-8", "replace") if path.exists() else ""

    # --- watching

    @property
    def status(self) -> dict[str, Any]:
        """The coordinator's last status report."""
        return self.line.status if self.line is not None else {}

    @property
    def tick(self) -> int:
        """The tick that all nodes have reached by that report."""
        return self.status.get("tick", 0)

    @property
    def said(self) -> list[str]:
        """The lines of the coordinator's log."""
        return self.log("coordinator").splitlines()

    @property
    def resting(self) -> bool:
        """Whether the coordinator's process has ended."""
        return self.coordinator is None or self.coordinator.poll() is not None

    def poll(self, wait_s: float = 0.05) -> None:
        """Receive messages of the coordinator, for up to `wait_s`."""
        assert self.line is not None
        if not self.line.poll(wait_s):
            time.sleep(0.005)

    def until(self, done: Any, within_s: float, what: str = "") -> None:
        """Receive messages until a condition holds; fails with all logs if it does not within `within_s`."""
        end_s = time.monotonic() + within_s
        while not done():
            assert self.network.failed is None, self.network.failed
            assert time.monotonic() < end_s, f"{what} not within {within_s} s: {self.status}\n{self.logs()}"
            self.poll()

    def wait(self, seconds: float) -> None:
        """Receive messages for a number of seconds."""
        end_s = time.monotonic() + seconds
        while time.monotonic() < end_s:
            self.poll()

    def logs(self) -> str:
        """Returns the last 1500 characters of each log."""
        return "\n".join(f"--- {name}\n{self.log(name)[-1500:]}" for name in ("coordinator", *self.nodes))

    def close(self) -> None:
        """Close the connection to the coordinator; the network kills the processes."""
        if self.line is not None:
            self.line.close()
            self.line = None

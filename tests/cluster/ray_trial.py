"""Runs a world on a Ray cluster of three hosts, and kills processes and a host of it.

`test_ray.py` starts it in a network namespace that has only the loopback interface.

python ray_trial.py FOLDER WORLD LAST_TICK      prints what was seen, as one line of JSON
"""

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from ray.cluster_utils import Cluster

from umwelt.agents.world_file import read_world
from umwelt.cluster.launch.local import Plan, begin_run
from umwelt.cluster.process import read_announcement
from umwelt.cluster.ray.connect import OBJECT_STORE_BYTES
from umwelt.cluster.ray.engine import RayEngine
from umwelt.cluster.settings import COORDINATOR_FILE
from umwelt.cluster.wire.keys import make_keys

NODES = 3
TICKS_PER_S, SLOW_TICKS_PER_S = 40.0, 4.0
"""The speed of the world, normally and while a node is missing; slow, so that it does not end before all are back."""
PATIENCE_S = 60.0
FAST_CHECKS = {
    "health_check_period_ms": 500,
    "health_check_timeout_ms": 1000,
    "health_check_failure_threshold": 3,
    "health_check_initial_delay_ms": 0,
}


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])


def children_of(pid: int) -> list[int]:
    found = []
    for path in Path("/proc").iterdir():
        with suppress(OSError, ValueError):
            if path.name.isdigit() and parent_of(int(path.name)) == pid:
                found.append(int(path.name))
    return found


class Trial:
    """A Ray cluster, an engine on it, and methods that cause failures and measure the recovery."""

    def __init__(self, folder: Path, world: str, last_tick: int):
        described = read_world(world, {})
        began_s = time.monotonic()
        small = {"object_store_memory": OBJECT_STORE_BYTES}
        head = {"num_cpus": 1, "include_dashboard": False, "_system_config": FAST_CHECKS, **small}
        self.cluster = Cluster(initialize_head=True, head_node_args=head)
        self.hosts = [self.cluster.head_node, *(self.cluster.add_node(num_cpus=2, **small) for _ in range(2))]
        os.environ["RAY_ADDRESS"] = self.cluster.address
        self.seen: dict[str, Any] = {"cluster_s": time.monotonic() - began_s}
        store = begin_run(described, folder)
        self.folder = store.folder
        make_keys(folder.parent / "keys")
        keys = str(folder.parent / "keys")
        plan = Plan(nodes=NODES, last_tick=last_tick, gateway=False, mark_s=0.4, keys=keys)
        self.engine = RayEngine(store, plan)

    @property
    def nodes(self) -> list[dict[str, Any]]:
        assert self.engine.coordinator is not None
        return self.engine.coordinator.status.get("nodes", [])

    @property
    def tick(self) -> int:
        assert self.engine.coordinator is not None
        return self.engine.coordinator.status.get("tick", 0)

    @property
    def speed(self) -> float:
        assert self.engine.coordinator is not None
        return self.engine.coordinator.status.get("speed", 0.0)

    def until(self, what: str, met: Callable[[], bool]) -> float:
        """Poll the engine until a condition holds; returns the seconds that it took."""
        began_s = time.monotonic()
        while not met():
            self.engine.poll(0.02)
            if self.engine.finished or time.monotonic() - began_s > PATIENCE_S:
                assert self.engine.coordinator is not None
                raise SystemExit(f"did not happen: {what}: {self.engine.messages} {self.engine.coordinator.status}")
        return time.monotonic() - began_s

    def whole(self, without: int = 0) -> bool:
        """Returns whether all nodes are ready, and none of them is the process `without`."""
        assert self.engine.coordinator is not None
        pids = {node["pid"] for node in self.nodes if node["state"] == "ready"}
        return self.engine.coordinator.status.get("phase") == "running" and len(pids) == NODES and without not in pids

    def host_of(self, pid: int) -> Any:
        raylets = {host.all_processes["raylet"][0].process.pid: host for host in self.hosts}
        return raylets[parent_of(pid)]

    def strike(self, name: str, pid: int, kill: Callable[[], None]) -> None:
        """Call `kill`; measure the time until the world runs again, and until as many nodes as before are ready."""
        assert self.engine.coordinator is not None
        epoch, tick = self.engine.coordinator.status["epoch"], self.tick
        self.seen[f"{name}_at"] = tick
        self.engine.coordinator.order("speed", SLOW_TICKS_PER_S)
        self.until("it is slow", lambda: self.speed == SLOW_TICKS_PER_S)
        kill()
        goes_on = self.until(f"{name}: the world goes on", lambda: self._later(epoch))
        self.seen[f"{name}_goes_on_s"] = goes_on
        self.seen[f"{name}_whole_s"] = goes_on + self.until(f"{name}: all are back", lambda: self.whole(pid))
        self.engine.coordinator.order("speed", TICKS_PER_S)

    def _later(self, epoch: int) -> bool:
        assert self.engine.coordinator is not None
        status = self.engine.coordinator.status
        return status["epoch"] > epoch and status["phase"] == "running"

    def run(self) -> None:
        began_s = time.monotonic()
        self.engine.start()
        assert self.engine.coordinator is not None
        self.until("the world begins", self.whole)
        self.seen["start_s"] = time.monotonic() - began_s
        self.engine.coordinator.order("speed", TICKS_PER_S)
        self.seen["hosts"] = len({id(self.host_of(node["pid"])) for node in self.nodes})
        self.until("tick 40", lambda: self.tick >= 40)

        pid = next(node["pid"] for node in self.nodes if self.host_of(node["pid"]) is self.cluster.head_node)
        self.strike("process", pid, lambda: os.kill(pid, signal.SIGKILL))
        self.until("tick 80", lambda: self.tick >= 80)

        there = next(node["pid"] for node in self.nodes if self.host_of(node["pid"]) is not self.cluster.head_node)
        self.strike("host", there, lambda: self.kill_host(there))
        self.until("tick 120", lambda: self.tick >= 120)

        address = (read_announcement(self.folder / COORDINATOR_FILE) or {})["address"]
        coordinator = (read_announcement(self.folder / COORDINATOR_FILE) or {})["pid"]
        self.strike("coordinator", coordinator, lambda: os.kill(coordinator, signal.SIGKILL))
        self.seen["same_address"] = (read_announcement(self.folder / COORDINATOR_FILE) or {})["address"] == address

        end_s = time.monotonic() + PATIENCE_S
        while not self.engine.finished and time.monotonic() < end_s:
            self.engine.poll(0.05)
        self.seen |= {"rests": self.engine.finished, "tick": self.tick, "said": self.engine.messages}

    def kill_host(self, pid: int) -> None:
        """Kill all processes of a host at once."""
        host = self.host_of(pid)
        carried = children_of(parent_of(pid))
        self.cluster.remove_node(host, allow_graceful=False)
        for one in carried:
            with suppress(OSError):
                os.kill(one, signal.SIGKILL)

    def close(self) -> None:
        began_s = time.monotonic()
        self.engine.close()
        self.cluster.shutdown()
        self.seen["close_s"] = time.monotonic() - began_s


def main() -> None:
    folder, world, last_tick = sys.argv[1:]
    trial = Trial(Path(folder), world, int(last_tick))
    try:
        trial.run()
    finally:
        trial.close()
    print(json.dumps(trial.seen), flush=True)


if __name__ == "__main__":
    main()

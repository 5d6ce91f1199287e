"""How long a world stands still when a node dies: from killing or freezing the node to the first new tick.

    python -m benchmarks.recovery [WORLD ...] [--nodes N] [--times N]

Medians of several repeats, with real processes on this machine. A node is a process that computes a part of the world;
an *epoch* is a period in which the division of the world among nodes does not change. When a node dies, the coordinator
begins a new epoch: the other nodes load the world's last snapshot (often a temporary one), and compute the ticks since
then again.
"""

import argparse
import os
import random
import signal
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from umwelt.agents.world_file import read_world
from umwelt.cluster.launch.local import Engine, Plan, begin_run

SETTLED_TICKS = 3
SETTLED_S = 4.0
"""How long (ticks, seconds) an epoch must have lasted before a node is killed, so that there are temporary snapshots as
in a long run."""
WITHIN_S = 120.0
"""Maximum time to wait for any change of the run, in seconds."""
HOW = {"kill": signal.SIGKILL, "freeze": signal.SIGSTOP}
"""The ways to disturb a node: the signal that is sent to its process."""


class RunObserver:
    """Reads the status reports of a run and disturbs its nodes."""

    def __init__(self, engine: Engine):
        self.engine = engine

    @property
    def status(self) -> dict:
        """The last status report."""
        assert self.engine.coordinator is not None
        return self.engine.coordinator.status

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Polls the engine until a condition holds; ends the program if it does not within 120 seconds."""
        end_s = time.monotonic() + WITHIN_S
        while not condition():
            self.engine.poll(0.002)
            if time.monotonic() > end_s:
                raise SystemExit(f"the run did not recover within {WITHIN_S:.0f} s: {self.status.get('events')}")

    def settle(self, nodes: int) -> None:
        """Waits until all `nodes` nodes own a part of the world, and the epoch has lasted long enough.

        That is `SETTLED_S` seconds and `SETTLED_TICKS` ticks.
        """

        def is_complete() -> bool:
            ready = [node for node in self.status.get("nodes", []) if node["rectangle"] and node["state"] == "ready"]
            return self.status.get("phase") == "running" and len(ready) == nodes

        while True:
            self.wait_until(is_complete)
            epoch, tick, began_s = self.status["epoch"], self.status["tick"], time.monotonic()

            def settled_or_changed(epoch: int = epoch, tick: int = tick, began_s: float = began_s) -> bool:
                if self.status["epoch"] != epoch:
                    return True
                return time.monotonic() - began_s > SETTLED_S and self.status["tick"] >= tick + SETTLED_TICKS

            self.wait_until(settled_or_changed)
            if self.status["epoch"] == epoch:
                return

    def disturb(self, how: str) -> tuple[float, float, float, int]:
        """Kills or freezes a random node; `how` is a key of `HOW`.

        Returns the seconds until a new epoch begins, until the nodes have loaded their parts of the world, and until
        the first tick that was not computed before; and the number of ticks that are computed again.
        """
        chosen = random.choice([node for node in self.status["nodes"] if node["rectangle"]])
        epoch, reached = self.status["epoch"], max(node["tick"] for node in self.status["nodes"])
        os.kill(chosen["pid"], HOW[how])
        began_s = time.monotonic()
        self.wait_until(lambda: self.status["epoch"] > epoch)
        seen_s, lost = time.monotonic() - began_s, reached - self.status["snapshot_tick"]
        self.wait_until(lambda: self.status["phase"] == "running")
        loaded_s = time.monotonic() - began_s
        self.wait_until(lambda: self.status["tick"] > reached)
        beyond_s = time.monotonic() - began_s
        if how == "freeze":
            os.kill(chosen["pid"], signal.SIGCONT)
        return seen_s, loaded_s, beyond_s, lost


def measure(name: str, nodes: int, times: int) -> dict[str, list[tuple[float, float, float, int]]]:
    """Kills and freezes nodes of the world `name`, one after another, `times` times each.

    Returns the results of `disturb` for each way of `HOW`.
    """
    with tempfile.TemporaryDirectory(prefix="umwelt-recovery-") as folder:
        engine = Engine(begin_run(read_world(name), Path(folder) / "run"), Plan(nodes=nodes, gateway=False))
        try:
            engine.start()
            observer, results = RunObserver(engine), {}
            for how in HOW:
                results[how] = []
                for _ in range(times):
                    observer.settle(nodes)
                    results[how].append(observer.disturb(how))
                    engine._restarts_s.clear()  # repeated deaths are intended here
            return results
        finally:
            engine.close()


def main() -> None:
    """Prints the table."""
    first_line = (__doc__ or "").partition("\n")[0]
    arguments = argparse.ArgumentParser(prog="python -m benchmarks.recovery", description=first_line)
    arguments.add_argument("worlds", nargs="*", default=["pond", "meadow"])
    arguments.add_argument("--nodes", type=int, default=2)
    arguments.add_argument("--times", type=int, default=5)
    asked = arguments.parse_args()
    print("| world | nodes | | noticed | loaded | first new tick (median, worst) | ticks computed again |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name in asked.worlds:
        for how, rows in measure(name, asked.nodes, asked.times).items():
            seen_s, loaded_s, beyond_s, lost = (statistics.median(values) for values in zip(*rows, strict=True))
            worst_s = max(beyond for _, _, beyond, _ in rows)
            print(
                f"| {name} | {asked.nodes} | {how} | {seen_s:.2f} s | {loaded_s:.2f} s | {beyond_s:.2f} s, "
                f"{worst_s:.2f} s | {lost:.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()

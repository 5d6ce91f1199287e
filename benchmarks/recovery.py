"""How long a world stands still when a node dies: from the kill, or the freeze, to the first tick beyond the last one.

    python -m benchmarks.recovery [WORLD ...] [--nodes N] [--times N]

Medians of several of each, on real processes of this machine.
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
"""How long a map has to hold before a node is killed, so that marks are what they are in a long run."""
WITHIN_S = 120.0
HOW = {"kill": signal.SIGKILL, "freeze": signal.SIGSTOP}


class Watched:
    """A run whose reports are looked at."""

    def __init__(self, engine: Engine):
        self.engine = engine

    @property
    def status(self) -> dict:
        """The last report."""
        assert self.engine.coordinator is not None
        return self.engine.coordinator.status

    def until(self, come: Callable[[], bool]) -> None:
        """Go on until something has come."""
        end_s = time.monotonic() + WITHIN_S
        while not come():
            self.engine.poll(0.002)
            if time.monotonic() > end_s:
                raise SystemExit(f"nothing came of it within {WITHIN_S:.0f} s: {self.status.get('events')}")

    def settle(self, nodes: int) -> None:
        """Until all nodes hold a part, and have for a while."""

        def whole() -> bool:
            ready = [node for node in self.status.get("nodes", []) if node["rectangle"] and node["state"] == "ready"]
            return self.status.get("phase") == "running" and len(ready) == nodes

        while True:
            self.until(whole)
            epoch, tick, began_s = self.status["epoch"], self.status["tick"], time.monotonic()

            def settled_or_changed(epoch: int = epoch, tick: int = tick, began_s: float = began_s) -> bool:
                if self.status["epoch"] != epoch:
                    return True
                return time.monotonic() - began_s > SETTLED_S and self.status["tick"] >= tick + SETTLED_TICKS

            self.until(settled_or_changed)
            if self.status["epoch"] == epoch:
                return

    def disturb(self, how: str) -> tuple[float, float, float, int]:
        """Seconds until a new map is made, until it is loaded, and until the world is further than ever; ticks lost."""
        chosen = random.choice([node for node in self.status["nodes"] if node["rectangle"]])
        epoch, reached = self.status["epoch"], max(node["tick"] for node in self.status["nodes"])
        os.kill(chosen["pid"], HOW[how])
        began_s = time.monotonic()
        self.until(lambda: self.status["epoch"] > epoch)
        seen_s, lost = time.monotonic() - began_s, reached - self.status["snapshot_tick"]
        self.until(lambda: self.status["phase"] == "running")
        loaded_s = time.monotonic() - began_s
        self.until(lambda: self.status["tick"] > reached)
        beyond_s = time.monotonic() - began_s
        if how == "freeze":
            os.kill(chosen["pid"], signal.SIGCONT)
        return seen_s, loaded_s, beyond_s, lost


def measure(name: str, nodes: int, times: int) -> dict[str, list[tuple[float, float, float, int]]]:
    """Kills and freezes of a world's nodes, one after another."""
    with tempfile.TemporaryDirectory(prefix="umwelt-recovery-") as folder:
        engine = Engine(begin_run(read_world(name), Path(folder) / "run"), Plan(nodes=nodes, gateway=False))
        try:
            engine.start()
            watched, found = Watched(engine), {}
            for how in HOW:
                found[how] = []
                for _ in range(times):
                    watched.settle(nodes)
                    found[how].append(watched.disturb(how))
                    engine._restarts_s.clear()  # dying again and again is what is wanted here
            return found
        finally:
            engine.close()


def main() -> None:
    """Print the table."""
    first_line = (__doc__ or "").partition("\n")[0]
    arguments = argparse.ArgumentParser(prog="python -m benchmarks.recovery", description=first_line)
    arguments.add_argument("worlds", nargs="*", default=["pond", "meadow"])
    arguments.add_argument("--nodes", type=int, default=2)
    arguments.add_argument("--times", type=int, default=5)
    asked = arguments.parse_args()
    print("| world | nodes | | noticed | loaded | beyond the last tick (median, worst) | ticks run again |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name in asked.worlds:
        for how, found in measure(name, asked.nodes, asked.times).items():
            seen_s, loaded_s, beyond_s, lost = (statistics.median(values) for values in zip(*found, strict=True))
            worst_s = max(beyond for _, _, beyond, _ in found)
            print(
                f"| {name} | {asked.nodes} | {how} | {seen_s:.2f} s | {loaded_s:.2f} s | {beyond_s:.2f} s, "
                f"{worst_s:.2f} s | {lost:.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()

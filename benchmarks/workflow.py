"""Workflows: how much faster four nodes on this machine run a thousand tasks than one node.

    python -m benchmarks.workflow [--tasks N] [--nodes N] [--times N]

A node is a process that computes a part of a world, and also runs tasks: functions that a workflow calls. A task here
computes for about 5 ms (`spin`, always with the same number of steps). The world is paused; each node has one thread.
Clusters of one and of four nodes are measured alternately, so that other load on the machine affects both. The results
are medians.
"""

import argparse
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.measure import Effort, Section, spread
from umwelt.agents.world_file import read_world
from umwelt.client.connection.api import Connection, connect
from umwelt.client.connection.workflows import WorldFlow
from umwelt.cluster.launch.local import Engine, Plan, begin_run
from umwelt.cluster.process import read_announcement
from umwelt.cluster.tasks.builtin import spin
from umwelt.cluster.wire.viewer_protocol import GATEWAY_FILE
from umwelt.sandbox.kernel import crew

TASK_S = 0.005
WITHIN_S = 120.0


def steps_for(seconds: float) -> int:
    """Returns the number of steps of `spin` that take this time here, by the fastest of 20 tries."""
    steps, best_s = 20_000, 1e9
    for _ in range(20):
        began_s = time.perf_counter()
        spin(steps)
        best_s = min(best_s, time.perf_counter() - began_s)
    return int(steps * seconds / best_s)


@contextmanager
def paused_cluster(nodes: int) -> Iterator[Connection]:
    """Starts a small, paused world on this number of nodes of this machine; yields a connection to it."""
    crew.resize(1)
    with tempfile.TemporaryDirectory(prefix="umwelt-workflow-") as folder:
        engine = Engine(begin_run(read_world("pond"), Path(folder) / "run"), Plan(nodes=nodes))
        ending = threading.Event()

        def attend() -> None:
            while not ending.is_set() and not engine.finished:
                engine.poll(0.05)

        keeper = threading.Thread(target=attend)
        try:
            engine.start()
            keeper.start()
            while read_announcement(Path(folder) / "run" / GATEWAY_FILE) is None:
                time.sleep(0.05)
            with connect(Path(folder) / "run", timeout_s=WITHIN_S) as world:
                while not (world.status()["phase"] == "running" and len(world.status()["nodes"]) == nodes):
                    time.sleep(0.1)
                world.wait(world.pause(), WITHIN_S)
                yield world
        finally:
            ending.set()
            if keeper.ident is not None:
                keeper.join()
            engine.close()


async def spins(flow: WorldFlow, tasks: int, steps: int) -> int:
    """Runs a number of equal tasks at the same time; returns how many of them gave the same result."""
    results = await flow.map("spin", [steps] * tasks)
    return results.count(results[0])


def measure(tasks: int, clusters: tuple[int, ...], times: int) -> dict[int, list[float]]:
    """Measures the seconds that `tasks` tasks take, `times` times for each number of nodes in `clusters`.

    Returns the seconds of each repeat, by the number of nodes.
    """
    steps = steps_for(TASK_S)
    found: dict[int, list[float]] = {nodes: [] for nodes in clusters}
    for _ in range(times):
        for nodes in clusters:
            with paused_cluster(nodes) as world:
                world.workflow(spins, 40 * nodes, steps)  # starts the process for tasks of each node
                began_s = time.perf_counter()
                assert world.workflow(spins, tasks, steps) == tasks
                found[nodes].append(time.perf_counter() - began_s)
    return found


def workflow(effort: Effort) -> Section:
    """Measures the seconds that a thousand tasks take on one node and on four nodes, and their ratio."""
    section, tasks = Section("Workflows"), effort.short(1000)
    found = measure(tasks, (1, 4), effort.repeats)
    for nodes, seconds in found.items():
        note = f"repeats within {spread(seconds):.2f}"
        section.add(f"{tasks} tasks of 5 ms, {nodes} node(s)", statistics.median(seconds), "s", note=note)
    ratio = statistics.median(found[1]) / statistics.median(found[4])
    section.add("four nodes against one", ratio, "times", at_least=1.8)
    section.raw = {str(nodes): seconds for nodes, seconds in found.items()}
    return section


def main() -> None:
    """Prints the measurements."""
    first_line = (__doc__ or "").partition("\n")[0]
    arguments = argparse.ArgumentParser(prog="python -m benchmarks.workflow", description=first_line)
    arguments.add_argument("--tasks", type=int, default=1000)
    arguments.add_argument("--nodes", type=int, default=4)
    arguments.add_argument("--times", type=int, default=3)
    asked = arguments.parse_args()
    found = measure(asked.tasks, (1, asked.nodes), asked.times)
    for nodes, seconds in found.items():
        laps = ", ".join(f"{one:.2f}" for one in seconds)
        print(f"{nodes} node(s): {asked.tasks} tasks in {statistics.median(seconds):.2f} s ({laps})")
    print(f"ratio: {statistics.median(found[1]) / statistics.median(found[asked.nodes]):.2f}")


if __name__ == "__main__":
    main()

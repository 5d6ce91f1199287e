"""Measurements that need a process of their own: `python -m benchmarks.workers NAME NUMBER` prints one line of JSON.

A new process has no memory of earlier measurements and no loaded modules, and frees Mesa's objects when it ends.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
MESA_WARM_UP_STEPS = 5
"""The number of steps of a Wolf-Sheep model, of Mesa or of Umwelt, before it is measured."""
MESA_WORK_A_REPEAT = 100_000
"""The number of agent-steps in one repeat; an agent-step is one step of one agent."""


def in_own_process(name: str, number: int = 0, **environment: str) -> dict[str, Any]:
    """Runs a measurement of this module (a key of `WORKERS`) in a new process; returns its result.

    `number` is its argument, and `environment` are further environment variables. `wall_s` in the result is the time
    from the start of the interpreter to its end.
    """
    start = time.perf_counter()
    process = subprocess.run(
        [sys.executable, "-m", "benchmarks.workers", name, str(number)],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    result = json.loads(process.stdout.splitlines()[-1])
    return {**result, "wall_s": time.perf_counter() - start}


def with_empty_cache(name: str, number: int = 0) -> dict[str, Any]:
    """Runs a measurement in a new process with an empty cache of compiled kernels."""
    with tempfile.TemporaryDirectory() as folder:
        return in_own_process(name, number, UMWELT_CACHE=folder)


def resident_mib() -> dict[str, float]:
    """Returns the resident memory of this process, now (`VmRSS`) and at its peak (`VmHWM`), in MiB."""
    lines = Path("/proc/self/status").read_text("utf-8").splitlines()
    status = dict(line.split(":", 1) for line in lines if ":" in line)
    return {name: int(status[name].split()[0]) / 1024 for name in ("VmRSS", "VmHWM")}


def memory(beings: int) -> dict[str, Any]:
    """Runs Earth with `beings` founders on 512 x 512 cells for 20 ticks; returns the memory that it takes.

    `region_mib` is that of the world's arrays; `beings` is the number of living beings at the end.
    """
    from benchmarks.earth import earth_world, living
    from umwelt.agents.open_world import begin
    from umwelt.sandbox.step import advance

    world = earth_world(beings, width=512, height=512)
    region = begin(world)
    advance(region, world.laws, 20)
    return {**resident_mib(), "beings": living(region), "region_mib": region.resident_bytes / 2**20}


def first_tick(_: int) -> dict[str, Any]:
    """Imports Umwelt, opens the world that exercises every law, and runs one tick."""
    start = time.perf_counter()
    from umwelt.agents.open_world import begin
    from umwelt.agents.world_file import read_world
    from umwelt.sandbox.step import advance

    world = read_world("golden")
    region = begin(world)
    advance(region, world.laws, 1)
    return {"first_tick_s": time.perf_counter() - start, "tick": region.tick}


def mesa_steps(animals: int) -> dict[str, Any]:
    """Measures agent-steps per second of user CPU time of Mesa's own Wolf-Sheep, without its data collector.

    `animals` is the number of sheep and wolves at the start. `rate` is the median of three repeats, `agents` the number
    of animals at the end.
    """
    from benchmarks.measure import median, timed
    from benchmarks.peers import side_for, wolf_sheep

    model = wolf_sheep(side_for(animals), 1)
    model.datacollector.collect = lambda model: None
    kinds = [kind for kind in model.agent_types if kind.__name__ in ("Sheep", "Wolf")]
    steps = max(2, MESA_WORK_A_REPEAT // animals)

    def living() -> int:
        return sum(len(model.agents_by_type[kind]) for kind in kinds)

    model.simulator.run_for(MESA_WARM_UP_STEPS)
    rates = []
    for _ in range(3):
        before = living()
        spent, _ = timed(lambda: model.simulator.run_for(steps))
        rates.append(steps * (before + living()) / 2 / spent.user_s)
    return {"rate": median(rates), "rates": rates, "steps": steps, "agents": living(), **resident_mib()}


WORKERS = {"memory": memory, "first_tick": first_tick, "mesa_steps": mesa_steps}
"""The measurements by name."""

if __name__ == "__main__":
    print(json.dumps(WORKERS[sys.argv[1]](int(sys.argv[2]))))

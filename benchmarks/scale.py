"""How Umwelt scales: strong and weak scaling on this machine, a model of the cost of a tick, and its predictions.

    python -m benchmarks.scale              everything, written to benchmarks/scale.md; ten minutes on an idle machine
    python -m benchmarks.scale --quick      smaller worlds, shorter measurements
    python -m benchmarks.scale --target     only the target: two nodes over one, a million beings

A *node* is a process that computes a part of the world, its *shard*, and copies of the cells around it, its *halo*. In
an *exchange*, after every k ticks, nodes send each other new halos. The *coordinator* is a process that permits the
nodes to compute further ticks. Every node has one thread (UMWELT_THREADS=1). The model adds the times that one core
needs for a cell, a being, a byte of a halo message and an exchange, each measured separately in one process. It is
compared with every run of a real cluster.
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

os.environ["UMWELT_THREADS"] = "1"

import numpy as np

from benchmarks.earth import earth_world
from benchmarks.measure import median, number
from umwelt.agents.open_world import generate_world, torus_of
from umwelt.cluster.coordinator.machine import CoordinatorMachine
from umwelt.cluster.coordinator.state import RunOptions, RunState
from umwelt.cluster.events import MessageReceived, Timer, TorusDivided
from umwelt.cluster.launch.local import Engine, Plan, begin_run
from umwelt.cluster.partition import cut
from umwelt.cluster.run.store import Entry
from umwelt.cluster.shard import Shard
from umwelt.cluster.wire.protocol import (
    Assignment,
    Heartbeat,
    Join,
    Member,
    NumberedReport,
    Ready,
    Welcome,
)
from umwelt.sandbox.region import Rectangle, Torus

BEINGS_A_CELL = 10_000 / 160**2
FIRST_TICK = 8
"""The tick at which measuring begins."""
CORES = len(os.sched_getaffinity(0))
PAGE = Path(__file__).with_name("scale.md")


@dataclass
class Costs:
    """The times that one core needs, in seconds, and the size of a halo message, in bytes.

    `cell_s` is per cell without its beings and tick, `being_s` per being and tick. `halo_byte_s` is per byte of a halo
    message, `exchange_s` per exchange in addition. `record_being_s` is per being of a record, the digest and the
    populations that a node computes for the journal. `reach` is the number of cells that effects spread per tick.
    """

    cell_s: float
    being_s: float
    halo_byte_s: float
    exchange_s: float
    record_being_s: float
    halo_cell_bytes: float
    reach: int
    coordinator_node_tick_s: float


@dataclass
class Point:
    """One run of a real cluster, and the speed that the model predicts for it, in ticks per second (`modelled`)."""

    beings: int
    nodes: int
    ticks_per_exchange: int
    ticks_per_s: float
    waiting_share: float
    modelled: float = 0.0

    @property
    def error(self) -> float:
        return self.modelled / self.ticks_per_s - 1


# --- costs, each measured separately


def make_shards(beings: int, nodes: int) -> list[Shard]:
    """Returns the shards of a world with `beings` founders, divided among `nodes` nodes, in this process."""
    world = earth_world(beings)
    zero = generate_world(world)
    torus = torus_of(world)
    blocks = np.ones((-(-torus.height // 8), -(-torus.width // 8)), np.int64)
    members = [Member(str(i), str(i), "", "", tuple(r)) for i, r in enumerate(cut(torus, blocks, nodes, 1))]  # type: ignore[arg-type]
    piece = zero.cut(zero.owned)
    return [
        Shard(world, Assignment(1, b"", 0, "", members, which, 1, 1, 8), [piece], zero.constants, zero.controls)
        for which in range(nodes)
    ]


def seconds(job: Any) -> float:
    """Returns the wall time that a call takes."""
    began_s = time.perf_counter()
    job()
    return time.perf_counter() - began_s


def costs_here(beings: int, ticks: int) -> Costs:
    """Measures the cost of a cell, a being, a halo message and a record on this machine.

    `beings` is the number of founders of the world; the times are medians over `ticks` ticks.
    """
    steps = {}
    for factor, empty in ((1.0, False), (1.0, True)):
        (shard,) = make_shards(beings, 1)
        if empty:
            for table in shard.region.tables.values():
                table.keep(np.zeros(table.count, bool))
        shard.paste({})
        shard.step(())
        cell_times_s = []
        for _ in range(ticks):
            shard.paste({})
            cell_times_s.append(seconds(lambda s=shard: s.step(())) / (shard.region.window.cells * factor))
        steps[empty] = median(cell_times_s)
        if not empty:
            held = shard.held_count / shard.region.window.cells
            record_s = median([seconds(shard.record) for _ in range(3)]) / shard.living_count
    cell_s = steps[True]
    two = make_shards(beings, 2)
    halos = [one.cut((1 - one.which,)) for one in two]
    size = sum(len(frame) for frame in halos[0][1])
    rim_cells = two[0].region.window.cells - two[0].region.owned.cells
    exchange = []
    for _ in range(ticks):
        cut_s = seconds(lambda: two[0].cut((1,)))
        exchange.append(cut_s + seconds(lambda: two[0].paste({1: halos[1][0]})))
    tiny = make_shards(2_000, 2)
    little = [one.cut((1 - one.which,)) for one in tiny]
    small_s = median(
        [seconds(lambda: tiny[0].cut((1,))) + seconds(lambda: tiny[0].paste({1: little[1][0]})) for _ in range(20)]
    )
    return Costs(
        cell_s,
        (steps[False] - cell_s) / held,
        max(0.0, median(exchange) - small_s) / size,
        small_s,
        record_s,
        size / (rim_cells / 2),
        two[0].world.laws.light_speed,
        coordinator_cost(200),
    )


def coordinator_cost(nodes: int) -> float:
    """Returns the seconds that the coordinator's state machine takes for one node and tick.

    In each tick it handles a heartbeat of each node, which reports the node's tick, and permits further ticks. It runs
    in this process, without messages over a network.
    """
    side = 16 * int(np.ceil(nodes**0.5))
    torus = Torus(side, side)
    rectangles = cut(torus, np.ones((side // 8, side // 8), np.int64), nodes, 13)
    state = RunState(torus, 13, Entry(0, True), 0, 0)
    coordinator = CoordinatorMachine(state, RunOptions(nodes=nodes), Welcome("", "", "", ""), {})
    now_s = 0.0

    def deliver(key: str, message: Any) -> None:
        coordinator.handle(MessageReceived(message, (), key.encode()))

    keys = [f"{i:032x}" for i in range(nodes)]
    for i, key in enumerate(keys):
        deliver(key, Join(key, f"ipc://{i}", "", "h", i, 1, True, {}))
    coordinator.handle(Timer(now_s))
    coordinator.handle(TorusDivided(coordinator.epoch, [tuple(r) for r in rectangles]))  # type: ignore[misc]
    for key in keys:
        deliver(key, NumberedReport(key, coordinator.epoch, 1, Ready(0)))
    spent = []
    for tick in range(1, 9):
        now_s += 0.1

        def run_tick(tick: int = tick, now_s: float = now_s) -> None:
            for key in keys:
                deliver(key, Heartbeat(key, coordinator.epoch, tick, tick_s=0.1))
            coordinator.handle(Timer(now_s))

        spent.append(seconds(run_tick) / nodes)
    return median(spent)


# --- the model


def window_cells(rectangle: Rectangle, reach: int, k: int) -> float:
    """Returns the number of cells that a node computes per tick, averaged over the `k` ticks between two exchanges.

    The node owns `rectangle`. It starts with a halo of `reach` cells for each of the ticks; in each tick, the part of
    the halo that it can still compute becomes narrower by `reach` cells.
    """
    grown = [reach * (k - j - 0.5) for j in range(k)]
    return sum((rectangle.height + 2 * g) * (rectangle.width + 2 * g) for g in grown) / k


def tick_s(
    costs: Costs,
    beings: float,
    nodes: int,
    k: int,
    cores: float | None = None,
    round_trip_s: float = 0.0002,
    bytes_per_s: float = 1e9,
) -> float:
    """Returns the modelled seconds of a tick if all `nodes` have equal shards; `k` is the number of ticks per exchange.

    `cores` is the number of cores that the nodes share (None: each has its own); `round_trip_s` and `bytes_per_s` are
    those of the network between neighbours.
    """
    cells = beings / BEINGS_A_CELL
    side = (cells / nodes) ** 0.5
    rows = max(1, round(nodes**0.5)) if nodes > 2 else 1
    height, width = (cells**0.5 / rows, cells**0.5 * rows / nodes) if nodes < 64 else (side, side)
    owned = Rectangle(0, 0, int(height), int(width))
    rim = (height + 2 * costs.reach * k) * (width + 2 * costs.reach * k) - height * width
    computed = window_cells(owned, costs.reach, k) * (costs.cell_s + costs.being_s * BEINGS_A_CELL)
    halo_bytes = rim * costs.halo_cell_bytes
    exchange = costs.exchange_s + halo_bytes * costs.halo_byte_s
    record = costs.record_being_s * beings / nodes / 8
    busy = computed + exchange / k + record
    if cores is not None and nodes > cores:
        busy *= nodes / cores
    way = 0.0 if nodes == 1 else (round_trip_s / 2 + halo_bytes / bytes_per_s) / k
    return max(busy + way, nodes * costs.coordinator_node_tick_s)


def best_exchange(costs: Costs, beings: float, nodes: int, **more: Any) -> tuple[int, float]:
    """Returns the best number of ticks per exchange according to the model, and the time of a tick with it."""
    return min(((k, tick_s(costs, beings, nodes, k, **more)) for k in (1, 2, 4, 8)), key=lambda choice: choice[1])


# --- real clusters


def run_cluster(beings: int, nodes: int, k: int, ticks: int) -> Point:
    """Runs a real cluster on this machine and measures ticks per second, over the same ticks in every run.

    `beings` is the number of founders, `k` the number of ticks per exchange, and `ticks` the number of measured ticks.
    """
    folder = Path(tempfile.mkdtemp(prefix="umwelt-scale-"))
    # no snapshots (another cost) except the one at the start of the run
    engine = None
    try:
        store = begin_run(earth_world(beings), folder / "run")
        engine = Engine(store, Plan(nodes=nodes, gateway=False, ticks_per_exchange=k, mark_s=1e6, dead_after_s=10))
        engine.start()
        seen: list[tuple[float, int]] = []
        while not seen or seen[-1][1] < FIRST_TICK + ticks:
            if engine.poll(0.02):
                status = engine.coordinator.status  # type: ignore[union-attr]
                if status["tick"] >= FIRST_TICK:
                    seen.append((time.monotonic(), status["tick"]))
        waiting = max(node["waiting_share"] for node in status["nodes"])
        alive = sum(node["entities"] for node in status["nodes"])
        rate = (seen[-1][1] - seen[0][1]) / (seen[-1][0] - seen[0][0])
        return Point(alive, nodes, k, rate, waiting)
    finally:
        if engine is not None:
            engine.close()
        shutil.rmtree(folder, ignore_errors=True)


def points(quick: bool) -> list[Point]:
    """Measures strong scaling (the same world on more nodes) and weak scaling (equal numbers of beings per node)."""
    size = 50_000 if quick else 400_000
    runs = [(size, 1, 1), (size, 2, 1), (size, 2, 4), (size, 4, 1), (size // 2, 1, 1), (size // 4, 1, 1)]
    measured = []
    for beings, nodes, k in runs:
        print(f"{number(beings)} beings on {nodes} nodes, {k} ticks an exchange ...", file=sys.stderr, flush=True)
        measured.append(run_cluster(beings, nodes, k, 16 if quick else 48))
    return measured


def measure_target(repeats: int = 3) -> tuple[str, float]:
    """Measures the speed of two nodes over that of one, alternately, with a million beings on 1600 x 1600 cells.

    Returns a line that describes the results, and the median ratio.
    """
    ratios, waits = [], []
    for _ in range(repeats):
        one, two = (run_cluster(1_000_000, nodes, 1, 24) for nodes in (1, 2))
        ratios.append(two.ticks_per_s / one.ticks_per_s)
        waits.append(two.waiting_share)
        line = f"1 node {one.ticks_per_s:.3f} ticks/s, 2 nodes {two.ticks_per_s:.3f}, waiting {two.waiting_share:.1%}"
        print(line, file=sys.stderr, flush=True)
    each = ", ".join(f"{ratio:.2f}" for ratio in ratios)
    return f"two nodes over one, 1M beings: {median(ratios):.2f} (of {each}); waiting {max(waits):.1%}", median(ratios)


# --- the page


UNITS = {
    "cell_s": (1e9, "ns a cell"),
    "being_s": (1e9, "ns a being"),
    "halo_byte_s": (1e9, "ns a byte of a halo message, cut and pasted"),
    "exchange_s": (1e6, "us an exchange"),
    "record_being_s": (1e9, "ns a being of a record"),
    "halo_cell_bytes": (1, "bytes a border cell"),
    "reach": (1, "cells a tick"),
    "coordinator_node_tick_s": (1e6, "us of the coordinator for a node and a tick"),
}
REAL_HEAD = (
    "| beings | nodes | ticks an exchange | ticks/s | waiting | model | error |",
    "| ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
)
FAR_HEAD = (
    "| beings | nodes | ticks an exchange | ticks/s | entity-ticks/s | limit |",
    "| ---: | ---: | ---: | ---: | ---: | --- |",
)


def compose_page(costs: Costs, measured: Sequence[Point], line: str) -> str:
    """Returns the results as a Markdown page; `line` is that of `measure_target`."""
    head = f"{CORES} cores, one thread a node. `python -m benchmarks.scale` writes this page."
    lines = ["# How Umwelt scales", "", head, "", "## Costs of one core", "", "| | |", "| --- | ---: |"]
    for name, value in asdict(costs).items():
        scale, unit = UNITS[name]
        lines.append(f"| {unit} | {number(value * scale)} |")
    lines += ["", "## Real clusters here, and the model", "", line, "", *REAL_HEAD]
    for one in measured:
        lines.append(
            f"| {number(one.beings)} | {one.nodes} | {one.ticks_per_exchange} | {number(one.ticks_per_s)} | "
            f"{one.waiting_share:.1%} | {number(one.modelled)} | {one.error:+.0%} |"
        )
    assumed = (
        "One core a node, a round trip of 0.5 ms, 1 GB/s between neighbours. The coordinator has one core; the last "
        "column says where it is the limit."
    )
    lines += ["", "## Predictions for larger clusters", "", assumed, "", *FAR_HEAD]
    for beings in (1e6, 1e9):
        for nodes in (10, 1_000, 100_000):
            if beings / nodes / BEINGS_A_CELL < 16 * 16:
                continue
            k, taken_s = best_exchange(costs, beings, nodes, round_trip_s=0.0005)
            limit = "coordinator" if taken_s <= nodes * costs.coordinator_node_tick_s else "nodes"
            lines.append(
                f"| {number(beings)} | {number(nodes)} | {k} | {number(1 / taken_s)} | {number(beings / taken_s)} | "
                f"{limit} |"
            )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description="Measure how Umwelt scales.")
    parser.add_argument("--quick", action="store_true", help="smaller worlds, shorter measurements")
    parser.add_argument("--target", action="store_true", help="only two nodes over one")
    chosen = parser.parse_args()
    if chosen.target:
        print(measure_target()[0])
        return
    costs = costs_here(20_000 if chosen.quick else 200_000, 5)
    measured = points(chosen.quick)
    for point in measured:
        point.modelled = 1 / tick_s(costs, point.beings, point.nodes, point.ticks_per_exchange, cores=CORES)
    line = "(not measured: --quick)" if chosen.quick else measure_target()[0]
    text = compose_page(costs, measured, line)
    print(text)
    if not chosen.quick:
        PAGE.write_text(text, "utf-8")


if __name__ == "__main__":
    main()

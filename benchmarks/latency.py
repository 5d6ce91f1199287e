"""The cost of a slow network: two nodes of one thread each, with and without delay, at several ticks per exchange.

    python -m benchmarks.latency             200,000 beings of the meadow, 50 ms each way; needs root and Linux
    python -m benchmarks.latency --quick     fewer beings, shorter measurements

A node is a process that computes a half of the world. After a number of ticks, the "ticks per exchange", nodes send
each other the cells along their common borders. More ticks per exchange need fewer messages, but more cells are
computed twice. The nodes run in two network namespaces; a switch between them delays every frame
(`tests/cluster/virtual_network.py`). The coordinator, the process that directs the nodes, runs on the host of the first
node. Connections are encrypted, and the hosts share no folder.
"""

import os
import tempfile
import time
from argparse import ArgumentParser
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import median
from tests.cluster.virtual_network import NetworkRun, VirtualNetwork, why_not
from umwelt.agents.world_file import WorldFile, read_world

BEINGS, SIDE_CELLS = 200_000, 720
DELAY_S = 0.05
MTU_BYTES = 60_000
"""Large, so that the switch, a Python thread on the same cores, handles few frames."""
CHOICES = (0, 1, 2, 4, 8)
"""The measured numbers of ticks per exchange; 0 lets the coordinator choose."""
SETTLE_S, CHOOSE_S, MEASURE_S, PART_S = 3.0, 12.0, 15.0, 4.0
"""Seconds before a measurement, the same if the coordinator chooses the ticks per exchange, seconds of a measurement,
and the minimum length of the part of it whose speed is reported."""
TARGET = 0.5
"""Share of the speed without delay that must remain with the delay."""


def meadow(beings: int) -> WorldFile:
    """Returns the meadow with this number of founders, at the density of 200,000 on 720 x 720 cells."""
    plain = read_world("meadow")
    factor = beings / sum(founder.count for founder in plain.settings.founders)
    side = round(SIDE_CELLS * (beings / BEINGS) ** 0.5)
    overrides = {"width": side, "height": side}
    for at, founder in enumerate(plain.settings.founders):
        overrides[f"founders.{at}.count"] = round(founder.count * factor)
    return read_world("meadow", overrides)


@dataclass
class Measurement:
    """Measurements of two nodes over some seconds."""

    ticks_per_exchange: int
    ticks_per_s: float
    """The speed in the fastest part of the time, because the machine may have other load."""
    average_ticks_per_s: float
    cpu_s: float
    """Processor time per tick of the busier node."""
    waiting_share: float
    """Share of time that the node that waits longer waits for messages of the other, 0 to 1; the median over ticks."""
    bytes_per_tick: float
    """Bytes that the switch forwarded, per tick."""


def measure(world: WorldFile, folder: Path, asked: int, seconds: float, turns: int) -> list[list[Measurement]]:
    """Runs two nodes, alternately with and without delay, `turns` times.

    `asked` is the number of ticks per exchange, 0 to let the coordinator choose; `seconds` is the length of one
    measurement. Returns two lists: the measurements without delay, and those with delay.
    """
    by_delay: list[list[Measurement]] = [[], []]
    with VirtualNetwork(delay_s=DELAY_S, mtu_bytes=MTU_BYTES) as network:
        network.host("first"), network.host("second")
        run = NetworkRun(network, world, folder, "first", {"UMWELT_THREADS": "1"})
        try:
            # no snapshots (another cost) except when the number of ticks per exchange changes
            run.start_coordinator(nodes=2, ticks_per_exchange=asked, mark_s=1e6, kept_s=1e6)
            run.start_node("first")
            run.start_node("second")
            run.until(lambda: run.tick >= 4, 180, "begin")
            for turn in range(2 * turns):
                slow = turn % 2 == 0
                network.delay_s = DELAY_S if slow else 0.0
                run.wait(SETTLE_S if asked else CHOOSE_S)
                by_delay[slow].append(measure_undisturbed(run, network, seconds))
        finally:
            run.close()
    return by_delay


def measure_undisturbed(run: NetworkRun, network: VirtualNetwork, seconds: float) -> Measurement:
    """Measures for some seconds; repeats the measurement if the epoch changes meanwhile.

    An epoch is a period in which the division of the world and the ticks per exchange stay the same.
    """
    while True:
        run.until(lambda: run.status["phase"] == "running" and run.status["tick"], 120, "run")
        epoch, measurement = run.status["epoch"], measure_for(run, network, seconds)
        if run.status["epoch"] == epoch:
            return measurement


def measure_for(run: NetworkRun, network: VirtualNetwork, seconds: float) -> Measurement:
    """Measures the speed, the processor time and the bytes sent over some seconds."""
    bytes_before, cpu_before = network.counts["bytes"], cpu_seconds(run)
    seen = [(time.monotonic(), run.tick)]
    shares = []
    while seen[-1][0] - seen[0][0] < seconds:
        run.poll()
        if run.tick != seen[-1][1]:
            seen.append((time.monotonic(), run.tick))
            shares.append(max(node["waiting_share"] for node in run.status["nodes"]))
    ticks = max(1, seen[-1][1] - seen[0][1])
    cpu_s = max(after - before for after, before in zip(cpu_seconds(run), cpu_before, strict=True))
    rates = [
        (tick - first) / (at_s - first_s)
        for i, (first_s, first) in enumerate(seen)
        for at_s, tick in seen[i:]
        if at_s - first_s >= PART_S
    ]
    return Measurement(
        run.status["ticks_per_exchange"],
        max(rates),
        ticks / (seen[-1][0] - seen[0][0]),
        cpu_s / ticks,
        median(shares),
        (network.counts["bytes"] - bytes_before) / ticks,
    )


def cpu_seconds(run: NetworkRun) -> list[float]:
    """Returns the processor time of each node so far, in seconds."""
    seconds = []
    for process in run.nodes.values():
        words = Path(f"/proc/{process.pid}/stat").read_text("ascii").rpartition(")")[2].split()
        seconds.append((int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK"))
    return seconds


def format_row(delay_s: float, asked: int, repeats: list[Measurement], best: float) -> str:
    """Returns a row of the table: the fastest of the repeats.

    `asked` is as for `measure`; `best` is the highest speed without delay so far, in ticks per second.
    """
    top = max(repeats, key=lambda measurement: measurement.ticks_per_s)
    k = f"{top.ticks_per_exchange}{'' if asked else ' (chosen)'}"
    return (
        f"| {delay_s * 1e3:.0f} ms | {k} | {top.ticks_per_s:.2f} | {top.average_ticks_per_s:.2f} "
        f"| {top.cpu_s * 1e3:.0f} ms | {top.waiting_share:.0%} | {top.bytes_per_tick / 1e6:.2f} MB "
        f"| {top.ticks_per_s / best:.2f} |"
    )


def main() -> int:
    """Prints the table; returns 1 if less than half of the speed remains with the delay."""
    parser = ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--beings", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=0.0)
    parser.add_argument("--turns", type=int, default=2, help="repeats with and without delay, in turn")
    parser.add_argument(
        "--only", type=int, nargs="*", default=None, help="ticks per exchange, 0: chosen by the coordinator"
    )
    chosen = parser.parse_args()
    if why_not():
        print(f"no virtual network: {why_not()}")
        return 0
    beings = chosen.beings or (BEINGS // 10 if chosen.quick else BEINGS)
    seconds = chosen.seconds or (MEASURE_S / 2 if chosen.quick else MEASURE_S)
    world = meadow(beings)
    print(f"meadow, {beings:,} founders on {world.common.height} x {world.common.width} cells; two nodes with one")
    print(f"thread each, on {os.cpu_count()} cores; the best {PART_S:.0f} s of {seconds:.0f} s, and the average\n")
    print(
        "| delay each way | ticks an exchange | ticks/s | average | CPU a tick | waiting | sent a tick | of the best |"
    )
    print("| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    results = {}
    for asked in chosen.only if chosen.only is not None else CHOICES:
        with tempfile.TemporaryDirectory(prefix="umwelt-latency-") as folder:
            results[asked] = measure(world, Path(folder), asked, seconds, chosen.turns)
        best = max(repeat.ticks_per_s for by_delay in results.values() for repeat in by_delay[0])
        for slow in (0, 1):
            print(format_row(DELAY_S * slow, asked, results[asked][slow], best), flush=True)
    if 0 not in results:
        return 0
    kept = max(repeat.ticks_per_s for repeat in results[0][1]) / best
    print(f"\n{kept:.2f} of the speed remains with {DELAY_S * 1e3:.0f} ms each way (at least {TARGET})")
    return 0 if kept >= TARGET else 1


if __name__ == "__main__":
    raise SystemExit(main())

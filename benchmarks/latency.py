"""What a slow network costs: two nodes with one thread each, without delay and with it, at several ticks an exchange.

    python -m benchmarks.latency             200,000 beings of the meadow, 50 ms each way; needs root and Linux
    python -m benchmarks.latency --quick     fewer beings, shorter stretches

The nodes live in network namespaces with a switch between them (`tests/cluster/virtual_network.py`) that delays every
frame; the coordinator runs on the host of the first node. Keys are on, and the hosts share no folder.
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
"""Large frames: the switch is a Python thread on the same cores."""
CHOICES = (0, 1, 2, 4, 8)
"""Ticks an exchange; 0: the coordinator chooses."""
SETTLE_S, CHOOSE_S, MEASURE_S, PART_S = 3.0, 12.0, 15.0, 4.0
TARGET = 0.5


def meadow(beings: int) -> WorldFile:
    """The meadow with that many founders, so dense that 200,000 of them live on 720 x 720 cells."""
    plain = read_world("meadow")
    factor = beings / sum(founder.count for founder in plain.settings.founders)
    side = round(SIDE_CELLS * (beings / BEINGS) ** 0.5)
    overrides = {"width": side, "height": side}
    for at, founder in enumerate(plain.settings.founders):
        overrides[f"founders.{at}.count"] = round(founder.count * factor)
    return read_world("meadow", overrides)


@dataclass
class Measured:
    """Two nodes for some seconds."""

    ticks_per_exchange: int
    ticks_per_s: float
    """In the best part of the time: others use the machine too."""
    on_average: float
    cpu_s: float
    """Of the processor, for a tick of the busier node."""
    waiting_share: float
    bytes_per_tick: float


def measure(world: WorldFile, folder: Path, asked: int, seconds: float, turns: int) -> list[list[Measured]]:
    """Run two nodes, without delay and with it by turns; what was measured without, and with."""
    found: list[list[Measured]] = [[], []]
    with VirtualNetwork(delay_s=DELAY_S, mtu_bytes=MTU_BYTES) as network:
        network.host("first"), network.host("second")
        run = NetworkRun(network, world, folder, "first", {"UMWELT_THREADS": "1"})
        try:
            # snapshots only where the exchange changes: their cost is another benchmark's
            run.start_coordinator(nodes=2, ticks_per_exchange=asked, mark_s=1e6, kept_s=1e6)
            run.start_node("first")
            run.start_node("second")
            run.until(lambda: run.tick >= 4, 180, "begin")
            for turn in range(2 * turns):
                slow = turn % 2 == 0
                network.delay_s = DELAY_S if slow else 0.0
                run.wait(SETTLE_S if asked else CHOOSE_S)
                found[slow].append(undisturbed(run, network, seconds))
        finally:
            run.close()
    return found


def undisturbed(run: NetworkRun, network: VirtualNetwork, seconds: float) -> Measured:
    """A stretch in which the map stayed as it was."""
    while True:
        run.until(lambda: run.status["phase"] == "running" and run.status["tick"], 120, "run")
        epoch, found = run.status["epoch"], stretch(run, network, seconds)
        if run.status["epoch"] == epoch:
            return found


def stretch(run: NetworkRun, network: VirtualNetwork, seconds: float) -> Measured:
    """What is measured over some seconds."""
    bytes_before, cpu_before = network.counts["bytes"], cpu_seconds(run)
    seen = [(time.monotonic(), run.tick)]
    shares = []
    while seen[-1][0] - seen[0][0] < seconds:
        run.turn()
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
    return Measured(
        run.status["ticks_per_exchange"],
        max(rates),
        ticks / (seen[-1][0] - seen[0][0]),
        cpu_s / ticks,
        median(shares),
        (network.counts["bytes"] - bytes_before) / ticks,
    )


def cpu_seconds(run: NetworkRun) -> list[float]:
    """Processor time of each node until now."""
    found = []
    for process in run.nodes.values():
        words = Path(f"/proc/{process.pid}/stat").read_text("ascii").rpartition(")")[2].split()
        found.append((int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK"))
    return found


def line(delay_s: float, asked: int, found: list[Measured], best: float) -> str:
    """One line of the table: the best of what was measured by turns."""
    top = max(found, key=lambda one: one.ticks_per_s)
    k = f"{top.ticks_per_exchange}{'' if asked else ' (chosen)'}"
    return (
        f"| {delay_s * 1e3:.0f} ms | {k} | {top.ticks_per_s:.2f} | {top.on_average:.2f} | {top.cpu_s * 1e3:.0f} ms "
        f"| {top.waiting_share:.0%} | {top.bytes_per_tick / 1e6:.2f} MB | {top.ticks_per_s / best:.2f} |"
    )


def main() -> int:
    """Print the table; 1 if less than half the speed is kept."""
    parser = ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--beings", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=0.0)
    parser.add_argument("--turns", type=int, default=2, help="how often delay and no delay take turns")
    parser.add_argument("--only", type=int, nargs="*", default=None, help="ticks an exchange, 0: chosen")
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
    found = {}
    for asked in chosen.only if chosen.only is not None else CHOICES:
        with tempfile.TemporaryDirectory(prefix="umwelt-latency-") as folder:
            found[asked] = measure(world, Path(folder), asked, seconds, chosen.turns)
        best = max(one.ticks_per_s for by_delay in found.values() for one in by_delay[0])
        for slow in (0, 1):
            print(line(DELAY_S * slow, asked, found[asked][slow], best), flush=True)
    if 0 not in found:
        return 0
    kept = max(one.ticks_per_s for one in found[0][1]) / best
    print(f"\n{kept:.2f} of the speed is kept with {DELAY_S * 1e3:.0f} ms each way (at least {TARGET})")
    return 0 if kept >= TARGET else 1


if __name__ == "__main__":
    raise SystemExit(main())

"""The sections of the table of `python -m benchmarks`: each measures, and compares its figures with targets.

An entity-tick is one being that is computed for one tick; an agent-step is the same in Mesa. A law is one of the
functions that compute a tick of a world.
"""

import os
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.chemical import chemical
from benchmarks.earth import SIZES, earth_world, law_seconds, living, measure_size
from benchmarks.measure import Effort, Section, median, spread, timed
from benchmarks.peers import SHEEP_REPRODUCE, WOLF_REPRODUCE, WOLF_SHARE, side_for
from benchmarks.workers import MESA_WARM_UP_STEPS, in_own_process, with_empty_cache
from benchmarks.workflow import workflow
from umwelt.agents.open_world import begin
from umwelt.agents.world_file import read_world
from umwelt.sandbox.kernel import crew
from umwelt.sandbox.step import advance

MIB = 1 << 20
NAMES = {10_000: "10k", 100_000: "100k", 1_000_000: "1M"}
"""The names of the sizes of worlds, by their number of founders (the beings at tick 0)."""


def earth(effort: Effort) -> Section:
    """Measures Earth with brains, senses, chemistry and fields at three sizes and one density."""
    section = Section("Earth, half of the beings monsters with brains, 0.39 beings a cell")
    sizes = {founders: measure_size(founders, effort) for founders in SIZES}
    section.raw = {NAMES[founders]: size for founders, size in sizes.items()}
    for founders, size in sizes.items():
        note = f"{size['beings']} beings at the end, {size['threads']} threads, repeats within {size['spread']:.2f}"
        target = 1.5e6 if founders == 1_000_000 else None
        section.add(f"entity-ticks a second, {NAMES[founders]}", size["entity_ticks_per_s"], "1/s", target, note=note)
    for founders, size in sizes.items():
        section.add(f"entity-ticks a CPU second, {NAMES[founders]}", size["entity_ticks_per_cpu_s"], "1/s")
    for founders, size in sizes.items():
        section.add(f"cost of an entity-tick, {NAMES[founders]}", 1e9 / size["entity_ticks_per_s"], "ns")
    cost = sizes[10_000]["entity_ticks_per_s"] / sizes[1_000_000]["entity_ticks_per_s"]
    section.add("cost at 1M over cost at 10k", cost, "", at_most=1.3)
    cpu = sizes[10_000]["entity_ticks_per_cpu_s"] / sizes[1_000_000]["entity_ticks_per_cpu_s"]
    section.add("CPU cost at 1M over CPU cost at 10k", cpu, "")
    for law in sizes[1_000_000]["laws_ms"]:
        shares = [size["laws_ms"][law] / sum(size["laws_ms"].values()) for size in sizes.values()]
        ns = sizes[1_000_000]["laws_ms"][law] * 1e6 / sizes[1_000_000]["beings"]
        others = ", ".join(f"{share:.1%} at {NAMES[founders]}" for founders, share in zip(sizes, shares, strict=True))
        section.add(f"share of {law}, 1M", 100 * shares[-1], "%", note=f"{others}; {ns:.0f} ns a being at 1M")
    return section


def fields(effort: Effort) -> Section:
    """Measures the laws of non-living matter on 512 x 512 cells without beings, and the sizes of beings and cells."""
    section = Section("Cells and bytes")
    world = earth_world(10_000, width=512, height=512, **{f"founders.{at}.count": 0 for at in range(5)})
    region = begin(world)
    advance(region, world.laws, 8)
    laps = [law_seconds(region, world.laws, effort.short(16)) for _ in range(effort.repeats)]
    substances, mobile = len(region.fields["substance"]), len(region.constants["mobile"])
    reactions = len(region.constants["cell.rate_q24"])
    cells = region.window.cells
    section.raw = {"laps_s": laps, "substances": substances, "mobile": mobile, "reactions": reactions}
    for law, count, what in (("flow", mobile + 1, "mobile substances"), ("react", reactions, "reactions")):
        seconds = median([lap[law] for lap in laps])
        note = f"{seconds * 1e9 / cells:.1f} ns a cell with {count} {what}; wall time, {crew.count} threads, with halo"
        section.add(f"{law}, a cell and substance", seconds * 1e9 / cells / substances, "ns", note=note)
        section.add(f"{law}, a cell and each of its {what}", seconds * 1e9 / cells / count, "ns")
    add_sizes(section)
    return section


def add_sizes(section: Section) -> None:
    """Adds the bytes of a being of each kind and of a cell to `section`.

    These are the sums over the declared columns and fields; the notes have the memory that a running world holds.
    """
    world = earth_world(100_000)
    region = begin(world)
    advance(region, world.laws, 4)
    for name, what, target in (("monsters", "a monster", 1000), ("plants", "a plant module", None)):
        table = region.tables[name]
        index = region.index(name).rows.itemsize
        held = table.resident_bytes / table.count
        note = f"{held:.0f} bytes held a row, {table.count} of {table.capacity} rows used"
        section.add(what, table.schema.row_bytes + index, "bytes", at_most=target, note=note)
    cell = sum(field.cell_bytes for field in region.field_list)
    scratch = sum(array.nbytes for array in region._scratch.values()) / region.window.cells
    section.add("a cell", cell, "bytes", note=f"and {scratch:.0f} bytes of scratch, 4 of index a kind")


def memory(effort: Effort) -> Section:
    """Measures the memory of a process that runs a 512 x 512 world with 100,000 beings."""
    section = Section("Memory of a process: 512 x 512 cells, 100k entities")
    runs = [in_own_process("memory", 100_000) for _ in range(1 if effort.quick else 3)]
    section.raw = {"runs": runs}
    note = f"{median([run['region_mib'] for run in runs]):.0f} MiB of it the world's arrays; {runs[0]['beings']} beings"
    section.add("resident", median([run["VmRSS"] for run in runs]), "MiB", at_most=400, note=note)
    section.add("peak resident", median([run["VmHWM"] for run in runs]), "MiB", at_most=400)
    return section


def start(effort: Effort) -> Section:
    """Measures the time from the start of the interpreter to the first tick, without and with cached kernels."""
    section = Section("From import to the first tick (golden)")
    cold = [with_empty_cache("first_tick") for _ in range(1 if effort.quick else 3)]
    in_own_process("first_tick")
    warm = [in_own_process("first_tick") for _ in range(effort.repeats)]
    section.raw = {"cold": cold, "warm": warm}
    note = "wall time from the start of the interpreter to its end"
    section.add("cold cache", median([run["wall_s"] for run in cold]), "s", at_most=45, note=note)
    section.add("warm cache", median([run["wall_s"] for run in warm]), "s", at_most=3, note=note)
    return section


def wolf_rate(animals: int, effort: Effort) -> dict[str, Any]:
    """Measures agent-steps of Umwelt's Wolf-Sheep model per second of user CPU time, by the ordinary `advance`.

    `animals` is the number of sheep and wolves at the start. In the result, `rate` is that figure and `wall_rate` the
    same per second of wall time; `ns_an_animal` has the wall time of each law.
    """
    side, wolves = side_for(animals), round(animals * WOLF_SHARE)
    world = read_world(
        "wolf_sheep",
        {
            "width": side,
            "height": side,
            "sheep.count": animals - wolves,
            "wolves.count": wolves,
            "sheep.reproduce": SHEEP_REPRODUCE,
            "wolves.reproduce": WOLF_REPRODUCE,
        },
    )
    region = begin(world)
    advance(region, world.laws, MESA_WARM_UP_STEPS)
    ticks = max(10, effort.short(2_000_000) // animals)
    user, wall = [], []
    for _ in range(effort.repeats):
        before = living(region)
        spent, _ = timed(lambda: advance(region, world.laws, ticks))
        work = ticks * (before + living(region)) / 2
        user.append(work / spent.user_s)
        wall.append(work / spent.wall_s)
    laws = law_seconds(region, world.laws, ticks)
    ns = {name: seconds * 1e9 / living(region) for name, seconds in laws.items()}
    return {
        "rate": median(user),
        "wall_rate": median(wall),
        "spread": spread(user),
        "ticks": ticks,
        "ns_an_animal": ns,
        "agents": living(region),
    }


def wolf(effort: Effort) -> Section:
    """Compares Mesa's Wolf-Sheep example with Umwelt's laws: same parameters, same density, per core."""
    section = Section("Wolf-Sheep, agent-steps a second of user CPU, parameters of coexistence")
    for animals in (10_000, 100_000):
        name = NAMES[animals]
        theirs = in_own_process("mesa_steps", animals)
        ours = wolf_rate(animals, effort)
        section.raw[name] = {"mesa": theirs, "umwelt": ours}
        note = f"{theirs['agents']} agents, steps of a repeat: {theirs['steps']}, no data collector"
        section.add(f"Mesa, {name}", theirs["rate"], "1/s", note=note)
        parts = ", ".join(f"{law} {ns:.0f}" for law, ns in ours["ns_an_animal"].items())
        note = f"{ours['agents']} agents, repeats within {ours['spread']:.2f}; ns an animal: {parts}"
        section.add(f"Umwelt, {name}", ours["rate"], "1/s", note=note)
        section.add(f"Umwelt over Mesa, {name}", ours["rate"] / theirs["rate"], "times", at_least=100)
    return section


def machine(effort: Effort) -> Section:
    """Measures the speed at which the machine copies memory."""
    section = Section("The machine")
    source = np.ones(1 << 25, np.int64)
    target = np.empty_like(source)
    np.copyto(target, source)
    rates = []
    for _ in range(effort.repeats * 2):
        spent, _ = timed(lambda: np.copyto(target, source))
        rates.append(2 * source.nbytes / spent.wall_s / 1e9)
    section.raw = {"rates": rates}
    note = f"numpy, one thread, {source.nbytes // MIB} MiB; read and written bytes; repeats within {spread(rates):.2f}"
    section.add("memory bandwidth of a copy", median(rates), "GB/s", note=note)
    section.add("cores this process may use", len(os.sched_getaffinity(0)), "")
    return section


SECTIONS: dict[str, Callable[[Effort], Section]] = {
    "earth": earth,
    "fields": fields,
    "memory": memory,
    "start": start,
    "wolf": wolf,
    "chemical": chemical,
    "workflow": workflow,
    "machine": machine,
}
"""The functions that measure a section, by the name for the option --only."""

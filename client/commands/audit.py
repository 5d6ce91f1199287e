"""The command `umwelt audit`: checks that a run lost and gained no atoms, and measures its cycles of matter.

A *pool* is a store of matter: a substance in all cells, or all bodies of a table, such as the plants. A *cycle* counts
one kind of particle in all pools: the atoms of an element, or the molecules of water or of oxygen gas. A *flow* is what
one process, such as a reaction, moved into and out of a pool. A world is *closed* if the atoms are the same in all
snapshots (saved states) and in all ticks of which the run's journal has counts, except for the atoms that commands
added or removed.
"""

import json
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from umwelt.agents.measures.cycles import Cycle, Turnover
from umwelt.client.commands.running import compile_laws, show_spinner
from umwelt.client.commands.verify import EXIT_DIFFERENT, show_replay
from umwelt.cluster import ClosureResult, CycleResult, check_closure, measure_cycles, open_store, read_run_world
from umwelt.sandbox.chemistry import CHARGE
from umwelt.sandbox.kernel import cached

NOT_SHOWN = ("hydrogen", "oxygen")
"""Elements whose cycles the printed table omits, since those of water and oxygen gas are more informative.

The JSON object includes them.
"""
WIDTH_COLUMNS = 120
"""Width of the table if output is not a terminal, in characters."""
FULL_FROM = 100
"""Numbers from this value on are printed without decimals."""


def audit_run(run: Path, ticks: int | None, as_json: bool) -> int:
    """Audits a run, prints the result, and returns the exit code: 0 if no atom is missing or in excess, else 1.

    Cycles of matter are measured over `ticks` ticks; if that is None, over one day of the world's climate.
    """
    store = open_store(run)
    world = read_run_world(store)
    if world.chemistry is None:
        line = f"the laws of {world.laws.name} have no substances: there is no matter to audit"
        print(json.dumps({"run": str(run), "matter": False, "line": line}) if as_json else f"{run}: {line}")
        return 0
    with show_spinner(f"counting {run}"):
        closure = check_closure(store, world)
    if not cached():
        compile_laws(world, Console(stderr=True))
    with show_replay(f"measuring {run}") as show:
        cycles = measure_cycles(store, ticks, show)
    for line in cycles.passed_over:
        if line.removesuffix(": skipped") not in closure.damaged:
            print(line, file=sys.stderr)
    if as_json:
        print(json.dumps(_result_as_plain(run, closure, cycles)))
    else:
        _print_result(run, closure, cycles)
    for line in [*closure.damaged, *([f"{run}: {closure.line}"] if closure.line else [])]:
        print(f"umwelt: {line}", file=sys.stderr)
    return 0 if closure.closed else EXIT_DIFFERENT


def _result_as_plain(run: Path, closure: ClosureResult, cycles: CycleResult) -> dict[str, Any]:
    """Returns the complete result as an object for JSON: the counts of atoms (`closure`) and the cycles of matter."""
    return {
        "run": str(run),
        "matter": True,
        "closed": closure.closed,
        "first_tick": closure.first_tick,
        "last_tick": closure.last_tick,
        "snapshots": closure.snapshots,
        "moments": closure.moments,
        "elements": {element: count for element, count in closure.atoms.items() if element != CHARGE},
        "charge": closure.atoms.get(CHARGE),
        "damaged": closure.damaged,
        "touched_tick": closure.touched_tick,
        "open_tick": closure.open_tick,
        "differs_tick": closure.differs_tick,
        "differs_element": closure.differs_element or None,
        "line": closure.line,
        "measured": {"from_tick": cycles.from_tick, "ticks": cycles.ticks, "day_ticks": cycles.day_ticks or None},
        "cycles": {cycle.name: _cycle_as_plain(cycle, cycles) for cycle in cycles.cycles},
    }


def _cycle_as_plain(cycle: Cycle, cycles: CycleResult) -> dict[str, Any]:
    """Returns a cycle with its pools and flows as an object for JSON."""
    pools = {
        turnover.pool: {
            "stock_first": turnover.stock_first,
            "stock_last": turnover.stock_last,
            "stock_mean": turnover.stock_mean,
            "inflow": turnover.inflow,
            "outflow": turnover.outflow,
            "residence_ticks": turnover.residence_ticks,
            "residence_days": _days(turnover.residence_ticks, cycles),
        }
        for turnover in cycle.pools
    }
    flows = [
        {"process": flow.process, "pool": flow.pool, "inflow": flow.inflow, "outflow": flow.outflow}
        for flow in cycle.flows
    ]
    return {"unit": cycle.unit, "pools": pools, "flows": flows}


def _days(ticks: float | None, cycles: CycleResult) -> float | None:
    """Converts ticks to days of the world's climate; None if `ticks` is None or the world has no days."""
    return ticks / cycles.day_ticks if ticks is not None and cycles.day_ticks else None


def _print_result(run: Path, closure: ClosureResult, cycles: CycleResult) -> None:
    counted = f"{closure.snapshots:,} snapshots and {closure.moments:,} journalled ticks"
    span = f"from tick {closure.first_tick:,} to {closure.last_tick:,}"
    if closure.closed:
        print(f"{run}: closed: no atom was gained or lost {span}: {counted} counted")
    else:
        print(f"{run}: {counted} hold the same atoms {span}")
    print("atoms: " + ", ".join(f"{name} {count:,}" for name, count in closure.atoms.items() if name != CHARGE))
    if CHARGE in closure.atoms:
        print(f"charge: {closure.atoms[CHARGE]:,}")
    if closure.touched_tick is not None:
        line = f"commands have added or removed matter since tick {closure.touched_tick:,}"
        print(f"{line}: {_accounted(closure)}")
    print(f"cycles, measured from tick {cycles.from_tick:,} to {cycles.from_tick + cycles.ticks:,}: mean stock, what")
    print("came in and went out in that time, and how long it stays (stock over outflow), in ticks and days\n")
    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDTH_COLUMNS)
    console.print(_cycles_table(cycles), highlight=False)


def _accounted(closure: ClosureResult) -> str:
    """Describes how far the journal accounts for the matter that commands have added or removed."""
    if closure.open_tick is None:
        return "all of it accounted for"
    return (
        f"from tick {closure.open_tick:,} on the journal does not say how much; what follows is compared with the next "
        "count"
    )


def _cycles_table(cycles: CycleResult) -> Table:
    """Returns a table with a row for each pool of each cycle: mean stock, inflow, outflow, residence time."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("pool")
    for head in ("stock", "in", "out", "ticks", "days"):
        table.add_column(head, justify="right", no_wrap=True)
    for cycle in cycles.cycles:
        if cycle.name in NOT_SHOWN:
            continue
        table.add_row()
        table.add_row(f"[bold]{cycle.name}[/], {cycle.unit}")
        for turnover in cycle.pools:
            flows = f"{turnover.inflow:,}", f"{turnover.outflow:,}"
            table.add_row(
                f"  {turnover.pool}", f"{turnover.stock_mean:,.0f}", *flows, *_format_residence(turnover, cycles)
            )
    return table


def _format_residence(turnover: Turnover, cycles: CycleResult) -> tuple[str, str]:
    """Formats the residence time of matter in a pool, in ticks and in days.

    If nothing flowed out, it is "more than" the length of the measurement; for an empty pool both texts are empty.
    """
    if turnover.residence_ticks is not None:
        days = _days(turnover.residence_ticks, cycles)
        return _format_number(turnover.residence_ticks), "" if days is None else _format_number(days)
    if not turnover.stock_sum:
        return "", ""
    days = _days(cycles.ticks, cycles)
    return f"more than {cycles.ticks:,}", "" if days is None else f"more than {_format_number(days)}"


def _format_number(value: float) -> str:
    """Formats a number with three significant digits, or as a whole number from `FULL_FROM` on."""
    return f"{value:,.0f}" if value >= FULL_FROM else f"{value:.3g}"

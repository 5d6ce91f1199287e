"""The audit as people read it: whether a run's world is closed, and how long matter stays in each of its pools."""

import json
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from umwelt.agents.measures.cycles import Cycle, Turnover
from umwelt.client.commands.running import compile_laws, making
from umwelt.client.commands.verify import OTHERWISE, counting
from umwelt.cluster.run.audit import ClosureResult, CycleResult, check_closure, measure_cycles
from umwelt.cluster.run.remote_store import open_store
from umwelt.cluster.run.replay import read_run_world
from umwelt.sandbox.chemistry import CHARGE
from umwelt.sandbox.kernel import cached

TOLD_BY_MOLECULES = ("hydrogen", "oxygen")
"""Elements whose cycles are not shown: those of water and oxygen gas say more. The JSON object has them too."""

WIDTH_COLUMNS = 120
"""Of the table, where it is not printed on a terminal."""


def audited(run: Path, ticks: int | None, as_json: bool) -> int:
    """Audit a run, show how far it is, and say what came out; gives the exit code."""
    store = open_store(run)
    world = read_run_world(store)
    if world.chemistry is None:
        line = f"the laws of {world.laws.name} know no substances: there is no matter to audit"
        print(json.dumps({"run": str(run), "matter": False, "line": line}) if as_json else f"{run}: {line}")
        return 0
    with making(f"counting {run}"):
        found = check_closure(store, world)
    if not cached():
        compile_laws(world, Console(stderr=True))
    with counting(f"measuring {run}") as seen:
        went = measure_cycles(store, ticks, seen)
    for line in went.passed_over:
        if line.removesuffix(": passed over") not in found.damaged:
            print(line, file=sys.stderr)
    if as_json:
        print(json.dumps(_as_plain(run, found, went)))
    else:
        _show(run, found, went)
    for line in [*found.damaged, *([f"{run}: {found.line}"] if found.line else [])]:
        print(f"umwelt: {line}", file=sys.stderr)
    return 0 if found.closed else OTHERWISE


def _as_plain(run: Path, found: ClosureResult, went: CycleResult) -> dict[str, Any]:
    """All that was found as one object."""
    return {
        "run": str(run),
        "matter": True,
        "closed": found.closed,
        "first_tick": found.first_tick,
        "last_tick": found.last_tick,
        "snapshots": found.snapshots,
        "moments": found.moments,
        "elements": {one: count for one, count in found.atoms.items() if one != CHARGE},
        "charge": found.atoms.get(CHARGE),
        "damaged": found.damaged,
        "touched_tick": found.touched_tick,
        "open_tick": found.open_tick,
        "differs_tick": found.differs_tick,
        "differs_element": found.differs_element or None,
        "line": found.line,
        "measured": {"from_tick": went.from_tick, "ticks": went.ticks, "day_ticks": went.day_ticks or None},
        "cycles": {cycle.name: _cycle_as_plain(cycle, went) for cycle in went.cycles},
    }


def _cycle_as_plain(cycle: Cycle, went: CycleResult) -> dict[str, Any]:
    pools = {
        one.pool: {
            "stock_first": one.stock_first,
            "stock_last": one.stock_last,
            "stock_mean": one.stock_mean,
            "inflow": one.inflow,
            "outflow": one.outflow,
            "residence_ticks": one.residence_ticks,
            "residence_days": _days(one.residence_ticks, went),
        }
        for one in cycle.pools
    }
    flows = [
        {"process": flow.process, "pool": flow.pool, "inflow": flow.inflow, "outflow": flow.outflow}
        for flow in cycle.flows
    ]
    return {"unit": cycle.unit, "pools": pools, "flows": flows}


def _days(ticks: float | None, went: CycleResult) -> float | None:
    return ticks / went.day_ticks if ticks is not None and went.day_ticks else None


def _show(run: Path, found: ClosureResult, went: CycleResult) -> None:
    """Print what was found."""
    counted = f"{found.snapshots:,} snapshots and {found.moments:,} journalled moments"
    span = f"from tick {found.first_tick:,} to {found.last_tick:,}"
    if found.closed:
        print(f"{run}: closed: every atom is there {span}: {counted} counted")
    else:
        print(f"{run}: {counted} hold the same atoms {span}")
    print("atoms: " + ", ".join(f"{one} {count:,}" for one, count in found.atoms.items() if one != CHARGE))
    if CHARGE in found.atoms:
        print(f"charge: {found.atoms[CHARGE]:,}")
    if found.touched_tick is not None:
        print(f"people have added or taken matter since tick {found.touched_tick:,}: {_accounted(found)}")
    print(f"cycles, measured from tick {went.from_tick:,} to {went.from_tick + went.ticks:,}: mean stock, what came in")
    print("and went out in that time, and how long it stays (stock over outflow), in ticks and days\n")
    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDTH_COLUMNS)
    console.print(_table(went), highlight=False)


def _accounted(found: ClosureResult) -> str:
    if found.open_tick is None:
        return "all of it accounted for"
    return (
        f"from tick {found.open_tick:,} on the journal does not tell how much; what follows is compared with the next "
        "count"
    )


def _table(went: CycleResult) -> Table:
    """Every pool of every cycle that is shown: mean stock, gross flows and residence time."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("pool")
    for head in ("stock", "in", "out", "ticks", "days"):
        table.add_column(head, justify="right", no_wrap=True)
    for cycle in went.cycles:
        if cycle.name in TOLD_BY_MOLECULES:
            continue
        table.add_row()
        table.add_row(f"[bold]{cycle.name}[/], {cycle.unit}")
        for one in cycle.pools:
            table.add_row(
                f"  {one.pool}", f"{one.stock_mean:,.0f}", f"{one.inflow:,}", f"{one.outflow:,}", *_residence(one, went)
            )
    return table


def _residence(one: Turnover, went: CycleResult) -> tuple[str, str]:
    """How long matter stays, in ticks and in days."""
    if one.residence_ticks is not None:
        days = _days(one.residence_ticks, went)
        return _number(one.residence_ticks), "" if days is None else _number(days)
    if not one.stock_sum:
        return "", ""
    days = _days(went.ticks, went)
    return f"more than {went.ticks:,}", "" if days is None else f"more than {_number(days)}"


def _number(value: float) -> str:
    """About three digits, in full."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"

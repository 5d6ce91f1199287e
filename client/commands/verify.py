"""A run's past: its ledger and its whole history again, with a progress bar; and how it stands to another's."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from umwelt.cluster.run.replay import verify
from umwelt.cluster.run.verify import compare
from umwelt.cluster.wire.keys import load_chain_public

OTHERWISE = 1


@contextmanager
def counting(what: str) -> Iterator[Callable[[int, int], None]]:
    """Shows how far a replay is, where there is a terminal: it is told each tick and the last one."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("tick {task.completed:,.0f} of {task.total:,.0f}"),
        TimeElapsedColumn(),
        TextColumn("left", style="dim"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(what, total=1)
        yield lambda tick, last: progress.update(task, completed=tick, total=last)


def verified(run: Path, nodes: int, keys: Path | None, as_json: bool) -> int:
    """Verify a run, show how far it is, and say what came out; gives the exit code."""
    public = load_chain_public(keys) if keys is not None else None
    with counting(f"verifying {run}") as seen:
        verdict = verify(run, nodes, seen, public)
    same = verdict.first_difference is None
    if as_json:
        print(json.dumps({"same": same, "nodes": nodes, "run": str(run), **asdict(verdict)}))
    counted = f"{verdict.compared:,} digests and {verdict.snapshots:,} snapshots"
    carried = f"{nodes} node{'s' if nodes > 1 else ''}"
    if same:
        if not as_json:
            print(f"{run}: the same, bit for bit, on {carried} up to tick {verdict.last_tick:,}: {counted} compared")
            for line in verdict.ledger:
                print(f"{run}: {line}")
        return 0
    replayed = f"; {counted} before it are the same" if verdict.replayed else ""
    print(f"umwelt: {run}: {verdict.line}{replayed}", file=sys.stderr)
    return OTHERWISE


def held_against(run: Path, other: Path, keys: Path | None, as_json: bool) -> int:
    """Say how the histories of two runs stand to each other; gives the exit code, 0 if they share anything."""
    how, line = compare(run, other, load_chain_public(keys) if keys is not None else None)
    apart = how.relation in ("nothing", "forged")
    if as_json:
        print(json.dumps({"run": str(run), "against": str(other), "line": line, **asdict(how)}))
    if apart:
        print(f"umwelt: {line}", file=sys.stderr)
        return OTHERWISE
    if not as_json:
        print(line)
    return 0

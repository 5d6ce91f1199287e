"""A run's past: its whole history again, with a progress bar, and whether it comes out the same."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from umwelt.cluster.recovery import verify

OTHERWISE = 1


@contextmanager
def counting(what: str) -> Iterator[Callable[[int, int], None]]:
    """Shows how far a replay is, where there is a terminal: it is told each tick and the last one."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"), BarColumn(), TextColumn("tick {task.completed:,.0f} of {task.total:,.0f}"),
        TimeElapsedColumn(), TextColumn("left", style="dim"), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(what, total=1)
        yield lambda tick, last: progress.update(task, completed=tick, total=last)


def verified(run: Path, nodes: int, as_json: bool) -> int:
    """Verify a run, show how far it is, and say what came out; gives the exit code."""
    with counting(f"verifying {run}") as seen:
        verdict = verify(run, nodes, seen)
    same = verdict.first_other is None
    if as_json:
        print(json.dumps({"same": same, "nodes": nodes, "run": str(run), **asdict(verdict)}))
    counted = f"{verdict.compared:,} digests and {verdict.snapshots:,} snapshots"
    carried = f"{nodes} node{'s' if nodes > 1 else ''}"
    if same:
        if not as_json:
            print(f"{run}: the same, bit for bit, on {carried} up to tick {verdict.last_tick:,}: {counted} compared")
        return 0
    print(f"umwelt: {run}: {verdict.line}; {counted} before it are the same", file=sys.stderr)
    return OTHERWISE

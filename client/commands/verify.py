"""The command `umwelt verify`: checks and replays the history of a run, or compares it with that of another run."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from umwelt.cluster import compare_runs, load_chain_public, verify_run

EXIT_DIFFERENT = 1
"""Exit code of a command that ran without an error, but found a difference or a violated expectation."""


@contextmanager
def show_replay(text: str) -> Iterator[Callable[[int, int], None]]:
    """Shows a progress bar, labelled `text`, for the time of the context, if stderr is a terminal.

    Yields a function that moves the bar; its arguments are the tick reached and the last tick of the replay.
    """
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
        task = progress.add_task(text, total=1)
        yield lambda tick, last: progress.update(task, completed=tick, total=last)


def show_verification(run: Path, nodes: int, keys: Path | None, as_json: bool) -> int:
    """Replays a run on `nodes` processes, prints whether its history is the same, and returns the exit code.

    Compares the digests (hashes of the world's state) that the run's journal recorded with those of the replay. The
    exit code is 0 if all are equal, else 1. `keys` is a folder or None: the journal's hash chain, in which each entry
    contains the hash of the entry before, must then be signed by the key of the file ledger.public in it.
    """
    public = load_chain_public(keys) if keys is not None else None
    with show_replay(f"verifying {run}") as show:
        result = verify_run(run, nodes, show, public)
    is_same = result.first_difference is None
    if as_json:
        print(json.dumps({"same": is_same, "nodes": nodes, "run": str(run), **asdict(result)}))
    counts = f"{result.compared:,} digests and {result.snapshots:,} snapshots"
    if is_same:
        if not as_json:
            on_nodes = f"{nodes} node{'s' if nodes > 1 else ''}"
            print(f"{run}: the same, bit for bit, on {on_nodes} up to tick {result.last_tick:,}: {counts} compared")
            for line in result.chain_lines:
                print(f"{run}: {line}")
        return 0
    replayed = f"; {counts} before it are the same" if result.replayed else ""
    print(f"umwelt: {run}: {result.line}{replayed}", file=sys.stderr)
    return EXIT_DIFFERENT


def show_comparison(run: Path, other: Path, keys: Path | None, as_json: bool) -> int:
    """Prints up to which tick two runs have the same history, and returns the exit code.

    The exit code is 1 if they share no history, or if a run does not match the hash chain in its journal; else 0.
    `keys` is a folder with the file ledger.public, whose key must have signed the chains; None for no such check.
    """
    comparison, line = compare_runs(run, other, load_chain_public(keys) if keys is not None else None)
    shares_nothing = comparison.relation in ("nothing", "forged")
    if as_json:
        print(json.dumps({"run": str(run), "against": str(other), "line": line, **asdict(comparison)}))
    if shares_nothing:
        print(f"umwelt: {line}", file=sys.stderr)
        return EXIT_DIFFERENT
    if not as_json:
        print(line)
    return 0

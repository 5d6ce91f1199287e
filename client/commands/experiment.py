"""umwelt experiment: run what is not run yet, with progress, and write tables, a page of plots and the verdict.

A folder holds `runs/`, a Parquet file for each finished run (what was measured; figures of the whole run, the digest at
its end and the key of the trial are in its metadata), `under_way/` with checkpoints, and what is made of all runs:
`results.parquet`, `outcomes.parquet`, `NAME.png`, `verdict.md`.
"""

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from umwelt.client.commands.running import compile_laws
from umwelt.client.commands.verify import OTHERWISE
from umwelt.client.experiments.outcomes import Finding, Run, analysed, compared, judged, outcome_rows
from umwelt.client.experiments.plan import Experiment, Trial, bundled_experiments, read_experiment
from umwelt.client.experiments.plots import draw_page
from umwelt.client.experiments.trial import Result, all_runs, job_of
from umwelt.cluster.ray.pool import ray_worker_pool
from umwelt.cluster.run.store import aside, writing
from umwelt.cluster.tasks.pool import WorkerPool, choose_process_count
from umwelt.sandbox.errors import RunError
from umwelt.sandbox.kernel import cached

ENGINES = ("local", "ray")
META = b"umwelt"


def experimented(name: str, quick: bool, to: Path | None, engine: str, processes: int, as_json: bool) -> int:
    """Carry out an experiment, as far as it is not done yet; gives the exit code."""
    if engine not in ENGINES:
        raise RunError(f"--engine {engine}: use {' or '.join(ENGINES)}")
    experiment = read_experiment(name, quick)
    folder = (to or Path("runs") / "experiments" / experiment.name) / ("quick" if quick else ".")
    console = Console(stderr=as_json)
    with writing(folder, "--to"):
        (folder / "runs").mkdir(parents=True, exist_ok=True)
    done = {trial: path for trial in experiment.trials if (path := _finished(folder, trial)) is not None}
    left = [trial for trial in experiment.trials if trial not in done]
    if done:
        console.print(f"{len(done)} of {len(experiment.trials)} runs are done already", highlight=False)

    def keep(trial: Trial, result: Result) -> None:
        path = _run_path(folder, trial)
        _write_run(path, trial, result)
        done[trial] = path

    try:
        _run(left, folder, engine, processes, keep)
    except KeyboardInterrupt:
        console.print(
            f"{len(done)} of {len(experiment.trials)} runs are done; the same command goes on from here",
            highlight=False,
        )
        raise
    runs = [_read_run(done[trial], trial, experiment.file.analyses) for trial in experiment.trials]
    findings = judged(experiment, runs)
    with writing(folder, "--to"):
        paths = _write_all(folder, experiment, runs, findings)
    _show(console, experiment, findings)
    for path in paths:
        console.print(str(path), highlight=False, markup=False, soft_wrap=True)
    if as_json:
        told = [
            {
                "says": one.expectation.says,
                "value": one.expectation.value,
                "values": _plain(one.values),
                "held": one.held,
                "wanted": one.wanted,
                "holds": one.holds,
            }
            for one in findings
        ]
        print(json.dumps({"experiment": experiment.name, "runs": len(runs), "expectations": told}))
    return 0 if all(one.holds for one in findings) else OTHERWISE


def _plain(values: Sequence[float]) -> list[float | None]:
    return [None if np.isnan(value) else value for value in values]


# --- running


def _run(
    left: Sequence[Trial], folder: Path, engine: str, processes: int, keep: Callable[[Trial, Result], None]
) -> None:
    """Run the trials that are left side by side; what comes of each is kept as it ends."""
    if not left:
        return
    if not cached():
        compile_laws(left[0].world, Console(stderr=True))
    jobs = [job_of(trial, folder.absolute() / "under_way" / trial.name) for trial in left]
    with _progress(left) as seen, _workshop(left, engine, processes, seen) as shop:

        def ended(which: int, result: Result) -> None:
            seen(str(which), left[which].ticks)
            if not Console(stderr=True).is_terminal:
                print(f"{_said(left[which])}: done", file=sys.stderr)
            keep(left[which], result)

        shop.run_workflow(all_runs, jobs, ended)


def _workshop(left: Sequence[Trial], engine: str, processes: int, seen: Callable[[str, int], None]) -> Any:
    if engine == "ray":
        return ray_worker_pool(len(left), processes, seen)
    return WorkerPool(choose_process_count([trial.world for trial in left], processes), on_tick=seen)


@contextmanager
def _progress(left: Sequence[Trial]) -> Iterator[Any]:
    """A bar for all and one for each run under way; where there is no terminal, a line for each that is done."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,.0f} of {task.total:,.0f} ticks"),
        TimeElapsedColumn(),
        TextColumn("left", style="dim"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        whole = progress.add_task(f"{len(left)} runs", total=sum(trial.ticks for trial in left))
        reached = [0] * len(left)
        bars: dict[int, Any] = {}

        def seen(ticket: str, tick: int) -> None:
            which = int(ticket)
            trial = left[which]
            if which not in bars:
                bars[which] = progress.add_task(_said(trial), total=trial.ticks)
            reached[which] = tick
            progress.update(bars[which], completed=tick, visible=tick < trial.ticks)
            progress.update(whole, completed=sum(reached))

        yield seen


def _said(trial: Trial) -> str:
    point = ", ".join(f"{key} {value}" for key, value in trial.values.items())
    return f"seed {trial.seed}" + (f", {point}" if point else "")


# --- files


def _run_path(folder: Path, trial: Trial) -> Path:
    return folder / "runs" / f"{trial.name}.parquet"


def _finished(folder: Path, trial: Trial) -> Path | None:
    """Where a trial's results lie; refused if they are of another trial, or of other laws."""
    path = _run_path(folder, trial)
    if not path.exists():
        return None
    if _meta(path)["key"] != trial.key:
        line = "is of another experiment or of other laws: choose another folder with --to, or remove it"
        raise RunError(f"{path}: {line}")
    return path


def _meta(path: Path) -> dict[str, Any]:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        return json.loads(parquet.read_schema(path).metadata[META])
    except (OSError, pa.ArrowException, ValueError, KeyError, TypeError):
        raise RunError(f"{path}: is no result of a run: remove it, and it is run again") from None


def _table(rows: Sequence[dict[str, Any]]) -> Any:
    import pyarrow as pa

    columns = {}
    for name in dict.fromkeys(name for row in rows for name in row):
        values = [row.get(name) for row in rows]
        try:
            columns[name] = pa.array(values)
        except pa.ArrowException:  # points may set a key to a word here and to a number there
            columns[name] = pa.array([None if one is None else str(one) for one in values])
    return pa.table(columns)


def _write_run(path: Path, trial: Trial, result: Result) -> None:
    """Keep what a run found; whole or not at all."""
    from pyarrow import parquet

    meta = {"key": trial.key, "figures": result.figures, "digest": f"{result.digest:016x}"}
    table = _table(result.rows).replace_schema_metadata({META: json.dumps(meta).encode()})
    with writing(path.parent, "--to"), aside(path) as half:
        parquet.write_table(table, half, compression="zstd")


def _read_run(path: Path, trial: Trial, analyses: Sequence[str]) -> Run:
    from pyarrow import parquet

    table = parquet.read_table(path)
    columns = {
        name: np.array([np.nan if one is None else one for one in table.column(name).to_pylist()], np.float64)
        for name in table.column_names
    }
    return analysed(trial, columns, _meta(path)["figures"], analyses)


def _write_all(folder: Path, experiment: Experiment, runs: Sequence[Run], findings: Sequence[Finding]) -> list[Path]:
    """Write tables, the page of plots and the verdict; gives their paths."""
    from pyarrow import parquet

    rows = []
    for run in runs:
        ticks = len(run.columns["tick"])
        point = {**run.trial.values, "seed": run.trial.seed}
        rows += [{**point, **{name: values[at] for name, values in run.columns.items()}} for at in range(ticks)]
    outcomes = outcome_rows(experiment, runs, findings)
    paths = [folder / name for name in ("results.parquet", "outcomes.parquet", f"{experiment.name}.png", "verdict.md")]
    for path, found in zip(paths[:2], (rows, outcomes), strict=True):
        with aside(path) as half:
            parquet.write_table(_table(found), half, compression="zstd")
    with aside(paths[2]) as half:
        draw_page(half, experiment, runs)
    with aside(paths[3]) as half:
        half.write_text(_verdict(experiment, runs, findings), "utf-8")
    return [Path(os.path.normpath(path)) for path in paths]


# --- the verdict

HEAD = ("expected", "outcome", "bounds", "found: median (range)", "in runs", "holds")


def _cells(one: Finding) -> tuple[str, ...]:
    return (
        one.expectation.says,
        one.expectation.value,
        one.bounds,
        one.told,
        _held(one),
        "yes" if one.holds else "NO",
    )


def _held(one: Finding) -> str:
    """In how many runs it held, and how many would have been enough where that is fewer."""
    count = len(one.values)
    if not one.runs and one.values:
        return "all together"
    return f"{one.held} of {count}" + (f" ({one.wanted} wanted)" if one.wanted < count else "")


def _asked_for(experiment: Experiment) -> str:
    """What does it again: the name of a bundled one, or else the path."""
    bundled = bundled_experiments().get(experiment.name)
    return experiment.name if str(bundled) == experiment.source else experiment.source


def _verdict(experiment: Experiment, runs: Sequence[Run], findings: Sequence[Finding]) -> str:
    """The verdict as Markdown."""
    file = experiment.file
    lines = [f"# {experiment.name}", "", file.summary, ""]
    lines += [f"Source: {file.source}", ""] if file.source else []
    seeds = sorted({run.trial.seed for run in runs})
    quick = " --quick" if experiment.quick else ""
    size = "{0.height} x {0.width}".format(experiment.trials[0].world.common)
    points = f"{len(experiment.points)} point{'s' * (len(experiment.points) != 1)}"
    what = f"{file.world}, {size} cells, {file.ticks:,} ticks, {points}, seeds {seeds}"
    lines += [f"`umwelt experiment {_asked_for(experiment)}{quick}`: {what}.", ""]
    if findings:
        lines += [f"| {' | '.join(HEAD)} |", "|" + " --- |" * len(HEAD)]
        lines += [f"| {' | '.join(cell.replace('|', '&#124;') for cell in _cells(one))} |" for one in findings]
    else:
        lines += ["Nothing is judged in this form."]
    if whole := compared(runs, file.across):
        told = ", ".join(f"`{name}` {value:.4g}" for name, value in whole.items() if not np.isnan(value))
        lines += ["", f"All runs together: {told}."]
    return "\n".join([*lines, "", f"![{experiment.name}]({experiment.name}.png)", ""])


def _show(console: Console, experiment: Experiment, findings: Sequence[Finding]) -> None:
    if not findings:
        line = f"{experiment.name}: {len(experiment.trials)} runs; nothing is judged in this form"
        console.print(line, highlight=False)
        return
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in HEAD:
        table.add_column(name, overflow="fold")
    for one in findings:
        table.add_row(*map(Text, _cells(one)), style=None if one.holds else "bold red")
    console.print(table, highlight=False)

"""The command `umwelt experiment`: runs the unfinished trials of an experiment; writes tables, plots and a verdict.

An experiment varies some keys of a world file, and states expectations of the outcome. A trial is one world of the
experiment, with one value of each varied key and one seed; messages call it a run. Its figures are named numbers that
are computed from the whole trial. An analysis is a function from the measured columns of a trial to such numbers. A
finding is an expectation with the values that were found and whether it holds.

The folder of an experiment contains:

    runs/               a Parquet file for each finished trial: measured columns; in its metadata, the key (a hash of
                        all that the results depend on), the figures, and the world's digest at the end
    under_way/          saved states of unfinished trials, from which they are continued
    results.parquet     the measured columns of all trials
    outcomes.parquet    the outcomes of all trials
    NAME.png            a page of plots
    verdict.md          the expectations and whether they hold
"""

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from umwelt.client.commands.running import compile_laws
from umwelt.client.commands.verify import EXIT_DIFFERENT
from umwelt.client.experiments.outcomes import Finding, Run, analyse, analyse_across, judge, outcome_rows
from umwelt.client.experiments.plan import Experiment, Trial, bundled_experiments, read_experiment
from umwelt.client.experiments.plots import draw_page
from umwelt.client.experiments.trial import Result, all_runs, make_job
from umwelt.cluster import WorkerPool, choose_process_count, ray_worker_pool, replace_file, report_disk_errors
from umwelt.sandbox.errors import RunError
from umwelt.sandbox.kernel import cached

ENGINES = ("local", "ray")
METADATA_KEY = b"umwelt"
"""The key in a Parquet file's metadata under which this module stores a JSON object."""

Show = Callable[[str, int], None]
"""A function that shows the progress of a trial, given its position in a list of trials (as text) and its tick."""


def run_experiment(name: str, quick: bool, to: Path | None, engine: str, processes: int, as_json: bool) -> int:
    """Runs the unfinished trials of an experiment, writes and prints the results, and returns the exit code.

    `processes` is the number of trials that run at the same time; 0 chooses it automatically. The exit code is 0 if all
    expectations hold, else 1.
    """
    if engine not in ENGINES:
        raise RunError(f"--engine {engine}: use {' or '.join(ENGINES)}")
    experiment = read_experiment(name, quick)
    folder = (to or Path("runs") / "experiments" / experiment.name) / ("quick" if quick else ".")
    console = Console(stderr=as_json)
    with report_disk_errors(folder, "--to"):
        (folder / "runs").mkdir(parents=True, exist_ok=True)
    paths = {trial: path for trial in experiment.trials if (path := _find_finished(folder, trial)) is not None}
    left = [trial for trial in experiment.trials if trial not in paths]
    if paths:
        console.print(f"{len(paths)} of {len(experiment.trials)} runs are finished already", highlight=False)

    def keep(trial: Trial, result: Result) -> None:
        path = _run_path(folder, trial)
        _write_run(path, trial, result)
        paths[trial] = path

    try:
        _run_trials(left, folder, engine, processes, keep)
    except KeyboardInterrupt:
        line = f"{len(paths)} of {len(experiment.trials)} runs are finished; the same command continues from here"
        console.print(line, highlight=False)
        raise
    runs = [_read_run(paths[trial], trial, experiment.file.analyses) for trial in experiment.trials]
    findings = judge(experiment, runs)
    with report_disk_errors(folder, "--to"):
        result_paths = _write_results(folder, experiment, runs, findings)
    _print_findings(console, experiment, findings)
    for path in result_paths:
        console.print(str(path), highlight=False, markup=False, soft_wrap=True)
    if as_json:
        expectations = [
            {
                "says": finding.expectation.says,
                "value": finding.expectation.value,
                "values": [None if np.isnan(value) else value for value in finding.values],
                "held": finding.satisfied_count,
                "wanted": finding.needed_count,
                "holds": finding.holds,
            }
            for finding in findings
        ]
        print(json.dumps({"experiment": experiment.name, "runs": len(runs), "expectations": expectations}))
    return 0 if all(finding.holds for finding in findings) else EXIT_DIFFERENT


# --- running


def _run_trials(
    left: Sequence[Trial], folder: Path, engine: str, processes: int, keep: Callable[[Trial, Result], None]
) -> None:
    """Runs the trials `left` concurrently, and calls `keep` with each result as soon as the trial ends."""
    if not left:
        return
    if not cached():
        compile_laws(left[0].world, Console(stderr=True))
    jobs = [make_job(trial, folder.absolute() / "under_way" / trial.name) for trial in left]
    with _show_progress(left) as show, _worker_pool(left, engine, processes, show) as pool:

        def ended(number: int, result: Result) -> None:
            show(str(number), left[number].ticks)
            if not Console(stderr=True).is_terminal:
                print(f"{_describe_trial(left[number])}: done", file=sys.stderr)
            keep(left[number], result)

        pool.run_workflow(all_runs, jobs, ended)


def _worker_pool(left: Sequence[Trial], engine: str, processes: int, show: Show) -> AbstractContextManager[WorkerPool]:
    """Returns a pool of processes, on this machine or on a Ray cluster, that runs the trials `left`."""
    if engine == "ray":
        return ray_worker_pool(len(left), processes, show)
    return WorkerPool(choose_process_count([trial.world for trial in left], processes), on_tick=show)


@contextmanager
def _show_progress(left: Sequence[Trial]) -> Iterator[Show]:
    """Shows a progress bar for all trials and one for each running trial, if stderr is a terminal.

    Yields the function that moves the bars.
    """
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
        ticks_done = [0] * len(left)
        bars: dict[int, TaskID] = {}

        def show(ticket: str, tick: int) -> None:
            number = int(ticket)
            trial = left[number]
            if number not in bars:
                bars[number] = progress.add_task(_describe_trial(trial), total=trial.ticks)
            ticks_done[number] = tick
            progress.update(bars[number], completed=tick, visible=tick < trial.ticks)
            progress.update(whole, completed=sum(ticks_done))

        yield show


def _describe_trial(trial: Trial) -> str:
    """Returns the seed and the varied keys of a trial as text."""
    point = ", ".join(f"{key} {value}" for key, value in trial.values.items())
    return f"seed {trial.seed}" + (f", {point}" if point else "")


# --- files


def _run_path(folder: Path, trial: Trial) -> Path:
    """Returns the path of the file with a trial's result, which need not exist."""
    return folder / "runs" / f"{trial.name}.parquet"


def _find_finished(folder: Path, trial: Trial) -> Path | None:
    """Returns the file with a trial's result, or None if there is none.

    Raises RunError if the file is the result of another experiment or of other laws, as its key shows.
    """
    path = _run_path(folder, trial)
    if not path.exists():
        return None
    if _read_metadata(path)["key"] != trial.key:
        line = "is of another experiment or of other laws: choose another folder with --to, or remove it"
        raise RunError(f"{path}: {line}")
    return path


def _read_metadata(path: Path) -> dict[str, Any]:
    """Returns the object that `_write_run` stored in a file's metadata. Raises RunError if it cannot be read."""
    import pyarrow as pa
    from pyarrow import parquet

    try:
        return dict(json.loads(parquet.read_schema(path).metadata[METADATA_KEY]))
    except (OSError, pa.ArrowException, ValueError, KeyError, TypeError):
        raise RunError(f"{path}: is not a result of a run: remove it, and the run is repeated") from None


def _make_table(rows: Sequence[dict[str, Any]]) -> Any:
    """Returns a `pyarrow.Table` of `rows`; keys that a row does not have are null in it."""
    import pyarrow as pa

    columns = {}
    for name in dict.fromkeys(name for row in rows for name in row):
        values = [row.get(name) for row in rows]
        try:
            columns[name] = pa.array(values)
        except pa.ArrowException:  # a varied key can be text at one point and a number at another
            columns[name] = pa.array([None if value is None else str(value) for value in values])
    return pa.table(columns)


def _write_run(path: Path, trial: Trial, result: Result) -> None:
    """Writes the result of a trial to a Parquet file, atomically: an interrupted write leaves no partial file."""
    from pyarrow import parquet

    metadata = {"key": trial.key, "figures": result.figures, "digest": f"{result.digest:016x}"}
    table = _make_table(result.rows).replace_schema_metadata({METADATA_KEY: json.dumps(metadata).encode()})
    with report_disk_errors(path.parent, "--to"), replace_file(path) as unfinished:
        parquet.write_table(table, unfinished, compression="zstd")


def _read_run(path: Path, trial: Trial, analyses: Sequence[str]) -> Run:
    """Returns the finished trial in a file that `_write_run` wrote, with the results of the analyses `analyses`.

    Null in the file becomes NaN.
    """
    from pyarrow import parquet

    table = parquet.read_table(path)
    columns = {
        name: np.array([np.nan if value is None else value for value in table.column(name).to_pylist()], np.float64)
        for name in table.column_names
    }
    return analyse(trial, columns, _read_metadata(path)["figures"], analyses)


def _write_results(
    folder: Path, experiment: Experiment, runs: Sequence[Run], findings: Sequence[Finding]
) -> list[Path]:
    """Writes two tables, the page of plots and the verdict into `folder`; returns the four paths."""
    from pyarrow import parquet

    rows = []
    for run in runs:
        point = {**run.trial.values, "seed": run.trial.seed}
        for number in range(len(run.columns["tick"])):
            rows.append({**point, **{name: values[number] for name, values in run.columns.items()}})
    outcomes = outcome_rows(experiment, runs, findings)
    paths = [folder / name for name in ("results.parquet", "outcomes.parquet", f"{experiment.name}.png", "verdict.md")]
    for path, table_rows in zip(paths[:2], (rows, outcomes), strict=True):
        with replace_file(path) as unfinished:
            parquet.write_table(_make_table(table_rows), unfinished, compression="zstd")
    with replace_file(paths[2]) as unfinished:
        draw_page(unfinished, experiment, runs)
    with replace_file(paths[3]) as unfinished:
        unfinished.write_text(_verdict(experiment, runs, findings), "utf-8")
    return [Path(os.path.normpath(path)) for path in paths]


# --- the verdict

HEAD = ("expected", "outcome", "bounds", "found: median (range)", "in runs", "holds")
"""The column titles of the table of expectations; "in runs" is the number of trials that satisfy an expectation."""


def _cells(finding: Finding) -> tuple[str, ...]:
    """Returns the row of an expectation in that table, with one text for each title of `HEAD`."""
    return (
        finding.expectation.says,
        finding.expectation.value,
        finding.bounds,
        finding.summary,
        _count_text(finding),
        "yes" if finding.holds else "NO",
    )


def _count_text(finding: Finding) -> str:
    """Returns the number of trials that satisfy an expectation, and the required number if not all must, as text.

    For an expectation of a number that is computed from all trials, returns "all together".
    """
    run_count, needed_count = len(finding.values), finding.needed_count
    if not finding.runs and finding.values:
        return "all together"
    needed = f" ({needed_count} wanted)" if needed_count < run_count else ""
    return f"{finding.satisfied_count} of {run_count}{needed}"


def _argument(experiment: Experiment) -> str:
    """Returns the argument for `umwelt experiment`: the name if the experiment is bundled, else its file's path."""
    bundled = bundled_experiments().get(experiment.name)
    return experiment.name if str(bundled) == experiment.source else experiment.source


def _verdict(experiment: Experiment, runs: Sequence[Run], findings: Sequence[Finding]) -> str:
    """Returns the text of `verdict.md`: the experiment's summary and a table of expectations, as Markdown."""
    file = experiment.file
    lines = [f"# {experiment.name}", "", *([file.summary, ""] if file.summary else [])]
    lines += [f"Source: {file.source}", ""] if file.source else []
    seeds = sorted({run.trial.seed for run in runs})
    quick = " --quick" if experiment.quick else ""
    size = "{0.height} x {0.width}".format(experiment.trials[0].world.common)
    points = f"{len(experiment.points)} point{'s' * (len(experiment.points) != 1)}"
    what = f"{file.world}, {size} cells, {file.ticks:,} ticks, {points}, seeds {seeds}"
    lines += [f"`umwelt experiment {_argument(experiment)}{quick}`: {what}.", ""]
    if findings:
        lines += [f"| {' | '.join(HEAD)} |", "|" + " --- |" * len(HEAD)]
        rows = ([cell.replace("|", "&#124;") for cell in _cells(finding)] for finding in findings)
        lines += [f"| {' | '.join(row)} |" for row in rows]
    else:
        lines += ["Nothing is judged in this form."]
    if figures := analyse_across(runs, file.across):
        texts = [f"`{name}` {value:.4g}" for name, value in figures.items() if not np.isnan(value)]
        lines += ["", f"All runs together: {', '.join(texts)}."]
    return "\n".join([*lines, "", f"![{experiment.name}]({experiment.name}.png)", ""])


def _print_findings(console: Console, experiment: Experiment, findings: Sequence[Finding]) -> None:
    """Prints the table of expectations; those that do not hold in red."""
    if not findings:
        line = f"{experiment.name}: {len(experiment.trials)} runs; nothing is judged in this form"
        console.print(line, highlight=False)
        return
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in HEAD:
        table.add_column(name, overflow="fold")
    for finding in findings:
        table.add_row(*map(Text, _cells(finding)), style=None if finding.holds else "bold red")
    console.print(table, highlight=False)

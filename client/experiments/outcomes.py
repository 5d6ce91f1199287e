"""The outcomes of an experiment's runs, and the evaluation of its expectations. No I/O.

An outcome is a named number of a run: a figure or `COLUMN.STATISTIC`, a statistic of a measured column. A figure is the
result of an analysis, or of a duel or a garden, which compare descendants with founders in new worlds. A point is a
combination of values of the varied keys. The quick form of an experiment is a shortened version.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from umwelt.client.experiments.across_runs import ACROSS
from umwelt.client.experiments.analyses import ANALYSES
from umwelt.client.experiments.plan import Experiment, Trial
from umwelt.client.experiments.schema import STATISTICS, Expectation, Values, find_partner, select_points
from umwelt.sandbox.errors import WorldFileError
from umwelt.sandbox.text import one_line

Statistic = Callable[[np.ndarray], Any]
FULL_FROM = 10_000
"""Absolute value from which numbers are formatted without decimals."""

ENDS: dict[str, Statistic] = {
    "start": lambda values: values[0],
    "end": lambda values: values[-1],
    "rise": lambda values: values[-1] - values[0],
}
"""Statistics of a column's first and last values; NaN if the value used is missing."""
OVERALL: dict[str, Statistic] = {
    "mean": np.mean,
    "min": np.min,
    "max": np.max,
    "range": np.ptp,
    "dispersion": lambda values: values.var() / values.mean() if values.mean() else np.nan,
}
"""Statistics of all values except NaN. `dispersion`, the variance divided by the mean, is about 1 for random counts."""


@dataclass(frozen=True)
class Run:
    """A finished trial: its measured columns, with NaN for missing values, and its figures."""

    trial: Trial
    columns: Mapping[str, np.ndarray]
    figures: Mapping[str, float]

    def value(self, name: str, first: int = 0, until: int | None = None) -> float:
        """Returns the outcome called `name`: a figure, or a statistic of a column; NaN if there is none.

        Statistics use the measurements at ticks from `first` to `until`, inclusive (None: the end of the run).
        """
        if name in self.figures:
            return float(self.figures[name])
        column, _, statistic = name.rpartition(".")
        values = self.columns.get(column)
        if values is None or statistic not in STATISTICS:
            return float("nan")
        ticks = self.columns["tick"]
        chosen = values[(ticks >= first) & (ticks <= (ticks[-1] if until is None else until))]
        if statistic in ENDS:
            return float(ENDS[statistic](chosen)) if len(chosen) else float("nan")
        chosen = chosen[~np.isnan(chosen)]
        return float(OVERALL[statistic](chosen)) if len(chosen) else float("nan")


def analyse(trial: Trial, columns: Mapping[str, np.ndarray], figures: Mapping[str, float], names: Sequence[str]) -> Run:
    """Returns a run with `figures` and those of the analyses in `names`.

    Raises WorldFileError if an analysis needs a column that was not measured.
    """
    all_figures = dict(figures)
    for name in names:
        try:
            all_figures |= ANALYSES[name](columns)
        except KeyError as error:
            line = f'analyses: "{name}" needs the column {one_line(error.args[0])}: add the measure that returns it'
            raise WorldFileError(line) from None
    return Run(trial, columns, all_figures)


@dataclass(frozen=True)
class Finding:
    """The evaluation of an expectation.

    `runs` are the runs that it selects, and `values` the value of each. `satisfied_count` is the number of values
    within the bounds, and `needed_count` the number that is required. For a figure across all runs, `values` has one
    entry and `runs` is empty.
    """

    expectation: Expectation
    runs: tuple[Run, ...]
    values: tuple[float, ...]
    satisfied_count: int
    needed_count: int

    @property
    def holds(self) -> bool:
        """Whether enough runs satisfy the expectation."""
        return bool(self.values) and self.satisfied_count >= self.needed_count

    @property
    def bounds(self) -> str:
        """Text of the expectation's bounds, such as "above 0" or "0.5 to 1"."""
        expectation = self.expectation
        if expectation.between is not None:
            return f"{expectation.between[0]:g} to {expectation.between[1]:g}"
        parts = [("above", expectation.above), ("below", expectation.below)]
        return ", ".join(f"{word} {value:g}" for word, value in parts if value is not None)

    @property
    def summary(self) -> str:
        """Text of the median and the range of the values; "nothing measured" if all are NaN."""
        known = [value for value in self.values if not np.isnan(value)]
        if not known:
            return "nothing measured"
        median = _format(float(np.median(known)))
        return median if len(known) == 1 else f"{median} ({_format(min(known))} to {_format(max(known))})"


def _format(value: float) -> str:
    """Formats `value` with four significant digits, or from `FULL_FROM` on as a whole number."""
    return f"{value:,.0f}" if abs(value) >= FULL_FROM else f"{value:.4g}"


def analyse_across(runs: Sequence[Run], names: Sequence[str]) -> dict[str, float]:
    """Returns the figures across all runs that the analyses in `names` compute.

    Raises WorldFileError if an analysis needs a varied key that the points lack.
    """
    rows = [{**run.trial.values, **run.figures} for run in runs]
    figures: dict[str, float] = {}
    for name in names:
        try:
            figures |= ACROSS[name](rows)
        except KeyError as error:
            line = f'across: "{name}" needs {one_line(error.args[0])} at each point: add it to vary or points'
            raise WorldFileError(line) from None
    return figures


def judge(experiment: Experiment, runs: Sequence[Run]) -> list[Finding]:
    """Evaluates the expectations and returns the results; in the quick form, only those with `quick = true`."""
    across = analyse_across(runs, experiment.file.across)
    expectations = [one for one in experiment.file.expect if one.quick or not experiment.quick]
    return [_judge(expectation, runs, experiment.points, across) for expectation in expectations]


def _judge(
    expectation: Expectation, runs: Sequence[Run], points: Sequence[Values], across: Mapping[str, float]
) -> Finding:
    """Evaluates one expectation; `points` are all points, and `across` the figures across all runs.

    A run satisfies the expectation if its value is not NaN and within the bounds. With `against`, the value is the
    difference to the run of the same seed at the point with which `against` compares.
    """
    if expectation.value in across:
        value = across[expectation.value]
        return Finding(expectation, (), (value,), int(expectation.holds(value)), 1)
    run_by_trial = {(run.trial.point, run.trial.seed): run for run in runs}
    selected = select_points(expectation, points)
    judged_runs = [run for run in runs if run.trial.point in selected]
    values = []
    for run in judged_runs:
        value = run.value(expectation.value, expectation.first, expectation.until)
        partner = find_partner(expectation, points[run.trial.point], points) if expectation.against else None
        if partner is not None:
            other = run_by_trial[partner, run.trial.seed]
            value -= other.value(expectation.value, expectation.first, expectation.until)
        values.append(value)
    satisfied_count = sum(not np.isnan(value) and expectation.holds(value) for value in values)
    needed_count = len(values) if expectation.in_runs is None else min(expectation.in_runs, len(values))
    return Finding(expectation, tuple(judged_runs), tuple(values), satisfied_count, needed_count)


def outcome_rows(experiment: Experiment, runs: Sequence[Run], findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """Returns a row for each run: varied keys, seed, plotted outcomes, figures, and the values of expectations.

    The value of a run for an expectation has the expectation's text `says` as its key.
    """
    plotted = list(dict.fromkeys(name for plot in experiment.file.plots for name in plot.outcomes))
    rows = {
        run.trial.name: {
            **run.trial.values,
            "seed": run.trial.seed,
            **{name: run.value(name) for name in plotted},
            **run.figures,
        }
        for run in runs
    }
    for finding in findings:
        for run, value in zip(finding.runs, finding.values, strict=bool(finding.runs)):
            rows[run.trial.name][finding.expectation.says] = value
    return list(rows.values())

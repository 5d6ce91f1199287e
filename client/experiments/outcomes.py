"""What came out of an experiment's runs, and whether it is what was expected. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from umwelt.client.experiments.across_runs import ACROSS
from umwelt.client.experiments.analyses import ANALYSES
from umwelt.client.experiments.plan import Experiment, Trial
from umwelt.client.experiments.schema import STATISTICS, Expectation, Values, compared_points, partner_of
from umwelt.sandbox.errors import WorldFileError
from umwelt.sandbox.text import one_line

Statistic = Callable[[np.ndarray], Any]

ENDS: dict[str, Statistic] = {
    "start": lambda values: values[0],
    "end": lambda values: values[-1],
    "rise": lambda values: values[-1] - values[0],
}
"""NaN where there was nothing to be measured at that end."""
OVERALL: dict[str, Statistic] = {
    "mean": np.mean,
    "least": np.min,
    "most": np.max,
    "range": np.ptp,
    "dispersion": lambda values: values.var() / values.mean() if values.mean() else np.nan,
}
"""Of what was measured between. The index of dispersion is about 1 where counts move by chance alone."""


@dataclass(frozen=True)
class Run:
    """A finished trial: what was measured, a column each with NaN where there was nothing, and figures of the whole."""

    trial: Trial
    columns: Mapping[str, np.ndarray]
    figures: Mapping[str, float]

    def value(self, name: str, first: int = 0, until: int | None = None) -> float:
        """An outcome by name: a figure, or a column's statistic over the ticks from `first` to `until`."""
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


def analysed(
    trial: Trial, columns: Mapping[str, np.ndarray], figures: Mapping[str, float], names: Sequence[str]
) -> Run:
    """A run with the figures of its analyses."""
    found = dict(figures)
    for name in names:
        try:
            found |= ANALYSES[name](columns)
        except KeyError as error:
            line = f'analyses: "{name}" wants the column {one_line(error.args[0])}: add the measure that tells it'
            raise WorldFileError(line) from None
    return Run(trial, columns, found)


@dataclass(frozen=True)
class Finding:
    """What came of an expectation: the runs it is about, the value of each, and in how many it held.

    A figure of all runs together is of none of them: there is one value then, and `runs` is empty.
    """

    expectation: Expectation
    runs: tuple[Run, ...]
    values: tuple[float, ...]
    held: int
    wanted: int

    @property
    def holds(self) -> bool:
        """Whether it came out as expected."""
        return bool(self.values) and self.held >= self.wanted

    @property
    def bounds(self) -> str:
        """The bounds, for people."""
        one = self.expectation
        if one.between is not None:
            return f"{one.between[0]:g} to {one.between[1]:g}"
        parts = [("above", one.above), ("below", one.below)]
        return ", ".join(f"{word} {value:g}" for word, value in parts if value is not None)

    @property
    def told(self) -> str:
        """Median and range of the values."""
        known = [value for value in self.values if not np.isnan(value)]
        if not known:
            return "nothing measured"
        middle = _told(float(np.median(known)))
        return middle if len(known) == 1 else f"{middle} ({_told(min(known))} to {_told(max(known))})"


def _told(value: float) -> str:
    """A value for people: four digits, or all there are before the point."""
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"


def compared(runs: Sequence[Run], names: Sequence[str]) -> dict[str, float]:
    """Figures of all runs together."""
    rows = [{**run.trial.values, **run.figures} for run in runs]
    found: dict[str, float] = {}
    for name in names:
        try:
            found |= ACROSS[name](rows)
        except KeyError as error:
            line = f'across: "{name}" wants {one_line(error.args[0])} of each point: add it to vary or points'
            raise WorldFileError(line) from None
    return found


def judged(experiment: Experiment, runs: Sequence[Run]) -> list[Finding]:
    """What came of each expectation that is judged; of a quick form only those that say so."""
    whole = compared(runs, experiment.file.across)
    judged = [one for one in experiment.file.expect if one.quick or not experiment.quick]
    return [_finding(one, runs, experiment.points, whole) for one in judged]


def _finding(one: Expectation, runs: Sequence[Run], points: Sequence[Values], whole: Mapping[str, float]) -> Finding:
    if one.value in whole:
        return Finding(one, (), (whole[one.value],), int(one.holds(whole[one.value])), 1)
    by_place = {(run.trial.point, run.trial.seed): run for run in runs}
    about = compared_points(one, points)
    chosen = [run for run in runs if run.trial.point in about]
    values = []
    for run in chosen:
        value = run.value(one.value, one.first, one.until)
        other = partner_of(one, points[run.trial.point], points) if one.against else None
        if other is not None:
            value -= by_place[other, run.trial.seed].value(one.value, one.first, one.until)
        values.append(value)
    held = sum(not np.isnan(value) and one.holds(value) for value in values)
    wanted = len(values) if one.in_runs is None else min(one.in_runs, len(values))
    return Finding(one, tuple(chosen), tuple(values), held, wanted)


def outcome_rows(experiment: Experiment, runs: Sequence[Run], findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """A row a run: its point and seed, its figures, what is plotted, and each expectation's value by its words."""
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

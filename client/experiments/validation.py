"""Checks, before the first run, that an experiment's expectations can be judged and its plots can be drawn.

Measures and analyses, and gardens (comparisons of descendants with founders in a new world), return the same names at
all ticks, so the names are determined by measuring worlds at tick 0. A point is one combination of values of the
experiment's varied keys. A figure is a named number of a run, and a column has a number for each measurement.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from umwelt.agents.measures import measure_region
from umwelt.agents.open_world import begin
from umwelt.agents.world_file import WorldFile
from umwelt.client.experiments.across_runs import ACROSS
from umwelt.client.experiments.analyses import ANALYSES
from umwelt.client.experiments.duel import DUEL_FIGURES, garden_figure_names
from umwelt.client.experiments.schema import (
    STATISTICS,
    Expectation,
    ExperimentFile,
    Plot,
    Values,
    find_partner,
    matches,
    select_points,
)
from umwelt.sandbox.errors import WorldFileError
from umwelt.sandbox.text import one_of

SAMPLES = 20
"""Number of artificial measurements with which an analysis is called, to record the columns that it reads."""


def check(
    file: ExperimentFile, points: Sequence[Values], runs_a_point: int | None, worlds: Sequence[WorldFile]
) -> None:
    """Raises WorldFileError for any mistake in the analyses, plots and expectations of `file`.

    `worlds` has one world for each point; `runs_a_point` is the number of runs of each point. If it is None, `in_runs`
    and ticks of expectations are not checked.
    """
    known = KnownNames(file, points, worlds)
    for number, plot in enumerate(file.plots):
        _check_plot(plot, f"plots[{number}]", points, known)
    for number, expectation in enumerate(file.expect):
        place = f"expect[{number}]"
        _check_expectation(expectation, place, points, runs_a_point)
        if expectation.value in known.figures_across:
            if (expectation.where, expectation.against, expectation.in_runs) != ({}, {}, None):
                line = f"{expectation.value} is of all runs together: leave out where, against and in_runs"
                raise WorldFileError(f"{place}: {line}")
        else:
            known.need_outcome(expectation.value, f"{place}.value")
        if expectation.value in known.figures:
            if (expectation.first, expectation.until) != (0, None):
                raise WorldFileError(f"{place}: {expectation.value} is of the whole run: leave out first and until")
        elif runs_a_point is not None:
            _check_ticks(expectation, place, file)
        says = expectation.says
        if says in [other.says for other in file.expect[:number]]:
            raise WorldFileError(f'{place}: "{says}" is there twice, but names a column of the results: reword one')
        if says in ("", "seed", *known.figures, *points[0]):
            raise WorldFileError(f'{place}: says = "{says}": the results have another column of that name: reword it')


class KnownNames:
    """The names of the columns and figures that the runs of an experiment will have.

    `figures` are those of each run, `figures_across` those across all runs. The worlds of the points are measured one
    after another, only until a requested name is known.
    """

    def __init__(self, file: ExperimentFile, points: Sequence[Values], worlds: Sequence[WorldFile]):
        self._file, self._left = file, list(worlds)
        self._columns, self.figures, self.figures_across = {"tick"}, set[str](), set[str]()
        self._measure_next_world()
        if file.duel is not None:
            self.figures |= {f"duel.{species}.{figure}" for species in file.duel.species for figure in DUEL_FIGURES}
        if file.garden is not None:
            self.figures |= {f"garden.{name}" for name in garden_figure_names(worlds[0], file.garden)}
        for name in file.analyses:
            columns = _RecordingColumns(tick=np.arange(SAMPLES))
            with np.errstate(all="ignore"):
                self.figures |= set(ANALYSES[name](columns))
            for column in columns:
                self.need_column(column, f'analyses: "{name}" needs a column that no measure returns')
        for name in file.across:
            self.figures_across |= set(_figures_across(name, points, self.figures))

    def need_column(self, name: str, place: str) -> None:
        """Raises WorldFileError if no measure returns the column `name`."""
        while name not in self._columns and self._left:
            self._measure_next_world()
        one_of(name, sorted(self._columns), place)

    def need_outcome(self, name: str, place: str) -> None:
        """Raises WorldFileError if `name` is neither a figure of each run nor a statistic of a column."""
        stage = f"{name.partition('.')[0]}."
        column, _, last = name.rpartition(".")
        if name in self.figures_across:
            raise WorldFileError(f"{place}: {name} is of all runs together, not of each run: leave it out")
        if stage_figures := [figure for figure in self.figures if figure.startswith(stage)]:
            one_of(name, sorted(stage_figures), place)
        elif last in STATISTICS or (last == "peak_tick" and "peaks" in self._file.analyses):
            self.need_column(column, place)
        else:
            line = f'"{name}" is neither a figure of its analyses nor ends in one of {", ".join(STATISTICS)}'
            raise WorldFileError(f"{place}: {line}: correct it, or add the analysis")

    def _measure_next_world(self) -> None:
        """Adds the columns of the next world that is not measured yet."""
        self._columns |= _columns_of(self._left.pop(0), self._file.measures)


def _columns_of(world: WorldFile, measures: Sequence[str]) -> set[str]:
    """Returns the names of the columns that `measures` return for `world`."""
    region, columns = begin(world), set[str]()
    for name in measures:
        try:
            columns |= set(measure_region(world, region, [name]))
        except KeyError as error:
            line = f'measures: "{name}" cannot measure {world.laws.name}, which has no {error}: leave it out'
            raise WorldFileError(line) from None
    return columns


class _RecordingColumns(dict[str, np.ndarray]):
    """A mapping that creates a column of ones for every missing name that an analysis reads."""

    def __missing__(self, name: str) -> np.ndarray:
        self[name] = np.ones(SAMPLES)
        return self[name]


class _RecordingRow(dict[str, Any]):
    """The values of a point as a row for analyses; names read with `get` are added to `names_read`."""

    def __init__(self, point: Values, names_read: set[str]):
        super().__init__(point)
        self._names_read = names_read

    def get(self, name: str, default: Any = None) -> Any:
        """Returns the value of `name`, or `default`, and records that the name was read."""
        self._names_read.add(name)
        return super().get(name, default)


def _figures_across(name: str, points: Sequence[Values], figures: Iterable[str]) -> Iterable[str]:
    """Returns the names of the figures that the analysis across runs `name` returns.

    Raises WorldFileError if it needs a varied key that the points lack, or a figure that is not among `figures`, those
    of the single runs.
    """
    names_read: set[str] = set()
    try:
        names = ACROSS[name]([_RecordingRow(point, names_read) for point in points])
    except KeyError as error:
        line = f'across: "{name}" needs {error.args[0]} at each point: add it to vary or points'
        raise WorldFileError(line) from None
    for figure in sorted(names_read.difference(figures, *points)):
        raise WorldFileError(f'across: "{name}" needs the figure {figure}: add the analysis that returns it')
    return names


def _check_plot(plot: Plot, place: str, points: Sequence[Values], known: KnownNames) -> None:
    """Raises WorldFileError for a mistake in a plot; `place` is its place in the file, for error messages."""
    if bool(plot.columns) == bool(plot.outcomes):
        raise WorldFileError(f"{place}: name columns or outcomes, and not both")
    if plot.at and len(plot.at) != len(plot.outcomes):
        line = f"{place}.at: {len(plot.at)} numbers for {len(plot.outcomes)} outcomes: give one for each"
        raise WorldFileError(line)
    _check_where(plot.where, f"{place}.where", points)
    if plot.columns:
        known.need_column(plot.x, f"{place}.x")
    elif plot.x != "tick" and not any(plot.x in point for point in points):
        known.need_outcome(plot.x, f"{place}.x")
    for column in plot.columns:
        known.need_column(column, f"{place}.columns")
    for outcome in plot.outcomes:
        known.need_outcome(outcome, f"{place}.outcomes")


def _check_where(wanted: Values, place: str, points: Sequence[Values]) -> None:
    """Raises WorldFileError if no point has the values of the varied keys in `wanted`."""
    if wanted and not any(matches(point, wanted) for point in points):
        raise WorldFileError(f"{place}: no point has these values: use those of vary or points")


def _check_ticks(expectation: Expectation, place: str, file: ExperimentFile) -> None:
    """Raises WorldFileError if no measurement falls within the ticks from `first` to `until` of `expectation`."""
    measured_at = {*range(0, file.ticks, file.every), file.ticks}
    first, until = expectation.first, expectation.until
    if not any(first <= tick <= (file.ticks if until is None else until) for tick in measured_at):
        line = f"first = {first}, until = {until}: nothing is measured between, of {file.ticks} ticks"
        raise WorldFileError(f"{place}: {line}: widen them")


def _check_expectation(
    expectation: Expectation, place: str, points: Sequence[Values], runs_a_point: int | None
) -> None:
    """Raises WorldFileError for a mistake in the bounds, the points or `in_runs` of an expectation.

    `place` is its place in the file, for error messages; `runs_a_point` is that of `check`.
    """
    above, below, between = expectation.above, expectation.below, expectation.between
    if above is None and below is None and between is None:
        raise WorldFileError(f"{place}: has no bound: add above, below or between")
    if between is not None and between[0] > between[1]:
        raise WorldFileError(f"{place}.between: {between[0]:g} is more than {between[1]:g}: swap them")
    if above is not None and below is not None and above >= below:
        raise WorldFileError(f"{place}: nothing is above {above:g} and below {below:g}: swap them")
    if expectation.until is not None and expectation.until < expectation.first:
        line = f"until = {expectation.until} is before first = {expectation.first}"
        raise WorldFileError(f"{place}: {line}: swap them")
    _check_where(expectation.where, f"{place}.where", points)
    _check_where(expectation.against, f"{place}.against", points)
    selected = select_points(expectation, points)
    if not selected:
        raise WorldFileError(f"{place}: where and against name the same points: there is none to compare")
    for number in selected if expectation.against else ():
        if find_partner(expectation, points[number], points) is None:
            line = f"several points, or none, are like {points[number]} otherwise"
            raise WorldFileError(f"{place}.against: {line}: name more of its values")
    if expectation.in_runs is None or runs_a_point is None:
        return
    run_count = len(selected) * runs_a_point
    if not 1 <= expectation.in_runs <= run_count:
        line = f"in_runs = {expectation.in_runs}: {run_count} runs are judged"
        raise WorldFileError(f"{place}: {line}: use 1 to {run_count}")

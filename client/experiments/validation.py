"""Whether what an experiment's file expects and draws can be judged and drawn: all that is wrong is said beforehand.

Measures, analyses and gardens tell the same names at all times: what there will be is known from worlds at tick 0.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from umwelt.agents.measures import measure_region
from umwelt.agents.open_world import begin
from umwelt.agents.world_file import WorldFile
from umwelt.client.experiments.across_runs import ACROSS
from umwelt.client.experiments.analyses import ANALYSES
from umwelt.client.experiments.duel import DUEL_FIGURES, garden_figures
from umwelt.client.experiments.schema import (
    STATISTICS,
    Expectation,
    ExperimentFile,
    Plot,
    Values,
    compared_points,
    matches,
    partner_of,
)
from umwelt.sandbox.errors import WorldFileError
from umwelt.sandbox.text import one_of

SAMPLES = 20
"""So many made-up measurements tell which columns an analysis reads."""


def check(
    file: ExperimentFile, points: Sequence[Values], runs_a_point: int | None, worlds: Sequence[WorldFile]
) -> None:
    """Raise what is wrong in the analyses, plots and expectations of a file; `worlds` are one of each point.

    Without `runs_a_point` it is not asked in how many runs something must hold.
    """
    known = Known(file, points, worlds)
    for number, plot in enumerate(file.plots):
        _check_plot(plot, f"plots[{number}]", points, known)
    for number, one in enumerate(file.expect):
        place = f"expect[{number}]"
        _check_expectation(one, place, points, runs_a_point)
        if one.value in known.figures_across:
            if (one.where, one.against, one.in_runs) != ({}, {}, None):
                line = f"{one.value} is of all runs together: leave out where, against and in_runs"
                raise WorldFileError(f"{place}: {line}")
        else:
            known.need_outcome(one.value, f"{place}.value")
        if one.value in known.figures:
            if (one.first, one.until) != (0, None):
                raise WorldFileError(f"{place}: {one.value} is of the whole run: leave out first and until")
        elif runs_a_point is not None:
            _check_ticks(one, place, file)
        if one.says in [other.says for other in file.expect[:number]]:
            raise WorldFileError(f'{place}: "{one.says}" is said twice: results go by it: reword one')
        if one.says in ("", "seed", *known.figures, *points[0]):
            raise WorldFileError(f'{place}: says = "{one.says}": results go by it, which has a meaning: reword it')


class Known:
    """The names of columns and of figures; points' worlds are looked into one by one, as long as one is missing."""

    def __init__(self, file: ExperimentFile, points: Sequence[Values], worlds: Sequence[WorldFile]):
        self._file, self._left = file, list(worlds)
        self._columns, self.figures, self.figures_across = {"tick"}, set[str](), set[str]()
        self._look()
        if file.duel is not None:
            self.figures |= {f"duel.{species}.{one}" for species in file.duel.species for one in DUEL_FIGURES}
        if file.garden is not None:
            self.figures |= {f"garden.{name}" for name in garden_figures(worlds[0], file.garden)}
        for name in file.analyses:
            columns = _Asked(tick=np.arange(SAMPLES))
            with np.errstate(all="ignore"):
                self.figures |= set(ANALYSES[name](columns))
            for column in columns:
                self.need_column(column, f'analyses: "{name}" wants a column that no measure tells')
        for name in file.across:
            self.figures_across |= set(_figures_across(name, points, self.figures))

    def need_column(self, name: str, place: str) -> None:
        """Raise if nothing of that name is measured."""
        while name not in self._columns and self._left:
            self._look()
        one_of(name, sorted(self._columns), place)

    def need_outcome(self, name: str, place: str) -> None:
        """Raise if it can neither be a figure nor a column's statistic."""
        stage = f"{name.partition('.')[0]}."
        column, _, last = name.rpartition(".")
        if name in self.figures_across:
            raise WorldFileError(f"{place}: {name} is of all runs together, and none of a run: leave it out")
        if alike := [figure for figure in self.figures if figure.startswith(stage)]:
            one_of(name, sorted(alike), place)
        elif last in STATISTICS or (last == "peak_tick" and "peaks" in self._file.analyses):
            self.need_column(column, place)
        else:
            line = f'"{name}" is neither a figure of its analyses nor ends in one of {", ".join(STATISTICS)}'
            raise WorldFileError(f"{place}: {line}: correct it, or add the analysis")

    def _look(self) -> None:
        self._columns |= _columns_of(self._left.pop(0), self._file.measures)


def _columns_of(world: WorldFile, measures: Sequence[str]) -> set[str]:
    """The names of what is measured of a world."""
    region, found = begin(world), set[str]()
    for name in measures:
        try:
            found |= set(measure_region(world, region, [name]))
        except KeyError as error:
            line = f'measures: "{name}" is not for {world.laws.name}, which has no {error}: leave it out'
            raise WorldFileError(line) from None
    return found


class _Asked(dict[str, np.ndarray]):
    """Columns of ones that remember what was asked for."""

    def __missing__(self, name: str) -> np.ndarray:
        self[name] = np.ones(SAMPLES)
        return self[name]


class _AskedRow(dict[str, Any]):
    """A point's values, which remember what else was asked for."""

    def __init__(self, point: Values, asked: set[str]):
        super().__init__(point)
        self._asked = asked

    def get(self, name: str, default: Any = None) -> Any:
        self._asked.add(name)
        return super().get(name, default)


def _figures_across(name: str, points: Sequence[Values], figures: Iterable[str]) -> Iterable[str]:
    asked: set[str] = set()
    try:
        found = ACROSS[name]([_AskedRow(point, asked) for point in points])
    except KeyError as error:
        line = f'across: "{name}" wants {error.args[0]} of each point: add it to vary or points'
        raise WorldFileError(line) from None
    for figure in sorted(asked.difference(figures, *points)):
        raise WorldFileError(f'across: "{name}" wants the figure {figure}: add the analysis that tells it')
    return found


def _check_plot(plot: Plot, place: str, points: Sequence[Values], known: Known) -> None:
    if bool(plot.columns) == bool(plot.outcomes):
        raise WorldFileError(f"{place}: name columns, or outcomes, one of them")
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
    if wanted and not any(matches(point, wanted) for point in points):
        raise WorldFileError(f"{place}: no point has these values: use those of vary or points")


def _check_ticks(one: Expectation, place: str, file: ExperimentFile) -> None:
    """Something must be measured at ticks from `first` to `until`."""
    measured_at = {*range(0, file.ticks, file.every), file.ticks}
    if not any(one.first <= tick <= (file.ticks if one.until is None else one.until) for tick in measured_at):
        line = f"first = {one.first}, until = {one.until}: nothing is measured between, of {file.ticks} ticks"
        raise WorldFileError(f"{place}: {line}: widen them")


def _check_expectation(one: Expectation, place: str, points: Sequence[Values], runs_a_point: int | None) -> None:
    if one.above is None and one.below is None and one.between is None:
        raise WorldFileError(f"{place}: says no bound: add above, below or between")
    if one.between is not None and one.between[0] > one.between[1]:
        raise WorldFileError(f"{place}.between: {one.between[0]:g} is more than {one.between[1]:g}: turn them round")
    if one.above is not None and one.below is not None and one.above >= one.below:
        raise WorldFileError(f"{place}: nothing is above {one.above:g} and below {one.below:g}: turn them round")
    if one.until is not None and one.until < one.first:
        raise WorldFileError(f"{place}: until = {one.until} is before first = {one.first}: turn them round")
    _check_where(one.where, f"{place}.where", points)
    _check_where(one.against, f"{place}.against", points)
    about = compared_points(one, points)
    if not about:
        raise WorldFileError(f"{place}: where and against name the same points: there is none to compare")
    for at in about if one.against else ():
        if partner_of(one, points[at], points) is None:
            line = f"several points, or none, are like {points[at]} otherwise"
            raise WorldFileError(f"{place}.against: {line}: name more of its values")
    if one.in_runs is None or runs_a_point is None:
        return
    runs = len(about) * runs_a_point
    if not 1 <= one.in_runs <= runs:
        raise WorldFileError(f"{place}: in_runs = {one.in_runs}: it is about {runs} runs: use 1 to {runs}")

"""The file of an experiment: which worlds are run, what is done to them, what is measured, and what is expected.

    world = "meadow"
    ticks = 30000
    seeds = 10                                   # 1 to 10; or a list of seeds
    every = 100                                  # ticks between measurements
    measures = ["populations"]                   # see umwelt.agents.measures
    [set]                                        # keys of the world file
    width = 256
    [vary]                                       # every combination of these; or [[points]], each a table of keys
    "founders.4.count" = [0, 95]
    "commands.0.do.count" = [50, 100]            # keys that begin with "commands." are of this file
    [[commands]]                                 # commands to the world, given again and again
    every = 20
    do = {command = "drop", substance = "sugar", count = 50}
    over = [4, 4, 8, 8]                          # at a cell of this area, drawn each time; or y and x in `do`
    [duel]                                       # descendants against founders, see duel.py
    at = 20000
    species = ["grazer", "hunter"]
    [garden]                                     # both measured in one new world: differences are inherited
    at = 30000
    species = "grazer"
    measures = ["state"]
    set = {"founders.4.count" = 0}
    [[expect]]
    says = "more grazers where there are hunters"
    value = "grazer.end"                         # COLUMN.STATISTIC: start, end, rise, mean, min, max, range or
                                                 # dispersion (variance / mean); or a figure of [duel], of [garden],
                                                 # of analyses = ["hunters_lag"] of each run (analyses.py), or of
                                                 # across = ["matching"], of all runs together (across_runs.py)
    above = 0
    in_runs = 18
    where = {"founders.4.count" = 95}            # only at these points
    against = {"founders.4.count" = 0}           # the difference to the run that is otherwise the same
    [[plots]]
    title = "monsters"
    columns = ["grazer", "hunter"]
    [quick]                                      # what --quick replaces
    ticks = 200

Every mistake in a file is reported before the first run (plan.py, validation.py).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

STATISTICS = ("start", "end", "rise", "mean", "min", "max", "range", "dispersion")

Values = dict[str, Any]


class Treatment(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Commands that are given again and again, from the tick `first` to before `until`."""

    do: dict[str, Any] | list[dict[str, Any]]
    first: int = 0
    until: int | None = None
    every: int = 1
    over: tuple[int, int, int, int] | None = None
    """Area `[y, x, height, width]`: each time, the commands act on a cell of it that dice draw."""


class DuelStage(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A common-garden duel of the living of a tick against the founders, as `umwelt duel` runs it."""

    at: int
    species: list[str]
    each: int = 100
    ticks: int = 3000


class GardenStage(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The living of a tick and as many founders, measured in one new world: what differs there is inherited.

    `set` changes keys of that world. The figures are `garden.descendants.COLUMN` and `garden.founders.COLUMN`, means
    over its later half, and `garden.gain.COLUMN`, their difference.
    """

    at: int
    species: str
    measures: list[str]
    each: int = 100
    ticks: int = 600
    every: int = 50
    set: Values = {}


class Expectation(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A bound on an outcome of each run: `COLUMN.STATISTIC`, or a figure of an analysis.

    With `against` the outcome is the difference to the run of the same seed at another point: the only one with those
    values, or the one that agrees in all keys that neither `where` nor `against` names. `first` and `until` limit the
    ticks that a statistic is taken over. `quick` tells whether quick runs are judged by it too.
    """

    says: str
    value: str
    above: float | None = None
    below: float | None = None
    between: tuple[float, float] | None = None
    in_runs: int | None = None
    where: Values = {}
    against: Values = {}
    first: int = 0
    until: int | None = None
    quick: bool = False

    def holds(self, value: float) -> bool:
        """Returns whether a value is within the bounds."""
        if self.between is not None and not self.between[0] <= value <= self.between[1]:
            return False
        return (self.above is None or value > self.above) and (self.below is None or value < self.below)


class Plot(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A plot: columns over time or over another column, a line a run; or outcomes, a dot a run.

    With `at`, one number for each outcome, the outcomes of a run are a line over those numbers. With `where`, only runs
    of points with these values are drawn.
    """

    title: str
    columns: list[str] = []
    outcomes: list[str] = []
    at: list[float] = []
    x: str = "tick"
    x_label: str = ""
    y_label: str = ""
    log: bool = False
    log_x: bool = False
    where: Values = {}


class Quick(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What the quick form replaces."""

    ticks: int | None = None
    seeds: int | list[int] | None = None
    every: int | None = None
    set: Values = {}
    vary: dict[str, list[Any]] | None = None
    points: list[Values] | None = None
    duel: DuelStage | None = None
    garden: GardenStage | None = None


class ExperimentFile(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The content of an experiment's file."""

    world: str
    ticks: int
    measures: list[str]
    summary: str = ""
    source: str = ""
    """The publication, or the reasoning, that the expectations come from."""
    seeds: int | list[int] = 1
    every: int = 100
    analyses: list[str] = []
    """Names of analyses that give figures of each run."""
    across: list[str] = []
    """Names of analyses that give figures of all runs together."""
    set: Values = {}
    vary: dict[str, list[Any]] = {}
    points: list[Values] = []
    commands: list[Treatment] = []
    duel: DuelStage | None = None
    garden: GardenStage | None = None
    expect: list[Expectation] = []
    plots: list[Plot] = []
    quick: Quick | None = None


def matches(point: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Returns whether a point has all these values."""
    return all(key in point and point[key] == value for key, value in wanted.items())


def find_partner(expectation: Expectation, point: Values, points: Sequence[Values]) -> int | None:
    """Returns the number of the point that `against` compares a point with; None unless there is exactly one."""
    partners = [number for number, other in enumerate(points) if matches(other, expectation.against) and other != point]
    if len(partners) > 1:
        named = {*expectation.where, *expectation.against}
        unnamed_values = {key: value for key, value in point.items() if key not in named}
        partners = [number for number in partners if matches(points[number], unnamed_values)]
    return partners[0] if len(partners) == 1 else None


def select_points(expectation: Expectation, points: Sequence[Values]) -> list[int]:
    """Returns the numbers of the points that an expectation judges: those of `where`, but for those of `against`."""
    selected = [number for number, point in enumerate(points) if matches(point, expectation.where)]
    return [number for number in selected if not (expectation.against and matches(points[number], expectation.against))]

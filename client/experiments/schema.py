"""The schema of an experiment file: worlds, commands, measures, expectations and plots.

An example with all sections:

    world = "meadow"
    ticks = 30000
    seeds = 10                                   # 1 to 10; or a list of seeds
    every = 100                                  # ticks between measurements
    measures = ["populations"]                   # see umwelt.agents.measures
    [set]                                        # keys of the world file
    width = 256
    [vary]                                       # every combination of these; or [[points]], each a table of keys
    "founders.4.count" = [0, 95]
    "commands.0.do.count" = [50, 100]            # keys that begin with "commands." change this file's commands
    [[commands]]                                 # commands that are repeated every 20 ticks
    every = 20
    do = {command = "drop", substance = "sugar", count = 50}
    over = [4, 4, 8, 8]                          # at a random cell of this area each time; or give y and x in `do`
    [duel]                                       # descendants against founders, see duel.py
    at = 20000
    species = ["grazer", "hunter"]
    [garden]                                     # both measured in one new world, so differences are inherited
    at = 30000
    species = "grazer"
    measures = ["state"]
    set = {"founders.4.count" = 0}
    [[expect]]
    says = "more grazers where there are hunters"
    value = "grazer.end"                         # COLUMN.STATISTIC: start, end, rise, mean, min, max, range or
                                                 # dispersion (variance / mean); or a figure of [duel], of [garden],
                                                 # of an analysis of each run, as in analyses = ["hunters_lag"]
                                                 # (analyses.py), or of an analysis across all runs, as in
                                                 # across = ["matching"] (across_runs.py)
    above = 0
    in_runs = 18
    where = {"founders.4.count" = 95}            # only at these points
    against = {"founders.4.count" = 0}           # judge the difference to the run that is otherwise the same
    [[plots]]
    title = "monsters"
    columns = ["grazer", "hunter"]
    [quick]                                      # replacements for --quick
    ticks = 200

A *point* is one combination of values of the varied keys; it has a run for each seed. An *outcome* is a named number of
a run, as in `value` above. Every mistake in a file is reported before the first run (plan.py, validation.py).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

STATISTICS = ("start", "end", "rise", "mean", "min", "max", "range", "dispersion")

Values = dict[str, Any]


class Treatment(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Commands that are given repeatedly: at the tick `first`, then every `every` ticks, before the tick `until`.

    `do` is one command or several, each a table with the key `command` and the command's fields. `until` None means the
    end of the run.
    """

    do: dict[str, Any] | list[dict[str, Any]]
    first: int = 0
    until: int | None = None
    every: int = 1
    over: tuple[int, int, int, int] | None = None
    """Area `[y, x, height, width]`; each command acts on a pseudorandom cell of it. None: the commands give cells."""


class DuelStage(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A common-garden duel between the beings living at the tick `at` and the founders, as in `umwelt duel`.

    For each name in `species`, `each` founders and as many beings with genomes of living ones live in a new world for
    `ticks` ticks.
    """

    at: int
    species: list[str]
    each: int = 100
    ticks: int = 3000


class GardenStage(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A common garden: beings living at the tick `at` and equally many founders, measured in one new world.

    Both groups have the same environment, so differences between them are inherited. `set` changes keys of the new
    world's file; the world runs for `ticks` ticks with measurements every `every` ticks. The figures are
    `garden.descendants.COLUMN` and `garden.founders.COLUMN`, means over the second half, and their difference
    `garden.gain.COLUMN`.
    """

    at: int
    species: str
    measures: list[str]
    each: int = 100
    ticks: int = 600
    every: int = 50
    set: Values = {}


class Expectation(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A bound on an outcome of each run: `value` is `COLUMN.STATISTIC`, or a figure of a duel, a garden or an analysis.

    `where` selects the points to judge by values of varied keys. With `against`, the judged value is the difference to
    the run of the same seed at another point: the only point with the values in `against`, or else the one of these
    that also agrees in all keys that neither `where` nor `against` contains. `in_runs` is the number of runs that must
    satisfy the bound (None: all). `first` and `until` limit the ticks of a statistic. `quick` is whether the
    expectation applies to the quick form too.
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
        """Returns whether `value` is within the bounds."""
        if self.between is not None and not self.between[0] <= value <= self.between[1]:
            return False
        return (self.above is None or value > self.above) and (self.below is None or value < self.below)


class Plot(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A plot of columns over time or over another column, with a line for each run; or of outcomes, with dots.

    `at` has one number for each outcome; with it, the outcomes of a run are drawn as a line over these numbers. `where`
    limits the plot to runs of points with these values.
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
    """The values that replace those of the experiment in its quick form (`--quick`); None keeps the value."""

    ticks: int | None = None
    seeds: int | list[int] | None = None
    every: int | None = None
    set: Values = {}
    vary: dict[str, list[Any]] | None = None
    points: list[Values] | None = None
    duel: DuelStage | None = None
    garden: GardenStage | None = None


class ExperimentFile(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The content of an experiment file; the module's docstring has an example."""

    world: str
    ticks: int
    measures: list[str]
    summary: str = ""
    source: str = ""
    """Publication or reasoning on which the expectations are based."""
    seeds: int | list[int] = 1
    every: int = 100
    analyses: list[str] = []
    """Names of the analyses of each run, from `analyses.ANALYSES`."""
    across: list[str] = []
    """Names of the analyses across all runs, from `across_runs.ACROSS`."""
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
    """Returns whether `point` has all the keys of `wanted`, with the same values."""
    return all(key in point and point[key] == value for key, value in wanted.items())


def find_partner(expectation: Expectation, point: Values, points: Sequence[Values]) -> int | None:
    """Returns the index of the point with which `expectation.against` compares `point`; None if it is ambiguous."""
    partners = [number for number, other in enumerate(points) if matches(other, expectation.against) and other != point]
    if len(partners) > 1:
        named = {*expectation.where, *expectation.against}
        unnamed_values = {key: value for key, value in point.items() if key not in named}
        partners = [number for number in partners if matches(points[number], unnamed_values)]
    return partners[0] if len(partners) == 1 else None


def select_points(expectation: Expectation, points: Sequence[Values]) -> list[int]:
    """Returns the indices of the points that an expectation judges: those that match `where` but not `against`."""
    selected = [number for number, point in enumerate(points) if matches(point, expectation.where)]
    return [number for number in selected if not (expectation.against and matches(points[number], expectation.against))]

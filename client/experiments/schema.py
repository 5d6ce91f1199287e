"""Experiments: a TOML file says which worlds are run, what is done to them, what is measured, and what is expected.

    world = "meadow"
    ticks = 30000
    seeds = 10                                   # 1 to 10, or a list of them
    every = 100                                  # ticks between measurements
    measures = ["populations"]                   # see agents/measures
    [set]                                        # other values than the world file's
    width = 256
    [vary]                                       # every combination of these; or [[points]], each a table of values
    "founders.4.count" = [0, 95]
    "commands.0.do.count" = [50, 100]               # what begins with commands is of this file, all else of the world's
    [[commands]]                                    # what is done to the world, as people do it
    every = 20
    do = {command = "drop", substance = "sugar", count = 50}
    over = [4, 4, 8, 8]                          # to a cell of this area, drawn anew each time; or y and x in do
    [duel]                                       # descendants against founders (client/experiments/duel.py)
    at = 20000
    species = ["grazer", "hunter"]
    [garden]                                     # both measured in a fresh world: what they have inherited
    at = 30000
    species = "grazer"
    measures = ["state"]
    set = {"founders.4.count" = 0}
    [[expect]]
    says = "more grazers where there are hunters"
    value = "grazer.end"                         # start, end, rise, mean, least, most, range or
                                                 # dispersion (variance / mean); or a figure of a [duel],
                                                 # a [garden], or of analyses = ["hunters_lag"] of each run
                                                 # or across = ["matching"] all (agents/measures)
    above = 0
    in_runs = 18
    where = {"founders.4.count" = 95}            # of these points only
    against = {"founders.4.count" = 0}           # the difference to the run that is otherwise the same
    [[plots]]
    title = "monsters"
    columns = ["grazer", "hunter"]
    [quick]                                      # what --quick puts in the place of the above
    ticks = 200

Whatever is wrong in a file is said before the first run (experiment.py, judgeable.py).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

STATISTICS = ("start", "end", "rise", "mean", "least", "most", "range", "dispersion")

Values = dict[str, Any]


class Treatment(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Commands that are done again and again."""

    do: dict[str, Any] | list[dict[str, Any]]
    first: int = 0
    until: int | None = None
    every: int = 1
    over: tuple[int, int, int, int] | None = None
    """Area `[y, x, height, width]`: each time the commands are done to a cell of it that dice draw."""


class DuelStage(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A common-garden duel of those who live at a tick against the founders; all else is as in `umwelt duel`."""

    at: int
    species: list[str]
    each: int = 100
    ticks: int = 3000


class GardenStage(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Those who live at a tick, and as many founders, in one fresh world: in what they differ there, they inherited.

    `set` is what is otherwise in that world. Figures are `garden.descendants.COLUMN` and `garden.founders.COLUMN`, the
    means over its later half, and `garden.gain.COLUMN`, by how much descendants have more.
    """

    at: int
    species: str
    measures: list[str]
    each: int = 100
    ticks: int = 600
    every: int = 50
    set: Values = {}


class Expectation(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What must come out: an outcome of each run, `COLUMN.STATISTIC` or a figure of an analysis, within bounds.

    With `against` the outcome is the difference to the run of the same seed at that other point: the only one with
    those values, or the one that is the same in all that neither `where` nor `against` names. `quick` says whether it
    holds for quick runs too.
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
        """Whether a value is within the bounds."""
        if self.between is not None and not self.between[0] <= value <= self.between[1]:
            return False
        return (self.above is None or value > self.above) and (self.below is None or value < self.below)


class Plot(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A picture: columns against time, or against another column, a line a run; or outcomes, a dot a run.

    With `at`, a number for each outcome, a run's outcomes are a line over those numbers. With `where` only the runs of
    points with these values are drawn.
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
    """What is otherwise in a quick form."""

    ticks: int | None = None
    seeds: int | list[int] | None = None
    every: int | None = None
    set: Values = {}
    vary: dict[str, list[Any]] | None = None
    points: list[Values] | None = None
    duel: DuelStage | None = None
    garden: GardenStage | None = None


class ExperimentFile(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """See the page's top."""

    world: str
    ticks: int
    measures: list[str]
    summary: str = ""
    source: str = ""
    """Where what is expected is known from."""
    seeds: int | list[int] = 1
    every: int = 100
    analyses: list[str] = []
    """Figures of each run."""
    across: list[str] = []
    """Figures of all runs together."""
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
    """Whether a point has all wanted values."""
    return all(key in point and point[key] == value for key, value in wanted.items())


def partner_of(one: Expectation, point: Values, points: Sequence[Values]) -> int | None:
    """Which point a run of another is compared with; None if it is not one that `against` tells."""
    found = [at for at, other in enumerate(points) if matches(other, one.against) and other != point]
    if len(found) > 1:
        named = {*one.where, *one.against}
        alike = {key: value for key, value in point.items() if key not in named}
        found = [at for at in found if matches(points[at], alike)]
    return found[0] if len(found) == 1 else None


def compared_points(one: Expectation, points: Sequence[Values]) -> list[int]:
    """The points that an expectation is about: those of `where`, without those that they are compared with."""
    about = [at for at, point in enumerate(points) if matches(point, one.where)]
    return [at for at in about if not (one.against and matches(points[at], one.against))]

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
    "deeds.0.do.count" = [50, 100]               # what begins with deeds is of this file, all else of the world's
    [[deeds]]                                    # what is done to the world, as people do it
    every = 20
    do = {deed = "drop", y = 8, x = 8, substance = "sugar", count = 50}
    over = [4, 4, 8, 8]                          # or, without its place: to a cell of this area, drawn anew each time
    [duel]                                       # descendants against founders in a fresh world (cluster/duel.py)
    at = 20000
    [[expect]]
    says = "grazers live on"
    value = "grazer.end"                         # start, end, rise, mean, least, most or range; or a figure
    above = 0
    in_runs = 8
    [quick]                                      # what --quick puts in the place of the above
    ticks = 200

Whatever is wrong in a file is said before the first run. A trial is one run: a point, and a seed.
"""

import hashlib
import itertools
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import msgspec

from umwelt.agents import deeds
from umwelt.agents.description import (
    WorldFile,
    convert,
    naming,
    one_line,
    one_of,
    read_world,
    set_value,
    to_toml,
)
from umwelt.agents.measures import measure_named
from umwelt.agents.measures.across import ACROSS
from umwelt.agents.measures.analyses import ANALYSES
from umwelt.agents.opening import tried_small
from umwelt.agents.settings import EarthSettings
from umwelt.cluster.duel import founders_count
from umwelt.cluster.protocol import Deed
from umwelt.sandbox import audit
from umwelt.sandbox.dice import draw, purpose
from umwelt.sandbox.errors import UmweltError, WorldFileError
from umwelt.sandbox.step import advance

MOST_TRIALS, MOST_DEEDS = 10_000, 1_000_000
FINGERPRINT_TICKS = 16
"""So many ticks of a world in small tell one physics from another."""
SCATTER = purpose("experiment.scatter")
OF_DEEDS = "deeds."
STATISTICS = ("start", "end", "rise", "mean", "least", "most", "range")

Values = dict[str, Any]


class Treatment(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Deeds that are done again and again."""

    do: dict[str, Any] | list[dict[str, Any]]
    first: int = 0
    until: int | None = None
    every: int = 1
    over: tuple[int, int, int, int] | None = None
    """Area `[y, x, height, width]`: each time the deeds are done to a cell of it that dice draw."""


class DuelStage(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A common-garden duel of those who live at a tick against the founders; all else is as in `umwelt duel`."""

    at: int
    species: list[str]
    each: int = 100
    ticks: int = 3000


class Expectation(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What must come out: an outcome of each run, `COLUMN.STATISTIC` or a figure of an analysis, within bounds.

    With `against` the outcome is the difference to the run of the same seed at that other point. `quick` says whether
    it holds for quick runs too.
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
    deeds: list[Treatment] = []
    duel: DuelStage | None = None
    expect: list[Expectation] = []
    plots: list[Plot] = []
    quick: Quick | None = None


@dataclass(frozen=True, eq=False)
class Trial:
    """One run of an experiment."""

    point: int
    values: Values
    seed: int
    world: WorldFile
    ticks: int
    every: int
    measures: tuple[str, ...]
    due: tuple[Deed, ...] = field(repr=False)
    duel: DuelStage | None
    fingerprint: int

    @property
    def name(self) -> str:
        """What its results are called."""
        return f"{self.point}-{self.seed}"

    @property
    def key(self) -> str:
        """What tells results of this trial from those of any other, or of other laws."""
        parts = (self.world.text, self.ticks, self.every, self.measures, self.due, self.duel, self.fingerprint)
        return hashlib.blake2b(repr(parts).encode(), digest_size=16).hexdigest()


@dataclass(frozen=True, eq=False)
class Experiment:
    """A checked file: its trials in their order."""

    name: str
    source: str
    file: ExperimentFile
    quick: bool
    points: tuple[Values, ...]
    trials: tuple[Trial, ...]


def bundled_experiments() -> dict[str, Path]:
    """The experiments that come with Umwelt, by name."""
    folder = Path(str(resources.files("umwelt.worlds"))) / "experiments"
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def read_experiment(name_or_path: str, quick: bool = False) -> Experiment:
    """Read and check an experiment: a bundled name, or the path of a .toml file."""
    known = bundled_experiments()
    path = Path(name_or_path)
    if path.suffix != ".toml" and not path.is_file():
        path = known[one_of(name_or_path, known, "experiment")]
    try:
        content = tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except OSError as error:
        line = f"{path}: cannot be read: {error.strerror}: give the path of a .toml file"
        raise WorldFileError(one_line(line)) from None
    except (ValueError, RecursionError) as error:
        raise WorldFileError(one_line(f"{path}: not TOML: {error}")) from None
    with naming(str(path)):
        return checked(convert(content, ExperimentFile), path, quick)


def checked(file: ExperimentFile, path: Path, quick: bool) -> Experiment:
    """An experiment whose every trial can be run and judged."""
    file = _quickly(file) if quick else file
    if file.ticks < 1 or file.every < 1:
        raise WorldFileError(f"ticks = {file.ticks}, every = {file.every}: use 1 or more")
    seeds = list(range(1, file.seeds + 1)) if isinstance(file.seeds, int) else file.seeds
    if not seeds or len(set(seeds)) < len(seeds):
        raise WorldFileError(f"seeds = {file.seeds}: name at least one, and none twice")
    if not file.measures:
        raise WorldFileError('measures: none is named: use "populations" or another of agents/measures')
    for name in file.measures:
        measure_named(name)
    for name in file.analyses:
        one_of(name, ANALYSES, "analyses")
    for name in file.across:
        one_of(name, ACROSS, "across")
    points = _points(file)
    if len(points) * len(seeds) > MOST_TRIALS:
        raise WorldFileError(f"{len(points)} points times {len(seeds)} seeds: at most {MOST_TRIALS} runs are made")
    trials: list[Trial] = []
    for number, values in enumerate(points):
        trials += _trials(file, path, number, values, seeds)
    _check_plots(file, points)
    for number, one in enumerate(file.expect):
        _check_expectation(one, f"expect[{number}]", points)
        if one.says in [other.says for other in file.expect[:number]]:
            raise WorldFileError(f'expect[{number}]: "{one.says}" is said twice: results go by it: reword one')
    return Experiment(path.stem, str(path), file, quick, tuple(points), tuple(trials))


def _quickly(file: ExperimentFile) -> ExperimentFile:
    if file.quick is None:
        raise WorldFileError("quick: this experiment has no quick form: add a section [quick], or leave out --quick")
    own = {name: getattr(file.quick, name) for name in ("ticks", "seeds", "every", "vary", "points", "duel")}
    changed = {name: value for name, value in own.items() if value is not None}
    duel = file.duel if file.quick.duel is None else file.quick.duel
    if duel is not None and duel.at > changed.get("ticks", file.ticks):
        duel = None
    return msgspec.structs.replace(file, **changed | {"set": {**file.set, **file.quick.set}, "duel": duel})


def _points(file: ExperimentFile) -> list[Values]:
    if file.vary and file.points:
        raise WorldFileError("vary, points: use one of them: a grid, or a list of points")
    for key, values in file.vary.items():
        if not values:
            raise WorldFileError(f"vary.{key}: name at least one value")
    grid = itertools.product(*file.vary.values())
    return file.points or [dict(zip(file.vary, values, strict=True)) for values in grid]


def _trials(
    file: ExperimentFile, path: Path, number: int, values: Values, seeds: Sequence[int]
) -> Iterator[Trial]:  # fmt: skip
    beside = path.parent / f"{file.world}"
    found = str(beside) if beside.suffix == ".toml" and beside.is_file() else file.world
    here = {**file.set, **values}
    file = _with_deeds(file, {key: value for key, value in here.items() if key.startswith(OF_DEEDS)})
    here = {key: value for key, value in here.items() if not key.startswith(OF_DEEDS)}
    worlds = [read_world(found, {**here, "seed": seed}) for seed in seeds]
    small = tried_small(worlds[0])
    advance(small, worlds[0].laws, FINGERPRINT_TICKS)
    due = tuple(_due(file, worlds[0]))
    if file.duel is not None:
        if not 0 <= file.duel.at <= file.ticks or file.duel.each < 1 or file.duel.ticks < 1:
            raise WorldFileError(f"duel: at = {file.duel.at}, each = {file.duel.each}, ticks = {file.duel.ticks}: "
                                 f"use a tick up to {file.ticks}, and at least 1 of the others")  # fmt: skip
        if not isinstance(worlds[0].settings, EarthSettings):
            raise WorldFileError(f"duel: {worlds[0].laws.name} has no founders with genomes: leave it out")
        for species in file.duel.species:
            founders_count(worlds[0], species)
    fingerprint = audit.world_digest(small)
    measures = tuple(file.measures)
    for seed, world in zip(seeds, worlds, strict=True):
        yield Trial(number, values, seed, world, file.ticks, file.every, measures, due, file.duel, fingerprint)


def _with_deeds(file: ExperimentFile, values: Values) -> ExperimentFile:
    """The file with other values in its deeds."""
    if not values:
        return file
    content = msgspec.to_builtins(file)
    for key, value in values.items():
        set_value(content, key, value, "vary")
    return convert(content, ExperimentFile)


def _due(file: ExperimentFile, world: WorldFile) -> list[Deed]:
    """All deeds of a trial, in their order."""
    planned: list[tuple[int, int, bytes]] = []
    for number, treatment in enumerate(file.deeds):
        place = f"deeds[{number}]"
        until = file.ticks if treatment.until is None else min(treatment.until, file.ticks)
        if treatment.every < 1 or treatment.first < 0:
            line = f"{place}: every = {treatment.every}, first = {treatment.first}: use 1 or more, from 0 on"
            raise WorldFileError(line)
        many = treatment.do if isinstance(treatment.do, list) else [treatment.do]
        ticks = range(treatment.first, until, treatment.every)
        if len(planned) + len(ticks) * len(many) > MOST_DEEDS:
            raise WorldFileError(f"{place}: more than {MOST_DEEDS} deeds: do them less often")
        for content in many:
            try:
                if treatment.over is None:
                    done = deeds.written(deeds.checked(world, deeds.read(msgspec.json.encode(content))))
                    planned += [(tick, number, done) for tick in ticks]
                else:
                    over = treatment.over
                    planned += [(tick, number, _scattered(world, over, content, tick, number)) for tick in ticks]
            except UmweltError as error:
                raise WorldFileError(f"{place}: {error}") from None
    planned.sort(key=lambda one: one[:2])
    return [Deed(tick, number, content) for number, (tick, _, content) in enumerate(planned, 1)]


def _scattered(world: WorldFile, over: tuple[int, int, int, int], content: Values, tick: int, number: int) -> bytes:
    """A deed to a cell of an area that may reach over the seams; which of them, dice say."""
    top, left, height, width = over
    common = world.common
    if not (0 < height <= common.height and 0 < width <= common.width):
        raise WorldFileError(f"over = {list(over)}: write y, x, and a height and a width that the world has")
    down, across = divmod(draw(common.seed, tick, number, SCATTER, 0) % (height * width), width)
    place = {"y": (top + down) % common.height, "x": (left + across) % common.width}
    return deeds.written(deeds.checked(world, deeds.read(msgspec.json.encode(content | place))))


def _check_plots(file: ExperimentFile, points: Sequence[Values]) -> None:
    for number, plot in enumerate(file.plots):
        if bool(plot.columns) == bool(plot.outcomes):
            raise WorldFileError(f"plots[{number}]: name columns, or outcomes, one of them")
        if plot.at and len(plot.at) != len(plot.outcomes):
            line = f"plots[{number}].at: {len(plot.at)} numbers for {len(plot.outcomes)} outcomes: give one for each"
            raise WorldFileError(line)
        _check_where(plot.where, f"plots[{number}].where", points)


def _check_where(wanted: Values, place: str, points: Sequence[Values]) -> None:
    if wanted and not any(matches(point, wanted) for point in points):
        raise WorldFileError(f"{place}: no point has these values: use those of vary or points")


def _check_expectation(one: Expectation, place: str, points: Sequence[Values]) -> None:
    if one.above is None and one.below is None and one.between is None:
        raise WorldFileError(f"{place}: says no bound: add above, below or between")
    _check_where(one.where, f"{place}.where", points)
    _check_where(one.against, f"{place}.against", points)


def matches(point: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether a point has all wanted values."""
    return all(key in point and point[key] == value for key, value in wanted.items())


def written(experiment: Experiment) -> str:
    """The file as TOML, as it was checked."""
    return to_toml(msgspec.to_builtins(experiment.file))

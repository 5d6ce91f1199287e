"""Experiments: from a file (experiment_file.py) to trials that can be run. A trial is one run: a point, and a seed."""

import hashlib
import itertools
import math
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import msgspec

from umwelt.agents import commands
from umwelt.agents.earth.genesis import species_of
from umwelt.agents.earth.settings import EarthSettings
from umwelt.agents.measures import find_measure, measure_source
from umwelt.agents.open_world import try_small_world
from umwelt.agents.world_file import WorldFile, convert, read_world, set_value
from umwelt.client.experiments import validation
from umwelt.client.experiments.across_runs import ACROSS
from umwelt.client.experiments.analyses import ANALYSES
from umwelt.client.experiments.duel import garden_world
from umwelt.client.experiments.schema import DuelStage, ExperimentFile, GardenStage, Values
from umwelt.cluster.wire.protocol import ScheduledCommand
from umwelt.sandbox import audit
from umwelt.sandbox.dice import draw, purpose
from umwelt.sandbox.errors import UmweltError, WorldFileError
from umwelt.sandbox.step import advance
from umwelt.sandbox.text import one_line, one_of, prefix_errors

MAX_TRIALS, MAX_COMMANDS = 10_000, 1_000_000
FINGERPRINT_TICKS = 16
"""So many ticks of a world in small tell one physics from another."""
SCATTER = purpose("experiment.scatter")
COMMANDS_PREFIX = "commands."
WRITTEN = "set, vary or points:"
STAGES = ("duel", "garden")


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
    due: tuple[ScheduledCommand, ...] = field(repr=False)
    duel: DuelStage | None
    garden: GardenStage | None
    fingerprint: int

    @property
    def name(self) -> str:
        """What its results are called."""
        return f"{self.point}-{self.seed}"

    @property
    def key(self) -> str:
        """What tells results of this trial from those of any other, or of other laws."""
        parts: tuple[Any, ...] = (self.world.text, self.ticks, self.every, self.measures, self.due, self.duel)
        measures = self.measures if self.garden is None else (*self.measures, *self.garden.measures)
        parts += tuple(source for name in measures if (source := measure_source(name)))
        parts += (self.fingerprint,) if self.garden is None else (self.garden, self.fingerprint)
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
    with prefix_errors(str(path)):
        return checked(convert(content, ExperimentFile), path, quick)


def checked(file: ExperimentFile, path: Path, quick: bool) -> Experiment:
    """An experiment whose every trial can be run and judged; in its quick form, too, only if the whole one can."""
    if quick:
        checked(file, path, quick=False)
    whole, file = file, _quickly(file) if quick else file
    if file.ticks < 1 or file.every < 1:
        raise WorldFileError(f"ticks = {file.ticks}, every = {file.every}: use 1 or more")
    seeds = list(range(1, file.seeds + 1)) if isinstance(file.seeds, int) else file.seeds
    if not seeds or len(set(seeds)) < len(seeds):
        raise WorldFileError(f"seeds = {file.seeds}: name at least one, and none twice")
    if min(seeds) < 0 or max(seeds) >= 1 << 63:
        raise WorldFileError(f"seeds = {file.seeds}: use 0 to 2^63 - 1")
    if not file.measures:
        raise WorldFileError('measures: none is named: use "populations" or another of agents/measures')
    for name in file.measures:
        find_measure(name)
    for name in file.analyses:
        one_of(name, ANALYSES, "analyses")
    for name in file.across:
        one_of(name, ACROSS, "across")
    for number, treatment in enumerate(file.commands):
        if not quick and treatment.first >= min(file.ticks, treatment.until or file.ticks):
            line = f"commands[{number}]: first = {treatment.first}, until = {treatment.until}"
            raise WorldFileError(f"{line}: no tick of {file.ticks} is between: do it sooner")
    points = _points(file, len(seeds))
    trials: list[Trial] = []
    for number, values in enumerate(points):
        trials += _trials(file, path, number, values, seeds)
    worlds = [trial.world for trial in trials[:: len(seeds)]]
    for world in worlds:
        _check_stages(file, world)
    judged = file
    if quick:  # of plots it draws what there is in small
        expect = [one for one in file.expect if one.quick]
        judged = msgspec.structs.replace(file, duel=whole.duel, garden=whole.garden, expect=expect, plots=[])
    validation.check(judged, points, None if quick else len(seeds), worlds)
    return Experiment(path.stem, str(path), file, quick, tuple(points), tuple(trials))


def _quickly(file: ExperimentFile) -> ExperimentFile:
    if file.quick is None:
        raise WorldFileError("quick: this experiment has no quick form: add a section [quick], or leave out --quick")
    own = {name: getattr(file.quick, name) for name in file.quick.__struct_fields__}
    own["set"] = {**file.set, **file.quick.set}
    file = msgspec.structs.replace(file, **{name: value for name, value in own.items() if value is not None})
    late = {name: None for name in STAGES if (stage := getattr(file, name)) and stage.at > file.ticks}
    return msgspec.structs.replace(file, **late)


def _points(file: ExperimentFile, seeds: int) -> list[Values]:
    if file.vary and file.points:
        raise WorldFileError("vary, points: use one of them: a grid, or a list of points")
    for key, values in file.vary.items():
        if not values:
            raise WorldFileError(f"vary.{key}: name at least one value")
    count = len(file.points) or math.prod(len(values) for values in file.vary.values())
    if count * seeds > MAX_TRIALS:
        raise WorldFileError(f"{count} points times {seeds} seeds: at most {MAX_TRIALS} runs are made")
    grid = itertools.product(*file.vary.values())
    points = file.points or [dict(zip(file.vary, values, strict=True)) for values in grid]
    if any("seed" in values for values in (file.set, *points)):
        raise WorldFileError("seed: is set for every run: leave it out of set, vary and points, and name seeds")
    for number, point in enumerate(points):
        if point in points[:number]:
            raise WorldFileError(f"vary, points: {point} is there twice: leave one out")
    return points


def _trials(file: ExperimentFile, path: Path, number: int, values: Values, seeds: Sequence[int]) -> Iterator[Trial]:
    beside = path.parent / f"{file.world}"
    found = str(beside) if beside.suffix == ".toml" and beside.is_file() else file.world
    here = {**file.set, **values}
    file = _with_commands(file, {key: value for key, value in here.items() if key.startswith(COMMANDS_PREFIX)})
    here = {key: value for key, value in here.items() if not key.startswith(COMMANDS_PREFIX)}
    worlds = [read_world(found, {**here, "seed": seed}, WRITTEN) for seed in seeds]
    small = try_small_world(worlds[0])
    advance(small, worlds[0].laws, FINGERPRINT_TICKS)
    fingerprint = audit.world_digest(small)
    measures = tuple(file.measures)
    for seed, world in zip(seeds, worlds, strict=True):
        due = tuple(_due(file, world))
        yield Trial(
            number, values, seed, world, file.ticks, file.every, measures, due, file.duel, file.garden, fingerprint
        )


def _check_stages(file: ExperimentFile, world: WorldFile) -> None:
    for name in STAGES:
        stage = getattr(file, name)
        if stage is None:
            continue
        every = getattr(stage, "every", 1)
        if not 0 <= stage.at <= file.ticks or stage.each < 1 or stage.ticks < 1 or every < 1:
            line = f"{name}: at = {stage.at}, each = {stage.each}, ticks = {stage.ticks}, every = {every}"
            raise WorldFileError(f"{line}: use a tick up to {file.ticks}, and at least 1 of the others")
        if not isinstance(world.settings, EarthSettings):
            raise WorldFileError(f"{name}: {world.laws.name} has no founders with genomes: leave it out")
        names = [stage.species] if isinstance(stage.species, str) else stage.species
        if not names or not getattr(stage, "measures", names):
            raise WorldFileError(f"{name}: its species or measures are none: name at least one of each")
        known = dict.fromkeys(group["name"] for group in species_of(world.settings))
        for species in names:
            one_of(species, known, f"{name}.species")
    if file.garden is not None:
        garden_world(world, file.garden)
        for measure in file.garden.measures:
            find_measure(measure, "garden.measures")


def _with_commands(file: ExperimentFile, values: Values) -> ExperimentFile:
    """The file with other values in its commands."""
    if not values:
        return file
    content = msgspec.to_builtins(file)
    for key, value in values.items():
        set_value(content, key, value, WRITTEN)
    return convert(content, ExperimentFile)


def _due(file: ExperimentFile, world: WorldFile) -> list[ScheduledCommand]:
    """All commands of a trial, in their order."""
    planned: list[tuple[int, int, bytes]] = []
    for number, treatment in enumerate(file.commands):
        place = f"commands[{number}]"
        until = file.ticks if treatment.until is None else min(treatment.until, file.ticks)
        if treatment.every < 1 or treatment.first < 0:
            line = f"{place}: every = {treatment.every}, first = {treatment.first}: use 1 or more, from 0 on"
            raise WorldFileError(line)
        many = treatment.do if isinstance(treatment.do, list) else [treatment.do]
        if treatment.over is not None and any({"y", "x"} & set(content) for content in many):
            raise WorldFileError(f"{place}: its place is drawn from {list(treatment.over)}: leave out y and x, or over")
        ticks = range(treatment.first, until, treatment.every)
        if len(planned) + len(ticks) * len(many) > MAX_COMMANDS:
            raise WorldFileError(f"{place}: more than {MAX_COMMANDS} commands: do them less often")
        for content in many:
            try:
                if treatment.over is None:
                    done = commands.encode(commands.check(world, commands.decode(msgspec.json.encode(content))))
                    planned += [(tick, number, done) for tick in ticks]
                else:
                    over = treatment.over
                    planned += [(tick, number, _scattered(world, over, content, tick, number)) for tick in ticks]
            except UmweltError as error:
                raise WorldFileError(f"{place}: {error}") from None
    planned.sort(key=lambda one: one[:2])
    return [ScheduledCommand(tick, number, content) for number, (tick, _, content) in enumerate(planned, 1)]


def _scattered(world: WorldFile, over: tuple[int, int, int, int], content: Values, tick: int, number: int) -> bytes:
    """A command to a cell of an area that may reach over the seams; which of them, dice say."""
    top, left, height, width = over
    common = world.common
    if not (0 < height <= common.height and 0 < width <= common.width):
        raise WorldFileError(f"over = {list(over)}: write y, x, and a height and a width that the world has")
    down, across = divmod(draw(common.seed, tick, number, SCATTER, 0) % (height * width), width)
    place = {"y": (top + down) % common.height, "x": (left + across) % common.width}
    return commands.encode(commands.check(world, commands.decode(msgspec.json.encode(content | place))))

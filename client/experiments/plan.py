"""Turns an experiment file (schema.py) into trials: one run for each point of the varied keys and each seed.

A point is one combination of values of the varied keys. A *treatment* is an entry of the section [[commands]] of the
file: commands that are given repeatedly. The sections [duel] and [garden] compare descendants with founders in new
worlds. The quick form of an experiment is a shortened version, for `--quick`.
"""

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
from umwelt.agents.measures import find_measure, measure_source
from umwelt.agents.open_world import try_small_world
from umwelt.agents.world_file import WorldFile, convert, read_world, set_value
from umwelt.client.experiments import validation
from umwelt.client.experiments.across_runs import ACROSS
from umwelt.client.experiments.analyses import ANALYSES
from umwelt.client.experiments.duel import make_garden_world
from umwelt.client.experiments.schema import DuelStage, ExperimentFile, GardenStage, Values
from umwelt.cluster import ScheduledCommand
from umwelt.sandbox import audit
from umwelt.sandbox.dice import draw, purpose
from umwelt.sandbox.errors import UmweltError, WorldFileError
from umwelt.sandbox.step import advance
from umwelt.sandbox.text import one_line, one_of, prefix_errors

MAX_TRIALS, MAX_COMMANDS = 10_000, 1_000_000
"""The maximum number of trials of an experiment, and of commands of a trial."""
FINGERPRINT_TICKS = 16
"""Number of ticks after which the digest of a small world is taken, to identify its laws."""
SCATTER = purpose("experiment.scatter")
"""The purpose of the pseudorandom numbers that choose the cells of commands with an area `over`; part of their key."""
COMMANDS_PREFIX = "commands."
"""The prefix of keys that set values of the commands in the experiment file, not of the world file."""
KEYS_PLACE = "set, vary or points:"
"""Description, in error messages, of the places where an experiment file sets keys of the world file."""
STAGES = ("duel", "garden")
"""The keys of the sections of an experiment file that compare descendants with founders."""


@dataclass(frozen=True, eq=False)
class Trial:
    """One run of an experiment: its point, seed, world, commands and measurements."""

    point: int
    """Index of the point; its values are `values`."""
    values: Values
    seed: int
    world: WorldFile
    ticks: int
    every: int
    """Ticks between two measurements."""
    measures: tuple[str, ...]
    """The names of the measures."""
    due: tuple[ScheduledCommand, ...] = field(repr=False)
    """The commands, in order of execution."""
    duel: DuelStage | None
    garden: GardenStage | None
    fingerprint: int
    """Digest (hash of the state) of a small world of the same laws after `FINGERPRINT_TICKS` ticks.

    It changes if the laws change.
    """

    @property
    def name(self) -> str:
        """Name of the trial's results: point index and seed."""
        return f"{self.point}-{self.seed}"

    @property
    def key(self) -> str:
        """Hash of all that the results depend on, including the laws; results with another key are not reused."""
        parts: tuple[Any, ...] = (self.world.text, self.ticks, self.every, self.measures, self.due, self.duel)
        measures = self.measures if self.garden is None else (*self.measures, *self.garden.measures)
        parts += tuple(source for name in measures if (source := measure_source(name)))
        parts += (self.fingerprint,) if self.garden is None else (self.garden, self.fingerprint)
        return hashlib.blake2b(repr(parts).encode(), digest_size=16).hexdigest()


@dataclass(frozen=True, eq=False)
class Experiment:
    """A validated experiment: the file's content, its points, and its trials ordered by point and seed."""

    name: str
    source: str
    file: ExperimentFile
    quick: bool
    points: tuple[Values, ...]
    trials: tuple[Trial, ...]


def bundled_experiments() -> dict[str, Path]:
    """Returns the paths of the experiments included in Umwelt, by name."""
    folder = Path(str(resources.files("umwelt.worlds"))) / "experiments"
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def read_experiment(name_or_path: str, quick: bool = False) -> Experiment:
    """Reads and validates an experiment, given the name of a bundled one or the path of a .toml file.

    Raises WorldFileError if it cannot be read or contains a mistake.
    """
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
        return plan_experiment(convert(content, ExperimentFile), path, quick)


def plan_experiment(file: ExperimentFile, path: Path, quick: bool) -> Experiment:
    """Returns the experiment that `file` describes, with its trials. Raises WorldFileError for any mistake.

    `path` is the path of the experiment file; the world file is first looked up in the same folder. With `quick`, the
    full form is validated too.
    """
    if quick:
        plan_experiment(file, path, quick=False)
    whole, file = file, _quick_form(file) if quick else file
    if file.ticks < 1 or file.every < 1:
        raise WorldFileError(f"ticks = {file.ticks}, every = {file.every}: use 1 or more")
    seeds = list(range(1, file.seeds + 1)) if isinstance(file.seeds, int) else file.seeds
    if not seeds or len(set(seeds)) < len(seeds):
        raise WorldFileError(f"seeds = {file.seeds}: name at least one, and none twice")
    if min(seeds) < 0 or max(seeds) >= 1 << 63:
        raise WorldFileError(f"seeds = {file.seeds}: use 0 to 2^63 - 1")
    if not file.measures:
        raise WorldFileError('measures: is empty: use "populations" or another of agents/measures')
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
    if quick:  # plots are not validated: the quick form draws those that it can
        expect = [expectation for expectation in file.expect if expectation.quick]
        judged = msgspec.structs.replace(file, duel=whole.duel, garden=whole.garden, expect=expect, plots=[])
    validation.check(judged, points, None if quick else len(seeds), worlds)
    return Experiment(path.stem, str(path), file, quick, tuple(points), tuple(trials))


def _quick_form(file: ExperimentFile) -> ExperimentFile:
    """Returns `file` with the values in its section [quick], for the option --quick.

    The sections [duel] and [garden] are removed if they begin after the last tick. Raises WorldFileError if there is no
    section [quick].
    """
    if file.quick is None:
        raise WorldFileError("quick: this experiment has no quick form: add a section [quick], or leave out --quick")
    own = {name: getattr(file.quick, name) for name in file.quick.__struct_fields__}
    own["set"] = {**file.set, **file.quick.set}
    file = msgspec.structs.replace(file, **{name: value for name, value in own.items() if value is not None})
    late = {name: None for name in STAGES if (stage := getattr(file, name)) and stage.at > file.ticks}
    return msgspec.structs.replace(file, **late)


def _points(file: ExperimentFile, seeds: int) -> list[Values]:
    """Returns the points: those in `points`, or all combinations of the values in `vary`.

    `seeds` is the number of seeds. Raises WorldFileError if both `points` and `vary` are given, a list of values is
    empty, a point sets the seed or occurs twice, or there are too many trials.
    """
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
            raise WorldFileError(f"vary, points: {point} is listed twice: leave one out")
    return points


def _trials(file: ExperimentFile, path: Path, number: int, values: Values, seeds: Sequence[int]) -> Iterator[Trial]:
    """Yields the trials of the point with the index `number` and these values, one for each seed.

    `path` is that of the experiment file. Runs a small world, which raises the errors of the world's species.
    """
    beside = path.parent / f"{file.world}"
    world_name = str(beside) if beside.suffix == ".toml" and beside.is_file() else file.world
    keys = {**file.set, **values}
    file = _with_commands(file, {key: value for key, value in keys.items() if key.startswith(COMMANDS_PREFIX)})
    keys = {key: value for key, value in keys.items() if not key.startswith(COMMANDS_PREFIX)}
    worlds = [read_world(world_name, {**keys, "seed": seed}, KEYS_PLACE) for seed in seeds]
    small_region = try_small_world(worlds[0])
    advance(small_region, worlds[0].laws, FINGERPRINT_TICKS)
    fingerprint = audit.world_digest(small_region)
    measures = tuple(file.measures)
    for seed, world in zip(seeds, worlds, strict=True):
        due = tuple(_due(file, world))
        yield Trial(
            number, values, seed, world, file.ticks, file.every, measures, due, file.duel, file.garden, fingerprint
        )


def _check_stages(file: ExperimentFile, world: WorldFile) -> None:
    """Raises WorldFileError for a mistake in the sections [duel] and [garden]; `world` is the world of a point."""
    for name in STAGES:
        stage = getattr(file, name)
        if stage is None:
            continue
        every = getattr(stage, "every", 1)
        if not 0 <= stage.at <= file.ticks or stage.each < 1 or stage.ticks < 1 or every < 1:
            line = f"{name}: at = {stage.at}, each = {stage.each}, ticks = {stage.ticks}, every = {every}"
            raise WorldFileError(f"{line}: use a tick up to {file.ticks}, and at least 1 of the others")
        if world.laws.replace_founders is None:
            raise WorldFileError(f"{name}: {world.laws.name} has no founders with genomes: leave it out")
        names = [stage.species] if isinstance(stage.species, str) else stage.species
        if not names or not getattr(stage, "measures", names):
            raise WorldFileError(f"{name}: species or measures are empty: name at least one of each")
        known = dict.fromkeys(group.species for group in world.laws.founders(world))
        for species in names:
            one_of(species, known, f"{name}.species")
    if file.garden is not None:
        make_garden_world(world, file.garden)
        for measure in file.garden.measures:
            find_measure(measure, "garden.measures")


def _with_commands(file: ExperimentFile, values: Values) -> ExperimentFile:
    """Returns `file` with the values of its commands replaced; `values` has keys such as "commands.0.do.count"."""
    if not values:
        return file
    content = msgspec.to_builtins(file)
    for key, value in values.items():
        set_value(content, key, value, KEYS_PLACE)
    return convert(content, ExperimentFile)


def _due(file: ExperimentFile, world: WorldFile) -> list[ScheduledCommand]:
    """Returns all commands of a trial in order of execution, checked against its world.

    Raises WorldFileError, which names the treatment, for a command that is not valid.
    """
    planned: list[tuple[int, int, bytes]] = []
    """Tuples of tick, index of the treatment, and encoded command."""
    for number, treatment in enumerate(file.commands):
        place = f"commands[{number}]"
        until = file.ticks if treatment.until is None else min(treatment.until, file.ticks)
        if treatment.every < 1 or treatment.first < 0:
            line = f"{place}: every = {treatment.every}, first = {treatment.first}: use 1 or more, from 0 on"
            raise WorldFileError(line)
        contents = treatment.do if isinstance(treatment.do, list) else [treatment.do]
        if treatment.over is not None and any({"y", "x"} & set(content) for content in contents):
            raise WorldFileError(f"{place}: its place is drawn from {list(treatment.over)}: leave out y and x, or over")
        ticks = range(treatment.first, until, treatment.every)
        if len(planned) + len(ticks) * len(contents) > MAX_COMMANDS:
            raise WorldFileError(f"{place}: more than {MAX_COMMANDS} commands: give them less often")
        for content in contents:
            try:
                if treatment.over is None:
                    encoded = _encode_command(world, content)
                    planned += [(tick, number, encoded) for tick in ticks]
                else:
                    area = treatment.over
                    planned += [(tick, number, _scatter(world, area, content, tick, number)) for tick in ticks]
            except UmweltError as error:
                raise WorldFileError(f"{place}: {error}") from None
    planned.sort(key=lambda command: command[:2])
    return [ScheduledCommand(tick, number, content) for number, (tick, _, content) in enumerate(planned, 1)]


def _encode_command(world: WorldFile, content: Values) -> bytes:
    """Returns a command, whose fields are `content`, as JSON. Raises UmweltError if it is not valid in the world."""
    return commands.encode(commands.check(world, commands.decode(msgspec.json.encode(content))))


def _scatter(world: WorldFile, area: tuple[int, int, int, int], content: Values, tick: int, number: int) -> bytes:
    """Returns a command as JSON, whose fields are `content`, at a pseudorandom cell of `area`.

    The cell depends on the world's seed, the tick, and the index `number` of the treatment. `area` is (y, x, height,
    width) and can extend across the edges of the torus.
    """
    top, left, height, width = area
    common = world.common
    if not (0 < height <= common.height and 0 < width <= common.width):
        raise WorldFileError(f"over = {list(area)}: write y, x, and a height and a width that the world has")
    down, across = divmod(draw(common.seed, tick, number, SCATTER, 0) % (height * width), width)
    place = {"y": (top + down) % common.height, "x": (left + across) % common.width}
    return _encode_command(world, content | place)

"""Common-garden duels, which test whether descendants are fitter than founders.

A duel has two *sides*: in a new world, equal numbers of founders of a species and of its descendants live together.
Each side is a species of its own in that world; the index of the species, which all offspring inherit and no law reads,
identifies the side. The side with more offspring is fitter. After Lenski, Rose, Simpson and Tadler, "Long-Term
Experimental Evolution in Escherichia coli. I", American Naturalist 138, 1991, pp. 1315-1341.

A *group* is a group of founders in a world file; several groups can have the same species. Three functions of a world's
laws list the groups, read genomes, and replace founders in a world file (`Laws.founders`, `Laws.sample_genomes`,
`Laws.replace_founders`).
"""

import math
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import numpy as np

from umwelt.agents.earth.terrain import draws
from umwelt.agents.measures import measure_region
from umwelt.agents.measures.census import mean_of
from umwelt.agents.open_world import begin, generate_world
from umwelt.agents.world_file import WorldFile, parse_world, set_value, to_toml
from umwelt.client.experiments.schema import GardenStage
from umwelt.cluster import Flow, WorkerPool, choose_process_count, find_last_tick, open_store, restore_region, task
from umwelt.sandbox.dice import purpose
from umwelt.sandbox.errors import RunError, WorldFileError
from umwelt.sandbox.region import Region
from umwelt.sandbox.step import Founders, advance
from umwelt.sandbox.text import one_of

LIVING = purpose("duel.living")
FOUNDERS = purpose("duel.founders")
"""The purposes of the pseudorandom numbers that choose living beings and founders; they are part of their keys."""
DUEL_FIGURES = ("founders", "descendants", "more")
"""Figures of a duel in an experiment: the offspring of founders and of descendants, and the difference."""
FOUNDER_SIDE, DESCENDANT_SIDE, GAIN = "founders", "descendants", "gain"
"""The prefixes of the figures of a garden: the names of its two sides, and that of their differences."""


class Row(TypedDict):
    """The state of one species of a duel's world at a tick.

    `group` is the name of the species. It counts the founders of that species and all their descendants.
    """

    tick: int
    """The tick, counted from the start of the new world."""
    group: str
    living: int
    """Number of living beings; for plants, modules and seeds."""
    births: int
    """Number of births since tick 0; for plants, of buds and seeds."""
    generation: int
    """Highest generation among the living beings."""


class Outcome(TypedDict):
    """The result of one side of a duel; `living` and `births` as in the last `Row`."""

    living: int
    births: int
    generation: int
    """Highest generation in any row."""


@dataclass(frozen=True)
class Genomes:
    """One side of a duel: its name, and the genomes (int8 genes as bytes) that its founders receive in rotation."""

    name: str
    genomes: Sequence[bytes]


@dataclass(frozen=True)
class Duel:
    """A duel that can be run: the world, and the names of the two sides, which are species in that world.

    `species` is the name of the species whose founders and descendants are compared.
    """

    species: str
    world: WorldFile
    sides: tuple[str, str]


def load_moment(folder: Path, tick: int | None, option: str) -> tuple[WorldFile, Region]:
    """Returns the world file of a run and the state of the world at `tick` (None: at the last snapshot).

    `option` is the command-line option that set the tick, for error messages. Raises RunError if the run has not
    reached the tick, or if the laws of the world have no founders with genomes.
    """
    store = open_store(folder)
    if tick is not None and tick > (last := find_last_tick(store)):
        raise RunError(f"{option}: {folder} has reached tick {last}: give an earlier one, or resume it first")
    world, region, _ = restore_region(store, tick)
    if world.laws.replace_founders is None:
        line = f"{folder}: {world.laws.name} has no founders with genomes: choose a run of another world"
        raise RunError(line)
    return world, region


# --- genomes


def find_duelling_species(world: WorldFile, region: Region) -> list[str]:
    """Returns the names of the species that have a behaviour, founders, and living beings in `region`.

    `region` must own the full world.
    """
    names = []
    for index, group in enumerate(world.laws.founders(world)):
        if group.behaviour and group.count:
            table = region.tables[group.table]
            if (table["species"][region.owned_rows(group.table)] == index).any():
                names.append(group.species)
    return list(dict.fromkeys(names))


def sample_living_genomes(world: WorldFile, region: Region, species: str, count: int, seed: int) -> list[bytes]:
    """Returns the genomes of up to `count` living beings of a species in `region`; empty if it is extinct.

    The choice is pseudorandom; it depends only on `seed` and the ids of the beings.
    """
    assert world.laws.sample_genomes is not None
    ids, genomes = world.laws.sample_genomes(world, region, species)
    chosen = np.argsort(draws(ids, seed, LIVING), kind="stable")[:count]
    return [genome.tobytes() for genome in genomes[chosen]]


def sample_founder_genomes(world: WorldFile, species: str, count: int, seed: int) -> list[bytes]:
    """Returns the genomes of up to `count` founders of a species; the choice is pseudorandom and depends on `seed`.

    If all founders have the same genome, returns only that genome.
    """
    groups = _groups_of(world, species)
    first = next(iter(groups.values()))
    table = generate_world(world).tables[first.table]
    rows = np.flatnonzero(np.isin(table["species"], list(groups)))
    genomes = [genome.tobytes() for genome in table["genome"][rows[np.argsort(table["id"][rows])]]]
    if len(set(genomes)) < 2:
        return genomes[:1] or [first.genomes[0].tobytes()]
    order = np.argsort(draws(np.arange(len(genomes)), seed, FOUNDERS), kind="stable")
    return [genomes[number] for number in order[:count].tolist()]


def count_founders(world: WorldFile, species: str) -> int:
    """Returns the number of founders of a species."""
    return sum(group.count for group in _groups_of(world, species).values())


def _groups_of(world: WorldFile, species: str) -> dict[int, Founders]:
    """Returns the groups of founders of `species` in the world file, by index of the group.

    The index is the value of the column `species` of the group's beings. Raises WorldFileError if the world has no
    founders of that species.
    """
    groups = world.laws.founders(world)
    one_of(species, dict.fromkeys(group.species for group in groups), f"{world.source}: species")
    return {index: group for index, group in enumerate(groups) if group.species == species}


# --- one duel


def make_duel_world(world: WorldFile, species: str, first: Genomes, second: Genomes, each: int, seed: int) -> WorldFile:
    """Returns a copy of `world` with the seed `seed`, in which both sides replace the founders of `species`.

    `first` and `second` are the sides; each has `each` founders. Both are placed as one mixed group, so that places,
    ids, ages and matter have the same distribution. All other groups of founders are unchanged and keep their index.
    Raises WorldFileError if the sides have the same name, or if there is not enough room.
    """
    if first.name == second.name:
        raise WorldFileError(f'{world.source}: both sides are called "{first.name}": give them different names')
    room = world.common.height * world.common.width // 2
    if each > room:
        raise WorldFileError(f"{world.source}: {each} of each side are more than one a cell: at most {room} have room")
    _groups_of(world, species)
    assert world.laws.replace_founders is not None
    content = tomllib.loads(world.text)
    content["seed"] = seed
    world.laws.replace_founders(content, species, {side.name: side.genomes for side in (first, second)}, each)
    return parse_world(to_toml(content), world.source, world.name)


def make_garden_world(world: WorldFile, stage: GardenStage) -> WorldFile:
    """Returns a copy of `world` with the keys in `stage.set` changed; no founders are replaced yet."""
    content = tomllib.loads(world.text)
    for key, value in stage.set.items():
        set_value(content, key, value, "garden.set:")
    return parse_world(to_toml(content), world.source, world.name)


def run_garden(world: WorldFile, region: Region, stage: GardenStage, seed: int) -> dict[str, float]:
    """Measures living beings of a species and equally many founders in one new world with the seed `seed`.

    The genomes of the living beings are those in `region`. Returns the mean of each measured column over the second
    half of the ticks, `descendants.COLUMN` and `founders.COLUMN`, and the difference `gain.COLUMN` (descendants minus
    founders). The measurements are those of `stage.measures`, for each side separately.
    Returns an empty dict if the species is extinct.
    """
    living = sample_living_genomes(world, region, stage.species, stage.each, seed)
    if not living:
        return {}
    garden = _populate_garden(world, stage, living, seed)
    garden_region = begin(garden)
    rows: list[dict[str, float]] = []
    while garden_region.tick < stage.ticks:
        advance(garden_region, garden.laws, min(stage.every, stage.ticks - garden_region.tick))
        if garden_region.tick >= stage.ticks / 2:
            rows.append(measure_region(garden, garden_region, stage.measures))
    columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    return _with_gains({name: mean_of(values[~np.isnan(values)]) for name, values in columns.items()})


def garden_figure_names(world: WorldFile, stage: GardenStage) -> list[str]:
    """Returns the names of all figures that `run_garden` can return, by measuring a new world at tick 0."""
    garden = _populate_garden(world, stage, sample_founder_genomes(world, stage.species, 1, 0), 0)
    return list(_with_gains(measure_region(garden, begin(garden), stage.measures)))


def _populate_garden(world: WorldFile, stage: GardenStage, living: list[bytes], seed: int) -> WorldFile:
    """Returns the world of a common garden, in which both sides replace the founders of the species.

    `living` has the genomes of the descendants.
    """
    founders = sample_founder_genomes(world, stage.species, stage.each, seed)
    sides = Genomes(FOUNDER_SIDE, founders), Genomes(DESCENDANT_SIDE, living)
    return make_duel_world(make_garden_world(world, stage), stage.species, *sides, stage.each, seed)


def _with_gains(columns: dict[str, float]) -> dict[str, float]:
    """Returns those `columns` whose names begin with the name of a side, and the differences `gain.COLUMN`.

    A difference is the value of the descendants minus that of the founders.
    """
    sides = {
        name: value for name, value in columns.items() if name.startswith((f"{FOUNDER_SIDE}.", f"{DESCENDANT_SIDE}."))
    }
    names = [name.partition(".")[2] for name in sides if name.startswith(f"{FOUNDER_SIDE}.")]
    gains = {f"{GAIN}.{name}": sides[f"{DESCENDANT_SIDE}.{name}"] - sides[f"{FOUNDER_SIDE}.{name}"] for name in names}
    return sides | gains


def run_duel(world: WorldFile, ticks: int, every: int, on_tick: Callable[[int], None] | None = None) -> list[Row]:
    """Runs a world from tick 0 to `ticks`. Returns a row for each species every `every` ticks and at the last tick.

    `on_tick` is called with each tick.
    """
    region = begin(world)
    region.births = []
    names = list(world.laws.species(world)) if world.laws.species else []
    groups = list(dict.fromkeys(names))
    group_of_species = np.array([groups.index(name) for name in names], np.int64)
    births, rows = np.zeros(len(groups), np.int64), []
    for tick in range(ticks + 1):
        for record in region.births:
            births += np.bincount(group_of_species[record["species"]], minlength=len(groups))
        region.births.clear()
        if tick % every == 0 or tick == ticks:
            rows += _measure_groups(region, groups, group_of_species, births)
        if on_tick is not None:
            on_tick(tick)
        if tick < ticks:
            advance(region, world.laws, 1)
    return rows


def _measure_groups(region: Region, groups: list[str], group_of_species: np.ndarray, births: np.ndarray) -> list[Row]:
    """Returns a row for each species at the present tick of `region`.

    `groups` are the names of the species, without repetition. `group_of_species` has the index into `groups` for each
    index of a species; `births` are the births since tick 0, `int64[groups]`.
    """
    living, generation = np.zeros(len(groups), np.int64), np.zeros(len(groups), np.int64)
    for name, table in region.tables.items():
        owned = region.owned_rows(name)
        group = group_of_species[table["species"][owned]]
        living += np.bincount(group, minlength=len(groups))
        np.maximum.at(generation, group, table["generation"][owned])
    numbers = zip(groups, living.tolist(), births.tolist(), generation.tolist(), strict=True)
    return [
        Row(tick=region.tick, group=group, living=alive, births=born, generation=highest)
        for group, alive, born, highest in numbers
    ]


def summarize_side(rows: Sequence[Row], side: str) -> Outcome:
    """Returns the result of one side: its living beings and births at the end, and the highest generation.

    `side` is the name of the side.
    """
    side_rows = [row for row in rows if row["group"] == side]
    end = max(side_rows, key=lambda row: row["tick"])
    highest = max(row["generation"] for row in side_rows)
    return Outcome(living=end["living"], births=end["births"], generation=highest)


def sign_test_chance(more: int, fewer: int) -> float:
    """Returns the p value of the two-sided sign test.

    It is the probability of a result at least as one-sided as `more` to `fewer` if both sides are equally fit.
    """
    count = more + fewer
    tail = sum(math.comb(count, successes) for successes in range(min(more, fewer) + 1))
    return min(1.0, 2 * tail / 2**count)


# --- many duels


def run_duels(
    duels: Sequence[Duel], ticks: int, every: int, processes: int = 0, on_tick: Callable[[int, int], None] | None = None
) -> list[list[Row]]:
    """Runs duels in parallel in `processes` single-threaded processes; returns the rows of each duel, in order.

    With 0 processes, uses one per core, as far as memory allows. `on_tick` is called with the index of a duel and its
    tick. Raises the error of any duel that fails; all processes are ended in any case.
    """
    jobs = [(duel.world.text, duel.world.source, duel.world.name, ticks, every) for duel in duels]
    count = choose_process_count([duel.world for duel in duels], processes)
    report = None if on_tick is None else lambda ticket, tick: on_tick(int(ticket), tick)
    with WorkerPool(count, on_tick=report) as pool:
        return pool.run_workflow(_run_all, jobs)


async def _run_all(flow: Flow, jobs: Sequence[tuple[str, str, str, int, int]]) -> list[list[Row]]:
    """Runs the task `duel_job` with each of `jobs`, its arguments; returns the rows of each.

    A workflow: a coroutine that runs tasks in worker processes, through `flow`.
    """
    return await flow.gather(flow.run("duel.run", job, ticket=str(number)) for number, job in enumerate(jobs))


@task("duel.run")
def duel_job(job: tuple[str, str, str, int, int], say: Callable[[int], None]) -> list[Row]:
    """Runs one duel and returns its rows; a task, which is run by a worker process.

    `job` contains the world file's text, source and name, the number of ticks, and the ticks between rows. `say` is
    called with each tick.
    """
    text, source, name, ticks, every = job
    return run_duel(parse_world(text, source, name), ticks, every, say)

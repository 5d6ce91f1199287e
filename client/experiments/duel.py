"""Common-garden duels: are the descendants fitter than the founders?

As many founders as descendants live together in one fresh world, told apart by a mark that no law looks at and all
offspring inherit: the index of their species. Who left more offspring is the fitter. After Lenski, Rose, Simpson and
Tadler, "Long-Term Experimental Evolution in Escherichia coli. I", American Naturalist 138, 1991, pp. 1315-1341.
"""

import math
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from umwelt.agents.body.interface import MODULE
from umwelt.agents.earth.genesis import species_of
from umwelt.agents.earth.settings import EarthSettings
from umwelt.agents.earth.terrain import draws
from umwelt.agents.measures import measured
from umwelt.agents.measures.census import mean_of
from umwelt.agents.open_world import begin, tick_zero
from umwelt.agents.world_file import WorldFile, one_of, parse_world, set_value, to_toml
from umwelt.client.experiments.schema import GardenStage
from umwelt.cluster.run.remote_store import opened_store
from umwelt.cluster.run.replay import reached, region_at
from umwelt.cluster.tasks.pool import WorkerPool, choose_process_count
from umwelt.cluster.tasks.registry import task
from umwelt.cluster.tasks.workflow import Flow
from umwelt.sandbox.dice import purpose
from umwelt.sandbox.errors import RunError, WorldFileError
from umwelt.sandbox.region import Region
from umwelt.sandbox.step import advance

LIVING = purpose("duel.living")
FOUNDERS = purpose("duel.founders")
DUEL_FIGURES = ("founders", "descendants", "more")
"""What an experiment's duel tells: offspring of both sides, and how many more the descendants have."""

Row = dict[str, Any]


@dataclass(frozen=True)
class Genomes:
    """One side of a duel: what it is called, and the genomes that are dealt out in turn over its founders."""

    name: str
    genomes: Sequence[bytes]


@dataclass(frozen=True)
class Duel:
    """A fresh world in which two sides of a species meet; they have the names of their founders' groups."""

    species: str
    world: WorldFile
    sides: tuple[str, str]


def moment_of(folder: Path, tick: int | None, option: str) -> tuple[WorldFile, Region]:
    """A run's world at a tick it has reached, the last snapshot's if none is given; `option` asked for the tick."""
    store = opened_store(folder)
    if tick is not None and tick > (last := reached(store)):
        raise RunError(f"{option}: {folder} has reached tick {last}: give an earlier one, or resume it first")
    world, region, _ = region_at(store, tick)
    if not isinstance(world.settings, EarthSettings):
        line = f"{folder}: {world.laws.name} has no founders with genomes: choose a run of another world"
        raise RunError(line)
    return world, region


# --- genomes


def duelling_species(world: WorldFile, region: Region) -> list[str]:
    """The monster species that have founders, and living ones in a region that owns the torus."""
    table = region.tables["monsters"]
    alive = set(table["species"][region.owned_rows("monsters")].tolist())
    groups = zip(world.settings.founders, species_of(world.settings), strict=True)
    found = [
        group.species
        for at, (group, species) in enumerate(groups)
        if species["kind"] == "monster" and group.count and at in alive
    ]
    return list(dict.fromkeys(found))


def genomes_of(world: WorldFile, region: Region, species: str, count: int, seed: int) -> list[bytes]:
    """Genomes of the living of a species, drawn without favour: `count` of them, or all there are.

    Of monsters each being's, of plants each different one that modules have. The dice are keyed by the beings' ids.
    """
    at, kind = _groups(world, species)
    table = region.tables[f"{kind}s"]
    chosen = region.owned_rows(f"{kind}s") & np.isin(table["species"], at)
    if kind == "plant":
        chosen &= table["stage"] == MODULE
    rows = np.flatnonzero(chosen)
    rows = rows[np.argsort(table["id"][rows])]
    if kind == "plant":
        rows = rows[np.unique(table["genome"][rows], axis=0, return_index=True)[1]]
    drawn = rows[np.argsort(draws(table["id"][rows], seed, LIVING), kind="stable")[:count]]
    return [genome.tobytes() for genome in table["genome"][drawn]]


def founding_genomes(world: WorldFile, species: str, count: int, seed: int) -> list[bytes]:
    """Genomes of the founders of a species as they stand at tick 0, drawn without favour: one, if all have the same."""
    at, kind = _groups(world, species)
    table = tick_zero(world).tables[f"{kind}s"]
    rows = np.flatnonzero(np.isin(table["species"], at))
    found = [genome.tobytes() for genome in table["genome"][rows[np.argsort(table["id"][rows])]]]
    if len(set(found)) < 2:
        return found[:1] or [species_of(world.settings)[at[0]]["genome"].tobytes()]
    order = np.argsort(draws(np.arange(len(found)), seed, FOUNDERS), kind="stable")
    return [found[number] for number in order[:count].tolist()]


def founders_count(world: WorldFile, species: str) -> int:
    """How many founders a species has."""
    return sum(world.settings.founders[at].count for at in _groups(world, species)[0])


def _groups(world: WorldFile, species: str) -> tuple[list[int], str]:
    """The indices of the groups that bear a name, and their kind."""
    groups = species_of(world.settings)
    one_of(species, dict.fromkeys(group["name"] for group in groups), f"{world.source}: species")
    at = [number for number, group in enumerate(groups) if group["name"] == species]
    return at, groups[at[0]]["kind"]


# --- one duel


def duel_world(world: WorldFile, species: str, first: Genomes, second: Genomes, each: int, seed: int) -> WorldFile:
    """The same world anew from another seed, with `each` founders of both sides in place of those of a species.

    The sides are mixed, so that places, ids, ages and what a founder holds are drawn alike for both. All other groups
    are as they were, and keep their index.
    """
    if first.name == second.name:
        raise WorldFileError(f'{world.source}: both sides are called "{first.name}": give them names of their own')
    room = world.common.height * world.common.width // 2
    if each > room:
        raise WorldFileError(f"{world.source}: {each} of each side are more than one a cell: at most {room} have room")
    (at, *others), kind = _groups(world, species)
    content = tomllib.loads(world.text)
    content["seed"] = seed
    groups = content["founders"]
    kept = {key: value for key, value in groups[at].items() if key in ("behaviour", "clumps", "among")}
    for other in others:
        groups[other]["count"] = 0
    for group in groups:
        if group.get("among") == species:
            group["among"] = first.name
    made = [
        {"species": side.name, "kind": kind, "count": each, "genomes": [genome.hex() for genome in side.genomes]}
        for side in (first, second)
    ]
    groups[at] = kept | made[0]
    groups.append({"behaviour": kept.get("behaviour", "net"), "among": kept.get("among", first.name)} | made[1])
    return parse_world(to_toml(content), world.source, world.name)


def garden_world(world: WorldFile, stage: GardenStage) -> WorldFile:
    """The world of a common garden, before anybody is put there."""
    content = tomllib.loads(world.text)
    for key, value in stage.set.items():
        set_value(content, key, value, "garden.set:")
    return parse_world(to_toml(content), world.source, world.name)


def run_garden(world: WorldFile, region: Region, stage: GardenStage, seed: int) -> dict[str, float]:
    """Measure those who live in a region beside as many founders, in a fresh world from another seed.

    Gives the means of each measured column over the later half, `descendants.COLUMN` and `founders.COLUMN`, and by how
    much descendants have more of it, `gain.COLUMN`; nothing if nobody of the species is left.
    """
    living = genomes_of(world, region, stage.species, stage.each, seed)
    if not living:
        return {}
    garden = _planted(world, stage, living, seed)
    grown, rows = begin(garden), list[dict[str, float]]()
    while grown.tick < stage.ticks:
        advance(grown, garden.laws, min(stage.every, stage.ticks - grown.tick))
        if grown.tick >= stage.ticks / 2:
            rows.append(measured(garden, grown, stage.measures))
    columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    return _with_gains({name: mean_of(values[~np.isnan(values)]) for name, values in columns.items()})


def garden_figures(world: WorldFile, stage: GardenStage) -> list[str]:
    """The names of all that `run_garden` may tell."""
    garden = _planted(world, stage, founding_genomes(world, stage.species, 1, 0), 0)
    return list(_with_gains(measured(garden, begin(garden), stage.measures)))


def _planted(world: WorldFile, stage: GardenStage, living: list[bytes], seed: int) -> WorldFile:
    """The world of a common garden, with both sides in it."""
    founders = founding_genomes(world, stage.species, stage.each, seed)
    sides = Genomes("founders", founders), Genomes("descendants", living)
    return duel_world(garden_world(world, stage), stage.species, *sides, stage.each, seed)


def _with_gains(columns: dict[str, float]) -> dict[str, float]:
    """What was measured of both sides, and by how much descendants have more of each column."""
    found = {name: value for name, value in columns.items() if name.startswith(("founders.", "descendants."))}
    both = [name.partition(".")[2] for name in found if name.startswith("founders.")]
    return found | {f"gain.{name}": found[f"descendants.{name}"] - found[f"founders.{name}"] for name in both}


def run_duel(world: WorldFile, ticks: int, every: int, seen: Callable[[int], None] | None = None) -> list[Row]:
    """Run a world from tick 0; a row for each group of founders at every so many ticks, and at the last one.

    A row has `tick`, `group`, `living` (of plants modules and seeds), `births` in the group since tick 0 (of plants
    buds and seeds; each is counted as it happens, so that those who died since are among them) and `generation`, the
    latest among the living. `seen` is told each tick.
    """
    region = begin(world)
    region.births = []
    names = list(world.laws.species(world)) if world.laws.species else []
    groups = list(dict.fromkeys(names))
    group_of = np.array([groups.index(name) for name in names], np.int64)
    births, rows = np.zeros(len(groups), np.int64), []
    for tick in range(ticks + 1):
        for record in region.births:
            births += np.bincount(group_of[record["species"]], minlength=len(groups))
        region.births.clear()
        if tick % every == 0 or tick == ticks:
            rows += _measured(region, groups, group_of, births)
        if seen is not None:
            seen(tick)
        if tick < ticks:
            advance(region, world.laws, 1)
    return rows


def _measured(region: Region, groups: list[str], group_of: np.ndarray, births: np.ndarray) -> list[Row]:
    living, generation = np.zeros(len(groups), np.int64), np.zeros(len(groups), np.int64)
    for name, table in region.tables.items():
        owned = region.owned_rows(name)
        group = group_of[table["species"][owned]]
        living += np.bincount(group, minlength=len(groups))
        np.maximum.at(generation, group, table["generation"][owned])
    counted = zip(groups, living.tolist(), births.tolist(), generation.tolist(), strict=True)
    return [
        {"tick": region.tick, "group": group, "living": alive, "births": born, "generation": latest}
        for group, alive, born, latest in counted
    ]


def outcome_of(rows: Sequence[Row], side: str) -> dict[str, int]:
    """What became of a side: its living and births at the end, and the latest generation that was ever measured."""
    theirs = [row for row in rows if row["group"] == side]
    end = max(theirs, key=lambda row: row["tick"])
    return {
        "living": end["living"],
        "births": end["births"],
        "generation": max(row["generation"] for row in theirs),
    }


def odds_by_chance(more: int, fewer: int) -> float:
    """How likely so one-sided an outcome is, or more so, if the sides are alike: the two-sided sign test."""
    count = more + fewer
    tail = sum(math.comb(count, at) for at in range(min(more, fewer) + 1))
    return min(1.0, 2 * tail / 2**count)


# --- many duels


def run_duels(
    duels: Sequence[Duel], ticks: int, every: int, processes: int = 0, seen: Callable[[int, int], None] | None = None
) -> list[list[Row]]:
    """Run duels side by side, each in one of so many processes of one thread: the rows of each, in order.

    Without a number there is one process a core, as far as memory goes. `seen` is told which duel is at which tick.
    Raises what went wrong in any; whatever happens, no process is left.
    """
    jobs = [(duel.world.text, duel.world.source, duel.world.name, ticks, every) for duel in duels]
    count = choose_process_count([duel.world for duel in duels], processes)
    told = None if seen is None else lambda ticket, tick: seen(int(ticket), tick)
    with WorkerPool(count, on_tick=told) as shop:
        return shop.run_workflow(_side_by_side, jobs)


async def _side_by_side(flow: Flow, jobs: Sequence[tuple[Any, ...]]) -> list[list[Row]]:
    return await flow.gather(flow.run("duel.run", job, ticket=str(which)) for which, job in enumerate(jobs))


@task("duel.run")
def duel_job(job: tuple[str, str, str, int, int], say: Callable[[int], None]) -> list[Row]:
    """What a process does for one duel."""
    text, source, name, ticks, every = job
    return run_duel(parse_world(text, source, name), ticks, every, say)

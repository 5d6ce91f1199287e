"""One run of an experiment, by the same tick as any other; what it found so far is kept, so that it can go on.

A checkpoint is a snapshot, and then a file that names it and holds the rows so far: it is whole as soon as that is
there. A run that goes on from one comes out as if it had never stopped.
"""

import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from umwelt.agents.measures import measure_region, without_nan
from umwelt.agents.open_world import begin, open_region
from umwelt.agents.world_file import WorldFile, parse_world
from umwelt.client.experiments.duel import (
    DUEL_FIGURES,
    Genomes,
    duel_world,
    founding_genomes,
    genomes_of,
    outcome_of,
    run_duel,
    run_garden,
)
from umwelt.client.experiments.plan import Trial
from umwelt.client.experiments.schema import DuelStage, GardenStage
from umwelt.cluster.run.replay import Replay
from umwelt.cluster.run.store import replace_file, report_disk_errors
from umwelt.cluster.tasks.registry import task
from umwelt.cluster.tasks.workflow import Flow
from umwelt.cluster.wire.protocol import ScheduledCommand
from umwelt.sandbox import audit, snapshot
from umwelt.sandbox.errors import SnapshotError
from umwelt.sandbox.region import Region

CHECKPOINT_EVERY_S = 120.0
ROWS = "rows.json"

Row = dict[str, int | float]


class Job(msgspec.Struct):
    """A trial as it goes to a process."""

    key: str
    text: str
    source: str
    name: str
    ticks: int
    every: int
    measures: tuple[str, ...]
    due: list[tuple[int, int, bytes]]
    duel: DuelStage | None
    garden: GardenStage | None
    folder: str
    checkpoint_every_s: float = CHECKPOINT_EVERY_S


class Result(NamedTuple):
    """What a run found: a row at each measurement, figures of the whole run, and the digest at its end."""

    rows: list[Row]
    figures: dict[str, float]
    digest: int


class Kept(msgspec.Struct):
    """What a checkpoint holds beside the snapshot."""

    key: str
    tick: int
    rows: list[Row]
    figures: dict[str, float]


def job_of(trial: Trial, folder: Path) -> Job:
    """A trial, and the folder in which it keeps checkpoints."""
    world = trial.world
    due = [(command.tick, command.number, command.content) for command in trial.due]
    return Job(
        trial.key,
        world.text,
        world.source,
        world.name,
        trial.ticks,
        trial.every,
        trial.measures,
        due,
        trial.duel,
        trial.garden,
        str(folder),
    )


@task("experiment.run")
def run_job(job: Job, say: Callable[[int], None]) -> Result:
    """Run a trial to its end, from its checkpoint where there is one."""
    world = parse_world(job.text, job.source, job.name)
    region, kept = _resumed(job, world) or (begin(world), Kept(job.key, 0, [], {}))
    going = Replay(world, region, [ScheduledCommand(*one) for one in job.due if one[0] >= region.tick])
    saved_s = time.monotonic()
    while True:
        if (region.tick % job.every == 0 or region.tick == job.ticks) and not _is_measured(kept, region.tick):
            kept.rows.append({"tick": region.tick, **without_nan(measure_region(world, region, job.measures))})
        if job.duel is not None and region.tick == job.duel.at and not _has(kept, "duel."):
            kept.figures |= _duelled(world, region, job.duel)
        if job.garden is not None and region.tick == job.garden.at and not _has(kept, "garden."):
            found = without_nan(run_garden(world, region, job.garden, _fresh_seed(world)))
            kept.figures |= {f"garden.{name}": value for name, value in found.items()}
        say(region.tick)
        if region.tick >= job.ticks:
            break
        if time.monotonic() - saved_s > job.checkpoint_every_s:
            _keep(job, world, region, kept)
            saved_s = time.monotonic()
        going.step()
    shutil.rmtree(job.folder, ignore_errors=True)
    return Result(kept.rows, kept.figures, audit.world_digest(region))


async def all_runs(flow: Flow, jobs: Sequence[Job], ended: Callable[[int, Result], None]) -> None:
    """The workflow of an experiment: all its runs side by side; `ended` is told what comes of each as it is done."""

    async def one(which: int) -> tuple[int, Result]:
        return which, msgspec.convert(await flow.run("experiment.run", jobs[which], ticket=str(which)), Result)

    async for which, result in flow.as_done(one(which) for which in range(len(jobs))):
        ended(which, result)


def _is_measured(kept: Kept, tick: int) -> bool:
    return bool(kept.rows) and kept.rows[-1]["tick"] >= tick


def _has(kept: Kept, prefix: str) -> bool:
    return any(name.startswith(prefix) for name in kept.figures)


def _fresh_seed(world: WorldFile) -> int:
    """The seed of a world in which descendants and founders meet."""
    return world.common.seed + 1_000_000


def _keep(job: Job, world: WorldFile, region: Region, kept: Kept) -> None:
    """Write a checkpoint, and let the one before it go."""
    folder = Path(job.folder)
    with report_disk_errors(folder, "--to"):
        folder.mkdir(parents=True, exist_ok=True)
        place = folder / f"tick-{region.tick}"
        shutil.rmtree(place, ignore_errors=True)
        snapshot.save(place, region, world.text, world.name)
        kept.tick = region.tick
        with replace_file(folder / ROWS) as half:
            half.write_bytes(msgspec.json.encode(kept))
        for old in folder.glob("tick-*"):
            if old != place:
                shutil.rmtree(old, ignore_errors=True)


def _resumed(job: Job, world: WorldFile) -> tuple[Region, Kept] | None:
    """The world at the last checkpoint of this very trial; None if there is none that is whole."""
    folder = Path(job.folder)
    try:
        kept = msgspec.json.decode((folder / ROWS).read_bytes(), type=Kept)
        if kept.key != job.key:
            return None
        found = snapshot.load(folder / f"tick-{kept.tick}", world.laws.layout(world))
    except (OSError, msgspec.MsgspecError, SnapshotError):
        return None
    region = open_region(world, found.pieces, found.constants, found.manifest.tick, controls=found.controls)
    region.counts.update(found.manifest.counts)
    return region, kept


def _duelled(world: WorldFile, region: Region, stage: DuelStage) -> dict[str, float]:
    """Descendants against founders, species by species: offspring of both, and how many more the descendants have.

    Where nobody of a species is left, the founders have won by all that they could bear: the figure is -1.
    """
    figures: dict[str, float] = {}
    seed = _fresh_seed(world)
    for species in stage.species:
        name = f"duel.{species}"
        living = genomes_of(world, region, species, stage.each, seed)
        if not living:
            figures[f"{name}.more"] = -1
            continue
        founders = founding_genomes(world, species, stage.each, seed)
        sides = Genomes(f"{species} founders", founders), Genomes(f"{species} descendants", living)
        rows = run_duel(duel_world(world, species, *sides, stage.each, seed), stage.ticks, stage.ticks)
        first, second = (outcome_of(rows, side.name)["births"] for side in sides)
        told = zip(DUEL_FIGURES, (first, second, second - first), strict=True)
        figures |= {f"{name}.{figure}": value for figure, value in told}
    return figures

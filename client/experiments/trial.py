"""Runs the trials of an experiment, with checkpoints from which an interrupted trial continues.

A trial is one run of an experiment: one world, with measurements and possibly comparisons of descendants with founders
in new worlds (duels and gardens). A checkpoint consists of a snapshot (the complete state of the world) and of a file,
written afterwards, with its tick, and the rows and figures so far. A snapshot without that file is ignored. A trial
that continues from a checkpoint has the same result as an uninterrupted one.
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
    make_duel_world,
    run_duel,
    run_garden,
    sample_founder_genomes,
    sample_living_genomes,
    summarize_side,
)
from umwelt.client.experiments.plan import Trial
from umwelt.client.experiments.schema import DuelStage, GardenStage
from umwelt.cluster import Flow, Replay, ScheduledCommand, replace_file, report_disk_errors, task
from umwelt.sandbox import audit, snapshot
from umwelt.sandbox.errors import SnapshotError
from umwelt.sandbox.region import Region

CHECKPOINT_EVERY_S = 120.0
"""The time between two checkpoints, in seconds."""
ROWS = "rows.json"
"""The name of the file of a checkpoint in its folder, beside the snapshot."""
SEED_DISTANCE = 1_000_000
"""What is added to the seed of the trial to get the seed of the new worlds of its duels and garden."""

Row = dict[str, int | float]
"""The numbers of one measurement by name, with `tick`, the tick of the measurement; NaN is left out."""


class Job(msgspec.Struct):
    """A trial in the form that is sent to a worker process; `folder` is the folder of its checkpoints.

    `key` is a hash of all that the results depend on. `text`, `source` and `name` are those of the world file; `due`
    has the tick, the number and the content of each command.
    """

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
    """The result of a trial: a row for each measurement, its figures, and the digest of the world at the end.

    The figures are the results of its duels and garden, by name; the digest is a hash of the world's state.
    """

    rows: list[Row]
    figures: dict[str, float]
    digest: int


class Checkpoint(msgspec.Struct):
    """The content of a checkpoint besides the snapshot at `tick`; `key` is the trial's key."""

    key: str
    tick: int
    rows: list[Row]
    figures: dict[str, float]


def make_job(trial: Trial, folder: Path) -> Job:
    """Returns the job of a trial; `folder` is the folder of its checkpoints."""
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
    """Runs a trial to its end, from its checkpoint if there is one; a task, which is run by a worker process.

    `say` is called with each tick. Removes the checkpoint at the end.
    """
    world = parse_world(job.text, job.source, job.name)
    region, checkpoint = _load_checkpoint(job, world) or (begin(world), Checkpoint(job.key, 0, [], {}))
    replay = Replay(world, region, [ScheduledCommand(*command) for command in job.due if command[0] >= region.tick])
    saved_s = time.monotonic()
    while True:
        is_due = region.tick % job.every == 0 or region.tick == job.ticks
        if is_due and not _is_measured(checkpoint, region.tick):
            checkpoint.rows.append({"tick": region.tick, **without_nan(measure_region(world, region, job.measures))})
        if job.duel is not None and region.tick == job.duel.at and not _has(checkpoint, "duel."):
            checkpoint.figures |= _run_duels(world, region, job.duel)
        if job.garden is not None and region.tick == job.garden.at and not _has(checkpoint, "garden."):
            figures = without_nan(run_garden(world, region, job.garden, _other_seed(world)))
            checkpoint.figures |= {f"garden.{name}": value for name, value in figures.items()}
        say(region.tick)
        if region.tick >= job.ticks:
            break
        if time.monotonic() - saved_s > job.checkpoint_every_s:
            _save_checkpoint(job, world, region, checkpoint)
            saved_s = time.monotonic()
        replay.step()
    shutil.rmtree(job.folder, ignore_errors=True)
    return Result(checkpoint.rows, checkpoint.figures, audit.world_digest(region))


async def all_runs(flow: Flow, jobs: Sequence[Job], ended: Callable[[int, Result], None]) -> None:
    """Runs all trials of an experiment in parallel; a workflow, which runs tasks in worker processes through `flow`.

    `ended` is called with the index and the result of each trial when it ends.
    """

    async def run(number: int) -> tuple[int, Result]:
        """Runs the trial with the index `number`; returns the index and the result."""
        result = await flow.run("experiment.run", jobs[number], ticket=str(number))
        return number, msgspec.convert(result, Result)

    async for number, result in flow.as_done(run(number) for number in range(len(jobs))):
        ended(number, result)


def _is_measured(checkpoint: Checkpoint, tick: int) -> bool:
    """Returns whether the checkpoint has a row for `tick` or a later tick."""
    return bool(checkpoint.rows) and checkpoint.rows[-1]["tick"] >= tick


def _has(checkpoint: Checkpoint, prefix: str) -> bool:
    """Returns whether the checkpoint has figures whose names begin with `prefix`."""
    return any(name.startswith(prefix) for name in checkpoint.figures)


def _other_seed(world: WorldFile) -> int:
    """Returns the seed of the new worlds in which descendants and founders are compared."""
    return world.common.seed + SEED_DISTANCE


def _save_checkpoint(job: Job, world: WorldFile, region: Region, checkpoint: Checkpoint) -> None:
    """Writes a checkpoint of the trial at the tick of `region`, and removes the previous one."""
    folder = Path(job.folder)
    with report_disk_errors(folder, "--to"):
        folder.mkdir(parents=True, exist_ok=True)
        place = folder / f"tick-{region.tick}"
        shutil.rmtree(place, ignore_errors=True)
        snapshot.save(place, region, world.text, world.name)
        checkpoint.tick = region.tick
        with replace_file(folder / ROWS) as half:
            half.write_bytes(msgspec.json.encode(checkpoint))
        for old in folder.glob("tick-*"):
            if old != place:
                shutil.rmtree(old, ignore_errors=True)


def _load_checkpoint(job: Job, world: WorldFile) -> tuple[Region, Checkpoint] | None:
    """Returns the world and the content of the last checkpoint of this trial; None if there is no complete one."""
    folder = Path(job.folder)
    try:
        checkpoint = msgspec.json.decode((folder / ROWS).read_bytes(), type=Checkpoint)
        if checkpoint.key != job.key:
            return None
        loaded = snapshot.load(folder / f"tick-{checkpoint.tick}", world.laws.layout(world))
    except (OSError, msgspec.MsgspecError, SnapshotError):
        return None
    region = open_region(world, loaded.pieces, loaded.constants, loaded.manifest.tick, controls=loaded.controls)
    region.counts.update(loaded.manifest.counts)
    return region, checkpoint


def _run_duels(world: WorldFile, region: Region, stage: DuelStage) -> dict[str, float]:
    """Runs a duel for each species of `stage`; `region` has the living descendants.

    Returns three figures for each: the offspring of founders (`duel.SPECIES.founders`), that of descendants
    (`.descendants`), and the difference (`.more`). For an extinct species, only the difference is returned, as -1.
    """
    figures: dict[str, float] = {}
    seed = _other_seed(world)
    for species in stage.species:
        name = f"duel.{species}"
        living = sample_living_genomes(world, region, species, stage.each, seed)
        if not living:
            figures[f"{name}.more"] = -1
            continue
        founders = sample_founder_genomes(world, species, stage.each, seed)
        sides = Genomes(f"{species} founders", founders), Genomes(f"{species} descendants", living)
        rows = run_duel(make_duel_world(world, species, *sides, stage.each, seed), stage.ticks, stage.ticks)
        first, second = (summarize_side(rows, side.name)["births"] for side in sides)
        values = zip(DUEL_FIGURES, (first, second, second - first), strict=True)
        figures |= {f"{name}.{figure}": value for figure, value in values}
    return figures

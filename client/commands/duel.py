"""umwelt duel: founders against descendants in fresh worlds, with a progress bar, a table, Parquet and a picture."""

import json
import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from umwelt.agents.world_file import WorldFile
from umwelt.client.commands.running import compile_laws
from umwelt.client.experiments.duel import (
    Duel,
    Genomes,
    Row,
    duel_world,
    duelling_species,
    founders_count,
    founding_genomes,
    genomes_of,
    moment_of,
    odds_by_chance,
    outcome_of,
    run_duels,
)
from umwelt.cluster.run.store import replace_file, report_disk_errors
from umwelt.sandbox.errors import RunError
from umwelt.sandbox.kernel import cached
from umwelt.sandbox.region import Region

MEASURED_TIMES = 100
"""How often a duel is measured, so that a line can be drawn."""
COLOURS = ("#8a6d3b", "#1f7a8c")

Moment = tuple[WorldFile, Region]


@dataclass(frozen=True)
class Wish:
    """What was asked for."""

    run: Path
    tick: int | None
    species: str | None
    each: int | None
    ticks: int
    seeds: int
    against: str | None


def duelled(wish: Wish, to: Path | None, as_json: bool) -> None:
    """Run the duels, print who left more offspring, and write tables and a picture where asked."""
    if to is not None and (to.is_file() or not os.access(_there(to), os.W_OK)):
        raise RunError(f"{to}: no folder can be written there: choose another with --to")
    moment = moment_of(wish.run, wish.tick, f"--tick {wish.tick}")
    rival = None if wish.against is None else _rival(wish.against)
    duels = planned(wish, moment, rival)
    if not cached():
        compile_laws(moment[0], Console(stderr=True))
    every = max(1, wish.ticks // MEASURED_TIMES)
    found = _run(duels, wish.ticks, every)
    written = [] if to is None else _write(to, duels, found)
    outcomes = [
        {"species": duel.species, "seed": duel.world.common.seed, **_judged(duel, rows)}
        for duel, rows in zip(duels, found, strict=True)
    ]
    verdicts = _verdicts(duels, outcomes)
    console = Console(stderr=as_json)
    _show(console, duels, outcomes, verdicts)
    for path in written:
        console.print(path, highlight=False, markup=False, soft_wrap=True)
    if as_json:
        origin = {"run": str(wish.run), "tick": moment[1].tick, "ticks": wish.ticks, "against": wish.against}
        print(json.dumps({**origin, "duels": outcomes, "verdicts": verdicts, "files": [str(path) for path in written]}))


def planned(wish: Wish, moment: Moment, rival: Moment | None) -> list[Duel]:
    """The fresh worlds that were asked for, one for each species and seed; the seeds of the runs are left out."""
    world, region = moment
    names = [wish.species] if wish.species is not None else duelling_species(world, region)
    if not names:
        line = f"no monster species with founders lives at tick {region.tick}"
        raise RunError(f"{wish.run}: {line}: choose another --tick, or name a plant species with --species")
    used = {one[0].common.seed for one in (moment, rival) if one is not None}
    seeds = [seed for seed in range(1, wish.seeds + len(used) + 1) if seed not in used][: wish.seeds]
    duels = []
    for species in names:
        each = founders_count(world, species) // 2 if wish.each is None else wish.each
        if not each:
            raise RunError(f"{world.source}: {species} has too few founders to halve: say how many with --each")
        for seed in seeds:
            second = Genomes(f"{species} descendants", _living(wish.run, moment, species, each, seed))
            if rival is None:
                first = Genomes(f"{species} founders", founding_genomes(world, species, each, seed))
            else:
                first = Genomes(f"{species} rivals", _living(Path(str(wish.against)), rival, species, each, seed))
            made = duel_world(world, species, first, second, each, seed)
            duels.append(Duel(species, made, (first.name, second.name)))
    return duels


def _living(run: Path, moment: Moment, species: str, each: int, seed: int) -> list[bytes]:
    found = genomes_of(*moment, species, each, seed)
    if not found:
        raise RunError(f"{run}: no {species} lives at tick {moment[1].tick}: choose another tick or --species")
    return found


def _rival(text: str) -> Moment:
    """The other run of `--against`, at the tick behind its colon."""
    folder, colon, tick = text.rpartition(":")
    if colon and tick.isascii() and tick.isdecimal() and len(tick) < 10 and not Path(text).exists():
        return moment_of(Path(folder), int(tick), f"--against {text}")
    return moment_of(Path(text), None, f"--against {text}")


def _there(path: Path) -> Path:
    """The nearest folder above that exists, or the path itself."""
    return next((one for one in (path, *path.absolute().parents) if one.exists()), Path("/"))


def _run(duels: Sequence[Duel], ticks: int, every: int) -> list[list[Row]]:
    """Run them all, with a progress bar where there is a terminal."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("tick {task.completed:,.0f} of {task.total:,.0f}"),
        TimeElapsedColumn(),
        TextColumn("left", style="dim"),
        TimeRemainingColumn(),
    )
    reached = [0] * len(duels)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        many = f"{len(duels)} duels" if len(duels) > 1 else "a duel"
        task = progress.add_task(many, total=max(1, ticks * len(duels)))

        def seen(which: int, tick: int) -> None:
            reached[which] = tick
            progress.update(task, completed=sum(reached))

        return run_duels(duels, ticks, every, seen=seen)


# --- what came out


def _judged(duel: Duel, rows: Sequence[Row]) -> dict[str, Any]:
    """What became of both sides, and which left more offspring: none if both left as many."""
    sides = {side: outcome_of(rows, side) for side in duel.sides}
    first, second = (sides[side]["births"] for side in duel.sides)
    more = None if first == second else duel.sides[second > first]
    return {"more_offspring": more, "sides": sides}


def _verdicts(duels: Sequence[Duel], outcomes: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """For each species in how many worlds either side left more offspring, and how likely that is by chance."""
    found = []
    for species, sides in dict.fromkeys((duel.species, duel.sides) for duel in duels):
        more = [one["more_offspring"] for one in outcomes if one["species"] == species]
        counts = {side: more.count(side) for side in sides}
        chance = round(odds_by_chance(*counts.values()), 4)
        found.append({"species": species, "worlds": len(more), "more_offspring": counts, "chance": chance})
    return found


def _show(
    console: Console, duels: Sequence[Duel], outcomes: Sequence[dict[str, Any]], verdicts: Sequence[dict[str, Any]]
) -> None:
    """The table of all duels, and a line for each species."""
    for verdict in verdicts:
        species, sides = verdict["species"], list(verdict["more_offspring"])
        labels = [side.removeprefix(f"{species} ") for side in sides]
        table = Table(title=f"{species}, {' : '.join(labels)}", title_justify="left", box=None, padding=(0, 3, 0, 0))
        for column in ("seed", "offspring", "living", "generation"):
            table.add_column(column, justify="right", no_wrap=True)
        table.add_column("more offspring left", no_wrap=True)
        for outcome in outcomes:
            if outcome["species"] != species:
                continue
            its = [outcome["sides"][side] for side in sides]
            numbers = [" : ".join(f"{one[what]:,}" for one in its) for what in ("births", "living", "generation")]
            more = outcome["more_offspring"]
            table.add_row(str(outcome["seed"]), *numbers, "neither" if more is None else labels[sides.index(more)])
        console.print(table, highlight=False)
        counts = verdict["more_offspring"]
        worlds = f"{verdict['worlds']} world{'s' if verdict['worlds'] > 1 else ''}"
        line = f"{labels[1]} left more offspring in {counts[sides[1]]}, {labels[0]} in {counts[sides[0]]} of {worlds}"
        console.print(f"{species}: {line} (sign test: p = {verdict['chance']:.3g})", highlight=False, soft_wrap=True)


def _write(to: Path, duels: Sequence[Duel], found: Sequence[Sequence[Row]]) -> list[Path]:
    """Write `duel.parquet` and `duel.png`; gives their paths.

    duel.parquet: species, seed, tick, group, side (whether it is one of the two), living, births, generation.
    """
    import pyarrow as pa
    from pyarrow import parquet

    rows = [
        {"species": duel.species, "seed": duel.world.common.seed, "side": row["group"] in duel.sides, **row}
        for duel, its in zip(duels, found, strict=True)
        for row in its
    ]
    number, name = pa.int64(), pa.string()
    columns = [
        ("species", name),
        ("seed", number),
        ("tick", number),
        ("group", name),
        ("side", pa.bool_()),
        ("living", number),
        ("births", number),
        ("generation", number),
    ]
    paths = [to / "duel.parquet", to / "duel.png"]
    with report_disk_errors(to, "--to"):
        to.mkdir(parents=True, exist_ok=True)
        # both are written before either takes its place
        with ExitStack() as finished:
            halves = [finished.enter_context(replace_file(path)) for path in paths]
            parquet.write_table(pa.Table.from_pylist(rows, schema=pa.schema(columns)), halves[0], compression="zstd")
            _draw(halves[1], duels, found)
    return paths


def _draw(path: Path, duels: Sequence[Duel], found: Sequence[Sequence[Row]]) -> None:
    """Draw the living of both sides over time: a panel for each species, a line for each side and seed."""
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(duel.species for duel in duels))
    figure = Figure(figsize=(8, 0.6 + 3.4 * len(names)), dpi=150, layout="constrained")
    panels = figure.subplots(len(names), 1, squeeze=False)[:, 0]
    for species, panel in zip(names, panels, strict=True):
        for duel, rows in zip(duels, found, strict=True):
            if duel.species != species:
                continue
            for side, colour in zip(duel.sides, COLOURS, strict=True):
                theirs = [row for row in rows if row["group"] == side]
                ticks, living = [row["tick"] for row in theirs], [row["living"] for row in theirs]
                label = side if side not in panel.get_legend_handles_labels()[1] else None
                panel.plot(ticks, living, color=colour, linewidth=1.2, alpha=0.8, label=label)
        panel.set_ylabel("living")
        panel.set_xlabel("tick")
        panel.set_ylim(bottom=0)
        panel.margins(x=0)
        panel.spines[["top", "right"]].set_visible(False)
        panel.legend(frameon=False)
        seeds = sum(duel.species == species for duel in duels)
        panel.set_title(f"{species}: {seeds} world{'s' if seeds > 1 else ''}", loc="left", fontsize=11)
    figure.savefig(path)

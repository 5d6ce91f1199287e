"""The command `umwelt duel`: lets founders and descendants of a run compete in new worlds, and prints the results.

In a duel, two groups of beings of one species, called *sides*, are placed in a new world; the side with more offspring
at the end wins. *Founders* are the beings that a world begins with; their *descendants* are taken from a snapshot, the
state of the run's world at a tick.
"""

import json
import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from umwelt.agents.world_file import WorldFile
from umwelt.client.commands.running import compile_laws
from umwelt.client.experiments.duel import (
    Duel,
    Genomes,
    Outcome,
    Row,
    count_founders,
    find_duelling_species,
    load_moment,
    make_duel_world,
    run_duels,
    sample_founder_genomes,
    sample_living_genomes,
    sign_test_chance,
    summarize_side,
)
from umwelt.cluster import replace_file, report_disk_errors
from umwelt.sandbox.errors import RunError
from umwelt.sandbox.kernel import cached
from umwelt.sandbox.region import Region

ROWS_A_DUEL = 100
"""Number of measurements in a duel; they are the points of a line in its picture."""
COLOURS = ("#8a6d3b", "#1f7a8c")
"""Colours of the two sides in the picture."""
MAX_TICK_DIGITS = 9
"""Maximum number of digits of a tick in the option --against; longer numbers are part of a path."""

Moment = tuple[WorldFile, Region]
"""A world file, and the state of its world at one tick."""


@dataclass(frozen=True)
class DuelOptions:
    """The options of `umwelt duel`; `run` is the folder of the run, `ticks` the length of a duel."""

    run: Path
    tick: int | None
    """Tick from which descendants are taken; None for the newest snapshot."""
    species: str | None
    """Species to test; None for each monster species that is alive and has founders."""
    each: int | None
    """Number of beings on each side; None for half of the founders in the world file."""
    ticks: int
    seeds: int
    """Number of duels of each species, each in a world with a seed of its own."""
    against: str | None
    """Opponents of the descendants: "RUN" or "RUN:TICK" for the living beings of a run; None for the founders.
    """


class DuelResult(TypedDict):
    """The result of one duel, as `--json` prints it; `sides` has the outcome of each side by its name."""

    species: str
    seed: int
    more_offspring: str | None
    """The name of the side with more offspring; None if both have the same number."""
    sides: dict[str, Outcome]


class Verdict(TypedDict):
    """The result of all duels of one species.

    `worlds` is the number of duels, `more_offspring` the number that each side won, and `chance` the p-value of a sign
    test.
    """

    species: str
    worlds: int
    more_offspring: dict[str, int]
    chance: float


def duel_run(options: DuelOptions, to: Path | None, as_json: bool) -> None:
    """Runs the duels and prints which side had more offspring; writes a table and a picture into `to` unless None.

    With `as_json`, also prints the results as a JSON object.
    """
    if to is not None and (to.is_file() or not os.access(_nearest_existing(to), os.W_OK)):
        raise RunError(f"{to}: no folder can be written there: choose another with --to")
    moment = load_moment(options.run, options.tick, f"--tick {options.tick}")
    rival = None if options.against is None else _load_rival(options.against)
    duels = plan_duels(options, moment, rival)
    if not cached():
        compile_laws(moment[0], Console(stderr=True))
    every = max(1, options.ticks // ROWS_A_DUEL)
    rows_by_duel = _run_with_progress(duels, options.ticks, every)
    paths = [] if to is None else _write_files(to, duels, rows_by_duel)
    results = [_judge(duel, rows) for duel, rows in zip(duels, rows_by_duel, strict=True)]
    verdicts = _count_wins(duels, results)
    console = Console(stderr=as_json)
    _print_tables(console, results, verdicts)
    for path in paths:
        console.print(path, highlight=False, markup=False, soft_wrap=True)
    if as_json:
        origin = {
            "run": str(options.run),
            "tick": moment[1].tick,
            "ticks": options.ticks,
            "against": options.against,
        }
        print(json.dumps({**origin, "duels": results, "verdicts": verdicts, "files": [str(path) for path in paths]}))


def plan_duels(options: DuelOptions, moment: Moment, rival: Moment | None) -> list[Duel]:
    """Returns the duels, one for each species and seed.

    `moment` is the world from which descendants are taken; `rival` is the world from which their opponents are taken,
    None if the opponents are founders. No duel has the seed of one of these worlds. Raises RunError if a species has
    too few beings.
    """
    world, region = moment
    names = [options.species] if options.species is not None else find_duelling_species(world, region)
    if not names:
        line = f"no monster species with founders lives at tick {region.tick}"
        raise RunError(f"{options.run}: {line}: choose another --tick, or name a plant species with --species")
    used = {origin[0].common.seed for origin in (moment, rival) if origin is not None}
    seeds = [seed for seed in range(1, options.seeds + len(used) + 1) if seed not in used][: options.seeds]
    duels = []
    for species in names:
        each = count_founders(world, species) // 2 if options.each is None else options.each
        if not each:
            raise RunError(f"{world.source}: {species} has too few founders to halve: say how many with --each")
        for seed in seeds:
            second = Genomes(f"{species} descendants", _sample(options.run, moment, species, each, seed))
            if rival is None:
                first = Genomes(f"{species} founders", sample_founder_genomes(world, species, each, seed))
            else:
                genomes = _sample(Path(str(options.against)), rival, species, each, seed)
                first = Genomes(f"{species} rivals", genomes)
            duel_world = make_duel_world(world, species, first, second, each, seed)
            duels.append(Duel(species, duel_world, (first.name, second.name)))
    return duels


def _sample(run: Path, moment: Moment, species: str, each: int, seed: int) -> list[bytes]:
    """Returns `each` genomes of living beings of a species in the world `moment`, chosen by `seed`.

    `run` names the run in the RunError that is raised if there are no such beings.
    """
    genomes = sample_living_genomes(*moment, species, each, seed)
    if not genomes:
        raise RunError(f"{run}: no {species} lives at tick {moment[1].tick}: choose another tick or --species")
    return genomes


def _load_rival(text: str) -> Moment:
    """Loads the world that the option --against names: "RUN" (its newest snapshot) or "RUN:TICK"."""
    folder, colon, tick = text.rpartition(":")
    is_tick = tick.isascii() and tick.isdecimal() and len(tick) <= MAX_TICK_DIGITS
    if colon and is_tick and not Path(text).exists():
        return load_moment(Path(folder), int(tick), f"--against {text}")
    return load_moment(Path(text), None, f"--against {text}")


def _nearest_existing(path: Path) -> Path:
    """Returns `path` if it exists, else its nearest parent folder that does."""
    return next((folder for folder in (path, *path.absolute().parents) if folder.exists()), Path("/"))


def _run_with_progress(duels: Sequence[Duel], ticks: int, every: int) -> list[list[Row]]:
    """Runs all duels for `ticks` ticks with a progress bar; returns the rows of each, measured every `every` ticks."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("tick {task.completed:,.0f} of {task.total:,.0f}"),
        TimeElapsedColumn(),
        TextColumn("left", style="dim"),
        TimeRemainingColumn(),
    )
    ticks_done = [0] * len(duels)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        text = f"{len(duels)} duels" if len(duels) > 1 else "a duel"
        task = progress.add_task(text, total=max(1, ticks * len(duels)))

        def show(number: int, tick: int) -> None:
            ticks_done[number] = tick
            progress.update(task, completed=sum(ticks_done))

        return run_duels(duels, ticks, every, on_tick=show)


# --- results


def _judge(duel: Duel, rows: Sequence[Row]) -> DuelResult:
    """Returns the result of a duel from its rows, the measurements of each group of beings at several ticks."""
    sides = {side: summarize_side(rows, side) for side in duel.sides}
    first, second = (sides[side]["births"] for side in duel.sides)
    more = None if first == second else duel.sides[second > first]
    return DuelResult(species=duel.species, seed=duel.world.common.seed, more_offspring=more, sides=sides)


def _count_wins(duels: Sequence[Duel], results: Sequence[DuelResult]) -> list[Verdict]:
    """Returns the verdict on each species, from the results of all duels."""
    verdicts = []
    for species, sides in dict.fromkeys((duel.species, duel.sides) for duel in duels):
        winners = [result["more_offspring"] for result in results if result["species"] == species]
        wins = {side: winners.count(side) for side in sides}
        chance = round(sign_test_chance(*wins.values()), 4)
        verdicts.append(Verdict(species=species, worlds=len(winners), more_offspring=wins, chance=chance))
    return verdicts


def _print_tables(console: Console, results: Sequence[DuelResult], verdicts: Sequence[Verdict]) -> None:
    """Prints, for each species, a table of its duels and a line with its verdict."""
    for verdict in verdicts:
        species, sides = verdict["species"], list(verdict["more_offspring"])
        labels = [side.removeprefix(f"{species} ") for side in sides]
        table = Table(title=f"{species}, {' : '.join(labels)}", title_justify="left", box=None, padding=(0, 3, 0, 0))
        for column in ("seed", "offspring", "living", "generation"):
            table.add_column(column, justify="right", no_wrap=True)
        table.add_column("more offspring left", no_wrap=True)
        for result in results:
            if result["species"] != species:
                continue
            outcomes = [result["sides"][side] for side in sides]
            numbers = [
                " : ".join(f"{number:,}" for number in pair)
                for pair in (
                    [outcome["births"] for outcome in outcomes],
                    [outcome["living"] for outcome in outcomes],
                    [outcome["generation"] for outcome in outcomes],
                )
            ]
            more = result["more_offspring"]
            winner = "neither" if more is None else labels[sides.index(more)]
            table.add_row(str(result["seed"]), *numbers, winner)
        console.print(table, highlight=False)
        wins = verdict["more_offspring"]
        worlds = f"{verdict['worlds']} world{'s' if verdict['worlds'] > 1 else ''}"
        line = f"{labels[1]} left more offspring in {wins[sides[1]]}, {labels[0]} in {wins[sides[0]]} of {worlds}"
        console.print(f"{species}: {line} (sign test: p = {verdict['chance']:.3g})", highlight=False, soft_wrap=True)


def _write_files(to: Path, duels: Sequence[Duel], rows_by_duel: Sequence[Sequence[Row]]) -> list[Path]:
    """Writes `duel.parquet` and `duel.png`; returns their paths.

    The columns of duel.parquet are species, seed, tick, group, side (whether the group is one of the two competing
    sides), living, births, generation.
    """
    import pyarrow as pa
    from pyarrow import parquet

    rows: list[dict[str, Any]] = [
        {"species": duel.species, "seed": duel.world.common.seed, "side": row["group"] in duel.sides, **row}
        for duel, duel_rows in zip(duels, rows_by_duel, strict=True)
        for row in duel_rows
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
        # older files are replaced only after both new files are complete
        with ExitStack() as replacing:
            unfinished = [replacing.enter_context(replace_file(path)) for path in paths]
            table = pa.Table.from_pylist(rows, schema=pa.schema(columns))
            parquet.write_table(table, unfinished[0], compression="zstd")
            _draw(unfinished[1], duels, rows_by_duel)
    return paths


def _draw(path: Path, duels: Sequence[Duel], rows_by_duel: Sequence[Sequence[Row]]) -> None:
    """Plots the number of living beings over time: a panel for each species, a line for each side and seed."""
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(duel.species for duel in duels))
    figure = Figure(figsize=(8, 0.6 + 3.4 * len(names)), dpi=150, layout="constrained")
    panels = figure.subplots(len(names), 1, squeeze=False)[:, 0]
    for species, panel in zip(names, panels, strict=True):
        for duel, rows in zip(duels, rows_by_duel, strict=True):
            if duel.species != species:
                continue
            for side, colour in zip(duel.sides, COLOURS, strict=True):
                side_rows = [row for row in rows if row["group"] == side]
                ticks, living = [row["tick"] for row in side_rows], [row["living"] for row in side_rows]
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

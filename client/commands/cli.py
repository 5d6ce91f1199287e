"""The command line `umwelt`: the subcommands with their options and help texts.

Each subcommand imports the modules it needs when it runs, so that --help starts fast.
"""

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from umwelt.sandbox.errors import UmweltError, WorldFileError

UsageError: Any = typer.BadParameter.__bases__[0]  # click.UsageError; newer releases of typer bundle a copy of click

INTERRUPTED = 130
"""Exit code after Ctrl-C."""
EXIT_ERROR = 2
"""Exit code after an error of the user, such as an invalid option or file."""
MAX_SEED = (1 << 63) - 1
"""The largest seed of a world."""
MAX_NUMBER_DIGITS = 9
"""Maximum number of digits of a number in options such as --size."""

app = typer.Typer(
    name="umwelt",
    help="An artificial-life sandbox: worlds of plants and monsters that grow, sense, act, breed and evolve by "
    "themselves. A run is the same, bit for bit, on any number of machines. Begin with: umwelt launch meadow",
    add_completion=False,
    pretty_exceptions_enable=False,
)

WORLDS, RUNS, RUNNING = "Worlds", "Runs", "Running worlds"
STUDIES = "Experiments and programs"

WorldName = Annotated[
    str, typer.Argument(metavar="WORLD", help="Name of a bundled world (see umwelt worlds), or path of a .toml file.")
]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run, such as runs/meadow-1.")]
Ticks = Annotated[int | None, typer.Option(min=0, help="Stop after this many ticks. Without it: run until Ctrl-C.")]
Window = Annotated[
    bool | None,
    typer.Option("--window/--no-window", help="Open a window on the world.", show_default="if there is a display"),
]
View = Annotated[bool, typer.Option("--view/--no-view", help="Show the world in the terminal.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object, on the last line.")]
Check = Annotated[
    bool, typer.Option("--check", help="In every tick, check that species depend only on what they sense. Slow.")
]
Nodes = Annotated[int, typer.Option(min=0, help="Number of processes that share the world.", show_default="one a core")]
Bind = Annotated[
    str,
    typer.Option(
        metavar="tcp://HOST:PORT",
        help="Address at which other machines can join and watch.",
        show_default="only you, on this machine",
    ),
]
KeysFolder = Annotated[Path | None, typer.Option(metavar="DIR", help="Folder with keys that umwelt keys made.")]
Exchange = Annotated[
    int,
    typer.Option(
        metavar="K", min=0, max=64, help="Ticks between two exchanges of halos.", show_default="by measurement"
    ),
]
EngineKind = Annotated[
    str, typer.Option(metavar="local|ray", help="Start processes on this machine, or by a Ray cluster.")
]


@app.command(rich_help_panel=WORLDS)
def launch(
    world: WorldName,
    seed: Annotated[int | None, typer.Option(help="Seed to use in place of the world file's.")] = None,
    ticks: Ticks = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Override a key of the world file: width=1600. Repeatable."),
    ] = None,
    run: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder for the run.", show_default="runs/WORLD-NUMBER")
    ] = None,
    snapshots: Annotated[
        str,
        typer.Option(
            metavar="URL", help="Store snapshots at a URL that fsspec can open.", show_default="in the run's folder"
        ),
    ] = "",
    nodes: Nodes = 0,
    bind: Bind = "",
    keys: KeysFolder = None,
    ticks_per_exchange: Exchange = 0,
    engine: EngineKind = "local",
    view: View = True,
    window: Window = None,
    check: Check = False,
    json: Json = False,
) -> None:
    """Start a new run of a world and watch it live."""
    from umwelt.agents.world_file import parse_override, read_world

    overrides = dict(parse_override(text) for text in settings or ())
    if seed is not None:
        overrides["seed"] = seed
    world_file = read_world(world, overrides)
    from umwelt.client.commands.running import StopRequest, prepare, run_world, show_spinner
    from umwelt.client.commands.window_process import check_window
    from umwelt.cluster import Plan, begin_run

    check_window(window)
    plan = Plan(nodes, bind, str(keys or ""), ticks_per_exchange, ticks, check)
    with StopRequest.listen() as stop_request:
        prepare(world_file, plan, engine)
        with show_spinner(f"making {world_file.name}"):
            store = begin_run(world_file, run, check, snapshots)
        run_world(world_file, store, plan, engine, view, json, stop_request, window)


@app.command(rich_help_panel=WORLDS)
def resume(
    run: RunFolder,
    ticks: Ticks = None,
    nodes: Nodes = 0,
    bind: Bind = "",
    keys: KeysFolder = None,
    ticks_per_exchange: Exchange = 0,
    engine: EngineKind = "local",
    view: View = True,
    window: Window = None,
    check: Check = False,
    json: Json = False,
) -> None:
    """Continue a run from its newest complete snapshot."""
    from umwelt.client.commands.running import StopRequest, prepare, run_world, show_spinner
    from umwelt.client.commands.window_process import check_window
    from umwelt.cluster import Plan, check_not_running, find_newest_good, open_store, read_run_world

    check_window(window)
    with StopRequest.listen() as stop_request:
        store = open_store(run)
        with show_spinner(f"reading {run}"):
            check_not_running(store)
            world_file = read_run_world(store)
            newest, _, skipped = find_newest_good(store, world_file)
        for line in skipped:
            print(line, file=sys.stderr)
        last_tick = None if ticks is None else newest.tick + ticks
        plan = Plan(nodes, bind, str(keys or ""), ticks_per_exchange, last_tick, check)
        prepare(world_file, plan, engine)
        run_world(world_file, store, plan, engine, view, json, stop_request, window)


@app.command(rich_help_panel=WORLDS)
def worlds() -> None:
    """List the worlds that come with Umwelt."""
    import tomllib

    from rich.console import Console
    from rich.table import Table

    from umwelt.agents.world_file import bundled_worlds

    table = Table.grid(padding=(0, 2))
    for name, path in bundled_worlds().items():
        content = tomllib.loads(path.read_text("utf-8"))
        table.add_row(f"[bold]{name}[/]", f"{content['width']} × {content['height']}", content.get("summary", ""))
    Console().print(table, highlight=False)


@app.command(rich_help_panel=WORLDS)
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the new world.")],
    to: Annotated[
        Path | None, typer.Option("--to", metavar="FILE", help="File to write.", show_default="NAME.toml")
    ] = None,
) -> None:
    """Write a world file with comments, as a starting point for a world of your own."""
    from umwelt.client.commands.template import world_text

    if not name.isidentifier():
        raise WorldFileError(f'new {name}: use a name of letters, digits and "_", as in my_meadow')
    file = to or Path(f"{name}.toml")
    try:
        with file.open("x", encoding="utf-8") as out:
            out.write(world_text(name, str(file)))
    except FileExistsError:
        raise WorldFileError(f"{file}: exists already: choose another name with --to") from None
    except OSError as error:
        raise WorldFileError(f"{file}: cannot be written: {error.strerror}: choose another place with --to") from None
    print(f"{file}: written; umwelt check {file}, umwelt launch {file}")


@app.command(rich_help_panel=WORLDS)
def check(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A world file, or the name of a bundled world.")],
) -> None:
    """Check a world file: print its size and species, or the first mistake in it."""
    from umwelt.agents.open_world import try_small_world
    from umwelt.agents.world_file import needed_memory_bytes, read_world

    world = read_world(file)
    try_small_world(world)
    _, tables = world.laws.layout(world)
    species = list(world.laws.species(world)) if world.laws.species else [table.name for table in tables]
    size = f"{world.common.width} × {world.common.height} cells, {world.laws.name}'s laws"
    memory_mib = needed_memory_bytes(world) / 2**20
    print(f"{world.source}: fine: {size}, {', '.join(species)}; about {memory_mib:.0f} MiB")


@app.command(rich_help_panel=RUNS)
def picture(
    run: RunFolder,
    out: Annotated[Path, typer.Argument(metavar="OUT.png", help="File to write: .png, .jpg or .webp.")],
    tick: Annotated[
        int | None, typer.Option(min=0, help="Tick to draw, replayed if needed.", show_default="the last snapshot")
    ] = None,
    size: Annotated[str, typer.Option(metavar="WxH", help="Size in pixels.")] = "1280x720",
    at: Annotated[
        str | None, typer.Option(metavar="X,Y", help="Cell in the middle.", show_default="the middle of the world")
    ] = None,
    zoom: Annotated[
        float | None, typer.Option(metavar="PX", help="Pixels per cell.", show_default="the whole world fits")
    ] = None,
) -> None:
    """Draw a run as a picture.

    Below 6 pixels per cell beings are dots; from there on, leaves and bodies.
    """
    from umwelt.client.pictures.picture import draw_run

    middle = None if at is None else _read_pair(at, ",", "--at", "64,32")
    draw_run(run, out, tick, _read_pair(size, "x", "--size", "1280x720"), middle, zoom)


@app.command(rich_help_panel=RUNS)
def export(
    run: RunFolder,
    to: Annotated[Path, typer.Option("--to", metavar="DIR", help="Folder for the Parquet files.")],
) -> None:
    """Export a run's populations, matter and births over time as Parquet tables."""
    from umwelt.client.commands.export import export_run

    for path, rows in export_run(run, to):
        print(f"{path}: {rows:,} rows")


@app.command(rich_help_panel=RUNS)
def lineage(
    run: RunFolder,
    to: Annotated[
        Path | None, typer.Option("--to", metavar="DIR", help="Folder for the files.", show_default="lineage-NAME")
    ] = None,
    species: Annotated[str, typer.Option(metavar="NAME", help="Only this species.")] = "",
    most: Annotated[int, typer.Option(min=1, help="Beings in tree.nwk at most; of more, a random sample.")] = 2000,
    beings: Annotated[
        bool, typer.Option("--beings", help="Put all beings that ever lived into tree.nwk, not only the living.")
    ] = False,
    drift: Annotated[
        float,
        typer.Option(
            min=0.0001, max=1, help="Genetic distance, as a share of the genes' range, at which a new clade begins."
        ),
    ] = 0.001,
) -> None:
    """Export the tree of life of a run: tables, trees and a picture.

    The run must record births (births = true in the world file). Trees are written in the ALife data standard and in
    Newick.
    """
    from umwelt.client.lineage.lineage import write_lineage

    for path, line in write_lineage(run, to, species, drift, most, beings):
        print(f"{path}: {line}")


ADDRESS_HELP = "A run's folder, or tcp://HOST:PORT."
THE_ONLY_RUN = "the only world running here"
Address = Annotated[str | None, typer.Argument(metavar="[ADDRESS]", help=ADDRESS_HELP, show_default=THE_ONLY_RUN)]
AtAddress = Annotated[str | None, typer.Option("--at", metavar="ADDRESS", help=ADDRESS_HELP, show_default=THE_ONLY_RUN)]


@app.command(rich_help_panel=STUDIES)
def experiment(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A .toml file, or the name of a bundled experiment.")],
    quick: Annotated[bool, typer.Option("--quick", help="Run its quick form: seconds instead of hours.")] = False,
    to: Annotated[
        Path | None,
        typer.Option("--to", metavar="DIR", help="Folder for the results.", show_default="runs/experiments/NAME"),
    ] = None,
    engine: EngineKind = "local",
    processes: Annotated[int, typer.Option(min=0, help="Runs at the same time.", show_default="one a core")] = 0,
    json: Json = False,
) -> None:
    """Run an experiment, and report whether its expectations hold.

    Runs that are finished are not repeated. Exits with 1 if an expectation does not hold.
    """
    from umwelt.client.commands.experiment import run_experiment

    sys.exit(run_experiment(file, quick, to, engine, processes, json))


@app.command(rich_help_panel=STUDIES)
def react(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A .hocl file, or the name of a bundled program.")] = "",
    drop: Annotated[
        list[str] | None, typer.Option(metavar="ATOM", help="Add an atom once the program is inert. Repeatable.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=MAX_SEED, help="Seed of the choice among possible reactions.")] = 1,
    trace: Annotated[bool, typer.Option("--trace", help="Print each reaction.")] = False,
    every: Annotated[bool, typer.Option("--all", help="Print every possible outcome instead of one.")] = False,
    most: Annotated[int, typer.Option(metavar="REACTIONS", min=1, help="Reactions at most.")] = 1_000_000,
    json: Json = False,
) -> None:
    """Run a chemical program (HOCL) until it is inert, and print what is left."""
    from umwelt.client.commands.react import ReactOptions, run_program

    run_program(ReactOptions(file, drop or (), seed, trace, every, most), json)


@app.command(rich_help_panel=RUNNING)
def keys(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new folder for the keys.")],
) -> None:
    """Make the keys of a world that other machines can connect to.

    Only holders of a key can connect: to compute a part of the world, to change it, or to watch it.
    """
    from umwelt.cluster import make_keys

    for path in make_keys(folder):
        print(path)
    print(f"the world:  umwelt launch WORLD --bind tcp://HOST:PORT --keys {folder}; the secrets stay here")
    print("others get world.public and one pair: node.* to compute, keeper.* to change the world, spectator.* to look")
    print("ledger.public is for all who want to verify its runs: umwelt verify RUN --keys DIR")


@app.command(rich_help_panel=RUNS)
def verify(
    run: RunFolder,
    nodes: Annotated[int, typer.Option(min=1, help="Divide the world among this many nodes for the replay.")] = 1,
    keys: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Require a signature by the key of ledger.public in this folder.")
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN", help="Replay nothing; report up to which tick this other run has the same history."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Replay the whole history of a run and compare every digest.

    First checks the hash chain of its journal. Exits with 1 if anything differs.
    """
    from umwelt.client.commands.verify import show_comparison, show_verification

    sys.exit(
        show_verification(run, nodes, keys, json) if against is None else show_comparison(run, against, keys, json)
    )


@app.command(rich_help_panel=RUNS)
def audit(
    run: RunFolder,
    ticks: Annotated[
        int | None,
        typer.Option(
            min=1, help="Measure cycles of matter over this many ticks.", show_default="one day of its climate"
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Check that a run lost and gained no atom, and measure its cycles of matter.

    Prints how much each pool holds and how long matter stays in it. Exits with 1 if an atom is missing.
    """
    from umwelt.client.commands.audit import audit_run

    sys.exit(audit_run(run, ticks, json))


@app.command(rich_help_panel=RUNS)
def fork(
    run: RunFolder,
    tick: Annotated[int, typer.Option(min=0, help="Last tick that both runs share.")],
    to: Annotated[
        Path | None,
        typer.Option("--to", metavar="DIR", help="Folder for the new run.", show_default="runs/WORLD-NUMBER"),
    ] = None,
) -> None:
    """Make a new run that shares a run's history up to a tick."""
    from umwelt.client.commands.running import show_spinner
    from umwelt.cluster import fork_run

    with show_spinner(f"replaying {run} up to tick {tick:,}"):
        folder = fork_run(run, tick, to)
    print(f"{folder}: the world of {run} as it was at tick {tick:,}; go on with: umwelt resume {folder}")


@app.command(rich_help_panel=STUDIES)
def duel(
    run: RunFolder,
    tick: Annotated[
        int | None,
        typer.Option(min=0, help="Tick from which descendants are taken.", show_default="the last snapshot"),
    ] = None,
    species: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Species to test.", show_default="each monster species that lives"),
    ] = None,
    each: Annotated[
        int | None,
        typer.Option(min=1, help="Beings placed for each side.", show_default="half of the world file's founders"),
    ] = None,
    ticks: Annotated[int, typer.Option(min=1, help="Length of a duel.")] = 3000,
    seeds: Annotated[int, typer.Option(min=1, max=1000, help="Number of duels, each in a world of its own seed.")] = 5,
    against: Annotated[
        str | None,
        typer.Option(metavar="RUN[:TICK]", help="Opponents: the living of another run or tick, not the founders."),
    ] = None,
    to: Annotated[
        Path | None, typer.Option("--to", metavar="DIR", help="Write duel.parquet and duel.png into this folder.")
    ] = None,
    json: Json = False,
) -> None:
    """Test whether a run's descendants are fitter than their founders.

    Equal numbers of both compete in new worlds; the side with more offspring is the fitter.
    """
    from umwelt.client.commands.duel import DuelOptions, duel_run

    duel_run(DuelOptions(run, tick, species, each, ticks, seeds, against), to, json)


@app.command(rich_help_panel=RUNNING)
def status(address: Address = None, keys: KeysFolder = None, json: Json = False) -> None:
    """Print the tick, the populations and the nodes of a running world."""
    from rich.console import Console

    from umwelt.client.commands import remote

    world_status = remote.status(address, keys)
    if json:
        import json as writer

        print(writer.dumps(world_status))
    else:
        remote.show_status(world_status, Console())


@app.command(rich_help_panel=RUNNING)
def ask(
    address: Annotated[str, typer.Argument(metavar="ADDRESS", help=ADDRESS_HELP)],
    what: Annotated[
        str, typer.Argument(metavar="WHAT", help="census, heatmap, nearest, lineage, or the name of a task.")
    ] = "",
    given: Annotated[
        list[str] | None, typer.Argument(metavar="VALUE", help="Its arguments: values, or NAME=VALUE.")
    ] = None,
    workflow: Annotated[
        Path | None,
        typer.Option("--workflow", metavar="FILE", help="Run a chemical workflow: a .hocl file, or a bundled one."),
    ] = None,
    within: Annotated[
        float, typer.Option(metavar="SECONDS", min=0, help="Time limit.", show_default="60 for a query")
    ] = 0,
    keys: KeysFolder = None,
    json: Json = False,
) -> None:
    """Query a running world, or run a task on its nodes.

    All parts of a query's answer refer to the same tick. Instead of a query or a task, --workflow runs a chemical
    workflow.
    """
    from umwelt.client.commands.ask import ask_world

    ask_world(address, what, given or (), keys, workflow, within, json)


@app.command(rich_help_panel=RUNNING)
def view(
    address: Address = None,
    keys: KeysFolder = None,
    demo: Annotated[bool, typer.Option("--demo", help="Show a recorded minute; no world needs to run.")] = False,
    screenshot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write one complete frame to a picture, without a window.")
    ] = None,
    at: Annotated[
        str | None, typer.Option(metavar="X,Y", help="Cell in the middle.", show_default="the middle of the world")
    ] = None,
    zoom: Annotated[
        float | None, typer.Option(metavar="PX", help="Pixels per cell.", show_default="the world fills the window")
    ] = None,
    size: Annotated[str, typer.Option(metavar="WxH", help="Size in pixels.")] = "1280x800",
    panels: Annotated[
        bool | None, typer.Option("--panels/--no-panels", help="Show the panels.", show_default="not in a screenshot")
    ] = None,
) -> None:
    """Open a window on a running world, to watch and to change it."""
    from umwelt.client.window.app import Sight
    from umwelt.client.window.app import view as show

    middle = None if at is None else _read_pair(at, ",", "--at", "64,32")
    sight = Sight(middle, zoom, _read_pair(size, "x", "--size", "1280x800"), panels)
    show(address, keys, demo, screenshot, sight)


@app.command(rich_help_panel=RUNNING)
def drop(
    count: Annotated[int, typer.Argument(metavar="COUNT", help="Number of molecules.")],
    substance: Annotated[str, typer.Argument(metavar="SUBSTANCE", help="A substance of the world.")],
    cell: Annotated[str, typer.Argument(metavar="X,Y", help="The cell.")],
    at: AtAddress = None,
    keys: KeysFolder = None,
) -> None:
    """Add molecules of a substance to a cell of a running world."""
    from umwelt.client.commands import remote

    print(remote.drop(count, substance, _read_pair(cell, ",", "X,Y", "64,32"), at, keys))


@app.command(rich_help_panel=RUNNING)
def join(
    address: Annotated[str, typer.Argument(metavar="ADDRESS", help="tcp://HOST:PORT of a world, or a run's folder.")],
    keys: KeysFolder = None,
    name: Annotated[str, typer.Option(help="Name of the node.", show_default="node-NUMBER")] = "",
    bind: Annotated[
        str,
        typer.Option(
            metavar="tcp://HOST:*",
            help="Address at which other nodes reach this one.",
            show_default="this machine's address",
        ),
    ] = "",
) -> None:
    """Let this machine compute a part of a running world, until Ctrl-C."""
    from umwelt.client.commands import remote

    sys.exit(remote.join(address, keys, name, bind))


@app.command(rich_help_panel=RUNNING)
def leave(
    node: Annotated[str, typer.Argument(metavar="NODE", help="Name of the node, as umwelt status prints it.")],
    at: AtAddress = None,
    keys: KeysFolder = None,
) -> None:
    """Remove a node from a running world; the other nodes take over its cells."""
    from umwelt.client.commands import remote
    from umwelt.client.commands.running import show_spinner

    with show_spinner(f"{node} leaves"):
        line = remote.leave(node, at, keys)
    print(line)


@app.command(rich_help_panel=RUNNING)
def stop(address: Address = None, keys: KeysFolder = None) -> None:
    """Save a running world and stop it; umwelt resume continues it."""
    from umwelt.client.commands import remote
    from umwelt.client.commands.running import show_spinner

    with show_spinner("saving the world"):
        line = remote.stop(address, keys)
    print(line)


def _read_pair(text: str, separator: str, option: str, example: str) -> tuple[int, int]:
    """Parses two whole numbers with `separator` between them, such as "1280x720".

    Raises UmweltError if `text` has another form; `option` and `example` are for its message.
    """
    first, _, second = (part.strip() for part in text.lower().partition(separator))
    if not all(part.isascii() and part.isdecimal() and len(part) <= MAX_NUMBER_DIGITS for part in (first, second)):
        raise UmweltError(f"{option} {text}: write it as in {option} {example}")
    return int(first), int(second)


def main(arguments: list[str] | None = None) -> Any:
    """Runs the command line and exits the process; `arguments` defaults to `sys.argv[1:]`.

    An error of the user is printed as one line with its code (see docs/errors.md), and the exit code is 2.
    """
    sys.path.append(os.getcwd())  # a user's own species, laws and tasks are imported from the working directory
    given = sys.argv[1:] if arguments is None else arguments
    try:
        code = app(given or ["--help"], standalone_mode=False)
    except UmweltError as error:
        print(f"umwelt: {error} [{error.code}]", file=sys.stderr)
        sys.exit(EXIT_ERROR)
    except UsageError as error:
        line = " ".join(error.format_message().split()).rstrip(".")
        command = error.ctx.command_path if error.ctx else "umwelt"
        print(f"umwelt: {line}: see {command} --help [{UmweltError.code}]", file=sys.stderr)
        sys.exit(EXIT_ERROR)
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except BrokenPipeError:
        sys.exit(1)
    if code == INTERRUPTED:  # typer returns this code if it has caught Ctrl-C
        print("umwelt: stopped at once; what was saved before is complete", file=sys.stderr)
    sys.exit(code or 0)


if __name__ == "__main__":
    main()

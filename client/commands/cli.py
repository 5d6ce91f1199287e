"""The `umwelt` command. What is slow to import is imported by the command that needs it."""

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from umwelt.sandbox.errors import UmweltError, WorldFileError

UsageError: Any = typer.BadParameter.__bases__[0]  # click's, which newer releases of typer carry within themselves

INTERRUPTED = 130
MAX_SEED = (1 << 63) - 1

app = typer.Typer(
    name="umwelt",
    help="A world that grows by itself, the same bit for bit on any machine.",
    add_completion=False,
    pretty_exceptions_enable=False,
)

World = Annotated[
    str, typer.Argument(metavar="WORLD", help="A bundled world's name (see umwelt worlds) or a .toml file.")
]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run, as in runs/meadow-1.")]
Ticks = Annotated[int | None, typer.Option(min=0, help="Stop after so many ticks; without it, run until Ctrl-C.")]
Window = Annotated[
    bool | None,
    typer.Option("--window/--no-window", help="Open a window on it.", show_default="where there is a display"),
]
View = Annotated[bool, typer.Option("--view/--no-view", help="Show the world in the terminal.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object with the outcome as the last line.")]
Check = Annotated[
    bool, typer.Option("--check", help="Check in each tick that species depend on what they sense alone.")
]


Nodes = Annotated[int, typer.Option(min=0, help="How many processes carry the world.", show_default="one a core")]
Bind = Annotated[
    str,
    typer.Option(metavar="tcp://HOST:PORT", help="Where others may join and watch.", show_default="you alone, here"),
]
KeysFolder = Annotated[Path | None, typer.Option(metavar="DIR", help="Keys that umwelt keys made.")]
Exchange = Annotated[
    int, typer.Option(metavar="K", min=0, max=64, help="Ticks between exchanges of edges.", show_default="as measured")
]
EngineKind = Annotated[str, typer.Option(metavar="local|ray", help="What starts the processes.")]


@app.command()
def launch(
    world: World,
    seed: Annotated[int | None, typer.Option(help="Another seed than the file's.")] = None,
    ticks: Ticks = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Another value than the file's: width=1600")
    ] = None,
    run: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where to keep the run.", show_default="runs/WORLD-NUMBER")
    ] = None,
    snapshots: Annotated[
        str, typer.Option(metavar="URL", help="Keep snapshots at a URL that fsspec opens.", show_default="with the run")
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
    """Begin a world and watch it live."""
    from umwelt.agents.world_file import parse_override, read_world

    overrides = dict(parse_override(text) for text in settings or ())
    if seed is not None:
        overrides["seed"] = seed
    described = read_world(world, overrides)
    from umwelt.client.commands.running import Asked, carry_on, making, prepare
    from umwelt.client.commands.window_process import refuse
    from umwelt.cluster.launch.local import Plan, begin_run

    refuse(window)
    plan = Plan(nodes, bind, str(keys or ""), ticks_per_exchange, ticks, check)
    with Asked.listening() as asked:
        prepare(described, plan, engine)
        with making(f"making {described.name}"):
            store = begin_run(described, run, check, snapshots)
        carry_on(described, store, plan, engine, view, json, asked, window)


@app.command()
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
    """Go on with a run from its newest good snapshot."""
    from umwelt.client.commands.running import Asked, carry_on, making, prepare
    from umwelt.client.commands.window_process import refuse
    from umwelt.cluster.coordinator.storage import newest_good
    from umwelt.cluster.launch.local import Plan, check_not_running
    from umwelt.cluster.run.remote_store import open_store
    from umwelt.cluster.run.replay import read_run_world

    refuse(window)
    with Asked.listening() as asked:
        store = open_store(run)
        with making(f"reading {run}"):
            check_not_running(store)
            described = read_run_world(store)
            newest, _, passed_over = newest_good(store, described)
        for line in passed_over:
            print(line, file=sys.stderr)
        last_tick = None if ticks is None else newest.tick + ticks
        plan = Plan(nodes, bind, str(keys or ""), ticks_per_exchange, last_tick, check)
        prepare(described, plan, engine)
        carry_on(described, store, plan, engine, view, json, asked, window)


@app.command()
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


@app.command()
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The new world's name.")],
    to: Annotated[
        Path | None, typer.Option("--to", metavar="FILE", help="Where to write it.", show_default="NAME.toml")
    ] = None,
) -> None:
    """Write a commented world file to start from."""
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


@app.command()
def check(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A world file, or a bundled world's name.")],
) -> None:
    """Say whether a world file describes a world, and what is wrong if it does not."""
    from umwelt.agents.open_world import try_small_world
    from umwelt.agents.world_file import needed_memory_bytes, read_world

    world = read_world(file)
    try_small_world(world)
    _, tables = world.laws.layout(world)
    species = list(world.laws.species(world)) if world.laws.species else [table.name for table in tables]
    size = f"{world.common.width} × {world.common.height} cells, {world.laws.name}'s laws"
    print(f"{world.source}: fine: {size}, {', '.join(species)}; about {needed_memory_bytes(world) / 2**20:.0f} MiB")


@app.command()
def picture(
    run: RunFolder,
    out: Annotated[Path, typer.Argument(metavar="OUT.png")],
    tick: Annotated[
        int | None, typer.Option(min=0, help="A tick the run has reached.", show_default="the last snapshot's")
    ] = None,
    size: Annotated[str, typer.Option(metavar="WxH", help="Pixels.")] = "1280x720",
    at: Annotated[
        str | None, typer.Option(metavar="X,Y", help="The cell in the middle.", show_default="the world's middle")
    ] = None,
    zoom: Annotated[
        float | None, typer.Option(metavar="PX", help="Pixels a cell.", show_default="the whole world fits")
    ] = None,
) -> None:
    """Draw the world as a picture; bodies and leaves show from 8 pixels a cell."""
    from umwelt.client.pictures.picture import draw_run

    middle = None if at is None else _pair(at, ",", "--at", "64,32")
    draw_run(run, out, tick, _pair(size, "x", "--size", "1280x720"), middle, zoom)


@app.command()
def export(
    run: RunFolder,
    to: Annotated[Path, typer.Option("--to", metavar="DIR", help="Where to write the Parquet files.")],
) -> None:
    """Write populations and matter over time, and births, as Parquet."""
    from umwelt.client.commands.export import export_run

    for path, rows in export_run(run, to):
        print(f"{path}: {rows:,} rows")


@app.command()
def lineage(
    run: RunFolder,
    to: Annotated[
        Path | None, typer.Option("--to", metavar="DIR", help="Where to write them.", show_default="lineage-NAME here")
    ] = None,
    species: Annotated[str, typer.Option(metavar="NAME", help="Of one species alone.")] = "",
    most: Annotated[int, typer.Option(min=1, help="The tree is of so many beings at most, drawn by dice.")] = 2000,
    beings: Annotated[
        bool, typer.Option("--beings", help="The tree is of all that ever lived, not of the living.")
    ] = False,
    drift: Annotated[
        float,
        typer.Option(min=0.0001, max=1, help="A clade splits off where genes drifted so far: a share of their range."),
    ] = 0.001,
) -> None:
    """Draw the tree of life of a run that keeps births, and write it as tables and Newick."""
    from umwelt.client.lineage.lineage import write_lineage

    for path, line in write_lineage(run, to, species, drift, most, beings):
        print(f"{path}: {line}")


Address = Annotated[
    str | None,
    typer.Argument(
        metavar="[ADDRESS]", help="A run's folder or tcp://HOST:PORT.", show_default="the only run that is running"
    ),
]
AtAddress = Annotated[
    str | None,
    typer.Option(
        "--at",
        metavar="ADDRESS",
        help="A run's folder or tcp://HOST:PORT.",
        show_default="the only run that is running",
    ),
]


@app.command()
def experiment(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A .toml file, or the name of a bundled experiment.")],
    quick: Annotated[bool, typer.Option("--quick", help="Its quick form: seconds in place of hours.")] = False,
    to: Annotated[
        Path | None,
        typer.Option("--to", metavar="DIR", help="Where results lie.", show_default="runs/experiments/NAME"),
    ] = None,
    engine: EngineKind = "local",
    processes: Annotated[int, typer.Option(min=0, help="How many runs at once.", show_default="one a core")] = 0,
    json: Json = False,
) -> None:
    """Run an experiment, or what is left of it, and say whether it comes out as expected."""
    from umwelt.client.commands.experiment import experimented

    sys.exit(experimented(file, quick, to, engine, processes, json))


@app.command()
def react(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A .hocl file, or the name of a bundled program.")] = "",
    drop: Annotated[
        list[str] | None, typer.Option(metavar="ATOM", help="Drop an atom in when it is at rest; may be repeated.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=MAX_SEED, help="Of the dice that choose among reactions.")] = 1,
    trace: Annotated[bool, typer.Option("--trace", help="Show each reaction.")] = False,
    every: Annotated[bool, typer.Option("--all", help="All that it may come to, whatever the dice.")] = False,
    most: Annotated[int, typer.Option(metavar="REACTIONS", min=1, help="Stop it after so many.")] = 1_000_000,
    json: Json = False,
) -> None:
    """Run a chemical program until nothing can react any more."""
    from umwelt.client.commands.react import Wish, reacted

    reacted(Wish(file, drop or (), seed, trace, every, most), json)


@app.command()
def keys(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new folder for them.")],
) -> None:
    """Make the keys of a world that is open to others: who has none stays out."""
    from umwelt.cluster.wire.keys import make_keys

    for path in make_keys(folder):
        print(path)
    print(f"the world:  umwelt launch WORLD --bind tcp://HOST:PORT --keys {folder}; the secrets stay here")
    print("others get world.public and one pair: node.* to compute, keeper.* to change the world, spectator.* to look")
    print("ledger.public is for all who would verify its runs: umwelt verify RUN --keys DIR")


@app.command()
def verify(
    run: RunFolder,
    nodes: Annotated[int, typer.Option(min=1, help="Cut the world for so many nodes.")] = 1,
    keys: Annotated[
        Path | None, typer.Option(metavar="DIR", help="It has to be signed by the key of ledger.public in there.")
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option(metavar="RUN", help="Run nothing again: say up to which tick it shares the past of that run."),
    ] = None,
    json: Json = False,
) -> None:
    """Hold a run against its ledger, then run its whole history again and compare every digest."""
    from umwelt.client.commands.verify import held_against, verified

    sys.exit(verified(run, nodes, keys, json) if against is None else held_against(run, against, keys, json))


@app.command()
def audit(
    run: RunFolder,
    ticks: Annotated[
        int | None,
        typer.Option(min=1, help="Measure the cycles for so many ticks.", show_default="one day of its climate"),
    ] = None,
    json: Json = False,
) -> None:
    """Count a run's atoms at all its kept moments, and measure how long matter stays in each pool."""
    from umwelt.client.commands.audit import audited

    sys.exit(audited(run, ticks, json))


@app.command()
def fork(
    run: RunFolder,
    tick: Annotated[int, typer.Option(min=0, help="Where the new run's own way begins.")],
    to: Annotated[
        Path | None, typer.Option("--to", metavar="DIR", help="Where to keep it.", show_default="runs/WORLD-NUMBER")
    ] = None,
) -> None:
    """A new run that shares another's past up to a tick."""
    from umwelt.client.commands.running import making
    from umwelt.cluster.run.replay import fork as forked

    with making(f"replaying {run} up to tick {tick:,}"):
        made = forked(run, tick, to)
    print(f"{made}: the world of {run} as it was at tick {tick:,}; go on with: umwelt resume {made}")


@app.command()
def duel(
    run: RunFolder,
    tick: Annotated[
        int | None, typer.Option(min=0, help="A tick the run has reached.", show_default="the last snapshot's")
    ] = None,
    species: Annotated[
        str | None, typer.Option(metavar="NAME", help="Whose.", show_default="each monster species that lives")
    ] = None,
    each: Annotated[
        int | None, typer.Option(min=1, help="Founders of each side.", show_default="half of those in the world file")
    ] = None,
    ticks: Annotated[int, typer.Option(min=1, help="How long a duel takes.")] = 3000,
    seeds: Annotated[int, typer.Option(min=1, max=1000, help="In how many fresh worlds.")] = 5,
    against: Annotated[
        str | None,
        typer.Option(metavar="RUN[:TICK]", help="The living of another run, or tick, in place of the founders."),
    ] = None,
    to: Annotated[
        Path | None, typer.Option("--to", metavar="DIR", help="Write a Parquet file and a picture there.")
    ] = None,
    json: Json = False,
) -> None:
    """Are the descendants fitter? They meet the founders in fresh worlds: who leaves more offspring?"""
    from umwelt.client.commands.duel import Wish, duelled

    duelled(Wish(run, tick, species, each, ticks, seeds, against), to, json)


@app.command()
def status(address: Address = None, keys: KeysFolder = None, json: Json = False) -> None:
    """Say where a running world is, and who carries it."""
    from rich.console import Console

    from umwelt.client.commands import remote

    found = remote.status(address, keys)
    if json:
        import json as writer

        print(writer.dumps(found))
    else:
        remote.show_status(found, Console())


@app.command()
def ask(
    address: Annotated[str, typer.Argument(metavar="ADDRESS", help="A run's folder or tcp://HOST:PORT.")],
    what: Annotated[
        str, typer.Argument(metavar="WHAT", help="census, heatmap, nearest, lineage, or the name of a task.")
    ] = "",
    given: Annotated[
        list[str] | None, typer.Argument(metavar="VALUE", help="What it is given: values, or NAME=VALUE.")
    ] = None,
    workflow: Annotated[
        Path | None, typer.Option("--workflow", metavar="FILE", help="A chemical workflow: .hocl, or a bundled one.")
    ] = None,
    within: Annotated[float, typer.Option(metavar="SECONDS", min=0, help="How long it may take.")] = 0,
    keys: KeysFolder = None,
    json: Json = False,
) -> None:
    """Ask a running world: its nodes work on the answer side by side, and it is true at one tick."""
    from umwelt.client.commands.ask import asked

    asked(address, what, given or (), keys, workflow, within, json)


@app.command()
def view(
    address: Address = None,
    keys: KeysFolder = None,
    demo: Annotated[bool, typer.Option("--demo", help="A recorded minute, without any world running.")] = False,
    screenshot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw one settled frame into a picture and leave.")
    ] = None,
    at: Annotated[
        str | None, typer.Option(metavar="X,Y", help="The cell in the middle.", show_default="the world's middle")
    ] = None,
    zoom: Annotated[
        float | None, typer.Option(metavar="PX", help="Pixels a cell.", show_default="the world fills the window")
    ] = None,
    size: Annotated[str, typer.Option(metavar="WxH", help="Pixels.")] = "1280x800",
    panels: Annotated[
        bool | None, typer.Option("--panels/--no-panels", help="Show the panels.", show_default="not in a screenshot")
    ] = None,
) -> None:
    """Open a window on a running world: look at it, and touch it."""
    from umwelt.client.window.app import Sight
    from umwelt.client.window.app import view as show

    middle = None if at is None else _pair(at, ",", "--at", "64,32")
    sight = Sight(middle, zoom, _pair(size, "x", "--size", "1280x800"), panels)
    show(address, keys, demo, screenshot, sight)


@app.command()
def drop(
    count: Annotated[int, typer.Argument(metavar="COUNT", help="How many molecules.")],
    substance: Annotated[str, typer.Argument(metavar="SUBSTANCE", help="A substance of the world.")],
    cell: Annotated[str, typer.Argument(metavar="X,Y", help="Into which cell.")],
    at: AtAddress = None,
    keys: KeysFolder = None,
) -> None:
    """Drop a substance into a cell of a running world: what it can react with there, it does."""
    from umwelt.client.commands import remote

    print(remote.drop(count, substance, _pair(cell, ",", "X,Y", "64,32"), at, keys))


@app.command()
def join(
    address: Annotated[str, typer.Argument(metavar="ADDRESS", help="tcp://HOST:PORT of a world, or a run's folder.")],
    keys: KeysFolder = None,
    name: Annotated[str, typer.Option(help="What the node is called.", show_default="node-NUMBER")] = "",
    bind: Annotated[
        str,
        typer.Option(
            metavar="tcp://HOST:*", help="Where its neighbours reach it.", show_default="this machine's address"
        ),
    ] = "",
) -> None:
    """Carry a part of a running world with this machine, until Ctrl-C."""
    from umwelt.client.commands import remote

    sys.exit(remote.join(address, keys, name, bind))


@app.command()
def leave(
    node: Annotated[str, typer.Argument(metavar="NODE", help="A node's name, as umwelt status tells it.")],
    at: AtAddress = None,
    keys: KeysFolder = None,
) -> None:
    """Let a node go; the others take over its part."""
    from umwelt.client.commands import remote
    from umwelt.client.commands.running import making

    with making(f"{node} leaves"):
        line = remote.leave(node, at, keys)
    print(line)


@app.command()
def stop(address: Address = None, keys: KeysFolder = None) -> None:
    """Save a running world and stop it."""
    from umwelt.client.commands import remote
    from umwelt.client.commands.running import making

    with making("saving the world"):
        line = remote.stop(address, keys)
    print(line)


def _pair(text: str, between: str, option: str, example: str) -> tuple[int, int]:
    first, _, second = (part.strip() for part in text.lower().partition(between))
    if not all(part.isascii() and part.isdecimal() and len(part) < 10 for part in (first, second)):
        raise UmweltError(f"{option} {text}: write it as in {option} {example}")
    return int(first), int(second)


def main(arguments: list[str] | None = None) -> Any:
    """The entry point: a person's mistake becomes one line and exit code 2."""
    sys.path.append(os.getcwd())  # species and laws of one's own lie where one works
    given = sys.argv[1:] if arguments is None else arguments
    try:
        code = app(given or ["--help"], standalone_mode=False)
    except UmweltError as error:
        print(f"umwelt: {error}", file=sys.stderr)
        sys.exit(2)
    except UsageError as error:
        line = " ".join(error.format_message().split()).rstrip(".")
        command = error.ctx.command_path if error.ctx else "umwelt"
        print(f"umwelt: {line}: see {command} --help", file=sys.stderr)
        sys.exit(2)
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except BrokenPipeError:
        sys.exit(1)
    if code == INTERRUPTED:  # typer gives back the code of a Ctrl-C where it caught one
        print("umwelt: stopped at once; what was saved before is whole", file=sys.stderr)
    sys.exit(code or 0)


if __name__ == "__main__":
    main()

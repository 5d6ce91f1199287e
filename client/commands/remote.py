"""What people do to worlds that run: find them, ask them, join them, let nodes go, stop them."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from umwelt.client.commands.dashboard import NODE_COLUMNS, by_name, node_cells
from umwelt.client.connection.api import Connection, connect
from umwelt.cluster.process import is_alive, read_announcement
from umwelt.cluster.run.store import RUNS, WORLD
from umwelt.cluster.settings import CLUSTER_FILE, COORDINATOR_FILE, GATEWAY_FILE
from umwelt.sandbox.errors import RunError

ANSWER_S = 10.0
STARTS_WITHIN_S = 20.0
SAVED_WITHIN_S = 120.0
LOOK_S = 0.1


def running() -> list[Path]:
    """The runs under `runs/` that are running on this machine."""
    found = sorted(RUNS.iterdir()) if RUNS.is_dir() else []
    return [folder for folder in found if _lives(folder)]


def _lives(folder: Path) -> bool:
    """Whether a run's directory, or what starts it, runs on this machine."""
    return any(
        is_alive((read_announcement(folder / name) or {}).get("pid")) for name in (CLUSTER_FILE, COORDINATOR_FILE)
    )


def place_of(address: str | None) -> str | Path:
    """What is meant by an address: that of a gateway, a run's folder, or, if none is given, the only run there is.

    A run that is just being started is waited for.
    """
    if address is not None and "://" in address:
        return address
    if address is None:
        found = running()
        if not found:
            raise RunError(f"no world is running under {RUNS}/ here: give a run's folder, or tcp://HOST:PORT")
        if len(found) > 1:
            raise RunError(f"{len(found)} worlds are running: say which one: {', '.join(map(str, found))}")
    folder = Path(address) if address is not None else found[0]
    end_s = time.monotonic() + STARTS_WITHIN_S
    while _lives(folder) and read_announcement(folder / GATEWAY_FILE) is None and time.monotonic() < end_s:
        time.sleep(LOOK_S)
    if read_announcement(folder / GATEWAY_FILE) is None or not _lives(folder):
        is_run = (folder / WORLD).is_file()
        mend = f"umwelt resume {folder} wakes it" if is_run else "give a run's folder, or tcp://HOST:PORT"
        raise RunError(f"{folder}: no world is running there: {mend}")
    return folder


@contextmanager
def connected(address: str | None, keys: Path | None) -> Iterator[Connection]:
    """A connection to a running world."""
    place = place_of(address)
    with connect(place, keys, ANSWER_S) as world:
        yield world


def status(address: str | None, keys: Path | None) -> dict[str, Any]:
    """Where a running world is."""
    with connected(address, keys) as world:
        return world.status()


def show_status(found: dict[str, Any], console: Console) -> None:
    """Print it for people."""
    metrics = found["metrics"] or {"populations": {}}
    living = sum(sum(table.values()) for table in metrics["populations"].values())
    nodes = found["nodes"]
    phase = "paused" if found["paused"] else found["phase"]
    head = Text(f"{found['world']}", "bold").append(
        f"  tick {found['tick']:,}, {phase}; {living:,} alive; "
        f"{len(nodes)} node{'s' if len(nodes) != 1 else ''}, epoch {found['epoch']}, "
        f"{found['ticks_per_exchange']} ticks an exchange; snapshot of tick {found['snapshot_tick']:,}",
        "not bold",
    )
    console.print(head, soft_wrap=True)
    table, names = Table.grid(padding=(0, 2)), [*NODE_COLUMNS, "host", "process"]
    for name in names:
        table.add_column(no_wrap=True, justify="right" if name in ("holds", "ticks/s", "waits", "memory") else "left")
    table.add_row(*[Text(name, "dim") for name in names])
    for node in by_name(nodes):
        table.add_row(*node_cells(node).values(), node["host"], str(node["pid"]))
    console.print(table)
    for event in found["events"][-5:]:
        console.print(Text(f"tick {event['tick']:,}: {event['line']}", "dim"), soft_wrap=True)


def drop(count: int, substance: str, cell: tuple[int, int], address: str | None, keys: Path | None) -> str:
    """Put molecules into a cell; gives a line."""
    x, y = cell
    with connected(address, keys) as world:
        tick = world.drop(y, x, substance, count)
    return f"{count:,} {substance} into the cell {x},{y} with tick {tick:,}"


def leave(node: str, address: str | None, keys: Path | None) -> str:
    """Let a node go, and wait until others hold what it held; gives a line."""
    with connected(address, keys) as world:
        world.leave(node)
        end_s = time.monotonic() + SAVED_WITHIN_S
        while time.monotonic() < end_s:
            found = world.status()
            names = [one["name"] for one in found["nodes"]]
            if node not in names and found["phase"] == "running":
                goes_on = f"carr{'y' if len(names) > 1 else 'ies'} on"
                return f"{node} left at tick {found['tick']:,}; {', '.join(names)} {goes_on}"
            time.sleep(LOOK_S)
    raise RunError(f"{node}: has not left within {SAVED_WITHIN_S:.0f} s: see umwelt status")


def stop(address: str | None, keys: Path | None) -> str:
    """Save a world and stop it; gives a line once it rests."""
    place = place_of(address)
    with connect(place, keys, ANSWER_S) as world:
        name, found = world.name, world.status()
        world.stop()
        end_s = time.monotonic() + SAVED_WITHIN_S
        while time.monotonic() < end_s:
            with suppress(RunError):
                found = world.status()
            if found["phase"] == "resting" or (isinstance(place, Path) and not (place / COORDINATOR_FILE).exists()):
                return f"{name}: saved at tick {found['tick']:,}; go on with: umwelt resume {_near(found['run'])}"
            time.sleep(LOOK_S)
    raise RunError(f"{name}: has not come to rest within {SAVED_WITHIN_S:.0f} s: see umwelt status")


def _near(folder: str) -> str:
    """A folder's path from here, if it lies below."""
    path = Path(folder)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else folder


def directory_of(address: str, keys: Path | None) -> str:
    """Where the directory of a running world is reached: by a node that would join."""
    place = place_of(address)
    if isinstance(place, Path):
        found = read_announcement(place / COORDINATOR_FILE)
        if found is None:
            raise RunError(f"{place}: no world is running there: umwelt resume {place} wakes it")
        return str(found["address"])
    with connect(place, keys, ANSWER_S) as world:
        if not world.directory:
            raise RunError(f"{place}: with the keys of a {world.role} nobody joins: get those of a node")
        return world.directory


def join(address: str, keys: Path | None, name: str, bind: str) -> int:
    """Carry a part of a running world in this process, until told to stop; gives the exit code."""
    from umwelt.cluster.node.process import NodeProcess
    from umwelt.cluster.settings import NodeSettings

    class Told(NodeProcess):
        """A node that says what happens."""

        seen: tuple[int, bool] = (-1, False)

        def _prepare(self, welcome: Any) -> Any:
            say(f"{welcome.world_name}: reading the world and compiling its laws")
            prepared = super()._prepare(welcome)
            say("ready; waiting for a part of the world")
            return prepared

        def look(self) -> None:
            """Tell what has changed."""
            held = self.machine.assigned
            seen = (held.assignment.epoch, held.loaded) if held is not None else (-1, False)
            if seen == self.seen:
                return
            was, self.seen = self.seen, seen
            if held is None:
                say("let go of its part")
            elif held.loaded:
                member = held.assignment.members[held.assignment.which]
                y, x, height, width = member.rectangle
                others = len(held.assignment.members) - 1
                say(
                    f"{member.name}: holds {width} × {height} cells at {x},{y} since tick {held.assignment.tick:,}, "
                    f"beside {others} other{'s' if others != 1 else ''}"
                )
            elif was[0] != seen[0]:
                say(f"loading its part from the snapshot of tick {held.assignment.tick:,}")

    def say(line: str) -> None:
        print(line, flush=True)

    directory = directory_of(address, keys)
    settings = NodeSettings(directory, bind or _door_beside(directory), name, str(keys or ""), follow_parent=False)
    process = Told(settings)
    turn = process.driver.turn

    def watched(wait_s: float) -> None:
        turn(wait_s)
        process.look()

    process.driver.turn = watched  # type: ignore[method-assign, assignment]
    say(f"asking {directory.partition('#')[0]} to join; Ctrl-C leaves properly")
    code = process.run()
    if process.driver.ended is not None and not process.driver.ended.line:
        say("left; the world goes on without it, or rests")
    return code


def _door_beside(directory: str) -> str:
    """Where a node's own doors open if it is not told: as near to the directory's as they can be."""
    if directory.startswith("ipc://"):
        return f"ipc://{Path(directory.removeprefix('ipc://')).parent}/*"
    host = directory.removeprefix("tcp://").partition("#")[0].rpartition(":")[0]
    return f"tcp://{_own_address_to(host)}:*"


def _own_address_to(host: str) -> str:
    """This machine's address on the way to a host."""
    import socket

    family = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:  # sends nothing
        try:
            probe.connect((host.strip("[]"), 9))
            found = probe.getsockname()[0]
        except OSError as error:
            raise RunError(
                f"{host}: cannot be reached: {error.strerror or error}: see that the address is right"
            ) from None
    return f"[{found}]" if family == socket.AF_INET6 else str(found)

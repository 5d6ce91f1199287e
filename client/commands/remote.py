"""Subcommands that connect to a running world: status, drop, join, leave, stop."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from umwelt.client.commands.dashboard import NODE_COLUMNS, describe_node, sort_nodes
from umwelt.client.connection.answers import Status
from umwelt.client.connection.api import Connection, connect
from umwelt.client.connection.places import place_of
from umwelt.cluster import COORDINATOR_FILE, read_announcement
from umwelt.sandbox.errors import RunError

ANSWER_S = 10.0
"""Time limit of connecting and of each request, in seconds."""
SAVE_S = 120.0
"""Time limit for saving the world and for removing a node, in seconds."""
POLL_S = 0.1
"""Seconds between two requests of the status while waiting."""
MAX_EVENTS_SHOWN = 5
"""Number of the latest events that `umwelt status` prints."""
DISCARD_PORT = 9
"""UDP port for finding the route to a host; its number does not matter, since nothing is sent."""


@contextmanager
def connect_to(address: str | None, keys: Path | None) -> Iterator[Connection]:
    """Connects to a running world for the time of the context.

    `address` is a run's folder, the tcp:// address of the gateway (the process of a world that answers clients), or
    None for the only world that runs here. `keys` is a folder with keys, None if the world requires none.
    """
    place = place_of(address)
    with connect(place, keys, ANSWER_S) as world:
        yield world


def status(address: str | None, keys: Path | None) -> Status:
    """Connects to a running world and returns its status."""
    with connect_to(address, keys) as world:
        return world.status()


def show_status(world_status: Status, console: Console) -> None:
    """Prints a world's status: a summary line, a table of its nodes, and its latest events."""
    metrics, nodes = world_status["metrics"], world_status["nodes"]
    populations = metrics["populations"] if metrics is not None else {}
    living_count = sum(sum(counts.values()) for counts in populations.values())
    phase = "paused" if world_status["paused"] else world_status["phase"]
    head = Text(f"{world_status['world']}", "bold").append(
        f"  tick {world_status['tick']:,}, {phase}; {living_count:,} alive; "
        f"{len(nodes)} node{'s' if len(nodes) != 1 else ''}, epoch {world_status['epoch']}, "
        f"{world_status['ticks_per_exchange']} ticks an exchange; "
        f"snapshot of tick {world_status['snapshot_tick']:,}",
        "not bold",
    )
    console.print(head, soft_wrap=True)
    table, names = Table.grid(padding=(0, 2)), [*NODE_COLUMNS, "host", "process"]
    for name in names:
        table.add_column(no_wrap=True, justify="right" if name in ("holds", "ticks/s", "waits", "memory") else "left")
    table.add_row(*[Text(name, "dim") for name in names])
    for node in sort_nodes(nodes):
        table.add_row(*describe_node(node).values(), node["host"], str(node["pid"]))
    console.print(table)
    for event in world_status["events"][-MAX_EVENTS_SHOWN:]:
        console.print(Text(f"tick {event['tick']:,}: {event['line']}", "dim"), soft_wrap=True)


def drop(count: int, substance: str, cell: tuple[int, int], address: str | None, keys: Path | None) -> str:
    """Adds `count` molecules of a substance to `cell` (x, y); returns a message for the user."""
    x, y = cell
    with connect_to(address, keys) as world:
        tick = world.drop(y, x, substance, count)
    return f"{count:,} {substance} into the cell {x},{y} at tick {tick:,}"


def leave(node: str, address: str | None, keys: Path | None) -> str:
    """Removes a node and waits until the other nodes have taken over its cells; returns a message for the user.

    Raises RunError after `SAVE_S` seconds.
    """
    with connect_to(address, keys) as world:
        world.leave(node)
        end_s = time.monotonic() + SAVE_S
        while time.monotonic() < end_s:
            world_status = world.status()
            names = [other["name"] for other in world_status["nodes"]]
            if node not in names and world_status["phase"] == "running":
                go_on = f"{', '.join(names)} carr{'y' if len(names) > 1 else 'ies'} on"
                return f"{node} left at tick {world_status['tick']:,}; {go_on}"
            time.sleep(POLL_S)
    raise RunError(f"{node}: has not left within {SAVE_S:.0f} s: see umwelt status")


def stop(address: str | None, keys: Path | None) -> str:
    """Saves a running world, stops it, and waits until it has stopped; returns a message for the user.

    Raises RunError after `SAVE_S` seconds.
    """
    place = place_of(address)
    with connect(place, keys, ANSWER_S) as world:
        name, world_status = world.name, world.status()
        world.stop()
        end_s = time.monotonic() + SAVE_S
        while time.monotonic() < end_s:
            with suppress(RunError):
                world_status = world.status()
            is_gone = isinstance(place, Path) and not (place / COORDINATOR_FILE).exists()
            if world_status["phase"] == "resting" or is_gone:
                run = _relative(world_status["run"])
                return f"{name}: saved at tick {world_status['tick']:,}; go on with: umwelt resume {run}"
            time.sleep(POLL_S)
    raise RunError(f"{name}: has not stopped within {SAVE_S:.0f} s: see umwelt status")


def _relative(folder: str) -> str:
    """Returns `folder` relative to the working directory if it lies below it, else unchanged."""
    path = Path(folder)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else folder


def coordinator_address(address: str, keys: Path | None) -> str:
    """Returns the address of the coordinator of a running world, the process that a new node must reach to join.

    `address` is a run's folder or a gateway's address. Raises RunError if no world runs there, or if the role to which
    `keys` belong does not permit nodes to join.
    """
    place = place_of(address)
    if isinstance(place, Path):
        announcement = read_announcement(place / COORDINATOR_FILE)
        if announcement is None:
            raise RunError(f"{place}: no world is running there: start it with: umwelt resume {place}")
        return str(announcement["address"])
    with connect(place, keys, ANSWER_S) as world:
        if not world.coordinator_address:
            raise RunError(f"{place}: nodes cannot join with the keys of a {world.role}: get those of a node")
        return world.coordinator_address


def join(address: str, keys: Path | None, name: str, bind: str) -> int:
    """Joins a running world as a node, in this process, until Ctrl-C or the world stops; returns the exit code.

    If `name` is empty, the coordinator chooses one; if `bind` is empty, the node listens at the default address
    (`_bind_beside`).
    """
    from umwelt.cluster import NodeProcess, NodeSettings

    def report(line: str) -> None:
        print(line, flush=True)

    coordinator = coordinator_address(address, keys)
    settings = NodeSettings(coordinator, bind or _bind_beside(coordinator), name, str(keys or ""), follow_parent=False)
    process = NodeProcess(settings, report)
    report(f"asking {coordinator.partition('#')[0]} to join; Ctrl-C leaves the world in order")
    return process.run()


def _bind_beside(coordinator: str) -> str:
    """Returns the default address at which a node listens, given the coordinator's address.

    If the coordinator has an ipc address, it is an ipc socket in the same folder. Otherwise it is any free TCP port of
    the network interface that routes to the coordinator's host.
    """
    if coordinator.startswith("ipc://"):
        return f"ipc://{Path(coordinator.removeprefix('ipc://')).parent}/*"
    host = coordinator.removeprefix("tcp://").partition("#")[0].rpartition(":")[0]
    return f"tcp://{_own_address_to(host)}:*"


def _own_address_to(host: str) -> str:
    """Returns the IP address of the network interface of this machine that routes to `host`.

    Raises RunError if there is no route.
    """
    import socket

    family = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:  # sends nothing
        try:
            probe.connect((host.strip("[]"), DISCARD_PORT))
            address = probe.getsockname()[0]
        except OSError as error:
            reason = error.strerror or error
            raise RunError(f"{host}: cannot be reached: {reason}: see that the address is right") from None
    return f"[{address}]" if family == socket.AF_INET6 else str(address)

"""The process that replays a run to show one earlier tick, or forks the run. The live world is not affected.

    python -m umwelt.cluster.gateway.replay_process SETTINGS      (started by the gateway)

The process replays from the last snapshot before the tick, with the journalled commands. It then serves tiles and
queries as a node that owns the full torus would. It can also be played: then it replays further ticks at a given speed,
up to the last journalled one.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import msgspec

from umwelt.agents.world_file import WorldFile
from umwelt.cluster.node.queries import QueryServer
from umwelt.cluster.node.tile_publisher import TilePublisher
from umwelt.cluster.process import StopSignal, announce, read_settings, report_errors
from umwelt.cluster.run.store import Store
from umwelt.cluster.tasks.node_worker import NodeWorker
from umwelt.cluster.wire.keys import KEEPER, WORLD, Keys
from umwelt.cluster.wire.protocol import CancelTasks, Order, QueryRequest, TicketResult, decode, encode
from umwelt.cluster.wire.transport import ZmqTransport
from umwelt.sandbox.errors import CommandError
from umwelt.sandbox.kernel import crew
from umwelt.sandbox.region import Region

REPLAY_FILE = "replay.json"
"""The file, in the process's folder, that announces that the process is ready."""
MAX_TICKS_PER_S = 10_000
PLAY_TURN_S = 0.02
"""Time in seconds for which a late replay computes ticks before it serves requests again."""
MAX_LATE_S = 0.25
"""Maximum delay in seconds that a late replay catches up; any further delay is dropped."""
JOURNAL_EVERY_S = 0.5
"""Interval in seconds at which the journal is read for new ticks and commands."""
TURN_S = 0.01
NICE = 10


class ReplaySettings(msgspec.Struct):
    """Settings of the process. `folder` is a private folder for its sockets and its announcement."""

    run: str
    what: str
    """"show" or "fork"."""
    tick: int
    folder: str
    keys: str = ""
    pass_key: str = ""
    """A hexadecimal key that every request of the gateway contains; requests without it are ignored."""
    to: str = ""
    """The folder of the forked run; empty: the next free folder under `runs/`."""


@dataclass(eq=False)
class ReplayShard:
    """The replayed world, with the attributes of a node's shard that publishing tiles and answering queries use."""

    world: WorldFile
    region: Region
    which: int = 0

    @property
    def tick(self) -> int:
        """The tick of the replayed world."""
        return self.region.tick


class ReplayPlayer:
    """A replay that shows `first_tick` and can be played from there, up to the last journalled tick."""

    shard: ReplayShard
    _replay: Any

    def __init__(self, store: Store, tick: int):
        self.store, self.first_tick = store, tick
        self.ticks_per_s = 0.0
        self.restart()

    def restart(self) -> None:
        """Loads the first tick again and stops playing."""
        from umwelt.cluster.run.replay import Replay, restore_region

        self.shard = self._replay = cast(Any, None)  # frees the old region before the new one is created
        world, region, _ = restore_region(self.store, self.first_tick)
        self.shard = ReplayShard(world, region)
        self._replay = Replay(world, region)
        self._last_tick, self._read_s, self._due_s, self.ticks_per_s = region.tick, -1e9, 0.0, 0.0

    def play(self, ticks_per_s: float, now_s: float) -> None:
        """Plays from the present tick at `ticks_per_s`; 0 stops."""
        self.ticks_per_s, self._due_s = ticks_per_s, now_s

    def poll(self, clock: Callable[[], float]) -> float:
        """Computes the ticks that are due. Returns the time in seconds until the next call is needed."""
        end_s = clock() + PLAY_TURN_S
        while self.ticks_per_s > 0 and self._has_next_tick(clock()):
            now_s = clock()
            if now_s < self._due_s:
                return self._due_s - now_s
            if now_s > end_s:
                return 0.0
            self._due_s = max(self._due_s, now_s - MAX_LATE_S) + 1 / self.ticks_per_s
            self._replay.step()
        self._due_s = clock()
        return TURN_S

    def _has_next_tick(self, now_s: float) -> bool:
        """Returns whether the next tick is journalled.

        When the last tick that was read from the journal is reached, reads new ticks and commands from it.
        """
        from umwelt.cluster.run.replay import read_progress

        if self.shard.tick >= self._last_tick and now_s - self._read_s >= JOURNAL_EVERY_S:
            self._read_s = now_s
            self._last_tick, due = read_progress(self.store, self.shard.tick)
            self._replay.set_commands(due)
        return self.shard.tick < self._last_tick

    def order(self, order: Order, clock: Callable[[], float]) -> TicketResult:
        """Executes an order: "show" restarts, "play" sets the speed."""
        if order.what == "show":
            self.restart()
        elif order.what == "play" and 0 <= order.value <= MAX_TICKS_PER_S:
            self.play(order.value, clock())
        else:
            line = f"{order.what[:40]} {order.value}: not an order for a replay: show or play it"
            return TicketResult(order.ticket, self.shard.tick, 0, line, CommandError.code)
        return TicketResult(order.ticket, self.shard.tick, 0)


def show(settings: ReplaySettings) -> None:
    """Replays to a tick, then serves it until the process gets a stop signal, or its parent process has ended."""
    stop_signal = StopSignal()
    crew.resize(1)
    player = ReplayPlayer(Store.open(Path(settings.run)), settings.tick)
    keys = Keys.load(Path(settings.keys), WORLD) if settings.keys else None
    address, tiles_address = (f"ipc://{settings.folder}/{name}" for name in ("door", "tiles"))
    with ZmqTransport(b"", address, keys, WORLD, frozenset({WORLD, KEEPER})) as transport:
        publisher = TilePublisher(tiles_address, keys)
        query_server = QueryServer(publisher, transport.send, NodeWorker(wake=transport.wake))
        announce(
            Path(settings.folder) / REPLAY_FILE,
            {"address": transport.address, "tiles_address": publisher.address, "tick": player.shard.tick},
        )
        result: TicketResult | None = None
        while not stop_signal.asked and not stop_signal.orphaned:
            incoming = transport.receive(min(TURN_S, player.poll(time.monotonic)))
            publisher.poll(cast(Any, player.shard))
            query_server.poll(player.shard, 0)
            if incoming is None:
                continue
            try:
                message, _ = decode(incoming.frames)
            except ValueError:
                continue
            if isinstance(message, QueryRequest | CancelTasks) and message.pass_key.hex() == settings.pass_key:
                query_server.take(incoming.sender, message, player.shard)
            elif isinstance(message, Order) and message.name == settings.pass_key:
                if result is None or result.ticket != message.ticket:  # otherwise the order is a resent one
                    result = player.order(message, time.monotonic)
                transport.send(incoming.sender, encode(result))
        query_server.close()
        publisher.close()


def fork(settings: ReplaySettings) -> None:
    """Forks the run, and announces the folder of the new run."""
    from umwelt.cluster.run import replay

    StopSignal()
    folder = replay.fork(Path(settings.run), settings.tick, Path(settings.to) if settings.to else None)
    announce(Path(settings.folder) / REPLAY_FILE, {"run": str(folder.resolve()), "tick": settings.tick})


def main() -> None:
    """Shows a tick or forks a run, as the settings on the command line say."""
    os.nice(NICE)
    with report_errors("replay"):
        settings = read_settings(ReplaySettings)
        {"show": show, "fork": fork}[settings.what](settings)


if __name__ == "__main__":
    main()

"""Moments of the past, shown without touching the running world: each by a process of its own.

    python -m umwelt.cluster.gateway.replay_process SETTINGS      (the gateway starts it)

Such a process replays the run from the snapshot before a tick, with the journalled commands, and then stands there as
a node of one would: it can be watched and asked. It can also be played: then it goes on as the run did, never past what
is journalled. Another kind of errand forks the run into a folder of its own.
"""

import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import msgspec

from umwelt.agents.world_file import WorldFile
from umwelt.cluster.gateway.tile_relay import NodeMap
from umwelt.cluster.node.queries import QueryServer
from umwelt.cluster.node.tile_publisher import TilePublisher
from umwelt.cluster.process import StopSignal, announce, read_announcement, read_settings, report_errors
from umwelt.cluster.run.store import Store
from umwelt.cluster.tasks.node_worker import NodeWorker
from umwelt.cluster.wire.keys import KEEPER, WORLD, Keys
from umwelt.cluster.wire.protocol import CancelTasks, Order, QueryRequest, TicketResult, decode, encode
from umwelt.cluster.wire.transport import ZmqTransport
from umwelt.sandbox.errors import RunError
from umwelt.sandbox.kernel import crew
from umwelt.sandbox.region import Region

MAX_SHOWN = 3
MAX_ORDERS = 64
"""Orders to one moment that wait for those before them."""
MAX_TICKS_PER_S = 10_000
PLAY_TURN_S = 0.02
"""So long a moment that is late plays on before it listens and publishes again."""
LATE_S = 0.25
"""What a moment is late by more than this is not caught up on: then it plays as fast as it can."""
JOURNAL_EVERY_S = 0.5
ORDER_AGAIN_S = 0.5
IDLE_S = 60.0
"""A moment that nobody watches or asks goes after this time."""
LOOK_EVERY_S = 0.02
TURN_S = 0.01


class ReplaySettings(msgspec.Struct):
    """What such a process is started with; `folder` is a private one for its doors and for what it announces."""

    run: str
    what: str
    tick: int
    folder: str
    keys: str = ""
    pass_key: str = ""
    to: str = ""


@dataclass(eq=False)
class ReplayShard:
    """A tick of the past, as a publisher takes portions."""

    world: WorldFile
    region: Region
    which: int = 0

    @property
    def tick(self) -> int:
        return self.region.tick


class ReplayPlayer:
    """A moment that can go on: from the tick it was begun at, at some speed, as far as the journal has come."""

    moment: ReplayShard
    _replay: Any

    def __init__(self, store: Store, tick: int):
        self.store, self.began = store, tick
        self.ticks_per_s = 0.0
        self.show()

    def show(self) -> None:
        """Begin, or begin again, and rest."""
        from umwelt.cluster.run.replay import Replay, restore_region

        self.moment = self._replay = cast(Any, None)  # the old one goes before there is another
        world, region, _ = restore_region(self.store, self.began)
        self.moment = ReplayShard(world, region)
        self._replay = Replay(world, region)
        self._last, self._read_s, self._due_s, self.ticks_per_s = region.tick, -1e9, 0.0, 0.0

    def play(self, ticks_per_s: float, now_s: float) -> None:
        """Go on from here at a speed; 0 rests."""
        self.ticks_per_s, self._due_s = ticks_per_s, now_s

    def turn(self, clock: Callable[[], float]) -> float:
        """Make the ticks that are due; gives for how long there is nothing to do."""
        end_s = clock() + PLAY_TURN_S
        while self.ticks_per_s > 0 and self._ahead(clock()):
            now_s = clock()
            if now_s < self._due_s:
                return self._due_s - now_s
            if now_s > end_s:
                return 0.0
            self._due_s = max(self._due_s, now_s - LATE_S) + 1 / self.ticks_per_s
            self._replay.step()
        self._due_s = clock()
        return TURN_S

    def _ahead(self, now_s: float) -> bool:
        """Whether the run is known to have gone on from here; the commands of ticks are read before they are made."""
        from umwelt.cluster.run.replay import read_progress

        if self.moment.tick >= self._last and now_s - self._read_s >= JOURNAL_EVERY_S:
            self._read_s = now_s
            self._last, due = read_progress(self.store, self.moment.tick)
            self._replay.set_commands(due)
        return self.moment.tick < self._last

    def order(self, order: Order, clock: Callable[[], float]) -> TicketResult:
        """Do what is ordered."""
        if order.what == "show":
            self.show()
        elif order.what == "play" and 0 <= order.value <= MAX_TICKS_PER_S:
            self.play(order.value, clock())
        else:
            return TicketResult(
                order.ticket, self.moment.tick, 0, f"{order.what[:40]} {order.value}: no order for a moment"
            )
        return TicketResult(order.ticket, self.moment.tick, 0)


def show(settings: ReplaySettings) -> None:
    """Replay to a tick, then let it be watched, asked and played until nobody wants it any more."""
    ending = StopSignal()
    crew.resize(1)
    player = ReplayPlayer(Store.open(Path(settings.run)), settings.tick)
    keys = Keys.load(Path(settings.keys), WORLD) if settings.keys else None
    places = [f"ipc://{settings.folder}/{name}" for name in ("door", "tiles")]
    with ZmqTransport(b"", places[0], keys, WORLD, frozenset({WORLD, KEEPER})) as transport:
        publisher = TilePublisher(places[1], keys)
        answers = QueryServer(publisher, transport.send, NodeWorker(wake=transport.wake))
        announce(
            Path(settings.folder) / "moment.json",
            {"door": transport.address, "tiles": publisher.address, "tick": player.moment.tick},
        )
        settled: TicketResult | None = None
        while not ending.asked and not ending.orphaned:
            incoming = transport.receive(min(TURN_S, player.turn(time.monotonic)))
            publisher.turn(cast(Any, player.moment))
            answers.turn(player.moment, 0)
            if incoming is None:
                continue
            try:
                message, _ = decode(incoming.frames)
            except ValueError:
                continue
            if isinstance(message, QueryRequest | CancelTasks) and message.pass_key.hex() == settings.pass_key:
                answers.take(incoming.sender, message, player.moment)
            elif isinstance(message, Order) and message.name == settings.pass_key:
                if settled is None or settled.ticket != message.ticket:  # else it was said again before we answered
                    settled = player.order(message, time.monotonic)
                transport.send(incoming.sender, encode(settled))
        answers.close()
        publisher.close()


def fork(settings: ReplaySettings) -> None:
    """Fork the run, and say where to."""
    from umwelt.cluster.run.replay import fork as forked

    StopSignal()
    made = forked(Path(settings.run), settings.tick, Path(settings.to) if settings.to else None)
    announce(Path(settings.folder) / "moment.json", {"run": str(made.resolve()), "tick": settings.tick})


def main() -> None:
    """The process' entry."""
    os.nice(10)
    with report_errors("history"):
        settings = read_settings(ReplaySettings)
        {"show": show, "fork": fork}[settings.what](settings)


# --- the gateway's side


@dataclass
class PendingOrder:
    """An order to a moment, said again until it is settled."""

    order: Order
    done: Callable[[int, str], None]
    said_s: float = -1e9


@dataclass
class ReplayProcess:
    """A process of the past, and those who wait for it."""

    what: str
    tick: int
    process: subprocess.Popen
    folder: tempfile.TemporaryDirectory
    pass_key: bytes
    waiting: list[Callable[[dict[str, Any], str], None]] = field(default_factory=list)
    found: dict[str, Any] | None = None
    map: NodeMap | None = None
    used_s: float = 0.0
    moved: bool = False
    """Whether it was told to play since it stood at its tick."""
    orders: deque[PendingOrder] = field(default_factory=deque)
    """The first is under way; one after another, so that the last one stands."""

    @property
    def log(self) -> Path:
        return Path(self.folder.name) / "log"


class ReplayProcesses:
    """The moments that are shown, and forks under way. `opened` and `gone` are told when a moment comes and goes.

    `send(address, frames)` reaches moments; what they settle is given to `take`.
    """

    def __init__(
        self,
        run: Path,
        keys: str,
        opened: Callable[[int, NodeMap], None],
        gone: Callable[[int], None],
        send: Callable[[str, list[Any]], bool],
    ):
        self.run, self.keys, self._opened, self._gone, self._send = run, keys, opened, gone, send
        self.errands: list[ReplayProcess] = []
        self._looked_s = 0.0

    def map_of(self, tick: int) -> NodeMap | None:
        """Where a shown tick can be asked."""
        return next((one.map for one in self.errands if (one.what, one.tick) == ("show", tick)), None)

    def shown(self) -> list[int]:
        """The ticks that can be watched now."""
        return sorted(one.tick for one in self.errands if one.map is not None)

    def begin(self, what: str, tick: int, now_s: float, done: Callable[[dict[str, Any], str], None]) -> None:
        """Show a tick, or fork from it; `done` gets what came of it, or a line."""
        known = next((one for one in self.errands if what == "show" and (one.what, one.tick) == (what, tick)), None)
        if known is not None:
            known.used_s = now_s
            if known.found is not None and known.moved:
                self._order(known, "show", 0.0, lambda tick, line: done(known.found or {}, line))
            elif known.found is not None:
                done(known.found, "")
            else:
                known.waiting.append(done)
            return
        if len(self.errands) >= MAX_SHOWN and not self._make_room():
            raise RunError(f"{MAX_SHOWN} moments of the past are shown at once: wait until one is no longer watched")
        errand = self._start(what, tick)
        errand.used_s, errand.waiting = now_s, [done]
        self.errands.append(errand)

    def _make_room(self) -> bool:
        ready = [one for one in self.errands if one.found is not None]
        if ready:
            self._end(min(ready, key=lambda one: one.used_s))
        return bool(ready)

    def _start(self, what: str, tick: int) -> ReplayProcess:
        folder = tempfile.TemporaryDirectory(prefix="umwelt-past-")
        pass_key = secrets.token_bytes(16)
        settings = ReplaySettings(str(self.run), what, tick, folder.name, self.keys, pass_key.hex())
        command = [
            sys.executable,
            "-m",
            "umwelt.cluster.gateway.replay_process",
            msgspec.json.encode(settings).decode(),
        ]
        with (Path(folder.name) / "log").open("wb") as log:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        return ReplayProcess(what, tick, process, folder, pass_key)

    def play(self, tick: int, ticks_per_s: float, now_s: float, done: Callable[[int, str], None]) -> None:
        """Let a shown tick go on at a speed (0: rest); `done` gets the tick from which, or a line."""
        known = next((one for one in self.errands if (one.what, one.tick) == ("show", tick)), None)
        if known is None or known.map is None:
            raise RunError(f"tick {tick} is not shown: ask for it first")
        known.used_s = now_s
        self._order(known, "play", ticks_per_s, done)

    def _order(self, errand: ReplayProcess, what: str, value: float, done: Callable[[int, str], None]) -> None:
        if len(errand.orders) >= MAX_ORDERS:
            raise RunError(f"tick {errand.tick}: has too much to do: wait for its answers")
        errand.moved = what == "play" and (errand.moved or value > 0)
        ticket = secrets.token_hex(16)  # unlike any that a viewer may choose
        errand.orders.append(PendingOrder(Order(ticket, what, value, errand.pass_key.hex()), done))

    def take(self, settled: TicketResult) -> None:
        """A moment has done what it was told."""
        for one in self.errands:
            if one.orders and one.orders[0].order.ticket == settled.ticket:
                one.orders.popleft().done(settled.tick, settled.line)
                return

    def _say(self, errand: ReplayProcess, now_s: float) -> None:
        if errand.map is None or not errand.orders or now_s - errand.orders[0].said_s < ORDER_AGAIN_S:
            return
        reached = self._send(errand.map.doors[0], encode(errand.orders[0].order))
        errand.orders[0].said_s = now_s if reached else now_s - 0.9 * ORDER_AGAIN_S

    def use(self, tick: int, now_s: float) -> None:
        """Somebody watches or asks a shown tick."""
        for one in self.errands:
            if (one.what, one.tick) == ("show", tick):
                one.used_s = now_s

    def turn(self, now_s: float) -> None:
        """See what has come of errands, and end what nobody wants."""
        if now_s - self._looked_s < LOOK_EVERY_S:
            return
        self._looked_s = now_s
        for one in list(self.errands):
            self._say(one, now_s)
            if one.found is None:
                one.found = read_announcement(Path(one.folder.name) / "moment.json")
                if one.found is not None:
                    self._ready(one, now_s)
            code = one.process.poll()
            if code is not None or (one.found is not None and now_s - one.used_s > IDLE_S):
                line = _last_line(one.log) or f"the process that was to {one.what} tick {one.tick} ended (code {code})"
                self._end(one, line)

    def _ready(self, one: ReplayProcess, now_s: float) -> None:
        assert one.found is not None
        one.used_s = now_s
        if one.what == "show":
            one.map = NodeMap(0, one.pass_key, (one.found["door"],), (one.found["tiles"],))
            self._opened(one.tick, one.map)
        waiting, one.waiting = one.waiting, []
        for done in waiting:
            done(one.found, "")

    def _end(self, one: ReplayProcess, line: str = "") -> None:
        self.errands.remove(one)
        with suppress(OSError):
            one.process.terminate()
        if one.map is not None:
            self._gone(one.tick)
        for done in one.waiting:
            done({}, line)
        for ordered in one.orders:
            ordered.done(-1, line or f"tick {one.tick} is shown no more: ask for it again")
        deadline_s = time.monotonic() + 0.5
        while one.process.poll() is None and time.monotonic() < deadline_s:
            time.sleep(0.005)
        if one.process.poll() is None:
            one.process.kill()
        one.process.wait()
        one.folder.cleanup()

    def close(self) -> None:
        """End all."""
        for one in list(self.errands):
            self._end(one, "the gateway ends")


def _last_line(log: Path) -> str:
    try:
        lines = [line for line in log.read_text("utf-8", "replace").splitlines() if line.strip()]
    except OSError:
        return ""
    return lines[-1].removeprefix("umwelt history: ")[:500] if lines else ""


if __name__ == "__main__":
    main()

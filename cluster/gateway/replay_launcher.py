"""The replay processes of a gateway: starts them, sends them orders, and ends unused ones."""

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
from typing import Any

import msgspec

from umwelt.cluster.gateway.node_map import NodeMap
from umwelt.cluster.gateway.replay_process import REPLAY_FILE, ReplaySettings
from umwelt.cluster.process import read_announcement
from umwelt.cluster.wire.protocol import Order, TicketResult, encode
from umwelt.cluster.wire.resender import Resender
from umwelt.sandbox.errors import BusyError, RunError, UmweltError, error_for

MAX_PROCESSES = 3
MAX_ORDERS = 64
"""Maximum number of unanswered orders to one replay."""
RESEND_AFTER_S = 0.5
IDLE_S = 60.0
"""Time in seconds after which a replay without viewers and queries is ended."""
POLL_EVERY_S = 0.02
END_WITHIN_S = 0.5
"""Time in seconds that a process has to end before it is killed."""

OnReady = Callable[[dict[str, Any] | UmweltError], None]
OnSettled = Callable[[int | UmweltError], None]


@dataclass
class PendingOrder:
    """An unanswered order to a replay, and the callback for its result."""

    order: Order
    on_settled: OnSettled


@dataclass
class ReplayProcess:
    """A process that replays a run to a tick and shows it, or forks the run there, with the callbacks to call then.

    `what` is "show" or "fork". `map` has this process as its only node; it is None until the tick is shown. `used_s` is
    the time of the last use.
    """

    what: str
    tick: int
    process: subprocess.Popen
    folder: tempfile.TemporaryDirectory
    pass_key: bytes
    on_ready: list[OnReady] = field(default_factory=list)
    announcement: dict[str, Any] | None = None
    """The content of the process's announcement file; None until the process is ready."""
    map: NodeMap | None = None
    used_s: float = 0.0
    was_played: bool = False
    """Whether the replay has been played since it was last at its first tick."""
    orders: deque[PendingOrder] = field(default_factory=deque)
    """Unanswered orders, executed one after another: the first is being sent, the others wait for its answer."""

    @property
    def log(self) -> Path:
        """The file with the process's error output."""
        return Path(self.folder.name) / "log"


class ReplayProcesses:
    """All replay processes of a gateway. One instance for each gateway that has a run folder.

    `on_shown(tick, map)` is called when a replay is ready, `on_closed(tick)` when it ends. `send(address, frames)`
    sends to a replay; its answers are passed to `take`.
    """

    def __init__(
        self,
        run: Path,
        keys: str,
        on_shown: Callable[[int, NodeMap], None],
        on_closed: Callable[[int], None],
        send: Callable[[str, list[Any]], bool],
    ):
        self.run, self.keys, self._on_shown, self._on_closed, self._send = run, keys, on_shown, on_closed, send
        self.processes: list[ReplayProcess] = []
        self._resender = Resender()
        self._polled_s = 0.0

    def _find(self, tick: int) -> ReplayProcess | None:
        """Returns the process that shows a tick, or is started for it; None if there is none."""
        return next((one for one in self.processes if (one.what, one.tick) == ("show", tick)), None)

    def map_of(self, tick: int) -> NodeMap | None:
        """Returns the node map of the replay of a tick, or None if the tick is not shown."""
        process = self._find(tick)
        return process.map if process is not None else None

    def shown(self) -> list[int]:
        """Returns the ticks that can be watched now, in ascending order."""
        return sorted(process.tick for process in self.processes if process.map is not None)

    def begin(self, what: str, tick: int, now_s: float, on_ready: OnReady) -> None:
        """Starts a process that shows a tick, or one that forks the run from it.

        If the tick is shown already, its process is used, and a played replay is reset to the tick. `on_ready` is
        called once, with the announcement of the process or an error. Raises BusyError if `MAX_PROCESSES` processes run
        and none can be ended.
        """
        known = self._find(tick) if what == "show" else None
        if known is not None:
            announcement, known.used_s = known.announcement, now_s
            if announcement is None:
                known.on_ready.append(on_ready)
            elif known.was_played:
                self._order(known, "show", 0.0, lambda out: on_ready(announcement if isinstance(out, int) else out))
            else:
                on_ready(announcement)
            return
        if len(self.processes) >= MAX_PROCESSES and not self._make_room():
            line = f"{MAX_PROCESSES} ticks of the past are being shown: wait until one is no longer watched"
            raise BusyError(line)
        process = self._start(what, tick)
        process.used_s, process.on_ready = now_s, [on_ready]
        self.processes.append(process)

    def _make_room(self) -> bool:
        """Ends the least recently used of the processes that are ready. Returns whether there was one."""
        ready = [process for process in self.processes if process.announcement is not None]
        if ready:
            self._end(min(ready, key=lambda process: process.used_s))
        return bool(ready)

    def _start(self, what: str, tick: int) -> ReplayProcess:
        """Starts a replay process with its own temporary folder."""
        folder = tempfile.TemporaryDirectory(prefix="umwelt-replay-")
        pass_key = secrets.token_bytes(16)
        settings = ReplaySettings(str(self.run), what, tick, folder.name, self.keys, pass_key.hex())
        content = msgspec.json.encode(settings).decode()
        command = [sys.executable, "-m", "umwelt.cluster.gateway.replay_process", content]
        with (Path(folder.name) / "log").open("wb") as log:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        return ReplayProcess(what, tick, process, folder, pass_key)

    def play(self, tick: int, ticks_per_s: float, now_s: float, on_settled: OnSettled) -> None:
        """Plays a replay at `ticks_per_s`; 0 stops it. `on_settled` gets the replay's present tick, or an error.

        Raises RunError if the tick is not shown.
        """
        process = self._find(tick)
        if process is None or process.map is None:
            raise RunError(f"tick {tick} is not shown: ask for it first")
        process.used_s = now_s
        self._order(process, "play", ticks_per_s, on_settled)

    def _order(self, process: ReplayProcess, what: str, value: float, on_settled: OnSettled) -> None:
        """Queues an order to a replay. Raises BusyError if it has `MAX_ORDERS` unanswered orders."""
        if len(process.orders) >= MAX_ORDERS:
            raise BusyError(f"tick {process.tick}: has too many open orders: wait for its answers")
        process.was_played = what == "play" and (process.was_played or value > 0)
        ticket = secrets.token_hex(16)  # differs from all tickets that viewers choose
        process.orders.append(PendingOrder(Order(ticket, what, value, process.pass_key.hex()), on_settled))

    def take(self, result: TicketResult) -> None:
        """Handles the answer of a replay to an order; other answers are ignored."""
        for process in self.processes:
            if process.orders and process.orders[0].order.ticket == result.ticket:
                self._resender.end(result.ticket)
                pending = process.orders.popleft()
                pending.on_settled(error_for(result.code, result.line) if result.line else result.tick)
                return

    def _send_order(self, process: ReplayProcess, now_s: float) -> None:
        """Starts sending the first unanswered order of a process, unless this was done before."""
        if process.map is None or not process.orders or process.orders[0].order.ticket in self._resender:
            return
        address, order = process.map.addresses[0], process.orders[0].order
        self._resender.begin(order.ticket, lambda: self._send(address, encode(order)), now_s, RESEND_AFTER_S)

    def use(self, tick: int, now_s: float) -> None:
        """Records that a viewer watches or queries a replay, which keeps the replay from being ended as unused."""
        process = self._find(tick)
        if process is not None:
            process.used_s = now_s

    def poll(self, now_s: float) -> None:
        """Polls the processes, sends orders, and ends processes that are unused or have failed."""
        if now_s - self._polled_s < POLL_EVERY_S:
            return
        self._polled_s = now_s
        self._resender.poll(now_s)
        for process in list(self.processes):
            self._send_order(process, now_s)
            if process.announcement is None:
                process.announcement = read_announcement(Path(process.folder.name) / REPLAY_FILE)
                if process.announcement is not None:
                    self._make_ready(process, process.announcement, now_s)
            code = process.process.poll()
            if code is not None or (process.announcement is not None and now_s - process.used_s > IDLE_S):
                line = _last_line(process.log) or f"{process.what} tick {process.tick}: its process ended (code {code})"
                self._end(process, line)

    def _make_ready(self, process: ReplayProcess, announcement: dict[str, Any], now_s: float) -> None:
        """Creates the node map of a process that has announced that it shows its tick, and calls its callbacks."""
        process.used_s = now_s
        if process.what == "show":
            addresses, tiles = (announcement["address"],), (announcement["tiles_address"],)
            process.map = NodeMap(0, process.pass_key, addresses, tiles)
            self._on_shown(process.tick, process.map)
        callbacks, process.on_ready = process.on_ready, []
        for on_ready in callbacks:
            on_ready(announcement)

    def _end(self, process: ReplayProcess, line: str = "") -> None:
        """Ends a process, and answers its open orders and callbacks with an error; `line` is the error message."""
        error = RunError(line or f"tick {process.tick} is no longer shown: ask for it again")
        self.processes.remove(process)
        with suppress(OSError):
            process.process.terminate()
        if process.map is not None:
            self._on_closed(process.tick)
        for on_ready in process.on_ready:
            on_ready(error)
        for pending in process.orders:
            self._resender.end(pending.order.ticket)
            pending.on_settled(error)
        deadline_s = time.monotonic() + END_WITHIN_S
        while process.process.poll() is None and time.monotonic() < deadline_s:
            time.sleep(0.005)
        if process.process.poll() is None:
            process.process.kill()
        process.process.wait()
        process.folder.cleanup()

    def close(self) -> None:
        """Ends all processes."""
        for process in list(self.processes):
            self._end(process, "the gateway ends")


def _last_line(log: Path) -> str:
    """Returns the last line of a process's error output, which is its error message; empty if there is none."""
    try:
        lines = [line for line in log.read_text("utf-8", "replace").splitlines() if line.strip()]
    except OSError:
        return ""
    return lines[-1].removeprefix("umwelt replay: ")[:500] if lines else ""

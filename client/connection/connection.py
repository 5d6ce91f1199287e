"""The link to a gateway: one thread with one socket, which reconnects when the gateway is lost.

The gateway is the process of a running world that answers clients. A client subscribes to *tiles*: messages with the
visible beings, or the values of one layer, in a square of the world. A *topic* names a tile. The gateway sends only as
many tiles as the client has permitted by *credit* (`rate_limit.py`).

The link's thread owns the requests without an answer (`pending.py`) and the subscriptions (`subscriptions.py`); other
threads access them through `GatewayLink`.
"""

import queue
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from umwelt.agents.world_file import MAX_CELLS, MAX_SIDE_CELLS
from umwelt.client.connection.pending import NEVER_S, PendingRequests, Reply
from umwelt.client.connection.rate_limit import CreditLimit
from umwelt.client.connection.subscriptions import Subscriptions
from umwelt.cluster import (
    GATEWAY_FILE,
    KEEPER,
    LEVELS,
    Keys,
    Topic,
    TransportLimits,
    ZmqTransport,
    check_address,
    read_announcement,
    viewer_protocol,
)
from umwelt.sandbox.errors import RunError

TURN_S = 0.02
"""Maximum time in seconds that the link's thread waits for a message in one pass of its loop."""
HELLO_EVERY_S = 0.1
"""Seconds between two `Hello` messages while no gateway has answered."""
ALIVE_EVERY_S = 2.0
"""Seconds after the last credit or keep-alive message after which a keep-alive message is sent."""
LOST_AFTER_S = 4.0
"""Seconds without any message after which the gateway counts as lost."""
BYE_S = 0.02
"""Seconds to wait for the transmission of the last message before the socket is closed."""
MAX_MESSAGES_A_TURN = 256
"""Maximum number of messages that are processed in one pass of the loop."""
MAX_LAYERS = 256
"""Maximum number of layers that the gateway's announcement of the world may contain."""
MAX_BYTES_PER_S = 1e15
"""Upper limit of `bytes_per_s`."""
PLACE_COLUMNS = ["id", "y", "x"]
"""The columns of beings with which the tiles of each table ("plants", "monsters") must begin."""
LIMITS = TransportLimits(message_bytes=64 << 20, queued=1000)
"""Limits of the socket: maximum size of a message, and maximum number of queued messages."""


class GatewayLink:
    """A link to the gateway of a running world. All public methods can be called from any thread.

    `place` is the gateway's address, or a run's folder, whose `gateway.json` is read again when the gateway is lost.
    `keys` identify this client to a world that requires keys (None: no keys). `open` starts the link's thread; `close`
    ends it. `bytes_per_s` limits the average rate at which tiles arrive (None: no limit).
    """

    def __init__(self, place: str | Path, keys: Keys | None = None, bytes_per_s: float | None = None):
        self._place, self._keys = place, keys
        self.address = str(place)
        if _is_address(place):
            check_address(str(place))
        self._transport: ZmqTransport | None = None
        self._welcome: viewer_protocol.Welcome | None = None
        self._refusal = ""
        """Error message if the gateway cannot be used; empty otherwise."""
        self._status: dict[str, Any] = {}
        self._changed = threading.Condition()
        self._jobs: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        """Functions that other threads submitted, to be called by the link's thread."""
        self._is_welcome = self._is_closing = False
        """`_is_welcome`: whether the present gateway has answered a `Hello` with its announcement (`Welcome`)."""
        self._heard_s = self._hello_s = self._alive_s = NEVER_S
        """Monotonic times of the last message from the gateway, the last `Hello`, and the last credit or keep-alive."""
        self._requests = PendingRequests(self._send)
        limit = CreditLimit(_check_limit(bytes_per_s), time.monotonic())
        self._tiles = Subscriptions(self._send, self._changed, lambda: self._is_closing, limit)
        self._thread = threading.Thread(target=self._run, name="umwelt-viewer", daemon=True)

    def open(self, timeout_s: float) -> None:
        """Connects. Raises RunError if no gateway answers within `timeout_s`, or if the gateway cannot be used."""
        self._find()
        self._thread.start()
        with self._changed:
            self._changed.wait_for(lambda: self._welcome is not None or self._refusal, timeout_s)
        if self._welcome is None:
            self.close()
            fix = "see that the world runs there" + (" and that the keys are its own" if self._keys else "")
            raise RunError(self._refusal or f"{self.address}: no gateway answers: {fix}")

    def close(self) -> None:
        """Disconnects; requests that are not yet answered fail with RunError."""
        self._is_closing = True
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join()
        self.wake()

    @property
    def known(self) -> viewer_protocol.Welcome:
        """The gateway's announcement of the world: its size, species, layers, columns. Available once opened."""
        assert self._welcome is not None
        return self._welcome

    @property
    def bytes_per_s(self) -> float | None:
        """Limit of the average rate of tiles, in bytes per second; None for no limit. Can be set at any time."""
        return self._tiles.limit.bytes_per_s

    @bytes_per_s.setter
    def bytes_per_s(self, bytes_per_s: float | None) -> None:
        bound = _check_limit(bytes_per_s)

        def change() -> None:
            self._tiles.limit.set_limit(bound, time.monotonic())
            self._tiles.restart_credit()

        self._run_soon(change)

    @property
    def received_bytes(self) -> int:
        """Total size of all tiles that have arrived, in bytes."""
        return self._tiles.received_bytes

    # --- requests

    def ask(self, compose: Callable[[str], viewer_protocol.Message], once: bool = False) -> "Future[Reply]":
        """Sends a request and returns the future of its answer.

        `compose` is called with a new ticket (the unique id of the request) and returns the message, which is resent
        until it is answered. With `once` it is sent to one gateway only: the future fails if that gateway is lost.
        """
        future: Future[Reply] = Future()
        ticket = secrets.token_hex(16)
        message = compose(ticket)
        self._run_soon(lambda: self._requests.add(ticket, message, future, once))
        if self._is_closing:
            self._end()
        return future

    def do(self, task: viewer_protocol.Task) -> "Future[Reply]":
        """Sends a task and returns the future of its answer; resent until answered.

        A task is a call of a function by one of the world's processes (a node, or a worker beside it).
        """
        future: Future[Reply] = Future()

        def begin() -> None:
            self._requests.add(task.ticket, task, future)

        if len(self._requests):  # an answer will wake the thread soon, which then sends all new tasks in one message
            self._jobs.put(begin)
        else:
            self._run_soon(begin)
        if self._is_closing:
            self._end()
        return future

    def halt(self, tickets: Sequence[str]) -> None:
        """Cancels the tasks with these tickets; their results are no longer needed."""

        def cancel() -> None:
            self._requests.discard(tickets)
            self._send(viewer_protocol.CancelTasks(list(tickets)))

        self._run_soon(cancel)

    # --- tiles

    def watch(self, shown: int, topics: Sequence[Topic]) -> None:
        """Subscribes to tiles of the running world (`shown` is `LIVE`) or of a past tick.

        Each call needs a call of `unwatch` with the same arguments.
        """
        self._tiles.watch(shown, topics)

    def unwatch(self, shown: int, topics: Sequence[Topic]) -> None:
        """Ends a subscription; discards the tiles that no other subscription includes."""
        self._tiles.unwatch(shown, topics)

    def tile(self, shown: int, topic: Topic) -> tuple[int, list[bytes]] | None:
        """Returns the arrival number and the newest pieces of a tile; None before the first arrival.

        Arrivals of tiles are numbered from 1 on; the pieces are encoded rectangles of the tile.
        """
        return self._tiles.tile(shown, topic)

    def wait_for_tiles(
        self,
        shown: int,
        topics: Sequence[Topic],
        after: int,
        timeout_s: float | None,
        settle_s: float,
        is_cancelled: Callable[[], bool] = lambda: False,
    ) -> int:
        """Waits for any of these tiles to arrive after arrival number `after`, then up to `settle_s` for the others.

        Returns the number of the last arrival. Raises RunError after `timeout_s`, when the link is closed, and when the
        wait is cancelled (`is_cancelled` is called after each `wake`).
        """
        return self._tiles.wait(shown, topics, after, timeout_s, settle_s, self.address, is_cancelled)

    # --- status

    def wait_for_status(
        self,
        wanted: Callable[[dict[str, Any]], bool],
        timeout_s: float | None,
        is_cancelled: Callable[[], bool] = lambda: False,
    ) -> dict[str, Any]:
        """Waits for a status for which `wanted` is true and returns it. Raises RunError as `wait_for_tiles` does.

        A status is a dictionary with the keys of `answers.Status`; it is empty until the first one has arrived.
        """

        def is_over() -> bool:
            return self._is_closing or is_cancelled()

        with self._changed:
            if not self._changed.wait_for(lambda: is_over() or wanted(self._status), timeout_s):
                tick = self._status.get("tick")
                reached = "" if tick is None else f", tick {tick} is reached"
                raise RunError(f"{self.address}: not within {timeout_s:g} s{reached}: see whether the world is paused")
            if is_over():
                raise RunError(f"{self.address}: the connection is closed: connect again")
            return self._status

    def latest(self) -> tuple[dict[str, Any], float]:
        """Returns the newest status (empty before the first) and the seconds since the last message of the gateway."""
        with self._changed:
            return self._status, time.monotonic() - self._heard_s

    def wake(self) -> None:
        """Makes all waiting threads check their conditions again."""
        with self._changed:
            self._changed.notify_all()

    # --- the thread

    def _run_soon(self, job: Callable[[], None]) -> None:
        """Queues `job` for the link's thread and wakes that thread."""
        self._jobs.put(job)
        if self._transport is not None:
            self._transport.wake()

    def _run_jobs(self) -> None:
        """Calls the functions that other threads have submitted."""
        with suppress(queue.Empty):
            while True:
                self._jobs.get_nowait()()

    def _send(self, message: viewer_protocol.Message) -> bool:
        """Passes a message to the transport; returns whether the transport accepted it."""
        return self._transport is not None and self._transport.send(self.address, viewer_protocol.encode(message))

    def _run(self) -> None:
        """Runs the link's thread: opens the socket and calls `_turn` until the link is closed."""
        with ZmqTransport(b"", None, self._keys, KEEPER, limits=LIMITS) as transport:
            self._transport = transport
            while not self._is_closing:
                self._turn(transport)
            if self._send(viewer_protocol.Goodbye()):
                time.sleep(BYE_S)
        self._end()

    def _end(self) -> None:
        """Fails all requests, including those submitted after the link was closed."""
        self._run_jobs()
        self._requests.fail_all(RunError(f"{self.address}: the connection is closed: connect again"))

    def _turn(self, transport: ZmqTransport) -> None:
        """Runs one pass of the thread's loop: receives messages, then sends what is due."""
        incoming = transport.receive(TURN_S)
        for _ in range(MAX_MESSAGES_A_TURN):
            if incoming is None:
                break
            self._take(incoming.frames)
            incoming = transport.receive(0.0)
        now_s = time.monotonic()
        if self._is_welcome and now_s - self._heard_s > LOST_AFTER_S:
            self._lose_gateway()
        if not self._is_welcome and now_s - self._hello_s >= HELLO_EVERY_S:
            self._greet(transport, now_s)
        self._run_jobs()
        if self._is_welcome:
            self._requests.poll(now_s)
            if self._tiles.poll(now_s):
                self._alive_s = now_s
            if now_s - self._alive_s >= ALIVE_EVERY_S:
                self._alive_s = now_s
                self._send(viewer_protocol.KeepAlive())

    def _greet(self, transport: ZmqTransport, now_s: float) -> None:
        """Sends a `Hello` to the gateway, whose address it first reads again from the run's folder."""
        self._hello_s = now_s
        with suppress(RunError):
            self._find()
        if now_s - self._heard_s > LOST_AFTER_S:  # messages queued for the lost gateway would arrive too late
            transport.forget(self.address)
            self._heard_s = now_s
        self._send(viewer_protocol.Hello(viewer_protocol.PROTOCOL_VERSION))

    def _find(self) -> None:
        """Reads the gateway's address from the run's folder. Raises RunError if none is announced there."""
        if _is_address(self._place):
            return
        path = Path(self._place)
        announcement = read_announcement(path / GATEWAY_FILE)
        if announcement is None or not isinstance(announcement.get("address"), str):
            fix = f"start it with: umwelt resume {path}" if path.is_dir() else "give a run's folder, or tcp://HOST:PORT"
            raise RunError(f"{path}: no world runs there: {fix}")
        if announcement.get("keys") and self._keys is None:
            raise RunError(f"{path}: its gateway asks for keys: give the folder with yours")
        if announcement["address"] != self.address:
            if self._transport is not None:
                self._transport.forget(self.address)
            self.address = announcement["address"]

    def _lose_gateway(self) -> None:
        """Marks the gateway as lost, so that `Hello` is sent again.

        Called if the gateway has sent nothing for `LOST_AFTER_S` seconds, or has sent `UnknownViewer`, which means that
        it does not know this client (for example after a restart).
        """
        self._is_welcome, self._hello_s = False, NEVER_S
        self._tiles.gateway_lost()
        self._requests.gateway_lost(self.address)

    def _take(self, frames: Sequence[bytes]) -> None:
        """Processes the frames of one message from the gateway; ignores a malformed message."""
        try:
            message, raw = viewer_protocol.decode(frames)
        except ValueError:
            return
        self._heard_s = time.monotonic()
        match message:
            case viewer_protocol.Tile():
                self._tiles.take(message, raw, sum(map(len, frames)), self._heard_s)
            case viewer_protocol.Status():
                with suppress(msgspec.DecodeError), self._changed:
                    self._status = msgspec.json.decode(message.content, type=dict[str, Any])
                    self._changed.notify_all()
            case viewer_protocol.Answer():
                if not self._requests.settle(message, raw, self.address) and not message.ticket:
                    self._refuse(message.line)
            case viewer_protocol.UnknownViewer():
                self._lose_gateway()
            case viewer_protocol.Welcome():
                self._take_welcome(message)

    def _take_welcome(self, welcome: viewer_protocol.Welcome) -> None:
        """Stores the gateway's announcement if it is valid; otherwise treats the gateway as unusable."""
        if problem := welcome_problem(welcome, self._welcome):
            fix = "see that a world of this version of umwelt runs there"
            self._refuse(f"{self.address}: the gateway announces {problem}: {fix}")
            return
        with self._changed:
            self._welcome, is_first = welcome, not self._is_welcome
            self._is_welcome = True
            self._changed.notify_all()
        if is_first:
            self._tiles.gateway_found()

    def _refuse(self, line: str) -> None:
        """Stores the reason why the gateway cannot be used, with which `open` fails."""
        with self._changed:
            self._refusal = line
            self._changed.notify_all()


def welcome_problem(welcome: viewer_protocol.Welcome, known: viewer_protocol.Welcome | None = None) -> str:
    """Returns what is wrong with an announcement, or "" if it is valid.

    An announcement is invalid if its values are impossible, or if it does not describe the same world as `known`.
    """
    height, width = welcome.height, welcome.width
    if not (min(height, width) >= 1 and max(height, width) <= MAX_SIDE_CELLS and height * width <= MAX_CELLS):
        return f"a world of {width} x {height} cells"
    if welcome.layers[:1] != ["beings"] or len(welcome.layers) > MAX_LAYERS:
        return "invalid layers"
    if welcome.levels != list(LEVELS) or welcome.max_tiles < 1:
        return "invalid tiles"
    if welcome.looks.keys() != welcome.columns.keys() or any(
        names[: len(PLACE_COLUMNS)] != PLACE_COLUMNS for names in welcome.looks.values()
    ):
        return "tables without places"
    if known is not None and _shape_of(welcome) != _shape_of(known):
        return "another world than before"
    return ""


def _shape_of(welcome: viewer_protocol.Welcome) -> tuple[int, int, list[str], dict[str, list[str]]]:
    """Returns the properties that are equal in all announcements of one world.

    They are the height, the width, the names of the layers, and the names of the visible columns by table.
    """
    return welcome.height, welcome.width, welcome.layers, welcome.looks


def _check_limit(bytes_per_s: float | None) -> float | None:
    """Returns `bytes_per_s`. Raises RunError if it is neither None nor a positive number."""
    if bytes_per_s is not None and not 0 < bytes_per_s < MAX_BYTES_PER_S:  # false for nan, which is therefore refused
        raise RunError(f"bytes_per_s = {bytes_per_s}: give more than 0, or None for no limit")
    return bytes_per_s


def _is_address(place: str | Path) -> bool:
    """Returns whether `place` is a gateway's address, not a run's folder."""
    return isinstance(place, str) and "://" in place

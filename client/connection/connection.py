"""The thread and socket behind a connection: asks again, finds a lost gateway, keeps the newest tiles."""

import queue
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from umwelt.agents.world_file import MAX_CELLS, MAX_SIDE_CELLS
from umwelt.client.connection.rate_limit import Allowance
from umwelt.cluster.process import read_announcement
from umwelt.cluster.settings import GATEWAY_FILE
from umwelt.cluster.view.tiles import LEVELS, Topic
from umwelt.cluster.wire import viewer_protocol
from umwelt.cluster.wire.keys import KEEPER, Keys
from umwelt.cluster.wire.transport import Limits, ZmqTransport, check_address
from umwelt.sandbox.errors import RunError

TURN_S = 0.02
HELLO_AGAIN_S = 0.1
ASK_AGAIN_S = 1.0
ALIVE_S = 2.0
LOST_AFTER_S = 4.0
BYE_S = 0.02
MAX_LAYERS = 256
PLACED = ["id", "y", "x"]
LIMITS = Limits(message_bytes=64 << 20, queued=1000)
MAX_BUNDLED, MAX_BUNDLED_BYTES = 64, 512 << 10
"""Tasks that go together, and about how many bytes their arguments may have in all."""
LATEST_AGAIN_S, SOON_S = 8.0, 0.1


@dataclass
class Reply:
    """An answer: its tick, its JSON, its raw frame."""

    tick: int
    content: dict[str, Any]
    raw: bytes


@dataclass
class _Asked:
    message: viewer_protocol.Message | viewer_protocol.Task
    future: "Future[Reply]"
    once: bool
    said_s: float = -1e9
    said: bool = False
    again_s: float = ASK_AGAIN_S


class Core:
    """See the page's top. `known` is what the gateway told of the world.

    `place` is the gateway's address, or a run's folder, whose `gateway.json` is read anew whenever the gateway is lost.
    No more tiles come than `bytes_per_s` on the average (None: as many as can be taken); `received_bytes` are those of
    all tiles that have come.
    """

    def __init__(self, place: str | Path, keys: Keys | None = None, bytes_per_s: float | None = None):
        self._place, self._keys = place, keys
        self._allowance = Allowance(_checked_bound(bytes_per_s), time.monotonic())
        self.received_bytes = 0
        self.address = str(place)
        if _is_address(place):
            check_address(str(place))
        self._transport: ZmqTransport | None = None
        self._welcome: viewer_protocol.Welcome | None = None
        self._line = ""
        self._status: dict[str, Any] = {}
        self._changed = threading.Condition()
        self._outbox: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._asked: dict[str, _Asked] = {}
        self._due_s = 0.0
        """When one of them is to be said, or said again."""
        self._watched: dict[int, Counter[bytes]] = {}
        self._to_say: dict[int, None] = {}
        """Those of which the gateway has not been told what is watched now."""
        self._dropped: dict[int, set[bytes]] = {}
        self._tiles: dict[tuple[int, bytes], tuple[int, list[bytes]]] = {}
        self._arrivals = 0
        self._is_in = self._is_counting = False
        self._closing = False
        self._heard_s = self._hello_s = self._alive_s = -1e9
        self._thread = threading.Thread(target=self._run, name="umwelt-viewer", daemon=True)

    # --- for those who use it, in any thread

    def open(self, timeout_s: float) -> None:
        """Connect; `RunError` where no gateway answers in time."""
        self._find()
        self._thread.start()
        with self._changed:
            self._changed.wait_for(lambda: self._welcome is not None or self._line, timeout_s)
        if self._welcome is None:
            self.close()
            mend = "see that the world runs there" + (" and that the keys are its own" if self._keys else "")
            raise RunError(self._line or f"{self.address}: no gateway answers: {mend}")

    @property
    def known(self) -> viewer_protocol.Welcome:
        """What the gateway told of the world."""
        assert self._welcome is not None
        return self._welcome

    @property
    def bytes_per_s(self) -> float | None:
        """How many bytes of tiles may come a second, on the average; None: no bound. May be set at any time."""
        return self._allowance.bytes_per_s

    @bytes_per_s.setter
    def bytes_per_s(self, bytes_per_s: float | None) -> None:
        bound = _checked_bound(bytes_per_s)

        def change() -> None:
            self._allowance.bound(bound, time.monotonic())
            self._begin_anew()

        self._hand_over(change)

    def close(self) -> None:
        """End the thread; what waits for an answer gets a `RunError`."""
        self._closing = True
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join()
        self.wake()

    def ask(self, made: Callable[[str], viewer_protocol.Message], once: bool = False) -> "Future[Reply]":
        """Say a message with a ticket until it is answered; with `once`, not to another gateway."""
        future: Future[Reply] = Future()
        ticket = secrets.token_hex(16)
        asked = _Asked(made(ticket), future, once)

        def begin() -> None:
            self._asked[ticket], self._due_s = asked, 0.0

        self._hand_over(begin)
        if self._closing:
            self._end()
        return future

    def do(self, task: viewer_protocol.Task) -> "Future[Reply]":
        """Have a task done, however often it has to be said."""
        future: Future[Reply] = Future()

        def begin() -> None:
            self._asked[task.ticket], self._due_s = _Asked(task, future, False), 0.0

        if self._asked:  # the next answer comes soon, and several tasks then go together
            self._outbox.put(begin)
        else:
            self._hand_over(begin)
        if self._closing:
            self._end()
        return future

    def halt(self, tickets: Sequence[str]) -> None:
        """Nobody waits for these tasks any more."""

        def say() -> None:
            for ticket in tickets:
                self._asked.pop(ticket, None)
            if self._transport is not None:
                self._transport.send(self.address, viewer_protocol.encode(viewer_protocol.CancelTasks(list(tickets))))

        self._hand_over(say)

    def watch(self, shown: int, topics: Sequence[Topic]) -> None:
        """Watch these tiles too."""
        self._count(shown, [topic.packed() for topic in topics], 1)

    def unwatch(self, shown: int, topics: Sequence[Topic]) -> None:
        """Watch these tiles no more, unless somebody else here does."""
        self._count(shown, [topic.packed() for topic in topics], -1)

    def _count(self, shown: int, topics: list[bytes], by: int) -> None:
        with self._changed:
            counter = self._watched.setdefault(shown, Counter())
            for topic in topics:
                counter[topic] += by
                if counter[topic] <= 0:
                    del counter[topic]
                    self._tiles.pop((shown, topic), None)
                    self._dropped.setdefault(shown, set()).add(topic)
            self._to_say[shown] = None

    def tile(self, shown: int, topic: Topic) -> tuple[int, list[bytes]] | None:
        """The newest pieces of a tile, and the number of their arrival."""
        with self._changed:
            return self._tiles.get((shown, topic.packed()))

    def wait_for_tiles(
        self, shown: int, topics: Sequence[Topic], after: int, timeout_s: float | None, settle_s: float
    ) -> int:
        """Until one of these tiles is newer than an arrival, and a little longer for the others; gives the last one."""
        keys = [(shown, topic.packed()) for topic in topics]

        def newer() -> int:
            return sum(1 for key in keys if key in self._tiles and self._tiles[key][0] > after)

        with self._changed:
            if not self._changed.wait_for(lambda: newer() or self._closing, timeout_s):
                raise RunError(f"{self.address}: nothing new to see within {timeout_s:g} s: see whether the world runs")
            if self._closing:
                raise RunError(f"{self.address}: the connection is closed")
            # the first view waits for all of its tiles
            self._changed.wait_for(lambda: newer() == len(keys) or self._closing, settle_s if after else 20 * settle_s)
            return max(self._tiles[key][0] for key in keys if key in self._tiles)

    def wait_for_status(self, wanted: Callable[[dict[str, Any]], bool], timeout_s: float | None) -> dict[str, Any]:
        """The status, as soon as it is as wanted."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._closing or wanted(self._status), timeout_s):
                tick = self._status.get("tick")
                where = "" if tick is None else f", tick {tick} is reached"
                raise RunError(f"{self.address}: not within {timeout_s:g} s{where}: see whether the world is paused")
            if self._closing:
                raise RunError(f"{self.address}: the connection is closed")
            return self._status

    def latest(self) -> tuple[dict[str, Any], float]:
        """The newest status, empty before the first one, and for how many seconds nothing was heard."""
        with self._changed:
            return self._status, time.monotonic() - self._heard_s

    def wake(self) -> None:
        """Let those who wait look again."""
        with self._changed:
            self._changed.notify_all()

    def _hand_over(self, deed: Callable[[], None]) -> None:
        """Have the thread do something, at once."""
        self._outbox.put(deed)
        if self._transport is not None:
            self._transport.wake()

    # --- the thread

    def _run(self) -> None:
        with ZmqTransport(b"", None, self._keys, KEEPER, limits=LIMITS) as transport:
            self._transport = transport
            while not self._closing:
                self._turn(transport)
            if transport.send(self.address, viewer_protocol.encode(viewer_protocol.Goodbye())):
                time.sleep(BYE_S)
        self._end()

    def _end(self) -> None:
        with suppress(queue.Empty):
            while True:
                self._outbox.get_nowait()()
        for asked in self._asked.values():
            if not asked.future.done():
                asked.future.set_exception(RunError(f"{self.address}: the connection is closed"))
        self._asked.clear()

    def _turn(self, transport: ZmqTransport) -> None:
        incoming = transport.receive(TURN_S)
        for _ in range(256):
            if incoming is None:
                break
            self._take(incoming.frames)
            incoming = transport.receive(0.0)
        now_s = time.monotonic()
        if self._is_in and now_s - self._heard_s > LOST_AFTER_S:
            self._lost()
        if not self._is_in and now_s - self._hello_s >= HELLO_AGAIN_S:
            self._hello(transport, now_s)
        with suppress(queue.Empty):
            while True:
                self._outbox.get_nowait()()
        if self._is_in:
            self._say(now_s)

    def _hello(self, transport: ZmqTransport, now_s: float) -> None:
        self._hello_s = now_s
        with suppress(RunError):
            self._find()
        if now_s - self._heard_s > LOST_AFTER_S:  # what lies on an old line would come too late
            transport.forget(self.address)
            self._heard_s = now_s
        transport.send(self.address, viewer_protocol.encode(viewer_protocol.Hello(viewer_protocol.PROTOCOL_VERSION)))

    def _find(self) -> None:
        """Where the gateway is now."""
        if _is_address(self._place):
            return
        path = Path(self._place)
        found = read_announcement(path / GATEWAY_FILE)
        if found is None or not isinstance(found.get("address"), str):
            mend = (
                f"start it with: umwelt resume {path}" if path.is_dir() else "give a run's folder, or tcp://HOST:PORT"
            )
            raise RunError(f"{path}: no world runs there: {mend}")
        if found.get("keys") and self._keys is None:
            raise RunError(f"{path}: its gateway asks for keys: give the folder with yours")
        if found["address"] != self.address:
            if self._transport is not None:
                self._transport.forget(self.address)
            self.address = found["address"]

    def _lost(self) -> None:
        """The gateway is gone or has forgotten us: begin anew with the next one."""
        self._is_in, self._is_counting, self._hello_s, self._due_s = False, False, -1e9, 0.0
        for ticket, asked in list(self._asked.items()):
            asked.said_s, asked.again_s = -1e9, ASK_AGAIN_S
            if asked.once and asked.said:
                del self._asked[ticket]
                line = f"{self.address}: the gateway was lost before it answered: look whether it was done"
                _fail(asked, RunError(line))

    def _say(self, now_s: float) -> None:
        assert self._transport is not None
        if now_s >= self._due_s:
            self._say_asked(now_s)
        if self._is_counting and (tiles := self._allowance.more(now_s)):
            if self._transport.send(self.address, viewer_protocol.encode(viewer_protocol.Credit(tiles))):
                self._alive_s = now_s
            else:
                self._allowance.not_given(tiles)
        if self._is_counting and self._allowance.doubtful(now_s):
            self._begin_anew()
        if self._to_say:
            self._say_watched(now_s)
        if now_s - self._alive_s >= ALIVE_S:
            self._alive_s = now_s
            self._transport.send(self.address, viewer_protocol.encode(viewer_protocol.KeepAlive()))

    def _say_asked(self, now_s: float) -> None:
        """What was not answered, as often as it is to be said; tasks in bundles."""
        assert self._transport is not None
        bundle: list[_Asked] = []
        for ticket, asked in list(self._asked.items()):
            if asked.future.cancelled():
                del self._asked[ticket]
            elif now_s - asked.said_s >= asked.again_s:
                if isinstance(asked.message, viewer_protocol.Task):
                    bundle.append(asked)
                    continue
                asked.said_s = now_s
                asked.said = self._transport.send(self.address, viewer_protocol.encode(asked.message)) or asked.said
        self._say_tasks(bundle, now_s)
        self._due_s = min((asked.said_s + asked.again_s for asked in self._asked.values()), default=now_s + ALIVE_S)

    def _say_tasks(self, due: Sequence[_Asked], now_s: float) -> None:
        """Tasks go in bundles, and are said again ever less often: most are being done."""
        assert self._transport is not None
        while due:
            bundle: list[Any] = []
            size = 0
            for asked in due[:MAX_BUNDLED]:
                size += len(asked.message.arguments)  # type: ignore[union-attr]
                if bundle and size > MAX_BUNDLED_BYTES:
                    break
                bundle.append(asked.message)
            said = self._transport.send(self.address, viewer_protocol.encode(viewer_protocol.Tasks(bundle)))
            for asked in due[: len(bundle)]:
                asked.said_s = now_s if said else now_s - asked.again_s + SOON_S
                asked.again_s = min(2 * asked.again_s, LATEST_AGAIN_S) if said else asked.again_s
            due = due[len(bundle) :]

    def _say_watched(self, now_s: float) -> None:
        """All changes of a turn at once: each time, the count begins anew."""
        assert self._transport is not None
        with self._changed:
            changed, self._to_say = self._to_say, {}
            watched = {shown: list(self._watched.get(shown, ())) for shown in changed}
            dropped = {shown: self._dropped.pop(shown, set()) for shown in changed}
        credit, self._is_counting = self._allowance.anew(now_s), True
        for shown, topics in watched.items():
            # what was dropped and is wanted again has to be sent again: the gateway takes us to have it
            kept = [topic for topic in topics if topic not in dropped[shown]]
            for said in [kept, topics] if len(kept) < len(topics) else [topics]:
                self._transport.send(self.address, viewer_protocol.encode(viewer_protocol.Watch(said, credit, shown)))

    def _begin_anew(self) -> None:
        """Say anew what is watched of something, and with it the credit."""
        with self._changed:
            shown = next((shown for shown, topics in self._watched.items() if topics), None)
            if shown is not None:
                self._to_say[shown] = None

    def _take(self, frames: Sequence[bytes]) -> None:
        try:
            message, raw = viewer_protocol.decode(frames)
        except ValueError:
            return
        self._heard_s = time.monotonic()
        if isinstance(message, viewer_protocol.Tile):
            size = sum(map(len, frames))
            self._allowance.took(size, self._heard_s)
            self.received_bytes += size
            with self._changed:
                if message.topic in self._watched.get(message.shown, ()):
                    self._arrivals += 1
                    self._tiles[message.shown, message.topic] = (self._arrivals, raw)
                    self._changed.notify_all()
        elif isinstance(message, viewer_protocol.Status):
            with suppress(msgspec.DecodeError), self._changed:
                self._status = msgspec.json.decode(message.content, type=dict[str, Any])
                self._changed.notify_all()
        elif isinstance(message, viewer_protocol.Answer):
            self._answered(message, raw)
        elif isinstance(message, viewer_protocol.UnknownViewer):
            self._lost()
        elif isinstance(message, viewer_protocol.Welcome):
            if what := strange(message, self._welcome):
                with self._changed:
                    self._line = f"{self.address}: tells of {what}: see that a world of this umwelt runs there"
                    self._changed.notify_all()
                return
            with self._changed:
                self._welcome, first = message, not self._is_in
                self._is_in = True
                self._changed.notify_all()
            if first:
                with self._changed:
                    self._to_say |= dict.fromkeys(self._watched)

    def _answered(self, answer: viewer_protocol.Answer, raw: list[bytes]) -> None:
        asked = self._asked.pop(answer.ticket, None)
        if asked is None:
            if not answer.ticket:
                with self._changed:
                    self._line = answer.line
                    self._changed.notify_all()
            return
        if answer.line:
            _fail(asked, RunError(answer.line))
            return
        try:
            content = msgspec.json.decode(answer.content, type=dict[str, Any])
        except msgspec.DecodeError as error:
            _fail(asked, RunError(f"{self.address}: an answer that is none: {error}"))
            return
        if asked.future.set_running_or_notify_cancel():
            asked.future.set_result(Reply(answer.tick, content, raw[0] if raw else b""))


def strange(told: viewer_protocol.Welcome, known: viewer_protocol.Welcome | None = None) -> str:
    """What is told that no world can be, or not the one that is known; nothing for a world."""
    height, width = told.height, told.width
    if not (min(height, width) >= 1 and max(height, width) <= MAX_SIDE_CELLS and height * width <= MAX_CELLS):
        return f"a world of {width} x {height} cells"
    if told.layers[:1] != ["beings"] or len(told.layers) > MAX_LAYERS:
        return "layers that are none"
    if told.levels != list(LEVELS) or told.max_tiles < 1:
        return "tiles that are none"
    if told.looks.keys() != told.columns.keys() or any(names[:3] != PLACED for names in told.looks.values()):
        return "tables without places"
    seen = (known.height, known.width, known.layers, known.looks) if known is not None else None
    return "" if seen in (None, (height, width, told.layers, told.looks)) else "another world than before"


def _fail(asked: _Asked, error: RunError) -> None:
    if asked.future.set_running_or_notify_cancel():
        asked.future.set_exception(error)


def _checked_bound(bytes_per_s: float | None) -> float | None:
    if bytes_per_s is not None and not 0 < bytes_per_s < 1e15:  # nan neither
        raise RunError(f"bytes_per_s = {bytes_per_s}: give more than 0, or None for no bound")
    return bytes_per_s


def _is_address(place: str | Path) -> bool:
    return isinstance(place, str) and "://" in place

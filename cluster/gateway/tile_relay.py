"""Tiles on their way from nodes to viewers: each is taken once, kept once, and shared by all who watch it.

A viewer gives credit for so many tiles; what it is too slow for is not queued but replaced, so that it gets the newest
of each tile, and holds nobody up. All sending together takes a share of the time; every viewer has its turn.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import zmq

from umwelt.cluster.view.tiles import MAX_BYTES, Topic, read_head
from umwelt.cluster.wire.keys import NODE, WORLD, Keys, unwritten
from umwelt.cluster.wire.transport import ADDRESS_WITH_KEY, check_address
from umwelt.cluster.wire.viewer_protocol import LIVE, Tile, encode
from umwelt.sandbox.errors import RunError
from umwelt.sandbox.region import Rectangle, Torus, images

MAX_TILES = 400
"""What one viewer may watch at once."""
MAX_CREDIT = 1000
MAX_PIECES = 60
SHARE = 0.1
"""Of one core: what the gateway's process may spend before tiles wait."""
MAX_ALLOWANCE_S = 0.05
TAKEN_A_TURN = 500
SENT_A_TURN = 500
MIN_A_S, MIN_AT_ONCE = 700.0, 8.0
"""So many tiles go out even where commands and questions have taken all the time; however often somebody speaks."""
STALLED_S = 0.25
VIEWER_BYTES_A_S, VIEWER_BYTES_AT_ONCE = 8e6, 16e6


class Map(NamedTuple):
    """Where a world, or a shown tick of it, can be asked and seen."""

    epoch: int
    pass_key: bytes
    doors: tuple[str, ...]
    tiles: tuple[str, ...]
    rectangles: tuple[tuple[int, int, int, int], ...] = ()
    """What each owns; nothing where one owns all."""

    def owners(self, wanted: tuple[int, int, int, int] | None, torus: Torus) -> list[int]:
        """Those who own something of a rectangle."""
        if wanted is None or not self.rectangles:
            return list(range(len(self.doors)))
        window = Rectangle(*wanted)
        owned = (next(images(window, Rectangle(*one), torus), None) for one in self.rectangles)
        return [which for which, seen in enumerate(owned) if seen is not None]


@dataclass(eq=False)
class Kept:
    """The newest pieces of a tile, and who watches it."""

    topic: bytes
    shown: int
    watchers: dict["Eye", None] = field(default_factory=dict)
    pieces: dict[tuple[int, int, int, int], bytes] = field(default_factory=dict)
    frames: list[bytes] | None = None
    """The whole message, made for the first who gets it."""
    size: int = 0

    def take(self, rectangle: tuple[int, int, int, int], frame: bytes) -> None:
        """Put a piece in the place of what it overlaps: after a new map, rectangles are others."""
        if rectangle not in self.pieces:
            new = Rectangle(*rectangle)
            for old in [old for old in self.pieces if new.shared(Rectangle(*old))]:
                del self.pieces[old]
        self.pieces[rectangle] = frame
        self.frames = None

    def message(self) -> list[bytes]:
        """The frames that go to viewers."""
        if self.frames is None:
            pieces = list(self.pieces.values())[:MAX_PIECES]
            self.frames = encode(Tile(self.topic, self.shown), pieces)
            self.size = sum(map(len, self.frames))
        return self.frames


@dataclass(eq=False)
class Eye:
    """What one viewer watches."""

    sender: bytes
    credit: int = 0
    watched: dict[int, dict[bytes, None]] = field(default_factory=dict)
    waiting: OrderedDict[Kept, None] = field(default_factory=OrderedDict)
    """Tiles of which there is a newer one than the viewer has."""
    stalled_until_s: float = 0.0
    bytes_left: float = VIEWER_BYTES_AT_ONCE
    counted_s: float = 0.0

    @property
    def count(self) -> int:
        return sum(map(len, self.watched.values()))


class Source:
    """Where tiles come from: the publishers of a map."""

    def __init__(self, context: zmq.Context, keys: Keys | None, shown: int):
        self.shown, self._keys, self._context = shown, keys, context
        self.tiles: dict[bytes, Kept] = {}
        self.malformed = 0
        self._connected: dict[str, str] = {}
        self._socket = context.socket(zmq.SUB)
        for option, value in (
            (zmq.LINGER, 0),
            (zmq.RCVHWM, 1000),
            (zmq.MAXMSGSIZE, MAX_BYTES),
            (zmq.RECONNECT_IVL, 50),
            (zmq.RECONNECT_IVL_MAX, 500),
            (zmq.HANDSHAKE_IVL, 2000),
        ):
            self._socket.set(option, value)

    def point_to(self, addresses: Iterable[str]) -> None:
        """Listen to these publishers, and no more to others."""
        wanted = {address for address in addresses if address}
        for address in [one for one in self._connected if one not in wanted]:
            self._disconnect(address)
        for address in wanted - self._connected.keys():
            self._connect(address)

    def _connect(self, address: str) -> None:
        parts = ADDRESS_WITH_KEY.fullmatch(address)
        endpoint, key = (parts[1], unwritten(parts[2])) if parts else (address, b"")
        if self._keys is not None:
            key = key or self._keys.world_public
            if self._keys.roles.get(key) not in (NODE, WORLD):
                return
            self._socket.curve_publickey, self._socket.curve_secretkey = self._keys.public, self._keys.secret
            self._socket.curve_serverkey = key
        try:
            check_address(endpoint)
            self._socket.set(zmq.IPV6, int("[" in endpoint))
            self._socket.connect(endpoint)
        except (RunError, zmq.ZMQError):
            return
        self._connected[address] = endpoint

    def _disconnect(self, address: str) -> None:
        with suppress(zmq.ZMQError):  # gone already
            self._socket.disconnect(self._connected.pop(address))

    def kept(self, topic: bytes) -> Kept:
        """The tile of a topic, subscribed to from now on."""
        if topic not in self.tiles:
            self.tiles[topic] = Kept(topic, self.shown)
            self._socket.subscribe(topic)
        return self.tiles[topic]

    def drop(self, kept: Kept) -> None:
        """Nobody watches a tile any more."""
        del self.tiles[kept.topic]
        self._socket.unsubscribe(kept.topic)

    def take(self) -> Kept | None:
        """Take in one piece; None if nothing came. A tile without watchers is given for what is of no use."""
        try:
            frames = self._socket.recv_multipart(zmq.NOBLOCK)
        except zmq.ZMQError:
            return None
        kept = self.tiles.get(frames[0])
        try:
            if kept is None or len(frames) != 2:
                raise ValueError("nobody asked for it")
            head, _ = read_head(frames[1])
            kept.take(head.rectangle, frames[1])
        except ValueError:
            self.malformed += kept is not None
            return Kept(b"", self.shown)
        return kept

    def close(self) -> None:
        """Close the line to the publishers."""
        self._socket.close(linger=0)


class Desk:
    """See the page's top. `meter` is processor time spent so far; `send(to, frames)` never blocks."""

    def __init__(
        self,
        keys: Keys | None,
        send: Callable[[bytes, list[Any]], bool],
        clock: Callable[[], float] = time.monotonic,
        meter: Callable[[], float] = time.thread_time,
    ):
        self._keys, self._send, self._clock, self._meter = keys, send, clock, meter
        self._context = zmq.Context()
        self.sources: dict[int, Source] = {LIVE: Source(self._context, keys, LIVE)}
        self.counts = {"taken": 0, "sent": 0, "bytes": 0}
        self._turn: OrderedDict[Eye, None] = OrderedDict()
        """Those for whom something waits and who have credit, in the order of their turns."""
        self._allowance_s, self._least = MAX_ALLOWANCE_S, MIN_AT_ONCE
        self._spent_s, self._turned_s = meter(), clock()

    def point_to(self, shown: int, found: Map) -> None:
        """Where the tiles of the running world, or of a shown tick, come from now."""
        if shown not in self.sources:
            self.sources[shown] = Source(self._context, self._keys, shown)
        self.sources[shown].point_to(found.tiles)

    def drop(self, shown: int, eyes: Iterable[Eye]) -> None:
        """A shown tick is closed."""
        source = self.sources.pop(shown, None)
        if source is not None:
            for eye in eyes:
                self._unwatch(eye, source, list(eye.watched.pop(shown, ())))
            source.close()

    def watch(self, eye: Eye, shown: int, topics: list[bytes], credit: int) -> None:
        """Let a viewer watch these tiles, and no others of that source. `ValueError` for what cannot be watched."""
        source = self.sources.get(shown)
        if source is None:
            raise ValueError(f"tick {shown} is not shown: ask for it first")
        others = eye.count - len(eye.watched.get(shown, ()))
        if len(topics) + others > MAX_TILES:
            raise ValueError(f"{len(topics) + others} tiles: at most {MAX_TILES} at once: use a coarser level")
        for topic in topics:
            Topic.read(topic)
        before, after = eye.watched.get(shown, {}), dict.fromkeys(topics)
        eye.watched[shown] = after
        self._unwatch(eye, source, [topic for topic in before if topic not in after])
        for topic in after:
            kept = source.kept(topic)
            kept.watchers[eye] = None
            if kept.pieces and topic not in before:
                eye.waiting[kept] = None
        eye.credit = max(0, min(credit, MAX_CREDIT))
        self._ready(eye)

    def _unwatch(self, eye: Eye, source: Source, topics: list[bytes]) -> None:
        for topic in topics:
            kept = source.tiles.get(topic)
            if kept is not None:
                kept.watchers.pop(eye, None)
                eye.waiting.pop(kept, None)
                if not kept.watchers:
                    source.drop(kept)

    def credit(self, eye: Eye, tiles: int) -> None:
        """A viewer can take more tiles."""
        eye.credit = max(0, min(eye.credit + tiles, MAX_CREDIT))
        self._ready(eye)

    def leave(self, eye: Eye) -> None:
        """A viewer is gone."""
        for shown, topics in eye.watched.items():
            if shown in self.sources:
                self._unwatch(eye, self.sources[shown], list(topics))
        eye.watched.clear()
        eye.waiting.clear()
        self._turn.pop(eye, None)

    def _ready(self, eye: Eye) -> None:
        if eye.waiting and eye.credit > 0:
            self._turn.setdefault(eye, None)

    def turn(self) -> None:
        """Take in what came, and send as much as may be sent."""
        now_s, spent_s = self._clock(), self._meter()
        earned_s = SHARE * (now_s - self._turned_s) - (spent_s - self._spent_s)
        self._allowance_s = max(-MAX_ALLOWANCE_S, min(MAX_ALLOWANCE_S, self._allowance_s + earned_s))
        self._least = min(MIN_AT_ONCE, self._least + MIN_A_S * (now_s - self._turned_s))
        self._turned_s, self._spent_s = now_s, spent_s
        for source in self.sources.values():
            for _ in range(TAKEN_A_TURN):
                kept = source.take()
                if kept is None:
                    break
                self.counts["taken"] += 1
                for eye in kept.watchers:
                    eye.waiting[kept] = None
                    if eye.credit > 0:
                        self._turn[eye] = None
        for _ in range(SENT_A_TURN):
            if not self._turn or (self._least < 1 and self._allowance_s < self._meter() - self._spent_s):
                return
            self._least = max(0.0, self._least - 1)
            self._serve(now_s)

    def _serve(self, now_s: float) -> None:
        """Send one tile to the viewer whose turn it is."""
        eye, _ = self._turn.popitem(last=False)
        if not eye.waiting or eye.credit <= 0:
            return
        eye.bytes_left = min(VIEWER_BYTES_AT_ONCE, eye.bytes_left + VIEWER_BYTES_A_S * (now_s - eye.counted_s))
        eye.counted_s = now_s
        if eye.bytes_left > 0 and eye.stalled_until_s <= now_s:
            kept, _ = eye.waiting.popitem(last=False)
            message = kept.message()
            if self._send(eye.sender, message):
                eye.credit -= 1
                eye.bytes_left -= kept.size
                self.counts["sent"] += 1
                self.counts["bytes"] += kept.size
            else:  # its queue is full, or it is gone: then it will be dropped
                eye.waiting[kept] = None
                eye.stalled_until_s = now_s + STALLED_S
        self._ready(eye)

    def close(self) -> None:
        """Close all lines."""
        for source in self.sources.values():
            source.close()
        self._context.destroy(linger=0)

"""Receives the watched tiles from the publishers of the nodes, and caches each tile once for all viewers.

A *tile* is a square of the world as viewers see it; its *topic* names the square and what of it is shown. A tile
consists of *pieces*, one from each node that owns cells of it.
"""

from collections import OrderedDict
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field

import zmq

from umwelt.cluster.token_bucket import TokenBucket
from umwelt.cluster.view.tiles import MAX_BYTES, read_head
from umwelt.cluster.wire.keys import NODE, WORLD, Keys, key_from_hex
from umwelt.cluster.wire.transport import ADDRESS_WITH_KEY, check_address
from umwelt.cluster.wire.viewer_protocol import MAX_PIECES, Tile, encode
from umwelt.sandbox.errors import RunError
from umwelt.sandbox.region import Rectangle

VIEWER_BYTES_A_S, VIEWER_BYTES_AT_ONCE = 8e6, 16e6
"""Maximum size of the tiles that one viewer is sent, in bytes: per second, and in one burst."""


@dataclass(eq=False)
class CachedTile:
    """The newest pieces of a tile, by their rectangles (y, x, height, width), and the tile's subscribers.

    Each node that owns cells of the tile sends one piece. `shown` is `LIVE` or a replayed tick.
    """

    topic: bytes
    shown: int
    subscribers: dict["TileSubscriber", None] = field(default_factory=dict)
    pieces: dict[tuple[int, int, int, int], bytes] = field(default_factory=dict)
    frames: list[bytes] | None = None
    """The encoded message; None after a piece has changed."""
    size_bytes: int = 0
    """Size of the encoded message in bytes."""

    def put(self, rectangle: tuple[int, int, int, int], frame: bytes) -> None:
        """Stores `frame`, an encoded piece, in place of the previous one with the same rectangle.

        Removes pieces with other rectangles that overlap it: they are older than the present map of the nodes.
        """
        if rectangle not in self.pieces:
            new = Rectangle(*rectangle)
            for old in [old for old in self.pieces if new.intersect(Rectangle(*old))]:
                del self.pieces[old]
        self.pieces[rectangle] = frame
        self.frames = None

    def message(self) -> list[bytes]:
        """Returns the frames of the message with the tile, encoded if a piece has changed."""
        if self.frames is None:
            pieces = list(self.pieces.values())[:MAX_PIECES]
            self.frames = encode(Tile(self.topic, self.shown), pieces)
            self.size_bytes = sum(map(len, self.frames))
        return self.frames


@dataclass(eq=False)
class TileSubscriber:
    """The subscriptions and the credit of one viewer. Created and dropped with its `ViewerSession`."""

    identity: bytes
    credit: int = 0
    """Number of further tiles that the viewer can receive."""
    watched: dict[int, dict[bytes, None]] = field(default_factory=dict)
    """Watched topics by source: `LIVE` or a replayed tick."""
    waiting: OrderedDict[CachedTile, None] = field(default_factory=OrderedDict)
    """Tiles of which the cache has newer pieces than the viewer has received."""
    stalled_until_s: float = 0.0
    byte_budget: TokenBucket = field(default_factory=lambda: TokenBucket(VIEWER_BYTES_A_S, VIEWER_BYTES_AT_ONCE))

    @property
    def count(self) -> int:
        """The number of watched tiles."""
        return sum(map(len, self.watched.values()))


class TileSource:
    """A subscription to the publishers of one node map, and a cache of the received tiles. Owned by `TileRelay`."""

    def __init__(self, context: zmq.Context, keys: Keys | None, shown: int):
        self.shown, self._keys = shown, keys
        self.tiles: dict[bytes, CachedTile] = {}
        self.malformed = 0
        self._endpoints: dict[str, str] = {}
        """Connected endpoints by the address of the publisher."""
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

    def connect_to(self, addresses: Iterable[str]) -> None:
        """Connects to the publishers at `addresses` and disconnects from all others."""
        wanted = {address for address in addresses if address}
        for address in [address for address in self._endpoints if address not in wanted]:
            self._disconnect(address)
        for address in wanted - self._endpoints.keys():
            self._connect(address)

    def _connect(self, address: str) -> None:
        """Connects to a publisher; no effect if the address is not valid, or its key is not that of a node or world."""
        parts = ADDRESS_WITH_KEY.fullmatch(address)
        endpoint, key = (parts[1], key_from_hex(parts[2])) if parts else (address, b"")
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
        self._endpoints[address] = endpoint

    def _disconnect(self, address: str) -> None:
        with suppress(zmq.ZMQError):  # the connection is closed already
            self._socket.disconnect(self._endpoints.pop(address))

    def subscribe(self, topic: bytes) -> CachedTile:
        """Returns the cached tile of a topic, after subscribing to the topic if it had no viewers."""
        if topic not in self.tiles:
            self.tiles[topic] = CachedTile(topic, self.shown)
            self._socket.subscribe(topic)
        return self.tiles[topic]

    def unsubscribe(self, tile: CachedTile) -> None:
        """Drops a tile that has no viewers."""
        del self.tiles[tile.topic]
        self._socket.unsubscribe(tile.topic)

    def receive(self) -> CachedTile | None:
        """Receives one piece into the cache and returns its tile; None if nothing has arrived.

        A malformed or unrequested piece is dropped; in this case, an empty tile without subscribers is returned.
        """
        try:
            frames = self._socket.recv_multipart(zmq.NOBLOCK)
        except zmq.ZMQError:
            return None
        tile = self.tiles.get(frames[0])
        try:
            if tile is None or len(frames) != 2:
                raise ValueError("not subscribed, or not one piece")
            head, _ = read_head(frames[1])
            tile.put(head.rectangle, frames[1])
        except ValueError:
            self.malformed += tile is not None
            return CachedTile(b"", self.shown)
        return tile

    def close(self) -> None:
        """Closes the socket."""
        self._socket.close(linger=0)

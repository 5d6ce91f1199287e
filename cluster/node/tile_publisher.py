"""Publishes tiles of a shard (the rectangle of the torus that a node computes) to the gateways that subscribe to them.

A *tile* is a square of the world as viewers see it; its *topic* names the square and what of it is shown. A gateway
subscribes to the tiles that its viewers watch; only subscribed tiles are encoded. Publishing takes at most
5 % of the time, sends each tile at most 20 times per second, and never blocks: tiles for a gateway that receives too
slowly are dropped, and newer versions follow.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from weakref import WeakKeyDictionary

import zmq
from zmq.auth.thread import ThreadAuthenticator

from umwelt.cluster.shard import ShardView
from umwelt.cluster.token_bucket import TokenBucket
from umwelt.cluster.view.tile_encoder import TileEncoder
from umwelt.cluster.view.tiles import Topic
from umwelt.cluster.wire.keys import WORLD, Keys
from umwelt.cluster.wire.transport import (
    HANDSHAKE_MS,
    bind_socket,
    check_bind_address,
    close_context,
    open_context,
    start_authenticator,
    stop_authenticator,
)

TILE_INTERVAL_S = 0.05
TIME_SHARE = 0.05
"""Maximum share of the time that publishing takes."""
MAX_TURN_S = 0.01
"""Maximum processor time in seconds that can be saved up; about the longest duration of one call of `poll`."""
MAX_TOPICS = 20_000
MAX_TILES_AT_ONCE = 32
MAX_EMPTY_AT_ONCE = 1000
MAX_QUEUED = 200
MAX_SUBSCRIPTIONS_A_TURN = 2000
MAX_SUBSCRIPTION_BYTES = 4096
TILE_TIME_WEIGHT = 0.2
"""Weight of the newest tiles in the moving average of the time to encode and send a tile."""
FIRST_TILE_S = 0.0005
"""Assumed time to encode and send a tile, before it was measured."""
NEVER_S = -1e9
SUBSCRIBE = b"\1"
"""First byte of a subscription message at an XPUB socket; 0 is that of a cancellation (ZMTP 3.0)."""


class TilePublisher:
    """Publishes tiles at `address`. Owned by the thread that steps the shard, which calls `poll` between ticks.

    The constructor raises RunError if it cannot listen at `bind`.
    """

    def __init__(self, bind: str, keys: Keys | None = None, clock: Callable[[], float] = time.monotonic):
        check_bind_address(bind, keys)
        self.clock = clock
        self.counts = {"tiles": 0, "bytes": 0, "dropped": 0}
        self.spent_s = 0.0
        """Total time spent on publishing, in seconds."""
        self._subscribed: OrderedDict[Topic, tuple[int, int, float]] = OrderedDict()
        """For each subscribed tile, the shard number, tick and time of its last sending; least recently sent first."""
        self._cutters: WeakKeyDictionary[ShardView, TileEncoder] = WeakKeyDictionary()
        """Encoders by shard; the references are weak, so that a shard that the driver drops is released."""
        self._shard_number = 0
        """Number of shards so far. A tile of another shard is sent even if its tick was sent before."""
        self._allowance = TokenBucket(TIME_SHARE, MAX_TURN_S)
        """Budget of processor time for publishing, in seconds."""
        self._tile_s = FIRST_TILE_S
        self._context = open_context()
        self._authenticator: ThreadAuthenticator | None = None
        self._socket = self._context.socket(zmq.XPUB)
        try:
            self._listen(bind, keys)
        except BaseException:
            self.close()
            raise

    def _listen(self, bind: str, keys: Keys | None) -> None:
        """Sets the options of the socket and binds it; sets `address`."""
        for option, value in (
            (zmq.LINGER, 0),
            (zmq.SNDHWM, MAX_QUEUED),
            (zmq.XPUB_VERBOSE, 1),
            (zmq.MAXMSGSIZE, MAX_SUBSCRIPTION_BYTES),
            (zmq.HANDSHAKE_IVL, HANDSHAKE_MS),
            (zmq.IPV6, int("[" in bind)),
        ):
            self._socket.set(option, value)
        if keys is not None:
            self._authenticator = start_authenticator(self._context, self._socket, keys, frozenset({WORLD}))
        self.address = bind_socket(self._socket, bind, keys)

    @property
    def subscribed(self) -> list[Topic]:
        """The subscribed tiles, least recently sent first."""
        return list(self._subscribed)

    def poll(self, shard: ShardView | None, epoch: int = 0) -> int:
        """Sends subscribed tiles that are due, within the time budget; returns the number of tile frames sent.

        `epoch` is the number of the division of the torus to which `shard` belongs; the tiles contain it. Call this
        method between two ticks, and every 50 ms while no ticks are computed, so that new subscriptions are served.
        """
        self._receive_subscriptions()
        now_s = self.clock()
        self._allowance.refill(now_s)
        if shard is None or not self._subscribed:
            return 0
        cutter = self.cutter(shard)
        sent = 0
        while self._allowance.tokens > 0 and (topics := self._next_topics(cutter, now_s)):
            start_s = self.clock()
            for topic in topics:
                self._mark_sent(topic, shard.tick, now_s)
            sent += sum(self._send(topic, frame) for topic, frame in cutter.tiles(topics, epoch))
            spent_s = self.clock() - start_s
            self.spent_s += spent_s
            self._allowance.spend(spent_s)
            self._tile_s += TILE_TIME_WEIGHT * (spent_s / len(topics) - self._tile_s)
        return sent

    def cutter(self, shard: ShardView) -> TileEncoder:
        """Returns the tile encoder of a shard, which is also used to answer queries about the shard."""
        cutter = self._cutters.get(shard)
        if cutter is None:
            self._shard_number += 1
            cutter = self._cutters[shard] = TileEncoder(shard.world, shard.region)
        return cutter

    def close(self) -> None:
        """Closes the socket and stops the authenticator."""
        self._socket.close(linger=0)
        if self._authenticator is not None:
            stop_authenticator(self._authenticator)
            self._authenticator = None
        close_context(self._context)

    def _next_topics(self, cutter: TileEncoder, now_s: float) -> list[Topic]:
        """Returns the tiles to be sent next: due tiles that overlap the shard, as many as the time budget permits."""
        max_count = max(1, min(MAX_TILES_AT_ONCE, int(self._allowance.tokens / max(self._tile_s, 1e-5))))
        topics: list[Topic] = []
        empty: list[Topic] = []
        for topic, (number, tick, sent_s) in self._subscribed.items():
            if number == self._shard_number and (tick == cutter.region.tick or now_s - sent_s < TILE_INTERVAL_S):
                break  # all tiles that follow were sent more recently
            if cutter.parts(topic):
                topics.append(topic)
            else:
                empty.append(topic)
            if len(topics) == max_count or len(empty) > MAX_EMPTY_AT_ONCE:
                break
        for topic in empty:
            self._mark_sent(topic, cutter.region.tick, now_s)
        return topics

    def _mark_sent(self, topic: Topic, tick: int, now_s: float) -> None:
        """Records the sending of a tile, and moves it to the end of the order."""
        self._subscribed[topic] = (self._shard_number, tick, now_s)
        self._subscribed.move_to_end(topic)

    def _send(self, topic: Topic, frame: bytes) -> bool:
        """Publishes a tile frame without blocking; returns whether it was queued, and updates `counts`."""
        try:
            self._socket.send_multipart([topic.packed(), frame], zmq.NOBLOCK)
        except zmq.ZMQError:
            self.counts["dropped"] += 1
            return False
        self.counts["tiles"] += 1
        self.counts["bytes"] += len(frame)
        return True

    def _receive_subscriptions(self) -> None:
        """Receives subscriptions and cancellations of gateways; newly subscribed tiles are sent first."""
        for _ in range(MAX_SUBSCRIPTIONS_A_TURN):
            try:
                frame = self._socket.recv(zmq.NOBLOCK)
            except zmq.ZMQError:
                return
            try:
                topic = Topic.read(frame[1:])
            except ValueError:
                continue
            if frame[:1] != SUBSCRIBE:
                self._subscribed.pop(topic, None)
            elif topic in self._subscribed or len(self._subscribed) < MAX_TOPICS:
                self._subscribed[topic] = (-1, -1, NEVER_S)
                self._subscribed.move_to_end(topic, last=False)

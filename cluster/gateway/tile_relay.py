"""Relays tiles from nodes to viewers: each tile is received and cached once, and shared by all its viewers.

A *tile* is a square of the world as viewers see it; its *topic* names the square and what of it is shown.
Each viewer grants a credit, the number of tiles that it can receive. If a viewer is slower than the tiles arrive, older
versions of a tile are replaced rather than queued: it gets the newest version of each tile and does not delay other
viewers. Viewers are served in turn, and relaying uses a bounded share of the gateway's processor time.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any

from umwelt.cluster.gateway.node_map import NodeMap
from umwelt.cluster.gateway.tile_source import TileSource, TileSubscriber
from umwelt.cluster.token_bucket import TokenBucket
from umwelt.cluster.view.tiles import Topic
from umwelt.cluster.wire.keys import Keys
from umwelt.cluster.wire.transport import close_context, open_context
from umwelt.cluster.wire.viewer_protocol import LIVE

MAX_TILES = 400
"""Maximum number of tiles that a viewer can watch at the same time."""
MAX_CREDIT = 1000
PROCESSOR_SHARE = 0.1
"""Share of one core that the gateway's process can use, for all its work, before tiles are delayed."""
MAX_PROCESSOR_S = 0.05
"""Maximum unused processor time, and maximum debt, that is carried over, in seconds."""
RECEIVED_A_TURN, SENT_A_TURN = 500, 500
MIN_TILES_A_S, MIN_TILES_AT_ONCE = 700.0, 8.0
"""Tiles that are sent, per second and in one burst, even if commands and queries have used up the processor time."""
STALLED_S = 0.25
"""Time in seconds without tiles after a failed send to a viewer, whose queue is full or which is gone."""


class TileRelay:
    """Subscribes to the tiles that viewers watch and relays them. One instance for each gateway, used by one thread.

    `send(identity, frames)` never blocks and returns whether the message was accepted; `processor_s()` returns the
    processor time that the process has used, in seconds.
    """

    def __init__(
        self,
        keys: Keys | None,
        send: Callable[[bytes, list[Any]], bool],
        clock: Callable[[], float] = time.monotonic,
        processor_s: Callable[[], float] = time.thread_time,
    ):
        self._keys, self._send, self._clock, self._processor_s = keys, send, clock, processor_s
        self._context = open_context()
        self.sources: dict[int, TileSource] = {LIVE: TileSource(self._context, keys, LIVE)}
        self.counts = {"received": 0, "sent": 0, "bytes": 0}
        self._ready: OrderedDict[TileSubscriber, None] = OrderedDict()
        """Viewers with credit and waiting tiles, in the order in which they are served."""
        self._processor = TokenBucket(PROCESSOR_SHARE, MAX_PROCESSOR_S, max_debt=MAX_PROCESSOR_S)
        self._minimum = TokenBucket(MIN_TILES_A_S, MIN_TILES_AT_ONCE)
        self._charged_s = processor_s()
        for bucket in (self._processor, self._minimum):
            bucket.refill(clock())

    def connect_to(self, shown: int, node_map: NodeMap) -> None:
        """Subscribes to the publishers of `node_map`; `shown` is `LIVE` (the live world) or a replayed tick."""
        if shown not in self.sources:
            self.sources[shown] = TileSource(self._context, self._keys, shown)
        self.sources[shown].connect_to(node_map.tile_addresses)

    def remove_source(self, shown: int, subscribers: Iterable[TileSubscriber]) -> None:
        """Ends all subscriptions to a replayed tick and closes its source."""
        source = self.sources.pop(shown, None)
        if source is not None:
            for subscriber in subscribers:
                self._unwatch(subscriber, source, list(subscriber.watched.pop(shown, ())))
            source.close()

    def watch(self, subscriber: TileSubscriber, shown: int, topics: list[bytes], credit: int) -> None:
        """Sets the topics of `shown` (`LIVE` or a replayed tick) that a viewer watches, and its credit.

        Raises ValueError for a tick that is not shown, for more than `MAX_TILES` tiles, and for a malformed topic.
        """
        source = self.sources.get(shown)
        if source is None:
            raise ValueError(f"tick {shown} is not shown: ask for it first")
        others = subscriber.count - len(subscriber.watched.get(shown, ()))
        if len(topics) + others > MAX_TILES:
            raise ValueError(f"{len(topics) + others} tiles: at most {MAX_TILES} at once: use a coarser level")
        for topic in topics:
            Topic.read(topic)
        before, after = subscriber.watched.get(shown, {}), dict.fromkeys(topics)
        subscriber.watched[shown] = after
        self._unwatch(subscriber, source, [topic for topic in before if topic not in after])
        for topic in after:
            tile = source.subscribe(topic)
            tile.subscribers[subscriber] = None
            if tile.pieces and topic not in before:
                subscriber.waiting[tile] = None
        subscriber.credit = max(0, min(credit, MAX_CREDIT))
        self._enqueue(subscriber)

    def _unwatch(self, subscriber: TileSubscriber, source: TileSource, topics: list[bytes]) -> None:
        """Ends a viewer's subscriptions to tiles, and those of `source` to tiles that no viewer watches any more."""
        for topic in topics:
            tile = source.tiles.get(topic)
            if tile is not None:
                tile.subscribers.pop(subscriber, None)
                subscriber.waiting.pop(tile, None)
                if not tile.subscribers:
                    source.unsubscribe(tile)

    def add_credit(self, subscriber: TileSubscriber, tiles: int) -> None:
        """Increases the number of tiles that a viewer can be sent."""
        subscriber.credit = max(0, min(subscriber.credit + tiles, MAX_CREDIT))
        self._enqueue(subscriber)

    def remove_subscriber(self, subscriber: TileSubscriber) -> None:
        """Ends all subscriptions of a viewer."""
        for shown, topics in subscriber.watched.items():
            if shown in self.sources:
                self._unwatch(subscriber, self.sources[shown], list(topics))
        subscriber.watched.clear()
        subscriber.waiting.clear()
        self._ready.pop(subscriber, None)

    def _enqueue(self, subscriber: TileSubscriber) -> None:
        """Adds a viewer to the queue of those to be served, if it has credit and there are tiles for it."""
        if subscriber.waiting and subscriber.credit > 0:
            self._ready.setdefault(subscriber, None)

    def poll(self) -> None:
        """Receives tiles that have arrived, and sends as many as the budgets permit."""
        now_s = self._clock()
        self._charge_processor_time()
        self._processor.refill(now_s)
        self._minimum.refill(now_s)
        for source in self.sources.values():
            for _ in range(RECEIVED_A_TURN):
                tile = source.receive()
                if tile is None:
                    break
                self.counts["received"] += 1
                for subscriber in tile.subscribers:
                    subscriber.waiting[tile] = None
                    if subscriber.credit > 0:
                        self._ready[subscriber] = None
        for _ in range(SENT_A_TURN):
            self._charge_processor_time()
            if not self._ready or (not self._minimum.try_take(now_s) and self._processor.tokens < 0):
                return
            self._serve_next(now_s)

    def _charge_processor_time(self) -> None:
        """Subtracts the processor time that the process has used since the last call from the budget."""
        used_s = self._processor_s()
        self._processor.spend(used_s - self._charged_s)
        self._charged_s = used_s

    def _serve_next(self, now_s: float) -> None:
        """Sends one tile to the viewer at the head of the queue, and moves the viewer to its end."""
        subscriber, _ = self._ready.popitem(last=False)
        if not subscriber.waiting or subscriber.credit <= 0:
            return
        if subscriber.byte_budget.refill(now_s) > 0 and subscriber.stalled_until_s <= now_s:
            tile, _ = subscriber.waiting.popitem(last=False)
            if self._send(subscriber.identity, tile.message()):
                subscriber.credit -= 1
                subscriber.byte_budget.spend(tile.size_bytes)
                self.counts["sent"] += 1
                self.counts["bytes"] += tile.size_bytes
            else:
                subscriber.waiting[tile] = None
                subscriber.stalled_until_s = now_s + STALLED_S
        self._enqueue(subscriber)

    def close(self) -> None:
        """Closes all sockets."""
        for source in self.sources.values():
            source.close()
        close_context(self._context)

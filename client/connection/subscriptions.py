"""The tiles that a connection watches: the subscribed topics, the newest pieces of each tile, and credit.

A *tile* is the visible content of a square of the world: its beings, or the values of one layer. A *topic* names a
tile; a tile consists of one or more encoded *pieces*, each for a rectangle of it. *Credit* is the number of tiles that
the gateway (the process that serves clients) may send until it is given more (see `rate_limit.py`).

Any thread can watch, unwatch and read tiles. All other methods of `Subscriptions` are called by the link's thread
(`connection.py`), which owns the socket.
"""

import threading
from collections import Counter
from collections.abc import Callable, Sequence

from umwelt.client.connection.rate_limit import CreditLimit
from umwelt.cluster import Topic, viewer_protocol
from umwelt.sandbox.errors import RunError

FIRST_SETTLE_FACTOR = 20
"""Factor by which the first `wait` for tiles (`after` is 0) waits longer for the remaining ones than later calls do."""


class Subscriptions:
    """The watched tiles of one connection, by `shown` (`LIVE`, or a past tick) and topic; keeps the newest of each.

    `send` passes a message to the transport and returns whether the transport accepted it. `changed` is notified when a
    tile arrives; `is_closing` returns whether the connection is being closed. `limit` decides how much credit the
    gateway gets; `received_bytes` is the total size of all tiles that arrived.
    """

    def __init__(
        self,
        send: Callable[[viewer_protocol.Message], bool],
        changed: threading.Condition,
        is_closing: Callable[[], bool],
        limit: CreditLimit,
    ):
        self._send, self._changed, self._is_closing, self.limit = send, changed, is_closing, limit
        self.received_bytes = 0
        self._watched: dict[int, Counter[bytes]] = {}
        """By `shown`: the number of subscriptions to each topic (in packed form)."""
        self._unsent: dict[int, None] = {}
        """Values of `shown` whose subscriptions changed since they were last sent to the gateway (an ordered set)."""
        self._dropped: dict[int, set[bytes]] = {}
        """By `shown`: topics that were unwatched since its subscriptions were last sent. See `_send_watched`."""
        self._tiles: dict[tuple[int, bytes], tuple[int, list[bytes]]] = {}
        """Arrival number and pieces of each received tile, by `shown` and topic."""
        self._arrivals = 0
        self._is_counting = False
        """Whether the present gateway has been given credit."""

    # --- any thread

    def watch(self, shown: int, topics: Sequence[Topic]) -> None:
        """Subscribes to tiles. Each call needs a call of `unwatch` with the same arguments."""
        self._count(shown, [topic.packed() for topic in topics], 1)

    def unwatch(self, shown: int, topics: Sequence[Topic]) -> None:
        """Ends a subscription; discards the tiles that no other subscription includes."""
        self._count(shown, [topic.packed() for topic in topics], -1)

    def _count(self, shown: int, topics: list[bytes], change: int) -> None:
        """Adds `change` (1 or -1) to the number of subscriptions to each topic; drops tiles without subscription."""
        with self._changed:
            counter = self._watched.setdefault(shown, Counter())
            for topic in topics:
                counter[topic] += change
                if counter[topic] <= 0:
                    del counter[topic]
                    self._tiles.pop((shown, topic), None)
                    self._dropped.setdefault(shown, set()).add(topic)
            self._unsent[shown] = None

    def tile(self, shown: int, topic: Topic) -> tuple[int, list[bytes]] | None:
        """Returns the arrival number and the newest pieces of a tile; None before the first arrival."""
        with self._changed:
            return self._tiles.get((shown, topic.packed()))

    def wait(
        self,
        shown: int,
        topics: Sequence[Topic],
        after: int,
        timeout_s: float | None,
        settle_s: float,
        address: str,
        is_cancelled: Callable[[], bool],
    ) -> int:
        """Waits for any of these tiles to arrive after arrival number `after`, then up to `settle_s` for the others.

        Returns the number of the last arrival. Raises RunError after `timeout_s`, when the connection is closed, or
        when `is_cancelled` returns true; `address` is for the error message.
        """
        keys = [(shown, topic.packed()) for topic in topics]

        def arrived_count() -> int:
            return sum(1 for key in keys if key in self._tiles and self._tiles[key][0] > after)

        def is_over() -> bool:
            return self._is_closing() or is_cancelled()

        with self._changed:
            if not self._changed.wait_for(lambda: arrived_count() or is_over(), timeout_s):
                raise RunError(f"{address}: nothing new to see within {timeout_s:g} s: see whether the world runs")
            if is_over():
                raise RunError(f"{address}: the connection is closed: connect again")
            settle_s = settle_s if after else FIRST_SETTLE_FACTOR * settle_s
            self._changed.wait_for(lambda: arrived_count() == len(keys) or is_over(), settle_s)
            return max((self._tiles[key][0] for key in keys if key in self._tiles), default=after)

    # --- the connection's thread

    def take(self, tile: viewer_protocol.Tile, raw: list[bytes], size_bytes: int, now_s: float) -> None:
        """Stores the pieces `raw` of a tile that arrived in a message of `size_bytes`, if it is still watched."""
        self.limit.record_tile(size_bytes, now_s)
        self.received_bytes += size_bytes
        with self._changed:
            if tile.topic in self._watched.get(tile.shown, ()):
                self._arrivals += 1
                self._tiles[tile.shown, tile.topic] = (self._arrivals, raw)
                self._changed.notify_all()

    def gateway_lost(self) -> None:
        """Stops giving credit until the subscriptions have been sent to another gateway."""
        self._is_counting = False

    def gateway_found(self) -> None:
        """Marks all subscriptions to be sent to the new gateway."""
        with self._changed:
            self._unsent |= dict.fromkeys(self._watched)

    def restart_credit(self) -> None:
        """Marks the subscriptions of one `shown` to be sent again: the message replaces the gateway's credit."""
        with self._changed:
            shown = next((shown for shown, topics in self._watched.items() if topics), None)
            if shown is not None:
                self._unsent[shown] = None

    def poll(self, now_s: float) -> bool:
        """Sends changed subscriptions and more credit; returns whether a credit message was sent.

        The caller uses the result to omit a keep-alive message.
        """
        heard = False
        if self._is_counting and (tiles := self.limit.grant(now_s)):
            heard = self._send(viewer_protocol.Credit(tiles))
            if not heard:
                self.limit.revert(tiles)
        if self._is_counting and self.limit.is_doubtful(now_s):
            self.restart_credit()
        if self._unsent:
            self._send_watched(now_s)
        return heard

    def _send_watched(self, now_s: float) -> None:
        """Sends a message with all topics for each `shown` whose subscriptions changed.

        All messages contain the same credit, because each one replaces the gateway's credit.
        """
        with self._changed:
            changed, self._unsent = self._unsent, {}
            watched = {shown: list(self._watched.get(shown, ())) for shown in changed}
            dropped = {shown: self._dropped.pop(shown, set()) for shown in changed}
        credit, self._is_counting = self.limit.restart(now_s), True
        for shown, topics in watched.items():
            # the gateway resends an unchanged tile only if the previous message did not include it: topics that were
            # unwatched and are watched again are therefore first left out
            kept = [topic for topic in topics if topic not in dropped[shown]]
            for part in [kept, topics] if len(kept) < len(topics) else [topics]:
                self._send(viewer_protocol.Watch(part, credit, shown))

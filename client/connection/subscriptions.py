"""The tiles that a connection watches: what the gateway is to send, the newest piece of each, and credit for more.

Any thread may watch, unwatch and read tiles. `turn` and `take` belong to the thread of `connection.py`, as the socket
does.
"""

import threading
from collections import Counter
from collections.abc import Callable, Sequence

from umwelt.client.connection.rate_limit import CreditLimit
from umwelt.cluster import Topic, viewer_protocol
from umwelt.sandbox.errors import RunError

FIRST_SETTLE_FACTOR = 20
"""The first view of a place waits this much longer for the rest of its tiles than later ones."""


class Subscriptions:
    """Watched tiles by what they show (`LIVE`, or a tick of the past) and topic; the newest of each is kept.

    `send` gives a message to the transport and returns whether the transport took it. `changed` is notified when a tile
    arrives; `is_closing` tells whether the connection ends. At most `bytes_per_s` of tiles arrive on average (None: no
    limit); `received_bytes` counts all tiles that arrived.
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
        self._unsent: dict[int, None] = {}
        """What changed since the gateway was sent what is watched of it."""
        self._dropped: dict[int, set[bytes]] = {}
        """Topics that were unwatched since then: the gateway takes them as known to us."""
        self._tiles: dict[tuple[int, bytes], tuple[int, list[bytes]]] = {}
        self._arrivals = 0
        self._is_counting = False
        """Whether this gateway was given credit."""

    # --- any thread

    def watch(self, shown: int, topics: Sequence[Topic]) -> None:
        """Subscribes to tiles. Each `watch` needs an `unwatch`."""
        self._count(shown, [topic.packed() for topic in topics], 1)

    def unwatch(self, shown: int, topics: Sequence[Topic]) -> None:
        """Ends a subscription; tiles that no other subscription includes are dropped."""
        self._count(shown, [topic.packed() for topic in topics], -1)

    def _count(self, shown: int, topics: list[bytes], change: int) -> None:
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
        """Returns the newest pieces of a tile and the number of their arrival; None before the first arrival."""
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
        """Waits until one of these tiles arrived after arrival number `after`, and `settle_s` more for the others.

        Returns the number of the last arrival. Raises RunError after `timeout_s`, or when the connection is closed.
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
        """Keeps the pieces of a tile that arrived, if it is still watched."""
        self.limit.record_tile(size_bytes, now_s)
        self.received_bytes += size_bytes
        with self._changed:
            if tile.topic in self._watched.get(tile.shown, ()):
                self._arrivals += 1
                self._tiles[tile.shown, tile.topic] = (self._arrivals, raw)
                self._changed.notify_all()

    def gateway_lost(self) -> None:
        """Stops giving credit until another gateway was sent what is watched."""
        self._is_counting = False

    def gateway_found(self) -> None:
        """Prepares all subscriptions for another gateway."""
        with self._changed:
            self._unsent |= dict.fromkeys(self._watched)

    def restart_credit(self) -> None:
        """Sends one subscription again, and with it a new count of credit."""
        with self._changed:
            shown = next((shown for shown, topics in self._watched.items() if topics), None)
            if shown is not None:
                self._unsent[shown] = None

    def turn(self, now_s: float) -> bool:
        """Sends changed subscriptions, or more credit; returns whether the gateway heard of us by that."""
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
        """Sends all changes of a turn at once, because each message restarts the gateway's count of credit."""
        with self._changed:
            changed, self._unsent = self._unsent, {}
            watched = {shown: list(self._watched.get(shown, ())) for shown in changed}
            dropped = {shown: self._dropped.pop(shown, set()) for shown in changed}
        credit, self._is_counting = self.limit.restart(now_s), True
        for shown, topics in watched.items():
            # the gateway sends a tile again only if it was left out in between
            kept = [topic for topic in topics if topic not in dropped[shown]]
            for part in [kept, topics] if len(kept) < len(topics) else [topics]:
                self._send(viewer_protocol.Watch(part, credit, shown))

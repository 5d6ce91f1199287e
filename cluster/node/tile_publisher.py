"""A node's window for those who watch: tiles that somebody subscribes to.

Only a gateway may subscribe. It says which tiles are wanted; nothing else is ever computed. Publishing takes at most
one part in twenty of the time, each tile at most twenty times a second, and never waits: what a gateway is too slow
for is dropped, and a newer one comes.
"""

import re
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from weakref import WeakKeyDictionary

import zmq
from zmq.auth.thread import ThreadAuthenticator

from umwelt.cluster.shard import Shard
from umwelt.cluster.view.tile_encoder import TileEncoder
from umwelt.cluster.view.tiles import Topic
from umwelt.cluster.wire.keys import WORLD, Keys, key_to_hex
from umwelt.cluster.wire.transport import DOMAIN, Doorman, check_bind_address, reachable, why_not_bound
from umwelt.sandbox.errors import RunError

TILE_EVERY_S = 0.05
SHARE = 0.05
"""Of the time, what publishing may take."""
MAX_TURN_S = 0.01
MAX_TOPICS = 20_000
MAX_AT_ONCE = 32
QUEUED = 200
SUBSCRIPTIONS_A_TURN = 2000


class TilePublisher:
    """See the page's top. Owned by the thread that runs the portion; `address` is where gateways subscribe.

    Raises `RunError` where its door cannot open.
    """

    def __init__(self, bind: str, keys: Keys | None = None, clock: Callable[[], float] = time.monotonic):
        check_bind_address(bind, keys)
        self.clock = clock
        self.counts = {"tiles": 0, "bytes": 0, "dropped": 0}
        self.spent_s = 0.0
        self._due: OrderedDict[Topic, tuple[int, int, float]] = OrderedDict()
        """Subscribed tiles, the one sent longest ago first: the portion and tick it was sent of, and when."""
        self._cutters: WeakKeyDictionary[Shard, TileEncoder] = WeakKeyDictionary()
        """Weak: what the host drops is not held here."""
        self._life = 0
        """Grows with every portion: ticks of another life are other ticks."""
        self._allowance_s, self._turned_s = MAX_TURN_S, clock()
        self._tile_s = 0.0005
        self._context = zmq.Context()
        self._authenticator: ThreadAuthenticator | None = None
        self._door = self._context.socket(zmq.XPUB)
        try:
            self._open(bind, keys)
        except BaseException:
            self.close()
            raise

    def _open(self, bind: str, keys: Keys | None) -> None:
        door = self._door
        for option, value in (
            (zmq.LINGER, 0),
            (zmq.SNDHWM, QUEUED),
            (zmq.XPUB_VERBOSE, 1),
            (zmq.MAXMSGSIZE, 4096),
            (zmq.HANDSHAKE_IVL, 2000),
            (zmq.IPV6, int("[" in bind)),
        ):
            door.set(option, value)
        if keys is not None:
            self._authenticator = ThreadAuthenticator(self._context)
            self._authenticator.start()
            self._authenticator.configure_curve_callback(DOMAIN, Doorman(keys, frozenset({WORLD})))
            door.set(zmq.ZAP_DOMAIN, DOMAIN.encode())
            door.set(zmq.ZAP_ENFORCE_DOMAIN, 1)
            door.set(zmq.CURVE_SERVER, 1)
            door.curve_publickey, door.curve_secretkey = keys.server_pair
        try:
            door.bind(re.sub(r":0$", ":*", bind) if bind.startswith("tcp://") else bind)
        except zmq.ZMQError as error:
            raise RunError(why_not_bound(bind, error)) from None
        self.address = reachable(door.get_string(zmq.LAST_ENDPOINT).rstrip("\0"))
        if keys is not None and keys.world_secret is None:
            self.address += "#" + key_to_hex(keys.public)

    @property
    def wanted(self) -> list[Topic]:
        """The tiles that somebody subscribes to."""
        return list(self._due)

    def turn(self, portion: Shard | None, epoch: int = 0) -> int:
        """Send what is due of the tiles that are watched, as far as time allows; gives how many pieces were sent.

        To be called between two ticks, and now and then (every 50 ms) while the world rests: new watchers want to see
        something then too.
        """
        self._listen()
        now_s = self.clock()
        self._allowance_s = min(MAX_TURN_S, self._allowance_s + SHARE * (now_s - self._turned_s))
        self._turned_s = now_s
        if portion is None or not self._due:
            return 0
        cutter = self.cutter(portion)
        sent = 0
        while self._allowance_s > 0 and (topics := self._next(cutter, now_s)):
            began_s = self.clock()
            for topic in topics:
                self._due[topic] = (self._life, portion.tick, now_s)
                self._due.move_to_end(topic)
            pieces = cutter.tiles(topics, epoch)
            sent += sum(self._send(topic, frame) for topic, frame in pieces)
            taken_s = self.clock() - began_s
            self.spent_s += taken_s
            self._allowance_s -= taken_s
            self._tile_s += 0.2 * (taken_s / len(topics) - self._tile_s)
        return sent

    def cutter(self, portion: Shard) -> TileEncoder:
        """What cuts tiles from a portion, and answers questions about it."""
        known = self._cutters.get(portion)
        if known is None:
            self._life += 1
            known = self._cutters[portion] = TileEncoder(portion.world, portion.region)
        return known

    def _next(self, cutter: TileEncoder, now_s: float) -> list[Topic]:
        """The tiles to be sent next, as many as may fit into what is allowed; of those we own something."""
        most = max(1, min(MAX_AT_ONCE, int(self._allowance_s / max(self._tile_s, 1e-5))))
        found: list[Topic] = []
        none = []
        for topic, (life, tick, sent_s) in self._due.items():
            if life == self._life and (tick == cutter.region.tick or now_s - sent_s < TILE_EVERY_S):
                break  # all others were sent later
            if cutter.parts(topic):
                found.append(topic)
            else:
                none.append(topic)
            if len(found) == most or len(none) > 1000:
                break
        for topic in none:
            self._due[topic] = (self._life, cutter.region.tick, now_s)
            self._due.move_to_end(topic)
        return found

    def _send(self, topic: Topic, frame: bytes) -> bool:
        try:
            self._door.send_multipart([topic.packed(), frame], zmq.NOBLOCK)
        except zmq.ZMQError:
            self.counts["dropped"] += 1
            return False
        self.counts["tiles"] += 1
        self.counts["bytes"] += len(frame)
        return True

    def _listen(self) -> None:
        """Take in who wants what; a new watcher of a tile gets it at once."""
        for _ in range(SUBSCRIPTIONS_A_TURN):
            try:
                said = self._door.recv(zmq.NOBLOCK)
            except zmq.ZMQError:
                return
            try:
                topic = Topic.read(said[1:])
            except ValueError:
                continue
            if said[:1] == b"\1":
                if topic in self._due or len(self._due) < MAX_TOPICS:
                    self._due[topic] = (-1, -1, -1e9)
                    self._due.move_to_end(topic, last=False)
            else:
                self._due.pop(topic, None)

    def close(self) -> None:
        """Close the door."""
        self._door.close(linger=0)
        if self._authenticator is not None:
            with suppress(zmq.ZMQError):
                self._authenticator.pipe.set(zmq.SNDTIMEO, 1000)
                self._authenticator.stop()
            self._authenticator = None
        self._context.destroy(linger=0)

"""A simulated network in one process, with virtual time: an in-memory implementation of `transport.Transport`.

It is used in tests. All faults are random numbers from one seed, so that a failing simulation can be repeated. A
simulation is a loop such as

    while network.now < end:
        for address, incoming in network.step(dt):
            drivers[address].take(incoming)

While a message is handled, `network.now` is the time of its arrival, so that answers can arrive within the same step.
As with sockets, a transport receives answers only from addresses that it has sent to. Messages to a killed transport
are lost, and do not reach a later transport at the same address.
"""

import heapq
import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import NamedTuple

from umwelt.cluster.wire.transport import Incoming, Sendable


@dataclass(frozen=True)
class Faults:
    """The faults of a network: probabilities (0 to 1) for each message, and the range of random delays."""

    loss: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    """Probability that a message is held back, so that later messages between the same transports can overtake it."""
    delay_s: tuple[float, float] = (0.0, 0.0)
    """Minimum and maximum delay of a message, in seconds."""
    held_back_s: float = 0.05
    """Maximum additional delay of a message that is reordered or duplicated, in seconds."""


class _Packet(NamedTuple):
    """A message in transit, which arrives at `due_s`. `number` orders messages that arrive at the same time."""

    due_s: float
    number: int
    sender: str
    role: str
    frames: tuple[bytes, ...]
    connection: int | None
    """For an answer, the number of the connection that it uses; it is lost if that connection is closed before.

    None for all other messages.
    """


class Network:
    """A simulated network and its transports. `now` is virtual time in seconds; it advances only in method calls."""

    def __init__(self, seed: int = 0, faults: Faults = Faults()):
        self.now = 0.0
        self.faults = faults
        self.counts: Counter[str] = Counter()
        """Numbers of messages by outcome: sent, lost, duplicated, reordered, cut, dead, closed, delivered.

        These were not delivered: "lost" at random, "cut" on a cut connection, "dead" because the receiver was removed,
        and "closed" because the connection of an answer was closed.
        """
        self._random = Random(seed)
        self._numbers = itertools.count()
        self._transports: dict[str, LoopbackTransport] = {}
        self._killed: set[str] = set()
        self._cuts: set[frozenset[str]] = set()
        self._last_due_s: dict[tuple[str, str], float] = {}

    def transport(self, address: str, role: str = "keeper") -> "LoopbackTransport":
        """Creates a transport at `address`, which must not be in use; it may be that of a killed or closed transport.

        `role` is the role that receivers of its messages see.
        """
        assert address and address not in self._transports, f"{address!r}: has a transport: kill it first"
        self._killed.discard(address)
        self._transports[address] = LoopbackTransport(self, address, role)
        return self._transports[address]

    def cut(self, a: str, b: str) -> None:
        """Cuts the connection between two addresses, without notice to them. Messages in transit are lost as well."""
        self._cuts.add(frozenset((a, b)))

    def heal(self, a: str | None = None, b: str | None = None) -> None:
        """Restores the connection between two addresses, or all connections if no addresses are given."""
        if a is None or b is None:
            self._cuts.clear()
        else:
            self._cuts.discard(frozenset((a, b)))

    def kill(self, address: str) -> None:
        """Ends a transport as `kill -9` ends a process: messages in transit to it are lost, those from it arrive."""
        transport = self._transports.get(address)
        if transport is not None:
            self._remove(transport)
            self._killed.add(address)

    def advance(self) -> tuple[str, Incoming] | None:
        """Returns the next message as (receiver's address, message), and advances `now` to its arrival.

        Returns None if no message is in transit.
        """
        return self._next(None)

    def step(self, duration_s: float) -> Iterator[tuple[str, Incoming]]:
        """Yields all messages that arrive in the next `duration_s` seconds, with their receivers' addresses, in order.

        Afterwards `now` is advanced by `duration_s`. The iterator must be exhausted.
        """
        end_s = self.now + duration_s
        while (delivered := self._next(end_s)) is not None:
            yield delivered
        self.now = end_s

    def _next(self, until_s: float | None) -> tuple[str, Incoming] | None:
        """Returns the next message that arrives until `until_s`, or at any time if that is None, like `advance`."""
        while waiting := [transport for transport in self._transports.values() if transport._queue]:
            first = min(waiting, key=lambda transport: transport._queue[0][:2])
            if until_s is not None and first._queue[0].due_s > until_s:
                return None
            incoming = first._take()
            if incoming is not None:
                return first.address, incoming
        return None

    def _remove(self, transport: "LoopbackTransport") -> None:
        """Removes a transport with all messages in transit to it."""
        self.counts["dead"] += len(transport._queue)
        transport._queue.clear()
        transport._connections.clear()
        transport._open = False
        del self._transports[transport.address]

    def _carry(self, sender: "LoopbackTransport", to: str, frames: tuple[bytes, ...], connection: int | None) -> None:
        """Transmits a message with random delay and faults."""
        faults, draw = self.faults, self._random.random
        # every message uses equally many random numbers, so that a changed rate changes no other message's delay
        lost, twice, overtaken = draw() < faults.loss, draw() < faults.duplicate, draw() < faults.reorder
        low_s, high_s = faults.delay_s
        due_s = self.now + low_s + (high_s - low_s) * draw()
        late_s = self.now + low_s + (high_s - low_s) * draw() + faults.held_back_s * draw()
        self.counts["sent"] += 1
        if lost or to in self._killed or self._is_cut(sender.address, to):
            self.counts["lost" if lost else "dead" if to in self._killed else "cut"] += 1
            return
        way = (sender.address, to)
        if overtaken:
            self.counts["reordered"] += 1
            due_s = due_s + late_s - self.now
        else:  # as on a real connection, delays alone never reorder messages
            due_s = self._last_due_s[way] = max(due_s, self._last_due_s.get(way, 0.0))
        self._post(to, due_s, sender, frames, connection)
        if twice:
            self.counts["duplicated"] += 1
            self._post(to, late_s, sender, frames, connection)

    def _post(
        self, to: str, due_s: float, sender: "LoopbackTransport", frames: tuple[bytes, ...], connection: int | None
    ) -> None:
        """Adds a message to the queue of the receiver at address `to`, with arrival time `due_s`."""
        packet = _Packet(due_s, next(self._numbers), sender.address, sender.role, frames, connection)
        heapq.heappush(self._transports[to]._queue, packet)

    def _is_cut(self, a: str, b: str) -> bool:
        return frozenset((a, b)) in self._cuts


class LoopbackTransport:
    """A transport on a simulated network; implements `transport.Transport`. Created by `Network.transport`."""

    def __init__(self, network: Network, address: str, role: str):
        self.network = network
        self.address = address
        self.role = role
        self._queue: list[_Packet] = []
        self._connections: dict[str, int] = {}
        self._open = True

    def send(self, to: str | bytes, frames: Sequence[Sendable]) -> bool:
        """Sends to an address (str), or answers a sender (bytes).

        Returns False if no transport has that address, or the sender that is answered has no connection to this
        transport, or if this transport is closed. A message to a killed transport is lost, but returns True.
        """
        assert len(frames) > 0, "a message has at least one frame"
        if not self._open:
            return False
        copied = tuple(bytes(frame) for frame in frames)  # frames may be changed after the call
        if isinstance(to, str):
            if to not in self.network._transports and to not in self.network._killed:
                return False
            self._connections.setdefault(to, next(self.network._numbers))
            self.network._carry(self, to, copied, None)
            return True
        address = to.decode()
        if address in self.network._killed:
            self.network.counts["dead"] += 1
            return True
        asker = self.network._transports.get(address)
        if asker is None or self.address not in asker._connections:
            return False
        self.network._carry(self, address, copied, asker._connections[self.address])
        return True

    def receive(self, timeout_s: float) -> Incoming | None:
        """Returns the next message that arrives within `timeout_s` seconds of virtual time; None if there is none.

        Advances `network.now` to the arrival, or by `timeout_s`.
        """
        until_s = self.network.now + timeout_s
        while self._queue and self._queue[0].due_s <= until_s:
            incoming = self._take()
            if incoming is not None:
                return incoming
        self.network.now = max(self.network.now, until_s)
        return None

    def forget(self, to: str) -> None:
        """Closes the connection to an address; answers from there that are in transit are lost."""
        self._connections.pop(to, None)

    def close(self) -> None:
        """Closes the transport and removes it from the network; `send` to its address then returns False."""
        if self._open:
            self.network._remove(self)

    def _take(self) -> Incoming | None:
        """Removes the first message from the queue, and advances `network.now` to its arrival.

        Returns None if the message is lost, because its connection was cut or closed.
        """
        packet = heapq.heappop(self._queue)
        network = self.network
        network.now = max(network.now, packet.due_s)
        if network._is_cut(packet.sender, self.address):
            network.counts["cut"] += 1
        elif packet.connection is not None and self._connections.get(packet.sender) != packet.connection:
            network.counts["closed"] += 1
        else:
            network.counts["delivered"] += 1
            return Incoming(packet.sender.encode(), packet.role, list(packet.frames), packet.connection is not None)
        return None

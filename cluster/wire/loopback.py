"""A simulated network in one process, with virtual time: the in-memory form of `transport.Transport`, for tests.

All faults are drawn from one seed, so that a failing simulation fails again. A simulation is

    while network.now < end:
        for address, incoming in network.step(dt):
            drivers[address].take(incoming)

While a message is handled, the clock shows the moment of its arrival, so answers can arrive within the same step. As
with sockets, only a transport that has sent to an address gets answers from there, and a message to a transport that
was killed is lost: it never reaches a successor at the same address.
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
    """The faults of a network: probabilities for each message, and the interval that its delay is drawn from."""

    loss: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    """The probability that a message is held back, so that later ones between the same two can overtake it."""
    delay_s: tuple[float, float] = (0.0, 0.0)
    held_back_s: float = 0.05
    """The longest time for which a message that is reordered or duplicated is held back, in addition to its delay."""


class _Packet(NamedTuple):
    """A message on its way."""

    due_s: float
    number: int
    sender: str
    role: str
    frames: tuple[bytes, ...]
    connection: int | None
    """Of an answer: the number of the connection that it comes back on. It is lost if that was closed meanwhile."""


class Network:
    """The network between the transports that it makes. `now` is virtual time in seconds; only calls advance it."""

    def __init__(self, seed: int = 0, faults: Faults = Faults()):
        self.now = 0.0
        self.faults = faults
        self.counts: Counter[str] = Counter()
        """Counts messages by what happened to them: sent, lost, duplicated, reordered, cut, dead, closed, delivered."""
        self._random = Random(seed)
        self._numbers = itertools.count()
        self._transports: dict[str, LoopbackTransport] = {}
        self._killed: set[str] = set()
        self._cuts: set[frozenset[str]] = set()
        self._last_due_s: dict[tuple[str, str], float] = {}

    def transport(self, address: str, role: str = "keeper") -> "LoopbackTransport":
        """Makes a transport at an address; it can succeed one that was killed or closed."""
        assert address and address not in self._transports, f"{address!r}: has a transport: kill it first"
        self._killed.discard(address)
        self._transports[address] = LoopbackTransport(self, address, role)
        return self._transports[address]

    def cut(self, a: str, b: str) -> None:
        """Cuts the connection between two addresses, silently: messages on their way are lost as well."""
        self._cuts.add(frozenset((a, b)))

    def heal(self, a: str | None = None, b: str | None = None) -> None:
        """Undoes one cut, or without addresses all of them."""
        if a is None or b is None:
            self._cuts.clear()
        else:
            self._cuts.discard(frozenset((a, b)))

    def kill(self, address: str) -> None:
        """Ends a transport as kill -9 would: messages on their way to it are lost, those that it sent still arrive."""
        transport = self._transports.get(address)
        if transport is not None:
            self._remove(transport)
            self._killed.add(address)

    def advance(self) -> tuple[str, Incoming] | None:
        """Delivers the next message, whenever it arrives, and sets the clock to then; None if there is none."""
        return self._next(None)

    def step(self, duration_s: float) -> Iterator[tuple[str, Incoming]]:
        """Delivers all messages that arrive within a time, in order, and sets the clock to its end.

        The iterator must be exhausted.
        """
        end_s = self.now + duration_s
        while (delivered := self._next(end_s)) is not None:
            yield delivered
        self.now = end_s

    def _next(self, until_s: float | None) -> tuple[str, Incoming] | None:
        while waiting := [transport for transport in self._transports.values() if transport._queue]:
            first = min(waiting, key=lambda transport: transport._queue[0][:2])
            if until_s is not None and first._queue[0].due_s > until_s:
                return None
            incoming = first._take()
            if incoming is not None:
                return first.address, incoming
        return None

    def _remove(self, transport: "LoopbackTransport") -> None:
        self.counts["dead"] += len(transport._queue)
        transport._queue.clear()
        transport._connections.clear()
        transport._open = False
        del self._transports[transport.address]

    def _carry(self, sender: "LoopbackTransport", to: str, frames: tuple[bytes, ...], connection: int | None) -> None:
        faults, draw = self.faults, self._random.random
        # every message takes the same number of draws, so that a changed rate changes no other message's delay
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
        packet = _Packet(due_s, next(self._numbers), sender.address, sender.role, frames, connection)
        heapq.heappush(self._transports[to]._queue, packet)

    def _is_cut(self, a: str, b: str) -> bool:
        return frozenset((a, b)) in self._cuts


class LoopbackTransport:
    """A process's transport on a `Network`, which makes it; implements `transport.Transport`."""

    def __init__(self, network: Network, address: str, role: str):
        self.network = network
        self.address = address
        self.role = role
        self._queue: list[_Packet] = []
        self._connections: dict[str, int] = {}
        self._open = True

    def send(self, to: str | bytes, frames: Sequence[Sendable]) -> bool:
        """Sends a message. Returns False if there is no transport at the address, or the sender that is answered has no
        connection to this one."""
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
        """Returns the next message that arrives within a time, and sets the clock to then; None if there is none."""
        until_s = self.network.now + timeout_s
        while self._queue and self._queue[0].due_s <= until_s:
            incoming = self._take()
            if incoming is not None:
                return incoming
        self.network.now = max(self.network.now, until_s)
        return None

    def forget(self, to: str) -> None:
        """Closes the connection to an address: answers from there that are still on their way are lost."""
        self._connections.pop(to, None)

    def close(self) -> None:
        """Closes the transport: sends to its address return False from now on."""
        if self._open:
            self.network._remove(self)

    def _take(self) -> Incoming | None:
        """Takes the first packet and sets the clock to its arrival; None if it is lost at the last moment."""
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

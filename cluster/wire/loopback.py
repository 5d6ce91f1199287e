"""A whole cluster's network in one process, with virtual time: the in-memory form of `transport.Transport`.

Everything that happens is drawn from one seed, so a storm that broke something breaks it again. A simulation is

    while network.now < end:
        for address, incoming in network.step(dt):
            host[address].handle(incoming)

where the clock stands at each message's own moment while it is handled, so answers to it can come within the same step.
As with sockets, who has sent to an address gets answers from there; what is sent to the dead is gone, and never reaches
who comes after them at the same address.
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
    """How bad the network is: probabilities for each message, and the span its delay is drawn from."""

    loss: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    """How often a message is held back so that later ones between the same two overtake it."""
    delay_s: tuple[float, float] = (0.0, 0.0)
    held_back_s: float = 0.05
    """How long, at most, a message that is reordered or arrives a second time is held back beside its delay."""


class _Parcel(NamedTuple):
    due_s: float
    number: int
    sender: str
    role: str
    frames: tuple[bytes, ...]
    line: int | None
    """For an answer: the number of the line it comes back on; it is lost when that line was closed meanwhile."""


class Network:
    """All that lies between the transports made by it; `now` is in seconds and moves only as it is asked to."""

    def __init__(self, seed: int = 0, faults: Faults = Faults()):
        self.now = 0.0
        self.faults = faults
        self.counts: Counter[str] = Counter()
        """What became of messages: sent, lost, duplicated, reordered, cut, dead, closed, delivered."""
        self._random = Random(seed)
        self._numbers = itertools.count()
        self._hosts: dict[str, LoopbackTransport] = {}
        self._killed: set[str] = set()
        self._cuts: set[frozenset[str]] = set()
        self._last_due_s: dict[tuple[str, str], float] = {}

    def transport(self, address: str, role: str = "keeper") -> "LoopbackTransport":
        """A transport at an address: a new one, or the successor of one that was killed or closed there."""
        assert address and address not in self._hosts, f"{address!r}: is there already, kill it first"
        self._killed.discard(address)
        self._hosts[address] = LoopbackTransport(self, address, role)
        return self._hosts[address]

    def cut(self, a: str, b: str) -> None:
        """Nothing gets through between two addresses any more, nor what is under way; nobody is told."""
        self._cuts.add(frozenset((a, b)))

    def heal(self, a: str | None = None, b: str | None = None) -> None:
        """Undo one cut, or without addresses all of them."""
        if a is None or b is None:
            self._cuts.clear()
        else:
            self._cuts.discard(frozenset((a, b)))

    def kill(self, address: str) -> None:
        """End a transport as kill -9 does: what was on its way to it is lost, what it sent before still travels."""
        host = self._hosts.get(address)
        if host is not None:
            self._leave(host)
            self._killed.add(address)

    def advance(self) -> tuple[str, Incoming] | None:
        """Deliver the next message, whenever it is due, and move the clock there; None if nothing is under way."""
        return self._next(None)

    def step(self, duration_s: float) -> Iterator[tuple[str, Incoming]]:
        """Deliver all that is due within a time, in order, and move the clock to its end. Go through all of it."""
        end_s = self.now + duration_s
        while (delivered := self._next(end_s)) is not None:
            yield delivered
        self.now = end_s

    def _next(self, until_s: float | None) -> tuple[str, Incoming] | None:
        while waiting := [host for host in self._hosts.values() if host._queue]:
            host = min(waiting, key=lambda host: host._queue[0][:2])
            if until_s is not None and host._queue[0].due_s > until_s:
                return None
            incoming = host._take()
            if incoming is not None:
                return host.address, incoming
        return None

    def _leave(self, host: "LoopbackTransport") -> None:
        self.counts["dead"] += len(host._queue)
        host._queue.clear()
        host._lines.clear()
        host._open = False
        del self._hosts[host.address]

    def _carry(self, sender: "LoopbackTransport", to: str, frames: tuple[bytes, ...], line: int | None) -> None:
        faults, draw = self.faults, self._random.random
        # the same number of draws for every message: a rate that is changed changes no other message's delay
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
        else:  # as on a real connection, delay alone never lets one message pass another
            due_s = self._last_due_s[way] = max(due_s, self._last_due_s.get(way, 0.0))
        self._post(to, due_s, sender, frames, line)
        if twice:
            self.counts["duplicated"] += 1
            self._post(to, late_s, sender, frames, line)

    def _post(
        self, to: str, due_s: float, sender: "LoopbackTransport", frames: tuple[bytes, ...], line: int | None
    ) -> None:
        parcel = _Parcel(due_s, next(self._numbers), sender.address, sender.role, frames, line)
        heapq.heappush(self._hosts[to]._queue, parcel)

    def _is_cut(self, a: str, b: str) -> bool:
        return frozenset((a, b)) in self._cuts


class LoopbackTransport:
    """One host's end of a `Network`; made by `Network.transport`."""

    def __init__(self, network: Network, address: str, role: str):
        self.network = network
        self.address = address
        self.role = role
        self._queue: list[_Parcel] = []
        self._lines: dict[str, int] = {}
        self._open = True

    def send(self, to: str | bytes, frames: Sequence[Sendable]) -> bool:
        """Put a message on its way. False if nobody is at the address, or the sender we answer has no line to us."""
        assert len(frames) > 0, "a message has at least one frame"
        if not self._open:
            return False
        copied = tuple(bytes(frame) for frame in frames)  # nothing is shared: what is changed later was not sent
        if isinstance(to, str):
            if to not in self.network._hosts and to not in self.network._killed:
                return False
            self._lines.setdefault(to, next(self.network._numbers))
            self.network._carry(self, to, copied, None)
            return True
        address = to.decode()
        if address in self.network._killed:
            self.network.counts["dead"] += 1
            return True
        asker = self.network._hosts.get(address)
        if asker is None or self.address not in asker._lines:
            return False
        self.network._carry(self, address, copied, asker._lines[self.address])
        return True

    def receive(self, timeout_s: float) -> Incoming | None:
        """The next message that is due now, or becomes due within a time, to which the clock then moves."""
        until_s = self.network.now + timeout_s
        while self._queue and self._queue[0].due_s <= until_s:
            incoming = self._take()
            if incoming is not None:
                return incoming
        self.network.now = max(self.network.now, until_s)
        return None

    def forget(self, to: str) -> None:
        """Close the line to an address: answers from there that are still under way are lost."""
        self._lines.pop(to, None)

    def close(self) -> None:
        """Leave: sends to this address return False from now on."""
        if self._open:
            self.network._leave(self)

    def _take(self) -> Incoming | None:
        """Take the first parcel, moving the clock to it; None if it is lost at the last moment."""
        parcel = heapq.heappop(self._queue)
        network = self.network
        network.now = max(network.now, parcel.due_s)
        if network._is_cut(parcel.sender, self.address):
            network.counts["cut"] += 1
        elif parcel.line is not None and self._lines.get(parcel.sender) != parcel.line:
            network.counts["closed"] += 1
        else:
            network.counts["delivered"] += 1
            return Incoming(parcel.sender.encode(), parcel.role, list(parcel.frames), parcel.line is not None)
        return None

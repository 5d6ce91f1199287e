"""What is under way from the gateway to nodes and to the directory, said again until it is answered."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from umwelt.cluster.protocol import Look, Order, Settled, Sight, Submit, encode
from umwelt.cluster.questions import Part, Question, merged
from umwelt.cluster.watching import Map
from umwelt.sandbox.region import Torus

LOOK_AGAIN_S = 0.5
LOOKS_END_S = 10.0
SUBMIT_AGAIN_S = 0.25
SUBMIT_ENDS_S = 20.0
SUBMIT_EVERY_S = 0.05
MOST_UNDER_WAY = 512
"""Commands that the directory has not settled. They go in groups: it makes all that come together durable at once."""
_encoder = msgspec.json.Encoder()

Send = Callable[[str, list[Any]], bool]


@dataclass
class _Asked:
    question: Question
    shown: int
    done: Callable[[Part | None, str], None]
    end_s: float
    map: Map | None = None
    ticket: str = ""
    parts: dict[int, Part] = field(default_factory=dict)
    asked_s: float = -1e9


class Asks:
    """Questions to all nodes of one map. `map_of(shown)` gives the present one; when it changes, all is asked anew."""

    def __init__(self, torus: Torus, send: Send, map_of: Callable[[int], Map | None]):
        self.torus, self._send, self._map_of = torus, send, map_of
        self._numbers = itertools.count()
        self._pending: dict[str, _Asked] = {}

    def __len__(self) -> int:
        return len(self._pending)

    def shown(self) -> set[int]:
        """The shown ticks that are being asked."""
        return {asked.shown for asked in self._pending.values()}

    def ask(self, question: Question, shown: int, now_s: float, done: Callable[[Part | None, str], None]) -> None:
        """Ask; `done` is called with the merged answer, or with None and why there is none."""
        asked = _Asked(question, shown, done, now_s + LOOKS_END_S)
        self._begin(asked)
        self._say(asked, now_s)

    def _begin(self, asked: _Asked) -> None:
        self._pending.pop(asked.ticket, None)
        asked.ticket = f"look-{next(self._numbers)}"
        asked.map, asked.parts, asked.asked_s = self._map_of(asked.shown), {}, -1e9
        self._pending[asked.ticket] = asked

    def _say(self, asked: _Asked, now_s: float) -> None:
        if asked.map is None:
            return
        reached = True
        look = Look(asked.map.epoch, asked.map.pass_key, asked.ticket, _encoder.encode(asked.question))
        for which, door in enumerate(asked.map.doors):
            if which not in asked.parts:
                reached = self._send(door, encode(look)) and reached
        # a first send mostly only opens the line
        asked.asked_s = now_s if reached else now_s - 0.9 * LOOK_AGAIN_S

    def take(self, sight: Sight, raw: list[Any]) -> None:
        """A node has answered."""
        asked = self._pending.get(sight.ticket)
        if asked is None or asked.map is None or sight.epoch != asked.map.epoch:
            return
        if not 0 <= sight.source < len(asked.map.doors):
            return
        try:
            answer = msgspec.json.decode(sight.answer, type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return
        if "line" in answer:
            self._end(asked, None, str(answer["line"]))
            return
        asked.parts[sight.source] = Part(sight.tick, answer, raw[0] if raw else b"")
        if len(asked.parts) == len(asked.map.doors):
            try:
                whole = merged(asked.question, list(asked.parts.values()), self.torus)
            except (LookupError, ValueError, TypeError) as error:
                self._end(asked, None, f"the nodes' answers do not fit together: {error}: ask again")
                return
            self._end(asked, whole, "")

    def _end(self, asked: _Asked, part: Part | None, line: str) -> None:
        del self._pending[asked.ticket]
        asked.done(part, line)

    def turn(self, now_s: float) -> None:
        """Ask again where the map has changed or no answer came."""
        for asked in list(self._pending.values()):
            if now_s > asked.end_s:
                self._end(asked, None, "the nodes do not answer: the world may be changing hands: ask again")
            elif self._map_of(asked.shown) != asked.map:
                self._begin(asked)
                self._say(asked, now_s)
            elif now_s - asked.asked_s >= LOOK_AGAIN_S:
                self._say(asked, now_s)


@dataclass
class _Submitted:
    message: Submit | Order
    done: Callable[[Settled | None], None]
    end_s: float
    again: bool
    said_s: float = -1e9
    said: bool = False


class Submits:
    """Commands and orders to the directory. The same ticket of a command is journalled once, however often it is said.

    Orders are not told apart by tickets there: those that would do more when said twice are said once.
    """

    def __init__(self, send: Callable[[list[Any]], bool]):
        self._send = send
        self._pending: dict[str, _Submitted] = {}
        self._waiting: dict[str, _Submitted] = {}
        self._filled_s = -1e9

    def __len__(self) -> int:
        return len(self._pending) + len(self._waiting)

    def submit(self, message: Submit | Order, now_s: float, done: Callable[[Settled | None], None]) -> None:
        """Say it until it is settled; `done` gets None where the directory does not answer."""
        again = isinstance(message, Submit) or message.what not in ("step", "save")
        found = _Submitted(message, done, now_s + SUBMIT_ENDS_S, again)
        if isinstance(message, Submit) and self._pending:
            self._waiting[message.ticket] = found
            return
        self._pending[message.ticket] = found
        self._say(found, now_s)

    def _say(self, found: _Submitted, now_s: float) -> None:
        found.said = self._send(encode(found.message)) or found.said
        found.said_s = now_s

    def take(self, settled: Settled) -> None:
        """The directory has answered."""
        found = self._pending.pop(settled.ticket, None)
        if found is not None:
            found.done(settled)

    def turn(self, now_s: float) -> None:
        """Say again what was not answered."""
        for ticket in [ticket for ticket, found in self._waiting.items() if now_s > found.end_s]:
            self._waiting.pop(ticket).done(None)
        for ticket, found in list(self._pending.items()):
            if now_s > found.end_s:
                del self._pending[ticket]
                found.done(None)
            elif now_s - found.said_s >= (SUBMIT_AGAIN_S if found.said else SUBMIT_AGAIN_S / 10):
                if found.again or not found.said:
                    self._say(found, now_s)
        self._fill(now_s)

    def _fill(self, now_s: float) -> None:
        """The next group of commands: so the directory has time for nodes in between."""
        if not self._waiting or now_s - self._filled_s < SUBMIT_EVERY_S:
            return
        self._filled_s = now_s
        for ticket in list(self._waiting)[: max(0, MOST_UNDER_WAY - len(self._pending))]:
            self._pending[ticket] = self._waiting.pop(ticket)
            self._say(self._pending[ticket], now_s)

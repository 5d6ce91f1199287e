"""What is under way from the gateway to nodes and to the directory, said again until it is answered."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec

from umwelt.cluster.gateway.tile_relay import Map
from umwelt.cluster.tasks.node_worker import STARTS_WITHIN_S
from umwelt.cluster.tasks.registry import packed_list
from umwelt.cluster.view.queries import Fetch, Part, Question, merge
from umwelt.cluster.wire.protocol import Halt, Look, Order, Settled, Sight, Submit, encode
from umwelt.sandbox.region import Torus

LOOK_AGAIN_S = 0.5
LOOKS_END_S = 10.0
MAX_ROUNDS = 12
"""Of asking for a tick that all have still before them."""
MAX_LIVES = 3
COMES_S, RESTS_S = 5.0, 0.4
"""How long a tick ahead is waited for; and where the world rests."""
SUBMIT_AGAIN_S = 0.25
SUBMIT_ENDS_S = 20.0
SUBMIT_EVERY_S = 0.05
MAX_UNDER_WAY = 512
"""Commands that the directory has not settled. They go in groups: it makes all that come together durable at once."""
_encoder = msgspec.json.Encoder()

Send = Callable[[str, list[Any]], bool]


class Work(NamedTuple):
    """A task that each node is to do on its answers."""

    task: str
    arguments: bytes
    within_s: float


@dataclass
class _Asked:
    questions: Sequence[Question]
    shown: int
    done: Callable[[Part | None, str], None]
    end_s: float
    work: Work | None
    map: Map | None = None
    ticket: str = ""
    tick: int = -1
    """At which all are to answer; -1: at once, wherever they are."""
    reached: int = -1
    """Where the foremost was when that tick was chosen."""
    rounds: int = 0
    deaths: int = 0
    """Of processes, while they worked on it."""
    begun_s: float = -1e9
    asked_s: float = -1e9
    waits: bool = False
    """Whether a node has said, since it was asked last, that the tick has not come."""
    wanted: tuple[int, ...] = ()
    """The nodes that own something of what is asked about."""
    parts: dict[int, Part] = field(default_factory=dict)


class Asks:
    """Questions to the nodes of one map. `map_of(shown)` gives the present one; when it changes, all is asked anew.

    All nodes answer at one tick. They are asked where they are; if they are not at one tick, they are asked for one a
    little ahead of the foremost. Where that has passed when they hear of it, for one further ahead; where it does not
    come because the world rests, where they are. Only a being that is found is found, wherever the others are.
    """

    def __init__(self, torus: Torus, send: Send, map_of: Callable[[int], Map | None]):
        self.torus, self._send, self._map_of = torus, send, map_of
        self._numbers = itertools.count()
        self._pending: dict[str, _Asked] = {}

    def __len__(self) -> int:
        return len(self._pending)

    def shown(self) -> set[int]:
        """The shown ticks that are being asked."""
        return {asked.shown for asked in self._pending.values()}

    def ask(
        self,
        asked: Question | Sequence[Question],
        shown: int,
        now_s: float,
        done: Callable[[Part | None, str], None],
        work: Work | None = None,
        resting: bool = True,
    ) -> None:
        """Ask; `done` is called with the merged answer, or with None and why there is none.

        With work, it gets what came out at each node, as one packed list. In a world that does not rest, tick 0 is
        asked for first: the nodes say where they are, and nothing is done in vain.
        """
        many = asked if isinstance(asked, Sequence) else [asked]
        ends_s = LOOKS_END_S if work is None else STARTS_WITHIN_S + work.within_s
        begun = _Asked(many, shown, done, now_s + ends_s, work)
        self._begin(begun, now_s, -1 if work is None or resting else 0)

    def drop(self, done: Callable[..., None]) -> int:
        """Whoever waits for this waits no more; gives how many questions have gone."""
        gone = [one for one in self._pending.values() if one.done is done]
        for asked in gone:
            self._halt(asked)
            del self._pending[asked.ticket]
        return len(gone)

    def _begin(self, asked: _Asked, now_s: float, tick: int = -1) -> None:
        if self._pending.pop(asked.ticket, None) is not None:
            self._halt(asked)
        asked.ticket = f"look-{next(self._numbers)}"
        asked.map, asked.parts, asked.tick, asked.begun_s = self._map_of(asked.shown), {}, tick, now_s
        if asked.map is not None:
            about = [getattr(question, "rectangle", None) for question in asked.questions]
            asked.wanted = tuple(sorted({n for one in about for n in asked.map.owners(one, self.torus)}))
        self._pending[asked.ticket] = asked
        self._say(asked, now_s)

    def _halt(self, asked: _Asked) -> None:
        """Nodes need not work on what is asked anew."""
        if asked.work is not None and asked.map is not None:
            for which in asked.wanted:
                halt = Halt(asked.map.epoch, asked.map.pass_key, [asked.ticket])
                self._send(asked.map.doors[which], encode(halt))

    def _say(self, asked: _Asked, now_s: float) -> None:
        if asked.map is None:
            return
        reached, asked.waits = True, False
        content = _encoder.encode(asked.questions if asked.work else asked.questions[0])
        look = Look(asked.map.epoch, asked.map.pass_key, asked.ticket, content, asked.tick, *(asked.work or ()))
        for which in asked.wanted:
            if which not in asked.parts:
                reached = self._send(asked.map.doors[which], encode(look)) and reached
        # a first send mostly only opens the line
        asked.asked_s = now_s if reached else now_s - 0.9 * LOOK_AGAIN_S

    def take(self, sight: Sight, raw: list[Any], now_s: float) -> None:
        """A node has answered."""
        asked = self._pending.get(sight.ticket)
        if asked is None or asked.map is None or sight.epoch != asked.map.epoch or sight.source not in asked.wanted:
            return
        try:
            answer = msgspec.json.decode(sight.answer, type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return
        if answer.get("passed"):
            self._further(asked, sight.tick, now_s)
            return
        if answer.get("waits"):
            asked.waits = True
            return
        if "line" in answer:
            asked.deaths += 1
            if answer.get("again") and asked.deaths < MAX_LIVES:
                self._begin(asked, now_s, asked.tick)
            else:
                self._end(asked, None, str(answer["line"]))
            return
        asked.parts[sight.source] = Part(sight.tick, answer, raw[0] if raw else b"")
        if len(asked.parts) == len(asked.wanted):
            self._whole(asked, now_s)

    def _whole(self, asked: _Asked, now_s: float) -> None:
        """All have answered."""
        parts = [asked.parts[which] for which in sorted(asked.parts)]
        found = isinstance(asked.questions[0], Fetch) and any(part.answer.get("being") for part in parts)
        ticks = {part.tick for part in parts}
        if len(ticks) > 1 and not found:
            self._further(asked, max(ticks), now_s)
            return
        if asked.work is not None:
            tick = max(ticks, default=-1)
            self._end(asked, Part(tick, {}, packed_list([part.raw for part in parts])), "")
            return
        try:
            whole = merge(asked.questions[0], parts, self.torus)
        except (LookupError, ValueError, TypeError) as error:
            self._end(asked, None, f"the nodes' answers do not fit together: {error}: ask again")
            return
        self._end(asked, whole, "")

    def _further(self, asked: _Asked, reached: int, now_s: float) -> None:
        """Ask for a tick that all have still before them: twice as far ahead as they came while they were asked."""
        asked.rounds += 1
        if asked.rounds > MAX_ROUNDS:
            self._end(asked, None, "the nodes do not come to one tick: slow the world down, or pause it, and ask again")
            return
        asked.end_s = max(asked.end_s, now_s + LOOKS_END_S)
        came = reached - asked.reached if asked.reached >= 0 else 0
        asked.reached = reached
        self._begin(asked, now_s, reached + 1 + 2 * came)

    def _end(self, asked: _Asked, part: Part | None, line: str) -> None:
        del self._pending[asked.ticket]
        asked.done(part, line)

    def turn(self, now_s: float, resting: bool) -> None:
        """Ask again where the map has changed or no answer came; `resting`: no tick comes just now."""
        late_s = RESTS_S if resting else COMES_S
        for asked in list(self._pending.values()):
            if now_s > asked.end_s:
                self._halt(asked)
                self._end(asked, None, "the nodes do not answer: the world may be changing hands: ask again")
            elif self._map_of(asked.shown) != asked.map or (asked.waits and now_s - asked.begun_s > late_s):
                self._begin(asked, now_s)
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
        for ticket in list(self._waiting)[: max(0, MAX_UNDER_WAY - len(self._pending))]:
            self._pending[ticket] = self._waiting.pop(ticket)
            self._say(self._pending[ticket], now_s)

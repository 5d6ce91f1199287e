"""Queries to all nodes that own a part of what is asked about, answered at one tick and merged.

Nodes that do not answer are asked again. When the node map changes, open queries start over with the new map.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec

from umwelt.cluster.gateway.node_map import NodeMap
from umwelt.cluster.tasks.node_worker import STARTS_WITHIN_S
from umwelt.cluster.tasks.registry import pack_list
from umwelt.cluster.view.queries import Fetch, Part, Question, merge
from umwelt.cluster.wire.protocol import CancelTasks, QueryAnswer, QueryRequest, encode
from umwelt.cluster.wire.resender import Resender
from umwelt.sandbox.errors import RunError, UmweltError, error_for
from umwelt.sandbox.region import Torus

RESEND_AFTER_S = 0.5
ENDS_AFTER_S = 10.0
MAX_ROUNDS = 12
"""How often a query is repeated for a tick further ahead."""
MAX_DEATHS = 3
"""After so many worker processes died of a task, the task is given up."""
TICK_WITHIN_S, TICK_WITHIN_RESTING_S = 5.0, 0.4
"""How long a tick ahead is waited for in a running and in a resting world."""
_encoder = msgspec.json.Encoder()

Send = Callable[[str, list[Any]], bool]
OnAnswer = Callable[[Part | UmweltError], None]


class NodeTask(NamedTuple):
    """A task that each node executes on its answers to the queries."""

    name: str
    arguments: bytes
    within_s: float


@dataclass
class _OpenQuery:
    questions: Sequence[Question]
    shown: int
    on_answer: OnAnswer
    end_s: float
    task: NodeTask | None
    map: NodeMap | None = None
    ticket: str = ""
    tick: int = -1
    """The tick at which all nodes are to answer; -1: each at its present tick."""
    reached: int = -1
    """The tick of the foremost node when `tick` was chosen."""
    rounds: int = 0
    deaths: int = 0
    """Of worker processes that executed `task`."""
    begun_s: float = -1e9
    is_waiting: bool = False
    """Whether a node has said, since it was last asked, that it has not reached `tick`."""
    wanted: tuple[int, ...] = ()
    """Indices of the nodes that own a part of what is asked about."""
    parts: dict[int, Part] = field(default_factory=dict)


class NodeQueries:
    """The open queries of all viewers. One for each gateway; `send(address, frames)` reaches the nodes.

    `map_of(shown)` returns the nodes of the live world or of a replayed tick. All nodes answer at one tick: they are
    first asked at their present tick. If those differ, they are asked for a tick a little ahead of the foremost node;
    if that has passed before all know of it, for one further ahead; if it does not come because the world rests, at
    their present tick again. A `Fetch` is answered as soon as one node has the being.
    """

    def __init__(self, torus: Torus, send: Send, map_of: Callable[[int], NodeMap | None]):
        self.torus, self._send_to, self._map_of = torus, send, map_of
        self._numbers = itertools.count()
        self._open: dict[str, _OpenQuery] = {}
        self._resender = Resender()

    def __len__(self) -> int:
        return len(self._open)

    def shown(self) -> set[int]:
        """Returns what is being asked: `LIVE` and replayed ticks."""
        return {query.shown for query in self._open.values()}

    def begin(
        self,
        asked: Question | Sequence[Question],
        shown: int,
        now_s: float,
        on_answer: OnAnswer,
        task: NodeTask | None = None,
        resting: bool = True,
    ) -> None:
        """Sends a query; `on_answer` is called once, with the merged answer or an error.

        With `task`, the answer's raw frame is a packed list of what the task returned at each node. In a world that
        is not resting, tick 0 is asked for first then: the nodes only report where they are, and no work is wasted.
        """
        questions = asked if isinstance(asked, Sequence) else [asked]
        ends_after_s = ENDS_AFTER_S if task is None else STARTS_WITHIN_S + task.within_s
        query = _OpenQuery(questions, shown, on_answer, now_s + ends_after_s, task)
        self._ask(query, now_s, -1 if task is None or resting else 0)

    def cancel(self, on_answer: Callable[..., None]) -> int:
        """Drops the queries with this callback without calling it; returns how many there were."""
        cancelled = [query for query in self._open.values() if query.on_answer is on_answer]
        for query in cancelled:
            self._remove(query)
            self._cancel_tasks(query)
        return len(cancelled)

    def _ask(self, query: _OpenQuery, now_s: float, tick: int = -1) -> None:
        """Asks all nodes, under a new ticket: answers to the former one are ignored from now on."""
        if query.ticket in self._open:
            self._remove(query)
            self._cancel_tasks(query)
        query.ticket = f"query-{next(self._numbers)}"
        query.map, query.parts, query.tick, query.begun_s = self._map_of(query.shown), {}, tick, now_s
        if query.map is not None:
            rectangles = [getattr(question, "rectangle", None) for question in query.questions]
            owners = {index for one in rectangles for index in query.map.owners(one, self.torus)}
            query.wanted = tuple(sorted(owners))
        self._open[query.ticket] = query
        self._resender.begin(
            query.ticket,
            lambda: self._send(query),
            now_s,
            RESEND_AFTER_S,
            end_s=query.end_s,
            on_timeout=lambda: self._time_out(query),
        )

    def _send(self, query: _OpenQuery) -> bool:
        """Asks the nodes that have not answered; returns whether all messages were accepted."""
        if query.map is None:
            return False
        accepted, query.is_waiting = True, False
        content = _encoder.encode(query.questions if query.task else query.questions[0])
        request = QueryRequest(
            query.map.epoch, query.map.pass_key, query.ticket, content, query.tick, *(query.task or ())
        )
        for index in query.wanted:
            if index not in query.parts:
                accepted = self._send_to(query.map.addresses[index], encode(request)) and accepted
        return accepted

    def _cancel_tasks(self, query: _OpenQuery) -> None:
        """Tells the nodes to stop working on a ticket."""
        if query.task is not None and query.map is not None:
            for index in query.wanted:
                cancel = CancelTasks(query.map.epoch, query.map.pass_key, [query.ticket])
                self._send_to(query.map.addresses[index], encode(cancel))

    def take(self, message: QueryAnswer, raw: list[Any], now_s: float) -> None:
        """Takes the answer of a node."""
        query = self._open.get(message.ticket)
        if query is None or query.map is None or message.epoch != query.map.epoch or message.source not in query.wanted:
            return
        try:
            answer = msgspec.json.decode(message.answer, type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return
        if answer.get("passed"):
            self._ask_further_ahead(query, message.tick, now_s)
        elif answer.get("waits"):
            query.is_waiting = True
        elif "line" in answer:
            query.deaths += 1
            if answer.get("again") and query.deaths < MAX_DEATHS:
                self._ask(query, now_s, query.tick)
            else:
                self._finish(query, error_for(str(answer.get("code", "")), str(answer["line"])))
        else:
            query.parts[message.source] = Part(message.tick, answer, raw[0] if raw else b"")
            if len(query.parts) == len(query.wanted):
                self._merge(query, now_s)

    def _merge(self, query: _OpenQuery, now_s: float) -> None:
        """Finishes a query that all nodes have answered, or asks again if they answered at different ticks."""
        parts = [query.parts[index] for index in sorted(query.parts)]
        is_fetched = isinstance(query.questions[0], Fetch) and any(part.answer.get("being") for part in parts)
        ticks = {part.tick for part in parts}
        if len(ticks) > 1 and not is_fetched:
            self._ask_further_ahead(query, max(ticks), now_s)
            return
        if query.task is not None:
            self._finish(query, Part(max(ticks, default=-1), {}, pack_list([part.raw for part in parts])))
            return
        try:
            whole = merge(query.questions[0], parts, self.torus)
        except (LookupError, ValueError, TypeError) as error:
            self._finish(query, RunError(f"the nodes' answers do not fit together: {error}: ask again"))
            return
        self._finish(query, whole)

    def _ask_further_ahead(self, query: _OpenQuery, reached: int, now_s: float) -> None:
        """Asks for a later tick: twice as far ahead as the nodes have moved since the last time."""
        query.rounds += 1
        if query.rounds > MAX_ROUNDS:
            line = "the nodes do not come to one tick: slow the world down, or pause it, and ask again"
            self._finish(query, RunError(line))
            return
        query.end_s = max(query.end_s, now_s + ENDS_AFTER_S)
        moved = reached - query.reached if query.reached >= 0 else 0
        query.reached = reached
        self._ask(query, now_s, reached + 1 + 2 * moved)

    def _time_out(self, query: _OpenQuery) -> None:
        self._cancel_tasks(query)
        self._finish(query, RunError("the nodes do not answer: the node map may be changing: ask again"))

    def _finish(self, query: _OpenQuery, outcome: Part | UmweltError) -> None:
        self._remove(query)
        query.on_answer(outcome)

    def _remove(self, query: _OpenQuery) -> None:
        del self._open[query.ticket]
        self._resender.end(query.ticket)

    def turn(self, now_s: float, resting: bool) -> None:
        """Asks again where the map has changed, a tick does not come, or no answer came; ends what takes too long."""
        self._resender.turn(now_s)
        late_s = TICK_WITHIN_RESTING_S if resting else TICK_WITHIN_S
        for query in list(self._open.values()):
            is_late = query.is_waiting and now_s - query.begun_s > late_s
            if self._map_of(query.shown) != query.map or is_late:
                self._ask(query, now_s)

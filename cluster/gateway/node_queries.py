"""Queries to the nodes that own the queried cells, answered by all of them at the same tick, and merged.

Queries are resent to nodes that do not answer. When the node map changes, open queries start again with the new map.

A *ticket* identifies a query at the nodes; when the query is repeated for another tick or map, it gets a new one.
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
"""Maximum number of times that a query is repeated for a later tick."""
MAX_DEATHS = 3
"""Number of worker processes that must die while executing a task before the task fails."""
TICK_WITHIN_S, TICK_WITHIN_RESTING_S = 5.0, 0.4
"""Time in seconds to wait for a future tick, if the world is advancing and if it is not."""
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
    """An unanswered query of a viewer, and the answers (`parts`) of nodes that have arrived so far, by their index.

    `shown` is `LIVE` or a replayed tick. `task` is the task that the nodes execute on their answers, or None. At the
    time `end_s` the query fails with an error.
    """

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
    """The latest tick that a node had reached when `tick` was chosen."""
    rounds: int = 0
    """Number of times that the query was repeated for a later tick."""
    deaths: int = 0
    """Number of worker processes that died while executing `task`."""
    begun_s: float = -1e9
    is_waiting: bool = False
    """Whether a node has answered, since the last request, that it has not reached `tick`."""
    wanted: tuple[int, ...] = ()
    """Indices of the nodes that own queried cells."""
    parts: dict[int, Part] = field(default_factory=dict)


class NodeQueries:
    """The open queries of all viewers. One instance for each gateway.

    `send(address, frames)` sends to a node and returns whether the message was accepted. `map_of(shown)` returns the
    nodes of the live world or of a replayed tick.

    All nodes must answer at the same tick. They are first queried at their present tick. If these differ, they are
    queried at a tick shortly after the latest of them; if a node has passed that tick before the request arrives, at a
    later tick; if that tick does not come because the world is not advancing, at their present tick again. The ticks
    need not be equal for a `Fetch`, a query for one being, if a node has found the being.
    """

    def __init__(self, torus: Torus, send: Send, map_of: Callable[[int], NodeMap | None]):
        self.torus, self._send_to, self._map_of = torus, send, map_of
        self._numbers = itertools.count()
        self._open: dict[str, _OpenQuery] = {}
        self._resender = Resender()

    def __len__(self) -> int:
        return len(self._open)

    def shown(self) -> set[int]:
        """Returns which worlds have open queries: `LIVE` and replayed ticks."""
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

        `asked` is one question or several, `shown` is `LIVE` or a replayed tick. With `task`, the raw frame of the
        answer is an encoded list of the results of the task, one for each node. If the world is advancing (`resting` is
        false), such a query is first sent for tick 0: since tick 0 is in the past, the nodes answer with their present
        ticks and do not execute the task. The task is then executed at one later tick.
        """
        questions = asked if isinstance(asked, Sequence) else [asked]
        ends_after_s = ENDS_AFTER_S if task is None else STARTS_WITHIN_S + task.within_s
        query = _OpenQuery(questions, shown, on_answer, now_s + ends_after_s, task)
        self._ask(query, now_s, -1 if task is None or resting else 0)

    def cancel(self, on_answer: Callable[..., None]) -> int:
        """Drops the queries with this callback, without calling it. Returns their number."""
        cancelled = [query for query in self._open.values() if query.on_answer is on_answer]
        for query in cancelled:
            self._remove(query)
            self._cancel_tasks(query)
        return len(cancelled)

    def _ask(self, query: _OpenQuery, now_s: float, tick: int = -1) -> None:
        """Sends a query to all its nodes under a new ticket; later answers to the previous ticket are ignored."""
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
        """Sends a query to the nodes that have not answered. Returns whether all messages were accepted."""
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
        """Cancels the tasks of a query at all nodes."""
        if query.task is not None and query.map is not None:
            for index in query.wanted:
                cancel = CancelTasks(query.map.epoch, query.map.pass_key, [query.ticket])
                self._send_to(query.map.addresses[index], encode(cancel))

    def take(self, message: QueryAnswer, raw: list[Any], now_s: float) -> None:
        """Handles an answer of a node."""
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
        """Completes a query that all nodes have answered, or sends it again if they answered at different ticks."""
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
        """Sends a query again for a later tick: twice as far ahead as the nodes have advanced since the last round."""
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
        """Ends a query with an error, because nodes have not answered in time."""
        self._cancel_tasks(query)
        self._finish(query, RunError("the nodes do not answer: the node map may be changing: ask again"))

    def _finish(self, query: _OpenQuery, outcome: Part | UmweltError) -> None:
        """Removes a query and calls its callback."""
        self._remove(query)
        query.on_answer(outcome)

    def _remove(self, query: _OpenQuery) -> None:
        del self._open[query.ticket]
        self._resender.end(query.ticket)

    def poll(self, now_s: float, resting: bool) -> None:
        """Resends queries that are unanswered, late, or sent to an outdated map; ends those that have timed out."""
        self._resender.poll(now_s)
        late_s = TICK_WITHIN_RESTING_S if resting else TICK_WITHIN_S
        for query in list(self._open.values()):
            is_late = query.is_waiting and now_s - query.begun_s > late_s
            if self._map_of(query.shown) != query.map or is_late:
                self._ask(query, now_s)

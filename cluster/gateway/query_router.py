"""Routes the queries of viewers to the nodes of the live world, or to the process that shows a replayed tick."""

from collections.abc import Callable

import msgspec

from umwelt.agents.world_file import WorldFile
from umwelt.cluster.gateway.node_map import NodeMap
from umwelt.cluster.gateway.node_queries import NodeQueries
from umwelt.cluster.gateway.viewer_session import ViewerSession
from umwelt.cluster.view import queries
from umwelt.cluster.wire.viewer_protocol import LIVE, Query
from umwelt.sandbox.errors import BusyError, RunError, UmweltError

MAX_OPEN = 200
"""Maximum number of open queries of all viewers together."""


class QueryRouter:
    """Checks queries, passes them to the nodes, and sends the answers to the viewers. One instance for each gateway."""

    def __init__(self, world: WorldFile, node_queries: NodeQueries, map_of: Callable[[int], NodeMap | None]):
        self._world, self._node_queries, self._map_of = world, node_queries, map_of

    def begin(self, session: ViewerSession, message: Query, now_s: float) -> None:
        """Starts a query. Raises UmweltError if the viewer has too many open queries, or if the query is not valid."""
        if len(self._node_queries) >= MAX_OPEN:
            raise BusyError("too many questions at once: wait for their answers")
        session.require_query(now_s)
        if self._map_of(message.shown) is None and message.shown != LIVE:
            raise RunError(f"tick {message.shown} is not shown: ask for it first")
        question = queries.check(self._world, queries.read(message.question))
        session.open_queries += 1

        def on_answer(outcome: queries.Part | UmweltError) -> None:
            session.open_queries -= 1
            if isinstance(outcome, UmweltError):
                session.fail(message.ticket, outcome)
            else:
                session.answer(message.ticket, outcome.tick, msgspec.json.encode(outcome.answer), outcome.raw)

        self._node_queries.begin(question, message.shown, now_s, on_answer)

"""Submits the requests of viewers that change a world: commands, and orders that control its time and nodes.

A request has a *ticket*, an id that the viewer has chosen; the answer contains it.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from umwelt.agents import commands
from umwelt.agents.world_file import WorldFile
from umwelt.cluster.gateway.coordinator_requests import CoordinatorRequests
from umwelt.cluster.gateway.node_queries import NodeQueries
from umwelt.cluster.gateway.viewer_session import ViewerSession
from umwelt.cluster.view import queries
from umwelt.cluster.wire import protocol, viewer_protocol
from umwelt.cluster.wire.protocol import SubmitCommands, TicketResult
from umwelt.cluster.wire.viewer_protocol import LIVE
from umwelt.sandbox.errors import BusyError, CommandError, UmweltError

MAX_OPEN = 2000
"""Maximum number of unanswered commands and orders of all viewers together."""
BUSY_WITHIN_S, BUSY_RETRY_S = 10.0, 0.1
"""For an order that finds the coordinator busy: how long it is retried, and the interval, in seconds."""
ORDERS = ("pause", "go", "step", "speed", "save", "leave", "stop")


class CommandSubmitter:
    """Checks commands and orders, and passes them to the coordinator. One instance for each gateway.

    A command about a being, such as a move, needs the being's present attributes, which are first fetched from the
    nodes.
    """

    def __init__(
        self,
        world: WorldFile,
        coordinator: CoordinatorRequests,
        node_queries: NodeQueries,
        clock: Callable[[], float],
    ):
        self._world, self._coordinator, self._node_queries, self._clock = world, coordinator, node_queries, clock
        self._delayed: list[tuple[float, Callable[[], None]]] = []
        """Orders that found the coordinator busy, as (time of the next attempt, function that sends the order)."""

    def poll(self, now_s: float) -> None:
        """Resends orders that found the coordinator busy."""
        due = [send for due_s, send in self._delayed if due_s <= now_s]
        self._delayed = [(due_s, send) for due_s, send in self._delayed if due_s > now_s]
        for send in due:
            send()

    def command(self, session: ViewerSession, message: viewer_protocol.CommandRequest, now_s: float) -> None:
        """Submits a command. Raises UmweltError if it is not valid, or not permitted to this viewer."""
        session.require_keeper(message.what)
        if len(self._coordinator) + len(self._node_queries) >= MAX_OPEN or not session.commands.try_take(now_s):
            raise BusyError("too many commands at once: give fewer a second")
        request = commands.decode_request(message.what, message.arguments)
        if not request.being_id():
            self._submit(session, message.ticket, request, None)
            return

        def on_answer(outcome: queries.Part | UmweltError) -> None:
            if isinstance(outcome, UmweltError):
                session.fail(message.ticket, outcome)
                return
            try:
                self._submit(session, message.ticket, request, queries.read_being(outcome.answer))
            except UmweltError as error:
                session.fail(message.ticket, error)
            except ValueError as error:
                session.fail(message.ticket, CommandError(str(error)))

        self._node_queries.begin(queries.Fetch(request.being_id()), LIVE, now_s, on_answer)

    def _submit(
        self, session: ViewerSession, ticket: str, request: commands.Request, being: dict[str, Any] | None
    ) -> None:
        """Composes the commands of a request and sends them to the coordinator, whose result answers the ticket.

        `being` describes the being that the request is about, as `queries.read_being` returns it: `kind`, `id`, place,
        and its attributes as `row`. It is None for other requests. Raises UmweltError if the request is not valid.
        """
        contents = [commands.encode(command) for command in commands.compose(self._world, request, being)]
        if not contents:
            raise CommandError("commands: none are given: give at least one")
        self._coordinator.submit(SubmitCommands(ticket, contents), self._clock(), _answer_with(session, ticket))

    def order(self, session: ViewerSession, message: viewer_protocol.Order, now_s: float) -> None:
        """Passes an order to the coordinator.

        Raises UmweltError if it is not valid, or not permitted to this viewer.
        """
        session.require_keeper(message.what)
        if len(self._coordinator) >= MAX_OPEN or not session.commands.try_take(now_s):
            raise BusyError("too many orders at once: give fewer a second")
        if message.what not in ORDERS:
            raise CommandError(f"{message.what[:40]}: unknown order: use {', '.join(ORDERS)}")
        if not abs(message.value) < 1e9:  # excludes nan
            raise CommandError(f"{message.what} {message.value}: give a finite number")
        order = protocol.Order(message.ticket, message.what, message.value, message.name[:200])
        self._send_order(order, _answer_with(session, message.ticket), now_s, now_s + BUSY_WITHIN_S)

    def _send_order(
        self,
        order: protocol.Order,
        on_settled: Callable[[TicketResult | UmweltError], None],
        now_s: float,
        end_s: float,
    ) -> None:
        """Sends an order to the coordinator, again and again until `end_s` while the coordinator is busy.

        Then calls `on_settled` with the result or the error.
        """

        def on_outcome(outcome: TicketResult | UmweltError) -> None:
            retry_s = self._clock() + BUSY_RETRY_S
            if isinstance(outcome, BusyError) and retry_s < end_s:
                self._delayed.append((retry_s, lambda: self._send_order(order, on_settled, retry_s, end_s)))
            else:
                on_settled(outcome)

        self._coordinator.submit(order, now_s, on_outcome)


def _answer_with(session: ViewerSession, ticket: str) -> Callable[[TicketResult | UmweltError], None]:
    """Returns a callback that answers the ticket of a viewer with the result or the error."""

    def on_settled(outcome: TicketResult | UmweltError) -> None:
        if isinstance(outcome, UmweltError):
            session.fail(ticket, outcome)
        else:
            session.answer(ticket, outcome.tick, msgspec.json.encode({"number": outcome.number}))

    return on_settled

"""Sends commands and orders to the coordinator, repeatedly until it answers.

A *ticket* is the id of a request, by which its answer is recognised.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from umwelt.cluster.wire.protocol import Order, SubmitCommands, TicketResult, encode
from umwelt.cluster.wire.resender import Resender
from umwelt.sandbox.errors import RunError, UmweltError, error_for

RESEND_AFTER_S = 0.25
ENDS_AFTER_S = 20.0
BATCH_EVERY_S = 0.05
MAX_SENT = 512
"""Number of unanswered requests at which no more waiting commands are sent.

While requests are unanswered, new commands wait and are sent in batches, since the coordinator makes all commands of a
batch durable in one commit.
"""
NOT_REPEATABLE = ("step", "save")
"""Orders that are not resent, since executing them twice has another effect than executing them once."""

OnSettled = Callable[[TicketResult | UmweltError], None]


@dataclass
class _Request:
    """A command message or order that is not answered yet. At the time `end_s` it fails with an error."""

    message: SubmitCommands | Order
    on_settled: OnSettled
    end_s: float


class CoordinatorRequests:
    """The commands and orders that the coordinator has not answered. One instance for each gateway.

    `send(frames)` sends to the coordinator, and returns whether the message was accepted. The coordinator recognises
    the tickets of repeated commands, but not those of repeated orders.
    """

    def __init__(self, send: Callable[[list[Any]], bool]):
        self._send = send
        self._sent: dict[str, _Request] = {}
        self._queued: dict[str, _Request] = {}
        self._resender = Resender()
        self._batched_s = -1e9

    def __len__(self) -> int:
        return len(self._sent) + len(self._queued)

    def submit(self, message: SubmitCommands | Order, now_s: float, on_settled: OnSettled) -> None:
        """Sends a message until it is answered. `on_settled` is called once, with the result or an error."""
        request = _Request(message, on_settled, now_s + ENDS_AFTER_S)
        if isinstance(message, SubmitCommands) and self._sent:
            self._queued[message.ticket] = request
        else:
            self._begin(request, now_s)

    def _begin(self, request: _Request, now_s: float) -> None:
        """Sends a request for the first time, and registers it to be resent until it is answered."""
        message = request.message
        self._sent[message.ticket] = request
        self._resender.begin(
            message.ticket,
            lambda: self._send(encode(message)),
            now_s,
            RESEND_AFTER_S,
            end_s=request.end_s,
            on_timeout=lambda: self._time_out(self._sent.pop(message.ticket)),
            once=isinstance(message, Order) and message.what in NOT_REPEATABLE,
        )

    def take(self, result: TicketResult) -> None:
        """Handles an answer of the coordinator."""
        request = self._sent.pop(result.ticket, None)
        if request is not None:
            self._resender.end(result.ticket)
            request.on_settled(error_for(result.code, result.line) if result.line else result)

    def _time_out(self, request: _Request) -> None:
        """Ends a request with an error, because the coordinator has not answered in time."""
        line = "the coordinator does not answer: see whether the world still runs: umwelt status"
        request.on_settled(RunError(line))

    def poll(self, now_s: float) -> None:
        """Sends unanswered messages again, and the next batch of waiting commands."""
        for ticket in [ticket for ticket, request in self._queued.items() if now_s > request.end_s]:
            self._time_out(self._queued.pop(ticket))
        self._resender.poll(now_s)
        self._send_batch(now_s)

    def _send_batch(self, now_s: float) -> None:
        """Sends the next batch of waiting commands, if `BATCH_EVERY_S` seconds have passed since the previous batch."""
        if not self._queued or now_s - self._batched_s < BATCH_EVERY_S:
            return
        self._batched_s = now_s
        for ticket in list(self._queued)[: max(0, MAX_SENT - len(self._sent))]:
            self._begin(self._queued.pop(ticket), now_s)

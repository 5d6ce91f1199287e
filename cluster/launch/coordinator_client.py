"""Connection of the process that launched a run (`launch/local.py`) to the run's coordinator.

It receives status reports and sends orders such as stop (`protocol.Order` lists them).

Every order has a *ticket*, an id by which its result is recognised.
"""

import os
import time
from contextlib import suppress
from typing import Any

import msgspec

from umwelt.cluster.settings import STATUS_SUBSCRIPTION_S
from umwelt.cluster.wire.keys import WORLD, Keys
from umwelt.cluster.wire.protocol import Order, StatusReport, StatusSubscription, TicketResult, decode, encode
from umwelt.cluster.wire.transport import ZmqTransport

SUBSCRIBE_AGAIN_S = 0.1
"""Interval in seconds at which the subscription to reports is resent until the first report arrives."""
RESEND_S = 0.2
"""Interval in seconds at which unanswered orders are resent."""


class CoordinatorClient:
    """Receives reports from a coordinator and sends orders to it. Used by one thread, which calls `poll` repeatedly."""

    def __init__(self, address: str, keys: Keys | None = None):
        self.address = address
        self.report: StatusReport | None = None
        """The last report; None before the first."""
        self.status: dict[str, Any] = {}
        """The status in the last report, with the fields of `coordinator.status.RunStatus`; empty before the first."""
        self.settled: dict[str, TicketResult] = {}
        """Results of the answered orders, by ticket."""
        self._transport = ZmqTransport(b"", keys=keys, role=WORLD)
        self._subscribed_s = -1e9
        self._orders: dict[str, Order] = {}
        self._sent_s = 0.0
        self._tickets = 0

    def poll(self, wait_s: float) -> bool:
        """Sends the messages that are due, and waits up to `wait_s` seconds for one. Returns whether a report arrived.

        Stores the received reports and results in `report`, `status` and `settled`.
        """
        now_s = time.monotonic()
        if now_s - self._subscribed_s > (STATUS_SUBSCRIPTION_S if self.report is not None else SUBSCRIBE_AGAIN_S):
            self._subscribed_s = now_s
            self._transport.send(self.address, encode(StatusSubscription("engine")))
        if self._orders and now_s - self._sent_s > RESEND_S:
            self._sent_s = now_s
            for order in self._orders.values():
                self._transport.send(self.address, encode(order))
        has_report = False
        while (incoming := self._transport.receive(wait_s)) is not None:
            wait_s = 0.0
            with suppress(ValueError):
                message, _ = decode(incoming.frames)
                if isinstance(message, StatusReport):
                    self.report, self.status, has_report = message, msgspec.json.decode(message.status), True
                elif isinstance(message, TicketResult):
                    self._orders.pop(message.ticket, None)
                    self.settled[message.ticket] = message
        return has_report

    def order(self, what: str, value: float = 0.0, name: str = "") -> str:
        """Sends an order, repeatedly until it is answered. Returns its ticket, under which `settled` gets the result.

        The arguments are the fields of `protocol.Order`.
        """
        self._tickets += 1
        ticket = f"engine-{os.getpid()}-{self._tickets}"
        self._orders[ticket] = Order(ticket, what, value, name)
        self._sent_s = 0.0
        return ticket

    def close(self) -> None:
        """Closes the connection."""
        self._transport.close()

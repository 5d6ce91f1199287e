"""Requests that wait for their answers: resent until the gateway answers, and to the next gateway if one is lost.

The gateway's own `Resender` serves single messages to a known receiver; here tasks travel in bundles, and all requests
begin again with another gateway.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import msgspec

from umwelt.cluster import viewer_protocol
from umwelt.sandbox.errors import RunError, UmweltError, error_for

RESEND_S = 1.0
"""After so long without an answer a message is sent again; the gateway does the same ticket once."""
RESEND_UNSENT_S = 0.1
"""Tasks that the transport did not take are tried again this soon."""
MAX_TASK_RESEND_S = 8.0
IDLE_S = 2.0
"""With nothing pending, the next look at what is due is this far off."""
MAX_BUNDLED, MAX_BUNDLED_BYTES = 64, 512 << 10
"""Tasks that travel in one message, and about how many bytes their arguments may have in all."""
NEVER_S = -1e9


@dataclass
class Reply:
    """A successful answer: the tick at which it takes effect or was true, its JSON content, its raw frame."""

    tick: int
    content: dict[str, Any]
    raw: bytes


@dataclass
class _Pending:
    message: viewer_protocol.Message | viewer_protocol.Task
    future: "Future[Reply]"
    once: bool
    resend_s: float = RESEND_S
    sent_s: float = NEVER_S
    sent: bool = False
    """Whether the transport took it at least once."""


class PendingRequests:
    """The requests of one connection. It belongs to the thread of `connection.py`; only `len` is for other threads.

    `send` gives a message to the transport and returns whether the transport took it.
    """

    def __init__(self, send: Callable[[viewer_protocol.Message], bool]):
        self._send = send
        self._pending: dict[str, _Pending] = {}
        self._due_s = 0.0
        """No request is due before this time."""

    def __len__(self) -> int:
        return len(self._pending)

    def add(
        self,
        ticket: str,
        message: viewer_protocol.Message | viewer_protocol.Task,
        future: "Future[Reply]",
        once: bool = False,
    ) -> None:
        """Adds a request, to be sent at the next turn; its answer goes to `future`."""
        self._pending[ticket], self._due_s = _Pending(message, future, once), 0.0

    def discard(self, tickets: Sequence[str]) -> None:
        """Forgets requests whose answers are no longer needed."""
        for ticket in tickets:
            self._pending.pop(ticket, None)

    def settle(self, answer: viewer_protocol.Answer, raw: Sequence[bytes], address: str) -> bool:
        """Hands an answer to the future that waits for it; returns False if none does."""
        pending = self._pending.pop(answer.ticket, None)
        if pending is None:
            return False
        if answer.line:
            _fail(pending, error_for(answer.code, answer.line))
            return True
        try:
            content = msgspec.json.decode(answer.content, type=dict[str, Any])
        except msgspec.DecodeError as error:
            _fail(pending, RunError(f"{address}: malformed answer: {error}: see that the gateway runs this umwelt"))
            return True
        if pending.future.set_running_or_notify_cancel():
            pending.future.set_result(Reply(answer.tick, content, raw[0] if raw else b""))
        return True

    def gateway_lost(self, address: str) -> None:
        """Prepares all requests for the next gateway; those that must not be sent twice fail with RunError."""
        self._due_s = 0.0
        for ticket, pending in list(self._pending.items()):
            pending.sent_s, pending.resend_s = NEVER_S, RESEND_S
            if pending.once and pending.sent:
                del self._pending[ticket]
                line = f"{address}: the gateway was lost before it answered: see whether the request took effect"
                _fail(pending, RunError(line))

    def fail_all(self, error: RunError) -> None:
        """Ends all requests with an error: the connection is closed."""
        for pending in self._pending.values():
            _fail(pending, error)
        self._pending.clear()

    def turn(self, now_s: float) -> None:
        """Sends what is due, tasks in bundles. Cancelled requests are dropped."""
        if now_s < self._due_s:
            return
        tasks: list[_Pending] = []
        for ticket, pending in list(self._pending.items()):
            if pending.future.cancelled():
                del self._pending[ticket]
            elif now_s - pending.sent_s >= pending.resend_s:
                if isinstance(pending.message, viewer_protocol.Task):
                    tasks.append(pending)
                    continue
                pending.sent_s = now_s
                pending.sent = self._send(pending.message) or pending.sent
        self._send_tasks(tasks, now_s)
        due = (pending.sent_s + pending.resend_s for pending in self._pending.values())
        self._due_s = min(due, default=now_s + IDLE_S)

    def _send_tasks(self, due: Sequence[_Pending], now_s: float) -> None:
        """Sends tasks in bundles. Each is resent ever less often, because most are being worked on."""
        while due:
            bundle: list[viewer_protocol.Task] = []
            size = 0
            for pending in due[:MAX_BUNDLED]:
                assert isinstance(pending.message, viewer_protocol.Task)
                size += len(pending.message.arguments)
                if bundle and size > MAX_BUNDLED_BYTES:
                    break
                bundle.append(pending.message)
            sent = self._send(viewer_protocol.Tasks(bundle))
            for pending in due[: len(bundle)]:
                pending.sent_s = now_s if sent else now_s - pending.resend_s + RESEND_UNSENT_S
                pending.resend_s = min(2 * pending.resend_s, MAX_TASK_RESEND_S) if sent else pending.resend_s
            due = due[len(bundle) :]


def _fail(pending: _Pending, error: UmweltError) -> None:
    if pending.future.set_running_or_notify_cancel():
        pending.future.set_exception(error)

"""Requests without an answer yet: resent until the gateway answers, and sent to the next gateway if it is lost.

The gateway is the process of a running world that answers clients. Requests are single messages, except tasks (calls of
functions that the world's nodes execute), which are sent in bundles. The class `Resender` of `umwelt.cluster` does not
suffice here, because it has neither bundles nor a receiver that changes.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import msgspec

from umwelt.cluster import viewer_protocol
from umwelt.sandbox.errors import RunError, UmweltError, error_for

RESEND_S = 1.0
"""Seconds without an answer after which a message is resent; the gateway executes each ticket only once."""
RESEND_UNSENT_S = 0.1
"""Seconds after which tasks that the transport did not accept are sent again."""
MAX_TASK_RESEND_S = 8.0
"""Maximum delay in seconds before a task is resent; see `_send_tasks`."""
IDLE_S = 2.0
"""Seconds until the next check for due requests if there are none; `add` makes it immediate."""
MAX_BUNDLED, MAX_BUNDLED_BYTES = 64, 512 << 10
"""Maximum number of tasks in one message, and maximum size of all their arguments if there are several."""
NEVER_S = -1e9
"""A monotonic time before all others, for messages that have not been sent or received yet."""


@dataclass
class Reply:
    """A successful answer.

    `tick` is the tick at which a command takes effect, or that of the world state from which a query was answered.
    `content` is the decoded JSON; `raw` is the first binary frame, empty if there is none.
    """

    tick: int
    content: dict[str, Any]
    raw: bytes


@dataclass
class _Pending:
    """A request without an answer: its message, the future of its answer, and when it was last sent.

    `sent_s` is a monotonic time; the message is resent `resend_s` seconds after it.
    """

    message: viewer_protocol.Message | viewer_protocol.Task
    future: "Future[Reply]"
    once: bool
    """Whether the request fails, instead of being resent, if its gateway is lost."""
    resend_s: float = RESEND_S
    sent_s: float = NEVER_S
    sent: bool = False
    """Whether the transport has accepted the message at least once."""


class PendingRequests:
    """The unanswered requests of one connection, by ticket: the unique id of a request, which its answer repeats.

    Only the link's thread (`connection.py`) uses it, except for `len`. `send` passes a message to the transport and
    returns whether the transport accepted it.
    """

    def __init__(self, send: Callable[[viewer_protocol.Message], bool]):
        self._send = send
        self._pending: dict[str, _Pending] = {}
        self._due_s = 0.0
        """Monotonic time before which no request needs to be sent."""

    def __len__(self) -> int:
        return len(self._pending)

    def add(
        self,
        ticket: str,
        message: viewer_protocol.Message | viewer_protocol.Task,
        future: "Future[Reply]",
        once: bool = False,
    ) -> None:
        """Adds a request, which the next call of `poll` sends; its answer completes `future`.

        A request with `once` fails, instead of being resent, if its gateway is lost.
        """
        self._pending[ticket], self._due_s = _Pending(message, future, once), 0.0

    def discard(self, tickets: Sequence[str]) -> None:
        """Removes the requests with these tickets; their answers are no longer needed."""
        for ticket in tickets:
            self._pending.pop(ticket, None)

    def settle(self, answer: viewer_protocol.Answer, raw: Sequence[bytes], address: str) -> bool:
        """Completes the future of the request that `answer` belongs to; returns False if there is none.

        `raw` are the binary frames of the answer; `address` is the gateway's, for an error message.
        """
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
        """Makes all requests due again, for the next gateway; sent requests with `once` fail with RunError.

        `address` is that of the lost gateway, for the error message.
        """
        self._due_s = 0.0
        for ticket, pending in list(self._pending.items()):
            pending.sent_s, pending.resend_s = NEVER_S, RESEND_S
            if pending.once and pending.sent:
                del self._pending[ticket]
                line = f"{address}: the gateway was lost before it answered: see whether the request took effect"
                _fail(pending, RunError(line))

    def fail_all(self, error: RunError) -> None:
        """Fails all requests with `error` and removes them; called when the connection is closed."""
        for pending in self._pending.values():
            _fail(pending, error)
        self._pending.clear()

    def poll(self, now_s: float) -> None:
        """Sends the requests that are due, tasks in bundles, and removes cancelled requests."""
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
        """Sends the tasks `due` in bundles.

        The delay before a task is resent doubles each time, because a task without an answer is usually in progress.
        """
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
    """Completes the future of a request with `error`, unless it was cancelled."""
    if pending.future.set_running_or_notify_cancel():
        pending.future.set_exception(error)

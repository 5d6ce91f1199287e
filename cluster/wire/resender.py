"""Repeats requests until they are answered, because messages can be lost and receivers can be restarted.

A receiver recognises a repeated request by its ticket and executes it only once.
"""

import math
from collections.abc import Callable, Hashable
from dataclasses import dataclass

RETRY_UNSENT_S = 0.05
"""Time after which a failed send is retried: usually it failed because the connection was not open yet."""


@dataclass
class _Request:
    """A request that is repeated until it is answered; `due_s` is the time of its next send."""

    send: Callable[[], bool]
    interval_s: float
    max_interval_s: float
    end_s: float
    on_timeout: Callable[[], None] | None
    once: bool
    due_s: float = -math.inf


class Resender:
    """The unanswered requests of one process, identified by keys that the caller chooses. Not thread-safe.

    A request is a function `send` that transmits it and returns whether the transport accepted it. `begin` calls the
    function for the first time, `poll` calls it again when the request is due, and `end` removes an answered request.
    """

    def __init__(self) -> None:
        self._requests: dict[Hashable, _Request] = {}

    def __len__(self) -> int:
        return len(self._requests)

    def __contains__(self, key: Hashable) -> bool:
        return key in self._requests

    def begin(
        self,
        key: Hashable,
        send: Callable[[], bool],
        now_s: float,
        interval_s: float,
        max_interval_s: float = 0.0,
        end_s: float = math.inf,
        on_timeout: Callable[[], None] | None = None,
        once: bool = False,
    ) -> None:
        """Sends a request, and repeats it after `interval_s` seconds until `end` is called with its `key`.

        If `max_interval_s` is larger than `interval_s`, the interval doubles with each send up to `max_interval_s`. At
        the time `end_s` the request is removed and `on_timeout` is called. With `once`, the request is not repeated
        after a send was accepted: for requests that the receiver would execute twice.
        """
        request = _Request(send, interval_s, max(interval_s, max_interval_s), end_s, on_timeout, once)
        self._requests[key] = request
        self._send(request, now_s)

    def end(self, key: Hashable) -> bool:
        """Removes a request, because it was answered or is not needed; returns whether it was present."""
        return self._requests.pop(key, None) is not None

    def poll(self, now_s: float) -> None:
        """Repeats the requests that are due, and removes those whose `end_s` has passed."""
        for key, request in list(self._requests.items()):
            if self._requests.get(key) is not request:
                continue  # a callback has ended it
            if now_s > request.end_s:
                del self._requests[key]
                if request.on_timeout is not None:
                    request.on_timeout()
            elif now_s >= request.due_s:
                self._send(request, now_s)

    def _send(self, request: _Request, now_s: float) -> None:
        """Sends a request and sets the time of its next send."""
        if not request.send():
            request.due_s = now_s + RETRY_UNSENT_S
        elif request.once:
            request.due_s = math.inf
        else:
            request.due_s = now_s + request.interval_s
            request.interval_s = min(2 * request.interval_s, request.max_interval_s)

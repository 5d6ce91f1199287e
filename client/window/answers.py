"""Answers that have been asked for and have not arrived, and what to do with each when it arrives."""

from collections.abc import Callable
from typing import Any

from umwelt.client.connection.promises import Promise
from umwelt.sandbox.errors import UmweltError

MALFORMED = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError)
"""What handling an answer may raise if the server sent something of another shape than was asked for."""


class Answers:
    """The open questions of one session. `deliver` is called once a frame and never waits."""

    def __init__(self) -> None:
        self._open: list[tuple[Promise, Callable[[Any], None] | None, Callable[[str], None]]] = []

    def expect(self, promise: Promise, then: Callable[[Any], None] | None, failed: Callable[[str], None]) -> None:
        """Call `then` with the answer, or `failed` with an error line, in the first `deliver` after it arrives."""
        self._open.append((promise, then, failed))

    def deliver(self, report: Callable[[str], None]) -> None:
        """Handle every answer that has arrived; `report` gets an error line for a malformed answer."""
        questions, self._open = self._open, []
        for promise, then, failed in questions:
            if not promise.done:
                self._open.append((promise, then, failed))
                continue
            try:
                answer = promise.result()
            except UmweltError as error:
                failed(str(error))
                continue
            if then is None:
                continue
            try:
                then(answer)
            except MALFORMED as error:  # nothing that a server sends may close the window
                report(f"{promise.what}: malformed answer: {' '.join(repr(error).split())[:200]}")

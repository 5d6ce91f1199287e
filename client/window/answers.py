"""Pending answers from the gateway, and the callbacks that handle them when they arrive."""

from collections.abc import Callable
from typing import Any

from umwelt.client.connection.promises import Promise
from umwelt.sandbox.errors import UmweltError

MALFORMED = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError)
"""Exceptions that a callback may raise if the gateway sent an answer of an unexpected form."""


class Answers:
    """The pending answers of one session. `deliver` is called once a frame and never blocks."""

    def __init__(self) -> None:
        self._open: list[tuple[Promise, Callable[[Any], None] | None, Callable[[str], None]]] = []

    def expect(self, promise: Promise, then: Callable[[Any], None] | None, failed: Callable[[str], None]) -> None:
        """Registers callbacks for the first `deliver` after the promise is resolved.

        `then` is called with the answer, `failed` with an error line. If `then` is None, the answer is ignored.
        """
        self._open.append((promise, then, failed))

    def deliver(self, report: Callable[[str], None]) -> None:
        """Calls the callbacks of all answers that have arrived; `report` gets an error line for a malformed answer."""
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
            except MALFORMED as error:  # a malformed answer must not end the program
                report(f"{promise.what}: malformed answer: {' '.join(repr(error).split())[:200]}")

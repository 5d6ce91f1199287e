"""Answers that are awaited from the gateway, the server of the world, and the functions that are called with them.

A promise stands for an answer that may not have arrived yet.
"""

from collections.abc import Callable
from typing import Any

from umwelt.client.connection.promises import Promise
from umwelt.sandbox.errors import UmweltError

MALFORMED = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError)
"""The exceptions that code which reads an answer may raise if the answer has an unexpected form."""


class Answers:
    """The awaited answers of one window. The window calls `deliver` once a frame; it never waits for an answer."""

    def __init__(self) -> None:
        self._open: list[tuple[Promise, Callable[[Any], None] | None, Callable[[str], None]]] = []

    def expect(self, promise: Promise, then: Callable[[Any], None] | None, failed: Callable[[str], None]) -> None:
        """Registers two functions, one of which `deliver` will call when the answer or an error has arrived.

        `then` is called with the answer (None: the answer is ignored), `failed` with one line that states the error.
        """
        self._open.append((promise, then, failed))

    def deliver(self, report: Callable[[str], None]) -> None:
        """Calls the registered functions for all answers that have arrived.

        If a function fails since the answer is malformed, `report` is called with an error line.
        """
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

"""Notices: one-line messages to the user, displayed for a few seconds, then kept for the list of events."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

SHOWN_S = 6.0
"""The time in seconds for which a notice is displayed."""
MAX_KEPT = 100


@dataclass
class Notice:
    """One message; `bad` marks an error, `at_s` is the time in seconds at which it was added."""

    line: str
    at_s: float
    bad: bool = False


class Notices:
    """The latest `MAX_KEPT` notices of one window, oldest first; `clock` returns the time in seconds."""

    def __init__(self, clock: Callable[[], float]):
        self._clock = clock
        self._notices: list[Notice] = []

    def __iter__(self) -> Iterator[Notice]:
        return iter(self._notices)

    def __len__(self) -> int:
        return len(self._notices)

    def __getitem__(self, at: int) -> Notice:
        return self._notices[at]

    def add(self, line: str, bad: bool = False) -> None:
        """Adds a notice, which is displayed for `SHOWN_S` seconds; `bad` marks an error."""
        self._notices = [*self._notices[1 - MAX_KEPT :], Notice(line, self._clock(), bad)]

    def recent(self) -> list[Notice]:
        """Returns the notices that are still displayed."""
        return [notice for notice in self._notices if self._clock() - notice.at_s < SHOWN_S]

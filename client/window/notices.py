"""Short lines for the person at the window: shown for a few seconds, then kept for the list of events."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

SHOWN_S = 6.0
MAX_KEPT = 100


@dataclass
class Notice:
    """One line; `bad` marks an error, `at_s` is the time on the session's clock."""

    line: str
    at_s: float
    bad: bool = False


class Notices:
    """The last notices of one session, oldest first."""

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
        """Show a line."""
        self._notices = [*self._notices[1 - MAX_KEPT :], Notice(line, self._clock(), bad)]

    def recent(self) -> list[Notice]:
        """The notices that are still on the screen."""
        return [notice for notice in self._notices if self._clock() - notice.at_s < SHOWN_S]

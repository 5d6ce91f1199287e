"""Sends the window's commands (changes of the world) to the world, and keeps a list of the confirmed ones.

A command is confirmed by an answer with the tick at which it takes effect.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from umwelt.agents.commands import MAX_BATCH_COMMANDS, Command
from umwelt.client.window.session import Session
from umwelt.sandbox.errors import UmweltError

BATCH_EVERY_S = 0.1
"""Minimum time in seconds between two batches (commands that are sent together) of a stroke."""
MAX_DONE = 500
"""Maximum number of entries in the list of confirmed commands."""

Cell = tuple[int, int]
"""A cell: y, x."""


@dataclass
class Done:
    """A confirmed command, or all confirmed commands of one stroke of the mouse (from press to release).

    `tick` is the first tick at which they take effect; `words` describes them.
    """

    tick: int
    words: str


class CommandSender:
    """Sends commands for a session, and adds the confirmed ones to `done`, which the timeline displays."""

    def __init__(self, session: Session):
        self.session = session

    @property
    def done(self) -> list[Done]:
        """The confirmed commands of this window, oldest first."""
        return self.session.done

    def send(self, words: str, command: str, **fields: Any) -> None:
        """Sends the command of the kind `command` with these fields; errors are displayed as notices.

        Once it is confirmed, `words` (its description) are displayed, and it is added to `done`.
        """

        def confirm(tick: Any) -> None:
            self.remember(Done(int(tick), words))

        try:
            self.session.command("command", command, done=words, then=confirm, **fields)
        except UmweltError as error:
            self.session.say(str(error), bad=True)

    def remember(self, done: Done) -> None:
        """Appends to `done`; beyond `MAX_DONE` entries, the oldest is removed."""
        self.done.append(done)
        del self.done[:-MAX_DONE]


class Stroke:
    """The commands from a press of the mouse button until its release, one for each cell that the mouse passes.

    Cells wait in `waiting`; their commands are sent in batches, at most one batch every `BATCH_EVERY_S` seconds. A
    stroke is one entry of `CommandSender.done`. One notice is displayed for it, when the button has been released and
    all batches are answered.
    """

    def __init__(
        self, sender: CommandSender, compose: Callable[[int, int], Command], describe: Callable[[int], str], start: Cell
    ):
        """`compose(y, x)` returns the command for a cell, `describe(count)` the text that describes `count` of them.

        `start` is the first cell.
        """
        self.sender, self._compose, self._describe = sender, compose, describe
        self.waiting: list[Cell] = [start]
        self.last_cell = start
        """The cell of the most recently sent command."""
        self._sent_s = -1e9
        self._sent_batches = self._answered_batches = 0
        self._confirmed_commands = 0
        self._released = self._failed = False
        self._done: Done | None = None

    def is_due(self, now_s: float) -> bool:
        """Returns whether at least `BATCH_EVERY_S` seconds have passed since the previous batch was sent."""
        return now_s - self._sent_s >= BATCH_EVERY_S

    def flush(self, now_s: float, all_of_it: bool = False) -> None:
        """Sends the next batch of waiting cells if it is due; with `all_of_it`, sends all waiting cells immediately."""
        if not self.waiting or not (all_of_it or self.is_due(now_s)):
            return
        self._sent_s = now_s
        while self.waiting and not self._failed:
            cells, self.waiting = self.waiting[:MAX_BATCH_COMMANDS], self.waiting[MAX_BATCH_COMMANDS:]
            self.last_cell = cells[-1]
            self._send(cells)
            if not all_of_it:
                break

    def release(self, now_s: float) -> None:
        """Ends the stroke and sends the remaining cells."""
        self.flush(now_s, all_of_it=True)
        self._released = True
        self._report()

    def _send(self, cells: Sequence[Cell]) -> None:
        """Sends the commands of these cells as one batch."""
        session = self.sender.session

        def confirm(tick: Any) -> None:
            self._answered_batches += 1
            self._confirmed_commands += len(cells)
            if self._done is None:
                self._done = Done(int(tick), "")
                self.sender.remember(self._done)
            self._done.tick = min(self._done.tick, int(tick))
            self._done.words = self._describe(self._confirmed_commands)
            self._report()

        def fail(line: str) -> None:
            self._answered_batches += 1
            if not self._failed:  # one notice for each stroke
                session.say(line, bad=True)
            self._failed, self.waiting = True, []
            self._report()

        self._sent_batches += 1
        try:
            session.command("do", *[self._compose(*cell) for cell in cells], then=confirm, failed=fail)
        except UmweltError as error:
            fail(str(error))

    def _report(self) -> None:
        """Displays the stroke's notice, if the button has been released and all batches are answered."""
        if self._released and self._answered_batches == self._sent_batches and self._done is not None:
            self.sender.session.say(f"{self._done.words} (tick {self._done.tick})")

"""Sending commands to the world from the window, and remembering those that the world has confirmed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from umwelt.agents.commands import MAX_BATCH_COMMANDS, Command
from umwelt.client.window.session import Session
from umwelt.sandbox.errors import UmweltError

BATCH_EVERY_S = 0.1
MAX_DONE = 500

Cell = tuple[int, int]


@dataclass
class Done:
    """A confirmed command, or all commands of a stroke: the first tick at which it takes effect, and a description."""

    tick: int
    words: str


class CommandSender:
    """Sends commands of one session. `done` is what was confirmed, oldest first; the timeline shows it."""

    def __init__(self, session: Session):
        self.session = session

    @property
    def done(self) -> list[Done]:
        """What was done from this window, oldest first."""
        return self.session.done

    def send(self, words: str, command: str, **fields: Any) -> None:
        """Send a request by its command's name; once confirmed, it is reported with `words` and remembered."""

        def confirm(tick: Any) -> None:
            self.remember(Done(int(tick), words))

        try:
            self.session.command("command", command, done=words, then=confirm, **fields)
        except UmweltError as error:
            self.session.say(str(error), bad=True)

    def remember(self, done: Done) -> None:
        """Add to what was done."""
        self.done.append(done)
        del self.done[:-MAX_DONE]


class Stroke:
    """The commands of one press of the mouse until its release, one for each cell.

    Cells wait in `waiting` and are sent as batches, at most one every `BATCH_EVERY_S`. A stroke is one entry of
    `CommandSender.done`, and is reported once: when it is released and all its batches are answered.
    """

    def __init__(
        self, sender: CommandSender, compose: Callable[[int, int], Command], describe: Callable[[int], str], start: Cell
    ):
        """`compose` returns the command for a cell; `describe` returns the report from the number of commands."""
        self.sender, self._compose, self._describe = sender, compose, describe
        self.waiting: list[Cell] = [start]
        self.last_cell = start
        """The cell that was sent last."""
        self._sent_s = -1e9
        self._sent_batches = self._answered_batches = 0
        self._confirmed_commands = 0
        self._released = self._failed = False
        self._done: Done | None = None

    def is_due(self, now_s: float) -> bool:
        """Whether a batch may be sent now."""
        return now_s - self._sent_s >= BATCH_EVERY_S

    def flush(self, now_s: float, all_of_it: bool = False) -> None:
        """Send the next batch of waiting cells if one is due, or all of them at once."""
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
        """Send what is left; the stroke ends."""
        self.flush(now_s, all_of_it=True)
        self._released = True
        self._report()

    def _send(self, cells: Sequence[Cell]) -> None:
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
            if not self._failed:  # one line for the whole stroke
                session.say(line, bad=True)
            self._failed, self.waiting = True, []
            self._report()

        self._sent_batches += 1
        try:
            session.command("do", *[self._compose(*cell) for cell in cells], then=confirm, failed=fail)
        except UmweltError as error:
            fail(str(error))

    def _report(self) -> None:
        if self._released and self._answered_batches == self._sent_batches and self._done is not None:
            self.sender.session.say(f"{self._done.words} (tick {self._done.tick})")

"""Undo and changes of the past: both fork the run at a past tick, after the user has agreed.

To fork is to start a new run that shares the history of the present one up to that tick; the present run continues.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from umwelt.client.window.input.sending import Done
from umwelt.client.window.session import Session
from umwelt.sandbox.errors import UmweltError

SPECTATOR_LINE = "spectators cannot change the world: connect with a keeper's key"


@dataclass
class Question:
    """A question to the user; `yes` and `no` label the two buttons, `confirm` is called if the first is pressed."""

    title: str
    text: str
    yes: str
    no: str
    confirm: Callable[[], None]


class ForkDialog:
    """Asks the user before the run is forked. `question` is the one that awaits an answer; None if there is none."""

    def __init__(self, session: Session, done: Sequence[Done]):
        """`done` lists the commands of this window, oldest first; the caller appends to it, and each can be undone."""
        self.session, self._done = session, done
        self.question: Question | None = None

    def offer_undo(self, index: int = -1) -> None:
        """Asks whether to fork the run just before a command of this window, by default the newest.

        `index` is the command's index in `done`.
        """
        if not self.session.keeper:
            say_once(self.session, SPECTATOR_LINE)
            return
        if not -len(self._done) <= index < len(self._done):
            self.session.say("nothing was done from this window yet")
            return
        done = self._done[index]
        # commands take effect at the start of their tick: a fork at that tick begins without them
        self.question = Question(
            "Undo?",
            f'"{done.words}" took effect at tick {done.tick}. This world is shared and cannot go back, but a new run '
            f"can start from tick {done.tick}: without this command, and without all that came after it.",
            "fork the run there",
            "leave it as it is",
            lambda: fork_run(self.session, done.tick, f'without "{done.words}"'),
        )

    def offer_fork(self, tick: int) -> None:
        """Asks whether to fork the run at a past tick, since only a new run can be changed from there on."""
        self.question = Question(
            "Change the past?",
            f"Tick {tick} is past and cannot be changed in this run. A new run can start from it and be changed; "
            "this one continues.",
            "fork the run there",
            "leave it as it is",
            lambda: fork_run(self.session, tick),
        )

    def answer(self, yes: bool) -> None:
        """Closes the open question, and forks the run if `yes`."""
        question, self.question = self.question, None
        if question is not None and yes:
            question.confirm()


def say_once(session: Session, line: str) -> None:
    """Displays an error notice, unless the same line is still displayed."""
    if not any(notice.line == line for notice in session.fresh_notices):
        session.say(line, bad=True)


def fork_run(session: Session, tick: int, why: str = "", then: Callable[[str, int], None] | None = None) -> None:
    """Forks the run at `tick`, displays how to open the new run, then calls `then(folder of the new run, tick)`.

    If the run is not recorded that far yet, it is forked at the latest recorded tick. `why` is added to the notice.
    """
    if not session.keeper:
        session.say("only keepers may fork a run: connect with a keeper's key", bad=True)
        return
    metrics = session.status.get("metrics") or {}
    reached = max(int(metrics.get("tick", 0)), int(session.status.get("snapshot_tick", 0)))
    tick = max(0, min(tick, reached))

    def report(folder: Any) -> None:
        session.say(f"a new run from tick {tick}{' ' + why if why else ''}: umwelt resume {folder}")
        if then is not None:
            then(str(folder), tick)

    session.say(f"forking the run from tick {tick} ...")
    try:
        session.command("fork", tick, then=report)
    except UmweltError as error:
        session.say(str(error), bad=True)

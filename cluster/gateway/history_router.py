"""Serves requests of viewers about the past: replays of earlier ticks, forks, and queries of the journal.

A *replay* computes an earlier tick again, from a snapshot and the journal, in a process of its own. A *fork* is a new
run that shares the past of this one up to a tick.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from umwelt.cluster.gateway.journal_queries import JOURNAL_QUERIES, JournalAnswer, JournalQueries
from umwelt.cluster.gateway.replay_launcher import ReplayProcesses
from umwelt.cluster.gateway.replay_process import MAX_TICKS_PER_S
from umwelt.cluster.gateway.viewer_session import ViewerSession
from umwelt.cluster.run.store import Store
from umwelt.cluster.wire.viewer_protocol import History
from umwelt.sandbox.errors import CommandError, RunError, UmweltError

REPLAY_TOKENS = 4.0
"""The number of queries that a replay or fork counts as, since it starts a process."""


class HistoryRouter:
    """Checks `History` requests and passes them to replay processes or to the journal.

    One instance for each gateway that has a run folder. `reached()` returns the tick that the live world has reached.
    """

    def __init__(self, run: Path, replays: ReplayProcesses, journal: JournalQueries, reached: Callable[[], int]):
        self._run, self._replays, self._journal, self._reached = run, replays, journal, reached

    def begin(self, session: ViewerSession, message: History, now_s: float) -> None:
        """Starts a request. Raises UmweltError if the request is not valid, or not permitted to this viewer."""
        match message.what:
            case "list":
                self._list(session, message)
            case "show":
                self._replay(session, message, now_s)
            case "fork":
                session.require_keeper("fork")
                self._replay(session, message, now_s)
            case "play":
                self._play(session, message, now_s)
            case what if what in JOURNAL_QUERIES:
                self._query_journal(session, message, now_s)
            case what:
                known = ", ".join(("list", "show", "play", "fork", *JOURNAL_QUERIES))
                raise CommandError(f"history: {what[:40]}: unknown request: use {known}")

    def _list(self, session: ViewerSession, message: History) -> None:
        """Answers with the run's snapshots, the tick that the run has reached, and the ticks that replays show."""
        snapshots = [{"tick": one.tick, "kept": one.kept} for one in reversed(Store.open(self._run).entries())]
        content = {"snapshots": snapshots, "reached": self._reached(), "shown": self._replays.shown()}
        session.answer(message.ticket, self._reached(), msgspec.json.encode(content))

    def _replay(self, session: ViewerSession, message: History, now_s: float) -> None:
        """Makes a replay process show a tick, or fork the run from it, and answers when this is done.

        The answer is a JSON object whose `run` is the folder of the fork; empty for a replay.
        """
        reached = self._reached()
        if not 0 <= message.tick <= reached:
            raise RunError(f"tick {message.tick}: the run has reached tick {reached}: give one from 0 to {reached}")
        session.take_query_tokens(now_s, REPLAY_TOKENS)

        def on_ready(outcome: dict[str, Any] | UmweltError) -> None:
            if isinstance(outcome, UmweltError):
                session.fail(message.ticket, outcome)
            else:
                session.answer(message.ticket, message.tick, msgspec.json.encode({"run": outcome.get("run", "")}))

        self._replays.begin(message.what, message.tick, now_s, on_ready)

    def _play(self, session: ViewerSession, message: History, now_s: float) -> None:
        """Sets the speed at which a replay continues; answers with the replay's present tick."""
        if not 0 <= message.value <= MAX_TICKS_PER_S:  # excludes nan
            raise RunError(f"play {message.value}: give 0 (rest) to {MAX_TICKS_PER_S} ticks a second")
        session.take_query_tokens(now_s)

        def on_settled(outcome: int | UmweltError) -> None:
            if isinstance(outcome, UmweltError):
                session.fail(message.ticket, outcome)
            else:
                session.answer(message.ticket, outcome)

        self._replays.play(message.tick, message.value, now_s, on_settled)

    def _query_journal(self, session: ViewerSession, message: History, now_s: float) -> None:
        """Starts a query of the journal, whose result answers the viewer's ticket."""
        session.require_query(now_s)

        def on_answer(outcome: JournalAnswer | UmweltError) -> None:
            session.open_queries -= 1
            if isinstance(outcome, UmweltError):
                session.fail(message.ticket, outcome)
            else:
                session.answer(message.ticket, self._reached(), msgspec.json.encode(outcome.content), outcome.raw)

        self._journal.begin(message, on_answer)
        session.open_queries += 1

    def poll(self, shown: set[int], now_s: float) -> None:
        """Advances open replays and journal queries. `shown` are the ticks that viewers watch or query at present."""
        for tick in shown:
            self._replays.use(tick, now_s)
        self._replays.poll(now_s)
        self._journal.poll()

    def close(self) -> None:
        """Ends the replay processes and the thread that reads the journal."""
        self._replays.close()
        self._journal.close()

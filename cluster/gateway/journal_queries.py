"""Queries of a run's journal: metrics, births, and the ancestors and children of a being.

The journal can be large and its disk slow. So a thread reads it, one query after another, while the gateway continues
to serve viewers. The size of every answer is bounded.
"""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

from umwelt.agents.world_file import WorldFile
from umwelt.cluster.gateway.welcome import species_names
from umwelt.cluster.run.journal import Journal, Metrics
from umwelt.cluster.wire.viewer_protocol import History
from umwelt.sandbox.errors import BusyError, RunError, UmweltError, WorldFileError
from umwelt.sandbox.text import one_line, one_of

JOURNAL_QUERIES = ("metrics", "births", "family")
MAX_UNDER_WAY = 100
MAX_POINTS, MAX_NUMBERS = 2000, 200_000
"""Maximum number of ticks in an answer with metrics, and of numbers in all its ticks together.

If a tick has many numbers, the answer has fewer ticks.
"""
MAX_BIRTHS = 20_000
MARKERS = ("marker_a", "marker_b", "marker_c")
"""Columns of an answer with births for the kinship markers that the world's laws name (`Laws.markers`).

They are 0 for beings without markers.
"""
_COLUMNS = {"id": np.int64, "parent_id": np.int64, "tick": np.int32, "y": np.int32, "x": np.int32, "species": np.int16}


class JournalAnswer(NamedTuple):
    """An answer: `content`, which is sent to the viewer as JSON, and `raw`, binary data that follows it."""

    content: dict[str, Any]
    raw: bytes = b""


OnAnswer = Callable[[JournalAnswer | UmweltError], None]


class JournalQueries:
    """The queries of the journal file at `journal`. One instance for each gateway that has a run folder.

    `close` ends the thread that reads the journal.
    """

    def __init__(self, world: WorldFile, journal: Path):
        self.world, self.path = world, journal
        self._species = {name: index for index, name in enumerate(species_names(world))}
        self._kinds = {schema.name: schema.kind for schema in world.laws.layout(world)[1]}
        markers = world.laws.markers(world) if world.laws.ids_name_tables else {}
        self._marker_genes = {self._kinds[table]: genes[: len(MARKERS)] for table, genes in markers.items()}
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="umwelt-journal")
        self._pending: list[tuple[Future[JournalAnswer], OnAnswer]] = []

    def __len__(self) -> int:
        return len(self._pending)

    def begin(self, message: History, on_answer: OnAnswer) -> None:
        """Starts a query; a later call of `poll` calls `on_answer` with the answer or an error.

        Raises UmweltError if the query is not valid, and BusyError if too many are open.
        """
        if not (0 <= message.tick < 1 << 62 and abs(message.being) < 1 << 63):
            raise RunError(f"{message.what}: tick {message.tick}, being {message.being}: give numbers from 0 on")
        if message.what == "births":
            kinds = self._kinds_of(message.table)
            limit = message.most if 1 <= message.most <= MAX_BIRTHS else MAX_BIRTHS
            query: Callable[[Journal], JournalAnswer] = partial(
                self._read_births, message=message, limit=limit, kinds=kinds
            )
        elif message.what == "metrics":
            query = partial(read_metrics, since=message.tick)
        else:
            query = partial(read_family, being=message.being)
        if len(self._pending) >= MAX_UNDER_WAY:
            raise BusyError("too many questions at once: wait for their answers")
        self._pending.append((self._reader.submit(self._run, query), on_answer))

    def _run(self, query: Callable[[Journal], JournalAnswer]) -> JournalAnswer:
        """Executes a query in the thread that reads the journal."""
        journal = Journal.reading(self.path)
        try:
            return query(journal)
        finally:
            journal.close()

    def poll(self) -> None:
        """Calls the callbacks of the queries that are complete."""
        while self._pending and self._pending[0][0].done():
            future, on_answer = self._pending.pop(0)
            outcome: JournalAnswer | UmweltError
            try:
                outcome = future.result()
            except UmweltError as error:
                outcome = error
            except (LookupError, ValueError, TypeError, OverflowError) as error:  # the journal holds invalid values
                outcome = RunError(f"{self.path}: damaged: {one_line(error)}: the snapshots are intact")
            on_answer(outcome)

    def _kinds_of(self, table: str) -> set[int] | None:
        """Returns the *kind* of `table` in a set: the number of the table, which ids of its beings contain.

        Returns None if births of all tables match: `table` is empty, or the world's only table. Raises RunError for an
        unknown table, and if the ids of this world do not contain a kind.
        """
        if not table:
            return None
        try:
            one_of(one_line(table[:80]), self._kinds, "births: table")
        except WorldFileError as error:
            raise RunError(str(error)) from None
        if len(self._kinds) == 1:
            return None
        if not self.world.laws.ids_name_tables:
            raise RunError(
                f"births: table {table}: births of this world do not name their tables: "
                "request the births of all tables"
            )
        return {self._kinds[table]}

    def _read_births(self, journal: Journal, message: History, limit: int, kinds: set[int] | None) -> JournalAnswer:
        """Returns a page of up to `limit` births, from the tick `message.tick` on, in that tick after `message.being`.

        The raw frame contains one array per column, one after the other. The content describes the columns; if `more`
        is true, `next` and `after` are the tick and the id of a being from which the next page starts.
        """
        births = journal.lineage.births_from(message.tick, message.being or -1, limit, kinds, self._marker_genes)
        by_column: list[Any] = list(zip(*births.rows, strict=True)) or [()] * 7
        by_column[5] = [self._species.get(name, -1) for name in by_column[5]]
        columns = {
            name: np.array([value or 0 for value in values], dtype)
            for (name, dtype), values in zip(_COLUMNS.items(), by_column, strict=False)
        }
        markers = b"".join((genes or b"").ljust(len(MARKERS), b"\0") for genes in by_column[6])
        columns |= dict(zip(MARKERS, np.frombuffer(markers, np.int8).reshape(-1, len(MARKERS)).T, strict=True))
        content = {
            "count": len(births.rows),
            "columns": [[name, array.dtype.name, 0] for name, array in columns.items()],
            "more": births.more,
            "next": births.tick,
            "after": max(0, births.after),
        }
        return JournalAnswer(content, b"".join(array.tobytes() for array in columns.values()))

    def close(self) -> None:
        """Waits for the query in progress, and cancels the others."""
        self._reader.shutdown(wait=True, cancel_futures=True)


def read_metrics(journal: Journal, since: int) -> JournalAnswer:
    """Returns the metrics from the tick `since` on, as JSON in the raw frame.

    If there are too many, returns those at about evenly spaced ticks.
    """
    entries = journal.history.metrics_from(since, MAX_POINTS)
    width = 3 + max((_count_numbers(entry) for entry in entries), default=0)
    max_points = max(2, MAX_NUMBERS // width)
    if len(entries) > max_points:
        entries = [entries[index] for index in np.linspace(0, len(entries) - 1, max_points).astype(int).tolist()]
    species = {
        table: dict.fromkeys(name for entry in entries for name in entry.populations.get(table, ()))
        for table in dict.fromkeys(table for entry in entries for table in entry.populations)
    }
    substances = dict.fromkeys(name for entry in entries for name in entry.substances)
    content = {
        "ticks": [entry.tick for entry in entries],
        "births": [entry.births for entry in entries],
        "deaths": [entry.deaths for entry in entries],
        "populations": {
            table: {name: [entry.populations.get(table, {}).get(name, 0) for entry in entries] for name in names}
            for table, names in species.items()
        },
        "substances": {name: [entry.substances.get(name, 0) for entry in entries] for name in substances},
    }
    return JournalAnswer({}, msgspec.json.encode(content))


def _count_numbers(entry: Metrics) -> int:
    """Returns the number of populations and substances in the metrics of a tick."""
    return len(entry.substances) + sum(map(len, entry.populations.values()))


def read_family(journal: Journal, being: int) -> JournalAnswer:
    """Returns the births of a being's ancestors (parent first) and of its children (eldest first)."""
    names = ("id", "parent_id", "tick", "species", "y", "x")
    ancestors, children = (
        [dict(zip(names, (born[0], born[1] or 0, born[2], born[5] or "", *born[3:5]), strict=True)) for born in births]
        for births in journal.lineage.family(being)
    )
    return JournalAnswer({"ancestors": ancestors, "children": children})

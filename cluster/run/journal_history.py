"""Queries of the journal by tick: digests, metrics, commands, and the progress of the run.

The *digest* of a tick is a 64-bit sum over the state of the world.

A *ticket* identifies the submission with which a command arrived.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from umwelt.cluster.run.journal_database import JournalDatabase
from umwelt.cluster.wire.protocol import ScheduledCommand


@dataclass(frozen=True)
class Metrics:
    """Counts of a world at one tick. `births` and `deaths` are totals since tick 0."""

    tick: int
    births: int
    deaths: int
    populations: Mapping[str, Mapping[str, int]]
    """Number of beings by table and species."""
    substances: Mapping[str, int]
    """Number of molecules by substance."""


class History:
    """Reads the journal's digests, metrics and commands; owned by `Journal`."""

    def __init__(self, database: JournalDatabase):
        self._database = database

    def last_tick(self) -> int:
        """Returns the last journalled tick; 0 if there is none."""
        return self._database.value("SELECT max(tick) FROM digests") or 0

    def last_epoch(self) -> int:
        """Returns the epoch of the last journalled division of the torus; 0 if there is none."""
        return self._database.value("SELECT max(epoch) FROM maps") or 0

    def last_number(self) -> int:
        """Returns the number of the last command; 0 if there is none."""
        return self._database.value("SELECT max(number) FROM commands") or 0

    def digests(self) -> dict[int, int]:
        """Returns all journalled digests by tick."""
        with self._database.check_content():
            rows = self._database.rows("SELECT tick, digest FROM digests ORDER BY tick")
            return {tick: int(text, 16) for tick, text in rows}

    def commands(self, from_tick: int = 0) -> Iterator[tuple[str, ScheduledCommand]]:
        """Yields (ticket, command) for every command from `from_tick` on, in order of numbers."""
        with self._database.check_content():
            for number, tick, ticket, content in self._database.rows(
                "SELECT number, tick, ticket, content FROM commands WHERE tick >= ? ORDER BY number", (from_tick,)
            ):
                yield ticket, ScheduledCommand(tick, number, content.encode())

    def metrics(self) -> Iterator[Metrics]:
        """Yields the metrics of every journalled tick, in order."""
        with self._database.check_content():
            for row in self._database.rows("SELECT * FROM metrics ORDER BY tick"):
                yield _metrics_from_row(*row)

    def metrics_from(self, tick: int, max_count: int) -> list[Metrics]:
        """Returns the metrics from `tick` on.

        If they are more than `max_count`, returns those at about evenly spaced ticks.
        """
        query = "SELECT * FROM metrics WHERE tick >= ? ORDER BY tick LIMIT ?"
        with self._database.check_content():
            rows = list(self._database.rows(query, (tick, max_count + 1)))
            if len(rows) > max_count:
                last_tick = self._database.value("SELECT max(tick) FROM metrics")
                ticks = np.linspace(rows[0][0], last_tick, max_count).astype(np.int64).tolist()
                nearest = [self._database.row(query, (wanted, 1)) for wanted in ticks]
                rows = list({row[0]: row for row in nearest if row is not None}.values())
            return [_metrics_from_row(*row) for row in rows]


def _metrics_from_row(tick: int, births: int, deaths: int, populations: str, substances: str) -> Metrics:
    """Decodes a row of the table of metrics. Raises ValueError if a count is not an integer."""
    by_table, molecules = json.loads(populations), json.loads(substances)
    counts = [births, deaths, *molecules.values(), *(n for species in by_table.values() for n in species.values())]
    if not all(type(count) is int for count in counts):
        raise ValueError(f"tick {tick}: a count is not an integer")
    return Metrics(tick, births, deaths, by_table, molecules)

"""The journal of a run: what happened, tick by tick, in SQLite. Only the coordinator writes it.

    Journal                   writes: digests and metrics, births, commands, maps
    Journal.history           reads them by tick                                        journal_history.py
    Journal.lineage           reads births: pages of them, ancestors and children       journal_lineage.py
    Journal.chain             the hash chain over digests, commands and snapshots       journal_chain.py
    Journal.database          tables, format version, transactions                      journal_database.py

Rows are keyed by tick or by id, so that replaying a stretch of history twice changes nothing. A replay that yields
another digest than the journalled one is refused: one of the two is wrong.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from umwelt.cluster.run import hash_chain
from umwelt.cluster.run.journal_chain import JournalChain
from umwelt.cluster.run.journal_database import JournalDatabase, damaged, translate_sqlite_errors
from umwelt.cluster.run.journal_history import History, Metrics
from umwelt.cluster.run.journal_lineage import Births, Lineage
from umwelt.cluster.wire.protocol import Member, ScheduledCommand
from umwelt.sandbox.columns import PLACE_BITS, TICK_BITS
from umwelt.sandbox.errors import RunError

__all__ = ["Births", "Journal", "Metrics", "damaged"]


class Journal:
    """The journal of one run, open in one process that writes; others may read. Writes are durable after `commit`."""

    def __init__(self, path: Path, read_only: bool = False):
        self.path = path
        self.database = JournalDatabase(path, read_only)
        self.history = History(self.database)
        self.lineage = Lineage(self.database, self.history)
        self.chain = JournalChain(self.database, self.history)

    @classmethod
    def reading(cls, path: Path) -> "Journal":
        """Opens the journal of a run for reading; the run may be in progress elsewhere."""
        if not path.is_file():
            raise RunError(f"{path}: is missing: resume the run first, which starts a new journal")
        return cls(path, read_only=True)

    @classmethod
    def copy(cls, source: Path, to: Path, tick: int) -> None:
        """Creates a journal with all rows of another up to a tick; commands of that tick itself are not included."""
        cls.reading(source).close()  # refuses a source of another format version
        journal = cls(to)
        connection = journal.database.connection
        tables = {"digests": "<=", "metrics": "<=", "births": "<=", "links": "<=", "commands": "<", "maps": "<"}
        try:
            with translate_sqlite_errors(source):
                connection.execute("ATTACH DATABASE ? AS source", (str(source),))
                connection.execute("BEGIN")
                for table, operator in tables.items():
                    query = f"SELECT * FROM source.{table} WHERE tick {operator} ?"
                    connection.execute(f"INSERT INTO {table} {query}", (tick,))
        finally:
            journal.close()

    def enter(self, metrics: Metrics, digest: int) -> None:
        """Enter a tick's digest and metrics. Raises `RunError` if the tick was journalled with another digest."""
        digest_text = f"{digest:016x}"
        self.database.begin()
        journalled = self.database.value("SELECT digest FROM digests WHERE tick = ?", (metrics.tick,))
        if journalled is not None and journalled != digest_text:
            raise RunError(
                f"{self.path}: tick {metrics.tick} came out as {digest_text}, but was {journalled} when it first ran: "
                "continue with the Umwelt that started the run, or start a new run"
            )
        if journalled is None:
            self.database.execute("INSERT INTO digests VALUES (?, ?)", (metrics.tick, digest_text))
            self.chain.append_digest(metrics.tick, digest_text)
        populations, substances = json.dumps(metrics.populations), json.dumps(metrics.substances)
        self.database.execute(
            "INSERT OR IGNORE INTO metrics VALUES (?, ?, ?, ?, ?)",
            (metrics.tick, metrics.births, metrics.deaths, populations, substances),
        )

    def enter_births(self, record: Mapping[str, np.ndarray], species: list[str], world_width: int) -> None:
        """Enter the births of one law in one tick, as `Region.record_births` collects them.

        `record["species"]` are indices into `species`; an index without a name is entered as its number.
        """
        ids = record["id"]
        absent = [None] * len(ids)
        ticks = (ids >> PLACE_BITS) & ((1 << TICK_BITS) - 1)
        names = (
            [species[i] if i < len(species) else str(i) for i in record["species"]] if "species" in record else absent
        )
        rows = zip(
            ids.tolist(),
            record["parent_id"].tolist() if "parent_id" in record else absent,
            ticks.tolist(),
            (record["cell"] // world_width).tolist(),
            (record["cell"] % world_width).tolist(),
            names,
            [genes.tobytes() for genes in record["genome"]] if "genome" in record else absent,
            strict=True,
        )
        self.database.begin()
        self.database.execute_many("INSERT OR IGNORE INTO births VALUES (?, ?, ?, ?, ?, ?, ?)", rows)

    def enter_commands(self, ticket: str, commands: Sequence[ScheduledCommand]) -> None:
        """Enter commands that were requested under a ticket."""
        self.database.begin()
        self.database.execute_many(
            "INSERT INTO commands VALUES (?, ?, ?, ?)",
            [(command.number, command.tick, ticket, command.content.decode()) for command in commands],
        )
        self.chain.append_commands(
            [
                hash_chain.CommandRow(command.number, command.tick, ticket.encode(), command.content)
                for command in commands
            ]
        )

    def enter_map(self, epoch: int, tick: int, reason: str, members: Sequence[Member]) -> None:
        """Enter a map and commit, so that no two coordinators ever use the same epoch."""
        text = json.dumps([{"name": member.name, "rectangle": list(member.rectangle)} for member in members])
        self.database.begin()
        self.database.execute("INSERT INTO maps VALUES (?, ?, ?, ?)", (epoch, tick, reason, text))
        self.database.commit()

    def commit(self) -> None:
        """Make everything that was entered durable."""
        self.database.commit()

    def close(self) -> None:
        """Commit and close."""
        self.database.close()

"""The journal of a run: an SQLite database of its history by tick. Only the coordinator writes it.

    Journal                   writes digests and metrics, births, commands, and divisions of the torus
    Journal.history           queries by tick                                           journal_history.py
    Journal.lineage           queries about births, ancestors and children              journal_lineage.py
    Journal.chain             the hash chain over digests, commands and snapshots       journal_chain.py
    Journal.database          tables, format version, transactions                      journal_database.py

The *digest* of a tick is a 64-bit sum over the state of the world; its *metrics* are counts of births, deaths, beings
and molecules. Rows are keyed by tick or by id, so entering the same ticks again, as after a crash, changes nothing.
Entering a different digest for a journalled tick raises `RunError`.
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
    """The journal of one run. One process writes it, others can read it; writes are durable after `commit`."""

    def __init__(self, path: Path, read_only: bool = False):
        self.path = path
        self.database = JournalDatabase(path, read_only)
        self.history = History(self.database)
        self.lineage = Lineage(self.database, self.history)
        self.chain = JournalChain(self.database, self.history)

    @classmethod
    def reading(cls, path: Path) -> "Journal":
        """Opens the journal of a run for reading. Another process can be writing it."""
        if not path.is_file():
            raise RunError(f"{path}: is missing: resume the run first, which starts a new journal")
        return cls(path, read_only=True)

    @classmethod
    def copy(cls, source: Path, to: Path, tick: int) -> None:
        """Creates a journal at `to` with the rows of the journal `source` up to `tick`.

        Commands that take effect at `tick` itself are not copied.
        """
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
        """Enters the digest and metrics of a tick. Raises `RunError` if the tick was journalled with another digest."""
        digest_text = f"{digest:016x}"
        self.database.begin()
        journalled = self.database.value("SELECT digest FROM digests WHERE tick = ?", (metrics.tick,))
        if journalled is not None and journalled != digest_text:
            raise RunError(
                f"{self.path}: tick {metrics.tick} has digest {digest_text}, but had {journalled} when it first ran: "
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
        """Enters the births that one law caused in one tick.

        `record` has the columns of the born beings: `id`, `cell` (row times `world_width` plus column) and, if the
        beings have them, `parent_id`, `species` and `genome`. `record["species"]` holds indices into `species`; an
        index beyond its end is entered as a number.
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
        """Enters commands that were submitted under `ticket`."""
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
        """Enters a division of the torus among `members` and commits, so that its epoch is never used again."""
        text = json.dumps([{"name": member.name, "rectangle": list(member.rectangle)} for member in members])
        self.database.begin()
        self.database.execute("INSERT INTO maps VALUES (?, ?, ?, ?)", (epoch, tick, reason, text))
        self.database.commit()

    def commit(self) -> None:
        """Commits all entries, which makes them durable."""
        self.database.commit()

    def close(self) -> None:
        """Commits all entries and closes the journal."""
        self.database.close()

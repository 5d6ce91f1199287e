"""Stores the hash chain (`hash_chain.py`) in the journal's tables, and reads it.

It consists of *links* (digests at every `GRID_TICKS`-th tick, with the commands before them), *items* (each command,
kept snapshot and other digest), and *heads* (the last link and item at some time, signed if the run has keys).
Digests, commands and snapshots are appended to the chain in the transaction that enters them in the journal, so that a
later change of any of them is detected.
"""

from collections.abc import Iterable, Sequence

from umwelt.cluster.run import hash_chain
from umwelt.cluster.run.journal_database import JournalDatabase
from umwelt.cluster.run.journal_history import History

_NUMBER_COLUMNS = ("tick", "number")
"""Names of the integer columns in the tables of the chain; all other columns hold text."""


class JournalChain:
    """The hash chain of one journal; owned by `Journal`.

    Before `begin`, the methods that append have no effect.
    """

    def __init__(self, database: JournalDatabase, history: History):
        self._database, self._history = database, history

    def begin(self, world: bytes) -> None:
        """Begins the chain with the hash of the world file `world` and all entries of the journal.

        No effect if the journal has a chain already.
        """
        if self._last_item() is not None:
            return
        self._database.begin()
        content = hash_chain.start_content(world)
        self._insert_item(hash_chain.next_item(None, hash_chain.START, self._history.last_tick(), content))
        linked_ticks = {tick for (tick,) in self._database.rows("SELECT tick FROM links")}
        for tick, digest in list(self._database.rows("SELECT tick, digest FROM digests ORDER BY tick")):
            if tick not in linked_ticks:
                self.append_digest(tick, digest)
        self.append_commands(self._command_rows("ORDER BY number"))
        self._database.commit()

    def append_digest(self, tick: int, digest: str) -> None:
        """Appends a digest entered in this transaction: as a link at multiples of `GRID_TICKS`, else as an item."""
        first_item = self._first_item()
        if first_item is None:
            return
        last = self._last_link()
        if tick % hash_chain.GRID_TICKS or (last is not None and tick <= last.tick):
            self._append_items([(hash_chain.DIGEST, tick, digest)])
            return
        if last is None:
            covers = hash_chain.world_hash_of(first_item)
        else:
            due = self._command_rows("WHERE tick >= ? AND tick < ? ORDER BY tick, number", (last.tick, tick))
            covers = hash_chain.hash_commands(due)
        link = hash_chain.next_link(last, tick, covers, digest)
        self._database.execute("INSERT INTO links VALUES (?, ?, ?, ?)", link)

    def append_commands(self, commands: Sequence[hash_chain.CommandRow]) -> None:
        """Appends commands that were entered in this transaction, one item for each."""
        self._append_items(
            (hash_chain.COMMAND, command.tick, hash_chain.command_content(command)) for command in commands
        )

    def enter_snapshot(self, tick: int, content: str) -> None:
        """Appends an item for a kept snapshot; `content` is a result of `hash_chain.snapshot_content`."""
        self._database.begin()
        self._append_items([(hash_chain.SNAPSHOT, tick, content)])

    def enter_head(self, secret: bytes | None) -> None:
        """Enters the present head of the chain, signed with the key `secret` if there is one, and commits.

        The head is not entered if it equals the last entered head, or if the chain has no link yet.
        """
        link, item = self._last_link(), self._last_item()
        if link is None or item is None:
            return
        head = hash_chain.make_head(link, item, secret)
        if self._last_head() != head:
            self._database.begin()
            self._database.execute("INSERT INTO heads VALUES (?, ?, ?, ?, ?, ?)", head)
        self._database.commit()

    def snapshot_ticks(self) -> set[int]:
        """Returns the ticks of all snapshots that have an item in the chain."""
        return {
            tick for (tick,) in self._database.rows("SELECT tick FROM items WHERE kind = ?", (hash_chain.SNAPSHOT,))
        }

    def has_last_head(self) -> bool:
        """Returns whether the last entered head matches the chain; True if there is no head.

        A rebuilt chain does not match.
        """
        head = self._last_head()
        if head is None:
            return True
        link = self._database.value("SELECT hash FROM links WHERE tick = ?", (head.tick,))
        item = self._database.value("SELECT hash FROM items WHERE number = ?", (head.number,))
        return (link, item) == (head.link, head.item)

    def rows(self) -> hash_chain.Rows:
        """Returns all rows of the chain, and the digests and commands that it covers, read in one transaction.

        Values are not validated. Bytes that are not UTF-8 are replaced by escapes, so that a damaged row can still be
        compared.
        """
        with self._database.check_content():
            self._database.begin()
            try:
                return hash_chain.Rows(
                    dict(self._raw_rows("digests", ("tick", "digest"))),
                    self._command_rows("ORDER BY number"),
                    [hash_chain.Link(*row) for row in self._raw_rows("links", hash_chain.Link._fields)],
                    [hash_chain.Item(*row) for row in self._raw_rows("items", hash_chain.Item._fields)],
                    [hash_chain.Head(*row) for row in self._raw_rows("heads", hash_chain.Head._fields, "rowid")],
                )
            finally:
                self._database.commit()

    def _raw_rows(self, table: str, columns: Sequence[str], order: str = "") -> list[tuple]:
        """Returns all rows of a table, sorted by the column `order`, or by the first of `columns` if that is empty.

        Values are converted to int or str whatever the table holds, so that a damaged row can be read.
        """
        is_number = [name in _NUMBER_COLUMNS for name in columns]
        casts = (
            f"CAST({name} AS {'INTEGER' if number else 'BLOB'})"
            for name, number in zip(columns, is_number, strict=True)
        )
        query = f"SELECT {', '.join(casts)} FROM {table} ORDER BY {order or columns[0]}"
        return [
            tuple(
                value or 0 if number else (value or b"").decode("utf-8", "backslashreplace")
                for value, number in zip(row, is_number, strict=True)
            )
            for row in self._database.rows(query)
        ]

    def _command_rows(self, condition: str, values: Sequence[int] = ()) -> list[hash_chain.CommandRow]:
        """Returns rows of the table of commands; `condition` is the end of the SQL query, `values` its parameters."""
        columns = "number, CAST(tick AS INTEGER), CAST(ticket AS BLOB), CAST(content AS BLOB)"
        rows = self._database.rows(f"SELECT {columns} FROM commands {condition}", values)
        return [hash_chain.CommandRow(row[0], row[1] or 0, row[2] or b"", row[3] or b"") for row in rows]

    def _last_link(self) -> hash_chain.Link | None:
        row = self._database.row("SELECT * FROM links ORDER BY tick DESC LIMIT 1")
        return None if row is None else hash_chain.Link(*row)

    def _first_item(self) -> hash_chain.Item | None:
        row = self._database.row("SELECT * FROM items WHERE number = 1")
        return None if row is None else hash_chain.Item(*row)

    def _last_item(self) -> hash_chain.Item | None:
        row = self._database.row("SELECT * FROM items ORDER BY number DESC LIMIT 1")
        return None if row is None else hash_chain.Item(*row)

    def _last_head(self) -> hash_chain.Head | None:
        row = self._database.row("SELECT * FROM heads ORDER BY rowid DESC LIMIT 1")
        return None if row is None else hash_chain.Head(*row)

    def _append_items(self, contents: Iterable[tuple[str, int, str]]) -> None:
        """Appends items, each given as (kind, tick, content); no effect if there is no chain."""
        last = self._last_item()
        if last is None:
            return
        for kind, tick, content in contents:
            last = hash_chain.next_item(last, kind, tick, content)
            self._insert_item(last)

    def _insert_item(self, item: hash_chain.Item) -> None:
        self._database.execute("INSERT INTO items VALUES (?, ?, ?, ?, ?)", item)

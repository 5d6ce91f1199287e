"""The SQLite file of a journal: its tables, format version, transactions, and error messages."""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from umwelt.cluster.formats import JOURNAL_FORMAT, unreadable_format
from umwelt.sandbox.errors import RunError

Row = tuple[Any, ...]

_TABLES = """
CREATE TABLE IF NOT EXISTS digests (tick INTEGER PRIMARY KEY, digest TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS metrics (
    tick INTEGER PRIMARY KEY,
    births INTEGER NOT NULL,        -- since tick 0
    deaths INTEGER NOT NULL,        -- since tick 0
    populations TEXT NOT NULL,      -- JSON: {table: {species: beings}}
    substances TEXT NOT NULL        -- JSON: {substance: molecules}
);
CREATE TABLE IF NOT EXISTS births (
    id INTEGER PRIMARY KEY, parent_id INTEGER, tick INTEGER NOT NULL, y INTEGER NOT NULL, x INTEGER NOT NULL,
    species TEXT, genome BLOB       -- genome: int8 genes
);
CREATE INDEX IF NOT EXISTS births_by_parent ON births (parent_id);
CREATE TABLE IF NOT EXISTS commands (   -- in force from the start of `tick`, applied in the order of their numbers
    number INTEGER PRIMARY KEY, tick INTEGER NOT NULL, ticket TEXT NOT NULL, content TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS commands_by_tick ON commands (tick);
CREATE TABLE IF NOT EXISTS maps (       -- which node owned which rectangle, from which tick on
    epoch INTEGER PRIMARY KEY, tick INTEGER NOT NULL, reason TEXT NOT NULL, members TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS links (      -- the hash chain, see hash_chain.py
    tick INTEGER PRIMARY KEY, covers TEXT NOT NULL, digest TEXT NOT NULL, hash TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS items (
    number INTEGER PRIMARY KEY, kind TEXT NOT NULL, tick INTEGER NOT NULL, content TEXT NOT NULL, hash TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS heads (
    tick INTEGER NOT NULL, link TEXT NOT NULL, number INTEGER NOT NULL, item TEXT NOT NULL, public TEXT NOT NULL,
    signature TEXT NOT NULL
);
"""
_FIX = "move it to another folder and resume the run, which starts a new journal; the snapshots are intact"


class JournalDatabase:
    """An open journal file. All methods raise `RunError`, with a one-line message, in place of SQLite's exceptions.

    A new file gets all tables and the format version. Opening a file of another format version raises `RunError`.
    """

    def __init__(self, path: Path, read_only: bool = False):
        self.path = path
        with translate_sqlite_errors(self.path):
            uri = f"file:{quote(str(path))}?mode={'ro' if read_only else 'rwc'}"
            self.connection = sqlite3.connect(uri, uri=True, isolation_level=None)
            try:
                is_new = not read_only and self._is_empty()
                if not is_new:
                    self._check_format()
                if not read_only:
                    self.connection.execute("PRAGMA journal_mode=WAL")
                    self.connection.execute("PRAGMA synchronous=FULL")
                    version = f"PRAGMA user_version = {JOURNAL_FORMAT};"
                    # in an existing file, tables are not changed; missing indices are created
                    self.connection.executescript(f"BEGIN; {_TABLES} {version} COMMIT;" if is_new else _TABLES)
            except BaseException:
                self.connection.close()
                raise

    def _is_empty(self) -> bool:
        """Returns whether the file is new: without tables and format version."""
        version = self.connection.execute("PRAGMA user_version").fetchone()[0]
        return version == 0 and not self.connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]

    def _check_format(self) -> None:
        """Raises `RunError` if the file has another format version."""
        version = self.connection.execute("PRAGMA user_version").fetchone()[0]
        if version != JOURNAL_FORMAT:
            raise unreadable_format(self.path, "journal", version, JOURNAL_FORMAT)

    def begin(self) -> None:
        """Begins a transaction, unless one is open already."""
        with translate_sqlite_errors(self.path):
            if not self.connection.in_transaction:
                self.connection.execute("BEGIN")

    def commit(self) -> None:
        """Commits the open transaction, if any, which makes its changes durable."""
        with translate_sqlite_errors(self.path):
            if self.connection.in_transaction:
                self.connection.execute("COMMIT")

    def close(self) -> None:
        """Commits the open transaction and closes the file."""
        try:
            self.commit()
        finally:
            self.connection.close()

    def execute(self, statement: str, values: Sequence[Any] = ()) -> None:
        """Executes one SQL statement with `values` as its parameters."""
        with translate_sqlite_errors(self.path):
            self.connection.execute(statement, values)

    def execute_many(self, statement: str, rows: Iterable[Row]) -> None:
        """Executes an SQL statement once for each of `rows`, which hold the values of its parameters."""
        with translate_sqlite_errors(self.path):
            self.connection.executemany(statement, rows)

    def rows(self, query: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> Iterator[Row]:
        """Yields the rows of a query one by one, as SQLite reads them."""
        with translate_sqlite_errors(self.path):
            # `yield from` would close the cursor when reading stops early, which fails if the file is closed already
            for row in self.connection.execute(query, values):  # noqa: UP028
                yield row

    def row(self, query: str, values: Sequence[Any] = ()) -> Row | None:
        """Returns the first row of a query, or None if there is no row."""
        with translate_sqlite_errors(self.path):
            return self.connection.execute(query, values).fetchone()

    def value(self, query: str, values: Sequence[Any] = ()) -> Any:
        """Returns the first value of the first row of a query, or None if there is no row."""
        row = self.row(query, values)
        return None if row is None else row[0]

    @contextmanager
    def check_content(self) -> Iterator[None]:
        """Context manager that converts errors in decoding stored values into a `RunError` for a damaged journal."""
        try:
            yield
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            raise damaged(self.path, error) from None


@contextmanager
def translate_sqlite_errors(path: Path) -> Iterator[None]:
    """Context manager that converts an SQLite exception into a `RunError` with a one-line message that names `path`."""
    try:
        yield
    except sqlite3.Error as error:
        raise _error_for(path, error) from None


def _error_for(path: Path, error: sqlite3.Error) -> RunError:
    """Returns the error, with its solution, for an SQLite exception."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return RunError(f"{path}: the disk is full: make room, then try again")
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return RunError(f"{path}: another process has this run open: stop it first")
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR):
        return damaged(path, error)
    return RunError(f"{path}: cannot be used: {error}: check that the folder can be written, and try again")


def damaged(path: Path, error: Exception) -> RunError:
    """Returns the error for a journal at `path` that holds values which the journal never writes."""
    reason = str(error).replace("\n", " ")
    return RunError(f"{path}: damaged: {reason}: {_FIX}")

"""What happened, tick by tick, in SQLite: deeds, maps, digests, metrics, births. The directory alone writes it.

Everything is entered by tick or by id, so that replaying a stretch of history twice changes nothing. A replay that
comes to another digest than the one journalled is refused: one of the two is wrong.
"""

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import numpy as np

from umwelt.cluster.protocol import Deed, Member
from umwelt.sandbox.columns import PLACE_BITS, TICK_BITS
from umwelt.sandbox.errors import RunError

_MEND = "move it aside and resume the run, which begins another; the snapshots are whole"

_TABLES = """
CREATE TABLE IF NOT EXISTS digests (tick INTEGER PRIMARY KEY, digest TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS metrics (
    tick INTEGER PRIMARY KEY,
    births INTEGER NOT NULL,        -- since tick 0
    deaths INTEGER NOT NULL,
    populations TEXT NOT NULL,      -- JSON: {table: {species: beings}}
    substances TEXT NOT NULL        -- JSON: {substance: molecules}
);
CREATE TABLE IF NOT EXISTS births (
    id INTEGER PRIMARY KEY, parent_id INTEGER, tick INTEGER NOT NULL, y INTEGER NOT NULL, x INTEGER NOT NULL,
    species TEXT, genome BLOB       -- genome: int8 genes
);
CREATE TABLE IF NOT EXISTS deeds (  -- what people did; in force from the start of `tick`, in the order of numbers
    number INTEGER PRIMARY KEY, tick INTEGER NOT NULL, ticket TEXT NOT NULL, content TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS maps (   -- who held what, since which tick
    epoch INTEGER PRIMARY KEY, tick INTEGER NOT NULL, reason TEXT NOT NULL, members TEXT NOT NULL
);
"""


@dataclass(frozen=True)
class Metrics:
    """A moment of the world in numbers; births and deaths since tick 0."""

    tick: int
    births: int
    deaths: int
    populations: Mapping[str, Mapping[str, int]]
    substances: Mapping[str, int]


class Journal:
    """The journal of one run; opened by one process at a time. What is entered is durable after `commit`."""

    def __init__(self, path: Path, to_read: bool = False):
        self.path = path
        with _told(path):
            where = f"file:{quote(str(path))}?mode={'ro' if to_read else 'rwc'}"
            self._database = sqlite3.connect(where, uri=True, isolation_level=None)
            if not to_read:
                self._database.execute("PRAGMA journal_mode=WAL")
                self._database.execute("PRAGMA synchronous=FULL")
                self._database.executescript(_TABLES)

    @classmethod
    def reading(cls, path: Path) -> "Journal":
        """The journal of a run that may be going on elsewhere; nothing can be entered."""
        if not path.is_file():
            raise RunError(f"{path}: is missing: resume the run first, which begins another journal")
        return cls(path, to_read=True)

    @classmethod
    def copy(cls, source: Path, to: Path, tick: int) -> None:
        """A new journal with all that another holds up to a tick: deeds of the tick itself lie ahead of it."""
        journal = cls(to)
        try:
            with _told(source):
                journal._database.execute("ATTACH DATABASE ? AS other", (str(source),))
                journal._begin()
                for table, limit in (("digests", "<="), ("metrics", "<="), ("births", "<="), ("deeds", "<")):
                    journal._database.execute(
                        f"INSERT INTO {table} SELECT * FROM other.{table} WHERE tick {limit} ?", (tick,)
                    )
                journal._database.execute("INSERT INTO maps SELECT * FROM other.maps WHERE tick < ?", (tick,))
                journal.commit()
        finally:
            journal.close()

    def enter(self, metrics: Metrics, digest: int) -> None:
        """Enter a tick's digest and metrics. Raises `RunError` where the tick was journalled with another digest."""
        written = f"{digest:016x}"
        with _told(self.path):
            self._begin()
            known = self._database.execute("SELECT digest FROM digests WHERE tick = ?", (metrics.tick,)).fetchone()
            if known is not None and known[0] != written:
                raise RunError(
                    f"{self.path}: tick {metrics.tick} came out as {written}, but was {known[0]} when it first ran: go "
                    "on with the Umwelt that began the run, or begin a new run"
                )
            self._database.execute("INSERT OR IGNORE INTO digests VALUES (?, ?)", (metrics.tick, written))
            self._database.execute(
                "INSERT OR IGNORE INTO metrics VALUES (?, ?, ?, ?, ?)",
                (
                    metrics.tick, metrics.births, metrics.deaths, json.dumps(metrics.populations),
                    json.dumps(metrics.substances),
                ),
            )  # fmt: skip

    def enter_births(self, record: Mapping[str, np.ndarray], species: list[str], world_width: int) -> None:
        """Enter the newborn of one law of one tick, as `Region.record_births` remembers them."""
        ids = record["id"]
        nobody = [None] * len(ids)
        tick = (ids >> PLACE_BITS) & ((1 << TICK_BITS) - 1)
        kinds = (
            [species[i] if i < len(species) else str(i) for i in record["species"]] if "species" in record else nobody
        )
        rows = zip(
            ids.tolist(), record["parent_id"].tolist() if "parent_id" in record else nobody, tick.tolist(),
            (record["cell"] // world_width).tolist(), (record["cell"] % world_width).tolist(), kinds,
            [genes.tobytes() for genes in record["genome"]] if "genome" in record else nobody, strict=True,
        )  # fmt: skip
        with _told(self.path):
            self._begin()
            self._database.executemany("INSERT OR IGNORE INTO births VALUES (?, ?, ?, ?, ?, ?, ?)", rows)

    def enter_deeds(self, ticket: str, deeds: Sequence[Deed]) -> None:
        """Enter what people did."""
        rows = [(deed.number, deed.tick, ticket, deed.content.decode()) for deed in deeds]
        with _told(self.path):
            self._begin()
            self._database.executemany("INSERT INTO deeds VALUES (?, ?, ?, ?)", rows)

    def enter_map(self, epoch: int, tick: int, reason: str, members: Sequence[Member]) -> None:
        """Enter a map, durably: no two directories ever give the same epoch."""
        text = json.dumps([{"name": member.name, "rectangle": list(member.rectangle)} for member in members])
        with _told(self.path):
            self._begin()
            self._database.execute("INSERT INTO maps VALUES (?, ?, ?, ?)", (epoch, tick, reason, text))
        self.commit()

    def deeds(self, from_tick: int = 0) -> Iterator[tuple[str, Deed]]:
        """Every deed from a tick on with its ticket, in order."""
        with _told(self.path), _read(self.path):
            for number, tick, ticket, content in self._database.execute(
                "SELECT number, tick, ticket, content FROM deeds WHERE tick >= ? ORDER BY number", (from_tick,)
            ):
                yield ticket, Deed(tick, number, content.encode())

    def last_epoch(self) -> int:
        """The epoch of the last map, 0 before the first."""
        with _told(self.path):
            return self._database.execute("SELECT max(epoch) FROM maps").fetchone()[0] or 0

    def last_number(self) -> int:
        """The number of the last deed, 0 before the first."""
        with _told(self.path):
            return self._database.execute("SELECT max(number) FROM deeds").fetchone()[0] or 0

    def commit(self) -> None:
        """Make everything that was entered durable."""
        with _told(self.path):
            if self._database.in_transaction:
                self._database.execute("COMMIT")

    def close(self) -> None:
        """Commit and close."""
        try:
            self.commit()
        finally:
            self._database.close()

    def digests(self) -> dict[int, int]:
        """Every journalled digest by tick."""
        with _told(self.path), _read(self.path):
            return {tick: int(text, 16) for tick, text in self._database.execute("SELECT * FROM digests ORDER BY tick")}

    def metrics(self) -> Iterator[Metrics]:
        """Every journalled moment, in order."""
        with _told(self.path), _read(self.path):
            for tick, births, deaths, populations, substances in self._database.execute(
                "SELECT * FROM metrics ORDER BY tick"
            ):
                by_table, matter = json.loads(populations), json.loads(substances)
                counts = [births, deaths, *matter.values(), *(n for found in by_table.values() for n in found.values())]
                if not all(type(count) is int for count in counts):
                    raise ValueError(f"tick {tick}: a count is no whole number")
                yield Metrics(tick, births, deaths, by_table, matter)

    def births(self) -> Iterator[tuple]:
        """Every journalled birth: id, parent_id, tick, y, x, species, genome (bytes); in the order of their ticks."""
        with _told(self.path):
            yield from self._database.execute("SELECT * FROM births ORDER BY tick, id")

    def last_tick(self) -> int:
        """The last journalled tick, 0 if there is none."""
        with _told(self.path):
            return self._database.execute("SELECT max(tick) FROM digests").fetchone()[0] or 0

    def _begin(self) -> None:
        if not self._database.in_transaction:
            self._database.execute("BEGIN")


class _told:
    """Turns what SQLite reports into one line of a `RunError`."""

    def __init__(self, path: Path):
        self.path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type | None, error: BaseException | None, trace: object) -> None:
        if not isinstance(error, sqlite3.Error):
            return
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code == sqlite3.SQLITE_FULL:
            raise RunError(f"{self.path}: the disk is full: make room, then try again") from None
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise RunError(f"{self.path}: another process has this run open: stop it first") from None
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR):
            raise damaged(self.path, error) from None
        raise RunError(
            f"{self.path}: cannot be used: {error}: see that the folder can be written, and try again"
        ) from None


class _read:
    """Turns contents that cannot be what was entered into one line of a `RunError`."""

    def __init__(self, path: Path):
        self.path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, ValueError | TypeError | AttributeError | RecursionError):
            raise damaged(self.path, error) from None


def damaged(path: Path, error: Exception) -> RunError:
    """What is said of a journal whose contents cannot be what was entered."""
    what = str(error).replace("\n", " ")
    return RunError(f"{path}: damaged: {what}: {_MEND}")

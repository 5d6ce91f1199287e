"""What happened, tick by tick, in SQLite: deeds, maps, digests, metrics, births. The directory alone writes it.

Everything is entered by tick or by id, so that replaying a stretch of history twice changes nothing. A replay that
comes to another digest than the one journalled is refused: one of the two is wrong. Deeds and digests are chained as
they are entered (`ledger.py`), in the same transaction, so that none can be changed later without a trace.
"""

import json
import sqlite3
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from heapq import merge
from itertools import islice
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import numpy as np

from umwelt.cluster.run import hash_chain
from umwelt.cluster.wire.protocol import Deed, Member
from umwelt.sandbox.columns import KIND_BITS, PLACE_BITS, TICK_BITS
from umwelt.sandbox.errors import RunError

MAX_ANCESTORS, MAX_CHILDREN = 64, 256
HEADS = 1 << (KIND_BITS + 1)
"""Ids begin with one of so many heads (how a being came and of which kind it is), then the tick of its birth: so births
lie in the order of ticks within each head, and need no index to be read by tick."""
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
CREATE INDEX IF NOT EXISTS births_by_parent ON births (parent_id);
CREATE TABLE IF NOT EXISTS deeds (  -- what people did; in force from the start of `tick`, in the order of numbers
    number INTEGER PRIMARY KEY, tick INTEGER NOT NULL, ticket TEXT NOT NULL, content TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS maps (   -- who held what, since which tick
    epoch INTEGER PRIMARY KEY, tick INTEGER NOT NULL, reason TEXT NOT NULL, members TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS deeds_by_tick ON deeds (tick);
CREATE TABLE IF NOT EXISTS links (  -- the ledger, see ledger.py
    tick INTEGER PRIMARY KEY, covers TEXT NOT NULL, digest TEXT NOT NULL, hash TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS items (
    number INTEGER PRIMARY KEY, kind TEXT NOT NULL, tick INTEGER NOT NULL, what TEXT NOT NULL, hash TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS heads (
    tick INTEGER NOT NULL, link TEXT NOT NULL, number INTEGER NOT NULL, item TEXT NOT NULL, public TEXT NOT NULL,
    signature TEXT NOT NULL
);
"""
_LEDGER = {
    "links": ("tick", "covers", "digest", "hash"),
    "items": ("number", "kind", "tick", "what", "hash"),
    "heads": ("tick", "link", "number", "item", "public", "signature"),
}


@dataclass(frozen=True)
class Metrics:
    """A moment of the world in numbers; births and deaths since tick 0."""

    tick: int
    births: int
    deaths: int
    populations: Mapping[str, Mapping[str, int]]
    substances: Mapping[str, int]


class Births(NamedTuple):
    """Births in the order of their ticks: rows of id, parent_id, tick, y, x, species, genes (`Journal.births_from`).

    There are `more`; ask for them from `tick` on, `after` an id where a tick has too many for one answer.
    """

    rows: list[tuple]
    more: bool
    tick: int
    after: int


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
                if journal._database.execute("SELECT 1 FROM other.sqlite_master WHERE name = 'links'").fetchone():
                    journal._database.execute("INSERT INTO links SELECT * FROM other.links WHERE tick <= ?", (tick,))
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
            if known is None:
                self._database.execute("INSERT INTO digests VALUES (?, ?)", (metrics.tick, written))
                self._chain(metrics.tick, written)
            self._database.execute(
                "INSERT OR IGNORE INTO metrics VALUES (?, ?, ?, ?, ?)",
                (
                    metrics.tick,
                    metrics.births,
                    metrics.deaths,
                    json.dumps(metrics.populations),
                    json.dumps(metrics.substances),
                ),
            )

    def enter_births(self, record: Mapping[str, np.ndarray], species: list[str], world_width: int) -> None:
        """Enter the newborn of one law of one tick, as `Region.record_births` remembers them."""
        ids = record["id"]
        nobody = [None] * len(ids)
        tick = (ids >> PLACE_BITS) & ((1 << TICK_BITS) - 1)
        kinds = (
            [species[i] if i < len(species) else str(i) for i in record["species"]] if "species" in record else nobody
        )
        rows = zip(
            ids.tolist(),
            record["parent_id"].tolist() if "parent_id" in record else nobody,
            tick.tolist(),
            (record["cell"] // world_width).tolist(),
            (record["cell"] % world_width).tolist(),
            kinds,
            [genes.tobytes() for genes in record["genome"]] if "genome" in record else nobody,
            strict=True,
        )
        with _told(self.path):
            self._begin()
            self._database.executemany("INSERT OR IGNORE INTO births VALUES (?, ?, ?, ?, ?, ?, ?)", rows)

    def enter_deeds(self, ticket: str, deeds: Sequence[Deed]) -> None:
        """Enter what people did."""
        rows = [(deed.number, deed.tick, ticket, deed.content.decode()) for deed in deeds]
        with _told(self.path):
            self._begin()
            self._database.executemany("INSERT INTO deeds VALUES (?, ?, ?, ?)", rows)
            entered = [hash_chain.DeedRow(deed.number, deed.tick, ticket.encode(), deed.content) for deed in deeds]
            self._take((hash_chain.DEED, deed.tick, hash_chain.what_of_deed(deed)) for deed in entered)

    def enter_map(self, epoch: int, tick: int, reason: str, members: Sequence[Member]) -> None:
        """Enter a map, durably: no two directories ever give the same epoch."""
        text = json.dumps([{"name": member.name, "rectangle": list(member.rectangle)} for member in members])
        with _told(self.path):
            self._begin()
            self._database.execute("INSERT INTO maps VALUES (?, ?, ?, ?)", (epoch, tick, reason, text))
        self.commit()

    # --- the ledger

    def begin_ledger(self, world: bytes) -> None:
        """Begin the ledger of a world file, over all that is journalled so far; nothing where it was begun before."""
        with _told(self.path):
            if self._last_item() is not None:
                return
            self._begin()
            begun = hash_chain.item_after(None, hash_chain.BEGUN, self.last_tick(), hash_chain.hash_of_world(world))
            self._database.execute("INSERT INTO items VALUES (?, ?, ?, ?, ?)", begun)
            linked = {tick for (tick,) in self._database.execute("SELECT tick FROM links")}
            for tick, digest in self._database.execute("SELECT tick, digest FROM digests ORDER BY tick").fetchall():
                if tick not in linked:
                    self._chain(tick, digest)
            deeds = self._deed_rows("ORDER BY number")
            self._take((hash_chain.DEED, deed.tick, hash_chain.what_of_deed(deed)) for deed in deeds)
        self.commit()

    def enter_snapshot(self, tick: int, papers: str) -> None:
        """Enter what `ledger.papers` says of a kept snapshot."""
        with _told(self.path):
            self._begin()
            self._take([(hash_chain.SNAPSHOT, tick, papers)])

    def snapshot_ticks(self) -> set[int]:
        """The ticks of the snapshots that the ledger knows."""
        with _told(self.path):
            kind = (hash_chain.SNAPSHOT,)
            return {tick for (tick,) in self._database.execute("SELECT tick FROM items WHERE kind = ?", kind)}

    def enter_head(self, secret: bytes | None) -> None:
        """Enter the head of both chains, durably, signed if there is a key; nothing where it is there already."""
        with _told(self.path):
            link, item = self._last_link(), self._last_item()
            if link is None or item is None:
                return
            head = hash_chain.signed_head(link, item, secret)
            last = self._database.execute("SELECT * FROM heads ORDER BY rowid DESC LIMIT 1").fetchone()
            if last != head:
                self._begin()
                self._database.execute("INSERT INTO heads VALUES (?, ?, ?, ?, ?, ?)", head)
        self.commit()

    def head_stands(self) -> bool:
        """Whether the last head, if there is one, is still of this ledger: one who chained it anew left another."""
        with _told(self.path):
            head = self._database.execute("SELECT * FROM heads ORDER BY rowid DESC LIMIT 1").fetchone()
            if head is None:
                return True
            tick, link, number, item, _, _ = head
            found = self._database.execute("SELECT hash FROM links WHERE tick = ?", (tick,)).fetchone()
            other = self._database.execute("SELECT hash FROM items WHERE number = ?", (number,)).fetchone()
            return (found, other) == ((link,), (item,))

    def ledger_rows(self) -> hash_chain.Rows:
        """What stands in the journal and its ledger at one moment, whatever it is: texts that are none are replaced."""
        with _told(self.path), _read(self.path):
            self._begin()
            try:
                digests = dict(self._texts("digests", ("tick", "digest"), "tick"))
                deeds = self._deed_rows("ORDER BY number")
                there = {name for (name,) in self._database.execute("SELECT name FROM sqlite_master")}
                found = {
                    table: self._texts(table, columns, columns[0] if table != "heads" else "rowid")
                    if table in there
                    else []
                    for table, columns in _LEDGER.items()
                }
            finally:
                self.commit()
        return hash_chain.Rows(
            digests,
            deeds,
            [hash_chain.Link(*row) for row in found["links"]],
            [hash_chain.Item(*row) for row in found["items"]],
            [hash_chain.Head(*row) for row in found["heads"]],
        )

    def _texts(self, table: str, columns: Sequence[str], order: str) -> list[tuple]:
        """Rows as they stand there; `tick` and `number` are numbers, all else is text."""
        numbers = [name in ("tick", "number") for name in columns]
        wanted = ", ".join(
            f"CAST({name} AS {'INTEGER' if number else 'BLOB'})" for name, number in zip(columns, numbers, strict=True)
        )
        return [
            tuple(
                one or 0 if number else (one or b"").decode("utf-8", "backslashreplace")
                for one, number in zip(row, numbers, strict=True)
            )
            for row in self._database.execute(f"SELECT {wanted} FROM {table} ORDER BY {order}")
        ]

    def _deed_rows(self, chosen: str, values: Sequence[int] = ()) -> list[hash_chain.DeedRow]:
        wanted = "SELECT number, CAST(tick AS INTEGER), CAST(ticket AS BLOB), CAST(content AS BLOB) FROM deeds"
        found = self._database.execute(f"{wanted} {chosen}", values)
        return [hash_chain.DeedRow(row[0], row[1] or 0, row[2] or b"", row[3] or b"") for row in found]

    def _last_link(self) -> hash_chain.Link | None:
        row = self._database.execute("SELECT * FROM links ORDER BY tick DESC LIMIT 1").fetchone()
        return None if row is None else hash_chain.Link(*row)

    def _last_item(self) -> hash_chain.Item | None:
        row = self._database.execute("SELECT * FROM items ORDER BY number DESC LIMIT 1").fetchone()
        return None if row is None else hash_chain.Item(*row)

    def _chain(self, tick: int, digest: str) -> None:
        """Chain a digest that was not there before; a journal whose ledger was not begun keeps none."""
        begun = self._database.execute("SELECT what FROM items WHERE number = 1").fetchone()
        if begun is None:
            return
        last = self._last_link()
        if tick % hash_chain.GRID_TICKS or (last is not None and tick <= last.tick):
            self._take([(hash_chain.MOMENT, tick, digest)])
            return
        covers = begun[0]
        if last is not None:
            due = self._deed_rows("WHERE tick >= ? AND tick < ? ORDER BY tick, number", (last.tick, tick))
            covers = hash_chain.hash_of_deeds(due)
        link = hash_chain.link_after(last, tick, covers, digest)
        self._database.execute("INSERT INTO links VALUES (?, ?, ?, ?)", link)

    def _take(self, items: Iterable[tuple[str, int, str]]) -> None:
        """Chain items of a kind, a tick and what they say."""
        before = self._last_item()
        if before is None:
            return
        for kind, tick, what in items:
            before = hash_chain.item_after(before, kind, tick, what)
            self._database.execute("INSERT INTO items VALUES (?, ?, ?, ?, ?)", before)

    # --- what is told

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
                yield _metrics_of(tick, births, deaths, populations, substances)

    def metrics_from(self, tick: int, most: int) -> list[Metrics]:
        """The journalled moments from a tick on; where they are more than `most`, so many at even distances."""
        with _told(self.path), _read(self.path):
            several = "SELECT * FROM metrics WHERE tick >= ? ORDER BY tick LIMIT ?"
            rows = self._database.execute(several, (tick, most + 1)).fetchall()
            if len(rows) > most:
                last = self._database.execute("SELECT max(tick) FROM metrics").fetchone()[0]
                wanted = np.linspace(rows[0][0], last, most).astype(np.int64).tolist()
                found = [self._database.execute(several, (one, 1)).fetchone() for one in wanted]
                rows = list({row[0]: row for row in found}.values())
            return [_metrics_of(*row) for row in rows]

    def births(self) -> Iterator[tuple]:
        """Every journalled birth: id, parent_id, tick, y, x, species, genome (bytes); in the order of their ticks."""
        with _told(self.path):
            yield from self._database.execute("SELECT * FROM births ORDER BY tick, id")

    def births_from(
        self, tick: int, after: int, most: int, kinds: Container[int] | None, genes: Mapping[int, Sequence[int]]
    ) -> Births:
        """Births of a tick (those after an id) and of later ones, `most` at once; of beings of some kinds, or all.

        Only of ticks that are journalled whole, so that nothing comes between later. In place of a genome, a row has
        the genes (one byte each) at the positions that `genes` gives for the kind in its id; None where it gives none,
        or where the genome is too short.
        """
        with _told(self.path), _read(self.path):
            end = max(tick, self.last_tick())
            by_head = []
            for head in self._heads():
                kind = head % (HEADS >> 1)
                if kinds is None or kind in kinds:
                    positions = genes.get(kind, ())
                    first, count = (min(positions), max(positions) - min(positions) + 1) if positions else (0, 0)
                    start = min(max(_first_id(head, tick), after + 1), _first_id(head, tick + 1))
                    rows = self._database.execute(
                        "SELECT id, parent_id, tick, y, x, species, "
                        "CASE WHEN :count > 0 AND length(genome) >= :first + :count "
                        "THEN substr(genome, :first + 1, :count) END "
                        "FROM births WHERE id >= :start AND id < :end ORDER BY id",
                        {"first": first, "count": count, "start": start, "end": _first_id(head, end)},
                    )
                    by_head.append(map(partial(_pick_genes, [position - first for position in positions]), rows))
            found = list(islice(merge(*by_head, key=itemgetter(2, 0)), most + 1))
        if len(found) <= most:
            return Births(found, False, end, -1)
        page, beyond = found[:most], found[most][2]
        if page[0][2] == beyond:
            return Births(page, True, beyond, page[-1][0])
        return Births([row for row in page if row[2] < beyond], True, beyond, -1)

    def birth_count(self, species: str = "") -> int:
        """How many births are journalled; of one species, if it is named."""
        with _told(self.path):
            chosen = ("WHERE species = ?", (species,)) if species else ("", ())
            return self._database.execute(f"SELECT count(*) FROM births {chosen[0]}", chosen[1]).fetchone()[0]

    def births_by_ticks(self, most: int, last_tick: int, species: str = "") -> Iterator[list[tuple]]:
        """Births up to a tick, some ticks at once, about `most` births; of one species, if it is named.

        Rows are as `births` gives them: those of earlier ticks come earlier, but those that come together in any order.
        """
        chosen = ("AND species = ?", (species,)) if species else ("", ())
        with _told(self.path):
            heads, tick, ticks = list(self._heads()), 0, 64
            while tick <= last_tick:
                end, rows = min(tick + ticks, last_tick + 1), []
                for head in heads:
                    rows += self._database.execute(
                        f"SELECT * FROM births WHERE id >= ? AND id < ? {chosen[0]} LIMIT ?",
                        (_first_id(head, tick), _first_id(head, end), *chosen[1], 2 * most + 1 if ticks > 1 else -1),
                    ).fetchall()
                if len(rows) > 2 * most and ticks > 1:
                    ticks //= 2
                    continue
                if rows:
                    yield rows
                tick, ticks = end, ticks * 2 if len(rows) < most // 2 else ticks

    def _heads(self) -> Iterator[int]:
        """With what the ids of journalled births begin."""
        head = -1
        while True:
            row = self._database.execute("SELECT min(id) FROM births WHERE id >= ?", (_first_id(head + 1, 0),))
            first = row.fetchone()[0]
            if first is None:
                return
            head = first >> (TICK_BITS + PLACE_BITS)
            yield head
            if head + 1 >= HEADS:
                return

    def family(self, being: int) -> tuple[list[tuple], list[tuple]]:
        """The births of a being's ancestors, its parent's first, and of its children, the eldest first.

        At most 64 and 256; founders were not born, and end the line. Rows: id, parent_id, tick, y, x, species.
        """
        columns = "SELECT id, parent_id, tick, y, x, species FROM births"
        ancestors: list[tuple] = []
        with _told(self.path):
            born = self._database.execute(f"{columns} WHERE id = ?", (being,)).fetchone()
            while born is not None and len(ancestors) < MAX_ANCESTORS:
                born = self._database.execute(f"{columns} WHERE id = ?", (born[1],)).fetchone()
                if born is not None:
                    ancestors.append(born)
            children = self._database.execute(
                f"{columns} WHERE parent_id = ? ORDER BY id LIMIT ?", (being, MAX_CHILDREN)
            ).fetchall()
        return ancestors, children

    def last_tick(self) -> int:
        """The last journalled tick, 0 if there is none."""
        with _told(self.path):
            return self._database.execute("SELECT max(tick) FROM digests").fetchone()[0] or 0

    def _begin(self) -> None:
        if not self._database.in_transaction:
            self._database.execute("BEGIN")


def _first_id(head: int, tick: int) -> int:
    """The least id with such a head that was born at a tick or later."""
    return min((head << TICK_BITS | min(tick, 1 << TICK_BITS)) << PLACE_BITS, (1 << 63) - 1)


def _pick_genes(positions: Sequence[int], row: tuple) -> tuple:
    """Returns a row of births whose last value, a stretch of a genome, is cut down to the genes at some positions."""
    return row if row[6] is None else (*row[:6], bytes(row[6][position] for position in positions))


def _metrics_of(tick: int, births: int, deaths: int, populations: str, substances: str) -> Metrics:
    """A moment from its row."""
    by_table, matter = json.loads(populations), json.loads(substances)
    counts = [births, deaths, *matter.values(), *(n for found in by_table.values() for n in found.values())]
    if not all(type(count) is int for count in counts):
        raise ValueError(f"tick {tick}: a count is no whole number")
    return Metrics(tick, births, deaths, by_table, matter)


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

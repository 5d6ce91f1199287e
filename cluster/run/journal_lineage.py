"""Queries of the journal by birth: pages of births in the order of their ticks, counts, ancestors and children.

The id of a being begins with its origin and kind, then the tick of its birth (`umwelt.sandbox.columns.identity`). So
within each such prefix births lie in the order of their ticks, and are read by tick through the primary key alone.
"""

from collections.abc import Container, Iterator, Mapping, Sequence
from functools import partial
from heapq import merge
from itertools import islice
from operator import itemgetter
from typing import NamedTuple

from umwelt.cluster.run.journal_database import JournalDatabase, Row
from umwelt.cluster.run.journal_history import History
from umwelt.sandbox.columns import KIND_BITS, PLACE_BITS, TICK_BITS

MAX_ANCESTORS, MAX_CHILDREN = 64, 256
ID_PREFIXES = 1 << (KIND_BITS + 1)
"""How many prefixes of origin and kind an id may have."""
_ID, _TICK, _GENOME = 0, 2, 6
"""Positions in a row of births: id, parent_id, tick, y, x, species, genome."""
_FIRST_TICKS = 64
"""How many ticks `births_by_ticks` reads at first; it adapts the number to the births that it finds."""


class Births(NamedTuple):
    """One page of births in the order of their ticks (`Lineage.births_from`).

    Rows hold id, parent_id, tick, y, x, species, genes. If there are `more`, the next page starts at `tick`, and
    `after` this id (-1 unless the births of that tick do not fit one page).
    """

    rows: list[Row]
    more: bool
    tick: int
    after: int


class Lineage:
    """Reads the births that a journal holds; owned by `Journal`."""

    def __init__(self, database: JournalDatabase, history: History):
        self._database, self._history = database, history

    def births(self) -> Iterator[Row]:
        """Yields every birth in the order of ticks: id, parent_id, tick, y, x, species, genome (bytes)."""
        return self._database.rows("SELECT * FROM births ORDER BY tick, id")

    def birth_count(self, species: str = "") -> int:
        """Returns how many births are journalled, of one species if it is named."""
        if species:
            return self._database.value("SELECT count(*) FROM births WHERE species = ?", (species,))
        return self._database.value("SELECT count(*) FROM births")

    def births_from(
        self, tick: int, after: int, max_rows: int, kinds: Container[int] | None, genes: Mapping[int, Sequence[int]]
    ) -> Births:
        """Returns up to `max_rows` births from `tick` on (of `tick`: ids above `after`); `kinds` None stands for all.

        Only ticks before the last journalled one are read, so that no birth is added to a page later. In place of a
        genome, a row has the genes (one byte each) at the positions that `genes` gives for the kind in its id; None if
        it gives no positions, or if the genome is too short.
        """
        query = (
            "SELECT id, parent_id, tick, y, x, species, "
            "CASE WHEN :count > 0 AND length(genome) >= :first + :count THEN substr(genome, :first + 1, :count) END "
            "FROM births WHERE id >= :min_id AND id < :end_id ORDER BY id"
        )
        with self._database.check_content():
            end_tick = max(tick, self._history.last_tick())
            by_prefix = []
            for prefix in self._id_prefixes():
                kind = prefix % (1 << KIND_BITS)
                if kinds is None or kind in kinds:
                    positions = genes.get(kind, ())
                    first = min(positions, default=0)
                    values = {
                        "first": first,
                        "count": max(positions, default=first - 1) - first + 1,
                        "min_id": min(max(_min_id(prefix, tick), after + 1), _min_id(prefix, tick + 1)),
                        "end_id": _min_id(prefix, end_tick),
                    }
                    offsets = [position - first for position in positions]
                    by_prefix.append(map(partial(_pick_genes, offsets), self._database.rows(query, values)))
            rows = list(islice(merge(*by_prefix, key=itemgetter(_TICK, _ID)), max_rows + 1))
        if len(rows) <= max_rows:
            return Births(rows, False, end_tick, -1)
        page, next_tick = rows[:max_rows], rows[max_rows][_TICK]
        if page[0][_TICK] == next_tick:
            return Births(page, True, next_tick, page[-1][_ID])
        return Births([row for row in page if row[_TICK] < next_tick], True, next_tick, -1)

    def births_by_ticks(self, target_rows: int, last_tick: int, species: str = "") -> Iterator[list[Row]]:
        """Yields births up to a tick in batches of about `target_rows`, of one species if it is named.

        Rows are as `births` yields them. A tick is never divided between batches; within a batch rows are unordered.
        """
        condition, condition_values = ("AND species = ?", (species,)) if species else ("", ())
        query = f"SELECT * FROM births WHERE id >= ? AND id < ? {condition} LIMIT ?"
        prefixes, tick, ticks = list(self._id_prefixes()), 0, _FIRST_TICKS
        while tick <= last_tick:
            end_tick = min(tick + ticks, last_tick + 1)
            rows: list[Row] = []
            limit = 2 * target_rows + 1 if ticks > 1 else -1
            for prefix in prefixes:
                bounds = (_min_id(prefix, tick), _min_id(prefix, end_tick))
                rows += self._database.rows(query, (*bounds, *condition_values, limit))
            if len(rows) > 2 * target_rows and ticks > 1:
                ticks //= 2
                continue
            if rows:
                yield rows
            tick, ticks = end_tick, ticks * 2 if len(rows) < target_rows // 2 else ticks

    def family(self, being: int) -> tuple[list[Row], list[Row]]:
        """Returns the births of a being's ancestors, parent first, and of its children, eldest first.

        At most 64 ancestors and 256 children. Founders have no birth and end the line. Rows: id, parent_id, tick, y,
        x, species.
        """
        columns = "SELECT id, parent_id, tick, y, x, species FROM births"
        ancestors: list[Row] = []
        birth = self._database.row(f"{columns} WHERE id = ?", (being,))
        while birth is not None and len(ancestors) < MAX_ANCESTORS:
            birth = self._database.row(f"{columns} WHERE id = ?", (birth[1],))
            if birth is not None:
                ancestors.append(birth)
        children = self._database.rows(f"{columns} WHERE parent_id = ? ORDER BY id LIMIT ?", (being, MAX_CHILDREN))
        return ancestors, list(children)

    def _id_prefixes(self) -> Iterator[int]:
        """Yields the prefixes of origin and kind that the ids of journalled births have."""
        prefix = -1
        while prefix + 1 < ID_PREFIXES:
            first_id = self._database.value("SELECT min(id) FROM births WHERE id >= ?", (_min_id(prefix + 1, 0),))
            if first_id is None:
                return
            prefix = first_id >> (TICK_BITS + PLACE_BITS)
            yield prefix


def _pick_genes(offsets: Sequence[int], row: Row) -> Row:
    """Returns a row of births whose last value, a slice of a genome, is reduced to the genes at some offsets."""
    return row if row[_GENOME] is None else (*row[:_GENOME], bytes(row[_GENOME][offset] for offset in offsets))


def _min_id(prefix: int, tick: int) -> int:
    """Returns the smallest id with this prefix of a being that was born at `tick` or later."""
    return min((prefix << TICK_BITS | min(tick, 1 << TICK_BITS)) << PLACE_BITS, (1 << 63) - 1)

"""Queries about births in the journal: pages of births in order of their ticks, counts, ancestors and children.

An id consists of a prefix (origin, and kind: the number of the being's table), the tick of birth, and the place
(`umwelt.sandbox.columns.identity`). Ids with the same prefix are therefore in order of their ticks of birth, and the
primary key is also an index by tick.
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
"""Number of possible id prefixes (origin and kind)."""
_ID, _TICK, _GENOME = 0, 2, 6
"""Positions in a row of births, whose values are id, parent_id, tick, y, x, species, genome."""
_FIRST_TICKS = 64
"""Number of ticks that the first query of `births_by_ticks` covers; the number then adapts to the births found."""


class Births(NamedTuple):
    """A page of births in order of their ticks, as `Lineage.births_from` returns it.

    Rows hold id, parent_id, tick, y, x, species, genes. If `more` is true, pass `tick` and `after` to `births_from` for
    the next page. `after` is -1, or, if this page ends within the births of `tick`, the last id on it.
    """

    rows: list[Row]
    more: bool
    tick: int
    after: int


class Lineage:
    """Reads the births in a journal; owned by `Journal`."""

    def __init__(self, database: JournalDatabase, history: History):
        self._database, self._history = database, history

    def births(self) -> Iterator[Row]:
        """Yields a row for every birth in order of ticks: id, parent_id, tick, y, x, species, genome (bytes)."""
        return self._database.rows("SELECT * FROM births ORDER BY tick, id")

    def birth_count(self, species: str = "") -> int:
        """Returns the number of journalled births, or of those of `species` if it is given."""
        if species:
            return self._database.value("SELECT count(*) FROM births WHERE species = ?", (species,))
        return self._database.value("SELECT count(*) FROM births")

    def births_from(
        self, tick: int, after: int, max_rows: int, kinds: Container[int] | None, genes: Mapping[int, Sequence[int]]
    ) -> Births:
        """Returns a page of up to `max_rows` births, in order of ticks and ids, starting at `tick`.

        Of the births at `tick` itself, only those with an id above `after` are returned. `kinds` limits the births to
        beings of these kinds (tables); None means all.

        The last journalled tick is excluded, since it can still get births. The last value of a row holds selected
        genes instead of the genome: one byte for each position in `genes[kind]`; None if `genes` has no positions for
        the kind, or if the genome is too short.
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
        """Yields the births up to `last_tick`, or those of `species`, in batches of about `target_rows` rows.

        Rows have the values of `births`. All births of one tick are in the same batch; rows within a batch are
        unordered.
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
        """Returns the birth rows of a being's ancestors (parent first) and of its children (eldest first).

        Returns at most `MAX_ANCESTORS` ancestors and `MAX_CHILDREN` children. Founders have no birth row, so the
        ancestors end before them. Rows hold id, parent_id, tick, y, x, species.
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
        """Yields the distinct id prefixes (origin and kind) of the journalled births, in ascending order."""
        prefix = -1
        while prefix + 1 < ID_PREFIXES:
            first_id = self._database.value("SELECT min(id) FROM births WHERE id >= ?", (_min_id(prefix + 1, 0),))
            if first_id is None:
                return
            prefix = first_id >> (TICK_BITS + PLACE_BITS)
            yield prefix


def _pick_genes(offsets: Sequence[int], row: Row) -> Row:
    """Returns `row` with its genome slice reduced to the genes at `offsets`."""
    return row if row[_GENOME] is None else (*row[:_GENOME], bytes(row[_GENOME][offset] for offset in offsets))


def _min_id(prefix: int, tick: int) -> int:
    """Returns the smallest id that a being with this prefix, born at `tick` or later, can have."""
    return min((prefix << TICK_BITS | min(tick, 1 << TICK_BITS)) << PLACE_BITS, (1 << 63) - 1)

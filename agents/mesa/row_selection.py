"""The two sorts of contents of a BeingSet: all living beings of some kinds, or chosen beings in a fixed order.

A kind is all beings of a table, or those of some species in it.
"""

from collections.abc import Sequence

import numpy as np

from umwelt.agents.mesa.handles import Kind
from umwelt.agents.mesa.row_index import RowIndex, codes_in, concatenate


class KindRows:
    """All living beings of the given kinds, determined again at each access."""

    is_whole = True
    """Whether the set contains all beings of its kinds, and so cannot be changed."""

    def __init__(self, index: RowIndex, kinds: Sequence[Kind]):
        self.index, self.kinds = index, list(kinds)

    def current(self, ordered: bool = True) -> tuple[np.ndarray, np.ndarray]:
        """Returns the table codes (`int8[beings]`) and the row numbers (`int64[beings]`) of the beings.

        A table code is the table's position among the region's tables. The beings are in order of birth if `ordered`.
        """
        parts = [(kind.code, self._rows_of(kind, ordered)) for kind in self.kinds]
        codes = concatenate([np.full(len(rows), code, np.int8) for code, rows in parts], "int8")
        return codes, concatenate([rows for _, rows in parts])

    def _rows_of(self, kind: Kind, ordered: bool) -> np.ndarray:
        """Returns the row numbers of the beings of one kind, in order of birth if `ordered`."""
        rows = self.index.in_order(kind.code) if ordered else self.index.owned(kind.code)
        if kind.species is None:
            return rows
        return rows[np.isin(self.index.tables[kind.code]["species"][rows], kind.species)]

    def possible_codes(self) -> list[int]:
        """Returns the codes of the tables that the beings can belong to."""
        return [kind.code for kind in self.kinds]


class ChosenRows:
    """Chosen beings in a fixed order; dead beings are removed at the next access."""

    is_whole = False
    """Whether the set contains all beings of its kinds, and so cannot be changed."""

    def __init__(self, index: RowIndex, codes: np.ndarray, rows: np.ndarray):
        self.index = index
        self._codes, self._rows, self._stamp = codes, rows, index.stamp
        self._ids = index.gather("id", codes, rows)

    def current(self, ordered: bool = True) -> tuple[np.ndarray, np.ndarray]:
        """Returns the table codes (`int8[beings]`) and row numbers (`int64[beings]`) of the living beings, in order.

        `ordered` is ignored; it exists for compatibility with `KindRows`.
        """
        if self._stamp != self.index.stamp:
            rows = np.empty(len(self._ids), np.int64)
            for code in codes_in(self._codes):
                of_table = self._codes == code
                rows[of_table] = self.index.rows_of(code, self._ids[of_table])
            alive = rows >= 0
            self._codes, self._rows, self._ids = self._codes[alive], rows[alive], self._ids[alive]
            self._stamp = self.index.stamp
        return self._codes, self._rows

    def possible_codes(self) -> list[int]:
        """Returns the codes of the tables that the beings can belong to."""
        return list(range(len(self.index.tables)))

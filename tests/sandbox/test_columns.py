"""Tables: adding and removing rows, defaults of columns, the index by cell, and ids."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from umwelt.sandbox.columns import Column, Schema, Table, birth_id, identity, index_rows
from umwelt.sandbox.errors import LawError

COLUMNS = (Column("counts", "int32", parts=("a_count", "b_count")), Column("mark", "int8", default=7))
SCHEMA = Schema("things", 3, COLUMNS)


def table_of(count: int) -> Table:
    table = Table(SCHEMA)
    table.append(count, {"id": np.arange(count), "a_count": np.arange(count) * 2})
    return table


@given(st.integers(0, 200), st.data())
def test_keeping_drops_exactly_the_others(count, data):
    table = table_of(count)
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=count, max_size=count)), bool)
    kept = np.flatnonzero(mask)
    table.keep(mask)
    assert sorted(table["id"].tolist()) == kept.tolist()
    assert (table["a_count"] == table["id"] * 2).all()


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 6)), max_size=80))
def test_the_index_lists_every_row_under_its_cell_once(cells):
    table = Table(SCHEMA)
    places = np.array(cells, np.int32).reshape(-1, 2)
    table.append(len(cells), {"y_fixed": places[:, 0] * 1024 + 5, "x_fixed": places[:, 1] * 1024 + 1023})
    index = index_rows(table, 9, 7)
    assert index.start[-1] == len(cells) and sorted(index.rows.tolist()) == list(range(len(cells)))
    for y in range(9):
        for x in range(7):
            found = index.rows[index.start[y * 7 + x] : index.start[y * 7 + x + 1]]
            assert sorted(found.tolist()) == [i for i, cell in enumerate(cells) if cell == (y, x)]


def test_new_rows_have_their_defaults_also_in_reused_rows():
    table = table_of(10)
    table["mark"][:] = 1
    table.keep(np.arange(10) < 4)
    table.append(6)
    assert table["mark"].tolist() == [1] * 4 + [7] * 6 and table["b_count"].tolist() == [0] * 10


def test_a_column_is_declared_once():
    with pytest.raises(LawError, match="'mark' is declared twice"):
        SCHEMA.extend([Column("mark", "int8")])


def test_ids_differ_by_kind_tick_place_and_origin():
    assert identity(2, 5, 9) == birth_id(2, 5, 9) == (2 << 59) | (5 << 30) | 9
    assert identity(2, 5, 9, by_hand=True) == identity(2, 5, 9) | 1 << 62
    assert identity(7, (1 << 29) - 1, (1 << 30) - 1, by_hand=True) == (1 << 63) - 1
    assert identity(1, 0, np.arange(3)).tolist() == [identity(1, 0, i) for i in range(3)]
    with pytest.raises(LawError, match="no id for kind 8"):
        identity(8, 0, 0)

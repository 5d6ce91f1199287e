"""Handles: Python objects that stand for the beings of a world, as Mesa's agents.

A handle is created when its being is first accessed, and deleted when no references to it remain. The attributes of a
handle are the columns of the being's table.
"""

import weakref
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from umwelt.agents.mesa.row_index import COLUMN_OF, RowIndex, as_python, stretches
from umwelt.agents.species.entity import Being, Monster, Plant
from umwelt.agents.species.references import classes_for
from umwelt.agents.world_file import WorldFile
from umwelt.sandbox.units import SUBCELL_BITS

HANDLE_CLASSES: dict[str, type[Being]] = {"plants": Plant, "monsters": Monster}
"""The classes of handles by table; `handle_class` adds those of other tables."""


class Kind(NamedTuple):
    """Beings of one table that a Python class represents: all its rows, or those of some species.

    `code` is the position of the table among the region's tables; `species` has the indices of the species, None for
    all.
    """

    code: int
    species: list[int] | None


class LastValues(NamedTuple):
    """The columns, by name, of those beings of a table that have handles, as they were before a tick.

    `code` is the position of the table among the region's tables, and `ids` has the ids of the beings.
    """

    code: int
    ids: np.ndarray
    columns: dict[str, np.ndarray]


def handle_class(table: str) -> type[Being]:
    """Returns the class of a table's handles, and creates it if needed: `Sheep` for a table `sheep`."""
    if table not in HANDLE_CLASSES:
        name = "".join(part.title() for part in table.split("_"))
        members = {"__doc__": f"A handle on a row of {table}.", "__module__": __name__}
        HANDLE_CLASSES[table] = type(name, (Being,), members)
    return HANDLE_CLASSES[table]


class Handles:
    """Creates and finds the handles of the beings of one World, which owns this object.

    References to handles are weak, so that unused handles are deleted. Handles with attributes that are not columns are
    kept as long as their beings live.
    """

    def __init__(self, world: Any, index: RowIndex, world_file: WorldFile):
        self.world, self.index = world, index
        self.species: list[str] = list(world_file.laws.species(world_file)) if world_file.laws.species else []
        founders = getattr(world_file.settings, "founders", None) or []
        self.species_classes: dict[int, type] = {}
        """The Python classes of species, by index of the species; species with other behaviours are absent."""
        if "monsters" in index.names:
            self.species_classes = classes_for([getattr(founder, "behaviour", "net") for founder in founders])
        self._by_id: list[weakref.WeakValueDictionary[int, Being]]
        self._by_id = [weakref.WeakValueDictionary() for _ in index.tables]
        """The handles that exist, by id, for each table."""
        self._pinned: dict[tuple[int, int], Being] = {}
        """The handles that are kept as long as their beings live, by table code and id."""

    # --- making and finding

    def for_rows(self, codes: np.ndarray, rows: np.ndarray) -> Iterator[Being]:
        """Yields the handle of each being, in order; creates those that do not exist.

        `codes[i]` is the position of a being's table among the region's tables, and `rows[i]` its row.
        """
        index = self.index
        for code, first, last in stretches(codes):
            table, by_id, stamp = index.tables[code], self._by_id[code], index.table_stamp(code)
            some_rows = rows[first:last]
            default = handle_class(index.names[code])
            classes = self.species_classes if index.names[code] == "monsters" else {}
            species = table["species"][some_rows].tolist() if classes else [0] * len(some_rows)
            for identity, row, kind in zip(table["id"][some_rows].tolist(), some_rows.tolist(), species, strict=True):
                being = by_id.get(identity)
                if being is None:
                    being = object.__new__(classes.get(kind, default) if classes else default)
                    being.__dict__.update(_handles=self, _code=code, _id=identity)
                    by_id[identity] = being
                state = being.__dict__
                state["_row"], state["_stamp"] = row, stamp
                yield being

    def row_of(self, being: Being) -> int:
        """Returns the present row of a being; -1 if the being is dead."""
        state = being.__dict__
        stamp = self.index.table_stamp(being._code)
        if state.get("_stamp") != stamp:
            state.update(_row=self.index.row_of(being._code, being._id), _stamp=stamp)
        row: int = state["_row"]
        return row

    def pin(self, being: Being) -> None:
        """Keeps a handle for as long as its being lives, because the handle has attributes that are not columns."""
        self._pinned[being._code, being._id] = being

    # --- classes

    def kinds_by_class(self) -> dict[type, list[Kind]]:
        """Returns the classes of the world's beings, each with the `Kind`s of beings that it represents."""
        kinds: dict[type, list[Kind]] = {}
        for code, name in enumerate(self.index.names):
            classes = self.species_classes if name == "monsters" else {}
            plain_species = self._species_without_class(code) if classes else None
            if plain_species is None or plain_species:
                kinds.setdefault(handle_class(name), []).append(Kind(code, plain_species))
            for cls in dict.fromkeys(classes.values()):
                of_class = [species for species, other in classes.items() if other is cls]
                kinds.setdefault(cls, []).append(Kind(code, of_class))
        return kinds

    def _species_without_class(self, code: int) -> list[int]:
        """Returns the indices of the species of the living beings of a table for which there is no Python class."""
        present = np.unique(self.index.tables[code]["species"]).tolist()
        return [species for species in present if species not in self.species_classes]

    def species_name(self, being: Being) -> str:
        """Returns the name of a being's species."""
        return self.species[self.read(being, "species")]

    # --- columns

    def has_column(self, being: Being, name: str) -> bool:
        """Returns whether the table of a being has a column `name`."""
        return self.index.has(being._code, name)

    def read(self, being: Being, name: str) -> Any:
        """Returns the value of a column for a being; for a dead being, the value stored before its death.

        Raises AttributeError if there is no such column, or if the values of the dead being were not stored.
        """
        row = self.row_of(being)
        if row < 0:
            last = being.__dict__.get("_last")
            if last is None:
                raise AttributeError(f"{being!r} is dead, and its {name} was not kept")
            if COLUMN_OF.get(name, name) not in last:
                raise AttributeError(f"{type(being).__name__} has no {name}")
            return last[COLUMN_OF.get(name, name)]
        if not self.has_column(being, name):
            raise AttributeError(f"{type(being).__name__} has no {name}")
        return as_python(self.index.read(being._code, name, row))

    def write(self, being: Being, name: str, value: Any) -> None:
        """Sets the value of a column for a being. Raises AttributeError if the being is dead."""
        row = self.row_of(being)
        if row < 0:
            raise AttributeError(f"{being!r} is dead: its {name} can no longer be set")
        self.index.write(being._code, name, row, value)

    # --- death

    def last_values(self) -> list[LastValues]:
        """Returns the present columns of the beings with handles: the argument of `keep_of_dead` after a tick."""
        kept = []
        for code, by_id in enumerate(self._by_id):
            if by_id:
                ids = np.array(list(by_id.keys()), np.int64)
                rows = self.index.rows_of(code, ids)
                ids, rows = ids[rows >= 0], rows[rows >= 0]
                names = [column.name for column in self.index.tables[code].schema.columns]
                kept.append(LastValues(code, ids, {name: self.index.read(code, name, rows) for name in names}))
        return kept

    def keep_of_dead(self, kept: list[LastValues]) -> None:
        """Stores the values in `kept` in the handles of beings that have died since, and unpins these handles."""
        for code, ids, columns in kept:
            places = self.index.tables[code].schema.places
            for at in np.flatnonzero(self.index.rows_of(code, ids) < 0).tolist():
                being = self._by_id[code].get(int(ids[at]))
                if being is not None:
                    last = {name: as_python(values[at]) for name, values in columns.items()}
                    last |= {part: as_python(columns[name][at][i]) for part, (name, i) in places.items()}
                    being.__dict__["_last"] = last
                self._pinned.pop((code, int(ids[at])), None)

    def remove(self, being: Being) -> None:
        """Removes a being from the world and adds the molecules of its body to its cell. Does nothing if it is dead."""
        row = self.row_of(being)
        if row < 0:
            return
        kept = self.last_values()
        code, region, table = being._code, self.index.region, self.index.tables[being._code]
        if "counts" in table and "substance" in region.fields:
            y, x = int(table["y_fixed"][row]) >> SUBCELL_BITS, int(table["x_fixed"][row]) >> SUBCELL_BITS
            substances = next(field.parts for field in region.field_list if field.name == "substance")
            for part, (substance, count) in enumerate(zip(substances, table["counts"][row].tolist(), strict=True)):
                to = substances.index("detritus") if substance == "tissue" and "detritus" in substances else part
                region.fields["substance"][to, y, x] += count
        dead = np.zeros(table.count, np.uint8)
        dead[row] = 1
        region.remove_dead(self.index.names[code], dead)
        self.keep_of_dead(kept)

"""Who lives in a world: rows by id, handles by id, and columns as Mesa's calls read and write them.

Only what a region owns is shown, so every being once. Rows move whenever the world goes on; ids stay.
"""

import itertools
import weakref
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from umwelt.agents.species.behaviour import classes_for, own_values
from umwelt.agents.species.entity import Being, Monster, Plant
from umwelt.sandbox.columns import PLACE_BITS, TICK_BITS, Table
from umwelt.sandbox.errors import UmweltError
from umwelt.sandbox.region import Region
from umwelt.sandbox.units import SUBCELL, SUBCELL_BITS

BIRTH_MASK = (1 << (TICK_BITS + PLACE_BITS)) - 1
"""What of an id tells when and where a being was born, so that founders come first."""

SCANS = 4
"""So many single searches among unsorted ids are cheaper than sorting them once."""

NAMES = {"unique_id": "id"}
KNOWN = {"plants": Plant, "monsters": Monster}

_made: dict[str, type[Being]] = {}


def class_for(table: str) -> type[Being]:
    """The class of a table's handles: `Sheep` for a table `sheep`."""
    if table not in KNOWN and table not in _made:
        name = "".join(part.title() for part in table.split("_"))
        _made[table] = type(name, (Being,), {"__doc__": f"A handle on a row of {table}.", "__module__": __name__})
    return KNOWN.get(table) or _made[table]


class Roster:
    """The beings of one world; its tables are told apart by their number, the code."""

    def __init__(self, world: Any, region: Region, world_file: Any):
        self.world = world
        self.region = region
        self.names = list(region.tables)
        self.tables: list[Table] = list(region.tables.values())
        self.species = list(world_file.laws.species(world_file)) if world_file.laws.species else []
        founders = getattr(world_file.settings, "founders", None) or []
        self.own: dict[int, type] = {}
        """The classes of species of one's own, by index."""
        if "monsters" in self.names:
            self.own = classes_for([getattr(founder, "behaviour", "net") for founder in founders])
        self._handles: list[weakref.WeakValueDictionary[int, Being]]
        self._handles = [weakref.WeakValueDictionary() for _ in self.tables]
        self._pinned: dict[tuple[int, int], Being] = {}
        self._cache: list[dict[str, Any]] = [{} for _ in self.tables]

    # --- rows

    @property
    def stamp(self) -> tuple[int, ...]:
        """Changes whenever row numbers may mean something else."""
        return (self.region.tick, *[table.epoch for table in self.tables])

    def _cached(self, code: int) -> dict[str, Any]:
        cache = self._cache[code]
        now = (self.region.tick, self.tables[code].epoch)
        if cache.get("now") != now:
            cache.clear()
            cache.update(now=now, scans=0)
        return cache

    def owned(self, code: int) -> np.ndarray:
        """The rows of a table that are shown, `int64[beings]`, in the table's own order."""
        cache = self._cached(code)
        if "owned" not in cache:
            cache["owned"] = np.flatnonzero(self.region.owned_rows(self.names[code]))
        return cache["owned"]

    def in_order(self, code: int) -> np.ndarray:
        """The rows that are shown in the order of their birth: the same however the rows lie."""
        cache = self._cached(code)
        if "in_order" not in cache:
            rows = self.owned(code)
            ids = self.tables[code]["id"][rows]
            order = np.argsort(ids & BIRTH_MASK, kind="stable")
            cache["in_order"] = rows[order]
        return cache["in_order"]

    def rows_of(self, code: int, ids: np.ndarray) -> np.ndarray:
        """The rows of beings by id, -1 where they are dead, `int64[ids]`."""
        cache = self._cached(code)
        if "sorted" not in cache:
            rows = self.owned(code)
            own = self.tables[code]["id"][rows]
            order = np.argsort(own)
            cache["sorted"] = own[order], rows[order]
        known, rows = cache["sorted"]
        if not len(known):
            return np.full(len(ids), -1, np.int64)
        at = np.minimum(np.searchsorted(known, ids), len(known) - 1)
        return np.where(known[at] == ids, rows[at], -1)

    def row_of(self, being: Being) -> int:
        """The row of one being, -1 where it is dead."""
        code, state = being._code, being.__dict__
        cache = self._cached(code)
        if state.get("_now") == cache["now"]:
            return state["_row"]
        if "sorted" in cache or cache["scans"] >= SCANS:
            row = int(self.rows_of(code, np.array([being._id]))[0])
        else:
            cache["scans"] += 1
            owned = self.owned(code)
            found = owned[self.tables[code]["id"][owned] == being._id]
            row = int(found[0]) if len(found) else -1
        state.update(_row=row, _now=cache["now"])
        return row

    # --- handles

    def handles(self, codes: np.ndarray, rows: np.ndarray) -> Iterator[Being]:
        """A handle for each row, in order, one after another."""
        for code, first, last in runs(codes):
            table, store, now = self.tables[code], self._handles[code], self._cached(code)["now"]
            some = rows[first:last]
            default = class_for(self.names[code])
            own = self.own if self.names[code] == "monsters" else {}
            kinds = table["species"][some].tolist() if own else [0] * len(some)
            for identity, row, kind in zip(table["id"][some].tolist(), some.tolist(), kinds, strict=True):
                being = store.get(identity)
                if being is None:
                    being = object.__new__(own.get(kind, default) if own else default)
                    being.__dict__.update(_roster=self, _code=code, _id=identity)
                    store[identity] = being
                state = being.__dict__
                state["_row"], state["_now"] = row, now
                yield being

    def pin(self, being: Being) -> None:
        """Keep a handle for as long as its being lives: somebody wrote on it what no column holds."""
        self._pinned[being._code, being._id] = being

    def classes(self) -> dict[type, list[tuple[int, list[int] | None]]]:
        """The classes of beings, with the tables (and species, where these tell) that they stand for."""
        found: dict[type, list[tuple[int, list[int] | None]]] = {}
        for code, name in enumerate(self.names):
            own = self.own if name == "monsters" else {}
            plain = self._plain_species(name)
            if plain is None or plain or not own:
                found.setdefault(class_for(name), []).append((code, plain if own else None))
            for cls in dict.fromkeys(own.values()):
                found.setdefault(cls, []).append((code, [at for at, other in own.items() if other is cls]))
        return found

    def _plain_species(self, name: str) -> list[int] | None:
        """Monsters' species that have no class of their own."""
        if name != "monsters" or not self.own:
            return None
        present = np.unique(self.tables[self.names.index(name)]["species"]).tolist()
        return [at for at in present if at not in self.own]

    def species_name(self, being: Being) -> str:
        """The name of a being's species."""
        return self.species[self.read(being, "species")]

    # --- columns

    def has(self, code: int, name: str) -> bool:
        """Whether a table has a column of that name."""
        return NAMES.get(name, name) in self.tables[code]

    def values(self, code: int, name: str, rows: Any) -> np.ndarray:
        """A column of rows, copied; positions in the world's coordinates."""
        return own_values(self.region, self.tables[code], NAMES.get(name, name), rows)

    def write(self, code: int, name: str, rows: Any, value: Any) -> None:
        """Set a column of rows, to one value or one each."""
        table = self.tables[code]
        place = table.schema.places[name][0] if name in table.schema.places else NAMES.get(name, name)
        column = next(column for column in table.schema.columns if column.name == place)
        if column.fixed:
            raise AttributeError(f"{self.names[code]}: {name} never changes after birth")
        whole = as_integers(value, np.dtype(column.dtype), name)
        if place == "counts" and (whole < 0).any():
            raise UmweltError(f"{self.names[code]}: {name} counts molecules: use 0 or more")
        if name in ("y_fixed", "x_fixed"):
            first, edge, size = self._axis(name)
            whole = ((whole.astype(np.int64) - first) % size + edge).astype(column.dtype)
        table[name][rows] = whole
        if name in ("y_fixed", "x_fixed"):
            self.region.reindex(self.names[code])

    def _axis(self, name: str) -> tuple[int, int, int]:
        """Where the owned rectangle begins in the world and in the window, and the world's length, in fixed point."""
        owned, torus = self.region.owned, self.region.torus
        first, size = (owned.y, torus.height) if name == "y_fixed" else (owned.x, torus.width)
        return first * SUBCELL, self.region.halo_cells * SUBCELL, size * SUBCELL

    def read(self, being: Being, name: str) -> Any:
        """A column of one being; of a dead one, what it last was."""
        row = self.row_of(being)
        if row < 0:
            last = being.__dict__.get("_last")
            if last is None:
                raise AttributeError(f"{being!r} is dead, and nobody kept its {name}")
            if NAMES.get(name, name) not in last:
                raise AttributeError(f"{type(being).__name__} has no {name}")
            return last[NAMES.get(name, name)]
        if not self.has(being._code, name):
            raise AttributeError(f"{type(being).__name__} has no {name}")
        return as_python(self.values(being._code, name, row))

    def write_one(self, being: Being, name: str, value: Any) -> None:
        """Set a column of one being."""
        row = self.row_of(being)
        if row < 0:
            raise AttributeError(f"{being!r} is dead: its {name} can no longer be set")
        self.write(being._code, name, row, value)

    # --- death

    def keep_last(self) -> list[tuple[int, np.ndarray, dict[str, np.ndarray]]]:
        """What the beings with handles are now, for `remove_dead` to hand to the handles of those that die."""
        kept = []
        for code, store in enumerate(self._handles):
            if store:
                ids = np.array(list(store.keys()), np.int64)
                rows = self.rows_of(code, ids)
                ids, rows = ids[rows >= 0], rows[rows >= 0]
                names = [column.name for column in self.tables[code].schema.columns]
                kept.append((code, ids, {name: self.values(code, name, rows) for name in names}))
        return kept

    def remove_dead(self, kept: list[tuple[int, np.ndarray, dict[str, np.ndarray]]]) -> None:
        """Leave the last values with the handles of those that died meanwhile."""
        for code, ids, values in kept:
            places = self.tables[code].schema.places
            for at in np.flatnonzero(self.rows_of(code, ids) < 0).tolist():
                being = self._handles[code].get(int(ids[at]))
                if being is not None:
                    last = {name: as_python(array[at]) for name, array in values.items()}
                    last |= {part: as_python(values[name][at][i]) for part, (name, i) in places.items()}
                    being.__dict__["_last"] = last
                self._pinned.pop((code, int(ids[at])), None)

    def remove(self, being: Being) -> None:
        """Take a being out of the world, and give what it holds to its cell; nothing happens where it is dead."""
        row = self.row_of(being)
        if row < 0:
            return
        kept = self.keep_last()
        code, region, table = being._code, self.region, self.tables[being._code]
        if "counts" in table and "substance" in region.fields:
            y, x = int(table["y_fixed"][row]) >> SUBCELL_BITS, int(table["x_fixed"][row]) >> SUBCELL_BITS
            substances = next(field.parts for field in region.field_list if field.name == "substance")
            for at, (substance, count) in enumerate(zip(substances, table["counts"][row].tolist(), strict=True)):
                to = substances.index("detritus") if substance == "tissue" and "detritus" in substances else at
                region.fields["substance"][to, y, x] += count
        dead = np.zeros(table.count, np.uint8)
        dead[row] = 1
        region.remove_dead(self.names[code], dead)
        self.remove_dead(kept)


def runs(codes: np.ndarray) -> list[tuple[int, int, int]]:
    """Stretches of equal codes, as `(code, first, last)`."""
    if not len(codes):
        return []
    cuts = [0, *(np.flatnonzero(np.diff(codes)) + 1).tolist(), len(codes)]
    return [(int(codes[a]), a, b) for a, b in itertools.pairwise(cuts)]


def as_python(value: Any) -> Any:
    """A Python integer, or an array of several entries that cannot be written to (it is a copy)."""
    if np.ndim(value) == 0:
        return int(value)
    value = np.array(value)
    value.flags.writeable = False
    return value


def as_integers(value: Any, dtype: np.dtype, name: str) -> np.ndarray:
    """Whole numbers that fit a column, or an error: the world counts in integers."""
    array = np.asarray(value)
    if array.dtype.kind == "f" and (array == np.trunc(array)).all():
        array = array.astype(np.int64)
    if array.dtype.kind not in "iub":
        raise TypeError(f"{name} holds whole numbers, not {value!r}: round first")
    limits = np.iinfo(dtype)
    if array.size and not (limits.min <= int(array.min()) and int(array.max()) <= limits.max):
        raise OverflowError(f"{name} is {dtype}: it holds {limits.min} to {limits.max}")
    return array.astype(dtype)


def concatenated(parts: Sequence[np.ndarray], dtype: str = "int64") -> np.ndarray:
    """Arrays joined; nothing joined is empty."""
    return np.concatenate(parts) if parts else np.empty(0, dtype)

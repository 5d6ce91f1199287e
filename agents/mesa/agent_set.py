"""Mesa's AgentSet over columns.

`Population` is Mesa's own set of objects with the column ways added, for plain models. `Beings` is the same over rows
of a world's tables: `agents["sugar_count"]` is an array, `agents.select(agents["sugar_count"] > 50)` takes a mask, and
all of Mesa's calls work by column where they can. Only what takes a function of one agent goes through handles, one by
one.
"""

import contextlib
import dis
import types
from collections.abc import Callable, Iterable, Iterator
from random import Random
from typing import Any

import numpy as np
from mesa.agent import AgentSet, GroupBy

from umwelt.agents.mesa.row_index import NAMES, Roster, as_python, concatenated, runs
from umwelt.agents.species.entity import Being

REDUCTIONS = {sum: np.sum, min: np.min, max: np.max}
ARRAY_WAYS = {np.sum, np.min, np.max, np.mean, np.median, np.std, np.var, np.amin, np.amax}
"""Ways to sum up that do not depend on order, and take arrays as they are."""

SIMPLE_OPERATIONS = {
    "RESUME",
    "LOAD_FAST",
    "LOAD_FAST_BORROW",
    "LOAD_CONST",
    "LOAD_SMALL_INT",
    "LOAD_ATTR",
    "LOAD_DEREF",
    "LOAD_GLOBAL",
    "COPY_FREE_VARS",
    "COMPARE_OP",
    "BINARY_OP",
    "RETURN_VALUE",
    "CACHE",
    "NOP",
    "PUSH_NULL",
}
SIMPLE_BINARY = frozenset("+-&|^")


class Population(AgentSet):
    """A set of agents in order; `agents["wealth"]` is an array of an attribute, a mask selects."""

    def __init__(self, agents: Iterable[Any] = (), random: Random | None = None):
        members = list(agents)
        super().__init__(members, random)
        # Mesa's sets hold their agents weakly, and a handle nobody holds is dropped though its being lives
        self._held = [agent for agent in members if isinstance(agent, Being)]

    def __getitem__(self, item: Any) -> Any:
        if isinstance(item, str):
            return np.array(self.get(item))
        if isinstance(item, np.ndarray) and item.dtype == bool:
            return self.select(item)
        return super().__getitem__(item)

    def select(
        self,
        filter_func: Any = None,
        at_most: int | float = float("inf"),
        inplace: bool = False,
        agent_type: type | None = None,
    ) -> AgentSet:
        """Some of the agents: by a mask (`bool[agents]`), a function of one agent, a class, and a greatest number."""
        if isinstance(filter_func, np.ndarray | list):
            chosen = [agent for agent, is_in in zip(self, _mask(filter_func, len(self)).tolist(), strict=True) if is_in]
            picked = Population(chosen, self.random)
            picked = picked if inplace else picked.select(at_most=at_most, agent_type=agent_type)
            return self._update(picked.select(at_most=at_most, agent_type=agent_type)) if inplace else picked
        return super().select(filter_func, at_most, inplace, agent_type)


def _mask(values: Any, count: int) -> np.ndarray:
    mask = np.asarray(values)
    if mask.dtype != bool or mask.shape != (count,):
        raise ValueError(f"a mask for {count} agents is bool[{count}], not {mask.dtype}{list(mask.shape)}")
    return mask


class Beings(Population):
    """Beings of a world, in order: living ones only. Either all of some kinds, always up to date, or chosen ones."""

    def __init__(
        self,
        roster: Roster,
        random: Random,
        kinds: list[tuple[int, list[int] | None]] | None = None,
        codes: np.ndarray | None = None,
        rows: np.ndarray | None = None,
    ):
        self._roster, self.random, self._kinds = roster, random, kinds
        self._codes = np.empty(0, np.int8) if codes is None else codes
        self._rows = np.empty(0, np.int64) if rows is None else rows
        self._ids = np.empty(0, np.int64)
        self._stamp: tuple[int, ...] = ()
        if kinds is None:
            self._stamp = roster.stamp
            self._ids = self._gathered("id", self._codes, self._rows)

    # --- which rows

    def _found(self, ordered: bool = True) -> tuple[np.ndarray, np.ndarray]:
        """Tables and rows of those that live, `int8[beings]` and `int64[beings]`."""
        if self._kinds is not None:
            parts = [(code, self._of_kind(code, species, ordered)) for code, species in self._kinds]
            codes = concatenated([np.full(len(rows), code, np.int8) for code, rows in parts], "int8")
            return codes, concatenated([rows for _, rows in parts])
        if self._stamp != self._roster.stamp:
            rows = np.empty(len(self._ids), np.int64)
            for code in kinds_in(self._codes):
                chosen = self._codes == code
                rows[chosen] = self._roster.rows_of(code, self._ids[chosen])
            alive = rows >= 0
            self._codes, self._rows, self._ids = self._codes[alive], rows[alive], self._ids[alive]
            self._stamp = self._roster.stamp
        return self._codes, self._rows

    def _of_kind(self, code: int, species: list[int] | None, ordered: bool) -> np.ndarray:
        rows = self._roster.in_order(code) if ordered else self._roster.owned(code)
        if species is None:
            return rows
        return rows[np.isin(self._roster.tables[code]["species"][rows], species)]

    def _gathered(self, name: str, codes: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """A column of rows of one or several tables."""
        if int(np.count_nonzero(codes[1:] != codes[:-1])) < len(self._roster.tables):
            parts = [self._roster.values(code, name, rows[first:last]) for code, first, last in runs(codes)]
            return parts[0] if len(parts) == 1 else concatenated(parts)
        # tables alternate, as after a shuffle
        kinds = kinds_in(codes)
        found = [self._roster.values(code, name, rows[codes == code]) for code in kinds]
        result = np.empty((len(rows), *found[0].shape[1:]), np.result_type(*found))
        for code, values in zip(kinds, found, strict=True):
            result[codes == code] = values
        return result

    def _is_column(self, name: Any, codes: np.ndarray) -> bool:
        """Whether all of the beings have a column of that name, and no class means something else by it."""
        return isinstance(name, str) and all(self._roster.has(code, name) for code in kinds_in(codes))

    def _chosen(self, codes: np.ndarray, rows: np.ndarray, inplace: bool = False) -> "Beings":
        if not inplace:
            return Beings(self._roster, self.random, None, codes, rows)
        self._not_the_world("changed in place")
        self._codes, self._rows, self._stamp = codes, rows, self._roster.stamp
        self._ids = self._gathered("id", codes, rows)
        return self

    def _not_the_world(self, what: str) -> None:
        if self._kinds is not None:
            raise TypeError(f"these are all the beings there are and cannot be {what}: use what select() gives")

    # --- a set and a sequence

    def __len__(self) -> int:
        return len(self._found(ordered=False)[1])

    def __iter__(self) -> Iterator[Being]:
        codes, rows = self._found()
        return self._roster.handles(codes, rows)

    def __contains__(self, agent: object) -> bool:
        if not isinstance(agent, Being) or agent._roster is not self._roster or not agent.alive:
            return False
        codes, rows = self._found(ordered=False)
        return bool(((rows == self._roster.row_of(agent)) & (codes == agent._code)).any())

    def __getitem__(self, item: Any) -> Any:
        """An array of a column by name, a handle by number, a list of handles by slice, or a selection by mask."""
        codes, rows = self._found()
        if isinstance(item, str):
            if not len(rows) or not self._is_column(item, codes):
                raise KeyError(self._no_column(item))
            return self._gathered(item, codes, rows)
        if isinstance(item, np.ndarray) and item.dtype == bool:
            return self.select(item)
        if isinstance(item, slice):
            return list(self._roster.handles(codes[item], rows[item]))
        at = range(len(rows))[item]
        return next(self._roster.handles(codes[at : at + 1], rows[at : at + 1]))

    def _no_column(self, name: str) -> str:
        codes = range(len(self._roster.tables)) if self._kinds is None else [code for code, _ in self._kinds]
        having = [self._roster.names[code] for code in codes if self._roster.has(code, name)]
        if having:
            return f"only {', '.join(having)} have {name}: ask one kind of world.agents_by_type, or get(..., 'default')"
        return f"no being has a column {name}"

    def add(self, agent: Any) -> None:
        """Add a being of the same world to a selection."""
        if agent in self:
            return
        self._not_the_world("added to")
        if not isinstance(agent, Being) or agent._roster is not self._roster or not agent.alive:
            raise TypeError(f"{agent!r} is no living being of this world")
        codes, rows = self._found()
        row = self._roster.row_of(agent)
        self._chosen(np.append(codes, np.int8(agent._code)), np.append(rows, row), inplace=True)

    def discard(self, agent: Any) -> None:
        """Take a being out of a selection, if it is there."""
        if agent not in self:
            return
        self._not_the_world("taken from")
        codes, rows = self._found()
        kept = ~((rows == self._roster.row_of(agent)) & (codes == agent._code))
        self._chosen(codes[kept], rows[kept], inplace=True)

    def remove(self, agent: Any) -> None:
        """Take a being out of a selection; `KeyError` where it is not in it."""
        if agent not in self:
            raise KeyError(agent)
        self.discard(agent)

    @classmethod
    def _from_iterable(cls, agents: Iterable[Any]) -> Any:
        members = list(agents)
        return Population(members, members[0].model.random if members else Random(0))

    def __copy__(self) -> "Beings":
        return self._chosen(*self._found())

    def __deepcopy__(self, memo: dict) -> "Beings":
        return self.__copy__()

    def __reduce__(self) -> Any:
        raise TypeError("beings are views into their world and cannot be pickled; take their values with get(...)")

    # --- Mesa's calls

    def select(
        self,
        filter_func: Any = None,
        at_most: int | float = float("inf"),
        inplace: bool = False,
        agent_type: type | None = None,
    ) -> "Beings":
        """Some of the beings, in order: by mask (`bool[beings]`), by function, by class, up to a number or a share."""
        codes, rows = self._found()
        if isinstance(at_most, float) and at_most <= 1.0:
            at_most = int(len(rows) * at_most)
        if agent_type is not None:
            classes = self._roster.classes().items()
            fitting = [kind for cls, some in classes if issubclass(cls, agent_type) for kind in some]
            is_in = self._are_of(codes, rows, fitting)
        else:
            is_in = np.ones(len(rows), bool)
        if isinstance(filter_func, np.ndarray | list):
            is_in &= _mask(filter_func, len(rows))
        elif filter_func is not None:
            places = np.flatnonzero(is_in)
            is_in[places] = self._asked(filter_func, codes[places], rows[places], at_most)
        chosen = np.flatnonzero(is_in)
        if at_most < len(chosen):
            chosen = chosen[: max(0, int(at_most))]
        return self._chosen(codes[chosen], rows[chosen], inplace)

    def _are_of(self, codes: np.ndarray, rows: np.ndarray, kinds: list[tuple[int, list[int] | None]]) -> np.ndarray:
        result = np.zeros(len(rows), bool)
        for code, species in kinds:
            is_in = codes == code
            if species is not None:
                is_in[is_in] = np.isin(self._roster.tables[code]["species"][rows[is_in]], species)
            result |= is_in
        return result

    def _asked(self, function: Callable, codes: np.ndarray, rows: np.ndarray, at_most: float) -> np.ndarray:
        """What a function says of each being; comparisons of columns are done on whole columns at once."""
        names = simple_names(function)
        if names and len(rows) and all(self._is_single(name, codes, 4) for name in names):
            columns = {name: self._gathered(name, codes, rows).astype(np.int64) for name in names}
            answer = None
            with contextlib.suppress(OverflowError):  # a constant beyond 64 bits: Python's integers know no end
                answer = function(types.SimpleNamespace(**columns))
            if isinstance(answer, np.ndarray) and answer.shape == (len(rows),):
                return answer.astype(bool)
        result, found = np.zeros(len(rows), bool), 0
        for at, being in enumerate(self._roster.handles(codes, rows)):
            if found >= at_most:
                break
            if function(being):
                result[at] = True
                found += 1
        return result

    def _is_single(self, name: Any, codes: np.ndarray, max_bytes: int = 8) -> bool:
        """Whether a name is a column of single numbers; small ones cannot overflow in sums."""
        if not self._is_column(name, codes):
            return False
        samples = [self._roster.tables[code][NAMES.get(name, name)][:0] for code in kinds_in(codes)]
        return all(sample.ndim == 1 and sample.dtype.itemsize <= max_bytes for sample in samples)

    def shuffle(self, inplace: bool = False) -> "Beings":
        """The beings in another order, drawn from the set's own generator."""
        codes, rows = self._found()
        order = np.random.default_rng(self.random.getrandbits(64)).permutation(len(rows))
        return self._chosen(codes[order], rows[order], inplace)

    def sort(self, key: Any, ascending: bool = False, inplace: bool = False) -> "Beings":
        """The beings by a column or by what a function gives; equal ones keep their order. The largest come first."""
        codes, rows = self._found()
        if self._is_single(key, codes):
            values = self._gathered(key, codes, rows).astype(np.int64)
            order = np.argsort(values if ascending else ~values, kind="stable")
        else:
            asked = [getattr(b, key) if isinstance(key, str) else key(b) for b in self._roster.handles(codes, rows)]
            order = np.array(sorted(range(len(asked)), key=asked.__getitem__, reverse=not ascending), np.int64)
        return self._chosen(codes[order], rows[order], inplace)

    def do(self, method: Any, *args: Any, **kwargs: Any) -> "Beings":
        """Call a method by name, or a function, on each being; those that die meanwhile are passed over."""
        self._called(method, args, kwargs)
        return self

    def shuffle_do(self, method: Any, *args: Any, **kwargs: Any) -> "Beings":
        """The same in random order."""
        self.shuffle()._called(method, args, kwargs)
        return self

    def map(self, method: Any, *args: Any, **kwargs: Any) -> list[Any]:
        """What a method or a function gives for each being."""
        return self._called(method, args, kwargs)

    def _called(self, method: Any, args: tuple, kwargs: dict) -> list[Any]:
        codes, rows = self._found()
        tables = self._roster.tables
        before, results = [table.epoch for table in tables], []
        # ids first: what is called may kill, and rows move then
        for being in self._by_id(codes, self._gathered("id", codes, rows), rows):
            code = being._code
            if tables[code].epoch != before[code] and not being.alive:
                continue
            function = getattr(being, method) if isinstance(method, str) else None
            results.append(function(*args, **kwargs) if function is not None else method(being, *args, **kwargs))
        return results

    def _by_id(self, codes: np.ndarray, ids: np.ndarray, rows: np.ndarray) -> Iterator[Being]:
        """Handles of beings that may die while this goes on: all are made before the first is used, a few at a time."""
        before = self._roster.stamp
        for first in range(0, len(rows), 1024):
            part = slice(first, first + 1024)
            if self._roster.stamp == before:
                yield from list(self._roster.handles(codes[part], rows[part]))
                continue
            for code, a, b in runs(codes[part]):
                some = self._roster.rows_of(code, ids[part][a:b])
                some = some[some >= 0]
                yield from list(self._roster.handles(np.full(len(some), code, np.int8), some))

    def get(self, attr_names: Any, handle_missing: Any = "error", default_value: Any = None) -> list[Any]:
        """Attributes of each being as a list of Python numbers (a list of lists where several are named)."""
        if handle_missing not in ("error", "default"):
            raise ValueError(f"Unknown handle_missing option: {handle_missing}, should be one of 'error' or 'default'")
        codes, rows = self._found()
        if isinstance(attr_names, str):
            return self._listed(attr_names, handle_missing, default_value, codes, rows)
        columns = [self._listed(name, handle_missing, default_value, codes, rows) for name in attr_names]
        return [list(values) for values in zip(*columns, strict=True)] if columns else [[] for _ in rows]

    def _listed(self, name: str, missing: str, default: Any, codes: np.ndarray, rows: np.ndarray) -> list[Any]:
        if self._is_column(name, codes):
            return self._gathered(name, codes, rows).tolist()
        if missing == "error":
            return [getattr(being, name) for being in self._roster.handles(codes, rows)]
        return [getattr(being, name, default) for being in self._roster.handles(codes, rows)]

    def set(self, attr_name: str, value: Any) -> "Beings":
        """Set a column of all the beings, to one value or (an array) one each."""
        codes, rows = self._found()
        if not self._is_column(attr_name, codes):
            for being in self._roster.handles(codes, rows):
                setattr(being, attr_name, value)
            return self
        each = isinstance(value, np.ndarray) and value.shape[:1] == (len(rows),)
        for code in kinds_in(codes):
            is_in = codes == code
            self._roster.write(code, attr_name, rows[is_in], value[is_in] if each else value)
        return self

    def agg(self, attribute: str, func: Any) -> Any:
        """Sum up an attribute by a function, or by each of several: `agg("age_ticks", max)`."""
        codes, rows = self._found(ordered=False)
        functions = [func] if callable(func) else list(func)
        known = all(one in REDUCTIONS or one in ARRAY_WAYS for one in functions)
        if known and len(rows) and self._is_column(attribute, codes):
            values = self._gathered(attribute, codes, rows)
            results = [_summed(values, one) for one in functions]
        else:
            listed = self.get(attribute)
            results = [one(listed) for one in functions]
        return results[0] if callable(func) else results

    def groupby(self, by: Any, result_type: str = "agentset") -> GroupBy:
        """The beings by a column, or by what a function gives; groups in the order in which they are first met."""
        codes, rows = self._found()
        if len(rows) and self._is_single(by, codes):
            found = self._gathered(by, codes, rows)
            values, first, inverse = np.unique(found, return_index=True, return_inverse=True)
            keys: list[Any] = values.tolist()
        else:
            asked = [by(b) if callable(by) else getattr(b, by) for b in self._roster.handles(codes, rows)]
            known = {value: at for at, value in enumerate(dict.fromkeys(asked))}
            keys, first = list(known), np.arange(len(known))
            inverse = np.array([known[value] for value in asked], np.int64)
        order = np.argsort(inverse, kind="stable")
        cuts = np.searchsorted(inverse[order], np.arange(len(keys) + 1))
        groups: dict[Any, Any] = {}
        for at in np.argsort(first, kind="stable").tolist():
            members = order[cuts[at] : cuts[at + 1]]
            some = self._chosen(codes[members], rows[members])
            groups[keys[at]] = some if result_type == "agentset" else list(some)
        return ColumnGroups(groups) if result_type == "agentset" else GroupBy(groups)


class ColumnGroups(GroupBy):
    """Groups of beings that are summed up by column."""

    def agg(self, attr_name: str, func: Callable) -> dict[Any, Any]:
        """An attribute of each group summed up by a function."""
        return {key: group.agg(attr_name, func) for key, group in self.groups.items()}


def kinds_in(codes: np.ndarray) -> list[int]:
    """The tables that occur."""
    return np.flatnonzero(np.bincount(codes)).tolist()


def _summed(values: np.ndarray, function: Callable) -> Any:
    if function is sum and values.dtype.itemsize > 4:
        return sum(values.tolist())  # ids add up to more than 64 bits
    if function in REDUCTIONS:
        wide = {"dtype": np.int64} if function is sum and values.dtype.kind in "iub" else {}
        return as_python(REDUCTIONS[function](values, axis=0, **wide))  # type: ignore[operator]
    return function(values)


def simple_names(function: Any) -> list[str]:
    """The attributes that a function compares, where it does nothing else: then it may be given whole columns.

    Only comparisons, sums and bitwise operations of attributes and constants count as such: no calls, no jumps.
    """
    code = getattr(function, "__code__", None)
    if not isinstance(function, types.FunctionType) or code is None or code.co_argcount != 1 or code.co_kwonlyargcount:
        return []
    names = []
    for operation in dis.get_instructions(code):
        if operation.opname not in SIMPLE_OPERATIONS:
            return []
        if operation.opname == "BINARY_OP" and operation.argrepr not in SIMPLE_BINARY:
            return []
        if operation.opname == "LOAD_ATTR":
            names.append(operation.argval)
        if operation.opname == "LOAD_GLOBAL" and type(function.__globals__.get(operation.argval)) not in (int, float):
            return []
        if operation.opname == "LOAD_DEREF" and not _closed_numbers(function):
            return []
    return names


def _closed_numbers(function: types.FunctionType) -> bool:
    try:
        return all(type(cell.cell_contents) in (int, float) for cell in function.__closure__ or ())
    except ValueError:
        return False

"""Mesa's AgentSet for the beings of a world from a file, which are stored as rows of tables.

`agents["sugar_count"]` is an array, and `agents.select(agents["sugar_count"] > 50)` takes a mask. Mesa's methods
operate on columns where possible; only methods that call a function for each agent create a *handle* for each, a Python
object that stands for the being.

A *kind* is all beings of a table, or those of some species in it. Private functions identify beings by two arrays:
`codes[i]` is the position of a being's table among the tables of the region, and `rows[i]` its row in that table.
"""

import contextlib
import types
from collections.abc import Callable, Iterable, Iterator, Sequence
from random import Random
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from umwelt.agents.mesa.agent_set import NO_LIMIT, AgentSet, check_mask
from umwelt.agents.mesa.column_functions import compared_attributes, is_reduction, reduce_column
from umwelt.agents.mesa.handles import Handles, Kind
from umwelt.agents.mesa.row_index import codes_in, stretches
from umwelt.agents.mesa.row_selection import ChosenRows, KindRows
from umwelt.agents.species.entity import Being
from umwelt.agents.species.mesa_types import MesaGroupBy

HANDLES_AT_ONCE = 1024
"""The number of handles that are created together when a method is called on each being."""
NARROW_BYTES = 4
"""The maximum width, in bytes, of columns whose comparisons and sums cannot overflow 64 bits."""


class BeingSet(AgentSet):
    """An ordered set of living beings of a world from a file, with the methods of Mesa's AgentSet.

    `world.agents` and the sets in `world.agents_by_type` always contain all beings of their kinds and cannot be
    changed. `select`, `sort` and `shuffle` return a set of chosen beings in a fixed order, from which dead beings
    disappear. Beings are in order of birth unless they were sorted or shuffled. Results that are not arrays contain
    Python numbers.
    """

    def __init__(self, handles: Handles, random: Random, selection: KindRows | ChosenRows) -> None:
        self._handles, self._index, self.random = handles, handles.index, random
        self._selection = selection

    @classmethod
    def of_kinds(cls, handles: Handles, random: Random, kinds: Sequence[Kind]) -> "BeingSet":
        """Returns the set of all living beings of the given kinds; its content follows births and deaths."""
        return cls(handles, random, KindRows(handles.index, kinds))

    def _choose(self, codes: np.ndarray, rows: np.ndarray, inplace: bool = False) -> "BeingSet":
        """Returns a set of the beings in `rows` of the tables `codes`; with `inplace`, makes this set contain them."""
        chosen = ChosenRows(self._index, codes, rows)
        if not inplace:
            return BeingSet(self._handles, self.random, chosen)
        self._refuse_if_whole("changed in place")
        self._selection = chosen
        return self

    def _refuse_if_whole(self, what: str) -> None:
        """Raises TypeError if the set contains all beings of its kinds, and so cannot be changed.

        `what` says in the message what was to be done, as in "changed in place".
        """
        if self._selection.is_whole:
            raise TypeError(
                f"this set contains all beings of its kinds and cannot be {what}: use what select() returns"
            )

    # --- a set and a sequence

    def __len__(self) -> int:
        return len(self._selection.current(ordered=False)[1])

    def __iter__(self) -> Iterator[Being]:
        return self._handles.for_rows(*self._selection.current())

    def __contains__(self, agent: object) -> bool:
        if not isinstance(agent, Being) or agent._handles is not self._handles or not agent.alive:
            return False
        codes, rows = self._selection.current(ordered=False)
        return bool(((rows == self._handles.row_of(agent)) & (codes == agent._code)).any())

    @overload
    def __getitem__(self, item: str) -> NDArray[Any]: ...

    @overload
    def __getitem__(self, item: NDArray[np.bool_]) -> "BeingSet": ...

    @overload
    def __getitem__(self, item: int) -> Any: ...

    @overload
    def __getitem__(self, item: slice) -> list[Any]: ...

    def __getitem__(self, item: Any) -> Any:
        """Returns a column as an array, a handle by position, a list of handles by slice, or a set by mask.

        Raises KeyError if not all beings of the set have a column of that name.
        """
        codes, rows = self._selection.current()
        if isinstance(item, str):
            if not len(rows) or not self._index.have_all(item, codes):
                raise KeyError(self._missing_column_line(item))
            return self._index.gather(item, codes, rows)
        if isinstance(item, np.ndarray) and item.dtype == bool:
            return self.select(item)
        if isinstance(item, slice):
            return list(self._handles.for_rows(codes[item], rows[item]))
        at = range(len(rows))[item]
        return next(self._handles.for_rows(codes[at : at + 1], rows[at : at + 1]))

    def _missing_column_line(self, name: str) -> str:
        """Returns the error message for a column that not all beings of the set have."""
        tables = [self._index.names[code] for code in self._selection.possible_codes() if self._index.has(code, name)]
        if tables:
            return f"only {', '.join(tables)} have {name}: ask one kind of world.agents_by_type, or get(..., 'default')"
        return f"no being has a column {name}"

    def add(self, agent: Any) -> None:
        """Adds a living being of the same world to a set of chosen beings. Raises TypeError for anything else."""
        if agent in self:
            return
        self._refuse_if_whole("added to")
        if not isinstance(agent, Being) or agent._handles is not self._handles or not agent.alive:
            raise TypeError(f"{agent!r} is not a living being of this world")
        codes, rows = self._selection.current()
        row = self._handles.row_of(agent)
        self._choose(np.append(codes, np.int8(agent._code)), np.append(rows, row), inplace=True)

    def discard(self, agent: Any) -> None:
        """Removes a being from a set of chosen beings if the set contains it; the being stays in the world."""
        if agent not in self:
            return
        self._refuse_if_whole("taken from")
        codes, rows = self._selection.current()
        kept = ~((rows == self._handles.row_of(agent)) & (codes == agent._code))
        self._choose(codes[kept], rows[kept], inplace=True)

    def remove(self, agent: Any) -> None:
        """Removes a being from a set of chosen beings; it stays in the world. Raises KeyError if not contained."""
        if agent not in self:
            raise KeyError(agent)
        self.discard(agent)

    @classmethod
    def _from_iterable(cls, agents: Iterable[Any]) -> Any:
        """Returns a set with the given agents: the result of set operations such as `|`. It is a plain AgentSet."""
        members = list(agents)
        return AgentSet(members, members[0].model.random if members else Random(0))

    def __copy__(self) -> "BeingSet":
        return self._choose(*self._selection.current())

    def __deepcopy__(self, memo: dict[int, Any]) -> "BeingSet":
        return self.__copy__()

    def __reduce__(self) -> Any:
        raise TypeError("beings are views into their world and cannot be pickled: take their values with get(...)")

    # --- the methods of Mesa's AgentSet

    def select(
        self,
        filter_func: Any = None,
        at_most: float = NO_LIMIT,
        inplace: bool = False,
        agent_type: type | None = None,
    ) -> "BeingSet":
        """Returns the beings that satisfy the conditions, in order; the arguments are those of `AgentSet.select`.

        A function that only compares attributes, such as `lambda a: a.sugar_count > 50`, is called a single time, with
        columns in place of numbers.
        """
        codes, rows = self._selection.current()
        if isinstance(at_most, float) and at_most <= 1.0:
            at_most = int(len(rows) * at_most)
        if agent_type is not None:
            classes = self._handles.kinds_by_class().items()
            fitting = [kind for cls, kinds in classes if issubclass(cls, agent_type) for kind in kinds]
            is_in = self._are_of(codes, rows, fitting)
        else:
            is_in = np.ones(len(rows), bool)
        if isinstance(filter_func, np.ndarray | list):
            is_in &= check_mask(filter_func, len(rows))
        elif filter_func is not None:
            candidates = np.flatnonzero(is_in)
            is_in[candidates] = self._filter(filter_func, codes[candidates], rows[candidates], at_most)
        chosen = np.flatnonzero(is_in)
        if at_most < len(chosen):
            chosen = chosen[: max(0, int(at_most))]
        return self._choose(codes[chosen], rows[chosen], inplace)

    def _are_of(self, codes: np.ndarray, rows: np.ndarray, kinds: Sequence[Kind]) -> np.ndarray:
        """Returns `bool[beings]`: whether each being is of one of the given kinds."""
        result = np.zeros(len(rows), bool)
        for code, species in kinds:
            is_in = codes == code
            if species is not None:
                is_in[is_in] = np.isin(self._index.tables[code]["species"][rows[is_in]], species)
            result |= is_in
        return result

    def _filter(
        self, function: Callable[[Any], Any], codes: np.ndarray, rows: np.ndarray, at_most: float
    ) -> np.ndarray:
        """Returns `bool[beings]`: whether `function` returns true for a being.

        Only the first `at_most` of these beings need to be marked, so the function need not be called for beings after
        them.
        """
        names = compared_attributes(function)
        if names and len(rows) and all(self._index.have_scalars(name, codes, NARROW_BYTES) for name in names):
            columns = {name: self._index.gather(name, codes, rows).astype(np.int64) for name in names}
            answer = None
            with contextlib.suppress(OverflowError):  # the function contains a constant of more than 64 bits
                answer = function(types.SimpleNamespace(**columns))
            if isinstance(answer, np.ndarray) and answer.shape == (len(rows),):
                return answer.astype(bool)
        result, count = np.zeros(len(rows), bool), 0
        for at, being in enumerate(self._handles.for_rows(codes, rows)):
            if count >= at_most:
                break
            if function(being):
                result[at] = True
                count += 1
        return result

    def shuffle(self, inplace: bool = False) -> "BeingSet":
        """Returns the beings in random order, determined by the set's `random`."""
        codes, rows = self._selection.current()
        order = np.random.default_rng(self.random.getrandbits(64)).permutation(len(rows))
        return self._choose(codes[order], rows[order], inplace)

    def sort(self, key: Any, ascending: bool = False, inplace: bool = False) -> "BeingSet":
        """Returns the beings sorted by `key`, a column or a function of a being; in descending order by default.

        The sort is stable.
        """
        codes, rows = self._selection.current()
        if self._index.have_scalars(key, codes):
            values = self._index.gather(key, codes, rows).astype(np.int64)
            order = np.argsort(values if ascending else ~values, kind="stable")
        else:
            beings = self._handles.for_rows(codes, rows)
            keys = [getattr(being, key) if isinstance(key, str) else key(being) for being in beings]
            order = np.array(sorted(range(len(keys)), key=keys.__getitem__, reverse=not ascending), np.int64)
        return self._choose(codes[order], rows[order], inplace)

    def do(self, method: str | Callable[..., Any], *args: Any, **kwargs: Any) -> "BeingSet":
        """Calls `method`, a function or the name of a method, on each being. Returns this set.

        Beings that die because of earlier calls are skipped.
        """
        self._call_each(method, args, kwargs)
        return self

    def shuffle_do(self, method: str | Callable[..., Any], *args: Any, **kwargs: Any) -> "BeingSet":
        """Calls `method`, a function or the name of a method, on each being in random order. Returns this set."""
        self.shuffle()._call_each(method, args, kwargs)
        return self

    def map(self, method: str | Callable[..., Any], *args: Any, **kwargs: Any) -> list[Any]:
        """Returns the results of `method`, a function or the name of a method, for each being.

        Beings that die because of earlier calls are skipped.
        """
        return self._call_each(method, args, kwargs)

    def _call_each(self, method: str | Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
        """Calls `method` on each being that is still alive when it is reached, and returns the results as a list."""
        codes, rows = self._selection.current()
        tables = self._index.tables
        epochs, results = [table.epoch for table in tables], []
        # by id: the called function can remove beings, which changes row numbers
        for being in self._by_id(codes, self._index.gather("id", codes, rows), rows):
            code = being._code
            if tables[code].epoch != epochs[code] and not being.alive:
                continue
            if isinstance(method, str):
                results.append(getattr(being, method)(*args, **kwargs))
            else:
                results.append(method(being, *args, **kwargs))
        return results

    def _by_id(self, codes: np.ndarray, ids: np.ndarray, rows: np.ndarray) -> Iterator[Being]:
        """Yields handles of beings that can die during the iteration; omits those that are dead when it reaches them.

        Handles are created in groups of `HANDLES_AT_ONCE`, each before its first handle is yielded.
        """
        stamp = self._index.stamp
        for first in range(0, len(rows), HANDLES_AT_ONCE):
            part = slice(first, first + HANDLES_AT_ONCE)
            if self._index.stamp == stamp:
                yield from list(self._handles.for_rows(codes[part], rows[part]))
                continue
            for code, begin, end in stretches(codes[part]):
                living = self._index.rows_of(code, ids[part][begin:end])
                living = living[living >= 0]
                yield from list(self._handles.for_rows(np.full(len(living), code, np.int8), living))

    def get(self, attr_names: Any, handle_missing: Any = "error", default_value: Any = None) -> list[Any]:
        """Returns an attribute of each being as a list, or a list of the given attributes for each being.

        For beings without the attribute, `handle_missing` is "error" (raises AttributeError) or "default" (uses
        `default_value`).
        """
        if handle_missing not in ("error", "default"):
            raise ValueError(f"Unknown handle_missing option: {handle_missing}, should be one of 'error' or 'default'")
        codes, rows = self._selection.current()
        if isinstance(attr_names, str):
            return self._list(attr_names, handle_missing, default_value, codes, rows)
        columns = [self._list(name, handle_missing, default_value, codes, rows) for name in attr_names]
        return [list(values) for values in zip(*columns, strict=True)] if columns else [[] for _ in rows]

    def _list(self, name: str, missing: str, default: Any, codes: np.ndarray, rows: np.ndarray) -> list[Any]:
        """Returns an attribute of each being as a list, read as a column where possible.

        For a being without the attribute, `missing` "error" raises AttributeError, and "default" returns `default`.
        """
        if self._index.have_all(name, codes):
            values: list[Any] = self._index.gather(name, codes, rows).tolist()
            return values
        if missing == "error":
            return [getattr(being, name) for being in self._handles.for_rows(codes, rows)]
        return [getattr(being, name, default) for being in self._handles.for_rows(codes, rows)]

    def set(self, attr_name: str, value: Any) -> "BeingSet":
        """Sets an attribute of all beings to `value`, a number or an array with one for each. Returns this set."""
        codes, rows = self._selection.current()
        if not self._index.have_all(attr_name, codes):
            for being in self._handles.for_rows(codes, rows):
                setattr(being, attr_name, value)
            return self
        has_one_each = isinstance(value, np.ndarray) and value.shape[:1] == (len(rows),)
        for code in codes_in(codes):
            is_in = codes == code
            self._index.write(code, attr_name, rows[is_in], value[is_in] if has_one_each else value)
        return self

    def agg(self, attribute: str, func: Any) -> Any:
        """Returns `func` of the list of all beings' values of `attribute`, as in `agg("age_ticks", max)`.

        If `func` is a list of functions, returns the list of their results.
        """
        codes, rows = self._selection.current(ordered=False)
        functions = [func] if callable(func) else list(func)
        is_columnwise = all(is_reduction(function) for function in functions)
        if len(rows) and is_columnwise and self._index.have_all(attribute, codes):
            values = self._index.gather(attribute, codes, rows)
            results = [reduce_column(values, function) for function in functions]
        else:
            listed = self.get(attribute)
            results = [function(listed) for function in functions]
        return results[0] if callable(func) else results

    def groupby(self, by: Any, result_type: str = "agentset") -> MesaGroupBy:
        """Returns the beings grouped by the value of `by`, a column or a function of a being.

        Groups are in the order of their first beings. They are sets, or lists of handles with `result_type` "list".
        """
        codes, rows = self._selection.current()
        if len(rows) and self._index.have_scalars(by, codes):
            values = self._index.gather(by, codes, rows)
            distinct, first, inverse = np.unique(values, return_index=True, return_inverse=True)
            keys: list[Any] = distinct.tolist()
        else:
            beings = self._handles.for_rows(codes, rows)
            answers = [by(being) if callable(by) else getattr(being, by) for being in beings]
            numbers = {value: number for number, value in enumerate(dict.fromkeys(answers))}
            keys, first = list(numbers), np.arange(len(numbers))
            inverse = np.array([numbers[value] for value in answers], np.int64)
        order = np.argsort(inverse, kind="stable")
        cuts = np.searchsorted(inverse[order], np.arange(len(keys) + 1))
        groups: dict[Any, Any] = {}
        for number in np.argsort(first, kind="stable").tolist():
            members = order[cuts[number] : cuts[number + 1]]
            group = self._choose(codes[members], rows[members])
            groups[keys[number]] = group if result_type == "agentset" else list(group)
        return BeingGroups(groups) if result_type == "agentset" else MesaGroupBy(groups)


class BeingGroups(MesaGroupBy):
    """The groups of beings that `BeingSet.groupby` returns, whose `agg` operates on columns."""

    def agg(self, attr_name: str, func: Callable[..., Any]) -> dict[Any, Any]:
        """Returns `func` of the values of an attribute in each group, by the group's key."""
        return {key: group.agg(attr_name, func) for key, group in self.groups.items()}

"""Which atoms a rule takes: patterns against atoms, and a rule's patterns against combinations of them.

A rule is compiled once to a `Reaction`. Its frame holds, one after another, what it took from outside, itself where it
mentions itself, what each pattern caught, and its rest. A variable that stands in two patterns has a cell in each; that
both hold the same is a `link`, which the search looks up in place of trying (a join, as in data bases).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

from umwelt.agents.hocl.syntax import (
    Binary,
    Definition,
    Literal,
    Named,
    Part,
    TupleOf,
    Typed,
    Within,
    mentioned,
    names_caught,
)
from umwelt.agents.hocl.terms import Atom, Rest, Rule, Solution, same
from umwelt.agents.hocl.values import Cells, Frame, Value, compiled, compiled_molecule

KINDS = {"int": int, "float": float, "string": str, "bool": bool, "solution": Solution, "rule": Rule}
Caught = tuple[Any, ...]
"""What the variables of one pattern stand for, in the order of the text."""
Choose = Callable[[int], int]
"""`choose(n)` is a number from 0 to n - 1: the only source of chance."""
Catch = Callable[[Atom], Caught | None]
Ways = Callable[[Atom, Choose], Iterator[Caught]]


Kind = type | tuple[int, str | None]
"""What is seen of an atom at once: its type; of a tuple its length, and the text that it begins with if it does."""


def kind_of(pattern: Part) -> Kind:
    """The kind that an atom must be of to match a pattern."""
    match pattern:
        case Typed(_, kind):
            return KINDS[kind]
        case Literal(value):
            return type(value)
        case Named():
            return Rule
        case TupleOf((Literal(str() as first), *_) as parts):
            return len(parts), first
        case TupleOf(parts):
            return len(parts), None
    return Solution


def kinds_of(atom: Atom) -> tuple[Kind, ...]:
    """The kinds that an atom is of."""
    if type(atom) is not tuple:
        return (type(atom),)
    any_first = len(atom), None
    return ((len(atom), atom[0]), any_first) if type(atom[0]) is str else (any_first,)


def one_way(pattern: Part) -> bool:
    """Whether an atom matches in one way at most: no solution is looked into that leaves a choice."""
    if isinstance(pattern, Within):
        return not pattern.patterns
    return not isinstance(pattern, TupleOf) or all(map(one_way, pattern.parts))


def catcher(pattern: Part) -> Catch:
    """A pattern that matches in one way at most, as a function from an atom to what it caught, or `None`."""
    match pattern:
        case Typed(_, kind):
            wanted = KINDS[kind]
            return lambda atom: (atom,) if type(atom) is wanted else None
        case Literal(value):
            kind_of = type(value)
            return lambda atom: () if type(atom) is kind_of and atom == value else None
        case Named(rule_name, _):
            return lambda atom: (atom,) if type(atom) is Rule and atom.name == rule_name else None
        case Within(_, rest):
            return lambda atom: _all_of(atom, rest)
        case TupleOf(parts):
            return _tuple_catcher([catcher(part) for part in parts])
    raise TypeError(f"no pattern: {pattern!r}")


def _all_of(atom: Atom, rest: str | None) -> Caught | None:
    if type(atom) is not Solution or not (rest or not atom.atoms):
        return None
    return (Rest(atom.atoms),) if rest else ()


def _tuple_catcher(catches: list[Catch]) -> Catch:
    count = len(catches)

    def catch(atom: Atom) -> Caught | None:
        if type(atom) is not tuple or len(atom) != count:
            return None
        found: Caught = ()
        for one, part in zip(catches, atom, strict=True):
            caught = one(part)
            if caught is None:
                return None
            found += caught
        return found

    return catch


def ways_of(pattern: Part) -> Ways:
    """Any pattern as a function that goes through all ways in which an atom matches, beginning where dice say."""
    if one_way(pattern):
        catch = catcher(pattern)
        return lambda atom, choose: iter(() if (found := catch(atom)) is None else (found,))
    if isinstance(pattern, Within):
        return _within([ways_of(one) for one in pattern.patterns], pattern.rest is not None)
    assert isinstance(pattern, TupleOf)
    return _tuple_ways([ways_of(part) for part in pattern.parts])


def _tuple_ways(each: list[Ways]) -> Ways:
    def ways(atom: Atom, choose: Choose, at: int = 0) -> Iterator[Caught]:
        if type(atom) is not tuple or len(atom) != len(each):
            return
        if at == len(each) - 1:
            yield from each[at](atom[at], choose)
            return
        for caught in each[at](atom[at], choose):
            for others in ways(atom, choose, at + 1):
                yield caught + others

    return ways


def _within(each: list[Ways], takes_rest: bool) -> Ways:
    def taken(atoms: tuple[Atom, ...], choose: Choose, chosen: tuple[int, ...]) -> Iterator[Caught]:
        if len(chosen) == len(each):
            yield (Rest(atom for at, atom in enumerate(atoms) if at not in chosen),) if takes_rest else ()
            return
        first = choose(len(atoms))
        for at in chain(range(first, len(atoms)), range(first)):
            if at not in chosen:
                for caught in each[len(chosen)](atoms[at], choose):
                    for others in taken(atoms, choose, (*chosen, at)):
                        yield caught + others

    def ways(atom: Atom, choose: Choose) -> Iterator[Caught]:
        if type(atom) is Solution and (len(atom.atoms) >= len(each) if takes_rest else len(atom.atoms) == len(each)):
            yield from taken(atom.atoms, choose, ())

    return ways


class Position:
    """One pattern of a rule, and its cells in the frame: `low` to `high`."""

    def __init__(self, pattern: Part, low: int):
        names = names_caught((pattern,), None)
        self.low, self.high = low, low + len(names)
        self.names = names
        self.catch = catcher(pattern) if one_way(pattern) else None
        self._ways = ways_of(pattern)
        self._twins = [(names.index(name), at) for at, name in enumerate(names) if names.index(name) < at]
        self.kind = kind_of(pattern)

    def may_hold(self, atom: Atom) -> Caught | None:
        """What an atom of its kind gives the search: what was caught, or the atom where there may be several ways."""
        if self.catch is None:
            return (atom,)
        caught = self.catch(atom)
        return caught if caught is None or not self._twins or self._equal(caught) else None

    def ways(self, held: Caught, choose: Choose) -> Iterator[Caught]:
        """All that the variables may stand for, given what `may_hold` gave."""
        if self.catch is not None:
            return iter((held,))
        return (caught for caught in self._ways(held[0], choose) if not self._twins or self._equal(caught))

    def _equal(self, caught: Caught) -> bool:
        return all(same(caught[one], caught[other]) for one, other in self._twins)


@dataclass(frozen=True)
class Step:
    """One position in the order of a search: `links` are cells that must hold the same (of this position, of others
    before it), `test` what of the condition can be asked by then."""

    at: int
    links: tuple[tuple[int, int], ...]
    offsets: tuple[int, ...]
    """The same cells of this position, counted from its first; empty where there is nothing to look up by."""
    test: Value | None


class Reaction:
    """A rule's definition, compiled. `plans[i]` is the order of a search that begins with position i."""

    def __init__(self, rule: Definition):
        cells: Cells = {name: at for at, name in enumerate(rule.free)}
        if rule.recursive:
            cells[rule.name] = len(cells)
        self.recursive = rule.recursive
        self.one_shot = rule.one_shot
        self.positions: list[Position] = []
        homes: dict[str, list[tuple[int, int]]] = {}
        size = len(cells)
        for at, pattern in enumerate(rule.patterns):
            position = Position(pattern, size)
            for cell, name in enumerate(position.names, size):
                if name in homes and homes[name][-1][0] == at:
                    continue
                homes.setdefault(name, []).append((at, cell))
            self.positions.append(position)
            size = position.high
        self.places: dict[Kind, list[int]] = {}
        for at, position in enumerate(self.positions):
            self.places.setdefault(position.kind, []).append(at)
        cells |= {name: found[0][1] for name, found in homes.items()}
        self.rest_cell = size if rule.rest else None
        if rule.rest:
            cells[rule.rest] = size
            size += 1
        self.frame_size = size
        self._homes = homes
        self._tests = [
            (compiled(part, cells), {homes[name][0][0] for name in mentioned(part) if name in homes})
            for part in _conjuncts(rule.condition)
        ]
        self.test = _together([test for test, _ in self._tests])
        self.products = compiled_molecule(rule.products, cells)
        self.plans = [self._plan(first) for first in range(len(self.positions))]
        self.tied = [step for step in self.plans[0] if step.links] if self.plans else []
        """Where cells must hold the same, in the order of the first plan."""
        steps = [step for plan in self.plans for step in plan if step.offsets]
        self.looked_up = [{step.offsets: None for step in steps if step.at == at} for at in range(len(self.positions))]
        """By which offsets the atoms of a position are looked up."""

    def frame(self, rule: Rule) -> Frame:
        """A fresh frame of a rule that has this definition."""
        begun = [*rule.taken, rule] if self.recursive else list(rule.taken)
        return begun + [None] * (self.frame_size - len(begun))

    def _plan(self, first: int) -> tuple[Step, ...]:
        waiting = [at for at in range(len(self.positions)) if at != first]
        order, bound, asked, steps = [first], {first}, 0, []
        while waiting:
            at = max(waiting, key=lambda one: len(self._links(one, bound)))  # the first of those that are best tied
            waiting.remove(at)
            order.append(at)
            bound.add(at)
        bound = set()
        for at in order:
            links = self._links(at, bound)
            bound.add(at)
            tests = []
            while asked < len(self._tests) and self._tests[asked][1] <= bound:
                tests.append(self._tests[asked][0])
                asked += 1
            position = self.positions[at]
            offsets = tuple(cell - position.low for cell, _ in links) if position.catch else ()
            steps.append(Step(at, links, offsets, _together(tests)))
        return tuple(steps)

    def _links(self, at: int, bound: set[int]) -> tuple[tuple[int, int], ...]:
        found = []
        for homes in self._homes.values():
            here = [cell for home, cell in homes if home == at]
            there = [cell for home, cell in homes if home in bound]
            if here and there:
                found.append((here[0], there[0]))
        return tuple(found)


def _conjuncts(condition: Part | None) -> list[Part]:
    """What all must hold, in the order in which it is asked."""
    if isinstance(condition, Binary) and condition.operator == "&&":
        return [*_conjuncts(condition.left), *_conjuncts(condition.right)]
    return [] if condition is None else [condition]


def _together(tests: list[Value]) -> Value | None:
    if len(tests) < 2:
        return tests[0] if tests else None
    return lambda frame: all(test(frame) for test in tests)


def reaction_of(rule: Definition) -> Reaction:
    """A definition's reaction, compiled once and kept with it: equal rules of two files have their own places."""
    kept = vars(rule)
    if "reaction" not in kept:
        kept["reaction"] = Reaction(rule)
    return kept["reaction"]

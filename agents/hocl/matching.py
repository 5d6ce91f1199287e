"""Matches patterns against atoms, and compiles the rules of a program for the search over combinations of atoms.

A pattern describes one atom that a rule takes; the rest pattern `?w` matches all other atoms. A rule is compiled once
to a `CompiledRule`. During a search, a list called the *frame* has the values of all its names; an entry of the frame
is a *cell*. The cells are, in this order: the values that the rule captured from enclosing scopes, the rule itself if
it is recursive, the variables of each pattern, and the atoms of its rest pattern `?w`. A variable that occurs in two
patterns has a cell for each; the condition that both are equal is a *link*, which the search looks up in an index, as a
database join does.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

from umwelt.agents.hocl.syntax import (
    Binary,
    Definition,
    Literal,
    Part,
    RulePattern,
    SolutionPattern,
    TupleExpression,
    VariablePattern,
    bound_names,
    mentioned_names,
)
from umwelt.agents.hocl.terms import Atom, Rest, Rule, Solution, same
from umwelt.agents.hocl.values import Cells, Frame, Value, compile_expression, compile_molecule

KINDS = {"int": int, "float": float, "string": str, "bool": bool, "solution": Solution, "rule": Rule}
"""The Python types of atoms, by the types that patterns declare."""
Bindings = tuple[Any, ...]
"""The values of the variables of one pattern, in the order of the program text."""
Choose = Callable[[int], int]
"""A function: `choose(n)` returns a random integer from 0 to n - 1. It is the only source of randomness."""
Matcher = Callable[[Atom], Bindings | None]
"""A compiled pattern that an atom can match in one way: returns the bindings, or None if the atom does not match."""
Enumerator = Callable[[Atom, Choose], Iterator[Bindings]]
"""A compiled pattern that an atom can match in several ways: yields the bindings of each way."""


Kind = type | tuple[int, str | None]
"""A coarse classification of atoms: the Python type, or for a tuple a pair of its length and its first element.

The pair has None in place of the first element if that can be anything.
"""


def kind_of(pattern: Part) -> Kind:
    """Returns the kind that an atom must have to match `pattern`."""
    match pattern:
        case VariablePattern(_, kind):
            return KINDS[kind]
        case Literal(value):
            return type(value)
        case RulePattern():
            return Rule
        case TupleExpression((Literal(str() as first), *_) as parts):
            return len(parts), first
        case TupleExpression(parts):
            return len(parts), None
    return Solution


def kinds_of(atom: Atom) -> tuple[Kind, ...]:
    """Returns all kinds of `atom`, one or two."""
    if type(atom) is not tuple:
        return (type(atom),)
    any_first = len(atom), None
    return ((len(atom), atom[0]), any_first) if type(atom[0]) is str else (any_first,)


def is_deterministic(pattern: Part) -> bool:
    """Returns whether every atom matches `pattern` in at most one way."""
    if isinstance(pattern, SolutionPattern):
        return not pattern.patterns
    return not isinstance(pattern, TupleExpression) or all(map(is_deterministic, pattern.parts))


def compile_matcher(pattern: Part) -> Matcher:
    """Compiles a deterministic pattern, which an atom can match in only one way, to a function of an atom.

    The function returns the bindings, or None if the atom does not match.
    """
    match pattern:
        case VariablePattern(_, kind):
            atom_type = KINDS[kind]
            return lambda atom: (atom,) if type(atom) is atom_type else None
        case Literal(value):
            kind_of = type(value)
            return lambda atom: () if type(atom) is kind_of and atom == value else None
        case RulePattern(rule_name, _):
            return lambda atom: (atom,) if type(atom) is Rule and atom.name == rule_name else None
        case SolutionPattern(_, rest):
            return lambda atom: _bind_rest(atom, rest)
        case TupleExpression(parts):
            return _tuple_matcher([compile_matcher(part) for part in parts])
    raise TypeError(f"not a pattern: {pattern!r}")


def _bind_rest(atom: Atom, rest: str | None) -> Bindings | None:
    """Matches an atom with the pattern `<?rest>`, or with the pattern `<>` of the empty solution if `rest` is None.

    Returns the bindings, or None if the atom does not match.
    """
    if type(atom) is not Solution or not (rest or not atom.atoms):
        return None
    return (Rest(atom.atoms),) if rest else ()


def _tuple_matcher(matchers: list[Matcher]) -> Matcher:
    """Returns the matcher for a tuple whose elements match `matchers`, one for each element."""
    count = len(matchers)

    def match_tuple(atom: Atom) -> Bindings | None:
        """Returns the bindings of all elements in order, or None if the atom does not match."""
        if type(atom) is not tuple or len(atom) != count:
            return None
        bindings: Bindings = ()
        for match_part, part in zip(matchers, atom, strict=True):
            part_bindings = match_part(part)
            if part_bindings is None:
                return None
            bindings += part_bindings
        return bindings

    return match_tuple


def compile_enumerator(pattern: Part) -> Enumerator:
    """Compiles a pattern to a generator function that yields the bindings of all matches of an atom.

    The first match is random, chosen by the argument `choose` of the generator function.
    """
    if is_deterministic(pattern):
        match_atom = compile_matcher(pattern)
        return lambda atom, choose: iter(() if (bindings := match_atom(atom)) is None else (bindings,))
    if isinstance(pattern, SolutionPattern):
        return _solution_ways([compile_enumerator(inner) for inner in pattern.patterns], pattern.rest is not None)
    assert isinstance(pattern, TupleExpression)
    return _tuple_ways([compile_enumerator(part) for part in pattern.parts])


def _tuple_ways(each: list[Enumerator]) -> Enumerator:
    """Returns the enumerator for a tuple whose elements match the enumerators `each`, one for each element."""

    def ways(atom: Atom, choose: Choose, at: int = 0) -> Iterator[Bindings]:
        """Yields the bindings of the elements of a tuple from index `at` on."""
        if type(atom) is not tuple or len(atom) != len(each):
            return
        if at == len(each) - 1:
            yield from each[at](atom[at], choose)
            return
        for bindings in each[at](atom[at], choose):
            for others in ways(atom, choose, at + 1):
                yield bindings + others

    return ways


def _solution_ways(each: list[Enumerator], takes_rest: bool) -> Enumerator:
    """Returns the enumerator for a solution pattern whose patterns are compiled to `each`.

    With `takes_rest`, the atoms that match no pattern are bound to the variable of the rest pattern; otherwise there
    must be none.
    """

    def choices(atoms: tuple[Atom, ...], choose: Choose, chosen: tuple[int, ...]) -> Iterator[Bindings]:
        """Yields the bindings for all choices of the further atoms; `chosen` has the indices of the atoms so far."""
        if len(chosen) == len(each):
            yield (Rest(atom for at, atom in enumerate(atoms) if at not in chosen),) if takes_rest else ()
            return
        first = choose(len(atoms))
        for at in chain(range(first, len(atoms)), range(first)):
            if at not in chosen:
                for bindings in each[len(chosen)](atoms[at], choose):
                    for others in choices(atoms, choose, (*chosen, at)):
                        yield bindings + others

    def ways(atom: Atom, choose: Choose) -> Iterator[Bindings]:
        """Yields the bindings of all matches of an atom that is a solution of the right size."""
        if type(atom) is Solution and (len(atom.atoms) >= len(each) if takes_rest else len(atom.atoms) == len(each)):
            yield from choices(atom.atoms, choose, ())

    return ways


class Position:
    """One pattern of a rule, and the cells of its variables: those with the indices `low` to `high - 1` of the frame.

    `names` are the variables in the order of the cells, and `kind` is the kind of the atoms that can match. `matcher`
    is the compiled pattern if it is deterministic, else None.
    """

    def __init__(self, pattern: Part, low: int):
        names = bound_names((pattern,), None)
        self.low, self.high = low, low + len(names)
        self.names = names
        self.matcher = compile_matcher(pattern) if is_deterministic(pattern) else None
        self._ways = compile_enumerator(pattern)
        self._twins = [(names.index(name), at) for at, name in enumerate(names) if names.index(name) < at]
        """Pairs of indices into `names` of the same variable: its first occurrence, and a later one."""
        self.kind = kind_of(pattern)

    def bind(self, atom: Atom) -> Bindings | None:
        """Matches an atom of the kind `kind`. Returns the argument `bound` of `ways`, or None without a match.

        The result is the bindings if the pattern is deterministic. Otherwise it is a tuple with only the atom, which
        `ways` then matches.
        """
        if self.matcher is None:
            return (atom,)
        bindings = self.matcher(atom)
        return bindings if bindings is None or not self._twins or self._are_equal(bindings) else None

    def ways(self, bound: Bindings, choose: Choose) -> Iterator[Bindings]:
        """Yields the bindings of all matches of an atom; `bound` is the result of `bind`."""
        if self.matcher is not None:
            return iter((bound,))
        return (found for found in self._ways(bound[0], choose) if not self._twins or self._are_equal(found))

    def _are_equal(self, bindings: Bindings) -> bool:
        """Returns whether all occurrences of each variable in the pattern are bound to equal atoms."""
        return all(same(bindings[one], bindings[other]) for one, other in self._twins)


@dataclass(frozen=True)
class Step:
    """One step of a search plan, which binds the position with index `at`.

    `links` are pairs of frame cells (of this position, of an earlier one) that must be equal. `test` evaluates those
    operands of the rule's condition whose variables are all bound after this step.
    """

    at: int
    links: tuple[tuple[int, int], ...]
    offsets: tuple[int, ...]
    """The linked cells of this position, relative to its `low`; empty if no index can be used."""
    test: Value | None


class CompiledRule:
    """The compiled definition of a rule.

    - `positions`: the patterns, except the rest pattern; `places` maps each kind of atom to the indices of its
      positions.
    - `plans[i]`: the steps of a search that begins with an atom at position `i`.
    - `test`: evaluates the whole condition for a filled frame; None if there is no condition.
    - `products`: computes the list of the new atoms from a filled frame.
    - `frame_size`: the number of cells of a frame; `rest_cell` is the cell of the rest pattern, None without one.
    """

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
        cells |= {name: occurrences[0][1] for name, occurrences in homes.items()}
        self.rest_cell = size if rule.rest else None
        if rule.rest:
            cells[rule.rest] = size
            size += 1
        self.frame_size = size
        self._homes = homes
        """The places of each variable, as pairs of a position's index and the first cell of the variable there."""
        self._tests = [
            (compile_expression(part, cells), {homes[name][0][0] for name in mentioned_names(part) if name in homes})
            for part in _conjuncts(rule.condition)
        ]
        """The operands of the condition's `&&`, compiled, each with the indices of the positions that it needs."""
        self.test = _all_hold([test for test, _ in self._tests])
        self.products = compile_molecule(rule.products, cells)
        self.plans = [self._plan(first) for first in range(len(self.positions))]
        self.linked_steps = [step for step in self.plans[0] if step.links] if self.plans else []
        """The steps with links of `plans[0]`; together, these links require all equalities between positions."""
        steps = [step for plan in self.plans for step in plan if step.offsets]
        self.lookups = [{step.offsets: None for step in steps if step.at == at} for at in range(len(self.positions))]
        """For each position: the tuples of cell offsets by which its settled atoms are indexed."""

    def frame(self, rule: Rule) -> Frame:
        """Creates a frame for `rule`, which must have this definition; the cells of its patterns are None."""
        cells = [*rule.taken, rule] if self.recursive else list(rule.taken)
        return cells + [None] * (self.frame_size - len(cells))

    def _plan(self, first: int) -> tuple[Step, ...]:
        """Returns the steps of a search that begins with position `first`.

        The next position is always the one with the most links to earlier positions. Each operand of the condition is
        tested as soon as its variables and those of all operands before it are bound.
        """
        waiting = [at for at in range(len(self.positions)) if at != first]
        order, bound, tested, steps = [first], {first}, 0, []
        while waiting:
            at = max(waiting, key=lambda at: len(self._links(at, bound)))  # the first of those with the most links
            waiting.remove(at)
            order.append(at)
            bound.add(at)
        bound = set()
        for at in order:
            links = self._links(at, bound)
            bound.add(at)
            tests = []
            while tested < len(self._tests) and self._tests[tested][1] <= bound:
                tests.append(self._tests[tested][0])
                tested += 1
            position = self.positions[at]
            offsets = tuple(cell - position.low for cell, _ in links) if position.matcher else ()
            steps.append(Step(at, links, offsets, _all_hold(tests)))
        return tuple(steps)

    def _links(self, at: int, bound: set[int]) -> tuple[tuple[int, int], ...]:
        """Returns the links of position `at` to the positions in `bound`.

        These are pairs of cells of the same variable: the cell of position `at`, and that of a position in `bound`.
        """
        links = []
        for homes in self._homes.values():
            own_cells = [cell for home, cell in homes if home == at]
            bound_cells = [cell for home, cell in homes if home in bound]
            if own_cells and bound_cells:
                links.append((own_cells[0], bound_cells[0]))
        return tuple(links)


def _conjuncts(condition: Part | None) -> list[Part]:
    """Returns the operands of the nested `&&` of a condition, in the order of evaluation."""
    if isinstance(condition, Binary) and condition.operator == "&&":
        return [*_conjuncts(condition.left), *_conjuncts(condition.right)]
    return [] if condition is None else [condition]


def _all_hold(tests: list[Value]) -> Value | None:
    """Returns a test of whether all `tests` hold, evaluated in order; None if there are none."""
    if len(tests) < 2:
        return tests[0] if tests else None
    return lambda frame: all(test(frame) for test in tests)


def compile_rule(rule: Definition) -> CompiledRule:
    """Compiles a definition, or returns the compiled rule that an earlier call stored in it.

    The result is not shared between equal definitions, because error messages contain their places in the text.
    """
    attributes = vars(rule)
    if "compiled" not in attributes:
        attributes["compiled"] = CompiledRule(rule)
    return attributes["compiled"]

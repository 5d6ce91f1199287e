"""Atoms, the elements of a solution: Python's numbers, strings, booleans and tuples, and solutions and rules.

All atoms are immutable, so they are never copied. Two atoms are the same if their keys are equal; keys also define the
canonical order: booleans, integers, floats, strings, tuples, solutions, and rules by name.
"""

from collections.abc import Iterable
from functools import cached_property
from typing import Any

from umwelt.agents.hocl.syntax import Definition, definition_text, format_value
from umwelt.sandbox.errors import ProgramError

Atom = Any
"""An `int`, `float`, `str` or `bool`, a tuple of atoms, a `Solution` or a `Rule`."""

MAX_DEPTH = 50
"""The maximum nesting depth of solutions and rules, which keeps recursion within Python's stack."""
MAX_ATOMS = 200_000
"""The maximum number of atoms of a solution, including all atoms inside its atoms."""
MAX_BITS = 14_000
"""The maximum size of an integer: about 4,200 digits, less than Python's default limit for printing."""
MAX_LETTERS = 100_000
"""The maximum length of a string."""

RANKS = {bool: 0, int: 1, float: 2, str: 3}
"""The position of each simple type in the canonical order; `TUPLE`, `SOLUTION` and `RULE` follow."""
TUPLE, SOLUTION, RULE = 4, 5, 6


class Rest(tuple):
    """The atoms that a rest pattern `?w` matched, as the value of the variable `w`.

    In the products of a rule, `w` stands for these atoms, each a separate atom of the new solution.
    """

    __slots__ = ()


class Solution:
    """A multiset of atoms. It is `inert` if no rule can react in it or in a solution inside it."""

    def __init__(self, atoms: Iterable[Atom], inert: bool = False):
        self.atoms: tuple[Atom, ...] = tuple(atoms)
        self.inert = inert or not any(map(may_react, self.atoms))
        self.size, self.depth = measure(self.atoms)

    @cached_property
    def key(self) -> tuple:
        """A tuple that is equal for equal solutions; it does not depend on the order of the atoms."""
        return SOLUTION, tuple(sorted(map(key, self.atoms)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Solution) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    def __repr__(self) -> str:
        return text(self)


class Rule:
    """A rule as an atom of a solution: its definition, and the values of the definition's free names.

    A name is free if it is defined outside the definition. The tuple `taken` has the values of these names, in the
    order of `definition.free`.
    """

    def __init__(self, definition: Definition, taken: tuple[Atom, ...] = ()):
        self.definition = definition
        self.taken = taken
        size, depth = measure(taken)
        self.size, self.depth = size * definition.size, depth
        check_extent(self.size, self.depth)

    @property
    def name(self) -> str:
        """The name of the rule; empty if it has none."""
        return self.definition.name

    @cached_property
    def full_text(self) -> str:
        """The rule as program text, in which its free names are replaced by their values."""
        values = {name: text(value, True) for name, value in zip(self.definition.free, self.taken, strict=True)}
        return definition_text(self.definition, values)

    @cached_property
    def key(self) -> tuple:
        """A tuple that is equal for rules with the same name and `full_text`."""
        return RULE, self.name, self.full_text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Rule) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    def __repr__(self) -> str:
        return text(self)


def may_react(atom: Atom) -> bool:
    """Returns whether a solution that contains `atom` is possibly not inert.

    This is the case for a rule, for a solution that is not inert, and for a tuple that contains such a solution.
    """
    kind = type(atom)
    if kind is tuple:
        return any(may_react(part) for part in atom if type(part) is not Rule)
    return kind is Rule or (kind is Solution and not atom.inert)


def measure(atoms: Iterable[Atom]) -> tuple[int, int]:
    """Returns the size and the nesting depth of a solution of `atoms`.

    The size is 1 plus the sizes of the atoms; that of a number, string or boolean is 1.

    Raises `ProgramError` if either exceeds its limit.
    """
    size, depth = 1, 0
    for atom in atoms:
        kind = type(atom)
        if kind is tuple or kind is Rest:
            inner_size, inner_depth = measure(atom)
        elif kind is Solution or kind is Rule:
            inner_size, inner_depth = atom.size, atom.depth
        else:
            size += 1
            continue
        size += inner_size
        depth = max(depth, inner_depth)
    check_extent(size, depth + 1)
    return size, depth + 1


def check_extent(size: int, depth: int) -> None:
    """Raises `ProgramError` if `size` exceeds `MAX_ATOMS` or `depth` exceeds `MAX_DEPTH`."""
    if size > MAX_ATOMS:
        raise ProgramError(f"a solution of more than {MAX_ATOMS:,} atoms: let a rule take more than it makes")
    if depth > MAX_DEPTH:
        raise ProgramError(f"atoms are nested more than {MAX_DEPTH} deep: keep them side by side")


def key(atom: Atom) -> tuple:
    """Returns a tuple that is equal for equal atoms and sorts atoms in canonical order.

    The atoms 1, 1.0 and true have different keys.
    """
    kind = type(atom)
    if kind is tuple or kind is Rest:
        return TUPLE, tuple(map(key, atom))
    rank = RANKS.get(kind)
    return atom.key if rank is None else (rank, atom)


def same(one: Atom, other: Atom) -> bool:
    """Returns whether two atoms are equal; solutions are equal if they are equal as multisets."""
    return one is other or key(one) == key(other)


def text(atom: Atom, full: bool = False) -> str:
    """Returns `atom` as program text in one line. Named rules are written as their names, or in full if `full`."""
    kind = type(atom)
    if kind is Solution:
        return f"<{row(atom.atoms, full)}>"
    if kind is Rule:
        return atom.name if atom.name and not full else f"({atom.full_text})"
    if kind is tuple:
        parts = (text(part, full) for part in atom)
        pairs = zip(parts, atom, strict=True)
        return ":".join(f"({part_text})" if type(part) is tuple else part_text for part_text, part in pairs)
    return row(atom, full) if kind is Rest else format_value(atom)


def row(atoms: Iterable[Atom], full: bool = False) -> str:
    """Returns `atoms` as program text, in canonical order and separated by commas; `full` is as in `text`."""
    return ", ".join(text(atom, full) for atom in sorted(atoms, key=key))

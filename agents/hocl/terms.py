"""Atoms, the elements of a solution: Python's numbers, strings, booleans and tuples, and solutions and rules.

All atoms are immutable, so none is ever copied. Two atoms are the same if their keys are equal; keys also define the
canonical order: booleans, integers, floats, strings, tuples, solutions, and rules by their names.
"""

from collections.abc import Iterable
from functools import cached_property
from typing import Any

from umwelt.agents.hocl.syntax import Definition, definition_text, format_value
from umwelt.sandbox.errors import ProgramError

Atom = Any
"""An `int`, `float`, `str` or `bool`, a tuple of atoms, a `Solution` or a `Rule`."""

MAX_DEPTH = 50
"""How deep solutions and rules may be nested; more would exceed Python's stack."""
MAX_ATOMS = 200_000
"""Of a solution, with all atoms inside its atoms."""
MAX_BITS = 14_000
"""Of an integer: about 4,200 digits, less than Python's default limit for printing."""
MAX_LETTERS = 100_000
"""Of a string."""

RANKS = {bool: 0, int: 1, float: 2, str: 3}
TUPLE, SOLUTION, RULE = 4, 5, 6


class Rest(tuple):
    """The atoms that `?w` took; where `w` is among the products, they become separate atoms again."""

    __slots__ = ()


class Solution:
    """A multiset of atoms. `inert` means that no rule in it can fire, at any depth."""

    def __init__(self, atoms: Iterable[Atom], inert: bool = False):
        self.atoms: tuple[Atom, ...] = tuple(atoms)
        self.inert = inert or not any(map(may_react, self.atoms))
        self.size, self.depth = measure(self.atoms)

    @cached_property
    def key(self) -> tuple:
        """Its identity, which does not depend on the order of its atoms."""
        return SOLUTION, tuple(sorted(map(key, self.atoms)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Solution) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    def __repr__(self) -> str:
        return text(self)


class Rule:
    """A rule as an atom: its definition, and the values of names from outside (`taken`, by `definition.free`)."""

    def __init__(self, definition: Definition, taken: tuple[Atom, ...] = ()):
        self.definition = definition
        self.taken = taken
        size, depth = measure(taken)
        self.size, self.depth = size * definition.size, depth
        check_extent(self.size, self.depth)

    @property
    def name(self) -> str:
        """The name that a `let` gave it; empty if it has none."""
        return self.definition.name

    @cached_property
    def full_text(self) -> str:
        """The rule as program text, with the values from outside in place of their names."""
        values = {name: text(value, True) for name, value in zip(self.definition.free, self.taken, strict=True)}
        return definition_text(self.definition, values)

    @cached_property
    def key(self) -> tuple:
        """Its identity: rules with the same name and text are the same."""
        return RULE, self.name, self.full_text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Rule) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    def __repr__(self) -> str:
        return text(self)


def may_react(atom: Atom) -> bool:
    """Whether an atom may still react: it is a rule, or contains a solution that is not inert."""
    kind = type(atom)
    if kind is tuple:
        return any(may_react(part) for part in atom if type(part) is not Rule)
    return kind is Rule or (kind is Solution and not atom.inert)


def measure(atoms: Iterable[Atom]) -> tuple[int, int]:
    """Returns the size and depth of a solution of these atoms. Raises `ProgramError` beyond the limits."""
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
    """Raises `ProgramError` for a size or depth beyond the limits."""
    if size > MAX_ATOMS:
        raise ProgramError(f"a solution of more than {MAX_ATOMS:,} atoms: let a rule take more than it makes")
    if depth > MAX_DEPTH:
        raise ProgramError(f"atoms are nested more than {MAX_DEPTH} deep: keep them side by side")


def key(atom: Atom) -> tuple:
    """Returns the identity of an atom, which also orders atoms canonically; 1, 1.0 and true are three atoms."""
    kind = type(atom)
    if kind is tuple or kind is Rest:
        return TUPLE, tuple(map(key, atom))
    rank = RANKS.get(kind)
    return atom.key if rank is None else (rank, atom)


def same(one: Atom, other: Atom) -> bool:
    """Whether two atoms are equal; solutions are if they hold the same atoms equally often."""
    return one is other or key(one) == key(other)


def text(atom: Atom, full: bool = False) -> str:
    """Returns an atom as program text, in one line; rules as their names, or in `full`."""
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
    """Returns atoms as program text, in canonical order, separated by commas."""
    return ", ".join(text(atom, full) for atom in sorted(atoms, key=key))

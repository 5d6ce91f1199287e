"""Atoms: what floats in a solution. Numbers, texts, truths and tuples are Python's own; solutions and rules are here.

All atoms are immutable, so a copy costs nothing and is as deep as one likes. Two atoms are the same if their keys are;
keys put atoms into the canonical order: truths, integers, floats, texts, tuples, solutions, rules by their names.
"""

from collections.abc import Iterable
from functools import cached_property
from typing import Any

from umwelt.agents.hocl.syntax import Definition, definition_text, written_plain
from umwelt.sandbox.errors import ProgramError

Atom = Any
"""An `int`, `float`, `str` or `bool`, a tuple of atoms, a `Solution` or a `Rule`."""

MAX_DEPTH = 50
"""Solutions and rules within one another; more would not fit Python's stack."""
MAX_ATOMS = 200_000
"""Atoms of a solution, all that lies within them counted."""
MAX_BITS = 14_000
"""Of an integer: about 4,200 digits, what Python prints without being asked twice."""
MAX_LETTERS = 100_000
"""Of a text."""

RANKS = {bool: 0, int: 1, float: 2, str: 3}
TUPLE, SOLUTION, RULE = 4, 5, 6


class Rest(tuple):
    """The atoms that `?w` took; where `w` stands among products they come back one by one."""

    __slots__ = ()


class Solution:
    """A multiset of atoms. `inert` is set on those that are known to be at rest."""

    def __init__(self, atoms: Iterable[Atom], inert: bool = False):
        self.atoms: tuple[Atom, ...] = tuple(atoms)
        self.inert = inert or not any(map(may_react, self.atoms))
        self.size, self.depth = measured(self.atoms)

    @cached_property
    def key(self) -> tuple:
        """What tells it from other atoms; the order of its atoms does not matter."""
        return SOLUTION, tuple(sorted(map(key, self.atoms)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Solution) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    def __repr__(self) -> str:
        return text(self)


class Rule:
    """A rule that floats: its definition, and what names from outside mean in it (`taken`, by `definition.free`)."""

    def __init__(self, definition: Definition, taken: tuple[Atom, ...] = ()):
        self.definition = definition
        self.taken = taken
        size, depth = measured(taken)
        self.size, self.depth = size * definition.size, depth
        check_extent(self.size, self.depth)

    @property
    def name(self) -> str:
        """The name that a `let` gave it; empty if none did."""
        return self.definition.name

    @cached_property
    def full_text(self) -> str:
        """The rule as it could be written, with all that it took from outside."""
        given = {name: text(value, True) for name, value in zip(self.definition.free, self.taken, strict=True)}
        return definition_text(self.definition, given)

    @cached_property
    def key(self) -> tuple:
        """What tells it from other atoms: rules of the same text are the same."""
        return RULE, self.name, self.full_text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Rule) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    def __repr__(self) -> str:
        return text(self)


def may_react(atom: Atom) -> bool:
    """Whether something may still happen in or by an atom: it is a rule, or holds a solution that is not at rest."""
    kind = type(atom)
    if kind is tuple:
        return any(may_react(part) for part in atom if type(part) is not Rule)
    return kind is Rule or (kind is Solution and not atom.inert)


def measured(atoms: Iterable[Atom]) -> tuple[int, int]:
    """How many atoms these hold in all, and how deep they lie with one more shell around them; too much is refused."""
    size, depth = 1, 0
    for atom in atoms:
        kind = type(atom)
        if kind is tuple or kind is Rest:
            inner_size, inner_depth = measured(atom)
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
    """Refuse what grows beyond measure."""
    if size > MAX_ATOMS:
        raise ProgramError(f"a solution of more than {MAX_ATOMS:,} atoms: let a rule take more than it makes")
    if depth > MAX_DEPTH:
        raise ProgramError(f"atoms lie more than {MAX_DEPTH} deep within one another: keep them side by side")


def key(atom: Atom) -> tuple:
    """What tells an atom from others, and its place in the canonical order; 1, 1.0 and true are three atoms."""
    kind = type(atom)
    if kind is tuple or kind is Rest:
        return TUPLE, tuple(map(key, atom))
    rank = RANKS.get(kind)
    return atom.key if rank is None else (rank, atom)


def same(one: Atom, other: Atom) -> bool:
    """Whether two atoms are equal; two solutions are if each atom is as often in the one as in the other."""
    return one is other or key(one) == key(other)


def text(atom: Atom, full: bool = False) -> str:
    """An atom as it is written in a program, in one line; rules by their names, or in `full`."""
    kind = type(atom)
    if kind is Solution:
        return f"<{row(atom.atoms, full)}>"
    if kind is Rule:
        return atom.name if atom.name and not full else f"({atom.full_text})"
    if kind is tuple:
        parts = (text(part, full) for part in atom)
        return ":".join(f"({one})" if type(part) is tuple else one for one, part in zip(parts, atom, strict=True))
    return row(atom, full) if kind is Rest else written_plain(atom)


def row(atoms: Iterable[Atom], full: bool = False) -> str:
    """Atoms in canonical order, with commas between them."""
    return ", ".join(text(atom, full) for atom in sorted(atoms, key=key))

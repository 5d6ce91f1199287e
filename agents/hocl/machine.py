"""Runs a chemical program: carries out reactions until the solution is inert, and again after atoms are added.

A solution is inert if no rule can react in it. Inner solutions become inert before outer ones: a solution inside
another reacts as soon as it is created. Since patterns match only inert solutions, this excludes no possible outcome.

    machine = Machine(parse("<let max = replace x::int, y::int by x if x >= y in max, 2, 9>", "here"), Dice(1))
    machine.react()
    machine.drop(12)
    print(text(machine.solution))
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from umwelt.agents.hocl.active_solution import ActiveSolution
from umwelt.agents.hocl.matching import Choose
from umwelt.agents.hocl.parser import Program, prefix_errors
from umwelt.agents.hocl.terms import Atom, Rule, Solution, check_extent
from umwelt.sandbox.dice import draw, purpose
from umwelt.sandbox.errors import ProgramError
from umwelt.sandbox.kernel import call, kernel

CHOICE = purpose("hocl.choice")
DRAWS_PER_CALL = 64


@kernel
def draw_many(drawn, seed, tick, key, purpose, first):
    """Fills `drawn: int64[count]` with random numbers of `purpose`, with indices `first`, `first + 1` and so on."""
    for at in range(len(drawn)):
        drawn[at] = draw(seed, tick, key, purpose, first + at)


class Dice:
    """A `Choose` function (see `Machine`) that draws the random choices of one run of a program.

    The n-th choice depends only on n and on `seed`, `tick` and `key` (such as the id of a being).
    """

    def __init__(self, seed: int, tick: int = 0, key: int = 0):
        self.seed, self.tick, self.key = seed, tick, key
        self.count = 0
        """The number of choices so far."""
        self._drawn = np.empty(DRAWS_PER_CALL, np.int64)
        self._buffer: list[int] = []

    def __call__(self, limit: int) -> int:
        """Returns a random integer from 0 to `limit - 1`."""
        at = self.count % DRAWS_PER_CALL
        if at == 0:
            call(draw_many, self._drawn, self.seed, self.tick, self.key, CHOICE, self.count)
            self._buffer = self._drawn.tolist()
        self.count += 1
        return ((self._buffer[at] >> 32) * limit) >> 31  # as `below` of sandbox/dice.py


@dataclass(frozen=True)
class Limits:
    """The limits of one run of a program; a run that exceeds one of them raises `ProgramError`."""

    reactions: int = 1_000_000
    tries: int = 20_000_000
    """The maximum number of combinations of atoms that are tried."""


@dataclass(frozen=True)
class Reaction:
    """One reaction, the argument of the function `on_reaction` of a `Machine`.

    `rule` is the rule that reacted, `taken` the atoms that it removed and `made` those that it added. `depth` is the
    number of solutions that enclose the solution in which the reaction took place.
    """

    rule: Rule
    taken: list[Atom]
    made: list[Atom]
    depth: int


class Machine:
    """One run of a program.

    `choose(n)` returns a random integer from 0 to n - 1; it is the only source of randomness. `on_reaction` is called
    after each reaction. `reactions` and `tries` are the numbers of reactions, and of combinations of atoms tried, so
    far.

    If a reaction raises an error, the solution remains as it was before that reaction, and `react` can be called again.
    """

    def __init__(
        self,
        program: Program,
        choose: Choose,
        limits: Limits | None = None,
        on_reaction: Callable[[Reaction], None] | None = None,
    ):
        self.program, self.choose, self.limits, self.on_reaction = program, choose, limits or Limits(), on_reaction
        self.reactions = 0
        self.tries = 0
        self._waiting: list[Atom] = list(program.start.atoms)
        self._active = ActiveSolution(self._count_tries)

    @property
    def atoms(self) -> list[Atom]:
        """The current atoms, in no particular order."""
        return [*self._active.atoms.values(), *self._waiting]

    @property
    def solution(self) -> Solution:
        """The current atoms as a solution; it is inert after `react` has returned."""
        return Solution(self.atoms, inert=not self._waiting and not self._active.busy)

    def drop(self, atom: Atom) -> None:
        """Adds an atom to the solution; reactions take place in the next call of `react`."""
        self._waiting.append(atom)

    def react(self) -> None:
        """Carries out reactions until the solution is inert. Raises `ProgramError` if that exceeds the limits."""
        with prefix_errors(self.program.source):
            while self._waiting:
                self._active.add(self._make_inert(self._waiting[0], 1))
                self._waiting.pop(0)
            self._run(self._active, 0)

    def _count_tries(self, count: int) -> None:
        """Adds `count` to the combinations of atoms tried. Raises `ProgramError` if they exceed the limit."""
        self.tries += count
        if self.tries > self.limits.tries:
            line = f"not inert after {self.limits.tries:,} combinations of atoms were tried"
            raise ProgramError(f"{line}: allow more, or write narrower patterns")

    def _run(self, active: ActiveSolution, depth: int) -> None:
        """Carries out all reactions of `active`, as `_react` does; after an error, cancels its searches."""
        try:
            self._react(active, depth)
        except BaseException:
            active.interrupt()
            raise

    def _react(self, active: ActiveSolution, depth: int) -> None:
        """Carries out reactions of `active` until it is inert; `depth` is the number of solutions that enclose it."""
        while (match := active.next_match(self.choose)) is not None:
            if self.reactions >= self.limits.reactions:
                line = f"not inert after {self.reactions:,} reactions: allow more, or give a rule a condition"
                raise ProgramError(line)
            self.reactions += 1
            slots = active.consume(match)
            taken = [active.atoms[slot] for slot in slots]
            products = match.matcher.compiled.products(match.frame)
            inert_products = [self._make_inert(atom, depth + 1) for atom in products]
            check_extent(len(active.atoms) - len(slots) + len(products), depth)
            active.replace(slots, inert_products)
            if self.on_reaction is not None:
                self.on_reaction(Reaction(match.matcher.rule, taken, products, depth))

    def _make_inert(self, atom: Atom, depth: int) -> Atom:
        """Returns `atom` in the form that it has after all reactions of the solutions inside it.

        `depth` is the number of solutions that enclose the atom.
        """
        kind = type(atom)
        if kind is tuple:
            for part in atom:
                if type(part) is Solution or type(part) is tuple:
                    return tuple([self._make_inert(part, depth) for part in atom])
            return atom
        if kind is not Solution or atom.inert:
            return atom
        check_extent(atom.size, depth)
        active = ActiveSolution(self._count_tries)
        for inner in atom.atoms:
            active.add(self._make_inert(inner, depth + 1))
        self._run(active, depth)
        return Solution(active.atoms.values(), inert=True)

"""A chemical program at work: reactions until nothing can react, atoms dropped in, reactions again.

What lies inside settles before what lies outside: a solution within another comes to rest as soon as it is made. Since
a pattern takes only solutions at rest, this leaves all outcomes possible.

    machine = Machine(parse("<let max = replace x::int, y::int by x if x >= y in max, 2, 9>", "here"), Dice(1))
    machine.react()
    machine.drop(12)
    print(text(machine.solution))
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from umwelt.agents.hocl.active_solution import Vessel
from umwelt.agents.hocl.matching import Choose
from umwelt.agents.hocl.parser import Program, prefix_errors
from umwelt.agents.hocl.terms import Atom, Rule, Solution, check_extent
from umwelt.sandbox.dice import draw, purpose
from umwelt.sandbox.errors import ProgramError
from umwelt.sandbox.kernel import call, kernel

CHOICE = purpose("hocl.choice")
AT_ONCE = 64


@kernel
def draw_many(drawn, seed, tick, key, purpose, first):
    """Fill `drawn: int64[count]` with the draws of one purpose from the index `first` on."""
    for at in range(len(drawn)):
        drawn[at] = draw(seed, tick, key, purpose, first + at)


class Dice:
    """The choices of one run by keyed dice: the n-th choice is the n-th draw for its seed, tick and key."""

    def __init__(self, seed: int, tick: int = 0, key: int = 0):
        self.seed, self.tick, self.key = seed, tick, key
        self.count = 0
        self._drawn = np.empty(AT_ONCE, np.int64)
        self._ahead: list[int] = []

    def __call__(self, limit: int) -> int:
        """A number from 0 to `limit - 1`."""
        at = self.count % AT_ONCE
        if at == 0:
            call(draw_many, self._drawn, self.seed, self.tick, self.key, CHOICE, self.count)
            self._ahead = self._drawn.tolist()
        self.count += 1
        return ((self._ahead[at] >> 32) * limit) >> 31  # as `below` of sandbox/dice.py


@dataclass(frozen=True)
class Limits:
    """Where a program is stopped that would not stop by itself."""

    reactions: int = 1_000_000
    tries: int = 20_000_000
    """Combinations of atoms that are asked whether they react."""


@dataclass(frozen=True)
class Reacted:
    """One reaction, for those who watch: what the rule took and made, and how deep within solutions."""

    rule: Rule
    taken: list[Atom]
    made: list[Atom]
    depth: int


class Machine:
    """One run of a program. `choose(n)` is its only source of chance; `watch` is called after each reaction.

    After an error the solution is as it was before the reaction that could not be, and may react on.
    """

    def __init__(
        self,
        program: Program,
        choose: Choose,
        limits: Limits | None = None,
        watch: Callable[[Reacted], None] | None = None,
    ):
        self.program, self.choose, self.limits, self.watch = program, choose, limits or Limits(), watch
        self.reactions = 0
        self.tries = 0
        self._waiting: list[Atom] = list(program.start.atoms)
        self._vessel = Vessel(self._tried)

    @property
    def atoms(self) -> list[Atom]:
        """What floats at present, in no order."""
        return [*self._vessel.atoms.values(), *self._waiting]

    @property
    def solution(self) -> Solution:
        """What floats at present as one atom; inert after `react`."""
        return Solution(self.atoms, inert=not self._waiting and not self._vessel.busy)

    def drop(self, atom: Atom) -> None:
        """Drop an atom in; it reacts with the next `react`."""
        self._waiting.append(atom)

    def react(self) -> None:
        """Let it react until it is inert; a `ProgramError` if that takes more than the limits allow."""
        with prefix_errors(self.program.source):
            while self._waiting:
                self._vessel.add(self._at_rest(self._waiting[0], 1))
                self._waiting.pop(0)
            self._run(self._vessel, 0)

    def _tried(self, count: int) -> None:
        self.tries += count
        if self.tries > self.limits.tries:
            line = f"no rest after {self.limits.tries:,} combinations of atoms were tried"
            raise ProgramError(f"{line}: allow more, or write narrower patterns")

    def _run(self, vessel: Vessel, depth: int) -> None:
        try:
            self._reactions(vessel, depth)
        except BaseException:
            vessel.interrupt()
            raise

    def _reactions(self, vessel: Vessel, depth: int) -> None:
        while (match := vessel.next_match(self.choose)) is not None:
            if self.reactions >= self.limits.reactions:
                line = f"no rest after {self.reactions:,} reactions: allow more, or give a rule a condition"
                raise ProgramError(line)
            self.reactions += 1
            slots = vessel.taken(match)
            taken = [vessel.atoms[slot] for slot in slots]
            reaction = match.watch.reaction
            made = reaction.products(match.frame)
            settled = [self._at_rest(atom, depth + 1) for atom in made]
            check_extent(len(vessel.atoms) - len(slots) + len(made), depth)
            vessel.exchange(slots, settled)
            if self.watch is not None:
                self.watch(Reacted(match.watch.rule, taken, made, depth))

    def _at_rest(self, atom: Atom, depth: int) -> Atom:
        """The atom with all solutions in it at rest."""
        kind = type(atom)
        if kind is tuple:
            for part in atom:
                if type(part) is Solution or type(part) is tuple:
                    return tuple([self._at_rest(part, depth) for part in atom])
            return atom
        if kind is not Solution or atom.inert:
            return atom
        check_extent(atom.size, depth)
        vessel = Vessel(self._tried)
        for inner in atom.atoms:
            vessel.add(self._at_rest(inner, depth + 1))
        self._run(vessel, depth)
        return Solution(vessel.atoms.values(), inert=True)

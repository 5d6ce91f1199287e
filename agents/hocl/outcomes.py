"""Every solution at rest that a small program may come to, whatever the dice: all orders of all reactions, explored.

A state is a multiset whose inner solutions are at rest. Equal atoms are tried once. A state that was met before is not
explored again, so programs that may go round in circles come to an end.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import product

from umwelt.agents.hocl.machine import Limits
from umwelt.agents.hocl.matching import reaction_of
from umwelt.agents.hocl.parser import Program, prefix_errors
from umwelt.agents.hocl.terms import Atom, Rest, Rule, Solution, check_extent, key, same
from umwelt.agents.hocl.values import Frame
from umwelt.sandbox.errors import ProgramError

MAX_KEPT_ATOMS = 2_000_000
"""Of all states together: about a gigabyte."""


def all_outcomes(program: Program, drops: Iterable[Atom] = (), limits: Limits | None = None) -> list[Solution]:
    """All that a program may come to, in canonical order; `drops` fall one after another, each into what is inert."""
    explorer = Explorer(limits or Limits())
    with prefix_errors(program.source):
        found = explorer.at_rest(program.start)
        for atom in drops:
            fallen = [Solution([*solution.atoms, atom]) for solution in found]
            found = _different(rest for solution in fallen for rest in explorer.at_rest(solution))
    return sorted(found, key=key)


def _different(solutions: Iterable[Solution]) -> list[Solution]:
    return list({solution.key: solution for solution in solutions}.values())


def _first(limit: int) -> int:
    """The way to begin, where all ways are gone through."""
    return 0


class Explorer:
    """Explores within limits that hold for all it explores together."""

    def __init__(self, limits: Limits):
        self.limits = limits
        self.reactions = 0
        self.tries = 0
        self.kept_atoms = 0
        self.depth = 0
        self._known: dict[tuple, list[Solution]] = {}

    def at_rest(self, solution: Solution) -> list[Solution]:
        """All solutions at rest that one may come to; none if it never rests."""
        if solution.inert:
            return [solution]
        if solution.key not in self._known:
            self.depth += 1
            check_extent(solution.size, self.depth)
            self._known[solution.key] = self._explored(solution)
            self.depth -= 1
        return self._known[solution.key]

    def _explored(self, solution: Solution) -> list[Solution]:
        waiting: list[Solution] = []
        seen: set[tuple] = set()
        found = []
        for atoms in self._settled(solution.atoms):
            self._meet(atoms, waiting, seen)
        while waiting:
            state = waiting.pop()
            inert = True
            for left in self._reactions(state):
                inert = False
                self.reactions += 1
                if self.reactions > self.limits.reactions:
                    line = f"more than {self.limits.reactions:,} reactions on the way to all outcomes: allow more, or"
                    raise ProgramError(f"{line} begin with fewer atoms")
                for next_atoms in self._settled(left):
                    self._meet(next_atoms, waiting, seen)
            if inert:
                found.append(Solution(state.atoms, inert=True))
        return found

    def _meet(self, atoms: Iterable[Atom], waiting: list[Solution], seen: set[tuple]) -> None:
        state = Solution(atoms)
        if state.key not in seen:
            seen.add(state.key)
            waiting.append(state)
            self.kept_atoms += state.size
            if self.kept_atoms > MAX_KEPT_ATOMS:
                line = f"more than {MAX_KEPT_ATOMS:,} atoms in all states on the way to all outcomes"
                raise ProgramError(f"{line}: begin with fewer atoms")

    def _settled(self, atoms: Iterable[Atom]) -> Iterator[tuple[Atom, ...]]:
        """The atoms with all solutions in them at rest, in all ways."""
        return product(*[self._settled_atom(atom) for atom in atoms])

    def _settled_atom(self, atom: Atom) -> list[Atom]:
        if type(atom) is tuple:
            return list(self._settled(atom))
        return list(self.at_rest(atom)) if type(atom) is Solution else [atom]

    def _reactions(self, state: Solution) -> Iterator[list[Atom]]:
        """What each possible reaction leaves."""
        counts = Counter(map(key, state.atoms))
        atoms = {key(atom): atom for atom in state.atoms}
        for rule_key, rule in atoms.items():
            if type(rule) is Rule:
                others = counts - Counter([rule_key])
                reaction = reaction_of(rule.definition)
                for frame, taken in self._matches(rule, atoms, others):
                    left = others - taken
                    if reaction.rest_cell is not None:
                        frame[reaction.rest_cell] = Rest(atoms[one] for one in left.elements())
                        left = Counter()
                    kept = [] if reaction.one_shot else [rule]
                    yield [*kept, *(atoms[one] for one in left.elements()), *reaction.products(frame)]

    def _matches(self, rule: Rule, atoms: dict, counts: Counter) -> Iterator[tuple[Frame, Counter]]:
        """All ways in which a rule takes atoms, equal atoms once: its frame, and what it takes."""
        reaction = reaction_of(rule.definition)
        frame = reaction.frame(rule)
        plan = reaction.plans[0] if reaction.positions else ()

        def matches(depth: int, taken: Counter) -> Iterator[tuple[Frame, Counter]]:
            if depth == len(plan):
                if plan or reaction.test is None or reaction.test(frame):
                    yield list(frame), taken
                return
            step = plan[depth]
            position = reaction.positions[step.at]
            for one, atom in atoms.items():
                self._try()
                held = position.may_hold(atom) if counts[one] > taken[one] else None
                for caught in () if held is None else position.ways(held, _first):
                    frame[position.low : position.high] = caught
                    linked = all(same(frame[here], frame[there]) for here, there in step.links)
                    if linked and (step.test is None or step.test(frame)):
                        yield from matches(depth + 1, taken + Counter([one]))

        return matches(0, Counter())

    def _try(self) -> None:
        self.tries += 1
        if self.tries > self.limits.tries:
            line = f"more than {self.limits.tries:,} combinations of atoms on the way to all outcomes"
            raise ProgramError(f"{line}: begin with fewer atoms")

"""Finds every inert solution that a small program can reach, by exploring all reactions in all orders.

A solution is a multiset of atoms; it is inert if no rule can react in it. A *state* is a multiset of atoms in which all
inner solutions are inert. Of several equal atoms, only one is tried. Each state is explored only once, so that the
exploration of programs with cycles terminates.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import product

from umwelt.agents.hocl.machine import Limits
from umwelt.agents.hocl.matching import compile_rule
from umwelt.agents.hocl.parser import Program, prefix_errors
from umwelt.agents.hocl.terms import Atom, Rest, Rule, Solution, check_extent, key, same
from umwelt.agents.hocl.values import Frame
from umwelt.sandbox.errors import ProgramError

MAX_KEPT_ATOMS = 2_000_000
"""The maximum number of atoms in all states together, which need about a gigabyte."""


def all_outcomes(program: Program, drops: Iterable[Atom] = (), limits: Limits | None = None) -> list[Solution]:
    """Returns all inert solutions that a program can reach, in canonical order.

    The atoms `drops` are added one after another, each when the solution has become inert. Raises `ProgramError` if the
    exploration exceeds the limits.
    """
    explorer = Explorer(limits or Limits())
    with prefix_errors(program.source):
        outcomes = explorer.inert_forms(program.start)
        for atom in drops:
            starts = [Solution([*solution.atoms, atom]) for solution in outcomes]
            outcomes = _distinct(form for solution in starts for form in explorer.inert_forms(solution))
    return sorted(outcomes, key=key)


def _distinct(solutions: Iterable[Solution]) -> list[Solution]:
    """Returns the solutions without duplicates, in order of first occurrence."""
    return list({solution.key: solution for solution in solutions}.values())


def _first(limit: int) -> int:
    """Returns 0: a `Choose` function for enumerations of all matches, where the first one tried does not matter."""
    return 0


class Explorer:
    """An exploration of the states of one program; `limits` apply to the totals over all calls of `inert_forms`."""

    def __init__(self, limits: Limits):
        self.limits = limits
        self.reactions = 0
        self.tries = 0
        self.kept_atoms = 0
        self.depth = 0
        self._known: dict[tuple, list[Solution]] = {}

    def inert_forms(self, solution: Solution) -> list[Solution]:
        """Returns all inert solutions that `solution` can become, an empty list if it never becomes inert."""
        if solution.inert:
            return [solution]
        if solution.key not in self._known:
            self.depth += 1
            check_extent(solution.size, self.depth)
            self._known[solution.key] = self._explore(solution)
            self.depth -= 1
        return self._known[solution.key]

    def _explore(self, solution: Solution) -> list[Solution]:
        """Returns all inert solutions that `solution` can become, by visiting each state that it can reach once."""
        waiting: list[Solution] = []
        seen: set[tuple] = set()
        outcomes = []
        for atoms in self._inert_choices(solution.atoms):
            self._add_state(atoms, waiting, seen)
        while waiting:
            state = waiting.pop()
            is_inert = True
            for left in self._reactions(state):
                is_inert = False
                self.reactions += 1
                if self.reactions > self.limits.reactions:
                    line = (
                        f"more than {self.limits.reactions:,} reactions before all outcomes were found: allow more, or"
                    )
                    raise ProgramError(f"{line} begin with fewer atoms")
                for next_atoms in self._inert_choices(left):
                    self._add_state(next_atoms, waiting, seen)
            if is_inert:
                outcomes.append(Solution(state.atoms, inert=True))
        return outcomes

    def _add_state(self, atoms: Iterable[Atom], waiting: list[Solution], seen: set[tuple]) -> None:
        """Appends the state of `atoms` to `waiting` unless its key is in `seen`, and adds the key to `seen`.

        Raises `ProgramError` if all states together have more than `MAX_KEPT_ATOMS` atoms.
        """
        state = Solution(atoms)
        if state.key not in seen:
            seen.add(state.key)
            waiting.append(state)
            self.kept_atoms += state.size
            if self.kept_atoms > MAX_KEPT_ATOMS:
                line = f"more than {MAX_KEPT_ATOMS:,} atoms in all states before all outcomes were found"
                raise ProgramError(f"{line}: begin with fewer atoms")

    def _inert_choices(self, atoms: Iterable[Atom]) -> Iterator[tuple[Atom, ...]]:
        """Yields all combinations of the given atoms after the solutions inside them have become inert."""
        return product(*[self._inert_atoms(atom) for atom in atoms])

    def _inert_atoms(self, atom: Atom) -> list[Atom]:
        """Returns all forms that `atom` can have after the solutions inside it have become inert."""
        if type(atom) is tuple:
            return list(self._inert_choices(atom))
        return list(self.inert_forms(atom)) if type(atom) is Solution else [atom]

    def _reactions(self, state: Solution) -> Iterator[list[Atom]]:
        """Yields, for each possible reaction of `state`, the atoms after that reaction."""
        counts = Counter(map(key, state.atoms))
        atoms = {key(atom): atom for atom in state.atoms}
        for rule_key, rule in atoms.items():
            if type(rule) is Rule:
                others = counts - Counter([rule_key])
                compiled = compile_rule(rule.definition)
                for frame, taken in self._matches(rule, atoms, others):
                    left = others - taken
                    if compiled.rest_cell is not None:
                        frame[compiled.rest_cell] = Rest(atoms[one] for one in left.elements())
                        left = Counter()
                    kept = [] if compiled.one_shot else [rule]
                    yield [*kept, *(atoms[one] for one in left.elements()), *compiled.products(frame)]

    def _matches(self, rule: Rule, atoms: dict, counts: Counter) -> Iterator[tuple[Frame, Counter]]:
        """Yields each way in which `rule` can take atoms, as its filled frame and the counts of the atoms' keys.

        `atoms` maps keys to atoms, and `counts` holds how often each atom is available.
        """
        compiled = compile_rule(rule.definition)
        frame = compiled.frame(rule)
        plan = compiled.plans[0] if compiled.positions else ()

        def matches(depth: int, taken: Counter) -> Iterator[tuple[Frame, Counter]]:
            """Yields all matches that extend that of the first `depth` steps, which took the atoms `taken`."""
            if depth == len(plan):
                if plan or compiled.test is None or compiled.test(frame):
                    yield list(frame), taken
                return
            step = plan[depth]
            position = compiled.positions[step.at]
            for atom_key, atom in atoms.items():
                self._count_try()
                bound = position.bind(atom) if counts[atom_key] > taken[atom_key] else None
                for bindings in () if bound is None else position.ways(bound, _first):
                    frame[position.low : position.high] = bindings
                    is_linked = all(same(frame[own], frame[other]) for own, other in step.links)
                    if is_linked and (step.test is None or step.test(frame)):
                        yield from matches(depth + 1, taken + Counter([atom_key]))

        return matches(0, Counter())

    def _count_try(self) -> None:
        """Counts one tried combination of atoms. Raises `ProgramError` if that exceeds the limit."""
        self.tries += 1
        if self.tries > self.limits.tries:
            line = f"more than {self.limits.tries:,} combinations of atoms before all outcomes were found"
            raise ProgramError(f"{line}: begin with fewer atoms")

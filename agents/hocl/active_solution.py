"""Finds the possible reactions of a solution: which of its rules can react with which of its atoms.

A solution is a multiset of atoms, some of which are rules; a rule takes atoms that match its patterns and satisfy its
condition, and puts others in their place. A condition depends only on these atoms, so a combination that does not
satisfy it need not be tried again while they exist. Each rule has a `RuleMatcher`, which searches with one new atom at
a time, in random order: it combines the atom with all *settled* atoms, and then marks it as settled (semi-naive
evaluation, as in Datalog). Atoms that are not settled are *open*. The solution is inert (no rule can react) when every
matcher has settled all its atoms; each combination was then tried once. Atoms that a reaction takes and produces
unchanged remain settled.

The search alone would prefer atoms that were settled early. Therefore one random combination is tried before each
search: a random rule with random atoms, which react if they satisfy the rule. Thus every possible reaction can be the
next one.

Each atom of an active solution has a *slot*, an integer that identifies it and is never reused. A *position* is a
pattern of a rule, a *frame* the list of the values of a rule's variables, a *cell* an entry of a frame, and *bindings*
are the values of the variables of one pattern (see matching.py). The argument `choose` of many functions is their
source of randomness: `choose(n)` returns an integer from 0 to n - 1.
"""

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from umwelt.agents.hocl.matching import Bindings, Choose, CompiledRule, Kind, Position, Step, compile_rule, kinds_of
from umwelt.agents.hocl.terms import Atom, Rest, Rule, key, same
from umwelt.agents.hocl.values import Frame

Item = TypeVar("Item")


NO_SLOT = -1
"""An entry in `RuleMatcher.open` that stands for no atom.

A rule without patterns except `?w` has it, because there are no atoms with which to search.
"""
MAX_DIRECT_COMPARISONS = 16
"""The maximum number of comparisons between atoms in `replace` that is faster than computing their keys."""


class Pool(Generic[Item]):
    """A set that supports drawing a random item; all operations take constant time."""

    __slots__ = ("_places", "items")

    def __init__(self) -> None:
        self.items: list[Item] = []
        self._places: dict[Item, int] = {}

    def __len__(self) -> int:
        return len(self.items)

    def add(self, item: Item) -> None:
        """Adds `item` if it is not in the set."""
        if item not in self._places:
            self._places[item] = len(self.items)
            self.items.append(item)

    def discard(self, item: Item) -> None:
        """Removes `item` if it is in the set; the item at the end of `items` takes its place."""
        place = self._places.pop(item, None)
        if place is None:
            return
        last = self.items.pop()
        if place < len(self.items):
            self.items[place] = last
            self._places[last] = place

    def draw(self, choose: Choose) -> Item:
        """Returns a random item of the set, which must not be empty."""
        return self.items[choose(len(self.items))]


class Match:
    """A possible reaction.

    `matcher` belongs to the rule that reacts, `slots` are those of the atoms that its patterns match, and `frame` has
    the values of all variables of these patterns.
    """

    __slots__ = ("frame", "matcher", "slots")

    def __init__(self, matcher: "RuleMatcher", slots: list[int], frame: Frame):
        self.matcher, self.slots, self.frame = matcher, slots, frame


class RuleMatcher:
    """The search for reactions of one rule. `slot` is that of the rule's atom in `solution`.

    The active solution creates a matcher when the rule's atom is added, and discards it when that atom is removed.
    """

    def __init__(self, solution: "ActiveSolution", slot: int, rule: Rule):
        self.solution, self.slot, self.rule = solution, slot, rule
        self.compiled: CompiledRule = compile_rule(rule.definition)
        positions = self.compiled.positions
        self.bindings: list[dict[int, Bindings]] = [{} for _ in positions]
        """For each position: the result of `Position.bind` for each candidate, by slot."""
        self.candidates: list[Pool[int]] = [Pool() for _ in positions]
        """For each position: the slots of the atoms that can match there (candidates)."""
        self.open: Pool[int] = Pool()
        """The slots of the candidates that are not settled."""
        # a rule with one pattern needs no settled atoms; behaviours consist of such rules, which must be fast
        joined = positions if len(positions) > 1 else ()
        self.settled: list[Pool[int]] = [Pool() for _ in joined]
        """For each position: the slots of its settled candidates; empty for a rule with fewer than two patterns."""
        self.indexes: list[dict[tuple[int, ...], dict[tuple, dict[int, None]]]] = [
            {offsets: {} for offsets in lookups} for lookups, _ in zip(self.compiled.lookups, joined, strict=False)
        ]
        """For each position: its indexes of settled candidates, by the offsets of the key's values in the bindings.

        An index maps the tuple of the `key` of each of these values to the slots of the candidates with these values.
        """
        self._active: int | None = None
        """The slot of the open atom with which the current search combines settled atoms; None without a search."""
        self._search: Iterator[Match] | None = None
        """The generator of the current search's matches."""
        if not positions:
            self.open.add(NO_SLOT)

    def add_candidate(self, slot: int, atom: Atom, kind: Kind) -> bool:
        """Adds the atom at `slot` as a candidate at all positions of the kind `kind` that it can match.

        Returns whether there is such a position.
        """
        is_candidate = False
        for at in self.compiled.places.get(kind, ()):
            bindings = self.compiled.positions[at].bind(atom)
            if bindings is not None:
                self.bindings[at][slot] = bindings
                self.candidates[at].add(slot)
                self.open.add(slot)
                is_candidate = True
        return is_candidate

    def remove_candidate(self, slot: int) -> None:
        """Removes the candidate `slot`, whose atom was removed from the solution."""
        for at, bindings_here in enumerate(self.bindings):
            bindings = bindings_here.pop(slot, None)
            if bindings is not None:
                self.candidates[at].discard(slot)
                if self.settled:
                    self.settled[at].discard(slot)
                    for offsets, index in self.indexes[at].items():
                        index.get(_index_key(bindings, offsets), {}).pop(slot, None)
        self.open.discard(slot)
        if slot == self._active:
            self._active = self._search = None

    def try_random(self, choose: Choose) -> Match | None:
        """Draws a random candidate for each position. Returns their match, or None if they do not satisfy the rule.

        Also returns None if a position has no candidates, or if an atom is drawn twice.
        """
        for pool in self.candidates:
            if not pool.items:
                return None
        slots = [pool.draw(choose) for pool in self.candidates]
        if len(slots) > 1 and len(set(slots)) < len(slots):
            return None
        self.solution.count_tries(1)
        frame = self.compiled.frame(self.rule)
        for bindings_here, slot, position in zip(self.bindings, slots, self.compiled.positions, strict=True):
            bindings = bindings_here[slot]
            values = bindings if position.matcher is not None else next(position.ways(bindings, choose), None)
            if values is None:
                return None
            frame[position.low : position.high] = values
        if not all([_has_equal_cells(step, frame) for step in self.compiled.linked_steps]):
            return None
        test = self.compiled.test
        return Match(self, slots, frame) if test is None or test(frame) else None

    def search(self, choose: Choose) -> Match | None:
        """Returns the next match with the active atom; if there is no active atom, a random open one becomes active.

        Returns None if there is no further match with that atom, which is then settled.
        """
        if not self.bindings:
            match = self.try_random(choose)
            if match is None:
                self.open.discard(NO_SLOT)
            return match
        if self._search is None:
            self._active = self.open.draw(choose)
            self._search = self._matches_with(self._active, choose)
        match = next(self._search, None)
        if match is None:
            self._settle(self._active)
            self._active = self._search = None
        return match

    def interrupt(self) -> None:
        """Cancels the current search; its atom remains open and will be searched again, so that no match is missed."""
        self._active = self._search = None

    def _settle(self, slot: int | None) -> None:
        """Marks the open atom at `slot` as settled, and adds it to the indexes; does nothing if `slot` is None."""
        if slot is None:
            return
        self.open.discard(slot)
        if not self.settled:
            return
        for at, bindings_here in enumerate(self.bindings):
            bindings = bindings_here.get(slot)
            if bindings is not None:
                self.settled[at].add(slot)
                for offsets, index in self.indexes[at].items():
                    index.setdefault(_index_key(bindings, offsets), {})[slot] = None

    def _matches_with(self, slot: int, choose: Choose) -> Iterator[Match]:
        """Yields all matches of the atom at `slot`, at any of its positions, with settled atoms."""
        for first, bindings_here in enumerate(self.bindings):
            if slot in bindings_here:
                frame = self.compiled.frame(self.rule)
                yield from self._join(self.compiled.plans[first], 0, frame, [], [slot], choose)

    def _join(
        self, plan: tuple[Step, ...], depth: int, frame: Frame, slots: list[int], candidates: list[int], choose: Choose
    ) -> Iterator[Match]:
        """Yields all matches that extend `slots` by one of `candidates` and by settled atoms for the later steps.

        `plan` is one of `CompiledRule.plans`, `depth` the index of the present step in it; `frame` has the values of
        the variables of the earlier steps. Atoms can be removed while the generator is suspended, because the caller
        carries out reactions.
        """
        step = plan[depth]
        position: Position = self.compiled.positions[step.at]
        bindings_here, low, high, test = self.bindings[step.at], position.low, position.high, step.test
        is_last, is_deterministic, atoms = depth == len(plan) - 1, position.matcher is not None, self.solution.atoms
        self.solution.count_tries(len(candidates))
        for slot in candidates:
            bindings = bindings_here.get(slot)
            if bindings is None or slot in slots:
                continue
            for values in (bindings,) if is_deterministic else position.ways(bindings, choose):
                if not is_deterministic:
                    self.solution.count_tries(1)
                frame[low:high] = values
                if not is_deterministic and not _has_equal_cells(step, frame):
                    continue
                if test is not None and not test(frame):
                    continue
                extended = [*slots, slot]
                if is_last:
                    yield Match(self, extended, frame)
                else:
                    yield from self._join(
                        plan, depth + 1, frame, extended, self._settled_candidates(plan[depth + 1], frame), choose
                    )
                if not all(other in atoms for other in slots):
                    return
                if slot not in atoms:
                    break

    def _settled_candidates(self, step: Step, frame: Frame) -> list[int]:
        """Returns the slots of settled atoms that can match at the position of `step`, given the values in `frame`."""
        if not step.offsets:
            return list(self.settled[step.at].items)
        index_key = tuple([key(frame[other]) for _, other in step.links])
        return list(self.indexes[step.at][step.offsets].get(index_key, ()))


def _index_key(bindings: Bindings, offsets: tuple[int, ...]) -> tuple:
    """Returns the key of a candidate in an index: the `key` of each of its bindings that `offsets` selects."""
    return tuple([key(bindings[offset]) for offset in offsets])


def _has_equal_cells(step: Step, frame: Frame) -> bool:
    """Returns whether the cells that the links of `step` require to be equal are equal in `frame`."""
    return all(same(frame[one], frame[other]) for one, other in step.links)


class ActiveSolution:
    """The atoms of one solution by slot, and a matcher for each rule among them. `Machine` creates and owns it."""

    def __init__(self, count_tries: Callable[[int], None]) -> None:
        self.count_tries = count_tries
        """A function that matchers call with the number of combinations of atoms that they try."""
        self.atoms: dict[int, Atom] = {}
        self.matchers: Pool[RuleMatcher] = Pool()
        self.busy: Pool[RuleMatcher] = Pool()
        """The matchers that can have open atoms."""
        self._matcher_at: dict[int, RuleMatcher] = {}
        """The matcher of each rule, by the slot of the rule's atom."""
        self._matchers_of_kind: dict[Kind, dict[RuleMatcher, None]] = {}
        """The matchers that have positions for atoms of a kind, by kind."""
        self._matchers_with: dict[int, dict[RuleMatcher, None]] = {}
        """The matchers that have the atom of a slot as a candidate, by slot."""
        self._kinds: dict[int, tuple[Kind, ...]] = {}
        self._next_slot = 0

    def add(self, atom: Atom) -> None:
        """Adds an atom, with a matcher if it is a rule; solutions inside the atom must be inert."""
        slot = self._next_slot
        self._next_slot += 1
        self.atoms[slot] = atom
        self._matchers_with[slot] = {}
        self._kinds[slot] = kinds = kinds_of(atom)
        for kind in kinds:
            for matcher in self._matchers_of_kind.get(kind, ()):
                self._add_candidate(matcher, slot, atom, kind)
        if type(atom) is Rule:
            self._add_rule(slot, atom)

    def _add_candidate(self, matcher: RuleMatcher, slot: int, atom: Atom, kind: Kind) -> None:
        """Offers the atom at `slot`, which has the kind `kind`, to a matcher as a candidate."""
        if matcher.add_candidate(slot, atom, kind):
            self._matchers_with[slot][matcher] = None
            self.busy.add(matcher)

    def _add_rule(self, slot: int, rule: Rule) -> None:
        """Creates the matcher of the rule at `slot`, with all other atoms as candidates."""
        matcher = RuleMatcher(self, slot, rule)
        self._matcher_at[slot] = matcher
        self.matchers.add(matcher)
        if matcher.open:
            self.busy.add(matcher)
        wanted_kinds = matcher.compiled.places
        for kind in wanted_kinds:
            self._matchers_of_kind.setdefault(kind, {})[matcher] = None
        for other, kinds in self._kinds.items():
            for kind in kinds:
                if kind in wanted_kinds and other != slot:
                    self._add_candidate(matcher, other, self.atoms[other], kind)

    def remove(self, slot: int) -> None:
        """Removes the atom at `slot`, and its matcher if it is a rule."""
        del self.atoms[slot], self._kinds[slot]
        matcher = self._matcher_at.pop(slot, None)
        if matcher is not None:
            self.matchers.discard(matcher)
            self.busy.discard(matcher)
            for kind in matcher.compiled.places:
                del self._matchers_of_kind[kind][matcher]
            for bindings_here in matcher.bindings:
                for other in bindings_here:
                    self._matchers_with[other].pop(matcher, None)
        for holder in self._matchers_with.pop(slot):
            holder.remove_candidate(slot)

    def next_match(self, choose: Choose) -> Match | None:
        """Returns a possible reaction, or None if the solution is inert."""
        while self.busy:
            matcher = self.matchers.draw(choose)
            match = matcher.try_random(choose)
            if match is not None:
                return match
            matcher = self.busy.draw(choose)
            match = matcher.search(choose) if matcher.open else None
            if match is not None:
                return match
            if not matcher.open:
                self.busy.discard(matcher)
        return None

    def interrupt(self) -> None:
        """Cancels all current searches after an error; their atoms will be searched again."""
        for matcher in self.matchers.items:
            matcher.interrupt()

    def consume(self, match: Match) -> list[int]:
        """Returns the slots of the atoms that a reaction removes. Completes the frame of `match`.

        The frame receives the atoms of the rest pattern, which are all atoms except the rule and those that the
        patterns match. For a one-shot rule, which disappears when it reacts, the last slot is that of the rule itself.
        """
        slots, rule_slot = list(match.slots), match.matcher.slot
        compiled = match.matcher.compiled
        if compiled.rest_cell is not None:
            others = [slot for slot in self.atoms if slot != rule_slot and slot not in match.slots]
            match.frame[compiled.rest_cell] = Rest([self.atoms[slot] for slot in others])
            slots += others
        return [*slots, rule_slot] if compiled.one_shot else slots

    def replace(self, slots: list[int], products: list[Atom]) -> None:
        """Replaces the atoms at `slots` by `products`; atoms that are equal to a product keep their slots."""
        if len(slots) * len(products) <= MAX_DIRECT_COMPARISONS:
            removed = [self.atoms[slot] for slot in slots]
            if not any([product in removed for product in products]):
                for slot in slots:
                    self.remove(slot)
                for atom in products:
                    self.add(atom)
                return
        slots_by_key: dict[tuple, list[int]] = {}
        for slot in slots:
            slots_by_key.setdefault(key(self.atoms[slot]), []).append(slot)
        new_atoms = []
        for atom in products:
            same_slots = slots_by_key.get(key(atom))
            if same_slots:
                same_slots.pop()
            else:
                new_atoms.append(atom)
        for removed_slots in slots_by_key.values():
            for slot in removed_slots:
                self.remove(slot)
        for atom in new_atoms:
            self.add(atom)

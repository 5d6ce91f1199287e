"""A solution while it reacts: which of its rules can fire on which of its atoms.

A refusal stays true as long as both atoms are there, since conditions are pure. So each rule has a `Watch`, which
brings its atoms to the search one by one, in an order of dice: the new one is tried with all that were settled before
it, and is then settled itself (semi-naive evaluation, as in Datalog). Rest means that every watch has settled all its
atoms, and each combination was asked once. Atoms that a reaction only borrows, giving back the same, stay.

That alone would prefer what was settled early. So before each search there is one chance encounter: a rule and its
atoms are drawn by dice, as in a well stirred vessel, and react if they may. Every reaction that is possible can thus
happen next.
"""

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from umwelt.agents.hocl.matching import Caught, Choose, Kind, Position, Reaction, Step, kinds_of, reaction_of
from umwelt.agents.hocl.terms import Atom, Rest, Rule, key, same
from umwelt.agents.hocl.values import Frame

Item = TypeVar("Item")


NO_SLOT = -1
"""What a rule of nothing but `?w` has open until its condition is asked: it needs no atom."""
FEW = 16
"""So many comparisons of atoms cost less than their keys."""


class Pool(Generic[Item]):
    """A set in an order of its own, from which dice can draw; all in constant time."""

    __slots__ = ("_places", "items")

    def __init__(self) -> None:
        self.items: list[Item] = []
        self._places: dict[Item, int] = {}

    def __len__(self) -> int:
        return len(self.items)

    def add(self, item: Item) -> None:
        """Put it in, if it is not there."""
        if item not in self._places:
            self._places[item] = len(self.items)
            self.items.append(item)

    def discard(self, item: Item) -> None:
        """Take it out, if it is there; the last one takes its place."""
        at = self._places.pop(item, None)
        if at is None:
            return
        last = self.items.pop()
        if at < len(self.items):
            self.items[at] = last
            self._places[last] = at

    def drawn(self, choose: Choose) -> Item:
        """One of them, by dice."""
        return self.items[choose(len(self.items))]


class Match:
    """A reaction that is possible: the slots of the atoms it takes, and its frame, filled."""

    __slots__ = ("frame", "slots", "watch")

    def __init__(self, watch: "Watch", slots: list[int], frame: Frame):
        self.watch, self.slots, self.frame = watch, slots, frame


class Watch:
    """One rule in a vessel, and what is known of its atoms."""

    def __init__(self, vessel: "Vessel", slot: int, rule: Rule):
        self.vessel, self.slot, self.rule = vessel, slot, rule
        self.reaction: Reaction = reaction_of(rule.definition)
        positions = self.reaction.positions
        self.held: list[dict[int, Caught]] = [{} for _ in positions]
        self.all: list[Pool[int]] = [Pool() for _ in positions]
        self.open: Pool[int] = Pool()
        # who takes one atom joins it with none: thoughts are made of such rules, and quick
        joined = positions if len(positions) > 1 else ()
        self.settled: list[Pool[int]] = [Pool() for _ in joined]
        self.indexes: list[dict[tuple[int, ...], dict[tuple, dict[int, None]]]] = [
            {offsets: {} for offsets in asked} for asked, _ in zip(self.reaction.looked_up, joined, strict=False)
        ]
        self._active: int | None = None
        self._search: Iterator[Match] | None = None
        if not positions:
            self.open.add(NO_SLOT)

    def offer(self, slot: int, atom: Atom, kind: Kind) -> bool:
        """An atom has come that is of this kind; whether it may be taken."""
        found = False
        for at in self.reaction.places.get(kind, ()):
            held = self.reaction.positions[at].may_hold(atom)
            if held is not None:
                self.held[at][slot] = held
                self.all[at].add(slot)
                self.open.add(slot)
                found = True
        return found

    def forget(self, slot: int) -> None:
        """An atom has gone."""
        for at, held_here in enumerate(self.held):
            held = held_here.pop(slot, None)
            if held is not None:
                self.all[at].discard(slot)
                if self.settled:
                    self.settled[at].discard(slot)
                    for offsets, index in self.indexes[at].items():
                        index.get(_looked_up(held, offsets), {}).pop(slot, None)
        self.open.discard(slot)
        if slot == self._active:
            self._active = self._search = None

    def encounter(self, choose: Choose) -> Match | None:
        """Draw atoms by dice and see whether they react."""
        for pool in self.all:
            if not pool.items:
                return None
        slots = [pool.drawn(choose) for pool in self.all]
        if len(slots) > 1 and len(set(slots)) < len(slots):
            return None
        self.vessel.tried(1)
        frame = self.reaction.frame(self.rule)
        for held_here, slot, position in zip(self.held, slots, self.reaction.positions, strict=True):
            held = held_here[slot]
            caught = held if position.catch is not None else next(position.ways(held, choose), None)
            if caught is None:
                return None
            frame[position.low : position.high] = caught
        if not all([_linked(step, frame) for step in self.reaction.tied]):
            return None
        test = self.reaction.test
        return Match(self, slots, frame) if test is None or test(frame) else None

    def advance(self, choose: Choose) -> Match | None:
        """Go on with the search for the atom in hand, or take up another; `None` if there is nothing and it settled."""
        if not self.held:
            match = self.encounter(choose)
            if match is None:
                self.open.discard(NO_SLOT)
            return match
        if self._search is None:
            self._active = self.open.drawn(choose)
            self._search = self._matches_with(self._active, choose)
        match = next(self._search, None)
        if match is None:
            self._settle(self._active)
            self._active = self._search = None
        return match

    def interrupt(self) -> None:
        """Give up the search in hand: its atom stays open and is taken up again, so nothing that it found is lost."""
        self._active = self._search = None

    def _settle(self, slot: int | None) -> None:
        if slot is None:
            return
        self.open.discard(slot)
        if not self.settled:
            return
        for at, held_here in enumerate(self.held):
            held = held_here.get(slot)
            if held is not None:
                self.settled[at].add(slot)
                for offsets, index in self.indexes[at].items():
                    index.setdefault(_looked_up(held, offsets), {})[slot] = None

    def _matches_with(self, slot: int, choose: Choose) -> Iterator[Match]:
        for first, held_here in enumerate(self.held):
            if slot in held_here:
                frame = self.reaction.frame(self.rule)
                yield from self._joined(self.reaction.plans[first], 0, frame, [], [slot], choose)

    def _joined(
        self, plan: tuple[Step, ...], depth: int, frame: Frame, slots: list[int], candidates: list[int], choose: Choose
    ) -> Iterator[Match]:
        """All matches that go on from `slots`; whoever fires one between two of them may take atoms away."""
        step = plan[depth]
        position: Position = self.reaction.positions[step.at]
        held_here, low, high, test, last = self.held[step.at], position.low, position.high, step.test, len(plan) - 1
        one_way, atoms = position.catch is not None, self.vessel.atoms
        self.vessel.tried(len(candidates))
        for slot in candidates:
            held = held_here.get(slot)
            if held is None or slot in slots:
                continue
            for caught in (held,) if one_way else position.ways(held, choose):
                if not one_way:
                    self.vessel.tried(1)
                frame[low:high] = caught
                if not one_way and not _linked(step, frame):
                    continue
                if test is not None and not test(frame):
                    continue
                here = [*slots, slot]
                if depth < last:
                    yield from self._joined(plan, depth + 1, frame, here, self._others(plan[depth + 1], frame), choose)
                else:
                    yield Match(self, here, frame)
                if not all(one in atoms for one in slots):
                    return
                if slot not in atoms:
                    break

    def _others(self, step: Step, frame: Frame) -> list[int]:
        """The settled atoms that may stand at the next position."""
        if not step.offsets:
            return list(self.settled[step.at].items)
        wanted = tuple([key(frame[other]) for _, other in step.links])
        return list(self.indexes[step.at][step.offsets].get(wanted, ()))


def _looked_up(held: Caught, offsets: tuple[int, ...]) -> tuple:
    return tuple([key(held[offset]) for offset in offsets])


def _linked(step: Step, frame: Frame) -> bool:
    return all(same(frame[one], frame[other]) for one, other in step.links)


class Vessel:
    """The atoms of one solution by slot, and a watch on each rule among them."""

    def __init__(self, tried: Callable[[int], None]) -> None:
        self.tried = tried
        self.atoms: dict[int, Atom] = {}
        self.watches: Pool[Watch] = Pool()
        self.busy: Pool[Watch] = Pool()
        self._watch_at: dict[int, Watch] = {}
        self._looking_for: dict[Kind, dict[Watch, None]] = {}
        self._held_by: dict[int, dict[Watch, None]] = {}
        self._kinds: dict[int, tuple[Kind, ...]] = {}
        self._next_slot = 0

    def add(self, atom: Atom) -> None:
        """Drop an atom in, whose solutions are at rest."""
        slot = self._next_slot
        self._next_slot += 1
        self.atoms[slot] = atom
        self._held_by[slot] = {}
        self._kinds[slot] = kinds = kinds_of(atom)
        for kind in kinds:
            for watch in self._looking_for.get(kind, ()):
                self._offer(watch, slot, atom, kind)
        if type(atom) is Rule:
            self._watch(slot, atom)

    def _offer(self, watch: Watch, slot: int, atom: Atom, kind: Kind) -> None:
        if watch.offer(slot, atom, kind):
            self._held_by[slot][watch] = None
            self.busy.add(watch)

    def _watch(self, slot: int, rule: Rule) -> None:
        watch = Watch(self, slot, rule)
        self._watch_at[slot] = watch
        self.watches.add(watch)
        if watch.open:
            self.busy.add(watch)
        wanted = watch.reaction.places
        for kind in wanted:
            self._looking_for.setdefault(kind, {})[watch] = None
        for other, kinds in self._kinds.items():
            for kind in kinds:
                if kind in wanted and other != slot:
                    self._offer(watch, other, self.atoms[other], kind)

    def remove(self, slot: int) -> None:
        """Take an atom out."""
        del self.atoms[slot], self._kinds[slot]
        watch = self._watch_at.pop(slot, None)
        if watch is not None:
            self.watches.discard(watch)
            self.busy.discard(watch)
            for kind in watch.reaction.places:
                del self._looking_for[kind][watch]
            for held_here in watch.held:
                for other in held_here:
                    self._held_by[other].pop(watch, None)
        for holder in self._held_by.pop(slot):
            holder.forget(slot)

    def next_match(self, choose: Choose) -> Match | None:
        """A reaction that is possible, or `None`: the solution is inert."""
        while self.busy:
            watch = self.watches.drawn(choose)
            match = watch.encounter(choose)
            if match is not None:
                return match
            watch = self.busy.drawn(choose)
            match = watch.advance(choose) if watch.open else None
            if match is not None:
                return match
            if not watch.open:
                self.busy.discard(watch)
        return None

    def interrupt(self) -> None:
        """An error broke in: what was in hand is to be searched again."""
        for watch in self.watches.items:
            watch.interrupt()

    def taken(self, match: Match) -> list[int]:
        """The slots that a reaction takes, its own rule's last if it is used up; the rest is put into its frame."""
        slots, rule_slot = list(match.slots), match.watch.slot
        reaction = match.watch.reaction
        if reaction.rest_cell is not None:
            others = [slot for slot in self.atoms if slot != rule_slot and slot not in match.slots]
            match.frame[reaction.rest_cell] = Rest([self.atoms[slot] for slot in others])
            slots += others
        return [*slots, rule_slot] if reaction.one_shot else slots

    def exchange(self, slots: list[int], products: list[Atom]) -> None:
        """Replace atoms by others; those that come back the same were never away."""
        if len(slots) * len(products) <= FEW:
            gone = [self.atoms[slot] for slot in slots]
            if not any([product in gone for product in products]):
                for slot in slots:
                    self.remove(slot)
                for atom in products:
                    self.add(atom)
                return
        borrowed: dict[tuple, list[int]] = {}
        for slot in slots:
            borrowed.setdefault(key(self.atoms[slot]), []).append(slot)
        made = []
        for atom in products:
            same_ones = borrowed.get(key(atom))
            if same_ones:
                same_ones.pop()
            else:
                made.append(atom)
        for left in borrowed.values():
            for slot in left:
                self.remove(slot)
        for atom in made:
            self.add(atom)

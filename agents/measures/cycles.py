"""Cycles: what moves between the pools of a world, measured exactly while its laws run.

A pool is where matter stays for a while: the substances of the cells, and the bodies of each kind. A cycle counts one
thing through all pools: the atoms of an element, or the molecules of water or of oxygen gas, which reactions also make
and use up. What a pool takes in and gives out is counted for every reaction, and for every way in which bodies take and
give, each by itself: two flows against each other do not cancel. What stays within a pool (a seed, a bite, water that
runs downhill) is no flow.

The residence time of a pool is its stock over what it gives out in a time, at a steady state (Schlesinger and
Bernhardt, "Biogeochemistry: An Analysis of Global Change", 3rd ed. 2013, chapter 1).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from umwelt.agents.body.interface import ALARM, AROMA, DETRITUS, MUSK, SUGAR
from umwelt.agents.earth.laws.act import TRADED, act
from umwelt.agents.earth.laws.live import live
from umwelt.agents.earth.laws.metabolism import react, reactions_of
from umwelt.agents.earth.reactions import SITES
from umwelt.agents.world_file import WorldFile
from umwelt.sandbox.audit import CELLS, matter_of
from umwelt.sandbox.chemistry import Chemistry, ReactionTable
from umwelt.sandbox.laws.react import react_in_cells, react_table
from umwelt.sandbox.region import Region
from umwelt.sandbox.step import Law

SCENTED = "sugar and scents"
POOLS = {
    "water": "soil water",
    "oxygen": "oxygen in air",
    "carbon_dioxide": "carbon dioxide in air",
    "mineral": "soil mineral",
    "sugar": SCENTED,
    "aroma": SCENTED,
    "musk": SCENTED,
    "alarm": SCENTED,
}
"""The pools of Earth's substances in cells; any other substance is a pool of its own name."""

ELEMENTS = {"C": "carbon", "H": "hydrogen", "N": "nitrogen", "O": "oxygen"}
MOLECULES = {"water": "H2O", "oxygen gas": "O2"}
"""Cycles of molecules; every substance of the same formula is of the cycle."""

GIVEN, TAKEN = "given by people", "taken by people"
EXCHANGED = tuple(substance for substance in TRADED if substance not in (DETRITUS, SUGAR))
"""What no body both gives and takes in one tick: so what each has more of afterwards it took, what it has less it gave.
Food goes one way only, from the cell; scents the other, and come from the body's sugar."""
EMITTED = {"plants": (AROMA,), "monsters": (MUSK, ALARM)}
FED = {"monsters": (DETRITUS, SUGAR)}


@dataclass(frozen=True)
class Turnover:
    """What a pool held and what went through it, in molecules or atoms as its cycle counts."""

    pool: str
    ticks: int
    stock_first: int
    stock_last: int
    stock_sum: int
    """The stocks at the starts of all ticks together."""
    inflow: int
    outflow: int

    @property
    def stock_mean(self) -> float:
        """What the pool held on average."""
        return self.stock_sum / self.ticks

    @property
    def residence_ticks(self) -> float | None:
        """How long matter stays; None where nothing left the pool."""
        return self.stock_sum / self.outflow if self.outflow else None


@dataclass(frozen=True)
class Flow:
    """What one process brought to a pool and took from it."""

    process: str
    pool: str
    inflow: int
    outflow: int


@dataclass(frozen=True)
class Cycle:
    """One thing through all pools that ever held it."""

    name: str
    unit: str
    pools: list[Turnover]
    flows: list[Flow]


def counted(chemistry: Chemistry) -> tuple[list[tuple[str, str]], np.ndarray]:
    """The cycles of a chemistry, each by name and unit, and how many of it a molecule holds, `int64[cycle, substance]`.

    Molecules first, then elements.
    """
    contents = chemistry.content.values()
    same = [[content == chemistry.parse(wanted, name) for content in contents] for name, wanted in MOLECULES.items()]
    names = [(name, "molecules") for name in MOLECULES]
    names += [(ELEMENTS.get(element, element), "atoms") for element in chemistry.elements]
    return names, np.concatenate([np.array(same, np.int64), chemistry.composition()[: len(chemistry.elements)]])


class Meter:
    """Measures the flows of a region that owns its torus, from now on.

    `world` is the region's world with each of its laws measured: run it instead, and it comes out the same, bit for
    bit. What is in the region at the start of a tick and was not at the end of the one before is the work of people.
    """

    def __init__(self, world: WorldFile, region: Region):
        chemistry = world.chemistry
        assert chemistry is not None, "a world without substances has no cycles"
        self.chemistry = chemistry
        order = tuple(replace(law, run=partial(self._run, law)) for law in world.laws)
        self.world = replace(world, laws=replace(world.laws, order=order))
        self.ticks = 0
        self._first_law = world.laws.order[0]
        self._places = [CELLS, *(name for name, table in region.tables.items() if "counts" in table)]
        of_substance = [POOLS.get(name, name.replace("_", " ")) for name in chemistry.names]
        self.pools = [*dict.fromkeys(of_substance), *self._places[1:]]
        self._pool_of = np.array([self.pools.index(name) for name in of_substance])
        self._names, self._weights = counted(chemistry)
        self._now = self._matter(region)
        self._first = self._stocks()
        self._sum = np.zeros_like(self._first)
        self._moved: dict[str, np.ndarray] = {}
        """What each process brought and took, `int64[2, pool, cycle]`."""

    def cycles(self) -> list[Cycle]:
        """What was measured until now."""
        last, nothing = self._stocks(), np.zeros((2, *self._first.shape), np.int64)
        moved = sum(self._moved.values(), nothing)
        told = self._first | last | self._sum | moved[0] | moved[1]
        found = []
        for at, (name, unit) in enumerate(self._names):
            pools = [
                Turnover(self.pools[p], self.ticks, *[int(n[p, at]) for n in (self._first, last, self._sum, *moved)])
                for p in np.flatnonzero(told[:, at])
            ]
            flows = [
                Flow(process, self.pools[p], int(both[0, p, at]), int(both[1, p, at]))
                for process, both in self._moved.items()
                for p in np.flatnonzero(both[:, :, at].any(axis=0))
            ]
            found.append(Cycle(name, unit, pools, flows))
        return found

    # --- booking

    def _matter(self, region: Region) -> np.ndarray:
        """Molecules by place and substance, `int64[place, substance]`."""
        found = matter_of(region)
        return np.stack([found[place] for place in self._places])

    def _pooled(self, matter: np.ndarray) -> np.ndarray:
        """The same by pool and cycle, `int64[pool, cycle]`."""
        by_pool = np.zeros((len(self.pools), matter.shape[1]), np.int64)
        by_pool[self._pool_of, np.arange(matter.shape[1])] = matter[0]
        by_pool[len(self.pools) - len(matter) + 1 :] = matter[1:]
        return by_pool @ self._weights.T

    def _stocks(self) -> np.ndarray:
        return self._pooled(self._now)

    def _book(self, process: str, change: np.ndarray) -> None:
        """Book a change of matter by place and substance."""
        if not change.any():
            return
        net = self._pooled(change)
        both = self._moved.setdefault(process, np.zeros((2, *net.shape), np.int64))
        both[0] += np.maximum(net, 0)
        both[1] -= np.minimum(net, 0)

    def _settle(self, region: Region, process: str) -> None:
        """Book all that changed since the last time."""
        found = self._matter(region)
        self._book(process, found - self._now)
        self._now = found

    # --- the laws, measured

    def _run(self, law: Law, region: Region) -> None:
        """Run a law and book what it moved."""
        if law is self._first_law:
            self._begin(region)
        if law.run is react:
            self._react(region)
        elif law.run is act:
            self._act(region)
        else:
            law.run(region)
            self._settle(region, "sweat and death" if law.run is live else law.name)

    def _begin(self, region: Region) -> None:
        """A tick begins: book what people did, and count the stocks."""
        found = self._matter(region)
        self._book(GIVEN, np.maximum(found - self._now, 0))
        self._book(TAKEN, np.minimum(found - self._now, 0))
        self._now = found
        self._sum += self._stocks()
        self.ticks += 1

    def _react(self, region: Region) -> None:
        """React, one reaction everywhere before the next.

        Reactions of a cell or body see only that one, in the order of the table, by dice that know no order: so this
        comes out as when each place has all its reactions at once.
        """
        environment = region.scratch("environment", "int16", 4)
        for place, site in enumerate(SITES):
            if place:
                region.index(site)  # drops who strayed: from here on rows stay where they are
                owned = region.owned_rows(site).astype(np.int64)
            for name, one, parts in self._reactions(region, site):
                if place:
                    react_table(region, site, one)
                    found = owned @ region.tables[site]["counts"][:, parts]
                else:
                    region.run(react_in_cells, one, region.fields["substance"], environment)
                    found = region.owned_view("substance")[parts].sum(axis=(1, 2), dtype=np.int64)
                change = np.zeros_like(self._now)
                change[place, parts] = found - self._now[place, parts]
                self._now += change
                self._book(name, change)

    def _reactions(self, region: Region, site: str) -> Iterator[tuple[str, ReactionTable, list[int]]]:
        """Each reaction of a site by itself: its name, its table, and the substances that it changes."""
        table = reactions_of(region, site)
        chosen = [reaction for reaction in self.chemistry.reactions if reaction.site == site]
        for r, reaction in enumerate(chosen):
            left, right = self.chemistry.sides(reaction)
            parts = sorted({self.chemistry.index(name) for name in [*left, *right]})
            yield reaction.name, ReactionTable(*[column[r : r + 1] for column in table]), parts

    def _act(self, region: Region) -> None:
        """Act: what bodies gave to their cells and took from them, and what grazers took from plants."""
        kinds = self._places[1:]
        for kind in kinds:
            region.index(kind)
        owned = {kind: region.owned_rows(kind) for kind in kinds}

        def held(kind: str) -> np.ndarray:
            return region.tables[kind]["counts"][owned[kind]].astype(np.int64)

        before = {kind: held(kind) for kind in kinds}
        act(region)
        found = self._matter(region)
        rest = found - self._now
        cells = rest[0].copy()

        def book(process: str, place: int, gained: Any, from_cell: Any) -> None:
            change = np.zeros_like(rest)
            for substance, amount in gained:
                change[place, substance] += amount
            for substance, amount in from_cell:
                change[0, substance] -= amount
            rest[:] -= change
            self._book(f"{process} by {kinds[place - 1]}", change)

        for place, kind in enumerate(kinds, 1):
            delta = held(kind) - before[kind]
            for process, part in (("uptake", np.maximum(delta, 0)), ("giving off", np.minimum(delta, 0))):
                moved = [(substance, part[:, substance].sum()) for substance in EXCHANGED]
                book(process, place, moved, moved)
            eaten = [(substance, -cells[substance]) for substance in FED.get(kind, ())]
            book("feeding on the ground", place, eaten, eaten)
            emitted = [(scent, -cells[scent]) for scent in EMITTED.get(kind, ())]
            book("scents", place, [(SUGAR, amount) for _, amount in emitted], emitted)
        self._book("grazing", rest)
        self._now = found

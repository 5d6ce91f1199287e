"""Cycles of matter: flows between the pools of a world, counted exactly while its laws run.

A *pool* is a store of matter: a substance in all cells (or several together), or all bodies of a table. A *cycle*
counts one kind of particle in all pools: the atoms of an element, or the molecules of water or of oxygen gas, which
reactions also create and consume. Inflow and outflow of a pool are counted separately for every reaction and for every
process by which bodies exchange matter with cells and each other, so that flows in opposite directions do not cancel.
Movement within a pool (seeds, bites, water that runs downhill) is not a flow.

The residence time of a pool is its stock divided by its outflow for each tick, at a steady state (Schlesinger and
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
"""The pool of sugar and of the scents, which are made of sugar."""
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
"""The pool of each of these substances in cells; any other substance has a pool of the same name."""

ELEMENTS = {"C": "carbon", "H": "hydrogen", "N": "nitrogen", "O": "oxygen"}
MOLECULES = {"water": "H2O", "oxygen gas": "O2"}
"""The formula of each cycle of molecules; every substance with that formula is part of the cycle."""

GIVEN, TAKEN = "given by people", "taken by people"
"""The names of the two processes by which commands add matter to a world and remove matter from it."""
ENVIRONMENT_LAYERS = 4
"""The number of planes of a region's scratch array "environment", which holds the catalysts of reactions in cells."""
EXCHANGED = tuple(substance for substance in TRADED if substance not in (DETRITUS, SUGAR))
"""Substances of which no body both gives off and takes up molecules in one tick.

The change of a body's count is therefore what it took from its cell (if positive) or gave to it (if negative). Food and
scents are excluded: food moves only from cell to body, and scents move only from body to cell and are made of the
body's sugar.
"""
EMITTED = {"plants": (AROMA,), "monsters": (MUSK, ALARM)}
"""The scents that bodies of each table emit."""
FED = {"monsters": (DETRITUS, SUGAR)}
"""The food that bodies of each table take from their cell."""


@dataclass(frozen=True)
class Turnover:
    """Stocks and total flows of one pool during `ticks` ticks, in the unit of the cycle (atoms or molecules)."""

    pool: str
    ticks: int
    stock_first: int
    stock_last: int
    stock_sum: int
    """The sum over all ticks of the stock at the start of the tick."""
    inflow: int
    outflow: int

    @property
    def stock_mean(self) -> float:
        """The mean over all ticks of the stock at the start of the tick."""
        return self.stock_sum / self.ticks

    @property
    def residence_ticks(self) -> float | None:
        """The residence time: mean stock divided by outflow per tick; None without outflow."""
        return self.stock_sum / self.outflow if self.outflow else None


@dataclass(frozen=True)
class Flow:
    """The totals that one process added to a pool (`inflow`) and removed from it (`outflow`)."""

    process: str
    pool: str
    inflow: int
    outflow: int


@dataclass(frozen=True)
class Cycle:
    """The counts of one cycle in all pools that took part in it; `unit` is "atoms" or "molecules"."""

    name: str
    unit: str
    pools: list[Turnover]
    flows: list[Flow]


def cycle_weights(chemistry: Chemistry) -> tuple[list[tuple[str, str]], np.ndarray]:
    """Returns the cycles of a chemistry, pairs (name, unit), and their weights, `int64[cycles, substances]`.

    Cycles of molecules come before cycles of elements. The weight is the number of units of the cycle in one molecule
    of the substance.
    """
    contents = chemistry.content.values()
    same = [[content == chemistry.parse(formula, name) for content in contents] for name, formula in MOLECULES.items()]
    names = [(name, "molecules") for name in MOLECULES]
    names += [(ELEMENTS.get(element, element), "atoms") for element in chemistry.elements]
    return names, np.concatenate([np.array(same, np.int64), chemistry.composition()[: len(chemistry.elements)]])


class CycleMeter:
    """Counts all flows of matter in a region that owns the full torus, from the creation of the meter on.

    The attribute `world` is a copy of the world file in which each law is wrapped to count what it moves. Run the
    region with this copy; the states remain the same, bit for bit. Changes between the end of a tick and the start of
    the next are attributed to commands (the processes "given by people" and "taken by people"). `cycles` returns the
    counts.

    In the private methods, a *place* is all cells (index 0) or the bodies of one table.
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
        pools = [POOLS.get(name, name.replace("_", " ")) for name in chemistry.names]
        self.pools = [*dict.fromkeys(pools), *self._places[1:]]
        self._pool_of = np.array([self.pools.index(name) for name in pools])
        self._names, self._weights = cycle_weights(chemistry)
        self._matter = self._count_matter(region)
        self._first = self._stocks()
        self._sum = np.zeros_like(self._first)
        self._flows: dict[str, np.ndarray] = {}
        """The flows by name of process: `int64[2, pools, cycles]`, inflow and outflow."""

    def cycles(self) -> list[Cycle]:
        """Returns the cycles, with the stocks and flows of each that were counted so far."""
        last, nothing = self._stocks(), np.zeros((2, *self._first.shape), np.int64)
        inflow, outflow = sum(self._flows.values(), nothing)
        is_used = self._first | last | self._sum | inflow | outflow
        cycles = []
        for cycle, (name, unit) in enumerate(self._names):
            numbers = (self._first, last, self._sum, inflow, outflow)
            pools = [
                Turnover(self.pools[pool], self.ticks, *[int(counts[pool, cycle]) for counts in numbers])
                for pool in np.flatnonzero(is_used[:, cycle])
            ]
            flows = [
                Flow(process, self.pools[pool], int(both[0, pool, cycle]), int(both[1, pool, cycle]))
                for process, both in self._flows.items()
                for pool in np.flatnonzero(both[:, :, cycle].any(axis=0))
            ]
            cycles.append(Cycle(name, unit, pools, flows))
        return cycles

    # --- counting

    def _count_matter(self, region: Region) -> np.ndarray:
        """Counts the molecules in cells and in the bodies of each table, `int64[places, substances]`."""
        matter = matter_of(region)
        return np.stack([matter[place] for place in self._places])

    def _by_pool(self, matter: np.ndarray) -> np.ndarray:
        """Converts molecules (`int64[places, substances]`) to units of the cycles by pool, `int64[pools, cycles]`."""
        by_pool = np.zeros((len(self.pools), matter.shape[1]), np.int64)
        by_pool[self._pool_of, np.arange(matter.shape[1])] = matter[0]
        by_pool[len(self.pools) - len(matter) + 1 :] = matter[1:]
        weighed: np.ndarray = by_pool @ self._weights.T
        return weighed

    def _stocks(self) -> np.ndarray:
        """Returns the contents of the pools at the last count, `int64[pools, cycles]`."""
        return self._by_pool(self._matter)

    def _book(self, process: str, change: np.ndarray) -> None:
        """Adds a change of molecules (`int64[places, substances]`) to the flows of `process`."""
        if not change.any():
            return
        net = self._by_pool(change)
        both = self._flows.setdefault(process, np.zeros((2, *net.shape), np.int64))
        both[0] += np.maximum(net, 0)
        both[1] -= np.minimum(net, 0)

    def _book_rest(self, region: Region, process: str) -> None:
        """Counts the matter again, and adds all changes since the last count to the flows of `process`."""
        matter = self._count_matter(region)
        self._book(process, matter - self._matter)
        self._matter = matter

    # --- running the laws

    def _run(self, law: Law, region: Region) -> None:
        """Runs a law on the region and adds the matter that it moved to the flows."""
        if law is self._first_law:
            self._begin_tick(region)
        if law.run is react:
            self._react(region)
        elif law.run is act:
            self._act(region)
        else:
            law.run(region)
            self._book_rest(region, "sweat and death" if law.run is live else law.name)

    def _begin_tick(self, region: Region) -> None:
        """Adds changes since the end of the last tick to the flows of commands, and adds the stocks to their sum."""
        matter = self._count_matter(region)
        self._book(GIVEN, np.maximum(matter - self._matter, 0))
        self._book(TAKEN, np.minimum(matter - self._matter, 0))
        self._matter = matter
        self._sum += self._stocks()
        self.ticks += 1

    def _react(self, region: Region) -> None:
        """Runs the law `react` one reaction at a time, and adds what each reaction changed to its flows.

        Each reaction runs in all cells or bodies before the next one does. A reaction changes only its own cell or
        body, the order within a cell or body is that of the table, and dice do not depend on the order of computation.
        The result therefore equals that of running all reactions of one cell or body after another.
        """
        environment = region.scratch("environment", "int16", ENVIRONMENT_LAYERS)
        for place, site in enumerate(SITES):
            if place:
                region.index(site)  # removes beings outside the window; after that, rows do not move
                owned = region.owned_rows(site).astype(np.int64)
            for name, table, substances in self._reactions(region, site):
                if place:
                    react_table(region, site, table)
                    counts = owned @ region.tables[site]["counts"][:, substances]
                else:
                    region.run(react_in_cells, table, region.fields["substance"], environment)
                    counts = region.owned_view("substance")[substances].sum(axis=(1, 2), dtype=np.int64)
                change = np.zeros_like(self._matter)
                change[place, substances] = counts - self._matter[place, substances]
                self._matter += change
                self._book(name, change)

    def _reactions(self, region: Region, site: str) -> Iterator[tuple[str, ReactionTable, list[int]]]:
        """Yields for each reaction of a site its name, a table of only that reaction, and indices of its substances."""
        table = reactions_of(region, site)
        reactions = [reaction for reaction in self.chemistry.reactions if reaction.site == site]
        for row, reaction in enumerate(reactions):
            left, right = self.chemistry.sides(reaction)
            substances = sorted({self.chemistry.index(name) for name in [*left, *right]})
            yield reaction.name, ReactionTable(*[column[row : row + 1] for column in table]), substances

    def _act(self, region: Region) -> None:
        """Runs the law `act`, and adds exchange between bodies and cells, feeding, scents and grazing to the flows."""
        kinds = self._places[1:]
        for kind in kinds:
            region.index(kind)
        owned = {kind: region.owned_rows(kind) for kind in kinds}

        def counts_of(kind: str) -> np.ndarray:
            """Returns the molecules in the bodies of a table, `int64[beings, substances]`."""
            counts: np.ndarray = region.tables[kind]["counts"][owned[kind]].astype(np.int64)
            return counts

        before = {kind: counts_of(kind) for kind in kinds}
        act(region)
        matter = self._count_matter(region)
        rest = matter - self._matter
        cell_change = rest[0].copy()

        def book(process: str, place: int, gained: Any, from_cell: Any) -> None:
            """Adds one process to the flows and subtracts it from `rest`.

            `gained` and `from_cell` are pairs of a substance's index and the molecules that the bodies gained, and that
            they took from their cells.
            """
            change = np.zeros_like(rest)
            for substance, amount in gained:
                change[place, substance] += amount
            for substance, amount in from_cell:
                change[0, substance] -= amount
            rest[:] -= change
            self._book(f"{process} by {kinds[place - 1]}", change)

        for place, kind in enumerate(kinds, 1):
            delta = counts_of(kind) - before[kind]
            for process, part in (("uptake", np.maximum(delta, 0)), ("giving off", np.minimum(delta, 0))):
                moved = [(substance, part[:, substance].sum()) for substance in EXCHANGED]
                book(process, place, moved, moved)
            eaten = [(substance, -cell_change[substance]) for substance in FED.get(kind, ())]
            book("feeding on the ground", place, eaten, eaten)
            emitted = [(scent, -cell_change[scent]) for scent in EMITTED.get(kind, ())]
            book("scents", place, [(SUGAR, amount) for _, amount in emitted], emitted)
        self._book("grazing", rest)
        self._matter = matter

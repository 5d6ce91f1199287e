"""Audits a run: checks that its world is closed (neither gains nor loses matter, except by commands), and measures how
fast matter cycles in it. Does not change the run.

To check closure, the atoms of each element are counted in every kept snapshot and at every journalled tick, and
compared with the first count plus what journalled commands added. To measure cycles, the run is continued in memory
from its last undamaged snapshot, and every flow between *pools* (stores of matter, such as the soil's water or all
bodies of a table) is measured (`agents/measures/cycles.py`).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from heapq import merge
from operator import itemgetter

import numpy as np

from umwelt.agents import commands
from umwelt.agents.measures.cycles import Cycle, CycleMeter
from umwelt.agents.measures.matter_budget import MatterBudget
from umwelt.agents.open_world import torus_of
from umwelt.agents.world_file import WorldFile
from umwelt.cluster.run.journal import Journal, damaged
from umwelt.cluster.run.replay import Replay, read_journalled_commands, restore_region
from umwelt.cluster.run.store import Entry, Store
from umwelt.cluster.wire.protocol import ScheduledCommand
from umwelt.sandbox.chemistry import CHARGE, Chemistry
from umwelt.sandbox.errors import RunError, SnapshotError
from umwelt.sandbox.laws.weather import climate_of

Moment = tuple[int, str, dict[str, int]]
"""A count: tick, name of the snapshot ("" for the journal), and atoms by element, including charge if there is any."""


@dataclass
class ClosureResult:
    """The result of checking that a world neither gained nor lost atoms, except by commands."""

    first_tick: int = 0
    last_tick: int = 0
    snapshots: int = 0
    """Number of snapshots whose atoms were counted."""
    moments: int = 0
    """Number of journalled ticks whose atoms were counted."""
    atoms: dict[str, int] = field(default_factory=dict)
    """Atoms by element at the last counted tick."""
    damaged: list[str] = field(default_factory=list)
    """One message for each kept snapshot that cannot be read."""
    touched_tick: int | None = None
    """The first tick at which a command added or removed matter, or None."""
    open_tick: int | None = None
    """The first tick at which a command added or removed an amount that the journal does not record, or None."""
    differs_tick: int | None = None
    """The first tick at which a count differs from the expected one; None if all counts match."""
    differs_element: str = ""
    """The element whose count differs at that tick; empty if all counts match."""
    line: str = ""
    """A message that describes the first difference; empty if there is none."""

    @property
    def closed(self) -> bool:
        """Whether every snapshot could be counted and all counts match."""
        return self.differs_tick is None and not self.damaged


@dataclass
class CycleResult:
    """The cycles of matter over a number of ticks: every cycle with its pools and flows."""

    from_tick: int
    ticks: int
    day_ticks: int
    """Length of a day in ticks; 0 for a world without days."""
    cycles: list[Cycle]
    passed_over: list[str]
    """One message for each snapshot that was skipped as unusable."""


def check_closure(store: Store, world: WorldFile) -> ClosureResult:
    """Counts the atoms in a run's kept snapshots and at its journalled ticks, and stops at the first difference."""
    chemistry = world.chemistry
    assert chemistry is not None, "a world without substances has no atoms to count"
    result = ClosureResult()
    journal = Journal.reading(store.journal)
    try:
        due = sorted(
            (command for _, command in journal.history.commands()), key=lambda command: (command.tick, command.number)
        )
        snapshot_counts = _count_snapshots(store, world, chemistry, result)
        moments = merge(snapshot_counts, _count_journal(journal, chemistry), key=itemgetter(0))
        budget, entered = None, 0
        for tick, snapshot_name, atoms in moments:
            if budget is None:
                budget, result.first_tick = MatterBudget(chemistry, torus_of(world), atoms), tick
                entered = sum(command.tick < tick for command in due)
            entered = _enter_commands(budget, due, entered, tick)
            element = budget.compare(atoms)
            if element is not None:
                result.differs_tick, result.differs_element = tick, element
                result.line = _difference_line(budget, result, tick, snapshot_name, element, atoms[element])
                break
            result.last_tick, result.atoms = tick, atoms
            if snapshot_name:
                result.snapshots += 1
            else:
                result.moments += 1
        if budget is None:
            raise store.no_snapshot_error(result.damaged)
        result.touched_tick, result.open_tick = budget.touched_tick, budget.open_tick
    finally:
        journal.close()
    return result


def _enter_commands(budget: MatterBudget, due: Sequence[ScheduledCommand], entered: int, tick: int) -> int:
    """Adds the matter that commands before `tick` add or remove to `budget`, which holds the expected numbers of atoms.

    Begins with the command at index `entered` of `due`; returns the index of the next command.
    """
    while entered < len(due) and due[entered].tick < tick:
        budget.record(due[entered].tick, commands.decode(due[entered].content))
        entered += 1
    return entered


def _difference_line(
    budget: MatterBudget, result: ClosureResult, tick: int, snapshot_name: str, element: str, count: int
) -> str:
    """Returns the message for an element of which `count` atoms were found instead of the number in `budget`."""
    low, high = budget.min_atoms[element], budget.max_atoms[element]
    expected = f"{high:,}" if low == high else f"{low:,} to {high:,}"
    amount = f"a charge of {count:,}" if element == CHARGE else f"{count:,} atoms of {element}"
    touched = budget.touched_tick
    commands = "" if touched is None else f" and of the commands from tick {touched:,} on"
    place = snapshot_name or "the journal"
    return f"tick {tick:,}: {amount} in {place}, not the {expected} of tick {result.first_tick:,}{commands}"


def _count_snapshots(store: Store, world: WorldFile, chemistry: Chemistry, result: ClosureResult) -> Iterator[Moment]:
    """Yields the counts of the kept snapshots in order of ticks.

    Adds a message to `result.damaged` for each snapshot that cannot be read.
    """
    layout = world.laws.layout(world)
    for tick in store.ticks():
        entry = Entry(tick, True)
        try:
            pieces = store.load(entry, layout).pieces
        except SnapshotError as error:
            result.damaged.append(str(error))
            continue
        molecules = np.zeros(len(chemistry.names), np.int64)
        for piece in pieces:
            molecules += piece.fields["substance"].sum(axis=(1, 2), dtype=np.int64)
            for columns in piece.tables.values():
                if "counts" in columns:
                    molecules += columns["counts"].sum(axis=0, dtype=np.int64)
        yield tick, entry.name, _atoms(chemistry, molecules.tolist())


def _count_journal(journal: Journal, chemistry: Chemistry) -> Iterator[Moment]:
    """Yields the counts of the journalled ticks in order."""
    for metrics in journal.history.metrics():
        if set(metrics.substances) != set(chemistry.names):
            raise damaged(journal.path, ValueError(f"tick {metrics.tick}: its substances are not those of the world"))
        yield metrics.tick, "", _atoms(chemistry, [metrics.substances[name] for name in chemistry.names])


def _atoms(chemistry: Chemistry, molecules: list[int]) -> dict[str, int]:
    """Returns the atoms by element in `molecules`, which are numbers of molecules in the order of the substances."""
    amounts = np.array(molecules, object) @ chemistry.composition().T.astype(object)
    return dict(zip(chemistry.conserved, amounts.tolist(), strict=True))


def measure_cycles(
    store: Store, ticks: int | None = None, seen: Callable[[int, int], None] = lambda tick, last: None
) -> CycleResult:
    """Continues a run in memory from its last undamaged snapshot, and measures all flows of matter.

    The number of ticks is `ticks`, by default one day. Calls `seen(tick, last_tick)` after each tick, to report
    progress. Raises `RunError` if `ticks` is None and the world has no days.
    """
    world, region, skipped = restore_region(store)
    if "climate" not in region.constants and ticks is None:
        raise RunError(f"--ticks: the laws of {world.laws.name} have no day: say how many ticks to measure")
    day_ticks = climate_of(region).day_ticks if "climate" in region.constants else 0
    meter = CycleMeter(world, region)
    replay = Replay(meter.world, region, read_journalled_commands(store, region.tick))
    first_tick = region.tick
    last_tick = first_tick + (ticks or day_ticks)
    while region.tick < last_tick:
        replay.step()
        seen(region.tick, last_tick)
    return CycleResult(first_tick, last_tick - first_tick, day_ticks, meter.cycles(), skipped)

"""The audit of a run: is its world closed, and how fast does matter go round in it? The run stays as it is.

Closed: the atoms of each element are counted in every kept snapshot and in every journalled moment, and compared with
those of the first one and what journalled commands added. Cycles: the run is carried on in memory from its last good
snapshot, and every flow between pools is measured (`agents/measures/cycles.py`).
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
"""A tick, where its matter was counted, and the atoms of each element (and the charge, where a world has such)."""


@dataclass
class ClosureResult:
    """Whether a world kept its atoms."""

    first_tick: int = 0
    last_tick: int = 0
    snapshots: int = 0
    moments: int = 0
    """Journalled moments that were counted."""
    atoms: dict[str, int] = field(default_factory=dict)
    """At the last tick that was counted."""
    damaged: list[str] = field(default_factory=list)
    """A line for each kept snapshot that cannot be counted."""
    touched_tick: int | None = None
    """When people first added or took matter."""
    open_tick: int | None = None
    """When they first did so in an amount that the journal does not tell."""
    differs_tick: int | None = None
    differs_element: str = ""
    line: str = ""

    @property
    def closed(self) -> bool:
        """Whether everything could be counted and nothing differs."""
        return self.differs_tick is None and not self.damaged


@dataclass
class CycleResult:
    """How matter went round: all cycles, measured over `ticks` from a tick on."""

    from_tick: int
    ticks: int
    day_ticks: int
    """0 where a world knows no day."""
    cycles: list[Cycle]
    passed_over: list[str]
    """A line for each snapshot that could not be used."""


def check_closure(store: Store, world: WorldFile) -> ClosureResult:
    """Count the atoms of a run's kept snapshots and journalled moments; the first difference ends it."""
    chemistry = world.chemistry
    assert chemistry is not None, "a world without substances has no atoms to count"
    result = ClosureResult()
    journal = Journal.reading(store.journal)
    try:
        due = sorted((command for _, command in journal.commands()), key=lambda command: (command.tick, command.number))
        moments = merge(_kept(store, world, chemistry, result), _journalled(journal, chemistry), key=itemgetter(0))
        ledger, entered = None, 0
        for tick, where, atoms in moments:
            if ledger is None:
                ledger, result.first_tick = MatterBudget(chemistry, torus_of(world), atoms), tick
                entered = sum(command.tick < tick for command in due)
            entered = _enter(ledger, due, entered, tick)
            element = ledger.compare(atoms)
            if element is not None:
                result.differs_tick, result.differs_element = tick, element
                result.line = _difference(ledger, result, tick, where, element, atoms[element])
                break
            result.last_tick, result.atoms = tick, atoms
            if where:
                result.snapshots += 1
            else:
                result.moments += 1
        if ledger is None:
            raise store.no_snapshot_error(result.damaged)
        result.touched_tick, result.open_tick = ledger.touched_tick, ledger.open_tick
    finally:
        journal.close()
    return result


def _enter(ledger: MatterBudget, due: Sequence[ScheduledCommand], entered: int, tick: int) -> int:
    """Enter the commands in force before a tick was counted; gives how many are entered."""
    while entered < len(due) and due[entered].tick < tick:
        ledger.record(due[entered].tick, commands.decode(due[entered].content))
        entered += 1
    return entered


def _difference(ledger: MatterBudget, result: ClosureResult, tick: int, where: str, element: str, found: int) -> str:
    least, most = ledger.min_atoms[element], ledger.max_atoms[element]
    wanted = f"{most:,}" if least == most else f"{least:,} to {most:,}"
    what = f"a charge of {found:,}" if element == CHARGE else f"{found:,} atoms of {element}"
    told = "" if ledger.touched_tick is None else f" and of what people did from tick {ledger.touched_tick:,} on"
    return f"tick {tick:,}: {what} in {where or 'the journal'}, not the {wanted} of tick {result.first_tick:,}{told}"


def _kept(store: Store, world: WorldFile, chemistry: Chemistry, result: ClosureResult) -> Iterator[Moment]:
    """What the kept snapshots hold, in order; those that cannot be read are noted."""
    layout = world.laws.layout(world)
    for tick in store.ticks():
        entry = Entry(tick, True)
        try:
            pieces = store.load(entry, layout).pieces
        except SnapshotError as error:
            result.damaged.append(str(error))
            continue
        total = np.zeros(len(chemistry.names), np.int64)
        for piece in pieces:
            total += piece.fields["substance"].sum(axis=(1, 2), dtype=np.int64)
            for columns in piece.tables.values():
                if "counts" in columns:
                    total += columns["counts"].sum(axis=0, dtype=np.int64)
        yield tick, entry.name, _atoms(chemistry, total.tolist())


def _journalled(journal: Journal, chemistry: Chemistry) -> Iterator[Moment]:
    """What the journal says was there, in order."""
    for metrics in journal.metrics():
        if set(metrics.substances) != set(chemistry.names):
            raise damaged(journal.path, ValueError(f"tick {metrics.tick}: its substances are not those of the world"))
        yield metrics.tick, "", _atoms(chemistry, [metrics.substances[name] for name in chemistry.names])


def _atoms(chemistry: Chemistry, molecules: list[int]) -> dict[str, int]:
    amounts = np.array(molecules, object) @ chemistry.composition().T.astype(object)
    return dict(zip(chemistry.conserved, amounts.tolist(), strict=True))


def measure_cycles(
    store: Store, ticks: int | None = None, seen: Callable[[int, int], None] = lambda tick, last: None
) -> CycleResult:
    """Carry a run on in memory from its last good snapshot, a day unless told otherwise, and measure all flows.

    `seen` is told each tick and the last one.
    """
    world, region, passed_over = restore_region(store)
    if "climate" not in region.constants and ticks is None:
        raise RunError(f"--ticks: the laws of {world.laws.name} know no day: say how many ticks to measure")
    day_ticks = climate_of(region).day_ticks if "climate" in region.constants else 0
    meter = CycleMeter(world, region)
    going = Replay(meter.world, region, read_journalled_commands(store, region.tick))
    first = region.tick
    last = first + (ticks or day_ticks)
    while region.tick < last:
        going.step()
        seen(region.tick, last)
    return CycleResult(first, last - first, day_ticks, meter.cycles(), passed_over)

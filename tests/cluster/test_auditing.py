"""The audit of a run: it finds a single wrong molecule, accounts for commands, and writes nothing."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_runs import open_run, small_run, small_world

from umwelt.agents import commands
from umwelt.agents.commands import Command as Done
from umwelt.agents.commands.drop import Drop
from umwelt.agents.commands.paint import Paint
from umwelt.agents.commands.rain import Rain
from umwelt.agents.commands.rate import compose_rate
from umwelt.agents.commands.spawn import compose_founder
from umwelt.agents.commands.wound import Wound
from umwelt.agents.measures.cycles import GIVEN, TAKEN
from umwelt.cluster.run.audit import check_closure, measure_cycles
from umwelt.cluster.run.journal import Journal
from umwelt.cluster.run.replay import read_run_world, restore_region
from umwelt.cluster.run.store import Store
from umwelt.cluster.wire.protocol import ScheduledCommand
from umwelt.sandbox import audit, snapshot
from umwelt.sandbox.errors import RunError

DAY_TICKS = 60


@pytest.fixture(scope="module")
def kept(tmp_path_factory) -> Path:
    """A run with snapshots at ticks 0, 16 and 24, and journalled metrics every 8 ticks until 40."""
    folder = small_run(tmp_path_factory.mktemp("runs") / "small-1", 16, 24).folder
    with open_run(folder) as runner:
        runner.go(40)
    return folder


@pytest.fixture
def store(kept, tmp_path) -> Store:
    return Store(Path(shutil.copytree(kept, tmp_path / "small-1")))


def found(store: Store):
    """Returns the result of the audit of a run."""
    return check_closure(store, read_run_world(store))


def tampered(store: Store, tick: int, substance: str, count: int) -> None:
    """Add molecules to a kept snapshot and write it again, with a correct digest and hashes."""
    world, region, _ = restore_region(store, tick)
    plane = region.owned_view(substance)
    plane[np.unravel_index(plane.argmax(), plane.shape)] += count
    shutil.rmtree(store.path(tick))
    snapshot.save(store.path(tick), region, world.text, world.name)


def enter(store: Store, *done: tuple[int, Done]) -> None:
    """Journal commands at ticks that the run has not reached yet."""
    journal = Journal(store.journal)
    journal.enter_commands(
        "t", [ScheduledCommand(tick, at, commands.encode(command)) for at, (tick, command) in enumerate(done, 1)]
    )
    journal.close()


def files(folder: Path) -> dict[str, bytes]:
    """Returns the contents of all files in a folder, except for SQLite's temporary files."""
    return {
        str(path): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.endswith(("-shm", "-wal"))
    }


def test_an_audit_finds_a_run_closed_measures_its_cycles_and_writes_nothing(store):
    before = files(store.folder)
    closed, seen = found(store), []
    went = measure_cycles(store, None, lambda tick, last: seen.append((tick, last)))
    assert files(store.folder) == before
    assert closed.closed and (closed.snapshots, closed.moments) == (3, 6) and closed.last_tick == 40
    assert closed.touched_tick is None and closed.line == "" and set(closed.atoms) == {"C", "H", "N", "O"}
    assert (went.from_tick, went.ticks, went.day_ticks) == (24, DAY_TICKS, DAY_TICKS)
    assert seen == [(tick, 24 + DAY_TICKS) for tick in range(25, 25 + DAY_TICKS)]
    for cycle in went.cycles:
        for pool in cycle.pools:
            assert pool.ticks == DAY_TICKS and pool.inflow - pool.outflow == pool.stock_last - pool.stock_first
    world, region, _ = restore_region(store)
    carbon = next(cycle for cycle in went.cycles if cycle.name == "carbon")
    atoms = audit.element_totals(audit.substance_totals(region, world.chemistry), world.chemistry)
    assert sum(pool.stock_first for pool in carbon.pools) == sum(pool.stock_last for pool in carbon.pools) == atoms["C"]
    assert atoms == closed.atoms


@pytest.mark.parametrize(("tick", "count"), [(16, 1), (24, -1)])
@pytest.mark.parametrize(
    ("substance", "element", "atoms"), [("mineral", "N", 1), ("oxygen", "O", 2), ("detritus", "C", 4)]
)
def test_a_snapshot_with_one_molecule_more_or_less_is_found(store, tick, count, substance, element, atoms):
    wanted = found(store).atoms[element]
    tampered(store, tick, substance, count)
    told = found(store)
    assert not told.closed and (told.differs_tick, told.differs_element) == (tick, element)
    where = f"in tick-{tick:012d}, not the {wanted:,} of tick 0"
    assert told.line == f"tick {tick}: {wanted + count * atoms:,} atoms of {element} {where}"
    assert told.last_tick <= tick


def test_a_journalled_moment_that_lost_a_molecule_is_found(store):
    journal = Journal(store.journal)
    last = list(journal.history.metrics())[-1]
    substances = dict(last.substances) | {"mineral": last.substances["mineral"] - 1}
    journal.enter(replace(last, tick=44, substances=substances), 7)
    journal.close()
    told = found(store)
    assert (told.differs_tick, told.differs_element, told.last_tick) == (44, "N", 40) and "in the journal" in told.line


def test_moments_of_other_substances_are_one_line(store):
    journal = Journal(store.journal)
    last = list(journal.history.metrics())[-1]
    journal.enter(replace(last, tick=44, substances={"gold": 3}), 7)
    journal.close()
    with pytest.raises(RunError, match="damaged: tick 44: its substances are not those"):
        found(store)


def test_a_damaged_snapshot_is_named_and_the_others_are_counted(store):
    cells = store.path(24) / "part-0-0" / "cells" / "substance" / "c"
    chunk = next(file for file in cells.rglob("*") if file.is_file())
    chunk.write_bytes(chunk.read_bytes()[:-9])
    told = found(store)
    assert not told.closed and told.differs_tick is None and (told.snapshots, told.moments) == (2, 6)
    assert len(told.damaged) == 1 and "tick-000000000024: damaged" in told.damaged[0]
    went = measure_cycles(store, 5)
    assert went.from_tick == 16 and went.passed_over == [f"{told.damaged[0]}: skipped"]


def test_a_run_without_its_journal_says_so(store):
    world = read_run_world(store)
    store.journal.unlink()
    with pytest.raises(RunError, match=r"journal\.sqlite: is missing"):
        check_closure(store, world)


def test_dropped_and_spawned_matter_is_accounted_for_exactly(tmp_path):
    store = small_run(tmp_path / "run")
    world = small_world()
    enter(
        store,
        (3, Drop(1, 2, "mineral", 40)),
        (5, Rain(39, 0, 4, 70)),
        (8, compose_founder(world, "grazer", 7, 7)),
        (9, Wound(1, 3)),
        (12, compose_rate(world, "decay", 0.5)),
    )
    with open_run(store.folder) as runner:
        runner.go(16)
        runner.save()
    told = found(store)
    assert told.closed and (told.touched_tick, told.open_tick) == (3, None) and told.last_tick == 16
    tampered(store, 16, "mineral", 1)
    told = found(store)
    assert told.differs_tick == 16 and told.line.endswith("of tick 0 and of the commands from tick 3 on")


def test_commands_of_unknown_amount_are_reported_and_later_ticks_compared_with_the_next_count(tmp_path):
    store = small_run(tmp_path / "run")
    enter(store, (3, Drop(1, 2, "mineral", 40)), (10, Paint(0, 0, 9, 9, "mineral", 3)))
    with open_run(store.folder) as runner:
        runner.go(24)
        runner.save()
    told = found(store)
    assert told.closed and (told.touched_tick, told.open_tick) == (3, 10)
    tampered(store, 24, "mineral", 1)
    assert (found(store).differs_tick, found(store).differs_element) == (24, "N")


def test_commands_after_the_last_snapshot_are_replayed_and_measured_as_given_and_taken(tmp_path):
    store = small_run(tmp_path / "run", 8)
    enter(store, (10, Drop(1, 2, "mineral", 40)), (11, Paint(0, 0, 40, 48, "mineral", 0)))
    went = measure_cycles(store, 10)
    nitrogen = next(cycle for cycle in went.cycles if cycle.name == "nitrogen")
    flows = {flow.process: flow for flow in nitrogen.flows if flow.process in (GIVEN, TAKEN)}
    assert flows[GIVEN].inflow == 40 and flows[GIVEN].pool == flows[TAKEN].pool == "soil mineral"
    assert flows[TAKEN].outflow > 40
    for pool in nitrogen.pools:
        assert pool.inflow - pool.outflow == pool.stock_last - pool.stock_first

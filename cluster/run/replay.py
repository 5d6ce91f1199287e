"""Any moment of a run's history again: from the newest snapshot before it, and the commands of the journal.

What a run did once it does again, so that any tick can be shown, forked into a run of its own, or verified.
"""

import shutil
import tomllib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from umwelt.agents import commands
from umwelt.agents.open_world import open_region, torus_of
from umwelt.agents.world_file import WorldFile, parse_world
from umwelt.cluster.partition import cut, neighbours
from umwelt.cluster.run.journal import Journal, Metrics
from umwelt.cluster.run.remote_store import create_store, open_store
from umwelt.cluster.run.store import WORLD, Entry, Store, report_disk_errors
from umwelt.cluster.run.verify import check_chain, update_chain
from umwelt.cluster.shard import Shard, measure_populations
from umwelt.cluster.wire.protocol import Assignment, Member, ScheduledCommand
from umwelt.sandbox import audit, snapshot
from umwelt.sandbox.errors import RunError
from umwelt.sandbox.region import SORT_EVERY_TICKS, Piece, Region
from umwelt.sandbox.snapshot import Manifest
from umwelt.sandbox.step import step


def read_run_world(store: Store) -> WorldFile:
    """The world of a run, as its folder describes it; refused if the file was changed after the run began."""
    world = parse_world(store.world_text(), str(store.folder / WORLD), store.folder.name)
    newest = store.newest_manifest()
    if newest is None:
        return world
    check_same_world(world, newest)
    return replace(world, name=newest.name)


def check_same_world(world: WorldFile, manifest: Manifest) -> None:
    """Refuse a world file that was changed after the run began: its history would be of two worlds."""
    try:
        begun = dict(_flat(tomllib.loads(manifest.world)))
    except tomllib.TOMLDecodeError:
        begun = {}
    begun |= {"seed": manifest.seed, "height": manifest.torus[0], "width": manifest.torus[1]}
    now = dict(_flat(tomllib.loads(world.text)))
    for key in [*now, *begun]:
        if now.get(key) != begun.get(key):
            found = f"{key} {now.get(key, 'missing')}, was {begun.get(key, 'missing')}"
            raise RunError(
                f"{world.source}: is not the world the run began with ({found}): put it back, or begin a new run"
            )


def _flat(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of a world file by its dotted key."""
    if not isinstance(value, dict | list):
        yield key, value
        return
    for name, inner in value.items() if isinstance(value, dict) else enumerate(value):
        yield from _flat(inner, f"{key}.{name}" if key else str(name))


def read_progress(store: Store, from_tick: int = 0) -> tuple[int, list[ScheduledCommand]]:
    """The last journalled tick, and what people did from a tick on, in order: all of it until that last tick.

    0 and nothing where the journal is missing.
    """
    if not store.journal.is_file():
        return 0, []
    journal = Journal.reading(store.journal)
    try:
        return journal.last_tick(), [command for _, command in journal.commands(from_tick)]
    finally:
        journal.close()


def read_journalled_commands(store: Store, from_tick: int = 0) -> list[ScheduledCommand]:
    """What people did from a tick on, in order; nothing where the journal is missing."""
    return read_progress(store, from_tick)[1]


def restore_region(store: Store, tick: int | None = None) -> tuple[WorldFile, Region, list[str]]:
    """A run's world at a tick it has reached, replayed from the snapshot before; the last snapshot's if none is given.

    Gives the world, a region that owns the torus, and a line for each snapshot passed over. Writes nothing.
    """
    world = read_run_world(store)
    kept, passed_over = store.newest(world.laws.layout(world), tick)
    check_same_world(world, kept.manifest)
    region = open_region(world, kept.pieces, kept.constants, kept.manifest.tick, controls=kept.controls)
    region.counts.update(kept.manifest.counts)
    region.births = None
    if tick is not None and tick > region.tick:
        replay(world, region, tick, read_journalled_commands(store, region.tick))
    return world, region, passed_over


def replay(
    world: WorldFile,
    region: Region,
    tick: int,
    due: Sequence[ScheduledCommand],
    seen: Callable[[Region], None] | None = None,
) -> None:
    """Carry a region that owns the torus on to a tick, with the commands at their ticks. `seen` is shown each tick."""
    going = Replay(world, region, due)
    while region.tick < tick:
        going.step()
        if seen is not None:
            seen(region)


class Replay:
    """Carries a region that owns the torus on, tick by tick, with the commands at their ticks."""

    def __init__(self, world: WorldFile, region: Region, due: Sequence[ScheduledCommand] = ()):
        self.world, self.region = world, region
        self._by_tick: dict[int, list[ScheduledCommand]] = {}
        self.set_commands(due)

    def set_commands(self, due: Sequence[ScheduledCommand]) -> None:
        """These are all the commands from the region's tick on, as far as they are journalled."""
        self._by_tick.clear()
        for command in due:
            self._by_tick.setdefault(command.tick, []).append(command)

    def step(self) -> None:
        """One tick."""
        region = self.region
        if region.tick % SORT_EVERY_TICKS == 0:
            region.sort()
        region.wrap()
        for command in self._by_tick.get(region.tick, ()):
            commands.apply(region, commands.decode(command.content), command.number)
        step(region, self.world.laws)


# --- forks


def fork(folder: Path, tick: int, to: Path | None = None) -> Path:
    """A new run that shares the past of another up to a tick, and goes its own way from there; gives its folder."""
    source = open_store(folder)
    last = find_last_tick(source)
    if not 0 <= tick <= last:
        raise RunError(f"{folder}: tick {tick}: the run has reached tick {last}: give one from 0 to {last}")
    world, region, _ = restore_region(source, tick)
    made = create_store(world.name, source.world_text(), to)
    try:
        with report_disk_errors(made.folder, "--to"):
            for past in source.ticks():
                if past < tick:
                    shutil.copytree(source.path(past), made.path(past))
        if source.journal.is_file():
            Journal.copy(source.journal, made.journal, tick)
        made.save(region, world.text, world.name)
        if made.journal.is_file():
            journal = Journal(made.journal)
            try:
                species = list(world.laws.species(world)) if world.laws.species else []
                populations, substances = measure_populations(world, region, species)
                counts = region.counts["births"], region.counts["deaths"]
                journal.enter(Metrics(tick, *counts, populations, substances), audit.world_digest(region))
                update_chain(made, journal)
            finally:
                journal.close()
    except BaseException:
        with suppress(OSError):
            shutil.rmtree(made.snapshots)
        made.discard()
        raise
    return made.folder


def find_last_tick(store: Store) -> int:
    """The last tick that the run is known to have reached."""
    ticks = [entry.tick for entry in store.entries()]
    if store.journal.is_file():
        journal = Journal.reading(store.journal)
        try:
            ticks.append(journal.last_tick())
        finally:
            journal.close()
    return max(ticks, default=0)


# --- verification


@dataclass
class VerifyResult:
    """What a replay of a run found."""

    compared: int = 0
    """Journalled digests that came out the same."""
    snapshots: int = 0
    """Kept snapshots that came out the same."""
    last_tick: int = 0
    first_difference: int | None = None
    """The first tick that came out otherwise."""
    line: str = ""
    replayed: bool = False
    """Whether the run fitted its ledger, so that it was replayed."""
    ledger: list[str] = field(default_factory=list)
    """What is known of the run by its ledger."""


def verify(
    folder: Path,
    nodes: int = 1,
    seen: Callable[[int, int], None] = lambda tick, last: None,
    public: bytes | None = None,
) -> VerifyResult:
    """Hold a run against its ledger; then replay it, cut for so many nodes, and compare every journalled digest.

    The ledger has to be signed by the key `public`, if one is given. `seen` is told each tick and the last one.
    """
    store = open_store(folder)
    proof = check_chain(store, public)
    if proof.fault is not None:
        return VerifyResult(first_difference=proof.fault.tick, line=proof.fault.line, ledger=proof.lines)
    world = read_run_world(store)
    journal = Journal.reading(store.journal)
    try:
        digests, due = journal.digests(), [command for _, command in journal.commands()]
    finally:
        journal.close()
    kept = store.ticks()
    if not kept:
        raise store.no_snapshot_error([])
    first = store.load(Entry(kept[0], True), world.laws.layout(world))
    verdict = VerifyResult(last_tick=max([*digests, *kept]), replayed=True, ledger=proof.lines)
    saved = {tick: int(store.manifest(Entry(tick, True)).digest, 16) for tick in kept}
    portions = load_shards(world, first, nodes)
    for tick in range(first.manifest.tick, verdict.last_tick + 1):
        wanted = {*([digests[tick]] if tick in digests else []), *([saved[tick]] if tick in saved else [])}
        if wanted:
            found = digest_shards(portions)
            if wanted != {found}:
                verdict.first_difference = tick
                told = ", ".join(f"{one:016x}" for one in sorted(wanted))
                verdict.line = f"tick {tick} came out as {found:016x}; the run says {told}"
                return verdict
            verdict.compared += tick in digests
            verdict.snapshots += tick in saved
        seen(tick, verdict.last_tick)
        if tick < verdict.last_tick:
            step_shards(portions, [command for command in due if command.tick == tick])
    return verdict


def load_shards(world: WorldFile, first: snapshot.Snapshot, nodes: int) -> list[Shard]:
    """The whole world as portions in one process, as so many nodes would hold it."""
    torus, reach = torus_of(world), world.laws.light_speed
    blocks = np.ones((-(-torus.height // 8), -(-torus.width // 8)), np.int64)
    members = [Member(str(at), str(at), "", "", tuple(r)) for at, r in enumerate(cut(torus, blocks, nodes, reach))]  # type: ignore[arg-type]
    pieces: list[Piece] = first.pieces
    made = []
    for which in range(nodes):
        assign = Assignment(1, b"", first.manifest.tick, "", members, which, 1, 1, 1)
        made.append(Shard(world, assign, pieces, first.constants, first.controls))
        made[-1].region.births = None
    return made


def step_shards(portions: Sequence[Shard], due: Sequence[ScheduledCommand]) -> None:
    """One exchange and one tick."""
    region = portions[0].region
    strips: list[dict[int, list[Any]]] = [{} for _ in portions]
    for giver in portions:
        takers = [
            n
            for n in range(len(portions))
            if n != giver.which and giver.which in neighbours(giver.rectangles, n, region.halo_cells, region.torus)
        ]
        for taker, frames in giver.cut(takers).items():
            strips[taker][giver.which] = frames
    for portion, theirs in zip(portions, strips, strict=True):
        portion.paste(theirs)
    for portion in portions:
        portion.step(due)


def digest_shards(portions: Sequence[Shard]) -> int:
    """The world's digest from its portions."""
    parts = sum(audit.digest(portion.region) for portion in portions)
    return (parts + portions[0].region.controls.digest()) & audit.DIGEST_MASK

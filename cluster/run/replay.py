"""Recomputes any tick of a run: from the newest snapshot before it, and the commands in the journal.

A replay yields exactly what the run did, so that any tick can be shown, forked into a run of its own, or verified.
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
    """Returns the world of a run. Raises `RunError` if its world file was changed after the run began."""
    world = parse_world(store.world_text(), str(store.folder / WORLD), store.folder.name)
    newest = store.newest_manifest()
    if newest is None:
        return world
    check_same_world(world, newest)
    return replace(world, name=newest.name)


def check_same_world(world: WorldFile, manifest: Manifest) -> None:
    """Raises `RunError` unless a world file has the values of the one that a snapshot holds."""
    try:
        first = dict(_flatten(tomllib.loads(manifest.world)))
    except tomllib.TOMLDecodeError:
        first = {}
    first |= {"seed": manifest.seed, "height": manifest.torus[0], "width": manifest.torus[1]}
    present = dict(_flatten(tomllib.loads(world.text)))
    for key in [*present, *first]:
        if present.get(key) != first.get(key):
            difference = f"{key} {present.get(key, 'missing')}, was {first.get(key, 'missing')}"
            raise RunError(
                f"{world.source}: is not the world the run began with ({difference}): restore it, or start a new run"
            )


def _flatten(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Yields every value of a world file with its dotted key."""
    if not isinstance(value, dict | list):
        yield key, value
        return
    for name, inner in value.items() if isinstance(value, dict) else enumerate(value):
        yield from _flatten(inner, f"{key}.{name}" if key else str(name))


def read_progress(store: Store, from_tick: int = 0) -> tuple[int, list[ScheduledCommand]]:
    """Returns the last journalled tick, and all commands from a tick on in order; (0, []) if there is no journal."""
    if not store.journal.is_file():
        return 0, []
    journal = Journal.reading(store.journal)
    try:
        return journal.history.last_tick(), [command for _, command in journal.history.commands(from_tick)]
    finally:
        journal.close()


def read_journalled_commands(store: Store, from_tick: int = 0) -> list[ScheduledCommand]:
    """Returns the commands from a tick on, in order; empty if there is no journal."""
    return read_progress(store, from_tick)[1]


def restore_region(store: Store, tick: int | None = None) -> tuple[WorldFile, Region, list[str]]:
    """Recomputes a run's world at a tick that it has reached; by default at the tick of its newest snapshot.

    Returns the world, a region that owns the torus, and a line for each skipped snapshot. Writes nothing.
    """
    world = read_run_world(store)
    kept, skipped = store.newest(world.laws.layout(world), tick)
    check_same_world(world, kept.manifest)
    region = open_region(world, kept.pieces, kept.constants, kept.manifest.tick, controls=kept.controls)
    region.counts.update(kept.manifest.counts)
    region.births = None
    if tick is not None and tick > region.tick:
        replay(world, region, tick, read_journalled_commands(store, region.tick))
    return world, region, skipped


def replay(
    world: WorldFile,
    region: Region,
    tick: int,
    due: Sequence[ScheduledCommand],
    seen: Callable[[Region], None] | None = None,
) -> None:
    """Advance a region that owns the torus to a tick, with commands at their ticks. Calls `seen` after each tick."""
    replayed = Replay(world, region, due)
    while region.tick < tick:
        replayed.step()
        if seen is not None:
            seen(region)


class Replay:
    """Advances a region that owns the torus tick by tick, applying commands at their ticks."""

    def __init__(self, world: WorldFile, region: Region, due: Sequence[ScheduledCommand] = ()):
        self.world, self.region = world, region
        self._by_tick: dict[int, list[ScheduledCommand]] = {}
        self.set_commands(due)

    def set_commands(self, due: Sequence[ScheduledCommand]) -> None:
        """Replace the commands by those that are journalled now, from the region's tick on."""
        self._by_tick.clear()
        for command in due:
            self._by_tick.setdefault(command.tick, []).append(command)

    def step(self) -> None:
        """Advance by one tick."""
        region = self.region
        if region.tick % SORT_EVERY_TICKS == 0:
            region.sort()
        region.wrap()
        for command in self._by_tick.get(region.tick, ()):
            commands.apply(region, commands.decode(command.content), command.number)
        step(region, self.world.laws)


# --- forks


def fork(folder: Path, tick: int, to: Path | None = None) -> Path:
    """Creates a run that has the past of another up to a tick, and its own future. Returns its folder."""
    source = open_store(folder)
    last_tick = find_last_tick(source)
    if not 0 <= tick <= last_tick:
        raise RunError(f"{folder}: tick {tick}: the run has reached tick {last_tick}: give one from 0 to {last_tick}")
    world, region, _ = restore_region(source, tick)
    store = create_store(world.name, source.world_text(), to)
    try:
        with report_disk_errors(store.folder, "--to"):
            for past_tick in source.ticks():
                if past_tick < tick:
                    shutil.copytree(source.path(past_tick), store.path(past_tick))
        if source.journal.is_file():
            Journal.copy(source.journal, store.journal, tick)
        store.save(region, world.text, world.name)
        if store.journal.is_file():
            journal = Journal(store.journal)
            try:
                species = list(world.laws.species(world)) if world.laws.species else []
                populations, substances = measure_populations(world, region, species)
                counts = region.counts["births"], region.counts["deaths"]
                journal.enter(Metrics(tick, *counts, populations, substances), audit.world_digest(region))
                update_chain(store, journal)
            finally:
                journal.close()
    except BaseException:
        with suppress(OSError):
            shutil.rmtree(store.snapshots)
        store.discard()
        raise
    return store.folder


def find_last_tick(store: Store) -> int:
    """Returns the last tick that snapshots and journal say the run has reached."""
    ticks = [entry.tick for entry in store.entries()]
    if store.journal.is_file():
        journal = Journal.reading(store.journal)
        try:
            ticks.append(journal.history.last_tick())
        finally:
            journal.close()
    return max(ticks, default=0)


# --- verification


@dataclass
class VerifyResult:
    """The result of verifying a run."""

    compared: int = 0
    """How many journalled digests the replay reproduced."""
    snapshots: int = 0
    """How many kept snapshots the replay reproduced."""
    last_tick: int = 0
    first_difference: int | None = None
    """The first tick that differs, None if there is no such tick."""
    line: str = ""
    """What differs, for people."""
    replayed: bool = False
    """Whether the run matched its hash chain, so that it was replayed."""
    chain_lines: list[str] = field(default_factory=list)
    """What its hash chain proves, for people."""


def verify(
    folder: Path,
    nodes: int = 1,
    seen: Callable[[int, int], None] = lambda tick, last: None,
    public: bytes | None = None,
) -> VerifyResult:
    """Check a run against its hash chain; then replay it, divided among `nodes`, and compare every journalled digest.

    The hash chain must be signed by the key `public`, if one is given. Calls `seen(tick, last_tick)` for each tick.
    """
    store = open_store(folder)
    check = check_chain(store, public)
    if check.fault is not None:
        return VerifyResult(first_difference=check.fault.tick, line=check.fault.line, chain_lines=check.lines)
    world = read_run_world(store)
    journal = Journal.reading(store.journal)
    try:
        digests, due = journal.history.digests(), [command for _, command in journal.history.commands()]
    finally:
        journal.close()
    kept_ticks = store.ticks()
    if not kept_ticks:
        raise store.no_snapshot_error([])
    first = store.load(Entry(kept_ticks[0], True), world.laws.layout(world))
    result = VerifyResult(last_tick=max([*digests, *kept_ticks]), replayed=True, chain_lines=check.lines)
    saved = {tick: int(store.manifest(Entry(tick, True)).digest, 16) for tick in kept_ticks}
    shards = load_shards(world, first, nodes)
    for tick in range(first.manifest.tick, result.last_tick + 1):
        expected = {known[tick] for known in (digests, saved) if tick in known}
        if expected:
            digest = digest_shards(shards)
            if expected != {digest}:
                result.first_difference = tick
                recorded = ", ".join(f"{value:016x}" for value in sorted(expected))
                result.line = f"tick {tick} came out as {digest:016x}; the run says {recorded}"
                return result
            result.compared += tick in digests
            result.snapshots += tick in saved
        seen(tick, result.last_tick)
        if tick < result.last_tick:
            step_shards(shards, [command for command in due if command.tick == tick])
    return result


def load_shards(world: WorldFile, first: snapshot.Snapshot, nodes: int) -> list[Shard]:
    """Loads the whole world as the shards that so many nodes would hold, in this process."""
    torus, reach = torus_of(world), world.laws.light_speed
    blocks = np.ones((-(-torus.height // 8), -(-torus.width // 8)), np.int64)
    rectangles = cut(torus, blocks, nodes, reach)
    members = [Member(str(i), str(i), "", "", tuple(r)) for i, r in enumerate(rectangles)]  # type: ignore[arg-type]
    pieces: list[Piece] = first.pieces
    shards = []
    for which in range(nodes):
        assign = Assignment(1, b"", first.manifest.tick, "", members, which, 1, 1, 1)
        shards.append(Shard(world, assign, pieces, first.constants, first.controls))
        shards[-1].region.births = None
    return shards


def step_shards(shards: Sequence[Shard], due: Sequence[ScheduledCommand]) -> None:
    """Exchange halos between shards that own the torus, and advance them by one tick with the commands of that tick."""
    region = shards[0].region
    received: list[dict[int, list[Any]]] = [{} for _ in shards]
    for giver in shards:
        takers = [
            n
            for n in range(len(shards))
            if n != giver.which and giver.which in neighbours(giver.rectangles, n, region.halo_cells, region.torus)
        ]
        for taker, frames in giver.cut(takers).items():
            received[taker][giver.which] = frames
    for shard, frames_by_giver in zip(shards, received, strict=True):
        shard.paste(frames_by_giver)
    for shard in shards:
        shard.step(due)


def digest_shards(shards: Sequence[Shard]) -> int:
    """Returns the world's digest from shards that own the torus."""
    total = sum(audit.digest(shard.region) for shard in shards)
    return (total + shards[0].region.controls.digest()) & audit.DIGEST_MASK

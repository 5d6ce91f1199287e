"""Replays a run: recomputes its world at any past tick from an earlier snapshot and the journalled commands.

A replay gives exactly the states that the run had. It is used to show a past tick, to fork a run, and to verify one.

The *digest* of a tick is a 64-bit sum over the state of the world. The *hash chain* is a sequence of hashes in the
journal, by which later changes of the run's files are detected. A *shard* is a rectangle of the torus with its beings.
The *manifest* of a snapshot describes its parts.
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
    """Returns the world description of a run. Raises `RunError` if its world file was changed after the run began."""
    world = parse_world(store.world_text(), str(store.folder / WORLD), store.folder.name)
    newest = store.newest_manifest()
    if newest is None:
        return world
    check_same_world(world, newest)
    return replace(world, name=newest.name)


def check_same_world(world: WorldFile, manifest: Manifest) -> None:
    """Raises `RunError` unless `world` has the same values as the world file that `manifest` holds."""
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
    """Yields (dotted key, value) for every value in a parsed TOML document; list indices are keys, too."""
    if not isinstance(value, dict | list):
        yield key, value
        return
    for name, inner in value.items() if isinstance(value, dict) else enumerate(value):
        yield from _flatten(inner, f"{key}.{name}" if key else str(name))


def read_progress(store: Store, from_tick: int = 0) -> tuple[int, list[ScheduledCommand]]:
    """Returns the last journalled tick and the commands from `from_tick` on, in order of their numbers.

    Returns (0, []) if the run has no journal.
    """
    if not store.journal.is_file():
        return 0, []
    journal = Journal.reading(store.journal)
    try:
        return journal.history.last_tick(), [command for _, command in journal.history.commands(from_tick)]
    finally:
        journal.close()


def read_journalled_commands(store: Store, from_tick: int = 0) -> list[ScheduledCommand]:
    """Returns the journalled commands from `from_tick` on, in order of their numbers; empty if there is no journal."""
    return read_progress(store, from_tick)[1]


def restore_region(store: Store, tick: int | None = None) -> tuple[WorldFile, Region, list[str]]:
    """Recomputes a run's world at `tick`, which the run must have reached; by default, at its newest snapshot.

    Returns the world description, a region that covers the torus, and one message for each snapshot that was skipped as
    unusable. Writes nothing.
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
    """Advances `region`, which covers the torus, to `tick`, and applies each command of `due` at its tick.

    Calls `seen(region)` after each tick, unless `seen` is None.
    """
    replayed = Replay(world, region, due)
    while region.tick < tick:
        replayed.step()
        if seen is not None:
            seen(region)


class Replay:
    """Advances a region that covers the torus, one tick at a time, and applies each command at its tick."""

    def __init__(self, world: WorldFile, region: Region, due: Sequence[ScheduledCommand] = ()):
        self.world, self.region = world, region
        self._by_tick: dict[int, list[ScheduledCommand]] = {}
        self.set_commands(due)

    def set_commands(self, due: Sequence[ScheduledCommand]) -> None:
        """Replaces the commands to apply by `due`, which must hold all commands from the region's present tick on."""
        self._by_tick.clear()
        for command in due:
            self._by_tick.setdefault(command.tick, []).append(command)

    def step(self) -> None:
        """Applies the commands of the present tick and advances the region by one tick."""
        region = self.region
        if region.tick % SORT_EVERY_TICKS == 0:
            region.sort()
        region.wrap()
        for command in self._by_tick.get(region.tick, ()):
            commands.apply(region, commands.decode(command.content), command.number)
        step(region, self.world.laws)


# --- forking


def fork(folder: Path, tick: int, to: Path | None = None) -> Path:
    """Creates a run that shares the history of the run in `folder` up to `tick`. Returns the new run's folder.

    The new run is created in `to`, by default in the next free folder under `runs/`. Raises `RunError` if the source
    run has not reached `tick`.
    """
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
    """Returns the last tick that the run has reached: the latest tick of any snapshot or journal entry."""
    ticks = [entry.tick for entry in store.entries()]
    if store.journal.is_file():
        journal = Journal.reading(store.journal)
        try:
            ticks.append(journal.history.last_tick())
        finally:
            journal.close()
    return max(ticks, default=0)


# --- verifying


@dataclass
class VerifyResult:
    """The result of verifying a run: of checking its files against the journal's hash chain, and of replaying it."""

    compared: int = 0
    """Number of journalled digests that the replay reproduced."""
    snapshots: int = 0
    """Number of kept snapshots that the replay reproduced."""
    last_tick: int = 0
    first_difference: int | None = None
    """The first tick at which the replay, or the hash chain, differs from the run; None if there is no difference."""
    line: str = ""
    """A message that describes the first difference; empty if there is none."""
    replayed: bool = False
    """Whether the run was replayed. It is not if its files do not match its hash chain."""
    chain_lines: list[str] = field(default_factory=list)
    """Messages that say what the hash chain proves."""


def verify(
    folder: Path,
    nodes: int = 1,
    seen: Callable[[int, int], None] = lambda tick, last: None,
    public: bytes | None = None,
) -> VerifyResult:
    """Checks a run against its hash chain, then replays it on `nodes` shards and compares every journalled digest.

    If `public` is given, the hash chain must be signed by this public key. Calls `seen(tick, last_tick)` at each tick
    of the replay.
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
                result.line = f"tick {tick} has digest {digest:016x}; the run recorded {recorded}"
                return result
            result.compared += tick in digests
            result.snapshots += tick in saved
        seen(tick, result.last_tick)
        if tick < result.last_tick:
            step_shards(shards, [command for command in due if command.tick == tick])
    return result


def load_shards(world: WorldFile, first: snapshot.Snapshot, nodes: int) -> list[Shard]:
    """Divides the world of a snapshot among `nodes` shards, all in this process."""
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
    """Rebuilds the halos of `shards`, which cover the torus, applies the commands `due`, and computes one tick.

    A halo is a copy of the cells around a shard, which its neighbours own.
    """
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
    """Returns the digest of a world from `shards`, which together cover the torus."""
    total = sum(audit.digest(shard.region) for shard in shards)
    return (total + shards[0].region.controls.digest()) & audit.DIGEST_MASK

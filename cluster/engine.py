"""A run: a world that goes on tick by tick, journalled and kept in snapshots. One process, a cluster of one node."""

import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from umwelt.agents.description import WorldFile, parse_world
from umwelt.agents.opening import begin, opened
from umwelt.cluster.journal import Journal, Metrics
from umwelt.cluster.store import WORLD, Store
from umwelt.sandbox import audit
from umwelt.sandbox.errors import RunError, SpeciesError
from umwelt.sandbox.kernel import kernels
from umwelt.sandbox.region import Region
from umwelt.sandbox.snapshot import Manifest
from umwelt.sandbox.step import Law, advance, step

JOURNAL_EVERY_TICKS = 8
"""Digest and metrics cost about a twentieth of a tick; every eighth tick they cannot be felt."""
COMMIT_EVERY_S = 1.0
SNAPSHOT_EVERY_S = 60.0


def compiled_count() -> int:
    """How many kernels are compiled or loaded by now, for the types they are called with."""
    return sum(len(getattr(kernel, "signatures", ())) for kernel in kernels)


def living(region: Region) -> int:
    """The beings that a region owns, of every kind."""
    return sum(int(np.count_nonzero(region.owned_rows(name))) for name in region.tables)


def measure(world: WorldFile, region: Region) -> Metrics:
    """The present moment in numbers, for worlds of any laws."""
    names = list(world.laws.species(world)) if world.laws.species else []
    populations: dict[str, dict[str, int]] = {}
    for table_name, table in region.tables.items():
        owned = region.owned_rows(table_name)
        if "species" not in table:
            populations[table_name] = {table_name: int(np.count_nonzero(owned))}
            continue
        by_name: dict[str, int] = {}
        for index, count in enumerate(np.bincount(table["species"][owned]).tolist()):
            if count:
                name = names[index] if index < len(names) else f"species {index}"
                by_name[name] = by_name.get(name, 0) + count
        populations[table_name] = by_name
    substances = audit.substance_totals(region, world.laws.chemistry(world)) if world.laws.chemistry else {}
    return Metrics(region.tick, region.counts["births"], region.counts["deaths"], populations, substances)


def check_species(world: WorldFile, region: Region) -> None:
    """Turn on the check of species: rows permuted, batches split, called twice."""
    behaviours = region.derived.get("behaviours")
    if not hasattr(behaviours, "checked"):
        raise SpeciesError(f"{world.source}: --check: the laws of this world have no species to check: leave it out")
    behaviours.checked = True


@dataclass
class Pace:
    """How fast ticks go; those in which something was compiled or loaded do not count."""

    ticks: int = 0
    entity_ticks: int = 0
    wall_s: float = 0.0
    cpu_s: float = 0.0
    compiling: "Pace | None" = field(default=None, repr=False)
    """What did not count; the only figures there are while nothing else has run."""

    def add(self, entities: int, wall_s: float, cpu_s: float) -> None:
        self.ticks += 1
        self.entity_ticks += entities
        self.wall_s += wall_s
        self.cpu_s += cpu_s

    def rates(self) -> dict[str, float]:
        """Ticks and entity-ticks per second, and entity-ticks per second of processor time."""
        if not self.ticks and self.compiling is not None:
            return self.compiling.rates()
        wall_s, cpu_s = max(self.wall_s, 1e-9), max(self.cpu_s, 1e-9)
        return {
            "ticks_per_s": self.ticks / wall_s,
            "entity_ticks_per_s": self.entity_ticks / wall_s,
            "entity_ticks_per_cpu_s": self.entity_ticks / cpu_s,
        }


class Run:
    """A world and the folder it is kept in.

    `passed_over` holds a line for each snapshot that could not be used.
    """

    def __init__(self, world: WorldFile, region: Region, store: Store, passed_over: list[str] | None = None):
        self.world, self.region, self.store = world, region, store
        self.passed_over = passed_over or []
        self.journal = Journal(store.journal)
        self.pace = Pace(compiling=Pace())
        self.snapshot_every_s = SNAPSHOT_EVERY_S
        self._species = list(world.laws.species(world)) if world.laws.species else []
        first = next(self.journal.metrics(), None) or measure(world, region)
        self._seen = first.populations
        self._committed_at = self._saved_at = time.monotonic()

    @classmethod
    def begin(cls, world: WorldFile, folder: Path | None = None, checked: bool = False) -> "Run":
        """A new run from tick 0; nothing is written before genesis has succeeded. `checked`: see `check_species`.

        Stopped or failing before its first snapshot, it leaves nothing behind.
        """
        region = begin(world)
        if checked:
            check_species(world, region)
        store = Store.create(world.name, world.text, folder)
        run = None
        try:
            run = cls(world, region, store)
            run.record()
            run.save()
        except BaseException:
            if run is not None:
                with suppress(RunError):
                    run.close()
            if not store.ticks():
                store.discard()
            raise
        return run

    @classmethod
    def resume(cls, folder: Path, last_tick: int | None = None, checked: bool = False) -> "Run":
        """Go on with a run from its newest good snapshot (not after `last_tick`)."""
        store = Store.open(folder)
        world, region, passed_over = reopened(store, last_tick)
        if checked:
            check_species(world, region)
        store.tidy()
        return cls(world, region, store, passed_over)

    @property
    def tick(self) -> int:
        return self.region.tick

    def step(self, between: Callable[[Law], None] | None = None) -> None:
        """One tick: the laws, the births, and now and then the journal and a snapshot."""
        compiled, wall, cpu = compiled_count(), time.perf_counter(), time.process_time()
        if between is None:
            advance(self.region, self.world.laws, 1)
        else:
            if self.region.margin_cells < self.world.laws.light_speed:
                self.region.wrap()
            step(self.region, self.world.laws, between)
        for record in self.region.births or ():
            self.journal.enter_births(record, self._species, self.region.torus.width)
        if self.region.births:
            self.region.births.clear()
        if self.tick % JOURNAL_EVERY_TICKS == 0:
            self.record()
        entities = living(self.region)
        now = time.monotonic()
        if now - self._committed_at > COMMIT_EVERY_S:
            self.journal.commit()
            self._committed_at = now
        pace = self.pace if compiled_count() == compiled else self.pace.compiling
        assert pace is not None
        pace.add(entities, time.perf_counter() - wall, time.process_time() - cpu)
        if now - self._saved_at > self.snapshot_every_s:
            self.save()

    def ticks(self, last_tick: int | None = None, between: Callable[[Law], None] | None = None) -> Iterator[int]:
        """Step until `last_tick`, or for ever; gives each tick reached. `between` sees the laws of the first step."""
        while last_tick is None or self.tick < last_tick:
            self.step(between)
            between = None
            yield self.tick

    def measure(self) -> Metrics:
        """The present moment in numbers; species of tick 0 that died out are named with 0."""
        metrics = measure(self.world, self.region)
        populations = {
            table: {**dict.fromkeys(self._seen.get(table, {}), 0), **found}
            for table, found in metrics.populations.items()
        }
        return replace(metrics, populations=populations)

    def record(self) -> int:
        """Journal the present moment; gives its digest."""
        digest = audit.digest(self.region)
        self.journal.enter(self.measure(), digest)
        return digest

    def save(self) -> int:
        """Take a snapshot, after the journal is durable up to it; gives the digest of the moment."""
        digest = self.record()
        self.journal.commit()
        self.store.save(self.region, self.world.text, self.world.name)
        self._saved_at = self._committed_at = time.monotonic()
        return digest

    def close(self) -> None:
        """Close the journal; what was not saved is run again when the run is resumed."""
        self.journal.close()

    def summary(self) -> dict:
        """What `--json` prints."""
        metrics = self.measure()
        chemistry = self.world.laws.chemistry(self.world) if self.world.laws.chemistry else None
        totals = {name: sum(by_species.values()) for name, by_species in metrics.populations.items()}
        return {
            "tick": metrics.tick,
            "digest": f"{audit.digest(self.region):016x}",
            "plants": totals.get("plants", 0),
            "monsters": totals.get("monsters", 0),
            "births": metrics.births,
            "deaths": metrics.deaths,
            "elements": audit.element_totals(metrics.substances, chemistry) if chemistry else {},
            "substances": dict(metrics.substances),
            "populations": metrics.populations,
            **{name: round(rate, 3) for name, rate in self.pace.rates().items()},
            "run": str(self.store.folder),
        }


def reopened(store: Store, last_tick: int | None = None) -> tuple[WorldFile, Region, list[str]]:
    """A run's world at its newest good snapshot, ready to go on; and a line for each snapshot passed over."""
    world = parse_world(store.world_text(), str(store.folder / WORLD), store.folder.name)
    newest = store.newest_manifest()
    if newest is not None:
        _check_same_world(world, newest)  # before the layout is compared: another world may have another
    kept, passed_over = store.newest(world.laws.layout(world), last_tick)
    _check_same_world(world, kept.manifest)
    world = replace(world, name=kept.manifest.name)
    region = opened(world, kept.pieces, kept.constants, kept.manifest.tick)
    region.counts.update(kept.manifest.counts)
    region.controls = kept.controls
    return world, region, passed_over


def _check_same_world(world: WorldFile, manifest: Manifest) -> None:
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


def region_at(store: Store, tick: int | None = None) -> tuple[WorldFile, Region, list[str]]:
    """A run's world at a tick it has reached, replayed from the snapshot before; the last snapshot's if none is given.

    Writes nothing.
    """
    world, region, passed_over = reopened(store, tick)
    region.births = None
    if tick is not None:
        advance(region, world.laws, tick - region.tick)
    return world, region, passed_over

"""A small world with many beings for tests, and runs of it (folders with journal and snapshots) without a cluster."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from umwelt.agents.world_file import WorldFile, parse_world
from umwelt.cluster.launch.local import begin_run
from umwelt.cluster.run.journal import Journal, Metrics
from umwelt.cluster.run.replay import read_journalled_commands, replay, restore_region
from umwelt.cluster.run.store import Store
from umwelt.cluster.run.verify import update_chain
from umwelt.cluster.shard import measure_populations
from umwelt.sandbox import audit
from umwelt.sandbox.region import Region

TEXT = """
width = 48
height = 40
seed = 5
births = true

[climate]
day_ticks = 60

[[founders]]
species = "grass"
count = 200

[[founders]]
species = "reed"
count = 30

[[founders]]
species = "grazer"
count = 60

[[founders]]
species = "hunter"
count = 20
"""
RECORD_EVERY_TICKS = 8


def small_world(**overrides: object) -> WorldFile:
    """Returns the small world; `overrides` are values by dotted key, with `__` for the dot."""
    return parse_world(TEXT, "small.toml", "small", {key.replace("__", "."): value for key, value in overrides.items()})


class InProcessRunner:
    """Continues a run in this process, and writes to its journal and snapshots as a cluster would."""

    def __init__(self, store: Store):
        self.store = store
        self.world, self.region, self.passed_over = restore_region(store)
        if self.world.common.births:
            self.region.births = []
        store.remove_unfinished()
        self.journal = Journal(store.journal)
        self.species = list(self.world.laws.species(self.world)) if self.world.laws.species else []

    @property
    def tick(self) -> int:
        return self.region.tick

    def go(self, tick: int) -> None:
        """Run up to a tick; journals all births, and digests and metrics every `RECORD_EVERY_TICKS`."""
        replay(self.world, self.region, tick, read_journalled_commands(self.store, self.tick), self._record_tick)

    def _record_tick(self, region: Region) -> None:
        for record in region.births or ():
            self.journal.enter_births(record, self.species, region.torus.width)
        if region.births:
            region.births.clear()
        if region.tick % RECORD_EVERY_TICKS == 0:
            self.record()

    def digest(self) -> int:
        """Returns the digest of the present tick."""
        return (audit.digest(self.region) + self.region.controls.digest()) & audit.DIGEST_MASK

    def record(self) -> None:
        """Journal metrics and digest of the present tick."""
        populations, substances = measure_populations(self.world, self.region, self.species)
        counts = self.region.counts
        metrics = Metrics(self.tick, counts["births"], counts["deaths"], populations, substances)
        self.journal.enter(metrics, self.digest())

    def save(self) -> None:
        """Write a kept snapshot, as at the end of a run."""
        self.record()
        self.journal.commit()
        self.store.save(self.region, self.world.text, self.world.name)
        update_chain(self.store, self.journal)
        self.journal.chain.enter_head(None)

    def close(self) -> None:
        """Close the journal."""
        self.journal.close()


@contextmanager
def open_run(folder: Path) -> Iterator[InProcessRunner]:
    """Opens a run to continue it from its newest valid snapshot; closes its journal at the end."""
    runner = InProcessRunner(Store.open(folder))
    try:
        yield runner
    finally:
        runner.close()


def small_run(folder: Path, *ticks: int, **overrides: object) -> Store:
    """Makes a run of the small world with kept snapshots at tick 0 and at `ticks`; returns its store."""
    store = begin_run(small_world(**overrides), folder)
    with open_run(folder) as runner:
        for tick in ticks:
            runner.go(tick)
            runner.save()
    return store

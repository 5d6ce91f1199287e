"""Carrying on a run from the command line: start its processes, show it, stop when asked, and say what came out."""

import json
import signal
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from types import FrameType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from umwelt.agents.open_world import try_small_world
from umwelt.agents.world_file import WorldFile
from umwelt.client.commands.dashboard import Dashboard, Lines, parts_of, tints_of
from umwelt.client.commands.window_process import Beside, beside
from umwelt.cluster.launch.local import Engine, Plan, nodes_for
from umwelt.cluster.run.journal import Journal, Metrics
from umwelt.cluster.run.store import Store
from umwelt.cluster.shard import check_species
from umwelt.sandbox import audit
from umwelt.sandbox.errors import RunError
from umwelt.sandbox.kernel import cached, kernels
from umwelt.sandbox.step import Law, step

TURN_S = 0.05
AT_ONCE_S = 0.3
SAVING = "saving the world, then it stops · Ctrl-C again: leave at once"


class Asked:
    """Whether somebody asked to stop: the first Ctrl-C lets the world be saved, the second does not.

    While a world is made there is nothing to wait for: then the first one stops at once.
    """

    def __init__(self) -> None:
        self.to_stop = False
        self.at_once = True

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if self.to_stop or self.at_once:
            raise KeyboardInterrupt
        self.to_stop = True

    @classmethod
    @contextmanager
    def listening(cls) -> Iterator["Asked"]:
        """Listen to Ctrl-C and to a polite kill."""
        asked = cls()
        before = {number: signal.signal(number, asked) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield asked
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


@contextmanager
def making(name: str) -> Iterator[None]:
    """Shows that something that takes a while is under way."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield
        return
    with console.status(name):
        yield


def carrier(kind: str, store: Store, plan: Plan) -> Engine:
    """The engine of a kind: local processes, or Ray."""
    if kind == "local":
        return Engine(store, plan)
    from umwelt.cluster.ray.engine import RayEngine

    return RayEngine(store, plan)


def prepare(world: WorldFile, plan: Plan, kind: str = "local") -> None:
    """Find what is wrong with a world and a plan before anything is written, and compile what is not compiled yet.

    Compiled here, once, kernels are only loaded by the processes that run the world.
    """
    nodes_for(world, plan)
    if kind not in ("local", "ray"):
        raise RunError(f"--engine {kind}: choose local or ray")
    if kind == "ray" and find_spec("ray") is None:
        raise RunError("--engine ray: Ray is not installed: pip install 'umwelt[ray]'")
    if plan.checked:
        check_species(world, try_small_world(world))
    if not cached():
        compile_laws(world, Console(stderr=True))


def ready() -> int:
    """How many kernels are compiled or loaded."""
    return sum(bool(getattr(kernel, "signatures", ())) for kernel in kernels)


def compile_laws(world: WorldFile, console: Console) -> None:
    """Run a small piece of the world for a tick, in which every kernel is compiled."""
    laws = list(world.laws)
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total} laws"),
        TextColumn("{task.fields[kernels]} kernels", style="dim"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("compiling genesis", total=len(laws), kernels=ready())

        def between(law: Law) -> None:
            at = laws.index(law) + 1
            following = laws[at].name if at < len(laws) else "the audit"
            count = f"{ready()} of {len(kernels)}"
            progress.update(task, completed=at, description=f"compiling {following}", kernels=count)

        region = try_small_world(world)
        progress.update(task, description=f"compiling {laws[0].name}")
        region.wrap()
        step(region, world.laws, between)
        audit.digest(region)


class Rates:
    """How fast a world went, from what its directory reports; loading and waiting for nodes do not count."""

    def __init__(self) -> None:
        self.nodes = 0
        self._last: tuple[float, Mapping[str, Any]] | None = None
        self._ticks = self._entity_ticks = self._slowest = 0.0
        self._wall_s = 0.0

    def note(self, status: Mapping[str, Any]) -> None:
        """Take in a report."""
        now_s = time.monotonic()
        living = sum(sum(found.values()) for found in (status["metrics"] or {}).get("populations", {}).values())
        if self._last is not None:
            last_s, last = self._last
            went = status["tick"] - last["tick"]
            if last["phase"] == "running" and last["epoch"] == status["epoch"] and went > 0:
                self._ticks += went
                self._entity_ticks += went * living
                self._wall_s += now_s - last_s
        self._last = (now_s, status)
        found = [node["ticks_per_s"] for node in status["nodes"] if node["ticks_per_s"]]
        self._slowest = min(found, default=self._slowest)
        self.nodes = len([node for node in status["nodes"] if node["rectangle"]]) or self.nodes

    def rates(self, living: int) -> dict[str, float]:
        """Ticks and entity-ticks a second; of a run too short to be reported on, as the slowest node measured them."""
        if self._wall_s:
            found = (self._ticks / self._wall_s, self._entity_ticks / self._wall_s)
        else:
            found = (self._slowest, self._slowest * living)
        return {"ticks_per_s": round(found[0], 3), "entity_ticks_per_s": round(found[1], 3)}


def carry_on(
    world: WorldFile,
    store: Store,
    plan: Plan,
    kind: str,
    view: bool,
    as_json: bool,
    asked: Asked,
    window: bool | None = None,
) -> None:
    """Run until the plan's last tick, or until stopped; then say what came out and how to go on."""
    console = Console(stderr=as_json)
    begun, _ = newest(store)
    engine, rates = carrier(kind, store, plan), Rates()
    try:
        with making(f"starting {world.name}"):
            engine.start()
        watcher: Dashboard | Lines | None = None
        if view and console.is_terminal:
            from umwelt.client.pictures.minimap import Minimap

            tints = {name: parts_of(tint) for name, tint in tints_of(begun).items()}
            minimap = Minimap(world, store.folder, plan.keys, tints)
            watcher = Dashboard(world, store.folder, begun, console, minimap.pixels)
        elif view:
            watcher = Lines(begun, console)
        asked.at_once = False
        with beside(window, store.folder, plan.keys, view and console.is_terminal) as opened:
            if watcher is None:
                _until_resting(engine, asked, rates, opened)
            else:
                with watcher:
                    _until_resting(engine, asked, rates, opened, watcher)
            if opened is not None and opened.line:
                console.print(opened.line, highlight=False, markup=False, soft_wrap=True)
    except KeyboardInterrupt:
        engine.close(AT_ONCE_S)
        raise
    finally:
        engine.close()
    found = summary(world, store, rates)
    how = f"go on with: umwelt resume {store.folder}"
    line = f"{world.name}: saved at tick {found['tick']:,}; {how}"
    console.print(line, highlight=False, markup=False, soft_wrap=True)
    if as_json:
        print(json.dumps(found), flush=True)


def _until_resting(
    engine: Engine, asked: Asked, rates: Rates, window: Beside | None, watcher: Dashboard | Lines | None = None
) -> None:
    assert engine.coordinator is not None
    while not engine.finished:
        if engine.poll(TURN_S):
            rates.note(engine.coordinator.status)
        if asked.to_stop:
            engine.stop()
        if window is not None:
            window.turn()
        if watcher is not None:
            watcher.show(engine.coordinator.status, engine.messages, SAVING if asked.to_stop else "")


def newest(store: Store) -> tuple[Metrics, int]:
    """The last moment that the journal or a snapshot knows, and its digest."""
    moments = []
    if store.journal.is_file():  # moved aside as damaged, the directory begins another
        journal = Journal.reading(store.journal)
        try:
            last, digests = deque(journal.metrics(), maxlen=1), journal.digests()
            moments = [(metrics, digests[metrics.tick]) for metrics in last if metrics.tick in digests]
        finally:
            journal.close()
    manifest = store.newest_manifest()
    if manifest is not None and not (moments and moments[0][0].tick >= manifest.tick):
        counts = manifest.counts
        moments = [(Metrics(manifest.tick, counts["births"], counts["deaths"], {}, {}), int(manifest.digest, 16))]
    return moments[0] if moments else (Metrics(0, 0, 0, {}, {}), 0)


def summary(world: WorldFile, store: Store, rates: Rates) -> dict[str, Any]:
    """What `--json` prints."""
    metrics, digest = newest(store)
    chemistry = world.chemistry
    totals = {name: sum(by_species.values()) for name, by_species in metrics.populations.items()}
    journal = Journal.reading(store.journal)
    try:
        epochs = journal.last_epoch()
    finally:
        journal.close()
    return {
        "tick": metrics.tick,
        "digest": f"{digest:016x}",
        "plants": totals.get("plants", 0),
        "monsters": totals.get("monsters", 0),
        "births": metrics.births,
        "deaths": metrics.deaths,
        "elements": audit.element_totals(metrics.substances, chemistry) if chemistry else {},
        "substances": dict(metrics.substances),
        "populations": metrics.populations,
        **rates.rates(sum(totals.values())),
        "nodes": rates.nodes,
        "epochs": epochs,
        "run": str(store.folder),
    }

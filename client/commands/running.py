"""The commands `umwelt launch` and `umwelt resume`: starting the processes of a run, showing it, stopping it.

The processes are nodes, which compute the world's parts, a coordinator, which directs them, and others; an `Engine`
starts them. A `Plan` holds the options of a run, a `Store` is its folder, and its journal there records measurements
("metrics") and digests (hashes of the world's state). A law is one of the functions that compute a tick.
"""

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
from umwelt.client.commands.dashboard import Dashboard, StatusLines, colour_parts, species_tints
from umwelt.client.commands.window_process import WindowProcess, open_window
from umwelt.cluster import Engine, Journal, Metrics, Plan, Store, check_species, choose_node_count
from umwelt.sandbox import audit
from umwelt.sandbox.errors import RunError
from umwelt.sandbox.kernel import cached, kernels
from umwelt.sandbox.step import Law, step

TURN_S = 0.05
"""Maximum time in seconds of one call of `Engine.poll`."""
CLOSE_AT_ONCE_S = 0.3
"""Seconds after a second Ctrl-C until processes that still run are killed."""
SAVING = "saving the world, then stopping · Ctrl-C again: stop at once"
"""The line that is shown after the first Ctrl-C."""


class StopRequest:
    """A signal handler that records whether the user asked to stop.

    The first Ctrl-C sets `requested`; the caller then saves the world. A second Ctrl-C raises KeyboardInterrupt. While
    `immediate` is true (there is nothing to save yet), the first one already raises it.
    """

    def __init__(self) -> None:
        self.requested = False
        self.immediate = True

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Handles the signals SIGINT and SIGTERM."""
        if self.requested or self.immediate:
            raise KeyboardInterrupt
        self.requested = True

    @classmethod
    @contextmanager
    def listen(cls) -> Iterator["StopRequest"]:
        """Installs a new `StopRequest` as handler of SIGINT and SIGTERM for the time of the context, and yields it."""
        request = cls()
        previous = {number: signal.signal(number, request) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield request
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)


@contextmanager
def show_spinner(text: str) -> Iterator[None]:
    """Shows `text` with an animation for the time of the context, if stderr is a terminal."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield
        return
    with console.status(text):
        yield


def make_engine(kind: str, store: Store, plan: Plan) -> Engine:
    """Returns the engine that starts a run's processes: on this machine for `kind` "local", else by Ray."""
    if kind == "local":
        return Engine(store, plan)
    from umwelt.cluster import RayEngine

    return RayEngine(store, plan)


def prepare(world: WorldFile, plan: Plan, kind: str = "local") -> None:
    """Checks a world and a plan before any file is written, and compiles the laws if no compiled ones are cached.

    The nodes then load the compiled functions (kernels) from the cache. `kind` is the value of the option --engine,
    which must be "local" or "ray". Raises UmweltError if a check fails.
    """
    choose_node_count(world, plan)
    if kind not in ("local", "ray"):
        raise RunError(f"--engine {kind}: choose local or ray")
    if kind == "ray" and find_spec("ray") is None:
        raise RunError("--engine ray: Ray is not installed: pip install 'umwelt[ray]'")
    if plan.checked:
        check_species(world, try_small_world(world))
    if not cached():
        compile_laws(world, Console(stderr=True))


def count_kernels() -> int:
    """Returns the number of kernels (functions compiled to machine code) that this process has compiled or loaded."""
    return sum(bool(getattr(kernel, "signatures", ())) for kernel in kernels)


def compile_laws(world: WorldFile, console: Console) -> None:
    """Compiles all functions that the laws of `world` use, with a progress bar on `console`.

    To do this, it runs a small world with the same laws for one tick.
    """
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
        task = progress.add_task("compiling genesis", total=len(laws), kernels=count_kernels())

        def show_next(law: Law) -> None:
            done_count = laws.index(law) + 1
            following = laws[done_count].name if done_count < len(laws) else "the audit"
            count = f"{count_kernels()} of {len(kernels)}"
            progress.update(task, completed=done_count, description=f"compiling {following}", kernels=count)

        region = try_small_world(world)
        progress.update(task, description=f"compiling {laws[0].name}")
        region.wrap()
        step(region, world.laws, show_next)
        audit.digest(region)


class Rates:
    """Measures the speed of a world from its coordinator's statuses; time spent loading or waiting is not counted.

    `node_count` is the newest number of nodes that compute a part of the world.
    """

    def __init__(self) -> None:
        self.node_count = 0
        self._last: tuple[float, Mapping[str, Any]] | None = None
        self._ticks = self._entity_ticks = self._slowest_ticks_per_s = 0.0
        self._wall_s = 0.0

    def note(self, status: Mapping[str, Any]) -> None:
        """Adds the ticks and the time since the previous status, if the same nodes computed the world throughout."""
        now_s = time.monotonic()
        populations = (status["metrics"] or {}).get("populations", {})
        living_count = sum(sum(counts.values()) for counts in populations.values())
        if self._last is not None:
            last_s, last = self._last
            ticks = status["tick"] - last["tick"]
            if last["phase"] == "running" and last["epoch"] == status["epoch"] and ticks > 0:
                self._ticks += ticks
                self._entity_ticks += ticks * living_count
                self._wall_s += now_s - last_s
        self._last = (now_s, status)
        speeds = [node["ticks_per_s"] for node in status["nodes"] if node["ticks_per_s"]]
        self._slowest_ticks_per_s = min(speeds, default=self._slowest_ticks_per_s)
        self.node_count = len([node for node in status["nodes"] if node["rectangle"]]) or self.node_count

    def summarize(self, living_count: int) -> dict[str, float]:
        """Returns ticks and entity-ticks (ticks times living beings) per second.

        For a run too short to measure, the speed that its slowest node reported is used, with `living_count` beings.
        """
        if self._wall_s:
            ticks_per_s, entity_ticks_per_s = self._ticks / self._wall_s, self._entity_ticks / self._wall_s
        else:
            ticks_per_s, entity_ticks_per_s = self._slowest_ticks_per_s, self._slowest_ticks_per_s * living_count
        return {"ticks_per_s": round(ticks_per_s, 3), "entity_ticks_per_s": round(entity_ticks_per_s, 3)}


def run_world(
    world: WorldFile,
    store: Store,
    plan: Plan,
    kind: str,
    view: bool,
    as_json: bool,
    stop_request: StopRequest,
    window: bool | None = None,
) -> None:
    """Runs a world until the plan's last tick or a stop request; then prints the tick and how to resume the run.

    `kind` is "local" or "ray". `view` shows the world in the terminal; `window` opens a window (None: if there is a
    display). With `as_json`, also prints the result of `summarize`. A first signal, recorded in `stop_request`, saves
    and stops the world.
    """
    console = Console(stderr=as_json)
    first_metrics, _ = find_newest(store)
    engine, rates = make_engine(kind, store, plan), Rates()
    try:
        with show_spinner(f"starting {world.name}"):
            engine.start()
        watcher: Dashboard | StatusLines | None = None
        if view and console.is_terminal:
            from umwelt.client.pictures.minimap import Minimap

            tints = {name: colour_parts(tint) for name, tint in species_tints(first_metrics).items()}
            minimap = Minimap(world, store.folder, plan.keys, tints)
            watcher = Dashboard(world, store.folder, first_metrics, console, minimap.pixels)
        elif view:
            watcher = StatusLines(first_metrics, console)
        stop_request.immediate = False
        with open_window(window, store.folder, plan.keys, view and console.is_terminal) as window_process:
            if watcher is None:
                _poll_until_finished(engine, stop_request, rates, window_process)
            else:
                with watcher:
                    _poll_until_finished(engine, stop_request, rates, window_process, watcher)
            if window_process is not None and window_process.line:
                console.print(window_process.line, highlight=False, markup=False, soft_wrap=True)
    except KeyboardInterrupt:
        engine.close(CLOSE_AT_ONCE_S)
        raise
    finally:
        engine.close()
    summary = summarize(world, store, rates)
    fix = f"go on with: umwelt resume {store.folder}"
    line = f"{world.name}: saved at tick {summary['tick']:,}; {fix}"
    console.print(line, highlight=False, markup=False, soft_wrap=True)
    if as_json:
        print(json.dumps(summary), flush=True)


def _poll_until_finished(
    engine: Engine,
    stop_request: StopRequest,
    rates: Rates,
    window: WindowProcess | None,
    watcher: Dashboard | StatusLines | None = None,
) -> None:
    """Polls the processes of a run, and updates `rates`, `window` and `watcher`, until all processes have ended.

    If the user has asked to stop, asks the processes to save the world and end.
    """
    assert engine.coordinator is not None
    while not engine.finished:
        if engine.poll(TURN_S):
            rates.note(engine.coordinator.status)
        if stop_request.requested:
            engine.stop()
        if window is not None:
            window.poll()
        if watcher is not None:
            note = SAVING if stop_request.requested else ""
            watcher.show(engine.coordinator.status, engine.messages, note)


def find_newest(store: Store) -> tuple[Metrics, int]:
    """Returns the newest metrics in the journal or a snapshot, and the world's digest at their tick.

    A snapshot is the complete state of the world at a tick, saved in the run's folder; metrics from one have no
    populations and no substances. If there is neither a journal nor a snapshot, returns zeros for tick 0.
    """
    newest: tuple[Metrics, int] | None = None
    if store.journal.is_file():  # the coordinator moves a damaged journal aside before it begins another
        journal = Journal.reading(store.journal)
        try:
            last, digests = deque(journal.history.metrics(), maxlen=1), journal.history.digests()
            for metrics in last:
                newest = (metrics, digests[metrics.tick]) if metrics.tick in digests else None
        finally:
            journal.close()
    manifest = store.newest_manifest()
    if manifest is not None and not (newest is not None and newest[0].tick >= manifest.tick):
        counts = manifest.counts
        return Metrics(manifest.tick, counts["births"], counts["deaths"], {}, {}), int(manifest.digest, 16)
    return newest or (Metrics(0, 0, 0, {}, {}), 0)


def summarize(world: WorldFile, store: Store, rates: Rates) -> dict[str, Any]:
    """Returns the object that `--json` prints at the end of a run: state of the last tick, speed, nodes, epochs.

    An epoch is a period in which the division of the world among nodes does not change; "epochs" is the last number.
    """
    metrics, digest = find_newest(store)
    chemistry = world.chemistry
    totals = {table: sum(counts.values()) for table, counts in metrics.populations.items()}
    journal = Journal.reading(store.journal)
    try:
        epochs = journal.history.last_epoch()
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
        **rates.summarize(sum(totals.values())),
        "nodes": rates.node_count,
        "epochs": epochs,
        "run": str(store.folder),
    }

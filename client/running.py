"""Carrying on a run from the command line: compile, show it, stop when asked, save, and say what came out."""

import json
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from umwelt.client.dashboard import Dashboard, Lines
from umwelt.cluster.engine import Run
from umwelt.sandbox.kernel import kernels
from umwelt.sandbox.step import Law


class Asked:
    """Whether somebody asked to stop: the first Ctrl-C waits for the end of the tick, the second does not.

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
    """Shows that a world is being made or loaded, which compiles a little too."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield
        return
    with console.status(f"making {name}"):
        yield


def carry_on(run: Run, ticks: int | None, view: bool, as_json: bool, asked: Asked) -> None:
    """Run `ticks` ticks, or until stopped; then save, and say what came out and how to go on."""
    asked.at_once = False
    console = Console(stderr=as_json)
    for line in run.passed_over:
        print(line, file=sys.stderr)
    last_tick = None if ticks is None else run.tick + ticks
    try:
        if last_tick is None or run.tick < last_tick:
            first_tick(run, Console(stderr=True))
        watcher = None if not view else Dashboard(run, console) if console.is_terminal else Lines(run, console)
        if watcher is None:
            _until_asked(run, last_tick, asked)
        else:
            with watcher:
                _until_asked(run, last_tick, asked, watcher)
        run.save()
    finally:
        run.close()
    how = f"go on with: umwelt resume {run.store.folder}"
    console.print(f"{run.world.name}: saved at tick {run.tick:,}; {how}", highlight=False, markup=False, soft_wrap=True)
    if as_json:
        print(json.dumps(run.summary()), flush=True)


def _until_asked(run: Run, last_tick: int | None, asked: Asked, watcher: Dashboard | Lines | None = None) -> None:
    if asked.to_stop:
        return
    for _ in run.ticks(last_tick):
        if watcher is not None:
            watcher.show()
        if asked.to_stop:
            return


def ready() -> int:
    """How many kernels are compiled or loaded."""
    return sum(bool(getattr(kernel, "signatures", ())) for kernel in kernels)


def first_tick(run: Run, console: Console) -> None:
    """The first tick of a process, in which kernels are compiled, or loaded from where they were kept."""
    laws = list(run.world.laws)
    columns = (
        SpinnerColumn(), TextColumn("{task.description}"), BarColumn(),
        TextColumn("{task.completed}/{task.total} laws"), TextColumn("{task.fields[kernels]} kernels", style="dim"),
        TimeElapsedColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(f"compiling {laws[0].name}", total=len(laws), kernels=ready())

        def between(law: Law) -> None:
            at = laws.index(law) + 1
            following = laws[at].name if at < len(laws) else "the audit"
            count = f"{ready()} of {len(kernels)}"
            progress.update(task, completed=at, description=f"compiling {following}", kernels=count)

        next(run.ticks(between=between))

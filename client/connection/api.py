"""Connections to a running world: to watch, query and change it from a script, a notebook or an asyncio program.

    from umwelt import connect

    with connect("runs/meadow-1") as world:
        hungry = world.query(where=[("sugar_count", "<", 20)], columns=["y", "x", "species"])
        world.rain(y=40, x=60, radius_cells=8, count=200)
        for view in world.watch((0, 0, 128, 128), layers=["water"]):
            ...

The methods of `Connection` block until the answer arrives. `AsyncConnection`, returned by `connect_async`, has the same
methods as coroutines; `PromisedConnection` in `promises.py` has methods that return promises, for programs with their
own main loop. Most methods of all three are generated from the functions in `requests.py` and `workflows.py`, which
document them.

A running world consists of processes: *nodes* compute its parts, the *coordinator* divides the world among them, and
the *gateway* answers connections. Every command returns the tick at which it takes effect. If the gateway is lost, the
connection finds it again and resends unanswered requests; each is executed once. Errors are `RunError` or
`CommandError` (see `docs/errors.md`).
"""

import asyncio
import functools
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import msgspec

from umwelt.client.connection import requests, workflows
from umwelt.client.connection.answers import Cells, Status, check_shape
from umwelt.client.connection.connection import GatewayLink
from umwelt.client.connection.requests import Request, Target
from umwelt.client.connection.views import View, Watcher
from umwelt.client.connection.workflows import WorldFlow, run_world_workflow
from umwelt.cluster import LIVE, MAX_WORKFLOW_TASKS, WORKFLOW_WITHIN_S, Keys, best_role
from umwelt.sandbox.errors import RunError
from umwelt.sandbox.region import Torus

TIMEOUT_S = 30.0
"""Default time limit of connecting and of each request, in seconds."""
CANCEL_WITHIN_S = 1.0
"""Seconds that a workflow has to cancel its tasks after Ctrl-C."""

P = ParamSpec("P")
T = TypeVar("T")


def connect(
    address: str | Path,
    keys: str | Path | Keys | None = None,
    timeout_s: float = TIMEOUT_S,
    bytes_per_s: float | None = None,
) -> "Connection":
    """Connects to a running world and returns the connection.

    `address` is the folder of a run on this machine, or the gateway's address, as in "tcp://HOST:PORT". `keys` is a
    folder with keys, if the world requires them. Requests that take longer than `timeout_s` raise RunError.
    `bytes_per_s` limits the average rate at which the data of views arrive: there are fewer views, but always the
    newest; None means no limit. Raises RunError if no gateway answers within `timeout_s`.
    """
    return Connection(open_link(address, keys, bytes_per_s), timeout_s)


async def connect_async(
    address: str | Path,
    keys: str | Path | Keys | None = None,
    timeout_s: float = TIMEOUT_S,
    bytes_per_s: float | None = None,
) -> "AsyncConnection":
    """Connects to a running world as `connect` does; returns a connection whose methods are coroutines."""
    link = open_link(address, keys, bytes_per_s)
    return await asyncio.to_thread(AsyncConnection, link, timeout_s)


def open_link(address: str | Path, keys: str | Path | Keys | None, bytes_per_s: float | None) -> GatewayLink:
    """Returns a link that is not yet open; arguments as for `connect`. The connection's constructor opens it."""
    if isinstance(keys, str | Path):
        keys = Keys.load(Path(keys), best_role(Path(keys)))
    return GatewayLink(address, keys, bytes_per_s)


class Place:
    """Base of all classes of this module that send requests, to a running world or to a past tick of it.

    It holds the link to the gateway, and has the properties of the world that the gateway announced. `shown` is `LIVE`
    for the running world, or the past tick that was passed to `show`.
    """

    def __init__(self, link: GatewayLink, shown: int, timeout_s: float):
        self.link, self.timeout_s = link, timeout_s
        self._shown = shown

    @property
    def _target(self) -> Target:
        """The description of the addressed world, from which the functions of `requests.py` compose messages."""
        return Target(self.link.known, self._shown)

    @property
    def torus(self) -> Torus:
        """The world's height and width in cells."""
        return Torus(self.link.known.height, self.link.known.width)

    @property
    def species(self) -> list[str]:
        """The names of the species; the position is the index used in `species` columns."""
        return self.link.known.species

    @property
    def layers(self) -> list[str]:
        """The names of the layers (quantities with one value per cell, as "water") that `watch` and `field` accept."""
        return self.link.known.layers[1:]

    @property
    def columns(self) -> dict[str, list[str]]:
        """The names of the columns that `query` accepts, by table ("plants", "monsters" or another kind of beings)."""
        return self.link.known.columns


class RunningWorld(Place):
    """Base of all connections to a running world: opens the link, and has properties that a past tick does not have."""

    def __init__(self, link: GatewayLink, timeout_s: float = TIMEOUT_S):
        super().__init__(link, LIVE, timeout_s)
        link.open(timeout_s)

    @property
    def role(self) -> str:
        """The connection's role, which determines its permissions, as "keeper" (all) or "spectator" (read only)."""
        return self.link.known.role

    @property
    def coordinator_address(self) -> str:
        """The coordinator's address, to which nodes connect; empty for spectators."""
        return self.link.known.coordinator

    @property
    def name(self) -> str:
        """The world's name."""
        return self.link.known.world

    @property
    def bytes_per_s(self) -> float | None:
        """Limit of the average rate at which the data of views arrive, in bytes per second; None for no limit.

        Can be set at any time.
        """
        return self.link.bytes_per_s

    @bytes_per_s.setter
    def bytes_per_s(self, bytes_per_s: float | None) -> None:
        self.link.bytes_per_s = bytes_per_s


def _has_reached(tick: int) -> Callable[[dict[str, Any]], bool]:
    """Returns a function that returns whether the world has reached `tick`, given a status of the world."""
    return lambda status: bool(status.get("tick", -1) >= tick)


def _read_status(link: GatewayLink, status: dict[str, Any]) -> Status:
    """Returns the status as a typed dictionary. Raises RunError if it is malformed."""
    try:
        return check_shape(status, Status)
    except msgspec.ValidationError as error:
        fix = "see that the gateway runs this version of umwelt"
        raise RunError(f"{link.address}: malformed status: {error}: {fix}") from None


def _no_answer(link: GatewayLink, request: Request[Any], timeout_s: float) -> RunError:
    """Returns the error to raise if `request` is not answered within `timeout_s` seconds."""
    fix = "see whether the world still runs"
    return RunError(f"{link.address}: no answer to {request.name} within {timeout_s:g} s: {fix}")


# --- asynchronous


class AsyncPlace(Place):
    """Base of the classes whose methods are coroutines: sends requests, watches views and runs workflows."""

    async def _answer(self, request: Request[T]) -> T:
        """Sends `request`, waits for the answer, and returns its result. Raises RunError after the time limit."""
        timeout_s = self.timeout_s if request.timeout_s is None else request.timeout_s
        future = self.link.ask(request.compose, request.once)
        try:
            return request.read(await asyncio.wait_for(asyncio.wrap_future(future), timeout_s))
        except TimeoutError:
            raise _no_answer(self.link, request, timeout_s) from None

    async def _wait_in_thread(self, wait: Callable[[Callable[[], bool]], T]) -> T:
        """Runs `wait` in a thread and returns its result.

        `wait` is called with a function that returns true once this coroutine is cancelled; it must then return.
        """
        cancelled = threading.Event()
        try:
            return await asyncio.to_thread(wait, cancelled.is_set)
        finally:
            cancelled.set()
            self.link.wake()

    async def watch(
        self,
        rectangle: Cells | None = None,
        level: str = "bodies",
        layers: Iterable[str] = (),
        beings: bool = True,
        timeout_s: float | None = None,
    ) -> AsyncIterator[View]:
        """Yields views of a rectangle (for `async for`); see `Connection.watch`."""
        watcher = Watcher(self.link, self._shown, rectangle, level, layers, beings)
        try:
            while True:
                yield await asyncio.to_thread(watcher.next_view, timeout_s)
        finally:
            watcher.close()

    async def workflow(
        self,
        function: Callable[..., Awaitable[T]],
        *arguments: Any,
        max_tasks: int = MAX_WORKFLOW_TASKS,
        within_s: float = WORKFLOW_WITHIN_S,
        **named: Any,
    ) -> T:
        """Runs a workflow and returns its result; see `Connection.workflow`."""
        return await run_world_workflow(self.link, self._shown, function, arguments, named, max_tasks, within_s)

    async def task(
        self, name: str, *arguments: Any, near: Sequence[int] = (), within_s: float = 0.0, **named: Any
    ) -> Any:
        """Runs one task on a node or worker and returns its result; see `Connection.task`."""

        async def one_task(flow: WorldFlow) -> Any:
            return await flow.run(name, *arguments, near=near, within_s=within_s, **named)

        return await self.workflow(one_task)


def _async_request(
    build: Callable[Concatenate[Target, P], Request[T]],
) -> Callable[Concatenate[AsyncPlace, P], Coroutine[Any, Any, T]]:
    """Returns a coroutine method that sends the request that `build` returns, and awaits its answer."""

    @functools.wraps(build)
    async def method(self: AsyncPlace, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._answer(build(self._target, *args, **kwargs))

    return method


def _async_query(
    function: Callable[Concatenate[WorldFlow, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[AsyncPlace, P], Coroutine[Any, Any, T]]:
    """Returns a coroutine method that runs the workflow `function` of `workflows.py`."""

    @functools.wraps(function)
    async def method(self: AsyncPlace, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self.workflow(lambda flow: function(flow, *args, **kwargs), within_s=self.timeout_s)

    return method


class AsyncQuestions(AsyncPlace):
    """The methods of `Questions`, which query a running world or a past tick, as coroutines."""

    query = _async_request(requests.query)
    count = _async_request(requests.count)
    fetch = _async_request(requests.fetch)
    field = _async_request(requests.field)
    census = _async_query(workflows.census)
    heatmap = _async_query(workflows.heatmap)
    nearest = _async_query(workflows.nearest)
    lineage = _async_query(workflows.lineage)


class AsyncConnection(RunningWorld, AsyncQuestions):
    """A connection to a running world with coroutine methods, returned by `connect_async`.

    As an async context manager, it disconnects on exit.
    """

    async def __aenter__(self) -> "AsyncConnection":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Disconnects; the world keeps running."""
        await asyncio.to_thread(self.link.close)

    async def status(self) -> Status:
        """Returns the status of the world; see `Connection.status`."""
        wait = functools.partial(self.link.wait_for_status, bool, self.timeout_s)
        return _read_status(self.link, await self._wait_in_thread(wait))

    async def wait(self, tick: int, timeout_s: float | None = None) -> int:
        """Waits until the world has reached `tick`; see `Connection.wait`."""
        wait = functools.partial(self.link.wait_for_status, _has_reached(tick), timeout_s)
        return _read_status(self.link, await self._wait_in_thread(wait))["tick"]

    async def show(self, tick: int) -> "AsyncMoment":
        """Returns an object that watches and queries the world as it was at `tick`; see `Connection.show`."""
        return AsyncMoment(self.link, await self._answer(requests.show(self._target, tick)), self.timeout_s)

    command = _async_request(requests.command)
    drop = _async_request(requests.drop)
    paint = _async_request(requests.paint)
    rain = _async_request(requests.rain)
    spawn = _async_request(requests.spawn)
    remove = _async_request(requests.remove)
    move = _async_request(requests.move)
    wound = _async_request(requests.wound)
    drive = _async_request(requests.drive)
    release = _async_request(requests.release)
    set_rate = _async_request(requests.set_rate)
    do = _async_request(requests.do)

    pause = _async_request(requests.pause)
    go = _async_request(requests.go)
    step = _async_request(requests.step)
    speed = _async_request(requests.speed)
    save = _async_request(requests.save)
    leave = _async_request(requests.leave)
    stop = _async_request(requests.stop)

    snapshots = _async_request(requests.snapshots)
    fork = _async_request(requests.fork)
    metrics = _async_request(requests.metrics)
    births = _async_request(requests.births)
    family = _async_request(requests.family)


class AsyncMoment(AsyncQuestions):
    """A past tick of a run, with coroutine methods; returned by `AsyncConnection.show`."""

    def __init__(self, link: GatewayLink, tick: int, timeout_s: float):
        super().__init__(link, tick, timeout_s)
        self.tick = tick

    play = _async_request(requests.play)
    rest = _async_request(requests.rest)


# --- synchronous


class WaitingPlace(Place):
    """Base of the classes whose methods block for the answer: sends requests, watches views and runs workflows."""

    def _answer(self, request: Request[T]) -> T:
        """Sends `request`, waits for the answer, and returns its result. Raises RunError after the time limit."""
        timeout_s = self.timeout_s if request.timeout_s is None else request.timeout_s
        future = self.link.ask(request.compose, request.once)
        try:
            reply = future.result(timeout_s)
        except FutureTimeoutError:
            future.cancel()
            raise _no_answer(self.link, request, timeout_s) from None
        return request.read(reply)

    def watch(
        self,
        rectangle: Cells | None = None,
        level: str = "bodies",
        layers: Iterable[str] = (),
        beings: bool = True,
        timeout_s: float | None = None,
    ) -> Iterator[View]:
        """Returns an iterator over views of `rectangle` (y, x, height, width; None: the full world).

        Each iteration waits for a change in the rectangle and yields the newest view; a slow caller misses older views.
        `level` is "bodies" (all visible columns of beings), "dots" (position, species and size) or "densities" (counts
        over bins of 8 x 8 cells). `layers` are names from the property `layers`; if `beings` is false, views contain
        layers only. Raises RunError after `timeout_s` without a change.
        """
        watcher = Watcher(self.link, self._shown, rectangle, level, layers, beings)

        def views() -> Iterator[View]:
            try:
                while True:
                    yield watcher.next_view(timeout_s)
            finally:
                watcher.close()

        return views()

    def workflow(
        self,
        function: Callable[..., Awaitable[T]],
        *arguments: Any,
        max_tasks: int = MAX_WORKFLOW_TASKS,
        within_s: float = WORKFLOW_WITHIN_S,
        **named: Any,
    ) -> T:
        """Runs a workflow to its end and returns its result.

        `function` is a coroutine function, called with a `WorldFlow` and then `arguments` and `named`. See
        `docs/workflows.md`. Raises RunError if the workflow requests more than `max_tasks` tasks or takes longer than
        `within_s` seconds.
        """
        return _run_in_thread(
            lambda: run_world_workflow(self.link, self._shown, function, arguments, named, max_tasks, within_s)
        )

    def task(self, name: str, *arguments: Any, near: Sequence[int] = (), within_s: float = 0.0, **named: Any) -> Any:
        """Runs the task called `name`, a function that the world's processes know, and returns its result.

        The task runs on the node that owns the cell `near` (y, x), or on an idle node if `near` is empty, for at most
        `within_s` seconds (0: 10 s).
        """

        async def one_task(flow: WorldFlow) -> Any:
            return await flow.run(name, *arguments, near=near, within_s=within_s, **named)

        return self.workflow(one_task)


def _request(
    build: Callable[Concatenate[Target, P], Request[T]],
) -> Callable[Concatenate[WaitingPlace, P], T]:
    """Returns a method that sends the request that `build` returns, and blocks for its answer."""

    @functools.wraps(build)
    def method(self: WaitingPlace, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._answer(build(self._target, *args, **kwargs))

    return method


def _query(
    function: Callable[Concatenate[WorldFlow, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[WaitingPlace, P], T]:
    """Returns a blocking method that runs the workflow `function` of `workflows.py`."""

    @functools.wraps(function)
    def method(self: WaitingPlace, *args: P.args, **kwargs: P.kwargs) -> T:
        return self.workflow(lambda flow: function(flow, *args, **kwargs), within_s=self.timeout_s)

    return method


class Questions(WaitingPlace):
    """The queries that both a running world and a past tick of it can answer, as blocking methods."""

    query = _request(requests.query)
    count = _request(requests.count)
    fetch = _request(requests.fetch)
    field = _request(requests.field)
    census = _query(workflows.census)
    heatmap = _query(workflows.heatmap)
    nearest = _query(workflows.nearest)
    lineage = _query(workflows.lineage)


class Connection(RunningWorld, Questions):
    """A connection to a running world, returned by `connect`. As a context manager, it disconnects on exit."""

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Disconnects; the world keeps running."""
        self.link.close()

    def status(self) -> Status:
        """Returns the newest status of the world, typically a few tenths of a second old."""
        return _read_status(self.link, self.link.wait_for_status(bool, self.timeout_s))

    def wait(self, tick: int, timeout_s: float | None = None) -> int:
        """Waits until the world has reached `tick`; returns its present tick. Raises RunError after `timeout_s`."""
        return _read_status(self.link, self.link.wait_for_status(_has_reached(tick), timeout_s))["tick"]

    def show(self, tick: int) -> "Moment":
        """Returns an object that watches and queries the world as it was at `tick`, while the world keeps running.

        The gateway replays the run from the last snapshot before that tick, which can take minutes.
        """
        return Moment(self.link, self._answer(requests.show(self._target, tick)), self.timeout_s)

    command = _request(requests.command)
    drop = _request(requests.drop)
    paint = _request(requests.paint)
    rain = _request(requests.rain)
    spawn = _request(requests.spawn)
    remove = _request(requests.remove)
    move = _request(requests.move)
    wound = _request(requests.wound)
    drive = _request(requests.drive)
    release = _request(requests.release)
    set_rate = _request(requests.set_rate)
    do = _request(requests.do)

    pause = _request(requests.pause)
    go = _request(requests.go)
    step = _request(requests.step)
    speed = _request(requests.speed)
    save = _request(requests.save)
    leave = _request(requests.leave)
    stop = _request(requests.stop)

    snapshots = _request(requests.snapshots)
    fork = _request(requests.fork)
    metrics = _request(requests.metrics)
    births = _request(requests.births)
    family = _request(requests.family)


class Moment(Questions):
    """A past tick of a run, which can be watched and queried; returned by `Connection.show`."""

    def __init__(self, link: GatewayLink, tick: int, timeout_s: float):
        super().__init__(link, tick, timeout_s)
        self.tick = tick

    play = _request(requests.play)
    rest = _request(requests.rest)


def _run_in_thread(begin: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Calls `begin` in a new thread, runs the coroutine that it returns, and returns the coroutine's result.

    This works even if the calling thread already runs an event loop, as in a notebook. Ctrl-C cancels the coroutine.
    """
    result: Future[T] = Future()
    running: list[tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]]] = []

    async def main() -> T:
        task = asyncio.current_task()
        assert task is not None
        running.append((asyncio.get_running_loop(), task))
        return await begin()

    def run() -> None:
        try:
            result.set_result(asyncio.run(main()))
        except BaseException as error:
            result.set_exception(error)

    thread = threading.Thread(target=run, name="umwelt-workflow", daemon=True)
    thread.start()
    try:
        return result.result()
    except KeyboardInterrupt:
        for loop, task in running:
            loop.call_soon_threadsafe(task.cancel)
        thread.join(CANCEL_WITHIN_S)
        raise

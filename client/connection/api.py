"""A running world in Python: watch it, query it, change it, from a script, a notebook or an asynchronous program.

    from umwelt import connect

    with connect("runs/meadow-1") as world:
        hungry = world.query(where=[("sugar_count", "<", 20)], columns=["y", "x", "species"])
        world.rain(y=40, x=60, radius_cells=8, count=200)
        for view in world.watch((0, 0, 128, 128), layers=["water"]):
            ...

`Connection` waits for each answer. `AsyncConnection`, made by `connect_async`, has the same methods as coroutines;
`promises.py` has them with answers to collect later, for programs with a main loop of their own. All three are lists of
methods that are made of the functions in `requests.py` and `workflows.py`, where their documentation is.

Every command returns the tick at which it takes effect. A gateway that is lost is found again; what was requested in
between is sent again, and done once. Errors are `RunError` or `CommandError` (see `docs/errors.md`).
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
CANCEL_WITHIN_S = 1.0
"""After Ctrl-C a workflow has so long to cancel its tasks."""

P = ParamSpec("P")
T = TypeVar("T")


def connect(
    address: str | Path,
    keys: str | Path | Keys | None = None,
    timeout_s: float = TIMEOUT_S,
    bytes_per_s: float | None = None,
) -> "Connection":
    """Connects to a running world.

    `address` is the folder of a run on this machine, or the gateway's address, as in "tcp://HOST:PORT". `keys` is a
    folder with keys, if the world asks for them. An answer that takes longer than `timeout_s` is an error. Tiles that
    are watched arrive at `bytes_per_s` on average at most: fewer of them, but always the newest; None sets no limit.
    Raises RunError if no gateway answers in time.
    """
    return Connection(open_link(address, keys, bytes_per_s), timeout_s)


async def connect_async(
    address: str | Path,
    keys: str | Path | Keys | None = None,
    timeout_s: float = TIMEOUT_S,
    bytes_per_s: float | None = None,
) -> "AsyncConnection":
    """Connects to a running world as `connect` does; the connection's methods are coroutines."""
    link = open_link(address, keys, bytes_per_s)
    return await asyncio.to_thread(AsyncConnection, link, timeout_s)


def open_link(address: str | Path, keys: str | Path | Keys | None, bytes_per_s: float | None) -> GatewayLink:
    """Returns the link for a connection, which opens it; arguments as for `connect`."""
    if isinstance(keys, str | Path):
        keys = Keys.load(Path(keys), best_role(Path(keys)))
    return GatewayLink(address, keys, bytes_per_s)


class Place:
    """What all connections and moments have in common: the link, and what the gateway announced of the world."""

    def __init__(self, link: GatewayLink, shown: int, timeout_s: float):
        self.link, self.timeout_s = link, timeout_s
        self._shown = shown

    @property
    def _target(self) -> Target:
        return Target(self.link.known, self._shown)

    @property
    def torus(self) -> Torus:
        """The world's height and width in cells."""
        return Torus(self.link.known.height, self.link.known.width)

    @property
    def species(self) -> list[str]:
        """The names of species by their index."""
        return self.link.known.species

    @property
    def layers(self) -> list[str]:
        """The layers that `watch` and `field` show."""
        return self.link.known.layers[1:]

    @property
    def columns(self) -> dict[str, list[str]]:
        """The columns that `query` takes, by table."""
        return self.link.known.columns


class RunningWorld(Place):
    """What connections of all kinds know of the running world itself."""

    def __init__(self, link: GatewayLink, timeout_s: float = TIMEOUT_S):
        super().__init__(link, LIVE, timeout_s)
        link.open(timeout_s)

    @property
    def role(self) -> str:
        """What the gateway lets this connection do: "keeper" (everything), "spectator" (watch and query), ..."""
        return self.link.known.role

    @property
    def coordinator_address(self) -> str:
        """Where nodes join; empty for spectators."""
        return self.link.known.directory

    @property
    def name(self) -> str:
        """The world's name."""
        return self.link.known.world

    @property
    def bytes_per_s(self) -> float | None:
        """The limit of bytes of tiles a second, on average; None for no limit. Can be set at any time."""
        return self.link.bytes_per_s

    @bytes_per_s.setter
    def bytes_per_s(self, bytes_per_s: float | None) -> None:
        self.link.bytes_per_s = bytes_per_s


def _has_reached(tick: int) -> Callable[[dict[str, Any]], bool]:
    return lambda status: bool(status.get("tick", -1) >= tick)


def _read_status(link: GatewayLink, status: dict[str, Any]) -> Status:
    try:
        return check_shape(status, Status)
    except msgspec.ValidationError as error:
        fix = "see that the gateway runs this version of umwelt"
        raise RunError(f"{link.address}: malformed status: {error}: {fix}") from None


def _no_answer(link: GatewayLink, request: Request[Any], timeout_s: float) -> RunError:
    fix = "see whether the world still runs"
    return RunError(f"{link.address}: no answer to {request.name} within {timeout_s:g} s: {fix}")


# --- asynchronous


class AsyncPlace(Place):
    """What can be asked of a world or of a moment, as coroutines."""

    async def _answer(self, request: Request[T]) -> T:
        timeout_s = self.timeout_s if request.timeout_s is None else request.timeout_s
        future = self.link.ask(request.compose, request.once)
        try:
            return request.read(await asyncio.wait_for(asyncio.wrap_future(future), timeout_s))
        except TimeoutError:
            raise _no_answer(self.link, request, timeout_s) from None

    async def _wait_in_thread(self, wait: Callable[[Callable[[], bool]], T]) -> T:
        """Waits in a thread, which ends when this is cancelled: `wait` is given a function that tells so."""
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
        """Yields views of a rectangle, for `async for`; see `Connection.watch`."""
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
        """Awaits a workflow; see `Connection.workflow`."""
        return await run_world_workflow(self.link, self._shown, function, arguments, named, max_tasks, within_s)

    async def task(
        self, name: str, *arguments: Any, near: Sequence[int] = (), within_s: float = 0.0, **named: Any
    ) -> Any:
        """Has one task done; see `Connection.task`."""

        async def one_task(flow: WorldFlow) -> Any:
            return await flow.run(name, *arguments, near=near, within_s=within_s, **named)

        return await self.workflow(one_task)


def _async_request(
    build: Callable[Concatenate[Target, P], Request[T]],
) -> Callable[Concatenate[AsyncPlace, P], Coroutine[Any, Any, T]]:
    """Returns a method that sends a request and awaits its answer."""

    @functools.wraps(build)
    async def method(self: AsyncPlace, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._answer(build(self._target, *args, **kwargs))

    return method


def _async_query(
    function: Callable[Concatenate[WorldFlow, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[AsyncPlace, P], Coroutine[Any, Any, T]]:
    """Returns a method that awaits a workflow of ours."""

    @functools.wraps(function)
    async def method(self: AsyncPlace, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self.workflow(lambda flow: function(flow, *args, **kwargs), within_s=self.timeout_s)

    return method


class AsyncQuestions(AsyncPlace):
    """The questions of `Questions`, as coroutines."""

    query = _async_request(requests.query)
    count = _async_request(requests.count)
    fetch = _async_request(requests.fetch)
    field = _async_request(requests.field)
    census = _async_query(workflows.census)
    heatmap = _async_query(workflows.heatmap)
    nearest = _async_query(workflows.nearest)
    lineage = _async_query(workflows.lineage)


class AsyncConnection(RunningWorld, AsyncQuestions):
    """A connection to a running world whose methods are coroutines; `connect_async` makes one. An `async` context."""

    async def __aenter__(self) -> "AsyncConnection":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Disconnects; the world runs on."""
        await asyncio.to_thread(self.link.close)

    async def status(self) -> Status:
        """Returns the state of the world; see `Connection.status`."""
        wait = functools.partial(self.link.wait_for_status, bool, self.timeout_s)
        return _read_status(self.link, await self._wait_in_thread(wait))

    async def wait(self, tick: int, timeout_s: float | None = None) -> int:
        """Waits until the world has reached a tick; see `Connection.wait`."""
        wait = functools.partial(self.link.wait_for_status, _has_reached(tick), timeout_s)
        return _read_status(self.link, await self._wait_in_thread(wait))["tick"]

    async def show(self, tick: int) -> "AsyncMoment":
        """Returns a moment of the past; see `Connection.show`."""
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
    """A tick of the past whose methods are coroutines; `AsyncConnection.show` makes one."""

    def __init__(self, link: GatewayLink, tick: int, timeout_s: float):
        super().__init__(link, tick, timeout_s)
        self.tick = tick

    play = _async_request(requests.play)
    rest = _async_request(requests.rest)


# --- synchronous


class WaitingPlace(Place):
    """What can be asked of a world or of a moment, by methods that wait for the answer."""

    def _answer(self, request: Request[T]) -> T:
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
        """Yields views of a rectangle (y, x, height, width), the newest whenever something of it has changed.

        A slow reader misses views, never the newest. `level` is "bodies" (all that shows), "dots" (place, species and
        size) or "densities" (counts over bins of 8 x 8 cells). `layers` are names from `layers`. Raises RunError after
        `timeout_s` without a change.
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
        """Runs a workflow to its end: a coroutine function, which is given a `WorldFlow` and then these arguments.

        `docs/workflows.md` tells how to write one. Raises RunError if it requests more than `max_tasks` tasks or takes
        longer than `within_s`.
        """
        return _run_in_thread(
            lambda: run_world_workflow(self.link, self._shown, function, arguments, named, max_tasks, within_s)
        )

    def task(self, name: str, *arguments: Any, near: Sequence[int] = (), within_s: float = 0.0, **named: Any) -> Any:
        """Has one task done and returns its result.

        It runs at the node that owns the cell `near` (y, x), or at an idle one, for `within_s` at most (0: 10 s).
        """

        async def one_task(flow: WorldFlow) -> Any:
            return await flow.run(name, *arguments, near=near, within_s=within_s, **named)

        return self.workflow(one_task)


def _request(
    build: Callable[Concatenate[Target, P], Request[T]],
) -> Callable[Concatenate[WaitingPlace, P], T]:
    """Returns a method that sends a request and waits for its answer."""

    @functools.wraps(build)
    def method(self: WaitingPlace, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._answer(build(self._target, *args, **kwargs))

    return method


def _query(
    function: Callable[Concatenate[WorldFlow, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[WaitingPlace, P], T]:
    """Returns a method that runs a workflow of ours."""

    @functools.wraps(function)
    def method(self: WaitingPlace, *args: P.args, **kwargs: P.kwargs) -> T:
        return self.workflow(lambda flow: function(flow, *args, **kwargs), within_s=self.timeout_s)

    return method


class Questions(WaitingPlace):
    """The questions that a running world and a moment of its past answer alike."""

    query = _request(requests.query)
    count = _request(requests.count)
    fetch = _request(requests.fetch)
    field = _request(requests.field)
    census = _query(workflows.census)
    heatmap = _query(workflows.heatmap)
    nearest = _query(workflows.nearest)
    lineage = _query(workflows.lineage)


class Connection(RunningWorld, Questions):
    """A connection to a running world; `connect` makes one. A context: leaving it disconnects."""

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Disconnects; the world runs on."""
        self.link.close()

    def status(self) -> Status:
        """Returns the state of the world, a few tenths of a second old."""
        return _read_status(self.link, self.link.wait_for_status(bool, self.timeout_s))

    def wait(self, tick: int, timeout_s: float | None = None) -> int:
        """Waits until the world has reached a tick; returns the tick it is at. Raises RunError after `timeout_s`."""
        return _read_status(self.link, self.link.wait_for_status(_has_reached(tick), timeout_s))["tick"]

    def show(self, tick: int) -> "Moment":
        """Returns a moment of the past, to be watched and queried while the world runs on.

        The gateway replays the run from the last snapshot before it, which can take minutes.
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
    """A tick of the past; `Connection.show` makes one."""

    def __init__(self, link: GatewayLink, tick: int, timeout_s: float):
        super().__init__(link, tick, timeout_s)
        self.tick = tick

    play = _request(requests.play)
    rest = _request(requests.rest)


def _run_in_thread(begin: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Runs a coroutine in a thread of its own and waits for its result: notebooks run an event loop in this one."""
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

"""A non-blocking connection for programs with their own main loop, such as the window: methods return promises.

Calling a method sends the request; in each pass of its main loop the program checks `Promise.done`. Such a program
watches tiles (messages with the visible content of squares of the world) through the connection's `link`: it calls
`watch` once, then `tile` in each pass.
"""

import functools
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Concatenate, Generic, ParamSpec, TypeVar

from umwelt.client.connection import requests
from umwelt.client.connection.api import Place, RunningWorld
from umwelt.client.connection.connection import GatewayLink
from umwelt.client.connection.pending import Reply
from umwelt.client.connection.requests import Request, Target
from umwelt.sandbox.errors import RunError

P = ParamSpec("P")
T = TypeVar("T")


class Promise(Generic[T]):
    """The future answer to a request to the gateway, the process of the world that answers clients. No method blocks.

    `asked` is the future of the gateway's reply, `read` the function from the reply to the result, and `what` the
    request's name in error messages. The time limit `timeout_s` begins with the constructor.
    """

    def __init__(self, asked: "Future[Reply]", what: str, read: Callable[[Reply], T], timeout_s: float):
        self._asked, self.what, self._read = asked, what, read
        self._end_s = time.monotonic() + timeout_s

    @property
    def done(self) -> bool:
        """Whether `result` can be called: the request was answered, refused or has failed, or its time has passed."""
        return self._asked.done() or time.monotonic() > self._end_s

    @property
    def answered(self) -> bool:
        """Whether the request was answered or refused, or has failed, as when the connection is closed.

        Until then it is unknown whether the request took effect.
        """
        return self._asked.done()

    def result(self) -> T:
        """Returns the answer. Raises the error of a refused or failed request, and RunError if no answer has arrived.

        In the latter case the request is cancelled.
        """
        if not self._asked.done():
            self._asked.cancel()
            raise RunError(f"{self.what}: no answer came: see whether the world still runs")
        return self._read(self._asked.result())


class PromisingPlace(Place):
    """Base of the classes whose methods return promises: sends requests to a running world or a past tick of it."""

    def _answer(self, request: Request[T]) -> Promise[T]:
        """Sends `request` and returns the promise of its answer."""
        timeout_s = self.timeout_s if request.timeout_s is None else request.timeout_s
        return Promise(self.link.ask(request.compose, request.once), request.name, request.read, timeout_s)

    @property
    def core(self) -> GatewayLink:
        """The link to the gateway."""
        return self.link


def _promise(
    build: Callable[Concatenate[Target, P], Request[T]],
) -> Callable[Concatenate[PromisingPlace, P], Promise[T]]:
    """Returns a method that sends the request that `build` returns, and returns a promise of its answer."""

    @functools.wraps(build)
    def method(self: PromisingPlace, *args: P.args, **kwargs: P.kwargs) -> Promise[T]:
        return self._answer(build(self._target, *args, **kwargs))

    return method


class PromisedQuestions(PromisingPlace):
    """The queries that both a running world and a past tick of it can answer, as methods that return promises."""

    query = _promise(requests.query)
    count = _promise(requests.count)
    fetch = _promise(requests.fetch)
    field = _promise(requests.field)


class PromisedConnection(RunningWorld, PromisedQuestions):
    """A connection to a running world whose methods return promises.

    The constructor opens the link and blocks until the gateway has answered; `close` closes the link.
    """

    def close(self) -> None:
        """Disconnects; the world keeps running."""
        self.link.close()

    def show(self, tick: int) -> Promise["PromisedMoment"]:
        """Returns a promise of the past tick `tick`, for watching and querying; see `Connection.show`."""
        request = requests.show(self._target, tick)

        def moment(reply: Reply) -> PromisedMoment:
            return PromisedMoment(self.link, request.read(reply), self.timeout_s)

        timeout_s = self.timeout_s if request.timeout_s is None else request.timeout_s
        return Promise(self.link.ask(request.compose, request.once), request.name, moment, timeout_s)

    command = _promise(requests.command)
    drop = _promise(requests.drop)
    paint = _promise(requests.paint)
    rain = _promise(requests.rain)
    spawn = _promise(requests.spawn)
    remove = _promise(requests.remove)
    move = _promise(requests.move)
    wound = _promise(requests.wound)
    drive = _promise(requests.drive)
    release = _promise(requests.release)
    set_rate = _promise(requests.set_rate)
    do = _promise(requests.do)

    pause = _promise(requests.pause)
    go = _promise(requests.go)
    step = _promise(requests.step)
    speed = _promise(requests.speed)
    save = _promise(requests.save)
    leave = _promise(requests.leave)
    stop = _promise(requests.stop)

    snapshots = _promise(requests.snapshots)
    fork = _promise(requests.fork)
    metrics = _promise(requests.metrics)
    births = _promise(requests.births)
    family = _promise(requests.family)


class PromisedMoment(PromisedQuestions):
    """A past tick of a run, with methods that return promises; created by `PromisedConnection.show`."""

    def __init__(self, link: GatewayLink, tick: int, timeout_s: float):
        super().__init__(link, tick, timeout_s)
        self.tick = tick

    play = _promise(requests.play)
    rest = _promise(requests.rest)

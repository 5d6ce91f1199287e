"""Workflows: coroutine functions that await tasks, and can choose further tasks by the results.

    async def busiest(flow: Flow) -> int:
        first = await flow.run("own.guess", 7)
        if first > 100:
            return first
        return max(await flow.map("own.look", range(first)))

The function runs in the calling process; its tasks run concurrently on the nodes of a world or on the workers of a
pool. If a node dies, another node executes its tasks. A workflow that requests too many tasks, or exceeds its time
limit, ends with an error, and its open tasks are cancelled.

A *ticket* is the id of one execution of a task.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Sequence
from concurrent.futures import Future
from typing import Any, NamedTuple, Protocol, TypeVar

import msgspec

from umwelt.cluster.tasks.registry import MAX_ARGUMENT_BYTES, pack_arguments, unpack
from umwelt.cluster.view.queries import Question
from umwelt.cluster.wire.viewer_protocol import LIVE, Task
from umwelt.sandbox.errors import BusyError, RunError

MAX_TASKS, WITHIN_S = 100_000, 3600.0
"""Defaults for the total number of tasks of a workflow, and for its duration in seconds."""
MAX_OPEN, MAX_OPEN_OVER_DATA = 128, 6
"""Maximum number of open tasks of a workflow, and of those over data. A gateway permits more."""
BUSY_RETRY_S = 0.2
"""Time in seconds after which a task that a gateway had no room for is sent again."""
_T = TypeVar("_T")


class TaskReply(Protocol):
    """The result of a task: a value encoded by `registry.pack`, and the tick of the data that the task used."""

    tick: int
    raw: bytes


class Parts(NamedTuple):
    """The results of a task over data, one from each node that owns a part of the data, all at the same tick."""

    tick: int
    values: list[Any]


class Flow:
    """Executes the tasks of a workflow. Created for one run of a workflow, and closed at its end.

    `post(task)` executes a task; `halt(tickets)` cancels tasks. A task *over data* gets the answers of a node to
    queries; `shown` is the world that they are about: `LIVE` or a replayed tick.
    """

    max_argument_bytes = MAX_ARGUMENT_BYTES

    def __init__(
        self,
        post: Callable[[Task], "Future[Any]"],
        halt: Callable[[list[str]], None],
        max_tasks: int = MAX_TASKS,
        shown: int = LIVE,
    ):
        self._post, self._halt, self._max_tasks, self._shown = post, halt, max_tasks, shown
        self.tasks = 0
        """Number of tasks that were requested."""
        self._cancelled: list[str] = []
        """Tickets of cancelled tasks that are still to be passed to `halt`."""
        self._room, self._room_over_data = asyncio.Semaphore(MAX_OPEN), asyncio.Semaphore(MAX_OPEN_OVER_DATA)

    async def run(
        self, name: str, *given: Any, near: Sequence[int] = (), within_s: float = 0.0, ticket: str = "", **named: Any
    ) -> Any:
        """Executes a task and returns its result.

        The task runs on an idle node, or on the node that owns the cell `near` (y, x). It is ended after `within_s`
        seconds (0: after 10). `ticket` identifies the task; by default it is random. Raises UmweltError if the task
        fails.
        """
        arguments = pack_arguments(name, given, named, self.max_argument_bytes)
        task = Task(ticket or secrets.token_hex(12), name, arguments, b"", tuple(near), within_s)
        async with self._room:
            return unpack((await self._execute(task)).raw)

    async def over(
        self, name: str, asked: Question | Sequence[Question], *given: Any, within_s: float = 0.0, **named: Any
    ) -> Parts:
        """Executes a task over data, on every node that owns a part of the queried data, and all at the same tick.

        `asked` is one query or several; `within_s` is as in `run`.
        """
        questions = list(asked) if isinstance(asked, Sequence) else [asked]
        arguments = pack_arguments(name, given, named, self.max_argument_bytes)
        content = msgspec.json.encode(questions)
        task = Task(secrets.token_hex(12), name, arguments, content, (), within_s, self._shown)
        async with self._room_over_data:
            reply = await self._execute(task)
        return Parts(reply.tick, unpack(reply.raw))

    async def map(self, name: str, arguments: Iterable[Any], within_s: float = 0.0) -> list[Any]:
        """Executes a task concurrently for each of `arguments`. Returns the results in the same order."""
        return await self.gather(self.run(name, argument, within_s=within_s) for argument in arguments)

    async def as_done(self, coroutines: Iterable[Coroutine[Any, Any, _T]]) -> AsyncIterator[_T]:
        """Yields the results of coroutines in the order in which they complete."""
        tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
        try:
            for result in asyncio.as_completed(tasks):
                yield await result
        finally:
            for task in tasks:
                task.cancel()

    async def gather(self, coroutines: Iterable[Coroutine[Any, Any, _T]]) -> list[_T]:
        """Awaits coroutines concurrently and returns their results. If one of them fails, the others are cancelled."""
        tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
        try:
            return await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()

    @property
    def is_exhausted(self) -> bool:
        """Whether more tasks were requested than the workflow is permitted."""
        return self.tasks > self._max_tasks

    async def _execute(self, task: Task) -> TaskReply:
        """Posts a task, again and again while the gateway is busy, and returns its reply."""
        self.tasks += 1
        if self.is_exhausted:
            raise RunError(f"this workflow asks for more than {self._max_tasks:,} tasks: let it end, or allow more")
        try:
            while True:
                try:
                    return await asyncio.wrap_future(self._post(task))
                except BusyError:
                    await asyncio.sleep(BUSY_RETRY_S)
                    task = msgspec.structs.replace(task, ticket=secrets.token_hex(12))
        except asyncio.CancelledError:
            if not self._cancelled:  # tasks that are cancelled together are reported together
                asyncio.get_running_loop().call_soon(self.close)
            self._cancelled.append(task.ticket)
            raise

    def close(self) -> None:
        """Passes the tickets of cancelled tasks to `halt`."""
        tickets, self._cancelled = self._cancelled, []
        if tickets:
            self._halt(tickets)


async def run_workflow(
    flow: Flow,
    workflow: Callable[..., Awaitable[_T]],
    given: Sequence[Any],
    named: dict[str, Any],
    within_s: float = WITHIN_S,
) -> _T:
    """Awaits a workflow and closes its flow. Raises RunError if it takes longer than `within_s` seconds."""
    try:
        return await asyncio.wait_for(workflow(flow, *given, **named), within_s)
    except TimeoutError:
        raise RunError(f"this workflow takes longer than {within_s:g} s: give it less to do, or more time") from None
    finally:
        flow.close()

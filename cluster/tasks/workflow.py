"""Workflows: functions that await tasks. What they ask for next is decided by what came out before.

    async def busiest(flow: Flow) -> int:
        first = await flow.run("own.guess", 7)
        if first > 100:
            return first
        return max(await flow.map("own.look", range(first)))

There is no plan and no coordinator: the function runs where it was called, its tasks run at the world's nodes, side by
side, and a node that dies changes nothing but the time. A workflow that asks for more tasks than it may, or takes
longer, ends with one line, and what it had under way is let go.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Sequence
from concurrent.futures import Future
from typing import Any, NamedTuple, Protocol, TypeVar

import msgspec

from umwelt.cluster.tasks.registry import BUSY, MAX_ARGUMENT_BYTES, pack_arguments, unpack
from umwelt.cluster.view.queries import Question
from umwelt.cluster.wire.viewer_protocol import LIVE, Task
from umwelt.sandbox.errors import RunError

MAX_TASKS, WITHIN_S = 100_000, 3600.0
"""How many tasks a workflow may ask for in all, and how long it may take, if nothing else is said."""
UNDER_WAY, OVER_DATA_UNDER_WAY = 128, 6
"""How many tasks of a workflow are under way at once, of all and of those over data: less than a gateway allows."""
AGAIN_S = 0.2
"""After so long a task is asked for again that a gateway had no room for."""
_T = TypeVar("_T")


class Outcome(Protocol):
    """What comes back: the tick of the data, and packed values."""

    tick: int
    raw: bytes


class Parts(NamedTuple):
    """What a task over data gave at each node that owns some of it, all at one tick."""

    tick: int
    values: list[Any]


class Flow:
    """What a workflow awaits its tasks with. `post(task)` has a task done, `halt(tickets)` lets tasks go."""

    max_argument_bytes = MAX_ARGUMENT_BYTES

    def __init__(
        self,
        post: Callable[[Task], "Future[Any]"],
        halt: Callable[[list[str]], None],
        max_tasks: int = MAX_TASKS,
        shown: int = LIVE,
    ):
        self._post, self._halt, self._most_tasks, self._shown = post, halt, max_tasks, shown
        self.tasks = 0
        """How many tasks were asked for."""
        self._gone: list[str] = []
        self._room, self._room_over_data = asyncio.Semaphore(UNDER_WAY), asyncio.Semaphore(OVER_DATA_UNDER_WAY)

    async def run(
        self, name: str, *given: Any, near: Sequence[int] = (), within_s: float = 0.0, ticket: str = "", **named: Any
    ) -> Any:
        """Do a task at an idle node, or at the one that owns the cell `near`; gives what comes out.

        It is ended after `within_s` (10 s if nothing is said). It has the `ticket` given, or a fresh one. Raises
        `RunError` where it fails.
        """
        arguments = pack_arguments(name, given, named, self.max_argument_bytes)
        task = Task(ticket or secrets.token_hex(12), name, arguments, b"", tuple(near), within_s)
        async with self._room:
            return unpack((await self._done(task)).raw)

    async def over(
        self, name: str, asked: Question | Sequence[Question], *given: Any, within_s: float = 0.0, **named: Any
    ) -> Parts:
        """Do a task at each node that owns something of what is asked about, on its answers, all at one tick."""
        many = list(asked) if isinstance(asked, Sequence) else [asked]
        arguments = pack_arguments(name, given, named, self.max_argument_bytes)
        content = msgspec.json.encode(many)
        task = Task(secrets.token_hex(12), name, arguments, content, (), within_s, self._shown)
        async with self._room_over_data:
            found = await self._done(task)
        return Parts(found.tick, unpack(found.raw))

    async def map(self, name: str, many: Iterable[Any], within_s: float = 0.0) -> list[Any]:
        """Do a task for each of many arguments, side by side; gives what comes out, in their order."""
        return await self.gather(self.run(name, one, within_s=within_s) for one in many)

    async def as_done(self, coroutines: Iterable[Coroutine[Any, Any, _T]]) -> AsyncIterator[_T]:
        """What comes out of several, in the order in which they are done."""
        tasks = [asyncio.ensure_future(one) for one in coroutines]
        try:
            for one in asyncio.as_completed(tasks):
                yield await one
        finally:
            for each in tasks:
                each.cancel()

    async def gather(self, coroutines: Iterable[Coroutine[Any, Any, _T]]) -> list[_T]:
        """Await several side by side; the first that fails ends them all."""
        tasks = [asyncio.ensure_future(one) for one in coroutines]
        try:
            return await asyncio.gather(*tasks)
        finally:
            for each in tasks:
                each.cancel()

    @property
    def exhausted(self) -> bool:
        """Whether more tasks were asked for than there may be."""
        return self.tasks > self._most_tasks

    async def _done(self, task: Task) -> Outcome:
        self.tasks += 1
        if self.exhausted:
            raise RunError(f"this workflow asks for more than {self._most_tasks:,} tasks: let it end, or allow more")
        try:
            while True:
                try:
                    return await asyncio.wrap_future(self._post(task))
                except RunError as error:
                    if not str(error).endswith(BUSY):
                        raise
                await asyncio.sleep(AGAIN_S)
                task = msgspec.structs.replace(task, ticket=secrets.token_hex(12))
        except asyncio.CancelledError:
            if not self._gone:  # all that end together are let go together
                asyncio.get_running_loop().call_soon(self.close)
            self._gone.append(task.ticket)
            raise

    def close(self) -> None:
        """Let go of what nobody awaits any more."""
        gone, self._gone = self._gone, []
        if gone:
            self._halt(gone)


async def run_workflow(
    flow: Flow,
    workflow: Callable[..., Awaitable[_T]],
    given: Sequence[Any],
    named: dict[str, Any],
    within_s: float = WITHIN_S,
) -> _T:
    """Await a workflow to its end or its bounds; nothing of it is left under way."""
    try:
        return await asyncio.wait_for(workflow(flow, *given, **named), within_s)
    except TimeoutError:
        raise RunError(f"this workflow takes longer than {within_s:g} s: give it less to do, or more time") from None
    finally:
        flow.close()

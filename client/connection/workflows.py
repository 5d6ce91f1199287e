"""Tasks and workflows on a world that runs, for connections: to be waited for, or awaited."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import Future
from typing import Any

from umwelt.client.connection.connection import Core
from umwelt.cluster.tasks.workflow import MAX_TASKS, WITHIN_S, Flow, run_workflow
from umwelt.cluster.wire import viewer_protocol
from umwelt.cluster.wire.viewer_protocol import LIVE

ENDS_WITHIN_S = 1.0
"""After Ctrl-C, for letting go of what is under way."""


class WorldFlow(Flow):
    """What a workflow on a world awaits tasks with; `known` is what there is in that world."""

    def __init__(self, core: Core, max_tasks: int, shown: int = LIVE):
        super().__init__(core.do, core.halt, max_tasks, shown)
        self._core = core

    @property
    def known(self) -> viewer_protocol.Welcome:
        """The world's size, species, layers and columns."""
        return self._core.known

    async def family(self, being: int) -> dict[str, Any]:
        """Ancestors and children of a being, from the journal."""
        asked = self._core.ask(lambda ticket: viewer_protocol.History(ticket, "family", 0, being=int(being)))
        return (await asyncio.wrap_future(asked)).content


class Flowing:
    """Tasks, workflows and queries of a connection, or of a moment."""

    _core: Core
    _shown = LIVE
    timeout_s: float

    def workflow(
        self,
        function: Callable[..., Awaitable[Any]],
        *given: Any,
        max_tasks: int = MAX_TASKS,
        within_s: float = WITHIN_S,
        **named: Any,
    ) -> Any:
        """Carry out a workflow (see cluster/tasks/workflow.py): it is given a `WorldFlow`, then these arguments.

        Raises `RunError` where it asks for more tasks, or takes longer, than it may.
        """

        async def begun() -> Any:
            flow = WorldFlow(self._core, max_tasks, self._shown)
            return await run_workflow(flow, function, given, named, within_s)

        return self._carry(begun)

    def _carry(self, begun: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        return beside(begun)

    def task(self, name: str, *given: Any, near: Sequence[int] = (), within_s: float = 0.0, **named: Any) -> Any:
        """Have one task done, at an idle node or at the one that owns the cell `near`; gives what comes out."""

        async def alone(flow: Flow) -> Any:
            return await flow.run(name, *given, near=near, within_s=within_s, **named)

        return self.workflow(alone)

    # --- queries

    def _query(self, name: str, *given: Any) -> Any:
        from umwelt.client.connection.queries import QUERIES

        return self.workflow(QUERIES[name], *given, within_s=self.timeout_s)

    def census(self, rectangle: Sequence[int] | None = None) -> Any:
        """How many of each species live, and means of what they are: see `client/connection/queries.py`."""
        return self._query("census", tuple(rectangle) if rectangle is not None else None)

    def heatmap(self, of: str = "", cell: int = 0, rectangle: Sequence[int] | None = None) -> Any:
        """Where a species, a table or a layer is, in squares of `cell` cells."""
        return self._query("heatmap", of, cell, tuple(rectangle) if rectangle is not None else None)

    def nearest(self, species: str, y: float, x: float) -> Any:
        """The nearest being of a species to a place in cells."""
        return self._query("nearest", species, y, x)

    def lineage(self, being: int) -> Any:
        """Ancestors and children of a being, and which of them live."""
        return self._query("lineage", int(being))


def beside(begun: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """What a coroutine gives, run in a thread of its own, for where one waits: notebooks have a loop of their own."""
    result: Future[Any] = Future()
    running: list[tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]]] = []

    async def main() -> Any:
        task = asyncio.current_task()
        assert task is not None
        running.append((asyncio.get_running_loop(), task))
        return await begun()

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
        thread.join(ENDS_WITHIN_S)
        raise

"""Starts tasks for viewers: checks permissions and limits, and sends the results.

A task *over data* contains queries; every node that owns queried cells runs it with the node's answers as input. Any
other task runs once, on one node.

A *ticket* is the id of a request, which the viewer chooses. A repeated request is recognised by it, and the answer
contains it.
"""

from collections.abc import Callable, Sequence

from msgspec import structs

from umwelt.agents.open_world import torus_of
from umwelt.agents.world_file import WorldFile
from umwelt.cluster.gateway.node_map import NodeMap
from umwelt.cluster.gateway.node_queries import NodeQueries, NodeTask, Send
from umwelt.cluster.gateway.task_scheduler import TaskScheduler
from umwelt.cluster.gateway.viewer_session import MAX_OPEN_QUERIES, MAX_TICKET, ViewerSession
from umwelt.cluster.tasks.registry import (
    FOR_SPECTATORS,
    MAX_ARGUMENT_BYTES,
    MAX_WITHIN_S,
    WITHIN_S,
    local_tasks,
)
from umwelt.cluster.view import queries
from umwelt.cluster.wire.protocol import QueryAnswer
from umwelt.cluster.wire.viewer_protocol import LIVE, Task
from umwelt.sandbox.errors import BusyError, RunError, UmweltError
from umwelt.sandbox.text import one_line

MAX_TASKS, MAX_TASKS_OF_ONE = 4096, 256
"""Maximum number of open tasks: of all viewers together, and of each viewer."""
MAX_OVER_DATA = 200
"""Maximum number of open queries of all viewers together, at which no further task over data is started."""
MAX_NAME = 80
MAX_QUESTIONS = 8
MAX_ARGUMENTS_HELD_BYTES = 128 << 20
"""Maximum size of the arguments of all open tasks together."""
MAX_RESULTS_BYTES = 3 << 20
"""Maximum size of the results of a task over data, from all nodes together."""
MAX_COORDINATE = 1 << 30


class TaskRequests:
    """Checks tasks and starts them: tasks over data by `NodeQueries`, all others by a `TaskScheduler`.

    One instance for each gateway.
    """

    def __init__(
        self, world: WorldFile, send: Send, node_queries: NodeQueries, map_of: Callable[[int], NodeMap | None]
    ):
        self._world, self._node_queries, self._map_of = world, node_queries, map_of
        self.scheduler = TaskScheduler(torus_of(world), send, lambda: map_of(LIVE))
        self._is_resting = True

    def poll(self, now_s: float, resting: bool) -> None:
        """Sends waiting tasks to nodes. `resting` is true if the world is not advancing at present."""
        self._is_resting = resting
        self.scheduler.poll(now_s)

    def take(self, message: QueryAnswer, raw: list[bytes], sender: bytes) -> bool:
        """Handles an answer of a node. Returns whether it belongs to a task of the scheduler."""
        return self.scheduler.take(message, raw, sender)

    def begin_all(self, session: ViewerSession, tasks: Sequence[Task], now_s: float) -> int:
        """Starts tasks, at most once per ticket, and answers those that cannot be started with an error.

        Returns the number of tasks with a malformed ticket.
        """
        malformed = 0
        for task in tasks[:MAX_TASKS_OF_ONE]:
            if not 0 < len(task.ticket) <= MAX_TICKET:
                malformed += 1
            elif session.open_ticket(task.ticket):
                try:
                    self._begin(session, task, now_s)
                except UmweltError as error:
                    session.fail(task.ticket, error)
        return malformed

    def _begin(self, session: ViewerSession, task: Task, now_s: float) -> None:
        """Starts a task. Raises UmweltError if it is not valid, not permitted to this viewer, or exceeds a limit."""
        name = one_line(f'task "{task.name[:MAX_NAME]}"')
        within_s = task.within_s or WITHIN_S
        self._check(session, task, name, within_s)
        if len(session.tasks) >= MAX_TASKS_OF_ONE or len(self.scheduler) >= MAX_TASKS:
            raise BusyError(f"{name}: too many tasks at once: wait for some of their results")
        if self.scheduler.argument_bytes + len(task.arguments) > MAX_ARGUMENTS_HELD_BYTES:
            raise BusyError(f"{name}: the arguments of open tasks are too large: wait for some of their results")
        if task.questions:
            self._begin_over_data(session, task, NodeTask(task.name, task.arguments, within_s), now_s)
        else:
            self._begin_anywhere(session, structs.replace(task, within_s=within_s))

    def _check(self, session: ViewerSession, task: Task, name: str, within_s: float) -> None:
        """Raises RunError if the task is not valid, or not permitted to this viewer."""
        if task.name not in FOR_SPECTATORS and not session.is_keeper:
            allowed = ", ".join(FOR_SPECTATORS)
            raise RunError(f"{name}: a {session.role} may ask for {allowed} only: connect with a keeper's key")
        if task.name in local_tasks():
            raise RunError(f"{name}: does not run on a remote world: use umwelt {task.name.partition('.')[0]}")
        if not 0 < within_s <= MAX_WITHIN_S:  # excludes nan
            raise RunError(f"{name}: within {task.within_s:g} s: give up to {MAX_WITHIN_S:g} s")
        if len(task.arguments) > MAX_ARGUMENT_BYTES or len(task.name) > MAX_NAME:
            raise RunError(f"{name}: its arguments are too long: give {MAX_ARGUMENT_BYTES >> 10} KiB at most")

    def _begin_anywhere(self, session: ViewerSession, task: Task) -> None:
        """Starts a task without data, on one node."""
        if len(task.near) not in (0, 2) or any(abs(coordinate) > MAX_COORDINATE for coordinate in task.near):
            raise RunError(f'task "{task.name}": near {list(task.near)[:8]}: give y and x')

        def on_result(outcome: bytes | UmweltError) -> None:
            del session.tasks[task.ticket]
            if isinstance(outcome, UmweltError):
                session.fail(task.ticket, outcome)
            else:
                session.answer(task.ticket, -1, raw=outcome)

        session.tasks[task.ticket] = on_result
        self.scheduler.begin(session, task, on_result)

    def _begin_over_data(self, session: ViewerSession, task: Task, node_task: NodeTask, now_s: float) -> None:
        """Starts a task over data, on all nodes that own queried cells. `node_task` is the task as nodes get it."""
        name = f'task "{node_task.name}"'
        if session.open_queries >= MAX_OPEN_QUERIES or len(self._node_queries) >= MAX_OVER_DATA:
            raise BusyError(f"{name}: too many questions at once: wait for some of their results")
        if not session.is_keeper and not session.queries.try_take(now_s):
            raise BusyError(f"{name}: too many questions a second: ask fewer")
        questions = [queries.check(self._world, one, True) for one in queries.read_many(task.questions)]
        if not 0 < len(questions) <= MAX_QUESTIONS:
            raise RunError(f"{name}: {len(questions)} questions: give 1 to {MAX_QUESTIONS}")
        if self._map_of(task.shown) is None and task.shown != LIVE:
            raise RunError(f"tick {task.shown} is not shown: ask for it first")

        def on_answer(outcome: queries.Part | UmweltError) -> None:
            session.open_queries -= 1
            del session.tasks[task.ticket]
            if isinstance(outcome, UmweltError):
                session.fail(task.ticket, outcome)
            elif len(outcome.raw) > MAX_RESULTS_BYTES:
                size, most = len(outcome.raw) >> 10, MAX_RESULTS_BYTES >> 10
                line = f"{name}: results of {size} KiB: let the nodes return {most} KiB at most"
                session.fail(task.ticket, RunError(line))
            else:
                session.answer(task.ticket, outcome.tick, raw=outcome.raw)

        session.open_queries += 1
        session.tasks[task.ticket] = on_answer
        resting = task.shown != LIVE or self._is_resting
        self._node_queries.begin(questions, task.shown, now_s, on_answer, node_task, resting)

    def cancel(self, session: ViewerSession, tickets: Sequence[str]) -> None:
        """Cancels open tasks of a viewer by ticket. They are not answered."""
        cancelled = {ticket: session.tasks.pop(ticket) for ticket in tickets if ticket in session.tasks}
        session.open_tickets -= cancelled.keys()
        self.scheduler.cancel(session, set(cancelled))
        for callback in cancelled.values():
            session.open_queries -= self._node_queries.cancel(callback)

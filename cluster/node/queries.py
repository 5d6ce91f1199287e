"""A node's answers to the gateway: about its shard, and the results of tasks.

A question is answer about one tick: the present one, or a named one when it is reached. A task runs in a process
of its own, so that the world goes on; its result is kept for a while, in case the answer gets lost.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from umwelt.cluster.node.machine import NodeMachine
from umwelt.cluster.node.tile_publisher import TilePublisher
from umwelt.cluster.shard import ShardView
from umwelt.cluster.tasks.node_worker import NodeWorker, TaskOutcome
from umwelt.cluster.tasks.worker import TaskCall
from umwelt.cluster.view.queries import MAX_TASK_BYTES, Part, answer, read, read_many
from umwelt.cluster.wire.protocol import CancelTasks, QueryAnswer, QueryRequest, encode
from umwelt.sandbox.errors import UmweltError

MAX_WAITING, WAIT_S = 256, 5.0
"""Questions that wait for their tick, and for how long; the gateway then asks again."""
MAX_RESULTS, MAX_RESULT_BYTES = 256, 16 << 20
"""Results of tasks that are kept."""
TaskKey = tuple[bytes, str]
"""A task by its sender and ticket: another gateway counts its tickets from the beginning again."""
_encoder = msgspec.json.Encoder()


@dataclass
class _WaitingQuery:
    sender: bytes
    query: QueryRequest
    until_s: float


@dataclass
class _Task:
    sender: bytes
    query: QueryRequest
    source: int
    tick: int
    frames: list[Any] | None = None
    """The answer; None while the task runs."""


class QueryServer:
    """Answers queries about a shard and runs tasks. Owned by the thread that runs the shard, which calls `turn`.

    `send(to, frames)` sends an answer; `worker` runs the tasks.
    """

    def __init__(
        self,
        publisher: TilePublisher,
        send: Callable[[bytes, list[Any]], bool],
        worker: NodeWorker,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._publisher, self._send, self.worker, self._clock = publisher, send, worker, clock
        self._waiting: list[_WaitingQuery] = []
        self._tasks: dict[TaskKey, _Task] = {}
        self._result_bytes: OrderedDict[TaskKey, int] = OrderedDict()
        """Sizes of the results that are kept, the oldest first."""
        self._kept_bytes = 0

    def receive(
        self, sender: bytes, message: QueryRequest | CancelTasks, machine: NodeMachine, shard: ShardView | None
    ) -> None:
        """Handles a message if it bears epoch and pass key of the present map; others are dropped."""
        assigned = machine.assigned
        if assigned is None:
            return
        assignment = assigned.assignment
        if (message.epoch, message.pass_key) == (assignment.epoch, assignment.pass_key):
            self.worker.where = machine.membership.name
            self.take(sender, message, shard if assigned.loaded else None)

    def take(self, sender: bytes, message: QueryRequest | CancelTasks, shard: ShardView | None) -> None:
        """Handles a message of the present map. `shard` is None while it is loaded: then only tasks without questions
        begin."""
        if isinstance(message, CancelTasks):
            self._cancel(sender, message)
            return
        known = self._tasks.get((sender, message.ticket))
        if known is not None:
            if known.frames is not None:
                self._send(sender, known.frames)
        elif message.task and message.question in (b"", b"[]"):
            which, tick = (0, -1) if shard is None else (shard.which, shard.tick)
            self._begin_task(sender, message, which, tick, None)
        elif shard is not None:
            self._answer(sender, message, shard)

    def turn(self, shard: ShardView | None, epoch: int) -> None:
        """Answers the questions whose tick has come, and sends the results of finished tasks."""
        if self._waiting:
            waiting, self._waiting, now_s = self._waiting, [], self._clock()
            for item in waiting:
                if item.query.epoch == epoch and shard is not None and item.query.tick <= shard.tick:
                    self._answer(item.sender, item.query, shard)
                elif item.query.epoch == epoch and now_s < item.until_s:
                    self._waiting.append(item)
        for done in self.worker.turn():
            key: TaskKey = done.ticket  # type: ignore[assignment]
            task = self._tasks.get(key)
            if task is not None:
                task.frames = encode(*_result(task, done))
                self._send(task.sender, task.frames)
                self._keep(key, sum(map(len, task.frames)))

    def close(self) -> None:
        """Ends the tasks that run."""
        self.worker.close()

    def _cancel(self, sender: bytes, message: CancelTasks) -> None:
        for ticket in message.tickets:
            self._forget((sender, ticket))
            self.worker.cancel((sender, ticket))
        self._waiting = [
            item for item in self._waiting if item.query.ticket not in message.tickets or item.sender != sender
        ]

    def _answer(self, sender: bytes, query: QueryRequest, shard: ShardView) -> None:
        """Answers a question at the present tick, or tells that its tick has passed or has not come."""
        if query.tick > shard.tick:
            others = [item for item in self._waiting if (item.sender, item.query.ticket) != (sender, query.ticket)]
            self._waiting = [*others[-MAX_WAITING + 1 :], _WaitingQuery(sender, query, self._clock() + WAIT_S)]
            self._reply(sender, query, shard, b'{"waits":true}')
            return
        if -1 < query.tick < shard.tick:
            self._reply(sender, query, shard, b'{"passed":true}')
            return
        cutter = self._publisher.cutter(shard)
        try:
            if query.task:
                parts = [answer(cutter, question, MAX_TASK_BYTES) for question in read_many(query.question)]
                self._begin_task(sender, query, shard.which, shard.tick, parts)
                return
            part = answer(cutter, read(query.question))
            self._reply(sender, query, shard, _encoder.encode(part.answer), [part.raw])
        except (UmweltError, LookupError, ValueError, TypeError, ArithmeticError) as error:
            code = error.code if isinstance(error, UmweltError) else UmweltError.code
            line = " ".join(str(error).split())
            self._reply(sender, query, shard, _encoder.encode({"line": line, "code": code}))

    def _reply(
        self, sender: bytes, query: QueryRequest, shard: ShardView, answer: bytes, raw: Sequence[bytes] = ()
    ) -> None:
        message = QueryAnswer(query.ticket, query.epoch, shard.which, shard.tick, answer)
        self._send(sender, encode(message, raw))

    def _begin_task(self, sender: bytes, query: QueryRequest, source: int, tick: int, parts: list[Part] | None) -> None:
        self._tasks[sender, query.ticket] = _Task(sender, query, source, tick)
        self.worker.begin((sender, query.ticket), TaskCall(query.task, query.arguments, parts), query.within_s)

    def _keep(self, key: TaskKey, size: int) -> None:
        """Keeps a result, and drops the oldest ones while there are too many."""
        self._result_bytes[key] = size
        self._kept_bytes += size
        while len(self._result_bytes) > 1 and (
            len(self._result_bytes) > MAX_RESULTS or self._kept_bytes > MAX_RESULT_BYTES
        ):
            self._forget(next(iter(self._result_bytes)))

    def _forget(self, key: TaskKey) -> None:
        self._tasks.pop(key, None)
        self._kept_bytes -= self._result_bytes.pop(key, 0)


def _result(task: _Task, done: TaskOutcome) -> tuple[QueryAnswer, list[Any]]:
    query = task.query
    if done.line:
        answer, raw = {"line": done.line, "code": done.code, "again": done.again}, []
    else:
        answer, raw = {"spent_s": done.spent_s}, [done.result]
    return QueryAnswer(query.ticket, query.epoch, task.source, task.tick, _encoder.encode(answer)), raw

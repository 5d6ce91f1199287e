"""Answers the gateway's queries about a node's shard, and runs tasks.

A query is answered at one tick: the present tick, or a given tick as soon as the shard reaches it. A task runs in a
separate process, so that ticks continue; its result is kept for a while, in case the answer is lost.

The *map* says which node has which rectangle of the torus; its *epoch* is its number, its *pass key* a secret that the
gateway shares with the nodes.
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
"""Maximum number of queries that wait for their tick, and the time after which they are dropped.

The gateway repeats a query that was dropped.
"""
MAX_RESULTS, MAX_RESULT_BYTES = 256, 16 << 20
"""Maximum number and total size of the task results that are kept."""
TaskKey = tuple[bytes, str]
"""Identifies a task: its sender and ticket. The sender is included because different gateways use the same tickets."""
_encoder = msgspec.json.Encoder()


@dataclass
class _WaitingQuery:
    """A query that waits until the shard reaches its tick; dropped at the time `until_s`."""

    sender: bytes
    query: QueryRequest
    until_s: float


@dataclass
class _Task:
    """A running or finished task. `source` is the shard's index in the map, `tick` the tick of the task's input."""

    sender: bytes
    query: QueryRequest
    source: int
    tick: int
    frames: list[Any] | None = None
    """The encoded answer; None while the task runs."""


class QueryServer:
    """Answers queries about a shard and runs tasks. Owned by the thread that steps the shard, which calls `poll`.

    `publisher` provides the encoder that answers queries, `send(to, frames)` sends an answer, and `worker` runs the
    tasks.
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
        """Sizes in bytes of the task results that are kept, the oldest first."""
        self._kept_bytes = 0

    def receive(
        self, sender: bytes, message: QueryRequest | CancelTasks, machine: NodeMachine, shard: ShardView | None
    ) -> None:
        """Handles a message that has epoch and pass key of the present map; drops all other messages."""
        assigned = machine.assigned
        if assigned is None:
            return
        assignment = assigned.assignment
        if (message.epoch, message.pass_key) == (assignment.epoch, assignment.pass_key):
            self.worker.where = machine.membership.name
            self.take(sender, message, shard if assigned.loaded else None)

    def take(self, sender: bytes, message: QueryRequest | CancelTasks, shard: ShardView | None) -> None:
        """Handles a message without checking epoch and pass key.

        `shard` is None while it is being loaded. In this case only tasks that need no data of the shard are started;
        other queries are dropped.
        """
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

    def poll(self, shard: ShardView | None, epoch: int) -> None:
        """Answers waiting queries whose tick is reached, and sends the results of finished tasks.

        Drops waiting queries of other epochs than `epoch`.
        """
        if self._waiting:
            waiting, self._waiting, now_s = self._waiting, [], self._clock()
            for item in waiting:
                if item.query.epoch == epoch and shard is not None and item.query.tick <= shard.tick:
                    self._answer(item.sender, item.query, shard)
                elif item.query.epoch == epoch and now_s < item.until_s:
                    self._waiting.append(item)
        for done in self.worker.poll():
            key: TaskKey = done.ticket  # type: ignore[assignment]
            task = self._tasks.get(key)
            if task is not None:
                task.frames = encode(*_result(task, done))
                self._send(task.sender, task.frames)
                self._keep(key, sum(map(len, task.frames)))

    def close(self) -> None:
        """Ends all running tasks."""
        self.worker.close()

    def _cancel(self, sender: bytes, message: CancelTasks) -> None:
        """Ends the tasks and drops the waiting queries of `sender` that the message names."""
        for ticket in message.tickets:
            self._forget((sender, ticket))
            self.worker.cancel((sender, ticket))
        self._waiting = [
            item for item in self._waiting if item.query.ticket not in message.tickets or item.sender != sender
        ]

    def _answer(self, sender: bytes, query: QueryRequest, shard: ShardView) -> None:
        """Answers a query at the present tick, or starts its task.

        If the query names a future tick, it is stored and the answer says that it waits; if it names a past tick, the
        answer says that the tick has passed.
        """
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
        """Starts the task of a query. `parts` are the answers that it works on; None for a task without data."""
        self._tasks[sender, query.ticket] = _Task(sender, query, source, tick)
        self.worker.begin((sender, query.ticket), TaskCall(query.task, query.arguments, parts), query.within_s)

    def _keep(self, key: TaskKey, size: int) -> None:
        """Records that the result of task `key` is kept, and drops the oldest results that exceed the limits."""
        self._result_bytes[key] = size
        self._kept_bytes += size
        while len(self._result_bytes) > 1 and (
            len(self._result_bytes) > MAX_RESULTS or self._kept_bytes > MAX_RESULT_BYTES
        ):
            self._forget(next(iter(self._result_bytes)))

    def _forget(self, key: TaskKey) -> None:
        """Drops a task and its kept result, if there are any."""
        self._tasks.pop(key, None)
        self._kept_bytes -= self._result_bytes.pop(key, 0)


def _result(task: _Task, done: TaskOutcome) -> tuple[QueryAnswer, list[Any]]:
    """Returns the answer that reports the outcome of a task, and its raw frames."""
    query = task.query
    if done.line:
        answer, raw = {"line": done.line, "code": done.code, "again": done.again}, []
    else:
        answer, raw = {"spent_s": done.spent_s}, [done.result]
    return QueryAnswer(query.ticket, query.epoch, task.source, task.tick, _encoder.encode(answer)), raw

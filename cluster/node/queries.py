"""What a node says to those who look in from the gateway: answers to questions, and what becomes of tasks.

An answer is of one tick: at once, or when a named tick is reached. A task is done by the
node's bench, so that the world goes on; what came out is kept for a while, should its way be lost.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from umwelt.cluster.node.machine import NodeMachine
from umwelt.cluster.node.tile_publisher import TilePublisher
from umwelt.cluster.tasks.node_worker import NodeWorker, TaskOutcome
from umwelt.cluster.tasks.worker import TaskCall
from umwelt.cluster.view.queries import MAX_TASK_BYTES, Part, answer, read, read_many
from umwelt.cluster.wire.protocol import CancelTasks, QueryAnswer, QueryRequest, encode
from umwelt.sandbox.errors import UmweltError

MAX_HELD, HELD_S = 256, 5.0
"""Questions that wait for their tick, and for how long; whoever asked asks anew."""
MAX_KEPT_BYTES = 16 << 20
Key = tuple[bytes, str]
"""A task by who asked for it and its ticket: a gateway that takes another's place counts anew."""
_encoder = msgspec.json.Encoder()


@dataclass
class _Held:
    sender: bytes
    look: QueryRequest
    until_s: float


@dataclass
class _Task:
    sender: bytes
    look: QueryRequest
    source: int
    tick: int
    frames: list[Any] | None = None
    """The answer, when there is one."""


class QueryServer:
    """See the page's top. Owned by the thread that runs the portion; `send(to, frames)` answers whoever looked."""

    def __init__(
        self,
        publisher: TilePublisher,
        send: Callable[[bytes, list[Any]], bool],
        bench: NodeWorker,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._publisher, self._send, self.bench, self._clock = publisher, send, bench, clock
        self._held: list[_Held] = []
        self._tasks: dict[Key, _Task] = {}
        self._kept: OrderedDict[Key, int] = OrderedDict()
        """Bytes of the answers that are kept, in the order in which they came."""
        self._kept_bytes = 0

    def hear(self, sender: bytes, message: QueryRequest | CancelTasks, machine: NodeMachine, portion: Any) -> None:
        """What comes from the gateway, if it is of the present epoch; whoever else calls has not its key."""
        held = machine.holding
        if held is not None and (message.epoch, message.pass_key) == (held.assign.epoch, held.assign.pass_key):
            self.bench.where = machine.name
            self.take(sender, message, portion if held.loaded else None)

    def take(self, sender: bytes, message: QueryRequest | CancelTasks, portion: Any) -> None:
        """The same of a message that is known to be of the present epoch; `portion` is None while it is loaded."""
        if isinstance(message, CancelTasks):
            for ticket in message.tickets:
                self._let_go((sender, ticket))
                self.bench.cancel((sender, ticket))
            self._held = [one for one in self._held if one.look.ticket not in message.tickets or one.sender != sender]
            return
        known = self._tasks.get((sender, message.ticket))
        if known is not None:
            if known.frames is not None:
                self._send(sender, known.frames)
        elif message.task and message.question in (b"", b"[]"):
            self._begin(sender, message, getattr(portion, "which", 0), getattr(portion, "tick", -1), None)
        elif portion is not None:
            self._look(sender, message, portion)

    def _look(self, sender: bytes, look: QueryRequest, portion: Any) -> None:
        if look.tick > portion.tick:
            others = [one for one in self._held if (one.sender, one.look.ticket) != (sender, look.ticket)]
            self._held = [*others[-MAX_HELD + 1 :], _Held(sender, look, self._clock() + HELD_S)]
            self._say(sender, look, portion, b'{"waits":true}')
            return
        if -1 < look.tick < portion.tick:
            self._say(sender, look, portion, b'{"passed":true}')
            return
        cutter = self._publisher.cutter(portion)
        try:
            if look.task:
                parts = [answer(cutter, question, MAX_TASK_BYTES) for question in read_many(look.question)]
                self._begin(sender, look, portion.which, portion.tick, parts)
                return
            part = answer(cutter, read(look.question))
            self._say(sender, look, portion, _encoder.encode(part.answer), [part.raw])
        except (UmweltError, LookupError, ValueError, TypeError, ArithmeticError) as error:
            code = error.code if isinstance(error, UmweltError) else "usage"
            self._say(sender, look, portion, _encoder.encode({"line": " ".join(str(error).split()), "code": code}))

    def _say(self, sender: bytes, look: QueryRequest, portion: Any, answer: bytes, raw: Sequence[bytes] = ()) -> None:
        sight = QueryAnswer(look.ticket, look.epoch, portion.which, portion.tick, answer)
        self._send(sender, encode(sight, raw))

    def _begin(self, sender: bytes, look: QueryRequest, source: int, tick: int, parts: list[Part] | None) -> None:
        self._tasks[sender, look.ticket] = _Task(sender, look, source, tick)
        self.bench.begin((sender, look.ticket), TaskCall(look.task, look.arguments, parts), look.within_s)

    def turn(self, portion: Any, epoch: int) -> None:
        """Say what can be said at this tick, and what became of tasks."""
        if self._held:
            held, self._held, now_s = self._held, [], self._clock()
            for one in held:
                if one.look.epoch == epoch and portion is not None and one.look.tick <= portion.tick:
                    self._look(one.sender, one.look, portion)
                elif one.look.epoch == epoch and now_s < one.until_s:
                    self._held.append(one)
        for done in self.bench.turn():
            key: Key = done.ticket  # type: ignore[assignment]
            task = self._tasks.get(key)
            if task is not None:
                task.frames = encode(*_sight_of(task, done))
                self._send(task.sender, task.frames)
                self._keep(key, sum(map(len, task.frames)))

    def _keep(self, key: Key, size: int) -> None:
        """An answer is kept, and those that were kept longest are let go where it is too much."""
        self._kept[key] = size
        self._kept_bytes += size
        while len(self._kept) > 1 and (len(self._kept) > MAX_HELD or self._kept_bytes > MAX_KEPT_BYTES):
            self._let_go(next(iter(self._kept)))

    def _let_go(self, key: Key) -> None:
        self._tasks.pop(key, None)
        self._kept_bytes -= self._kept.pop(key, 0)

    def close(self) -> None:
        """End what is under way."""
        self.bench.close()


def _sight_of(task: _Task, done: TaskOutcome) -> tuple[QueryAnswer, list[Any]]:
    look = task.look
    told = {"line": done.line, "code": done.code, "again": done.again} if done.line else {"spent_s": done.spent_s}
    answer = _encoder.encode(told)
    return QueryAnswer(look.ticket, look.epoch, task.source, task.tick, answer), [] if done.line else [done.result]

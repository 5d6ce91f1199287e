"""Places tasks that need no data on nodes: each on the one with least to do, and on another one if that one dies.

A node is given a few tasks at a time, enough to keep it busy while messages travel, so that a faster node gets more.
Each viewer has a queue of tasks, and the queues are served in turn. A task is sent again until its node answers; the
node executes it once. When a node has left the map, its tasks go to others, ahead of those that wait.
"""

import itertools
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from umwelt.cluster.gateway.node_map import NodeMap
from umwelt.cluster.wire.protocol import CancelTasks, QueryAnswer, QueryRequest, encode
from umwelt.cluster.wire.resender import Resender
from umwelt.cluster.wire.viewer_protocol import Task
from umwelt.sandbox.errors import RunError, UmweltError, error_for
from umwelt.sandbox.region import Torus

RESEND_AFTER_S, MAX_RESEND_AFTER_S = 1.0, 8.0
MAX_DEATHS = 3
"""After so many nodes or worker processes died of a task, the task is given up."""
AHEAD_S, MAX_AHEAD = 0.05, 16
"""A node gets work for this long beyond its present task, and at most so many tasks."""
LONG_TASK_S = 1.0
"""No task is queued on a node behind tasks that take longer than this."""
TICKET_PREFIX = "task-"

OnResult = Callable[[bytes | UmweltError], None]


@dataclass(eq=False)
class _ScheduledTask:
    owner: Hashable
    task: Task
    on_result: OnResult
    ticket: str
    address: str = ""
    """Of the node that has the task."""
    deaths: int = 0


@dataclass
class _NodeLoad:
    """The tasks that a node has, and how long a task has taken there recently."""

    tasks: OrderedDict[str, _ScheduledTask] = field(default_factory=OrderedDict)
    task_s: float = 0.0
    is_filling: bool = True

    @property
    def has_room(self) -> bool:
        """Whether the node is to get one more task. A full node first completes half of its tasks."""
        if self.task_s == 0.0 or self.task_s > LONG_TASK_S:
            return not self.tasks
        count, max_count = len(self.tasks), min(MAX_AHEAD, 2 + int(AHEAD_S / self.task_s))
        self.is_filling = count < max_count and (self.is_filling or count <= max_count // 2)
        return self.is_filling


class TaskScheduler:
    """The open tasks of all viewers. One for each gateway.

    `send(address, frames)` reaches nodes; `map_of()` returns the present map of nodes, None while one is being made.
    """

    def __init__(self, torus: Torus, send: Callable[[str, list[Any]], bool], map_of: Callable[[], NodeMap | None]):
        self.torus, self._send_to, self._map_of = torus, send, map_of
        self._numbers = itertools.count()
        self._queues: OrderedDict[Hashable, deque[_ScheduledTask]] = OrderedDict()
        self._loads: dict[str, _NodeLoad] = {}
        """By the addresses of nodes."""
        self._open: dict[str, _ScheduledTask] = {}
        self._resender = Resender()
        self._map: NodeMap | None = None
        self.argument_bytes = 0
        """Of all open tasks."""

    def __len__(self) -> int:
        return len(self._open)

    def begin(self, owner: Hashable, task: Task, on_result: OnResult) -> None:
        """Queues a task; `on_result` is called once, with the packed result or an error."""
        scheduled = _ScheduledTask(owner, task, on_result, f"{TICKET_PREFIX}{next(self._numbers)}")
        self._open[scheduled.ticket] = scheduled
        self.argument_bytes += len(task.arguments)
        self._queues.setdefault(owner, deque()).append(scheduled)

    def cancel(self, owner: Hashable, tickets: set[str]) -> None:
        """Drops tasks of an owner without calling back; nodes that have them are told to stop."""
        cancelled = [one for one in self._open.values() if one.owner is owner and one.task.ticket in tickets]
        for scheduled in cancelled:
            self._remove(scheduled)
            load = self._loads.get(scheduled.address)
            if load is not None and scheduled.ticket in load.tasks:
                del load.tasks[scheduled.ticket]
                if self._map is not None:
                    cancel = CancelTasks(self._map.epoch, self._map.pass_key, [scheduled.ticket])
                    self._send_to(scheduled.address, encode(cancel))
        if owner in self._queues:
            self._queues[owner] = deque(one for one in self._queues[owner] if one.ticket in self._open)

    def take(self, message: QueryAnswer, raw: list[Any], sender: bytes) -> bool:
        """Takes the answer of a node; returns whether it concerned a task of this scheduler."""
        scheduled = self._open.get(message.ticket)
        if scheduled is None or scheduled.address.encode() != sender:
            return message.ticket.startswith(TICKET_PREFIX)
        try:
            answer = msgspec.json.decode(message.answer, type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return True
        load = self._loads[scheduled.address]
        del load.tasks[scheduled.ticket]
        self._resender.end(scheduled.ticket)
        spent_s = answer.get("spent_s")
        if isinstance(spent_s, float):
            load.task_s = spent_s if load.task_s == 0.0 else 0.8 * load.task_s + 0.2 * spent_s
        line = str(answer.get("line", ""))
        if line and answer.get("again"):
            self._requeue(scheduled, line)
        else:
            self._remove(scheduled)
            result = raw[0] if raw else b""
            scheduled.on_result(error_for(str(answer.get("code", "")), line) if line else result)
        return True

    def _remove(self, scheduled: _ScheduledTask) -> None:
        del self._open[scheduled.ticket]
        self._resender.end(scheduled.ticket)
        self.argument_bytes -= len(scheduled.task.arguments)

    def _requeue(self, scheduled: _ScheduledTask, line: str) -> None:
        """Queues a task again whose worker process or node has died, unless too many have died of it."""
        self._resender.end(scheduled.ticket)
        scheduled.deaths += 1
        scheduled.address = ""
        if scheduled.deaths >= MAX_DEATHS:
            self._remove(scheduled)
            scheduled.on_result(RunError(f"{line}, {MAX_DEATHS} times: see whether it needs too much memory"))
        else:
            self._queues.setdefault(scheduled.owner, deque()).appendleft(scheduled)
            self._queues.move_to_end(scheduled.owner, last=False)

    def turn(self, now_s: float) -> None:
        """Sends waiting tasks to nodes with room, and again those that were not answered."""
        node_map = self._map_of()
        if node_map != self._map:
            self._take_map(node_map)
        if self._map is not None:
            self._place(self._map, now_s)
            self._resender.turn(now_s)

    def _take_map(self, node_map: NodeMap | None) -> None:
        self._map = node_map
        if node_map is None:
            return
        former, self._loads = self._loads, {}
        for address in node_map.addresses:
            self._loads[address] = former.pop(address, _NodeLoad())
        for load in former.values():
            for scheduled in reversed(load.tasks.values()):
                self._requeue(scheduled, f'task "{scheduled.task.name}": its node was lost')

    def _place(self, node_map: NodeMap, now_s: float) -> None:
        """Sends one task of each queue in turn, as long as there is room."""
        blocked: set[Hashable] = set()
        while len(blocked) < len(self._queues):
            owner, waiting = next(iter(self._queues.items()))
            self._queues.move_to_end(owner)
            if not waiting:
                del self._queues[owner]
                blocked.discard(owner)
                continue
            address = self._choose_node(node_map, waiting[0].task)
            if address is None:
                blocked.add(owner)
                continue
            blocked.discard(owner)
            scheduled = waiting.popleft()
            scheduled.address = address
            self._loads[address].tasks[scheduled.ticket] = scheduled
            self._begin_sending(scheduled, now_s)

    def _choose_node(self, node_map: NodeMap, task: Task) -> str | None:
        """Returns the address of the node with least to do, of those that own `task.near`; None if none has room."""
        addresses = node_map.addresses
        if task.near:
            y, x = task.near
            addresses = tuple(addresses[index] for index in node_map.owners((y, x, 1, 1), self.torus))
        free = [address for address in addresses if self._loads[address].has_room]
        return min(free, key=lambda one: (len(self._loads[one].tasks), self._loads[one].task_s), default=None)

    def _begin_sending(self, scheduled: _ScheduledTask, now_s: float) -> None:
        task = scheduled.task

        def send() -> bool:
            if self._map is None:
                return False
            epoch, pass_key = self._map.epoch, self._map.pass_key
            request = QueryRequest(epoch, pass_key, scheduled.ticket, b"", -1, task.name, task.arguments, task.within_s)
            return self._send_to(scheduled.address, encode(request))

        self._resender.begin(scheduled.ticket, send, now_s, RESEND_AFTER_S, MAX_RESEND_AFTER_S)

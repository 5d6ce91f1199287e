"""Distributes tasks that need no data among the nodes, each to the least loaded one.

Each node is assigned a few tasks at a time, enough to keep it busy while messages travel, so that a faster node gets
more tasks. Each viewer has a queue of waiting tasks, and the queues are served in turn. A task is sent again until its
node answers; the node executes it once. If a node is no longer in the `NodeMap` (it has left or died), its tasks are
assigned to other nodes, before the waiting ones.
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
"""Number of nodes or worker processes that must die while executing a task before the task fails."""
AHEAD_S, MAX_AHEAD = 0.05, 16
"""A node is assigned two tasks at a time, and as many more as take this time in seconds; at most this number."""
LONG_TASK_S = 1.0
"""Average duration of tasks on a node above which no further task is queued there."""
TICKET_PREFIX = "task-"

OnResult = Callable[[bytes | UmweltError], None]


@dataclass(eq=False)
class _ScheduledTask:
    """An open task of the viewer `owner`. `ticket` identifies it at the nodes; `task.ticket` is the viewer's ticket."""

    owner: Hashable
    task: Task
    on_result: OnResult
    ticket: str
    address: str = ""
    """Address of the node to which the task is assigned; empty while it waits."""
    deaths: int = 0
    """Number of nodes or worker processes that died while executing the task."""


@dataclass
class _NodeLoad:
    """The tasks assigned to a node, and `task_s`, the recent average duration of a task there in seconds.

    `task_s` is 0 until a task was measured. `is_filling` is false from the time at which the node has its maximum
    number of tasks until it has completed half of them.
    """

    tasks: OrderedDict[str, _ScheduledTask] = field(default_factory=OrderedDict)
    task_s: float = 0.0
    is_filling: bool = True

    @property
    def has_room(self) -> bool:
        """Whether the node is to be assigned another task. A full node must first complete half of its tasks."""
        if self.task_s == 0.0 or self.task_s > LONG_TASK_S:
            return not self.tasks
        count, max_count = len(self.tasks), min(MAX_AHEAD, 2 + int(AHEAD_S / self.task_s))
        self.is_filling = count < max_count and (self.is_filling or count <= max_count // 2)
        return self.is_filling


class TaskScheduler:
    """The open tasks of all viewers that need no data. One instance for each gateway.

    `send(address, frames)` sends to a node and returns whether the message was accepted. `map_of()` returns the present
    node map, or None while the torus is being divided.
    """

    def __init__(self, torus: Torus, send: Callable[[str, list[Any]], bool], map_of: Callable[[], NodeMap | None]):
        self.torus, self._send_to, self._map_of = torus, send, map_of
        self._numbers = itertools.count()
        self._queues: OrderedDict[Hashable, deque[_ScheduledTask]] = OrderedDict()
        self._loads: dict[str, _NodeLoad] = {}
        """Loads by the address of the node."""
        self._open: dict[str, _ScheduledTask] = {}
        self._resender = Resender()
        self._map: NodeMap | None = None
        self.argument_bytes = 0
        """Total size of the arguments of all open tasks."""

    def __len__(self) -> int:
        return len(self._open)

    def begin(self, owner: Hashable, task: Task, on_result: OnResult) -> None:
        """Queues a task; `on_result` is called once, with the encoded result or an error."""
        scheduled = _ScheduledTask(owner, task, on_result, f"{TICKET_PREFIX}{next(self._numbers)}")
        self._open[scheduled.ticket] = scheduled
        self.argument_bytes += len(task.arguments)
        self._queues.setdefault(owner, deque()).append(scheduled)

    def cancel(self, owner: Hashable, tickets: set[str]) -> None:
        """Drops tasks of `owner` without calling `on_result`, and cancels those that were sent to nodes."""
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
        """Handles an answer of a node. Returns whether it belongs to a task of this scheduler."""
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
        """Removes a task from the open ones; its node is not informed."""
        del self._open[scheduled.ticket]
        self._resender.end(scheduled.ticket)
        self.argument_bytes -= len(scheduled.task.arguments)

    def _requeue(self, scheduled: _ScheduledTask, line: str) -> None:
        """Queues a task again after its worker process or node died; the task fails after `MAX_DEATHS` deaths.

        `line` is the message that says what died.
        """
        self._resender.end(scheduled.ticket)
        scheduled.deaths += 1
        scheduled.address = ""
        if scheduled.deaths >= MAX_DEATHS:
            self._remove(scheduled)
            scheduled.on_result(RunError(f"{line}, {MAX_DEATHS} times: see whether it needs too much memory"))
        else:
            self._queues.setdefault(scheduled.owner, deque()).appendleft(scheduled)
            self._queues.move_to_end(scheduled.owner, last=False)

    def poll(self, now_s: float) -> None:
        """Sends waiting tasks to nodes that have room, and resends unanswered ones."""
        node_map = self._map_of()
        if node_map != self._map:
            self._take_map(node_map)
        if self._map is not None:
            self._place(self._map, now_s)
            self._resender.poll(now_s)

    def _take_map(self, node_map: NodeMap | None) -> None:
        """Sets the present node map; queues the tasks of nodes that are no longer in it again."""
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
        """Assigns waiting tasks, one of each queue in turn, until no node has room."""
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
        """Returns the address of the least loaded node, or of the least loaded owner of the cell `task.near`.

        Returns None if no such node has room.
        """
        addresses = node_map.addresses
        if task.near:
            y, x = task.near
            addresses = tuple(addresses[index] for index in node_map.owners((y, x, 1, 1), self.torus))
        free = [address for address in addresses if self._loads[address].has_room]
        return min(free, key=lambda one: (len(self._loads[one].tasks), self._loads[one].task_s), default=None)

    def _begin_sending(self, scheduled: _ScheduledTask, now_s: float) -> None:
        """Sends a task to its node, and registers it to be resent until the node answers."""
        task = scheduled.task

        def send() -> bool:
            if self._map is None:
                return False
            epoch, pass_key = self._map.epoch, self._map.pass_key
            request = QueryRequest(epoch, pass_key, scheduled.ticket, b"", -1, task.name, task.arguments, task.within_s)
            return self._send_to(scheduled.address, encode(request))

        self._resender.begin(scheduled.ticket, send, now_s, RESEND_AFTER_S, MAX_RESEND_AFTER_S)

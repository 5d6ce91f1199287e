"""Tasks that need no data find their nodes: each goes to one that has little to do, and elsewhere if that one dies.

A node has a few tasks at a time: as many as keep it busy while messages travel, so that a faster one gets more.
Whoever asks for tasks has a queue, and the queues have their turns. A task is said again until its node answers, which
does it once. When a node has left the map, what it had goes to others, ahead of all that waits.
"""

import itertools
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from umwelt.cluster.gateway.tile_relay import NodeMap
from umwelt.cluster.wire.protocol import CancelTasks, QueryAnswer, QueryRequest, encode
from umwelt.cluster.wire.viewer_protocol import Task
from umwelt.sandbox.region import Torus

SAY_AGAIN_S, SAY_AGAIN_LATEST_S = 0.5, 8.0
MAX_LIVES = 3
"""So many nodes, or processes, may die of one task."""
AHEAD_S, MAX_AHEAD = 0.05, 16
"""A node is given work for so long beyond the task it is at."""
LONG_S = 1.0
"""Nobody should wait behind a task that takes longer."""

Done = Callable[[bytes, str], None]


@dataclass(eq=False)
class _Placed:
    owner: Hashable
    task: Task
    done: Done
    ticket: str
    door: str = ""
    said_s: float = -1e9
    again_s: float = SAY_AGAIN_S
    deaths: int = 0


@dataclass
class _Node:
    """What a node has to do, and how long a task takes there of late."""

    which: int
    under_way: OrderedDict[str, _Placed] = field(default_factory=OrderedDict)
    task_s: float = 0.0
    filling: bool = True

    @property
    def room(self) -> bool:
        """Whether it is to take one more. Half of its tasks are done before it gets others, which then go together."""
        if self.task_s == 0.0 or self.task_s > LONG_S:
            return not self.under_way
        has, most = len(self.under_way), min(MAX_AHEAD, 2 + int(AHEAD_S / self.task_s))
        self.filling = has < most and (self.filling or has <= most // 2)
        return self.filling


class TaskScheduler:
    """See the page's top. `send(door, frames)` reaches nodes, `map_of()` gives the present map."""

    def __init__(self, torus: Torus, send: Callable[[str, list[Any]], bool], map_of: Callable[[], NodeMap | None]):
        self.torus, self._send, self._map_of = torus, send, map_of
        self._numbers = itertools.count()
        self._queues: OrderedDict[Hashable, deque[_Placed]] = OrderedDict()
        self._nodes: dict[str, _Node] = {}
        self._placed: dict[str, _Placed] = {}
        self._map: NodeMap | None = None
        self.held_bytes = 0
        """Of arguments."""

    def __len__(self) -> int:
        return len(self._placed)

    def begin(self, owner: Hashable, task: Task, done: Done) -> None:
        """Have a task done; `done` is called with what came out, or with why nothing did."""
        placed = _Placed(owner, task, done, f"task-{next(self._numbers)}")
        self._placed[placed.ticket] = placed
        self.held_bytes += len(task.arguments)
        self._queues.setdefault(owner, deque()).append(placed)

    def drop(self, owner: Hashable, tickets: set[str]) -> None:
        """An owner waits no more for these tasks."""
        gone = [one for one in self._placed.values() if one.owner is owner and one.task.ticket in tickets]
        for placed in gone:
            self._forget(placed)
            node = self._nodes.get(placed.door)
            if node is not None and placed.ticket in node.under_way:
                del node.under_way[placed.ticket]
                if self._map is not None:
                    halt = CancelTasks(self._map.epoch, self._map.pass_key, [placed.ticket])
                    self._send(placed.door, encode(halt))
        if owner in self._queues:
            self._queues[owner] = deque(one for one in self._queues[owner] if one.ticket in self._placed)

    def take(self, sight: QueryAnswer, raw: list[Any], sender: bytes) -> bool:
        """A node has answered; gives whether it was about a task of ours."""
        placed = self._placed.get(sight.ticket)
        if placed is None or placed.door.encode() != sender:
            return sight.ticket.startswith("task-")
        try:
            answer = msgspec.json.decode(sight.answer, type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return True
        node = self._nodes[placed.door]
        del node.under_way[placed.ticket]
        spent_s = answer.get("spent_s")
        if isinstance(spent_s, float):
            node.task_s = spent_s if node.task_s == 0.0 else 0.8 * node.task_s + 0.2 * spent_s
        line = str(answer.get("line", ""))
        if line and answer.get("again"):
            self._once_more(placed, line)
        else:
            self._forget(placed)
            placed.done(raw[0] if raw else b"", line)
        return True

    def _forget(self, placed: _Placed) -> None:
        del self._placed[placed.ticket]
        self.held_bytes -= len(placed.task.arguments)

    def _once_more(self, placed: _Placed, line: str) -> None:
        """Its process or its node has died: elsewhere, unless it is the task that kills them."""
        placed.deaths += 1
        placed.door, placed.said_s, placed.again_s = "", -1e9, SAY_AGAIN_S
        if placed.deaths >= MAX_LIVES:
            self._forget(placed)
            placed.done(b"", f"{line}, as {MAX_LIVES} times now: see whether it needs too much memory")
        else:
            self._queues.setdefault(placed.owner, deque()).appendleft(placed)
            self._queues.move_to_end(placed.owner, last=False)

    def turn(self, now_s: float) -> None:
        """Place what waits, and say again what was not answered."""
        found = self._map_of()
        if found != self._map:
            self._take_map(found)
        if self._map is None:
            return
        self._place(now_s)
        for node in self._nodes.values():
            for placed in node.under_way.values():
                if now_s - placed.said_s >= placed.again_s:
                    self._say(placed, self._map, now_s)

    def _take_map(self, found: NodeMap | None) -> None:
        self._map = found
        if found is None:  # it is being made
            return
        before, self._nodes = self._nodes, {}
        for which, door in enumerate(found.doors):
            self._nodes[door] = before.pop(door, _Node(which))
            self._nodes[door].which = which
        for node in before.values():
            for placed in reversed(node.under_way.values()):
                self._once_more(placed, f'task "{placed.task.name}": its node was lost')

    def _place(self, now_s: float) -> None:
        """One task of each queue in turn, as long as there is room."""
        assert self._map is not None
        blocked: set[Hashable] = set()
        while len(blocked) < len(self._queues):
            owner, waiting = next(iter(self._queues.items()))
            self._queues.move_to_end(owner)
            if not waiting:
                del self._queues[owner]
                blocked.discard(owner)
                continue
            node_door = self._door_for(waiting[0].task)
            if node_door is None:
                blocked.add(owner)
                continue
            blocked.discard(owner)
            placed = waiting.popleft()
            placed.door = node_door
            self._nodes[node_door].under_way[placed.ticket] = placed
            self._say(placed, self._map, now_s)

    def _door_for(self, task: Task) -> str | None:
        """The door of the node that is to do a task: the one that owns the place, or the one with least to do."""
        assert self._map is not None
        doors = self._map.doors
        if task.near:
            doors = tuple(doors[n] for n in self._map.owners((*task.near, 1, 1), self.torus))  # type: ignore[arg-type]
        free = [door for door in doors if self._nodes[door].room]
        return min(free, key=lambda door: (len(self._nodes[door].under_way), self._nodes[door].task_s), default=None)

    def _say(self, placed: _Placed, found: NodeMap, now_s: float) -> None:
        task = placed.task
        look = QueryRequest(
            found.epoch, found.pass_key, placed.ticket, b"", -1, task.name, task.arguments, task.within_s
        )
        if self._send(placed.door, encode(look)):
            placed.said_s, placed.again_s = now_s, min(2 * placed.again_s, SAY_AGAIN_LATEST_S)
        else:  # a first send mostly only opens the line
            placed.said_s = now_s - placed.again_s + 0.05

"""The nodes that are in the world or want to be, and the present map. No I/O, no decisions about time.

A node is a *member* while the map gives it a rectangle. A node that has joined waits for the next map; one that leaves
stays a member until the next map; one that is dead is removed at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from umwelt.cluster.instructions import SendMessage
from umwelt.cluster.wire.protocol import Fenced, Heartbeat, Join, Member, Stop

LOADING_DEAD_AFTER_S = 30.0
"""A node that loads or compiles is dead after this time without a message."""
MAX_WAITING_NODES = 1000
MAX_RETIRED_KEYS = 10_000
MAX_NAME_CHARACTERS = 80
LEFT_LINE = "left the world, which goes on"


@dataclass
class NodeRecord:
    """A node as the coordinator knows it."""

    key: str
    name: str
    sender: Any
    """Where its messages come from; messages in its name from elsewhere do not count."""
    join: Join
    seen_s: float
    """When the last message came from it."""
    heartbeat: Heartbeat | None = None
    """The last one of the present map."""
    ready: bool = False
    """Whether it has loaded its rectangle."""
    tick: int = 0
    living: int = 0
    """Beings that it owned at its last record."""
    reports: int = 0
    """The number of its last report that arrived; those after a gap are sent again."""
    assigned_s: float = 0.0
    leaving: bool = False

    def begin_map(self, tick: int, now_s: float) -> None:
        """The node has a rectangle in a new map, and loads it at `tick`."""
        self.ready, self.tick, self.reports, self.heartbeat, self.seen_s = False, tick, 0, None, now_s


class Membership:
    """The nodes and the map. Owned by `CoordinatorMachine`."""

    def __init__(self, max_parts: int, dead_after_s: float):
        self.nodes: dict[str, NodeRecord] = {}
        """By key, in the order in which they joined."""
        self.map: list[Member] = []
        self._max_parts, self._dead_after_s = max_parts, dead_after_s
        self._retired: dict[str, bool] = {}
        """Keys of nodes that were removed, the latest ones, and whether they had asked to leave."""
        self._name_count = 0

    # --- questions

    @property
    def members(self) -> list[NodeRecord]:
        """The living nodes of the present map, in its order."""
        return [self.nodes[member.key] for member in self.map if member.key in self.nodes]

    @property
    def staying(self) -> list[NodeRecord]:
        """The nodes that do not want to leave: those of the next map."""
        return [node for node in self.nodes.values() if not node.leaving]

    @property
    def leaving(self) -> list[NodeRecord]:
        """The nodes that want to leave."""
        return [node for node in self.nodes.values() if node.leaving]

    @property
    def is_outdated(self) -> bool:
        """Whether a node waits for a rectangle that the world has room for, or a member wants to leave."""
        waiting = len(self.nodes) > len(self.map) and len(self.map) < self._max_parts
        return waiting or any(node.leaving for node in self.members)

    @property
    def is_full(self) -> bool:
        """Whether too many nodes wait for a rectangle."""
        return len(self.nodes) - len(self.members) >= MAX_WAITING_NODES

    def is_member(self, node: NodeRecord) -> bool:
        """Whether the map gives the node a rectangle."""
        return any(member.key == node.key for member in self.map)

    def is_retired(self, key: str) -> bool:
        """Whether a node of this key was removed."""
        return key in self._retired

    def all_ready(self) -> bool:
        """Whether all members have loaded their rectangles."""
        return all(node.ready for node in self.members)

    def rectangle(self, node: NodeRecord) -> tuple[int, int, int, int] | None:
        """The node's rectangle (y, x, height, width) in the map, if it has one."""
        return next((member.rectangle for member in self.map if member.key == node.key), None)

    def index(self, node: NodeRecord) -> int:
        """The node's index in the map."""
        return next(index for index, member in enumerate(self.map) if member.key == node.key)

    def threads(self, node: NodeRecord) -> int:
        """The number of threads that the node may use, of the cores that it shares with others on its host."""
        return threads_per_node(node.join.host, node.join.cores, [member.join.host for member in self.members])

    def dead(self, now_s: float) -> list[NodeRecord]:
        """The nodes that have been silent for too long."""
        return [node for node in self.nodes.values() if now_s - node.seen_s > self._patience_s(node)]

    def _patience_s(self, node: NodeRecord) -> float:
        if not self.is_member(node) or not node.ready:
            return LOADING_DEAD_AFTER_S
        heartbeat = node.heartbeat
        if heartbeat is None:
            return self._dead_after_s
        return max(self._dead_after_s, 3 * heartbeat.longest_s, 2 * heartbeat.tick_s)

    # --- messages of nodes

    def find(self, key: str, sender: Any, now_s: float) -> NodeRecord | None:
        """Returns the node that a message comes from; None if there is none of this key, or it sends from elsewhere."""
        node = self.nodes.get(key)
        if node is None or node.sender != sender:
            return None
        node.seen_s = now_s
        return node

    def mark_seen(self, sender: Any, now_s: float) -> None:
        """A node is alive: on a slow connection its heartbeats can queue behind a part of a snapshot."""
        for node in self.nodes.values():
            if node.sender == sender:
                node.seen_s = now_s

    # --- changes

    def add(self, join: Join, sender: Any, now_s: float) -> NodeRecord:
        """Adds a node, under the name that it would like unless another has it."""
        name, names = join.name[:MAX_NAME_CHARACTERS], {node.name for node in self.nodes.values()}
        while not name or name in names:
            self._name_count += 1
            name = f"node-{self._name_count}"
        node = self.nodes[join.key] = NodeRecord(join.key, name, sender, join, now_s)
        return node

    def remove(self, node: NodeRecord) -> SendMessage:
        """Removes a node; returns the message that tells it so."""
        del self.nodes[node.key]
        self._retired[node.key] = node.leaving
        if len(self._retired) > MAX_RETIRED_KEYS:
            del self._retired[next(iter(self._retired))]
        return self.reject(node.sender, node.key)

    def reject(self, sender: Any, key: str) -> SendMessage:
        """Returns the message to a node that is not in the world: `Stop` if it had asked to leave, else `Fenced`."""
        return SendMessage(sender, Stop(LEFT_LINE) if self._retired.get(key) else Fenced(key))

    def begin_map(self, rectangles: Sequence[tuple[int, int, int, int]], tick: int, now_s: float) -> None:
        """Gives the rectangles to the nodes that stay. There are at least as many of these."""
        nodes = self.staying[: len(rectangles)]
        self.map = [
            Member(node.key, node.name, node.join.address, node.join.tiles_address, rectangle)
            for node, rectangle in zip(nodes, rectangles, strict=True)
        ]
        for node in nodes:
            node.begin_map(tick, now_s)


def threads_per_node(host: str, cores: int, hosts: Sequence[str]) -> int:
    """Returns the number of threads for one node on `host`, where `hosts` names the host of every node."""
    return max(1, cores // max(1, hosts.count(host)))

"""The nodes of a run and the present map, which assigns rectangles of the torus to nodes. No I/O.

A node is a *member* while the map assigns it a rectangle. A node that has joined becomes a member with the next map. A
node that leaves stays a member until the next map. A dead node is removed immediately.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from umwelt.cluster.instructions import SendMessage
from umwelt.cluster.wire.protocol import Fenced, Heartbeat, Join, Member, Stop

LOADING_DEAD_AFTER_S = 30.0
"""Time without a message after which a node that loads its rectangle or has none is considered dead."""
MAX_WAITING_NODES = 1000
MAX_RETIRED_KEYS = 10_000
MAX_NAME_CHARACTERS = 80
LEFT_LINE = "left the world, which goes on"


@dataclass
class NodeRecord:
    """The coordinator's record of a node.

    `key` is the random id that the node has chosen, `name` its name for users, `join` the message with which it joined,
    and `tick` the latest tick that it has reported.
    """

    key: str
    name: str
    sender: Any
    """Identity of the connection on which it joined; messages with its key from other senders are ignored."""
    join: Join
    seen_s: float
    """Time at which the last message from the node arrived."""
    heartbeat: Heartbeat | None = None
    """The node's last heartbeat of the present map."""
    ready: bool = False
    """Whether the node has loaded its rectangle."""
    tick: int = 0
    living: int = 0
    """Number of beings that the node owned at its last tick record."""
    reports: int = 0
    """Number of the last report received in sequence; reports after a gap are ignored until they are resent."""
    assigned_s: float = 0.0
    leaving: bool = False

    def begin_map(self, tick: int, now_s: float) -> None:
        """Resets the record for a new map, in which the node loads its rectangle at `tick`."""
        self.ready, self.tick, self.reports, self.heartbeat, self.seen_s = False, tick, 0, None, now_s


class Membership:
    """The nodes of a run and the present map. Owned by `CoordinatorMachine`.

    `max_parts` is the maximum number of rectangles in a map. A member is considered dead after `dead_after_s` seconds
    without a message, or later if its ticks take long.
    """

    def __init__(self, max_parts: int, dead_after_s: float):
        self.nodes: dict[str, NodeRecord] = {}
        """All nodes by key, in the order in which they joined."""
        self.map: list[Member] = []
        """The members with their addresses and rectangles; empty while there is no map."""
        self._max_parts, self._dead_after_s = max_parts, dead_after_s
        self._retired: dict[str, bool] = {}
        """For the key of each recently removed node, whether the node had asked to leave."""
        self._name_count = 0

    # --- state

    @property
    def members(self) -> list[NodeRecord]:
        """The members that were not removed, in the order of the map."""
        return [self.nodes[member.key] for member in self.map if member.key in self.nodes]

    @property
    def staying(self) -> list[NodeRecord]:
        """The nodes that have not asked to leave, in the order in which they joined."""
        return [node for node in self.nodes.values() if not node.leaving]

    @property
    def leaving(self) -> list[NodeRecord]:
        """The nodes that have asked to leave."""
        return [node for node in self.nodes.values() if node.leaving]

    @property
    def is_outdated(self) -> bool:
        """Whether the map should change: a node can get a rectangle, or a member has asked to leave."""
        waiting = len(self.nodes) > len(self.map) and len(self.map) < self._max_parts
        return waiting or any(node.leaving for node in self.members)

    @property
    def is_full(self) -> bool:
        """Whether the maximum number of nodes wait for a rectangle."""
        return len(self.nodes) - len(self.members) >= MAX_WAITING_NODES

    def is_member(self, node: NodeRecord) -> bool:
        """Returns whether the map assigns a rectangle to the node."""
        return any(member.key == node.key for member in self.map)

    def is_retired(self, key: str) -> bool:
        """Returns whether a node with this key was removed."""
        return key in self._retired

    def all_ready(self) -> bool:
        """Returns whether all members have loaded their rectangles."""
        return all(node.ready for node in self.members)

    def rectangle(self, node: NodeRecord) -> tuple[int, int, int, int] | None:
        """Returns the node's rectangle (y, x, height, width) in the map; None if it has none."""
        return next((member.rectangle for member in self.map if member.key == node.key), None)

    def index(self, node: NodeRecord) -> int:
        """Returns the node's index in the map."""
        return next(index for index, member in enumerate(self.map) if member.key == node.key)

    def threads(self, node: NodeRecord) -> int:
        """Returns the number of threads for the node: the cores of its host divided by the number of its nodes."""
        return threads_per_node(node.join.host, node.join.cores, [member.join.host for member in self.members])

    def dead(self, now_s: float) -> list[NodeRecord]:
        """Returns the nodes that have sent no message for so long that they are considered dead."""
        return [node for node in self.nodes.values() if now_s - node.seen_s > self._patience_s(node)]

    def _patience_s(self, node: NodeRecord) -> float:
        """Returns the time without a message, in seconds, after which a node is considered dead."""
        if not self.is_member(node) or not node.ready:
            return LOADING_DEAD_AFTER_S
        heartbeat = node.heartbeat
        if heartbeat is None:
            return self._dead_after_s
        return max(self._dead_after_s, 3 * heartbeat.longest_s, 2 * heartbeat.tick_s)

    # --- messages of nodes

    def find(self, key: str, sender: Any, now_s: float) -> NodeRecord | None:
        """Returns the node that sent a message, and records that it is alive.

        Returns None if no node has this key, or if that node joined from another `sender`.
        """
        node = self.nodes.get(key)
        if node is None or node.sender != sender:
            return None
        node.seen_s = now_s
        return node

    def mark_seen(self, sender: Any, now_s: float) -> None:
        """Records that the node with this `sender` is alive.

        On a slow connection the heartbeats of a node can be delayed by the snapshot part that it sends.
        """
        for node in self.nodes.values():
            if node.sender == sender:
                node.seen_s = now_s

    # --- changes

    def add(self, join: Join, sender: Any, now_s: float) -> NodeRecord:
        """Adds a node, under the requested name, or a generated name if that is empty or in use."""
        name, names = join.name[:MAX_NAME_CHARACTERS], {node.name for node in self.nodes.values()}
        while not name or name in names:
            self._name_count += 1
            name = f"node-{self._name_count}"
        node = self.nodes[join.key] = NodeRecord(join.key, name, sender, join, now_s)
        return node

    def remove(self, node: NodeRecord) -> SendMessage:
        """Removes a node; returns the message that informs it (see `reject`)."""
        del self.nodes[node.key]
        self._retired[node.key] = node.leaving
        if len(self._retired) > MAX_RETIRED_KEYS:
            del self._retired[next(iter(self._retired))]
        return self.reject(node.sender, node.key)

    def reject(self, sender: Any, key: str) -> SendMessage:
        """Returns the message to a removed or unknown node: `Stop` if it had asked to leave.

        Otherwise `Fenced`, which says that the node no longer takes part in the run under this key.
        """
        return SendMessage(sender, Stop(LEFT_LINE) if self._retired.get(key) else Fenced(key))

    def begin_map(self, rectangles: Sequence[tuple[int, int, int, int]], tick: int, now_s: float) -> None:
        """Starts a new map: assigns the rectangles to the first of the nodes in `staying`.

        There must be at least as many of these nodes as rectangles. All members load at `tick`.
        """
        nodes = self.staying[: len(rectangles)]
        self.map = [
            Member(node.key, node.name, node.join.address, node.join.tiles_address, rectangle)
            for node, rectangle in zip(nodes, rectangles, strict=True)
        ]
        for node in nodes:
            node.begin_map(tick, now_s)


def threads_per_node(host: str, cores: int, hosts: Sequence[str]) -> int:
    """Returns the number of threads for one node on `host`, which has `cores` cores.

    `hosts` lists the host of every node. The cores are divided equally among the nodes of the host.
    """
    return max(1, cores // max(1, hosts.count(host)))

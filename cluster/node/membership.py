"""Joining and leaving a world, from a node's side, without I/O.

Hello   -> Welcome         the node receives the world file, reads it and compiles the laws
Join    -> Assignment      the node is assigned a shard, at the next change of the map
Fenced                     the coordinator has excluded the node, which joins again under another key
LeaveRequest -> Stop       the node continues until other nodes have taken over its shard
"""

from collections.abc import Callable
from dataclasses import dataclass

from umwelt.cluster.events import WorldPrepared
from umwelt.cluster.instructions import PrepareWorld, SendMessage
from umwelt.cluster.wire.protocol import PROTOCOL_VERSION, Assignment, Hello, Join, LeaveRequest, Welcome

RETRY_S = 0.5


@dataclass(frozen=True)
class NodeProfile:
    """Description of a node and its host, sent to the coordinator in `Join`.

    `address` is the node's address for neighbours and gateways, `tiles_address` the one at which gateways subscribe to
    tiles, `pid` its process id, and `cores` the number of processor cores.
    """

    address: str
    tiles_address: str
    host: str
    pid: int
    cores: int


class NodeMembership:
    """A node's membership of a world. Owned by `NodeMachine` for the lifetime of the node.

    `key` identifies the node until the coordinator excludes it (`Fenced`); `new_key` returns a new key. `welcome` is
    None until the coordinator has answered. `reached` is the latest tick that the node has ever computed: it shows a
    coordinator that has lost the end of its journal which ticks were granted.
    """

    def __init__(self, coordinator: str, profile: NodeProfile, new_key: Callable[[], str], name: str):
        self.coordinator, self.name = coordinator, name
        self.key = new_key()
        self.welcome: Welcome | None = None
        self.reached = 0
        self.leaving = False
        self._profile, self._new_key = profile, new_key
        self._prepared: WorldPrepared | None = None
        self._asked_s = float("-inf")

    def ask(self, now_s: float) -> list[SendMessage]:
        """Returns the next message of joining (`Hello` or `Join`), at most once in `RETRY_S` seconds.

        Call it repeatedly until the node has an assignment.
        """
        if now_s - self._asked_s < RETRY_S or self.leaving:
            return []
        self._asked_s = now_s
        if self.welcome is None:
            return [SendMessage(self.coordinator, Hello(self.key, PROTOCOL_VERSION))]
        if self._prepared is None:
            return []
        me, prepared = self._profile, self._prepared
        join = Join(
            self.key,
            me.address,
            me.tiles_address,
            me.host,
            me.pid,
            me.cores,
            prepared.shares_folder,
            prepared.seals,
            self.reached,
            self.name,
        )
        return [SendMessage(self.coordinator, join)]

    def accept_welcome(self, welcome: Welcome) -> list[PrepareWorld]:
        """Stores the welcome and returns the instruction to prepare its world; ignores repeated welcomes."""
        if self.welcome is not None:
            return []
        self.welcome = welcome
        return [PrepareWorld(welcome)]

    def world_prepared(self, event: WorldPrepared, now_s: float) -> list[SendMessage]:
        """Stores the result of preparing the world and returns the `Join` message."""
        self._prepared = event
        self._asked_s = float("-inf")
        return self.ask(now_s)

    def is_assigned(self, assignment: Assignment) -> bool:
        """Returns whether an assignment is addressed to this node."""
        members, which = assignment.members, assignment.which
        return 0 <= which < len(members) and members[which].key == self.key

    def join_again(self, now_s: float) -> list[SendMessage]:
        """Replaces the key of a node that the coordinator has excluded; returns the `Join` message with the new key."""
        self.key = self._new_key()
        self._asked_s = float("-inf")
        return self.ask(now_s)

    def ask_to_leave(self) -> SendMessage:
        """Returns the message that asks the coordinator to let the node leave."""
        return SendMessage(self.coordinator, LeaveRequest(self.key))

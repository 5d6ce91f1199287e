"""How a node joins and leaves a world, without I/O.

Hello   -> Welcome         the node learns which world it is
(the world is prepared: read and compiled)
Join    -> Assignment      the node gets a shard, now or whenever the map changes next
Fenced                     the coordinator has given the node up: it joins again under another key
LeaveRequest -> Stop       the node stays until the others have taken over its shard
"""

from collections.abc import Callable
from dataclasses import dataclass

from umwelt.cluster.events import WorldPrepared
from umwelt.cluster.instructions import PrepareWorld, SendMessage
from umwelt.cluster.wire.protocol import PROTOCOL_VERSION, Assignment, Hello, Join, LeaveRequest, Welcome

RETRY_S = 0.5


@dataclass(frozen=True)
class NodeProfile:
    """What a node tells about itself and its host; see `protocol.Join`."""

    address: str
    tiles_address: str
    host: str
    pid: int
    cores: int


class NodeMembership:
    """A node's membership of a world. Owned by `NodeMachine`, for the node's whole life.

    `key` identifies the node until it is fenced; `new_key` makes the next one. `reached` is the latest tick that the
    node ever computed: a coordinator that lost part of its journal learns from it that the tick was granted.
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
        """Asks to join, every `RETRY_S` seconds until there is an assignment."""
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
        """Prepares the world; a repeated welcome changes nothing."""
        if self.welcome is not None:
            return []
        self.welcome = welcome
        return [PrepareWorld(welcome)]

    def world_prepared(self, event: WorldPrepared, now_s: float) -> list[SendMessage]:
        """Joins, now that the world is prepared."""
        self._prepared = event
        self._asked_s = float("-inf")
        return self.ask(now_s)

    def is_assigned(self, assignment: Assignment) -> bool:
        """Whether an assignment is addressed to this node."""
        members, which = assignment.members, assignment.which
        return 0 <= which < len(members) and members[which].key == self.key

    def join_again(self, now_s: float) -> list[SendMessage]:
        """Joins as a new node, after the coordinator has given this one up."""
        self.key = self._new_key()
        self._asked_s = float("-inf")
        return self.ask(now_s)

    def ask_to_leave(self) -> SendMessage:
        """Asks to leave."""
        return SendMessage(self.coordinator, LeaveRequest(self.key))

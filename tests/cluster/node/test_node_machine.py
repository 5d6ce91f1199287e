"""A node's machine, without I/O: late, repeated, reordered and unauthorised messages change nothing."""

from typing import Any

import pytest

from umwelt.cluster import events, instructions
from umwelt.cluster.node.halo_exchange import MAX_EARLY, MAX_EARLY_BYTES, REQUEST_AFTER_S
from umwelt.cluster.node.machine import NodeMachine
from umwelt.cluster.node.membership import NodeProfile
from umwelt.cluster.wire import protocol
from umwelt.sandbox.region import Torus

COORDINATOR = "ipc:///coordinator"
PASS = b"p" * 16
LEFT, RIGHT = (0, 0, 32, 32), (0, 32, 32, 32)
EPOCH = 3


class Node:
    """The machine of a node that has loaded the left half of a world with two shards."""

    def __init__(self, k: int = 1, granted: int = 0):
        self.keys = iter(f"key-{number}" for number in range(9))
        self.machine = NodeMachine(
            COORDINATOR, NodeProfile("ipc:///a", "", "host", 1, 2), lambda: next(self.keys), lambda: (Torus(32, 64), 8)
        )
        self.now_s = 10.0
        self.wait(0)
        members = [
            protocol.Member("key-0", "a", "ipc:///a", "", LEFT),
            protocol.Member("other", "b", "ipc:///b", "", RIGHT),
        ]
        self.assign = protocol.Assignment(EPOCH, PASS, 0, "tick-0", members, 0, k, 1, 8)
        self.from_coordinator(protocol.Welcome("", "world", "", ""))
        self.machine.handle(events.WorldPrepared({}, True))
        assert self.from_coordinator(self.assign) == [instructions.LoadShard(self.assign)]
        self.machine.handle(events.ShardLoaded(EPOCH, 5))
        self.machine.handle(events.HaloCut(0, {1: [b"cells", b"beings"]}))
        if granted:
            self.grant(granted)

    def from_coordinator(self, message: Any, *raw: bytes) -> list[Any]:
        """Delivers a message of the coordinator on the node's own connection; returns the machine's instructions."""
        return self.machine.handle(events.MessageReceived(message, raw, COORDINATOR.encode(), on_own_connection=True))

    def from_peer(self, message: Any, *raw: bytes, sender: bytes = b"ipc:///b") -> list[Any]:
        """Delivers a message to the node's listening socket; returns the machine's instructions."""
        return self.machine.handle(events.MessageReceived(message, raw, sender))

    def grant(self, through: int, commands: Any = (), snapshots: Any = (), acknowledged: int = 0) -> list[Any]:
        return self.from_coordinator(protocol.Grant(EPOCH, through, list(commands), list(snapshots), acknowledged))

    def halo(self, tick: int, content: bytes = b"x", **other: Any) -> list[Any]:
        named = {"epoch": EPOCH, "pass_key": PASS, "source": 1, "taker": 0, **other}
        return self.from_peer(protocol.HaloMessage(tick=tick, **named), content)

    def wait(self, seconds: float) -> list[Any]:
        self.now_s += seconds
        return self.machine.handle(events.Timer(self.now_s))

    def finish_tick(self, tick: int) -> list[Any]:
        return self.machine.handle(events.TickFinished(tick, 5, 0.01, 1))

    def exchange(self, tick: int) -> list[Any]:
        """Runs a complete halo exchange; returns the instructions after it."""
        self.machine.handle(events.HaloCut(tick, {1: [b"%d" % tick]}))
        assert [type(one) for one in self.halo(tick)] == [instructions.PasteHalo]
        return self.machine.handle(events.HaloPasted())


def actions(found: list[Any]) -> list[Any]:
    """Returns the instructions other than those that send a message."""
    return [one for one in found if not isinstance(one, instructions.SendMessage)]


def kinds(found: list[Any]) -> list[Any]:
    """Returns the types of instructions, and of messages in place of the instructions to send them."""
    return [type(one.message) if isinstance(one, instructions.SendMessage) else type(one) for one in found]


def test_a_tick_needs_the_halo_and_a_grant_in_whatever_order():
    first, second = Node(), Node()
    assert first.halo(0) == [instructions.PasteHalo(0, {1: [b"x"]})]
    assert actions(first.machine.handle(events.HaloPasted())) == []
    assert first.grant(1) == [instructions.RunTick(0, ())]
    assert second.grant(1) == []
    assert second.halo(0) == [instructions.PasteHalo(0, {1: [b"x"]})]
    assert actions(second.machine.handle(events.HaloPasted())) == [instructions.RunTick(0, ())]


def test_late_repeated_and_future_halo_messages_are_not_pasted_twice():
    node = Node(granted=9)
    assert kinds(node.halo(0, b"first")) == [instructions.PasteHalo]
    assert node.halo(0, b"second") == []  # arrives while the first is pasted
    assert node.halo(1, b"next") == []  # a neighbour may be one exchange ahead
    assert node.halo(7, b"far") == []
    node.machine.handle(events.HaloPasted())
    assert node.halo(0, b"late") == []
    assert kinds(node.finish_tick(1))[-1] is instructions.CutHalo
    assert node.machine.handle(events.HaloCut(1, {1: [b"ours"]}))[-1] == instructions.PasteHalo(1, {1: [b"next"]})


@pytest.mark.parametrize(
    "other", [{"epoch": EPOCH - 1}, {"pass_key": b"q" * 16}, {"source": 0}, {"source": 7}, {"taker": 1}], ids=str
)
def test_halo_messages_of_other_maps_of_strangers_and_for_others_are_dropped(other):
    node = Node(granted=1)
    assert node.halo(0, **other) == []
    assert node.machine.dropped == 1
    assert kinds(node.halo(0)) == [instructions.PasteHalo]


def test_a_few_halo_messages_of_a_map_that_has_not_arrived_are_kept():
    node = Node()
    for _ in range(3 * MAX_EARLY):
        node.halo(0, b"early", epoch=EPOCH + 1)
    assert len(node.machine.early) == MAX_EARLY
    node.machine.early.take()
    node.halo(0, bytes(MAX_EARLY_BYTES + 1), epoch=EPOCH + 1)
    assert len(node.machine.early) == 0


def test_a_missing_halo_message_is_requested_and_sent_again():
    node = Node(granted=1)
    assert protocol.HaloRequest not in kinds(node.wait(REQUEST_AFTER_S / 2))
    asked = [one for one in node.wait(2 * REQUEST_AFTER_S) if isinstance(one.message, protocol.HaloRequest)]
    assert [(one.to, one.message) for one in asked] == [("ipc:///b", protocol.HaloRequest(EPOCH, PASS, 0, 0))]
    again = node.from_peer(protocol.HaloRequest(EPOCH, PASS, 0, 1))
    assert again == [
        instructions.SendMessage("ipc:///b", protocol.HaloMessage(EPOCH, PASS, 0, 0, 1), [b"cells", b"beings"])
    ]
    assert node.from_peer(protocol.HaloRequest(EPOCH, PASS, 99, 1)) == []
    assert node.from_peer(protocol.HaloRequest(EPOCH, b"other", 0, 1)) == []


def test_a_malformed_halo_message_can_come_again():
    node = Node(granted=1)
    node.halo(0, b"bad")
    node.machine.handle(events.HaloMalformed(0, 1))
    assert node.halo(0, b"good") == [instructions.PasteHalo(0, {1: [b"good"]})]


def test_ticks_between_two_exchanges_need_no_halo_messages():
    node = Node(k=4, granted=9)
    node.halo(0)
    assert actions(node.machine.handle(events.HaloPasted())) == [instructions.RunTick(0, ())]
    for tick in (1, 2, 3):
        assert node.halo(tick) == []  # there is no exchange at this tick
        assert node.finish_tick(tick)[-1] == instructions.RunTick(tick, ())
    assert node.finish_tick(4)[-1] == instructions.CutHalo(4, (1,))


def test_commands_come_once_in_the_order_of_numbers_however_grants_arrive():
    commands = [protocol.ScheduledCommand(0, number, b"%d" % number) for number in (3, 1, 2)]
    node = Node()
    node.grant(2, commands[:1])
    node.grant(1, commands)  # an older grant that arrives later
    node.grant(2, [*commands, protocol.ScheduledCommand(1, 4, b"4")])
    assert node.machine.assigned.granted == 2
    node.halo(0)
    step = node.machine.handle(events.HaloPasted())[-1]
    assert [command.number for command in step.commands] == [1, 2, 3]
    node.finish_tick(1)
    node.grant(2, commands)  # for a past tick
    assert [command.number for command in node.exchange(1)[-1].commands] == [4]
    assert list(node.machine.assigned.commands) == [1]


def test_a_snapshot_of_the_present_tick_is_taken_at_once_and_once():
    node = Node(granted=1)
    node.halo(0)
    node.machine.handle(events.HaloPasted())
    node.finish_tick(1)
    node.machine.handle(events.HaloCut(1, {1: [b""]}))
    wish = protocol.SnapshotRequest(1, False)
    assert node.grant(1, snapshots=[wish]) == [instructions.RecordTick(1), instructions.WriteSnapshotPart(1, False)]
    assert node.grant(1, snapshots=[wish]) == []
    assert node.grant(1, snapshots=[protocol.SnapshotRequest(1, True)]) == [
        instructions.WriteSnapshotPart(1, True)
    ]  # one record
    assert node.grant(1, snapshots=[protocol.SnapshotRequest(1, True), wish]) == []
    assert node.grant(1, snapshots=[protocol.SnapshotRequest(0, True)]) == []  # for a past tick


def test_a_snapshot_is_taken_before_the_commands_of_its_tick():
    node = Node()
    node.grant(5, [protocol.ScheduledCommand(1, 1, b"")], [protocol.SnapshotRequest(1, False)])
    node.halo(0)
    node.machine.handle(events.HaloPasted())
    assert [one for one in kinds(node.finish_tick(1)) if one is not protocol.Heartbeat] == [
        instructions.RecordTick,
        instructions.WriteSnapshotPart,
        instructions.CutHalo,
    ]


def test_reports_are_sent_again_until_a_grant_acknowledges_them():
    node = Node()
    record = protocol.TickRecord(8, 1, 2, 3, 4, {}, {})
    sent = node.machine.handle(events.ReportReady(EPOCH, record))
    assert [one.message.number for one in sent] == [2]  # report 1 was Ready
    said = [one.message.number for one in node.wait(1) if isinstance(one.message, protocol.NumberedReport)]
    assert said == [1, 2]
    node.grant(0, acknowledged=1)
    assert [one.message.number for one in node.wait(1) if isinstance(one.message, protocol.NumberedReport)] == [2]
    assert node.machine.handle(events.ReportReady(EPOCH - 1, record)) == []  # of an older epoch


ORDERS = [
    protocol.Stop("go"),
    protocol.Fenced("key-0"),
    protocol.Refused("no"),
    protocol.Grant(EPOCH, 99, [], [], 0),
    protocol.Assignment(EPOCH + 1, PASS, 0, "s", [protocol.Member("key-0", "a", "", "", LEFT)], 0, 1, 1, 8),
]


@pytest.mark.parametrize("order", ORDERS, ids=lambda order: type(order).__name__)
def test_only_the_coordinator_on_the_node_s_own_connection_is_obeyed(order):
    node = Node()
    before = node.machine.assigned
    assert node.from_peer(order, sender=COORDINATOR.encode()) == []  # at the listening socket, under that name
    on_another = events.MessageReceived(order, (), b"ipc:///b", on_own_connection=True)
    assert node.machine.handle(on_another) == []
    assert node.machine.assigned is before and before.granted == 0
    assert node.from_coordinator(order) != [] or before.granted == 99


def test_a_fenced_node_drops_its_shard_and_joins_under_another_key():
    node = Node(granted=5)
    assert node.from_coordinator(protocol.Fenced("somebody")) == []
    out = node.from_coordinator(protocol.Fenced("key-0"))
    assert kinds(out) == [instructions.DropShard, protocol.Join] and out[1].message.key == "key-1"
    assert node.halo(0) == [] and node.grant(9) == []
    assert (
        node.from_coordinator(self_assign := node.assign) == [] and self_assign.members[0].key == "key-0"
    )  # a map of the node under its former key


def test_maps_come_once_and_only_newer_ones_count():
    node = Node()
    assert node.from_coordinator(node.assign) == []
    newer = protocol.Assignment(EPOCH + 2, b"n" * 16, 0, "s", node.assign.members, 0, 2, 1, 8)
    node.halo(0, b"early", epoch=EPOCH + 2, pass_key=b"n" * 16)
    assert node.from_coordinator(newer) == [instructions.LoadShard(newer)]
    assert node.halo(0) == []  # of the old epoch
    node.machine.handle(events.ShardLoaded(EPOCH, 1))  # a late result of the old load
    assert not node.machine.assigned.loaded
    assert kinds(node.machine.handle(events.ShardLoaded(EPOCH + 2, 1))) == [
        protocol.NumberedReport,
        protocol.Heartbeat,
        instructions.CutHalo,
    ]
    assert (
        kinds(node.machine.handle(events.HaloCut(0, {1: [b""]})))[-1] is instructions.PasteHalo
    )  # the early message was kept


def test_a_node_that_leaves_goes_on_until_it_is_stopped():
    node = Node()
    assert kinds(node.machine.leave()) == [protocol.LeaveRequest]
    assert node.machine.assigned is not None
    assert node.from_coordinator(protocol.Stop("left")) == [instructions.EndNode("left")]


def test_a_message_that_no_node_handles_is_counted_as_dropped():
    node = Node()
    before = node.machine.dropped
    assert node.from_peer(protocol.StatusSubscription("gateway")) == []
    assert node.from_coordinator(protocol.FileChunk("snapshot", "file", 0), b"late") == []
    assert node.machine.dropped == before + 2

"""A node without I/O: what comes late, twice, in another order or from somebody else changes nothing."""

from typing import Any

import pytest

from umwelt.cluster import events
from umwelt.cluster.node.machine import EARLY_KEPT, MAX_EARLY_BYTES, WANT_AFTER_S, NodeMachine
from umwelt.cluster.wire import protocol
from umwelt.sandbox.region import Torus

DIRECTORY = "ipc:///directory"
PASS = b"p" * 16
LEFT, RIGHT = (0, 0, 32, 32), (0, 32, 32, 32)
EPOCH = 3


class Node:
    """A machine with its world of two halves; it holds the left one."""

    def __init__(self, k: int = 1, granted: int = 0):
        self.keys = iter(f"key-{number}" for number in range(9))
        self.machine = NodeMachine(
            DIRECTORY, "ipc:///a", "", "host", 1, 2, "protocol", lambda: next(self.keys), lambda: (Torus(32, 64), 8)
        )
        self.now_s = 10.0
        self.wait(0)
        members = [
            protocol.Member("key-0", "a", "ipc:///a", "", LEFT),
            protocol.Member("other", "b", "ipc:///b", "", RIGHT),
        ]
        self.assign = protocol.Assignment(EPOCH, PASS, 0, "tick-0", members, 0, k, 1, 8)
        self.told(protocol.Welcome("", "world", "", ""))
        self.machine.handle(events.WorldPrepared({}, True))
        assert self.told(self.assign) == [events.LoadShard(self.assign)]
        self.machine.handle(events.ShardLoaded(EPOCH, 5))
        self.machine.handle(events.HaloCut(0, {1: [b"cells", b"beings"]}))
        if granted:
            self.grant(granted)

    def told(self, message: Any, *raw: bytes) -> list[Any]:
        """The directory says something."""
        return self.machine.handle(events.MessageReceived(message, raw, DIRECTORY.encode(), on_line=True))

    def heard(self, message: Any, *raw: bytes, sender: bytes = b"ipc:///b") -> list[Any]:
        """Somebody says something at the door."""
        return self.machine.handle(events.MessageReceived(message, raw, sender))

    def grant(self, through: int, commands: Any = (), snapshots: Any = (), acknowledged: int = 0) -> list[Any]:
        return self.told(protocol.Grant(EPOCH, through, list(commands), list(snapshots), acknowledged))

    def strip(self, tick: int, content: bytes = b"x", **other: Any) -> list[Any]:
        named = {"epoch": EPOCH, "pass_key": PASS, "source": 1, "taker": 0, **other}
        return self.heard(protocol.HaloMessage(tick=tick, **named), content)

    def wait(self, seconds: float) -> list[Any]:
        self.now_s += seconds
        return self.machine.handle(events.Timer(self.now_s))

    def stepped(self, tick: int) -> list[Any]:
        return self.machine.handle(events.TickFinished(tick, 5, 0.01, 1))

    def exchange(self, tick: int) -> list[Any]:
        """The halo of a tick, there and back."""
        self.machine.handle(events.HaloCut(tick, {1: [b"%d" % tick]}))
        assert [type(one) for one in self.strip(tick)] == [events.PasteHalo]
        return self.machine.handle(events.HaloPasted())


def acts(found: list[Any]) -> list[Any]:
    """What is to be done besides talking."""
    return [one for one in found if not isinstance(one, events.SendMessage)]


def kinds(found: list[Any]) -> list[Any]:
    return [type(one.message) if isinstance(one, events.SendMessage) else type(one) for one in found]


def test_a_tick_needs_the_halo_and_a_grant_in_whatever_order():
    first, second = Node(), Node()
    assert first.strip(0) == [events.PasteHalo(0, {1: [b"x"]})]
    assert acts(first.machine.handle(events.HaloPasted())) == []
    assert first.grant(1) == [events.RunTick(0, ())]
    assert second.grant(1) == []
    assert second.strip(0) == [events.PasteHalo(0, {1: [b"x"]})]
    assert acts(second.machine.handle(events.HaloPasted())) == [events.RunTick(0, ())]


def test_late_repeated_and_future_strips_are_not_pasted_twice():
    node = Node(granted=9)
    assert kinds(node.strip(0, b"first")) == [events.PasteHalo]
    assert node.strip(0, b"second") == []  # while pasting
    assert node.strip(1, b"next") == []  # a neighbour may be an exchange ahead
    assert node.strip(7, b"far") == []
    node.machine.handle(events.HaloPasted())
    assert node.strip(0, b"late") == []
    assert kinds(node.stepped(1))[-1] is events.CutHalo
    assert node.machine.handle(events.HaloCut(1, {1: [b"ours"]}))[-1] == events.PasteHalo(1, {1: [b"next"]})


@pytest.mark.parametrize(
    "other", [{"epoch": EPOCH - 1}, {"pass_key": b"q" * 16}, {"source": 0}, {"source": 7}, {"taker": 1}], ids=str
)
def test_strips_of_other_maps_strangers_and_for_others_are_dropped(other):
    node = Node(granted=1)
    assert node.strip(0, **other) == []
    assert node.machine.dropped == 1
    assert kinds(node.strip(0)) == [events.PasteHalo]


def test_strips_of_a_map_that_has_not_come_are_kept_a_few():
    node = Node()
    for _ in range(3 * EARLY_KEPT):
        node.strip(0, b"early", epoch=EPOCH + 1)
    assert len(node.machine.early) == EARLY_KEPT
    node.machine.early.clear()
    node.strip(0, bytes(MAX_EARLY_BYTES + 1), epoch=EPOCH + 1)
    assert node.machine.early == []


def test_a_strip_that_does_not_come_is_asked_for_and_sent_again():
    node = Node(granted=1)
    assert protocol.HaloRequest not in kinds(node.wait(WANT_AFTER_S / 2))
    asked = [one for one in node.wait(2 * WANT_AFTER_S) if isinstance(one.message, protocol.HaloRequest)]
    assert [(one.to, one.message) for one in asked] == [("ipc:///b", protocol.HaloRequest(EPOCH, PASS, 0, 0))]
    again = node.heard(protocol.HaloRequest(EPOCH, PASS, 0, 1))
    assert again == [events.SendMessage("ipc:///b", protocol.HaloMessage(EPOCH, PASS, 0, 0, 1), [b"cells", b"beings"])]
    assert node.heard(protocol.HaloRequest(EPOCH, PASS, 99, 1)) == []
    assert node.heard(protocol.HaloRequest(EPOCH, b"other", 0, 1)) == []


def test_a_misshapen_strip_may_come_again():
    node = Node(granted=1)
    node.strip(0, b"bad")
    node.machine.handle(events.HaloMalformed(0, 1))
    assert node.strip(0, b"good") == [events.PasteHalo(0, {1: [b"good"]})]


def test_ticks_between_two_exchanges_need_no_strips():
    node = Node(k=4, granted=9)
    node.strip(0)
    assert acts(node.machine.handle(events.HaloPasted())) == [events.RunTick(0, ())]
    for tick in (1, 2, 3):
        assert node.strip(tick) == []  # there is no exchange at this tick
        assert node.stepped(tick)[-1] == events.RunTick(tick, ())
    assert node.stepped(4)[-1] == events.CutHalo(4, (1,))


def test_commands_come_once_in_the_order_of_numbers_however_grants_arrive():
    commands = [protocol.ScheduledCommand(0, number, b"%d" % number) for number in (3, 1, 2)]
    node = Node()
    node.grant(2, commands[:1])
    node.grant(1, commands)  # an older one, later
    node.grant(2, [*commands, protocol.ScheduledCommand(1, 4, b"4")])
    assert node.machine.holding.granted == 2
    node.strip(0)
    step = node.machine.handle(events.HaloPasted())[-1]
    assert [command.number for command in step.commands] == [1, 2, 3]
    node.stepped(1)
    node.grant(2, commands)  # of a tick that is past
    assert [command.number for command in node.exchange(1)[-1].commands] == [4]
    assert list(node.machine.holding.commands) == [1]


def test_a_snapshot_of_the_present_tick_is_taken_at_once_and_once():
    node = Node(granted=1)
    node.strip(0)
    node.machine.handle(events.HaloPasted())
    node.stepped(1)
    node.machine.handle(events.HaloCut(1, {1: [b""]}))
    wish = protocol.SnapshotRequest(1, False)
    assert node.grant(1, snapshots=[wish]) == [events.RecordTick(1), events.WriteSnapshotPart(1, False)]
    assert node.grant(1, snapshots=[wish]) == []
    assert node.grant(1, snapshots=[protocol.SnapshotRequest(1, True)]) == [
        events.WriteSnapshotPart(1, True)
    ]  # recorded once
    assert node.grant(1, snapshots=[protocol.SnapshotRequest(1, True), wish]) == []
    assert node.grant(1, snapshots=[protocol.SnapshotRequest(0, True)]) == []  # past


def test_a_snapshot_is_taken_before_the_commands_of_its_tick():
    node = Node()
    node.grant(5, [protocol.ScheduledCommand(1, 1, b"")], [protocol.SnapshotRequest(1, False)])
    node.strip(0)
    node.machine.handle(events.HaloPasted())
    assert [one for one in kinds(node.stepped(1)) if one is not protocol.Heartbeat] == [
        events.RecordTick,
        events.WriteSnapshotPart,
        events.CutHalo,
    ]


def test_notes_are_said_again_until_a_grant_acknowledges_them():
    node = Node()
    record = protocol.TickRecord(8, 1, 2, 3, 4, {}, {})
    sent = node.machine.handle(events.ReportReady(EPOCH, record))
    assert [one.message.number for one in sent] == [2]  # the first one was Ready
    said = [one.message.number for one in node.wait(1) if isinstance(one.message, protocol.NumberedReport)]
    assert said == [1, 2]
    node.grant(0, acknowledged=1)
    assert [one.message.number for one in node.wait(1) if isinstance(one.message, protocol.NumberedReport)] == [2]
    assert node.machine.handle(events.ReportReady(EPOCH - 1, record)) == []  # of an older map


ORDERS = [
    protocol.Stop("go"),
    protocol.Fenced("key-0"),
    protocol.Refused("no"),
    protocol.Grant(EPOCH, 99, [], [], 0),
    protocol.Assignment(EPOCH + 1, PASS, 0, "s", [protocol.Member("key-0", "a", "", "", LEFT)], 0, 1, 1, 8),
]


@pytest.mark.parametrize("order", ORDERS, ids=lambda order: type(order).__name__)
def test_only_the_directory_on_our_own_line_is_obeyed(order):
    node = Node()
    before = node.machine.holding
    assert node.heard(order, sender=DIRECTORY.encode()) == []  # at the door, by that name
    on_another = events.MessageReceived(order, (), b"ipc:///b", on_line=True)
    assert node.machine.handle(on_another) == []
    assert node.machine.holding is before and before.granted == 0
    assert node.told(order) != [] or before.granted == 99


def test_a_fenced_node_forgets_all_and_knocks_under_another_key():
    node = Node(granted=5)
    assert node.told(protocol.Fenced("somebody")) == []
    out = node.told(protocol.Fenced("key-0"))
    assert kinds(out) == [events.DropShard, protocol.Join] and out[1].message.key == "key-1"
    assert node.strip(0) == [] and node.grant(9) == []
    assert node.told(self_assign := node.assign) == [] and self_assign.members[0].key == "key-0"  # the old life's map


def test_maps_come_once_and_only_newer_ones_count():
    node = Node()
    assert node.told(node.assign) == []
    newer = protocol.Assignment(EPOCH + 2, b"n" * 16, 0, "s", node.assign.members, 0, 2, 1, 8)
    node.strip(0, b"early", epoch=EPOCH + 2, pass_key=b"n" * 16)
    assert node.told(newer) == [events.LoadShard(newer)]
    assert node.strip(0) == []  # of the old map
    node.machine.handle(events.ShardLoaded(EPOCH, 1))  # the old load ends late
    assert not node.machine.holding.loaded
    assert kinds(node.machine.handle(events.ShardLoaded(EPOCH + 2, 1))) == [
        protocol.NumberedReport,
        protocol.Heartbeat,
        events.CutHalo,
    ]
    assert (
        kinds(node.machine.handle(events.HaloCut(0, {1: [b""]})))[-1] is events.PasteHalo
    )  # what came early was not lost


def test_a_node_that_leaves_stays_until_it_is_let_go():
    node = Node()
    assert kinds(node.machine.leave()) == [protocol.LeaveRequest]
    assert node.machine.holding is not None
    assert node.told(protocol.Stop("left")) == [events.EndNode("left")]

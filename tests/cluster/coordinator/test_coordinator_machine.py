"""The coordinator's machine, without I/O: admission of nodes, grants, snapshots, and new divisions of the torus."""

from typing import Any

import pytest

from umwelt.cluster import events, instructions
from umwelt.cluster.coordinator import balance, commands, membership, status
from umwelt.cluster.coordinator.balance import exchange_ticks
from umwelt.cluster.coordinator.machine import CoordinatorMachine
from umwelt.cluster.coordinator.state import RunOptions, RunState
from umwelt.cluster.run.store import Entry
from umwelt.cluster.wire import protocol
from umwelt.sandbox.region import Torus

SEALS = {"laws": "same"}


class LocalCluster:
    """A coordinator's machine, and simulated nodes that do at once what it asks.

    `said` has the messages that the machine sent, with their receivers; `done` its other instructions.
    """

    def __init__(self, nodes: int = 2, known: RunState | None = None, **wishes: Any):
        passes = iter(bytes([number]) * 16 for number in range(99))
        known = known or RunState(Torus(64, 64), 16, Entry(0, True), 0, 0)
        chosen = {"ticks_per_exchange": 1, "mark_s": 1e9, "kept_s": 1e9, **wishes}
        all_wishes = RunOptions(nodes=nodes, new_pass=lambda: next(passes), **chosen)
        self.coordinator = CoordinatorMachine(known, all_wishes, protocol.Welcome("", "world", "", ""), SEALS)
        self.said: list[tuple[Any, Any]] = []
        self.done: list[Any] = []
        self.order_of: list[str] = []
        self.now_s = 100.0
        self.numbers: dict[str, int] = {}
        self.obeying: set[str] = set()
        self.disk_is_slow = False
        self.written: list[events.SnapshotCompleted] = []
        """Completed snapshots that are not yet reported to the machine, while `disk_is_slow`."""
        self.wait(0)
        for number in range(nodes):
            self.join(f"k{number}")

    def carry_out(self, due: list[Any]) -> None:
        """Execute instructions of the machine, and those that follow from their results."""
        waiting = list(due)
        while waiting:
            one = waiting.pop(0)
            if isinstance(one, instructions.SendMessage):
                self.said.append((one.to, one.message))
                self.order_of.append(type(one.message).__name__)
                waiting += self.answer(one)
                continue
            self.done.append(one)
            self.order_of.append(type(one).__name__)
            if isinstance(one, instructions.DivideTorus):
                width = 64 // one.parts
                strips = [(0, at * width, 64, width) for at in range(one.parts)]
                waiting += self.coordinator.handle(events.TorusDivided(one.epoch, strips))
            elif isinstance(one, instructions.CompleteSnapshot):
                self.written.append(events.SnapshotCompleted(one.epoch, one.tick, one.kept))
                if not self.disk_is_slow:
                    waiting += self.coordinator.handle(self.written.pop())

    def answer(self, send: instructions.SendMessage) -> list[Any]:
        """Answers an assignment as a node that has loaded its shard; returns the instructions that follow."""
        if not isinstance(send.message, protocol.Assignment) or send.to.decode() not in self.obeying:
            return []
        key = send.to.decode()
        self.numbers[key] = 0
        return self.noted(key, protocol.Ready(send.message.tick))

    def noted(self, key: str, content: Any) -> list[Any]:
        """Sends the next numbered report of a node; returns the instructions that follow."""
        self.numbers[key] += 1
        note = protocol.NumberedReport(key, self.coordinator.epoch, self.numbers[key], content)
        return self.coordinator.handle(events.MessageReceived(note, (), key.encode()))

    def note(self, key: str, content: Any) -> None:
        """Send the next numbered report of a node, and execute what follows."""
        self.carry_out(self.noted(key, content))

    def heard(self, message: Any, sender: str = "person") -> None:
        """Deliver a message to the machine, and execute what follows."""
        self.carry_out(self.coordinator.handle(events.MessageReceived(message, (), sender.encode())))

    def join(self, key: str, seals: Any = SEALS, obeys: bool = True, **other: Any) -> None:
        self.obeying |= {key} if obeys else set()
        self.heard(protocol.Join(key, f"ipc:///{key}", "", "host", 1, 2, True, dict(seals), **other), key)

    def beat(self, tick: int, *keys: str, **other: Any) -> None:
        """Send a heartbeat at a tick from some nodes, or from all."""
        for key in keys or [member.key for member in self.coordinator.membership.map]:
            self.heard(protocol.Heartbeat(key, self.coordinator.epoch, tick, 1, **{"tick_s": 0.05, **other}), key)

    def wait(self, seconds: float = 0.01) -> None:
        """Advance the clock, and give the machine a timer event."""
        self.now_s += seconds
        self.carry_out(self.coordinator.handle(events.Timer(self.now_s)))

    def live(self, seconds: float, step_s: float = 0.1, **beat: Any) -> None:
        """Advance the clock in steps; after each, all nodes reach the granted tick (`reach`)."""
        for _ in range(round(seconds / step_s)):
            self.wait(step_s)
            self.reach(**beat)

    def reach(self, **beat: Any) -> None:
        """All nodes reach the granted tick, and report the snapshot that is requested there."""
        coordinator = self.coordinator
        if coordinator.phase not in ("running", "settling"):
            return
        granted, epoch, taking = coordinator.grants.granted, coordinator.epoch, coordinator.snapshots.round
        self.beat(granted, **beat)
        if taking is None or coordinator.snapshots.round is not taking or taking.tick > granted:
            return
        for member in list(coordinator.membership.map):
            if coordinator.epoch == epoch:
                self.note(member.key, protocol.TickRecord(taking.tick, 1, 0, 0, 0, {}, {}))
        for member in list(coordinator.membership.map):
            if coordinator.epoch == epoch:
                part = {"rectangle": list(member.rectangle)}
                self.note(member.key, protocol.SnapshotPart(taking.tick, taking.kept, part, {}, 0.001))

    def granted(self, key: str) -> list[protocol.Grant]:
        return [message for to, message in self.said if isinstance(message, protocol.Grant) and to == key.encode()]

    def last(self, kind: type, to: str = "person") -> Any:
        """Returns the last message of a kind to a receiver, or None."""
        found = [message for who, message in self.said if isinstance(message, kind) and who == to.encode()]
        return found[-1] if found else None

    @property
    def keys(self) -> list[str]:
        return [member.key for member in self.coordinator.membership.map]


def test_a_world_begins_when_all_nodes_have_joined():
    cluster = LocalCluster(2)
    cluster.wait()
    assert cluster.coordinator.phase == "running" and cluster.keys == ["k0", "k1"]
    assert cluster.order_of.index("JournalMap") < cluster.order_of.index("Assignment") < cluster.order_of.index("Grant")


def test_other_seals_and_protocol_versions_are_refused():
    cluster = LocalCluster(1)
    for number in range(50):
        cluster.join(f"x{number}", {"laws": "others"}, obeys=False)
    assert "laws" in cluster.last(protocol.Refused, "x0").line and "x0" not in cluster.coordinator.membership.nodes
    cluster.join("y", {}, obeys=False)
    assert cluster.last(protocol.Refused, "y") is not None
    cluster.heard(protocol.Hello("z", protocol.PROTOCOL_VERSION + 1), "z")
    assert cluster.last(protocol.Refused, "z").line == (
        "this node: uses version 2 of the protocol, the coordinator version 1: "
        "install the same version of Umwelt on both"
    )
    said = [one.line for one in cluster.done if isinstance(one, instructions.Announce) and "refused" in one.line]
    assert len(said) == 1  # logged only once


def test_commands_are_journalled_before_they_are_granted_and_never_in_the_past():
    cluster = LocalCluster(2, known=RunState(Torus(64, 64), 16, Entry(0, True), 0, 0, horizon=7))
    cluster.live(1)
    cluster.order_of.clear()
    for number in range(20):
        ahead = max(cluster.coordinator.grants.granted, *(grant.through for grant in cluster.granted("k0")))
        cluster.heard(protocol.SubmitCommands(f"t{number}", [b"a", b"b"], tick=number * 3))
        settled = cluster.last(protocol.TicketResult)
        assert settled.tick >= max(ahead, 7, number * 3)
        cluster.live(0.2)
    grants = [grant for grant in cluster.granted("k0") if grant.commands]
    for grant in grants:
        assert all(command.tick < grant.through for command in grant.commands)
    told = {command.number: command.tick for grant in grants for command in grant.commands}
    entered = {
        command.number: command.tick
        for one in cluster.done
        if isinstance(one, instructions.JournalCommands)
        for command in one.commands
    }
    assert told and told.items() <= entered.items()
    assert cluster.order_of.index("JournalCommands") == 0


def test_the_same_ticket_is_journalled_once():
    cluster = LocalCluster(1)
    for _ in range(3):
        cluster.heard(protocol.SubmitCommands("t", [b"a"]))
    assert len([one for one in cluster.done if isinstance(one, instructions.JournalCommands)]) == 1
    again = LocalCluster(1, known=RunState(Torus(64, 64), 16, Entry(0, True), 0, 0, tickets=(("t", 5, 9),)))
    again.heard(protocol.SubmitCommands("t", [b"a"]))
    assert again.last(protocol.TicketResult) == protocol.TicketResult("t", 5, 9)


def test_the_tick_that_a_joining_node_has_reached_moves_the_horizon_up_to_a_limit():
    cluster = LocalCluster(1)
    cluster.join("far", reached=500)
    assert cluster.coordinator.grants.horizon == 500
    cluster.join("liar", obeys=False, reached=1 << 28)
    assert cluster.coordinator.grants.horizon <= 500 + commands.MAX_AHEAD_TICKS


def test_a_node_joins_at_a_snapshot_of_the_present():
    cluster = LocalCluster(1)
    cluster.live(1)
    cluster.join("new")
    assert cluster.coordinator.phase == "settling"
    held = cluster.coordinator.grants.granted
    cluster.wait()
    assert cluster.coordinator.grants.granted == held
    cluster.reach()
    assert cluster.keys == ["k0", "new"] and cluster.coordinator.snapshots.last.tick == held
    cluster.live(0.5)
    assert cluster.coordinator.grants.granted > held


def test_a_node_that_is_ordered_to_leave_ends_unless_it_is_the_last():
    cluster = LocalCluster(2)
    cluster.live(1)
    name = next(node.name for node in cluster.coordinator.membership.nodes.values() if node.key == "k1")
    cluster.heard(protocol.Order("o", "leave", name=name))
    cluster.live(0.3)
    assert cluster.keys == ["k0"] and cluster.last(protocol.Stop, "k1") is not None
    cluster.heard(protocol.Heartbeat("k1", 1, 5), "k1")  # the message was lost: it is repeated
    assert cluster.last(protocol.Fenced, "k1") is None
    last = cluster.coordinator.membership.nodes["k0"].name
    cluster.heard(protocol.Order("p", "leave", name=last))
    assert "holds the whole world" in cluster.last(protocol.TicketResult).line
    assert cluster.coordinator.phase == "running"
    cluster.heard(protocol.LeaveRequest("k0"), "k0")  # by itself it may: the world waits for others
    cluster.live(0.3)
    assert cluster.coordinator.phase == "gathering" and cluster.last(protocol.Stop, "k0") is not None
    cluster.join("heir")
    cluster.wait(2)
    assert cluster.coordinator.phase == "running" and cluster.keys == ["heir"]


def test_a_silent_node_is_dead_and_history_is_granted_again():
    cluster = LocalCluster(2, mark_s=0.5)
    cluster.live(2)
    reached, saved = cluster.coordinator.grants.granted, cluster.coordinator.snapshots.last.tick
    assert 0 < saved < reached
    for _ in range(15):
        cluster.wait(0.1)
        cluster.beat(reached, "k0")
        if cluster.coordinator.epoch > 1:
            break
    assert cluster.keys == ["k0"] and cluster.coordinator.snapshots.last.tick == saved
    assert cluster.granted("k0")[-1].through > saved
    cluster.heard(protocol.Heartbeat("k1", 1, reached), "k1")
    assert cluster.last(protocol.Fenced, "k1") is not None
    cluster.heard(protocol.Join("k1", "ipc:///k1", "", "host", 1, 2, True, SEALS), "k1")  # a late message of it
    assert "k1" not in cluster.coordinator.membership.nodes


def test_a_node_that_joins_while_a_world_catches_up_is_included_afterwards():
    cluster = LocalCluster(2)
    cluster.live(2)
    reached = cluster.coordinator.grants.clock.reached
    for _ in range(15):  # k1 is silent, and all ticks from 0 on are run again
        cluster.wait(0.1)
        if cluster.coordinator.epoch > 1:
            break
        cluster.beat(reached, "k0")
    reached = cluster.coordinator.grants.clock.reached
    cluster.join("new")
    assert cluster.coordinator.grants.granted < reached
    assert cluster.coordinator.phase == "running" and cluster.keys == ["k0"]
    cluster.live(6)
    assert cluster.keys == ["k0", "new"] and cluster.coordinator.snapshots.last.tick >= reached


def test_a_part_that_cannot_be_written_is_announced_and_the_run_goes_on_or_ends_as_it_was_saved():
    cluster = LocalCluster(1)
    cluster.live(0.5)
    cluster.heard(protocol.Order("save", "save"))
    taking = cluster.coordinator.snapshots.round
    assert taking is not None
    cluster.note("k0", protocol.SnapshotPart(taking.tick, True, {}, {}, 0.1, [], "the disk is full: make room"))
    assert (
        cluster.coordinator.snapshots.round is None
        and cluster.coordinator.phase == "running"
        and cluster.coordinator.snapshots.last.tick == 0
    )
    assert instructions.Announce("the disk is full: make room") in cluster.done
    cluster.heard(protocol.Order("stop", "stop"))
    cluster.wait()
    taking = cluster.coordinator.snapshots.round
    assert taking is not None
    cluster.note("k0", protocol.SnapshotPart(taking.tick, True, {}, {}, 0.1, [], "the disk is full: make room"))
    assert instructions.EndRun("the disk is full: make room") in cluster.done


def test_messages_of_a_node_count_only_from_where_it_joined():
    cluster = LocalCluster(2)
    cluster.live(0.5)
    epoch = cluster.coordinator.epoch
    for message in (
        protocol.Heartbeat("k0", epoch, 1 << 20),
        protocol.LeaveRequest("k0"),
        protocol.NumberedReport("k0", epoch, 2, protocol.Failure("broken", True)),
        protocol.Join("k0", "ipc:///elsewhere", "", "", 1, 1, True, SEALS),
    ):
        cluster.heard(message, "stranger")
    assert (
        cluster.coordinator.membership.nodes["k0"].sender == b"k0"
        and cluster.coordinator.membership.nodes["k0"].tick < 1 << 20
    )
    assert (cluster.coordinator.epoch, cluster.coordinator.phase) == (epoch, "running")
    assert not cluster.coordinator.membership.nodes["k0"].leaving


def test_pause_step_and_speed():
    cluster = LocalCluster(2)
    cluster.live(1)
    cluster.heard(protocol.Order("a", "pause"))
    held = cluster.coordinator.grants.granted
    cluster.live(2)
    assert cluster.coordinator.grants.granted == held
    cluster.heard(protocol.Order("b", "step", 3.0))
    cluster.heard(protocol.Order("c", "step", 2.0))
    cluster.live(2)
    assert cluster.coordinator.grants.granted == held + 5
    for bad in (0.0, 1.5, -3.0):
        cluster.heard(protocol.Order(f"bad{bad}", "step", bad))
        assert cluster.last(protocol.TicketResult).line
    cluster.heard(protocol.Order("d", "speed", 5.0))
    cluster.heard(protocol.Order("e", "go"))
    cluster.live(4)
    assert abs(cluster.coordinator.grants.granted - (held + 5 + 20)) <= 2
    cluster.heard(protocol.Order("f", "speed", 0.0))
    before = cluster.coordinator.grants.granted
    cluster.live(2)
    assert cluster.coordinator.grants.granted >= before + 20
    cluster.heard(protocol.Order("g", "fly"))
    assert "unknown order" in cluster.last(protocol.TicketResult).line


def test_a_stop_during_a_recovery_first_reaches_the_tick_that_was_reached_before():
    cluster = LocalCluster(2)
    cluster.live(2)
    reached = cluster.coordinator.grants.granted
    cluster.heard(protocol.Order("lost", "lost", 1, "nowhere"))
    assert cluster.coordinator.epoch == 1
    cluster.carry_out(cluster.coordinator._remove(cluster.coordinator.membership.nodes["k1"], "died"))
    assert cluster.coordinator.grants.granted < reached
    cluster.heard(protocol.Order("s", "stop"))
    cluster.live(5)
    rests = [one for one in cluster.done if isinstance(one, instructions.EndRun)]
    assert [one.line for one in rests] == [""] and cluster.coordinator.snapshots.last.tick >= reached
    assert cluster.coordinator.snapshots.last.name == f"tick-{cluster.coordinator.snapshots.last.tick:012d}"
    assert cluster.last(protocol.Stop, "k0") is not None


def test_nothing_is_granted_after_the_last_tick():
    cluster = LocalCluster(2, last_tick=17)
    cluster.live(5)
    assert [type(one) for one in cluster.done][-1] is instructions.EndRun
    assert cluster.coordinator.snapshots.last.name == f"tick-{17:012d}"
    assert max(grant.through for grant in cluster.granted("k0")) == 17


def test_a_temporary_snapshot_of_the_last_tick_does_not_replace_the_kept_one():
    cluster = LocalCluster(1, last_tick=17)
    while cluster.coordinator.grants.granted < 17:
        cluster.wait()
        cluster.reach()
    cluster.carry_out(cluster.coordinator._take_snapshot(17, kept=False))
    cluster.disk_is_slow = True
    cluster.reach()
    cluster.live(2)
    assert cluster.coordinator.phase == "settling" and cluster.coordinator.snapshots.round.kept
    mark, kept = cluster.written
    assert (mark.kept, kept.kept) == (False, True)
    cluster.carry_out(cluster.coordinator.handle(mark))
    assert cluster.coordinator.phase == "settling"  # the run ends only after the snapshot of the last tick is on disk
    cluster.carry_out(cluster.coordinator.handle(kept))
    assert (cluster.coordinator.phase, cluster.coordinator.snapshots.last.name) == ("resting", "tick-000000000017")


def test_an_uneven_load_is_divided_again_but_not_soon_and_not_for_a_small_gain():
    def cut_after(seconds: float, busy: float) -> int:
        cluster = LocalCluster(2)
        for _ in range(round(seconds / 0.25)):
            cluster.wait(0.25)
            granted = cluster.coordinator.grants.granted
            cluster.beat(granted, "k0", tick_s=0.05)
            cluster.beat(granted, "k1", tick_s=0.05 * busy)
            cluster.reach()
        return cluster.coordinator.epoch

    assert cut_after(balance.BALANCE_AFTER_S - 3, 1.0) == 1
    cluster = LocalCluster(2)

    def pass_time(seconds: float, busy: float) -> None:
        for _ in range(round(seconds / 0.25)):
            cluster.wait(0.25)
            for key, tick_s in (("k0", 0.05), ("k1", 0.05 * busy)):
                if key in cluster.keys:
                    cluster.beat(cluster.coordinator.grants.granted, key, tick_s=tick_s)
            if cluster.coordinator.phase == "settling":
                cluster.reach()

    pass_time(balance.BALANCE_AFTER_S - 3, 3.0)
    assert cluster.coordinator.epoch == 1  # not soon after a change of the map
    pass_time(6, 3.0)
    assert cluster.coordinator.epoch == 2 and "mean load" in cluster.coordinator.reason
    pass_time(balance.BALANCE_AFTER_S - 3, 3.0)
    assert cluster.coordinator.epoch == 2  # once, and then the effect is measured
    pass_time(balance.BALANCE_AFTER_S * 2, 1.3)
    assert cluster.coordinator.epoch == 2  # 1.13 times the mean load is not enough


def test_slow_connections_make_exchanges_rarer_but_only_for_a_real_gain():
    members = [protocol.Member(str(at), "", "", "", (0, at * 128, 256, 128)) for at in range(2)]
    torus = Torus(256, 256)

    def best(current: int, way_s: float, tick_s: float = 0.01) -> int:
        beats = [protocol.Heartbeat("k", 1, 1, 9, tick_s, round_trip_s=2 * way_s)] * 2
        return exchange_ticks(current, beats, members, torus, 16)

    assert best(1, 0.0001) == 1
    assert best(1, 0.05) >= 4
    found = best(1, 0.02)
    assert found > 1 and best(found, 0.02, 0.011) == found  # and the choice is stable
    assert exchange_ticks(4, [], members[:1], torus, 16) == 1


def test_nothing_grows_without_bound():
    cluster = LocalCluster(1)
    cluster.live(0.5)
    coordinator = cluster.coordinator
    for number in range(membership.MAX_WAITING_NODES + 500):
        cluster.join(f"x{number}", obeys=False)
        cluster.heard(protocol.Hello(f"h{number}", protocol.PROTOCOL_VERSION), f"h{number}")
    assert len(coordinator.membership.nodes) <= membership.MAX_WAITING_NODES + 1
    for number in range(status.MAX_SUBSCRIBERS * 2):
        cluster.heard(protocol.StatusSubscription("a"), f"a{number}")
    assert len(coordinator.reports.subscribers) == status.MAX_SUBSCRIBERS
    for number in range(30):
        cluster.heard(protocol.SubmitCommands(f"many{number}", [b"x"] * 1000))
    assert len(coordinator.commands.commands) <= commands.MAX_PENDING_COMMANDS
    result = cluster.last(protocol.TicketResult)
    assert "too many commands at once" in result.line and result.code == "busy"
    cluster.heard(protocol.SubmitCommands("far", [b"x"], 1 << 28))
    assert cluster.last(protocol.TicketResult).tick == -1
    for number in range(commands.MAX_TICKETS + 100):
        cluster.heard(protocol.SubmitCommands(f"none{number}", []))
    assert len(coordinator.commands.tickets) == commands.MAX_TICKETS
    for tick in range(-1, 5000):
        cluster.note("k0", protocol.TickRecord(tick, 1, 0, 0, 0, {}, {}))
    assert len(coordinator.records.incomplete) <= coordinator.grants.granted + 1


def test_a_part_that_is_not_the_node_s_own_ends_the_node_and_not_the_world():
    cluster = LocalCluster(2)
    cluster.live(0.5)
    cluster.heard(protocol.Order("save", "save"))
    taking = cluster.coordinator.snapshots.round
    assert taking is not None
    cluster.note("k1", protocol.SnapshotPart(taking.tick, True, {"rectangle": [0, 0, 1, 1]}, {}, 0.1))
    assert cluster.keys == ["k0"]


@pytest.mark.parametrize("fatal", [False, True])
def test_a_fatal_failure_ends_the_run_and_another_failure_only_the_node(fatal):
    cluster = LocalCluster(2)
    cluster.live(0.5)
    cluster.note("k1", protocol.Failure("no room", fatal))
    rests = [one.line for one in cluster.done if isinstance(one, instructions.EndRun)]
    assert rests == (["no room"] if fatal else [])
    assert fatal or cluster.keys == ["k0"]


def test_a_message_that_no_coordinator_handles_is_counted_as_dropped():
    cluster = LocalCluster(1)
    cluster.heard(protocol.Pong(1, b"", 0, 1.0))
    cluster.heard(protocol.Welcome("", "", "", ""))
    assert cluster.coordinator.dropped == 2

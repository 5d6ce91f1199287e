"""Replays of past ticks for viewers: they repeat the run at the requested speed, up to the end of the journal."""

import itertools
import os
import subprocess
import time
from pathlib import Path

import msgspec
import pytest
from small_runs import open_run, small_run
from waiting import WITHIN_S, wait_until

from umwelt.agents import commands
from umwelt.agents.commands.drop import Drop
from umwelt.cluster.gateway import replay_launcher
from umwelt.cluster.gateway.replay_launcher import ReplayProcesses
from umwelt.cluster.gateway.replay_process import MAX_LATE_S, MAX_TICKS_PER_S, PLAY_TURN_S, REPLAY_FILE, ReplayPlayer
from umwelt.cluster.run.journal import Journal
from umwelt.cluster.run.replay import restore_region
from umwelt.cluster.run.store import Store
from umwelt.cluster.wire.keys import WORLD
from umwelt.cluster.wire.protocol import Order, ScheduledCommand, TicketResult, decode
from umwelt.cluster.wire.transport import ZmqTransport
from umwelt.sandbox import audit
from umwelt.sandbox.errors import RunError

DONE_AT, LAST = 20, 48


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Store:
    """A run up to tick 48, with a command at tick 20."""
    store = small_run(tmp_path_factory.mktemp("runs") / "run", 8)
    journal = Journal(store.journal)
    journal.enter_commands("ticket", [ScheduledCommand(DONE_AT, 1, commands.encode(Drop(3, 4, "sugar", 5000)))])
    journal.close()
    with open_run(store.folder) as runner:
        runner.go(LAST)
        runner.record()
    return store


class Clock:
    """A clock that the test advances; each tick of a replay passed to `slowed` advances it by `tick_s`."""

    def __init__(self, tick_s: float = 0.0):
        self.now_s, self.tick_s = 100.0, tick_s

    def __call__(self) -> float:
        return self.now_s

    def slowed(self, player: ReplayPlayer) -> None:
        made = player._replay.step

        def step() -> None:
            made()
            self.now_s += self.tick_s

        player._replay.step = step


def played(player: ReplayPlayer, clock: Clock, seconds: float) -> None:
    """Runs a replay for a number of seconds of the clock."""
    end_s = clock.now_s + seconds
    while clock.now_s < end_s:
        idle_s = player.poll(clock)
        clock.now_s += max(1e-4, min(idle_s, end_s - clock.now_s))


def digest(region) -> int:
    return (audit.digest(region) + region.controls.digest()) & audit.DIGEST_MASK


def journalled_digests(store: Store) -> dict[int, int]:
    journal = Journal.reading(store.journal)
    try:
        return journal.history.digests()
    finally:
        journal.close()


def test_a_replay_repeats_the_run_with_its_commands_and_stops_where_the_journal_ends(run):
    player, clock = ReplayPlayer(run, 16), Clock()
    digests = journalled_digests(run)
    player.play(100, clock())
    seen = {}
    while player.shard.tick < LAST:
        played(player, clock, 0.0101)
        if player.shard.tick in digests:
            seen[player.shard.tick] = digest(player.shard.region)
    played(player, clock, 3.0)
    assert player.shard.tick == LAST
    assert seen == {tick: digests[tick] for tick in range(24, LAST + 1, 8)}


def test_a_replay_goes_on_when_the_run_has_gone_on(tmp_path):
    store = small_run(tmp_path / "run", 16)
    player, clock = ReplayPlayer(store, 12), Clock()
    player.play(1000, clock())
    played(player, clock, 2.0)
    assert player.shard.tick == 16
    with open_run(store.folder) as runner:
        at = ScheduledCommand(18, 1, commands.encode(Drop(3, 4, "sugar", 5000)))
        runner.journal.enter_commands("ticket", [at])
        runner.journal.commit()
        runner.go(24)
        runner.record()
    played(player, clock, 2.0)
    assert player.shard.tick == 24 and digest(player.shard.region) == journalled_digests(store)[24]


@pytest.mark.parametrize("speed", [0.5, 4, 7.5])
def test_a_replay_keeps_the_requested_speed(run, speed):
    player, clock = ReplayPlayer(run, 8), Clock(0.001)
    player.play(speed, clock())
    clock.slowed(player)
    played(player, clock, 4.0)
    assert abs(player.shard.tick - 8 - 4 * speed) <= 1


def test_a_late_replay_does_not_catch_up_and_still_serves_requests(run):
    player, clock = ReplayPlayer(run, 8), Clock(0.1)
    player.play(1000, clock())
    clock.slowed(player)
    began_s = clock.now_s
    player.poll(clock)
    assert clock.now_s - began_s <= PLAY_TURN_S + 0.1
    played(player, clock, 1.0)
    assert 8 + 9 <= player.shard.tick <= 8 + 13  # at its maximal speed
    at, clock.tick_s = player.shard.tick, 0.0
    player.ticks_per_s = 8
    played(player, clock, 1.0)
    assert player.shard.tick - at <= 8 + 1 + MAX_LATE_S * 8


def test_a_replay_rests_and_starts_over(run):
    player, clock = ReplayPlayer(run, 16), Clock()
    player.order(Order("a", "play", 10.0), clock)
    played(player, clock, 1.0)
    rested = player.order(Order("b", "play", 0.0), clock)
    assert rested == TicketResult("b", player.shard.tick, 0) and 25 <= rested.tick <= 27
    played(player, clock, 1.0)
    assert player.shard.tick == rested.tick
    assert player.order(Order("c", "show"), clock) == TicketResult("c", 16, 0)
    played(player, clock, 1.0)
    assert player.shard.tick == 16 and digest(player.shard.region) == digest(restore_region(run, 16)[1])
    for order in (Order("d", "stop"), Order("e", "play", -1.0), Order("f", "play", 1e9)):
        assert "not an order for a replay" in player.order(order, clock).line
    assert player.ticks_per_s == 0


# --- the gateway's part


class Line:
    """Stands in for the connection to a replay: records the orders that are sent."""

    def __init__(self):
        self.said: list[Order] = []

    def __call__(self, address: str, frames: list) -> bool:
        self.said.append(decode(frames)[0])
        return True


@pytest.fixture
def past(tmp_path, monkeypatch):
    """The gateway's replays, with one of tick 5 that is ready; no process runs."""

    def start(self, what, tick):
        made = begun(self, what, tick)
        (Path(made.folder.name) / REPLAY_FILE).write_text(
            '{"address": "ipc:///d", "tiles_address": "ipc:///t", "tick": 5}'
        )
        return made

    begun = ReplayProcesses._start
    monkeypatch.setattr(ReplayProcesses, "_start", start)
    monkeypatch.setattr(replay_launcher.sys, "executable", "/bin/sh")
    popen = subprocess.Popen
    monkeypatch.setattr(replay_launcher.subprocess, "Popen", lambda command, **more: popen(["sleep", "60"], **more))
    line = Line()
    made = ReplayProcesses(tmp_path, "", lambda tick, found: None, lambda tick: None, line)
    done: list = []
    made.begin("show", 5, 0.0, done.append)
    made.poll(0.1)
    assert [one["tick"] for one in done] == [5] and made.shown() == [5]
    yield made, line
    made.close()


def test_orders_are_sent_one_after_another_until_they_are_answered(past):
    made, line = past
    told: list = []
    for speed in (5.0, 0.0):
        made.play(5, speed, 0.1, told.append)
    for at in (0.2, 0.3, 0.9):
        made.poll(at)
    assert [order.value for order in line.said] == [5.0, 5.0]  # repeated, while the next order waits
    made.take(TicketResult("another", 9, 0))
    assert told == []
    made.take(TicketResult(line.said[0].ticket, 9, 0))
    made.take(TicketResult(line.said[0].ticket, 9, 0))
    assert told == [9]
    made.poll(1.0)
    assert line.said[-1].value == 0.0 and len(line.said) == 3


def test_a_played_replay_is_taken_back_to_its_tick_when_it_is_shown_again(past):
    made, line = past
    shown: list = []
    made.begin("show", 5, 0.2, shown.append)
    assert len(shown) == 1 and line.said == []
    made.play(5, 3.0, 0.3, lambda outcome: None)
    made.begin("show", 5, 0.4, shown.append)
    made.poll(0.5)
    made.take(TicketResult(line.said[-1].ticket, 8, 0))
    made.poll(0.6)
    assert [order.what for order in line.said] == ["play", "show"] and len(shown) == 1
    made.take(TicketResult(line.said[-1].ticket, 5, 0))
    assert [one["tick"] for one in shown] == [5, 5]


def test_orders_to_a_replay_are_bounded_and_end_with_it(past):
    made, _ = past
    told: list = []
    with pytest.raises(RunError, match="tick 6 is not shown"):
        made.play(6, 1.0, 0.1, lambda outcome: None)
    for _ in range(replay_launcher.MAX_ORDERS):
        made.play(5, 1.0, 0.1, told.append)
    with pytest.raises(RunError, match="too many open orders"):
        made.play(5, 1.0, 0.1, lambda outcome: None)
    made.close()
    assert len(told) == replay_launcher.MAX_ORDERS and all(isinstance(one, RunError) for one in told)


@pytest.mark.slow
def test_the_process_obeys_orders_with_its_pass_key_only(run, tmp_path):
    past = ReplayProcesses(run.folder, "", lambda tick, found: None, lambda tick: None, lambda address, frames: True)
    done: list = []
    past.begin("show", 16, 0.0, done.append)
    wait_until(lambda: past.poll(time.monotonic()) or done, 2 * WITHIN_S)
    assert done[0]["tick"] == 16
    (process,) = past.processes
    niceness = os.getpriority(os.PRIO_PROCESS, process.process.pid)
    assert niceness >= 10  # the running world has priority

    def answer_to(order: Order) -> TicketResult:
        def answer() -> TicketResult | None:
            lines.send(process.map.addresses[0], replay_launcher.encode(order))
            incoming = lines.receive(0.3)
            if incoming is None:
                return None
            result = decode(incoming.frames)[0]
            assert result.ticket != "b"  # an order with another key is not answered
            return result if result.ticket == order.ticket else None

        return wait_until(answer, poll_s=0.0)

    with ZmqTransport(b"", None, None, WORLD) as lines:
        key = process.pass_key.hex()
        assert answer_to(Order("a", "play", 0.0, key)).tick == 16
        lines.send(process.map.addresses[0], replay_launcher.encode(Order("b", "play", MAX_TICKS_PER_S, "00")))
        assert answer_to(Order("c", "play", 0.0, key)).tick == 16  # messages of one sender keep their order
        answer_to(Order("d", "play", MAX_TICKS_PER_S, key))
        tickets = (f"e{number}" for number in itertools.count())
        wait_until(lambda: answer_to(Order(next(tickets), "play", MAX_TICKS_PER_S, key)).tick == LAST)
        assert answer_to(Order("f", "show", 0.0, key)).tick == 16
    past.close()
    assert msgspec.json.encode(past.processes) == b"[]"

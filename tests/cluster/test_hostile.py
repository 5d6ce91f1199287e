"""Hostile messages at every listening socket: noise, damaged, repeated and stale ones, orders without authority.

The processes must go on, without growing memory, and the history of the world must be unchanged.
"""

import os
import re
import secrets
import time
from contextlib import suppress
from itertools import cycle, islice
from random import Random

import msgspec
import pytest
import zmq
from process_cluster import TCP, ProcessCluster
from sharded_regions import golden_world
from simulation import Simulation, run_undisturbed

from umwelt.agents.world_file import read_world
from umwelt.cluster.process import resident_bytes
from umwelt.cluster.wire.loopback import Faults
from umwelt.cluster.wire.messages import checksum
from umwelt.cluster.wire.protocol import (
    PROTOCOL_VERSION,
    Assignment,
    Failure,
    Fenced,
    FileChunk,
    FileRequest,
    Grant,
    HaloMessage,
    HaloRequest,
    Heartbeat,
    Hello,
    Join,
    LeaveRequest,
    Member,
    NumberedReport,
    Order,
    Ping,
    Pong,
    QueryRequest,
    Ready,
    Refused,
    ScheduledCommand,
    SnapshotPart,
    SnapshotRequest,
    StatusSubscription,
    Stop,
    SubmitCommands,
    TickRecord,
    Welcome,
    decode,
    encode,
)
from umwelt.cluster.wire.transport import ZmqTransport

MESSAGES = int(os.environ.get("UMWELT_HOSTILE_MESSAGES", "40000"))
"""The number of messages to each socket."""
A_TURN = 200
MAX_GROWTH_BYTES = 512 * MESSAGES


def sealed(header: bytes, raw: list[bytes] | None = None) -> list[bytes]:
    """Returns frames with a correct checksum, for any content."""
    return [checksum(header, raw or []) + header, *(raw or [])]


def flipped(frames: list[bytes], chance: Random) -> list[bytes]:
    """Returns the frames of a message with one random bit changed."""
    frames = list(map(bytes, frames))
    which = chance.choice([at for at, frame in enumerate(frames) if frame])
    changed = bytearray(frames[which])
    changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return [*frames[:which], bytes(changed), *frames[which + 1 :]]


def lies(epoch: int, pass_key: bytes, members: list[Member], chance: Random) -> list[tuple]:
    """Returns well-formed messages of every kind, with their raw frames, as from a sender without authority.

    The sender knows epoch, pass key and members, but has no connection of a member.
    """
    key, other = members[0].key, secrets.token_bytes(16)
    recorded = TickRecord(8, 1, 2, 3, 4, {"plants": {"grass": 5}}, {"water": 6})
    found: list[tuple] = [
        (Welcome("width = 1", "golden", "/", "", "http://127.0.0.1:9/"),),
        (Refused("go away"),),
        (Fenced(key),),
        (Stop("go away"),),
        (Stop(),),
        (FileChunk("tick-0", "x", 0), [b"x" * 100]),
        (Assignment(epoch + 1, other, 0, "tick-0", members, 0, 1, 1, 8),),
        (
            Grant(
                epoch,
                1 << 28,
                [ScheduledCommand(9, 9, b'{"command": "remove", "being": 1}')],
                [SnapshotRequest(9, True)],
                99,
            ),
        ),
        (Heartbeat(key, epoch, 1 << 28, 1, 1e-9, 1.0, 1, 1e9, 1e9),),
        (Heartbeat("nobody", epoch, 5),),
        (LeaveRequest(key),),
        (NumberedReport(key, epoch, 1, Failure("broken", True)),),
        (NumberedReport(key, epoch, 2, Ready(0)),),
        *[(NumberedReport(key, epoch, number, recorded), [b"\xff" * 9]) for number in range(1, 40)],
        (NumberedReport(key, epoch, 3, SnapshotPart(8, True, {"rectangle": [0, 0, 1, 1]}, {}, 0.1, [("../x", 9)])),),
        (Hello("stranger", PROTOCOL_VERSION + 1),),
        (StatusSubscription("stranger"),),
        (Join("stranger", "tcp://127.0.0.1:1", "", "h", 1, 1, True, {"laws": "others"}, 1 << 28),),
        (Join(key, members[0].address, "", "h", 1, 1, True, {}, 0),),
        (FileRequest("tick-000000000000", "../../journal.sqlite", 0),),
        (FileRequest("../..", "", 0),),
        (FileRequest("x" * 4000, "/etc/passwd", 9),),
        (SubmitCommands("bad", [b"{" * 5000]),),
        (SubmitCommands("huge", [b"{}"] * 5000),),
        (SubmitCommands("big", [b" " * 300_000] * 4),),
        (Order("odd", "nothing", 3.0),),
        (Order("far", "speed", -1.0),),
        (Order("lost", "lost", -7.5, "nowhere"),),
        (QueryRequest(epoch, other, "t", b"{}"),),
        (QueryRequest(epoch, pass_key, "t", b"[" * 900),),
    ]
    for source in range(len(members)):
        for tick in (0, 1, 7, 1000, 1 << 28):
            found += [
                (HaloMessage(epoch, other, tick, source, 0), [b"\0" * 12, b"\0" * 900]),
                (HaloMessage(epoch - 1, pass_key, tick, source, 0), [b"\0" * 12, b"\0" * 900]),
                (HaloMessage(epoch + 1, other, tick, source, 0), [b"\0" * 12, b"\0" * 2000]),
                (HaloRequest(epoch, other, tick, source),),
                (Ping(epoch, other, source, 1.0),),
                (Pong(epoch, other, 1 << 39, 1.0),),
                (HaloRequest(epoch, pass_key, tick, 1 << 39),),
            ]
    chance.shuffle(found)
    return found


def noise(epoch: int, pass_key: bytes, members: list[Member], chance: Random) -> list[list[bytes]]:
    """Returns messages as lists of frames: those of `lies`, damaged ones, random bytes, and malformed content."""
    whole = [encode(*said) for said in lies(epoch, pass_key, members, chance)]
    found = list(whole)
    for frames in whole * 3:
        found.append(flipped(frames, chance))
        found.append([*frames[:-1], frames[-1][: chance.randrange(len(frames[-1]))]])
        found.append([*frames, b"one more"])
    for _ in range(300):
        size = chance.choice((0, 1, 5, 60, 1500))
        found.append([chance.randbytes(size) for _ in range(chance.choice((1, 1, 2, 5, 64)))])
        found.append(sealed(chance.randbytes(size)))
    pack = msgspec.msgpack.encode
    found += [
        sealed(header)
        for header in (
            b"\x91" * 200_000,
            b"\x81\xa1a" * 50_000,
            b"\xdf\xff\xff\xff\xff",
            b"\xc6\xff\xff\xff\xff",
            pack([]),
            pack(None),
            pack(["Nothing", 1]),
            pack(["Heartbeat"]),
            pack(["Heartbeat", "k", 1, -5]),
            pack(["Heartbeat", members[0].key, epoch, 1 << 63]),
            pack(["Order", "t", "lost", float("nan"), "h"]),
            pack(["Order", "t", "step", float("inf")]),
            pack(["SubmitCommands", "t", [b"{}"], 1 << 40]),
            pack(["HaloMessage", epoch, pass_key, 1 << 62, 0]),
            pack({"type": "Stop"}),
        )
    ]
    chance.shuffle(found)
    return found


def flood(run: ProcessCluster, doors: list[str], frames: list[list[bytes]], messages: int) -> None:
    """Send a number of messages to each address, from a sender that claims the coordinator's identity."""
    with ZmqTransport(run.line.address.encode()[:255], role="keeper") as stranger:
        left, source = dict.fromkeys(doors, messages), {door: cycle(frames) for door in doors}
        end_s = time.monotonic() + 240
        while any(left.values()):
            for door in doors:
                for message in islice(source[door], min(A_TURN, left[door])):
                    if not stranger.send(door, message):
                        break
                    left[door] -= 1
            while stranger.receive(0.0) is not None:
                pass
            run.poll()
            assert not run.engine.finished and time.monotonic() < end_s, f"{left}\n{run.logs}"


def subscribed(run: ProcessCluster, doors: list[str], messages: int, chance: Random) -> None:
    """Send a number of subscriptions to each publisher: topics, cut ones, noise, and far too long ones."""
    made = [
        [chance.choice((b"\0", b"\1")) + bytes(chance.choices(range(4), k=6)) for _ in range(400)],
        [bytes(chance.choices(range(256), k=chance.randrange(12))) for _ in range(400)],
        [b"\1" + bytes(chance.choices(range(256), k=6)) for _ in range(400)],
        [b"\1" + b"x" * 4000, b"\2", b"", b"\1", b"\0" * 100],
    ]
    pool = [message for group in made for message in group]
    context = zmq.Context()
    context.linger = 0
    sockets = {door: context.socket(zmq.XSUB) for door in doors}
    try:
        for door, socket in sockets.items():
            socket.set(zmq.LINGER, 0)
            socket.connect(door)
        left, source = dict.fromkeys(doors, messages), cycle(pool)
        end_s = time.monotonic() + 240
        while any(left.values()):
            for door, socket in sockets.items():
                for message in islice(source, min(A_TURN, left[door])):
                    try:
                        socket.send(message, zmq.NOBLOCK)
                    except zmq.Again:
                        break
                    left[door] -= 1
                with suppress(zmq.ZMQError):
                    while True:
                        socket.recv(zmq.NOBLOCK)
            if chance.random() < 0.02:  # a message that is too long ends the connection: use another one for it
                socket = context.socket(zmq.XSUB)
                socket.connect(doors[0])
                socket.send(b"\1" + b"x" * 100_000)
                socket.close(linger=100)
            run.poll()
            assert not run.engine.finished and time.monotonic() < end_s, f"{left}\n{run.logs}"
    finally:
        context.destroy(linger=0)


@pytest.mark.parametrize("bind", [TCP], ids=["tcp"])
@pytest.mark.slow
def test_a_world_runs_on_under_a_flood_of_false_messages_at_every_address(bind, tmp_path):
    chance = Random(7)
    with ProcessCluster(read_world("golden"), tmp_path / "run", 2, bind=bind, mark_s=0.5) as run:
        run.line.order("speed", 40)
        run.wait_for_tick(20)
        report = run.line.report
        assert report is not None
        doors = [run.line.address, *(member.address for member in report.members)]
        pids = [*run.members.values(), run.engine.children["coordinator"].process.pid]
        frames = noise(report.epoch, report.pass_key, report.members, chance)
        watched = [member.tiles_address for member in report.members]
        flood(run, doors, frames, MESSAGES // 5)
        subscribed(run, watched, MESSAGES // 5, chance)
        before = [resident_bytes(pid) for pid in pids]
        tick = run.tick
        flood(run, doors, frames, MESSAGES - MESSAGES // 5)
        subscribed(run, watched, MESSAGES - MESSAGES // 5, chance)
        run.wait_for_tick(run.tick + 10)
        grown = [resident_bytes(pid) - at_first for pid, at_first in zip(pids, before, strict=True)]
        assert max(grown) < MAX_GROWTH_BYTES, grown
        assert run.tick > tick and (run.status["epoch"], run.engine.messages) == (report.epoch, [])
        assert sorted(run.members.values()) == sorted(pids[:2])
        run.stop()
        run.sender.settled.clear()
        run.assert_undisturbed(run.store.ticks()[-1])
        assert not re.search("Traceback|Error", run.logs.partition("coordinator.log")[2])


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.slow
def test_real_messages_repeated_or_damaged_by_strangers_change_nothing(seed):
    chance = Random(seed)
    world = golden_world(48, 64, seed=seed)
    run = Simulation(world, 3, seed, Faults(delay_s=(0.0, 0.002)), 80, compute_s=0.01)
    stranger = run.network.transport("loop://stranger", role="keeper")
    heard: list[tuple[str, list[bytes]]] = []
    carry = run.network._carry

    def overheard(sender, to, frames, line):
        if sender is not stranger and len(heard) < 20_000:
            heard.append((to, list(frames)))
        carry(sender, to, frames, line)

    run.network._carry = overheard  # type: ignore[method-assign]
    said = killed = 0
    while run.coordinator is None or run.coordinator.ended is None:
        run.pass_time()
        while stranger.receive(0.0) is not None:
            pass
        for to, frames in chance.choices(heard[-4000:], k=8) if heard else []:
            message = frames if chance.random() < 0.5 else flipped(frames, chance)
            anywhere = chance.choice([to, *run.nodes, "loop://coordinator"])
            said += stranger.send(anywhere, message)
        if run.tick() > 40 and not killed:
            killed = 1
            run.kill(sorted(run.nodes)[0])
        assert run.network.now < 60, run.said[-8:]
    digests, _ = run_undisturbed(world, 80, [])
    assert {tick: found for tick, found in run.disk.digests.items() if digests[tick] != found} == {}
    assert 80 in run.disk.digests and said > 500
    assert len(run.disk.maps) <= 4, run.said  # new maps only because of the one killed node


def test_a_flipped_bit_invalidates_a_message():
    chance = Random(1)
    for said in lies(3, b"p" * 16, [Member("k", "n", "a", "t", (0, 0, 8, 8))] * 2, chance):
        frames = encode(*said)
        assert decode(frames)[0] == said[0]
        for _ in range(20):
            with pytest.raises(ValueError):
                decode(flipped(frames, chance))

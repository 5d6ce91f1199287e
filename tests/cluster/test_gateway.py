"""The gateway: roles, newest tiles first, and bounds on what any viewer can cost."""

import os
import secrets
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest
from local_cluster import LocalCluster
from sharded_regions import golden_world

from umwelt.agents.commands import compose, decode_request
from umwelt.agents.commands.drive import drives_from_shares
from umwelt.cluster.gateway.process import DOOR_LIMITS, GatewaySettings
from umwelt.cluster.gateway.tile_relay import MAX_TILES
from umwelt.cluster.process import read_announcement
from umwelt.cluster.run.store import Store
from umwelt.cluster.view import tiles
from umwelt.cluster.view.tiles import BODIES, DENSITIES, Topic
from umwelt.cluster.wire import viewer_protocol
from umwelt.cluster.wire.keys import KEEPER, Keys, make_keys
from umwelt.cluster.wire.transport import ZmqTransport
from umwelt.cluster.wire.viewer_protocol import (
    LIVE,
    Answer,
    CommandRequest,
    Credit,
    Goodbye,
    Hello,
    KeepAlive,
    Order,
    Query,
    Status,
    Tile,
    UnknownViewer,
)
from umwelt.sandbox.errors import CommandError


class Eye:
    """A viewer that sends single messages of the test's choice."""

    def __init__(self, address: str, keys: Keys | None = None, hello: bool = True):
        self.transport = ZmqTransport(b"", None, keys, KEEPER)
        self.address = address
        self.heard: list[tuple[viewer_protocol.Message, list[bytes]]] = []
        if hello:
            self.say(Hello(viewer_protocol.PROTOCOL_VERSION))
            self.until(viewer_protocol.Welcome)

    def send(self, frames: list[bytes], seconds: float = 10.0) -> None:
        end_s = time.monotonic() + seconds
        while not self.transport.send(self.address, frames):
            assert time.monotonic() < end_s
            time.sleep(0.005)

    def say(self, message: viewer_protocol.Message) -> None:
        self.send(viewer_protocol.encode(message))

    def listen(self, seconds: float) -> list[tuple[viewer_protocol.Message, list[bytes]]]:
        found, end_s = [], time.monotonic() + seconds
        while (left_s := end_s - time.monotonic()) > 0:
            incoming = self.transport.receive(left_s)
            if incoming is not None:
                found.append(viewer_protocol.decode(incoming.frames))
        self.heard += found
        return found

    def until(self, kind: type, seconds: float = 15.0, **wanted) -> tuple:
        end_s = time.monotonic() + seconds
        while time.monotonic() < end_s:
            incoming = self.transport.receive(0.1)
            if incoming is not None:
                message, raw = viewer_protocol.decode(incoming.frames)
                self.heard.append((message, raw))
                if isinstance(message, kind) and all(getattr(message, k) == v for k, v in wanted.items()):
                    return message, raw
        raise AssertionError(f"no {kind.__name__} {wanted} came")

    def ask(self, kind: type, *arguments) -> Answer:
        ticket = secrets.token_hex(8)
        self.say(kind(ticket, *arguments))
        return self.until(Answer, ticket=ticket)[0]

    def close(self) -> None:
        if self.transport.send(self.address, viewer_protocol.encode(Goodbye())):
            time.sleep(0.05)
        self.transport.close()


def nobody_watches(cluster: LocalCluster) -> bool:
    """Whether all subscriptions end within three seconds."""
    end_s = time.monotonic() + 3
    while cluster.do(lambda: len(cluster.gateway.relay.sources[LIVE].tiles)):
        if time.monotonic() > end_s:
            return False
        time.sleep(0.02)
    return True


def wait_for_tick(town: Town, tick: int) -> None:
    """Waits until all nodes have reached a tick, however busy the machine is."""
    end_s = time.monotonic() + 120
    while town.tick() < tick:
        assert time.monotonic() < end_s and town.failed is None
        time.sleep(0.02)


@pytest.fixture(scope="module")
def keyring(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("ring") / "keys"
    make_keys(folder)
    return folder


@pytest.fixture(scope="module")
def cluster():
    with LocalCluster(golden_world(128, 128), 2, tick_s=0.02) as found:
        wait_for_tick(found, 1)  # kernels may have to be compiled first
        yield found


@pytest.fixture
def eye(cluster):
    made = Eye(cluster.address)
    yield made
    made.close()


def packed(*topics: Topic) -> list[bytes]:
    return [topic.packed() for topic in topics]


ALL = [Topic(BODIES, layer, y, x) for layer in range(15) for y in range(2) for x in range(2)]


def test_a_viewer_gets_whole_tiles_and_no_more_than_its_credit(cluster, eye):
    eye.say(viewer_protocol.Watch(packed(Topic(BODIES, 0, 0, 0)), 3))
    heard = [(message, raw) for message, raw in eye.listen(1.5) if isinstance(message, Tile)]
    assert len(heard) == 3
    pieces = [tiles.decode(frame, tiles.Torus(128, 128)) for frame in heard[-1][1]]
    assert sum(piece.rectangle.cells for piece in pieces) == 64 * 64
    eye.say(Credit(2))
    assert sum(isinstance(message, Tile) for message, _ in eye.listen(1.0)) == 2


def test_a_slow_viewer_gets_the_newest_tiles_only_and_has_no_queue(cluster, eye):
    quick = Eye(cluster.address)
    quick.say(viewer_protocol.Watch(packed(*ALL), 1000))
    eye.say(viewer_protocol.Watch(packed(*ALL), 5))
    eye.listen(0.5)
    quick.listen(2.0)
    quick.say(Credit(1000))
    session = cluster.gateway.sessions.by_identity[eye.transport.identity]
    wait_for_tick(town, 80)
    quick.listen(0.5)
    assert session.tiles.credit == 0
    assert cluster.do(lambda: len(session.tiles.waiting)) <= len(ALL)
    now = cluster.tick()
    eye.say(Credit(10))
    ticks = [
        max(tiles.read_head(frame)[0].tick for frame in raw)
        for message, raw in eye.listen(0.6)
        if isinstance(message, Tile)
    ]
    assert len(ticks) == 10 and min(ticks) >= now - 60 > 10
    kept = cluster.do(lambda: cluster.gateway.relay.sources[LIVE].tiles)
    assert len(kept) == len(ALL) and all(len(one.pieces) <= 4 for one in kept.values())
    quick.close()


def test_the_second_viewer_of_a_resting_world_is_served_from_the_cache(cluster, eye):
    first = Eye(cluster.address)
    topic = Topic(DENSITIES, 0, 0, 0)
    assert first.ask(Order, "pause", 0.0, "").line == ""
    first.say(viewer_protocol.Watch(packed(topic), 100))
    first.listen(1.0)
    sent = {id(p): p.counts["tiles"] for p in cluster.publishers.values()}
    eye.say(viewer_protocol.Watch(packed(topic), 100))
    assert eye.until(Tile, topic=topic.packed(), seconds=2.0)
    assert {id(p): p.counts["tiles"] for p in cluster.publishers.values()} == sent
    assert first.ask(Order, "go", 0.0, "").line == ""
    first.close()


def test_unwatched_tiles_are_dropped_by_the_gateway_and_the_nodes(cluster, eye):
    eye.say(viewer_protocol.Watch(packed(*ALL[:8]), 100))
    eye.until(Tile)
    eye.say(viewer_protocol.Watch([], 100))
    eye.listen(0.5)
    assert nobody_watches(cluster)
    assert all(publisher.subscribed == [] for publisher in cluster.publishers.values())


def test_watches_are_bounded_and_checked(cluster, eye):
    many = [Topic(BODIES, 0, y, 0) for y in range(MAX_TILES + 1)]
    eye.say(viewer_protocol.Watch(packed(*many), 10))
    assert f"at most {MAX_TILES}" in eye.until(Answer, ticket="watch")[0].line
    eye.say(viewer_protocol.Watch([b"\xff\0\0\0\0\0"], 10))
    assert "topic" in eye.until(Answer, ticket="watch")[0].line
    eye.say(viewer_protocol.Watch(packed(ALL[0]), 10, 77))
    assert "not shown" in eye.until(Answer, ticket="watch")[0].line
    assert nobody_watches(cluster)


def test_a_repeated_ticket_is_executed_once(cluster, eye):
    arguments = msgspec.json.encode({"y": 1, "x": 1, "substance": "water", "count": 3})
    before = len(cluster.disk.commands)
    for _ in range(5):
        eye.say(CommandRequest("only-once", "drop", arguments))
    first, _ = eye.until(Answer, ticket="only-once")
    eye.say(CommandRequest("only-once", "drop", arguments))
    again, _ = eye.until(Answer, ticket="only-once")
    assert first == again and first.line == "" and len(cluster.disk.commands) == before + 1


def test_a_repeated_step_is_sent_to_the_coordinator_once(cluster, eye):
    assert eye.ask(Order, "pause", 0.0, "").line == ""
    eye.listen(0.5)
    at = cluster.tick()
    for _ in range(4):
        eye.say(Order("four-steps", "step", 4.0))
    eye.until(Answer, ticket="four-steps")
    eye.say(Order("four-steps", "step", 4.0))
    eye.listen(1.5)
    assert cluster.tick() == at + 4
    assert eye.ask(Order, "go", 0.0, "").line == ""


BAD_COMMANDS = [
    ("drop", {"y": 1, "x": 1, "substance": "gold", "count": 3}, 'unknown "gold"'),
    ("drop", {"y": 1}, "missing"),
    ("explode", {}, 'unknown "explode"'),
    ("rain", {"y": 1, "x": 5000, "radius_cells": 3, "count": 3}, "rain: x = 5000"),
    ("move", {"id": 12345, "y": 1, "x": 1}, "no such being"),
    ("spawn", {"species": "wolf", "y": 1, "x": 1}, "wolf"),
    ("spawn", {"y": 1, "x": -1, "like": 7}, "no such being"),
    ("drive", {"id": 5, "drives": {"fly": 1}}, "fly"),
    ("rate", {"reaction": "decay", "rate": -1}, "use 0 to"),
    ("batch", {"commands": []}, "send 1 to 64"),
]


@pytest.mark.parametrize(("what", "arguments", "said"), BAD_COMMANDS, ids=lambda one: str(one)[:20])
def test_bad_commands_are_refused_in_one_line_and_change_nothing(cluster, eye, what, arguments, said):
    before = len(cluster.disk.commands)
    answer = eye.ask(CommandRequest, what, msgspec.json.encode(arguments))
    assert said in answer.line and answer.tick == -1 and "\n" not in answer.line
    assert len(cluster.disk.commands) == before


def test_invalid_orders_are_refused_with_one_line(cluster, eye):
    assert "unknown order" in eye.ask(Order, "dance", 0.0, "").line
    assert "no node of that name" in eye.ask(Order, "leave", 0.0, "nobody").line
    assert "number" in eye.ask(Order, "speed", float("nan"), "").line


def test_spectators_may_look_but_not_change_the_world(keyring):
    with LocalCluster(golden_world(64, 64), 2, keyring, tick_s=0.02) as cluster:
        eye = Eye(cluster.address, Keys.load(keyring, "spectator"))
        eye.say(viewer_protocol.Watch(packed(Topic(BODIES, 0, 0, 0)), 5))
        assert eye.until(Tile)[1]
        assert eye.ask(Query, b'{"ask":"count"}').line == ""
        drop = msgspec.json.encode({"y": 1, "x": 1, "substance": "water", "count": 3})
        for answer in (eye.ask(CommandRequest, "drop", drop), eye.ask(Order, "stop", 0.0, "")):
            assert "a spectator may look" in answer.line
        assert cluster.disk.commands == [] and not cluster.coordinator.machine.stopping
        node = Eye(cluster.address, Keys.load(keyring, "node"), hello=False)  # who is no viewer does not get in
        with pytest.raises(AssertionError):
            node.send(viewer_protocol.encode(Hello(viewer_protocol.PROTOCOL_VERSION)), 1.5)
        keeper = Eye(cluster.address, Keys.load(keyring, "keeper"))
        assert keeper.ask(CommandRequest, "drop", drop).line == ""
        for one in (eye, node, keeper):
            one.close()


def test_a_flood_of_bad_messages_changes_nothing_for_others(cluster, eye):
    bad, chance = Eye(cluster.address), iter(range(10**9))
    noise = [
        [b""],
        [b"\xc1"],
        [os.urandom(50)],
        [b"\x91" * 5000],
        [b"x"] * 60,
        viewer_protocol.encode(Tile(b"x", 0)),
        viewer_protocol.encode(Credit(-5)),
        viewer_protocol.encode(Answer("a", 1)),
        viewer_protocol.encode(CommandRequest("", "drop", b"")),
        viewer_protocol.encode(CommandRequest("t" * 500, "drop", b"")),
        viewer_protocol.encode(CommandRequest("u", "drop", b"[[[[")),
        viewer_protocol.encode(Query("q", b"\xff")),
        viewer_protocol.encode(viewer_protocol.Watch([b""] * 5000, 1 << 40)),
        viewer_protocol.encode(viewer_protocol.History("h", "burn", 1 << 50)),
    ]
    eye.say(viewer_protocol.Watch(packed(Topic(BODIES, 0, 0, 0)), 1000))
    eye.until(Tile)
    malformed, before = cluster.gateway.sessions.malformed, len(cluster.disk.commands)
    at, end_s, tiles_seen = cluster.tick(), time.monotonic() + 2.5, 0
    while time.monotonic() < end_s:
        for _ in range(200):
            frames = noise[next(chance) % len(noise)]
            bad.transport.send(bad.address, frames)
        tiles_seen += sum(isinstance(message, Tile) for message, _ in eye.listen(0.01))
        while bad.transport.receive(0.0) is not None:
            pass
    assert cluster.failed is None and len(cluster.disk.commands) == before
    assert cluster.gateway.sessions.malformed > malformed + 50 and cluster.gateway.sessions.over_budget > 50
    assert tiles_seen >= 3 and cluster.tick() > at + 10
    assert eye.ask(Query, b'{"ask":"count"}').line == ""
    bad.close()


def test_a_sender_without_a_session_must_say_hello_in_the_same_protocol_version(cluster):
    stranger = Eye(cluster.address, hello=False)
    stranger.say(KeepAlive())
    assert stranger.until(UnknownViewer)
    stranger.say(Hello(viewer_protocol.PROTOCOL_VERSION + 1))
    answer = stranger.until(Answer)[0]
    assert f"version {viewer_protocol.PROTOCOL_VERSION + 1} of the protocol" in answer.line and answer.code == "run"
    assert f"the gateway version {viewer_protocol.PROTOCOL_VERSION}: install the same" in answer.line
    assert len([s for s in cluster.gateway.sessions.by_identity if s == stranger.transport.identity]) == 0
    stranger.close()


def test_a_silent_viewer_is_removed(cluster, monkeypatch):
    monkeypatch.setattr("umwelt.cluster.gateway.viewer_session.IDLE_AFTER_S", 1.5)
    silent, lively = Eye(cluster.address), Eye(cluster.address)
    silent.say(viewer_protocol.Watch(packed(ALL[0]), 10))
    for _ in range(8):
        lively.say(KeepAlive())
        lively.listen(0.4)
    identities = cluster.do(lambda: list(cluster.gateway.sessions.by_identity))
    assert silent.transport.identity not in identities and lively.transport.identity in identities
    assert nobody_watches(cluster)
    silent.close()
    lively.close()


def test_questions_are_bounded_for_each_viewer(cluster, eye):
    for number in range(200):
        eye.say(Query(f"many-{number}", b'{"ask":"count"}'))
    eye.listen(4.0)
    answers = [message for message, _ in eye.heard if isinstance(message, Answer)]
    assert len(answers) == 200
    assert any("too many questions" in answer.line for answer in answers)
    assert any(answer.line == "" for answer in answers)


def test_the_status_is_sent_without_a_request(eye):
    status, _ = eye.until(Status)
    assert msgspec.json.decode(status.content)["nodes"] and status.stale_s < 5


def test_a_cached_tile_holds_the_pieces_of_one_partition():
    from umwelt.cluster.gateway.tile_source import CachedTile

    kept = CachedTile(b"topic!", LIVE)
    kept.put((0, 0, 32, 64), b"a")
    kept.put((32, 0, 32, 64), b"b")
    kept.put((0, 0, 64, 32), b"c")  # another map: its rectangles overlap both
    kept.put((0, 32, 64, 32), b"d")
    assert kept.pieces == {(0, 0, 64, 32): b"c", (0, 32, 64, 32): b"d"}


def test_message_limits_leave_room_for_the_largest_answer():
    from umwelt.cluster.view.queries import MAX_BYTES

    assert DOOR_LIMITS.message_bytes > MAX_BYTES + 100_000 and tiles.MAX_PLANES > 256


def test_commands_are_composed_from_requests():
    world = golden_world(64, 64)
    for what, arguments in (("explode", b"{}"), ("drop", b"{"), ("drop", b'{"y":1,"z":1}')):
        with pytest.raises(CommandError):
            decode_request(what, arguments)
    assert drives_from_shares({"turn": -1, "thrust": 0.5})[:3] == (-1024, 512, 0)
    with pytest.raises(CommandError, match="use -1 to 1"):
        drives_from_shares({"turn": 1.5})
    many = decode_request("batch", b'{"commands":[' + b",".join([b'{"command":"remove","id":5}'] * 65) + b"]}")
    with pytest.raises(CommandError, match="send 1 to 64"):
        compose(world, many)


# --- the process


def test_the_process_announces_itself_and_ends_when_asked_or_orphaned(tmp_path):
    from umwelt.agents.open_world import begin

    world = golden_world(64, 64)
    store = Store.create("golden", world.text, tmp_path / "run")
    store.save(begin(world), world.text, "golden")
    for ends in ("asked", "orphaned"):
        settings = GatewaySettings(f"ipc://{tmp_path}/door", f"ipc://{tmp_path}/nobody", str(tmp_path / "run"))
        command = [sys.executable, "-m", "umwelt.cluster.gateway.process", msgspec.json.encode(settings).decode()]
        if ends == "orphaned":  # a shell between us and the gateway, which then goes
            script = "import subprocess,sys,time; subprocess.Popen(sys.argv[1:]); time.sleep(60)"
            command = [sys.executable, "-c", script, *command]
        process = subprocess.Popen(command, stderr=subprocess.PIPE)
        end_s = time.monotonic() + 30
        while (found := read_announcement(tmp_path / "run" / "gateway.json")) is None:
            assert process.poll() is None and time.monotonic() < end_s
            time.sleep(0.02)
        eye = Eye(found["address"])
        answer = eye.ask(Query, b'{"ask":"kill"}')
        assert "question" in answer.line
        process.terminate() if ends == "asked" else process.kill()
        while os.path.exists(tmp_path / "run" / "gateway.json"):
            assert time.monotonic() < end_s
            time.sleep(0.02)
        process.wait(10)
        eye.close()


def test_a_folder_without_a_run_is_refused_with_one_line(tmp_path):
    settings = GatewaySettings(f"ipc://{tmp_path}/door", f"ipc://{tmp_path}/nobody", str(tmp_path))
    command = [sys.executable, "-m", "umwelt.cluster.gateway.process", msgspec.json.encode(settings).decode()]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2 and ended.stderr.count("\n") == 1 and "is not a run" in ended.stderr

"""The gateway: roles, newest tiles first, and bounds on what any viewer can cost."""

import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from local_cluster import LocalCluster
from sharded_regions import golden_world
from waiting import WITHIN_S, wait_until

from umwelt.agents.commands import compose, decode_request
from umwelt.agents.commands.drive import drives_from_shares
from umwelt.cluster.gateway.process import DOOR_LIMITS, GatewaySettings
from umwelt.cluster.gateway.tile_relay import MAX_TILES
from umwelt.cluster.gateway.viewer_session import IDLE_AFTER_S
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


class RawViewer:
    """A viewer that sends single messages of the test's choice."""

    def __init__(self, address: str, keys: Keys | None = None, hello: bool = True):
        self.transport = ZmqTransport(b"", None, keys, KEEPER)
        self.address = address
        self.received: list[tuple[viewer_protocol.Message, list[bytes]]] = []
        if hello:
            self.send(Hello(viewer_protocol.PROTOCOL_VERSION))
            self.until(viewer_protocol.Welcome)

    def send_frames(self, frames: list[bytes], within_s: float = WITHIN_S) -> None:
        wait_until(lambda: self.transport.send(self.address, frames), within_s)

    def send(self, message: viewer_protocol.Message) -> None:
        self.send_frames(viewer_protocol.encode(message))

    def receive(self, wait_s: float = 0.05) -> bool:
        """Receive one message into `received`, if there is one."""
        incoming = self.transport.receive(wait_s)
        if incoming is not None:
            self.received.append(viewer_protocol.decode(incoming.frames))
        return incoming is not None

    def receive_until(self, condition: Callable[[], Any]) -> None:
        """Receive until a condition holds."""
        wait_until(lambda: condition() or (self.receive() and condition()), poll_s=0.0)

    def listen(self, seconds: float) -> None:
        """Receive for a time: long enough for what must not come to have come on an idle machine."""
        end_s = time.monotonic() + seconds
        while time.monotonic() < end_s:
            self.receive()

    def until(self, kind: type, **wanted) -> tuple:
        """Receive until a message of a kind and with these fields comes; returns it and its raw frames."""
        first = len(self.received)

        def matches() -> list:
            return [
                (message, raw)
                for message, raw in self.received[first:]
                if isinstance(message, kind) and all(getattr(message, name) == value for name, value in wanted.items())
            ]

        self.receive_until(matches)
        return matches()[0]

    def tiles(self) -> list[tuple[Tile, list[bytes]]]:
        """Returns the tiles that have been received."""
        return [(message, raw) for message, raw in self.received if isinstance(message, Tile)]

    def ask(self, kind: type, *arguments) -> Answer:
        ticket = secrets.token_hex(8)
        self.send(kind(ticket, *arguments))
        return self.until(Answer, ticket=ticket)[0]

    def close(self) -> None:
        if self.transport.send(self.address, viewer_protocol.encode(Goodbye())):
            time.sleep(0.05)
        self.transport.close()


def wait_until_unwatched(cluster: LocalCluster) -> None:
    """Wait until the gateway has dropped all tiles and the nodes have dropped its subscriptions."""
    wait_until(lambda: not cluster.do(lambda: len(cluster.gateway.relay.sources[LIVE].tiles)))
    wait_until(lambda: cluster.do(lambda: all(p.subscribed == [] for p in cluster.publishers.values())))


def pause(cluster: LocalCluster, viewer: RawViewer) -> int:
    """Pause the world, and wait until all nodes have come to rest; returns the tick."""
    answer = viewer.ask(Order, "pause", 0.0, "")
    assert answer.line == ""
    wait_until(lambda: cluster.tick() == answer.tick)
    return answer.tick


def newest_tick(pieces: Iterable[bytes]) -> int:
    """Returns the tick of the newest piece of a tile."""
    return max(tiles.read_head(frame)[0].tick for frame in pieces)


@pytest.fixture(scope="module")
def keyring(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("ring") / "keys"
    make_keys(folder)
    return folder


@pytest.fixture(scope="module")
def cluster():
    with LocalCluster(golden_world(128, 128), 2, tick_s=0.04) as found:
        yield found


@pytest.fixture
def viewer(cluster):
    connected = RawViewer(cluster.address)
    yield connected
    connected.close()


def packed(*topics: Topic) -> list[bytes]:
    return [topic.packed() for topic in topics]


ALL = [Topic(BODIES, layer, y, x) for layer in range(15) for y in range(2) for x in range(2)]


def test_a_viewer_gets_whole_tiles_and_no_more_than_its_credit(cluster, viewer):
    viewer.send(viewer_protocol.Watch(packed(Topic(BODIES, 0, 0, 0)), 3))
    viewer.receive_until(lambda: len(viewer.tiles()) >= 3)
    tick = cluster.tick()
    viewer.receive_until(lambda: cluster.tick() > tick + 20)  # the tile has changed, and there is no credit
    assert len(viewer.tiles()) == 3
    pieces = [tiles.decode(frame, tiles.Torus(128, 128)) for frame in viewer.tiles()[-1][1]]
    assert sum(piece.rectangle.cells for piece in pieces) == 64 * 64
    viewer.send(Credit(2))
    viewer.receive_until(lambda: len(viewer.tiles()) >= 5)
    tick = cluster.tick()
    viewer.receive_until(lambda: cluster.tick() > tick + 20)
    assert len(viewer.tiles()) == 5


def test_a_slow_viewer_gets_the_newest_tiles_only_and_has_no_queue(cluster, viewer):
    quick = RawViewer(cluster.address)
    quick.send(viewer_protocol.Watch(packed(*ALL), 100_000))
    viewer.send(viewer_protocol.Watch(packed(*ALL), 5))
    viewer.receive_until(lambda: len(viewer.tiles()) == 5)
    session = cluster.gateway.sessions.by_identity[viewer.transport.identity]
    assert cluster.do(lambda: session.tiles.credit) == 0

    def cached_ticks() -> dict[bytes, int]:
        cached = cluster.gateway.relay.sources[LIVE].tiles
        return {topic: newest_tick(tile.pieces.values()) for topic, tile in cached.items() if tile.pieces}

    began = cluster.tick()
    quick.receive_until(lambda: len(ticks := cluster.do(cached_ticks)) == len(ALL) and min(ticks.values()) > began + 10)
    assert cluster.do(lambda: len(session.tiles.waiting)) <= len(ALL)
    before = cluster.do(cached_ticks)
    viewer.send(Credit(10))
    viewer.receive_until(lambda: len(viewer.tiles()) == 15)
    assert all(newest_tick(raw) >= before[message.topic] for message, raw in viewer.tiles()[5:])
    cached = cluster.do(lambda: dict(cluster.gateway.relay.sources[LIVE].tiles))
    assert len(cached) == len(ALL) and all(len(tile.pieces) <= 4 for tile in cached.values())
    quick.close()


def test_the_second_viewer_of_a_resting_world_is_served_from_the_cache(cluster, viewer):
    first = RawViewer(cluster.address)
    topic = Topic(DENSITIES, 0, 0, 0)
    tick = pause(cluster, first)
    first.send(viewer_protocol.Watch(packed(topic), 100))

    def is_whole() -> bool:
        pieces = [tiles.decode(frame, tiles.Torus(128, 128)) for frame in (first.tiles() or [(None, [])])[-1][1]]
        return sum(piece.rectangle.cells for piece in pieces if piece.head.tick == tick) == 128 * 128

    first.receive_until(is_whole)
    sent = {id(p): p.counts["tiles"] for p in cluster.publishers.values()}
    viewer.send(viewer_protocol.Watch(packed(topic), 100))
    assert viewer.until(Tile, topic=topic.packed())
    assert {id(p): p.counts["tiles"] for p in cluster.publishers.values()} == sent
    assert first.ask(Order, "go", 0.0, "").line == ""
    first.close()


def test_unwatched_tiles_are_dropped_by_the_gateway_and_the_nodes(cluster, viewer):
    viewer.send(viewer_protocol.Watch(packed(*ALL[:8]), 100))
    viewer.until(Tile)
    viewer.send(viewer_protocol.Watch([], 100))
    wait_until_unwatched(cluster)


def test_watches_are_bounded_and_checked(cluster, viewer):
    many = [Topic(BODIES, 0, y, 0) for y in range(MAX_TILES + 1)]
    viewer.send(viewer_protocol.Watch(packed(*many), 10))
    assert f"at most {MAX_TILES}" in viewer.until(Answer, ticket="watch")[0].line
    viewer.send(viewer_protocol.Watch([b"\xff\0\0\0\0\0"], 10))
    assert "topic" in viewer.until(Answer, ticket="watch")[0].line
    viewer.send(viewer_protocol.Watch(packed(ALL[0]), 10, 77))
    assert "not shown" in viewer.until(Answer, ticket="watch")[0].line
    wait_until_unwatched(cluster)


def test_a_repeated_ticket_is_executed_once(cluster, viewer):
    arguments = msgspec.json.encode({"y": 1, "x": 1, "substance": "water", "count": 3})
    before = len(cluster.disk.commands)
    for _ in range(5):
        viewer.send(CommandRequest("only-once", "drop", arguments))
    first, _ = viewer.until(Answer, ticket="only-once")
    viewer.send(CommandRequest("only-once", "drop", arguments))
    again, _ = viewer.until(Answer, ticket="only-once")
    assert first == again and first.line == "" and len(cluster.disk.commands) == before + 1


def test_a_repeated_step_is_sent_to_the_coordinator_once(cluster, viewer):
    tick = pause(cluster, viewer)
    for _ in range(4):
        viewer.send(Order("four-steps", "step", 4.0))
    viewer.until(Answer, ticket="four-steps")
    viewer.send(Order("four-steps", "step", 4.0))
    wait_until(lambda: cluster.tick() == tick + 4)
    viewer.until(Answer, ticket="four-steps")  # the answer to the last one
    viewer.listen(1.0)
    assert cluster.tick() == tick + 4
    assert viewer.ask(Order, "go", 0.0, "").line == ""


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
def test_bad_commands_are_refused_in_one_line_and_change_nothing(cluster, viewer, what, arguments, said):
    before = len(cluster.disk.commands)
    answer = viewer.ask(CommandRequest, what, msgspec.json.encode(arguments))
    assert said in answer.line and answer.tick == -1 and "\n" not in answer.line
    assert len(cluster.disk.commands) == before


def test_invalid_orders_are_refused_with_one_line(cluster, viewer):
    assert "unknown order" in viewer.ask(Order, "dance", 0.0, "").line
    assert "no node of that name" in viewer.ask(Order, "leave", 0.0, "nobody").line
    assert "number" in viewer.ask(Order, "speed", float("nan"), "").line


def test_spectators_may_look_but_not_change_the_world(keyring):
    with LocalCluster(golden_world(64, 64), 2, keyring, tick_s=0.04) as cluster:
        viewer = RawViewer(cluster.address, Keys.load(keyring, "spectator"))
        viewer.send(viewer_protocol.Watch(packed(Topic(BODIES, 0, 0, 0)), 5))
        assert viewer.until(Tile)[1]
        assert viewer.ask(Query, b'{"ask":"count"}').line == ""
        drop = msgspec.json.encode({"y": 1, "x": 1, "substance": "water", "count": 3})
        for answer in (viewer.ask(CommandRequest, "drop", drop), viewer.ask(Order, "stop", 0.0, "")):
            assert "a spectator may look" in answer.line
        assert cluster.disk.commands == [] and not cluster.coordinator.machine.stopping
        node = RawViewer(cluster.address, Keys.load(keyring, "node"), hello=False)  # a node is not admitted as a viewer
        with pytest.raises(AssertionError):
            node.send_frames(viewer_protocol.encode(Hello(viewer_protocol.PROTOCOL_VERSION)), 1.5)
        keeper = RawViewer(cluster.address, Keys.load(keyring, "keeper"))
        assert keeper.ask(CommandRequest, "drop", drop).line == ""
        for one in (viewer, node, keeper):
            one.close()


def test_a_flood_of_bad_messages_changes_nothing_for_others(cluster, viewer):
    bad, chance = RawViewer(cluster.address), iter(range(10**9))
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
    viewer.send(viewer_protocol.Watch(packed(Topic(BODIES, 0, 0, 0)), 100_000))
    viewer.until(Tile)
    sessions, before = cluster.gateway.sessions, len(cluster.disk.commands)
    malformed, over_budget = sessions.malformed, sessions.over_budget
    tick, tile_count = cluster.tick(), len(viewer.tiles())

    def flood() -> bool:
        for _ in range(200):
            bad.transport.send(bad.address, noise[next(chance) % len(noise)])
        viewer.receive(0.01)
        while bad.transport.receive(0.0) is not None:
            pass
        dropped = sessions.malformed > malformed + 50 and sessions.over_budget > over_budget + 50
        return dropped and len(viewer.tiles()) >= tile_count + 3 and cluster.tick() > tick + 10

    wait_until(flood)  # malformed messages and those over the budget are dropped; the world and its tiles go on
    assert cluster.failed is None and len(cluster.disk.commands) == before
    assert viewer.ask(Query, b'{"ask":"count"}').line == ""
    bad.close()


def test_a_sender_without_a_session_must_say_hello_in_the_same_protocol_version(cluster):
    stranger = RawViewer(cluster.address, hello=False)
    stranger.send(KeepAlive())
    assert stranger.until(UnknownViewer)
    stranger.send(Hello(viewer_protocol.PROTOCOL_VERSION + 1))
    answer = stranger.until(Answer)[0]
    assert f"version {viewer_protocol.PROTOCOL_VERSION + 1} of the protocol" in answer.line and answer.code == "run"
    assert f"the gateway version {viewer_protocol.PROTOCOL_VERSION}: install the same" in answer.line
    assert len([s for s in cluster.gateway.sessions.by_identity if s == stranger.transport.identity]) == 0
    stranger.close()


def test_a_silent_viewer_is_removed(cluster):
    silent, lively = RawViewer(cluster.address), RawViewer(cluster.address)
    silent.send(viewer_protocol.Watch(packed(ALL[0]), 10))
    silent.until(Tile)
    sessions = cluster.gateway.sessions.by_identity

    def age() -> None:  # as if it had been silent for that long
        sessions[silent.transport.identity].seen_s -= IDLE_AFTER_S + 1

    cluster.do(age)

    def is_removed() -> bool:
        lively.send(KeepAlive())
        return silent.transport.identity not in cluster.do(lambda: list(sessions))

    wait_until(is_removed)
    assert lively.transport.identity in cluster.do(lambda: list(sessions))
    wait_until_unwatched(cluster)
    silent.close()
    lively.close()


def test_questions_are_bounded_for_each_viewer(cluster, viewer):
    tickets = [f"many-{number}" for number in range(200)]

    def answers() -> dict[str, Answer]:
        return {message.ticket: message for message, _ in viewer.received if isinstance(message, Answer)}

    def ask_the_rest() -> bool:
        """Asks what is unanswered, again as clients do: answers that find the viewer's queue full are lost."""
        for ticket in [ticket for ticket in tickets if ticket not in answers()]:
            viewer.send(Query(ticket, b'{"ask":"count"}'))
        viewer.listen(0.5)
        return len(answers()) == len(tickets)

    wait_until(ask_the_rest)
    assert any("too many questions" in answer.line for answer in answers().values())
    assert any(answer.line == "" for answer in answers().values())


def test_the_status_is_sent_without_a_request(viewer):
    status, _ = viewer.until(Status)
    assert msgspec.json.decode(status.content)["nodes"] and 0 <= status.stale_s < WITHIN_S


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


@pytest.mark.slow
def test_the_process_announces_itself_and_ends_when_asked_or_orphaned(tmp_path):
    from umwelt.agents.open_world import begin

    world = golden_world(64, 64)
    store = Store.create("golden", world.text, tmp_path / "run")
    store.save(begin(world), world.text, "golden")
    for ends in ("asked", "orphaned"):
        settings = GatewaySettings(f"ipc://{tmp_path}/door", f"ipc://{tmp_path}/nobody", str(tmp_path / "run"))
        command = [sys.executable, "-m", "umwelt.cluster.gateway.process", msgspec.json.encode(settings).decode()]
        if ends == "orphaned":  # the parent of the gateway, which the test kills
            script = "import subprocess,sys,time; subprocess.Popen(sys.argv[1:]); time.sleep(60)"
            command = [sys.executable, "-c", script, *command]
        process = subprocess.Popen(command, stderr=subprocess.PIPE)
        announcement = tmp_path / "run" / "gateway.json"

        def is_announced(process=process, announcement=announcement) -> dict | None:
            assert process.poll() is None
            return read_announcement(announcement)

        viewer = RawViewer(wait_until(is_announced)["address"])
        answer = viewer.ask(Query, b'{"ask":"kill"}')
        assert "question" in answer.line
        process.terminate() if ends == "asked" else process.kill()
        wait_until(lambda announcement=announcement: not announcement.exists())
        process.wait(WITHIN_S)
        viewer.close()


def test_a_folder_without_a_run_is_refused_with_one_line(tmp_path):
    settings = GatewaySettings(f"ipc://{tmp_path}/door", f"ipc://{tmp_path}/nobody", str(tmp_path))
    command = [sys.executable, "-m", "umwelt.cluster.gateway.process", msgspec.json.encode(settings).decode()]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2 and ended.stderr.count("\n") == 1 and "is not a run" in ended.stderr

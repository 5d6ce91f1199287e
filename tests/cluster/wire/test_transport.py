"""Transports: equal behaviour over TCP, IPC and in memory; no peer can end, fill or block a listening socket.

A transport with a listening socket is called `door` here.
"""

import gc
import os
import random
import shutil
import socket
import time
from contextlib import closing

import pytest
import zmq

from umwelt.cluster.wire.keys import Keys, key_to_hex, make_keys
from umwelt.cluster.wire.loopback import Faults, Network
from umwelt.cluster.wire.transport import Limits, ZmqTransport, check_address
from umwelt.sandbox.errors import RunError

ANY_PORT = "tcp://127.0.0.1:0"
KINDS = ("tcp", "ipc", "loopback")


def sent(transport, to, frames, within_s=60.0) -> bool:
    """Sends as callers do, repeating until the frames are queued; returns whether they were within `within_s`."""
    end = time.monotonic() + within_s
    while time.monotonic() < end:
        if transport.send(to, frames):
            return True
        time.sleep(0.005)
    return False


def rss_mb() -> float:
    """Returns the resident memory of this process in MB."""
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


class Hosts:
    """Makes transports of one kind (tcp, ipc or loopback) and closes them together."""

    def __init__(self, kind, folder):
        self.kind, self.folder, self.open = kind, folder, []
        self.network = Network(seed=1)

    def new(self, name, at=None):
        """Opens a transport; `at` is the address of a closed one that is to be used again."""
        if self.kind == "loopback":
            made = self.network.transport(at or name)
        else:
            made = ZmqTransport(
                name.encode(), at or (ANY_PORT if self.kind == "tcp" else f"ipc://{self.folder}/{name}")
            )
        self.open.append(made)
        return made


@pytest.fixture(params=KINDS)
def hosts(request, tmp_path):
    made = Hosts(request.param, tmp_path)
    yield made
    for one in made.open:
        one.close()


@pytest.fixture(scope="module")
def keyring(tmp_path_factory):
    folder = tmp_path_factory.mktemp("keys") / "keys"
    make_keys(folder)
    return folder


def raw_dealer(context, address, **options):
    """Returns a plain ZeroMQ socket, for peers that do not use `ZmqTransport`."""
    made = context.socket(zmq.DEALER)
    made.set(zmq.LINGER, 0)
    for name, value in options.items():
        setattr(made, name, value)
    made.connect(address)
    return made


def answers(door, say=b"still there?") -> None:
    """Assert that a transport still receives from an ordinary peer and answers it."""
    with ZmqTransport(b"honest") as caller:
        assert sent(caller, door.address, [say])
        end = time.monotonic() + 20
        while time.monotonic() < end:
            got = door.receive(0.5)
            if got is not None and got.frames == [say]:
                break
        assert got.frames == [say]
        assert door.send(got.sender, [b"yes"])
        assert caller.receive(60).frames == [b"yes"]


def test_a_message_goes_there_and_the_answer_back(hosts):
    a, b = hosts.new("a"), hosts.new("b")
    assert sent(a, b.address, [b"hello", b"", bytes(range(256))])
    got = b.receive(60)
    assert got.frames == [b"hello", b"", bytes(range(256))] and got.role == "keeper"
    assert got.sender == b"a"
    assert b.send(got.sender, [b"and you?"])
    answer = a.receive(60)
    assert answer == (b.address.encode(), "keeper", [b"and you?"], True)
    assert sent(b, a.address, [b"by my own line"])
    assert a.receive(60).sender == b"b"


def test_messages_of_one_sender_keep_their_order(hosts):
    a, b = hosts.new("a"), hosts.new("b")
    for i in range(200):
        assert sent(a, b.address, [str(i).encode()])
    assert [b.receive(60).frames for _ in range(200)] == [[str(i).encode()] for i in range(200)]
    assert b.receive(0) is None


def test_changing_a_buffer_after_sending_does_not_change_the_message(hosts):
    a, b = hosts.new("a"), hosts.new("b")
    mine = bytearray(b"x" * 300_000)
    assert sent(a, b.address, [mine, memoryview(mine)[:10]])
    mine[:] = b"y" * len(mine)
    assert b.receive(60).frames == [b"x" * 300_000, b"x" * 10]


def test_large_frames_arrive_whole(hosts):
    a, b = hosts.new("a"), hosts.new("b")
    large = random.Random(1).randbytes(20 << 20)
    assert sent(a, b.address, [b"header", large])
    got = b.receive(60)
    assert got.frames[0] == b"header" and got.frames[1] == large


def test_a_peer_that_died_is_reached_again_at_its_address_and_gets_nothing_stale(hosts):
    a, b = hosts.new("a"), hosts.new("b")
    address = b.address
    assert sent(a, address, [b"before"]) and b.receive(60).frames == [b"before"]
    if hosts.kind == "loopback":
        hosts.network.kill(address)
    else:
        b.close()
    end = time.monotonic() + 1  # sends are accepted, and lost, until the death is noticed
    while time.monotonic() < end:
        a.send(address, [b"stale"])
        time.sleep(0.02)
    again = hosts.new("b", address)
    assert sent(a, address, [b"after"])
    assert again.receive(60).frames == [b"after"]
    assert again.receive(0.2) is None


def test_send_does_not_wait_for_a_missing_peer(hosts):
    a = hosts.new("a")
    nowhere = {"tcp": "tcp://127.0.0.1:1", "ipc": f"ipc://{hosts.folder}/none", "loopback": "none"}[hosts.kind]
    assert not any(a.send(nowhere, [b"x" * 1000]) for _ in range(1000))  # a send that waited would never return
    assert a.send(b"stranger", [b"x"]) is False
    assert a.receive(0) is None


def test_a_sender_that_is_gone_is_not_answered(hosts):
    a, b = hosts.new("a"), hosts.new("b")
    assert sent(a, b.address, [b"question"])
    got = b.receive(60)
    a.close()
    end = time.monotonic() + 60
    while b.send(got.sender, [b"answer"]) and time.monotonic() < end:
        time.sleep(0.01)
    assert b.send(got.sender, [b"answer"]) is False


def test_a_line_that_is_forgotten_can_be_opened_again(hosts):
    a, b = hosts.new("a"), hosts.new("b")
    assert sent(a, b.address, [b"1"]) and b.receive(60)
    a.forget(b.address)
    a.forget(b.address)
    assert sent(a, b.address, [b"2"])
    assert b.receive(60).frames == [b"2"]


def test_a_restarted_peer_takes_over_its_name():
    with ZmqTransport(b"door", ANY_PORT) as door, ZmqTransport(b"a") as old, ZmqTransport(b"a") as new:
        assert sent(old, door.address, [b"old"]) and door.receive(60).frames == [b"old"]
        assert sent(new, door.address, [b"new"])
        got = door.receive(60)
        assert got.frames == [b"new"] and door.send(got.sender, [b"to you"])
        assert new.receive(60).frames == [b"to you"]


def test_an_empty_identity_becomes_one_that_cannot_be_guessed():
    with ZmqTransport(b"") as a, ZmqTransport(b"") as b:
        assert len(a.identity) > 30 and a.identity != b.identity


def test_a_peer_that_does_not_read_fills_its_queue_and_no_more():
    limits = Limits(queued=50)
    with ZmqTransport(b"door", ANY_PORT, limits=limits) as door, ZmqTransport(b"a", limits=limits) as a:
        assert sent(a, door.address, [b"first"])
        taken = 0
        while taken < 5000 and a.send(door.address, [b"x" * 200_000]):
            taken += 1
        assert 10 < taken < 5000


def test_a_flooding_sender_does_not_starve_the_others():
    limits = Limits(queued=5000)
    with (
        ZmqTransport(b"door", ANY_PORT, limits=limits) as door,
        ZmqTransport(b"other", ANY_PORT, limits=limits) as other,
        ZmqTransport(b"flood", limits=limits) as flood,
    ):
        assert sent(door, other.address, [b"question"])
        got = other.receive(60)
        for _ in range(3000):
            assert sent(flood, door.address, [b"flood"])
        time.sleep(0.2)
        assert other.send(got.sender, [b"answer"])
        time.sleep(0.5)
        before = 0
        while door.receive(60).frames != [b"answer"]:
            before += 1
        assert before <= 3 * limits.in_turn


def test_receiving_nothing_is_cheap():
    with ZmqTransport(b"door", ANY_PORT) as door, ZmqTransport(b"a", ANY_PORT) as a:
        assert sent(door, a.address, [b"x"])
        spans = []
        for _ in range(20):
            begun = time.thread_time()  # processor time, so that other processes do not matter
            for _ in range(200):
                door.receive(0)
            spans.append((time.thread_time() - begun) / 200)
        assert min(spans) < 100e-6  # about 5 on an idle machine


def test_receive_keeps_its_time():
    with ZmqTransport(b"door", ANY_PORT) as door, ZmqTransport(b"client") as client:
        for one in (door, client):
            begun = time.monotonic()
            assert one.receive(0.2) is None
            assert time.monotonic() - begun > 0.19


def test_messages_over_a_limit_are_dropped_and_counted():
    limits = Limits(message_bytes=10_000, held_bytes=1_000_000)
    context = zmq.Context()
    context.linger = 0
    with ZmqTransport(b"door", ANY_PORT, limits=limits) as door:
        rude = raw_dealer(context, door.address)
        rude.send_multipart([b"x"] * 65)
        rude.send_multipart([b"x"] * 100_000)
        rude.send_multipart([b"x" * 6000, b"x" * 6000])
        rude.send_multipart([b"x"] * 64)
        assert door.receive(60).frames == [b"x"] * 64
        assert door.dropped == {"too many frames": 2, "too long": 1}
        rude.send(b"x" * 20_000)  # the socket disconnects for a single frame over the limit
        answers(door)
    context.destroy(linger=0)


@pytest.mark.parametrize("frame_bytes", [1000, 900_000])
@pytest.mark.slow
def test_endless_messages_neither_kill_the_door_nor_fill_its_memory(frame_bytes):
    limits = Limits(message_bytes=1_000_000, held_bytes=16_000_000)
    gc.collect()
    with (
        ZmqTransport(b"door", ANY_PORT, limits=limits) as door,
        socket.create_connection(("127.0.0.1", int(door.address.rpartition(":")[2]))) as rude,
    ):
        rude.settimeout(5)
        # a ZMTP 3.0 greeting and READY by hand, then endless frames with the flag "more": the sender needs no memory
        rude.sendall(b"\xff" + b"\0" * 8 + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + b"\0" * 32)
        ready = b"\x05READY\x0bSocket-Type" + (6).to_bytes(4, "big") + b"DEALER"
        rude.sendall(b"\x04" + bytes([len(ready)]) + ready)
        heard = b""
        while b"READY" not in heard:  # the protocol forbids frames before it
            heard += rude.recv(1000)
        many = (b"\x03" + frame_bytes.to_bytes(8, "big") + b"x" * frame_bytes) * max(1, 1_000_000 // frame_bytes)
        before, most, total, begun = rss_mb(), 0.0, 0, time.monotonic()
        try:
            while total < 1_000_000_000 and time.monotonic() - begun < 20:
                rude.sendall(many)
                total += len(many)
                most = max(most, rss_mb() - before)
        except OSError:
            pass
        assert total > limits.held_bytes // 2, "the door did not understand what it was sent"
        assert most < 100
        assert door.dropped["peer cut off"] == 1
        answers(door)
        assert door.dropped["peer cut off"] == 1


@pytest.mark.parametrize("keyed", [False, True])
def test_an_honest_peer_is_never_taken_for_one_that_fills_memory(keyed, keyring):
    limits = Limits(message_bytes=400_000, held_bytes=1_000_000)
    world, node = (Keys.load(keyring, role) if keyed else None for role in ("world", "node"))
    with ZmqTransport(b"door", ANY_PORT, world, limits=limits) as door, ZmqTransport(b"a", keys=node) as a:
        for _ in range(3000):  # more bytes than may be queued, but each message is received as it arrives
            assert sent(a, door.address, [b"", b"x"]) and door.receive(60)
        for _ in range(50):
            assert sent(a, door.address, [b"x" * 300_000]) and door.receive(60)
            time.sleep(0.003)
        time.sleep(0.1)
        assert a.send(door.address, [b"last"]) and door.receive(60).frames == [b"last"]
        assert not door.dropped


def test_garbage_at_the_port_changes_nothing():
    dice = random.Random(5)
    with ZmqTransport(b"door", ANY_PORT) as door:
        port = int(door.address.rpartition(":")[2])
        for start in (b"", b"GET / HTTP/1.1\r\n\r\n", b"\xff" + b"\0" * 8 + b"\x7f", b"\xff" * 64, b"\x01\x00"):
            with socket.create_connection(("127.0.0.1", port)) as rude:
                rude.sendall(start + dice.randbytes(dice.randrange(5000)))
        assert door.receive(0.1) is None
        answers(door)


def test_the_next_process_gets_a_door_whose_owner_was_killed(tmp_path):
    left_over = tmp_path / "door"
    with closing(socket.socket(socket.AF_UNIX)) as dead:
        dead.bind(str(left_over))
    with ZmqTransport(b"door", f"ipc://{left_over}") as door:
        answers(door)


def test_doors_that_cannot_open_say_why_in_one_line(tmp_path, keyring):
    keys = Keys.load(keyring, "world")
    (tmp_path / "journal.sqlite").write_text("precious")
    with ZmqTransport(b"a", ANY_PORT) as there, ZmqTransport(b"b", f"ipc://{tmp_path}/b") as path:
        for bind, held, said in [
            ("tcp://0.0.0.0:0", None, "umwelt keys DIR, then add --keys DIR"),
            ("tcp://*:0", None, "--keys"),
            ("tcp://[::]:0", None, "--keys"),
            ("tcp://192.168.1.5:7700", None, "--keys"),
            ("tcp://example.com:7700", None, "--keys"),
            ("tcp://eth0:7700", None, "--keys"),
            ("tcp://127.0.0.1.example.com:7700", None, "--keys"),
            ("tcp://192.0.2.7:7700", keys, "no such address"),
            ("tcp://127.0.0.1", None, "tcp://HOST:PORT"),
            ("tcp://127.0.0.1:70000", None, "tcp://HOST:PORT"),
            ("udp://127.0.0.1:7700", None, "tcp://HOST:PORT"),
            ("inproc://x", None, "tcp://HOST:PORT"),
            ("ipc://", None, "ipc://PATH"),
            (there.address, None, "another process"),
            (path.address, None, "another process"),
            (f"ipc://{tmp_path}/{'x' * 120}", None, "choose a shorter"),
            (f"ipc://{tmp_path}/none/x", None, "folder"),
            (f"ipc://{tmp_path}/journal.sqlite", None, "file of that name"),
        ]:
            with pytest.raises(RunError) as error:
                ZmqTransport(b"x", bind, held)
            assert bind in str(error.value) and said in str(error.value) and "\n" not in str(error.value), str(
                error.value
            )
    assert (tmp_path / "journal.sqlite").read_text() == "precious"


def test_addresses_are_checked_and_bad_ones_never_raise_in_send():
    for good in f"tcp://127.0.0.1:7700 tcp://[::1]:7700 tcp://some.host:1 ipc:///tmp/x tcp://h:1#{'0' * 64}".split():
        check_address(good)
    bads = ["", "\0", "tcp://", "tcp://h", "tcp://h:0", "tcp://h:99999", "tcp://h:*", "udp://h:1", "ipc://", "h:1"]
    with ZmqTransport(b"a") as a:
        for bad in bads:
            with pytest.raises(RunError, match="is not an address"):
                check_address(bad)
            assert a.send(bad, [b"x"]) is False
        assert a.dropped["not an address"] == len(bads)
        assert a.send("tcp://no such host:1", [b"x"]) is False
        assert a.send(f"ipc:///{'x' * 200}", [b"x"]) is False


def test_a_door_open_to_all_tells_an_address_that_others_can_use(keyring):
    with ZmqTransport(b"door", "tcp://0.0.0.0:0", Keys.load(keyring, "world")) as door:
        assert not door.address.startswith("tcp://0.0.0.0") and check_address(door.address) is None


# --- CURVE


@pytest.mark.parametrize("bind", [ANY_PORT, "ipc://{}/door"])
def test_with_keys_the_role_is_that_of_the_key(keyring, tmp_path, bind):
    everyone = frozenset(("world", "node", "keeper", "spectator"))
    with ZmqTransport(b"door", bind.format(tmp_path), Keys.load(keyring, "world"), admit=everyone) as door:
        for role in ("spectator", "node", "keeper", "world"):
            with ZmqTransport(b"node-0", keys=Keys.load(keyring, role)) as caller:
                assert sent(caller, door.address, [role.encode()])
                got = door.receive(60)
                assert got == (b"node-0", role, [role.encode()], False)
                assert door.send(got.sender, [b"welcome"])
                answer = caller.receive(60)
                assert answer.role == "world" and answer.frames == [b"welcome"]


def test_a_door_for_nodes_refuses_everyone_else(keyring):
    world = Keys.load(keyring, "world")
    context = zmq.Context()
    context.linger = 0
    public, secret = zmq.curve_keypair()
    with (
        ZmqTransport(b"door", ANY_PORT, world, admit=frozenset(("node",))) as door,
        ZmqTransport(b"node-0", keys=Keys.load(keyring, "spectator")) as spectator,
        ZmqTransport(b"node-0") as without,
    ):
        unknown = raw_dealer(
            context, door.address, curve_serverkey=world.world_public, curve_publickey=public, curve_secretkey=secret
        )
        keyless = raw_dealer(context, door.address)
        plain = raw_dealer(context, door.address, plain_username=b"admin", plain_password=b"admin")
        for one in (unknown, keyless, plain):
            one.send(b"let me in")
        end = time.monotonic() + 1
        while time.monotonic() < end:
            assert not spectator.send(door.address, [b"let me in"])
            assert not without.send(door.address, [b"let me in"])
            assert door.receive(0.02) is None
        assert all(one.poll(0) == 0 for one in (unknown, keyless, plain))
        with ZmqTransport(b"node-0", keys=Keys.load(keyring, "node")) as node:
            assert sent(node, door.address, [b"let me in"])
            assert door.receive(60).role == "node"
    context.destroy(linger=0)


def test_a_spectator_that_calls_itself_a_node_is_still_a_spectator(keyring):
    everyone = frozenset(("node", "spectator"))
    with (
        ZmqTransport(b"door", ANY_PORT, Keys.load(keyring, "world"), admit=everyone) as door,
        ZmqTransport(b"node-0", keys=Keys.load(keyring, "node")) as node,
        ZmqTransport(b"node-0", keys=Keys.load(keyring, "spectator")) as spectator,
    ):
        assert sent(node, door.address, [b"I"]) and door.receive(60).role == "node"
        assert sent(spectator, door.address, [b"I"])
        assert door.receive(60) == (b"node-0", "spectator", [b"I"], False)


def test_the_sender_cannot_write_its_own_user_id(keyring):
    keys, keeper = Keys.load(keyring, "spectator"), Keys.load(keyring, "keeper")
    context = zmq.Context()
    context.linger = 0
    with ZmqTransport(b"d", ANY_PORT, Keys.load(keyring, "world"), admit=frozenset(("keeper", "spectator"))) as door:
        forger = context.socket(zmq.DEALER)
        forger.set(zmq.METADATA, b"X-User-Id:" + keeper.public)
        with pytest.raises(zmq.ZMQError):
            forger.set(zmq.METADATA, b"User-Id:" + keeper.public)
        forger.curve_publickey, forger.curve_secretkey, forger.curve_serverkey = (
            keys.public,
            keys.secret,
            keys.world_public,
        )
        forger.connect(door.address)
        forger.send(b"I am the keeper")
        assert door.receive(60).role == "spectator"
    context.destroy(linger=0)


def test_a_server_without_the_secret_key_of_the_world_gets_no_message(keyring, tmp_path):
    make_keys(tmp_path / "other")
    with (
        ZmqTransport(b"door", ANY_PORT, Keys.load(tmp_path / "other", "world")) as door,
        ZmqTransport(b"node", keys=Keys.load(keyring, "node")) as node,
    ):
        assert not sent(node, door.address, [b"secret"], within_s=1)
        assert door.receive(0) is None


def test_nodes_without_the_worlds_secret_have_doors_too(keyring, tmp_path):
    joined = tmp_path / "joined"
    joined.mkdir()
    for name in ("world.public", "node.public", "node.secret"):
        shutil.copy(keyring / name, joined)
    with (
        ZmqTransport(b"a", ANY_PORT, Keys.load(joined, "node")) as a,
        ZmqTransport(b"b", ANY_PORT, Keys.load(keyring, "node")) as b,
        ZmqTransport(b"c", keys=Keys.load(keyring, "spectator")) as c,
    ):
        assert "#" in a.address and "#" not in b.address
        assert sent(b, a.address, [b"halo"])
        got = a.receive(60)
        assert got == (b"b", "node", [b"halo"], False) and a.send(got.sender, [b"halo"])
        assert b.receive(60) == (a.address.encode(), "node", [b"halo"], True)
        assert sent(a, b.address, [b"halo"]) and b.receive(60).role == "node"
        assert not sent(c, a.address, [b"halo"], within_s=0.5)
        stranger = f"{b.address}#{key_to_hex(zmq.curve_keypair()[0])}"
        assert b.send(stranger, [b"x"]) is False and b.dropped["address with an unknown key"] == 1
        assert a.receive(0) is None


def test_a_door_without_its_authenticator_refuses_all_connections(keyring):
    world, node_keys = Keys.load(keyring, "world"), Keys.load(keyring, "node")
    with ZmqTransport(b"door", ANY_PORT, world) as door, ZmqTransport(b"n", keys=node_keys) as node:
        door._authenticator.stop()
        assert not sent(node, door.address, [b"x"], within_s=1)


# --- loopback


def storm(seed):
    """Sends messages among four transports with random faults; returns what arrived and when, and the counts."""
    network = Network(seed, Faults(loss=0.1, duplicate=0.1, reorder=0.1, delay_s=(0.001, 0.02)))
    hosts = {name: network.transport(name, role="node") for name in "abcd"}
    for i, name in enumerate("abcd"):
        hosts[name].send("dabc"[i], [b"0"])
    seen = []
    while network.now < 3:
        for address, incoming in network.step(0.05):
            seen.append((round(network.now, 9), address, incoming))
            count = int(incoming.frames[0]) + 1
            if count < 30:
                hosts[address].send("abcd"[count % 4], [str(count).encode()])
            if count % 10 == 0:
                hosts[address].send(incoming.sender, [str(count + 25).encode()])
        if not seen or network.now - seen[-1][0] > 0.2:
            hosts["a"].send("b", [b"0"])
    return seen, dict(network.counts)


def test_a_seed_determines_all_faults_of_the_network():
    seen, counts = storm(3)
    assert (seen, counts) == storm(3)
    assert seen != storm(4)[0] and len(seen) > 100
    assert [when for when, _, _ in seen] == sorted(when for when, _, _ in seen)
    assert all(counts[what] > 0 for what in ("lost", "duplicated", "reordered", "delivered"))


def test_faults_do_what_they_say_and_can_be_set_at_any_time():
    network = Network(7)
    a, b = network.transport("a"), network.transport("b")

    def received(faults, count=1000):
        network.faults = faults
        assert all(a.send("b", [str(i).encode()]) for i in range(count))
        return [int(incoming.frames[0]) for address, incoming in network.step(10) if address == "b"]

    assert received(Faults()) == list(range(1000))
    assert received(Faults(delay_s=(0.0, 0.5))) == list(range(1000)), "delay alone keeps the order"
    lossy = received(Faults(loss=0.3))
    assert 600 < len(lossy) < 800 and lossy == sorted(lossy)
    double = received(Faults(duplicate=0.3))
    assert 1200 < len(double) < 1400 and set(double) == set(range(1000))
    mixed = received(Faults(reorder=0.3))
    assert sorted(mixed) == list(range(1000)) and mixed != sorted(mixed)
    assert b.receive(0) is None


def test_the_clock_has_the_time_of_each_message_while_it_is_handled():
    network = Network(1, Faults(delay_s=(0.1, 0.1)))
    a, b = network.transport("a"), network.transport("b")
    a.send("b", [b"ping"])
    times = []
    for address, incoming in network.step(1.0):
        times.append((round(network.now, 6), address))
        if address == "b":
            b.send(incoming.sender, [b"pong"])
    assert times == [(0.1, "b"), (0.2, "a")] and network.now == 1.0
    a.send("b", [b"ping"])
    assert network.advance()[0] == "b" and round(network.now, 6) == 1.1
    assert network.advance() is None


def test_a_cut_drops_messages_in_flight_and_all_later_ones_until_it_is_healed():
    network = Network(1, Faults(delay_s=(0.1, 0.1)))
    a, b, c = (network.transport(name) for name in "abc")
    assert a.send("b", [b"under way"])
    network.cut("b", "a")
    assert a.send("b", [b"cut"]) and b.send("a", [b"cut"]) and a.send("c", [b"fine"])
    assert [(address, incoming.frames) for address, incoming in network.step(1)] == [("c", [b"fine"])]
    network.heal("a", "b")
    assert a.send("b", [b"healed"]) and b.receive(1).frames == [b"healed"]
    network.cut("a", "b")
    network.heal()
    assert b.send("a", [b"healed"]) and a.receive(1).frames == [b"healed"]
    assert network.counts["cut"] == 3 and c.receive(0) is None


def test_a_killed_transport_receives_nothing_and_its_successor_no_old_messages():
    network = Network(1, Faults(delay_s=(0.1, 0.1)))
    a, b = network.transport("a"), network.transport("b")
    assert a.send("b", [b"under way"]) and b.send("a", [b"sent before"])
    network.kill("b")
    assert b.send("a", [b"from the dead"]) is False and b.receive(0) is None
    assert a.send("b", [b"to the dead"]) and a.send(b"b", [b"to the dead"])
    again = network.transport("b")
    assert a.send(b"b", [b"it has no line to us yet"]) is False
    assert [incoming.frames for _, incoming in network.step(1)] == [[b"sent before"]]
    assert a.send("b", [b"anew"]) and again.receive(1).frames == [b"anew"]
    again.close()
    assert a.send("b", [b"nobody"]) is False


def test_an_answer_on_a_line_that_was_closed_is_lost():
    network = Network(1)
    a, b = network.transport("a"), network.transport("b")
    a.send("b", [b"question"])
    b.send(b.receive(0).sender, [b"answer"])
    a.forget("b")
    a.send("b", [b"again"])
    assert a.receive(0) is None and b.receive(0).frames == [b"again"] and network.counts["closed"] == 1

"""How messages travel between processes: the interface, and its ZeroMQ form. Its in-memory form is `loopback.py`.

A message is a list of frames. Each process that can be reached has one door (a ROUTER) and opens one line (a DEALER) to
each address it sends to; answers come back on the line. One thread owns a transport, and nothing it does ever blocks.

What may be lost is lost: a message is queued only for a peer that is connected at that moment, and goes with the
connection. So a first `send` to an address mostly returns False, the connection being under way: send again a little
later, and again when no answer comes. What arrives was meant for this incarnation of a peer and is not stale.

Whom to trust: `Incoming.role` follows from the sender's public key; `Incoming.sender` is what the sender calls itself.
One who is let in may call himself anything, and then gets the answers meant for who is called so. Those who come to a
door that admits people they do not trust (the gateway) leave their identity empty, and get one that nobody can guess.
"""

import errno
import ipaddress
import math
import os
import re
import secrets
import socket
import stat
import struct
import threading
import time
from collections import Counter, deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import zmq
from zmq.auth.thread import ThreadAuthenticator
from zmq.utils.monitor import recv_monitor_message

from umwelt.cluster.wire.keys import KEEPER, NODE, WORLD, Keys, key_from_hex, key_to_hex
from umwelt.sandbox.errors import RunError

Sendable = bytes | bytearray | memoryview
ZERO_COPY_BYTES = 100_000
GUARD_INTERVAL_S = 0.02
DOMAIN = "umwelt"
WITH_KEY = re.compile(r"(.+)#([0-9a-f]{64})", re.DOTALL)
_TCP = re.compile(r"tcp://(\[[^\]]+\]|[^\[\]:/#]+):(\d+|\*)")
# struct tcp_info of Linux: tcpi_bytes_received, in order and acknowledged, since 4.1
_TCP_INFO, _RECEIVED_AT, _TCP_INFO_BYTES = getattr(socket, "TCP_INFO", -1), 128, 136


class Incoming(NamedTuple):
    """What arrived at our door, or as an answer on a line of ours."""

    sender: bytes
    """At our door what the sender calls itself, to be answered with `send`; on a line the address it leads to."""
    role: str
    frames: list[bytes]
    on_line: bool = False
    """Whether it came as an answer on a line of ours. Who stands at our door may call himself like an address."""


class Transport(Protocol):
    """One process's way to the others."""

    address: str
    """Where others reach our door; "" if we have none."""

    def send(self, to: str | bytes, frames: Sequence[Sendable]) -> bool:
        """Send to an address (str), or answer a sender (bytes). Never blocks; False if it could not be queued."""

    def receive(self, timeout_s: float) -> Incoming | None:
        """The next message from anywhere, None after the timeout."""

    def forget(self, to: str) -> None:
        """Close the line to an address."""

    def close(self) -> None:
        """Close everything; what was not sent yet is lost."""


@dataclass(frozen=True)
class Limits:
    """What one transport takes and holds."""

    message_bytes: int = 256 << 20
    """Larger messages are dropped, and a peer that announces a larger frame is cut off."""
    frames: int = 64
    """Messages of more frames are dropped."""
    queued: int = 1000
    """Messages to or from one peer that wait; far above what the protocol has under way."""
    held_bytes: int = 1 << 30
    """A peer that has sent so much we have not taken yet, finished messages or not, is cut off (doors on TCP)."""
    in_turn: int = 16
    """How many messages are taken from one socket before the next one's turn."""

    def __post_init__(self) -> None:
        assert self.held_bytes > self.message_bytes, "a whole message must fit in what is held"


class ZmqTransport:
    """A transport on ZeroMQ sockets, over TCP or, on one machine, IPC.

    `bind` is where our door opens: `tcp://127.0.0.1:0` (any free port), `tcp://0.0.0.0:7700`, `ipc://PATH`, or None for
    those who only call others. With `keys` all connections are encrypted, and only roles in `admit` get through the
    door; without keys doors open on this machine alone, and everyone on it is a keeper. `role` is what we are; with
    keys it is theirs. An empty `identity` is replaced by one that nobody can guess.

    `dropped` counts messages that came in and were dropped, and peers cut off, by reason. Raises `RunError` where a
    door cannot open.
    """

    def __init__(
        self,
        identity: bytes,
        bind: str | None = None,
        keys: Keys | None = None,
        role: str = NODE,
        admit: frozenset[str] = frozenset((WORLD, NODE, KEEPER)),
        limits: Limits = Limits(),
    ):
        assert len(identity) <= 255 and not identity.startswith(b"\0"), "an identity is short and begins with no 0"
        if bind is not None:
            check_bind_address(bind, keys)
        self.identity = identity or b"~" + secrets.token_hex(16).encode()
        self.address = ""
        self.role = keys.role if keys else role
        self.admit = admit
        self.limits = limits
        self.dropped: Counter[str] = Counter()
        self._keys = keys
        self._context = zmq.Context()
        self._door: zmq.Socket | None = None
        self._guard: _Guard | None = None
        self._authenticator: ThreadAuthenticator | None = None
        self._lines: dict[str, zmq.Socket] = {}
        self._names: dict[zmq.Socket, tuple[bytes, str]] = {}
        self._poller = zmq.Poller()
        self._ready: deque[zmq.Socket] = deque()
        self._left_in_turn = 0
        self._woken, self._waker = socket.socketpair()
        for end in (self._woken, self._waker):
            end.setblocking(False)
        self._poller.register(self._woken, zmq.POLLIN)
        try:
            if bind is not None:
                self._open_door(bind)
        except BaseException:
            self.close()
            raise

    def send(self, to: str | bytes, frames: Sequence[Sendable]) -> bool:
        """Send to an address, or answer a sender at our door.

        Never blocks. False if there is no connection at this moment (on the first send to an address there is none
        yet), if the peer's queue is full, if the sender is gone, or if it is no address. `bytes` of 100 kB and more are
        not copied; anything else is, so that what is changed after sending was sent as it was.
        """
        solid = [frame if isinstance(frame, bytes) else bytes(frame) for frame in frames]
        assert 0 < len(solid) <= self.limits.frames, f"a message of {len(solid)} frames"
        assert sum(map(len, solid)) <= self.limits.message_bytes, "a message over the limit"
        if isinstance(to, bytes):
            return self._door is not None and _send(self._door, [to, *solid])
        line = self._lines.get(to) or self._open_line(to)
        return line is not None and _send(line, solid)

    def receive(self, timeout_s: float) -> Incoming | None:
        """The next message from our door or any line, None after the timeout. Each socket has its turn."""
        deadline_s = time.monotonic() + timeout_s
        incoming = self._round()
        while incoming is None:
            left_s = max(0.0, deadline_s - time.monotonic()) if timeout_s > 0 else 0.0
            # rounded up: zmq counts whole milliseconds, and we would spin through the last one
            found = self._poller.poll(math.ceil(left_s * 1000))
            if not found:
                return None
            self._ready.extend(one for one, _ in found if isinstance(one, zmq.Socket))
            self._left_in_turn = self.limits.in_turn
            if len(self._ready) < len(found):
                self._woken.recv(4096)
                if not self._ready:
                    return None
            incoming = self._round()
            if left_s == 0.0:  # a flood of messages that are all dropped must not keep us
                break
        return incoming

    def wake(self) -> None:
        """Let `receive` come back at once, with what there is or nothing. Any thread may do this."""
        with suppress(OSError):  # it is woken already, or closed
            self._waker.send(b"!")

    def forget(self, to: str) -> None:
        """Close the line to an address; what waits on it, either way, is lost."""
        line = self._lines.pop(to, None)
        if line is not None:
            self._poller.unregister(line)
            del self._names[line]
            if line in self._ready:
                if self._ready[0] is line:
                    self._left_in_turn = self.limits.in_turn
                self._ready.remove(line)
            line.close(linger=0)

    def close(self) -> None:
        """Close the door and all lines; what was not sent yet is lost."""
        for address in list(self._lines):
            self.forget(address)
        self._ready.clear()
        if self._guard is not None and self._door is not None:
            self._guard.stop(self._door)
            self._guard = None
        if self._door is not None:
            if self._names.pop(self._door, None):
                self._poller.unregister(self._door)
            self._door.close(linger=0)
            self._door = None
        if self._authenticator is not None:
            with suppress(zmq.ZMQError):
                if self._authenticator.pipe is not None:
                    self._authenticator.pipe.set(zmq.SNDTIMEO, 1000)  # or it waits for ever for a thread that has died
                self._authenticator.stop()
            self._authenticator = None
        self._woken.close()
        self._waker.close()
        self._context.destroy(linger=0)

    def __enter__(self) -> "ZmqTransport":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _round(self) -> Incoming | None:
        """The next message of those whose turn it still is."""
        while self._ready:
            incoming = self._take(self._ready[0])
            if incoming is not None:
                return incoming
        return None

    def _take(self, source: zmq.Socket) -> Incoming | None:
        """A message from the socket whose turn it is, None if there is none or it is dropped; passes the turn on."""
        incoming, empty = None, False
        try:
            incoming = self._read(source)
        except zmq.Again:
            empty = True
        except zmq.ZMQError:
            self.dropped["unreadable"] += 1
        self._left_in_turn -= 1
        if empty or self._left_in_turn <= 0:
            self._ready.popleft()
            self._left_in_turn = self.limits.in_turn
        return incoming

    def _read(self, source: zmq.Socket) -> Incoming | None:
        at_door = source is self._door
        sender, role = self._names[source]
        frame = source.recv(zmq.NOBLOCK, copy=False)
        if at_door:
            sender = frame.bytes
            frame = source.recv(zmq.NOBLOCK, copy=False) if frame.more else frame
        # a message over a limit is read to its end, for it is in memory already, and let go frame by frame
        first, count, size, wrong = frame, 0, 0, ""
        frames: list[bytes] = []
        while True:
            count, size = count + 1, size + len(frame)
            if count > self.limits.frames or size > self.limits.message_bytes:
                wrong = "too many frames" if count > self.limits.frames else "too long"
                frames.clear()
            elif not wrong:
                frames.append(frame.bytes)
            if not frame.more:
                break
            frame = source.recv(zmq.NOBLOCK, copy=False)
        if at_door:
            if self._guard is not None:
                self._guard.taken(first.get(zmq.SRCFD), count, size)
            if self._keys is not None:
                role = self._role(first)
                wrong = wrong or ("" if role in self.admit else "not admitted")
        if wrong:
            self.dropped[wrong] += 1
            return None
        return Incoming(sender, role, frames, not at_door)

    def _role(self, frame: zmq.Frame) -> str:
        assert self._keys is not None
        try:
            return self._keys.roles.get(str(frame.get("User-Id")).encode(), "")
        except zmq.ZMQError:  # passed by no authenticator
            return ""

    def _open_door(self, bind: str) -> None:
        door = self._door = self._socket(zmq.ROUTER, bind)
        door.set(zmq.ROUTER_MANDATORY, 1)
        # a peer that lost its connection comes back under its old name before the old connection is known to be dead
        door.set(zmq.ROUTER_HANDOVER, 1)
        if self._keys is not None:
            self._authenticator = ThreadAuthenticator(self._context)
            self._authenticator.start()
            self._authenticator.configure_curve_callback(DOMAIN, Doorman(self._keys, self.admit))
            door.set(zmq.ZAP_DOMAIN, DOMAIN.encode())
            door.set(zmq.ZAP_ENFORCE_DOMAIN, 1)  # else any key gets in should the authenticator ever be gone
            door.set(zmq.CURVE_SERVER, 1)
            door.curve_publickey, door.curve_secretkey = self._keys.server_pair
        if bind.startswith("tcp://") and _TCP_INFO != -1:
            self._guard = _Guard(door, self.limits.held_bytes, self.dropped)
        try:
            door.bind(re.sub(r":0$", ":*", bind) if bind.startswith("tcp://") else bind)
        except zmq.ZMQError as error:
            raise RunError(why_not_bound(bind, error)) from None
        self.address = reachable(door.get_string(zmq.LAST_ENDPOINT).rstrip("\0"))
        if self._keys is not None and self._keys.world_secret is None:
            # those who come expect the world's key, which we do not hold: the address tells ours
            self.address += "#" + key_to_hex(self._keys.public)
        self._register(door, b"", KEEPER)

    def _open_line(self, address: str) -> zmq.Socket | None:
        parts = WITH_KEY.fullmatch(address)
        endpoint, role, key = address, KEEPER, b""
        if parts:
            endpoint, key = parts[1], key_from_hex(parts[2])
        if self._keys is not None:
            key = key or self._keys.world_public
            role = self._keys.roles.get(key, "")
            if not role:
                self.dropped["address with an unknown key"] += 1
                return None
        try:
            check_address(endpoint)
        except RunError:
            self.dropped["no address"] += 1
            return None
        line = self._socket(zmq.DEALER, endpoint)
        line.set(zmq.ROUTING_ID, self.identity)
        if self._keys is not None:
            line.curve_publickey, line.curve_secretkey, line.curve_serverkey = self._keys.public, self._keys.secret, key
        try:
            line.connect(endpoint)
        except zmq.ZMQError:
            line.close(linger=0)
            self.dropped["no address"] += 1
            return None
        self._lines[address] = line
        self._register(line, address.encode(), role)
        return line

    def _socket(self, kind: int, endpoint: str) -> zmq.Socket:
        made = self._context.socket(kind)
        # no ZMTP heartbeats: they cut off a busy peer. Only the loops at both ends know whether the other lives.
        for option, value in (
            (zmq.LINGER, 0),
            (zmq.IMMEDIATE, 1),
            (zmq.SNDHWM, self.limits.queued),
            (zmq.RCVHWM, self.limits.queued),
            (zmq.MAXMSGSIZE, self.limits.message_bytes),
            (zmq.HANDSHAKE_IVL, 2000),
            (zmq.RECONNECT_IVL, 50),
            (zmq.RECONNECT_IVL_MAX, 500),
            (zmq.TCP_KEEPALIVE, 1),
            (zmq.TCP_KEEPALIVE_IDLE, 10),
            (zmq.TCP_KEEPALIVE_INTVL, 5),
            (zmq.TCP_KEEPALIVE_CNT, 3),
            (zmq.IPV6, int("[" in endpoint)),
        ):
            made.set(option, value)
        return made

    def _register(self, made: zmq.Socket, name: bytes, role: str) -> None:
        self._names[made] = name, role
        self._poller.register(made, zmq.POLLIN)


class Doorman:
    """Whom the authenticator lets in. It runs in the authenticator's thread, which an exception would kill."""

    def __init__(self, keys: Keys, admit: frozenset[str]):
        self._admitted = frozenset(key for key, role in keys.roles.items() if role in admit)

    def callback(self, domain: str, key: bytes) -> bool:
        return key in self._admitted


class _Guard:
    """Cuts off peers that fill our memory.

    libzmq takes in the frames of a message until its last one, bounded neither by MAXMSGSIZE nor by the high-water
    mark, and shows us none before. But the kernel counts what each connection brought; what we have not taken of that
    is held in memory. (A frame costs 64 bytes there however short it is. On the wire of a door with keys it is 42 or
    more; only without keys, on this machine, can empty ones fill 32 times what is counted.)
    """

    _FRAME_BYTES = 64
    """Counted for what the wire adds to a frame; more than that is, so that nothing adds up over a long life."""

    def __init__(self, door: zmq.Socket, held_bytes: int, dropped: Counter[str]):
        self._held_bytes = held_bytes
        self._dropped = dropped
        self._taken: Counter[int] = Counter()
        self._credit: dict[int, int] = {}
        """Descriptor of a connection -> what it brought, less what was taken from it and this, is what is held."""
        self._stopping = False
        self._monitor = door.get_monitor_socket(zmq.EVENT_ACCEPTED | zmq.EVENT_DISCONNECTED | zmq.EVENT_MONITOR_STOPPED)
        self._thread = threading.Thread(target=self._run, name="umwelt-guard", daemon=True)
        self._thread.start()

    def taken(self, descriptor: int, frames: int, size: int) -> None:
        """A message was taken from a connection."""
        self._taken[descriptor] += size + frames * self._FRAME_BYTES + self._FRAME_BYTES

    def stop(self, door: zmq.Socket) -> None:
        """Stop watching, before the door closes."""
        self._stopping = True
        door.disable_monitor()
        self._thread.join()

    def _run(self) -> None:
        due_s = 0.0
        try:
            while not self._stopping:
                # with nobody connected there is nothing to watch but the door
                if self._monitor.poll(int(1000 * GUARD_INTERVAL_S) if self._credit else 200):
                    event = recv_monitor_message(self._monitor)
                    if event["event"] == zmq.EVENT_ACCEPTED:
                        self._credit[event["value"]] = -self._taken[event["value"]]
                    elif event["event"] == zmq.EVENT_DISCONNECTED:
                        self._credit.pop(event["value"], None)
                if time.monotonic() >= due_s:  # by the clock, for those who come and go may fill every pause
                    for descriptor in list(self._credit):
                        self._watch(descriptor)
                    due_s = time.monotonic() + GUARD_INTERVAL_S / 2
        except zmq.ZMQError:
            pass  # the context ends
        finally:
            self._monitor.close(linger=0)

    def _watch(self, descriptor: int) -> None:
        try:
            connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, descriptor)
        except OSError:
            self._credit.pop(descriptor, None)
            return
        try:
            info = connection.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, _TCP_INFO_BYTES)
            if len(info) < _TCP_INFO_BYTES:
                return
            held = struct.unpack_from("Q", info, _RECEIVED_AT)[0] - self._taken[descriptor] - self._credit[descriptor]
            if held < 0:
                self._credit[descriptor] += held
            elif held > self._held_bytes:
                self._dropped["peer cut off"] += 1  # first: the peer must not see the cut before it is counted
                connection.shutdown(socket.SHUT_RDWR)
                self._credit.pop(descriptor, None)
        except OSError:  # closed meanwhile
            self._credit.pop(descriptor, None)
        finally:
            connection.detach()  # it is libzmq's: closing is not ours


def check_address(address: str) -> None:
    """Raises `RunError` unless it looks like where a door can be: `tcp://HOST:PORT` or `ipc://PATH`."""
    parts = WITH_KEY.fullmatch(address)
    endpoint = parts[1] if parts else address
    tcp = _TCP.fullmatch(endpoint)
    good = bool(tcp and tcp[2] != "*" and 0 < int(tcp[2]) < 65536) or re.fullmatch(r"ipc://[^\0]+", endpoint)
    if not good:
        raise RunError(f"{address}: is no address: give tcp://HOST:PORT or ipc://PATH")


def check_bind_address(bind: str, keys: Keys | None) -> None:
    """Raises `RunError` unless a door may open there: without keys, only for this machine."""
    if bind.startswith("ipc://") and len(bind) > len("ipc://"):
        _check_path(bind)
        return
    tcp = _TCP.fullmatch(bind)
    if not tcp or (tcp[2] != "*" and int(tcp[2]) > 65535):
        raise RunError(f"{bind}: no door can open there: give tcp://HOST:PORT or ipc://PATH")
    if keys is None and not _is_this_machine(tcp[1].strip("[]")):
        raise RunError(
            f"{bind}: others could come in there without keys: make keys with: umwelt keys DIR, then add --keys DIR"
        )


def _check_path(bind: str) -> None:
    path = bind.removeprefix("ipc://")
    size = len(os.fsencode(path))
    if size > zmq.IPC_PATH_MAX_LEN:
        raise RunError(
            f"{bind}: the path has {size} bytes, a socket's at most {zmq.IPC_PATH_MAX_LEN}: choose a shorter one"
        )
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return
    # libzmq deletes whatever is there before it binds
    if not stat.S_ISSOCK(mode):
        raise RunError(f"{bind}: there is a file of that name: choose another path")
    with socket.socket(socket.AF_UNIX) as knock, suppress(OSError):
        knock.settimeout(1)
        knock.connect(path)
        raise RunError(f"{bind}: another process has its door there: stop it, or choose another path")


def _is_this_machine(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def why_not_bound(bind: str, error: zmq.ZMQError) -> str:
    """One line for a door that could not open."""
    why = {
        errno.EADDRINUSE: "another process has its door there: stop it, or choose another port",
        errno.EADDRNOTAVAIL: "this machine has no such address: choose one it has, or 0.0.0.0 for all",
        errno.ENODEV: "this machine has no such address: choose one it has, or 0.0.0.0 for all",
        errno.EACCES: "you may not open a door there: choose another port or path",
        errno.ENOENT: "there is no such folder: make it, or choose another path",
    }
    return f"{bind}: {why.get(error.errno or 0, f'no door can open there: {error.strerror}: choose another')}"


def reachable(endpoint: str) -> str:
    """The address of a door for others: one that is open on all addresses is named by the outward one."""
    for everywhere in ("tcp://0.0.0.0:", "tcp://[::]:"):
        if endpoint.startswith(everywhere):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as outward:
                try:
                    outward.connect(("192.0.2.1", 9))  # sends nothing: only asks the routes (RFC 5737)
                    host = outward.getsockname()[0]
                except OSError:
                    host = socket.gethostname()
            return f"tcp://{host}:{endpoint.removeprefix(everywhere)}"
    return endpoint


def _send(to: zmq.Socket, frames: Sequence[bytes]) -> bool:
    last = len(frames) - 1
    try:
        for i, frame in enumerate(frames):
            flags = zmq.NOBLOCK if i == last else zmq.NOBLOCK | zmq.SNDMORE
            to.send(frame, flags, copy=len(frame) < ZERO_COPY_BYTES)
    except zmq.ZMQError:  # full, not connected or unknown: only the first frame can meet that
        return False
    return True

"""How messages travel between processes: the interface, and its ZeroMQ form. The in-memory form is `loopback.py`.

A message is a list of frames. Every process that others can reach has one listening socket (a ROUTER), and opens one
connection (a DEALER) to each address that it sends to; answers come back on that connection. One thread owns a
transport, and no call blocks, except `receive` for its timeout.

Messages can get lost: a message is queued only while the peer is connected, and is lost with the connection. Hence the
first `send` to an address mostly returns False, because the connection is only being opened: the sender tries again a
little later, and again while no answer comes. Nothing stale arrives: a message that was queued for a process that
died does not reach its successor.

Trust: `Incoming.role` follows from the sender's public key. `Incoming.sender` is what the sender calls itself, and
whoever is admitted can call itself anything, and then receives the answers meant for that name. So clients of a socket
that admits untrusted roles (the gateway's) leave their identity empty and get one that nobody can guess.
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
"""Frames of this size and more are sent without a copy."""
HANDSHAKE_MS = 2000
"""A peer that has not finished its handshake by then is disconnected."""
ZAP_DOMAIN = "umwelt"
ADDRESS_WITH_KEY = re.compile(r"(.+)#([0-9a-f]{64})", re.DOTALL)
"""An address that names the public key of its socket, where that is not the world's."""
_TCP = re.compile(r"tcp://(\[[^\]]+\]|[^\[\]:/#]+):(\d+|\*)")
_MAX_PORT = 65535
_MEMORY_CHECK_S = 0.02
_IDLE_MONITOR_S = 0.2
# struct tcp_info of Linux: offset and end of tcpi_bytes_received (bytes in order and acknowledged; since Linux 4.1)
_TCP_INFO, _BYTES_RECEIVED_OFFSET, _TCP_INFO_BYTES = getattr(socket, "TCP_INFO", -1), 128, 136


class Incoming(NamedTuple):
    """A message that arrived."""

    sender: bytes
    """At the listening socket: what the sender calls itself, to be answer with `send`. On an own connection: the
    address that it leads to."""
    role: str
    frames: list[bytes]
    on_own_connection: bool = False
    """Whether it is an answer on a connection that this transport opened. At the listening socket a sender can call
    itself like any address."""


class Transport(Protocol):
    """A process's connection to the others."""

    address: str
    """Where others reach this process; empty if it does not listen."""

    def send(self, to: str | bytes, frames: Sequence[Sendable]) -> bool:
        """Sends to an address (str), or answers a sender (bytes). Returns False if it could not be queued."""

    def receive(self, timeout_s: float) -> Incoming | None:
        """Returns the next message from anywhere; None after the timeout."""

    def forget(self, to: str) -> None:
        """Closes the connection to an address."""

    def close(self) -> None:
        """Closes everything; what was not sent yet is lost."""


@dataclass(frozen=True)
class Limits:
    """Bounds on what one transport accepts and holds."""

    message_bytes: int = 256 << 20
    """Larger messages are dropped; a peer that announces a larger frame is disconnected."""
    frames: int = 64
    """Messages of more frames are dropped."""
    queued: int = 1000
    """Messages that may wait to or from one peer; far more than the protocols have on their way."""
    held_bytes: int = 1 << 30
    """A peer is disconnected if it has sent more than this that was not received yet, unfinished messages included.
    Only on TCP."""
    in_turn: int = 16
    """Messages that are received from one socket before it is the next one's turn."""

    def __post_init__(self) -> None:
        assert self.held_bytes > self.message_bytes, "a whole message must fit in what is held"


class ZmqTransport:
    """A transport on ZeroMQ sockets, over TCP or, on one machine, IPC. Owned by one thread; a context manager.

    `bind` is where it listens: `tcp://127.0.0.1:0` (any free port), `tcp://0.0.0.0:7700`, `ipc://PATH`, or None. With
    `keys` all connections are encrypted (CURVE), and only roles in `admit` can connect. Without keys it listens on this
    machine alone, and every process on it is a keeper. `role` is the own role; with keys it is that of the keys. An
    empty `identity` is replaced by a random one.

    `dropped` counts, by reason, messages that were dropped and peers that were disconnected. Raises RunError if it
    cannot listen at `bind`.
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
        assert len(identity) <= 255 and not identity.startswith(b"\0"), "an identity is short and begins with no zero"
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
        self._listener: zmq.Socket | None = None
        self._memory_guard: _MemoryGuard | None = None
        self._authenticator: ThreadAuthenticator | None = None
        self._connections: dict[str, zmq.Socket] = {}
        self._peers: dict[zmq.Socket, tuple[bytes, str]] = {}
        """Address and role of the peer that a socket leads to; of the listening socket: empty, and the default role."""
        self._poller = zmq.Poller()
        self._ready: deque[zmq.Socket] = deque()
        self._left_in_turn = 0
        self._woken, self._waker = socket.socketpair()
        for end in (self._woken, self._waker):
            end.setblocking(False)
        self._poller.register(self._woken, zmq.POLLIN)
        try:
            if bind is not None:
                self._listen(bind)
        except BaseException:
            self.close()
            raise

    def send(self, to: str | bytes, frames: Sequence[Sendable]) -> bool:
        """Sends to an address, or answers a sender that came to the listening socket. Never blocks.

        Returns False if there is no connection at this moment (as on the first send to an address), if the peer's queue
        is full, if the sender is gone, or if the address is not valid. Frames may be changed after the call: only
        `bytes` of 100 kB and more are not copied.
        """
        copied = [frame if isinstance(frame, bytes) else bytes(frame) for frame in frames]
        assert 0 < len(copied) <= self.limits.frames, f"a message of {len(copied)} frames"
        assert sum(map(len, copied)) <= self.limits.message_bytes, "a message over the limit"
        if isinstance(to, bytes):
            return self._listener is not None and _send(self._listener, [to, *copied])
        connection = self._connections.get(to) or self._connect(to)
        return connection is not None and _send(connection, copied)

    def receive(self, timeout_s: float) -> Incoming | None:
        """Returns the next message from any socket; None after the timeout. The sockets take turns."""
        deadline_s = time.monotonic() + timeout_s
        incoming = self._receive_ready()
        while incoming is None:
            left_s = max(0.0, deadline_s - time.monotonic()) if timeout_s > 0 else 0.0
            # rounded up: zmq counts whole milliseconds, and the loop would spin through the last one
            events = self._poller.poll(math.ceil(left_s * 1000))
            if not events:
                return None
            self._ready.extend(ready for ready, _ in events if isinstance(ready, zmq.Socket))
            self._left_in_turn = self.limits.in_turn
            if len(self._ready) < len(events):  # the others are those of `wake`
                self._woken.recv(4096)
                if not self._ready:
                    return None
            incoming = self._receive_ready()
            if left_s == 0.0:  # a flood of messages that are all dropped must not prolong the call
                break
        return incoming

    def wake(self) -> None:
        """Makes `receive` return at once. Can be called from any thread."""
        with suppress(OSError):  # it was woken already, or is closed
            self._waker.send(b"!")

    def forget(self, to: str) -> None:
        """Closes the connection to an address; messages that wait on it, either way, are lost."""
        connection = self._connections.pop(to, None)
        if connection is not None:
            self._poller.unregister(connection)
            del self._peers[connection]
            if connection in self._ready:
                if self._ready[0] is connection:
                    self._left_in_turn = self.limits.in_turn
                self._ready.remove(connection)
            connection.close(linger=0)

    def close(self) -> None:
        """Closes all sockets; what was not sent yet is lost."""
        for address in list(self._connections):
            self.forget(address)
        self._ready.clear()
        if self._memory_guard is not None and self._listener is not None:
            self._memory_guard.stop(self._listener)
            self._memory_guard = None
        if self._listener is not None:
            if self._peers.pop(self._listener, None):
                self._poller.unregister(self._listener)
            self._listener.close(linger=0)
            self._listener = None
        if self._authenticator is not None:
            stop_authenticator(self._authenticator)
            self._authenticator = None
        self._woken.close()
        self._waker.close()
        self._context.destroy(linger=0)

    def __enter__(self) -> "ZmqTransport":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _receive_ready(self) -> Incoming | None:
        """Returns the next message of the sockets that had messages when they were polled last."""
        while self._ready:
            incoming = self._take(self._ready[0])
            if incoming is not None:
                return incoming
        return None

    def _take(self, source: zmq.Socket) -> Incoming | None:
        """Receives from the socket whose turn it is, and ends its turn after `in_turn` messages or when it is empty.

        Returns None if there is no message or it is dropped.
        """
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
        at_listener = source is self._listener
        sender, role = self._peers[source]
        frame = source.recv(zmq.NOBLOCK, copy=False)
        if at_listener:
            sender = frame.bytes
            frame = source.recv(zmq.NOBLOCK, copy=False) if frame.more else frame
        # a message over a limit is read to its end, because it is in memory already, and released frame by frame
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
        if at_listener:
            if self._memory_guard is not None:
                self._memory_guard.count_received(first.get(zmq.SRCFD), count, size)
            if self._keys is not None:
                role = self._role_of(first)
                wrong = wrong or ("" if role in self.admit else "not admitted")
        if wrong:
            self.dropped[wrong] += 1
            return None
        return Incoming(sender, role, frames, not at_listener)

    def _role_of(self, frame: zmq.Frame) -> str:
        assert self._keys is not None
        try:
            return self._keys.roles.get(str(frame.get("User-Id")).encode(), "")
        except zmq.ZMQError:  # it did not pass the authenticator
            return ""

    def _listen(self, bind: str) -> None:
        listener = self._listener = self._socket(zmq.ROUTER, bind)
        listener.set(zmq.ROUTER_MANDATORY, 1)
        # a peer that lost its connection can come back under its name before the old connection is known to be dead
        listener.set(zmq.ROUTER_HANDOVER, 1)
        if self._keys is not None:
            self._authenticator = start_authenticator(self._context, listener, self._keys, self.admit)
        if bind.startswith("tcp://") and _TCP_INFO != -1:
            self._memory_guard = _MemoryGuard(listener, self.limits.held_bytes, self.dropped)
        self.address = bind_socket(listener, bind, self._keys)
        self._register(listener, b"", KEEPER)

    def _connect(self, address: str) -> zmq.Socket | None:
        parts = ADDRESS_WITH_KEY.fullmatch(address)
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
            self.dropped["not an address"] += 1
            return None
        connection = self._socket(zmq.DEALER, endpoint)
        connection.set(zmq.ROUTING_ID, self.identity)
        if self._keys is not None:
            connection.curve_publickey, connection.curve_secretkey = self._keys.public, self._keys.secret
            connection.curve_serverkey = key
        try:
            connection.connect(endpoint)
        except zmq.ZMQError:
            connection.close(linger=0)
            self.dropped["not an address"] += 1
            return None
        self._connections[address] = connection
        self._register(connection, address.encode(), role)
        return connection

    def _socket(self, kind: int, endpoint: str) -> zmq.Socket:
        opened = self._context.socket(kind)
        # no ZMTP heartbeats: they disconnect a busy peer. The processes' own messages tell whether a peer is alive.
        for option, value in (
            (zmq.LINGER, 0),
            (zmq.IMMEDIATE, 1),
            (zmq.SNDHWM, self.limits.queued),
            (zmq.RCVHWM, self.limits.queued),
            (zmq.MAXMSGSIZE, self.limits.message_bytes),
            (zmq.HANDSHAKE_IVL, HANDSHAKE_MS),
            (zmq.RECONNECT_IVL, 50),
            (zmq.RECONNECT_IVL_MAX, 500),
            (zmq.TCP_KEEPALIVE, 1),
            (zmq.TCP_KEEPALIVE_IDLE, 10),
            (zmq.TCP_KEEPALIVE_INTVL, 5),
            (zmq.TCP_KEEPALIVE_CNT, 3),
            (zmq.IPV6, int("[" in endpoint)),
        ):
            opened.set(option, value)
        return opened

    def _register(self, opened: zmq.Socket, address: bytes, role: str) -> None:
        self._peers[opened] = address, role
        self._poller.register(opened, zmq.POLLIN)


# --- sockets, shared with the publisher of tiles (node/tile_publisher.py)


class RoleAuthenticator:
    """Admits the public keys of some roles. `callback` runs in the authenticator's thread and must not raise."""

    def __init__(self, keys: Keys, admit: frozenset[str]):
        self._admitted = frozenset(key for key, role in keys.roles.items() if role in admit)

    def callback(self, domain: str, key: bytes) -> bool:
        """Whether a key is admitted."""
        return key in self._admitted


def start_authenticator(
    context: zmq.Context, listener: zmq.Socket, keys: Keys, admit: frozenset[str]
) -> ThreadAuthenticator:
    """Encrypts a listening socket and admits only the public keys of some roles. Call it before the socket binds."""
    authenticator = ThreadAuthenticator(context)
    authenticator.start()
    authenticator.configure_curve_callback(ZAP_DOMAIN, RoleAuthenticator(keys, admit))
    listener.set(zmq.ZAP_DOMAIN, ZAP_DOMAIN.encode())
    listener.set(zmq.ZAP_ENFORCE_DOMAIN, 1)  # otherwise any key is admitted if the authenticator is ever gone
    listener.set(zmq.CURVE_SERVER, 1)
    listener.curve_publickey, listener.curve_secretkey = keys.server_pair
    return authenticator


def stop_authenticator(authenticator: ThreadAuthenticator) -> None:
    """Stops an authenticator, even one whose thread has died."""
    with suppress(zmq.ZMQError):
        if authenticator.pipe is not None:
            authenticator.pipe.set(zmq.SNDTIMEO, 1000)  # otherwise it waits for ever for a thread that has died
        authenticator.stop()


def bind_socket(listener: zmq.Socket, bind: str, keys: Keys | None) -> str:
    """Binds a listening socket; returns the address where others reach it. Raises RunError if it cannot bind."""
    try:
        listener.bind(re.sub(r":0$", ":*", bind) if bind.startswith("tcp://") else bind)
    except zmq.ZMQError as error:
        raise RunError(_describe_bind_error(bind, error)) from None
    address = _public_address(listener.get_string(zmq.LAST_ENDPOINT).rstrip("\0"))
    if keys is not None and keys.world_secret is None:
        # clients expect the world's key, and this process does not have it: the address names its own
        address += "#" + key_to_hex(keys.public)
    return address


class _MemoryGuard:
    """Disconnects peers that fill this process's memory. Runs a thread until `stop`; one for each listening socket.

    libzmq takes in the frames of a message until its last one, bounded neither by MAXMSGSIZE nor by the high-water
    mark, and shows none of them before. But the kernel counts the bytes that each connection brought; what was not
    received of them is held in memory. (A frame costs 64 bytes there however short it is. On an encrypted connection
    it is 42 bytes or more on the wire; only without keys, on this machine, can empty frames fill 32 times what is
    counted.)
    """

    _FRAME_BYTES = 64
    """Counted for what the wire adds to a frame. That is more than it adds, so that no error builds up over time."""

    def __init__(self, listener: zmq.Socket, held_bytes: int, dropped: Counter[str]):
        self._held_bytes = held_bytes
        self._dropped = dropped
        self._received: Counter[int] = Counter()
        """Bytes received from a connection, by its file descriptor."""
        self._credit: dict[int, int] = {}
        """By file descriptor. What a connection brought, less what was received and less this, is held in memory."""
        self._stopping = False
        self._monitor = listener.get_monitor_socket(
            zmq.EVENT_ACCEPTED | zmq.EVENT_DISCONNECTED | zmq.EVENT_MONITOR_STOPPED
        )
        self._thread = threading.Thread(target=self._run, name="umwelt-memory-guard", daemon=True)
        self._thread.start()

    def count_received(self, descriptor: int, frames: int, size: int) -> None:
        """Counts a message that was received from a connection."""
        self._received[descriptor] += size + frames * self._FRAME_BYTES + self._FRAME_BYTES

    def stop(self, listener: zmq.Socket) -> None:
        """Stops the thread. Call it before the listening socket closes."""
        self._stopping = True
        listener.disable_monitor()
        self._thread.join()

    def _run(self) -> None:
        due_s = 0.0
        try:
            while not self._stopping:
                # with nobody connected only connections have to be waited for
                if self._monitor.poll(int(1000 * (_MEMORY_CHECK_S if self._credit else _IDLE_MONITOR_S))):
                    event = recv_monitor_message(self._monitor)
                    if event["event"] == zmq.EVENT_ACCEPTED:
                        self._credit[event["value"]] = -self._received[event["value"]]
                    elif event["event"] == zmq.EVENT_DISCONNECTED:
                        self._credit.pop(event["value"], None)
                if time.monotonic() >= due_s:  # by the clock: events may come without a pause
                    for descriptor in list(self._credit):
                        self._check(descriptor)
                    due_s = time.monotonic() + _MEMORY_CHECK_S / 2
        except zmq.ZMQError:
            pass  # the context is being closed
        finally:
            self._monitor.close(linger=0)

    def _check(self, descriptor: int) -> None:
        """Disconnects a connection that holds too much memory."""
        try:
            connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, descriptor)
        except OSError:
            self._credit.pop(descriptor, None)
            return
        try:
            info = connection.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, _TCP_INFO_BYTES)
            if len(info) < _TCP_INFO_BYTES:
                return
            brought = struct.unpack_from("Q", info, _BYTES_RECEIVED_OFFSET)[0]
            held = brought - self._received[descriptor] - self._credit[descriptor]
            if held < 0:
                self._credit[descriptor] += held
            elif held > self._held_bytes:
                self._dropped["peer cut off"] += 1  # first: the peer must not see the end before it is counted
                connection.shutdown(socket.SHUT_RDWR)
                self._credit.pop(descriptor, None)
        except OSError:  # closed meanwhile
            self._credit.pop(descriptor, None)
        finally:
            connection.detach()  # the descriptor belongs to libzmq


# --- addresses


def check_address(address: str) -> None:
    """Raises RunError unless it is an address to connect to: `tcp://HOST:PORT` or `ipc://PATH`."""
    parts = ADDRESS_WITH_KEY.fullmatch(address)
    endpoint = parts[1] if parts else address
    tcp = _TCP.fullmatch(endpoint)
    valid_tcp = tcp is not None and tcp[2] != "*" and 0 < int(tcp[2]) <= _MAX_PORT
    if not valid_tcp and not re.fullmatch(r"ipc://[^\0]+", endpoint):
        raise RunError(f"{address}: is not an address: give tcp://HOST:PORT or ipc://PATH")


def check_bind_address(bind: str, keys: Keys | None) -> None:
    """Raises RunError unless a process may listen there: without keys, only where this machine alone can connect."""
    if bind.startswith("ipc://") and len(bind) > len("ipc://"):
        _check_path(bind)
        return
    tcp = _TCP.fullmatch(bind)
    if not tcp or (tcp[2] != "*" and int(tcp[2]) > _MAX_PORT):
        raise RunError(f"{bind}: is not an address to listen at: give tcp://HOST:PORT or ipc://PATH")
    if keys is None and not _is_this_machine(tcp[1].strip("[]")):
        raise RunError(
            f"{bind}: other machines could connect there without keys: make keys with: umwelt keys DIR, "
            "then add --keys DIR"
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
    with socket.socket(socket.AF_UNIX) as probe, suppress(OSError):
        probe.settimeout(1)
        probe.connect(path)
        raise RunError(f"{bind}: another process listens there: stop it, or choose another path")


def _is_this_machine(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _describe_bind_error(bind: str, error: zmq.ZMQError) -> str:
    reasons = {
        errno.EADDRINUSE: "another process listens there: stop it, or choose another port",
        errno.EADDRNOTAVAIL: "this machine has no such address: choose one it has, or 0.0.0.0 for all",
        errno.ENODEV: "this machine has no such address: choose one it has, or 0.0.0.0 for all",
        errno.EACCES: "permission denied: choose another port or path",
        errno.ENOENT: "there is no such folder: make it, or choose another path",
    }
    return f"{bind}: {reasons.get(error.errno or 0, f'cannot listen there: {error.strerror}: choose another address')}"


def _public_address(endpoint: str) -> str:
    """Returns the address that other machines use: of a socket on all interfaces, that of the outward one."""
    for everywhere in ("tcp://0.0.0.0:", "tcp://[::]:"):
        if endpoint.startswith(everywhere):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
                try:
                    probe.connect(("192.0.2.1", 9))  # sends nothing: it only looks up the route (RFC 5737)
                    host = probe.getsockname()[0]
                except OSError:
                    host = socket.gethostname()
            return f"tcp://{host}:{endpoint.removeprefix(everywhere)}"
    return endpoint


def _send(to: zmq.Socket, frames: Sequence[bytes]) -> bool:
    last = len(frames) - 1
    try:
        for index, frame in enumerate(frames):
            flags = zmq.NOBLOCK if index == last else zmq.NOBLOCK | zmq.SNDMORE
            to.send(frame, flags, copy=len(frame) < ZERO_COPY_BYTES)
    except zmq.ZMQError:  # full, not connected or unknown: only the first frame can meet that
        return False
    return True

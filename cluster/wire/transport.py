"""Transmission of messages between processes: the interface `Transport`, and its implementation by ZeroMQ.

An in-memory implementation for tests is in `loopback.py`.

A message is a list of frames. Every process that other processes can connect to has one listening socket (a ROUTER).
To send to an address, a process opens one connection (a DEALER) to it; answers arrive on that connection. A transport
is used by one thread, and no call blocks, except `receive` for its timeout.

Messages can be lost: a message is queued only while the peer is connected, and is lost with the connection. The first
`send` to an address usually returns False, because the connection is not open yet: the caller retries a little later,
and repeats a request until it is answered. A message that was queued for a process that died does not reach its
successor.

Security: `Incoming.role` is derived from the sender's public key and can be trusted. `Incoming.sender` is chosen by the
sender: any admitted peer can use any identity, and then receives the answers to that identity. Therefore clients of a
socket that admits untrusted roles (the gateway's) use an empty identity, which is replaced by an unguessable one.
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
"""Minimum size of frames that are sent without a copy."""
HANDSHAKE_MS = 2000
"""Time in milliseconds after which a peer that has not finished its handshake is disconnected."""
ZAP_DOMAIN = "umwelt"
ADDRESS_WITH_KEY = re.compile(r"(.+)#([0-9a-f]{64})", re.DOTALL)
"""Pattern of an address that contains the public key of its socket, because that is not the world's public key."""
_TCP = re.compile(r"tcp://(\[[^\]]+\]|[^\[\]:/#]+):(\d+|\*)")
_MAX_PORT = 65535
_MEMORY_CHECK_S = 0.02
_IDLE_MONITOR_S = 0.2
# struct tcp_info of Linux: offset and end of tcpi_bytes_received (bytes in order and acknowledged; since Linux 4.1)
_TCP_INFO, _BYTES_RECEIVED_OFFSET, _TCP_INFO_BYTES = getattr(socket, "TCP_INFO", -1), 128, 136


class Incoming(NamedTuple):
    """A received message."""

    sender: bytes
    """Identity that the sender has chosen, to which `send` can send an answer.

    If `on_own_connection` is true, the address of the connection instead.
    """
    role: str
    frames: list[bytes]
    on_own_connection: bool = False
    """Whether the message is an answer on a connection that this transport opened.

    If false, the message arrived at the listening socket, and `sender` can equal any address without being that peer.
    """


class Transport(Protocol):
    """The interface through which a process exchanges messages with other processes."""

    address: str
    """Address at which other processes can connect to this one; empty if it does not listen."""

    def send(self, to: str | bytes, frames: Sequence[Sendable]) -> bool:
        """Sends to an address (str), or answers a sender (bytes). Returns False if the message could not be queued."""

    def receive(self, timeout_s: float) -> Incoming | None:
        """Returns the next message from any peer; None if none arrives within `timeout_s` seconds."""

    def forget(self, to: str) -> None:
        """Closes the connection to an address."""

    def close(self) -> None:
        """Closes all connections; messages that were not sent yet are lost."""


@dataclass(frozen=True)
class Limits:
    """Limits of one transport on messages and memory."""

    message_bytes: int = 256 << 20
    """Maximum size of a message. Larger messages are dropped; a peer that sends a larger frame is disconnected."""
    frames: int = 64
    """Maximum number of frames in a message; messages with more frames are dropped."""
    queued: int = 1000
    """Maximum number of messages queued to or from one peer; far more than the protocols have in transit."""
    held_bytes: int = 1 << 30
    """Maximum memory for data of one peer that `receive` has not returned yet, incomplete messages included.

    A peer that exceeds it is disconnected. Effective on TCP only.
    """
    in_turn: int = 16
    """Maximum number of messages received from one socket before the next socket is read."""

    def __post_init__(self) -> None:
        assert self.held_bytes > self.message_bytes, "a whole message must fit in what is held"


class ZmqTransport:
    """A transport on ZeroMQ sockets, over TCP, or IPC on one machine. Used by one thread; a context manager.

    `bind` is the address to listen at: `tcp://127.0.0.1:0` (any free port), `tcp://0.0.0.0:7700`, `ipc://PATH`, or None
    for a transport that does not listen. With `keys`, all connections are encrypted (CURVE), and only peers with roles
    in `admit` can connect. Without keys, only processes on this machine can connect, and all of them have the role
    keeper. `role` is the role of this process; with `keys` the role of the keys is used. An empty `identity` is
    replaced by a random one.

    `dropped` counts, by reason, dropped messages and disconnected peers. The constructor raises RunError if it cannot
    listen at `bind`.
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
        self._context = open_context()
        self._listener: zmq.Socket | None = None
        self._memory_guard: _MemoryGuard | None = None
        self._authenticator: ThreadAuthenticator | None = None
        self._connections: dict[str, zmq.Socket] = {}
        self._peers: dict[zmq.Socket, tuple[bytes, str]] = {}
        """For each socket, address and role of its peer; for the listening socket, an empty address and keeper."""
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
        """Sends to an address (str), or answers a sender whose message arrived at the listening socket (bytes).

        Never blocks. Returns False if the connection is not open (as on the first send to an address), the peer's queue
        is full, the sender has disconnected, or the address is not valid. Mutable frames are copied, so they can be
        changed after the call.
        """
        copied = [frame if isinstance(frame, bytes) else bytes(frame) for frame in frames]
        assert 0 < len(copied) <= self.limits.frames, f"a message of {len(copied)} frames"
        assert sum(map(len, copied)) <= self.limits.message_bytes, "a message over the limit"
        if isinstance(to, bytes):
            return self._listener is not None and _send(self._listener, [to, *copied])
        connection = self._connections.get(to) or self._connect(to)
        return connection is not None and _send(connection, copied)

    def receive(self, timeout_s: float) -> Incoming | None:
        """Returns the next message from any socket; None if none arrives within `timeout_s` seconds.

        Can return None earlier, after a call of `wake`. Sockets are read in turns, so that no peer can block others.
        """
        deadline_s = time.monotonic() + timeout_s
        incoming = self._receive_ready()
        while incoming is None:
            left_s = max(0.0, deadline_s - time.monotonic()) if timeout_s > 0 else 0.0
            # rounded up: zmq takes whole milliseconds, and the loop would spin during the last millisecond
            events = self._poller.poll(math.ceil(left_s * 1000))
            if not events:
                return None
            self._ready.extend(ready for ready, _ in events if isinstance(ready, zmq.Socket))
            self._left_in_turn = self.limits.in_turn
            if len(self._ready) < len(events):  # the remaining event is that of `wake`
                self._woken.recv(4096)
                if not self._ready:
                    return None
            incoming = self._receive_ready()
            if left_s == 0.0:  # a flood of messages that are all dropped must not prolong the call
                break
        return incoming

    def wake(self) -> None:
        """Makes a waiting or the next `receive` return immediately. Can be called from any thread."""
        with suppress(OSError):  # `wake` was called before, or the transport is closed
            self._waker.send(b"!")

    def forget(self, to: str) -> None:
        """Closes the connection to an address; messages queued on it in either direction are lost."""
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
        """Closes all sockets; messages that were not sent yet are lost."""
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
        close_context(self._context)

    def __enter__(self) -> "ZmqTransport":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _receive_ready(self) -> Incoming | None:
        """Returns the next message of the sockets that had messages at the last poll; None if there is none left."""
        while self._ready:
            incoming = self._take(self._ready[0])
            if incoming is not None:
                return incoming
        return None

    def _take(self, source: zmq.Socket) -> Incoming | None:
        """Receives a message from `source`, the first socket of the queue.

        Removes the socket from the queue after `in_turn` messages, or if it has no more messages. Returns None if there
        is no message or it is dropped.
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
        """Reads a message from a socket; returns None if it exceeds a limit or its sender is not admitted."""
        at_listener = source is self._listener
        sender, role = self._peers[source]
        frame = source.recv(zmq.NOBLOCK, copy=False)
        if at_listener:
            sender = frame.bytes
            frame = source.recv(zmq.NOBLOCK, copy=False) if frame.more else frame
        # a message that exceeds a limit is read to its end, because it is in memory already, and released by frames
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
        """Returns the role of the public key with which a frame was sent; empty if it is unknown."""
        assert self._keys is not None
        try:
            return self._keys.roles.get(str(frame.get("User-Id")).encode(), "")
        except zmq.ZMQError:  # the peer was not authenticated
            return ""

    def _listen(self, bind: str) -> None:
        """Opens the listening socket and sets `address`."""
        listener = self._listener = self._socket(zmq.ROUTER, bind)
        listener.set(zmq.ROUTER_MANDATORY, 1)
        # a peer can reconnect with the same identity before the loss of its old connection is detected
        listener.set(zmq.ROUTER_HANDOVER, 1)
        if self._keys is not None:
            self._authenticator = start_authenticator(self._context, listener, self._keys, self.admit)
        if bind.startswith("tcp://") and _TCP_INFO != -1:
            self._memory_guard = _MemoryGuard(listener, self.limits.held_bytes, self.dropped)
        self.address = bind_socket(listener, bind, self._keys)
        self._register(listener, b"", KEEPER)

    def _connect(self, address: str) -> zmq.Socket | None:
        """Opens a connection to an address; returns None if the address is not valid or its key is unknown."""
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
        """Creates a socket with the options of this transport; does not connect or bind it."""
        opened = self._context.socket(kind)
        # no ZMTP heartbeats: they disconnect a busy peer. The protocols have their own messages to detect dead peers.
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
        """Adds a socket to those that `receive` reads, with address and role of its peer."""
        self._peers[opened] = address, role
        self._poller.register(opened, zmq.POLLIN)


# --- contexts and sockets, shared with the publisher and the relay of tiles

_open_contexts: set[zmq.Context] = set()
"""All contexts that `open_context` has returned and `close_context` has not closed.

This reference keeps them from the garbage collector: it would end a context before the sockets that became garbage with
it are closed, and ending a context waits for its sockets, here forever.
"""


def open_context() -> zmq.Context:
    """Returns a new context; the caller passes it to `close_context`."""
    context = zmq.Context()
    _open_contexts.add(context)
    return context


def close_context(context: zmq.Context) -> None:
    """Closes a context of `open_context` with its sockets; messages that were not sent yet are lost."""
    _open_contexts.discard(context)
    context.destroy(linger=0)


class RoleAuthenticator:
    """Admits the public keys of the roles in `admit`. `callback` is called by the authenticator's thread."""

    def __init__(self, keys: Keys, admit: frozenset[str]):
        self._admitted = frozenset(key for key, role in keys.roles.items() if role in admit)

    def callback(self, domain: str, key: bytes) -> bool:
        """Returns whether a public key is admitted."""
        return key in self._admitted


def start_authenticator(
    context: zmq.Context, listener: zmq.Socket, keys: Keys, admit: frozenset[str]
) -> ThreadAuthenticator:
    """Configures a listening socket to use encryption and to admit only public keys of the roles in `admit`.

    Returns the started authenticator. Must be called before the socket is bound.
    """
    authenticator = ThreadAuthenticator(context)
    authenticator.start()
    authenticator.configure_curve_callback(ZAP_DOMAIN, RoleAuthenticator(keys, admit))
    listener.set(zmq.ZAP_DOMAIN, ZAP_DOMAIN.encode())
    listener.set(zmq.ZAP_ENFORCE_DOMAIN, 1)  # otherwise any key is admitted if the authenticator has ended
    listener.set(zmq.CURVE_SERVER, 1)
    listener.curve_publickey, listener.curve_secretkey = keys.server_pair
    return authenticator


def stop_authenticator(authenticator: ThreadAuthenticator) -> None:
    """Stops an authenticator; also works if its thread has died."""
    with suppress(zmq.ZMQError):
        if authenticator.pipe is not None:
            authenticator.pipe.set(zmq.SNDTIMEO, 1000)  # otherwise `stop` waits forever for a thread that has died
        authenticator.stop()


def bind_socket(listener: zmq.Socket, bind: str, keys: Keys | None) -> str:
    """Binds a listening socket; returns the address at which other processes can connect to it.

    Raises RunError if the socket cannot be bound.
    """
    try:
        listener.bind(re.sub(r":0$", ":*", bind) if bind.startswith("tcp://") else bind)
    except zmq.ZMQError as error:
        raise RunError(_describe_bind_error(bind, error)) from None
    address = _public_address(listener.get_string(zmq.LAST_ENDPOINT).rstrip("\0"))
    if keys is not None and keys.world_secret is None:
        # clients expect the world's key, which this process does not have: the address contains the key to expect
        address += "#" + key_to_hex(keys.public)
    return address


class _MemoryGuard:
    """Disconnects peers that fill this process's memory. Runs a thread until `stop`, one for each listening socket.

    libzmq stores the frames of a message until the last frame has arrived, and returns none of them before; neither
    MAXMSGSIZE nor the high-water mark bounds their total size. The guard compares the number of bytes that the kernel
    has received on each connection with the size of the messages that were returned: the difference is held in memory.
    (In memory a frame takes at least 64 bytes. An encrypted frame has at least 42 bytes on the wire; only without keys,
    on this machine, can empty frames take 32 times the memory that is counted.)
    """

    _FRAME_BYTES = 64
    """Bytes counted per frame for its overhead on the wire.

    This is more than the real overhead, so that the computed memory does not grow over time by errors.
    """

    def __init__(self, listener: zmq.Socket, held_bytes: int, dropped: Counter[str]):
        self._held_bytes = held_bytes
        self._dropped = dropped
        self._received: Counter[int] = Counter()
        """Size of the messages that were returned, by file descriptor of the connection."""
        self._credit: dict[int, int] = {}
        """Correction by file descriptor: the memory held is the kernel's count minus `_received` minus this value."""
        self._stopping = False
        self._monitor = listener.get_monitor_socket(
            zmq.EVENT_ACCEPTED | zmq.EVENT_DISCONNECTED | zmq.EVENT_MONITOR_STOPPED
        )
        self._thread = threading.Thread(target=self._run, name="umwelt-memory-guard", daemon=True)
        self._thread.start()

    def count_received(self, descriptor: int, frames: int, size: int) -> None:
        """Counts a message of `size` bytes that was read from the connection with this file descriptor."""
        self._received[descriptor] += size + frames * self._FRAME_BYTES + self._FRAME_BYTES

    def stop(self, listener: zmq.Socket) -> None:
        """Stops the thread. Must be called before the listening socket is closed."""
        self._stopping = True
        listener.disable_monitor()
        self._thread.join()

    def _run(self) -> None:
        """Tracks connections and checks their memory regularly; runs in the guard's thread."""
        due_s = 0.0
        try:
            while not self._stopping:
                # without connections, only new connections must be waited for
                if self._monitor.poll(int(1000 * (_MEMORY_CHECK_S if self._credit else _IDLE_MONITOR_S))):
                    event = recv_monitor_message(self._monitor)
                    if event["event"] == zmq.EVENT_ACCEPTED:
                        self._credit[event["value"]] = -self._received[event["value"]]
                    elif event["event"] == zmq.EVENT_DISCONNECTED:
                        self._credit.pop(event["value"], None)
                if time.monotonic() >= due_s:  # not only after a timeout, because events can arrive continuously
                    for descriptor in list(self._credit):
                        self._check(descriptor)
                    due_s = time.monotonic() + _MEMORY_CHECK_S / 2
        except zmq.ZMQError:
            pass  # the context is being closed
        finally:
            self._monitor.close(linger=0)

    def _check(self, descriptor: int) -> None:
        """Disconnects the peer of a connection if more than `held_bytes` of its data are held in memory."""
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
                self._dropped["peer cut off"] += 1  # before the shutdown, so that it is counted when the peer notices
                connection.shutdown(socket.SHUT_RDWR)
                self._credit.pop(descriptor, None)
        except OSError:  # closed meanwhile
            self._credit.pop(descriptor, None)
        finally:
            connection.detach()  # the descriptor belongs to libzmq


# --- addresses


def check_address(address: str) -> None:
    """Raises RunError unless `address` is an address to connect to: `tcp://HOST:PORT` or `ipc://PATH`."""
    parts = ADDRESS_WITH_KEY.fullmatch(address)
    endpoint = parts[1] if parts else address
    tcp = _TCP.fullmatch(endpoint)
    valid_tcp = tcp is not None and tcp[2] != "*" and 0 < int(tcp[2]) <= _MAX_PORT
    if not valid_tcp and not re.fullmatch(r"ipc://[^\0]+", endpoint):
        raise RunError(f"{address}: is not an address: give tcp://HOST:PORT or ipc://PATH")


def check_bind_address(bind: str, keys: Keys | None) -> None:
    """Raises RunError unless `bind` is an address at which a process may listen.

    Without keys, only addresses are permitted to which no other machine can connect.
    """
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
    """Raises RunError if the path of an IPC address is too long, or is a file or a socket in use."""
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
    # libzmq deletes an existing file of that name before it binds
    if not stat.S_ISSOCK(mode):
        raise RunError(f"{bind}: there is a file of that name: choose another path")
    with socket.socket(socket.AF_UNIX) as probe, suppress(OSError):
        probe.settimeout(1)
        probe.connect(path)
        raise RunError(f"{bind}: another process listens there: stop it, or choose another path")


def _is_this_machine(host: str) -> bool:
    """Returns whether `host` is a loopback address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _describe_bind_error(bind: str, error: zmq.ZMQError) -> str:
    """Returns the error message, with the solution, for a failure to listen at `bind`."""
    reasons = {
        errno.EADDRINUSE: "another process listens there: stop it, or choose another port",
        errno.EADDRNOTAVAIL: "this machine has no such address: choose one it has, or 0.0.0.0 for all",
        errno.ENODEV: "this machine has no such address: choose one it has, or 0.0.0.0 for all",
        errno.EACCES: "permission denied: choose another port or path",
        errno.ENOENT: "there is no such folder: make it, or choose another path",
    }
    return f"{bind}: {reasons.get(error.errno or 0, f'cannot listen there: {error.strerror}: choose another address')}"


def _public_address(endpoint: str) -> str:
    """Returns the address at which other machines can connect to a bound endpoint.

    For an endpoint on all interfaces, that is the address of the interface of the default route; otherwise `endpoint`.
    """
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
    """Sends the frames of one message without blocking; returns False if the message could not be queued."""
    last = len(frames) - 1
    try:
        for index, frame in enumerate(frames):
            flags = zmq.NOBLOCK if index == last else zmq.NOBLOCK | zmq.SNDMORE
            to.send(frame, flags, copy=len(frame) < ZERO_COPY_BYTES)
    except zmq.ZMQError:  # queue full, not connected or unknown identity: occurs for the first frame only
        return False
    return True

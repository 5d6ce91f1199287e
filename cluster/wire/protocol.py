"""Every message of the cluster, typed. Nothing is ever unpickled.

A message travels as frames: its header (a checksum over all of it, then msgpack of one of the structs below, named by
its tag), then raw bytes where the struct says so. What numbers and names can be is said by their types. Who meets
another version of this page refuses it at the first word (`Hello.protocol`).

    node <-> directory      Hello Welcome Join Refused | Assign Grant | Beat Note | Leave Fenced Stop | Ask Chunk
    node <-> node           Strip Want | Ping Pong
    gateway <-> directory   Attend Report | Submit Order Settled
    gateway <-> node        Look Sight Halt (see answering.py)
"""

import hashlib
import inspect
import sys
import zlib
from collections.abc import Sequence
from typing import Annotated, Any, Union

import msgspec
import numpy as np
from msgspec import Meta

MAX_HEADER_BYTES = 16 << 20
SUMMED_BYTES = 1 << 16
CHECKSUM_BYTES = 4

Tick = Annotated[int, Meta(ge=-1, lt=1 << 29)]
"""Identities hold no later ones."""
Number = Annotated[int, Meta(ge=0, lt=1 << 40)]
Count = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]
Seconds = Annotated[float, Meta(ge=0, le=1e9)]
Name = Annotated[str, Meta(max_length=4096)]
Line = Annotated[str, Meta(max_length=65536)]
Files = Annotated[list[tuple[Name, Count]], Meta(max_length=100_000)]


class Message(msgspec.Struct, tag=True, array_like=True, frozen=True, forbid_unknown_fields=True):
    """What all messages are."""


# --- coming in


class Hello(Message, frozen=True):
    """A node that wants to help; `key` is its own for as long as it stays."""

    key: Name
    protocol: Name


class Welcome(Message, frozen=True):
    """What a node has to know before it can join; `token` lies in `folder` for those who see the run's folder."""

    world_text: str
    world_name: Name
    folder: Name
    token: Name
    url: Name = ""
    checked: bool = False


class Join(Message, frozen=True):
    """A node that has compiled the world and stands ready. `seals` are hashes of what has to be the same everywhere."""

    key: Name
    address: Name
    tiles_address: Name
    host: Name
    pid: Number
    cores: Number
    shares_folder: bool
    seals: Annotated[dict[Name, Name], Meta(max_length=64)]
    reached: Tick = 0
    name: Name = ""


class Refused(Message, frozen=True):
    """The coordinator does not admit the node: `line` tells why, `code` is that of the error (sandbox/errors.py)."""

    line: Line
    code: Name = "run"


# --- who holds what, and until when


class Member(msgspec.Struct, array_like=True, frozen=True):
    """A node in a map."""

    key: Name
    name: Name
    address: Name
    tiles_address: Name
    rectangle: tuple[int, int, int, int]


class Assignment(Message, frozen=True):
    """A new map. Each member loads its rectangle from a snapshot and goes on from there.

    `pass_key` is known to the members alone, and stands in every message between them.
    """

    epoch: Number
    pass_key: bytes
    tick: Tick
    snapshot: Name
    members: list[Member]
    which: int
    ticks_per_exchange: int
    threads: int
    record_every_ticks: int


class ScheduledCommand(msgspec.Struct, array_like=True, frozen=True):
    """A journalled command: `content` is a command of the world's (agents/commands) as JSON."""

    tick: Tick
    number: Number
    content: bytes


class SnapshotRequest(msgspec.Struct, array_like=True, frozen=True):
    """A snapshot to be taken when a tick is reached, before the commands of that tick."""

    tick: Tick
    kept: bool


class Grant(Message, frozen=True):
    """Run until tick `through`; between the node's last reported tick and there, these are all the commands."""

    epoch: Number
    through: Tick
    commands: list[ScheduledCommand]
    snapshots: list[SnapshotRequest]
    acknowledged: Number


# --- what nodes tell


class Heartbeat(Message, frozen=True):
    """I live, and this is where I am. Sent from within the simulation, between laws too."""

    key: Name
    epoch: Number
    tick: Tick
    entities: Count = 0
    tick_s: Seconds = 0.0
    waiting_share: Seconds = 0.0
    resident_bytes: Count = 0
    round_trip_s: Seconds = 0.0
    longest_s: Seconds = 0.0
    """The longest time that passed without a beat."""


class Ready(msgspec.Struct, tag=True, array_like=True, frozen=True):
    """The rectangle is loaded."""

    tick: Tick


class TickRecord(msgspec.Struct, tag=True, array_like=True, frozen=True):
    """A node's part of the digest and metrics of a tick; births and deaths since the epoch began.

    Raw frame: the births since the last record (`pack_births`), empty where births are not kept.
    """

    tick: Tick
    digest: int
    controls_digest: int
    births: Count
    deaths: Count
    populations: dict[Name, dict[Name, Count]]
    substances: dict[Name, Count]


class SnapshotPart(msgspec.Struct, tag=True, array_like=True, frozen=True):
    """A part of a snapshot was written: its entry in the manifest; `files` must be fetched if the host is another.

    Or it could not be written: then `line` says why, and there is none.
    """

    tick: Tick
    kept: bool
    part: dict[str, Any]
    controls: dict[str, Any]
    cost_s: Seconds
    files: Files = []
    line: Line = ""


class Failure(msgspec.Struct, tag=True, array_like=True, frozen=True):
    """The world cannot go on here, and why; `fatal` where it could nowhere."""

    line: Line
    fatal: bool


class NumberedReport(Message, frozen=True):
    """Something that must not be lost: sent again until a grant acknowledges its number; numbers begin at 1."""

    key: Name
    epoch: Number
    number: Number
    content: Ready | TickRecord | SnapshotPart | Failure


class LeaveRequest(Message, frozen=True):
    """I should like to go; I stay until you let me."""

    key: Name


class Fenced(Message, frozen=True):
    """The node of this key is not, or no longer, one of us. It may join as a new one."""

    key: Name


class Stop(Message, frozen=True):
    """The world was saved and rests: end."""

    line: Line = ""


# --- files of snapshots, between hosts that share no folder


class FileRequest(Message, frozen=True):
    """Send me a piece of a file of a snapshot; an empty name asks for the list of files."""

    snapshot: Name
    name: Name
    offset: Count


class FileChunk(Message, frozen=True):
    """A piece of a file (raw frame), or the list of files."""

    snapshot: Name
    name: Name
    offset: Count
    files: Files = []


# --- between neighbours


class HaloMessage(Message, frozen=True):
    """The edges of `source` that the taker's window shows, at a tick (raw: sizes and contents, see portion.py).

    Another taker's may have the same size: which one it is for stands in it.
    """

    epoch: Number
    pass_key: bytes
    tick: Tick
    source: Number
    taker: Number


class HaloRequest(Message, frozen=True):
    """Your strip of this tick has not come; `source` is who asks."""

    epoch: Number
    pass_key: bytes
    tick: Tick
    source: Number


class Ping(Message, frozen=True):
    """How long does it take to you and back?"""

    epoch: Number
    pass_key: bytes
    source: Number
    sent_s: Seconds


class Pong(Message, frozen=True):
    """So long."""

    epoch: Number
    pass_key: bytes
    source: Number
    sent_s: Seconds


# --- people


class StatusSubscription(Message, frozen=True):
    """A gateway that wants reports."""

    key: Name


class StatusReport(Message, frozen=True):
    """Where the world is: JSON for people (`status`), and the present map's members."""

    status: bytes
    epoch: Number
    pass_key: bytes
    members: list[Member]


class SubmitCommands(Message, frozen=True):
    """A command on the world. The same ticket is journalled once, however often it comes."""

    ticket: Name
    commands: list[bytes]
    tick: Tick = -1


class Order(Message, frozen=True):
    """A command on time or on nodes: pause, go, step (value: ticks), speed (ticks a second, 0 as fast as it goes),
    save, leave (name), stop."""

    ticket: Name
    what: Name
    value: Annotated[float, Meta(ge=-1e9, le=1e9)] = 0.0
    name: Name = ""


class TicketResult(Message, frozen=True):
    """The outcome of a ticket: the tick at which it takes effect, or -1 with the reason.

    `line` is one line for people and `code` the error's code (sandbox/errors.py), both empty where it succeeded.
    """

    ticket: Name
    tick: Tick
    number: Number
    line: Line = ""
    code: Name = ""


class QueryRequest(Message, frozen=True):
    """A question to a node (JSON, see questions.py), which answers between two ticks, or at `tick` if one is named.

    With a task's name the node does that task with the packed arguments: on its answers to the questions (a JSON list)
    where there are any. The same ticket is done once.
    """

    epoch: Number
    pass_key: bytes
    ticket: Name
    question: bytes
    tick: Tick = -1
    task: Name = ""
    arguments: bytes = b""
    within_s: Seconds = 0.0


class QueryAnswer(Message, frozen=True):
    """The answer: JSON and raw frames; of a task, a raw frame with what came out.

    In place of an answer there may be `line`, why there is none, with its error's `code` (sandbox/errors.py), and with
    `again` where another node may have one; or `passed`, where the tick that was named is over; or `waits`, where it
    has not come yet.
    """

    ticket: Name
    epoch: Number
    source: Number
    tick: Tick
    answer: bytes


class CancelTasks(Message, frozen=True):
    """Nobody waits for these tasks any more."""

    epoch: Number
    pass_key: bytes
    tickets: Annotated[list[Name], Meta(max_length=1000)]


MESSAGES = tuple(
    kind
    for _, kind in inspect.getmembers(sys.modules[__name__], inspect.isclass)
    if issubclass(kind, Message) and kind is not Message
)
PROTOCOL_VERSION = hashlib.blake2b(inspect.getsource(sys.modules[__name__]).encode(), digest_size=8).hexdigest()
"""Stands for this whole page."""

_encoder = msgspec.msgpack.Encoder()
_decoder: Any = msgspec.msgpack.Decoder(Union[MESSAGES])  # noqa: UP007 (made of a tuple)


def encode(message: Message, raw: Sequence[Any] = ()) -> list[Any]:
    """The frames of a message."""
    header = _encoder.encode(message)
    return [_checksum(header, raw) + header, *raw]


def _checksum(header: Any, raw: Sequence[Any]) -> bytes:
    """Tells a message from one in which something was changed on the way, lengths of frames included.

    Of large frames the sum of their words counts, which is ten times as fast.
    """
    found = zlib.crc32(header)
    for frame in raw:
        found = zlib.crc32(len(frame).to_bytes(8, "little"), found)
        if len(frame) >= SUMMED_BYTES:
            words = np.frombuffer(frame, np.uint64, len(frame) // 8)
            found = zlib.crc32(int(words.sum(dtype=np.uint64)).to_bytes(8, "little"), found)
            frame = memoryview(frame)[len(frame) // 8 * 8 :]
        found = zlib.crc32(frame, found)
    return found.to_bytes(CHECKSUM_BYTES, "little")


def decode(frames: Sequence[Any]) -> tuple[Message, list[Any]]:
    """A message and its raw frames; `ValueError` for anything else."""
    if not frames or len(frames[0]) > MAX_HEADER_BYTES:
        raise ValueError("no header")
    header, raw = frames[0][CHECKSUM_BYTES:], list(frames[1:])
    if _checksum(header, raw) != frames[0][:CHECKSUM_BYTES]:
        raise ValueError("changed on the way")
    try:
        return _decoder.decode(header), raw
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise ValueError(str(error)) from None

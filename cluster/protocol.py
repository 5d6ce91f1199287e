"""Every message of the cluster, typed. Nothing is ever unpickled.

A message travels as frames: its header (msgpack of one of the structs below, named by its tag), then raw bytes where the
struct says so. Who meets another version of this page refuses it at the first word (`Hello.protocol`).

    node <-> directory      Hello Welcome Join Refused | Assign Grant | Beat Note | Leave Fenced Stop | Ask Chunk
    node <-> node           Strip Want | Ping Pong
    gateway <-> directory   Attend Report | Submit Order Settled
    gateway <-> node        Look Sight (see publisher.py)
"""

import hashlib
import inspect
import sys
from collections.abc import Sequence
from typing import Any, Union

import msgspec

MOST_HEADER_BYTES = 16 << 20


class Message(msgspec.Struct, tag=True, array_like=True, frozen=True, forbid_unknown_fields=True):
    """What all messages are."""


# --- coming in


class Hello(Message):
    """A node that wants to help; `key` is its own for as long as it stays."""

    key: str
    protocol: str


class Welcome(Message):
    """What a node has to know before it can join; `token` lies in `folder` for those who see the run's folder."""

    world_text: str
    world_name: str
    folder: str
    token: str
    url: str = ""
    checked: bool = False


class Join(Message):
    """A node that has compiled the world and stands ready. `seals` are hashes of what has to be the same everywhere."""

    key: str
    address: str
    tiles_address: str
    host: str
    pid: int
    cores: int
    shares_folder: bool
    seals: dict[str, str]
    reached: int = 0
    name: str = ""


class Refused(Message):
    """No, and why."""

    line: str


# --- who holds what, and until when


class Member(msgspec.Struct, array_like=True, frozen=True):
    """A node in a map."""

    key: str
    name: str
    address: str
    tiles_address: str
    rectangle: tuple[int, int, int, int]


class Assign(Message):
    """A new map. Each member loads its rectangle from a snapshot and goes on from there.

    `pass_key` is known to the members alone, and stands in every message between them.
    """

    epoch: int
    pass_key: bytes
    tick: int
    snapshot: str
    members: list[Member]
    which: int
    ticks_per_exchange: int
    threads: int
    record_every_ticks: int


class Deed(msgspec.Struct, array_like=True, frozen=True):
    """A journalled command: `content` is a deed of the world's (agents/deeds.py) as JSON."""

    tick: int
    number: int
    content: bytes


class Snapshot(msgspec.Struct, array_like=True, frozen=True):
    """A snapshot to be taken when a tick is reached, before the deeds of that tick."""

    tick: int
    kept: bool


class Grant(Message):
    """Run until tick `through`; between the node's last reported tick and there, these are all the deeds."""

    epoch: int
    through: int
    deeds: list[Deed]
    snapshots: list[Snapshot]
    acknowledged: int


# --- what nodes tell


class Beat(Message):
    """I live, and this is where I am. Sent from within the simulation, between laws too."""

    key: str
    epoch: int
    tick: int
    entities: int = 0
    tick_s: float = 0.0
    waiting_share: float = 0.0
    resident_bytes: int = 0
    round_trip_s: float = 0.0
    longest_s: float = 0.0
    """The longest time that passed without a beat."""


class Ready(msgspec.Struct, tag=True, array_like=True, frozen=True):
    """The rectangle is loaded."""

    tick: int


class Recorded(msgspec.Struct, tag=True, array_like=True, frozen=True):
    """A node's part of the digest and metrics of a tick; births and deaths since the epoch began.

    Raw frame: the births since the last record (`pack_births`), empty where births are not kept.
    """

    tick: int
    digest: int
    controls_digest: int
    births: int
    deaths: int
    populations: dict[str, dict[str, int]]
    substances: dict[str, int]


class Kept(msgspec.Struct, tag=True, array_like=True, frozen=True):
    """A part of a snapshot was written: its entry in the manifest; `files` must be fetched if the host is another."""

    tick: int
    kept: bool
    part: dict[str, Any]
    controls: dict[str, Any]
    cost_s: float
    files: list[tuple[str, int]] = []


class Failed(msgspec.Struct, tag=True, array_like=True, frozen=True):
    """The world cannot go on here, and why; `fatal` where it could nowhere."""

    line: str
    fatal: bool


class Note(Message):
    """Something that must not be lost: sent again until a grant acknowledges its number; numbers begin at 1."""

    key: str
    epoch: int
    number: int
    content: Ready | Recorded | Kept | Failed


class Leave(Message):
    """I should like to go; I stay until you let me."""

    key: str


class Fenced(Message):
    """The node of this key is not, or no longer, one of us. It may join as a new one."""

    key: str


class Stop(Message):
    """The world was saved and rests: end."""

    line: str = ""


# --- files of snapshots, between hosts that share no folder


class Ask(Message):
    """Send me a piece of a file of a snapshot; an empty name asks for the list of files."""

    snapshot: str
    name: str
    offset: int


class Chunk(Message):
    """A piece of a file (raw frame), or the list of files."""

    snapshot: str
    name: str
    offset: int
    files: list[tuple[str, int]] = []


# --- between neighbours


class Strip(Message):
    """The edges of `source` that the taker's window shows, at a tick (raw: sizes and contents, see portion.py)."""

    epoch: int
    pass_key: bytes
    tick: int
    source: int


class Want(Message):
    """Your strip of this tick has not come; `source` is who asks."""

    epoch: int
    pass_key: bytes
    tick: int
    source: int


class Ping(Message):
    """How long does it take to you and back?"""

    epoch: int
    pass_key: bytes
    source: int
    sent_s: float


class Pong(Message):
    """So long."""

    epoch: int
    pass_key: bytes
    source: int
    sent_s: float


# --- people


class Attend(Message):
    """A gateway that wants reports."""

    key: str


class Report(Message):
    """Where the world is: JSON for people (`status`), and the present map's members."""

    status: bytes
    epoch: int
    pass_key: bytes
    members: list[Member]


class Submit(Message):
    """A command on the world. The same ticket is journalled once, however often it comes."""

    ticket: str
    deeds: list[bytes]
    tick: int = -1


class Order(Message):
    """A command on time or on nodes: pause, go, step (value: ticks), speed (ticks a second, 0 as fast as it goes), save,
    leave (name), stop."""

    ticket: str
    what: str
    value: float = 0.0
    name: str = ""


class Settled(Message):
    """What became of a ticket: the tick at which it takes effect, or why it does not."""

    ticket: str
    tick: int
    number: int
    line: str = ""


class Look(Message):
    """A question to a node (JSON, see publisher.py), which answers when it is between two ticks."""

    epoch: int
    pass_key: bytes
    ticket: str
    question: bytes


class Sight(Message):
    """The answer: JSON, and raw frames."""

    ticket: str
    epoch: int
    source: int
    tick: int
    answer: bytes


MESSAGES = tuple(
    kind for _, kind in inspect.getmembers(sys.modules[__name__], inspect.isclass)
    if issubclass(kind, Message) and kind is not Message
)  # fmt: skip
PROTOCOL = hashlib.blake2b(inspect.getsource(sys.modules[__name__]).encode(), digest_size=8).hexdigest()
"""Stands for this whole page."""

_encoder = msgspec.msgpack.Encoder()
_decoder: Any = msgspec.msgpack.Decoder(Union[MESSAGES])


def encode(message: Message, raw: Sequence[Any] = ()) -> list[Any]:
    """The frames of a message."""
    return [_encoder.encode(message), *raw]


def decode(frames: Sequence[Any]) -> tuple[Message, list[Any]]:
    """A message and its raw frames; `ValueError` for anything else."""
    if not frames or len(frames[0]) > MOST_HEADER_BYTES:
        raise ValueError("no header")
    try:
        return _decoder.decode(frames[0]), list(frames[1:])
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise ValueError(str(error)) from None

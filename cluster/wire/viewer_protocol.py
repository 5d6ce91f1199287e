"""Every message between a viewer and the gateway, typed; nothing is ever unpickled. Frames as in `protocol.py`.

    viewer -> gateway     Hello Watch Credit Alive Bye CommandRequest Order Query History Tasks Halt
    gateway -> viewer     Welcome Unknown Tile Status Answer

Whatever bears a ticket is said again until its `Answer` comes; the same ticket is done once. A gateway that does not
know a viewer (any more) says `UnknownViewer`: then the viewer says `Hello` and what it watches again.
"""

import hashlib
import inspect
import sys
from collections.abc import Sequence
from functools import reduce
from operator import or_
from typing import Any

import msgspec

MAX_HEADER_BYTES = 1 << 20
LIVE = -1
"""In place of a tick of the past: the running world."""
GATEWAY_FILE = "gateway.json"
"""The file in a run's folder in which the gateway announces its address."""
MAX_PIECES = 60
"""Raw frames of one `Tile` message."""


class Message(msgspec.Struct, tag=True, array_like=True, frozen=True, forbid_unknown_fields=True):
    """What all messages are."""


# --- from viewers


class Hello(Message, frozen=True):
    """I should like to watch."""

    protocol: str
    name: str = ""


class Watch(Message, frozen=True):
    """All that I watch from now on (`tiles.Topic.packed`), of the running world or a shown tick.

    `credit` tiles may be sent; each one uses one up. Begins the count anew.
    """

    topics: list[bytes]
    credit: int
    shown: int = LIVE


class Credit(Message, frozen=True):
    """So many tiles more may be sent."""

    tiles: int


class KeepAlive(Message, frozen=True):
    """I am still here."""


class Goodbye(Message, frozen=True):
    """I look no more."""


class CommandRequest(Message, frozen=True):
    """Something done to the world: a request by name, its fields as JSON (see `agents/commands`)."""

    ticket: str
    what: str
    arguments: bytes


class Order(Message, frozen=True):
    """Something done to time or nodes, as in `protocol.Order`."""

    ticket: str
    what: str
    value: float = 0.0
    name: str = ""


class Query(Message, frozen=True):
    """A question (JSON, see questions.py) to the running world or a shown tick."""

    ticket: str
    question: bytes
    shown: int = LIVE


class History(Message, frozen=True):
    """What was.

    list       the snapshots
    show       a tick, to be watched and asked from now on; where it has been played, it begins again
    play       let a shown tick go on from where it is, `value` ticks a second (0: rest); it remains known by its tick
    fork       another run goes on from a tick
    metrics    of the journal, from a tick on, thinned: raw JSON
    births     of the journal, from a tick on (there after the id `being`), of a table or all, `most` of them: raw
    family     ancestors and children of the being `being`
    """

    ticket: str
    what: str
    tick: int = 0
    value: float = 0.0
    being: int = 0
    table: str = ""
    most: int = 0


class Task(msgspec.Struct, array_like=True, frozen=True):
    """A task (see tasks.py) with its packed arguments, to be done within a time.

    With questions (a JSON list, see questions.py) it is done by each node that owns something of what is asked about,
    on what that one answers at one tick; its raw answer is a packed list of what came out. Else it is done once: at
    the node that owns the cell `near`, or, where that is empty, at an idle one; its raw answer is what came out.
    """

    ticket: str
    name: str
    arguments: bytes
    questions: bytes = b""
    near: tuple[int, ...] = ()
    within_s: float = 0.0
    shown: int = LIVE


class Tasks(Message, frozen=True):
    """Tasks to be done. Each ticket is answered by itself."""

    tasks: list[Task]


class CancelTasks(Message, frozen=True):
    """What these tickets stand for need not be done."""

    tickets: list[str]


# --- from the gateway


class Welcome(Message, frozen=True):
    """What there is to see. `columns` of each table, as questions know them; `looks` as tiles of bodies show them.

    `directory` is where nodes join; told to those who may. `climate` is `weather.Climate` by name, empty where there is
    none; `substances` are the chemistry's; `kinds` the table of each species, as far as it is known, `hues` the gene of
    its founders' colour (-128 to 127).
    """

    role: str
    world: str
    height: int
    width: int
    species: list[str]
    layers: list[str]
    units: dict[str, str]
    levels: list[str]
    columns: dict[str, list[str]]
    looks: dict[str, list[str]]
    drives: list[str]
    max_tiles: int
    directory: str = ""
    climate: dict[str, int] = {}
    substances: list[str] = []
    kinds: dict[str, str] = {}
    hues: dict[str, int] = {}


class UnknownViewer(Message, frozen=True):
    """Who are you?"""


class Tile(Message, frozen=True):
    """The newest pieces of a tile (raw frames, see tiles.py)."""

    topic: bytes
    shown: int


class Status(Message, frozen=True):
    """Where the world is (JSON, as the directory's); `stale_s` is how long ago the directory was heard."""

    content: bytes
    stale_s: float


class Answer(Message, frozen=True):
    """The outcome of a ticket: the tick at which it takes effect or was true, and what was asked for (JSON, raw frame).

    On failure `line` is one line for people and `code` the error's code (sandbox/errors.py); both are empty on success.
    """

    ticket: str
    tick: int
    line: str = ""
    content: bytes = b"{}"
    code: str = ""


MESSAGES = tuple(
    kind
    for _, kind in inspect.getmembers(sys.modules[__name__], inspect.isclass)
    if issubclass(kind, Message) and kind is not Message
)
PROTOCOL_VERSION = hashlib.blake2b(inspect.getsource(sys.modules[__name__]).encode(), digest_size=8).hexdigest()
"""Stands for this whole page."""

_encoder = msgspec.msgpack.Encoder()
_decoder: Any = msgspec.msgpack.Decoder(reduce(or_, MESSAGES))


def encode(message: Message, raw: Sequence[Any] = ()) -> list[Any]:
    """The frames of a message."""
    return [_encoder.encode(message), *raw]


def decode(frames: Sequence[Any]) -> tuple[Message, list[Any]]:
    """A message and its raw frames; `ValueError` for anything else."""
    if not frames or len(frames[0]) > MAX_HEADER_BYTES:
        raise ValueError("no header")
    try:
        return _decoder.decode(frames[0]), list(frames[1:])
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise ValueError(str(error)) from None

"""The messages between viewers and the gateway.

    viewer -> gateway     Hello Watch Credit KeepAlive Goodbye CommandRequest Order Query History Tasks CancelTasks
    gateway -> viewer     Welcome UnknownViewer Tile Status Answer

How a message becomes frames is described in `messages.py`; these carry no checksum of their own. A message with a
ticket is sent again until its `Answer` arrives; the gateway executes each ticket once. A gateway that does not know a
viewer, or has forgotten it, sends `UnknownViewer`; the viewer then sends `Hello` and its `Watch` again.

A change of any message changes `PROTOCOL_VERSION`. `Hello` and `Answer` keep their first fields in all versions, so
that a viewer of another version learns why it is refused.
"""

import msgspec

from umwelt.cluster.wire.messages import Message, MessageCodec

PROTOCOL_VERSION = 1
MAX_HEADER_BYTES = 1 << 20
GATEWAY_FILE = "gateway.json"
"""In the run's folder: the gateway's address and process id, while it runs."""
MAX_PIECES = 60
"""Raw frames of one `Tile` message."""
LIVE = -1
"""In a `shown` field, in place of a tick of the past: the running world."""


# --- from viewers


class Hello(Message, frozen=True):
    """Opens a session. Answered with `Welcome`, or with an `Answer` without a ticket that tells why not."""

    protocol_version: int
    name: str = ""


class Watch(Message, frozen=True):
    """Replaces the set of watched tiles (`tiles.Topic.packed`), of the running world or of a shown tick.

    The gateway may send `credit` tiles; each tile sent uses one up. Replaces any earlier credit.
    """

    topics: list[bytes]
    credit: int
    shown: int = LIVE


class Credit(Message, frozen=True):
    """Allows the gateway to send this many tiles more."""

    tiles: int


class KeepAlive(Message, frozen=True):
    """Keeps the session open while the viewer has nothing else to send."""


class Goodbye(Message, frozen=True):
    """The viewer disconnects."""


class CommandRequest(Message, frozen=True):
    """A command on the world, by name, with its arguments as JSON (agents/commands/requests.py)."""

    ticket: str
    what: str
    arguments: bytes


class Order(Message, frozen=True):
    """A command on time or on nodes, as in `protocol.Order`."""

    ticket: str
    what: str
    value: float = 0.0
    name: str = ""


class Query(Message, frozen=True):
    """A question as JSON (view/queries.py) about the running world or a shown tick."""

    ticket: str
    question: bytes
    shown: int = LIVE


class History(Message, frozen=True):
    """A question about the past of the run. `what` is one of:

    list       the snapshots
    show       a tick, to be watched and queried from now on; one that was played begins again
    play       lets a shown tick go on from where it is, at `value` ticks a second (0 pauses); it keeps its name
    fork       starts another run from a tick
    metrics    metrics of the journal from a tick on, thinned: raw JSON
    births     births of the journal from a tick on (within that tick after the id `being`), of a table or of all
               tables, at most `most`: raw
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
    """A task by name (cluster/tasks/registry.py) with its packed arguments, to be done within `within_s` seconds.

    With `questions` (a JSON list, view/queries.py) every node that owns some of the cells in question runs the task on
    its own answers, all of one tick; the raw answer is a packed list of the results. Without, it runs once: on the
    node that owns the cell `near` (y, x), or on an idle one if that is empty; the raw answer is its result.
    """

    ticket: str
    name: str
    arguments: bytes
    questions: bytes = b""
    near: tuple[int, ...] = ()
    within_s: float = 0.0
    shown: int = LIVE


class Tasks(Message, frozen=True):
    """Tasks to run. Each ticket has its own `Answer`."""

    tasks: list[Task]


class CancelTasks(Message, frozen=True):
    """The answers to these tickets are no longer needed."""

    tickets: list[str]


# --- from the gateway


class Welcome(Message, frozen=True):
    """Describes the world to a viewer.

    `columns` are those of each table, as queries name them; `looks` those that tiles of bodies show. `directory` is
    the coordinator's address, where nodes join; empty for viewers whose role may not. `climate` holds the fields of
    `weather.Climate` by name, empty in a world without weather; `substances` are the chemistry's. `kinds` is the table
    of each species as far as it is known, `hues` the hue gene of its founders (-128 to 127).
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
    climate: dict[str, int] = msgspec.field(default_factory=dict)
    substances: list[str] = msgspec.field(default_factory=list)
    kinds: dict[str, str] = msgspec.field(default_factory=dict)
    hues: dict[str, int] = msgspec.field(default_factory=dict)


class UnknownViewer(Message, frozen=True):
    """The gateway has no session with this viewer: send `Hello` again."""


class Tile(Message, frozen=True):
    """The newest pieces of a tile (raw frames, view/tiles.py)."""

    topic: bytes
    shown: int


class Status(Message, frozen=True):
    """The state of the run as the coordinator reports it (JSON); `stale_s` is the age of that report in seconds."""

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


AnyMessage = (
    Hello
    | Watch
    | Credit
    | KeepAlive
    | Goodbye
    | CommandRequest
    | Order
    | Query
    | History
    | Tasks
    | CancelTasks
    | Welcome
    | UnknownViewer
    | Tile
    | Status
    | Answer
)

_codec: MessageCodec[AnyMessage] = MessageCodec(AnyMessage, MAX_HEADER_BYTES, checksummed=False)
encode, decode = _codec.encode, _codec.decode

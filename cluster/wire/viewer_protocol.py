"""The messages between viewers and the gateway.

    viewer -> gateway     Hello Watch Credit KeepAlive Goodbye CommandRequest Order Query History Tasks CancelTasks
    gateway -> viewer     Welcome UnknownViewer Tile Status Answer

`messages.py` describes how messages are encoded as frames; these messages have no checksum. A message with a ticket is
resent until its `Answer` arrives; the gateway executes each ticket once. A gateway that has no session with a viewer
answers with `UnknownViewer`; the viewer then sends `Hello` and its `Watch` again.

`PROTOCOL_VERSION` is incremented whenever a message changes. The first fields of `Hello` and `Answer` are the same in
all versions, so that a viewer of another version receives the reason why it is refused.
"""

import msgspec

from umwelt.cluster.wire.messages import Message, MessageCodec

PROTOCOL_VERSION = 1
MAX_HEADER_BYTES = 1 << 20
GATEWAY_FILE = "gateway.json"
"""Name of the file in the run's folder that holds the gateway's address and process id, while it runs."""
MAX_PIECES = 60
"""Maximum number of raw frames in one `Tile` message."""
LIVE = -1
"""Value of a `shown` field for the running world; other values are ticks of the past."""


# --- from viewers


class Hello(Message, frozen=True):
    """Opens a session. Answered with `Welcome`, or, if the viewer is refused, with an `Answer` with an empty ticket."""

    protocol_version: int
    name: str = ""


class Watch(Message, frozen=True):
    """Sets the watched tiles (squares of the world, view/tiles.py), which replace all earlier ones.

    `topics` name the tiles; they are encoded by `tiles.Topic.packed`. `shown` is `LIVE`, or a tick of the past (see
    `History`). `credit` is the number of tiles that the gateway may send until it gets more credit; it replaces any
    earlier credit.
    """

    topics: list[bytes]
    credit: int
    shown: int = LIVE


class Credit(Message, frozen=True):
    """Adds to the credit: permits the gateway to send `tiles` more tiles."""

    tiles: int


class KeepAlive(Message, frozen=True):
    """Keeps the session open while the viewer has nothing else to send."""


class Goodbye(Message, frozen=True):
    """Ends the session, because the viewer disconnects."""


class CommandRequest(Message, frozen=True):
    """A command on the world. `what` is its name, `arguments` are JSON (agents/commands/requests.py)."""

    ticket: str
    what: str
    arguments: bytes


class Order(Message, frozen=True):
    """A command on time or nodes: `what` is pause, go, step, speed, save, leave or stop.

    `value` is the number of ticks to step, or the speed in ticks per second, `name` the name of the node that is to
    leave (see `protocol.Order`).
    """

    ticket: str
    what: str
    value: float = 0.0
    name: str = ""


class Query(Message, frozen=True):
    """A question, as JSON (view/queries.py), about the running world or the tick `shown` of the past."""

    ticket: str
    question: bytes
    shown: int = LIVE


class History(Message, frozen=True):
    """A request about the past of the run. `what` is one of:

    list       list the snapshots
    show       replay the world at `tick`, so that tiles and queries can refer to it as `shown`; if that replay was
               played, it starts again
    play       continue the replay that was started at `tick`, at `value` ticks per second (0 pauses); it is still
               referred to by `tick`
    fork       start another run from `tick`
    metrics    return the journal's metrics from `tick` on, thinned, as a raw frame of JSON
    births     return the journal's births from `tick` on (in that tick only those with an id above `being`), of `table`
               or, if that is empty, of all tables, at most `most`, as a raw frame
    family     return ancestors and children of the being with id `being`
    """

    ticket: str
    what: str
    tick: int = 0
    value: float = 0.0
    being: int = 0
    table: str = ""
    most: int = 0


class Task(msgspec.Struct, array_like=True, frozen=True):
    """A task to run: its name, its encoded arguments (cluster/tasks/registry.py), and time limit `within_s` in seconds.

    With `questions` (a JSON list, view/queries.py), every node that owns cells in question runs the task on its answers
    to them, all of the same tick; the raw frame of the answer is an encoded list of the results. Without `questions`,
    the task runs once, on the node that owns the cell `near` (y, x), or on an idle node if `near` is empty; the raw
    frame of the answer is its result.
    """

    ticket: str
    name: str
    arguments: bytes
    questions: bytes = b""
    near: tuple[int, ...] = ()
    within_s: float = 0.0
    shown: int = LIVE


class Tasks(Message, frozen=True):
    """Tasks to run. Each task is answered with an `Answer` with its ticket."""

    tasks: list[Task]


class CancelTasks(Message, frozen=True):
    """A request to cancel the tasks with these tickets, whose answers are no longer needed."""

    tickets: list[str]


# --- from the gateway


class Welcome(Message, frozen=True):
    """Describes the world to a viewer.

    `columns` are the columns of each table, as queries name them; `looks` are the columns of tiles that show single
    beings with all their visible properties. `max_tiles` is the maximum number of watched tiles. `coordinator` is the
    coordinator's address, where nodes join; it is empty for viewers whose role may not add nodes. `climate` contains
    the fields of `weather.Climate` by name, and is empty in a world without weather. `substances` are the names of the
    substances. By species, `kinds` is the table of its beings if it is known, and `hues` the hue gene of its founders
    (-128 to 127).
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
    coordinator: str = ""
    climate: dict[str, int] = msgspec.field(default_factory=dict)
    substances: list[str] = msgspec.field(default_factory=list)
    kinds: dict[str, str] = msgspec.field(default_factory=dict)
    hues: dict[str, int] = msgspec.field(default_factory=dict)


class UnknownViewer(Message, frozen=True):
    """Notice that the gateway has no session with this viewer, which must send `Hello` again."""


class Tile(Message, frozen=True):
    """The newest encoded pieces of a tile, as raw frames (view/tiles.py). `topic` and `shown` are those of `Watch`."""

    topic: bytes
    shown: int


class Status(Message, frozen=True):
    """The coordinator's latest status report as JSON; `stale_s` is the age of the report in seconds."""

    content: bytes
    stale_s: float


class Answer(Message, frozen=True):
    """The outcome of a ticket. `content` is the answer as JSON; some answers also have a raw frame.

    `tick` is the tick at which a command takes effect, or to which the answer to a query refers. On failure `line` is
    the reason as text for the user and `code` the error's code (sandbox/errors.py); both are empty on success. `tick`
    is -1 on failure, and for tasks without questions.
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

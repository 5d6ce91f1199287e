"""The messages between the cluster's own processes: nodes, coordinator, gateway and launcher.

    node <-> coordinator        Hello Welcome Join Refused | Assignment Grant | Heartbeat NumberedReport |
                                LeaveRequest Fenced Stop | FileRequest FileChunk
    node <-> node               HaloMessage HaloRequest | Ping Pong
    gateway <-> coordinator     StatusSubscription StatusReport | SubmitCommands Order TicketResult
    gateway <-> node            QueryRequest QueryAnswer CancelTasks

How a message becomes frames is described in `messages.py`. Every message can be lost, repeated, delayed or arrive from
a stranger; the receiver decides what counts by epoch, pass key, ticket and the connection that it came on.

A change of any message changes `PROTOCOL_VERSION`. `Hello` and `Refused` keep their form in all versions, so that a
peer of another version learns why it is refused.
"""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from umwelt.cluster.wire.messages import Message, MessageCodec

PROTOCOL_VERSION = 1
MAX_HEADER_BYTES = 16 << 20

Tick = Annotated[int, Meta(ge=-1, lt=1 << 29)]
"""A tick of the world; ids of beings have room for 29 bits. -1: none."""
Number = Annotated[int, Meta(ge=0, lt=1 << 40)]
Count = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]
Seconds = Annotated[float, Meta(ge=0, le=1e9)]
Name = Annotated[str, Meta(max_length=4096)]
Line = Annotated[str, Meta(max_length=65536)]
Files = Annotated[list[tuple[Name, Count]], Meta(max_length=100_000)]
"""Names, relative to a snapshot or a part of it, and sizes in bytes."""


# --- joining


class Hello(Message, frozen=True):
    """Node -> coordinator: the first message of a node. `key` identifies the node until it leaves or is fenced."""

    key: Name
    protocol_version: Number


class Welcome(Message, frozen=True):
    """Coordinator -> node: what a node needs to prepare the world.

    `folder` is the run's folder on the coordinator's host, which holds a file with `token`: a node that can read it
    shares the folder. `url` is the run's remote store, if it has one. `checked` turns on the checks of species.
    """

    world_text: str
    world_name: Name
    folder: Name
    token: Name
    url: Name = ""
    checked: bool = False


class Join(Message, frozen=True):
    """Node -> coordinator: the world is compiled and the node is ready for a shard.

    `address` is where neighbours reach it, `tiles_address` where gateways subscribe to tiles. `seals` are hashes of
    all that must be equal on every node (laws, species, tables, libraries). `reached` is the latest tick that the node
    ever computed; `name` is the name that it had or would like.
    """

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
    """Coordinator -> node: the node cannot join. `line` tells why; `code` is an error code (sandbox/errors.py)."""

    line: Line
    code: Name = "run"


# --- the map, and granted time


class Member(msgspec.Struct, array_like=True, frozen=True):
    """A node in a map. `rectangle` is (y, x, height, width) in cells."""

    key: Name
    name: Name
    address: Name
    tiles_address: Name
    rectangle: tuple[int, int, int, int]


class Assignment(Message, frozen=True):
    """Coordinator -> node: a new map. Every member loads its rectangle from `snapshot`, which is of tick `tick`.

    `which` is the receiver's index in `members`. `pass_key` is secret to the members of this epoch and stands in every
    message between them. `record_every_ticks` is how often a node reports its digest and metrics.
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
    """A snapshot to be taken at a tick, before that tick's commands. `kept` ones are permanent, others for recovery."""

    tick: Tick
    kept: bool


class Grant(Message, frozen=True):
    """Coordinator -> node: run until tick `through`.

    `commands` are all commands from the node's last reported tick until `through`, `snapshots` those to be taken.
    `acknowledged` is the number of the last `NumberedReport` that arrived.
    """

    epoch: Number
    through: Tick
    commands: list[ScheduledCommand]
    snapshots: list[SnapshotRequest]
    acknowledged: Number


# --- reports of nodes


class Heartbeat(Message, frozen=True):
    """Node -> coordinator: the node is alive and at this tick. Sent by the simulation loop, also between two laws.

    `entities` counts the beings in its window, ghosts included. `tick_s` is the mean time of a tick,
    `waiting_share` the share of time spent waiting for halo messages, `round_trip_s` the time of a message to a
    neighbour and back, `longest_s` the longest recent interval between two heartbeats.
    """

    key: Name
    epoch: Number
    tick: Tick
    entities: Count = 0
    tick_s: Seconds = 0.0
    waiting_share: Seconds = 0.0
    resident_bytes: Count = 0
    round_trip_s: Seconds = 0.0
    longest_s: Seconds = 0.0


class Ready(msgspec.Struct, tag=True, array_like=True, frozen=True):
    """Report: the rectangle is loaded."""

    tick: Tick


class TickRecord(msgspec.Struct, tag=True, array_like=True, frozen=True):
    """Report: digest and metrics of a node's owned cells at a tick.

    `births` and `deaths` count from the beginning of the epoch; `populations` are beings by table and species,
    `substances` molecules by name. Raw frame: the births since the last record (`shard.pack_births`), or empty.
    """

    tick: Tick
    digest: int
    controls_digest: int
    births: Count
    deaths: Count
    populations: dict[Name, dict[Name, Count]]
    substances: dict[Name, Count]


class SnapshotPart(msgspec.Struct, tag=True, array_like=True, frozen=True):
    """Report: a node has written its part of a snapshot. On failure `line` tells why, and the other fields are empty.

    `part` is its entry in the manifest, `controls` the world's controls at that tick, `cost_s` the processor time.
    `files` are to be fetched by the coordinator (`FileRequest`), where the node does not share the run's folder.
    """

    tick: Tick
    kept: bool
    part: dict[str, Any]
    controls: dict[str, Any]
    cost_s: Seconds
    files: Files = msgspec.field(default_factory=list)
    line: Line = ""


class Failure(msgspec.Struct, tag=True, array_like=True, frozen=True):
    """Report: the node cannot go on, and why. With `fatal` no other node could: the run ends."""

    line: Line
    fatal: bool


ReportContent = Ready | TickRecord | SnapshotPart | Failure


class NumberedReport(Message, frozen=True):
    """Node -> coordinator: a report that must arrive. Sent again until a grant acknowledges its number (from 1)."""

    key: Name
    epoch: Number
    number: Number
    content: ReportContent


# --- leaving


class LeaveRequest(Message, frozen=True):
    """Node -> coordinator: the node wants to leave. It goes on until it receives `Stop`."""

    key: Name


class Fenced(Message, frozen=True):
    """Coordinator -> node: the node of this key is not, or no longer, in the world. It may join under another key."""

    key: Name


class Stop(Message, frozen=True):
    """Coordinator -> node: end the process. `line` is printed, unless it is empty."""

    line: Line = ""


# --- files of snapshots, between hosts that share no folder


class FileRequest(Message, frozen=True):
    """Asks for a chunk of a file of a snapshot, from `offset` on. An empty name asks for the list of files."""

    snapshot: Name
    name: Name
    offset: Count


class FileChunk(Message, frozen=True):
    """A chunk of a file (raw frame), or with an empty name the list of the snapshot's files."""

    snapshot: Name
    name: Name
    offset: Count
    files: Files = msgspec.field(default_factory=list)


# --- between neighbours


class HaloMessage(Message, frozen=True):
    """The cells and beings of `source` that the window of `taker` shows, at a tick. Raw frames: see `shard.py`.

    `source` and `taker` are indices in the map. The taker is named because the messages of two takers can be of equal
    size and would paste without an error.
    """

    epoch: Number
    pass_key: bytes
    tick: Tick
    source: Number
    taker: Number


class HaloRequest(Message, frozen=True):
    """Asks a neighbour for its halo message of a tick again. `source` is the index of the node that asks."""

    epoch: Number
    pass_key: bytes
    tick: Tick
    source: Number


class Ping(Message, frozen=True):
    """Measures the round trip to a neighbour, which answers with `Pong`."""

    epoch: Number
    pass_key: bytes
    source: Number
    sent_s: Seconds


class Pong(Message, frozen=True):
    """The answer to a `Ping`, with the same `sent_s`."""

    epoch: Number
    pass_key: bytes
    source: Number
    sent_s: Seconds


# --- gateway and launcher


class StatusSubscription(Message, frozen=True):
    """Gateway -> coordinator: send status reports for the next 10 seconds. `key` names the subscriber in logs."""

    key: Name


class StatusReport(Message, frozen=True):
    """Coordinator -> gateway: the state of the run as JSON (`coordinator.status`), and the present map."""

    status: bytes
    epoch: Number
    pass_key: bytes
    members: list[Member]


class SubmitCommands(Message, frozen=True):
    """Gateway -> coordinator: commands on the world, journalled together. Answered with `TicketResult`.

    They take effect at `tick`, or at the first tick after it that is not granted yet. The same ticket is journalled
    once, however often it arrives.
    """

    ticket: Name
    commands: list[bytes]
    tick: Tick = -1


class Order(Message, frozen=True):
    """Gateway -> coordinator: a command on time or on nodes. Answered with `TicketResult`.

    pause, go, step (`value`: ticks), speed (`value`: ticks a second, 0 for as fast as possible), save (a kept
    snapshot), leave (`name`: of a node), stop, and from the launcher lost (`value`: process id, `name`: host).
    """

    ticket: Name
    what: Name
    value: Annotated[float, Meta(ge=-1e9, le=1e9)] = 0.0
    name: Name = ""


class TicketResult(Message, frozen=True):
    """The outcome of a ticket: the tick at which it takes effect, or -1 with the reason.

    `number` is that of the first journalled command. `line` is one line for people and `code` the error's code
    (sandbox/errors.py), both empty on success.
    """

    ticket: Name
    tick: Tick
    number: Number
    line: Line = ""
    code: Name = ""


class QueryRequest(Message, frozen=True):
    """Gateway -> node: a question, or a task to run. Answered with `QueryAnswer`.

    `question` is JSON (view/queries.py), answer between two ticks, at tick `tick` unless that is -1. With a `task`
    name the node runs that task with the packed `arguments`, on its answers to the questions (a JSON list) where there
    are any, and ends it after `within_s`. The same ticket is done once.
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
    """Node -> gateway: an answer (JSON and raw frames), or the result of a task (one raw frame).

    In place of an answer the JSON holds one of:

        line, code   why there is no answer, and the error's code (sandbox/errors.py); of a task also `again`, true if
                     another node may succeed
        passed       true: the tick that was named is over
        waits        true: the tick that was named has not come; the answer follows
    """

    ticket: Name
    epoch: Number
    source: Number
    tick: Tick
    answer: bytes


class CancelTasks(Message, frozen=True):
    """Gateway -> node: the answers to these tickets are no longer needed."""

    epoch: Number
    pass_key: bytes
    tickets: Annotated[list[Name], Meta(max_length=1000)]


FromCoordinator = Welcome | Refused | Assignment | Grant | Fenced | Stop | FileChunk
"""Messages that a node accepts only from its coordinator."""
FromNeighbour = HaloMessage | HaloRequest | Ping | Pong
"""Messages that a node accepts only from a member of its map."""
AnyMessage = (
    Hello
    | Join
    | Heartbeat
    | NumberedReport
    | LeaveRequest
    | FileRequest
    | FromCoordinator
    | FromNeighbour
    | StatusSubscription
    | StatusReport
    | SubmitCommands
    | Order
    | TicketResult
    | QueryRequest
    | QueryAnswer
    | CancelTasks
)

_codec: MessageCodec[AnyMessage] = MessageCodec(AnyMessage, MAX_HEADER_BYTES, checksummed=True)
encode, decode = _codec.encode, _codec.decode

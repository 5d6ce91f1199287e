"""The messages between the cluster's own processes: nodes, coordinator, gateway and launcher.

    node <-> coordinator        Hello Welcome Join Refused | Assignment Grant | Heartbeat NumberedReport |
                                LeaveRequest Fenced Stop | FileRequest FileChunk
    node <-> node               HaloMessage HaloRequest | Ping Pong
    gateway <-> coordinator     StatusSubscription StatusReport | SubmitCommands Order TicketResult
    gateway <-> node            QueryRequest QueryAnswer CancelTasks

`messages.py` describes how messages are encoded as frames. Every message can be lost, repeated or delayed, or sent by
an unauthorised peer; the receiver decides by epoch, pass key, ticket and connection whether it accepts a message.

A *map* lists the nodes that compute the world, with their rectangles of the torus. Its *epoch* is its number, its *pass
key* a secret of the processes that may send messages to these nodes. A *ticket* identifies a request, so that repeated
requests are recognised. To *grant* time is to permit the nodes to run until a tick.

`PROTOCOL_VERSION` is incremented whenever a message changes. `Hello` and `Refused` have the same form in all versions,
so that a peer of another version receives the reason why it is refused.

A *shard* is the rectangle of a node, with the beings in it. A *digest* is a 64-bit sum over cells and beings; equal
digests mean equal states.
"""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from umwelt.cluster.wire.messages import Message, MessageCodec

PROTOCOL_VERSION = 1
MAX_HEADER_BYTES = 16 << 20

Tick = Annotated[int, Meta(ge=-1, lt=1 << 29)]
"""A tick of the world, or -1 for no tick. Ticks have at most 29 bits, because ids of beings contain a tick."""
Number = Annotated[int, Meta(ge=0, lt=1 << 40)]
Count = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]
Seconds = Annotated[float, Meta(ge=0, le=1e9)]
Name = Annotated[str, Meta(max_length=4096)]
Line = Annotated[str, Meta(max_length=65536)]
Files = Annotated[list[tuple[Name, Count]], Meta(max_length=100_000)]
"""Files as (path relative to a snapshot or a part of it, size in bytes)."""


# --- joining


class Hello(Message, frozen=True):
    """Node -> coordinator: the first message of a node.

    `key` identifies the node until it leaves or the coordinator excludes it (`Fenced`).
    """

    key: Name
    protocol_version: Number


class Welcome(Message, frozen=True):
    """Coordinator -> node: the world file, and how to access the run's snapshots.

    `folder` is the run's folder on the coordinator's host, which contains a file with `token`: a node that can read
    that file can use the folder directly. `url` is the run's remote store, or empty. With `checked`, the node checks
    the behaviours of species (`shard.check_species`).
    """

    world_text: str
    world_name: Name
    folder: Name
    token: Name
    url: Name = ""
    checked: bool = False


class Join(Message, frozen=True):
    """Node -> coordinator: the world is compiled and the node is ready for a shard.

    `address` is the node's address for neighbours and gateways, `tiles_address` that for subscriptions to tiles.
    `cores` is the number of processor cores. With `shares_folder`, the node can use the run's folder. `seals` are
    hashes of laws, species and tables, and the versions of libraries, which must be equal on all nodes. `reached` is
    the latest tick that the node has ever computed. `name` is the requested name, or empty.
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
    """Coordinator -> node: the node cannot join. `line` is the reason, `code` an error code (sandbox/errors.py)."""

    line: Line
    code: Name = "run"


# --- the map, and granted time


class Member(msgspec.Struct, array_like=True, frozen=True):
    """A node in a map. `rectangle` is (y, x, height, width) in cells; the addresses are those of `Join`."""

    key: Name
    name: Name
    address: Name
    tiles_address: Name
    rectangle: tuple[int, int, int, int]


class Assignment(Message, frozen=True):
    """Coordinator -> node: a new map. Every member loads its rectangle from `snapshot`, which is of tick `tick`.

    `which` is the receiver's index in `members`. `pass_key` is a secret of this epoch's members and the gateway, and is
    contained in every message between them. `threads` is the number of threads for the node. Every
    `record_every_ticks` ticks the node reports digest and metrics.
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
    """A journalled command that takes effect at `tick`. `content` is the command as JSON (agents/commands).

    `number` is its journal number, which determines the order of the commands of a tick.
    """

    tick: Tick
    number: Number
    content: bytes


class SnapshotRequest(msgspec.Struct, array_like=True, frozen=True):
    """A request to take a snapshot of `tick`, before that tick's commands.

    `kept` snapshots are permanent; others are temporary: they serve to recover from a failure and are soon deleted.
    """

    tick: Tick
    kept: bool


class Grant(Message, frozen=True):
    """Coordinator -> node: permission to run until tick `through`.

    `commands` are all commands from the node's last reported tick until `through`; `snapshots` are the snapshots to be
    taken. `acknowledged` is the number of the last `NumberedReport` that the coordinator has received in sequence.
    """

    epoch: Number
    through: Tick
    commands: list[ScheduledCommand]
    snapshots: list[SnapshotRequest]
    acknowledged: Number


# --- reports of nodes


class Heartbeat(Message, frozen=True):
    """Node -> coordinator: the node is alive and has reached `tick`. Sent regularly, also between two laws of a tick.

    `entities` is the number of beings, including those in the halo. `tick_s` is the mean time of a tick,
    `waiting_share` the share of time spent waiting for halo messages (0 to 1), `round_trip_s` the round-trip time to
    neighbours (0 if unknown), and `longest_s` the longest recent interval between two heartbeats.
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
    """Report: the node has loaded its rectangle at `tick`."""

    tick: Tick


class TickRecord(msgspec.Struct, tag=True, array_like=True, frozen=True):
    """Report: digest and metrics of a node's owned cells at a tick.

    `digest` is that of the cells and beings, `controls_digest` that of the settings of the world that commands have
    changed, which are equal on all nodes. `births` and `deaths` are counted from the start of the epoch. `populations`
    are numbers of beings by table and species, `substances` numbers of molecules by name. The raw frame holds the
    births since the previous record (`shard.pack_births`), or is empty.
    """

    tick: Tick
    digest: int
    controls_digest: int
    births: Count
    deaths: Count
    populations: dict[Name, dict[Name, Count]]
    substances: dict[Name, Count]


class SnapshotPart(msgspec.Struct, tag=True, array_like=True, frozen=True):
    """Report: a node has written its part of a snapshot, or failed to write it for the reason in `line`.

    `part` is the entry of the part in the manifest. `controls` are the settings of the world that commands have changed
    until that tick, as a JSON object (`sandbox.controls.Controls`). `cost_s` is the processor time spent. `files` are
    the files that the coordinator must fetch by `FileRequest`; empty if the part is already in the run's folder. On
    failure `part`, `controls` and `files` are empty.
    """

    tick: Tick
    kept: bool
    part: dict[str, Any]
    controls: dict[str, Any]
    cost_s: Seconds
    files: Files = msgspec.field(default_factory=list)
    line: Line = ""


class Failure(msgspec.Struct, tag=True, array_like=True, frozen=True):
    """Report: the node has failed for the reason in `line`.

    If `fatal`, every other node would fail as well, and the run ends.
    """

    line: Line
    fatal: bool


ReportContent = Ready | TickRecord | SnapshotPart | Failure


class NumberedReport(Message, frozen=True):
    """Node -> coordinator: a report that is resent until a grant acknowledges its number.

    Numbers start at 1 with every epoch.
    """

    key: Name
    epoch: Number
    number: Number
    content: ReportContent


# --- leaving


class LeaveRequest(Message, frozen=True):
    """Node -> coordinator: a request to leave. The node continues to run until it receives `Stop`."""

    key: Name


class Fenced(Message, frozen=True):
    """Coordinator -> node: the node with this key is unknown or was excluded. It can join again under another key."""

    key: Name


class Stop(Message, frozen=True):
    """Coordinator -> node: the instruction to end the process, after printing `line` unless it is empty."""

    line: Line = ""


# --- files of snapshots, between hosts that share no folder


class FileRequest(Message, frozen=True):
    """Request for a chunk of the file `name` of a snapshot, or for the list of its files if `name` is empty.

    `offset` is the position of the chunk in bytes.
    """

    snapshot: Name
    name: Name
    offset: Count


class FileChunk(Message, frozen=True):
    """Answer to `FileRequest`: a chunk of a file as a raw frame, or the list of files if `name` is empty."""

    snapshot: Name
    name: Name
    offset: Count
    files: Files = msgspec.field(default_factory=list)


# --- between neighbours


class HaloMessage(Message, frozen=True):
    """Node -> neighbour: the cells and beings of node `source` that lie in the halo of node `taker`, at a tick.

    `source` and `taker` are indices in the map; `shard.py` describes the raw frames. `taker` is included so that a
    message for another node is detected: its size could be the same.
    """

    epoch: Number
    pass_key: bytes
    tick: Tick
    source: Number
    taker: Number


class HaloRequest(Message, frozen=True):
    """Node -> neighbour: a request to resend the halo message of a tick. `source` is the requesting node's index."""

    epoch: Number
    pass_key: bytes
    tick: Tick
    source: Number


class Ping(Message, frozen=True):
    """Node -> neighbour: a request for a `Pong`, to measure the round-trip time. `sent_s` is the sender's time."""

    epoch: Number
    pass_key: bytes
    source: Number
    sent_s: Seconds


class Pong(Message, frozen=True):
    """Answer to a `Ping`, with the same `sent_s`; `source` is the index of the answering node."""

    epoch: Number
    pass_key: bytes
    source: Number
    sent_s: Seconds


# --- gateway and launcher


class StatusSubscription(Message, frozen=True):
    """Gateway -> coordinator: a request for status reports for the next 10 seconds. `key` names the subscriber."""

    key: Name


class StatusReport(Message, frozen=True):
    """Coordinator -> gateway: the state of the run as JSON (`coordinator.status`), and the present map."""

    status: bytes
    epoch: Number
    pass_key: bytes
    members: list[Member]


class SubmitCommands(Message, frozen=True):
    """Gateway -> coordinator: commands on the world (as JSON) that take effect together. Answered with `TicketResult`.

    They take effect at `tick`, or at the first later tick that is not granted yet. Commands of the same ticket are
    journalled once, however often the message arrives.
    """

    ticket: Name
    commands: list[bytes]
    tick: Tick = -1


class Order(Message, frozen=True):
    """Gateway -> coordinator: a command on time or nodes, which is not journalled. Answered with `TicketResult`.

    `what` is one of:

        pause   stop granting time
        go      end a pause
        step    run `value` ticks, then pause
        speed   run at most `value` ticks per second, 0 for as fast as possible
        save    take a kept snapshot
        leave   let the node `name` leave
        stop    save the world and end the run
        lost    from the launcher: the node with process id `value` on host `name` has died
    """

    ticket: Name
    what: Name
    value: Annotated[float, Meta(ge=-1e9, le=1e9)] = 0.0
    name: Name = ""


class TicketResult(Message, frozen=True):
    """Coordinator -> gateway: the outcome of a ticket. `tick` is the tick at which its commands take effect.

    `number` is the journal number of the first command. On failure `line` is the reason as text for the user and `code`
    the error's code (sandbox/errors.py); both are empty on success. `tick` is -1 if commands are rejected.
    """

    ticket: Name
    tick: Tick
    number: Number
    line: Line = ""
    code: Name = ""


class QueryRequest(Message, frozen=True):
    """Gateway -> node: a question about the node's shard, or a task to run. Answered with `QueryAnswer`.

    `question` is JSON (view/queries.py), answered between two ticks, at tick `tick`, or at the present tick if that is
    -1. If `task` is not empty, the node runs the task of that name with the encoded `arguments`; `question` is then a
    JSON list, possibly empty, and the task also gets the node's answers to these questions. A task that takes longer
    than `within_s` seconds is ended. A task with the same ticket is run only once.
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

    `source` is the node's index in the map. If there is no answer, the JSON object contains instead:

        line, code   the reason, and the error's code (sandbox/errors.py); for a task also `again`, true if another
                     node may succeed
        passed       true: the requested tick is in the past
        waits        true: the requested tick is in the future; the answer follows when it is reached
    """

    ticket: Name
    epoch: Number
    source: Number
    tick: Tick
    answer: bytes


class CancelTasks(Message, frozen=True):
    """Gateway -> node: a request to cancel queries and tasks, whose answers are no longer needed."""

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

"""Events: the input of the two state machines (`node/machine.py`, `coordinator/machine.py`).

The state machines do no I/O: they take events and return instructions (`instructions.py`). A driver, or a simulation,
carries out the instructions and passes their results back as events. Messages can be lost, repeated and delayed.

The *map* lists the nodes with their rectangles of the torus; a node's *shard* is its rectangle with the beings in it,
its *halo* the cells around the shard. Every new map gets a higher number, its *epoch*.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from umwelt.cluster.wire.messages import Message
from umwelt.cluster.wire.protocol import ReportContent

# --- for both state machines


@dataclass(frozen=True)
class Timer:
    """The present time: `now_s` is monotonic time in seconds.

    The driver passes it in before other events, and regularly while there are no other events.
    """

    now_s: float


@dataclass(frozen=True)
class MessageReceived:
    """A received message with its raw frames (binary data that follows the encoded message).

    If `on_own_connection` is true, the message is an answer on a connection that this process opened, and `sender` is
    the address of that connection. Otherwise it arrived at the listening socket, and `sender` is the identity that the
    peer claims, which is not verified.
    """

    message: Message
    raw: Sequence[Any] = ()
    sender: Any = b""
    on_own_connection: bool = False


# --- for the state machine of a node


@dataclass(frozen=True)
class WorldPrepared:
    """Answer to `PrepareWorld`: the world is read and its laws are compiled.

    `seals` are hashes of the node's laws, species and tables, and the versions of its libraries, by these four names;
    the coordinator refuses the node if they differ from its own (see `fingerprint.seals_of`). `shares_folder` says
    whether the node can read and write the run's folder.
    """

    seals: dict[str, str]
    shares_folder: bool


@dataclass(frozen=True)
class ShardLoaded:
    """Answer to `LoadShard`: the shard that the map of `epoch` assigns is loaded. It has `entities` living beings."""

    epoch: int
    entities: int


@dataclass(frozen=True)
class HaloCut:
    """Answer to `CutHalo`: the halo contents for each neighbour at `tick`.

    `contents` maps the neighbour's index in the map to the raw frames of the halo message for that neighbour: the state
    of the owned cells that lie in the neighbour's halo.
    """

    tick: int
    contents: dict[int, list[Any]]


@dataclass(frozen=True)
class HaloPasted:
    """Answer to `PasteHalo`: the shard's halo is rebuilt, and equals the cells of the nodes that own them."""


@dataclass(frozen=True)
class HaloMalformed:
    """Answer to `PasteHalo`: the halo message of neighbour `source` is malformed, and the halo is unchanged."""

    tick: int
    source: int


@dataclass(frozen=True)
class TickFinished:
    """Answer to `RunTick`: the shard has reached `tick` and has `entities` beings, including those in the halo.

    `step_s` is the time that the computation took; `resident_bytes` is the resident memory of the process.
    """

    tick: int
    entities: int
    step_s: float
    resident_bytes: int


@dataclass(frozen=True)
class ReportReady:
    """A report to be sent to the coordinator, with its raw frames.

    It is a tick record (digest and counts of the shard at a tick), a written part of a snapshot, or a failure.
    `epoch` is the epoch of the map in which the report was made.
    """

    epoch: int
    content: ReportContent
    raw: Sequence[Any] = ()


NodeEvent = (
    Timer
    | MessageReceived
    | WorldPrepared
    | ShardLoaded
    | HaloCut
    | HaloPasted
    | HaloMalformed
    | TickFinished
    | ReportReady
)

# --- for the state machine of the coordinator


@dataclass(frozen=True)
class TorusDivided:
    """Answer to `DivideTorus`: the rectangles (y, x, height, width) of the map of `epoch`, in cells."""

    epoch: int
    rectangles: list[tuple[int, int, int, int]]


@dataclass(frozen=True)
class PartFetched:
    """Answer to `FetchPart`: all files of a snapshot part have arrived from the host of the node that wrote it.

    `key` is the key of that node. `kept` says whether the snapshot is a permanent one.
    """

    epoch: int
    tick: int
    kept: bool
    key: str


@dataclass(frozen=True)
class SnapshotCompleted:
    """Answer to `CompleteSnapshot`: the snapshot is complete, or has failed for the reason in `line`.

    After a failure the previous complete snapshot stays the newest one. `line` is empty on success. `kept` says
    whether the snapshot is a permanent one.
    """

    epoch: int
    tick: int
    kept: bool
    line: str = ""


CoordinatorEvent = Timer | MessageReceived | TorusDivided | PartFetched | SnapshotCompleted

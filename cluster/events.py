"""Events: the input of the two machines (`node/machine.py`, `coordinator/machine.py`).

The machines do no I/O: they take events and return instructions (`instructions.py`). A driver, or a simulation,
carries the instructions out and reports what came of them as events. It may lose, repeat and delay messages.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from umwelt.cluster.wire.messages import Message
from umwelt.cluster.wire.protocol import ReportContent

# --- of both machines


@dataclass(frozen=True)
class Timer:
    """`now_s` is monotonic time in seconds. The driver sends it often: before other events, and while nothing comes."""

    now_s: float


@dataclass(frozen=True)
class MessageReceived:
    """A message arrived, with its raw frames.

    `on_own_connection` tells whether it is an answer on a connection that this process opened to the address
    `sender`. Otherwise it came in at the listening socket, and `sender` is what the peer calls itself.
    """

    message: Message
    raw: Sequence[Any] = ()
    sender: Any = b""
    on_own_connection: bool = False


# --- of a node


@dataclass(frozen=True)
class WorldPrepared:
    """The world of the `Welcome` is read and compiled; `seals` are the hashes to show when joining."""

    seals: dict[str, str]
    shares_folder: bool


@dataclass(frozen=True)
class ShardLoaded:
    """The shard of this epoch's assignment is loaded; `entities` counts its living beings."""

    epoch: int
    entities: int


@dataclass(frozen=True)
class HaloCut:
    """What each neighbour's window shows of the shard at a tick, as raw frames by the neighbour's index."""

    tick: int
    contents: dict[int, list[Any]]


@dataclass(frozen=True)
class HaloPasted:
    """The shard's halo is exact again."""


@dataclass(frozen=True)
class HaloMalformed:
    """The frames of a neighbour's halo message have the wrong sizes or positions; nothing was pasted."""

    tick: int
    source: int


@dataclass(frozen=True)
class TickFinished:
    """A tick was computed in `step_s` seconds: the shard is at `tick` and holds `entities` beings, ghosts included."""

    tick: int
    entities: int
    step_s: float
    resident_bytes: int


@dataclass(frozen=True)
class ReportReady:
    """A report for the coordinator: a record, a part of a snapshot, or a failure, of the map of `epoch`."""

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

# --- of the coordinator


@dataclass(frozen=True)
class TorusDivided:
    """The torus is cut into rectangles (y, x, height, width) for the map of `epoch`."""

    epoch: int
    rectangles: list[tuple[int, int, int, int]]


@dataclass(frozen=True)
class PartFetched:
    """All files of the snapshot part that the node `key` wrote have arrived from its host."""

    epoch: int
    tick: int
    kept: bool
    key: str


@dataclass(frozen=True)
class SnapshotCompleted:
    """A snapshot is complete. On failure `line` tells why, and the snapshot before it remains the last one."""

    epoch: int
    tick: int
    kept: bool
    line: str = ""


CoordinatorEvent = Timer | MessageReceived | TorusDivided | PartFetched | SnapshotCompleted

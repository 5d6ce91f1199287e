"""What happens to nodes and to the directory, and what they want done: the words between thought and command.

`machine.py` and `directory.py` take events and give instructions. Who carries them out (`host.py`, `steward.py`, a
simulation) may lose, repeat and delay messages as it likes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from umwelt.cluster.wire.protocol import (
    Assignment,
    Failure,
    Member,
    Message,
    ScheduledCommand,
    SnapshotPart,
    TickRecord,
    Welcome,
)

# --- what happens to a node


@dataclass(frozen=True)
class MessageReceived:
    """A message came."""

    message: Message
    raw: Sequence[Any] = ()
    sender: Any = b""
    on_line: bool = False
    """Whether it is an answer on our line to the address `sender`; else it came through our door."""


@dataclass(frozen=True)
class Timer:
    """It is `now`."""

    now_s: float


@dataclass(frozen=True)
class WorldPrepared:
    """The world of the `Welcome` is compiled; `seals` are the hashes to show."""

    seals: dict[str, str]
    shares_folder: bool


@dataclass(frozen=True)
class ShardLoaded:
    """The rectangle is here."""

    epoch: int
    entities: int


@dataclass(frozen=True)
class HaloCut:
    """The edges of a tick, as frames for each neighbour."""

    tick: int
    strips: dict[int, list[Any]]


@dataclass(frozen=True)
class HaloPasted:
    """The halo is exact again."""


@dataclass(frozen=True)
class HaloMalformed:
    """A strip was none; it has to come again."""

    tick: int
    source: int


@dataclass(frozen=True)
class TickFinished:
    """A tick is done."""

    tick: int
    entities: int
    step_s: float
    resident_bytes: int


@dataclass(frozen=True)
class ReportReady:
    """Something that the directory must know came out: a record, a part of a snapshot, a failure."""

    epoch: int
    content: TickRecord | SnapshotPart | Failure
    raw: Sequence[Any] = ()


# --- what a node wants done


@dataclass(frozen=True)
class SendMessage:
    """Send a message to an address; it may get lost."""

    to: Any
    message: Message
    raw: Sequence[Any] = ()


@dataclass(frozen=True)
class PrepareWorld:
    """Read and compile the world; answer with `WorldPrepared`."""

    welcome: Welcome


@dataclass(frozen=True)
class LoadShard:
    """Load a rectangle; answer with `ShardLoaded`."""

    assign: Assignment


@dataclass(frozen=True)
class CutHalo:
    """Cut what these neighbours see; answer with `HaloCut`."""

    tick: int
    takers: tuple[int, ...]
    compressed: bool = False


@dataclass(frozen=True)
class PasteHalo:
    """Rebuild the halo from the neighbours' strips and one's own; answer with `HaloPasted` or `HaloMalformed`."""

    tick: int
    strips: dict[int, list[Any]]


@dataclass(frozen=True)
class RunTick:
    """Apply the commands of this tick, then run it; answer with `TickFinished`."""

    tick: int
    commands: tuple[ScheduledCommand, ...]


@dataclass(frozen=True)
class RecordTick:
    """Add up the owned part; answer with `ReportReady`."""

    tick: int


@dataclass(frozen=True)
class WriteSnapshotPart:
    """Write a part of a snapshot; answer with `ReportReady`, later if need be."""

    tick: int
    kept: bool


@dataclass(frozen=True)
class DropShard:
    """Forget the rectangle: it is somebody else's."""


@dataclass(frozen=True)
class EndNode:
    """Leave."""

    line: str
    refused: bool = False


# --- what happens to the directory, besides messages (`MessageReceived`) and time (`Timer`)


@dataclass(frozen=True)
class TorusDivided:
    """The torus was cut by weight."""

    epoch: int
    rectangles: list[tuple[int, int, int, int]]


@dataclass(frozen=True)
class SnapshotCompleted:
    """A snapshot is complete; or it is not, and why."""

    epoch: int
    tick: int
    kept: bool
    line: str = ""


@dataclass(frozen=True)
class PartFetched:
    """The files of a part have come from another host."""

    epoch: int
    tick: int
    kept: bool
    key: str


# --- what the directory wants done, besides `SendMessage`


@dataclass(frozen=True)
class DivideTorus:
    """Cut the torus for so many nodes by the weights in a snapshot; answer with `TorusDivided`."""

    epoch: int
    snapshot: str
    parts: int
    halo_cells: int


@dataclass(frozen=True)
class JournalMap:
    """Journal a new map before anybody hears of it."""

    epoch: int
    tick: int
    members: tuple[Member, ...]
    reason: str


@dataclass(frozen=True)
class JournalCommands:
    """Journal commands, durably, before anybody hears of them."""

    ticket: str
    commands: tuple[ScheduledCommand, ...]


@dataclass(frozen=True)
class JournalBirths:
    """Journal births."""

    raw: Sequence[Any]


@dataclass(frozen=True)
class JournalTick:
    """Journal a tick's digest and metrics."""

    tick: int
    digest: int
    births: int
    deaths: int
    populations: dict[str, dict[str, int]]
    substances: dict[str, int]


@dataclass(frozen=True)
class BeginSnapshot:
    """Make room for a snapshot."""

    epoch: int
    tick: int
    kept: bool


@dataclass(frozen=True)
class FetchPart:
    """Fetch the files of a part from a node that does not share the run's folder; answer with `PartFetched`."""

    epoch: int
    tick: int
    kept: bool
    key: str
    sender: Any
    rectangle: tuple[int, int, int, int]
    files: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class CompleteSnapshot:
    """Make the journal durable, then write the manifest; answer with `SnapshotCompleted`."""

    epoch: int
    tick: int
    kept: bool
    parts: tuple[dict[str, Any], ...]
    controls: dict[str, Any]
    births: int
    deaths: int


@dataclass(frozen=True)
class Announce:
    """Tell people."""

    line: str


@dataclass(frozen=True)
class EndRun:
    """All is saved (or cannot go on, which `line` tells): end."""

    line: str = ""

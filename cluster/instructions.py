"""Instructions: the output of the two machines (`node/machine.py`, `coordinator/machine.py`).

The drivers (`node/driver.py`, `coordinator/driver.py`) carry them out; those that produce something are answer with
an event (`events.py`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from umwelt.cluster.wire.messages import Message
from umwelt.cluster.wire.protocol import Assignment, Member, ScheduledCommand, Welcome

# --- of both machines


@dataclass(frozen=True)
class SendMessage:
    """Send a message to an address (str), or as an answer to a sender (bytes). It may get lost."""

    to: Any
    message: Message
    raw: Sequence[Any] = ()


# --- of a node


@dataclass(frozen=True)
class PrepareWorld:
    """Read the world and compile its laws. Answered with `WorldPrepared`."""

    welcome: Welcome


@dataclass(frozen=True)
class LoadShard:
    """Load the assigned rectangle from its snapshot. Cancels what is queued. Answered with `ShardLoaded`."""

    assignment: Assignment


@dataclass(frozen=True)
class CutHalo:
    """Cut out what the windows of these neighbours show of the shard. Answered with `HaloCut`."""

    tick: int
    takers: tuple[int, ...]
    compressed: bool = False


@dataclass(frozen=True)
class PasteHalo:
    """Rebuild the shard's halo from the neighbours' contents. Answered with `HaloPasted` or `HaloMalformed`."""

    tick: int
    contents: dict[int, list[Any]]


@dataclass(frozen=True)
class RunTick:
    """Apply the commands of this tick in their order, then run the laws. Answered with `TickFinished`."""

    tick: int
    commands: tuple[ScheduledCommand, ...]


@dataclass(frozen=True)
class RecordTick:
    """Add up digest and metrics of the owned cells. Answered with `ReportReady`."""

    tick: int


@dataclass(frozen=True)
class WriteSnapshotPart:
    """Write the shard's part of a snapshot, beside the ticks. Answered with `ReportReady`, later."""

    tick: int
    kept: bool


@dataclass(frozen=True)
class DropShard:
    """Release the shard: the node is no longer in the map. Cancels what is queued."""


@dataclass(frozen=True)
class EndNode:
    """End the process. `line` is printed; `refused` makes it an error."""

    line: str
    refused: bool = False


NodeAction = (
    PrepareWorld | LoadShard | CutHalo | PasteHalo | RunTick | RecordTick | WriteSnapshotPart | DropShard | EndNode
)
"""Instructions that are carried out one after another; messages are sent at once."""
NodeInstruction = SendMessage | NodeAction

# --- of the coordinator


@dataclass(frozen=True)
class DivideTorus:
    """Cut the torus into `parts` rectangles by the weights in a snapshot. Answered with `TorusDivided`."""

    epoch: int
    snapshot: str
    parts: int
    halo_cells: int


@dataclass(frozen=True)
class JournalMap:
    """Journal a new map, durably, before it is sent."""

    epoch: int
    tick: int
    members: tuple[Member, ...]
    reason: str


@dataclass(frozen=True)
class JournalCommands:
    """Journal commands. All messages that follow this instruction wait until it is durable."""

    ticket: str
    commands: tuple[ScheduledCommand, ...]


@dataclass(frozen=True)
class JournalBirths:
    """Journal births (`shard.pack_births`)."""

    raw: Sequence[Any]


@dataclass(frozen=True)
class JournalTick:
    """Journal digest and metrics of the whole world at a tick."""

    tick: int
    digest: int
    births: int
    deaths: int
    populations: dict[str, dict[str, int]]
    substances: dict[str, int]


@dataclass(frozen=True)
class BeginSnapshot:
    """Make the folder in which nodes write their parts of a snapshot."""

    epoch: int
    tick: int
    kept: bool


@dataclass(frozen=True)
class FetchPart:
    """Fetch the files of a part from a node that does not share the run's folder. Answered with `PartFetched`."""

    epoch: int
    tick: int
    kept: bool
    key: str
    sender: Any
    rectangle: tuple[int, int, int, int]
    files: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class CompleteSnapshot:
    """Make the journal durable, then write the manifest. Answered with `SnapshotCompleted`, later."""

    epoch: int
    tick: int
    kept: bool
    parts: tuple[dict[str, Any], ...]
    controls: dict[str, Any]
    births: int
    deaths: int


@dataclass(frozen=True)
class Announce:
    """Print a line for people."""

    line: str


@dataclass(frozen=True)
class EndRun:
    """End the process: everything is saved, or the run cannot go on, which `line` tells."""

    line: str = ""


CoordinatorAction = (
    DivideTorus
    | JournalMap
    | JournalCommands
    | JournalBirths
    | JournalTick
    | BeginSnapshot
    | FetchPart
    | CompleteSnapshot
    | Announce
    | EndRun
)
CoordinatorInstruction = SendMessage | CoordinatorAction

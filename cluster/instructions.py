"""Instructions: the output of the two state machines (`node/machine.py`, `coordinator/machine.py`).

The drivers (`node/driver.py`, `coordinator/driver.py`) carry them out. Instructions that have a result are answered
with an event (`events.py`, which also defines the terms *map*, *epoch*, *shard* and *halo*).

A snapshot consists of a *part* from each node, and a *manifest*, which describes the parts and is written last.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from umwelt.cluster.wire.messages import Message
from umwelt.cluster.wire.protocol import Assignment, Member, ScheduledCommand, Welcome

# --- of both state machines


@dataclass(frozen=True)
class SendMessage:
    """Send `message` to an address (`to` is a str), or as an answer to a sender (`to` is bytes).

    Delivery is not guaranteed.
    """

    to: Any
    message: Message
    raw: Sequence[Any] = ()


# --- of the state machine of a node


@dataclass(frozen=True)
class PrepareWorld:
    """Read the world in `welcome` and compile its laws. Answered with `WorldPrepared`."""

    welcome: Welcome


@dataclass(frozen=True)
class LoadShard:
    """Load the assigned rectangle from its snapshot. Cancels all queued actions. Answered with `ShardLoaded`."""

    assignment: Assignment


@dataclass(frozen=True)
class CutHalo:
    """Copy the cells and beings of the shard that lie in the halos of the neighbours `takers`.

    `takers` are indices in the map. With `compressed`, the copies are compressed. Answered with `HaloCut`.
    """

    tick: int
    takers: tuple[int, ...]
    compressed: bool = False


@dataclass(frozen=True)
class PasteHalo:
    """Rebuild the shard's halo from the halo contents that its neighbours have sent.

    `contents` maps a neighbour's index in the map to raw frames, as in `HaloCut`. Answered with `HaloPasted` or
    `HaloMalformed`.
    """

    tick: int
    contents: dict[int, list[Any]]


@dataclass(frozen=True)
class RunTick:
    """Apply `commands` to the shard, in order, then run the laws for one tick. Answered with `TickFinished`."""

    tick: int
    commands: tuple[ScheduledCommand, ...]


@dataclass(frozen=True)
class RecordTick:
    """Compute digest and metrics of the shard without its halo. Answered with `ReportReady`.

    The digest is a 64-bit sum over cells and beings; the metrics are counts of births, deaths, beings and molecules.
    """

    tick: int


@dataclass(frozen=True)
class WriteSnapshotPart:
    """Write the shard's part of a snapshot, in the background.

    Answered with `ReportReady` when the part is written; further ticks can run until then. `kept` snapshots are
    permanent.
    """

    tick: int
    kept: bool


@dataclass(frozen=True)
class DropShard:
    """Release the shard, because the node is no longer in the map. Cancels all queued actions."""


@dataclass(frozen=True)
class EndNode:
    """End the process and print `line`. With `refused`, the process ends with exit status 2."""

    line: str
    refused: bool = False


NodeAction = (
    PrepareWorld | LoadShard | CutHalo | PasteHalo | RunTick | RecordTick | WriteSnapshotPart | DropShard | EndNode
)
"""Instructions that are queued and carried out one after another; messages are not queued."""
NodeInstruction = SendMessage | NodeAction

# --- of the state machine of the coordinator


@dataclass(frozen=True)
class DivideTorus:
    """Cut the torus into `parts` rectangles of about equal cost.

    The cost is computed from the beings in the snapshot with the name `snapshot`. `halo_cells` is the width of the
    halo that each rectangle will have. Answered with `TorusDivided`.
    """

    epoch: int
    snapshot: str
    parts: int
    halo_cells: int


@dataclass(frozen=True)
class JournalMap:
    """Write a new map to the journal. It must be durable before the messages that follow are sent."""

    epoch: int
    tick: int
    members: tuple[Member, ...]
    reason: str


@dataclass(frozen=True)
class JournalCommands:
    """Write commands to the journal. Messages that follow are held back until the commands are durable.

    `ticket` identifies the request that submitted the commands.
    """

    ticket: str
    commands: tuple[ScheduledCommand, ...]


@dataclass(frozen=True)
class JournalBirths:
    """Write births to the journal. `raw` contains one item, the births as `shard.pack_births` encoded them."""

    raw: Sequence[Any]


@dataclass(frozen=True)
class JournalTick:
    """Write digest and metrics of the full world at a tick to the journal.

    `births` and `deaths` are counted since the start of the run. `populations` are numbers of beings by table and
    species, `substances` numbers of molecules by name.
    """

    tick: int
    digest: int
    births: int
    deaths: int
    populations: dict[str, dict[str, int]]
    substances: dict[str, int]


@dataclass(frozen=True)
class BeginSnapshot:
    """Create the folder in which the nodes write their parts of a snapshot."""

    epoch: int
    tick: int
    kept: bool


@dataclass(frozen=True)
class FetchPart:
    """Fetch the files of a snapshot part from a node that cannot write to the run's folder.

    `key` and `sender` identify the node, `rectangle` (y, x, height, width) is the rectangle of its part, and `files`
    are pairs of name and size in bytes. Answered with `PartFetched`.
    """

    epoch: int
    tick: int
    kept: bool
    key: str
    sender: Any
    rectangle: tuple[int, int, int, int]
    files: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class CompleteSnapshot:
    """Make the journal durable, then write the snapshot's manifest, in the background.

    `parts` are the manifest's entries for the parts. `controls` are the settings of the world that commands have
    changed, as a JSON object (`sandbox.controls.Controls`). `births` and `deaths` are counted since the start of the
    run. Answered with `SnapshotCompleted`.
    """

    epoch: int
    tick: int
    kept: bool
    parts: tuple[dict[str, Any], ...]
    controls: dict[str, Any]
    births: int
    deaths: int


@dataclass(frozen=True)
class Announce:
    """Print a line of progress for the user."""

    line: str


@dataclass(frozen=True)
class EndRun:
    """End the process. `line` is empty if everything is saved, else the error because of which the run ends."""

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

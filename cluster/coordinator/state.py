"""The state of a run on disk, the options of its launch, and its phases."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from umwelt.cluster.run.store import Entry
from umwelt.cluster.wire.protocol import ScheduledCommand
from umwelt.sandbox.region import Torus


@dataclass(frozen=True)
class RunState:
    """The state of a run, as its folder holds it. A coordinator starts from it, or starts again after it was killed."""

    torus: Torus
    reach: int
    """The light speed of the world's laws, in cells a tick."""
    snapshot: Entry
    """The newest snapshot that is whole."""
    births: int
    """Until that snapshot, as are `deaths`."""
    deaths: int
    epoch: int = 0
    """Of the newest map that was journalled; 0 for a new run."""
    next_number: int = 1
    """The journal number of the next command."""
    horizon: int = 0
    """No new command may take effect before this tick: it may have been computed already."""
    commands: tuple[ScheduledCommand, ...] = ()
    """The journalled commands from the snapshot's tick on."""
    tickets: tuple[tuple[str, int, int], ...] = ()
    """Ticket, tick and number of every command that was journalled."""


@dataclass(frozen=True)
class RunOptions:
    """How a run is carried on."""

    nodes: int = 1
    """The number of nodes to wait for."""
    ticks_per_exchange: int = 0
    """0: chosen by what is measured."""
    last_tick: int | None = None
    """The run ends at this tick; None: when it is told to stop."""
    max_parts: int = 1 << 30
    """The number of rectangles that the world has room for."""
    gather_s: float = 1.5
    """For so long a run that goes on waits for nodes; with fewer it then begins."""
    mark_s: float = 1.0
    """Interval of recovery snapshots, from which a run goes on after a node died."""
    kept_s: float = 60.0
    """Interval of kept snapshots."""
    dead_after_s: float = 1.0
    """A node without a heartbeat for so long is dead; later if its ticks take long."""
    new_pass: Callable[[], bytes] = bytes
    """Makes the pass key of a map."""


class Phase(StrEnum):
    """The phases of a run (see `machine.py`). The values stand in status reports."""

    GATHERING = "gathering"
    DIVIDING = "dividing"
    ASSIGNING = "assigning"
    RUNNING = "running"
    SETTLING = "settling"
    RESTING = "resting"

"""The initial state of a coordinator (read from the run's folder), the options of a run, and its phases.

A *map* says which node has which rectangle of the torus; its *epoch* is its number.

A *ticket* identifies the commands of one submission.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from umwelt.cluster.run.store import Entry
from umwelt.cluster.wire.protocol import ScheduledCommand
from umwelt.sandbox.region import Torus


@dataclass(frozen=True)
class RunState:
    """The state of a run as read from its folder, from which a coordinator starts."""

    torus: Torus
    reach: int
    """Number of cells that an effect of the world's laws can travel in one tick."""
    snapshot: Entry
    """The newest undamaged snapshot."""
    births: int
    """Number of births from the start of the run to that snapshot."""
    deaths: int
    """Number of deaths from the start of the run to that snapshot."""
    epoch: int = 0
    """Epoch of the newest journalled map; 0 for a new run."""
    next_number: int = 1
    """The journal number of the next command."""
    horizon: int = 0
    """First tick at which a new command may take effect; earlier ticks may have been computed already."""
    commands: tuple[ScheduledCommand, ...] = ()
    """The journalled commands of the snapshot's tick and later."""
    tickets: tuple[tuple[str, int, int], ...] = ()
    """Ticket, tick and journal number of every journalled command."""


@dataclass(frozen=True)
class RunOptions:
    """Options of a run."""

    nodes: int = 1
    """Number of nodes to wait for before the first map."""
    ticks_per_exchange: int = 0
    """Number of ticks after which neighbouring nodes send each other the cells near their border.

    0 if it is chosen by measurements (`balance.py`).
    """
    last_tick: int | None = None
    """Tick at which the run ends; None if it runs until it is stopped."""
    max_parts: int = 1 << 30
    """Maximum number of rectangles into which the torus can be divided."""
    gather_s: float = 1.5
    """Time in seconds for which a run that is continued waits for `nodes` nodes; it then continues with fewer."""
    mark_s: float = 1.0
    """Interval in seconds of temporary snapshots, which are loaded after a node has died."""
    kept_s: float = 60.0
    """Interval in seconds of kept (permanent) snapshots."""
    dead_after_s: float = 1.0
    """Time in seconds without a message after which a node is considered dead; longer if its ticks take long."""
    new_pass: Callable[[], bytes] = bytes
    """Returns a new random key for a map, with which nodes and gateways authenticate their messages to nodes."""


class Phase(StrEnum):
    """The phases of a run (see `machine.py`). The values appear in status reports."""

    GATHERING = "gathering"
    DIVIDING = "dividing"
    ASSIGNING = "assigning"
    RUNNING = "running"
    SETTLING = "settling"
    RESTING = "resting"

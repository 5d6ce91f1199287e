"""What processes of a cluster are started with, and the constants that several of them share.

A launcher writes a process's settings as JSON on its command line; the process reads them with `process.read_settings`.
"""

import msgspec

CLUSTER_FILE = "cluster.json"
"""In the run's folder: the launcher's process id and how it was started."""
COORDINATOR_FILE = "coordinator.json"
"""In the run's folder: the coordinator's address and process id, while it runs."""
COORDINATOR_LOCK = ".coordinator.lock"
"""In the run's folder: locked by the coordinator that runs it."""

COORDINATOR_ORPHAN_S = 20.0
"""For so long a coordinator whose launcher is gone tries to save the world before it ends."""
NODE_ORPHAN_S = 25.0
"""For so long a node whose launcher is gone waits for `Stop`: longer than the coordinator needs to save."""
FILE_REQUEST_RETRY_S = 1.0
"""A chunk of a snapshot's file that does not come is requested again after this time."""
STATUS_SUBSCRIPTION_S = 2.0
"""How often a subscriber to status reports renews its subscription."""


class NodeSettings(msgspec.Struct):
    """What a node is started with.

    `coordinator` is the coordinator's address. `bind` is where the node's sockets listen: `tcp://HOST:*` for any free
    port, `ipc://FOLDER/*` for free names in a folder. `keys` is a folder of keys, or empty.
    """

    coordinator: str
    bind: str
    name: str = ""
    keys: str = ""
    follow_parent: bool = True
    shares_nothing: bool = False
    """For tests: treat the run's folder as if it could not be read from here."""


class CoordinatorSettings(msgspec.Struct):
    """What a coordinator is started with; 0 stands for the default. See `coordinator.state.RunOptions`.

    `run` is the run's folder, `bind` where the coordinator listens, `keys` a folder of keys, or empty.
    """

    run: str
    bind: str
    keys: str = ""
    nodes: int = 1
    ticks_per_exchange: int = 0
    last_tick: int | None = None
    checked: bool = False
    mark_s: float = 0.0
    kept_s: float = 0.0
    dead_after_s: float = 0.0
    gather_s: float = 0.0

"""Settings of the processes of a cluster, and constants that several processes share.

A launcher passes the settings as JSON on the command line; the process reads them with `process.read_settings`.
"""

import msgspec

CLUSTER_FILE = "cluster.json"
"""Name of the file in the run's folder that holds the launcher's process id, number of nodes and bind address."""
COORDINATOR_FILE = "coordinator.json"
"""Name of the file in the run's folder that holds the coordinator's address and process id, while it runs."""
COORDINATOR_LOCK = ".coordinator.lock"
"""Name of the file in the run's folder that the running coordinator locks."""

COORDINATOR_ORPHAN_S = 20.0
"""Time in seconds that a coordinator has to save the world after its launcher has ended; then it ends in any case."""
NODE_ORPHAN_S = 25.0
"""Time in seconds for which a node waits for the coordinator's `Stop` message after its launcher has ended.

It is longer than `COORDINATOR_ORPHAN_S`, because the coordinator saves the world first.
"""
FILE_REQUEST_RETRY_S = 1.0
"""Time after which a missing chunk of a snapshot's file is requested again."""
STATUS_SUBSCRIPTION_S = 2.0
"""Interval at which a subscriber to status reports renews its subscription."""


class NodeSettings(msgspec.Struct):
    """Settings of a node's process.

    `coordinator` is the coordinator's address. `bind` is where the node's sockets listen: `tcp://HOST:*` for any free
    port, `ipc://FOLDER/*` for unused names in a folder. `name` is the requested name of the node; if it is empty, the
    coordinator chooses one. `keys` is a folder of keys; if it is empty, connections are not authenticated. With
    `follow_parent` the node ends after its parent process has ended.
    """

    coordinator: str
    bind: str
    name: str = ""
    keys: str = ""
    follow_parent: bool = True
    shares_nothing: bool = False
    """For tests: whether to treat the run's folder as unreadable."""


class CoordinatorSettings(msgspec.Struct):
    """Settings of a coordinator's process.

    `run` is the run's folder, `bind` the address where the coordinator listens, `keys` a folder of keys; if it is
    empty, connections are not authenticated. With `checked`, nodes check the behaviours of species
    (`shard.check_species`). `nodes` is the number of nodes to wait for, `ticks_per_exchange` the number of ticks after
    which neighbouring nodes exchange the cells near their borders (0: chosen by measurements), and `last_tick` the tick
    at which the run ends. Times are in seconds; 0 selects the default in `coordinator.state.RunOptions`. `mark_s` and
    `kept_s` are the intervals of temporary and of kept snapshots, `dead_after_s` is the time without a message after
    which a node is considered dead, and `gather_s` the time to wait for the nodes.
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

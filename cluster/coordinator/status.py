"""Status reports: the state of a run as JSON, for gateways, launchers and users. No I/O."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from umwelt.cluster.coordinator.membership import NodeRecord
from umwelt.cluster.wire.protocol import Heartbeat, TickRecord

REPORT_INTERVAL_S = 0.2
SUBSCRIPTION_ENDS_S = 10.0
MAX_SUBSCRIBERS = 256
MAX_EVENTS = 50


@dataclass(frozen=True)
class EventLine:
    """An event, such as the joining of a node, as text for the user; `tick` is the tick granted at that time."""

    tick: int
    line: str


@dataclass(frozen=True)
class NodeStatus:
    """A node in a status report.

    `rectangle` is (y, x, height, width) in cells; None while the node has none. `entities` is the number of beings,
    `ticks_per_s` the speed without the time that the node waits for its neighbours, `waiting_share` the share of the
    time that it waits (0 to 1), `round_trip_s` the time for a message to a neighbour and back (0 if unknown), and
    `resident_bytes` the memory of its process.
    """

    name: str
    pid: int
    host: str
    rectangle: tuple[int, int, int, int] | None
    tick: int
    entities: int
    ticks_per_s: float
    waiting_share: float
    round_trip_s: float
    resident_bytes: int
    state: str
    """`ready` if the node has loaded its rectangle, else `loading`."""


@dataclass(frozen=True)
class MetricsStatus:
    """Digest of the world's state (16 hex digits), and metrics of the full world, at the latest recorded tick.

    `births` and `deaths` are counted from the start of the run; `populations[table][species]` is the number of
    beings of a species, with table "plants" or "monsters"; `substances` are numbers of molecules by name.
    """

    tick: int
    digest: str
    births: int
    deaths: int
    populations: dict[str, dict[str, int]]
    substances: dict[str, int]


@dataclass(frozen=True)
class RunStatus:
    """The state of a run.

    `world` is the world's name, `run` the run's folder, `tick` the latest tick that all nodes have reached, `granted`
    the tick until which they may run, `snapshot_tick` the tick of the last complete snapshot, and `speed` is in ticks
    per second, 0 for as fast as possible.
    """

    world: str
    run: str
    phase: str
    tick: int
    granted: int
    epoch: int
    ticks_per_exchange: int
    paused: bool
    speed: float
    snapshot_tick: int
    nodes: list[NodeStatus]
    metrics: MetricsStatus | None
    events: list[EventLine]

    def encode(self) -> bytes:
        """Returns the status encoded as a JSON object with the names of the fields."""
        return msgspec.json.encode(self)


def describe_node(node: NodeRecord, rectangle: tuple[int, int, int, int] | None) -> NodeStatus:
    """Returns the entry of a node in a status report."""
    heartbeat = node.heartbeat or Heartbeat(node.key, 0, node.tick)
    return NodeStatus(
        node.name,
        node.join.pid,
        node.join.host,
        rectangle,
        node.tick,
        node.living or heartbeat.entities,
        round(1 / heartbeat.tick_s, 3) if heartbeat.tick_s > 0 else 0.0,
        round(heartbeat.waiting_share, 4),
        round(heartbeat.round_trip_s, 5),
        heartbeat.resident_bytes,
        "ready" if node.ready else "loading",
    )


def describe_metrics(record: TickRecord | None) -> MetricsStatus | None:
    """Returns the metrics of a status report, from the record of the full world; None if there is no record."""
    if record is None:
        return None
    return MetricsStatus(
        record.tick, f"{record.digest:016x}", record.births, record.deaths, record.populations, record.substances
    )


class StatusReports:
    """Subscribers to status reports, and recent events. Owned by `CoordinatorMachine`."""

    def __init__(self) -> None:
        self.subscribers: dict[Any, float] = {}
        """Time of the last subscription or renewal, by sender."""
        self.events: list[EventLine] = []
        self._reported_s = 0.0

    def subscribe(self, sender: Any, now_s: float) -> None:
        """Adds or renews a subscription. A new subscription makes a report due immediately.

        New subscriptions are ignored while there are `MAX_SUBSCRIBERS`.
        """
        if sender not in self.subscribers:
            if len(self.subscribers) >= MAX_SUBSCRIBERS:
                return
            self._reported_s = float("-inf")
        self.subscribers[sender] = now_s

    def is_due(self, now_s: float) -> bool:
        """Returns whether the last report was sent at least `REPORT_INTERVAL_S` ago."""
        return now_s - self._reported_s >= REPORT_INTERVAL_S

    def receivers(self, now_s: float) -> Sequence[Any]:
        """Returns the subscribers to send a report to now; removes those that have not renewed their subscription."""
        self._reported_s = now_s
        self.subscribers = {
            sender: subscribed_s
            for sender, subscribed_s in self.subscribers.items()
            if now_s - subscribed_s < SUBSCRIPTION_ENDS_S
        }
        return list(self.subscribers)

    def add_event(self, tick: int, line: str) -> None:
        """Adds an event, and drops the oldest one if there are more than `MAX_EVENTS`."""
        self.events = [*self.events[1 - MAX_EVENTS :], EventLine(tick, line)]

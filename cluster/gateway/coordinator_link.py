"""The gateway's subscription to the coordinator: the status of the world, and the map of its nodes."""

from collections.abc import Callable
from typing import Any

import msgspec

from umwelt.cluster.gateway.node_map import NodeMap
from umwelt.cluster.settings import STATUS_SUBSCRIPTION_S
from umwelt.cluster.wire.protocol import StatusReport, StatusSubscription, encode
from umwelt.cluster.wire.transport import Transport

ATTEND_FIRST_EVERY_S = 0.1
"""Interval in seconds at which reports are requested until the first report arrives."""
RECONNECT_AFTER_S = 6.0
"""Time in seconds without a report after which the connection to the coordinator is reopened."""


class CoordinatorLink:
    """Requests status reports from the coordinator at `address`, and stores the last one. One instance per gateway.

    `lines` is the transport that connects to the coordinator. `on_map` is called with each new node map.
    """

    def __init__(self, lines: Transport, address: str, on_map: Callable[[NodeMap], None]):
        self._lines, self.address, self._on_map = lines, address, on_map
        self.status: dict[str, Any] = {}
        """The status in the last report, with the fields of `coordinator.status.RunStatus`; empty before the first."""
        self.status_json = b"{}"
        """The status as the JSON that is sent to viewers."""
        self.node_map: NodeMap | None = None
        """The present nodes; None while no node has joined, or while the torus is being divided."""
        self.reported_s = self._attended_s = -1e9
        """Time at which the last report arrived; negative if none has arrived since the connection was opened."""

    @property
    def is_resting(self) -> bool:
        """Whether, by the last report, the world is not advancing."""
        return bool(self.status.get("paused")) or self.status.get("phase") != "running"

    @property
    def tick(self) -> int:
        """The tick that the run has reached, by the last report."""
        return int(self.status.get("tick", 0))

    def poll(self, now_s: float) -> None:
        """Renews the subscription to reports when this is due, and reconnects if reports have stopped."""
        if now_s - self._attended_s < (STATUS_SUBSCRIPTION_S if self.reported_s > 0 else ATTEND_FIRST_EVERY_S):
            return
        if self.reported_s > 0 and now_s - self.reported_s > RECONNECT_AFTER_S:
            self._lines.forget(self.address)
            self.reported_s = -1.0
        self._attended_s = now_s
        if not self._lines.send(self.address, encode(StatusSubscription("gateway"))):
            self._attended_s = now_s - 0.95 * STATUS_SUBSCRIPTION_S  # the connection is not open yet

    def take_report(self, report: StatusReport, now_s: float) -> None:
        """Stores a report, and calls `on_map` if its node map is new."""
        self.reported_s, self.status_json = now_s, report.status
        try:
            self.status = msgspec.json.decode(report.status, type=dict[str, Any])
        except msgspec.DecodeError:
            return
        addresses = tuple(member.address for member in report.members)
        tile_addresses = tuple(member.tiles_address for member in report.members)
        rectangles = tuple(member.rectangle for member in report.members)
        node_map = NodeMap(report.epoch, report.pass_key, addresses, tile_addresses, rectangles)
        if node_map != self.node_map:
            for address in set(self.node_map.addresses if self.node_map else ()) - set(addresses):
                self._lines.forget(address)
            self.node_map = node_map if addresses else None
            self._on_map(node_map)

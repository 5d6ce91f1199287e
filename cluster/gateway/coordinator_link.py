"""The gateway's subscription to the coordinator: status of the world, and the map of its nodes."""

from collections.abc import Callable
from typing import Any

import msgspec

from umwelt.cluster.gateway.node_map import NodeMap
from umwelt.cluster.settings import STATUS_SUBSCRIPTION_S
from umwelt.cluster.wire.protocol import StatusReport, StatusSubscription, encode
from umwelt.cluster.wire.transport import Transport

ATTEND_FIRST_EVERY_S = 0.1
"""How often reports are requested until the first one has come."""
RECONNECT_AFTER_S = 6.0
"""Without a report for this long, the connection to the coordinator is opened again."""


class CoordinatorLink:
    """What the coordinator last reported. `on_map` is called with each new map of nodes. One for each gateway."""

    def __init__(self, lines: Transport, address: str, on_map: Callable[[NodeMap], None]):
        self._lines, self.address, self._on_map = lines, address, on_map
        self.status: dict[str, Any] = {}
        self.status_json = b"{}"
        """The same, as it is sent to viewers."""
        self.node_map: NodeMap | None = None
        """None while no node has joined, or a new map is being made."""
        self.reported_s = self._attended_s = -1e9

    @property
    def is_resting(self) -> bool:
        """Whether no tick is being computed at present, as far as the last report tells."""
        return bool(self.status.get("paused")) or self.status.get("phase") != "running"

    @property
    def tick(self) -> int:
        """The tick that the run has reached."""
        return int(self.status.get("tick", 0))

    def turn(self, now_s: float) -> None:
        """Requests reports when it is time."""
        if now_s - self._attended_s < (STATUS_SUBSCRIPTION_S if self.reported_s > 0 else ATTEND_FIRST_EVERY_S):
            return
        if self.reported_s > 0 and now_s - self.reported_s > RECONNECT_AFTER_S:
            self._lines.forget(self.address)
            self.reported_s = -1.0
        self._attended_s = now_s
        if not self._lines.send(self.address, encode(StatusSubscription("gateway"))):
            self._attended_s = now_s - 0.95 * STATUS_SUBSCRIPTION_S  # the connection is only being opened

    def take_report(self, report: StatusReport, now_s: float) -> None:
        """Stores a report."""
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

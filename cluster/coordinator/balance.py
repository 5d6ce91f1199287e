"""Whether another map would be faster: the number of ticks an exchange, and the balance of load. No I/O."""

from collections.abc import Sequence
from typing import NamedTuple

from umwelt.cluster.coordinator.membership import NodeRecord
from umwelt.cluster.partition import imbalance
from umwelt.cluster.wire.protocol import Heartbeat, Member
from umwelt.sandbox.region import Torus

EXCHANGE_CHOICES = (1, 2, 4, 8)
"""Numbers of ticks an exchange to choose among."""
WORTHWHILE_SHARE = 0.85
"""Another number is chosen if ticks promise to take at most this share of the time."""
EXCHANGE_S = 0.0005
"""What an exchange costs besides computing and the way of the messages."""
JUDGE_INTERVAL_S = 2.0
BUSIEST_OVER_MEAN = 1.25
"""The load is divided again if the busiest node has so many times the mean load."""
BALANCE_AFTER_S = 20.0
"""After a change of the map, the load is not divided again for so long."""


class Improvement(NamedTuple):
    """A better map: its number of ticks an exchange, and the reason for the change."""

    ticks_per_exchange: int
    reason: str


class LoadBalance:
    """Judges the present map by what nodes measure. Owned by `CoordinatorMachine`.

    `fixed_ticks_per_exchange` is 0 if that number is chosen here.
    """

    def __init__(self, torus: Torus, reach: int, fixed_ticks_per_exchange: int):
        self._torus, self._reach, self._fixed = torus, reach, fixed_ticks_per_exchange
        self._judged_s = self._changed_s = 0.0

    def restart(self, now_s: float) -> None:
        """The map has changed."""
        self._judged_s = self._changed_s = now_s

    def is_due(self, nodes: Sequence[NodeRecord], now_s: float) -> bool:
        """Whether the map is to be judged now; starts the next interval if so."""
        if now_s - self._judged_s < JUDGE_INTERVAL_S or not all(node.heartbeat for node in nodes):
            return False
        self._judged_s = now_s
        return True

    def improve(
        self, nodes: Sequence[NodeRecord], members: Sequence[Member], ticks_per_exchange: int, now_s: float
    ) -> Improvement | None:
        """Returns a better map for the nodes of the present one, if there is one and all have measured ticks."""
        heartbeats = [node.heartbeat for node in nodes if node.heartbeat is not None and node.heartbeat.tick_s > 0]
        if len(heartbeats) < len(members):
            return None
        measured = len(members) == 1 or all(heartbeat.round_trip_s > 0 for heartbeat in heartbeats)
        if measured and not self._fixed:
            best = exchange_ticks(ticks_per_exchange, heartbeats, members, self._torus, self._reach)
            if best != ticks_per_exchange:
                return Improvement(best, f"{best} tick{'s' if best > 1 else ''} an exchange")
        if now_s - self._changed_s > BALANCE_AFTER_S and len(members) > 1:
            uneven = imbalance([heartbeat.tick_s for heartbeat in heartbeats])
            if uneven >= BUSIEST_OVER_MEAN:
                return Improvement(ticks_per_exchange, f"the busiest node has {uneven:.2f} times the mean load")
        return None


def exchange_ticks(
    current: int, heartbeats: Sequence[Heartbeat], members: Sequence[Member], torus: Torus, reach: int
) -> int:
    """Returns the number of ticks an exchange that makes ticks fastest, by what was measured with the current number.

    A tick costs the work on the window, which is larger the deeper the halo is, and a share of an exchange.
    """
    if len(members) < 2:
        return 1
    height, width = members[0].rectangle[2:]
    tick_s = max(heartbeat.tick_s for heartbeat in heartbeats)
    exchange_s = max(heartbeat.round_trip_s for heartbeat in heartbeats) / 2 + EXCHANGE_S
    owned_tick_s = tick_s / window_share(height, width, reach, current)

    def expected_tick_s(ticks: int) -> float:
        return owned_tick_s * window_share(height, width, reach, ticks) + exchange_s / ticks

    possible = [ticks for ticks in EXCHANGE_CHOICES if ticks == 1 or reach * ticks <= min(torus)]
    best = min(possible, key=expected_tick_s)
    return best if expected_tick_s(best) < WORTHWHILE_SHARE * expected_tick_s(current) else current


def window_share(height: int, width: int, reach: int, ticks_per_exchange: int) -> float:
    """Cells computed over cells owned, on average over an exchange: the exact part of the halo shrinks every tick."""
    margins = [reach * (ticks_per_exchange - tick - 0.5) for tick in range(ticks_per_exchange)]
    cells = sum((height + 2 * margin) * (width + 2 * margin) for margin in margins) / len(margins)
    return cells / (height * width)

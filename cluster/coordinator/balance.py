"""Decides whether the world would run faster with another number of ticks per exchange, or another division. No I/O.

A *map* is a division of the torus into one rectangle (a *shard*) for each node. A node also computes the cells around
its rectangle, the *halo*. At an *exchange*, neighbouring nodes send each other the state of these cells; until the next
exchange, every node runs its ticks without the others, and less of the halo is correct after each tick.
"""

from collections.abc import Sequence
from typing import NamedTuple

from umwelt.cluster.coordinator.membership import NodeRecord
from umwelt.cluster.partition import imbalance
from umwelt.cluster.wire.protocol import Heartbeat, Member
from umwelt.sandbox.region import Torus

EXCHANGE_CHOICES = (1, 2, 4, 8)
"""Possible numbers of ticks per exchange."""
WORTHWHILE_SHARE = 0.85
"""The number of ticks per exchange is changed if the expected time of a tick shrinks below this share of it."""
EXCHANGE_S = 0.0005
"""Fixed cost of an exchange in seconds, besides computation and the transmission of messages."""
JUDGE_INTERVAL_S = 2.0
BUSIEST_OVER_MEAN = 1.25
"""Minimum ratio of the busiest node's load to the mean load for which the torus is divided again."""
BALANCE_AFTER_S = 20.0
"""Minimum time between a change of the map and the next division because of uneven load."""


class Improvement(NamedTuple):
    """A proposed change of the map: its number of ticks per exchange, and the reason as text for the user."""

    ticks_per_exchange: int
    reason: str


class LoadBalance:
    """Evaluates the present map by the measurements in the nodes' heartbeats. Owned by `CoordinatorMachine`.

    `reach` is the number of cells that an effect can travel in one tick. `fixed_ticks_per_exchange` is the number of
    ticks per exchange that the user has chosen; 0 if it is chosen here.
    """

    def __init__(self, torus: Torus, reach: int, fixed_ticks_per_exchange: int):
        self._torus, self._reach, self._fixed = torus, reach, fixed_ticks_per_exchange
        self._judged_s = self._changed_s = 0.0

    def restart(self, now_s: float) -> None:
        """Starts the waiting times for evaluations and for divisions again, because the map has changed."""
        self._judged_s = self._changed_s = now_s

    def is_due(self, nodes: Sequence[NodeRecord], now_s: float) -> bool:
        """Returns whether the map is to be evaluated now; if so, starts the next interval.

        The map is evaluated every `JUDGE_INTERVAL_S` seconds, if all nodes have sent heartbeats.
        """
        if now_s - self._judged_s < JUDGE_INTERVAL_S or not all(node.heartbeat for node in nodes):
            return False
        self._judged_s = now_s
        return True

    def improve(
        self, nodes: Sequence[NodeRecord], members: Sequence[Member], ticks_per_exchange: int, now_s: float
    ) -> Improvement | None:
        """Returns how the map should be changed; None if no change is worthwhile, or measurements are missing.

        `nodes` are the nodes of the present map, `members` their entries in it.
        """
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
    """Returns the number of ticks per exchange for which ticks are expected to be fastest.

    The cost of a tick is the computation of the shard and its halo, which is wider for more ticks per exchange, plus a
    share of the cost of an exchange. Both are estimated from `heartbeats`, measured with `current` ticks per exchange.
    Returns `current` unless another number is considerably faster, and 1 if there is only one node.
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
    """Returns the mean number of cells computed per tick, divided by the number of owned cells.

    The mean is taken over the ticks between two exchanges, in which the part of the halo that is still correct, and is
    computed, shrinks. `height` and `width` are those of the shard's rectangle.
    """
    margins = [reach * (ticks_per_exchange - tick - 0.5) for tick in range(ticks_per_exchange)]
    cells = sum((height + 2 * margin) * (width + 2 * margin) for margin in margins) / len(margins)
    return cells / (height * width)

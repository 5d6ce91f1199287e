"""How time is handed out: as fast as it goes, at a speed, paused, step by step. And how often nodes exchange edges."""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from umwelt.cluster.wire.protocol import Heartbeat, Member
from umwelt.sandbox.errors import CommandError
from umwelt.sandbox.region import Torus

EXCHANGES = (1, 2, 4, 8)
"""Numbers of ticks an exchange to choose among."""
WORTH = 0.85
"""Another number is taken if it promises to take at most this share of the time."""
EXCHANGE_S = 0.0005
"""What an exchange costs besides the way and the work."""
MAX_SPEED = 1e6
STRIDE_S = 1.0
"""Over how long the world's own pace is measured."""


@dataclass
class WorldClock:
    """How far time may go."""

    last_tick: int | None = None
    speed: float = 0.0
    """Ticks a second; 0 is as fast as it goes."""
    paused: bool = False
    until: int = 0
    """Where a paused world rests."""
    reached: int = 0
    """What was granted once is granted again after a fall back, at once."""
    _anchor_tick: int = 0
    _anchor_s: float = 0.0

    def begin(self, tick: int, now_s: float) -> None:
        """Time goes on at a tick."""
        self._anchor_tick, self._anchor_s = max(tick, self.reached), now_s

    def through(self, wished: int, now_s: float) -> int:
        """Until when time may be granted, of what is wished."""
        if self.last_tick is not None:
            wished = min(wished, self.last_tick)
        allowed = wished
        if self.paused:
            allowed = self.until
        elif self.speed > 0:
            allowed = self._anchor_tick + int((now_s - self._anchor_s) * self.speed)
            if allowed > wished:  # the world is slower than wished: time lost is not made up for
                self._anchor_tick, self._anchor_s = wished, now_s
        through = min(wished, max(allowed, self.reached))
        self.reached = max(self.reached, through)
        return through

    def order(self, what: str, value: float, granted: int, now_s: float) -> None:
        """Pause, resume, step or change the speed; raises CommandError for an order that is not valid."""
        if what == "pause":
            self.paused, self.until = True, max(granted, self.reached)
        elif what == "go":
            self.paused = False
        elif what == "step":
            if not 1 <= value <= MAX_SPEED or value != int(value):
                raise CommandError(f"step {value:g}: give a whole number of ticks, 1 or more")
            resting = max(granted, self.reached, self.until if self.paused else 0)
            self.paused, self.until = True, resting + int(value)
        elif what == "speed":
            if not 0 <= value <= MAX_SPEED:
                raise CommandError(f"speed {value:g}: give ticks a second, 0 for as fast as it goes")
            self.speed = value
        else:
            raise CommandError(f"{what}: nobody knows this order")
        self.begin(granted, now_s)


@dataclass
class TickRate:
    """How long the whole world takes for a tick, as seen by the directory: with all that nodes wait for each other."""

    _seen: deque[tuple[float, int]] = field(default_factory=deque)

    def begin(self) -> None:
        """Time went otherwise until now."""
        self._seen.clear()

    def see(self, tick: int, now_s: float) -> None:
        """All nodes have reached a tick."""
        if self._seen and self._seen[-1][1] >= tick:
            return
        self._seen.append((now_s, tick))
        while len(self._seen) > 2 and now_s - self._seen[1][0] > STRIDE_S:
            self._seen.popleft()

    def ahead(self, seconds: float, tick_s: float) -> int:
        """Ticks that fit in a time, where nodes compute for `tick_s` a tick; 1 as long as nothing was seen."""
        if len(self._seen) < 2:
            return 1
        (first_s, first), (last_s, last) = self._seen[0], self._seen[-1]
        return math.ceil(seconds / max(tick_s, (last_s - first_s) / (last - first), 1e-6))


def threads_each(host: str, cores: int, hosts: Sequence[str]) -> int:
    """How many threads a node may use, of the cores that it shares with others on its host."""
    return max(1, cores // max(1, hosts.count(host)))


def window_share(height: int, width: int, reach: int, ticks_per_exchange: int) -> float:
    """Cells that are computed over cells that are owned, on average over an exchange: the halo shrinks tick by tick."""
    grown = [reach * (ticks_per_exchange - j - 0.5) for j in range(ticks_per_exchange)]
    return sum((height + 2 * g) * (width + 2 * g) for g in grown) / len(grown) / (height * width)


def exchange_ticks(
    current: int, beats: Sequence[Heartbeat], members: Sequence[Member], torus: Torus, reach: int
) -> int:
    """The number of ticks an exchange that makes the slowest node's ticks shortest, by what was measured.

    A tick costs the work on the window, and its share of the way to the neighbours and back.
    """
    if len(members) < 2:
        return 1
    height, width = members[0].rectangle[2:]
    tick_s = max(beat.tick_s for beat in beats)
    way_s = max(beat.round_trip_s for beat in beats) / 2 + EXCHANGE_S
    work_s = tick_s / window_share(height, width, reach, current)

    def taken_s(k: int) -> float:
        return work_s * window_share(height, width, reach, k) + way_s / k

    possible = [k for k in EXCHANGES if k == 1 or reach * k <= min(torus)]
    best = min(possible, key=taken_s)
    return best if taken_s(best) < WORTH * taken_s(current) else current

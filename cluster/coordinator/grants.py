"""Computes until which tick the nodes may run: this tick is *granted* to them. No I/O.

Time is granted a little ahead of the slowest node: far enough that nodes need not wait for grants, and not so far that
commands, which take effect after the last granted tick, are delayed noticeably. Speed, pause and step only affect which
ticks are granted.
"""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from umwelt.cluster.wire.protocol import Heartbeat
from umwelt.sandbox.errors import CommandError

AHEAD_S = 0.1
"""Real time, in seconds, for which ticks are granted ahead of the slowest node."""
RESEND_AFTER_S = 0.1
MAX_SPEED = 1e6
MAX_STEP_TICKS = 1e6
RATE_WINDOW_S = 1.0


@dataclass
class WorldClock:
    """Limits granted ticks by the user's orders: run as fast as possible, run at a speed, pause, or run some ticks."""

    last_tick: int | None = None
    """Tick at which the run ends; None if it has no end."""
    speed: float = 0.0
    """Ticks per second; 0 for as fast as possible."""
    paused: bool = False
    pause_tick: int = 0
    """Tick at which a paused world stops."""
    reached: int = 0
    """The latest tick that was ever granted.

    After the world was reloaded from a snapshot, ticks up to this one are granted regardless of speed and pause.
    """
    _anchor_tick: int = 0
    _anchor_s: float = 0.0

    def start(self, tick: int, now_s: float) -> None:
        """Starts to measure the speed from `tick`, or from `reached` if that is later."""
        self._anchor_tick, self._anchor_s = max(tick, self.reached), now_s

    def limit(self, wanted: int, now_s: float) -> int:
        """Returns the tick until which time may be granted, at most `wanted`; updates `reached`."""
        if self.last_tick is not None:
            wanted = min(wanted, self.last_tick)
        allowed = wanted
        if self.paused:
            allowed = self.pause_tick
        elif self.speed > 0:
            allowed = self._anchor_tick + int((now_s - self._anchor_s) * self.speed)
            if allowed > wanted:  # the nodes are slower than the speed: lost time is not made up for later
                self._anchor_tick, self._anchor_s = wanted, now_s
        through = min(wanted, max(allowed, self.reached))
        self.reached = max(self.reached, through)
        return through

    def order(self, what: str, value: float, granted: int, now_s: float) -> None:
        """Carries out an order: pause, go, step (`value` ticks) or speed (`value` ticks per second).

        `granted` is the tick until which time is granted. Raises CommandError if the order is not valid.
        """
        match what:
            case "pause":
                self.paused, self.pause_tick = True, max(granted, self.reached)
            case "go":
                self.paused = False
            case "step":
                if not 1 <= value <= MAX_STEP_TICKS or value != int(value):
                    raise CommandError(f"step {value:g}: give a whole number of ticks, 1 or more")
                rests_at = max(granted, self.reached, self.pause_tick if self.paused else 0)
                self.paused, self.pause_tick = True, rests_at + int(value)
            case "speed":
                if not 0 <= value <= MAX_SPEED:
                    raise CommandError(f"speed {value:g}: give ticks a second, 0 for as fast as possible")
                self.speed = value
            case _:
                raise CommandError(f"{what}: unknown order: use pause, go, step, speed, save, leave or stop")
        self.start(granted, now_s)


@dataclass
class TickRate:
    """Measures the rate at which all nodes together complete ticks, including the time they wait for each other."""

    _seen: deque[tuple[float, int]] = field(default_factory=deque)
    """Pairs (time, tick reached by all nodes) of the last `RATE_WINDOW_S` seconds."""

    def restart(self) -> None:
        """Drops all measurements, because time is granted differently from now on."""
        self._seen.clear()

    def add(self, tick: int, now_s: float) -> None:
        """Records that all nodes have reached `tick`."""
        if self._seen and self._seen[-1][1] >= tick:
            return
        self._seen.append((now_s, tick))
        while len(self._seen) > 2 and now_s - self._seen[1][0] > RATE_WINDOW_S:
            self._seen.popleft()

    def ticks_in(self, seconds: float, tick_s: float) -> int:
        """Returns the number of ticks that are computed in `seconds`, rounded up; 1 while nothing is measured.

        `tick_s` is the time of a tick without waiting, as nodes report it; it is a lower bound for the measured time.
        """
        if len(self._seen) < 2:
            return 1
        (first_s, first_tick), (last_s, last_tick) = self._seen[0], self._seen[-1]
        return math.ceil(seconds / max(tick_s, (last_s - first_s) / (last_tick - first_tick), 1e-6))


class Grants:
    """State of the granted time. Owned by `CoordinatorMachine`.

    `granted` is the tick until which nodes may run. `horizon` is the first tick that was never granted, at which a new
    command may take effect.
    """

    def __init__(self, tick: int, horizon: int, last_tick: int | None):
        self.granted = tick
        self.horizon = max(horizon, tick)
        self.clock = WorldClock(last_tick)
        self._rate = TickRate()
        self._sent_s = float("-inf")

    @property
    def caught_up(self) -> bool:
        """Whether all ticks that were ever granted are granted again, after the world was reloaded from a snapshot."""
        return self.granted >= self.clock.reached

    @property
    def first_free_tick(self) -> int:
        """The first tick at which a new command may take effect."""
        return max(self.horizon, self.granted)

    def fall_back(self, tick: int) -> None:
        """Withdraws all grants after `tick`, because the world is reloaded from a snapshot of that tick."""
        self.granted = tick

    def start(self, tick: int, now_s: float) -> None:
        """Starts to measure speed and rate from `tick`, when all nodes have loaded their shards."""
        self.clock.start(tick, now_s)
        self._rate.restart()

    def order(self, what: str, value: float, now_s: float) -> None:
        """Carries out an order on time (see `WorldClock.order`). Raises CommandError if the order is not valid."""
        self.clock.order(what, value, self.granted, now_s)
        self._rate.restart()

    def next_tick(
        self, slowest: int, heartbeats: Sequence[Heartbeat], ticks_per_exchange: int, stopping: bool, now_s: float
    ) -> int:
        """Returns the tick until which time can be granted now.

        `slowest` is the tick of the slowest node, `heartbeats` are the last ones of all nodes. With `stopping`, only
        ticks that were granted before are granted.
        """
        round_trip_s = max((heartbeat.round_trip_s for heartbeat in heartbeats), default=0.0)
        tick_s = max((heartbeat.tick_s for heartbeat in heartbeats), default=0.0)
        self._rate.add(slowest, now_s)
        # a heartbeat is as old as the message took, and a grant takes as long to arrive
        least = ticks_per_exchange + (self._rate.ticks_in(round_trip_s, tick_s) if round_trip_s > 0 else 0)
        wanted = slowest + max(least, self._rate.ticks_in(AHEAD_S + round_trip_s, tick_s))
        if stopping:
            wanted = min(wanted, self.clock.reached)
        return max(self.granted, self.clock.limit(wanted, now_s))

    def is_due(self, through: int, now_s: float) -> bool:
        """Returns whether a grant until `through` is to be sent: it is new, or the previous one may be lost."""
        return through != self.granted or now_s - self._sent_s >= RESEND_AFTER_S

    def mark_sent(self, through: int, now_s: float) -> None:
        """Records that a grant until `through` is sent."""
        self.granted, self._sent_s = through, now_s
        self.horizon = max(self.horizon, through)

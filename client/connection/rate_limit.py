"""Credit for tiles: how many a viewer lets the gateway send, without a limit or for so many bytes a second.

The gateway sends one tile for each credit and cannot know what the line carries. So a token bucket of bytes decides: it
fills with time, up to half a second's worth; tiles that arrive are taken out of it; credit is granted for what is left,
and a tile that is still to come counts as large as most have been lately. What arrives beyond that is a debt: no credit
is granted until it is paid. On average the limit holds, whatever sizes tiles have.
"""

from umwelt.cluster import TokenBucket

CREDIT = 128
"""Tiles under way at once, at most."""
BURST_S = 0.5
GRANT_EVERY_S = 0.02
UNDER_WAY_S = 0.1
"""Credit or tiles of this time may still be under way when a new subscription restarts the count."""
SILENT_S = 0.5
FIRST_TILE_BYTES = 16_384.0
TILES_AVERAGED = 32
DEVIATIONS = 2
"""A tile to come counts as the mean size plus so many mean deviations, because large ones come in rows. On slow lines
less than the limit may arrive where sizes vary much."""
BURST_TILES = 1.25
"""The bucket holds at least so many tiles, however small the limit is."""


class CreditLimit:
    """The credit of one connection. `bytes_per_s` None: no limit but `CREDIT` tiles at once. Times are monotonic."""

    def __init__(self, bytes_per_s: float | None, now_s: float = 0.0):
        self.bytes_per_s = bytes_per_s
        self._mean_bytes, self._deviation_bytes = FIRST_TILE_BYTES, 0.0
        self._bucket = TokenBucket(bytes_per_s or 0.0, self._burst_bytes)
        self._bucket.refill(now_s)
        self._granted_s = self._active_s = now_s
        self._outstanding_count = self._recent_count = 0
        self._recent_s = now_s
        self._is_certain = True
        """Whether our count of outstanding tiles is the gateway's, but for what is under way."""

    @property
    def tile_bytes(self) -> float:
        """The size that a tile to come counts as."""
        return self._mean_bytes + DEVIATIONS * self._deviation_bytes

    @property
    def _burst_bytes(self) -> float:
        """What the bucket holds when it is full."""
        return max(BURST_S * (self.bytes_per_s or 0.0), BURST_TILES * self.tile_bytes)

    def _fill(self, now_s: float) -> None:
        self._bucket.capacity = self._burst_bytes
        self._bucket.refill(now_s)
        if now_s - self._recent_s > UNDER_WAY_S:
            self._recent_count, self._recent_s = 0, now_s

    def set_limit(self, bytes_per_s: float | None, now_s: float) -> None:
        """Changes the limit from now on; what arrived beyond the old one stays a debt."""
        self._fill(now_s)
        if self.bytes_per_s is None:
            self._bucket.tokens = 0.0
        self.bytes_per_s = bytes_per_s
        self._bucket.rate_per_s = bytes_per_s or 0.0
        self._fill(now_s)

    def _affordable(self) -> int:
        """How many tiles the bucket holds beyond those outstanding."""
        affordable = int(self._bucket.tokens // self.tile_bytes) - self._outstanding_count
        return max(0, min(affordable, CREDIT - self._outstanding_count))

    def restart(self, now_s: float) -> int:
        """Returns the credit of a new subscription, which replaces what the gateway had left."""
        self._granted_s = self._active_s = now_s
        if self.bytes_per_s is None:
            self._outstanding_count, self._is_certain = CREDIT, True
            return CREDIT
        self._fill(now_s)
        under_way = min(self._outstanding_count, self._recent_count)
        self._outstanding_count, self._is_certain = under_way, under_way == 0
        return self._granted(self._affordable())

    def grant(self, now_s: float) -> int:
        """Returns the credit to send now; mostly 0."""
        if self.bytes_per_s is None:
            missing = CREDIT - self._outstanding_count
            return self._granted(missing) if missing >= CREDIT // 4 else 0
        if now_s - self._granted_s < GRANT_EVERY_S:
            return 0
        self._granted_s = now_s
        self._fill(now_s)
        return self._granted(self._affordable())

    def _granted(self, tiles: int) -> int:
        self._outstanding_count += tiles
        self._recent_count += tiles
        return tiles

    def revert(self, tiles: int) -> None:
        """Takes back credit that could not be sent."""
        self._outstanding_count = max(0, self._outstanding_count - tiles)

    def record_tile(self, size_bytes: int, now_s: float) -> None:
        """Counts a tile that arrived."""
        self._active_s = now_s
        self._outstanding_count = max(0, self._outstanding_count - 1)
        self._recent_count += 1
        beyond_bytes = size_bytes - self._mean_bytes
        self._mean_bytes = max(1.0, self._mean_bytes + beyond_bytes / TILES_AVERAGED)
        self._deviation_bytes += (abs(beyond_bytes) - self._deviation_bytes) / TILES_AVERAGED
        if self.bytes_per_s is not None:
            self._fill(now_s)
            self._bucket.spend(size_bytes)

    def is_doubtful(self, now_s: float) -> bool:
        """Whether the subscription should be sent again: nothing arrives although credit seems outstanding."""
        return self.bytes_per_s is not None and not self._is_certain and now_s - self._active_s > SILENT_S

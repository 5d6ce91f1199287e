"""Credit for tiles: the number of tiles that a viewer permits the gateway to send, with or without a rate limit.

A *tile* is a message with the visible content of a square of the world; the *gateway* is the process that sends it. The
gateway sends one tile per credit and does not know the capacity of the network. A rate limit in bytes per second is
enforced by a token bucket, a balance in bytes: it grows with time, up to the bytes of half a second; the size of each
tile that arrives is subtracted; credit is granted for the remaining bytes, with an upper estimate of the size of future
tiles. While the balance is negative, no credit is granted. So the limit holds on average for tiles of any sizes.
"""

from umwelt.cluster import TokenBucket

CREDIT = 128
"""Maximum number of outstanding tiles: permitted but not yet received."""
BURST_S = 0.5
"""Capacity of the bucket, in seconds of the rate limit."""
GRANT_EVERY_S = 0.02
"""Minimum time in seconds between two grants of credit under a rate limit."""
UNDER_WAY_S = 0.1
"""Maximum time in seconds for which credit or a tile is assumed to be in transit when a new subscription is sent."""
SILENT_S = 0.5
"""Time in seconds without a tile after which the count of outstanding tiles is regarded as wrong; see `is_doubtful`."""
FIRST_TILE_BYTES = 16_384.0
"""Estimated mean size of a tile before any has arrived."""
TILES_AVERAGED = 32
"""Number of tiles over which the moving averages of size and deviation extend."""
DEVIATIONS = 2
"""Number of mean absolute deviations added to the mean size to estimate the size of a future tile, because large tiles
come in series. On slow connections the rate can stay below the limit if sizes vary much."""
BURST_TILES = 1.25
"""Minimum capacity of the bucket, in tiles of the estimated size."""


class CreditLimit:
    """The credit of one connection: how many tiles the gateway may send, which the caller tells it.

    With `bytes_per_s` None, only the number of outstanding tiles is limited.

    All times `now_s` are monotonic, in seconds.
    """

    def __init__(self, bytes_per_s: float | None, now_s: float = 0.0):
        self.bytes_per_s = bytes_per_s
        self._mean_bytes, self._deviation_bytes = FIRST_TILE_BYTES, 0.0
        self._bucket = TokenBucket(bytes_per_s or 0.0, self._burst_bytes)
        self._bucket.refill(now_s)
        self._granted_s = self._active_s = now_s
        self._outstanding_count = self._recent_count = 0
        """Tiles that were permitted but have not arrived; tiles that were permitted or arrived since `_recent_s`."""
        self._recent_s = now_s
        self._is_certain = True
        """Whether the count of outstanding tiles equals the gateway's, except for messages in transit."""

    @property
    def tile_bytes(self) -> float:
        """Estimated size of a future tile, in bytes."""
        return self._mean_bytes + DEVIATIONS * self._deviation_bytes

    @property
    def _burst_bytes(self) -> float:
        """Capacity of the bucket, in bytes."""
        return max(BURST_S * (self.bytes_per_s or 0.0), BURST_TILES * self.tile_bytes)

    def _fill(self, now_s: float) -> None:
        """Adds the bytes earned until `now_s` to the bucket, and restarts the count of recent tiles if it is old."""
        self._bucket.capacity = self._burst_bytes
        self._bucket.refill(now_s)
        if now_s - self._recent_s > UNDER_WAY_S:
            self._recent_count, self._recent_s = 0, now_s

    def set_limit(self, bytes_per_s: float | None, now_s: float) -> None:
        """Changes the limit; a negative balance from the old limit remains."""
        self._fill(now_s)
        if self.bytes_per_s is None:
            self._bucket.tokens = 0.0
        self.bytes_per_s = bytes_per_s
        self._bucket.rate_per_s = bytes_per_s or 0.0
        self._fill(now_s)

    def _affordable(self) -> int:
        """Returns the number of tiles for which the bucket has bytes, beyond those outstanding."""
        affordable = int(self._bucket.tokens // self.tile_bytes) - self._outstanding_count
        return max(0, min(affordable, CREDIT - self._outstanding_count))

    def restart(self, now_s: float) -> int:
        """Returns the number of tiles to permit with a new subscription; it replaces all credit granted before."""
        self._granted_s = self._active_s = now_s
        if self.bytes_per_s is None:
            self._outstanding_count, self._is_certain = CREDIT, True
            return CREDIT
        self._fill(now_s)
        under_way = min(self._outstanding_count, self._recent_count)
        self._outstanding_count, self._is_certain = under_way, under_way == 0
        return self._granted(self._affordable())

    def grant(self, now_s: float) -> int:
        """Returns the number of further tiles to permit now, often 0."""
        if self.bytes_per_s is None:
            missing = CREDIT - self._outstanding_count
            return self._granted(missing) if missing >= CREDIT // 4 else 0
        if now_s - self._granted_s < GRANT_EVERY_S:
            return 0
        self._granted_s = now_s
        self._fill(now_s)
        return self._granted(self._affordable())

    def _granted(self, tiles: int) -> int:
        """Counts `tiles` as permitted, and returns the same number."""
        self._outstanding_count += tiles
        self._recent_count += tiles
        return tiles

    def revert(self, tiles: int) -> None:
        """Takes back credit that could not be sent."""
        self._outstanding_count = max(0, self._outstanding_count - tiles)

    def record_tile(self, size_bytes: int, now_s: float) -> None:
        """Records the arrival of a tile of `size_bytes`."""
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
        """Returns whether to resend a subscription, because no tile arrives although some were permitted."""
        return self.bytes_per_s is not None and not self._is_certain and now_s - self._active_s > SILENT_S

"""How many tiles a viewer lets come: as many as it can take, or as many as fit into so many bytes a second.

The gateway sends a tile for each credit, and does not know what a line can bear. So credit is given only for what a
bucket of bytes holds: it fills with time up to half a second's worth, tiles that came are taken out of it, and those
for which credit was given are counted as large as most have been of late. What comes beyond that is owed, and
nothing more is let come until it has been made up for: on the average the bound holds, whatever tiles weigh.
"""

CREDIT = 128
BURST_S = 0.5
GIVE_EVERY_S = 0.02
UNDER_WAY_S = 0.1
"""What was given or came within this time may still be under way when a watch begins the count anew."""
SILENT_S = 0.5
FIRST_TILE_BYTES = 16_384.0
MEAN_OF_TILES = 32
DEVIATIONS = 2
"""By so many mean deviations a tile that is to come is counted larger than the mean: large ones come in rows. On lines
that take long, less than allowed may come where tiles are very unlike."""


class Allowance:
    """Credit, by the times at which it is asked for. `bytes_per_s` None: no bound but `CREDIT` tiles at once."""

    def __init__(self, bytes_per_s: float | None, now_s: float = 0.0):
        self.bytes_per_s = bytes_per_s
        self._mean_bytes, self._deviation_bytes = FIRST_TILE_BYTES, 0.0
        self._left_bytes = self._burst_bytes
        self._counted_s = self._given_s = self._lively_s = now_s
        self._outstanding = self._recent = 0
        self._recent_s = now_s
        self._certain = True
        """Whether what we count as outstanding is what the gateway has, but for what is under way."""

    @property
    def tile_bytes(self) -> float:
        """As how large a tile that is to come is counted."""
        return self._mean_bytes + DEVIATIONS * self._deviation_bytes

    @property
    def _burst_bytes(self) -> float:
        """What the bucket holds; a tile, and what fills up meanwhile, where that is more than half a second's worth."""
        return max(BURST_S * (self.bytes_per_s or 0.0), 1.25 * self.tile_bytes)

    def _fill(self, now_s: float) -> None:
        earned_bytes = (self.bytes_per_s or 0.0) * max(0.0, now_s - self._counted_s)
        self._left_bytes = min(self._burst_bytes, self._left_bytes + earned_bytes)
        self._counted_s = now_s
        if now_s - self._recent_s > UNDER_WAY_S:
            self._recent, self._recent_s = 0, now_s

    def bound(self, bytes_per_s: float | None, now_s: float) -> None:
        """Another bound from now on; what was received beyond the old one stays owed."""
        self._fill(now_s)
        if self.bytes_per_s is None:
            self._left_bytes = 0.0
        self.bytes_per_s = bytes_per_s
        self._left_bytes = min(self._left_bytes, self._burst_bytes)

    def _fitting(self) -> int:
        """For how many tiles beside those outstanding the bucket has enough."""
        fitting = int(self._left_bytes // self.tile_bytes) - self._outstanding
        return max(0, min(fitting, CREDIT - self._outstanding))

    def anew(self, now_s: float) -> int:
        """The credit with which a watch begins the count anew, in the place of what the gateway had left."""
        self._given_s = self._lively_s = now_s
        if self.bytes_per_s is None:
            self._outstanding, self._certain = CREDIT, True
            return CREDIT
        self._fill(now_s)
        under_way = min(self._outstanding, self._recent)
        self._outstanding, self._certain = under_way, under_way == 0
        return self._given(self._fitting())

    def more(self, now_s: float) -> int:
        """The credit to be given now, mostly none."""
        if self.bytes_per_s is None:
            owed = CREDIT - self._outstanding
            return self._given(owed) if owed >= CREDIT // 4 else 0
        if now_s - self._given_s < GIVE_EVERY_S:
            return 0
        self._given_s = now_s
        self._fill(now_s)
        return self._given(self._fitting())

    def _given(self, tiles: int) -> int:
        self._outstanding += tiles
        self._recent += tiles
        return tiles

    def not_given(self, tiles: int) -> None:
        """The gateway could not be told."""
        self._outstanding = max(0, self._outstanding - tiles)

    def took(self, size_bytes: int, now_s: float) -> None:
        """A tile came."""
        self._lively_s = now_s
        self._outstanding = max(0, self._outstanding - 1)
        self._recent += 1
        beyond_bytes = size_bytes - self._mean_bytes
        self._mean_bytes = max(1.0, self._mean_bytes + beyond_bytes / MEAN_OF_TILES)
        self._deviation_bytes += (abs(beyond_bytes) - self._deviation_bytes) / MEAN_OF_TILES
        if self.bytes_per_s is not None:
            self._fill(now_s)
            self._left_bytes -= size_bytes

    def doubtful(self, now_s: float) -> bool:
        """Whether a watch should be said again, because nothing comes though we think that something may."""
        return self.bytes_per_s is not None and not self._certain and now_s - self._lively_s > SILENT_S

"""A token bucket: bounds the average rate and the burst size of whatever can be counted.

Tokens stand for messages, bytes or seconds of processor time. Buckets limit what a viewer may ask of the gateway, the
bytes sent to one viewer, the processor time spent on tiles, and the bytes that a viewer accepts.
"""

import math


class TokenBucket:
    """A balance of tokens that grows by `rate_per_s` up to `capacity`; starts full.

    The caller passes the time (monotonic seconds), so a bucket has no clock. `rate_per_s` and `capacity` may be
    assigned at any time; a new value applies from the next refill. Not thread-safe.
    """

    def __init__(self, rate_per_s: float, capacity: float, max_debt: float = math.inf):
        self.rate_per_s, self.capacity, self.max_debt = rate_per_s, capacity, max_debt
        self.tokens = capacity
        """The balance after the last call. Negative while there is a debt, see `spend`."""
        self._refilled_s = -math.inf

    def refill(self, now_s: float) -> float:
        """Adds what was earned since the last refill and returns the balance. Time that runs backwards adds nothing."""
        if math.isfinite(self._refilled_s):
            self.tokens += self.rate_per_s * max(0.0, now_s - self._refilled_s)
        self.tokens = min(self.capacity, self.tokens)
        self._refilled_s = max(self._refilled_s, now_s)
        return self.tokens

    def try_take(self, now_s: float, tokens: float = 1.0) -> bool:
        """Takes `tokens` if the balance has as many; returns whether it did."""
        if self.refill(now_s) < tokens:
            return False
        self.tokens -= tokens
        return True

    def spend(self, tokens: float) -> None:
        """Subtracts `tokens` in any case: for costs that are known only afterwards. The debt is at most `max_debt`."""
        self.tokens = max(-self.max_debt, self.tokens - tokens)

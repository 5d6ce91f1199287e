"""A token bucket: bounds the average rate and the burst size of a countable quantity.

Tokens stand for messages, bytes or seconds of processor time. Buckets limit the requests of a viewer to the gateway,
the bytes sent to one viewer, the processor time spent on tiles, and the bytes that a viewer accepts.
"""

import math


class TokenBucket:
    """A balance of tokens that grows by `rate_per_s` tokens per second up to `capacity`; initially full.

    The caller passes the present time in monotonic seconds. `rate_per_s` and `capacity` can be assigned at any time; a
    new value applies from the next refill. `max_debt` bounds how far `spend` makes the balance negative. Not
    thread-safe.
    """

    def __init__(self, rate_per_s: float, capacity: float, max_debt: float = math.inf):
        self.rate_per_s, self.capacity, self.max_debt = rate_per_s, capacity, max_debt
        self.tokens = capacity
        """The balance after the last call; negative while there is a debt (see `spend`)."""
        self._refilled_s = -math.inf

    def refill(self, now_s: float) -> float:
        """Adds the tokens earned since the previous refill and returns the balance.

        Adds nothing if `now_s` is before the previous refill.
        """
        if math.isfinite(self._refilled_s):
            self.tokens += self.rate_per_s * max(0.0, now_s - self._refilled_s)
        self.tokens = min(self.capacity, self.tokens)
        self._refilled_s = max(self._refilled_s, now_s)
        return self.tokens

    def try_take(self, now_s: float, tokens: float = 1.0) -> bool:
        """Subtracts `tokens` if the balance is at least `tokens`; returns whether it was."""
        if self.refill(now_s) < tokens:
            return False
        self.tokens -= tokens
        return True

    def spend(self, tokens: float) -> None:
        """Subtracts `tokens` unconditionally, for costs that are known only afterwards.

        The balance can become negative, down to `-max_debt`.
        """
        self.tokens = max(-self.max_debt, self.tokens - tokens)

"""How often a tenant may call. Pure: time is an argument."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Bucket:
    """Calls that may be made: so many come in a second, up to a burst. `at` is when `tokens` was counted."""

    tokens: float
    at: float

    def take(self, rate: float, burst: float, now: float) -> float:
        """Take one; answers 0.0, or how many seconds there is to wait for it."""
        self.tokens = min(burst, self.tokens + max(0.0, now - self.at) * rate)
        self.at = now
        if self.tokens < 1.0:
            return (1.0 - self.tokens) / rate
        self.tokens -= 1.0
        return 0.0


class Rates:
    """A bucket for each tenant that has a limit."""

    def __init__(self) -> None:
        self._buckets: dict[str, Bucket] = {}

    def take(self, tenant: str, rate: float, burst: int, now: float) -> float:
        """Take a call of a tenant, `rate` a second; answers 0.0, or how many seconds there is to wait for it."""
        most = float(burst or max(1.0, 2 * rate))
        bucket = self._buckets.get(tenant)
        if bucket is None:
            bucket = self._buckets[tenant] = Bucket(most, now)
        return bucket.take(rate, most, now)

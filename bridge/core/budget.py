"""A quota as arithmetic: how long until the next request may go. Times are seconds of a monotonic clock.

A generic cell rate algorithm (GCRA): requests are spread evenly over the period, with a burst allowance. The
burst is part of the quota and not on top of it: no window of the limit's length, wherever it begins, holds more
requests than the limit. So spacing is a little wider than an even share.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limit:
    """`requests` per `seconds`."""

    requests: int
    seconds: float

    def __post_init__(self) -> None:
        if self.requests < 1 or self.seconds <= 0:
            raise ValueError(f"a limit needs at least 1 request in more than 0 s, got {self}")


class Budget:
    """Decides when the next request may start. `now` is passed in; nothing here waits.

    `burst` requests may go at once before spacing starts (default: a tenth of the limit, at least 1; never more
    than the limit).
    """

    def __init__(self, limit: Limit, *, burst: int | None = None) -> None:
        if burst is not None and burst < 1:
            raise ValueError(f"a burst is at least 1 request, got {burst}")
        self._burst_asked = burst
        self._allowance_used_until = -math.inf
        self._paused_until = -math.inf
        self.learn(limit)

    def learn(self, limit: Limit) -> None:
        """Replace the limit by one the vendor named."""
        self.limit = limit
        self.burst = min(self._burst_asked or max(1, limit.requests // 10), limit.requests)
        self._spacing = limit.seconds / (limit.requests - self.burst + 1)

    def wait(self, now: float) -> float:
        """Seconds until a request may go; 0 means now."""
        earliest = self._allowance_used_until - self._spacing * (self.burst - 1)
        return max(0.0, earliest - now, self._paused_until - now)

    def spend(self, now: float, cost: int = 1) -> None:
        """Account for a request that starts now."""
        self._allowance_used_until = max(now, self._allowance_used_until) + self._spacing * cost

    def pause(self, now: float, seconds: float) -> None:
        """Nothing goes for `seconds`: the vendor said so. Never shortens a pause already known."""
        self._paused_until = max(self._paused_until, now + seconds)

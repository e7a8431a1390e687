"""A rate limiter without windows: the generic cell rate algorithm, as the vendor's four headers describe it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from bridge.sandbox.ledger import Clock

HOUR_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a request may pass, and the headers that say so (names with underscores)."""

    passes: bool
    headers: Mapping[str, str]


class Gcra:
    """One budget per key: `burst` requests at once, regained one by one at `per_hour`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._full_again_ms: dict[str, float] = {}

    def spend(self, key: str, cost: int, *, per_hour: float, burst: int) -> Verdict:
        """Charge `cost` requests to a key, if it has them. What would need more than the burst never passes."""
        now, interval = self._clock(), HOUR_MS / per_hour
        full = max(now, self._full_again_ms.get(key, 0.0))
        after = full + cost * interval
        wait_ms = after - burst * interval - now
        never = cost > burst
        passes = not never and wait_ms <= 0
        if passes:
            self._full_again_ms[key] = full = after
        headers = {
            "x_ratelimit_limit": str(burst),
            "x_ratelimit_remaining": str(max(0, math.floor(burst - (full - now) / interval + 1e-9))),
            "x_ratelimit_reset": str(math.ceil((full - now) / 1000)),
        }
        if not passes:
            headers["retry_after"] = "" if never else str(max(1, math.ceil(wait_ms / 1000)))
        return Verdict(passes, headers)

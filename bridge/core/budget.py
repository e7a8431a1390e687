"""A quota as arithmetic: how long until the next request may go. Times are seconds of a monotonic clock.

A generic cell rate algorithm (GCRA): requests are spread evenly over the period, with a burst allowance. The
burst is part of the quota and not on top of it: no window of the limit's length, wherever it begins, holds more
requests than the limit. So spacing is a little wider than an even share, until the vendor's answers tell its own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

FAR_OFF = 100
"""What a vendor's headers say is not believed beyond this many times the configured quota, or below its share."""
LONGEST_S = 3_600.0
"""Answers never make us wait longer, unless what is configured does: a vendor that means more refuses, and says so."""


@dataclass(frozen=True, slots=True)
class Limit:
    """`requests` per `seconds`, `burst` of them at once (None: a tenth, at least 1)."""

    requests: int
    seconds: float
    burst: int | None = None

    def __post_init__(self) -> None:
        if self.requests < 1 or self.seconds <= 0:
            raise ValueError(f"a limit needs at least 1 request in more than 0 s, got {self}")


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a vendor says of its quota with an answer, where it counts as GCRA does: without fixed windows.

    `burst`: requests that may go at once after a long rest. `remaining`: how many may go right now. `reset_s`:
    seconds until the whole burst is there again; vendors round it to whole seconds, up or down.
    """

    burst: int
    remaining: int
    reset_s: float


@dataclass(frozen=True, slots=True)
class Block:
    """What a vendor says of its quota with an answer, where it counts in fixed blocks of time.

    `left`: requests that may still go in this block, ours and everybody's. `reset_s`: seconds until the next begins.
    """

    left: int
    reset_s: float


class Budget:
    """Decides when the next request may start. `now` is passed in; nothing here waits.

    `burst` requests may go at once before spacing starts (default: the limit's own; never more than the limit).
    """

    def __init__(self, limit: Limit, *, burst: int | None = None) -> None:
        self._burst_asked = limit.burst if burst is None else burst
        if self._burst_asked is not None and self._burst_asked < 1:
            raise ValueError(f"a burst is at least 1 request, got {self._burst_asked}")
        self._allowance_used_until = -math.inf
        self._paused_until = -math.inf
        self._told: tuple[float, float] | None = None
        self._spent = 0
        self.learn(limit)

    def learn(self, limit: Limit) -> None:
        """Replace the limit by one the vendor named."""
        self.limit = limit
        self.burst = min(self._burst_asked or max(1, limit.requests // 10), limit.requests)
        self._own_burst = self.burst
        self._spacing = self._assumed = limit.seconds / (limit.requests - self.burst + 1)
        self._least, self._most = 0.0, math.inf

    def wait(self, now: float, *, need: int = 1, spares: int = 0) -> float:
        """Seconds until a request may go that the vendor counts as `need`; 0 means now.

        `spares`: how many requests of the burst must be left to others.
        """
        # Requests take unequal times to arrive: without one in reserve some would come a moment too early.
        reserve = 1 if self._told and self.burst > 2 else 0
        room = max(self.burst - need - spares - reserve, 0)
        return max(0.0, self._allowance_used_until - self._spacing * room - now, self._paused_until - now)

    def spend(self, now: float, cost: int = 1) -> None:
        """Account for a request that starts now."""
        self._allowance_used_until = max(now, self._allowance_used_until) + self._spacing * cost
        self._spent += 1

    def pause(self, now: float, seconds: float) -> None:
        """Nothing goes for `seconds`: the vendor said so. Never shortens a pause already known."""
        self._paused_until = max(self._paused_until, now + seconds)

    def observe(self, sent: float, told: Allowance) -> int | None:
        """Take over what an answer says of the quota, to the request sent at `sent`.

        What is used only makes us wait longer, since others may share the quota; but no pace is believed at which the
        burst is not whole again within `LONGEST_S`, unless the configured pace is. Returns how many requests the vendor
        counted for this one (the drop of `remaining`, and what was regained); None where that cannot be told.
        """
        # Measured by what is configured: by what was told last, a few answers would lead anywhere.
        if not (self._own_burst / FAR_OFF <= told.burst <= self._own_burst * FAR_OFF):
            return None
        used = told.burst - told.remaining
        whole = self.burst * self._spacing
        self.burst = told.burst
        self._narrow(used, told.reset_s)
        # What was used is a share of a burst that is regained in so many seconds. Both may have been told anew.
        if (owed := self._allowance_used_until - sent) > 0:
            self._allowance_used_until = sent + owed * min(1.0, self.burst * self._spacing / whole)
        # What is used is counted in whole requests, rounded up. The time tells the fraction, once spacing is known.
        slack = 1.0 if float(told.reset_s).is_integer() else 0.0
        high = min(used, (told.reset_s + slack) / self._least) if self._least else used
        self._allowance_used_until = max(self._allowance_used_until, sent + high * self._spacing)
        exact = min(max(told.reset_s / self._spacing, used - 1), used)
        return self._cost(sent, exact)

    def _narrow(self, used: int, reset_s: float) -> None:
        """How far apart requests are at the vendor, from `used` of them (rounded up) that are regained by then."""
        slack = 1.0 if float(reset_s).is_integer() else 0.0
        least = (reset_s - slack) / used if used else 0.0
        most = (reset_s + slack) / (used - 1) if used > 1 else math.inf
        if used == 1:
            # Most likely it is just this request. It shows that we were told nonsense; our own pace it does not show.
            most = max(reset_s + slack, self._assumed)
        if least > self._most or most < self._least:
            self._least, self._most = least, most  # the vendor counts otherwise than it did
        else:
            self._least, self._most = max(self._least, least), min(self._most, most)
        spacing = min(max(self._assumed, self._least), self._most)
        slowest = max(self._assumed, min(self._assumed * FAR_OFF, LONGEST_S / self.burst))
        self._spacing = min(max(spacing, self._assumed / FAR_OFF), slowest)

    def _cost(self, sent: float, used: float) -> int | None:
        before, spent = self._told, self._spent
        if before is not None and sent < before[0]:
            return None  # answers overtook one another
        self._told, self._spent = (sent, used), 0
        if before is None or spent != 1:
            return None
        return max(1, round(used - max(0.0, before[1] - (sent - before[0]) / self._spacing)))

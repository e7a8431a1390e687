"""A quota as arithmetic: how long until the next request may go. Times are seconds of a monotonic clock.

A generic cell rate algorithm (GCRA): requests are spread evenly over the period, with a burst allowance. The
burst is part of the quota and not on top of it: no window of the limit's length, wherever it begins, holds more
requests than the limit. So spacing is a little wider than an even share, until the vendor's answers tell its own.
Where they tell of fixed blocks of time, `Blocks` decides from then on.
"""

from __future__ import annotations

import math
from dataclasses import replace

from bridge.core.blocks import Blocks
from bridge.core.limit import FAR_OFF, LONGEST_S, Allowance, Block, Gauge, Limit

__all__ = ["FAR_OFF", "LONGEST_S", "Allowance", "Block", "Budget", "Gauge", "Limit"]


class Budget:
    """Decides when the next request may start. `now` is passed in; nothing here waits.

    `burst` requests may go at once before spacing starts (default: the limit's own; never more than the limit).
    The limit's reserve is kept whatever answers say: our own requests keep to what is left without it.
    """

    def __init__(self, limit: Limit, *, burst: int | None = None) -> None:
        self._burst_asked = limit.burst if burst is None else burst
        if self._burst_asked is not None and self._burst_asked < 1:
            raise ValueError(f"a burst is at least 1 request, got {self._burst_asked}")
        self._allowance_used_until = -math.inf
        self._paused_until = -math.inf
        self._told: tuple[float, float] | None = None
        self._spent = 0
        self._reserve = limit.reserve
        self._own: Budget | None = None
        self._blocks = Blocks(limit, 1)
        self.learn(limit)

    def configure(self, limit: Limit) -> None:
        """Replace the limit by another of ours, burst and reserve and all. What was spent, and a pause, stays."""
        self._burst_asked = limit.burst
        self._reserve = limit.reserve
        self.learn(limit)

    def learn(self, limit: Limit) -> None:
        """Replace the limit by one the vendor named; the reserve stays, as far as it leaves anything."""
        if self._reserve:
            limit = replace(limit, reserve=min(self._reserve, limit.requests - 1))
        self.limit = limit
        self.burst = min(self._burst_asked or max(1, limit.requests // 10), limit.requests)
        self._own_burst = self.burst
        self._spacing = self._assumed = limit.seconds / (limit.requests - self.burst + 1)
        self._least, self._most = 0.0, math.inf
        ours = Limit(limit.requests - limit.reserve, limit.seconds)
        self._blocks.learn(limit, min(self.burst, ours.requests))
        if self._own is not None:
            self._own.learn(ours)
        elif limit.reserve:
            self._own = Budget(ours, burst=self._burst_asked)

    def wait(self, now: float, *, need: int = 1, spares: int = 0) -> float:
        """Seconds until a request may go that the vendor counts as `need`; 0 means now.

        `spares`: how many requests of the burst must be left to others.
        """
        paused = max(0.0, self._paused_until - now)
        if self._blocks.known:
            return max(self._blocks.wait(now, need=need, spares=spares), paused)
        own = self._own.wait(now, need=need, spares=spares) if self._own else 0.0
        # Requests take unequal times to arrive: without one in reserve some would come a moment too early.
        reserve = 1 if self._told and self.burst > 2 else 0
        room = max(self.burst - need - spares - reserve, 0)
        return max(self._allowance_used_until - self._spacing * room - now, paused, own)

    def spend(self, now: float, cost: int = 1, *, need: int = 1) -> int:
        """Account for a request that starts now. Returns a ticket: `settle` is called with it when it is over.

        `need`: what a vendor that counts in blocks is known to count for it.
        """
        self._allowance_used_until = max(now, self._allowance_used_until) + self._spacing * cost
        self._spent += 1
        if self._own is not None:
            self._own.settle(self._own.spend(now, max(cost, need)), now)
        return self._blocks.spend(now, max(cost, need))

    def settle(self, ticket: int, now: float, told: Block | None = None) -> None:
        """The request with this ticket is over, answered or not; `told`: what its answer says of the present block."""
        self._blocks.settle(ticket, now, told)

    def exhausted(self, now: float) -> float | None:
        """The vendor refused for quota: seconds until the present block ends; None where none is known."""
        return self._blocks.exhausted(now)

    def rate(self, now: float) -> float:
        """Requests per second that go in the long run, as far as is known."""
        if self._blocks.known:
            return self._blocks.rate(now)
        # What is configured is not all used while nothing is told: no window may hold more.
        spacing = max(self._spacing, self._own._spacing if self._own else 0.0)
        return 1 / spacing

    def gauge(self, now: float) -> Gauge:
        """How the quota stands, for people."""
        ours = self.rate(now) * self.limit.seconds
        if self._blocks.known:
            left, resets_s = self._blocks.left(now)
            return Gauge(self.limit, ours, left, resets_s)
        if self._told is None:
            return Gauge(self.limit, ours)
        used = max(0.0, self._allowance_used_until - now) / self._spacing
        return Gauge(self.limit, ours, max(0, math.floor(self.burst - used + 1e-9)))

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

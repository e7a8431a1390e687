"""A quota in fixed blocks of time, as arithmetic: what answers tell of the block, and how what is left is spread.

A vendor that counts so tells with an answer how many requests are left until the next block begins, ours and those of
everybody else who uses the account. Answers may overtake one another, requests are on their way meanwhile, some answers
say nothing, seconds are rounded: of what may be, the worst is assumed, so that nothing goes that must be refused.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from bridge.core.limit import FAR_OFF, LONGEST_S, Block, Limit

SLACK_S = 1.0
"""Vendors round the time that is left to whole seconds, up or down."""
FLIGHT_S = 1.0
"""Where only what is on its way stands against a request, it is looked at again after so long."""
TINY_S = 1e-6
"""Times are sums of floats."""


@dataclass(slots=True)
class _Sent:
    """A request on its way: when it was granted, and how many requests the vendor counts for it."""

    at: float
    weight: int


class Blocks:
    """Counts requests from the first on; `known` turns True with the first answer that tells of a block.

    Times are seconds of a monotonic clock. The vendor's present block ends between `_first` and `_last`.
    """

    def __init__(self, limit: Limit, burst: int) -> None:
        self.known = False
        self._limit = limit
        self._burst = self._credit = float(burst)
        self._credit_at = 0.0
        self._first = self._last = -math.inf
        self._left = limit.requests
        self._told = False
        self._whole = False
        self._ours = 0
        self._usable: int | None = None
        self._sent: dict[int, _Sent] = {}
        self._silent: list[tuple[float, int]] = []
        self._number = 0

    def learn(self, limit: Limit, burst: int) -> None:
        """Take another limit for what the next block will hold."""
        self._limit, self._burst = limit, float(burst)

    def wait(self, now: float, *, need: int, spares: int) -> float:
        """Seconds until a request may go that counts as `need`; 0 means now. Where it must not, until the block ends.

        It may be told to look again sooner than it can go: answers on their way may say more than is known.
        """
        self._roll(now)
        spared = min(spares, max(0, round(self._burst) - need))
        ends, flying = self._last - now, self._flying()
        room = self._room()
        if room < need + spared:
            return min(FLIGHT_S, ends) if flying and room + flying >= need + spared else ends
        if flying and not self._told:
            # Nobody has said yet what others have taken of this block: one request asks.
            return min(FLIGHT_S, ends)
        self._earn(now)
        target = min(float(need + spared), self._burst)
        if self._credit >= target - 1e-9:
            return 0.0
        return max(TINY_S, min((target - self._credit) * ends / (room + 1), ends))

    def spend(self, now: float, weight: int) -> int:
        """A request goes now. Returns the ticket with which `settle` is called when it is over."""
        if self.known:
            self._roll(now)
            self._earn(now)
            self._credit -= weight
            self._ours += weight
        self._number += 1
        self._sent[self._number] = _Sent(now, weight)
        return self._number

    def settle(self, ticket: int, now: float, told: Block | None) -> None:
        """The request is over; `told`: what its answer says, if anything."""
        sent = self._sent.pop(ticket, None)
        if sent is None:
            return
        if told is None or not self._credible(told):
            # It may have been counted, and no answer says so yet.
            self._silent.append((now, sent.weight))
            if not self.known:
                begun = min((one.at for one in self._sent.values()), default=math.inf)
                self._silent = [(at, weight) for at, weight in self._silent if at > begun]
            return
        self._take_over(sent, now, told)

    def exhausted(self, now: float) -> float | None:
        """The vendor refuses: nothing is left until the block ends. Returns in how many seconds; None: not known."""
        if not self.known:
            return None
        self._roll(now)
        self._left, self._told = 0, True
        return self._last - now

    def rate(self, now: float) -> float:
        """Requests per second that blocks leave us: less the reserve, and what others took in the last whole one."""
        self._roll(now)
        seen = [] if self._usable is None else [self._usable]
        if self._told and self._whole:
            seen.append(self._room() + self._ours)
        usable = min(seen, default=self._limit.requests - self._limit.reserve)
        return max(usable, 1) / self._limit.seconds

    def left(self, now: float) -> tuple[int | None, float]:
        """Requests left in this block, the reserve among them (None: not told yet), and seconds until it ends."""
        self._roll(now)
        return (max(0, self._room() + self._limit.reserve) if self._told else None), self._last - now

    def _room(self) -> int:
        """What is left for us, with all counted that may have been sent after the vendor counted."""
        unseen = self._flying() + sum(weight for _, weight in self._silent)
        return self._left - unseen - self._limit.reserve

    def _flying(self) -> int:
        return sum(one.weight for one in self._sent.values())

    def _earn(self, now: float) -> None:
        """What is left is spread evenly over what remains of the block: so much of it may go by now."""
        remains = self._last - self._credit_at
        if now > self._credit_at and remains > 0:
            gained = (now - self._credit_at) * (max(0, self._room()) + 1) / remains
            self._credit = min(self._burst, self._credit + gained)
        self._credit_at = max(now, self._credit_at)

    def _roll(self, now: float) -> None:
        """Go on to the block that `now` is in, as far as is known."""
        if not self.known or now < self._last - TINY_S:
            return
        period = self._limit.seconds
        passed = math.floor((now - self._last + TINY_S) / period)
        if self._told and self._whole:
            self._usable = self._room() + self._ours
        self._first, self._last = self._first + (passed + 1) * period, self._last + (passed + 1) * period
        self._begin(now, since=self._first - period, left=self._limit.requests, told=False, whole=True)

    def _begin(self, now: float, *, since: float, left: int, told: bool, whole: bool) -> None:
        """A block that has begun at `since` at the earliest: what was over by then does not count in it."""
        self._left, self._told, self._whole = left, told, whole
        self._silent = [(at, weight) for at, weight in self._silent if at > since]
        self._ours = sum(weight for _, weight in self._silent) + self._flying()
        self._credit, self._credit_at = self._burst, now

    def _credible(self, told: Block) -> bool:
        if not 0 <= told.left <= FAR_OFF * self._limit.requests:
            return False
        return 0.0 <= told.reset_s <= max(LONGEST_S, self._limit.seconds)

    def _take_over(self, sent: _Sent, now: float, told: Block) -> None:
        slack = SLACK_S if float(told.reset_s).is_integer() else TINY_S
        first, last = sent.at + told.reset_s - slack, now + told.reset_s + slack
        period = self._limit.seconds
        if self.known:
            self._roll(now)
            if max(first, self._first) <= min(last, self._last):
                self._first, self._last = max(first, self._first), min(last, self._last)
                self._left = min(self._left, told.left) if self._told else told.left
                self._told = True
                self._shown(sent)
                return
            if max(first, self._first - period) <= min(last, self._last - period):
                return  # it was counted in the block before
        # The first word, a block that began sooner than we thought, or a vendor that counts otherwise than it did.
        whole = self.known and max(first, self._first + period) <= min(last, self._last + period)
        credit = self._credit if self.known else 0.0
        self.known, self._first, self._last = True, first, last
        self._begin(now, since=sent.at, left=told.left, told=True, whole=whole)
        self._ours += sent.weight
        if not whole:
            self._credit = min(credit, self._burst)

    def _shown(self, sent: _Sent) -> None:
        """What was over before this request went is among what its answer counts."""
        self._silent = [(at, weight) for at, weight in self._silent if at > sent.at]

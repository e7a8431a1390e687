"""A vendor's limiter that counts in fixed blocks of time, as ProSonata does: for the whole account."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from random import Random

from bridge.core.budget import Block


@dataclass
class BlockVendor:
    """`requests` per block of `period_s`, which begin at `phase_s`. What is refused does not count.

    `sizes`: what blocks hold in turn, where that changes. `others`: what somebody else asks, as moments in order; of
    these `shut_out` were refused. `refused`: how many of ours were. `peak`: the most of ours in one block.
    """

    requests: int
    period_s: float
    phase_s: float = 0.0
    others: list[float] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    accepted: int = 0
    refused: int = 0
    shut_out: int = 0
    peak: int = 0
    _block: int = -(10**9)
    _used: int = 0
    _ours: int = 0
    _next: int = 0

    def ask(self, now: float, *, rounded: bool = True) -> tuple[bool, Block]:
        """Count one of our requests that arrives now; moments must not fall. Whether it passed, and what is told."""
        while self._next < len(self.others) and self.others[self._next] <= now:
            self._enter(self.others[self._next])
            if self._used < self.requests:
                self._used += 1
            else:
                self.shut_out += 1
            self._next += 1
        self._enter(now)
        passed = self._used < self.requests
        if passed:
            self._used += 1
            self._ours += 1
            self.accepted += 1
            self.peak = max(self.peak, self._ours)
        else:
            self.refused += 1
        resets_s = self.phase_s + (self._block + 1) * self.period_s - now
        return passed, Block(self.requests - self._used, float(math.floor(resets_s)) if rounded else resets_s)

    def _enter(self, now: float) -> None:
        block = math.floor((now - self.phase_s) / self.period_s)
        if block != self._block:
            self._block, self._used, self._ours = block, 0, 0
            if self.sizes:
                self.requests = self.sizes[block % len(self.sizes)]


def humans(roll: Random, *, until_s: float, period_s: float, phase_s: float, most: int) -> list[float]:
    """When others ask: in every block up to `most` times, whenever they like."""
    moments: list[float] = []
    start = phase_s - period_s
    while start < until_s:
        moments += [start + roll.random() * period_s for _ in range(roll.randint(0, most))]
        start += period_s
    return sorted(moments)

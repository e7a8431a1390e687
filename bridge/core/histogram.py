"""How long things took, counted in ranges: what a histogram of the Prometheus exposition is made from."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate

BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0)
"""Upper ends in seconds: from what a commit takes to what a vendor with a small quota does."""


class Histogram:
    """Durations in seconds, counted by the smallest of `bounds` that holds them; what is longer counts beyond.

    Cheap on purpose: one observation is a bisection, and a batch of any size costs two, plus one for each range that
    it crosses.
    """

    __slots__ = ("_bounds", "_counts", "sum_s")

    def __init__(self, bounds: Sequence[float] = BOUNDS_S) -> None:
        """`bounds` ascend."""
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(self._bounds) + 1)
        self.sum_s = 0.0

    @property
    def count(self) -> int:
        """How many durations were observed."""
        return sum(self._counts)

    def observe(self, seconds: float) -> None:
        """One thing took so long. A clock that stepped back counts as none."""
        seconds = max(0.0, seconds)
        self._counts[bisect_left(self._bounds, seconds)] += 1
        self.sum_s += seconds

    def observe_since(self, now: float, begun: Sequence[float]) -> None:
        """Several things end `now`; `begun`, in ascending order, tells when each began."""
        if len(begun) < 2:
            for at in begun:
                self.observe(now - at)
            return
        self.sum_s += max(0.0, now * len(begun) - sum(begun))
        bounds, counts = self._bounds, self._counts
        # Whoever began first took longest.
        nearest, farthest = (bisect_left(bounds, now - at) for at in (begun[-1], begun[0]))
        end = len(begun)
        for index in range(nearest, farthest):
            # All that began at this moment or later took no longer than this bound.
            start = bisect_left(begun, now - bounds[index], 0, end)
            counts[index] += end - start
            end = start
        counts[farthest] += end

    def cumulative(self) -> list[tuple[float, int]]:
        """Each upper bound with how many durations do not exceed it; the last bound is infinity."""
        return list(zip((*self._bounds, float("inf")), accumulate(self._counts), strict=True))

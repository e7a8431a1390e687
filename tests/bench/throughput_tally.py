"""When each event of a run was known to be stored, by its number, and what that comes to."""

from __future__ import annotations

import math
import time
from array import array
from collections.abc import Iterable
from typing import Any

import anyio

from tests.bench.report import percentile
from tests.bench.throughput_frames import number_of

STALLED_S = 10.0
"""Without an event stored for so long, what is missing will not come."""
WARM_UP = 0.1
"""Share of the first events whose time does not count."""


class Tally:
    """Between two calls of `expect` it counts one run. Times are perf_counter_ns."""

    def __init__(self) -> None:
        self.stored = 0
        self.twice = 0
        self.last_ns = 0
        self._base = 0
        self._at = array("q")

    def expect(self, base: int, count: int) -> None:
        """From now on it is about `count` events numbered from `base` on; all others are of no interest."""
        self.stored = self.twice = self.last_ns = 0
        self._base, self._at = base, array("q", bytes(8 * count))

    def note(self, ids: Iterable[str]) -> None:
        """The stream has acknowledged the events of these ids."""
        now, at, base, count = time.perf_counter_ns(), self._at, self._base, len(self._at)
        for id_ in ids:
            number = number_of(id_, base)
            if not 0 <= number < count:
                continue
            if at[number]:
                self.twice += 1
            else:
                at[number] = now
                self.stored += 1
        self.last_ns = now

    async def settled(self) -> None:
        """Return when every event is stored, or none has been for long."""
        seen, seen_at = -1, time.monotonic()
        while self.stored < len(self._at) and time.monotonic() - seen_at < STALLED_S:
            if self.stored != seen:
                seen, seen_at = self.stored, time.monotonic()
            await anyio.sleep(0.02)

    def account(self, start_ns: int, rate: float) -> dict[str, Any]:
        """What has become of the run that began then.

        With a rate: from when each was due until it was stored, in ms, and how many of those that were due at the
        half and at the end of the run were not stored then.
        """
        told: dict[str, Any] = {"stored": self.stored, "twice": self.twice, "last_ns": self.last_ns}
        if not rate:
            return told
        every = 1e9 / rate
        took = [at - start_ns - number * every if at else math.inf for number, at in enumerate(self._at)]
        counted = took[int(len(took) * WARM_UP) :]
        told |= {f"p{percent}": percentile(counted, percent) / 1e6 for percent in (50, 99)}
        for name, due in (("half", len(self._at) // 2), ("end", len(self._at))):
            then = start_ns + (due - 1) * every
            told[name] = due - sum(0 < at <= then for at in self._at)
        return told

"""A source's share of a quota that it may have with others: what it reads how often, and what that costs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from bridge.adapter import Walk
from bridge.core.schedule import Schedule
from bridge.engine.reader import Reader


class Allotment:
    """Of one source, over all its sessions. Its walks count in the plan from `enter` to `leave`."""

    def __init__(self, source: str, reader: Reader) -> None:
        self._source = source
        self._reader = reader
        self._plan = reader.quota.plan
        self._walks: Sequence[Walk] = ()

    def enter(self, walks: Sequence[Walk]) -> None:
        """The source reads these from now on."""
        self._walks = walks
        self._plan.enter(self._source, walks)

    def leave(self) -> None:
        """It reads nothing any more: the others get what it had."""
        self.enter(())

    def schedule(self, walks: Sequence[Walk], now: float, ages: Mapping[str, float]) -> Schedule:
        """These walks by the plan. `ages`: as of a `Schedule`."""
        return Schedule(walks, now, ages, self._reader.quota.planner(self._source))

    def passed(self, walk: Walk) -> None:
        """A pass came to its end: what it cost is what the next is reckoned to cost."""
        self._plan.learn(self._source, walk.name, self._reader.spent(walk))

    def refused(self, walk: Walk) -> None:
        """The vendor refuses this walk: it takes nothing from the others."""
        self._reader.spent(walk)
        self._plan.rest(self._source, walk.name)

    def expect(self, progress: Mapping[str, tuple[int, int | None]]) -> None:
        """Of walks that have never been read to their end the vendor's totals tell what that will cost."""
        for walk in self._walks:
            _, total = progress.get(walk.name, (0, None))
            if total is not None and not walk.batch:
                self._plan.expect(self._source, walk.name, math.ceil(total / max(1, walk.page_size)))

"""Budgets shared by all sources that use the same credentials."""

from __future__ import annotations

import anyio

from bridge.core.budget import Budget, Limit
from bridge.core.errors import Throttled

FIRST_PAUSE_S = 5.0
FAR_OFF = 100
"""A limit this many times smaller or larger than the configured one is not believed."""


class Quota:
    """Waits until the budget allows the next request. Whoever asks first goes first."""

    def __init__(self, limit: Limit) -> None:
        self.budget = Budget(limit)
        self._configured = limit
        self.refusals = 0
        self._turn = anyio.Lock()
        self._refusals_in_a_row = 0

    async def take(self, cost: int = 1) -> None:
        """Returns when `cost` requests may start; they are then accounted for."""
        async with self._turn:
            # The wait is as long as the vendor's own period or pause, so it needs no deadline of its own.
            while (wait := self.budget.wait(anyio.current_time())) > 0:  # noqa: ASYNC110 - a pause may grow
                await anyio.sleep(wait)
            self.budget.spend(anyio.current_time(), cost)

    def throttled(self, error: Throttled) -> float:
        """The vendor refused for quota: everyone pauses. Returns for how many seconds."""
        self.refusals += 1
        pause = error.after
        if pause is None:
            pause = FIRST_PAUSE_S * 2.0 ** min(self._refusals_in_a_row, 6)
        self._refusals_in_a_row += 1
        if error.limit is not None and self._plausible(error.limit):
            self.budget.learn(error.limit)
        self.budget.pause(anyio.current_time(), pause)
        return pause

    def _plausible(self, limit: Limit) -> bool:
        """A limit read from prose counts only within sight of the configured one: nothing would ever correct it."""
        ratio = (limit.requests / limit.seconds) / (self._configured.requests / self._configured.seconds)
        return 1 / FAR_OFF <= ratio <= FAR_OFF

    def passed(self) -> None:
        """A request was answered: the vendor accepts us again."""
        self._refusals_in_a_row = 0


class Quotas:
    """One `Quota` per key, made on first use."""

    def __init__(self) -> None:
        self._quotas: dict[str, Quota] = {}

    def of(self, key: str, limit: Limit) -> Quota:
        """The quota all sources with this key share."""
        return self._quotas.setdefault(key, Quota(limit))

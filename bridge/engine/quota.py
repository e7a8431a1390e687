"""Budgets shared by all sources that use the same credentials."""

from __future__ import annotations

from collections import defaultdict

import anyio

from bridge.core.budget import Allowance, Budget, Limit
from bridge.core.errors import Throttled

FIRST_PAUSE_S = 5.0
FAR_OFF = 100
"""A limit this many times smaller or larger than the configured one is not believed."""


class Quota:
    """Waits until the budget allows the next request. Of those who spare as much, whoever asks first goes first."""

    def __init__(self, limit: Limit) -> None:
        self.budget = Budget(limit)
        self._configured = limit
        self.refusals = 0
        # Who must leave some of the burst to others waits longer, and they must not wait behind it.
        self._turns: defaultdict[int, anyio.Lock] = defaultdict(anyio.Lock)
        self._refusals_in_a_row = 0

    async def take(self, cost: int = 1, *, spares: int = 0, need: int = 1) -> None:
        """Returns when `cost` requests may start; they are then accounted for.

        `spares`: how many requests of the burst are left to others. `need`: what the vendor is known to count for one
        such request; it is waited for, and accounted for once the answer tells.
        """
        async with self._turns[spares]:
            # The wait is as long as the vendor's own period or pause, so it needs no deadline of its own. It may grow.
            while (wait := self.budget.wait(anyio.current_time(), need=need, spares=spares)) > 0:  # noqa: ASYNC110
                await anyio.sleep(wait)
            self.budget.spend(anyio.current_time(), cost)

    def told(self, sent: float, allowance: Allowance) -> int | None:
        """An answer to a request sent then (`anyio.current_time()`) says what is left.

        Returns how many requests the vendor counted for it, if that can be told.
        """
        return self.budget.observe(sent, allowance)

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

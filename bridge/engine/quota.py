"""Budgets shared by all sources that use the same credentials."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

import anyio
import structlog

from bridge.core.budget import Allowance, Budget, Limit
from bridge.core.errors import Throttled
from bridge.core.event import timestamp

FIRST_PAUSE_S = 5.0
FAR_OFF = 100
"""A limit this many times smaller or larger than the configured one is not believed."""
NOTED_S = 10.0
"""A longer wait is logged: nothing is read meanwhile, and only the quota is to blame."""
QUIET_S = 60.0
"""Shorter pauses are logged so often at most: with a small quota they are its usual pace."""

log = structlog.get_logger()


class Quota:
    """Waits until the budget allows the next request. Of those who spare as much, whoever asks first goes first.

    `wall`: milliseconds since the Unix epoch, to log until when it is waited.
    """

    def __init__(self, limit: Limit, wall: Callable[[], int] | None = None) -> None:
        self.budget = Budget(limit)
        self._wall = wall
        self._paused: tuple[int, int] | None = None
        """Who is known to wait, by `need` and `spares`; None once they no longer do."""
        self._paused_at = self._paused_until = 0.0
        self._quiet_until = 0.0
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
            while (wait := self.budget.wait(anyio.current_time(), need=need, spares=spares)) > 0:
                if self._paused is None:
                    self._note_pause(wait, need, spares, "the quota is spent")
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
        # What is known already is said again only where it takes longer.
        if self._paused is None or anyio.current_time() + pause > self._paused_until + NOTED_S:
            self._note_pause(pause, 1, 0, "the vendor refused for quota")
        return pause

    def _plausible(self, limit: Limit) -> bool:
        """A limit read from prose counts only within sight of the configured one: nothing would ever correct it."""
        ratio = (limit.requests / limit.seconds) / (self._configured.requests / self._configured.seconds)
        return 1 / FAR_OFF <= ratio <= FAR_OFF

    def passed(self) -> None:
        """A request was answered: the vendor accepts us again."""
        self._refusals_in_a_row = 0
        if self._paused is not None:
            now, (need, spares) = anyio.current_time(), self._paused
            if self.budget.wait(now, need=need, spares=spares) <= NOTED_S:
                self._paused = None
                log.info("quota.resumed", seconds=round(now - self._paused_at))

    def _note_pause(self, seconds: float, need: int, spares: int, reason: str) -> None:
        """Log a long wait, once. Many shorter ones in a row are as good as one."""
        now = anyio.current_time()
        if seconds <= NOTED_S or (seconds < QUIET_S and now < self._quiet_until):
            return
        self._paused, self._paused_until, self._quiet_until = (need, spares), now + seconds, now + QUIET_S
        self._paused_at = now
        until = {} if self._wall is None else {"until": timestamp(self._wall() + round(seconds * 1000))}
        limit = self.budget.limit
        log.warning(
            "quota.paused", seconds=round(seconds), **until, reason=reason,
            quota=f"{limit.requests} requests in {limit.seconds:g} s",
            advice="give the source a smaller share of the work, or ask the vendor for a larger quota",
        )  # fmt: skip


class Quotas:
    """One `Quota` per key, made on first use."""

    def __init__(self, wall: Callable[[], int] | None = None) -> None:
        self._wall = wall
        self._quotas: dict[str, Quota] = {}

    def of(self, key: str, limit: Limit) -> Quota:
        """The quota all sources with this key share."""
        return self._quotas.setdefault(key, Quota(limit, self._wall))

"""Budgets shared by all sources that use the same credentials."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

import anyio
import structlog

from bridge.core.answer import LONGEST_PAUSE_S
from bridge.core.budget import Allowance, Block, Budget, Gauge, Limit
from bridge.core.errors import Throttled
from bridge.core.event import timestamp
from bridge.core.facts import Walk
from bridge.core.plan import Plan, Planned, Planner

FIRST_PAUSE_S = 5.0
FAR_OFF = 100
"""A limit this many times smaller or larger than the configured one is not believed."""
NOTED_S = 10.0
"""A longer wait is logged: nothing is read meanwhile, and only the quota is to blame."""
USUAL = 2.0
"""Up to so many times an even share of the quota a wait is its usual pace, and no news."""
QUIET_S = 300.0
"""Another pause is logged after so long at the soonest, and after the quota's period, unless it is so much longer."""
LONGER = 2.0

log = structlog.get_logger()


class Quota:
    """Waits until the budget allows the next request. Of those who spare as much, whoever asks first goes first.

    `plan`: how often each walk of those who share the quota is read. `refusals`: how often the vendor refused for it.
    `wall`: milliseconds since the Unix epoch, to log until when it is waited.
    """

    def __init__(self, limit: Limit, wall: Callable[[], int] | None = None) -> None:
        self.budget = Budget(limit)
        self._wall = wall
        self._paused: tuple[int, int] | None = None
        """Who is known to wait, by `need` and `spares`; None once they no longer do."""
        self._paused_at = self._paused_until = 0.0
        self._said_s = 0.0
        self._quiet_until = 0.0
        self._paced = False
        self._configured = limit
        self.refusals = 0
        self.plan = Plan()
        # Who must leave some of the burst to others waits longer, and they must not wait behind it.
        self._turns: defaultdict[int, anyio.Lock] = defaultdict(anyio.Lock)
        self._refusals_in_a_row = 0

    async def take(self, cost: int = 1, *, spares: int = 0, need: int = 1) -> int:
        """Returns when `cost` requests may start; they are then accounted for. `ended` wants the ticket it returns.

        `spares`: how many requests of the burst are left to others. `need`: what the vendor is known to count for one
        such request; it is waited for, and accounted for once the answer tells.
        """
        async with self._turns[spares]:
            # The wait is as long as the vendor's own period or pause, so it needs no deadline of its own. It may grow.
            while (wait := self.budget.wait(anyio.current_time(), need=need, spares=spares)) > 0:
                if self._paused is None:
                    self._note_wait(wait, need, spares)
                await anyio.sleep(wait)
            return self.budget.spend(anyio.current_time(), cost, need=need)

    def ended(self, ticket: int, told: Block | None = None) -> None:
        """The request is over, answered or not. `told`: what its answer says of the present block."""
        self.budget.settle(ticket, anyio.current_time(), told)

    def configure(self, limit: Limit) -> None:
        """The configuration names another limit: it counts from now on. What was spent, and any pause, stays."""
        if limit != self._configured:
            self._configured = limit
            self._paced = False
            self.budget.configure(limit)

    def planner(self, source: str) -> Planner:
        """What the plan gives the walks of this source, as of the moment when it is asked."""

        def planned(walk: Walk) -> Planned:
            return self.plan.of(source, walk, self.budget.rate(anyio.current_time()))

        return planned

    def gauge(self) -> Gauge:
        """How the quota stands now."""
        return self.budget.gauge(anyio.current_time())

    def told(self, sent: float, allowance: Allowance) -> int | None:
        """An answer to a request sent then (`anyio.current_time()`) says what is left.

        Returns how many requests the vendor counted for it, if that can be told.
        """
        return self.budget.observe(sent, allowance)

    def throttled(self, error: Throttled) -> float:
        """The vendor refused for quota: everyone pauses. Returns for how many seconds."""
        self.refusals += 1
        now = anyio.current_time()
        pause = self.budget.exhausted(now) if error.after is None else error.after
        if pause is None:
            pause = FIRST_PAUSE_S * 2.0 ** min(self._refusals_in_a_row, 6)
        pause = min(pause, LONGEST_PAUSE_S)
        self._refusals_in_a_row += 1
        if error.limit is not None and self._plausible(error.limit):
            self.budget.learn(error.limit)
        self.budget.pause(now, pause)
        # What is known already is said again only where it takes longer.
        if self._paused is None or now + pause > self._paused_until + NOTED_S:
            self._note_pause(pause, 1, 0, "the vendor refused for quota")
        return pause

    def _plausible(self, limit: Limit) -> bool:
        """A limit read from prose counts only within sight of the configured one: nothing would ever correct it."""
        ratio = (limit.requests / limit.seconds) / (self._configured.requests / self._configured.seconds)
        return 1 / FAR_OFF <= ratio <= FAR_OFF

    @property
    def refusing(self) -> bool:
        """Whether the vendor has refused for quota and answered nobody since: the next request is a trial."""
        return self._refusals_in_a_row > 0

    def passed(self) -> None:
        """A request was answered: the vendor accepts us again."""
        self._refusals_in_a_row = 0
        if self._paused is not None:
            now, (need, spares) = anyio.current_time(), self._paused
            if self.budget.wait(now, need=need, spares=spares) <= self._usual_s(need, spares):
                self._paused = None
                log.info("quota.resumed", seconds=round(now - self._paused_at))

    def _usual_s(self, need: int, spares: int) -> float:
        """A request waits so long, at most, where nothing is wrong: with a small quota all of them wait."""
        return max(NOTED_S, USUAL * self._share_s() * (need + spares))

    def _share_s(self) -> float:
        limit = self.budget.limit
        return limit.seconds / (limit.requests - limit.reserve)

    def _note_wait(self, seconds: float, need: int, spares: int) -> None:
        """Log a wait that the usual pace does not explain; the pace itself once, at the first wait for it."""
        if seconds > self._usual_s(need, spares):
            self._note_pause(seconds, need, spares, "the quota is spent")
        elif seconds > NOTED_S and not self._paced:
            self._paced = True
            log.info("quota.paced", every_s=round(self._share_s(), 1), quota=self._quota(),
                     reserve=self.budget.limit.reserve)  # fmt: skip

    def _quota(self) -> str:
        return f"{self.budget.limit.requests} requests in {self.budget.limit.seconds:g} s"

    def _note_pause(self, seconds: float, need: int, spares: int, reason: str) -> None:
        """Log a long wait, once. Many in a row are as good as one, unless they become longer."""
        now = anyio.current_time()
        if seconds <= NOTED_S or (now < self._quiet_until and seconds <= LONGER * self._said_s):
            return
        self._paused, self._paused_until, self._paused_at = (need, spares), now + seconds, now
        self._said_s, self._quiet_until = seconds, now + max(QUIET_S, self.budget.limit.seconds)
        until = {} if self._wall is None else {"until": timestamp(self._wall() + round(seconds * 1000))}
        log.warning(
            "quota.paused", seconds=round(seconds), **until, reason=reason, quota=self._quota(),
            advice="`bridged status` shows what it goes to: read less often, or ask the vendor for a larger quota",
        )  # fmt: skip


class Quotas:
    """One `Quota` per key, made on first use."""

    def __init__(self, wall: Callable[[], int] | None = None) -> None:
        self._wall = wall
        self._quotas: dict[str, Quota] = {}

    def of(self, key: str, limit: Limit) -> Quota:
        """The quota all sources with this key share."""
        return self._quotas.setdefault(key, Quota(limit, self._wall))

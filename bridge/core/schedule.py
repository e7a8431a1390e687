"""Which walk is read next. Times are seconds of a monotonic clock."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bridge.core.facts import Walk
from bridge.core.plan import LEAST_S, Planned, Planner, as_wished

SHARE = 4
"""While several walks are due, every fourth page is for the one that has waited longest, however slow it is."""

TOGETHER_S = 0.5
"""Wishes to read a walk again that come within so many seconds are one."""

OVERDUE = 2.0
"""Where the quota is too small, a walk as old as so many of its intervals gets that share of pages."""

URGENT = 2.0
"""Where the quota is too small, a walk that somebody asked for counts as so many times as old as it is."""


@dataclass(slots=True)
class _Pass:
    """When the last complete pass of a walk began and ended; the next is due an interval later."""

    began: float
    ended: float


class Schedule:
    """Walks by when they are due; of those that are due the fast ones go first, page by page.

    So a long slow walk hardly delays a fast one, and fast ones that take longer than their interval, as a small quota
    makes them, do not keep a slow one from being read at all.

    Where a plan says that the quota is too small for all, intervals are the plan's, and count from one beginning to the
    next. Of those due the oldest goes first, in proportion to its interval; a pass under way the sooner, the less of
    it is left: a pass that takes long is old when it ends.
    """

    def __init__(
        self,
        walks: Sequence[Walk],
        now: float,
        ages: Mapping[str, float] | None = None,
        planned: Planner = as_wished,
    ) -> None:
        """`ages`: seconds since a walk's last complete pass, where that need not be repeated yet."""
        ages = ages or {}
        self._walks = {walk.name: walk for walk in walks}
        self._planned = planned
        self._due: dict[str, float] = {}
        self._passes: dict[str, _Pass] = {}
        for name in self._walks:
            if name in ages:
                read = now - max(0.0, ages[name])
                self._passes[name] = _Pass(read, read)
            else:
                self._due[name] = now
        self._pending = {name for name in self._walks if self._at(name) <= now}
        self._again: set[str] = set()
        self._repeats: list[tuple[float, str]] = []
        self._wishes: list[tuple[float, str]] = []
        self._urgent: set[str] = set()
        self._turn = 0
        self._served = dict.fromkeys(self._walks, 0)
        self._began: dict[str, float] = {}
        self._pages = dict.fromkeys(self._walks, 0)
        self._refused: dict[str, float] = {}

    @property
    def walks(self) -> Sequence[Walk]:
        """What is scheduled."""
        return list(self._walks.values())

    @property
    def caught_up(self) -> bool:
        """Every walk has been read to its end since the start, or since `all_due`, but for those that are refused."""
        return not self._pending

    def due(self, walk: Walk) -> float:
        """When this walk is to be read next, or was to be."""
        return self._at(walk.name)

    def next(self, now: float) -> Walk | None:
        """The walk to read a page of now; None when nothing is due."""
        for name in [name for at, name in self._repeats + self._wishes if at <= now]:
            self.hasten(name, now)
        self._repeats = [(at, name) for at, name in self._repeats if at > now]
        self._wishes = [(at, name) for at, name in self._wishes if at > now]
        due = [walk for name, walk in self._walks.items() if self._at(name) <= now]
        if not due:
            return None
        self._turn += 1
        walk = self._choose(due, now)
        self._served[walk.name] = self._turn
        self._began.setdefault(walk.name, now)
        self._pages[walk.name] += 1
        return walk

    def wait(self, now: float) -> float:
        """Seconds until the next walk is due; infinite without walks."""
        later = (at for at, _ in self._repeats + self._wishes)
        soonest = min([*map(self._at, self._walks), *later], default=math.inf)
        return max(0.0, soonest - now)

    def finished(self, walk: Walk, now: float) -> None:
        """The pass came to its end: the walk is due again after its interval, or at once if `all_due` said so."""
        began = self._began.pop(walk.name, now)
        self._pages[walk.name] = 0
        self._urgent.discard(walk.name)
        if walk.name in self._again:
            self._again.discard(walk.name)
            self._due[walk.name] = now
            return
        self._pending.discard(walk.name)
        self._due.pop(walk.name, None)
        self._passes[walk.name] = _Pass(began, now)

    def postpone(self, walk: Walk, now: float, seconds: float) -> None:
        """Not before `seconds` from now."""
        self._due[walk.name] = now + seconds

    def hasten(self, name: str, now: float) -> None:
        """Read this walk now rather than when it is due, unless it is refused."""
        if name in self._walks:
            at = max(now, self._refused.get(name, now))
            if at < self._at(name):
                self._due[name] = at
            self._urgent.add(name)

    def refuse(self, name: str, until: float) -> None:
        """Not before `until`, whatever is wished for meanwhile; nothing waits for this walk."""
        if name in self._walks:
            self._due[name] = self._refused[name] = until
            self._pending.discard(name)
            self._again.discard(name)
            self._began.pop(name, None)
            self._pages[name] = 0

    def ask(self, name: str, now: float) -> None:
        """Refused or not, read this walk now; what is read on every connect is waited for as at the start."""
        self._refused.pop(name, None)
        self.hasten(name, now)
        if name in self._walks and self._walks[name].on_connect:
            self._pending.add(name)

    def once_more(self, walk: Walk, now: float, under_way: Iterable[str] = ()) -> None:
        """Read this walk again from its beginning, once it can tell what happens now. Many such wishes are one."""
        if walk.name in under_way:
            self._again.add(walk.name)
        at, together = now + walk.lag_s, TOGETHER_S + walk.lag_s / 10
        if not any(name == walk.name and at <= soon < at + together for soon, name in self._wishes):
            self._wishes.append((at + together, walk.name))

    def all_due(self, now: float, under_way: Iterable[str] = ()) -> None:
        """Read everything again now that may show what was missed; what may show it too early, once more later.

        Of walks that are `under_way` some pages were read before that: once at their end they are read once more.
        """
        refused = {name for name, until in self._refused.items() if until > now}
        asked = [walk for walk in self._walks.values() if walk.on_connect and walk.name not in refused]
        self._due.update((walk.name, now) for walk in asked)
        self._pending = {walk.name for walk in asked}
        self._again = self._pending.intersection(under_way)
        self._repeats = [(now + delay, walk.name) for walk in self._walks.values() for delay in walk.again_s]

    def _at(self, name: str) -> float:
        """When a walk is due. The plan may have changed since its last pass."""
        if name in self._due:
            return self._due[name]
        walk, last = self._walks[name], self._passes[name]
        planned = self._planned(walk)
        if planned.every_s > walk.every_s:
            return last.began + planned.every_s
        return last.ended + walk.every_s

    def _choose(self, due: Sequence[Walk], now: float) -> Walk:
        plans = {walk.name: self._planned(walk) for walk in due}
        waiting = due
        if any(plan.scarce for plan in plans.values()):
            ages = {walk.name: self._age(walk, plans[walk.name], now) for walk in due}
            waiting = [walk for walk in due if ages[walk.name] >= OVERDUE]
            if self._turn % SHARE or not waiting:
                return max(due, key=lambda walk: (ages[walk.name] * self._push(walk, plans[walk.name]), -walk.every_s))
        if self._turn % SHARE == 0:
            return min(waiting, key=lambda walk: self._served[walk.name])
        return min(due, key=lambda walk: walk.every_s)

    def _age(self, walk: Walk, plan: Planned, now: float) -> float:
        """How old what was read last is, in intervals: 1 when the walk is due."""
        return 1.0 + (now - self._at(walk.name)) / max(LEAST_S, plan.every_s)

    def _push(self, walk: Walk, plan: Planned) -> float:
        """What is gained by the square of its age costs but the requests that are left of the pass."""
        left = max(1.0, plan.cost - self._pages[walk.name])
        return math.sqrt(max(1.0, plan.cost) / left) * (URGENT if walk.name in self._urgent else 1.0)

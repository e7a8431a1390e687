"""Which walk is read next. Times are seconds of a monotonic clock."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from bridge.core.facts import Walk

SHARE = 4
"""While several walks are due, every fourth page is for the one that has waited longest, however slow it is."""

TOGETHER_S = 0.5
"""Wishes to read a walk again that come within so many seconds are one."""


class Schedule:
    """Walks by when they are due; of those that are due the fast ones go first, page by page.

    So a long slow walk hardly delays a fast one, and fast ones that take longer than their interval, as a small quota
    makes them, do not keep a slow one from being read at all.
    """

    def __init__(self, walks: Sequence[Walk], now: float, ages: Mapping[str, float] | None = None) -> None:
        """`ages`: seconds since a walk's last complete pass, where that need not be repeated yet."""
        ages = ages or {}
        self._walks = {walk.name: walk for walk in walks}
        self._due = {
            name: now + max(0.0, walk.every_s - max(0.0, ages.get(name, walk.every_s)))
            for name, walk in self._walks.items()
        }
        self._pending = {name for name, due in self._due.items() if due <= now}
        self._again: set[str] = set()
        self._repeats: list[tuple[float, str]] = []
        self._wishes: list[tuple[float, str]] = []
        self._turn = 0
        self._served = dict.fromkeys(self._walks, 0)
        self._refused: dict[str, float] = {}

    @property
    def walks(self) -> Sequence[Walk]:
        """What is scheduled."""
        return list(self._walks.values())

    @property
    def caught_up(self) -> bool:
        """Every walk has been read to its end since the start, or since `all_due`, but for those that are refused."""
        return not self._pending

    def next(self, now: float) -> Walk | None:
        """The walk to read a page of now; None when nothing is due."""
        for name in [name for at, name in self._repeats + self._wishes if at <= now]:
            self.hasten(name, now)
        self._repeats = [(at, name) for at, name in self._repeats if at > now]
        self._wishes = [(at, name) for at, name in self._wishes if at > now]
        due = [self._walks[name] for name, at in self._due.items() if at <= now]
        if not due:
            return None
        self._turn += 1
        if self._turn % SHARE == 0:
            walk = min(due, key=lambda walk: self._served[walk.name])
        else:
            walk = min(due, key=lambda walk: walk.every_s)
        self._served[walk.name] = self._turn
        return walk

    def wait(self, now: float) -> float:
        """Seconds until the next walk is due; infinite without walks."""
        later = (at for at, _ in self._repeats + self._wishes)
        soonest = min([*self._due.values(), *later], default=float("inf"))
        return max(0.0, soonest - now)

    def finished(self, walk: Walk, now: float) -> None:
        """The pass came to its end: the walk is due again after its interval, or at once if `all_due` said so."""
        if walk.name in self._again:
            self._again.discard(walk.name)
            self._due[walk.name] = now
            return
        self._pending.discard(walk.name)
        self._due[walk.name] = now + walk.every_s

    def postpone(self, walk: Walk, now: float, seconds: float) -> None:
        """Not before `seconds` from now."""
        self._due[walk.name] = now + seconds

    def hasten(self, name: str, now: float) -> None:
        """Read this walk now rather than when it is due, unless it is refused."""
        if name in self._due:
            self._due[name] = min(self._due[name], max(now, self._refused.get(name, now)))

    def refuse(self, name: str, until: float) -> None:
        """Not before `until`, whatever is wished for meanwhile; nothing waits for this walk."""
        if name in self._due:
            self._due[name] = self._refused[name] = until
            self._pending.discard(name)
            self._again.discard(name)

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

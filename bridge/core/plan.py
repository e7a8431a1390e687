"""Who of those that share a quota is read how often: what each wants, what it costs, and what it is worth.

Where the quota suffices everyone gets the interval it wants. Where not, the mean staleness, weighted by worth, is made
as small as it can be: a collection read every T seconds is T/2 old on average and costs cost/T requests per second, so
at the best T is in proportion to sqrt(cost / worth); whoever would be read more often than it wants gets what it wants,
and leaves the rest to the others (water-filling).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from bridge.core.facts import Walk

LEAST_S = 0.001
"""No walk is read more often, whatever it wants."""
LEAST_WORTH = 0.001
"""What is worth nothing is read all the same, though seldom."""
AHEAD = 1.05
"""So much more is planned than the quota leaves, where it is too small: what is not asked for in time is lost."""
MOST_COST = 100_000.0
"""Requests of a pass: one that takes more is given up."""
TWISTED = 10.0
"""What a vendor announced counts no more than so many times what a pass took."""
SLOWEST = 1e-6
"""Requests per second at the least: a plan needs something to share out."""


@dataclass(frozen=True, slots=True)
class Demand:
    """What one collection asks of a quota: to be read every `every_s` seconds, with `cost` requests each time."""

    every_s: float
    worth: float = 1.0
    cost: float = 1.0


@dataclass(frozen=True, slots=True)
class Planned:
    """What one walk gets: read every `every_s` seconds, from one beginning to the next, with `cost` requests each time.

    `scarce`: the quota does not suffice for all who share it.
    """

    every_s: float
    cost: float = 1.0
    scarce: bool = False


def as_wished(walk: Walk) -> Planned:
    """The plan where there is no need for one."""
    return Planned(walk.every_s)


def spread(demands: Sequence[Demand], rate: float) -> list[float]:
    """The interval each gets, in seconds, in the same order; never below what it wants, and finite.

    `rate`: requests per second for all of them. Where it suffices, or exactly, all get what they want.
    """
    wishes = [max(LEAST_S, demand.every_s) for demand in demands]
    costs = [max(1e-9, demand.cost) for demand in demands]
    rate = max(SLOWEST, rate)
    used = math.fsum(cost / wish for cost, wish in zip(costs, wishes, strict=True))
    if used <= rate:
        return wishes
    shapes = [math.sqrt(cost / max(LEAST_WORTH, demand.worth)) for cost, demand in zip(costs, demands, strict=True)]
    # The interval is level * shape, or the wish where that is longer. The lower the level, the more have their wish.
    order = sorted(range(len(demands)), key=lambda at: wishes[at] / shapes[at])
    flexible = level = 0.0
    for place, at in enumerate(order):
        flexible += costs[at] / shapes[at]
        fixed = math.fsum(costs[other] / wishes[other] for other in order[place + 1 :])
        if fixed >= rate:
            continue
        level = flexible / (rate - fixed)
        if place + 1 == len(order) or level <= wishes[order[place + 1]] / shapes[order[place + 1]]:
            break
    return [max(wish, level * shape) for wish, shape in zip(wishes, shapes, strict=True)]


class Plan:
    """The walks of all sources that share a quota. Sources enter theirs and leave; costs are learned from passes."""

    def __init__(self) -> None:
        self._demands: dict[tuple[str, str], Demand] = {}
        self._costs: dict[tuple[str, str], float] = {}
        self._announced: set[tuple[str, str]] = set()
        self._idle: set[tuple[str, str]] = set()
        self._rate = math.nan
        self._found: dict[tuple[str, str], Planned] = {}

    def enter(self, source: str, walks: Iterable[Walk]) -> None:
        """These are the walks of this source, and no others. What is known of their costs stays."""
        mine = {(source, walk.name): Demand(walk.every_s, walk.worth) for walk in walks}
        self._demands = {key: demand for key, demand in self._demands.items() if key[0] != source} | mine
        self._costs = {key: cost for key, cost in self._costs.items() if key[0] != source or key in mine}
        self._announced &= self._costs.keys()
        self._idle = {key for key in self._idle if key[0] != source}
        self._rate = math.nan

    def leave(self, source: str) -> None:
        """The source reads nothing any more."""
        self.enter(source, ())

    def learn(self, source: str, walk: str, requests: float) -> None:
        """A complete pass took so many requests. The next is planned with the mean of what is known and this."""
        key = (source, walk)
        self._idle.discard(key)
        before = self._costs.get(key)
        if before is not None and key in self._announced:
            before = min(before, TWISTED * max(1.0, requests))
        self._announced.discard(key)
        self._costs[key] = max(1.0, requests if before is None else (before + requests) / 2)
        self._rate = math.nan

    def expect(self, source: str, walk: str, requests: float) -> None:
        """A pass is going to take so many requests, as the vendor tells; what passes took counts more."""
        if (source, walk) not in self._costs:
            self._costs[source, walk] = min(max(1.0, requests), MOST_COST)
            self._announced.add((source, walk))
            self._rate = math.nan

    def rest(self, source: str, walk: str) -> None:
        """The vendor refuses this walk: until it has been read, it takes nothing from the others."""
        self._idle.add((source, walk))
        self._rate = math.nan

    def of(self, source: str, walk: Walk, rate: float) -> Planned:
        """What this walk gets where so many requests per second go to all of them."""
        # Within a percent the plan stays: it is asked before every page.
        if not abs(rate - self._rate) <= self._rate / 100:
            self._compute(rate)
        key = (source, walk.name)
        return self._found.get(key) or replace(as_wished(walk), cost=self._costs.get(key, 1.0))

    def count(self) -> int:
        """How many walks share the quota."""
        return len(self._demands) - len(self._idle & self._demands.keys())

    def _compute(self, rate: float) -> None:
        self._rate = rate
        keys = [key for key in self._demands if key not in self._idle]
        demands = [replace(self._demands[key], cost=self._costs.get(key, 1.0)) for key in keys]
        intervals = spread(demands, rate * AHEAD)
        scarce = any(got > max(LEAST_S, demand.every_s) for got, demand in zip(intervals, demands, strict=True))
        self._found = {
            key: Planned(got if scarce else demand.every_s, demand.cost, scarce)
            for key, got, demand in zip(keys, intervals, demands, strict=True)
        }


Planner = Callable[[Walk], Planned]
"""What a walk gets, as of now."""

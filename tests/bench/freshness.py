"""How fresh collections are that share a small quota: simulated, beside the best that this quota allows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from bridge.core.budget import Budget, Limit
from bridge.core.facts import Walk
from bridge.core.plan import Plan
from bridge.core.schedule import Schedule
from tests.bench.report import Figure, Line
from tests.support.blocks import BlockVendor, humans

PERIOD_S = 900.0
QUOTAS = (50, 100, 500)
RESERVED = 10
"""One in so many requests is the humans', who use up to that."""
WARM_S = 4 * 3_600.0
"""Before this nothing is measured: everything is read for the first time, and costs are not known yet."""
BOUND = 1.5
"""A ratio above is a failure."""


@dataclass(frozen=True, slots=True)
class Collection:
    """`pages`: what a complete look costs; `every_s`: how often it is wanted."""

    name: str
    pages: int
    every_s: float
    worth: float


COLLECTIONS = (
    Collection("newest-projects", 1, 60.0, 1.0),
    Collection("projecttimes-recent", 1, 120.0, 3.0),
    Collection("projects", 2, 300.0, 3.0),
    Collection("projecttasks", 12, 300.0, 3.0),
    Collection("projecttimes", 40, 900.0, 2.0),
    Collection("workingtimes", 8, 900.0, 1.0),
    Collection("crmevents", 5, 900.0, 1.0),
    Collection("quotations", 3, 900.0, 1.0),
    Collection("customers", 4, 1_800.0, 0.5),
    Collection("contacts", 9, 1_800.0, 0.5),
    Collection("addresses", 6, 3_600.0, 0.2),
    Collection("externalcosts", 5, 3_600.0, 0.5),
)


@dataclass(slots=True)
class Found:
    """What a simulation came to: mean ages by name, requests refused, and the share of the quota that went out."""

    ages_s: dict[str, float]
    refused: int
    used: float


def simulate(collections: Sequence[Collection], quota: int, *, hours: float, seed: int = 0) -> Found:
    """A source that reads these with the bridge's own budget, plan and schedule, from the first request on."""
    roll, until_s = Random(seed), WARM_S + hours * 3_600.0
    reserve, phase_s = quota // RESERVED, -roll.random() * PERIOD_S
    vendor = BlockVendor(quota, PERIOD_S, phase_s)
    vendor.others = humans(roll, until_s=until_s, period_s=PERIOD_S, phase_s=phase_s, most=reserve)
    budget, plan, now = Budget(Limit(quota, PERIOD_S, reserve=reserve)), Plan(), 0.0
    walks = [Walk(one.name, "thing", one.every_s, worth=one.worth) for one in collections]
    plan.enter("acme", walks)
    schedule = Schedule(walks, now, None, lambda walk: plan.of("acme", walk, budget.rate(now)))
    pages = {one.name: one.pages for one in collections}
    done = dict.fromkeys(pages, 0)
    began: dict[str, float] = {}
    looks: dict[str, list[tuple[float, float]]] = {name: [] for name in pages}
    accepted = 0
    while now < until_s:
        walk = schedule.next(now)
        if walk is None:
            now += max(1e-6, schedule.wait(now))
            continue
        while (wait := budget.wait(now)) > 0:
            now += wait
        if now < WARM_S:
            accepted = vendor.accepted
        began.setdefault(walk.name, now)
        ticket = budget.spend(now)
        now += roll.uniform(0.05, 0.3)
        passed, told = vendor.ask(now)
        now += roll.uniform(0.05, 0.3)
        budget.settle(ticket, now, told)
        if not passed:
            continue
        done[walk.name] += 1
        if done[walk.name] == pages[walk.name]:
            looks[walk.name].append((began.pop(walk.name), now))
            plan.learn("acme", walk.name, done[walk.name])
            done[walk.name] = 0
            schedule.finished(walk, now)
    blocks = hours * 3_600.0 / PERIOD_S
    ages = {name: mean_age(pairs, WARM_S, until_s) for name, pairs in looks.items()}
    return Found(ages, vendor.refused, (vendor.accepted - accepted) / (blocks * (quota - reserve)))


def mean_age(looks: Sequence[tuple[float, float]], start: float, end: float) -> float:
    """The mean, over this time, of how long ago the last look began that was complete. `looks`: (began, ended)."""
    total, at, since = 0.0, start, 0.0
    for began, ended in [*looks, (end, end)]:
        if ended > at:
            upto = min(ended, end)
            total += (upto - at) * ((at + upto) / 2 - since)
            at = upto
        since = began
    return total / (end - start)


def best(collections: Sequence[Collection], rate: float) -> dict[str, float]:
    """The mean age of each at the best, found by search: whatever reads every T seconds is T/2 old on average."""

    def intervals(price: float) -> list[float]:
        return [least(one, price) for one in collections]

    def demand(found: Sequence[float]) -> float:
        return sum(one.pages / t for one, t in zip(collections, found, strict=True))

    low, high = 1e-9, 1e12
    if demand([one.every_s for one in collections]) <= rate:
        high = low
    for _ in range(100):
        price = (low * high) ** 0.5
        low, high = (price, high) if demand(intervals(price)) > rate else (low, price)
    return {one.name: t / 2 for one, t in zip(collections, intervals(high), strict=True)}


def least(one: Collection, price: float) -> float:
    """The interval at which age, and requests at this price, cost the least: by trisection, nothing being derived."""

    def costs(every_s: float) -> float:
        return one.worth * every_s / 2 + price * one.pages / every_s

    low, high = one.every_s, 1e7
    for _ in range(200):
        early, late = low * (high / low) ** (1 / 3), low * (high / low) ** (2 / 3)
        low, high = (low, late) if costs(early) <= costs(late) else (early, high)
    return low


def weighted(ages_s: dict[str, float], collections: Sequence[Collection] = COLLECTIONS) -> float:
    """The mean of all ages by worth."""
    return sum(one.worth * ages_s[one.name] for one in collections) / sum(one.worth for one in collections)


def measure(hours: float) -> Figure:
    """Each quota for so many simulated hours, after the first four."""
    lines: list[Line] = []
    failures: list[str] = []
    for quota in QUOTAS:
        found = simulate(COLLECTIONS, quota, hours=hours)
        ideal = best(COLLECTIONS, (quota - quota // RESERVED) / PERIOD_S)
        ratio = weighted(found.ages_s) / weighted(ideal)
        lines.append(
            Line(f"{quota}: all, by worth", _values(weighted(found.ages_s), weighted(ideal))
                 | {"429": float(found.refused), "quota used": found.used})
        )  # fmt: skip
        lines += [Line(f"{quota}: {one.name}", _values(found.ages_s[one.name], ideal[one.name])) for one in COLLECTIONS]
        if found.refused:
            failures.append(f"{found.refused} requests were refused with a quota of {quota}")
        if ratio > BOUND:
            failures.append(f"with a quota of {quota} the mean age is {ratio:.2f} times the best possible")
    return Figure(
        "freshness",
        f"{len(COLLECTIONS)} collections of 1 to 40 pages share 50, 100 and 500 requests per 15 min, a tenth of them "
        f"reserved for humans who use up to that; {hours:g} simulated hours each after the first four; mean age of the "
        "last complete look (from its beginning), in minutes, beside the least that any reading could reach; used: "
        "of what is not reserved",
        lines,
        failure="; ".join(failures),
    )


def _values(age_s: float, ideal_s: float) -> dict[str, float]:
    return {"ratio": age_s / ideal_s, "age min": age_s / 60, "best min": ideal_s / 60}

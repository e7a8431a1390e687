"""Which walk is read next."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from bridge.core.facts import Walk
from bridge.core.plan import Planned, Planner
from bridge.core.schedule import SHARE, Schedule
from tests.support.thorough import tries

FAST, SLOW = Walk("fast", "thing", 10), Walk("slow", "thing", 100)


def test_everything_is_due_at_the_start_and_the_fast_goes_first() -> None:
    """Fast walks first, then the others."""
    schedule = Schedule([SLOW, FAST], 0)
    assert schedule.next(0) is FAST
    schedule.finished(FAST, 1)
    assert schedule.next(1) is SLOW
    assert not schedule.caught_up
    schedule.finished(SLOW, 2)
    assert schedule.caught_up
    assert schedule.next(2) is None
    assert schedule.wait(2) == 9


def test_a_fast_walk_waits_for_no_more_than_a_page_of_a_slow_one() -> None:
    """A slow pass under way does not keep the fast walk from its turn."""
    schedule = Schedule([FAST, SLOW], 0)
    schedule.finished(FAST, 0)
    assert schedule.next(9.9) is SLOW
    assert schedule.next(10) is FAST


def test_what_was_read_recently_is_not_read_again_at_once() -> None:
    """Ages carry over from the process before; it is then caught up from the start."""
    schedule = Schedule([FAST, SLOW], 50, {"fast": 4, "slow": 30})
    assert schedule.caught_up
    assert schedule.next(50) is None
    assert schedule.wait(50) == 6
    assert schedule.next(56) is FAST


def test_an_age_from_the_future_delays_by_one_interval_at_most() -> None:
    """A wall clock that was set back does not stop a walk for as long as it was wrong."""
    assert Schedule([FAST], 0, {"fast": -1e9}).wait(0) == 10


def test_postponed_is_still_pending() -> None:
    """A walk whose vendor is loading has not been read."""
    schedule = Schedule([FAST], 0)
    schedule.postpone(FAST, 0, 7)
    assert not schedule.caught_up
    assert (schedule.next(6.9), schedule.next(7)) == (None, FAST)


def test_all_due_reads_everything_again() -> None:
    """Nothing counts as read any more."""
    schedule = Schedule([FAST, SLOW], 0)
    schedule.finished(FAST, 1)
    schedule.finished(SLOW, 1)
    schedule.all_due(5)
    assert not schedule.caught_up
    assert schedule.next(5) is FAST
    schedule.finished(FAST, 6)
    schedule.finished(SLOW, 6)
    assert schedule.caught_up


def test_a_pass_that_was_under_way_proves_nothing_of_what_was_missed() -> None:
    """Its first pages were read before: at its end the walk is due once more, and only then it is caught up."""
    schedule = Schedule([FAST, SLOW], 0)
    schedule.finished(FAST, 1)
    schedule.all_due(5, under_way={"slow", "unheard-of"})
    schedule.finished(FAST, 6)
    schedule.finished(SLOW, 7)
    assert not schedule.caught_up
    assert schedule.next(7) is SLOW
    schedule.finished(SLOW, 8)
    assert schedule.caught_up
    assert schedule.wait(8) == 8


def test_without_walks_there_is_nothing_to_wait_for() -> None:
    """A source that cannot be asked is caught up, and never due."""
    schedule = Schedule([], 0)
    assert (schedule.caught_up, schedule.next(0), schedule.wait(0)) == (True, None, math.inf)


@given(st.lists(st.tuples(st.floats(1, 100), st.floats(0, 200)), min_size=1, max_size=5), st.floats(0, 1e6))
def test_next_and_wait_agree(walks: list[tuple[float, float]], now: float) -> None:
    """Something is due exactly when there is nothing to wait for; after the wait something is."""
    made = [Walk(f"w{at}", "thing", every) for at, (every, _) in enumerate(walks)]
    schedule = Schedule(made, now, {f"w{at}": age for at, (_, age) in enumerate(walks)})
    assert (schedule.next(now) is None) == (schedule.wait(now) > 0)
    assert schedule.next(now + schedule.wait(now) + 1e-6) is not None


def test_fast_walks_that_are_always_due_do_not_starve_a_slow_one() -> None:
    """Two fast walks of many pages, a quota that cannot keep up with them: the slow one still gets its share."""
    fast = [Walk(f"fast-{n}", "thing", 30.0) for n in range(2)]
    slow = Walk("slow", "thing", 3_600.0)
    schedule = Schedule([*fast, slow], 0.0)
    pages = dict.fromkeys(("fast-0", "fast-1", "slow"), 0)
    for second in range(2_000):
        walk = schedule.next(float(second))
        assert walk is not None
        pages[walk.name] += 1
        if walk is not slow and pages[walk.name] % 30 == 0:
            schedule.finished(walk, float(second))
    assert pages["slow"] >= 2_000 // SHARE // 3
    assert pages["fast-0"] + pages["fast-1"] >= 2_000 // 2


def test_what_is_refused_is_left_out_until_its_time() -> None:
    """Nothing waits for it, and no wish brings it forward: neither a look nor a connect."""
    schedule = Schedule([FAST, SLOW], 0)
    schedule.finished(SLOW, 1)
    assert not schedule.caught_up
    schedule.refuse("fast", 50)
    assert schedule.caught_up
    schedule.hasten("fast", 2)
    schedule.once_more(FAST, 2, ["fast"])
    assert schedule.next(10) is None
    assert schedule.wait(10) == 40
    schedule.all_due(20)
    assert schedule.next(20) is SLOW
    schedule.finished(SLOW, 21)
    assert schedule.caught_up
    assert schedule.next(49) is None
    assert schedule.next(50) is FAST
    schedule.all_due(60)
    schedule.finished(SLOW, 61)
    assert not schedule.caught_up


def test_what_is_refused_may_be_asked_all_the_same() -> None:
    """It is waited for then, unless it is one that is read beside the catch-up."""
    beside = Walk("beside", "thing", 10, on_connect=False)
    schedule = Schedule([FAST, beside], 0)
    for walk in (FAST, beside):
        schedule.refuse(walk.name, 50)
    schedule.ask("fast", 5)
    schedule.ask("nobody", 5)
    assert not schedule.caught_up
    assert schedule.next(5) is FAST
    schedule.finished(FAST, 5)
    schedule.ask("beside", 6)
    assert schedule.caught_up
    assert schedule.next(6) is beside


# --- where the quota is too small ------------------------------------------------------------------------------------


def scarcely(**plans: tuple[float, float]) -> Planner:
    """By the name of a walk: its interval and what a pass costs."""
    return lambda walk: Planned(*plans[walk.name], scarce=True)


def test_a_planned_interval_counts_from_one_beginning_to_the_next() -> None:
    """A pass that took 30 of its 100 seconds is due again 70 later; without need for a plan its interval follows it."""
    schedule = Schedule([FAST], 0, planned=scarcely(fast=(100.0, 3.0)))
    assert schedule.next(0) is FAST
    schedule.finished(FAST, 30)
    assert (schedule.wait(30), schedule.due(FAST)) == (70, 100)
    wished = Schedule([FAST], 0)
    assert wished.next(0) is FAST
    wished.finished(FAST, 30)
    assert wished.wait(30) == 10


def test_a_plan_that_changes_counts_at_once() -> None:
    """Costs are learned, others leave: what is due then is due."""
    every_s = [1_000.0]
    schedule = Schedule([FAST], 0, {"fast": 0}, lambda _: Planned(every_s[0], 1.0, every_s[0] > 10))
    assert schedule.wait(0) == 1_000
    every_s[0] = 50.0
    assert schedule.wait(0) == 50
    every_s[0] = 10.0
    assert schedule.wait(0) == 10


def test_of_those_due_the_oldest_by_its_interval_goes_first() -> None:
    """Half an hour late in an hour is worse than ten seconds in a minute, and better than a minute in a minute."""
    plan = scarcely(fast=(60.0, 1.0), slow=(3_600.0, 1.0))
    assert Schedule([FAST, SLOW], 0, {"fast": 70, "slow": 5_400}, plan).next(0) is SLOW
    assert Schedule([FAST, SLOW], 0, {"fast": 120, "slow": 5_400}, plan).next(0) is FAST
    # A quota that suffices lets the fast one go first.
    assert Schedule([FAST, SLOW], 0, {"fast": 70, "slow": 5_400}).next(0) is FAST


def test_a_pass_that_has_begun_is_brought_to_its_end() -> None:
    """Another that is a little more overdue does not come between: what is half read is of no use to anybody."""
    plan = scarcely(fast=(1_000.0, 4.0), slow=(100.0, 4.0))
    schedule = Schedule([FAST, SLOW], 0, {"fast": 1_010, "slow": 90}, plan)
    assert [schedule.next(at) for at in range(3)] == [FAST] * 3
    # The slow one is late by a tenth of its interval now, and this one by a thirtieth.
    assert schedule.next(20) is FAST
    schedule.finished(FAST, 21)
    assert schedule.next(21) is SLOW
    # One that is late by more than that goes first all the same.
    schedule = Schedule([FAST, SLOW], 0, {"fast": 1_010, "slow": 90}, plan)
    assert schedule.next(0) is FAST
    assert schedule.next(60) is SLOW


def test_what_somebody_asked_for_goes_before_what_is_merely_due() -> None:
    """A probe saw something, or a push needs the vendor's word."""
    plan = scarcely(fast=(100.0, 1.0), slow=(100.0, 1.0))
    schedule = Schedule([FAST, SLOW], 0, {"fast": 0, "slow": 0}, plan)
    schedule.hasten("slow", 130)
    assert schedule.next(130) is SLOW
    schedule.finished(SLOW, 131)
    assert schedule.next(131) is FAST


def test_a_pass_that_never_ends_starves_nobody() -> None:
    """However short its interval: what is older than two of its own has every fourth page."""
    schedule = Schedule([FAST, SLOW], 0, planned=scarcely(fast=(20.0, 1.0), slow=(200.0, 50.0)))
    pages = {"fast": 0, "slow": 0}
    for second in range(4_000):
        walk = schedule.next(float(second))
        assert walk is not None
        pages[walk.name] += 1
    assert pages["slow"] >= 400


@given(st.lists(st.tuples(st.floats(1, 100), st.integers(1, 20)), min_size=1, max_size=5), st.floats(1.0, 20.0))
def test_everything_is_read_again_and_again(walks: list[tuple[float, int]], stretch: float) -> None:
    """Whatever intervals a plan gives that the quota pays for, none is twice and a pass of all as old as its own."""
    made = [Walk(f"w{at}", "thing", every_s) for at, (every_s, _) in enumerate(walks)]
    cost = {f"w{at}": float(pages) for at, (_, pages) in enumerate(walks)}
    # Stretched until the requests of one second suffice for all.
    scale = max(stretch, sum(pages / every_s for every_s, pages in walks))
    every = {walk.name: walk.every_s * scale for walk in made}
    schedule = Schedule(made, 0, planned=lambda walk: Planned(every[walk.name], cost[walk.name], scarce=True))
    began: dict[str, float] = {}
    read = dict.fromkeys(cost, 0.0)
    done = dict.fromkeys(cost, 0)
    now, whole = 0.0, sum(cost.values())
    while now < tries(1_000, 2_000):
        walk = schedule.next(now)
        if walk is None:
            now += max(1e-6, schedule.wait(now))
            continue
        began.setdefault(walk.name, now)
        now += 1.0
        done[walk.name] += 1
        if done[walk.name] == cost[walk.name]:
            read[walk.name], done[walk.name] = began.pop(walk.name), 0
            schedule.finished(walk, now)
        for name, at in read.items():
            assert now - at <= 4 * every[name] + 6 * whole

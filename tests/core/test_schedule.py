"""Which walk is read next."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from bridge.core.facts import Walk
from bridge.core.schedule import SHARE, Schedule

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

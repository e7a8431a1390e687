"""Quotas as arithmetic, with time as a plain number."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.budget import Budget, Limit

LIMITS = st.builds(Limit, st.integers(1, 60), st.floats(0.5, 900.0))


def starts(budget: Budget, count: int, now: float = 0.0) -> list[float]:
    """When `count` requests start if each goes as soon as the budget allows."""
    times = []
    for _ in range(count):
        now += budget.wait(now)
        budget.spend(now)
        times.append(now)
    return times


def most_in_window(times: list[float], seconds: float) -> int:
    """The largest number of requests in any window of this length, wherever it begins."""
    return max(sum(start <= time < start + seconds for time in times) for start in times)


@given(LIMITS, st.none() | st.integers(1, 80))
def test_no_window_holds_more_than_the_limit(limit: Limit, burst: int | None) -> None:
    """A vendor who counts in any window, sliding or fixed, never counts more than its limit: burst included."""
    times = starts(Budget(limit, burst=burst), 3 * limit.requests + 10)
    # The window is shorter by a rounding error, since times are sums of floats.
    assert most_in_window(times, limit.seconds * (1 - 1e-9)) <= limit.requests


@given(LIMITS, st.lists(st.floats(0.0, 100.0), min_size=1, max_size=60))
def test_idle_times_save_up_one_burst_at_most(limit: Limit, pauses: list[float]) -> None:
    """Requests that come when they like, with gaps, still keep to the limit."""
    budget, now, times = Budget(limit), 0.0, []
    for pause in pauses:
        now += pause
        now += budget.wait(now)
        budget.spend(now)
        times.append(now)
    assert most_in_window(times, limit.seconds * (1 - 1e-9)) <= limit.requests


def test_burst_then_even_spacing() -> None:
    """Ten of a hundred go at once, then the rest is spread so that a period holds a hundred."""
    times = starts(Budget(Limit(100, 91.0)), 100)
    assert times[:10] == [0.0] * 10
    assert times[10:] == pytest.approx(range(1, 91))


def test_most_of_the_quota_is_used() -> None:
    """Keeping the promise costs no more than the burst: nine tenths of the quota go out, period after period."""
    limit = Limit(60, 60.0)
    times = starts(Budget(limit), 600)
    assert 600 / (times[-1] / 60.0) >= 0.9 * limit.requests


def test_a_limit_of_one() -> None:
    """One per period is one per period."""
    assert starts(Budget(Limit(1, 10.0)), 4) == pytest.approx([0.0, 10.0, 20.0, 30.0])


def test_wait_says_how_long_and_spends_nothing() -> None:
    """Asking is free, and the answer shrinks as time passes."""
    budget = Budget(Limit(6, 60.0), burst=1)
    budget.spend(100.0)
    assert budget.wait(100.0) == pytest.approx(10.0)
    assert budget.wait(104.0) == pytest.approx(6.0)
    assert budget.wait(110.0) == 0.0
    assert budget.wait(1e9) == 0.0


def test_a_clock_may_begin_anywhere() -> None:
    """Monotonic clocks begin where they like, below zero too."""
    assert Budget(Limit(1, 10.0)).wait(-1e6) == 0.0


def test_costly_requests_count_by_cost() -> None:
    """A request that the vendor counts as three takes the room of three."""
    budget = Budget(Limit(6, 60.0), burst=1)
    budget.spend(0.0, cost=3)
    assert budget.wait(0.0) == pytest.approx(30.0)


def test_pause_holds_everything_and_is_never_shortened() -> None:
    """The vendor's word counts, and of two words the longer."""
    budget = Budget(Limit(10, 1.0))
    budget.pause(100.0, 30.0)
    budget.pause(101.0, 5.0)
    assert budget.wait(101.0) == pytest.approx(29.0)
    assert budget.wait(130.0) == 0.0


def test_learning_a_smaller_limit() -> None:
    """From the moment it is known a smaller limit is kept, and the pause stays."""
    budget = Budget(Limit(1000, 1.0))
    budget.spend(0.0)
    budget.pause(0.0, 60.0)
    budget.learn(Limit(20, 60.0))
    assert budget.wait(0.0) == pytest.approx(60.0)
    times = starts(budget, 100)
    assert most_in_window(times, 60.0 * (1 - 1e-9)) <= 20


def test_learning_a_larger_limit() -> None:
    """A larger limit frees what a smaller one held back: no more than the old spacing is still waited for."""
    budget = Budget(Limit(1, 60.0))
    budget.spend(0.0)
    budget.learn(Limit(600, 60.0))
    assert 0.0 <= budget.wait(0.0) <= 60.0
    assert budget.wait(60.0) == 0.0


def test_learning_what_is_known_changes_nothing() -> None:
    """A vendor that repeats its limit with every answer does not refill the budget."""
    told, untold = Budget(Limit(10, 10.0)), Budget(Limit(10, 10.0))
    for now in (0.0, 0.5, 3.0):
        for budget in (told, untold):
            budget.spend(now)
        told.learn(Limit(10, 10.0))
        assert told.wait(now) == untold.wait(now)


@given(LIMITS, st.integers(1, 200))
def test_a_burst_is_never_above_the_limit(limit: Limit, burst: int) -> None:
    """Who asks for a burst larger than the quota gets the quota."""
    assert Budget(limit, burst=burst).burst == min(burst, limit.requests)


@pytest.mark.parametrize(("requests", "seconds"), [(0, 1.0), (-1, 1.0), (1, 0.0), (1, -1.0)])
def test_impossible_limits(requests: int, seconds: float) -> None:
    """A limit that allows nothing is a mistake, not an eternal wait."""
    with pytest.raises(ValueError, match="at least 1 request"):
        Limit(requests, seconds)


def test_impossible_burst() -> None:
    """A burst of nothing is a mistake too."""
    with pytest.raises(ValueError, match="at least 1 request"):
        Budget(Limit(1, 1.0), burst=0)

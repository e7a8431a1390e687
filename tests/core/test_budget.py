"""Quotas as arithmetic, with time as a plain number."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.budget import Allowance, Budget, Limit

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


@pytest.mark.parametrize("reserve", [-1, 10, 11])
def test_impossible_reserves(reserve: int) -> None:
    """Something must be left to us."""
    with pytest.raises(ValueError, match="at least 1 request to us"):
        Limit(10, 1.0, reserve=reserve)


def test_impossible_burst() -> None:
    """A burst of nothing is a mistake too."""
    with pytest.raises(ValueError, match="at least 1 request"):
        Budget(Limit(1, 1.0), burst=0)


# --- what a vendor's answers say -------------------------------------------------------------------------------------


def test_an_explicit_burst() -> None:
    """The limit may name it; nobody else's word for the limit takes it away."""
    budget = Budget(Limit(1_000, 3_600.0, 26))
    assert starts(budget, 27)[25:] == pytest.approx([0.0, 3_600 / 975])
    budget.learn(Limit(500, 3_600.0))
    assert budget.burst == 26
    with pytest.raises(ValueError, match="at least 1 request"):
        Budget(Limit(10, 1.0, 0))


def observed(*told: tuple[float, Allowance]) -> Budget:
    budget = Budget(Limit(1_000, 3_600.0, 26))
    for sent, allowance in told:
        budget.observe(sent, allowance)
    return budget


def test_spacing_is_told_by_what_is_used_and_when_it_is_whole_again() -> None:
    """Where the vendor regains faster or slower than is configured; between its bounds the configured one stays."""
    slower = observed((0.0, Allowance(26, 16, 100.5)))  # at least 10.05 s each
    assert slower.wait(0.0, need=16) == pytest.approx(10.05)
    faster = observed((0.0, Allowance(26, 5, 20.5)))  # at most 20.5 / 20
    assert faster.wait(0.0, need=5) == pytest.approx(1.025)
    within = observed((0.0, Allowance(26, 16, 36.5)))
    assert within.wait(0.0, need=16) == pytest.approx(3_600 / 975)


def test_a_vendor_that_counts_otherwise_than_it_did() -> None:
    """What contradicts everything said before replaces it."""
    budget = observed((0.0, Allowance(26, 0, 93.5)), (200.0, Allowance(26, 0, 9.4)))
    assert budget.wait(200.0) == pytest.approx(2 * 9.4 / 25)
    assert budget.wait(200.0 + 2 * 9.4 / 25 + 0.01) == 0.0


def test_what_others_took_is_waited_for() -> None:
    """Nothing remains though we sent nothing: with the one in reserve two requests have to be regained."""
    budget = observed((50.0, Allowance(26, 0, 93.6)))
    assert budget.wait(50.0) == pytest.approx(2 * 3_600 / 975)
    assert budget.wait(50.0, spares=10) == pytest.approx(12 * 3_600 / 975)


def test_an_answer_never_shortens_the_wait() -> None:
    """It may be older than what was sent since."""
    budget = Budget(Limit(1_000, 3_600.0, 26))
    for _ in range(26):
        budget.spend(0.0)
    before = budget.wait(0.0)
    budget.observe(0.0, Allowance(26, 25, 3.6))
    assert budget.wait(0.0) >= before > 0


def test_a_smaller_burst_is_kept_to() -> None:
    """The first answer tells it; the one held back for requests that overtake one another included."""
    budget = observed((0.0, Allowance(5, 4, 3.6)))
    assert len([time for time in starts(budget, 10) if time == 0.0]) == 3


@pytest.mark.parametrize("told", [Allowance(3_000, 0, 1e9), Allowance(26, 0, 1e9), Allowance(26, 1, 0.0)])
def test_nonsense_does_not_stop_a_source_for_long(told: Allowance) -> None:
    """Headers out of all proportion: the next request goes within a hundred times the usual pause."""
    budget = observed((0.0, told))
    assert budget.wait(0.0) <= 739  # two requests at 369 s each


def test_what_a_query_costs() -> None:
    """The drop of what remains, and what was regained meanwhile; only where just one request was sent since."""
    budget = Budget(Limit(1_000, 3_600.0, 26))
    budget.spend(0.0)
    assert budget.observe(0.0, Allowance(26, 25, 3.6)) is None  # nothing to compare with
    budget.spend(3.6)
    assert budget.observe(3.6, Allowance(26, 21, 18.0)) == 5
    budget.spend(10.8)
    assert budget.observe(10.8, Allowance(26, 22, 14.4)) == 1
    budget.spend(10.8)
    budget.spend(10.8)
    assert budget.observe(10.8, Allowance(26, 20, 21.6)) is None  # two were
    budget.spend(20.0)
    assert budget.observe(5.0, Allowance(26, 20, 21.6)) is None  # overtaken


@given(
    st.integers(1, 50), st.integers(0, 50), st.floats(0, 1e6, allow_nan=False), st.integers(1, 60), st.integers(0, 60)
)
def test_any_word_of_the_vendor_leaves_a_wait_that_ends(
    burst: int, remaining: int, reset_s: float, need: int, spares: int
) -> None:
    """Finite, also for more than the burst; and a request that may go now may go later, too."""
    budget = observed((0.0, Allowance(burst, min(burst, remaining), reset_s)))
    wait = budget.wait(0.0, need=need, spares=spares)
    assert 0.0 <= wait < 1e6
    assert budget.wait(wait + 1e-6, need=need, spares=spares) == 0.0


TOLD = st.builds(
    lambda burst, share, reset_s: Allowance(burst, round(burst * share), reset_s),
    st.sampled_from([1, 2, 25, 26, 27, 260, 2_600, 260_000, 26_000_000]) | st.integers(1, 10**9),
    st.sampled_from([0.0, 1.0]) | st.floats(0, 1),
    st.sampled_from([0.0, 3.0, 3_600.0, 999_999_999.0]) | st.floats(0, 1e9),
)


@given(st.lists(st.tuples(TOLD, st.booleans(), st.floats(0, 100)), max_size=12))
def test_whatever_is_told_nothing_waits_for_more_than_an_hour(
    answers: list[tuple[Allowance, bool, float]],
) -> None:
    """However answers contradict one another, and whether requests go in between."""
    budget, now = Budget(Limit(1_000, 3_600.0, 26)), 0.0
    for told, goes, later in answers:
        if goes:
            now += budget.wait(now)
            budget.spend(now)
        budget.observe(now, told)
        assert budget.wait(now) <= 3_600
        assert budget.wait(now, spares=13) <= 3_600.001
        assert budget.burst <= 2_600
        now += later


def test_two_answers_that_contradict_one_another() -> None:
    """A hundredfold burst, used up for ever, and then the truth: after it the source goes on as if nothing was."""
    budget = observed((0.0, Allowance(2_600, 0, 999_999_999.0)), (0.0, Allowance(26, 25, 3.0)))
    assert budget.wait(0.0) == pytest.approx(2 * 3_600 / 975)
    assert budget.wait(100.0) == 0.0
    assert budget.wait(100.0, need=20) == 0.0


def test_what_was_believed_is_measured_by_what_is_configured() -> None:
    """Not by what was told last: a hundredfold and again a hundredfold is too much."""
    budget = observed((0.0, Allowance(2_600, 2_600, 0.0)), (0.0, Allowance(260_000, 260_000, 0.0)))
    assert budget.burst == 2_600


# --- a reserve -------------------------------------------------------------------------------------------------------


@given(st.integers(2, 60), st.data())
def test_the_reserve_is_never_ours_in_any_window(requests: int, data: st.DataObject) -> None:
    """Whatever the vendor says of its quota, and of how fast it regains."""
    reserve = data.draw(st.integers(1, requests - 1))
    budget, now, times = Budget(Limit(requests, 60.0, reserve=reserve)), 0.0, []
    for _ in range(2 * requests):
        now += budget.wait(now)
        budget.spend(now)
        times.append(now)
        if data.draw(st.booleans()):
            burst = data.draw(st.integers(1, 200))
            budget.observe(now, Allowance(burst, data.draw(st.integers(0, burst)), data.draw(st.floats(0, 5))))
    assert most_in_window(times, 60.0 * (1 - 1e-9)) <= requests - reserve


def test_a_reserve_stays_whatever_limit_the_vendor_names() -> None:
    """Also where it names one that is smaller: then one request is left to us."""
    budget = Budget(Limit(100, 60.0, reserve=40))
    budget.learn(Limit(50, 60.0))
    assert budget.limit == Limit(50, 60.0, reserve=40)
    assert most_in_window(starts(budget, 40), 60.0 * (1 - 1e-9)) <= 10
    budget.learn(Limit(20, 60.0))
    assert budget.limit.reserve == 19


def test_what_a_costly_request_takes_is_not_taken_from_the_reserve() -> None:
    """A request that counts as five is five of ours."""
    budget, now, times = Budget(Limit(60, 60.0, reserve=30)), 0.0, []
    for _ in range(30):
        now += budget.wait(now, need=5)
        budget.spend(now, need=5)
        times.append(now)
    assert most_in_window(times, 60.0 * (1 - 1e-9)) <= 7


def test_how_a_quota_stands() -> None:
    """The pace that is counted on, and what is left where the vendor tells."""
    budget = Budget(Limit(1_000, 3_600.0, 26))
    assert budget.gauge(0.0).left is None
    assert budget.gauge(0.0).ours == pytest.approx(975)
    budget.spend(0.0)
    budget.observe(0.0, Allowance(26, 20, 21.6))
    assert (budget.gauge(0.0).left, budget.gauge(3.7).left, budget.gauge(1e6).left) == (20, 21, 26)
    reserved = Budget(Limit(1_000, 3_600.0, 26, reserve=500))
    assert reserved.gauge(0.0).ours == pytest.approx(475)

"""Durations counted in ranges."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.histogram import BOUNDS_S, Histogram


def test_a_duration_counts_in_every_range_that_holds_it() -> None:
    """The bound itself belongs to its range, as `le` has it, and what is longer than all bounds counts beyond."""
    histogram = Histogram((0.1, 1.0))
    for seconds in (0.05, 0.1, 0.5, 7.0):
        histogram.observe(seconds)
    assert histogram.cumulative() == [(0.1, 2), (1.0, 3), (math.inf, 4)]
    assert histogram.count == 4
    assert histogram.sum_s == pytest.approx(7.65)


def test_a_clock_that_steps_back_takes_nothing_away() -> None:
    """A sum that falls would look like a restart."""
    histogram = Histogram((0.1,))
    histogram.observe(-5.0)
    histogram.observe_since(10.0, [12.0])
    assert histogram.cumulative() == [(0.1, 2), (math.inf, 2)]
    assert histogram.sum_s == 0.0


def test_the_bounds_ascend_from_a_millisecond_to_minutes() -> None:
    """They are part of the contract: another set of bounds is another set of series."""
    assert list(BOUNDS_S) == sorted(set(BOUNDS_S))
    assert (BOUNDS_S[0], BOUNDS_S[-1]) == (0.001, 120.0)


@given(st.lists(st.integers(0, 200_000), max_size=60), st.integers(200_000, 210_000))
def test_many_at_once_count_as_one_by_one(begun_ms: list[int], now_ms: int) -> None:
    """A batch is counted by its edges, and comes to the same."""
    # Eighths of a second are exact as floats, so that no bound is missed by a rounding.
    now, begun = now_ms / 8, sorted(ms / 8 for ms in begun_ms)
    together, singly = Histogram((0.5, 1.0, 4.0, 64.0, 4096.0)), Histogram((0.5, 1.0, 4.0, 64.0, 4096.0))
    together.observe_since(now, begun)
    for at in begun:
        singly.observe(now - at)
    assert together.cumulative() == singly.cumulative()
    assert together.sum_s == pytest.approx(singly.sum_s)


def test_nothing_at_once_is_nothing() -> None:
    """An empty batch counts nowhere."""
    histogram = Histogram()
    histogram.observe_since(1.0, [])
    assert histogram.count == 0

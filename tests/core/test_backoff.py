"""Delays after failures."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.backoff import Backoff

rolls = st.floats(0, 1, exclude_max=True)


def test_ceiling_doubles_up_to_the_longest() -> None:
    """With the highest roll the delays are the ceilings: doubling from the first, never above the longest."""
    backoff = Backoff(lambda: 1.0, first=1.0, longest=10.0)
    assert [backoff.next() for _ in range(6)] == [1, 2, 4, 8, 10, 10]


def test_lowest_roll_still_waits() -> None:
    """A failure at once never becomes a busy loop."""
    backoff = Backoff(lambda: 0.0, first=2.0)
    assert [backoff.next() for _ in range(3)] == [0.2, 0.2, 0.2]


@pytest.mark.parametrize("asked", [0.0, -30.0, 0.001])
def test_being_asked_for_nothing_still_waits(asked: float) -> None:
    """`Retry-After: 0`, or a date that has passed, is no leave to hammer."""
    assert Backoff(lambda: 0.5, first=1.0).next(at_least=asked) == 0.1


def test_what_the_other_side_asks_for_counts() -> None:
    """The delay is never shorter than asked for, and at most a tenth longer, whatever the longest of our own is."""
    assert Backoff(lambda: 0.0, longest=5.0).next(at_least=600) == 600
    assert Backoff(lambda: 1.0, longest=5.0).next(at_least=600) == pytest.approx(660)


def test_reset_starts_over() -> None:
    """After success the first delay is short again."""
    backoff = Backoff(lambda: 1.0, first=1.0)
    for _ in range(5):
        backoff.next()
    backoff.reset()
    assert (backoff.failures, backoff.next()) == (0, 1.0)


def test_asking_counts_as_a_failure() -> None:
    """A vendor that names a time once does not hold the ceiling down."""
    backoff = Backoff(lambda: 1.0, first=1.0)
    backoff.next(at_least=1)
    assert backoff.next() == 2.0


@given(rolls, st.integers(0, 5_000), st.floats(0.01, 10), st.floats(10, 1_000))
def test_every_delay_lies_between_a_tenth_of_the_first_and_the_longest(
    roll: float, failures: int, first: float, longest: float
) -> None:
    """Also after thousands of failures."""
    backoff = Backoff(lambda: roll, first=first, longest=longest)
    backoff.failures = failures
    assert first * 0.1 <= backoff.next() <= longest

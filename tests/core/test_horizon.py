"""How far back what occurs once may be read, and what is announced where that is not far enough."""

from __future__ import annotations

import math

import pytest

from bridge.core.facts import Walk, Window
from bridge.core.walk import forgotten_gap, window_of

DAY = 86_400_000
NOW = 1_000 * DAY
ONCE = Walk("messages", "message", 60, once=True)


def test_what_occurs_once_always_has_a_window() -> None:
    """A walk that reads everything reads no further back than the stream remembers, less a day."""
    assert window_of(ONCE, NOW, None, retention_s=90 * 86_400) == Window(NOW - 89 * DAY, NOW)


@pytest.mark.parametrize(("retention_s", "margin_s"), [(90 * 86_400, 86_400), (86_400, 8_640), (10, 1)])
def test_the_margin_is_a_tenth_and_a_day_at_most(retention_s: float, margin_s: float) -> None:
    """Short retention leaves a short margin."""
    window = window_of(ONCE, NOW, None, retention_s=retention_s)
    assert window is not None
    assert window.start_ms == NOW - (retention_s - margin_s) * 1000


def test_a_short_reach_stays_short_and_a_long_one_is_cut() -> None:
    """The horizon only cuts; overlap does not reach beyond it."""
    reach = Walk("messages", "message", 60, reach_s=86_400, overlap_s=60, once=True)
    assert window_of(reach, NOW, NOW, retention_s=90 * 86_400) == Window(NOW - DAY - 60_000, NOW + 60_000)
    assert window_of(reach, NOW, NOW - 95 * DAY, retention_s=90 * 86_400) == Window(NOW - 89 * DAY, NOW + 60_000)


def test_entities_and_endless_streams_have_no_horizon() -> None:
    """What can change is told apart by its digest; a stream that forgets nothing may be asked about anything."""
    things = Walk("things", "thing", 60)
    assert window_of(things, NOW, None, retention_s=10) is None
    assert forgotten_gap(things, NOW, 0, 10) is None
    assert window_of(ONCE, NOW, None) is None
    assert forgotten_gap(ONCE, NOW, 0, math.inf) is None


def test_the_gap_lies_between_the_last_pass_and_the_horizon() -> None:
    """Only where nobody had looked; a first read promises nothing and has none."""
    gap = forgotten_gap(ONCE, NOW, NOW - 95 * DAY, 90 * 86_400)
    assert gap is not None
    assert (gap.feed, gap.from_ms, gap.to_ms) == ("messages", NOW - 95 * DAY, NOW - 89 * DAY)
    assert forgotten_gap(ONCE, NOW, NOW - 88 * DAY, 90 * 86_400) is None
    assert forgotten_gap(ONCE, NOW, None, 90 * 86_400) is None

"""Intervals that nobody can tell of any more."""

from __future__ import annotations

import pytest

from bridge.core.gap import Gap, vendor_gap


def test_the_same_doubt_is_one_gap() -> None:
    """Its end does not name it; its feed, reason and begin do."""
    gap = Gap("fast", "why", 1_000)
    assert gap.id == Gap("fast", "why", 1_000, 2_000).id
    others = {Gap("slow", "why", 1_000).id, Gap("fast", "how", 1_000).id, Gap("fast", "why", 1_001).id}
    assert len(others | {gap.id}) == 4


def test_parts_of_the_name_do_not_run_together() -> None:
    """`ab` + `c` is not `a` + `bc`."""
    assert Gap("ab", "c", 1).id != Gap("a", "bc", 1).id


def test_data_tells_from_when_to_when() -> None:
    """Stamps in UTC; an open gap has no end."""
    assert Gap("fast", "why", 0, 1_500).data() == {
        "feed": "fast",
        "reason": "why",
        "from": "1970-01-01T00:00:00.000Z",
        "to": "1970-01-01T00:00:01.500Z",
    }
    assert Gap("fast", "why", 0).data()["to"] is None


@pytest.mark.parametrize(
    ("completed", "reaches_back_to", "found"),
    [
        (None, None, None),
        (None, 5, None),  # a first read has missed nothing
        (5, None, None),  # the vendor does not say
        (5, 4, None),
        (5, 5, None),
        (5, 6, (5, 6)),
    ],
)
def test_vendor_gap(completed: int | None, reaches_back_to: int | None, found: tuple[int, int] | None) -> None:
    """There is a gap only if the vendor's memory begins after our last complete pass."""
    gap = vendor_gap("fast", completed, reaches_back_to)
    assert (None if gap is None else (gap.from_ms, gap.to_ms)) == found

"""Positions in a feed of rows with cursors. (`tests/adapters/test_pcvisit.py` has the table of where it goes on.)"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.errors import Retry
from bridge.core.facts import Ask, Walk
from bridge.core.paging import cursor, following
from bridge.core.record import Json

WALK = Walk("w", "thing", 30, page_size=10)


@given(total=st.integers(0, 45), served=st.integers(1, 12), counts=st.booleans())
def test_a_pass_sees_every_row_and_ends(total: int, served: int, counts: bool) -> None:
    """Whatever page size the vendor allows, as long as it counts its rows or serves the pages we ask for."""
    if not counts:
        served = WALK.page_size
    rows = list(range(total))
    seen: list[int] = []
    position: Json = None
    for _ in range(100):
        start = 0 if position is None else int(cursor(Ask(WALK, None, position)) or 0) + 1
        page = rows[start : start + min(served, WALK.page_size)]
        seen += page
        position = following(
            Ask(WALK, None, position), len(page), str(page[-1]) if page else None, total if counts else None
        )
        if position is None:
            break
    assert position is None
    assert seen == rows


def test_a_row_without_a_cursor_is_an_error_only_where_more_follows() -> None:
    """The last page needs none."""
    assert following(Ask(WALK, None), 9, None) is None
    with pytest.raises(Retry, match="walk w: more rows follow"):
        following(Ask(WALK, None), 10, None)


def test_a_page_that_does_not_advance_is_an_error() -> None:
    """Asking again from the same cursor would never end."""
    with pytest.raises(Retry, match="walk w: the page ends at the cursor"):
        following(Ask(WALK, None, {"cursor": "c", "seen": 10}), 10, "c")


@pytest.mark.parametrize("last", ["a\ud800", "a" * 16_385, "ü" * 8_193])
def test_a_cursor_that_cannot_be_sent_back_is_an_error(last: str) -> None:
    """Half of a surrogate pair has no bytes, and beyond 16 kB a cursor is none."""
    with pytest.raises(Retry, match=r"walk w: more rows follow, but the cursor .* is not UTF-8 of at most 16384 bytes"):
        following(Ask(WALK, None), 10, last)
    assert following(Ask(WALK, None), 10, "ü" * 8_192) == {"cursor": "ü" * 8_192, "seen": 10}


def test_a_foreign_position_is_the_first_page() -> None:
    """Positions never outlive a pass, so one we did not make is none."""
    for position in (None, "c", 5, {}, {"cursor": 5}):
        assert cursor(Ask(WALK, None, position)) is None

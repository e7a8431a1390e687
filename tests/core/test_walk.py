"""One pass over a collection: windows, and paging that ends."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core import walk as walk_module
from bridge.core.facts import Page, Walk
from bridge.core.walk import MOST_PAGES, Pass, Stuck, window_of

WALK = Walk("w", "thing", 10, reach_s=3_600, overlap_s=60)
HOUR = 3_600_000


def begun() -> Pass:
    return Pass(WALK, None, 0)


def page(*rows: str, following: object = None, complete: bool = True) -> Page:
    return Page(list(rows), following, complete)


# --- the window ---


def test_a_walk_without_reach_reads_everything() -> None:
    """No window."""
    assert window_of(Walk("w", "thing", 10), 5 * HOUR, None) is None


@pytest.mark.parametrize(
    ("completed_ms", "since_ms"),
    [
        (None, 10 * HOUR),
        (9 * HOUR, 9 * HOUR),
        (1 * HOUR, 1 * HOUR),  # nobody looked for nine hours: what was within reach then is read again
        (11 * HOUR, 10 * HOUR),  # the clock was set back
    ],
)
def test_window_reaches_back_from_the_last_complete_pass(completed_ms: int | None, since_ms: int) -> None:
    """The look-back counts from then and not from now; both ends are widened by the overlap."""
    window = window_of(WALK, 10 * HOUR, completed_ms)
    assert window is not None
    assert window.start_ms == since_ms - HOUR - 60_000
    assert window.end_ms == 10 * HOUR + 60_000


@pytest.mark.parametrize(
    ("again_from_ms", "start_ms"), [(5 * HOUR, 4 * HOUR - 60_000), (9 * HOUR + 1, 8 * HOUR - 60_000), (0, 0)]
)
def test_what_is_to_be_read_again_widens_the_window(again_from_ms: int, start_ms: int) -> None:
    """It never narrows it, and never reaches back before the epoch, which no vendor would understand."""
    window = window_of(WALK, 10 * HOUR, 9 * HOUR, again_from_ms=again_from_ms)
    assert window is not None
    assert window.start_ms == start_ms


@given(st.lists(st.integers(0, 10**9), min_size=2, max_size=10))
def test_windows_of_consecutive_passes_leave_no_hole(times: list[int]) -> None:
    """However long the pauses, each window begins where the last one's look-back has been covered."""
    completed: int | None = None
    for now in sorted(times):
        window = window_of(WALK, now, completed)
        assert window is not None
        assert completed is None or window.start_ms <= completed - HOUR
        assert window.end_ms > now
        completed = now


# --- the pages ---


def test_pages_follow_positions_to_the_end() -> None:
    """Each page is asked for from where the one before ended, in the same window."""
    state = begun()
    assert state.ask().position is None
    state.take(page("x", following={"cursor": 1}), ["a"])
    assert state.ask().position == {"cursor": 1}
    assert not state.done
    state.take(page("x", "y"), ["b", "c"])
    assert state.done
    assert (state.ids, state.pages, state.rows) == ({"a", "b", "c"}, 2, 3)


def test_unreadable_rows_count_as_rows() -> None:
    """They are part of the page though they have no id."""
    state = begun()
    state.take(page("x", "y", following=1), ["a"])
    assert (state.rows, state.ids, state.done) == (2, {"a"}, False)


def test_an_empty_page_that_names_a_next_one_is_not_the_end() -> None:
    """Some vendors filter after they have cut the page: stopping there would lose the rest in silence."""
    state = begun()
    state.take(page(following=1), [])
    assert not state.done
    state.take(page("x"), ["a"])
    assert state.done


def test_an_empty_page_that_does_not_advance_is_stuck() -> None:
    """The same position twice leads nowhere."""
    state = begun()
    state.take(page(following=1), [])
    with pytest.raises(Stuck):
        state.take(page(following=1), [])


def test_a_position_seen_before_is_stuck() -> None:
    """Also when rows look new, and when the circle is longer than one page."""
    state = begun()
    state.take(page("x", following=1), ["a"])
    state.take(page("x", following=2), ["b"])
    with pytest.raises(Stuck, match="page 3"):
        state.take(page("x", following=1), ["c"])


def test_a_page_without_anything_new_is_stuck() -> None:
    """More follows, says the vendor, and gives what we have."""
    state = begun()
    state.take(page("x", following=1), ["a"])
    with pytest.raises(Stuck):
        state.take(page("x", following=2), ["a"])


def test_a_last_page_may_repeat_rows() -> None:
    """Windows shift while they are read; at the end that is harmless."""
    state = begun()
    state.take(page("x", following=1), ["a"])
    state.take(page("x"), ["a"])
    assert state.done


def test_one_incomplete_page_makes_the_pass_incomplete() -> None:
    """Also when later pages are complete."""
    state = begun()
    state.take(page("x", following=1, complete=False), ["a"])
    state.take(page("y"), ["b"])
    assert (state.done, state.complete) == (True, False)


def test_one_page_that_proves_no_absence_is_enough() -> None:
    """The pass completes all the same, and one that begins anew may prove it again."""
    state = Pass(Walk("walk", "thing", 10), None, 0)
    state.take(Page(["a"], 1), ["a"])
    assert state.proves_absence
    state.take(Page(["b"], 2, proves_absence=False), ["b"])
    state.take(Page(["c"]), ["c"])
    assert (state.done, state.complete, state.proves_absence) == (True, True, False)
    assert state.anew().proves_absence


@given(
    st.lists(st.lists(st.sampled_from("abcdef"), max_size=3), min_size=1, max_size=20),
    st.lists(st.integers(0, 30), min_size=1, max_size=20),
)
def test_a_finite_vendor_cannot_keep_us_for_ever(rows: list[list[str]], positions: list[int]) -> None:
    """Whatever is on its pages, and wherever they lead: the pass ends, or is stuck, before positions run out."""
    state, steps = begun(), 0
    try:
        while not state.done:
            assert steps <= 31
            ids = rows[steps % len(rows)]
            state.take(page(*ids, following=positions[steps % len(positions)]), ids)
            steps += 1
    except Stuck:
        pass
    assert steps <= 31


def test_an_infinite_vendor_is_stuck_at_last(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unreadable rows and ever new positions: not even that goes on for ever."""
    assert MOST_PAGES >= 10_000
    monkeypatch.setattr(walk_module, "MOST_PAGES", 100)
    state = begun()
    for number in range(100):
        state.take(page("?", following=number), [])
    with pytest.raises(Stuck, match="page 101"):
        state.take(page("?", following=100), [])


# --- what belongs to known entities ---

OF = Walk("packets", "packet", 10, reach_s=60, once=True, batch=1, of="object")


def test_several_pages_belong_to_one_entity() -> None:
    """`next` stays with the entity; without it the pass goes on to the following one, from its first page."""
    state, asked = Pass(OF, None, 0, ["a", "b", "c"]), []
    for following in ("p1", "p2", None, None, "p1", None):
        ask = state.ask()
        asked.append((*ask.ids, ask.position))
        assert not state.done
        state.take(page("same", following=following), [f"{state.pages}"])
    assert state.done
    assert asked == [("a", None), ("a", "p1"), ("a", "p2"), ("b", None), ("c", None), ("c", "p1")]


def test_pages_of_one_entity_must_advance() -> None:
    """The same position, or the same rows, may come again for another entity only."""
    state = Pass(OF, None, 0, ["a", "b"])
    state.take(page("x", following="p1"), ["x"])
    state.take(page("y"), ["y"])
    state.take(page("x", following="p1"), ["x"])
    with pytest.raises(Stuck):
        state.take(page("z", following="p1"), ["z"])
    state = Pass(OF, None, 0, ["a"])
    state.take(page("x", following="p1"), ["x"])
    with pytest.raises(Stuck):
        state.take(page("x", following="p2"), ["x"])


def test_nobody_known_is_a_complete_pass() -> None:
    """There was nothing to ask for."""
    state = Pass(OF, None, 0)
    state.take(Page([]), [])
    assert (state.done, state.complete) == (True, True)


def test_overlapping_pages_advance_by_their_position_alone() -> None:
    """Whoever says so may repeat rows, but no position."""
    state = begun()
    state.take(Page(["a"], "p1", repeats=True), ["a"])
    state.take(Page(["a"], "p2", repeats=True), ["a"])
    with pytest.raises(Stuck):
        state.take(Page(["a"], "p1", repeats=True), ["a"])

"""One pass over a collection: windows, and paging that ends."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core import walk as walk_module
from bridge.core.facts import Page, Walk
from bridge.core.walk import MOST_PAGES, Pass, Stuck, page_sizes, window_of

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


# --- what a pass proves absent ---


def numbered(*ids: int, covers: tuple[int | None, int | None] | None, **more: object) -> tuple[Page, list[str]]:
    """A page of rows with these ids."""
    return Page([f"{id_}" for id_ in ids], covers=covers, **more), [f"{id_}" for id_ in ids]  # type: ignore[arg-type]


def taken(*pages: tuple[Page, list[str]]) -> Pass:
    """A pass that has read these pages."""
    state = begun()
    for one, ids in pages:
        state.take(one, ids)
    return state


def absent(state: Pass, most: int = 12) -> list[int]:
    """Which whole numbers the pass proves absent, of those it did not show."""
    return [id_ for id_ in range(most) if f"{id_}" not in state.ids and state.proves(f"{id_}")]


def test_absent_is_what_lies_between_two_rows_of_one_page() -> None:
    """Before the first and after the last row, too; not between two pages; and not what is no number."""
    state = taken(
        numbered(2, 4, covers=(None, 4), next=2), numbered(7, 9, covers=(7, 9), next=3), numbered(10, covers=(10, None))
    )
    assert absent(state) == [0, 1, 3, 8, 11]
    assert not state.proves("x")
    assert not state.proves("03")
    assert not state.proves("-3")


def test_a_walk_without_ranges_proves_absence_by_the_whole_pass() -> None:
    """As long as it is complete and nothing was passed over."""
    assert taken((Page(["a"], total=1), ["a"])).proves("b")
    assert not taken((Page(["a"], complete=False), ["a"])).proves("b")
    assert not taken((Page(["a"], proves_absence=False), ["a"])).proves("b")
    assert not taken((Page(["a"], total=2), ["a"])).proves("b")
    assert not taken((Page(["a"], 1, total=2), ["a"]), (Page(["b"], total=3), ["b"])).proves("c")


def test_an_incomplete_pass_proves_nothing_by_ranges_either() -> None:
    """The vendor was still loading, or says that there is more than it shows."""
    for page_ in (Page([], covers=(None, None), complete=False), Page([], covers=(None, None), proves_absence=False)):
        assert absent(taken((page_, []))) == []


@pytest.mark.parametrize(
    ("pages", "skipped", "proven"),
    [
        ([numbered(2, 4, covers=(None, None), total=2)], False, [0, 1, 3, 5, 6]),
        ([numbered(2, 4, covers=(None, None), total=1)], False, [0, 1, 3, 5, 6]),
        # Fewer rows than counted: they may be before the first or after the last.
        ([numbered(2, 4, covers=(None, None), total=3)], True, [3]),
        ([numbered(covers=(None, None), total=3)], True, []),
        # The total has changed; in the end it adds up.
        ([numbered(2, 4, covers=(None, 4), total=2, next=2), numbered(6, covers=(6, None), total=3)], True, [0, 1, 3]),
    ],
)
def test_the_ends_count_only_if_the_rows_add_up(
    pages: list[tuple[Page, list[str]]], skipped: bool, proven: list[int]
) -> None:
    """And a pass that may have passed over rows says so."""
    state = taken(*pages)
    assert (state.skipped, absent(state, 6 if len(pages) == 2 else 7)[: len(proven) + 1]) == (skipped, proven)


def test_unreadable_rows_count_as_shown() -> None:
    """They are there, whoever they are."""
    assert not taken((Page(["1", "?"], covers=(None, None), total=2), ["1"])).skipped


@pytest.mark.parametrize(
    "pages",
    [
        [numbered(4, 2, covers=(None, None))],
        [numbered(2, 2, covers=(None, None))],
        [numbered(2, 4, covers=(3, None))],
        [numbered(2, 4, covers=(None, 3))],
        [numbered(covers=(3, 2))],
        [(Page(["x"], covers=(None, None)), ["x"])],
        [numbered(2, 4, covers=(None, None), next=2), numbered(6, covers=(6, None))],
        [numbered(2, 4, covers=(None, 4), next=2), numbered(6, covers=(None, None))],
        [numbered(5, 9, covers=(5, 9), next=2), numbered(2, 3, covers=(2, None))],
        [numbered(2, 9, covers=(None, 9), next=2), numbered(3, 9, covers=(3, 9))],
        # Row 3 was not between 2 and 9.
        [numbered(2, 9, covers=(None, 9), next=2), numbered(3, 12, covers=(3, None))],
        [numbered(2, 9, covers=(2, 9), next=2), numbered(8, covers=(7, 8))],
    ],
)
def test_a_vendor_that_breaks_the_order_proves_nothing(pages: list[tuple[Page, list[str]]]) -> None:
    """On one page or from one to the next; the pass is complete all the same, and says why."""
    state = taken(*pages)
    assert (absent(state), state.done, state.complete) == ([], True, True)
    assert state.coverage.disorder
    assert state.anew().coverage.disorder == ""


def test_rows_that_were_pushed_to_the_next_page_are_no_disorder() -> None:
    """Another was inserted before them: the last row of a page is the first of the next."""
    state = taken(numbered(2, 4, 6, covers=(None, 6), next=2), numbered(6, 8, covers=(6, None)))
    assert absent(state) == [0, 1, 3, 5, 7, 9, 10, 11]


def test_every_part_must_lack_it() -> None:
    """A part without ranges proves nothing for all of them."""
    active = numbered(2, 6, covers=(None, 6), part="active", next=1)
    assert absent(taken(active, numbered(4, covers=(None, None), part="inactive"))) == [0, 1, 3, 5]
    assert absent(taken(active, numbered(4, covers=(4, None), part="inactive"))) == [5]
    assert absent(taken(active, numbered(4, covers=None, part="inactive"))) == []


def test_totals_are_counted_by_part() -> None:
    """Their sum is the walk's; each must add up by itself."""
    active = numbered(2, 6, covers=(None, None), part="active", next=1, total=2)
    state = taken(active, numbered(4, covers=(None, None), part="inactive", total=2))
    assert (state.total, state.skipped, absent(state)) == (4, True, [])
    state = taken(active, numbered(4, covers=(None, None), part="inactive", total=1))
    assert (state.total, state.skipped, absent(state, 6)) == (3, False, [0, 1, 3, 5])


def test_the_order_is_that_of_the_vendor_s_own_ids() -> None:
    """Also where things are known by other ids."""
    state = begun()
    state.take(Page(["1", "2"], covers=(None, None)), ["b", "a"], ["1", "2"])
    assert state.coverage.disorder == ""


def test_a_resumed_pass_proves_only_what_it_has_shown_itself() -> None:
    """Nobody knows any more what was on the pages before."""
    state = Pass(WALK, None, 0, position=2, rows=10)
    assert state.ask().position == 2
    state.take(Page(["a"], total=11), ["a"])
    assert (state.rows, state.skipped, state.proves("b")) == (11, False, False)
    state = Pass(WALK, None, 0, position=2, rows=10)
    state.take(*numbered(5, 8, covers=(5, None), total=12))
    assert absent(state) == [6, 7]
    assert state.anew().ask().position is None


@pytest.mark.parametrize(
    ("size", "sizes"), [(1000, [1000, 999, 997]), (100, [100, 99, 97]), (7, [7, 6, 5]), (2, [2, 3, 5])]
)
def test_pages_of_three_sizes_take_turns(size: int, sizes: list[int]) -> None:
    """As large as is asked for, or a little less; larger only where there is nothing less."""
    assert page_sizes(Walk("w", "thing", 10, page_size=size)) == sizes


@given(st.integers(1, 1000), st.integers(1, 100_000))
def test_every_pass_ends_its_pages_elsewhere(size: int, row: int) -> None:
    """A place between two pages of one size lies inside a page of another, but for one in their product."""
    sizes = page_sizes(Walk("w", "thing", 10, page_size=size))
    assert len(sizes) == 3
    if all(row % other == 0 for other in sizes):
        assert row % math.prod(sizes) == 0

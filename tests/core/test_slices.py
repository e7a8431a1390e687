"""Lists read by slices of creation time: nothing that stays is missed, nothing is invented, and it always ends."""

from __future__ import annotations

import random
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core import slices
from bridge.core.errors import CursorExpired, Retry
from bridge.core.facts import Ask, Page, Walk, Window
from bridge.core.walk import Pass

NOW = 1_700_000_000_000
Row = dict[str, Any]


@dataclass
class Store:
    """A vendor's list: `cap` rows at once, `order` of its answers, `edges` that belong to an interval.

    `skips`: by `offset`. A row without a readable time belongs to no interval.
    """

    rows: dict[str, Row] = field(default_factory=dict)
    cap: int = 10_000
    order: Callable[[Row], Any] = lambda row: row["_id"]
    edges: tuple[bool, bool] = (True, True)
    dated: bool = True
    skips: bool = True
    requests: int = 0

    def put(self, id_: str, time: Any) -> None:
        self.rows[id_] = {"_id": id_, "time": time}

    def answer(self, query: dict[str, str]) -> list[Row]:
        """What `GET /store?…` answers."""
        assert set(query) <= {"limit", "offset", "from", "to"}
        self.requests += 1
        low, high = (int(query[name]) if name in query else None for name in ("from", "to"))
        found = sorted(self.rows.values(), key=self.order)
        if low is not None or high is not None:
            found = [row for row in found if isinstance(row.get("time"), int)]
        if low is not None:
            found = [row for row in found if row["time"] > low or (self.edges[0] and row["time"] == low)]
        if high is not None:
            found = [row for row in found if row["time"] < high or (self.edges[1] and row["time"] == high)]
        offset = int(query.get("offset", "0")) if self.skips else 0
        return found[offset : offset + min(int(query["limit"]), self.cap)]


def read(store: Store, **options: Any) -> set[str]:
    """The rows that one pass sees."""
    return passed(store, **options)[0]


def passed(
    store: Store,
    *,
    size: int = 100,
    window: Window | None = None,
    between: Callable[[], None] = lambda: None,
    most: int = 5_000,
    prove: bool = True,
) -> tuple[set[str], bool]:
    """What one pass sees, read as the engine does, and whether what it does not see is absent.

    `between` happens between any two requests.
    """
    walk = Walk("objects", "object", 10, page_size=size)
    state, seen = Pass(walk, window, NOW), set()
    while not state.done:
        ask = state.ask()
        rows = store.answer(slices.parameters(ask))
        between()
        now_ms = NOW if store.dated else None
        page = slices.page(ask, rows, names=("_id",), at="time", now_ms=now_ms, prove=prove)
        seen |= {row["_id"] for row in page.rows}
        state.take(page, [row["_id"] for row in page.rows])
        assert state.pages <= most
    assert state.complete
    return seen, state.proves_absence


def filled(times: list[int], **options: Any) -> Store:
    store = Store(**options)
    for number, time in enumerate(times):
        store.put(f"{number:05}", time)
    return store


ORDERS: tuple[Callable[[Row], Any], ...] = (
    lambda row: row["_id"],
    lambda row: (row["time"], row["_id"]),
    lambda row: (-row["time"], row["_id"]),
    lambda row: zlib.crc32(row["_id"].encode()),
)


@given(
    times=st.lists(st.integers(0, 30) | st.integers(NOW - 5, NOW) | st.integers(0, NOW), max_size=60),
    size=st.integers(2, 12),
    hidden=st.none() | st.integers(2, 12),
    order=st.sampled_from(ORDERS),
    edges=st.tuples(st.booleans(), st.booleans()),
    dated=st.booleans(),
    seed=st.integers(0, 2**32),
    changes=st.integers(0, 10),
)
def test_what_is_there_throughout_is_seen(
    times: list[int],
    size: int,
    hidden: int | None,
    order: Callable[[Row], Any],
    edges: tuple[bool, bool],
    dated: bool,
    seed: int,
    changes: int,
) -> None:
    """Whatever comes and goes between two requests, however many share a millisecond, whatever the vendor's cap."""
    store = filled(times, cap=hidden or 10_000, order=order, edges=edges, dated=dated)
    stayed, ever, rng, left = set(store.rows), set(store.rows), random.Random(seed), changes

    def between() -> None:
        nonlocal left
        if not left or rng.random() < 0.4:
            return
        left -= 1
        if store.rows and rng.random() < 0.5:
            gone = rng.choice(list(store.rows))
            del store.rows[gone]
            stayed.discard(gone)
        else:
            id_ = f"{rng.randrange(10**5):05}+"
            ever.add(id_)
            store.put(id_, rng.choice([*times, NOW, rng.randrange(NOW)]))

    seen = read(store, size=size, between=between)
    assert stayed <= seen <= ever


@given(
    times=st.lists(st.integers(0, 50), max_size=60),
    size=st.integers(2, 12),
    edges=st.tuples(st.booleans(), st.booleans()),
    start=st.integers(0, 50),
    length=st.integers(1, 50),
)
def test_a_window_is_read_whole_and_nothing_beyond_it(
    times: list[int], size: int, edges: tuple[bool, bool], start: int, length: int
) -> None:
    """Its own ends are the vendor's to interpret: nobody asks for more than the window."""
    store = filled(times, edges=edges)
    seen = read(store, size=size, window=Window(start, start + length))
    within = {id_ for id_, row in store.rows.items() if start < row["time"] < start + length}
    touching = {id_ for id_, row in store.rows.items() if start <= row["time"] <= start + length}
    assert within <= seen <= touching


def test_a_short_list_is_one_request_and_a_look_behind_it() -> None:
    """The second one only proves that the vendor did not cut the first."""
    store = filled([5, 6, 7])
    assert len(read(store)) == 3
    assert store.requests == 2
    store = filled([5, 6, 7])
    assert len(read(store, prove=False)) == 3
    assert store.requests == 1
    assert read(Store()) == set()


def test_a_vendor_that_gives_less_than_it_was_asked_for_is_found_out() -> None:
    """Fewer rows than asked for are no proof that there are no more."""
    store = filled(list(range(0, 5_000, 10)), cap=50)
    assert len(read(store)) == 500
    assert len(read(filled(list(range(0, 5_000, 10)), cap=50), prove=False)) == 50


def test_deleting_what_was_read_hides_nothing() -> None:
    """The case that offsets get wrong: each deletion before the offset would skip a row."""
    store = filled([NOW - 1_000 * number for number in range(300)], order=ORDERS[2])
    doomed = iter(sorted(store.rows)[:100])

    def between() -> None:
        if gone := next(doomed, None):
            del store.rows[gone]

    before = set(store.rows)
    seen = read(store, size=20, between=between)
    assert set(store.rows) <= seen <= before


def test_one_full_millisecond_is_read_by_offset_and_anew_when_rows_move() -> None:
    """Each page begins with the last row of the one before; another row there means that rows moved."""
    store = filled([7] * 50)
    removed = iter(["00000"])
    calls = 0

    def between() -> None:
        nonlocal calls
        calls += 1
        if calls == 8 and (gone := next(removed, None)):
            del store.rows[gone]

    assert set(store.rows) - {"00000"} <= read(store, size=6, between=between)


def test_rows_without_a_stable_order_are_not_called_complete() -> None:
    """They could hide from every page for ever."""
    rng = random.Random(1)
    store = filled([7] * 50, order=lambda _: rng.random())
    with pytest.raises(Retry, match="order did not stay the same"):
        read(store, size=6)


def test_a_vendor_that_keeps_to_no_bounds_is_not_believed() -> None:
    """It would be asked the same for every millisecond since 1970."""
    store = Deaf()
    for number in range(50):
        store.put(f"{number:05}", NOW - number)
    with pytest.raises(Retry, match="other rows than those"):
        read(store, size=10, most=100)


class Deaf(Store):
    """It keeps to no bounds."""

    def answer(self, query: dict[str, str]) -> list[Row]:
        return super().answer({name: value for name, value in query.items() if name not in ("from", "to")})


UNREADABLE = (None, "2023-11-14", True, -1, 10**30)


@pytest.mark.parametrize("time", UNREADABLE)
def test_rows_without_a_readable_time_are_kept_and_prove_no_absence(time: Any) -> None:
    """No interval holds them, so the slices cannot tell whether there are more; the pass still completes."""
    store = filled([NOW - 1_000 * number for number in range(100)])
    for number in range(5):
        store.rows[f"!{number}"] = {"_id": f"!{number}", "time": time}
    before = set(store.rows)
    assert passed(store, size=1_000) == (before, True)
    assert passed(store, size=50) == (before, False)


def test_a_missing_time_hidden_by_a_cap_proves_no_absence() -> None:
    """That the first answer was cut shows only with the second one."""
    store = filled([NOW - 1_000 * number for number in range(100)], cap=20)
    store.rows["!"] = {"_id": "!"}
    assert passed(store) == (set(store.rows), False)
    del store.rows["!"]
    assert passed(store) == (set(store.rows), True)


def test_a_row_whose_time_is_unreadable_in_a_full_slice_proves_no_absence() -> None:
    """Some lists let it into every interval, and its slice is cut in half."""
    full = {"low": 0, "high": 1_000, "stage": "slice", "top": 9_000, "width": 1_000, "full": 3}
    ask = Ask(Walk("objects", "object", 10, page_size=3), None, full)
    rows: list[Row] = [{"_id": "a", "time": 5}, {"_id": "b", "time": None}, {"_id": "c", "time": 7}]
    page = slices.page(ask, rows, names=("_id",), at="time", now_ms=NOW)
    assert (page.rows, page.proves_absence, page.complete) == ([rows[1]], False, True)
    ask = Ask(ask.walk, None, full | {"low": 5, "high": 6})
    page = slices.page(ask, rows, names=("_id",), at="time", now_ms=NOW)
    assert (page.rows, page.proves_absence) == (rows, False)


def test_bounds_ignored_and_no_readable_time_is_found_out() -> None:
    """Otherwise each millisecond since 1970 would be read by offset."""
    for times in ([None] * 50, [None, *range(NOW, NOW + 49)], [0, *[None] * 5, *range(NOW, NOW + 44)]):
        store = Deaf()
        for number, time in enumerate(times):
            store.rows[f"{number:05}"] = {"_id": f"{number:05}", "time": time}
        store.order = lambda row: (row["time"] is not None, row["_id"])
        with pytest.raises(Retry, match="other rows than those"):
            read(store, size=10, most=100)


@pytest.mark.parametrize("count", [2, 100])
def test_a_vendor_that_gives_a_single_row_at_once_is_not_believed(count: int) -> None:
    """Whatever the limit: the first row would be taken for all there is."""
    store = filled(list(range(count)), cap=1)
    with pytest.raises(Retry, match="a single row at once"):
        read(store, most=50)
    assert store.requests <= 30


def test_a_single_row_is_two_requests_whatever_the_vendor_does_with_offsets() -> None:
    """Where they are ignored the same row comes again: all that can be read, and no proof."""
    for skips, proof in ((True, True), (False, False)):
        store = filled([5], skips=skips)
        assert passed(store) == ({"00000"}, proof)
        assert store.requests == 2


def test_a_second_row_that_comes_in_between_is_looked_at_again() -> None:
    """It is no sign of a vendor that gives one row at once."""
    store = filled([5])
    late = iter(["late"])

    def between() -> None:
        if id_ := next(late, None):
            store.put(id_, 9)

    assert passed(store, between=between) == ({"00000", "late"}, True)
    assert store.requests == 4


@pytest.mark.parametrize(
    "row", [{"_id": {"name": "Ada Lovelace"}, "time": 5}, {"_id": "Ada"}, "Ada", ["Ada"], "\ud800"]
)
def test_a_position_holds_nothing_of_a_row(row: Any) -> None:
    """It is stored with the cursor, and a row can be about anybody."""
    walk = Walk("objects", "object", 10, page_size=3)
    position = slices.page(Ask(walk, None), [row], names=("_id",), at="time", now_ms=None).next
    assert isinstance(position, dict)
    assert "Ada" not in repr(position)
    assert re.fullmatch("[0-9a-f]{32}", str(position["last"]))


def test_many_rows_take_few_requests() -> None:
    """Not much more than a page of them would hold, whatever the order of the answers."""
    for order, most in ((ORDERS[1], 45), (ORDERS[2], 70), (ORDERS[3], 45)):
        store = filled([NOW - 86_400_000 + 40_000 * number for number in range(2_000)], order=order)
        assert len(read(store, size=100)) == 2_000
        assert store.requests <= most, store.requests


def test_bounds_are_whole_milliseconds_and_overlap() -> None:
    """A row at the border is found also where neither end belongs to an interval."""
    walk = Walk("objects", "object", 10, page_size=3)
    first = Ask(walk, Window(1_000, 9_000))
    assert slices.parameters(first) == {"limit": "3", "from": "1000", "to": "9000"}
    rows: list[Row] = [{"_id": str(time), "time": time} for time in (3_000, 5_000, 7_000)]

    def follow(position: Any, found: list[Row]) -> tuple[dict[str, str], Page]:
        page = slices.page(Ask(walk, first.window, position), found, names=("_id",), at="time", now_ms=None)
        return slices.parameters(Ask(walk, first.window, page.next)), page

    query, page = follow(None, rows)
    assert query == {"limit": "3", "from": "1000", "to": "3000"}
    query, page = follow(page.next, [])
    assert query == {"limit": "3", "from": "2999", "to": "7000"}
    query, page = follow(page.next, rows)
    assert (list(page.rows), query) == ([], {"limit": "3", "from": "2999", "to": "5000"})


def test_a_list_without_bounds_ends_open() -> None:
    """What was created while we read is newer than any bound we could have known."""
    store = filled([NOW - number for number in range(30)])
    late = iter(range(30))

    def between() -> None:
        if (number := next(late, None)) is not None:
            store.put(f"late-{number}", NOW + 10_000 + number)

    before = set(store.rows)
    assert before <= read(store, size=10, between=between)


@pytest.mark.parametrize("position", [7, "x", [1], {"cursor": "x"}])
def test_a_foreign_position_is_no_position(position: Any) -> None:
    """The pass then starts over."""
    with pytest.raises(CursorExpired):
        slices.parameters(Ask(Walk("objects", "object", 10), None, position))


@given(
    rows=st.lists(
        st.none()
        | st.integers()
        | st.text()
        | st.dictionaries(st.sampled_from(["_id", "time"]), st.floats() | st.text())
    )
)
def test_rows_of_any_kind_are_counted(rows: list[Any]) -> None:
    """What they are is for others to judge."""
    ask = Ask(Walk("objects", "object", 10, page_size=3), None)
    page = slices.page(ask, rows, names=("_id",), at="time", now_ms=None)
    slices.parameters(Ask(ask.walk, None, page.next))

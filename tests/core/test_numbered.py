"""Pages by number: what one answer proves, whatever moved between two; and which numbers are believed."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core import numbered
from bridge.core.facts import Ask, Walk
from bridge.core.record import Json
from bridge.core.resource import Resource
from bridge.core.walk import Pass

THINGS = Resource(name="things", entity="thing", path="things", id="no", fields={"name": "name"}, page_size=4)
HALVES = Resource(
    name="things", entity="thing", path="things", id="no", fields={"name": "name"}, page_size=4,
    parts={"shown": "hidden=0", "hidden": "hidden=1"},
)  # fmt: skip


def rows(*ids: Json) -> list[Json]:
    return [{"no": id_} for id_ in ids]


def walk() -> Walk:
    return Walk("things", "thing", 60.0, page_size=4, scope="things", reports_absence=True)


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (7, 7), ("7", 7), ("007", 7), (7.0, 7), (0, 0), (None, None), ("", None), ("7a", None), (7.5, None),
        (-1, None), (True, None), (float("nan"), None), (float("inf"), None), ("9" * 30, None), ([7], None),
    ],
)  # fmt: skip
def test_numbers_in_any_spelling(value: Json, number: int | None) -> None:
    """Whole ones that are not negative; nothing else is guessed at."""
    assert numbered.whole(value) == number


def test_parts_are_read_one_after_another() -> None:
    """Each from its first page; the pass is over at the end of the last."""
    first = numbered.page(HALVES, Ask(walk(), None), rows(1, 2, 3, 4), total=5, size=4)
    assert (first.part, first.next, first.covers) == ("shown", {"part": 0, "at": 2}, (None, 4))
    second = numbered.page(HALVES, Ask(walk(), None, first.next), rows(9), total=5, size=4)
    assert (second.part, second.next, second.covers) == ("shown", {"part": 1, "at": None}, (9, None))
    third = numbered.page(HALVES, Ask(walk(), None, second.next), [], total=None, size=4)
    assert (third.part, third.next, third.covers) == ("hidden", None, (None, None))


@given(st.integers(0, 100_000), st.integers(1, 6), st.integers(0, 30))
def test_what_was_there_all_the_time_is_never_proven_absent(seed: int, size: int, count: int) -> None:
    """Rows come and go between pages, totals lie: a pass over such pages proves absent only what was gone at some
    moment of it."""
    dice = random.Random(seed)
    there = set(range(10, 10 + count * 2, 2))
    always, ever = set(there), set(there)
    state = Pass(walk(), None, 0)
    for _ in range(500):
        ask = state.ask()
        order = sorted(there)
        start = (numbered.number(ask) - 1) * size
        total = max(0, len(order) + dice.choice((0, 0, 0, -3, 5)))
        page = numbered.page(THINGS, ask, rows(*order[start : start + size]), total=total, size=size)
        state.take(page, [str(row["no"]) for row in page.rows])
        if state.done:
            break
        if there and dice.random() < 0.5:
            gone = dice.choice(sorted(there))
            there.discard(gone)
            always.discard(gone)
        if dice.random() < 0.5:
            new = max(ever, default=8) + 2
            there.add(new)
            ever.add(new)
    assert state.done
    assert not [id_ for id_ in always if str(id_) not in state.ids and state.proves(str(id_))]


def test_a_row_that_moved_to_a_page_already_read_is_not_proven_absent() -> None:
    """It falls between two pages: nobody has looked there."""
    state = Pass(walk(), None, 0)
    state.take(numbered.page(THINGS, state.ask(), rows(2, 4, 6, 8), total=7, size=4), ["2", "4", "6", "8"])
    # 4 is deleted: 10 moves to the first page.
    state.take(numbered.page(THINGS, state.ask(), rows(12, 14), total=6, size=4), ["12", "14"])
    assert state.done
    assert not state.proves("10")
    assert state.proves("13")


def test_the_newest_rows_are_evidence_and_prove_nothing() -> None:
    """Of unreadable ids none counts."""
    page = numbered.newest(THINGS, Ask(walk(), None), [*rows("12", 11), None, {"no": []}], total=40)
    assert (page.evidence, page.proves_absence, page.next) == ({"newest": 12, "total": 40, "part": ""}, False, None)

"""What a walk's cursor says, whoever wrote it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bridge.core.bookmark import Bookmark, Lasting, completed, fingerprint, way
from bridge.core.facts import Walk
from bridge.core.record import Json

WALK = Walk("things", "thing", 10.0)
FIRST = {"pass_ms": 1_000, "position": {"page": 3}, "first_read": True, "page_size": 50, "rows": 100}


def first(**more: Json) -> Bookmark:
    return Bookmark.read({**FIRST, "made_by": fingerprint(WALK), **more})


def test_a_completed_cursor_holds_nothing_needless() -> None:
    """When it began; and what lasts, where there is any."""
    assert completed(5, Lasting()) == {"completed_ms": 5, "completed": "1970-01-01T00:00:00.005Z"}
    lasting = Lasting(held=3, accepted=3, evidence="ab", woke_ms=4, absent=("7",), absent_by="cd")
    value = completed(5, lasting, 50)
    assert set(value) == {"completed_ms", "completed", "page_size", "held", "accepted", "evidence", "woke_ms", "absent"}
    assert Bookmark.read(value) == Bookmark(completed_ms=5, page_size=50, lasting=lasting)


@pytest.mark.parametrize("junk", [None, True, -1, 1.5, "7", [], {}, 10**20])
def test_what_cannot_be_read_is_not_there(junk: Json) -> None:
    """Anybody may have written it."""
    keys = ("completed_ms", "again_from_ms", "pass_ms", "page_size", "rows", "made_by", "held", "accepted", "woke_ms")
    for absent in (junk, {"ids": junk, "by": "a"}, {"ids": ["7", 7], "by": "a"}, {"ids": ["7"], "by": 7}):
        found = Bookmark.read({**dict.fromkeys(keys, junk), "evidence": 7, "absent": absent})
        assert replace(found, made_by="", lasting=replace(found.lasting, absent_by="")) == Bookmark()
        assert not found.due


def test_an_operator_s_wish_makes_a_walk_due() -> None:
    """To read again, or to publish what is held."""
    assert Bookmark.read({"again_from_ms": 0}).due
    assert Bookmark.read({"accepted": 5}).due
    assert not Bookmark.read({"completed_ms": 5, "held": 5}).due


@pytest.mark.parametrize(
    ("mark", "walk", "resumable"),
    [
        (first(), WALK, True),
        (first(first_read=False), WALK, False),
        (first(first_read=False, cut=True), WALK, True),
        (first(first_read=False, cut=1), WALK, False),
        (first(position=None), WALK, False),
        (first(pass_ms=-86_400_000), WALK, False),
        (first(pass_ms=2_000_000), WALK, False),
        (first(again_from_ms=0), WALK, False),
        (first(made_by="another"), WALK, False),
        (first(), replace(WALK, page_size=51), False),
        (first(made_by=fingerprint(replace(WALK, batch=1))), replace(WALK, batch=1), False),
        (first(made_by=fingerprint(replace(WALK, once=True))), replace(WALK, once=True), False),
    ],
)
def test_only_a_recent_pass_of_the_same_walk_goes_on(mark: Bookmark, walk: Walk, resumable: bool) -> None:
    """Its position means nothing to any other."""
    assert mark.resumable(walk, 1_500_000) is resumable


def test_a_day_later_it_begins_anew() -> None:
    """To the millisecond, and not if the clock was set back."""
    assert first().resumable(WALK, 86_401_000)
    assert not first().resumable(WALK, 86_401_001)
    assert not first().resumable(WALK, 999)


def test_what_is_left_of_an_acceptance() -> None:
    """Both numbers are what is still to come."""
    assert Lasting(held=50, accepted=50, evidence="x").still(30) == Lasting(held=30, accepted=30, evidence="x")


def test_whom_the_last_look_did_not_find_is_remembered_all_or_none() -> None:
    """Of a part of them the brake could not tell how many there are; and what was said before is gone either way."""
    few, many = [f"{number:03}" for number in range(500)], [f"{number}" for number in range(501)]
    lasting = Lasting(evidence="x").missing({"b", "a"}, "way")
    assert lasting.onto({"completed_ms": 5, "held": 3}) == {
        "completed_ms": 5, "evidence": "x", "absent": {"by": "way", "ids": ["a", "b"]},
    }  # fmt: skip
    assert Bookmark.read(lasting.missing(few, "way").data()).lasting.absent == tuple(few)
    assert lasting.missing(many, "way").onto(lasting.data()) == {"evidence": "x"}
    long = [f"{number:02}{'ü' * 511}" for number in range(16)]
    assert lasting.missing(long, "way").absent == tuple(long)
    assert lasting.missing([*long, "x"], "way").onto(lasting.data()) == {"evidence": "x"}
    assert Bookmark.read({"absent": {"by": "way", "ids": many}}).lasting == Lasting()


def test_a_way_is_the_same_for_pages_of_every_size() -> None:
    """They take turns; whatever else a walk asks for decides whom it finds."""
    assert way(WALK) == way(replace(WALK, page_size=51)) != way(replace(WALK, reach_s=5.0))

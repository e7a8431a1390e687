"""What a record means, by what is known of its entity: the whole table."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from bridge.core.differ import changed_fields, judge
from bridge.core.record import Head, Record

SAME, OTHER, REMAPPED = "1:same", "1:other", "2:same"


def head(change: str = "updated", version: str | None = None, digest: str = SAME) -> Head:
    return Head(7, "ce", change, version, digest)


def record(version: str | None = None, *, is_gone: bool = False, occurred: bool = False) -> Record:
    return Record("thing", "a", None if is_gone else {}, version=version, gone=is_gone, occurred=occurred)


# record's version, head's version, how they compare
AGES = [
    ("2", "1", "newer"),
    ("1", "1", "same"),
    ("1", "2", "older"),
    (None, "1", "unknown"),
    ("1", None, "unknown"),
    (None, None, "unknown"),
]
# (known as, what the record says) -> change, where the record is not older
TABLE = {
    ("alive", "same content"): None,
    ("alive", "other content"): "updated",
    ("alive", "another mapping"): "snapshot",
    ("alive", "gone"): "deleted",
    ("deleted", "same content"): "created",
    ("deleted", "other content"): "created",
    ("deleted", "another mapping"): "created",
    ("deleted", "gone"): None,
}
DIGESTS = {"same content": SAME, "other content": OTHER, "another mapping": REMAPPED, "gone": OTHER}


@pytest.mark.parametrize(("ours", "known", "age"), AGES)
@pytest.mark.parametrize(("alive", "says"), TABLE)
@pytest.mark.parametrize("first_read", [False, True])
@pytest.mark.parametrize("live", [False, True])
def test_every_case(
    ours: str | None, known: str | None, age: str, alive: str, says: str, first_read: bool, live: bool
) -> None:
    """Older is nothing; a pushed version that was deleted does not return; else the table decides."""
    expected = TABLE[alive, says]
    if age == "older" or (live and age == "same" and alive == "deleted"):
        expected = None
    for change in ("created", "updated", "snapshot") if alive == "alive" else ("deleted",):
        told = judge(
            record(ours, is_gone=says == "gone"),
            DIGESTS[says],
            head(change, known),
            first_read=first_read,
            live=live,
        )
        assert told == expected


@pytest.mark.parametrize(
    ("is_gone", "first_read", "expected"),
    [(False, False, "created"), (False, True, "snapshot"), (True, False, None), (True, True, None)],
)
@pytest.mark.parametrize("version", [None, "1"])
def test_unknown_entity(is_gone: bool, first_read: bool, expected: str | None, version: str | None) -> None:
    """An entity never seen is news unless it is the first read; its deletion is nothing."""
    assert judge(record(version, is_gone=is_gone), SAME, None, first_read=first_read) == expected


def test_occurred_happens_once() -> None:
    """What happens once is told once, also on a first read, and never again whatever it says."""
    for first_read, live in itertools.product([False, True], repeat=2):
        assert judge(record(occurred=True), SAME, None, first_read=first_read, live=live) == "occurred"
        assert judge(record(occurred=True), OTHER, head(), first_read=first_read, live=live) is None


def test_versions_are_compared_by_what_they_mean() -> None:
    """10 follows 9, and a stamp without a fraction comes before the same second with one."""
    assert judge(record("10"), OTHER, head(version="9")) == "updated"
    assert judge(record("9"), OTHER, head(version="10")) is None
    assert judge(record("2024-01-01T00:00:00.5Z"), OTHER, head(version="2024-01-01T00:00:00Z")) == "updated"


@pytest.mark.parametrize(
    ("before", "after", "changed"),
    [
        ({"a": 1, "b": 2}, {"a": 1, "b": 3}, ("b",)),
        ({"b": 1, "a": 1}, {"c": 1, "a": 1}, ("b", "c")),
        ({"a": None}, {}, ("a",)),
        ({"a": 1}, {"a": True}, ("a",)),
        ({"a": 1}, {"a": 1.0}, ()),
        ({"a": {"x": [1]}}, {"a": {"x": [1]}}, ()),
        (None, {"a": 1}, ()),
        ({"a": 1}, None, ()),
        ([1], {"a": 1}, ()),
    ],
)
def test_changed_fields(before: object, after: object, changed: tuple[str, ...]) -> None:
    """Top-level names, in order; nothing where a side is unknown."""
    assert changed_fields(before, after) == changed


@pytest.mark.parametrize("age", ["newer", "same", "older"])
@pytest.mark.parametrize(("alive", "says"), TABLE)
def test_what_comes_in_any_order_is_remembered_by_its_version(alive: str, says: str, age: str) -> None:
    """A newer version is news though it says the same, since an older one may still come; an older one never is."""
    version = {"newer": "6", "same": "5", "older": "4"}[age]
    told = replace(record(version, is_gone=says == "gone"), unordered=True)
    known = head("updated" if alive == "alive" else "deleted", "5")
    change = judge(told, DIGESTS[says], known, live=True)
    if age == "older":
        assert change is None
    elif age == "newer":
        expected = {("alive", "same content"): "updated", ("deleted", "gone"): "deleted"}
        assert change == expected.get((alive, says), TABLE[alive, says])
    else:
        assert change == (None if alive == "deleted" else TABLE[alive, says])


def test_the_end_of_what_was_never_seen_is_remembered_where_its_begin_may_follow() -> None:
    """Told as deleted, so that what comes late does not bring it to life; elsewhere it is nothing new."""
    gone = record("5", is_gone=True)
    assert judge(gone, OTHER, None, live=True) is None
    assert judge(replace(gone, unordered=True), OTHER, None, live=True) == "deleted"

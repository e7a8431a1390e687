"""The vocabulary: order of versions, and what a repr may show."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.record import Key, Record, version_order

MOMENTS = st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1))
OFFSETS = st.integers(-14 * 60, 14 * 60)


@pytest.mark.parametrize(
    "versions",
    [
        ["0", "1", "9", "10", "1709164800000", "9" * 5_000],
        # Text order would put the stamp without a fraction last.
        ["2024-02-29T00:00:00Z", "2024-02-29T00:00:00.000000001Z", "2024-02-29T00:00:00.5Z", "2024-02-29T00:00:01Z"],
        ["2024-03-31T01:30:00+02:00", "2024-03-31T00:00:00Z", "2024-03-30T23:30:00-01:00"],
        ["2016-12-31T23:59:59.9Z", "2016-12-31T23:59:60.5Z", "2017-01-01T00:00:01Z"],
        ["2024-01-01 10:00:00", "2024-01-01 10:00:00.25", "2024-01-01 10:00:01"],
        ["a", "b", "ba"],
        ["7", "2024-02-29T00:00:00Z", "v1"],
    ],
)
def test_order_of_versions(versions: list[str]) -> None:
    """Older comes before newer: numbers by value, stamps by time, other text as text."""
    keys = [version_order(version) for version in versions]
    assert all(older < newer for older, newer in pairwise(keys))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("7", "007"),
        ("0", "000"),
        ("2024-02-29T00:00:00Z", "2024-02-29T00:00:00.000Z"),
        ("2024-02-29T00:00:00.5Z", "2024-02-29T01:00:00.500+01:00"),
        ("2024-02-29t00:00:00z", "2024-02-29 00:00:00"),
        ("2024-02-29T00:00:00-00:00", "2024-02-29T00:00:00Z"),
    ],
)
def test_spellings_of_one_version(one: str, other: str) -> None:
    """A version spelled differently is neither older nor newer."""
    assert version_order(one) == version_order(other)


@pytest.mark.parametrize(
    "text", ["2024-02-30T00:00:00Z", "2024-13-01T00:00:00Z", "2024-01-01T25:00:00Z", "", "-1", "²"]
)
def test_anything_is_a_version(text: str) -> None:
    """What is neither a number nor a possible time is compared as text, and nothing raises."""
    assert version_order(text) == (2, 0, text)


@given(MOMENTS, MOMENTS, OFFSETS, OFFSETS, st.booleans())
def test_stamps_sort_by_time(one: datetime, other: datetime, here: int, there: int, short: bool) -> None:
    """Two stamps compare as their moments do, whatever offset and precision each is written in."""
    first = one.replace(tzinfo=UTC, microsecond=0 if short else one.microsecond)
    second = other.replace(tzinfo=UTC)
    left = version_order(first.astimezone(timezone(timedelta(minutes=here))).isoformat())
    right = version_order(second.astimezone(timezone(timedelta(minutes=there))).isoformat())
    assert (left < right) == (first < second)
    assert (left == right) == (first == second)


@given(st.integers(0), st.integers(0))
def test_numbers_sort_by_value(one: int, other: int) -> None:
    """Whole numbers compare as numbers, however long."""
    assert (version_order(str(one)) < version_order(str(other))) == (one < other)


@given(st.text(), st.text(), st.text())
def test_the_order_is_total(one: str, two: str, three: str) -> None:
    """Any versions can be sorted, whatever mixture a vendor sends."""
    keys = sorted(map(version_order, (one, two, three)))
    assert keys[0] <= keys[1] <= keys[2]


def test_personal_data_is_not_in_a_repr() -> None:
    """A record may be printed while debugging: its contents are not."""
    record = Record("session", "4711", {"name": "Erika"}, raw={"name": "Erika"}, version="3")
    assert "Erika" not in repr(record)
    assert "4711" in repr(record)


def test_a_key_is_plain_values() -> None:
    """A key unpacks in the order of the subject: vendor, source, entity, id."""
    vendor, source, entity, id_ = Key("pcvisit", "acme", "session", "4.7")
    assert (vendor, source, entity, id_) == ("pcvisit", "acme", "session", "4.7")

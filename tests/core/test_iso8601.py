"""ISO 8601: equal instants are equal texts, durations are milliseconds, and what is neither is Malformed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core import iso8601
from bridge.core.errors import Malformed
from bridge.core.record import Json


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2021-04-07T09:14:01Z", "2021-04-07T09:14:01.000Z"),
        ("2021-04-07T09:14:01", "2021-04-07T09:14:01.000Z"),
        ("2021-04-07T11:14:01+02:00", "2021-04-07T09:14:01.000Z"),
        ("2021-04-07t04:44:01.5-0430", "2021-04-07T09:14:01.500Z"),
        ("2021-04-07 09:14:01,123999+00", "2021-04-07T09:14:01.123Z"),
        ("2021-04-07T09:14Z", "2021-04-07T09:14:00.000Z"),
        ("2021-12-31T24:00:00Z", "2022-01-01T00:00:00.000Z"),
        ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00.000Z"),
        ("2021-01-01T00:30:00+14:00", "2020-12-31T10:30:00.000Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000Z"),
        ("1969-12-31T23:59:59.999Z", "1969-12-31T23:59:59.999Z"),
    ],
)
def test_instants(text: str, utc: str) -> None:
    """Any offset, and none, which is UTC; fractions beyond the millisecond are cut off."""
    assert iso8601.stamp({"at": text}, "at") == utc
    assert iso8601.stamps(text, "at") == utc


@given(
    st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1)),
    st.integers(-14 * 60, 14 * 60),
)
def test_the_same_instant_with_any_offset_is_the_same(moment: datetime, minutes: int) -> None:
    """Against Python's own arithmetic."""
    moment = moment.replace(tzinfo=UTC)
    there = moment.astimezone(timezone(timedelta(minutes=minutes)))
    ours = iso8601.millis({"at": there.isoformat()}, "at")
    assert ours == (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


@pytest.mark.parametrize(
    "value",
    [
        "", "yesterday", "2021-04-07", "2021-02-30T00:00:00Z", "2021-13-01T00:00:00Z", "2021-04-07T25:00:00Z",
        "2021-04-07T24:00:01Z", "2021-04-07T09:60:00Z", "2021-04-07T09:00:61Z", "2021-04-07T09:00:00+24:00",
        "2021-04-07T09:00:00Z ", "0000-01-01T00:00:00Z", "0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00",
        "P1D", "２０２１-04-07T09:14:01Z", 7, 1.5, True, [], {},
    ],
)  # fmt: skip
def test_what_is_no_instant(value: Json) -> None:
    """Named by its path and kind, never by itself."""
    with pytest.raises(Malformed) as caught:
        iso8601.millis({"a": {"at": value}}, "a.at")
    assert str(caught.value).startswith("a.at is ")
    assert "2021-02" not in str(caught.value)


def test_absent_instants() -> None:
    """Null and missing are absent."""
    assert iso8601.stamp({"at": None}, "at") is None
    assert iso8601.millis({}, "a.b") is None
    assert iso8601.stamps(None, "x") is None


def test_ranges_keep_their_form() -> None:
    """Both bounds are normalised, an open one stays open; a list of instants stays a list."""
    given = {"lower": "2021-01-01T02:00:00+02:00", "upper": None}
    assert iso8601.stamps(given, "stay") == {"lower": "2021-01-01T00:00:00.000Z", "upper": None}
    assert iso8601.stamps(["2021-01-01T00:00:00"], "x") == ["2021-01-01T00:00:00.000Z"]
    with pytest.raises(Malformed, match="stay is a number"):
        iso8601.stamps({"lower": 5}, "stay")


@pytest.mark.parametrize(
    ("value", "ms"),
    [
        ("PT1H30M", 5_400_000), ("P1D", 86_400_000), ("P2W", 1_209_600_000), ("PT0.5S", 500), ("PT0,25S", 250),
        ("-PT24H", -86_400_000), ("P-1DT-1H", -90_000_000), ("P1DT-1H", 82_800_000), ("+PT1S", 1_000), ("PT0S", 0),
        ("P0Y0M1D", 86_400_000), ("PT36H", 129_600_000), (90, 90_000), (1.5, 1_500), (-2, -2_000), (None, None),
        ("PT0.0001S", 0),
    ],
)  # fmt: skip
def test_durations(value: Json, ms: int | None) -> None:
    """ISO 8601 text, signed as a whole or in part, or a plain number of seconds; both in milliseconds."""
    assert iso8601.duration_ms(value, "stay") == ms


@pytest.mark.parametrize(
    "value",
    ["", "P", "PT", "P1", "1D", "PT1D", "P1DT", "-P", "P1Y", "P1M", "P1Y2M3D", "pt1h", "PT1H ", "PT99999999999999H",
     "P999999999999W", True, [], {}, 1e300, float("nan"), float("inf")],
)  # fmt: skip
def test_what_is_no_duration(value: Json) -> None:
    """Years and months neither: nobody knows how long they are."""
    with pytest.raises(Malformed, match=r"^stay is (a|an|text)\b"):
        iso8601.duration_ms(value, "stay")


@given(st.integers(-(10**9), 10**9))
def test_a_number_and_its_text_are_the_same_duration(seconds: int) -> None:
    """Vendors write either."""
    text = f"{'-' if seconds < 0 else ''}PT{abs(seconds)}S"
    assert iso8601.duration_ms(seconds, "x") == iso8601.duration_ms(text, "x") == seconds * 1000


def test_durations_are_found_wherever_they_stand() -> None:
    """In objects and lists, years included; instants and words are none."""
    assert iso8601.holds_duration({"createdAt": {"gte": ["-P1D"]}})
    assert iso8601.holds_duration("P1Y")
    assert not iso8601.holds_duration({"P1D": ["2021-01-01T00:00:00Z", "PARIS", "PT", 5, None, "P"]})

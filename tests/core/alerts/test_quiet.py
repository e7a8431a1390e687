"""Quiet hours by the clock on the wall."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from bridge.core.alerts.quiet import Quiet, clock_time, zone_of
from bridge.core.alerts.settings import QuietHours

BERLIN = ZoneInfo("Europe/Berlin")


def ms(text: str, zone: ZoneInfo = BERLIN) -> int:
    """Of a time there, or with an offset."""
    moment = datetime.fromisoformat(text)
    return round((moment if moment.tzinfo else moment.replace(tzinfo=zone)).timestamp() * 1000)


def quiet(**given: object) -> Quiet:
    """From 22:00 to 06:30 in Berlin."""
    return Quiet(QuietHours(**{"begin": "22:00", "end": "06:30", "zone": "Europe/Berlin", **given}))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("at", "on"),
    [
        ("2024-07-01T21:59:59.999", False),
        ("2024-07-01T22:00", True),
        ("2024-07-02T00:00", True),
        ("2024-07-02T06:29:59.999", True),
        ("2024-07-02T06:30", False),
        ("2024-07-02T12:00", False),
        ("2024-01-01T22:30", True),
    ],
)
def test_over_midnight(at: str, on: bool) -> None:
    """They begin and end on the minute, in summer as in winter."""
    assert quiet().on(ms(at)) is on


@pytest.mark.parametrize(
    ("at", "on"),
    [
        ("2024-07-05T23:00", True),  # a Friday, on which they begin
        ("2024-07-06T03:00", True),  # and the night after
        ("2024-07-06T23:00", False),  # Saturday
        ("2024-07-07T03:00", False),
        ("2024-07-07T23:00", True),  # Sunday
        ("2024-07-08T06:00", True),
        ("2024-07-05T03:00", False),  # that night began on Thursday
    ],
)
def test_days_are_those_on_which_they_begin(at: str, on: bool) -> None:
    """A night belongs to the evening before it."""
    assert quiet(days=["fri", "sun"]).on(ms(at)) is on


def test_the_clock_is_put_forward() -> None:
    """What ends at an hour that there is not ends when the clock jumps over it; so does the beginning."""
    # 2024-03-31: after 01:59 comes 03:00.
    over = quiet(begin="22:00", end="02:30")
    assert over.on(ms("2024-03-31T01:59:59+01:00"))
    assert not over.on(ms("2024-03-31T03:00:00+02:00"))
    into = quiet(begin="02:30", end="04:00")
    assert not into.on(ms("2024-03-31T01:59:59+01:00"))
    assert into.on(ms("2024-03-31T03:00:00+02:00"))
    assert not into.on(ms("2024-03-31T04:00:00+02:00"))


def test_the_clock_is_put_back() -> None:
    """An hour that is there twice is quiet both times."""
    # 2024-10-27: after 02:59 comes 02:00 again.
    twice = quiet(begin="02:15", end="02:45")
    for offset in ("+02:00", "+01:00"):
        assert twice.on(ms(f"2024-10-27T02:30:00{offset}"))
        assert not twice.on(ms(f"2024-10-27T02:50:00{offset}"))
    assert quiet().on(ms("2024-10-27T05:00:00+01:00"))


def test_a_day_has_as_many_quiet_minutes_as_the_clock_shows() -> None:
    """Eight hours and a half, an hour less when it is put forward, one more when it is put back."""

    def minutes(begin: str) -> int:
        start = ms(begin)
        return sum(quiet().on(start + n * 60_000) for n in range(24 * 60))

    assert minutes("2024-07-01T12:00") == 510
    assert minutes("2024-03-30T12:00") == 450
    assert minutes("2024-10-26T12:00") == 570


def test_the_wall() -> None:
    """What people there read off it."""
    assert quiet().wall(ms("2024-07-01T20:00:30+00:00")) == "2024-07-01 22:00"


@pytest.mark.parametrize("text", ["24:00", "7", "7:5", "07:60", "-1:00", "٠٧:٠٠", "07:00:00", ""])
def test_no_time(text: str) -> None:
    """Is refused."""
    with pytest.raises(ValueError, match="expected a time such as 22:00"):
        clock_time(text)


@pytest.mark.parametrize(
    "name", ["Europe/Berlinn", "", "../etc/passwd", "/etc/localtime", "Europe", "a\x00b", "x" * 999]
)
def test_no_zone(name: str) -> None:
    """Is refused, whatever it may do to a file system."""
    with pytest.raises(ValueError, match="no such time zone"):
        zone_of(name)


def test_always_or_never() -> None:
    """Is not said by two equal times."""
    with pytest.raises(ValueError, match="begin and end are the same"):
        quiet(begin="7:00", end="07:00")

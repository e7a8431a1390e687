"""Quiet hours: whether they are, by the clock on the wall of a place."""

from __future__ import annotations

import re
from datetime import UTC, datetime, time, timedelta, tzinfo
from zoneinfo import ZoneInfo

from bridge.core.alerts.settings import QuietHours

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_TIME = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Quiet:
    """Of one rule. They go by the clock on the wall: where it is put forward or back they are shorter or longer.

    An hour that is there twice is quiet both times. Raises ValueError for what `check` would have refused.
    """

    def __init__(self, settings: QuietHours) -> None:
        self._begin, self._end = clock_time(settings.begin), clock_time(settings.end)
        if self._begin == self._end:
            raise ValueError("begin and end are the same: that would be always, or never")
        self._zone = zone_of(settings.zone)
        self._days = frozenset(DAYS.index(day) for day in settings.days or DAYS)

    def on(self, now_ms: int) -> bool:
        """Whether it is quiet."""
        here = self._here(now_ms)
        wall = here.time().replace(tzinfo=None, fold=0)
        if self._begin < self._end:
            return self._begin <= wall < self._end and here.weekday() in self._days
        if wall >= self._begin:
            return here.weekday() in self._days
        return wall < self._end and (here - timedelta(days=1)).weekday() in self._days

    def wall(self, now_ms: int) -> str:
        """What the clock there shows, to the minute."""
        return self._here(now_ms).strftime("%Y-%m-%d %H:%M")

    def _here(self, now_ms: int) -> datetime:
        return (_EPOCH + timedelta(milliseconds=now_ms)).astimezone(self._zone)


def clock_time(text: str) -> time:
    """Such as `22:00`. Raises ValueError."""
    match = _TIME.fullmatch(text)
    if match is None:
        raise ValueError("expected a time such as 22:00")
    return time(int(match[1]), int(match[2]))


def zone_of(name: str) -> tzinfo:
    """Such as `Europe/Berlin`. Raises ValueError."""
    if name == "UTC":
        # Also where there is no data base of zones.
        return UTC
    try:
        return ZoneInfo(name)
    # An absent zone is a KeyError, one whose name leads astray a ValueError, a directory's an OSError.
    except (KeyError, ValueError, OSError):
        raise ValueError("no such time zone; expected a name such as Europe/Berlin") from None

"""Parts of a point in time by the clock of a place, as CEL's `getHours("Europe/Berlin")` and its like have them.

https://github.com/google/cel-spec/blob/master/doc/langdef.md#abstract-types: months, days of a month and of a year
count from 0, days of the week from Sunday as 0, `getDate` from 1. A place is a zone's name or an offset as `+02:00`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone, tzinfo

from bridge.core.alerts.quiet import zone_of

_OFFSET = re.compile(r"([+-])?([0-9]{1,2}):([0-5][0-9])")

_PARTS: dict[str, Callable[[datetime], int]] = {
    "getFullYear": lambda here: here.year,
    "getMonth": lambda here: here.month - 1,
    "getDate": lambda here: here.day,
    "getDayOfMonth": lambda here: here.day - 1,
    "getDayOfWeek": lambda here: here.isoweekday() % 7,
    "getDayOfYear": lambda here: here.timetuple().tm_yday - 1,
    "getHours": lambda here: here.hour,
    "getMinutes": lambda here: here.minute,
    "getSeconds": lambda here: here.second,
    "getMilliseconds": lambda here: here.microsecond // 1000,
}
_LENGTHS = {"getHours": 3600, "getMinutes": 60, "getSeconds": 1}


def part_of(name: str) -> Callable[..., int]:
    """The function of that name, of a point in time and perhaps a place, or of a length of time.

    Raises TypeError for what is neither, ValueError for a place that is none.
    """

    def part(value: object, place: object = "UTC") -> int:
        if isinstance(value, timedelta) and name in _LENGTHS:
            return int(value.total_seconds() / _LENGTHS[name])
        if not isinstance(value, datetime):
            raise TypeError("not a point in time")
        return _PARTS[name](value.astimezone(_zone(f"{place}")))

    return part


def _zone(place: str) -> tzinfo:
    if place == "UTC":
        return UTC
    if match := _OFFSET.fullmatch(place):
        minutes = int(match[2]) * 60 + int(match[3])
        return timezone(timedelta(minutes=-minutes if match[1] == "-" else minutes))
    return zone_of(place)

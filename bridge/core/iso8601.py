"""Instants and durations as ISO 8601 spells them, read field by field like everything in `bridge/core/fields.py`.

Equal instants become equal texts, whatever offset they came with, so that a vendor's change of spelling is no change.
"""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal

from bridge.core.errors import Malformed
from bridge.core.event import timestamp
from bridge.core.fields import EXACT, LAST_MS, at, kind
from bridge.core.record import Json

_EPOCH_DAY = date(1970, 1, 1).toordinal()
_FIRST_MS = (1 - _EPOCH_DAY) * 86_400_000
_INSTANT = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:[.,]([0-9]{1,30}))?)?"
    r"(?:[Zz]|([+-])([0-9]{2})(?::?([0-9]{2}))?)?"
)
_N = r"(?:([+-]?[0-9]{1,12}(?:[.,][0-9]{1,9})?)"
_DURATION = re.compile(rf"([+-])?P(?=.){_N}Y)?{_N}M)?{_N}W)?{_N}D)?(?:T(?=.){_N}H)?{_N}M)?{_N}S)?)?")
_SECONDS = (604_800, 86_400, 3_600, 60, 1)


def millis(row: Json, path: str) -> int | None:
    """An instant, in milliseconds since the Unix epoch; without an offset it is UTC. Digits beyond are cut off."""
    value = at(row, path)
    if value is None:
        return None
    if not isinstance(value, str):
        raise Malformed(f"{path} is {kind(value)}, expected a time such as 2021-04-07T09:14:01Z")
    return _instant(value, path)


def stamp(row: Json, path: str) -> str | None:
    """The same as RFC 3339 text in UTC with milliseconds."""
    ms = millis(row, path)
    return None if ms is None else timestamp(ms)


def stamps(value: Json, path: str) -> Json:
    """`value` with every text in it as `stamp` writes it: for an instant, and for a range or a list of them.

    A range stays the object it is: a vendor's own names of its bounds are kept. Raises Malformed.
    """
    if isinstance(value, str):
        return timestamp(_instant(value, path))
    if isinstance(value, list):
        return [stamps(item, path) for item in value]
    if isinstance(value, dict):
        return {key: stamps(item, path) for key, item in value.items()}
    if value is None:
        return None
    raise Malformed(f"{path} is {kind(value)}, expected a time such as 2021-04-07T09:14:01Z")


def duration_ms(value: Json, path: str) -> int | None:
    """A duration in milliseconds: ISO 8601 text, or a number of seconds. A day has 24 hours.

    Raises Malformed, also for years and months, which have no length of their own.
    """
    if value is None:
        return None
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return _bounded(value * 1000, path)
    found = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise Malformed(f"{path} is {kind(value)}, expected a duration such as PT1H30M, or seconds")
    sign, years, months, *parts = found.groups()
    if any(Decimal(_point(part)) for part in (years, months) if part):
        raise Malformed(f"{path} is a duration in years or months, which have no fixed length; publish it as text")
    seconds = sum(Decimal(_point(part)) * size for part, size in zip(parts, _SECONDS, strict=True) if part)
    return _bounded((-seconds if sign == "-" else seconds) * 1000, path)


def holds_duration(value: Json) -> bool:
    """Whether some text in a JSON value is an ISO 8601 duration."""
    if isinstance(value, str):
        return _DURATION.fullmatch(value) is not None
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return any(map(holds_duration, inner))


def _instant(value: str, path: str) -> int:
    found = _INSTANT.fullmatch(value)
    if found is None:
        raise Malformed(f"{path} is text, expected a time such as 2021-04-07T09:14:01Z")
    day, hour, minute, second, fraction, sign, off_hour, off_minute = found.groups()
    hours, minutes, seconds = int(hour), int(minute), int(second or 0)
    offset_min = int(off_hour or 0) * 60 + int(off_minute or 0)
    late = hours == 24 and (minutes or seconds or (fraction or "").strip("0"))
    # A leap second is the first one after it: no clock of ours knows any.
    if hours > 24 or late or minutes > 59 or seconds > 60 or int(off_hour or 0) > 23 or int(off_minute or 0) > 59:
        raise Malformed(f"{path} is a time that does not exist")
    try:
        days = date.fromisoformat(day).toordinal() - _EPOCH_DAY
    except ValueError:
        raise Malformed(f"{path} is a day that does not exist") from None
    minutes += hours * 60 - (-offset_min if sign == "-" else offset_min)
    ms = ((days * 1440 + minutes) * 60 + seconds) * 1000 + int((fraction or "").ljust(3, "0")[:3])
    if not _FIRST_MS <= ms <= LAST_MS:
        raise Malformed(f"{path} is a time outside the years 1 to 9999")
    return ms


def _bounded(ms: float | Decimal, path: str) -> int:
    # Comparing first also keeps NaN and the infinities away from round().
    if not -EXACT <= ms <= EXACT:
        raise Malformed(f"{path} is a duration outside of what can be told exactly")
    return round(ms)


def _point(number: str) -> str:
    return number.replace(",", ".")

"""What a vendor's value is, and what it becomes: one reader for each kind that `bridge/core/mapping.py` names.

The same content gives the same values, whichever types, offsets or spellings the vendor chose today. Errors name the
path and the kind, never the value.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, tzinfo
from functools import partial

from bridge.core import iso8601
from bridge.core.errors import Malformed
from bridge.core.event import timestamp
from bridge.core.fields import EXACT, LAST_MS, kind
from bridge.core.record import Json

Read = Callable[[Json], Json]
"""Turns a value that is there (never None) into ours. Raises Malformed."""

KINDS = (
    "text", "id", "number", "whole", "truth", "date", "time", "datetime", "epoch_s", "epoch_ms", "hours", "minutes",
    "seconds", "words",
)  # fmt: skip
"""What may stand after `as`, or after `list of` and `set of`."""

CODES = re.compile(r"words((?:\s+[^\s=]+=[^\s=]+)+)")
"""Codes and their names."""

MOST_REMEMBERED = 8_192
"""So many texts of a field are remembered with what they mean; then it is begun anew. Walks read the same again."""

_MS = {"hours": 3_600_000, "minutes": 60_000, "seconds": 1_000}
_EPOCH = {"epoch_s": 1_000, "epoch_ms": 1}
_TRUTH = {0: False, 1: True, "0": False, "1": True, "": None}
_MOST_DIGITS = 10**30
_NO_DATE = "0000-00-00"
_NUMBER = re.compile(r"[+-]?[0-9]{1,30}(?:\.[0-9]{0,30})?(?:[eE][+-]?[0-9]{1,3})?")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIME = re.compile(r"((?:[01][0-9]|2[0-3]):[0-5][0-9]|24:00)(:[0-5][0-9])?")
_OFFSET = re.compile(r"(?:[Zz]|[+-][0-9]{2}(?::?[0-9]{2})?)$")


class _Memory(dict[str, Json]):
    """What texts mean, by `read`, which is asked once for each."""

    def __init__(self, read: Callable[[str], Json]) -> None:
        super().__init__()
        self._read = read

    def __missing__(self, text: str) -> Json:
        found = self._read(text)
        if len(self) >= MOST_REMEMBERED:
            self.clear()
        self[text] = found
        return found


def reader(path: str, what: str, zone: tzinfo | None) -> Read:
    """What reads values of the kind `what` ("": any); `path` is for its errors."""
    if codes := CODES.fullmatch(what):
        table = dict(pair.split("=") for pair in codes[1].split())
        return lambda value: None if (found := _text(path, value)) == "" else table.get(found, found)
    if what in _MS:
        return _remembering(lambda value: _length(path, _MS[what], value))
    if what in _EPOCH:
        return lambda value: _epoch(path, _EPOCH[what], value)
    if what == "datetime":
        return _datetime(path, zone)
    if what == "id":
        return _id(path)
    if what in ("number", "whole", "date", "time"):
        simple = {"number": _number, "whole": _whole, "date": _date, "time": _time}
        return _remembering(partial(simple[what], path))
    if not what:
        return lambda value: value
    return partial(_text if what == "text" else _truth, path)


def _remembering(read: Read) -> Read:
    memory = _Memory(read)

    def remembering(value: Json) -> Json:
        # Of texts only: 1, 1.0 and true are the same key, and not the same value.
        return memory[value] if type(value) is str else read(value)

    return remembering


def _wrong(path: str, value: Json, expected: str) -> Malformed:
    return Malformed(f"{path} is {kind(value)}, expected {expected}")


def _text(path: str, value: Json) -> Json:
    if type(value) is str:
        return value
    if type(value) is int and -_MOST_DIGITS < value < _MOST_DIGITS:
        return str(value)
    if type(value) is float and -EXACT <= value <= EXACT:
        return str(int(value)) if value.is_integer() else repr(value)
    raise _wrong(path, value, "text")


def _id(path: str) -> Read:
    def read(value: Json) -> Json:
        if type(value) is not str:
            value = str(value) if type(value) is int and -EXACT <= value <= EXACT else _text(path, value)
        return value if value and value != "0" else None

    return read


def _number(path: str, value: Json) -> Json:
    if type(value) is str:
        if not value:
            return None
        if _NUMBER.fullmatch(value):
            value = int(value) if value.isdigit() else float(value)
    if type(value) is int or type(value) is float:
        # Comparing keeps NaN and the infinities out, too.
        if not -EXACT <= value <= EXACT:
            raise Malformed(f"{path} is a number outside {-EXACT} to {EXACT}")
        return int(value) if type(value) is float and value.is_integer() else value
    raise _wrong(path, value, "a number")


def _whole(path: str, value: Json) -> Json:
    found = _number(path, value)
    if type(found) is float:
        raise Malformed(f"{path} is a fraction, expected a whole number")
    return found


def _truth(path: str, value: Json) -> Json:
    if type(value) in (int, str, float, bool) and value in _TRUTH:
        return _TRUTH[value]
    raise _wrong(path, value, "true, false, 0 or 1")


def _length(path: str, factor: int, value: Json) -> Json:
    found = _number(path, value)
    return None if found is None else round(found * factor)


def _epoch(path: str, factor: int, value: Json) -> Json:
    ms = _length(path, factor, value)
    if ms is None:
        return None
    if not 0 <= ms <= LAST_MS:
        raise Malformed(f"{path} is a time outside the years 1970 to 9999")
    return timestamp(ms)


def _date(path: str, value: Json) -> Json:
    if type(value) is str and value in ("", _NO_DATE):
        return None
    if type(value) is not str or not _DATE.fullmatch(value):
        raise _wrong(path, value, "a date such as 2021-04-07")
    try:
        datetime.fromisoformat(value)
    except ValueError:
        raise Malformed(f"{path} is a day that does not exist") from None
    return value


def _time(path: str, value: Json) -> Json:
    if type(value) is str and not value:
        return None
    found = _TIME.fullmatch(value) if type(value) is str else None
    if found is None or (found[1] == "24:00" and (found[2] or ":00") != ":00"):
        raise _wrong(path, value, "a time of day such as 09:30:00")
    return f"{found[1]}{found[2] or ':00'}"


_HOURS = [f"T{hour:02}" for hour in range(24)]
_parse = datetime.fromisoformat


def _datetime(path: str, zone: tzinfo | None) -> Read:
    shifts = _Memory(lambda day: _shift(day, zone))

    def read(value: Json) -> Json:
        if type(value) is not str:
            raise _wrong(path, value, "a time such as 2021-04-07T09:14:01Z")
        # The two commonest spellings by the quickest way: a walk reads millions. All others, and wrong ones, below.
        size = len(value)
        try:
            if size == 24 and value[7] == "-" and value[10] == "T" and value[19] == "." and value[23] == "Z":
                if _parse(value).hour == int(value[11:13]):
                    return value
            elif size == 19 and zone is not None and value[7] == "-" and value[13] == ":" == value[16]:
                hour = _parse(value).hour + shifts[value[:10]]
                if 0 <= hour < 24 and value[10] in "T ":
                    return f"{value[:10]}{_HOURS[hour]}{value[13:]}.000Z"
        except ValueError:
            pass
        if not value or value.startswith(_NO_DATE):
            return None
        return _instant(path, value, zone)

    return read


def _shift(day: str, zone: tzinfo | None) -> int:
    """Hours from a local day's clock to UTC's; 99 where they change on that day, are not whole, or it is no day."""
    try:
        ends = [datetime.fromisoformat(f"{day}T{time}").replace(tzinfo=zone) for time in ("00:00:00", "23:59:59")]
    except ValueError:
        return 99
    first, last = (end.utcoffset() for end in ends)
    if first is None or first != last or first.total_seconds() % 3600:
        return 99
    return -round(first.total_seconds() / 3600)


def _instant(path: str, value: str, zone: tzinfo | None) -> Json:
    """Any other spelling."""
    found = iso8601.stamps(value, path)
    if _OFFSET.search(value, 10):
        return found
    if zone is None:
        raise Malformed(f"{path} is a time without an offset, and no `zone` is set")
    # Without an offset it was taken for UTC. In an hour that comes twice, the first is meant.
    local = datetime.fromisoformat(found[:-1]).replace(tzinfo=zone)
    try:
        return timestamp(round(local.timestamp() * 1000))
    except (ValueError, OverflowError):
        raise Malformed(f"{path} is a time outside the years 1 to 9999") from None

"""Reads a vendor's record field by field: each is of the promised kind, or absent (None), or the record is Malformed.

A path such as `target.computerId` goes through objects; where one of them is null or missing, the field is absent.
Texts name the path and the kind of value found, never the value: it may be a person's.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from bridge.core.errors import Malformed
from bridge.core.event import timestamp
from bridge.core.record import Json

LAST_MS = 253_402_300_799_999
"""The last millisecond of the year 9999."""

LONGEST_ID = 1024
"""A longer id is no id: it would not fit into the headers of its own events."""

EXACT = 2**53
"""Beyond this, readers that keep numbers as doubles would disagree with us."""

_KINDS = {bool: "a boolean", int: "a number", float: "a number", str: "text", list: "a list", dict: "an object"}


def kind(value: Json) -> str:
    """What a JSON value is, in words."""
    return _KINDS.get(type(value), "null")


def at(row: Json, path: str) -> Json:
    """The value at a path, whatever its kind; None where it is absent. Raises Malformed where no object is."""
    if "." not in path:
        return row.get(path) if type(row) is dict else _object(row, path).get(path)
    parents, last = _steps(path)
    for step in parents:
        row = row.get(step) if type(row) is dict else _object(row, path).get(step)
        if row is None:
            return None
    return row.get(last) if type(row) is dict else _object(row, path).get(last)


def text(row: Json, path: str) -> str | None:
    """Text; a whole number (an id that some vendors send as one) becomes its digits."""
    # As `at` begins: a record has a dozen texts, and a call each would be half of what reading it takes.
    value = row.get(path) if type(row) is dict and "." not in path else at(row, path)
    if value is None or type(value) is str or isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) <= EXACT:
        return str(value)
    raise Malformed(f"{path} is {kind(value)}, expected text")


def whole(row: Json, path: str, *, low: int = -EXACT, high: int = EXACT) -> int | None:
    """A whole number, also when it is spelled as a float (1.6094592e12); a fraction is rounded.

    Raises Malformed for other kinds and for what lies outside `low` to `high`.
    """
    value = row.get(path) if type(row) is dict and "." not in path else at(row, path)
    if value is None:
        return None
    if type(value) is int and low <= value <= high:
        return value
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise Malformed(f"{path} is {kind(value)}, expected a number")
    # Comparing first also keeps NaN and the infinities away from round().
    if not low <= value <= high:
        raise Malformed(f"{path} is a number outside {low} to {high}")
    return round(value)


def millis(row: Json, path: str) -> int | None:
    """A point in time: milliseconds since the Unix epoch, up to the year 9999."""
    return whole(row, path, low=0, high=LAST_MS)


def stamp(row: Json, path: str) -> str | None:
    """The same as RFC 3339 text in UTC with milliseconds."""
    ms = millis(row, path)
    return None if ms is None else timestamp(ms)


def truth(row: Json, path: str) -> bool | None:
    """A boolean."""
    value = at(row, path)
    if value is None or isinstance(value, bool):
        return value
    raise Malformed(f"{path} is {kind(value)}, expected true or false")


def key(row: Json, path: str) -> str:
    """The entity's id: text that is there and not empty."""
    value = text(row, path)
    if not value:
        raise Malformed(f"{path} is {kind(value) if value is None else 'empty'}, expected the record's id")
    if len(value) > LONGEST_ID:
        raise Malformed(f"{path} has {len(value)} characters, expected an id of at most {LONGEST_ID}")
    return value


def texts(row: Json, **paths: str) -> dict[str, Json] | None:
    """Several texts as one object, by our names; None where all of them are absent."""
    found = {name: text(row, path) for name, path in paths.items()}
    for value in found.values():
        if value is not None:
            return found
    return None


def unordered(row: Json, path: str, **parts: tuple[Callable[[Json, str], Json], str]) -> list[Json] | None:
    """A list whose order means nothing: each item as an object of `parts`, in an order that equal sets share.

    `parts` are our names, each with a reader of this module and a path: `email=(text, "contact.email")`. Nulls in the
    list are left out. Items are ordered by their parts from first to last, so those that may be left out of a
    comparison (personal data) belong last.
    """
    value = at(row, path)
    if value is None:
        return None
    if not isinstance(value, list):
        raise Malformed(f"{path} is {kind(value)}, expected a list")
    try:
        found = [{name: read(item, part) for name, (read, part) in parts.items()} for item in value if item is not None]
    except Malformed as error:
        raise Malformed(f"{path}: {error}") from None
    if len(found) > 1:
        found.sort(key=lambda item: [repr(part) for part in item.values()])
    return found


def known_millis(row: Json, path: str) -> int | None:
    """The same as `millis` for a side remark that may be ignored: None also where it cannot be read."""
    try:
        return millis(row, path)
    except Malformed:
        return None


@lru_cache(maxsize=1024)
def _steps(path: str) -> tuple[tuple[str, ...], str]:
    *parents, last = path.split(".")
    return tuple(parents), last


def _object(value: Json, path: str) -> dict[str, Json]:
    if isinstance(value, dict):
        return value
    raise Malformed(f"{kind(value)} where an object with {path} was expected")

"""What a consumer must see of the played platform: the judge's own reading, written from the vendor's notes.

Independent of the adapter on purpose: a judge that used the adapter's mapping would check it against itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

_EPOCH: Final = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
_INSTANT: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")
PERSONAL: Final = frozenset({"name", "login", "email", "address"})
"""What says who a user is. It is told only where somebody asked for it."""
_VOLATILE: Final = ("state", "success")
"""Never part of an entity: `state` is the latest packet, `success` an ornament of the answer."""


def as_issued(record: Mapping[str, Any]) -> dict[str, Any]:
    """A row as a consumer must see it: every leaf under its own name, times in milliseconds since the Unix epoch."""
    hidden = {"_id", *_VOLATILE} | (PERSONAL if "login" in record else frozenset())
    return _leaves({name: value for name, value in record.items() if name not in hidden})


def as_seen(after: Mapping[str, Any]) -> dict[str, Any]:
    """An event's `after` in the same terms. Names may be written in another case, and times as RFC 3339."""
    # `id` is the entity's own name in a record of ours; what the user called it has to go by another name.
    given = {_RENAMED.get(name, name): value for name, value in after.items() if name not in ("id", "_id")}
    return _leaves(given)


_RENAMED: Final = {"created_at": "time", "given_id": "id", "object_id": "id", "vendor_id": "id", "user_id": "id"}


def carries(after: Mapping[str, Any] | None, data: Mapping[str, Any]) -> bool:
    """Whether an event says everything that was issued: each leaf of `data` occurs in `after` under its own name."""
    said = list(_walk(after or {}))
    return all(any(name == other and _same(value, found) for other, found in said) for name, value in _walk(data))


def _leaves(record: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, list[Any]] = {}
    for name, value in _walk(record):
        found.setdefault(name, []).append(_instant(value))
    return {name: values[0] if len(values) == 1 else sorted(values, key=str) for name, values in found.items()}


def _walk(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves with their own names. Null, "" and empty containers say nothing."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _walk(inner, str(key).lower().replace("_", ""))
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _walk(inner, name)
    elif value is not None and value != "":
        yield name, value


def _same(issued: Any, seen: Any) -> bool:
    """Equal, or the same instant written otherwise: issued in ms or µs, seen as RFC 3339."""
    if issued == seen:
        return True
    if isinstance(seen, str) and isinstance(issued, int) and _INSTANT.match(seen):
        return issued in (_instant(seen), _micros(seen))
    return False


def _instant(value: Any) -> Any:
    return _micros(value) // 1000 if isinstance(value, str) and _INSTANT.match(value) else value


def _micros(text: str) -> int:
    return (datetime.fromisoformat(text) - _EPOCH) // timedelta(microseconds=1)

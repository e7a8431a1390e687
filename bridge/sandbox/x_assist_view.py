"""What a consumer must see of an X-Assist event: the oracle's own mapping, written from the vendor's notes.

Independent of the adapter on purpose: a judge that used the adapter's mapping would check it against itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


def as_issued(record: Mapping[str, Any]) -> dict[str, Any]:
    """A vendor record as a consumer must see it, times in milliseconds since the Unix epoch."""
    return {"name": record["name"], "created_at": record["createdAt"]}


def as_seen(after: Mapping[str, Any]) -> dict[str, Any]:
    """An event's `after` in the same terms: times may be RFC 3339 with any offset; the id is left out."""
    seen = {name: value for name, value in after.items() if name not in ("id", "vendor_id")}
    if isinstance(seen.get("created_at"), str):
        seen["created_at"] = (datetime.fromisoformat(seen["created_at"]) - _EPOCH) // timedelta(milliseconds=1)
    return seen

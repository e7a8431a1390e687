"""What the stream tells of a source: who owns it, how far it has come, how it is."""

from __future__ import annotations

from dataclasses import dataclass, field

from bridge.core.event import timestamp
from bridge.core.record import Json

NEVER = "never connected"


@dataclass(slots=True)
class Overview:
    """One source. Times are RFC 3339 texts in UTC; None or empty where the stream knows nothing.

    `condition`: the last that was announced of it (`connected`, `lost`, `blocked`, `recovered`), or `never connected`.
    `half`: what of it failed, `live` or `reading`, or waits for an operator, `deletes`; "" where that is all of it, or
    not known. `failing_since`: since when there has been nothing but failures. `again`: when a source that is refused
    was to be tried again.
    `walks`: the cursors, by walk name. `subscriptions`: what the stream remembers of them, by name: when they first
    told us something (see `bridge.core.subscription.observed`); of one the vendor refuses `off`, `off_ms`, `reason`.
    `last_event`: the vendor's last, with `subject`, `seq` and `observed`.
    `quarantined`: how many records could not be read; `last_quarantine`: the `observed` and `reason` of the last.
    """

    name: str
    vendor: str
    owner: dict[str, Json] = field(default_factory=dict)
    condition: str = NEVER
    since: str | None = None
    reason: str = ""
    half: str = ""
    failing_since: str | None = None
    again: str | None = None
    walks: dict[str, dict[str, Json]] = field(default_factory=dict)
    subscriptions: dict[str, dict[str, Json]] = field(default_factory=dict)
    last_event: dict[str, Json] | None = None
    open_gaps: list[dict[str, Json]] = field(default_factory=list)
    quarantined: int = 0
    last_quarantine: dict[str, Json] | None = None


def cursor_times(cursor: dict[str, Json]) -> tuple[int | None, str | None]:
    """When the last complete pass of a cursor began: milliseconds since the Unix epoch, and as RFC 3339 text."""
    completed = cursor.get("completed_ms")
    return (completed, timestamp(completed)) if isinstance(completed, int) else (None, None)


def refused_since(cursor: dict[str, Json]) -> str | None:
    """Since when the vendor refuses a subscription, as RFC 3339 text; None if it does not."""
    off, off_ms = cursor.get("off"), cursor.get("off_ms")
    if isinstance(off, str) and off:
        return off
    return timestamp(off_ms) if isinstance(off_ms, int) and not isinstance(off_ms, bool) else None

"""Whether what the view tells of a source may lack something, and which of its walks may have been forgotten. Pure.

The view is a cache of the stream: made anew it knows what the stream still holds, and no more. A cursor that was
stored before the view was made tells that its source had begun before.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from bridge.core.record import Json, version_order
from bridge.engine.ports import Memory

WHY = "bridged.remade.why"
"""In the view's metadata: why it was made anew, if the stream had lost something."""
SINCE = "bridged.remade.since"
"""In the view's metadata: when the last event was stored that is left of those its predecessor knew of (RFC 3339)."""


def assess(memory: Memory, stored: Mapping[str, str], ledger: Json, view: Json) -> None:
    """Set `doubt`, `doubt_ms` and `forgotten`. `stored`: when each walk's cursor was stored (RFC 3339).

    `ledger` and `view` are the two streams' information, as the server gives it.
    """
    made = version_order(view["created"])
    former = {walk for walk, time in stored.items() if version_order(time) < made}
    if len(former) < len(stored):
        # Written since, by a walk that knew of the doubt: it has been announced.
        memory.forgotten = former if _short(ledger, view) else set()
        return
    notes: Mapping[str, str] = view["config"].get("metadata") or {}
    memory.doubt = notes.get(WHY, "")
    memory.doubt_ms = _ms(notes.get(SINCE, ""))
    if former and _short(ledger, view):
        memory.forgotten = former
        short = "the view was made anew, and the stream no longer reaches back far enough"
        memory.doubt = f"{memory.doubt}; {short}" if memory.doubt else short


def _short(ledger: Json, view: Json) -> bool:
    """Whether the stream had dropped its first events, by their age, when the view was made from it."""
    max_age_s: float = (ledger["config"].get("max_age") or 0) / 1_000_000_000
    lived_s = version_order(view["created"])[1] - version_order(ledger["created"])[1]
    return 0 < max_age_s <= lived_s


def _ms(stamp: str) -> int:
    try:
        moment = datetime.fromisoformat(stamp)
    except ValueError:
        return 0
    return round(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() * 1000)

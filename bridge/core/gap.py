"""An interval for which changes may have been missed and cannot be asked for again."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from bridge.core.event import timestamp
from bridge.core.record import Json


@dataclass(frozen=True, slots=True)
class Gap:
    """From when to when, in milliseconds since the Unix epoch; `to_ms` is None while it is open."""

    feed: str
    reason: str
    from_ms: int
    to_ms: int | None = None

    @property
    def id(self) -> str:
        """Names the gap: the same doubt announced twice is one gap."""
        text = f"{self.feed}\0{self.reason}\0{self.from_ms}"
        return hashlib.sha256(text.encode()).hexdigest()[:24]

    def data(self) -> dict[str, Json]:
        """The `after` of its events."""
        return {
            "feed": self.feed,
            "reason": self.reason,
            "from": timestamp(self.from_ms),
            "to": None if self.to_ms is None else timestamp(self.to_ms),
        }


def vendor_gap(feed: str, completed_ms: int | None, reaches_back_to_ms: int | None) -> Gap | None:
    """The gap between the last complete pass and the oldest the vendor still tells of, if there is one."""
    if completed_ms is None or reaches_back_to_ms is None or reaches_back_to_ms <= completed_ms:
        return None
    return Gap(feed, "the vendor holds nothing older", completed_ms, reaches_back_to_ms)

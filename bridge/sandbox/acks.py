"""Which pushed events clients have acknowledged."""

from __future__ import annotations

from collections import deque
from typing import Any, Final

MOST_KEPT: Final = 100_000
"""Of the acknowledged events so many are remembered, the latest."""


class Acks:
    """`asked`: how many events wanted an acknowledgement. `total`: how many were acknowledged."""

    def __init__(self) -> None:
        self.asked = 0
        self.total = 0
        self._kept: deque[str] = deque(maxlen=MOST_KEPT)

    def add(self, msgid: str) -> None:
        """An event was acknowledged, now. One that was sent twice may be, too."""
        self.total += 1
        self._kept.append(msgid)

    def since(self, number: int = 0) -> list[str]:
        """The `_msgid`s of those acknowledged after the first `number`, in order, as far as they are remembered."""
        skip = max(0, number - (self.total - len(self._kept)))
        return list(self._kept)[skip:]

    def to_json(self, since: int = 0) -> dict[str, Any]:
        """For the control interface."""
        return {"asked": self.asked, "acknowledged": self.since(since), "last": self.total}

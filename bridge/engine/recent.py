"""What was stored lately: the last events of all sources, and how many a source had in each of the last 60 minutes."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from bridge.core.event import Event
from bridge.core.report.facts import RecentEvent
from bridge.engine.ports import Wall

MOST = 50
MINUTES = 60
MINUTE_MS = 60_000


class Recent:
    """The last events of all sources. Holds no ids and no records, so it is small whatever comes."""

    def __init__(self) -> None:
        self._rows: deque[tuple[int, int, str, str, str, str, int | None]] = deque(maxlen=MOST)
        self.total = 0
        """How many there were since the start."""

    def add(self, at_ms: int, events: Sequence[Event], seqs: Sequence[int]) -> None:
        """They lie in the stream. Of many only the last are looked at."""
        skipped = max(0, len(events) - MOST)
        self.total += skipped
        for event, seq in zip(events[skipped:], seqs[skipped:], strict=True):
            self.total += 1
            key = event.key
            self._rows.append((self.total, at_ms, key.source, key.vendor, key.entity, event.change, seq))

    def after(self, number: int) -> Sequence[RecentEvent]:
        """Those beyond the `number`th, the newest first, at most `MOST`."""
        return [RecentEvent(*row) for row in reversed(self._rows) if row[0] > number]


class Tape:
    """Of one source: passes on what it stored, and counts it by the minute."""

    __slots__ = ("_counts", "_minute", "_recent", "_wall")

    def __init__(self, wall: Wall, recent: Recent) -> None:
        self._wall = wall
        self._recent = recent
        self._counts: list[int] = []
        self._minute = 0

    def store(self, events: Sequence[Event], seqs: Sequence[int]) -> None:
        """They lie in the stream, as of now."""
        now_ms = self._wall()
        if now_ms // MINUTE_MS != self._minute:
            self._advance(now_ms // MINUTE_MS)
        self._counts[-1] += len(events)
        self._recent.add(now_ms, events, seqs)

    def rate(self) -> Sequence[int]:
        """Events per minute, 60 numbers, the oldest first; the last is of the minute under way."""
        self._advance(self._wall() // MINUTE_MS)
        return tuple(self._counts)

    def _advance(self, minute: int) -> None:
        """A clock that was set back goes on in the minute that was the last: no minute is counted twice."""
        passed = minute - self._minute
        if not self._counts or passed >= MINUTES or passed <= -MINUTES:
            self._counts, self._minute = [0] * MINUTES, minute
        elif passed > 0:
            self._counts = [*self._counts[passed:], *[0] * passed]
            self._minute = minute

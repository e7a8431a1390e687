"""What a source's sequencers have done, for status and metrics."""

from __future__ import annotations

from dataclasses import dataclass, field

import structlog

from bridge.core.event import Event

log = structlog.get_logger()


@dataclass(slots=True)
class Counts:
    """Since the source was started. `unchanged` records were no news; `refused` and `unknown` are writes.

    `held` records may have been older than what is known, and are read again.
    """

    stored: int = 0
    unchanged: int = 0
    quarantined: int = 0
    refused: int = 0
    unknown: int = 0
    batches: int = 0
    held: int = 0
    by_change: dict[str, int] = field(default_factory=dict)

    def store(self, event: Event) -> None:
        """An event lies in the stream."""
        self.stored += 1
        self.by_change[event.change] = self.by_change.get(event.change, 0) + 1

    def quarantine(self, event: Event) -> None:
        """A record was set aside. Logged for the first, the second, the fourth, …: a flood must not be one of lines."""
        self.quarantined += 1
        if self.quarantined & (self.quarantined - 1) == 0:
            log.warning("record.quarantined", source=event.key.source, total=self.quarantined, id=event.key.id)

"""What a source's sequencers have done, for status and metrics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import structlog

from bridge.core.event import Event
from bridge.engine.recent import MINUTES, Tape

log = structlog.get_logger()


@dataclass(slots=True)
class Counts:
    """Since the source was started. `unchanged` records were no news; `refused` and `unknown` are writes.

    `duplicates`: of what occurs once, records of something that was stored already. `held` records may have been older
    than what is known, and are read again. `gaps`: intervals that were announced, for which changes may have been
    missed, `gap_s` seconds long together, as far as they have ended. `tape`: told of every event that is stored; None:
    nobody is.
    """

    stored: int = 0
    unchanged: int = 0
    duplicates: int = 0
    quarantined: int = 0
    refused: int = 0
    unknown: int = 0
    batches: int = 0
    held: int = 0
    gaps: int = 0
    gap_s: float = 0.0
    by_change: dict[str, int] = field(default_factory=dict)
    tape: Tape | None = None

    def store(self, events: Sequence[Event], seqs: Sequence[int]) -> None:
        """These events lie in the stream, each where its number says."""
        self.stored += len(events)
        for change, number in Counter([event.change for event in events]).items():
            self.by_change[change] = self.by_change.get(change, 0) + number
        if self.tape is not None:
            self.tape.store(events, seqs)

    @property
    def last_minute(self) -> int:
        """Events stored in the last whole minute."""
        return self.rate()[-2]

    def rate(self) -> Sequence[int]:
        """See `Tape.rate`."""
        return (0,) * MINUTES if self.tape is None else self.tape.rate()

    def quarantine(self, event: Event) -> None:
        """A record was set aside. Logged for the first, the second, the fourth, …: a flood must not be one of lines."""
        self.quarantined += 1
        if self.quarantined & (self.quarantined - 1) == 0:
            log.warning("record.quarantined", source=event.key.source, total=self.quarantined, id=event.key.id)

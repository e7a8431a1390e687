"""What is measured of one source beside its counts: how long its stages take, why its sessions ended, what was missed.

A plain object that the engine adds to where things happen and whoever is asked for metrics reads: no clock, no lock.
It lives as long as the source is configured as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from bridge.core.ending import Ending
from bridge.core.histogram import Histogram


class Stage(StrEnum):
    """What is timed. A stage says where it begins and ends, and includes every wait between."""

    FRAME_TAKEN = "frame_taken"
    """From a live frame's arrival until it is taken from the inbox."""
    FRAME_STORED = "frame_stored"
    """From a live frame's arrival until the ledger has confirmed all that it told."""
    PAGE_ANSWERED = "page_answered"
    """From the moment a page is wanted until its answer is read, the wait for the quota included."""
    PAGE_STORED = "page_stored"
    """From the moment a page is wanted until the ledger has confirmed its news."""
    REQUEST = "request"
    """One HTTP request to the vendor, from sending to its answer, of logins too: no wait for the quota."""
    WEBHOOK_ANSWERED = "webhook_answered"
    """From a webhook that has come in whole until its answer is ready: the ledger has confirmed it by then."""


class Surprise(StrEnum):
    """Whether a refusal for quota could be known before."""

    FORESEEABLE = "foreseeable"
    """The vendor had refused the request before, too, and nobody had been answered since: it was a trial."""
    UNFORESEEABLE = "unforeseeable"
    """Our own budget said that there was room."""


CLASSES = ("2xx", "3xx", "4xx", "5xx")
"""Classes of HTTP statuses that a webhook is answered with."""


def _nothing() -> tuple[int, int]:
    return 0, 0


def _never() -> int | None:
    return None


@dataclass(slots=True)
class Meter:
    """Since the source was begun. All of it is there, with 0, from the start.

    `singles` and `batches`: how long commits took, of events written singly and in atomic batches. `endings`: of live
    sessions, by reason. `throttled`: refusals for quota. `blind_since_ms`: since when changes may be missed that nobody
    can be asked for later, in milliseconds since the Unix epoch (None: none are). `overruns`: how often the inbox was
    full; `held_s`: seconds for which the vendor was made to wait before it was. `depth`: asks the inbox how many frames
    and bytes wait in it now. `unstored_ms`: asks since when something was pushed that may not be stored yet, in
    milliseconds since the Unix epoch (None: nothing was). `replies`: webhooks answered, by class of status.
    """

    stages: dict[Stage, Histogram] = field(default_factory=lambda: {stage: Histogram() for stage in Stage})
    singles: Histogram = field(default_factory=Histogram)
    batches: Histogram = field(default_factory=Histogram)
    endings: dict[Ending, int] = field(default_factory=lambda: dict.fromkeys(Ending, 0))
    throttled: dict[Surprise, int] = field(default_factory=lambda: dict.fromkeys(Surprise, 0))
    blind_since_ms: int | None = None
    overruns: int = 0
    held_s: float = 0.0
    depth: Callable[[], tuple[int, int]] = _nothing
    unstored_ms: Callable[[], int | None] = _never
    replies: dict[str, int] = field(default_factory=lambda: dict.fromkeys(CLASSES, 0))

    def took(self, stage: Stage, seconds: float) -> None:
        """One passage of a stage."""
        self.stages[stage].observe(seconds)

    def taken(self, arrived: Sequence[float], now: float) -> None:
        """Frames that arrived then, in order, are taken from the inbox now."""
        self.stages[Stage.FRAME_TAKEN].observe_since(now, arrived)

    def stored(self, arrived: Sequence[float], now: float) -> None:
        """All that frames told that arrived then, in order, is in the ledger now."""
        self.stages[Stage.FRAME_STORED].observe_since(now, arrived)

    def ended(self, ending: Ending) -> None:
        """A live session, or the attempt at one, has ended."""
        self.endings[ending] += 1

    def refused(self, *, foreseeable: bool) -> None:
        """The vendor refused a request for quota."""
        self.throttled[Surprise.FORESEEABLE if foreseeable else Surprise.UNFORESEEABLE] += 1

    def replied(self, status: int, seconds: float | None = None) -> None:
        """A webhook was answered, so long after it had come in; None: it was refused before its body was read."""
        self.replies[CLASSES[min(max(status // 100, 2), 5) - 2]] += 1
        if seconds is not None:
            self.took(Stage.WEBHOOK_ANSWERED, seconds)

    def heard_until_ms(self) -> int | None:
        """Until when all is stored that was pushed and cannot be asked for later; None: until now."""
        return min((ms for ms in (self.blind_since_ms, self.unstored_ms()) if ms is not None), default=None)

    def at_rest(self) -> None:
        """No session is open: nothing waits in an inbox."""
        self.depth, self.unstored_ms = _nothing, _never

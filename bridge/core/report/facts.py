"""What a process knows of a source it runs, taken at one moment, without waiting: for reports and metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bridge.core.meter import Meter
from bridge.core.vitals import Vitals


@dataclass(frozen=True, slots=True)
class TokenFacts:
    """The vendor's token in use. Seconds; None: it does not expire."""

    age_s: float
    expires_in_s: float | None = None
    renew_in_s: float | None = None


@dataclass(frozen=True, slots=True)
class InboxFacts:
    """Where live frames wait. `frames` and `bytes` are now, the others over the present session."""

    frames: int = 0
    bytes: int = 0
    offered: int = 0
    forgotten: int = 0
    overruns: int = 0


@dataclass(frozen=True, slots=True)
class CountFacts:
    """Since the process began with the source. `stored` holds the quarantined, and what the bridge says itself.

    `unchanged`: records that were no news. `duplicates`: what occurs once and was stored already. `refused`, `unknown`:
    writes whose place was taken, and whose outcome had to be looked for. `held`: records that are read again.
    `batches`: commits of several events. `gaps`: intervals that were announced, for which changes may have been missed,
    `gap_s` seconds long together, as far as they have ended.
    """

    stored: int = 0
    unchanged: int = 0
    duplicates: int = 0
    quarantined: int = 0
    refused: int = 0
    unknown: int = 0
    held: int = 0
    batches: int = 0
    gaps: int = 0
    gap_s: float = 0.0
    by_change: Mapping[str, int] = field(default_factory=dict)

    @property
    def received(self) -> int:
        """Records that were judged: news, no news, and what was stored already."""
        return self.stored + self.unchanged + self.duplicates


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFacts:
    """One source. Moments are milliseconds since the Unix epoch.

    `state`: a `bridge.core.lifecycle.State`. `here`: this process works for it. `shared`: every instance does at once.
    `vitals`: what its live session measures, what is read when and with which quota; None: nothing is measured yet.
    `completed_ms`: when the last complete pass of each walk began, as far as this process knows. `requests` and
    `renewals` (of the token): since the start. `deletes_held`: wait for an operator. `rate`: events stored per minute,
    60 numbers, the oldest first, the last of the minute under way. `meter`: the source's own, which goes on.
    """

    name: str
    vendor: str
    adapter: str
    state: str
    since_ms: int
    reason: str
    here: bool
    shared: bool = False
    failures: int = 0
    vitals: Vitals | None = None
    token: TokenFacts | None = None
    inbox: InboxFacts | None = None
    counts: CountFacts = field(default_factory=CountFacts)
    completed_ms: Mapping[str, int] = field(default_factory=dict)
    requests: int = 0
    renewals: int = 0
    deletes_held: int = 0
    rate: Sequence[int] = ()
    meter: Meter = field(default_factory=Meter)


@dataclass(frozen=True, slots=True)
class RecentEvent:
    """An event that was stored, without its id, which may be personal. `number` counts them since the start."""

    number: int
    at_ms: int
    source: str
    vendor: str
    entity: str
    change: str
    seq: int | None = None

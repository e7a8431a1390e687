"""What the running sources know of themselves, taken now and without waiting: for the page, `status` and metrics."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from bridge.core.lifecycle import State
from bridge.core.report.facts import CountFacts, InboxFacts, RecentEvent, SourceFacts, TokenFacts
from bridge.core.vitals import Vitals
from bridge.engine.keeper import TokenKeeper
from bridge.engine.reader import Reader
from bridge.engine.recent import Recent
from bridge.engine.source import Source, Status

_ELSEWHERE = (State.STANDBY, State.STOPPED)


class Census:
    """`take` yields the facts of each source in the order of the configuration, whatever sources there are by then."""

    def __init__(self, take: Callable[[], Sequence[SourceFacts]], recent: Recent) -> None:
        self._take = take
        self._recent = recent

    def sources(self) -> Sequence[SourceFacts]:
        """Every source as it is now."""
        return self._take()

    def events(self, after: int = 0) -> Sequence[RecentEvent]:
        """What was stored lately, beyond the event of this number; the newest first."""
        return self._recent.after(after)

    @property
    def stored(self) -> int:
        """How many events were stored since the start: the number of the newest."""
        return self._recent.total


def take_facts(source: Source, status: Status, reader: Reader, vitals: Vitals | None) -> SourceFacts:
    """Of one source, as of now. `vitals`: what it has just measured."""
    counts, inbox = status.counts, status.inbox
    if source.shared and vitals is not None:
        # Who is only posted to asks nobody: what we count with is nothing to look after.
        vitals = replace(vitals, quota=None)
    return SourceFacts(
        name=status.name,
        vendor=status.vendor,
        adapter=source.adapter.settings.adapter,
        state=str(status.state),
        since_ms=status.since_ms,
        reason=status.reason,
        here=status.state not in _ELSEWHERE,
        shared=source.shared,
        failures=status.failures,
        vitals=vitals,
        token=None if source.shared else _token(reader.keeper),
        inbox=None if inbox is None
        else InboxFacts(inbox.frames, inbox.bytes, inbox.offered, inbox.forgotten, inbox.overruns),
        counts=CountFacts(
            counts.stored, counts.unchanged, counts.duplicates, counts.quarantined, counts.refused, counts.unknown,
            counts.held, counts.batches, counts.gaps, counts.gap_s, dict(counts.by_change),
        ),
        completed_ms=dict(status.completed_ms),
        requests=reader.requests,
        renewals=reader.keeper.renewals,
        deletes_held=status.deletes_held,
        rate=counts.rate(),
        meter=source.meter,
    )  # fmt: skip


def _token(keeper: TokenKeeper) -> TokenFacts | None:
    age_s = keeper.age
    return None if age_s is None else TokenFacts(age_s, keeper.expires_in, keeper.renew_in)

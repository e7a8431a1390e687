"""What one source is made of, and what can be seen of it from outside."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bridge.adapter import Adapter, Token
from bridge.core.canonical import Exact, Spell, canonical, exact
from bridge.core.event import Encode
from bridge.core.lifecycle import Signal, State, move
from bridge.core.meter import Meter
from bridge.core.published import stand_in
from bridge.core.secret import Masker
from bridge.core.span import Origin
from bridge.engine.inbox import InboxStatistics
from bridge.engine.ports import Feed, Http, Ledger, Wall
from bridge.engine.pulse import Pulse
from bridge.engine.quota import Quotas
from bridge.engine.recent import Recent
from bridge.engine.sequencer import Counts
from bridge.engine.tenancy import Freehold, Tenancies
from bridge.engine.tracing import Tracer, Tracing
from bridge.engine.vigil import SessionStatistics

if TYPE_CHECKING:
    from bridge.engine.sharing import Sharing


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What all sources share. `roll` returns random numbers in [0, 1); `owner` goes into the owner records.

    `tenancies`: where sources get their leases from; without any, every source is ours. `structured`: the content mode
    of what is published. `trace` begins a trace (`bridge/core/trace.py`); None: events carry none. `recent`:
    what all of them stored last. `sharing`: how sources are shared with other instances; None: who has one keeps it.
    `pulse`: where loops say what must end in time. `tracing`: where spans are told; None: nowhere, and then nothing of
    it costs anything. `spell`: what digests are made over; `exact`: what rows are compared by.
    """

    ledger: Ledger
    http: Http
    quotas: Quotas
    encode: Encode
    wall: Wall
    roll: Callable[[], float]
    masker: Masker
    owner: dict[str, Any]
    tenancies: Tenancies = field(default_factory=Freehold)
    structured: bool = False
    trace: Callable[[], str | None] = lambda: None
    recent: Recent = field(default_factory=Recent)
    pulse: Pulse = field(default_factory=Pulse)
    tracing: Tracing | None = None
    sharing: Sharing | None = None
    spell: Spell = canonical
    exact: Exact = exact

    def tracer(self, source: Source) -> Tracer | None:
        """Tells of spans of this source, if anybody is to be told."""
        if self.tracing is None:
            return None
        adapter = source.adapter
        # Who pushes webhooks may say by itself what kind of thing they are about.
        return self.tracing.of(Origin(adapter.vendor, source.name, open=adapter.hook is not None))


@dataclass(frozen=True, slots=True)
class Source:
    """An adapter with its settings, and how its live session is made (None: it is polled only).

    `hands_over`: a session does not outlive its token, so a new one takes its place before that. `session`: what its
    live sessions have seen. `shared`: every instance works for it at once, so nobody needs its lease. `meter`: where
    all that works for it notes how long things take.
    """

    adapter: Adapter[Any]
    feed: Callable[[Token], Feed] | None = None
    hands_over: bool = False
    session: SessionStatistics | None = None
    shared: bool = False
    meter: Meter = field(default_factory=Meter)

    @property
    def name(self) -> str:
        """The unique name from the configuration."""
        name: str = self.adapter.settings.name
        return name

    @property
    def pushed_only(self) -> bool:
        """Whether its live session tells what no reading finds, nor the vendor repeats: a handover loses some of it."""
        adapter = self.adapter
        return self.feed is not None and adapter.hook is None and (adapter.live_only or not adapter.walks(stand_in()))


@dataclass(slots=True)
class Status:
    """A source as seen from outside. Times are milliseconds since the Unix epoch.

    `shut_ms`: since when it wants a live session and has none open. `progress`: of each walk in the middle of a pass,
    the rows read so far and how many the vendor says there are (None: it does not say).
    """

    name: str
    vendor: str
    state: State = State.OPENING
    since_ms: int = 0
    reason: str = ""
    failures: int = 0
    counts: Counts = field(default_factory=Counts)
    completed_ms: dict[str, int] = field(default_factory=dict)
    progress: dict[str, tuple[int, int | None]] = field(default_factory=dict)
    inbox: InboxStatistics | None = None
    session: SessionStatistics | None = None
    shut_ms: int | None = None
    requests: int = 0
    renewals: int = 0
    deletes_held: int = 0
    """Deletes that wait for an operator, as of the last complete look."""

    def signal(self, signal: Signal, now_ms: int, reason: str = "") -> bool:
        """Move by the table. Returns whether the state changed."""
        before, self.state = self.state, move(self.state, signal)
        self.reason = reason
        if before is not self.state:
            self.since_ms = now_ms
        return before is not self.state

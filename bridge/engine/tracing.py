"""What becomes a span, and when: a frame or page that came in, a record that became an event, a write, an alert told.

Nothing of this exists unless traces are switched on: whoever might tell of a span holds None in place of a `Tracer`.
Spans are told when they have ended, so each costs one object and nothing waits for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import anyio

from bridge.core import span as spans
from bridge.core.event import Event
from bridge.core.span import Context, Kind, Origin, Span, Via
from bridge.core.trace import parse
from bridge.engine.ports import Outcome, Stored

Sink = Callable[[Span], None]
"""Takes a span that has ended. Returns at once and raises nothing, whatever becomes of it."""

UNSTORED = "unstored"
"""`error.type` of what came in and was let go before the ledger had it: the vendor tells it again, or is asked."""


class Heard(str):
    """A `traceparent` as events carry it, of something that came in and whose span of ours is `context`."""

    __slots__ = ("context", "entity", "owed", "parent", "start_ns", "taken_ns", "via")

    context: Context
    parent: Context | None
    via: Via
    entity: str
    start_ns: int
    taken_ns: int
    """When it was taken up: from then on its records were being mapped."""
    owed: bool
    """Whether its span is told only with its first event: of what is noticed, most comes to nothing."""


class Tracing:
    """What all tracers share. `begin` begins a trace, `now_ns` reads the wall clock in nanoseconds."""

    def __init__(self, sink: Sink, *, begin: Callable[[], str], now_ns: Callable[[], int], ratio: float = 1.0) -> None:
        self.sink = sink
        self.now_ns = now_ns
        self._begin = begin
        self._ratio = ratio

    def begin(self) -> str:
        """The `traceparent` of a trace that begins now; its flag says whether it is recorded."""
        begun = self._begin()
        return begun if self.records(begun) else f"{begun[:-2]}00"

    def records(self, traceparent: str) -> bool:
        """Whether this trace is recorded here: whoever began it does so, and the ratio has it."""
        return spans.is_sampled(traceparent) and spans.is_chosen(traceparent[3:35], self._ratio)

    def step(self) -> str:
        """The name of one more step of a trace."""
        return self._begin()[36:52]

    def at_ns(self, loop_s: float) -> int:
        """The wall clock's time of a moment of the event loop's clock, which is a millisecond or so behind."""
        return self.now_ns() - round((anyio.current_time() - loop_s) * 1e9)

    def of(self, origin: Origin) -> Tracer:
        """Tells of one source."""
        return Tracer(self, origin)


class Tracer:
    """Of one source, through all its sessions."""

    def __init__(self, tracing: Tracing, origin: Origin) -> None:
        self._tracing = tracing
        self._origin = origin
        self._open: dict[int, Heard] = {}

    @property
    def now_ns(self) -> int:
        """The wall clock."""
        return self._tracing.now_ns()

    # --- what came in ---

    def frame(self, traceparent: str | None, *, foreign: bool, webhook: bool, at: float, taken_ns: int) -> str | None:
        """What events of this frame carry, which came `at` (event loop's clock) and was mapped from `taken_ns` on.

        `foreign`: its sender began the trace, and ours is a step below.
        """
        if traceparent is None or not self._tracing.records(traceparent):
            return traceparent
        via = Via.WEBHOOK if webhook else Via.LIVE
        heard = self._heard(traceparent, via, self._tracing.at_ns(at), taken_ns)
        if foreign:
            heard.parent, heard.context = heard.context, Context(heard.context.trace, self._tracing.step())
        self._open[id(heard)] = heard
        return heard

    def page(self, entity: str, *, asked_at: float, answered_ns: int) -> str:
        """What events of a page carry that was asked for then (event loop's clock), and answered."""
        traceparent = self._tracing.begin()
        if not self._tracing.records(traceparent):
            return traceparent
        heard = self._heard(traceparent, Via.PAGE, self._tracing.at_ns(asked_at), answered_ns)
        heard.entity = entity
        self._open[id(heard)] = heard
        return heard

    def notice(self) -> str:
        """What events carry that tell of nothing that came in."""
        traceparent = self._tracing.begin()
        if not self._tracing.records(traceparent):
            return traceparent
        now_ns = self.now_ns
        heard = self._heard(traceparent, Via.NOTICE, now_ns, now_ns)
        heard.owed = True
        return heard

    def adopt(self, traceparent: str | None) -> str | None:
        """What an event carries that follows from another one, which carried this."""
        found = parse(traceparent)
        if found is None or not self._tracing.records(found):
            return traceparent
        now_ns = self.now_ns
        return self._heard(found, Via.NOTICE, now_ns, now_ns)

    def settled(self, heard: Iterable[str | None], error: str = "") -> None:
        """The ledger has all that these told, or an error of this kind has ended it."""
        now_ns = 0
        for one in heard:
            if type(one) is Heard and self._open.pop(id(one), None) is not None:
                now_ns = now_ns or self.now_ns
                self._tell(one, now_ns, error)

    def abandon(self) -> None:
        """The session has ended: what it had not stored by then is let go."""
        self.settled(list(self._open.values()), UNSTORED)

    def _heard(self, traceparent: str, via: Via, start_ns: int, taken_ns: int) -> Heard:
        heard = Heard(traceparent)
        heard.context, heard.parent = spans.context_of(traceparent), None
        heard.via, heard.entity, heard.owed = via, "", False
        heard.start_ns, heard.taken_ns = min(start_ns, taken_ns), taken_ns
        return heard

    def _tell(self, heard: Heard, end_ns: int, error: str = "") -> None:
        name, kind, attributes = spans.received(self._origin, heard.via, heard.entity)
        self._put(
            Span(
                name=name,
                kind=kind,
                context=heard.context,
                parent=heard.parent,
                start_ns=heard.start_ns,
                end_ns=end_ns,
                attributes=attributes,
                error=error,
            )
        )

    # --- what is stored ---

    def appended(self, events: Sequence[Event], outcomes: Sequence[Outcome], begun_ns: int) -> None:
        """These were written singly, beginning then."""
        stored = [event for event, outcome in zip(events, outcomes, strict=True) if isinstance(outcome, Stored)]
        self.committed(stored, begun_ns, batch=False)

    def committed(self, events: Sequence[Event], begun_ns: int, *, batch: bool = True, error: str = "") -> None:
        """These were written beginning then, all or none of them. With an `error` none is known to be stored."""
        told = [(event, event.traceparent) for event in events if type(event.traceparent) is Heard]
        if not told:
            return
        end_ns = self.now_ns
        links: list[Context] = []
        parents: set[Context] = set()
        for event, heard in told:
            assert isinstance(heard, Heard)
            if heard.owed:
                heard.owed = False
                self._tell(heard, end_ns)
            parents.add(heard.context)
            if error:
                links.append(heard.context)
                continue
            # Nobody has to remember which step of its trace an event is: half of its own name says so.
            context = Context(heard.context.trace, event.ce_id[:16])
            links.append(context)
            name, attributes = spans.created(self._origin, event)
            self._put(
                Span(
                    name=name,
                    kind=Kind.PRODUCER,
                    context=context,
                    parent=heard.context,
                    start_ns=min(heard.taken_ns, begun_ns),
                    end_ns=begun_ns,
                    attributes=attributes,
                )
            )
        # What comes from one frame or page is a step of its trace; what comes from several is a trace of its own.
        parent = parents.pop() if len(parents) == 1 else None
        trace = parent.trace if parent else self._tracing.begin()[3:35]
        name, attributes = spans.published(self._origin, events, batch=batch)
        self._put(
            Span(
                name=name,
                kind=Kind.CLIENT,
                context=Context(trace, self._tracing.step()),
                parent=parent,
                start_ns=begun_ns,
                end_ns=end_ns,
                attributes=attributes,
                links=links,
                error=error,
            )
        )

    # --- what is told ---

    def alerted(
        self, alert: str, channel: str, id_: str, tries: int, traceparent: str | None, *, begun_ns: int, error: str
    ) -> None:
        """An attempt to tell an alert has ended; `traceparent`: of the event that triggered it."""
        found = parse(traceparent)
        if found is None or not self._tracing.records(found):
            return
        parent = spans.context_of(found)
        name, attributes = spans.alerted(alert, channel, id_, tries)
        self._put(
            Span(
                name=name,
                kind=Kind.PRODUCER,
                context=Context(parent.trace, self._tracing.step()),
                parent=parent,
                start_ns=begun_ns,
                end_ns=self.now_ns,
                attributes=attributes,
                error=error,
            )
        )

    def _put(self, span: Span) -> None:
        self._tracing.sink(span)

"""Which spans a source tells of: against a played vendor and a ledger in memory, on a virtual clock."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from hashlib import sha256
from typing import Any

import anyio
import pytest

from bridge.core.own import VENDOR
from bridge.core.span import Context, Kind, Origin, Span, context_of
from bridge.core.trace import begin
from bridge.engine.ports import Offer
from bridge.engine.tracing import Tracer, Tracing
from tests.engine.test_traces import SENT, TRACE, Stage, play, row
from tests.support.engine import Bench, on_virtual_clock
from tests.support.memory_ledger import Entry, Fault

RECORDED = f"{SENT[:-2]}01"


class Chance:
    """Names that look like chance and are the same in each run."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> str:
        self.times += 1
        return begin(sha256(str(self.times).encode()).digest()[:24])


def now_ns() -> int:
    """The virtual clock."""
    return round(anyio.current_time() * 1e9)


class Told(list[Span]):
    """What was told, looked at by name."""

    def named(self, start: str) -> list[Span]:
        return [span for span in self if span.name.startswith(start)]

    def by_id(self) -> dict[Context, Span]:
        found = {span.context: span for span in self}
        assert len(found) == len(self), "two spans have one name"
        return found


def watched(bench: Bench, *, ratio: float = 1.0, structured: bool = False) -> Told:
    """Switch traces on; what is told."""
    told = Told()
    tracing = Tracing(told.append, begin=Chance(), now_ns=now_ns, ratio=ratio)
    bench.trace = tracing.begin
    bench._world = replace(bench._world, tracing=tracing, structured=structured)
    return told


def each(ids: Iterable[str]) -> Callable[[Offer], None]:
    """One frame for each."""

    def offer(to: Offer) -> None:
        for id_ in ids:
            to([row(id_)], 10)

    return offer


def pushed(told: Told) -> list[Span]:
    """What came in without having been asked for."""
    return [span for span in told.named("receive") if span.kind is Kind.CONSUMER]


def traceparent(entry: Entry) -> str:
    """As the event carries it, in either content mode."""
    found: str = entry.headers.get(TRACE) or json.loads(entry.payload)["traceparent"]
    return found


def roots(told: Told, entries: list[Entry]) -> dict[str, Span]:
    """Of each event's `create` the span above it, by the event's id; the trees hang together."""
    spans = told.by_id()
    made = {span.attributes["messaging.message.id"]: span for span in told.named("create")}
    assert len(made) == len(told.named("create"))
    found = {}
    for entry in entries:
        create = made[entry.ce_id]
        assert create.context.span == entry.ce_id[:16]
        assert create.parent is not None
        assert create.parent.trace == create.context.trace
        found[entry.data["id"]] = spans[create.parent]
        (publish,) = [span for span in told.named("publish") if create.context in span.links]
        assert publish.start_ns == create.end_ns
    return found


@pytest.mark.parametrize("structured", [False, True])
def test_the_span_of_a_frame_is_the_context_that_its_events_carry(structured: bool) -> None:
    """Each frame has one, which lasts until the ledger has all of it; its writes are steps below; in both modes."""

    def offer(to: Offer) -> None:
        to([row("a"), row("b")], 10)
        to([row("c")], 10)
        to("spoilt", 10)

    stage = Stage(offer)
    stage.ledger.latency_s = 0.5
    told = watched(stage, structured=structured)
    play(stage)
    found = roots(told, stage.things())
    for entry in stage.things():
        root = found[entry.data["id"]]
        assert root.context == context_of(traceparent(entry))
        assert (root.parent, root.kind, root.error) == (None, Kind.CONSUMER, "")
        assert root.end_ns - root.start_ns >= 500_000_000
    assert found["a"] is found["b"] is not found["c"]
    assert len(pushed(told)) == 3, "what could not be read came in as well"
    assert {type(value) for entry in stage.things() for value in entry.headers.values()} == {str}


def test_a_sender_s_trace_has_ours_below_it() -> None:
    """The event carries the sender's context unchanged; ours is a step below it, one for each frame."""

    def offer(to: Offer) -> None:
        to([row("a")], 10, None, RECORDED)
        to([row("b")], 10, None, RECORDED)

    stage = Stage(offer)
    told = watched(stage)
    play(stage)
    assert {traceparent(entry) for entry in stage.things()} == {RECORDED}
    found = roots(told, stage.things())
    assert found["a"].context != found["b"].context
    for root in found.values():
        assert root.parent == context_of(RECORDED)
        assert root.context.trace == RECORDED[3:35]
    # One write of both is a step of neither: a trace of its own, which names the two.
    for publish in told.named("publish"):
        assert len(publish.links) == 1 or publish.parent is None


def test_what_its_sender_does_not_record_is_not_recorded() -> None:
    """The flag of the sender counts; the event carries what was sent."""

    def offer(to: Offer) -> None:
        to([row("a")], 10, None, SENT)

    stage = Stage(offer)
    told = watched(stage)
    play(stage)
    assert [traceparent(entry) for entry in stage.things()] == [SENT]
    assert not [span for span in told if span.context.trace == SENT[3:35]]
    assert not pushed(told)


def test_a_share_of_traces_is_recorded_and_the_rest_says_so() -> None:
    """With nothing to be recorded there is no span, and events say so by their flag; of a half, half."""
    counts = {}
    for ratio in (0.0, 0.5, 1.0):
        stage = Stage(each(f"r{number}" for number in range(40)))
        told = watched(stage, ratio=ratio)
        play(stage)
        flags = {traceparent(entry)[3:35]: traceparent(entry)[-2:] for entry in stage.things()}
        assert len(flags) == 40
        recorded = {span.context.trace for span in told.named("create")}
        assert recorded & flags.keys() == {trace for trace, flag in flags.items() if flag == "01"}
        assert {trace for trace in recorded & flags.keys() if int(trace[16:], 16) >= ratio * 2**64} == set()
        counts[ratio] = list(flags.values()).count("01")
    assert counts[0.0] == 0
    assert 5 < counts[0.5] < 35
    assert counts[1.0] == 40


def test_the_span_of_a_page_lasts_from_the_question_to_the_ledger() -> None:
    """It says what was asked for; all of its events are below it; one without news has a span and nothing below."""
    bench = Bench(page_size=2, every_s=20.0)
    bench.ledger.latency_s = 1.0
    told = watched(bench)
    for id_ in "abcd":
        bench.vendor.put(id_, "1")
    play(bench)
    found = roots(told, bench.things())
    assert found["a"] is found["b"] is not found["c"] is found["d"]
    for entry in bench.things():
        root = found[entry.data["id"]]
        assert root.context == context_of(traceparent(entry))
        assert (root.kind, root.attributes["bridged.via"], root.attributes["bridged.entity"]) == (
            Kind.CLIENT,
            "page",
            "thing",
        )
        assert root.end_ns - root.start_ns >= 1_000_000_000
    batches = [span for span in told.named("publish") if span.attributes["bridged.atomic"] == "yes"]
    assert [len(span.links) for span in batches] == [2, 2]
    assert {span.parent for span in batches} == {found["a"].context, found["c"].context}
    assert len(told.named("receive")) > 2


def test_what_is_noticed_has_a_root_once_it_is_told() -> None:
    """Deletes and announcements came with no frame; their trace has a beginning all the same, and only if they are."""
    bench = Bench(every_s=5.0, page_size=10, deletes=True)
    told = watched(bench)
    for id_ in "abc":
        bench.vendor.put(id_, "1")

    async def script() -> None:
        await anyio.sleep(12)
        bench.vendor.drop("a")
        bench.vendor.drop("b")
        await anyio.sleep(30)

    on_virtual_clock(lambda: bench.during(script))
    deleted = [entry for entry in bench.things() if entry.change == "deleted"]
    assert len(deleted) == 2
    found = roots(told, deleted)
    assert found["a"] is found["b"]
    assert (found["a"].name, found["a"].kind, found["a"].parent) == ("notice acme", Kind.INTERNAL, None)
    assert found["a"].context == context_of(traceparent(deleted[0]))
    own = [entry for entry in bench.ledger.events if entry.subject.startswith("events.bridge.")]
    # One for the deletes, one for each announcement: a trace that was begun and told nothing leaves nothing.
    assert len(told.named("notice")) == 1 + len(own)


def test_a_write_of_many_frames_names_each() -> None:
    """Measurements of twenty frames in one batch: a trace of its own, linked to the twenty."""
    stage = Stage(each(f"p{number}" for number in range(20)))
    told = watched(stage)
    play(stage)
    assert stage.ledger.aside is not None
    stored = stage.ledger.aside.events
    found = roots(told, stored)
    assert len({root.context.trace for root in found.values()}) == 20
    (publish,) = [span for span in told.named("publish telemetry.") if len(span.links) > 1]
    assert {link.span for link in publish.links} == {entry.ce_id[:16] for entry in stored}
    assert publish.parent is None
    assert publish.context.trace not in {link.trace for link in publish.links}
    assert publish.attributes["messaging.batch.message_count"] == 20


def test_what_was_refused_is_made_once() -> None:
    """A write that the stream refused leaves no `create`; the one that is stored in the end does."""

    async def main() -> None:
        stage = Stage(lambda to: to([row("a")], 10))
        stage.ledger.append_faults += [Fault.STALE, Fault.STALE]
        told = watched(stage)

        async def script() -> None:
            await anyio.sleep(30)

        await stage.during(script)
        assert list(roots(told, stage.things())) == ["a"]

    on_virtual_clock(main)


def test_what_is_let_go_unstored_says_so() -> None:
    """The ledger is away while a frame is stored: its span ends with the session, with an error; so does the write."""

    async def main() -> None:
        sessions: list[Offer] = []
        stage = Stage(sessions.append)
        told = watched(stage)

        async def script() -> None:
            await anyio.sleep(10)
            stage.ledger.latency_s = 2.0
            sessions[-1]([row("a")], 10)
            await anyio.sleep(1)
            stage.ledger.go_away()
            await anyio.sleep(60)

        await stage.during(script)
        assert stage.things() == []
        (received,) = pushed(told)
        assert received.error == "unstored"
        assert received.end_ns - received.start_ns == 2_000_000_000
        (publish,) = [span for span in told.named("publish") if span.parent == received.context]
        assert (publish.error, publish.links) == ("Away", [received.context])
        assert not told.named("create events.sim")

    on_virtual_clock(main)


def test_switched_off_there_is_nobody_to_tell() -> None:
    """No source holds anything to tell spans by, and events hold plain text."""
    stage = Stage(lambda to: to([row("a")], 10))
    play(stage)
    runner = stage.runner
    assert runner._reader.tracer is None
    assert runner._live._tracer is None


def tracer(told: Told, **options: Any) -> Tracer:
    return Tracing(told.append, begin=Chance(), now_ns=lambda: 5, **options).of(Origin(VENDOR, "alerts"))


@pytest.mark.parametrize(
    ("carried", "ratio", "spans"),
    [(RECORDED, 1.0, 1), (SENT, 1.0, 0), (None, 1.0, 0), ("nonsense", 1.0, 0), (RECORDED, 0.0, 0)],
)
def test_an_alert_is_a_step_of_what_triggered_it(carried: str | None, ratio: float, spans: int) -> None:
    """Below the context that the event carried, if that is recorded."""
    told = Told()
    tracer(told, ratio=ratio).alerted("each", "hook", "0" * 32, 3, carried, begun_ns=2, error="undelivered")
    assert len(told) == spans
    for span in told:
        assert (span.name, span.kind, span.parent) == ("alert each", Kind.PRODUCER, context_of(RECORDED))
        assert (span.start_ns, span.end_ns, span.error) == (2, 5, "undelivered")
        assert span.attributes["bridged.tries"] == 3

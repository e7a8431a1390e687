"""Where a trace begins, and what carries it: frames, pages, what could not be read, the bridge's own events."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from itertools import count
from typing import Any

import anyio
from anyio.abc import TaskStatus

from bridge.adapter import Json, Malformed, Record
from bridge.core.own import GAP
from bridge.core.trace import begin
from bridge.engine.ports import Feed, Offer
from bridge.engine.runner import Runner
from bridge.engine.sequencer import Counts, Sequencer
from bridge.engine.source import Source
from tests.support.desk import Desk, gone, once, thing
from tests.support.engine import Bench, on_virtual_clock
from tests.support.memory_ledger import Entry, Fault
from tests.support.sim_vendor import SimAdapter

SENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"
TRACE = "ce-traceparent"


class Numbered:
    """Begins traces: the first, the second, ...."""

    def __init__(self) -> None:
        self.begun = 0

    def __call__(self) -> str:
        self.begun += 1
        return numbered(self.begun)


def numbered(number: int) -> str:
    return begin(number.to_bytes(24, "big"))


class Several(SimAdapter):
    """A frame may be a list of rows. Those whose id begins with `p` are measurements."""

    def live(self, frame: Json) -> Sequence[Record]:
        if frame == "spoilt":
            raise Malformed("spoilt", raw=b"spoilt")
        records = [record for row in frame for record in super(Several, self).live(row)]
        return [
            Record("packet", one.id, one.after, occurred=True, telemetry=True) if one.id.startswith("p") else one
            for one in records
        ]


class Scripted:
    """A feed that offers what it is told, and stays."""

    def __init__(self, offer: Callable[[Offer], None]) -> None:
        self._offer = offer

    async def hold(self, offer: Offer, *, task_status: TaskStatus[None]) -> None:
        task_status.started()
        self._offer(offer)
        await anyio.sleep_forever()


class Stage(Bench):
    """A bench whose live session offers frames once, and which numbers its traces."""

    def __init__(self, offer: Callable[[Offer], None], **settings: Any) -> None:
        super().__init__(live=True, **settings)
        self.trace = self.traces = Numbered()
        self._offer = offer

    def _fresh(self) -> Runner:
        feed: Callable[[Any], Feed] = lambda _: Scripted(self._offer)  # noqa: E731 - a feed is made by a function
        return Runner(Source(Several(self._settings), feed), self._world)

    def by_trace(self) -> dict[str, set[str]]:
        """The ids of what the vendor told, and `entity.change` of the bridge's own, by trace."""
        found: dict[str, set[str]] = defaultdict(set)
        aside = self.ledger.aside.events if self.ledger.aside else []
        for entry in (*self.ledger.events, *aside):
            tokens = entry.subject.split(".")
            found[entry.headers[TRACE]].add(".".join(tokens[3:5]) if tokens[1] == "bridge" else entry.data["id"])
        return dict(found)


def row(id_: str) -> Json:
    return {"id": id_, "value": "1", "n": 1}


def play(bench: Bench, seconds: float = 30) -> None:
    async def script() -> None:
        await anyio.sleep(seconds)

    on_virtual_clock(lambda: bench.during(script))


def test_a_trace_begins_with_each_frame() -> None:
    """All that one frame tells carries it, measurements and what could not be read, too; the next frame has another."""

    def offer(to: Offer) -> None:
        to([row("a"), row("b"), row("p1")], 10)
        to([row("c")], 10)
        to("spoilt", 10)

    stage = Stage(offer)
    play(stage)
    told = sorted(map(sorted, stage.by_trace().values()))
    assert told == [["a", "b", "p1"], ["c"], ["quarantine.occurred"], ["source.connected"]]


def test_a_trace_that_was_sent_is_gone_on_with() -> None:
    """As it was sent, flags included; what is no trace context counts as none, and does no harm."""

    def offer(to: Offer) -> None:
        to([row("a"), row("b")], 10, None, SENT)
        to([row("c")], 10, None, "00-nonsense\r\nce-id: 7")

    stage = Stage(offer)
    play(stage)
    traces = stage.by_trace()
    assert traces[SENT] == {"a", "b"}
    assert ["c"] in map(sorted, traces.values())
    assert len({trace.partition("-")[2] for trace in traces}) == 3


def test_a_trace_begins_with_each_page() -> None:
    """All that one page tells is of one trace; another page is of another."""
    bench = Bench(page_size=2)
    bench.trace = Numbered()
    for id_ in "abcd":
        bench.vendor.put(id_, "1")
    play(bench)
    found = defaultdict(list)
    for entry in bench.things():
        found[entry.headers[TRACE]].append(entry.data["id"])
    assert list(found.values()) == [["a", "b"], ["c", "d"]]


def test_each_of_the_bridge_s_own_events_carries_one() -> None:
    """Nothing a vendor sent is behind `source.connected`, so its trace begins with it."""
    bench = Bench()
    bench.trace = Numbered()
    play(bench)
    (own,) = (entry for entry in bench.ledger.events if entry.subject.startswith("events.bridge."))
    assert own.headers[TRACE] in {numbered(number) for number in range(1, 99)}


def test_without_anybody_who_begins_traces_there_are_none() -> None:
    """Then only what was sent is carried on."""

    def offer(to: Offer) -> None:
        to([row("a")], 10)
        to([row("b")], 10, None, SENT)

    stage = Stage(offer)
    stage.trace = lambda: None
    play(stage)
    assert {e.data["id"]: e.headers.get(TRACE) for e in stage.things()} == {"a": None, "b": SENT}


# --- one sequencer ---


async def written(desk: Desk, work: Callable[[Sequencer], Awaitable[Any]]) -> list[Entry]:
    """What `work` stores."""
    sequencer = await desk.open()
    before = len(desk.ledger.events)
    await work(sequencer)
    return desk.ledger.events[before:]


def of(*numbers: int) -> list[str]:
    return [numbered(number) for number in numbers]


def traces(entries: Sequence[Entry]) -> list[str]:
    return [entry.headers[TRACE] for entry in entries]


def test_what_is_sent_again_keeps_its_first_trace() -> None:
    """Refused, lost on the way, or stored without an answer: the event that lies there is of the frame it came with."""

    async def main() -> None:
        desk = Desk(trace=Numbered())
        for fault in (Fault.STALE, Fault.UNKNOWN_LOST, Fault.UNKNOWN_STORED):
            desk.ledger.append_faults.append(fault)
            record = thing(fault.name, 1)
            sent = {id(record): SENT}
            entries = await written(desk, lambda s, r=record, t=sent: s.live([r], traces=t))  # type: ignore[misc]
            assert traces(entries) == [SENT]

    on_virtual_clock(main)


def test_a_deletion_and_a_gap_have_traces_of_their_own() -> None:
    """Pages, announcements and deletions: one each."""

    async def main() -> None:
        desk = Desk(trace=Numbered())
        assert traces(await written(desk, lambda s: desk.page(s, thing("a", 1), thing("b", 1), once("c")))) == of(
            1, 1, 1
        )
        assert traces(await written(desk, lambda s: desk.page(s, gone("a"), gone("b")))) == of(2, 2)
        assert traces(await written(desk, lambda s: s.announce("gap", "opened", "1", GAP.example))) == of(3)

    on_virtual_clock(main)


def test_what_is_set_aside_keeps_the_trace_of_what_it_was() -> None:
    """A record that cannot be stored, or is too large, is in quarantine under the trace it came with."""

    async def main() -> None:
        desk = Desk(trace=Numbered(), max_payload=50_000)
        large, strange = thing("a", "x" * 60_000), thing("b", float("nan"))
        for record in (large, strange):
            sent = {id(record): SENT}
            entries = await written(desk, lambda s, r=record, t=sent: s.live([r], traces=t))  # type: ignore[misc]
            assert [(entry.change, entry.headers[TRACE]) for entry in entries] == [("occurred", SENT)]

    on_virtual_clock(main)


def test_what_happened_is_named_alike_whatever_its_trace() -> None:
    """`ce-id` and digest of the same change in two traces, or in none, are the same: it is stored once."""

    async def main() -> None:
        numbers = count(1)
        named = set()
        for trace in (lambda: None, lambda: numbered(next(numbers)), lambda: SENT):
            desk = Desk(trace=trace)
            (entry,) = await written(desk, lambda s: s.live([thing("a", 1)]))
            named.add((entry.ce_id, entry.headers["Bridge-Digest"], entry.payload))
            again = await written(desk, lambda s: s.live([thing("a", 1)]))
            assert again == []
        assert len(named) == 1

    on_virtual_clock(main)


def test_a_doubted_push_is_believed_under_its_own_trace() -> None:
    """What waited for the vendor's word is stored later, as what the frame told."""

    async def main() -> None:
        desk = Desk(trace=Numbered())
        book = await desk.ledger.open("acme", "main", {})
        sequencer = Sequencer(book, desk.scribe, Counts())
        sequencer.arrivals.prepare(lag_s=0.0, disorder_s=5.0, readable=["thing"])
        await sequencer.live([thing("a", 1)], arrived_at=anyio.current_time())
        late = thing("a", 2)
        doubtful = await sequencer.live([late], arrived_at=anyio.current_time(), traces={id(late): SENT})
        assert doubtful == [late]
        with anyio.move_on_after(60):
            await sequencer.relent()
        assert [(value, entry.headers[TRACE]) for (_, _, value), entry in zip(
            desk.told(), desk.entries("events.acme.main."), strict=True
        )] == [(1, numbered(1)), (2, SENT)]  # fmt: skip

    on_virtual_clock(main)

"""What the engine measures where it happens: against a played vendor whose clock and ledger are ours."""

from __future__ import annotations

import math
from typing import Any

import anyio
from anyio.abc import TaskStatus

from bridge.adapter import Retry
from bridge.core.ending import Ending, marked
from bridge.core.histogram import Histogram
from bridge.core.meter import Meter, Stage, Surprise
from bridge.engine.inbox import FRAMES
from bridge.engine.ports import Offer
from tests.engine.test_reader import ASK, THROTTLED, Setting
from tests.support.engine import Bench, on_virtual_clock
from tests.support.hook_rig import Instance, order, post, settings, signed
from tests.support.memory_ledger import MemoryLedger
from tests.support.scripted import Stage as Playhouse
from tests.support.scripted import row, run


def meter_of(bench: Bench) -> Meter:
    """The meter that whoever asks for the facts of the source gets."""
    return bench.runner.facts().meter


def within(histogram: Histogram, seconds: float) -> int:
    """How many durations were at most so long."""
    return dict(histogram.cumulative())[seconds]


def test_pages_and_requests_are_timed_apart_from_what_the_ledger_takes() -> None:
    """A page of 20 ms that the ledger takes 2 s for was answered within 50 ms, and stored within 2.5 s and not 1 s."""

    async def main() -> None:
        bench = Bench(every_s=1_000.0, page_size=10)
        bench.ledger.latency_s = 1.0
        bench.vendor.put("a", "1")

        async def script() -> None:
            await anyio.sleep(60)
            meter = meter_of(bench)
            answered, stored = meter.stages[Stage.PAGE_ANSWERED], meter.stages[Stage.PAGE_STORED]
            assert (answered.count, stored.count) == (1, 1)
            # The first page of all waits for the login, too: two requests of 20 ms.
            assert within(answered, 0.05) == 1
            assert (within(stored, 1.0), within(stored, 2.5)) == (0, 1)
            requests = meter.stages[Stage.REQUEST]
            assert (requests.count, within(requests, 0.025)) == (bench.vendor.requests, bench.vendor.requests) == (2, 2)
            assert (meter.batches.count, within(meter.batches, 1.0), within(meter.batches, 2.5)) == (1, 0, 1)

        await bench.during(script)

    on_virtual_clock(main)


def test_frames_are_timed_to_the_inbox_and_to_the_ledger() -> None:
    """A push that is stored at once: taken within a millisecond, stored when the ledger says so."""

    async def main() -> None:
        bench = Bench(live=True, every_s=1_000.0)
        bench.vendor.put("a", "1")

        async def script() -> None:
            await anyio.sleep(60)
            bench.ledger.latency_s = 0.1
            bench.vendor.put("a", "2")
            bench.vendor.put("b", "1")
            await anyio.sleep(10)
            meter = meter_of(bench)
            taken, stored = meter.stages[Stage.FRAME_TAKEN], meter.stages[Stage.FRAME_STORED]
            assert (taken.count, within(taken, 0.001)) == (2, 2)
            assert (stored.count, within(stored, 0.1), within(stored, 0.5)) == (2, 0, 2)
            assert meter.singles.count >= 1
            assert within(meter.singles, 0.1) < meter.singles.count

        await bench.during(script)

    on_virtual_clock(main)


def test_the_inbox_is_looked_at_now_and_not_when_it_was_emptied_last() -> None:
    """What waits while all is read shows at once, and an inbox that ran over is counted."""

    async def flood(offer: Offer, status: TaskStatus[None]) -> None:
        status.started()
        for number in range(3):
            offer(row(f"early-{number}"), 7)
        await anyio.sleep(30)
        for number in range(FRAMES + 1):
            offer(row(f"late-{number}"), 7)
        await anyio.sleep_forever()

    bench = Playhouse(flood)
    bench.ledger.latency_s = 5.0
    seen: list[tuple[int, int]] = []

    async def main() -> None:
        async def script() -> None:
            # The ledger takes 5 s to open, and 5 s for the first page.
            await anyio.sleep(0.1)
            with anyio.move_on_after(25):
                while not any(frames for frames, _ in seen):
                    seen.append(meter_of(bench).depth())
                    await anyio.sleep(0.1)
            bench.ledger.latency_s = 0.0
            await anyio.sleep(100)
            assert (3, 21) in seen
            assert meter_of(bench).overruns == 1
            assert meter_of(bench).depth() == (0, 0)

        await bench.during(script)

    bench.vendor.put("a", "1")
    on_virtual_clock(main)


def test_a_session_that_ends_is_counted_by_why() -> None:
    """By what marked the error where it was raised, and the attempt after it by its own."""
    attempts: list[int] = []

    async def fall_silent(offer: Offer, status: TaskStatus[None]) -> None:
        attempts.append(1)
        if len(attempts) == 2:
            raise marked(Retry("nobody there"), Ending.UNREACHABLE)
        status.started()
        await anyio.sleep(5)
        if len(attempts) == 1:
            raise marked(Retry("silence"), Ending.SILENT)
        await anyio.sleep_forever()

    bench = Playhouse(fall_silent)

    def check() -> None:
        endings = meter_of(bench).endings
        assert len(attempts) == 3
        assert {ending: count for ending, count in endings.items() if count} == {
            Ending.SILENT: 1,
            Ending.UNREACHABLE: 1,
        }

    run(bench, 400, check)


def test_where_nobody_can_be_asked_later_the_gap_is_open_until_the_session_is_back() -> None:
    """While only pushes tell and no session is open it grows; then it is announced, and counted with its length."""
    sessions: list[float] = []

    async def breaking(offer: Offer, status: TaskStatus[None]) -> None:
        sessions.append(anyio.current_time())
        status.started()
        if len(sessions) == 1:
            await anyio.sleep(5)
            raise Retry("gone", after=100.0)
        await anyio.sleep_forever()

    bench = Playhouse(breaking, walks=False)

    async def main() -> None:
        async def script() -> None:
            await anyio.sleep(50)
            opened = meter_of(bench).blind_since_ms
            assert opened is not None
            assert bench.runner.facts().counts.gaps == 0
            await anyio.sleep(150)
            assert len(sessions) == 2
            facts = bench.runner.facts()
            assert facts.meter.blind_since_ms is None
            assert facts.counts.gaps == 1
            assert math.isclose(facts.counts.gap_s, sessions[1] - sessions[0] - 5, abs_tol=0.1)

        await bench.during(script)

    on_virtual_clock(main)


def test_the_first_refusal_for_quota_is_a_surprise_and_the_next_is_not() -> None:
    """Our budget had room when it was asked; who is asked again after a refusal may refuse again."""

    async def main() -> None:
        setting = Setting()
        await setting.reader.page(ASK)
        setting.fault(THROTTLED, THROTTLED, None, THROTTLED)
        await setting.reader.page(ASK)
        assert setting.reader.meter.throttled == {Surprise.UNFORESEEABLE: 1, Surprise.FORESEEABLE: 1}
        await setting.reader.page(ASK)
        assert setting.reader.meter.throttled == {Surprise.UNFORESEEABLE: 2, Surprise.FORESEEABLE: 1}
        assert setting.quota.refusals == 3

    on_virtual_clock(main)


def shop(ledger: MemoryLedger, **given: Any) -> Instance:
    """An instance that takes webhooks."""
    return Instance(ledger, settings(**given))


def test_a_source_of_webhooks_tells_of_no_token_and_no_quota() -> None:
    """It logs in nowhere and asks nobody, so that there is neither to look after."""

    async def main() -> None:
        instance = shop(MemoryLedger())
        async with instance.running():
            assert (await instance(signed("msg_1", order("7", 1)))).status == 202
            facts = instance.runner.facts()
            assert facts.vitals is not None
            assert (facts.token, facts.vitals.quota) == (None, None)

    on_virtual_clock(main)


def test_webhooks_are_counted_by_class_and_timed_to_their_answer() -> None:
    """2xx, 4xx and 5xx, and what no source takes; refused before its body is read, it has taken no time."""

    async def main() -> None:
        ledger = MemoryLedger()
        instance = shop(ledger)
        assert instance.hooks.limit("GET", "/hooks/nobody") != 0
        async with instance.running():
            ledger.latency_s = 1.0
            assert (await instance(signed("msg_1", order("7", 1)))).status == 202
            ledger.latency_s = 0.0
            assert (await instance(signed("msg_1", order("7", 1)))).status == 202
            assert (await instance(post(b"{}"))).status == 401
            assert (await instance(post(b"{}", "/hooks/nobody"))).status == 404
            assert instance.hooks.limit("GET", "/hooks/shop") != 0
        await anyio.sleep(10)
        assert instance.hooks.limit("POST", "/hooks/shop") != 0
        meter = instance.door.meter
        assert meter.replies == {"2xx": 2, "3xx": 0, "4xx": 2, "5xx": 1}
        answered = meter.stages[Stage.WEBHOOK_ANSWERED]
        assert (answered.count, within(answered, 1.0), within(answered, 2.5)) == (3, 2, 3)
        assert instance.hooks.strays == 1
        assert instance.runner.facts().counts.unchanged + instance.runner.facts().counts.duplicates == 1

    on_virtual_clock(main)

"""A source of which only one half works: it is polled while nobody pushes, and listened to while a page fails."""

from __future__ import annotations

import anyio
import pytest
from anyio.abc import TaskStatus

from bridge.adapter import Json, Refused, Retry
from bridge.core.lifecycle import State
from bridge.engine.ports import Offer
from bridge.engine.vigil import SessionStatistics
from tests.support.engine import on_virtual_clock
from tests.support.scripted import Stage, row, run
from tests.support.sim_vendor import status as answer_status


@pytest.mark.parametrize("error", [Refused("the sub-protocol is not spoken"), Retry("502", after=900)])
def test_a_source_whose_live_session_fails_is_polled_meanwhile(error: Exception) -> None:
    """Live is for speed: without it changes come as fast as the walks are read."""

    async def hold(offer: Offer, status: TaskStatus[None]) -> None:
        raise error

    bench = Stage(hold)

    async def script() -> None:
        bench.vendor.put("a", "1")
        await anyio.sleep(100)
        bench.vendor.put("a", "2")
        await anyio.sleep(30)
        assert bench.runner.status.state is (State.BLOCKED if isinstance(error, Refused) else State.WAITING)

    on_virtual_clock(lambda: bench.during(script))
    bench.check()


def test_polling_meanwhile_goes_on_after_a_failed_page() -> None:
    """One answer that is a fault does not end it."""

    async def hold(offer: Offer, status: TaskStatus[None]) -> None:
        raise Refused("no")

    bench = Stage(hold)

    async def script() -> None:
        await anyio.sleep(100)
        bench.vendor.faults.append(answer_status(500))
        await anyio.sleep(20)
        bench.vendor.put("a", "1")
        await anyio.sleep(60)

    on_virtual_clock(lambda: bench.during(script))
    bench.check()


def test_a_page_that_fails_does_not_end_a_session_that_is_well() -> None:
    """What is pushed goes on while reading fails, and reading is tried again less and less often."""
    sessions = 0

    async def hold(offer: Offer, status: TaskStatus[None]) -> None:
        nonlocal sessions
        sessions += 1
        status.started()
        await anyio.sleep(100)
        for n in range(50):
            offer(row("a", str(n)), 1)
            await anyio.sleep(10)
        await anyio.sleep_forever()

    bench = Stage(hold)

    async def script() -> None:
        await anyio.sleep(95)
        bench.vendor.faults.extend([answer_status(500)] * 10_000)
        requests = bench.vendor.requests
        await anyio.sleep(495)
        assert bench.runner.status.state is State.LIVE
        assert bench.vendor.requests < requests + 25
        assert bench.own() == ["source.connected", "source.lost"]
        bench.vendor.faults.clear()
        bench.vendor.things.clear()
        await anyio.sleep(400)

    on_virtual_clock(lambda: bench.during(script))
    assert sessions == 1
    assert bench.values()["a"] == [str(n) for n in range(50)]
    assert bench.own() == ["source.connected", "source.lost", "source.recovered"]
    lost = next(e for e in bench.ledger.events if ".source.lost." in e.subject)
    assert lost.data["after"]["half"] == "reading"
    assert "2023-11-14T22:14:5" < lost.data["after"]["failing_since"] < "2023-11-14T22:15:10"


def test_what_failed_is_said_with_the_half_that_failed() -> None:
    """Live or all, since when, and when it is tried again."""

    async def hold(offer: Offer, status: TaskStatus[None]) -> None:
        raise Refused("no", after=900)

    bench = Stage(hold)
    run(bench, 5)
    blocked = next(e for e in bench.ledger.events if ".source.blocked." in e.subject).data["after"]
    assert blocked["half"] == "live"
    assert "2023-11-14T22:28:20" <= blocked["again"] < "2023-11-14T22:28:25"


def test_a_failure_the_vendor_pushes_is_a_reason_to_read() -> None:
    """It had something to tell and could not: the session goes on, and catch-up finds it."""

    async def hold(offer: Offer, status: TaskStatus[None]) -> None:
        status.started()
        await anyio.sleep(100)
        bench.vendor.put("a", "1")
        offer(Retry("BackendFailure"), 1)
        await anyio.sleep_forever()

    bench = Stage(hold, every_s=100_000.0)

    def check() -> None:
        assert bench.runner.status.state is State.LIVE

    run(bench, 110, check)
    assert len(bench.tokens) == 1
    bench.check()


def test_a_subscription_that_is_refused_is_remembered_until_it_is_taken() -> None:
    """In the stream, where `status` reads it, beside what was known of it."""
    statistics = SessionStatistics()

    async def hold(offer: Offer, status: TaskStatus[None]) -> None:
        statistics.off = {"things.c-1": "not in the schema"} if len(bench.tokens) < 2 else {}
        status.started()
        await anyio.sleep(100)
        raise Retry("hung up")

    bench = Stage(hold)
    bench.statistics = statistics
    seen: list[Json] = []

    async def script() -> None:
        await anyio.sleep(50)
        seen.append(bench.ledger.cursor("acme", "subscription-things"))
        await anyio.sleep(100)
        seen.append(bench.ledger.cursor("acme", "subscription-things"))

    on_virtual_clock(lambda: bench.during(script))
    refused, taken = seen
    assert refused["reason"] == "not in the schema"
    assert refused["off"].startswith("2023-11-14T22:13:2")
    assert taken == {}


def test_the_first_push_of_a_subscription_is_remembered() -> None:
    """Once, in the stream; a frame that tells nothing does not count."""

    async def hold(offer: Offer, status: TaskStatus[None]) -> None:
        status.started()
        for n in range(3):
            await anyio.sleep(100)
            offer({"operation": "things", **row("a", str(n))}, 1)
            offer({"operation": "others", "id": 1}, 1)
        await anyio.sleep_forever()

    bench = Stage(hold, every_s=100_000.0)
    run(bench, 500)
    assert bench.ledger.cursor("acme", "subscription-things")["first"] == "2023-11-14T22:15:00.020Z"
    assert bench.ledger.cursor("acme", "subscription-others") is None

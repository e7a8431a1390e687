"""Vendors that push and cannot be asked: what was missed is a gap."""

from __future__ import annotations

import anyio
import pytest
from anyio.abc import TaskStatus

from bridge.adapter import Retry
from bridge.core.lifecycle import State
from bridge.engine.ports import Offer
from tests.support.engine import Bench, on_virtual_clock
from tests.support.scripted import Stage, gaps, row, run
from tests.support.sim_vendor import status as answer_status
from tests.support.waiting import wait_until


def test_a_live_only_source_is_live_at_once() -> None:
    """There is nothing to catch up with."""

    async def hold(offer: Offer, status: TaskStatus[None]) -> None:
        status.started()
        offer(row("a"), 10)
        await anyio.sleep_forever()

    bench = Stage(hold, walks=False)

    def check() -> None:
        assert bench.runner.status.state is State.LIVE

    run(bench, 5, check)
    assert bench.changes() == [("a", "created")]
    assert gaps(bench) == []


def test_while_its_session_is_down_there_is_a_gap() -> None:
    """From when it went down to when it was up again."""

    async def hold(offer: Offer, status: TaskStatus[None]) -> None:
        status.started()
        await anyio.sleep(100)
        raise Retry("hung up", after=50)

    bench = Stage(hold, walks=False)
    run(bench, 140)
    assert gaps(bench) == []
    bench = Stage(hold, walks=False)
    run(bench, 170)
    (gap,) = gaps(bench)
    assert gap["from"] == "2023-11-14T22:15:00.020Z"
    assert gap["from"] < gap["to"] < "2023-11-14T22:16:00.000Z"


@pytest.mark.usefixtures("small_inbox")
def test_what_an_overrun_forgot_of_a_live_only_source_is_a_gap() -> None:
    """It reaches back to what was taken last, and is not empty."""

    async def hold(offer: Offer, status: TaskStatus[None]) -> None:
        status.started()
        await anyio.sleep(10)
        offer(row("a"), 1)
        await anyio.sleep(10)
        for _ in range(2_000):
            offer(row("b"), 1)
        await anyio.sleep_forever()

    bench = Stage(hold, walks=False)
    run(bench, 60)
    (gap,) = gaps(bench)
    assert gap["from"] == "2023-11-14T22:13:30.020Z"
    assert gap["to"] == "2023-11-14T22:13:40.020Z"


def test_frames_that_were_not_stored_when_the_session_ended_are_a_gap() -> None:
    """They arrived, and nobody can ask for them again: the gap begins before them, not when the session ended."""

    async def hold(offer: Offer, status: TaskStatus[None]) -> None:
        status.started()
        await anyio.sleep(10)
        bench.ledger.latency_s = 30.0
        offer(row("a"), 1)
        await anyio.sleep(20)
        bench.ledger.latency_s = 0.0
        raise Retry("hung up")

    bench = Stage(hold, walks=False)
    run(bench, 35)
    assert gaps(bench)[0]["from"] == "2023-11-14T22:13:30.020Z"


def test_frames_that_waited_for_the_first_reading_when_the_session_ended_are_a_gap() -> None:
    """Nobody had taken them yet: the gap begins when the first of them came."""

    async def hold(offer: Offer, status: TaskStatus[None]) -> None:
        status.started()
        await anyio.sleep(10)
        offer(row("a"), 1)
        await anyio.sleep(10)
        offer(row("b"), 1)
        await anyio.sleep(10)
        raise Retry("hung up")

    bench = Stage(hold)
    bench.pushed_only = True
    bench.vendor.faults.extend([answer_status(503)] * 1000)
    run(bench, 35)
    assert "2023-11-14T22:13:29.9" < gaps(bench)[0]["from"] < "2023-11-14T22:13:30.1"


@pytest.mark.usefixtures("small_inbox")
def test_what_an_overrun_forgot_before_the_first_reading_is_a_gap() -> None:
    """It reaches back to when the session began: nothing had been taken yet."""

    async def hold(offer: Offer, status: TaskStatus[None]) -> None:
        status.started()
        await anyio.sleep(1)
        for _ in range(2_000):
            offer(row("b"), 1)
        await anyio.sleep_forever()

    bench = Stage(hold)
    bench.pushed_only = True
    bench.vendor.faults.extend([answer_status(503)] * 5)
    run(bench, 100)
    assert [gap["from"] < "2023-11-14T22:13:21" for gap in gaps(bench)] == [True]


def test_pushes_wait_until_everything_was_read_once() -> None:
    """What exists is no news on a first read, also if it is pushed meanwhile; what is pushed last is told last."""
    bench = Bench(live=True, every_s=6_000.0, page_size=1, versioned=True)
    for name in "abcdefgh":
        bench.vendor.put(name, "1")

    async def script() -> None:
        await wait_until(lambda: len(bench.things()) == 2)
        bench.vendor.put("h", "2")
        bench.vendor.put("a", "2")
        assert bench.runner.status.state is State.CATCHING_UP
        await anyio.sleep(60)

    on_virtual_clock(lambda: bench.during(script))
    assert bench.changes() == [(name, "snapshot") for name in "abcdefgh"] + [("a", "updated")]
    bench.check()


def test_what_is_only_pushed_was_missed_while_no_process_was_there() -> None:
    """The stream says when somebody was there last: the gap begins then. On a first start nothing was missed."""

    async def hold(offer: Offer, status: TaskStatus[None]) -> None:
        status.started()
        await anyio.sleep_forever()

    bench = Stage(hold, every_s=10.0)
    bench.pushed_only = True

    async def script() -> None:
        await anyio.sleep(95)
        assert gaps(bench) == []
        bench.crash_at({bench._steps + 1})
        await anyio.sleep(30)

    on_virtual_clock(lambda: bench.during(script))
    assert bench.crashes == 1
    (gap,) = gaps(bench)
    assert "2023-11-14T22:14:40" < gap["from"] < "2023-11-14T22:14:56" < gap["to"] < "2023-11-14T22:15:20"


def test_what_is_only_pushed_is_missed_while_the_session_is_down() -> None:
    """Though other things of the vendor can be read."""

    async def hold(offer: Offer, status: TaskStatus[None]) -> None:
        status.started()
        await anyio.sleep(100)
        raise Retry("hung up", after=50)

    for pushed_only in (True, False):
        bench = Stage(hold)
        bench.pushed_only = pushed_only
        run(bench, 170)
        assert len(gaps(bench)) == pushed_only

"""Live sessions: what happens when they do not come about, end, flap, or are refused."""

from __future__ import annotations

import anyio
import pytest
from anyio.abc import TaskStatus

from bridge.adapter import Refused, Retry, Unauthorized
from bridge.core.lifecycle import State
from bridge.engine.live import CONNECT_DEADLINE_S
from bridge.engine.ports import Offer
from tests.support.engine import Bench, on_virtual_clock
from tests.support.scripted import Stage, run
from tests.support.waiting import wait_until


def test_a_session_that_is_never_subscribed_is_given_up() -> None:
    """It is the vendor's failure and no bug: reported, and tried again."""

    async def hang(offer: Offer, status: TaskStatus[None]) -> None:
        await anyio.sleep_forever()

    bench = Stage(hang)

    def check() -> None:
        assert bench.runner.status.state is State.WAITING
        assert "not subscribed within 60 s" in bench.runner.status.reason

    run(bench, CONNECT_DEADLINE_S + 0.05, check)


def test_a_session_that_just_ends_is_a_failure() -> None:
    """Quiet and dead are told apart: a feed that returns does not leave the source deaf."""

    async def leave(offer: Offer, status: TaskStatus[None]) -> None:
        status.started()
        await anyio.sleep(5)

    bench = Stage(leave)
    run(bench, 200)
    assert len(bench.tokens) > 5


@pytest.mark.parametrize("during", ["connect", "session", "frame"])
def test_a_refused_token_is_renewed_once(during: str) -> None:
    """Wherever the vendor says so; then the session goes on with the new one."""
    refusals = [Unauthorized("401")]

    async def hold(offer: Offer, status: TaskStatus[None]) -> None:
        if refusals and during == "connect":
            raise refusals.pop()
        status.started()
        if refusals:
            await anyio.sleep(20)
            if during == "session":
                raise refusals.pop()
            offer(refusals.pop(), 1)
        await anyio.sleep_forever()

    bench = Stage(hold, every_s=6_000.0)

    def check() -> None:
        assert bench.runner.status.state is State.LIVE

    run(bench, 100, check)
    assert len({token.value.bare() for token in bench.tokens}) == 2


def test_a_renewed_token_that_is_refused_blocks_the_source() -> None:
    """It has not merely expired."""

    async def hold(offer: Offer, status: TaskStatus[None]) -> None:
        raise Unauthorized("401")

    bench = Stage(hold)

    def check() -> None:
        assert bench.runner.status.state is State.BLOCKED
        assert "refused again with a new token" in bench.runner.status.reason

    run(bench, 60, check)
    assert bench.vendor.logins == 2
    assert bench.own() == ["source.blocked"]


def test_a_token_that_lapses_every_hour_blocks_nothing() -> None:
    """Each session that came about was accepted: what is refused later has expired."""

    async def hold(offer: Offer, status: TaskStatus[None]) -> None:
        status.started()
        await anyio.sleep(3_600)
        raise Unauthorized("expired")

    bench = Stage(hold, every_s=100_000.0)
    run(bench, 36_000)
    assert len(bench.tokens) == 10
    assert "source.blocked" not in bench.own()


@pytest.mark.parametrize("error", [Refused("403"), Retry("502")])
def test_a_frame_may_end_the_session(error: Exception) -> None:
    """What the adapter makes of it is what happens next."""

    async def hold(offer: Offer, status: TaskStatus[None]) -> None:
        status.started()
        await anyio.sleep(10)
        offer(error, 1)
        await anyio.sleep_forever()

    bench = Stage(hold, every_s=6_000.0)
    run(bench, 1_000)
    assert ("source.blocked" in bench.own()) == isinstance(error, Refused)


def test_a_flapping_session_is_tried_less_and_less_often() -> None:
    """One that lives for a moment has not proved itself, however often it is caught up."""

    async def hold(offer: Offer, status: TaskStatus[None]) -> None:
        status.started()
        await anyio.sleep(2)
        raise Retry("hung up")

    bench = Stage(hold)
    run(bench, 3_600)
    assert 10 < len(bench.tokens) < 60


def test_a_session_that_lasted_is_reconnected_at_once() -> None:
    """After a minute the back-off starts over."""

    async def hold(offer: Offer, status: TaskStatus[None]) -> None:
        status.started()
        await anyio.sleep(100)
        raise Retry("hung up")

    bench = Stage(hold, every_s=6_000.0)
    run(bench, 3_600)
    assert len(bench.tokens) >= 34


def test_a_pass_that_began_before_the_session_proves_nothing_for_it() -> None:
    """Pages read before the session was cut may have changed meanwhile: they are read again on the next one."""
    bench = Bench(live=True, every_s=100_000.0, page_size=1)
    bench.vendor.push = lambda row: []
    for name in "abcdefgh":
        bench.vendor.put(name, "1")

    async def script() -> None:
        await wait_until(lambda: len(bench.things()) == 4)
        bench.vendor.hang_up()
        bench.vendor.put("a", "2")
        await anyio.sleep(100)
        assert bench.runner.status.state is State.LIVE

    on_virtual_clock(lambda: bench.during(script))
    bench.check()


@pytest.mark.usefixtures("small_inbox")
def test_what_an_overrun_forgot_is_found_though_a_pass_was_under_way() -> None:
    """The pass that was under way had read its first pages already."""
    bench = Bench(live=True, every_s=500.0, page_size=1)
    for name in "abcdefgh":
        bench.vendor.put(name, "1")
    offered = 0

    async def script() -> None:
        nonlocal offered
        await anyio.sleep(400)
        assert bench.runner.status.state is State.LIVE
        requests = bench.vendor.requests
        await wait_until(lambda: bench.vendor.requests == requests + 4, 1_000)
        bench.vendor.put("a", "2")
        for _ in range(1_001):
            bench.vendor.offer({"id": "z", "value": "gone", "n": 0})
        await anyio.sleep(100)
        assert bench.runner.status.inbox is not None
        assert bench.runner.status.inbox.overruns == 1

    on_virtual_clock(lambda: bench.during(script))
    bench.check()


def test_a_push_that_waited_while_something_newer_was_read_is_outdated() -> None:
    """It arrived before the page was asked for, so the page is newer, though the push is looked at later."""
    bench = Bench(live=True, every_s=6_000.0, page_size=1)
    for name in "abcdefgh":
        bench.vendor.put(name, "1")

    async def script() -> None:
        await wait_until(lambda: len(bench.things()) == 2)
        bench.vendor.put("h", "2")
        bench.vendor.push = lambda row: []
        bench.vendor.put("h", "3")
        await anyio.sleep(30)

    on_virtual_clock(lambda: bench.during(script))
    assert bench.values()["h"] == ["3"]
    bench.check()


def test_a_cursor_whose_write_was_cut_off_is_looked_up() -> None:
    """The session ended while a page was being stored: what became of it is asked, and nobody else is suspected."""
    bench = Bench(live=True, every_s=5.0)
    bench.vendor.push = lambda row: []
    bench.vendor.put("a", "1")
    cut_off = 0

    def step(name: str) -> None:
        nonlocal cut_off
        if name == "commit.stored":
            cut_off += 1
            bench.vendor.hang_up()

    async def script() -> None:
        await anyio.sleep(30)
        bench.ledger.latency_s = 0.5
        for n in range(5):
            bench.ledger.on_step = step
            bench.vendor.put("a", f"again {n}")
            await wait_until(lambda: cut_off > n, 600)  # noqa: B023 - awaited at once
            bench.ledger.on_step = lambda _: None
            await anyio.sleep(100)

    on_virtual_clock(lambda: bench.during(script))
    assert bench.ledger.opened == 1
    bench.check()


def test_a_cursor_whose_write_was_cut_off_is_looked_up_before_the_next_pass_asks() -> None:
    """It was stored all the same: who asked without it would look back from now only, however long nobody was there."""
    bench = Bench(live=True, every_s=5.0)
    bench.vendor.push = lambda row: []
    bench.vendor.put("a", "1")
    asked: dict[str, int] = {}

    def step(name: str) -> None:
        if asked or name == "commit.stored":
            asked.setdefault(name, bench.vendor.requests)
        if list(asked) == ["commit.stored"]:
            bench.vendor.hang_up()

    async def script() -> None:
        await anyio.sleep(60)

    bench.ledger.latency_s = 0.5
    bench.ledger.on_step = step
    on_virtual_clock(lambda: bench.during(script))
    assert asked["cursor"] == asked["commit.stored"]
    bench.check()

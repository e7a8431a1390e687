"""Budgets that several sources share."""

from __future__ import annotations

import math

import anyio
import pytest
from anyio.abc import TaskStatus
from structlog.testing import capture_logs

from bridge.core.budget import Allowance, Block, Limit
from bridge.core.errors import Throttled
from bridge.core.facts import Walk
from bridge.engine.inbox import Inbox
from bridge.engine.pace import Paced
from bridge.engine.ports import Offer
from bridge.engine.quota import FIRST_PAUSE_S, Quota, Quotas
from tests.support.engine import on_virtual_clock


def test_who_asks_first_goes_first() -> None:
    """Also when the first one wants more than those behind it."""

    async def main() -> None:
        quota, order = Quota(Limit(1, 10.0)), []

        async def ask(name: str, cost: int) -> None:
            await quota.take(cost)
            order.append(name)

        async with anyio.create_task_group() as group:
            for name, cost in [("a", 1), ("b", 5), ("c", 1), ("d", 1)]:
                group.start_soon(ask, name, cost)
                await anyio.wait_all_tasks_blocked()
        assert order == ["a", "b", "c", "d"]

    on_virtual_clock(main)


@pytest.mark.parametrize("limit", [Limit(1, 10.0), Limit(7, 60.0), Limit(100, 60.0)])
def test_no_window_holds_more_than_the_limit(limit: Limit) -> None:
    """However many wait: wherever a window of the limit's length begins."""

    async def main() -> None:
        quota, times = Quota(limit), []

        async def ask() -> None:
            for _ in range(limit.requests):
                await quota.take()
                times.append(anyio.current_time())

        async with anyio.create_task_group() as group:
            for _ in range(4):
                group.start_soon(ask)
        for begin in times:
            assert sum(begin <= time < begin + limit.seconds - 1e-6 for time in times) <= limit.requests

    on_virtual_clock(main)


def test_everyone_pauses_for_as_long_as_the_vendor_says() -> None:
    """Also who waits already; a second, shorter refusal does not shorten the pause."""

    async def main() -> None:
        quota, times = Quota(Limit(1_000, 1.0)), []
        start = anyio.current_time()

        async def ask() -> None:
            await quota.take()
            times.append(anyio.current_time() - start)

        assert quota.throttled(Throttled("429", after=30)) == 30
        async with anyio.create_task_group() as group:
            group.start_soon(ask)
            group.start_soon(ask)
            await anyio.sleep(20)
            quota.throttled(Throttled("429", after=40))
            quota.throttled(Throttled("429", after=1))
        assert min(times) == 60

    on_virtual_clock(main)


@pytest.mark.parametrize("after", [1e9, 1e12, 1e17, math.inf])
def test_a_vendor_that_asks_for_ages_is_asked_again_after_a_day(after: float) -> None:
    """Nothing would ever correct a slip of the vendor's, and some moments have no date."""

    async def main() -> None:
        quota = Quota(Limit(50, 900.0), lambda: 1_700_000_000_000)
        assert quota.throttled(Throttled("429", after=after)) == 86_400
        begun = anyio.current_time()
        await quota.take()
        assert anyio.current_time() - begun == pytest.approx(86_400)

    on_virtual_clock(main)


def test_pauses_without_a_time_double_until_a_request_passes() -> None:
    """Up to a bound."""

    async def main() -> None:
        quota = Quota(Limit(1, 1.0))
        pauses = [quota.throttled(Throttled("429")) for _ in range(10)]
        assert pauses == [FIRST_PAUSE_S * 2 ** min(at, 6) for at in range(10)]
        quota.passed()
        assert quota.throttled(Throttled("429")) == FIRST_PAUSE_S
        assert quota.refusals == 11

    on_virtual_clock(main)


def test_a_limit_that_the_vendor_names_counts_from_then_on() -> None:
    """Learned once, for all who share it."""

    async def main() -> None:
        quota = Quota(Limit(100, 60.0))
        quota.throttled(Throttled("429", after=0, limit=Limit(2, 60.0)))
        start = anyio.current_time()
        for _ in range(5):
            await quota.take()
        assert anyio.current_time() - start > 60

    on_virtual_clock(main)


def test_who_is_cancelled_while_waiting_takes_nothing() -> None:
    """Neither the turn nor the budget is lost."""

    async def main() -> None:
        quota = Quota(Limit(1, 10.0))
        start = anyio.current_time()
        await quota.take()
        for _ in range(3):
            with anyio.move_on_after(1):
                await quota.take()
        await quota.take()
        assert anyio.current_time() - start == pytest.approx(10)

    on_virtual_clock(main)


def test_sources_with_the_same_key_share_one_quota() -> None:
    """The first who asks brings the limit to start from."""
    quotas = Quotas()
    one = quotas.of("key", Limit(1, 1.0))
    assert quotas.of("key", Limit(9, 9.0)) is one
    assert quotas.of("other", Limit(9, 9.0)) is not one
    assert one.budget.limit == Limit(1, 1.0)


def test_a_limit_out_of_all_proportion_is_not_believed() -> None:
    """Prose that names one request a day, or a billion a second, does not stop the source or free it of its quota."""

    async def main() -> None:
        quota = Quota(Limit(100, 60.0))
        for limit in (Limit(1, 86_400.0), Limit(10**9, 1.0)):
            quota.throttled(Throttled("429", after=0, limit=limit))
            assert quota.budget.limit == Limit(100, 60.0)

    on_virtual_clock(main)


def test_who_spares_some_does_not_hold_up_who_spares_none() -> None:
    """A walk that leaves five of ten to others waits for them to be regained; an urgent one goes past it at once."""

    async def main() -> None:
        quota, times = Quota(Limit(100, 91.0, 10)), {}
        for _ in range(5):
            await quota.take()
        start = anyio.current_time()

        async def ask(name: str, spares: int, need: int = 1) -> None:
            await quota.take(spares=spares, need=need)
            times[name] = anyio.current_time() - start

        async with anyio.create_task_group() as group:
            for name, spares, need in (("patient", 5, 1), ("costly", 5, 3), ("urgent", 0, 1)):
                group.start_soon(ask, name, spares, need)
                await anyio.wait_all_tasks_blocked()
        assert times == {"urgent": 0.0, "patient": pytest.approx(2.0), "costly": pytest.approx(5.0)}

    on_virtual_clock(main)


def test_what_answers_tell_holds_for_all_who_share_the_quota() -> None:
    """Others have taken nearly everything: who asks next waits, though we sent but one request."""

    async def main() -> None:
        quota = Quota(Limit(1_000, 3_600.0, 26))
        await quota.take()
        assert quota.told(anyio.current_time(), Allowance(26, 0, 93.6)) is None
        start = anyio.current_time()
        await quota.take()
        assert anyio.current_time() - start > 3.6

    on_virtual_clock(main)


def test_a_long_wait_is_logged_once_and_so_is_its_end() -> None:
    """However many wait, and for whatever reason: seconds, until when, and what to do; nothing of the key."""

    async def main() -> None:
        quota = Quotas(lambda: 1_767_225_600_000).of("the-key", Limit(1_000, 3_600.0, 26))
        with capture_logs() as logs:
            quota.throttled(Throttled("429", after=40))
            quota.throttled(Throttled("429", after=40))
            async with anyio.create_task_group() as group:
                for _ in range(5):
                    group.start_soon(quota.take)
            quota.passed()
            quota.passed()
        assert [line["event"] for line in logs] == ["quota.paused", "quota.resumed"]
        paused, resumed = logs
        assert (paused["seconds"], paused["until"]) == (40, "2026-01-01T00:00:40.000Z")
        assert paused["quota"] == "1000 requests in 3600 s"
        assert paused["advice"]
        assert resumed["seconds"] == 40
        assert "the-key" not in str(logs)

    on_virtual_clock(main)


def test_the_usual_pace_of_a_small_quota_is_said_once() -> None:
    """A minute for each request is how it is meant, and no warning; ten seconds or less is not even said."""

    async def main() -> None:
        with capture_logs() as logs:
            slow, brisk = Quota(Limit(1, 60.0)), Quota(Limit(1, 10.0))
            for quota in (slow, brisk):
                for _ in range(20):
                    await quota.take()
                    quota.passed()
        assert [(line["event"], line["log_level"], line["every_s"]) for line in logs] == [("quota.paced", "info", 60.0)]

    on_virtual_clock(main)


def test_a_block_that_others_have_spent_is_logged_once_and_so_is_its_end() -> None:
    """Nothing goes until the next block, though the pace would be a request in 22.5 s; at that pace it has resumed."""

    async def main() -> None:
        quota, ends = Quota(Limit(50, 900.0, 1, reserve=10)), anyio.current_time() + 800
        with capture_logs() as logs:
            quota.ended(await quota.take(), Block(12, 800))
            quota.passed()
            quota.ended(await quota.take(), Block(10, ends - anyio.current_time()))
            for _ in range(10):
                ticket = await quota.take()
                assert anyio.current_time() >= ends
                quota.ended(ticket, Block(49, ends + 900 - anyio.current_time()))
                quota.passed()
        told = [(line["event"], line.get("reason", "")) for line in logs if line["event"] != "quota.paced"]
        assert told == [("quota.paused", "the quota is spent"), ("quota.resumed", "")]
        assert "until" not in logs[0]

    on_virtual_clock(main)


def test_a_storm_of_refusals_is_not_a_storm_of_lines() -> None:
    """Of 35 refusals in a quarter of an hour, each for 25 s, one is said; all are counted."""

    async def main() -> None:
        quota = Quota(Limit(50, 900.0, 5))
        with capture_logs() as logs:
            for _ in range(35):
                quota.throttled(Throttled("429", after=25))
                await anyio.sleep(25)
        assert [line["event"] for line in logs] == ["quota.paused"]
        assert quota.refusals == 35

    on_virtual_clock(main)


def test_a_pause_that_grows_is_said_again() -> None:
    """A vendor that refuses for a minute, and then for an hour."""

    async def main() -> None:
        quota = Quota(Limit(1_000, 3_600.0, 26))
        with capture_logs() as logs:
            for after in (60, 3_600):
                quota.throttled(Throttled("429", after=after))
        assert [line["seconds"] for line in logs] == [60, 3_600]

    on_virtual_clock(main)


def test_a_block_is_known_to_all_who_share_the_quota() -> None:
    """One answer says that two are left: of five who ask two go, and the others when the next block has begun."""

    async def main() -> None:
        quota, times = Quota(Limit(50, 900.0)), []
        start = anyio.current_time()
        quota.ended(await quota.take(), Block(2, 100.5))

        async def ask() -> None:
            ticket = await quota.take()
            times.append(anyio.current_time() - start)
            quota.ended(ticket)

        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(ask)
        assert times[1] < 100
        assert all(100.5 <= time <= 100.5 + 50 for time in times[2:])
        assert quota.gauge().resets_s == pytest.approx(900 + 100.5 - times[-1], abs=0.01)

    on_virtual_clock(main)


def test_a_refusal_without_a_time_lasts_until_the_block_ends() -> None:
    """The vendor's words may be anybody's language; when the block ends it has told before."""

    async def main() -> None:
        quota = Quota(Limit(50, 900.0))
        quota.ended(await quota.take(), Block(7, 300.5))
        assert quota.throttled(Throttled("429")) == pytest.approx(300.5, abs=0.01)
        assert quota.throttled(Throttled("429", after=20)) == 20
        start = anyio.current_time()
        await quota.take()
        assert anyio.current_time() - start == pytest.approx(300.5, abs=0.01)
        assert quota.refusals == 2

    on_virtual_clock(main)


def test_those_who_share_a_quota_share_a_plan() -> None:
    """Two sources want ten seconds each for a walk of one request; nine requests a minute are there."""

    async def main() -> None:
        quota, walk = Quota(Limit(10, 60.0, 1, reserve=1)), Walk("things", "thing", 10.0)
        quota.plan.enter("one", [walk])
        one, other = quota.planner("one"), quota.planner("other")
        assert (one(walk).every_s, one(walk).scarce) == (10.0, False)
        quota.plan.enter("other", [walk])
        assert one(walk).scarce
        assert one(walk).every_s == pytest.approx(2 * 60 / 9 / 1.05)
        assert other(walk) == one(walk)

    on_virtual_clock(main)


def test_a_door_remembers_nobody_who_went_through() -> None:
    """A session is no request that is on its way: thousands of them leave nothing behind."""

    class Feed:
        async def hold(self, offer: Offer, *, task_status: TaskStatus[None]) -> None:
            """Ends at once."""

    async def main() -> None:
        turns = Quota(Limit(50, 1.0, 10))
        for _ in range(200):
            await Paced(Feed(), turns).hold(Inbox(), task_status=anyio.TASK_STATUS_IGNORED)
        assert turns.budget._blocks._sent == {}
        assert turns.budget._blocks._silent == []

    on_virtual_clock(main)


def test_a_limit_that_is_configured_anew_counts_from_then_on() -> None:
    """Up and down, burst and reserve with it; what was spent and a pause stay, and a limit out of all proportion is
    measured by the new one."""

    async def main() -> None:
        quota = Quota(Limit(10, 10.0, burst=1))
        quota.configure(Limit(100, 10.0, burst=1))
        began = anyio.current_time()
        for _ in range(50):
            await quota.take()
        assert anyio.current_time() - began == pytest.approx(4.9, abs=0.3)
        quota.configure(Limit(1, 10.0, burst=1))
        await quota.take()
        began = anyio.current_time()
        await quota.take()
        assert anyio.current_time() - began == pytest.approx(10.0, abs=0.3)
        quota.throttled(Throttled("429", after=60.0))
        quota.configure(Limit(1000, 10.0, burst=5))
        began = anyio.current_time()
        ticket = await quota.take()
        assert anyio.current_time() - began >= 60.0
        quota.ended(ticket)
        assert quota.gauge().limit == Limit(1000, 10.0, burst=5)
        assert quota._plausible(Limit(20, 10.0))
        assert not quota._plausible(Limit(1, 10.0))

    on_virtual_clock(main)

"""Budgets that several sources share."""

from __future__ import annotations

import anyio
import pytest
from structlog.testing import capture_logs

from bridge.core.budget import Allowance, Limit
from bridge.core.errors import Throttled
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


def test_a_spent_quota_is_logged_and_its_usual_pace_is_not() -> None:
    """A minute for each request is said once and not with each; a wait of ten seconds or less never."""

    async def main() -> None:
        with capture_logs() as logs:
            slow, brisk = Quota(Limit(1, 60.0)), Quota(Limit(1, 10.0))
            for quota in (slow, brisk):
                for _ in range(20):
                    await quota.take()
                    quota.passed()
        assert [(line["event"], line["seconds"]) for line in logs] == [("quota.paused", 60)]
        assert "until" not in logs[0]

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

"""What is read while the first live session of a life opens and settles."""

from __future__ import annotations

import anyio
import pytest
from anyio.abc import TaskStatus

from bridge.adapter import Retry
from bridge.engine.ports import Offer
from tests.support.engine import on_virtual_clock
from tests.support.scripted import Hold, Stage, gaps

SETTLES_S = 30.0


def settling(seconds: float) -> Hold:
    """A session that says nothing for so long, and is held then."""

    async def hold(offer: Offer, task_status: TaskStatus[None]) -> None:
        await anyio.sleep(seconds)
        task_status.started()
        await anyio.sleep_forever()

    return hold


def two_lives(first: Stage, away_s: float, second: Stage, seconds: float) -> None:
    """`first` runs for a minute, nobody for `away_s`, and `second` for so many seconds."""

    async def main() -> None:
        async def minute() -> None:
            await anyio.sleep(60)

        await first.during(minute)
        await anyio.sleep(away_s)

        async def rest() -> None:
            await anyio.sleep(seconds)

        await second.during(rest)

    on_virtual_clock(main)


def test_what_was_missed_is_stored_before_the_session_has_settled_and_what_came_meanwhile_after_it() -> None:
    """A session that settles for half a minute: the pages do not wait for it, and are read again then."""
    stage = Stage(settling(0), every_s=100_000.0, page_size=1)
    again = Stage(settling(SETTLES_S), every_s=100_000.0, page_size=1, beside=stage)
    stage.vendor.push = lambda row: []
    stage.vendor.put("a", "1")

    async def main() -> None:
        async def minute() -> None:
            await anyio.sleep(60)

        await stage.during(minute)
        stage.vendor.put("b", "1")

        async def script() -> None:
            await anyio.sleep(SETTLES_S / 2)
            assert again.runner.status.state == "connecting"
            assert again.changes() == [("a", "snapshot"), ("b", "created")]
            # Read already, and not pushed: nobody listens yet.
            stage.vendor.put("a", "2")
            await anyio.sleep(SETTLES_S)
            assert again.runner.status.state == "live"

        await again.during(script)

    on_virtual_clock(main)
    assert again.changes()[2:] == [("a", "updated")]
    again.check()


def test_a_pass_that_stood_in_its_middle_when_the_session_settled_begins_anew() -> None:
    """Its first pages were read before anybody listened: what changed on them since is neither there nor pushed."""
    stage = Stage(settling(0), every_s=100_000.0, page_size=1)
    again = Stage(settling(SETTLES_S), every_s=100_000.0, page_size=1, beside=stage)
    stage.vendor.push = lambda row: []
    for name in "abcdefgh":
        stage.vendor.put(name, "1")

    async def main() -> None:
        async def minute() -> None:
            await anyio.sleep(60)

        await stage.during(minute)
        stage.vendor.delay_s = 5.0

        async def script() -> None:
            await anyio.sleep(SETTLES_S - 1)
            stage.vendor.put("a", "2")
            await anyio.sleep(100)

        await again.during(script)

    on_virtual_clock(main)
    assert ("a", "updated") in again.changes()
    again.check()


def test_a_session_that_opens_at_once_is_read_once() -> None:
    """Nothing is asked for twice where there is nothing to wait for."""
    stage = Stage(settling(0), every_s=100_000.0, page_size=10)
    again = Stage(settling(0), every_s=100_000.0, page_size=10, beside=stage)
    stage.vendor.put("a", "1")
    two_lives(stage, 0, again, 60)
    assert stage.vendor.requests - stage.vendor.logins == 2


def test_a_vendor_that_has_just_begun_deletes_nothing() -> None:
    """Rows that its list lacks for ten seconds: two looks in a row, one ahead and one in the session, would take them
    for gone."""
    stage = Stage(settling(2), every_s=600.0, deletes=True)
    again = Stage(settling(2), every_s=600.0, deletes=True, beside=stage)
    for number in range(100):
        stage.vendor.put(f"{number:04}", "1")

    async def main() -> None:
        async def minute() -> None:
            await anyio.sleep(60)

        await stage.during(minute)
        whole = dict(stage.vendor.things)
        for number in range(5):
            del stage.vendor.things[f"{number:04}"]

        async def script() -> None:
            await anyio.sleep(10)
            stage.vendor.things.update(whole)
            await anyio.sleep(1500)

        await again.during(script)

    on_virtual_clock(main)
    assert {change for _, change in again.changes()} == {"snapshot"}


@pytest.mark.parametrize("refused", [0, 3])
def test_what_only_a_push_would_have_told_is_a_gap_from_the_last_life_on(refused: int) -> None:
    """Reading ahead, or meanwhile, moves the cursor that tells when anybody was there last."""
    opened = 0

    async def hold(offer: Offer, task_status: TaskStatus[None]) -> None:
        nonlocal opened
        opened += 1
        if 1 < opened <= 1 + refused:
            raise Retry("not yet")
        await settling(2)(offer, task_status)

    stage = Stage(hold, every_s=10.0)
    again = Stage(hold, every_s=10.0, beside=stage)
    stage.pushed_only = again.pushed_only = True
    stage.vendor.put("a", "1")
    two_lives(stage, 3600, again, 60)
    (gap,) = gaps(again)
    assert gap["from"].startswith("2023-11-14T22:14:")
    assert gap["to"].startswith("2023-11-14T23:14:")


def test_a_session_that_does_not_open_costs_no_readings() -> None:
    """Each attempt fails after a second, for six hours: what is read is what is due."""

    async def hold(offer: Offer, task_status: TaskStatus[None]) -> None:
        await anyio.sleep(1)
        raise Retry("handshake timed out")

    stage = Stage(settling(0), every_s=3600.0, page_size=10)
    again = Stage(hold, every_s=3600.0, page_size=10, beside=stage)
    for number in range(500):
        stage.vendor.put(f"{number:04}", "1")
    two_lives(stage, 0, again, 6 * 3600)
    # 51 pages each: once before, once ahead, and hourly.
    assert stage.vendor.requests - stage.vendor.logins <= 51 * 9


def test_a_pass_longer_than_a_session_comes_to_its_end() -> None:
    """What is under way when a session ends is gone on with: reading ahead is for the first session of a life."""

    async def hold(offer: Offer, task_status: TaskStatus[None]) -> None:
        await anyio.sleep(2)
        task_status.started()
        await anyio.sleep(60)
        raise Retry("hung up", after=1)

    stage = Stage(hold, every_s=600.0, page_size=1)
    for number in range(300):
        stage.vendor.put(f"{number:04}", "1")
    stage.vendor.delay_s = 0.5

    async def script() -> None:
        await anyio.sleep(1200)

    on_virtual_clock(lambda: stage.during(script))
    assert len({id_ for id_, _ in stage.changes()}) == 300
    stage.check()

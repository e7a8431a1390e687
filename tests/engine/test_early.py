"""What is read while a live session opens and settles."""

from __future__ import annotations

import anyio
from anyio.abc import TaskStatus

from bridge.engine.ports import Offer
from tests.support.engine import on_virtual_clock
from tests.support.scripted import Stage

SETTLES_S = 30.0


def test_what_was_missed_is_stored_before_the_session_has_settled_and_what_came_meanwhile_after_it() -> None:
    """A session that says nothing for half a minute: first pages do not wait for it, and are read again after it."""
    stage: Stage

    async def settling(offer: Offer, task_status: TaskStatus[None]) -> None:
        await anyio.sleep(SETTLES_S)
        task_status.started()
        await anyio.sleep_forever()

    stage = Stage(settling, every_s=100_000.0, page_size=1)
    stage.vendor.push = lambda row: []
    stage.vendor.put("a", "1")
    stage.vendor.put("b", "1")

    async def script() -> None:
        await anyio.sleep(SETTLES_S / 2)
        assert stage.runner.status.state == "connecting"
        assert stage.changes() == [("a", "snapshot"), ("b", "snapshot")]
        # Already read, and not pushed: nobody listens yet.
        stage.vendor.put("a", "2")
        await anyio.sleep(SETTLES_S)
        assert stage.runner.status.state == "live"

    on_virtual_clock(lambda: stage.during(script))
    stage.check()


def test_a_session_that_opens_at_once_is_read_once() -> None:
    """Nothing is asked for twice where there is nothing to wait for."""

    async def at_once(offer: Offer, task_status: TaskStatus[None]) -> None:
        task_status.started()
        await anyio.sleep_forever()

    stage = Stage(at_once, every_s=100_000.0, page_size=10)
    stage.vendor.put("a", "1")

    async def script() -> None:
        await anyio.sleep(10)
        # A token, and one page.
        assert stage.vendor.requests - stage.vendor.logins == 1

    on_virtual_clock(lambda: stage.during(script))
    stage.check()

"""What runs beside the sources is kept running, and can end nothing else."""

from __future__ import annotations

from itertools import pairwise

import anyio
from structlog.testing import capture_logs

from bridge.cli.services import keep
from bridge.core.errors import Away
from tests.support.engine import on_virtual_clock


def test_what_the_outside_world_does_is_said_once_and_tried_again() -> None:
    """Every five seconds; another reason is said, the same not, unless it has run for a minute in between."""
    moments: list[float] = []

    async def service() -> None:
        moments.append(anyio.current_time() - began)
        count = len(moments)
        if count == 5:
            await anyio.sleep(60)
        if count == 7:
            return
        raise Away("the port is taken" if count != 3 else "the name is unknown")

    began = 0.0

    async def script() -> None:
        nonlocal began
        began = anyio.current_time()
        await keep("page", service)

    with capture_logs() as logs:
        on_virtual_clock(script)
    assert [round(moment) for moment in moments] == [0, 5, 10, 15, 20, 85, 90]
    assert [(line["event"], line["service"], line["reason"]) for line in logs] == [
        ("service.failed", "page", "the port is taken"),
        ("service.failed", "page", "the name is unknown"),
        ("service.failed", "page", "the port is taken"),
        ("service.failed", "page", "the port is taken"),
    ]


def test_a_bug_is_shown_and_the_service_started_again_ever_later() -> None:
    """With its trace; the pauses double. Conditions in a group are no bug, a group with a bug is one."""
    moments: list[float] = []

    async def service() -> None:
        moments.append(anyio.current_time())
        if len(moments) == 4:
            raise ExceptionGroup("several", [Away("gone"), Away("gone")])
        if len(moments) == 5:
            return
        raise ExceptionGroup("several", [Away("gone"), ZeroDivisionError()])

    async def script() -> None:
        await keep("page", service, roll=lambda: 1.0)

    with capture_logs() as logs:
        on_virtual_clock(script)
    assert [round(after - before) for before, after in pairwise(moments)] == [5, 10, 20, 5]
    assert [line["event"] for line in logs] == ["service.bug"] * 3 + ["service.failed"]
    assert [line["restart_in_s"] for line in logs[:3]] == [5.0, 10.0, 20.0]
    assert all(line["exc_info"] for line in logs[:3])
    assert logs[3]["reason"] == "gone"

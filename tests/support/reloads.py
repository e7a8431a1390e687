"""A daemon's configuration changed while it runs: the signal, and what came of it."""

from __future__ import annotations

import signal
from typing import Any

from tests.support.program import Child
from tests.support.waiting import wait_until

ENDINGS = ("reload.applied", "reload.refused")


def reloads(daemon: Child) -> list[dict[str, Any]]:
    """How each reload of its present life went: the lines of the log."""
    return [line for line in daemon.lines(-1) if line["event"] in ENDINGS]


async def sighup(daemon: Child) -> dict[str, Any]:
    """Have it read its configuration anew; what the log says of that. Nothing else is under way."""
    before = len(reloads(daemon))
    daemon.send(signal.SIGHUP)
    await wait_until(
        lambda: len(reloads(daemon)) > before or not daemon.running, 60, f"a reload to end:\n{daemon.tail()}"
    )
    assert daemon.running, daemon.tail()
    return reloads(daemon)[-1]

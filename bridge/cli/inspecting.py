"""Looks now and then whether somebody has altered the streams, as nothing on the server says so."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Never

import anyio

from bridge.core.errors import Away

if TYPE_CHECKING:
    from bridge.cli.daemon import Daemon

EVERY_S = 10.0
"""For so long it may go unnoticed, in seconds. Each look is two or three questions to the server."""


async def inspecting(daemon: Daemon) -> Never:
    """Look until cancelled; the first time once all runs. Raises nothing."""
    await daemon.started.wait()
    while True:
        await anyio.sleep(EVERY_S)
        with suppress(Away):
            await daemon.ledger.inspect()

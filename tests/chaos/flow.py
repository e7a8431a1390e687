"""What is stored, as it is stored: heard from the broker itself, where no proxy stands between."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from nats.aio.msg import Msg

from tests.support.asking import lasting_client
from tests.support.waiting import wait_until

PATIENCE_S: Final = 40.0
"""So long the next blow waits for everything to flow again. No measure: recovery is measured at the end."""


class Flow:
    """Counts events by source, the bridge's own left out."""

    def __init__(self) -> None:
        self.stored: Counter[str] = Counter()

    async def hear(self, message: Msg) -> None:
        """`live.events.VENDOR.SOURCE...`, or however many tokens stand before."""
        tokens = message.subject.split(".")[1:]
        vendor, source = tokens[:2] if tokens[0] != "events" else tokens[1:3]
        self.stored[source] += vendor != "bridge"

    async def flows(self, source: str = "") -> None:
        """Returns when one more event was stored than when it was called, of this source or of any; or it took long."""

        def stored() -> int:
            return self.stored[source] if source else self.stored.total()

        before = stored()
        with contextlib.suppress(AssertionError):
            await wait_until(lambda: stored() > before, PATIENCE_S)


@asynccontextmanager
async def flow(urls: Sequence[str]) -> AsyncIterator[Flow]:
    """From now on, while the block runs."""
    found = Flow()
    async with lasting_client(urls) as client:
        await client.subscribe("live.>", cb=found.hear)
        await client.flush()
        yield found

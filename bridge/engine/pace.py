"""Many sources of one vendor that lost their sessions at once do not knock at its door all at once."""

from __future__ import annotations

from anyio.abc import TaskStatus

from bridge.core.budget import Limit
from bridge.engine.ports import Feed, Offer
from bridge.engine.quota import Quota

KNOCKS = Limit(50, 1.0, 10)
"""Sessions that are opened with one vendor: so many in a second, of which so many together."""


class Paced:
    """Implements `Feed`: waits for its turn, then is `feed`. `turns` is shared by all sources of the vendor."""

    def __init__(self, feed: Feed, turns: Quota) -> None:
        self._feed = feed
        self._turns = turns

    async def hold(self, offer: Offer, *, task_status: TaskStatus[None]) -> None:
        """See `Feed.hold`."""
        self._turns.ended(await self._turns.take())
        await self._feed.hold(offer, task_status=task_status)

"""Work that is made ready side by side and finished in order, so that no wait for the server leaves us idle."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio
import anyio.lowlevel
from anyio.abc import TaskGroup

DEPTH = 2
"""Pieces at a time: one that waits for the server, one that is made ready meanwhile."""

Turn = Callable[[], Awaitable[None]]
"""Returns when every piece that was put before is finished."""


class Belt:
    """Runs pieces in `group`. The first failure ends the group; the pieces behind it never get their turn."""

    def __init__(self, group: TaskGroup) -> None:
        self._group = group
        self._places = anyio.Semaphore(DEPTH)
        self._last: anyio.Event | None = None

    async def put(self, piece: Callable[[Turn], Awaitable[None]]) -> None:
        """Begin `piece`, once fewer than `DEPTH` are under way. It awaits its turn before it does what has an order."""
        await self._places.acquire()
        before, self._last = self._last, anyio.Event()
        self._group.start_soon(self._carry, piece, before, self._last)

    async def _carry(
        self, piece: Callable[[Turn], Awaitable[None]], before: anyio.Event | None, done: anyio.Event
    ) -> None:
        try:
            await piece(anyio.lowlevel.checkpoint if before is None else before.wait)
        finally:
            self._places.release()
        # Not after a failure: what comes behind must not overtake what may be tried again.
        done.set()

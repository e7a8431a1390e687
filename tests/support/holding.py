"""Holds a feed in a test: what it offered, whether it has started, and what it ended in."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio

from bridge.core.errors import BridgeError
from bridge.engine.ports import Feed
from tests.support.waiting import wait_until


class Taken:
    """Implements `Offer`; keeps everything."""

    def __init__(self) -> None:
        self.frames: list[Any] = []
        self.sizes: list[int] = []
        self.reasons: list[str] = []
        self.stored: list[Callable[[], None] | None] = []
        self.crowded_at: int | None = None
        """From so many frames on it is crowded; None: never."""
        self._relieved = anyio.Event()

    def __call__(
        self, frame: Any, size: int, stored: Callable[[], None] | None = None, traceparent: str | None = None
    ) -> None:
        self.frames.append(frame)
        self.sizes.append(size)
        self.stored.append(stored)

    behind = False

    @property
    def crowded(self) -> bool:
        """See `Offer`."""
        return self.crowded_at is not None and len(self.frames) >= self.crowded_at

    async def room(self) -> None:
        """See `Offer`: until `relieve`."""
        await self._relieved.wait()

    def relieve(self) -> None:
        """It is crowded no more."""
        self.crowded_at = None
        self._relieved.set()

    def missed(self, reason: str) -> None:
        """See `Offer`."""
        self.reasons.append(reason)

    def numbers(self, operation: str | None = None) -> list[int]:
        """The numbers `n` of the results, of one operation or of all."""
        return [
            frame["payload"]["data"]["n"]
            for frame in self.frames
            if operation is None or frame["operation"] == operation
        ]


class Hold:
    """One holding of a feed. `at`: when it started and when it was over, by the event loop's clock."""

    def __init__(self, feed: Feed, offer: Taken) -> None:
        self.feed = feed
        self.taken = offer
        self.settled = anyio.Event()
        self.over = anyio.Event()
        self.error: BridgeError | None = None
        self.scope = anyio.CancelScope()
        self.settled_at = self.over_at = -1.0

    def started(self, _: Any = None) -> None:
        """See `TaskStatus`."""
        self.settled_at = anyio.current_time()
        self.settled.set()

    async def run(self) -> None:
        """Hold until it ends."""
        with self.scope:
            try:
                await self.feed.hold(self.taken, task_status=self)
            except BridgeError as error:
                self.error = error
        self.over_at = anyio.current_time()
        self.over.set()

    async def wait_settled(self, deadline_s: float = 20) -> None:
        """Until it has started; fails if it ended in place of that."""
        await wait_until(lambda: self.settled.is_set() or self.over.is_set(), deadline_s)
        assert self.settled.is_set(), f"it ended: {self.error!r}"

    async def ended(self, deadline_s: float = 20) -> BridgeError:
        """What it ended in by itself."""
        with anyio.fail_after(deadline_s):
            await self.over.wait()
        assert self.error is not None
        return self.error

    async def leave(self) -> float:
        """Cancel it; returns how many seconds it took to leave."""
        began = anyio.current_time()
        self.scope.cancel()
        with anyio.fail_after(120):
            await self.over.wait()
        return self.over_at - began


@asynccontextmanager
async def holding(feed: Feed, offer: Taken | None = None) -> AsyncIterator[Hold]:
    """Hold the feed while the block runs."""
    hold = Hold(feed, offer or Taken())
    async with anyio.create_task_group() as group:
        group.start_soon(hold.run)
        yield hold
        group.cancel_scope.cancel()

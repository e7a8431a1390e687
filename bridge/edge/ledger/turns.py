"""A few places that many want: who has just had one queues behind everybody else who waits."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio


class Turns:
    """`places` at a time, of which one name has at most `share`. Names take turns; within a name, first come."""

    def __init__(self, places: int, share: int) -> None:
        self._free = places
        self._share = share
        self._held: Counter[str] = Counter()
        self._waiting: dict[str, deque[anyio.Event]] = {}
        # When each name last got a place, counted in places given.
        self._given: Counter[str] = Counter()
        self._count = 0

    @asynccontextmanager
    async def of(self, name: str) -> AsyncIterator[None]:
        """Hold a place while the block runs; wait for one where needed."""
        await self._take(name)
        try:
            yield
        finally:
            self._give(name)

    async def _take(self, name: str) -> None:
        turn = anyio.Event()
        self._waiting.setdefault(name, deque()).append(turn)
        self._call()
        try:
            await turn.wait()
        except BaseException:
            if turn.is_set():
                # The place came together with the cancellation.
                self._give(name)
            else:
                self._leave(name, turn)
            raise

    def _give(self, name: str) -> None:
        self._free += 1
        self._held[name] -= 1
        if not self._held[name]:
            del self._held[name]
        self._call()

    def _call(self) -> None:
        """Hand out the free places: the next is for the name that has gone without for longest."""
        while self._free:
            may = [name for name in self._waiting if self._held[name] < self._share]
            if not may:
                return
            name = min(may, key=self._given.__getitem__)
            self._count += 1
            self._given[name] = self._count
            turn = self._waiting[name].popleft()
            self._free -= 1
            self._held[name] += 1
            turn.set()
            if not self._waiting[name]:
                del self._waiting[name]

    def _leave(self, name: str, turn: anyio.Event) -> None:
        self._waiting[name].remove(turn)
        if not self._waiting[name]:
            del self._waiting[name]

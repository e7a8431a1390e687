"""One write at a time for each entity."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import anyio

from bridge.core.record import Key


class Exclusive:
    """Which entities are in a write now."""

    def __init__(self) -> None:
        self._closed: set[Key] = set()
        self._opened = anyio.Event()

    @asynccontextmanager
    async def hold(self, entities: Iterable[Key]) -> AsyncIterator[None]:
        """Close the entities to everyone else; waits until whoever holds one of them has settled it."""
        keys = set(entities)
        while keys & self._closed:
            await self._opened.wait()
        self._closed |= keys
        try:
            yield
        finally:
            self._closed -= keys
            self._opened.set()
            self._opened = anyio.Event()

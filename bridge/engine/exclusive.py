"""One write at a time for each entity."""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType

import anyio

from bridge.core.record import Key


class Exclusive:
    """Which entities are in a write now."""

    def __init__(self) -> None:
        self.closed: set[Key] = set()
        self.opened: anyio.Event | None = None
        """What they wait for who want one of these; None: nobody does."""

    def hold(self, entities: Iterable[Key]) -> Closed:
        """Close the entities to everyone else; waits until whoever holds one of them has settled it."""
        return Closed(self, set(entities))


class Closed:
    """An asynchronous context manager, to be entered once. Free entities cost no turn of the event loop."""

    __slots__ = ("_exclusive", "_keys")

    def __init__(self, exclusive: Exclusive, keys: set[Key]) -> None:
        self._exclusive = exclusive
        self._keys = keys

    async def __aenter__(self) -> None:
        exclusive = self._exclusive
        while not self._keys.isdisjoint(exclusive.closed):
            if exclusive.opened is None:
                exclusive.opened = anyio.Event()
            await exclusive.opened.wait()
        exclusive.closed |= self._keys

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        exclusive = self._exclusive
        exclusive.closed -= self._keys
        if exclusive.opened is not None:
            exclusive.opened.set()
            exclusive.opened = None

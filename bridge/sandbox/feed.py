"""Who listens to which topic of a played vendor, and what has been published but not yet sent to them.

Nothing is kept for those who are not registered: as with real vendors, a push missed is a push lost.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import anyio


@dataclass(frozen=True, slots=True)
class Item:
    """One push. `value`: what the subscription's field resolves to. `id`, `seq`: the entity and the ledger's change.

    `seq` 0: not a change of the ledger (a failure, an online state).
    """

    value: Any
    id: str = ""
    seq: int = 0


class Source:
    """One subscription's items, in order of publication. An asynchronous iterator; ends once it is closed."""

    def __init__(self) -> None:
        self.last = Item(None)
        """The item handed out last."""
        self._inlet, self._outlet = anyio.create_memory_object_stream[Item](math.inf)

    def put(self, item: Item) -> None:
        """Append an item."""
        self._inlet.send_nowait(item)

    def end(self) -> None:
        """No more items: the iteration ends after those that wait."""
        self._inlet.close()

    def close(self) -> None:
        """Forget everything."""
        self._inlet.close()
        self._outlet.close()

    def __aiter__(self) -> Source:
        return self

    async def __anext__(self) -> Item:
        try:
            self.last = await self._outlet.receive()
        except (anyio.EndOfStream, anyio.ClosedResourceError):
            raise StopAsyncIteration from None
        return self.last


class Feed:
    """Topics of tenants and their listeners."""

    def __init__(self) -> None:
        self._sources: dict[tuple[str, str], set[Source]] = defaultdict(set)

    def __len__(self) -> int:
        """How many sources are registered."""
        return sum(map(len, self._sources.values()))

    def register(self, topic: str, scope: str) -> Source:
        """A source that is given everything published from now on, until `leave`."""
        source = Source()
        self._sources[topic, scope].add(source)
        return source

    @staticmethod
    def only(item: Item) -> Source:
        """A source with one item, which then ends."""
        source = Source()
        source.put(item)
        source.end()
        return source

    def leave(self, source: Source) -> None:
        """Close a source, registered or not."""
        for listening in self._sources.values():
            listening.discard(source)
        source.close()

    def publish(self, topic: str, scope: str, item: Item) -> None:
        """Hand an item to all who listen, at once."""
        for source in self._sources[topic, scope]:
            source.put(item)

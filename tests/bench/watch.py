"""The ledger with a stopwatch: tells when a pass is complete in the stream, and when each event was acknowledged."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from nats.aio.client import Client

from bridge.core.event import Event
from bridge.core.record import Json
from bridge.edge.ledger.book import JetStreamBook
from bridge.edge.ledger.ledger import JetStreamLedger
from bridge.engine.ports import Cursor, Outcome, Receipt, Stored


class WatchedLedger(JetStreamLedger):
    """`asked`, `stored`: by entity id, when the book was given a live event and when it knew it to be stored.

    Times are perf_counter_ns.

    `on_pass` is called when the cursor of a complete pass is stored.
    """

    def __init__(self, nc: Client, on_pass: Callable[[], None] = lambda: None) -> None:
        super().__init__(nc)
        self._on_pass = on_pass
        self.asked: dict[str, int] = {}
        self.stored: dict[str, int] = {}

    async def open(self, vendor: str, source: str, owner: Mapping[str, Json]) -> JetStreamBook:
        """A book whose two writes are watched."""
        book = await super().open(vendor, source, owner)
        append, commit = book.append, book.commit

        async def watched_append(events: Sequence[Event]) -> list[Outcome]:
            start = time.perf_counter_ns()
            outcomes = await append(events)
            now = time.perf_counter_ns()
            for event, outcome in zip(events, outcomes, strict=True):
                if isinstance(outcome, Stored):
                    self.asked[event.key.id] = start
                    self.stored[event.key.id] = now
            return outcomes

        async def watched_commit(events: Sequence[Event], walk: str, cursor: Cursor | None) -> Receipt:
            receipt = await commit(events, walk, cursor)
            if cursor is not None and "completed_ms" in cursor.value and "pass_ms" not in cursor.value:
                self._on_pass()
            return receipt

        book.append = watched_append  # type: ignore[method-assign]
        book.commit = watched_commit  # type: ignore[method-assign]
        return book

"""Live records that occur once, many at a time: one atomic batch costs a fraction of as many single writes."""

from __future__ import annotations

from collections.abc import Sequence

from bridge.core.errors import Away
from bridge.engine.batching import BATCH_EVENTS, Sealed, cut
from bridge.engine.belt import Turn
from bridge.engine.clerk import Clerk
from bridge.engine.counts import Counts
from bridge.engine.exclusive import Exclusive
from bridge.engine.known import Once
from bridge.engine.ports import BatchStale, Book
from bridge.engine.scribe import OWN_VENDOR, Note

LEAST = 16
"""Of fewer records each is written singly: a batch takes the server some 2 ms, whatever is in it."""
REFUSALS = 3


class Bulk:
    """Stores what occurred once, and notes in `once` what lies in the stream.

    Such a write leaves nothing in doubt: whatever became of it, the stream refuses to hold the same event twice, and
    a look then tells which it holds.
    """

    def __init__(self, book: Book, clerk: Clerk, counts: Counts, once: Once, exclusive: Exclusive) -> None:
        self._book = book
        self._clerk = clerk
        self._counts = counts
        self._once = once
        self._exclusive = exclusive

    async def store(self, notes: Sequence[Note], turn: Turn) -> None:
        """Returns when every note is in the stream, at its `turn`. The notes are of different records. Raises Away."""
        # What occurs once has no state that would have to wait for its turn.
        sealed = await self._clerk.news(notes)
        # Nobody is kept from anything meanwhile: whoever goes before may be about to store the same.
        await turn()
        async with self._exclusive.hold(note.key for note in notes):
            await self._store(self._clerk.unstored(sealed))

    async def _store(self, sealed: list[Sealed]) -> None:
        refusals, size = 0, BATCH_EVENTS
        while sealed:
            part, rest = cut(sealed, size)
            events = [event for _, event in part]
            try:
                receipt = await self._book.commit(events, "", None)
            except BatchStale:
                self._counts.refused += 1
                refusals += 1
                if refusals >= REFUSALS:
                    raise Away(
                        f"a batch of {len(part)} live records was refused {REFUSALS} times, each time after a look; "
                        "somebody else writes this source's events, so everything is read again"
                    ) from None
                known = await self._clerk.known([note for note, _ in part])
                sealed = [*((note, event) for note, event in part if note.key not in known), *rest]
                continue
            refusals = 0
            self._counts.batches += 1
            self._counts.store_all(events, receipt.seqs)
            self._once.add([event.key for event in events])
            for event in events:
                if event.key.vendor == OWN_VENDOR:
                    self._counts.quarantine(event)
            sealed = rest

"""Live records that occur once, many at a time: written in one go, or, of very many, as one atomic batch."""

from __future__ import annotations

from collections.abc import Sequence

from bridge.core.errors import Away
from bridge.core.event import Event
from bridge.core.record import Record
from bridge.engine.batching import BATCH_EVENTS, fitting
from bridge.engine.belt import Turn
from bridge.engine.clerk import Clerk
from bridge.engine.counts import Counts
from bridge.engine.exclusive import Exclusive
from bridge.engine.known import Once
from bridge.engine.ports import BatchStale, Book, Stale, Stored, Unknown
from bridge.engine.scribe import OWN_VENDOR, Noted

TOGETHER = 250
"""So many at once are an atomic batch; of fewer each is a message of its own, sent in one go. Neither needs the other's
promise. A batch costs the server files of its own, written through: 50 events take it some 50 ms on a disk, singly 7.
Where it writes each message through as well, more gathers meanwhile, and soon there are enough for a batch.
"""
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

    async def store(self, records: Sequence[Record], noted: Noted, turn: Turn) -> None:
        """Returns when every record is in the stream, at its `turn`. Raises Away."""
        # What occurs once has no state that would have to wait for its turn.
        events, keys = await self._clerk.happened(records, noted)
        # Nobody is kept from anything meanwhile: whoever goes before may be about to store the same.
        await turn()
        async with self._exclusive.hold(keys):
            await self._store([event for event in events if event.key not in self._once])

    async def _store(self, events: list[Event]) -> None:
        refusals = 0
        while events:
            count = fitting(events, BATCH_EVENTS)
            part, rest = events[:count], events[count:]
            seqs = await self._write(part)
            stored = [(event, seq) for event, seq in zip(part, seqs, strict=True) if seq is not None]
            there = [event for event, _ in stored]
            self._counts.store(there, [seq for _, seq in stored])
            self.happened(there)
            if len(stored) == len(part):
                refusals, events = 0, rest
                continue
            refusals += 1
            if refusals >= REFUSALS:
                raise Away(
                    f"{len(part) - len(stored)} of {len(part)} live records were refused {REFUSALS} times, each time "
                    "after a look; somebody else writes this source's events, so everything is read again"
                )
            left = [event for event, seq in zip(part, seqs, strict=True) if seq is None]
            known = await self._clerk.known(event.key for event in left)
            events = [*(event for event in left if event.key not in known), *rest]

    async def _write(self, events: Sequence[Event]) -> Sequence[int | None]:
        """Where each lies now; None for those that were refused, or of which nobody knows."""
        if len(events) < TOGETHER:
            outcomes = await self._book.append(events)
            self._counts.refused += sum(isinstance(outcome, Stale) for outcome in outcomes)
            self._counts.unknown += sum(isinstance(outcome, Unknown) for outcome in outcomes)
            return [outcome.seq if isinstance(outcome, Stored) else None for outcome in outcomes]
        try:
            receipt = await self._book.commit(events, "", None)
        except BatchStale:
            self._counts.refused += 1
            return [None] * len(events)
        self._counts.batches += 1
        return receipt.seqs

    def happened(self, events: Sequence[Event]) -> None:
        """These, which occurred once, lie in the stream."""
        self._once.add([event.key for event in events])
        for event in events:
            if event.key.vendor == OWN_VENDOR:
                self._counts.quarantine(event)

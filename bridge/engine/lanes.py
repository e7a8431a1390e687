"""Which of a source's two sequencers a record goes to: the one of its events, or the one of its telemetry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import anyio
from anyio.lowlevel import checkpoint

from bridge.adapter import Json, Malformed, Record, Walk
from bridge.core.subject import TELEMETRY
from bridge.engine.belt import Turn
from bridge.engine.ports import Book
from bridge.engine.scribe import Scribe, Traces
from bridge.engine.sequencer import Counts, Sequencer


class Lanes:
    """`main` is always there; telemetry's is opened, and its stream made, when a source first needs it."""

    def __init__(self, main: Sequencer, book: Book, scribe: Scribe, counts: Counts) -> None:
        self.main = main
        self._book = book
        self._scribe = replace(scribe, lane=TELEMETRY)
        self._counts = counts
        self._telemetry: Sequencer | None = None
        self._opening = anyio.Lock()

    async def prepare(self, walks: Sequence[Walk], disorder_s: float) -> None:
        """Open what these walks need, with pushes that may be so far out of order. Raises Away."""
        self.main.arrivals.prepare(
            lag_s=max((walk.lag_s for walk in walks), default=0.0),
            disorder_s=disorder_s,
            readable=(walk.entity for walk in walks),
        )
        if any(walk.telemetry for walk in walks):
            await self._aside()

    def of(self, walk: Walk) -> Sequencer:
        """The sequencer that holds the walk's cursor and takes its records. `prepare` must have been told of it."""
        if not walk.telemetry:
            return self.main
        if self._telemetry is None or not walk.once:
            raise ValueError(f"walk {walk.name}: telemetry must be prepared, and occur once")
        return self._telemetry

    def cursors(self) -> dict[str, Mapping[str, Json]]:
        """What the stream remembered beside the events when the book was opened, by walk."""
        return {name: cursor.value for name, cursor in self._book.memory.cursors.items()}

    def has_forgotten(self, walk: Walk) -> bool:
        """Whether the stream may have forgotten what the walk covers: see `Memory.forgotten`."""
        return not walk.telemetry and walk.name in self._book.memory.forgotten

    async def live(
        self,
        records: Sequence[Record],
        unreadable: Sequence[Malformed],
        *,
        feed: str,
        arrived_at: float,
        traces: Traces | None = None,
    ) -> list[Record]:
        """Store live records that are no telemetry; returns those that were not stored, see `Sequencer.live`.

        What could not be read is the bridge's own news, and no telemetry.
        """
        return await self.main.live(records, unreadable, feed=feed, arrived_at=arrived_at, traces=traces)

    async def measured(
        self, records: Sequence[Record], *, feed: str, traces: Traces | None = None, turn: Turn = checkpoint
    ) -> None:
        """Store live telemetry at its `turn`: see `Sequencer.once`."""
        if any(not record.occurred for record in records):
            raise ValueError(f"feed {feed}: telemetry must occur once")
        await (await self._aside()).once(records, feed=feed, traces=traces, turn=turn)

    async def _aside(self) -> Sequencer:
        async with self._opening:
            if self._telemetry is None:
                self._telemetry = Sequencer(await self._book.telemetry(), self._scribe, self._counts)
            return self._telemetry

"""Makes events of what is news: judged against what is known, with what was known before, sealed by the scribe."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bridge.core.differ import judge
from bridge.core.event import Event
from bridge.core.record import Head, Json, Key, Record
from bridge.engine.batching import Sealed, side_by_side
from bridge.engine.breath import in_slices
from bridge.engine.counts import Counts
from bridge.engine.known import Known, Once
from bridge.engine.ports import Book
from bridge.engine.scribe import Note, Noted, Scribe


class Clerk:
    """Reads what the sequencer knows; of that it changes only what the stream was found to hold."""

    def __init__(self, book: Book, scribe: Scribe, heads: Known, once: Once, counts: Counts) -> None:
        self._book = book
        self._scribe = scribe
        self._heads = heads
        self._once = once
        self._counts = counts

    async def known(self, keys: Iterable[Key]) -> set[Key]:
        """Of what occurs once, what the stream holds already; it is asked for what we do not remember ourselves."""
        asked = list(keys)
        known = {key for key in asked if key in self._once}
        unsure = [key for key in asked if key not in known]
        if unsure:
            found = await self._book.stored(unsure)
            self._once.add(found)
            known |= found
        self._counts.duplicates += len(known)
        return known

    async def news(self, notes: Sequence[Note]) -> list[tuple[Note, Event]]:
        """The notes that are news, as events. Fetches `before` for those that need it, together or side by side."""
        judged = ((note, *self._judged(note)) for note in notes)
        news = [(note, change, head) for note, change, head in judged if change is not None]
        befores: dict[Key, Json] = {}

        async def fetch(key: Key, head: Head) -> None:
            befores[key] = await self._book.after(key, head)

        wanted = [
            (note.key, head) for note, change, head in news if change in ("updated", "deleted") and head is not None
        ]
        if len(wanted) > 1:
            befores |= await self._book.afters(wanted)
        await side_by_side(fetch, [one for one in wanted if one[0] not in befores])

        def seal(item: tuple[Note, str, Head | None]) -> tuple[Note, Event]:
            note, change, head = item
            return self._scribe.seal(note, change, head, befores.get(note.key))

        sealed = await in_slices(seal, news)
        return self.unstored(sealed)

    async def happened(self, records: Sequence[Record], noted: Noted) -> tuple[list[Event], set[Key]]:
        """Records of what occurs once, as events, and the keys of all of them; each once, and only what is news.

        From record to event in one go: what occurs once has no former state that would have to be fetched.
        """
        events: list[Event] = []
        met: set[Key] = set()

        def take(record: Record) -> None:
            note = noted(record)
            if note.key not in met:
                met.add(note.key)
                change, head = self._judged(note)
                if change is not None:
                    events.append(self._scribe.seal(note, change, head, None)[1])

        await in_slices(take, records)
        return events, met

    def _judged(self, note: Note) -> tuple[str | None, Head | None]:
        """What happened, None if it is no news, and what is known of the entity."""
        if note.record.occurred and note.key in self._once:
            self._counts.duplicates += 1
            return None, None
        head = self._heads.get(note.key)
        live = note.via == "live"
        change = note.forced or judge(note.record, note.digest, head, first_read=note.first_read, live=live)
        if change is None:
            self._counts.unchanged += 1
            self._heads.mark(note.key, note.mark)
        return change, head

    def unstored(self, sealed: Iterable[Sealed]) -> list[Sealed]:
        """Those that are not known to be stored already, of what occurs once."""
        return [(note, event) for note, event in sealed if not (note.record.occurred and note.key in self._once)]

"""Owns what is known of one source's entities, and is the only one who writes its events.

Two writes: live records singly and pipelined, pages as atomic batches with their cursor. An entity that is in a
batch is closed to live writes until the batch is settled, and the reverse.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import anyio

from bridge.core.differ import judge
from bridge.core.errors import Away, Malformed
from bridge.core.event import Event
from bridge.core.record import Head, Json, Key, Record, Via
from bridge.engine.batching import BATCH_EVENTS, cut, one_per_entity, rounds, side_by_side
from bridge.engine.breath import breathe, in_slices
from bridge.engine.counts import Counts as Counts
from bridge.engine.known import Known
from bridge.engine.ports import BatchStale, Book, Cursor, Stale, Stored, Unknown
from bridge.engine.scribe import OWN_VENDOR, Note, Scribe

REFUSALS = 3
"""A batch refused this often is halved; a single change refused this often means that somebody else writes."""


class Sequencer:
    """One per opened book. When the book raises Away the sequencer is thrown away with it."""

    def __init__(self, book: Book, scribe: Scribe, counts: Counts) -> None:
        self._book = book
        self._scribe = scribe
        self.counts = counts
        self._heads = Known(scribe.vendor, book.memory.heads)
        self._closed: set[Key] = set()
        self._opened = anyio.Event()
        self._known_once: dict[Key, None] = {}
        self._tick = 0
        self._live_ticks: dict[Key, int] = {}
        self._tainted: set[Key] = set()

    # --- what is known ---

    def ids(self, entity: str) -> set[str]:
        """The ids of the entities that are known to exist."""
        return self._heads.existing(entity)

    def knows_anything(self) -> bool:
        """Whether the stream held any entity of this source when the book was opened, or holds one now.

        What the bridge said itself (`source.blocked`) does not count.
        """
        return self._heads.any_theirs

    def cursor(self, walk: str) -> Cursor:
        """Where the walk's cursor lies; an empty one if it has none."""
        return self._book.memory.cursors.get(walk) or Cursor({})

    def has_cursors(self) -> bool:
        """Whether any walk of this source has left a cursor."""
        return bool(self._book.memory.cursors)

    async def last_known(self, entity: str, id_: str) -> Json:
        """The `after` of the entity's last event; None if nothing holds it any more."""
        key = self._scribe.key(entity, id_)
        head = self._heads.get(key)
        return None if head is None else await self._book.after(key, head)

    def tick(self) -> int:
        """A mark in the order of arrival: `page(since=…)` leaves alone what live records touched after it."""
        return self._tick

    def forget_ticks(self, since: int) -> None:
        """No pass that began at `since` or before is under way any more."""
        self._live_ticks = {key: tick for key, tick in self._live_ticks.items() if tick > since}

    # --- the two writes ---

    async def live(
        self, records: Sequence[Record], unreadable: Sequence[Malformed] = (), *, feed: str = "live"
    ) -> None:
        """Store live records: in order per entity, otherwise side by side. Returns when every one is stored."""
        self._tick += 1
        # In one breath: a pass that began meanwhile would read what is newer, and could store it before these.
        notes = [self._scribe.note(record, "live") for record in records]
        notes += [self._scribe.quarantine(error, feed) for error in unreadable]
        for note in notes:
            if not note.record.occurred:
                self._live_ticks[note.key] = self._tick
        await self._store_singly(notes)

    async def announce(self, entity: str, change: str, id_: str, after: Json) -> None:
        """Store an event of the bridge's own, such as `source.lost`."""
        await self._store_singly([self._scribe.own(entity, change, id_, after)])

    async def announced(self, entity: str, id_: str) -> str | None:
        """The last change published of one of the bridge's own entities; None if there is none."""
        key = Key(OWN_VENDOR, self._scribe.source, entity, id_)
        await self._look_at([key])
        head = self._heads.get(key)
        return None if head is None else head.change

    async def page(
        self,
        records: Sequence[Record],
        unreadable: Sequence[Malformed],
        *,
        walk: str,
        cursor: Json,
        part_cursor: Json,
        cursor_alone: bool,
        first_read: bool,
        since: int,
    ) -> None:
        """Store a page's changes together with `cursor`; returns when they are.

        Where the page needs several batches, those before the last carry `part_cursor`. A page without changes writes
        its cursor only with `cursor_alone`. `since` is the `tick` at which the pass began: what a live record touched
        later is left alone, unless versions tell which is newer.
        """
        via: Via = "snapshot" if first_read else "catchup"
        notes = await in_slices(lambda record: self._scribe.note(record, via, first_read=first_read), records)
        notes += [self._scribe.quarantine(error, walk) for error in unreadable]
        batches = rounds(notes) or [[]]
        for batch in batches:
            last = batch is batches[-1]
            async with self._exclusively(batch):
                # Asked only now: a live write may have come first while this page waited for its entities.
                fresh = [note for note in batch if not self._overtaken(note, since)]
                await self._store_together(fresh, walk, cursor if last else part_cursor, part_cursor, cursor_alone)
            if not last:
                await breathe()

    # --- single writes ---

    async def _store_singly(self, notes: list[Note]) -> None:
        tries: dict[Key, int] = {}
        while notes:
            now, notes = one_per_entity(notes)
            async with self._exclusively(now):
                again = await self._append(now, tries)
            notes = again + notes

    async def _append(self, notes: list[Note], tries: dict[Key, int]) -> list[Note]:
        await self._look_at([note.key for note in notes if note.own and note.key not in self._heads])
        await self._clear_doubts(notes)
        sealed = await self._seal(notes)
        if not sealed:
            return []
        keys = {event.key for _, event in sealed}
        self._tainted |= keys
        outcomes = await self._book.append([event for _, event in sealed])
        again: list[tuple[Note, Event]] = []
        for (note, event), outcome in zip(sealed, outcomes, strict=True):
            if isinstance(outcome, Stored):
                self._settle(event, outcome.seq)
                tries.pop(note.key, None)
                continue
            self.counts.refused += isinstance(outcome, Stale)
            self.counts.unknown += isinstance(outcome, Unknown)
            tries[note.key] = tries.get(note.key, 0) + 1
            if tries[note.key] > REFUSALS:
                raise Away(
                    f"{note.key.entity} {event.change}: refused {REFUSALS} times in a row, each time after a look; "
                    "somebody else writes this source's events, so everything is read again"
                )
            again.append((note, event))
        await self._look_at([note.key for note, _ in again])
        self._tainted -= keys
        self._undisputed(again)
        return [note for note, event in again if not self._found(event)]

    # --- batches ---

    async def _store_together(
        self, notes: list[Note], walk: str, cursor: Json, part_cursor: Json, cursor_alone: bool
    ) -> None:
        refusals, size = 0, BATCH_EVENTS
        known = await self._known_occurred(notes)
        await self._clear_doubts(notes)
        sealed = await self._seal([note for note in notes if note.key not in known])
        while True:
            part, rest = cut(sealed, size)
            last = not rest
            place = self.cursor(walk)
            value = cursor if last else part_cursor
            if not part and (value == place.value or not cursor_alone):
                return
            written = Cursor(value, place.seq)
            keys = {event.key for _, event in part}
            self._tainted |= keys
            try:
                receipt = await self._book.commit([event for _, event in part], walk, written)
            except BatchStale:
                self.counts.refused += 1
                refusals += 1
                await self._look_at([note.key for note, _ in part])
                self._tainted -= keys
                self._undisputed(part)
                pending = [note for note, event in sealed if not self._found(event)]
                if refusals >= REFUSALS:
                    if len(part) <= 1 or not self._moved(part):
                        raise Away(
                            f"walk {walk}: a batch was refused {REFUSALS} times, each time after a look; "
                            "somebody else writes this source's events or cursor, so everything is read again"
                        ) from None
                    refusals, size = 0, len(part) // 2
                sealed = await self._seal(pending)
                continue
            refusals = 0
            self.counts.batches += 1
            for (_, event), seq in zip(part, receipt.seqs, strict=True):
                self._settle(event, seq)
            self._tainted -= keys
            self._book.memory.cursors[walk] = Cursor(value, receipt.cursor_seq)
            if last:
                return
            sealed = rest

    async def _known_occurred(self, notes: Iterable[Note]) -> set[Key]:
        asked = [note.key for note in notes if note.record.occurred]
        known = {key for key in asked if key in self._known_once}
        unsure = [key for key in asked if key not in known]
        if unsure:
            found = await self._book.stored(unsure)
            self._remember_once(found)
            known |= found
        return known

    # --- judging and sealing ---

    async def _seal(self, notes: Sequence[Note]) -> list[tuple[Note, Event]]:
        """The notes that are news, as events. Fetches `before` for those that need it, side by side."""
        news: list[tuple[Note, str]] = []
        for note in notes:
            if note.record.occurred and note.key in self._known_once:
                continue
            head = self._heads.get(note.key)
            live = note.via == "live"
            change = note.forced or judge(note.record, note.digest, head, first_read=note.first_read, live=live)
            if change is None:
                self.counts.unchanged += 1
            else:
                news.append((note, change))
        befores: dict[Key, Json] = {}

        async def fetch(key: Key, head: Head) -> None:
            befores[key] = await self._book.after(key, head)

        wanted = [
            (note.key, head)
            for note, change in news
            if change in ("updated", "deleted") and (head := self._heads.get(note.key)) is not None
        ]
        await side_by_side(fetch, wanted)

        def seal(item: tuple[Note, str]) -> tuple[Note, Event]:
            note, change = item
            return self._scribe.seal(note, change, self._heads.get(note.key), befores.get(note.key))

        sealed = await in_slices(seal, news)
        return [(note, event) for note, event in sealed if not (note.record.occurred and note.key in self._known_once)]

    def _settle(self, event: Event, seq: int) -> None:
        self.counts.store(event)
        if event.change == "occurred":
            if event.key.vendor == OWN_VENDOR:
                self.counts.quarantine(event)
            self._remember_once([event.key])
        else:
            self._heads.put(event.key, Head(seq, event.ce_id, event.change, event.version, event.digest))

    def _found(self, event: Event) -> bool:
        """Whether the look just taken shows that `event` is stored; it is then settled."""
        if event.change == "occurred":
            return event.key in self._known_once
        head = self._heads.get(event.key)
        if head is None or head.ce_id != event.ce_id:
            return False
        self._settle(event, head.seq)
        return True

    def _undisputed(self, refused: Sequence[tuple[Note, Event]]) -> None:
        """Raises Away when the look shows an event that is not ours and says otherwise than a record without version.

        Which of the two is newer cannot be told: whoever wrote it may have read the vendor after us.
        """
        for note, event in refused:
            head = self._heads.get(event.key)
            if note.own or note.record.version is not None or event.change == "occurred" or head is None:
                continue
            if head.seq > event.expected and head.ce_id != event.ce_id and head.digest != event.digest:
                raise Away(
                    f"{event.key.entity} {event.change}: somebody else wrote an event of the same entity meanwhile, "
                    "and no version tells which is newer, so everything is read again"
                )

    def _moved(self, part: Sequence[tuple[Note, Event]]) -> bool:
        """Whether the look just taken explains why a batch was refused."""
        return any(
            event.key in self._known_once
            if event.change == "occurred"
            else (head := self._heads.get(event.key)) is not None and head.seq != event.expected
            for _, event in part
        )

    async def _clear_doubts(self, notes: Iterable[Note]) -> None:
        """Look at the entities whose last write was cancelled on its way: it may have been stored all the same."""
        doubtful = [note.key for note in notes if note.key in self._tainted]
        await self._look_at(doubtful)
        self._tainted.difference_update(doubtful)

    async def _look_at(self, keys: Sequence[Key]) -> None:
        async def look(key: Key, _: None) -> None:
            head = await self._book.head(key)
            if head is not None and head.change == "occurred":
                self._remember_once([key])
            elif head is not None:
                self._heads.put(key, head)
            elif (known := self._heads.get(key)) is not None:
                # The stream no longer holds it (aged out, purged): what is known of its content stays true.
                self._heads.put(key, replace(known, seq=0))

        await side_by_side(look, [(key, None) for key in dict.fromkeys(keys)])

    def _remember_once(self, keys: Iterable[Key]) -> None:
        for key in keys:
            self._known_once[key] = None
        while len(self._known_once) > 65_536:
            del self._known_once[next(iter(self._known_once))]

    def _overtaken(self, note: Note, since: int) -> bool:
        return note.record.version is None and self._live_ticks.get(note.key, 0) > since

    @asynccontextmanager
    async def _exclusively(self, notes: Sequence[Note]) -> AsyncIterator[None]:
        """Close the entities of `notes` to everyone else; waits until whoever holds one of them has settled it."""
        keys = {note.key for note in notes}
        while keys & self._closed:
            await self._opened.wait()
        self._closed |= keys
        try:
            yield
        finally:
            self._closed -= keys
            self._opened.set()
            self._opened = anyio.Event()

"""Owns what is known of one source's entities, and is the only one who writes its events.

Two writes: live records singly and pipelined, pages as atomic batches with their cursor. An entity that is in a
batch is closed to live writes until the batch is settled, and the reverse.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from anyio.lowlevel import checkpoint

from bridge.core.errors import Away, Malformed
from bridge.core.event import Event
from bridge.core.record import Head, Json, Key, Record, Via
from bridge.engine.arrivals import Arrivals
from bridge.engine.batching import BATCH_EVENTS, Sealed, cut, one_per_entity, rounds, side_by_side
from bridge.engine.belief import Belief
from bridge.engine.belt import Turn
from bridge.engine.breath import breathe, in_slices
from bridge.engine.bulk import Bulk
from bridge.engine.clerk import Clerk
from bridge.engine.counts import Counts as Counts
from bridge.engine.dispute import explained, undisputed
from bridge.engine.exclusive import Exclusive
from bridge.engine.known import Known, Once
from bridge.engine.ports import BatchStale, Book, Cursor, Stale, Stored, Unknown
from bridge.engine.scribe import OWN_VENDOR, Note, Scribe, Traces, together

REFUSALS = 3
"""A batch refused this often is halved; a single change refused this often means that somebody else writes."""


class Sequencer:
    """One per opened book. When the book raises Away the sequencer is thrown away with it."""

    def __init__(self, book: Book, scribe: Scribe, counts: Counts) -> None:
        self._book = book
        self._scribe = scribe
        self.counts = counts
        self._heads = Known(scribe.vendor, book.memory.heads)
        self._exclusive = Exclusive()
        self._once = Once()
        self._clerk = Clerk(book, scribe, self._heads, self._once, counts)
        self._bulk = Bulk(book, self._clerk, counts, self._once, self._exclusive)
        self.arrivals = Arrivals()
        self._tainted: set[Key] = set()
        self._belief = Belief(self.arrivals, self._heads, scribe.key, self._tainted, self._exclusive.closed)
        self._unsure: dict[str, Json] = {}

    @property
    def source(self) -> str:
        """Whose sequencer this is."""
        return self._scribe.source

    # --- what is known ---

    def ids(self, entity: str) -> set[str]:
        """The ids of the entities that are known to exist."""
        return self._heads.existing(entity)

    async def certain_ids(self, entity: str) -> set[str]:
        """As `ids`, after writes under way, and a look at those that were cancelled on their way."""
        async with self._exclusive.hold(doubtful := [key for key in self._tainted if key.entity == entity]):
            await self._clear_doubts(doubtful)
        return self.ids(entity)

    def knows(self, entity: str, id_: str) -> bool:
        """Whether an event of this entity is known."""
        return self._scribe.key(entity, id_) in self._heads

    def knows_anything(self) -> bool:
        """Whether the stream held any entity of the vendor's when the book was opened, or holds one now."""
        return self._heads.any_theirs

    def cursor(self, walk: str) -> Cursor:
        """Where the walk's cursor lies; an empty one if it has none."""
        return self._book.memory.cursors.get(walk) or Cursor({})

    async def certain_cursor(self, walk: str) -> Cursor:
        """As `cursor`, after a look where its last write was cancelled on its way."""
        await self._clear_doubt_of(walk)
        return self.cursor(walk)

    def has_cursors(self) -> bool:
        """Whether any walk of this source has left a cursor."""
        return bool(self._book.memory.cursors)

    def passing(self, entity: str, *, since: int, asked_at: float, lag_s: float) -> Callable[[str, bytes], bool]:
        """Whether a row of this id and mark is passed over: see `Belief.passing`, and `bridge/engine/unchanged.py`."""
        return self._belief.passing(entity, since=since, asked_at=asked_at, lag_s=lag_s)

    async def last_known(self, entity: str, id_: str) -> Json:
        """The `after` of the entity's last event; None if nothing holds it any more."""
        head = self._heads.get(key := self._scribe.key(entity, id_))
        return None if head is None else await self._book.after(key, head)

    # --- the two writes ---

    async def live(
        self,
        records: Sequence[Record],
        unreadable: Sequence[Malformed] = (),
        *, feed: str = "live", arrived_at: float | None = None, traces: Traces | None = None,
    ) -> list[Record]:  # fmt: skip
        """Store live records, which came at `arrived_at` or later: in order per entity, otherwise side by side.

        Returns, when all others are stored, those that may be older than what is known: only the vendor can tell.
        """
        # In one breath: a pass that began meanwhile would read what is newer, and could store it before these.
        given = together(records, unreadable)
        notes = list(map(self._scribe.noting(given, "live", feed, traces=traces), given))
        self.arrivals.pushed(note.key for note in notes if not note.record.occurred)
        doubtful: list[Note] = []
        await self._store_singly(notes, doubtful, arrived_at)
        self.counts.held += len(doubtful)
        return [note.record for note in doubtful]

    async def once(
        self, records: Sequence[Record], *, feed: str = "live", traces: Traces | None = None, turn: Turn = checkpoint
    ) -> None:
        """Store live records that all occurred once, at their `turn`, many together. Returns when all are stored."""
        await self._bulk.store(records, self._scribe.noting(records, "live", feed, traces=traces), turn)

    def outdated(self, record: Record, arrived_at: float) -> bool:
        """Whether a page has said something newer than a push that arrived then. Versions speak for themselves."""
        ordered = record.version is not None or record.occurred
        return not ordered and self.arrivals.outdated(self._scribe.key(record.entity, record.id), arrived_at)

    async def relent(self) -> None:
        """Never returns: stores pushes that were doubted, as of those things no page says anything."""
        while True:
            await self._store_singly(await self.arrivals.overdue())

    async def announce(self, entity: str, change: str, id_: str, after: Json) -> None:
        """Store an event of the bridge's own, such as `source.lost`."""
        await self._store_singly([self._scribe.own(entity, change, id_, after)])

    async def announced(self, entity: str, id_: str) -> str | None:
        """The last change published of one of the bridge's own entities; None if there is none."""
        await self._look_at([key := Key(OWN_VENDOR, self._scribe.source, entity, id_)])
        return None if (head := self._heads.get(key)) is None else head.change

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
        asked_at: float = math.inf,
        lag_s: float = 0.0,
        marks: Mapping[tuple[str, str], bytes] | None = None,
        begun: str | None = None,
    ) -> int:
        """Store a page's changes together with `cursor`; returns when they are, and how many were held back.

        Of several batches those before the last carry `part_cursor`. Without changes the cursor is written only with
        `cursor_alone`. `since`: the tick of `arrivals` when the pass began; what a live record touched later is left
        alone, unless versions tell which is newer. `asked_at`, `lag_s`: when the page was asked for, and how old it
        may be: what disagrees with something newer is held back. `marks`: see `Rows`. `begun`: the page's trace.
        """
        via: Via = "snapshot" if first_read else "catchup"
        given = together(records, unreadable)
        noting = self._scribe.noting(given, via, walk, first_read=first_read, marks=marks, begun=begun)
        notes = await in_slices(noting, given)
        for note in notes if self.arrivals.attentive else ():
            # What is passed over below settles nothing.
            if not self._belief.overtaken(note, since):
                self.arrivals.spoken(note.key, asked_at, lag_s)
        batches, held = rounds(notes) or [[]], 0
        for batch in batches:
            last = batch is batches[-1]
            async with self._exclusive.hold(note.key for note in batch):
                # Asked only now: a live write may have come first while this page waited for its entities.
                fresh = [note for note in batch if not self._belief.overtaken(note, since)]
                if lag_s:
                    # A push that was cancelled on its way may be what the page disagrees with.
                    await self._clear_doubts(note.key for note in fresh)
                    settled = [note for note in fresh if not self._belief.unsettled(note, asked_at, lag_s)]
                    held += len(fresh) - len(settled)
                    fresh = settled
                await self._store_together(fresh, walk, cursor if last else part_cursor, part_cursor, cursor_alone)
            if not last:
                await breathe()
        self.arrivals.answered()
        self.counts.held += held
        return held

    async def mark(self, walk: str, cursor: Json) -> None:
        """Store a cursor alone."""
        await self._store_together([], walk, cursor, cursor, cursor_alone=True)

    # --- single writes ---

    async def _store_singly(
        self, notes: list[Note], doubtful: list[Note] | None = None, arrived_at: float | None = None
    ) -> None:
        tries: dict[Key, int] = {}
        while notes:
            now, notes = one_per_entity(notes)
            async with self._exclusive.hold(note.key for note in now):
                if doubtful is not None:
                    # A page that was cancelled on its way may be what these disagree with.
                    await self._clear_doubts(note.key for note in now)
                    # Asked only now: a page may have come first while these waited for their entities.
                    if unsure := self._belief.unbelievable(now, arrived_at):
                        for note in unsure:
                            self.arrivals.doubt(note)
                        doubtful += unsure
                        now = [note for note in now if note not in unsure]
                notes = await self._append(now, tries) + notes

    async def _append(self, notes: list[Note], tries: dict[Key, int]) -> list[Note]:
        await self._look_at([note.key for note in notes if note.own and note.key not in self._heads])
        await self._clear_doubts(note.key for note in notes)
        sealed = await self._clerk.news(notes)
        if not sealed:
            return []
        self._tainted |= (keys := {event.key for _, event in sealed})
        outcomes = await self._book.append([event for _, event in sealed])
        told = list(zip(sealed, outcomes, strict=True))
        self._settle([(event, outcome.seq, None) for (_, event), outcome in told if isinstance(outcome, Stored)])
        again: list[Sealed] = []
        for (note, event), outcome in told:
            if isinstance(outcome, Stored):
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
        undisputed(again, self._heads)
        return [note for note, event in again if not self._found(event)]

    # --- batches ---

    async def _store_together(
        self, notes: list[Note], walk: str, cursor: Json, part_cursor: Json, cursor_alone: bool
    ) -> None:
        refusals, size = 0, BATCH_EVENTS
        known = await self._clerk.known(note.key for note in notes if note.record.occurred)
        await self._clear_doubts(note.key for note in notes)
        sealed = await self._clerk.news([note for note in notes if note.key not in known])
        while True:
            part, rest = cut(sealed, size)
            await self._clear_doubt_of(walk)
            place = self.cursor(walk)
            value = part_cursor if rest else cursor
            if not part and (value == place.value or not cursor_alone):
                return
            self._tainted |= (keys := {event.key for _, event in part})
            self._unsure[walk] = value
            try:
                receipt = await self._book.commit([event for _, event in part], walk, Cursor(value, place.seq))
            except BatchStale:
                del self._unsure[walk]
                self.counts.refused += 1
                refusals += 1
                await self._look_at([note.key for note, _ in part])
                self._tainted -= keys
                undisputed(part, self._heads)
                pending = [note for note, event in sealed if not self._found(event)]
                if refusals >= REFUSALS:
                    if len(part) <= 1 or not explained(part, self._heads, self._once):
                        raise Away(
                            f"walk {walk}: a batch was refused {REFUSALS} times, each time after a look; "
                            "somebody else writes this source's events or cursor, so everything is read again"
                        ) from None
                    refusals, size = 0, len(part) // 2
                sealed = await self._clerk.news(pending)
                continue
            refusals = 0
            self.counts.batches += 1
            self._settle([(event, seq, note.mark) for (note, event), seq in zip(part, receipt.seqs, strict=True)])
            self._tainted -= keys
            self._book.memory.cursors[walk] = Cursor(value, receipt.cursor_seq)
            del self._unsure[walk]
            if not rest:
                return
            sealed = rest

    # --- what a look tells ---

    def _settle(self, stored: Sequence[tuple[Event, int, bytes | None]]) -> None:
        """These lie in the stream, each where its number says; with the mark of its row, if it has one."""
        self.counts.store([event for event, _, _ in stored], [seq for _, seq, _ in stored])
        changed = [one for one in stored if one[0].change != "occurred"]
        self.arrivals.stored((event.key, event.digest, self._heads.get(event.key)) for event, _, _ in changed)
        for event, seq, mark in changed:
            self._heads.put(event.key, Head(seq, event.ce_id, event.change, event.version, event.digest), mark)
        if len(changed) < len(stored):
            self._bulk.happened([event for event, _, _ in stored if event.change == "occurred"])

    def _found(self, event: Event) -> bool:
        """Whether the look just taken shows that `event` is stored; it is then settled."""
        if event.change == "occurred":
            self.counts.duplicates += (found := event.key in self._once)
            return found
        if (head := self._heads.get(event.key)) is None or head.ce_id != event.ce_id:
            return False
        self._settle([(event, head.seq, None)])
        return True

    async def _clear_doubts(self, keys: Iterable[Key]) -> None:
        """Look at the entities whose last write was cancelled on its way: it may have been stored all the same."""
        if self._tainted and (doubtful := [key for key in keys if key in self._tainted]):
            await self._look_at(doubtful)
            self._tainted.difference_update(doubtful)

    async def _clear_doubt_of(self, walk: str) -> None:
        """Look at a cursor whose last write was cancelled on its way: it may have been stored all the same."""
        if walk in self._unsure:
            if (found := await self._book.cursor(walk)) is not None and found.value == self._unsure[walk]:
                self._book.memory.cursors[walk] = found
            del self._unsure[walk]

    async def _look_at(self, keys: Sequence[Key]) -> None:
        if not keys:
            return

        async def look(key: Key, _: None) -> None:
            if (head := await self._book.head(key)) is not None and head.change == "occurred":
                self._once.add([key])
            elif head is not None:
                before = self._heads.get(key)
                if before is None or before.ce_id != head.ce_id:
                    # When it was written nobody has told; what was asked for before now may show less.
                    self.arrivals.stored([(key, head.digest, before)])
                self._heads.put(key, head)
            elif (known := self._heads.get(key)) is not None:
                # The stream no longer holds it (aged out, purged): what is known of its content stays true.
                self._heads.put(key, replace(known, seq=0))

        await side_by_side(look, [(key, None) for key in dict.fromkeys(keys)])

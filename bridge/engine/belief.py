"""Whether what a push or a page says of an entity may be older than what is known of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set

import anyio

from bridge.core.differ import judge
from bridge.core.record import Key
from bridge.engine.arrivals import Arrivals
from bridge.engine.known import Known
from bridge.engine.scribe import Note


class Belief:
    """Records with a version speak for themselves; the others are judged by when they came."""

    def __init__(
        self,
        arrivals: Arrivals,
        heads: Known,
        key: Callable[[str, str], Key],
        doubtful: Set[Key],
        closed: Set[Key],
    ) -> None:
        """`doubtful`: what may or may not have been stored, `closed`: what is being written; both as they are then."""
        self._arrivals = arrivals
        self._heads = heads
        self._key = key
        self._doubtful = doubtful
        self._closed = closed

    def overtaken(self, note: Note, since: int) -> bool:
        """Whether a push has told something newer of the entity than a pass that began at the mark `since` can."""
        return note.record.version is None and self._arrivals.pushed_since(note.key, since)

    def passing(self, entity: str, *, since: int, asked_at: float, lag_s: float) -> Callable[[str, bytes], bool]:
        """A function that says of an id and a mark whether a page's row may be passed over; if so, the page has spoken.

        The rest is as in `Sequencer.page`.
        """
        bears, key, arrivals = self._heads.bearing(entity), self._key, self._arrivals
        doubtful, closed = self._doubtful, self._closed

        def passes(id_: str, mark: bytes) -> bool:
            if not bears(id_, mark):
                return False
            if not (doubtful or closed or arrivals.attentive):
                return True
            named = key(entity, id_)
            if named in doubtful or named in closed:
                return False
            if not arrivals.pushed_since(named, since):
                arrivals.spoken(named, asked_at, lag_s)
            return True

        return passes

    def unbelievable(self, notes: Sequence[Note], arrived_at: float | None) -> list[Note]:
        """Of pushes that came then (None: now) those that cannot be taken for the newest state."""
        if not self._arrivals.doubting:
            return []
        now = anyio.current_time()
        came_at = now if arrived_at is None else arrived_at
        return [note for note in notes if not self._believable(note, came_at, now)]

    def _believable(self, note: Note, arrived_at: float, now: float) -> bool:
        if note.record.version is not None or note.record.occurred or note.forced is not None:
            return True
        return self._arrivals.believable(note.key, note.digest, self._heads.get(note.key), arrived_at, now)

    def unsettled(self, note: Note, asked_at: float, lag_s: float) -> bool:
        """Whether a page's note disagrees with what is known, and may merely be older than that."""
        record, head = note.record, self._heads.get(note.key)
        if record.version is not None or record.occurred or head is None:
            return False
        if not self._arrivals.unsettled(note.key, asked_at, lag_s):
            return False
        return judge(record, note.digest, head, first_read=note.first_read, live=False) is not None

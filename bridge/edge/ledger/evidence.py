"""What a process knows to be stored, and looks for again: whether the stream still is the one it has written to.

A stream that was put back to an earlier state, from a back-up say, and that others have written to since, looks like
any other: it is long enough, and its view may have followed. Only who remembers what lay where can tell.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import anyio

from bridge.core.event import Event
from bridge.core.head import ce_id_of
from bridge.core.record import Key
from bridge.core.subject import owner_subject, state_key
from bridge.edge.ledger.shape import LedgerNames
from bridge.edge.nats.jetstream import STREAM_NOT_FOUND, ApiError, JetStream

MARKS = 8
"""How many entities' last events are remembered. One is looked for as a rule; the others where that is not there."""
FEWEST = 2
"""So many must be missing: one may have been erased (`bridged forget`), and that may not have been finished."""
AGED = 0.9
"""After this part of `max_age` nothing follows from what is not there: two clocks have measured it."""


class Mark(NamedTuple):
    """An event that was stored. `at`: when, in seconds of the event loop's clock."""

    seq: int
    ce_id: str
    at: float


class Evidence:
    """The last events that this process has stored, and the sources whose owner record it has."""

    def __init__(self, names: LedgerNames) -> None:
        self._names = names
        self._marks: dict[Key, Mark] = {}
        self._owners: set[str] = set()

    def stored(self, events: Sequence[Event], seqs: Sequence[int]) -> None:
        """These lie there now, each the last of its entity. Of many the last are remembered."""
        now = anyio.current_time()
        for event, seq in zip(events[-MARKS:], seqs[-MARKS:], strict=True):
            self._marks.pop(event.key, None)
            self._marks[event.key] = Mark(seq, event.ce_id, now)
            if len(self._marks) > MARKS:
                del self._marks[next(iter(self._marks))]

    def owns(self, source: str) -> None:
        """The source's owner record is stored. It never ages out, and only another takes its place."""
        self._owners.add(source)

    def drop(self) -> None:
        """The stream is another one, and that is known."""
        self._marks.clear()
        self._owners.clear()

    async def lost(self, js: JetStream, source: str | None = None) -> str:
        """What shows that the stream was put back or purged; "" if nothing does. `source`: look for this owner only.

        Asks the leader. With replicas, look again before it is believed: see `confirmed`. Raises ApiError and NoAnswer.
        """
        stream = self._names.stream
        for owner in sorted(self._owners) if source is None else sorted(self._owners & {source}):
            if await js.get(stream, {"last_by_subj": owner_subject(owner)}) is None:
                return f"stream {stream} was purged: the owner record of source {owner} is gone"
        missing = 0
        for key, mark in reversed(self._marks.items()):
            found = await js.get(stream, {"seq": mark.seq})
            if found is not None:
                same = ce_id_of(found.headers) == mark.ce_id
                return (
                    ""
                    if same
                    else (
                        f"stream {stream} was put back to an earlier state and has gone on: it holds another message "
                        f"at {mark.seq} than the event stored there"
                    )
                )
            if 0 < self._names.max_age_s * AGED < anyio.current_time() - mark.at:
                return ""
            # What is erased is erased from the view as well.
            missing += await self._shown(js, key) in (None, mark.ce_id)
            if missing == FEWEST:
                return f"stream {stream} has lost events stored a short while ago: it no longer holds {mark.seq}"
        return ""

    async def _shown(self, js: JetStream, key: Key) -> str | None:
        """The `ce-id` of the entity's entry in the view, "" if it has none; None if there is no view."""
        try:
            entry = await js.get(self._names.state_stream, {"last_by_subj": self._names.state_subject(state_key(key))})
        except ApiError as error:
            if error.err_code == STREAM_NOT_FOUND:
                return None
            raise
        return "" if entry is None else ce_id_of(entry.headers)

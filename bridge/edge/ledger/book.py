"""One source's place in the stream: implements the engine's `Book` over JetStream."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence

from bridge.core.errors import Away
from bridge.core.event import EXPECTED, Event, header_size
from bridge.core.head import head_of
from bridge.core.record import Head, Json, Key
from bridge.core.subject import cursor_subject, entity_filter, event_subject
from bridge.edge.codec import encode
from bridge.edge.ledger.batch import MOST_EVENTS
from bridge.edge.ledger.contents import content, contents
from bridge.edge.ledger.line import NOT_SETTLED, STALE, Line
from bridge.edge.ledger.publisher import Answer, Message, Outgoing
from bridge.edge.nats import wire
from bridge.engine.ports import BatchStale, Cursor, Memory, Outcome, Receipt, Stale, Stored, Unknown

COMMIT = "Bridge-Commit"
"""Header of a cursor: names the commit that wrote it, so that a lost acknowledgement can be settled by looking."""
KEPT = {"Nats-Rollup": "sub", "Nats-TTL": "never"}
"""Headers of records of which only the last counts, and which outlive `max_age`."""
TRIES = 2


class JetStreamBook:
    """See `Book`. Void as soon as the line's epoch is not the one it was opened in."""

    def __init__(
        self,
        line: Line,
        epoch: int,
        source: str,
        memory: Memory,
        beside: Callable[[str], Awaitable[JetStreamBook]],
    ) -> None:
        self._line = line
        self._beside = beside
        self._epoch = epoch
        self._source = source
        self.memory = memory

    async def append(self, events: Sequence[Event]) -> list[Outcome]:
        """See `Book.append`."""
        self._check(events)
        floor = self._line.highest
        answers = await self._line.publisher.publish([_outgoing(event) for event in events])
        if None in answers:
            self._line.check(self._epoch)
        return self._outcomes(events, answers, floor)

    async def commit(self, events: Sequence[Event], walk: str, cursor: Cursor | None) -> Receipt:
        """See `Book.commit`."""
        self._check(events)
        if len(events) > MOST_EVENTS:
            raise ValueError(f"a batch holds at most {MOST_EVENTS} events, got {len(events)}")
        if len({event.key for event in events}) != len(events):
            raise ValueError("an entity may appear once in a batch")
        messages: list[Message] = [*events]
        subject, name = cursor_subject(self._source, walk, self._line.lane), uuid.uuid4().hex
        if cursor is not None:
            headers = {**KEPT, EXPECTED: str(cursor.seq), COMMIT: name}
            messages.append(Outgoing(subject, headers, encode(dict(cursor.value))))
            self._fits("a cursor", len(messages[-1].payload) + header_size(headers))
        if not messages:
            return Receipt((), 0)
        for _ in range(TRIES):
            floor = self._line.highest
            answer = await self._send(messages)
            if answer is not None and not answer.err_code:
                self._line.stored_at(answer.seq - len(messages) + 1, answer.seq, floor)
                receipt = _receipt(answer.seq, len(events), cursor is not None)
                self._line.evidence.stored(events, receipt.seqs)
                return receipt
            # A refusal too: the message refused may be the late twin of one that was stored.
            self._line.check(self._epoch)
            found = await (self._look_events(events) if cursor is None else self._look_cursor(subject, name))
            self._line.check(self._epoch)
            if found is not None:
                return found if cursor is None else _receipt(found.cursor_seq, len(events), True)
            if answer is not None and answer.err_code in STALE:
                raise BatchStale("the stream refused the batch: an entity in it, or the cursor, has moved on")
            if answer is not None and answer.err_code not in NOT_SETTLED:
                raise self._line.refusal(answer)
        raise Away(
            f"a batch was sent {TRIES} times and not stored: NATS is slow or denies it, or its disk is full; see the "
            "lines before, and nats-server's log"
        )

    async def head(self, key: Key) -> Head | None:
        """See `Book.head`."""
        self._line.check(self._epoch)
        found = await self._line.get({"last_by_subj": entity_filter(key, self._line.lane)})
        self._line.check(self._epoch)
        return None if found is None else head_of(found.seq, found.subject.split(".")[4], found.headers)

    async def cursor(self, walk: str) -> Cursor | None:
        """See `Book.cursor`."""
        self._line.check(self._epoch)
        found = await self._line.get({"last_by_subj": cursor_subject(self._source, walk, self._line.lane)})
        self._line.check(self._epoch)
        value = None if found is None else wire.decode(found.payload)
        return Cursor(value, found.seq) if found is not None and isinstance(value, dict) else None

    async def after(self, key: Key, head: Head) -> Json:
        """See `Book.after`."""
        self._line.check(self._epoch)
        found = await content(self._line, key, head)
        self._line.check(self._epoch)
        return found

    async def afters(self, wanted: Sequence[tuple[Key, Head]]) -> Mapping[Key, Json]:
        """See `Book.afters`."""
        self._line.check(self._epoch)
        found = await contents(self._line, wanted)
        self._line.check(self._epoch)
        return found

    async def stored(self, keys: Sequence[Key]) -> set[Key]:
        """See `Book.stored`."""
        self._line.check(self._epoch)
        by_subject = {event_subject(key, "occurred", self._line.lane): key for key in keys}
        found = await self._line.last_of(list(by_subject))
        self._line.check(self._epoch)
        return {by_subject[message.subject] for message in found if message.subject in by_subject}

    async def telemetry(self) -> JetStreamBook:
        """See `Book.telemetry`. Raises LayoutError too."""
        return await self._beside(self._source)

    def _check(self, events: Sequence[Event]) -> None:
        self._line.check(self._epoch)
        lane, most = self._line.lane, self._line.max_payload
        for event in events:
            if event.lane is not lane:
                raise ValueError(f"an event for {event.lane.events}.> does not belong into {self._line.names.stream}")
            if event.size > most:
                self._fits("an event", event.size)

    def _fits(self, what: str, size: int) -> None:
        if size > self._line.max_payload:
            # The server would close the connection for it.
            raise ValueError(f"{what} of {size} bytes exceeds max_payload ({self._line.max_payload} bytes)")

    def _outcomes(self, events: Sequence[Event], answers: Sequence[Answer | None], floor: int) -> list[Outcome]:
        outcomes: list[Outcome] = []
        stored: list[Event] = []
        seqs: list[int] = []
        refused: Answer | None = None
        for event, answer in zip(events, answers, strict=True):
            if answer is not None and not answer.err_code:
                outcomes.append(Stored(answer.seq))
                stored.append(event)
                seqs.append(answer.seq)
            elif answer is None or answer.err_code in NOT_SETTLED:
                outcomes.append(Unknown())
            elif answer.err_code in STALE:
                outcomes.append(Stale())
            else:
                refused = refused or answer
        if seqs:
            self._line.stored_at(min(seqs), max(seqs), floor)
            self._line.evidence.stored(stored, seqs)
        if refused is not None:
            raise self._line.refusal(refused)
        return outcomes

    async def _send(self, messages: Sequence[Message]) -> Answer | None:
        if len(messages) == 1:
            # A batch is a store of its own on the server's disk, made and removed again.
            return (await self._line.publisher.publish([_outgoing(messages[0])]))[0]
        return await self._line.batches.store(self._source, messages)

    async def _look_cursor(self, subject: str, name: str) -> Receipt | None:
        found = await self._line.get({"last_by_subj": subject})
        return Receipt((), found.seq) if found is not None and found.headers.get(COMMIT) == name else None

    async def _look_events(self, events: Sequence[Event]) -> Receipt | None:
        """Stored together or not at all: so the first that is not there settles it."""
        seqs = []
        for event in events:
            head = await self.head(event.key)
            if head is None or head.ce_id != event.ce_id:
                return None
            seqs.append(head.seq)
        return Receipt(seqs, 0)


def _outgoing(message: Message) -> Outgoing:
    return Outgoing(message.subject, message.headers, message.payload)


def _receipt(last_seq: int, events: int, with_cursor: bool) -> Receipt:
    """A batch lies in the stream without a hole, so its end tells where everything is."""
    first = last_seq - events + (0 if with_cursor else 1)
    return Receipt(range(first, first + events), last_seq if with_cursor else 0)

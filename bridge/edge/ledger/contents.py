"""What entities' last events said, read back from the stream: one by one, or many with one question.

For many the server is asked for the last message of each subject (ADR-31, `multi_last`): a head names the change, and
with it the subject its event lies on. The server then looks through every block of the stream between the first and
the last of them, and holds up writes meanwhile: so only such as lie near one another are asked for together. Those of
a page do, as a rule, since pages are stored as they were read.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bridge.core.content import data_of
from bridge.core.head import ce_id_of
from bridge.core.record import Head, Json, Key
from bridge.core.subject import event_subject, state_key
from bridge.edge.ledger.line import Line
from bridge.edge.nats import wire
from bridge.edge.nats.jetstream import Message

FEWEST = 8
"""Fewer are asked for one by one: side by side that takes no longer."""
NEAR = 16
"""So many messages of the stream may lie between two of them, on average: some blocks of the server's for a page."""


async def content(line: Line, key: Key, head: Head) -> Json:
    """See `Book.after`."""
    found = await line.direct({"seq": head.seq}) if head.seq else None
    if not _is(found, head):
        names = line.names
        found = await line.direct({"last_by_subj": names.state_subject(state_key(key))}, names.state_stream)
    return _after(found) if found is not None and _is(found, head) else None


async def contents(line: Line, wanted: Sequence[tuple[Key, Head]]) -> dict[Key, Json]:
    """See `Book.afters`."""
    known: dict[Key, Json] = {}
    for part in near(wanted):
        by_subject = {event_subject(key, head.change, line.lane): (key, head) for key, head in part}
        for message in await line.last_of(list(by_subject), up_to=part[-1][1].seq):
            key, head = by_subject.get(message.subject, (None, None))
            if key is not None and head is not None and message.seq == head.seq and _is(message, head):
                known[key] = _after(message)
    return known


def near(wanted: Iterable[tuple[Key, Head]]) -> list[list[tuple[Key, Head]]]:
    """Those that lie near others in the stream, in parts, each in the order of the stream."""
    parts: list[list[tuple[Key, Head]]] = []
    for one in sorted((one for one in wanted if one[1].seq), key=lambda one: one[1].seq):
        if not parts or one[1].seq - parts[-1][-1][1].seq > FEWEST * NEAR:
            parts.append([])
        parts[-1].append(one)
    return [part for part in parts if len(part) >= FEWEST and part[-1][1].seq - part[0][1].seq <= len(part) * NEAR]


def _is(found: Message | None, head: Head) -> bool:
    return found is not None and ce_id_of(found.headers) == head.ce_id


def _after(found: Message) -> Json:
    data = data_of(found.headers, wire.decode(found.payload))
    return data.get("after") if isinstance(data, dict) else None

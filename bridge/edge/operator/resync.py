"""Has a source read again: rewrites its cursors, by which every daemon finds out what to read. Imports no NATS library.

There is no state but the stream, so nobody needs to be told: a running daemon's next cursor is refused, since
somebody else has written it, and it opens its book again; one that starts later finds the cursors as they are.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from bridge.core.event import EXPECTED
from bridge.core.record import Json
from bridge.core.subject import MAIN, TELEMETRY, Lane, cursor_subject, untoken
from bridge.core.subscription import subscription_of
from bridge.core.walk import AGAIN
from bridge.edge.codec import encode
from bridge.edge.ledger.book import COMMIT, KEPT
from bridge.edge.ledger.line import STALE, refusal
from bridge.edge.ledger.publisher import Outgoing, Publisher
from bridge.edge.ledger.shape import LedgerNames
from bridge.edge.nats import wire
from bridge.edge.nats.jetstream import ApiError, JetStream, NoAnswer
from bridge.edge.operator.tail import StreamMissing, explained, stream_state

if TYPE_CHECKING:
    from nats.aio.client import Client

DEADLINE_S = 5.0
TRIES = 20
"""A daemon writes cursors too: after so many lost races something else is wrong."""


class Cursors:
    """The cursors of one source. Raises StreamMissing, JetStreamOff and Away (NoAnswer: not permitted, perhaps)."""

    def __init__(self, nc: Client, names: LedgerNames, source: str) -> None:
        self._js = JetStream(nc, prefix=names.api, deadline_s=DEADLINE_S)
        self._publisher = Publisher(nc, deadline_s=DEADLINE_S)
        self._names = names
        self._source = source

    async def walks(self) -> list[str]:
        """The names of the walks that have a cursor, sorted. What is remembered of subscriptions is no walk."""
        return sorted({walk for _, walk in await self._every() if subscription_of(walk) is None})

    async def rewind(self, again_from_ms: int, walks: Collection[str]) -> None:
        """These walks read again what lies since then (ms since the Unix epoch; 0: all the vendor gives).

        The other cursors of the source are written as they are: so a running daemon notices with the first pass of
        any walk that ends, however slow the rewound ones are.
        """
        every = await self._every()
        for lane, walk in sorted(every, key=lambda place: place[1] not in walks):
            await self._rewrite(lane, walk, again_from_ms if walk in walks else None)

    async def _every(self) -> list[tuple[Lane, str]]:
        await stream_state(self._js, self._names.stream)
        found = [(MAIN, walk) for walk in await self._of(MAIN)]
        try:
            found += [(TELEMETRY, walk) for walk in await self._of(TELEMETRY)]
        except (StreamMissing, NoAnswer):
            # The events' stream has just answered. Who may not ask here is a daemon's user that has no telemetry.
            return found
        return found

    async def _of(self, lane: Lane) -> list[str]:
        prefix = cursor_subject(self._source, "", lane).removesuffix("=")
        stream = self._stream(lane)
        try:
            info = await self._js.stream(stream, subjects=f"{prefix}*")
        except ApiError as error:
            raise explained(error, stream) from None
        return [_text(subject.removeprefix(prefix)) for subject in info["state"].get("subjects") or ()]

    def _stream(self, lane: Lane) -> str:
        return self._names.stream if lane is MAIN else self._names.telemetry_stream

    async def _rewrite(self, lane: Lane, walk: str, again_from_ms: int | None) -> None:
        subject, stream = cursor_subject(self._source, walk, lane), self._stream(lane)
        for _ in range(TRIES):
            try:
                found = await self._js.get(stream, {"last_by_subj": subject})
            except ApiError as error:
                raise explained(error, stream) from None
            if found is None:
                return
            value = _rewound(found.payload, again_from_ms)
            headers = {**KEPT, EXPECTED: str(found.seq), COMMIT: uuid.uuid4().hex}
            answer = (await self._publisher.publish([Outgoing(subject, headers, encode(dict(value)))]))[0]
            if answer is None:
                raise NoAnswer(f"the cursor of walk {walk} was not acknowledged; ask again: it does no harm")
            if not answer.err_code:
                return
            if answer.err_code not in STALE:
                raise refusal(answer)
        raise NoAnswer(f"the cursor of walk {walk} is written by others all the time; ask again")


def _rewound(payload: bytes, again_from_ms: int | None) -> Mapping[str, Json]:
    try:
        value = wire.decode(payload)
    except ValueError:
        value = {}
    value = value if isinstance(value, dict) else {}
    if again_from_ms is None:
        return value
    return {**value, AGAIN: min(again_from_ms, value.get(AGAIN, again_from_ms))}


def _text(subject_token: str) -> str:
    try:
        return untoken(subject_token) or ""
    except ValueError:
        return subject_token

"""Has a source read again, or publish deletes that it holds back: rewrites its cursors, by which every daemon finds out
what to do. Imports no NATS library.

There is no state but the stream, so nobody needs to be told: a running daemon's next cursor is refused, since
somebody else has written it, and it opens its book again; one that starts later finds the cursors as they are.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import TYPE_CHECKING

from bridge.core.bookmark import ACCEPTED, HELD, Bookmark
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
from bridge.edge.nats.jetstream import ApiError, JetStream, Message, NoAnswer
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
        await self._change(dict.fromkeys(walks, lambda value: _rewound(value, again_from_ms)))

    async def held(self) -> dict[str, int]:
        """How many deletes are held back, by walk, where any are."""
        marks = {walk: Bookmark.read(value) for walk, value in (await self.values()).items()}
        return {walk: mark.lasting.held for walk, mark in marks.items() if mark.lasting.held}

    async def accept(self, walks: Mapping[str, int]) -> None:
        """The deletes that these walks hold back are to be published: so many, and a few more at most.

        `walks`: how many each was seen to hold. What it has come to hold since then nobody has agreed to. The other
        cursors are written as they are, see `rewind`.
        """
        await self._change({walk: partial(_accepted, most=count) for walk, count in walks.items()})

    async def values(self) -> dict[str, Mapping[str, Json]]:
        """The cursors of the walks, as they lie in the stream."""
        found = {}
        for lane, walk in await self._every():
            if subscription_of(walk) is None and (message := await self._get(lane, walk)) is not None:
                found[walk] = _read(message.payload)
        return found

    async def _change(self, changes: Mapping[str, Callable[[Mapping[str, Json]], Mapping[str, Json]]]) -> None:
        every = await self._every()
        for lane, walk in sorted(every, key=lambda place: place[1] not in changes):
            await self._rewrite(lane, walk, changes.get(walk, lambda value: value))

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

    async def _get(self, lane: Lane, walk: str) -> Message | None:
        stream = self._stream(lane)
        try:
            return await self._js.get(stream, {"last_by_subj": cursor_subject(self._source, walk, lane)})
        except ApiError as error:
            raise explained(error, stream) from None

    async def _rewrite(self, lane: Lane, walk: str, change: Callable[[Mapping[str, Json]], Mapping[str, Json]]) -> None:
        subject = cursor_subject(self._source, walk, lane)
        for _ in range(TRIES):
            found = await self._get(lane, walk)
            if found is None:
                return
            value = change(_read(found.payload))
            headers = {**KEPT, EXPECTED: str(found.seq), COMMIT: uuid.uuid4().hex}
            answer = (await self._publisher.publish([Outgoing(subject, headers, encode(dict(value)))]))[0]
            if answer is None:
                raise NoAnswer(f"the cursor of walk {walk} was not acknowledged; ask again: it does no harm")
            if not answer.err_code:
                return
            if answer.err_code not in STALE:
                raise refusal(answer)
        raise NoAnswer(f"the cursor of walk {walk} is written by others all the time; ask again")


def _read(payload: bytes) -> Mapping[str, Json]:
    try:
        value = wire.decode(payload)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _rewound(value: Mapping[str, Json], again_from_ms: int) -> Mapping[str, Json]:
    before_ms = Bookmark.read(value).again_from_ms
    return {**value, AGAIN: again_from_ms if before_ms is None else min(again_from_ms, before_ms)}


def _accepted(value: Mapping[str, Json], *, most: int) -> Mapping[str, Json]:
    held = Bookmark.read(value).lasting.held
    return {**value, HELD: held, ACCEPTED: min(held, most)} if held else value


def _text(subject_token: str) -> str:
    try:
        return untoken(subject_token) or ""
    except ValueError:
        return subject_token

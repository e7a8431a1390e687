"""Publishes stored events once more, under other subjects, for one consumer. The stream is only read. Imports nats-py.

Plain messages, as the republished `live.>` is: who listens gets them, nothing keeps them. Each asks for an answer, so
that the server says where nobody listens, and a stream where it refuses them.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import anyio
import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from bridge.core.errors import Away
from bridge.core.record import Json
from bridge.core.subject import EVENTS
from bridge.edge.ledger.shape import LedgerNames
from bridge.edge.nats import wire
from bridge.edge.nats.jetstream import STATUS, ApiError, JetStream, Message, StreamState
from bridge.edge.operator.tail import DEADLINE_S, STORED, Tail, explained, stored_ms, stream_state

REPLAYED = "Bridge-Replayed"
"""Header of a replayed event: its sequence in the stream."""
NOBODY = "503"
PATIENCE_S = 30.0
"""For a portion to reach the server, be the line as slow as it may."""


class Span:
    """The stored events of one filter from `start` until `until` (exclusive), or until the end as it was at first.

    `take` returns them in stream order, and [] at the end. `last_seq`: where the stream ended when it was opened.
    """

    def __init__(
        self, nc: Client, names: LedgerNames, *, subjects: str, start: datetime, until: datetime | None = None
    ) -> None:
        self._js = JetStream(nc, prefix=names.api, deadline_s=DEADLINE_S)
        self._stream = names.stream
        self._subjects = subjects
        self._tail = Tail(nc, stream=names.stream, prefix=names.api, subjects=subjects, start=start)
        self._until_ms = None if until is None else round(until.timestamp() * 1000)
        self._query: dict[str, Json] = {"start_time": start.isoformat(timespec="milliseconds")}
        self._done = False
        self.last_seq = 0

    async def open(self) -> StreamState:
        """Where the stream ends now. Raises StreamMissing, JetStreamOff and NoAnswer."""
        state = await stream_state(self._js, self._stream)
        self.last_seq = state.last_seq
        return state

    async def take(self) -> list[Message]:
        """The next events, some hundreds at most. Raises StreamMissing, JetStreamOff, and NoAnswer."""
        if self._done:
            return []
        found = await self._tail.take_stored(wait_s=0) or await self._asked_of_the_leader()
        within = [message for message in found if self._within(message)]
        self._done = len(within) < len(found) or not found
        if within:
            self._query = {"seq": within[-1].seq + 1}
        return within

    def _within(self, message: Message) -> bool:
        if message.seq > self.last_seq:
            return False
        return self._until_ms is None or stored_ms(message.headers[STORED]) < self._until_ms

    async def _asked_of_the_leader(self) -> list[Message]:
        """A replica that lags sees the end too early: what it lacks comes one by one."""
        try:
            found = await self._js.get(self._stream, self._query | {"next_by_subj": self._subjects})
        except ApiError as error:
            raise explained(error, self._stream) from None
        if found is None:
            return []
        self._tail.skip_to(found.seq + 1)
        return [found._replace(headers={**found.headers, STORED: found.time})]


class Replay:
    """Publishes stored events below `target`. An async context manager.

    `sent`: how many were handed to the connection, `taken`: how many of these the server has taken for certain.
    `unheard`: how many of them nobody listened to; `refused`: how many a stream of somebody else did not store.
    """

    def __init__(self, nc: Client, target: str) -> None:
        self._nc = nc
        self._target = target
        self._inbox = nc.new_inbox()
        self._subscription: Subscription | None = None
        self.sent = self.taken = self.unheard = self.refused = 0

    async def __aenter__(self) -> Replay:
        try:
            self._subscription = await self._nc.subscribe(self._inbox, cb=self._answered)
        except nats.errors.Error as error:
            raise Away(f"NATS cannot be asked now ({type(error).__name__})") from None
        return self

    async def __aexit__(self, *ended: object) -> None:
        if self._subscription is not None and self._nc.is_connected:
            with anyio.move_on_after(1, shield=True):
                try:
                    await self._subscription.unsubscribe()
                except nats.errors.Error:
                    return

    def subject(self, message: Message) -> str:
        """Where an event is published: the tokens of its own subject behind the target's."""
        return self._target + message.subject.removeprefix(EVENTS)

    async def publish(self, messages: Sequence[Message]) -> None:
        """Publish a portion; returns when the server has taken it. Raises Away, and then a part may have gone out."""
        life = self._nc.stats["reconnects"]
        try:
            with anyio.fail_after(PATIENCE_S):
                for message in messages:
                    await self._nc.publish(
                        self.subject(message), message.payload, reply=self._inbox, headers=headers_of_copy(message)
                    )
                    self.sent += 1
                # nats-py's first ping overtakes what is still buffered; the second cannot.
                await self._nc.flush()
                await self._nc.flush()
        except (nats.errors.Error, TimeoutError) as error:
            raise Away(f"NATS takes nothing now ({type(error).__name__})") from None
        if self._nc.stats["reconnects"] != life:
            raise Away("the connection to NATS was lost meanwhile")
        self.taken = self.sent

    async def _answered(self, message: Msg) -> None:
        """By the server, where nobody listens; by a stream, that it took it or did not; by a consumer: no matter."""
        headers: dict[str, str] = {str(getattr(k, "value", k)): v for k, v in (message.headers or {}).items()}
        if headers.get(STATUS) == NOBODY:
            self.unheard += 1
        elif _is_refusal(message.data):
            self.refused += 1


def headers_of_copy(message: Message) -> dict[str, str]:
    """The headers of an event as they were stored, without any that NATS itself would act upon, and `REPLAYED`."""
    kept = {name: value for name, value in message.headers.items() if not name.lower().startswith("nats-")}
    return {**kept, REPLAYED: str(message.seq)}


def _is_refusal(payload: bytes) -> bool:
    if b'"error"' not in payload:
        return False
    try:
        answer: Json = wire.decode(payload)
    except ValueError:
        return False
    return isinstance(answer, dict) and isinstance(answer.get("error"), dict)

"""Reads stored events in stream order, and goes on as new ones come. Imports nats-py, for its subscription.

It needs no consumer on the server: events are fetched by sequence with batched direct gets, and the republished
`live.>` only says that it is time to look. So it survives every reconnect and sees each event once.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType

import anyio
import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from bridge.core.content import PREFIX, attributes_of, data_of
from bridge.core.errors import BridgeError
from bridge.core.event import EXPECTED, EXPECTED_SUBJECT
from bridge.core.record import Json
from bridge.core.subject import EVENTS
from bridge.edge.codec import encode
from bridge.edge.ledger.layout import LIVE, JetStreamOff
from bridge.edge.nats import wire
from bridge.edge.nats.jetstream import (
    NOT_ENABLED,
    NOT_ENABLED_FOR_ACCOUNT,
    STATUS,
    STREAM_NOT_FOUND,
    ApiError,
    Inbox,
    JetStream,
    Message,
    NoAnswer,
    Nobody,
    StreamState,
)

PORTION = 256
MOST_BYTES = 4 * 1024 * 1024
"""Of one answer. The server's own bound is what it may have pending for us before it drops the connection."""
LOOK_EVERY_S = 2.0
"""Republished messages are best effort, so we look without one, too."""
DEADLINE_S = 5.0

STORED = "Nats-Time-Stamp"
"""The header by which the server says when it stored a message."""
_OF_THE_SERVER = frozenset({
    STORED, "Nats-Stream", "Nats-Subject", "Nats-Sequence", "Nats-Num-Pending", "Nats-Last-Sequence",
    "Nats-UpTo-Sequence",
})  # fmt: skip


class StreamMissing(BridgeError):
    """There is no such stream on the server: nobody has made it yet, or it is gone."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One event as stored. `stored_ms`: when the server stored it, milliseconds since the Unix epoch.

    `headers` without the server's and without our expectations; `data` is None where the payload is no JSON.
    """

    seq: int
    subject: str
    stored_ms: int
    headers: Mapping[str, str]
    data: Json


class Tail:
    """`take` returns events in stream order, each once. An async context manager.

    `remade` counts how often the stream turned out to be another one, or shorter than it was: then what is in it
    now is read from its beginning.
    """

    def __init__(
        self,
        nc: Client,
        *,
        stream: str,
        prefix: str,
        subjects: str,
        start: int | datetime = 1,
        news: str | None = None,
    ) -> None:
        """`subjects`: a filter such as `events.pcvisit.>`. `start`: the first sequence, or a point in time.

        `news`: the subjects whose messages say that it is time to look; by default the live ones of these events.
        """
        self._nc = nc
        self._js = JetStream(nc, prefix=prefix, deadline_s=DEADLINE_S)
        self._stream = stream
        self._get = f"{prefix}.DIRECT.GET.{stream}"
        self._subjects = subjects
        self._query: dict[str, Json] = (
            {"seq": start} if isinstance(start, int) else {"start_time": start.isoformat(timespec="milliseconds")}
        )
        live = LIVE + subjects.removeprefix(EVENTS) if subjects.startswith(f"{EVENTS}.") else f"{LIVE}.>"
        self._live = live if news is None else news
        self._subscription: Subscription | None = None
        self._news = anyio.Event()
        self._created = ""
        self.remade = 0

    async def __aenter__(self) -> Tail:
        with suppress(nats.errors.Error):  # without it we look every LOOK_EVERY_S
            self._subscription = await self._nc.subscribe(self._live, cb=self._on_news)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._subscription is not None and self._nc.is_connected:
            with anyio.move_on_after(1, shield=True), suppress(nats.errors.Error):
                await self._subscription.unsubscribe()

    async def take(self, *, wait_s: float = LOOK_EVERY_S) -> list[Seen]:
        """The next events, at most PORTION or some MOST_BYTES; waits up to `wait_s` for the first one, then returns [].

        Raises StreamMissing, JetStreamOff, and NoAnswer: then the same events come with the next call.
        """
        return [seen_of(message) for message in await self.take_stored(wait_s=wait_s)]

    async def take_stored(self, *, wait_s: float = LOOK_EVERY_S) -> list[Message]:
        """The same as they lie in the stream, with what the server says of each among the headers."""
        self._news = anyio.Event()
        found = await self._read()
        if not found and wait_s > 0:
            await self._check_life()
            with anyio.move_on_after(min(wait_s, LOOK_EVERY_S)):
                await self._news.wait()
            found = await self._read()
        if found:
            self._query = {"seq": found[-1].seq + 1}
        return found

    def skip_to(self, seq: int) -> None:
        """Go on with this sequence."""
        self._query = {"seq": seq}

    async def _on_news(self, _: Msg) -> None:
        self._news.set()

    async def _check_life(self) -> None:
        """Nothing new: is it because the stream we knew is gone?"""
        state = await stream_state(self._js, self._stream)
        another = self._created not in ("", state.created)
        self._created = state.created
        at = self._query.get("seq")
        if at is not None and (another or state.last_seq < at - 1):
            self.remade += 1
            self._query = {"seq": 1}

    async def _read(self) -> list[Message]:
        messages: list[Message] = []
        end: dict[str, str] = {}

        def collect(message: Msg) -> bool:
            headers = {str(getattr(name, "value", name)): value for name, value in (message.headers or {}).items()}
            if STATUS in headers:
                end.update(headers)
                return True
            messages.append(Message(headers["Nats-Subject"], int(headers["Nats-Sequence"]), headers, message.data))
            return False

        query = self._query | {"next_by_subj": self._subjects, "batch": PORTION, "max_bytes": MOST_BYTES}
        async with Inbox(self._nc, collect) as inbox:
            await inbox.ask(self._get, encode(query), DEADLINE_S, f"stream {self._stream}")
        if end.get(STATUS) == "503":
            await stream_state(self._js, self._stream)  # says why nobody answered
        if end.get(STATUS) not in ("204", "404"):
            raise NoAnswer(f"stream {self._stream}: reading events was refused with status {end.get(STATUS)}")
        return messages


async def stream_state(js: JetStream, stream: str) -> StreamState:
    """What tells this life of the stream from another, asked of its leader.

    Raises StreamMissing, JetStreamOff and NoAnswer.
    """
    try:
        return await js.state(stream)
    except ApiError as error:
        raise explained(error, stream) from None
    except Nobody:
        if js.server_has_it:
            raise
        raise JetStreamOff(
            "the NATS server runs without JetStream: nothing is stored there; check nats.url, or set nats.domain"
        ) from None


async def last_sequence(nc: Client, *, stream: str, prefix: str) -> int:
    """The stream's last sequence, asked of its leader. Raises StreamMissing, JetStreamOff and NoAnswer."""
    return (await stream_state(JetStream(nc, prefix=prefix, deadline_s=DEADLINE_S), stream)).last_seq


def explained(error: ApiError, stream: str) -> BridgeError:
    """What JetStream's refusal to let us look at `stream` means."""
    if error.err_code == STREAM_NOT_FOUND:
        return StreamMissing(
            f"stream {stream} does not exist yet: start `bridged run`, the first one makes it; or check nats.stream"
        )
    if error.err_code in (NOT_ENABLED, NOT_ENABLED_FOR_ACCOUNT):
        return JetStreamOff("JetStream is switched off for this NATS account: use the account the daemon uses")
    return NoAnswer(f"stream {stream} cannot be read now: {error}")


def stored_headers(message: Message) -> dict[str, str]:
    """The headers that were stored, as they were: without what the server says of a message it hands out."""
    return {name: value for name, value in message.headers.items() if name not in _OF_THE_SERVER}


def seen_of(message: Message) -> Seen:
    """A message as an event. In both content modes its attributes are headers, `ce-…`, and `data` is the event's."""
    try:
        body = wire.decode(message.payload)
    except ValueError:
        body = None
    own = {
        name: value
        for name, value in message.headers.items()
        if name not in (EXPECTED, EXPECTED_SUBJECT) and not name.startswith(("Nats-", PREFIX))
    }
    own |= {f"{PREFIX}{name}": value for name, value in attributes_of(message.headers, body).items()}
    data = data_of(message.headers, body)
    return Seen(message.seq, message.subject, stored_ms(message.headers[STORED]), own, data)


def stored_ms(stamp: str) -> int:
    """The server's time stamp in milliseconds. It writes up to nine digits of a second; Python reads six."""
    head, dot, fraction = stamp.rstrip("Z").partition(".")
    text = f"{head}{dot}{fraction[:6]:0<6}+00:00" if dot else f"{head}+00:00"
    return round(datetime.fromisoformat(text).timestamp() * 1000)

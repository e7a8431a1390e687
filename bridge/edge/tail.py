"""Reads stored events in stream order, and goes on as new ones come. Imports nats-py, for its subscription.

It needs no consumer on the server: events are fetched by sequence with batched direct gets, and the republished
`live.>` only says that it is time to look. So it survives every reconnect and sees each event once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType

import anyio
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from bridge.core.event import EXPECTED, EXPECTED_SUBJECT
from bridge.core.head import percent_decode
from bridge.core.record import Json
from bridge.core.subject import EVENTS
from bridge.edge import wire
from bridge.edge.codec import encode
from bridge.edge.jetstream import STATUS, Inbox, JetStream, Message, NoAnswer
from bridge.edge.layout import LIVE

PORTION = 256
LOOK_EVERY_S = 2.0
"""Republished messages are best effort, so we look without one, too."""
DEADLINE_S = 5.0


@dataclass(frozen=True, slots=True)
class Seen:
    """One event as stored. `stored_ms`: when the server stored it, milliseconds since the Unix epoch."""

    seq: int
    subject: str
    stored_ms: int
    headers: Mapping[str, str]
    data: Json


class Tail:
    """`take` returns events in stream order. An async context manager."""

    def __init__(self, nc: Client, *, stream: str, prefix: str, subjects: str, start: int | datetime = 1) -> None:
        """`subjects`: a filter such as `events.pcvisit.>`. `start`: the first sequence, or a point in time."""
        self._nc = nc
        self._stream = stream
        self._prefix = prefix
        self._subjects = subjects
        self._query: dict[str, Json] = (
            {"seq": start} if isinstance(start, int) else {"start_time": start.isoformat(timespec="milliseconds")}
        )
        self._subscription: Subscription | None = None
        self._news = anyio.Event()

    async def __aenter__(self) -> Tail:
        live = LIVE + self._subjects.removeprefix(EVENTS) if self._subjects.startswith(EVENTS) else f"{LIVE}.>"
        self._subscription = await self._nc.subscribe(live, cb=self._on_news)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._subscription is not None and self._nc.is_connected:
            with anyio.move_on_after(1, shield=True):
                await self._subscription.unsubscribe()

    async def take(self, *, wait_s: float = LOOK_EVERY_S) -> list[Seen]:
        """The next events; waits up to `wait_s` for the first one, then returns []. Raises NoAnswer."""
        self._news = anyio.Event()
        found = await self._read()
        if not found and wait_s > 0:
            with anyio.move_on_after(min(wait_s, LOOK_EVERY_S)):
                await self._news.wait()
            found = await self._read()
        if found:
            self._query = {"seq": found[-1].seq + 1}
        return found

    async def _on_news(self, _: Msg) -> None:
        self._news.set()

    async def _read(self) -> list[Seen]:
        messages: list[Message] = []
        end: dict[str, str] = {}

        def collect(message: Msg) -> bool:
            headers = {str(getattr(name, "value", name)): value for name, value in (message.headers or {}).items()}
            if STATUS in headers:
                end.update(headers)
                return True
            messages.append(Message(headers["Nats-Subject"], int(headers["Nats-Sequence"]), headers, message.data))
            return False

        query = self._query | {"next_by_subj": self._subjects, "batch": PORTION}
        async with Inbox(self._nc, collect) as inbox:
            subject = f"{self._prefix}.DIRECT.GET.{self._stream}"
            await inbox.ask(subject, encode(query), DEADLINE_S, f"stream {self._stream}")
        if end.get(STATUS) not in ("204", "404"):
            raise NoAnswer(f"stream {self._stream}: reading events was refused with status {end.get(STATUS)}")
        return [_seen(message) for message in messages]


async def last_sequence(nc: Client, *, stream: str, prefix: str) -> int:
    """The stream's last sequence, asked of its leader. Raises NoAnswer and ApiError."""
    return (await JetStream(nc, prefix=prefix, deadline_s=DEADLINE_S).state(stream)).last_seq


def _seen(message: Message) -> Seen:
    stored = datetime.fromisoformat(_microseconds(message.headers["Nats-Time-Stamp"]))
    own = {
        name: percent_decode(value) if name.startswith("ce-") else value
        for name, value in message.headers.items()
        if name not in (EXPECTED, EXPECTED_SUBJECT) and not name.startswith("Nats-")
    }
    return Seen(message.seq, message.subject, round(stored.timestamp() * 1000), own, wire.decode(message.payload))


def _microseconds(stamp: str) -> str:
    """The server writes up to nine digits of a second; Python reads six."""
    head, dot, fraction = stamp.rstrip("Z").partition(".")
    return f"{head}{dot}{fraction[:6]}+00:00" if dot else f"{head}+00:00"
